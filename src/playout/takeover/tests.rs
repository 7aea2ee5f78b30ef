use super::*;
use crate::base::id::Uuid;
use crate::playout::After;

const EPOCH: Wall = Wall(1_700_000_000_000_000);
const SEGMENT: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_secs(5);

/// 7.3 s at 30 frames a second: segments of 2, 2, 2 and 1.3 s.
fn facts() -> Facts {
    Facts {
        fps: 30,
        segment_frames: 60,
        part_frames: 6,
        frames: Some(219),
        unrolled: 1,
        segments: 4,
        renditions: Vec::new(),
    }
}

fn cut(at_ms: i64, sequence: u64, discontinuity: u64, kind: Kind, anchor_ms: i64) -> Cut {
    Cut {
        at: Ticks(at_ms * 90),
        sequence,
        discontinuity,
        kind,
        anchor: Ticks(anchor_ms * 90),
    }
}

/// A loop from the tenth second to the end of the first hour, after a slate.
fn show() -> Show {
    Show {
        stream: Uuid::from_u128(1),
        asset: Uuid::from_u128(2),
        epoch: EPOCH,
        looping: true,
        after: After::Slate,
        cuts: vec![
            cut(0, 100, 0, Kind::Slate, 0),
            cut(10_000, 105, 1, Kind::Film, 10_000),
            cut(3_600_000, 2_100, 2, Kind::End, 3_600_000),
        ]
        .into(),
    }
}

fn at(ms: i64) -> Wall {
    EPOCH.plus_micros(ms * 1000)
}

/// An encoder that sends, and whose renditions are half a second behind.
fn sending(now_ms: i64) -> Leg {
    Leg {
        fits: true,
        silent: Some(Duration::ZERO),
        ready: Some(Ticks((now_ms - 500) * 90)),
    }
}

fn ask(show: &Show, called: bool, leg: Option<Leg>, now_ms: i64) -> Step {
    let terms = (called, SILENCE);
    step(show, &facts(), SEGMENT, terms, leg.as_ref(), at(now_ms))
}

/// The show with another row.
fn with(show: &Show, row: Cut) -> Show {
    let mut cuts = show.cuts.to_vec();
    let place = cuts.partition_point(|cut| cut.at < row.at);
    cuts.insert(place, row);
    Show {
        cuts: cuts.into(),
        ..show.clone()
    }
}

fn written(step: Step) -> Cut {
    match step {
        Step::Cut(cut) => cut,
        other => panic!("{other:?} where a row was to be written"),
    }
}

/// Where the encoder of a show lies on the grid, as its stream is told.
fn numbered(show: &Show, now_ms: i64) -> Numbered {
    place(show, &facts(), SEGMENT, at(now_ms))
        .expect("there is a place")
        .grid
}

#[test]
fn an_encoder_goes_on_air_at_the_first_boundary_that_nobody_was_told_of() {
    // Segments begin at 10, 12, 14, 16, 17.3, 19.3 s and so on.
    for (now_ms, at_ms, sequence) in [
        (10_000, 12_000, 106),
        (10_250, 12_000, 106),
        (10_251, 14_000, 107),
        (15_500, 17_300, 109),
        (15_551, 19_300, 110),
    ] {
        let cut = written(ask(&show(), true, Some(sending(now_ms)), now_ms));
        assert_eq!(cut.at, Ticks(at_ms * 90), "at {now_ms} ms");
        assert_eq!(
            (cut.sequence, cut.discontinuity, cut.kind),
            (sequence, 2, Kind::Live)
        );
        assert_eq!(numbered(&show(), now_ms).sequence_at(cut.at), sequence);
        assert_eq!(numbered(&show(), now_ms).start(sequence), cut.at);
    }
}

#[test]
fn an_encoder_that_never_is_ready_changes_nothing() {
    for now_ms in (9_000..60_000).step_by(100) {
        let mut leg = sending(now_ms);
        leg.ready = None;
        assert_eq!(ask(&show(), true, Some(leg), now_ms), Step::Wait);
        leg.ready = Some(Ticks((now_ms - 2_001) * 90));
        assert_eq!(ask(&show(), true, Some(leg), now_ms), Step::Wait);
        assert_eq!(ask(&show(), true, None, now_ms), Step::Wait);
    }
}

#[test]
fn before_the_film_an_encoder_waits_on_the_films_grid_and_the_slate_stays() {
    assert_eq!(ask(&show(), true, Some(sending(4_000)), 4_000), Step::Wait);
    let grid = numbered(&show(), 4_000);
    assert_eq!(grid, numbered(&show(), 20_000));
    assert_eq!(grid.start(105), Ticks(900_000));
    let cut = written(ask(&show(), true, Some(sending(9_900)), 9_900));
    assert_eq!((cut.at, cut.sequence), (Ticks(12_000 * 90), 106));
}

#[test]
fn the_film_returns_at_the_next_boundary_when_the_encoder_goes_and_numbers_run_on() {
    let live = with(&show(), cut(12_000, 106, 2, Kind::Live, 10_000));
    assert_eq!(ask(&live, true, Some(sending(30_000)), 30_000), Step::Wait);
    let gone = Leg {
        silent: None,
        ..sending(30_000)
    };
    for leg in [Some(gone), None] {
        let back = written(ask(&live, true, leg, 30_000));
        // 10 + 2 x 7.3 + 6 = 30.6 s is too near, so that it is the seam.
        assert_eq!(back, cut(31_900, 117, 3, Kind::Film, 10_000));
        assert_eq!(numbered(&live, 30_000).sequence_at(back.at), 117);
        let over = with(&live, back);
        assert_eq!(ask(&over, true, leg, 30_100), Step::Wait);
    }
}

#[test]
fn an_encoder_that_is_silent_stays_for_the_grace_and_one_that_was_recalled_does_not() {
    let live = with(&show(), cut(12_000, 106, 2, Kind::Live, 10_000));
    let silent = |ms| Leg {
        silent: Some(Duration::from_millis(ms)),
        ..sending(30_000)
    };
    assert_eq!(ask(&live, true, Some(silent(6_999)), 30_000), Step::Wait);
    assert_eq!(
        written(ask(&live, true, Some(silent(7_000)), 30_000)).kind,
        Kind::Film
    );
    assert_eq!(
        written(ask(&live, false, Some(silent(0)), 30_000)).kind,
        Kind::Film
    );
    let moved = Leg {
        fits: false,
        ..silent(0)
    };
    assert_eq!(
        written(ask(&live, true, Some(moved), 30_000)).kind,
        Kind::Film
    );
}

#[test]
fn a_stream_ends_once_all_that_it_had_on_air_is_there_or_does_not_come() {
    let live = with(&show(), cut(12_000, 106, 2, Kind::Live, 10_000));
    let over = with(&live, cut(31_900, 117, 3, Kind::Film, 10_000));
    let left = |ready_ms: i64| Leg {
        fits: true,
        silent: None,
        ready: Some(Ticks(ready_ms * 90)),
    };
    let finish = Step::Finish("the stream was given back to the film");
    assert_eq!(ask(&over, false, Some(left(30_500)), 31_000), Step::Wait);
    assert_eq!(ask(&over, false, Some(left(31_800)), 32_000), Step::Wait);
    assert_eq!(ask(&over, false, Some(left(31_900)), 32_000), finish);
    assert_eq!(ask(&over, false, Some(left(31_800)), 34_900), finish);
    // One that may come back finds its stream for a minute.
    let finish = Step::Finish("the encoder has gone");
    assert_eq!(ask(&over, true, Some(left(91_800)), 91_800), Step::Wait);
    assert_eq!(ask(&over, true, Some(left(91_900)), 91_900), finish);
    assert_eq!(ask(&show(), true, Some(left(0)), 20_000), finish);
}

#[test]
fn an_encoder_that_comes_back_takes_over_again() {
    let live = with(&show(), cut(12_000, 106, 2, Kind::Live, 10_000));
    let over = with(&live, cut(31_900, 117, 3, Kind::Film, 10_000));
    let cut = written(ask(&over, true, Some(sending(40_000)), 40_000));
    assert_eq!((cut.kind, cut.discontinuity), (Kind::Live, 4));
    assert_eq!(numbered(&over, 40_000).sequence_at(cut.at), cut.sequence);
    // Even before the film has returned.
    let cut = written(ask(&over, true, Some(sending(31_500)), 31_500));
    assert!(cut.at > Ticks(31_900 * 90) && cut.discontinuity == 4);
}

#[test]
fn nothing_is_taken_over_when_the_show_is_about_to_end() {
    let now = 3_598_900;
    assert_eq!(ask(&show(), true, Some(sending(now)), now), Step::Wait);
    assert!(place(&show(), &facts(), SEGMENT, at(3_600_000)).is_none());
}

/// Every 50 ms for minutes, with an encoder that comes and goes: rows never lie nearer than the lead, times and
/// numbers rise together, and each row's number is its grid's.
#[test]
fn whatever_the_encoder_does_rows_are_in_order_and_on_the_grid() {
    for seed in 0..40_u64 {
        let mut show = show();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 33
        };
        let (mut leg, mut called) = (None::<Leg>, true);
        for now_ms in (10_000_i64..190_000).step_by(50) {
            match random() % 100 {
                0 => leg = None,
                1..4 => leg = Some(sending(now_ms)),
                4 => called = !called,
                _ => {}
            }
            let sends = leg.map(|leg| Leg {
                ready: Some(Ticks((now_ms - 400) * 90)),
                ..leg
            });
            match ask(&show, called, sends, now_ms) {
                Step::Cut(cut) => {
                    assert!(cut.at >= Ticks((now_ms + 500) * 90), "{cut:?} at {now_ms}");
                    show = with(&show, cut);
                }
                Step::Finish(_) => leg = None,
                Step::Wait => {}
            }
        }
        let grid = numbered(&show, 10_000);
        let rows = &show.cuts[1..show.cuts.len() - 1];
        for pair in rows.windows(2) {
            assert!(
                pair[0].at < pair[1].at && pair[0].kind != pair[1].kind,
                "{pair:?}"
            );
            assert_eq!(pair[1].discontinuity, pair[0].discontinuity + 1);
        }
        for row in rows {
            assert_eq!(grid.start(row.sequence), row.at, "{row:?}");
        }
        assert!(rows.len() > 2, "seed {seed} has no takeover");
    }
}
