//! Scheduled events: declared, changed, shown, deleted (contract, broadcasts, section 7). In: calls of users, and
//! everybody's for what is shown. Out: rows with the cut log of their next run. Not here: what becomes of them when
//! their time comes.
//!
//! # What a change does
//!
//! | the event | change | what happens |
//! |:--|:--|:--|
//! | not over | title, description, channel | at once |
//! | scheduled | start, end | its run is planned anew; repeats are counted from the new start |
//! | scheduled | repeats, time zone | counted from the start of the run that comes next |
//! | active | start | 409: what has begun cannot begin at another time |
//! | active | end | the run ends then; in the past or nearer than a second and a half: as soon as may be, and the next run is as long as it was declared |
//! | active | repeats, time zone | from the next run on, counted from the start of this one |
//! | over | title, description | at once |
//! | over | anything else | 409 |
//! | any | deletion | one that is active is ended first, with its broadcast; then nothing of it is left |

mod change;
mod conductor;
mod cuts;
mod decision;
pub(in crate::control) mod docs;
mod finish;
pub(in crate::control) mod operators;
pub(in crate::control) mod plan;
mod playbill;
pub(in crate::control) mod recurrence;
pub(in crate::control) mod start;
pub(in crate::control) mod sync;
pub(in crate::control) mod takeover;
pub(in crate::control) mod tus;
pub(in crate::control) mod upload;
mod view;

use axum::routing::{MethodRouter, get, post};

use super::answer::{Answer, Done, done, ok};
use super::chat::news;
use super::docs::{ById, Conflicting, Lookup, Sized, Usual};
use super::{ByUser, Call, Error, to_the_end};
use crate::base::id::Uuid;
use crate::control::pcast::Fields;
use crate::control::{Side, State};
use crate::store::{self, Event, EventStatus, NewEvent, Repeat, ShowRow, User};
use change::{Change, Declared};
pub use conductor::Conductor;
use docs::{EventChange, EventFields};
pub use plan::Planning;
pub use playbill::{Playbill, Showing};
use recurrence::{Slot, clash};
pub(in crate::control) use view::View;

/// Events in an answer, unless another number is asked for.
const DEFAULT_LIMIT: usize = 50;
/// Events in an answer, at most (contract, OpenAPI).
const MAX_LIMIT: usize = 200;
/// Zone of events that say none.
const UTC: &str = "UTC";

/// Routes of events.
pub(super) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    use Side::Public;
    let mut routes = vec![
        ("/api/events", Public, get(list)),
        ("/api/events/schedule", Public, post(schedule)),
        (
            "/api/events/{id}",
            Public,
            get(fetch).put(replace).patch(patch).delete(remove),
        ),
        ("/api/events/{id}/upload", Public, post(upload::upload)),
        ("/api/events/{id}/sync", Public, get(sync::show)),
        ("/api/events/{id}/start-video", Public, post(start::start)),
        (
            "/api/events/{id}/takeover",
            Public,
            post(takeover::take_over),
        ),
    ];
    routes.extend(tus::routes());
    routes.extend(operators::routes());
    routes
}

impl Call {
    /// The event that the path names; those of other tenants are not there for who has credentials.
    pub(in crate::control) async fn event(&mut self) -> Result<Event, Error> {
        let id = self.parameter("id").await?;
        let missing = || Error::NotFound("event");
        let id = Uuid::try_parse(&id).map_err(|_| missing())?;
        let found = self.state.setup().store.event(id).await?;
        let caller = &self.caller;
        let is_there = |found: &Event| {
            caller.is_anonymous() || caller.is_operator || found.application_id == caller.tenant.id
        };
        found.filter(is_there).ok_or_else(missing)
    }

    /// The same, for its owner.
    pub(in crate::control) async fn event_of(&mut self, user: &User) -> Result<Event, Error> {
        let found = self.event().await?;
        if found.application_id != user.application_id {
            return Err(Error::NotFound("event"));
        }
        match found.user_id == user.id {
            true => Ok(found),
            false => Err(Error::Forbidden),
        }
    }
}

#[utoipa::path(
    get, path = "/api/events", tag = "events", operation_id = "listEvents",
    summary = "Scheduled events by their start, the first one first",
    security((), ("apiKey" = []), ("userToken" = [])),
    params(("status" = Option<String>, Query,
            description = "`scheduled`, `active`, `completed` or `error`; all without it."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 200, description = "At most; 50 without it."),
        ("offset" = Option<u64>, Query, description = "How many are left out.")),
    responses((status = 200, description = "Some of them; of the tenant for who has credentials.",
        body = inline(Vec<View>)), Usual, Sized),
)]
pub(in crate::control) async fn list(mut call: Call) -> Answer {
    let query = call.query().await?;
    let status = query.line("status")?.map(status_of).transpose()?;
    let limit = query.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let offset = query.count("offset")?.unwrap_or(0);
    let caller = &call.caller;
    let tenant = (!caller.is_anonymous() && !caller.is_operator).then_some(&*caller.tenant.id);
    let store = &call.state.setup().store;
    let found = store.events(tenant, status, limit, offset).await?;
    Ok(ok(&view::many(&call, found).await?))
}

fn status_of(word: &str) -> Result<EventStatus, Error> {
    let bad = || Error::Bad("status is not scheduled, active, completed or error".to_owned());
    EventStatus::of(word).ok_or_else(bad)
}

#[utoipa::path(
    get, path = "/api/events/{id}", tag = "events", operation_id = "getEvent",
    summary = "One event", security((), ("apiKey" = []), ("userToken" = [])), params(ById),
    responses((status = 200, description = "It.", body = View), Usual, Lookup),
)]
pub(in crate::control) async fn fetch(mut call: Call) -> Answer {
    let found = call.event().await?;
    Ok(ok(&view::one(&call, found).await?))
}

#[utoipa::path(
    post, path = "/api/events/schedule", tag = "events", operation_id = "scheduleEvent",
    summary = "Schedule an event", security(("userToken" = [])), request_body = inline(EventFields),
    responses((status = 200, description = "It is scheduled; its file may be uploaded.", body = View),
        (status = 403, description = "The channel is not the caller's to give.", body = super::error::Body),
        Usual, Sized, Conflicting),
)]
pub(in crate::control) async fn schedule(ByUser(mut call, user): ByUser) -> Answer {
    let body = call.body().await?;
    let mut fields = Fields::parse(&body)?.without_nulls();
    let change = Change::read(&mut fields, &call)?;
    let missing = |name: &str| Error::Bad(format!("{name} is missing"));
    let title = change.title.ok_or_else(|| missing("title"))?;
    let starts = change.starts.ok_or_else(|| missing("scheduledStartTime"))?;
    let now = call.state.setup().clock.wall();
    let channel_id = change.channel.flatten();
    let declared = Declared {
        starts,
        ends: change.ends,
        repeat: change.repeat.unwrap_or(Repeat::None),
        has_channel: channel_id.is_some(),
    };
    declared.check(now)?;
    let state = call.state.clone();
    let repeat_until_end = change.repeat_until_end.unwrap_or(false);
    let work = async move {
        let setup = state.setup();
        let slot = Slot {
            starts,
            ends: declared.ends,
        };
        let looping = declared.repeat == Repeat::UntilEnd && repeat_until_end;
        let show = setup
            .planning
            .show(Uuid::new_v4(), None, slot, looping, now);
        let new = NewEvent {
            application_id: &user.application_id,
            user_id: user.id,
            channel_id: channel_id.as_deref(),
            title: &title,
            description: change.description.as_deref(),
            starts,
            ends: declared.ends,
            time_zone: change.time_zone.as_deref().unwrap_or(UTC),
            repeat: declared.repeat,
            repeat_until_end,
            show,
        };
        let made = setup.store.create_event(&new, &clash).await;
        let made = made.map_err(|error| match error {
            // Since the call came.
            store::Error::Missing { .. } => Error::Unauthorized("the user is gone"),
            error => error.into(),
        })?;
        tracing::info!(event = %made.id, stream = %made.stream_id, "event scheduled");
        setup.playbill.catch_up().await;
        Ok(made)
    };
    let made = to_the_end(&call.state, work).await?;
    Ok(ok(&view::one(&call, made).await?))
}

#[utoipa::path(
    put, path = "/api/events/{id}", tag = "events", operation_id = "updateEvent",
    summary = "Change an event of the user; what is not named stays", security(("userToken" = [])),
    request_body = inline(EventChange), params(ById),
    responses((status = 200, description = "As it is now.", body = View), Usual, Lookup, Sized, Conflicting),
)]
pub(in crate::control) async fn replace(by: ByUser) -> Answer {
    update(by).await
}

#[utoipa::path(
    patch, path = "/api/events/{id}", tag = "events", operation_id = "updateEventPatch",
    summary = "Change an event of the user", security(("userToken" = [])),
    request_body = inline(EventChange), params(ById),
    responses((status = 200, description = "As it is now.", body = View), Usual, Lookup, Sized, Conflicting),
)]
pub(in crate::control) async fn patch(by: ByUser) -> Answer {
    update(by).await
}

async fn update(ByUser(mut call, user): ByUser) -> Answer {
    let found = call.event_of(&user).await?;
    let changed = change(&mut call, found).await?;
    Ok(ok(&view::one(&call, changed).await?))
}

/// Changes an event as the body says.
async fn change(call: &mut Call, found: Event) -> Result<Event, Error> {
    let body = call.body().await?;
    let mut fields = Fields::parse_optional(&body)?.without_nulls();
    let change = Change::read(&mut fields, call)?;
    let state = call.state.clone();
    let work = async move {
        let setup = state.setup();
        let facts = start::facts(&state, &found);
        let (planning, now) = (setup.planning, setup.clock.wall());
        let apply = move |event: &mut Event, show: &mut ShowRow| {
            change.apply(event, show, &planning, facts.as_deref(), now)
        };
        let changed = setup.store.change_event(found.id, &clash, apply).await??;
        setup.playbill.catch_up().await;
        Ok(changed.0)
    };
    to_the_end(&call.state, work).await
}

#[utoipa::path(
    delete, path = "/api/events/{id}", tag = "events", operation_id = "deleteEvent",
    summary = "Delete an event of the user, with its file; one that is on ends",
    security(("userToken" = [])), params(ById),
    responses((status = 200, description = "It is gone.", body = inline(Done)), Usual, Lookup, Conflicting),
)]
pub(in crate::control) async fn remove(ByUser(mut call, user): ByUser) -> Answer {
    let found = call.event_of(&user).await?;
    delete(&call.state, found).await?;
    Ok(done())
}

/// Deletes an event, to the end: one that is on is over with it, and so is its broadcast.
pub(in crate::control) async fn delete(state: &State, event: Event) -> Result<(), Error> {
    let then = state.clone();
    let work = async move {
        let setup = then.setup();
        let gone = setup.store.delete_event(event.id).await?;
        setup.playbill.catch_up().await;
        news::catch_up(then.chats(), &setup.store, event.broadcast_id).await;
        upload::forget(&then, &gone.assets).await;
        tracing::info!(event = %event.id, "event deleted");
        Ok(())
    };
    to_the_end(state, work).await
}
