//! ADTS: AAC frames with a header each (ISO/IEC 14496-3 §1.A.2.2).

use bytes::Bytes;
use memchr::memchr;
use smallvec::smallvec;

use super::audio::{Frames, Read};
use crate::media::CodecConfig;
use crate::media::codec::{self, aac};

/// `adts_fixed_header` and `adts_variable_header`, without a CRC.
const HEADER_BYTES: usize = 7;
/// What must be the same in every frame of a stream: the first 28 bits, without `private_bit`,
/// `original_copy` and `home`.
const FIXED: u32 = 0xFFFF_FDC0;
/// What is in every header: `syncword` and `layer`.
const SYNC_MASK: u32 = 0xFFF6_0000;
const SYNC: u32 = 0xFFF0_0000;

/// The frames of one stream.
#[derive(Debug, Default)]
pub(super) struct Adts {
    /// The fixed part of the last frame's header, once a second one was found behind it.
    fixed: Option<u32>,
    config: Option<Known>,
}

/// The configuration of the last frame.
#[derive(Debug)]
struct Known {
    fields: [u8; 3],
    config: aac::Config,
}

/// A header and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    fixed: u32,
    header_bytes: usize,
    frame_bytes: usize,
    /// Audio object type, index of the sample rate, channel configuration.
    fields: [u8; 3],
}

impl Header {
    fn read(data: &[u8; HEADER_BYTES]) -> Option<Header> {
        let [a, b, c, d, e, f, g] = *data;
        let first = u32::from_be_bytes([a, b, c, d]);
        if first & SYNC_MASK != SYNC {
            return None;
        }
        let frame_bytes = usize::from(d & 3) << 11 | usize::from(e) << 3 | usize::from(f >> 5);
        // protection_absent
        let header_bytes = HEADER_BYTES + if b & 1 == 0 { 2 } else { 0 };
        // number_of_raw_data_blocks_in_frame: no encoder sends more than one.
        let blocks = g & 3;
        (frame_bytes > header_bytes && blocks == 0).then_some(Header {
            fixed: first & FIXED,
            header_bytes,
            frame_bytes,
            fields: [(c >> 6) + 1, c >> 2 & 0x0F, (c & 1) << 2 | d >> 6],
        })
    }
}

impl Adts {
    /// The next frame in `data`, which is all that follows the last one. Frames are believed when
    /// another one follows, or when `last`: nothing more comes.
    pub(super) fn read(&mut self, data: &[u8], last: bool) -> Read {
        let Some(head) = data.first_chunk() else {
            return Read::More;
        };
        let Some(header) = Header::read(head) else {
            return self.skip(data);
        };
        if self.fixed != Some(header.fixed) {
            match data.get(header.frame_bytes..) {
                Some(rest) => match rest.first_chunk() {
                    Some(next) if Header::read(next).is_none_or(|h| h.fixed != header.fixed) => {
                        return self.skip(data);
                    }
                    Some(_) => {}
                    None if last => {}
                    None => return Read::More,
                },
                None if last => return self.skip(data),
                None => return Read::More,
            }
            self.fixed = Some(header.fixed);
        }
        let Some(frame) = data.get(header.header_bytes..header.frame_bytes) else {
            return Read::More;
        };
        let Ok(changed) = self.configure(header.fields, frame) else {
            return Read::Malformed(header.frame_bytes);
        };
        let Some(known) = &self.config else {
            return Read::Malformed(header.frame_bytes);
        };
        Read::Frames(Frames {
            size: header.frame_bytes,
            config: changed.then(|| CodecConfig::Aac(known.config.clone())),
            samples: known.config.frame_samples,
            rate: known.config.sample_rate,
            data: smallvec![Bytes::copy_from_slice(frame)],
        })
    }

    /// Whether a frame has another configuration than the one before.
    fn configure(&mut self, fields: [u8; 3], frame: &[u8]) -> Result<bool, codec::Error> {
        let same = self.config.as_ref().filter(|known| known.fields == fields);
        // With channel configuration zero the frame itself lists the channels, when it wants to.
        if same.is_some() && fields[2] != 0 {
            return Ok(false);
        }
        let config = match (from_fields(fields, frame), same) {
            (Ok(config), _) => config,
            (Err(_), Some(_)) => return Ok(false),
            (Err(error), None) => return Err(error),
        };
        let changed = same.is_none_or(|known| known.config != config);
        self.config = Some(Known { fields, config });
        Ok(changed)
    }

    /// There is no frame here: to where the next one may begin.
    fn skip(&self, data: &[u8]) -> Read {
        let next = data.get(1..).and_then(|rest| memchr(0xFF, rest));
        Read::Garbage(next.map_or(data.len(), |next| next + 1))
    }
}

fn from_fields([kind, rate, channels]: [u8; 3], frame: &[u8]) -> Result<aac::Config, codec::Error> {
    aac::Config::from_adts(kind, rate, channels, frame)
}
