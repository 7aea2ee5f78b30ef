//! Names that lead to streams, and tokens that open them.

use super::*;

#[tokio::test(start_paused = true)]
async fn aliases_lead_to_the_stream_on_manifests_only() {
    let rig = Rig::playing();
    let id = rig.streams.id;
    for (alias, target) in [
        ("/hls/live/index.m3u8", format!("/hls/{id}/index.m3u8")),
        (
            "/hls/eu%23app%23live/index.m3u8",
            format!("/hls/{id}/index.m3u8"),
        ),
        (
            "/hls/live/~tok/index.m3u8?a=b",
            format!("/hls/{id}/~tok/index.m3u8?a=b"),
        ),
        ("/dash/live/ll.mpd", format!("/dash/{id}/ll.mpd")),
        ("/hls/r5/index.m3u8", format!("/hls/{id}/index.m3u8")),
        (
            &format!("/hls/{BROADCAST}/index.m3u8"),
            format!("/hls/{id}/index.m3u8"),
        ),
        (
            &format!("/dash/{BROADCAST}/manifest.mpd"),
            format!("/dash/{id}/manifest.mpd"),
        ),
        (
            &format!("/hls/{}/index.m3u8", id.to_string().to_uppercase()),
            format!("/hls/{id}/index.m3u8"),
        ),
    ] {
        let response = rig.looked_up(alias).await;
        assert_eq!(response.status(), StatusCode::FOUND, "{alias}");
        assert_eq!(header(&response, "location"), target);
        assert_eq!(header(&response, "cache-control"), "no-store");
        assert_eq!(header(&response, "access-control-allow-origin"), "*");
    }
    for missing in [
        "/hls/live/source/index.m3u8",
        "/hls/other/index.m3u8",
        "/hls/live/source/100.m4s",
        "/hls/r5/source/index.m3u8",
        &format!("/dash/{BROADCAST}/source/100.m4s"),
    ] {
        assert_eq!(
            rig.looked_up(missing).await.status(),
            StatusCode::NOT_FOUND,
            "{missing}"
        );
    }
    let unknown = format!("/hls/{}/index.m3u8", Uuid::new_v4());
    let answer = rig.looked_up(&unknown).await;
    assert!(text(answer).await.contains("no stream"));
}

#[tokio::test(start_paused = true)]
async fn a_broadcasts_manifest_does_not_lead_to_itself_while_there_is_nothing_to_play() {
    let rig = Rig::new();
    let id = rig.streams.id;
    *rig.streams.timeline.lock().unwrap() = None;
    for url in [rig.hls("index.m3u8"), rig.url("dash", "manifest.mpd")] {
        let answer = rig.looked_up(&url).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{url}");
    }
    let answer = rig.looked_up("/hls/r5/index.m3u8").await;
    assert_eq!(header(&answer, "location"), format!("/hls/{id}/index.m3u8"));
}

#[tokio::test(start_paused = true)]
async fn a_protected_stream_needs_its_token_everywhere() {
    let rig = Rig::with(Arc::new(Guarded));
    rig.play();
    for below in [
        "index.m3u8",
        "source/index.m3u8",
        "source/100.m4s",
        "source/p1.m4s",
    ] {
        for prefix in ["", "~bad/", "~/"] {
            let response = rig.get(&rig.hls(&format!("{prefix}{below}")));
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{prefix}{below}");
        }
        let response = rig.get(&rig.hls(&format!("~good/{below}")));
        assert_eq!(response.status(), StatusCode::OK, "{below}");
    }
    let thumbnail = format!("/thumb/{}.jpg", rig.streams.id);
    assert_eq!(rig.get(&thumbnail).status(), StatusCode::FORBIDDEN);
    let response = rig.get(&format!("{thumbnail}?token=good"));
    assert_eq!(header(&response, "content-type"), "image/jpeg");
    assert_eq!(text(response).await, "a jpeg");
}
