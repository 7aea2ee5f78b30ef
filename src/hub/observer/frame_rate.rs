//! Frame rate over a sliding window of decode times, in microseconds. Arrivals play no part as long as
//! pictures come: a line that delivers them in bursts changes nothing about their rate.

use std::collections::VecDeque;
use std::time::Duration;

use super::arrival::JUMP_BACK;

/// Length of the window (microseconds): two usual key intervals.
const WINDOW: i64 = 4_000_000;
/// Most pictures in it: 240 a second and some. Bounds memory: 8 KiB per session.
const MOST_PICTURES: usize = 1024;
/// A longer step is a hole (microseconds), which the pictures before it and behind it say nothing of.
/// A longer pause is one that begins.
const LONGEST_STEP: i64 = 1_000_000;
/// So many-th of the window are its ends, whose means are compared: RTMP rounds to milliseconds, and two
/// single pictures would tell 30 from 30.01 by chance.
const ENDS: usize = 8;

/// The decode times of the last pictures.
#[derive(Debug, Default)]
pub(super) struct FrameRate {
    times: VecDeque<i64>,
}

impl FrameRate {
    pub(super) fn handle(&mut self, decoded: i64) {
        let step = self
            .times
            .back()
            .map_or(0, |last| decoded.saturating_sub(*last));
        if !(-JUMP_BACK..=LONGEST_STEP).contains(&step) {
            // What is before a hole or a jump is of another time.
            self.times.clear();
        }
        if self.times.len() == MOST_PICTURES {
            self.times.pop_front();
        }
        self.times.push_back(decoded);
        while self
            .times
            .front()
            .is_some_and(|first| decoded.saturating_sub(*first) > WINDOW)
        {
            self.times.pop_front();
        }
    }

    /// Pictures per second, when the newest one came `quiet` ago; zero before there are two.
    pub(super) fn read(&self, quiet: Duration) -> f64 {
        let pause = i64::try_from(quiet.as_micros()).unwrap_or(i64::MAX);
        let pause = if pause > LONGEST_STEP { pause } else { 0 };
        let newest = self.times.back().copied().unwrap_or(0);
        // The window moves on with the pause.
        let since_newest = self.times.iter().map(|time| newest.saturating_sub(*time));
        let ages: Vec<i64> = since_newest.filter(|age| *age <= WINDOW - pause).collect();
        let end = ages.len() / ENDS + 1;
        if ages.len() <= end {
            return 0.0;
        }
        let mean = |ages: &[i64]| ages.iter().sum::<i64>() as f64 / ages.len() as f64;
        let (oldest, latest) = (mean(&ages[..end]), mean(&ages[ages.len() - end..]));
        let step = (oldest - latest) / (ages.len() - end) as f64;
        let steps = (ages.len() - 1) as f64;
        let seconds = (steps * step + pause as f64) / 1e6;
        if seconds <= 0.0 {
            return 0.0;
        }
        steps / seconds
    }
}
