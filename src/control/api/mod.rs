//! `/api` (contract, broadcasts): tenants, users, broadcasts and what belongs to them, one file for each
//! resource. In: requests of SDK clients, users and everybody. Out: what the store keeps and what is live of
//! it. Not here: media, pages.

pub(super) mod address;
pub(super) mod broadcast;
pub(super) mod call;
pub(super) mod chat;
pub(super) mod client;
pub(super) mod docs;
pub(super) mod error;
pub mod lifecycle;
pub(super) mod limit;
pub(super) mod session;
mod signature;
#[cfg(test)]
mod tests;
pub(super) mod time;

use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, patch, post};
use http::{HeaderValue, header};
use serde::Serialize;

pub(super) use call::{ByClient, ByUser, Call};
pub(super) use error::Error;

use super::{Side, State};
use crate::store;

/// What handlers give.
pub(super) type Answer = Result<Response, Error>;

/// An answer with what was asked for; it may hold keys, so nobody keeps it.
pub(super) fn answer(body: &impl Serialize) -> Response {
    let mut response = Json(body).into_response();
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

/// Changes the store to the end, also when the caller does not wait for it.
async fn to_the_end<T: Send + 'static>(
    state: &State,
    work: impl Future<Output = Result<T, store::Error>> + Send + 'static,
) -> Result<T, Error> {
    let done = state.setup().tasks.spawn(work).await;
    // A panic in there was logged as one.
    Ok(done.map_err(|_| Error::Internal)??)
}

/// Routes below `/api`, but for those of operators.
pub(super) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    use Side::Public;
    let mut routes = vec![
        (
            "/api/admin/sdk-clients",
            Side::Operator,
            post(client::register),
        ),
        (
            "/api/broadcasts",
            Public,
            get(broadcast::list).post(broadcast::create),
        ),
        ("/api/broadcasts/{id}", Public, get(broadcast::fetch)),
        (
            "/api/broadcasts/{id}/status",
            Public,
            post(broadcast::set_status),
        ),
        (
            "/api/broadcasts/{id}/viewer-count",
            Public,
            post(broadcast::report_viewers),
        ),
        (
            "/api/sessions/{id}/heartbeat",
            Public,
            post(broadcast::heartbeat),
        ),
        (
            "/api/v1/sessions",
            Public,
            get(session::list).post(session::create),
        ),
        (
            "/api/v1/sessions/{id}",
            Public,
            patch(session::patch).put(session::replace),
        ),
    ];
    routes.extend(chat::routes());
    routes
}
