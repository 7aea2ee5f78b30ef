//! Where the segments of a film lie, by arithmetic alone: [`crate::media::grid`] from the film's zero on, in the
//! words of an asset. Segment `i` of a loop begins at frame `i * segment_frames`.

use crate::media::grid;
use crate::media::{Ticks, Timescale};

/// The segments of a film from its time zero on, loop after loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid(grid::Grid);

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
        let whole = fps > 0 && scale.is_multiple_of(fps) && segment_frames > 0 && frames != Some(0);
        let ticks = |frames: u64| Ticks(signed(frames).saturating_mul(i64::from(scale / fps)));
        whole.then(|| {
            Grid(grid::Grid {
                anchor: Ticks::ZERO,
                step: ticks(segment_frames.into()),
                length: frames.map(ticks),
            })
        })
    }

    /// A grid of equal segments without end, such as a slate's.
    pub fn even(segment: Ticks) -> Grid {
        Grid(grid::Grid {
            anchor: Ticks::ZERO,
            step: segment,
            length: None,
        })
    }

    /// Length of a loop.
    pub fn period(&self) -> Option<Ticks> {
        self.0.length
    }

    /// Segments of a loop.
    pub fn segments(&self) -> Option<u64> {
        self.0.per_loop().map(i64::unsigned_abs)
    }

    /// A segment by its number, counted over all loops.
    pub fn cell(&self, number: u64) -> Cell {
        let (turn, index) = match self.segments() {
            Some(count) => (number / count, number % count),
            None => (0, number),
        };
        Cell {
            turn,
            index,
            start: self.0.start(signed(number)),
            end: self.0.start(signed(number.saturating_add(1))),
        }
    }

    /// Number of the segment that holds a time since the film's zero; 0 before it.
    pub fn number_at(&self, time: Ticks) -> u64 {
        self.0.index_at(time.max(Ticks::ZERO)).unsigned_abs()
    }

    /// Number of the first segment that begins at a time since the film's zero, or later.
    pub fn number_from(&self, time: Ticks) -> u64 {
        let number = self.number_at(time);
        number + u64::from(self.cell(number).start < time)
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
