//! Channels over the wire: what a fork serves, how it ends alone, what a kill does to an encoder.

use forebay::base::clock::Clock;
use forebay::base::id::Uuid;
use forebay::config;
use forebay::hub::{Counted, ForkOptions, Forking};
use forebay::manifest::check::check_media_playlist;
use forebay::manifest::parse::{Media, Multivariant};
use forebay::store::Store;

use crate::common::encoder::Encoder;
use crate::common::media::Clip;
use crate::common::server::{KEY, Server};

const LIVE: &str = "local#forebay#live";
const OTHER: &str = "local#forebay#other";
const RENDITIONS: [&str; 2] = ["source", "audio"];

/// A gateway on which somebody has published some segments.
async fn on_air() -> (Server, Encoder) {
    let server = Server::start(|config| {
        config.media.ladder = "off".to_owned();
        config.channels = vec![config::Channel {
            alias: "other".to_owned(),
            name: "Other".to_owned(),
            key: None,
            capabilities: None,
            slate: None,
            srt_passphrase: None,
            source: None,
            pushes: Vec::new(),
        }];
    });
    let server = server.await;
    let encoder = Encoder::start(server.rtmp(), KEY).await;
    let mut encoder = encoder.expect("the key is good");
    let begun = |rendition| {
        let id = server.app.on_air("live")?;
        let progress = server.app.hub.timeline(id)?.progress(rendition)?;
        progress.begun.then_some(())
    };
    encoder
        .until("segments", || begun("source").and(begun("audio")))
        .await;
    (server, encoder)
}

async fn fork(server: &Server, words: &[&str]) -> Uuid {
    let forking = Forking {
        channel_id: OTHER.to_owned(),
        alias: "other".to_owned(),
        name: "Other".to_owned(),
        tags: Vec::new(),
        capabilities: words.iter().map(|word| (*word).to_owned()).collect(),
        options: ForkOptions::default(),
    };
    let forked = server.app.hub.fork(LIVE, &forking).await;
    forked.expect("there is room").members[0].stream
}

async fn text(server: &Server, path: &str) -> String {
    let answer = server.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.text().to_owned()
}

async fn playlist(server: &Server, id: Uuid, rendition: &str) -> String {
    text(server, &format!("/hls/{id}/{rendition}/index.m3u8")).await
}

/// Names of everything that a media playlist lists and that is there.
fn listed(playlist: &str) -> Vec<String> {
    let media = Media::parse(playlist).expect("a playlist");
    let segments = media.segments.iter().filter(|segment| !segment.gap);
    let names = segments.flat_map(|segment| {
        let parts = segment.parts.iter().map(|part| part.uri.clone());
        let whole = Some(segment.uri.clone()).filter(|uri| !uri.is_empty());
        parts.chain(whole).chain(segment.map.clone())
    });
    names.collect()
}

async fn bytes(server: &Server, id: Uuid, rendition: &str, name: &str) -> Vec<u8> {
    let path = format!("/hls/{id}/{rendition}/{name}");
    let answer = server.get(&path).await;
    assert_eq!(answer.status, 200, "{path}");
    answer.body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forks_playlists_list_the_same_bytes_as_its_sources() {
    let (server, encoder) = on_air().await;
    let source = server.stream_id().await;
    let fork = fork(&server, &[]).await;
    assert_ne!(source, fork);
    assert_eq!(server.app.on_air("other"), Some(fork));
    let master = |id| format!("/hls/{id}/index.m3u8");
    let (one, other) = (
        text(&server, &master(source)).await,
        text(&server, &master(fork)).await,
    );
    assert_eq!(one, other, "every URI is relative");
    for rendition in RENDITIONS {
        let one = playlist(&server, source, rendition).await;
        let other = playlist(&server, fork, rendition).await;
        assert_eq!(one, other);
        assert!(!other.contains("#EXT-X-ENDLIST"));
        let names = listed(&other);
        assert!(names.len() > 3, "{other}");
        for name in names {
            let own = bytes(&server, source, rendition, &name).await;
            assert_eq!(bytes(&server, fork, rendition, &name).await, own, "{name}");
        }
    }
    for manifest in ["manifest.mpd", "ll.mpd"] {
        let of = |id| format!("/dash/{id}/{manifest}");
        let (one, other) = (
            text(&server, &of(source)).await,
            text(&server, &of(fork)).await,
        );
        assert_eq!(one, other);
    }
    // By the alias of its channel, too.
    let answer = server.get("/hls/other/index.m3u8").await;
    let location = answer.header("location").unwrap_or_default().to_owned();
    assert_eq!((answer.status, location), (302, master(fork)));
    let metrics = text(&server, "/metrics").await;
    let received = metrics
        .lines()
        .filter(|line| line.starts_with("forebay_ingest_bytes_total{"));
    let received: Vec<(bool, bool)> = received
        .map(|line| (line.contains(OTHER), line.ends_with(" 0")))
        .collect();
    assert_eq!(
        received,
        [(false, false), (true, true)],
        "an encoder is counted once"
    );
    encoder.finish().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_is_killed_ends_under_its_own_urls_alone() {
    let (server, mut encoder) = on_air().await;
    let source = server.stream_id().await;
    let fork = fork(&server, &[]).await;
    let before = playlist(&server, fork, "source").await;
    let names = listed(&before);
    let newest = Media::parse(&before).expect("a playlist");
    let next = newest.media_sequence + newest.segments.len() as u64 + 1;
    let waiting = format!("/hls/{fork}/source/index.m3u8?_HLS_msn={next}");
    // Somebody waits for what never comes under this URL.
    let (waited, killed) = tokio::join!(server.get(&waiting), async {
        let waits = || {
            let stats = server.app.origin.stream_stats(fork)?;
            (stats.waiting > 0).then_some(())
        };
        server.until("a player that waits", waits).await;
        server.app.hub.kill(OTHER, "test", false).await
    });
    assert_eq!(killed.len(), 1);
    assert!(
        waited.text().contains("#EXT-X-ENDLIST"),
        "{}",
        waited.text()
    );

    let lap = server.app.hub.timeline(source).expect("it plays");
    let sequence = || lap.progress("source").expect("it began").last_sequence;
    let then = sequence();
    encoder
        .until("more of the source", || {
            (sequence() > then + 3).then_some(())
        })
        .await;
    for rendition in RENDITIONS {
        let ended = playlist(&server, fork, rendition).await;
        assert!(ended.trim_end().ends_with("#EXT-X-ENDLIST"), "{ended}");
        assert!(!ended.contains("#EXT-X-PRELOAD-HINT"), "{ended}");
        assert!(
            !playlist(&server, source, rendition)
                .await
                .contains("#EXT-X-ENDLIST")
        );
        for name in listed(&ended) {
            bytes(&server, fork, rendition, &name).await;
        }
    }
    let ended = playlist(&server, fork, "source").await;
    let broken = check_media_playlist(&ended, Some(&before));
    assert!(broken.is_empty(), "{broken:#?}\n{before}\n{ended}");
    for name in &names {
        bytes(&server, fork, "source", name).await;
    }
    let beyond = format!("{}.m4s", then + 2);
    bytes(&server, source, "source", &beyond).await;
    let answer = server.get(&format!("/hls/{fork}/source/{beyond}")).await;
    assert_eq!(answer.status, 404);
    let mpd = text(&server, &format!("/dash/{fork}/manifest.mpd")).await;
    let ends = mpd.contains("mediaPresentationDuration") && !mpd.contains("minimumUpdatePeriod");
    assert!(ends, "{mpd}");
    assert_eq!(server.app.hub.members(OTHER), []);
    assert_eq!(server.app.on_air("other"), None);
    encoder.finish().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_closes_the_encoders_connection_and_one_that_comes_back_opens_a_new_stream() {
    let (server, mut encoder) = on_air().await;
    let source = server.stream_id().await;
    let fork = fork(&server, &[]).await;
    assert_eq!(server.app.hub.count(LIVE, &Counted::default()), 1);
    let members = server.app.hub.members(LIVE);
    assert_eq!(server.app.hub.kill(LIVE, "test", false).await, members);
    let status = encoder.publisher.status().await.expect("it is told");
    assert_eq!(status.code, "NetStream.Publish.Denied");
    encoder.publisher.closed().await;
    for id in [source, fork] {
        for rendition in RENDITIONS {
            let ended = playlist(&server, id, rendition).await;
            assert!(ended.trim_end().ends_with("#EXT-X-ENDLIST"), "{ended}");
        }
    }
    let again = Encoder::start(server.rtmp(), KEY).await;
    let mut again = again.expect("the key is good at once");
    let next = again.until("a new stream", || server.app.on_air("live"));
    let next = next.await;
    assert_ne!(next, source);
    again.finish().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_can_be_protected_where_its_source_is_open() {
    let (server, encoder) = on_air().await;
    let source = server.stream_id().await;
    let fork = fork(&server, &["token-auth"]).await;
    for (id, status) in [(source, 200), (fork, 403)] {
        for file in ["index.m3u8", "source/index.m3u8"] {
            let answer = server.get(&format!("/hls/{id}/{file}")).await;
            assert_eq!(answer.status, status, "{file}");
        }
    }
    encoder.finish().await;
    server.stop().await;
}

/// Width and height of every picture that a multivariant playlist lists.
fn sizes(multivariant: &str) -> Vec<(u32, u32)> {
    let playlist = Multivariant::parse(multivariant).expect("a multivariant playlist");
    let sizes = playlist.variants.iter().filter_map(|(inf, _)| {
        let (width, height) = inf.get("RESOLUTION")?.split_once('x')?;
        Some((width.parse().ok()?, height.parse().ok()?))
    });
    sizes.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_in_portrait_has_a_ladder_of_its_own_over_the_same_encoder() {
    let server = Server::start(|_| {}).await;
    let publishing = server.publish(&Clip::h264(900, 60).file(), "-re");
    let source = server.stream_id().await;
    let hub = &server.app.hub;
    let sends = || (!hub.members(LIVE).is_empty()).then_some(());
    server.until("a member", sends).await;
    let fork = fork(&server, &["aspect-ratio=9x16"]).await;
    let begun = |id, wanted: fn(&(u32, u32)) -> bool| {
        let timeline = hub.timeline(id)?;
        let description = timeline.description()?;
        let mut pictures = description.video.iter();
        pictures
            .any(|it| it.track.resolution().as_ref().is_some_and(wanted))
            .then_some(())?;
        let rung = description.video.last()?;
        timeline.progress(&rung.name)?.begun.then_some(())
    };
    server
        .until("the source's ladder", || begun(source, |(w, h)| w > h))
        .await;
    server
        .until("the fork's ladder", || begun(fork, |(w, h)| w < h))
        .await;
    let landscape = sizes(&text(&server, &format!("/hls/{source}/index.m3u8")).await);
    let portrait = sizes(&text(&server, &format!("/hls/{fork}/index.m3u8")).await);
    assert!(
        landscape.iter().all(|(width, height)| width > height),
        "{landscape:?}"
    );
    assert!(
        portrait.iter().all(|(width, height)| width < height),
        "{portrait:?}"
    );
    let sessions = |channel| -> Vec<_> {
        let members = hub.members(channel).into_iter();
        members.map(|it| (it.session, it.screen_name)).collect()
    };
    assert_eq!(sessions(LIVE), sessions(OTHER));
    assert_eq!(sessions(LIVE).len(), 1);

    hub.kill(LIVE, "test", false).await;
    for id in [source, fork] {
        assert!(
            hub.timeline(id)
                .and_then(|it| it.description())
                .is_some_and(|it| it.ended)
        );
    }
    assert_eq!(hub.members(OTHER), []);
    drop(publishing);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_another_process_deletes_goes_off_the_air() {
    let (server, mut encoder) = on_air().await;
    let id = server.stream_id().await;
    // As a command does beside the server, or another gateway.
    let other = Store::open(server.data(), Clock::system()).await;
    let other = other.expect("it is shared");
    other.delete_channel(LIVE).await.expect("it is there");
    encoder.publisher.closed().await;
    let hub = &server.app.hub;
    let gone = || (hub.stream(id).is_none() && hub.newest(LIVE).is_none()).then_some(());
    server.until("the stream to be gone", gone).await;
    let index = format!("/hls/{id}/index.m3u8");
    assert_eq!(server.get(&index).await.status, 404);
    let refused = Encoder::start(server.rtmp(), KEY).await;
    assert!(refused.is_err(), "its key is void");
    other.close().await;
    server.stop().await;
}
