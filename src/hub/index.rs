//! Streams by id and by channel. In: streams as they are opened, forked, taken off a channel and
//! ended. Out: look-ups that cost the same however many streams there are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::fence::Fence;
use super::roster::ChannelMember;
use super::{Admission, Stream};
use crate::base::id::Uuid;
use crate::media::timeline::Timeline;

/// Forks of one stream that ended and can still be played: bounds what one that is replaced again and
/// again leaves behind. Past it the oldest is forgotten.
const ENDED_FORKS: usize = 64;

/// What can be played under one stream id.
pub(super) struct Entry {
    /// What is made: of its own channel's publishers, or for a fork. Several forks may share one.
    pub(super) stream: Arc<Stream>,
    /// The stream whose publishers it shows: its own, or that at the root of a fork.
    pub(super) origin: Arc<Stream>,
    /// For whom: of a fork, the destination.
    pub(super) admission: Arc<Admission>,
    /// What players read.
    pub(super) timeline: Arc<dyn Timeline>,
    /// Set for forks.
    pub(super) fork: Option<Fork>,
    /// Whether it belongs to its channel. What was taken off it goes on under its own URL.
    pub(super) bound: bool,
    /// Monotonic time.
    pub(super) ended_at: Option<Duration>,
}

/// What makes an entry a fork.
pub(super) struct Fork {
    /// The entry that it was forked from: it ends with it.
    pub(super) parent: Uuid,
    /// What ends it alone, where it shares its source's timeline; `None` where it has its own.
    pub(super) fence: Option<Arc<Fence>>,
}

impl Entry {
    /// A stream that its own publishers feed.
    pub(super) fn own(stream: Arc<Stream>, timeline: Arc<dyn Timeline>) -> Entry {
        Entry {
            origin: stream.clone(),
            admission: stream.shared_admission(),
            stream,
            timeline,
            fork: None,
            bound: true,
            ended_at: None,
        }
    }

    pub(super) fn lives(&self) -> bool {
        self.ended_at.is_none()
    }

    pub(super) fn has_capability(&self, word: &str) -> bool {
        self.admission.capabilities.iter().any(|have| have == word)
    }
}

/// A stream that is bound to a channel, as far as its members are concerned.
pub(super) struct Bound {
    pub(super) id: Uuid,
    pub(super) origin: Arc<Stream>,
    pub(super) admission: Arc<Admission>,
}

impl Bound {
    pub(super) fn members(&self) -> Vec<ChannelMember> {
        let sessions = self.origin.sessions().into_iter();
        sessions
            .map(|session| session.on(self.id, &self.admission))
            .collect()
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Index {
    entries: HashMap<Uuid, Entry>,
    /// Channel id to what is bound to it and lives, oldest first.
    channels: HashMap<String, Vec<Uuid>>,
}

impl Index {
    /// Adds an entry, as the newest of its channel.
    pub(super) fn insert(&mut self, id: Uuid, entry: Entry) {
        let admission = &entry.admission;
        let channel = self.channels.entry(admission.channel_id.clone());
        channel.or_default().push(id);
        self.entries.insert(id, entry);
    }

    pub(super) fn get(&self, id: Uuid) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Uuid, &Entry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    /// Those that have not ended.
    pub(super) fn living(&self) -> impl Iterator<Item = (Uuid, &Entry)> {
        self.iter().filter(|(_, entry)| entry.lives())
    }

    /// What is bound to a channel and lives, oldest first.
    pub(super) fn of_channel(&self, channel_id: &str) -> &[Uuid] {
        self.channels.get(channel_id).map_or(&[], Vec::as_slice)
    }

    /// An entry, for its members.
    pub(super) fn bound(&self, id: Uuid) -> Option<Bound> {
        let entry = self.entries.get(&id)?;
        Some(Bound {
            id,
            origin: entry.origin.clone(),
            admission: entry.admission.clone(),
        })
    }

    /// What is bound to a channel, for its members.
    pub(super) fn bound_to(&self, channel_id: &str) -> Vec<Bound> {
        let ids = self.of_channel(channel_id).iter();
        ids.filter_map(|id| self.bound(*id)).collect()
    }

    /// The streams whose publishers a channel has.
    pub(super) fn origins_of(&self, channel_id: &str) -> Vec<Arc<Stream>> {
        let ids = self.of_channel(channel_id).iter();
        ids.filter_map(|id| Some(self.entries.get(id)?.origin.clone()))
            .collect()
    }

    /// Takes an entry off its channel.
    pub(super) fn unbind(&mut self, id: Uuid) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.bound = false;
        let admission = entry.admission.clone();
        let Some(bound) = self.channels.get_mut(&admission.channel_id) else {
            return;
        };
        bound.retain(|bound| *bound != id);
        if bound.is_empty() {
            self.channels.remove(&admission.channel_id);
        }
    }

    /// Keeps an ended stream for those who still play it; one that was never listed has nobody.
    pub(super) fn end(&mut self, id: Uuid, now: Duration) {
        self.unbind(id);
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if entry.timeline.description().is_none() {
            self.entries.remove(&id);
            return;
        }
        entry.ended_at.get_or_insert(now);
        if entry.fork.is_some() {
            let origin = entry.origin.id();
            self.forget_oldest_forks(origin);
        }
    }

    fn forget_oldest_forks(&mut self, origin: Uuid) {
        let ended = self.iter().filter_map(|(id, entry)| {
            let is_fork = entry.fork.is_some() && entry.origin.id() == origin;
            entry.ended_at.filter(|_| is_fork).map(|at| (at, id))
        });
        let mut ended: Vec<(Duration, Uuid)> = ended.collect();
        ended.sort_unstable();
        let spare = ended.len().saturating_sub(ENDED_FORKS);
        for (_, id) in &ended[..spare] {
            self.entries.remove(id);
        }
    }

    /// Forgets those that ended and for which `forgotten` holds.
    pub(super) fn forget(&mut self, forgotten: impl Fn(&Entry) -> bool) {
        self.entries
            .retain(|_, entry| entry.lives() || !forgotten(entry));
    }

    /// A living entry with everything that was forked from it, directly or not; itself first.
    pub(super) fn family(&self, id: Uuid) -> Vec<Uuid> {
        let mut family = Vec::from_iter(self.entries.get(&id).map(|_| id));
        let mut next = 0;
        while let Some(parent) = family.get(next).copied() {
            next += 1;
            let forks = self.living().filter(|(fork, entry)| {
                let of = entry.fork.as_ref().map(|fork| fork.parent);
                of == Some(parent) && !family.contains(fork)
            });
            let forks: Vec<Uuid> = forks.map(|(fork, _)| fork).collect();
            family.extend(forks);
        }
        family
    }

    /// Whether `id` is `of` or what `of` was forked from, directly or not.
    pub(super) fn is_ancestor(&self, id: Uuid, of: Uuid) -> bool {
        let mut at = Some(of);
        while let Some(entry) = at {
            if entry == id {
                return true;
            }
            let fork = self
                .entries
                .get(&entry)
                .and_then(|entry| entry.fork.as_ref());
            at = fork.map(|fork| fork.parent);
        }
        false
    }
}

#[cfg(test)]
impl Index {
    /// What must hold of it at any moment.
    pub(super) fn assert_sound(&self) {
        for (channel, bound) in &self.channels {
            assert!(
                !bound.is_empty(),
                "{channel} is forgotten with its last stream"
            );
            let mut origins = std::collections::BTreeSet::new();
            for id in bound {
                let entry = &self.entries[id];
                assert!(entry.lives() && entry.bound);
                assert_eq!(entry.admission.channel_id, *channel);
                assert!(origins.insert(entry.origin.id()), "no session twice");
            }
        }
        self.assert_bound();
        for (_, entry) in self.iter() {
            let shown_ended = entry.timeline.description().map(|it| it.ended);
            // Its players are told.
            assert_eq!(shown_ended == Some(true), !entry.lives());
        }
    }

    /// The same, without what timelines tell.
    pub(super) fn assert_bound(&self) {
        for (id, entry) in self.iter() {
            let channel = self.of_channel(&entry.admission.channel_id);
            assert_eq!(entry.bound && entry.lives(), channel.contains(&id));
            if !entry.lives() {
                continue;
            }
            assert!(!entry.stream.is_ended() && !entry.origin.is_ended());
            if let Some(fork) = &entry.fork {
                assert!(
                    self.entries[&fork.parent].lives(),
                    "it ends with its source"
                );
            }
        }
    }
}
