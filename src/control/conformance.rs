//! `/health/conformance`: what the server found in its own playlists and manifests.

use axum::Json;
use axum::extract::{Request, State as Extract};
use axum::response::{IntoResponse, Response};
use http::header;
use serde_json::{Map, Value, json};

use super::{Error, State, metrics};
use crate::base::clock::Wall;
use crate::base::id::Uuid;

/// What was found since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conformance {
    /// Texts that were checked.
    pub samples: u64,
    /// How often each rule was broken; those that never were are left out.
    pub rules: Vec<(&'static str, u64)>,
    /// The newest violations, oldest first.
    pub newest: Vec<Violation>,
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When it was found.
    pub at: Wall,
    /// In which stream.
    pub stream: Uuid,
    /// In which text, such as `source/index.m3u8`.
    pub file: String,
    /// Name of the rule.
    pub rule: &'static str,
    /// The values found.
    pub detail: String,
}

pub(super) async fn serve(Extract(state): Extract<State>, request: Request) -> Response {
    if !metrics::may_read(&state, &request) {
        return Error::Unauthorized.into_response();
    }
    let found = state.setup().measurements.conformance();
    let status = if found.rules.is_empty() {
        "ok"
    } else {
        "violations"
    };
    let rules: Map<String, Value> = found
        .rules
        .iter()
        .map(|(rule, count)| ((*rule).to_owned(), json!(count)))
        .collect();
    let newest = found.newest.iter().map(|violation| {
        json!({
            "atUnixMs": violation.at.unix_millis(),
            "streamId": violation.stream.to_string(),
            "file": violation.file,
            "rule": violation.rule,
            "detail": violation.detail,
        })
    });
    let body = json!({
        "status": status,
        "samples": found.samples,
        "rules": rules,
        "newest": newest.collect::<Vec<Value>>(),
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
