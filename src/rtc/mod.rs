//! WebRTC. In: access units with media time, session descriptions and candidates of a far side. Out: the
//! same in the other direction, requests for key units, statistics. Not here: how descriptions travel
//! (`livekit`, `forward::whip`), which rendition is sent.
//!
//! One trait, [`Peer`], and the engine behind it: another engine is another folder beside `webrtc/` and
//! another line in [`open`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::base::clock::Clock;
use crate::base::secret::Secret;
use crate::media::{AccessUnit, MediaKind, Track};

pub mod description;
pub mod packet;
mod webrtc;

/// An answer that takes a while. Boxed, so that an engine's own futures stay out of everybody's types.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// What every connection has in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Servers that tell our address, or relay.
    pub ice_servers: Vec<IceServer>,
    /// Whether addresses of the loopback interface are candidates: for a server on this machine.
    pub loopback: bool,
    /// Sender reports and reception are timed by it.
    pub clock: Clock,
}

/// A STUN or TURN server.
#[derive(Clone, Debug)]
pub struct IceServer {
    /// Such as `turn:host:3478?transport=udp`.
    pub urls: Vec<String>,
    /// For TURN; empty for STUN.
    pub username: String,
    /// For TURN.
    pub credential: Secret,
}

/// A track that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Media stream id (msid): tracks of one stream are played in step.
    pub stream_id: String,
    /// Track id (msid). LiveKit knows the track by it.
    pub track_id: String,
    /// H.264 pictures or Opus sound.
    pub kind: MediaKind,
    /// Names (RIDs, RFC 8851) of simulcast layers; fewer than two: one encoding without a name.
    pub layers: Vec<Arc<str>>,
}

/// A track that is received, by the order of its arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IncomingId(pub u32);

/// An ICE candidate as signalling carries it (RFC 8840, and the members of `RTCIceCandidateInit`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// The `candidate:` line; empty where there are no more.
    pub candidate: String,
    /// Media section by name.
    pub sdp_mid: Option<String>,
    /// Media section by number.
    pub sdp_m_line_index: Option<u16>,
}

/// What happens on a connection.
#[derive(Clone, Debug)]
pub enum Event {
    /// Media can flow.
    Connected,
    /// A candidate of ours, for the far side.
    Candidate(Candidate),
    /// The far side cannot decode: it wants a key unit of a layer of what is sent.
    KeyUnitWanted {
        /// Index of the [`Outgoing`].
        outgoing: usize,
        /// Index of its layer; 0 without simulcast.
        layer: usize,
    },
    /// The far side sends a track.
    Incoming {
        /// Its number from now on.
        id: IncomingId,
        /// Pictures or sound.
        kind: MediaKind,
        /// Media stream id (msid). LiveKit puts the participant into it: `PA_sid|TR_sid`.
        stream_id: String,
        /// Track id (msid).
        track_id: String,
    },
    /// A (new) configuration of a received track; before its first unit.
    Track(IncomingId, Arc<Track>),
    /// A received unit, whole and in decode order. Times of all tracks of one sender are on one clock, as
    /// its sender reports say: 90 kHz or 48 kHz since a point of the receiver's choice.
    Unit(IncomingId, AccessUnit),
    /// Packets are missing for good: what follows does not connect until the next key unit.
    Lost(IncomingId),
    /// A received track is over.
    Ended(IncomingId),
    /// The connection is over, or could not be made; nothing follows.
    Closed(String),
}

/// What went over the wire so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// RTP packets sent, without repeats.
    pub packets_sent: u64,
    /// Their payload.
    pub bytes_sent: u64,
    /// Packets sent once more because they were asked for.
    pub packets_repeated: u64,
    /// Units that were not sent: there was no room for them, or they wait for a key unit.
    pub units_dropped: u64,
    /// Requests for key units received.
    pub key_units_wanted: u64,
    /// RTP packets received.
    pub packets_received: u64,
    /// Their payload.
    pub bytes_received: u64,
    /// Packets that never came.
    pub packets_lost: u64,
    /// Share of packets lost on the way as the far side reports, in 1/256.
    pub far_loss_256: u8,
    /// Round trip, microseconds; 0 while unknown.
    pub round_trip_micros: u64,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket, no certificate, no engine.
    #[error("cannot set up WebRTC: {0}")]
    Setup(String),
    /// The far side's description or candidate cannot be used.
    #[error("session description: {0}")]
    Description(String),
    /// The track cannot be sent: it is no H.264 and no Opus.
    #[error("{0} cannot be sent by WebRTC here")]
    Codec(String),
    /// The connection is over.
    #[error("connection is closed")]
    Closed,
}

/// One connection. Dropping it closes it.
pub trait Peer: Send {
    /// Adds these tracks, to be sent, and describes them. Once.
    fn offer<'a>(&'a mut self, tracks: &'a [Outgoing]) -> Pending<'a, String>;
    /// Takes the far side's answer to [`Peer::offer`].
    fn accept<'a>(&'a mut self, answer: &'a str) -> Pending<'a, ()>;
    /// Takes the far side's offer of what it sends, and answers; again whenever it offers.
    fn answer<'a>(&'a mut self, offer: &'a str) -> Pending<'a, String>;
    /// Takes a candidate of the far side. Before a description it is kept, up to a bound.
    fn add_candidate<'a>(&'a mut self, candidate: &'a Candidate) -> Pending<'a, ()>;
    /// The next event; `None` after [`Event::Closed`]. Cancel-safe.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Event>> + Send + '_>>;
    /// Sends a unit: `track` says its configuration and timescale, `unit.pts` is media time since the epoch
    /// of the one clock that all tracks share. Never waits: what does not fit is dropped and counted.
    fn send(
        &mut self,
        outgoing: usize,
        layer: usize,
        track: &Track,
        unit: &AccessUnit,
    ) -> Result<(), Error>;
    /// Says which wall-clock time, in microseconds since 1970, media time zero of what is sent is: sender
    /// reports are counted from it.
    fn set_epoch(&mut self, unix_micros: i64);
    /// Asks the sender of a received track for a key unit.
    fn want_key_unit(&mut self, incoming: IncomingId);
    /// Counters.
    fn statistics(&self) -> Statistics;
    /// Says goodbye and ends.
    fn close(&mut self) -> Pending<'_, ()>;
}

/// A connection of the only engine there is: by the crate `webrtc`. Nothing is sent before an offer or an answer.
pub fn open(settings: Settings) -> Pending<'static, Box<dyn Peer>> {
    Box::pin(async move { Ok(Box::new(webrtc::Connection::new(settings)) as Box<dyn Peer>) })
}
