//! The control side of HTTP: health, metrics, lists, the channel API with its universal manifests (`pcast/`), the
//! API for apps (`api/`), streams, channels, applications and sessions for operators, the API description,
//! pages, and the gate that admits publishes, with the service that it asks. In: handles of store and hub, and
//! what the process can tell of itself. Out: axum routers. Not here: playback (`origin`), listeners.

mod admin;
pub mod admission;
mod api;
pub mod auth;
mod conformance;
pub mod error;
mod events;
pub mod gate;
mod health;
pub mod livekit;
pub mod metrics;
mod openapi;
pub mod pages;
mod pcast;
mod ports;
mod process;
mod recordings;
mod session;
mod streams;
#[cfg(test)]
mod tests;
pub mod token;
pub mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, post};
use http::Uri;

use crate::base::clock::Clock;
use crate::base::destination::Private;
use crate::base::outbound;
use crate::base::secret::Secret;
use crate::base::shutdown::Tasks;
use crate::files::Files;
use crate::films::Films;
use crate::record::Library;
use crate::store::Store;
pub use api::chat::news::run as tell_chats;
pub use api::event::{Conductor, Planning, Playbill, Showing};
pub use api::fuzz::{fuzz_api, fuzz_livekit, fuzz_uploads};
pub use api::leftover::Leftovers;
pub use api::lifecycle::Lifecycle;
pub use api::webhook::Webhooks;
pub use error::Error;
pub use gate::StoreGate;
pub(crate) use health::try_write;
pub use metrics::{
    Connections, ForwardStats, LinkStats, ListenerStats, Measured, Measurements, RungStats,
    StreamStats,
};
pub use openapi::document as api_description;
pub use pcast::limit::REQUESTS_PER_SECOND;
pub use ports::{
    Forwarded, Forwards, Keys, Live, OnAir, Probes, Room, RoomPublisher, Rooms, Sources,
};
pub use session::{Addresses, Caller};

/// What the routers are made of.
pub struct Setup {
    /// The database.
    pub store: Store,
    /// Recordings.
    pub library: Library,
    /// Bytes of users' files.
    pub files: Files,
    /// Files of events.
    pub films: Films,
    /// Streams that live now.
    pub live: Arc<dyn Live>,
    /// Events, and the stage on which their shows play.
    pub playbill: Playbill,
    /// Figures for `/metrics` and lists.
    pub measurements: Arc<dyn Measurements>,
    /// What pushes channels to other places.
    pub forwards: Arc<dyn Forwards>,
    /// Readiness of what control cannot see.
    pub probes: Arc<dyn Probes>,
    /// Stream keys that are kept elsewhere.
    pub keys: Arc<dyn Keys>,
    /// What is done to its end runs here; answers that go on end with it.
    pub tasks: Tasks,
    /// Playback tokens.
    pub tokens: token::Tokens,
    /// First part of channel ids.
    pub region: String,
    /// Application that owns what operators make, unless they say otherwise. It cannot be removed.
    pub first_application: String,
    /// Channels in all; more are refused.
    pub max_channels: u64,
    /// Whether SDK clients may be registered without the admin key.
    pub open_registration: bool,
    /// Whether broadcasts may be made without credentials.
    pub anonymous_broadcasts: bool,
    /// What all scheduled events have in common.
    pub planning: Planning,
    /// Requests of one application in a second; see [`REQUESTS_PER_SECOND`].
    pub requests_per_second: u32,
    /// Where webhooks may go besides the internet.
    pub webhooks_private: Private,
    /// `FOREBAY_PUBLIC_URL`.
    pub public_url: Option<String>,
    /// Key of operators.
    pub admin_key: Secret,
    /// Whether operator routes have an address of their own (`FOREBAY_CONTROL`): whoever reaches
    /// that may read metrics.
    pub own_address: bool,
    /// Data folder, whose writability is part of readiness.
    pub data: PathBuf,
    /// `PLAYBACK_HLS_BASE`.
    pub hls_base: Option<String>,
    /// `PLAYBACK_DASH_BASE`.
    pub dash_base: Option<String>,
    /// Where encoders and viewers go, for the console.
    pub addresses: Addresses,
    /// The LiveKit server; `None`: there is none.
    pub livekit: Option<livekit::Server>,
    /// Who follows its rooms.
    pub rooms: Arc<dyn Rooms>,
    /// The clock.
    pub clock: Clock,
}

/// Shared state of every control handler. Cloning shares it.
#[derive(Clone)]
pub struct State(Arc<Inner>);

pub(crate) struct Inner {
    setup: Setup,
    metrics: metrics::Metrics,
    limits: pcast::limit::Limits,
    hours: api::limit::Hours,
    /// What those without credentials make, by kind and address.
    strangers: api::limit::Hours,
    chats: api::chat::Rooms,
    crowd: api::chat::Crowd,
    attempts: api::throttle::Attempts,
    work: api::work::Work,
    readiness: std::sync::Mutex<Option<(Duration, health::Report)>>,
    sessions: session::Sessions,
    events: events::Events,
    streams: streams::Kept,
    livekit: livekit::Kept,
}

impl State {
    /// Puts the parts together.
    pub fn new(setup: Setup) -> State {
        let (source, clock) = (setup.measurements.clone(), setup.clock.clone());
        let metrics = metrics::Metrics::new(source, setup.store.clone(), clock);
        State(Arc::new(Inner {
            metrics,
            limits: pcast::limit::Limits::new(setup.requests_per_second),
            hours: api::limit::Hours::default(),
            strangers: api::limit::Hours::default(),
            chats: api::chat::Rooms::default(),
            crowd: api::chat::Crowd::default(),
            attempts: api::throttle::Attempts::default(),
            work: api::work::Work::default(),
            readiness: std::sync::Mutex::new(None),
            sessions: session::Sessions::new(setup.clock.clone()),
            events: events::Events::new(),
            streams: streams::Kept::default(),
            livekit: livekit::Kept::default(),
            setup,
        }))
    }

    fn setup(&self) -> &Setup {
        &self.0.setup
    }

    fn limits(&self) -> &pcast::limit::Limits {
        &self.0.limits
    }

    fn hours(&self) -> &api::limit::Hours {
        &self.0.hours
    }

    fn strangers(&self) -> &api::limit::Hours {
        &self.0.strangers
    }

    fn chats(&self) -> &api::chat::Rooms {
        &self.0.chats
    }

    fn crowd(&self) -> &api::chat::Crowd {
        &self.0.crowd
    }

    fn attempts(&self) -> &api::throttle::Attempts {
        &self.0.attempts
    }

    fn work(&self) -> &api::work::Work {
        &self.0.work
    }

    fn sessions(&self) -> &session::Sessions {
        &self.0.sessions
    }

    fn events(&self) -> &events::Events {
        &self.0.events
    }

    fn streams(&self) -> &streams::Kept {
        &self.0.streams
    }

    fn livekit(&self) -> &livekit::Kept {
        &self.0.livekit
    }
}

/// Whom a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Everybody: stays on the playback address.
    Public,
    /// Operators: moves to `FOREBAY_CONTROL` when that is set.
    Operator,
    /// Both addresses.
    Both,
}

/// Every route. The API description is checked against it.
fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    let mut routes = vec![
        ("/healthz", Side::Both, get(health::healthz)),
        ("/readyz", Side::Both, get(health::readyz)),
        (
            "/health/conformance",
            Side::Operator,
            get(conformance::serve),
        ),
        ("/metrics", Side::Operator, get(metrics::serve)),
        ("/api/admin/streams", Side::Operator, get(admin::list)),
        (
            "/api/admin/streams/{streamId}",
            Side::Operator,
            get(admin::one),
        ),
        (
            "/api/admin/streams/{streamId}/switch",
            Side::Operator,
            post(admin::switch),
        ),
        (
            "/api/admin/streams/{streamId}/thumbnail",
            Side::Operator,
            get(admin::thumbnail),
        ),
        (
            "/api/admin/streams/events",
            Side::Operator,
            get(events::listen),
        ),
        (
            session::SESSION,
            Side::Operator,
            get(session::show)
                .post(session::sign_in)
                .delete(session::sign_out),
        ),
        ("/openapi.json", Side::Operator, get(openapi::serve)),
        ("/docs", Side::Operator, get(openapi::page)),
        ("/streams.json", Side::Public, get(streams::list)),
    ];
    routes.extend(admin::routes());
    routes.extend(api::routes());
    routes.extend(livekit::proxy::routes());
    routes.extend(pcast::routes());
    routes.extend(recordings::routes());
    routes
}

fn router_of(state: State, wanted: impl Fn(Side) -> bool) -> Router {
    let chosen = routes().into_iter().filter(|(_, side, _)| wanted(*side));
    let router = chosen.fold(Router::new(), |router, (path, _, method)| {
        router.route(path, method)
    });
    // Clients put a slash between their base URL and a path that begins with one (contract, broadcasts, B-11).
    let router = match wanted(Side::Public) {
        true => router
            .route("//uploads/{fileId}/{name}", get(api::file::read))
            .route("/rtc/{*rest}", livekit::proxy::anything()),
        false => router,
    };
    // What is not there is refused in JSON, too, in the form of its API.
    let below = |router: Router<State>, root: &str, refuse: MethodRouter<State>| {
        let paths = [
            root.to_owned(),
            format!("{root}/"),
            format!("{root}/{{*rest}}"),
        ];
        paths
            .into_iter()
            .fold(router, |router, path| router.route(&path, refuse.clone()))
    };
    let router = below(router, "/pcast", any(pcast::unknown));
    let router = below(router, "/api", any(api::unknown));
    router
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(
            state.clone(),
            session::guard,
        ))
        .layer(middleware::from_fn(api::cors::open))
        .with_state(state)
}

/// A method that a path does not have.
async fn wrong_method(uri: Uri) -> Response {
    match uri.path().starts_with("/api/") {
        true => api::wrong_method().await.into_response(),
        false => pcast::wrong_method().await.into_response(),
    }
}

/// All routes, for a gateway with one HTTP address.
pub fn router(state: State) -> Router {
    router_of(state, |_| true)
}

/// Routes that stay on the playback address when operators have their own.
pub fn public_router(state: State) -> Router {
    router_of(state, |side| side != Side::Operator)
}

/// Routes of the operators' own address.
pub fn operator_router(state: State) -> Router {
    router_of(state, |side| side != Side::Public)
}
