//! From snapshots to Periods: the range that all renditions have, cut wherever what is there changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Link, Mode, Opening, Periods, Shape};
use crate::manifest::hls::frame_rate_millis;
use crate::media::time::{Ticks, Timescale, rescale};
use crate::media::timeline::{Description, Init, Rules, Segment, Snapshot};
use crate::media::{CodecConfig, MediaKind, Rendition};

/// Finished segments whose equal length lets the running one's be foretold.
const STEADY_SEGMENTS: usize = 3;

/// A picture that stands still for longer than this is missed, milliseconds.
const CUT_OFF: Ticks = Ticks(500);

/// What a manifest lists.
pub(super) struct Plan<'a> {
    /// Oldest first, never empty.
    pub(super) periods: Vec<Period<'a>>,
    /// When the newest listed thing became available, microseconds since the epoch, in whole
    /// milliseconds.
    pub(super) newest_micros: i64,
}

/// Segments that belong together.
pub(super) struct Period<'a> {
    pub(super) opening: u64,
    /// Microseconds since the epoch.
    pub(super) start_micros: i64,
    /// End of the last listed segment, microseconds since the epoch.
    pub(super) end_micros: i64,
    /// How each kind of media goes on from an earlier Period.
    pub(super) links: Vec<Link>,
    /// In the description's order, video first.
    pub(super) representations: Vec<Representation<'a>>,
}

/// One rendition's segments in a Period.
pub(super) struct Representation<'a> {
    pub(super) rendition: &'a Rendition,
    pub(super) init: &'a Init,
    pub(super) first_sequence: u64,
    /// Start and duration of each, in the rendition's timescale.
    pub(super) segments: Vec<(Ticks, Ticks)>,
}

impl Representation<'_> {
    pub(super) fn timescale(&self) -> Timescale {
        self.rendition.track.timescale
    }

    fn end(&self) -> Option<Ticks> {
        self.segments.last().map(|(start, span)| *start + *span)
    }

    fn end_micros(&self) -> i64 {
        micros(self.end().unwrap_or_default(), self.timescale())
    }
}

/// A rendition with its segments up to the last that may be listed.
struct Row<'a> {
    rendition: &'a Rendition,
    snapshot: &'a Snapshot,
    listed: &'a [Arc<Segment>],
    /// Foretold length of the last listed segment, when that one is running.
    running: Option<Ticks>,
    /// Nothing is listed after this segment.
    left: u64,
}

impl<'a> Row<'a> {
    fn segment(&self, sequence: u64) -> Option<&'a Segment> {
        let at = self
            .listed
            .binary_search_by_key(&sequence, |segment| segment.sequence)
            .ok()?;
        Some(&self.listed[at])
    }

    /// The segment, if it has media to be listed.
    fn media(&self, sequence: u64) -> Option<&'a Segment> {
        self.segment(sequence)
            .filter(|segment| !segment.gap && sequence <= self.left)
    }

    /// Whether media are missing at the end of a finished segment for so long that it shows.
    fn is_cut_off(&self, segment: &Segment) -> bool {
        let scale = self.snapshot.timescale();
        let media = segment.parts.last().map(|part| part.start + part.duration);
        let missing = segment.start + segment.duration - media.unwrap_or(segment.start);
        segment.complete && missing > rescale(CUT_OFF, Timescale::MILLIS, scale)
    }

    fn duration(&self, segment: &Segment) -> Ticks {
        match self.running {
            Some(foretold) if !segment.complete => foretold.max(segment.duration),
            _ => segment.duration,
        }
    }
}

pub(super) fn plan<'a>(
    description: &'a Description,
    snapshots: &'a [Arc<Snapshot>],
    mode: Mode,
    periods: &mut Periods,
) -> Option<Plan<'a>> {
    let ladder = description.video.iter().any(|video| !video.source);
    let broken = broken_sequences(snapshots);
    let mut rows = Vec::new();
    for rendition in description.video.iter().chain(&description.audio) {
        let snapshot = snapshots
            .iter()
            .find(|snapshot| snapshot.rendition.name == rendition.name)?;
        let (listed, running) = listed(snapshot, mode, ladder);
        // A schedule foretells each segment's length, which no miss proves wrong.
        if mode == Mode::LowLatency
            && ladder
            && snapshot.scheduled.is_none()
            && rendition.kind() == MediaKind::Video
            && let Some(miss) = first_miss(snapshot, &broken)
        {
            let left = periods.left.entry(Arc::clone(&rendition.name));
            left.or_insert(miss);
        }
        let left = match mode {
            Mode::Standard => None,
            Mode::LowLatency => periods.left.get(&rendition.name),
        };
        rows.push(Row {
            rendition,
            snapshot,
            listed,
            running,
            left: left.copied().unwrap_or(u64::MAX),
        });
    }
    // A segment is listed when the slowest rendition has it.
    let mut oldest = u64::MAX;
    let mut joined = None;
    let mut last = None;
    for row in &rows {
        let first = row.listed.first()?.sequence;
        oldest = oldest.min(first);
        // One that came later than what has been told of joins where it begins.
        if periods.had(&row.rendition.name) {
            joined = joined.max(Some(first));
        }
        let own_last = row.listed.last()?.sequence;
        // At the end there is nothing more to wait for.
        last = Some(match last {
            Some(last) if description.ended => own_last.max(last),
            Some(last) => own_last.min(last),
            None => own_last,
        });
    }
    let last = last?;
    // What was left out once does not come back.
    let recording = description.rules.is_recording();
    // A recording has told of nothing before: it begins with whoever began.
    let joined = joined.filter(|_| !recording);
    periods.first = periods.first.max(joined.unwrap_or(oldest));
    let first = periods.first;
    let mut found: Vec<Period<'a>> = Vec::new();
    let mut shape = Shape::new();
    let mut newest_micros = i64::MIN;
    for sequence in first..=last {
        let next_shape = shape_at(&rows, sequence, mode);
        let cut = rows
            .iter()
            .filter_map(|row| row.segment(sequence))
            .any(|segment| segment.discontinuity);
        if !next_shape.is_empty() && (cut || next_shape != shape) {
            let before = found.last();
            let period = open(
                &rows,
                sequence,
                &next_shape,
                sequence == first,
                before,
                periods,
            );
            found.push(period);
        }
        shape = next_shape;
        let Some(period) = found.last_mut().filter(|_| !shape.is_empty()) else {
            continue;
        };
        for to in &mut period.representations {
            let Some((row, segment)) = of_name(&rows, &to.rendition.name, sequence) else {
                continue;
            };
            to.segments.push((segment.start, row.duration(segment)));
            newest_micros = newest_micros.max(available_micros(row, segment));
        }
    }
    for period in &mut found {
        let ends = period
            .representations
            .iter()
            .map(Representation::end_micros);
        period.end_micros = ends.max().unwrap_or(period.start_micros);
    }
    let oldest = found.first()?.opening;
    periods
        .openings
        .retain(|opening| opening.sequence >= oldest);
    Some(Plan {
        periods: found,
        newest_micros: newest_micros.div_euclid(1000) * 1000,
    })
}

/// A rendition's segment.
fn of_name<'r, 'a>(
    rows: &'r [Row<'a>],
    name: &str,
    sequence: u64,
) -> Option<(&'r Row<'a>, &'a Segment)> {
    let row = rows.iter().find(|row| *row.rendition.name == *name)?;
    Some((row, row.segment(sequence)?))
}

/// Renditions that have media in a segment, in order. The standard manifest does without one whose media
/// end early where another of its kind has them all (checklist S8); the low-latency one has told of the
/// segment before that is known.
fn shape_at(rows: &[Row<'_>], sequence: u64, mode: Mode) -> Shape {
    let has_all = |row: &Row<'_>| row.media(sequence).is_some_and(|s| !row.is_cut_off(s));
    let mut whole_kinds = Vec::new();
    if mode == Mode::Standard {
        let whole = rows.iter().filter(|row| has_all(row));
        whole_kinds.extend(whole.map(|row| row.rendition.kind()));
    }
    rows.iter()
        .filter(|row| has_all(row) || !whole_kinds.contains(&row.rendition.kind()))
        .filter_map(|row| {
            let init = row.media(sequence)?.init.name.clone();
            Some((Arc::clone(&row.rendition.name), init))
        })
        .collect()
}

/// Opens the Period that begins at `sequence`, or takes up the one that began before the window.
fn open<'a>(
    rows: &[Row<'a>],
    sequence: u64,
    shape: &Shape,
    first_listed: bool,
    before: Option<&Period<'a>>,
    periods: &mut Periods,
) -> Period<'a> {
    let segments: Vec<(&Row<'a>, &'a Segment)> = shape
        .iter()
        .filter_map(|(name, _)| of_name(rows, name, sequence))
        .collect();
    let discontinuity_sequence = segments
        .iter()
        .map(|(_, segment)| segment.discontinuity_sequence)
        .max()
        .unwrap_or(0);
    let goes_on = first_listed && !segments.iter().any(|(_, segment)| segment.discontinuity);
    let known = periods.openings.iter().rev().find(|opening| {
        opening.shape == *shape
            && opening.discontinuity_sequence == discontinuity_sequence
            && (opening.sequence == sequence || goes_on && opening.sequence < sequence)
    });
    let opening = known.cloned().unwrap_or_else(|| {
        let starts = segments
            .iter()
            .map(|(row, segment)| micros(segment.start, row.snapshot.timescale()));
        // The stream's first Period begins with the stream, so that it needs no offset: GStreamer's
        // dashdemux (1.22) counts Period@start twice.
        let live = rows
            .first()
            .is_some_and(|row| !row.snapshot.rules.is_recording());
        let is_first = live && discontinuity_sequence == 0 && periods.openings.is_empty();
        // By a schedule it is known where the Period opened whose first segments have left the window, or
        // were told of by another process.
        let opened = segments.iter().map(|(row, _)| {
            let (opened, start) = row.snapshot.scheduled.filter(|_| goes_on)?.opened;
            Some((opened, micros(start, row.snapshot.timescale())))
        });
        let opened = opened.min().flatten();
        // Another Representation may join a Period that has been told of.
        let told = periods
            .openings
            .iter()
            .find(|known| known.sequence == sequence);
        let start_micros = match told {
            Some(told) => told.start_micros,
            None if is_first => 0,
            None => opened.map(|(_, start)| start).or(starts.min()).unwrap_or(0),
        };
        let opening = Opening {
            sequence: opened.map_or(sequence, |(opened, _)| opened),
            start_micros,
            discontinuity_sequence,
            shape: shape.clone(),
            links: before
                .map(|before| links(before, &segments))
                .unwrap_or_default(),
        };
        periods
            .openings
            .retain(|known| known.sequence != opening.sequence);
        periods.openings.push(opening.clone());
        opening
    });
    Period {
        opening: opening.sequence,
        start_micros: opening.start_micros,
        end_micros: opening.start_micros,
        links: opening.links,
        representations: segments
            .iter()
            .map(|(row, segment)| Representation {
                rendition: row.rendition,
                init: &segment.init,
                first_sequence: sequence,
                segments: Vec::new(),
            })
            .collect(),
    }
}

/// Which kinds of media have the same Representations with equal inits as the Period before, and whether
/// their samples meet (ISO/IEC 23009-1 §5.3.2.4, DASH-IF IOP "Period continuity").
fn links(before: &Period<'_>, segments: &[(&Row<'_>, &Segment)]) -> Vec<Link> {
    let link = |kind| {
        let of_kind = |rendition: &Rendition| rendition.kind() == kind;
        let old = before.representations.iter();
        let old: Vec<&Representation<'_>> = old.filter(|old| of_kind(old.rendition)).collect();
        let new = segments.iter().filter(|(row, _)| of_kind(row.rendition));
        let new: Vec<&Segment> = new.map(|(_, segment)| *segment).collect();
        let same = old.len() == new.len()
            && segments
                .iter()
                .filter(|(row, _)| of_kind(row.rendition))
                .zip(&old)
                .all(|((row, segment), old)| {
                    old.rendition.name == row.rendition.name && old.init.name == segment.init.name
                });
        let meets = old
            .iter()
            .zip(&new)
            .all(|(old, new)| old.end() == Some(new.start));
        (same && !new.is_empty()).then_some(Link {
            kind,
            period: before.opening,
            continuous: meets,
        })
    };
    [MediaKind::Video, MediaKind::Audio]
        .into_iter()
        .filter_map(link)
        .collect()
}

/// The segments that may be listed, and the foretold length of a running last one. A gap that has begun
/// is known to have no media, however long it lasts: the other renditions need not wait for its end.
fn listed(snapshot: &Snapshot, mode: Mode, ladder: bool) -> (&[Arc<Segment>], Option<Ticks>) {
    match snapshot.segments.split_last() {
        Some((last, older)) if !last.complete && !last.gap => {
            let foretold = match (mode, snapshot.scheduled) {
                (Mode::Standard, _) => None,
                (Mode::LowLatency, _) if last.parts.is_empty() => None,
                (Mode::LowLatency, Some(scheduled)) => scheduled.running,
                (Mode::LowLatency, None) if ladder => Some(grid(snapshot)),
                (Mode::LowLatency, None) => steady_duration(snapshot, last, older),
            };
            match foretold {
                Some(duration) => (&snapshot.segments, Some(duration)),
                None => (older, None),
            }
        }
        _ => (&snapshot.segments, None),
    }
}

/// Without a ladder nothing keeps the source to a grid: its own habit tells, if it has one. What a break
/// cut short is not its habit, nor is that of another configuration.
fn steady_duration(
    snapshot: &Snapshot,
    running: &Segment,
    finished: &[Arc<Segment>],
) -> Option<Ticks> {
    let mut next = running;
    let mut durations = Vec::with_capacity(STEADY_SEGMENTS);
    for segment in finished.iter().rev() {
        let whole = !segment.gap && !next.gap && !next.discontinuity;
        if whole && segment.init.name == running.init.name {
            durations.push(segment.duration);
        }
        if durations.len() == STEADY_SEGMENTS {
            break;
        }
        next = segment;
    }
    let spread = *durations.iter().max()? - *durations.iter().min()?;
    let steady = durations.len() == STEADY_SEGMENTS && spread <= frame(snapshot);
    steady.then(|| durations[0])
}

/// Segments that begin or end where something broke in any rendition: all are cut there.
fn broken_sequences(snapshots: &[Arc<Snapshot>]) -> BTreeSet<u64> {
    let mut broken = BTreeSet::new();
    for segment in snapshots.iter().flat_map(|snapshot| &snapshot.segments) {
        let sequence = segment.sequence;
        if segment.gap || segment.discontinuity {
            broken.extend([sequence.saturating_sub(1), sequence]);
        }
        if segment.gap {
            broken.insert(sequence + 1);
        }
    }
    broken
}

/// The first segment after which a rendition is off the grid. One beside a gap or a discontinuity of any
/// rendition was cut short or brings the source back to the grid, which proves nothing, and so may the
/// oldest be, whose neighbour has left; the last one may yet turn out to be such.
fn first_miss(snapshot: &Snapshot, broken: &BTreeSet<u64>) -> Option<u64> {
    let (grid, frame) = (grid(snapshot), frame(snapshot));
    let inner = snapshot
        .segments
        .get(1..snapshot.segments.len().checked_sub(1)?)?;
    let missed = inner.iter().find(|segment| {
        !broken.contains(&segment.sequence) && (segment.duration - grid).abs() > frame
    });
    missed.map(|segment| segment.sequence)
}

fn grid(snapshot: &Snapshot) -> Ticks {
    grid_of(&snapshot.rules, snapshot.timescale())
}

fn grid_of(rules: &Rules, scale: Timescale) -> Ticks {
    Ticks::from_duration(rules.segment_target, scale)
}

/// The longest frame to be expected, in the rendition's timescale.
fn frame(snapshot: &Snapshot) -> Ticks {
    let scale = snapshot.timescale();
    let of = |count: u32, rate: u32| match Timescale::new(rate) {
        Some(rate) => rescale(Ticks(i64::from(count)), rate, scale),
        None => Ticks::ZERO,
    };
    match &snapshot.rendition.track.config {
        CodecConfig::Aac(config) => of(config.frame_samples, config.sample_rate),
        // The longest packet that RFC 6716 allows is 120 ms, encoders send 20.
        CodecConfig::Opus(_) => of(20, 1000),
        // Unknown rates are taken for 20 frames per second.
        CodecConfig::Avc(_) | CodecConfig::Hevc(_) | CodecConfig::Av1(_) => of(
            1000,
            frame_rate_millis(&snapshot.rendition, &snapshot.rendition.track).unwrap_or(20_000),
        ),
    }
}

/// When a segment can first be asked for: finished ones at their end, a running one at the end of
/// its first part.
fn available_micros(row: &Row<'_>, segment: &Segment) -> i64 {
    let span = match segment.parts.first() {
        Some(part) if !segment.complete => part.duration,
        _ => segment.duration,
    };
    micros(segment.start + span, row.snapshot.timescale())
}

fn micros(time: Ticks, scale: Timescale) -> i64 {
    rescale(time, scale, Timescale::MICROS).0
}
