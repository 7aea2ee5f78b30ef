//! The life of a broadcast, from its creation by an SDK client to its end.

use std::time::Duration;

use forebay::base::clock::{Clock, Wall};
use forebay::base::secret::Secret;
use forebay::manifest::parse::Media;
use serde_json::{Value, json};

use super::ladder::renditions;
use super::{Stage, beside};
use crate::common::encoder::Encoder;
use crate::common::http;
use crate::common::media::{Clip, pictures};
use crate::common::server::{Publishing, Server};
use crate::common::srt::{Call, Sender};

const ADMIN: &str = "AdminKey-0123456789abcdef";
const ADMIN_KEY: (&str, &str) = ("FOREBAY_ADMIN_KEY", ADMIN);

/// How media come in.
#[derive(Clone, Copy, Debug)]
enum By {
    Rtmp,
    Srt,
}

/// A running encoder.
enum Running {
    Rtmp(Publishing),
    Srt(Sender),
}

impl Running {
    /// Whether it came to a good end.
    async fn ended_well(self) -> bool {
        match self {
            Running::Rtmp(encoder) => encoder.finish().await.is_ok(),
            Running::Srt(encoder) => encoder.ended().await.0,
        }
    }
}

/// Asks as who shows these credentials; code and body of the answer.
async fn ask(
    address: std::net::SocketAddr,
    credentials: Option<(&str, &str)>,
    what: &str,
    body: Value,
) -> (u16, Value) {
    let (method, path) = what.split_once(' ').expect("method and path");
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(credentials);
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let answer = http::send(address, method, path, &headers, &body).await;
    let value = serde_json::from_slice(&answer.body);
    (answer.status, value.expect("it answers in JSON"))
}

/// The same, which must go well.
async fn done(
    address: std::net::SocketAddr,
    credentials: Option<(&str, &str)>,
    what: &str,
    body: Value,
) -> Value {
    let (code, answer) = ask(address, credentials, what, body).await;
    assert_eq!(code, 200, "{what}: {answer}");
    answer
}

/// Registers an SDK client; its API key.
async fn client(address: std::net::SocketAddr) -> String {
    let body = json!({"name": "App", "contactEmail": "app@example.org", "agreeTerms": true});
    let what = "POST /api/admin/sdk-clients";
    let made = done(address, Some(("X-Admin-Key", ADMIN)), what, body).await;
    text(&made, "apiKey").to_owned()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    let text = value[name].as_str();
    text.unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// The path of an address of ours.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").expect("an address").1;
    &rest[rest.find('/').expect("a path")..]
}

impl Stage {
    /// An encoder with a broadcast's key, as its creator was told to publish.
    fn feed(&self, broadcast: &Value, by: By) -> Running {
        let key = text(broadcast, "streamKey");
        match by {
            By::Rtmp => {
                let url = format!("{}/{key}", text(broadcast, "rtmpUrl"));
                let clip = Clip::long("flv").file();
                Running::Rtmp(Publishing::start("ffmpeg", &clip, "-re", &url))
            }
            By::Srt => {
                let call = Call::new(self.gateway.srt(), key);
                Running::Srt(call.ffmpeg_5(&Clip::long("ts").file()))
            }
        }
    }

    /// Titles in the live list, as everybody sees it, once the list of streams agrees, which is kept for a
    /// moment.
    async fn live_list(&self) -> Vec<String> {
        let words = |list: &Value, name: &str| {
            let entries = list.as_array().expect("a bare array").iter();
            let words = entries.map(|entry| text(entry, name).to_owned());
            words.collect::<Vec<_>>()
        };
        let get = async |path: &str| {
            let what = format!("GET {path}");
            done(self.gateway.http(), None, &what, Value::Null).await
        };
        let list = get("/api/broadcasts").await;
        assert!(!list.to_string().contains("streamKey"));
        let ids = words(&list, "streamId");
        self.gateway
            .until("the same list of streams", async || {
                (words(&get("/streams.json").await, "id") == ids).then_some(())
            })
            .await;
        words(&list, "title")
    }
}

/// N-1, N-2, N-3 and N-7.
async fn live_a_life(by: By) {
    let stage = Stage::set(&[ADMIN_KEY]).await;
    let address = stage.gateway.http();
    let key = client(address).await;
    let as_client = Some(("X-API-Key", key.as_str()));
    let body = json!({"title": "My stream", "metadata": {"place": "here"}});
    let made = done(address, as_client, "POST /api/broadcasts", body).await;
    let (id, stream) = (text(&made, "id"), text(&made, "streamId"));
    let location = path_of(text(&made, "hlsUrl")).to_owned();
    assert_eq!(location, format!("/hls/{stream}/index.m3u8"));
    assert_eq!(
        stage.gateway.get(&location).await.status,
        404,
        "no media yet"
    );

    // Before it is active: it plays, and nobody is told of it.
    let encoder = stage.feed(&made, by);
    let media = async {
        stage
            .gateway
            .until("a playlist", async || {
                (stage.gateway.get(&location).await.status == 200).then_some(())
            })
            .await;
        stage.segments(&location, "source", 2).await
    };
    let media = media.await;
    let seen = pictures(&stage.download(&location, "source", &media).await);
    assert!(seen.len() >= 30, "two segments' pictures: {}", seen.len());
    let dash = stage.gateway.get(path_of(text(&made, "dashUrl"))).await;
    assert_eq!(dash.header("content-type"), Some("application/dash+xml"));
    assert!(dash.text().contains("minimumUpdatePeriod"));
    assert!(stage.live_list().await.is_empty());
    let one = format!("GET /api/broadcasts/{id}");
    let shown = done(address, as_client, &one, Value::Null).await;
    assert_eq!(
        text(&shown, "status"),
        "created",
        "publishing alone changes nothing"
    );
    for name in [id, text(&made, "shortId")] {
        for (tree, file) in [
            ("hls", "index.m3u8"),
            ("dash", "manifest.mpd"),
            ("dash", "ll.mpd"),
        ] {
            let answer = stage.gateway.get(&format!("/{tree}/{name}/{file}")).await;
            assert_eq!(answer.status, 302, "{tree}/{name}");
            let expected = format!("/{tree}/{stream}/{file}");
            assert_eq!(answer.header("location"), Some(expected.as_str()));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }

    let status = format!("POST /api/broadcasts/{id}/status");
    let become_of =
        async |word: &str| ask(address, as_client, &status, json!({"status": word})).await;
    let (code, shown) = become_of("active").await;
    assert_eq!((code, text(&shown, "status")), (200, "active"));
    assert_eq!(stage.live_list().await, ["My stream"]);
    for page in [
        path_of(text(&made, "watchUrl")),
        &format!("/watch/{stream}"),
        &format!("/watch/{}", text(&made, "shortId")),
        &format!("/streams/{id}/watch"),
    ] {
        let answer = stage.gateway.get(page).await;
        let kind = answer.header("content-type").unwrap_or_default();
        assert_eq!(answer.status, 200, "{page}");
        assert!(kind.starts_with("text/html"), "{page}: {kind}");
    }
    let count = format!("POST /api/broadcasts/{id}/viewer-count");
    done(address, as_client, &count, json!({"viewerCount": 12})).await;
    let shown = done(address, None, &one, Value::Null).await;
    assert_eq!(shown["viewerCount"], 12);
    assert_eq!(shown["measuredViewers"], 1, "this test is one player");

    let (code, shown) = become_of("completed").await;
    assert_eq!((code, text(&shown, "status")), (200, "completed"));
    assert!(!encoder.ended_well().await, "it is hung up on");
    stage.over(&location).await;
    let media = stage
        .gateway
        .get(&beside(&location, "audio/index.m3u8"))
        .await;
    if media.status == 200 {
        let playlist = Media::parse(media.text()).expect("a playlist");
        assert!(playlist.ended);
    }
    for file in ["manifest.mpd", "ll.mpd"] {
        let manifest = stage.gateway.get(&format!("/dash/{stream}/{file}")).await;
        assert!(!manifest.text().contains("minimumUpdatePeriod"), "{file}");
        assert!(
            manifest.text().contains("mediaPresentationDuration"),
            "{file}"
        );
    }
    assert!(stage.live_list().await.is_empty());
    let refused = Encoder::start(stage.gateway.rtmp(), text(&made, "streamKey")).await;
    let refused = refused.expect_err("the key is void");
    assert_eq!(refused.code, "NetStream.Publish.BadName");
    for by in [By::Rtmp, By::Srt] {
        let again = stage.feed(&made, by);
        assert!(!again.ended_well().await, "the key is void over {by:?}");
    }
    assert_eq!(become_of("completed").await.0, 200, "said again");
    for word in ["active", "created", "error"] {
        assert_eq!(become_of(word).await.0, 409, "{word}");
    }
    stage.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_over_rtmp_plays_before_it_is_listed_and_ends_for_good() {
    live_a_life(By::Rtmp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_over_srt_plays_before_it_is_listed_and_ends_for_good() {
    live_a_life(By::Srt).await;
}

/// N-8. Time passes fifty times as fast as the encoder's.
#[tokio::test(flavor = "multi_thread")]
async fn media_keep_a_broadcast_active_that_has_no_heartbeat_and_silence_ends_it() {
    let clock = Clock::simulated(Wall(1_790_000_000_000_000));
    let server = Server::start_with(clock.clone(), |config| {
        config.media.ladder = "off".to_owned();
        config.identity.admin_key = Some(Secret::new(ADMIN));
        // To the clock, pictures come seconds apart.
        config.publish.publish_timeout = Duration::from_secs(3600);
    })
    .await;
    let key = client(server.http()).await;
    let as_client = Some(("X-API-Key", key.as_str()));
    let mut made = Vec::new();
    for title in ["fed", "silent"] {
        let what = "POST /api/broadcasts";
        let broadcast = done(server.http(), as_client, what, json!({ "title": title })).await;
        let what = format!("POST /api/broadcasts/{}/status", text(&broadcast, "id"));
        done(server.http(), as_client, &what, json!({"status": "active"})).await;
        made.push(broadcast);
    }
    let url = format!(
        "{}/{}",
        text(&made[0], "rtmpUrl"),
        text(&made[0], "streamKey")
    );
    let encoder = Publishing::start("ffmpeg", &Clip::long("flv").file(), "-re", &url);
    let on_air = || server.app.hub.list().iter().any(|listed| listed.on_air);
    server.until("the encoder", || on_air().then_some(())).await;
    let status = async |broadcast: &Value| {
        let what = format!("GET /api/broadcasts/{}", text(broadcast, "id"));
        let shown = done(server.http(), as_client, &what, Value::Null).await;
        text(&shown, "status").to_owned()
    };
    let until_error = async |broadcast: &Value| {
        let mut again = tokio::time::interval(Duration::from_millis(100));
        // Looked for every five seconds.
        for _ in 0..600 {
            again.tick().await;
            if status(broadcast).await == "error" {
                return;
            }
            clock.advance(Duration::from_secs(5));
        }
        panic!("{broadcast} lives");
    };
    until_error(&made[1]).await;
    assert!(on_air());
    assert_eq!(
        status(&made[0]).await,
        "active",
        "its media are a sign of life"
    );
    encoder.kill();
    server
        .until("end of the encoder", || (!on_air()).then_some(()))
        .await;
    until_error(&made[0]).await;
    let again = Encoder::start(server.rtmp(), text(&made[0], "streamKey")).await;
    assert!(again.is_err(), "the key is void");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_broadcast_has_no_rung_above_sd_whatever_they_ask_for() {
    let stage = Stage::set(&[ADMIN_KEY, ("FOREBAY_LADDER", "three")]).await;
    let address = stage.gateway.http();
    let key = client(address).await;
    let clip = Clip {
        rate: "10",
        ..Clip::h264(200, 10).size(1600, 900)
    };
    let mut tops = Vec::new();
    for credentials in [None, Some(("X-API-Key", key.as_str()))] {
        let what = "POST /api/broadcasts";
        let made = done(address, credentials, what, json!({"title": "a"})).await;
        let url = format!(
            "{}/{};capabilities=hd,multi-bitrate,streaming",
            text(&made, "rtmpUrl"),
            text(&made, "streamKey")
        );
        let encoder = Publishing::start("ffmpeg", &clip.file(), "-re", &url);
        let location = path_of(text(&made, "hlsUrl"));
        let listed = stage
            .gateway
            .until("rungs", async || {
                let answer = stage.gateway.get(location).await;
                (answer.status == 200).then(|| renditions(answer.text()))
            })
            .await;
        let rungs = listed.iter().filter(|(name, ..)| name != "source");
        tops.push(rungs.map(|rung| rung.2).max());
        encoder.kill();
    }
    assert_eq!(tops, [Some(480), Some(720)]);
    stage.gateway.stop().await;
}
