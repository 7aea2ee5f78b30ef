//! Media in RTP packets, and back. In: access units, or packets as they arrive. Out: the other of the two,
//! with what is to be asked for again, and times on one clock. Not here: encryption, sockets, session
//! descriptions, any engine's types. Time is a span since an origin of the caller's choice: nothing reads clocks.

use bytes::Bytes;

use crate::media::{MediaKind, Timescale};

pub mod avc;
#[doc(hidden)]
pub mod fuzz;
pub mod jitter;
pub mod receiver;
pub mod sender;
pub mod timing;

/// Payload of a packet at most, bytes. With RTP header, extensions, SRTP's tag, UDP and IPv6 a packet stays
/// below 1280 bytes, which every IPv6 path carries (RFC 8200 §5).
pub const PAYLOAD_BYTES: usize = 1150;

/// What of an RTP packet (RFC 3550 §5.1) differs within one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Sequence number.
    pub sequence: u16,
    /// Time in the format's clock, since a point of the sender's choice.
    pub timestamp: u32,
    /// With pictures: the last packet of a unit.
    pub marker: bool,
    /// What is carried; empty in packets that only fill the line.
    pub payload: Bytes,
}

/// How a stream's payload is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// H.264 (RFC 6184), packetization mode 1.
    Avc,
    /// Opus (RFC 7587).
    Opus,
}

impl Format {
    /// Ticks of its RTP clock (RFC 6184 §8.2.1, RFC 7587 §4.1).
    pub fn clock(self) -> Timescale {
        match self {
            Format::Avc => Timescale::CHANNEL,
            Format::Opus => Timescale::of(48_000),
        }
    }

    /// Pictures or sound.
    pub fn kind(self) -> MediaKind {
        match self {
            Format::Avc => MediaKind::Video,
            Format::Opus => MediaKind::Audio,
        }
    }
}

/// How far `sequence` is after `from`: negative where it is before (RFC 1982 with 16 bits).
pub(crate) fn distance(from: u16, sequence: u16) -> i64 {
    i64::from(sequence.wrapping_sub(from).cast_signed())
}

#[cfg(test)]
mod tests;
