//! Streams that take the place of a film.

use super::*;
use crate::media::{Grid, Numbered};

/// A film of 7.3 s in segments of 2 s that repeats, and begins at 1 s; the stream is at 1.5 s of it.
fn film() -> Numbered {
    let grid = Grid {
        anchor: Ticks(90_000),
        step: Ticks(180_000),
        length: Some(Ticks(657_000)),
    };
    Numbered::new(grid, Ticks(90_000), 700)
}

fn placed() -> Bench {
    let mut bench = Bench::new(true);
    bench.program.take_place(film());
    bench.tracked()
}

/// Times in milliseconds and numbers of the boundaries so far.
fn cuts(bench: &Bench) -> Vec<(i64, u64)> {
    let cuts = bench.boundaries.iter();
    cuts.map(|boundary| (boundary.time.0 / 90, boundary.sequence))
        .collect()
}

fn assert_on_grid(bench: &Bench) {
    let mut last = None;
    for boundary in &bench.boundaries {
        assert_eq!(film().start(boundary.sequence), boundary.time);
        assert!(!boundary.discontinuity && boundary.discontinuity_sequence == 0);
        assert!(last.is_none_or(|last| last + 1 == boundary.sequence));
        last = Some(boundary.sequence);
    }
}

#[test]
fn segments_are_those_of_the_film_over_its_seam_whatever_the_key_interval() {
    for gop in [7, 60, 250] {
        let mut bench = placed();
        bench.play(1_512, 5, 20_000, gop);
        assert_eq!(
            cuts(&bench),
            [
                (3_000, 701),
                (5_000, 702),
                (7_000, 703),
                (8_300, 704),
                (10_300, 705),
                (12_300, 706),
                (14_300, 707),
                (15_600, 708),
                (17_600, 709),
                (19_600, 710),
            ],
            "GOP of {gop}"
        );
        assert_on_grid(&bench);
        assert_eq!(bench.program.passthrough(), Some(false));
        assert!(bench.gaps.is_empty() && bench.holds.is_empty());
    }
}

#[test]
fn an_encoder_that_drops_leaves_no_hole_on_the_grid_and_one_that_returns_no_discontinuity() {
    let mut bench = placed();
    bench.play(1_512, 0, 4_000, 30);
    bench.program.handle_break();
    bench.wait(5_512, 17_000);
    assert_on_grid(&bench);
    let held = bench.holds.last().expect("rungs went on");
    assert!(held.0 >= Ticks(16_400 * 90) && held.1 == Filler::Slate);
    assert!(bench.boundaries.last().unwrap().sequence >= 708);
    // Another one, of another form.
    bench.announce(Some(true), Some(true));
    bench.program.handle_track(avc_track(OTHER_AVCC));
    bench.play(17_100, 900_000, 4_000, 30);
    assert_on_grid(&bench);
    assert_eq!(bench.boundaries.last().unwrap().sequence, 710);
    assert!(bench.gaps.is_empty());
}

#[test]
fn a_pause_of_minutes_that_passes_at_once_leaves_no_hole_in_the_numbers() {
    let mut bench = placed();
    bench.play(1_512, 0, 4_000, 30);
    bench.at(5_512 + 300_000);
    let now = bench.now;
    bench.program.handle_tick(now);
    bench.drain();
    bench.play(5_600 + 300_000, 304_088, 4_000, 30);
    assert_on_grid(&bench);
    assert!(bench.boundaries.len() > 150);
}

#[test]
fn a_film_whose_end_becomes_known_has_its_seam_from_then_on() {
    let mut grid = film();
    grid.grid.length = None;
    let mut bench = Bench::new(true);
    bench.program.take_place(grid);
    let mut bench = bench.tracked();
    bench.play(1_512, 0, 4_000, 30);
    bench.program.take_place(film());
    bench.play(5_512, 4_000, 6_000, 30);
    assert_on_grid(&bench);
    assert!(cuts(&bench).contains(&(8_300, 704)));
}

#[test]
fn sound_of_another_form_comes_into_force_at_once() {
    let mut bench = placed();
    bench.play(1_512, 0, 4_000, 30);
    let config = aac::Config::new_lc(44_100, 2).expect("a usual configuration");
    bench.program.handle_track(Track {
        config: CodecConfig::Aac(config),
        timescale: Timescale::MILLIS,
    });
    let track = bench
        .program
        .track(MediaKind::Audio)
        .expect("there is sound");
    assert_eq!(track.sample_rate(), Some(44_100));
    bench.play(5_512, 4_000, 4_000, 30);
    assert_on_grid(&bench);
}

#[test]
fn a_ladder_that_cannot_be_made_does_not_list_the_source() {
    let mut bench = placed();
    bench.play(1_512, 0, 4_000, 30);
    bench.program.abandon_ladder();
    bench.play(5_512, 4_000, 4_000, 30);
    assert_eq!(bench.program.passthrough(), Some(false));
    assert_on_grid(&bench);
}
