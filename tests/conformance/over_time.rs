//! What happens to a channel in the course of time: content leaves, publishers return, counters wrap.

use std::time::Duration;

use forebay::base::clock::{Clock, Wall};
use forebay::manifest::check::{check_delta, check_media_playlist, check_mpd};
use forebay::manifest::parse::Media;

use super::no_violation;
use crate::common::media::{Clip, pictures};
use crate::common::rtmp::{RtmpPublisher, flv_tags};
use crate::common::server::{KEY, Server};

/// Ten frames a second of 160x90: minutes in a few hundred kilobytes.
fn minutes(seconds: usize) -> Clip {
    Clip::small("10", seconds * 10).size(160, 90)
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_p3_p7_d3_l8_what_leaves_the_window() {
    let server = Server::start(|config| {
        config.media.ladder = "off".to_owned();
        config.media.window = Duration::from_secs(125);
    })
    .await;
    // A publisher comes back with another picture, so that a discontinuity leaves as well.
    let start = minutes(10).size(192, 108).file();
    server.publish(&start, "").finish().await.unwrap();
    server.published().await;
    let first = server.playlist("source/index.m3u8").await;
    let id = server.stream_id().await;
    let clip = minutes(240).file();
    // Much faster than time, slowly enough to look on.
    let publishing = server.publish(&clip, "-readrate 60");
    let mut answers = vec![first];
    let mut seen: Vec<(String, f64)> = Vec::new();
    let path = format!("/hls/{id}/source/index.m3u8");
    let mut finishing = std::pin::pin!(publishing.finish());
    loop {
        let before = answers.last().unwrap();
        let playlist = Media::parse(before).unwrap();
        let next = playlist.first_sequence() + playlist.segments.len() as u64;
        let reload = format!("{path}?_HLS_msn={next}");
        let answer = tokio::select! {
            answer = server.get(&reload) => answer,
            finished = &mut finishing => {
                finished.unwrap();
                break;
            }
        };
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text().to_owned();
        no_violation(
            &check_media_playlist(&text, Some(before)),
            &format!("{text}\n\nbefore it:\n{before}"),
        );
        let playlist = Media::parse(&text).unwrap();
        for segment in playlist.segments.iter().filter(|s| !s.uri.is_empty()) {
            if seen.iter().all(|(uri, _)| *uri != segment.uri) {
                seen.push((segment.uri.clone(), segment.duration));
            }
        }
        answers.push(text);
    }
    server.published().await;
    let text = server.playlist("source/index.m3u8").await;
    no_violation(
        &check_media_playlist(&text, answers.last().map(|s| &**s)),
        &text,
    );
    let (old, new) = (
        Media::parse(&answers[0]).unwrap(),
        Media::parse(&text).unwrap(),
    );
    assert!(new.media_sequence > old.media_sequence + 20, "P2: {text}");
    assert_eq!(old.discontinuity_sequence, Some(0), "D3");
    assert_eq!(new.discontinuity_sequence, Some(1), "D3: {text}");

    // P7: for its own duration and that of the longest playlist.
    let listed: f64 = new.segments.iter().map(|segment| segment.duration).sum();
    assert!(listed >= 125.0, "P3: {listed} s listed");
    let mut left: f64 = 0.0;
    let mut fetched = 0;
    let gone = seen.iter().rev();
    for (uri, duration) in gone.skip_while(|(uri, _)| text.contains(&format!("\n{uri}\n"))) {
        left += duration;
        if left > listed {
            break;
        }
        let answer = server.get(&format!("/hls/{id}/source/{uri}")).await;
        assert_eq!(answer.status, 200, "P7: {uri} left {left} s ago");
        fetched += 1;
    }
    assert!(fetched >= 20, "{fetched}");

    // L8: what is skipped and what is listed are the whole.
    for value in ["YES", "v2"] {
        let answer = server.get(&format!("{path}?_HLS_skip={value}")).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains("#EXT-X-SKIP:"), "{}", answer.text());
        no_violation(&check_delta(answer.text(), &text), answer.text());
    }
    let mpd = server.get(&format!("/dash/{id}/manifest.mpd")).await;
    no_violation(&check_mpd(mpd.text(), None), mpd.text());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d1_p12_s7_an_unchanged_publisher_that_returns_is_a_gap_and_no_discontinuity() {
    let clock = Clock::simulated(Wall(1_800_000_000_000_000));
    let server = Server::start_with(clock.clone(), |config| {
        config.media.ladder = "off".to_owned();
    })
    .await;
    let clip = Clip::small("30", 150);
    let file = clip.file();
    let mut texts: Vec<Vec<String>> = Vec::new();
    let mut mpds: Vec<Vec<String>> = vec![Vec::new(), Vec::new()];
    let id = {
        server.publish(&file, "").finish().await.unwrap();
        server.published().await;
        server.stream_id().await
    };
    for away in [0, 2, 10] {
        for (name, list) in ["manifest.mpd", "ll.mpd"].iter().zip(&mut mpds) {
            let answer = server.get(&format!("/dash/{id}/{name}")).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            list.push(answer.text().to_owned());
        }
        texts.push(vec![
            server.playlist("source/index.m3u8").await,
            server.playlist("audio/index.m3u8").await,
        ]);
        // The media of the last publish last 5 s.
        clock.advance(Duration::from_secs(5 + away));
        server.publish(&file, "").finish().await.unwrap();
        server.published().await;
        assert_eq!(server.stream_id().await, id, "X3: the same stream");
    }
    texts.push(vec![
        server.playlist("source/index.m3u8").await,
        server.playlist("audio/index.m3u8").await,
    ]);
    for pair in texts.windows(2) {
        for (before, after) in pair[0].iter().zip(&pair[1]) {
            let broken = check_media_playlist(after, Some(before));
            no_violation(&broken, &format!("{after}\n\nbefore it:\n{before}"));
        }
    }
    for (name, list) in ["manifest.mpd", "ll.mpd"].iter().zip(&mut mpds) {
        let answer = server.get(&format!("/dash/{id}/{name}")).await;
        list.push(answer.text().to_owned());
        for pair in list.windows(2) {
            let broken = check_mpd(&pair[1], Some(&pair[0]));
            no_violation(&broken, &format!("{}\n\nbefore it:\n{}", pair[1], pair[0]));
        }
        let last = list.last().unwrap();
        assert_eq!(last.matches("<Period ").count(), 3, "S7: {last}");
    }
    for text in texts.last().unwrap() {
        let playlist = Media::parse(text).unwrap();
        let breaks = playlist.segments.iter().filter(|s| s.discontinuity);
        assert_eq!(breaks.count(), 0, "D1: {text}");
        let gaps = playlist.segments.iter().filter(|s| s.gap);
        let gaps: Vec<f64> = gaps.map(|gap| gap.duration.round()).collect();
        assert_eq!(gaps, [2.0, 10.0], "P12: {text}");
        assert_eq!(playlist.discontinuity_sequence, Some(0), "D3: {text}");
    }
    let numbers: Vec<u32> = pictures(&server.download("source").await)
        .iter()
        .map(|picture| picture.number.expect("readable"))
        .collect();
    let wanted: Vec<u32> = (0..4).flat_map(|_| 0..150).collect();
    assert_eq!(numbers, wanted, "nothing is lost around a return");

    // Longer than the window for reconnects: the stream ends, and the next one is another.
    clock.advance(Duration::from_secs(40));
    let stream = server.app.hub.stream(id).unwrap();
    let timeline = server.app.hub.timeline(id).unwrap();
    server
        .until("end of the stream", || {
            timeline.description().filter(|told| told.ended)
        })
        .await;
    assert_eq!(stream.member_count(), 0);
    for (index, name) in ["source", "audio"].iter().enumerate() {
        let answer = server.get(&format!("/hls/{id}/{name}/index.m3u8")).await;
        let text = answer.text();
        assert!(text.ends_with("#EXT-X-ENDLIST\n"), "{text}");
        let before = &texts.last().unwrap()[index];
        no_violation(&check_media_playlist(text, Some(before)), text);
    }
    let mpd = server.get(&format!("/dash/{id}/manifest.mpd")).await;
    let before = mpds[0].last().map(|text| &**text);
    no_violation(&check_mpd(mpd.text(), before), mpd.text());
    assert!(
        !mpd.text().contains("minimumUpdatePeriod"),
        "S3: {}",
        mpd.text()
    );
    server.publish(&file, "").finish().await.unwrap();
    server.published().await;
    assert_ne!(server.stream_id().await, id, "X3: a new stream");
    let text = server.playlist("source/index.m3u8").await;
    no_violation(&check_media_playlist(&text, None), &text);
    assert!(!text.contains("#EXT-X-DISCONTINUITY\n"), "D5: {text}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn x5_counters_of_rtmp_wrap() {
    let clip = Clip::small("30", 180);
    let tags = flv_tags(&std::fs::read(clip.file()).unwrap());
    // 49.7 days of 32 bits; 4.66 hours of 24 bits, for encoders without extended timestamps and for
    // those that go on with them; 24.8 days of ffmpeg's 31 bits.
    let wraps: [fn(u32) -> u32; 4] = [
        |time| time.wrapping_add(u32::MAX - 2_999),
        |time| (time + 0xff_ffff - 2_999) & 0xff_ffff,
        |time| time + 0xff_ffff - 2_999,
        |time| (time + 0x7fff_ffff - 2_999) & 0x7fff_ffff,
    ];
    for (index, wrap) in wraps.iter().enumerate() {
        let server = Server::passthrough().await;
        let mut publisher = RtmpPublisher::connect(server.rtmp()).await.unwrap();
        publisher.publish("live", KEY).await.unwrap();
        let stream = publisher.stream_id;
        for (kind, time, body) in &tags {
            let csid = if *kind == 9 { 6 } else { 4 };
            let sent = publisher.send_message(csid, *kind, stream, wrap(*time), body);
            sent.await.unwrap();
        }
        publisher.unpublish(KEY).await.unwrap();
        publisher.close().await.unwrap();
        server.published().await;
        let seen = pictures(&server.download("source").await);
        assert_eq!(seen.len(), 180, "X5: wrap {index}");
        for (number, picture) in seen.iter().enumerate() {
            assert_eq!(picture.number, Some(number as u32), "X5: wrap {index}");
            let off = picture.time - seen[0].time - number as f64 / 30.0;
            assert!(
                off.abs() < 0.002,
                "X5: wrap {index}, {number} is {off} s off"
            );
        }
        for name in ["source", "audio"] {
            let text = server.playlist(&format!("{name}/index.m3u8")).await;
            no_violation(&check_media_playlist(&text, None), &text);
            assert!(!text.contains("#EXT-X-DISCONTINUITY\n"), "X5: {text}");
        }
        server.stop().await;
    }
}
