//! Media of a show on their way from the disk to a player.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::asset::Placed;
use super::part_number;
use crate::format::fmp4;
use crate::media::Ticks;
use crate::media::timeline::{Asked, Blob, Stored};

/// Bytes read at once for an answer, where parts are smaller. Bounds memory: one piece, or one part, for each
/// answer that is sent.
const PIECE_BYTES: u64 = 256 << 10;

/// The parts of a segment, with the sequence numbers and decode times that a show gives them.
struct Parts {
    file: Arc<File>,
    placed: Arc<Placed>,
    /// Which of them.
    parts: std::ops::Range<usize>,
    /// Media sequence number of the segment.
    sequence: u64,
    /// Decode time of the segment's first sample.
    start: Ticks,
}

impl Parts {
    /// Bytes before a part.
    fn before(&self, part: usize) -> u64 {
        let parts = &self.placed.parts[self.parts.start..part];
        parts.iter().map(|part| u64::from(part.size)).sum()
    }

    /// The parts that hold the bytes from `from` on, as many as make a piece; and how many bytes before `from`
    /// they begin. Blocks.
    fn read_now(&self, from: u64) -> io::Result<Bytes> {
        let size = |part: usize| u64::from(self.placed.parts[part].size);
        let mut first = self.parts.start;
        let mut skip = from;
        while first < self.parts.end && skip >= size(first) {
            skip -= size(first);
            first += 1;
        }
        let mut end = first;
        let mut length = 0;
        while end < self.parts.end && (end == first || length + size(end) <= PIECE_BYTES) {
            length += size(end);
            end += 1;
        }
        let head: u64 = self.placed.parts[..first]
            .iter()
            .map(|part| u64::from(part.size))
            .sum();
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file
            .read_exact_at(&mut bytes, self.placed.offset + head)?;
        let mut rest = &mut bytes[..];
        for part in first..end {
            let (fragment, behind) = rest.split_at_mut(usize::try_from(size(part)).unwrap_or(0));
            let number = part_number(self.sequence, part as u64);
            // Runs on, modulo 2^32, from part to part.
            let number = u32::try_from(number & u64::from(u32::MAX)).unwrap_or(0);
            let time = u64::try_from(self.time(part).0).unwrap_or(0);
            if !fmp4::renumber(fragment, number, time) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "no fragment is there",
                ));
            }
            rest = behind;
        }
        Ok(Bytes::from(bytes).slice(usize::try_from(skip).map_err(io::Error::other)?..))
    }

    fn time(&self, part: usize) -> Ticks {
        let before = self.placed.parts[..part].iter();
        self.start + Ticks(before.map(|part| i64::from(part.duration)).sum())
    }
}

/// Its own, so that a reading may outlive who asked for it.
struct Shared(Arc<Parts>);

impl Blob for Shared {
    fn size(&self) -> u64 {
        self.0.before(self.0.parts.end)
    }

    fn read(&self, from: u64) -> Asked<'_, Bytes> {
        let parts = self.0.clone();
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || parts.read_now(from));
            read.await.map_err(io::Error::other)?
        })
    }
}

/// The first bytes of a file.
struct Head {
    file: Arc<File>,
    size: u64,
}

impl Blob for Head {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, from: u64) -> Asked<'_, Bytes> {
        let (file, length) = (self.file.clone(), self.size.saturating_sub(from));
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || {
                let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
                file.read_exact_at(&mut bytes, from)?;
                Ok(Bytes::from(bytes))
            });
            read.await.map_err(io::Error::other)?
        })
    }
}

/// Parts of a segment in a file.
pub(super) struct Piece {
    pub(super) path: PathBuf,
    pub(super) placed: Arc<Placed>,
    pub(super) parts: std::ops::Range<usize>,
    pub(super) sequence: u64,
    pub(super) start: Ticks,
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Piece")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl Stored for Piece {
    fn open(&self) -> Asked<'_, Option<Arc<dyn Blob>>> {
        Box::pin(async move {
            let file = open(self.path.clone()).await?;
            Ok(file.map(|file| {
                let parts = Parts {
                    file,
                    placed: self.placed.clone(),
                    parts: self.parts.clone(),
                    sequence: self.sequence,
                    start: self.start,
                };
                Arc::new(Shared(Arc::new(parts))) as Arc<dyn Blob>
            }))
        })
    }
}

/// An initialisation in a file.
#[derive(Debug)]
pub(super) struct Initialisation {
    pub(super) path: PathBuf,
    pub(super) size: u64,
}

impl Stored for Initialisation {
    fn open(&self) -> Asked<'_, Option<Arc<dyn Blob>>> {
        Box::pin(async move {
            let file = open(self.path.clone()).await?;
            let size = self.size;
            Ok(file.map(|file| Arc::new(Head { file, size }) as Arc<dyn Blob>))
        })
    }
}

/// Opens a file; `None` when it was deleted.
async fn open(path: PathBuf) -> io::Result<Option<Arc<File>>> {
    let opened = tokio::task::spawn_blocking(move || File::open(path)).await;
    match opened.map_err(io::Error::other)? {
        Ok(file) => Ok(Some(Arc::new(file))),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}
