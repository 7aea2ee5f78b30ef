//! SRT ingest. In: callers of one UDP port or several. Out: tracks and access units, pushed into the hub
//! by the caller's own task. Not here: what a transport stream is made of (`format::ts`), serving over SRT.

mod address;
mod ffi;
mod socket;
mod statistics;
