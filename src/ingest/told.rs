//! How many lines of the log callers get who are not let in: anybody can call as often as they like.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Callers told of in the log one by one, a second. A flood is counted, and its number told once a second.
const MAX_TOLD: u32 = 10;
/// Callers are counted over this.
const SECOND: Duration = Duration::from_secs(1);

/// Callers of a protocol in the current second.
#[derive(Debug)]
pub(super) struct Told {
    proto: &'static str,
    second: Mutex<Second>,
}

#[derive(Debug, Default)]
struct Second {
    since: Duration,
    told: u32,
    untold: u64,
}

impl Told {
    pub(super) fn new(proto: &'static str) -> Told {
        Told {
            proto,
            second: Mutex::default(),
        }
    }

    /// Whether a caller gets a line of its own. `now` is of any clock that never goes back.
    pub(super) fn admits(&self, now: Duration) -> bool {
        let mut second = self.turned(now);
        let is_told = second.told < MAX_TOLD;
        second.told += u32::from(is_told);
        second.untold += u64::from(!is_told);
        is_told
    }

    /// Tells how many got none, when their second is over; whether there are none left to tell of.
    pub(super) fn turn(&self, now: Duration) -> bool {
        self.turned(now).untold == 0
    }

    fn turned(&self, now: Duration) -> MutexGuard<'_, Second> {
        let second = self.second.lock();
        let mut second = second.unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(second.since) >= SECOND {
            if second.untold > 0 {
                let (proto, callers) = (self.proto, second.untold);
                tracing::info!(proto, callers, "more callers refused");
            }
            *second = Second {
                since: now,
                ..Second::default()
            };
        }
        second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gets_a_few_lines_a_second_and_its_number() {
        let told = Told::new("test");
        let at = Duration::from_millis;
        let lines = |now| (0..5000).filter(|_| told.admits(at(now))).count();
        assert_eq!(lines(5000), 10);
        assert!(!told.turn(at(5999)));
        assert_eq!(lines(5999), 0);
        assert!(told.turn(at(6000)));
        assert_eq!(lines(6000), 10);
    }
}
