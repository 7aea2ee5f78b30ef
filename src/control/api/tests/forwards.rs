//! Where broadcasts go, as those see it who made them.

use super::*;
use crate::base::push::Push;
use crate::control::Forwarded;

const SECRET: &str = "tell-no-one";

fn running(id: &str, kind: &'static str, state: &'static str) -> Forwarded {
    Forwarded {
        id: id.to_owned(),
        kind,
        destination: "wss://livekit.internal".to_owned(),
        state,
        since_unix_ms: 1_790_000_000_000,
        ..Forwarded::default()
    }
}

#[tokio::test]
async fn who_made_a_broadcast_sees_how_its_room_and_its_pushes_fare() {
    let bench = clients().await;
    let made = bench.broadcast("Talk").await;
    let path = format!("/api/broadcasts/{}/forwards", made["id"].as_str().unwrap());
    let (code, none) = bench.api("GET", &path, &KEY, "").await;
    assert_eq!((code, none), (200, json!([])));

    let id = made["id"].as_str().unwrap();
    let found = bench.store.find_broadcast(id).await.unwrap();
    let channel = found.unwrap().channel_id;
    let push = |url: &str| Push::parse("rtmp", url, Some(SECRET)).unwrap();
    let one = push("rtmp://one.example/live");
    let one = bench.store.add_forward(&channel, &one).await.unwrap();
    bench.clock.advance(std::time::Duration::from_secs(1));
    let two = push("rtmp://two.example/live");
    bench.store.add_forward(&channel, &two).await.unwrap();
    let failed = Forwarded {
        reason: Some("it cannot be reached: connection refused".to_owned()),
        next_attempt_unix_ms: Some(1_790_000_005_000),
        attempts: 3,
        ..running(&one.id.to_string(), "rtmp", "retrying")
    };
    let room = Forwarded {
        note: Some("the source has B-frames".to_owned()),
        packets: 7,
        ..running("room", "livekit", "live")
    };
    *bench.world.forwards.lock().unwrap() = vec![failed, room];
    let (code, all) = bench.api("GET", &path, &KEY, "").await;
    assert_eq!(code, 200);
    assert!(!all.to_string().contains(SECRET), "{all}");
    let [room, one, two] = &all.as_array().unwrap()[..] else {
        panic!("{all}");
    };
    assert_eq!(
        (&room["id"], &room["state"], &room["packets"]),
        (&json!("room"), &json!("live"), &json!(7))
    );
    assert_eq!(room["since"], "2026-09-21T14:13:20Z");
    assert!(room.get("destination").is_none(), "{room}");
    assert_eq!(one["destination"], "rtmp://one.example/live");
    assert_eq!(
        (&one["state"], &one["nextAttempt"], &one["attempts"]),
        (
            &json!("retrying"),
            &json!("2026-09-21T14:13:25Z"),
            &json!(3)
        )
    );
    assert_eq!(one["reason"], "it cannot be reached: connection refused");
    assert_eq!((&two["state"], two.get("since")), (&json!("waiting"), None));
}

#[tokio::test]
async fn nobody_else_sees_where_a_broadcast_goes() {
    let bench = clients().await;
    let made = bench.broadcast("Talk").await;
    let path = format!("/api/broadcasts/{}/forwards", made["id"].as_str().unwrap());
    assert_eq!(bench.api("GET", &path, &OTHER_KEY, "").await.0, 404);
    assert_eq!(bench.api("GET", &path, &NOBODY, "").await.0, 401);
    // A user of the same tenant who did not make it.
    let other = person(&bench, "other", "+12125550147").await;
    let found = other.call(&bench, &format!("GET {path}"), "").await;
    assert_ne!(found.0, 200, "{}", found.1);
}
