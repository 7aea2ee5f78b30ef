//! Opus: identification header and packet durations.

use bytes::{BufMut, Bytes, BytesMut};

use super::Error;
use super::bits::Bytewise;

const RECORD: &str = "OpusHead";
const MAGIC: &[u8; 8] = b"OpusHead";

/// Samples of a packet at most: 120 ms at 48 kHz (RFC 6716 §3.2.5, requirement R5).
const PACKET_SAMPLES_LIMIT: u32 = 5_760;

/// Samples at 48 kHz that libopus needs to converge; what encoders write as pre-skip.
const DEFAULT_PRE_SKIP: u16 = 312;

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

impl Config {
    /// Reads an identification header.
    pub fn parse(record: Bytes) -> Result<Config, Error> {
        let header = Header::read(&record)?;
        Ok(Config {
            channels: header.channels,
            pre_skip: header.pre_skip,
            record,
        })
    }

    /// A header for mono or stereo as WebRTC sends it, which has none of its own.
    pub fn new(channels: u8) -> Result<Config, Error> {
        let mut record = BytesMut::with_capacity(19);
        put_head(&mut record, channels, 0);
        Config::parse(record.freeze())
    }

    /// What `channel_config_code` of the descriptor in a transport stream says ("Opus in MPEG-TS"): 0 is
    /// two mono channels without a place, 1 to 8 are channels in the order of RFC 7845 §5.1.1.2.
    pub fn from_channel_config_code(code: u8) -> Result<Config, Error> {
        /// Streams, coupled streams and mapping for 1 to 8 channels, as encoders lay them out.
        const LAYOUTS: [(u8, u8, &[u8]); 8] = [
            (1, 0, &[0]),
            (1, 1, &[0, 1]),
            (2, 1, &[0, 2, 1]),
            (2, 2, &[0, 1, 2, 3]),
            (3, 2, &[0, 4, 1, 2, 3]),
            (4, 2, &[0, 4, 1, 2, 3, 5]),
            (4, 3, &[0, 4, 1, 2, 3, 5, 6]),
            (5, 3, &[0, 6, 1, 2, 3, 4, 5, 7]),
        ];
        if matches!(code, 1 | 2) {
            return Config::new(code);
        }
        let index = usize::from(code).wrapping_sub(1);
        let (family, (streams, coupled, mapping)) = match (code, LAYOUTS.get(index)) {
            (0, _) => (255, (2, 0, &[0, 1][..])),
            (_, Some(&layout)) => (1, layout),
            (_, None) => {
                return Err(Error::Unsupported {
                    record: "Opus descriptor",
                    field: "channel_config_code",
                    value: u64::from(code),
                });
            }
        };
        let channels = if code == 0 { 2 } else { code };
        let mut record = BytesMut::with_capacity(21 + mapping.len());
        put_head(&mut record, channels, family);
        record.put_slice(&[streams, coupled]);
        record.put_slice(mapping);
        Config::parse(record.freeze())
    }

    /// The body of the `dOps` box (Opus in ISOBMFF §4.3.2): the header in big-endian order.
    pub fn dops(&self) -> Result<Bytes, Error> {
        let header = Header::read(&self.record)?;
        let mut body = BytesMut::with_capacity(11 + header.mapping.len());
        body.put_u8(0);
        body.put_u8(header.channels);
        body.put_u16(header.pre_skip);
        body.put_u32(header.input_sample_rate);
        body.put_i16(header.output_gain);
        body.put_u8(header.mapping_family);
        body.put_slice(header.mapping);
        Ok(body.freeze())
    }
}

/// A header up to its mapping family: 48 kHz, no gain.
fn put_head(record: &mut BytesMut, channels: u8, mapping_family: u8) {
    record.put_slice(MAGIC);
    record.put_u8(1);
    record.put_u8(channels);
    record.put_u16_le(DEFAULT_PRE_SKIP);
    record.put_u32_le(48_000);
    record.put_i16_le(0);
    record.put_u8(mapping_family);
}

struct Header<'a> {
    channels: u8,
    pre_skip: u16,
    input_sample_rate: u32,
    output_gain: i16,
    mapping_family: u8,
    /// Stream count, coupled count and one byte for each channel; empty for family 0.
    mapping: &'a [u8],
}

impl<'a> Header<'a> {
    /// RFC 7845 §5.1; numbers are little-endian.
    fn read(record: &'a [u8]) -> Result<Header<'a>, Error> {
        let unsupported = |field, value: u64| Error::Unsupported {
            record: RECORD,
            field,
            value,
        };
        let mut bytes = Bytewise::new(RECORD, record);
        let magic = bytes.take(8, "magic")?;
        if magic != MAGIC {
            return Err(unsupported("magic", u64::from(magic[0])));
        }
        let version = bytes.u8("version")?;
        // The upper half is the incompatible part.
        if version >> 4 != 0 {
            return Err(unsupported("version", u64::from(version)));
        }
        let channels = bytes.u8("channel count")?;
        let pre_skip = bytes.u16("pre-skip")?.swap_bytes();
        let rate = bytes.take(4, "input sample rate")?;
        let input_sample_rate = u32::from_le_bytes([rate[0], rate[1], rate[2], rate[3]]);
        let gain = bytes.take(2, "output gain")?;
        let output_gain = i16::from_le_bytes([gain[0], gain[1]]);
        let mapping_family = bytes.u8("channel mapping family")?;
        let channel_limit = match mapping_family {
            0 => 2,
            1 => 8,
            _ => 255,
        };
        if channels == 0 || channels > channel_limit {
            return Err(unsupported("channel count", u64::from(channels)));
        }
        let mapping = if mapping_family == 0 {
            &[][..]
        } else {
            let mapping = bytes.take(2 + usize::from(channels), "channel mapping table")?;
            let (streams, coupled) = (mapping[0], mapping[1]);
            if streams == 0 || coupled > streams || streams.checked_add(coupled).is_none() {
                return Err(unsupported("stream count", u64::from(streams)));
            }
            let decoded = streams + coupled;
            if let Some(&bad) = mapping[2..]
                .iter()
                .find(|&&index| index >= decoded && index != 255)
            {
                return Err(unsupported("channel mapping", u64::from(bad)));
            }
            mapping
        };
        Ok(Header {
            channels,
            pre_skip,
            input_sample_rate,
            output_gain,
            mapping_family,
            mapping,
        })
    }
}

/// A packet of 20 ms of silence: CELT, full band (RFC 6716 §3.1, config 31), whose first symbol says
/// that the frame is silent (§4.3).
pub fn silent_packet(config: &Config) -> Bytes {
    if config.channels == 2 {
        Bytes::from_static(&[0xfc, 0xff, 0xfe])
    } else {
        Bytes::from_static(&[0xf8, 0xff, 0xfe])
    }
}

/// Duration of a packet in samples at 48 kHz, from its table of contents (RFC 6716 §3.1).
pub fn packet_samples(packet: &[u8]) -> Result<u32, Error> {
    let mut bytes = Bytewise::new("Opus packet", packet);
    let toc = bytes.u8("TOC")?;
    let configuration = toc >> 3;
    // Table 2: SILK 10, 20, 40, 60 ms; hybrid 10, 20 ms; CELT 2.5, 5, 10, 20 ms.
    let frame = match configuration {
        0..=11 => [480, 960, 1920, 2880][usize::from(configuration & 3)],
        12..=15 => [480, 960][usize::from(configuration & 1)],
        _ => [120, 240, 480, 960][usize::from(configuration & 3)],
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(bytes.u8("frame count")? & 0x3F),
    };
    let samples = frame * count;
    if samples == 0 || samples > PACKET_SAMPLES_LIMIT {
        return Err(Error::Unsupported {
            record: "Opus packet",
            field: "samples",
            value: u64::from(samples),
        });
    }
    Ok(samples)
}

#[cfg(test)]
mod tests;
