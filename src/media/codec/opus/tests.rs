use super::*;
use crate::media::codec::testing::data;
use proptest::prelude::*;

#[test]
fn headers_of_an_encoder_become_what_a_muxer_writes() {
    let config = Config::parse(data("opus.head")).unwrap();
    assert_eq!((config.channels, config.pre_skip), (2, 312));
    assert_eq!(config.dops().unwrap(), data("opus.dops"));
    let surround = Config::parse(data("opus6.head")).unwrap();
    assert_eq!(surround.channels, 6);
    // Family 1: four streams, two of them coupled, six channels.
    assert_eq!(surround.dops().unwrap()[10..], [1, 4, 2, 0, 4, 1, 2, 3, 5]);
}

#[test]
fn a_header_made_here_equals_the_encoders() {
    assert_eq!(Config::new(2).unwrap().record, data("opus.head"));
    assert!(Config::new(0).is_err());
    assert!(Config::new(3).is_err(), "family 0 has two channels at most");
}

#[test]
fn a_header_that_is_cut_off_or_inconsistent_is_refused() {
    let whole = data("opus6.head");
    for end in 0..whole.len() {
        assert!(Config::parse(whole.slice(..end)).is_err(), "{end}");
    }
    for (at, value) in [(0, b'X'), (8, 0x10), (9, 0), (19, 0), (20, 9), (21, 7)] {
        let mut bytes = whole.to_vec();
        bytes[at] = value;
        assert!(Config::parse(Bytes::from(bytes)).is_err(), "byte {at}");
    }
}

#[test]
fn durations_follow_the_table_of_contents() {
    assert_eq!(packet_samples(&data("opus.packet")), Ok(960));
    // RFC 6716 table 2, in tenths of a millisecond.
    let silk = [100, 200, 400, 600];
    let celt = [25, 50, 100, 200];
    let expected: Vec<u32> = [silk, silk, silk]
        .concat()
        .into_iter()
        .chain([100, 200, 100, 200])
        .chain([celt, celt, celt, celt].concat())
        .collect();
    for (configuration, tenths) in (0u8..32).zip(expected) {
        let toc = configuration << 3;
        let samples = tenths * 48 / 10;
        assert_eq!(packet_samples(&[toc]), Ok(samples));
        assert_eq!(packet_samples(&[toc | 1]), Ok(2 * samples));
        assert_eq!(packet_samples(&[toc | 2]), Ok(2 * samples));
    }
}

#[test]
fn packets_of_many_frames_are_bounded_at_120_ms() {
    // Code 3: the second byte counts the frames; its upper bits are flags.
    assert_eq!(packet_samples(&[(16 << 3) | 3, 0xC0 | 48]), Ok(5760));
    assert!(packet_samples(&[(16 << 3) | 3, 49]).is_err());
    assert!(packet_samples(&[(16 << 3) | 3, 0]).is_err());
    assert!(packet_samples(&[(16 << 3) | 3]).is_err());
    assert!(packet_samples(&[]).is_err());
}

proptest! {
    #[test]
    fn any_packet_is_refused_or_lasts_at_most_120_ms(packet in proptest::collection::vec(any::<u8>(), 0..4)) {
        if let Ok(samples) = packet_samples(&packet) {
            prop_assert!((120..=PACKET_SAMPLES_LIMIT).contains(&samples));
        }
    }
}

#[test]
fn descriptor_codes_of_transport_streams_make_headers_that_can_be_read() {
    for code in 0..=8 {
        let config = Config::from_channel_config_code(code).unwrap();
        assert_eq!(config.channels, if code == 0 { 2 } else { code });
        assert!(config.dops().is_ok());
    }
    for code in [9, 0x81, 0x82, 255] {
        assert!(Config::from_channel_config_code(code).is_err());
    }
}
