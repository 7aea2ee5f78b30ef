//! Who is an operator.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap, header};

use super::State;
use crate::base::secret::Secret;

/// Whether an operator asks: with the admin key, or with the cookie of somebody who signed in with it.
pub(super) fn is_operator(state: &State, headers: &HeaderMap) -> bool {
    has_admin_key(headers, &state.setup().admin_key) || state.sessions().is_open(headers)
}

/// Whether the request carries the admin key, as `X-Admin-Key` or as bearer.
pub fn has_admin_key(headers: &HeaderMap, admin_key: &Secret) -> bool {
    let text = |value: Option<&http::HeaderValue>| {
        value.and_then(|value| value.to_str().ok().map(str::to_owned))
    };
    let plain = text(headers.get("x-admin-key"));
    let bearer = text(headers.get(header::AUTHORIZATION)).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| key.trim().to_owned())
    });
    [plain, bearer]
        .into_iter()
        .flatten()
        .any(|key| admin_key.matches(&key))
}

/// Whether the caller sits on this machine. A forwarded request comes from a proxy on this machine,
/// which speaks for somebody else.
pub fn is_loopback(headers: &HeaderMap, extensions: &Extensions) -> bool {
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback())
        && !forwarded.iter().any(|name| headers.contains_key(*name))
}
