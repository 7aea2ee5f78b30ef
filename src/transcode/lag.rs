//! How far rungs are behind their source. Pure; times come from the caller.

use std::collections::VecDeque;
use std::time::Duration;

use crate::media::Ticks;

/// Units that may be on their way through the worker. 8 s at 60 fps.
const IN_FLIGHT: usize = 512;
/// Lags from which the percentiles are taken: 8 s at 30 fps.
const SAMPLES: usize = 256;

/// When source pictures were sent.
#[derive(Debug, Default)]
pub struct Sent(VecDeque<(Ticks, Duration)>);

impl Sent {
    /// The picture of presentation time `pts` goes to the worker at `now`.
    pub fn note(&mut self, pts: Ticks, now: Duration) {
        if self.0.len() == IN_FLIGHT {
            self.0.pop_front();
        }
        self.0.push_back((pts, now));
    }

    /// When the picture of presentation time `pts` was sent.
    pub fn when(&self, pts: Ticks) -> Option<Duration> {
        let found = self.0.iter().rev().find(|(sent, _)| *sent == pts);
        found.map(|(_, when)| *when)
    }
}

/// The last lags of one rung.
#[derive(Clone, Debug, Default)]
pub struct Lag {
    recent: VecDeque<Duration>,
}

impl Lag {
    /// Adds the lag of one unit.
    pub fn add(&mut self, lag: Duration) {
        if self.recent.len() == SAMPLES {
            self.recent.pop_front();
        }
        self.recent.push_back(lag);
    }

    /// The lag that `percent` of the recent units did not pass; `None` before the first.
    pub fn percentile(&self, percent: u32) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        let at = (last * percent.min(100) as usize).div_ceil(100);
        sorted.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_recent_units() {
        let mut lag = Lag::default();
        assert_eq!(lag.percentile(50), None);
        for ms in (0..1000).chain(0..=200) {
            lag.add(Duration::from_millis(ms));
        }
        lag.add(Duration::from_millis(9));
        assert!(lag.percentile(0) == Some(Duration::ZERO));
        assert!(lag.percentile(50).unwrap() > Duration::from_millis(100));
        assert!(lag.percentile(100) == Some(Duration::from_millis(999)));
    }

    #[test]
    fn a_picture_is_found_while_it_is_on_its_way() {
        let mut sent = Sent::default();
        for n in 0..600 {
            sent.note(Ticks(n * 3000), Duration::from_millis(n.unsigned_abs()));
        }
        assert_eq!(sent.when(Ticks(0)), None);
        let last = sent.when(Ticks(599 * 3000));
        assert_eq!(last, Some(Duration::from_millis(599)));
    }
}
