//! Channels that show what another one's encoder sends.

use serde_json::{Value, json};

use super::{Channel, Stage, stream_of, uri, word};
use crate::common::media::{Clip, pictures};
use crate::common::server::Publishing;

/// A gateway with two channels, the first of which is on air.
async fn two_channels() -> (Stage, Channel, Channel, Publishing) {
    let stage = Stage::set(&[]).await;
    let (a, b) = (stage.channel("a", &[]).await, stage.channel("b", &[]).await);
    let encoder = stage.rtmp(&a, &Clip::long("flv"));
    stage.until_complete(&a, 1).await;
    (stage, a, b, encoder)
}

async fn fork(stage: &Stage, to: &Channel, from: &Channel, options: &[&str]) -> Vec<Value> {
    let path = to.path(&format!("/fork/{}", from.id.replace('#', "%23")));
    let answer = stage.done("PUT", &path, &json!({"options": options})).await;
    answer["members"].as_array().expect("a list").clone()
}

fn sessions(members: &[Value]) -> Vec<&str> {
    let mut sessions: Vec<&str> = members
        .iter()
        .map(|member| word(member, "sessionId"))
        .collect();
    sessions.sort_unstable();
    sessions
}

/// M-7: plainly, and once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_fork_plays_the_sources_picture_and_a_repeated_one_restarts_nothing() {
    let (stage, a, b, encoder) = two_channels().await;
    let source = stage.members(&a).await;
    let forked = fork(&stage, &b, &a, &[]).await;
    let shown = stage.until_members(&b, 1).await;
    assert_eq!(sessions(&forked), sessions(&source));
    assert_eq!(forked, shown, "the answer is what the channel has");
    assert_ne!(uri(&shown[0]), uri(&source[0]));
    assert_eq!(stage.count(&b, "?failIfLess=1").await.0, 200);

    let (of_a, of_b) = (stage.location(&a).await, stage.location(&b).await);
    assert_ne!(stream_of(&of_a), stream_of(&of_b));
    let media = stage.segments(&of_b, "source", 2).await;
    let seen = pictures(&stage.download(&of_b, "source", &media).await);
    let first = seen[0].number.expect("a picture of the source's");
    for (number, picture) in (first..).zip(&seen) {
        assert_eq!(picture.number, Some(number), "every picture, in order");
    }

    let repeated = fork(&stage, &b, &a, &[]).await;
    assert!(repeated.is_empty(), "nothing is forked: {repeated:?}");
    let again = stage.until_members(&b, 1).await;
    assert_eq!(uri(&again[0]), uri(&shown[0]), "it is left untouched");
    assert_eq!(stage.location(&b).await, of_b);
    stage.goes_on(&of_b).await;
    encoder.kill();
    stage.gateway.stop().await;
}

/// M-7: `force`.
#[tokio::test(flavor = "multi_thread")]
async fn a_forced_fork_is_another_stream_of_the_same_session() {
    let (stage, a, b, encoder) = two_channels().await;
    let first = fork(&stage, &b, &a, &[]).await;
    let before = stage.location(&b).await;
    stage.segments(&before, "source", 1).await;
    let second = fork(&stage, &b, &a, &["force"]).await;
    assert_eq!(sessions(&first), sessions(&second));
    assert_ne!(uri(&first[0]), uri(&second[0]));
    let after = stage.location(&b).await;
    assert_ne!(stream_of(&before), stream_of(&after));
    stage.over(&before).await;
    stage.goes_on(&after).await;
    stage.until_members(&b, 1).await;
    let source = stage.location(&a).await;
    stage.goes_on(&source).await;
    encoder.kill();
    stage.gateway.stop().await;
}

/// M-7: `additive`, and what happens without it (C-11).
#[tokio::test(flavor = "multi_thread")]
async fn a_fork_joins_the_destinations_own_encoder_or_takes_its_place() {
    let (stage, a, b, encoder) = two_channels().await;
    let own = stage.rtmp(&b, &Clip::long("flv"));
    let mut expected = stage.until_complete(&b, 1).await;
    expected.extend(stage.members(&a).await);
    fork(&stage, &b, &a, &["additive"]).await;
    let both = stage.until_members(&b, 2).await;
    assert_eq!(sessions(&both), sessions(&expected));
    let two = stage.count(&b, "?failIfLess=2").await;
    assert_eq!(two, (200, "2".to_owned()));
    fork(&stage, &b, &a, &[]).await;
    let left = stage.until_members(&b, 1).await;
    assert_eq!(sessions(&left), sessions(&stage.members(&a).await));
    assert!(own.finish().await.is_err(), "its connection is closed");
    let location = stage.location(&b).await;
    stage.goes_on(&location).await;
    encoder.kill();
    stage.gateway.stop().await;
}

/// M-8.
#[tokio::test(flavor = "multi_thread")]
async fn a_fork_empties_when_its_sources_encoder_stops() {
    let (stage, a, b, encoder) = two_channels().await;
    fork(&stage, &b, &a, &[]).await;
    stage.until_members(&b, 1).await;
    encoder.kill();
    for channel in [&a, &b] {
        stage.until_members(channel, 0).await;
        assert_eq!(stage.count(channel, "?failIfLess=1").await.0, 412);
    }
    stage.gateway.stop().await;
}

/// M-9.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_ends_a_fork_alone_and_a_source_with_its_forks() {
    let (stage, a, b, encoder) = two_channels().await;
    let members = stage.members(&a).await;
    fork(&stage, &b, &a, &[]).await;
    let (of_a, of_b) = (stage.location(&a).await, stage.location(&b).await);
    stage.segments(&of_b, "source", 1).await;
    let on_b = stage.members(&b).await;
    assert_eq!(sessions(&on_b), sessions(&members));
    let killed = stage.done("PUT", &b.path("/kill"), &Value::Null).await;
    assert_eq!(killed["killedMembers"], Value::from(on_b));
    assert_eq!(stage.count(&b, "").await, (200, "0".to_owned()));
    stage.over(&of_b).await;
    assert_eq!(stage.count(&a, "").await, (200, "1".to_owned()));
    stage.goes_on(&of_a).await;
    assert_eq!(sessions(&stage.members(&a).await), sessions(&members));

    let caller = stage.srt(&a, &Clip::long("ts"));
    let members = stage.until_complete(&a, 2).await;
    fork(&stage, &b, &a, &[]).await;
    let of_b = stage.location(&b).await;
    let reason = json!({"reason": "the show is over"});
    let killed = stage.done("PUT", &a.path("/kill"), &reason).await;
    assert_eq!(killed["killedMembers"], Value::from(members.clone()));
    assert!(encoder.finish().await.is_err(), "its connection is closed");
    let (well, said) = caller.ended().await;
    assert!(!well, "its connection is closed: {said}");
    for (channel, location) in [(&a, &of_a), (&b, &of_b)] {
        stage.over(location).await;
        stage.until_members(channel, 0).await;
        assert_eq!(stage.count(channel, "").await, (200, "0".to_owned()));
    }
    // The key survives.
    let encoder = stage.rtmp(&a, &Clip::long("flv"));
    let back = stage.until_complete(&a, 1).await;
    assert!(!sessions(&members).contains(&word(&back[0], "sessionId")));
    assert_ne!(stage.location(&a).await, of_a);
    encoder.kill();
    stage.gateway.stop().await;
}
