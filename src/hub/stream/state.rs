//! What a stream's lock protects: members, renditions, and the way of a unit to those who take it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::MemberId;
use super::health::{Record, Stats};
use crate::hub::NewRendition;
use crate::hub::announcement::Announcement;
use crate::hub::boundary::{Cursor, Opened};
use crate::hub::doctor::Doctor;
use crate::hub::observer::Observer;
use crate::hub::outlet::Outlet;
use crate::hub::program::{Output, Program};
use crate::hub::subscriber::{Event, Feed};
use crate::media::{
    AccessUnit, Boundary, CodecConfig, MediaKind, Rendition, RenditionId, Ticks, Track,
};

/// Renditions of one stream: ids are one byte, and no ladder comes near.
const MAX_RENDITIONS: usize = 64;
/// How long the first multivariant playlist waits for the ladder (90 kHz): a worker starts within a
/// second; on an overloaded machine viewers get the source after six.
const LADDER_WAIT: Ticks = Ticks(6 * 90_000);

/// What a transcoder will add.
pub(super) struct Plan {
    pub(super) names: Vec<Arc<str>>,
    /// Whether the source stays beside them: not when they are cropped.
    pub(super) keeps_source: bool,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: MemberId,
    pub(super) proto: &'static str,
    pub(super) peer: SocketAddr,
    pub(super) joined: Duration,
    /// Why it took the air; empty when it never did.
    pub(super) reason: String,
    pub(super) observer: Observer,
    pub(super) doctor: Doctor,
    pub(super) announcement: Announcement,
    pub(super) video: Option<Track>,
    pub(super) audio: Option<Track>,
    pub(super) last_unit: Duration,
    pub(super) eviction: watch::Sender<Option<String>>,
}

pub(super) struct Listed {
    pub(super) rendition: Arc<Rendition>,
    pub(super) cursor: Cursor,
    pub(super) live: bool,
}

pub(super) struct State {
    pub(super) program: Program,
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
    pub(super) listed_ids: Vec<RenditionId>,
    /// Renditions came or went since the list was made.
    pub(super) stale_list: bool,
    pub(super) outlets: Vec<Box<dyn Outlet>>,
    pub(super) feeds: Vec<Feed>,
    pub(super) thumbnail: Option<Bytes>,
    pub(super) stats: Stats,
    pub(super) ended: bool,
}

impl State {
    pub(super) fn holder(&self) -> Option<&Member> {
        let on_air = self.on_air?;
        self.members.iter().find(|member| member.id == on_air)
    }

    /// Whether a member that is not on air takes it with this unit: nobody is there, or who is has been
    /// silent, and the unit can open a segment (decision 10).
    pub(super) fn takes_the_air(
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
        let free = self.wanted == Some(member)
            || holder.is_none_or(|holder| monotonic.saturating_sub(holder.last_unit) > silence);
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

    pub(super) fn drain(&mut self, now: Ticks) {
        while let Some(output) = self.program.poll_output() {
            match output {
                Output::Track(track) => {
                    self.record.note_track(now, &track);
                    self.source_track(&track);
                }
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

    pub(super) fn source_track(&mut self, track: &Arc<Track>) {
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

    pub(super) fn source_unit(
        &mut self,
        unit: AccessUnit,
        opened: &Opened,
        boundary: Option<Boundary>,
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
        let id = match unit.kind {
            MediaKind::Video => self.source_video,
            MediaKind::Audio => self.source_audio,
        };
        // A source video that is not listed is not packaged either.
        let wanted = unit.kind == MediaKind::Audio || self.source_may_be_listed() != Some(false);
        if let Some(id) = id.filter(|_| wanted) {
            self.deliver(id, unit, opened);
        }
    }

    pub(super) fn deliver(&mut self, id: RenditionId, unit: AccessUnit, opened: &[Boundary]) {
        let Some((last, others)) = self.outlets.split_last_mut() else {
            return;
        };
        for outlet in others {
            outlet.handle_unit(id, unit.clone(), opened);
        }
        last.handle_unit(id, unit, opened);
    }

    pub(super) fn feed(&mut self, event: &Event) {
        let lead = if self.program.track(MediaKind::Video).is_some() {
            MediaKind::Video
        } else {
            MediaKind::Audio
        };
        self.feeds.retain_mut(|feed| feed.send(event.clone(), lead));
    }

    pub(super) fn add(&mut self, new: NewRendition, source: bool) -> Option<RenditionId> {
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
    pub(super) fn consider_listing(&mut self, now: Ticks) {
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
            Some(plan) => plan.names.iter().all(|name| {
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

    pub(super) fn relist(&mut self) {
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
    pub(super) fn wanted_ids(&self) -> Vec<RenditionId> {
        let passthrough = self.source_may_be_listed() == Some(true);
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

    /// Whether the source video is a rendition of its own: its key units fit, and the ladder does not
    /// crop. `None` until both are known.
    fn source_may_be_listed(&self) -> Option<bool> {
        let keeps = self.plan.as_ref().map(|plan| plan.keeps_source);
        match (self.program.passthrough(), keeps) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }

    /// Whether a transcoded audio stands for a source audio that players cannot be given in every
    /// manifest (Opus; the default audio is AAC).
    pub(super) fn replaced_audio(&self) -> bool {
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
