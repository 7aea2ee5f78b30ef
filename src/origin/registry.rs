//! The streams that somebody plays: their caches, viewers and counters.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use bytes::Bytes;

use super::Stats;
use super::cache::Playlists;
use super::viewers::Viewers;
use crate::base::clock::Clock;
use crate::base::id::Uuid;
use crate::hub::gate::Pending;
use crate::media::MediaKind;
use crate::media::timeline::{Rules, Timeline};

/// Requests of one stream that wait for media at once: twice the connections of the whole server
/// (video and audio each), at about 2 KiB each.
const MAX_WAITING_PER_STREAM: u32 = 40_000;
/// How often a request looks for streams that are gone, when nothing else does, in seconds.
const SWEEP_SECONDS: u64 = 10;

/// The port through which streams are found. The hub stands behind it.
pub trait Streams: Send + Sync {
    /// What a stream's players read. Also for streams that ended a short while ago. The same `Arc`
    /// for as long as the timeline is the same: what is rendered of another one is forgotten.
    fn timeline(&self, id: Uuid) -> Option<Arc<dyn Timeline>>;

    /// The stream that a name means: the newest of a channel, by its alias or id, or that of a broadcast, by
    /// any of its ids. It may have nothing to play yet.
    fn find<'a>(&'a self, name: &'a str) -> Pending<'a, Option<Uuid>>;

    /// Every stream that has a timeline.
    fn ids(&self) -> Vec<Uuid>;

    /// The newest picture, as JPEG.
    fn thumbnail(&self, id: Uuid) -> Option<Bytes>;
}

/// Counters of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Requests answered.
    pub requests: u64,
    /// Body bytes of answers.
    pub bytes: u64,
    /// Requests that wait for media now.
    pub waiting: u32,
    /// Viewers over the last 30 s.
    pub viewers: u32,
}

/// What the origin keeps of a stream. Dropped with it.
pub(crate) struct State {
    /// Whose state this is; does not keep the stream's media alive.
    timeline: Weak<dyn Timeline>,
    pub(super) playlists: Playlists,
    pub(super) viewers: Viewers,
    requests: AtomicU64,
    bytes: AtomicU64,
    waiting: AtomicU32,
}

impl State {
    pub(super) fn requested(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A place among the requests that wait for a stream. Freed when dropped.
pub(crate) struct Turn(Arc<State>);

impl Turn {
    /// A place; `None` when all are taken.
    pub(super) fn take(state: &Arc<State>) -> Option<Turn> {
        let before = state.waiting.fetch_add(1, Ordering::Relaxed);
        let turn = Turn(state.clone());
        (before < MAX_WAITING_PER_STREAM).then_some(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream and the origin's state of it, for one request.
#[derive(Clone)]
pub(crate) struct Served {
    pub(super) state: Arc<State>,
    pub(super) timeline: Arc<dyn Timeline>,
}

impl Served {
    /// What the stream's playlists have in common, as soon as that is known.
    pub(super) fn rules(&self, rendition: &str) -> Option<Rules> {
        if let Some(description) = self.timeline.description() {
            return Some(description.rules.clone());
        }
        let snapshot = self.timeline.snapshot(rendition)?;
        Some(snapshot.rules.clone())
    }

    /// Whether the stream is a recording.
    pub(super) fn is_recording(&self) -> bool {
        let description = self.timeline.description();
        description.is_some_and(|description| description.rules.is_recording())
    }

    /// Whether a rendition is listed, or may yet be.
    pub(super) fn may_come(&self, rendition: &str) -> bool {
        let Some(description) = self.timeline.description() else {
            return true;
        };
        let mut listed = description.video.iter().chain(&description.audio);
        listed.any(|listed| *listed.name == *rendition)
    }

    /// Video or audio. A rendition that is no longer listed is asked itself.
    pub(super) fn kind(&self, rendition: &str) -> MediaKind {
        if let Some(description) = self.timeline.description() {
            let mut listed = description.video.iter().chain(&description.audio);
            if let Some(listed) = listed.find(|listed| *listed.name == *rendition) {
                return listed.kind();
            }
        }
        let snapshot = self.timeline.snapshot(rendition);
        snapshot.map_or(MediaKind::Video, |snapshot| snapshot.rendition.kind())
    }
}

/// All streams that are played.
pub(super) struct Registry {
    streams: Arc<dyn Streams>,
    clock: Clock,
    states: RwLock<HashMap<Uuid, Arc<State>>>,
    swept_at_s: AtomicU64,
    /// Counters of streams that are gone, so that totals never fall.
    past_requests: AtomicU64,
    past_bytes: AtomicU64,
}

impl Registry {
    pub(super) fn new(streams: Arc<dyn Streams>, clock: Clock) -> Registry {
        Registry {
            streams,
            clock,
            states: RwLock::default(),
            swept_at_s: AtomicU64::new(0),
            past_requests: AtomicU64::new(0),
            past_bytes: AtomicU64::new(0),
        }
    }

    pub(super) fn stream(&self, id: Uuid) -> Option<Served> {
        let timeline = self.streams.timeline(id)?;
        let known = self.states.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = known.get(&id).filter(|state| is_of(state, &timeline)) {
            let state = state.clone();
            return Some(Served { state, timeline });
        }
        drop(known);
        self.sweep_if_due();
        let mut known = self.states.write().unwrap_or_else(PoisonError::into_inner);
        let current = known.get(&id).filter(|state| is_of(state, &timeline));
        let state = match current {
            Some(state) => state.clone(),
            None => {
                let state = Arc::new(State {
                    timeline: Arc::downgrade(&timeline),
                    playlists: Playlists::default(),
                    viewers: Viewers::default(),
                    requests: AtomicU64::new(0),
                    bytes: AtomicU64::new(0),
                    waiting: AtomicU32::new(0),
                });
                if let Some(before) = known.insert(id, state.clone()) {
                    self.remember(&before);
                }
                state
            }
        };
        Some(Served { state, timeline })
    }

    pub(super) fn ids(&self) -> Vec<Uuid> {
        self.streams.ids()
    }

    pub(super) fn exists(&self, id: Uuid) -> bool {
        self.streams.timeline(id).is_some()
    }

    /// Where names are looked up.
    pub(super) fn streams(&self) -> Arc<dyn Streams> {
        self.streams.clone()
    }

    pub(super) fn thumbnail(&self, id: Uuid) -> Option<Bytes> {
        self.streams.thumbnail(id)
    }

    pub(super) fn viewers(&self, id: Uuid) -> u32 {
        let second = self.clock.monotonic().as_secs();
        let state = self.state(id);
        state.map_or(0, |state| state.viewers.count(second))
    }

    pub(super) fn stats(&self, id: Uuid) -> Option<StreamStats> {
        let state = self.state(id)?;
        Some(StreamStats {
            requests: state.requests.load(Ordering::Relaxed),
            bytes: state.bytes.load(Ordering::Relaxed),
            waiting: state.waiting.load(Ordering::Relaxed),
            viewers: state.viewers.count(self.clock.monotonic().as_secs()),
        })
    }

    pub(super) fn totals(&self) -> Stats {
        let second = self.clock.monotonic().as_secs();
        let known = self.states.read().unwrap_or_else(PoisonError::into_inner);
        let states: Vec<Arc<State>> = known.values().cloned().collect();
        let mut stats = Stats {
            requests: self.past_requests.load(Ordering::Relaxed),
            bytes: self.past_bytes.load(Ordering::Relaxed),
            ..Stats::default()
        };
        drop(known);
        for state in states {
            stats.requests += state.requests.load(Ordering::Relaxed);
            stats.bytes += state.bytes.load(Ordering::Relaxed);
            stats.waiting += u64::from(state.waiting.load(Ordering::Relaxed));
            stats.viewers += u64::from(state.viewers.count(second));
        }
        stats
    }

    fn state(&self, id: Uuid) -> Option<Arc<State>> {
        let known = self.states.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&id).cloned()
    }

    fn sweep_if_due(&self) {
        let second = self.clock.monotonic().as_secs();
        let before = self.swept_at_s.load(Ordering::Relaxed);
        let due = second >= before + SWEEP_SECONDS;
        let ours = || {
            let swap = (Ordering::Relaxed, Ordering::Relaxed);
            self.swept_at_s
                .compare_exchange(before, second, swap.0, swap.1)
                .is_ok()
        };
        if due && ours() {
            self.sweep();
        }
    }

    /// Forgets streams that nobody provides any more, and what was rendered of recordings that nobody
    /// has in memory any more.
    pub(super) fn sweep(&self) {
        let known = self.states.read().unwrap_or_else(PoisonError::into_inner);
        let states: Vec<(Uuid, Arc<State>)> = known
            .iter()
            .map(|(id, state)| (*id, state.clone()))
            .collect();
        drop(known);
        let is_needed = |(id, state): &(Uuid, Arc<State>)| {
            let timeline = self.streams.timeline(*id);
            timeline.is_some_and(|timeline| {
                state.waiting.load(Ordering::Relaxed) > 0 || timeline.description().is_some()
            })
        };
        // Asked without our lock: the hub has its own.
        for (id, _) in states.into_iter().filter(|known| !is_needed(known)) {
            let mut known = self.states.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(state) = known.remove(&id) {
                self.remember(&state);
            }
        }
    }

    fn remember(&self, state: &State) {
        let requests = state.requests.load(Ordering::Relaxed);
        self.past_requests.fetch_add(requests, Ordering::Relaxed);
        let bytes = state.bytes.load(Ordering::Relaxed);
        self.past_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn is_of(state: &State, timeline: &Arc<dyn Timeline>) -> bool {
    // A freed timeline's address may be taken again, but not while the weak pointer holds it.
    std::ptr::addr_eq(state.timeline.as_ptr(), Arc::as_ptr(timeline))
}
