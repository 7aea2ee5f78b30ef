//! What is known of rooms of broadcasts: who is in them and publishes. In: facts of webhooks, one at a time, and
//! whole lists of the server's. Out: who publishes, for those who follow rooms. Not here: asking the server.
//!
//! Facts may come late, twice, or not at all (`known.rs`). A list of the server's puts right what is still wrong.

mod known;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::id::{Uuid, region_of};
use crate::control::{RoomPublisher, State};
use crate::store::{self, Broadcast};
pub(in crate::control) use known::is_own;
pub(super) use known::{Fact, Person, What, is_present, role};
use known::{Known, MAX_PEOPLE};

/// Rooms that are remembered: more than there may be channels by default. Bounds memory to some megabytes.
const MAX_ROOMS: usize = 20_000;
/// How long a room stays nobody's before it is looked up again.
const FOREIGN_FOR: Duration = Duration::from_secs(600);

/// Whose a room is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Of a broadcast that is not over.
    Live(Place),
    /// Of a broadcast that is over.
    Over,
    /// Of nobody here, or of a gateway in another region.
    Foreign,
}

/// Where a room belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) broadcast: Uuid,
    pub(super) channel_id: String,
}

/// Whether somebody may enter a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It may.
    Open,
    /// The broadcast is over.
    Over,
    /// It was removed, and wants to publish.
    Removed,
    /// The room is of no broadcast: its token says all.
    Foreign,
}

/// Rooms, and rooms that are none of ours.
#[derive(Debug, Default)]
struct Kept {
    rooms: HashMap<Uuid, Known>,
    /// Until when, monotonic.
    foreign: HashMap<Uuid, Duration>,
}

/// How many are in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) struct Figures {
    /// Everybody but the gateway itself.
    pub(in crate::control) participants: u64,
    /// Those of them who publish.
    pub(in crate::control) publishers: u64,
}

/// What is known of rooms.
#[derive(Debug, Default)]
pub(in crate::control) struct Rooms {
    kept: Mutex<Kept>,
    /// Held from a change until those who follow rooms have heard of it, so that they hear in order.
    turn: tokio::sync::Mutex<()>,
}

impl Rooms {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are in a room, if there is one.
    pub(in crate::control) fn figures(&self, stream: Uuid) -> Option<Figures> {
        let kept = self.lock();
        let known = kept.rooms.get(&stream)?;
        let publishers = known.people.values().filter(|one| !one.tracks.is_empty());
        Some(Figures {
            participants: known.people.len() as u64 + known.watching,
            publishers: publishers.count() as u64,
        })
    }

    /// Who publishes in a room.
    pub(in crate::control) fn publishers(&self, stream: Uuid) -> Vec<RoomPublisher> {
        let kept = self.lock();
        kept.rooms
            .get(&stream)
            .map_or_else(Vec::new, Known::publishers)
    }

    /// Notes that there will be a room. Whether the server is yet to be asked for it.
    pub(super) fn expect(&self, stream: Uuid, place: Place) -> bool {
        let mut kept = self.lock();
        if kept.rooms.len() >= MAX_ROOMS && !kept.rooms.contains_key(&stream) {
            return false;
        }
        let known = kept
            .rooms
            .entry(stream)
            .or_insert_with(|| Known::new(place));
        !std::mem::replace(&mut known.is_made, true)
    }

    /// It was asked for in vain.
    pub(super) fn not_made(&self, stream: Uuid) {
        if let Some(known) = self.lock().rooms.get_mut(&stream) {
            known.is_made = false;
        }
    }

    /// Counts facts about a room; see [`Rooms::list`].
    pub(super) fn facts(&self, stream: Uuid) -> u64 {
        self.lock()
            .rooms
            .get(&stream)
            .map_or(0, |known| known.facts)
    }

    /// Notes a fact, and tells who follows rooms if others publish now.
    pub(super) async fn apply(&self, state: &State, stream: Uuid, place: Place, fact: Fact) {
        let change = |known: &mut Known| known.apply(fact);
        self.change(state, (stream, place), change, false).await;
    }

    /// Takes the server's word for who is in a room, unless something was heard since so many facts.
    pub(super) async fn list(
        &self,
        state: &State,
        (stream, place): (Uuid, Place),
        (sid, people): (String, Vec<Person>),
        facts: u64,
    ) {
        let change = |known: &mut Known| {
            if known.facts != facts {
                return;
            }
            known.sid = sid;
            let (able, watching): (Vec<Person>, Vec<Person>) =
                people.into_iter().partition(|person| person.may_publish);
            known.watching = watching.len() as u64;
            let able = able.into_iter().take(MAX_PEOPLE);
            known.people = able.map(|one| (one.identity.clone(), one)).collect();
        };
        self.change(state, (stream, place), change, true).await;
    }

    async fn change(
        &self,
        state: &State,
        (stream, place): (Uuid, Place),
        change: impl FnOnce(&mut Known),
        again: bool,
    ) {
        let _turn = self.turn.lock().await;
        let room = {
            let mut kept = self.lock();
            if kept.rooms.len() >= MAX_ROOMS && !kept.rooms.contains_key(&stream) {
                return;
            }
            let known = kept
                .rooms
                .entry(stream)
                .or_insert_with(|| Known::new(place));
            let before = known.publishers();
            change(known);
            let room = known.room(stream);
            let is_news = room.publishers != before || (again && !before.is_empty());
            is_news.then_some(room)
        };
        if let Some(room) = room {
            state.setup().rooms.handle_room(&room);
        }
    }

    /// Forgets rooms that the server does not have, unless something was heard of them since.
    pub(super) async fn forget_unlisted(
        &self,
        state: &State,
        listed: &HashSet<Uuid>,
        facts: &HashMap<Uuid, u64>,
    ) {
        let _turn = self.turn.lock().await;
        let mut emptied = Vec::new();
        self.lock().rooms.retain(|stream, known| {
            let is_known = facts.get(stream).is_some_and(|facts| *facts == known.facts);
            let is_gone = is_known && !listed.contains(stream);
            if is_gone && !known.publishers().is_empty() {
                known.people.clear();
                emptied.push(known.room(*stream));
            }
            !is_gone
        });
        for room in emptied {
            state.setup().rooms.handle_room(&room);
        }
    }

    /// How many facts there are about each room.
    pub(super) fn all_facts(&self) -> HashMap<Uuid, u64> {
        let kept = self.lock();
        let rooms = kept.rooms.iter();
        rooms
            .map(|(stream, known)| (*stream, known.facts))
            .collect()
    }

    /// Forgets a room that was closed, and tells so who follows it.
    pub(super) async fn closed(&self, state: &State, stream: Uuid) {
        let _turn = self.turn.lock().await;
        let removed = self.lock().rooms.remove(&stream);
        if let Some(mut known) = removed
            && !known.publishers().is_empty()
        {
            known.people.clear();
            state.setup().rooms.handle_room(&known.room(stream));
        }
    }

    /// Rooms whose channels are gone: their broadcasts are over. One that was given is not given again for some
    /// time.
    pub(super) fn over(&self, state: &State, pause: Duration) -> Vec<Uuid> {
        let setup = state.setup();
        let now = setup.clock.monotonic();
        let mut over = Vec::new();
        for (stream, known) in &mut self.lock().rooms {
            let is_live = setup.store.known_id(&known.place.channel_id).is_some();
            if !is_live && known.close_at <= now {
                known.close_at = now + pause;
                over.push(*stream);
            }
        }
        over
    }
}

/// Whose a room is. What is known already costs no query.
pub(super) async fn whose(state: &State, stream: Uuid) -> Result<Whose, store::Error> {
    let setup = state.setup();
    let now = setup.clock.monotonic();
    let rooms = &state.livekit().rooms;
    let known = {
        let mut kept = rooms.lock();
        kept.foreign.retain(|_, until| *until > now);
        if kept.foreign.contains_key(&stream) {
            return Ok(Whose::Foreign);
        }
        kept.rooms.get(&stream).map(|known| known.place.clone())
    };
    if let Some(place) = known
        && setup.store.known_id(&place.channel_id).is_some()
    {
        return Ok(Whose::Live(place));
    }
    let found = find(state, stream).await?;
    let found = found.filter(|of| region_of(&of.channel_id) == setup.region);
    Ok(match found {
        Some(broadcast) if broadcast.status.is_over() => Whose::Over,
        Some(broadcast) => Whose::Live(Place::of(&broadcast)),
        None => {
            let mut kept = rooms.lock();
            if kept.foreign.len() < MAX_ROOMS {
                kept.foreign.insert(stream, now + FOREIGN_FOR);
            }
            Whose::Foreign
        }
    })
}

impl Place {
    pub(super) fn of(broadcast: &Broadcast) -> Place {
        Place {
            broadcast: broadcast.id,
            channel_id: broadcast.channel_id.clone(),
        }
    }
}

async fn find(state: &State, stream: Uuid) -> Result<Option<Broadcast>, store::Error> {
    let id = stream.to_string();
    let found = state.setup().store.find_broadcast(&id);
    // A broadcast is found by another id of its, too, which names no room.
    Ok(found.await?.filter(|found| found.stream_id == stream))
}

/// Whether somebody may enter a room.
pub(super) async fn entry(
    state: &State,
    room: &str,
    identity: &str,
    publishes: bool,
) -> Result<Entry, store::Error> {
    let Ok(stream) = Uuid::parse_str(room) else {
        return Ok(Entry::Foreign);
    };
    let Some(broadcast) = find(state, stream).await? else {
        return Ok(Entry::Foreign);
    };
    if broadcast.status.is_over() {
        return Ok(Entry::Over);
    }
    if publishes && is_removed(state, broadcast.id, identity).await? {
        return Ok(Entry::Removed);
    }
    Ok(Entry::Open)
}

/// Whether somebody was a co-host and was removed.
pub(super) async fn is_removed(
    state: &State,
    broadcast: Uuid,
    identity: &str,
) -> Result<bool, store::Error> {
    let cohost = state.setup().store.cohost_of_user(broadcast, identity);
    let cohost = cohost.await?;
    Ok(cohost.is_some_and(|cohost| cohost.removed.is_some()))
}
