//! Those who pass a stream's renditions on as they are, off the frame path: forwards.
//!
//! A tap sees every rendition, also those that are made for rooms only (Opus, a picture without B-frames)
//! and stand in no manifest. It says what it needs; who makes that follows the needs of all taps.

mod taps;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::{NewRendition, Subscriber};
use crate::base::clock::{Clock, Wall};
use crate::base::id::Uuid;
use crate::base::shutdown::Tasks;
use crate::media::{AccessUnit, Rendition, RenditionId, Track};

pub(super) use taps::Taps;

/// Time between two key units that are made on demand of one rendition (ARCHITECTURE.md, decision 12): each
/// of them costs those who watch it bits.
pub const KEY_UNIT_EVERY: Duration = Duration::from_secs(1);

/// Events that are no units, owed to a reader that reads nothing: past it, it is not a reader any more. A
/// ladder with all of its tracks is less than half of it.
const OWED_EVENTS: usize = 256;

/// What a tap sees, in order. What exists is told to a new tap first.
#[derive(Clone, Debug)]
pub enum Event {
    /// A rendition exists; or it is made by another one from now on, with its configuration.
    Rendition(Arc<Rendition>),
    /// Another configuration of its units. The next one is a key unit.
    Track(RenditionId, Arc<Track>),
    /// A unit in channel time: video in 90 kHz, audio in its sample rate. The first one of a rendition that
    /// was chosen, and the first one after some were dropped, is a key unit.
    Unit(RenditionId, AccessUnit),
    /// Nothing of the rendition follows.
    Removed(RenditionId),
    /// The publisher went away or jumped in time.
    Break,
    /// The stream is over.
    End,
}

/// What somebody has to make for the taps of a stream, besides its ladder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The sound as Opus.
    pub opus: bool,
    /// A picture without B-frames, since no rendition of the stream is one.
    pub picture: bool,
}

impl Needs {
    /// Whether nothing is needed.
    pub fn is_empty(self) -> bool {
        self == Needs::default()
    }

    fn and(self, other: Needs) -> Needs {
        Needs {
            opus: self.opus || other.opus,
            picture: self.picture || other.picture,
        }
    }
}

/// What can be tapped: a live stream, or a show on a [`Screen`](super::Screen).
pub trait Tapped: Send + Sync {
    /// Its stream id.
    fn id(&self) -> Uuid;

    /// The channel that it is on.
    fn channel_id(&self) -> &str;

    /// Wall-clock point of its times' zero.
    fn epoch(&self) -> Wall;

    /// Whether its pictures come as rungs, which are worth waiting for.
    fn has_ladder(&self) -> bool;

    /// Whether it is over.
    fn is_ended(&self) -> bool;

    /// A queue of the units of chosen renditions, of every encoding that exists; what exists is told first.
    fn tap(&self, queue_units: usize) -> Tap;

    /// A queue of what those encode who make something for taps: the source's units, or a show's sound.
    fn subscribe(&self, queue_units: usize) -> Subscriber;

    /// What all taps together need, now and from now on.
    fn needs(&self) -> watch::Receiver<Needs>;

    /// Key units that taps ask for from now on, of whatever rendition.
    fn key_units(&self) -> KeyUnits;

    /// Adds a rendition that taps see and nobody else; one of a name that is there is made anew. `None` when
    /// it is over or there are too many.
    fn add_private(&self, new: NewRendition) -> Option<RenditionId>;

    /// A unit of such a rendition, in channel time.
    fn push_private(&self, id: RenditionId, unit: AccessUnit);

    /// Nothing of such a rendition follows, until it is added again.
    fn drop_private(&self, id: RenditionId);
}

/// The reading end of a bounded queue of one reader's choice. When the reader is too slow, units of a
/// rendition are dropped up to its next key unit and counted; other events are never lost to one that reads.
#[derive(Debug)]
pub struct Tap {
    queue: mpsc::Receiver<Event>,
    shared: Arc<Shared>,
    wishes: Arc<Wishes>,
    id: u64,
    /// The reader's, if it has some: it is to end with them.
    tasks: Option<Tasks>,
}

impl Tap {
    /// The next event. `None` after [`Event::End`]; without it, the tap is cut off from a stream that goes
    /// on, because it was not read. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Event> {
        let event = match &self.tasks {
            None => self.queue.recv().await,
            Some(tasks) => tokio::select! {
                biased;
                () = tasks.stopped() => return Some(Event::End),
                event = self.queue.recv() => event,
            },
        };
        event.or_else(|| lock(&self.shared.rest).pop_front())
    }

    /// To its reader the stream is over as soon as these tasks are told to stop: it ends as it would then.
    pub fn end_with(&mut self, tasks: &Tasks) {
        self.tasks = Some(tasks.clone());
    }

    /// Takes units of these renditions from now on, each from its next key unit on, and of no others. One
    /// that was chosen already goes on.
    pub fn choose(&mut self, ids: &[RenditionId]) {
        let mut marks = Marks::default();
        ids.iter().for_each(|id| marks.set(*id, true));
        for (word, chosen) in marks.0.into_iter().zip(&self.shared.chosen) {
            chosen.store(word, Ordering::Relaxed);
        }
    }

    /// Needs this until it is dropped, or says otherwise.
    pub fn need(&self, needs: Needs) {
        self.wishes.need(self.id, Some(needs));
    }

    /// Asks whoever makes a rendition for a key unit soon. Source renditions are made elsewhere.
    pub fn want_key_unit(&self, id: RenditionId) {
        self.wishes.key_units.want(id);
    }

    /// Units dropped so far because this tap was too slow.
    pub fn dropped_units(&self) -> u64 {
        self.shared.dropped_units.load(Ordering::Relaxed)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.wishes.need(self.id, None);
    }
}

/// What the two ends of a tap share.
#[derive(Debug, Default)]
struct Shared {
    /// Renditions that are queued: words of [`Marks`].
    chosen: [AtomicU64; 4],
    dropped_units: AtomicU64,
    /// What was owed when the stream's end was given up.
    rest: Mutex<VecDeque<Event>>,
}

/// A set of renditions, one bit for each id.
#[derive(Clone, Copy, Debug, Default)]
struct Marks([u64; 4]);

/// Word and bit of an id.
fn place(id: RenditionId) -> (usize, u64) {
    (usize::from(id.0 >> 6), 1 << (id.0 & 63))
}

impl Marks {
    fn has(&self, id: RenditionId) -> bool {
        let (word, bit) = place(id);
        self.0[word] & bit != 0
    }

    fn set(&mut self, id: RenditionId, on: bool) {
        let (word, bit) = place(id);
        if on {
            self.0[word] |= bit;
        } else {
            self.0[word] &= !bit;
        }
    }
}

/// The writing end, held by the stream.
#[derive(Debug)]
pub(super) struct Feed {
    queue: mpsc::Sender<Event>,
    shared: Arc<Shared>,
    /// Renditions of which every unit was queued since a key unit.
    flowing: Marks,
    /// Renditions of which units are left out until their next key unit, because the reader was too slow.
    skipping: Marks,
    /// Events that must not be lost, held back while the queue is full.
    owed: VecDeque<Event>,
}

impl Feed {
    /// The two ends of a tap that is told `known` first.
    pub(super) fn new(queue_units: usize, known: Vec<Event>, wishes: &Arc<Wishes>) -> (Feed, Tap) {
        let (queue, receiver) = mpsc::channel(queue_units.max(8) + known.len());
        let shared = Arc::new(Shared::default());
        let mut feed = Feed {
            queue,
            shared: shared.clone(),
            flowing: Marks::default(),
            skipping: Marks::default(),
            owed: VecDeque::from(known),
        };
        feed.pay();
        let tap = Tap {
            queue: receiver,
            shared,
            wishes: wishes.clone(),
            id: wishes.next_id(),
            tasks: None,
        };
        (feed, tap)
    }

    /// Passes a unit on without waiting, if it was chosen. False when the reader is gone.
    pub(super) fn unit(&mut self, id: RenditionId, unit: &AccessUnit) -> bool {
        let room = self.pay();
        let (word, bit) = place(id);
        if self.shared.chosen[word].load(Ordering::Relaxed) & bit == 0 {
            self.flowing.set(id, false);
            self.skipping.set(id, false);
        } else if unit.key || self.flowing.has(id) {
            let event = Event::Unit(id, unit.clone());
            let sent = room && self.queue.try_send(event).is_ok();
            self.flowing.set(id, sent);
            self.skipping.set(id, !sent);
            self.count(u64::from(!sent));
        } else {
            self.count(u64::from(self.skipping.has(id)));
        }
        self.is_read()
    }

    /// Passes an event on that is no unit. False when the reader is gone.
    pub(super) fn tell(&mut self, event: Event) -> bool {
        let anew = match &event {
            Event::Rendition(rendition) => Some(rendition.id),
            Event::Track(id, _) | Event::Removed(id) => Some(*id),
            Event::Unit(..) | Event::Break | Event::End => None,
        };
        if let Some(id) = anew {
            self.flowing.set(id, false);
            self.skipping.set(id, false);
        }
        self.owed.push_back(event);
        self.pay();
        self.is_read()
    }

    fn count(&self, units: u64) {
        self.shared
            .dropped_units
            .fetch_add(units, Ordering::Relaxed);
    }

    fn is_read(&self) -> bool {
        !self.queue.is_closed() && self.owed.len() <= OWED_EVENTS
    }

    fn pay(&mut self) -> bool {
        while !self.owed.is_empty() {
            match self.queue.try_reserve() {
                Ok(permit) => permit.send(self.owed.pop_front().expect("something is owed")),
                Err(_) => return false,
            }
        }
        true
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // Before the queue is closed, so that a reader that finds it so finds them.
        *lock(&self.shared.rest) = std::mem::take(&mut self.owed);
    }
}

/// What the taps of a stream want of those who make renditions. Its locks are taken
/// under the stream's, never the other way round.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    taps: Mutex<Voices>,
    needs: watch::Sender<Needs>,
    key_units: Demand,
}

/// How often a key unit was asked for, of each rendition.
#[derive(Debug, Default)]
pub(crate) struct Demand(watch::Sender<BTreeMap<RenditionId, u64>>);

impl Demand {
    /// Asks for one.
    pub(crate) fn want(&self, id: RenditionId) {
        self.0.send_modify(|wanted| {
            *wanted.entry(id).or_default() += 1;
        });
    }

    /// What is asked for from now on.
    pub(crate) fn follow(&self, clock: Clock) -> KeyUnits {
        let mut wanted = self.0.subscribe();
        let served = wanted.borrow_and_update().clone();
        let served = served.into_iter();
        let served = served.map(|(id, count)| (id, Served { count, at: None }));
        KeyUnits {
            wanted,
            served: served.collect(),
            clock,
        }
    }
}

/// What each tap needs.
#[derive(Debug, Default)]
struct Voices {
    taps: u64,
    needs: BTreeMap<u64, Needs>,
}

impl Wishes {
    fn next_id(&self) -> u64 {
        let mut voices = lock(&self.taps);
        voices.taps += 1;
        voices.taps
    }

    fn need(&self, tap: u64, needs: Option<Needs>) {
        let mut voices = lock(&self.taps);
        match needs.filter(|needs| !needs.is_empty()) {
            Some(needs) => voices.needs.insert(tap, needs),
            None => voices.needs.remove(&tap),
        };
        let all = voices.needs.values();
        let union = all.fold(Needs::default(), |union, needs| union.and(*needs));
        // Under the lock: what is told last is what is so.
        self.needs.send_if_modified(|told| {
            let changed = *told != union;
            *told = union;
            changed
        });
    }

    /// The union of what all taps need.
    pub(super) fn needs(&self) -> watch::Receiver<Needs> {
        self.needs.subscribe()
    }

    /// Key units that taps want from now on.
    pub(super) fn key_units(&self, clock: Clock) -> KeyUnits {
        self.key_units.follow(clock)
    }
}

/// Renditions of which a key unit is wanted, for those who make them: each at most once a second. What is
/// asked for meanwhile is one wish, and comes when the second is over.
#[derive(Debug)]
pub struct KeyUnits {
    wanted: watch::Receiver<BTreeMap<RenditionId, u64>>,
    served: BTreeMap<RenditionId, Served>,
    clock: Clock,
}

/// What became of the wishes of one rendition.
#[derive(Clone, Copy, Debug, Default)]
struct Served {
    /// How many of them are served.
    count: u64,
    /// Monotonic time of the last one.
    at: Option<Duration>,
}

impl KeyUnits {
    /// The next rendition of which a key unit is to be made, whoever makes it; `None` when the stream is
    /// gone. Cancel-safe.
    pub async fn recv(&mut self) -> Option<RenditionId> {
        loop {
            let wait = match self.due() {
                Ok(id) => return Some(id),
                Err(wait) => wait,
            };
            tokio::select! {
                changed = self.wanted.changed() => changed.ok()?,
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            }
        }
    }

    /// A rendition whose time has come, or how long it is until there is one.
    fn due(&mut self) -> Result<RenditionId, Option<Duration>> {
        let now = self.clock.monotonic();
        let wanted = self.wanted.borrow_and_update();
        let mut shortest: Option<Duration> = None;
        for (id, count) in wanted.iter() {
            let served = self.served.entry(*id).or_default();
            if *count == served.count {
                continue;
            }
            let due = served.at.map_or(now, |at| at + KEY_UNIT_EVERY);
            if due <= now {
                (served.count, served.at) = (*count, Some(now));
                return Ok(*id);
            }
            let wait = due - now;
            shortest = Some(shortest.map_or(wait, |shortest| shortest.min(wait)));
        }
        Err(shortest)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests;
