//! The writer of one recording: takes what is complete in a timeline's window and was not taken yet.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Error;
use super::disk::{self, Disk};
use super::index::{Entry, Index, Init, Kept, MAX_SLOTS, Rates, Record, in_micros, widest};
use crate::media::time::rescale;
use crate::media::timeline::{Segment, Timeline};
use crate::media::{Rendition, Timescale};

/// Initialisations of one rendition: one a change. A recording with more of them states gaps.
const MAX_INITS: usize = 4096;

/// Name of the index in a recording's folder.
pub(super) const INDEX: &str = "index";

/// Where a rendition's media lie.
pub(super) fn media_file(folder: &Path, rendition: &str) -> PathBuf {
    folder.join(format!("{rendition}.mp4"))
}

/// Reads the index as far as it is whole and as its media are there; the second value is its length.
pub(super) fn read_index(folder: &Path) -> Result<(Index, u64), Error> {
    let path = folder.join(INDEX);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(err) => return Err(Error::io(format!("cannot read {}", path.display()))(err)),
    };
    let mut sizes: Vec<(String, u64)> = Vec::new();
    let mut failed = None;
    let holds = |name: &str, end: u64| {
        let known = sizes.iter().find(|(known, _)| known == name);
        let size = known.map(|(_, size)| *size).unwrap_or_else(|| {
            let path = media_file(folder, name);
            let size = match std::fs::metadata(&path) {
                Ok(found) => found.len(),
                Err(err) => {
                    // Media that are not there end the index. Of others nothing is known.
                    if err.kind() != std::io::ErrorKind::NotFound {
                        failed = Some(Error::io(format!("cannot look at {}", path.display()))(err));
                    }
                    0
                }
            };
            sizes.push((name.to_owned(), size));
            size
        });
        end <= size
    };
    let index = Index::replay(&bytes, holds);
    match failed {
        Some(err) => Err(err),
        None => Ok(index),
    }
}

/// Writes one recording. Everything here blocks.
pub(super) struct Recorder {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    index: File,
    index_end: u64,
    slots: Vec<Slot>,
    /// Segments that had left the window before they could be written.
    missed: u64,
}

/// What must be known of a rendition to go on with it.
struct Slot {
    name: Arc<str>,
    scale: Timescale,
    rates: Rates,
    file: File,
    end: u64,
    inits: Vec<String>,
    last_sequence: Option<u64>,
    /// First and last moment, microseconds since the epoch.
    span_micros: Option<(i64, i64)>,
}

impl Recorder {
    /// Goes on where the index ends; what lies behind that is cut off.
    pub(super) fn open(folder: &Path, disk: Arc<dyn Disk>) -> Result<(Recorder, Index), Error> {
        let (index, index_end) = read_index(folder)?;
        let path = folder.join(INDEX);
        let open = || {
            let file = writable(&path)?;
            file.set_len(index_end)?;
            Ok(file)
        };
        let file = open().map_err(Error::io(format!("cannot open {}", path.display())))?;
        let slots = index.kept.iter().map(|kept| Slot::open(folder, kept));
        let recorder = Recorder {
            folder: folder.to_owned(),
            disk,
            index: file,
            index_end,
            slots: slots.collect::<Result<_, Error>>()?,
            missed: 0,
        };
        Ok((recorder, index))
    }

    /// Segments that had left the window before they could be written.
    pub(super) fn missed(&self) -> u64 {
        self.missed
    }

    /// Bytes on the disk.
    pub(super) fn bytes(&self) -> u64 {
        self.index_end + self.slots.iter().map(|slot| slot.end).sum::<u64>()
    }

    /// From the first segment to the last, microseconds.
    pub(super) fn duration_micros(&self) -> u64 {
        let span = widest(self.slots.iter().filter_map(|slot| slot.span_micros));
        span.map_or(0, |(first, last)| {
            u64::try_from(last.saturating_sub(first)).unwrap_or(0)
        })
    }

    /// Writes every complete segment of the timeline, from `first` on, that is not kept yet. After an
    /// error what was written is kept, and the next call goes on there.
    pub(super) fn take(&mut self, timeline: &dyn Timeline, first: u64) -> Result<(), Error> {
        let Some(description) = timeline.description() else {
            return Ok(());
        };
        for rendition in description.video.iter().chain(&description.audio) {
            let Some(snapshot) = timeline.snapshot(&rendition.name) else {
                continue;
            };
            let Some(at) = self.slot(rendition, &snapshot.rendition)? else {
                continue;
            };
            let complete = |segment: &&Arc<Segment>| segment.complete && segment.sequence >= first;
            for segment in snapshot.segments.iter().filter(complete) {
                let last = self.slots[at].last_sequence;
                if last.is_some_and(|last| segment.sequence <= last) {
                    continue;
                }
                let next = last.map_or(segment.sequence, |last| last + 1);
                self.write(at, segment, snapshot.timescale())?;
                // A discontinuity may leave numbers out on purpose: nobody missed those.
                if !segment.discontinuity {
                    self.missed += segment.sequence - next;
                }
            }
        }
        Ok(())
    }

    /// Has everything reach the disk itself.
    pub(super) fn sync(&self) -> Result<(), Error> {
        let files = self.slots.iter().map(|slot| &slot.file);
        for file in files.chain([&self.index]) {
            file.sync_data()
                .map_err(Error::io(format!("cannot sync {}", self.folder.display())))?;
        }
        Ok(())
    }

    /// The rendition's place, which is made at its first segment; `None` when there are too many.
    fn slot(&mut self, listed: &Rendition, now: &Rendition) -> Result<Option<usize>, Error> {
        let rates = Rates::of(listed);
        let known = self.slots.iter().position(|slot| slot.name == listed.name);
        let at = match known {
            Some(at) => at,
            None if self.slots.len() == MAX_SLOTS => return Ok(None),
            None => {
                let rendition = Rendition {
                    track: now.track.clone(),
                    ..listed.clone()
                };
                let kept = Kept {
                    rendition: Arc::new(rendition),
                    inits: Vec::new(),
                    entries: Vec::new(),
                };
                let slot = Slot::open(&self.folder, &kept)?;
                self.append(&Record::Rendition(kept.rendition))?;
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        if self.slots[at].rates != rates {
            let slot = number(at);
            self.append(&Record::Rates { slot, rates })?;
            self.slots[at].rates = rates;
        }
        Ok(Some(at))
    }

    fn write(&mut self, at: usize, segment: &Segment, scale: Timescale) -> Result<(), Error> {
        let init = self.init(at, segment)?;
        let gap = segment.gap || init.is_none();
        let slot = &mut self.slots[at];
        let offset = slot.end;
        let mut end = offset;
        if !gap {
            for part in &segment.parts {
                put(&*self.disk, &slot.file, end, &part.bytes, &slot.name)?;
                end += part.bytes.len() as u64;
            }
        }
        let own = |time| rescale(time, scale, slot.scale);
        let media_end = segment.parts.last().map(|part| part.start + part.duration);
        let media_end = media_end.unwrap_or(segment.start);
        let length = u32::try_from(end - offset).unwrap_or(0);
        let entry = Entry {
            sequence: segment.sequence,
            start: own(segment.start),
            // Ends are rescaled, so that rounding does not add up.
            duration: own(segment.start + segment.duration) - own(segment.start),
            media_end: own(media_end),
            date: segment.program_date_time,
            discontinuity_sequence: segment.discontinuity_sequence,
            offset,
            length,
            init: init.unwrap_or(0),
            discontinuity: segment.discontinuity,
            independent: segment.independent,
        };
        let (from, to) = (
            in_micros(entry.start, slot.scale),
            in_micros(entry.end(), slot.scale),
        );
        self.append(&Record::Segment {
            slot: number(at),
            entry,
        })?;
        let slot = &mut self.slots[at];
        slot.end = offset + u64::from(length);
        slot.last_sequence = Some(segment.sequence);
        let first = slot.span_micros.map_or(from, |(first, _)| first);
        slot.span_micros = Some((first, to));
        Ok(())
    }

    /// Number of the segment's initialisation, which is written before its first segment; `None` when the
    /// rendition has too many.
    fn init(&mut self, at: usize, segment: &Segment) -> Result<Option<u16>, Error> {
        let slot = &mut self.slots[at];
        let name = &segment.init.name;
        // The newest is nearly always the one.
        if let Some(known) = slot.inits.iter().rposition(|known| known == name) {
            return Ok(u16::try_from(known).ok());
        }
        if slot.inits.len() == MAX_INITS {
            return Ok(None);
        }
        let bytes = &segment.init.bytes;
        put(&*self.disk, &slot.file, slot.end, bytes, &slot.name)?;
        let init = Init {
            name: name.clone(),
            offset: slot.end,
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            track: segment.init.track.clone(),
        };
        let end = slot.end + bytes.len() as u64;
        self.append(&Record::Init {
            slot: number(at),
            init,
        })?;
        let slot = &mut self.slots[at];
        slot.end = end;
        slot.inits.push(name.clone());
        Ok(u16::try_from(slot.inits.len() - 1).ok())
    }

    fn append(&mut self, record: &Record) -> Result<(), Error> {
        let bytes = record.encode();
        put(&*self.disk, &self.index, self.index_end, &bytes, INDEX)?;
        self.index_end += bytes.len() as u64;
        Ok(())
    }
}

impl Slot {
    fn open(folder: &Path, kept: &Kept) -> Result<Slot, Error> {
        let path = media_file(folder, &kept.rendition.name);
        let end = kept.file_end();
        let open = || {
            let file = writable(&path)?;
            file.set_len(end)?;
            Ok(file)
        };
        let file = open().map_err(Error::io(format!("cannot open {}", path.display())))?;
        let rendition = &kept.rendition;
        Ok(Slot {
            name: rendition.name.clone(),
            scale: rendition.track.timescale,
            rates: Rates::of(rendition),
            file,
            end,
            inits: kept.inits.iter().map(|init| init.name.clone()).collect(),
            last_sequence: kept.entries.last().map(|last| last.sequence),
            span_micros: kept.span_micros(),
        })
    }
}

fn number(at: usize) -> u8 {
    u8::try_from(at).expect("a recording has at most 64 renditions")
}

fn writable(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

fn put(disk: &dyn Disk, file: &File, at: u64, bytes: &[u8], name: &str) -> Result<(), Error> {
    disk.write(file, at, bytes)
        .map_err(|source| match disk::is_full(&source) {
            true => Error::NoSpace,
            false => Error::Io {
                what: format!("cannot write {name}"),
                source,
            },
        })
}
