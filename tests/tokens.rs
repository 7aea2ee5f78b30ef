//! Protected streams and their tokens, made and checked by the package that token services use
//! (`phenix-edge-auth`, in `tests/players`) as well as by ourselves. The real server; nothing of a protected
//! stream goes out without a token.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use forebay::base::clock::{Clock, Wall};
use forebay::base::secret::Secret;
use forebay::control::token::{Claims, create, jwt, path_form};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::common::encoder::Encoder;
use crate::common::http::{self, percent_encoded};
use crate::common::server::{KEY, PATIENCE, Server};

const APPLICATION: &str = "forebay";
const SECRET: &str = "TokenSecret-0123456789";
const CHANNEL: &str = "local#forebay#live";

/// Asks the package.
async fn edge_auth(question: Value) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/players/tokens.mjs");
    let mut child = Command::new("node")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node is there");
    let mut input = child.stdin.take().expect("it is piped");
    input
        .write_all(question.to_string().as_bytes())
        .await
        .expect("it reads");
    drop(input);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.expect("it ends").expect("its output is read");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|err| panic!("{err}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// A token of theirs, for a minute from now by the machine's clock.
async fn theirs(claims: Value) -> String {
    let now = Clock::system().wall().unix_millis();
    let mut asked =
        json!({"applicationId": APPLICATION, "secret": SECRET, "expires": now + 60_000});
    for (name, value) in claims.as_object().expect("claims") {
        asked[name] = value.clone();
    }
    let made = edge_auth(json!({"make": asked})).await;
    made["token"].as_str().expect("a token").to_owned()
}

fn ours(set: impl FnOnce(&mut Claims)) -> [String; 2] {
    let mut claims = Claims {
        expires: Clock::system().wall().unix_millis() + 60_000,
        ..Claims::default()
    };
    set(&mut claims);
    let secret = Secret::new(SECRET);
    let jwt = jwt::create(APPLICATION, &secret, &claims).expect("claims are signed");
    [create(APPLICATION, &secret, &claims), jwt]
}

/// A server with a protected stream on air.
async fn protected(clock: Clock) -> (Server, Encoder) {
    let server = Server::start_with(clock, |config| {
        config.media.ladder = "off".to_owned();
        config.identity.application_secret = Some(Secret::new(SECRET));
    })
    .await;
    let key = format!("{KEY};capabilities=streaming,token-auth;tags=vip");
    let mut encoder = Encoder::start(server.rtmp(), &key).await.unwrap();
    encoder.until("a segment", || server.newest_segment()).await;
    (server, encoder)
}

/// The code of the channel's manifest with this token.
async fn manifest(server: &Server, token: &str) -> u16 {
    let path = format!(
        "/pcast/channel/live/live.m3u8?streamToken={}",
        percent_encoded(token)
    );
    let answer = server.get(&path).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    if let Some(location) = answer.header("location") {
        let playlist = server.get(location).await;
        assert_eq!(playlist.status, 200, "{location}");
    }
    answer.status
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_an_independent_issuer_open_what_they_were_made_for() {
    let (server, _encoder) = protected(Clock::system()).await;
    let id = server.stream_id().await.to_string();
    let now = Clock::system().wall().unix_millis();
    for (claims, code) in [
        (json!({}), 302),
        (json!({"channelId": CHANNEL}), 302),
        (json!({"channelAlias": "live"}), 302),
        (json!({"channelAlias": "live", "type": "stream"}), 302),
        (json!({"roomId": CHANNEL}), 302),
        (json!({"roomAlias": "live"}), 302),
        (json!({"tag": "vip"}), 302),
        (json!({"originStreamId": id}), 302),
        (json!({"remoteAddress": "127.0.0.1"}), 302),
        (json!({"capabilities": ["streaming"]}), 302),
        (json!({"channelId": "local#forebay#other"}), 401),
        (json!({"channelAlias": "other"}), 401),
        (json!({"tag": "other"}), 401),
        (
            json!({"originStreamId": "7c5c3bd5-4a64-4c9f-9f68-6f7f2f9ce44c"}),
            401,
        ),
        (json!({"remoteAddress": "192.0.2.1"}), 401),
        (json!({"sessionId": "local#nobody"}), 401),
        (json!({"capabilities": ["uhd"]}), 401),
        (json!({"channelAlias": "live", "type": "publish"}), 401),
        (json!({"channelAlias": "live", "type": "auth"}), 401),
        (json!({"secret": "another-secret"}), 401),
        (json!({"applicationId": "nobody"}), 401),
        (json!({"expires": now - 1}), 401),
    ] {
        let token = theirs(claims.clone()).await;
        assert_eq!(manifest(&server, &token).await, code, "{claims}");
    }
    let publishing = theirs(json!({
        "channelAlias": "live", "type": "publish", "capabilities": ["streaming"], "applyTags": ["a"],
    }));
    let encoder = Encoder::start(server.rtmp(), &publishing.await)
        .await
        .unwrap();
    encoder.finish().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_ours_verify_with_the_independent_verifier() {
    let [token, _] = ours(|claims| {
        claims.kind = Some("stream".to_owned());
        claims.required_tag = Some(format!("channelId:{CHANNEL}"));
        claims.remote_address = Some("192.0.2.1".to_owned());
        claims.capabilities = vec!["streaming".to_owned()];
    });
    let asked = json!({"verify": {"secret": SECRET, "token": token}});
    let said = edge_auth(asked).await;
    assert_eq!(said["verified"], true, "{said}");
    let value = &said["value"];
    assert_eq!(value["applicationId"], APPLICATION);
    assert_eq!(value["type"], "stream");
    assert_eq!(value["requiredTag"], format!("channelId:{CHANNEL}"));
    assert_eq!(value["remoteAddress"], "192.0.2.1");
    assert_eq!(value["capabilities"], json!(["streaming"]));
    assert!(value["expires"].is_i64(), "{said}");
    let asked = json!({"verify": {"secret": "another-secret", "token": token}});
    assert_eq!(edge_auth(asked).await["code"], "bad-digest");
}

/// Every URL of a stream, relative to its folder in each tree: those that playlists name, and more.
async fn urls(server: &Server, token: &str) -> Vec<(&'static str, String)> {
    let id = server.stream_id().await;
    let mut urls = vec![
        ("hls", "index.m3u8".to_owned()),
        ("dash", "manifest.mpd".to_owned()),
        ("dash", "ll.mpd".to_owned()),
    ];
    for rendition in ["source", "audio"] {
        let path = format!("/hls/{id}/~{token}/{rendition}/index.m3u8");
        let playlist = server.get(&path).await;
        assert_eq!(playlist.status, 200, "{path}");
        urls.push(("hls", format!("{rendition}/index.m3u8")));
        let next = playlist.text().lines().rfind(|line| line.ends_with(".m4s"));
        let newest = next.expect("a segment");
        let msn: u64 = newest.trim_end_matches(".m4s").parse().expect("a number");
        // A blocking reload, and a delta update.
        urls.push(("hls", format!("{rendition}/index.m3u8?_HLS_msn={msn}")));
        urls.push(("hls", format!("{rendition}/index.m3u8?_HLS_skip=YES")));
        let quoted = playlist.text().split("URI=\"").skip(1);
        let named = quoted.filter_map(|rest| rest.split('"').next());
        let mut named: Vec<&str> = named.filter(|uri| !uri.contains('/')).collect();
        // The preloaded part is not there yet: asking for it waits for the encoder.
        named.retain(|uri| {
            !playlist
                .text()
                .contains(&format!("PRELOAD-HINT:TYPE=PART,URI=\"{uri}\""))
        });
        assert!(
            named.iter().any(|uri| uri.starts_with("init-")),
            "{named:?}"
        );
        for uri in named.into_iter().chain([newest]) {
            for tree in ["hls", "dash"] {
                urls.push((tree, format!("{rendition}/{uri}")));
            }
        }
    }
    urls
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_protected_stream_is_served_without_its_token() {
    let (server, _encoder) = protected(Clock::system()).await;
    let id = server.stream_id().await;
    let good = ours(|claims| claims.required_tag = Some("channelAlias:live".to_owned()));
    let bad = ours(|claims| claims.required_tag = Some("channelAlias:other".to_owned()));
    let good = good.map(|token| path_form(&token));
    for (tree, below) in urls(&server, &good[0]).await {
        for token in &good {
            let answer = server.get(&format!("/{tree}/{id}/~{token}/{below}")).await;
            assert_eq!(answer.status, 200, "{tree} {below}");
            let cached = answer.header("cache-control").expect("caches are told");
            assert!(
                !cached.contains("no-store") && !cached.contains("private"),
                "{cached}"
            );
            assert!(
                !answer.body.windows(7).any(|bytes| bytes == b"DIGEST:"),
                "{below}: relative"
            );
        }
        let bad = path_form(&bad[0]);
        for closed in [
            format!("/{tree}/{id}/{below}"),
            format!("/{tree}/{id}/~/{below}"),
            format!("/{tree}/{id}/~{bad}/{below}"),
        ] {
            let answer = server.get(&closed).await;
            assert!(
                [401, 403].contains(&answer.status),
                "{closed}: {}",
                answer.status
            );
            assert!(answer.body.len() < 200, "{closed}");
        }
    }
    let thumbnail = server.get(&format!("/thumb/{id}.jpg")).await;
    assert!([401, 403].contains(&thumbnail.status));
    // Redirects from short names lead to what is closed.
    for path in ["/hls/live/index.m3u8", "/dash/live/manifest.mpd"] {
        let answer = server.get(path).await;
        let location = answer.header("location").expect("it leads on").to_owned();
        assert!([401, 403].contains(&server.get(&location).await.status));
    }
    for path in ["/streams.json", "/healthz"] {
        let answer = server.get(path).await;
        assert!(!answer.text().contains(&id.to_string()), "{path}");
    }
    // The console's API is closed to everybody without the admin key.
    let admin = http::get(server.http(), "/api/admin/streams").await;
    assert_eq!(admin.status, 401);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_while_playing_closes_at_the_next_request() {
    let clock = Clock::simulated(Wall(1_790_000_000_000_000));
    let (server, _encoder) = protected(clock.clone()).await;
    let id = server.stream_id().await;
    let mut claims = Claims {
        expires: clock.wall().unix_millis() + 10_000,
        ..Claims::default()
    };
    claims.origin_stream_id = Some(id.to_string());
    let secret = Secret::new(SECRET);
    let jwt = jwt::create(APPLICATION, &secret, &claims).unwrap();
    for token in [path_form(&create(APPLICATION, &secret, &claims)), jwt] {
        let path = format!("/hls/{id}/~{token}/source/index.m3u8");
        assert_eq!(server.get(&path).await.status, 200);
        assert_eq!(manifest(&server, &token).await, 302);
    }
    let [path, other] = [true, false].map(|is_digest| {
        let token = match is_digest {
            true => path_form(&create(APPLICATION, &secret, &claims)),
            false => jwt::create(APPLICATION, &secret, &claims).unwrap(),
        };
        format!("/hls/{id}/~{token}/source/index.m3u8")
    });
    clock.advance(Duration::from_millis(9_999));
    assert_eq!(server.get(&path).await.status, 200);
    clock.advance(Duration::from_millis(1));
    for path in [path, other] {
        assert!([401, 403].contains(&server.get(&path).await.status));
    }
    server.stop().await;
}
