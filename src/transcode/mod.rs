//! The ladder. In: a stream's source units from the hub. Out: its rungs, pushed back to the hub in
//! channel time, with an IDR at every boundary. Not here: boundaries (the program's), packaging.
//!
//! The server runs [`bridge`], which decides a ladder ([`ladder`]) and feeds one child process per
//! stream ([`worker`]) over a socket pair ([`protocol`]). GStreamer lives in the child only.

pub mod bridge;
pub mod check;
pub mod encoder;
pub mod film;
pub mod ladder;
pub mod lag;
pub mod protocol;
pub mod worker;

pub use bridge::{Config, attach, attach_rooms};
pub use check::{Finding, check};
pub use worker::run_worker;

use crate::base::Kind;

/// Whether the text of the setting `FOREBAY_LADDER` means something: `auto`, `off`, or a ladder of the
/// built-in book.
pub fn check_setting(text: &str) -> Result<(), Error> {
    ladder::Book::built_in().check(&ladder::Choice::from_setting(text))
}

/// What can go wrong in the transcoder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `ladders.toml` does not parse.
    #[error("ladders file: {0}")]
    LaddersSyntax(String),
    /// `ladders.toml` contradicts itself.
    #[error("ladders file: {what} {name:?} {problem}")]
    LaddersContent {
        /// Kind of entry.
        what: &'static str,
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The setting names a ladder that is not in `ladders.toml`.
    #[error("ladder {name:?} does not exist; known: auto, off, {known}")]
    UnknownLadder {
        /// The name.
        name: String,
        /// Those that exist.
        known: String,
    },
    /// A message between bridge and worker breaks the protocol.
    #[error("worker protocol: {0}")]
    Protocol(#[from] protocol::Malformed),
    /// The socket between bridge and worker, or the child process, failed.
    #[error("worker {doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// An element is not installed.
    #[error("gstreamer element {element} is missing: install the Debian package {package}")]
    MissingElement {
        /// Name of the element.
        element: String,
        /// Package that holds it.
        package: String,
    },
    /// An element failed.
    #[error("gstreamer element {element}: {text}")]
    Element {
        /// Name of the element.
        element: String,
        /// What it said.
        text: String,
    },
    /// An element did not give out what it holds in time.
    #[error("nothing came within {0} s")]
    Stuck(u64),
    /// The worker takes media and gives nothing back.
    #[error("worker is hung")]
    Hung,
    /// The stream goes on, and gives this ladder nothing any more: what it was told was not read.
    #[error("cut off from the stream")]
    CutOff,
}

impl Error {
    /// The kind of failure, for the edge.
    pub fn kind(&self) -> Kind {
        match self {
            Error::LaddersSyntax(_)
            | Error::LaddersContent { .. }
            | Error::UnknownLadder { .. } => Kind::Invalid,
            Error::MissingElement { .. } => Kind::NotFound,
            Error::Stuck(_) | Error::Hung => Kind::Timeout,
            Error::CutOff => Kind::Capacity,
            Error::Protocol(_) | Error::Io { .. } | Error::Element { .. } => Kind::Internal,
        }
    }
}
