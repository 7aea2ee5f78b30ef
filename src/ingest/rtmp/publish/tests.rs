use bytes::BytesMut;

use super::*;
use crate::ingest::rtmp::publisher::{amf, synthetic};
use crate::ingest::rtmp::session::{Event, Session};

/// What a capture comes to: announcements, tracks and units in order, or why it was refused.
fn replay(
    capture: &[u8],
) -> (
    Vec<Announcement>,
    Vec<Track>,
    Vec<AccessUnit>,
    Option<String>,
) {
    let mut session = Session::new();
    let mut buffer = BytesMut::from(capture);
    let mut publication = Publication::new();
    let (mut said, mut tracks, mut units) = (vec![], vec![], vec![]);
    while let Some(event) = session.poll_event(&mut buffer).unwrap() {
        match event {
            Event::Publish { .. } => session.accept(),
            Event::Data(data) => said.extend(announcement(&data)),
            Event::Media {
                kind,
                timestamp_ms,
                body,
            } => match publication.handle_media(kind, timestamp_ms, &body) {
                Ok(Some(Output::Track(track))) => tracks.push(track),
                Ok(Some(Output::Unit(unit))) => units.push(unit),
                Ok(None) => {}
                Err(error) => return (said, tracks, units, Some(error.to_string())),
            },
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(publication.dropped(), Dropped::default());
    (said, tracks, units, None)
}

macro_rules! capture {
    ($name:literal) => {
        include_bytes!(concat!("../../../../tests/data/rtmp/", $name))
    };
}

fn codecs(tracks: &[Track]) -> Vec<String> {
    let mut codecs: Vec<_> = tracks.iter().map(Track::codec_string).collect();
    codecs.sort();
    codecs
}

#[test]
fn real_encoders_become_tracks_and_units() {
    for (capture, expected, rate, encoder) in [
        (
            &capture!("ffmpeg5-h264-aac.bin")[..],
            ["avc1.64000b", "mp4a.40.2"],
            44_100,
            "Lavf59",
        ),
        (
            capture!("ffmpeg9-hevc-aac.bin"),
            ["hvc1.1.6.L30.90", "mp4a.40.2"],
            44_100,
            "Lavf",
        ),
        (
            capture!("ffmpeg9-av1-opus.bin"),
            ["av01.0.00M.08", "opus"],
            48_000,
            "Lavf",
        ),
        (
            capture!("librtmp-h264-aac.bin"),
            ["avc1.f4000b", "mp4a.40.2"],
            44_100,
            "GStreamer",
        ),
    ] {
        let (said, tracks, units, error) = replay(capture);
        assert_eq!(
            (codecs(&tracks), error),
            (expected.map(str::to_owned).to_vec(), None)
        );
        let announced = &said[0];
        assert_eq!(
            (announced.video, announced.audio),
            (Some(true), Some(true)),
            "{expected:?}"
        );
        assert_eq!(announced.frame_rate_millis, Some(25_000), "{expected:?}");
        assert!(
            announced.encoder.as_ref().unwrap().starts_with(encoder),
            "{announced:?}"
        );
        for track in &tracks {
            assert_eq!(track.timescale, Timescale::MILLIS);
            match track.kind() {
                MediaKind::Video => assert_eq!(track.resolution(), Some((160, 90))),
                MediaKind::Audio => assert_eq!(track.sample_rate(), Some(rate)),
            }
        }
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let units: Vec<_> = units.iter().filter(|unit| unit.kind == kind).collect();
            assert!(units.len() > 10, "{expected:?} {kind:?}: {}", units.len());
            assert!(units[0].key, "{expected:?} {kind:?}");
            assert!(units.is_sorted_by_key(|unit| unit.dts));
            assert!(
                units
                    .iter()
                    .all(|unit| unit.pts >= unit.dts && !unit.data.is_empty())
            );
        }
        let video = units.iter().filter(|unit| unit.kind == MediaKind::Video);
        let keys: Vec<_> = video
            .filter(|unit| unit.key)
            .map(|unit| unit.pts.0)
            .collect();
        assert!(
            keys.windows(2)
                .all(|pair| (pair[1] - pair[0] - 1000).abs() <= 1),
            "{keys:?}"
        );
    }
}

#[test]
fn frames_of_b_pictures_are_shown_in_another_order_than_they_come() {
    let (_, _, units, _) = replay(capture!("ffmpeg5-h264-aac.bin"));
    let video: Vec<_> = units
        .iter()
        .filter(|unit| unit.kind == MediaKind::Video)
        .collect();
    assert!(!video.is_sorted_by_key(|unit| unit.pts));
    let mut shown: Vec<_> = video.iter().map(|unit| unit.pts.0).collect();
    shown.sort_unstable();
    shown.dedup();
    assert_eq!(shown.len(), video.len());
}

#[test]
fn mp3_and_multitrack_are_refused_by_name() {
    let (_, _, _, error) = replay(capture!("ffmpeg5-mp3.bin"));
    assert_eq!(error.as_deref(), Some("audio codec MP3 is not supported"));
    let (_, _, _, error) = replay(capture!("ffmpeg9-multitrack.bin"));
    assert!(error.unwrap().contains("video multitrack is not supported"));
}

fn ready() -> Publication {
    let mut publication = Publication::new();
    for (kind, config) in [
        (MediaKind::Video, synthetic::avc_config()),
        (MediaKind::Audio, synthetic::aac_config()),
    ] {
        let output = publication.handle_media(kind, 0, &config.into()).unwrap();
        assert!(matches!(output, Some(Output::Track(_))));
    }
    publication
}

fn video(publication: &mut Publication, time: u32, body: Vec<u8>) -> Option<AccessUnit> {
    match publication
        .handle_media(MediaKind::Video, time, &body.into())
        .unwrap()
    {
        Some(Output::Unit(unit)) => Some(unit),
        Some(Output::Track(_)) => panic!("a frame is no track"),
        None => None,
    }
}

#[test]
fn only_the_nal_type_makes_a_key_unit() {
    let mut publication = ready();
    let mut lying = synthetic::avc_frame(false, 0, 20);
    lying[0] = 0x17;
    assert!(!video(&mut publication, 0, lying).unwrap().key);
    let mut modest = synthetic::avc_frame(true, 0, 20);
    modest[0] = 0x27;
    assert!(video(&mut publication, 0, modest).unwrap().key);
}

#[test]
fn the_payload_is_the_message_and_times_are_its_own() {
    let mut publication = ready();
    let body = Bytes::from(synthetic::avc_frame(true, -40, 100));
    let output = publication
        .handle_media(MediaKind::Video, 5000, &body)
        .unwrap();
    let Some(Output::Unit(unit)) = output else {
        panic!("no unit");
    };
    assert_eq!((unit.dts, unit.pts), (Ticks(5000), Ticks(4960)));
    assert_eq!(unit.data.as_ptr(), body[5..].as_ptr(), "not copied");
}

#[test]
fn nal_lengths_of_two_bytes_become_four() {
    let mut publication = Publication::new();
    let mut config = synthetic::avc_config();
    config[5 + 4] = 0xfd;
    let output = publication
        .handle_media(MediaKind::Video, 0, &config.into())
        .unwrap();
    let Some(Output::Track(Track {
        config: CodecConfig::Avc(config),
        ..
    })) = output
    else {
        panic!("no track");
    };
    assert_eq!(config.record[4] & 3, 3);
    let unit = video(&mut publication, 0, vec![0x17, 1, 0, 0, 0, 0, 2, 0x65, 9]).unwrap();
    assert_eq!(unit.data[..], [0, 0, 0, 2, 0x65, 9]);
    assert!(unit.key);
}

#[test]
fn a_repeated_record_is_no_new_track_and_another_one_is() {
    let mut publication = ready();
    let mut again = |body: Vec<u8>| publication.handle_media(MediaKind::Audio, 9, &body.into());
    assert_eq!(again(synthetic::aac_config()), Ok(None));
    // 48 kHz stereo
    let other = again(vec![0xaf, 0, 0x11, 0x90]).unwrap();
    let Some(Output::Track(track)) = other else {
        panic!("no track");
    };
    assert_eq!(
        (track.sample_rate(), track.channels()),
        (Some(48_000), Some(2))
    );
}

#[test]
fn what_cannot_be_used_yet_or_is_broken_is_dropped_and_counted() {
    let mut publication = Publication::new();
    assert_eq!(
        video(&mut publication, 0, synthetic::avc_frame(true, 0, 9)),
        None
    );
    let mut publication = ready();
    // A NAL length beyond the unit, a cut header, another codec than the record's.
    assert_eq!(
        video(
            &mut publication,
            0,
            vec![0x17, 1, 0, 0, 0, 0, 0, 0, 99, 0x65]
        ),
        None
    );
    assert_eq!(video(&mut publication, 0, vec![0x17, 1, 0]), None);
    assert_eq!(
        video(&mut publication, 0, b"\x93hvc1\0\0\0\x01\x26".to_vec()),
        None
    );
    let expected = Dropped {
        malformed_units: 2,
        unready_units: 1,
    };
    assert_eq!(publication.dropped(), expected);
}

#[test]
fn a_record_that_cannot_be_read_is_refused() {
    let body = Bytes::from_static(&[0x17, 0, 0, 0, 0, 1, 100]);
    let error = Publication::new().handle_media(MediaKind::Video, 0, &body);
    assert!(matches!(error, Err(Unsupported::Record(_))));
}

fn unwrapped(raw: &[u32]) -> Vec<i64> {
    let mut times = Times::default();
    raw.iter().map(|raw| times.unwrap(*raw)).collect()
}

#[test]
fn times_run_on_over_every_wrap_with_audio_and_video_on_both_sides_of_it() {
    // 49.7 days; ffmpeg's 24.8; 4.66 hours where there are no extended timestamps.
    for end in [1_i64 << 32, 1 << 31, 1 << 24] {
        let expected: Vec<_> = [-40, -23, 7, -5, 23, 40].map(|step| end + step).to_vec();
        let raw: Vec<_> = expected
            .iter()
            .map(|time| u32::try_from(time % end).unwrap())
            .collect();
        assert_eq!(unwrapped(&raw), expected, "{end}");
        let again: Vec<_> = expected.iter().map(|time| time + end - 2 * 40).collect();
        assert!(again.is_sorted() == expected.is_sorted());
    }
}

#[test]
fn passing_24_and_31_bits_with_full_counters_is_no_wrap() {
    for middle in [1_i64 << 24, 1 << 31] {
        let times: Vec<_> = [-40, -5, 5, 40].map(|step| middle + step).to_vec();
        let raw: Vec<_> = times
            .iter()
            .map(|time| u32::try_from(*time).unwrap())
            .collect();
        assert_eq!(unwrapped(&raw), times);
    }
}

#[test]
fn a_jump_stays_a_jump() {
    assert_eq!(
        unwrapped(&[1000, 3_600_000, 500, 0]),
        [1000, 3_600_000, 500, 0]
    );
}

fn told(properties: &[(&str, Vec<u8>)]) -> Announcement {
    let body = [amf::text("onMetaData"), amf::object(properties)].concat();
    let prefixed = [amf::text("@setDataFrame"), body.clone()].concat();
    assert_eq!(announcement(&prefixed), announcement(&body));
    announcement(&body).unwrap()
}

#[test]
fn metadata_tell_tracks_rate_and_encoder() {
    let number = amf::number;
    let both = told(&[
        ("videocodecid", number(7.0)),
        ("audiocodecid", number(10.0)),
    ]);
    assert_eq!((both.video, both.audio), (Some(true), Some(true)));
    let video = told(&[
        ("videocodecid", amf::text("avc1")),
        ("framerate", number(29.97)),
    ]);
    assert_eq!((video.video, video.audio), (Some(true), Some(false)));
    assert_eq!(video.frame_rate_millis, Some(29_970));
    let audio = told(&[
        ("audiocodecid", number(10.0)),
        ("videocodecid", number(0.0)),
    ]);
    assert_eq!((audio.video, audio.audio), (Some(false), Some(true)));
    assert_eq!(told(&[("width", number(1.0))]), Announcement::default());
    let encoder = told(&[(
        "encoder",
        amf::text(&format!("a\n\u{1b}b{}", "x".repeat(500))),
    )]);
    assert_eq!(encoder.encoder, Some(format!("ab{}", "x".repeat(126))));
    for rate in [0.0, -1.0, 1e9, f64::NAN, f64::INFINITY] {
        assert_eq!(told(&[("framerate", number(rate))]).frame_rate_millis, None);
    }
}

#[test]
fn other_data_and_broken_metadata_tell_nothing() {
    for body in [
        amf::text("onCuePoint"),
        [amf::text("onMetaData"), vec![3, 0, 1]].concat(),
        [amf::text("onMetaData"), [3, 0, 1, b'a'].repeat(9000)].concat(),
        vec![],
        vec![0x11, 3],
    ] {
        assert_eq!(announcement(&body), None);
    }
}
