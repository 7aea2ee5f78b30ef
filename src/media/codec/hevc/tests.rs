use super::*;
use crate::media::codec::testing::data;
use proptest::prelude::*;

fn golden(name: &str) -> Config {
    Config::parse(data(name)).unwrap()
}

#[test]
fn size_rate_and_colour_of_a_cropped_picture() {
    let config = golden("hevc_main.hvcc");
    assert_eq!((config.width, config.height), (1916, 1078));
    assert_eq!(config.frame_rate_millis, Some(29_970));
    assert_eq!(config.codec_string(), "hvc1.1.6.L120.90");
    assert_eq!(config.colour, Some(Colour::BT709));
    assert_eq!((config.chroma_format, config.bit_depth), (1, 8));
    assert_eq!(config.pixel_aspect, Some(PixelAspect::SQUARE));
    assert_eq!(config.max_reorder_frames, Some(2));
}

#[test]
fn ten_bit_hdr_is_recognised() {
    let config = golden("hevc_main10.hvcc");
    assert_eq!((config.width, config.height), (640, 360));
    assert_eq!(config.frame_rate_millis, Some(60_000));
    assert_eq!(config.codec_string(), "hvc1.2.4.L90.90");
    assert_eq!(
        config.colour,
        Some(Colour {
            primaries: 9,
            transfer: 16,
            matrix: 9,
            full_range: false
        })
    );
    assert_eq!(config.bit_depth, 10);
}

#[test]
fn the_codec_string_leaves_out_trailing_zero_constraints_only() {
    let mut record = data("hevc_main.hvcc").to_vec();
    record[12] = 93;
    record[6] = 0xB0;
    let string = |record: &[u8]| {
        Config::parse(Bytes::copy_from_slice(record))
            .unwrap()
            .codec_string()
    };
    // The example of ISO/IEC 14496-15 Annex E.3.
    assert_eq!(string(&record), "hvc1.1.6.L93.B0");
    record[8] = 0x23;
    record[1] |= 0xA0;
    assert_eq!(string(&record), "hvc1.B1.6.H93.B0.0.23");
    record[6] = 0;
    record[8] = 0;
    assert_eq!(string(&record), "hvc1.B1.6.H93");
}

#[test]
fn a_record_made_from_parameter_sets_says_the_same() {
    for name in ["hevc_main.hvcc", "hevc_main10.hvcc"] {
        let config = golden(name);
        let (vps, sps, pps) = (config.vps(), config.sps(), config.pps());
        let made =
            Config::from_parameter_sets(&[&vps[0][..]], &[&sps[0][..]], &[&pps[0][..]]).unwrap();
        assert_eq!(made.codec_string(), config.codec_string());
        assert_eq!(
            (made.vps(), made.sps(), made.pps()),
            (vps, sps, pps),
            "{name}"
        );
        // Profile to length size: all that stands in front of the arrays.
        assert_eq!(made.record[..RECORD_HEAD], config.record[..RECORD_HEAD]);
        assert_eq!(
            Config {
                record: config.record.clone(),
                ..made
            },
            config
        );
    }
}

#[test]
fn a_record_with_short_lengths_is_rewritten_to_four_bytes() {
    let original = golden("hevc_main.hvcc");
    let mut bytes = original.record.to_vec();
    bytes[21] &= !3;
    let config = Config::parse(Bytes::from(bytes)).unwrap();
    assert_eq!(config.nal_length_size, 1);
    assert_eq!(config.record, original.record);
}

#[test]
fn a_record_cut_off_is_refused() {
    let whole = data("hevc_main.hvcc");
    for end in 0..whole.len() {
        let error = Config::parse(whole.slice(..end)).unwrap_err();
        assert!(
            matches!(error, Error::Truncated { record: "hvcC", .. }),
            "{end}: {error}"
        );
    }
}

#[test]
fn idr_pictures_are_key_units_and_cra_pictures_are_not() {
    assert!(is_key_unit(&data("hevc_idr.au")));
    assert!(!is_key_unit(&data("hevc_cra.au")));
    assert!(is_open_random_access(&data("hevc_cra.au")));
    assert!(!is_open_random_access(&data("hevc_idr.au")));
    assert!(!is_key_unit(&data("hevc_trail.au")));
    let unit = |kind: u8| [0, 0, 0, 2, kind << 1, 1];
    let keys: Vec<u8> = (0..64).filter(|&kind| is_key_unit(&unit(kind))).collect();
    assert_eq!(keys, [17, 18, 19, 20]);
}

#[test]
fn parameter_sets_within_a_unit_make_a_configuration() {
    let config = golden("hevc_main10.hvcc");
    let sets = [config.vps(), config.sps(), config.pps()].concat();
    let unit = nal::from_units(sets.iter().map(|set| &set[..])).unwrap();
    let made = parameter_sets(&unit).config().unwrap().unwrap();
    assert_eq!((made.width, made.height), (640, 360));
    assert!(parameter_sets(&data("hevc_trail.au")).config().is_none());
}

proptest! {
    #[test]
    fn damaged_records_are_refused_or_read_within_bounds(at in 0usize..200, value in any::<u8>()) {
        let mut bytes = data("hevc_main.hvcc").to_vec();
        bytes[at] = value;
        if let Ok(config) = Config::parse(Bytes::from(bytes)) {
            prop_assert!((1..=DIMENSION_LIMIT).contains(&config.width));
            prop_assert!((1..=DIMENSION_LIMIT).contains(&config.height));
            prop_assert_eq!(config.record[21] & 3, 3);
        }
    }
}
