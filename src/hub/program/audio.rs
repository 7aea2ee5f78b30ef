//! The sound of what is on air: it follows the picture's boundaries, or makes them where there is none.

use super::{ANNOUNCED_WAIT, HELD_AUDIO_UNITS, Lead, Output, Program, UNANNOUNCED_WAIT};
use crate::hub::mapping::{Mapping, Step};
use crate::hub::sound::SoundClock;
use crate::media::{AccessUnit, Boundary, Ticks, Timescale, rescale};

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
        let floor = if self.lead == Lead::Video && !self.audio_cursor.is_open() {
            self.cutter.segment_start()
        } else {
            self.published_floor()
        };
        let sound = self.sound.as_mut().expect("checked above");
        if !sound.is_anchored() && time < floor {
            self.repairs.dropped_units += 1;
            return;
        }
        let wait_key = self.wait_key && self.lead == Lead::Video;
        if wait_key {
            self.repairs.dropped_units += 1;
            return;
        }
        sound.handle(time, unit, &mut self.held_audio);
        self.release_audio();
    }

    /// Sound of a returning publisher must not begin inside of what is published.
    fn published_floor(&self) -> Ticks {
        self.sound
            .as_ref()
            .and_then(SoundClock::end_channel_time)
            .unwrap_or(Ticks(i64::MIN))
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
            let certain = self.video_end.is_some_and(|end| time < end)
                || time + self.margin() + self.margin() < self.cutter.earliest();
            if !certain && self.held_audio.len() <= HELD_AUDIO_UNITS {
                break;
            }
            let unit = self.held_audio.pop_front().expect("front was there");
            self.emit_audio(unit, None, scale);
        }
    }

    fn lead_audio(&mut self, time: Ticks, unit: AccessUnit) {
        let first = std::mem::take(&mut self.wait_key);
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
        self.outputs.push_back(Output::Unit {
            unit,
            opened,
            boundary,
        });
    }

    pub(super) fn flush_audio(&mut self) {
        let Some(scale) = self.audio.as_ref().map(|track| track.timescale) else {
            return;
        };
        while let Some(unit) = self.held_audio.pop_front() {
            self.emit_audio(unit, None, scale);
        }
    }
}
