//! The channel API below `/pcast` (contract, channels): one file for each resource. In: requests of
//! applications, with their id and secret. Out: what the store keeps and what is live of it. Not here:
//! media, admission of publishes (`gate`), the operators' counterpart (`admin`), which shares these files'
//! functions.

pub(super) mod answer;
mod body;
pub(super) mod call;
pub(super) mod channel;
pub(super) mod docs;
pub(super) mod error;
pub(super) mod fork;
pub(super) mod ingest;
pub(super) mod limit;
pub(super) mod manifest;
pub(super) mod member;
pub(super) mod message;
#[cfg(test)]
mod tests;

use axum::routing::{MethodRouter, get, put};

pub(super) use body::Fields;
pub(super) use call::{ByApplication, ByOperator, Call};
pub(super) use error::Error;

use super::{Side, State};

/// Routes below `/pcast`.
pub(super) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    use Side::{Both, Operator};
    let one = "/pcast/channel/{channelId}";
    vec![
        ("/pcast/channel", Operator, put(channel::create)),
        ("/pcast/channels", Operator, get(channel::list)),
        (one, Operator, get(channel::fetch).delete(channel::remove)),
        (
            "/pcast/channel/{channelId}/members",
            Operator,
            get(member::members),
        ),
        (
            "/pcast/channel/{channelId}/fork/{sourceChannelId}",
            Operator,
            put(fork::fork),
        ),
        ("/pcast/channel/{channelId}/kill", Operator, put(fork::kill)),
        (
            "/pcast/channel/{channelId}/publishers/count",
            Both,
            get(member::count),
        ),
        (
            "/pcast/channel/{channelId}/live.m3u8",
            Side::Public,
            get(manifest::hls),
        ),
        (
            "/pcast/channel/{channelId}/live.mpd",
            Side::Public,
            get(manifest::dash),
        ),
        (
            "/pcast/channel/{channelId}/message",
            Operator,
            put(message::send),
        ),
        (
            "/pcast/channel/{channelId}/messages",
            Operator,
            get(message::list).delete(message::purge),
        ),
    ]
}

/// Everything else below `/pcast`.
pub(super) async fn unknown() -> Error {
    Error::NotFound("path")
}

/// A method that a path does not have.
pub(super) async fn wrong_method() -> Error {
    Error::Method
}
