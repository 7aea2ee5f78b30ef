//! Where the segments of a film lie, in frames, and how often its sound is laid down. Pure. Whoever plays it
//! has the same [`crate::media::grid`].

use super::rate::Rate;
use crate::media::{Ticks, Timescale, grid};

/// Samples per second of a film's sound.
pub(super) const SAMPLE_RATE: u32 = 48_000;
/// Samples of an AAC frame (ISO/IEC 14496-3 §4.5.2.1).
pub(super) const AAC_FRAME: u64 = 1024;
/// Longest sound that is laid down more than once, seconds. A longer film is lengthened instead, so that it
/// is a whole number of AAC frames.
const LONGEST_UNROLLED_S: u64 = 1800;
/// What a long film may be lengthened by, milliseconds: at 24 frames per second it takes up to 20 frames, at
/// other rates half a second.
const LENGTHENED_MS: u64 = 850;
/// What a long film may miss a whole number of AAC frames by, in samples: below a millisecond.
const MOST_MISSED: u64 = 47;

/// The grid of a film.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) rate: Rate,
    /// Frames of a segment.
    pub(super) segment_frames: u64,
    /// Frames of a loop.
    pub(super) frames: u64,
    /// Loops that the sound is laid down for.
    pub(super) unrolled: u32,
}

impl Grid {
    /// The grid of a film of `frames`; with sound it may be lengthened.
    pub(super) fn new(rate: Rate, segment_seconds: u32, frames: u64, sound: bool) -> Grid {
        let fps = u64::from(rate.fps);
        let per_frame = u64::from(SAMPLE_RATE) / fps;
        let loops = |frames: u64| AAC_FRAME / common(frames * per_frame, AAC_FRAME);
        let mut grid = Grid {
            rate,
            segment_frames: fps * u64::from(segment_seconds.max(1)),
            frames,
            unrolled: 1,
        };
        if !sound {
            return grid;
        }
        let unrolled = loops(frames);
        if unrolled * frames <= LONGEST_UNROLLED_S * fps {
            grid.unrolled = u32::try_from(unrolled).expect("at most 1024");
            return grid;
        }
        let missed = |more: &u64| {
            let over = (frames + more) * per_frame % AAC_FRAME;
            over.min(AAC_FRAME - over)
        };
        let mut lengths = 0..=fps * LENGTHENED_MS / 1000;
        let exact = lengths.clone().find(|more| missed(more) == 0);
        let near = || lengths.find(|more| missed(more) <= MOST_MISSED);
        grid.frames += exact.or_else(near).unwrap_or(0);
        grid
    }

    /// The grid of its slate: one segment without sound, or as many as its silence takes to come out even.
    pub(super) fn of_slate(&self, sound: bool) -> Grid {
        let seconds = u32::try_from(self.segment_frames / u64::from(self.rate.fps));
        Grid::new(self.rate, seconds.unwrap_or(1), self.segment_frames, sound)
    }

    /// Segments of a loop.
    pub(super) fn segments(&self) -> u64 {
        let count = self.lies().per_loop();
        count.expect("a film has a length").unsigned_abs()
    }

    /// The first frame of a segment, all loops counted; of the one behind the last, the end.
    pub(super) fn start(&self, number: u64) -> u64 {
        self.lies().start(signed(number)).0.unsigned_abs() / self.frame_ticks()
    }

    /// The segment of a frame, all loops counted.
    pub(super) fn segment_of(&self, frame: u64) -> u64 {
        self.lies().index_at(self.ticks(frame)).unsigned_abs()
    }

    fn lies(&self) -> grid::Grid {
        grid::Grid {
            anchor: Ticks::ZERO,
            step: self.ticks(self.segment_frames),
            length: Some(self.ticks(self.frames)),
        }
    }

    fn ticks(&self, frames: u64) -> Ticks {
        Ticks(signed(frames.saturating_mul(self.frame_ticks())))
    }

    /// Samples of a frame.
    pub(super) fn frame_samples(&self) -> u64 {
        u64::from(SAMPLE_RATE / self.rate.fps)
    }

    /// Ticks of a frame.
    pub(super) fn frame_ticks(&self) -> u64 {
        u64::from(Timescale::CHANNEL.get() / self.rate.fps)
    }

    /// Samples of a loop.
    pub(super) fn loop_samples(&self) -> u64 {
        self.frames * self.frame_samples()
    }

    /// AAC frames of all loops that are laid down.
    pub(super) fn aac_frames(&self) -> u64 {
        (self.loop_samples() * u64::from(self.unrolled) + AAC_FRAME / 2) / AAC_FRAME
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Greatest common divisor.
fn common(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(fps: u32, frames: u64) -> Grid {
        let rate = Rate {
            fps,
            retimed: false,
        };
        Grid::new(rate, 2, frames, true)
    }

    #[test]
    fn sound_is_laid_down_until_it_comes_out_even() {
        for (fps, most) in [(24, 64), (25, 8), (30, 16), (50, 16), (60, 32)] {
            for frames in [u64::from(fps), 219, 220, 1000, 1001, 2001] {
                let grid = grid(fps, frames);
                if u64::from(most) * frames > LONGEST_UNROLLED_S * u64::from(fps) {
                    continue;
                }
                assert!(grid.unrolled <= most, "{grid:?}");
                let samples = grid.loop_samples() * u64::from(grid.unrolled);
                assert_eq!(samples % AAC_FRAME, 0, "{grid:?}");
                assert_eq!(samples / AAC_FRAME, grid.aac_frames());
                assert_eq!(grid.frames, frames);
            }
        }
        assert_eq!(grid(30, 219).unrolled, 16);
    }

    #[test]
    fn a_long_film_becomes_a_little_longer_instead() {
        for fps in [24, 25, 30, 50, 60] {
            for more in 0..64 {
                let frames = u64::from(fps) * 3600 + more;
                let grid = grid(fps, frames);
                let samples = grid.loop_samples();
                let missed = samples.abs_diff(grid.aac_frames() * AAC_FRAME);
                assert!(missed <= MOST_MISSED, "{grid:?} misses {missed}");
                if grid.unrolled == 1 {
                    assert!((grid.frames - frames) * 1000 <= u64::from(fps) * LENGTHENED_MS);
                }
            }
        }
    }

    #[test]
    fn a_short_remainder_belongs_to_the_segment_before() {
        for (frames, segments) in [(60, 1), (219, 4), (194, 3), (195, 4), (31, 1), (1, 1)] {
            let grid = grid(30, frames);
            assert_eq!(grid.segments(), segments, "{frames}");
            assert_eq!(grid.start(segments), frames);
            assert_eq!(grid.segment_of(frames - 1), segments - 1);
            assert_eq!(grid.segment_of(frames), segments);
            for number in 0..3 * segments {
                let (start, end) = (grid.start(number), grid.start(number + 1));
                assert_eq!(grid.segment_of(start), number);
                assert_eq!(grid.segment_of(end - 1), number);
                assert!(2 * (end - start) >= 30.min(2 * frames));
            }
        }
    }

    #[test]
    fn a_slate_has_one_segment_and_its_silence_four() {
        let slate = grid(30, 219).of_slate(true);
        assert_eq!(
            (slate.segments(), slate.unrolled, slate.aac_frames()),
            (1, 4, 375)
        );
    }
}
