//! Playlists, blocking reloads and what caches are told.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_live_playlist_is_answered_with_type_caching_tag_and_cors() {
    let rig = Rig::playing();
    let response = rig.get(&rig.hls("source/index.m3u8"));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        header(&response, "content-type"),
        "application/vnd.apple.mpegurl"
    );
    assert_eq!(header(&response, "cache-control"), "public, max-age=1");
    assert_eq!(header(&response, "access-control-allow-origin"), "*");
    assert!(header(&response, "access-control-expose-headers").contains("Date"));
    assert_eq!(header(&response, "timing-allow-origin"), "*");
    assert_eq!(header(&response, "vary"), "Accept-Encoding");
    assert!(header(&response, "etag").starts_with('"'));
    let playlist = text(response).await;
    assert!(
        playlist.contains("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p32.m4s\""),
        "{playlist}"
    );
    assert!(
        playlist.contains("p31.m4s") && playlist.contains("102.m4s"),
        "{playlist}"
    );

    let response = rig.get(&rig.hls("index.m3u8"));
    assert_eq!(header(&response, "cache-control"), "public, max-age=2");
    assert!(text(response).await.contains("source/index.m3u8"));
}

#[tokio::test(start_paused = true)]
async fn blocking_reload_returns_at_the_part_asked_for() {
    let rig = Rig::playing();
    let mut later = rig.blocked(&rig.hls("source/index.m3u8?_HLS_msn=103&_HLS_part=2"));
    rig.timeline.part("audio", "other rendition");
    assert!(is_pending(&mut later), "another rendition's part is not it");
    rig.timeline.part("source", "[source 32]");
    let response = later.await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "cache-control"), "public, max-age=18");
    let playlist = text(response).await;
    assert!(
        playlist.contains("\"p32.m4s\"") && playlist.contains("\"p33.m4s\""),
        "{playlist}"
    );
}

#[tokio::test(start_paused = true)]
async fn blocking_reload_without_a_part_waits_for_the_whole_segment() {
    let rig = Rig::playing();
    let mut later = rig.blocked(&rig.hls("source/index.m3u8?_HLS_msn=103"));
    rig.timeline.part("source", "[source 32]");
    assert!(is_pending(&mut later));
    rig.timeline.cut("source");
    assert!(text(later.await).await.contains("\n103.m4s"));
}

#[tokio::test(start_paused = true)]
async fn a_part_beyond_its_segments_last_is_the_first_of_the_next() {
    let rig = Rig::playing();
    let mut later = rig.blocked(&rig.hls("source/index.m3u8?_HLS_msn=103&_HLS_part=3"));
    rig.timeline.part("source", "[source 32]");
    rig.timeline.cut("source");
    assert!(is_pending(&mut later));
    rig.timeline.part("source", "[source 33]");
    assert!(text(later.await).await.contains("\"p33.m4s\""));
}

#[tokio::test(start_paused = true)]
async fn what_is_listed_already_is_answered_at_once_in_full() {
    let rig = Rig::playing();
    let whole = text(rig.get(&rig.hls("source/index.m3u8"))).await;
    for query in [
        "_HLS_msn=103&_HLS_part=1",
        "_HLS_msn=102",
        "_HLS_msn=1",
        "_HLS_msn=102&_HLS_part=99",
    ] {
        let url = rig.hls(&format!("source/index.m3u8?{query}"));
        assert_eq!(text(rig.get(&url)).await, whole, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn impossible_reloads_are_refused_at_once() {
    let rig = Rig::playing();
    // PART-TARGET 0.2134 s: at most 15 parts ahead of the last one, which has index 1.
    for query in [
        "_HLS_part=1",
        "_HLS_msn=106",
        "_HLS_msn=106&_HLS_part=0",
        "_HLS_msn=103&_HLS_part=17",
        "_HLS_msn=104&_HLS_part=15",
        "_HLS_msn=x",
        "_HLS_msn=-1",
        "_HLS_msn=103&_HLS_part=",
        "_HLS_msn=99999999999999999999",
    ] {
        let response = rig.get(&rig.hls(&format!("source/index.m3u8?{query}")));
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(header(&response, "cache-control"), "no-store");
    }
    for query in [
        "_HLS_msn=105",
        "_HLS_msn=105&_HLS_part=0",
        "_HLS_msn=103&_HLS_part=16",
    ] {
        let waiting = rig.blocked(&rig.hls(&format!("source/index.m3u8?{query}")));
        drop(waiting);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_is_given_up_after_three_target_durations() {
    let rig = Rig::playing();
    let later = rig.blocked(&rig.hls("source/index.m3u8?_HLS_msn=103&_HLS_part=2"));
    let response = answered_within(later, 8..10).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rig.origin.stats().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn directives_are_ignored_after_the_end() {
    let rig = Rig::playing();
    let later = rig.blocked(&rig.hls("source/index.m3u8?_HLS_msn=105"));
    rig.timeline.end();
    assert!(text(later.await).await.contains("#EXT-X-ENDLIST"));
    let response = rig.get(&rig.hls("source/index.m3u8?_HLS_msn=900&_HLS_part=7"));
    assert_eq!(header(&response, "cache-control"), "public, max-age=60");
    assert!(text(response).await.contains("#EXT-X-ENDLIST"));
}

#[tokio::test(start_paused = true)]
async fn a_delta_update_is_given_on_demand_only() {
    let rig = Rig::playing();
    for _ in 0..20 {
        rig.timeline.cut("source");
        rig.timeline.segment("source");
    }
    for value in ["YES", "v2"] {
        let url = rig.hls(&format!("source/index.m3u8?_HLS_skip={value}"));
        assert_eq!(text(rig.get(&url)).await.matches("#EXT-X-SKIP:").count(), 1);
    }
    for query in ["", "_HLS_skip=NO", "skip=YES"] {
        let url = rig.hls(&format!("source/index.m3u8?{query}"));
        assert!(
            !text(rig.get(&url)).await.contains("#EXT-X-SKIP:"),
            "{query}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_playlist_is_rendered_once_per_version_whatever_the_query() {
    let rig = Rig::playing();
    for number in 0..50 {
        let query = format!("CMCD=sid%3D%22{number}%22&x={number}&_HLS_msn=103&_HLS_part=1");
        let url = rig.hls(&format!("source/index.m3u8?{query}"));
        assert_eq!(rig.get(&url).status(), StatusCode::OK);
    }
    assert_eq!(rig.timeline.rendered(), 1);
    let waiting: Vec<_> = (0..50)
        .map(|_| rig.blocked(&rig.hls("source/index.m3u8?_HLS_msn=103&_HLS_part=2")))
        .collect();
    assert_eq!(rig.origin.stats().waiting, 50);
    rig.timeline.part("source", "[source 32]");
    for later in waiting {
        assert_eq!(later.await.status(), StatusCode::OK);
    }
    assert_eq!(rig.timeline.rendered(), 2);
}

#[tokio::test(start_paused = true)]
async fn codings_carry_the_same_text_under_different_tags() {
    let rig = Rig::playing();
    let url = rig.hls("source/index.m3u8");
    let plain = rig.get(&url);
    let gzip = rig.get_with(&url, &[("accept-encoding", "gzip")]);
    let brotli = rig.get_with(&url, &[("accept-encoding", "gzip, deflate, br")]);
    assert_eq!(header(&plain, "content-encoding"), "");
    assert_eq!(header(&gzip, "content-encoding"), "gzip");
    assert_eq!(header(&brotli, "content-encoding"), "br");
    let tags = [&plain, &gzip, &brotli].map(|response| header(response, "etag").to_owned());
    assert!(
        tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2],
        "{tags:?}"
    );
    let plain = bytes(plain).await;
    let mut unzipped = Vec::new();
    let zipped = bytes(gzip).await;
    std::io::copy(
        &mut flate2::read::GzDecoder::new(&zipped[..]),
        &mut unzipped,
    )
    .unwrap();
    assert_eq!(unzipped, plain);
    let mut expanded = Vec::new();
    let packed = bytes(brotli).await;
    std::io::copy(
        &mut brotli::Decompressor::new(&packed[..], 4096),
        &mut expanded,
    )
    .unwrap();
    assert_eq!(expanded, plain);
    assert!(packed.len() < plain.len() / 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_client_has_is_not_sent_again() {
    let rig = Rig::playing();
    for below in [
        "source/index.m3u8",
        "index.m3u8",
        "source/p3.m4s",
        "source/100.m4s",
        "source/init-source.mp4",
    ] {
        let url = rig.hls(below);
        let tag = header(&rig.get(&url), "etag").to_owned();
        for sent in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"x\", {tag}"),
            "*".to_owned(),
        ] {
            let response = rig.get_with(&url, &[("if-none-match", &sent)]);
            assert_eq!(
                response.status(),
                StatusCode::NOT_MODIFIED,
                "{below} {sent}"
            );
            assert_eq!(header(&response, "etag"), tag);
            assert!(bytes(response).await.is_empty());
        }
        let response = rig.get_with(&url, &[("if-none-match", "\"x\"")]);
        assert_eq!(response.status(), StatusCode::OK);
    }
    let url = rig.hls("source/index.m3u8");
    let tag = header(&rig.get(&url), "etag").to_owned();
    rig.timeline.part("source", "new");
    let response = rig.get_with(&url, &[("if-none-match", &tag)]);
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_media_is_waited_for_and_may_be_asked_for_again() {
    let rig = Rig::new();
    for below in [
        "hls/{}/index.m3u8",
        "hls/{}/source/index.m3u8",
        "dash/{}/manifest.mpd",
    ] {
        let url = format!("/{}", below.replace("{}", &rig.streams.id.to_string()));
        let response = answered_within(rig.blocked(&url), 3..10).await;
        let status = response.status();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{url}");
        assert_eq!(header(&response, "retry-after"), "1");
        assert_eq!(header(&response, "cache-control"), "no-store");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_playlist_has_a_whole_segment() {
    let rig = Rig::new();
    rig.timeline.part("source", "[source 0]");
    rig.timeline.part("audio", "[audio 0]");
    rig.timeline.describe();
    let plain = rig.blocked(&rig.hls("source/index.m3u8"));
    let blocking = rig.blocked(&rig.hls("source/index.m3u8?_HLS_msn=100&_HLS_part=0"));
    rig.timeline.part("source", "[source 1]");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waiting = [pending(plain), pending(blocking)];
    rig.timeline.cut("source");
    for answer in waiting {
        let playlist = text(answer.await).await;
        assert!(playlist.contains("\n100.m4s"), "{playlist}");
    }
}

#[tokio::test(start_paused = true)]
async fn viewers_are_sessions_however_many_requests() {
    let rig = Rig::playing();
    let id = rig.streams.id;
    assert_eq!(rig.origin.viewers(id), 0);
    for below in [
        "index.m3u8",
        "source/index.m3u8",
        "audio/index.m3u8",
        "source/100.m4s",
    ] {
        let response = rig.get(&rig.hls(&format!("{below}?CMCD=sid%3D%22a%22")));
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert_eq!(rig.origin.viewers(id), 1);
    let beacon = rig.hls("beacon?sid=a");
    assert_eq!(
        at_once(rig.ask(Method::POST, &beacon, &[])).status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(rig.origin.viewers(id), 1);
    rig.get_with(&rig.hls("index.m3u8"), &[("user-agent", "x")]);
    rig.get_with(&rig.hls("source/100.m4s"), &[("user-agent", "x")]);
    assert_eq!(rig.origin.viewers(id), 2);
    rig.clock.advance(Duration::from_secs(20));
    at_once(rig.ask(Method::POST, &rig.hls("beacon?sid=a"), &[]));
    rig.clock.advance(Duration::from_secs(20));
    assert_eq!(rig.origin.viewers(id), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_of_a_stream_goes_with_it_but_totals_stay() {
    let rig = Rig::playing();
    let id = rig.streams.id;
    let sent = bytes(rig.get(&rig.hls("source/100.m4s"))).await.len() as u64;
    let stats = rig.origin.stream_stats(id).unwrap();
    assert_eq!((stats.requests, stats.bytes), (1, sent));
    *rig.streams.timeline.lock().unwrap() = None;
    let gone = rig.looked_up(&rig.hls("index.m3u8")).await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    drop(gone);
    rig.origin.sweep();
    assert_eq!(rig.origin.stream_stats(id), None);
    assert_eq!(Arc::strong_count(&rig.timeline), 1);
    let stats = rig.origin.stats();
    assert_eq!((stats.requests, stats.bytes), (2, sent));
}

#[tokio::test(start_paused = true)]
async fn a_new_timeline_under_the_same_id_is_not_served_from_the_old_cache() {
    let rig = Rig::playing();
    let url = rig.hls("source/index.m3u8");
    let before = text(rig.get(&url)).await;
    let other = Scripted::new();
    other.part("source", "only part");
    other.cut("source");
    other.describe();
    *rig.streams.timeline.lock().unwrap() = Some(other);
    let after = text(rig.get(&url)).await;
    assert!(
        before.contains("p31.m4s") && !after.contains("p31.m4s"),
        "{after}"
    );
}

#[tokio::test]
async fn lists_of_a_recording_are_rendered_aside_once_and_forgotten_with_its_index() {
    let rig = Rig::playing();
    rig.timeline.keep();
    let id = rig.streams.id;
    for url in [
        rig.hls("source/index.m3u8"),
        rig.url("dash", "manifest.mpd"),
    ] {
        for again in [false, true] {
            let before = rig.timeline.rendered();
            let Answering::Later(later) = rig.ask(Method::GET, &url, &[]) else {
                panic!("{url} was rendered on the runtime");
            };
            assert_eq!(later.await.status(), StatusCode::OK, "{url}");
            assert_eq!(rig.timeline.rendered() == before, again, "{url}");
        }
        assert_ne!(
            rig.timeline.rendered_on(),
            Some(std::thread::current().id())
        );
    }
    rig.origin.sweep();
    assert!(rig.origin.stream_stats(id).is_some());
    rig.timeline.forget();
    rig.origin.sweep();
    assert_eq!(rig.origin.stream_stats(id), None);
}
