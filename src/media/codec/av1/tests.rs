use super::*;
use crate::media::codec::testing::data;
use proptest::prelude::*;

fn golden(name: &str) -> Config {
    Config::parse(data(name)).unwrap()
}

#[test]
fn facts_of_an_eight_bit_stream() {
    let config = golden("av1_svt.av1c");
    assert_eq!((config.width, config.height), (640, 360));
    assert_eq!((config.profile, config.level, config.bit_depth), (0, 1, 8));
    assert_eq!(config.colour, Some(Colour::BT709));
    assert_eq!(config.codec_string(), "av01.0.01M.08");
}

#[test]
fn facts_of_a_ten_bit_stream() {
    let config = golden("av1_aom10.av1c");
    assert_eq!((config.width, config.height), (128, 72));
    assert_eq!(config.bit_depth, 10);
    assert_eq!(
        config.colour,
        Some(Colour {
            primaries: 2,
            transfer: 2,
            matrix: 9,
            full_range: false
        })
    );
    assert_eq!(config.codec_string(), "av01.0.00M.10.0.110.01.01.09.0");
}

#[test]
fn a_record_made_from_a_temporal_unit_equals_the_muxers() {
    let made = Config::from_temporal_unit(&data("av1_key.tu")).unwrap();
    assert_eq!(made, golden("av1_aom10.av1c"));
    assert!(Config::from_temporal_unit(&data("av1_inter.tu")).is_err());
}

#[test]
fn a_record_without_sequence_header_or_of_another_version_is_refused() {
    let whole = data("av1_svt.av1c");
    for end in 0..whole.len() {
        assert!(Config::parse(whole.slice(..end)).is_err(), "{end}");
    }
    let mut other = whole.to_vec();
    other[0] = 0x82;
    assert!(matches!(
        Config::parse(Bytes::from(other)),
        Err(Error::Unsupported {
            field: "version",
            ..
        })
    ));
}

#[test]
fn a_shown_key_frame_behind_a_sequence_header_is_a_key_unit() {
    let key = data("av1_key.tu");
    assert!(is_key_unit(&key));
    assert!(!is_key_unit(&data("av1_inter.tu")));
    let frames: Vec<u8> = nal::obus(&key)
        .map(Result::unwrap)
        .filter(|obu| obu.kind != OBU_SEQUENCE_HEADER)
        .flat_map(|obu| obu.bytes.to_vec())
        .collect();
    assert!(!is_key_unit(&frames), "no sequence header");
    let with_frame = |first: u8| {
        let sequence = nal::obus(&key).next().unwrap().unwrap();
        let mut unit = sequence.bytes.to_vec();
        unit.extend_from_slice(&[0x32, 1, first]);
        is_key_unit(&unit)
    };
    assert!(with_frame(0b0001_0000));
    assert!(!with_frame(0b0000_0000), "a key frame that is not shown");
    assert!(!with_frame(0b1000_0000), "a frame shown again");
    assert!(!with_frame(0b0101_0000), "intra-only");
}

proptest! {
    #[test]
    fn damaged_records_do_not_panic(at in 0usize..19, value in any::<u8>()) {
        let mut bytes = data("av1_aom10.av1c").to_vec();
        bytes[at] = value;
        if let Ok(config) = Config::parse(Bytes::from(bytes)) {
            prop_assert!((1..=65_536).contains(&config.width));
            prop_assert!(config.codec_string().starts_with("av01."));
        }
    }
}
