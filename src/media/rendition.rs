//! An encoding of a stream that exists: one track that viewers may select.

use std::sync::Arc;

use super::track::{MediaKind, Track};

/// Index of a rendition within its stream. Never reused while the stream lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RenditionId(
    /// Position in the stream's list.
    pub u8,
);

/// What a manifest says of a rendition.
#[derive(Clone, Debug)]
pub struct Rendition {
    /// Index within the stream.
    pub id: RenditionId,
    /// Folder name in URLs and Representation id: `source`, `hd`, `audio`, `ahi`. Lower-case ASCII
    /// letters, digits and `-`.
    pub name: Arc<str>,
    /// The codec configuration it opened with.
    pub track: Arc<Track>,
    /// Highest bit rate of any segment, bits per second, as promised (never below the measured one).
    pub peak_bps: u32,
    /// Mean bit rate, bits per second.
    pub average_bps: u32,
    /// Frames per second x 1000; zero when unknown or audio.
    pub frame_rate_millis: u32,
    /// Whether this is the publisher's own encoding, untouched.
    pub source: bool,
}

impl Rendition {
    /// Video or audio.
    pub fn kind(&self) -> MediaKind {
        self.track.kind()
    }
}
