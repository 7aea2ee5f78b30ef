//! What a stream's lock protects: members, renditions, and the way of a unit to those who take it.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::health::{Record, Stats};
use super::log::Line;
use super::member::Member;
use super::renditions::{Listed, Plan};

use super::{MemberId, Stream};
use crate::base::clock::{Clock, Wall};
use crate::hub::NewRendition;
use crate::hub::boundary::Opened;
use crate::hub::outlet::Outlet;
use crate::hub::program::{Output, Program};
use crate::hub::story::Cover;
use crate::hub::subscriber::{Event, Feed};
use crate::hub::tap::{self, Taps};
use crate::media::{
    AccessUnit, Boundary, MediaKind, RenditionId, Ticks, Timescale, Track, rescale,
};

/// A clock that is set by more than this, 90 kHz: a stream that takes the place of a film would be seen at
/// another time than it has come.
const LARGEST_STEP: Ticks = Ticks(90_000);

pub(super) struct State {
    pub(super) program: Program,
    /// Whether it takes the place of something: all of its renditions are made, none is the source's.
    pub(super) placed: bool,
    /// How far the clock had stepped when it was read last.
    pub(super) stepped_micros: i64,
    pub(super) members: Vec<Member>,
    pub(super) next_member: u64,
    pub(super) on_air: Option<MemberId>,
    /// Whom an operator wants on air: it takes it with its next key unit.
    pub(super) wanted: Option<MemberId>,
    pub(super) record: Record,
    /// Monotonic time since which nobody publishes.
    pub(super) empty_since: Option<Duration>,
    pub(super) renditions: Vec<Listed>,
    pub(super) source_video: Option<RenditionId>,
    pub(super) source_audio: Option<RenditionId>,
    /// What a transcoder will add before the stream is listed; `None` until it says.
    pub(super) plan: Option<Plan>,
    pub(super) listed: bool,
    /// Length of the playlists, channel time.
    pub(super) window: Ticks,
    pub(super) listed_ids: Vec<RenditionId>,
    /// Renditions came or went since the list was made.
    pub(super) stale_list: bool,
    pub(super) outlets: Vec<Box<dyn Outlet>>,
    pub(super) feeds: Vec<Feed>,
    pub(super) taps: Taps,
    pub(super) thumbnail: Option<Bytes>,
    pub(super) stats: Stats,
    pub(super) ended: bool,
}

/// A stream's state, locked. What was written down meanwhile is logged after it is unlocked: a log line
/// may wait for a slow disk, a frame may not.
pub(super) struct Locked<'a>(Option<MutexGuard<'a, State>>);

impl Stream {
    pub(super) fn lock(&self) -> Locked<'_> {
        Locked(Some(
            self.state.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}

impl Deref for Locked<'_> {
    type Target = State;
    fn deref(&self) -> &State {
        self.0.as_deref().expect("locked until it is dropped")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.0.as_deref_mut().expect("locked until it is dropped")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let lines = self.record.take_lines();
        self.0 = None;
        lines.into_iter().for_each(Line::log);
    }
}

impl State {
    pub(super) fn holder(&self) -> Option<&Member> {
        let on_air = self.on_air?;
        self.members.iter().find(|member| member.id == on_air)
    }

    /// Whether a member may take the air: nobody has it, who has it has been silent, or it was decided so
    /// by hand (decision 10).
    pub(super) fn may_take_the_air(&self, id: MemberId, now: Duration, silence: Duration) -> bool {
        let free = |holder: &Member| holder.is_silent(now, silence);
        self.wanted == Some(id) || self.holder().is_none_or(free)
    }

    /// The member to follow the one on air: the first that joined of those that send.
    pub(super) fn successor(&self, now: Duration, silence: Duration) -> Option<MemberId> {
        let ready = |member: &&Member| {
            Some(member.id) != self.on_air
                && member.warm.is_ready()
                && !member.is_silent(now, silence)
        };
        self.members.iter().find(ready).map(|member| member.id)
    }

    /// Tells every session to end. A reason that was given before stands.
    pub(super) fn evict(&self, reason: &str) {
        for member in &self.members {
            member.eviction.send_if_modified(|told| {
                let first = told.is_none();
                told.get_or_insert_with(|| reason.to_owned());
                first
            });
        }
    }

    /// Ends the session that has been silent the longest, so that another may join.
    pub(super) fn evict_silent(&mut self, now: Wall, monotonic: Duration, silence: Duration) {
        let silent = self
            .members
            .iter()
            .filter(|member| member.is_silent(monotonic, silence))
            .min_by_key(|member| member.last_unit);
        let Some(member) = silent else {
            return;
        };
        let id = member.id;
        let reason = "nothing came any more, and another encoder publishes with the key";
        member.eviction.send_replace(Some(reason.to_owned()));
        self.remove(id, now, monotonic, silence);
    }

    /// A session is over. Who stands by takes its place.
    pub(super) fn remove(
        &mut self,
        id: MemberId,
        now: Wall,
        monotonic: Duration,
        silence: Duration,
    ) {
        self.note_left(id, now, monotonic);
        self.members.retain(|member| member.id != id);
        if self.members.is_empty() {
            self.empty_since.get_or_insert(monotonic);
        }
        if self.on_air != Some(id) {
            return;
        }
        self.leave_the_air(now);
        if let Some(next) = self.successor(monotonic, silence) {
            self.take_the_air(next, now, monotonic);
            self.drain(now);
        }
    }

    /// Reads the clock, and tells everybody who keeps times when it was set.
    pub(super) fn read(&mut self, clock: &Clock) -> Wall {
        let now = clock.read();
        let last = std::mem::replace(&mut self.stepped_micros, now.stepped_micros);
        let step = now.stepped_micros - last;
        if step != 0 {
            let by = rescale(Ticks(step), Timescale::MICROS, Timescale::CHANNEL);
            self.program.handle_clock_step(by);
            if self.placed && by.abs() > LARGEST_STEP {
                self.evict("the clock was set, and with it what is shown in its turn");
            }
            for member in &mut self.members {
                member.warm.shift(step);
            }
        }
        now.wall
    }

    /// Puts a member on air, beginning with what it sent lately.
    pub(super) fn take_the_air(&mut self, id: MemberId, now: Wall, monotonic: Duration) {
        let Some(index) = self.members.iter().position(|member| member.id == id) else {
            return;
        };
        let before = self.on_air;
        self.leave_the_air(now);
        self.on_air = Some(id);
        let end = self.program.end_wall();
        let member = &mut self.members[index];
        let units = member.warm.take(end);
        let program = &mut self.program;
        program.handle_announcement(member.announcement.clone());
        for track in [&member.video, &member.audio].into_iter().flatten() {
            program.handle_track(track.clone());
        }
        if units.front().is_some_and(|(arrival, _)| *arrival < now) {
            program.handle_warm_start();
        }
        for (arrival, unit) in units {
            self.count(&unit);
            self.program.handle_unit(arrival, unit);
        }
        self.note_air(before, now, monotonic);
    }

    /// Takes whoever is on air off it, and publishes what it sent to the end.
    pub(super) fn leave_the_air(&mut self, now: Wall) {
        let had = self.on_air.take().is_some();
        self.program.handle_break();
        self.drain(now);
        if had {
            self.outlets
                .iter_mut()
                .for_each(|outlet| outlet.handle_break());
        }
    }

    pub(super) fn count(&mut self, unit: &AccessUnit) {
        self.stats.ingest_bytes += unit.data.len() as u64;
        match unit.kind {
            MediaKind::Video => self.stats.video_units += 1,
            MediaKind::Audio => self.stats.audio_units += 1,
        }
    }

    pub(super) fn drain(&mut self, now: Wall) {
        while let Some(output) = self.program.poll_output() {
            match output {
                Output::Track(track) => {
                    self.record.note_track(now, &track);
                    self.source_track(&track);
                }
                Output::Settled { passthrough } => {
                    self.feed(&Event::Settled { passthrough });
                    if let Some(id) = self.source_video.filter(|_| self.listed && !passthrough) {
                        self.retire(id, now);
                    }
                    self.consider_listing(now);
                }
                Output::Break => {
                    self.feed(&Event::Break);
                    self.taps.tell(&tap::Event::Break);
                }
                Output::Unit {
                    unit,
                    opened,
                    boundary,
                    listed,
                } => {
                    self.note_media(&unit);
                    self.source_unit(unit, &opened, boundary, listed);
                    boundary.iter().for_each(|boundary| self.pass_on(boundary));
                }
                Output::Hold {
                    until,
                    boundary,
                    filler,
                } => {
                    // A boundary alone makes nothing up.
                    if boundary.is_none() {
                        self.note_cover(until, Cover::from(filler));
                    }
                    self.stats.segments += u64::from(boundary.is_some());
                    self.feed(&Event::Hold {
                        until,
                        boundary,
                        filler,
                    });
                    boundary.iter().for_each(|boundary| self.pass_on(boundary));
                }
                Output::Gap { boundary, missing } => self.state_gap(&boundary, missing),
            }
        }
    }

    pub(super) fn source_track(&mut self, track: &Arc<Track>) {
        self.feed(&Event::Track(track.clone()));
        if self.placed {
            return;
        }
        if let Some(id) = self.source_id(track.kind()) {
            self.taps.tell(&tap::Event::Track(id, track.clone()));
            self.renditions[usize::from(id.0)].next_track = Some(track.clone());
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

    pub(super) fn source_unit(
        &mut self,
        unit: AccessUnit,
        opened: &Opened,
        boundary: Option<Boundary>,
        listed: bool,
    ) {
        if boundary.is_some() {
            self.stats.segments += 1;
        }
        if !self.feeds.is_empty() {
            self.feed(&Event::Unit {
                unit: unit.clone(),
                boundary,
            });
        }
        self.tap_source(&unit);
        let id = self.source_id(unit.kind);
        // A source video that is not listed is not packaged either.
        let wanted = unit.kind == MediaKind::Audio || self.source_may_be_listed() != Some(false);
        let wanted = wanted && listed;
        if let Some(id) = id.filter(|_| wanted) {
            self.deliver(id, unit, opened);
        }
    }

    pub(super) fn feed(&mut self, event: &Event) {
        let lead = if self.program.track(MediaKind::Video).is_some() {
            MediaKind::Video
        } else {
            MediaKind::Audio
        };
        self.feeds.retain_mut(|feed| feed.send(event.clone(), lead));
    }
}
