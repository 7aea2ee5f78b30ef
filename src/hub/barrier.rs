//! Channels that a publish must not reach now: deleted while it was being admitted, or held off after a
//! kill. In: publishes as they begin and end, channels as they are closed and killed. Out: refusals.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Refusal;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Barrier(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Number of the next publish or closing.
    next: u64,
    /// Publishes that are being admitted.
    inside: BTreeSet<u64>,
    /// When channels were closed, as long as a publish is inside that began before.
    closed: HashMap<String, u64>,
    /// Monotonic time up to which keys are refused, by channel id.
    held: HashMap<String, Duration>,
}

/// A publish that is being admitted.
#[derive(Debug)]
pub(super) struct Passage<'a> {
    barrier: &'a Barrier,
    number: u64,
}

impl Barrier {
    /// A publish begins: what it is told of its channel from now on may be out of date when it is through.
    pub(super) fn enter(&self) -> Passage<'_> {
        let mut state = self.lock();
        let number = state.number();
        state.inside.insert(number);
        Passage {
            barrier: self,
            number,
        }
    }

    /// A channel is gone: no publish that is inside now reaches it.
    pub(super) fn close(&self, channel_id: &str) {
        let mut state = self.lock();
        state.held.remove(channel_id);
        if !state.inside.is_empty() {
            let number = state.number();
            state.closed.insert(channel_id.to_owned(), number);
        }
    }

    /// The key of a channel is refused until then.
    pub(super) fn hold(&self, channel_id: &str, until: Duration) {
        self.lock().held.insert(channel_id.to_owned(), until);
    }

    /// Whether the key of a channel may be used at `now`.
    pub(super) fn check_hold(&self, channel_id: &str, now: Duration) -> Result<(), Refusal> {
        match self.lock().held.get(channel_id) {
            Some(until) if now < *until => {
                let left = (*until - now).as_secs_f64();
                let text = format!("its publishers were ended, the key is refused for {left:.1} s");
                Err(Refusal::NotAllowed(text))
            }
            _ => Ok(()),
        }
    }

    /// Forgets what holds nobody off any more.
    pub(super) fn tidy(&self, now: Duration) {
        self.lock().held.retain(|_, until| now < *until);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Passage<'_> {
    /// Whether this publish may reach the channel at `now`.
    pub(super) fn check(&self, channel_id: &str, now: Duration) -> Result<(), Refusal> {
        let closed = self.barrier.lock().closed.get(channel_id).copied();
        if closed.is_some_and(|closed| self.number < closed) {
            return Err(Refusal::UnknownKey);
        }
        self.barrier.check_hold(channel_id, now)
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        let mut state = self.barrier.lock();
        state.inside.remove(&self.number);
        let oldest = state.inside.first().copied().unwrap_or(u64::MAX);
        state.closed.retain(|_, closed| oldest < *closed);
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn a_closed_channel_is_out_of_reach_for_those_inside_and_for_no_other() {
        let barrier = Barrier::default();
        barrier.close("nobody-is-inside");
        let before = barrier.enter();
        barrier.close("gone");
        let after = barrier.enter();
        assert_eq!(before.check("gone", NOW), Err(Refusal::UnknownKey));
        assert_eq!(before.check("other", NOW), Ok(()));
        assert_eq!(before.check("nobody-is-inside", NOW), Ok(()));
        assert_eq!(after.check("gone", NOW), Ok(()), "it was made anew");
        drop(before);
        assert!(barrier.lock().closed.is_empty(), "nothing is kept for ever");
        drop(after);
    }

    #[test]
    fn a_held_channel_is_refused_until_its_time_has_come() {
        let barrier = Barrier::default();
        barrier.hold("killed", NOW + Duration::from_secs(2));
        let refused = barrier.enter().check("killed", NOW);
        assert!(matches!(refused, Err(Refusal::NotAllowed(_))));
        assert_eq!(barrier.check_hold("other", NOW), Ok(()));
        let later = NOW + Duration::from_secs(2);
        assert_eq!(barrier.check_hold("killed", later), Ok(()));
        barrier.tidy(later);
        assert!(barrier.lock().held.is_empty());
    }
}
