//! What a publish is bound to that takes the place of a film for a while: the film's clock, its grid and
//! its renditions. Plain values; an admission carries them, and the stream that it opens obeys.

use std::sync::Arc;

use super::{Hub, Stream};
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::media::Numbered;
use crate::media::timeline::Timeline;

/// Where a stream lies that takes something's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Wall-clock point of channel time zero.
    pub epoch: Wall,
    /// Where its segments begin, and their numbers: nowhere else, and no others.
    pub grid: Numbered,
    /// Frames per second x 1000 of every picture.
    pub frame_rate_millis: u32,
    /// The pictures that are made of the source, best first; the source itself is not among them.
    pub video: Arc<[Picture]>,
    /// The sounds that are made of it, default first.
    pub audio: Arc<[Sound]>,
}

/// A rendition of pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Folder name.
    pub name: Arc<str>,
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    /// Mean bit rate, kbit/s, of what is there.
    pub kbps: u32,
}

/// A rendition of sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// Folder name.
    pub name: Arc<str>,
    /// Bit rate, kbit/s, of what is there.
    pub kbps: u32,
    /// Samples per second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u8,
}

impl Hub {
    /// A stream that takes the place of something, and its timeline, which players see through that only.
    pub fn placed(&self, id: Uuid) -> Option<(Arc<Stream>, Arc<dyn Timeline>)> {
        let streams = self.streams();
        let entry = streams.get(id)?;
        let placed = entry.stream.admission().placed.is_some();
        placed.then(|| (entry.stream.clone(), entry.timeline.clone()))
    }

    /// All of those that have not ended.
    pub fn all_placed(&self) -> Vec<Uuid> {
        let streams = self.streams();
        let living = streams.living();
        let placed = living.filter(|(_, entry)| entry.stream.admission().placed.is_some());
        placed.map(|(id, _)| id).collect()
    }

    /// Ends a stream that took the place of something, and only that: its publishers may come back.
    pub fn end_placed(&self, id: Uuid, reason: &str) {
        let mut channels = self.channels();
        let placed = self
            .stream(id)
            .filter(|stream| stream.admission().placed.is_some());
        let Some(stream) = placed.filter(|stream| !stream.is_ended()) else {
            return;
        };
        channels.retain(|_, running| *running != id);
        self.end(&[stream.id()], Some(reason));
    }
}
