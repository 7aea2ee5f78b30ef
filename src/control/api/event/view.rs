//! Events as callers see them (contract, broadcasts, section 7).

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::Playbill;
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::control::api::address::Bases;
use crate::control::api::time::seconds;
use crate::control::api::{Call, Error};
use crate::films::Arriving;
use crate::store::{Asset, AssetKind, AssetState, Event};

/// A scheduled event.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct View {
    #[schema(format = "uuid")]
    id: String,
    title: String,
    #[schema(required = true)]
    description: Option<String>,
    /// Of the run that is on or comes next, in UTC.
    #[schema(format = DateTime)]
    scheduled_start_time: String,
    /// When it is over at the latest; null: with its file.
    #[schema(required = true, format = DateTime)]
    scheduled_end_time: Option<String>,
    /// IANA name of the zone in which repeats are counted.
    time_zone: String,
    /// `none`, `daily`, `weekly`, `monthly` or `until_end`.
    repeat_mode: &'static str,
    /// With `until_end`: whether the file begins anew until the event's end.
    repeat_until_end: bool,
    /// `scheduled`, `active`, `completed` or `error`. One that repeats is scheduled again after each run.
    status: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Its owner.
    #[schema(format = "uuid")]
    user_id: String,
    /// The channel whose name leads to it while it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_id: Option<String>,
    /// What was uploaded last, or is on its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<File>,
    /// Where the content plays, as soon as there is some.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_url: Option<String>,
    /// Of the uploaded file, as its name has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_filename: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_size_bytes: Option<u64>,
    /// Seconds, when it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_duration: Option<f64>,
    /// The broadcast of the run that is on, or was last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    broadcast_id: Option<String>,
    /// The stream of the run that is on or comes next, or was last, and the name of its room.
    #[schema(format = "uuid")]
    stream_id: String,
    hls_url: String,
    dash_url: String,
    watch_url: String,
    /// When the file began to play.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    playback_started_at: Option<String>,
    /// Seconds into the file, at the moment of the answer. 0 before it plays.
    current_playback_position: f64,
    /// Whether its owner's encoder is on in the place of the file.
    live: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// The uploaded file of an event.
#[derive(Serialize, ToSchema)]
#[schema(as = EventFile)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct File {
    name: String,
    /// `video` or `audio`, when it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    /// Of all of it; those that came so far while it is `uploading`.
    bytes: u64,
    /// Hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// `uploading`, `uploaded`, `preparing`, `prepared` or `failed`.
    state: &'static str,
    /// Percent that came while it is `uploading`, then those that are prepared.
    #[schema(maximum = 100)]
    progress: u32,
    /// Why it cannot be prepared.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Seconds, when it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<f64>,
}

impl File {
    /// Of what is on its way. What was uploaded before is in its place while nothing comes, if it can be shown.
    fn of_event(asset: Option<&Asset>, arriving: Option<&Arriving>) -> Option<File> {
        let is_there = asset.is_some_and(|asset| asset.state != AssetState::Failed);
        match arriving.filter(|arriving| arriving.is_written || !is_there) {
            Some(arriving) => Some(File::arriving(arriving)),
            None => asset.map(File::of),
        }
    }

    fn arriving(arriving: &Arriving) -> File {
        let Arriving {
            upload, received, ..
        } = arriving;
        let percent = received.saturating_mul(100) / upload.length.max(1);
        File {
            name: upload.name.clone(),
            kind: None,
            bytes: *received,
            sha256: None,
            state: AssetState::Uploading.word(),
            progress: u32::try_from(percent).unwrap_or(100).min(100),
            error: None,
            duration: None,
        }
    }

    fn of(asset: &Asset) -> File {
        File {
            name: asset.name.clone(),
            kind: asset.kind.map(AssetKind::word),
            bytes: asset.bytes,
            sha256: asset.sha256.clone(),
            state: asset.state.word(),
            progress: asset.progress,
            error: asset.error.clone(),
            duration: asset.duration_us.map(in_seconds),
        }
    }
}

impl View {
    fn of(
        event: &Event,
        (asset, arriving): (Option<&Asset>, Option<&Arriving>),
        bases: &Bases,
        (playbill, now): (&Playbill, Wall),
    ) -> View {
        let stream = event.stream_id;
        let on = playbill.of_stream(stream).filter(|entry| entry.is_active());
        // As `/sync` says it.
        let position = on.map(|entry| playbill.position(&entry, now));
        let position = position.unwrap_or_default();
        let is_there = asset.is_some_and(|asset| asset.state != AssetState::Failed);
        View {
            id: event.id.to_string(),
            title: event.title.clone(),
            description: event.description.clone(),
            scheduled_start_time: seconds(event.starts),
            scheduled_end_time: event.ends.map(seconds),
            time_zone: event.time_zone.clone(),
            repeat_mode: event.repeat.word(),
            repeat_until_end: event.repeat_until_end,
            status: event.status.word(),
            error: event.error.clone(),
            user_id: event.user_id.to_string(),
            channel_id: event.channel_id.clone(),
            file: File::of_event(asset, arriving),
            content_url: is_there.then(|| bases.hls_url(stream)),
            content_mime_type: asset.and_then(mime_type),
            content_filename: asset.map(|asset| asset.name.clone()),
            content_size_bytes: asset.map(|asset| asset.bytes),
            content_duration: asset.and_then(|asset| asset.duration_us).map(in_seconds),
            broadcast_id: event.broadcast_id.map(|id| id.to_string()),
            stream_id: stream.to_string(),
            hls_url: bases.hls_url(stream),
            dash_url: bases.dash_url(stream),
            watch_url: bases.watch_url(stream),
            playback_started_at: event.playback_started.map(seconds),
            current_playback_position: position.seconds,
            live: position.live,
            created_at: seconds(event.created),
            updated_at: seconds(event.updated),
        }
    }
}

fn in_seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

/// The type that the name of a file promises, of what it is (contract, broadcasts, section 7: mp4, mov, webm, mp3,
/// wav, m4a, aac).
fn mime_type(asset: &Asset) -> Option<&'static str> {
    let (_, extension) = asset.name.rsplit_once('.')?;
    Some(match (&*extension.to_ascii_lowercase(), asset.kind?) {
        ("mp4" | "m4v", AssetKind::Video) => "video/mp4",
        ("mov", AssetKind::Video) => "video/quicktime",
        ("webm", AssetKind::Video) => "video/webm",
        ("mp4" | "m4a", AssetKind::Audio) => "audio/mp4",
        ("webm", AssetKind::Audio) => "audio/webm",
        ("mp3", AssetKind::Audio) => "audio/mpeg",
        ("wav", AssetKind::Audio) => "audio/wav",
        ("aac", AssetKind::Audio) => "audio/aac",
        _ => return None,
    })
}

/// What everybody sees of events.
pub(in crate::control) fn many(
    call: &Call,
    events: Vec<Event>,
) -> impl Future<Output = Result<Vec<View>, Error>> + Send + use<> {
    let (bases, setup) = (call.bases(), call.state.setup());
    let (store, now) = (setup.store.clone(), setup.clock.wall());
    let playbill = setup.playbill.clone();
    let arriving = setup
        .films
        .coming_of(&events.iter().map(|event| event.id).collect());
    async move {
        let ids: Vec<Uuid> = events.iter().filter_map(|event| event.asset_id).collect();
        let assets = store.assets(&ids).await?.into_iter();
        let assets: HashMap<Uuid, Asset> = assets.map(|asset| (asset.id, asset)).collect();
        let view = |event: &Event| {
            let asset = event.asset_id.and_then(|id| assets.get(&id));
            let files = (asset, arriving.get(&event.id));
            View::of(event, files, &bases, (&playbill, now))
        };
        Ok(events.iter().map(view).collect())
    }
}

/// The same of one.
pub(in crate::control) fn one(
    call: &Call,
    event: Event,
) -> impl Future<Output = Result<View, Error>> + Send + use<> {
    let views = many(call, vec![event]);
    async { Ok(views.await?.remove(0)) }
}
