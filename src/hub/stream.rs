//! One live stream: its members, its program, its renditions, and who takes them.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::NewRendition;
use super::announcement::Announcement;
use super::boundary::{Resumed, Settings};
use super::gate::{Admission, Told};
use super::outlet::Outlet;
use super::placed::Placed;
use super::program::Program;
use super::story::Happening;
use super::subscriber::{Event, Feed, Subscriber};
use super::tap::{Taps, Wishes};
use crate::base::clock::{Clock, Wall};
use crate::base::id::Uuid;
use crate::media::{AccessUnit, MediaKind, RenditionId, Ticks, Timescale, Track};
use health::Record;
pub use health::Stats;
pub(super) use places::Joining;
use renditions::Plan;
use state::State;

/// Publisher sessions on one key: a primary and backups (ARCHITECTURE.md, `Member`).
pub const MAX_MEMBERS: usize = 4;

/// Index of a publisher session within its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberId(u64);

/// Where a stream's timeline begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The stream's id.
    pub id: Uuid,
    /// Wall-clock point of channel time zero.
    pub epoch: Wall,
    /// What media sequence numbers count from: now (decision 16), or, for a stream that is taken up
    /// again, the point that makes them go on.
    pub now: Wall,
    /// Where an earlier run of the server left it; `None` for a new stream. A stream that is taken up
    /// again opens with a discontinuity.
    pub resumed: Option<Resumed>,
}

impl Beginning {
    /// A new stream that begins now; one that takes the place of something, on the clock of that.
    pub fn of(id: Uuid, placed: Option<&Placed>, clock: &Clock) -> Beginning {
        let now = Beginning::now(id, clock);
        Beginning {
            epoch: placed.map_or(now.epoch, |placed| placed.epoch),
            ..now
        }
    }

    /// A new stream that begins now.
    pub fn now(id: Uuid, clock: &Clock) -> Beginning {
        let now = Wall(clock.wall().unix_millis() * 1000);
        Beginning {
            id,
            epoch: now,
            now,
            resumed: None,
        }
    }
}

/// How long things last in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// No unit for this long: the publisher is silent and its place is open to others.
    pub silence: Duration,
    /// Length of the playlists: how long a rendition that left is stated as gaps.
    pub window: Duration,
}

/// One live stream of a channel.
pub struct Stream {
    id: Uuid,
    epoch: Wall,
    admission: Arc<Admission>,
    ladder: bool,
    silence: Duration,
    clock: Clock,
    wishes: Arc<Wishes>,
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
        beginning: Beginning,
        admission: Admission,
        settings: Settings,
        limits: Limits,
        clock: Clock,
    ) -> Stream {
        let Beginning {
            id,
            epoch,
            now,
            resumed,
        } = beginning;
        let mut record = Record::new(
            &admission.channel_id,
            (id, epoch),
            &settings,
            limits.silence,
        );
        record.note(
            now,
            &match resumed {
                None => Happening::Opened,
                Some(_) => Happening::Resumed,
            },
        );
        let mut program = Program::new(settings, epoch, now, resumed);
        if let Some(placed) = &admission.placed {
            program.take_place(placed.grid);
        }
        let state = State {
            record,
            wanted: None,
            program,
            placed: admission.placed.is_some(),
            stepped_micros: clock.read().stepped_micros,
            members: Vec::new(),
            next_member: 0,
            on_air: None,
            empty_since: Some(clock.monotonic()),
            renditions: Vec::new(),
            source_video: None,
            source_audio: None,
            plan: (!settings.ladder).then(|| Plan {
                names: Vec::new(),
                keeps_source: true,
            }),
            listed: false,
            window: Ticks::from_duration(limits.window, Timescale::CHANNEL),
            listed_ids: Vec::new(),
            stale_list: false,
            outlets: Vec::new(),
            feeds: Vec::new(),
            taps: Taps::default(),
            thumbnail: None,
            stats: Stats::default(),
            ended: false,
        };
        Stream {
            id,
            epoch,
            admission: Arc::new(admission),
            ladder: settings.ladder,
            silence: limits.silence,
            clock,
            wishes: Arc::default(),
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

    /// The same, shared.
    pub(super) fn shared_admission(&self) -> Arc<Admission> {
        self.admission.clone()
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

    /// What is known of the source, for one who takes its units from now on.
    pub(super) fn announcement(&self) -> Announcement {
        let state = self.lock();
        let has = |kind| state.program.track(kind).map(|_| true);
        Announcement {
            video: has(MediaKind::Video),
            audio: has(MediaKind::Audio),
            frame_rate_millis: state.program.frame_rate_millis(),
            encoder: state
                .holder()
                .and_then(|it| it.announcement.encoder.clone()),
        }
    }

    /// Says which renditions a transcoder will add, so that the first multivariant playlist waits for
    /// them, and whether the source stays beside them (not when they show another part of the picture).
    /// An empty list means that there will be none; the source then stays in any case.
    pub fn plan(&self, names: Vec<Arc<str>>, keeps_source: bool) {
        let mut state = self.lock();
        if names.is_empty() {
            state.program.abandon_ladder();
        }
        if names.is_empty() && state.placed {
            // The source in its own form has no place there.
            state.evict("what is shown in a film's place cannot be made");
            return;
        }
        let keeps_source = keeps_source || names.is_empty();
        state.plan = Some(Plan {
            names,
            keeps_source,
        });
        let now = state.read(&self.clock);
        state.drain(now);
        state.consider_listing(now);
    }

    /// Adds a planned rendition, when its codec configuration is known. `None` when the stream is over
    /// or has too many.
    pub fn add_rendition(&self, new: NewRendition) -> Option<RenditionId> {
        let mut state = self.lock();
        if state.ended {
            return None;
        }
        let id = state.replace_source(&new);
        let id = id.or_else(|| state.add(new, false))?;
        let now = state.read(&self.clock);
        state.consider_listing(now);
        Some(id)
    }

    /// A unit of an added rendition, in channel time. Key units at a boundary's time open segments.
    pub fn push_rendition(&self, id: RenditionId, unit: AccessUnit) {
        self.lock().rung_unit(id, unit);
    }

    /// A planned or added rendition that will not come, or no more. Its playlist states gaps for one
    /// window, then it is gone.
    pub fn drop_rendition(&self, name: &str) {
        let mut state = self.lock();
        let now = state.read(&self.clock);
        if let Some(plan) = &mut state.plan {
            plan.names.retain(|planned| &**planned != name);
        }
        let dropped = state.renditions.iter();
        let dropped =
            dropped.filter(|listed| !listed.rendition.source && &*listed.rendition.name == name);
        let ids: Vec<RenditionId> = dropped.map(|listed| listed.rendition.id).collect();
        for id in ids {
            state.retire(id, now);
        }
        state.relist();
        state.consider_listing(now);
    }

    /// The newest picture, as JPEG.
    pub fn set_thumbnail(&self, jpeg: Bytes) {
        self.lock().thumbnail = Some(jpeg);
    }

    /// The newest picture, as JPEG.
    pub fn thumbnail(&self) -> Option<Bytes> {
        self.lock().thumbnail.clone()
    }

    /// Name and version of the encoder on air, as it states them.
    pub fn encoder(&self) -> Option<String> {
        self.lock().holder()?.announcement.encoder.clone()
    }

    /// Whether a publisher is on air.
    pub fn is_on_air(&self) -> bool {
        self.lock().on_air.is_some()
    }

    /// Bytes of media that are remembered of those who stand by.
    pub fn held_bytes(&self) -> usize {
        let state = self.lock();
        state.members.iter().map(|member| member.warm.bytes()).sum()
    }

    /// Publisher sessions now.
    pub fn member_count(&self) -> usize {
        self.lock().members.len()
    }

    /// Lets time pass: holes become visible, silent publishers lose the air.
    pub(super) fn tick(&self) {
        let monotonic = self.clock.monotonic();
        let mut state = self.lock();
        if state.ended {
            return;
        }
        let now = state.read(&self.clock);
        let holder_is_silent = |state: &State| {
            state
                .holder()
                .is_some_and(|holder| holder.is_silent(monotonic, self.silence))
        };
        if holder_is_silent(&state)
            && let Some(next) = state.successor(monotonic, self.silence)
        {
            state.take_the_air(next, now, monotonic);
        }
        state.program.handle_tick(now);
        state.drain(now);
        state.consider_listing(now);
    }

    /// What players were told so far, for the next run of the server.
    pub fn told(&self) -> Told {
        self.lock().program.told()
    }

    /// How long nobody has been publishing; `None` while somebody does.
    pub(super) fn idle(&self) -> Option<Duration> {
        let since = self.lock().empty_since?;
        Some(self.clock.monotonic().saturating_sub(since))
    }

    /// Whether the stream is over: nothing follows.
    pub fn is_ended(&self) -> bool {
        self.lock().ended
    }

    pub(super) fn leave(&self, member: MemberId) {
        let monotonic = self.clock.monotonic();
        let mut state = self.lock();
        let now = state.read(&self.clock);
        state.remove(member, now, monotonic, self.silence);
    }

    /// Ends every publisher session, with a reason for its log.
    pub fn evict(&self, reason: &str) {
        self.lock().evict(reason);
    }

    pub(super) fn announce(&self, member: MemberId, announcement: Announcement) {
        let mut state = self.lock();
        if let Some(found) = state.members.iter_mut().find(|found| found.id == member) {
            found.observer.handle_announcement(&announcement);
            found.announcement = announcement.clone();
        }
        if state.on_air == Some(member) {
            state.program.handle_announcement(announcement);
        }
    }

    pub(super) fn set_track(&self, member: MemberId, track: Track) {
        let mut state = self.lock();
        if let Some(found) = state.members.iter_mut().find(|found| found.id == member) {
            found.handle_track(&track);
        }
        if state.on_air == Some(member) {
            state.program.handle_track(track);
            let now = state.read(&self.clock);
            state.drain(now);
        }
    }

    pub(super) fn push(&self, member: MemberId, unit: AccessUnit) {
        let monotonic = self.clock.monotonic();
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.ended {
            return;
        }
        let now = state.read(&self.clock);
        let Some(found) = state.members.iter_mut().find(|found| found.id == member) else {
            return;
        };
        found.note_unit(&unit, (now, monotonic), self.silence);
        found.observer.handle_unit(monotonic, &unit);
        if found.is_silent(monotonic, self.silence) {
            found.warm.clear();
        }
        found.last_unit = monotonic;
        if state.on_air == Some(member) {
            state.note_air(Some(member), now, monotonic);
            state.count(&unit);
            state.program.handle_unit(now, unit);
        } else {
            found.keep_warm(now, unit);
            let ready = found.warm.is_ready();
            if !ready || !state.may_take_the_air(member, monotonic, self.silence) {
                return;
            }
            state.take_the_air(member, now, monotonic);
        }
        state.drain(now);
        state.consider_listing(now);
    }

    pub(super) fn end(&self) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        let now = state.read(&self.clock);
        state.program.handle_break();
        state.drain(now);
        state.ended = true;
        state.record.note(now, &Happening::Ended);
        let state = &mut *state;
        state
            .outlets
            .iter_mut()
            .for_each(|outlet| outlet.handle_end());
        state.feeds.iter_mut().for_each(|feed| {
            feed.send(Event::End, MediaKind::Video);
        });
        state.feeds.clear();
        state.taps.end();
        state.evict("the stream has ended");
    }

    /// Publishes what is held back, without ending the stream: the server stops, players go on after it.
    pub(super) fn flush(&self) {
        let mut state = self.lock();
        let now = state.read(&self.clock);
        state.program.handle_break();
        state.drain(now);
        state
            .outlets
            .iter_mut()
            .for_each(|outlet| outlet.handle_stop());
    }
}

mod health;
mod log;
mod member;
mod placed;
mod places;
mod renditions;
mod roster;
mod state;
mod taps;
#[cfg(test)]
mod tests;
