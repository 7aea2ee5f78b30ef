//! Channels: made, shown, listed, deleted; who may, and how ids are written.

use super::*;
use crate::store::{Creation, IngestOptions, SourceUri};

#[tokio::test]
async fn a_channel_is_shown_as_the_contract_has_it() {
    let bench = bench(|_| {}).await;
    let body = json!({"channel": {
        "alias": "news", "name": "News", "description": "All day", "options": ["a", "b"],
        "ingestOptions": {"capabilities": ["multi-bitrate"], "tags": ["x"], "maxFps": 29.97,
            "buffer": "1s", "unknown": true},
        "unknown": {"x": 1},
    }, "other": []});
    let made = bench.call("PUT", "/pcast/channel", &body).await;
    assert_eq!(made.word(), (200, "ok".to_owned()));
    let channel = made.json()["channel"].clone();
    let key = channel["streamKey"].as_str().unwrap();
    assert!(key.len() >= 96 && key.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let expected = json!({
        "channelId": "local#app#news", "alias": "news", "applicationId": "app", "name": "News",
        "description": "All day", "type": "Channel", "streamKey": key,
        "created": "2026-09-21T14:13:20.000000000Z",
        "lastUpdate": "2026-09-21T14:13:20.000000000Z",
        "estimatedSize": 0, "options": ["a", "b"],
        "ingestOptions": {"capabilities": ["multi-bitrate"], "tags": ["x"], "maxFps": 29.97,
            "buffer": "1s"},
    });
    assert_eq!(channel, expected);
    for path in ["/pcast/channel/local%23app%23news", "/pcast/channel/news"] {
        let shown = bench.call("GET", path, "").await;
        assert_eq!(shown.json(), json!({"status": "ok", "channel": expected}));
    }
    // Some libraries write a byte order mark.
    let marked = format!("\u{feff}{}", new_channel("marked"));
    let marked = bench.call("PUT", "/pcast/channel", marked).await;
    assert_eq!(marked.word(), (200, "ok".to_owned()));
    let plain = bench.make("plain").await;
    assert!(plain.get("ingestOptions").is_none());
    bench.add_member("local#app#news", "one");
    let shown = bench.call("GET", "/pcast/channel/news", "").await;
    assert_eq!(shown.json()["channel"]["estimatedSize"], 1);
}

#[tokio::test]
async fn without_good_credentials_everything_is_401_before_anything_else() {
    let bench = bench(|_| {}).await;
    let good = basic("app", "application-secret");
    let bad = [
        basic("app", "wrong"),
        basic("nobody", "application-secret"),
        basic("", ""),
        "Basic !!!".to_owned(),
        "Basic".to_owned(),
        "Bearer application-secret".to_owned(),
        format!("Basic {}", STANDARD.encode("app")),
        format!("Basic {}", STANDARD.encode([0xff, b':', 0xfe])),
    ];
    let calls = [
        ("PUT", "/pcast/channel"),
        ("GET", "/pcast/channels"),
        ("GET", "/pcast/channel/none"),
        ("GET", "/pcast/channel/%FF"),
        ("DELETE", "/pcast/channel/none"),
        ("GET", "/pcast/channel/none/members"),
        ("PUT", "/pcast/channel/none/fork/none"),
        ("PUT", "/pcast/channel/none/kill"),
        ("PUT", "/pcast/channel/none/message"),
        ("GET", "/pcast/channel/none/messages?limit=x"),
        ("DELETE", "/pcast/channel/none/messages"),
    ];
    for (method, path) in calls {
        let headers: &[(&str, &str)] = &[];
        let answer = bench.call_with(method, path, headers, "{").await;
        assert_eq!(answer.word(), (401, "unauthorized".to_owned()), "{path}");
        assert!(
            answer.headers["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Basic")
        );
        for credentials in &bad {
            let headers = [("authorization", credentials.as_str())];
            let answer = bench.call_with(method, path, &headers, "{").await;
            assert_eq!(answer.word().0, 401, "{path} {credentials}");
        }
        let answer = bench
            .call_with(method, path, &[("authorization", &good)], "{")
            .await;
        assert_ne!(answer.code, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn channels_of_another_application_are_not_there() {
    let bench = bench(|_| {}).await;
    let secret = Secret::new("other-secret");
    bench.store.add_application("other", &secret).await.unwrap();
    let other = basic("other", "other-secret");
    let other = [("authorization", other.as_str())];
    bench.make("mine").await;
    for (method, path) in [
        ("GET", "/pcast/channel/local%23app%23mine"),
        ("GET", "/pcast/channel/mine"),
        ("DELETE", "/pcast/channel/mine"),
        ("GET", "/pcast/channel/mine/members"),
        ("PUT", "/pcast/channel/mine/kill"),
        ("PUT", "/pcast/channel/mine/message"),
        ("GET", "/pcast/channel/mine/messages"),
        ("DELETE", "/pcast/channel/mine/messages"),
    ] {
        let answer = bench.call_with(method, path, &other, "").await;
        assert_eq!(
            answer.word(),
            (404, "not-found".to_owned()),
            "{method} {path}"
        );
    }
    // The same alias and name may be taken again, and neither of both is seen by the other.
    let answer = bench
        .call_with("PUT", "/pcast/channel", &other, new_channel("mine"))
        .await;
    assert_eq!(answer.json()["channel"]["channelId"], "local#other#mine");
    let fork = "/pcast/channel/mine/fork/local%23app%23mine";
    assert_eq!(bench.call_with("PUT", fork, &other, "").await.word().0, 404);
    let list = bench.call_with("GET", "/pcast/channels", &other, "").await;
    assert_eq!(list.json()["channels"].as_array().unwrap().len(), 1);
    assert_eq!(bench.call("GET", "/pcast/channel/mine", "").await.code, 200);
}

#[tokio::test]
async fn ids_are_split_before_they_are_decoded() {
    let bench = bench(|_| {}).await;
    for alias in ["a/b", "a/members", "ä ö", "100%", "a+b", "a%2Fb", "x#y"] {
        let made = bench.make(alias).await;
        let mut escaped = String::new();
        for byte in made["channelId"].as_str().unwrap().bytes() {
            escaped.push_str(&format!("%{byte:02X}"));
        }
        let shown = bench
            .call("GET", &format!("/pcast/channel/{escaped}"), "")
            .await;
        assert_eq!(shown.json()["channel"]["alias"], alias, "{}", shown.text);
        let members = format!("/pcast/channel/{escaped}/members");
        assert_eq!(
            bench.call("GET", &members, "").await.word().0,
            200,
            "{alias}"
        );
        let gone = bench
            .call("DELETE", &format!("/pcast/channel/{escaped}"), "")
            .await;
        assert_eq!(gone.word(), (200, "ok".to_owned()));
    }
    assert_eq!(
        bench.call("GET", "/pcast/channel/%FF", "").await.word().0,
        400
    );
    assert_eq!(
        bench.call("GET", "/pcast/channel/%00", "").await.word().0,
        404
    );
    for path in [
        "/pcast/nothing/here",
        "/pcast/channels/",
        "/pcast/",
        "/pcast",
    ] {
        let answer = bench.call("GET", path, "").await;
        assert_eq!(answer.word(), (404, "not-found".to_owned()), "{path}");
    }
    let answer = bench.call("POST", "/pcast/channel", "").await;
    assert_eq!(answer.word(), (405, "method-not-allowed".to_owned()));
    assert_eq!(answer.headers["allow"], "PUT");
}

#[tokio::test]
async fn what_is_wrong_with_a_new_channel_is_said_by_the_fields_name() {
    let bench = bench(|_| {}).await;
    let with = |field: &str, value: Value| {
        let mut body = new_channel("a");
        body["channel"][field] = value;
        body.to_string()
    };
    let without = |field: &str| {
        let mut body = new_channel("a");
        body["channel"].as_object_mut().unwrap().remove(field);
        body.to_string()
    };
    let ingest = |field: &str, value: Value| with("ingestOptions", json!({field: value}));
    let nested = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for (body, says) in [
        (String::new(), "body is not JSON"),
        ("{".to_owned(), "body is not JSON"),
        ("null".to_owned(), "body is not an object"),
        ("[]".to_owned(), "body is not an object"),
        (nested, "recursion"),
        (r#"{"channel":{},"channel":{}}"#.to_owned(), "twice"),
        ("{}".to_owned(), "channel is missing"),
        (r#"{"channel":1}"#.to_owned(), "channel is not an object"),
        (without("alias"), "channel.alias is missing"),
        (without("name"), "channel.name is missing"),
        (without("description"), "channel.description is missing"),
        (without("options"), "channel.options is missing"),
        (with("alias", json!(1)), "channel.alias is not a text"),
        (with("alias", json!(null)), "channel.alias is not a text"),
        (
            with("alias", json!("a\0b")),
            "channel.alias holds a zero byte",
        ),
        (
            with("alias", json!("a\nb")),
            "channel.alias holds a control",
        ),
        (
            with("alias", json!("a".repeat(257))),
            "channel.alias is longer",
        ),
        (with("name", json!("")), "channel.name is empty"),
        (
            with("description", json!([])),
            "channel.description is not a text",
        ),
        (
            with("description", json!("d".repeat(4097))),
            "channel.description is longer",
        ),
        (
            with("options", json!("x")),
            "channel.options is not an array of texts",
        ),
        (
            with("options", json!([1])),
            "channel.options is not an array of texts",
        ),
        (
            with("options", json!(vec!["x"; 65])),
            "channel.options has more than 64",
        ),
        (
            with("ingestOptions", json!([])),
            "channel.ingestOptions is not an object",
        ),
        (
            ingest("capabilities", json!("hd")),
            "channel.ingestOptions.capabilities is not",
        ),
        (
            ingest("tags", json!([[]])),
            "channel.ingestOptions.tags is not",
        ),
        (
            ingest("screenName", json!(1)),
            "channel.ingestOptions.screenName is not",
        ),
        (
            ingest("maxFps", json!("30")),
            "channel.ingestOptions.maxFps is not",
        ),
        (
            ingest("maxFps", json!(0)),
            "channel.ingestOptions.maxFps is not above 0",
        ),
        (
            ingest("buffer", json!([])),
            "channel.ingestOptions.buffer is neither",
        ),
        (
            with("ingestOptions", json!(null)),
            "channel.ingestOptions is not an object",
        ),
        (
            ingest("tags", json!(null)),
            "channel.ingestOptions.tags is not",
        ),
        (
            ingest("prerollSkipDuration", json!(-1)),
            "prerollSkipDuration is not",
        ),
        (
            ingest("jitterBuffer", json!(true)),
            "jitterBuffer is neither",
        ),
        (
            ingest("sourceUri", json!("http://x/")),
            "channel.ingestOptions.sourceUri is",
        ),
    ] {
        let answer = bench.call("PUT", "/pcast/channel", &body).await;
        assert_eq!(answer.word(), (400, "bad-request".to_owned()), "{body}");
        let reason = answer.reason();
        assert!(reason.contains(says), "{reason} for {body:.200}");
    }
    let huge = with("description", json!("d".repeat(20_000)));
    let answer = bench.call("PUT", "/pcast/channel", huge).await;
    assert_eq!(answer.word(), (413, "too-large".to_owned()));
    assert_eq!(
        bench.store.known_channel_count_of("app"),
        1,
        "nothing was made"
    );
}

#[tokio::test]
async fn alias_and_name_are_unique_and_channels_are_limited() {
    let bench = bench(|setup| setup.max_channels = 3).await;
    bench.make("a").await;
    let same_alias = json!({"channel": {
        "alias": "a", "name": "other", "description": "", "options": []}});
    let same_name = json!({"channel": {
        "alias": "b", "name": "Name of a", "description": "", "options": []}});
    for body in [same_alias, same_name] {
        let answer = bench.call("PUT", "/pcast/channel", body).await;
        assert_eq!(answer.word(), (409, "already-exists".to_owned()));
    }
    let random = bench.make("").await;
    assert!(random["alias"].as_str().unwrap().len() >= 8);
    let answer = bench.call("PUT", "/pcast/channel", new_channel("c")).await;
    assert_eq!(answer.word(), (503, "capacity".to_owned()));
    assert_eq!(answer.headers["retry-after"], "1");
    bench.call("DELETE", "/pcast/channel/a", "").await;
    bench.make("c").await;
}

#[tokio::test]
async fn deleting_ends_what_is_live_and_never_what_the_file_declares() {
    let bench = bench(|_| {}).await;
    bench.make("a").await;
    let gone = bench
        .call("DELETE", "/pcast/channel/local%23app%23a", "")
        .await;
    assert_eq!(gone.word(), (200, "ok".to_owned()));
    let told = std::mem::take(&mut *bench.world.told.lock().unwrap());
    assert_eq!(told, ["stop local#app#a", "close local#app#a"]);
    let again = bench
        .call("DELETE", "/pcast/channel/local%23app%23a", "")
        .await;
    assert_eq!(again.word(), (404, "not-found".to_owned()));

    let words = ["hd".to_owned()];
    let declaration = crate::store::Declaration {
        alias: "declared",
        name: "Declared",
        key: None,
        capabilities: Some(&words),
    };
    let declarations = [declaration];
    let declared = bench
        .store
        .declare_channels("local", "app", &declarations, 9);
    declared.await.unwrap();
    let refused = bench.call("DELETE", "/pcast/channel/declared", "").await;
    assert_eq!(refused.word(), (409, "conflict".to_owned()));
    assert!(
        refused.reason().contains("configuration file"),
        "{}",
        refused.text
    );
    let shown = bench.call("GET", "/pcast/channel/declared", "").await;
    let options = &shown.json()["channel"]["ingestOptions"];
    assert_eq!(*options, json!({"capabilities": ["hd"]}));
    assert!(bench.world.told.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_another_process_deletes_goes_off_the_air_and_what_it_makes_is_pulled() {
    let bench = bench(|_| {}).await;
    let other = bench.elsewhere().await;
    let ingest = IngestOptions {
        source_uri: Some(SourceUri::new("srt://source.example:9000")),
        ..IngestOptions::default()
    };
    let made = |region, alias| Creation {
        region,
        application_id: "app",
        alias,
        name: alias,
        description: "",
        options: &[],
        ingest: Some(&ingest),
    };
    for new in [made("local", "a"), made("eu", "b")] {
        other.create_channel(&new, 9).await.unwrap();
    }
    let told = || std::mem::take(&mut *bench.world.told.lock().unwrap());
    assert_eq!(told(), [""; 0]);
    bench.store.refresh().await.unwrap();
    let pulled = told();
    assert_eq!(
        pulled.len(),
        1,
        "the other region's gateway pulls its own: {pulled:?}"
    );
    assert!(pulled[0].starts_with("pull local#app#a srt://source.example:9000"));
    other.delete_channel("local#app#a").await.unwrap();
    other.delete_channel("local#app#live").await.unwrap();
    bench.store.refresh().await.unwrap();
    let mut ended = told();
    ended.sort();
    let gone = ["close local#app#a", "close local#app#live"];
    assert_eq!(ended[..2], gone);
    assert_eq!(ended[2..], ["stop local#app#a", "stop local#app#live"]);
}

#[tokio::test]
async fn a_source_is_pulled_while_its_channel_is_there_and_its_credentials_are_hidden() {
    let bench = bench(|_| {}).await;
    let mut body = new_channel("pulled");
    let uri = "srt://source.example:9000?streamid=geheim&passphrase=geheim12345";
    body["channel"]["ingestOptions"] = json!({"sourceUri": uri});
    let made = bench.call("PUT", "/pcast/channel", &body).await;
    assert_eq!(made.code, StatusCode::OK, "{}", made.text);
    let list = bench.call("GET", "/pcast/channels", "").await;
    let admin = bench.operate("GET", "/api/admin/channels", "").await;
    for answer in [&made, &list, &admin] {
        assert!(
            answer.text.contains("srt://source.example:9000"),
            "{}",
            answer.text
        );
        assert!(!answer.text.contains("geheim"), "{}", answer.text);
    }
    bench.call("DELETE", "/pcast/channel/pulled", "").await;
    let told = bench.world.told.lock().unwrap().join("\n");
    let first = told.lines().next().unwrap();
    assert!(first.starts_with("pull local#app#pulled srt://source.example:9000"));
    assert!(told.contains("\nstop local#app#pulled"), "{told}");
    body["channel"]["ingestOptions"]["sourceUri"] =
        json!("srt://u:geheim@x:99999?passphrase=geheim1");
    let refused = bench.call("PUT", "/pcast/channel", &body).await;
    assert_eq!(refused.word().0, 400);
    assert!(!refused.text.contains("geheim"), "{}", refused.text);
}
