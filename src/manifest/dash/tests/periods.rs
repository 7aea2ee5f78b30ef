//! Periods: where they begin and end, and what joins them.

use super::*;

fn periods_of(text: &str) -> Vec<&str> {
    text.split("<Period ").skip(1).collect()
}

#[test]
fn periods_whose_samples_meet_are_continuous_and_those_after_a_hole_connected() {
    let description = only(&["source", "audio"]);
    let mut streams = builders(&description);
    each(&mut streams, |b| {
        b.regular(1);
        b.discontinuity(0, &[200; 10]);
        b.gap(2000);
        b.regular(1);
    });
    streams[0].change("init-new.mp4");
    each(&mut streams, |b| b.discontinuity(0, &[200; 10]));
    let mut periods = Periods::default();
    let text = render(&description, &streams, Mode::Standard, &mut periods);
    let links = |text: &str| -> Vec<(usize, usize)> {
        let of = |period: &&str| {
            let count = |what| period.matches(what).count();
            (
                count("period-continuity:2015"),
                count("period-connectivity:2015"),
            )
        };
        periods_of(text).iter().map(of).collect()
    };
    // Both sets meet; both go on after the gap; only sound keeps its init.
    assert_eq!(links(&text), [(0, 0), (2, 0), (0, 2), (1, 0)]);
    each(&mut streams, |b| {
        b.regular(1);
        b.snapshot.segments.drain(..2);
    });
    let later = render(&description, &streams, Mode::Standard, &mut periods);
    assert_eq!(check_mpd(&later, Some(&text)), []);
    assert_eq!(links(&later), [(0, 2), (1, 0)], "what was told stays");
}

#[test]
fn a_hole_that_nobody_fills_ends_its_period_when_the_next_is_known() {
    // dash.js takes a last Period with a duration for the end of the stream.
    let description = only(&["source", "audio"]);
    let mut streams = builders(&description);
    each(&mut streams, |b| {
        b.regular(2);
        b.gap(2000);
    });
    let mut periods = Periods::default();
    let hole = render(&description, &streams, Mode::Standard, &mut periods);
    assert_eq!(periods_of(&hole).len(), 1);
    assert!(!hole.contains("duration=\"PT4S\""), "{hole}");
    each(&mut streams, |b| b.regular(1));
    let after = render(&description, &streams, Mode::Standard, &mut periods);
    assert_eq!(check_mpd(&after, Some(&hole)), []);
    assert!(after.contains("duration=\"PT4S\""), "{after}");
}

#[test]
fn a_hole_longer_than_the_window_leaves_what_was_told_last() {
    let description = only(&["source", "audio"]);
    let mut streams = builders(&description);
    let mut periods = Periods::default();
    each(&mut streams, |b| b.regular(2));
    let before = render(&description, &streams, Mode::Standard, &mut periods);
    each(&mut streams, |b| {
        b.gap(2000);
        b.gap(2000);
        b.snapshot.segments.drain(..2);
    });
    let hole = render(&description, &streams, Mode::Standard, &mut periods);
    assert_eq!(hole, before);
    each(&mut streams, |b| b.discontinuity(0, &[200; 10]));
    let after = render(&description, &streams, Mode::Standard, &mut periods);
    assert_eq!(check_mpd(&after, Some(&hole)), []);
    assert!(after.contains("<Period id=\"p104\""), "{after}");
}

#[test]
fn a_stream_that_ends_in_such_a_hole_says_so_once() {
    for mode in [Mode::Standard, Mode::LowLatency] {
        let mut description = only(&["source", "audio"]);
        let mut streams = builders(&description);
        let mut periods = Periods::default();
        each(&mut streams, |b| b.regular(2));
        let before = render(&description, &streams, mode, &mut periods);
        each(&mut streams, |b| {
            b.gap(2000);
            b.gap(2000);
            b.snapshot.segments.drain(..2);
        });
        assert_eq!(render(&description, &streams, mode, &mut periods), before);
        description.ended = true;
        each(&mut streams, |b| b.snapshot.ended = true);
        let ended = render(&description, &streams, mode, &mut periods);
        assert_eq!(check_mpd(&ended, Some(&before)), []);
        assert!(ended.contains("mediaPresentationDuration="), "{ended}");
        assert!(!ended.contains("minimumUpdatePeriod"), "{ended}");
        let media = |text: &str| text[text.find("<Period").unwrap()..].to_owned();
        assert_eq!(media(&ended), media(&before));
        assert_eq!(render(&description, &streams, mode, &mut periods), ended);
    }
}

#[test]
fn the_first_period_keeps_its_start_when_a_rung_joins_it() {
    let alone = only(&["source", "audio"]);
    let together = only(&["source", "sd", "audio"]);
    let mut streams = builders(&together);
    each(&mut streams, |b| {
        b.discontinuities = 0;
        b.regular(2);
    });
    let mut periods = Periods::default();
    let two: Vec<Arc<Snapshot>> = snapshots(&streams).into_iter().step_by(2).collect();
    let before = mpd(&alone, &two, Mode::Standard, &mut periods, TIME_URL).unwrap();
    let after = render(&together, &streams, Mode::Standard, &mut periods);
    for text in [before, after] {
        assert!(
            text.contains("<Period id=\"p100\" start=\"PT0S\">"),
            "{text}"
        );
    }
}

#[test]
fn a_rung_that_comes_late_joins_and_takes_nothing_away() {
    let alone = only(&["source", "audio"]);
    let together = only(&["source", "sd", "audio"]);
    for mode in [Mode::Standard, Mode::LowLatency] {
        let mut streams = builders(&together);
        for at in [0, 2] {
            streams[at].regular(5);
        }
        let mut periods = Periods::default();
        let two: Vec<Arc<Snapshot>> = snapshots(&streams).into_iter().step_by(2).collect();
        let before = mpd(&alone, &two, mode, &mut periods, TIME_URL).unwrap();
        streams[1].next_sequence = streams[0].next_sequence;
        streams[1].time = streams[0].time;
        each(&mut streams, |b| b.regular(1));
        let after = render(&together, &streams, mode, &mut periods);
        assert_eq!(check_mpd(&after, Some(&before)), []);
        let counts: Vec<usize> = periods_of(&after)
            .iter()
            .map(|period| period.matches("<Representation ").count())
            .collect();
        assert_eq!(counts, [2, 3]);
    }
}

#[test]
fn short_segments_beside_gaps_drive_nothing_out() {
    let description = only(&["source", "sd", "audio"]);
    let mut streams = builders(&description);
    let mut periods = Periods::default();
    each(&mut streams, |b| b.regular(2));
    let cut_short = [&[200; 4][..], &[200; 3]];
    each(&mut streams, |b| {
        b.segment(cut_short[0]);
    });
    streams[0].gap(2000);
    streams[1].regular(1);
    streams[2].regular(1);
    // The rung goes on where the source comes back behind a gap of its own.
    streams[0].gap(600);
    streams[1].segment(cut_short[1]);
    streams[2].segment(cut_short[1]);
    each(&mut streams, |b| {
        b.discontinuity(0, cut_short[1]);
    });
    for _ in 0..10 {
        each(&mut streams, |b| b.regular(1));
        let text = render(&description, &streams, Mode::LowLatency, &mut periods);
        let all = periods_of(&text);
        assert!(
            all.iter().all(|period| period.contains("id=\"sd\"")),
            "{text}"
        );
        assert!(all.last().unwrap().contains("id=\"source\""), "{text}");
        each(&mut streams, |b| drop(b.snapshot.segments.remove(0)));
    }
}

#[test]
fn a_steady_source_stays_foretold_across_a_break() {
    let description = only(&["source", "audio"]);
    let mut streams = builders(&description);
    each(&mut streams, |b| {
        b.regular(3);
        b.segment(&[200; 4]);
        b.gap(1000);
        b.discontinuity(0, &[200]);
        b.last().complete = false;
    });
    let text = render(
        &description,
        &streams,
        Mode::LowLatency,
        &mut Periods::default(),
    );
    assert!(text.contains("startNumber=\"105\""), "{text}");
    // Another configuration may have another habit.
    streams[0].snapshot.segments.pop();
    streams[0].change("init-new.mp4");
    streams[0].next_sequence -= 1;
    streams[0].discontinuity(0, &[200]);
    streams[0].last().complete = false;
    let text = render(
        &description,
        &streams,
        Mode::LowLatency,
        &mut Periods::default(),
    );
    assert!(!text.contains("startNumber=\"105\""), "{text}");
}

#[test]
fn every_change_is_published_later_also_when_nothing_new_came() {
    let description = only(&["source", "audio"]);
    let mut streams = builders(&description);
    each(&mut streams, |b| b.regular(9));
    let mut periods = Periods::default();
    let before = render(&description, &streams, Mode::Standard, &mut periods);
    let again = render(&description, &streams, Mode::Standard, &mut periods);
    assert_eq!(again, before);
    each(&mut streams, |b| drop(b.snapshot.segments.remove(0)));
    let after = render(&description, &streams, Mode::Standard, &mut periods);
    assert_eq!(check_mpd(&after, Some(&before)), []);
    assert_ne!(after, before);
}
