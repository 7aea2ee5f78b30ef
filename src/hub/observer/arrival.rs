//! When units come, against the times that they carry: lag, pauses, jumps, the encoder's clock.

use std::collections::VecDeque;
use std::ops::AddAssign;
use std::time::Duration;

use crate::media::MediaKind;

/// A pause between two units that a viewer at the live edge may notice.
const STALL: Duration = Duration::from_millis(500);
/// A step in carried time beyond this, either way, that time itself did not make is a jump of the
/// encoder's clock (microseconds): queues of network and encoder hold less.
const JUMP: i64 = 1_000_000;
/// A step back by more than this is a jump as well (microseconds).
pub(super) const JUMP_BACK: i64 = 333_000;
/// Seconds at the beginning whose lags are forgotten: encoders begin with a burst of what they hold, and
/// would be called late for ever after.
const BEGINNING: i64 = 5;
/// Seconds of which the smallest lag is kept.
const KEPT_SECONDS: usize = 60;
/// Seconds over which the lag must stand, and over which its trend is taken twice.
const STANDING_SECONDS: usize = 5;
/// The most punctual unit counts for less as time goes on, by as much as a bad clock is wrong (parts
/// per million): otherwise the lag of a session of many hours would be its clock's drift.
const FORGETTING_PPM: i64 = 200;
/// Seconds after which the drift is stated: 20 ms of jitter then count for 70 ppm.
const DRIFT_AFTER: i64 = 300;
/// What no clock drifts by (parts per million): it is the line that gets slower.
const LARGEST_DRIFT_PPM: f64 = 1_000.0;

/// Pauses of more than half a second between two units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stalls {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub total: Duration,
}

impl AddAssign for Stalls {
    fn add_assign(&mut self, other: Stalls) {
        self.count += other.count;
        self.total += other.total;
    }
}

impl Stalls {
    fn add(&mut self, pause: Duration) {
        if pause > STALL {
            self.count += 1;
            self.total += pause;
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Point {
    kind: MediaKind,
    arrival: i64,
    carried: i64,
}

/// The arrivals of one session. Lags are arrival minus carried time in microseconds, from an arbitrary
/// zero; after a jump the zero is another one.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    last_any: Option<Duration>,
    stalls: Stalls,
    time_jumps: u64,
    last: Option<Point>,
    /// The second of the first unit.
    began: i64,
    /// The lag of the most punctual unit.
    floor: i64,
    /// Per second with a unit, oldest first: which second, and its smallest lag.
    minima: VecDeque<(i64, i64)>,
    /// The second and the smallest lag of the first minute, which the drift counts from.
    anchor: Option<(i64, i64)>,
}

impl Arrivals {
    /// A unit of any track came.
    pub(super) fn handle_any(&mut self, now: Duration) {
        if let Some(last) = self.last_any.replace(now) {
            self.stalls.add(now.saturating_sub(last));
        }
    }

    /// A unit of the track that tells the time, with its decode time in microseconds.
    pub(super) fn handle(&mut self, now: Duration, kind: MediaKind, carried: i64) {
        let arrival = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        let point = Point {
            kind,
            arrival,
            carried,
        };
        let lag = arrival.saturating_sub(carried);
        let last = self.last.replace(point).filter(|last| last.kind == kind);
        let Some(last) = last else {
            self.begin(arrival, lag);
            return;
        };
        let waited = arrival - last.arrival;
        let step = carried.saturating_sub(last.carried);
        if step < -JUMP_BACK || step > JUMP && step.saturating_sub(waited).abs() > JUMP {
            self.time_jumps += 1;
            let moved = lag.saturating_sub(last.arrival.saturating_sub(last.carried));
            self.shift(moved);
        }
        let forgotten = waited.saturating_mul(FORGETTING_PPM) / 1_000_000;
        self.floor = self.floor.saturating_add(forgotten).min(lag);
        self.note(arrival / 1_000_000, lag);
    }

    fn begin(&mut self, arrival: i64, lag: i64) {
        self.floor = lag;
        self.began = arrival / 1_000_000;
        self.minima.clear();
        self.anchor = None;
        self.note(self.began, lag);
    }

    fn shift(&mut self, by: i64) {
        self.floor = self.floor.saturating_add(by);
        let anchor = self.anchor.as_mut().map(|(_, lag)| lag);
        for lag in self.minima.iter_mut().map(|(_, lag)| lag).chain(anchor) {
            *lag = lag.saturating_add(by);
        }
    }

    fn note(&mut self, second: i64, lag: i64) {
        match self.minima.back_mut() {
            Some((newest, smallest)) if *newest == second => *smallest = lag.min(*smallest),
            _ => {
                if second - self.began <= BEGINNING {
                    self.floor = lag;
                    self.minima.clear();
                }
                if self.minima.len() == KEPT_SECONDS {
                    if self.anchor.is_none() {
                        self.anchor = Some((second, self.smallest()));
                    }
                    self.minima.pop_front();
                }
                self.minima.push_back((second, lag));
            }
        }
    }

    fn smallest(&self) -> i64 {
        let lags = self.minima.iter().map(|(_, lag)| *lag);
        lags.min().unwrap_or(self.floor)
    }

    pub(super) fn last(&self) -> Option<Duration> {
        self.last_any
    }

    pub(super) fn stalls(&self, now: Duration) -> Stalls {
        let mut stalls = self.stalls;
        if let Some(last) = self.last_any {
            stalls.add(now.saturating_sub(last));
        }
        stalls
    }

    pub(super) fn time_jumps(&self) -> u64 {
        self.time_jumps
    }

    pub(super) fn lag_seconds(&self) -> f64 {
        let lag = |last: &Point| seconds(last.arrival - last.carried - self.floor);
        self.last.as_ref().map_or(0.0, lag)
    }

    pub(super) fn standing_lag_seconds(&self) -> f64 {
        let newest = self.minima.iter().rev().take(STANDING_SECONDS);
        let smallest = newest.map(|(_, lag)| *lag).min();
        smallest.map_or(0.0, |smallest| seconds(smallest - self.floor))
    }

    /// From the mean of the seconds before the last ones to the mean of those.
    pub(super) fn lag_trend(&self) -> f64 {
        // The running second may not have seen its most punctual unit yet.
        let full = self.minima.iter().rev().skip(1).map(|(_, lag)| *lag);
        let lags: Vec<i64> = full.take(2 * STANDING_SECONDS).collect();
        if lags.len() < 2 * STANDING_SECONDS {
            return 0.0;
        }
        let (newer, older) = lags.split_at(STANDING_SECONDS);
        let count = STANDING_SECONDS as f64;
        let mean = |lags: &[i64]| seconds(lags.iter().sum()) / count;
        (mean(newer) - mean(older)) / count
    }

    pub(super) fn drift_ppm(&self) -> Option<f64> {
        let (since, anchored) = self.anchor?;
        let (newest, _) = self.minima.back()?;
        let elapsed = newest - since;
        if elapsed < DRIFT_AFTER {
            return None;
        }
        let ppm = (self.smallest() - anchored) as f64 / elapsed as f64;
        Some(ppm).filter(|ppm| ppm.abs() < LARGEST_DRIFT_PPM)
    }
}

fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}
