//! Streams that live now. In: access units of publishers. Out: the same units in channel time with
//! boundaries stamped, to packagers and subscribers. Not here: protocols, packaging, storage.

mod announcement;
pub mod boundary;
mod cutter;
pub mod doctor;
pub mod gate;
pub mod mapping;
pub mod member;
pub mod observer;
pub mod outlet;
pub mod program;
pub mod publisher;
pub mod sound;
pub mod story;
pub mod stream;
pub mod subscriber;
pub mod timing;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::id::{self, Uuid};
use crate::base::shutdown::Tasks;
use crate::media::Track;
use crate::media::timeline::Timeline;
pub use announcement::Announcement;
pub use gate::{Admission, Gate, PublishRequest, Refusal};
pub use member::{Health, MemberStatus, Standing, SwitchError};
pub use observer::{Facts, Observer};
pub use outlet::Outlet;
pub use publisher::Publisher;
pub use stream::{Beginning, Limits, Stats, Stream};
pub use subscriber::{Event, Filler, Subscriber};

/// How often streams without a publisher are looked at.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
/// How often time passes for streams: how late a hole may become visible.
const TICK: Duration = Duration::from_millis(50);

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
/// Attaches packagers and transcoders to a new stream, and gives back what players read.
pub type Opener = dyn Fn(&Arc<Stream>) -> Arc<dyn Timeline> + Send + Sync;

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
                tasks,
            }),
        }
    }

    /// Asks the gate and opens a session, on the channel's running stream or on a new one.
    pub async fn publish(&self, request: PublishRequest) -> Result<Publisher, Refusal> {
        let admission = self.inner.gate.admit(&request).await?;
        if self.publisher_count() >= self.inner.config.max_publishers {
            return Err(Refusal::Full(format!(
                "{} publishers",
                self.inner.config.max_publishers
            )));
        }
        let held = (self.inner.media_bytes)();
        if held >= self.inner.config.max_media_bytes {
            return Err(Refusal::Full(format!(
                "{} MB of media in memory",
                held / 1_000_000
            )));
        }
        let channel = admission.channel_id.clone();
        let (stream, opened) = self.stream_of(admission);
        let (member, eviction) = stream.join(request.proto, request.peer)?;
        if opened {
            self.inner
                .gate
                .stream_opened(&channel, stream.id(), stream.epoch())
                .await;
        }
        Ok(Publisher::new(stream, member, eviction))
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

    /// Looks after streams until the tasks are stopped: ends those whose publisher stays away, forgets
    /// those that ended long ago.
    pub async fn run(&self) {
        let tasks = self.inner.tasks.clone();
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                () = tasks.stopped() => break,
                _ = tick.tick() => self.tick(),
                _ = housekeeping.tick() => self.tidy().await,
            }
        }
        for stream in self.all() {
            stream.flush();
        }
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
            if let Some(entry) = self.write_streams().get_mut(&stream.id()) {
                entry.ended_at = Some(now);
            }
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

    fn publisher_count(&self) -> usize {
        self.streams()
            .values()
            .map(|entry| entry.stream.member_count())
            .sum()
    }

    /// The channel's running stream, or a new one.
    fn stream_of(&self, admission: Admission) -> (Arc<Stream>, bool) {
        let inner = &self.inner;
        let mut channels = self.channels();
        let running = channels
            .get(&admission.channel_id)
            .and_then(|id| self.stream(*id));
        if let Some(stream) = running.filter(|stream| !stream.is_ended()) {
            return (stream, false);
        }
        let settings = (inner.rules)(&admission);
        let channel = admission.channel_id.clone();
        let limits = Limits {
            silence: inner.config.silence,
            window: inner.config.window,
        };
        let stream = Arc::new(Stream::new(
            Beginning::now(id::stream_id(), &inner.clock),
            admission,
            settings,
            limits,
            inner.clock.clone(),
        ));
        let timeline = (inner.opener)(&stream);
        let entry = Entry {
            stream: stream.clone(),
            timeline,
            ended_at: None,
        };
        self.write_streams().insert(stream.id(), entry);
        channels.insert(channel, stream.id());
        (stream, true)
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
