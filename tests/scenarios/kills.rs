//! What a kill and a delete do to encoders.

use serde_json::{Value, json};

use super::Stage;
use crate::common::media::Clip;

/// M-10. The connection stands, what comes over it is taken, and who plays it goes on playing.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_that_keeps_streams_takes_the_members_and_leaves_encoders_connected() {
    let stage = Stage::set(&[]).await;
    let (rtmp, srt) = (
        stage.channel("rtmp", &[]).await,
        stage.channel("srt", &[]).await,
    );
    let mut over_rtmp = stage.rtmp(&rtmp, &Clip::long("flv"));
    let mut over_srt = stage.srt(&srt, &Clip::long("ts"));
    for (channel, proto) in [(&rtmp, "rtmp"), (&srt, "srt")] {
        let members = stage.until_complete(channel, 1).await;
        let location = stage.location(channel).await;
        stage.segments(&location, "source", 1).await;
        let body = json!({"options": ["keep-streams"]});
        let killed = stage.done("PUT", &channel.path("/kill"), &body).await;
        let session = &killed["killedMembers"][0]["sessionId"];
        assert_eq!(*session, members[0]["sessionId"]);
        assert_eq!(stage.count(channel, "").await, (200, "0".to_owned()));
        assert!(stage.members(channel).await.is_empty());
        assert_eq!(stage.manifest(channel).await.status, 404);
        let before = taken(&stage, channel, proto).await;
        stage
            .gateway
            .until("more of its media", async || {
                (taken(&stage, channel, proto).await? > before?).then_some(())
            })
            .await;
        stage.goes_on(&location).await;
        assert_eq!(stage.count(channel, "").await, (200, "0".to_owned()));
    }
    assert!(!over_rtmp.is_over() && !over_srt.is_over());
    // They are still the channel's: with it they go.
    for channel in [&rtmp, &srt] {
        stage.done("DELETE", &channel.path(""), &Value::Null).await;
    }
    assert!(over_rtmp.finish().await.is_err(), "it is hung up on");
    let (well, said) = over_srt.ended().await;
    assert!(!well, "it is hung up on: {said}");
    stage.gateway.stop().await;
}

/// Bytes that a channel's encoders have sent.
async fn taken(stage: &Stage, channel: &super::Channel, proto: &str) -> Option<f64> {
    let metrics = stage.gateway.get("/metrics").await;
    let of_it = |line: &&str| {
        line.starts_with("forebay_ingest_bytes_total{")
            && line.contains(&format!("channel=\"{}\"", channel.id))
            && line.contains(&format!("proto=\"{proto}\""))
    };
    let lines = metrics.text().lines().filter(of_it);
    let figures = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    figures.reduce(|one, other| one + other)
}

/// M-13.
#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_live_channel_hangs_up_on_encoders_of_both_protocols_for_good() {
    let stage = Stage::set(&[]).await;
    let channel = stage.channel("a", &[]).await;
    let over_rtmp = stage.rtmp(&channel, &Clip::long("flv"));
    let over_srt = stage.srt(&channel, &Clip::long("ts"));
    stage.until_complete(&channel, 2).await;
    let location = stage.location(&channel).await;
    stage.segments(&location, "source", 1).await;
    stage.done("DELETE", &channel.path(""), &Value::Null).await;
    assert!(over_rtmp.finish().await.is_err(), "it is hung up on");
    let (well, said) = over_srt.ended().await;
    assert!(!well, "it is hung up on: {said}");
    let again = stage.rtmp(&channel, &Clip::long("flv")).finish().await;
    assert!(again.is_err(), "the key is void");
    let (well, said) = stage.srt(&channel, &Clip::long("ts")).ended().await;
    assert!(!well, "the key is void: {said}");
    assert_eq!(stage.manifest(&channel).await.status, 404);
    for below in ["", "/members"] {
        let (code, _) = stage.call("GET", &channel.path(below), &Value::Null).await;
        assert_eq!(code, 404);
    }
    assert_eq!(stage.count(&channel, "").await.0, 404);
    stage.gateway.stop().await;
}
