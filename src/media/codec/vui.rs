//! What the video usability information of H.264 (Annex E) and H.265 (Annex E) have in common.

use super::bits::Bits;
use super::{Colour, Error, PixelAspect};

/// Code point of `aspect_ratio_idc` for an explicit ratio.
const EXTENDED_SAR: u8 = 255;

/// ITU-T H.264 table E-1, H.265 table E.1: `aspect_ratio_idc` 1 to 16.
const ASPECTS: [(u16, u16); 16] = [
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

/// Facts of a VUI; the defaults stand where it says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Vui {
    pub(super) pixel_aspect: Option<PixelAspect>,
    pub(super) colour: Option<Colour>,
    /// `num_units_in_tick`, `time_scale`.
    pub(super) tick: Option<(u32, u32)>,
    pub(super) max_reorder_frames: Option<u32>,
    /// H.265 only: each coded picture is a field.
    pub(super) field_sequence: bool,
}

impl Vui {
    /// Reads from `aspect_ratio_info_present_flag` to the chroma sample location, which both
    /// specifications lay out alike.
    pub(super) fn read_common(&mut self, bits: &mut Bits<'_>) -> Result<(), Error> {
        if bits.flag("aspect_ratio_info_present_flag")? {
            let idc = bits.byte(8, "aspect_ratio_idc")?;
            let ratio = if idc == EXTENDED_SAR {
                Some((read_u16(bits, "sar_width")?, read_u16(bits, "sar_height")?))
            } else {
                ASPECTS.get(usize::from(idc).wrapping_sub(1)).copied()
            };
            // Zero in either part, or index zero, means "unspecified".
            self.pixel_aspect = ratio
                .filter(|&(horizontal, vertical)| horizontal != 0 && vertical != 0)
                .map(|(horizontal, vertical)| PixelAspect {
                    horizontal,
                    vertical,
                });
        }
        if bits.flag("overscan_info_present_flag")? {
            bits.skip(1, "overscan_appropriate_flag")?;
        }
        if bits.flag("video_signal_type_present_flag")? {
            bits.skip(3, "video_format")?;
            let mut colour = Colour {
                primaries: Colour::UNSPECIFIED,
                transfer: Colour::UNSPECIFIED,
                matrix: Colour::UNSPECIFIED,
                full_range: bits.flag("video_full_range_flag")?,
            };
            if bits.flag("colour_description_present_flag")? {
                colour.primaries = bits.byte(8, "colour_primaries")?;
                colour.transfer = bits.byte(8, "transfer_characteristics")?;
                colour.matrix = bits.byte(8, "matrix_coefficients")?;
            }
            self.colour = Some(colour);
        }
        if bits.flag("chroma_loc_info_present_flag")? {
            bits.ue("chroma_sample_loc_type_top_field")?;
            bits.ue("chroma_sample_loc_type_bottom_field")?;
        }
        Ok(())
    }

    /// Reads `num_units_in_tick` and `time_scale`.
    pub(super) fn read_tick(&mut self, bits: &mut Bits<'_>) -> Result<(), Error> {
        let units = bits.bits(32, "num_units_in_tick")?;
        let scale = bits.bits(32, "time_scale")?;
        self.tick = Some((units, scale)).filter(|_| units != 0 && scale != 0);
        Ok(())
    }

    /// Frames per second x 1000 when a frame lasts `ticks` ticks; `None` when not stated or absurd
    /// (above 1000 frames per second).
    pub(super) fn frame_rate_millis(&self, ticks: u32) -> Option<u32> {
        let (units, scale) = self.tick?;
        frame_rate_millis(u64::from(units) * u64::from(ticks), scale)
    }
}

/// `scale / units` frames per second, x 1000, to the nearest; `None` for zero, less than one frame in
/// ten seconds, or more than 1000 frames per second, which encoders write when they do not know.
pub(super) fn frame_rate_millis(units: u64, scale: u32) -> Option<u32> {
    if units == 0 {
        return None;
    }
    let millis = (u64::from(scale) * 1000 + units / 2) / units;
    u32::try_from(millis)
        .ok()
        .filter(|millis| (100..=1_000_000).contains(millis))
}

fn read_u16(bits: &mut Bits<'_>, field: &'static str) -> Result<u16, Error> {
    let value = bits.bits(16, field)?;
    Ok(u16::try_from(value).expect("sixteen bits were read"))
}
