//! Opus: identification header and packet durations.

use bytes::Bytes;

/// The Opus identification header (RFC 7845 §5.1) and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The header as received, from `OpusHead` on.
    pub record: Bytes,
    /// Channels.
    pub channels: u8,
    /// Samples at 48 kHz to drop at the start.
    pub pre_skip: u16,
}
