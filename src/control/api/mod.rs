//! `/api` (contract, broadcasts): tenants, users, broadcasts and what belongs to them, one file for each
//! resource. In: requests of SDK clients, users and everybody. Out: what the store keeps and what is live of
//! it. Not here: media, pages.
//!
//! A request is found in [`routes`], becomes a [`Call`] (`call.rs`: whose it is, its body), or a [`ByClient`] or
//! [`ByUser`] where a key or a user's token is needed, and is answered by the function of its route. What a path
//! names as `{id}` of a broadcast is resolved by `Call::broadcast` and its kin (`broadcast.rs`), which also say
//! who may read or change it; what comes back is written by a `View`, or is an [`Error`].
//!
//! What goes on without requests: `lifecycle.rs` ends broadcasts that are silent, `leftover.rs` removes bytes
//! that are nobody's, `chat/news.rs` tells chats of what becomes of their broadcasts, `webhook/` sends events.

pub(super) mod address;
pub(super) mod answer;
pub(super) mod broadcast;
mod call;
pub(super) mod chat;
pub(super) mod client;
pub(super) mod cohost;
pub(super) mod contact;
pub(super) mod cors;
pub(super) mod docs;
pub(super) mod egress;
pub(super) mod error;
pub(super) mod event;
pub(super) mod file;
pub(super) mod follow;
mod form;
pub(super) mod forward;
pub(super) mod fuzz;
pub(super) mod leftover;
pub(super) mod lifecycle;
pub(super) mod limit;
pub(super) mod password;
mod phone;
pub(super) mod session;
mod signature;
pub(super) mod streaming;
#[cfg(test)]
pub(super) mod tests;
pub(super) mod throttle;
pub(super) mod time;
pub(super) mod user;
pub(super) mod viewer;
pub(super) mod webhook;
pub(super) mod work;

use axum::routing::{MethodRouter, get, patch, post, put};

pub(super) use call::{ByClient, ByUser, Call};
pub(super) use error::Error;

use super::{Side, State};

/// Changes something to the end, also when the caller does not wait for it.
async fn to_the_end<T: Send + 'static>(
    state: &State,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let done = state.setup().tasks.spawn(work).await;
    // A panic in there was logged as one.
    done.unwrap_or(Err(Error::Internal))
}

/// Everything else below `/api`.
pub(super) async fn unknown() -> Error {
    Error::NotFound("path")
}

/// A method that a path does not have.
pub(super) async fn wrong_method() -> Error {
    Error::Method
}

/// Routes below `/api`, and what belongs to them: sockets of chats, bytes of files.
pub(super) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    use Side::Public;
    let mut routes = vec![
        (client::PATH, Side::Operator, post(client::register)),
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
        ("/api/streams/{id}/viewer", Public, get(viewer::show)),
        (
            "/api/streams/{id}/viewer/token",
            Public,
            post(viewer::realtime::token),
        ),
        ("/api/v1/users", Public, get(client::users)),
        ("/api/users/signup", Public, post(user::sign_up)),
        ("/api/users/login", Public, post(user::sign_in)),
        ("/api/users/logout", Public, post(user::sign_out)),
        ("/api/users/token", Public, post(user::rotate)),
        ("/api/users/profile/full", Public, get(user::profile)),
        (
            "/api/users/profile",
            Public,
            put(user::change).delete(user::remove),
        ),
        (
            "/api/users/change-password",
            Public,
            post(user::change_password),
        ),
        ("/api/users/search", Public, get(user::search)),
        ("/api/users/followers/count", Public, get(follow::followers)),
        ("/api/users/following/count", Public, get(follow::following)),
        (
            "/api/users/follow/{id}",
            Public,
            post(follow::follow).delete(follow::unfollow),
        ),
        (call::CONTACTS_SYNC, Public, post(contact::sync)),
        ("/api/contacts", Public, get(contact::list)),
        (
            "/api/contacts/{id}",
            Public,
            get(contact::fetch).put(contact::change),
        ),
        (
            "/api/contacts/{id}/follow",
            Public,
            post(contact::follow).delete(contact::unfollow),
        ),
    ];
    routes.extend(chat::routes());
    routes.extend(cohost::routes());
    routes.extend(egress::routes());
    routes.extend(event::routes());
    routes.extend(file::routes());
    routes.extend(forward::routes());
    routes.extend(streaming::routes());
    routes.extend(webhook::routes());
    routes
}
