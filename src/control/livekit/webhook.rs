//! What the LiveKit server says of its rooms by itself (LiveKit, "Webhooks"). In: its requests. Out: facts about
//! rooms and egresses. Not here: webhooks of ours, which tell applications (`control/api/webhook`).
//!
//! A request says in `Authorization`, signed with the secret that both sides have, which SHA-256 its body has. The
//! signature is checked before the body is read, and the body before anything in it is looked at. The server says
//! everything again until it is answered, and not in order: `rooms.rs` does not mind.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use axum::extract::{Request, State as Extract};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::egress;
use super::rooms::{Fact, Person, What, Whose, is_own, role, whose};
use crate::base::id::Uuid;
use crate::control::State;
use crate::control::api::Error;
use crate::control::api::answer::{Answer, Done, done};
use crate::control::api::docs::{Sized, Usual};
use crate::control::api::streaming::NOT_CONFIGURED;
use crate::control::pcast::call::whole_within;

/// Bytes of a body: a participant has metadata of 64 KiB at most, and attributes of as much.
const MAX_BODY_BYTES: usize = 192 << 10;
/// Ids of webhooks that are remembered: those of some minutes at a hundred a second.
const MAX_SEEN: usize = 16 << 10;
/// Longest id that is remembered: the server's own have 15 characters.
const MAX_ID: usize = 64;

/// Webhooks that were heard of already.
#[derive(Debug, Default)]
pub(in crate::control) struct Seen(Mutex<(HashSet<String>, VecDeque<String>)>);

impl Seen {
    fn has(&self, id: &str) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.0.contains(id)
    }

    fn put(&self, id: &str) {
        if id.is_empty() || id.len() > MAX_ID {
            return;
        }
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (ids, order) = &mut *seen;
        if !ids.insert(id.to_owned()) {
            return;
        }
        order.push_back(id.to_owned());
        if order.len() > MAX_SEEN
            && let Some(oldest) = order.pop_front()
        {
            ids.remove(&oldest);
        }
    }
}

/// One of the server's requests, in the JSON form of its protocol. Other fields are nothing to us.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Said {
    event: String,
    id: String,
    #[serde(deserialize_with = "integer")]
    created_at: i64,
    room: Option<RoomSaid>,
    participant: Option<ParticipantSaid>,
    track: Option<TrackSaid>,
    egress_info: Option<egress::Said>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RoomSaid {
    sid: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ParticipantSaid {
    sid: String,
    identity: String,
    metadata: String,
    #[serde(deserialize_with = "integer")]
    joined_at: i64,
    permission: Option<PermissionSaid>,
}

/// A flag that is not there is false.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PermissionSaid {
    can_publish: bool,
    hidden: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TrackSaid {
    sid: String,
}

/// Protobuf's JSON form writes 64-bit integers as texts, and readers take numbers, too.
pub(super) fn integer<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Text(String),
    }
    match Either::deserialize(from)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

#[utoipa::path(
    post, path = "/api/livekit/webhook", tag = "streaming", operation_id = "livekitWebhook",
    summary = "What a LiveKit server says of its rooms",
    description = "The address for `webhook.urls` in the server's settings, with the API key of \
        `LIVEKIT_API_KEY`. Rooms are followed without it, too, some seconds later.",
    request_body(content_type = "application/webhook+json", content = Object,
        description = "An event of LiveKit's, whose SHA-256 the token in `Authorization` says."),
    security(("livekitWebhook" = [])),
    responses((status = 200, description = "It was heard.", body = inline(Done)), Usual, Sized),
)]
pub(in crate::control) async fn receive(
    Extract(state): Extract<State>,
    request: Request,
) -> Answer {
    let setup = state.setup();
    let server = setup.livekit.as_ref();
    let server = server.ok_or(Error::Unavailable(NOT_CONFIGURED))?;
    let refused =
        Error::Unauthorized("Authorization is no token of the LiveKit server for this body");
    let (parts, body) = request.into_parts();
    let token = token(&parts.headers).ok_or_else(|| refused.clone())?;
    let digest = server.vouched(token, setup.clock.wall());
    let digest = digest.and_then(|digest| STANDARD.decode(digest).ok());
    let digest = digest.ok_or_else(|| refused.clone())?;
    let body = whole_within(&parts.headers, body, MAX_BODY_BYTES).await?;
    if !bool::from(Sha256::digest(&body)[..].ct_eq(&digest)) {
        return Err(refused);
    }
    let said = said(&body).map_err(|err| Error::Bad(format!("the body is no event: {err}")))?;
    if !state.livekit().seen.has(&said.id) {
        let id = said.id.clone();
        hear(&state, said).await?;
        // What could not be noted is said again.
        state.livekit().seen.put(&id);
    }
    Ok(done())
}

/// Reads an event. An array would be read by the places of its values, which no server means.
fn said(body: &[u8]) -> Result<Said, serde_json::Error> {
    match body.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(body),
        _ => Err(serde::de::Error::custom("it is no object")),
    }
}

/// The token, which the server sends without a word before it.
fn token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().map(HeaderValue::to_str)?.ok()?;
    let value = value.strip_prefix("Bearer ").unwrap_or(value);
    values.next().is_none().then_some(value.trim())
}

async fn hear(state: &State, said: Said) -> Result<(), Error> {
    tracing::debug!(event = said.event, id = said.id, "heard of LiveKit");
    if let Some(egress) = said.egress_info {
        state.livekit().egresses.hear(egress, said.created_at);
        return Ok(());
    }
    let Some(room) = said.room else {
        return Ok(());
    };
    let Ok(stream) = Uuid::parse_str(&room.name) else {
        return Ok(());
    };
    let participant = said.participant.unwrap_or_default();
    let track = said.track.unwrap_or_default();
    let (sid, identity) = (participant.sid.clone(), participant.identity.clone());
    let what = match said.event.as_str() {
        "room_started" => What::Started,
        "room_finished" => What::Finished,
        "participant_joined" => What::Joined(person(participant, said.created_at)),
        "participant_left" | "participant_connection_aborted" => What::Left(sid, identity),
        "track_published" => What::Published(sid, identity, track.sid),
        "track_unpublished" => What::Unpublished(sid, identity, track.sid),
        _ => return Ok(()),
    };
    let place = match whose(state, stream).await? {
        Whose::Live(place) => place,
        Whose::Over if matches!(what, What::Started | What::Joined(_)) => {
            state.close_again(stream);
            return Ok(());
        }
        Whose::Over | Whose::Foreign => return Ok(()),
    };
    match &what {
        // It came past the proxy, or before it was removed.
        What::Joined(person) if person.may_publish && !is_own(&person.identity) => {
            let identity = person.identity.clone();
            state.send_out_if_removed(stream, place.broadcast, identity);
        }
        _ => {}
    }
    if what.is_own() {
        return Ok(());
    }
    let fact = Fact {
        room: room.sid,
        at: said.created_at,
        what,
    };
    let rooms = &state.livekit().rooms;
    rooms.apply(state, stream, place, fact).await;
    Ok(())
}

fn person(said: ParticipantSaid, at: i64) -> Person {
    let permission = said.permission;
    let is_hidden = permission.as_ref().is_some_and(|may| may.hidden);
    Person {
        role: role(&said.metadata),
        sid: said.sid,
        identity: said.identity,
        may_publish: !is_hidden && permission.is_none_or(|may| may.can_publish),
        joined: if said.joined_at > 0 {
            said.joined_at
        } else {
            at
        },
        ..Person::default()
    }
}

/// What reading a webhook must survive.
pub(in crate::control) fn fuzz(bytes: &[u8]) {
    if let Ok(said) = said(bytes) {
        let Some(participant) = said.participant else {
            return;
        };
        let person = person(participant, said.created_at);
        assert!(person.tracks.is_empty());
    }
}

#[cfg(test)]
mod tests;
