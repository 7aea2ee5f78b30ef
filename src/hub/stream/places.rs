//! The places of a stream's publishers: whether there is one for another, who takes it, and what line the
//! publisher in each has.

use std::net::SocketAddr;
use std::sync::{Arc, MutexGuard, TryLockError};

use tokio::sync::watch;

use super::member::{Member, Warm};
use super::state::State;
use super::{MAX_MEMBERS, MemberId, Stream};
use crate::hub::announcement::Announcement;
use crate::hub::doctor::Doctor;
use crate::hub::observer::Observer;
use crate::hub::session::screen_name;
use crate::hub::{Line, Link, Refusal};

/// A publisher session that is to begin.
pub(in crate::hub) struct Joining {
    /// `rtmp`, `srt`, …
    pub(in crate::hub) proto: &'static str,
    /// Where it comes from.
    pub(in crate::hub) peer: SocketAddr,
    /// Its id in the channel API.
    pub(in crate::hub) session: Arc<str>,
    /// What its channel calls it.
    pub(in crate::hub) screen_name: Option<String>,
}

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
    pub(in crate::hub) fn join(
        &self,
        joining: Joining,
    ) -> Result<(MemberId, watch::Receiver<Option<String>>), Refusal> {
        let mut state = self.lock();
        if state.ended {
            return Err(Refusal::NotAllowed("the stream has just ended".to_owned()));
        }
        let monotonic = self.clock.monotonic();
        let now = state.read(&self.clock);
        if state.members.len() >= MAX_MEMBERS {
            state.evict_silent(now, monotonic, self.silence);
        }
        if state.members.len() >= MAX_MEMBERS {
            return Err(full());
        }
        let first = state.members.is_empty();
        let (id, place) = state.next_member();
        let (eviction, receiver) = watch::channel(None);
        let name = joining.screen_name.map(Into::into);
        state.members.push(Member {
            id,
            place,
            proto: joining.proto,
            peer: joining.peer,
            ignored: Vec::new(),
            session: joining.session,
            screen_name: name.unwrap_or_else(|| screen_name(first, joining.peer.ip(), id.0 + 1)),
            changed: now,
            has_sent: false,
            joined: monotonic,
            reason: String::new(),
            doctor: Doctor::default(),
            announcement: Announcement::default(),
            video: None,
            audio: None,
            last_unit: monotonic,
            observer: Observer::default(),
            warm: Warm::default(),
            eviction,
        });
        state.empty_since = None;
        state.note_joined(id, now);
        Ok((id, receiver))
    }

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
