//! H.265: HEVCDecoderConfigurationRecord, SPS, key units.

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use super::bits::{Bits, Bytewise, rbsp};
use super::vui::Vui;
use super::{Colour, DIMENSION_LIMIT, Error, PixelAspect};
use crate::media::nal;

const RECORD: &str = "hvcC";
const SPS: &str = "H.265 SPS";

/// `nal_unit_type` values (ITU-T H.265 table 7-1).
const NAL_BLA_W_LP: u8 = 16;
const NAL_BLA_W_RADL: u8 = 17;
const NAL_IDR_N_LP: u8 = 20;
const NAL_CRA: u8 = 21;
const NAL_VPS: u8 = 32;
const NAL_SPS: u8 = 33;
const NAL_PPS: u8 = 34;

/// Bytes of a record in front of its arrays (ISO/IEC 14496-15 §8.3.3.1.2).
const RECORD_HEAD: usize = 22;

/// HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 §8.3.3) and what its SPS says.
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
    /// `chroma_format_idc`: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    /// Bits per luma sample.
    pub bit_depth: u8,
    /// Shape of a pixel, if stated.
    pub pixel_aspect: Option<PixelAspect>,
    /// Meaning of the sample values, if stated.
    pub colour: Option<Colour>,
    /// Pictures that may precede another in decoding order and follow it in output order.
    pub max_reorder_frames: Option<u32>,
}

impl Config {
    /// Reads a record. It must hold an SPS; the first one counts.
    pub fn parse(record: Bytes) -> Result<Config, Error> {
        let sets = Sets::read(&record)?;
        let sps = sets.sps.first().ok_or(Error::Unsupported {
            record: RECORD,
            field: "number of SPS",
            value: 0,
        })?;
        let sps = Sps::parse(sps)?;
        let nal_length_size = sets.length_size;
        drop(sets);
        let record = if nal_length_size == nal::LENGTH_SIZE {
            record
        } else {
            let mut changed = BytesMut::from(&record[..]);
            changed[21] |= 3;
            changed.freeze()
        };
        let ticks = if sps.vui.field_sequence { 2 } else { 1 };
        Ok(Config {
            width: sps.width,
            height: sps.height,
            frame_rate_millis: sps.vui.frame_rate_millis(ticks),
            nal_length_size,
            chroma_format: sps.chroma_format,
            bit_depth: sps.bit_depth,
            pixel_aspect: sps.vui.pixel_aspect,
            colour: sps.vui.colour,
            max_reorder_frames: sps.vui.max_reorder_frames,
            record,
        })
    }

    /// Builds a record from NAL units (without start code or length).
    pub fn from_parameter_sets(
        vps: &[&[u8]],
        sps: &[&[u8]],
        pps: &[&[u8]],
    ) -> Result<Config, Error> {
        let missing = |field| Error::Unsupported {
            record: RECORD,
            field,
            value: 0,
        };
        let first = sps.first().ok_or_else(|| missing("number of SPS"))?;
        if pps.is_empty() {
            return Err(missing("number of PPS"));
        }
        let parsed = Sps::parse(first)?;
        let size: usize = [vps, sps, pps]
            .into_iter()
            .flatten()
            .map(|set| 2 + set.len())
            .sum();
        let mut record = BytesMut::with_capacity(RECORD_HEAD + 10 + size);
        record.put_u8(1);
        record.put_slice(&parsed.profile_tier_level);
        // min_spatial_segmentation_idc and parallelismType: unknown.
        record.put_u16(0xF000);
        record.put_u8(0xFC);
        record.put_u8(0xFC | parsed.chroma_format);
        record.put_u8(0xF8 | parsed.bit_depth.saturating_sub(8));
        record.put_u8(0xF8 | parsed.bit_depth_chroma.saturating_sub(8));
        // avgFrameRate: unspecified.
        record.put_u16(0);
        record.put_u8((parsed.sub_layers << 3) | (u8::from(parsed.nested) << 2) | 3);
        let arrays = [(NAL_VPS, vps), (NAL_SPS, sps), (NAL_PPS, pps)];
        let arrays = arrays.into_iter().filter(|(_, sets)| !sets.is_empty());
        record.put_u8(u8::try_from(arrays.clone().count()).expect("three arrays"));
        for (kind, sets) in arrays {
            // array_completeness: hvc1 has no parameter sets elsewhere.
            record.put_u8(0x80 | kind);
            record.put_u16(length_16(sets.len())?);
            for set in sets {
                record.put_u16(length_16(set.len())?);
                record.put_slice(set);
            }
        }
        Config::parse(record.freeze())
    }

    /// `hvc1.1.6.L93.B0` (ISO/IEC 14496-15 Annex E.3).
    pub fn codec_string(&self) -> String {
        let Some(head) = self.record.get(..13) else {
            return "hvc1".to_owned();
        };
        let space = ["", "A", "B", "C"][usize::from(head[1] >> 6)];
        let tier = if head[1] & 0x20 == 0 { 'L' } else { 'H' };
        let profile = head[1] & 0x1F;
        let compatibility = u32::from_be_bytes([head[2], head[3], head[4], head[5]]).reverse_bits();
        let level = head[12];
        let mut text = format!("hvc1.{space}{profile}.{compatibility:X}.{tier}{level}");
        let constraints = &head[6..12];
        let end = constraints.iter().rposition(|&byte| byte != 0);
        for byte in &constraints[..end.map_or(0, |last| last + 1)] {
            write!(text, ".{byte:X}").expect("writing to a string does not fail");
        }
        text
    }

    /// The video parameter sets, as NAL units.
    pub fn vps(&self) -> Vec<Bytes> {
        self.sets(|sets| sets.vps)
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

fn length_16(length: usize) -> Result<u16, Error> {
    u16::try_from(length).map_err(|_| Error::Unsupported {
        record: RECORD,
        field: "parameter set length",
        value: u64::try_from(length).unwrap_or(u64::MAX),
    })
}

/// The arrays of a record.
#[derive(Default)]
struct Sets<'a> {
    length_size: u8,
    vps: SmallVec<[&'a [u8]; 2]>,
    sps: SmallVec<[&'a [u8]; 2]>,
    pps: SmallVec<[&'a [u8]; 2]>,
}

impl<'a> Sets<'a> {
    /// ISO/IEC 14496-15 §8.3.3.1.2.
    fn read(record: &'a [u8]) -> Result<Sets<'a>, Error> {
        let mut bytes = Bytewise::new(RECORD, record);
        let head = bytes.take(RECORD_HEAD, "profile, tier and level")?;
        // Version 0 was written by drafts that some encoders still follow; the layout is the same.
        if head[0] > 1 {
            return Err(Error::Unsupported {
                record: RECORD,
                field: "configurationVersion",
                value: u64::from(head[0]),
            });
        }
        let mut sets = Sets {
            length_size: (head[21] & 3) + 1,
            ..Sets::default()
        };
        for _ in 0..bytes.u8("numOfArrays")? {
            let kind = bytes.u8("NAL_unit_type")? & 0x3F;
            // Each unit takes two bytes or the loop ends in an error.
            for _ in 0..bytes.u16("numNalus")? {
                let length = bytes.u16("nalUnitLength")?;
                let set = bytes.take(usize::from(length), "nalUnit")?;
                match kind {
                    NAL_VPS => sets.vps.push(set),
                    NAL_SPS => sets.sps.push(set),
                    NAL_PPS => sets.pps.push(set),
                    _ => {}
                }
            }
        }
        Ok(sets)
    }
}

/// What an SPS says.
struct Sps {
    /// 12 bytes: general profile space to general level.
    profile_tier_level: [u8; 12],
    sub_layers: u8,
    nested: bool,
    width: u32,
    height: u32,
    chroma_format: u8,
    bit_depth: u8,
    bit_depth_chroma: u8,
    vui: Vui,
}

impl Sps {
    /// Reads an SPS NAL unit (ITU-T H.265 §7.3.2.2).
    fn parse(nal: &[u8]) -> Result<Sps, Error> {
        let data = rbsp(nal);
        let mut bits = Bits::new(SPS, &data);
        let kind = nal_type(bits.byte(8, "nal_unit_header")?);
        if kind != NAL_SPS {
            return Err(bits.unsupported("nal_unit_type", u64::from(kind)));
        }
        bits.skip(8 + 4, "sps_video_parameter_set_id")?;
        let sub_layers_minus1 = bits.byte(3, "sps_max_sub_layers_minus1")?;
        if sub_layers_minus1 > 6 {
            return Err(bits.unsupported("sps_max_sub_layers_minus1", 7));
        }
        let nested = bits.flag("sps_temporal_id_nesting_flag")?;
        let mut profile_tier_level = [0; 12];
        for byte in &mut profile_tier_level {
            *byte = bits.byte(8, "general_profile_tier_level")?;
        }
        skip_sub_layer_levels(&mut bits, sub_layers_minus1)?;
        bits.ue_max(15, "sps_seq_parameter_set_id")?;
        let chroma_format = small(bits.ue_max(3, "chroma_format_idc")?);

        if chroma_format == 3 {
            bits.skip(1, "separate_colour_plane_flag")?;
        }
        let mut width = bits.ue_max(DIMENSION_LIMIT, "pic_width_in_luma_samples")?;
        let mut height = bits.ue_max(DIMENSION_LIMIT, "pic_height_in_luma_samples")?;
        if bits.flag("conformance_window_flag")? {
            // SubWidthC and SubHeightC, ITU-T H.265 table 6-1.
            let unit_x = if matches!(chroma_format, 1 | 2) { 2 } else { 1 };
            let unit_y = if chroma_format == 1 { 2 } else { 1 };
            let mut crop = |field| bits.ue_max(DIMENSION_LIMIT, field);
            let horizontal = crop("conf_win_left_offset")? + crop("conf_win_right_offset")?;
            let vertical = crop("conf_win_top_offset")? + crop("conf_win_bottom_offset")?;
            width = width.saturating_sub(horizontal * unit_x);
            height = height.saturating_sub(vertical * unit_y);
        }
        if width == 0 || height == 0 {
            return Err(bits.unsupported("size after cropping", 0));
        }
        let bit_depth = 8 + small(bits.ue_max(8, "bit_depth_luma_minus8")?);
        let bit_depth_chroma = 8 + small(bits.ue_max(8, "bit_depth_chroma_minus8")?);
        let mut vui = Vui::default();
        // A picture can be shown without the rest: what is cut off counts as far as it goes.
        let _ = read_rest(&mut vui, &mut bits, sub_layers_minus1);
        Ok(Sps {
            profile_tier_level,
            sub_layers: sub_layers_minus1 + 1,
            nested,
            width,
            height,
            chroma_format,
            bit_depth,
            bit_depth_chroma,
            vui,
        })
    }
}

/// `nal_unit_type` from the first header byte (ITU-T H.265 §7.3.1.2).
fn nal_type(first: u8) -> u8 {
    (first >> 1) & 0x3F
}

/// A value that a bound has shown to be small.
fn small(value: u32) -> u8 {
    u8::try_from(value).expect("bounded by the caller below 256")
}

/// The sub-layer part of profile_tier_level(), ITU-T H.265 §7.3.3.
fn skip_sub_layer_levels(bits: &mut Bits<'_>, sub_layers_minus1: u8) -> Result<(), Error> {
    if sub_layers_minus1 == 0 {
        return Ok(());
    }
    let mut size = 0;
    for _ in 0..sub_layers_minus1 {
        if bits.flag("sub_layer_profile_present_flag")? {
            size += 88;
        }
        if bits.flag("sub_layer_level_present_flag")? {
            size += 8;
        }
    }
    let reserved = 2 * (8 - usize::from(sub_layers_minus1));
    bits.skip(reserved + size, "sub_layer_profile_tier_level")
}

/// From log2_max_pic_order_cnt_lsb_minus4 to the timing in the VUI, ITU-T H.265 §7.3.2.2.1.
fn read_rest(vui: &mut Vui, bits: &mut Bits<'_>, sub_layers_minus1: u8) -> Result<(), Error> {
    let order_bits = 4 + bits.ue_max(12, "log2_max_pic_order_cnt_lsb_minus4")?;
    let all_layers = bits.flag("sps_sub_layer_ordering_info_present_flag")?;
    let layers = if all_layers { sub_layers_minus1 + 1 } else { 1 };
    for _ in 0..layers {
        bits.ue("sps_max_dec_pic_buffering_minus1")?;
        // The highest layer comes last and is the one decoded.
        vui.max_reorder_frames = Some(bits.ue_max(15, "sps_max_num_reorder_pics")?);
        bits.ue("sps_max_latency_increase_plus1")?;
    }
    for field in [
        "log2_min_luma_coding_block_size_minus3",
        "log2_diff_max_min_luma_coding_block_size",
        "log2_min_luma_transform_block_size_minus2",
        "log2_diff_max_min_luma_transform_block_size",
        "max_transform_hierarchy_depth_inter",
        "max_transform_hierarchy_depth_intra",
    ] {
        bits.ue(field)?;
    }
    if bits.flag("scaling_list_enabled_flag")? && bits.flag("sps_scaling_list_data_present_flag")? {
        skip_scaling_lists(bits)?;
    }
    bits.skip(2, "amp_enabled_flag")?;
    if bits.flag("pcm_enabled_flag")? {
        bits.skip(8, "pcm_sample_bit_depth_luma_minus1")?;
        bits.ue("log2_min_pcm_luma_coding_block_size_minus3")?;
        bits.ue("log2_diff_max_min_pcm_luma_coding_block_size")?;
        bits.skip(1, "pcm_loop_filter_disabled_flag")?;
    }
    let mut pictures = 0;
    for set in 0..bits.ue_max(64, "num_short_term_ref_pic_sets")? {
        pictures = skip_reference_set(bits, set == 0, pictures)?;
    }
    if bits.flag("long_term_ref_pics_present_flag")? {
        for _ in 0..bits.ue_max(32, "num_long_term_ref_pics_sps")? {
            bits.bits(order_bits, "lt_ref_pic_poc_lsb_sps")?;
            bits.skip(1, "used_by_curr_pic_lt_sps_flag")?;
        }
    }
    bits.skip(2, "sps_temporal_mvp_enabled_flag")?;
    if !bits.flag("vui_parameters_present_flag")? {
        return Ok(());
    }
    // ITU-T H.265 §E.2.1.
    vui.read_common(bits)?;
    bits.skip(1, "neutral_chroma_indication_flag")?;
    vui.field_sequence = bits.flag("field_seq_flag")?;
    bits.skip(1, "frame_field_info_present_flag")?;
    if bits.flag("default_display_window_flag")? {
        for _ in 0..4 {
            bits.ue("def_disp_win_offset")?;
        }
    }
    if bits.flag("vui_timing_info_present_flag")? {
        vui.read_tick(bits)?;
    }
    Ok(())
}

/// scaling_list_data(), ITU-T H.265 §7.3.4.
fn skip_scaling_lists(bits: &mut Bits<'_>) -> Result<(), Error> {
    for size in 0..4 {
        let step = if size == 3 { 3 } else { 1 };
        for _ in (0..6).step_by(step) {
            if !bits.flag("scaling_list_pred_mode_flag")? {
                bits.ue("scaling_list_pred_matrix_id_delta")?;
                continue;
            }
            if size > 1 {
                bits.se("scaling_list_dc_coef_minus8")?;
            }
            for _ in 0..64.min(1 << (4 + 2 * size)) {
                bits.se("scaling_list_delta_coef")?;
            }
        }
    }
    Ok(())
}

/// st_ref_pic_set(), ITU-T H.265 §7.3.7. Returns how many pictures the set holds, given how many the
/// one before it does.
fn skip_reference_set(bits: &mut Bits<'_>, first: bool, previous: u32) -> Result<u32, Error> {
    if !first && bits.flag("inter_ref_pic_set_prediction_flag")? {
        bits.skip(1, "delta_rps_sign")?;
        bits.ue("abs_delta_rps_minus1")?;
        let mut pictures = 0;
        for _ in 0..=previous {
            let used = bits.flag("used_by_curr_pic_flag")?;
            if used || bits.flag("use_delta_flag")? {
                pictures += 1;
            }
        }
        return Ok(pictures);
    }
    let negative = bits.ue_max(16, "num_negative_pics")?;
    let positive = bits.ue_max(16, "num_positive_pics")?;
    for _ in 0..negative + positive {
        bits.ue("delta_poc_minus1")?;
        bits.skip(1, "used_by_curr_pic_flag")?;
    }
    Ok(negative + positive)
}

/// Whether decoding can start at this access unit (4-byte lengths) with nothing before it left
/// undecodable: an IDR picture, or a BLA picture without skipped leading pictures. A CRA picture does
/// not count, since the pictures that follow it in decoding and precede it in output may refer to
/// what was before.
pub fn is_key_unit(data: &[u8]) -> bool {
    let is_key = |kind| (NAL_BLA_W_RADL..=NAL_IDR_N_LP).contains(&kind);
    first_slice(data).is_some_and(is_key)
}

/// Whether decoding may start here, but with leading pictures that cannot be shown then (open GOP).
pub fn is_open_random_access(data: &[u8]) -> bool {
    first_slice(data).is_some_and(|kind| matches!(kind, NAL_BLA_W_LP | NAL_CRA))
}

/// Type of the first slice, which decides: all slices of a picture have the same.
fn first_slice(data: &[u8]) -> Option<u8> {
    let types = nal::units(data).map_while(Result::ok);
    types
        .map(|unit| nal_type(unit[0]))
        .find(|kind| *kind < NAL_VPS)
}

/// Parameter sets sent within an access unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParameterSets<'a> {
    /// Video parameter sets, as NAL units.
    pub vps: SmallVec<[&'a [u8]; 2]>,
    /// Sequence parameter sets, as NAL units.
    pub sps: SmallVec<[&'a [u8]; 2]>,
    /// Picture parameter sets, as NAL units.
    pub pps: SmallVec<[&'a [u8]; 2]>,
}

impl ParameterSets<'_> {
    /// The configuration they make, when all three kinds are there.
    pub fn config(&self) -> Option<Result<Config, Error>> {
        if self.vps.is_empty() || self.sps.is_empty() || self.pps.is_empty() {
            return None;
        }
        Some(Config::from_parameter_sets(&self.vps, &self.sps, &self.pps))
    }
}

/// The parameter sets within an access unit (4-byte lengths), as far as it is well formed; at most 64
/// of each kind.
pub fn parameter_sets(data: &[u8]) -> ParameterSets<'_> {
    let mut sets = ParameterSets::default();
    for unit in nal::units(data).map_while(Result::ok) {
        let list = match nal_type(unit[0]) {
            NAL_VPS => &mut sets.vps,
            NAL_SPS => &mut sets.sps,
            NAL_PPS => &mut sets.pps,
            _ => continue,
        };
        if list.len() < 64 {
            list.push(unit);
        }
    }
    sets
}

#[cfg(test)]
mod tests;
