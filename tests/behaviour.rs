//! All behaviour tests, linked once.
#![allow(unreachable_pub, missing_docs, reason = "nothing here is a library")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod admission;
mod api;
mod architecture;
mod channels;
mod chats;
mod common;
mod conformance;
mod continuity;
mod examples;
mod fuzz;
mod holes;
mod hostile;
mod inputs;
mod lifecycle;
mod livekit;
mod passthrough;
mod players;
mod playout;
mod pull;
mod pushes;
mod recordings;
mod rtc;
mod scenarios;
mod secrets;
mod srt;
mod takeover;
mod tokens;
mod uploads;
mod webhooks;
