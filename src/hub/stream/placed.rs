//! A stream that takes the place of something: where it lies, and what is known of that later.

use std::time::Duration;

use super::Stream;
use super::member::Member;
use crate::hub::Placed;
use crate::media::Numbered;
use crate::media::time::channel_time;

impl Stream {
    /// Since when nothing came of any publisher; `None` when there is none.
    pub fn silent(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let state = self.lock();
        let silent = |member: &Member| now.saturating_sub(member.last_unit);
        state.members.iter().map(silent).min()
    }

    /// Whether the stream lies where this says, as far as its segments so far and the next ones go.
    pub fn lies_as(&self, placed: Option<&Placed>) -> bool {
        let Some((own, other)) = self.admission.placed.as_ref().zip(placed) else {
            return self.admission.placed.is_none() && placed.is_none();
        };
        let now = channel_time(self.clock.wall(), self.epoch);
        let at = |placed: &Placed| {
            let sequence = placed.grid.sequence_at(now);
            (sequence, placed.grid.start(sequence))
        };
        own.epoch == other.epoch && at(own) == at(other)
    }

    /// What is known by now of the grid of what the stream takes the place of: where a film ends, for
    /// one. It differs in what is still to come only.
    pub fn place(&self, grid: Numbered) {
        let mut state = self.lock();
        if state.placed {
            state.program.take_place(grid);
        }
    }
}
