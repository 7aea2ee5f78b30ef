//! What a worker is told first.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::hub::Placed;
use crate::media::Ticks;
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
    /// Where pictures are to lie; `None`: where those of the source do.
    pub frames: Option<Frames>,
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

/// A constant frame rate: channel times, 90 kHz, of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frames {
    /// One of them.
    pub at: i64,
    /// From one to the next; not zero.
    pub every: i64,
}

impl Frames {
    /// Those of what a stream takes the place of: its segments begin with one.
    pub fn of(placed: &Placed) -> Frames {
        let millis = i64::from(placed.frame_rate_millis.max(1));
        Frames {
            at: placed.grid.grid.anchor.0,
            every: (90_000_000 / millis).max(1),
        }
    }

    /// The first one at `time` or later.
    pub fn at_or_after(&self, time: Ticks) -> Ticks {
        let every = self.every.max(1);
        Ticks(time.0 + (self.at - time.0).rem_euclid(every))
    }

    /// How far a picture of the source may come after the one that it is shown as: a quarter of the
    /// distance, so that times that are rounded make no difference.
    pub fn slack(&self) -> Ticks {
        Ticks(self.every / 4)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_lie_on_both_sides_of_the_one_that_is_known() {
        let frames = Frames {
            at: 90_000,
            every: 3_600,
        };
        let next = |time| frames.at_or_after(Ticks(time)).0;
        assert_eq!(
            [next(90_000), next(90_001), next(1)],
            [90_000, 93_600, 3_600]
        );
        assert_eq!([next(-1), next(-3_600), next(93_600)], [0, -3_600, 93_600]);
    }
}
