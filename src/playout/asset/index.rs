//! What lies where in an asset: a log (`format::log`), appended to behind the media it speaks of.
//!
//! A rendition's slot is its place in the order of their records, a segment's number
//! its place among those of its rendition.

use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, BufMut, TryGetError};

use super::writer::Layout;
use super::{Error, INDEX, MAX_UNROLLED, media_file};
use crate::format::log::{self, get_text, get_track, put_text, put_track};
use crate::media::{Rendition, RenditionId, Ticks};
use crate::playout::PARTS_PER_SEGMENT;

/// Renditions of an asset. A ladder has eight.
const MAX_SLOTS: usize = 32;

/// One record.
#[derive(Clone, Debug)]
pub(super) enum Record {
    /// How all is cut: the first record.
    Layout(Layout),
    /// A rendition begins: its initialisation is the first of its file.
    Rendition {
        rendition: Arc<Rendition>,
        init: Init,
    },
    /// The rendition's next segment was written.
    Segment { slot: u8, placed: Placed },
    /// All is there.
    Complete { frames: u64, unrolled: u32 },
}

/// An initialisation, which lies at the beginning of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Init {
    pub(super) name: String,
    pub(super) length: u32,
}

/// Where a segment lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::playout) struct Placed {
    pub(in crate::playout) offset: u64,
    /// In the rendition's timescale, since the film's time zero.
    pub(in crate::playout) start: Ticks,
    /// One after another.
    pub(in crate::playout) parts: Vec<PlacedPart>,
}

/// A part of it: a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::playout) struct PlacedPart {
    pub(in crate::playout) size: u32,
    /// In the rendition's timescale.
    pub(in crate::playout) duration: u32,
    pub(in crate::playout) independent: bool,
}

impl Placed {
    /// Bytes of all parts.
    pub(super) fn size(&self) -> u64 {
        self.parts.iter().map(|part| u64::from(part.size)).sum()
    }
}

/// A rendition and all that is there of it.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) rendition: Arc<Rendition>,
    pub(super) init: Init,
    /// By number.
    pub(super) segments: Vec<Arc<Placed>>,
}

impl Kept {
    /// End of what is known of its file.
    pub(super) fn file_end(&self) -> u64 {
        let last = self.segments.last();
        last.map_or(u64::from(self.init.length), |last| {
            last.offset + last.size()
        })
    }
}

/// The whole index.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) layout: Option<Layout>,
    pub(super) kept: Vec<Kept>,
    /// Frames of a loop, and loops of which the sound is there.
    pub(super) complete: Option<(u64, u32)>,
}

impl Index {
    /// Takes what whole records say, and tells how many bytes they take. `holds` tells whether the bytes up to
    /// an end are in a rendition's file: records of what is not there are the first of those that do not count.
    pub(super) fn replay(&mut self, bytes: &[u8], mut holds: impl FnMut(&str, u64) -> bool) -> u64 {
        let mut rest = bytes;
        let mut read = 0;
        while let Some((record, size)) = Record::next(rest) {
            if !self.take(record, &mut holds) {
                break;
            }
            rest = &rest[size..];
            read += size as u64;
        }
        read
    }

    pub(super) fn take(
        &mut self,
        record: Record,
        holds: &mut impl FnMut(&str, u64) -> bool,
    ) -> bool {
        if self.complete.is_some() || self.layout.is_some() == matches!(record, Record::Layout(_)) {
            return false;
        }
        match record {
            Record::Layout(layout) => {
                self.layout = Some(layout);
                true
            }
            Record::Rendition { rendition, init } => {
                let known = self
                    .kept
                    .iter()
                    .any(|kept| kept.rendition.name == rendition.name);
                let there = !known
                    && self.kept.len() < MAX_SLOTS
                    && holds(&rendition.name, init.length.into());
                if there {
                    self.kept.push(Kept {
                        rendition,
                        init,
                        segments: Vec::new(),
                    });
                }
                there
            }
            Record::Segment { slot, placed } => {
                let Some(kept) = self.kept.get_mut(usize::from(slot)) else {
                    return false;
                };
                let end = placed.offset.checked_add(placed.size());
                let there = placed.offset == kept.file_end()
                    && !placed.parts.is_empty()
                    && end.is_some_and(|end| holds(&kept.rendition.name, end));
                if there {
                    kept.segments.push(Arc::new(placed));
                }
                there
            }
            Record::Complete { frames, unrolled } => {
                let sound = frames > 0 && (1..=MAX_UNROLLED).contains(&unrolled);
                if sound {
                    self.complete = Some((frames, unrolled));
                }
                sound
            }
        }
    }

    /// Segments that all renditions have.
    pub(super) fn whole(&self) -> u64 {
        let counts = self.kept.iter().map(|kept| kept.segments.len() as u64);
        counts.min().unwrap_or(0)
    }
}

/// Reads the index as far as it is whole and as its media are there; the second value is its length.
pub(super) fn read(folder: &Path) -> Result<(Index, u64), Error> {
    let path = folder.join(INDEX);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(err) => return Err(Error::io(format!("cannot read {}", path.display()))(err)),
    };
    let mut index = Index::default();
    let read = index.replay(&bytes, holds(folder));
    Ok((index, read))
}

/// Whether files have so many bytes, each looked at once.
pub(super) fn holds(folder: &Path) -> impl FnMut(&str, u64) -> bool {
    let mut sizes: Vec<(String, u64)> = Vec::new();
    move |name, end| {
        let known = sizes.iter().find(|(known, _)| known == name);
        let size = known.map(|(_, size)| *size).unwrap_or_else(|| {
            let found = std::fs::metadata(media_file(folder, name));
            let size = found.map_or(0, |found| found.len());
            sizes.push((name.to_owned(), size));
            size
        });
        end <= size
    }
}

impl Record {
    /// The record as it is written.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(128);
        match self {
            Record::Layout(layout) => {
                body.put_u8(1);
                body.put_u32(layout.fps);
                body.put_u32(layout.segment_frames);
                body.put_u32(layout.part_frames);
            }
            Record::Rendition { rendition, init } => {
                body.put_u8(2);
                put_text(&mut body, &rendition.name);
                body.put_u32(rendition.peak_bps);
                body.put_u32(rendition.average_bps);
                body.put_u32(rendition.frame_rate_millis);
                put_track(&mut body, &rendition.track);
                put_text(&mut body, &init.name);
                body.put_u32(init.length);
            }
            Record::Segment { slot, placed } => {
                body.put_u8(3);
                body.put_u8(*slot);
                body.put_u64(placed.offset);
                body.put_i64(placed.start.0);
                for part in &placed.parts {
                    body.put_u32(part.size);
                    body.put_u32(part.duration);
                    body.put_u8(part.independent.into());
                }
            }
            Record::Complete { frames, unrolled } => {
                body.put_u8(4);
                body.put_u64(*frames);
                body.put_u32(*unrolled);
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
            1 => Some(Record::Layout(Layout {
                fps: body.try_get_u32()?,
                segment_frames: body.try_get_u32()?,
                part_frames: body.try_get_u32()?,
            })),
            2 => get_rendition(body)?,
            3 => {
                let slot = body.try_get_u8()?;
                get_placed(body)?.map(|placed| Record::Segment { slot, placed })
            }
            4 => Some(Record::Complete {
                frames: body.try_get_u64()?,
                unrolled: body.try_get_u32()?,
            }),
            _ => None,
        })
    }
}

fn get_rendition(body: &mut &[u8]) -> Result<Option<Record>, TryGetError> {
    let Some(name) = get_text(body)? else {
        return Ok(None);
    };
    let rates = [
        body.try_get_u32()?,
        body.try_get_u32()?,
        body.try_get_u32()?,
    ];
    let track = get_track(body)?;
    let init = get_text(body)?;
    let length = body.try_get_u32()?;
    let (Some(track), Some(init)) = (track, init) else {
        return Ok(None);
    };
    let rendition = Rendition {
        // Its place, which the reader gives it.
        id: RenditionId(0),
        name: name.into(),
        track: Arc::new(track),
        peak_bps: rates[0],
        average_bps: rates[1],
        frame_rate_millis: rates[2],
        source: false,
    };
    Ok(Some(Record::Rendition {
        rendition: Arc::new(rendition),
        init: Init { name: init, length },
    }))
}

fn get_placed(body: &mut &[u8]) -> Result<Option<Placed>, TryGetError> {
    let offset = body.try_get_u64()?;
    let start = Ticks(body.try_get_i64()?);
    let mut parts = Vec::with_capacity(body.len() / 9);
    while !body.is_empty() {
        parts.push(PlacedPart {
            size: body.try_get_u32()?,
            duration: body.try_get_u32()?,
            independent: body.try_get_u8()? != 0,
        });
    }
    let fits = parts.len() as u64 <= PARTS_PER_SEGMENT;
    Ok(fits.then_some(Placed {
        offset,
        start,
        parts,
    }))
}

/// Entry for fuzzing: whatever an index holds, it is read without a panic.
pub fn fuzz_index(bytes: &[u8]) {
    let mut index = Index::default();
    let read = index.replay(bytes, |_, _| true);
    assert!(read <= bytes.len() as u64);
    let _ = index.whole();
    // Checksums keep made-up bytes from the records themselves.
    let _ = Record::decode(bytes);
}
