//! An asset's index in memory.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::index::{self, Index, Kept, Placed};
use super::{Error, Facts, INDEX, media_file};
use crate::media::time::rescale;
use crate::media::timeline::Init;
use crate::media::{MediaKind, Rendition, RenditionId, Ticks, Timescale};
use crate::playout::Grid;
use crate::playout::grid::Cell;

/// What is there of an asset, as it was when it was read.
#[derive(Clone, Debug)]
pub struct Reader {
    folder: PathBuf,
    facts: Facts,
    grid: Grid,
    index: Index,
    /// Bytes of the index that were read.
    read: u64,
    inits: Vec<Arc<Init>>,
}

/// Where a segment's media are, and when they are shown.
#[derive(Clone, Copy, Debug)]
pub(in crate::playout) struct Found<'a> {
    pub(in crate::playout) placed: &'a Arc<Placed>,
    /// When the time zero of these media is, since the film's: in the rendition's timescale.
    pub(in crate::playout) shift: Ticks,
}

impl Reader {
    /// Reads the index in a folder; `None` when nothing is there yet. Blocks.
    pub fn open(folder: &Path) -> Result<Option<Reader>, Error> {
        let (index, read) = index::read(folder)?;
        Ok(Reader::of(folder, index, read))
    }

    /// Reads what was appended since. Blocks.
    pub fn again(&self) -> Result<Reader, Error> {
        if self.is_complete() {
            return Ok(self.clone());
        }
        let path = self.folder.join(INDEX);
        let read = || {
            let file = std::fs::File::open(&path)?;
            let length = file.metadata()?.len().saturating_sub(self.read);
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            file.read_exact_at(&mut bytes, self.read)?;
            Ok(bytes)
        };
        let bytes = read().map_err(Error::io(format!("cannot read {}", path.display())))?;
        let mut index = self.index.clone();
        let read = self.read + index.replay(&bytes, index::holds(&self.folder));
        Ok(Reader::of(&self.folder, index, read).unwrap_or_else(|| self.clone()))
    }

    fn of(folder: &Path, mut index: Index, read: u64) -> Option<Reader> {
        let layout = index.layout.filter(|_| !index.kept.is_empty())?;
        let (frames, unrolled) = match index.complete {
            Some((frames, unrolled)) => (Some(frames), unrolled),
            None => (None, 1),
        };
        for (at, kept) in index.kept.iter_mut().enumerate() {
            kept.rendition = Arc::new(Rendition {
                id: RenditionId(u8::try_from(at).unwrap_or(u8::MAX)),
                ..measured(kept, index.complete.is_some())
            });
        }
        let renditions = |kind| {
            let all = index.kept.iter().map(|kept| kept.rendition.clone());
            all.filter(move |rendition| rendition.kind() == kind)
        };
        let facts = Facts {
            fps: layout.fps,
            segment_frames: layout.segment_frames,
            part_frames: layout.part_frames,
            frames,
            unrolled,
            segments: index.whole(),
            renditions: renditions(MediaKind::Video)
                .chain(renditions(MediaKind::Audio))
                .collect(),
        };
        let inits = index.kept.iter().map(|kept| {
            Arc::new(Init {
                name: kept.init.name.clone(),
                bytes: Bytes::new(),
                track: kept.rendition.track.clone(),
            })
        });
        Some(Reader {
            folder: folder.to_owned(),
            grid: facts.grid()?,
            facts,
            inits: inits.collect(),
            read,
            index,
        })
    }

    /// What is known of the film.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Whether all of the film is there.
    pub fn is_complete(&self) -> bool {
        self.facts.frames.is_some()
    }

    /// Bytes of memory that this takes, about.
    pub(in crate::playout) fn weight(&self) -> usize {
        // An index record is about as large as what is made of it.
        usize::try_from(self.read)
            .unwrap_or(usize::MAX)
            .saturating_add(1024)
    }

    pub(in crate::playout) fn slot(&self, rendition: &str) -> Option<usize> {
        self.index
            .kept
            .iter()
            .position(|kept| *kept.rendition.name == *rendition)
    }

    pub(in crate::playout) fn rendition(&self, slot: usize) -> &Arc<Rendition> {
        &self.index.kept[slot].rendition
    }

    pub(in crate::playout) fn init(&self, slot: usize) -> &Arc<Init> {
        &self.inits[slot]
    }

    /// Bytes of a rendition's initialisation, which its file begins with.
    pub(in crate::playout) fn init_length(&self, slot: usize) -> u64 {
        self.index.kept[slot].init.length.into()
    }

    pub(in crate::playout) fn media_file(&self, slot: usize) -> PathBuf {
        media_file(&self.folder, &self.rendition(slot).name)
    }

    /// Where a rendition's segments lie, by number: of its sound those of all loops that are laid down.
    pub(super) fn placed(&self, slot: usize) -> &[Arc<Placed>] {
        &self.index.kept[slot].segments
    }

    /// Whether a segment may be listed: all renditions have it. Which one is the last of a loop is known only
    /// when all is there, so that the newest one waits until then.
    pub(in crate::playout) fn has(&self, cell: &Cell) -> bool {
        self.is_complete() || cell.turn == 0 && cell.index + 1 < self.facts.segments
    }

    /// A segment's media.
    pub(in crate::playout) fn find(&self, slot: usize, cell: &Cell) -> Option<Found<'_>> {
        if !self.has(cell) {
            return None;
        }
        let kept = &self.index.kept[slot];
        let scale = kept.rendition.track.timescale;
        let period = self.grid.period().unwrap_or_default();
        let own = |turns: u64| {
            let turns = i64::try_from(turns).unwrap_or(i64::MAX);
            rescale(
                Ticks(period.0.saturating_mul(turns)),
                Timescale::CHANNEL,
                scale,
            )
        };
        let (number, shift) = match kept.rendition.kind() {
            MediaKind::Video => (cell.index, own(cell.turn)),
            MediaKind::Audio => {
                let unrolled = u64::from(self.facts.unrolled.max(1));
                let turn = cell.turn % unrolled;
                let number = turn * self.grid.segments().unwrap_or(0) + cell.index;
                (number, own(cell.turn - turn))
            }
        };
        let placed = kept.segments.get(usize::try_from(number).ok()?)?;
        Some(Found { placed, shift })
    }
}

/// The rendition with rates that no segment exceeds.
fn measured(kept: &Kept, complete: bool) -> Rendition {
    let rendition = &*kept.rendition;
    let rate = |bytes: u64, ticks: u64| {
        let scale = u64::from(rendition.track.timescale.get());
        let bits = bytes.saturating_mul(8).saturating_mul(scale);
        u32::try_from(bits.div_ceil(ticks.max(1))).unwrap_or(u32::MAX)
    };
    let length = |placed: &Placed| {
        let parts = placed.parts.iter().map(|part| u64::from(part.duration));
        parts.sum::<u64>()
    };
    let rates = kept
        .segments
        .iter()
        .map(|placed| rate(placed.size(), length(placed)));
    let peak_bps = rates.max().unwrap_or(0).max(rendition.peak_bps);
    let average_bps = match complete {
        true => {
            let bytes = kept.segments.iter().map(|placed| placed.size()).sum();
            rate(
                bytes,
                kept.segments.iter().map(|placed| length(placed)).sum(),
            )
        }
        false => rendition.average_bps,
    };
    Rendition {
        peak_bps,
        average_bps,
        ..rendition.clone()
    }
}
