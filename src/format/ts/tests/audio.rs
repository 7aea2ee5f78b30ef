//! Frames of sound, however they stand in PES packets.

use super::writer::*;
use super::*;
use crate::media::CodecConfig;

fn frames(count: u8) -> Vec<u8> {
    (0..count)
        .flat_map(|n| adts_frame(20 + usize::from(n), n))
        .collect()
}

#[test]
fn several_frames_in_one_pes_packet_are_counted_in_samples() {
    let mut writer = Writer::new();
    writer.usual_tables();
    writer.pes(AUDIO, Some((90_000, 90_000)), &frames(5));
    writer.pes(AUDIO, Some((99_601, 99_601)), &frames(2));
    let (found, counts) = events(&writer.bytes, 188);
    let audio = audio(&found);
    assert_eq!(
        pts(&audio),
        [90_000, 91_920, 93_840, 95_760, 97_680, 99_601, 101_521]
    );
    assert_eq!(sizes(&audio), [20, 21, 22, 23, 24, 20, 21]);
    assert!(audio.iter().all(|unit| unit.key && unit.pts == unit.dts));
    assert_eq!(counts.malformed_units, 0);
}

#[test]
fn frames_across_pes_packets_take_the_time_of_the_packet_in_which_they_begin() {
    let mut writer = Writer::new();
    writer.usual_tables();
    let stream = frames(6);
    // The second packet begins in the third frame, so its time is the fourth frame's.
    writer.pes(AUDIO, Some((0, 0)), &stream[..70]);
    writer.pes(AUDIO, Some((5770, 5770)), &stream[70..]);
    let (found, counts) = events(&writer.bytes, 188);
    assert_eq!(pts(&audio(&found)), [0, 1920, 3840, 5770, 7690, 9610]);
    assert_eq!(sizes(&audio(&found)), [20, 21, 22, 23, 24, 25]);
    assert_eq!(counts.malformed_units, 0);
}

#[test]
fn a_sync_word_inside_a_frame_is_no_frame() {
    let mut writer = Writer::new();
    writer.usual_tables();
    let mut inner = adts_frame(200, 0);
    inner[50..57].copy_from_slice(&adts_frame(90, 0)[..7]);
    writer.pes(AUDIO, Some((0, 0)), &[&inner[30..], &frames(3)].concat());
    let (found, counts) = events(&writer.bytes, 188);
    assert_eq!(sizes(&audio(&found)), [20, 21, 22]);
    assert_eq!(
        counts.malformed_units, 1,
        "what stands before them counts once"
    );
}

#[test]
fn a_header_with_a_crc_is_taken_off_whole() {
    let mut frame = adts_frame(40, 3);
    frame[1] &= 0xFE;
    let mut writer = Writer::new();
    writer.usual_tables();
    writer.pes(AUDIO, Some((0, 0)), &frame.repeat(2));
    let (found, _) = events(&writer.bytes, 188);
    assert_eq!(sizes(&audio(&found)), [38, 38]);
}

#[test]
fn another_rate_is_another_track() {
    let mut other = adts_frame(30, 1);
    other[2] = 1 << 6 | 4 << 2;
    let mut writer = Writer::new();
    writer.usual_tables();
    writer.pes(AUDIO, Some((0, 0)), &[frames(2), other.repeat(3)].concat());
    let (found, _) = events(&writer.bytes, 188);
    let rates: Vec<Option<u32>> = tracks(&found)
        .iter()
        .map(|track| track.sample_rate())
        .collect();
    assert_eq!(rates, [Some(48_000), Some(44_100)]);
    assert_eq!(pts(&audio(&found)), [0, 1920, 3840, 5930, 8020]);
}

#[test]
fn channels_that_the_frame_lists_become_part_of_the_record() {
    // ID_PCE, tag 0, AAC-LC, index 3, two front elements (one of two channels), no comment.
    let mut bits = String::from("101");
    bits += "0000 01 0011 0010 0000 0000 00 000 0000 0 0 0 1 0000 0 0001";
    let bits: String = bits.chars().filter(|c| *c != ' ').collect();
    let mut frame = adts_frame(30, 0);
    frame[2] = 1 << 6 | 3 << 2;
    frame[3] &= 0x3F;
    for (index, bit) in bits.chars().enumerate() {
        frame[7 + index / 8] |= u8::from(bit == '1') << (7 - index % 8);
    }
    let mut writer = Writer::new();
    writer.usual_tables();
    writer.pes(AUDIO, Some((0, 0)), &frame.repeat(3));
    let (found, counts) = events(&writer.bytes, 188);
    assert_eq!(
        (tracks(&found)[0].channels(), counts.malformed_units),
        (Some(3), 0)
    );
    assert_eq!((tracks(&found).len(), audio(&found).len()), (1, 3));
}

#[test]
fn opus_packets_with_trims_and_extensions_are_taken_out_of_their_headers() {
    let mut writer = Writer::new();
    writer.tables(&[(PRIVATE, AUDIO, b"\x05\x04Opus\x7f\x02\x80\x06")]);
    // 20 ms with a start trim; two of 10 ms, the second with an end trim and an extension.
    let data = b"\x7f\xf0\x03\x01\x38\xfc\x01\x02\x7f\xe0\x02\xf4\x05\x7f\xec\x02\x00\x10\x03\x09\x09\x09\xf4\x06";
    writer.pes(AUDIO, Some((0, 0)), data);
    writer.pes(
        AUDIO,
        Some((3600, 3600)),
        &[&b"\x7f\xe0\xff\x01\xfc"[..], &[7; 255]].concat(),
    );
    let (found, counts) = events(&writer.bytes, 188);
    assert_eq!(sizes(&audio(&found)), [3, 2, 2, 256]);
    assert_eq!(pts(&audio(&found)), [0, 1800, 2700, 3600]);
    assert_eq!(counts.malformed_units, 0);
    let CodecConfig::Opus(config) = &tracks(&found)[0].config else {
        panic!("Opus");
    };
    assert_eq!(
        (config.channels, &config.record[19..]),
        (6, &[4, 2, 0, 4, 1, 2, 3, 5][..])
    );
}

#[test]
fn latm_before_its_configuration_is_unready_and_other_layouts_are_malformed() {
    let mut writer = Writer::new();
    writer.tables(&[(LATM, AUDIO, &[])]);
    let same = [0x56, 0xE0, 4, 0x80, 0x80, 0, 0];
    // audioMuxVersionA is 1.
    let other = [0x56, 0xE0, 4, 0x60, 0, 0, 0];
    writer.pes(AUDIO, Some((0, 0)), &[same, same, other, other].concat());
    let (found, counts) = events(&writer.bytes, 188);
    assert!(found.is_empty());
    assert_eq!((counts.unready_units, counts.malformed_units), (2, 2));
}

#[test]
fn latm_with_several_frames_of_explicit_sbr_in_one_element_comes_apart() {
    // useSameStreamMux 0, version 0, same framing 1, two frames, one program, one layer; HE-AAC 24 to
    // 48 kHz stereo; variable lengths, fullness, no other data, no CRC; then lengths and bytes.
    let config = "0 0 1 000001 0000 000 00101 0110 0010 0011 00010 000 000 11111111 0 0";
    let body = "00000010 10101010 10111011 00000001 11001100";
    let bits: Vec<u8> = (config.to_owned() + body)
        .chars()
        .filter(|c| *c != ' ')
        .map(|c| u8::from(c == '1'))
        .collect();
    let bytes: Vec<u8> = bits
        .chunks(8)
        .map(|bits| {
            bits.iter()
                .enumerate()
                .fold(0, |byte, (n, bit)| byte | bit << (7 - n))
        })
        .collect();
    let mut element = vec![0x56, 0xE0, u8::try_from(bytes.len()).unwrap()];
    element.extend(bytes);
    let mut writer = Writer::new();
    writer.tables(&[(LATM, AUDIO, &[])]);
    writer.pes(AUDIO, Some((0, 0)), &element.repeat(2));
    let (found, counts) = events(&writer.bytes, 188);
    assert_eq!(counts.malformed_units, 0);
    assert_eq!(tracks(&found)[0].codec_string(), "mp4a.40.5");
    assert_eq!(
        (tracks(&found).len(), tracks(&found)[0].sample_rate()),
        (1, Some(48_000))
    );
    assert_eq!(pts(&audio(&found)), [0, 3840, 7680, 11_520]);
    assert_eq!(audio(&found)[0].data[..], [0xAA, 0xBB]);
    assert_eq!(audio(&found)[1].data[..], [0xCC]);
}

#[test]
fn bytes_without_a_frame_are_not_kept() {
    let mut writer = Writer::new();
    writer.tables(&[(PRIVATE, AUDIO, b"\x05\x04Opus\x7f\x02\x80\x02")]);
    for _ in 0..40 {
        writer.pes(AUDIO, None, &[0x7F; 20_000]);
    }
    writer.pes(AUDIO, Some((0, 0)), b"\x7f\xe0\x01\xfc");
    let (found, counts) = events(&writer.bytes, 1316);
    assert_eq!(audio(&found).len(), 1);
    assert!(counts.malformed_units > 0);
}
