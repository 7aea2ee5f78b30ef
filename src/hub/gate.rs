//! The port through which a publish is admitted. `store` and the control API stand behind it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

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
}

/// A boxed future of an admission.
pub type Admitting<'a> = Pin<Box<dyn Future<Output = Result<Admission, Refusal>> + Send + 'a>>;

/// Decides who may publish.
pub trait Gate: Send + Sync {
    /// Looks a request up. Called once per publish, before media.
    fn admit<'a>(&'a self, request: &'a PublishRequest) -> Admitting<'a>;

    /// Records that a stream was opened on a channel, so that its id and epoch survive a restart.
    fn stream_opened<'a>(
        &'a self,
        channel_id: &'a str,
        stream_id: crate::base::id::Uuid,
        epoch: crate::base::clock::Wall,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

    /// Records that a stream is over.
    fn stream_ended<'a>(
        &'a self,
        stream_id: crate::base::id::Uuid,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}
