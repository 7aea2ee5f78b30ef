//! How long after its time a unit is shown: as long as those needed that came latest of late, so that all
//! come evenly. What is listed part by part comes a part's length late; an encoder's way takes longer.

use std::time::Duration;

use crate::base::clock::Wall;

/// For how long a late one is remembered, at least; twice as long at most.
const REMEMBERED: Duration = Duration::from_secs(5);
/// Nobody is waited for longer: what comes later is shown as it comes.
const LONGEST: Duration = Duration::from_secs(4);

/// See the module. All times are of one clock.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When remembering began, and what was the latest since, microseconds.
    now: Option<(Wall, i64)>,
    /// The latest of the time before.
    before: i64,
}

impl Pace {
    /// Something of this `time` is there `now`.
    pub(super) fn observe(&mut self, now: Wall, time: Wall) {
        let lag = now.micros_since(time).clamp(0, LONGEST.as_micros() as i64);
        match &mut self.now {
            None => (self.now, self.before) = (Some((now, lag)), lag),
            Some((since, latest)) => {
                *latest = (*latest).max(lag);
                // A clock that was set back forgets, too.
                let passed = now.micros_since(*since);
                if !(0..REMEMBERED.as_micros() as i64).contains(&passed) {
                    self.before = *latest;
                    self.now = Some((now, lag));
                }
            }
        }
    }

    /// When something of this time is shown.
    pub(super) fn due(&self, time: Wall) -> Wall {
        let latest = self.now.map_or(0, |(_, latest)| latest);
        time.plus_micros(latest.max(self.before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Wall = Wall(1_790_000_000_000_000);

    fn at(ms: i64) -> Wall {
        START.plus_micros(ms * 1000)
    }

    #[test]
    fn units_are_shown_as_late_as_the_latest_came() {
        let mut pace = Pace::default();
        pace.observe(at(200), at(0));
        assert_eq!(pace.due(at(40)), at(240));
        pace.observe(at(430), at(200));
        assert_eq!(pace.due(at(240)), at(470), "one that came 30 ms later");
        pace.observe(at(600), at(400));
        assert_eq!(pace.due(at(440)), at(670), "it is remembered");
    }

    #[test]
    fn a_late_one_is_forgotten_after_a_while() {
        let mut pace = Pace::default();
        pace.observe(at(1500), at(0));
        for second in 2..14 {
            pace.observe(at(second * 1000 + 200), at(second * 1000));
        }
        assert_eq!(pace.due(at(14_000)), at(14_200));
    }

    #[test]
    fn nobody_waits_for_what_is_later_than_all_bounds() {
        let mut pace = Pace::default();
        pace.observe(at(60_000), at(0));
        assert_eq!(pace.due(at(60_000)), at(64_000));
        assert_eq!(pace.due(at(0)), at(4000), "which is over: at once");
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nothing_up() {
        let mut pace = Pace::default();
        pace.observe(at(3_600_200), at(3_600_000));
        pace.observe(at(100), at(3_600_000));
        pace.observe(at(6000), at(5800));
        assert_eq!(pace.due(at(6000)), at(6200));
    }
}
