//! What operators ask: health, readiness, metrics, the API description; and their own address.

use base64::Engine as _;

use super::{KEY, figure, on_air};
use crate::common::encoder::Encoder;
use crate::common::gateway::{Folder, Gateway};
use crate::common::http;

const ADMIN: &str = "AdminKey-0123456789abcdef";
const SECRET: &str = "AppSecret-0123456789abcdef";

async fn status(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> u16 {
    http::request(gateway.http(), "GET", path, headers)
        .await
        .status
}

/// Checks that the text is an exposition: comments, then lines of name, labels, number.
fn check_exposition(text: &str) {
    assert!(
        text.ends_with("# EOF\n"),
        "OpenMetrics 1.0: it ends with EOF"
    );
    let mut described = std::collections::HashSet::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.split(' ');
            if words.next() == Some("TYPE") {
                described.insert(words.next().expect("a name"));
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("name and value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
        assert!(labels.ends_with('}'), "{line}");
        let family = name.strip_suffix("_total").unwrap_or(name);
        assert!(described.contains(family), "{name} has no TYPE");
        assert!(!line.contains(KEY) && !line.contains(ADMIN), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_readiness_are_for_everybody() {
    let folder = Folder::new();
    let gateway = folder.serve(&[]).await;
    for path in ["/healthz", "/readyz"] {
        let answer = http::request(
            gateway.http(),
            "GET",
            path,
            &[("X-Forwarded-For", "192.0.2.1")],
        );
        let answer = answer.await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let ready: serde_json::Value =
        serde_json::from_slice(&gateway.get("/readyz").await.body).unwrap();
    for check in ["store", "listeners", "disk"] {
        assert_eq!(ready["checks"][check], "ok");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_move_while_publishing_and_are_for_operators() {
    let folder = Folder::new();
    let settings = [("FOREBAY_STREAM_KEY", KEY), ("FOREBAY_ADMIN_KEY", ADMIN)];
    let gateway = folder.serve(&settings).await;
    let (mut encoder, _, _) = on_air(&gateway, KEY).await;
    let metrics = gateway.get("/metrics").await;
    let kind = metrics.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    check_exposition(metrics.text());
    assert_eq!(figure(metrics.text(), "forebay_publishers"), Some(1.0));
    assert!(
        metrics
            .text()
            .contains("channel=\"local#forebay#live\",proto=\"rtmp\"")
    );
    for _ in 0..4 {
        encoder.lap().await.unwrap();
    }
    let rising = [
        "forebay_ingest_bytes_total",
        "forebay_ingest_units_total",
        "forebay_window_seconds",
        "forebay_requests_total",
        "forebay_sent_bytes_total",
    ];
    gateway
        .until("rise of all figures", async || {
            let id = gateway.stream_id().await;
            gateway.get(&format!("/hls/{id}/index.m3u8")).await;
            let now = gateway.get("/metrics").await;
            let rises = |name: &&str| {
                let read = |text| figure(text, name).unwrap_or_else(|| panic!("no {name}"));
                read(now.text()) > read(metrics.text())
            };
            rising.iter().all(rises).then_some(())
        })
        .await;

    let elsewhere = ("X-Forwarded-For", "192.0.2.1");
    let bearer = format!("Bearer {ADMIN}");
    for (headers, expected) in [
        (&[elsewhere][..], 401),
        (&[elsewhere, ("X-Admin-Key", "wrong")], 401),
        (&[elsewhere, ("X-Admin-Key", "")], 401),
        (&[elsewhere, ("X-Admin-Key", ADMIN)], 200),
        (&[elsewhere, ("Authorization", &bearer)], 200),
        (&[("Via", "1.1 proxy")], 401),
    ] {
        assert_eq!(
            status(&gateway, "/metrics", headers).await,
            expected,
            "{headers:?}"
        );
    }
    encoder.finish().await;
    let left = async || {
        let metrics = gateway.get("/metrics").await;
        (figure(metrics.text(), "forebay_publishers")? == 0.0).then_some(())
    };
    gateway.until("end of the publisher", left).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_primary_and_backup_and_gives_the_air_to_the_backup() {
    let folder = Folder::new();
    let settings = [
        ("FOREBAY_STREAM_KEY", KEY),
        ("FOREBAY_ADMIN_KEY", ADMIN),
        // Neither is silent between two questions, on a slow machine either.
        ("FOREBAY_SILENCE_MS", "10000"),
    ];
    let gateway = folder.serve(&settings).await;
    let (mut primary, id, _) = on_air(&gateway, KEY).await;
    let mut backup = Encoder::start(gateway.rtmp(), KEY).await.unwrap();
    let key = [("X-Admin-Key", ADMIN)];
    let path = format!("/api/admin/streams/{id}");
    let stream = async || -> serde_json::Value {
        let answer = http::request(gateway.http(), "GET", &path, &key).await;
        assert_eq!(answer.status, 200);
        serde_json::from_slice(&answer.body).unwrap()
    };
    // Both send all the time; a silent one could not be given the air.
    let mut send = async || {
        primary.lap().await.unwrap();
        backup.lap().await.unwrap();
    };
    send().await;
    let both = gateway
        .until("primary and backup", async || {
            let now = stream().await;
            now["publishers"][1]["video"]["width"].as_u64()?;
            Some(now)
        })
        .await;
    assert_eq!(both["state"], "on-air");
    let publishers = [&both["publishers"][0], &both["publishers"][1]];
    for (publisher, (state, reason)) in publishers.into_iter().zip([
        ("on-air", "it came first"),
        ("standby", "another publisher is on air"),
    ]) {
        assert_eq!(publisher["state"], state);
        assert_eq!(publisher["reason"], reason);
        assert_eq!(publisher["video"]["width"], 320);
    }

    send().await;
    let verb = format!("{path}/switch");
    let body = r#"{"publisher": 1}"#;
    let switched = http::send(gateway.http(), "POST", &verb, &key, body).await;
    assert_eq!(switched.status, 200, "{}", switched.text());
    send().await;
    let after = gateway
        .until("backup on air", async || {
            let now = stream().await;
            let on_air = now["publishers"][1]["onAir"] == true;
            on_air.then_some(now)
        })
        .await;
    assert_eq!(after["publishers"][1]["reason"], "switched by hand");
    let history = after["history"].as_array().unwrap();
    let kinds: Vec<_> = history.iter().map(|entry| &entry["kind"]).collect();
    assert_eq!(kinds[..4], ["opened", "on-air", "standing-by", "switched"]);
    let metrics = gateway.get("/metrics").await;
    assert_eq!(figure(metrics.text(), "forebay_switches_total"), Some(1.0));
    assert_eq!(figure(metrics.text(), "forebay_members"), Some(2.0));
    gateway
        .until("sample of its own texts", async || {
            let found = gateway.get("/health/conformance").await;
            let found: serde_json::Value = serde_json::from_slice(&found.body).unwrap();
            (found["samples"].as_u64()? > 0).then_some(())
        })
        .await;
    primary.finish().await;
    backup.finish().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_routes_move_to_their_own_address() {
    let folder = Folder::new();
    let settings = [
        ("FOREBAY_CONTROL", "127.0.0.1:0"),
        ("FOREBAY_STREAM_KEY", KEY),
        ("FOREBAY_ADMIN_KEY", ADMIN),
    ];
    let gateway = folder.serve(&settings).await;
    let control = gateway.console();
    assert_ne!(control, gateway.http());
    let (encoder, id, newest) = on_air(&gateway, KEY).await;
    for path in [
        "/metrics",
        "/health/conformance",
        "/openapi.json",
        "/docs",
        "/healthz",
        "/readyz",
    ] {
        assert_eq!(http::get(control, path).await.status, 200, "{path}");
    }
    for path in [
        "/metrics",
        "/health/conformance",
        "/api/admin/streams",
        "/openapi.json",
        "/docs",
    ] {
        let headers = [("X-Admin-Key", ADMIN)];
        assert_eq!(status(&gateway, path, &headers).await, 404, "{path}");
    }
    assert_eq!(gateway.get("/healthz").await.status, 200);
    let home = gateway.get("/").await;
    assert_eq!((home.status, home.header("location")), (307, Some("/live")));
    let console = http::get(control, "/").await;
    assert!(console.status == 200 && console.text().contains("/assets/console.js"));
    assert_eq!(http::get(control, "/assets/console.js").await.status, 200);
    assert_eq!(http::get(control, "/live").await.status, 404);
    let session = http::get(control, "/api/admin/session").await;
    assert_eq!(session.text(), r#"{"signedIn":false}"#);
    assert_eq!(status(&gateway, "/api/admin/session", &[]).await, 404);
    for file in ["index.m3u8".to_owned(), format!("source/{newest}.m4s")] {
        let path = format!("/hls/{id}/{file}");
        assert_eq!(gateway.get(&path).await.status, 200, "{path}");
        let there = http::get(control, &path).await.status;
        assert!(
            [401, 403, 404].contains(&there),
            "{path} plays on the operators' address"
        );
    }
    encoder.finish().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_description_lists_routes_that_exist() {
    let folder = Folder::new();
    let settings = [
        ("FOREBAY_STREAM_KEY", KEY),
        ("FOREBAY_ADMIN_KEY", ADMIN),
        ("FOREBAY_APPLICATION_SECRET", SECRET),
    ];
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("forebay:{SECRET}"));
    let basic = format!("Basic {basic}");
    let gateway = folder.serve(&settings).await;
    let (encoder, id, newest) = on_air(&gateway, KEY).await;
    let document = gateway.get("/openapi.json").await;
    let document: serde_json::Value = serde_json::from_slice(&document.body).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 10);
    let all = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, description)| (path, method.to_uppercase(), description))
    });
    // What is looked at is there; what a verb took away is not.
    let (looks, verbs): (Vec<_>, Vec<_>) = all.partition(|(_, method, _)| method == "GET");
    for (path, method, description) in looks.into_iter().chain(verbs) {
        // Applications have webhooks where they are there; the other one is made by no test.
        let application = match path.contains("/webhooks") {
            true => "forebay",
            false => "other",
        };
        let real = path
            .replace("{streamId}", &id)
            .replace("{recordingId}", &id)
            .replace("{rendition}", "source")
            .replace("{file}", &format!("{newest}.m4s"))
            .replace("{channelId}", "local%23forebay%23live")
            .replace("{sourceChannelId}", "local%23forebay%23other")
            .replace("{applicationId}", application)
            .replace("{manifest}", "live.m3u8");
        let answers = &description["responses"];
        if answers["200"]["content"].get("text/event-stream").is_some() {
            // Such an answer has no end.
            continue;
        }
        let keys: &[_] = match path.starts_with("/pcast") {
            true => &[("Authorization", basic.as_str())],
            false => &[("X-Admin-Key", ADMIN)],
        };
        let answer = http::request(gateway.http(), &method, &real, keys).await;
        let code = answer.status;
        let known = answers.get(code.to_string());
        assert!(known.is_some(), "{method} {real}: {code} is not described");
        // The ladder makes the pictures, and it is off here; nothing is recorded; a verb is refused
        // without a body.
        let is_there = !path.contains("/thumb") && !path.contains("{recordingId}");
        // What tenants, users and clients of LiveKit have has tests of its own.
        let of_tenants = ["/api/", "/ws/", "/uploads/", "/rtc"]
            .iter()
            .any(|start| path.starts_with(start));
        let of_tenants = of_tenants && !path.starts_with("/api/admin/") || path.contains("{id}");
        let is_there = is_there && !of_tenants;
        if is_there && method == "GET" {
            assert!(code < 400, "{method} {real}: {code}");
        }
    }
    encoder.finish().await;
    gateway.stop().await;
}
