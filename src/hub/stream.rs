//! One live stream: its members, its program, its renditions, and who takes them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::boundary::{Cursor, Opened};
use super::gate::Admission;
use super::outlet::Outlet;
use super::program::{Output, Program, Repairs, Settings};
use super::publisher::Announcement;
use super::subscriber::{Event, Feed, Subscriber};
use super::{NewRendition, Refusal};
use crate::base::clock::{Clock, Wall};
use crate::base::id::Uuid;
use crate::media::time::channel_time;
use crate::media::{
    AccessUnit, Boundary, CodecConfig, MediaKind, Rendition, RenditionId, Ticks, Track,
};

/// Publisher sessions on one key: a primary and backups (ARCHITECTURE.md, `Member`).
pub const MAX_MEMBERS: usize = 4;
/// Renditions of one stream: ids are one byte, and no ladder comes near.
const MAX_RENDITIONS: usize = 64;
/// How long the first multivariant playlist waits for the ladder (90 kHz): a worker starts within a
/// second; on an overloaded machine viewers get the source after six.
const LADDER_WAIT: Ticks = Ticks(6 * 90_000);

/// Index of a publisher session within its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberId(u64);

#[derive(Debug)]
struct Member {
    id: MemberId,
    proto: &'static str,
    announcement: Announcement,
    video: Option<Track>,
    audio: Option<Track>,
    last_unit: Duration,
    eviction: watch::Sender<Option<String>>,
}

/// What a stream's metrics show. Counts since the stream began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Payload bytes of the publisher on air.
    pub ingest_bytes: u64,
    /// Its video units.
    pub video_units: u64,
    /// Its audio units.
    pub audio_units: u64,
    /// What was mended or lost.
    pub repairs: Repairs,
    /// Drift of the publisher's clock, seconds.
    pub drift_seconds: f64,
    /// Publisher sessions now.
    pub members: usize,
    /// Segments opened.
    pub segments: u64,
    /// Bit rate over the last seconds, bits per second.
    pub ingest_bps: f64,
    /// Pictures per second over the last seconds.
    pub frame_rate: f64,
    /// Protocol of the publisher on air; empty without one.
    pub proto: &'static str,
}

/// A reading of the counters, to take rates from.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    at: Duration,
    bytes: u64,
    frames: u64,
}

/// Rates are taken over at least this long.
const RATE_WINDOW: Duration = Duration::from_secs(2);

struct Listed {
    rendition: Arc<Rendition>,
    cursor: Cursor,
    live: bool,
}

struct State {
    program: Program,
    members: Vec<Member>,
    next_member: u64,
    on_air: Option<MemberId>,
    /// Monotonic time since which nobody publishes.
    empty_since: Option<Duration>,
    renditions: Vec<Listed>,
    source_video: Option<RenditionId>,
    source_audio: Option<RenditionId>,
    /// Names a transcoder will add before the stream is listed; `None` until it says.
    plan: Option<Vec<Arc<str>>>,
    listed: bool,
    listed_ids: Vec<RenditionId>,
    /// Renditions came or went since the list was made.
    stale_list: bool,
    outlets: Vec<Box<dyn Outlet>>,
    feeds: Vec<Feed>,
    thumbnail: Option<Bytes>,
    stats: Stats,
    reading: Reading,
    ended: bool,
}

/// One live stream of a channel.
pub struct Stream {
    id: Uuid,
    epoch: Wall,
    admission: Admission,
    ladder: bool,
    silence: Duration,
    clock: Clock,
    state: Mutex<State>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Stream {
    pub(super) fn new(
        id: Uuid,
        admission: Admission,
        settings: Settings,
        silence: Duration,
        clock: Clock,
    ) -> Stream {
        let epoch = Wall(clock.wall().unix_millis() * 1000);
        let state = State {
            program: Program::new(settings, epoch, epoch),
            members: Vec::new(),
            next_member: 0,
            on_air: None,
            empty_since: Some(clock.monotonic()),
            renditions: Vec::new(),
            source_video: None,
            source_audio: None,
            plan: if settings.ladder {
                None
            } else {
                Some(Vec::new())
            },
            listed: false,
            listed_ids: Vec::new(),
            stale_list: false,
            outlets: Vec::new(),
            feeds: Vec::new(),
            thumbnail: None,
            stats: Stats::default(),
            reading: Reading {
                at: clock.monotonic(),
                ..Reading::default()
            },
            ended: false,
        };
        Stream {
            id,
            epoch,
            admission,
            ladder: settings.ladder,
            silence,
            clock,
            state: Mutex::new(state),
        }
    }

    /// The stream's id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Wall-clock point of channel time zero.
    pub fn epoch(&self) -> Wall {
        self.epoch
    }

    /// What the publish was admitted with.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Whether the publish was admitted with this capability word.
    pub fn has_capability(&self, word: &str) -> bool {
        self.admission
            .capabilities
            .iter()
            .any(|capability| capability == word)
    }

    /// Whether a ladder is made of it.
    pub fn has_ladder(&self) -> bool {
        self.ladder
    }

    /// Takes every rendition's units from now on.
    pub fn attach(&self, outlet: Box<dyn Outlet>) {
        self.lock().outlets.push(outlet);
    }

    /// A queue of the source's units, from the next one on; the tracks known so far come first.
    pub fn subscribe(&self, queue_units: usize) -> Subscriber {
        let (mut feed, subscriber) = Feed::new(queue_units);
        let mut state = self.lock();
        for kind in [MediaKind::Video, MediaKind::Audio] {
            if let Some(track) = state.program.track(kind) {
                feed.send(Event::Track(track.clone()), kind);
            }
        }
        if let Some(passthrough) = state.program.passthrough().filter(|_| self.ladder) {
            feed.send(Event::Settled { passthrough }, MediaKind::Video);
        }
        if state.ended {
            feed.send(Event::End, MediaKind::Video);
        } else {
            state.feeds.push(feed);
        }
        subscriber
    }

    /// Says which renditions a transcoder will add, so that the first multivariant playlist waits
    /// for them. An empty list means none.
    pub fn plan(&self, names: Vec<Arc<str>>) {
        let mut state = self.lock();
        if names.is_empty() {
            state.program.abandon_ladder();
        }
        state.plan = Some(names);
        state.drain(self.now());
        state.consider_listing(self.now());
    }

    /// Adds a planned rendition, when its codec configuration is known. `None` when the stream is over
    /// or has too many.
    pub fn add_rendition(&self, new: NewRendition) -> Option<RenditionId> {
        let mut state = self.lock();
        if state.ended {
            return None;
        }
        let id = state.add(new, false)?;
        state.consider_listing(self.now());
        Some(id)
    }

    /// A unit of an added rendition, in channel time. Key units at a boundary's time open segments.
    pub fn push_rendition(&self, id: RenditionId, unit: AccessUnit) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(listed) = state.renditions.get_mut(usize::from(id.0)) else {
            return;
        };
        let scale = listed.rendition.track.timescale;
        let opened = state.program.open_rung(&mut listed.cursor, &unit, scale);
        if listed.live && listed.cursor.is_open() {
            state.deliver(id, unit, &opened);
        }
    }

    /// A planned or added rendition that will not come, or no more.
    pub fn drop_rendition(&self, name: &str) {
        let mut state = self.lock();
        if let Some(plan) = &mut state.plan {
            plan.retain(|planned| &**planned != name);
        }
        for listed in &mut state.renditions {
            if !listed.rendition.source && &*listed.rendition.name == name {
                listed.live = false;
            }
        }
        state.relist();
        state.consider_listing(self.now());
    }

    /// The newest picture, as JPEG.
    pub fn set_thumbnail(&self, jpeg: Bytes) {
        self.lock().thumbnail = Some(jpeg);
    }

    /// The newest picture, as JPEG.
    pub fn thumbnail(&self) -> Option<Bytes> {
        self.lock().thumbnail.clone()
    }

    /// Counters for metrics.
    pub fn stats(&self) -> Stats {
        let state = self.lock();
        Stats {
            repairs: state.program.repairs(),
            drift_seconds: state
                .program
                .drift()
                .seconds(crate::media::Timescale::CHANNEL),
            members: state.members.len(),
            proto: state.holder().map_or("", |member| member.proto),
            ..state.stats
        }
    }

    /// Name and version of the encoder on air, as it states them.
    pub fn encoder(&self) -> Option<String> {
        self.lock().holder()?.announcement.encoder.clone()
    }

    /// Whether a publisher is on air.
    pub fn is_on_air(&self) -> bool {
        self.lock().on_air.is_some()
    }

    /// Publisher sessions now.
    pub fn member_count(&self) -> usize {
        self.lock().members.len()
    }

    /// How long nobody has been publishing; `None` while somebody does.
    pub(super) fn idle(&self) -> Option<Duration> {
        let since = self.lock().empty_since?;
        Some(self.clock.monotonic().saturating_sub(since))
    }

    /// Takes rates from the counters, when the last reading is old enough.
    pub(super) fn read_rates(&self) {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        let last = state.reading;
        let elapsed = now.saturating_sub(last.at);
        if elapsed < RATE_WINDOW {
            return;
        }
        let (bytes, frames) = (state.stats.ingest_bytes, state.stats.video_units);
        state.stats.ingest_bps = (bytes - last.bytes) as f64 * 8.0 / elapsed.as_secs_f64();
        state.stats.frame_rate = (frames - last.frames) as f64 / elapsed.as_secs_f64();
        state.reading = Reading {
            at: now,
            bytes,
            frames,
        };
    }

    pub(super) fn is_ended(&self) -> bool {
        self.lock().ended
    }

    pub(super) fn join(
        &self,
        proto: &'static str,
    ) -> Result<(MemberId, watch::Receiver<Option<String>>), Refusal> {
        let mut state = self.lock();
        if state.ended {
            return Err(Refusal::NotAllowed("the stream has just ended".to_owned()));
        }
        if state.members.len() >= MAX_MEMBERS {
            return Err(Refusal::Full(format!(
                "{MAX_MEMBERS} encoders publish with this key already"
            )));
        }
        let id = MemberId(state.next_member);
        state.next_member += 1;
        let (eviction, receiver) = watch::channel(None);
        let last_unit = self.clock.monotonic();
        state.members.push(Member {
            id,
            proto,
            announcement: Announcement::default(),
            video: None,
            audio: None,
            last_unit,
            eviction,
        });
        state.empty_since = None;
        Ok((id, receiver))
    }

    pub(super) fn leave(&self, member: MemberId) {
        let mut state = self.lock();
        state.members.retain(|candidate| candidate.id != member);
        if state.members.is_empty() {
            state.empty_since = Some(self.clock.monotonic());
        }
        if state.on_air == Some(member) {
            state.on_air = None;
            state.program.handle_break();
            state.drain(self.now());
            state
                .outlets
                .iter_mut()
                .for_each(|outlet| outlet.handle_break());
        }
    }

    /// Ends every publisher session, with a reason for its log.
    pub fn evict(&self, reason: &str) {
        for member in &self.lock().members {
            member.eviction.send_replace(Some(reason.to_owned()));
        }
    }

    pub(super) fn announce(&self, member: MemberId, announcement: Announcement) {
        let mut state = self.lock();
        if let Some(found) = state.members.iter_mut().find(|found| found.id == member) {
            found.announcement = announcement.clone();
        }
        if state.on_air == Some(member) {
            state.program.handle_announcement(announcement);
        }
    }

    pub(super) fn set_track(&self, member: MemberId, track: Track) {
        let mut state = self.lock();
        if let Some(found) = state.members.iter_mut().find(|found| found.id == member) {
            match track.kind() {
                MediaKind::Video => found.video = Some(track.clone()),
                MediaKind::Audio => found.audio = Some(track.clone()),
            }
        }
        if state.on_air == Some(member) {
            state.program.handle_track(track);
            state.drain(self.now());
        }
    }

    pub(super) fn push(&self, member: MemberId, unit: AccessUnit) {
        let monotonic = self.clock.monotonic();
        let now = self.clock.wall();
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.ended {
            return;
        }
        if state.on_air != Some(member)
            && !state.takes_the_air(member, &unit, monotonic, self.silence)
        {
            return;
        }
        if let Some(found) = state.members.iter_mut().find(|found| found.id == member) {
            found.last_unit = monotonic;
        }
        state.stats.ingest_bytes += unit.data.len() as u64;
        match unit.kind {
            MediaKind::Video => state.stats.video_units += 1,
            MediaKind::Audio => state.stats.audio_units += 1,
        }
        state.program.handle_unit(now, unit);
        let time = channel_time(now, self.epoch);
        state.drain(time);
        state.consider_listing(time);
    }

    pub(super) fn end(&self) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        state.program.handle_break();
        state.drain(self.now());
        state.ended = true;
        state
            .outlets
            .iter_mut()
            .for_each(|outlet| outlet.handle_end());
        state.feeds.iter_mut().for_each(|feed| {
            feed.send(Event::End, MediaKind::Video);
        });
        state.feeds.clear();
        for member in &state.members {
            member
                .eviction
                .send_replace(Some("the stream has ended".to_owned()));
        }
    }

    /// Publishes what is held back, without ending the stream: the server stops, players go on after it.
    pub(super) fn flush(&self) {
        let mut state = self.lock();
        state.program.handle_break();
        state.drain(self.now());
        state
            .outlets
            .iter_mut()
            .for_each(|outlet| outlet.handle_stop());
    }

    fn now(&self) -> Ticks {
        channel_time(self.clock.wall(), self.epoch)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn holder(&self) -> Option<&Member> {
        let on_air = self.on_air?;
        self.members.iter().find(|member| member.id == on_air)
    }

    /// Whether a member that is not on air takes it with this unit: nobody is there, or who is has been
    /// silent, and the unit can open a segment (decision 10).
    fn takes_the_air(
        &mut self,
        member: MemberId,
        unit: &AccessUnit,
        monotonic: Duration,
        silence: Duration,
    ) -> bool {
        let Some(index) = self.members.iter().position(|found| found.id == member) else {
            return false;
        };
        self.members[index].last_unit = monotonic;
        let opens = match unit.kind {
            MediaKind::Video => unit.key,
            MediaKind::Audio => {
                self.members[index].video.is_none()
                    || self.program.track(MediaKind::Video).is_none()
            }
        };
        let holder = self
            .on_air
            .and_then(|id| self.members.iter().find(|found| found.id == id));
        let free = holder.is_none_or(|holder| monotonic.saturating_sub(holder.last_unit) > silence);
        if !free || !opens {
            return false;
        }
        if self.on_air.is_some() {
            self.outlets
                .iter_mut()
                .for_each(|outlet| outlet.handle_break());
        }
        self.program.handle_break();
        self.on_air = Some(member);
        let member = &self.members[index];
        self.program
            .handle_announcement(member.announcement.clone());
        for track in [&member.video, &member.audio].into_iter().flatten() {
            self.program.handle_track(track.clone());
        }
        true
    }

    fn drain(&mut self, now: Ticks) {
        while let Some(output) = self.program.poll_output() {
            match output {
                Output::Track(track) => self.source_track(&track),
                Output::Settled { passthrough } => {
                    self.feed(&Event::Settled { passthrough });
                    self.consider_listing(now);
                }
                Output::Break => self.feed(&Event::Break),
                Output::Unit {
                    unit,
                    opened,
                    boundary,
                } => self.source_unit(unit, &opened, boundary),
            }
        }
    }

    fn source_track(&mut self, track: &Arc<Track>) {
        self.feed(&Event::Track(track.clone()));
        let known = match track.kind() {
            MediaKind::Video => self.source_video,
            MediaKind::Audio => self.source_audio,
        };
        if let Some(id) = known {
            self.outlets
                .iter_mut()
                .for_each(|outlet| outlet.handle_track(id, track));
            return;
        }
        let (name, rate) = match track.kind() {
            MediaKind::Video => ("source", self.program.frame_rate_millis().unwrap_or(0)),
            MediaKind::Audio => ("audio", 0),
        };
        let new = NewRendition {
            name: name.into(),
            track: (**track).clone(),
            peak_bps: 0,
            average_bps: 0,
            frame_rate_millis: rate,
        };
        let id = self.add(new, true);
        match track.kind() {
            MediaKind::Video => self.source_video = id,
            MediaKind::Audio => self.source_audio = id,
        }
    }

    fn source_unit(&mut self, unit: AccessUnit, opened: &Opened, boundary: Option<Boundary>) {
        if boundary.is_some() {
            self.stats.segments += 1;
        }
        if !self.feeds.is_empty() {
            self.feed(&Event::Unit {
                unit: unit.clone(),
                boundary,
            });
        }
        let id = match unit.kind {
            MediaKind::Video => self.source_video,
            MediaKind::Audio => self.source_audio,
        };
        // A source video that is not listed is not packaged either.
        let wanted = unit.kind == MediaKind::Audio || self.program.passthrough() != Some(false);
        if let Some(id) = id.filter(|_| wanted) {
            self.deliver(id, unit, opened);
        }
    }

    fn deliver(&mut self, id: RenditionId, unit: AccessUnit, opened: &[Boundary]) {
        let Some((last, others)) = self.outlets.split_last_mut() else {
            return;
        };
        for outlet in others {
            outlet.handle_unit(id, unit.clone(), opened);
        }
        last.handle_unit(id, unit, opened);
    }

    fn feed(&mut self, event: &Event) {
        let lead = if self.program.track(MediaKind::Video).is_some() {
            MediaKind::Video
        } else {
            MediaKind::Audio
        };
        self.feeds.retain_mut(|feed| feed.send(event.clone(), lead));
    }

    fn add(&mut self, new: NewRendition, source: bool) -> Option<RenditionId> {
        if self.renditions.len() >= MAX_RENDITIONS {
            return None;
        }
        let id = RenditionId(u8::try_from(self.renditions.len()).ok()?);
        let rendition = Arc::new(Rendition {
            id,
            name: new.name,
            track: Arc::new(new.track),
            peak_bps: new.peak_bps,
            average_bps: new.average_bps,
            frame_rate_millis: new.frame_rate_millis,
            source,
        });
        self.outlets
            .iter_mut()
            .for_each(|outlet| outlet.handle_rendition(&rendition));
        self.stale_list = true;
        self.renditions.push(Listed {
            rendition,
            cursor: Cursor::default(),
            live: true,
        });
        Some(id)
    }

    /// Lists the stream as soon as everything that is to be in its first multivariant playlist is known;
    /// a source track that comes later is added then.
    fn consider_listing(&mut self, now: Ticks) {
        let Some(first) = self.program.first_arrival() else {
            return;
        };
        if self.listed {
            if self.stale_list {
                self.relist();
            }
            return;
        }
        let waited = now - first;
        let planned = match &self.plan {
            None => false,
            Some(plan) => plan.iter().all(|name| {
                self.renditions
                    .iter()
                    .any(|listed| listed.rendition.name == *name)
            }),
        };
        let settled = self.program.passthrough().is_some();
        let patience_over = waited >= LADDER_WAIT;
        if self.program.tracks_complete(waited) && settled && (planned || patience_over) {
            self.listed = true;
            self.relist();
        }
    }

    fn relist(&mut self) {
        if !self.listed {
            return;
        }
        self.stale_list = false;
        let ids = self.wanted_ids();
        if !ids.is_empty() && ids != self.listed_ids {
            self.listed_ids.clone_from(&ids);
            self.outlets
                .iter_mut()
                .for_each(|outlet| outlet.handle_listed(&ids));
        }
    }

    /// The renditions a manifest should list: the source where it may be, then rungs as added.
    fn wanted_ids(&self) -> Vec<RenditionId> {
        let passthrough = self.program.passthrough() == Some(true);
        let replaced = self.replaced_audio();
        let wanted = |listed: &&Listed| {
            let source_video =
                listed.rendition.source && listed.rendition.kind() == MediaKind::Video;
            let source_audio =
                listed.rendition.source && listed.rendition.kind() == MediaKind::Audio;
            listed.live && (!source_video || passthrough) && (!source_audio || !replaced)
        };
        self.renditions
            .iter()
            .filter(wanted)
            .map(|listed| listed.rendition.id)
            .collect()
    }

    /// Whether a transcoded audio stands for a source audio that players cannot be given in every
    /// manifest (Opus; the default audio is AAC).
    fn replaced_audio(&self) -> bool {
        let aac_rung = self.renditions.iter().any(|listed| {
            !listed.rendition.source
                && listed.live
                && matches!(listed.rendition.track.config, CodecConfig::Aac(_))
        });
        let source = self.program.track(MediaKind::Audio);
        let passable = source.is_some_and(|track| match &track.config {
            CodecConfig::Aac(config) => matches!(config.sample_rate, 44_100 | 48_000),
            _ => false,
        });
        aac_rung && !passable
    }
}

#[cfg(test)]
mod tests;
