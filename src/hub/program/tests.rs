use bytes::Bytes;

use super::*;
use crate::hub::boundary::OnLoss;
use crate::media::codec::{aac, avc};
use crate::media::{CodecConfig, rescale};

mod bench;
mod holes;
mod hostile;
mod placed;

use bench::Bench;

const EPOCH: Wall = Wall(1_700_000_000_000_000);

fn settings(ladder: bool) -> Settings {
    let longest = if ladder { 3 } else { 10 };
    Settings {
        segment_target: Ticks(180_000),
        longest_segment: Ticks(90_000 * longest),
        ladder,
        on_loss: OnLoss::Slate,
    }
}

fn avc_track(record: &'static [u8]) -> Track {
    let mut config = avc::Config::parse(Bytes::from_static(AVCC)).expect("golden record");
    config.record = Bytes::from_static(record);
    Track {
        config: CodecConfig::Avc(config),
        timescale: Timescale::MILLIS,
    }
}

/// High 4:2:2 of ten bits.
fn studio_track() -> Track {
    let record = include_bytes!("../../../tests/data/codec/avc_422.avcc");
    let config = avc::Config::parse(Bytes::from_static(record)).expect("golden record");
    Track {
        config: CodecConfig::Avc(config),
        timescale: Timescale::MILLIS,
    }
}

/// The same picture with another record.
const OTHER_AVCC: &[u8] = AVCC.split_at(AVCC.len() - 1).0;

/// 320x180 constrained baseline, from x264.
const AVCC: &[u8] = &[
    0x01, 0x42, 0xc0, 0x0d, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0x9f,
    0x9f, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x42, 0xa4,
    0x80, 0x01, 0x00, 0x04, 0x68, 0xcb, 0x8c, 0xb2,
];

fn aac_track() -> Track {
    let config = aac::Config::new_lc(48_000, 2).expect("a usual configuration");
    Track {
        config: CodecConfig::Aac(config),
        timescale: Timescale::MILLIS,
    }
}

#[test]
fn segments_open_at_the_first_key_unit_after_the_target_in_both_tracks() {
    let mut bench = Bench::with_tracks(false);
    bench.play(0, 5_000, 9_000, 60);
    bench.assert_contiguous();
    let video = Bench::boundaries(&bench.video);
    let audio = Bench::boundaries(&bench.audio);
    assert_eq!(
        video.iter().map(|b| b.time.0).collect::<Vec<_>>(),
        [0, 180_000, 360_000, 540_000, 720_000]
    );
    assert_eq!(video, audio);
    assert!(
        video
            .windows(2)
            .all(|pair| pair[1].sequence == pair[0].sequence + 1)
    );
    assert!(
        video
            .iter()
            .all(|boundary| boundary.independent && !boundary.discontinuity)
    );
    for (unit, opened) in &bench.audio {
        let time = rescale(unit.pts, Timescale::of(48_000), Timescale::CHANNEL);
        if let Some(boundary) = opened.first() {
            assert!(
                time >= boundary.time && time < boundary.time + Ticks(1920),
                "audio opens at {time:?}"
            );
        }
    }
}

#[test]
fn what_browsers_cannot_decode_is_listed_only_where_nothing_else_can_be() {
    for ladder in [false, true] {
        let mut bench = Bench::new(ladder);
        bench.announce(Some(true), Some(true));
        bench.program.handle_track(studio_track());
        bench.program.handle_track(aac_track());
        // Its key units fit.
        bench.play(0, 0, 9_000, 30);
        assert_eq!(bench.settled, ladder.then_some(false));
        assert_eq!(bench.program.passthrough(), Some(!ladder));
        assert!(bench.boundaries.len() >= 4, "segments either way");
        bench.program.abandon_ladder();
        bench.play(9_000, 9_000, 3_000, 30);
        assert_eq!(bench.settled, ladder.then_some(true));
        assert_eq!(bench.program.passthrough(), Some(true));
    }
}

#[test]
fn numbers_count_from_the_clock_so_that_a_restart_never_goes_back() {
    let mut bench = Bench::with_tracks(false);
    bench.play(0, 0, 100, 60);
    let first = Bench::boundaries(&bench.video)[0];
    assert_eq!(first.sequence, 1_700_000_000);
    assert_eq!(first.discontinuity_sequence, 0);
    assert!(!first.discontinuity);
}

#[test]
fn millisecond_rounding_is_undone_and_durations_are_known_at_once() {
    let mut bench = Bench::with_tracks(false);
    bench.play(0, 77, 3_000, 60);
    for (unit, _) in &bench.video[1..] {
        assert_eq!(unit.duration, Some(Ticks(3000)));
        assert_eq!(unit.dts.0 % 3000, bench.video[1].0.dts.0 % 3000);
    }
}

#[test]
fn a_segment_starts_with_equal_decode_and_presentation_time_with_b_frames() {
    let mut bench = Bench::with_tracks(false);
    for frame in 0..180_i64 {
        // I P B B: the usual pyramid offsets, two frames of reorder delay.
        let cts = [66, 166, 33, 33][usize::try_from(frame % 4).unwrap()];
        let dts = (frame * 100 + 1) / 3;
        bench
            .at(dts)
            .push(MediaKind::Video, dts, cts, frame % 60 == 0);
    }
    bench.assert_contiguous();
    for (unit, opened) in &bench.video {
        if !opened.is_empty() {
            assert!((unit.dts - unit.pts).0.abs() <= 90, "{unit:?}");
        }
    }
}

#[test]
fn a_gop_longer_than_allowed_is_cut_at_a_unit_that_is_not_key() {
    let mut bench = Bench::with_tracks(false);
    bench.play(0, 0, 21_500, 10_000);
    let boundaries = Bench::boundaries(&bench.video);
    assert_eq!(boundaries.len(), 3);
    assert_eq!(boundaries[1].time, Ticks(900_000));
    assert!(boundaries[0].independent && !boundaries[1].independent);
    assert_eq!(bench.program.repairs().long_gops, 2);
}

#[test]
fn the_default_gop_of_obs_is_one_segment_without_a_ladder() {
    let mut bench = Bench::with_tracks(false);
    bench.play(0, 0, 17_000, 250);
    let times: Vec<i64> = Bench::boundaries(&bench.video)
        .iter()
        .map(|b| b.time.0)
        .collect();
    assert_eq!(times, [0, 750_000, 1_500_000]);
}

#[test]
fn with_a_ladder_a_source_of_unknown_key_interval_gives_way_to_the_grid_after_three_seconds() {
    let mut bench = Bench::with_tracks(true);
    bench.play(0, 0, 9_100, 250);
    assert_eq!(bench.settled, Some(false));
    let times: Vec<i64> = Bench::boundaries(&bench.audio)
        .iter()
        .map(|b| b.time.0)
        .collect();
    assert_eq!(times[0], 0);
    assert!(
        times
            .windows(2)
            .skip(1)
            .all(|pair| pair[1] - pair[0] == 180_000),
        "{times:?}"
    );
    assert!(
        times.windows(2).all(|pair| pair[1] - pair[0] <= 270_000),
        "{times:?}"
    );
}

#[test]
fn with_a_ladder_two_short_key_intervals_keep_the_source() {
    let mut bench = Bench::with_tracks(true);
    bench.play(0, 0, 5_000, 30);
    assert_eq!(bench.settled, Some(true));
}

#[test]
fn a_jump_of_the_source_clock_is_taken_out_of_both_tracks() {
    for jump in [-3_600_000, -2_000, 7_200_000] {
        let mut bench = Bench::with_tracks(false);
        bench.play(0, 4_000_000, 4_000, 60);
        bench.play(4_000, 4_000_000 + 4_000 + jump, 4_000, 60);
        bench.assert_contiguous();
        assert_eq!(bench.breaks, 0);
        assert!(bench.program.repairs().time_jumps >= 2, "jump {jump}");
        let boundaries = Bench::boundaries(&bench.video);
        assert!(boundaries.iter().all(|boundary| !boundary.discontinuity));
        let last_video = bench.video.last().unwrap().0.pts;
        let last_audio = bench.audio.last().unwrap().0.pts;
        let apart = rescale(last_audio, Timescale::of(48_000), Timescale::CHANNEL) - last_video;
        assert!(
            (last_video.0 - 8 * 90_000).abs() < 9_000,
            "jump {jump}: live edge at {last_video:?}"
        );
        assert!(apart.0.abs() < 9_000, "jump {jump}: tracks {apart:?} apart");
    }
}

#[test]
fn a_hole_below_a_second_is_closed_by_a_longer_picture_and_silence() {
    let mut bench = Bench::with_tracks(false);
    bench.play(0, 0, 4_000, 60);
    bench.play(4_600, 4_600, 2_000, 60);
    bench.assert_contiguous();
    assert_eq!(bench.breaks, 0);
    assert!(
        Bench::boundaries(&bench.video)
            .iter()
            .all(|boundary| !boundary.discontinuity)
    );
    let silent = bench.program.repairs().silent_frames;
    assert!((26..=30).contains(&silent), "{silent} silent frames");
}

#[test]
fn a_longer_hole_is_a_gap_up_to_the_next_key_unit() {
    let mut bench = Bench::with_tracks(false);
    bench.play(0, 0, 4_000, 60);
    bench.play(9_000, 9_000, 4_000, 60);
    bench.assert_contiguous();
    assert_eq!(bench.breaks, 1);
    let video = Bench::boundaries(&bench.video);
    let gap = bench.gaps[0].0;
    assert!((gap.time.0 - 4 * 90_000).abs() < 4_500, "{gap:?}");
    let back = video.iter().find(|boundary| boundary.time > gap.time);
    assert_eq!(back.unwrap().time, Ticks(9 * 90_000));
    assert_eq!(video, Bench::boundaries(&bench.audio));
}

#[test]
fn a_returning_publisher_is_anchored_by_arrival_and_never_inside_published_time() {
    for (away, expected) in [(3_000, 7_000), (-500, 4_000)] {
        let mut bench = Bench::with_tracks(false);
        bench.play(0, 1_000_000, 4_000, 60);
        bench.program.handle_break();
        bench.drain();
        bench.announce(Some(true), Some(true));
        bench.program.handle_track(avc_track(AVCC));
        bench.program.handle_track(aac_track());
        bench.play(4_000 + away, 0, 3_000, 60);
        bench.assert_contiguous();
        let video = Bench::boundaries(&bench.video);
        let back = video
            .iter()
            .find(|boundary| boundary.time >= Ticks(360_000))
            .unwrap();
        assert!((back.time.0 - expected * 90).abs() < 4_500, "{back:?}");
        assert_eq!(video, Bench::boundaries(&bench.audio));
        assert!(
            bench
                .boundaries
                .windows(2)
                .all(|pair| pair[1].sequence == pair[0].sequence + 1)
        );
    }
}

#[test]
fn a_new_configuration_opens_a_discontinuous_segment_at_its_key_unit_in_both_tracks() {
    let mut bench = Bench::with_tracks(false);
    bench.play(0, 0, 3_000, 60);
    bench.program.handle_track(avc_track(OTHER_AVCC));
    bench.play(3_000, 3_000, 3_000, 60);
    bench.assert_contiguous();
    let video = Bench::boundaries(&bench.video);
    assert_eq!(
        video
            .iter()
            .filter(|boundary| boundary.discontinuity)
            .count(),
        1
    );
    assert_eq!(video, Bench::boundaries(&bench.audio));
}

#[test]
fn audio_alone_is_cut_on_the_target_when_no_video_was_announced() {
    let mut bench = Bench::new(false);
    bench.announce(Some(false), Some(true));
    bench.program.handle_track(aac_track());
    for frame in 0..400_i64 {
        bench
            .at(frame * 64 / 3)
            .push(MediaKind::Audio, (frame * 64 + 1) / 3, 0, true);
    }
    let boundaries = Bench::boundaries(&bench.audio);
    assert_eq!(boundaries.len(), 5);
    assert!(
        boundaries
            .windows(2)
            .all(|pair| (pair[1].time - pair[0].time - Ticks(180_000)).0.abs() < 1920)
    );
    assert_eq!(bench.audio.len(), 400);
}

#[test]
fn audio_that_nobody_announced_may_come_late() {
    let mut bench = Bench::new(false);
    bench.announce(Some(true), None);
    bench.program.handle_track(avc_track(AVCC));
    for frame in 0..150_i64 {
        let dts = (frame * 100 + 1) / 3;
        bench
            .at(dts)
            .push(MediaKind::Video, dts, 0, frame % 60 == 0);
    }
    assert!(bench.program.tracks_complete(Ticks(450_000)));
    bench.program.handle_track(aac_track());
    bench.play(5_000, 5_000, 4_000, 60);
    bench.assert_contiguous();
    assert!(!bench.audio.is_empty());
    let audio = Bench::boundaries(&bench.audio);
    let video = Bench::boundaries(&bench.video);
    assert_eq!(audio.last(), video.last());
}

#[test]
fn the_same_configuration_again_changes_nothing() {
    let mut bench = Bench::with_tracks(false);
    bench.play(0, 0, 3_000, 60);
    bench.program.handle_track(avc_track(AVCC));
    bench.program.handle_track(aac_track());
    bench.play(3_000, 3_000, 3_000, 60);
    assert!(
        Bench::boundaries(&bench.video)
            .iter()
            .all(|boundary| !boundary.discontinuity)
    );
    assert_eq!(bench.video.len(), 180);
}

#[test]
fn a_drifting_encoder_clock_is_slewed_so_that_the_live_edge_stays_at_ours() {
    for ppm in [-100_i64, 100] {
        let mut bench = Bench::with_tracks(false);
        let mut audio = 0;
        for frame in 0..30 * 3600_i64 {
            // Arrival by our clock, stamps by the encoder's, which runs fast or slow.
            let arrival = frame * 1000 / 30 + frame % 7;
            let stamp = frame * (1_000_000 + ppm) / 30_000;
            while audio * 64 / 3 <= stamp {
                bench
                    .at(arrival)
                    .push(MediaKind::Audio, (audio * 64 + 1) / 3, 0, true);
                audio += 1;
            }
            bench
                .at(arrival)
                .push(MediaKind::Video, stamp, 0, frame % 60 == 0);
        }
        bench.assert_contiguous();
        let edge = bench.video.last().unwrap().0.pts;
        let sound = bench.audio.last().unwrap().0.pts;
        let sound = rescale(sound, Timescale::of(48_000), Timescale::CHANNEL);
        let off = edge - Ticks(3600 * 90_000);
        assert!(
            off.0.abs() < 9_000,
            "{ppm} ppm: the live edge is {} ms off",
            off.0 / 90
        );
        assert!(
            (sound - edge).0.abs() < 6_000,
            "{ppm} ppm: sound {} ms off",
            (sound - edge).0 / 90
        );
        let repairs = bench.program.repairs();
        assert!(
            repairs.silent_frames + repairs.overlapping_frames < 40,
            "{ppm} ppm: {repairs:?}"
        );
    }
}

#[test]
fn what_an_earlier_run_left_out_is_stated_alike_in_both_tracks_from_before_its_end() {
    for ms in 15_000..15_050 {
        let mut bench = Bench::resumed(10_000);
        bench.at(ms).push(MediaKind::Video, 0, 0, true);
        // Brought to its own timescale, sound of the same time may lie before the picture.
        for frame in 0..3 {
            bench.push(MediaKind::Audio, (frame * 64 + 1) / 3, 0, true);
            bench.push(MediaKind::Video, (frame * 100 + 101) / 3, 0, false);
        }
        let video = Bench::boundaries(&bench.video);
        assert_eq!(video, Bench::boundaries(&bench.audio), "{ms} ms");
        let (first, missing) = video.split_last().expect("it goes on");
        assert!(first.discontinuity && first.time == Ticks(ms * 90));
        assert_eq!(missing[0].time, Ticks(8_000 * 90));
        assert!(missing.iter().all(|boundary| !boundary.discontinuity));
        assert_eq!(bench.audio[0].1.len(), video.len(), "{ms} ms");
    }
}
