//! Channels that a publish must not reach now: deleted or emptied while it was being admitted, or held off
//! since. In: publishes as they begin and end, channels as they are closed and emptied. Out: refusals.
//!
//! Admission may take seconds, as a service outside is asked. Nobody waits for it: what happens to the
//! channel meanwhile happens at once, and the publish learns of it when it is through.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Refusal;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Barrier(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Number of the next publish or shutting.
    next: u64,
    /// Publishes that are being admitted.
    inside: BTreeSet<u64>,
    /// When channels were last shut to those inside, and what they are told; as long as a publish is inside
    /// that began before.
    shut: HashMap<String, (u64, Refusal)>,
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
        state.shut(channel_id, Refusal::UnknownKey);
    }

    /// A channel's publishers were ended: those that are inside now, too, and its key is refused until then.
    pub(super) fn empty(&self, channel_id: &str, until: Duration) {
        let mut state = self.lock();
        state.held.insert(channel_id.to_owned(), until);
        let text = "the channel's publishers were ended just now";
        state.shut(channel_id, Refusal::NotAllowed(text.to_owned()));
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
        if let Some((shut, refusal)) = self.barrier.lock().shut.get(channel_id)
            && self.number < *shut
        {
            return Err(refusal.clone());
        }
        self.barrier.check_hold(channel_id, now)
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        let mut state = self.barrier.lock();
        state.inside.remove(&self.number);
        let oldest = state.inside.first().copied().unwrap_or(u64::MAX);
        state.shut.retain(|_, (shut, _)| oldest < *shut);
    }
}

impl State {
    fn shut(&mut self, channel_id: &str, refusal: Refusal) {
        if !self.inside.is_empty() {
            let number = self.number();
            self.shut.insert(channel_id.to_owned(), (number, refusal));
        }
    }

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
        assert!(barrier.lock().shut.is_empty(), "nothing is kept for ever");
        drop(after);
    }

    #[test]
    fn an_emptied_channel_is_refused_to_those_inside_and_to_others_until_its_time_has_come() {
        let barrier = Barrier::default();
        let before = barrier.enter();
        barrier.empty("killed", NOW);
        let refused = before.check("killed", NOW);
        assert!(matches!(refused, Err(Refusal::NotAllowed(_))));
        assert_eq!(before.check("other", NOW), Ok(()));
        assert_eq!(barrier.enter().check("killed", NOW), Ok(()));
        barrier.empty("killed", NOW + Duration::from_secs(2));
        let refused = barrier.enter().check("killed", NOW);
        assert!(matches!(refused, Err(Refusal::NotAllowed(_))));
        assert_eq!(barrier.check_hold("other", NOW), Ok(()));
        let later = NOW + Duration::from_secs(2);
        assert_eq!(barrier.check_hold("killed", later), Ok(()));
        barrier.tidy(later);
        assert!(barrier.lock().held.is_empty());
    }
}
