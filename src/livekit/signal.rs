//! A visit in a room: who asks and hears, on our side of the [thread](super::thread) that talks to the server.

use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use tokio::sync::{mpsc, oneshot};

use super::error::{Error, Reason};
use super::event::{self, Event, Participant, Publication, Quality, Target, trickle};
use super::token::{Grant, sign_as};
use super::{Server, thread};
use crate::base::clock::Wall;
use crate::base::secret::Secret;
use crate::rtc::{Candidate, IceServer};

/// How long our tokens let us in. The server renews them for the session while it lasts.
const TOKEN_VALID_FOR: Duration = Duration::from_secs(600);
/// Events that wait for who listens. When it is full the session's thread waits, and gives the session up
/// after [`thread::READ_WITHIN`].
pub(super) const QUEUE_EVENTS: usize = 256;
/// Requests on their way to the server. When it is full the session is over: nobody reads there.
const QUEUE_REQUESTS: usize = 256;
/// Servers for ICE that are taken.
const MAX_ICE_SERVERS: usize = 16;

/// As whom a room is joined.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Name of the room: the stream id of a broadcast.
    pub room: &'a str,
    /// Begins with [`super::OWN_IDENTITY`].
    pub identity: &'a str,
    /// Name for people.
    pub name: Option<&'a str>,
    /// For other participants, JSON text.
    pub metadata: Option<&'a str>,
    /// Whether something will be published.
    pub publishes: bool,
    /// Whether something will be received. Nothing comes by itself: see [`Session::subscribe`].
    pub listens: bool,
    /// Whether others are not told.
    pub hidden: bool,
}

/// What is known on joining.
#[derive(Clone, Debug)]
pub struct Joined {
    /// By which the server names the room.
    pub room_sid: String,
    /// By which the server names this visit.
    pub sid: String,
    /// Those who are there already.
    pub participants: Vec<Participant>,
    /// Helpers of ICE.
    pub ice_servers: Vec<IceServer>,
    /// Whether the server offers its connection first.
    pub subscriber_first: bool,
    /// Of the server.
    pub version: String,
}

/// A visit. Dropping it leaves the room, without waiting for that.
#[derive(Debug)]
pub struct Session {
    joined: Joined,
    events: mpsc::Receiver<Event>,
    requests: mpsc::Sender<Request>,
    is_over: bool,
}

impl Session {
    /// Joins a room. Takes some seconds at most; may be given up at any time.
    pub async fn connect(server: &Server, entry: &Entry<'_>, now: Wall) -> Result<Session, Error> {
        let grant = Grant {
            room: entry.room,
            identity: entry.identity,
            name: entry.name,
            metadata: entry.metadata,
            can_publish: entry.publishes,
            can_subscribe: entry.listens,
            can_publish_data: Some(false),
            max_participants: None,
            valid_for: TOKEN_VALID_FOR,
        };
        let (key, secret) = (server.api_key(), server.api_secret());
        let token = sign_as(key, secret, now, &grant, entry.hidden);
        let token = Secret::new(token.map_err(|_| Error::Signature)?);
        let (events, heard) = mpsc::channel(QUEUE_EVENTS);
        let (requests, asked) = mpsc::channel(QUEUE_REQUESTS);
        let (told, joined) = oneshot::channel();
        let ends = (events, asked);
        thread::start(server.url(), token, told, ends, server.tasks.as_ref())?;
        let joined = joined.await.unwrap_or(Err(Error::Over))?;
        Ok(Session {
            joined: facts(&joined),
            events: heard,
            requests,
            is_over: false,
        })
    }

    /// What was known on joining.
    pub fn joined(&self) -> &Joined {
        &self.joined
    }

    /// The next event; the last one is [`Event::Left`], then there is none. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        if self.is_over {
            return None;
        }
        let event = self.events.recv().await;
        let event =
            event.unwrap_or_else(|| Event::Left(Reason::Lost("it was given up".to_owned())));
        self.is_over = matches!(event, Event::Left(_));
        Some(event)
    }

    /// Says that a track of ours will be in the offer.
    pub fn add_track(&self, publication: Publication) -> Result<(), Error> {
        self.ask(Request::AddTrack(publication.request()))
    }

    /// Offers what we send.
    pub fn offer(&self, id: u32, sdp: String) -> Result<(), Error> {
        self.ask(Request::Offer(description("offer", id, sdp)))
    }

    /// Answers the server's offer of this id.
    pub fn answer(&self, id: u32, sdp: String) -> Result<(), Error> {
        self.ask(Request::Answer(description("answer", id, sdp)))
    }

    /// Tells a candidate of ours.
    pub fn candidate(&self, target: Target, candidate: Candidate) -> Result<(), Error> {
        self.ask(Request::Trickle(trickle(target, candidate)))
    }

    /// Asks for tracks of others, or that they come no more.
    pub fn subscribe(&self, sids: &[String], wanted: bool) -> Result<(), Error> {
        self.ask(Request::Subscription(proto::UpdateSubscription {
            track_sids: sids.to_vec(),
            subscribe: wanted,
            ..proto::UpdateSubscription::default()
        }))
    }

    /// Chooses the layer of a track of others' that we receive, or that it pauses.
    pub fn choose_layer(&self, sid: &str, quality: Option<Quality>) -> Result<(), Error> {
        let number = match quality {
            Some(Quality::Low) => proto::VideoQuality::Low,
            Some(Quality::Medium) => proto::VideoQuality::Medium,
            Some(Quality::High) | None => proto::VideoQuality::High,
        };
        self.ask(Request::TrackSetting(proto::UpdateTrackSettings {
            track_sids: vec![sid.to_owned()],
            disabled: quality.is_none(),
            quality: number.into(),
            ..proto::UpdateTrackSettings::default()
        }))
    }

    /// Says that a track of ours sends nothing for now, or again.
    pub fn mute(&self, sid: &str, muted: bool) -> Result<(), Error> {
        self.ask(Request::Mute(proto::MuteTrackRequest {
            sid: sid.to_owned(),
            muted,
        }))
    }

    /// Says goodbye, and waits until that is said, for some seconds at most.
    pub async fn leave(mut self) {
        let leave = proto::LeaveRequest {
            reason: proto::DisconnectReason::ClientInitiated.into(),
            action: proto::leave_request::Action::Disconnect.into(),
            ..proto::LeaveRequest::default()
        };
        if self.ask(Request::Leave(leave)).is_err() {
            return;
        }
        let gone = async { while self.events.recv().await.is_some() {} };
        let _ = tokio::time::timeout(thread::SAID_WITHIN, gone).await;
    }

    fn ask(&self, request: Request) -> Result<(), Error> {
        self.requests.try_send(request).map_err(|_| Error::Over)
    }
}

fn description(kind: &str, id: u32, sdp: String) -> proto::SessionDescription {
    proto::SessionDescription {
        r#type: kind.to_owned(),
        sdp,
        id,
        ..proto::SessionDescription::default()
    }
}

fn facts(join: &proto::JoinResponse) -> Joined {
    let sid = |sid: Option<&String>| sid.cloned().unwrap_or_default();
    let ice = join.ice_servers.iter().take(MAX_ICE_SERVERS);
    let info = join.server_info.as_ref();
    Joined {
        room_sid: sid(join.room.as_ref().map(|room| &room.sid)),
        sid: sid(join.participant.as_ref().map(|own| &own.sid)),
        participants: event::participants(&join.other_participants),
        ice_servers: ice
            .map(|server| IceServer {
                urls: server.urls.clone(),
                username: server.username.clone(),
                credential: Secret::new(server.credential.clone()),
            })
            .collect(),
        subscriber_first: join.subscriber_primary,
        version: info.map_or_else(|| join.server_version.clone(), |info| info.version.clone()),
    }
}
