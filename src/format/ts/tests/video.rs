//! Where access units begin and end, and what is in them.

use super::writer::*;
use super::*;
use crate::media::nal;

fn nals(unit: &AccessUnit) -> Vec<Vec<u8>> {
    nal::units(&unit.data)
        .map(|nal| nal.unwrap().to_vec())
        .collect()
}

/// One PES packet with these bytes between two pictures with times.
fn between(data: &[u8]) -> (Vec<Event>, Counts) {
    let mut writer = Writer::new();
    writer.usual_tables();
    writer.open_pes(VIDEO, Some((0, 0)), &key_picture(30));
    writer.open_pes(VIDEO, Some((3000, 3000)), data);
    writer.open_pes(VIDEO, Some((90_000, 90_000)), &picture(30));
    events(&writer.bytes, 188)
}

#[test]
fn sets_delimiters_and_filler_leave_the_unit_and_sei_stays() {
    let sei = [0x06, 5, 1, 9, 0x80];
    let filler = [0x0C, 0xFF, 0xFF, 0x80];
    let end = [0x0A];
    let key = slice(0x65, 20);
    let mut writer = Writer::new();
    writer.usual_tables();
    let data = annexb(&[AUD, SPS, PPS, &sei, &key, &filler, &end]);
    writer.open_pes(VIDEO, Some((0, 0)), &data);
    let (found, _) = events(&writer.bytes, 188);
    assert_eq!(nals(video(&found)[0]), [sei.to_vec(), key]);
    assert!(video(&found)[0].key);
}

#[test]
fn the_last_unit_comes_out_at_the_end() {
    let mut writer = Writer::new();
    writer.usual_tables();
    writer.open_pes(VIDEO, Some((0, 0)), &key_picture(30));
    let mut demuxer = Demuxer::new();
    demuxer.push(&writer.bytes);
    assert_eq!(demuxer.poll_event(), None, "nothing tells its end yet");
    demuxer.finish();
    assert!(matches!(demuxer.poll_event(), Some(Event::Track(_))));
    assert!(matches!(demuxer.poll_event(), Some(Event::Unit(_))));
    assert_eq!(demuxer.poll_event(), None);
}

#[test]
fn a_unit_comes_out_as_soon_as_the_next_one_begins() {
    let mut writer = Writer::new();
    writer.usual_tables();
    writer.open_pes(VIDEO, Some((0, 0)), &key_picture(30));
    writer.open_pes(VIDEO, Some((1, 1)), &picture(3000));
    let mut demuxer = Demuxer::new();
    demuxer.push(&writer.bytes[..188 * 5]);
    assert!(matches!(demuxer.poll_event(), Some(Event::Track(_))));
    assert!(matches!(demuxer.poll_event(), Some(Event::Unit(_))));
}

#[test]
fn several_units_in_one_pes_packet_are_told_apart() {
    let (key, other) = (slice(0x65, 20), slice(0x41, 20));
    let sei = [0x06, 5, 1, 9, 0x80];
    let second = |nals: &[&[u8]]| [annexb(&[&other]), annexb(nals)].concat();
    for (next, what) in [
        (second(&[AUD, &other]), "delimiter"),
        (second(&[SPS, PPS, &key]), "parameter sets"),
        (second(&[&sei, &other]), "SEI"),
        (second(&[&other]), "first macroblock"),
    ] {
        let (found, counts) = between(&next);
        assert_eq!(pts(&video(&found)), [0, 3000, 6000, 90_000], "{what}");
        assert_eq!(counts.malformed_units, 0, "{what}");
    }
}

#[test]
fn slices_of_one_picture_stay_together() {
    let mut later = slice(0x41, 20);
    later[1] = 0x5A;
    let data = annexb(&[AUD, &slice(0x41, 20), &later, &later]);
    let (found, _) = between(&data);
    assert_eq!(pts(&video(&found)), [0, 3000, 90_000]);
    assert_eq!(nals(video(&found)[1]).len(), 3);
}

#[test]
fn a_unit_over_several_pes_packets_is_one_and_has_the_first_time() {
    let mut writer = Writer::new();
    writer.usual_tables();
    let data = key_picture(1000);
    for (time, piece) in [Some((0, 0)), None, Some((40, 40))]
        .into_iter()
        .zip(data.chunks(400))
    {
        writer.open_pes(VIDEO, time, piece);
    }
    writer.open_pes(VIDEO, Some((3000, 3000)), &picture(30));
    let (found, _) = events(&writer.bytes, 188);
    assert_eq!(pts(&video(&found)), [0, 3000]);
    assert_eq!(video(&found)[0].data.len(), 1004);
}

#[test]
fn parameter_sets_in_a_pes_packet_of_their_own_belong_to_the_picture_after() {
    let mut writer = Writer::new();
    writer.usual_tables();
    writer.open_pes(VIDEO, Some((0, 0)), &annexb(&[AUD, SPS, PPS]));
    writer.open_pes(VIDEO, Some((3000, 3000)), &annexb(&[AUD, &slice(0x65, 50)]));
    let (found, counts) = events(&writer.bytes, 188);
    assert_eq!(pts(&video(&found)), [3000]);
    assert_eq!((tracks(&found).len(), counts.unready_units), (1, 0));
}

#[test]
fn start_codes_are_found_wherever_packets_end() {
    for shift in 0..200 {
        let mut writer = Writer::new();
        writer.usual_tables();
        writer.open_pes(VIDEO, Some((0, 0)), &key_picture(30));
        let mut data = annexb(&[AUD, &vec![0x41; 100 + shift], &[0x41, 0x11, 7]]);
        // Three bytes of start code, and zeros after the last unit.
        data.extend([0, 0, 1, 0x41, 0x12, 8, 0, 0, 0]);
        writer.open_pes(VIDEO, Some((3000, 3000)), &data);
        let (found, _) = events(&writer.bytes, 188);
        let found = nals(video(&found)[1]);
        assert_eq!(found[0].len(), 100 + shift);
        assert_eq!(found[1..], [vec![0x41, 0x11, 7], vec![0x41, 0x12, 8]]);
    }
}

#[test]
fn a_track_comes_again_only_when_the_parameter_sets_differ() {
    let mut larger = SPS.to_vec();
    // Another level.
    larger[3] = 0x1E;
    let mut writer = Writer::new();
    writer.usual_tables();
    let second_pps: &[u8] = &[0x68, 0x5A, 0x3C, 0x80];
    for sets in [
        vec![SPS, PPS],
        vec![SPS, PPS],
        vec![PPS],
        vec![second_pps],
        vec![PPS],
        vec![SPS, PPS, second_pps],
        vec![&larger, PPS],
    ] {
        let key = slice(0x65, 20);
        let data = [annexb(&[AUD]), annexb(&sets), annexb(&[&key])].concat();
        writer.open_pes(VIDEO, Some((0, 0)), &data);
    }
    let (found, counts) = events(&writer.bytes, 188);
    assert_eq!((video(&found).len(), counts.malformed_units), (7, 0));
    let levels: Vec<String> = tracks(&found)
        .iter()
        .map(|track| track.codec_string())
        .collect();
    assert_eq!(levels, ["avc1.42c00b", "avc1.42c00b", "avc1.42c01e"]);
}

#[test]
fn pictures_before_the_parameter_sets_are_counted_and_left_out() {
    let mut writer = Writer::new();
    writer.usual_tables();
    writer.open_pes(VIDEO, Some((0, 0)), &picture(30));
    writer.open_pes(VIDEO, Some((1, 1)), &picture(30));
    writer.open_pes(VIDEO, Some((2, 2)), &key_picture(30));
    let (found, counts) = events(&writer.bytes, 188);
    assert_eq!((pts(&video(&found)), counts.unready_units), (vec![2], 2));
}

#[test]
fn a_picture_that_never_ends_is_dropped_and_its_memory_too() {
    let mut writer = Writer::new();
    writer.usual_tables();
    writer.open_pes(VIDEO, Some((0, 0)), &key_picture(5 * 1024 * 1024));
    writer.open_pes(
        VIDEO,
        Some((1, 1)),
        &[annexb(&[AUD]), annexb(&vec![&[0x41_u8, 0x11][..]; 9000])].concat(),
    );
    writer.open_pes(VIDEO, Some((2, 2)), &key_picture(30));
    let (found, counts) = events(&writer.bytes, 1316);
    assert_eq!(pts(&video(&found)), [2]);
    assert_eq!(counts.malformed_units, 2);
}
