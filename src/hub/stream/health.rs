//! What is written down of a stream and its publishers, and what is told of them. Not here: what is
//! done about it.

use std::sync::Arc;
use std::time::Duration;

use super::log::{Line, What};
use super::member::Member;
use super::state::State;
use super::{MemberId, Stream};
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::hub::boundary::Settings;
use crate::hub::doctor::Surroundings;
use crate::hub::member::{Health, MemberStatus, Standing, SwitchError};
use crate::hub::observer::Stalls;
use crate::hub::program::Repairs;
use crate::hub::story::{self, Cause, Counts, Cover, Happening, Story};
use crate::media::time::{rescale, wall_time};
use crate::media::{AccessUnit, MediaKind, Ticks, Timescale, Track};

/// Least distance between two looks of the doctor, who wants everything measured: nothing that it tells
/// of is younger than some seconds.
const EXAMINED_EVERY: Duration = Duration::from_secs(1);
/// Lines that are logged of what happens under one lock; more are left out. Bounds the queue.
const MAX_LINES: usize = 64;

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
    /// Publisher sessions that send and are not on air.
    pub standby: usize,
    /// Publisher sessions that send nothing.
    pub silent: usize,
    /// Pauses of more than half a second between two units of any publisher.
    pub stalls: u64,
    /// Their sum, seconds.
    pub stall_seconds: f64,
    /// Switches, holes and restarts of the transcoder.
    pub counts: Counts,
}

/// The memory of a stream beside its media.
#[derive(Debug)]
pub(super) struct Record {
    channel: Arc<str>,
    stream: Uuid,
    epoch: Wall,
    story: Story,
    around: Surroundings,
    /// The source's configurations on air.
    tracks: Vec<Arc<Track>>,
    /// Pauses of publishers that went away.
    past_stalls: Stalls,
    /// When the publisher on air sent its newest unit.
    last_aired: Option<Duration>,
    /// When the publisher on air went away, as long as nobody took its place.
    lost: Option<Duration>,
    hole: Option<Hole>,
    /// When the doctor looked last.
    examined: Option<Duration>,
    /// To be logged when the stream is unlocked.
    lines: Vec<Line>,
}

/// Time in which something stands in for missing media.
#[derive(Clone, Copy, Debug)]
struct Hole {
    from: Ticks,
    until: Ticks,
    cover: Cover,
}

impl Record {
    pub(super) fn new(
        channel: &str,
        (stream, epoch): (Uuid, Wall),
        settings: &Settings,
        silence: Duration,
    ) -> Record {
        Record {
            channel: channel.into(),
            stream,
            epoch,
            story: Story::default(),
            around: Surroundings {
                ladder: settings.ladder,
                segment_target: duration(settings.segment_target),
                longest_segment: duration(settings.longest_segment),
                silence,
                ..Surroundings::default()
            },
            tracks: Vec::new(),
            past_stalls: Stalls::default(),
            last_aired: None,
            lost: None,
            hole: None,
            examined: None,
            lines: Vec::new(),
        }
    }

    pub(super) fn story(&self) -> &Story {
        &self.story
    }

    /// Writes down what happened, and has it logged.
    pub(super) fn note(&mut self, at: Wall, what: &Happening) {
        if let Some(incident) = self.story.note(at, what).cloned() {
            self.log(What::Incident(incident));
        }
    }

    /// What is to be logged.
    pub(super) fn take_lines(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.lines)
    }

    /// A configuration goes on air.
    pub(super) fn note_track(&mut self, at: Wall, track: &Arc<Track>) {
        let same_kind = |old: &&mut Arc<Track>| old.kind() == track.kind();
        let Some(old) = self.tracks.iter_mut().find(same_kind) else {
            self.tracks.push(track.clone());
            return;
        };
        let what = format!("{} instead of {}", describe(track), describe(old));
        *old = track.clone();
        self.note(at, &Happening::Changed { what });
    }

    fn log(&mut self, what: What) {
        if self.lines.len() < MAX_LINES {
            let channel = self.channel.clone();
            self.lines.push(Line {
                channel,
                stream: self.stream,
                what,
            });
        }
    }
}

fn duration(ticks: Ticks) -> Duration {
    Duration::from_secs_f64(ticks.seconds(Timescale::CHANNEL).max(0.0))
}

/// A track in sentences.
fn describe(track: &Track) -> String {
    let codec = track.codec_string();
    match (track.resolution(), track.sample_rate(), track.channels()) {
        (Some((width, height)), ..) => format!("video {codec} {width}x{height}"),
        (None, Some(rate), Some(channels)) => format!("audio {codec} {rate} Hz {channels} ch"),
        _ => codec,
    }
}

/// A publisher in sentences.
fn name(member: &Member) -> String {
    let (id, proto) = (member.id.0, member.proto);
    match &member.announcement.encoder {
        Some(encoder) => format!("publisher {id} ({proto}, {encoder})"),
        None => format!("publisher {id} ({proto})"),
    }
}

impl State {
    /// Something stands in for missing media up to channel time `until`.
    pub(super) fn note_cover(&mut self, until: Ticks, cover: Cover) {
        let hole = self.record.hole.get_or_insert(Hole {
            from: until,
            until,
            cover: Cover::Gap,
        });
        let changes = hole.from == until || hole.cover != cover;
        (hole.until, hole.cover) = (until, cover);
        if changes {
            let at = wall_time(until, Timescale::CHANNEL, self.record.epoch);
            self.record.note(at, &Happening::HoleBegan { cover });
        }
    }

    /// A unit goes on air: the hole is over when it lies behind it.
    pub(super) fn note_media(&mut self, unit: &AccessUnit) {
        let leads = unit.kind == MediaKind::Video || self.program.track(MediaKind::Video).is_none();
        let Some(hole) = self.record.hole.filter(|_| leads) else {
            return;
        };
        let scale = match unit.kind {
            MediaKind::Video => Timescale::CHANNEL,
            MediaKind::Audio => {
                let track = self.program.track(MediaKind::Audio);
                track.map_or(Timescale::CHANNEL, |track| track.timescale)
            }
        };
        let time = rescale(unit.pts, scale, Timescale::CHANNEL);
        if time >= hole.until {
            self.record.hole = None;
            let wall = |time| wall_time(time, Timescale::CHANNEL, self.record.epoch);
            let (from, to) = (wall(hole.from), wall(time));
            self.record.note(to, &Happening::HoleEnded { from, to });
        }
    }

    fn member(&mut self, id: MemberId) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.id == id)
    }

    pub(super) fn note_joined(&mut self, id: MemberId, at: Wall) {
        if self.on_air.is_none() {
            return;
        }
        if let Some(who) = self.member(id).map(|member| name(member)) {
            self.record.note(at, &Happening::StandingBy { who });
        }
    }

    pub(super) fn note_left(&mut self, id: MemberId, at: Wall, now: Duration) {
        let on_air = self.on_air == Some(id);
        let Some(member) = self.member(id) else {
            return;
        };
        let (who, stalls) = (name(member), member.observer.stalls(now));
        self.record.past_stalls += stalls;
        if on_air {
            self.record.lost = Some(now);
        }
        if self.wanted == Some(id) {
            self.wanted = None;
        }
        if !self.ended {
            self.record.note(at, &Happening::Lost { who, on_air });
        }
    }

    /// A unit goes on air: writes down who took it from whom, `before`, and who is back.
    pub(super) fn note_air(&mut self, before: Option<MemberId>, at: Wall, now: Duration) {
        let last_aired = self.record.last_aired.replace(now);
        let away = now.saturating_sub(last_aired.unwrap_or(now));
        let Some(holder) = self.on_air else { return };
        let stays = before == Some(holder);
        if stays && self.record.story.state() != story::State::Silent {
            return;
        }
        let by_hand = self.wanted.take_if(|wanted| *wanted == holder).is_some();
        let lost = self.record.lost.take();
        let Some(member) = self.members.iter_mut().find(|member| member.id == holder) else {
            return;
        };
        let who = name(member);
        let switched = |cause: Cause| {
            (
                Happening::Switched {
                    who: who.clone(),
                    cause,
                },
                cause.text(),
            )
        };
        let returned = || {
            let reason = format!("media came again after {:.1} s", away.as_secs_f64());
            (
                Happening::Returned {
                    who: who.clone(),
                    away,
                },
                reason,
            )
        };
        let (what, reason) = match (before, last_aired) {
            _ if stays => returned(),
            _ if by_hand => switched(Cause::ByHand),
            (Some(_), _) => switched(Cause::Silent(away)),
            (None, None) => (Happening::OnAir { who }, "it came first".to_owned()),
            // It was there already when the one before went.
            (None, Some(_)) if lost.is_some_and(|lost| member.joined <= lost) => {
                switched(Cause::Left)
            }
            (None, Some(_)) => returned(),
        };
        member.reason = reason;
        self.record.note(at, &what);
    }

    /// How many publishers stand by, and how many are silent.
    pub(super) fn standings(&self, now: Duration) -> (usize, usize) {
        let count = |standing| {
            let members = self.members.iter();
            let standings = members.map(|member| self.standing(member, now));
            standings.filter(|found| *found == standing).count()
        };
        (count(Standing::Standby), count(Standing::Silent))
    }

    /// Pauses of all publishers since the stream began.
    pub(super) fn stalls(&self, now: Duration) -> Stalls {
        let mut stalls = self.record.past_stalls;
        for member in &self.members {
            stalls += member.observer.stalls(now);
        }
        stalls
    }

    fn standing(&self, member: &Member, now: Duration) -> Standing {
        if member.is_silent(now, self.record.around.silence) {
            Standing::Silent
        } else if self.on_air == Some(member.id) {
            Standing::OnAir
        } else {
            Standing::Standby
        }
    }

    fn member_status(&self, member: &Member, now: Duration) -> MemberStatus {
        let standing = self.standing(member, now);
        let quiet = now.saturating_sub(member.last_unit).as_secs_f64();
        let reason = match standing {
            Standing::OnAir => member.reason.clone(),
            Standing::Standby if self.on_air.is_some() => "another publisher is on air".to_owned(),
            Standing::Standby => "it waits for its next key picture".to_owned(),
            Standing::Silent => format!("nothing came for {quiet:.1} s"),
        };
        MemberStatus {
            id: member.id.0,
            proto: member.proto,
            peer: member.peer,
            ignored_capabilities: member.ignored.clone(),
            on_air: self.on_air == Some(member.id),
            standing,
            reason,
            facts: member.observer.facts(now),
            findings: member.doctor.findings(),
        }
    }
}

impl Stream {
    /// Counters for metrics.
    pub fn stats(&self) -> Stats {
        let now = self.clock.monotonic();
        let state = self.lock();
        let (standby, silent) = state.standings(now);
        let stalls = state.stalls(now);
        let facts = state.holder().map(|member| member.observer.facts(now));
        let (ingest_bps, frame_rate) =
            facts.map_or((0.0, 0.0), |facts| (facts.bitrate_bps, facts.frame_rate));
        Stats {
            standby,
            silent,
            stalls: stalls.count,
            stall_seconds: stalls.total.as_secs_f64(),
            counts: state.record.story().counts(),
            ingest_bps,
            frame_rate,
            repairs: state.program.repairs(),
            drift_seconds: state.program.drift().seconds(Timescale::CHANNEL),
            members: state.members.len(),
            proto: state.holder().map_or("", |member| member.proto),
            ..state.stats
        }
    }

    /// Publisher sessions, in the order in which they came.
    pub fn members(&self) -> Vec<MemberStatus> {
        let now = self.clock.monotonic();
        let state = self.lock();
        let members = state.members.iter();
        members
            .map(|member| state.member_status(member, now))
            .collect()
    }

    /// Everything about the stream.
    pub fn health(&self) -> Health {
        let members = self.members();
        let state = self.lock();
        let story = state.record.story();
        Health {
            id: self.id,
            channel_id: self.admission.channel_id.clone(),
            alias: self.admission.alias.clone(),
            capabilities: self.admission.capabilities.clone(),
            tags: self.admission.tags.clone(),
            state: story.state(),
            since: story.since(),
            members,
            history: story.incidents().cloned().collect(),
            repairs: state.program.repairs(),
        }
    }

    /// Gives the air to a publisher: at once where it has sent a key unit, else with its next one.
    pub fn switch_to(&self, id: u64) -> Result<(), SwitchError> {
        let monotonic = self.clock.monotonic();
        let mut state = self.lock();
        if state.ended {
            return Err(SwitchError::Ended);
        }
        let now = state.read(&self.clock);
        let found = state.members.iter().find(|member| member.id.0 == id);
        let member = found.ok_or(SwitchError::Unknown(id))?;
        if state.on_air == Some(member.id) {
            return Err(SwitchError::OnAir(id));
        }
        if state.standing(member, monotonic) == Standing::Silent {
            return Err(SwitchError::Silent(id));
        }
        let ready = member.warm.is_ready();
        state.wanted = Some(MemberId(id));
        if ready {
            state.take_the_air(MemberId(id), now, monotonic);
            state.drain(now);
        }
        Ok(())
    }

    /// Writes down what happened to the stream elsewhere, such as in its transcoder.
    pub fn note(&self, what: &Happening) {
        self.lock().record.note(self.clock.wall(), what);
    }

    /// Lets the doctor look at every publisher, and writes down that the one on air is silent.
    pub(in crate::hub) fn examine(&self) {
        let (now, at) = (self.clock.monotonic(), self.clock.wall());
        let webrtc = self.wishes.needs().borrow().picture;
        let mut guard = self.lock();
        let state = &mut *guard;
        let on_air = state.on_air;
        let silence = state.record.around.silence;
        let early = |last: Duration| now.saturating_sub(last) < EXAMINED_EVERY;
        if !state.record.examined.is_some_and(early) {
            state.record.examined = Some(now);
            let repairs = state.program.repairs();
            for member in &mut state.members {
                let facts = member.observer.facts(now);
                let around = Surroundings {
                    on_air: on_air == Some(member.id),
                    repairs,
                    webrtc,
                    ..state.record.around
                };
                for change in member.doctor.examine(now, &facts, &around) {
                    state.record.log(What::Finding(member.id, change));
                }
            }
        }
        let silent = state.holder().and_then(|holder| {
            let quiet = now.saturating_sub(holder.last_unit);
            let who = || name(holder);
            (quiet > silence).then(|| Happening::Silent { who: who(), quiet })
        });
        if state.record.story.state() == story::State::OnAir
            && let Some(silent) = silent
        {
            state.record.note(at, &silent);
        }
    }
}

#[cfg(test)]
mod tests;
