//! CONFORMANCE.md over real running channels. A channel is published in real time and watched as players
//! do (`recording`); the pure checkers of the library read what they got, and the items here add what
//! texts alone do not tell. Items over that recording are functions that `ITEMS` lists and one test goes through.
//!
//! | item | where |
//! |---|---|
//! | M1–M5, L9 | `m1_to_m5_multivariant_playlist`, `m1_bandwidth_covers_every_segment`, `m2_m5_a_ladder_offers_a_choice` |
//! | P1, P4, P5, P8, P10, P12, D1, D5, L1–L4, L6, K1, K2 | `every_media_playlist_and_every_change_of_one` |
//! | P2, P3, P7, D3, L8 | `p2_p3_p7_d3_l8_what_leaves_the_window` |
//! | P6 | a matter of time, not of tests: the benches measure part received to part listed |
//! | P9, D2, M4, K5 | the checkers, in all of these and in `inputs` |
//! | P11 | `p11_types_codings_and_caches` |
//! | D1–D3, S1, S7, X3 | `d1_to_d3_s7_a_returning_publisher_goes_on`, `inputs::another_…` |
//! | D4 | no test: the transcoder's business, source changes are passed on and marked |
//! | L5, L6, K1 | `l5_l6_hinted_parts_come_whole` |
//! | L7 | `l7_blocking_reloads` |
//! | L10 | HTTP/2 over TLS: the origin's own tests |
//! | S1–S5, S9, X1 | `s1_to_s9_x1_manifests` |
//! | S6 | `s6_everything_listed_can_be_fetched` |
//! | P12, K5, S7, S8 with holes | `holes`, which has no network and no encoder |
//! | S10 | not done: no leap second is announced |
//! | S9 | `s9_a_growing_segment_comes_part_by_part` |
//! | C1–C5, K3, K4, P8 | `c1_to_c5_fragments` |
//! | X2 | `/sync` is a later issue |
//! | X4 | playout is a later issue |
//! | X5 | `x5_counters_of_rtmp_wrap` |

mod fragments;
mod over_time;
mod recording;

use std::io::Write;

use forebay::manifest::check::{
    Violation, check_hls_against_mpd, check_media_playlist, check_mpd, check_multivariant,
};
use forebay::manifest::parse::{Attributes, Media, Multivariant};
use recording::{Recording, ladder, passthrough};

#[track_caller]
fn no_violation(broken: &[Violation], context: &str) {
    assert!(broken.is_empty(), "{broken:#?}\n{context}");
}

/// Rules that are broken between each text and the one before it.
fn each_change(texts: &[String], check: fn(&str, Option<&str>) -> Vec<Violation>) {
    assert!(texts.len() > 2, "{} answers", texts.len());
    let mut previous = None;
    for text in texts {
        let context = format!("{}\n\nbefore it:\n{text}", previous.unwrap_or(""));
        no_violation(&check(text, previous), &context);
        previous = Some(text);
    }
}

/// What is asked of the recorded channels, item by item, under the names of the table above.
const ITEMS: [(&str, fn()); 11] = [
    (
        "m1_to_m5_multivariant_playlist",
        m1_to_m5_multivariant_playlist,
    ),
    (
        "m2_m5_a_ladder_offers_a_choice",
        m2_m5_a_ladder_offers_a_choice,
    ),
    (
        "m1_bandwidth_covers_every_segment",
        m1_bandwidth_covers_every_segment,
    ),
    (
        "every_media_playlist_and_every_change_of_one",
        every_media_playlist_and_every_change_of_one,
    ),
    (
        "l5_l6_hinted_parts_come_whole",
        l5_l6_hinted_parts_come_whole,
    ),
    ("l7_blocking_reloads", l7_blocking_reloads),
    ("p11_types_codings_and_caches", p11_types_codings_and_caches),
    ("s1_to_s9_x1_manifests", s1_to_s9_x1_manifests),
    (
        "s6_everything_listed_can_be_fetched",
        s6_everything_listed_can_be_fetched,
    ),
    (
        "s9_a_growing_segment_comes_part_by_part",
        s9_a_growing_segment_comes_part_by_part,
    ),
    ("c1_to_c5_fragments", fragments::c1_to_c5_fragments),
];

/// One test, because recording lasts as long as the channels do, and under nextest each test is a process that
/// would record anew. Every item is tried, whatever became of those before it, and named with what became of it.
#[test]
fn every_item_holds_over_recorded_channels() {
    let mut broken = Vec::new();
    for (name, item) in ITEMS {
        let kept = std::panic::catch_unwind(item).is_ok();
        let word = if kept { "ok" } else { "BROKEN" };
        writeln!(std::io::stderr(), "{name}: {word}").unwrap();
        if !kept {
            broken.push(name);
        }
    }
    assert!(broken.is_empty(), "broken, each told above: {broken:?}");
}

fn m1_to_m5_multivariant_playlist() {
    for_each_channel(|recording| {
        let media: Vec<(String, &str)> = recording
            .last_playlists()
            .map(|(name, text)| (format!("{name}/index.m3u8"), text))
            .collect();
        let media: Vec<(&str, &str)> = media.iter().map(|(uri, text)| (&**uri, *text)).collect();
        for text in &recording.multivariant {
            no_violation(&check_multivariant(text, &media), text);
        }
    });
}

fn m2_m5_a_ladder_offers_a_choice() {
    for text in &ladder().multivariant {
        let playlist = Multivariant::parse(text).unwrap();
        let is_video = |inf: &Attributes| inf.get("RESOLUTION").is_some();
        let videos = playlist.variants.iter().filter(|(inf, _)| is_video(inf));
        assert!(videos.count() >= 2, "M2: {text}");
        let thin = |inf: &Attributes| inf.number::<u64>("BANDWIDTH") <= Some(192_000);
        assert!(
            playlist.variants.iter().any(|(inf, _)| thin(inf)),
            "M5: {text}"
        );
    }
}

fn m1_bandwidth_covers_every_segment() {
    for_each_channel(|recording| {
        // The largest sum of peak segment rates over playable combinations (APL 9.13).
        let peak = |name: &str| {
            let playlist = Media::parse(recording.last_playlist(name)).unwrap();
            let complete = playlist.segments.iter().filter(|s| !s.uri.is_empty());
            let rates = complete.map(|segment| {
                let bytes = recording.file(&format!("{name}/{}", segment.uri)).len();
                bytes as f64 * 8.0 / segment.duration
            });
            rates.fold(0.0, f64::max)
        };
        // Also the first one, made when hardly anything was measured.
        for text in &recording.multivariant {
            let playlist = Multivariant::parse(text).unwrap();
            let audio = playlist.media.first().map_or(0.0, |media| {
                let uri = media.get("URI").expect("a rendition of its own");
                peak(uri.split('/').next().unwrap())
            });
            for (inf, uri) in &playlist.variants {
                let name = uri.split('/').next().unwrap();
                let sum = match inf.get("AUDIO") {
                    Some(_) => peak(name) + audio,
                    None => peak(name),
                };
                let declared = inf.number::<f64>("BANDWIDTH").unwrap();
                assert!(declared >= sum, "M1: {name} has {sum} bit/s\n{text}");
            }
        }
    });
}

fn every_media_playlist_and_every_change_of_one() {
    for_each_channel(|recording| {
        for (name, reloads) in &recording.reloads {
            let texts: Vec<String> = reloads.iter().map(|r| r.text.clone()).collect();
            assert!(texts.len() >= 30, "{name}: {} reloads", texts.len());
            each_change(&texts, check_media_playlist);
        }
    });
}

fn l5_l6_hinted_parts_come_whole() {
    for_each_channel(|recording| {
        let mut compared = 0;
        for (path, answer) in &recording.hinted {
            assert_eq!(answer.status, 200, "K1: {path} was hinted");
            // A length says that no byte was sent before the whole part was there.
            let length = answer.header("content-length").map(str::to_owned);
            assert_eq!(length, Some(answer.body.len().to_string()), "L5: {path}");
            // Parts go out of the list when they are old.
            if let Some(bytes) = recording.files.get(path) {
                assert_eq!(&answer.body, bytes, "L6: {path}");
                compared += 1;
            }
        }
        assert!(compared >= 30, "{compared} hinted parts");
    });
}

fn l7_blocking_reloads() {
    for_each_channel(|recording| {
        for (name, reloads) in &recording.reloads {
            for reload in reloads.iter().filter(|reload| reload.sequence > 0) {
                let playlist = Media::parse(&reload.text).unwrap();
                let last = playlist.first_sequence() + playlist.segments.len() as u64 - 1;
                let came = match playlist.segment(reload.sequence) {
                    Some(segment) => !segment.uri.is_empty() || segment.parts.len() > reload.part,
                    None => false,
                };
                assert!(
                    came || last > reload.sequence,
                    "L7: {name} {} {}:\n{}",
                    reload.sequence,
                    reload.part,
                    reload.text
                );
            }
        }
        for (query, status) in &recording.refusals {
            assert_eq!(*status, 400, "L7: {query}");
        }
        assert_eq!(recording.unhinted, 404, "L6: a part that nobody announced");
    });
}

fn p11_types_codings_and_caches() {
    for_each_channel(|recording| {
        for (path, answer) in &recording.answers {
            let sound = ["/audio/", "/ahi/", "/alo/"];
            let wanted = match path {
                path if path.ends_with(".m3u8") => "application/vnd.apple.mpegurl",
                path if path.ends_with(".mpd") => "application/dash+xml",
                path if sound.iter().any(|name| path.contains(name)) => "audio/mp4",
                _ => "video/mp4",
            };
            assert_eq!(answer.status, 200, "P11: {path}");
            assert_eq!(answer.header("content-type"), Some(wanted), "P11: {path}");
            let is_text = path.ends_with(".m3u8") || path.ends_with(".mpd");
            let coding = answer.header("content-encoding");
            assert_eq!(coding, is_text.then_some("gzip"), "P11: {path}");
            let caching = answer.header("cache-control").unwrap_or_default();
            let whole = is_text || caching.contains("immutable");
            assert!(
                caching.contains("max-age=") && whole,
                "P7: {path} {caching}"
            );
        }
    });
}

fn s1_to_s9_x1_manifests() {
    for_each_channel(|recording| {
        each_change(&recording.manifests, check_mpd);
        each_change(&recording.low_latency, check_mpd);
        for mpd in [&recording.manifests, &recording.low_latency] {
            let mpd = mpd.last().unwrap();
            for (name, text) in recording.last_playlists() {
                no_violation(&check_hls_against_mpd(mpd, name, text), mpd);
            }
        }
    });
}

fn s6_everything_listed_can_be_fetched() {
    for_each_channel(|recording| {
        assert!(recording.newest_of_mpd.len() >= 3);
        for (path, status) in &recording.newest_of_mpd {
            assert_eq!(*status, 200, "S6: {path}");
        }
    });
}

fn s9_a_growing_segment_comes_part_by_part() {
    for_each_channel(|recording| {
        let growing = &recording.growing;
        assert!(growing.chunks.len() >= 5, "S9: {}", growing.chunks.len());
        let (_, complete) = &growing.chunks[0];
        assert!(
            !complete,
            "S9: the first chunk comes before the segment ends"
        );
        let whole: Vec<u8> = growing.chunks.iter().flat_map(|(b, _)| b.clone()).collect();
        assert_eq!(whole, recording.file(&growing.path), "S9: {}", growing.path);
        for (chunk, _) in &growing.chunks {
            assert_eq!(&chunk[4..8], b"moof", "S9: a chunk begins with a part");
        }
    });
}

fn for_each_channel(test: impl Fn(&Recording)) {
    test(passthrough());
    test(ladder());
}
