//! Where a broadcast goes besides its viewers, and how that fares: into its room, and to the destinations that
//! operators gave its channel. In: requests of who made the broadcast. Out: states on this gateway. Not here:
//! adding and removing destinations, which operators do (`control::admin::forwards`).

use axum::routing::{MethodRouter, get};
use serde::Serialize;
use utoipa::ToSchema;

use super::Call;
use super::answer::{Answer, ok};
use super::docs::{Lookup, Named, Usual};
use super::time::seconds;
use crate::base::clock::Wall;
use crate::control::{Forwarded, Side, State};

/// What goes into a room. Where its server is, apps are told with their tokens.
const INTO_ROOM: &str = "livekit";

/// A broadcast on its way to a destination.
#[derive(Serialize, ToSchema)]
#[schema(as = BroadcastForward)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct View {
    /// By which it is told from the broadcast's others: of its room, `room`.
    id: String,
    /// `livekit` (its room), `rtmp`, `whip` or `ingress`.
    kind: String,
    /// Address or room, without what is secret in it; left out of the broadcast's own room.
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    /// `waiting` (there is nothing to send), `connecting`, `live`, `retrying` (it failed, and is tried again),
    /// `refused` (somebody has to change something; it is tried seldom).
    state: &'static str,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
    /// Why it does not go, or did not at last.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt: Option<String>,
    /// What is special in what is sent, such as a picture that is encoded for the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// Attempts since the encoder came.
    attempts: u64,
    /// How many of them went well.
    connected: u64,
    /// Packets or messages sent.
    packets: u64,
    /// Bytes sent.
    bytes: u64,
    /// Units left out because the destination was too slow.
    dropped_units: u64,
}

pub(super) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    vec![("/api/broadcasts/{id}/forwards", Side::Public, get(list))]
}

#[utoipa::path(
    get, path = "/api/broadcasts/{id}/forwards", tag = "broadcast", operation_id = "listBroadcastForwards",
    summary = "Where a broadcast goes besides its viewers, and how that fares",
    description = "Its room and the servers that operators have it pushed to. What runs is told by the gateway \
        that has the broadcast's encoder; elsewhere they are `waiting`.",
    security(("apiKey" = []), ("userToken" = [])), params(Named),
    responses((status = 200, description = "All of them.", body = inline(Vec<View>)), Usual, Lookup),
)]
pub(in crate::control) async fn list(mut call: Call) -> Answer {
    let found = call.broadcast_made().await?;
    let setup = call.state.setup();
    let mut told = setup.forwards.of_channel(&found.channel_id);
    let mut views = Vec::new();
    for stored in setup.store.forwards_of(&found.channel_id).await? {
        let id = stored.id.to_string();
        let at = told.iter().position(|told| told.id == id);
        let told = at.map(|at| told.remove(at)).unwrap_or_default();
        views.push(view(Forwarded {
            id,
            kind: stored.push.kind(),
            destination: stored.push.to_string(),
            ..told
        }));
    }
    // What is left is the room; or a destination that was removed a moment ago.
    let room = told.into_iter().filter(|told| told.kind == INTO_ROOM);
    let rooms: Vec<View> = room.map(view).collect();
    views.splice(..0, rooms);
    Ok(ok(&views))
}

fn view(told: Forwarded) -> View {
    let wall = |unix_ms: i64| seconds(Wall(unix_ms.saturating_mul(1000)));
    View {
        destination: Some(told.destination).filter(|_| told.kind != INTO_ROOM),
        id: told.id,
        kind: told.kind.to_owned(),
        state: told.state,
        since: Some(told.since_unix_ms)
            .filter(|since| *since > 0)
            .map(wall),
        reason: told.reason,
        next_attempt: told.next_attempt_unix_ms.map(wall),
        note: told.note,
        attempts: told.attempts,
        connected: told.connected,
        packets: told.packets,
        bytes: told.bytes,
        dropped_units: told.dropped_units,
    }
}
