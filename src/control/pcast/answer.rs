//! Answers in the form that all calls have in common.

use std::fmt::Write;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::Error;

/// Word of every answer that is what was asked for.
pub(in crate::control) const OK: &str = "ok";

/// What every answer of the channel API is (contract, channels, section 1).
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// What handlers give.
pub(in crate::control) type Answer = Result<Response, Error>;

/// An answer without content of its own.
#[derive(Serialize, ToSchema)]
pub(in crate::control) struct Done {
    /// `ok`.
    pub(in crate::control) status: &'static str,
}

/// It is done.
pub(in crate::control) fn done() -> Response {
    json(StatusCode::OK, &Done { status: OK })
}

/// An answer of this code.
pub(in crate::control) fn json(code: StatusCode, body: &impl Serialize) -> Response {
    // As large as most answers are.
    let mut bytes = Vec::with_capacity(512);
    match serde_json::to_writer(&mut bytes, body) {
        Ok(()) => of_bytes(code, bytes),
        Err(err) => {
            tracing::error!(%err, "answer could not be written");
            Error::Internal.into_response()
        }
    }
}

/// An answer whose JSON is there already.
pub(super) fn of_bytes(code: StatusCode, body: impl Into<axum::body::Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = code;
    complete(response.headers_mut());
    response
}

/// Headers of every answer. They hold keys, so nobody keeps them.
pub(super) fn complete(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, JSON);
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, no_store);
}

/// Text as a part of an address: everything is percent-encoded but what RFC 3986 §2.3 leaves alone.
pub(in crate::control) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                // Writing to memory does not fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}
