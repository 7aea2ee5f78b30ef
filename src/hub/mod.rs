//! Streams that live now. In: access units of publishers. Out: the same units in channel time with
//! boundaries stamped, to packagers and subscribers. Not here: protocols, packaging, storage.

mod announcement;
pub mod boundary;
mod capacity;
mod cutter;
pub mod doctor;
pub mod gate;
mod link;
pub mod mapping;
pub mod member;
pub mod observer;
pub mod outlet;
pub mod program;
mod publish;
pub mod publisher;
mod resume;
pub mod sound;
pub mod story;
pub mod stream;
pub mod subscriber;
pub mod timing;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::base::clock::{Clock, Wall};
use crate::base::id::{self, Uuid};
use crate::base::shutdown::Tasks;
use crate::media::Track;
use crate::media::timeline::Timeline;
pub use announcement::Announcement;
use boundary::Settings;
pub use gate::{Admission, Gate, PublishRequest, Record, Refusal, Sign};
pub use link::{Line, Link};
pub use member::{Health, MemberStatus, Standing, SwitchError};
pub use observer::{Facts, Observer};
pub use outlet::Outlet;
pub use publisher::Publisher;
use resume::Signs;
pub use stream::{Beginning, Limits, Stats, Stream};
pub use subscriber::{Event, Filler, Subscriber};

/// How often streams are looked after: their publishers examined, signs of life written down, those
/// that nobody feeds ended.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
/// How often time passes for streams: how late a hole may become visible.
const TICK: Duration = Duration::from_millis(50);

/// How many ticks publishers have to leave when the server stops. They are told at the same time.
const LAST_TICKS: u32 = 20;

/// A rung that a transcoder will publish.
#[derive(Clone, Debug)]
pub struct NewRendition {
    /// Folder name, such as `sd`.
    pub name: Arc<str>,
    /// The codec configuration of its units. Video in 90 kHz, audio in its sample rate.
    pub track: Track,
    /// Promised peak bit rate, bits per second; zero when it is to be measured.
    pub peak_bps: u32,
    /// Mean bit rate, bits per second; zero when it is to be measured.
    pub average_bps: u32,
    /// Frames per second x 1000; zero for audio.
    pub frame_rate_millis: u32,
}

/// What a list of streams shows of one.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Stream id.
    pub id: Uuid,
    /// Channel id.
    pub channel_id: String,
    /// Channel alias.
    pub alias: String,
    /// Channel name.
    pub name: String,
    /// Whether a publisher is on air.
    pub on_air: bool,
    /// Whether playback needs a token (`token-auth`).
    pub protected: bool,
    /// Whether HLS and DASH are offered (`streaming`).
    pub playable: bool,
}

/// How streams live.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a channel's stream outlives its last publisher.
    pub reconnect: Duration,
    /// No unit for this long: the publisher is silent and its place is open to others.
    pub silence: Duration,
    /// Length of the playlists.
    pub window: Duration,
    /// How long an ended stream's playlists and segments stay.
    pub retention: Duration,
    /// Publisher sessions in all; more are refused.
    pub max_publishers: usize,
    /// Bytes of media in memory past which publishes are refused; those that run are not touched.
    pub max_media_bytes: u64,
}

/// Decides what is made of an admitted publish: its boundaries' rules.
pub type Rules = dyn Fn(&Admission) -> boundary::Settings + Send + Sync;
/// Says how many bytes of media are in memory now.
pub type MediaBytes = dyn Fn() -> u64 + Send + Sync;
/// Attaches packagers and transcoders to a new stream, and gives back what players read. The second
/// argument is the time now.
pub type Opener = dyn Fn(&Arc<Stream>, Wall) -> Arc<dyn Timeline> + Send + Sync;

struct Entry {
    stream: Arc<Stream>,
    timeline: Arc<dyn Timeline>,
    ended_at: Option<Duration>,
}

struct Inner {
    config: Config,
    clock: Clock,
    gate: Arc<dyn Gate>,
    rules: Box<Rules>,
    opener: Box<Opener>,
    media_bytes: Box<MediaBytes>,
    streams: RwLock<HashMap<Uuid, Entry>>,
    /// Channel id to its newest stream. Locked before `streams`.
    channels: Mutex<HashMap<String, Uuid>>,
    signs: Mutex<Signs>,
    tasks: Tasks,
}

/// All streams that live now. Cloning shares it.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub whose streams are admitted by `gate`, ruled by `rules` and opened by `opener`.
    pub fn new(
        config: Config,
        clock: Clock,
        gate: Arc<dyn Gate>,
        rules: Box<Rules>,
        opener: Box<Opener>,
        media_bytes: Box<MediaBytes>,
        tasks: Tasks,
    ) -> Hub {
        Hub {
            inner: Arc::new(Inner {
                config,
                clock,
                gate,
                rules,
                opener,
                media_bytes,
                streams: RwLock::new(HashMap::new()),
                channels: Mutex::new(HashMap::new()),
                signs: Mutex::default(),
                tasks,
            }),
        }
    }

    /// Takes up the streams of an earlier run whose players may still wait: each is there again, without
    /// a publisher, and has the reconnect window for one to come back. Those that cannot be taken up are
    /// over. Called once, before anybody can publish.
    pub async fn resume(&self) {
        let inner = &self.inner;
        let now = inner.clock.wall();
        for record in inner.gate.open_streams().await.into_iter().rev() {
            let settings = (inner.rules)(&record.admission);
            let beginning = resume::beginning(&record, &settings, now, inner.config.reconnect);
            if !beginning
                .is_some_and(|beginning| self.reopen(beginning, record.admission, settings))
            {
                inner.gate.stream_ended(record.id).await;
            }
        }
    }

    /// A stream by id.
    pub fn stream(&self, id: Uuid) -> Option<Arc<Stream>> {
        self.streams().get(&id).map(|entry| entry.stream.clone())
    }

    /// Every stream that lives or ended a short while ago.
    pub fn all(&self) -> Vec<Arc<Stream>> {
        self.streams()
            .values()
            .map(|entry| entry.stream.clone())
            .collect()
    }

    /// What a stream's players read. Also for streams that ended a short while ago, but not for those
    /// without the `streaming` capability.
    pub fn timeline(&self, id: Uuid) -> Option<Arc<dyn Timeline>> {
        let streams = self.streams();
        let entry = streams
            .get(&id)
            .filter(|entry| entry.stream.has_capability("streaming"))?;
        Some(entry.timeline.clone())
    }

    /// The running stream of a channel, by alias or channel id.
    pub fn find(&self, alias_or_channel: &str) -> Option<Uuid> {
        let named = |stream: &Stream| {
            let admission = stream.admission();
            admission.channel_id == alias_or_channel || admission.alias == alias_or_channel
        };
        let streams = self.streams();
        let living = streams.values().filter(|entry| entry.ended_at.is_none());
        living
            .map(|entry| &entry.stream)
            .filter(|stream| named(stream))
            .map(|stream| stream.id())
            .min()
    }

    /// Streams that live now.
    pub fn list(&self) -> Vec<Listing> {
        let streams = self.streams();
        let living = streams.values().filter(|entry| entry.ended_at.is_none());
        let mut list: Vec<Listing> = living.map(|entry| listing(&entry.stream)).collect();
        list.sort_by(|a, b| a.alias.cmp(&b.alias));
        list
    }

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

    async fn tidy(&self) {
        for stream in self.all() {
            stream.examine();
        }
        let now = self.inner.clock.monotonic();
        let config = &self.inner.config;
        let due = self.signs().due(now, || self.living_signs());
        if !due.is_empty() {
            self.inner.gate.streams_alive(&due).await;
        }
        let over: Vec<Arc<Stream>> = {
            let streams = self.streams();
            let living = streams.values().filter(|entry| entry.ended_at.is_none());
            let idle = |stream: &Stream| stream.idle().is_some_and(|idle| idle >= config.reconnect);
            living
                .filter(|entry| idle(&entry.stream))
                .map(|entry| entry.stream.clone())
                .collect()
        };
        for stream in over {
            stream.end();
            self.close(&stream, now);
            self.inner.gate.stream_ended(stream.id()).await;
        }
        let forgotten = |entry: &Entry| {
            entry
                .ended_at
                .is_some_and(|ended| now.saturating_sub(ended) >= config.retention)
        };
        let any = self.streams().values().any(forgotten);
        if any {
            let mut channels = self.channels();
            let mut streams = self.write_streams();
            streams.retain(|_, entry| !forgotten(entry));
            channels.retain(|_, id| streams.contains_key(id));
        }
    }

    /// Keeps an ended stream for those who still play it; one that was never listed has nobody.
    fn close(&self, stream: &Stream, now: Duration) {
        let mut streams = self.write_streams();
        let Some(entry) = streams.get_mut(&stream.id()) else {
            return;
        };
        if entry.timeline.description().is_some() {
            entry.ended_at = Some(now);
        } else {
            streams.remove(&stream.id());
        }
    }

    /// Every stream that has not ended: its sign of life, and whether somebody publishes it.
    fn living_signs(&self) -> Vec<(Sign, bool)> {
        let streams = self.streams();
        let living = streams.values().filter(|entry| entry.ended_at.is_none());
        let living = living.map(|entry| &entry.stream);
        living
            .map(|stream| (self.sign(stream), stream.idle().is_none()))
            .collect()
    }

    fn sign(&self, stream: &Stream) -> Sign {
        let silent = stream.idle().unwrap_or_default();
        let silent_us = i64::try_from(silent.as_micros()).unwrap_or(i64::MAX);
        Sign {
            id: stream.id(),
            alive: self.inner.clock.wall().plus_micros(-silent_us),
            told: stream.told(),
            is_final: false,
        }
    }

    /// The channel's running stream, or a new one and what is to be recorded of it.
    fn stream_of(&self, admission: Admission) -> (Arc<Stream>, Option<Record>) {
        let inner = &self.inner;
        let mut channels = self.channels();
        let running = channels
            .get(&admission.channel_id)
            .and_then(|id| self.stream(*id));
        if let Some(stream) = running.filter(|stream| !stream.is_ended()) {
            return (stream, None);
        }
        let settings = (inner.rules)(&admission);
        let beginning = Beginning::now(id::stream_id(), &inner.clock);
        let stream = self.open(beginning, admission, settings);
        channels.insert(stream.admission().channel_id.clone(), stream.id());
        let record = Record {
            id: stream.id(),
            epoch: stream.epoch(),
            admission: stream.admission().clone(),
            segment_target_90k: settings.segment_target.0,
            longest_segment_90k: settings.longest_segment.0,
            sign: self.sign(&stream),
        };
        (stream, Some(record))
    }

    /// Takes a stream up again, unless a newer one of its channel was.
    fn reopen(&self, beginning: Beginning, admission: Admission, settings: Settings) -> bool {
        let mut channels = self.channels();
        if channels.contains_key(&admission.channel_id) {
            return false;
        }
        let stream = self.open(beginning, admission, settings);
        channels.insert(stream.admission().channel_id.clone(), stream.id());
        true
    }

    fn open(&self, beginning: Beginning, admission: Admission, settings: Settings) -> Arc<Stream> {
        let inner = &self.inner;
        let limits = Limits {
            silence: inner.config.silence,
            window: inner.config.window,
        };
        let stream = Arc::new(Stream::new(
            beginning,
            admission,
            settings,
            limits,
            inner.clock.clone(),
        ));
        let timeline = (inner.opener)(&stream, inner.clock.wall());
        let entry = Entry {
            stream: stream.clone(),
            timeline,
            ended_at: None,
        };
        self.write_streams().insert(stream.id(), entry);
        stream
    }

    fn signs(&self) -> MutexGuard<'_, Signs> {
        let signs = self.inner.signs.lock();
        signs.unwrap_or_else(PoisonError::into_inner)
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<String, Uuid>> {
        self.inner
            .channels
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn streams(&self) -> std::sync::RwLockReadGuard<'_, HashMap<Uuid, Entry>> {
        self.inner
            .streams
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write_streams(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<Uuid, Entry>> {
        self.inner
            .streams
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn listing(stream: &Stream) -> Listing {
    let admission = stream.admission();
    Listing {
        id: stream.id(),
        channel_id: admission.channel_id.clone(),
        alias: admission.alias.clone(),
        name: admission.name.clone(),
        on_air: stream.is_on_air(),
        protected: stream.has_capability("token-auth"),
        playable: stream.has_capability("streaming"),
    }
}

#[cfg(test)]
mod tests;
