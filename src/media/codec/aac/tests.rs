use super::*;
use crate::media::codec::testing::data;
use proptest::prelude::*;

fn parse(bytes: &[u8]) -> Result<Config, Error> {
    Config::parse(Bytes::copy_from_slice(bytes))
}

/// Sample rate, channels, samples per frame, object type.
fn facts(config: &Config) -> (u32, u8, u32, u8) {
    (
        config.sample_rate,
        config.channels,
        config.frame_samples,
        config.object_type,
    )
}

#[test]
fn records_of_an_encoder() {
    for (name, expected) in [
        ("aac_1.asc", (48_000, 1, 1024, 2)),
        ("aac_2.asc", (48_000, 2, 1024, 2)),
        ("aac_6.asc", (48_000, 6, 1024, 2)),
        ("aac_44.asc", (44_100, 2, 1024, 2)),
        ("aac_pce.asc", (48_000, 6, 1024, 2)),
    ] {
        let config = Config::parse(data(name)).unwrap();
        assert_eq!(facts(&config), expected, "{name}");
        assert_eq!(config.codec_string(), "mp4a.40.2");
    }
}

#[test]
fn sbr_and_ps_double_rate_and_frame() {
    // Explicit: object type 5, core 24 kHz stereo, extension 48 kHz, object type 2.
    let he = parse(&[0x2B, 0x11, 0x88, 0x00]).unwrap();
    assert_eq!(facts(&he), (48_000, 2, 2048, 5));
    assert_eq!(he.core_sample_rate, 24_000);
    assert_eq!(he.codec_string(), "mp4a.40.5");
    // Object type 29: mono core, stereo out.
    let he2 = parse(&[0xEB, 0x09, 0x88, 0x00]).unwrap();
    assert_eq!(facts(&he2), (48_000, 2, 2048, 29));
    assert_eq!(he2.channel_configuration, 1);
    // Backward compatible: object type 2 and a sync extension.
    let compatible = parse(&[0x13, 0x10, 0x56, 0xE5, 0x98]).unwrap();
    assert_eq!(facts(&compatible), (48_000, 2, 2048, 5));
    // The same with psPresentFlag: mono core.
    let compatible = parse(&[0x13, 0x08, 0x56, 0xE5, 0x9D, 0x48, 0x80]).unwrap();
    assert_eq!(facts(&compatible), (48_000, 2, 2048, 29));
}

#[test]
fn short_frames_and_explicit_rates() {
    assert_eq!(facts(&parse(&[0x11, 0x94]).unwrap()), (48_000, 2, 960, 2));
    let odd = Config::new_lc(12_345, 1).unwrap();
    assert_eq!(facts(&odd), (12_345, 1, 1024, 2));
    assert_eq!(odd.record.len(), 5);
}

#[test]
fn what_cannot_be_played_is_refused() {
    let field = |bytes: &[u8]| match parse(bytes) {
        Err(Error::Unsupported { field, .. } | Error::Truncated { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(&[0x16, 0x90]), "samplingFrequencyIndex");
    assert_eq!(field(&[0x11, 0xC0]), "channelConfiguration");
    assert_eq!(field(&[0xF9, 0x48, 0x80]), "audioObjectType");
    assert_eq!(field(&[0x17, 0x80, 0x00, 0x00, 0x88]), "samplingFrequency");
    assert_eq!(field(&[0x11]), "samplingFrequencyIndex");
    assert_eq!(field(&[]), "audioObjectType");
}

#[test]
fn a_record_made_here_equals_the_encoders() {
    let made = Config::new_lc(48_000, 2).unwrap();
    // The encoder adds a sync extension that says "no SBR".
    assert_eq!(made.record, data("aac_2.asc")[..2]);
    assert_eq!(Config::new_lc(44_100, 2).unwrap().record, [0x12, 0x10][..]);
    assert_eq!(Config::new_lc(48_000, 8).unwrap().channels, 8);
    for (rate, channels) in [(48_000, 0), (48_000, 7), (48_000, 9), (1, 2), (u32::MAX, 2)] {
        assert!(Config::new_lc(rate, channels).is_err(), "{rate} {channels}");
    }
}

#[test]
fn silence_is_the_frame_that_decoders_were_tried_with() {
    // Alone, and between frames of an encoder, ffmpeg 5.1, ffmpeg 9 and faad decode these without an
    // error to 1024 zeros for each channel.
    let frame = |channels| silent_frame(&Config::new_lc(48_000, channels).unwrap());
    assert_eq!(frame(1).unwrap(), [0, 0, 0, 7][..]);
    assert_eq!(frame(2).unwrap(), [0x21, 0, 0, 0, 0, 0x1C][..]);
    assert_eq!(frame(6), None);
    assert_eq!(
        silent_frame(&parse(&[0x2B, 0x11, 0x88, 0x00]).unwrap()),
        None
    );
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_make_sense(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(config) = parse(&bytes) {
            prop_assert!(config.channels > 0);
            prop_assert!(RATE_RANGE.contains(&config.sample_rate));
            prop_assert!([960, 1024, 1920, 2048].contains(&config.frame_samples));
        }
    }

    #[test]
    fn a_record_made_here_reads_back(rate in 7_000u32..=192_000, channels in 1u8..=6) {
        let config = Config::new_lc(rate, channels).unwrap();
        prop_assert_eq!(facts(&config), (rate, channels, 1024, 2));
    }
}

#[test]
fn a_record_without_length_is_read_to_its_last_bit() {
    let lc = Config::new_lc(48_000, 2).unwrap();
    // What follows looks like an extension, and is none.
    let data = [&lc.record[..], &[0x56, 0xE5, 0x98]].concat();
    assert_eq!(Config::parse_front(&data), Ok((lc, 16)));
    assert!(Config::parse_front(&data[..1]).is_err());
}
