//! Messages of a channel: sent, shown, purged (contract, channels, sections 11 to 13).

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Answer, OK, json};
use super::body::Fields;
use super::docs::{Limited, Lookup, Named, Range, Sized, Usual};
use super::member::Role;
use super::{ByApplication, Call, Error};
use crate::store::{Message, MessageRange, NewMessage};

/// Bytes of a message's text (contract, channels, section 11, as are the next three).
const MAX_MESSAGE_BYTES: usize = 1024;
/// Bytes of all tags of a message together.
const MAX_TAGS_BYTES: usize = 512;
/// Bytes of a sender's name.
const MAX_SCREEN_NAME_BYTES: usize = 128;
/// Bytes of a message's type.
const MAX_MIME_TYPE_BYTES: usize = 128;
/// Bytes of a sender's session id; those that are given out have half of it.
const MAX_SESSION_ID_BYTES: usize = 128;
/// Messages in an answer, unless it is asked for fewer or more (section 12).
const DEFAULT_LIMIT: usize = 100;
/// Messages in an answer, at most.
const MAX_LIMIT: usize = 128;
/// Session id of a sender that names none (C-27).
const API: &str = "api";
const ROLES: [&str; 4] = ["Participant", "Moderator", "Presenter", "Audience"];

/// A message.
#[derive(Serialize, ToSchema)]
#[schema(as = Message)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    /// Opaque; has `#` and `|`.
    message_id: &'a str,
    /// When it was sent, Unix milliseconds.
    timestamp: i64,
    /// Always 0: what is deleted is not shown.
    deleted_timestamp: i64,
    from: FromView<'a>,
    mime_type: &'a str,
    message: &'a str,
    #[schema(value_type = Vec<String>)]
    tags: &'a [String],
}

/// Who sent a message.
#[derive(Serialize, ToSchema)]
#[schema(as = Sender)]
#[serde(rename_all = "camelCase")]
struct FromView<'a> {
    session_id: &'a str,
    screen_name: &'a str,
    #[schema(value_type = Role)]
    role: &'a str,
    /// As it was given.
    last_update: i64,
}

/// An answer with a message.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageAnswer)]
pub(in crate::control) struct One<'a> {
    /// `ok`.
    status: &'static str,
    message: View<'a>,
}

/// An answer with messages.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageList)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct Many<'a> {
    /// `ok`.
    status: &'static str,
    /// Oldest first.
    messages: Vec<View<'a>>,
    /// Whether there may be older ones outside of the range.
    has_more_before: bool,
    /// Whether there may be newer ones outside of the range.
    has_more_after: bool,
}

/// An answer to a purge.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct Purged {
    /// `ok`.
    status: &'static str,
    deleted_count: u64,
}

/// A message that is sent.
#[derive(ToSchema)]
#[schema(as = MessageCreate)]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct Send {
    message: SendFields,
}

/// Fields of a message that is sent. Lengths are in bytes of UTF-8.
#[derive(ToSchema)]
#[schema(as = NewMessage)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
struct SendFields {
    from: SendFrom,
    /// At most 128 bytes.
    mime_type: String,
    /// At most 1024 bytes; binary content in base64.
    message: String,
    /// At most 512 bytes together.
    tags: Vec<String>,
}

/// Who sends.
#[derive(ToSchema)]
#[schema(as = MessageUser)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
struct SendFrom {
    /// `api` without it. At most 128 bytes.
    session_id: Option<String>,
    /// At most 128 bytes.
    screen_name: String,
    role: Role,
    last_update: i64,
}

#[utoipa::path(
    put, path = "/pcast/channel/{channelId}/message", tag = "messages", operation_id = "sendMessage",
    summary = "Send a message to a channel", security(("basicAuth" = [])),
    request_body = inline(Send),
    params(Named),
    responses((status = 200, description = "It is sent.", body = inline(One<'_>)), Usual, Limited,
        Lookup, Sized),
)]
pub(in crate::control) async fn send(ByApplication(call): ByApplication) -> Answer {
    answer_send(call).await
}

/// Sends what a call says.
pub(in crate::control) async fn answer_send(mut call: Call) -> Answer {
    let channel = call.channel("channelId").await?;
    let body = call.body().await?;
    let content = parse(&body)?;
    let state = call.state.clone();
    let message = call
        .state
        .to_the_end(async move {
            let store = &state.setup().store;
            Ok(store.send_message(&channel, content).await?)
        })
        .await?;
    let answer = One {
        status: OK,
        message: view(&message),
    };
    Ok(json(StatusCode::OK, &answer))
}

/// Types first, then lengths: a request is wrong before it is too large.
fn parse(body: &[u8]) -> Result<NewMessage, Error> {
    let mut fields = Fields::parse(body)?;
    let mut fields = fields.need_object("message")?;
    let mut from = fields.need_object("from")?;
    let message = fields.need_text("message")?;
    let mime_type = fields.need_text("mimeType")?;
    let tags = fields.need_texts("tags")?;
    let session_id = from.text("sessionId")?;
    let screen_name = from.need_text("screenName")?;
    let role = from.need_text("role")?;
    if !ROLES.contains(&role.as_str()) {
        let name = from.name("role");
        return Err(Error::Bad(format!(
            "{name} is none of {}",
            ROLES.join(", ")
        )));
    }
    let content = NewMessage {
        session_id: session_id.unwrap_or_else(|| API.to_owned()),
        from_updated_ms: from.need_integer("lastUpdate")?,
        screen_name,
        role,
        mime_type,
        message,
        tags,
    };
    let tags = content.tags.iter().map(String::len).sum();
    for (name, bytes, limit) in [
        ("message.message", content.message.len(), MAX_MESSAGE_BYTES),
        ("message.tags", tags, MAX_TAGS_BYTES),
        (
            "message.from.screenName",
            content.screen_name.len(),
            MAX_SCREEN_NAME_BYTES,
        ),
        (
            "message.mimeType",
            content.mime_type.len(),
            MAX_MIME_TYPE_BYTES,
        ),
        (
            "message.from.sessionId",
            content.session_id.len(),
            MAX_SESSION_ID_BYTES,
        ),
    ] {
        if bytes > limit {
            return Err(Error::TooLarge(format!("{name} is above {limit} bytes")));
        }
    }
    Ok(content)
}

#[utoipa::path(
    get, path = "/pcast/channel/{channelId}/messages", tag = "messages",
    operation_id = "listMessages",
    summary = "Messages of a channel: the newest, or the oldest after one of them",
    security(("basicAuth" = [])),
    params(Named, Range),
    responses((status = 200,
        description = "Oldest first. A channel keeps its newest 100,000, for 90 days.",
        body = inline(Many<'_>)), Usual, Limited,
        Lookup, (status = 413, description = "`limit` is above 128: `limit-too-large`.",
            body = inline(super::error::Body))),
)]
pub(in crate::control) async fn list(ByApplication(call): ByApplication) -> Answer {
    answer_list(call).await
}

/// The messages that a call asks for.
pub(in crate::control) async fn answer_list(mut call: Call) -> Answer {
    let channel = call.channel("channelId").await?;
    let query = call.query().await?;
    let limit = query.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let types = query.text("mimeTypes")?.unwrap_or_default();
    let types: Vec<&str> = types
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect();
    let range = MessageRange {
        limit,
        before: query.text("beforeMessageId")?,
        after: query.text("afterMessageId")?,
        mime_types: &types,
    };
    let page = call.state.setup().store.messages(&channel, &range).await?;
    let answer = Many {
        status: OK,
        messages: page.messages.iter().map(view).collect(),
        has_more_before: page.has_more_before,
        has_more_after: page.has_more_after,
    };
    Ok(json(StatusCode::OK, &answer))
}

#[utoipa::path(
    delete, path = "/pcast/channel/{channelId}/messages", tag = "messages",
    operation_id = "purgeMessages", summary = "Delete all messages of a channel",
    security(("basicAuth" = [])),
    params(Named),
    responses((status = 200, description = "They are gone.", body = inline(Purged)), Usual, Lookup),
)]
pub(in crate::control) async fn purge(ByApplication(call): ByApplication) -> Answer {
    answer_purge(call).await
}

/// Purges the messages of a call's channel.
pub(in crate::control) async fn answer_purge(mut call: Call) -> Answer {
    let channel = call.channel("channelId").await?;
    let state = call.state.clone();
    let deleted_count = call
        .state
        .to_the_end(async move { Ok(state.setup().store.purge_messages(&channel).await?) })
        .await?;
    let answer = Purged {
        status: OK,
        deleted_count,
    };
    Ok(json(StatusCode::OK, &answer))
}

fn view(message: &Message) -> View<'_> {
    let content = &message.content;
    View {
        message_id: &message.id,
        timestamp: message.sent.unix_millis(),
        deleted_timestamp: 0,
        from: FromView {
            session_id: &content.session_id,
            screen_name: &content.screen_name,
            role: &content.role,
            last_update: content.from_updated_ms,
        },
        mime_type: &content.mime_type,
        message: &content.message,
        tags: &content.tags,
    }
}
