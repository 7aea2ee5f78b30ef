//! From any number of channels to two. Pure arithmetic on samples.
//!
//! Weights are those of ITU-R BS.775-3 annex 4: what comes from the middle and from the sides is in a stereo
//! pair 3 dB quieter, the low-frequency channel is left out. GStreamer's own conversion divides all by their sum,
//! which makes a voice in the middle 15 dB quieter; loudness is to be left alone.

use std::f32::consts::FRAC_1_SQRT_2;

use gstreamer as gst;

/// Bytes of a sample: 32-bit float.
const BYTES: usize = 4;
/// Channels at positions of a bitmask, from none on, where a file does not say which they are: the usual
/// order of so many (SMPTE ST 2036-2, as WAVE files have it).
const USUAL: [u64; 9] = [0, 0x4, 0x3, 0x7, 0x33, 0x37, 0x3f, 0x13f, 0xc3f];

/// How channels become one or two.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mix {
    /// Weight of each channel on the left and on the right.
    weights: Vec<[f32; 2]>,
}

impl Mix {
    /// For samples of this form; `None` when it has no channels.
    pub(super) fn of(caps: &gst::CapsRef) -> Option<Mix> {
        let fields = caps.structure(0)?;
        let channels = fields.get::<i32>("channels").ok()?;
        let mask = fields.get::<gst::Bitmask>("channel-mask");
        Mix::new(
            usize::try_from(channels).ok()?,
            mask.map_or(0, |mask| mask.0),
        )
    }

    /// For channels at the positions of a bitmask, lowest first.
    fn new(channels: usize, mask: u64) -> Option<Mix> {
        let usual = USUAL.get(channels).copied().unwrap_or(0);
        let known = mask.count_ones() as usize == channels;
        let mask = if known { mask } else { usual };
        let weights = match channels {
            0 => return None,
            1 => vec![[1.0, 1.0]],
            2 => vec![[1.0, 0.0], [0.0, 1.0]],
            _ if mask == 0 => vec![[1.0 / channels as f32; 2]; channels],
            _ => {
                let positions = (0..u64::BITS).filter(|bit| mask >> bit & 1 == 1);
                positions.map(weight).collect()
            }
        };
        Some(Mix { weights })
    }

    /// How many come out: one of one, else two.
    pub(super) fn channels(&self) -> u64 {
        self.weights.len().min(2) as u64
    }

    /// What full scale has to be kept as, so that the loudest sum of all channels is not above full scale.
    pub(super) fn room(&self) -> f32 {
        let sum = |side: usize| self.weights.iter().map(|weight| weight[side]).sum::<f32>();
        1.0 / sum(0).max(sum(1)).max(1.0)
    }

    /// Appends interleaved samples of `out` channels, one or two, made of interleaved bytes.
    pub(super) fn apply(&self, data: &[u8], out: u64, values: &mut Vec<f32>) {
        for frame in data.chunks_exact(BYTES * self.weights.len()) {
            let (mut left, mut right) = (0.0, 0.0);
            for (bytes, [on_left, on_right]) in frame.chunks_exact(BYTES).zip(&self.weights) {
                let value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                // Damaged files decode to such.
                let value = if value.is_finite() { value } else { 0.0 };
                left += value * on_left;
                right += value * on_right;
            }
            match out {
                1 => values.push((left + right) / 2.0),
                _ => values.extend([left, right]),
            }
        }
    }
}

/// Weight of a position, as GStreamer numbers them (`GstAudioChannelPosition`).
fn weight(position: u32) -> [f32; 2] {
    match position {
        // Front, front of centre, wide.
        0 | 6 | 24 => [1.0, 0.0],
        1 | 7 | 25 => [0.0, 1.0],
        // Rear, side, above and below, surround.
        4 | 10 | 12 | 16 | 18 | 22 | 26 => [FRAC_1_SQRT_2, 0.0],
        5 | 11 | 13 | 17 | 19 | 23 | 27 => [0.0, FRAC_1_SQRT_2],
        // In the middle of the front.
        2 | 14 | 21 => [FRAC_1_SQRT_2; 2],
        // Low frequencies.
        3 | 9 => [0.0; 2],
        // Behind and above in the middle: 3 dB for the place, 3 dB for being in both.
        _ => [0.5; 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of one sample of each channel.
    fn mixed(mask: u64, values: &[f32], out: u64) -> Vec<f32> {
        let mix = Mix::new(values.len(), mask).unwrap();
        let data: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let mut made = Vec::new();
        mix.apply(&data, out, &mut made);
        made
    }

    #[test]
    fn one_and_two_channels_stay_as_they_are() {
        assert_eq!(mixed(0, &[0.25], 1), [0.25]);
        assert_eq!(mixed(4, &[0.25], 2), [0.25, 0.25]);
        assert_eq!(mixed(3, &[0.25, -0.5], 2), [0.25, -0.5]);
        assert_eq!(mixed(3, &[0.25, -0.5], 1), [-0.125]);
        assert_eq!(Mix::new(2, 3).unwrap().room(), 1.0);
        assert_eq!(Mix::new(0, 0), None);
    }

    #[test]
    fn the_middle_of_five_channels_is_on_both_sides_three_decibels_quieter() {
        for (mask, channels) in [(0x3f, 6), (0xc0f, 6), (0, 6), (0x37, 5), (0xc3f, 8), (0, 8)] {
            let alone = |at: usize| {
                let mut values = vec![0.0; channels];
                values[at] = 1.0;
                mixed(mask, &values, 2)
            };
            assert_eq!(alone(0), [1.0, 0.0], "{mask:x}");
            assert_eq!(alone(1), [0.0, 1.0], "{mask:x}");
            assert_eq!(alone(2), [FRAC_1_SQRT_2; 2], "{mask:x}");
            if channels != 5 {
                assert_eq!(alone(3), [0.0, 0.0], "low frequencies, {mask:x}");
            }
            assert_eq!(alone(channels - 2), [FRAC_1_SQRT_2, 0.0], "{mask:x}");
            assert_eq!(alone(channels - 1), [0.0, FRAC_1_SQRT_2], "{mask:x}");
        }
    }

    #[test]
    fn all_channels_at_their_loudest_fit_into_the_room() {
        for (mask, channels) in [(0x3f, 6), (0x7, 3), (0xc3f, 8), (0, 4), (0, 16), (0x33, 4)] {
            let mix = Mix::new(channels, mask).unwrap();
            let loud = mixed(mask, &vec![1.0; channels], 2);
            assert!(
                loud.iter().all(|value| value * mix.room() < 1.000_1),
                "{mix:?}"
            );
        }
    }

    #[test]
    fn what_is_no_number_is_silence() {
        assert_eq!(mixed(3, &[f32::NAN, f32::INFINITY], 2), [0.0, 0.0]);
    }
}
