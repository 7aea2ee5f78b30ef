//! A clock that is set while the stream runs: time that did not pass is neither a hole nor played twice.
//!
//! Set ahead, it is followed at the next key unit, behind a discontinuity. Set back, it is not: times that
//! were published cannot be given again, so the stream goes on ahead of the clock.

use super::{Output, Program};
use crate::base::clock::Wall;
use crate::media::Ticks;
use crate::media::time::channel_time;

impl Program {
    /// The clock was set by this much (90 kHz), and time goes on from there.
    pub fn handle_clock_step(&mut self, by: Ticks) {
        self.clock_ahead += by;
    }

    /// The stream's own time when the clock shows `now`.
    pub fn time(&self, now: Wall) -> Ticks {
        channel_time(now, self.epoch) - self.clock_ahead
    }

    /// Moves everything that is yet to come to where the clock is.
    pub(super) fn follow_clock(&mut self) {
        let by = std::mem::take(&mut self.clock_ahead);
        self.first_unit = self.first_unit.map(|first| first + by);
        if !self.cutter.has_begun() {
            return;
        }
        self.flush_audio();
        self.outputs.push_back(Output::Break);
        self.cutter.disconnect();
        if let Some(mapping) = &mut self.mapping {
            mapping.shift(by);
        }
        for end in [&mut self.promised_end, &mut self.video_end, &mut self.held] {
            *end = end.map(|end| end + by);
        }
        self.hole_since = self.hole_since.map(|since| since + by);
        self.shown += by;
        self.audio_end += by;
        // Sound of before the key unit has no place any more.
        self.audio_floor = self.video_end.unwrap_or(self.audio_end);
        if let Some(sound) = &mut self.sound {
            sound.join_at(self.audio_end);
        }
    }
}
