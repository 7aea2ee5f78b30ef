//! `/streams.json`: what is on, for the public list.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use http::header;
use serde::Serialize;

use super::State;
use crate::base::id::Uuid;
use crate::hub::Listing;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    id: String,
    alias: String,
    name: String,
    on_air: bool,
    viewers: u64,
}

/// Protected streams and those without HLS and DASH are nobody's business here, and those of broadcasts only
/// while they are active and public.
pub(super) async fn list(Extract(state): Extract<State>) -> Response {
    let mut listings = state.setup().live.list();
    listings.retain(|listing| listing.playable && !listing.protected);
    let titles = titles(&state, &listings).await;
    listings.retain_mut(|listing| {
        if !is_of_broadcast(&state, listing) {
            return true;
        }
        let title = titles.get(&listing.id);
        title.is_some_and(|title| {
            listing.name.clone_from(title);
            true
        })
    });
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

fn is_of_broadcast(state: &State, listing: &Listing) -> bool {
    let channel = state.setup().store.known_id(&listing.channel_id);
    channel.is_some_and(|channel| channel.is_of_broadcast())
}

/// Titles of the broadcasts among these streams that may be shown. Without the database: of none.
async fn titles(state: &State, listings: &[Listing]) -> HashMap<Uuid, String> {
    let of_broadcasts = listings.iter().filter(|one| is_of_broadcast(state, one));
    let ids: Vec<Uuid> = of_broadcasts.map(|listing| listing.id).collect();
    if ids.is_empty() {
        return HashMap::new();
    }
    let titles = state.setup().store.public_streams(&ids).await;
    titles.unwrap_or_else(|err| {
        tracing::error!(%err, "broadcasts could not be read for the list of streams");
        HashMap::new()
    })
}
