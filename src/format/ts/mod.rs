//! MPEG transport streams. In: bytes, in any pieces. Out: tracks and access units of the first video and
//! the first audio stream that are taken, times in 90 kHz without wraps. Not here: where the bytes come
//! from, which publisher is on air.
//!
//! The packets and tables are read here and not by the crate `mpeg2ts-reader`: it has no way back to a
//! lost sync byte, and a map whose first copy arrives damaged is never read again, since it remembers
//! the version before it checks the CRC. On a line that loses packets both happen. GStreamer's `tsdemux`
//! and its parsers cost many times the CPU and lose the last AAC frame (`benches/transport.rs` measures
//! both), so GStreamer stays out of ingest.
//!
//! What a stream may hold of memory: a unit of 4 MiB of video, 128 KiB of sound that is no frame yet,
//! 256 frames of sound whose time is not known yet, two sections of 1 KiB, 192 KiB of parameter sets.
//!
//! Sources: ISO/IEC 13818-1 (packets, PSI, PES), 14496-3 (ADTS, LATM), ETSI TS 101 154, "Opus in MPEG-TS".

mod adts;
mod audio;
#[doc(hidden)]
pub mod fuzz;
mod latm;
mod opus;
mod packet;
mod pes;
mod program;
mod psi;
mod sets;
mod stamps;
mod streams;
mod video;

use crate::media::{AccessUnit, Track};
use packet::Splitter;
use program::Streams;

pub use packet::PACKET_BYTES;

/// What came out of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A configuration that differs from the last one of its kind.
    Track(Track),
    /// A unit of the last track of its kind.
    Unit(AccessUnit),
    /// The stream uses something that is not taken here; the text is for the publisher. Once for each
    /// kind and codec.
    Unsupported(String),
}

/// What was read and what was wrong with it, since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets of 188 bytes.
    pub packets: u64,
    /// Steps in a continuity counter that are no repetition: packets are missing.
    pub continuity_errors: u64,
    /// Packets that come a second time, as the continuity counter says.
    pub repeated_packets: u64,
    /// Packets that a modem before us marked as damaged.
    pub corrupt_packets: u64,
    /// Scrambled packets of the program, and PES packets.
    pub scrambled_packets: u64,
    /// Bytes thrown away to find a sync byte again.
    pub unsynced_bytes: u64,
    /// Sections, PES packets, frames or units that cannot be read or of which something is missing.
    pub malformed_units: u64,
    /// Units before their configuration.
    pub unready_units: u64,
}

/// Which media the program's map promises, of those that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether there is video.
    pub video: bool,
    /// Whether there is audio.
    pub audio: bool,
}

/// Takes a transport stream apart.
#[derive(Debug, Default)]
pub struct Demuxer {
    splitter: Splitter,
    streams: Streams,
}

impl Demuxer {
    /// A stream of which nothing was seen yet.
    pub fn new() -> Demuxer {
        Demuxer::default()
    }

    /// Takes bytes; every event that they give must be polled before the next call, since nothing else
    /// bounds what waits.
    pub fn push(&mut self, data: &[u8]) {
        let streams = &mut self.streams;
        self.splitter.push(data, |packet| streams.handle(packet));
    }

    /// What the program's map promises, once for each time that it says something new. Polled before
    /// events, it is known before the first unit.
    pub fn poll_taken(&mut self) -> Option<Taken> {
        self.streams.poll_taken()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.streams.out.events.pop_front()
    }

    /// The stream is over: what was waiting for its end comes out.
    pub fn finish(&mut self) {
        let streams = &mut self.streams;
        self.splitter.finish(|packet| streams.handle(packet));
        streams.finish();
    }

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        Counts {
            unsynced_bytes: self.splitter.unsynced_bytes,
            ..self.streams.out.counts
        }
    }
}

#[cfg(test)]
mod tests;
