//! PES packets and their times.

use super::writer::*;
use super::*;

const WRAP: u64 = 1 << 33;

#[test]
fn times_run_on_over_the_wrap_and_late_sound_lies_beside_the_picture() {
    let mut writer = Writer::new();
    writer.usual_tables();
    for number in 0..6 {
        let dts = (WRAP - 9000 + number * 3000) % WRAP;
        let data = if number == 0 {
            key_picture(40)
        } else {
            picture(40)
        };
        writer.open_pes(VIDEO, Some(((dts + 3000) % WRAP, dts)), &data);
    }
    writer.pes(AUDIO, Some((6000, 6000)), &adts_frame(9, 1).repeat(2));
    // The sound may step back over the wrap.
    writer.pes(
        AUDIO,
        Some((WRAP - 1000, WRAP - 1000)),
        &adts_frame(9, 1).repeat(2),
    );
    let (found, _) = events(&writer.bytes, 1316);
    let dts: Vec<i64> = video(&found).iter().map(|unit| unit.dts.0).collect();
    let first = WRAP.cast_signed() - 9000;
    assert_eq!(dts, (0..6).map(|n| first + n * 3000).collect::<Vec<i64>>());
    assert!(
        video(&found)
            .iter()
            .all(|unit| unit.pts.0 - unit.dts.0 == 3000)
    );
    let wrap = WRAP.cast_signed();
    assert_eq!(
        pts(&audio(&found)),
        [wrap + 6000, wrap + 7920, wrap - 1000, wrap + 920]
    );
}

#[test]
fn a_header_longer_than_its_packet_is_put_together() {
    let mut writer = Writer::new();
    writer.usual_tables();
    let packet = pes(0xE0, Some((18_000, 9000)), &key_picture(100), false);
    // As with an adaptation field that leaves little room.
    let mut rest = &packet[..];
    for size in [1, 2, 4, 3, 5, 2, 1, 1, 50] {
        let (piece, after) = rest.split_at(size);
        writer.packet(VIDEO, rest.len() == packet.len(), piece);
        rest = after;
    }
    for piece in rest.chunks(184) {
        writer.packet(VIDEO, false, piece);
    }
    let (found, counts) = events(&writer.bytes, 188);
    let video = video(&found);
    assert_eq!(
        (video[0].pts.0, video[0].dts.0, video[0].data.len()),
        (18_000, 9000, 104)
    );
    assert_eq!(counts.malformed_units, 0);
}

#[test]
fn units_without_times_follow_at_the_measured_duration() {
    let mut writer = Writer::new();
    writer.usual_tables();
    writer.open_pes(VIDEO, Some((3600, 3600)), &key_picture(40));
    writer.open_pes(VIDEO, Some((7200, 7200)), &picture(40));
    writer.open_pes(VIDEO, None, &picture(40));
    writer.open_pes(VIDEO, None, &picture(40));
    writer.open_pes(VIDEO, Some((18_005, 18_005)), &picture(40));
    writer.pes(AUDIO, Some((900, 900)), &adts_frame(9, 1));
    writer.pes(AUDIO, None, &adts_frame(9, 1).repeat(2));
    let (found, _) = events(&writer.bytes, 188);
    assert_eq!(pts(&video(&found)), [3600, 7200, 10_800, 14_400, 18_005]);
    assert_eq!(pts(&audio(&found)), [900, 2820, 4740]);
}

#[test]
fn bytes_beyond_the_told_length_are_left_out() {
    let mut writer = Writer::new();
    writer.usual_tables();
    let mut packet = pes(0xC0, Some((0, 0)), &adts_frame(20, 1).repeat(2), true);
    packet.extend([0x55; 40]);
    writer.payload(AUDIO, &packet);
    let (found, counts) = events(&writer.bytes, 188);
    assert_eq!((audio(&found).len(), counts.malformed_units), (2, 0));
}

#[test]
fn scrambled_packets_and_pes_packets_are_counted_and_not_used() {
    let mut writer = Writer::new();
    writer.usual_tables();
    writer.open_pes(VIDEO, Some((1, 1)), &key_picture(400));
    writer.open_pes(VIDEO, Some((2, 2)), &picture(40));
    writer.open_pes(VIDEO, Some((3, 3)), &picture(40));
    let mut scrambled = writer.clone();
    // The second picture.
    scrambled.change(5, |packet| packet[3] |= 0xC0);
    let (found, counts) = events(&scrambled.bytes, 188);
    assert_eq!(
        (pts(&video(&found)), counts.scrambled_packets),
        (vec![1, 3], 1)
    );
    let mut packet = pes(0xE0, Some((4, 4)), &picture(20), true);
    packet[6] |= 0x30;
    writer.payload(VIDEO, &packet);
    let (found, counts) = events(&writer.bytes, 188);
    assert_eq!(
        (pts(&video(&found)), counts.scrambled_packets),
        (vec![1, 2, 3], 1)
    );
}

#[test]
fn what_is_no_pes_packet_is_counted_and_padding_is_passed_over() {
    let mut writer = Writer::new();
    writer.usual_tables();
    writer.payload(VIDEO, &[9; 300]);
    writer.payload(VIDEO, &[0, 0, 1, 0xBE, 0, 2, 0xFF, 0xFF]);
    writer.payload(VIDEO, &[0, 0, 1, 0xE0, 0, 1, 0x80, 0x80, 5, 1, 2, 3, 4, 5]);
    writer.open_pes(VIDEO, Some((1, 1)), &key_picture(400));
    let (found, counts) = events(&writer.bytes, 188);
    assert_eq!((video(&found).len(), counts.malformed_units), (1, 2));
}
