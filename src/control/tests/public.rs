//! What everybody may ask: readiness, and the list of streams.

use super::*;

#[tokio::test]
async fn readiness_follows_store_listeners_and_disk() {
    let bench = bench(|_| {}).await;
    assert_eq!(bench.get("/healthz").await.0, StatusCode::OK);
    let (code, _, body) = bench.get("/readyz").await;
    assert_eq!(code, StatusCode::OK);
    assert!(body.contains(r#""disk":"ok""#), "{body}");

    bench.world.deaf.store(true, Ordering::Relaxed);
    // Within a second the same report is handed out.
    assert_eq!(bench.get("/readyz").await.0, StatusCode::OK);
    bench.clock.advance(Duration::from_secs(1));
    let (code, _, body) = bench.get("/readyz").await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains(r#""listeners":"failed""#), "{body}");
    assert!(!body.contains("1935"), "facts are for the log: {body}");

    bench.world.deaf.store(false, Ordering::Relaxed);
    bench.store.close().await;
    std::fs::remove_dir_all(&bench.data).unwrap();
    bench.clock.advance(Duration::from_secs(1));
    let (code, _, body) = bench.get("/readyz").await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains(r#""store":"failed""#), "{body}");
    assert!(body.contains(r#""disk":"failed""#), "{body}");
    assert!(body.contains(r#""listeners":"ok""#), "{body}");
    // The process itself still answers.
    assert_eq!(bench.get("/healthz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_public_list_leaves_out_what_is_not_for_everybody() {
    let bench = bench(|_| {}).await;
    let listing = |name: &str, protected, playable| Listing {
        id: Uuid::nil(),
        channel_id: format!("local#app#{name}"),
        alias: name.to_owned(),
        name: name.to_uppercase(),
        on_air: true,
        protected,
        playable,
    };
    *bench.world.listings.lock().unwrap() = vec![
        listing("b", false, true),
        listing("secret", true, true),
        listing("mute", false, false),
        listing("a", false, true),
    ];
    let (code, _, body) = bench.get("/streams.json").await;
    assert_eq!(code, StatusCode::OK);
    let id = Uuid::nil();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&body).unwrap(),
        serde_json::json!([
            {"id": id.to_string(), "alias": "a", "name": "A", "onAir": true, "viewers": 3},
            {"id": id.to_string(), "alias": "b", "name": "B", "onAir": true, "viewers": 3},
        ])
    );
}
