//! An asset on the disk: `index`, and for each rendition one `{rendition}.mp4` (initialisation, then fragments
//! one after another). In: encoded frames, segment by segment. Out: where each part lies, and its bytes at the
//! place in time that a show has it. Not here: encoding, and shows.
//!
//! The slate of an asset is laid down in the same way, in [`SLATE`] below its folder.

mod index;
mod plain;
mod reader;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Grid;
use crate::media::Rendition;

pub(in crate::playout) use index::Placed;
pub use index::fuzz_index;
pub use plain::{Lying, Plain};
pub use reader::Reader;
pub use writer::{Layout, Writer};

/// Folder of the slate in an asset's folder.
pub const SLATE: &str = "slate";
/// Length of a part, nearly: whole frames of every rate, the last of a segment excepted.
pub const PART: Duration = Duration::from_millis(200);
/// Name of the index.
const INDEX: &str = "index";
/// Loops of which the sound may be laid down: 64 at 24 frames a second.
pub const MAX_UNROLLED: u32 = 64;

/// What is known of a prepared film, or of one that is being prepared.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Frames per second; of sound alone, 25.
    pub fps: u32,
    /// Frames of a segment.
    pub segment_frames: u32,
    /// Frames of a part.
    pub part_frames: u32,
    /// Frames of a loop, once all is prepared.
    pub frames: Option<u64>,
    /// Loops after which the frames of the sound fall on the same places again.
    pub unrolled: u32,
    /// Segments that are whole in all renditions, of the first loop.
    pub segments: u64,
    /// The renditions: video best first, then audio, default first.
    pub renditions: Vec<Arc<Rendition>>,
}

impl Facts {
    /// Where segments lie; `None` for a frame rate that no film is prepared at.
    pub fn grid(&self) -> Option<Grid> {
        Grid::new(self.fps, self.segment_frames, self.frames)
    }
}

/// Why an asset cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading or writing failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// What is there was made with other settings.
    #[error("the media there are of another encoding: {0}")]
    Other(String),
    /// What was handed over does not follow what is there.
    #[error("out of order: {0}")]
    Order(String),
    /// A codec configuration that has no initialisation segment.
    #[error(transparent)]
    Init(#[from] crate::format::fmp4::Error),
}

impl Error {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let what = what.into();
        move |source| Error::Io { what, source }
    }
}

/// Where a rendition's media lie.
fn media_file(folder: &Path, rendition: &str) -> PathBuf {
    folder.join(format!("{rendition}.mp4"))
}
