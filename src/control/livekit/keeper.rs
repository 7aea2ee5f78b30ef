//! Keeps rooms as broadcasts are: closes those whose broadcast is over, sends those out who were removed, and
//! looks who publishes. In: the server's lists, at intervals. Out: changes there, signs of life in the store. Not
//! here: what webhooks say (`webhook.rs`), which is the same, sooner.
//!
//! What was done in vain is done again at the next look, whoever wanted it: nothing else tries twice, nobody waits,
//! and a gateway that starts puts right what the one before it left.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::rooms::{Person, Place, Whose, is_present, is_removed, whose};
use super::service::Revoked;
use super::{Server, Unwell};
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::control::{RoomPublisher, State};
use crate::store::Broadcast;

/// How often it is looked whether broadcasts are over: in memory, so that rooms close at once.
const LOOK: Duration = Duration::from_secs(1);
/// How often the server is asked. A sixth of the time in which a broadcast without signs of life ends.
const SWEEP: Duration = Duration::from_secs(15);
/// Rooms of a sweep. Bounds what one asks: a call for each takes some milliseconds.
const MAX_SWEPT: usize = 5000;
/// Calls that wait for an answer: what is asked for beside that is left to the next sweep.
pub(super) const MAX_CALLS: usize = 32;

/// Keeps rooms until the tasks are stopped.
pub async fn run(state: State) {
    let setup = state.setup();
    let Some(server) = setup.livekit.clone() else {
        return;
    };
    let tasks = setup.tasks.clone();
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut swept = None;
    loop {
        tokio::select! {
            () = tasks.stopped() => return,
            _ = looks.tick() => {}
        }
        let work = async {
            close_over(&state, &server).await;
            let now = setup.clock.monotonic();
            if swept.is_none_or(|swept| now.saturating_sub(swept) >= SWEEP) {
                swept = Some(now);
                // Whether the server answers is told by its health.
                if let Err(err) = sweep(&state, &server).await {
                    tracing::debug!(%err, "rooms of LiveKit are looked at later");
                }
            }
        };
        // It may be given up anywhere: the next run does the rest.
        tokio::select! {
            () = tasks.stopped() => return,
            () = work => {}
        }
    }
}

/// Closes rooms of broadcasts that are over.
pub(super) async fn close_over(state: &State, server: &Server) {
    for stream in state.livekit().rooms.over(state, SWEEP) {
        if close(state, server, stream).await.is_err() {
            return;
        }
    }
}

async fn close(state: &State, server: &Server, stream: Uuid) -> Result<(), Unwell> {
    let now = state.setup().clock.wall();
    let done = server.delete_room(&stream.to_string(), now).await;
    match &done {
        Ok(()) => {
            state.livekit().rooms.closed(state, stream).await;
            tracing::info!(room = %stream, "room closed: its broadcast is over");
        }
        Err(err) => tracing::warn!(%err, room = %stream, "a room is closed later"),
    }
    done
}

/// Looks at all rooms. Gives up at the first sign that the server is of no use.
pub(super) async fn sweep(state: &State, server: &Server) -> Result<(), Unwell> {
    let setup = state.setup();
    let rooms = &state.livekit().rooms;
    let facts = rooms.all_facts();
    let found = server.rooms(setup.clock.wall()).await?;
    let mut listed = HashSet::new();
    let mut fed = Vec::new();
    for room in found {
        let Ok(stream) = Uuid::parse_str(&room.name) else {
            continue;
        };
        listed.insert(stream);
        if listed.len() > MAX_SWEPT {
            tracing::warn!(MAX_SWEPT, "more rooms than are looked at");
            return Ok(());
        }
        match whose(state, stream).await {
            Ok(Whose::Live(place)) => {
                let publishes = look(state, server, (stream, &place), room.sid).await?;
                if publishes {
                    fed.push(place.channel_id);
                }
            }
            Ok(Whose::Over) => close(state, server, stream).await?,
            Ok(Whose::Foreign) => {}
            Err(err) => tracing::debug!(%err, "a room of LiveKit cannot be looked up"),
        }
    }
    rooms.forget_unlisted(state, &listed, &facts).await;
    if !fed.is_empty()
        && let Err(err) = setup.store.broadcasts_fed(&fed).await
    {
        tracing::error!(%err, "signs of life from rooms cannot be noted");
    }
    Ok(())
}

/// Looks who is in a room; whether somebody publishes.
async fn look(
    state: &State,
    server: &Server,
    (stream, place): (Uuid, &Place),
    sid: String,
) -> Result<bool, Unwell> {
    let setup = state.setup();
    let rooms = &state.livekit().rooms;
    let facts = rooms.facts(stream);
    let now = setup.clock.wall();
    let found = match server.participants(&stream.to_string(), now).await {
        Err(err) if err.is_missing() => return Ok(false),
        found => found?,
    };
    let people = found.into_iter().filter(is_present).map(Person::from);
    let mut people: Vec<Person> = people.collect();
    let removed = match people.iter().any(|person| person.may_publish) {
        true => setup.store.removed_cohosts(place.broadcast).await,
        false => Ok(Vec::new()),
    };
    match removed {
        Ok(removed) => {
            for identity in removed {
                let is_it = |person: &Person| person.identity == identity && person.may_publish;
                if people.iter().any(is_it) {
                    send_out(state, server, (stream, &identity), Revoked::Before).await?;
                    people.retain(|person| !is_it(person));
                }
            }
        }
        Err(err) => tracing::error!(%err, "co-hosts of a room cannot be looked up"),
    }
    let publishes = people.iter().any(|person| !person.tracks.is_empty());
    let place = place.clone();
    rooms
        .list(state, (stream, place), (sid, people), facts)
        .await;
    Ok(publishes)
}

async fn send_out(
    state: &State,
    server: &Server,
    (stream, identity): (Uuid, &str),
    revoked: Revoked,
) -> Result<(), Unwell> {
    let (room, now) = (stream.to_string(), state.setup().clock.wall());
    let done = server
        .remove_participant((&room, identity), revoked, now)
        .await;
    match &done {
        Ok(()) => tracing::info!(room, "a co-host was sent out of its room"),
        Err(err) => tracing::warn!(%err, room, "a co-host is sent out later"),
    }
    done
}

impl Server {
    /// Who publishes in a room now, others than the gateway.
    pub(in crate::control) async fn publishers(
        &self,
        room: &str,
        now: Wall,
    ) -> Result<Vec<RoomPublisher>, Unwell> {
        let found = self.participants(room, now).await?.into_iter();
        let people = found.filter(is_present).map(Person::from);
        let publishing = people.filter(|person| !person.tracks.is_empty());
        let publisher = |person: Person| RoomPublisher {
            identity: person.identity,
            role: person.role,
        };
        Ok(publishing.map(publisher).collect())
    }
}

impl State {
    /// Asks the server for something that nobody waits for; without a server, or with too much asked already, not
    /// at all.
    fn in_background<F>(&self, work: impl FnOnce(State, Server) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let setup = self.setup();
        let calls = self.livekit().calls.clone();
        let (Some(server), Ok(place)) = (setup.livekit.clone(), calls.try_acquire_owned()) else {
            return;
        };
        let work = work(self.clone(), server);
        let tasks = setup.tasks.clone();
        setup.tasks.spawn(async move {
            let _place = place;
            tokio::select! {
                () = tasks.stopped() => {}
                () = work => {}
            }
        });
    }

    /// Has the room of a broadcast made, with its limit: who joins first may not be who knows it.
    pub(in crate::control) fn make_room(&self, broadcast: &Broadcast) {
        let (stream, people) = (broadcast.stream_id, broadcast.max_participants);
        if !self.livekit().rooms.expect(stream, Place::of(broadcast)) {
            return;
        }
        self.in_background(|state, server| async move {
            let now = state.setup().clock.wall();
            let made = server.create_room(&stream.to_string(), people, now).await;
            if let Err(err) = made {
                // Whoever joins makes it, and every token says the limit.
                tracing::debug!(%err, room = %stream, "a room is not made beforehand");
                state.livekit().rooms.not_made(stream);
            }
        });
    }

    /// Closes the room of a broadcast that is over, now.
    pub(in crate::control) fn close_room(&self, broadcast: &Broadcast) {
        let stream = broadcast.stream_id;
        self.in_background(move |state, server| async move {
            let _ = close(&state, &server, stream).await;
        });
    }

    /// Sends a co-host out of its room. One that leaves by itself may come again.
    pub(in crate::control) fn send_out_of_room(
        &self,
        stream: Uuid,
        identity: String,
        is_removed: bool,
    ) {
        let revoked = match is_removed {
            true => Revoked::Before,
            false => Revoked::Nothing,
        };
        self.in_background(move |state, server| async move {
            let _ = send_out(&state, &server, (stream, &identity), revoked).await;
        });
    }

    /// Tells those in a room what a co-host is called and may do now.
    pub(in crate::control) fn update_in_room(
        &self,
        stream: Uuid,
        identity: String,
        name: String,
        metadata: String,
    ) {
        self.in_background(move |state, server| async move {
            let (room, now) = (stream.to_string(), state.setup().clock.wall());
            let who = (room.as_str(), identity.as_str());
            let done = server.update_participant(who, (&name, &metadata), now);
            if let Err(err) = done.await {
                tracing::warn!(%err, room, "a room is not told of a change of its co-host");
            }
        });
    }

    /// Sends somebody out who just joined, if it was removed before.
    pub(super) fn send_out_if_removed(&self, stream: Uuid, broadcast: Uuid, identity: String) {
        self.in_background(move |state, server| async move {
            match is_removed(&state, broadcast, &identity).await {
                Ok(true) => {
                    let _ = send_out(&state, &server, (stream, &identity), Revoked::Before).await;
                }
                Ok(false) => {}
                Err(err) => tracing::error!(%err, "a co-host cannot be looked up"),
            }
        });
    }

    /// Closes a room that somebody opened again.
    pub(super) fn close_again(&self, stream: Uuid) {
        self.in_background(move |state, server| async move {
            let _ = close(&state, &server, stream).await;
        });
    }
}
