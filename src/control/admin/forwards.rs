//! Destinations of a channel for operators: where it is pushed, and how that goes. Keys and tokens come in and
//! never go out.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::base::id::Uuid;
use crate::base::push::Push;
use crate::control::pcast::answer::{Answer, Done, OK, done, json};
use crate::control::pcast::docs::{Conflicting, Lookup, Named, Usual};
use crate::control::pcast::{ByOperator, Call, Error, Fields, error};
use crate::control::{Forwarded, State};
use crate::store::{Channel, Forward};

/// A destination of a channel, and how it fares.
#[derive(Serialize, ToSchema)]
#[schema(as = Forward)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    /// UUID; of those that the gateway makes by itself, another name.
    id: String,
    /// `rtmp`, `whip`, `ingress` or `livekit`.
    kind: String,
    /// Address or room, without what is secret in it.
    url: String,
    /// First 8 hex digits of the SHA-256 of its key or token.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_fingerprint: Option<String>,
    /// Whether it was added here, so that it can be removed here: others are settings.
    removable: bool,
    /// `waiting` (nothing is on air here), `connecting`, `live`, `retrying` (it failed, and is tried again),
    /// `refused` (somebody has to change something; it is tried seldom).
    state: &'static str,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    since_unix_ms: Option<i64>,
    /// Why it does not go, or did not at last.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_unix_ms: Option<i64>,
    /// What an operator should know of what is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// Attempts for the stream on air.
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

/// An answer with destinations.
#[derive(Serialize, ToSchema)]
#[schema(as = ForwardList)]
pub(in crate::control) struct Many {
    /// `ok`.
    status: &'static str,
    /// Those of the settings first.
    forwards: Vec<View>,
}

/// An answer with a destination.
#[derive(Serialize, ToSchema)]
#[schema(as = ForwardAnswer)]
pub(in crate::control) struct One {
    /// `ok`.
    status: &'static str,
    forward: View,
}

/// What a destination is made of.
#[derive(ToSchema)]
#[schema(as = ForwardCreate)]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct Create {
    /// `rtmp`, `whip` or `ingress`.
    kind: String,
    /// Of `rtmp` and `whip`: `rtmp://host/application`, `rtmps://…`, `https://host/path`, `http://…`.
    url: Option<String>,
    /// Of `rtmp`: the stream key. Without it the last part of the URL's path is the key.
    key: Option<String>,
    /// Of `whip`: sent as bearer.
    token: Option<String>,
    /// Of `ingress`: the room that LiveKit's Ingress service fills with the channel's HLS.
    room: Option<String>,
}

#[utoipa::path(
    get, path = "/api/admin/channels/{channelId}/forwards", tag = "operations",
    operation_id = "adminForwards",
    summary = "Where a channel is pushed, and how that goes on this gateway",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(Named),
    responses((status = 200, description = "All destinations.", body = inline(Many)), Usual, Lookup),
)]
pub(in crate::control) async fn list(ByOperator(mut call): ByOperator) -> Answer {
    let channel = named(&mut call).await?;
    let answer = Many {
        status: OK,
        forwards: views(&call.state, &channel).await?,
    };
    Ok(json(StatusCode::OK, &answer))
}

#[utoipa::path(
    post, path = "/api/admin/channels/{channelId}/forwards", tag = "operations",
    operation_id = "adminAddForward", summary = "Push a channel to one more destination",
    security(("adminKey" = []), ("adminBearer" = [])), request_body = inline(Create),
    params(Named),
    responses((status = 200, description = "It is pushed there from now on, while it is on air.",
        body = inline(One)), Usual, Lookup, Conflicting),
)]
pub(in crate::control) async fn add(ByOperator(mut call): ByOperator) -> Answer {
    let channel = named(&mut call).await?;
    let body = call.body().await?;
    let push = read(Fields::parse(&body)?.without_nulls())?;
    let state = call.state.clone();
    let added = call.state.to_the_end(async move {
        let added = state.setup().store.add_forward(&channel.id, &push).await;
        state.setup().forwards.changed();
        added.map_err(Error::from)
    });
    let forward = added.await?;
    let (id, to) = (forward.id, &forward.push);
    tracing::info!(channel = forward.channel_id, %id, kind = to.kind(), %to, "destination added");
    let answer = One {
        status: OK,
        forward: stored(&forward, None),
    };
    Ok(json(StatusCode::OK, &answer))
}

#[utoipa::path(
    delete, path = "/api/admin/channels/{channelId}/forwards/{forwardId}", tag = "operations",
    operation_id = "adminRemoveForward", summary = "Push a channel to a destination no more",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(("channelId" = String, Path, description = "Channel id, percent-encoded, or alias."),
        ("forwardId" = String, Path, description = "Id of the destination.")),
    responses((status = 200, description = "It is gone.", body = inline(Done)), Usual, Lookup,
        (status = 409, description = "It is a setting: `conflict`.", body = inline(error::Body))),
)]
pub(in crate::control) async fn remove(ByOperator(mut call): ByOperator) -> Answer {
    let channel = named(&mut call).await?;
    let id = call.parameter("forwardId").await?;
    let declared = call.state.setup().forwards.declared(&channel.id);
    if declared.iter().any(|(declared, _)| *declared == id) {
        let text = "the configuration file declares it: take it out there";
        return Err(Error::Conflict(text.to_owned()));
    }
    let id = Uuid::parse_str(&id).map_err(|_| Error::NotFound("destination"))?;
    let state = call.state.clone();
    let removed = call.state.to_the_end(async move {
        let removed = state.setup().store.remove_forward(&channel.id, id).await;
        state.setup().forwards.changed();
        removed.map_err(Error::from)
    });
    removed.await?;
    tracing::info!(%id, "destination removed");
    Ok(done())
}

/// The channel that the path names. That of a broadcast, which the channel API does not have, is one by its id.
async fn named(call: &mut Call) -> Result<Arc<Channel>, Error> {
    let id = call.parameter("channelId").await?;
    let known = call.state.setup().store.known_id(&id);
    match known.filter(|channel| channel.is_of_broadcast()) {
        Some(channel) => Ok(channel),
        None => call.channel("channelId").await,
    }
}

/// A destination of a body.
fn read(mut fields: Fields) -> Result<Push, Error> {
    let kind = fields.need_text("kind")?;
    let (url, room) = (fields.text("url")?, fields.text("room")?);
    let (key, token) = (fields.text("key")?, fields.text("token")?);
    let missing = |name: &str| Error::Bad(format!("{name} is missing"));
    let stray = |name: &str, given: &Option<String>| match given {
        Some(_) => Err(Error::Bad(format!("{name} is nothing that {kind} has"))),
        None => Ok(()),
    };
    let (place, secret) = match kind.as_str() {
        "rtmp" => {
            stray("token", &token)?;
            stray("room", &room)?;
            (url.ok_or_else(|| missing("url"))?, key)
        }
        "whip" => {
            stray("key", &key)?;
            stray("room", &room)?;
            (url.ok_or_else(|| missing("url"))?, token)
        }
        "ingress" => {
            stray("url", &url)?;
            stray("key", &key)?;
            stray("token", &token)?;
            (room.ok_or_else(|| missing("room"))?, None)
        }
        _ => return Err(Error::Bad("kind is not rtmp, whip or ingress".to_owned())),
    };
    let push = Push::parse(&kind, &place, secret.as_deref());
    push.map_err(|error| Error::Bad(format!("{} is {error}", error.field)))
}

/// Where a channel goes now, without asking the database.
pub(super) fn running(state: &State, channel_id: &str) -> Vec<View> {
    let told = state.setup().forwards.of_channel(channel_id).into_iter();
    let views = told.map(|told| {
        let about = (
            told.id.clone(),
            told.kind.to_owned(),
            told.destination.clone(),
            None,
        );
        filled(about, false, Some(told))
    });
    views.collect()
}

async fn views(state: &State, channel: &Arc<Channel>) -> Result<Vec<View>, Error> {
    let setup = state.setup();
    let mut told = setup.forwards.of_channel(&channel.id);
    // Of several streams of a channel, the one that goes on is asked first.
    told.sort_by_key(|told| std::cmp::Reverse(told.since_unix_ms));
    let mut views = Vec::new();
    let mut take = |id: &str| {
        let at = told.iter().position(|told| told.id == id);
        at.map(|at| told.remove(at))
    };
    for (id, push) in setup.forwards.declared(&channel.id) {
        let told = take(&id);
        views.push(view(id, &push, false, told));
    }
    let stored_ones = setup.store.forwards_of(&channel.id).await?;
    for forward in &stored_ones {
        let told = take(&forward.id.to_string());
        views.push(stored(forward, told));
    }
    // What is left is neither: rooms that the gateway publishes in by itself.
    for told in told.into_iter().filter(|told| told.kind == "livekit") {
        let (kind, url, id) = (
            told.kind.to_owned(),
            told.destination.clone(),
            told.id.clone(),
        );
        views.push(filled((id, kind, url, None), false, Some(told)));
    }
    Ok(views)
}

fn stored(forward: &Forward, told: Option<Forwarded>) -> View {
    view(forward.id.to_string(), &forward.push, true, told)
}

fn view(id: String, push: &Push, removable: bool, told: Option<Forwarded>) -> View {
    let fingerprint = push.secret().map(|secret| secret.fingerprint());
    let about = (id, push.kind().to_owned(), push.to_string(), fingerprint);
    filled(about, removable, told)
}

fn filled(
    (id, kind, url, key_fingerprint): (String, String, String, Option<String>),
    removable: bool,
    told: Option<Forwarded>,
) -> View {
    let since_unix_ms = told.as_ref().map(|told| told.since_unix_ms);
    let told = told.unwrap_or_default();
    View {
        id,
        kind,
        url,
        key_fingerprint,
        removable,
        state: told.state,
        since_unix_ms,
        reason: told.reason,
        next_attempt_unix_ms: told.next_attempt_unix_ms,
        note: told.note,
        attempts: told.attempts,
        connected: told.connected,
        packets: told.packets,
        bytes: told.bytes,
        dropped_units: told.dropped_units,
    }
}
