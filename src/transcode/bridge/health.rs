//! When a worker is hung, too slow, or to be started again: decisions over times that the caller
//! gives. Pure.

use std::time::Duration;

use crate::media::Ticks;

/// Media that a worker may hold without being waited for: decoders reorder, encoders look ahead.
const HELD: Ticks = Ticks(90_000);
/// A worker that has worked and gives nothing for this long is hung.
const HUNG: Duration = Duration::from_secs(3);
/// The same for one that has just been started: it loads its libraries.
const HUNG_AT_START: Duration = Duration::from_secs(10);
/// Most that counts of the time between two looks: when this process stood still, the worker was not
/// served, and may have stood still too.
const LONGEST_LOOK: Duration = Duration::from_secs(1);
/// Lag from which a worker counts as too slow: what is lost is lost for good, so that a machine that is
/// busy for a moment is no reason.
const SLOW: Ticks = Ticks(135_000);
/// Lag below which it counts as quick again.
const QUICK: Ticks = Ticks(45_000);
/// A lag that shrinks by this much is being made up for.
const SHRINKS: Ticks = Ticks(18_000);
/// How long a worker may be too slow before a rung is taken from it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Media that may wait in front of a worker: past it viewers are better off with what is new.
const MAX_BACKLOG: Ticks = Ticks(8 * 90_000);
/// How long the worker is left alone after its start, and after a rung was taken from it.
const REST: Duration = Duration::from_secs(3);
/// Longest pause before the second restart in a row; it doubles with each one.
const BACKOFF: Duration = Duration::from_millis(500);
/// Longest pause before a restart.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// A worker that lived this long was well: the next restart is the first again.
const STEADY: Duration = Duration::from_secs(30);
/// Workers in a row that may end without having given a unit, when no worker ever gave one.
const MAX_FRUITLESS: u32 = 4;
/// The same for rungs that players have already: they are worth more tries.
const MAX_FRUITLESS_LATER: u32 = 8;

/// Notices a worker that takes media and gives nothing back.
#[derive(Debug)]
pub(super) struct Watchdog {
    given: Option<Ticks>,
    looked: Duration,
    waited: Duration,
    limit: Duration,
}

impl Watchdog {
    /// A watch over a worker that starts now.
    pub(super) fn new(given: Option<Ticks>, now: Duration) -> Watchdog {
        Watchdog {
            given,
            looked: now,
            waited: Duration::ZERO,
            limit: HUNG_AT_START,
        }
    }

    /// Whether the worker is hung. `sent` is how far the source's media goes, `given` how far the
    /// rungs do.
    pub(super) fn is_hung(
        &mut self,
        sent: Option<Ticks>,
        given: Option<Ticks>,
        now: Duration,
    ) -> bool {
        let owed = match (sent, given) {
            (Some(sent), Some(given)) => sent > given + HELD,
            (Some(_), None) => true,
            (None, _) => false,
        };
        self.waited += now.saturating_sub(self.looked).min(LONGEST_LOOK);
        self.looked = now;
        if given != self.given {
            (self.given, self.limit) = (given, HUNG);
            self.waited = Duration::ZERO;
        } else if !owed {
            self.waited = Duration::ZERO;
        }
        self.waited > self.limit
    }
}

/// Notices a worker that cannot keep up.
#[derive(Debug)]
pub(super) struct Shedder {
    /// Since when it has been too slow, and its lag then.
    slow: Option<(Duration, Ticks)>,
    rests_until: Duration,
}

impl Shedder {
    /// A watch over a worker that starts now.
    pub(super) fn new(now: Duration) -> Shedder {
        Shedder {
            slow: None,
            rests_until: now + REST,
        }
    }

    /// Whether the worker is to go on at the newest media, when this much waits in front of it.
    pub(super) fn skips(&self, backlog: Ticks, now: Duration) -> bool {
        now >= self.rests_until && backlog > MAX_BACKLOG
    }

    /// Whether a rung is to be taken from the worker now, whose slowest rung is `behind` the source.
    /// `lost` says that source units were left out in front of it.
    pub(super) fn is_due(&mut self, behind: Ticks, lost: bool, now: Duration) -> bool {
        if now < self.rests_until {
            return false;
        }
        self.slow = match self.slow {
            Some(_) if behind < QUICK => None,
            Some((_, was)) if behind + SHRINKS < was => Some((now, behind)),
            None if behind > SLOW => Some((now, behind)),
            slow => slow,
        };
        let waited = self.slow.map(|(since, _)| now.saturating_sub(since));
        let due = lost || waited.is_some_and(|waited| waited >= PATIENCE);
        if due {
            *self = Shedder::new(now);
        }
        due
    }
}

/// How soon a worker that ended is followed by another.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    in_a_row: u32,
    fruitless: u32,
}

impl Restarts {
    /// A worker ended after `lived`, and did or did not give a unit.
    pub(super) fn note(&mut self, lived: Duration, fruitful: bool) {
        if lived >= STEADY {
            self.in_a_row = 0;
        }
        self.in_a_row += 1;
        self.fruitless = if fruitful { 0 } else { self.fruitless + 1 };
    }

    /// Whether there is no use in another one; `ever` says whether any of them gave something.
    pub(super) fn are_useless(&self, ever: bool) -> bool {
        let most = if ever {
            MAX_FRUITLESS_LATER
        } else {
            MAX_FRUITLESS
        };
        self.fruitless >= most
    }

    /// Whether what is fed to it may be what ends it.
    pub(super) fn suspect_media(&self) -> bool {
        self.fruitless >= 2
    }

    /// The pause before the next one: none for the first, so that viewers notice nothing. `random`
    /// keeps many workers from coming back at once.
    pub(super) fn pause(&self, random: u8) -> Duration {
        let Some(doublings) = self.in_a_row.checked_sub(2) else {
            return Duration::ZERO;
        };
        let longest = MAX_BACKOFF.min(BACKOFF * 2_u32.saturating_pow(doublings));
        longest.mul_f64(0.5 + f64::from(random) / 512.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> (Ticks, Duration) {
        let ticks = Ticks((seconds * 90_000.0) as i64);
        (ticks, Duration::from_secs_f64(seconds))
    }

    #[test]
    fn a_worker_is_hung_when_media_is_owed_and_nothing_comes() {
        let hung_at = |given: fn(f64) -> f64| {
            let mut dog = Watchdog::new(Some(Ticks::ZERO), Duration::ZERO);
            (0..400).map(|n| f64::from(n) / 10.0).find(|time| {
                let (sent, now) = seconds(*time);
                dog.is_hung(Some(sent), Some(seconds(given(*time)).0), now)
            })
        };
        assert_eq!(hung_at(|time| (time - 0.2).max(0.0)), None);
        // However slow, it moves.
        assert_eq!(hung_at(|time| time / 4.0), None);
        // Stopped after ten seconds.
        let at = hung_at(|time| time.min(10.0)).unwrap();
        assert!((13.0..=15.0).contains(&at), "{at}");
        // Never started.
        let at = hung_at(|_| 0.0).unwrap();
        assert!((10.0..=13.0).contains(&at), "{at}");
    }

    #[test]
    fn nobody_waits_for_media_that_was_not_sent() {
        let mut dog = Watchdog::new(None, Duration::ZERO);
        let (sent, _) = seconds(5.0);
        let (given, _) = seconds(4.5);
        for n in 0..100 {
            assert!(!dog.is_hung(Some(sent), Some(given), Duration::from_secs(n)));
            assert!(!Watchdog::new(None, Duration::ZERO).is_hung(
                None,
                None,
                Duration::from_secs(n)
            ));
        }
    }

    #[test]
    fn time_in_which_nobody_looked_does_not_make_a_worker_hung() {
        let mut dog = Watchdog::new(Some(Ticks::ZERO), Duration::ZERO);
        let mut hung = |sent, at| dog.is_hung(Some(seconds(sent).0), Some(Ticks(1)), at);
        assert!(!hung(0.1, Duration::from_secs(1)));
        // The whole machine was asleep.
        assert!(!hung(9.0, Duration::from_secs(100)));
        assert!(!hung(9.0, Duration::from_secs(102)));
        assert!(hung(9.0, Duration::from_secs(104)) || hung(9.0, Duration::from_secs(105)));
    }

    /// Seconds at which a rung is taken from a worker with these lags, over a minute.
    fn shed(behind: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut shedder = Shedder::new(Duration::ZERO);
        let times = (0..600).map(|n| f64::from(n) / 10.0);
        times
            .filter(|time| {
                let (_, now) = seconds(*time);
                shedder.is_due(seconds(behind(*time)).0, false, now)
            })
            .collect()
    }

    #[test]
    fn rungs_are_shed_one_by_one_while_a_worker_is_too_slow() {
        assert_eq!(shed(|_| 0.3), [0.0; 0]);
        // A stall that is over soon.
        assert_eq!(shed(|time| if time < 7.0 { 2.0 } else { 0.1 }), [0.0; 0]);
        // A new worker that makes up for what it missed.
        assert_eq!(shed(|time| (8.0 - time * 0.3).max(0.1)), [0.0; 0]);
        // Falling behind for ever, and far behind without getting worse.
        for lags in [|time: f64| time / 5.0, |_| 3.0] {
            let times = shed(lags);
            assert!((5..=8).contains(&times.len()), "{times:?}");
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] > 7.9));
        }
        // Between quick and slow nothing changes: it had been slow, and stays so.
        assert_eq!(shed(|time| if time < 4.0 { 1.55 } else { 1.4 }).len(), 1);
    }

    #[test]
    fn lost_units_are_reason_enough_once_it_has_settled() {
        let mut shedder = Shedder::new(Duration::ZERO);
        let long = MAX_BACKLOG + Ticks(1);
        assert!(!shedder.skips(long, Duration::from_secs(1)));
        assert!(shedder.skips(long, Duration::from_secs(5)));
        assert!(!shedder.skips(MAX_BACKLOG, Duration::from_secs(5)));
        let due = |shedder: &mut Shedder, at| shedder.is_due(Ticks::ZERO, true, at);
        assert!(!due(&mut shedder, Duration::from_secs(1)));
        assert!(due(&mut shedder, Duration::from_secs(5)));
        assert!(!due(&mut shedder, Duration::from_secs(6)));
    }

    #[test]
    fn the_first_restart_is_at_once_and_the_others_wait_longer_and_longer() {
        let mut restarts = Restarts::default();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            restarts.note(Duration::from_secs(1), true);
            let (least, most) = (restarts.pause(0), restarts.pause(255));
            assert!(least <= most && most <= MAX_BACKOFF);
            pauses.push(most);
        }
        assert_eq!(pauses[0], Duration::ZERO);
        assert!(pauses[1] > Duration::ZERO && pauses[1] <= BACKOFF);
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]));
        restarts.note(STEADY, true);
        assert_eq!(restarts.pause(255), Duration::ZERO);
    }

    #[test]
    fn workers_that_give_nothing_are_given_up_sooner_when_none_ever_did() {
        let mut restarts = Restarts::default();
        for n in 1..=MAX_FRUITLESS_LATER {
            restarts.note(Duration::ZERO, false);
            assert_eq!(restarts.are_useless(false), n >= MAX_FRUITLESS);
            assert_eq!(restarts.are_useless(true), n >= MAX_FRUITLESS_LATER);
            assert_eq!(restarts.suspect_media(), n >= 2);
        }
        restarts.note(Duration::ZERO, true);
        assert!(!restarts.are_useless(false));
    }
}
