//! Keeps decoded audio on a sample grid: counts samples from an anchor, fills holes with silence,
//! leaves out overlaps, and knows which channel time each sample of the result has. Pure.

use std::collections::VecDeque;

/// Difference between counted and carried time that is put right, in samples: 1.5 AAC frames.
const TOLERANCE: i64 = 1536;
/// Longest hole that is filled with silence, in seconds. A longer one re-anchors the count.
const MAX_SILENCE_S: i64 = 10;
/// Samples per AAC frame.
pub(super) const FRAME: i64 = 1024;
/// Samples by which avenc_aac's output is late: one frame.
pub(super) const ENCODER_DELAY: i64 = 1024;
/// Anchors that frames inside the encoder may still refer to.
const MAX_ANCHORS: usize = 8;

/// What to do with a decoded buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Samples of silence to encode first.
    pub(super) silence: i64,
    /// Samples to leave out at the buffer's start; may be the whole buffer.
    pub(super) skip: i64,
}

/// The grid of one audio output.
#[derive(Debug)]
pub(super) struct Grid {
    rate: i64,
    /// Samples given to the encoder so far.
    fed: i64,
    /// (samples fed before, channel time in samples), oldest first.
    anchors: VecDeque<(i64, i64)>,
    /// Channel time at which a frame is to begin.
    frame_at: Option<i64>,
}

impl Grid {
    /// A grid of `rate` samples per second, with a frame's beginning at `frame_at`.
    pub(super) fn new(rate: u32, frame_at: Option<i64>) -> Grid {
        Grid {
            rate: rate.into(),
            fed: 0,
            anchors: VecDeque::new(),
            frame_at,
        }
    }

    /// Places a buffer of `length` samples whose carried channel time is `time` samples.
    pub(super) fn place(&mut self, time: i64, length: i64) -> Step {
        let Some(&(fed, anchor)) = self.anchors.back() else {
            let skip = self.frame_at.map_or(0, |at| (at - time).rem_euclid(FRAME));
            let skip = skip.min(length);
            if skip < length {
                self.anchors.push_back((0, time + skip));
                self.fed = length - skip;
            }
            return Step { silence: 0, skip };
        };
        let ahead = time - (anchor + (self.fed - fed));
        let step = if ahead > MAX_SILENCE_S * self.rate {
            // Silence up to the frame's end, so that the anchor lies on a frame.
            let silence = (FRAME - self.fed % FRAME) % FRAME;
            self.anchors.push_back((self.fed + silence, time));
            if self.anchors.len() > MAX_ANCHORS {
                self.anchors.pop_front();
            }
            Step { silence, skip: 0 }
        } else if ahead > TOLERANCE {
            Step {
                silence: ahead,
                skip: 0,
            }
        } else if ahead < -TOLERANCE {
            Step {
                silence: 0,
                skip: length.min(-ahead),
            }
        } else {
            Step {
                silence: 0,
                skip: 0,
            }
        };
        self.fed += step.silence + length - step.skip;
        step
    }

    /// Channel time, in samples, of the encoder's output frame `number` (from 0).
    pub(super) fn frame_time(&self, number: i64) -> i64 {
        let start = number * FRAME - ENCODER_DELAY;
        let anchor = self.anchors.iter().rev().find(|(fed, _)| *fed <= start);
        let first = || self.anchors.front();
        anchor
            .or_else(first)
            .map_or(start, |(fed, time)| time + start - fed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(silence: i64, skip: i64) -> Step {
        Step { silence, skip }
    }

    #[test]
    fn output_is_shifted_back_by_the_encoder_delay() {
        let mut grid = Grid::new(48_000, None);
        assert_eq!(grid.place(96_000, 1024), step(0, 0));
        assert_eq!(grid.frame_time(0), 96_000 - 1024);
        assert_eq!(grid.frame_time(1), 96_000);
    }

    #[test]
    fn frames_go_on_where_an_earlier_grid_ended() {
        let mut grid = Grid::new(48_000, Some(5000));
        // Opus frames of 10 ms: the first one is left out whole.
        assert_eq!(grid.place(0, 480), step(0, 480));
        assert_eq!(grid.place(480, 480), step(0, 424));
        assert_eq!(grid.place(960, 4800), step(0, 0));
        assert_eq!((grid.frame_time(1), grid.frame_time(5)), (904, 5000));
    }

    #[test]
    fn jitter_is_counted_over_and_drift_never_passes_one_and_a_half_frames() {
        let mut grid = Grid::new(48_000, None);
        let mut time = 0;
        for n in 0..20_000 {
            // Millisecond rounding plus an encoder clock that is 100 ppm fast.
            let jitter = (n * 7919) % 48 - 24;
            grid.place(time + jitter, 1024);
            time += 1024 + i64::from(n % 10 == 0);
            let counted = grid.frame_time(grid.fed / FRAME + 1);
            assert!((time - counted).abs() <= TOLERANCE + 2048, "frame {n}");
        }
    }

    #[test]
    fn a_hole_becomes_silence_of_its_length() {
        let mut grid = Grid::new(48_000, None);
        grid.place(0, 1024);
        assert_eq!(grid.place(1024 + 48_000, 1024), step(48_000, 0));
        assert_eq!(grid.place(2048 + 48_000, 1024), step(0, 0));
    }

    #[test]
    fn an_overlap_is_left_out() {
        let mut grid = Grid::new(48_000, None);
        grid.place(0, 4096);
        assert_eq!(grid.place(0, 1024), step(0, 1024));
        assert_eq!(grid.place(1024, 4096), step(0, 3072));
        assert_eq!(grid.fed, 5120);
    }

    #[test]
    fn a_long_hole_moves_the_anchor_on_a_frame() {
        let mut grid = Grid::new(48_000, None);
        grid.place(0, 1500);
        let far = 48_000 * 3600;
        assert_eq!(grid.place(far, 1024), step(548, 0));
        // Two frames were fed before: output frame 2 is the second of them, 3 the first after.
        assert_eq!(grid.frame_time(2), 1024);
        assert_eq!(grid.frame_time(3), far);
    }
}
