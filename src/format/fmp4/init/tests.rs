use super::*;
use crate::media::Timescale;
use crate::media::codec::testing::data;
use crate::media::codec::{av1, avc, hevc};
use mp4_atom::{Codec, Colr, FourCC, Ftyp, Moov, Pasp, ReadFrom};

fn avc_track(name: &str) -> Track {
    Track {
        config: CodecConfig::Avc(avc::Config::parse(data(name)).unwrap()),
        timescale: Timescale::CHANNEL,
    }
}

/// All tracks, with the box that must hold the record as it is.
fn tracks() -> Vec<(Track, &'static [u8; 4])> {
    let video = Timescale::CHANNEL;
    let audio = Timescale::of(48_000);
    let track = |config, timescale| Track { config, timescale };
    let hevc = hevc::Config::parse(data("hevc_main10.hvcc")).unwrap();
    let av1 = av1::Config::parse(data("av1_svt.av1c")).unwrap();
    let aac = aac::Config::parse(data("aac_2.asc")).unwrap();
    let opus = opus::Config::parse(data("opus.head")).unwrap();
    vec![
        (avc_track("avc_crop.avcc"), b"avcC"),
        (track(CodecConfig::Hevc(hevc), video), b"hvcC"),
        (track(CodecConfig::Av1(av1), video), b"av1C"),
        (track(CodecConfig::Aac(aac), audio), b"esds"),
        (track(CodecConfig::Opus(opus), audio), b"dOps"),
    ]
}

fn parse(track: &Track) -> (Ftyp, Moov) {
    let bytes = init(track).unwrap();
    let mut rest = &bytes[..];
    let ftyp = Ftyp::read_from(&mut rest).unwrap();
    let moov = Moov::read_from(&mut rest).unwrap();
    assert!(rest.is_empty(), "nothing follows moov");
    (ftyp, moov)
}

#[test]
fn every_codec_makes_one_fragmented_track_without_edit_list() {
    for (track, _) in tracks() {
        let (ftyp, moov) = parse(&track);
        assert_eq!(ftyp.major_brand, FourCC::new(b"cmf2"));
        assert!(ftyp.compatible_brands.contains(&FourCC::new(b"cmf2")));
        assert!(ftyp.compatible_brands.contains(&FourCC::new(b"iso6")));
        assert_eq!(moov.trak.len(), 1);
        let trak = &moov.trak[0];
        assert!(trak.edts.is_none());
        assert_eq!(trak.mdia.mdhd.timescale, track.timescale.get());
        assert_eq!(trak.mdia.mdhd.language, "und");
        assert_eq!((trak.mdia.mdhd.duration, moov.mvhd.duration), (0, 0));
        assert_eq!(moov.mvhd.next_track_id, TRACK_ID + 1);
        assert_eq!(trak.tkhd.track_id, TRACK_ID);
        assert!(trak.tkhd.enabled && trak.tkhd.in_movie);
        let trex = &moov.mvex.unwrap().trex;
        assert_eq!(
            (
                trex.len(),
                trex[0].track_id,
                trex[0].default_sample_description_index
            ),
            (1, TRACK_ID, 1)
        );
        let video = track.kind() == MediaKind::Video;
        assert_eq!(
            trak.mdia.hdlr.handler,
            FourCC::new(if video { b"vide" } else { b"soun" })
        );
        assert_eq!(trak.mdia.minf.vmhd.is_some(), video);
        assert_eq!(trak.mdia.minf.smhd.is_some(), !video);
        assert_eq!(trak.mdia.minf.stbl.stsd.codecs.len(), 1);
    }
}

#[test]
fn the_configuration_record_is_stored_unaltered() {
    for (track, kind) in tracks() {
        let bytes = init(&track).unwrap();
        let at = bytes.windows(4).position(|four| four == kind).unwrap();
        let size = u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap());
        let body = &bytes[at + 4..at - 4 + usize::try_from(size).unwrap()];
        match &track.config {
            CodecConfig::Avc(config) => assert_eq!(body, config.record),
            CodecConfig::Hevc(config) => assert_eq!(body, config.record),
            CodecConfig::Av1(config) => assert_eq!(body, config.record),
            CodecConfig::Opus(config) => assert_eq!(body, config.dops().unwrap()),
            CodecConfig::Aac(config) => {
                // Tag 5, its size, the record, then the SLConfigDescriptor.
                let size = u8::try_from(config.record.len()).unwrap();
                let tail = [&[5, size], &config.record[..], &[6, 1, 2]].concat();
                assert!(body.ends_with(&tail));
            }
        }
    }
}

#[test]
fn video_states_size_shape_and_colour() {
    let (_, moov) = parse(&avc_track("avc_crop.avcc"));
    let trak = &moov.trak[0];
    let Codec::Avc1(entry) = &trak.mdia.minf.stbl.stsd.codecs[0] else {
        panic!("not avc1");
    };
    assert_eq!((entry.visual.width, entry.visual.height), (1918, 1078));
    assert_eq!(
        entry.pasp,
        Some(Pasp {
            h_spacing: 4,
            v_spacing: 3
        })
    );
    assert_eq!(
        entry.colr,
        Some(Colr::Nclx {
            colour_primaries: 1,
            transfer_characteristics: 1,
            matrix_coefficients: 1,
            full_range_flag: false
        })
    );
    // 1918 x 4 / 3 = 2557.33
    assert_eq!(trak.tkhd.width.integer(), 2557);
    assert_eq!(trak.tkhd.height.integer(), 1078);

    // Nothing stated: square pixels and BT.709.
    let (_, moov) = parse(&avc_track("avc_openh264.avcc"));
    let Codec::Avc1(entry) = &moov.trak[0].mdia.minf.stbl.stsd.codecs[0] else {
        panic!("not avc1");
    };
    assert_eq!(entry.pasp.as_ref().unwrap().h_spacing, 1);
    assert!(matches!(
        entry.colr,
        Some(Colr::Nclx {
            colour_primaries: 1,
            ..
        })
    ));
}

#[test]
fn hdr_colour_comes_from_the_sps() {
    let (track, _) = tracks().swap_remove(1);
    let (_, moov) = parse(&track);
    let Codec::Hvc1(entry) = &moov.trak[0].mdia.minf.stbl.stsd.codecs[0] else {
        panic!("not hvc1");
    };
    assert_eq!(
        entry.colr,
        Some(Colr::Nclx {
            colour_primaries: 9,
            transfer_characteristics: 16,
            matrix_coefficients: 9,
            full_range_flag: false
        })
    );
}

#[test]
fn audio_entries_state_channels_and_rate() {
    for (track, _) in tracks().split_off(3) {
        let (_, moov) = parse(&track);
        let audio = match &moov.trak[0].mdia.minf.stbl.stsd.codecs[0] {
            Codec::Mp4a(entry) => &entry.audio,
            Codec::Opus(entry) => &entry.audio,
            other => panic!("{other:?}"),
        };
        assert_eq!((audio.channel_count, audio.sample_size), (2, 16));
        assert_eq!(audio.sample_rate.integer(), 48_000);
    }
}

#[test]
fn long_descriptors_have_sizes_of_several_groups() {
    let mut out = Vec::new();
    put_descriptor(&mut out, 5, &[0; 300]);
    assert_eq!(out[..3], [5, 0x82, 0x2C]);
    assert_eq!(out.len(), 303);
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut track = avc_track("avc_crop.avcc");
    let CodecConfig::Avc(config) = &mut track.config else {
        unreachable!("made as H.264");
    };
    config.width = 70_000;
    assert_eq!(
        init(&track),
        Err(Error::Size {
            width: 70_000,
            height: 1078
        })
    );
    let CodecConfig::Avc(config) = &mut track.config else {
        unreachable!("made as H.264");
    };
    config.record = Bytes::from(vec![0; RECORD_LIMIT + 1]);
    assert_eq!(init(&track), Err(Error::Record(RECORD_LIMIT + 1)));
}

#[test]
fn the_name_is_a_hash_of_the_bytes() {
    // SHA-256 of nothing and of "abc" (FIPS 180-4 examples).
    assert_eq!(init_name(b""), "init-e3b0c442.mp4");
    assert_eq!(init_name(b"abc"), "init-ba7816bf.mp4");
}
