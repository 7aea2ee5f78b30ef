//! H.264: AVCDecoderConfigurationRecord, SPS, key units, x264's options.

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use super::bits::{Bits, Bytewise, rbsp};
use super::vui::Vui;
use super::{Colour, DIMENSION_LIMIT, Error, PixelAspect};
use crate::media::nal;

mod x264;

pub use x264::{X264Options, x264_options};

const RECORD: &str = "avcC";
const SPS: &str = "H.264 SPS";
const SLICE: &str = "H.264 slice header";

/// `nal_unit_type` values (ITU-T H.264 table 7-1).
const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;

/// Profiles whose SPS states chroma format and bit depth (ITU-T H.264 §7.3.2.1.1).
const HIGH_PROFILES: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
/// Profiles whose record ends with chroma format and bit depth (ISO/IEC 14496-15 §5.3.3.1.2).
const EXTENDED_RECORD_PROFILES: [u8; 5] = [100, 110, 122, 144, 244];

/// AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3) and what its SPS says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The record as received, except that it always states 4-byte lengths.
    pub record: Bytes,
    /// Pixels after cropping.
    pub width: u32,
    /// Pixels after cropping.
    pub height: u32,
    /// Frames per second x 1000 from VUI timing.
    pub frame_rate_millis: Option<u32>,
    /// Bytes of the NAL length prefix as the record was received (1 to 4): what
    /// [`nal::with_four_byte_lengths`] must be told of each access unit.
    pub nal_length_size: u8,
    /// `profile_idc`: 66 baseline, 77 main, 100 high.
    pub profile: u8,
    /// The constraint flags byte.
    pub compatibility: u8,
    /// `level_idc`: ten times the level.
    pub level: u8,
    /// `chroma_format_idc`: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    /// Bits per luma sample.
    pub bit_depth: u8,
    /// Whether pictures may be coded as fields.
    pub interlaced: bool,
    /// Shape of a pixel, if stated.
    pub pixel_aspect: Option<PixelAspect>,
    /// Meaning of the sample values, if stated.
    pub colour: Option<Colour>,
    /// Frames that may precede another in decoding order and follow it in output order, if stated.
    pub max_reorder_frames: Option<u32>,
}

impl Config {
    /// Reads a record. It must hold an SPS and a PPS; the first SPS counts.
    pub fn parse(record: Bytes) -> Result<Config, Error> {
        let sets = Sets::read(&record)?;
        let missing = |field| Error::Unsupported {
            record: RECORD,
            field,
            value: 0,
        };
        let sps = sets.sps.first().ok_or_else(|| missing("number of SPS"))?;
        if sets.pps.is_empty() {
            return Err(missing("number of PPS"));
        }
        let sps = Sps::parse(sps)?;
        let nal_length_size = sets.length_size;
        drop(sets);
        let record = if nal_length_size == nal::LENGTH_SIZE {
            record
        } else {
            let mut changed = BytesMut::from(&record[..]);
            changed[4] |= 3;
            changed.freeze()
        };
        Ok(Config {
            width: sps.width,
            height: sps.height,
            // A frame lasts two ticks, one for each field (ITU-T H.264 §E.2.1).
            frame_rate_millis: sps.vui.frame_rate_millis(2),
            nal_length_size,
            profile: record[1],
            compatibility: record[2],
            level: record[3],
            chroma_format: sps.chroma_format,
            bit_depth: sps.bit_depth,
            interlaced: sps.interlaced,
            pixel_aspect: sps.vui.pixel_aspect,
            colour: sps.vui.colour,
            max_reorder_frames: sps.vui.max_reorder_frames,
            record,
        })
    }

    /// Builds a record from NAL units (without start code or length): at most 31 SPS and 255 PPS.
    pub fn from_parameter_sets(sps: &[&[u8]], pps: &[&[u8]]) -> Result<Config, Error> {
        let unsupported = |field, value: usize| Error::Unsupported {
            record: RECORD,
            field,
            value: u64::try_from(value).unwrap_or(u64::MAX),
        };
        let first = sps.first().filter(|sps| sps.len() >= 4);
        let Some(first) = first else {
            return Err(unsupported("number of SPS", 0));
        };
        let parsed = Sps::parse(first)?;
        let mut record = BytesMut::with_capacity(
            16 + sps
                .iter()
                .chain(pps)
                .map(|set| 2 + set.len())
                .sum::<usize>(),
        );
        record.put_u8(1);
        record.put_slice(&first[1..4]);
        record.put_u8(0xFC | 3);
        let count = u8::try_from(sps.len()).ok().filter(|&count| count < 32);
        record.put_u8(0xE0 | count.ok_or_else(|| unsupported("number of SPS", sps.len()))?);
        put_sets(&mut record, sps)?;
        let count = u8::try_from(pps.len());
        record.put_u8(count.map_err(|_| unsupported("number of PPS", pps.len()))?);
        put_sets(&mut record, pps)?;
        if EXTENDED_RECORD_PROFILES.contains(&first[1]) {
            record.put_u8(0xFC | parsed.chroma_format);
            record.put_u8(0xF8 | parsed.bit_depth.saturating_sub(8));
            record.put_u8(0xF8 | parsed.bit_depth_chroma.saturating_sub(8));
            record.put_u8(0);
        }
        Config::parse(record.freeze())
    }

    /// `avc1.PPCCLL` (RFC 6381 §3.3).
    pub fn codec_string(&self) -> String {
        format!(
            "avc1.{:02x}{:02x}{:02x}",
            self.profile, self.compatibility, self.level
        )
    }

    /// The sequence parameter sets, as NAL units.
    pub fn sps(&self) -> Vec<Bytes> {
        self.sets(|sets| sets.sps)
    }

    /// The picture parameter sets, as NAL units.
    pub fn pps(&self) -> Vec<Bytes> {
        self.sets(|sets| sets.pps)
    }

    fn sets<'a>(&'a self, pick: impl Fn(Sets<'a>) -> SmallVec<[&'a [u8]; 2]>) -> Vec<Bytes> {
        let Ok(sets) = Sets::read(&self.record) else {
            return Vec::new();
        };
        pick(sets)
            .into_iter()
            .map(|set| self.record.slice_ref(set))
            .collect()
    }
}

fn put_sets(record: &mut BytesMut, sets: &[&[u8]]) -> Result<(), Error> {
    for set in sets {
        let length = u16::try_from(set.len()).map_err(|_| Error::Unsupported {
            record: RECORD,
            field: "parameter set length",
            value: u64::try_from(set.len()).unwrap_or(u64::MAX),
        })?;
        record.put_u16(length);
        record.put_slice(set);
    }
    Ok(())
}

/// The arrays of a record, ISO/IEC 14496-15 §5.3.3.1.2.
struct Sets<'a> {
    length_size: u8,
    sps: SmallVec<[&'a [u8]; 2]>,
    pps: SmallVec<[&'a [u8]; 2]>,
}

impl<'a> Sets<'a> {
    fn read(record: &'a [u8]) -> Result<Sets<'a>, Error> {
        let mut bytes = Bytewise::new(RECORD, record);
        let version = bytes.u8("configurationVersion")?;
        if version != 1 {
            return Err(Error::Unsupported {
                record: RECORD,
                field: "configurationVersion",
                value: u64::from(version),
            });
        }
        bytes.take(3, "AVCProfileIndication")?;
        let length_size = (bytes.u8("lengthSizeMinusOne")? & 3) + 1;
        let count = bytes.u8("numOfSequenceParameterSets")? & 0x1F;
        let sps = read_sets(&mut bytes, count, "sequenceParameterSetLength")?;
        let count = bytes.u8("numOfPictureParameterSets")?;
        let pps = read_sets(&mut bytes, count, "pictureParameterSetLength")?;
        // What follows for the high profiles repeats the SPS; some encoders leave it out.
        Ok(Sets {
            length_size,
            sps,
            pps,
        })
    }
}

fn read_sets<'a>(
    bytes: &mut Bytewise<'a>,
    count: u8,
    field: &'static str,
) -> Result<SmallVec<[&'a [u8]; 2]>, Error> {
    (0..count)
        .map(|_| {
            let length = bytes.u16(field)?;
            bytes.take(usize::from(length), field)
        })
        .collect()
}

/// What an SPS says.
struct Sps {
    width: u32,
    height: u32,
    chroma_format: u8,
    bit_depth: u8,
    bit_depth_chroma: u8,
    interlaced: bool,
    vui: Vui,
}

impl Sps {
    /// Reads an SPS NAL unit (ITU-T H.264 §7.3.2.1.1).
    fn parse(nal: &[u8]) -> Result<Sps, Error> {
        let data = rbsp(nal);
        let mut bits = Bits::new(SPS, &data);
        let kind = bits.byte(8, "nal_unit_header")? & 0x1F;
        if kind != NAL_SPS {
            return Err(bits.unsupported("nal_unit_type", u64::from(kind)));
        }
        let profile = bits.byte(8, "profile_idc")?;
        bits.skip(16, "level_idc")?;
        bits.ue_max(31, "seq_parameter_set_id")?;
        let (mut chroma_format, mut separate_planes) = (1, false);
        let (mut bit_depth, mut bit_depth_chroma) = (8, 8);
        if HIGH_PROFILES.contains(&profile) {
            chroma_format = small(bits.ue_max(3, "chroma_format_idc")?);
            if chroma_format == 3 {
                separate_planes = bits.flag("separate_colour_plane_flag")?;
            }
            bit_depth = 8 + small(bits.ue_max(6, "bit_depth_luma_minus8")?);
            bit_depth_chroma = 8 + small(bits.ue_max(6, "bit_depth_chroma_minus8")?);
            bits.skip(1, "qpprime_y_zero_transform_bypass_flag")?;
            if bits.flag("seq_scaling_matrix_present_flag")? {
                let lists = if chroma_format == 3 { 12 } else { 8 };
                for list in 0..lists {
                    if bits.flag("seq_scaling_list_present_flag")? {
                        skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        bits.ue_max(12, "log2_max_frame_num_minus4")?;
        match bits.ue_max(2, "pic_order_cnt_type")? {
            0 => {
                bits.ue_max(12, "log2_max_pic_order_cnt_lsb_minus4")?;
            }
            1 => {
                bits.skip(1, "delta_pic_order_always_zero_flag")?;
                bits.se("offset_for_non_ref_pic")?;
                bits.se("offset_for_top_to_bottom_field")?;
                for _ in 0..bits.ue_max(255, "num_ref_frames_in_pic_order_cnt_cycle")? {
                    bits.se("offset_for_ref_frame")?;
                }
            }
            _ => {}
        }
        bits.ue("max_num_ref_frames")?;
        bits.skip(1, "gaps_in_frame_num_value_allowed_flag")?;
        let macroblocks = DIMENSION_LIMIT / 16 - 1;
        let columns = bits.ue_max(macroblocks, "pic_width_in_mbs_minus1")? + 1;
        let rows = bits.ue_max(macroblocks, "pic_height_in_map_units_minus1")? + 1;
        let interlaced = !bits.flag("frame_mbs_only_flag")?;
        if interlaced {
            bits.skip(1, "mb_adaptive_frame_field_flag")?;
        }
        bits.skip(1, "direct_8x8_inference_flag")?;
        let fields = if interlaced { 2 } else { 1 };
        let (mut width, mut height) = (columns * 16, rows * 16 * fields);
        if bits.flag("frame_cropping_flag")? {
            // Units of ITU-T H.264 §7.4.2.1.1, equations 7-19 to 7-22.
            let array_type = if separate_planes { 0 } else { chroma_format };
            let unit_x = if matches!(array_type, 1 | 2) { 2 } else { 1 };
            let unit_y = if array_type == 1 { 2 } else { 1 } * fields;
            let mut crop = |field| bits.ue_max(DIMENSION_LIMIT, field);
            let horizontal = crop("frame_crop_left_offset")? + crop("frame_crop_right_offset")?;
            let vertical = crop("frame_crop_top_offset")? + crop("frame_crop_bottom_offset")?;
            width = width.saturating_sub(horizontal * unit_x);
            height = height.saturating_sub(vertical * unit_y);
        }
        if width == 0 || height == 0 || height > DIMENSION_LIMIT {
            return Err(bits.unsupported("height after cropping", u64::from(height)));
        }
        let mut vui = Vui::default();
        if bits.flag("vui_parameters_present_flag")? {
            // A picture can be shown without the VUI: one that is cut off counts as far as it goes.
            let _ = read_vui(&mut vui, &mut bits);
        }
        Ok(Sps {
            width,
            height,
            chroma_format,
            bit_depth,
            bit_depth_chroma,
            interlaced,
            vui,
        })
    }
}

/// A value that a bound has shown to be small.
fn small(value: u32) -> u8 {
    u8::try_from(value).expect("bounded by the caller below 256")
}

/// ITU-T H.264 §7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut Bits<'_>, size: usize) -> Result<(), Error> {
    let mut next = 8i32;
    for _ in 0..size {
        if next == 0 {
            break;
        }
        let delta = bits.se("delta_scale")?;
        next = next.wrapping_add(delta).rem_euclid(256);
    }
    Ok(())
}

/// ITU-T H.264 §E.1.1.
fn read_vui(vui: &mut Vui, bits: &mut Bits<'_>) -> Result<(), Error> {
    vui.read_common(bits)?;
    if bits.flag("timing_info_present_flag")? {
        vui.read_tick(bits)?;
        bits.skip(1, "fixed_frame_rate_flag")?;
    }
    let nal_hrd = bits.flag("nal_hrd_parameters_present_flag")?;
    if nal_hrd {
        skip_hrd(bits)?;
    }
    let vcl_hrd = bits.flag("vcl_hrd_parameters_present_flag")?;
    if vcl_hrd {
        skip_hrd(bits)?;
    }
    if nal_hrd || vcl_hrd {
        bits.skip(1, "low_delay_hrd_flag")?;
    }
    bits.skip(1, "pic_struct_present_flag")?;
    if bits.flag("bitstream_restriction_flag")? {
        bits.skip(1, "motion_vectors_over_pic_boundaries_flag")?;
        for field in [
            "max_bytes_per_pic_denom",
            "max_bits_per_mb_denom",
            "log2_max_mv_length_horizontal",
            "log2_max_mv_length_vertical",
        ] {
            bits.ue(field)?;
        }
        vui.max_reorder_frames = Some(bits.ue_max(16, "max_num_reorder_frames")?);
    }
    Ok(())
}

/// ITU-T H.264 §E.1.2.
fn skip_hrd(bits: &mut Bits<'_>) -> Result<(), Error> {
    let count = bits.ue_max(31, "cpb_cnt_minus1")? + 1;
    bits.skip(8, "bit_rate_scale")?;
    for _ in 0..count {
        bits.ue("bit_rate_value_minus1")?;
        bits.ue("cpb_size_value_minus1")?;
        bits.skip(1, "cbr_flag")?;
    }
    bits.skip(20, "time_offset_length")
}

/// Whether decoding can start at this access unit (4-byte lengths): it holds an IDR picture. An
/// I-picture of an open GOP, even with a recovery point, does not count; neither does malformed data.
pub fn is_key_unit(data: &[u8]) -> bool {
    for unit in nal::units(data) {
        match unit.map(|unit| unit[0] & 0x1F) {
            Ok(NAL_IDR) => return true,
            // The first slice decides: all slices of a primary coded picture are IDR or none is.
            Ok(1..=4) | Err(_) => return false,
            Ok(_) => {}
        }
    }
    false
}

/// Whether the picture is intra coded without being an IDR: later pictures may still refer to what is
/// before it, so nobody can begin here (open GOP, or an extra key picture at a scene change).
pub fn is_open_intra(data: &[u8]) -> bool {
    let mut units = nal::units(data).map_while(Result::ok);
    let slice = units.find(|unit| matches!(unit[0] & 0x1F, 1..=NAL_IDR));
    let Some(slice) = slice.filter(|unit| unit[0] & 0x1F == NAL_SLICE) else {
        return false;
    };
    // first_mb_in_slice, slice_type (ITU-T H.264 §7.3.3); 7 says that all slices of the picture are I.
    let mut header = Bits::new(SLICE, slice.get(1..).unwrap_or_default());
    let _ = header.ue("first_mb_in_slice");
    matches!(header.ue("slice_type"), Ok(2 | 7))
}

/// Parameter sets sent within an access unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParameterSets<'a> {
    /// Sequence parameter sets, as NAL units.
    pub sps: SmallVec<[&'a [u8]; 2]>,
    /// Picture parameter sets, as NAL units.
    pub pps: SmallVec<[&'a [u8]; 2]>,
}

impl ParameterSets<'_> {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sps.is_empty() && self.pps.is_empty()
    }

    /// The configuration they make, when an SPS and a PPS are there.
    pub fn config(&self) -> Option<Result<Config, Error>> {
        if self.sps.is_empty() || self.pps.is_empty() {
            return None;
        }
        Some(Config::from_parameter_sets(&self.sps, &self.pps))
    }
}

/// The parameter sets within an access unit (4-byte lengths), as far as it is well formed; at most as
/// many as a record can hold.
pub fn parameter_sets(data: &[u8]) -> ParameterSets<'_> {
    let mut sets = ParameterSets::default();
    for unit in nal::units(data).map_while(Result::ok) {
        match unit[0] & 0x1F {
            NAL_SPS if sets.sps.len() < 31 => sets.sps.push(unit),
            NAL_PPS if sets.pps.len() < 255 => sets.pps.push(unit),
            _ => {}
        }
    }
    sets
}

#[cfg(test)]
mod tests;
