//! Broadcasts as callers see them, with their posters (contract, broadcasts, sections 4 and 10).

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::base::id::Uuid;
use crate::control::api::address::Bases;
use crate::control::api::time::seconds;
use crate::control::api::{Call, Error};
use crate::store::{Broadcast, FilePaths};

/// A broadcast, which is a session and a streaming session too.
#[derive(Serialize, ToSchema)]
#[schema(as = Broadcast)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct View<'a> {
    /// For status, heartbeat, viewer count.
    id: String,
    /// Of its stream, and the name of its room.
    stream_id: String,
    #[schema(example = "r5")]
    short_id: String,
    title: &'a str,
    /// For people.
    #[schema(required = true)]
    description: Option<&'a str>,
    /// `created`, `active`, `completed` or `error`.
    status: &'static str,
    /// `public`, `private` or `unlisted`.
    visibility: &'static str,
    tags: &'a [String],
    /// As it was given.
    #[schema(value_type = Object)]
    metadata: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_participants: Option<u32>,
    /// What the app says of its room.
    viewer_count: u32,
    /// Who play HLS and DASH now.
    measured_viewers: u64,
    hls_url: String,
    dash_url: String,
    watch_url: String,
    /// A small picture of it, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    poster_url: Option<String>,
    /// Secret, for its creator only: whoever has it can publish, until the broadcast is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_key: Option<&'a str>,
    /// Server address; the key is the stream name. For its creator only, as the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    rtmp_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    srt_url: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: String,
    /// When it became active.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    updated_at: String,
}

/// How a broadcast is fed.
#[derive(Serialize, ToSchema)]
#[schema(as = BroadcastPublishing)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct Publishing<'a> {
    /// Secret: whoever has it can publish, until the broadcast is over. Empty for who did not make it.
    stream_key: &'a str,
    /// Server address; the key is the stream name.
    rtmp_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    srt_url: Option<String>,
}

/// A broadcast for who may change it.
#[derive(Serialize, ToSchema)]
#[schema(as = OwnBroadcast)]
pub(in crate::control) struct Own<'a> {
    #[serde(flatten)]
    view: View<'a>,
    #[serde(flatten)]
    publishing: Publishing<'a>,
}

impl<'a> Publishing<'a> {
    fn of(bases: &Bases, broadcast: &'a Broadcast) -> Publishing<'a> {
        let key = broadcast.key.expose();
        let srt = bases.srt.as_ref();
        Publishing {
            stream_key: key,
            rtmp_url: bases.rtmp.clone().unwrap_or_default(),
            srt_url: srt.map(|srt| format!("srt://{srt}?mode=caller&streamid={key}")),
        }
    }
}

impl<'a> Own<'a> {
    /// What a caller sees of a broadcast that it may change. Without secrets the key is empty: clients read an
    /// answer in which it must be (decision B-47).
    fn of(call: &Call, bases: &Bases, broadcast: &'a Broadcast, with_secrets: bool) -> Own<'a> {
        let known = Publishing::of(bases, broadcast);
        let publishing = match with_secrets {
            true => known,
            false => Publishing {
                stream_key: "",
                srt_url: None,
                ..known
            },
        };
        Own {
            view: View::of(call, bases, broadcast, false),
            publishing,
        }
    }
}

impl<'a> View<'a> {
    /// What a caller sees of a broadcast.
    fn of(call: &Call, bases: &Bases, broadcast: &'a Broadcast, with_secrets: bool) -> View<'a> {
        let stream = broadcast.stream_id;
        let publishing = with_secrets.then(|| Publishing::of(bases, broadcast));
        let (stream_key, rtmp_url, srt_url) = match publishing {
            Some(known) => (Some(known.stream_key), Some(known.rtmp_url), known.srt_url),
            None => (None, None, None),
        };
        let setup = call.state.setup();
        View {
            id: broadcast.id.to_string(),
            stream_id: stream.to_string(),
            short_id: broadcast.short_id(),
            title: &broadcast.title,
            description: broadcast.description.as_deref(),
            status: broadcast.status.word(),
            visibility: broadcast.visibility.word(),
            tags: &broadcast.tags,
            metadata: serde_json::from_str(&broadcast.metadata).unwrap_or_default(),
            max_participants: broadcast.max_participants,
            viewer_count: broadcast.reported_viewers,
            measured_viewers: setup.measurements.viewers(stream),
            hls_url: bases.hls_url(stream),
            dash_url: bases.dash_url(stream),
            watch_url: bases.watch_url(stream),
            poster_url: None,
            stream_key,
            rtmp_url,
            srt_url,
            created_at: seconds(broadcast.created),
            started_at: broadcast.started.map(seconds),
            ended_at: broadcast.ended.map(seconds),
            updated_at: seconds(broadcast.updated),
        }
    }
}

/// What everybody sees of broadcasts.
pub(in crate::control) fn many<'a>(
    call: &Call,
    broadcasts: &'a [Broadcast],
) -> impl Future<Output = Result<Vec<View<'a>>, Error>> + Send + use<'a> {
    let bases = call.bases();
    let views = broadcasts.iter();
    let mut views: Vec<View<'a>> = views
        .map(|one| View::of(call, &bases, one, false))
        .collect();
    let store = call.state.setup().store.clone();
    async move {
        let posters = store.posters(broadcasts).await?;
        for (view, broadcast) in views.iter_mut().zip(broadcasts) {
            view.poster_url = address(&bases, &posters, broadcast);
        }
        Ok(views)
    }
}

/// What a caller sees of a broadcast.
pub(super) fn one<'a>(
    call: &Call,
    broadcast: &'a Broadcast,
    with_secrets: bool,
) -> impl Future<Output = Result<View<'a>, Error>> + Send + use<'a> {
    let bases = call.bases();
    let mut view = View::of(call, &bases, broadcast, with_secrets);
    let store = call.state.setup().store.clone();
    async move {
        let posters = store.posters(std::slice::from_ref(broadcast)).await?;
        view.poster_url = address(&bases, &posters, broadcast);
        Ok(view)
    }
}

/// What a caller sees of a broadcast that it may change.
pub(in crate::control) fn own<'a>(
    call: &Call,
    broadcast: &'a Broadcast,
    with_secrets: bool,
) -> impl Future<Output = Result<Own<'a>, Error>> + Send + use<'a> {
    let views = all_own(call, std::slice::from_ref(broadcast), with_secrets);
    async { Ok(views.await?.remove(0)) }
}

/// The same of many.
pub(in crate::control) fn all_own<'a>(
    call: &Call,
    broadcasts: &'a [Broadcast],
    with_secrets: bool,
) -> impl Future<Output = Result<Vec<Own<'a>>, Error>> + Send + use<'a> {
    let bases = call.bases();
    let views = broadcasts.iter();
    let views = views.map(|one| Own::of(call, &bases, one, with_secrets));
    let mut views: Vec<Own<'a>> = views.collect();
    let store = call.state.setup().store.clone();
    async move {
        let posters = store.posters(broadcasts).await?;
        for (own, broadcast) in views.iter_mut().zip(broadcasts) {
            own.view.poster_url = address(&bases, &posters, broadcast);
        }
        Ok(views)
    }
}

/// Where the picture of a broadcast is, in the size of a list.
fn address(
    bases: &Bases,
    posters: &HashMap<Uuid, FilePaths>,
    broadcast: &Broadcast,
) -> Option<String> {
    let paths = posters.get(&broadcast.id)?;
    let smaller = paths.thumbnail.as_ref().or(paths.small.as_ref());
    let path = smaller.or(paths.medium.as_ref()).unwrap_or(&paths.original);
    // One slash between them (decision B-11).
    Some(format!("{}/{}", bases.web, path.trim_start_matches('/')))
}
