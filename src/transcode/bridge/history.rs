//! The source's media that workers are fed from: what the present one has not got yet, and what a new
//! one needs to go on where rungs were published last. Pure.
//!
//! A new worker can start at a key unit. In a hole it needs the pictures since the last key unit, to
//! have one to repeat, and the holds since the newest boundary, however long the hole is.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::hub::{Event, Filler};
use crate::media::{AccessUnit, Boundary, MediaKind, Ticks, Timescale, Track, rescale};
use crate::transcode::protocol::{Message, Unit};

/// Entries remembered: 20 s of 60 fps video and 48 kHz AAC. Beyond, the worker goes on at a later key
/// unit.
const MAX_ENTRIES: usize = 2200;
/// Bytes remembered: 10 s of 50 Mbit/s.
const MAX_BYTES: usize = 64 << 20;
/// Media kept before what was published last, 90 kHz: other tracks may be that much behind.
const MARGIN: Ticks = Ticks(45_000);
/// Frame rate that is assumed when nothing is known, x 1000.
const DEFAULT_RATE: u32 = 30_000;
/// Frame rates that encoders mean when what is counted comes within one percent, x 1000.
const USUAL_RATES: [u32; 9] = [
    15_000, 23_976, 24_000, 25_000, 29_970, 30_000, 50_000, 59_940, 60_000,
];

enum Entry {
    Track(Arc<Track>),
    Unit(AccessUnit, Option<Boundary>),
    Hold(Ticks, Option<Boundary>, Filler),
    Break,
}

/// What workers are told, in order.
#[derive(Default)]
pub(super) struct History {
    /// Tracks as of the oldest entry.
    before: [Option<Arc<Track>>; 2],
    /// Tracks as of now.
    now: [Option<Arc<Track>>; 2],
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Entries that the present worker has got, or makes nothing of.
    given: usize,
    /// The present worker makes sound only.
    only_sound: bool,
    /// Nothing is remembered up to the next unit where a worker can start.
    waits_for_start: bool,
    /// Units that no worker got.
    lost_units: u64,
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

    /// Bytes of media remembered.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Units that were left out because the worker was too slow.
    pub(super) fn lost_units(&self) -> u64 {
        self.lost_units
    }

    /// Remembers an event.
    pub(super) fn add(&mut self, event: Event) {
        match event {
            Event::Track(track) => {
                self.now[slot(track.kind())] = Some(track.clone());
                self.push(Entry::Track(track));
            }
            Event::Unit { unit, boundary } => self.push(Entry::Unit(unit, boundary)),
            Event::Hold {
                until,
                boundary,
                filler,
            } => {
                let earlier = match boundary {
                    None => self.take_hold(filler),
                    Some(_) => None,
                };
                self.push(Entry::Hold(until, boundary.or(earlier), filler));
            }
            Event::Break => self.push(Entry::Break),
            Event::Settled { .. } | Event::End => {}
        }
    }

    /// Takes the last hold out, to be replaced by one that reaches further. Gives its boundary, which
    /// the worker opens once, however often it is named.
    fn take_hold(&mut self, wanted: Filler) -> Option<Boundary> {
        let mut newest = self.entries.iter().enumerate().rev();
        let (at, boundary) = newest.find_map(|(at, entry)| match entry {
            Entry::Unit(unit, _) if unit.kind == MediaKind::Audio => None,
            Entry::Hold(_, boundary, filler) if *filler == wanted => Some(Some((at, *boundary))),
            _ => Some(None),
        })??;
        self.entries.remove(at);
        self.given -= usize::from(at < self.given);
        boundary
    }

    fn push(&mut self, entry: Entry) {
        let starts = self.start(&entry).is_some();
        self.waits_for_start &= !starts;
        let bytes = size(&entry);
        if self.is_full(bytes) {
            let mut later = 1..self.entries.len();
            if let Some(at) = later.find(|at| self.start(&self.entries[*at]).is_some()) {
                self.forget(at, Ticks(i64::MAX));
            }
        }
        if self.is_full(bytes) {
            // One picture and what follows it is too much.
            self.forget(self.entries.len(), Ticks(i64::MAX));
            self.waits_for_start = !starts;
        }
        match entry {
            Entry::Unit(..) if self.waits_for_start => self.lost_units += 1,
            Entry::Hold(..) | Entry::Break if self.waits_for_start => {}
            entry => {
                self.bytes += bytes;
                self.entries.push_back(entry);
                self.pass_over_pictures();
            }
        }
    }

    /// Passes over the pictures that come next, if the present worker makes nothing of them.
    fn pass_over_pictures(&mut self) {
        let is_picture = |entry: &Entry| match entry {
            Entry::Unit(unit, _) => unit.kind == MediaKind::Video,
            Entry::Hold(..) => true,
            Entry::Track(_) | Entry::Break => false,
        };
        while self.only_sound && self.entries.get(self.given).is_some_and(is_picture) {
            self.given += 1;
        }
    }

    fn is_full(&self, more: usize) -> bool {
        self.entries.len() >= MAX_ENTRIES || self.bytes + more > MAX_BYTES
    }

    /// The time, 90 kHz, at which a new worker can start with this entry.
    fn start(&self, entry: &Entry) -> Option<Ticks> {
        match entry {
            Entry::Unit(unit, boundary) => {
                let starts = match unit.kind {
                    MediaKind::Video => unit.key,
                    MediaKind::Audio => self.now[0].is_none() && boundary.is_some(),
                };
                starts.then(|| self.time(unit))
            }
            Entry::Hold(_, boundary, _) => boundary.map(|boundary| boundary.time),
            Entry::Track(_) | Entry::Break => None,
        }
    }

    fn time(&self, unit: &AccessUnit) -> Ticks {
        let track = self.now[slot(unit.kind)].as_deref();
        let scale = track.map_or(Timescale::CHANNEL, |track| track.timescale);
        rescale(unit.pts, scale, Timescale::CHANNEL)
    }

    /// Forgets what is not needed any more: every rung is published up to this time, 90 kHz.
    pub(super) fn release(&mut self, published: Ticks) {
        let passed = |entry: &Entry| {
            let start = self.start(entry);
            start.is_some_and(|start| start + MARGIN <= published)
        };
        let newest = self.entries.iter().rposition(passed);
        if let Some(at) = newest.filter(|at| *at > 0) {
            self.forget(at, published);
        }
    }

    /// Takes everything so far for given: there is no worker that wants it.
    pub(super) fn pass_over(&mut self) {
        self.given = self.entries.len();
    }

    /// Forgets all but the newest start: what is before it may be what workers die of.
    pub(super) fn release_all(&mut self) {
        self.release(Ticks(i64::MAX));
    }

    /// Forgets what is before the start at `at`. Before one in a hole the pictures since the last key
    /// unit stay, and sound that is not published. A boundary that no worker has got is opened by what
    /// comes next.
    fn forget(&mut self, at: usize, published: Ticks) {
        let in_hole = matches!(self.entries.get(at), Some(Entry::Hold(..)));
        let mut keys = self.entries.iter().take(at);
        let key = |entry: &Entry| matches!(entry, Entry::Unit(unit, _) if unit.key && unit.kind == MediaKind::Video);
        let picture = match in_hole {
            true => keys.rposition(key).unwrap_or(at),
            false => at,
        };
        let late = |history: &History, unit: &AccessUnit| history.time(unit) > published - MARGIN;
        // Of configurations that no worker has got, what comes later needs the newest.
        let newest = |kind: MediaKind| {
            let of_kind =
                |entry: &Entry| matches!(entry, Entry::Track(track) if track.kind() == kind);
            self.entries.iter().take(at).rposition(of_kind)
        };
        let tracks = [newest(MediaKind::Video), newest(MediaKind::Audio)];
        let old = std::mem::take(&mut self.entries);
        let given = std::mem::take(&mut self.given);
        let mut unopened = None;
        for (index, entry) in old.into_iter().enumerate() {
            let got = index < given;
            let stays = match &entry {
                _ if index >= at => true,
                Entry::Track(_) if !got => tracks.contains(&Some(index)),
                Entry::Unit(unit, _) if unit.kind == MediaKind::Audio => {
                    in_hole && late(self, unit)
                }
                Entry::Hold(..) => false,
                Entry::Unit(..) | Entry::Track(_) | Entry::Break => index >= picture,
            };
            if stays {
                self.given += usize::from(got);
                self.entries.push_back(entry);
                continue;
            }
            self.bytes -= size(&entry);
            match entry {
                Entry::Track(track) => {
                    let slot = slot(track.kind());
                    self.before[slot] = Some(track);
                }
                Entry::Unit(_, boundary) if !got => {
                    self.lost_units += 1;
                    unopened = boundary.or(unopened);
                }
                Entry::Hold(_, boundary, _) if !got => unopened = boundary.or(unopened),
                _ => {}
            }
        }
        let mut waiting = self.entries.iter_mut().skip(self.given);
        let opens = waiting.find_map(|entry| match entry {
            Entry::Unit(unit, boundary) if unit.kind == MediaKind::Video => Some(boundary),
            Entry::Hold(_, boundary, _) => Some(boundary),
            _ => None,
        });
        if let Some(boundary) = opens {
            *boundary = boundary.or(unopened);
        }
        self.pass_over_pictures();
    }

    /// Starts over for a new worker, which may make sound only. Gives the tracks that it has to know first.
    pub(super) fn rewind(&mut self, only_sound: bool) -> Vec<Message> {
        (self.given, self.only_sound) = (0, only_sound);
        self.pass_over_pictures();
        let before = self.before.iter().flatten();
        before.map(track_message).collect()
    }

    /// How much media the present worker has not got, 90 kHz.
    pub(super) fn backlog(&self) -> Ticks {
        let waiting = self.entries.iter().skip(self.given);
        let mut times = waiting.filter_map(|entry| match entry {
            Entry::Unit(unit, _) if unit.kind == MediaKind::Video => Some(unit.dts),
            Entry::Hold(until, ..) => Some(*until),
            _ => None,
        });
        let first = times.next();
        let last = times.next_back().or(first);
        last.zip(first)
            .map_or(Ticks::ZERO, |(last, first)| last - first)
    }

    /// Lets the present worker go on at the newest start.
    pub(super) fn skip(&mut self) {
        let newest = self
            .entries
            .iter()
            .rposition(|entry| self.start(entry).is_some());
        if let Some(at) = newest.filter(|at| *at > self.given) {
            self.forget(at, Ticks(i64::MAX));
        }
    }

    /// Whether there is something that the present worker has not got.
    pub(super) fn has_next(&self) -> bool {
        self.given < self.entries.len()
    }

    /// What the present worker is to be told next.
    pub(super) fn next(&mut self) -> Option<Message> {
        let entry = self.entries.get(self.given)?;
        self.given += 1;
        let message = match entry {
            Entry::Track(track) => track_message(track),
            Entry::Unit(unit, boundary) => unit_message(unit.clone(), *boundary),
            Entry::Hold(until, boundary, filler) => Message::Hold {
                until: *until,
                boundary: boundary.map(|boundary| boundary.time),
                filler: *filler,
            },
            Entry::Break => Message::Break,
        };
        self.pass_over_pictures();
        Some(message)
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

fn size(entry: &Entry) -> usize {
    match entry {
        Entry::Unit(unit, _) => unit.data.len(),
        Entry::Track(_) | Entry::Hold(..) | Entry::Break => 0,
    }
}

fn track_message(track: &Arc<Track>) -> Message {
    Message::Track(Box::new(Track::clone(track)))
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
