//! Runs of scheduled events as watch pages show them: each has a page before it has a broadcast. In: an id, of a
//! run's stream or of an event. Out: when it begins, when the next one does, and where viewers learn which moment
//! of it everybody sees.

use serde::Serialize;
use utoipa::ToSchema;

use super::View;
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::control::State;
use crate::control::api::address::Bases;
use crate::control::api::event::sync::TARGET_LATENCY;
use crate::control::api::time::{milliseconds, seconds};
use crate::control::api::{Call, Error};
use crate::store::{self, AssetState, CutKind, Event, EventStatus, ShowRow, Status, Store};

/// One run of an event.
pub(in crate::control) struct Run {
    pub(in crate::control) event: Event,
    pub(in crate::control) stream: Uuid,
    /// `None`: it has been over for long.
    show: Option<ShowRow>,
}

/// The scheduled event of which this is a run.
#[derive(Serialize, ToSchema)]
#[schema(as = EventForViewers)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventView {
    id: String,
    /// When this run begins.
    #[schema(value_type = String, format = DateTime)]
    starts_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    ends_at: Option<String>,
    /// Now, by the gateway's clock, with milliseconds.
    #[schema(value_type = String, format = DateTime)]
    server_time: String,
    /// Path of what tells the position (contract, broadcasts, section 7).
    #[schema(example = "/api/events/6d5c2b1e-0000-4000-8000-000000000000/sync")]
    sync_url: String,
    /// Seconds by which all viewers are behind.
    target_latency: f64,
    /// The run after this one, when this one is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    next: Option<Next>,
}

/// The next run.
#[derive(Serialize, ToSchema)]
#[schema(as = NextRunForViewers)]
#[serde(rename_all = "camelCase")]
struct Next {
    stream_id: String,
    #[schema(value_type = String, format = DateTime)]
    starts_at: String,
}

/// The run of this stream as this process knows it: every viewer asks now and then.
pub(super) fn known(state: &State, stream: Uuid) -> Option<Run> {
    state.setup().playbill.of_stream(stream).map(|entry| Run {
        event: entry.event.clone(),
        stream,
        show: Some(entry.show.clone()),
    })
}

/// The run of this stream, or the one of an event that is on or comes next.
pub(in crate::control) async fn find(state: &State, id: &str) -> Result<Option<Run>, store::Error> {
    let Ok(id) = Uuid::parse_str(id) else {
        return Ok(None);
    };
    let setup = state.setup();
    let of_event = |event| {
        setup
            .playbill
            .of_event(event)
            .map(|entry| entry.show.stream_id)
    };
    if let Some(run) = known(state, of_event(id).unwrap_or(id)) {
        return Ok(Some(run));
    }
    // Another gateway has made it a moment ago, or it is over for long.
    let store = &setup.store;
    match store.event_of_stream(id).await? {
        Some(event) => of(store, event, id).await.map(Some),
        None => match store.event(id).await? {
            Some(event) => {
                let stream = event.stream_id;
                of(store, event, stream).await.map(Some)
            }
            None => Ok(None),
        },
    }
}

async fn of(store: &Store, event: Event, stream: Uuid) -> Result<Run, store::Error> {
    let show = store.show(stream).await?;
    Ok(Run {
        event,
        stream,
        show,
    })
}

impl Run {
    /// How a broadcast of it would stand, were there one.
    pub(in crate::control) fn status(&self) -> Status {
        match self.event.status {
            _ if self.event.stream_id != self.stream => Status::Completed,
            EventStatus::Scheduled => Status::Created,
            EventStatus::Active => Status::Active,
            EventStatus::Completed => Status::Completed,
            EventStatus::Error => Status::Error,
        }
    }

    /// Whether there is something to play: before the film the picture with its title.
    pub(super) async fn is_playing(&self, store: &Store, now: Wall) -> Result<bool, store::Error> {
        let Some(show) = self.show.as_ref().filter(|show| show.ended.is_none()) else {
            return Ok(false);
        };
        // 100 us are 9 ticks.
        let time_90k = now.0.saturating_sub(show.epoch.0).saturating_mul(9) / 100;
        let on = show.cuts.iter().rfind(|cut| cut.at_90k <= time_90k);
        let asset = match (on, show.asset_id) {
            (Some(cut), Some(asset)) if cut.kind != CutKind::End => store.asset(asset).await?,
            _ => None,
        };
        Ok(asset.is_some_and(|asset| match asset.state {
            AssetState::Prepared => true,
            AssetState::Preparing => asset.progress > 0,
            AssetState::Uploading | AssetState::Uploaded | AssetState::Failed => false,
        }))
    }

    pub(super) fn view(&self, now: Wall) -> EventView {
        let event = &self.event;
        let (starts, ends) = match &self.show {
            Some(show) => (show.starts, show.ends),
            None => (event.starts, event.ends),
        };
        let is_other = event.stream_id != self.stream && !event.status.is_over();
        EventView {
            id: event.id.to_string(),
            starts_at: seconds(starts),
            ends_at: ends.map(seconds),
            server_time: milliseconds(now),
            sync_url: format!("/api/events/{}/sync", event.id),
            target_latency: TARGET_LATENCY,
            next: is_other.then(|| Next {
                stream_id: event.stream_id.to_string(),
                starts_at: seconds(event.starts),
            }),
        }
    }
}

impl Call {
    /// What is shown of a run that the path names, before there is a broadcast of it. Another tenant's is not there.
    pub(super) async fn coming(&mut self) -> Result<Option<Run>, Error> {
        let id = self.parameter("id").await?;
        let Some(run) = find(&self.state, &id).await? else {
            return Ok(None);
        };
        let caller = &self.caller;
        let may_watch = caller.is_anonymous()
            || caller.is_operator
            || caller.tenant.id == run.event.application_id;
        // One that is private stays so.
        let stream = run.stream.to_string();
        let store = &self.state.setup().store;
        let is_begun = store.find_broadcast(&stream).await?.is_some();
        Ok((may_watch && !is_begun).then_some(run))
    }
}

/// A page of what is to come.
pub(super) async fn view<'a>(
    state: &State,
    bases: &Bases,
    run: &'a Run,
) -> Result<View<'a>, Error> {
    let setup = state.setup();
    let (stream, now) = (run.stream, setup.clock.wall());
    Ok(View {
        id: None,
        stream_id: stream.to_string(),
        short_id: None,
        title: &run.event.title,
        description: run.event.description.as_deref(),
        status: run.status().word(),
        on_air: run.is_playing(&setup.store, now).await?,
        viewers: setup.measurements.viewers(stream),
        poster: None,
        started_at: None,
        ended_at: None,
        hls_url: bases.hls_url(stream),
        dash_url: bases.dash_url(stream),
        watch_url: bases.watch_url(stream),
        chat: None,
        event: Some(run.view(now)),
    })
}
