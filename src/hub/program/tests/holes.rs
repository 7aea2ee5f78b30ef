//! Holes in what encoders send, and what becomes of them (ARCHITECTURE.md, decision 9).

use super::*;
use crate::hub::program::video::SHORTEST_GAP;

const SECOND: i64 = 90_000;

/// Eight seconds of 30 fps with a key unit every second, passed through beside a ladder or without one.
fn playing(ladder: bool) -> Bench {
    let mut bench = Bench::with_tracks(ladder);
    bench.play(0, 5_000, 8_000, 30);
    bench
}

/// Another session of the same encoder, with another clock, from `start` on.
fn come_back(bench: &mut Bench, start: i64, ms: i64) {
    bench.announce(Some(true), Some(true));
    bench.program.handle_track(avc_track(AVCC));
    bench.program.handle_track(aac_track());
    bench.play(start, 77_000, ms, 30);
}

fn times(boundaries: &[Boundary]) -> Vec<f64> {
    let seconds = |boundary: &Boundary| boundary.time.seconds(Timescale::CHANNEL);
    boundaries.iter().map(seconds).collect()
}

fn discontinuities(bench: &Bench) -> usize {
    let is = |boundary: &&Boundary| boundary.discontinuity;
    bench.boundaries.iter().filter(is).count()
}

/// What holds whatever happens.
fn assert_sound(bench: &Bench, longest: i64) {
    for pair in bench.boundaries.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence + 1);
        let length = pair[1].time - pair[0].time;
        assert!(length > Ticks::ZERO, "{pair:?}");
        assert!(length <= Ticks(longest * SECOND + SECOND / 2), "{pair:?}");
    }
    for pair in bench.holds.windows(2) {
        assert!(pair[1].0 >= pair[0].0, "{pair:?}");
    }
    for pair in bench.audio.windows(2) {
        let end = pair[0].0.dts + pair[0].0.duration.unwrap();
        assert!(pair[1].0.dts >= end, "audio overlaps at {end:?}");
    }
}

fn assert_sound_without_a_hole(bench: &Bench) {
    for pair in bench.audio.windows(2) {
        let end = pair[0].0.dts + pair[0].0.duration.unwrap();
        assert_eq!(pair[1].0.dts, end);
    }
}

#[test]
fn with_a_ladder_rungs_go_on_half_a_second_behind_the_clock_and_the_source_states_a_gap() {
    for away in [2_000, 10_000, 90_000] {
        let mut bench = playing(true);
        bench.program.handle_break();
        for ms in (8_000..8_000 + away).step_by(50) {
            bench.wait(ms, ms + 1);
            let edge = bench.program.end_wall().micros_since(EPOCH);
            assert!(ms * 1000 - edge <= 511_000, "at {ms}");
        }
        come_back(&mut bench, 8_000 + away, 5_000);
        assert_sound(&bench, 3);
        assert_sound_without_a_hole(&bench);
        assert_eq!(discontinuities(&bench), 0);
        let gaps: Vec<Boundary> = bench.gaps.iter().map(|(boundary, _)| *boundary).collect();
        assert!(bench.gaps.iter().all(|gap| gap.1 == Missing::SourceVideo));
        // The first one is short, so that players of the source soon learn of it.
        assert_eq!(times(&gaps)[..2], [8.0, 8.25]);
        assert_eq!(gaps.len(), 1 + usize::try_from(away / 2_000).unwrap());
        let first_again = bench.video.iter().find(|(unit, _)| unit.pts > gaps[0].time);
        let (unit, opened) = first_again.expect("the source is back");
        assert!(unit.key && opened.len() == 1);
        assert_eq!(unit.pts, Ticks((8_000 + away) * 90));
    }
}

#[test]
fn a_key_unit_just_behind_the_beginning_of_a_gap_leaves_the_others_something_in_it() {
    let mut bench = playing(true);
    bench.program.handle_break();
    bench.wait(8_000, 10_260);
    come_back(&mut bench, 10_260, 5_000);
    assert_sound(&bench, 3);
    let last = bench.gaps.last().unwrap().0.time;
    let again = bench.video.iter().find(|(unit, _)| unit.pts > last);
    let (unit, opened) = again.expect("the source is back");
    assert!(unit.key && opened.len() == 1);
    assert!(unit.pts - last >= SHORTEST_GAP);
}

#[test]
fn the_slate_follows_the_last_picture_after_two_seconds() {
    let mut bench = playing(true);
    bench.program.handle_break();
    bench.wait(8_000, 20_000);
    let slate = bench.holds.iter().find(|hold| hold.1 == Filler::Slate);
    assert_eq!(slate.unwrap().0.0 / SECOND, 10);
    assert!(bench.holds.iter().any(|hold| hold.1 == Filler::Picture));
}

#[test]
fn units_that_come_late_in_one_burst_are_used_unchanged() {
    let mut bench = playing(true);
    bench.wait(8_000, 8_900);
    assert!(!bench.holds.is_empty());
    // 900 ms of media at once, then as usual.
    for frame in 240..267_i64 {
        let time = 5_000 + (frame * 100 + 1) / 3;
        bench
            .at(8_900)
            .push(MediaKind::Video, time, 0, frame % 30 == 0);
    }
    bench.program.handle_tick(bench.now);
    assert!(bench.gaps.is_empty());
    assert_eq!(discontinuities(&bench), 0);
    assert!(bench.decoded.is_empty());
    bench.assert_contiguous();
}

#[test]
fn a_stall_that_outlasts_the_segment_ends_the_source_up_to_its_next_key_unit() {
    let mut bench = playing(true);
    bench.wait(8_000, 12_500);
    assert_eq!(bench.gaps[0].1, Missing::SourceVideo);
    assert!(
        bench.gaps[0].0.discontinuity,
        "what is missing was not stated"
    );
    for frame in 240..480_i64 {
        let time = 5_000 + (frame * 100 + 1) / 3;
        let arrival = 12_500.max((frame * 100 + 1) / 3);
        bench
            .at(arrival)
            .push(MediaKind::Video, time, 0, frame % 30 == 0);
        bench.program.handle_tick(bench.now);
        bench.drain();
    }
    assert_sound(&bench, 3);
    assert!(!bench.decoded.is_empty(), "rungs see what came late");
    let (back, _) = bench
        .video
        .iter()
        .rfind(|(_, opened)| !opened.is_empty())
        .unwrap();
    assert!(back.key && back.pts >= Ticks(12 * SECOND));
}

#[test]
fn without_a_ladder_nothing_is_said_before_players_must_be_told() {
    let mut bench = playing(false);
    bench.program.handle_break();
    bench.wait(8_000, 21_900);
    assert!(bench.gaps.is_empty() && bench.holds.is_empty());
    bench.wait(21_900, 60_000);
    let gaps: Vec<Boundary> = bench.gaps.iter().map(|(boundary, _)| *boundary).collect();
    let expected: Vec<f64> = [8.0, 18.0, 28.0, 38.0, 48.0].to_vec();
    assert_eq!(
        times(&gaps)
            .iter()
            .map(|time| time.round())
            .collect::<Vec<_>>(),
        expected
    );
    come_back(&mut bench, 60_000, 3_000);
    assert_sound(&bench, 10);
    let last = bench.boundaries.iter().rev().nth(1).unwrap();
    assert_eq!(last.time, Ticks(60 * SECOND));
}

#[test]
fn without_a_ladder_a_hole_is_one_gap_up_to_the_returning_key_unit() {
    for away in [2_000, 5_000, 9_500] {
        let mut bench = playing(false);
        bench.program.handle_break();
        bench.wait(8_000, 8_000 + away);
        come_back(&mut bench, 8_000 + away, 3_000);
        assert_sound(&bench, 10);
        assert_eq!(bench.gaps.len(), 1, "{:?}", bench.gaps);
        assert_eq!(bench.gaps[0].1, Missing::Everything);
        let at = bench
            .boundaries
            .iter()
            .find(|b| b.time > bench.gaps[0].0.time);
        assert_eq!(at.unwrap().time, Ticks((8_000 + away) * 90));
        assert_eq!(discontinuities(&bench), 0);
    }
}

#[test]
fn a_short_absence_of_an_unchanged_encoder_is_no_discontinuity() {
    for ladder in [false, true] {
        let mut bench = playing(ladder);
        bench.program.handle_break();
        bench.wait(8_000, 8_300);
        come_back(&mut bench, 8_300, 3_000);
        assert_sound(&bench, 10);
        assert_sound_without_a_hole(&bench);
        assert_eq!(discontinuities(&bench), 0);
        assert!(bench.gaps.is_empty());
    }
}

#[test]
fn other_settings_are_a_discontinuity_on_every_rendition() {
    for ladder in [false, true] {
        let mut bench = playing(ladder);
        bench.program.handle_break();
        bench.wait(8_000, 10_000);
        bench.announce(Some(true), Some(true));
        bench.program.handle_track(avc_track(OTHER_AVCC));
        bench.program.handle_track(aac_track());
        bench.play(10_000, 0, 3_000, 30);
        assert_sound(&bench, 10);
        assert_eq!(discontinuities(&bench), 1);
        let change = bench.boundaries.iter().find(|b| b.discontinuity).unwrap();
        assert_eq!(change.time, Ticks(10 * SECOND));
    }
}

#[test]
fn sound_that_stays_out_is_silence_while_the_picture_goes_on() {
    for ladder in [false, true] {
        let mut bench = playing(ladder);
        for frame in 240..600_i64 {
            let time = (frame * 100 + 1) / 3;
            bench
                .at(time)
                .push(MediaKind::Video, 5_000 + time, 0, frame % 30 == 0);
            bench.program.handle_tick(bench.now);
            bench.drain();
        }
        assert_sound(&bench, 3);
        assert_sound_without_a_hole(&bench);
        let end = &bench.audio.last().unwrap().0;
        let end = rescale(end.pts, Timescale::of(48_000), Timescale::CHANNEL);
        assert!(end > Ticks(18 * SECOND), "{end:?}");
        assert!(bench.holds.is_empty());
    }
}

#[test]
fn an_encoder_that_is_late_for_good_is_mapped_anew() {
    for ladder in [false, true] {
        let mut bench = playing(ladder);
        bench.wait(8_000, 11_000);
        // It was stopped for three seconds and goes on where it was.
        for frame in 240..960_i64 {
            let time = (frame * 100 + 1) / 3;
            bench
                .at(time + 3_000)
                .push(MediaKind::Video, 5_000 + time, 0, frame % 30 == 0);
            bench.program.handle_tick(bench.now);
            bench.drain();
        }
        assert_sound(&bench, 10);
        let last = &bench.video.last().unwrap().0;
        let late = Ticks(35_000 * 90) - last.pts;
        assert!(late < Ticks(SECOND), "ladder {ladder}: {late:?} behind");
    }
}

#[test]
fn a_backup_goes_on_where_the_primary_left_without_waiting_for_its_next_key_unit() {
    let mut bench = playing(true);
    bench.program.handle_break();
    bench.announce(Some(true), Some(true));
    bench.program.handle_track(avc_track(AVCC));
    bench.program.handle_track(aac_track());
    bench.program.handle_warm_start();
    // Its last key unit came half a second before the primary's end.
    for frame in 0..90_i64 {
        let time = (frame * 100 + 1) / 3;
        bench
            .at(7_500 + time)
            .push(MediaKind::Video, 900 + time, 0, frame % 30 == 0);
        if time >= 500 {
            bench.program.handle_tick(bench.now);
            bench.drain();
        }
    }
    assert_sound(&bench, 3);
    assert!(bench.holds.iter().all(|hold| hold.0 <= Ticks(8 * SECOND)));
    let shown = bench
        .decoded
        .iter()
        .filter(|unit| unit.pts >= Ticks(8 * SECOND));
    assert_eq!(shown.count(), 15);
    let (unit, opened) = bench
        .video
        .iter()
        .find(|(unit, _)| unit.pts > Ticks(8 * SECOND))
        .unwrap();
    assert!(unit.key && unit.pts == Ticks(8 * SECOND + SECOND / 2) && opened.len() == 1);
}

#[test]
fn a_backup_with_other_sound_is_heard_without_waiting_for_its_next_key_unit() {
    let mut bench = playing(true);
    bench.program.handle_break();
    bench.announce(Some(true), Some(true));
    bench.program.handle_track(avc_track(AVCC));
    bench.program.handle_track(Track {
        config: CodecConfig::Aac(aac::Config::new_lc(44_100, 1).unwrap()),
        timescale: Timescale::MILLIS,
    });
    bench.program.handle_warm_start();
    let dropped = bench.program.repairs().dropped_units;
    bench.play(7_500, 900, 3_000, 120);
    let first = bench.boundaries.iter().find(|b| b.discontinuity).unwrap();
    assert_eq!(first.time, Ticks(8 * SECOND));
    assert_eq!(discontinuities(&bench), 1);
    let sound = bench.program.track(MediaKind::Audio).unwrap();
    assert_eq!(sound.timescale, Timescale::of(44_100));
    // What came before the primary's end.
    let dropped = bench.program.repairs().dropped_units - dropped;
    assert!(dropped <= 26, "{dropped} units");
    let silent = bench.program.repairs().silent_frames;
    assert!(silent <= 1, "{silent} silent frames");
}

#[test]
fn a_clock_that_is_set_an_hour_ahead_costs_one_discontinuity_and_no_hour_of_pictures() {
    for ladder in [false, true] {
        let mut bench = playing(ladder);
        let hour = 3_600_000;
        bench.wait(hour + 8_000, hour + 9_000);
        assert!(bench.boundaries.len() < 20);
        assert_eq!(discontinuities(&bench), 1);
        bench.program.handle_break();
        come_back(&mut bench, hour + 9_000, 3_000);
        let last = &bench.video.last().unwrap().0;
        assert!((last.pts - Ticks((hour + 12_000) * 90)).0.abs() < SECOND / 5);
    }
}

#[test]
fn a_source_that_turns_into_one_for_studios_is_listed_no_longer() {
    for ladder in [false, true] {
        let mut bench = playing(ladder);
        assert_eq!(bench.program.passthrough(), Some(true));
        bench.program.handle_track(studio_track());
        bench.play(8_000, 13_000, 4_000, 30);
        assert_eq!(bench.program.passthrough(), Some(!ladder));
        assert_eq!(discontinuities(&bench), 1);
    }
}

#[test]
fn a_gop_that_turns_out_too_long_ends_passthrough_behind_one_discontinuity() {
    let mut bench = playing(true);
    assert_eq!(bench.settled, Some(true));
    for frame in 240..600_i64 {
        let time = (frame * 100 + 1) / 3;
        bench
            .at(time)
            .push(MediaKind::Video, 5_000 + time, 0, frame == 240);
    }
    assert_eq!(bench.settled, Some(false));
    assert_eq!(discontinuities(&bench), 1);
    assert_sound(&bench, 3);
}
