//! Where the segments of something scheduled lie on its stream's clock, and how they are numbered.
//!
//! In: when it begins, how long a segment and a loop of it are. Out: boundaries in channel time (90 kHz) and
//! numbers, the same on every node and at any time: nothing is counted.

use super::time::Ticks;

/// The last segment of a loop is not shorter than half a second: what remains below that belongs to the
/// segment before. Players ask for a segment in less time than that, and no list grows by more.
pub const SHORTEST_LAST: Ticks = Ticks(45_000);

/// Where segments begin: at `anchor + k * length + i * step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Channel time zero of what lies on it.
    pub anchor: Ticks,
    /// Length of a segment: a whole number of frames.
    pub step: Ticks,
    /// Length of a loop, in whole frames; `None` while that is not known, or where there is none.
    pub length: Option<Ticks>,
}

impl Grid {
    /// Segments of one loop; `None` where the length is not known.
    pub fn per_loop(&self) -> Option<i64> {
        let (length, step) = (self.length?.0.max(1), self.step.0.max(1));
        let (whole, rest) = (length / step, length % step);
        let own = whole == 0 || rest >= SHORTEST_LAST.0;
        Some(whole + i64::from(own))
    }

    /// The segment, counted from the anchor, that `time` lies in. Before the anchor, those that would be
    /// there.
    pub fn index_at(&self, time: Ticks) -> i64 {
        let step = self.step.0.max(1);
        let since = time.0.saturating_sub(self.anchor.0);
        let (Some(length), Some(count)) = (self.length, self.per_loop()) else {
            return since.div_euclid(step);
        };
        let length = length.0.max(1);
        let (turn, within) = (since.div_euclid(length), since.rem_euclid(length));
        turn.saturating_mul(count) + (within / step).min(count - 1)
    }

    /// Channel time at which a segment begins.
    pub fn start(&self, index: i64) -> Ticks {
        let step = self.step.0.max(1);
        let since = match (self.length, self.per_loop()) {
            (Some(length), Some(count)) => {
                let (turn, within) = (index.div_euclid(count), index.rem_euclid(count));
                turn.saturating_mul(length.0.max(1)) + within * step
            }
            _ => index.saturating_mul(step),
        };
        Ticks(self.anchor.0.saturating_add(since))
    }

    /// The first boundary after `time`.
    pub fn after(&self, time: Ticks) -> Ticks {
        self.start(self.index_at(time) + 1)
    }

    /// The first boundary at `time` or after it.
    pub fn at_or_after(&self, time: Ticks) -> Ticks {
        self.after(time - Ticks(1))
    }

    /// Whether a segment begins at `time`.
    pub fn is_boundary(&self, time: Ticks) -> bool {
        self.start(self.index_at(time)) == time
    }
}

/// A grid whose segments have media sequence numbers, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Where they begin.
    pub grid: Grid,
    /// The number that the segment at the anchor has, or would have.
    anchor_number: i64,
}

impl Numbered {
    /// The segment that begins at `at`, or that `at` lies in, is `sequence`.
    pub fn new(grid: Grid, at: Ticks, sequence: u64) -> Numbered {
        let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
        Numbered {
            grid,
            anchor_number: sequence.saturating_sub(grid.index_at(at)),
        }
    }

    /// The number of the segment that `time` lies in.
    pub fn sequence_at(&self, time: Ticks) -> u64 {
        let number = self.anchor_number.saturating_add(self.grid.index_at(time));
        u64::try_from(number).unwrap_or(0)
    }

    /// Channel time at which a segment begins.
    pub fn start(&self, sequence: u64) -> Ticks {
        let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
        self.grid.start(sequence.saturating_sub(self.anchor_number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 7.3 s at 30 frames a second in segments of 2 s: the last one has 1.3 s.
    fn odd() -> Grid {
        Grid {
            anchor: Ticks(900_000),
            step: Ticks(180_000),
            length: Some(Ticks(219 * 3000)),
        }
    }

    fn starts(grid: &Grid, first: i64, count: i64) -> Vec<i64> {
        let starts = (first..first + count).map(|index| grid.start(index).0 - grid.anchor.0);
        starts.collect()
    }

    #[test]
    fn a_loop_begins_a_segment_at_its_seam() {
        let grid = odd();
        assert_eq!(grid.per_loop(), Some(4));
        let loop_90k = 657_000;
        assert_eq!(
            starts(&grid, 0, 6),
            [0, 180_000, 360_000, 540_000, loop_90k, loop_90k + 180_000]
        );
        assert_eq!(
            starts(&grid, -2, 2),
            [360_000 - loop_90k, 540_000 - loop_90k]
        );
    }

    #[test]
    fn a_last_segment_under_half_a_second_belongs_to_the_one_before() {
        let grid = |rest: i64| Grid {
            length: Some(Ticks(360_000 + rest)),
            ..odd()
        };
        assert_eq!(starts(&grid(0), 0, 3), [0, 180_000, 360_000]);
        assert_eq!(starts(&grid(42_000), 0, 3), [0, 180_000, 402_000]);
        assert_eq!(starts(&grid(45_000), 0, 4), [0, 180_000, 360_000, 405_000]);
        let inside = grid(42_000);
        assert_eq!(inside.index_at(inside.anchor + Ticks(401_999)), 1);
        assert_eq!(
            inside.after(inside.anchor + Ticks(360_000)).0,
            900_000 + 402_000
        );
    }

    #[test]
    fn something_shorter_than_a_segment_is_one() {
        let short = Grid {
            length: Some(Ticks(21_000)),
            ..odd()
        };
        assert_eq!(starts(&short, 0, 3), [0, 21_000, 42_000]);
    }

    #[test]
    fn index_and_start_agree_everywhere_and_numbers_run_on() {
        let merged = Grid {
            length: Some(Ticks(402_000)),
            ..odd()
        };
        let endless = Grid {
            length: None,
            ..odd()
        };
        for grid in [odd(), merged, endless] {
            let numbered = Numbered::new(grid, grid.start(5), 1_000);
            for index in -9..40 {
                let (start, next) = (grid.start(index), grid.start(index + 1));
                assert!(start < next, "{grid:?} {index}");
                for time in [start, start + Ticks(1), next - Ticks(1)] {
                    assert_eq!(grid.index_at(time), index, "{grid:?} {time:?}");
                    assert_eq!(grid.after(time), next);
                    assert_eq!(grid.is_boundary(time), time == start);
                    let sequence = numbered.sequence_at(time);
                    assert_eq!(i64::try_from(sequence).unwrap(), 995 + index);
                    assert_eq!(numbered.start(sequence), start);
                }
                assert_eq!(grid.at_or_after(start), start);
                assert_eq!(grid.at_or_after(start + Ticks(1)), next);
            }
        }
    }
}
