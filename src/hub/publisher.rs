//! The handle through which an ingest session feeds a stream.

use crate::base::id::Uuid;
use crate::media::{AccessUnit, Track};

/// What an encoder says of itself before its first unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announcement {
    /// Whether video will come; `None` when not said.
    pub video: Option<bool>,
    /// Whether audio will come; `None` when not said.
    pub audio: Option<bool>,
    /// Frames per second x 1000.
    pub frame_rate_millis: Option<u32>,
    /// Name and version of the encoder, as it states them.
    pub encoder: Option<String>,
}

/// One publisher session of a stream. Dropping it is a lost connection; [`Publisher::finish`] a
/// clean end.
#[derive(Debug)]
pub struct Publisher {}

impl Publisher {
    /// The stream that this session feeds.
    pub fn stream_id(&self) -> Uuid {
        Uuid::nil()
    }

    /// What the encoder says will come.
    pub fn announce(&mut self, _announcement: Announcement) {}

    /// A new codec configuration; the units that follow are of it.
    pub fn set_track(&mut self, _track: Track) {}

    /// One unit, times in its track's timescale. Never blocks.
    pub fn push(&mut self, _unit: AccessUnit) {}

    /// Resolves, with a reason for the log, when the hub ends this session.
    pub async fn evicted(&mut self) -> String {
        std::future::pending().await
    }

    /// The encoder said goodbye.
    pub fn finish(self) {}
}
