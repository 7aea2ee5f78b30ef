//! The LiveKit server that the settings name. In: its address and credentials, its webhooks, clients that want
//! to its rooms. Out: tokens that open rooms, what becomes of rooms, and whether the server answers. Not here:
//! media (`forward` and `ingest` are participants of rooms), who may have a token (`control/api/streaming.rs`).
//!
//! `service.rs` asks the server with its own API; `proxy/` is where clients connect to, since their tokens have a
//! prefix that no LiveKit server takes (contract, broadcasts, B-8); `access.rs` reads tokens; `webhook.rs` hears
//! of rooms at once, and `keeper.rs` asks for them at intervals, so that nothing depends on a webhook that was
//! lost, or never set up: both tell `rooms.rs`, which knows who is in a room.
//!
//! Whether it answers is asked with its own API, so that wrong credentials are found as well. Each question
//! has a connection of its own: there is one in some seconds at most.

mod access;
pub(in crate::control) mod egress;
mod keeper;
pub(in crate::control) mod proxy;
pub(in crate::control) mod rooms;
mod service;
pub(in crate::control) mod webhook;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use livekit_protocol::{ListRoomsRequest, ListRoomsResponse};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

use super::outbound::{self, Target};
use super::token::{LivekitGrant, livekit};
use crate::base::clock::{Clock, Wall};
use crate::base::secret::Secret;
pub use keeper::run as keep_rooms;
pub(in crate::control) use proxy::fuzz as fuzz_signals;
pub use service::Unwell;
pub(in crate::control) use webhook::fuzz as fuzz_webhooks;

/// How long a token opens its room (contract, broadcasts, B-48).
pub const TOKEN_VALID_FOR: Duration = Duration::from_secs(6 * 3600);
/// What clients of the contract expect tokens to begin with (B-8).
const TOKEN_PREFIX: &str = "livekit_";
/// From the question to the code of the answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// How long an answer is handed out again: anybody may ask, and the server has better things to do.
const FRESH: Duration = Duration::from_secs(5);
/// A room that nobody makes: asked for it, the answer is short on a busy server.
const NO_ROOM: &str = "forebay-health";
/// How the gateway's own identities in rooms begin.
pub(in crate::control) const OWN_IDENTITY: &str = "forebay";
/// Participants of the gateway itself in a room, its publisher and its listener: a room's limit is about people.
pub(in crate::control) const OWN_PARTICIPANTS: u32 = 2;

/// What the settings say of it.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// `LIVEKIT_URL`: `ws`, `wss`, `http` or `https`.
    pub url: &'a str,
    /// `LIVEKIT_API_KEY`.
    pub api_key: &'a str,
    /// `LIVEKIT_API_SECRET`.
    pub api_secret: &'a Secret,
    /// `FOREBAY_LIVEKIT_TOKEN_PREFIX`.
    pub token_prefix: bool,
}

/// Why there is no server to ask.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be called.
    #[error("it is no address such as wss://livekit.example.org")]
    Address,
    /// No certificate is trusted, so none could be checked.
    #[error("it is wss, and no trusted certificates were found on this machine")]
    NoRoots,
    /// The TLS settings cannot be used.
    #[error("it is wss, and TLS cannot be set up")]
    Tls,
}

/// A LiveKit server. Cloning shares it.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    /// As clients connect to it: `ws` or `wss`, without a slash at the end.
    url: String,
    api_key: String,
    api_secret: Secret,
    token_prefix: bool,
    /// The same as `http` or `https`.
    base: String,
    tls: Option<TlsConnector>,
    /// One question at a time; those who wait share its answer.
    turn: Semaphore,
    /// Monotonic time, and what was found then.
    found: Mutex<Option<(Duration, Result<(), Unwell>)>>,
}

/// What is kept of rooms and of those on their way to them, for as long as the process lives.
pub(in crate::control) struct Kept {
    pub(in crate::control) rooms: rooms::Rooms,
    pub(in crate::control) egresses: egress::Known,
    places: proxy::Places,
    seen: webhook::Seen,
    /// Calls in the background.
    calls: Arc<Semaphore>,
}

impl Default for Kept {
    fn default() -> Kept {
        Kept {
            rooms: rooms::Rooms::default(),
            egresses: egress::Known::default(),
            places: proxy::Places::default(),
            seen: webhook::Seen::default(),
            calls: Arc::new(Semaphore::new(keeper::MAX_CALLS)),
        }
    }
}

/// An access token.
#[derive(Debug)]
pub struct Token {
    /// With its prefix, if it has one.
    pub token: Secret,
    /// When it ends, to the second.
    pub expires: Wall,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("url", &self.0.url).finish()
    }
}

impl Server {
    /// The server that the settings name. Reads the machine's certificates if it needs them: blocks for some
    /// milliseconds.
    pub fn new(settings: &Settings<'_>) -> Result<Server, Error> {
        let url = settings.url.trim_end_matches('/');
        let (scheme, rest) = url.split_once("://").ok_or(Error::Address)?;
        let is_secure = match scheme {
            "ws" | "http" => false,
            "wss" | "https" => true,
            _ => return Err(Error::Address),
        };
        // Everybody is told this address.
        if rest.contains(['@', '?', '#']) {
            return Err(Error::Address);
        }
        let http = if is_secure { "https" } else { "http" };
        let base = format!("{http}://{rest}");
        Target::of(&base).map_err(|_| Error::Address)?;
        let tls = match is_secure {
            true => Some(trusting_the_machine()?),
            false => None,
        };
        Ok(Server(Arc::new(Inner {
            url: format!("{}://{rest}", if is_secure { "wss" } else { "ws" }),
            api_key: settings.api_key.to_owned(),
            api_secret: settings.api_secret.clone(),
            token_prefix: settings.token_prefix,
            base,
            tls,
            turn: Semaphore::new(1),
            found: Mutex::new(None),
        })))
    }

    /// Where the server itself is. Clients are told of the gateway's proxy in its place.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Signs a token. `grant` says how long it is good for.
    pub fn token(
        &self,
        grant: &LivekitGrant<'_>,
        now: Wall,
    ) -> Result<Token, jsonwebtoken::errors::Error> {
        let inner = &self.0;
        let token = livekit(&inner.api_key, &inner.api_secret, now, grant)?;
        let prefix = if inner.token_prefix { TOKEN_PREFIX } else { "" };
        let valid_s = i64::try_from(grant.valid_for.as_secs()).unwrap_or(i64::MAX);
        let expires_s = now.unix_seconds().saturating_add(valid_s);
        Ok(Token {
            token: Secret::new(format!("{prefix}{token}")),
            expires: Wall(expires_s.saturating_mul(1_000_000)),
        })
    }

    /// Whether the server answers and takes our credentials, as was found a few seconds ago at most.
    pub async fn health(&self, clock: &Clock) -> Result<(), Unwell> {
        let inner = &self.0;
        let _turn = inner.turn.acquire().await;
        let found = || inner.found.lock().unwrap_or_else(PoisonError::into_inner);
        let before = found().clone();
        let now = clock.monotonic();
        if let Some((at, before)) = &before
            && now.saturating_sub(*at) < FRESH
        {
            return before.clone();
        }
        let outcome = self.ask(clock.wall()).await;
        let was_well = before.is_none_or(|(_, before)| before.is_ok());
        match &outcome {
            Err(err) if was_well => tracing::warn!(%err, url = inner.url, "LiveKit is unavailable"),
            Ok(()) if !was_well => tracing::info!(url = inner.url, "LiveKit is available again"),
            _ => {}
        }
        *found() = Some((clock.monotonic(), outcome.clone()));
        outcome
    }

    /// Asks the server now.
    pub async fn ask(&self, now: Wall) -> Result<(), Unwell> {
        let names = vec![NO_ROOM.to_owned()];
        let question = ListRoomsRequest { names };
        let answer = self.room_service::<ListRoomsResponse>(
            "ListRooms",
            &service::Grant::LIST,
            &question,
            (DEADLINE, now),
        );
        answer.await.map(drop)
    }
}

fn trusting_the_machine() -> Result<TlsConnector, Error> {
    let roots = outbound::machine_roots();
    if roots.is_empty() {
        return Err(Error::NoRoots);
    }
    outbound::connector(roots).map_err(|_| Error::Tls)
}

#[cfg(test)]
pub(crate) mod tests;
