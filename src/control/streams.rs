//! `/streams.json`: what is on, for the public list.

use axum::Json;
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use http::header;
use serde::Serialize;

use super::State;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    id: String,
    alias: String,
    name: String,
    on_air: bool,
    viewers: u64,
}

/// Protected streams and those without HLS and DASH are nobody's business here.
pub(super) async fn list(Extract(state): Extract<State>) -> Response {
    let mut listings = state.setup().live.list();
    listings.retain(|listing| listing.playable && !listing.protected);
    listings.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    let entries: Vec<Entry> = listings
        .into_iter()
        .map(|listing| Entry {
            viewers: state.setup().measurements.viewers(listing.id),
            id: listing.id.to_string(),
            alias: listing.alias,
            name: listing.name,
            on_air: listing.on_air,
        })
        .collect();
    ([(header::CACHE_CONTROL, "no-store")], Json(entries)).into_response()
}
