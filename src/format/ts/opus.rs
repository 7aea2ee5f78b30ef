//! Opus packets with a control header each ("Opus in MPEG-TS", draft of opus-codec.org).

use bytes::Bytes;
use memchr::memchr;
use smallvec::smallvec;

use super::audio::{Frames, Read};
use crate::media::CodecConfig;
use crate::media::codec::opus::{self, Config};

/// The eleven bits with which `opus_control_header` begins, as far as they lie in the first byte and
/// in the first three bits of the second.
const PREFIX: [u8; 2] = [0x7F, 0xE0];
/// Longest packet, bytes: 48 frames of 1275 bytes (RFC 6716 §3.2).
const PACKET_BYTES_LIMIT: usize = 48 * 1275;

/// The packets of one stream.
#[derive(Debug)]
pub(super) struct Opus {
    /// What the descriptor says, until it was told.
    untold: Option<Config>,
}

impl Opus {
    pub(super) fn new(config: Config) -> Opus {
        Opus {
            untold: Some(config),
        }
    }

    /// The next packet in `data`, which is all that follows the last one.
    pub(super) fn read(&mut self, data: &[u8]) -> Read {
        let (from, size) = match control_header(data) {
            Control::More => return Read::More,
            Control::Other => {
                let next = data.get(1..).and_then(|rest| memchr(PREFIX[0], rest));
                return Read::Garbage(next.map_or(data.len(), |next| next + 1));
            }
            Control::Packet { from, size } => (from, size),
        };
        let Some(packet) = data.get(from..from + size) else {
            return Read::More;
        };
        match opus::packet_samples(packet) {
            Ok(samples) => Read::Frames(Frames {
                size: from + size,
                config: self.untold.take().map(CodecConfig::Opus),
                samples,
                rate: 48_000,
                data: smallvec![Bytes::copy_from_slice(packet)],
            }),
            Err(_) => Read::Malformed(from + size),
        }
    }
}

enum Control {
    More,
    Other,
    /// Where the packet begins, and its size.
    Packet {
        from: usize,
        size: usize,
    },
}

/// `opus_control_header`. Start and end trim are passed over: who joins a live stream has no start, and
/// an end is followed by silence.
fn control_header(data: &[u8]) -> Control {
    let Some(&[first, flags]) = data.first_chunk::<2>() else {
        return Control::More;
    };
    if [first, flags & 0xE0] != PREFIX {
        return Control::Other;
    }
    let mut at = 2;
    let mut size = 0;
    // au_size: bytes of 255 and a smaller one.
    loop {
        let Some(&byte) = data.get(at) else {
            return Control::More;
        };
        at += 1;
        size += usize::from(byte);
        if size > PACKET_BYTES_LIMIT {
            return Control::Other;
        }
        if byte != 255 {
            break;
        }
    }
    let [start_trim, end_trim, extension] = [0x10, 0x08, 0x04].map(|flag| flags & flag != 0);
    at += 2 * (usize::from(start_trim) + usize::from(end_trim));
    if extension {
        let Some(&length) = data.get(at) else {
            return Control::More;
        };
        at += 1 + usize::from(length);
    }
    Control::Packet { from: at, size }
}
