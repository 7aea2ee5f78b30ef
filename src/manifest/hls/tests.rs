use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::manifest::sample::{Builder, ladder, rendition, video_track};

fn source() -> Builder {
    Builder::new(&ladder().video[0])
}

#[test]
fn the_default_rung_leads_and_listeners_have_a_variant() {
    let text = multivariant(&ladder(), "");
    let expected = "#EXTM3U
#EXT-X-VERSION:6
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,URI=\"audio/index.m3u8\",GROUP-ID=\"audio\",LANGUAGE=\"und\",NAME=\"Audio\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\"
#EXT-X-STREAM-INF:BANDWIDTH=2266000,AVERAGE-BANDWIDTH=2060000,CODECS=\"{video},mp4a.40.2\",RESOLUTION=854x480,FRAME-RATE=30,AUDIO=\"audio\"
sd/index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=4576000,AVERAGE-BANDWIDTH=4160000,CODECS=\"{video},mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=30,AUDIO=\"audio\"
source/index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=946000,AVERAGE-BANDWIDTH=860000,CODECS=\"{video},mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=30,AUDIO=\"audio\"
ld/index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=70400,AVERAGE-BANDWIDTH=64000,CODECS=\"mp4a.40.2\"
alo/index.m3u8
";
    let codec = video_track(1, 1).codec_string();
    assert_eq!(text, expected.replace("{video}", &codec));
}

#[test]
fn without_video_every_audio_rendition_is_a_variant_and_without_audio_there_is_no_group() {
    let mut description = ladder();
    description.video.clear();
    description.rules.independent_segments = false;
    assert_eq!(
        multivariant(&description, "?t=1"),
        "#EXTM3U
#EXT-X-VERSION:6
#EXT-X-STREAM-INF:BANDWIDTH=176000,AVERAGE-BANDWIDTH=160000,CODECS=\"mp4a.40.2\"
audio/index.m3u8?t=1
#EXT-X-STREAM-INF:BANDWIDTH=70400,AVERAGE-BANDWIDTH=64000,CODECS=\"mp4a.40.2\"
alo/index.m3u8?t=1
"
    );
    let mut silent = ladder();
    silent.audio.clear();
    let text = multivariant(&silent, "");
    assert!(!text.contains("AUDIO") && !text.contains("mp4a"), "{text}");
}

#[test]
fn fractional_frame_rates_keep_their_decimals_and_unknown_ones_are_left_out() {
    let mut description = ladder();
    let mut first = (*rendition(0, "source", video_track(1280, 720), 4000)).clone();
    first.frame_rate_millis = 59_940;
    description.video[0] = Arc::new(first.clone());
    assert!(multivariant(&description, "").contains(",FRAME-RATE=59.94,"));
    first.frame_rate_millis = 0;
    description.video = vec![Arc::new(first)];
    assert!(!multivariant(&description, "").contains("FRAME-RATE"));
}

#[test]
fn a_live_playlist_has_parts_at_its_edge_only() {
    let mut builder = source();
    for _ in 0..3 {
        builder.segment(&[1000, 1000]);
    }
    builder.segment(&[1000, 1000]);
    builder.discontinuity(0, &[1000, 500]);
    builder.change("init-new.mp4");
    builder.discontinuity(0, &[1000, 1000]);
    builder.growing(&[1000]);
    builder.report("sd", 106, Some(0));
    builder.report("audio", 105, None);
    let expected = "#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:3
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.9402,HOLD-BACK=9
#EXT-X-PART-INF:PART-TARGET=0.2134
#EXT-X-MEDIA-SEQUENCE:100
#EXT-X-DISCONTINUITY-SEQUENCE:7
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI=\"init-source.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T04:00:10.000Z
#EXTINF:2.00000,
100.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T04:00:12.000Z
#EXTINF:2.00000,
101.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T04:00:14.000Z
#EXT-X-PART:DURATION=1.00000,URI=\"p504.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=1.00000,URI=\"p505.m4s\"
#EXTINF:2.00000,
102.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T04:00:16.000Z
#EXT-X-PART:DURATION=1.00000,URI=\"p506.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=1.00000,URI=\"p507.m4s\"
#EXTINF:2.00000,
103.m4s
#EXT-X-DISCONTINUITY
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T04:00:18.000Z
#EXT-X-PART:DURATION=1.00000,URI=\"p508.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.50000,URI=\"p509.m4s\"
#EXTINF:1.50000,
104.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI=\"init-new.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T04:00:19.500Z
#EXT-X-PART:DURATION=1.00000,URI=\"p510.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=1.00000,URI=\"p511.m4s\"
#EXTINF:2.00000,
105.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T04:00:21.500Z
#EXT-X-PART:DURATION=1.00000,URI=\"p512.m4s\",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p513.m4s\"
#EXT-X-RENDITION-REPORT:URI=\"../sd/index.m3u8\",LAST-MSN=106,LAST-PART=0
#EXT-X-RENDITION-REPORT:URI=\"../audio/index.m3u8\",LAST-MSN=105
";
    assert_eq!(media(&builder.snapshot, None), expected);
}

#[test]
fn the_discontinuity_sequence_rises_when_the_tag_leaves() {
    let mut builder = source();
    builder.regular(1);
    builder.discontinuity(0, &[200; 10]);
    builder.regular(1);
    let number = |builder: &Builder| {
        let text = media(&builder.snapshot, None);
        let tag = "#EXT-X-DISCONTINUITY-SEQUENCE:";
        let line = text.lines().find_map(|line| line.strip_prefix(tag));
        (
            line.unwrap().parse::<u64>().unwrap(),
            text.matches("#EXT-X-DISCONTINUITY\n").count(),
        )
    };
    let mut seen = vec![number(&builder)];
    for _ in 0..2 {
        builder.snapshot.segments.remove(0);
        seen.push(number(&builder));
    }
    assert_eq!(seen, [(7, 1), (7, 1), (8, 0)]);
}

#[test]
fn a_growing_segment_without_parts_leaves_no_tag_behind() {
    let mut builder = source();
    builder.regular(2);
    let before = media(&builder.snapshot, None);
    builder.change("other.mp4");
    builder.discontinuity(0, &[]);
    builder.last().complete = false;
    assert_eq!(media(&builder.snapshot, None), before);
}

#[test]
fn gaps_are_stated_and_the_end_has_no_hint() {
    let mut builder = source();
    builder.regular(1);
    builder.gap(2500);
    builder.segment(&[200, 100]);
    builder.snapshot.ended = true;
    let text = media(&builder.snapshot, None);
    let (_, gap) = text
        .split_once("#EXT-X-PROGRAM-DATE-TIME:2026-11-22T04:00:12.000Z\n")
        .unwrap();
    let (parts, gap) = gap.split_once("#EXT-X-GAP\n").unwrap();
    assert!(gap.starts_with("#EXTINF:2.50000,\n101.m4s\n"), "{text}");
    // Eleven whole ones and what is left.
    assert_eq!(parts.lines().count(), 12);
    assert!(
        parts
            .lines()
            .all(|part| part.ends_with(",URI=\"gap101.m4s\",GAP=YES"))
    );
    assert!(parts.contains("#EXT-X-PART:DURATION=0.15260,"), "{text}");
    assert!(text.ends_with("102.m4s\n#EXT-X-ENDLIST\n"), "{text}");
    assert!(!text.contains("PRELOAD-HINT"));
}

#[test]
fn a_stopped_stream_announces_neither_a_part_nor_an_end() {
    let mut builder = source();
    builder.segment(&[200; 10]);
    builder.snapshot.stopped = true;
    let text = media(&builder.snapshot, None);
    assert!(
        !text.contains("PRELOAD-HINT") && !text.contains("ENDLIST"),
        "{text}"
    );
}

#[test]
fn missing_parts_say_so() {
    let mut builder = source();
    builder.growing(&[200, 200]);
    let parts = &mut builder.last().parts;
    Arc::get_mut(&mut parts[1]).unwrap().bytes.clear();
    let text = media(&builder.snapshot, None);
    assert!(text.contains("URI=\"p501.m4s\",GAP=YES\n"), "{text}");
    assert!(text.contains("URI=\"p500.m4s\",INDEPENDENT=YES\n"));
}

#[test]
fn delta_updates_are_offered_for_long_windows_only() {
    let mut builder = source();
    builder.regular(70);
    assert_eq!(
        media(&builder.snapshot, Some(Skip::Yes)),
        media(&builder.snapshot, None)
    );
    builder.snapshot.rules.window = Duration::from_secs(300);
    let delta = media(&builder.snapshot, Some(Skip::V2));
    assert!(delta.contains("#EXT-X-VERSION:9\n"));
    assert!(delta.contains(",CAN-SKIP-UNTIL=18\n"));
    // 140 s of segments less the boundary of 18 s.
    assert!(delta.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS=61\n"));
    assert!(!delta.contains("#EXT-X-MAP"));
}

#[test]
fn no_segments_make_an_empty_but_valid_playlist() {
    let text = media(&source().snapshot, None);
    assert!(m3u8_rs::parse_media_playlist_res(text.as_bytes()).is_ok());
}

/// What a client does with a delta update (§6.3.7): the skipped segments come from its own copy.
fn merge(delta: &str, previous: &str) -> String {
    let skip = "#EXT-X-SKIP:SKIPPED-SEGMENTS=";
    let sequence = |text: &str| -> usize {
        let tag = "#EXT-X-MEDIA-SEQUENCE:";
        let line = text.lines().find_map(|line| line.strip_prefix(tag));
        line.unwrap().parse().unwrap()
    };
    let is_header = |line: &&str| {
        !line.starts_with("#EXT-X-MAP")
            && !line.starts_with("#EXT-X-PROGRAM")
            && *line != "#EXT-X-DISCONTINUITY"
    };
    let body: Vec<&str> = previous.lines().skip_while(is_header).collect();
    let dropped = sequence(delta) - sequence(previous);
    let mut merged = String::new();
    for line in delta.lines() {
        if let Some(count) = line.strip_prefix(skip) {
            let count: usize = count.parse().unwrap();
            let mut number = 0;
            let mut first_map = None;
            for line in &body {
                if line.starts_with("#EXT-X-MAP") && number <= dropped {
                    first_map = Some(*line);
                }
                if number < dropped || number >= dropped + count {
                    number += usize::from(!line.starts_with('#'));
                    continue;
                }
                // Parts that have left the edge are the client's to forget.
                if line.starts_with("#EXT-X-PART:")
                    || line.starts_with("#EXT-X-MAP") && number == dropped
                {
                    continue;
                }
                if line.starts_with("#EXT-X-PROGRAM") && number == dropped {
                    merged.extend([first_map.unwrap(), "\n"]);
                }
                merged.extend([line, "\n"]);
                number += usize::from(!line.starts_with('#'));
            }
        } else {
            merged.extend([line, "\n"]);
        }
    }
    merged
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_delta_merged_into_an_older_playlist_is_the_full_one(
        kinds in prop::collection::vec(0_u8..6, 20..40),
        more in 1_usize..8,
        removed in 0_usize..4,
    ) {
        let mut builder = source();
        builder.snapshot.rules.window = Duration::from_secs(300);
        for (index, kind) in kinds.iter().enumerate() {
            match kind {
                0 if index > 0 => {
                    builder.change(&format!("init-{index}.mp4"));
                    builder.discontinuity(0, &[200; 9]);
                }
                1 if index > 0 => builder.discontinuity(0, &[200; 4]),
                2 => builder.gap(2400),
                _ => builder.regular(1),
            }
        }
        let previous = media(&builder.snapshot, None);
        builder.regular(more);
        builder.growing(&[200, 200]);
        builder.snapshot.segments.drain(..removed);
        let full = media(&builder.snapshot, None);
        let delta = media(&builder.snapshot, Some(Skip::Yes));
        prop_assert_eq!(delta.matches("#EXT-X-SKIP").count(), 1);
        prop_assert_eq!(merge(&delta, &previous), full);
    }

    #[test]
    fn another_parser_reads_the_same_playlist(segments in 1_usize..40, growing in 0_usize..9) {
        let mut builder = source();
        builder.regular(segments);
        builder.discontinuity(0, &[200; 5]);
        builder.gap(3000);
        if growing > 0 {
            builder.growing(&vec![200; growing]);
        }
        let text = media(&builder.snapshot, None);
        let playlist = m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap();
        prop_assert_eq!(playlist.media_sequence, 100);
        prop_assert_eq!(playlist.discontinuity_sequence, 7);
        prop_assert_eq!(playlist.target_duration, 3);
        prop_assert_eq!(playlist.segments.len(), segments + 2);
        for (read, ours) in playlist.segments.iter().zip(&builder.snapshot.segments) {
            prop_assert_eq!(&read.uri, &format!("{}.m4s", ours.sequence));
            prop_assert!((f64::from(read.duration) - ours.duration.seconds(Timescale::CHANNEL)).abs() < 1e-5);
            prop_assert_eq!(read.discontinuity, ours.discontinuity);
            let wall = read.program_date_time.unwrap().timestamp_micros();
            prop_assert_eq!(wall, ours.program_date_time.0);
        }
    }
}
