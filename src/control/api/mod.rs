//! `/api` (contract, broadcasts): tenants, users, broadcasts and what belongs to them, one file for each
//! resource. In: requests of SDK clients, users and everybody. Out: what the store keeps and what is live of
//! it. Not here: media, chat sockets, pages.

pub(super) mod call;
pub(super) mod error;
pub(super) mod file;
pub(super) mod limit;
mod signature;

use axum::routing::MethodRouter;

pub(super) use call::{ByClient, ByUser, Call};
pub(super) use error::Error;

use super::{Side, State};

/// Routes below `/api`, and of what is read without it.
pub(super) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    file::routes()
}
