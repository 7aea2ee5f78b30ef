//! Ingest protocols. In: what encoders send. Out: tracks and access units, pushed into the hub.
//! Not here: which publisher is on air, time lines, packaging.
//!
//! THE list of protocols: one folder each, and one `run` that `app` starts with its listener. `pull` is
//! the door for what the gateway fetches itself, `livekit` that for rooms in which somebody publishes.

mod counter;
pub mod key;
pub mod livekit;
mod port;
pub mod pull;
#[cfg(test)]
mod recorder;
pub mod rtmp;
mod silence;
pub mod srt;
mod stats;
mod told;

use std::sync::atomic::{AtomicU64, Ordering};

pub use counter::Counter;
pub use stats::Stats;

/// Numbers the sessions of the process, for the logs.
static SESSIONS: AtomicU64 = AtomicU64::new(1);

fn next_session() -> u64 {
    SESSIONS.fetch_add(1, Ordering::Relaxed)
}
