//! What a worker is told first.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::transcode::encoder::Template;
use crate::transcode::ladder::{Aspect, AudioRung, Rung};

/// What the worker shall make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Video encodings, largest first.
    pub video: Vec<Rung>,
    /// Audio encodings. Their messages are numbered after the video's.
    pub audio: Vec<AudioRung>,
    /// The aspect ratio to cut the source to.
    pub crop: Option<Aspect>,
    /// Nominal frame rate of the source x 1000.
    pub frame_rate_millis: u32,
    /// Encoders in order of preference.
    pub encoders: Vec<Template>,
    /// Rate buffer, milliseconds.
    pub vbv_ms: u32,
    /// Time between thumbnails, milliseconds of media; 0 for none.
    pub thumbnail_ms: u32,
    /// What an earlier worker published: the time at which each encoding goes on, in ticks of its own,
    /// by its number. An encoding without one begins at a boundary.
    pub resume: Vec<Option<i64>>,
    /// What an earlier worker pinned; `None` leaves it to the first picture.
    pub colour: Option<Colour>,
    /// What long holes are filled with; `None`: the last picture stays.
    pub slate: Option<Slate>,
}

/// How pictures mean their values: fixed by the first one, part of every rung's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Colour {
    /// As GStreamer writes it, such as `bt709`.
    pub colorimetry: String,
    /// Where chroma samples lie, as GStreamer writes it.
    pub chroma_site: Option<String>,
}

/// The picture that is shown while a channel has none of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slate {
    /// The channel's name, for the picture that is drawn.
    pub name: String,
    /// A PNG or JPEG file to show instead.
    pub image: Option<PathBuf>,
}
