//! Much at once, too much, and no database.

use super::*;

#[tokio::test]
async fn a_long_list_comes_in_pieces_oldest_first() {
    let bench = bench(|_| {}).await;
    for number in 0..250 {
        bench.clock.advance(std::time::Duration::from_millis(1));
        bench.make(&format!("c{number}")).await;
    }
    let request = Request::get("/pcast/channels")
        .header("authorization", basic("app", "application-secret"))
        .body(Body::empty())
        .unwrap();
    let router = crate::control::router(bench.state.clone());
    let mut body = router.oneshot(request).await.unwrap().into_body();
    let mut pieces = 0;
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        assert!(data.len() < 100_000, "a piece holds a hundred channels");
        pieces += 1;
        whole.extend_from_slice(&data);
    }
    assert!(pieces >= 3);
    let list: Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(list["status"], "ok");
    let channels = list["channels"].as_array().unwrap();
    let aliases: Vec<&str> = channels
        .iter()
        .filter_map(|c| c["alias"].as_str())
        .collect();
    assert_eq!(aliases.len(), 251);
    assert_eq!(
        (aliases[0], aliases[1], aliases[250]),
        ("live", "c0", "c249")
    );
    assert!(
        channels
            .iter()
            .all(|channel| channel["estimatedSize"].is_null())
    );
}

#[tokio::test]
async fn an_application_that_asks_too_much_waits_and_others_do_not() {
    let bench = bench(|setup| setup.requests_per_second = 100).await;
    let secret = Secret::new("other-secret");
    bench.store.add_application("other", &secret).await.unwrap();
    for _ in 0..100 {
        assert_eq!(bench.call("GET", "/pcast/channel/live", "").await.code, 200);
    }
    // Before the channel is looked for.
    let limited = bench.call("GET", "/pcast/channel/none", "").await;
    assert_eq!(limited.word(), (504, "rate-limited".to_owned()));
    assert_eq!(limited.headers["retry-after"], "1");
    let other = basic("other", "other-secret");
    let other = [("authorization", other.as_str())];
    let answer = bench.call_with("GET", "/pcast/channels", &other, "").await;
    assert_eq!(answer.code, 200);
    // Neither monitors nor deletions are held up.
    let count = bench
        .call("GET", "/pcast/channel/live/publishers/count", "")
        .await;
    assert_eq!(count.code, 200);
    assert_eq!(
        bench
            .call("DELETE", "/pcast/channel/none", "")
            .await
            .word()
            .0,
        404
    );
    bench.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(bench.call("GET", "/pcast/channel/live", "").await.code, 200);
}

#[tokio::test]
async fn without_a_database_what_is_known_is_shown_and_nothing_is_changed() {
    let bench = bench(|_| {}).await;
    bench.store.close().await;
    assert_eq!(bench.call("GET", "/pcast/channel/live", "").await.code, 200);
    assert_eq!(bench.call("GET", "/pcast/channels", "").await.code, 200);
    for (method, path, body) in [
        ("PUT", "/pcast/channel", new_channel("a").to_string()),
        ("DELETE", "/pcast/channel/live", String::new()),
        ("GET", "/pcast/channel/live/messages", String::new()),
    ] {
        let answer = bench.call(method, path, body).await;
        assert_eq!(answer.word(), (503, "capacity".to_owned()), "{path}");
        assert_eq!(answer.headers["retry-after"], "1");
    }
}
