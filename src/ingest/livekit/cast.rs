//! Who of a room is in the channel. In: who is followed. Out: whose tracks are asked for, and publisher
//! sessions that end when others have begun.
//!
//! Who goes stays in the channel until who comes has brought a picture: both are members of the stream for so
//! long, and viewers see no hole.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::feed::{Changes, Feed};
use super::room::{Followed, Room};
use crate::base::clock::Clock;
use crate::ingest::port::Sink;
use crate::ingest::stats::Stats;
use crate::rtc::IncomingId;

/// Participants whose media go into the channel.
pub(super) struct Cast<S> {
    key_interval: Duration,
    stats: Arc<Stats>,
    seed: u64,
    on: Option<Feed<S>>,
    /// Who takes its place as soon as it can.
    next: Option<Feed<S>>,
}

impl<S: Sink> Cast<S> {
    /// Nobody yet. `seed`: of the pauses after refusals.
    pub(super) fn new(key_interval: Duration, stats: Arc<Stats>, seed: u64) -> Cast<S> {
        Cast {
            key_interval,
            stats,
            seed,
            on: None,
            next: None,
        }
    }

    /// The room has changed: what the server is to be asked for.
    pub(super) fn arrange(&mut self, room: &mut Room, now: Duration) -> Changes {
        let mut changes = Changes::default();
        let Some(followed) = room.follow() else {
            release(&mut self.on, &mut changes);
            release(&mut self.next, &mut changes);
            return changes;
        };
        let is_of = |feed: &Option<Feed<S>>| {
            let feed = feed.as_ref();
            feed.is_some_and(|feed| feed.participant() == followed.participant)
        };
        if is_of(&self.on) {
            release(&mut self.next, &mut changes);
            update(&mut self.on, followed, now, &mut changes);
            return changes;
        }
        let still = self.on.as_ref();
        let still = still.and_then(|feed| room.offer_of(feed.participant()));
        match still {
            Some(still) => update(&mut self.on, still, now, &mut changes),
            None => release(&mut self.on, &mut changes),
        }
        if !is_of(&self.next) {
            release(&mut self.next, &mut changes);
            self.seed = self.seed.wrapping_add(1);
            let terms = (&self.stats, self.seed);
            self.next = Some(Feed::new(&followed, self.key_interval, terms, now));
        }
        update(&mut self.next, followed, now, &mut changes);
        if self.on.is_none() {
            self.on = self.next.take();
        }
        changes
    }

    /// Lets go who has been replaced.
    pub(super) fn advance(&mut self) -> Option<Changes> {
        let next = self.next.take_if(|next| next.has_begun())?;
        let mut changes = Changes::default();
        if let Some(before) = self.on.replace(next) {
            before.release(&mut changes);
        }
        Some(changes)
    }

    /// Lets everybody go, with a goodbye.
    pub(super) fn finish(&mut self) {
        let mut changes = Changes::default();
        release(&mut self.on, &mut changes);
        release(&mut self.next, &mut changes);
    }

    /// Who is in the channel.
    pub(super) fn on(&self) -> Option<&Feed<S>> {
        self.on.as_ref()
    }

    /// Whose track it is.
    pub(super) fn of(&mut self, id: IncomingId) -> Option<&mut Feed<S>> {
        self.feeds().find(|feed| feed.kind_of(id).is_some())
    }

    /// Everybody whose media come.
    pub(super) fn feeds(&mut self) -> impl Iterator<Item = &mut Feed<S>> {
        [&mut self.on, &mut self.next].into_iter().flatten()
    }

    /// Resolves when the hub has ended a publisher session, which is done with then. Cancel-safe.
    pub(super) async fn evicted(&mut self, clock: &Clock) {
        std::future::poll_fn(|context| {
            let mut feeds = self.feeds();
            let ended = feeds.find_map(|feed| match feed.poll_evicted(context) {
                Poll::Ready(reason) => Some((feed, reason)),
                Poll::Pending => None,
            });
            match ended {
                Some((feed, reason)) => {
                    feed.handle_evicted(&reason, clock.monotonic());
                    Poll::Ready(())
                }
                None => Poll::Pending,
            }
        })
        .await;
    }
}

fn update<S: Sink>(
    feed: &mut Option<Feed<S>>,
    followed: Followed,
    now: Duration,
    changes: &mut Changes,
) {
    if let Some(feed) = feed {
        feed.update(followed, now, changes);
    }
}

fn release<S: Sink>(feed: &mut Option<Feed<S>>, changes: &mut Changes) {
    if let Some(feed) = feed.take() {
        feed.release(changes);
    }
}
