//! Chats and reactions of broadcasts (contract, broadcasts, sections 6 and 11). In: sockets and requests. Out:
//! what is said, to all who listen to the broadcast here. Not here: what is kept (`store`), a gateway
//! beside this one, whose listeners find what was said here in the history.

mod crowd;
mod frame;
mod guest;
pub(in crate::control) mod news;
mod proof;
mod rooms;
mod socket;
#[cfg(test)]
mod tests;

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use http::Version;
use utoipa::ToSchema;

use super::answer::{Done, done};
use super::error::Body;
use super::viewer::pass::Pass;
use super::{Call, Error};
use crate::base::id::Uuid;
use crate::control::{Side, State};
use crate::store::{Broadcast, Status};
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
/// Reactions without a key from one address in an hour: one in four seconds. Pages send theirs through the
/// socket, whose own pace bounds them.
const GUESTS_REACTIONS_PER_HOUR: u32 = 900;
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
    /// As it was when they came.
    status: Status,
}

impl Place {
    fn of(broadcast: &Broadcast) -> Place {
        Place {
            broadcast: broadcast.id,
            stream: broadcast.stream_id,
            status: broadcast.status,
        }
    }
}

/// Who listens, or speaks.
struct Who {
    /// Whether it showed a credential.
    may_speak: bool,
    /// Whether that was an API key.
    is_client: bool,
    /// Id and name of the user who signed in.
    user: Option<(String, String)>,
    /// Id of the holder of a pass.
    guest: Option<String>,
}

impl Who {
    fn of(call: &Call, pass: Option<Pass>) -> Who {
        let caller = &call.caller;
        let user = caller.user.as_ref();
        let is_anonymous = caller.is_anonymous();
        let guest = pass.filter(|_| is_anonymous).map(|pass| pass.guest);
        Who {
            may_speak: !is_anonymous || guest.is_some(),
            is_client: caller.has_key,
            guest,
            user: user.map(|user| {
                let name = user.display_name.as_ref().unwrap_or(&user.username);
                (user.id.to_string(), name.clone())
            }),
        }
    }

    /// The id and the name under which it says something. A user is itself, and a guest a guest, whatever a
    /// frame says; who has the key of the tenant speaks for its users.
    fn named(&self, id: Option<String>, name: Option<String>) -> (Option<String>, String) {
        if let Some((id, name)) = &self.user {
            return (Some(id.clone()), name.clone());
        }
        match &self.guest {
            Some(guest) => (Some(guest.clone()), guest::name(name)),
            None => (id, name.unwrap_or_else(|| GUEST.to_owned())),
        }
    }
}

/// A reaction: one of the first four, and whose it may be.
#[derive(ToSchema)]
#[schema(as = Reaction)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
struct ReactionFields {
    #[schema(example = "heart", max_length = 32)]
    r#type: Option<String>,
    #[schema(max_length = 32)]
    kind: Option<String>,
    #[schema(max_length = 32)]
    reaction: Option<String>,
    #[schema(max_length = 32)]
    emoji: Option<String>,
    #[schema(max_length = 64)]
    user_id: Option<String>,
    #[schema(max_length = 64)]
    user_name: Option<String>,
}

/// Listens to a chat, and speaks in it.
#[utoipa::path(
    get, path = "/ws/streams/{id}/chat", tag = "streaming", operation_id = "chatSocket",
    summary = "Listen to the chat of a broadcast and speak in it (WebSocket)",
    security((), ("apiKey" = []), ("userToken" = [])),
    description = "Text frames, JSON: `{\"type\":\"message\",\"message\":\"hi\",\"userName\":\"Jo\"}` and \
        `{\"type\":\"reaction\",\"reaction\":\"heart\"}`; any other text is a message itself. All are told the \
        same with `id`, `streamId`, `userId`, `userName` and `timestamp`, the sender as well, and `guest` where \
        nobody vouches for the name; a newcomer first hears the last 50 messages. All are told of the \
        broadcast itself: `{\"type\":\"status\",\"status\":\"completed\"}`, and some seconds after its end sockets \
        are closed; `{\"type\":\"viewers\",\"viewers\":5}`. What is refused is answered with `{\"type\":\"error\",\"code\",\"message\"}`. \
        Chats that are not private are open to listeners; to speak takes a credential.\n\n\
        A socket takes two frames in a second, ten at once, of 16 KiB at most, a room forty in a second, and an \
        address without a key twenty. It is \
        closed with 1008 after twenty refused frames in a row, when two pings (every 30 s) were not answered, and \
        within 30 s of the end of its credential; with 1009 for a larger frame; with 1013 when its client reads too \
        slowly, and may come again for what it missed; with 1001 when the server stops. One node takes 14,000 \
        sockets.",
    params(
        ("id" = String, Path, description = "Id of broadcast or stream, short id, or that of its channel."),
        ("token" = Option<String>, Query, description = "API key, user token, or the pass of a \
            watch page, where no header can be sent."),
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
    let (found, pass) = call.watched().await?;
    if version > Version::HTTP_11 {
        return Err(Error::Bad(BY_HTTP1.to_owned()));
    }
    let upgrade = upgrade.map_err(|rejection| Error::Bad(rejection.body_text()))?;
    let ticket = call.state.crowd().let_in(call.address())?;
    let proof = Proof::of(&mut call).await?;
    let tasks = call.state.setup().tasks.clone();
    let session = Session {
        who: Who::of(&call, pass),
        state: call.state,
        place: Place::of(&found),
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
    post, path = "/api/v1/sessions/{id}/reactions", tag = "v1", operation_id = "sendReaction",
    summary = "Tell the chat of a broadcast a reaction, with a key or as a guest",
    security(("apiKey" = []), ()),
    request_body = inline(ReactionFields),
    params(
        ("id" = String, Path, description = "Id of broadcast or stream, short id, or that of its channel."),
        ("token" = Option<String>, Query, description = "The pass of a watch page, in the place of a key."),
    ),
    responses(
        (status = 200, description = "Those who listen are told.", body = inline(Done)),
        (status = 400, description = "Something is missing or of the wrong kind.", body = inline(Body)),
        (status = 401, description = "The API key, or the pass, is missing or wrong.", body = inline(Body)),
        (status = 404, description = "No such broadcast.", body = inline(Body)),
        (status = 413, description = "The body is too large.", body = inline(Body)),
        (status = 429, description = "The limit of the API key, or of the room, is reached.", body = inline(Body)),
        (status = 503, description = "The database does not answer.", body = inline(Body)),
    ),
)]
pub(in crate::control) async fn react(mut call: Call) -> Result<Response, Error> {
    if !call.caller.has_key && !call.has_pass().await? {
        return Err(Error::Key);
    }
    let (found, pass) = call.watched().await?;
    if !call.caller.has_key {
        call.count_by_address("reaction", GUESTS_REACTIONS_PER_HOUR)?;
    }
    let body = call.body().await?;
    let said = frame::read_reaction(&body)?;
    let who = Who::of(&call, pass);
    say(&call.state, &Place::of(&found), &who, said).await?;
    Ok(done())
}

/// What frames must survive: any text of a socket, any body of a reaction.
pub(super) fn fuzz(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let said = [frame::read(&text), frame::read_reaction(bytes)];
    for said in said.into_iter().flatten() {
        guest::name(said.user_name);
    }
    guest::name(Some(text.into_owned()));
}
