//! Several encoders on one key: who is on air, and how soon another one is.

use super::bench::{Bench, LADDER, PLAIN};
use super::encoder::USUAL;
use super::{assert_well, each};

/// Silence, a key interval, and a tick: the longest wait for a backup's picture.
const TAKEN_OVER_MS: i64 = 1500;

/// A primary and a backup that have been publishing for ten seconds.
fn primary_and_backup(terms: super::bench::Terms) -> Bench {
    let mut bench = Bench::new(terms);
    bench.publish(USUAL);
    bench.run(430);
    bench.publish(USUAL);
    bench.run(10_000);
    assert_eq!(bench.filmed_by(), Some(0), "the first one is on air");
    bench.watch().forget_ages();
    bench
}

#[test]
fn a_frozen_primary_loses_the_air_to_a_living_backup() {
    each(&[PLAIN, LADDER], |terms| {
        let mut bench = primary_and_backup(terms);
        bench.encoders[0].freeze();
        let taken = bench.run_until(TAKEN_OVER_MS, |bench| bench.filmed_by() == Some(1));
        assert!(taken >= 1_000, "not before it is silent: {taken} ms");
        bench.run(5_000);
        assert_well(bench);
    });
}

#[test]
fn a_primary_that_leaves_is_replaced_at_once() {
    each(
        &[(PLAIN, true), (PLAIN, false), (LADDER, true)],
        |(terms, clean)| {
            let mut bench = primary_and_backup(terms);
            match clean {
                true => bench.encoders[0].finish(),
                false => bench.encoders[0].disconnect(),
            }
            bench.run_until(1_050, |bench| bench.filmed_by() == Some(1));
            bench.run(5_000);
            let gap = bench.watch().gap_ms("audio");
            assert_eq!(gap, 0, "nothing is missing");
            assert_well(bench);
        },
    );
}

#[test]
fn who_lost_the_air_does_not_take_it_back_by_itself() {
    let mut bench = primary_and_backup(PLAIN);
    bench.encoders[0].freeze();
    bench.run(5_000);
    bench.encoders[0].resume();
    bench.run(10_000);
    assert_eq!(bench.filmed_by(), Some(1));
    bench.encoders[1].finish();
    bench.run_until(1_050, |bench| bench.filmed_by() == Some(0));
    bench.run(5_000);
    assert_well(bench);
}

#[test]
fn a_second_connection_on_the_key_of_a_frozen_encoder_is_on_air_within_two_seconds() {
    each(&[PLAIN, LADDER], |terms| {
        let mut bench = Bench::new(terms);
        bench.publish(USUAL);
        bench.run(10_000);
        bench.encoders[0].freeze();
        bench.run(300);
        let again = bench.publish(USUAL);
        let taken = bench.run_until(2_000, |bench| bench.filmed_by() == Some(again));
        assert!(
            taken >= 700,
            "not before the first one is silent: {taken} ms"
        );
        bench.run(10_000);
        assert_well(bench);
    });
}

#[test]
fn one_missing_track_is_not_silence() {
    let mut bench = primary_and_backup(PLAIN);
    bench.encoders[0].change(super::encoder::Settings {
        picture: None,
        ..USUAL
    });
    bench.run(5_000);
    assert_eq!(bench.filmed_by(), Some(0));
}

#[test]
fn a_silent_encoder_alone_keeps_its_place_and_goes_on() {
    let mut bench = Bench::new(PLAIN);
    bench.publish(USUAL);
    bench.run(10_000);
    bench.encoders[0].freeze();
    bench.run(5_000);
    bench.encoders[0].resume();
    bench.run_until(1_100, |bench| bench.age_of_film_ms() < 100);
    bench.run(5_000);
    assert_well(bench);
}
