//! What a channel's manifest leads to.

use std::time::Duration;

use forebay::base::clock::Clock;
use forebay::base::secret::Secret;
use forebay::control::token::{Claims, create};

use super::{SECRET, Stage, beside, stream_of};
use crate::common::media::{Clip, pictures};

/// M-2, the source alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_streaming_channels_manifest_leads_to_a_playlist_that_plays() {
    let stage = Stage::set(&[]).await;
    let channel = stage.channel("a", &["hd", "streaming"]).await;
    let encoder = stage.rtmp(&channel, &Clip::long("flv"));
    let location = stage.location(&channel).await;
    let answer = stage.manifest(&channel).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    stage.multivariant(&location).await;
    let media = stage.segments(&location, "source", 2).await;
    let seen = pictures(&stage.download(&location, "source", &media).await);
    assert!(seen.len() >= 30, "two segments' pictures: {}", seen.len());
    for (number, picture) in (0..).zip(&seen) {
        assert_eq!(picture.number, Some(number), "every picture, in order");
    }
    let dash = stage.gateway.get(&channel.path("/live.mpd")).await;
    assert_eq!(dash.status, 302);
    let mpd = stage.gateway.get(dash.header("location").unwrap()).await;
    assert_eq!(mpd.status, 200);
    assert_eq!(mpd.header("content-type"), Some("application/dash+xml"));
    encoder.kill();
    stage.gateway.stop().await;
}

/// M-3.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_names_no_streaming_is_live_without_a_manifest() {
    let stage = Stage::set(&[]).await;
    let channel = stage.channel("a", &["hd", "multi-bitrate"]).await;
    let encoder = stage.rtmp(&channel, &Clip::long("flv"));
    stage.until_complete(&channel, 1).await;
    assert_eq!(stage.count(&channel, "?failIfLess=1").await.0, 200);
    for name in ["/live.m3u8", "/live.mpd"] {
        let answer = stage.gateway.get(&channel.path(name)).await;
        assert_eq!(answer.status, 415, "{name}: {}", answer.text());
        assert!(
            answer.text().contains("\"unsupported\""),
            "{}",
            answer.text()
        );
    }
    encoder.kill();
    stage.gateway.stop().await;
}

/// A token of the first application that ends so many milliseconds from now.
fn token(ms: i64, set: impl FnOnce(&mut Claims)) -> String {
    let mut claims = Claims {
        expires: Clock::system().wall().unix_millis() + ms,
        ..Claims::default()
    };
    set(&mut claims);
    let text = create("forebay", &Secret::new(SECRET), &claims);
    let letter = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(letter).collect()
}

/// Long enough for any test.
const MINUTE: i64 = Duration::from_secs(60).as_millis() as i64;

/// M-12. Every URL below a stream, players, and tokens of another issuer: `tests/tokens.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn a_protected_channel_opens_to_tokens_of_its_id_its_alias_and_its_stream_alone() {
    let stage = Stage::set(&[]).await;
    let words = ["streaming", "token-auth"];
    let channel = stage.channel("a", &words).await;
    let encoder = stage.rtmp(&channel, &Clip::long("flv"));
    stage.until_complete(&channel, 1).await;
    let ask = async |token: &str| {
        let path = channel.path(&format!("/live.m3u8?streamToken={token}"));
        stage.gateway.get(&path).await
    };
    assert_eq!(stage.manifest(&channel).await.status, 401);
    let by_id = token(MINUTE, |claims| {
        claims.required_tag = Some(format!("channelId:{}", channel.id));
    });
    let opened = stage
        .gateway
        .until("a manifest", async || {
            let answer = ask(&by_id).await;
            Some(answer.header("location")?.to_owned())
        })
        .await;
    let media = stage.segments(&opened, "source", 1).await;
    let segment = media
        .segments
        .iter()
        .find(|segment| !segment.uri.is_empty());
    let segment = &segment.expect("a segment").uri;
    let id = stream_of(&opened).to_owned();
    let open = beside(&opened, &format!("source/{segment}"));
    assert_eq!(stage.gateway.get(&open).await.status, 200);
    for below in [
        "index.m3u8".to_owned(),
        "source/index.m3u8".to_owned(),
        format!("source/{segment}"),
    ] {
        let answer = stage.gateway.get(&format!("/hls/{id}/{below}")).await;
        assert!([401, 403].contains(&answer.status), "{below}");
    }
    let alias = |alias: &str| {
        let tag = format!("channelAlias:{alias}");
        move |claims: &mut Claims| claims.required_tag = Some(tag)
    };
    let stream = |id: &str| {
        let id = id.to_owned();
        move |claims: &mut Claims| claims.origin_stream_id = Some(id)
    };
    for (token, code) in [
        (token(MINUTE, alias("a")), 302),
        (token(MINUTE, stream(&id)), 302),
        (token(-1, alias("a")), 401),
        (token(MINUTE, alias("b")), 401),
        (
            token(MINUTE, stream("00000000-0000-7000-8000-000000000000")),
            401,
        ),
        ("DIGEST%3A".to_owned(), 401),
    ] {
        assert_eq!(ask(&token).await.status, code, "{token}");
    }
    encoder.kill();
    stage.gateway.stop().await;
}
