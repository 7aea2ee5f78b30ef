//! Events for operators: those of all tenants, with what is on of them, and what their owners can do with them.

use axum::extract::{FromRequest, Request};
use axum::routing::{MethodRouter, get, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::docs::EventChange;
use super::finish::Finish;
use super::takeover::Door;
use super::{start, status_of, sync, takeover, view};
use crate::control::api::answer::{Answer, Done, done, ok};
use crate::control::api::docs::{ById, Conflicting, Lookup, Sized, Usual};
use crate::control::api::{Call, Error, to_the_end};
use crate::control::{Side, State, auth};
use crate::store::{Event, EventStatus};

/// Events in an answer, unless another number is asked for.
const DEFAULT_LIMIT: usize = 100;
/// Events in an answer, at most: some hundred kilobytes.
const MAX_LIMIT: usize = 500;

/// A call of an operator's.
pub(in crate::control) struct ByOperator(Call);

impl FromRequest<State> for ByOperator {
    type Rejection = Error;

    async fn from_request(request: Request, state: &State) -> Result<ByOperator, Error> {
        let mut call = Call::from_request(request, state).await?;
        if !auth::is_operator(state, call.headers()) {
            return Err(Error::Unauthorized("the admin key is missing or wrong"));
        }
        // Also with the console's session.
        call.caller.is_operator = true;
        Ok(ByOperator(call))
    }
}

impl ByOperator {
    /// The event that the path names, and its tenant in the place of the caller's.
    async fn event(&mut self) -> Result<Event, Error> {
        let call = &mut self.0;
        let event = call.event().await?;
        let tenant = call
            .state
            .setup()
            .store
            .known_application(&event.application_id);
        call.caller.tenant = tenant.ok_or(Error::NotFound("event"))?;
        Ok(event)
    }
}

/// An event as operators see it.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminEvent)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct View {
    #[serde(flatten)]
    event: view::View,
    /// Its tenant.
    application_id: String,
    /// Whether an encoder was called for.
    takeover: bool,
    /// Who play HLS and DASH now.
    viewers: u64,
    /// What is on now; left out of events that are over.
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<sync::View>,
}

/// An answer with events.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminEventList)]
pub(in crate::control) struct Many {
    /// `ok`.
    status: &'static str,
    /// By their start.
    events: Vec<View>,
}

/// Routes of operators.
pub(super) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    use Side::Operator;
    vec![
        ("/api/admin/events", Operator, get(list)),
        (
            "/api/admin/events/{id}",
            Operator,
            get(fetch).put(replace).patch(patch).delete(remove),
        ),
        (
            "/api/admin/events/{id}/start-video",
            Operator,
            post(start_video),
        ),
        ("/api/admin/events/{id}/takeover", Operator, post(take_over)),
        (
            "/api/admin/events/{id}/give-back",
            Operator,
            post(give_back),
        ),
        ("/api/admin/events/{id}/end", Operator, post(end)),
    ]
}

/// What operators see of events.
fn many(
    call: &Call,
    events: Vec<Event>,
) -> impl Future<Output = Result<Vec<View>, Error>> + Send + use<> {
    let setup = call.state.setup();
    let (playbill, now) = (setup.playbill.clone(), setup.clock.wall());
    let bases = call.bases();
    let measurements = setup.measurements.clone();
    let views = view::many(call, events.clone());
    async move {
        let views = views.await?.into_iter().zip(&events);
        let view = |(view, event): (view::View, &Event)| {
            let entry = playbill.of_event(event.id);
            let entry = entry.filter(|_| !event.status.is_over());
            View {
                event: view,
                application_id: event.application_id.clone(),
                takeover: event.takeover,
                viewers: measurements.viewers(event.stream_id),
                now: entry.map(|entry| sync::View::of((&playbill, &bases), &entry, now)),
            }
        };
        Ok(views.map(view).collect())
    }
}

fn one(call: &Call, event: Event) -> impl Future<Output = Result<View, Error>> + Send + use<> {
    let views = many(call, vec![event]);
    async { Ok(views.await?.remove(0)) }
}

#[utoipa::path(
    get, path = "/api/admin/events", tag = "operations", operation_id = "adminListEvents",
    summary = "Events of all tenants by their start, with what is on of them",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(("status" = Option<String>, Query, description = "Those of one status only."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 500, description = "At most; 100 without it."),
        ("offset" = Option<u64>, Query, description = "How many are left out.")),
    responses((status = 200, description = "Some of them, without secrets.", body = inline(Many)), Usual,
        Sized),
)]
pub(in crate::control) async fn list(ByOperator(mut call): ByOperator) -> Answer {
    let query = call.query().await?;
    let status = query.line("status")?.map(status_of).transpose()?;
    let limit = query.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let offset = query.count("offset")?.unwrap_or(0);
    let store = &call.state.setup().store;
    let found = store.events(None, status, limit, offset).await?;
    Ok(ok(&Many {
        status: "ok",
        events: many(&call, found).await?,
    }))
}

#[utoipa::path(
    get, path = "/api/admin/events/{id}", tag = "operations", operation_id = "adminGetEvent",
    summary = "One event of any tenant", security(("adminKey" = []), ("adminBearer" = [])), params(ById),
    responses((status = 200, description = "It.", body = inline(View)), Usual, Lookup),
)]
pub(in crate::control) async fn fetch(mut by: ByOperator) -> Answer {
    let event = by.event().await?;
    Ok(ok(&one(&by.0, event).await?))
}

#[utoipa::path(
    put, path = "/api/admin/events/{id}", tag = "operations", operation_id = "adminUpdateEvent",
    summary = "Change an event of any tenant; what is not named stays",
    security(("adminKey" = []), ("adminBearer" = [])), request_body = inline(EventChange), params(ById),
    responses((status = 200, description = "As it is now.", body = inline(View)), Usual, Lookup, Sized,
        Conflicting),
)]
pub(in crate::control) async fn replace(by: ByOperator) -> Answer {
    change(by).await
}

#[utoipa::path(
    patch, path = "/api/admin/events/{id}", tag = "operations", operation_id = "adminUpdateEventPatch",
    summary = "Change an event of any tenant",
    security(("adminKey" = []), ("adminBearer" = [])), request_body = inline(EventChange), params(ById),
    responses((status = 200, description = "As it is now.", body = inline(View)), Usual, Lookup, Sized,
        Conflicting),
)]
pub(in crate::control) async fn patch(by: ByOperator) -> Answer {
    change(by).await
}

async fn change(mut by: ByOperator) -> Answer {
    let event = by.event().await?;
    let event = super::change(&mut by.0, event).await?;
    Ok(ok(&one(&by.0, event).await?))
}

#[utoipa::path(
    delete, path = "/api/admin/events/{id}", tag = "operations", operation_id = "adminDeleteEvent",
    summary = "Delete an event of any tenant; one that is on ends",
    security(("adminKey" = []), ("adminBearer" = [])), params(ById),
    responses((status = 200, description = "It is gone.", body = inline(Done)), Usual, Lookup, Conflicting),
)]
pub(in crate::control) async fn remove(mut by: ByOperator) -> Answer {
    let event = by.event().await?;
    super::delete(&by.0.state, event).await?;
    Ok(done())
}

#[utoipa::path(
    post, path = "/api/admin/events/{id}/start-video", tag = "operations", operation_id = "adminStartEvent",
    summary = "Start an event of any tenant now, or give it back to its film",
    security(("adminKey" = []), ("adminBearer" = [])), params(ById),
    responses((status = 200, description = "As it is now.", body = inline(View)), Usual, Lookup, Conflicting),
)]
pub(in crate::control) async fn start_video(mut by: ByOperator) -> Answer {
    let event = by.event().await?;
    let event = start::begin(&by.0.state, event.id).await?;
    Ok(ok(&one(&by.0, event).await?))
}

#[utoipa::path(
    post, path = "/api/admin/events/{id}/takeover", tag = "operations", operation_id = "adminTakeOverEvent",
    summary = "Call for an encoder in the place of a film",
    security(("adminKey" = []), ("adminBearer" = [])), params(ById),
    responses((status = 200, description = "The event, and where to publish.", body = inline(Door)), Usual,
        Lookup, Conflicting),
)]
pub(in crate::control) async fn take_over(mut by: ByOperator) -> Answer {
    let event = by.event().await?;
    let (event, broadcast) = takeover::open(&by.0.state, event.id).await?;
    Ok(ok(&takeover::door(&by.0, event, &broadcast).await?))
}

#[utoipa::path(
    post, path = "/api/admin/events/{id}/give-back", tag = "operations", operation_id = "adminGiveBackEvent",
    summary = "Give the stream of an event back to its film",
    security(("adminKey" = []), ("adminBearer" = [])), params(ById),
    responses((status = 200, description = "As it is now.", body = inline(View)), Usual, Lookup, Conflicting),
)]
pub(in crate::control) async fn give_back(mut by: ByOperator) -> Answer {
    let event = by.event().await?;
    let event = takeover::give_back(&by.0.state, event.id).await?;
    Ok(ok(&one(&by.0, event).await?))
}

#[utoipa::path(
    post, path = "/api/admin/events/{id}/end", tag = "operations", operation_id = "adminEndEvent",
    summary = "End an event that is on; one that repeats waits for its next run",
    security(("adminKey" = []), ("adminBearer" = [])), params(ById),
    responses((status = 200, description = "As it is now.", body = inline(View)), Usual, Lookup, Conflicting),
)]
pub(in crate::control) async fn end(mut by: ByOperator) -> Answer {
    let event = by.event().await?;
    let refuse = || Error::Conflict("the event is not active".to_owned());
    if event.status != EventStatus::Active {
        return Err(refuse());
    }
    let state = by.0.state.clone();
    let ended = to_the_end(&by.0.state, async move {
        let setup = state.setup();
        let facts = start::facts(&state, &event);
        let finish = Finish {
            store: &setup.store,
            planning: &setup.planning,
            clock: &setup.clock,
            chats: state.chats(),
            facts: facts.as_deref(),
        };
        let ended = finish.finish(&event, None).await?;
        setup.playbill.catch_up().await;
        ended.ok_or_else(refuse)
    });
    let event = ended.await?;
    Ok(ok(&one(&by.0, event).await?))
}
