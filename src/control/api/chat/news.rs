//! What a room is told of its broadcast: how far it has come, and how many watch. In: changes made here, and
//! at intervals what the database and the playback side say, since a broadcast also ends by silence or at
//! another gateway. Out: frames, where something is new.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Rooms;
use crate::base::id::Uuid;
use crate::control::State;
use crate::control::api::viewer::viewers;
use crate::store::{Broadcast, Error, Standing, Store};

/// How often the database is asked, and how often a number may change.
const LOOK: Duration = Duration::from_secs(3);

/// Keeps all rooms told until the tasks are stopped.
pub async fn run(state: State) {
    let tasks = state.setup().tasks.clone();
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = tasks.stopped() => return,
            _ = looks.tick() => {}
        }
        if let Err(err) = look(&state).await {
            tracing::error!(%err, "rooms of chats cannot be told of their broadcasts");
        }
    }
}

/// Tells each room what is new.
pub(super) async fn look(state: &State) -> Result<(), Error> {
    let rooms = state.chats().open();
    if rooms.is_empty() {
        return Ok(());
    }
    let setup = state.setup();
    for standing in setup.store.standings(&rooms).await? {
        let number = viewers(
            &*setup.measurements,
            standing.stream,
            standing.reported_viewers,
        );
        state.chats().tell_viewers(&standing, number);
        state.chats().tell_status(&standing);
    }
    Ok(())
}

/// Tells a broadcast's room at once how far it has come.
pub(in crate::control) fn tell(rooms: &Rooms, broadcast: &Broadcast) {
    rooms.tell_status(&Standing {
        broadcast: broadcast.id,
        stream: broadcast.stream_id,
        status: broadcast.status,
        reported_viewers: broadcast.reported_viewers,
    });
}

/// The same of a broadcast that was changed with what it belongs to. What cannot be read now is told of at the next
/// look.
pub(in crate::control) async fn catch_up(rooms: &Rooms, store: &Store, broadcast: Option<Uuid>) {
    let Some(broadcast) = broadcast else {
        return;
    };
    match store.find_broadcast(&broadcast.to_string()).await {
        Ok(Some(broadcast)) => tell(rooms, &broadcast),
        Ok(None) => {}
        Err(err) => tracing::error!(%err, %broadcast, "a chat is told of its broadcast later"),
    }
}
