//! An encoder goes on, or comes back, with other settings.

use super::bench::{Bench, LADDER, PLAIN};
use super::encoder::{LARGE, PICTURE, Picture, SOUND, Settings, Sound, USUAL};
use super::worker::RUNG;
use super::{assert_well, each};

const BIGGER: Settings = USUAL.with_picture(Picture {
    record: LARGE,
    ..PICTURE
});
const FASTER: Settings = USUAL.with_picture(Picture {
    rate: (60, 1),
    key_interval: 120,
    ..PICTURE
});
const SLOWER: Settings = USUAL.with_picture(Picture {
    rate: (25, 1),
    key_interval: 50,
    ..PICTURE
});
const FRACTIONAL: Settings = USUAL.with_picture(Picture {
    rate: (30_000, 1001),
    key_interval: 60,
    ..PICTURE
});
const REORDERED: Settings = USUAL.with_picture(Picture {
    record: LARGE,
    b_frames: true,
    ..PICTURE
});
const CD: Settings = USUAL.with_sound(Sound {
    rate: 44_100,
    ..SOUND
});
const MONO: Settings = USUAL.with_sound(Sound {
    channels: 1,
    ..SOUND
});
const ALL: Settings = REORDERED.with_sound(Sound {
    rate: 44_100,
    channels: 1,
});
const SILENT: Settings = Settings {
    sound: None,
    ..USUAL
};
const RECONFIGURED: [Settings; 5] = [BIGGER, REORDERED, CD, MONO, ALL];

/// Another session with other settings, after so long away.
fn return_with(bench: &mut Bench, settings: Settings, away_ms: i64) {
    bench.encoders[0].finish();
    bench.run(away_ms);
    bench.publish(settings);
    bench.run(1_500);
}

#[test]
fn in_mid_stream_one_discontinuity_stands_before_the_new_key_unit_on_every_rendition() {
    let lines: Vec<_> = RECONFIGURED
        .iter()
        .flat_map(|settings| [(PLAIN, *settings), (LADDER, *settings)])
        .collect();
    each(&lines, |(terms, settings)| {
        let mut bench = Bench::new(terms);
        bench.publish(USUAL);
        bench.run(10_300);
        bench.encoders[0].change(settings);
        bench.run(10_000);
        let watch = bench.watch();
        // A picture larger than declared is not the source's rendition any more (decision 15).
        for name in watch.names() {
            assert_eq!(watch.discontinuities(name), 1, "{name}");
            assert_eq!(watch.gap_ms(name), 0, "{name}");
        }
        assert_well(bench);
    });
}

#[test]
fn between_sessions_it_is_the_same_stream_whatever_the_settings() {
    let settings = [BIGGER, FASTER, SLOWER, FRACTIONAL, REORDERED, CD, MONO, ALL];
    let lines: Vec<_> = settings
        .iter()
        .flat_map(|settings| {
            [(PLAIN, 500), (PLAIN, 4_000), (LADDER, 500), (LADDER, 4_000)]
                .map(|(terms, away_ms)| (terms, *settings, away_ms))
        })
        .collect();
    each(&lines, |(terms, settings, away_ms)| {
        let mut bench = Bench::new(terms);
        bench.publish(USUAL);
        bench.run(10_000);
        return_with(&mut bench, settings, away_ms);
        bench.run(10_000);
        assert!(bench.watch().discontinuities("audio") <= 2);
        assert_well(bench);
    });
}

#[test]
fn rungs_never_change_their_initialisation() {
    each(&RECONFIGURED, |settings| {
        let mut bench = Bench::new(LADDER);
        bench.publish(USUAL);
        bench.run(10_000);
        return_with(&mut bench, settings, 4_000);
        bench.run(10_000);
        let segments = bench.watch().segments[RUNG].values();
        let inits: Vec<&str> = segments.map(|segment| segment.init.as_str()).collect();
        assert!(inits.windows(2).all(|pair| pair[0] == pair[1]), "{inits:?}");
        assert_well(bench);
    });
}

#[test]
fn sound_that_stays_out_holds_the_picture_up_nowhere() {
    each(&[PLAIN, LADDER], |terms| {
        let mut bench = Bench::new(terms);
        bench.publish(USUAL);
        bench.run(10_000);
        return_with(&mut bench, SILENT, 4_000);
        bench.run(20_000);
        assert_silent(&mut bench);
        bench.encoders[1].finish();
        bench.run(500);
        bench.publish(USUAL);
        bench.run(10_000);
        assert_well(bench);
    });
}

#[test]
fn sound_that_stops_in_mid_stream_is_replaced_by_silence() {
    each(&[PLAIN, LADDER], |terms| {
        let mut bench = Bench::new(terms);
        bench.publish(USUAL);
        bench.run(10_000);
        bench.encoders[0].change(SILENT);
        bench.run(20_000);
        assert_silent(&mut bench);
        bench.encoders[0].change(USUAL);
        bench.run(10_000);
        assert_well(bench);
    });
}

/// The sound goes on, silently, a little later than the picture.
fn assert_silent(bench: &mut Bench) {
    for (name, age) in bench.ages() {
        assert!(age <= 1_000, "{name} is {age} ms old");
    }
}
