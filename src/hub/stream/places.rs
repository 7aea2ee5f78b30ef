//! The places of a stream's publishers: whether there is one for another, and what line the publisher
//! in each has.

use std::sync::{MutexGuard, TryLockError};

use super::state::State;
use super::{MAX_MEMBERS, MemberId, Stream};
use crate::hub::{Line, Link, Refusal};

/// Why one more publisher is not taken.
pub(super) fn full() -> Refusal {
    Refusal::Full(format!(
        "{MAX_MEMBERS} encoders publish with this key already"
    ))
}

impl State {
    /// The number of the publisher that comes next, and the first place that nobody has.
    pub(super) fn next_member(&mut self) -> (MemberId, usize) {
        let id = MemberId(self.next_member);
        self.next_member += 1;
        let is_taken = |place: &usize| self.members.iter().any(|member| member.place == *place);
        let free = (0..MAX_MEMBERS).find(|place| !is_taken(place));
        (id, free.unwrap_or(MAX_MEMBERS))
    }
}

impl Stream {
    /// Whether another publisher would be taken, for those who must not wait: while the stream is at
    /// work, it is not said to be full.
    pub(in crate::hub) fn check_room(&self) -> Result<(), Refusal> {
        let now = self.clock.monotonic();
        let Some(state) = self.try_lock() else {
            return Ok(());
        };
        let mut sending = state.members.iter();
        let all_send = sending.all(|member| !member.is_silent(now, self.silence));
        match !state.ended && state.members.len() >= MAX_MEMBERS && all_send {
            true => Err(full()),
            false => Ok(()),
        }
    }

    /// Publisher sessions now; `None` while the stream is at work.
    pub(in crate::hub) fn try_member_count(&self) -> Option<usize> {
        Some(self.try_lock()?.members.len())
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(state)) => Some(state.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Notes what a publisher asked for in vain: the stream has other capabilities.
    pub(in crate::hub) fn note_ignored(&self, member: MemberId, words: Vec<String>) {
        let mut state = self.lock();
        if let Some(found) = state.members.iter_mut().find(|found| found.id == member) {
            found.ignored = words;
        }
    }

    /// What a publisher's transport measures of its line.
    pub(in crate::hub) fn report_link(&self, member: MemberId, link: Link) {
        let mut state = self.lock();
        if let Some(found) = state.members.iter_mut().find(|found| found.id == member) {
            found.observer.handle_link(link);
        }
    }

    /// The lines of publishers whose transport measures them.
    pub fn lines(&self) -> Vec<Line> {
        let state = self.lock();
        let members = state.members.iter();
        members
            .filter_map(|member| {
                Some(Line {
                    place: member.place,
                    proto: member.proto,
                    link: member.observer.link()?,
                })
            })
            .collect()
    }
}
