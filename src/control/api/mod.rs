//! `/api` (contract, broadcasts): tenants, users, broadcasts and what belongs to them, one file for each
//! resource. In: requests of SDK clients, users and everybody. Out: what the store keeps and what is live of
//! it. Not here: media, chat sockets, pages.

pub(super) mod call;
pub(super) mod error;
pub(super) mod limit;
mod signature;

pub(super) use call::{ByClient, ByUser, Call};
pub(super) use error::Error;
