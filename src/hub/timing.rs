//! Turns carried video times back into the frame grid that the encoder meant.
//!
//! RTMP rounds to milliseconds: 30 fps arrives as 33, 34, 33. When the rate is constant the rounding is
//! undone, so that durations are exact and the next frame's time is known before it arrives.

use crate::media::Ticks;

/// How far a carried time may lie from the grid and still be its rounding: 1.2 ms in 90 kHz ticks.
const ROUNDING: i64 = 108;
/// Frames that must agree before a rate nobody announced is believed.
const FRAMES_TO_BELIEVE: usize = 24;
/// Misfits among the last 64 frames that end the belief in a constant rate: a wrong rate by 0.1 %
/// (30 for 29.97) misfits about once a second, variable rates several times.
const MISFITS_OF_VFR: u32 = 6;

/// Frame rates in use, as numerator and denominator.
const RATES: [(i64, i64); 14] = [
    (10, 1),
    (12, 1),
    (15, 1),
    (20, 1),
    (24_000, 1001),
    (24, 1),
    (25, 1),
    (30_000, 1001),
    (30, 1),
    (48, 1),
    (50, 1),
    (60_000, 1001),
    (60, 1),
    (120, 1),
];

/// The frame grid of one publisher session. Times are in 90 kHz ticks of the source's own clock.
#[derive(Debug)]
pub struct FrameGrid {
    rate: Option<(i64, i64)>,
    /// Whether the rate comes from the encoder and not from measurement.
    announced: bool,
    anchor: i64,
    /// Last decode times while the rate is being measured.
    recent: Vec<i64>,
    /// One bit per frame, newest lowest: whether it misfitted.
    misfits: u64,
}

impl FrameGrid {
    /// A grid that believes `frame_rate_millis` when it is near a rate in use.
    pub fn new(frame_rate_millis: Option<u32>) -> FrameGrid {
        let rate = frame_rate_millis.and_then(nearest_rate);
        FrameGrid {
            rate,
            announced: rate.is_some(),
            anchor: 0,
            recent: Vec::new(),
            misfits: 0,
        }
    }

    /// Takes the next frame's decode time and says where it lies on the grid.
    pub fn observe(&mut self, dts: Ticks) -> Ticks {
        let carried = dts.0;
        if self.rate.is_none() {
            self.measure(carried);
            return dts;
        }
        let (on_grid, residual) = self.nearest(carried);
        self.misfits <<= 1;
        if residual.saturating_abs() <= ROUNDING {
            return Ticks(on_grid);
        }
        self.misfits |= 1;
        self.anchor = carried;
        if self.misfits.count_ones() >= MISFITS_OF_VFR {
            self.rate = None;
            self.announced = false;
            self.misfits = 0;
            self.recent.clear();
        }
        dts
    }

    /// Where a presentation time lies on the grid that [`FrameGrid::observe`] keeps.
    pub fn snap(&self, time: Ticks) -> Ticks {
        if self.rate.is_none() {
            return time;
        }
        let (on_grid, residual) = self.nearest(time.0);
        if residual.saturating_abs() <= 2 * ROUNDING {
            Ticks(on_grid)
        } else {
            time
        }
    }

    /// The grid time that follows `time`; `None` when the rate is not constant or not known yet.
    pub fn after(&self, time: Ticks) -> Option<Ticks> {
        let (numerator, denominator) = self.rate?;
        let index = self.index(time.0);
        Some(Ticks(self.anchor.saturating_add(frame_time(
            index.saturating_add(1),
            numerator,
            denominator,
        ))))
    }

    /// Length of a frame in 90 kHz ticks, when the rate is constant and known.
    pub fn frame(&self) -> Option<Ticks> {
        self.rate
            .map(|(numerator, denominator)| Ticks(frame_time(1, numerator, denominator)))
    }

    /// Frames per second x 1000, when the rate is constant and known.
    pub fn rate_millis(&self) -> Option<u32> {
        let (numerator, denominator) = self.rate?;
        u32::try_from((numerator * 1000 + denominator / 2) / denominator).ok()
    }

    fn measure(&mut self, carried: i64) {
        self.recent.push(carried);
        if self.recent.len() < FRAMES_TO_BELIEVE {
            return;
        }
        let first = self.recent[0];
        let misfit = |&(numerator, denominator): &(i64, i64)| {
            let mut sum = 0;
            for (time, index) in self.recent.iter().zip(0_i64..) {
                let ideal = frame_time(index, numerator, denominator);
                let off = ideal.saturating_sub(time.saturating_sub(first));
                let off = off.saturating_abs();
                if off > ROUNDING {
                    return None;
                }
                sum += off;
            }
            Some(sum)
        };
        let fitting = RATES.iter().filter_map(|rate| Some((misfit(rate)?, *rate)));
        let candidate = fitting
            .min_by_key(|(misfit, _)| *misfit)
            .map(|(_, rate)| rate);
        match candidate {
            Some(rate) => {
                self.rate = Some(rate);
                self.anchor = first;
                self.misfits = 0;
                self.recent = Vec::new();
            }
            None => {
                self.recent.remove(0);
            }
        }
    }

    fn index(&self, time: i64) -> i64 {
        let (numerator, denominator) = self.rate.unwrap_or((1, 1));
        let scaled = i128::from(time.saturating_sub(self.anchor)) * i128::from(numerator);
        let unit = i128::from(denominator) * 90_000;
        let rounded = (scaled + unit / 2).div_euclid(unit);
        i64::try_from(rounded).unwrap_or(0)
    }

    fn nearest(&self, time: i64) -> (i64, i64) {
        let (numerator, denominator) = self.rate.unwrap_or((1, 1));
        let since = frame_time(self.index(time), numerator, denominator);
        let on_grid = self.anchor.saturating_add(since);
        (on_grid, time.saturating_sub(on_grid))
    }
}

fn frame_time(index: i64, numerator: i64, denominator: i64) -> i64 {
    let ticks = i128::from(index) * 90_000 * i128::from(denominator);
    let numerator = i128::from(numerator);
    i64::try_from((ticks + numerator / 2).div_euclid(numerator)).unwrap_or(i64::MAX)
}

/// The rate in use within 0.02 % of an announced one.
fn nearest_rate(millis: u32) -> Option<(i64, i64)> {
    RATES.iter().copied().find(|&(numerator, denominator)| {
        let exact = numerator * 1000 / denominator;
        (exact - i64::from(millis)).abs() * 5000 <= exact.max(5000)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(index: i64, numerator: i64, denominator: i64) -> Ticks {
        // What RTMP carries: milliseconds, rounded, here in 90 kHz ticks.
        Ticks((index * 1000 * denominator + numerator / 2) / numerator * 90)
    }

    #[test]
    fn millisecond_rounding_of_every_announced_rate_is_undone() {
        for (numerator, denominator) in RATES {
            let millis = u32::try_from(numerator * 1000 / denominator).unwrap();
            let mut grid = FrameGrid::new(Some(millis));
            assert!(grid.frame().is_some(), "{numerator}/{denominator}");
            let mut last = None;
            for index in 0..20_000 {
                let time = grid.observe(carried(index, numerator, denominator));
                let ideal = frame_time(index, numerator, denominator);
                assert!(
                    (time.0 - ideal).abs() <= ROUNDING,
                    "{numerator}/{denominator} frame {index}"
                );
                if let Some(promised) = last {
                    assert_eq!(time, promised, "{numerator}/{denominator} frame {index}");
                }
                last = grid.after(time);
            }
        }
    }

    #[test]
    fn a_rate_nobody_announced_is_found_within_a_second() {
        let mut grid = FrameGrid::new(None);
        for index in 0..30 {
            grid.observe(carried(index, 30, 1));
        }
        assert_eq!(grid.frame(), Some(Ticks(3000)));
    }

    #[test]
    fn variable_rates_are_passed_on_as_carried() {
        let mut grid = FrameGrid::new(Some(30_000));
        let mut time = 0;
        for index in 0..200 {
            time += [33, 50, 21, 40, 67][index % 5] * 90;
            let out = grid.observe(Ticks(time));
            if index > 64 {
                assert_eq!(out, Ticks(time));
                assert_eq!(grid.after(out), None);
            }
        }
    }

    #[test]
    fn a_dropped_frame_stays_on_the_grid() {
        let mut grid = FrameGrid::new(Some(30_000));
        for index in (0..90).filter(|index| index % 7 != 3) {
            assert_eq!(grid.observe(carried(index, 30, 1)), Ticks(index * 3000));
        }
    }
}
