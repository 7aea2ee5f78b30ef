//! The source since the last boundary from which a new worker can start. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::hub::Event;
use crate::media::{AccessUnit, Boundary, MediaKind, Ticks, Track};
use crate::transcode::protocol::{Message, Unit};

/// Units remembered: 10 s of 60 fps video and 48 kHz AAC. Beyond, the worker waits for the next
/// boundary.
const MAX_UNITS: usize = 1100;
/// Bytes remembered: 10 s of 50 Mbit/s.
const MAX_BYTES: usize = 64 << 20;
/// Frame rate that is assumed when nothing is known, x 1000.
const DEFAULT_RATE: u32 = 30_000;
/// Frame rates that encoders mean when what is counted comes within one percent, x 1000.
const USUAL_RATES: [u32; 9] = [
    15_000, 23_976, 24_000, 25_000, 29_970, 30_000, 50_000, 59_940, 60_000,
];

enum Entry {
    Track(Arc<Track>),
    Unit(AccessUnit, Option<Boundary>),
    Break,
}

/// What a new worker has to be told.
#[derive(Default)]
pub(super) struct History {
    /// Tracks as of the oldest entry.
    before: [Option<Arc<Track>>; 2],
    /// Tracks as of now.
    now: [Option<Arc<Track>>; 2],
    entries: VecDeque<Entry>,
    bytes: usize,
}

fn slot(kind: MediaKind) -> usize {
    match kind {
        MediaKind::Video => 0,
        MediaKind::Audio => 1,
    }
}

impl History {
    /// The source's video, as of now.
    pub(super) fn video(&self) -> Option<&Track> {
        self.now[0].as_deref()
    }

    /// The source's audio, as of now.
    pub(super) fn audio(&self) -> Option<&Track> {
        self.now[1].as_deref()
    }

    /// Remembers an event and gives it as the worker is to see it. With `forget`, what is before a
    /// boundary with a key unit goes.
    pub(super) fn add(&mut self, event: Event, forget: bool) -> Option<Message> {
        match event {
            Event::Track(track) => {
                self.now[slot(track.kind())] = Some(track.clone());
                self.entries.push_back(Entry::Track(track.clone()));
                Some(Message::Track(Box::new(Track::clone(&track))))
            }
            Event::Unit { unit, boundary } => {
                let opens = boundary.is_some() && unit.key && unit.kind == MediaKind::Video;
                if forget && (opens || self.is_full(&unit)) {
                    self.clear();
                }
                if !self.is_full(&unit) {
                    self.bytes += unit.data.len();
                    self.entries.push_back(Entry::Unit(unit.clone(), boundary));
                }
                Some(unit_message(unit, boundary))
            }
            Event::Break => {
                self.entries.push_back(Entry::Break);
                Some(Message::Break)
            }
            Event::Hold {
                until,
                boundary,
                filler,
            } => Some(Message::Hold {
                until,
                boundary: boundary.map(|boundary| boundary.time),
                filler,
            }),
            Event::Settled { .. } | Event::End => None,
        }
    }

    fn is_full(&self, next: &AccessUnit) -> bool {
        self.entries.len() >= MAX_UNITS || self.bytes + next.data.len() > MAX_BYTES
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
        self.before = self.now.clone();
    }

    /// Everything that a worker has to be told to be where this one is.
    pub(super) fn replay(&self) -> Vec<Message> {
        let before = self.before.iter().flatten();
        let tracks = before.map(|track| Message::Track(Box::new(Track::clone(track))));
        let entries = self.entries.iter().map(|entry| match entry {
            Entry::Track(track) => Message::Track(Box::new(Track::clone(track))),
            Entry::Unit(unit, boundary) => unit_message(unit.clone(), *boundary),
            Entry::Break => Message::Break,
        });
        tracks.chain(entries).collect()
    }

    /// Frames per second x 1000: what the codec states, else what is counted.
    pub(super) fn frame_rate_millis(&self) -> u32 {
        let stated = self.video().and_then(Track::frame_rate_millis);
        if let Some(rate) = stated.filter(|rate| (1000..=240_000).contains(rate)) {
            return rate;
        }
        let mut times: Vec<Ticks> = self
            .entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Unit(unit, _) if unit.kind == MediaKind::Video => Some(unit.dts),
                _ => None,
            })
            .collect();
        times.sort_unstable();
        let mut gaps: Vec<i64> = times.windows(2).map(|pair| (pair[1] - pair[0]).0).collect();
        gaps.retain(|gap| *gap > 0);
        gaps.sort_unstable();
        let Some(gap) = gaps.get(gaps.len() / 2) else {
            return DEFAULT_RATE;
        };
        let counted = u32::try_from(90_000_000 / gap).unwrap_or(DEFAULT_RATE);
        let near = |usual: &&u32| counted.abs_diff(**usual) * 100 <= **usual;
        let nearest = USUAL_RATES.iter().filter(near);
        *nearest
            .min_by_key(|usual| counted.abs_diff(**usual))
            .unwrap_or(&counted.clamp(1000, 240_000))
    }
}

fn unit_message(unit: AccessUnit, boundary: Option<Boundary>) -> Message {
    Message::Unit(Unit {
        kind: unit.kind,
        key: unit.key,
        dts: unit.dts,
        pts: unit.pts,
        boundary: boundary.map(|boundary| boundary.time),
        data: unit.data,
    })
}
