//! What this process knows of events and their runs without asking anybody: which stream an event has, what it
//! plays, who may take it over. In: the store, looked at every [`LOOK`](crate::base::lead::LOOK), on every gateway alike. Out: entries in
//! memory, and the [`Stage`] that plays their shows. Not here: what is due for them (`conductor.rs`).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Mutex;

use super::plan::playable;
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::playout::schedule::{self, Position};
use crate::playout::{Facts, Show, Stage};
use crate::store::{self, Error, Event, EventStatus, ShowRow, Store};

/// Films whose length is looked up at a time, of those that are not known yet: each is a file to read.
const LOOKED_UP: usize = 16;

/// The events of a process. Cloning shares it.
#[derive(Clone)]
pub struct Playbill(Arc<Inner>);

struct Inner {
    store: Store,
    stage: Stage,
    /// Up to which change the store was read. Held while it is read, so that nothing older comes last.
    revision: Mutex<i64>,
    entries: RwLock<Entries>,
}

#[derive(Default)]
struct Entries {
    by_stream: HashMap<Uuid, Arc<Entry>>,
    /// The run that is on or comes next, or was last.
    by_event: HashMap<Uuid, Arc<Entry>>,
    /// Events that are on, by the channel whose name leads to them.
    by_channel: HashMap<String, Arc<Entry>>,
    /// What is known of assets.
    facts: HashMap<Uuid, Arc<Facts>>,
}

/// A run that is on, as far as sending it on needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Showing {
    /// Its stream, and its broadcast's.
    pub stream: Uuid,
    /// The channel of its broadcast.
    pub channel_id: String,
    /// What the event is called.
    pub title: String,
    /// Wall-clock point of channel time zero.
    pub epoch: Wall,
}

/// A run of an event.
#[derive(Clone, Debug)]
pub(in crate::control) struct Entry {
    pub(in crate::control) event: Event,
    pub(in crate::control) show: ShowRow,
    /// As it plays; `None`: it has no file.
    pub(in crate::control) played: Option<Show>,
}

impl Entry {
    fn new(event: Event, show: ShowRow) -> Entry {
        let played = show.asset_id.map(|_| playable(&show));
        Entry {
            event,
            show,
            played,
        }
    }

    /// Whether it is the run that its event is about.
    pub(in crate::control) fn is_current(&self) -> bool {
        self.event.stream_id == self.show.stream_id
    }

    /// Whether it is on.
    pub(in crate::control) fn is_active(&self) -> bool {
        self.is_current() && self.event.status == EventStatus::Active
    }
}

impl Playbill {
    /// An empty one for a stage.
    pub fn new(store: Store, stage: Stage) -> Playbill {
        Playbill(Arc::new(Inner {
            store,
            stage,
            revision: Mutex::new(0),
            entries: RwLock::default(),
        }))
    }

    /// What plays the shows.
    pub fn stage(&self) -> &Stage {
        &self.0.stage
    }

    /// Takes over what has changed in the store, and what is new of films.
    pub async fn look(&self) -> Result<(), Error> {
        self.read_changes().await?;
        self.learn().await;
        Ok(())
    }

    /// The same after a change that was made here. What was done is done, also where it cannot be read back now:
    /// the next look makes up for it.
    pub(in crate::control) async fn catch_up(&self) {
        if let Err(err) = self.look().await {
            tracing::error!(%err, "a change of events is known here with the next look only");
        }
    }

    /// Takes over what has changed in the store.
    pub(super) async fn read_changes(&self) -> Result<(), Error> {
        let inner = &self.0;
        let mut revision = inner.revision.lock().await;
        if let Some(shows) = inner.store.shows_since(*revision).await? {
            for run in &shows.changed {
                match run.show.asset_id {
                    Some(_) => inner.stage.put(playable(&run.show)),
                    None => inner.stage.remove(run.show.stream_id),
                }
            }
            let gone = self.change(|entries| entries.take_over(shows.changed, &shows.streams));
            gone.into_iter()
                .for_each(|stream| inner.stage.remove(stream));
            *revision = shows.revision;
        }
        Ok(())
    }

    /// Looks up how long films are that are not known to be whole.
    async fn learn(&self) {
        let unknown = self.read(Entries::unknown);
        for asset in unknown {
            match self.0.stage.facts(asset).await {
                Ok(Some(facts)) => {
                    let facts = Arc::new(facts);
                    self.change(|entries| drop(entries.facts.insert(asset, facts)));
                }
                // It is uploaded, and nothing of it is prepared.
                Ok(None) => {}
                Err(err) => tracing::debug!(%err, %asset, "a film cannot be read"),
            }
        }
    }

    /// The run of an event that is on or comes next, or was last.
    pub(in crate::control) fn of_event(&self, event: Uuid) -> Option<Arc<Entry>> {
        self.read(|entries| entries.by_event.get(&event).cloned())
    }

    /// The run that has a stream.
    pub(in crate::control) fn of_stream(&self, stream: Uuid) -> Option<Arc<Entry>> {
        self.read(|entries| entries.by_stream.get(&stream).cloned())
    }

    /// The stream of an event.
    pub fn stream_of(&self, event: Uuid) -> Option<Uuid> {
        self.of_event(event).map(|entry| entry.show.stream_id)
    }

    /// The stream of the event that is on in a channel's place.
    pub fn on_channel(&self, channel: &str) -> Option<Uuid> {
        self.read(|entries| Some(entries.by_channel.get(channel)?.show.stream_id))
    }

    /// All runs that are on and have something to play.
    pub fn showing(&self) -> Vec<Showing> {
        let on = self.read(|entries| {
            let entries = entries.by_event.values();
            let on = entries.filter(|entry| entry.is_active() && entry.played.is_some());
            on.cloned().collect::<Vec<_>>()
        });
        let showing = on.iter().filter_map(|entry| {
            let owner = &entry.event.application_id;
            let broadcast = entry.event.broadcast_id?;
            let channel = self.0.store.known_broadcast(owner, broadcast)?;
            Some(Showing {
                stream: entry.show.stream_id,
                channel_id: channel.id.clone(),
                title: entry.event.title.clone(),
                epoch: entry.show.epoch,
            })
        });
        showing.collect()
    }

    /// Whether a stream is that of a run which is on, and something plays there.
    pub(in crate::control) fn is_playing(&self, stream: Uuid, now: Wall) -> bool {
        let entry = self.of_stream(stream).filter(|entry| entry.is_active());
        entry.is_some_and(|entry| self.position(&entry, now).playing)
    }

    /// Whether a stream is a show's.
    pub fn has(&self, stream: Uuid) -> bool {
        self.read(|entries| entries.by_stream.contains_key(&stream))
    }

    /// What is known of a film.
    pub(in crate::control) fn facts(&self, asset: Uuid) -> Option<Arc<Facts>> {
        self.read(|entries| entries.facts.get(&asset).cloned())
    }

    /// Where a run is at a moment.
    pub(in crate::control) fn position(&self, entry: &Entry, now: Wall) -> Position {
        let Some(show) = &entry.played else {
            return Position::default();
        };
        schedule::position(show, self.facts(show.asset).as_deref(), now)
    }

    /// All runs that their events are about and that are not over.
    pub(super) fn coming(&self) -> Vec<Arc<Entry>> {
        self.read(|entries| {
            let entries = entries.by_event.values();
            let coming = entries.filter(|entry| !entry.event.status.is_over());
            coming.cloned().collect()
        })
    }

    fn read<T>(&self, look: impl FnOnce(&Entries) -> T) -> T {
        let entries = self.0.entries.read();
        look(&entries.unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Entries) -> T) -> T {
        let entries = self.0.entries.write();
        change(&mut entries.unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entries {
    /// Takes what has changed; gives the streams that are gone.
    fn take_over(&mut self, changed: Vec<store::Run>, streams: &[Uuid]) -> Vec<Uuid> {
        for run in changed {
            let entry = Arc::new(Entry::new(run.event, run.show));
            let (event, stream) = (entry.event.id, entry.show.stream_id);
            if entry.is_current() {
                self.by_event.insert(event, entry.clone());
            }
            self.by_stream.insert(stream, entry);
        }
        let there: std::collections::HashSet<&Uuid> = streams.iter().collect();
        let mut gone = Vec::new();
        self.by_stream.retain(|stream, _| {
            let is_there = there.contains(stream);
            if !is_there {
                gone.push(*stream);
            }
            is_there
        });
        self.by_event
            .retain(|_, entry| there.contains(&entry.show.stream_id));
        let active = self.by_event.values().filter(|entry| entry.is_active());
        let named =
            active.filter_map(|entry| Some((entry.event.channel_id.clone()?, entry.clone())));
        self.by_channel = named.collect();
        let entries = self.by_stream.values();
        let used: std::collections::HashSet<Uuid> =
            entries.filter_map(|entry| entry.show.asset_id).collect();
        self.facts.retain(|asset, _| used.contains(asset));
        gone
    }

    /// Some of the films whose length is not known, those that are on first.
    fn unknown(&self) -> Vec<Uuid> {
        let mut unknown: Vec<(bool, Wall, Uuid)> = Vec::new();
        for entry in self.by_event.values() {
            let Some(asset) = entry.show.asset_id else {
                continue;
            };
            let facts = self.facts.get(&asset);
            if facts.is_none_or(|facts| facts.frames.is_none()) && !entry.event.status.is_over() {
                unknown.push((!entry.is_active(), entry.event.starts, asset));
            }
        }
        unknown.sort_unstable();
        unknown.truncate(LOOKED_UP);
        unknown.into_iter().map(|(_, _, asset)| asset).collect()
    }
}
