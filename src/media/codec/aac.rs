//! AAC: AudioSpecificConfig, and silence.

use bytes::{BufMut, Bytes, BytesMut};

use super::Error;
use super::bits::Bits;

const RECORD: &str = "AudioSpecificConfig";

/// Audio object types (ISO/IEC 14496-3 table 1.17).
const AAC_LC: u8 = 2;
const SBR: u8 = 5;
const PS: u8 = 29;
const ESCAPE: u8 = 31;

/// `samplingFrequencyIndex` 0 to 12 (ISO/IEC 14496-3 table 1.18); 15 is an explicit 24-bit rate.
const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Explicit sample rates accepted, in hertz: below, a frame would last longer than a segment part.
const RATE_RANGE: std::ops::RangeInclusive<u32> = 7_000..=192_000;

/// AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1) and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The record as received.
    pub record: Bytes,
    /// Samples per second of the decoder's output (the extension rate for explicit SBR).
    pub sample_rate: u32,
    /// Channels of the decoder's output (two for parametric stereo).
    pub channels: u8,
    /// Samples per frame at `sample_rate`: 1024, 960, or twice that with SBR.
    pub frame_samples: u32,
    /// Audio object type: 2 is AAC-LC, 5 HE-AAC, 29 HE-AAC v2. Backward compatible signalling of SBR
    /// or PS counts like the explicit one.
    pub object_type: u8,
    /// Samples per second of the core coder: half of `sample_rate` with SBR.
    pub core_sample_rate: u32,
    /// `channelConfiguration`; zero when a program config element lists the channels.
    pub channel_configuration: u8,
}

impl Config {
    /// Reads a record. SBR that only the frames would tell of (implicit signalling) is not seen.
    pub fn parse(record: Bytes) -> Result<Config, Error> {
        let data = record.clone();
        Config::read(&mut Bits::new(RECORD, &data), record, true)
    }

    /// Reads the record that `data` begins with, and how many bits it takes: as it stands in a
    /// StreamMuxConfig (ISO/IEC 14496-3 table 1.42), where it has no length, and no extension follows.
    pub fn parse_front(data: &[u8]) -> Result<(Config, usize), Error> {
        let mut bits = Bits::new(RECORD, data);
        let mut config = Config::read(&mut bits, Bytes::new(), false)?;
        let used = bits.position();
        let mut record = BytesMut::with_capacity(used.div_ceil(8));
        put_bits(&mut record, Bits::new(RECORD, data), 0..used)?;
        config.record = record.freeze();
        Ok((config, used))
    }

    fn read(bits: &mut Bits<'_>, record: Bytes, extensible: bool) -> Result<Config, Error> {
        let mut object_type = read_object_type(bits)?;
        let core_sample_rate = read_rate(bits)?;
        let mut sample_rate = core_sample_rate;
        let channel_configuration = bits.byte(4, "channelConfiguration")?;
        let mut extension = None;
        if object_type == SBR || object_type == PS {
            extension = Some(object_type);
            sample_rate = read_rate(bits)?;
            object_type = read_object_type(bits)?;
        }
        // Main, LC, SSR and LTP share GASpecificConfig; the low-delay, scalable and USAC types have
        // other frame lengths or layouts and do not occur in live sources.
        if !(1..=4).contains(&object_type) {
            return Err(bits.unsupported("audioObjectType", u64::from(object_type)));
        }
        // GASpecificConfig, ISO/IEC 14496-3 §4.4.1.
        let core_samples = if bits.flag("frameLengthFlag")? {
            960
        } else {
            1024
        };
        if bits.flag("dependsOnCoreCoder")? {
            bits.skip(14, "coreCoderDelay")?;
        }
        bits.skip(1, "extensionFlag")?;
        let mut channels = match channel_configuration {
            0 => read_program_config(bits)?,
            1..=6 => channel_configuration,
            7 | 12 | 14 => 8,
            11 => 7,
            13 => 24,
            reserved => {
                return Err(bits.unsupported("channelConfiguration", u64::from(reserved)));
            }
        };
        if extension.is_none() && extensible {
            // Not being there is no error, so neither is an end in the middle.
            if let Ok(Some((kind, rate))) = read_sync_extension(bits) {
                extension = Some(kind);
                sample_rate = rate;
            }
        }
        if extension == Some(PS) && channels == 1 {
            channels = 2;
        }
        let doubled = sample_rate == core_sample_rate.saturating_mul(2);
        Ok(Config {
            sample_rate,
            channels,
            frame_samples: if doubled {
                core_samples * 2
            } else {
                core_samples
            },
            object_type: extension.unwrap_or(object_type),
            core_sample_rate,
            channel_configuration,
            record,
        })
    }

    /// AAC-LC with frames of 1024 samples. Rates outside of 7 to 192 kHz and channel counts other
    /// than 1 to 6 and 8 are refused.
    pub fn new_lc(sample_rate: u32, channels: u8) -> Result<Config, Error> {
        let configuration = match channels {
            1..=6 => channels,
            8 => 7,
            _ => {
                return Err(Error::Unsupported {
                    record: RECORD,
                    field: "channels",
                    value: u64::from(channels),
                });
            }
        };
        // audioObjectType 5 bits, samplingFrequencyIndex 4 bits (and 24), channelConfiguration 4 bits,
        // GASpecificConfig of three zero bits.
        let index = RATES.iter().position(|&rate| rate == sample_rate);
        let (head, size) = match index {
            Some(index) => (
                (u64::from(AAC_LC) << 11)
                    | (u64::try_from(index).expect("thirteen entries") << 7)
                    | (u64::from(configuration) << 3),
                2,
            ),
            None => (
                (u64::from(AAC_LC) << 35)
                    | (15 << 31)
                    | (u64::from(sample_rate & 0x00FF_FFFF) << 7)
                    | (u64::from(configuration) << 3),
                5,
            ),
        };
        Config::parse(Bytes::copy_from_slice(&head.to_be_bytes()[8 - size..]))
    }

    /// The configuration of an ADTS stream, from audio object type, `sampling_frequency_index` and
    /// `channel_configuration` of a header, and the frame after it: when the configuration is zero, the
    /// frame begins with the list of channels (ISO/IEC 14496-3 §1.A.3.2). SBR is not signalled in ADTS,
    /// so the record says what the core coder does, as for any implicit signalling.
    pub fn from_adts(
        object_type: u8,
        rate_index: u8,
        channel_configuration: u8,
        frame: &[u8],
    ) -> Result<Config, Error> {
        let head = u16::from(object_type & 0x1F) << 11
            | u16::from(rate_index & 0x0F) << 7
            | u16::from(channel_configuration & 0x0F) << 3;
        let mut record = BytesMut::with_capacity(2);
        record.put_u16(head);
        if channel_configuration == 0 {
            put_program_config(&mut record, frame)?;
        }
        Config::parse(record.freeze())
    }

    /// `mp4a.40.N` (RFC 6381 §3.3).
    pub fn codec_string(&self) -> String {
        format!("mp4a.40.{}", self.object_type)
    }
}

fn read_object_type(bits: &mut Bits<'_>) -> Result<u8, Error> {
    let kind = bits.byte(5, "audioObjectType")?;
    if kind == ESCAPE {
        return Ok(32 + bits.byte(6, "audioObjectTypeExt")?);
    }
    Ok(kind)
}

fn read_rate(bits: &mut Bits<'_>) -> Result<u32, Error> {
    let index = bits.byte(4, "samplingFrequencyIndex")?;
    if index == 15 {
        let rate = bits.bits(24, "samplingFrequency")?;
        if !RATE_RANGE.contains(&rate) {
            return Err(bits.unsupported("samplingFrequency", u64::from(rate)));
        }
        return Ok(rate);
    }
    let rate = RATES.get(usize::from(index)).copied();
    rate.ok_or_else(|| bits.unsupported("samplingFrequencyIndex", u64::from(index)))
}

/// Appends the program_config_element with which a frame begins to the first 16 bits of a record.
fn put_program_config(record: &mut BytesMut, frame: &[u8]) -> Result<(), Error> {
    let mut bits = Bits::new("raw_data_block", frame);
    // id_syn_ele, ISO/IEC 14496-3 table 4.85: 5 is ID_PCE.
    let element = bits.byte(3, "id_syn_ele")?;
    if element != 5 {
        return Err(bits.unsupported("first id_syn_ele", u64::from(element)));
    }
    let from = bits.position();
    read_channel_elements(&mut bits)?;
    let fields = Bits::new("raw_data_block", frame);
    put_bits(record, fields, from..bits.position())?;
    // comment_field_bytes: what the comment says is for people.
    record.put_u8(0);
    Ok(())
}

/// Appends the bits of a range, and zeros up to a whole byte.
fn put_bits(
    record: &mut BytesMut,
    mut bits: Bits<'_>,
    range: std::ops::Range<usize>,
) -> Result<(), Error> {
    bits.skip(range.start, "start of the range")?;
    let mut left = range.len();
    while left > 0 {
        let count = left.min(8);
        let shift = 8 - count;
        let value = bits.byte(u32::try_from(count).unwrap_or(8), "bits of the range")?;
        record.put_u8(value << shift);
        left -= count;
    }
    Ok(())
}

/// Counts the channels of a program_config_element, ISO/IEC 14496-3 §4.4.1.1, and stands after it.
fn read_program_config(bits: &mut Bits<'_>) -> Result<u8, Error> {
    let channels = read_channel_elements(bits)?;
    // Aligned relative to the start of the AudioSpecificConfig.
    bits.align();
    let comment = bits.byte(8, "comment_field_bytes")?;
    bits.skip(8 * usize::from(comment), "comment_field_data")?;
    Ok(channels)
}

/// The same, up to the alignment in front of its comment.
fn read_channel_elements(bits: &mut Bits<'_>) -> Result<u8, Error> {
    bits.skip(4 + 2 + 4, "element_instance_tag")?;
    let front = bits.byte(4, "num_front_channel_elements")?;
    let side = bits.byte(4, "num_side_channel_elements")?;
    let back = bits.byte(4, "num_back_channel_elements")?;
    let low_frequency = bits.byte(2, "num_lfe_channel_elements")?;
    let associated = bits.byte(3, "num_assoc_data_elements")?;
    let coupling = bits.byte(4, "num_valid_cc_elements")?;
    for (size, field) in [
        (4, "mono_mixdown_element_number"),
        (4, "stereo_mixdown_element_number"),
        (3, "matrix_mixdown_idx"),
    ] {
        if bits.flag(field)? {
            bits.skip(size, field)?;
        }
    }
    let mut channels = low_frequency;
    for _ in 0..front + side + back {
        // At most 3 x 15 elements of two channels.
        channels += 1 + u8::from(bits.flag("element_is_cpe")?);
        bits.skip(4, "element_tag_select")?;
    }
    bits.skip(4 * usize::from(low_frequency), "lfe_element_tag_select")?;
    bits.skip(4 * usize::from(associated), "assoc_data_element_tag_select")?;
    bits.skip(5 * usize::from(coupling), "valid_cc_element_tag_select")?;
    if channels == 0 {
        return Err(bits.unsupported("channels of the program config element", 0));
    }
    Ok(channels)
}

/// Backward compatible signalling of SBR and PS: the object type that it makes, and the output rate
/// (ISO/IEC 14496-3 §1.6.2.1, `syncExtensionType`).
fn read_sync_extension(bits: &mut Bits<'_>) -> Result<Option<(u8, u32)>, Error> {
    if bits.bits(11, "syncExtensionType")? != 0x2B7 {
        return Ok(None);
    }
    if read_object_type(bits)? != SBR || !bits.flag("sbrPresentFlag")? {
        return Ok(None);
    }
    let rate = read_rate(bits)?;
    let parametric = bits.remaining() >= 12
        && bits.bits(11, "syncExtensionType")? == 0x548
        && bits.flag("psPresentFlag")?;
    Ok(Some((if parametric { PS } else { SBR }, rate)))
}

/// A single channel element and the end: no gain, no bands, nothing coded (ISO/IEC 14496-3 §4.4.2).
/// `000` SCE, tag `0000`, global_gain 0, ics_info with max_sfb 0, no pulse, TNS or gain control, `111`.
const SILENT_MONO: [u8; 4] = [0x00, 0x00, 0x00, 0x07];

/// A channel pair element with a common window and the end: `001` CPE, tag `0000`, common_window `1`,
/// ics_info with max_sfb 0, ms_mask_present `00`, then twice global_gain and three flags, `111`.
const SILENT_STEREO: [u8; 6] = [0x21, 0x00, 0x00, 0x00, 0x00, 0x1C];

/// One frame of silence that any AAC-LC decoder takes; `None` for other object types and for more
/// than two channels.
pub fn silent_frame(config: &Config) -> Option<Bytes> {
    match (config.object_type, config.channel_configuration) {
        (AAC_LC, 1) => Some(Bytes::from_static(&SILENT_MONO)),
        (AAC_LC, 2) => Some(Bytes::from_static(&SILENT_STEREO)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
