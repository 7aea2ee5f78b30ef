//! AV1: AV1CodecConfigurationRecord, sequence header, key units.

use bytes::{BufMut, Bytes, BytesMut};

use super::bits::Bits;
use super::vui::frame_rate_millis;
use super::{Colour, Error};
use crate::media::nal::{self, Obu};

const RECORD: &str = "av1C";
const SEQUENCE: &str = "AV1 sequence header";

/// `obu_type` values (AV1 specification §6.2.2).
const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_FRAME_HEADER: u8 = 3;
const OBU_FRAME: u8 = 6;

/// Bytes of a record in front of its OBUs (AV1 in ISOBMFF §2.3.3).
const RECORD_HEAD: usize = 4;

/// AV1CodecConfigurationRecord and what its sequence header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The record as received.
    pub record: Bytes,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second x 1000, when timing says that pictures are equally spaced.
    pub frame_rate_millis: Option<u32>,
    /// `seq_profile`: 0 main, 1 high, 2 professional.
    pub profile: u8,
    /// `seq_level_idx[0]`.
    pub level: u8,
    /// `seq_tier[0]`: whether the high tier is used.
    pub high_tier: bool,
    /// Bits per sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// Whether there are no chroma planes.
    pub monochrome: bool,
    /// `subsampling_x`, `subsampling_y`.
    pub subsampling: (bool, bool),
    /// `chroma_sample_position`; zero when unknown.
    pub chroma_position: u8,
    /// Meaning of the sample values, if stated.
    pub colour: Option<Colour>,
}

impl Config {
    /// Reads a record. It must hold a sequence header: without one the size is not known, and
    /// [`Config::from_temporal_unit`] is to be used on the first key unit.
    pub fn parse(record: Bytes) -> Result<Config, Error> {
        let Some((head, obus)) = record.split_at_checked(RECORD_HEAD) else {
            return Err(Error::Truncated {
                record: RECORD,
                field: "configOBUs",
                at: record.len(),
            });
        };
        // marker 1, version 1
        if head[0] != 0x81 {
            return Err(Error::Unsupported {
                record: RECORD,
                field: "version",
                value: u64::from(head[0]),
            });
        }
        let header = find_sequence_header(obus)?;
        let sequence = Sequence::parse(header.payload)?;
        Ok(sequence.config(record))
    }

    /// Builds a record from the sequence header in a temporal unit.
    pub fn from_temporal_unit(data: &[u8]) -> Result<Config, Error> {
        let header = find_sequence_header(data)?;
        let sequence = Sequence::parse(header.payload)?;
        let flag = |value: bool, shift: u8| u8::from(value) << shift;
        let mut record = BytesMut::with_capacity(RECORD_HEAD + 10 + header.payload.len());
        record.put_u8(0x81);
        record.put_u8((sequence.profile << 5) | sequence.level);
        record.put_u8(
            flag(sequence.high_tier, 7)
                | flag(sequence.bit_depth > 8, 6)
                | flag(sequence.bit_depth == 12, 5)
                | flag(sequence.monochrome, 4)
                | flag(sequence.subsampling.0, 3)
                | flag(sequence.subsampling.1, 2)
                | sequence.chroma_position,
        );
        // No initial_presentation_delay.
        record.put_u8(0);
        // The OBU, with obu_has_size_field as configOBUs requires.
        record.put_u8((OBU_SEQUENCE_HEADER << 3) | 2);
        let mut size = header.payload.len();
        while size >= 0x80 {
            record.put_u8(u8::try_from(size & 0x7F).expect("seven bits") | 0x80);
            size >>= 7;
        }
        record.put_u8(u8::try_from(size).expect("below 128"));
        record.put_slice(header.payload);
        Ok(sequence.config(record.freeze()))
    }

    /// `av01.P.LLT.DD`, followed by the optional part when it is not the default (AV1 in ISOBMFF,
    /// "Codecs Parameter String").
    pub fn codec_string(&self) -> String {
        let tier = if self.high_tier { 'H' } else { 'M' };
        let mut text = format!(
            "av01.{}.{:02}{tier}.{:02}",
            self.profile, self.level, self.bit_depth
        );
        let colour = self.colour.unwrap_or(Colour::BT709).or_bt709();
        let plain = !self.monochrome
            && self.subsampling == (true, true)
            && self.chroma_position == 0
            && colour == Colour::BT709;
        if !plain {
            text.push_str(&format!(
                ".{}.{}{}{}.{:02}.{:02}.{:02}.{}",
                u8::from(self.monochrome),
                u8::from(self.subsampling.0),
                u8::from(self.subsampling.1),
                self.chroma_position,
                colour.primaries,
                colour.transfer,
                colour.matrix,
                u8::from(colour.full_range),
            ));
        }
        text
    }
}

fn find_sequence_header(obus: &[u8]) -> Result<Obu<'_>, Error> {
    for obu in nal::obus(obus) {
        let obu = obu?;
        if obu.kind == OBU_SEQUENCE_HEADER {
            return Ok(obu);
        }
    }
    Err(Error::Truncated {
        record: RECORD,
        field: "sequence header OBU",
        at: obus.len(),
    })
}

/// A sequence header (AV1 specification §5.5).
struct Sequence {
    profile: u8,
    level: u8,
    high_tier: bool,
    frame_rate_millis: Option<u32>,
    width: u32,
    height: u32,
    bit_depth: u8,
    monochrome: bool,
    subsampling: (bool, bool),
    chroma_position: u8,
    colour: Option<Colour>,
}

impl Sequence {
    fn parse(payload: &[u8]) -> Result<Sequence, Error> {
        let mut bits = Bits::new(SEQUENCE, payload);
        let profile = bits.byte(3, "seq_profile")?;
        if profile > 2 {
            return Err(bits.unsupported("seq_profile", u64::from(profile)));
        }
        bits.skip(1, "still_picture")?;
        let reduced = bits.flag("reduced_still_picture_header")?;
        let mut frame_rate = None;
        let (level, high_tier) = if reduced {
            (bits.byte(5, "seq_level_idx")?, false)
        } else {
            read_operating_points(&mut bits, &mut frame_rate)?
        };
        let width_bits = bits.bits(4, "frame_width_bits_minus_1")? + 1;
        let height_bits = bits.bits(4, "frame_height_bits_minus_1")? + 1;
        // At most 16 bits each, so at most 65536 pixels.
        let width = bits.bits(width_bits, "max_frame_width_minus_1")? + 1;
        let height = bits.bits(height_bits, "max_frame_height_minus_1")? + 1;
        if !reduced && bits.flag("frame_id_numbers_present_flag")? {
            bits.skip(4 + 3, "delta_frame_id_length_minus_2")?;
        }
        bits.skip(3, "use_128x128_superblock")?;
        if !reduced {
            skip_tools(&mut bits)?;
        }
        bits.skip(3, "enable_superres")?;
        let mut sequence = Sequence {
            profile,
            level,
            high_tier,
            frame_rate_millis: frame_rate,
            width,
            height,
            bit_depth: 8,
            monochrome: false,
            subsampling: (true, true),
            chroma_position: 0,
            colour: None,
        };
        sequence.read_colour(&mut bits)?;
        Ok(sequence)
    }

    /// color_config(), AV1 specification §5.5.2.
    fn read_colour(&mut self, bits: &mut Bits<'_>) -> Result<(), Error> {
        if bits.flag("high_bitdepth")? {
            let twelve = self.profile == 2 && bits.flag("twelve_bit")?;
            self.bit_depth = if twelve { 12 } else { 10 };
        }
        self.monochrome = self.profile != 1 && bits.flag("mono_chrome")?;
        let described = bits.flag("color_description_present_flag")?;
        let mut code = |field| {
            if described {
                bits.byte(8, field)
            } else {
                Ok(Colour::UNSPECIFIED)
            }
        };
        let mut colour = Colour {
            primaries: code("color_primaries")?,
            transfer: code("transfer_characteristics")?,
            matrix: code("matrix_coefficients")?,
            full_range: false,
        };
        // BT.709 primaries, sRGB transfer and the identity matrix: RGB, in full range by definition.
        let rgb =
            !self.monochrome && (colour.primaries, colour.transfer, colour.matrix) == (1, 13, 0);
        if rgb {
            colour.full_range = true;
            self.subsampling = (false, false);
        } else {
            colour.full_range = bits.flag("color_range")?;
            if !self.monochrome {
                self.subsampling = match self.profile {
                    0 => (true, true),
                    1 => (false, false),
                    _ if self.bit_depth == 12 => {
                        let x = bits.flag("subsampling_x")?;
                        (x, x && bits.flag("subsampling_y")?)
                    }
                    _ => (true, false),
                };
                if self.subsampling == (true, true) {
                    self.chroma_position = bits.byte(2, "chroma_sample_position")?;
                }
            }
        }
        if described || colour.full_range {
            self.colour = Some(colour);
        }
        Ok(())
    }

    fn config(self, record: Bytes) -> Config {
        Config {
            record,
            width: self.width,
            height: self.height,
            frame_rate_millis: self.frame_rate_millis,
            profile: self.profile,
            level: self.level,
            high_tier: self.high_tier,
            bit_depth: self.bit_depth,
            monochrome: self.monochrome,
            subsampling: self.subsampling,
            chroma_position: self.chroma_position,
            colour: self.colour,
        }
    }
}

/// From timing_info_present_flag to the last operating point: level and tier of the first one.
fn read_operating_points(
    bits: &mut Bits<'_>,
    frame_rate: &mut Option<u32>,
) -> Result<(u8, bool), Error> {
    let mut delay_bits = None;
    if bits.flag("timing_info_present_flag")? {
        let units = bits.bits(32, "num_units_in_display_tick")?;
        let scale = bits.bits(32, "time_scale")?;
        if bits.flag("equal_picture_interval")? {
            let ticks = u64::from(bits.ue("num_ticks_per_picture_minus_1")?) + 1;
            *frame_rate = u64::from(units)
                .checked_mul(ticks)
                .and_then(|units| frame_rate_millis(units, scale));
        }
        if bits.flag("decoder_model_info_present_flag")? {
            delay_bits = Some(bits.bits(5, "buffer_delay_length_minus_1")? + 1);
            bits.skip(32 + 5 + 5, "num_units_in_decoding_tick")?;
        }
    }
    let display_delay = bits.flag("initial_display_delay_present_flag")?;
    let mut first = (0, false);
    for index in 0..=bits.bits(5, "operating_points_cnt_minus_1")? {
        bits.skip(12, "operating_point_idc")?;
        let level = bits.byte(5, "seq_level_idx")?;
        let high_tier = level > 7 && bits.flag("seq_tier")?;
        if index == 0 {
            first = (level, high_tier);
        }
        if let Some(delay_bits) = delay_bits
            && bits.flag("decoder_model_present_for_this_op")?
        {
            bits.bits(delay_bits, "decoder_buffer_delay")?;
            bits.bits(delay_bits, "encoder_buffer_delay")?;
            bits.skip(1, "low_delay_mode_flag")?;
        }
        if display_delay && bits.flag("initial_display_delay_present_for_this_op")? {
            bits.skip(4, "initial_display_delay_minus_1")?;
        }
    }
    Ok(first)
}

/// From enable_interintra_compound to order_hint_bits_minus_1.
fn skip_tools(bits: &mut Bits<'_>) -> Result<(), Error> {
    bits.skip(4, "enable_interintra_compound")?;
    let order_hint = bits.flag("enable_order_hint")?;
    if order_hint {
        bits.skip(2, "enable_jnt_comp")?;
    }
    // SELECT_SCREEN_CONTENT_TOOLS when chosen per frame.
    let screen_content = bits.flag("seq_choose_screen_content_tools")?
        || bits.flag("seq_force_screen_content_tools")?;
    if screen_content && !bits.flag("seq_choose_integer_mv")? {
        bits.skip(1, "seq_force_integer_mv")?;
    }
    if order_hint {
        bits.skip(3, "order_hint_bits_minus_1")?;
    }
    Ok(())
}

/// Whether decoding can start at this temporal unit: it holds a sequence header, and its first frame
/// is a key frame that is shown (AV1 in ISOBMFF §2.4, "sync sample").
pub fn is_key_unit(data: &[u8]) -> bool {
    let mut reduced = None;
    for obu in nal::obus(data) {
        let Ok(obu) = obu else { return false };
        match obu.kind {
            OBU_SEQUENCE_HEADER => {
                // seq_profile 3 bits, still_picture 1 bit, reduced_still_picture_header 1 bit.
                reduced = obu.payload.first().map(|byte| byte & 0x08 != 0);
            }
            OBU_FRAME_HEADER | OBU_FRAME => {
                let (Some(reduced), Some(&first)) = (reduced, obu.payload.first()) else {
                    return false;
                };
                // show_existing_frame 0, frame_type 00 (KEY_FRAME), show_frame 1 (§5.9.2).
                return reduced || first >> 4 == 0b0001;
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests;
