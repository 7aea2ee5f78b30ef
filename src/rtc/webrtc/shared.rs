//! What the engine's task and whoever holds the connection have in common.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::events::Events;
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use crate::base::clock::Clock;
use crate::rtc::Event;

/// State behind one lock, which is held for the handling of one packet or one unit.
#[derive(Debug)]
pub(super) struct Media {
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Incoming,
    pub(super) events: Events,
    pub(super) connected: bool,
}

/// Shared by the connection, the engine's chain, and its callbacks.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    media: Mutex<Media>,
    /// There are events to take.
    pub(super) arrived: Notify,
    /// There is something to send: the engine's task is woken by it.
    pub(super) nudge: Notify,
}

impl Shared {
    pub(super) fn new(clock: Clock) -> Shared {
        Shared {
            clock,
            media: Mutex::new(Media {
                outgoing: Outgoing::new(),
                incoming: Incoming::default(),
                events: Events::default(),
                connected: false,
            }),
            arrived: Notify::new(),
            nudge: Notify::new(),
        }
    }

    /// Time since some beginning; never steps.
    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// The state. Who told events says so with [`Shared::announce`].
    pub(super) fn media(&self) -> MutexGuard<'_, Media> {
        self.media.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells an event.
    pub(super) fn tell(&self, event: Event) {
        self.media().events.push(event);
        self.arrived.notify_one();
    }

    /// Media can flow; once.
    pub(super) fn connect(&self) {
        let mut media = self.media();
        if !std::mem::replace(&mut media.connected, true) {
            media.outgoing.connect();
            media.events.push(Event::Connected);
        }
        drop(media);
        self.arrived.notify_one();
        self.nudge.notify_one();
    }

    /// Wakes whoever waits for events, if there are any.
    pub(super) fn announce(&self, media: &Media) {
        if media.events.is_ready() {
            self.arrived.notify_one();
        }
    }
}
