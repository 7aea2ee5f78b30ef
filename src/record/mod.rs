//! A timeline to storage, VOD and MP4 from it. In: complete segments of a stream's [`Timeline`], read
//! from its window. Out: files below a folder, [`Timeline`]s of what is kept, movies to download. Not
//! here: HTTP, the database, who may see what.
//!
//! A recording is the folder `{streamId}` with
//!
//! - `about.json`: whose it is and what its playlists have in common, written once;
//! - `{rendition}.mp4`: a rendition's initialisation and its segments as they were served, one after
//!   another; the initialisation again where it changes. Players read such a file as it is;
//! - `index`: what lies where, appended behind the media, each record with a checksum.
//!
//! What the index does not know does not exist: after a crash it is read up to its last whole record, and
//! media behind that are cut off. A stream that goes on after a restart goes on in its recording.
//!
//! Nothing here is on the way of a frame. Segments stay in the live window for a minute and longer, so a
//! slow disk is only late; one that is later than the window misses segments, which the recording states
//! as gaps.
//!
//! [`Timeline`]: crate::media::timeline::Timeline

mod about;
pub mod disk;
mod follow;
mod index;
mod library;
mod mp4;
mod recorder;
mod shelf;
mod vod;

pub use about::About;
pub use disk::Disk;
pub use index::fuzz_index;
pub use library::{Config, Library, Outcome, Refusal, Summary};
pub use mp4::Movie;

/// Why something cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
    /// There is no room: neither by the setting nor on the disk.
    #[error("disk full: {free_bytes} bytes free, {least_bytes} are to stay so")]
    Full {
        /// Bytes free.
        free_bytes: u64,
        /// Bytes that are to stay free.
        least_bytes: u64,
    },
    /// The file system takes no more, whatever it says of its room.
    #[error("disk full")]
    NoSpace,
    /// A file that does not say what it should.
    #[error("damaged: {0}")]
    Damaged(String),
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> crate::base::Kind {
        match self {
            Error::Io { .. } | Error::Damaged(_) => crate::base::Kind::Internal,
            Error::Full { .. } | Error::NoSpace => crate::base::Kind::Capacity,
        }
    }

    /// Whether it is a proof that a file or folder is not there. Any other failure proves nothing, and
    /// nothing is cut off or removed for it.
    fn is_missing(&self) -> bool {
        matches!(self, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }

    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let what = what.into();
        |source| Error::Io { what, source }
    }
}

#[cfg(test)]
mod tests;
