//! What is refused is said, and what is secret is not.

use super::*;

const WRONG_KEY: &str = "WrongPushKey-6e5d4c3b2a";

/// Everything that a gateway tells of its destinations.
async fn said(pushing: &Pushing, gateway: &Gateway) -> String {
    let list = pushing.told().await.to_string();
    let admin = [("X-Admin-Key", ADMIN_KEY)];
    let mut all = format!("{list}{}", gateway.log());
    let stream = gateway.stream_id().await;
    for path in [
        "/metrics".to_owned(),
        "/api/admin/streams".to_owned(),
        format!("/api/admin/streams/{stream}"),
        "/api/admin/channels/live".to_owned(),
    ] {
        let answer = http::request(gateway.http(), "GET", &path, &admin).await;
        assert_eq!(answer.status, 200, "{path}");
        all.push_str(answer.text());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_far_side_refuses_is_shown_as_refused_and_never_itself() {
    let folder = Folder::new();
    let far = folder.serve(&[("FOREBAY_STREAM_KEY", STREAM_KEY)]).await;
    let pushing = Pushing::start(&[]).await;
    let url = format!("rtmp://{}/live", far.rtmp());
    pushing.add_rtmp(&url, WRONG_KEY).await;
    let _encoder = pushing.publish(&Clip::long("flv").file());
    let told = pushing.until_state("refused").await;
    let reason = told["reason"].as_str().expect("why");
    assert!(
        reason.starts_with("it refused the publish (NetStream.Publish."),
        "{reason}"
    );
    assert!(told["nextAttemptUnixMs"].is_i64(), "{told}");
    let metrics = said(&pushing, &pushing.gateway).await;
    assert!(!metrics.contains(WRONG_KEY));
    for line in [
        "forebay_forwards{kind=\"rtmp\",state=\"refused\"} 1",
        "forebay_forwards{kind=\"rtmp\",state=\"live\"} 0",
        "forebay_forward_attempts_total{kind=\"rtmp\"} 1",
        "forebay_forward_failures_total{kind=\"rtmp\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(!pushing.gateway.stop().await.contains(WRONG_KEY));
    assert!(!far.stop().await.contains(WRONG_KEY));
}
