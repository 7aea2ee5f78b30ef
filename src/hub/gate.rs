//! The port through which a publish is admitted and streams are remembered. `store` and the control
//! API stand behind it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use super::boundary::Settings;
use super::placed::Placed;
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::base::secret::Secret;

/// What an encoder asks for, before any media is accepted.
#[derive(Clone, Debug)]
pub struct PublishRequest {
    /// `rtmp`, `rtmps`, `srt`, …
    pub proto: &'static str,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// The stream key, options cut off.
    pub key: Secret,
    /// `capabilities=` option of the key; `None` when it names none.
    pub capabilities: Option<Vec<String>>,
    /// `tags=` option of the key.
    pub tags: Vec<String>,
}

/// Why a publish is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No channel has this key.
    #[error("no channel has this stream key")]
    UnknownKey,
    /// The key is right, but may not be used now.
    #[error("publishing is not allowed now: {0}")]
    NotAllowed(String),
    /// A limit is reached.
    #[error("no capacity: {0}")]
    Full(String),
    /// Nobody can tell now whether the key is right: what would know is out of reach.
    #[error("publishing cannot be decided now: {0}")]
    Undecided(String),
}

/// A publish that may go ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Channel id: `{region}#{application}#{alias}`.
    pub channel_id: String,
    /// Channel alias.
    pub alias: String,
    /// Name for people.
    pub name: String,
    /// What the stream can do: `streaming`, `multi-bitrate`, `hd`, `aspect-ratio=9x16`, …
    pub capabilities: Vec<String>,
    /// Tags of the stream.
    pub tags: Vec<String>,
    /// What the channel calls its publishers; `None`: each is given a name.
    pub screen_name: Option<String>,
    /// The one stream that the channel has, however long nobody publishes it; `None`: a stream ends with
    /// its publishers, and the next publish opens another.
    pub lasting: Option<Uuid>,
    /// What the stream takes the place of while somebody publishes; `None`: it stands for itself.
    pub placed: Option<Placed>,
}

/// What outlives the process of a stream that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Stream id.
    pub id: Uuid,
    /// Wall-clock point of channel time zero.
    pub epoch: Wall,
    /// What it was admitted with.
    pub admission: Admission,
    /// Segment target. Under another one the media sequence would count at another pace.
    pub segment_target_90k: i64,
    /// The longest segment: TARGETDURATION, which no playlist may change.
    pub longest_segment_90k: i64,
    /// Its last sign of life.
    pub sign: Sign,
}

impl Record {
    /// Whether the stream's playlists keep their promises under these settings.
    pub(super) fn fits(&self, settings: &Settings) -> bool {
        self.segment_target_90k == settings.segment_target.0
            && self.longest_segment_90k == settings.longest_segment.0
    }
}

/// A stream's sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign {
    /// Which stream's.
    pub id: Uuid,
    /// When somebody last published.
    pub alive: Wall,
    /// What players had been told by then.
    pub told: Told,
    /// Whether the run ended with it, so that nothing was told since.
    pub is_final: bool,
}

/// What must not fall as long as anybody plays the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Media sequence number of the next segment.
    pub next_sequence: u64,
    /// Discontinuities.
    pub discontinuities: u64,
    /// Channel time up to which anything was published.
    pub end_90k: i64,
}

/// A boxed future of a gate.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Decides who may publish, and remembers streams for the next run of the server.
pub trait Gate: Send + Sync {
    /// What `admit` will answer, as far as that is known without waiting: the channel id. Called by
    /// transports that refuse before a connection exists, on a thread that must not be held up.
    fn preview(&self, request: &PublishRequest) -> Result<String, Refusal>;

    /// Looks a request up. Called once per publish, before media.
    fn admit<'a>(&'a self, request: &'a PublishRequest) -> Pending<'a, Result<Admission, Refusal>>;

    /// Admits what the gateway itself pulls for a channel: nobody has to show a key, and the stream is
    /// what the channel says of its streams.
    fn admit_pulled<'a>(&'a self, channel_id: &'a str) -> Pending<'a, Result<Admission, Refusal>>;

    /// Records that a stream was opened.
    fn stream_opened<'a>(&'a self, record: &'a Record) -> Pending<'a, ()>;

    /// Records signs of life, those of all streams at once, and that the server is there. Called from time
    /// to time as long as there is a stream, even when no sign is due.
    fn streams_alive<'a>(&'a self, signs: &'a [Sign]) -> Pending<'a, ()>;

    /// Records that streams are over.
    fn streams_ended<'a>(&'a self, ids: &'a [Uuid]) -> Pending<'a, ()>;

    /// Streams of an earlier run that have not ended, oldest first, and those of the region's channels that
    /// another server had, of which nothing was heard for some time.
    fn open_streams<'a>(&'a self, region: &'a str) -> Pending<'a, Vec<Record>>;
}
