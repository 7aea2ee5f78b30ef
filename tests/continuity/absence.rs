//! A publisher goes away, stands still or is cut off, and comes back.

use std::time::Duration;

use forebay::hub::boundary::OnLoss;
use forebay::hub::story::{Cover, State};

use super::bench::{Bench, LADDER, PLAIN, Terms};
use super::encoder::{PICTURE, Picture, Settings, USUAL};
use super::worker::RUNG;
use super::{LIVE_EDGE_MS, each};

/// How media stay out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// A clean goodbye, and a new session.
    Finish,
    /// The connection is cut, and a new session.
    Disconnect,
    /// Connected but silent, then the same session goes on.
    Freeze,
    /// Connected but silent, then all that was missing comes in one burst.
    Stall,
}

const LOSSES: [Loss; 4] = [Loss::Finish, Loss::Disconnect, Loss::Freeze, Loss::Stall];

/// How old the end of a rung or of the sound may be while media are missing: what a player's buffer of
/// 3 parts and 0.3 s bridges.
const FROZEN_EDGE_MS: i64 = 940;
/// From the first new key unit to media of it in a playlist.
const RESUMED_MS: i64 = 1500;

/// Plays for some seconds, stays away, plays for ten seconds.
struct Story {
    bench: Bench,
}

impl Story {
    /// Until the middle of a segment.
    fn begin(terms: Terms, settings: Settings) -> Story {
        Story::begin_for(terms, settings, 11_370)
    }

    fn begin_for(terms: Terms, settings: Settings, ms: i64) -> Story {
        let mut bench = Bench::new(terms);
        bench.publish(settings);
        bench.run(ms);
        bench.watch().forget_ages();
        Story { bench }
    }

    fn lose(mut self, loss: Loss, away_ms: i64) -> Story {
        let encoder = &mut self.bench.encoders[0];
        match loss {
            Loss::Finish => encoder.finish(),
            Loss::Disconnect => encoder.disconnect(),
            Loss::Freeze => encoder.freeze(),
            Loss::Stall => encoder.stall(),
        }
        self.bench.run(away_ms);
        self
    }

    /// The encoder is back; sessions that ended begin anew, with `settings`.
    fn return_with(mut self, loss: Loss, settings: Settings) -> Story {
        match loss {
            Loss::Finish | Loss::Disconnect => {
                self.bench.publish(settings);
            }
            Loss::Freeze | Loss::Stall => self.bench.encoders[0].resume(),
        }
        // A frozen encoder goes on in the middle of a GOP: its next key unit is a second away.
        let until_key = if loss == Loss::Freeze { 1000 } else { 0 };
        self.bench.run(until_key + RESUMED_MS);
        for (name, age) in self.bench.ages() {
            assert!(
                age <= LIVE_EDGE_MS,
                "{name} is {age} ms old after the return"
            );
        }
        self.bench.run(8_500);
        self
    }

    fn worst_age_ms(&mut self, name: &str) -> i64 {
        self.bench.watch().worst_age_ms(name)
    }

    /// What holds in every case.
    fn end(mut self) {
        assert_eq!(self.bench.streams().len(), 1, "the same stream goes on");
        let lip_sync = self.bench.lip_sync_ms();
        assert!(lip_sync <= 20, "sound is {lip_sync} ms off");
        let watch = self.bench.watch();
        watch.assert_agreement();
        assert!(!watch.ended);
        let lead = watch.worst_lead_ms();
        assert!(lead <= LIVE_EDGE_MS, "{lead} ms before the clock");
    }
}

fn away(terms: Terms, away_ms: &[i64], test: impl Fn(Terms, Loss, i64)) {
    let lines: Vec<(Loss, i64)> = LOSSES
        .iter()
        .flat_map(|loss| away_ms.iter().map(|ms| (*loss, *ms)))
        .collect();
    each(&lines, |(loss, ms)| test(terms, loss, ms));
}

#[test]
fn without_a_ladder_a_hole_up_to_a_second_is_closed() {
    away(PLAIN, &[300, 900], |terms, loss, ms| {
        let mut story = Story::begin(terms, USUAL)
            .lose(loss, ms)
            .return_with(loss, USUAL);
        let watch = story.bench.watch();
        assert_eq!(watch.gap_ms("source") + watch.gap_ms("audio"), 0);
        if matches!(loss, Loss::Freeze | Loss::Stall) {
            assert_eq!(watch.discontinuities("source"), 0);
        }
        story.end();
    });
}

#[test]
fn without_a_ladder_a_longer_hole_is_stated_as_gaps() {
    away(
        PLAIN,
        &[2_000, 10_000, 16_000, 90_000],
        |terms, loss, ms| {
            let mut story = Story::begin(terms, USUAL)
                .lose(loss, ms)
                .return_with(loss, USUAL);
            let watch = story.bench.watch();
            for name in ["source", "audio"] {
                let gap = watch.gap_ms(name);
                // Media that come before 1.4 target durations are used unchanged, and later what lies
                // behind the gap that was stated.
                let expected = match (loss, ms) {
                    (Loss::Stall, ..14_000) => 0..=0,
                    (Loss::Stall, _) => ms - 14_000..=ms,
                    _ => ms - 1_200..=ms + 1_200,
                };
                assert!(expected.contains(&gap), "{name}: gaps of {gap} ms");
                assert!(watch.discontinuities(name) <= 1, "{name}");
            }
            story.end();
        },
    );
}

#[test]
fn nothing_is_said_of_silence_before_1_4_target_durations() {
    each(&LOSSES, |loss| {
        let mut story = Story::begin(PLAIN, USUAL).lose(loss, 13_500);
        assert_eq!(story.bench.watch().gap_ms("source"), 0);
        story.bench.run(1_000);
        assert!(story.bench.watch().gap_ms("source") >= 2_000);
        story.bench.run(60_000);
        // From then on the end of the playlist follows the clock.
        for (name, age) in story.bench.ages() {
            assert!(age <= 14_500, "{name} is {age} ms old");
        }
        story.end();
    });
}

#[test]
fn with_a_ladder_rungs_and_sound_never_stand_still() {
    away(LADDER, &[300, 2_000, 10_000, 90_000], |terms, loss, ms| {
        let mut story = Story::begin(terms, USUAL)
            .lose(loss, ms)
            .return_with(loss, USUAL);
        for name in [RUNG, "audio"] {
            let age = story.worst_age_ms(name);
            assert!(age <= FROZEN_EDGE_MS, "{name} was {age} ms old");
            assert_eq!(story.bench.watch().gap_ms(name), 0, "{name}");
        }
        if ms > 2_000 {
            let gap = story.bench.watch().gap_ms("source");
            assert!((gap - ms).abs() <= 3_000, "source: gaps of {gap} ms");
        }
        story.end();
    });
}

#[test]
fn a_source_off_the_segment_grid_is_held_as_well() {
    let long = Picture {
        key_interval: 250,
        b_frames: true,
        ..PICTURE
    };
    let settings = USUAL.with_picture(long);
    away(LADDER, &[2_000, 10_000], |terms, loss, ms| {
        let mut story = Story::begin(terms, settings).lose(loss, ms);
        for name in [RUNG, "audio"] {
            let age = story.worst_age_ms(name);
            assert!(age <= FROZEN_EDGE_MS, "{name} was {age} ms old");
        }
        match loss {
            Loss::Finish | Loss::Disconnect => {
                story.bench.publish(settings);
            }
            Loss::Freeze | Loss::Stall => story.bench.encoders[0].resume(),
        }
        story.bench.run(15_000);
        assert!(!story.bench.watch().names().any(|name| name == "source"));
        story.end();
    });
}

#[test]
fn freezing_fills_as_the_slate_does_and_gap_states_the_hole() {
    each(&[OnLoss::Freeze, OnLoss::Gap], |on_loss| {
        let terms = Terms { on_loss, ..LADDER };
        let mut story = Story::begin(terms, USUAL)
            .lose(Loss::Disconnect, 10_000)
            .return_with(Loss::Disconnect, USUAL);
        let gap = story.bench.watch().gap_ms(RUNG);
        match on_loss {
            OnLoss::Gap => assert!((gap - 10_000).abs() <= 1_500, "gaps of {gap} ms"),
            _ => assert_eq!(gap, 0),
        }
        story.end();
    });
}

#[test]
fn where_gaps_are_stated_sound_alone_goes_on_beside_gaps_of_every_picture() {
    let terms = Terms {
        on_loss: OnLoss::Gap,
        ..LADDER
    };
    each(&[PLAIN, terms], sound_goes_on_alone);
}

fn sound_goes_on_alone(terms: Terms) {
    let blind = Settings {
        picture: None,
        ..USUAL
    };
    let mut story = Story::begin(terms, USUAL);
    story.bench.encoders[0].change(blind);
    story.bench.run(25_000);
    let during = story.bench.stream().stats();
    assert!(matches!(
        story.bench.stream().health().state,
        State::Hole(Cover::Gap)
    ));
    assert_eq!(during.counts.holes, 1);
    story.bench.encoders[0].change(USUAL);
    story.bench.run(6_000);
    let watch = story.bench.watch();
    assert!(watch.gap_ms("source") >= 8_000);
    if terms.ladder {
        assert!(
            watch.gap_ms(RUNG) >= 8_000,
            "a rung lasted on without a picture"
        );
    }
    assert_eq!(watch.gap_ms("audio"), 0);
    assert_eq!(story.bench.stream().stats().counts.holes, 1);
    story.end();
}

#[test]
fn it_does_not_matter_where_in_a_segment_a_hole_begins() {
    let offsets = [0, 10, 20, 40, 150, 1_000, 1_960, 1_990];
    let lines: Vec<_> = offsets
        .iter()
        .flat_map(|ms| [(PLAIN, *ms), (LADDER, *ms)])
        .flat_map(|(terms, ms)| LOSSES.map(|loss| (terms, loss, ms)))
        .collect();
    each(&lines, |(terms, loss, ms)| {
        Story::begin_for(terms, USUAL, 10_000 + ms)
            .lose(loss, 3_000)
            .return_with(loss, USUAL)
            .end();
    });
}

#[test]
fn holes_follow_one_another() {
    each(&[PLAIN, LADDER], |terms| {
        let mut story = Story::begin(terms, USUAL);
        for (turn, ms) in [300, 1_500, 700, 5_000, 50, 2_500].into_iter().enumerate() {
            let loss = LOSSES[turn % 4];
            let encoder = story.bench.encoders.last_mut().unwrap();
            match loss {
                Loss::Finish => encoder.finish(),
                Loss::Disconnect => encoder.disconnect(),
                Loss::Freeze => encoder.freeze(),
                Loss::Stall => encoder.stall(),
            }
            story.bench.run(ms);
            match loss {
                Loss::Finish | Loss::Disconnect => {
                    story.bench.publish(USUAL);
                }
                Loss::Freeze | Loss::Stall => {
                    story.bench.encoders.last_mut().unwrap().resume();
                }
            }
            story.bench.run(1_300);
        }
        story.bench.run(5_000);
        story.end();
    });
}

#[test]
fn sound_or_picture_alone_may_come_and_go() {
    let silent = Settings {
        sound: None,
        ..USUAL
    };
    let blind = Settings {
        picture: None,
        ..USUAL
    };
    each(&[silent, blind], |settings| {
        let story = Story::begin(PLAIN, settings)
            .lose(Loss::Disconnect, 5_000)
            .return_with(Loss::Disconnect, settings);
        story.end();
    });
}

#[test]
fn after_the_reconnect_window_the_stream_ends_and_the_next_one_is_another() {
    each(&[PLAIN, LADDER], |terms| {
        let terms = Terms {
            reconnect: Duration::from_secs(30),
            ..terms
        };
        let mut story = Story::begin(terms, USUAL).lose(Loss::Disconnect, 29_000);
        assert!(!story.bench.watch().ended);
        story.bench.run(2_000);
        let first = story.bench.streams()[0];
        assert!(story.bench.watch_of(first).ended);
        story.bench.watch_of(first).assert_agreement();
        story.bench.run(59_000);
        story.bench.publish(USUAL);
        story.bench.run(10_000);
        assert_eq!(story.bench.streams().len(), 2);
        let watch = story.bench.watch();
        assert!(!watch.ended);
        assert_eq!(watch.discontinuities("audio"), 0);
        watch.assert_agreement();
        // Numbers count from the clock: a later stream has higher ones.
        let newest = |bench: &Bench, id| {
            let segments = &bench.watch_of(id).segments["audio"];
            *segments.last_key_value().unwrap().0
        };
        let streams = story.bench.streams();
        assert!(newest(&story.bench, streams[0]) < newest(&story.bench, streams[1]));
    });
}
