//! Which of a stream's renditions a publish sends, and how: renditions and units of a tap to FLV tags with
//! their times. In: events of a tap. Out: messages of a session. Not here: the connection.
//!
//! The encoder's own picture and sound go out as they came. Where there is none to go out (the sound is Opus and
//! the ladder has made AAC of it, the encoder's picture is no rendition any more), the best rung does.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::session::Session;
use crate::format::flv::write;
use crate::media::{
    AccessUnit, CodecConfig, MediaKind, Rendition, RenditionId, Ticks, Timescale, Track, rescale,
};

/// §7.1.4 and §7.1.5 of RTMP 1.0, and AMF0 data messages (§7.1.2).
const TYPE_AUDIO: u8 = 8;
const TYPE_VIDEO: u8 = 9;
const TYPE_DATA: u8 = 18;

/// Renditions of a stream.
#[derive(Debug, Default)]
pub(super) struct Offer {
    all: BTreeMap<RenditionId, Arc<Rendition>>,
}

/// What is sent of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) video: Option<RenditionId>,
    pub(super) audio: Option<RenditionId>,
}

impl Choice {
    /// Those that there are.
    pub(super) fn ids(&self) -> Vec<RenditionId> {
        self.video.into_iter().chain(self.audio).collect()
    }
}

impl Offer {
    pub(super) fn add(&mut self, rendition: Arc<Rendition>) {
        self.all.insert(rendition.id, rendition);
    }

    /// Another configuration of a rendition.
    pub(super) fn set_track(&mut self, id: RenditionId, track: Arc<Track>) {
        if let Some(known) = self.all.get_mut(&id) {
            Arc::make_mut(known).track = track;
        }
    }

    pub(super) fn remove(&mut self, id: RenditionId) {
        self.all.remove(&id);
    }

    pub(super) fn rendition(&self, id: RenditionId) -> Option<&Arc<Rendition>> {
        self.all.get(&id)
    }

    /// What to send: the source before rungs, and of rungs that with the highest bit rate. AAC before Opus,
    /// which few servers take.
    pub(super) fn choice(&self) -> Choice {
        let of = |kind| self.all.values().filter(move |one| one.kind() == kind);
        let video = of(MediaKind::Video).max_by_key(|one| (one.source, one.average_bps));
        let is_aac = |one: &Rendition| matches!(one.track.config, CodecConfig::Aac(_));
        let audio =
            of(MediaKind::Audio).max_by_key(|one| (is_aac(one), one.source, one.average_bps));
        Choice {
            video: video.map(|one| one.id),
            audio: audio.map(|one| one.id),
        }
    }
}

/// One kind of media on its way out.
#[derive(Debug)]
struct Lane {
    track: Arc<Track>,
    /// Whether its configuration was sent.
    told: bool,
    /// Decode time of the last unit: none goes back.
    last_ms: i64,
}

/// The media of one publish.
#[derive(Debug, Default)]
pub(super) struct Publication {
    video: Option<Lane>,
    audio: Option<Lane>,
    frame_rate_millis: u32,
    /// Channel time at which the publish begins, milliseconds.
    begins_ms: Option<i64>,
    /// Units sent.
    pub(super) units: u64,
    /// Units that were too long for RTMP.
    pub(super) too_long: u64,
}

impl Publication {
    /// What is sent from now on, or `None`: no such kind.
    pub(super) fn set(&mut self, kind: MediaKind, rendition: Option<&Rendition>) {
        if let Some(rendition) = rendition.filter(|_| kind == MediaKind::Video) {
            self.frame_rate_millis = rendition.frame_rate_millis;
        }
        match rendition {
            Some(rendition) => self.handle_track(kind, rendition.track.clone()),
            None => *self.lane(kind) = None,
        }
    }

    /// Another configuration, sent before the next unit.
    pub(super) fn handle_track(&mut self, kind: MediaKind, track: Arc<Track>) {
        let lane = self.lane(kind);
        let last_ms = lane.as_ref().map_or(0, |lane| lane.last_ms);
        let same = lane
            .as_ref()
            .is_some_and(|lane| lane.told && lane.track == track);
        *lane = Some(Lane {
            track,
            told: same,
            last_ms,
        });
    }

    /// FourCCs that a server has to know.
    pub(super) fn four_ccs(&self) -> Vec<&'static str> {
        let lanes = self.video.iter().chain(&self.audio);
        lanes
            .filter_map(|lane| write::four_cc(&lane.track.config))
            .collect()
    }

    /// Sends a unit, and before it what has to be there: of the first one, metadata and the configuration of
    /// both kinds. The publish begins with a picture, where there are pictures.
    pub(super) fn handle_unit(&mut self, unit: &AccessUnit, session: &mut Session) {
        let Some(lane) = self.lane(unit.kind) else {
            return;
        };
        let (scale, last_ms) = (lane.track.timescale, lane.last_ms);
        let millis = |ticks: Ticks| rescale(ticks, scale, Timescale::MILLIS).0;
        let (dts_ms, pts_ms) = (millis(unit.dts), millis(unit.pts));
        let begins_ms = match self.begins_ms {
            Some(begins_ms) => begins_ms,
            None if unit.kind == MediaKind::Audio && self.video.is_some() => return,
            None => {
                self.begins_ms = Some(dts_ms);
                self.announce(session);
                dts_ms
            }
        };
        let since_ms = dts_ms - begins_ms;
        if since_ms < 0 && last_ms == 0 {
            // Sound from before the first picture.
            return;
        }
        let at_ms = since_ms.max(last_ms);
        let type_id = match unit.kind {
            MediaKind::Video => TYPE_VIDEO,
            MediaKind::Audio => TYPE_AUDIO,
        };
        let time = u32::try_from(at_ms & 0xffff_ffff).unwrap_or(0);
        let Some(lane) = self.lane(unit.kind) else {
            return;
        };
        lane.last_ms = at_ms;
        if !lane.told {
            tell(lane, type_id, time, session);
        }
        // The picture is shown when it was to be, even where its decode time was pushed on.
        let shown_ms = pts_ms - begins_ms - at_ms;
        let head = write::frame_head(&lane.track.config, unit, shown_ms);
        let sent = session.send(type_id, time, [&head, &unit.data]);
        self.units += u64::from(sent);
        self.too_long += u64::from(!sent);
    }

    fn lane(&mut self, kind: MediaKind) -> &mut Option<Lane> {
        match kind {
            MediaKind::Video => &mut self.video,
            MediaKind::Audio => &mut self.audio,
        }
    }

    /// Metadata and configurations, at time zero.
    fn announce(&mut self, session: &mut Session) {
        let lanes = self.video.iter().chain(&self.audio);
        let tracks: Vec<&Track> = lanes.map(|lane| &*lane.track).collect();
        let body = write::metadata(&tracks, self.frame_rate_millis);
        session.send(TYPE_DATA, 0, [&body, &[]]);
        for (lane, type_id) in [(&mut self.video, TYPE_VIDEO), (&mut self.audio, TYPE_AUDIO)] {
            if let Some(lane) = lane {
                tell(lane, type_id, 0, session);
            }
        }
    }
}

fn tell(lane: &mut Lane, type_id: u8, time: u32, session: &mut Session) {
    let config = &lane.track.config;
    let head = write::config_head(config);
    session.send(type_id, time, [&head, &write::record(config)]);
    lane.told = true;
}

#[cfg(test)]
mod tests;
