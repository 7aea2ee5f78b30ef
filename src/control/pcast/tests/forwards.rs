//! Destinations of channels below `/api/admin`.

use std::time::Duration;

use super::*;
use crate::control::Forwarded;

const PATH: &str = "/api/admin/channels/live/forwards";

#[tokio::test]
async fn destinations_are_added_listed_and_removed_and_never_show_their_keys() {
    let bench = bench(|_| {}).await;
    let none = bench.operate("GET", PATH, "").await;
    assert_eq!(none.json(), json!({"status": "ok", "forwards": []}));
    let added = bench
        .operate(
            "POST",
            PATH,
            json!({"kind": "rtmp", "url": "rtmp://h/app", "key": "tell-no-one"}),
        )
        .await;
    assert_eq!(added.word(), (200, "ok".to_owned()), "{}", added.text);
    let forward = added.json()["forward"].clone();
    let id = forward["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (&forward["url"], &forward["state"], &forward["removable"]),
        (&json!("rtmp://h/app"), &json!("waiting"), &json!(true))
    );
    assert_eq!(
        forward["keyFingerprint"],
        Secret::new("tell-no-one").fingerprint()
    );
    for body in [
        json!({"kind": "rtmp", "url": "rtmps://h/app/tell-no-one"}),
        json!({"kind": "whip", "url": "https://h/w/tell-no-one", "token": "tell-no-one"}),
        json!({"kind": "ingress", "room": "a room", "url": null}),
    ] {
        bench.clock.advance(Duration::from_secs(1));
        let added = bench.operate("POST", PATH, &body).await;
        assert_eq!(added.word().0, 200, "{}", added.text);
        assert!(!added.text.contains("tell"), "{}", added.text);
    }
    let same = json!({"kind": "rtmp", "url": "rtmp://h/app/tell-no-one"});
    let again = bench.operate("POST", PATH, &same).await;
    assert_eq!(again.word(), (409, "already-exists".to_owned()));
    assert_eq!(
        bench.world.told.lock().unwrap().len(),
        5,
        "each is followed at once"
    );
    *bench.world.forwards.lock().unwrap() = vec![Forwarded {
        id: id.clone(),
        kind: "rtmp",
        state: "retrying",
        reason: Some("it cannot be reached".to_owned()),
        next_attempt_unix_ms: Some(5),
        since_unix_ms: 4,
        attempts: 3,
        ..Forwarded::default()
    }];
    let list = bench.operate("GET", PATH, "").await;
    let forwards = list.json()["forwards"].as_array().unwrap().clone();
    assert!(!list.text.contains("tell"), "{}", list.text);
    let kinds: Vec<&str> = forwards
        .iter()
        .filter_map(|one| one["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["rtmp", "rtmp", "whip", "ingress"]);
    assert_eq!(
        (
            &forwards[0]["state"],
            &forwards[0]["nextAttemptUnixMs"],
            &forwards[0]["attempts"]
        ),
        (&json!("retrying"), &json!(5), &json!(3))
    );
    let one = format!("{PATH}/{id}");
    assert_eq!(bench.operate("DELETE", &one, "").await.word().0, 200);
    assert_eq!(bench.operate("DELETE", &one, "").await.word().0, 404);
    let list = bench.operate("GET", PATH, "").await;
    assert_eq!(list.json()["forwards"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn what_is_no_destination_is_refused_by_its_field() {
    let bench = bench(|_| {}).await;
    for (body, reason) in [
        (json!({}), "kind is missing"),
        (
            json!({"kind": "srt", "url": "srt://h:1"}),
            "kind is not rtmp, whip or ingress",
        ),
        (json!({"kind": "rtmp"}), "url is missing"),
        (json!({"kind": "whip", "url": 7}), "url is not a text"),
        (json!({"kind": "ingress"}), "room is missing"),
        (
            json!({"kind": "rtmp", "url": "rtmp://h/a", "token": "tell"}),
            "token is nothing that rtmp has",
        ),
        (
            json!({"kind": "whip", "url": "https://h/", "room": "r"}),
            "room is nothing that whip has",
        ),
        (
            json!({"kind": "whip", "url": "ftp://h/tell"}),
            "url is ftp://h…, accepted is https://",
        ),
        (
            json!({"kind": "rtmp", "url": "rtmp://h/a", "key": "tell it"}),
            "key is (hidden), accepted is 1 to",
        ),
    ] {
        let refused = bench.operate("POST", PATH, &body).await;
        assert_eq!(refused.word(), (400, "bad-request".to_owned()), "{body}");
        let text = refused.reason();
        assert!(text.starts_with(reason) && !text.contains("tell"), "{text}");
    }
    for id in ["nonsense", "00000000-0000-4000-8000-000000000000"] {
        let missing = bench.operate("DELETE", &format!("{PATH}/{id}"), "").await;
        assert_eq!(missing.word(), (404, "not-found".to_owned()));
    }
    let nowhere = bench
        .operate("GET", "/api/admin/channels/none/forwards", "")
        .await;
    assert_eq!(nowhere.word().0, 404);
}

#[tokio::test]
async fn destinations_of_the_settings_are_shown_and_stay() {
    let bench = bench(|_| {}).await;
    let push = crate::base::push::Push::parse("rtmp", "rtmp://h/app", Some("tell-no-one")).unwrap();
    *bench.world.pushes.lock().unwrap() = vec![("file-1".to_owned(), push)];
    *bench.world.forwards.lock().unwrap() = vec![Forwarded {
        id: "room".to_owned(),
        kind: "livekit",
        destination: "wss://livekit".to_owned(),
        state: "live",
        ..Forwarded::default()
    }];
    let list = bench.operate("GET", PATH, "").await;
    let forwards = list.json()["forwards"].clone();
    assert_eq!(
        (&forwards[0]["id"], &forwards[0]["removable"]),
        (&json!("file-1"), &json!(false))
    );
    assert_eq!(
        (&forwards[1]["id"], &forwards[1]["state"]),
        (&json!("room"), &json!("live"))
    );
    let refused = bench.operate("DELETE", &format!("{PATH}/file-1"), "").await;
    assert_eq!(refused.word(), (409, "conflict".to_owned()));
}
