//! Where an event is at this moment, for everybody who watches it (contract, broadcasts, section 7). From memory:
//! every viewer asks now and then.

use serde::Serialize;
use utoipa::ToSchema;

use super::playbill::{Entry, Playbill};
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::base::rfc3339::Rfc3339;
use crate::control::api::address::Bases;
use crate::control::api::answer::{Answer, ok};
use crate::control::api::docs::{Lookup, Usual};
use crate::control::api::time::seconds;
use crate::control::api::{Call, Error};
use crate::media::Timescale;
use crate::store::{Event, EventStatus};

/// How far behind the position viewers show it, seconds: what HLS and DASH players of all kinds can keep, in
/// front of a CDN too.
pub(in crate::control) const TARGET_LATENCY: f64 = 3.0;
/// Where a film begins.
const INITIAL_POSITION: f64 = 0.0;

/// Where an event is.
#[derive(Serialize, ToSchema)]
#[schema(as = EventSync)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct View {
    event_id: String,
    /// Stream of the run that is on or comes next.
    stream_id: String,
    /// `scheduled`, `active`, `completed` or `error`.
    status: &'static str,
    /// Whether the film, or an encoder in its place, is on.
    is_playing: bool,
    /// Whether that is an encoder.
    live: bool,
    /// Seconds into the film at `serverTime`: at most its length, and modulo that where it loops.
    current_position: f64,
    /// The same under its other name.
    current_playback_position: f64,
    /// Position at `playbackStartedAt`.
    initial_position: f64,
    /// When the film began, a whole second; null before.
    #[schema(required = true, format = DateTime)]
    playback_started_at: Option<String>,
    /// With milliseconds.
    #[schema(format = DateTime)]
    server_time: String,
    /// Length of the film in seconds, which is that of one turn where it loops; null: it is not known yet.
    #[schema(required = true)]
    duration: Option<f64>,
    /// Whether the film begins again when it is over, until the event is.
    looping: bool,
    /// How often the film began again.
    loop_index: u64,
    /// Where it plays.
    hls_url: String,
    /// How far behind `currentPosition` all viewers are meant to be, in seconds.
    target_latency: f64,
}

#[utoipa::path(
    get, path = "/api/events/{id}/sync", tag = "events", operation_id = "eventSync",
    summary = "Where an event is at this moment",
    description = "Asked several times, the answer with the shortest round trip tells the difference of the \
        clocks; from then on positions can be counted.",
    security((), ("apiKey" = []), ("userToken" = [])),
    params(("id" = String, Path, description = "Id of the event, or of a stream of it.")),
    responses((status = 200, description = "Its position.", body = inline(View)), Usual, Lookup),
)]
pub(in crate::control) async fn show(mut call: Call) -> Answer {
    let missing = || Error::NotFound("event");
    let id = call.parameter("id").await?;
    let id = Uuid::parse_str(&id).map_err(|_| missing())?;
    let setup = call.state.setup();
    let (playbill, caller) = (&setup.playbill, &call.caller);
    let (now, bases) = (setup.clock.wall(), call.bases());
    let is_there = |event: &Event| {
        let is_tenants = event.application_id == caller.tenant.id;
        is_tenants || caller.is_anonymous() || caller.is_operator
    };
    if let Some(entry) = playbill.of_event(id).or_else(|| playbill.of_stream(id)) {
        return match is_there(&entry.event) {
            true => Ok(ok(&View::of((playbill, &bases), &entry, now))),
            false => Err(missing()),
        };
    }
    // It is over for long, or another gateway has made it a moment ago.
    let event = setup.store.event(id).await?.filter(is_there);
    let event = event.ok_or_else(missing)?;
    Ok(ok(&View::waiting(&event, &bases, now)))
}

impl View {
    /// Of a run.
    pub(in crate::control) fn of(
        (playbill, bases): (&Playbill, &Bases),
        entry: &Entry,
        now: Wall,
    ) -> View {
        let position = playbill.position(entry, now);
        let facts = entry.show.asset_id.and_then(|asset| playbill.facts(asset));
        let period = facts.and_then(|facts| facts.grid()?.period());
        let has_begun = entry.event.playback_started.is_some() && entry.is_current();
        let seconds = match has_begun {
            true => position.seconds,
            false => INITIAL_POSITION,
        };
        View {
            stream_id: entry.show.stream_id.to_string(),
            is_playing: position.playing && has_begun,
            live: position.live,
            current_position: seconds,
            current_playback_position: seconds,
            duration: period.map(|period| period.seconds(Timescale::CHANNEL)),
            looping: entry.show.looping,
            loop_index: position.loop_index,
            hls_url: bases.hls_url(entry.show.stream_id),
            ..View::waiting(&entry.event, bases, now)
        }
    }

    /// Of an event of which nothing is on.
    fn waiting(event: &Event, bases: &Bases, now: Wall) -> View {
        let started = event.playback_started;
        let started = started.filter(|_| event.status != EventStatus::Scheduled);
        View {
            event_id: event.id.to_string(),
            stream_id: event.stream_id.to_string(),
            status: event.status.word(),
            is_playing: false,
            live: false,
            current_position: INITIAL_POSITION,
            current_playback_position: INITIAL_POSITION,
            initial_position: INITIAL_POSITION,
            playback_started_at: started.map(seconds),
            server_time: Rfc3339(now).millis(),
            duration: None,
            looping: event.is_looping(),
            loop_index: 0,
            hls_url: bases.hls_url(event.stream_id),
            target_latency: TARGET_LATENCY,
        }
    }
}
