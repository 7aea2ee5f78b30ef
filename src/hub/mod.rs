//! Streams that live now. In: access units of publishers. Out: the same units in channel time with
//! boundaries stamped, to packagers and subscribers. Not here: protocols, packaging, storage.

mod announcement;
mod barrier;
pub mod boundary;
mod capacity;
mod cutter;
pub mod doctor;
mod fence;
mod fork;
pub mod gate;
mod housekeeping;
mod index;
mod kill;
mod link;
pub mod mapping;
pub mod member;
pub mod observer;
pub mod outlet;
pub mod placed;
pub mod program;
mod publish;
pub mod publisher;
mod relay;
mod resume;
mod roster;
mod screen;
mod session;
mod shown;
pub mod sound;
pub mod story;
pub mod stream;
pub mod subscriber;
pub mod tap;
pub mod timing;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;

use crate::base::clock::{Clock, Wall};
use crate::base::id::{self, Uuid};
use crate::base::shutdown::Tasks;
use crate::media::Track;
use crate::media::timeline::Timeline;
pub use announcement::Announcement;
use barrier::{Barrier, Passage};
use boundary::Settings;
pub use fork::{ForkOptions, Forked, Forking, SameRenditions};
pub use gate::{Admission, Gate, PublishRequest, Record, Refusal, Sign};
use index::{Entry, Index};
pub use link::{Line, Link};
pub use member::{Health, MemberStatus, Standing, SwitchError};
pub use observer::{Facts, Observer};
pub use outlet::Outlet;
pub use placed::Placed;
pub use publisher::Publisher;
use resume::Signs;
pub use roster::{Attendee, ChannelMember, Counted, TrackState};
pub use screen::Screen;
pub use shown::{Keeper, Shown};
pub use stream::{Beginning, Limits, Stats, Stream};
pub use subscriber::{Event, Filler, Subscriber};

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
    /// How long a channel's key is refused after a kill, or a fork that ended its publishers.
    pub kill_holdoff: Duration,
    /// First part of session ids.
    pub region: String,
    /// Which forks can share their source's timeline.
    pub same_renditions: SameRenditions,
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

struct Inner {
    config: Config,
    clock: Clock,
    gate: Arc<dyn Gate>,
    rules: Box<Rules>,
    opener: Box<Opener>,
    media_bytes: Box<MediaBytes>,
    keeper: OnceLock<Box<Keeper>>,
    /// Locked for a look-up or a change, and nothing is waited for under it.
    streams: RwLock<Index>,
    /// Channel id to the stream that its publishers join. Locked while one is opened, forked or killed,
    /// and before `streams`.
    channels: Mutex<HashMap<String, Uuid>>,
    barrier: Barrier,
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
                keeper: OnceLock::new(),
                streams: RwLock::default(),
                barrier: Barrier::default(),
                channels: Mutex::new(HashMap::new()),
                signs: Mutex::default(),
                tasks,
            }),
        }
    }

    /// Has everything that is shown from now on be told to `keeper`. Called once, before anything is.
    pub fn keep_with(&self, keeper: Box<Keeper>) {
        let again = self.inner.keeper.set(keeper);
        assert!(again.is_ok(), "a hub has one keeper");
    }

    /// Takes up the streams of an earlier run whose players may still wait: each is there again, without
    /// a publisher, and has the reconnect window for one to come back. Those that cannot be taken up are
    /// over. Called once, before anybody can publish.
    pub async fn resume(&self) {
        let inner = &self.inner;
        let now = inner.clock.wall();
        let mut over = Vec::new();
        let records = inner.gate.open_streams(&inner.config.region).await;
        for record in records.into_iter().rev() {
            let settings = (inner.rules)(&record.admission);
            let beginning = resume::beginning(&record, &settings, now, inner.config.reconnect);
            if !beginning
                .is_some_and(|beginning| self.reopen(beginning, record.admission, settings))
            {
                over.push(record.id);
            }
        }
        inner.gate.streams_ended(&over).await;
    }

    /// The stream behind a stream id: of a fork that shares its source's timeline, the source's.
    pub fn stream(&self, id: Uuid) -> Option<Arc<Stream>> {
        Some(self.streams().get(id)?.stream.clone())
    }

    /// For whom a stream id is: of a fork, the destination, with the fork's capabilities.
    pub fn admission(&self, id: Uuid) -> Option<Arc<Admission>> {
        Some(self.streams().get(id)?.admission.clone())
    }

    /// The stream whose publishers a stream shows: itself, unless it is a fork.
    pub fn origin(&self, id: Uuid) -> Uuid {
        let streams = self.streams();
        streams.get(id).map_or(id, |entry| entry.origin.id())
    }

    /// Whether a publisher session of this id feeds a stream now.
    pub fn has_session(&self, id: Uuid, session: &str) -> bool {
        let origin = self.streams().get(id).map(|entry| entry.origin.clone());
        let sessions = origin.map(|origin| origin.sessions());
        let mut sessions = sessions.into_iter().flatten();
        sessions.any(|found| *found.session == *session)
    }

    /// Everything about a stream; of a fork, what is known of the stream whose timeline it shares, as long
    /// as it does.
    pub fn health(&self, id: Uuid) -> Option<Health> {
        let (stream, admission, lives) = {
            let streams = self.streams();
            let entry = streams.get(id)?;
            (entry.stream.clone(), entry.admission.clone(), entry.lives())
        };
        let mut health = Health {
            id,
            channel_id: admission.channel_id.clone(),
            alias: admission.alias.clone(),
            capabilities: admission.capabilities.clone(),
            tags: admission.tags.clone(),
            ..stream.health()
        };
        if !lives && health.state != story::State::Ended {
            health.state = story::State::Ended;
            health.members.clear();
        }
        Some(health)
    }

    /// The newest picture of a stream, as JPEG. Of a fork that ended alone there is none: its source goes
    /// on.
    pub fn thumbnail(&self, id: Uuid) -> Option<Bytes> {
        let (stream, lives) = {
            let streams = self.streams();
            let entry = streams.get(id)?;
            (entry.stream.clone(), entry.lives())
        };
        let shows = lives || stream.is_ended();
        stream.thumbnail().filter(|_| shows)
    }

    /// Stream ids of everything that lives or ended a short while ago, forks included.
    pub fn ids(&self) -> Vec<Uuid> {
        self.streams().iter().map(|(id, _)| id).collect()
    }

    /// Forks, and for whom they are.
    pub fn forks(&self) -> Vec<(Uuid, Arc<Admission>)> {
        let streams = self.streams();
        let forks = streams.iter().filter(|(_, entry)| entry.fork.is_some());
        forks
            .map(|(id, entry)| (id, entry.admission.clone()))
            .collect()
    }

    /// Every stream that lives or ended a short while ago. Forks that share another one's timeline are
    /// not counted again.
    pub fn all(&self) -> Vec<Arc<Stream>> {
        let streams = self.streams();
        let made = streams
            .iter()
            .filter(|(id, entry)| entry.stream.id() == *id);
        made.map(|(_, entry)| entry.stream.clone()).collect()
    }

    /// What a stream's players read. Also for streams that ended a short while ago, but not for those
    /// without the `streaming` capability, nor those that take the place of something.
    pub fn timeline(&self, id: Uuid) -> Option<Arc<dyn Timeline>> {
        let streams = self.streams();
        let entry = streams.get(id)?;
        let placed = entry.stream.admission().placed.is_some();
        let playable = entry.has_capability("streaming") && !placed;
        playable.then(|| entry.timeline.clone())
    }

    /// The newest stream of a channel, forks included. By its id alone: an alias is anybody's to choose.
    pub fn newest(&self, channel_id: &str) -> Option<Uuid> {
        self.streams().of_channel(channel_id).last().copied()
    }

    /// Streams that live now and belong to a channel.
    pub fn list(&self) -> Vec<Listing> {
        let bound: Vec<(Uuid, Arc<Admission>, Arc<Stream>)> = {
            let streams = self.streams();
            let bound = streams.living().filter(|(_, entry)| entry.bound);
            bound
                .map(|(id, entry)| (id, entry.admission.clone(), entry.origin.clone()))
                .collect()
        };
        let listed = bound
            .iter()
            .map(|(id, admission, origin)| listing(*id, admission, origin));
        let mut list: Vec<Listing> = listed.collect();
        list.sort_by(|a, b| a.alias.cmp(&b.alias));
        list
    }

    /// The channel's running stream, or a new one and what is to be recorded of it.
    fn stream_of(
        &self,
        admission: Admission,
        passage: &Passage<'_>,
    ) -> Result<(Arc<Stream>, Option<Record>), Refusal> {
        let inner = &self.inner;
        let mut channels = self.channels();
        passage.check(&admission.channel_id, inner.clock.monotonic())?;
        let running = channels
            .get(&admission.channel_id)
            .and_then(|id| self.stream(*id));
        if let Some(stream) = running.filter(|stream| !stream.is_ended()) {
            if stream.lies_as(admission.placed.as_ref()) {
                return Ok((stream, None));
            }
            // What it took the place of has moved: it would be seen at the wrong time.
            self.end(&[stream.id()], Some("what it took the place of has moved"));
        }
        let mut settings = (inner.rules)(&admission);
        if admission.placed.is_some() {
            settings.take_place();
        }
        let id = admission.lasting.unwrap_or_else(id::stream_id);
        let beginning = Beginning::of(id, admission.placed.as_ref(), &inner.clock);
        let stream = self.open(beginning, admission, settings);
        channels.insert(stream.admission().channel_id.clone(), stream.id());
        if stream.admission().placed.is_some() {
            // What it takes the place of goes on without it after a restart.
            return Ok((stream, None));
        }
        let record = Record {
            id: stream.id(),
            epoch: stream.epoch(),
            admission: stream.admission().clone(),
            segment_target_90k: settings.segment_target.0,
            longest_segment_90k: settings.longest_segment.0,
            sign: self.sign(&stream),
        };
        Ok((stream, Some(record)))
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
        let (stream, timeline) = self.make(beginning, admission, settings);
        let entry = Entry::own(stream.clone(), timeline);
        self.show(stream.id(), entry);
        stream
    }

    fn show(&self, id: Uuid, entry: Entry) {
        let shown = Shown::new(id, &entry);
        self.write_streams().insert(id, entry);
        if let Some(keeper) = self.inner.keeper.get() {
            keeper(shown);
        }
    }

    /// A stream with its packager and its ladder.
    fn make(
        &self,
        beginning: Beginning,
        admission: Admission,
        settings: Settings,
    ) -> (Arc<Stream>, Arc<dyn Timeline>) {
        let inner = &self.inner;
        let limits = Limits {
            silence: inner.config.silence,
            window: inner.config.window,
        };
        let clock = inner.clock.clone();
        let stream = Arc::new(Stream::new(beginning, admission, settings, limits, clock));
        let timeline = (inner.opener)(&stream, inner.clock.wall());
        (stream, timeline)
    }

    /// Whether a stream lives and belongs to its channel.
    fn is_bound(&self, id: Uuid) -> bool {
        let streams = self.streams();
        streams.get(id).is_some_and(|entry| entry.bound)
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

    fn streams(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.inner
            .streams
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write_streams(&self) -> std::sync::RwLockWriteGuard<'_, Index> {
        self.inner
            .streams
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn listing(id: Uuid, admission: &Admission, origin: &Stream) -> Listing {
    let has = |word: &str| admission.capabilities.iter().any(|have| have == word);
    Listing {
        id,
        channel_id: admission.channel_id.clone(),
        alias: admission.alias.clone(),
        name: admission.name.clone(),
        on_air: origin.is_on_air(),
        protected: has("token-auth"),
        playable: has("streaming"),
    }
}

#[cfg(test)]
mod tests;
