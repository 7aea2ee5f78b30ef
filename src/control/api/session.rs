//! Sessions, version 1: broadcasts as the SDK calls them, for who has a key (contract, broadcasts, section
//! 3).

use super::ByClient;
use super::answer::{Answer, ok};
use super::broadcast::view::{self, Own};
use super::broadcast::{self, BroadcastChange, BroadcastFields};
use super::docs::{Conflicting, Lookup, Named, Sized, Usual};
use crate::control::pcast::Fields;

/// Sessions in an answer, unless another number is asked for.
const DEFAULT_LIMIT: usize = 100;

#[utoipa::path(
    post, path = "/api/v1/sessions", tag = "v1", operation_id = "createSession",
    summary = "Create a session", request_body = inline(BroadcastFields),
    security(("apiKey" = [])),
    responses((status = 200, description = "It is there, and its stream key may be used.",
        body = inline(Own<'_>)), Usual, Sized),
)]
pub(in crate::control) async fn create(ByClient(call): ByClient) -> Answer {
    broadcast::answer_create(call).await
}

#[utoipa::path(
    get, path = "/api/v1/sessions", tag = "v1", operation_id = "listSessions",
    summary = "Sessions of the client, newest first", security(("apiKey" = [])),
    params(("limit" = Option<u64>, Query, minimum = 1, maximum = 500, description = "At most; 100 without it."),
        ("offset" = Option<u64>, Query, description = "How many are left out.")),
    responses((status = 200, description = "Some of them.", body = inline(Vec<Own<'_>>)), Usual, Sized),
)]
pub(in crate::control) async fn list(ByClient(mut call): ByClient) -> Answer {
    let query = call.query().await?;
    let limit = query.limit(DEFAULT_LIMIT, broadcast::MAX_LIMIT)?;
    let offset = query.count("offset")?.unwrap_or(0);
    let store = &call.state.setup().store;
    let found = store.broadcasts_of(&call.caller.tenant.id, limit, offset);
    let found = found.await?;
    Ok(ok(&view::all_own(&call, &found, true).await?))
}

#[utoipa::path(
    patch, path = "/api/v1/sessions/{id}", tag = "v1", operation_id = "updateSession",
    summary = "Change a session", request_body = inline(BroadcastChange),
    security(("apiKey" = [])), params(Named),
    responses((status = 200, description = "As it is now.", body = inline(Own<'_>)), Usual, Lookup,
        Sized, Conflicting),
)]
pub(in crate::control) async fn patch(by: ByClient) -> Answer {
    update(by).await
}

#[utoipa::path(
    put, path = "/api/v1/sessions/{id}", tag = "v1", operation_id = "updateSessionPut",
    summary = "Change a session; what is not named stays", request_body = inline(BroadcastChange),
    security(("apiKey" = [])), params(Named),
    responses((status = 200, description = "As it is now.", body = inline(Own<'_>)), Usual, Lookup,
        Sized, Conflicting),
)]
pub(in crate::control) async fn replace(by: ByClient) -> Answer {
    update(by).await
}

async fn update(ByClient(mut call): ByClient) -> Answer {
    let found = call.broadcast_to_change().await?;
    let body = call.body().await?;
    let mut fields = Fields::parse_optional(&body)?.without_nulls();
    let update = broadcast::read_update(&mut fields)?;
    let changed = broadcast::change(&call.state, found.id, update).await?;
    Ok(ok(&view::own(&call, &changed, true).await?))
}
