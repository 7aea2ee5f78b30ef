//! What encoders say before they send.

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
