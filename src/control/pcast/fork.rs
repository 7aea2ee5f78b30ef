//! Forks and kills: what becomes of a channel's publishers (contract, channels, sections 7 and 8).

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Answer, OK, json};
use super::body::Fields;
use super::docs::{Limited, Lookup, Named, Sized, Usual};
use super::member::{self, Members};
use super::{ByApplication, Call, Error};
use crate::hub::{ForkOptions, Forking};

/// An answer with the members that were there.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct KilledMembers {
    /// `ok`.
    status: &'static str,
    killed_members: Vec<member::View>,
}

/// How a channel is forked; every field may be left out, and the body too.
#[derive(ToSchema)]
#[schema(as = ForkRequest)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct ForkBody {
    /// Tags that the forked streams have beside their own, of at most 256 bytes each.
    #[schema(max_items = 64)]
    stream_tags: Option<Vec<String>>,
    /// Capabilities that the forked streams have beside their own, of at most 256 bytes each.
    #[schema(max_items = 64)]
    stream_capabilities: Option<Vec<String>>,
    options: Option<Vec<ForkWord>>,
}

/// `force` replaces streams of the same session, `additive` keeps other members, `keep-streams` lets
/// streams of removed members live.
#[derive(ToSchema)]
#[schema(as = ForkOption)]
#[serde(rename_all = "kebab-case")]
#[expect(dead_code, reason = "bodies are read field by field")]
enum ForkWord {
    Force,
    Additive,
    KeepStreams,
}

/// How a channel is killed; every field may be left out, and the body too.
#[derive(ToSchema)]
#[schema(as = KillRequest)]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct KillBody {
    /// For the log and the story of the stream, which keep its first 256 characters.
    reason: Option<String>,
    options: Option<Vec<KillWord>>,
}

/// `keep-streams` lets streams and their connections live.
#[derive(ToSchema)]
#[schema(as = KillOption)]
#[serde(rename_all = "kebab-case")]
#[expect(dead_code, reason = "bodies are read field by field")]
enum KillWord {
    KeepStreams,
}

#[utoipa::path(
    put, path = "/pcast/channel/{channelId}/fork/{sourceChannelId}", tag = "channel",
    operation_id = "forkChannel", summary = "Show a source channel's streams on a destination channel",
    security(("basicAuth" = [])), request_body = Option<ForkBody>,
    params(("channelId" = String, Path, description = "Destination: channel id or alias."),
        ("sourceChannelId" = String, Path, description = "Source: channel id or alias.")),
    responses((status = 200, description = "The members that were forked by this call.",
        body = inline(Members)), Usual, Limited, Lookup, Sized,
        (status = 409, description = "It cannot be forked there: `conflict`.",
            body = inline(super::error::Body))),
)]
pub(in crate::control) async fn fork(ByApplication(call): ByApplication) -> Answer {
    answer_fork(call).await
}

/// Forks what a call says.
pub(in crate::control) async fn answer_fork(mut call: Call) -> Answer {
    let destination = call.channel("channelId").await?;
    let source = call.channel("sourceChannelId").await?;
    let body = call.body().await?;
    let mut fields = Fields::parse_optional(&body)?;
    let tags = fields.words("streamTags")?.unwrap_or_default();
    let capabilities = fields.words("streamCapabilities")?.unwrap_or_default();
    let [force, additive, keep_streams] = fields.options(["force", "additive", "keep-streams"])?;
    let forking = Forking {
        channel_id: destination.id.clone(),
        alias: destination.alias.clone(),
        name: destination.name.clone(),
        tags,
        capabilities,
        options: ForkOptions {
            force,
            additive,
            keep_streams,
        },
    };
    let state = call.state.clone();
    let forked = call
        .state
        .within_deadline(async move {
            let forked = state.setup().live.fork(&source.id, &forking).await?;
            let (from, to) = (&source.id, &destination.id);
            tracing::info!(from, to, members = forked.members.len(), "channel forked");
            Ok::<_, Error>(forked)
        })
        .await?;
    Ok(member::answer(&call, forked.members))
}

#[utoipa::path(
    put, path = "/pcast/channel/{channelId}/kill", tag = "channel", operation_id = "killChannel",
    summary = "End what a channel has on air; the channel and its key stay",
    security(("basicAuth" = [])), request_body = Option<KillBody>,
    params(Named),
    responses((status = 200, description = "The members that were there.",
        body = inline(KilledMembers)), Usual, Limited, Lookup, Sized),
)]
pub(in crate::control) async fn kill(ByApplication(call): ByApplication) -> Answer {
    answer_kill(call).await
}

/// Kills what a call says.
pub(in crate::control) async fn answer_kill(mut call: Call) -> Answer {
    let channel = call.channel("channelId").await?;
    let body = call.body().await?;
    let mut fields = Fields::parse_optional(&body)?;
    let reason = fields.text("reason")?.unwrap_or_default();
    let [keep_streams] = fields.options(["keep-streams"])?;
    let state = call.state.clone();
    let members = call
        .state
        .within_deadline(async move {
            let live = &state.setup().live;
            let members = live.kill(&channel.id, &reason, keep_streams).await;
            let channel = &channel.id;
            tracing::info!(
                channel,
                members = members.len(),
                keep_streams,
                "channel killed"
            );
            Ok(members)
        })
        .await?;
    let answer = KilledMembers {
        status: OK,
        killed_members: member::views(&call, members),
    };
    Ok(json(StatusCode::OK, &answer))
}
