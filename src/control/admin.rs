//! `/api/admin`: streams with their publishers, findings and history, and the verb to switch by hand;
//! channels and applications.

pub(super) mod applications;
pub(super) mod broadcasts;
pub(super) mod channels;
pub(super) mod events;
pub(super) mod film;
pub(super) mod forwards;

use axum::Json;
use axum::extract::{Path, Request, State as Extract};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::pcast::call::whole;
use super::{Error, Side, State, auth};
use crate::base::id::Uuid;
use crate::hub::doctor::Finding;
use crate::hub::story::{self, Incident};
use crate::hub::{Health, Link, MemberStatus, SwitchError};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StreamView {
    pub(super) stream_id: String,
    channel_id: String,
    alias: String,
    current: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_stream_id: Option<String>,
    capabilities: Vec<String>,
    tags: Vec<String>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cover: Option<&'static str>,
    since_unix_ms: i64,
    viewers: u64,
    has_thumbnail: bool,
    publishers: Vec<PublisherView>,
    findings: Vec<FindingView>,
    rungs: Vec<RungView>,
    repairs: RepairsView,
    /// Where its channel goes: rooms and other destinations.
    forwards: Vec<forwards::View>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) history: Option<Vec<IncidentView>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PublisherView {
    id: u64,
    proto: &'static str,
    peer: String,
    encoder: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored_capabilities: Vec<String>,
    state: &'static str,
    on_air: bool,
    reason: String,
    bitrate_bps: u64,
    frame_rate: f64,
    delay_ms: u64,
    key_interval_ms: Option<u64>,
    stalls: u64,
    stall_ms: u64,
    drift_ppm: Option<f64>,
    link: Option<LinkView>,
    video: Option<TrackView>,
    audio: Option<TrackView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LinkView {
    rtt_ms: f64,
    latency_ms: u64,
    buffer_ms: u64,
    packets: u64,
    lost_packets: u64,
    retransmitted_packets: u64,
    dropped_packets: u64,
    undecrypted_packets: u64,
    encrypted: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TrackView {
    codec: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample_rate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<u8>,
}

#[derive(Serialize)]
struct FindingView {
    publisher: u64,
    code: &'static str,
    severity: &'static str,
    text: String,
    remedy: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RungView {
    name: String,
    lag_ms: u64,
    speed: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RepairsView {
    time_jumps: u64,
    overlapping_frames: u64,
    silent_frames: u64,
    dropped_units: u64,
    long_gops: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IncidentView {
    at_unix_ms: i64,
    kind: &'static str,
    text: String,
}

/// What the verb to switch takes.
#[derive(Deserialize)]
struct Switch {
    publisher: u64,
}

/// Routes of channels and applications.
pub(super) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    use Side::Operator;
    vec![
        (
            "/api/admin/applications",
            Operator,
            get(applications::list).post(applications::add),
        ),
        (
            "/api/admin/applications/{applicationId}",
            Operator,
            delete(applications::remove),
        ),
        (
            "/api/admin/applications/{applicationId}/secret",
            Operator,
            post(applications::rotate),
        ),
        ("/api/admin/broadcasts", Operator, get(broadcasts::list)),
        (
            "/api/admin/channels",
            Operator,
            get(channels::list).put(channels::create),
        ),
        (
            "/api/admin/channels/{channelId}",
            Operator,
            get(channels::fetch).delete(channels::remove),
        ),
        (
            "/api/admin/channels/{channelId}/members",
            Operator,
            get(channels::members),
        ),
        (
            "/api/admin/channels/{channelId}/kill",
            Operator,
            put(channels::kill),
        ),
        (
            "/api/admin/channels/{channelId}/fork/{sourceChannelId}",
            Operator,
            put(channels::fork),
        ),
        (
            "/api/admin/channels/{channelId}/forwards",
            Operator,
            get(forwards::list).post(forwards::add),
        ),
        (
            "/api/admin/channels/{channelId}/forwards/{forwardId}",
            Operator,
            delete(forwards::remove),
        ),
        (
            "/api/admin/channels/{channelId}/key",
            Operator,
            get(channels::key).post(channels::rotate),
        ),
        (
            "/api/admin/channels/{channelId}/message",
            Operator,
            put(channels::send),
        ),
        (
            "/api/admin/channels/{channelId}/messages",
            Operator,
            get(channels::messages).delete(channels::purge),
        ),
        (
            "/api/admin/events/{id}/film/{name}",
            Operator,
            get(film::read),
        ),
        ("/api/admin/events", Operator, post(events::create)),
    ]
}

pub(super) async fn list(Extract(state): Extract<State>, headers: HeaderMap) -> Response {
    if let Err(refused) = operator(&state, &headers) {
        return refused.into_response();
    }
    answer(views(&state))
}

/// Every stream, by alias.
pub(super) fn views(state: &State) -> Vec<StreamView> {
    let mut streams = state.setup().live.health();
    streams.sort_by(|a, b| (&a.alias, a.id).cmp(&(&b.alias, b.id)));
    let streams = streams.into_iter().map(|health| view(state, health));
    streams.collect()
}

pub(super) async fn one(
    Extract(state): Extract<State>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    match operator(&state, &headers).and_then(|()| find(&state, &id)) {
        Ok(health) => answer(view(&state, health)),
        Err(refused) => refused.into_response(),
    }
}

/// The stream's newest picture, for operators: protected streams have one too.
pub(super) async fn thumbnail(
    Extract(state): Extract<State>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let picture = operator(&state, &headers).and_then(|()| {
        let id = Uuid::parse_str(&id).map_err(|_| Error::NotFound)?;
        state.setup().live.thumbnail(id).ok_or(Error::NotFound)
    });
    let headers = [
        (header::CONTENT_TYPE, "image/jpeg"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    picture.map_or_else(IntoResponse::into_response, |picture| {
        (headers, picture).into_response()
    })
}

pub(super) async fn switch(
    Extract(state): Extract<State>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let found = operator(&state, &parts.headers).and_then(|()| find(&state, &id));
    let stream = match found {
        Ok(health) => health.id,
        Err(refused) => return refused.into_response(),
    };
    let body = match whole(&parts.headers, body).await {
        Ok(body) => body,
        Err(refused) => return refused.into_response(),
    };
    let Ok(Switch { publisher }) = serde_json::from_slice(&body) else {
        return Error::BadRequest.into_response();
    };
    match state.setup().live.switch(stream, publisher) {
        Ok(()) => answer(json!({ "status": "ok" })),
        Err(why) => {
            let error = match why {
                SwitchError::Unknown(_) => Error::NotFound,
                SwitchError::OnAir(_) | SwitchError::Silent(_) | SwitchError::Ended => {
                    Error::Conflict
                }
            };
            let body = json!({ "status": error.to_string(), "reason": why.to_string() });
            (error.status(), Json(body)).into_response()
        }
    }
}

fn operator(state: &State, headers: &HeaderMap) -> Result<(), Error> {
    match auth::is_operator(state, headers) {
        true => Ok(()),
        false => Err(Error::Unauthorized),
    }
}

fn find(state: &State, id: &str) -> Result<Health, Error> {
    let id = Uuid::parse_str(id).map_err(|_| Error::NotFound)?;
    state.setup().live.health_of(id).ok_or(Error::NotFound)
}

fn answer(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn view(state: &State, health: Health) -> StreamView {
    let measurements = &state.setup().measurements;
    let rungs = measurements.rungs(health.id).into_iter();
    let findings = health.members.iter().flat_map(|member| {
        let findings = member.findings.iter().cloned();
        findings.map(|found| finding(member.id, found))
    });
    let repairs = health.repairs;
    let live = &state.setup().live;
    let current = live.on_air(&health.channel_id).map(|stream| stream.id);
    let origin = live.origin(health.id);
    StreamView {
        forwards: forwards::running(state, &health.channel_id),
        stream_id: health.id.to_string(),
        channel_id: health.channel_id,
        alias: health.alias,
        current: current == Some(health.id),
        origin_stream_id: (origin != health.id).then(|| origin.to_string()),
        capabilities: health.capabilities,
        tags: health.tags,
        state: health.state.word(),
        cover: match health.state {
            story::State::Hole(cover) => Some(cover.word()),
            _ => None,
        },
        since_unix_ms: health.since.unix_millis(),
        viewers: measurements.viewers(health.id),
        has_thumbnail: live.thumbnail(health.id).is_some(),
        findings: findings.collect(),
        publishers: health.members.into_iter().map(publisher).collect(),
        rungs: rungs
            .map(|rung| RungView {
                name: rung.rung,
                lag_ms: millis(rung.lag_seconds),
                speed: rung.speed_ratio,
            })
            .collect(),
        repairs: RepairsView {
            time_jumps: repairs.time_jumps,
            overlapping_frames: repairs.overlapping_frames,
            silent_frames: repairs.silent_frames,
            dropped_units: repairs.dropped_units,
            long_gops: repairs.long_gops,
        },
        history: Some(health.history.into_iter().map(incident).collect()),
    }
}

fn publisher(member: MemberStatus) -> PublisherView {
    let facts = member.facts;
    let keys = facts.keys;
    let [video, audio] = [facts.video.track, facts.audio.track].map(|track| {
        track.map(|track| TrackView {
            codec: track.codec_string(),
            width: track.resolution().map(|(width, _)| width),
            height: track.resolution().map(|(_, height)| height),
            sample_rate: track.sample_rate(),
            channels: track.channels(),
        })
    });
    PublisherView {
        id: member.id,
        proto: member.proto,
        peer: member.peer.to_string(),
        encoder: facts.encoder,
        ignored_capabilities: member.ignored_capabilities,
        state: member.standing.word(),
        on_air: member.on_air,
        reason: member.reason,
        bitrate_bps: facts.bitrate_bps.round() as u64,
        frame_rate: (facts.frame_rate * 100.0).round() / 100.0,
        delay_ms: millis(facts.lag_seconds),
        key_interval_ms: keys.last_seconds.map(|_| millis(keys.longest_seconds)),
        stalls: facts.stalls,
        stall_ms: millis(facts.stall_seconds),
        drift_ppm: facts.drift_ppm.map(f64::round),
        link: facts.link.map(link),
        video,
        audio,
    }
}

fn link(link: Link) -> LinkView {
    LinkView {
        // Lines within a building have less than a millisecond.
        rtt_ms: (link.rtt.as_secs_f64() * 10_000.0).round() / 10.0,
        latency_ms: millis(link.latency.as_secs_f64()),
        buffer_ms: millis(link.buffer.as_secs_f64()),
        packets: link.packets,
        lost_packets: link.lost_packets,
        retransmitted_packets: link.retransmitted_packets,
        dropped_packets: link.dropped_packets,
        undecrypted_packets: link.undecrypted_packets,
        encrypted: link.encrypted,
    }
}

fn finding(publisher: u64, finding: Finding) -> FindingView {
    FindingView {
        publisher,
        code: finding.code,
        severity: finding.severity.word(),
        text: finding.text,
        remedy: finding.remedy,
    }
}

fn incident(incident: Incident) -> IncidentView {
    IncidentView {
        at_unix_ms: incident.at.unix_millis(),
        kind: incident.kind,
        text: incident.text,
    }
}

/// Whole milliseconds; a measured time is never negative by more than rounding.
fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0).round() as u64
}
