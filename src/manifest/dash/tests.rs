mod periods;

use std::sync::Arc;

use super::*;
use crate::manifest::check::{check_hls_against_mpd, check_mpd};
use crate::manifest::hls;
use crate::manifest::sample::{Builder, ladder, video_track};
use crate::media::time::Ticks;

const TIME_URL: &str = "/time?a=1&b=2";

/// The whole text with what other layers decide put in.
fn expected(text: &str) -> String {
    text.replace("{video}", &video_track(1, 1).codec_string())
}

/// The description with only the renditions of these names.
fn only(names: &[&str]) -> Description {
    let mut description = ladder();
    description.video.retain(|r| names.contains(&&*r.name));
    description.audio.retain(|r| names.contains(&&*r.name));
    description
}

fn builders(description: &Description) -> Vec<Builder> {
    let all = description.video.iter().chain(&description.audio);
    all.map(Builder::new).collect()
}

fn snapshots(builders: &[Builder]) -> Vec<Arc<Snapshot>> {
    builders
        .iter()
        .map(|b| Arc::new(b.snapshot.clone()))
        .collect()
}

fn render(d: &Description, b: &[Builder], mode: Mode, periods: &mut Periods) -> String {
    let text = mpd(d, &snapshots(b), mode, periods, TIME_URL).unwrap();
    assert_eq!(check_mpd(&text, None), []);
    text
}

fn each(builders: &mut [Builder], act: impl Fn(&mut Builder)) {
    builders.iter_mut().for_each(act);
}

#[test]
fn a_standard_manifest_lists_finished_segments() {
    let description = only(&["source", "audio"]);
    let mut streams = builders(&description);
    each(&mut streams, |b| {
        b.regular(3);
        b.growing(&[200, 200]);
    });
    let text = render(
        &description,
        &streams,
        Mode::Standard,
        &mut Periods::default(),
    );
    assert_eq!(text, expected(include_str!("tests/standard.mpd")));
}

#[test]
fn a_low_latency_manifest_lists_the_running_segment_on_the_grid() {
    let description = only(&["source", "sd", "audio"]);
    let mut streams = builders(&description);
    each(&mut streams, |b| {
        b.regular(2);
        b.growing(&[200, 200]);
    });
    let text = render(
        &description,
        &streams,
        Mode::LowLatency,
        &mut Periods::default(),
    );
    assert_eq!(text, expected(include_str!("tests/low-latency.mpd")));
}

#[test]
fn a_hole_closes_the_period_and_the_return_opens_one_also_after_its_start_left_the_window() {
    let description = only(&["source", "audio"]);
    let mut streams = builders(&description);
    each(&mut streams, |b| b.regular(2));
    let mut periods = Periods::default();
    let first = render(&description, &streams, Mode::Standard, &mut periods);
    each(&mut streams, |b| {
        b.gap(2000);
        b.gap(1500);
        b.change("init-new.mp4");
        b.discontinuity(0, &[200; 10]);
    });
    let second = render(&description, &streams, Mode::Standard, &mut periods);
    assert_eq!(check_mpd(&second, Some(&first)), []);
    assert!(second.contains("<Period id=\"p100\" start=\"PT10S\" duration=\"PT4S\">"));
    assert!(
        second.contains("<Period id=\"p104\" start=\"PT17.5S\">"),
        "{second}"
    );
    assert!(!second.contains("startNumber=\"102\""));
    each(&mut streams, |b| {
        b.regular(2);
        b.snapshot.segments.drain(..5);
    });
    let third = render(&description, &streams, Mode::Standard, &mut periods);
    assert_eq!(check_mpd(&third, Some(&second)), []);
    assert!(
        third.contains("<Period id=\"p104\" start=\"PT17.5S\">"),
        "{third}"
    );
    assert!(third.contains("startNumber=\"105\""));
    for b in &streams {
        let name = &b.snapshot.rendition.name;
        let playlist = hls::media(&b.snapshot, None);
        assert_eq!(check_hls_against_mpd(&third, name, &playlist), []);
    }
}

#[test]
fn connected_periods_have_no_duration_of_their_own() {
    let description = only(&["source", "audio"]);
    let mut streams = builders(&description);
    each(&mut streams, |b| {
        b.regular(1);
        b.discontinuity(0, &[200; 10]);
    });
    let text = render(
        &description,
        &streams,
        Mode::Standard,
        &mut Periods::default(),
    );
    assert_eq!(text.matches("<Period").count(), 2);
    assert!(!text.contains(" duration="), "{text}");
}

#[test]
fn a_rendition_in_a_gap_leaves_for_periods_of_the_others() {
    let description = only(&["source", "sd", "audio"]);
    let mut streams = builders(&description);
    each(&mut streams, |b| b.regular(1));
    streams[0].gap(2000);
    streams[1].regular(1);
    streams[2].regular(1);
    each(&mut streams, |b| b.regular(1));
    let text = render(
        &description,
        &streams,
        Mode::Standard,
        &mut Periods::default(),
    );
    let counts: Vec<usize> = text
        .split("<Period ")
        .skip(1)
        .map(|period| period.matches("<Representation ").count())
        .collect();
    assert_eq!(counts, [3, 2, 3]);
}

#[test]
fn the_slowest_rendition_decides_and_a_missing_one_makes_no_manifest() {
    let description = only(&["source", "audio"]);
    let mut streams = builders(&description);
    streams[0].regular(3);
    streams[1].regular(2);
    let text = render(
        &description,
        &streams,
        Mode::Standard,
        &mut Periods::default(),
    );
    assert_eq!(text.matches("r=\"1\"").count(), 2, "{text}");
    let some = &snapshots(&streams)[..1];
    let mut periods = Periods::default();
    assert!(mpd(&description, some, Mode::Standard, &mut periods, "/").is_none());
}

#[test]
fn passthrough_foretells_a_steady_source_only() {
    let description = only(&["source", "audio"]);
    for (lengths, listed) in [([2000, 2000, 2000], true), ([2000, 1500, 2000], false)] {
        let mut streams = builders(&description);
        each(&mut streams, |b| {
            for millis in lengths {
                b.segment(&[millis]);
            }
            b.growing(&[200]);
        });
        let text = render(
            &description,
            &streams,
            Mode::LowLatency,
            &mut Periods::default(),
        );
        assert_eq!(text.contains("r=\"3\""), listed, "{text}");
    }
}

#[test]
fn a_source_that_misses_the_grid_leaves_the_low_latency_manifest_for_good() {
    let description = only(&["source", "sd", "audio"]);
    let mut streams = builders(&description);
    each(&mut streams, |b| b.regular(2));
    let mut periods = Periods::default();
    let before = render(&description, &streams, Mode::LowLatency, &mut periods);
    streams[0].segment(&[2500]);
    streams[1].regular(1);
    streams[2].regular(1);
    each(&mut streams, |b| b.regular(3));
    let after = render(&description, &streams, Mode::LowLatency, &mut periods);
    assert_eq!(check_mpd(&after, Some(&before)), []);
    let last = after.rsplit("<Period ").next().unwrap();
    assert!(!last.contains("id=\"source\"") && last.contains("id=\"sd\""));
    each(&mut streams, |b| drop(b.snapshot.segments.drain(..4)));
    let later = render(&description, &streams, Mode::LowLatency, &mut periods);
    assert!(!later.contains("id=\"source\""), "{later}");
}

#[test]
fn the_end_fixes_the_duration_and_stops_updates() {
    let mut description = only(&["source", "audio"]);
    let mut streams = builders(&description);
    each(&mut streams, |b| b.regular(2));
    let mut periods = Periods::default();
    let live = render(&description, &streams, Mode::Standard, &mut periods);
    description.ended = true;
    each(&mut streams, |b| b.snapshot.ended = true);
    let ended = render(&description, &streams, Mode::Standard, &mut periods);
    assert_eq!(check_mpd(&ended, Some(&live)), []);
    assert!(ended.contains("type=\"dynamic\""));
    assert!(
        ended.contains("mediaPresentationDuration=\"PT14S\""),
        "{ended}"
    );
    assert!(
        ended.contains("start=\"PT10S\" duration=\"PT4S\""),
        "{ended}"
    );
    assert!(!ended.contains("minimumUpdatePeriod"));
}

#[test]
fn a_long_life_only_appends_and_drops() {
    let description = only(&["source", "sd", "audio"]);
    for mode in [Mode::Standard, Mode::LowLatency] {
        let mut streams = builders(&description);
        each(&mut streams, |b| b.regular(3));
        let mut periods = Periods::default();
        let mut before = render(&description, &streams, mode, &mut periods);
        for step in 0..40 {
            each(&mut streams, |b| {
                match step % 9 {
                    4 => b.discontinuity(0, &[200; 10]),
                    7 => b.gap(2000),
                    8 => b.discontinuity(300, &[200; 10]),
                    _ => b.regular(1),
                }
                if b.snapshot.segments.len() > 12 {
                    b.snapshot.segments.remove(0);
                }
            });
            let after = render(&description, &streams, mode, &mut periods);
            if step % 9 != 7 {
                assert_eq!(check_mpd(&after, Some(&before)), [], "step {step}");
            }
            assert!(periods.openings.len() < 8);
            before = after;
        }
    }
}

#[test]
fn audio_segments_of_uneven_length_are_told_one_by_one() {
    let description = only(&["audio"]);
    let mut streams = builders(&description);
    for frames in [94, 94, 93, 94] {
        let start = streams[0].time;
        streams[0].segment(&[1]);
        streams[0].last().duration = Ticks(frames * 1024);
        streams[0].time = start + Ticks(frames * 1024);
    }
    let text = render(
        &description,
        &streams,
        Mode::Standard,
        &mut Periods::default(),
    );
    let timeline = "<S t=\"480000\" d=\"96256\" r=\"1\"/>
            <S d=\"95232\"/>
            <S d=\"96256\"/>";
    assert!(text.contains(timeline), "{text}");
}
