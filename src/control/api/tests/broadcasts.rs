//! SDK clients, broadcasts and sessions.

use std::time::Duration;

use super::*;
use crate::control::Lifecycle;

#[tokio::test]
async fn a_registered_client_can_use_its_key_and_only_an_operator_registers() {
    let bench = clients().await;
    let path = "/api/admin/sdk-clients";
    let body = json!({"name": "App", "website": "", "contactEmail": "a@example.org",
        "expectedApps": "1-5", "agreeTerms": true, "agreeMarketing": false, "contactPhone": null});
    assert_eq!(bench.api("POST", path, &NOBODY, &body).await.0, 401);
    let (code, client) = bench.api("POST", path, &OPERATOR, &body).await;
    assert_eq!((code, &client["success"]), (200, &json!(true)));
    for (field, prefix) in [("apiKey", "pk_"), ("secretKey", "sk_")] {
        let rest = client[field]
            .as_str()
            .unwrap()
            .strip_prefix(prefix)
            .unwrap();
        assert_eq!(rest.len(), 32);
        assert!(rest.bytes().all(|byte| b"0123456789ABCDEF".contains(&byte)));
    }
    let key = [("x-api-key", client["apiKey"].as_str().unwrap())];
    let (code, sessions) = bench.api("GET", "/api/v1/sessions", &key, "").await;
    assert_eq!((code, sessions), (200, json!([])));
    for field in ["name", "contactEmail", "agreeTerms"] {
        let mut without = body.clone();
        without.as_object_mut().unwrap().remove(field);
        let (code, refusal) = bench.api("POST", path, &OPERATOR, without).await;
        assert_eq!((code, &refusal["error"]), (400, &json!(true)), "{field}");
    }
}

#[tokio::test]
async fn open_registration_needs_no_key_and_is_limited_by_address() {
    let bench = bench(|setup| setup.open_registration = true).await;
    let body = json!({"name": "App", "contactEmail": "a@example.org", "agreeTerms": true});
    let register = || bench.api("POST", "/api/admin/sdk-clients", &NOBODY, &body);
    for _ in 0..10 {
        assert_eq!(register().await.0, 200);
    }
    assert_eq!(register().await.0, 429);
}

#[tokio::test]
async fn a_created_broadcast_is_what_the_contract_shows_and_its_key_is_live() {
    let bench = clients().await;
    let body = json!({"title": "My <b>Stream</b>", "description": null, "visibility": "public",
        "tags": ["a"], "metadata": {"k": "v", "n": 1}});
    let (code, made) = bench.api("POST", "/api/broadcasts", &KEY, body).await;
    assert_eq!(code, 200, "{made}");
    let stream = made["streamId"].as_str().unwrap();
    assert_ne!(made["id"], made["streamId"]);
    assert_eq!(made["title"], "My <b>Stream</b>");
    assert_eq!(made["description"], Value::Null);
    assert_eq!(made["status"], "created");
    assert_eq!(made["shortId"], "r1");
    assert_eq!(made["metadata"], json!({"k": "v", "n": 1}));
    assert_eq!(made["rtmpUrl"], "rtmp://media.example/live");
    let base = "http://media.example:8080";
    assert_eq!(made["hlsUrl"], format!("{base}/hls/{stream}/index.m3u8"));
    assert_eq!(made["watchUrl"], format!("{base}/streams/{stream}/watch"));
    assert_eq!(made["createdAt"], "2026-09-21T14:13:20Z");
    let key = made["streamKey"].as_str().unwrap();
    assert_eq!(key.len(), 32);
    let channel = bench.store.known_key(key).unwrap();
    assert_eq!(channel.application_id, "one");
    for body in [
        "{}",
        "[]",
        "",
        "{\"title\":\"\"}",
        "{\"title\":7}",
        "{\"title\":\"a\\u0000\"}",
    ] {
        let (code, _) = bench.api("POST", "/api/broadcasts", &KEY, body).await;
        assert_eq!(code, 400, "{body}");
    }
    let wrong = [("x-api-key", "pk_wrong")];
    let (code, refusal) = bench.api("POST", "/api/broadcasts", &wrong, "{}").await;
    assert_eq!((code, &refusal["reason"]), (401, &json!("Invalid API key")));
}

#[tokio::test]
async fn a_broadcast_is_listed_while_active_and_its_key_dies_with_it() {
    let bench = clients().await;
    let made = bench.broadcast("one").await;
    let id = made["id"].as_str().unwrap();
    let list = || bench.api("GET", "/api/broadcasts", &NOBODY, "");
    let status = format!("/api/broadcasts/{id}/status");
    let set = |word: &str| {
        let body = json!({ "status": word });
        let (bench, status) = (&bench, &status);
        async move { bench.api("POST", status, &KEY, body).await.0 }
    };
    assert_eq!(list().await.1, json!([]));
    assert_eq!(set("pending").await, 200);
    assert_eq!(set("live").await, 400);
    assert_eq!(set("active").await, 200);
    let listed = list().await.1;
    assert_eq!(listed[0]["id"], id);
    assert!(listed[0].get("streamKey").is_none() && listed[0].get("rtmpUrl").is_none());
    assert!(listed[0]["startedAt"].is_string());
    assert_eq!(set("created").await, 409);
    assert_eq!(set("completed").await, 200);
    assert_eq!(set("completed").await, 200);
    assert_eq!(set("active").await, 409);
    assert_eq!(list().await.1, json!([]));
    assert!(
        bench
            .store
            .known_key(made["streamKey"].as_str().unwrap())
            .is_none()
    );
    let finished = format!("finish local#one#{id}");
    assert!(bench.world.told.lock().unwrap().contains(&finished));
}

#[tokio::test]
async fn heartbeat_and_viewer_count_take_any_id_and_refuse_what_is_no_count() {
    let bench = clients().await;
    let made = bench.broadcast("one").await;
    for id in [&made["id"], &made["streamId"], &json!("r1")] {
        let id = id.as_str().unwrap();
        let beat = format!("/api/sessions/{id}/heartbeat");
        assert_eq!(bench.api("POST", &beat, &KEY, "").await.0, 200);
        let count = format!("/api/broadcasts/{id}/viewer-count");
        let body = json!({"viewerCount": 5});
        assert_eq!(bench.api("POST", &count, &KEY, body).await.0, 200);
        for wrong in ["-1", "1.5", "\"1\"", "null", "99999999999"] {
            let body = format!("{{\"viewerCount\":{wrong}}}");
            assert_eq!(
                bench.api("POST", &count, &KEY, body).await.0,
                400,
                "{wrong}"
            );
        }
        let (_, shown) = bench
            .api("GET", &format!("/api/broadcasts/{id}"), &KEY, "")
            .await;
        assert_eq!(
            (&shown["viewerCount"], &shown["measuredViewers"]),
            (&json!(5), &json!(3))
        );
    }
    let unknown = "/api/sessions/r99/heartbeat";
    assert_eq!(bench.api("POST", unknown, &KEY, "").await.0, 404);
}

#[tokio::test]
async fn another_tenants_broadcast_is_not_there_and_strangers_may_not_change_it() {
    let bench = clients().await;
    let made = bench.broadcast("one").await;
    let id = made["id"].as_str().unwrap();
    for (method, path, body) in [
        ("GET", format!("/api/broadcasts/{id}"), json!({})),
        (
            "POST",
            format!("/api/broadcasts/{id}/status"),
            json!({"status": "active"}),
        ),
        (
            "POST",
            format!("/api/broadcasts/{id}/viewer-count"),
            json!({"viewerCount": 1}),
        ),
        ("POST", format!("/api/sessions/{id}/heartbeat"), json!({})),
        (
            "PATCH",
            format!("/api/v1/sessions/{id}"),
            json!({"title": "x"}),
        ),
    ] {
        let (code, _) = bench.api(method, &path, &OTHER_KEY, &body).await;
        assert_eq!(code, 404, "{method} {path}");
        if method != "GET" {
            assert_eq!(
                bench.api(method, &path, &NOBODY, &body).await.0,
                401,
                "{path}"
            );
        }
    }
    let path = format!("/api/broadcasts/{id}");
    let (code, shown) = bench.api("GET", &path, &NOBODY, "").await;
    assert_eq!(code, 200);
    assert!(shown.get("streamKey").is_none());
    let (_, shown) = bench.api("GET", &path, &KEY, "").await;
    assert_eq!(shown["streamKey"], made["streamKey"]);
    let (_, sessions) = bench.api("GET", "/api/v1/sessions", &OTHER_KEY, "").await;
    assert_eq!(sessions, json!([]));
}

#[tokio::test]
async fn a_session_is_changed_by_patch_and_put_and_keeps_what_is_not_named() {
    let bench = clients().await;
    let body = json!({"title": "one", "description": "text"});
    let (code, made) = bench.api("POST", "/api/v1/sessions", &KEY, body).await;
    assert_eq!(code, 200);
    let path = format!("/api/v1/sessions/{}", made["id"].as_str().unwrap());
    let body = json!({"status": "active", "metadata": {"a": "b"}});
    let (code, changed) = bench.api("PATCH", &path, &KEY, body).await;
    assert_eq!((code, &changed["status"]), (200, &json!("active")));
    let (code, changed) = bench.api("PUT", &path, &KEY, json!({"tags": ["t"]})).await;
    assert_eq!(code, 200);
    assert_eq!(changed["metadata"], json!({"a": "b"}));
    assert_eq!(changed["description"], "text");
    assert_eq!(changed["tags"], json!(["t"]));
    assert_eq!(
        bench.api("PUT", &path, &KEY, json!({"tags": "t"})).await.0,
        400
    );
    assert_eq!(bench.api("PATCH", &path, &NOBODY, "{}").await.0, 401);
}

#[tokio::test]
async fn strangers_may_make_ten_broadcasts_an_hour_that_can_do_little() {
    let bench = clients().await;
    let make = || bench.api("POST", "/api/broadcasts", &NOBODY, json!({"title": "a"}));
    let (code, made) = make().await;
    assert_eq!(code, 200);
    let channel = bench
        .store
        .known_key(made["streamKey"].as_str().unwrap())
        .unwrap();
    assert_eq!(channel.application_id, "app");
    assert_eq!(channel.capabilities.as_ref().unwrap()[0], "sd");
    let path = format!("/api/broadcasts/{}/status", made["id"].as_str().unwrap());
    let (code, _) = bench
        .api("POST", &path, &NOBODY, json!({"status": "active"}))
        .await;
    assert_eq!(code, 200, "it follows its id");
    assert_eq!(bench.api("POST", &path, &KEY, "{}").await.0, 404);
    let shown = format!("/api/broadcasts/{}", made["id"].as_str().unwrap());
    let (code, shown) = bench.api("GET", &shown, &KEY, "").await;
    assert_eq!((code, &shown["status"]), (200, &json!("active")));
    assert!(shown.get("streamKey").is_none());
    for _ in 1..10 {
        assert_eq!(make().await.0, 200);
    }
    assert_eq!(make().await.0, 429);
    bench.clock.advance(Duration::from_secs(3600));
    assert_eq!(make().await.0, 200);
}

#[tokio::test]
async fn what_is_private_and_follows_its_id_is_not_found_by_counting() {
    let bench = clients().await;
    let body = json!({"title": "a", "visibility": "private"});
    let (_, made) = bench.api("POST", "/api/broadcasts", &NOBODY, body).await;
    let active = json!({"status": "active"});
    let [short, long, stream] = ["shortId", "id", "streamId"].map(|name| {
        let id = made[name].as_str().unwrap();
        format!("/api/broadcasts/{id}")
    });
    for caller in [&NOBODY[..], &KEY] {
        assert_eq!(bench.api("GET", &short, caller, "").await.0, 404);
        assert_eq!(bench.api("GET", &long, caller, "").await.0, 200);
        assert_eq!(bench.api("GET", &stream, caller, "").await.0, 200);
    }
    let status = format!("{short}/status");
    assert_eq!(bench.api("POST", &status, &NOBODY, &active).await.0, 404);
    assert_eq!(bench.api("GET", &short, &OPERATOR, "").await.0, 200);
    let status = format!("{long}/status");
    assert_eq!(bench.api("POST", &status, &NOBODY, &active).await.0, 200);
}

#[tokio::test]
async fn who_signs_up_makes_a_hundred_broadcasts_an_hour_without_a_key_and_takes_no_more_channels()
{
    let bench = clients().await;
    let (jane, john) = (
        person(&bench, "jane", "").await,
        person(&bench, "john", "").await,
    );
    let make = async |person: &Person| {
        let body = json!({"title": "a"});
        person.call(&bench, "POST /api/broadcasts", body).await.0
    };
    for _ in 0..50 {
        assert_eq!((make(&jane).await, make(&john).await), (200, 200));
    }
    assert_eq!((make(&jane).await, make(&john).await), (429, 429));
    // A key has its own limit, and its client answers for whom it lets in.
    let key = "x-api-key: pk_one";
    let jo = person_of(&bench, &[key], "jo", "").await;
    let body = json!({"title": "a"});
    let made = call(&bench, "POST /api/broadcasts", &[key, &jo.token], body).await;
    assert_eq!(made.0, 200);
    bench.clock.advance(Duration::from_secs(3600));
    assert_eq!(make(&jane).await, 200);
}

#[tokio::test]
async fn a_setting_forbids_broadcasts_without_credentials() {
    let bench = bench(|setup| setup.anonymous_broadcasts = false).await;
    let (code, _) = bench
        .api("POST", "/api/broadcasts", &NOBODY, json!({"title": "a"}))
        .await;
    assert_eq!(code, 401);
}

#[tokio::test]
async fn an_active_broadcast_without_heartbeat_and_media_fails_after_ninety_seconds() {
    let bench = clients().await;
    let live = bench.world.clone();
    let clock = bench.clock.clone();
    let keeper = Lifecycle::new(bench.store.clone(), live, "local".to_owned(), clock);
    let mut ids = Vec::new();
    for title in ["silent", "beating", "fed"] {
        let made = bench.broadcast(title).await;
        let id = made["id"].as_str().unwrap().to_owned();
        let path = format!("/api/broadcasts/{id}/status");
        bench
            .api("POST", &path, &KEY, json!({"status": "active"}))
            .await;
        ids.push(id);
    }
    bench.list_on_air(&format!("local#one#{}", ids[2]));
    for _ in 0..4 {
        bench.clock.advance(Duration::from_secs(30));
        let path = format!("/api/sessions/{}/heartbeat", ids[1]);
        bench.api("POST", &path, &KEY, "").await;
        keeper.look().await.unwrap();
    }
    for (id, status) in ids.iter().zip(["error", "active", "active"]) {
        let (_, shown) = bench
            .api("GET", &format!("/api/broadcasts/{id}"), &KEY, "")
            .await;
        assert_eq!(shown["status"], status);
    }
    let finished = format!("finish local#one#{}", ids[0]);
    assert!(bench.world.told.lock().unwrap().contains(&finished));
}
