//! Where clients connect to LiveKit: `/rtc` and everything below it (contract, broadcasts, section 5). In: their
//! requests, with tokens as the API hands them out. Out: the same at the LiveKit server, with tokens as it takes
//! them, and bytes in both directions. Not here: what is said in a room. Media go their own way, past this.
//!
//! A token is checked before the server is asked: that we signed it, that its room is open, and that it is no
//! co-host's who was removed. So strangers cost the server nothing.

mod far;
mod pipe;
mod rewrite;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State as Extract};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderMap, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Server;
use super::access::Pass;
use super::rooms;
use crate::base::network::ClientAddress;
use crate::control::{Side, State};
use rewrite::{Refused, Rewritten};

/// Clients that are connected through us at once. Bounds memory to some 50 KB for each, sockets included.
const MAX_CLIENTS: usize = 4096;
/// Clients whose handshake goes on: more are told to come again.
const MAX_OPENING: usize = 128;
/// From a client's request to the server's answer.
const OPENING_DEADLINE: Duration = Duration::from_secs(10);
/// What is handed back of a handshake (RFC 6455 §4.2.2).
const HANDED_BACK: [HeaderName; 5] = [
    CONNECTION,
    UPGRADE,
    SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_EXTENSIONS,
];

/// Clients that are connected, and those that are about to be.
pub(in crate::control) struct Places {
    clients: Arc<Semaphore>,
    opening: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Places {
        Places {
            clients: Arc::new(Semaphore::new(MAX_CLIENTS)),
            opening: Arc::new(Semaphore::new(MAX_OPENING)),
        }
    }
}

/// Routes that clients are known to use; the rest below `/rtc` is [`anything`].
pub(in crate::control) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    use Side::Public;
    vec![
        ("/rtc", Public, anything()),
        ("/rtc/v1", Public, anything()),
        ("/rtc/validate", Public, anything()),
        ("/rtc/v1/validate", Public, anything()),
    ]
}

/// Whatever a client asks below `/rtc`.
pub(in crate::control) fn anything() -> MethodRouter<State> {
    get(serve).options(preflight)
}

/// What browsers ask before they send a token in a header.
async fn preflight() -> Response {
    let allowed = [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "Authorization"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET"),
    ];
    (StatusCode::NO_CONTENT, allowed).into_response()
}

/// Why the server is not asked, or has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    NotConfigured,
    TooLong,
    Ambiguous,
    Token,
    Over,
    Removed,
    Unknown,
    Full,
    Unreachable,
    Late,
}

impl Refusal {
    fn answer(self) -> (StatusCode, &'static str) {
        match self {
            // Not 404: livekit-client would ask the older path at once, and this one again, for ever.
            Refusal::NotConfigured => (
                StatusCode::SERVICE_UNAVAILABLE,
                "there is no LiveKit server here",
            ),
            Refusal::TooLong => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the request is too long",
            ),
            Refusal::Ambiguous => (
                StatusCode::BAD_REQUEST,
                "the request can be read in two ways",
            ),
            Refusal::Token => (
                StatusCode::UNAUTHORIZED,
                "the access token is missing, or not, or no longer, good",
            ),
            Refusal::Over => (
                StatusCode::FORBIDDEN,
                "the session is over: its room is closed",
            ),
            Refusal::Removed => (StatusCode::FORBIDDEN, crate::control::api::cohost::REMOVED),
            Refusal::Unknown => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the database does not answer",
            ),
            Refusal::Full => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too many clients are connected",
            ),
            Refusal::Unreachable => (
                StatusCode::BAD_GATEWAY,
                "the LiveKit server cannot be reached",
            ),
            Refusal::Late => (
                StatusCode::GATEWAY_TIMEOUT,
                "the LiveKit server does not answer",
            ),
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Refusal {
        match refused {
            Refused::TooLong => Refusal::TooLong,
            Refused::NoToken => Refusal::Token,
            Refused::Ambiguous => Refusal::Ambiguous,
        }
    }
}

fn said(code: StatusCode, text: impl Into<String>) -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
    ];
    (code, headers, text.into()).into_response()
}

#[utoipa::path(
    get, path = "/rtc", tag = "streaming", operation_id = "livekitSignal",
    summary = "Signalling of LiveKit, a WebSocket: `serverUrl` of a token leads here",
    description = "Handed on to the LiveKit server with its query and the token without its prefix. A token is \
        taken as `access_token` of the query or as a bearer token.",
    security(()),
    params(("access_token" = Option<String>, Query, description = "The token, with or without its prefix.")),
    responses((status = 101, description = "The server's answer."),
        (status = 401, description = "The token is missing or refused.", content_type = "text/plain", body = String),
        (status = 403, description = "The room is closed, or the co-host was removed.",
            content_type = "text/plain", body = String),
        (status = 404, description = "The server has no such path.", content_type = "text/plain", body = String),
        (status = 502, description = "The server cannot be reached.", content_type = "text/plain", body = String),
        (status = 400, description = "The request can be read in two ways.", content_type = "text/plain",
            body = String),
        (status = 431, description = "The request is too long.", content_type = "text/plain", body = String),
        (status = 503, description = "There is no LiveKit server, or too many clients are connected.", content_type = "text/plain",
            body = String),
        (status = 504, description = "The server does not answer.", content_type = "text/plain", body = String)),
)]
pub(in crate::control) async fn serve(
    Extract(state): Extract<State>,
    request: Request,
) -> Response {
    match open(&state, request).await {
        Ok(response) => response,
        Err(refusal) => {
            let (code, text) = refusal.answer();
            tracing::debug!(code = code.as_u16(), text, "a client of LiveKit is refused");
            said(code, text)
        }
    }
}

/// The same for other paths, each with a name in the API description.
macro_rules! described {
    ($name:ident, $path:literal, $id:literal, $summary:literal) => {
        #[utoipa::path(
            get, path = $path, tag = "streaming", operation_id = $id, summary = $summary, security(()),
            params(("access_token" = Option<String>, Query,
                description = "The token, with or without its prefix.")),
            responses((status = 200, description = "The server's answer.", content_type = "text/plain",
                    body = String),
                (status = 401, description = "The token is missing or refused.",
                    content_type = "text/plain", body = String),
                (status = 404, description = "The server has no such path.", content_type = "text/plain",
                    body = String),
                (status = 503, description = "There is no LiveKit server.", content_type = "text/plain",
                    body = String)),
        )]
        #[expect(dead_code, reason = "it describes what `serve` answers")]
        pub(in crate::control) fn $name() {}
    };
}

described!(
    second,
    "/rtc/v1",
    "livekitSignalV1",
    "The same as newer clients of LiveKit ask for it"
);
described!(
    validate,
    "/rtc/validate",
    "livekitValidate",
    "Why a WebSocket was refused"
);
described!(
    validate_second,
    "/rtc/v1/validate",
    "livekitValidateV1",
    "The same as newer clients of LiveKit ask for it"
);

async fn open(state: &State, mut request: Request) -> Result<Response, Refusal> {
    let setup = state.setup();
    let server = setup.livekit.as_ref().ok_or(Refusal::NotConfigured)?;
    let rewritten = rewrite::rewritten(request.uri(), request.headers())?;
    let pass = server.pass(&rewritten.token, setup.clock.wall());
    let pass = pass.ok_or(Refusal::Token)?;
    let places = &state.livekit().places;
    let place = places.clients.clone().try_acquire_owned();
    let place = place.map_err(|_| Refusal::Full)?;
    let opening = places.opening.clone().try_acquire_owned();
    let opening = opening.map_err(|_| Refusal::Full)?;
    admit(state, &pass).await?;
    let address = request.extensions().get::<ClientAddress>();
    let address = address.map(|ClientAddress(address)| *address);
    let near = hyper::upgrade::on(&mut request);
    let asked = far::ask(server, &rewritten, address);
    let answer = tokio::time::timeout(OPENING_DEADLINE, asked).await;
    let answer = answer.map_err(|_| Refusal::Late)?.map_err(|err| {
        tracing::info!(%err, "the LiveKit server cannot be reached for a client");
        Refusal::Unreachable
    })?;
    match answer {
        far::Answer::Refused(code, text) => Ok(said(code, text)),
        far::Answer::Open(headers, far) => {
            let tasks = setup.tasks.clone();
            let carried = pipe::carry(near, far, tasks, (place, opening));
            setup.tasks.spawn(carried);
            Ok(switching(&headers))
        }
    }
}

/// Tells a client that from here on it speaks with the server.
fn switching(headers: &HeaderMap) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    for name in HANDED_BACK {
        for value in headers.get_all(&name) {
            response.headers_mut().append(&name, value.clone());
        }
    }
    response
}

/// Whether a token's room is open to its bearer. Who only watches is let in while the database is down.
async fn admit(state: &State, pass: &Pass) -> Result<(), Refusal> {
    use rooms::Entry;
    match rooms::entry(state, &pass.room, &pass.identity, pass.can_publish).await {
        Ok(Entry::Open | Entry::Foreign) => Ok(()),
        Ok(Entry::Over) => Err(Refusal::Over),
        Ok(Entry::Removed) => Err(Refusal::Removed),
        Err(err) if pass.can_publish => {
            tracing::warn!(%err, "a co-host of LiveKit cannot be looked up");
            Err(Refusal::Unknown)
        }
        Err(_) => Ok(()),
    }
}

/// What rewriting a request must survive.
pub(in crate::control) fn fuzz(bytes: &[u8]) {
    rewrite::fuzz(bytes);
}

/// Held by a client as long as it is connected, and while it is about to be.
type Held = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// The server's own text, for who may see it: it repeats tokens, and addresses.
fn scrubbed(code: StatusCode, text: &str) -> String {
    match code {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "the LiveKit server refuses the access token".to_owned()
        }
        _ => super::service::sentence(text),
    }
}

#[cfg(test)]
mod tests;
