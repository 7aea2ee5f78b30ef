//! `/api` (contract, broadcasts): tenants, users, broadcasts and what belongs to them, one file for each
//! resource. In: requests of SDK clients, users and everybody. Out: what the store keeps and what is live of
//! it. Not here: media, chat sockets, pages.

pub(super) mod answer;
pub(super) mod call;
pub(super) mod contact;
mod docs;
pub(super) mod error;
pub(super) mod limit;
mod password;
mod phone;
mod signature;
#[cfg(test)]
mod tests;
pub(super) mod throttle;
pub(super) mod user;
pub(super) mod work;

use axum::routing::{MethodRouter, get, post, put};

pub(super) use call::{ByClient, ByUser, Call};
pub(super) use error::Error;

use super::{Side, State};

/// Routes below `/api` that are not for operators.
pub(super) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    use Side::Public;
    vec![
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
        ("/api/users/followers/count", Public, get(user::followers)),
        ("/api/users/following/count", Public, get(user::following)),
        (
            "/api/users/follow/{id}",
            Public,
            post(user::follow).delete(user::unfollow),
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
    ]
}
