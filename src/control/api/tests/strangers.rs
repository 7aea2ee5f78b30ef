//! Broadcasts of those without credentials: how many, and for how long.

use std::time::Duration;

use super::*;
use crate::base::clock::Clock;
use crate::control::Lifecycle;

fn keeper(bench: &Bench) -> Lifecycle {
    let clock: Clock = bench.clock.clone();
    Lifecycle::new(
        bench.store.clone(),
        bench.world.clone(),
        "local".to_owned(),
        clock,
    )
}

async fn make(bench: &Bench, address: &str) -> (u16, Value) {
    let peer: SocketAddr = format!("{address}:5000").parse().unwrap();
    let request = Request::post("/api/broadcasts")
        .header("content-type", "application/json")
        .extension(ConnectInfo(peer))
        .extension(ClientAddress(peer.ip()))
        .body(Body::from(json!({"title": "a"}).to_string()));
    let router = crate::control::router(bench.state.clone());
    let answer = router.oneshot(request.unwrap()).await.unwrap();
    let code = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap())
}

fn text<'a>(broadcast: &'a Value, name: &str) -> &'a str {
    broadcast[name].as_str().unwrap()
}

async fn status(bench: &Bench, broadcast: &Value) -> String {
    let path = format!("/api/broadcasts/{}", text(broadcast, "id"));
    let (_, shown) = bench.api("GET", &path, &NOBODY, "").await;
    text(&shown, "status").to_owned()
}

#[tokio::test]
async fn twenty_are_open_in_all_whoever_makes_them() {
    let bench = clients().await;
    let mut made = Vec::new();
    for number in 0..20 {
        let (code, broadcast) = make(&bench, &format!("192.0.2.{number}")).await;
        assert_eq!(code, 200, "{broadcast}");
        made.push(broadcast);
    }
    let (code, refusal) = make(&bench, "198.51.100.1").await;
    assert_eq!(code, 503, "{refusal}");
    check_refusal(&refusal);
    // Who has a key is not counted with them.
    bench.broadcast("one").await;
    let path = format!("/api/broadcasts/{}/status", text(&made[3], "id"));
    let over = bench.api("POST", &path, &NOBODY, json!({"status": "completed"}));
    assert_eq!(over.await.0, 200);
    assert_eq!(make(&bench, "198.51.100.1").await.0, 200);
    assert_eq!(make(&bench, "198.51.100.1").await.0, 503);
}

#[tokio::test]
async fn an_hour_without_media_ends_them_whatever_their_heartbeat() {
    let bench = clients().await;
    let keeper = keeper(&bench);
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(make(&bench, "192.0.2.1").await.1);
    }
    let [waiting, beating, fed] = made.try_into().unwrap();
    let of_client = bench.broadcast("one").await;
    bench.list_on_air(&format!("local#app#{}", text(&fed, "id")));
    let path = format!("/api/broadcasts/{}/status", text(&beating, "id"));
    let active = bench.api("POST", &path, &NOBODY, json!({"status": "active"}));
    assert_eq!(active.await.0, 200);
    let beat = format!("/api/sessions/{}/heartbeat", text(&beating, "id"));
    for minute in 1..=60 {
        bench.clock.advance(Duration::from_secs(59));
        assert_eq!(bench.api("POST", &beat, &NOBODY, "").await.0, 200);
        keeper.look().await.unwrap();
        assert_eq!(status(&bench, &waiting).await, "created", "minute {minute}");
        assert_eq!(status(&bench, &beating).await, "active", "minute {minute}");
    }
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(bench.api("POST", &beat, &NOBODY, "").await.0, 200);
    keeper.look().await.unwrap();
    for over in [&waiting, &beating] {
        assert_eq!(status(&bench, over).await, "error");
        assert!(bench.store.known_key(text(over, "streamKey")).is_none());
    }
    assert_eq!(status(&bench, &fed).await, "created");
    assert_eq!(
        status(&bench, &of_client).await,
        "created",
        "not of strangers"
    );
}
