//! `/health/conformance`: what the server found in its own playlists and manifests.

use axum::Json;
use axum::extract::{Request, State as Extract};
use axum::response::{IntoResponse, Response};
use http::header;
use serde_json::{Map, Value, json};

use super::{Error, State, metrics};

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
