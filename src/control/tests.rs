use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::base::clock::Wall;
use crate::hub::doctor::{Finding, Severity};
use crate::hub::gate::{Gate, Told};
use crate::hub::program::Repairs;
use crate::hub::story::{self, Incident};
use crate::hub::{Facts, MemberStatus, PublishRequest, Record, Refusal, Sign, Standing};
use crate::store::NewChannel;

const NOW: Wall = Wall(1_790_000_000_000_000);

#[derive(Default)]
struct World {
    on_air: Mutex<Option<OnAir>>,
    listings: Mutex<Vec<Listing>>,
    measured: Mutex<Measured>,
    health: Mutex<Vec<Health>>,
    switched: Mutex<Vec<(Uuid, u64)>>,
    found: Mutex<Conformance>,
    deaf: AtomicBool,
}

impl Live for World {
    fn on_air(&self, channel_id: &str) -> Option<OnAir> {
        assert_eq!(channel_id, "local#app#live");
        self.on_air.lock().unwrap().clone()
    }

    fn list(&self) -> Vec<Listing> {
        self.listings.lock().unwrap().clone()
    }

    fn health(&self) -> Vec<Health> {
        self.health.lock().unwrap().clone()
    }

    fn health_of(&self, stream: Uuid) -> Option<Health> {
        let health = self.health();
        health.into_iter().find(|health| health.id == stream)
    }

    /// Publisher 0 is on air, 1 stands by, 2 is silent, and there are no others.
    fn switch(&self, stream: Uuid, publisher: u64) -> Result<(), SwitchError> {
        match publisher {
            0 => Err(SwitchError::OnAir(0)),
            1 => {
                self.switched.lock().unwrap().push((stream, publisher));
                Ok(())
            }
            2 => Err(SwitchError::Silent(2)),
            other => Err(SwitchError::Unknown(other)),
        }
    }
}

impl Measurements for World {
    fn measure(&self) -> Measured {
        self.measured.lock().unwrap().clone()
    }

    fn viewers(&self, _: Uuid) -> u64 {
        3
    }

    fn rungs(&self, _: Uuid) -> Vec<RungStats> {
        vec![RungStats {
            rung: "sd".to_owned(),
            lag_seconds: 0.1254,
            speed_ratio: 1.0,
            units: 7,
        }]
    }

    fn conformance(&self) -> Conformance {
        self.found.lock().unwrap().clone()
    }
}

impl Probes for World {
    fn listeners(&self) -> Result<(), String> {
        match self.deaf.load(Ordering::Relaxed) {
            true => Err("rtmp 0.0.0.0:1935 is not bound".to_owned()),
            false => Ok(()),
        }
    }
}

struct Bench {
    data: PathBuf,
    world: Arc<World>,
    store: Store,
    clock: Clock,
    tokens: token::Tokens,
    state: State,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

async fn bench(change: impl FnOnce(&mut Setup)) -> Bench {
    let data = std::env::temp_dir().join(format!("forebay-control-{}", Uuid::new_v4()));
    let clock = Clock::simulated(NOW);
    let store = Store::open(&data, clock.clone()).await.unwrap();
    let secret = Secret::new("application-secret");
    store.ensure_application("app", &secret).await.unwrap();
    let key = Secret::new("stream-key");
    let channel = NewChannel {
        region: "local",
        application_id: "app",
        alias: "live",
        name: "Live",
        key: Some(&key),
        capabilities: None,
    };
    store.ensure_default_channel(&channel).await.unwrap();
    let tokens = token::Tokens::new(clock.clone());
    tokens.refresh(&store).await.unwrap();
    let world = Arc::new(World::default());
    let mut setup = Setup {
        store: store.clone(),
        live: world.clone(),
        measurements: world.clone(),
        probes: world.clone(),
        tokens: tokens.clone(),
        admin_key: Secret::new("admin-key"),
        own_address: false,
        data: data.clone(),
        hls_base: None,
        dash_base: None,
        clock: clock.clone(),
    };
    change(&mut setup);
    Bench {
        data,
        world,
        store,
        clock,
        tokens,
        state: State::new(setup),
    }
}

impl Bench {
    /// A request from `peer`; status, location and body of the answer.
    async fn ask(
        &self,
        path: &str,
        peer: &str,
        headers: &[(&'static str, &str)],
    ) -> (StatusCode, Option<String>, String) {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap(), peer).await
    }

    async fn send(
        &self,
        mut request: Request<Body>,
        peer: &str,
    ) -> (StatusCode, Option<String>, String) {
        let peer: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = router(self.state.clone()).oneshot(request).await.unwrap();
        let location = answer.headers().get("location");
        let location = location.map(|value| value.to_str().unwrap().to_owned());
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, location, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, Option<String>, String) {
        self.ask(path, "127.0.0.1:5000", &[]).await
    }

    /// What an operator gets, as JSON.
    async fn operator(&self, path: &str) -> (StatusCode, serde_json::Value) {
        let key = [("x-admin-key", "admin-key")];
        let (code, _, body) = self.ask(path, "192.0.2.1:5000", &key).await;
        (code, serde_json::from_str(&body).unwrap())
    }

    async fn post(&self, path: &str, body: &str) -> (StatusCode, serde_json::Value) {
        let request = Request::post(path).header("x-admin-key", "admin-key");
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let (code, _, body) = self.send(request, "192.0.2.1:5000").await;
        (code, serde_json::from_str(&body).unwrap())
    }

    fn put_on_air(&self, words: &[&str]) -> Uuid {
        let id = Uuid::new_v4();
        *self.world.on_air.lock().unwrap() = Some(OnAir {
            id,
            capabilities: words.iter().map(|word| (*word).to_owned()).collect(),
        });
        id
    }

    fn token(&self, set: impl FnOnce(&mut token::Claims)) -> String {
        let mut claims = token::Claims {
            expires: NOW.unix_millis() + 1000,
            ..token::Claims::default()
        };
        set(&mut claims);
        token::create("app", &Secret::new("application-secret"), &claims)
    }
}

fn escaped(token: &str) -> String {
    token
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D")
}

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

fn found() -> Conformance {
    Conformance {
        samples: 12,
        rules: vec![("P5", 2)],
        newest: vec![Violation {
            at: NOW,
            stream: Uuid::nil(),
            file: "source/index.m3u8".to_owned(),
            rule: "P5",
            detail: "listed parts of 7 changed".to_owned(),
        }],
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

fn health(id: Uuid, alias: &str) -> Health {
    Health {
        id,
        channel_id: format!("local#app#{alias}"),
        alias: alias.to_owned(),
        state: story::State::Hole(story::Cover::Slate),
        since: NOW,
        members: vec![MemberStatus {
            id: 1,
            proto: "rtmp",
            peer: "192.0.2.7:50000".parse().unwrap(),
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
            "state": "hole",
            "cover": "slate",
            "sinceUnixMs": NOW.unix_millis(),
            "viewers": 3,
            "publishers": [{
                "id": 1,
                "proto": "rtmp",
                "peer": "192.0.2.7:50000",
                "encoder": "OBS 30",
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
    };
    *bench.world.found.lock().unwrap() = found();
    bench.clock.advance(Duration::from_millis(1500));
    let (_, _, text) = bench.get("/metrics").await;
    let channel = r#"channel="local#app#li\"ve",proto="rtmp""#;
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
        "forebay_connections{proto=\"http\"} 9".to_owned(),
        "forebay_uptime_seconds 1.5".to_owned(),
        "# EOF".to_owned(),
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\n{text}");
    }
    assert!(text.contains("process_resident_memory_bytes "));
    assert!(text.contains("process_cpu_seconds_total "));
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

#[tokio::test]
async fn a_universal_manifest_leads_to_the_stream_on_air() {
    let bench = bench(|_| {}).await;
    let id = bench.put_on_air(&["streaming", "hd"]);
    for channel in ["local%23app%23live", "live"] {
        let (code, location, _) = bench
            .get(&format!("/pcast/channel/{channel}/live.m3u8"))
            .await;
        assert_eq!(code, StatusCode::FOUND);
        assert_eq!(location.unwrap(), format!("/hls/{id}/index.m3u8"));
        // A token that is not needed stays out of the address: it would spoil caches.
        let path = format!("/pcast/channel/{channel}/live.mpd?streamToken=x");
        let (_, location, _) = bench.get(&path).await;
        assert_eq!(location.unwrap(), format!("/dash/{id}/manifest.mpd"));
    }
}

#[tokio::test]
async fn published_bases_make_the_location_absolute() {
    let bench = bench(|setup| {
        setup.hls_base = Some("https://cdn.example.org/h".to_owned());
    })
    .await;
    let id = bench.put_on_air(&["streaming"]);
    let (_, location, _) = bench.get("/pcast/channel/live/live.m3u8").await;
    let expected = format!("https://cdn.example.org/h/{id}/index.m3u8");
    assert_eq!(location.unwrap(), expected);
}

#[tokio::test]
async fn a_universal_manifest_is_refused_in_the_order_of_the_contract() {
    let bench = bench(|_| {}).await;
    let code = |path: &'static str| {
        let bench = &bench;
        async move {
            let (code, _, body) = bench.get(path).await;
            assert!(body.starts_with(r#"{"status":""#), "{body}");
            code
        }
    };
    assert_eq!(
        code("/pcast/channel/none/live.m3u8").await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        code("/pcast/channel/live/live.m3u8").await,
        StatusCode::NOT_FOUND
    );
    bench.put_on_air(&["hd"]);
    assert_eq!(
        code("/pcast/channel/live/live.m3u8").await,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    assert_eq!(
        code("/pcast/channel/live/live.ts").await,
        StatusCode::NOT_FOUND
    );
    bench.put_on_air(&["token-auth"]);
    assert_eq!(
        code("/pcast/channel/live/live.ts").await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        code("/pcast/channel/live/live.m3u8").await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        code("/pcast/channel/%FF/live.m3u8").await,
        StatusCode::BAD_REQUEST
    );
    bench.store.close().await;
    assert_eq!(
        code("/pcast/channel/live/live.m3u8").await,
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[tokio::test]
async fn a_protected_stream_opens_for_its_token_which_goes_into_the_path() {
    let bench = bench(|_| {}).await;
    let id = bench.put_on_air(&["streaming", "token-auth"]);
    let good = bench.token(|c| c.required_tag = Some("channelAlias:live".to_owned()));
    let bad = bench.token(|c| c.required_tag = Some("channelAlias:other".to_owned()));
    let path = |token: &str| {
        format!(
            "/pcast/channel/live/live.m3u8?streamToken={}",
            escaped(token)
        )
    };
    let (code, location, _) = bench.get(&path(&good)).await;
    assert_eq!(code, StatusCode::FOUND);
    let location = location.unwrap();
    let inner = location.strip_prefix(&format!("/hls/{id}/~"));
    let inner = inner.and_then(|rest| rest.strip_suffix("/index.m3u8"));
    assert!(
        bench
            .tokens
            .allows(id, "local#app#live", "live", inner.unwrap())
    );
    assert_eq!(bench.get(&path(&bad)).await.0, StatusCode::UNAUTHORIZED);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.get(&path(&good)).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn operator_routes_are_not_on_the_public_router() {
    let bench = bench(|_| {}).await;
    for (path, side, _) in routes() {
        let path = path
            .replace("{channelId}", "live")
            .replace("{streamId}", "x")
            .replace("{manifest}", "x");
        let ask = |router: Router| {
            let request = Request::builder().method("DELETE").uri(&path);
            router.oneshot(request.body(Body::empty()).unwrap())
        };
        // A known path refuses the method, an unknown one the path: no handler runs.
        let known = |code| code == StatusCode::METHOD_NOT_ALLOWED;
        let public = ask(public_router(bench.state.clone())).await.unwrap();
        let operator = ask(operator_router(bench.state.clone())).await.unwrap();
        assert_eq!(known(public.status()), side != Side::Operator, "{path}");
        assert_eq!(known(operator.status()), side != Side::Public, "{path}");
    }
}

#[test]
fn the_description_has_every_control_route_and_no_other() {
    let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
    let described = document["paths"].as_object().unwrap();
    for (path, _, _) in routes() {
        assert!(described.contains_key(path), "{path} is not described");
    }
    for path in described.keys() {
        let operations = described[path].as_object().unwrap();
        let operation = operations.values().next().unwrap();
        let playback = operation["tags"][0] == "playback";
        let ours = routes().iter().any(|(route, _, _)| route == path);
        assert_eq!(playback, !ours, "{path}");
        let names: Vec<&str> = path
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split('}').next())
            .collect();
        let parameters = operation["parameters"].as_array();
        let in_path: Vec<&str> = parameters
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        assert_eq!(names, in_path, "{path}");
    }
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

fn publish(proto: &'static str, key: &str, capabilities: Option<&[&str]>) -> PublishRequest {
    PublishRequest {
        proto,
        peer: SocketAddr::from(([192, 0, 2, 1], 5000)),
        key: Secret::new(key),
        capabilities: capabilities
            .map(|words| words.iter().map(|word| (*word).to_owned()).collect()),
        tags: vec!["t".to_owned()],
    }
}

#[tokio::test]
async fn the_gate_admits_by_key_and_takes_capabilities_from_key_channel_or_default() {
    let bench = bench(|_| {}).await;
    let words = ["fhd".to_owned()];
    let declared = crate::store::Declaration {
        alias: "stage",
        name: "Stage",
        key: Some(&Secret::new("stage-key")),
        capabilities: Some(&words),
    };
    bench
        .store
        .declare_channels("local", "app", &[declared], 10)
        .await
        .unwrap();
    let defaults = vec!["hd".to_owned()];
    let gate = StoreGate::new(bench.store.clone(), bench.tokens.clone(), defaults);
    let admitted = gate.admit(&publish("rtmp", "stream-key", None)).await;
    let admitted = admitted.unwrap();
    assert_eq!(admitted.channel_id, "local#app#live");
    assert_eq!(admitted.capabilities, ["hd"]);
    assert_eq!(admitted.tags, ["t"]);
    let capabilities = async |request: PublishRequest| {
        let admitted = gate.admit(&request).await;
        admitted.unwrap().capabilities
    };
    let own = publish("rtmp", "stream-key", Some(&["sd", "x"]));
    assert_eq!(capabilities(own).await, ["sd", "x"]);
    let channel = publish("rtmps", "stage-key", None);
    assert_eq!(capabilities(channel).await, ["fhd"]);
    // The channel's capabilities are for RTMP only.
    let srt = publish("srt", "stage-key", None);
    assert_eq!(capabilities(srt).await, ["hd"]);
    gate.set_default_capabilities(vec!["uhd".to_owned()]);
    let later = publish("rtmp", "stream-key", None);
    assert_eq!(capabilities(later).await, ["uhd"]);

    for wrong in ["", "stream-kez", "stream-key2", "DIGEST:nonsense"] {
        let refused = gate.admit(&publish("rtmp", wrong, None)).await;
        assert_eq!(refused, Err(Refusal::UnknownKey));
    }
    bench.store.close().await;
    let refused = gate.admit(&publish("rtmp", "stream-key", None)).await;
    assert!(matches!(refused, Err(Refusal::Full(_))));
}

#[tokio::test]
async fn the_gate_admits_a_publish_token_for_its_channel_only_in_time() {
    let bench = bench(|_| {}).await;
    let gate = StoreGate::new(bench.store.clone(), bench.tokens.clone(), Vec::new());
    let token = |tag: &str| {
        bench.token(|c| {
            c.kind = Some("publish".to_owned());
            c.required_tag = Some(tag.to_owned());
            c.capabilities = vec!["fhd".to_owned()];
            c.apply_tags = vec!["signed".to_owned()];
        })
    };
    let good = publish("rtmp", &token("channelAlias:live"), Some(&["uhd"]));
    let admitted = gate.admit(&good).await.unwrap();
    assert_eq!(admitted.alias, "live");
    assert_eq!(admitted.capabilities, ["fhd"], "the token's word holds");
    assert_eq!(admitted.tags, ["signed", "t"]);
    let none = publish("rtmp", &token("channelAlias:none"), None);
    assert_eq!(gate.admit(&none).await, Err(Refusal::UnknownKey));
    let viewing = publish("rtmp", &bench.token(|_| {}), None);
    let refused = gate.admit(&viewing).await;
    assert!(matches!(refused, Err(Refusal::NotAllowed(_))));
    bench.clock.advance(Duration::from_secs(1));
    let refused = gate.admit(&good).await;
    assert!(matches!(refused, Err(Refusal::NotAllowed(_))));
}

#[tokio::test]
async fn the_gate_records_streams() {
    let bench = bench(|_| {}).await;
    let gate = StoreGate::new(bench.store.clone(), bench.tokens.clone(), Vec::new());
    let id = Uuid::new_v4();
    let admitted = gate
        .admit(&publish("rtmp", "stream-key", Some(&["hd"])))
        .await;
    let sign = Sign {
        id,
        alive: Wall(7),
        told: Told {
            next_sequence: 8,
            discontinuities: 9,
            end_90k: 10,
        },
        is_final: false,
    };
    let opened = Record {
        id,
        epoch: Wall(6),
        admission: admitted.unwrap(),
        segment_target_90k: 180_000,
        longest_segment_90k: 900_000,
        sign,
    };
    gate.stream_opened(&opened).await;
    assert_eq!(gate.open_streams().await, std::slice::from_ref(&opened));
    let later = Sign {
        alive: Wall(70),
        is_final: true,
        ..sign
    };
    gate.streams_alive(&[later]).await;
    assert_eq!(gate.open_streams().await[0].sign, later);
    gate.stream_ended(id).await;
    assert_eq!(gate.open_streams().await, []);
}
