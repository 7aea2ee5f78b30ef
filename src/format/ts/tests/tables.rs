//! Programs, maps, which streams are taken.

use super::writer::*;
use super::*;

const OPUS: &[u8] = b"\x05\x04Opus\x7f\x02\x80\x02";

fn one_picture(writer: &mut Writer) -> &mut Writer {
    writer.open_pes(VIDEO, Some((9000, 9000)), &key_picture(300))
}

fn codecs(events: &[Event]) -> Vec<String> {
    tracks(events)
        .iter()
        .map(|track| track.codec_string())
        .collect()
}

#[test]
fn a_map_with_a_wrong_crc_is_left_out_and_the_next_one_counts() {
    let mut writer = Writer::new();
    writer.usual_tables();
    writer.change(1, |packet| packet[20] ^= 1);
    one_picture(&mut writer);
    let (found, counts) = events(&writer.bytes, 1316);
    assert!(found.is_empty());
    assert_eq!(counts.malformed_units, 1);
    one_picture(writer.usual_tables());
    let (found, counts) = events(&writer.bytes, 1316);
    assert_eq!(video(&found).len(), 1);
    assert_eq!(counts.malformed_units, 1);
}

#[test]
fn a_map_over_several_packets_is_put_together() {
    let klv: &[u8] = b"\x05\x04KLVA";
    let mut streams: Vec<(u8, u16, &[u8])> =
        (0x200..0x220).map(|pid| (PRIVATE, pid, klv)).collect();
    streams.push((AVC, VIDEO, &[]));
    let mut writer = Writer::new();
    writer.tables(&streams);
    assert!(writer.packets() > 3, "the map does not fit one packet");
    one_picture(&mut writer);
    assert_eq!(video(&events(&writer.bytes, 188).0).len(), 1);
    // With a packet in the middle lost it is not believed.
    writer.lose(2..3);
    let (found, counts) = events(&writer.bytes, 188);
    assert!(found.is_empty());
    assert_eq!(counts.continuity_errors, 1);
}

#[test]
fn several_sections_in_one_packet_are_all_read() {
    let mut payload = vec![3, 0xAA, 0xAA, 0xAA];
    payload.extend(section(0x42, 7, 0, &[1, 2, 3]));
    payload.extend(pat(&[(1, MAP)]));
    payload.resize(184, 0xFF);
    let mut writer = Writer::new();
    writer.payload(0, &payload);
    one_picture(writer.map(0, &[(AVC, VIDEO, &[])]));
    let (found, counts) = events(&writer.bytes, 188);
    assert_eq!(video(&found).len(), 1);
    assert_eq!(counts.malformed_units, 0);
}

#[test]
fn a_section_longer_than_allowed_is_not_gathered() {
    let mut writer = Writer::new();
    writer.payload(0, &[0, 0, 0xBF, 0xFF, 0, 1].repeat(2000));
    one_picture(writer.usual_tables());
    assert_eq!(video(&events(&writer.bytes, 188).0).len(), 1);
}

#[test]
fn of_several_programs_the_first_one_is_read() {
    let mut writer = Writer::new();
    // Number zero is the network.
    writer.section(0, &pat(&[(0, 0x10), (7, MAP), (8, MAP + 1)]));
    writer.section(MAP + 1, &pmt(8, 0, &[(AVC, 0x300, &[])]));
    writer.section(MAP, &pmt(7, 0, &[(AVC, VIDEO, &[])]));
    writer.open_pes(0x300, Some((1, 1)), &key_picture(50));
    one_picture(&mut writer);
    let (found, _) = events(&writer.bytes, 188);
    assert_eq!(pts(&video(&found)), [9000]);
}

#[test]
fn a_map_that_changes_moves_pids_and_codecs_without_loss() {
    let mut writer = Writer::new();
    one_picture(writer.usual_tables());
    writer.pes(AUDIO, Some((9000, 9000)), &adts_frame(50, 1).repeat(2));
    writer.map(1, &[(AVC, 0x200, &[]), (PRIVATE, AUDIO, OPUS)]);
    writer.open_pes(0x200, Some((12_000, 12_000)), &key_picture(100));
    writer.pes(AUDIO, Some((12_000, 12_000)), b"\x7f\xe0\x03\xfc\xff\xfe");
    let (found, counts) = events(&writer.bytes, 188);
    assert_eq!(
        pts(&video(&found)),
        [9000, 12_000],
        "the last unit of the old PID too"
    );
    assert_eq!(pts(&audio(&found)), [9000, 10_920, 12_000]);
    assert_eq!(
        codecs(&found),
        ["mp4a.40.2", "avc1.42c00b", "opus", "avc1.42c00b"]
    );
    assert_eq!(counts.malformed_units, 0);
}

#[test]
fn a_map_that_comes_again_changes_nothing() {
    let mut writer = Writer::new();
    writer.usual_tables();
    let data = key_picture(900);
    let packet = pes(0xE0, Some((9000, 9000)), &data, false);
    for (index, piece) in packet.chunks(184).enumerate() {
        writer.packet(VIDEO, index == 0, piece).usual_tables();
    }
    let (found, counts) = events(&writer.bytes, 188);
    assert_eq!(sizes(&video(&found)), [904]);
    assert_eq!(codecs(&found), ["avc1.42c00b"]);
    assert_eq!(counts.continuity_errors, 0);
}

#[test]
fn what_is_not_taken_is_named_once_and_only_when_nothing_else_of_its_kind_is_there() {
    let named: [(u8, &[u8], &str); 9] = [
        (
            0x02,
            &[],
            "video codec MPEG-2 is not supported: send H.264 or HEVC",
        ),
        (
            0x33,
            &[],
            "video codec VVC is not supported: send H.264 or HEVC",
        ),
        (
            PRIVATE,
            b"\x05\x04AV01",
            "video codec AV1 is not supported: send H.264 or HEVC",
        ),
        (
            0x04,
            &[],
            "audio codec MPEG-1 or MPEG-2 (MP2, MP3) is not supported: send AAC or Opus",
        ),
        (
            0x81,
            &[],
            "audio codec AC-3 is not supported: send AAC or Opus",
        ),
        (
            PRIVATE,
            &[0x6A, 1, 0],
            "audio codec AC-3 is not supported: send AAC or Opus",
        ),
        (
            PRIVATE,
            &[0x7A, 1, 0],
            "audio codec E-AC-3 is not supported: send AAC or Opus",
        ),
        (
            PRIVATE,
            &[0x7B, 1, 0],
            "audio codec DTS is not supported: send AAC or Opus",
        ),
        (
            PRIVATE,
            b"\x05\x04Opus\x7f\x02\x80\x82",
            "audio codec Opus with channels of its own order is not supported: send AAC or Opus",
        ),
    ];
    for (kind, descriptors, text) in named {
        let mut writer = Writer::new();
        writer.tables(&[(kind, 0x200, descriptors)]);
        writer.tables(&[(kind, 0x200, descriptors)]);
        writer.map(1, &[(kind, 0x201, descriptors), (0x86, 0x202, &[])]);
        assert_eq!(complaints(&events(&writer.bytes, 188).0), [text]);
        let mut writer = Writer::new();
        writer.tables(&[
            (kind, 0x200, descriptors),
            (AVC, VIDEO, &[]),
            (ADTS, AUDIO, &[]),
        ]);
        assert!(
            complaints(&events(&writer.bytes, 188).0).is_empty(),
            "{text}"
        );
    }
}

#[test]
fn data_streams_are_ignored_silently() {
    let mut writer = Writer::new();
    let klv: &[u8] = b"\x05\x04KLVA";
    writer.tables(&[
        (0x15, 0x200, klv),
        (PRIVATE, 0x201, klv),
        (0x86, 0x202, &[]),
        (AVC, VIDEO, &[]),
    ]);
    writer
        .pes(0x200, Some((5, 5)), &[6; 700])
        .pes(0x201, None, &[7; 700]);
    one_picture(&mut writer);
    let (found, counts) = events(&writer.bytes, 188);
    assert_eq!((video(&found).len(), found.len()), (1, 2));
    assert_eq!(counts.malformed_units, 0);
}

#[test]
fn hevc_is_found_by_type_and_by_registration() {
    let clip = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/ts/hevc-opus.ts"
    ));
    let (whole, _) = events(&clip.unwrap(), 1316);
    assert!(codecs(&whole).contains(&"hvc1.1.6.L30.90".to_owned()));
    let stream = psi::Stream {
        pid: 1,
        kind: PRIVATE,
        descriptors: b"\x05\x04HEVC",
    };
    assert_eq!(
        streams::content(stream),
        streams::Content::Video(crate::format::ts::video::Coding::Hevc)
    );
}
