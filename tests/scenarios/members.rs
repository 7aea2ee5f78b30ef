//! Who is a member, and for how long.

use serde_json::Value;

use super::{Stage, newest, word};
use crate::common::lossy::{Line, Lossy};
use crate::common::media::{Clip, pictures};
use crate::common::server::Publishing;
use crate::common::srt::Call;

/// M-1.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_is_one_presenter_with_both_tracks() {
    let stage = Stage::set(&[]).await;
    let channel = stage.channel("a", &[]).await;
    assert_eq!(stage.count(&channel, "?failIfLess=1").await.0, 412);
    let encoder = stage.rtmp(&channel, &Clip::long("flv"));
    let members = stage.until_complete(&channel, 1).await;
    let member = &members[0];
    assert_eq!(member["role"], "Presenter");
    assert_eq!(member["state"], "Passive");
    assert_eq!(member["streams"].as_array().map(Vec::len), Some(1));
    assert_eq!(member["streams"][0]["type"], "Presentation");
    assert_eq!(stage.count(&channel, "").await, (200, "1".to_owned()));
    let query = "?failIfLess=1";
    assert_eq!(stage.count(&channel, query).await, (200, "1".to_owned()));
    let named = format!(
        "?failIfLess=1&withScreenName={}",
        word(member, "screenName")
    );
    assert_eq!(stage.count(&channel, &named).await.0, 200);
    stage
        .gateway
        .until("size of 1", async || {
            let answer = stage.done("GET", &channel.path(""), &Value::Null).await;
            (answer["channel"]["estimatedSize"] == 1).then_some(())
        })
        .await;
    encoder.kill();
    stage.until_members(&channel, 0).await;
    stage.gateway.stop().await;
}

/// M-5.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_encoder_is_a_second_member_and_playback_outlives_the_first() {
    let stage = Stage::set(&[]).await;
    let channel = stage.channel("a", &[]).await;
    let first = stage.rtmp(&channel, &Clip::long("flv"));
    let alone = stage.until_complete(&channel, 1).await;
    let location = stage.location(&channel).await;
    let second = stage.rtmp(&channel, &Clip::long("flv"));
    let members = stage.until_complete(&channel, 2).await;
    for name in ["sessionId", "screenName"] {
        assert_ne!(word(&members[0], name), word(&members[1], name));
    }
    let query = "?failIfLess=2";
    assert_eq!(stage.count(&channel, query).await, (200, "2".to_owned()));
    stage.segments(&location, "source", 1).await;
    first.kill();
    let left = stage.until_members(&channel, 1).await;
    assert_ne!(word(&left[0], "sessionId"), word(&alone[0], "sessionId"));
    assert_eq!(stage.count(&channel, query).await.0, 412);
    stage.goes_on(&location).await;
    assert_eq!(stage.location(&channel).await, location);
    second.kill();
    stage.gateway.stop().await;
}

/// M-6.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_without_one_track_says_so_and_counts_as_one_stream() {
    let stage = Stage::set(&[]).await;
    for (alias, clip, there, missing) in [
        (
            "picture",
            Clip::long("flv").mute(),
            "videoState",
            "audioState",
        ),
        (
            "sound",
            Clip::long("flv").blind(),
            "audioState",
            "videoState",
        ),
    ] {
        let channel = stage.channel(alias, &[]).await;
        let encoder = stage.rtmp(&channel, &clip);
        let member = stage
            .gateway
            .until("the track that is there", async || {
                let members = stage.members(&channel).await;
                let member = members.first()?;
                (member["streams"][0][there] == "TrackEnabled").then(|| member.clone())
            })
            .await;
        // It is known for good when what there is can be played.
        let location = stage.location(&channel).await;
        stage.multivariant(&location).await;
        let now = stage.until_members(&channel, 1).await;
        for member in [&member, &now[0]] {
            assert_eq!(member["streams"][0][missing], "TrackEnded", "{member}");
        }
        assert_eq!(now[0]["streams"].as_array().map(Vec::len), Some(1));
        let one = "?failIfLess=1&withStreams=1";
        assert_eq!(stage.count(&channel, one).await.0, 200);
        let two = "?failIfLess=1&withStreams=2";
        assert_eq!(stage.count(&channel, two).await.0, 412);
        encoder.kill();
    }
    stage.gateway.stop().await;
}

/// M-14.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_refused_over_both_protocols_and_leaves_no_member() {
    let stage = Stage::set(&[]).await;
    let mut channel = stage.channel("a", &[]).await;
    // As long as the right one, and like it up to its last letter.
    let last = if channel.key.ends_with('a') { "b" } else { "a" };
    let right = channel.key.clone();
    channel.key.replace_range(right.len() - 1.., last);
    let clip = Clip::long("flv");
    let refused = stage.rtmp(&channel, &clip).finish().await;
    assert!(refused.is_err(), "it is told");
    let (well, said) = stage.srt(&channel, &Clip::long("ts")).ended().await;
    assert!(!well, "{said}");
    assert!(stage.members(&channel).await.is_empty());
    assert_eq!(stage.count(&channel, "?failIfLess=1").await.0, 412);
    assert_eq!(stage.manifest(&channel).await.status, 404);
    channel.key = right;
    let encoder = stage.rtmp(&channel, &clip);
    stage.until_complete(&channel, 1).await;
    encoder.kill();
    let log = stage.gateway.stop().await;
    assert!(!log.contains(&channel.key[..channel.key.len() - 1]));
}

/// M-15. The connection would stand for ten minutes: what takes the member away is its silence. A process
/// that stands still sends neither media nor a FIN, and a line that is gone carries nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_whose_cable_is_pulled_does_not_count_until_it_is_back() {
    let stage = Stage::set(&[
        ("FOREBAY_PUBLISH_TIMEOUT_SECONDS", "600"),
        ("FOREBAY_SILENCE_MS", "1000"),
    ])
    .await;
    let channel = stage.channel("rtmp", &[]).await;
    let encoder = stage.rtmp(&channel, &Clip::long("flv"));
    let before = stage.until_complete(&channel, 1).await;
    encoder.signal("STOP");
    stage.until_members(&channel, 0).await;
    assert_eq!(stage.count(&channel, "?failIfLess=1").await.0, 412);
    encoder.signal("CONT");
    let after = stage.until_members(&channel, 1).await;
    assert_eq!(word(&after[0], "sessionId"), word(&before[0], "sessionId"));
    encoder.kill();

    let channel = stage.channel("srt", &[]).await;
    let line = Lossy::start(stage.gateway.srt(), Line::good(15)).await;
    let encoder = Call::new(line.address, &channel.key).ffmpeg_5(&Clip::long("ts").file());
    stage.until_complete(&channel, 1).await;
    drop(line);
    stage.until_members(&channel, 0).await;
    assert_eq!(stage.count(&channel, "?failIfLess=1").await.0, 412);
    encoder.kill();
    stage.gateway.stop().await;
}

/// M-11, within the window.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_that_comes_back_in_time_goes_on_in_the_same_stream() {
    let stage = Stage::set(&[("FOREBAY_RECONNECT_SECONDS", "60")]).await;
    let channel = stage.channel("a", &[]).await;
    let encoder = stage.rtmp(&channel, &Clip::long("flv"));
    let location = stage.location(&channel).await;
    let before = newest(&stage.segments(&location, "source", 2).await);
    encoder.kill();
    stage.until_members(&channel, 0).await;
    let encoder = stage.rtmp(&channel, &Clip::long("flv"));
    stage.until_complete(&channel, 1).await;
    stage.goes_on(&location).await;
    assert_eq!(stage.location(&channel).await, location);
    let after = newest(&stage.segments(&location, "source", 3).await);
    assert!(after > before, "{after:?} follows {before:?}");
    encoder.kill();
    stage.gateway.stop().await;
}

/// M-11, after the window.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_that_comes_back_too_late_opens_a_stream_of_its_own() {
    let stage = Stage::set(&[("FOREBAY_RECONNECT_SECONDS", "1")]).await;
    let channel = stage.channel("a", &[]).await;
    let start = || -> Publishing { stage.rtmp(&channel, &Clip::long("flv")) };
    let encoder = start();
    let old = stage.location(&channel).await;
    stage.segments(&old, "source", 2).await;
    encoder.kill();
    stage.over(&old).await;
    let path = super::beside(&old, "source/index.m3u8");
    let ended = stage.gateway.get(&path).await.text().to_owned();
    let encoder = start();
    let new = stage
        .gateway
        .until("another stream", async || {
            let answer = stage.manifest(&channel).await;
            let location = answer.header("location")?.to_owned();
            (location != old).then_some(location)
        })
        .await;
    assert_ne!(super::stream_of(&new), super::stream_of(&old));
    let media = stage.segments(&new, "source", 2).await;
    let file = stage.download(&new, "source", &media).await;
    let seen = pictures(&file);
    let numbers: Vec<Option<u32>> = seen.iter().map(|picture| picture.number).collect();
    let own: Vec<Option<u32>> = (0..numbers.len() as u32).map(Some).collect();
    assert_eq!(numbers, own, "from the new encoder's first picture on");
    let still = stage.gateway.get(&path).await;
    assert_eq!(still.text(), ended, "nothing is added to the old one");
    encoder.kill();
    stage.gateway.stop().await;
}
