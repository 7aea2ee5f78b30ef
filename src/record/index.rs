//! What lies where in a recording: a log (`format::log`), appended to behind the media it speaks of.
//!
//! A rendition's slot is its place in the order of their records, an
//! initialisation's number its place among those of its rendition.

use std::sync::Arc;

use bytes::{Buf, BufMut, TryGetError};

use crate::base::clock::Wall;
use crate::format::log::{self, get_text, get_track, put_text, put_track};
use crate::media::time::rescale;
use crate::media::{Rendition, RenditionId, Ticks, Timescale, Track};

/// Renditions of a recording. A stream has a dozen.
pub(super) const MAX_SLOTS: usize = 64;

/// One record.
#[derive(Clone, Debug)]
pub(super) enum Record {
    /// A rendition begins.
    Rendition(Arc<Rendition>),
    /// An initialisation was written.
    Init { slot: u8, init: Init },
    /// A segment was written, or is known to be a gap.
    Segment { slot: u8, entry: Entry },
    /// Rates as they are known now.
    Rates { slot: u8, rates: Rates },
}

/// What is measured of a rendition, and changes as long as it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rates {
    peak_bps: u32,
    average_bps: u32,
    frame_rate_millis: u32,
}

impl Rates {
    pub(super) fn of(rendition: &Rendition) -> Rates {
        Rates {
            peak_bps: rendition.peak_bps,
            average_bps: rendition.average_bps,
            frame_rate_millis: rendition.frame_rate_millis,
        }
    }

    fn put(self, out: &mut Vec<u8>) {
        out.put_u32(self.peak_bps);
        out.put_u32(self.average_bps);
        out.put_u32(self.frame_rate_millis);
    }

    fn get(body: &mut &[u8]) -> Result<Rates, TryGetError> {
        Ok(Rates {
            peak_bps: body.try_get_u32()?,
            average_bps: body.try_get_u32()?,
            frame_rate_millis: body.try_get_u32()?,
        })
    }
}

/// Where an initialisation lies.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Init {
    pub(super) name: String,
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) track: Arc<Track>,
}

/// A segment, as far as playlists speak of it, and where it lies. Held in memory for each segment of a
/// recording that is played: 72 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    /// In the rendition's timescale.
    pub(super) start: Ticks,
    pub(super) duration: Ticks,
    /// Where the media end, which may be before the segment does.
    pub(super) media_end: Ticks,
    pub(super) date: Wall,
    pub(super) discontinuity_sequence: u64,
    pub(super) offset: u64,
    /// Zero for a gap.
    pub(super) length: u32,
    pub(super) init: u16,
    pub(super) discontinuity: bool,
    pub(super) independent: bool,
}

impl Entry {
    pub(super) fn is_gap(&self) -> bool {
        self.length == 0
    }

    pub(super) fn end(&self) -> Ticks {
        self.start + self.duration
    }
}

/// A rendition and all that is kept of it.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) rendition: Arc<Rendition>,
    pub(super) inits: Vec<Init>,
    /// By sequence, rising.
    pub(super) entries: Vec<Entry>,
}

impl Kept {
    /// End of what is known of its file.
    pub(super) fn file_end(&self) -> u64 {
        let inits = self.inits.iter();
        let inits = inits.map(|init| init.offset + u64::from(init.length));
        let entries = self.entries.iter().rev();
        let last = entries.map(|entry| entry.offset + u64::from(entry.length));
        inits.max().max(last.take(1).max()).unwrap_or(0)
    }

    /// From the first segment's beginning to the last one's end, microseconds.
    pub(super) fn span_micros(&self) -> Option<(i64, i64)> {
        let scale = self.rendition.track.timescale;
        let (first, last) = (self.entries.first()?, self.entries.last()?);
        Some((in_micros(first.start, scale), in_micros(last.end(), scale)))
    }

    pub(super) fn entry(&self, sequence: u64) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&sequence, |e| e.sequence);
        at.ok().map(|at| &self.entries[at])
    }
}

/// The whole index.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) kept: Vec<Kept>,
}

impl Index {
    /// What whole records say, and how many bytes they take. `holds` tells whether the bytes up to an end
    /// are in a rendition's file: records of what is not there are the first of those that do not count.
    pub(super) fn replay(bytes: &[u8], mut holds: impl FnMut(&str, u64) -> bool) -> (Index, u64) {
        let mut index = Index::default();
        let mut rest = bytes;
        let mut read = 0;
        while let Some((record, size)) = Record::next(rest) {
            if !index.take(record, &mut holds) {
                break;
            }
            rest = &rest[size..];
            read += size as u64;
        }
        (index, read)
    }

    fn take(&mut self, record: Record, holds: &mut impl FnMut(&str, u64) -> bool) -> bool {
        match record {
            Record::Rendition(rendition) => {
                let room = self.kept.len() < MAX_SLOTS;
                if room {
                    self.kept.push(Kept {
                        rendition,
                        inits: Vec::new(),
                        entries: Vec::new(),
                    });
                }
                room
            }
            Record::Init { slot, init } => {
                let Some(kept) = self.kept.get_mut(usize::from(slot)) else {
                    return false;
                };
                let end = init.offset.saturating_add(u64::from(init.length));
                let there = holds(&kept.rendition.name, end);
                if there {
                    kept.inits.push(init);
                }
                there
            }
            Record::Segment { slot, entry } => {
                let Some(kept) = self.kept.get_mut(usize::from(slot)) else {
                    return false;
                };
                let end = entry.offset.saturating_add(u64::from(entry.length));
                let rises = kept
                    .entries
                    .last()
                    .is_none_or(|last| last.sequence < entry.sequence);
                let there = rises
                    && usize::from(entry.init) < kept.inits.len()
                    && (entry.is_gap() || holds(&kept.rendition.name, end));
                if there {
                    kept.entries.push(entry);
                }
                there
            }
            Record::Rates { slot, rates } => {
                let Some(kept) = self.kept.get_mut(usize::from(slot)) else {
                    return false;
                };
                kept.rendition = Arc::new(Rendition {
                    peak_bps: rates.peak_bps,
                    average_bps: rates.average_bps,
                    frame_rate_millis: rates.frame_rate_millis,
                    ..(*kept.rendition).clone()
                });
                true
            }
        }
    }

    /// From the first segment's beginning to the last one's end, microseconds.
    pub(super) fn span_micros(&self) -> Option<(i64, i64)> {
        widest(self.kept.iter().filter_map(Kept::span_micros))
    }
}

/// From the earliest beginning to the latest end.
pub(super) fn widest(spans: impl Iterator<Item = (i64, i64)>) -> Option<(i64, i64)> {
    spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

pub(super) fn in_micros(time: Ticks, scale: Timescale) -> i64 {
    rescale(time, scale, Timescale::MICROS).0
}

impl Record {
    /// The record as it is written.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(80);
        match self {
            Record::Rendition(rendition) => {
                body.put_u8(1);
                put_text(&mut body, &rendition.name);
                Rates::of(rendition).put(&mut body);
                body.put_u8(rendition.source.into());
                put_track(&mut body, &rendition.track);
            }
            Record::Init { slot, init } => {
                body.put_u8(2);
                body.put_u8(*slot);
                put_text(&mut body, &init.name);
                body.put_u64(init.offset);
                body.put_u32(init.length);
                put_track(&mut body, &init.track);
            }
            Record::Segment { slot, entry } => {
                body.put_u8(3);
                body.put_u8(*slot);
                body.put_u64(entry.sequence);
                body.put_i64(entry.start.0);
                body.put_i64(entry.duration.0);
                body.put_i64(entry.media_end.0);
                body.put_i64(entry.date.0);
                body.put_u64(entry.discontinuity_sequence);
                body.put_u64(entry.offset);
                body.put_u32(entry.length);
                body.put_u16(entry.init);
                body.put_u8(u8::from(entry.discontinuity) | u8::from(entry.independent) << 1);
            }
            Record::Rates { slot, rates } => {
                body.put_u8(4);
                body.put_u8(*slot);
                rates.put(&mut body);
            }
        }
        log::record(&body)
    }

    /// The first record of these bytes and its size; `None` when it is not whole.
    fn next(bytes: &[u8]) -> Option<(Record, usize)> {
        let (body, size) = log::next(bytes)?;
        Some((Record::decode(body).ok().flatten()?, size))
    }

    fn decode(mut body: &[u8]) -> Result<Option<Record>, TryGetError> {
        let body = &mut body;
        Ok(match body.try_get_u8()? {
            1 => get_rendition(body)?.map(|rendition| Record::Rendition(Arc::new(rendition))),
            2 => {
                let slot = body.try_get_u8()?;
                get_init(body)?.map(|init| Record::Init { slot, init })
            }
            3 => {
                let slot = body.try_get_u8()?;
                let entry = get_entry(body)?;
                Some(Record::Segment { slot, entry })
            }
            4 => {
                let slot = body.try_get_u8()?;
                let rates = Rates::get(body)?;
                Some(Record::Rates { slot, rates })
            }
            _ => None,
        })
    }
}

fn get_rendition(body: &mut &[u8]) -> Result<Option<Rendition>, TryGetError> {
    let Some(name) = get_text(body)? else {
        return Ok(None);
    };
    let rates = Rates::get(body)?;
    let source = body.try_get_u8()? != 0;
    let track = get_track(body)?;
    Ok(track.map(|track| Rendition {
        // Its place, which the reader gives it.
        id: RenditionId(0),
        name: name.into(),
        track: Arc::new(track),
        peak_bps: rates.peak_bps,
        average_bps: rates.average_bps,
        frame_rate_millis: rates.frame_rate_millis,
        source,
    }))
}

fn get_init(body: &mut &[u8]) -> Result<Option<Init>, TryGetError> {
    let Some(name) = get_text(body)? else {
        return Ok(None);
    };
    let (offset, length) = (body.try_get_u64()?, body.try_get_u32()?);
    let track = get_track(body)?;
    Ok(track.map(|track| Init {
        name,
        offset,
        length,
        track: Arc::new(track),
    }))
}

fn get_entry(body: &mut &[u8]) -> Result<Entry, TryGetError> {
    let entry = Entry {
        sequence: body.try_get_u64()?,
        start: Ticks(body.try_get_i64()?),
        duration: Ticks(body.try_get_i64()?),
        media_end: Ticks(body.try_get_i64()?),
        date: Wall(body.try_get_i64()?),
        discontinuity_sequence: body.try_get_u64()?,
        offset: body.try_get_u64()?,
        length: body.try_get_u32()?,
        init: body.try_get_u16()?,
        ..Entry::default()
    };
    let flags = body.try_get_u8()?;
    Ok(Entry {
        discontinuity: flags & 1 != 0,
        independent: flags & 2 != 0,
        ..entry
    })
}

/// Entry for fuzzing: whatever an index holds, it is read without a panic.
pub fn fuzz_index(bytes: &[u8]) {
    let (index, read) = Index::replay(bytes, |_, _| true);
    assert!(read <= bytes.len() as u64);
    let _ = index.span_micros();
    // Checksums keep made-up bytes from the records themselves.
    let _ = Record::decode(bytes);
}
