//! Each rule once kept (the unchanged texts) and broken by one edit.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::manifest::dash::{Mode, Periods, mpd};
use crate::manifest::hls::{self, Skip};
use crate::manifest::sample::{Builder, ladder};
use crate::media::timeline::Description;

/// The edit must find its place, and the rule must be among those found broken.
fn assert_breaks(
    rule: &str,
    text: &str,
    from: &str,
    to: &str,
    check: impl Fn(&str) -> Vec<Violation>,
) {
    assert!(text.contains(from), "{rule}: {from:?} is not in\n{text}");
    let edited = text.replacen(from, to, 1);
    let found = check(&edited);
    assert!(
        found.iter().any(|violation| violation.rule == rule),
        "{rule}: {from:?} to {to:?} found {found:?} in\n{edited}"
    );
}

fn stream() -> Builder {
    let mut builder = Builder::new(&ladder().video[0]);
    builder.regular(4);
    builder.change("init-new.mp4");
    builder.discontinuity(0, &[200; 10]);
    builder.gap(2000);
    builder.regular(2);
    builder.growing(&[200, 200]);
    builder.report("audio", 108, Some(1));
    builder
}

/// The same stream when its running segment has become whole and the next one runs.
fn later() -> Builder {
    let mut builder = stream();
    builder.snapshot.segments.pop();
    builder.next_sequence -= 1;
    builder.time -= builder.millis(400);
    builder.snapshot.next_part -= 2;
    builder.regular(1);
    builder.growing(&[200]);
    builder.snapshot.segments.remove(0);
    builder
}

#[test]
fn media_playlist_rules() {
    let text = hls::media(&stream().snapshot, None);
    let check = |text: &str| check_media_playlist(text, None);
    assert_eq!(check(&text), []);
    let date = "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T04:00:10.000Z\n";
    for (rule, from, to) in [
        ("P1", "#EXTINF:2.00000", "#EXTINF:3.60000"),
        (
            "P4",
            "#EXT-X-MEDIA-SEQ",
            "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MEDIA-SEQ",
        ),
        ("P8", "DURATION=0.20000", "DURATION=0.26000"),
        ("P9", "#EXT-X-VERSION:6", "#EXT-X-VERSION:7"),
        ("P9", "#EXT-X-MAP:URI=\"init-source.mp4\"\n", ""),
        ("P10", date, ""),
        ("P10", "04:00:12.000Z", "04:00:12.002Z"),
        ("P12", "04:00:20.000Z", "04:00:20.100Z"),
        ("P12", "#EXT-X-GAP\n#EXTINF:2", "#EXT-X-GAP\n#EXTINF:0"),
        (
            "P12",
            "#EXT-X-GAP\n",
            "#EXT-X-PART:DURATION=0.2,URI=\"x\"\n#EXT-X-GAP\n",
        ),
        ("D1", "#EXT-X-DISCONTINUITY\n", ""),
        ("D3", "#EXT-X-DISCONTINUITY-SEQUENCE:7\n", ""),
        ("L1", "PART-HOLD-BACK=0.9402", "PART-HOLD-BACK=0.64"),
        ("L1", "#EXT-X-PART-INF:PART-TARGET=0.2134\n", ""),
        ("L1", ",HOLD-BACK=9", ",HOLD-BACK=8.9"),
        ("L2", "DURATION=0.20000", "DURATION=0.22000"),
        ("L2", "0.20000,URI=\"p562.m4s\"", "0.18000,URI=\"p562.m4s\""),
        (
            "L3",
            "INDEPENDENT=YES\n",
            "INDEPENDENT=YES\n#EXT-X-DISCONTINUITY\n",
        ),
        (
            "L4",
            date,
            &format!("{date}#EXT-X-PART:DURATION=0.2,URI=\"x\"\n"),
        ),
        (
            "L6",
            "#EXT-X-PRELOAD",
            "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"x\"\n#EXT-X-PRELOAD",
        ),
        ("L6", "#EXT-X-RENDITION", "#EXT-X-ENDLIST\n#EXT-X-RENDITION"),
        ("L8", ",HOLD-BACK=9", ",HOLD-BACK=9,CAN-SKIP-UNTIL=17"),
        (
            "L8",
            "#EXT-X-MAP",
            "#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n#EXT-X-MAP",
        ),
        ("L9", "\"../audio", "\"https://host/audio"),
        ("L9", "LAST-MSN=108,", ""),
        ("syntax", "#EXTM3U\n", ""),
        ("syntax", "#EXT-X-TARGETDURATION:3\n", ""),
        ("syntax", "URI=\"init-source.mp4\"", "URI=\"init-source.mp4"),
        ("syntax", "#EXT-X-GAP", "#EXT-X-GAPS"),
    ] {
        assert_breaks(rule, &text, from, to, check);
    }
}

#[test]
fn media_playlist_change_rules() {
    let before = hls::media(&stream().snapshot, None);
    let after = hls::media(&later().snapshot, None);
    let check = |text: &str| check_media_playlist(text, Some(&before));
    assert_eq!(check(&after), []);
    let everything: Vec<&str> = after.lines().collect();
    let tail = everything
        .iter()
        .position(|l| l.ends_with("107.m4s"))
        .unwrap();
    let body: String = everything[8..=tail]
        .iter()
        .map(|l| format!("{l}\n"))
        .collect();
    for (rule, from, to) in [
        ("P1", "#EXT-X-TARGETDURATION:3", "#EXT-X-TARGETDURATION:4"),
        (
            "P2",
            "#EXT-X-MEDIA-SEQUENCE:101",
            "#EXT-X-MEDIA-SEQUENCE:99",
        ),
        ("P3", body.as_str(), ""),
        ("P5", "#EXTINF:2.00000,\n102", "#EXTINF:2.00010,\n102"),
        ("P5", "PART-HOLD-BACK=0.9402", "PART-HOLD-BACK=0.95"),
        ("P5", "103.m4s", "103b.m4s"),
        ("P5", "p561.m4s", "p561b.m4s"),
        (
            "D3",
            "#EXT-X-DISCONTINUITY-SEQUENCE:7",
            "#EXT-X-DISCONTINUITY-SEQUENCE:8",
        ),
        ("L6", "p572.m4s", "p572b.m4s"),
    ] {
        assert_breaks(rule, &after, from, to, check);
    }
    // Running backwards breaks the order itself.
    let found = check_media_playlist(&before, Some(&after));
    assert!(found.iter().any(|v| v.rule == "P2"), "{found:?}");
}

#[test]
fn answers_that_are_far_apart_tell_nothing_of_the_part_that_was_hinted() {
    let before = hls::media(&stream().snapshot, None);
    let mut builder = later();
    let last = builder.snapshot.segments.pop().unwrap();
    builder.next_sequence -= 1;
    builder.time = last.start;
    builder.snapshot.next_part -= 1;
    builder.regular(8);
    for _ in 0..6 {
        let after = hls::media(&builder.snapshot, None);
        assert_eq!(check_media_playlist(&after, Some(&before)), []);
        builder.snapshot.segments.remove(0);
    }
}

#[test]
fn a_gap_may_come_in_place_of_the_part_that_was_hinted() {
    let mut builder = Builder::new(&ladder().video[0]);
    builder.regular(6);
    let before = hls::media(&builder.snapshot, None);
    builder.gap(2000);
    builder.regular(1);
    let after = hls::media(&builder.snapshot, None);
    assert_eq!(check_media_playlist(&after, Some(&before)), []);
}

#[test]
fn nothing_changes_after_the_end_and_life_does_not_begin_with_a_discontinuity() {
    let mut builder = stream();
    builder.snapshot.segments.pop();
    builder.snapshot.ended = true;
    let ended = hls::media(&builder.snapshot, None);
    assert_eq!(check_media_playlist(&ended, Some(&ended)), []);
    builder.regular(1);
    let more = hls::media(&builder.snapshot, None);
    let found = check_media_playlist(&more, Some(&ended));
    assert!(found.iter().any(|v| v.rule == "P5"), "{found:?}");

    let mut builder = Builder::new(&ladder().video[0]);
    let empty = hls::media(&builder.snapshot, None);
    builder.snapshot.segments.clear();
    builder.discontinuity(0, &[200; 10]);
    let odd = hls::media(&builder.snapshot, None);
    let found = check_media_playlist(&odd, Some(&empty));
    assert!(found.iter().any(|v| v.rule == "D5"), "{found:?}");
}

#[test]
fn delta_rules() {
    let mut builder = Builder::new(&ladder().video[0]);
    builder.snapshot.rules.window = Duration::from_secs(300);
    builder.regular(20);
    let full = hls::media(&builder.snapshot, None);
    let delta = hls::media(&builder.snapshot, Some(Skip::Yes));
    let check = |text: &str| check_delta(text, &full);
    assert_eq!(check(&delta), []);
    assert_eq!(check_media_playlist(&delta, None), []);
    for (from, to) in [
        ("SKIPPED-SEGMENTS=11", "SKIPPED-SEGMENTS=10"),
        ("#EXT-X-SKIP:SKIPPED-SEGMENTS=11\n", ""),
        (
            "#EXT-X-DISCONTINUITY-SEQUENCE:7",
            "#EXT-X-DISCONTINUITY-SEQUENCE:6",
        ),
    ] {
        assert_breaks("L8", &delta, from, to, check);
    }
}

/// Source, `sd` and audio of one stream, each reporting on the others.
fn stream_of_three() -> (Description, Vec<Builder>) {
    let mut description = ladder();
    description.video.truncate(2);
    description.audio.truncate(1);
    let all = description.video.iter().chain(&description.audio);
    let mut builders: Vec<Builder> = all.map(Builder::new).collect();
    for builder in &mut builders {
        builder.regular(3);
        builder.discontinuity(0, &[200; 10]);
        builder.regular(1);
        for name in ["source", "sd", "audio"] {
            if *builder.snapshot.rendition.name != *name {
                builder.report(name, 104, Some(9));
            }
        }
    }
    (description, builders)
}

#[test]
fn multivariant_rules() {
    let (description, builders) = stream_of_three();
    let text = hls::multivariant(&description, "");
    let codec = description.video[0].track.codec_string();
    let text = text.replace(&format!("CODECS=\"{codec},"), "CODECS=\"avc1.64001f,");
    let uris = ["source/index.m3u8", "sd/index.m3u8", "audio/index.m3u8"];
    let texts: Vec<String> = builders
        .iter()
        .map(|b| hls::media(&b.snapshot, None))
        .collect();
    let media: Vec<(&str, &str)> = uris
        .into_iter()
        .zip(texts.iter().map(String::as_str))
        .collect();
    let check = |text: &str| check_multivariant(text, &media);
    assert_eq!(check(&text), []);
    for (rule, from, to) in [
        ("M1", "\"avc1.64001f,mp4a.40.2\"", "\"avc1.64001f\""),
        ("M1", "CODECS=\"avc1.64001f,mp4a.40.2\",", ""),
        ("M1", ",RESOLUTION=854x480", ""),
        ("M1", ",FRAME-RATE=30", ""),
        (
            "M1",
            "AVERAGE-BANDWIDTH=2060000",
            "AVERAGE-BANDWIDTH=9000000",
        ),
        ("M2", ",LANGUAGE=\"und\"", ""),
        ("M2", "GROUP-ID=\"audio\"", "GROUP-ID=\"sound\""),
        (
            "M5",
            "AVERAGE-BANDWIDTH=4160000",
            "AVERAGE-BANDWIDTH=2000000",
        ),
        ("syntax", "#EXT-X-STREAM-INF:", "#EXT-X-STREAM:"),
    ] {
        assert_breaks(rule, &text, from, to, check);
    }
    for (rule, from, to) in [
        ("M4", "#EXT-X-TARGETDURATION:3", "#EXT-X-TARGETDURATION:4"),
        ("M4", "HOLD-BACK=9", "HOLD-BACK=10"),
        (
            "M4",
            "#EXT-X-DISCONTINUITY-SEQUENCE:7",
            "#EXT-X-DISCONTINUITY-SEQUENCE:8",
        ),
        ("M4", "04:00:10.000Z", "04:00:10.100Z"),
        ("D2", "#EXT-X-DISCONTINUITY\n", ""),
        ("L9", "../audio/", "../other/"),
        ("L9", "LAST-MSN=104", "LAST-MSN=90"),
    ] {
        assert_breaks(rule, &texts[1], from, to, |edited| {
            let mut media = media.clone();
            media[1].1 = edited;
            check_multivariant(&text, &media)
        });
    }
    let bare = "#EXT-X-INDEPENDENT-SEGMENTS\n";
    let one = texts[2].replace(bare, "");
    assert_breaks("M3", &text, bare, "", |text| {
        check_multivariant(text, &[media[0], media[1], (media[2].0, &one)])
    });
}

fn manifest(
    description: &Description,
    builders: &[Builder],
    mode: Mode,
    periods: &mut Periods,
) -> String {
    let snapshots: Vec<_> = builders
        .iter()
        .map(|b| Arc::new(b.snapshot.clone()))
        .collect();
    mpd(description, &snapshots, mode, periods, "/time").unwrap()
}

#[test]
fn mpd_rules() {
    let (description, builders) = stream_of_three();
    let text = manifest(
        &description,
        &builders,
        Mode::Standard,
        &mut Periods::default(),
    );
    let check = |text: &str| check_mpd(text, None);
    assert_eq!(check(&text), []);
    for (rule, from, to) in [
        ("S1", "type=\"dynamic\"", "type=\"static\""),
        ("S1", "availabilityStartTime", "start"),
        ("S1", "<AdaptationSet id=\"1\"", "<AdaptationSet"),
        ("S1", " start=\"PT10S\"", ""),
        ("S2", "utc:http-xsdate", "utc:ntp"),
        ("S3", " publishTime=", " time="),
        ("S3", " minimumUpdatePeriod=\"PT2S\"", ""),
        ("S4", "<S t=", "<S n=\"1\" t="),
        ("S4", "d=\"180000\"", "d=\"0\""),
        (
            "S5",
            "r=\"2\"/>",
            "r=\"1\"/><S t=\"1270000\" d=\"180000\"/>",
        ),
        ("S5", "<S t=\"900000\"", "<S t=\"0\""),
        ("S7", "start=\"PT16S\"", "start=\"PT10S\""),
        ("S7", "start=\"PT16S\"", "start=\"PT17S\""),
        ("S7", "id=\"p103\"", "id=\"p100\""),
        ("S7", "id=\"p103\"", "id=\"\""),
        ("S7", "period-continuity", "period-connection"),
        ("S7", "init-sd.mp4", "init-sd2.mp4"),
        ("S7", "start=\"PT10S\"", "start=\"PT10S\" duration=\"PT7S\""),
        (
            "S9",
            " startNumber",
            " availabilityTimeComplete=\"false\" startNumber",
        ),
        ("syntax", "</Period>", ""),
    ] {
        assert_breaks(rule, &text, from, to, check);
    }
    let live = manifest(
        &description,
        &builders,
        Mode::LowLatency,
        &mut Periods::default(),
    );
    assert_eq!(check(&live), []);
    for (from, to) in [
        ("<Latency", "<Late"),
        ("<PlaybackRate", "<Rate"),
        ("<ServiceDescription id=\"0\">", "<Other>"),
        (" availabilityTimeOffset=\"1.4866\"", ""),
        ("<ProducerReferenceTime", "<Reference"),
        (" availabilityTimeComplete=\"false\"", ""),
    ] {
        let live = live.replace(
            "</ServiceDescription>",
            if to == "<Other>" {
                "</Other>"
            } else {
                "</ServiceDescription>"
            },
        );
        assert_breaks("S9", &live, from, to, check);
    }
}

#[test]
fn mpd_change_rules_and_agreement_with_hls() {
    let (description, mut builders) = stream_of_three();
    let mut periods = Periods::default();
    let before = manifest(&description, &builders, Mode::Standard, &mut periods);
    builders.iter_mut().for_each(|b| b.regular(1));
    let after = manifest(&description, &builders, Mode::Standard, &mut periods);
    let check = |text: &str| check_mpd(text, Some(&before));
    assert_eq!(check(&after), []);
    for (rule, from, to) in [
        ("S1", "04:00:00.000Z", "04:00:00.001Z"),
        ("S1", "start=\"PT10S\"", "start=\"PT9S\""),
        ("S1", "start=\"PT10S\"", "start=\"PT10S\" duration=\"PT5S\""),
        ("S1", "id=\"sd\"", "id=\"hd\""),
        ("S1", "init-sd.mp4", "init-sd2.mp4"),
        ("S1", "<AdaptationSet id=\"2\"", "<AdaptationSet id=\"3\""),
        ("S3", "04:00:22.000Z", "04:00:20.000Z"),
        ("S4", "startNumber=\"100\"", "startNumber=\"99\""),
        (
            "S4",
            "<S t=\"900000\" d=\"180000\"",
            "<S t=\"900001\" d=\"180000\"",
        ),
        (
            "S4",
            "presentationTimeOffset=\"900000\"",
            "presentationTimeOffset=\"900001\"",
        ),
    ] {
        assert_breaks(rule, &after, from, to, check);
    }
    let playlist = hls::media(&builders[1].snapshot, None);
    let agree = |mpd: &str| check_hls_against_mpd(mpd, "sd", &playlist);
    assert_eq!(agree(&after), []);
    assert_breaks(
        "X1",
        &after,
        "start=\"PT16S\"",
        "start=\"PT16.002S\"",
        agree,
    );
    assert_breaks("X1", &after, "04:00:00.000Z", "04:00:00.003Z", agree);
    let other = check_hls_against_mpd(&after, "absent", &playlist);
    assert_eq!(other.len(), 1);
}

#[test]
fn hostile_texts_are_refused_without_harm() {
    for text in [
        "",
        "#EXTM3U",
        "#EXTM3U\n#EXT-X-TARGETDURATION:99999999999999999999",
        "#EXTM3U\n#EXT-X-PART:DURATION=NaN,URI=",
        "#EXTM3U\n#EXTINF:inf,\na",
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXTINF:1,\na",
        "<MPD><MPD",
        "</MPD>",
    ] {
        assert_eq!(check_media_playlist(text, None)[0].rule, "syntax", "{text}");
        assert!(!check_mpd(text, None).is_empty(), "{text}");
    }
    let deep = "<a>".repeat(10_000);
    assert_eq!(check_mpd(&deep, None)[0].rule, "syntax");
    let many = "<MPD><Period><AdaptationSet><Representation><SegmentTemplate><SegmentTimeline>\
        <S t=\"9223372036854775807\" d=\"9223372036854775807\" r=\"9999999999\"/></SegmentTimeline>\
        </SegmentTemplate></Representation></AdaptationSet></Period></MPD>";
    assert!(!check_mpd(many, Some(many)).is_empty());
}

proptest::proptest! {
    #[test]
    fn damaged_texts_never_panic(at in 0_usize..3000, with in ".{0,12}", digits in "[0-9.-]{0,25}") {
        let (description, builders) = stream_of_three();
        let playlist = hls::media(&builders[0].snapshot, None);
        let manifest = manifest(&description, &builders, Mode::LowLatency, &mut Periods::default());
        for text in [playlist, manifest] {
            for insert in [&with, &digits] {
                let mut damaged = text.clone();
                damaged.insert_str(at.min(text.len()), insert);
                check_media_playlist(&damaged, Some(&text));
                check_multivariant(&damaged, &[("a", &damaged), ("b", &text)]);
                check_mpd(&damaged, Some(&text));
                check_hls_against_mpd(&damaged, "sd", &text);
            }
        }
    }
}
