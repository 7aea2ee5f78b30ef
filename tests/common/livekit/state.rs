//! Everything that the server knows, behind one lock: rooms by name, who may not come back, faults. In: joins,
//! signal messages, datagrams, the passing of time. Nothing here waits.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_request::Message as Request;
use proto::signal_response::Message;
use tokio::sync::mpsc;

use super::participant::{Participant, goodbye};
use super::peer::Peer;
use super::room::Room;
use super::token::{self, Claims, Refusal};

/// Rooms that end, whose record is kept.
const MAX_ENDED: usize = 32;
/// How long a client whose signal connection broke may take to come back.
const RETURN_TIME: Duration = Duration::from_secs(5);
/// Removed participants cannot come back with tokens that are not valid from later than a minute on
/// (`RoomParticipantIdentity.revoke_token_ts`).
pub const REVOKED_AHEAD: i64 = 60;

/// What goes wrong by order of a test.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Upgrades of `/rtc` are answered with that status instead.
    pub refuse_upgrade: Option<u16>,
    /// Nothing is sent and nothing is read any more, on open connections.
    pub is_silent: bool,
    /// Offers of publishers stay without an answer.
    pub no_answer: bool,
    /// Each signal message is sent that much later.
    pub slow: Duration,
    /// Publishers are asked for key frames fifty times a second.
    pub pli_flood: bool,
    /// Share of the media datagrams that do not come in, in percent, one by one.
    pub loss_percent: u32,
    /// No egress worker answers.
    pub no_workers: bool,
    /// Removal revokes no tokens.
    pub no_revocation: bool,
    /// The API answers with that status.
    pub refuse_api: Option<u16>,
}

/// What rooms need from around them.
pub struct Context {
    pub now: Instant,
    pub unix_ms: i64,
    pub udp: SocketAddr,
    pub faults: Faults,
    pub key: String,
    pub secret: String,
    /// Rooms that nobody is in end after that time.
    pub departure: Duration,
    /// Whether viewers play tracks of one stream in step.
    pub sync_streams: bool,
    pub hooks: Option<mpsc::Sender<proto::WebhookEvent>>,
    /// All webhook events by name, oldest first, whether they are sent or not.
    pub events: Vec<proto::WebhookEvent>,
    pub datagrams: u64,
    pub dropped_datagrams: u64,
}

impl Context {
    /// A new id, such as `PA_…`.
    pub fn id(&self, prefix: &str) -> String {
        let id = uuid::Uuid::new_v4().simple().to_string();
        format!("{prefix}{}", &id[..12])
    }

    /// Brings the clocks to the present.
    pub fn tick(&mut self) {
        self.now = tokio::time::Instant::now().into_std();
        self.unix_ms = jiff::Timestamp::now().as_millisecond();
    }

    /// An event for whoever receives webhooks.
    pub fn webhook(&mut self, name: &str, fill: impl FnOnce(&mut proto::WebhookEvent)) {
        let mut event = proto::WebhookEvent {
            event: name.to_owned(),
            id: self.id("EV_"),
            created_at: self.unix_ms / 1000,
            ..Default::default()
        };
        fill(&mut event);
        if let Some(hooks) = &self.hooks {
            let _ = hooks.try_send(event.clone());
        }
        self.events.push(event);
    }
}

/// How a client wants to join: the query of `/rtc`.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    pub auto_subscribe: bool,
    pub reconnects: bool,
    pub sid: String,
}

/// The whole.
pub struct State {
    pub rooms: BTreeMap<String, Room>,
    /// The newest rooms that have ended.
    pub ended: Vec<Room>,
    pub context: Context,
    /// Room and identity, and from when on a token has to be valid.
    pub revoked: HashMap<(String, String), i64>,
    pub egress: super::egress::Egresses,
    pub ingress: Vec<proto::IngressInfo>,
    /// Whether there is a worker for ingress from URLs: the test.
    pub has_ingress_worker: bool,
    /// Where RTMP and WHIP of an ingress go.
    pub ingress_urls: (String, String),
    /// A number for the faults that are by chance.
    pub seed: u64,
}

impl State {
    /// What a token allows, read at the present.
    pub fn verify(&self, token: &str) -> Result<Claims, Refusal> {
        let now = jiff::Timestamp::now().as_millisecond() as f64 / 1000.0;
        token::verify(&self.context.key, &self.context.secret, token, now)
    }

    /// Whether a token may join, and which room.
    pub fn may_join(&self, claims: &Claims) -> Result<String, Refusal> {
        let grant = claims.video.as_ref().ok_or_else(Refusal::denied)?;
        if !grant.room_join {
            return Err(Refusal::denied());
        }
        if claims.sub.is_empty() {
            return Err(Refusal::new(400, "identity cannot be empty"));
        }
        if grant.room.is_empty() {
            return Err(Refusal::new(400, "no room name"));
        }
        let who = (grant.room.clone(), claims.sub.clone());
        if let Some(from) = self.revoked.get(&who) {
            // A token without nbf counts as one from the beginning of time.
            if (claims.nbf.unwrap_or(0.0) as i64) < *from {
                return Err(Refusal::new(401, "token has been revoked"));
            }
        }
        Ok(grant.room.clone())
    }

    /// The room of that name, made if there is none.
    pub fn room(&mut self, request: &proto::CreateRoomRequest) -> &mut Room {
        let name = request.name.clone();
        if !self.rooms.contains_key(&name) {
            let info = proto::Room {
                sid: self.context.id("RM_"),
                name: name.clone(),
                empty_timeout: if request.empty_timeout == 0 {
                    300
                } else {
                    request.empty_timeout
                },
                departure_timeout: match request.departure_timeout {
                    0 => self.context.departure.as_secs() as u32,
                    seconds => seconds,
                },
                max_participants: request.max_participants,
                creation_time: self.context.unix_ms / 1000,
                creation_time_ms: self.context.unix_ms,
                enabled_codecs: codecs(),
                metadata: request.metadata.clone(),
                ..Default::default()
            };
            let room = Room::new(info, self.context.now);
            self.context
                .webhook("room_started", |event| event.room = Some(room.public()));
            self.rooms.insert(name.clone(), room);
        }
        self.rooms
            .get_mut(&name)
            .expect("it was made if it was not there")
    }

    /// Whether the room has no place for one more.
    pub fn is_full(&self, claims: &Claims) -> bool {
        let room = claims
            .video
            .as_ref()
            .and_then(|grant| self.rooms.get(&grant.room));
        room.is_some_and(|room| {
            let max = room.info.max_participants as usize;
            let is_new = room.by_identity(&claims.sub).is_none();
            max > 0 && is_new && room.participants.len() >= max
        })
    }

    /// Lets a client in whose token was read: the room and the participant's sid, or a goodbye.
    pub fn join(
        &mut self,
        claims: &Claims,
        wishes: &Wishes,
        signal: mpsc::Sender<Vec<u8>>,
    ) -> Result<(String, String), proto::LeaveRequest> {
        use proto::leave_request::Action;
        self.context.tick();
        let name = claims
            .video
            .as_ref()
            .map(|grant| grant.room.clone())
            .unwrap_or_default();
        if wishes.reconnects {
            return self.resume(&name, wishes, signal);
        }
        let config = claims.room_config.clone().unwrap_or_default();
        let most = config["maxParticipants"]
            .as_u64()
            .or(config["max_participants"].as_u64());
        self.room(&proto::CreateRoomRequest {
            name: name.clone(),
            max_participants: most.unwrap_or(0) as u32,
            ..Default::default()
        });
        let (rooms, context) = (&mut self.rooms, &mut self.context);
        let room = rooms.get_mut(&name).expect("it was made above");
        if let Some(old) = room.by_identity(&claims.sub) {
            let reason = proto::DisconnectReason::DuplicateIdentity;
            room.participants[old].leave(reason, Action::Disconnect);
            room.remove(old, reason, context);
        }
        let sid = context.id("PA_");
        let publisher = Peer::new(context.now, context.udp);
        let mut participant = Participant::new(&sid, claims, context.unix_ms, publisher);
        participant.auto_subscribe = wishes.auto_subscribe;
        participant.signal = Some(signal);
        if participant.permission().can_subscribe {
            participant.subscriber = Some(Peer::new(context.now, context.udp));
        }
        let others = room.participants.iter().filter(|other| !other.is_hidden());
        let join = proto::JoinResponse {
            room: Some(room.public()),
            participant: Some(participant.public()),
            other_participants: others.map(Participant::public).collect(),
            server_version: "1.11.0".to_owned(),
            ice_servers: Vec::new(),
            subscriber_primary: participant.subscriber.is_some(),
            ping_timeout: 15,
            ping_interval: 5,
            server_info: Some(server_info()),
            sif_trailer: b"sif-trailer-of-tests".to_vec(),
            enabled_publish_codecs: codecs(),
            fast_publish: true,
            ..Default::default()
        };
        participant.send(Message::Join(join));
        room.enter(participant, context);
        Ok((name, sid))
    }

    /// A client comes back to where it was, with both peer connections as they are.
    fn resume(
        &mut self,
        name: &str,
        wishes: &Wishes,
        signal: mpsc::Sender<Vec<u8>>,
    ) -> Result<(String, String), proto::LeaveRequest> {
        let unknown = || {
            let reason = proto::DisconnectReason::StateMismatch;
            goodbye(reason, proto::leave_request::Action::Reconnect)
        };
        let room = self.rooms.get_mut(name).ok_or_else(unknown)?;
        let index = room.index(&wishes.sid).ok_or_else(unknown)?;
        let participant = &mut room.participants[index];
        participant.signal = Some(signal);
        participant.lost = None;
        participant.send(Message::Reconnect(proto::ReconnectResponse {
            server_info: Some(server_info()),
            ..Default::default()
        }));
        Ok((name.to_owned(), wishes.sid.clone()))
    }

    /// Takes a signal message. `false`: the connection has ended.
    pub fn handle(&mut self, room: &str, sid: &str, frame: &[u8]) -> bool {
        if self.context.faults.is_silent {
            return true;
        }
        self.context.tick();
        let Some(room) = self.rooms.get_mut(room) else {
            return false;
        };
        let Some(index) = room.index(sid) else {
            return false;
        };
        let request = proto::SignalRequest::decode(frame);
        match request.map(|request| request.message) {
            Ok(Some(request)) => {
                if let Request::Offer(_) = &request
                    && self.context.faults.no_answer
                {
                    room.participants[index].said.push("Offer".to_owned());
                    return true;
                }
                room.handle(index, request, &mut self.context)
            }
            Ok(None) => true,
            Err(error) => {
                room.participants[index].errors.push(error.to_string());
                true
            }
        }
    }

    /// A signal connection ended without a goodbye.
    pub fn lose(&mut self, room: &str, sid: &str, signal: &mpsc::Sender<Vec<u8>>) {
        self.context.tick();
        let Some(room) = self.rooms.get_mut(room) else {
            return;
        };
        let Some(index) = room.index(sid) else { return };
        let participant = &mut room.participants[index];
        // Of one who is back already, an older connection ended.
        if participant
            .signal
            .as_ref()
            .is_none_or(|known| known.same_channel(signal))
        {
            participant.signal = None;
            participant.lost = Some(self.context.now);
        }
    }

    /// Ends a room, with everybody in it.
    pub fn end_room(&mut self, name: &str, reason: proto::DisconnectReason) -> bool {
        self.context.tick();
        let Some(mut room) = self.rooms.remove(name) else {
            return false;
        };
        while !room.participants.is_empty() {
            room.participants[0].leave(reason, proto::leave_request::Action::Disconnect);
            room.remove(0, reason, &mut self.context);
        }
        self.context
            .webhook("room_finished", |event| event.room = Some(room.public()));
        if self.ended.len() == MAX_ENDED {
            self.ended.remove(0);
        }
        self.ended.push(room);
        true
    }

    /// Ends what has run out; when to look again.
    pub fn expire(&mut self) -> Instant {
        let now = self.context.now;
        let mut next = now + Duration::from_millis(200);
        let mut over = Vec::new();
        for (name, room) in &mut self.rooms {
            let lost = |one: &Participant| one.lost.is_some_and(|at| now - at >= RETURN_TIME);
            while let Some(index) = room.participants.iter().position(lost) {
                let reason = proto::DisconnectReason::SignalClose;
                room.remove(index, reason, &mut self.context);
            }
            let has_been = !room.departed.is_empty();
            let patience = match has_been {
                true => Duration::from_secs(room.info.departure_timeout.into()),
                false => Duration::from_secs(room.info.empty_timeout.into()),
            };
            if let Some(since) = room.empty_since {
                if now - since >= patience {
                    over.push(name.clone());
                } else {
                    next = next.min(since + patience);
                }
            }
        }
        for name in over {
            self.end_room(&name, proto::DisconnectReason::RoomClosed);
        }
        next
    }
}

/// What the server says of itself.
fn server_info() -> proto::ServerInfo {
    proto::ServerInfo {
        edition: proto::server_info::Edition::Standard as i32,
        version: "1.11.0".to_owned(),
        protocol: 16,
        node_id: "ND_tests".to_owned(),
        ..Default::default()
    }
}

/// What may be published.
fn codecs() -> Vec<proto::Codec> {
    let codec = |mime: &str| proto::Codec {
        mime: mime.to_owned(),
        fmtp_line: String::new(),
    };
    vec![codec("audio/opus"), codec("video/H264")]
}
