//! Clocks that wrap, step and drift: the live edge stays at the gateway's clock.

use std::time::Duration;

use forebay::base::clock::Clock;

use super::bench::{Bench, LADDER, PLAIN, START, Terms};
use super::encoder::USUAL;
use super::{LIVE_EDGE_MS, each};

/// A stream on a machine whose clock NTP sets, ten seconds old.
fn on_a_machine(terms: Terms) -> Bench {
    let mut bench = Bench::with_clock(terms, Clock::simulated_machine(START));
    bench.publish(USUAL);
    bench.run(10_000);
    bench.watch().forget_ages();
    bench
}

/// Sets the machine's clock.
fn step(bench: &Bench, by_ms: i64) {
    let machine = START.plus_micros(bench.now());
    bench.clock.step_wall(machine.plus_micros(by_ms * 1000));
}

fn assert_nothing_happened(mut bench: Bench) {
    assert_eq!(bench.streams().len(), 1);
    let lip_sync = bench.lip_sync_ms();
    assert!(lip_sync <= 20, "sound is {lip_sync} ms off");
    let watch = bench.watch();
    let names: Vec<String> = watch.names().map(str::to_owned).collect();
    for name in names {
        assert_eq!(watch.discontinuities(&name), 0, "{name}");
        assert_eq!(watch.gap_ms(&name), 0, "{name}");
        let age = watch.worst_age_ms(&name);
        assert!(age <= LIVE_EDGE_MS, "{name} was {age} ms old");
    }
    let lead = watch.worst_lead_ms();
    assert!(lead <= 50, "{lead} ms before the clock");
    watch.assert_agreement();
}

#[test]
fn counters_of_rtmp_wrap_unseen() {
    // 32 bits of milliseconds after 49.7 days, 24 after 4.66 hours, ffmpeg's 31 after 24.8 days.
    let lines: Vec<_> = [32, 24, 31]
        .into_iter()
        .flat_map(|bits| [(PLAIN, 1_i64 << bits), (LADDER, 1 << bits)])
        .collect();
    each(&lines, |(terms, wrap)| {
        let mut bench = Bench::new(terms);
        let encoder = bench.encoder(USUAL).clock_from(wrap - 12_345, wrap);
        bench.employ(encoder);
        bench.run(10_000);
        bench.watch().forget_ages();
        bench.run(10_000);
        assert_nothing_happened(bench);
    });
}

#[test]
fn an_encoder_that_sets_its_clock_is_followed() {
    // OBS and phones set theirs in mid-stream: forward, back, and to zero.
    each(&[3_600_000, -40_000, -50_000], |by| {
        let mut bench = Bench::new(PLAIN);
        let encoder = bench.encoder(USUAL).clock_from(50_000, i64::MAX);
        bench.employ(encoder);
        bench.run(10_010);
        bench.watch().forget_ages();
        bench.encoders[0].set_clock(by);
        bench.run(10_000);
        assert_nothing_happened(bench);
    });
}

#[test]
fn a_machine_clock_set_by_some_seconds_is_followed_unseen() {
    let steps = [-500, 500, -5_000, 5_000];
    let lines: Vec<_> = steps
        .iter()
        .flat_map(|by| [(PLAIN, *by), (LADDER, *by)])
        .collect();
    each(&lines, |(terms, by)| {
        let mut bench = on_a_machine(terms);
        step(&bench, by);
        bench.run(60_000);
        let followed = bench.clock.wall().micros_since(START) - bench.now();
        assert!((5_000..=6_000).contains(&followed.abs()), "{followed}");
        assert_nothing_happened(bench);
    });
}

#[test]
fn a_machine_that_gets_its_clock_late_moves_the_live_edge_once() {
    each(&[PLAIN, LADDER], |terms| {
        let mut bench = on_a_machine(terms);
        step(&bench, 3_600_000);
        bench.run(10_000);
        for (name, age) in bench.ages() {
            assert!(age <= LIVE_EDGE_MS, "{name} is {age} ms old");
        }
        let watch = bench.watch();
        assert_eq!(
            watch.gap_ms("audio"),
            0,
            "an hour that never was is no hole"
        );
        assert_eq!(watch.discontinuities("audio"), 1);
        let jumps = watch.agreement();
        assert_eq!(jumps.len(), 1);
        assert!((jumps[0] / 1000 - 3_600_000).abs() < 1_000, "{jumps:?}");
    });
}

#[test]
fn a_machine_clock_set_back_by_an_hour_does_not_turn_time_back() {
    each(&[PLAIN, LADDER], |terms| {
        let mut bench = on_a_machine(terms);
        step(&bench, -3_600_000);
        bench.run(10_000);
        let before = bench.ages();
        bench.run(10_000);
        for (name, age) in bench.ages() {
            // Ten seconds later by the clock, and by the playlist.
            let off = (age - before[&name]).abs();
            assert!(off <= LIVE_EDGE_MS, "{name}: {off} ms");
        }
        assert!(bench.age_of_film_ms() <= LIVE_EDGE_MS);
        let watch = bench.watch();
        for name in ["source", "audio"] {
            assert_eq!(watch.discontinuities(name), 0, "{name}");
            assert_eq!(watch.gap_ms(name), 0, "{name}");
        }
        watch.assert_agreement();
        // A hole is seen as ever.
        bench.encoders[0].disconnect();
        bench.run(3_000);
        bench.publish(USUAL);
        bench.run(5_000);
        assert!(bench.age_of_film_ms() <= LIVE_EDGE_MS);
        bench.watch().assert_agreement();
    });
}

#[test]
fn a_reading_of_the_clock_is_the_same_for_all() {
    let clock = Clock::simulated_machine(START);
    let other = clock.clone();
    clock.step_wall(START.plus_micros(3_600_000_000));
    clock.advance(Duration::from_secs(2));
    assert_eq!(clock.wall(), other.wall());
}
