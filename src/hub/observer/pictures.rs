//! What decode and presentation times tell of an encoder's settings. Times are microseconds.

use std::collections::VecDeque;

use super::Keys;

/// Steps between pictures that are looked back at for the frame rate: two seconds of 30 per second.
const STEPS: usize = 64;
/// Key intervals that are looked back at.
const INTERVALS: usize = 8;
/// Steps that must be known before the rate is called variable.
const STEPS_TO_JUDGE: usize = 48;
/// One in so many steps may be off before the rate is called variable.
const TOLERATED_SHARE: usize = 8;
/// RTMP rounds to milliseconds: two steps of the same length may differ by this.
const ROUNDING: i64 = 2_000;
/// A longer step is a hole and says nothing of the rate.
const LONGEST_STEP: i64 = 1_000_000;

/// The pictures of one session.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    last_decoded: Option<i64>,
    steps: VecDeque<i64>,
    /// The latest presentation time since the newest key unit.
    latest_shown: Option<i64>,
    /// One bit for each of the last pictures, newest lowest: whether it is shown before one that was
    /// decoded earlier.
    reordered: u64,
    /// Where the running key interval began, and whether with a key unit.
    interval: Option<(i64, bool)>,
    intervals: VecDeque<i64>,
    open_intra: u32,
}

impl Pictures {
    pub(super) fn handle(&mut self, decoded: i64, shown: i64, is_key: bool, is_open_intra: bool) {
        let step = self
            .last_decoded
            .replace(decoded)
            .map_or(0, |last| decoded.saturating_sub(last));
        if !(0..=LONGEST_STEP).contains(&step) {
            // What is before a hole or a jump is of another time.
            self.latest_shown = None;
            self.interval = None;
        } else if step > 0 {
            keep(&mut self.steps, step, STEPS);
        }
        let reordered = !is_key && self.latest_shown.is_some_and(|latest| shown < latest);
        self.reordered = self.reordered << 1 | u64::from(reordered);
        self.latest_shown = match self.latest_shown {
            Some(latest) if !is_key => Some(latest.max(shown)),
            _ => Some(shown),
        };
        self.open_intra += u32::from(is_open_intra);
        if is_key {
            if let Some((begin, true)) = self.interval {
                keep(&mut self.intervals, shown.saturating_sub(begin), INTERVALS);
            }
            self.interval = Some((shown, true));
            self.open_intra = 0;
        }
        self.interval.get_or_insert((shown, false));
    }

    pub(super) fn keys(&self) -> Keys {
        let seconds = |micros: i64| micros as f64 / 1e6;
        let running = self.interval.zip(self.latest_shown);
        let running = running.map_or(0, |((begin, _), latest)| latest - begin);
        let longest = self.intervals.iter().copied().chain([running]).max();
        Keys {
            last_seconds: self.intervals.back().copied().map(seconds),
            shortest_seconds: self.intervals.iter().copied().min().map_or(0.0, seconds),
            longest_seconds: longest.map_or(0.0, seconds),
            open_intra: self.open_intra,
        }
    }

    pub(super) fn b_frames(&self) -> u32 {
        let (mut runs, mut longest) = (self.reordered, 0);
        while runs != 0 {
            // Each round shortens every run of ones by one.
            runs &= runs << 1;
            longest += 1;
        }
        longest
    }

    /// The rates of the steps at both ends, leaving out one in ten, when steps are not multiples of the
    /// usual one. A picture that the encoder dropped leaves a multiple.
    pub(super) fn variable_rate(&self) -> Option<(f64, f64)> {
        if self.steps.len() < STEPS_TO_JUDGE {
            return None;
        }
        let mut steps: Vec<i64> = self.steps.iter().copied().collect();
        steps.sort_unstable();
        let usual = steps[steps.len() / 2];
        let tolerance = ROUNDING.max(usual / 10);
        let is_off = |step: &&i64| {
            let times = ((**step + usual / 2) / usual).max(1);
            (**step - times * usual).abs() > tolerance
        };
        let off = steps.iter().filter(is_off).count();
        if off * TOLERATED_SHARE <= steps.len() {
            return None;
        }
        let rate = |step: i64| 1e6 / step as f64;
        let edge = steps.len() / 10;
        Some((rate(steps[steps.len() - 1 - edge]), rate(steps[edge])))
    }
}

fn keep(list: &mut VecDeque<i64>, value: i64, limit: usize) {
    if list.len() == limit {
        list.pop_front();
    }
    list.push_back(value);
}
