use super::*;
use crate::media::codec::{aac, avc, opus};
use crate::transcode::ladder::{Aspect, Book};

fn colour() -> Colour {
    Colour {
        colorimetry: "bt709".to_owned(),
        chroma_site: Some("mpeg2".to_owned()),
    }
}

fn samples() -> Vec<Message> {
    let record = include_bytes!("../../../tests/data/codec/avc_422.avcc");
    let avc = CodecConfig::Avc(avc::Config::parse(Bytes::from_static(record)).unwrap());
    let aac = CodecConfig::Aac(aac::Config::new_lc(48_000, 2).unwrap());
    let opus = CodecConfig::Opus(opus::Config::new(2).unwrap());
    let track = |config, scale| {
        Box::new(Track {
            config,
            timescale: Timescale::of(scale),
        })
    };
    let unit = |kind, boundary| {
        Message::Unit(Unit {
            kind,
            key: boundary,
            dts: Ticks(-3),
            pts: Ticks(90_000 * 86_400 * 400),
            boundary: boundary.then_some(Ticks(7)),
            data: Bytes::from_static(&[0, 0, 0, 1, 9]),
        })
    };
    vec![
        Message::Setup(Box::new(Setup {
            video: Vec::new(),
            audio: Vec::new(),
            crop: Some(Aspect {
                width: 9,
                height: 16,
            }),
            frame_rate_millis: 30_000,
            frames: Some(Frames {
                at: 9_000,
                every: 3_600,
            }),
            encoders: Book::built_in().encoders,
            vbv_ms: 600,
            thumbnail_ms: 4000,
            resume: vec![Some(90_001), None],
            colour: Some(colour()),
            slate: Some(Slate {
                name: "Main stage".to_owned(),
                image: Some("stage.png".into()),
            }),
        })),
        Message::Track(track(avc.clone(), 90_000)),
        Message::Track(track(opus, 48_000)),
        unit(MediaKind::Video, true),
        unit(MediaKind::Audio, false),
        Message::Break,
        Message::Sound(vec![crate::transcode::ladder::AudioRung {
            name: "ahi".to_owned(),
            kbps: 128,
            sample_rate: 48_000,
            channels: 2,
            codec: crate::transcode::ladder::AudioCodec::Opus,
        }]),
        Message::Hold {
            until: Ticks(90_000),
            boundary: Some(Ticks(-45_000)),
            filler: Filler::Slate,
        },
        Message::Hold {
            until: Ticks(3),
            boundary: None,
            filler: Filler::Picture,
        },
        Message::Shed { index: 2 },
        Message::KeyUnit { index: 3 },
        Message::End,
        Message::RungTrack {
            index: 3,
            track: track(aac, 48_000),
        },
        Message::RungUnit {
            index: 2,
            key: true,
            pts: Ticks(12),
            duration: Some(Ticks(1024)),
            data: Bytes::from_static(b"unit"),
        },
        Message::Colour(colour()),
        Message::Warning("slate: not an image".to_owned()),
        Message::Thumbnail(Bytes::from_static(&[0xff, 0xd8])),
        Message::Statistics(Counters {
            frames: 1,
            skipped_frames: 2,
            late_boundaries: 3,
            silence_samples: 4,
            skipped_samples: 5,
        }),
        Message::Failed {
            element: "x264enc".to_owned(),
            package: Some("gstreamer1.0-plugins-ugly".to_owned()),
            text: "missing".to_owned(),
        },
        Message::Finished,
    ]
}

fn body(message: &Message) -> Bytes {
    let frame = message.clone().encode().unwrap();
    let prefix: [u8; PREFIX] = frame.head[..PREFIX].try_into().unwrap();
    let body = [&frame.head[PREFIX..], &frame.payload[..]].concat();
    assert_eq!(body_length(prefix), Ok(body.len()));
    Bytes::from(body)
}

#[test]
fn every_message_comes_back() {
    for message in samples() {
        assert_eq!(Message::parse(body(&message)), Ok(message));
    }
}

#[test]
fn a_message_cut_anywhere_is_read_or_refused_but_never_panics() {
    for message in samples() {
        let whole = body(&message);
        for length in 0..whole.len() {
            fuzz_protocol(&whole[..length]);
        }
    }
}

#[test]
fn lengths_are_checked_before_anything_is_allocated() {
    assert_eq!(body_length([0; 4]), Err(Malformed::Length(0)));
    assert!(body_length([0xff; 4]).is_err());
    assert_eq!(body_length([0, 0, 1, 0]), Ok(256));
}

#[test]
fn payloads_are_slices_of_the_body() {
    let message = samples().remove(3);
    let whole = body(&message);
    let Ok(Message::Unit(unit)) = Message::parse(whole.clone()) else {
        panic!("not a unit");
    };
    assert_eq!(unit.data.as_ptr_range().end, whole.as_ptr_range().end);
}

#[test]
fn random_bytes_do_no_harm() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..20_000_usize {
        let bytes: Vec<u8> = (0..round % 64)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 56) as u8
            })
            .collect();
        fuzz_protocol(&bytes);
    }
}
