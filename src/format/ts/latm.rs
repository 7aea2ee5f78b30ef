//! LATM in LOAS: AAC frames whose configuration travels with them, at any bit (ISO/IEC 14496-3 §1.7).

use bytes::Bytes;
use memchr::memchr;
use smallvec::SmallVec;

use super::audio::{Frames, Read};
use crate::media::CodecConfig;
use crate::media::codec::bits::Bits;
use crate::media::codec::{Error, aac};

const RECORD: &str = "StreamMuxConfig";
/// `syncword` of AudioSyncStream and `audioMuxLengthBytes`.
const HEADER_BYTES: usize = 3;
/// First byte of it, and the first three bits of the second: 0x2B7 in 11 bits.
const SYNC: [u8; 2] = [0x56, 0xE0];

/// The frames of one stream.
#[derive(Debug, Default)]
pub(super) struct Latm {
    /// Whether the last element was followed by another one.
    locked: bool,
    mux: Option<Mux>,
}

/// What of a StreamMuxConfig must be known to read frames.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mux {
    config: aac::Config,
    /// Frames of one element.
    frames: u8,
}

impl Latm {
    /// Bytes are missing before what comes next.
    pub(super) fn lose(&mut self) {
        self.locked = false;
    }

    /// The next AudioMuxElement in `data`, which is all that follows the last one. The first one is
    /// believed when another one follows, or when `last`: nothing more comes.
    pub(super) fn read(&mut self, data: &[u8], last: bool) -> Read {
        let Some(&[first, second, low]) = data.first_chunk::<HEADER_BYTES>() else {
            return Read::More;
        };
        if [first, second & 0xE0] != SYNC {
            return self.skip(data);
        }
        let size = HEADER_BYTES + (usize::from(second & 0x1F) << 8 | usize::from(low));
        if !self.locked {
            match data.get(size..).map(<[u8]>::first_chunk::<2>) {
                Some(Some(&[first, second])) if [first, second & 0xE0] != SYNC => {
                    return self.skip(data);
                }
                Some(Some(_)) => {}
                Some(None) if last => {}
                None if last => return self.skip(data),
                _ => return Read::More,
            }
            self.locked = true;
        }
        let Some(element) = data.get(HEADER_BYTES..size) else {
            return Read::More;
        };
        self.element(element, size).unwrap_or(Read::Malformed(size))
    }

    /// There is no element here: to where the next one may begin.
    fn skip(&mut self, data: &[u8]) -> Read {
        self.locked = false;
        let next = data.get(1..).and_then(|rest| memchr(SYNC[0], rest));
        Read::Garbage(next.map_or(data.len(), |next| next + 1))
    }

    /// AudioMuxElement with its configuration in band, table 1.41.
    fn element(&mut self, element: &[u8], size: usize) -> Result<Read, Error> {
        let mut bits = Bits::new("AudioMuxElement", element);
        let mut changed = false;
        // useSameStreamMux
        if !bits.flag("useSameStreamMux")? {
            let mux = read_mux(&mut bits, element)?;
            let known = self.mux.as_ref().map(|mux| &mux.config);
            changed = known != Some(&mux.config);
            self.mux = Some(mux);
        }
        let Some(mux) = &self.mux else {
            return Ok(Read::Unready(size));
        };
        let mut data = SmallVec::new();
        for _ in 0..mux.frames {
            // PayloadLengthInfo, table 1.44: bytes of 255 and a smaller one.
            let mut length = 0;
            loop {
                let byte = bits.byte(8, "MuxSlotLengthBytes")?;
                length += usize::from(byte);
                if byte != 255 {
                    break;
                }
            }
            let from = bits.position();
            bits.skip(length * 8, "payload")?;
            if length > 0 {
                data.push(shifted(element, from, length));
            }
        }
        Ok(Read::Frames(Frames {
            size,
            config: changed.then(|| CodecConfig::Aac(mux.config.clone())),
            samples: mux.config.frame_samples,
            rate: mux.config.sample_rate,
            data,
        }))
    }
}

/// `length` bytes from bit `from` on; zeros stand in for what is beyond the end.
fn shifted(data: &[u8], from: usize, length: usize) -> Bytes {
    let (start, shift) = (from / 8, from % 8);
    let tail = data.get(start..).unwrap_or_default();
    if shift == 0 {
        return Bytes::copy_from_slice(&tail[..length.min(tail.len())]);
    }
    let next = tail.iter().skip(1).copied().chain([0]);
    let bytes = tail.iter().zip(next).take(length);
    bytes
        .map(|(&byte, next)| byte << shift | next >> (8 - shift))
        .collect()
}

/// StreamMuxConfig, table 1.42: one program with one layer, which is all that live encoders send.
fn read_mux(bits: &mut Bits<'_>, element: &[u8]) -> Result<Mux, Error> {
    let unsupported = |field, value: u32| Error::Unsupported {
        record: RECORD,
        field,
        value: u64::from(value),
    };
    let version = bits.bits(1, "audioMuxVersion")?;
    if version == 1 {
        if bits.flag("audioMuxVersionA")? {
            return Err(unsupported("audioMuxVersionA", 1));
        }
        read_value(bits, "taraBufferFullness")?;
    }
    if !bits.flag("allStreamsSameTimeFraming")? {
        return Err(unsupported("allStreamsSameTimeFraming", 0));
    }
    let frames = bits.byte(6, "numSubFrames")? + 1;
    let programs = bits.bits(4, "numProgram")?;
    let layers = bits.bits(3, "numLayer")?;
    if programs != 0 || layers != 0 {
        return Err(unsupported(
            "numProgram and numLayer",
            programs << 3 | layers,
        ));
    }
    // With version 1 the length of the record is told, so that extensions may stand at its end.
    let stated = match version {
        0 => None,
        _ => Some(read_value(bits, "ascLen")?),
    };
    let from = bits.position();
    let rest = bits.remaining();
    let available = stated.map_or(rest, |stated| rest.min(stated));
    let record = shifted(element, from, available.div_ceil(8).min(RECORD_BYTES_LIMIT));
    let (config, used) = match stated {
        None => aac::Config::parse_front(&record)?,
        Some(stated) => (aac::Config::parse(record)?, stated),
    };
    bits.skip(used, "AudioSpecificConfig")?;
    match bits.bits(3, "frameLengthType")? {
        0 => bits.skip(8, "latmBufferFullness")?,
        other => return Err(unsupported("frameLengthType", other)),
    }
    if bits.flag("otherDataPresent")? {
        // The other data stand after the frames and are not read; only their length must be passed.
        if version == 1 {
            read_value(bits, "otherDataLenBits")?;
        } else {
            while bits.flag("otherDataLenEsc")? {
                bits.skip(8, "otherDataLenTmp")?;
            }
            bits.skip(8, "otherDataLenTmp")?;
        }
    }
    if bits.flag("crcCheckPresent")? {
        bits.skip(8, "crcCheckSum")?;
    }
    Ok(Mux { config, frames })
}

/// Longest AudioSpecificConfig that is read, bytes: one that lists all channels, with its comment.
const RECORD_BYTES_LIMIT: usize = 384;

/// LatmGetValue, table 1.43.
fn read_value(bits: &mut Bits<'_>, field: &'static str) -> Result<usize, Error> {
    let bytes = bits.bits(2, field)? + 1;
    let value = bits.bits(8 * bytes, field)?;
    Ok(usize::try_from(value).unwrap_or(usize::MAX))
}
