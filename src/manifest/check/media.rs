//! Rules of one media playlist, and of its change since an earlier one.

use super::{Findings, Violation};
use crate::manifest::parse::{Media, Segment};

/// Rounding of decimal seconds and of dates to milliseconds.
const ROUNDING_S: f64 = 0.0011;

/// The longest frame (20 per second): a segment's parts may differ from its EXTINF by less.
const FRAME_S: f64 = 0.05;

/// The longest hole that is closed without a break: the picture before it stands still, and the parts of
/// its segment add up to less than the segment lasts.
const HOLE_S: f64 = 1.0;

/// Checks a media playlist, and what changed since `previous`, an earlier full answer of the same URL.
/// Rules P1-P5, P8-P10, P12, D1, D3, D5, L1-L4, L6, L8, L9.
pub fn check_media_playlist(text: &str, previous: Option<&str>) -> Vec<Violation> {
    let playlist = match Media::parse(text) {
        Ok(playlist) => playlist,
        Err(error) => return Findings::unreadable(&error),
    };
    let mut found = Findings::default();
    check_header(&playlist, &mut found);
    check_segments(&playlist, &mut found);
    check_parts(&playlist, &mut found);
    match previous.map(Media::parse) {
        None => {}
        Some(Ok(previous)) => check_change(&previous, &playlist, &mut found),
        Some(Err(error)) => found.rule("syntax", false, || format!("previous: {error}")),
    }
    found.0
}

/// Checks a delta update against the full playlist of the same state (rule L8).
pub fn check_delta(delta: &str, full: &str) -> Vec<Violation> {
    let (delta, full) = match (Media::parse(delta), Media::parse(full)) {
        (Ok(delta), Ok(full)) => (delta, full),
        (Err(error), _) | (_, Err(error)) => return Findings::unreadable(&error),
    };
    let mut found = Findings::default();
    found.rule("L8", delta.skips.len() == 1, || {
        format!("{} EXT-X-SKIP tags", delta.skips.len())
    });
    let skipped = usize::try_from(delta.skipped()).unwrap_or(usize::MAX);
    let rest = full.segments.get(skipped..).unwrap_or_default();
    found.rule("L8", rest == delta.segments, || {
        format!(
            "{skipped} skipped and {} listed, of {}; or the listed ones differ",
            delta.segments.len(),
            full.segments.len()
        )
    });
    let header = |media: &Media| Media {
        skips: Vec::new(),
        segments: Vec::new(),
        ..media.clone()
    };
    found.rule("L8", header(&delta) == header(&full), || {
        "header, hints or reports differ from the full playlist's".to_owned()
    });
    found.0
}

fn check_header(playlist: &Media, found: &mut Findings) {
    let target = playlist.target_duration as f64;
    let live = !playlist.ended;
    found.rule("P4", playlist.playlist_type.is_none() || !live, || {
        format!("PLAYLIST-TYPE {:?} in a live list", playlist.playlist_type)
    });
    found.rule("D3", playlist.discontinuity_sequence.is_some(), || {
        "no DISCONTINUITY-SEQUENCE".to_owned()
    });
    let control = &playlist.server_control;
    let skip_until = control.number::<f64>("CAN-SKIP-UNTIL");
    let needed = if !playlist.skips.is_empty() || skip_until.is_some() {
        9
    } else {
        6
    };
    found.rule("P9", playlist.version == Some(needed), || {
        format!("version {:?} where {needed} is needed", playlist.version)
    });
    found.rule("L8", skip_until.is_none_or(|s| s >= 6.0 * target), || {
        format!("CAN-SKIP-UNTIL {skip_until:?} with target duration {target}")
    });
    let skips = playlist.skips.len();
    found.rule(
        "L8",
        skips == 0 || skips == 1 && skip_until.is_some(),
        || format!("{skips} EXT-X-SKIP with CAN-SKIP-UNTIL {skip_until:?}"),
    );
    let hold_back = control.number::<f64>("HOLD-BACK");
    found.rule("L1", hold_back.is_none_or(|s| s >= 3.0 * target), || {
        format!("HOLD-BACK {hold_back:?} with target duration {target}")
    });
    let has_parts = playlist.segments.iter().any(|s| !s.parts.is_empty());
    match playlist.part_target {
        None => found.rule("L1", !has_parts, || "parts without PART-INF".to_owned()),
        Some(part) => {
            let hold_back = control.number::<f64>("PART-HOLD-BACK");
            let enough = hold_back.is_some_and(|s| s >= 3.0 * part - 1e-9);
            found.rule("L1", enough, || {
                format!("PART-HOLD-BACK {hold_back:?} with PART-TARGET {part}")
            });
        }
    }
    let hint = |kind| {
        let hints = playlist.hints.iter();
        hints.filter(|hint| hint.get("TYPE") == Some(kind)).count()
    };
    let hints = [hint("PART"), hint("MAP")];
    let most = usize::from(live);
    found.rule("L6", hints.iter().all(|count| *count <= most), || {
        format!("{hints:?} hints (part, map), ended: {}", playlist.ended)
    });
    for report in &playlist.reports {
        let uri = report.get("URI").unwrap_or_default();
        let relative = !uri.is_empty() && !uri.contains("://") && !uri.starts_with('/');
        let sequence = report.number::<u64>("LAST-MSN");
        found.rule("L9", relative && sequence.is_some(), || {
            format!("report for {uri:?} with LAST-MSN {sequence:?}")
        });
    }
}

fn check_segments(playlist: &Media, found: &mut Findings) {
    let target = playlist.target_duration as f64;
    // A delta update leaves the map and the date of its first segment's predecessors to the client.
    let whole = playlist.skips.is_empty();
    if let Some(first) = playlist.segments.first().filter(|_| whole) {
        found.rule("P9", first.map.is_some(), || {
            "no EXT-X-MAP before the first segment".to_owned()
        });
        found.rule("P10", first.date.is_some(), || {
            "no PROGRAM-DATE-TIME before the first segment".to_owned()
        });
    }
    let mut previous: Option<&Segment> = None;
    for (number, segment) in playlist.numbered() {
        let span = segment.duration;
        let rounded = span.round() <= target && span <= target + 0.5;
        found.rule("P1", rounded, || {
            format!("segment {number} of {span} s above target duration {target}")
        });
        found.rule("L3", segment.late_tag.is_none(), || {
            format!("{:?} after the first part of {number}", segment.late_tag)
        });
        found.rule(
            "D1",
            segment.map.is_none() || segment.discontinuity || previous.is_none(),
            || format!("new map before {number} without DISCONTINUITY"),
        );
        found.rule(
            "P10",
            !segment.discontinuity || segment.date.is_some(),
            || format!("discontinuity at {number} without PROGRAM-DATE-TIME"),
        );
        let missing = segment.gap && segment.parts.iter().any(|part| !part.gap);
        found.rule("P12", !missing, || {
            format!("gap segment {number} with parts that are none")
        });
        found.rule("P12", !segment.gap || span > 0.0, || {
            format!("gap segment {number} without a duration")
        });
        if let Some(before) = previous {
            check_date(number, before, segment, found);
        }
        let next = playlist.segment(number.saturating_add(1));
        if !segment.uri.is_empty() && !segment.parts.is_empty() {
            let parts: f64 = segment.parts.iter().map(|part| part.duration).sum();
            // Before a gap any may be missing; the last one's gap is not listed before it ends.
            let before_gap = next.is_none_or(|next| next.gap);
            let missing = if before_gap { span } else { HOLE_S };
            let fits = parts - span < FRAME_S && span - parts < missing + FRAME_S;
            found.rule("P8", fits, || {
                format!("parts of {number} add up to {parts} s, EXTINF is {span}")
            });
        }
        previous = Some(segment);
    }
}

/// Dates are as far apart as segments last. A discontinuity may jump, but not beside a gap: to state how
/// long nothing is there is what a gap is for.
fn check_date(number: u64, before: &Segment, segment: &Segment, found: &mut Findings) {
    let (Some(from), Some(to)) = (before.date, segment.date) else {
        return;
    };
    let off = to.micros_since(from) as f64 / 1e6 - before.span();
    let beside_gap = before.gap || segment.gap;
    let adds_up = off.abs() < ROUNDING_S;
    found.rule("P10", adds_up || segment.discontinuity, || {
        format!("date of {number} is off by {off:.6} s")
    });
    found.rule("P12", adds_up || !beside_gap, || {
        format!("date of {number}, beside a gap, is off by {off:.6} s")
    });
}

fn check_parts(playlist: &Media, found: &mut Findings) {
    let Some(target) = playlist.part_target else {
        return;
    };
    let oldest = 3.0 * playlist.target_duration as f64;
    let mut to_end: f64 = playlist.segments.iter().map(Segment::span).sum();
    for (number, segment) in playlist.numbered() {
        found.rule(
            "L4",
            segment.parts.is_empty() || to_end <= oldest + ROUNDING_S,
            || format!("parts of {number} begin {to_end} s before the end"),
        );
        to_end -= segment.span();
        for (index, part) in segment.parts.iter().enumerate() {
            let span = part.duration;
            found.rule("L2", span <= target, || {
                format!("part {} of {span} s above PART-TARGET {target}", part.uri)
            });
            let next = segment.parts.get(index + 1);
            let excused = part.independent || part.gap || next.is_none_or(|next| next.gap);
            found.rule("L2", excused || span >= 0.85 * target, || {
                format!("part {} of {span} s below 85 % of {target}", part.uri)
            });
        }
    }
}

fn check_change(old: &Media, new: &Media, found: &mut Findings) {
    found.rule("P1", old.target_duration == new.target_duration, || {
        format!(
            "target duration went from {} to {}",
            old.target_duration, new.target_duration
        )
    });
    let fixed = old.server_control == new.server_control
        && old.part_target == new.part_target
        && old.version == new.version;
    // A delta update needs the version of EXT-X-SKIP; playlists that offer it have that already.
    found.rule("P5", fixed, || {
        "version, SERVER-CONTROL or PART-INF changed".to_owned()
    });
    found.rule("P2", new.media_sequence >= old.media_sequence, || {
        format!(
            "media sequence fell from {} to {}",
            old.media_sequence, new.media_sequence
        )
    });
    let ended_and_changed = old.ended && old != new;
    found.rule("P5", !ended_and_changed, || {
        "changed after ENDLIST".to_owned()
    });
    found.rule("P5", end(new) >= end(old), || {
        format!("the end went back from {} to {}", end(old), end(new))
    });
    if new.media_sequence > old.media_sequence && !new.ended && new.skips.is_empty() {
        let left: f64 = new.segments.iter().map(|segment| segment.duration).sum();
        let least = 3.0 * new.target_duration as f64;
        found.rule("P3", left >= least, || {
            format!("{left} s left after removal, {least} needed")
        });
    }
    let removed = old
        .numbered()
        .filter(|(number, segment)| *number < new.media_sequence && segment.discontinuity);
    let expected = old
        .discontinuity_sequence
        .map(|n| n + removed.count() as u64);
    // With a hole between the two answers nobody knows what left.
    if expected.is_some() && new.media_sequence <= end(old) {
        found.rule("D3", new.discontinuity_sequence == expected, || {
            format!(
                "discontinuity sequence {:?}, expected {expected:?}",
                new.discontinuity_sequence
            )
        });
    }
    if old.segments.is_empty() {
        let odd = new.segments.first().is_some_and(|s| s.discontinuity);
        found.rule("D5", !odd, || "life begins with DISCONTINUITY".to_owned());
    }
    for (number, before) in old.numbered() {
        if let Some(after) = new.segment(number) {
            check_edit(number, before, after, number == new.first_sequence(), found);
        }
    }
    check_hint(old, new, found);
}

/// The sequence number after the last segment.
fn end(media: &Media) -> u64 {
    media
        .first_sequence()
        .saturating_add(media.segments.len() as u64)
}

/// What may happen to a listed segment: parts come while it grows, and go when it is old. It never
/// becomes a gap: a growing one is listed for its parts.
fn check_edit(number: u64, old: &Segment, new: &Segment, first: bool, found: &mut Findings) {
    let tags = old.discontinuity == new.discontinuity
        && old.date == new.date
        && (old.map == new.map || first && old.map.is_none())
        && old.gap == new.gap;
    let finished = old.uri.is_empty() || old.uri == new.uri && old.duration == new.duration;
    found.rule("P5", tags && finished, || {
        format!("tags, duration or URI of segment {number} changed")
    });
    let parts = if old.uri.is_empty() {
        new.parts.is_empty() && !new.uri.is_empty() || new.parts.starts_with(&old.parts)
    } else {
        new.parts.is_empty() || new.parts == old.parts
    };
    found.rule("P5", parts, || format!("listed parts of {number} changed"));
}

/// The part that was hinted must be the one that came, unless nothing came: a gap's part has no bytes.
fn check_hint(old: &Media, new: &Media, found: &mut Findings) {
    let hint = old.hints.iter().find(|h| h.get("TYPE") == Some("PART"));
    let Some(uri) = hint.and_then(|hint| hint.get("URI")) else {
        return;
    };
    let count = old.segments.last().map_or(0, |last| {
        if last.uri.is_empty() {
            last.parts.len()
        } else {
            0
        }
    });
    let growing = old.segments.last().is_some_and(|last| last.uri.is_empty());
    let at = end(old) - u64::from(growing);
    // A segment that lists its parts no more does not tell which one came first.
    let mut came = new
        .numbered()
        .filter(|(number, _)| *number >= at)
        .take_while(|(_, segment)| {
            segment.uri.is_empty() || segment.gap || !segment.parts.is_empty()
        })
        .flat_map(|(number, segment)| {
            let skip = if number == at { count } else { 0 };
            segment.parts.iter().skip(skip).filter(|part| !part.gap)
        });
    let came = came.next();
    found.rule("L6", came.is_none_or(|part| part.uri == uri), || {
        format!("{uri} was hinted, {:?} came", came.map(|part| &part.uri))
    });
}
