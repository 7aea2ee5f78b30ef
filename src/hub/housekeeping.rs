//! What is done for all streams as time passes: holes become visible, publishers are examined, signs of
//! life are written down, streams that nobody feeds end, and those that ended are forgotten.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::index::Entry;
use super::{Hub, Sign, Stream};
use crate::base::id::Uuid;

/// How often streams are looked after: their publishers examined, signs of life written down, those
/// that nobody feeds ended.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
/// How often time passes for streams: how late a hole may become visible.
const TICK: Duration = Duration::from_millis(50);

/// How many ticks publishers have to leave when the server stops. They are told at the same time.
const LAST_TICKS: u32 = 20;

impl Hub {
    /// Looks after streams until the tasks are stopped: lets time pass for them, has their publishers
    /// examined, ends those whose publisher stays away, forgets those that ended long ago.
    pub async fn run(&self) {
        let tasks = &self.inner.tasks;
        // Side by side: housekeeping may wait for the database, time may not.
        let ticking = async {
            let mut tick = tokio::time::interval(TICK);
            // Time that was slept through passes once.
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = tasks.stopped() => break,
                    _ = tick.tick() => self.tick(),
                }
            }
            for _ in 0..LAST_TICKS {
                if self.publisher_count() == 0 {
                    break;
                }
                tick.tick().await;
            }
            self.all().iter().for_each(|stream| stream.flush());
        };
        let housekeeping = async {
            let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
            housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = tasks.stopped() => break,
                    _ = housekeeping.tick() => self.tidy().await,
                }
            }
        };
        tokio::join!(ticking, housekeeping);
        let last = self.signs().last(self.living_signs());
        self.inner.gate.streams_alive(&last).await;
    }

    /// Lets time pass for every stream. Called by [`Hub::run`]; by tests after they have moved the clock.
    pub fn tick(&self) {
        for stream in self.all() {
            stream.tick();
        }
    }

    pub(super) async fn tidy(&self) {
        for stream in self.all() {
            stream.examine();
        }
        let now = self.inner.clock.monotonic();
        let config = &self.inner.config;
        let due = self.signs().due(now, || self.living_signs());
        if let Some(due) = due {
            self.inner.gate.streams_alive(&due).await;
        }
        let gone = self.end_idle();
        // Not waited for: without the database it takes long, and others end meanwhile.
        if !gone.is_empty() {
            drop(self.record_ended(gone));
        }
        self.inner.barrier.tidy(now);
        let forgotten = |entry: &Entry| {
            entry
                .ended_at
                .is_some_and(|ended| now.saturating_sub(ended) >= config.retention)
        };
        let any = self.streams().iter().any(|(_, entry)| forgotten(entry));
        if any {
            self.write_streams().forget(forgotten);
        }
    }

    /// Ends streams to which nobody comes back, and gives those that were recorded.
    fn end_idle(&self) -> Vec<Uuid> {
        let idle = |stream: &Stream, bound: bool| {
            if bound && stream.admission().lasting.is_some() {
                return false;
            }
            // To a stream that was taken off its channel nobody can come back.
            let patience = match bound {
                true => self.inner.config.reconnect,
                false => Duration::ZERO,
            };
            stream.idle().is_some_and(|idle| idle >= patience)
        };
        let idle = || {
            let own = self.own().into_iter();
            let over = own.filter(|(stream, bound)| idle(stream, *bound));
            over.map(|(stream, _)| stream.id()).collect::<Vec<_>>()
        };
        if idle().is_empty() {
            return Vec::new();
        }
        // Nobody is forked meanwhile, nor finds a stream that is about to end.
        let mut channels = self.channels();
        let over = idle();
        channels.retain(|_, id| !over.contains(id));
        self.end(&over, None)
    }

    /// Every stream with publishers of its own that has not ended, and whether it belongs to its channel.
    fn own(&self) -> Vec<(Arc<Stream>, bool)> {
        let streams = self.streams();
        let own = streams.living().filter(|(_, entry)| entry.fork.is_none());
        own.map(|(_, entry)| (entry.stream.clone(), entry.bound))
            .collect()
    }

    /// Every stream that the next run of the server may take up: its sign of life, and whether somebody
    /// publishes it.
    fn living_signs(&self) -> Vec<(Sign, bool)> {
        let bound = self.own().into_iter().filter(|(_, bound)| *bound);
        bound
            .map(|(stream, _)| (self.sign(&stream), stream.idle().is_none()))
            .collect()
    }

    pub(super) fn sign(&self, stream: &Stream) -> Sign {
        let silent = stream.idle().unwrap_or_default();
        let silent_us = i64::try_from(silent.as_micros()).unwrap_or(i64::MAX);
        Sign {
            id: stream.id(),
            alive: self.inner.clock.wall().plus_micros(-silent_us),
            told: stream.told(),
            is_final: false,
        }
    }
}
