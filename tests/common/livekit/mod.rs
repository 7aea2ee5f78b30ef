//! A LiveKit server for tests: real signalling (version 0), real WebRTC by str0m, access tokens, the API, and
//! signed webhooks, all on loopback and on ports of the system's choice. What publishers send is written down
//! and passed on to subscribers. Independent clients (LiveKit's Python library, livekit-client in Chromium)
//! are the judges of whether it is right: `tests/livekit/test_server`.
//!
//! Not here: more than one node, TURN, TCP, codecs other than H.264 and Opus, transcoding.

#![allow(
    deprecated,
    reason = "clients still read what the protocol calls deprecated"
)]

pub mod clients;
pub mod egress;
pub mod forward;
pub mod h264;
pub mod ingress;
pub mod media;
pub mod mkv;
pub mod participant;
pub mod peer;
pub mod push;
pub mod real;
pub mod record;
mod redis;
pub mod room;
pub mod rooms;
pub mod signal;
pub mod state;
pub mod token;
pub mod track;
pub mod twirp;
pub mod webhook;
pub mod whip;

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use livekit_protocol as proto;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

use record::Layer;
use state::{Context, Faults, State};

/// What the server signs and reads tokens with.
pub const KEY: &str = "devkey";
pub const SECRET: &str = "LivekitSecret0123456789abcdefghij";
/// Longest datagram.
const MAX_DATAGRAM: usize = 2048;
/// Datagrams in a row before anything else gets its turn.
const MAX_IN_A_ROW: usize = 64;
/// Nothing that a test waits for takes longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What connections share.
pub struct Shared {
    state: Mutex<State>,
    /// Something was changed that peer connections have to hear of.
    wake: Notify,
}

impl Shared {
    /// The state, for a few lines without waiting.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Has connections send what was put before them.
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}

/// A running server; it ends with this.
pub struct LivekitServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    running: Option<Running>,
    options: Options,
}

/// How a server is.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where webhooks go.
    pub webhooks: Option<String>,
    /// How long a room outlives the last who was in it.
    pub departure: Duration,
    /// `sync_streams` of all rooms: off is LiveKit's default.
    pub sync_streams: bool,
    pub key: String,
    pub secret: String,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            webhooks: None,
            departure: Duration::from_secs(20),
            sync_streams: false,
            key: KEY.to_owned(),
            secret: SECRET.to_owned(),
        }
    }
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

/// A track that was announced, and what came of it so far.
#[derive(Clone, Debug)]
pub struct TrackView {
    pub identity: String,
    pub info: proto::TrackInfo,
    pub is_published: bool,
    pub is_gone: bool,
    pub layers: Vec<Layer>,
}

impl TrackView {
    /// The layer of that name; the only one without simulcast is "".
    pub fn layer(&self, rid: &str) -> &Layer {
        let mut layers = self.layers.iter().rev();
        let found = layers.find(|layer| layer.rid == rid);
        found.unwrap_or_else(|| panic!("no layer {rid:?} of {}", self.info.sid))
    }
}

/// What goes to a subscriber.
#[derive(Clone, Debug)]
pub struct DownView {
    pub track: String,
    pub packets: u64,
    pub switches: u32,
    /// Name of the layer on its way.
    pub rid: Option<String>,
    /// How often the subscriber's decoder asked for a key frame.
    pub key_frame_requests: u64,
}

impl LivekitServer {
    /// A server with the settings of every test.
    pub fn start() -> LivekitServer {
        LivekitServer::start_with(Options::default())
    }

    pub fn start_with(options: Options) -> LivekitServer {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (shared, address, running) = run(any, &options);
        LivekitServer {
            shared,
            address,
            running: Some(running),
            options,
        }
    }

    /// Ends it as a crash does: connections break off, the port is closed.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.stop.send(());
            let _ = running.thread.join();
        }
    }

    /// Comes back on the same port and has forgotten everything.
    pub fn start_again(&mut self) {
        self.stop();
        let (shared, address, running) = run(self.address, &self.options);
        self.shared = shared;
        self.address = address;
        self.running = Some(running);
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `LIVEKIT_URL` would be.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// A token that may join, with `more` laid over its video grant.
    pub fn token(&self, identity: &str, room: &str, more: &Value) -> String {
        let now = jiff::Timestamp::now().as_second();
        let claims = token::joining(&self.options.key, identity, room, now, more);
        token::sign(&self.options.secret, &claims)
    }

    /// A token with a video grant of that kind and no identity: what API calls need.
    pub fn api_token(&self, grant: &Value) -> String {
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({"iss": self.options.key, "nbf": now - 1, "exp": now + 600,
            "video": grant});
        token::sign(&self.options.secret, &claims)
    }

    /// Looks at the state, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.shared.state();
        state.context.tick();
        let seen = look(&mut state);
        drop(state);
        self.shared.wake.notify_one();
        seen
    }

    /// Changes what goes wrong.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        self.with(|state| change(&mut state.context.faults));
    }

    /// Sends a participant away mid-stream.
    pub fn send_away(
        &self,
        room: &str,
        identity: &str,
        reason: proto::DisconnectReason,
        action: proto::leave_request::Action,
    ) -> bool {
        self.with(|state| {
            let (rooms, context) = (&mut state.rooms, &mut state.context);
            let Some(room) = rooms.get_mut(room) else {
                return false;
            };
            let Some(index) = room.by_identity(identity) else {
                return false;
            };
            room.participants[index].leave(reason, action);
            room.remove(index, reason, context);
            true
        })
    }

    /// Who is in a room.
    pub fn participants(&self, room: &str) -> Vec<proto::ParticipantInfo> {
        self.with(|state| {
            let room = state.rooms.get(room);
            let all = room.iter().flat_map(|room| &room.participants);
            all.map(participant::Participant::public).collect()
        })
    }

    /// All tracks that a participant ever announced, also when it has left; oldest first.
    pub fn tracks(&self, room: &str, identity: &str) -> Vec<TrackView> {
        self.with(|state| {
            let ended = state.ended.iter().filter(|ended| ended.info.name == room);
            let rooms = ended.chain(state.rooms.get(room));
            let all = rooms.flat_map(|room| room.departed.iter().chain(&room.participants));
            let mine = all.filter(|one| one.info.identity == identity);
            let view = |track: &track::Track| TrackView {
                identity: identity.to_owned(),
                info: track.info.clone(),
                is_published: track.is_published,
                is_gone: track.is_gone,
                layers: track
                    .layers
                    .iter()
                    .map(|recorder| recorder.layer.clone())
                    .collect(),
            };
            mine.flat_map(|one| &one.tracks).map(view).collect()
        })
    }

    /// The newest picture or sound track of a participant.
    pub fn track(&self, room: &str, identity: &str, kind: proto::TrackType) -> Option<TrackView> {
        let mut tracks = self.tracks(room, identity).into_iter().rev();
        tracks.find(|track| track.info.r#type == kind as i32 && !track.layers.is_empty())
    }

    /// What goes to a subscriber.
    pub fn downs(&self, room: &str, identity: &str) -> Vec<DownView> {
        self.with(|state| {
            let Some(room) = state.rooms.get(room) else {
                return Vec::new();
            };
            let Some(index) = room.by_identity(identity) else {
                return Vec::new();
            };
            let rid = |sid: &str, layer: usize| {
                let mut tracks = room.participants.iter().flat_map(|one| &one.tracks);
                let track = tracks.find(|track| track.info.sid == sid)?;
                Some(track.layers.get(layer)?.layer.rid.clone())
            };
            let view = |down: &forward::Down| DownView {
                track: down.track.clone(),
                packets: down.packets,
                switches: down.switches,
                rid: down.layer.and_then(|layer| rid(&down.track, layer)),
                key_frame_requests: down.key_frame_requests,
            };
            room.participants[index].downs.iter().map(view).collect()
        })
    }

    /// Names of the webhook events so far, in order.
    pub fn events(&self) -> Vec<String> {
        self.with(|state| {
            let events = state.context.events.iter();
            events.map(|event| event.event.clone()).collect()
        })
    }

    /// Waits until `found` finds something. Looks again whenever a little time has passed.
    pub async fn until<T>(
        &self,
        what: &str,
        mut found: impl FnMut(&LivekitServer) -> Option<T>,
    ) -> T {
        let looking = async {
            let mut again = tokio::time::interval(Duration::from_millis(20));
            loop {
                again.tick().await;
                if let Some(found) = found(self) {
                    return found;
                }
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, looking).await;
        outcome.unwrap_or_else(|_| panic!("no {what} after {PATIENCE:?}: {}", self.story()))
    }

    /// Who is where and what they said, for the message of a test that fails.
    pub fn story(&self) -> String {
        self.with(|state| {
            let rooms = state.ended.iter().chain(state.rooms.values());
            let all = rooms.flat_map(|room| room.departed.iter().chain(&room.participants));
            let one = |one: &participant::Participant| {
                let tracks: Vec<_> = one
                    .tracks
                    .iter()
                    .map(|track| {
                        (
                            &track.info.sid,
                            &track.mid,
                            track.layers.len(),
                            track.is_gone,
                        )
                    })
                    .collect();
                let said = &one.said[one.said.len().saturating_sub(20)..];
                let (publisher, subscriber) = (&one.publisher, one.subscriber.as_ref());
                format!(
                    "\n{}: connected {} {:?}, tracks {tracks:?}, said {said:?}, errors {:?}",
                    one.info.identity,
                    publisher.is_connected,
                    subscriber.map(|subscriber| subscriber.is_connected),
                    one.errors
                )
            };
            all.map(one).collect()
        })
    }
}

impl Drop for LivekitServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Begins to serve, on a thread of its own: what tests do does not hold it up.
fn run(address: SocketAddr, options: &Options) -> (Arc<Shared>, SocketAddr, Running) {
    let listener = TcpListener::bind(address).expect("a port on loopback");
    let address = listener.local_addr().expect("it has an address");
    let udp = UdpSocket::bind(("127.0.0.1", 0)).expect("a port on loopback");
    let (hooks, events) = tokio::sync::mpsc::channel(1024);
    let state = State {
        rooms: BTreeMap::new(),
        ended: Vec::new(),
        context: Context {
            now: tokio::time::Instant::now().into_std(),
            unix_ms: 0,
            udp: udp.local_addr().expect("it has an address"),
            faults: Faults::default(),
            key: options.key.clone(),
            secret: options.secret.clone(),
            departure: options.departure,
            sync_streams: options.sync_streams,
            hooks: options.webhooks.as_ref().map(|_| hooks),
            events: Vec::new(),
            datagrams: 0,
            dropped_datagrams: 0,
        },
        revoked: HashMap::new(),
        egress: egress::Egresses::default(),
        ingress: Vec::new(),
        has_ingress_worker: false,
        ingress_urls: (
            "rtmp://127.0.0.1:1935/x".to_owned(),
            "http://127.0.0.1:8080/w".to_owned(),
        ),
        seed: 1,
    };
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        wake: Notify::new(),
    });
    let (stop, stopped) = oneshot::channel();
    let (mine, options) = (shared.clone(), options.clone());
    let serve = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async move {
            let all = async {
                tokio::join!(
                    http(mine.clone(), listener),
                    engine(mine, udp),
                    webhook::send_all(options, events)
                );
            };
            tokio::select! { () = all => {}, _ = stopped => {} }
        });
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name("livekit".to_owned());
    let thread = thread.spawn(serve).expect("a thread");
    (shared, address, Running { stop, thread })
}

async fn http(shared: Arc<Shared>, listener: TcpListener) {
    listener.set_nonblocking(true).expect("it can be");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let routes = Router::new()
        .route("/", axum::routing::get(async || "OK"))
        .merge(signal::routes())
        .merge(twirp::routes())
        .merge(whip::routes())
        .with_state(shared);
    let _ = axum::serve(listener, routes).await;
}

/// Moves datagrams and time.
async fn engine(shared: Arc<Shared>, socket: UdpSocket) {
    socket.set_nonblocking(true).expect("it can be");
    let socket = tokio::net::UdpSocket::from_std(socket).expect("a socket");
    let mut bytes = [0; MAX_DATAGRAM];
    loop {
        let deadline = shared.state().poll(&socket);
        tokio::select! {
            ready = socket.readable() => {
                if ready.is_err() {
                    return;
                }
                let mut state = shared.state();
                state.context.tick();
                for _ in 0..MAX_IN_A_ROW {
                    match socket.try_recv_from(&mut bytes) {
                        Ok((size, source)) => state.receive(source, &bytes[..size], &socket),
                        Err(_) => break,
                    }
                }
            }
            () = shared.wake.notified() => {}
            () = tokio::time::sleep_until(deadline.into()) => {}
        }
    }
}
