//! Keeps decoded audio on a sample grid: counts samples from an anchor, fills holes with silence,
//! leaves out overlaps, and knows which channel time each sample of the result has. Pure.

use std::collections::VecDeque;

use crate::transcode::ladder::AudioCodec;

/// Difference between counted and carried time that is put right, in samples: 1.5 AAC frames.
const TOLERANCE: i64 = 1536;
/// Anchors that frames inside the encoder may still refer to.
const MAX_ANCHORS: usize = 8;

/// How an encoder cuts sound into frames, in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// Length of a frame.
    pub(super) frame: i64,
    /// By how much its output is late.
    pub(super) delay: i64,
    /// Longest hole that is filled with silence. A longer one re-anchors the count.
    pub(super) longest_silence: i64,
}

impl Form {
    /// That of a codec at `rate` samples per second.
    pub(super) fn of(codec: AudioCodec, rate: u32) -> Form {
        let rate = i64::from(rate);
        match codec {
            // avenc_aac is late by one frame.
            AudioCodec::Aac => Form {
                frame: 1024,
                delay: 1024,
                longest_silence: 10 * rate,
            },
            // libopus looks 6.5 ms ahead. Rooms are shown what happens now: silence of a hole that is
            // over would come all at once, and too late.
            AudioCodec::Opus => Form {
                frame: rate / 50,
                delay: rate * 13 / 2000,
                longest_silence: rate / 4,
            },
        }
    }
}

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
    form: Form,
    /// Samples given to the encoder so far.
    fed: i64,
    /// (samples fed before, channel time in samples), oldest first.
    anchors: VecDeque<(i64, i64)>,
    /// Channel time at which a frame is to begin.
    frame_at: Option<i64>,
}

impl Grid {
    /// The grid of an encoder, with a frame's beginning at `frame_at`.
    pub(super) fn new(form: Form, frame_at: Option<i64>) -> Grid {
        Grid {
            form,
            fed: 0,
            anchors: VecDeque::new(),
            frame_at,
        }
    }

    /// Places a buffer of `length` samples whose carried channel time is `time` samples.
    pub(super) fn place(&mut self, time: i64, length: i64) -> Step {
        let Some(&(fed, anchor)) = self.anchors.back() else {
            let Form { frame, delay, .. } = self.form;
            let skip = |at: i64| (at + delay - time).rem_euclid(frame);
            let skip = self.frame_at.map_or(0, skip);
            let skip = skip.min(length);
            if skip < length {
                self.anchors.push_back((0, time + skip));
                self.fed = length - skip;
            }
            return Step { silence: 0, skip };
        };
        let ahead = time - (anchor + (self.fed - fed));
        let step = if ahead > self.form.longest_silence {
            // Silence up to the frame's end, so that the anchor lies on a frame.
            let frame = self.form.frame;
            let silence = (frame - self.fed % frame) % frame;
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
        let start = number * self.form.frame - self.form.delay;
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

    const FRAME: i64 = 1024;

    fn aac() -> Form {
        Form::of(AudioCodec::Aac, 48_000)
    }

    fn step(silence: i64, skip: i64) -> Step {
        Step { silence, skip }
    }

    #[test]
    fn output_is_shifted_back_by_the_encoder_delay() {
        let mut grid = Grid::new(aac(), None);
        assert_eq!(grid.place(96_000, 1024), step(0, 0));
        assert_eq!(grid.frame_time(0), 96_000 - 1024);
        assert_eq!(grid.frame_time(1), 96_000);
    }

    #[test]
    fn frames_go_on_where_an_earlier_grid_ended() {
        let mut grid = Grid::new(aac(), Some(5000));
        // Opus frames of 10 ms: the first one is left out whole.
        assert_eq!(grid.place(0, 480), step(0, 480));
        assert_eq!(grid.place(480, 480), step(0, 424));
        assert_eq!(grid.place(960, 4800), step(0, 0));
        assert_eq!((grid.frame_time(1), grid.frame_time(5)), (904, 5000));
    }

    #[test]
    fn jitter_is_counted_over_and_drift_never_passes_one_and_a_half_frames() {
        let mut grid = Grid::new(aac(), None);
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
        let mut grid = Grid::new(aac(), None);
        grid.place(0, 1024);
        assert_eq!(grid.place(1024 + 48_000, 1024), step(48_000, 0));
        assert_eq!(grid.place(2048 + 48_000, 1024), step(0, 0));
    }

    #[test]
    fn an_overlap_is_left_out() {
        let mut grid = Grid::new(aac(), None);
        grid.place(0, 4096);
        assert_eq!(grid.place(0, 1024), step(0, 1024));
        assert_eq!(grid.place(1024, 4096), step(0, 3072));
        assert_eq!(grid.fed, 5120);
    }

    #[test]
    fn opus_packets_lie_where_what_they_decode_to_was() {
        let opus = Form::of(AudioCodec::Opus, 48_000);
        let mut grid = Grid::new(opus, None);
        grid.place(96_000, 4800);
        assert_eq!(grid.frame_time(0), 96_000 - 312);
        assert_eq!(grid.frame_time(3), 96_000 - 312 + 3 * 960);
        // Another encoder goes on where this one ended.
        let mut next = Grid::new(opus, Some(grid.frame_time(4)));
        next.place(95_000, 9600);
        let times: Vec<i64> = (0..9).map(|number| next.frame_time(number)).collect();
        assert!(times.contains(&grid.frame_time(4)), "{times:?}");
        // A hole of a second is none of silence.
        assert_eq!(grid.place(96_000 + 4800 + 48_000, 960), step(0, 0));
        assert_eq!(grid.frame_time(6), 96_000 + 4800 + 48_000 + 960 - 312);
    }

    #[test]
    fn a_long_hole_moves_the_anchor_on_a_frame() {
        let mut grid = Grid::new(aac(), None);
        grid.place(0, 1500);
        let far = 48_000 * 3600;
        assert_eq!(grid.place(far, 1024), step(548, 0));
        // Two frames were fed before: output frame 2 is the second of them, 3 the first after.
        assert_eq!(grid.frame_time(2), 1024);
        assert_eq!(grid.frame_time(3), far);
    }
}
