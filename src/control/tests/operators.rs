//! What operators see of streams, and what they may do.

use super::*;

fn found() -> Conformance {
    Conformance {
        samples: 12,
        rules: [("P5", 2)].into(),
        newest: [Violation {
            at: NOW,
            stream: Uuid::nil(),
            file: "source/index.m3u8".to_owned(),
            rule: "P5",
            detail: "listed parts of 7 changed".to_owned(),
        }]
        .into(),
    }
}

#[tokio::test]
async fn conformance_is_told_to_operators_and_callers_on_this_machine() {
    let bench = bench(|_| {}).await;
    let path = "/health/conformance";
    let (code, _, _) = bench.ask(path, "192.0.2.1:5000", &[]).await;
    assert_eq!(code, StatusCode::UNAUTHORIZED);
    let (code, _, body) = bench.get(path).await;
    assert_eq!(code, StatusCode::OK);
    let none = r#"{"newest":[],"rules":{},"samples":0,"status":"ok"}"#;
    assert_eq!(body, none);
    *bench.world.found.lock().unwrap() = found();
    let (_, body) = bench.operator(path).await;
    assert_eq!(
        body,
        serde_json::json!({
            "status": "violations",
            "samples": 12,
            "rules": {"P5": 2},
            "newest": [{
                "atUnixMs": NOW.unix_millis(),
                "streamId": Uuid::nil().to_string(),
                "file": "source/index.m3u8",
                "rule": "P5",
                "detail": "listed parts of 7 changed",
            }],
        })
    );
}

pub(super) fn health(id: Uuid, alias: &str) -> Health {
    Health {
        id,
        channel_id: format!("local#app#{alias}"),
        alias: alias.to_owned(),
        capabilities: vec!["hd".to_owned(), "unheard-of".to_owned()],
        tags: vec!["vip".to_owned()],
        state: story::State::Hole(story::Cover::Slate),
        since: NOW,
        members: vec![MemberStatus {
            id: 1,
            proto: "rtmp",
            peer: "192.0.2.7:50000".parse().unwrap(),
            ignored_capabilities: vec!["sd".to_owned()],
            on_air: true,
            standing: Standing::Silent,
            reason: "nothing came for 3.1 s".to_owned(),
            facts: Facts {
                encoder: Some("OBS 30".to_owned()),
                bitrate_bps: 4_000_000.4,
                frame_rate: 29.9704,
                lag_seconds: 0.2504,
                stalls: 1,
                stall_seconds: 3.1,
                ..Facts::default()
            },
            findings: vec![Finding {
                code: "silent",
                severity: Severity::Error,
                text: "Nothing.".to_owned(),
                remedy: "Settings.".to_owned(),
            }],
        }],
        history: vec![Incident {
            at: NOW,
            kind: "opened",
            text: "The stream began.".to_owned(),
        }],
        repairs: Repairs {
            time_jumps: 2,
            ..Repairs::default()
        },
    }
}

#[tokio::test]
async fn operators_see_publishers_findings_and_history_of_every_stream() {
    let bench = bench(|_| {}).await;
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    *bench.world.health.lock().unwrap() = vec![health(one, "stage"), health(two, "live")];
    let (code, list) = bench.operator("/api/admin/streams").await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(list[0]["alias"], "live", "by alias");
    let (code, stage) = bench.operator(&format!("/api/admin/streams/{one}")).await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(list[1], stage);
    assert_eq!(
        stage,
        serde_json::json!({
            "streamId": one.to_string(),
            "channelId": "local#app#stage",
            "alias": "stage",
            "current": false,
            "capabilities": ["hd", "unheard-of"],
            "tags": ["vip"],
            "state": "hole",
            "cover": "slate",
            "sinceUnixMs": NOW.unix_millis(),
            "viewers": 3,
            "hasThumbnail": true,
            "forwards": [],
            "publishers": [{
                "id": 1,
                "proto": "rtmp",
                "peer": "192.0.2.7:50000",
                "encoder": "OBS 30",
                "ignoredCapabilities": ["sd"],
                "state": "silent",
                "onAir": true,
                "reason": "nothing came for 3.1 s",
                "bitrateBps": 4_000_000,
                "frameRate": 29.97,
                "delayMs": 250,
                "keyIntervalMs": null,
                "stalls": 1,
                "stallMs": 3_100,
                "driftPpm": null,
                "link": null,
                "video": null,
                "audio": null,
            }],
            "findings": [{
                "publisher": 1,
                "code": "silent",
                "severity": "error",
                "text": "Nothing.",
                "remedy": "Settings.",
            }],
            "rungs": [{"name": "sd", "lagMs": 125, "speed": 1.0}],
            "repairs": {
                "timeJumps": 2,
                "overlappingFrames": 0,
                "silentFrames": 0,
                "droppedUnits": 0,
                "longGops": 0,
            },
            "history": [{
                "atUnixMs": NOW.unix_millis(),
                "kind": "opened",
                "text": "The stream began.",
            }],
        })
    );
    for unknown in [Uuid::from_u128(3).to_string(), "live".to_owned()] {
        let (code, body) = bench
            .operator(&format!("/api/admin/streams/{unknown}"))
            .await;
        assert_eq!(code, StatusCode::NOT_FOUND);
        assert_eq!(body, serde_json::json!({"status": "not-found"}));
    }
}

#[tokio::test]
async fn operators_see_what_players_get_and_what_a_fork_shows() {
    let bench = bench(|_| {}).await;
    let (live, other) = (bench.put_on_air(&["hd"]), Uuid::from_u128(2));
    *bench.world.health.lock().unwrap() = vec![health(live, "live"), health(other, "live")];
    *bench.world.fork.lock().unwrap() = Some((live, other));
    for (id, current, origin) in [
        (live, true, serde_json::json!(other.to_string())),
        (other, false, serde_json::Value::Null),
    ] {
        let (_, stream) = bench.operator(&format!("/api/admin/streams/{id}")).await;
        assert_eq!(stream["current"], current);
        assert_eq!(stream["originStreamId"], origin);
    }
}

#[tokio::test]
async fn operators_see_the_line_of_a_publisher_whose_transport_measures_it() {
    let bench = bench(|_| {}).await;
    let id = Uuid::from_u128(1);
    let mut health = health(id, "live");
    health.members[0].proto = "srt";
    health.members[0].facts.link = Some(Link {
        rtt: Duration::from_micros(42_460),
        latency: Duration::from_millis(250),
        buffer: Duration::from_micros(198_700),
        packets: 14_000,
        lost_packets: 200,
        retransmitted_packets: 150,
        dropped_packets: 50,
        undecrypted_packets: 1,
        encrypted: true,
    });
    *bench.world.health.lock().unwrap() = vec![health];
    let (_, stream) = bench.operator(&format!("/api/admin/streams/{id}")).await;
    let (_, list) = bench.operator("/api/admin/streams").await;
    assert_eq!(list[0], stream);
    assert_eq!(
        stream["publishers"][0]["link"],
        serde_json::json!({
            "rttMs": 42.5,
            "latencyMs": 250,
            "bufferMs": 199,
            "packets": 14_000,
            "lostPackets": 200,
            "retransmittedPackets": 150,
            "droppedPackets": 50,
            "undecryptedPackets": 1,
            "encrypted": true,
        })
    );
}

#[tokio::test]
async fn the_air_is_given_to_another_publisher_by_hand() {
    let bench = bench(|_| {}).await;
    let id = Uuid::from_u128(1);
    *bench.world.health.lock().unwrap() = vec![health(id, "live")];
    let path = format!("/api/admin/streams/{id}/switch");
    let (code, body) = bench.post(&path, r#"{"publisher": 1}"#).await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(body, serde_json::json!({"status": "ok"}));
    assert_eq!(*bench.world.switched.lock().unwrap(), [(id, 1)]);

    for (body, code, status, reason) in [
        (
            r#"{"publisher": 0}"#,
            409,
            "conflict",
            "publisher 0 is on air already",
        ),
        (
            r#"{"publisher": 2}"#,
            409,
            "conflict",
            "publisher 2 is silent",
        ),
        (
            r#"{"publisher": 9}"#,
            404,
            "not-found",
            "the stream has no publisher 9",
        ),
    ] {
        let (answered, body) = bench.post(&path, body).await;
        assert_eq!(answered.as_u16(), code);
        let expected = serde_json::json!({"status": status, "reason": reason});
        assert_eq!(body, expected);
    }
    for body in ["", "1", r#"{"publisher": "1"}"#, r#"{"publisher": -1}"#] {
        let (code, _) = bench.post(&path, body).await;
        assert_eq!(code, StatusCode::BAD_REQUEST, "{body}");
    }
    let large = Request::post(&path).header("x-admin-key", "admin-key");
    let large = large.body(Body::from(" ".repeat(17 << 10))).unwrap();
    let (code, _, _) = bench.send(large, "192.0.2.1:5000").await;
    assert_eq!(code, StatusCode::PAYLOAD_TOO_LARGE);
    let unknown = format!("/api/admin/streams/{}/switch", Uuid::from_u128(2));
    let (code, _) = bench.post(&unknown, r#"{"publisher": 1}"#).await;
    assert_eq!(code, StatusCode::NOT_FOUND);
    assert_eq!(bench.world.switched.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_admin_api_is_for_the_admin_key_only() {
    let bench = bench(|setup| setup.own_address = true).await;
    let id = Uuid::from_u128(1);
    *bench.world.health.lock().unwrap() = vec![health(id, "live")];
    let stream = format!("/api/admin/streams/{id}");
    for path in ["/api/admin/streams", &stream] {
        let (code, _, body) = bench.get(path).await;
        assert_eq!(code, StatusCode::UNAUTHORIZED);
        assert_eq!(body, r#"{"status":"unauthorized"}"#);
    }
    let request = Request::post(format!("{stream}/switch"));
    let request = request.body(Body::from(r#"{"publisher": 1}"#)).unwrap();
    let (code, _, _) = bench.send(request, "127.0.0.1:5000").await;
    assert_eq!(code, StatusCode::UNAUTHORIZED);
    assert_eq!(*bench.world.switched.lock().unwrap(), []);
}

#[tokio::test]
async fn metrics_are_for_operators_and_callers_on_this_machine() {
    let bench_one = bench(|_| {}).await;
    let remote = "192.0.2.1:5000";
    let local = "127.0.0.1:5000";
    let ask = |peer: &'static str, headers: Vec<(&'static str, &'static str)>| {
        let bench = &bench_one;
        async move { bench.ask("/metrics", peer, &headers).await.0 }
    };
    assert_eq!(ask(remote, vec![]).await, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(local, vec![]).await, StatusCode::OK);
    assert_eq!(ask("[::ffff:127.0.0.1]:1", vec![]).await, StatusCode::OK);
    let forwarded = vec![("x-forwarded-for", "192.0.2.1")];
    assert_eq!(ask(local, forwarded).await, StatusCode::UNAUTHORIZED);
    let key = vec![("x-admin-key", "admin-key")];
    assert_eq!(ask(remote, key).await, StatusCode::OK);
    let bearer = vec![("authorization", "bearer admin-key")];
    assert_eq!(ask(remote, bearer).await, StatusCode::OK);
    let wrong = vec![("x-admin-key", "admin-kez"), ("authorization", "Bearer x")];
    assert_eq!(ask(remote, wrong).await, StatusCode::UNAUTHORIZED);
    let own = bench(|setup| setup.own_address = true).await;
    assert_eq!(own.ask("/metrics", remote, &[]).await.0, StatusCode::OK);
}

#[tokio::test]
async fn metrics_hold_the_figures_of_every_stream_and_rung() {
    let bench = bench(|_| {}).await;
    *bench.world.measured.lock().unwrap() = Measured {
        streams: vec![StreamStats {
            channel: "local#app#li\"ve".to_owned(),
            proto: "rtmp",
            publishers: 2,
            ingest_bytes: 1_000,
            on_air: 1,
            silent: 1,
            switches: 4,
            stall_seconds: 2.5,
            drift_seconds: -0.25,
            sent_bytes: u64::MAX,
            links: vec![LinkStats {
                place: 3,
                proto: "srt",
                rtt_seconds: 0.0425,
                latency_seconds: 0.25,
                buffer_seconds: 0.2,
                packets: 14_000,
                lost_packets: 200,
                retransmitted_packets: 150,
                dropped_packets: 50,
                undecrypted_packets: 1,
            }],
            rungs: vec![RungStats {
                rung: "sd".to_owned(),
                lag_seconds: 0.125,
                speed_ratio: 1.0,
                units: 7,
            }],
            ..StreamStats::default()
        }],
        connections: vec![Connections {
            proto: "http",
            open: 9,
        }],
        listeners: vec![ListenerStats {
            proto: "srt",
            connections: 8,
            received_bytes: 1_000_000,
            publishes: vec![("refused", 3), ("accepted", 5)],
            dropped_units: 2,
        }],
        forwards: vec![ForwardStats {
            kind: "rtmp",
            states: vec![("live", 2), ("refused", 0)],
            attempts: 9,
            failures: 6,
            packets: 4000,
            bytes: 5_000_000,
            repeated_packets: 3,
            wanted_key_units: 4,
            dropped_units: 5,
        }],
    };
    *bench.world.found.lock().unwrap() = found();
    bench.clock.advance(Duration::from_millis(1500));
    let (_, _, text) = bench.get("/metrics").await;
    let channel = r#"channel="local#app#li\"ve",proto="rtmp""#;
    let link = r#"channel="local#app#li\"ve",proto="srt",publisher="3""#;
    for line in [
        "# TYPE forebay_ingest_bytes counter".to_owned(),
        format!("forebay_ingest_bytes_total{{{channel}}} 1000"),
        format!("forebay_publishers{{{channel}}} 2"),
        format!("forebay_members{{{channel},state=\"on-air\"}} 1"),
        format!("forebay_members{{{channel},state=\"standby\"}} 0"),
        format!("forebay_members{{{channel},state=\"silent\"}} 1"),
        format!("forebay_switches_total{{{channel}}} 4"),
        format!("forebay_ingest_stall_seconds_total{{{channel}}} 2.5"),
        "forebay_conformance_samples_total 12".to_owned(),
        "forebay_conformance_violations_total{rule=\"P5\"} 2".to_owned(),
        format!("forebay_drift_seconds{{{channel}}} -0.25"),
        format!("forebay_sent_bytes_total{{{channel}}} {}", u64::MAX),
        format!("forebay_rung_lag_seconds{{{channel},rung=\"sd\"}} 0.125"),
        format!("forebay_rung_units_total{{{channel},rung=\"sd\"}} 7"),
        format!("forebay_link_rtt_seconds{{{link}}} 0.0425"),
        format!("forebay_link_latency_seconds{{{link}}} 0.25"),
        format!("forebay_link_buffer_seconds{{{link}}} 0.2"),
        "# TYPE forebay_link_packets counter".to_owned(),
        format!("forebay_link_packets_total{{{link}}} 14000"),
        format!("forebay_link_lost_packets_total{{{link}}} 200"),
        format!("forebay_link_retransmitted_packets_total{{{link}}} 150"),
        format!("forebay_link_dropped_packets_total{{{link}}} 50"),
        format!("forebay_link_undecrypted_packets_total{{{link}}} 1"),
        "forebay_connections{proto=\"http\"} 9".to_owned(),
        "forebay_listener_connections_total{proto=\"srt\"} 8".to_owned(),
        "forebay_listener_received_bytes_total{proto=\"srt\"} 1000000".to_owned(),
        "forebay_listener_publishes_total{proto=\"srt\",event=\"refused\"} 3".to_owned(),
        "forebay_listener_publishes_total{proto=\"srt\",event=\"accepted\"} 5".to_owned(),
        "forebay_listener_dropped_units_total{proto=\"srt\"} 2".to_owned(),
        "forebay_forwards{kind=\"rtmp\",state=\"live\"} 2".to_owned(),
        "forebay_forwards{kind=\"rtmp\",state=\"refused\"} 0".to_owned(),
        "forebay_forward_attempts_total{kind=\"rtmp\"} 9".to_owned(),
        "forebay_forward_failures_total{kind=\"rtmp\"} 6".to_owned(),
        "forebay_forward_packets_total{kind=\"rtmp\"} 4000".to_owned(),
        "forebay_forward_bytes_total{kind=\"rtmp\"} 5000000".to_owned(),
        "forebay_forward_repeated_packets_total{kind=\"rtmp\"} 3".to_owned(),
        "forebay_forward_wanted_key_units_total{kind=\"rtmp\"} 4".to_owned(),
        "forebay_forward_dropped_units_total{kind=\"rtmp\"} 5".to_owned(),
        "forebay_uptime_seconds 1.5".to_owned(),
        "# EOF".to_owned(),
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\n{text}");
    }
    assert!(text.contains("process_resident_memory_bytes "));
    assert!(text.contains("process_cpu_seconds_total "));
}
