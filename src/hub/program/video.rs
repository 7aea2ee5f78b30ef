//! The picture of what is on air: it leads, its key units open segments.

use std::mem::discriminant;
use std::sync::Arc;

use super::{LONGEST_STRETCH, Lead, Output, Program};
use crate::hub::mapping::{Mapping, Step};
use crate::media::codec::avc;
use crate::media::{
    AccessUnit, Boundary, CodecConfig, MediaKind, Ticks, Timescale, Track, rescale,
};

/// An encoder that is never less late than this is behind for good: its time is mapped anew.
const LASTING_LAG: Ticks = Ticks(90_000);
/// A session that was connected before keeps its place in time unless that lies this far before what is
/// published: then it has another idea of time altogether.
const WARM_REACH: Ticks = Ticks(10 * 90_000);

/// Furthest that a picture is shown from where it is decoded, either way. Sixteen B-frames at two pictures
/// a second take eight.
const LONGEST_REORDER: Ticks = Ticks(10 * 90_000);
/// Units of one segment: its longest, 10 s, at 1000 a second. More have broken times, by which no segment
/// ever ends.
const MAX_SEGMENT_UNITS: u32 = 10_000;

/// The shortest gap: every rendition that goes on has a picture or a sound frame in it.
pub(super) const SHORTEST_GAP: Ticks = Ticks(22_500);

/// A unit's place in channel time.
#[derive(Clone, Copy)]
struct Place {
    /// Presentation time.
    pts: Ticks,
    /// Decode time, the reorder delay added.
    dts: Ticks,
    /// Decode time of the next unit, where the frame rate is constant.
    next: Option<Ticks>,
    /// The first unit of a session, of a configuration, or after something was lost.
    first: bool,
}

impl Program {
    pub(super) fn video(&mut self, arrival: Ticks, unit: AccessUnit) {
        if self.video.is_none() || (self.wait_key && !unit.key) {
            self.repairs.dropped_units += 1;
            return;
        }
        let shift = rescale(unit.pts - unit.dts, self.video_scale, Timescale::CHANNEL);
        if shift.abs() > LONGEST_REORDER || self.segment_units >= MAX_SEGMENT_UNITS && !unit.key {
            // What refers to it cannot be decoded either.
            self.wait_key = true;
            self.repairs.dropped_units += 1;
            return;
        }
        let Some(place) = self.place(arrival, &unit) else {
            self.repairs.dropped_units += 1;
            return;
        };
        self.lead = Lead::Video;
        if self.declared.is_none() {
            self.declared = self.video.clone();
        }
        if !self.joins_source(place, unit.key) {
            self.decode_only(place, unit);
            return;
        }
        self.bridge_to_picture(place.pts);
        let joins = place.first || self.in_gap;
        if joins {
            self.close_hole(place.pts);
        }
        self.list(place, unit, joins);
        self.release_audio();
    }

    /// Maps a unit to channel time. `None` when it has no place.
    fn place(&mut self, arrival: Ticks, unit: &AccessUnit) -> Option<Place> {
        let carried_dts = rescale(unit.dts, self.video_scale, Timescale::CHANNEL);
        let carried_pts = rescale(unit.pts, self.video_scale, Timescale::CHANNEL);
        let carried_dts = self.grid.observe(carried_dts);
        let carried_pts = self.grid.snap(carried_pts);
        let late = |mapping: &mut Mapping| mapping.lasting_lag(MediaKind::Video) > LASTING_LAG;
        if unit.key && self.mapping.take_if(late).is_some() {
            self.repairs.time_jumps += 1;
            self.wait_key = true;
            self.promised_end = None;
        }
        if self.mapping.is_none() {
            self.mapping = Some(Mapping::new(self.anchor(arrival) - carried_pts));
            self.warm = false;
        } else if self.lead == Lead::Audio {
            // Video joins a stream that had none: tracks change.
            self.cutter.disconnect();
        }
        let mapping = self.mapping.as_mut().expect("anchored above");
        match mapping.handle_video(arrival, carried_dts) {
            Step::On => {}
            Step::Jump => {
                self.repairs.time_jumps += 1;
                self.promised_end = None;
            }
            Step::Hole(length) if length > LONGEST_STRETCH => {
                self.promised_end = None;
                self.wait_key = true;
                self.cutter.forget_keys();
                self.outputs.push_back(Output::Break);
                if !unit.key {
                    return None;
                }
            }
            Step::Hole(_) => {}
        }
        let first = std::mem::take(&mut self.wait_key);
        if first {
            self.delay = (carried_pts - carried_dts).max(Ticks::ZERO);
        }
        let shift = mapping.video_offset() + self.delay;
        Some(Place {
            pts: carried_pts + mapping.video_offset(),
            dts: carried_dts + shift,
            next: self.grid.after(carried_dts).map(|next| next + shift),
            first,
        })
    }

    /// Channel time of a session's first unit, which came at `arrival`: never before what is published.
    fn anchor(&self, arrival: Ticks) -> Ticks {
        let floor = self.published_end().max(self.shown);
        if self.warm && floor - arrival < WARM_REACH {
            arrival
        } else {
            arrival.max(floor)
        }
    }

    /// Whether a unit belongs into the source's own rendition. After something was lost that goes on with
    /// a key unit at or after everything that was published.
    fn joins_source(&mut self, place: Place, key: bool) -> bool {
        let margin = self.margin();
        let held = self.held.unwrap_or(Ticks(i64::MIN));
        if place.first {
            self.join_floor = self.video_end.map_or(held, |end| held.max(end));
        }
        if !self.packages_source() {
            return place.pts + margin >= self.join_floor;
        }
        if self.in_gap {
            let begun = place.pts >= self.cutter.segment_start() + SHORTEST_GAP;
            return key && begun && place.pts + margin >= held;
        }
        if place.first {
            return place.pts + margin >= self.join_floor;
        }
        if self.cutter.is_overlong(place.pts, margin) && self.rungs {
            if place.pts < held {
                self.open_gap();
                return false;
            }
            if !key {
                self.leave_passthrough();
            }
        }
        true
    }

    /// Whether players of the source's rendition can go on with this configuration: the codec and the size
    /// were fixed by the first multivariant playlist (decision 15).
    pub(super) fn stays_listed(&self, track: &Track) -> bool {
        if !track.has_common_samples() {
            return false;
        }
        let Some(declared) = self.declared.as_ref() else {
            return true;
        };
        let same_family = discriminant(&declared.config) == discriminant(&track.config);
        let within = declared.resolution().zip(track.resolution());
        let within = within.is_none_or(|((width, height), new)| new.0 <= width && new.1 <= height);
        same_family && within
    }

    /// The source cannot be listed after all: a transcoded rung takes its place behind a discontinuity
    /// (decisions 5 and 15).
    pub(super) fn leave_passthrough(&mut self) {
        if self.cutter.passthrough() != Some(true) {
            return;
        }
        self.in_gap = false;
        self.cutter.settle_as(false);
        self.cutter.disconnect();
        self.settled = false;
        self.tell_settled();
    }

    /// Says whether the source is listed, once that is settled. What browsers cannot decode is not, where
    /// rungs are made of it.
    pub(super) fn tell_settled(&mut self) {
        let Some(mut passthrough) = self.cutter.passthrough().filter(|_| !self.settled) else {
            return;
        };
        let plays = |track: &Arc<Track>| track.has_common_samples();
        if passthrough && self.rungs && !self.video.as_ref().is_none_or(plays) {
            self.cutter.settle_as(false);
            passthrough = false;
        }
        self.settled = true;
        self.outputs.push_back(Output::Settled { passthrough });
    }

    /// Passes a unit to those who decode.
    fn decode_only(&mut self, place: Place, unit: AccessUnit) {
        if !self.bridges() {
            self.wait_key |= place.first;
            self.repairs.dropped_units += 1;
            return;
        }
        if !self.in_gap && self.packages_source() && self.cutter.has_begun() {
            self.open_gap();
        }
        self.bridge_to_picture(place.pts);
        let frame = self.grid.frame().unwrap_or(Ticks(1));
        let boundary = if place.pts > self.shown {
            self.cut_in_gap(place.pts)
        } else {
            None
        };
        self.note_shown(place.pts + frame);
        self.outputs.push_back(Output::Unit {
            unit: AccessUnit {
                dts: place.dts,
                pts: place.pts,
                duration: None,
                ..unit
            },
            opened: Default::default(),
            boundary,
            listed: false,
        });
        if let Some(boundary) = boundary {
            if boundary.discontinuity {
                self.apply_next_audio();
            }
            self.begin_gap(boundary);
        }
        self.release_audio();
    }

    /// Puts a unit into the source's rendition, and cuts in front of it where a segment begins.
    fn list(&mut self, place: Place, unit: AccessUnit, first: bool) {
        let pts = place.pts;
        if self.next_audio.is_some() {
            self.cutter.disconnect();
        }
        if self.cutter.is_disconnected() && unit.key {
            self.promised_end = None;
        }
        let dts = match self.promised_end {
            Some(end) => end,
            None => self.video_end.map_or(place.dts, |end| place.dts.max(end)),
        };
        let duration = place.next.map(|next| next - dts);
        let duration = duration.filter(|duration| *duration > Ticks::ZERO);
        self.promised_end = duration.map(|duration| dts + duration);
        let end = self.promised_end.unwrap_or(dts + Ticks(1));
        self.video_end = Some(end);
        self.note_shown(end);
        if unit.key {
            let gap = self.stated_key_gap(&unit);
            self.cutter.observe_key(pts, gap, self.margin());
        }
        let boundary = self.cut_at(pts, dts, unit.key, first);
        self.segment_units = match boundary {
            Some(_) => 0,
            None => self.segment_units.saturating_add(1),
        };
        let unit = AccessUnit {
            dts,
            pts,
            duration,
            ..unit
        };
        let opened = self.video_cursor.open(
            self.cutter.ledger(),
            &unit,
            Timescale::CHANNEL,
            self.margin(),
        );
        self.outputs.push_back(Output::Unit {
            unit,
            opened,
            boundary,
            listed: true,
        });
        if boundary.is_some_and(|boundary| boundary.discontinuity) {
            self.apply_next_audio();
        }
    }

    fn cut_at(&mut self, pts: Ticks, dts: Ticks, key: bool, first: bool) -> Option<Boundary> {
        // What rungs have shown already cannot be opened in hindsight.
        if self.held.is_some_and(|held| pts + self.margin() < held) {
            return None;
        }
        // A unit that is no key unit opens at its decode time, which is the earliest presentation time
        // from here on: what follows in decode order may be shown before it.
        let opens_at = if key || self.cutter.passthrough() == Some(false) {
            Some(pts)
        } else {
            Some(dts).filter(|dts| pts >= *dts)
        };
        let margin = self.margin();
        let segment_start = self.cutter.segment_start();
        let boundary = opens_at.and_then(|at| self.cutter.cut(at, key, first, margin));
        if let (Some(boundary), Some(mapping)) = (&boundary, &mut self.mapping) {
            mapping.slew(boundary.time - segment_start);
        }
        boundary
    }

    /// The longest key interval that the encoder says it makes: x264 writes its options into the stream.
    fn stated_key_gap(&self, unit: &AccessUnit) -> Option<Ticks> {
        let track = self.video.as_ref()?;
        if self.settled || !matches!(track.config, CodecConfig::Avc(_)) {
            return None;
        }
        let keyint = avc::x264_options(&unit.data)?.keyint;
        let rate = self.frame_rate_millis().filter(|rate| *rate > 0)?;
        Some(Ticks(
            i64::from(keyint).saturating_mul(90_000_000) / i64::from(rate),
        ))
    }

    /// Pictures up to `end` are with the rungs; the hole they bridged is over.
    fn note_shown(&mut self, end: Ticks) {
        if end > self.shown {
            self.shown = end;
            self.hole_since = None;
        }
    }
}
