//! Channels for operators: those of all applications, with what is live of them. Keys are shown where they
//! are asked for, and nowhere else.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::base::rfc3339::Rfc3339;
use crate::control::State;
use crate::control::pcast::answer::{Answer, Done, OK, json};
use crate::control::pcast::docs::{Conflicting, Lookup, Named, Range, Sized, Usual};
use crate::control::pcast::fork::{ForkBody, KillBody, KilledMembers};
use crate::control::pcast::ingest::IngestFields;
use crate::control::pcast::member::Members;
use crate::control::pcast::{
    ByOperator, Error, Fields, channel, error, fork as forks, member, message,
};
use crate::hub::Counted;
use crate::store::{Channel, IngestOptions};

/// Channels that a list holds in memory at once.
const PAGE: usize = 100;

/// A channel as operators see it. Its key is at `…/key`.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminChannel)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    channel_id: &'a str,
    alias: &'a str,
    application_id: &'a str,
    name: &'a str,
    description: &'a str,
    /// First 8 hex digits of the SHA-256 of its stream key, as logs name it.
    key_fingerprint: String,
    #[schema(format = DateTime)]
    created: String,
    #[schema(format = DateTime)]
    last_update: String,
    /// What RTMP publishes get that name none; null: the gateway's default.
    #[schema(required = true, value_type = Option<Vec<String>>)]
    capabilities: Option<&'a [String]>,
    #[schema(value_type = Vec<String>)]
    tags: &'a [String],
    #[schema(value_type = Vec<String>)]
    options: &'a [String],
    /// Credentials of `sourceUri` hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<IngestFields>)]
    ingest_options: Option<&'a IngestOptions>,
    /// Whether the configuration file declares it, so that it cannot be deleted.
    declared: bool,
    /// The stream that players get now; null when nothing is on air.
    #[schema(required = true)]
    stream_id: Option<String>,
    /// Publishers that send now.
    publishers: usize,
    /// Viewers of the stream on air.
    viewers: u64,
}

/// An answer with a channel.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminChannelAnswer)]
pub(super) struct One<'a> {
    /// `ok`.
    status: &'static str,
    channel: View<'a>,
}

/// An answer with channels.
#[derive(ToSchema)]
#[schema(as = AdminChannelList)]
#[expect(dead_code, reason = "lists are written one by one")]
pub(super) struct Many<'a> {
    /// `ok`.
    status: &'static str,
    /// By application, oldest first.
    channels: Vec<View<'a>>,
}

/// What a channel is made of.
#[derive(ToSchema)]
#[schema(as = AdminChannelCreate)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(super) struct Create {
    /// Its owner; the first application without it.
    application_id: Option<String>,
    channel: channel::CreateFields,
}

/// An answer with a key.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamKey)]
#[serde(rename_all = "camelCase")]
pub(super) struct Key {
    /// `ok`.
    status: &'static str,
    /// Secret: whoever has it can publish.
    stream_key: String,
}

#[utoipa::path(
    get, path = "/api/admin/channels", tag = "operations", operation_id = "adminChannels",
    summary = "All channels, with what is live of them",
    security(("adminKey" = []), ("adminBearer" = [])),
    responses((status = 200, description = "All of them.", body = inline(Many<'_>)), Usual),
)]
pub(super) async fn list(ByOperator(call): ByOperator) -> Answer {
    let state = call.state.clone();
    let owners = state.setup().store.applications().await?;
    let mut owners = owners.into_iter();
    let mut owner = owners.next();
    let mut last: Option<Arc<Channel>> = None;
    let store = state.setup().store.clone();
    let next = move || {
        while let Some(application) = &owner {
            let page = store.known_channels(&application.id, last.as_deref(), PAGE);
            last = page.last().cloned();
            if !page.is_empty() {
                return page;
            }
            owner = owners.next();
        }
        Vec::new()
    };
    Ok(channel::listed("channels", next, move |channel, json| {
        channel::write_one(json, &view(&state, channel));
    }))
}

#[utoipa::path(
    put, path = "/api/admin/channels", tag = "operations", operation_id = "adminCreateChannel",
    summary = "Create a channel for an application",
    security(("adminKey" = []), ("adminBearer" = [])), request_body = inline(Create),
    responses((status = 200, description = "It is there.", body = inline(One<'_>)), Usual, Lookup,
        Conflicting),
)]
pub(super) async fn create(ByOperator(mut call): ByOperator) -> Answer {
    let body = call.body().await?;
    let mut fields = Fields::parse(&body)?;
    let owner = fields.text("applicationId")?;
    let owner = owner.unwrap_or_else(|| call.state.setup().first_application.clone());
    let channel = channel::make(&call.state, owner, fields.need_object("channel")?).await?;
    one(&call.state, &channel)
}

#[utoipa::path(
    get, path = "/api/admin/channels/{channelId}", tag = "operations",
    operation_id = "adminChannel", summary = "A channel, with what is live of it",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(Named),
    responses((status = 200, description = "The channel.", body = inline(One<'_>)), Usual, Lookup),
)]
pub(super) async fn fetch(ByOperator(mut call): ByOperator) -> Answer {
    let channel = call.channel("channelId").await?;
    one(&call.state, &channel)
}

#[utoipa::path(
    delete, path = "/api/admin/channels/{channelId}", tag = "operations",
    operation_id = "adminDeleteChannel",
    summary = "Delete a channel with its messages; its publishers are disconnected, its key is void",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(Named),
    responses((status = 200, description = "It is gone.", body = inline(Done)), Usual, Lookup,
        (status = 409, description = "The configuration file declares it: `conflict`.",
            body = inline(error::Body))),
)]
pub(super) async fn remove(ByOperator(call): ByOperator) -> Answer {
    channel::answer_remove(call).await
}

#[utoipa::path(
    get, path = "/api/admin/channels/{channelId}/members", tag = "operations",
    operation_id = "adminMembers", summary = "Publishers of a channel",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(Named),
    responses((status = 200, description = "Those that send now.", body = inline(Members)), Usual,
        Lookup),
)]
pub(super) async fn members(ByOperator(call): ByOperator) -> Answer {
    member::answer_members(call).await
}

#[utoipa::path(
    put, path = "/api/admin/channels/{channelId}/kill", tag = "operations",
    operation_id = "adminKill",
    summary = "End what a channel has on air; the channel and its key stay",
    security(("adminKey" = []), ("adminBearer" = [])), request_body = Option<KillBody>,
    params(Named),
    responses((status = 200, description = "The members that were there.",
        body = inline(KilledMembers)), Usual, Lookup, Sized,
        (status = 504, description = "It took too long: `time-exceeded`.",
            body = inline(error::Body))),
)]
pub(super) async fn kill(ByOperator(call): ByOperator) -> Answer {
    forks::answer_kill(call).await
}

#[utoipa::path(
    put, path = "/api/admin/channels/{channelId}/fork/{sourceChannelId}", tag = "operations",
    operation_id = "adminFork", summary = "Show a source channel's streams on a destination channel",
    security(("adminKey" = []), ("adminBearer" = [])), request_body = Option<ForkBody>,
    params(("channelId" = String, Path, description = "Destination: channel id or alias."),
        ("sourceChannelId" = String, Path, description = "Source: channel id or alias.")),
    responses((status = 200, description = "The members that were forked by this call.",
        body = inline(Members)), Usual, Lookup, Sized,
        (status = 409, description = "It cannot be forked there: `conflict`.",
            body = inline(error::Body)),
        (status = 504, description = "It took too long: `time-exceeded`.",
            body = inline(error::Body))),
)]
pub(super) async fn fork(ByOperator(call): ByOperator) -> Answer {
    forks::answer_fork(call).await
}

#[utoipa::path(
    get, path = "/api/admin/channels/{channelId}/key", tag = "operations",
    operation_id = "adminKey", summary = "A channel's stream key",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(Named),
    responses((status = 200, description = "The key.", body = inline(Key)), Usual, Lookup),
)]
pub(super) async fn key(ByOperator(mut call): ByOperator) -> Answer {
    let channel = call.channel("channelId").await?;
    Ok(shown(channel.key.expose()))
}

#[utoipa::path(
    post, path = "/api/admin/channels/{channelId}/key", tag = "operations",
    operation_id = "adminRotateKey",
    summary = "Replace a channel's stream key at once; the stream on air goes on",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(Named),
    responses((status = 200, description = "The new key.", body = inline(Key)), Usual, Lookup,
        (status = 409, description = "The key is a setting: `conflict`.",
            body = inline(error::Body))),
)]
pub(super) async fn rotate(ByOperator(mut call): ByOperator) -> Answer {
    let channel = call.channel("channelId").await?;
    if let Some(why) = call.state.setup().keys.fixed(&channel.id) {
        return Err(Error::Conflict(why));
    }
    let state = call.state.clone();
    let key = call
        .state
        .to_the_end(async move {
            let key = state.setup().store.rotate_key(&channel.id).await?;
            let (new, id) = (key.clone(), channel.id.clone());
            let keys = state.setup().keys.clone();
            let kept = tokio::task::spawn_blocking(move || keys.keep(&id, &new)).await;
            let kept = kept.unwrap_or_else(|_| Err("it was not tried".to_owned()));
            if let Err(err) = kept {
                let channel = &channel.id;
                tracing::error!(channel, err, "new key could not be kept for the next start");
                return Err(Error::Internal);
            }
            tracing::info!(
                channel = channel.id,
                key = key.fingerprint(),
                "key replaced"
            );
            Ok(key)
        })
        .await?;
    Ok(shown(key.expose()))
}

#[utoipa::path(
    put, path = "/api/admin/channels/{channelId}/message", tag = "operations",
    operation_id = "adminSendMessage", summary = "Send a message to a channel",
    security(("adminKey" = []), ("adminBearer" = [])), request_body = inline(message::Send),
    params(Named),
    responses((status = 200, description = "It is sent.", body = inline(message::One<'_>)), Usual,
        Lookup, Sized),
)]
pub(super) async fn send(ByOperator(call): ByOperator) -> Answer {
    message::answer_send(call).await
}

#[utoipa::path(
    get, path = "/api/admin/channels/{channelId}/messages", tag = "operations",
    operation_id = "adminMessages",
    summary = "Messages of a channel: the newest, or the oldest after one of them",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(Named, Range),
    responses((status = 200, description = "Oldest first.", body = inline(message::Many<'_>)), Usual,
        Lookup, (status = 413, description = "`limit` is above 128: `limit-too-large`.",
            body = inline(error::Body))),
)]
pub(super) async fn messages(ByOperator(call): ByOperator) -> Answer {
    message::answer_list(call).await
}

#[utoipa::path(
    delete, path = "/api/admin/channels/{channelId}/messages", tag = "operations",
    operation_id = "adminPurgeMessages", summary = "Delete all messages of a channel",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(Named),
    responses((status = 200, description = "They are gone.", body = inline(message::Purged)), Usual,
        Lookup),
)]
pub(super) async fn purge(ByOperator(call): ByOperator) -> Answer {
    message::answer_purge(call).await
}

fn shown(key: &str) -> axum::response::Response {
    let answer = Key {
        status: OK,
        stream_key: key.to_owned(),
    };
    json(StatusCode::OK, &answer)
}

fn one(state: &State, channel: &Channel) -> Answer {
    let answer = One {
        status: OK,
        channel: view(state, channel),
    };
    Ok(json(StatusCode::OK, &answer))
}

fn view<'a>(state: &State, channel: &'a Channel) -> View<'a> {
    let setup = state.setup();
    let stream = setup.live.on_air(&channel.id).map(|stream| stream.id);
    View {
        channel_id: &channel.id,
        alias: &channel.alias,
        application_id: &channel.application_id,
        name: &channel.name,
        description: &channel.description,
        key_fingerprint: channel.key.fingerprint(),
        created: Rfc3339(channel.created).to_string(),
        last_update: Rfc3339(channel.updated).to_string(),
        capabilities: channel.capabilities.as_deref(),
        tags: &channel.tags,
        options: &channel.options,
        ingest_options: channel.ingest.as_ref(),
        declared: channel.declared,
        stream_id: stream.map(|id| id.to_string()),
        publishers: setup.live.count(&channel.id, &Counted::default()),
        viewers: stream.map_or(0, |id| setup.measurements.viewers(id)),
    }
}
