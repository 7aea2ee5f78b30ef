//! Recordings over HTTP: what is kept, its deletion, and its download as one MP4. Of its channels for an
//! application, below `/pcast`; of all channels for operators, below `/api/admin/recordings`.

mod movie;

use axum::routing::{MethodRouter, get};
use http::StatusCode;
use serde::Serialize;
use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::pcast::answer::{Answer, Done, OK, done, escaped, json};
use super::pcast::call::Parameters;
use super::pcast::docs::{Limited, Lookup, Usual};
use super::pcast::{ByApplication, ByOperator, Call, Error};
use super::{Side, State, pcast};
use crate::base::id::Uuid;
use crate::record::{Refusal, Summary};

/// Folder of the operators' routes.
const ALL: &str = "/api/admin/recordings";
/// Recordings in one answer when nothing is said, and at most: half a megabyte of JSON.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// The routes. A movie is served by the route of its recording: a route cannot end in the middle of a
/// segment of the path.
pub(super) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    vec![
        (ALL, Side::Operator, get(list_all)),
        (
            "/api/admin/recordings/{recordingId}",
            Side::Operator,
            get(any).delete(delete_any),
        ),
        (
            "/pcast/channel/{channelId}/recordings",
            Side::Operator,
            get(list),
        ),
        (
            "/pcast/channel/{channelId}/recordings/{recordingId}",
            Side::Operator,
            get(one).delete(remove),
        ),
    ]
}

/// A recording. It plays at the addresses of its stream, with a token if that was protected.
#[derive(Serialize, ToSchema)]
#[schema(as = Recording)]
#[serde(rename_all = "camelCase")]
struct View {
    /// A UUID, that of the stream.
    recording_id: String,
    /// The same.
    stream_id: String,
    channel_id: String,
    alias: String,
    name: String,
    capabilities: Vec<String>,
    tags: Vec<String>,
    started_unix_ms: i64,
    /// Null while it is made.
    #[schema(required)]
    ended_unix_ms: Option<i64>,
    duration_ms: u64,
    bytes: u64,
    /// Segments that could not be written in time; playlists state them as gaps.
    missed_segments: u64,
    /// `recording`, `paused` (nothing can be written now), `complete`, or `cut` (it ended before its stream).
    state: &'static str,
    /// Why it is paused or cut.
    #[schema(required)]
    reason: Option<String>,
    /// Its HLS playlist.
    hls: String,
    /// Its DASH manifest.
    dash: String,
    /// Where it is one file, for whoever may see this.
    download: String,
    /// Into how many files it is cut; null in lists and while it is made.
    #[schema(required)]
    parts: Option<usize>,
}

/// An answer with recordings.
#[derive(Serialize, ToSchema)]
#[schema(as = RecordingList)]
struct Page {
    /// `ok`.
    status: &'static str,
    /// Newest first.
    recordings: Vec<View>,
    /// What `after` is for those that follow; null at the end.
    #[schema(required)]
    next: Option<String>,
}

/// An answer with a recording.
#[derive(Serialize, ToSchema)]
#[schema(as = RecordingAnswer)]
struct One {
    /// `ok`.
    status: &'static str,
    recording: View,
}

/// What of a recording is downloaded.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes parameters")]
struct Chosen {
    /// Which picture, or a sound rendition alone; the best picture without it.
    rendition: Option<String>,
    /// Which part, counted from 1: another one begins where a codec configuration changes, and after
    /// twelve hours.
    #[param(minimum = 1)]
    part: Option<u64>,
}

/// What a download answers.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers")]
enum Downloaded {
    /// MP4. `Link` names the next part, if there is one.
    #[response(status = 200, content_type = "video/mp4")]
    Whole(#[to_schema] File),
    /// The range that was asked for.
    #[response(status = 206, content_type = "video/mp4")]
    Range(#[to_schema] File),
    /// It is being made.
    #[response(status = 409)]
    Busy(pcast::error::Body),
    /// The range lies behind the end.
    #[response(status = 416)]
    Behind,
}

/// An MP4 file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it describes answers")]
struct File(Vec<u8>);

#[utoipa::path(
    get, path = "/pcast/channel/{channelId}/recordings", tag = "recordings",
    operation_id = "listRecordings", summary = "Recordings of a channel, newest first",
    security(("basicAuth" = [])),
    params(
        ("channelId" = String, Path, example = "live",
            description = "Channel id, percent-encoded, or alias."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000,
            description = "Recordings in the answer, at most; 100 without it."),
        ("after" = Option<String>, Query,
            description = "Only those behind this one: `next` of the answer before."),
    ),
    responses((status = 200, description = "Newest first.", body = inline(Page)), Usual, Limited, Lookup,
        (status = 413, description = "`limit` is above 1000: `limit-too-large`.",
            body = inline(pcast::error::Body))),
)]
pub(super) async fn list(ByApplication(mut call): ByApplication) -> Answer {
    let channel = call.channel("channelId").await?;
    let query = call.query().await?;
    page(&call.state, &query, Some(&channel.id), &folder(&channel.id))
}

#[utoipa::path(
    get, path = "/pcast/channel/{channelId}/recordings/{recordingId}", tag = "recordings",
    operation_id = "fetchRecording", summary = "One recording of a channel",
    security(("basicAuth" = [])),
    params(("channelId" = String, Path, example = "live",
            description = "Channel id, percent-encoded, or alias."),
        ("recordingId" = String, Path, description = "Recording id, which is the stream's.")),
    responses((status = 200, description = "The recording.", body = inline(One)), Usual, Limited, Lookup),
)]
pub(super) async fn one(ByApplication(mut call): ByApplication) -> Answer {
    let channel = call.channel("channelId").await?;
    let name = call.parameter("recordingId").await?;
    if let Some(id) = name.strip_suffix(".mp4") {
        return download(call, &channel.id, id).await;
    }
    let found = find(&call.state, Some(&channel.id), &name)?;
    let recording = whole_view(&call.state, &found, &folder(&channel.id)).await?;
    let status = OK;
    Ok(json(StatusCode::OK, &One { status, recording }))
}

#[utoipa::path(
    get, path = "/pcast/channel/{channelId}/recordings/{recordingId}.mp4", tag = "recordings",
    operation_id = "downloadRecording", summary = "A recording of a channel as one MP4",
    security(("basicAuth" = [])),
    params(("channelId" = String, Path, example = "live",
            description = "Channel id, percent-encoded, or alias."),
        ("recordingId" = String, Path, description = "Recording id, which is the stream's."),
        Chosen),
    responses(Downloaded, Usual, Limited, Lookup),
)]
pub(super) async fn download(call: Call, channel: &str, id: &str) -> Answer {
    let found = find(&call.state, Some(channel), id)?;
    let library = call.state.setup().library.clone();
    movie::answer(&library, &found, call).await
}

#[utoipa::path(
    delete, path = "/pcast/channel/{channelId}/recordings/{recordingId}", tag = "recordings",
    operation_id = "deleteRecording", summary = "Delete a recording of a channel",
    security(("basicAuth" = [])),
    params(("channelId" = String, Path, example = "live",
            description = "Channel id, percent-encoded, or alias."),
        ("recordingId" = String, Path, description = "Recording id, which is the stream's.")),
    responses((status = 200, description = "It is gone.", body = inline(Done)), Usual, Lookup,
        (status = 409, description = "It is being made.", body = inline(pcast::error::Body))),
)]
pub(super) async fn remove(ByApplication(mut call): ByApplication) -> Answer {
    let channel = call.channel("channelId").await?;
    let id = call.parameter("recordingId").await?;
    delete(&call.state, Some(&channel.id), &id).await
}

#[utoipa::path(
    get, path = "/api/admin/recordings", tag = "operations", operation_id = "adminRecordings",
    summary = "Recordings, newest first, those of deleted channels too",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(
        ("channel" = Option<String>, Query, description = "Only those of this channel id."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000,
            description = "Recordings in the answer, at most; 100 without it."),
        ("after" = Option<String>, Query,
            description = "Only those behind this one: `next` of the answer before."),
    ),
    responses((status = 200, description = "Newest first.", body = inline(Page)), Usual,
        (status = 413, description = "`limit` is above 1000: `limit-too-large`.",
            body = inline(pcast::error::Body))),
)]
pub(super) async fn list_all(ByOperator(mut call): ByOperator) -> Answer {
    let query = call.query().await?;
    page(&call.state, &query, query.text("channel")?, ALL)
}

#[utoipa::path(
    get, path = "/api/admin/recordings/{recordingId}", tag = "operations",
    operation_id = "adminRecording", summary = "One recording",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(("recordingId" = String, Path, description = "Recording id, which is the stream's.")),
    responses((status = 200, description = "The recording.", body = inline(View)), Usual, Lookup),
)]
pub(super) async fn any(ByOperator(mut call): ByOperator) -> Answer {
    let name = call.parameter("recordingId").await?;
    if let Some(id) = name.strip_suffix(".mp4") {
        return download_any(call, id).await;
    }
    let found = find(&call.state, None, &name)?;
    let recording = whole_view(&call.state, &found, ALL).await?;
    Ok(json(StatusCode::OK, &recording))
}

#[utoipa::path(
    get, path = "/api/admin/recordings/{recordingId}.mp4", tag = "operations",
    operation_id = "adminRecordingMovie", summary = "A recording as one MP4",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(("recordingId" = String, Path, description = "Recording id, which is the stream's."), Chosen),
    responses(Downloaded, Usual, Lookup),
)]
pub(super) async fn download_any(call: Call, id: &str) -> Answer {
    let found = find(&call.state, None, id)?;
    let library = call.state.setup().library.clone();
    movie::answer(&library, &found, call).await
}

#[utoipa::path(
    delete, path = "/api/admin/recordings/{recordingId}", tag = "operations",
    operation_id = "adminDeleteRecording", summary = "Delete a recording",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(("recordingId" = String, Path, description = "Recording id, which is the stream's.")),
    responses((status = 200, description = "It is gone.", body = inline(Done)), Usual, Lookup,
        (status = 409, description = "It is being made.", body = inline(pcast::error::Body))),
)]
pub(super) async fn delete_any(ByOperator(mut call): ByOperator) -> Answer {
    let id = call.parameter("recordingId").await?;
    delete(&call.state, None, &id).await
}

/// Where the recordings of a channel are.
fn folder(channel: &str) -> String {
    format!("/pcast/channel/{}/recordings", escaped(channel))
}

/// The recording of this id, if it is one of the channel, or of any channel.
fn find(state: &State, channel: Option<&str>, id: &str) -> Result<Summary, Error> {
    let found = Uuid::parse_str(id).ok();
    let found = found.and_then(|id| state.setup().library.get(id));
    found
        .filter(|found| channel.is_none_or(|channel| found.about.channel_id == channel))
        .ok_or(Error::NotFound("recording"))
}

/// A page of those of a channel, or of all channels.
fn page(state: &State, query: &Parameters, channel: Option<&str>, folder: &str) -> Answer {
    let limit = query.limit(PAGE, MAX_PAGE)?;
    let after = match query.text("after")? {
        None => None,
        Some(id) => {
            let unknown = |_| Error::Bad("after is no recording here".to_owned());
            Some(find(state, channel, id).map_err(unknown)?.about.id)
        }
    };
    let mut found = state.setup().library.list(channel, after, limit + 1);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more);
    let answer = Page {
        status: OK,
        next: next.map(|last| last.about.id.to_string()),
        recordings: found
            .iter()
            .map(|found| view(state, found, folder))
            .collect(),
    };
    Ok(json(StatusCode::OK, &answer))
}

async fn delete(state: &State, channel: Option<&str>, id: &str) -> Answer {
    let id = find(state, channel, id)?.about.id;
    let library = state.setup().library.clone();
    match tokio::task::spawn_blocking(move || library.delete(id)).await {
        Ok(Ok(())) => Ok(done()),
        Ok(Err(Refusal::Unknown)) => Err(Error::NotFound("recording")),
        Ok(Err(Refusal::Busy)) => Err(Error::Conflict(Refusal::Busy.to_string())),
        Ok(Err(Refusal::Failed)) | Err(_) => Err(Error::Internal),
    }
}

/// With what its index has to be read for.
async fn whole_view(state: &State, summary: &Summary, folder: &str) -> Result<View, Error> {
    let parts = state.setup().library.parts(summary.about.id).await;
    let parts = parts.map_err(|err| {
        tracing::error!(%err, recording = %summary.about.id, "recording cannot be read");
        Error::Internal
    })?;
    let view = view(state, summary, folder);
    Ok(View { parts, ..view })
}

fn view(state: &State, summary: &Summary, folder: &str) -> View {
    let about = &summary.about;
    let id = about.id;
    let setup = state.setup();
    let base = |set: &Option<String>, default: &str| set.as_deref().unwrap_or(default).to_owned();
    let hls = base(&setup.hls_base, "/hls");
    let dash = base(&setup.dash_base, "/dash");
    View {
        recording_id: id.to_string(),
        stream_id: id.to_string(),
        channel_id: about.channel_id.clone(),
        alias: about.alias.clone(),
        name: about.name.clone(),
        capabilities: about.capabilities.clone(),
        tags: about.tags.clone(),
        started_unix_ms: about.started.unix_millis(),
        ended_unix_ms: summary.ended.map(|ended| ended.unix_millis()),
        duration_ms: u64::try_from(summary.duration.as_millis()).unwrap_or(u64::MAX),
        bytes: summary.bytes,
        missed_segments: summary.missed,
        state: summary.outcome.word(),
        reason: summary.outcome.reason().map(str::to_owned),
        hls: format!("{hls}/{id}/index.m3u8"),
        dash: format!("{dash}/{id}/manifest.mpd"),
        download: format!("{folder}/{id}.mp4"),
        parts: None,
    }
}
