//! Ingest protocols. In: what encoders send. Out: tracks and access units, pushed into the hub.
//! Not here: which publisher is on air, time lines, packaging.
//!
//! THE list of protocols: one folder each, and one `run` that `app` starts with its listener.

mod counter;
pub mod key;
mod port;
pub mod pull;
pub mod rtmp;

pub use counter::Counter;
