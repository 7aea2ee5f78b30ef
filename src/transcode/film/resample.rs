//! Samples at any place between samples, by a windowed sinc. Pure arithmetic.
//!
//! GStreamer's resampler begins and ends in silence, which is heard where a film begins anew; this one is given what
//! stands around a place.

use std::f64::consts::PI;

/// Samples on either side of a place that are weighed, where none have to be taken together.
const HALF: f64 = 32.0;
/// Places between two samples that are told apart: the error of the nearest is below that of 16 bits.
const PHASES: usize = 4096;
/// Shape of the Kaiser window: 80 dB of attenuation (Kaiser, "Nonrecursive digital filter design", 1974).
const BETA: f64 = 7.86;
/// Where the filter's slope is in the middle, in parts of half the lower rate: what is above 20 kHz of 44.1 kHz goes.
const EDGE: f64 = 0.95;
/// Products that are summed side by side.
const LANES: usize = 8;

/// Weights for one ratio of rates.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    /// For each phase the weights of `taps` samples.
    rows: Vec<f32>,
    taps: usize,
    /// Samples up to a place that are weighed, the one at it or just before it included.
    half: usize,
}

impl Kernel {
    /// For places that lie `step` samples apart.
    pub(super) fn new(step: f64) -> Kernel {
        let wide = step.max(1.0);
        let half = (HALF * wide).ceil();
        let taps = (2.0 * half) as usize;
        let taps = taps.next_multiple_of(LANES);
        let mut rows = Vec::with_capacity(taps * PHASES);
        for phase in 0..PHASES {
            let fraction = phase as f64 / PHASES as f64;
            let row = (0..taps).map(|tap| {
                let off = tap as f64 - (half - 1.0) - fraction;
                let cut = EDGE / wide;
                cut * sinc(cut * off) * window(off / half)
            });
            let row: Vec<f64> = row.collect();
            let sum: f64 = row.iter().sum();
            rows.extend(row.iter().map(|weight| (weight / sum) as f32));
        }
        Kernel {
            rows,
            taps,
            half: half as usize,
        }
    }

    /// Samples that are needed before a place, and as many behind it.
    pub(super) fn reach(&self) -> usize {
        self.taps
    }

    /// The value at a place, counted in samples of `window`, in which it has [`Kernel::reach`] neighbours.
    pub(super) fn at(&self, window: &[f32], place: f64) -> f32 {
        let mut whole = place.floor();
        let mut phase = ((place - whole) * PHASES as f64).round() as usize;
        if phase == PHASES {
            (phase, whole) = (0, whole + 1.0);
        }
        let first = whole as usize + 1 - self.half;
        let row = &self.rows[phase * self.taps..][..self.taps];
        let values = &window[first..first + self.taps];
        let mut sums = [0.0_f32; LANES];
        for (values, weights) in values.chunks_exact(LANES).zip(row.chunks_exact(LANES)) {
            for lane in 0..LANES {
                sums[lane] += values[lane] * weights[lane];
            }
        }
        sums.iter().sum()
    }
}

/// The value between the samples of a stretch, by a line: good enough for what is far from a place.
pub(super) fn between(samples: &[f32], place: f64) -> f32 {
    let last = samples.len().saturating_sub(1);
    let get = |at: usize| samples.get(at.min(last)).copied().unwrap_or(0.0);
    let place = place.max(0.0);
    let (whole, part) = (place.floor() as usize, place.fract() as f32);
    get(whole) * (1.0 - part) + get(whole + 1) * part
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

/// Kaiser's, from -1 to 1.
fn window(x: f64) -> f64 {
    if x.abs() >= 1.0 {
        return 0.0;
    }
    bessel(BETA * (1.0 - x * x).sqrt()) / bessel(BETA)
}

/// The modified Bessel function of order 0, by its series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term, mut n) = (1.0, 1.0, 1.0);
    while term > sum * 1e-9 {
        term *= (x / (2.0 * n)).powi(2);
        sum += term;
        n += 1.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone at `rate`, resampled to 48 kHz, misses its own values by at most so much.
    fn missed(rate: f64, hertz: f64) -> f64 {
        let tone = |place: f64| (2.0 * PI * hertz * place / rate).sin();
        let step = rate / 48_000.0;
        let kernel = Kernel::new(step);
        let window: Vec<f32> = (0..2000).map(|at| tone(f64::from(at)) as f32).collect();
        let places = (0..500).map(|n| 500.0 + f64::from(n) * step);
        let off = places.map(|place| (f64::from(kernel.at(&window, place)) - tone(place)).abs());
        off.fold(0.0, f64::max)
    }

    #[test]
    fn tones_keep_their_values_at_other_rates() {
        for rate in [
            44_100.0, 44_144.1, 48_048.0, 32_000.0, 22_050.0, 8000.0, 96_000.0,
        ] {
            for hertz in [50.0, 437.9, 3000.0] {
                let off = missed(rate, hertz);
                assert!(off < 1e-3, "{hertz} Hz at {rate}: {off}");
            }
        }
        assert!(missed(44_100.0, 15_000.0) < 4e-3);
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_goes() {
        let kernel = Kernel::new(2.0);
        // 30 kHz at 96 kHz.
        let tone = |at: u32| (2.0 * PI * 30_000.0 * f64::from(at) / 96_000.0).sin() as f32;
        let window: Vec<f32> = (0..2000).map(tone).collect();
        for n in 0..400 {
            assert!(kernel.at(&window, 500.0 + 2.0 * f64::from(n)).abs() < 1e-3);
        }
    }

    #[test]
    fn a_line_leads_from_sample_to_sample() {
        assert_eq!(between(&[1.0, 3.0], 0.25), 1.5);
        assert_eq!(between(&[1.0, 3.0], 5.0), 3.0);
        assert_eq!(between(&[1.0, 3.0], -1.0), 1.0);
        assert_eq!(between(&[], 0.0), 0.0);
    }
}
