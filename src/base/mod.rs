//! What every layer may use: clock, shutdown, child processes, ids, secrets, addresses, byte ranges, telemetry. No media, no
//! protocol.

pub mod backoff;
pub mod child;
pub mod clock;
pub mod conformance;
pub mod destination;
pub mod id;
pub mod lanes;
pub mod lead;
pub mod network;
pub mod outbound;
pub mod push;
pub mod range;
pub mod rfc3339;
pub mod secret;
pub mod shutdown;
pub mod source;
pub mod telemetry;

/// What kind of failure an error is, so that the edge can answer in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The peer sent something that is not allowed or not understood.
    Invalid,
    /// What was asked for does not exist.
    NotFound,
    /// The peer may not do this.
    Denied,
    /// A bound is reached; the same request may succeed later.
    Capacity,
    /// The peer or an engine behind us did not answer in time.
    Timeout,
    /// Our own fault.
    Internal,
}
