//! From snapshots to Periods: the range that all renditions have, cut wherever what is there changes.

use std::sync::Arc;

use super::{CHANGE_MICROS, Mode, Opening, Periods};
use crate::manifest::hls::frame_rate_millis;
use crate::media::time::{Ticks, Timescale, rescale};
use crate::media::timeline::{Description, Rules, Segment, Snapshot};
use crate::media::{CodecConfig, MediaKind, Rendition};

/// Finished segments whose equal length lets the running one's be foretold.
const STEADY_SEGMENTS: usize = 3;

/// What a manifest lists.
pub(super) struct Plan<'a> {
    /// Oldest first, never empty.
    pub(super) periods: Vec<Period<'a>>,
    /// When the newest listed thing became available, or what is listed changed since: microseconds
    /// since the epoch.
    pub(super) published_micros: i64,
}

/// Segments that belong together.
pub(super) struct Period<'a> {
    pub(super) opening: u64,
    /// Microseconds since the epoch.
    pub(super) start_micros: i64,
    /// End of the last listed segment, microseconds since the epoch.
    pub(super) end_micros: i64,
    /// In the description's order, video first.
    pub(super) representations: Vec<Representation<'a>>,
}

/// One rendition's segments in a Period.
pub(super) struct Representation<'a> {
    pub(super) rendition: &'a Rendition,
    pub(super) init: &'a str,
    pub(super) first_sequence: u64,
    /// Start and duration of each, in the rendition's timescale.
    pub(super) segments: Vec<(Ticks, Ticks)>,
}

impl Representation<'_> {
    pub(super) fn timescale(&self) -> Timescale {
        self.rendition.track.timescale
    }

    fn end_micros(&self) -> i64 {
        let end = self.segments.last().map(|(start, span)| *start + *span);
        micros(end.unwrap_or_default(), self.timescale())
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
    let mut rows = Vec::new();
    for rendition in description.video.iter().chain(&description.audio) {
        let snapshot = snapshots
            .iter()
            .find(|snapshot| snapshot.rendition.name == rendition.name)?;
        let (listed, running) = listed(snapshot, mode, ladder);
        if mode == Mode::LowLatency
            && ladder
            && rendition.kind() == MediaKind::Video
            && let Some(miss) = first_miss(snapshot)
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
    let mut first = 0;
    let mut last = u64::MAX;
    for row in &rows {
        first = first.max(row.listed.first()?.sequence);
        last = last.min(row.listed.last()?.sequence);
    }
    let mut found: Vec<Period<'a>> = Vec::new();
    let mut shape: Vec<(Arc<str>, String)> = Vec::new();
    let mut published_micros = i64::MIN;
    for sequence in first..=last {
        let next_shape = shape_at(&rows, sequence);
        let cut = rows
            .iter()
            .filter_map(|row| row.segment(sequence))
            .any(|segment| segment.discontinuity);
        if !next_shape.is_empty() && (cut || next_shape != shape) {
            let period = open(&rows, sequence, &next_shape, sequence == first, periods);
            found.push(period);
        }
        shape = next_shape;
        let Some(period) = found.last_mut().filter(|_| !shape.is_empty()) else {
            continue;
        };
        for (row, to) in present(&rows, sequence).zip(&mut period.representations) {
            let segment = row.segment(sequence).expect("present renditions have it");
            to.segments.push((segment.start, row.duration(segment)));
            published_micros = published_micros.max(available_micros(row, segment));
        }
    }
    for period in &mut found {
        let ends = period
            .representations
            .iter()
            .map(Representation::end_micros);
        period.end_micros = ends.max().unwrap_or(period.start_micros);
    }
    // The end of the stream is a change without a new segment.
    published_micros += i64::from(description.ended) * CHANGE_MICROS;
    let oldest = found.first()?.opening;
    periods
        .openings
        .retain(|opening| opening.sequence >= oldest);
    Some(Plan {
        periods: found,
        published_micros,
    })
}

/// Renditions that have media in a segment, in order.
fn present<'r, 'a>(rows: &'r [Row<'a>], sequence: u64) -> impl Iterator<Item = &'r Row<'a>> {
    rows.iter().filter(move |row| row.media(sequence).is_some())
}

fn shape_at(rows: &[Row<'_>], sequence: u64) -> Vec<(Arc<str>, String)> {
    rows.iter()
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
    shape: &[(Arc<str>, String)],
    first_listed: bool,
    periods: &mut Periods,
) -> Period<'a> {
    let segments = || present(rows, sequence).filter_map(|row| Some((row, row.segment(sequence)?)));
    let discontinuity_sequence = segments()
        .map(|(_, segment)| segment.discontinuity_sequence)
        .max()
        .unwrap_or(0);
    let goes_on = first_listed && !segments().any(|(_, segment)| segment.discontinuity);
    let known = periods.openings.iter().rev().find(|opening| {
        opening.shape == shape
            && opening.discontinuity_sequence == discontinuity_sequence
            && (opening.sequence == sequence || goes_on && opening.sequence < sequence)
    });
    let opening = known.cloned().unwrap_or_else(|| {
        let starts =
            segments().map(|(row, segment)| micros(segment.start, row.snapshot.timescale()));
        // The stream's first Period begins with the stream, so that it needs no offset: GStreamer's
        // dashdemux (1.22) counts Period@start twice.
        let is_first = discontinuity_sequence == 0 && periods.openings.is_empty();
        let opening = Opening {
            sequence,
            start_micros: if is_first {
                0
            } else {
                starts.min().unwrap_or(0)
            },
            discontinuity_sequence,
            shape: shape.to_vec(),
        };
        periods.openings.retain(|known| known.sequence != sequence);
        periods.openings.push(opening.clone());
        opening
    });
    Period {
        opening: opening.sequence,
        start_micros: opening.start_micros,
        end_micros: opening.start_micros,
        representations: segments()
            .map(|(row, segment)| Representation {
                rendition: row.rendition,
                init: &segment.init.name,
                first_sequence: sequence,
                segments: Vec::new(),
            })
            .collect(),
    }
}

/// The segments that may be listed, and the foretold length of a running last one.
fn listed(snapshot: &Snapshot, mode: Mode, ladder: bool) -> (&[Arc<Segment>], Option<Ticks>) {
    match snapshot.segments.split_last() {
        Some((last, older)) if !last.complete => {
            let foretold = match mode {
                Mode::Standard => None,
                Mode::LowLatency if last.parts.is_empty() || last.gap => None,
                Mode::LowLatency if ladder => Some(grid(snapshot)),
                Mode::LowLatency => steady_duration(snapshot, older),
            };
            match foretold {
                Some(duration) => (&snapshot.segments, Some(duration)),
                None => (older, None),
            }
        }
        _ => (&snapshot.segments, None),
    }
}

/// Without a ladder nothing keeps the source to a grid: its own habit tells, if it has one.
fn steady_duration(snapshot: &Snapshot, finished: &[Arc<Segment>]) -> Option<Ticks> {
    let recent = finished.len().checked_sub(STEADY_SEGMENTS)?;
    let durations = finished[recent..]
        .iter()
        .map(|segment| (!segment.gap).then_some(segment.duration));
    let durations = durations.collect::<Option<Vec<Ticks>>>()?;
    let spread = *durations.iter().max()? - *durations.iter().min()?;
    (spread <= frame(snapshot)).then(|| durations[STEADY_SEGMENTS - 1])
}

/// The first segment after which a rendition is off the grid. A segment cut short by a discontinuity
/// or a gap proves nothing, and the last one may yet turn out to be such.
fn first_miss(snapshot: &Snapshot) -> Option<u64> {
    let (grid, frame) = (grid(snapshot), frame(snapshot));
    snapshot
        .segments
        .windows(2)
        .filter(|pair| !pair[0].gap && !pair[1].gap && !pair[1].discontinuity)
        .find(|pair| (pair[0].duration - grid).abs() > frame)
        .map(|pair| pair[0].sequence)
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
            frame_rate_millis(&snapshot.rendition).unwrap_or(20_000),
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
