//! What control asks of the rest of the process: streams that live, pulled sources, stream keys that are kept
//! elsewhere, who follows rooms, and whether all of it is up. In and out: plain values. Not here: who answers (`hub`, `app`), but for
//! the hub itself, which has nothing to be translated.

use axum::body::Bytes;

use crate::base::id::Uuid;
use crate::base::push::Push;
use crate::base::secret::Secret;
use crate::base::source::Source;
use crate::hub::gate::Pending;
use crate::hub::{
    Attendee, ChannelMember, Counted, Forked, Forking, Health, Hub, Listing, Refusal, SwitchError,
};

/// What control needs to know of streams that live now.
pub trait Live: Send + Sync {
    /// The channel's stream on air or within its reconnect time, with its capabilities.
    fn on_air(&self, channel_id: &str) -> Option<OnAir>;

    /// Streams that live now.
    fn list(&self) -> Vec<Listing>;

    /// Everything about each stream that lives or ended a short while ago.
    fn health(&self) -> Vec<Health>;

    /// Everything about one stream.
    fn health_of(&self, stream: Uuid) -> Option<Health>;

    /// A stream's newest picture, JPEG.
    fn thumbnail(&self, stream: Uuid) -> Option<Bytes>;

    /// Gives the air of a stream to one of its publishers.
    fn switch(&self, stream: Uuid, publisher: u64) -> Result<(), SwitchError>;

    /// See [`Hub::members`].
    fn members(&self, channel_id: &str) -> Vec<ChannelMember>;

    /// See [`Hub::attendance`].
    fn attendance(&self, stream: Uuid) -> Vec<Attendee>;

    /// See [`Hub::count`].
    fn count(&self, channel_id: &str, counted: &Counted) -> usize;

    /// See [`Hub::kill`].
    fn kill<'a>(
        &'a self,
        channel_id: &'a str,
        reason: &'a str,
        keep_streams: bool,
    ) -> Pending<'a, Vec<ChannelMember>>;

    /// See [`Hub::close`].
    fn close(&self, channel_id: &str);

    /// See [`Hub::finish`].
    fn finish(&self, channel_id: &str, reason: &str);

    /// See [`Hub::fork`].
    fn fork<'a>(
        &'a self,
        source_channel: &'a str,
        forking: &'a Forking,
    ) -> Pending<'a, Result<Forked, Refusal>>;

    /// The stream whose publishers a stream shows: itself, unless it is a fork.
    fn origin(&self, stream: Uuid) -> Uuid;

    /// Whether a publisher session of this id feeds a stream now.
    fn has_session(&self, stream: Uuid, session: &str) -> bool;
}

/// A channel's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnAir {
    /// Stream id.
    pub id: Uuid,
    /// What it was admitted with.
    pub capabilities: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
}

impl Live for Hub {
    fn on_air(&self, channel_id: &str) -> Option<OnAir> {
        let id = self.newest(channel_id)?;
        let admission = self.admission(id)?;
        Some(OnAir {
            id,
            capabilities: admission.capabilities.clone(),
            tags: admission.tags.clone(),
        })
    }

    fn list(&self) -> Vec<Listing> {
        Hub::list(self)
    }

    fn health(&self) -> Vec<Health> {
        let ids = self.ids().into_iter();
        ids.filter_map(|id| Hub::health(self, id)).collect()
    }

    fn health_of(&self, stream: Uuid) -> Option<Health> {
        Hub::health(self, stream)
    }

    fn thumbnail(&self, stream: Uuid) -> Option<Bytes> {
        Hub::thumbnail(self, stream)
    }

    fn switch(&self, stream: Uuid, publisher: u64) -> Result<(), SwitchError> {
        let stream = self.stream(stream).ok_or(SwitchError::Ended)?;
        stream.switch_to(publisher)
    }

    fn members(&self, channel_id: &str) -> Vec<ChannelMember> {
        Hub::members(self, channel_id)
    }

    fn attendance(&self, stream: Uuid) -> Vec<Attendee> {
        Hub::attendance(self, stream)
    }

    fn count(&self, channel_id: &str, counted: &Counted) -> usize {
        Hub::count(self, channel_id, counted)
    }

    fn kill<'a>(
        &'a self,
        channel_id: &'a str,
        reason: &'a str,
        keep_streams: bool,
    ) -> Pending<'a, Vec<ChannelMember>> {
        Box::pin(Hub::kill(self, channel_id, reason, keep_streams))
    }

    fn close(&self, channel_id: &str) {
        Hub::close(self, channel_id);
    }

    fn finish(&self, channel_id: &str, reason: &str) {
        Hub::finish(self, channel_id, reason);
    }

    fn fork<'a>(
        &'a self,
        source_channel: &'a str,
        forking: &'a Forking,
    ) -> Pending<'a, Result<Forked, Refusal>> {
        Box::pin(Hub::fork(self, source_channel, forking))
    }

    fn origin(&self, stream: Uuid) -> Uuid {
        Hub::origin(self, stream)
    }

    fn has_session(&self, stream: Uuid, session: &str) -> bool {
        Hub::has_session(self, stream, session)
    }
}

/// What the process tells of itself when it is asked.
pub trait Probes: Send + Sync {
    /// Whether every listener is bound; otherwise which one is not.
    fn listeners(&self) -> Result<(), String>;
}

/// What pushes channels to other places.
pub trait Forwards: Send + Sync {
    /// How those of a channel fare on this gateway, of every stream of it.
    fn of_channel(&self, channel_id: &str) -> Vec<Forwarded>;

    /// Destinations that settings give a channel, with their ids.
    fn declared(&self, channel_id: &str) -> Vec<(String, Push)>;

    /// Those in the database are not what they were.
    fn changed(&self);
}

/// How a forward fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Id of its destination.
    pub id: String,
    /// Kind of its destination.
    pub kind: &'static str,
    /// Where it goes, without a secret in it.
    pub destination: String,
    /// The word for what it does.
    pub state: &'static str,
    /// Since when.
    pub since_unix_ms: i64,
    /// Why it does not go, or did not at last.
    pub reason: Option<String>,
    /// When it is tried again.
    pub next_attempt_unix_ms: Option<i64>,
    /// What an operator should know of what is sent.
    pub note: Option<String>,
    /// Attempts so far.
    pub attempts: u64,
    /// How many of them went well.
    pub connected: u64,
    /// Packets or messages sent.
    pub packets: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Units left out because the destination was too slow.
    pub dropped_units: u64,
}

impl Default for Forwarded {
    /// One that has nothing to send.
    fn default() -> Forwarded {
        Forwarded {
            id: String::new(),
            kind: "",
            destination: String::new(),
            state: "waiting",
            since_unix_ms: 0,
            reason: None,
            next_attempt_unix_ms: None,
            note: None,
            attempts: 0,
            connected: 0,
            packets: 0,
            bytes: 0,
            dropped_units: 0,
        }
    }
}

/// What pulls sources of channels.
pub trait Sources: Send + Sync {
    /// Pulls a channel's source until it is stopped, in place of the one before.
    fn start(&self, channel_id: &str, source: Source);

    /// Ends what is pulled for a channel.
    fn stop(&self, channel_id: &str);
}

/// Where stream keys come from that the database does not decide about.
pub trait Keys: Send + Sync {
    /// Why a channel's key cannot be replaced here; `None` when it can.
    fn fixed(&self, channel_id: &str) -> Option<String>;

    /// Keeps a new key where the next start looks for it. May block.
    fn keep(&self, channel_id: &str, key: &Secret) -> Result<(), String>;
}

/// What follows rooms of a LiveKit server, so that they become channels.
pub trait Rooms: Send + Sync {
    /// How a room of a broadcast is now. Told when something of it has changed, as soon as the LiveKit server
    /// says so, and again at intervals while somebody publishes in it. Must not wait.
    fn handle_room(&self, room: &Room);
}

/// A room of a broadcast, as far as others than the gateway are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Its name: the stream of the broadcast.
    pub stream: Uuid,
    /// The broadcast's channel.
    pub channel_id: String,
    /// Who publish media in it, in the order in which they came. Nobody does when it is empty, or the room is
    /// closed.
    pub publishers: Vec<RoomPublisher>,
}

/// Somebody who publishes media in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomPublisher {
    /// Identity in the room.
    pub identity: String,
    /// What its token says that it is: `publisher` of the host, `co_host`; `None` when it says nothing.
    pub role: Option<String>,
}

/// Nobody follows rooms.
impl Rooms for () {
    fn handle_room(&self, _: &Room) {}
}
