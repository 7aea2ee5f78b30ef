use super::*;
use crate::media::codec::testing::data;
use proptest::prelude::*;

const GOLDEN: [&str; 5] = [
    "avc_crop.avcc",
    "avc_openh264.avcc",
    "avc_interlaced.avcc",
    "avc_422.avcc",
    "avc_opengop.avcc",
];

fn golden(name: &str) -> Config {
    Config::parse(data(name)).unwrap()
}

#[test]
fn size_rate_and_colour_of_a_cropped_picture() {
    let config = golden("avc_crop.avcc");
    assert_eq!((config.width, config.height), (1918, 1078));
    assert_eq!(config.frame_rate_millis, Some(29_970));
    assert_eq!(config.codec_string(), "avc1.4d4028");
    assert_eq!(
        config.pixel_aspect,
        Some(PixelAspect {
            horizontal: 4,
            vertical: 3
        })
    );
    assert_eq!(config.colour, Some(Colour::BT709));
    assert_eq!(config.max_reorder_frames, Some(2));
    assert_eq!(
        (config.chroma_format, config.bit_depth, config.interlaced),
        (1, 8, false)
    );
}

#[test]
fn a_record_without_timing_states_no_rate() {
    let config = golden("avc_openh264.avcc");
    assert_eq!((config.width, config.height), (1280, 720));
    assert_eq!(config.codec_string(), "avc1.42c01f");
    assert_eq!(config.frame_rate_millis, None);
    assert_eq!(config.pixel_aspect, Some(PixelAspect::SQUARE));
    assert_eq!(config.colour, None);
    assert_eq!(config.max_reorder_frames, Some(0));
}

#[test]
fn fields_count_as_half_frames() {
    let config = golden("avc_interlaced.avcc");
    assert!(config.interlaced);
    assert_eq!((config.width, config.height), (720, 576));
    assert_eq!(config.frame_rate_millis, Some(25_000));
    assert_eq!(config.codec_string(), "avc1.64001e");
    assert_eq!(
        config.pixel_aspect,
        Some(PixelAspect {
            horizontal: 16,
            vertical: 15
        })
    );
}

#[test]
fn ten_bit_4_2_2_is_recognised() {
    let config = golden("avc_422.avcc");
    assert_eq!((config.width, config.height), (320, 180));
    assert_eq!((config.chroma_format, config.bit_depth), (2, 10));
    assert_eq!(config.frame_rate_millis, Some(50_000));
    assert_eq!(config.codec_string(), "avc1.7a0015");
}

#[test]
fn a_record_made_from_parameter_sets_equals_the_encoders() {
    for name in GOLDEN {
        let config = golden(name);
        let (sps, pps) = (config.sps(), config.pps());
        assert_eq!((sps[0][0] & 0x1F, pps[0][0] & 0x1F), (7, 8));
        let made = Config::from_parameter_sets(&[&sps[0][..]], &[&pps[0][..]]).unwrap();
        assert_eq!(made, config, "{name}");
    }
}

#[test]
fn a_record_with_short_lengths_is_rewritten_to_four_bytes() {
    let original = golden("avc_crop.avcc");
    let mut bytes = original.record.to_vec();
    bytes[4] = 0xFD;
    let config = Config::parse(Bytes::from(bytes)).unwrap();
    assert_eq!(config.nal_length_size, 2);
    assert_eq!(config.record, original.record);
    assert_eq!(original.nal_length_size, 4);
}

#[test]
fn a_record_cut_off_inside_its_parameter_sets_is_refused() {
    let whole = data("avc_crop.avcc");
    for end in 0..whole.len() {
        let error = Config::parse(whole.slice(..end)).unwrap_err();
        assert!(
            matches!(error, Error::Truncated { record: "avcC", .. }),
            "{end}: {error}"
        );
    }
}

#[test]
fn only_idr_pictures_are_key_units() {
    assert!(is_key_unit(&data("avc_idr.au")));
    assert!(
        !is_key_unit(&data("avc_recovery.au")),
        "open GOP with a recovery point"
    );
    assert!(!is_key_unit(&data("avc_p.au")));
    assert!(!is_key_unit(&[0, 0, 0, 9, 0x65]), "malformed");
    assert!(!is_key_unit(&[]));
}

#[test]
fn parameter_sets_within_a_unit_make_a_configuration() {
    let unit = nal::from_annexb(&data("avc_annexb.h264")).unwrap();
    let sets = parameter_sets(&unit);
    let config = sets.config().unwrap().unwrap();
    assert_eq!((config.width, config.height), (64, 36));
    assert!(is_key_unit(&unit));
    assert!(parameter_sets(&data("avc_p.au")).is_empty());
}

#[test]
fn an_intra_picture_that_is_no_idr_is_told_from_others() {
    assert!(is_open_intra(&data("avc_recovery.au")));
    for other in ["avc_idr.au", "avc_p.au"] {
        assert!(!is_open_intra(&data(other)), "{other}");
    }
    assert!(!is_open_intra(&[0, 0, 0, 1, 1]), "a slice without a header");
}

#[test]
fn x264_tells_its_key_interval() {
    assert_eq!(
        x264_options(&data("avc_idr.au")),
        Some(X264Options {
            keyint: 10,
            keyint_min: Some(1),
            scenecut: 0,
            bframes: 2,
            open_gop: true,
            intra_refresh: false,
            rc_lookahead: 10,
        })
    );
    let zero_latency = nal::from_annexb(&data("avc_annexb.h264")).unwrap();
    let options = x264_options(&zero_latency).unwrap();
    assert_eq!(
        (options.keyint, options.bframes, options.open_gop),
        (48, 0, false)
    );
    assert_eq!(x264_options(&data("avc_recovery.au")), None);
}

#[test]
fn an_infinite_key_interval_is_the_largest_number() {
    let mut text = b"x264 - core 164 - options: keyint=infinite scenecut=40\0".to_vec();
    let mut sei = vec![6, 5, 16 + u8::try_from(text.len()).unwrap()];
    sei.extend_from_slice(&[
        0xdc, 0x45, 0xe9, 0xbd, 0xe6, 0xd9, 0x48, 0xb7, 0x96, 0x2c, 0xd8, 0x20, 0xd9, 0x23, 0xee,
        0xef,
    ]);
    sei.append(&mut text);
    sei.push(0x80);
    let unit = nal::from_units([&sei[..]].into_iter()).unwrap();
    let options = x264_options(&unit).unwrap();
    assert_eq!((options.keyint, options.scenecut), (u32::MAX, 40));
}

proptest! {
    #[test]
    fn damaged_records_are_refused_or_read_within_bounds(at in 0usize..43, value in any::<u8>()) {
        let mut bytes = data("avc_crop.avcc").to_vec();
        bytes[at] = value;
        if let Ok(config) = Config::parse(Bytes::from(bytes)) {
            prop_assert!((1..=DIMENSION_LIMIT).contains(&config.width));
            prop_assert!((1..=DIMENSION_LIMIT).contains(&config.height));
            prop_assert_eq!(config.record[4] & 3, 3);
        }
    }
}
