//! Rules of a live MPD, of its change since an earlier one, and of its agreement with HLS.

use super::xml::Element;
use super::{Findings, Violation};
use crate::base::clock::Wall;
use crate::manifest::parse::Media;
use crate::manifest::text::parse_date;

/// Clocks that players can use without further agreement.
const UTC_SCHEMES: [&str; 4] = [
    "urn:mpeg:dash:utc:http-xsdate:2014",
    "urn:mpeg:dash:utc:http-iso:2014",
    "urn:mpeg:dash:utc:http-head:2014",
    "urn:mpeg:dash:utc:direct:2014",
];

/// Segments in one timeline that are followed; more than a day of one-second segments.
const MAX_SEGMENTS: usize = 100_000;

/// An audio frame, or a picture at 20 per second, microseconds.
const FRAME_MICROS: i64 = 50_000;

/// Rounding of segment times between timescales, microseconds.
const ROUNDING_MICROS: i64 = 1000;

/// The part of an MPD that the rules speak of.
struct Manifest {
    epoch: Option<Wall>,
    periods: Vec<Period>,
}

struct Period {
    id: String,
    start_micros: i64,
    duration_micros: Option<i64>,
    sets: Vec<(String, Vec<Representation>)>,
    /// Set, scheme and Period of each period-continuity or period-connectivity property.
    links: Vec<(String, String, String)>,
}

struct Representation {
    id: String,
    timescale: i64,
    offset: i64,
    init: String,
    first_number: u64,
    /// Start and duration.
    segments: Vec<(i64, i64)>,
}

impl Period {
    fn representations(&self) -> impl Iterator<Item = &Representation> {
        self.sets.iter().flat_map(|(_, of_set)| of_set)
    }

    fn set(&self, id: &str) -> Option<&[Representation]> {
        let found = self.sets.iter().find(|(known, _)| known == id);
        found.map(|(_, of_set)| of_set.as_slice())
    }

    fn shape(&self) -> Vec<(&str, Vec<(&str, &str)>)> {
        let sets = self.sets.iter();
        sets.map(|(id, of_set)| {
            let of_set = of_set.iter().map(|r| (r.id.as_str(), r.init.as_str()));
            (id.as_str(), of_set.collect())
        })
        .collect()
    }
}

impl Representation {
    /// Microseconds since availabilityStartTime of a time in the media.
    fn micros(&self, period: &Period, time: i64) -> i64 {
        let ticks = i128::from(time) - i128::from(self.offset);
        let micros = ticks * 1_000_000 / i128::from(self.timescale);
        // Far beyond any date, and far enough from the ends of 64 bits to be added to one.
        let micros = micros.clamp(-1_000_000_000_000_000_000, 1_000_000_000_000_000_000);
        period.start_micros + i64::try_from(micros).expect("clamped to 60 bits")
    }

    fn numbered(&self) -> impl Iterator<Item = (u64, &(i64, i64))> {
        (self.first_number..).zip(&self.segments)
    }
}

/// Checks an MPD, and what changed since `previous`, an earlier answer of the same URL. Rules S1-S5,
/// S7, S9.
pub fn check_mpd(text: &str, previous: Option<&str>) -> Vec<Violation> {
    let mut found = Findings::default();
    let root = match Element::parse(text) {
        Ok(root) => root,
        Err(error) => return Findings::unreadable(&error),
    };
    check_root(&root, &mut found);
    let manifest = read(&root, &mut found);
    check_periods(&manifest, &mut found);
    check_low_latency(&root, &mut found);
    match previous.map(Element::parse) {
        None => {}
        Some(Err(error)) => found.rule("syntax", false, || format!("previous: {error}")),
        Some(Ok(old_root)) => {
            // What was wrong with it was told when it was checked itself.
            let old = read(&old_root, &mut Findings::default());
            check_change(&old, &manifest, &mut found);
            let date = |root: &Element| root.get("publishTime").and_then(parse_date);
            let (before, after) = (date(&old_root), date(&root));
            let same = previous == Some(text);
            found.rule("S3", same || after > before, || {
                format!("content changed, publishTime went from {before:?} to {after:?}")
            });
        }
    }
    found.0
}

/// Checks that segments have the same wall-clock time in the MPD as in the HLS playlist of the same
/// rendition (rule X1).
pub fn check_hls_against_mpd(mpd: &str, representation: &str, playlist: &str) -> Vec<Violation> {
    let mut found = Findings::default();
    let manifest = match Element::parse(mpd) {
        Ok(root) => read(&root, &mut found),
        Err(error) => return Findings::unreadable(&error),
    };
    let playlist = match Media::parse(playlist) {
        Ok(playlist) => playlist,
        Err(error) => return Findings::unreadable(&error),
    };
    let epoch = manifest.epoch.unwrap_or_default();
    let mut compared = 0;
    for period in &manifest.periods {
        let of_name = |r: &&Representation| r.id == representation;
        for representation in period.representations().filter(of_name) {
            for (number, (start, _)) in representation.numbered() {
                let Some(date) = playlist.segment(number).and_then(|hls| hls.date) else {
                    continue;
                };
                compared += 1;
                let dash = epoch.plus_micros(representation.micros(period, *start));
                let off = dash.micros_since(date);
                // Dates are rounded down to milliseconds.
                found.rule("X1", (-1..=ROUNDING_MICROS).contains(&off), || {
                    format!("segment {number}: DASH is {off} microseconds after HLS")
                });
            }
        }
    }
    found.rule("X1", compared > 0, || {
        format!("no segment of {representation} is in both")
    });
    found.0
}

fn check_root(root: &Element, found: &mut Findings) {
    if root.get("type") == Some("static") {
        check_static_root(root, found);
        return;
    }
    found.rule("S1", root.get("type") == Some("dynamic"), || {
        format!("type {:?}", root.get("type"))
    });
    let start = root.get("availabilityStartTime").and_then(parse_date);
    found.rule("S1", start.is_some(), || {
        "no availabilityStartTime".to_owned()
    });
    let timing = root
        .all("UTCTiming")
        .filter_map(|timing| timing.get("schemeIdUri"));
    let known = timing.filter(|scheme| UTC_SCHEMES.contains(scheme)).count();
    found.rule("S2", known > 0, || "no usable UTCTiming".to_owned());
    let published = root.get("publishTime").and_then(parse_date);
    found.rule("S3", published.is_some(), || "no publishTime".to_owned());
    if root.get("minimumUpdatePeriod").is_none() {
        let last = root.all("Period").last();
        let closed = last.is_some_and(|period| period.get("duration").is_some())
            || root.get("mediaPresentationDuration").is_some();
        found.rule("S3", closed, || {
            "neither minimumUpdatePeriod nor a fixed end".to_owned()
        });
    }
}

/// A recording: all of it is there, and nothing depends on the time of day (ISO/IEC 23009-1 §5.3.1.2).
fn check_static_root(root: &Element, found: &mut Findings) {
    for live in [
        "minimumUpdatePeriod",
        "timeShiftBufferDepth",
        "suggestedPresentationDelay",
    ] {
        found.rule("S1", root.get(live).is_none(), || {
            format!("{live} in a static manifest")
        });
    }
    let length = root.micros("mediaPresentationDuration");
    found.rule("S3", length > Some(0), || format!("length {length:?} µs"));
    let first = root.all("Period").next();
    let start = first.and_then(|first| first.micros("start"));
    found.rule("S7", start == Some(0), || {
        format!("a static manifest begins at {start:?}")
    });
}

fn read(root: &Element, found: &mut Findings) -> Manifest {
    let mut periods = Vec::new();
    for period in root.all("Period") {
        let mut sets = Vec::new();
        let mut links = Vec::new();
        for set in period.all("AdaptationSet") {
            found.rule("S1", set.get("id").is_some(), || {
                "AdaptationSet without id".to_owned()
            });
            let representations = set.all("Representation");
            let representations =
                representations.filter_map(|r| read_representation(set, r, found));
            let representations = representations.collect();
            let id = set.get("id").unwrap_or_default();
            for property in set.all("SupplementalProperty") {
                let scheme = property.get("schemeIdUri").unwrap_or_default();
                if let Some(link) = scheme.strip_prefix("urn:mpeg:dash:period-") {
                    let to = property.get("value").unwrap_or_default();
                    links.push((id.to_owned(), link.to_owned(), to.to_owned()));
                }
            }
            sets.push((id.to_owned(), representations));
        }
        found.rule("S1", period.micros("start").is_some(), || {
            "Period without start".to_owned()
        });
        periods.push(Period {
            id: period.get("id").unwrap_or_default().to_owned(),
            start_micros: period.micros("start").unwrap_or(0),
            duration_micros: period.micros("duration"),
            sets,
            links,
        });
    }
    Manifest {
        epoch: root.get("availabilityStartTime").and_then(parse_date),
        periods,
    }
}

fn read_representation(
    set: &Element,
    representation: &Element,
    found: &mut Findings,
) -> Option<Representation> {
    let id = representation.get("id").unwrap_or_default().to_owned();
    let template = representation.first("SegmentTemplate");
    let template = template.or_else(|| set.first("SegmentTemplate"));
    let timeline = template.and_then(|template| template.first("SegmentTimeline"));
    let (Some(template), Some(timeline)) = (template, timeline) else {
        found.rule("S4", false, || format!("{id}: no SegmentTimeline"));
        return None;
    };
    let mut segments = Vec::new();
    let mut time = 0;
    for s in timeline.all("S") {
        found.rule("S4", s.get("n").is_none(), || format!("{id}: S@n"));
        time = s.number("t").unwrap_or(time);
        let duration = s.number("d").filter(|duration| *duration > 0);
        let Some(duration) = duration else {
            found.rule("S4", false, || format!("{id}: S without a positive d"));
            continue;
        };
        let repeat = s.number::<usize>("r").unwrap_or(0);
        let room = MAX_SEGMENTS.saturating_sub(segments.len());
        for _ in 0..repeat.saturating_add(1).min(room) {
            segments.push((time, duration));
            time = i64::saturating_add(time, duration);
        }
    }
    Some(Representation {
        id,
        timescale: template
            .number("timescale")
            .filter(|scale| *scale > 0)
            .unwrap_or(1),
        offset: template.number("presentationTimeOffset").unwrap_or(0),
        init: template
            .get("initialization")
            .unwrap_or_default()
            .to_owned(),
        first_number: template
            .number("startNumber")
            .unwrap_or(1)
            .min(u64::MAX >> 1),
        segments,
    })
}

fn check_periods(manifest: &Manifest, found: &mut Findings) {
    found.rule("S7", !manifest.periods.is_empty(), || {
        "no Period".to_owned()
    });
    for (index, period) in manifest.periods.iter().enumerate() {
        let id = &period.id;
        let again = manifest.periods[..index].iter().any(|p| p.id == *id);
        found.rule("S7", !id.is_empty() && !again, || {
            format!("Period id {id:?} is missing or used twice")
        });
        found.rule("S7", period.start_micros >= 0, || {
            format!("Period {id} starts before zero")
        });
        let next = manifest
            .periods
            .get(index + 1)
            .map(|next| next.start_micros);
        let end = period.duration_micros.map(|d| period.start_micros + d);
        let length = end.or(next).map(|end| end - period.start_micros);
        found.rule("S7", length.is_none_or(|length| length > 0), || {
            format!("Period {id} lasts {length:?} microseconds")
        });
        let overlap = end.zip(next).is_some_and(|(end, next)| end > next);
        found.rule("S7", !overlap, || format!("Period {id} overlaps the next"));
        found.rule(
            "S7",
            next.is_none_or(|next| next > period.start_micros),
            || format!("Period {id} starts after the next"),
        );
        check_reach(period, end.or(next), found);
        check_links(manifest, index, found);
        for representation in period.representations() {
            let (name, scale) = (&representation.id, representation.timescale);
            for pair in representation.segments.windows(2) {
                let hole = pair[1]
                    .0
                    .saturating_sub(pair[0].0.saturating_add(pair[0].1));
                let micros = i128::from(hole) * 1_000_000 / i128::from(scale);
                found.rule("S5", micros.abs() <= i128::from(ROUNDING_MICROS), || {
                    format!("{name}: {micros} microseconds between segments in Period {id}")
                });
            }
            let first = representation.segments.first();
            let early = first.is_some_and(|(start, span)| {
                representation.micros(period, start.saturating_add(*span)) <= period.start_micros
            });
            found.rule("S5", first.is_some() && !early, || {
                format!("{name}: no segment, or one before Period {id}")
            });
        }
    }
}

/// A Period with an end lasts no longer than its media; players cut off what lies beyond it.
fn check_reach(period: &Period, end: Option<i64>, found: &mut Findings) {
    let reached = period.representations().filter_map(|representation| {
        let (start, span) = representation.segments.last()?;
        Some(representation.micros(period, start.saturating_add(*span)))
    });
    let (Some(end), Some(reached)) = (end, reached.max()) else {
        return;
    };
    let off = end.saturating_sub(reached);
    found.rule("S7", off <= FRAME_MICROS, || {
        format!(
            "Period {} ends {off} microseconds after its media",
            period.id
        )
    });
}

/// Period-connected sets have the same Representations with equal inits; in continuous ones the samples
/// meet.
fn check_links(manifest: &Manifest, index: usize, found: &mut Findings) {
    let period = &manifest.periods[index];
    for (set, link, to) in &period.links {
        let scheme = matches!(link.as_str(), "continuity:2015" | "connectivity:2015");
        found.rule("S7", scheme, || format!("period-{link} in {}", period.id));
        let earlier = manifest.periods[..index].iter().find(|p| p.id == *to);
        // An earlier Period that has left the manifest tells nothing any more.
        let Some(earlier) = earlier else { continue };
        let here = period.set(set).unwrap_or_default();
        let there = earlier.set(set).unwrap_or_default();
        let equal = here.len() == there.len()
            && here.iter().zip(there).all(|(here, there)| {
                let meets = there.segments.last().map(|(start, span)| start + span);
                here.id == there.id
                    && here.init == there.init
                    && (link == "connectivity:2015" || meets == here.segments.first().map(|s| s.0))
            });
        found.rule("S7", equal, || {
            format!("set {set} of Period {} is no {link} of {to}", period.id)
        });
    }
}

fn check_low_latency(root: &Element, found: &mut Findings) {
    let sets = root
        .all("Period")
        .flat_map(|period| period.all("AdaptationSet"));
    let representations: Vec<&Element> = sets.flat_map(|set| set.all("Representation")).collect();
    let templates: Vec<&Element> = representations
        .iter()
        .filter_map(|representation| representation.first("SegmentTemplate"))
        .collect();
    let chunked = |template: &&&Element| template.get("availabilityTimeComplete").is_some();
    let count = templates.iter().filter(chunked).count();
    found.rule("S9", count == 0 || count == templates.len(), || {
        format!("{count} of {} templates are chunked", templates.len())
    });
    let low_latency = root.first("ServiceDescription").is_some();
    found.rule("S9", low_latency == (count > 0), || {
        format!("{count} chunked templates, ServiceDescription: {low_latency}")
    });
    if !low_latency {
        return;
    }
    let service = root.first("ServiceDescription");
    for name in ["Latency", "PlaybackRate"] {
        let there = service.is_some_and(|service| service.first(name).is_some());
        found.rule("S9", there, || format!("no {name}"));
    }
    for template in templates {
        let offset = template.number::<f64>("availabilityTimeOffset");
        found.rule("S9", offset.is_some_and(|offset| offset > 0.0), || {
            format!("availabilityTimeOffset {offset:?}")
        });
    }
    for representation in representations {
        let reference = representation.first("ProducerReferenceTime");
        found.rule("S9", reference.is_some(), || {
            format!("{:?}: no ProducerReferenceTime", representation.get("id"))
        });
    }
}

fn check_change(old: &Manifest, new: &Manifest, found: &mut Findings) {
    found.rule("S1", old.epoch == new.epoch, || {
        "availabilityStartTime changed".to_owned()
    });
    let last = old.periods.len().saturating_sub(1);
    let kept = |before: &&Period| new.periods.iter().any(|after| after.id == before.id);
    let left = old
        .periods
        .iter()
        .take_while(|before| !kept(before))
        .count();
    let stay = old.periods[left..].iter().map(|before| &before.id);
    let order = stay.eq(new
        .periods
        .iter()
        .take(old.periods.len() - left)
        .map(|p| &p.id));
    found.rule("S7", order, || {
        "a Period came or went before one that was there".to_owned()
    });
    for (index, before) in old.periods.iter().enumerate() {
        let Some(after) = new.periods.iter().find(|after| after.id == before.id) else {
            continue;
        };
        let id = &before.id;
        found.rule("S1", before.start_micros == after.start_micros, || {
            format!("start of Period {id} changed")
        });
        let closed = index < last || before.duration_micros.is_some();
        found.rule(
            "S1",
            !closed || before.duration_micros == after.duration_micros,
            || format!("duration of closed Period {id} changed"),
        );
        found.rule("S1", before.shape() == after.shape(), || {
            format!("sets, Representations or inits of Period {id} changed")
        });
        for (one, other) in before.representations().zip(after.representations()) {
            check_append(id, one, other, found);
        }
    }
}

/// A timeline may only lose its oldest and gain newer segments; the running segment of a
/// low-latency manifest is listed with its expected length until it is known.
fn check_append(period: &str, old: &Representation, new: &Representation, found: &mut Findings) {
    let end = |r: &Representation| r.first_number.saturating_add(r.segments.len() as u64);
    let offset = old.offset == new.offset && old.timescale == new.timescale;
    found.rule(
        "S4",
        offset && new.first_number >= old.first_number && end(new) >= end(old),
        || {
            format!(
                "{}: offset, timescale or range of Period {period} changed backwards",
                old.id
            )
        },
    );
    for (number, before) in old.numbered() {
        let index = number.checked_sub(new.first_number);
        let index = index.and_then(|index| usize::try_from(index).ok());
        let Some(after) = index.and_then(|index| new.segments.get(index)) else {
            continue;
        };
        let same = before.0 == after.0 && (before.1 == after.1 || number + 1 == end(old));
        found.rule("S4", same, || {
            format!(
                "{}: segment {number} changed from {before:?} to {after:?}",
                old.id
            )
        });
    }
}
