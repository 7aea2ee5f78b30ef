//! Which renditions a room gets. In: what a tap tells of a stream's renditions, and the units of a source
//! that is to be proved. Out: up to three pictures and a sound, what is needed that nobody makes yet, and what
//! an operator should know. Pure: no clock, no queue.
//!
//! WebRTC carries H.264 without B-frames and Opus. Rungs of a ladder have no B-frames, and those of one aspect
//! are each other's layers. Without rungs it is the source itself, if it is H.264 and has none: its SPS says
//! so, or it is watched. Otherwise a picture is made for the room alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::hub::tap::{Event, Needs};
use crate::media::{
    AccessUnit, CodecConfig, MediaKind, Rendition, RenditionId, Ticks, Timescale, Track,
};

/// Layers of a picture.
pub const MOST_LAYERS: usize = 3;
/// Pixels of the largest layer: 1080p, with the rows that fill up a macroblock. Rooms are watched in windows,
/// and an upload of more is not what a server expects of a camera.
const MOST_PIXELS: u64 = 1920 * 1088;
/// Two aspects are the same up to this share of each other: rungs are rounded to even pixels.
const ASPECT_SHARE: u64 = 50;
/// A source that says nothing of B-frames is watched for so many pictures, or for so long.
const PROOF_PICTURES: u32 = 60;
const PROOF_TIME: Ticks = Ticks(2 * 90_000);
/// Presentation and decode time of one picture differ by less, whatever their roundings: 5 ms in 90 kHz.
const ROUNDING: Ticks = Ticks(450);
/// How long rungs of a stream that has a ladder are waited for.
const LADDER_WITHIN: Duration = Duration::from_secs(6);
/// `profile_idc` of baseline, which has no B-frames (ITU-T H.264 §A.2.1).
const BASELINE: u8 = 66;

/// Said where a picture is made for the room alone.
const HAS_B_FRAMES: &str =
    "the source has B-frames, which rooms do not carry: one rung is encoded for them";
const IS_NO_H264: &str = "the source is no H.264 that rooms carry: one rung is encoded for them";

/// What to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Pictures, the lowest first; empty while there is none to be sent.
    pub pictures: Vec<RenditionId>,
    /// The sound, if there is one to be sent.
    pub sound: Option<RenditionId>,
    /// What has to be made.
    pub needs: Needs,
    /// Whether there is more to come: what exists is not all of it yet.
    pub waits: bool,
    /// A source whose units have to be seen before it is known what to send.
    pub prove: Option<RenditionId>,
    /// What an operator should know.
    pub note: Option<&'static str>,
}

/// What is known of B-frames in a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Watching { pictures: u32, since: Option<Ticks> },
    None,
    Some,
}

/// Chooses. See the module.
#[derive(Debug)]
pub struct Chooser {
    most: usize,
    has_ladder: bool,
    /// What exists, with the configuration that is in force.
    known: BTreeMap<RenditionId, (Arc<Rendition>, Arc<Track>)>,
    proof: Proof,
    /// Since when there is a picture of a stream with a ladder, and no rung.
    waiting_since: Option<Duration>,
}

impl Chooser {
    /// Of a stream; of up to `most` layers.
    pub fn new(has_ladder: bool, most: usize) -> Chooser {
        Chooser {
            most: most.clamp(1, MOST_LAYERS),
            has_ladder,
            known: BTreeMap::new(),
            proof: Proof::Some,
            waiting_since: None,
        }
    }

    /// Takes what a tap tells. Returns whether the plan may be another one.
    pub fn handle(&mut self, event: &Event) -> bool {
        match event {
            Event::Rendition(rendition) => {
                let track = rendition.track.clone();
                self.insert(rendition.clone(), track);
                true
            }
            Event::Track(id, track) => {
                let Some((rendition, before)) = self.known.get(id).cloned() else {
                    return false;
                };
                let changed = before != *track;
                self.insert(rendition, track.clone());
                changed
            }
            Event::Removed(id) => self.known.remove(id).is_some(),
            Event::Unit(id, unit) => self.watch(*id, unit),
            Event::Break | Event::End => false,
        }
    }

    /// What is known of a rendition.
    pub fn rendition(&self, id: RenditionId) -> Option<(&Arc<Rendition>, &Arc<Track>)> {
        let (rendition, track) = self.known.get(&id)?;
        Some((rendition, track))
    }

    fn insert(&mut self, rendition: Arc<Rendition>, track: Arc<Track>) {
        if rendition.source && track.kind() == MediaKind::Video {
            self.proof = proof_of(&track);
        }
        self.known.insert(rendition.id, (rendition, track));
    }

    /// A unit of a source that is watched, or that is sent as one without B-frames.
    fn watch(&mut self, id: RenditionId, unit: &AccessUnit) -> bool {
        if self.proof == Proof::Some || unit.kind != MediaKind::Video || !self.is_source(id) {
            return false;
        }
        if (unit.pts - unit.dts).abs() > ROUNDING {
            self.proof = Proof::Some;
            return true;
        }
        if let Proof::Watching { pictures, since } = &mut self.proof {
            let since = *since.get_or_insert(unit.dts);
            *pictures += 1;
            if *pictures >= PROOF_PICTURES || unit.dts - since >= PROOF_TIME {
                self.proof = Proof::None;
                return true;
            }
        }
        false
    }

    fn is_source(&self, id: RenditionId) -> bool {
        self.known
            .get(&id)
            .is_some_and(|(rendition, _)| rendition.source)
    }

    fn of_kind(&self, kind: MediaKind) -> impl Iterator<Item = &(Arc<Rendition>, Arc<Track>)> {
        let all = self.known.values();
        all.filter(move |(_, track)| track.kind() == kind)
    }

    /// What to send now. `now`: monotonic.
    pub fn plan(&mut self, now: Duration) -> Plan {
        let mut plan = Plan::default();
        self.plan_picture(&mut plan, now);
        self.plan_sound(&mut plan);
        plan
    }

    fn plan_picture(&mut self, plan: &mut Plan, now: Duration) {
        let source = self
            .of_kind(MediaKind::Video)
            .find(|(rendition, _)| rendition.source)
            .cloned();
        let made = |(rendition, track): &&(Arc<Rendition>, Arc<Track>)| {
            !rendition.source && is_sendable(track)
        };
        // Those made for taps only have ids and names of their own, and are rungs like others.
        let mut rungs: Vec<Sized> = self
            .of_kind(MediaKind::Video)
            .filter(made)
            .filter_map(|(rendition, track)| Sized::of(rendition.id, track))
            .collect();
        let is_for_rooms = |rung: &Sized| {
            let known = self.known.get(&rung.id);
            known.is_some_and(|(rendition, _)| &*rendition.name == ROOM)
        };
        let of_ladder = rungs.iter().any(|rung| !is_for_rooms(rung));
        if of_ladder {
            rungs.retain(|rung| !is_for_rooms(rung));
            self.waiting_since = None;
            plan.pictures = choose(rungs, self.most);
            return;
        }
        let Some((source, track)) = source else {
            self.waiting_since = None;
            plan.pictures = choose(rungs, self.most);
            return;
        };
        if self.has_ladder && rungs.is_empty() {
            let since = *self.waiting_since.get_or_insert(now);
            if now.saturating_sub(since) < LADDER_WITHIN {
                plan.waits = true;
                return;
            }
        }
        let proof = if is_sendable(&track) {
            self.proof
        } else {
            Proof::Some
        };
        match proof {
            Proof::None => plan.pictures = vec![source.id],
            Proof::Watching { .. } => {
                plan.prove = Some(source.id);
                plan.waits = true;
            }
            Proof::Some => {
                plan.needs.picture = true;
                plan.waits = rungs.is_empty();
                plan.pictures = choose(rungs, self.most);
                plan.note = Some(match &track.config {
                    CodecConfig::Avc(_) if is_sendable(&track) => HAS_B_FRAMES,
                    _ => IS_NO_H264,
                });
            }
        }
    }

    fn plan_sound(&self, plan: &mut Plan) {
        let all = || self.of_kind(MediaKind::Audio);
        let source = all().find(|(rendition, track)| rendition.source && is_audible(track));
        if let Some((source, _)) = source {
            plan.sound = Some(source.id);
            return;
        }
        plan.needs.opus = all().any(|(_, track)| !is_audible(track));
        let made = all().find(|(_, track)| is_audible(track));
        plan.sound = made.map(|(made, _)| made.id);
        plan.waits |= plan.needs.opus && plan.sound.is_none();
    }
}

/// Name of the picture that is made for rooms alone.
const ROOM: &str = "room";
/// Channels of Opus that WebRTC carries (RFC 7587 §4.1).
const MOST_CHANNELS: u8 = 2;

/// Whether browsers take it by WebRTC, B-frames aside.
fn is_sendable(track: &Track) -> bool {
    let CodecConfig::Avc(config) = &track.config else {
        return false;
    };
    track.has_common_samples() && !config.interlaced && track.timescale == Timescale::CHANNEL
}

/// Whether browsers take it by WebRTC: RFC 7587 knows Opus of one and two channels.
fn is_audible(track: &Track) -> bool {
    match &track.config {
        CodecConfig::Opus(config) => config.channels <= MOST_CHANNELS,
        _ => false,
    }
}

fn proof_of(track: &Track) -> Proof {
    let CodecConfig::Avc(config) = &track.config else {
        return Proof::Some;
    };
    match config.max_reorder_frames {
        Some(0) => Proof::None,
        Some(_) => Proof::Some,
        None if config.profile == BASELINE => Proof::None,
        None => Proof::Watching {
            pictures: 0,
            since: None,
        },
    }
}

/// A rung with its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sized {
    id: RenditionId,
    width: u64,
    height: u64,
}

impl Sized {
    fn of(id: RenditionId, track: &Track) -> Option<Sized> {
        let (width, height) = track.resolution()?;
        Some(Sized {
            id,
            width: width.into(),
            height: height.into(),
        })
    }

    fn has_aspect_of(&self, other: &Sized) -> bool {
        let (one, two) = (self.width * other.height, other.width * self.height);
        one.abs_diff(two) * ASPECT_SHARE <= one.max(two)
    }
}

/// The highest that is not too large, the lowest of its aspect, and the one between them that is next to half
/// of the highest; the lowest first.
fn choose(mut rungs: Vec<Sized>, most: usize) -> Vec<RenditionId> {
    rungs.sort_by_key(|rung| (rung.width * rung.height, rung.id));
    let fits = |rung: &&Sized| rung.width * rung.height <= MOST_PIXELS;
    let Some(high) = rungs.iter().rfind(fits).or(rungs.first()).copied() else {
        return Vec::new();
    };
    let smaller = |rung: &Sized| {
        rung.width * rung.height < high.width * high.height && rung.has_aspect_of(&high)
    };
    rungs.retain(smaller);
    let mut chosen = vec![high.id];
    if most > 1 && !rungs.is_empty() {
        let low = rungs.remove(0);
        chosen.insert(0, low.id);
    }
    if most > 2 {
        let from_half = |rung: &&Sized| (rung.width * 2).abs_diff(high.width);
        if let Some(medium) = rungs.iter().min_by_key(from_half) {
            chosen.insert(1, medium.id);
        }
    }
    chosen
}

#[cfg(test)]
pub(crate) mod tests;
