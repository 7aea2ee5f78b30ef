//! Chats and reactions of broadcasts (contract, broadcasts, sections 6 and 11). In: sockets and requests. Out:
//! what is said, to all who listen to the broadcast here. Not here: what is kept (`store`), a gateway
//! beside this one, whose listeners find what was said here in the history.

mod crowd;
mod frame;
mod proof;
mod rooms;
mod socket;
#[cfg(test)]
mod tests;

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use http::{HeaderValue, Version, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::call::Caller;
use super::error::Body;
use super::{ByClient, Call, Error};
use crate::base::id::Uuid;
use crate::control::{Side, State};
use crate::store::{Broadcast, Visibility};
use proof::Proof;
use socket::{Session, say};

pub(in crate::control) use crowd::Crowd;
pub(in crate::control) use rooms::Rooms;

/// What a socket reads at once, bytes: a frame as people type them. The library would take 128 KiB for each.
const READ_BUFFER: usize = 1 << 10;
/// Bytes that are collected for one write, so that a history is not a packet for each message. Once used they are
/// kept for as long as the socket is open.
const WRITE_BUFFER: usize = 2 << 10;
/// Bytes that wait for a client that takes none, beyond the frame that is being sent.
const MAX_WRITE_BUFFER: usize = 64 << 10;
/// Browsers see that RFC 8441 is not offered, and open another connection for their sockets.
const BY_HTTP1: &str = "a WebSocket is opened by HTTP/1.1 here, not by HTTP/2";
/// Who speaks without a name.
const GUEST: &str = "Guest";

/// Routes of chats and reactions.
pub(super) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    vec![
        ("/ws/streams/{id}/chat", Side::Public, get(join)),
        ("/api/v1/sessions/{id}/reactions", Side::Public, post(react)),
    ]
}

/// Where a chat is.
struct Place {
    broadcast: Uuid,
    stream: Uuid,
}

/// Who listens, or speaks.
struct Who {
    /// Whether it showed a credential.
    may_speak: bool,
    /// Id and name of the user who signed in.
    user: Option<(String, String)>,
}

impl Who {
    fn of(caller: &Caller) -> Who {
        let user = caller.user.as_ref();
        Who {
            may_speak: !caller.is_anonymous(),
            user: user.map(|user| {
                let name = user.display_name.as_ref().unwrap_or(&user.username);
                (user.id.to_string(), name.clone())
            }),
        }
    }

    /// The id and the name under which it says something. A user is itself, whatever a frame says; who has
    /// the key of the tenant speaks for its users.
    fn named(&self, id: Option<String>, name: Option<String>) -> (Option<String>, String) {
        match &self.user {
            Some((id, name)) => (Some(id.clone()), name.clone()),
            None => (id, name.unwrap_or_else(|| GUEST.to_owned())),
        }
    }
}

/// It is done.
#[derive(Serialize, ToSchema)]
struct Done {
    /// Always true.
    success: bool,
}

/// Listens to a chat, and speaks in it.
#[utoipa::path(
    get, path = "/ws/streams/{id}/chat", tag = "chat", operation_id = "joinChat",
    summary = "Listen to the chat of a broadcast and speak in it (WebSocket)",
    description = "Text frames, JSON: `{\"type\":\"message\",\"message\":\"hi\",\"userName\":\"Jo\"}` and \
        `{\"type\":\"reaction\",\"reaction\":\"heart\"}`; any other text is a message itself. All are told the \
        same with `id`, `streamId`, `userId`, `userName` and `timestamp`, the sender as well; a newcomer first \
        hears the last 50 messages. What is refused is answered with `{\"type\":\"error\",\"code\",\"message\"}`. \
        Chats that are not private are open to listeners; to speak takes a credential.\n\n\
        A socket takes two frames in a second, ten at once, of 16 KiB at most, and a room forty in a second. It is \
        closed with 1008 after twenty refused frames in a row, when two pings (every 30 s) were not answered, and \
        within 30 s of the end of its credential; with 1009 for a larger frame; with 1013 when its client reads too \
        slowly, and may come again for what it missed; with 1001 when the server stops. One node takes 14,000 \
        sockets.",
    params(
        ("id" = String, Path, description = "Id of broadcast or stream, short id, or that of its channel."),
        ("token" = Option<String>, Query, description = "API key or user token, where no header can be sent."),
    ),
    responses(
        (status = 101, description = "Frames follow."),
        (status = 400, description = "It is no handshake of WebSocket, or by HTTP/2.", body = inline(Body)),
        (status = 401, description = "A credential is wrong.", body = inline(Body)),
        (status = 404, description = "No such broadcast.", body = inline(Body)),
        (status = 429, description = "The API key's limit is reached.", body = inline(Body)),
        (status = 503, description = "There are too many sockets, in all or of this address, or the database does \
            not answer.", body = inline(Body)),
    ),
)]
pub(in crate::control) async fn join(
    version: Version,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    mut call: Call,
) -> Result<Response, Error> {
    let query = call.query().await?;
    if let Some(token) = query.text("token")? {
        call.show(token).await?;
    }
    let place = place(&mut call).await?;
    if version > Version::HTTP_11 {
        return Err(Error::Bad(BY_HTTP1.to_owned()));
    }
    let upgrade = upgrade.map_err(|rejection| Error::Bad(rejection.body_text()))?;
    let ticket = call.state.crowd().let_in(call.address())?;
    let proof = Proof::of(&mut call).await?;
    let tasks = call.state.setup().tasks.clone();
    let session = Session {
        who: Who::of(&call.caller),
        state: call.state,
        place,
        proof,
        ticket,
    };
    Ok(upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_frame_size(frame::MAX_FRAME_BYTES)
        .max_message_size(frame::MAX_FRAME_BYTES)
        .on_upgrade(move |socket| async move {
            // Where shutdown joins it.
            tasks.spawn(socket::run(socket, session));
        }))
}

/// Sends a reaction.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/reactions", tag = "chat", operation_id = "sendReaction",
    summary = "Tell the chat of a broadcast a reaction", security(("apiKey" = [])),
    request_body(content = inline(serde_json::Value), description = "`type`, or one of its synonyms `kind`, \
        `reaction` and `emoji`; `userId` and `userName` may say whose it is."),
    params(("id" = String, Path, description = "Id of broadcast or stream, short id, or that of its channel.")),
    responses(
        (status = 200, description = "Those who listen are told.", body = inline(Done)),
        (status = 400, description = "Something is missing or of the wrong kind.", body = inline(Body)),
        (status = 401, description = "The API key is missing or wrong.", body = inline(Body)),
        (status = 404, description = "No such broadcast.", body = inline(Body)),
        (status = 413, description = "The body is too large.", body = inline(Body)),
        (status = 429, description = "The limit of the API key, or of the room, is reached.", body = inline(Body)),
        (status = 503, description = "The database does not answer.", body = inline(Body)),
    ),
)]
pub(in crate::control) async fn react(ByClient(mut call): ByClient) -> Result<Response, Error> {
    let place = place(&mut call).await?;
    let body = call.body().await?;
    let said = frame::read_reaction(&body)?;
    say(&call.state, &place, &Who::of(&call.caller), said).await?;
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((no_store, axum::Json(Done { success: true })).into_response())
}

/// The chat that the path names, if the caller may see it: another tenant's is not there.
async fn place(call: &mut Call) -> Result<Place, Error> {
    let id = call.parameter("id").await?;
    let found = call.state.setup().store.find_broadcast(&id).await?;
    let caller = &call.caller;
    let may_see = |found: &Broadcast| match caller.is_anonymous() {
        true => found.visibility != Visibility::Private,
        false => caller.is_operator || found.application_id == caller.tenant.id,
    };
    let found = found.filter(may_see).ok_or(Error::NotFound("broadcast"))?;
    Ok(Place {
        broadcast: found.id,
        stream: found.stream_id,
    })
}
