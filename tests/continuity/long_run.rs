//! A day of media in a few seconds: ten small pictures a second, sound at 24 kHz, and time in coarse
//! steps.

use super::bench::{Bench, PLAIN};
use super::encoder::{PICTURE, Picture, Settings, Sound, USUAL};

const DAY_S: i64 = 24 * 3600;
const SMALL: Settings = USUAL
    .with_picture(Picture {
        rate: (10, 1),
        key_interval: 20,
        ..PICTURE
    })
    .with_sound(Sound {
        rate: 24_000,
        channels: 1,
    });

fn a_day(drift_ppm: i64) {
    let mut bench = Bench::new(PLAIN);
    // Its counter has 24 bits and wraps five times.
    let encoder = bench
        .encoder(SMALL)
        .clock_from(0, 1 << 24)
        .drifting(drift_ppm);
    bench.employ(encoder);
    bench.run(10_000);
    bench.run_coarsely(600);
    let first = bench.sequence();
    let filmed = bench.encoders[0].clock_seconds(bench.now());
    let held = bench.held_bytes();
    bench.watch().forget_ages();
    bench.run_coarsely(DAY_S);

    let segments = (bench.encoders[0].clock_seconds(bench.now()) - filmed) / 2;
    let counted = i64::try_from(bench.sequence() - first).unwrap();
    assert!((counted - segments).abs() <= 1, "{counted} of {segments}");
    let now_held = bench.held_bytes();
    assert!(
        now_held.abs_diff(held) * 100 <= held * 5,
        "{held} bytes became {now_held}"
    );
    assert_eq!(bench.streams().len(), 1);
    let lip_sync = bench.lip_sync_ms();
    assert!(lip_sync <= 20, "sound is {lip_sync} ms off");
    let watch = bench.watch();
    for name in ["source", "audio"] {
        let age = watch.worst_age_ms(name);
        assert!(age <= 600, "{name} was {age} ms old");
        assert_eq!(watch.discontinuities(name) + watch.gap_ms(name) as usize, 0);
    }
    assert!(watch.worst_lead_ms() <= 300, "{}", watch.worst_lead_ms());
    watch.assert_agreement();
}

#[test]
fn a_day_with_a_clock_that_runs_fast() {
    a_day(100);
}

#[test]
fn a_day_with_a_clock_that_runs_slow() {
    a_day(-100);
}
