//! The renditions of a stream: which are listed, who has media of a segment, who leaves.

use std::sync::Arc;

use super::state::State;
use crate::base::clock::Wall;
use crate::hub::NewRendition;
use crate::hub::boundary::Cursor;
use crate::hub::program::Missing;
use crate::hub::story::Cover;
use crate::hub::tap::Event;
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

pub(super) struct Listed {
    pub(super) rendition: Arc<Rendition>,
    pub(super) cursor: Cursor,
    pub(super) flow: Flow,
    /// The configuration of the units that the next segment opens with.
    pub(super) next_track: Option<Arc<Track>>,
}

/// What a rendition's playlist gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Media.
    Live,
    /// Media from the next discontinuity on, gaps before.
    Joining,
    /// Gaps up to this channel time, so that its players can leave.
    Leaving(Ticks),
    /// Nothing.
    Gone,
}

impl State {
    /// Tells who has no media of what `boundary` opens.
    pub(super) fn state_gap(&mut self, boundary: &Boundary, missing: Missing) {
        let (video, audio) = (self.source_video, self.source_audio);
        let outlets = &mut self.outlets;
        for listed in &mut self.renditions {
            let id = listed.rendition.id;
            let own = match missing {
                Missing::SourceVideo => Some(id) == video,
                Missing::SourceAudio => Some(id) == audio,
                Missing::Video => listed.rendition.kind() == MediaKind::Video,
                Missing::Everything => true,
            };
            if own && listed.flow == Flow::Live {
                listed.cursor.pass(boundary);
                outlets
                    .iter_mut()
                    .for_each(|outlet| outlet.handle_gap(id, boundary));
            }
        }
        // With rungs that go on, a hold has told of the boundary.
        if matches!(missing, Missing::Video | Missing::Everything) {
            self.note_cover(boundary.time, Cover::Gap);
            self.stats.segments += 1;
            self.pass_on(boundary);
        }
    }

    /// Those that left go on with gaps for one window, so that their players find the others.
    pub(super) fn pass_on(&mut self, boundary: &Boundary) {
        let outlets = &mut self.outlets;
        for listed in &mut self.renditions {
            let id = listed.rendition.id;
            let over = match listed.flow {
                Flow::Live | Flow::Gone => continue,
                // A discontinuity may be what it waits for.
                Flow::Joining if boundary.discontinuity => continue,
                Flow::Joining => false,
                Flow::Leaving(until) => boundary.time >= until,
            };
            if over {
                listed.flow = Flow::Gone;
                outlets
                    .iter_mut()
                    .for_each(|outlet| outlet.handle_removed(id));
            } else {
                listed.cursor.pass(boundary);
                outlets
                    .iter_mut()
                    .for_each(|outlet| outlet.handle_gap(id, boundary));
            }
        }
    }

    /// A rendition gets no media any more.
    pub(super) fn retire(&mut self, id: RenditionId, now: Wall) {
        let until = self.program.time(now) + self.window;
        let listed = self.listed;
        if let Some(retired) = self.renditions.get_mut(usize::from(id.0))
            && matches!(retired.flow, Flow::Live | Flow::Joining)
        {
            // What the publisher sends is there for taps, whether it is listed or not.
            let is_over = !retired.rendition.source;
            retired.flow = if listed {
                Flow::Leaving(until)
            } else {
                // Nobody was told of it.
                self.outlets
                    .iter_mut()
                    .for_each(|outlet| outlet.handle_removed(id));
                Flow::Gone
            };
            if is_over {
                self.taps.tell(&Event::Removed(id));
            }
        }
        self.stale_list = true;
    }

    /// The source's rendition is made by a transcoder from the next discontinuity on (decision 15).
    pub(super) fn replace_source(&mut self, new: &NewRendition) -> Option<RenditionId> {
        let id = self.source_video?;
        let listed = self.renditions.get_mut(usize::from(id.0))?;
        let left = matches!(listed.flow, Flow::Leaving(_)) && listed.rendition.name == new.name;
        if !left {
            return None;
        }
        let track = Arc::new(new.track.clone());
        listed.flow = Flow::Joining;
        listed.rendition = Arc::new(Rendition {
            track: track.clone(),
            source: false,
            peak_bps: new.peak_bps,
            average_bps: new.average_bps,
            frame_rate_millis: new.frame_rate_millis,
            ..(*listed.rendition).clone()
        });
        listed.next_track = Some(track);
        let rendition = listed.rendition.clone();
        self.taps.tell(&Event::Rendition(rendition));
        self.source_video = None;
        self.program.disconnect();
        self.stale_list = true;
        Some(id)
    }

    /// Passes a rung's unit on.
    pub(super) fn rung_unit(&mut self, id: RenditionId, unit: AccessUnit) {
        let Some(listed) = self.renditions.get_mut(usize::from(id.0)) else {
            return;
        };
        let scale = listed.rendition.track.timescale;
        if matches!(listed.flow, Flow::Live | Flow::Joining) {
            self.taps.unit(id, &unit);
        }
        let listed = &mut self.renditions[usize::from(id.0)];
        let mut cursor = listed.cursor;
        let opened = self.program.open_rung(&mut cursor, &unit, scale);
        if listed.flow == Flow::Joining
            && opened.last().is_some_and(|boundary| boundary.discontinuity)
        {
            listed.flow = Flow::Live;
        }
        if listed.flow == Flow::Live {
            listed.cursor = cursor;
            if cursor.is_open() {
                self.deliver(id, unit, &opened);
            }
        }
    }

    pub(super) fn deliver(&mut self, id: RenditionId, unit: AccessUnit, opened: &[Boundary]) {
        let listed = &mut self.renditions[usize::from(id.0)];
        if let Some(track) = listed.next_track.take_if(|_| !opened.is_empty()) {
            self.outlets
                .iter_mut()
                .for_each(|outlet| outlet.handle_track(id, &track));
        }
        let Some((last, others)) = self.outlets.split_last_mut() else {
            return;
        };
        for outlet in others {
            outlet.handle_unit(id, unit.clone(), opened);
        }
        last.handle_unit(id, unit, opened);
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
        self.taps.tell(&Event::Rendition(rendition.clone()));
        self.stale_list = true;
        self.renditions.push(Listed {
            rendition,
            cursor: Cursor::default(),
            flow: Flow::Live,
            next_track: None,
        });
        Some(id)
    }

    /// Lists the stream as soon as everything that is to be in its first multivariant playlist is known;
    /// a source track that comes later is added then.
    pub(super) fn consider_listing(&mut self, now: Wall) {
        let Some(first) = self.program.first_arrival() else {
            return;
        };
        if self.listed {
            if self.stale_list {
                self.relist();
            }
            return;
        }
        let waited = self.program.time(now) - first;
        let planned = match &self.plan {
            None => false,
            Some(plan) => plan.names.iter().all(|name| {
                self.renditions
                    .iter()
                    .any(|listed| listed.rendition.name == *name)
            }),
        };
        if self.placed {
            self.listed = planned;
            self.relist();
            return;
        }
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
            matches!(listed.flow, Flow::Live | Flow::Joining)
                && (!source_video || passthrough)
                && (!source_audio || !replaced)
        };
        self.renditions
            .iter()
            .filter(wanted)
            .map(|listed| listed.rendition.id)
            .collect()
    }

    /// Whether the source video is a rendition of its own: its key units fit, and the ladder does not
    /// crop. `None` until both are known.
    pub(super) fn source_may_be_listed(&self) -> Option<bool> {
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
                && listed.flow == Flow::Live
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
