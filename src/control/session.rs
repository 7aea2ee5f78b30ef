//! The console's sign-in: the admin key is shown once, a cookie stands for it from then on. In: requests.
//! Out: a cookie, or a refusal. Pure but for the handlers; what is kept is bounded and dies with the
//! process.
//!
//! The cookie is not for scripts (`HttpOnly`), not for requests that another site causes
//! (`SameSite=Strict`), and goes to `/api/admin` only. Changes by cookie are checked again by
//! [`guard`], for browsers and neighbours on another port of the same host that `SameSite` does not cover.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, Request, State as Extract};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::pcast::call::whole;
use super::{Error, State, api, auth};
use crate::base::clock::Clock;
use crate::base::id::random_key;
use crate::base::secret::Secret;

/// Name of the cookie.
const COOKIE: &str = "forebay-session";
/// Where the cookie goes.
const FOLDER: &str = "/api/admin";
/// How long a session lasts, whatever is done in it: a working day.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Characters of a session's token: 43 of 62 are 256 bits.
const TOKEN_LENGTH: usize = 43;
/// Sessions at once. One more ends the oldest: bounds memory to some kilobytes.
const MAX_SESSIONS: usize = 64;
/// Wrong keys that an address may try without a pause.
const FREE_ATTEMPTS: u32 = 5;
/// After that, one for each such time.
const ATTEMPT_EVERY: Duration = Duration::from_secs(12);
/// What pieces of a file are sent as (https://tus.io/protocols/resumable-upload, PATCH).
const PIECE: &str = "application/offset+octet-stream";
/// Addresses whose attempts are remembered. One more forgets the one that is free soonest.
const MAX_ADDRESSES: usize = 4096;

/// Whose request it is, as the layer that knows about proxies tells it in an extension.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The client's address.
    pub address: IpAddr,
    /// Whether the client speaks TLS.
    pub secure: bool,
    /// Whether `X-Forwarded-Host` may be believed.
    pub trusted_proxy: bool,
}

impl Caller {
    fn of(extensions: &Extensions) -> Caller {
        let peer = || extensions.get::<ConnectInfo<SocketAddr>>();
        let direct = |address| Caller {
            address,
            secure: false,
            trusted_proxy: false,
        };
        let told = extensions.get::<Caller>().copied();
        told.or_else(|| Some(direct(peer()?.0.ip())))
            .unwrap_or_else(|| direct(IpAddr::from(Ipv6Addr::UNSPECIFIED)))
    }

    /// What attempts are counted by: a network of IPv6 is one customer.
    fn counted(&self) -> IpAddr {
        match self.address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from((u128::from(address) >> 64) << 64).into(),
            address => address,
        }
    }
}

/// Why nobody is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Wrong,
    /// Too many wrong keys; ask again after this.
    Wait(Duration),
}

/// Who is signed in, and who tried in vain.
#[derive(Debug)]
pub(super) struct Sessions {
    clock: Clock,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By the SHA-256 of their tokens: when they end.
    open: HashMap<[u8; 32], Duration>,
    /// When an address has all its free attempts again.
    attempts: HashMap<IpAddr, Duration>,
}

impl Sessions {
    pub(super) fn new(clock: Clock) -> Sessions {
        Sessions {
            clock,
            kept: Mutex::default(),
        }
    }

    /// Whether the request carries the cookie of a session that lasts.
    pub(super) fn is_open(&self, headers: &HeaderMap) -> bool {
        let now = self.clock.monotonic();
        let kept = self.lock();
        let open = |token: &str| kept.open.get(&hashed(token)).is_some_and(|end| *end > now);
        tokens(headers).any(open)
    }

    /// A new session's token, if the key is right. Counting and comparing are one step, so that many
    /// requests at once try no more keys than one after another.
    fn open(&self, from: IpAddr, admin_key: &Secret, given: &str) -> Result<String, Refused> {
        let now = self.clock.monotonic();
        let mut kept = self.lock();
        let free_at = kept
            .attempts
            .get(&from)
            .copied()
            .unwrap_or_default()
            .max(now);
        let allowed_at = free_at.saturating_sub(ATTEMPT_EVERY * (FREE_ATTEMPTS - 1));
        if allowed_at > now {
            return Err(Refused::Wait(allowed_at - now));
        }
        if !admin_key.matches(given) {
            kept.attempts.retain(|_, free_at| *free_at > now);
            make_room(&mut kept.attempts, &from, MAX_ADDRESSES);
            kept.attempts.insert(from, free_at + ATTEMPT_EVERY);
            return Err(Refused::Wrong);
        }
        let token = random_key(TOKEN_LENGTH);
        let key = hashed(&token);
        kept.open.retain(|_, end| *end > now);
        make_room(&mut kept.open, &key, MAX_SESSIONS);
        kept.open.insert(key, now + LIFETIME);
        Ok(token)
    }

    fn close(&self, headers: &HeaderMap) {
        let mut kept = self.lock();
        for token in tokens(headers) {
            kept.open.remove(&hashed(token));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the entry that would end first away when the map is full.
fn make_room<K>(map: &mut HashMap<K, Duration>, new: &K, most: usize)
where
    K: Copy + Eq + std::hash::Hash,
{
    if map.len() < most || map.contains_key(new) {
        return;
    }
    let first = map.iter().min_by_key(|(_, end)| **end);
    if let Some(first) = first.map(|(key, _)| *key) {
        map.remove(&first);
    }
}

fn hashed(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Values of our cookie (RFC 6265 §4.2.1). There may be several: cookies know no ports.
fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    let pairs = lines.filter_map(|line| line.to_str().ok());
    let pairs = pairs.flat_map(|line| line.split(';'));
    pairs.filter_map(|pair| match pair.trim().split_once('=') {
        Some((COOKIE, token)) => Some(token),
        _ => None,
    })
}

/// Refuses changes that come with the cookie, and attempts to sign in, unless our own page sends them.
/// Whoever sends the admin key itself is no browser that was lured.
pub(super) async fn guard(
    Extract(state): Extract<State>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let is_ours = request.uri().path().starts_with(FOLDER);
    let signs_in = request.method() == Method::POST && request.uri().path() == SESSION;
    let by_cookie = signs_in || tokens(headers).next().is_some();
    let is_checked = is_ours
        && !request.method().is_safe()
        && by_cookie
        && !auth::has_admin_key(headers, &state.setup().admin_key);
    if is_checked && !comes_from_our_page(headers, request.uri(), request.extensions()) {
        // Clients of `/api` know one form of refusals.
        return match request.uri().path() == api::client::PATH {
            true => api::Error::Forbidden.into_response(),
            false => refuse(StatusCode::FORBIDDEN, "forbidden"),
        };
    }
    next.run(request).await
}

/// Path of the session itself.
pub(super) const SESSION: &str = "/api/admin/session";

/// What no form can send, from a page of this host and port: JSON, or a piece of a file.
fn comes_from_our_page(headers: &HeaderMap, uri: &Uri, extensions: &Extensions) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let kind = text("content-type").and_then(|kind| kind.split(';').next());
    let kinds = ["application/json", PIECE];
    if !kind.is_some_and(|kind| {
        kinds
            .iter()
            .any(|known| kind.trim().eq_ignore_ascii_case(known))
    }) {
        return false;
    }
    // Fetch metadata are the browser's own word.
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let forwarded = Caller::of(extensions).trusted_proxy;
    let forwarded = forwarded.then(|| text("x-forwarded-host")).flatten();
    let host = forwarded
        .or_else(|| text("host"))
        .or_else(|| uri.authority().map(http::uri::Authority::as_str));
    let origin = text("origin").and_then(|origin| origin.split_once("://"));
    match (origin, host) {
        (Some((_, origin)), Some(host)) => origin.eq_ignore_ascii_case(host),
        _ => false,
    }
}

#[derive(Deserialize)]
struct SignIn {
    key: String,
}

/// What the console needs before it can show anything.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    signed_in: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    addresses: Option<&'a Addresses>,
}

/// Where encoders and viewers go. Without a whole address, the page's own host has this port.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Addresses {
    /// `INGEST_RTMP`.
    pub rtmp_url: Option<String>,
    /// Port of RTMP; none when it is off.
    pub rtmp_port: Option<u16>,
    /// Port of RTMP over TLS; none when it is off.
    pub rtmps_port: Option<u16>,
    /// Port of SRT; none when it is off.
    pub srt_port: Option<u16>,
    /// Whether SRT wants a passphrase.
    pub srt_encrypted: bool,
    /// `FOREBAY_PUBLIC_URL`.
    pub public_url: Option<String>,
    /// Port of playback.
    pub public_port: Option<u16>,
}

/// Whether the browser is signed in. An answer to strangers too: that nobody is signed in is no error.
pub(super) async fn show(Extract(state): Extract<State>, headers: HeaderMap) -> Response {
    let signed_in = auth::is_operator(&state, &headers);
    fresh(Json(View {
        signed_in,
        version: signed_in.then_some(env!("CARGO_PKG_VERSION")),
        addresses: signed_in.then(|| &state.setup().addresses),
    }))
}

pub(super) async fn sign_in(Extract(state): Extract<State>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let caller = Caller::of(&parts.extensions);
    let body = match whole(&parts.headers, body).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    let Ok(wanted) = serde_json::from_slice::<SignIn>(&body) else {
        return Error::BadRequest.into_response();
    };
    let sessions = state.sessions();
    match sessions.open(caller.counted(), &state.setup().admin_key, &wanted.key) {
        Ok(token) => {
            tracing::info!(peer = %caller.address, "an operator signed in");
            with_cookie(&token, LIFETIME, caller.secure)
        }
        Err(Refused::Wrong) => {
            tracing::info!(peer = %caller.address, "wrong admin key");
            Error::Unauthorized.into_response()
        }
        Err(Refused::Wait(wait)) => {
            let mut response = refuse(StatusCode::TOO_MANY_REQUESTS, "rate-limited");
            let seconds = wait.as_secs() + 1;
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            response
        }
    }
}

pub(super) async fn sign_out(
    Extract(state): Extract<State>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Response {
    state.sessions().close(&headers);
    with_cookie("", Duration::ZERO, Caller::of(&extensions).secure)
}

fn with_cookie(token: &str, lifetime: Duration, secure: bool) -> Response {
    let secure = if secure { "; Secure" } else { "" };
    let seconds = lifetime.as_secs();
    let cookie = format!(
        "{COOKIE}={token}; Path={FOLDER}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
    );
    let mut cookie = HeaderValue::from_str(&cookie).expect("alphanumerics are a header");
    cookie.set_sensitive(true);
    let mut response = fresh(Json(json!({ "status": "ok" })));
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

fn refuse(code: StatusCode, word: &str) -> Response {
    let mut response = fresh(Json(json!({ "status": word })));
    *response.status_mut() = code;
    response
}

fn fresh(body: impl IntoResponse) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], body).into_response()
}

#[cfg(test)]
mod tests;
