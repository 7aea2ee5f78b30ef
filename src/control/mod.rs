//! The control side of HTTP: health, metrics, lists, streams for operators, universal manifests, the
//! API description, and the gate that admits publishes. In: handles of store and hub, and what the process can tell of
//! itself. Out: axum routers. Not here: playback (`origin`), pages, listeners.

mod admin;
pub mod auth;
mod conformance;
pub mod error;
pub mod gate;
mod health;
mod manifest;
pub mod metrics;
mod openapi;
pub mod pages;
mod process;
pub mod recordings;
mod streams;
#[cfg(test)]
mod tests;
pub mod token;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, get, post};

use crate::base::clock::Clock;
use crate::base::id::Uuid;
use crate::base::secret::Secret;
use crate::hub::{Health, Hub, Listing, SwitchError};
use crate::store::Store;
pub use error::Error;
pub use gate::StoreGate;
pub(crate) use health::try_write;
pub use metrics::{
    Connections, LinkStats, ListenerStats, Measured, Measurements, RungStats, StreamStats,
};
pub use openapi::DOCUMENT as OPENAPI;

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

    /// Gives the air of a stream to one of its publishers.
    fn switch(&self, stream: Uuid, publisher: u64) -> Result<(), SwitchError>;
}

/// A channel's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnAir {
    /// Stream id.
    pub id: Uuid,
    /// What it was admitted with.
    pub capabilities: Vec<String>,
}

impl Live for Hub {
    fn on_air(&self, channel_id: &str) -> Option<OnAir> {
        let id = self.find(channel_id)?;
        let capabilities = self.stream(id)?.admission().capabilities.clone();
        Some(OnAir { id, capabilities })
    }

    fn list(&self) -> Vec<Listing> {
        Hub::list(self)
    }

    fn health(&self) -> Vec<Health> {
        let streams = self.all();
        streams.iter().map(|stream| stream.health()).collect()
    }

    fn health_of(&self, stream: Uuid) -> Option<Health> {
        Some(self.stream(stream)?.health())
    }

    fn switch(&self, stream: Uuid, publisher: u64) -> Result<(), SwitchError> {
        let stream = self.stream(stream).ok_or(SwitchError::Ended)?;
        stream.switch_to(publisher)
    }
}

/// What the process tells of itself when it is asked.
pub trait Probes: Send + Sync {
    /// Whether every listener is bound; otherwise which one is not.
    fn listeners(&self) -> Result<(), String>;
}

/// What the routers are made of.
pub struct Setup {
    /// The database.
    pub store: Store,
    /// Streams that live now.
    pub live: Arc<dyn Live>,
    /// Figures for `/metrics` and lists.
    pub measurements: Arc<dyn Measurements>,
    /// Readiness of what control cannot see.
    pub probes: Arc<dyn Probes>,
    /// Playback tokens.
    pub tokens: token::Tokens,
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
    /// The clock.
    pub clock: Clock,
}

/// Shared state of every control handler. Cloning shares it.
#[derive(Clone)]
pub struct State(Arc<Inner>);

pub(crate) struct Inner {
    setup: Setup,
    metrics: metrics::Metrics,
    readiness: std::sync::Mutex<Option<(Duration, health::Report)>>,
}

impl State {
    /// Puts the parts together.
    pub fn new(setup: Setup) -> State {
        let metrics = metrics::Metrics::new(setup.measurements.clone(), setup.clock.clone());
        State(Arc::new(Inner {
            metrics,
            readiness: std::sync::Mutex::new(None),
            setup,
        }))
    }

    fn setup(&self) -> &Setup {
        &self.0.setup
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

/// Bodies of requests. The largest is a choice of a publisher, some dozens of bytes.
const MAX_BODY_BYTES: usize = 16 << 10;

/// Every route. The API description is checked against it.
fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    vec![
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
        ("/openapi.json", Side::Operator, get(openapi::document)),
        ("/docs", Side::Operator, get(openapi::page)),
        ("/streams.json", Side::Public, get(streams::list)),
        (
            "/pcast/channel/{channelId}/{manifest}",
            Side::Public,
            get(manifest::redirect),
        ),
    ]
}

fn router_of(state: State, wanted: impl Fn(Side) -> bool) -> Router {
    let chosen = routes().into_iter().filter(|(_, side, _)| wanted(*side));
    let router = chosen.fold(Router::new(), |router, (path, _, method)| {
        router.route(path, method)
    });
    router
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(state)
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
