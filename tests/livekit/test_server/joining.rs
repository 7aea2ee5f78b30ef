//! Who may join, and what goes wrong on the way.

use livekit_protocol::{DisconnectReason, TrackType, leave_request::Action};
use serde_json::{Value, json};

use super::{ROOM, publisher, viewer};
use crate::common::http;
use crate::common::livekit::clients::Client;
use crate::common::livekit::{KEY, LivekitServer, SECRET, token};

#[tokio::test]
async fn tokens_are_refused_with_the_statuses_and_texts_of_a_real_server() {
    let server = LivekitServer::start();
    let now = jiff::Timestamp::now().as_second();
    let good = token::joining(KEY, "ann", ROOM, now, &json!({}));
    let with = |change: &dyn Fn(&mut Value)| {
        let mut claims = good.clone();
        change(&mut claims);
        token::sign(SECRET, &claims)
    };
    let cases = [
        (with(&|_| {}), 200, "success"),
        (
            with(&|claims| claims["exp"] = json!(now - 30)),
            200,
            "success",
        ),
        (
            with(&|claims| claims["nbf"] = json!(now as f64 + 30.5)),
            200,
            "success",
        ),
        (
            with(&|claims| claims["exp"] = json!(now - 90)),
            401,
            "token is expired",
        ),
        (
            with(&|claims| claims["nbf"] = json!(now + 90)),
            401,
            "not valid yet",
        ),
        (
            with(&|claims| claims["exp"] = json!("soon")),
            401,
            "invalid token",
        ),
        (
            with(&|claims| claims["iss"] = json!("other")),
            401,
            "invalid API key: other",
        ),
        (
            with(&|claims| claims["sub"] = json!("")),
            400,
            "identity cannot be empty",
        ),
        (
            with(&|claims| claims["video"]["room"] = json!("")),
            400,
            "no room name",
        ),
        (
            with(&|claims| claims["video"]["roomJoin"] = json!(false)),
            401,
            "permissions denied",
        ),
        (token::sign("another", &good), 401, "invalid token"),
        (format!("livekit_{}", with(&|_| {})), 401, "invalid token"),
    ];
    for (token, status, text) in cases {
        let path = format!("/rtc/validate?access_token={token}");
        let answer = http::get(server.address(), &path).await;
        let said = answer.text();
        assert_eq!(answer.status, status, "{said}");
        assert!(said.contains(text), "{said}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
    let version_1 = http::get(server.address(), "/rtc/v1/validate").await;
    assert_eq!(version_1.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_identity_takes_the_place_of_the_one_before() {
    let server = LivekitServer::start();
    let mut first = viewer(&server, "bob", &Value::Null).await;
    let second = viewer(&server, "bob", &Value::Null).await;
    let gone = first.event("disconnected").await;
    assert_eq!(gone["reason"], DisconnectReason::DuplicateIdentity as i32);
    assert_eq!(server.participants(ROOM).len(), 1);
    second.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hidden_are_not_seen_and_who_may_not_publish_does_not() {
    let server = LivekitServer::start();
    let hidden = viewer(&server, "ghost", &json!({"hidden": true})).await;
    let token = server.token("ann", ROOM, &json!({"canPublish": false}));
    let mut ann = Client::python("publish", &server.url(), &token, "--no-picture").await;
    let connected = ann.event("connected").await;
    assert_eq!(connected["others"], json!([]));
    ann.event("not_published").await;
    assert!(server.tracks(ROOM, "ann").is_empty());
    hidden.leave().await;
    ann.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_upgrade_a_goodbye_and_a_crash_are_seen_by_clients() {
    let mut server = LivekitServer::start();
    server.faults(|faults| faults.refuse_upgrade = Some(503));
    let token = server.token("ann", ROOM, &json!({}));
    let mut ann = Client::python("view", &server.url(), &token, "").await;
    assert_eq!(ann.next().await.expect("an answer")["event"], "refused");
    server.faults(|faults| faults.refuse_upgrade = None);

    let mut ann = publisher(&server, "--no-picture").await;
    let media = |server: &LivekitServer| server.track(ROOM, "ann", TrackType::Audio);
    server.until("sound", media).await;
    let reason = DisconnectReason::ServerShutdown;
    assert!(server.send_away(ROOM, "ann", reason, Action::Disconnect));
    assert_eq!(ann.event("disconnected").await["reason"], reason as i32);

    let mut ann = publisher(&server, "--no-picture").await;
    server.until("sound", media).await;
    // It publishes again only what it knows that it has published.
    ann.event("published").await;
    server.start_again();
    ann.event("reconnecting").await;
    server.until("sound after all was forgotten", media).await;
    ann.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_a_client_and_a_flood_of_requests_does_not() {
    let server = LivekitServer::start();
    let mut ann = publisher(&server, "--no-sound --fps 10").await;
    let picture = |server: &LivekitServer| server.track(ROOM, "ann", TrackType::Video);
    server.until("a picture", picture).await;
    server.faults(|faults| faults.pli_flood = true);
    let flooded = |server: &LivekitServer| {
        let track = picture(server)?;
        let layer = track.layer("");
        (layer.key_frame_requests >= 50 && layer.key_frames >= 5).then_some(())
    };
    server.until("an answered flood", flooded).await;
    server.faults(|faults| {
        faults.pli_flood = false;
        faults.is_silent = true;
    });
    ann.event("reconnecting").await;
    server.faults(|faults| faults.is_silent = false);
    ann.event("reconnected").await;
    ann.kill().await;
}
