//! `/streams.json`: what is on, for the public list: channels on air, and public broadcasts from when they are
//! active until they are over.

use std::collections::HashSet;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use http::header;
use serde::Serialize;
use tokio::sync::Mutex;

use super::State;
use super::api::time::seconds;
use super::api::viewer::{for_page, viewers};
use crate::base::id::Uuid;
use crate::hub::Listing;
use crate::store::Status;

/// How long a list is handed out: every open page asks for it each few seconds.
const FRESH: Duration = Duration::from_secs(1);
/// Broadcasts in the list, the newest first: nobody scrolls further.
const MOST_BROADCASTS: usize = 200;

/// The list as it was last put together, and when by the monotonic clock.
pub(super) type Kept = Mutex<Option<(Duration, Bytes)>>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    id: String,
    alias: String,
    name: String,
    on_air: bool,
    viewers: u64,
    /// Whether there is a picture of it to load: said where there is none, as without a ladder.
    #[serde(skip_serializing_if = "Clone::clone")]
    thumbnail: bool,
    /// Path of a broadcast's picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    poster: Option<String>,
    /// When a broadcast became active.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

/// Protected streams, those without HLS and DASH, and broadcasts that are not for everybody or not active are
/// nobody's business here.
pub(super) async fn list(Extract(state): Extract<State>) -> Response {
    // Who comes meanwhile waits for the one list.
    let mut kept = state.streams().lock().await;
    let now = state.setup().clock.monotonic();
    let fresh = kept.as_ref().filter(|(at, _)| now < *at + FRESH);
    let body = match fresh {
        Some((_, body)) => body.clone(),
        None => {
            let body = Bytes::from(put_together(&state).await);
            *kept = Some((now, body.clone()));
            body
        }
    };
    drop(kept);
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_TYPE, "application/json"),
    ];
    (headers, body).into_response()
}

async fn put_together(state: &State) -> Vec<u8> {
    let setup = state.setup();
    let mut listings = setup.live.list();
    listings.retain(|listing| listing.playable && !listing.protected);
    let on_air = listings.iter().filter(|listing| listing.on_air);
    let on_air: HashSet<_> = on_air.map(|listing| listing.id).collect();
    let is_of_broadcast = |listing: &Listing| {
        let channel = setup.store.known_id(&listing.channel_id);
        // The channel goes with the broadcast's end, the stream a moment later: its alias was the broadcast's id.
        let alias = listing.channel_id.rsplit('#').next().unwrap_or_default();
        channel.map_or_else(
            || Uuid::parse_str(alias).is_ok(),
            |channel| channel.is_of_broadcast(),
        )
    };
    listings.retain(|listing| !is_of_broadcast(listing));
    listings.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    let channels = listings.into_iter().map(|listing| Entry {
        viewers: setup.measurements.viewers(listing.id),
        thumbnail: setup.live.thumbnail(listing.id).is_some(),
        id: listing.id.to_string(),
        alias: listing.alias,
        name: listing.name,
        on_air: listing.on_air,
        poster: None,
        since: None,
    });
    let store = &setup.store;
    let broadcasts = store.public_broadcasts(Status::Active, None, MOST_BROADCASTS, 0);
    let broadcasts = broadcasts.await.unwrap_or_else(|err| {
        tracing::error!(%err, "broadcasts are left out of the list");
        Vec::new()
    });
    let mut posters = store.posters(&broadcasts).await.unwrap_or_default();
    let wall = setup.clock.wall();
    let mut entries = Vec::with_capacity(broadcasts.len());
    for broadcast in broadcasts {
        entries.push(Entry {
            viewers: viewers(
                &*setup.measurements,
                broadcast.stream_id,
                broadcast.reported_viewers,
            ),
            thumbnail: setup.live.thumbnail(broadcast.stream_id).is_some(),
            id: broadcast.stream_id.to_string(),
            alias: broadcast.id.to_string(),
            on_air: on_air.contains(&broadcast.stream_id)
                || setup.playbill.is_playing(broadcast.stream_id, wall),
            poster: posters.remove(&broadcast.id).map(for_page),
            since: broadcast.started.map(seconds),
            name: broadcast.title,
        });
    }
    entries.extend(channels);
    serde_json::to_vec(&entries).expect("a list is JSON")
}
