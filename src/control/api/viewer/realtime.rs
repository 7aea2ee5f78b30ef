//! The way of a watch page into the room of its broadcast (contract, broadcasts, section 4.6). In: an id, from
//! whoever may watch it. Out: a token that lets a page see and hear the room, and do nothing else there. Not
//! here: tokens for apps, which have a key.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::super::answer::{Answer, ok};
use super::super::docs::{Conflicting, Lookup, Usual};
use super::super::time::seconds;
use super::super::{Call, Error};
use crate::base::id::random_key;
use crate::control::token::LivekitGrant;

/// How long a token lets in, the same as a pass: until a page has joined. LiveKit itself hands out what it
/// takes to come back after a broken connection.
const VALID: Duration = Duration::from_secs(15 * 60);
/// Tokens for pages from one address in an hour: an office or a carrier may share one, and a page that finds
/// no picture asks again every two minutes.
const TOKENS_PER_HOUR: u32 = 1800;
/// How the identities of pages begin.
const IDENTITY: &str = "viewer-";
/// Letters behind that: nobody can take the identity of another page, which would throw it out.
const IDENTITY_LETTERS: usize = 16;
/// What clients tell viewers by (decision B-49).
const METADATA: &str = r#"{"role":"subscriber"}"#;

/// A way into a room, for who watches.
#[derive(Serialize, ToSchema)]
#[schema(as = RoomForViewers)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct Entry<'a> {
    /// Handed to LiveKit's client as it is.
    token: &'a str,
    /// The stream id.
    room: String,
    /// Where to connect to.
    server_url: String,
    /// Until when it lets in.
    #[schema(value_type = String, format = DateTime)]
    expires_at: String,
}

#[utoipa::path(
    post, path = "/api/streams/{id}/viewer/token", tag = "broadcast", operation_id = "viewBroadcastInRealTime",
    summary = "A LiveKit access token for who watches a broadcast: it receives, and sends nothing",
    description = "As for the page itself: private broadcasts are there for their tenant, and for who has a pass.",
    security((), ("apiKey" = []), ("userToken" = [])),
    params(
        ("id" = String, Path, description = "Id of broadcast or stream, short id, or that of its channel."),
        ("token" = Option<String>, Query, description = "Pass, API key or user token, where no header can be sent."),
    ),
    responses((status = 200, description = "It opens the room for fifteen minutes.",
        body = inline(Entry<'_>)), Usual, Lookup, Conflicting),
)]
pub(in crate::control) async fn token(mut call: Call) -> Answer {
    let (found, _) = call.watched().await?;
    if found.status.is_over() {
        return Err(Error::Conflict(format!(
            "the broadcast is {}: its room is closed",
            found.status.word()
        )));
    }
    let setup = call.state.setup();
    let server = setup.livekit.as_ref();
    let server = server.ok_or(Error::Unavailable(
        "there is no real time here: LIVEKIT_URL is not set",
    ))?;
    if !call.caller.has_key {
        call.count_by_address("room token", TOKENS_PER_HOUR)?;
    }
    let room = found.stream_id.to_string();
    let identity = format!("{IDENTITY}{}", random_key(IDENTITY_LETTERS));
    let grant = LivekitGrant {
        room: &room,
        identity: &identity,
        name: None,
        // The app counts who is in its room (decision B-19), so pages are not hidden in it.
        metadata: Some(METADATA),
        can_publish: false,
        can_subscribe: true,
        // Pages react over the chat's socket, where reactions are counted.
        can_publish_data: Some(false),
        max_participants: found.max_participants,
        valid_for: VALID,
    };
    let signed = server.token(&grant, setup.clock.wall()).map_err(|err| {
        tracing::error!(%err, "LiveKit token could not be signed");
        Error::Internal
    })?;
    Ok(ok(&Entry {
        token: signed.token.expose(),
        server_url: call.bases().signal_url(),
        expires_at: seconds(signed.expires),
        room,
    }))
}
