//! Streams that live now. In: access units of publishers. Out: the same units in channel time with
//! boundaries stamped, to packagers and subscribers. Not here: protocols, packaging, storage.

pub mod gate;
pub mod publisher;
pub mod subscriber;

use std::sync::Arc;

use bytes::Bytes;

use crate::base::id::Uuid;
use crate::media::timeline::Timeline;
use crate::media::{AccessUnit, Rendition, RenditionId, Track};
pub use gate::{Admission, Gate, PublishRequest, Refusal};
pub use publisher::{Announcement, Publisher};
pub use subscriber::{Event, Subscriber};

/// A rung that a transcoder will publish.
#[derive(Clone, Debug)]
pub struct NewRendition {
    /// Folder name, such as `sd`.
    pub name: Arc<str>,
    /// The codec configuration of its units. Video in 90 kHz, audio in its sample rate.
    pub track: Track,
    /// Promised peak bit rate, bits per second.
    pub peak_bps: u32,
    /// Mean bit rate, bits per second.
    pub average_bps: u32,
    /// Frames per second x 1000; zero for audio.
    pub frame_rate_millis: u32,
}

/// One live stream of a channel.
#[derive(Debug)]
pub struct Stream {}

impl Stream {
    /// The stream's id.
    pub fn id(&self) -> Uuid {
        Uuid::nil()
    }

    /// What the publish was admitted with.
    pub fn admission(&self) -> &Admission {
        unreachable!("replaced by the hub")
    }

    /// A queue of the source's units, from the next one on; the tracks known so far come first.
    pub fn subscribe(&self, _queue_units: usize) -> Subscriber {
        Subscriber {}
    }

    /// Says which renditions a transcoder will add, so that the first multivariant playlist waits
    /// for them. An empty list means none.
    pub fn plan(&self, _names: Vec<Arc<str>>) {}

    /// Adds a planned rendition, when its codec configuration is known.
    pub fn add_rendition(&self, _rendition: NewRendition) -> RenditionId {
        RenditionId(0)
    }

    /// A unit of an added rendition, in channel time. Key units at a boundary's time open segments.
    pub fn push_rendition(&self, _id: RenditionId, _unit: AccessUnit) {}

    /// A planned or added rendition that will not come, or no more.
    pub fn drop_rendition(&self, _name: &str) {}

    /// The newest picture, as JPEG.
    pub fn set_thumbnail(&self, _jpeg: Bytes) {}

    /// The newest picture, as JPEG.
    pub fn thumbnail(&self) -> Option<Bytes> {
        None
    }
}

/// What a list of streams shows of one.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Stream id.
    pub id: Uuid,
    /// Channel id.
    pub channel_id: String,
    /// Channel alias.
    pub alias: String,
    /// Channel name.
    pub name: String,
    /// Whether a publisher is on air.
    pub on_air: bool,
    /// Whether playback needs a token (`token-auth`).
    pub protected: bool,
    /// Whether HLS and DASH are offered (`streaming`).
    pub playable: bool,
}

/// All streams that live now. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Hub {}

impl Hub {
    /// Asks the gate and opens a session, on the channel's running stream or on a new one.
    pub async fn publish(&self, _request: PublishRequest) -> Result<Publisher, Refusal> {
        Err(Refusal::UnknownKey)
    }

    /// A stream by id.
    pub fn stream(&self, _id: Uuid) -> Option<Arc<Stream>> {
        None
    }

    /// What a stream's players read. Also for streams that ended a short while ago.
    pub fn timeline(&self, _id: Uuid) -> Option<Arc<dyn Timeline>> {
        None
    }

    /// The newest stream of a channel, by alias or channel id.
    pub fn find(&self, _alias_or_channel: &str) -> Option<Uuid> {
        None
    }

    /// Streams that live now.
    pub fn list(&self) -> Vec<Listing> {
        Vec::new()
    }
}
