use mp4_atom::{Moof, ReadFrom};

use super::*;
use crate::package::sample::{SOUND, audio_track, boundary, picture, rules, sound, video_track};

const SECOND: i64 = 90_000;
/// At 30 per second.
const FRAME: i64 = 3000;

fn audio() -> Segmenter {
    Segmenter::new(&audio_track(), &rules(), 7).unwrap()
}

fn video() -> Segmenter {
    Segmenter::new(&video_track(1280), &rules(), 7).unwrap()
}

fn unit(index: i64, duration: Option<i64>) -> AccessUnit {
    sound(index * 1024, duration)
}

/// Pictures of 30 per second from `from` up to `to`, the first a key unit with these boundaries.
fn play(segmenter: &mut Segmenter, from: i64, to: i64, opened: &[Boundary]) {
    for dts in (from..to).step_by(3000) {
        let first = dts == from;
        let unit = picture(dts, dts, Some(FRAME), first);
        segmenter.handle_unit(unit, if first { opened } else { &[] });
    }
}

fn cuts(segmenter: &mut Segmenter) -> Vec<Cut> {
    std::iter::from_fn(|| segmenter.poll_cut()).collect()
}

fn parts(cuts: &[Cut]) -> Vec<Part> {
    let part = |cut: &Cut| match cut {
        Cut::Part(part) => Some(part.clone()),
        _ => None,
    };
    cuts.iter().filter_map(part).collect()
}

#[test]
fn a_part_of_known_durations_closes_with_its_last_unit() {
    let mut segmenter = audio();
    for index in 0..10 {
        assert_eq!(parts(&cuts(&mut segmenter)).len(), 0, "frame {index}");
        let opened = if index == 0 {
            vec![boundary(5, 0)]
        } else {
            vec![]
        };
        segmenter.handle_unit(unit(index, Some(1024)), &opened);
    }
    let closed = parts(&cuts(&mut segmenter));
    assert_eq!(closed.len(), 1);
    assert_eq!(
        (closed[0].number, closed[0].duration),
        (7, Ticks(10 * 1024))
    );
}

#[test]
fn a_part_of_unknown_durations_closes_before_the_unit_that_would_pass_the_target() {
    let mut segmenter = audio();
    for index in 0..=10 {
        assert_eq!(parts(&cuts(&mut segmenter)).len(), 0, "frame {index}");
        let opened = if index == 0 {
            vec![boundary(5, 0)]
        } else {
            vec![]
        };
        segmenter.handle_unit(unit(index, None), &opened);
    }
    let closed = parts(&cuts(&mut segmenter));
    assert_eq!(closed.len(), 1);
    assert_eq!(closed[0].duration, Ticks(10 * 1024));
}

#[test]
fn no_part_is_longer_than_the_target_whatever_the_durations() {
    let mut segmenter = audio();
    let mut time = 0;
    for index in 0..400_i64 {
        let opened = if index % 90 == 0 {
            vec![boundary(5 + index.unsigned_abs() / 90, 0)]
        } else {
            vec![]
        };
        let dts = Ticks(time);
        segmenter.handle_unit(
            AccessUnit {
                dts,
                pts: dts,
                ..unit(0, None)
            },
            &opened,
        );
        time += [500, 3000, 1024, 9000, 10][usize::try_from(index % 5).unwrap()];
    }
    segmenter.close();
    let closed = parts(&cuts(&mut segmenter));
    let target = Ticks::from_duration(rules().part_target, SOUND);
    assert!(closed.len() > 100);
    assert!(closed.iter().all(|part| part.duration <= target));
    for pair in closed.windows(2) {
        assert_eq!(pair[0].start + pair[0].duration, pair[1].start);
        assert_eq!(pair[0].number + 1, pair[1].number);
    }
}

#[test]
fn a_boundary_closes_the_part_and_the_segment() {
    let mut segmenter = audio();
    segmenter.handle_unit(unit(0, Some(1024)), &[boundary(5, 0)]);
    segmenter.handle_unit(unit(1, Some(1024)), &[boundary(6, 2)]);
    let cuts = cuts(&mut segmenter);
    let names: Vec<&str> = cuts
        .iter()
        .map(|cut| match cut {
            Cut::Close { .. } => "close",
            Cut::Open(_) => "open",
            Cut::Part(_) => "part",
        })
        .collect();
    assert_eq!(names, ["open", "part", "close", "open"]);
}

/// Segments as a window would list them.
fn segments(cuts: Vec<Cut>) -> Vec<Segment> {
    let mut window = super::super::window::Window::new(Timescale::CHANNEL, Ticks(i64::MAX / 4), 7);
    let whole = |cut| window.handle_cut(cut).map(|segment| (*segment).clone());
    cuts.into_iter().filter_map(whole).collect()
}

/// Sequence, start and duration of each, and whether it is a gap.
fn outline(segments: &[Segment]) -> Vec<(u64, i64, i64, bool)> {
    let of = |segment: &Segment| {
        let Segment {
            sequence,
            start,
            duration,
            gap,
            ..
        } = *segment;
        (sequence, start.0, duration.0, gap)
    };
    segments.iter().map(of).collect()
}

#[test]
fn a_boundary_without_media_becomes_a_gap_of_its_length() {
    let mut segmenter = audio();
    segmenter.handle_unit(unit(0, Some(1024)), &[boundary(5, 0)]);
    let opened = [boundary(6, 1000), boundary(7, 2 * SECOND)];
    segmenter.handle_unit(unit(94, Some(1024)), &opened);
    segmenter.close();
    let found = segments(cuts(&mut segmenter));
    // The gap begins where the sound ends and lasts until it goes on.
    let expected = [
        (5, 0, 1024, false),
        (6, 1024, 95_232, true),
        (7, 96_256, 1024, false),
    ];
    assert_eq!(outline(&found), expected);
    assert!(found[1].complete && found[1].parts.is_empty());
}

#[test]
fn a_gap_is_complete_at_the_next_boundary_whatever_opens_there() {
    let mut segmenter = video();
    play(&mut segmenter, 0, 2 * SECOND, &[boundary(5, 0)]);
    segmenter.handle_gap(&boundary(6, 2 * SECOND));
    assert_eq!(
        segments(cuts(&mut segmenter)).len(),
        1,
        "its end is not known"
    );
    segmenter.handle_gap(&boundary(7, 4 * SECOND));
    let opened = cuts(&mut segmenter);
    assert!(
        matches!(
            opened[0],
            Cut::Close {
                end: Ticks(360_000)
            }
        ),
        "{opened:?}"
    );
    play(
        &mut segmenter,
        5 * SECOND,
        7 * SECOND,
        &[boundary(8, 5 * SECOND)],
    );
    segmenter.close();
    let found = segments(
        opened
            .into_iter()
            .chain(cuts(&mut segmenter))
            .skip(1)
            .collect(),
    );
    assert_eq!(
        outline(&found),
        [
            (7, 4 * SECOND, SECOND, true),
            (8, 5 * SECOND, 2 * SECOND, false)
        ]
    );
    assert_eq!(found[1].parts[0].start, Ticks(5 * SECOND));
}

#[test]
fn a_boundary_that_has_no_time_keeps_its_number() {
    let mut segmenter = video();
    play(&mut segmenter, 0, 2 * SECOND, &[boundary(5, 0)]);
    let both = [boundary(6, 2 * SECOND), boundary(7, 2 * SECOND)];
    play(&mut segmenter, 2 * SECOND, 4 * SECOND, &both);
    segmenter.close();
    let found = segments(cuts(&mut segmenter));
    let numbers: Vec<u64> = found.iter().map(|segment| segment.sequence).collect();
    assert_eq!(numbers, [5, 6, 7]);
    assert!(found[1].gap);
}

#[test]
fn a_rendition_may_begin_with_a_gap_and_units_inside_of_one_have_no_place() {
    let mut segmenter = video();
    segmenter.handle_gap(&boundary(6, 2 * SECOND));
    play(&mut segmenter, 3 * SECOND, 4 * SECOND, &[]);
    play(
        &mut segmenter,
        4 * SECOND,
        6 * SECOND,
        &[boundary(7, 4 * SECOND)],
    );
    segmenter.close();
    let found = segments(cuts(&mut segmenter));
    assert_eq!(
        outline(&found),
        [
            (6, 2 * SECOND, 2 * SECOND, true),
            (7, 4 * SECOND, 2 * SECOND, false)
        ]
    );
    assert_eq!(found[1].parts[0].number, 7, "a gap takes no part number");
}

#[test]
fn a_segment_whose_media_end_early_lasts_until_the_gap() {
    let mut segmenter = video();
    play(&mut segmenter, 0, SECOND, &[boundary(5, 0)]);
    segmenter.handle_gap(&boundary(6, 2 * SECOND));
    segmenter.handle_gap(&boundary(7, 4 * SECOND));
    let found = segments(cuts(&mut segmenter));
    assert_eq!(
        outline(&found),
        [(5, 0, 2 * SECOND, false), (6, 2 * SECOND, 2 * SECOND, true)]
    );
}

#[test]
fn no_segment_is_declared_above_the_target_duration_for_the_sake_of_a_gap() {
    let mut segmenter = video();
    play(&mut segmenter, 0, SECOND, &[boundary(5, 0)]);
    segmenter.handle_gap(&boundary(6, 4 * SECOND));
    segmenter.handle_gap(&boundary(7, 4 * SECOND));
    let found = segments(cuts(&mut segmenter));
    assert_eq!(
        outline(&found),
        [(5, 0, SECOND, false), (6, SECOND, 3 * SECOND, true)]
    );
}

#[test]
fn what_is_held_back_goes_out_before_a_gap() {
    let mut segmenter = video();
    for index in 0..30 {
        let unit = picture(index * FRAME, index * FRAME, None, index == 0);
        let opened = [boundary(5, 0)];
        segmenter.handle_unit(unit, if index == 0 { &opened } else { &[] });
    }
    segmenter.handle_gap(&boundary(6, SECOND));
    let found = segments(cuts(&mut segmenter));
    assert_eq!(outline(&found), [(5, 0, SECOND, false)]);
}

#[test]
fn another_configuration_waits_for_the_discontinuity() {
    let mut segmenter = video();
    play(&mut segmenter, 0, 2 * SECOND, &[boundary(5, 0)]);
    segmenter.handle_track(&video_track(640)).unwrap();
    let broken = Boundary {
        discontinuity: true,
        discontinuity_sequence: 4,
        ..boundary(7, 4 * SECOND)
    };
    let opened = [boundary(6, 2 * SECOND), broken];
    play(&mut segmenter, 4 * SECOND, 6 * SECOND, &opened);
    segmenter.close();
    let found = segments(cuts(&mut segmenter));
    let same = |one: usize, other: usize| found[one].init == found[other].init;
    assert!(same(0, 1) && !same(1, 2));
    assert_eq!(found[2].discontinuity_sequence, 4);
}

/// Decode time, presentation time and duration of each sample of a segment as a player finds them.
fn samples(segment: &Segment) -> Vec<(i64, i64, i64)> {
    let mut found = Vec::new();
    for part in &segment.parts {
        let moof = Moof::read_from(&mut &part.bytes[..]).unwrap();
        let traf = &moof.traf[0];
        let mut decode = traf
            .tfdt
            .as_ref()
            .unwrap()
            .base_media_decode_time
            .cast_signed();
        for sample in traf.trun[0].samples.iter() {
            let duration = sample
                .duration
                .or(traf.tfhd.default_sample_duration)
                .unwrap();
            let offset = sample.cts.unwrap_or(0);
            found.push((decode, decode + offset, i64::from(duration)));
            decode += i64::from(duration);
        }
    }
    found
}

#[test]
fn a_short_hole_is_shared_out_among_the_samples_after_it() {
    let mut segmenter = video();
    play(&mut segmenter, 0, SECOND, &[boundary(5, 0)]);
    // Half a second is missing: the program connects the decode time and promises what follows.
    let hole = SECOND / 2;
    segmenter.handle_unit(
        picture(SECOND, SECOND + hole, Some(hole + FRAME), false),
        &[],
    );
    for pts in (SECOND + hole + FRAME..2 * SECOND).step_by(3000) {
        segmenter.handle_unit(picture(pts, pts, Some(FRAME), false), &[]);
    }
    segmenter.close();
    let found = segments(cuts(&mut segmenter));
    let target = Ticks::from_duration(rules().part_target, Timescale::CHANNEL);
    assert!(found[0].parts.iter().all(|part| part.duration <= target));
    let longest = found[0].parts.len() - 1;
    let full = Ticks(target.0 * 85 / 100);
    assert!(
        found[0].parts[..longest]
            .iter()
            .all(|part| part.duration >= full)
    );
    let sum: i64 = found[0].parts.iter().map(|part| part.duration.0).sum();
    assert_eq!(sum, 2 * SECOND);
    let samples = samples(&found[0]);
    assert_eq!(samples.len(), 45);
    for pair in samples.windows(2) {
        assert_eq!(pair[0].0 + pair[0].2, pair[1].0, "decode times connect");
    }
    let shown: Vec<i64> = samples.iter().map(|(_, pts, _)| *pts).collect();
    let expected = (0..30).chain(45..60).map(|index| index * FRAME);
    assert_eq!(shown, expected.collect::<Vec<_>>());
    assert!(
        samples[40..].iter().all(|(dts, pts, _)| dts == pts),
        "caught up"
    );
}

#[test]
fn a_segment_after_a_short_hole_begins_where_it_is_shown() {
    let mut segmenter = video();
    play(&mut segmenter, 0, SECOND, &[boundary(5, 0)]);
    let hole = SECOND / 2;
    let at = SECOND + hole;
    let returning = picture(SECOND, at, Some(hole + FRAME), true);
    segmenter.handle_unit(returning, &[boundary(6, at)]);
    for pts in (at + FRAME..at + SECOND).step_by(3000) {
        segmenter.handle_unit(picture(pts, pts, Some(FRAME), false), &[]);
    }
    segmenter.close();
    let found = segments(cuts(&mut segmenter));
    assert_eq!(outline(&found), [(5, 0, at, false), (6, at, SECOND, false)]);
    let parts: i64 = found[1].parts.iter().map(|part| part.duration.0).sum();
    assert_eq!((found[1].parts[0].start.0, parts), (at, SECOND));
    let samples = samples(&found[1]);
    assert_eq!(
        samples[0],
        (SECOND, at, hole + FRAME),
        "decode times connect"
    );
    assert_eq!(samples[1], (at + FRAME, at + FRAME, FRAME));
}

#[test]
fn units_before_the_first_boundary_have_no_place() {
    let mut segmenter = audio();
    segmenter.handle_unit(unit(0, Some(1024)), &[]);
    segmenter.close();
    assert!(cuts(&mut segmenter).is_empty());
}

#[test]
fn what_is_held_back_comes_out_at_the_end() {
    let mut segmenter = audio();
    segmenter.handle_unit(unit(0, None), &[boundary(5, 0)]);
    segmenter.handle_unit(unit(1, None), &[]);
    segmenter.close();
    let closed = parts(&cuts(&mut segmenter));
    assert_eq!(closed.len(), 1);
    assert_eq!(closed[0].duration, Ticks(2048));
}
