//! Which rooms are listened to now. In: where somebody publishes. Out: a running listener for each, that can be
//! asked how it is.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{Config, OfHub, State, address_of, listen};
use crate::base::lanes;
use crate::base::shutdown::Tasks;
use crate::hub::Hub;

/// Rooms that are listened to at a time: as many as a gateway of this kind has publishers twice over. Each
/// holds a thread, two sockets and what is on its way.
const MAX_LISTENERS: usize = 1000;

/// Listeners, by channel.
#[derive(Debug)]
pub struct Listeners {
    config: Config,
    hub: Hub,
    tasks: Tasks,
    running: Mutex<HashMap<String, Listener>>,
}

#[derive(Debug)]
struct Listener {
    /// Closed when the listener has ended.
    wanted: watch::Sender<bool>,
    state: watch::Receiver<State>,
    tasks: Tasks,
}

impl Listeners {
    /// None yet. They end with `tasks`.
    pub fn new(config: Config, hub: Hub, tasks: Tasks) -> Listeners {
        Listeners {
            config,
            hub,
            tasks,
            running: Mutex::default(),
        }
    }

    /// Somebody publishes in the room of a channel, or nobody does any more. Saying it again does no harm: a
    /// listener that has ended meanwhile is started anew.
    pub fn handle_room(&self, channel_id: &str, room: &str, is_published: bool) {
        let mut running = self.running();
        running.retain(|_, listener| !listener.wanted.is_closed());
        if let Some(listener) = running.get(channel_id) {
            listener.wanted.send_replace(is_published);
            return;
        }
        if !is_published {
            return;
        }
        if running.len() >= MAX_LISTENERS {
            tracing::warn!(
                channel = channel_id,
                MAX_LISTENERS,
                "a room is not listened to: there are too many"
            );
            return;
        }
        let mut seed = [0; 8];
        // Without random numbers all listeners try again at once: a pity, not an error.
        let _ = getrandom::fill(&mut seed);
        let (wanted, is_wanted) = watch::channel(true);
        let (sender, state) = watch::channel(State::Joining);
        let channel = OfHub {
            hub: self.hub.clone(),
            channel_id: channel_id.to_owned(),
            server: address_of(&self.config.server),
        };
        let tasks = self.tasks.child();
        let run = listen(
            (room.to_owned(), channel),
            self.config.clone(),
            is_wanted,
            sender,
            u64::from_ne_bytes(seed),
            tasks.clone(),
        );
        self.config.lanes.spawn(&self.tasks, lanes::PEER, run);
        let listener = Listener {
            wanted,
            state,
            tasks,
        };
        running.insert(channel_id.to_owned(), listener);
    }

    /// The channel is gone: its room is left at once.
    pub fn stop(&self, channel_id: &str) {
        if let Some(listener) = self.running().remove(channel_id) {
            listener.tasks.stop();
        }
    }

    /// How the listener of a channel is; `None`: there is none.
    pub fn state(&self, channel_id: &str) -> Option<State> {
        let running = self.running();
        let listener = running.get(channel_id)?;
        let state = listener.state.borrow().clone();
        (!listener.wanted.is_closed()).then_some(state)
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Listener>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
