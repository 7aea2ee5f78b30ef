//! The operators' counterpart below `/api/admin`.

use super::*;

#[tokio::test]
async fn operators_see_channels_of_all_applications_without_their_keys() {
    let bench = bench(|_| {}).await;
    let secret = Secret::new("other-secret");
    bench.store.add_application("other", &secret).await.unwrap();
    let mut body = new_channel("theirs");
    body["applicationId"] = json!("other");
    let made = bench.operate("PUT", "/api/admin/channels", &body).await;
    assert_eq!(made.word(), (200, "ok".to_owned()), "{}", made.text);
    assert_eq!(made.json()["channel"]["channelId"], "local#other#theirs");
    let made = bench
        .operate("PUT", "/api/admin/channels", new_channel("ours"))
        .await;
    assert_eq!(made.json()["channel"]["applicationId"], "app");
    let id = bench.put_on_air(&["streaming"]);
    bench.add_member("local#app#live", "Primary-1");
    let list = bench.operate("GET", "/api/admin/channels", "").await;
    assert_eq!(list.word().0, 200);
    assert!(!list.text.contains("streamKey") && !list.text.contains("stream-key"));
    let channels = list.json()["channels"].as_array().unwrap().clone();
    let aliases: Vec<&str> = channels
        .iter()
        .filter_map(|c| c["alias"].as_str())
        .collect();
    assert_eq!(aliases, ["live", "ours", "theirs"]);
    let live = &channels[0];
    assert_eq!(live["streamId"], id.to_string());
    assert_eq!(
        (&live["publishers"], &live["viewers"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(live["keyFingerprint"].as_str().unwrap().len(), 8);
    assert_eq!(live["declared"], false);
    assert!(channels[1]["streamId"].is_null());
    let one = bench.operate("GET", "/api/admin/channels/live", "").await;
    assert_eq!(one.json()["channel"], *live);
    let mut body = new_channel("x");
    body["applicationId"] = json!("nobody");
    let refused = bench.operate("PUT", "/api/admin/channels", &body).await;
    assert_eq!(refused.word(), (404, "not-found".to_owned()));
}

#[tokio::test]
async fn a_key_is_shown_where_it_is_asked_for_and_replaced_at_once() {
    let bench = bench(|_| {}).await;
    let path = "/api/admin/channels/live/key";
    let shown = bench.operate("GET", path, "").await;
    assert_eq!(
        shown.json(),
        json!({"status": "ok", "streamKey": "stream-key"})
    );
    let rotated = bench.operate("POST", path, "").await;
    assert_eq!(rotated.word().0, 200);
    let key = rotated.json()["streamKey"].as_str().unwrap().to_owned();
    assert!(bench.store.known_key("stream-key").is_none());
    assert_eq!(bench.store.known_key(&key).unwrap().id, "local#app#live");
    let told = bench.world.told.lock().unwrap().clone();
    let kept = format!(
        "keep local#app#live {}",
        Secret::new(key.as_str()).fingerprint()
    );
    assert_eq!(told, [kept], "and nothing that is live is touched");
    bench.make("fixed").await;
    let refused = bench
        .operate("POST", "/api/admin/channels/fixed/key", "")
        .await;
    assert_eq!(refused.word(), (409, "conflict".to_owned()));
    assert!(
        bench
            .operate("POST", "/api/admin/channels/none/key", "")
            .await
            .word()
            .0
            == 404
    );
}

#[tokio::test]
async fn operators_do_with_any_channel_what_its_application_can() {
    let bench = bench(|_| {}).await;
    bench.make("to").await;
    bench.add_member("local#app#live", "Primary-1");
    let base = "/api/admin/channels";
    let forked = bench
        .operate("PUT", &format!("{base}/to/fork/live"), "")
        .await;
    assert_eq!(forked.json()["members"].as_array().unwrap().len(), 1);
    let members = bench
        .operate("GET", &format!("{base}/live/members"), "")
        .await;
    assert_eq!(members.json()["members"].as_array().unwrap().len(), 1);
    let killed = bench.operate("PUT", &format!("{base}/live/kill"), "").await;
    assert_eq!(killed.json()["killedMembers"].as_array().unwrap().len(), 1);
    let body = json!({"message": {
        "from": {"screenName": "Op", "role": "Moderator", "lastUpdate": 0},
        "mimeType": "text/plain", "message": "hello", "tags": []}});
    let sent = bench
        .operate("PUT", &format!("{base}/live/message"), body)
        .await;
    assert_eq!(sent.word().0, 200);
    let list = bench
        .operate("GET", &format!("{base}/live/messages"), "")
        .await;
    assert_eq!(list.json()["messages"][0]["message"], "hello");
    let purged = bench
        .operate("DELETE", &format!("{base}/live/messages"), "")
        .await;
    assert_eq!(purged.json()["deletedCount"], 1);
    let gone = bench.operate("DELETE", &format!("{base}/to"), "").await;
    assert_eq!(gone.word().0, 200);
    assert_eq!(
        bench
            .operate("GET", &format!("{base}/to"), "")
            .await
            .word()
            .0,
        404
    );
}

#[tokio::test]
async fn nothing_is_done_for_somebody_without_the_admin_key() {
    let bench = bench(|_| {}).await;
    let application = basic("app", "application-secret");
    for headers in [
        &[] as &[(&str, &str)],
        &[("x-admin-key", "wrong")],
        &[("authorization", application.as_str())],
        &[("authorization", "Bearer wrong")],
    ] {
        for (method, path) in [
            ("GET", "/api/admin/applications"),
            ("POST", "/api/admin/applications"),
            ("DELETE", "/api/admin/applications/app"),
            ("GET", "/api/admin/channels"),
            ("PUT", "/api/admin/channels"),
            ("GET", "/api/admin/channels/live"),
            ("DELETE", "/api/admin/channels/live"),
            ("GET", "/api/admin/channels/live/members"),
            ("PUT", "/api/admin/channels/live/kill"),
            ("GET", "/api/admin/channels/live/forwards"),
            ("POST", "/api/admin/channels/live/forwards"),
            ("DELETE", "/api/admin/channels/live/forwards/x"),
            ("PUT", "/api/admin/channels/live/fork/live"),
            ("GET", "/api/admin/channels/live/key"),
            ("POST", "/api/admin/channels/live/key"),
            ("PUT", "/api/admin/channels/live/message"),
            ("GET", "/api/admin/channels/live/messages"),
            ("DELETE", "/api/admin/channels/live/messages"),
        ] {
            let answer = bench.call_with(method, path, headers, "").await;
            assert_eq!(
                answer.word(),
                (401, "unauthorized".to_owned()),
                "{method} {path}"
            );
            assert!(
                !answer.headers.contains_key("www-authenticate"),
                "no browser shall ask"
            );
        }
    }
    assert!(bench.world.told.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_applications_secret_is_shown_once_and_works_at_once() {
    let bench = bench(|_| {}).await;
    let path = "/api/admin/applications";
    let made = bench
        .operate("POST", path, json!({"applicationId": "new.app-1"}))
        .await;
    assert_eq!(made.word(), (200, "ok".to_owned()));
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    let credentials = basic("new.app-1", &secret);
    let credentials = [("authorization", credentials.as_str())];
    let channel = bench
        .call_with("PUT", "/pcast/channel", &credentials, new_channel("a"))
        .await;
    assert_eq!(channel.json()["channel"]["channelId"], "local#new.app-1#a");
    let list = bench.operate("GET", path, "").await;
    assert!(!list.text.contains(&secret) && !list.text.contains("application-secret"));
    let list = list.json()["applications"].clone();
    assert_eq!(list[0]["applicationId"], "app");
    assert_eq!(
        (&list[0]["isFirst"], &list[1]["isFirst"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(list[1]["channels"], 1);
    let again = bench
        .operate("POST", path, json!({"applicationId": "new.app-1"}))
        .await;
    assert_eq!(again.word(), (409, "already-exists".to_owned()));
    for bad in [
        json!({}),
        json!({"applicationId": 1}),
        json!({"applicationId": ""}),
        json!({"applicationId": "a#b"}),
        json!({"applicationId": "a:b"}),
        json!({"applicationId": "a".repeat(65)}),
    ] {
        let answer = bench.operate("POST", path, &bad).await;
        assert_eq!(answer.word().0, 400, "{bad}");
        assert!(answer.reason().contains("applicationId"), "{}", answer.text);
    }
    let removed = bench
        .operate("DELETE", "/api/admin/applications/new.app-1", "")
        .await;
    assert_eq!(removed.word(), (200, "ok".to_owned()));
    let told = bench.world.told.lock().unwrap().clone();
    assert_eq!(told, ["stop local#new.app-1#a", "close local#new.app-1#a"]);
    let answer = bench
        .call_with("GET", "/pcast/channels", &credentials, "")
        .await;
    assert_eq!(answer.word().0, 401);
    let again = bench
        .operate("DELETE", "/api/admin/applications/new.app-1", "")
        .await;
    assert_eq!(again.word(), (404, "not-found".to_owned()));
    let first = bench
        .operate("DELETE", "/api/admin/applications/app", "")
        .await;
    assert_eq!(first.word(), (409, "conflict".to_owned()));
}

#[tokio::test]
async fn a_replaced_secret_ends_the_old_one_at_once() {
    let bench = bench(|_| {}).await;
    let path = "/api/admin/applications";
    let made = bench
        .operate("POST", path, json!({"applicationId": "other"}))
        .await;
    let old = made.json()["secret"].as_str().unwrap().to_owned();
    let rotate = "/api/admin/applications/other/secret";
    let rotated = bench.operate("POST", rotate, "").await;
    assert_eq!(rotated.word(), (200, "ok".to_owned()));
    let new = rotated.json()["secret"].as_str().unwrap().to_owned();
    assert_eq!(new.len(), 32);
    for (secret, code) in [(&old, 401), (&new, 200)] {
        let credentials = basic("other", secret);
        let credentials = [("authorization", credentials.as_str())];
        let answer = bench
            .call_with("GET", "/pcast/channels", &credentials, "")
            .await;
        assert_eq!(answer.word().0, code);
    }
    for (id, refused) in [("nobody", (404, "not-found")), ("app", (409, "conflict"))] {
        let path = format!("/api/admin/applications/{id}/secret");
        let answer = bench.operate("POST", &path, "").await;
        assert_eq!(answer.word(), (refused.0, refused.1.to_owned()));
    }
    let answer = bench.call_with("POST", rotate, &[], "").await;
    assert_eq!(answer.word().0, 401);
}
