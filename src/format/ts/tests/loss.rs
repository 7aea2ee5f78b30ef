//! Packets that are lost, doubled or damaged on the way.

use super::writer::*;
use super::*;

/// Pictures of six packets each, the first one at packet 2.
fn pictures() -> Writer {
    let mut writer = Writer::new();
    writer.usual_tables();
    for number in 0..5 {
        let data = if number == 0 {
            key_picture(1000)
        } else {
            picture(1000)
        };
        writer.open_pes(VIDEO, Some((number * 3000, number * 3000)), &data);
    }
    assert_eq!(writer.packets(), 2 + 5 * 6);
    writer
}

#[test]
fn a_picture_with_a_hole_is_dropped_and_the_others_stay() {
    // In the middle, the end, the beginning, from one into the next.
    for (lost, left, dropped) in [
        (9..10, vec![0, 6000, 9000, 12_000], 1),
        (13..14, vec![0, 6000, 9000, 12_000], 1),
        (8..9, vec![0, 6000, 9000, 12_000], 0),
        (10..18, vec![0, 9000, 12_000], 1),
    ] {
        let mut writer = pictures();
        writer.lose(lost.clone());
        let (found, counts) = events(&writer.bytes, 1316);
        assert_eq!(pts(&video(&found)), left, "without {lost:?}");
        assert!(sizes(&video(&found)).iter().all(|size| *size == 1004));
        let seen = (counts.continuity_errors, counts.malformed_units);
        assert_eq!(seen, (1, dropped), "without {lost:?}");
    }
}

#[test]
fn doubled_packets_change_nothing() {
    let writer = pictures();
    let doubled: Vec<u8> = writer
        .bytes
        .chunks(188)
        .flat_map(|packet| packet.repeat(2))
        .collect();
    let (once, _) = events(&writer.bytes, 188);
    let (twice, counts) = events(&doubled, 188);
    assert_eq!(once, twice);
    assert_eq!((counts.repeated_packets, counts.continuity_errors), (32, 0));
}

#[test]
fn a_packet_with_the_error_indicator_is_left_out() {
    let mut writer = pictures();
    writer.change(10, |packet| packet[1] |= 0x80);
    let (found, counts) = events(&writer.bytes, 188);
    assert_eq!(pts(&video(&found)), [0, 6000, 9000, 12_000]);
    assert_eq!((counts.corrupt_packets, counts.continuity_errors), (1, 1));
}

#[test]
fn garbage_between_packets_costs_no_picture() {
    let writer = pictures();
    let mut dirty = vec![1, 2, 3, 0x47];
    for packet in writer.bytes.chunks(188 * 3) {
        dirty.extend_from_slice(packet);
        dirty.extend([1, 0x47, 2, 3, 4]);
    }
    let (found, counts) = events(&dirty, 1000);
    assert_eq!(video(&found).len(), 5);
    assert!(counts.unsynced_bytes > 0);
}

#[test]
fn a_pes_packet_complete_by_its_length_survives_a_loss_after_it() {
    let mut writer = Writer::new();
    writer.usual_tables();
    writer.pes(VIDEO, Some((0, 0)), &key_picture(1000));
    writer.pes(VIDEO, Some((3000, 3000)), &picture(1000));
    writer.pes(VIDEO, Some((6000, 6000)), &picture(1000));
    // The whole second one.
    writer.lose(8..14);
    let (found, counts) = events(&writer.bytes, 188);
    assert_eq!(pts(&video(&found)), [0, 6000]);
    assert_eq!((counts.continuity_errors, counts.malformed_units), (1, 0));
}

#[test]
fn sound_after_a_loss_goes_on_at_the_next_header_with_the_right_times() {
    let mut writer = Writer::new();
    writer.usual_tables();
    let frames =
        |from: u8| -> Vec<u8> { (from..from + 10).flat_map(|n| adts_frame(93, n)).collect() };
    writer.pes(AUDIO, Some((0, 0)), &frames(0));
    writer.pes(AUDIO, Some((19_200, 19_200)), &frames(10));
    // The third of the first six packets: bytes 354 to 538, so frames 3, 4 and 5.
    writer.lose(4..5);
    let (found, counts) = events(&writer.bytes, 188);
    let found: Vec<(u8, i64)> = audio(&found)
        .iter()
        .map(|unit| (unit.data[9], unit.pts.0))
        .collect();
    let expected = (0..20_u8).filter(|n| !(3..6).contains(n));
    let expected: Vec<(u8, i64)> = expected.map(|n| (n, i64::from(n) * 1920)).collect();
    assert_eq!(found, expected);
    assert_eq!(counts.continuity_errors, 1);
}

#[test]
fn whichever_packet_is_lost_no_damaged_unit_comes_out_and_all_times_are_right() {
    for clip in ["avc-aac", "avc-latm", "hevc-opus", "gst"] {
        let path = format!("{}/tests/data/ts/{clip}.ts", env!("CARGO_MANIFEST_DIR"));
        let stream = std::fs::read(path).unwrap();
        let whole = events(&stream, 1316).0;
        for lost in 0..stream.len() / 188 {
            let mut left = stream.clone();
            left.drain(lost * 188..(lost + 1) * 188);
            let (found, counts) = events(&left, 1316);
            for event in &found {
                assert!(
                    whole.contains(event),
                    "{clip} without packet {lost}: {event:?}"
                );
            }
            assert!(counts.continuity_errors <= 1);
        }
    }
}
