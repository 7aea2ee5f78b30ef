//! When a key unit is asked for. In: key units that came, units that are missing. Out: yes or no.
//!
//! Who publishes by WebRTC sends key units only when somebody asks; segments of the source begin with them.

use std::time::Duration;

/// Requests are at least this far apart: livekit-server passes one per second on to the publisher of a large
/// picture, and drops the others (`rtc.pli_throttle`).
const APART: Duration = Duration::from_millis(1100);
/// So many of the first gaps are as short as can be: the hub lists the source as it is when it has seen two
/// gaps that fit within three seconds (decision 5).
const SHORT_GAPS: u32 = 2;

/// The key units of one track.
#[derive(Debug)]
pub(super) struct Keys {
    interval: Duration,
    gaps: u32,
    last: Option<Duration>,
    asked: Option<Duration>,
    /// What comes does not connect to what was before.
    broken: bool,
}

impl Keys {
    /// Those of a track of which none has come, and one in each `interval` is wanted.
    pub(super) fn new(interval: Duration) -> Keys {
        Keys {
            interval: interval.max(APART),
            gaps: 0,
            last: None,
            asked: None,
            broken: true,
        }
    }

    /// Those of another track in its place.
    pub(super) fn anew(&self) -> Keys {
        Keys::new(self.interval)
    }

    /// Whether units are to be passed over until a key unit comes.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// A key unit came.
    pub(super) fn handle_key(&mut self, now: Duration) {
        if self.last.replace(now).is_some() {
            self.gaps = self.gaps.saturating_add(1);
        }
        self.broken = false;
    }

    /// Units are missing.
    pub(super) fn handle_lost(&mut self) {
        self.broken = true;
    }

    /// Whether to ask now; asking is noted.
    pub(super) fn poll(&mut self, now: Duration) -> bool {
        let interval = if self.gaps < SHORT_GAPS {
            APART
        } else {
            self.interval
        };
        let since = |at: Option<Duration>| at.map(|at| now.saturating_sub(at));
        let wanted = self.broken || since(self.last).is_none_or(|since| since >= interval);
        let may = since(self.asked).is_none_or(|since| since >= APART);
        if wanted && may {
            self.asked = Some(now);
        }
        wanted && may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u64 = 33;

    /// A publisher that answers each request with its next picture; times of its key units, milliseconds.
    fn answered(keys: &mut Keys, from: u64, to: u64) -> Vec<u64> {
        let (mut asked, mut found) = (false, Vec::new());
        for now_ms in (from..to).step_by(FRAME as usize) {
            let now = Duration::from_millis(now_ms);
            if std::mem::take(&mut asked) {
                keys.handle_key(now);
                found.push(now_ms);
            }
            asked = keys.poll(now);
        }
        found
    }

    fn gaps(times: &[u64]) -> Vec<u64> {
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    #[test]
    fn the_first_two_gaps_are_short_and_the_others_as_wanted() {
        let mut keys = Keys::new(Duration::from_secs(2));
        let found = answered(&mut keys, 0, 20_000);
        assert!(found[0] <= FRAME && found[2] < 2500, "{found:?}");
        for gap in &gaps(&found)[2..] {
            assert!((2000..2100).contains(gap), "{found:?}");
        }
    }

    #[test]
    fn who_sends_key_units_by_itself_is_not_asked() {
        let mut keys = Keys::new(Duration::from_secs(2));
        for second in 0..60 {
            let now = Duration::from_secs(second);
            keys.handle_key(now);
            assert!(!keys.poll(now + Duration::from_millis(990)));
        }
    }

    #[test]
    fn after_a_loss_nothing_connects_until_a_key_unit_which_is_asked_for_at_once() {
        let mut keys = Keys::new(Duration::from_secs(2));
        assert!(keys.is_broken());
        answered(&mut keys, 0, 10_000);
        assert!(!keys.is_broken());
        let now = Duration::from_millis(10_500);
        keys.handle_key(now);
        keys.handle_lost();
        assert!(keys.is_broken());
        assert!(keys.poll(now + APART));
        keys.handle_key(now + APART);
        assert!(!keys.is_broken());
    }

    #[test]
    fn a_publisher_that_does_not_answer_is_asked_once_a_second() {
        let mut keys = Keys::new(Duration::from_secs(2));
        let asked = (0..10_000).filter(|at| keys.poll(Duration::from_millis(*at)));
        let asked: Vec<u64> = asked.collect();
        assert!(gaps(&asked).iter().all(|gap| *gap == 1100), "{asked:?}");
        assert_eq!(asked.len(), 10);
    }
}
