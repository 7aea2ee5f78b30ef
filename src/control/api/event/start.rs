//! An event is started by hand, or given back to its film (contract, broadcasts, section 7).

use std::sync::Arc;

use super::cuts::film_of;
use super::decision::{self, Content};
use super::recurrence::{Slot, clash};
use super::{takeover, view};
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::control::State;
use crate::control::api::answer::{Answer, ok};
use crate::control::api::docs::{ById, Conflicting, Lookup, Usual};
use crate::control::api::{ByUser, Error, to_the_end};
use crate::playout::Facts;
use crate::store::{self, AssetState, Event, EventStatus, ShowRow, Store};

#[utoipa::path(
    post, path = "/api/events/{id}/start-video", tag = "events", operation_id = "startEventVideo",
    summary = "Start an event now, or give its stream back to the film",
    description = "The film begins at the next whole second that is a second and a half away or more. Of an event \
        that is on already nothing changes, unless an encoder is called for: then the film returns, at the position \
        that the clock says.",
    security(("userToken" = [])), params(ById),
    responses((status = 200, description = "As it is now.", body = inline(view::View)), Usual, Lookup,
        Conflicting),
)]
pub(in crate::control) async fn start(ByUser(mut call, user): ByUser) -> Answer {
    let event = call.event_of(&user).await?;
    let event = begin(&call.state, event.id).await?;
    Ok(ok(&view::one(&call, event).await?))
}

/// Starts an event, or gives it back, to the end.
pub(super) async fn begin(state: &State, id: Uuid) -> Result<Event, Error> {
    let event = state.setup().store.event(id).await?;
    let event = event.ok_or(Error::NotFound("event"))?;
    match event.status {
        EventStatus::Active if event.takeover => takeover::give_back(state, id).await,
        EventStatus::Active => Ok(event),
        EventStatus::Completed => Err(Error::Conflict("the event is over".to_owned())),
        EventStatus::Scheduled | EventStatus::Error => {
            let then = state.clone();
            to_the_end(state, async move { begin_film(&then, event).await }).await
        }
    }
}

async fn begin_film(state: &State, event: Event) -> Result<Event, Error> {
    let setup = state.setup();
    match content(&setup.store, &event).await? {
        Content::There => {}
        Content::Missing => return Err(Error::Conflict("no file was uploaded".to_owned())),
        Content::Broken => return Err(Error::Conflict("its file cannot be played".to_owned())),
    }
    let facts = facts(state, &event);
    let change = |event: &mut Event, run: &mut ShowRow| {
        let now = setup.clock.wall();
        if !matches!(event.status, EventStatus::Scheduled | EventStatus::Error) {
            return Err(Error::Conflict(
                "the event is not waiting any more".to_owned(),
            ));
        }
        let at = decision::by_hand(now);
        if event.ends.is_some_and(|ends| ends <= at) {
            return Err(Error::Conflict("the event's end has passed".to_owned()));
        }
        let slot = Slot {
            starts: at,
            ends: event.ends,
        };
        match event.status {
            // What failed has told its viewers that it is over.
            EventStatus::Error => {
                let (asset, looping) = (event.asset_id, event.is_looping());
                *run = setup.planning.show(event.id, asset, slot, looping, now);
            }
            _ => setup.planning.replan(run, slot, facts.as_deref(), now),
        }
        activate(event, film_of(run).unwrap_or(at));
        Ok(())
    };
    let premises = (&*setup.region, setup.max_channels);
    let (event, _) = setup
        .store
        .start_event(event.id, premises, &clash, change)
        .await??;
    tracing::info!(event = %event.id, stream = %event.stream_id, "event started by hand");
    // Who asks this gateway next hears of it.
    setup.playbill.catch_up().await;
    Ok(event)
}

/// Makes an event one that is on.
pub(super) fn activate(event: &mut Event, since: Wall) {
    event.status = EventStatus::Active;
    event.error = None;
    event.takeover = false;
    event.playback_started = Some(since);
}

/// What is known of the film of an event.
pub(super) fn facts(state: &State, event: &Event) -> Option<Arc<Facts>> {
    state.setup().playbill.facts(event.asset_id?)
}

/// Whether an event has something to play.
pub(super) async fn content(store: &Store, event: &Event) -> Result<Content, store::Error> {
    let Some(asset) = event.asset_id else {
        return Ok(Content::Missing);
    };
    Ok(match store.asset(asset).await? {
        None => Content::Missing,
        Some(asset) => match asset.state {
            AssetState::Uploading => Content::Missing,
            AssetState::Failed => Content::Broken,
            AssetState::Uploaded | AssetState::Preparing | AssetState::Prepared => Content::There,
        },
    })
}
