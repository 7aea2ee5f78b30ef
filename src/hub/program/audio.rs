//! The sound of what is on air: it follows the picture's boundaries, or makes them where there is none.

use std::sync::Arc;

use super::{
    ANNOUNCED_WAIT, HELD_AUDIO_UNITS, LONGEST_STRETCH, Lead, Output, Program, UNANNOUNCED_WAIT,
};
use crate::hub::mapping::{Mapping, Step};
use crate::hub::sound::SoundClock;
use crate::media::{AccessUnit, Boundary, Ticks, Timescale, Track, rescale};

/// How far sound may be ahead of the picture and of the clock: 10 s.
const FURTHEST_AHEAD: Ticks = Ticks(10 * 90_000);

impl Program {
    pub(super) fn audio(&mut self, arrival: Ticks, unit: AccessUnit) {
        if self.sound.is_none() {
            self.repairs.dropped_units += 1;
            return;
        }
        if self.lead == Lead::Undecided {
            let waited = arrival - self.first_unit.unwrap_or(arrival);
            let patience = match self.announcement.video {
                Some(false) => Ticks(-1),
                Some(true) => ANNOUNCED_WAIT,
                None => UNANNOUNCED_WAIT,
            };
            if waited <= patience {
                self.repairs.dropped_units += 1;
                return;
            }
            self.lead = Lead::Audio;
        }
        let carried = rescale(unit.pts, self.audio_scale, Timescale::CHANNEL);
        if self.mapping.is_none() {
            if self.lead == Lead::Video {
                // The picture anchors; sound before it has no place.
                self.repairs.dropped_units += 1;
                return;
            }
            self.mapping = Some(Mapping::new(arrival.max(self.published_end()) - carried));
        }
        let mapping = self.mapping.as_mut().expect("anchored above");
        if mapping.handle_audio(arrival, carried) == Step::Jump {
            self.repairs.time_jumps += 1;
        }
        let time = carried + mapping.audio_offset();
        let picture = self.video_end.unwrap_or(arrival).max(arrival);
        if self.lead == Lead::Video && time > picture + FURTHEST_AHEAD {
            // It would lead the whole stream away.
            self.sound.as_mut().expect("checked above").join();
            self.repairs.dropped_units += 1;
            return;
        }
        let floor = if self.lead == Lead::Video && !self.audio_cursor.is_open() {
            self.cutter.segment_start()
        } else {
            self.audio_floor
        };
        let sound = self.sound.as_mut().expect("checked above");
        if time < floor || self.next_audio.is_some() {
            sound.join();
            self.repairs.dropped_units += 1;
            return;
        }
        let wait_key = self.wait_key && self.lead == Lead::Video;
        if wait_key {
            sound.join();
            self.repairs.dropped_units += 1;
            return;
        }
        sound.handle(time, unit, &mut self.held_audio);
        self.release_audio();
    }

    /// Another configuration of the sound comes into force.
    pub(super) fn change_audio(&mut self, track: Arc<Track>) {
        let mut end = None;
        if let Some(scale) = self.audio.as_ref().map(|track| track.timescale)
            && self.cutter.has_begun()
        {
            // The segment that the change opens has none of the old sound, the one before none of the new.
            let start = self.cutter.segment_start();
            self.held_audio
                .retain(|unit| rescale(unit.pts, scale, Timescale::CHANNEL) < start);
            let old = self.sound.as_mut().filter(|_| !self.in_gap);
            if let Some(old) = old.filter(|_| start - self.audio_end <= LONGEST_STRETCH) {
                old.hold(start, &mut self.held_audio);
            }
            let old_end = self
                .audio_times()
                .last()
                .map_or(self.audio_end, |(_, end)| end);
            end = Some(old_end.max(start));
        }
        self.flush_audio();
        self.sound = SoundClock::new(&track, end);
        self.audio = Some(track.clone());
        self.outputs.push_back(Output::Track(track));
    }

    /// What the sound was to become at the next discontinuity.
    pub(super) fn apply_next_audio(&mut self) {
        if let Some(track) = self.next_audio.take() {
            self.change_audio(track);
        }
    }

    /// Passes on the audio units whose segment is certain: no boundary that is still to come can lie
    /// before them.
    pub(super) fn release_audio(&mut self) {
        let Some(scale) = self.audio.as_ref().map(|track| track.timescale) else {
            return;
        };
        while let Some(unit) = self.held_audio.front() {
            let time = rescale(unit.pts, scale, Timescale::CHANNEL);
            if self.lead == Lead::Audio {
                let unit = self.held_audio.pop_front().expect("front was there");
                self.lead_audio(time, unit);
                continue;
            }
            let shown = self.video_end.map(|end| end.max(self.shown));
            // A hole may begin anywhere, and with it a segment of the rungs.
            let free = !self.bridges() && !self.in_gap && !self.wait_key;
            let certain = shown.is_some_and(|shown| time < shown)
                || free && time + self.margin() + self.margin() < self.cutter.earliest();
            if !certain && self.held_audio.len() <= HELD_AUDIO_UNITS {
                break;
            }
            let unit = self.held_audio.pop_front().expect("front was there");
            self.emit_audio(unit, None, scale);
        }
    }

    fn lead_audio(&mut self, time: Ticks, unit: AccessUnit) {
        let first = std::mem::take(&mut self.wait_key);
        if first || self.in_gap {
            self.close_hole(time);
        }
        let frame = self
            .sound
            .as_ref()
            .map_or(Ticks::ZERO, SoundClock::frame_channel_time);
        let segment_start = self.cutter.segment_start();
        let boundary = self.cutter.cut(time, true, first, Ticks(frame.0 / 2));
        if let (Some(boundary), Some(mapping)) = (&boundary, &mut self.mapping) {
            mapping.slew(boundary.time - segment_start);
        }
        let scale = self
            .audio
            .as_ref()
            .map_or(Timescale::CHANNEL, |track| track.timescale);
        self.emit_audio(unit, boundary, scale);
    }

    fn emit_audio(&mut self, unit: AccessUnit, boundary: Option<Boundary>, scale: Timescale) {
        let opened = self
            .audio_cursor
            .open(self.cutter.ledger(), &unit, scale, Ticks::ZERO);
        if !self.audio_cursor.is_open() {
            self.repairs.dropped_units += 1;
            return;
        }
        let end = unit.pts + unit.duration.unwrap_or_default();
        self.audio_end = rescale(end, scale, Timescale::CHANNEL);
        self.outputs.push_back(Output::Unit {
            unit,
            opened,
            boundary,
            listed: true,
        });
    }

    /// Passes on everything that is held.
    pub(super) fn flush_audio(&mut self) {
        self.flush_audio_before(Ticks(i64::MAX));
    }

    /// Passes on what is held of before `time`.
    pub(super) fn flush_audio_before(&mut self, time: Ticks) {
        let Some(scale) = self.audio.as_ref().map(|track| track.timescale) else {
            return;
        };
        while self
            .audio_times()
            .next()
            .is_some_and(|(start, _)| start < time)
        {
            let unit = self
                .held_audio
                .pop_front()
                .expect("the first one was there");
            self.emit_audio(unit, None, scale);
        }
    }

    /// Channel times at which the held units begin and end.
    pub(super) fn audio_times(&self) -> impl Iterator<Item = (Ticks, Ticks)> + '_ {
        let scale = self
            .audio
            .as_ref()
            .map_or(Timescale::CHANNEL, |track| track.timescale);
        self.held_audio.iter().map(move |unit| {
            let end = unit.pts + unit.duration.unwrap_or_default();
            let channel = |time| rescale(time, scale, Timescale::CHANNEL);
            (channel(unit.pts), channel(end))
        })
    }
}
