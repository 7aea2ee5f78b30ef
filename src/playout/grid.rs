//! Where the segments of a film lie, by arithmetic alone.
//!
//! Segment `i` of a loop begins at frame `i * segment_frames`; the last one of a loop takes what remains,
//! and the one before it too where that would be too short for a segment of its own.

use crate::media::{Ticks, Timescale};

/// A remainder shorter than this belongs to the segment before: half a second, the slack of TARGETDURATION.
const SHORTEST: Ticks = Ticks(45_000);

/// The segments of a film from its time zero on, loop after loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Channel ticks of one frame.
    frame: i64,
    /// Frames of a segment.
    segment_frames: u64,
    /// Frames of a loop; `None` while nobody knows, or for a grid without end.
    frames: Option<u64>,
}

/// One segment on the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// How many loops went before it.
    pub turn: u64,
    /// Its place in its loop.
    pub index: u64,
    /// Channel ticks since the film's time zero, all loops counted.
    pub start: Ticks,
    /// Where the next one begins.
    pub end: Ticks,
}

impl Grid {
    /// The grid of a film; `None` for a frame rate that does not divide channel time, and for lengths of zero.
    pub fn new(fps: u32, segment_frames: u32, frames: Option<u64>) -> Option<Grid> {
        let scale = Timescale::CHANNEL.get();
        let whole = fps > 0 && scale % fps == 0 && segment_frames > 0 && frames != Some(0);
        whole.then(|| Grid {
            frame: i64::from(scale / fps),
            segment_frames: segment_frames.into(),
            frames,
        })
    }

    /// A grid of equal segments without end, such as a slate's.
    pub fn even(segment: Ticks) -> Grid {
        Grid {
            frame: segment.0.max(1),
            segment_frames: 1,
            frames: None,
        }
    }

    /// Length of a loop.
    pub fn period(&self) -> Option<Ticks> {
        self.frames.map(|frames| self.ticks(frames))
    }

    /// Segments of a loop.
    pub fn segments(&self) -> Option<u64> {
        let frames = self.frames?;
        let whole = frames / self.segment_frames;
        let rest = self.ticks(frames % self.segment_frames);
        Some((whole + u64::from(rest >= SHORTEST)).max(1))
    }

    /// A segment by its number, counted over all loops.
    pub fn cell(&self, number: u64) -> Cell {
        let (turn, index, count) = match self.segments() {
            Some(count) => (number / count, number % count, count),
            None => (0, number, u64::MAX),
        };
        let zero = Ticks(
            self.period()
                .map_or(0, |period| period.0.saturating_mul(signed(turn))),
        );
        let end = match self.period() {
            Some(period) if index + 1 == count => period,
            _ => self.ticks(self.segment_frames.saturating_mul(index + 1)),
        };
        Cell {
            turn,
            index,
            start: zero + self.ticks(self.segment_frames.saturating_mul(index)),
            end: zero + end,
        }
    }

    /// Number of the segment that holds a time since the film's zero; 0 before it.
    pub fn number_at(&self, time: Ticks) -> u64 {
        let time = time.0.max(0);
        let length = self.frame.saturating_mul(signed(self.segment_frames));
        let (Some(period), Some(count)) = (self.period(), self.segments()) else {
            return (time / length).unsigned_abs();
        };
        let turn = (time / period.0).unsigned_abs();
        let index = (time % period.0 / length).unsigned_abs().min(count - 1);
        turn.saturating_mul(count).saturating_add(index)
    }

    /// Number of the first segment that begins at a time since the film's zero, or later.
    pub fn number_from(&self, time: Ticks) -> u64 {
        let number = self.number_at(time);
        number + u64::from(self.cell(number).start < time)
    }

    fn ticks(&self, frames: u64) -> Ticks {
        Ticks(self.frame.saturating_mul(signed(frames)))
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
