//! The segments of one rendition that are listed, and those that were and can still be fetched.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::segmenter::Cut;
use crate::media::timeline::{Found, Init, Part, Progress, Resource, Segment};
use crate::media::{Ticks, Timescale};

/// Initialisation segments kept, so that those of removed segments can be fetched: one a change.
const KEPT_INITS: usize = 16;

/// Segments that are listed when they are shorter than this on an average, milliseconds: as many as would
/// fill the window then. Encoders that change with every picture would else make playlists of megabytes.
const LEAST_AVERAGE_MS: i64 = 250;
/// Segments that are listed in any case.
const LEAST_SEGMENTS: usize = 16;

/// A rendition's segments, oldest first.
#[derive(Debug)]
pub struct Window {
    scale: Timescale,
    length: Ticks,
    /// Segments that are listed at most; as many that left can be fetched.
    most: usize,
    retired: VecDeque<Arc<Segment>>,
    listed: VecDeque<Arc<Segment>>,
    listed_duration: Ticks,
    open: Option<Segment>,
    inits: VecDeque<Arc<Init>>,
    next_part: u64,
    version: u64,
    ended: bool,
    bytes: usize,
}

impl Window {
    /// A window of `length` in ticks of `scale`. Segments that left it can be fetched for as long again,
    /// and one segment more (RFC 8216bis §6.2.2).
    pub fn new(scale: Timescale, length: Ticks, first_part: u64) -> Window {
        let most = length.0.saturating_mul(1000) / i64::from(scale.get()) / LEAST_AVERAGE_MS;
        Window {
            scale,
            length,
            most: usize::try_from(most).unwrap_or(0).max(LEAST_SEGMENTS),
            retired: VecDeque::new(),
            listed: VecDeque::new(),
            listed_duration: Ticks::ZERO,
            open: None,
            inits: VecDeque::new(),
            next_part: first_part,
            version: 0,
            ended: false,
            bytes: 0,
        }
    }

    /// Takes what the segmenter cut. Returns a segment when one became complete with it.
    pub fn handle_cut(&mut self, cut: Cut) -> Option<Arc<Segment>> {
        self.version += 1;
        match cut {
            Cut::Open(segment) => {
                self.remember_init(&segment.init);
                self.open = Some(segment);
                None
            }
            Cut::Part(part) => {
                self.next_part = part.number + 1;
                self.bytes += part.bytes.len();
                if let Some(open) = &mut self.open {
                    open.duration += part.duration;
                    open.parts.push(Arc::new(part));
                }
                None
            }
            Cut::Close { end } => {
                let open = self.open.take()?;
                // A segment that never got a part holds nothing to announce, nor does a gap without an
                // end.
                let empty = open.parts.is_empty() && !(open.gap && end > open.start);
                (!empty).then(|| {
                    self.append(Segment {
                        complete: true,
                        duration: end - open.start,
                        ..open
                    })
                })
            }
        }
    }

    /// Nothing follows.
    pub fn end(&mut self) {
        self.version += 1;
        self.ended = true;
    }

    /// The listed segments, then the growing one or the gap whose end is not known yet.
    pub fn segments(&self) -> Vec<Arc<Segment>> {
        let mut segments = Vec::with_capacity(self.listed.len() + 1);
        segments.extend(self.listed.iter().cloned());
        let begun = |open: &&Segment| open.gap || !open.parts.is_empty();
        if let Some(open) = self.open.as_ref().filter(begun) {
            segments.push(Arc::new(open.clone()));
        }
        segments
    }

    /// How far the rendition has got; `None` before its first part or gap.
    pub fn progress(&self) -> Option<Progress> {
        let count = |parts: &[Arc<Part>]| u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let open = self.open.as_ref().filter(|open| !open.parts.is_empty());
        let (sequence, complete, parts) = match open {
            Some(open) => (open.sequence, false, count(&open.parts)),
            None => {
                let last = self.listed.back()?;
                (last.sequence, true, count(&last.parts))
            }
        };
        Some(Progress {
            version: self.version,
            last_sequence: sequence,
            last_complete: complete,
            last_parts: parts,
            next_part: self.next_part,
            begun: self.listed.iter().any(|segment| !segment.gap),
            ended: self.ended,
        })
    }

    /// Whether nothing comes before a gap has ended.
    pub fn in_gap(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.gap)
    }

    /// Rises with every cut.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Number of the next part.
    pub fn next_part(&self) -> u64 {
        self.next_part
    }

    /// Bytes of media held, retired segments included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of media listed.
    pub fn listed_bytes(&self) -> usize {
        self.listed.iter().map(|segment| segment.size()).sum()
    }

    /// Seconds of media listed.
    pub fn listed_seconds(&self) -> f64 {
        self.listed_duration.seconds(self.scale)
    }

    /// The bytes of a resource.
    pub fn find(&self, resource: Resource<'_>) -> Found {
        match resource {
            Resource::Init(name) => match self.inits.iter().find(|init| init.name == name) {
                Some(init) => Found::Whole(vec![init.bytes.clone()]),
                None => Found::Missing,
            },
            Resource::Segment(sequence) => self.find_segment(sequence),
            Resource::Part(number) => self.find_part(number),
        }
    }

    fn find_segment(&self, sequence: u64) -> Found {
        if let Some(open) = self.open.as_ref().filter(|open| open.sequence == sequence) {
            return if open.gap {
                Found::Missing
            } else if open.parts.is_empty() {
                Found::Announced
            } else {
                Found::Growing(pieces(open))
            };
        }
        if let Some(segment) =
            search(&self.listed, sequence).or_else(|| search(&self.retired, sequence))
        {
            return if segment.gap {
                Found::Missing
            } else {
                Found::Whole(pieces(segment))
            };
        }
        let newest = self.open.as_ref().map(|open| open.sequence);
        let newest = newest.or(self.listed.back().map(|segment| segment.sequence));
        match newest {
            Some(newest) if sequence == newest + 1 && !self.ended => Found::Announced,
            _ => Found::Missing,
        }
    }

    fn find_part(&self, number: u64) -> Found {
        if number == self.next_part && !self.ended {
            return Found::Announced;
        }
        let holds = |segment: &Segment| {
            let first = segment.parts.first()?.number;
            let index = usize::try_from(number.checked_sub(first)?).ok()?;
            segment.parts.get(index).map(|part| part.bytes.clone())
        };
        let found = self.open.as_ref().and_then(holds);
        let found = found.or_else(|| self.listed.iter().rev().find_map(|segment| holds(segment)));
        let found = found.or_else(|| self.retired.iter().rev().find_map(|segment| holds(segment)));
        found.map_or(Found::Missing, |bytes| Found::Whole(vec![bytes]))
    }

    fn append(&mut self, segment: Segment) -> Arc<Segment> {
        let segment = Arc::new(segment);
        self.listed_duration += segment.duration;
        self.listed.push_back(segment.clone());
        while self.listed.len() > 1 {
            let first = self
                .listed
                .front()
                .expect("window holds at least one segment");
            let fits = self.listed.len() <= self.most;
            if fits && self.listed_duration - first.duration < self.length {
                break;
            }
            self.listed_duration -= first.duration;
            self.retired.extend(self.listed.pop_front());
        }
        let edge = segment.start + segment.duration;
        let keep_from = edge - self.length - self.length - segment.duration - segment.duration;
        while let Some(first) = self.retired.front().filter(|first| {
            first.start + first.duration < keep_from || self.retired.len() > self.most
        }) {
            self.bytes -= first.size();
            self.retired.pop_front();
        }
        segment
    }

    fn remember_init(&mut self, init: &Arc<Init>) {
        if self.inits.iter().all(|known| known.name != init.name) {
            if self.inits.len() == KEPT_INITS {
                self.inits.pop_front();
            }
            self.inits.push_back(init.clone());
        }
    }
}

fn pieces(segment: &Segment) -> Vec<Bytes> {
    segment
        .parts
        .iter()
        .map(|part| part.bytes.clone())
        .collect()
}

/// Sequence numbers run without holes, so the place is known.
fn search(segments: &VecDeque<Arc<Segment>>, sequence: u64) -> Option<&Arc<Segment>> {
    let first = segments.front()?.sequence;
    let index = usize::try_from(sequence.checked_sub(first)?).ok()?;
    segments
        .get(index)
        .filter(|segment| segment.sequence == sequence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Wall;
    use crate::media::codec::aac;
    use crate::media::{CodecConfig, Track};

    #[test]
    fn segments_without_number_do_not_make_a_playlist_without_end() {
        let scale = Timescale::of(1000);
        let config = aac::Config::new_lc(48_000, 2).unwrap();
        let init = Arc::new(Init {
            name: "init-0.mp4".to_owned(),
            bytes: Bytes::new(),
            track: Arc::new(Track {
                config: CodecConfig::Aac(config),
                timescale: scale,
            }),
        });
        let mut window = Window::new(scale, Ticks(60_000), 0);
        for number in 0..10_000 {
            let start = Ticks(number * 10);
            window.handle_cut(Cut::Open(Segment {
                sequence: number.unsigned_abs(),
                start,
                duration: Ticks::ZERO,
                discontinuity: true,
                discontinuity_sequence: number.unsigned_abs(),
                gap: false,
                independent: true,
                complete: false,
                init: init.clone(),
                parts: Vec::new(),
                program_date_time: Wall(0),
            }));
            window.handle_cut(Cut::Part(Part {
                number: number.unsigned_abs(),
                start,
                duration: Ticks(10),
                independent: true,
                bytes: Bytes::from_static(b"some"),
            }));
            window.handle_cut(Cut::Close {
                end: start + Ticks(10),
            });
        }
        assert_eq!(window.segments().len(), 240);
        assert_eq!(window.bytes(), 480 * 4);
        assert_eq!(window.listed_bytes(), 240 * 4);
        assert!(matches!(
            window.find(Resource::Segment(9_700)),
            Found::Whole(_)
        ));
    }
}
