//! Whoever holds a key may send any times: the work that a unit makes is bounded, and so is how far the
//! stream can be led away from the clock.

use super::*;

/// Outputs that one unit or tick may bring about: a minute of silence or of gaps, and some more.
const MOST_OUTPUTS: usize = 4000;

struct Noise {
    random: u64,
    program: Program,
    now_ms: i64,
    most: usize,
}

impl Noise {
    fn new(seed: u64, ladder: bool) -> Noise {
        let mut program = Program::new(settings(ladder), EPOCH, EPOCH, None);
        program.handle_track(avc_track(AVCC));
        program.handle_track(aac_track());
        Noise {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            program,
            now_ms: 0,
            most: 0,
        }
    }

    fn drain(&mut self) {
        let outputs = std::iter::from_fn(|| self.program.poll_output()).count();
        self.most = self.most.max(outputs);
    }

    fn below(&mut self, end: u64) -> u64 {
        // xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % end
    }

    fn jump(&mut self) -> i64 {
        let sign = if self.below(2) == 0 { 1 } else { -1 };
        sign * match self.below(12) {
            0 => 1 << 31,
            1 => 1 << 32,
            2 => 1 << 33,
            3 => (1 << 33) / 90,
            4 => i64::MAX,
            5 => i64::MAX / 2,
            6 => i64::MAX / 90,
            7 => 3_600_000,
            8 => 59_999,
            _ => 990,
        }
    }

    fn play(&mut self, units: usize) {
        let mut times = [0_i64; 2];
        for _ in 0..units {
            self.now_ms += i64::try_from(self.below(20)).unwrap();
            let now = EPOCH.plus_micros(self.now_ms * 1000);
            let kind = usize::try_from(self.below(2)).unwrap();
            let step = match self.below(8) {
                0 => self.jump(),
                1 => 0,
                _ => 20,
            };
            times[kind] = times[kind].saturating_add(step);
            let shown = if self.below(20) == 0 { self.jump() } else { 0 };
            let unit = AccessUnit {
                kind: [MediaKind::Video, MediaKind::Audio][kind],
                dts: Ticks(times[kind]),
                pts: Ticks(times[kind].saturating_add(shown)),
                duration: None,
                key: kind == 1 || self.below(5) == 0,
                data: Bytes::from_static(&[0, 0, 0, 2, 0x41, 0x9a]),
            };
            self.program.handle_unit(now, unit);
            self.drain();
            match self.below(60) {
                0 => self.program.handle_break(),
                1 => self.now_ms += 5_000,
                2 => self.program.handle_track(avc_track(AVCC)),
                _ => {}
            }
            self.program
                .handle_tick(EPOCH.plus_micros(self.now_ms * 1000));
            self.drain();
        }
    }
}

#[test]
fn times_of_any_size_make_bounded_work() {
    for seed in 1..=40 {
        for ladder in [false, true] {
            let mut noise = Noise::new(seed, ladder);
            noise.play(3_000);
            assert!(noise.most <= MOST_OUTPUTS, "{seed}: {} outputs", noise.most);
            let end = noise.program.end().0 / 90;
            let lead = end - noise.now_ms;
            // A step of a second a unit is a file that is sent as fast as it can be read.
            assert!(lead <= 3_000 * 1_000, "{seed}: {lead} ms ahead");
        }
    }
}

#[test]
fn a_key_picture_that_is_to_be_shown_hours_later_keeps_no_segment_open() {
    for ladder in [false, true] {
        let mut bench = Bench::with_tracks(ladder);
        bench.play(0, 0, 5_000, 30);
        bench.push(MediaKind::Video, 5_000, 8_000_000, true);
        bench.play(5_033, 5_033, 60_000, 30);
        let long = |pair: &[Boundary]| (pair[1].time - pair[0].time).0 > 10 * 90_000;
        assert!(!bench.boundaries.windows(2).any(long));
        assert!(bench.boundaries.len() > 25, "{}", bench.boundaries.len());
    }
}

#[test]
fn sound_that_begins_weeks_away_from_the_picture_is_put_beside_it() {
    for away in [1 << 31, -(1 << 31), 1_i64 << 40] {
        let mut bench = Bench::with_tracks(false);
        for frame in 0..300 {
            let ms = frame * 100 / 3;
            bench.at(ms).push(MediaKind::Video, ms, 0, frame % 30 == 0);
            bench.push(MediaKind::Audio, ms + away, 0, true);
        }
        let (last, _) = bench.audio.last().expect("it is heard");
        let late = 10 * 48_000 - last.pts.0;
        assert!(late.abs() < 2 * 48_000, "{away}: {late} samples");
        bench.program.handle_break();
        let end = bench.program.end_wall().micros_since(EPOCH);
        assert!(
            (end - 10_000_000).abs() < 1_000_000,
            "{away}: it ends at {end}"
        );
    }
}

#[test]
fn sound_that_runs_away_from_the_picture_is_left_out() {
    let mut bench = Bench::with_tracks(false);
    let mut sound = 0;
    for frame in 0..300 {
        let ms = frame * 100 / 3;
        bench.at(ms).push(MediaKind::Video, ms, 0, frame % 30 == 0);
        for _ in 0..10 {
            sound += 990;
            bench.push(MediaKind::Audio, sound, 0, true);
        }
    }
    let end = bench.program.end_wall().micros_since(EPOCH);
    assert!(end < 25_000_000, "it ends at {end}");
}

#[test]
fn a_stream_that_was_left_at_a_time_long_past_is_taken_up_with_few_gaps() {
    for end in [i64::MIN, -(1 << 50), i64::MAX / 2] {
        let resumed = Resumed {
            discontinuities: 8,
            end: Ticks(end),
        };
        let mut program = Program::new(settings(false), EPOCH, EPOCH, Some(resumed));
        program.handle_track(avc_track(AVCC));
        let first = program.told().next_sequence;
        for frame in 0..60_i64 {
            let unit = AccessUnit {
                kind: MediaKind::Video,
                dts: Ticks(frame * 33),
                pts: Ticks(frame * 33),
                duration: None,
                key: frame % 30 == 0,
                data: Bytes::from_static(&[0, 0, 0, 2, 0x41, 0x9a]),
            };
            program.handle_unit(EPOCH.plus_micros(frame * 33_000), unit);
        }
        assert!(program.told().next_sequence - first < 200);
    }
}

#[test]
fn units_without_end_at_one_time_do_not_fill_one_segment() {
    let mut bench = Bench::with_tracks(false);
    bench.play(0, 0, 3_000, 30);
    let before = bench.video.len();
    for _ in 0..100_000 {
        bench.push(MediaKind::Video, 3_000, 0, false);
    }
    assert!(bench.video.len() - before < 30_000);
    // It goes on with the next key unit.
    let before = bench.video.len();
    bench.play(3_100, 3_100, 5_000, 30);
    assert!(bench.video.len() - before > 100);
    bench.assert_contiguous();
}
