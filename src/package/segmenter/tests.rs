use bytes::Bytes;

use super::*;
use crate::media::CodecConfig;
use crate::media::codec::aac;

const PART_TARGET: Ticks = Ticks(19_206);

fn audio() -> Segmenter {
    let config = aac::Config::new_lc(48_000, 2).unwrap();
    let track = Track {
        config: CodecConfig::Aac(config),
        timescale: Timescale::of(48_000),
    };
    Segmenter::new(&track, Wall(0), PART_TARGET, 7).unwrap()
}

fn boundary(sequence: u64, seconds: i64) -> Boundary {
    Boundary {
        sequence,
        time: Ticks(seconds * 90_000),
        discontinuity: false,
        discontinuity_sequence: 3,
        independent: true,
    }
}

fn unit(index: i64, duration: Option<i64>) -> AccessUnit {
    AccessUnit {
        kind: MediaKind::Audio,
        dts: Ticks(index * 1024),
        pts: Ticks(index * 1024),
        duration: duration.map(Ticks),
        key: true,
        data: Bytes::from_static(b"frame"),
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
    let target = rescale(PART_TARGET, Timescale::CHANNEL, Timescale::of(48_000));
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
            Cut::Close => "close",
            Cut::Gap(_) => "gap",
            Cut::Open(_) => "open",
            Cut::Part(_) => "part",
        })
        .collect();
    assert_eq!(names, ["open", "part", "close", "open"]);
}

#[test]
fn a_boundary_without_media_becomes_a_gap_of_its_length() {
    let mut segmenter = audio();
    segmenter.handle_unit(unit(0, Some(1024)), &[boundary(5, 0)]);
    cuts(&mut segmenter);
    segmenter.handle_unit(unit(188, Some(1024)), &[boundary(6, 2), boundary(7, 4)]);
    let gap = cuts(&mut segmenter).into_iter().find_map(|cut| match cut {
        Cut::Gap(segment) => Some(segment),
        _ => None,
    });
    let gap = gap.unwrap();
    assert_eq!(
        (gap.sequence, gap.start, gap.duration),
        (6, Ticks(96_000), Ticks(96_000))
    );
    assert!(gap.gap && gap.complete && gap.parts.is_empty());
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
