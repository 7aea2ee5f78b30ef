//! MPEG transport streams. In: bytes, in any pieces. Out: tracks and access units of the first video and
//! the first audio stream that are taken, times in 90 kHz without wraps. Not here: where the bytes come
//! from, which publisher is on air.
//!
//! Sources: ISO/IEC 13818-1 (packets, PSI, PES), 14496-3 (ADTS, LATM), ETSI TS 101 154, "Opus in MPEG-TS".

use bytes::Bytes;

use crate::media::{AccessUnit, Track};

/// What came out of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A configuration that differs from the last one of its kind.
    Track(Track),
    /// A unit of the last track of its kind.
    Unit(AccessUnit),
    /// The stream uses something that is not taken here; the text is for the publisher.
    Unsupported(String),
}

/// What was read and what was wrong with it, since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets of 188 bytes.
    pub packets: u64,
    /// Steps in a continuity counter that are no repetition: packets are missing.
    pub continuity_errors: u64,
    /// Bytes thrown away to find a sync byte again.
    pub unsynced_bytes: u64,
    /// Sections, PES packets, frames or units that cannot be read.
    pub malformed_units: u64,
    /// Units before their configuration.
    pub unready_units: u64,
}

/// Takes a transport stream apart.
#[derive(Debug, Default)]
pub struct Demuxer {
    counts: Counts,
}

impl Demuxer {
    /// A stream of which nothing was seen yet.
    pub fn new() -> Demuxer {
        Demuxer::default()
    }

    /// Takes bytes; every event that they give must be polled before the next call.
    pub fn push(&mut self, _data: &Bytes) {}

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// The stream is over: what was waiting for its end comes out.
    pub fn finish(&mut self) {}

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}
