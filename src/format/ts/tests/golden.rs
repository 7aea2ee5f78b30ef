//! Clips in `tests/data/ts`: every packet that ffprobe finds, with its times, key flag, size and sum.

use super::*;

fn read(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ts");
    std::fs::read(format!("{folder}/{name}")).unwrap()
}

/// Adler-32 as ffmpeg's framecrc begins it, with zero.
fn adler_32(data: &[u8]) -> u32 {
    let (mut a, mut b) = (0_u32, 0_u32);
    for &byte in data {
        a = (a + u32::from(byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    b << 16 | a
}

fn row(unit: &AccessUnit) -> String {
    let kind = match unit.kind {
        MediaKind::Video => "v",
        MediaKind::Audio => "a",
    };
    let (pts, dts, key) = (unit.pts.0, unit.dts.0, u8::from(unit.key));
    let (size, sum) = (unit.data.len(), adler_32(&unit.data));
    format!("{kind},{pts},{dts},{key},{size},0x{sum:08x}")
}

/// In pieces as SRT brings them and in pieces that end anywhere.
fn compare(clip: &str, codecs: &[&str]) {
    let stream = read(&format!("{clip}.ts"));
    let expected = String::from_utf8(read(&format!("{clip}.csv"))).unwrap();
    for size in [1316, 1000, 1] {
        let (events, counts) = events(&stream, size);
        let found: Vec<String> = [MediaKind::Video, MediaKind::Audio]
            .into_iter()
            .flat_map(|kind| units(&events, kind))
            .map(row)
            .collect();
        let expected: Vec<&str> = expected.lines().collect();
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{clip} in pieces of {size}");
        }
        assert_eq!(found.len(), expected.len(), "{clip} in pieces of {size}");
        let tracks: Vec<String> = tracks(&events).iter().map(|t| t.codec_string()).collect();
        assert_eq!(tracks, codecs, "{clip}");
        let clean = Counts {
            packets: u64::try_from(stream.len() / PACKET_BYTES).unwrap(),
            ..Counts::default()
        };
        assert_eq!(counts, clean, "{clip}");
    }
}

#[test]
fn ffmpeg_5_with_h264_and_aac_gives_every_packet_of_ffprobe() {
    compare("avc-aac", &["avc1.64000b", "mp4a.40.2"]);
}

#[test]
fn ffmpeg_9_with_hevc_and_opus_gives_every_packet_of_ffprobe() {
    compare("hevc-opus", &["hvc1.1.6.L30.90", "opus"]);
}

#[test]
fn ffmpeg_9_with_h264_and_latm_gives_every_packet_of_ffprobe() {
    compare("avc-latm", &["avc1.64000b", "mp4a.40.2"]);
}

#[test]
fn gstreamer_with_slices_gives_every_packet_of_ffprobe() {
    compare("gst", &["mp4a.40.2", "avc1.64000b"]);
}
