use std::collections::HashMap;
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
use crate::base::conformance::{Conformance, Violation};
use crate::base::network::ClientAddress;
use crate::hub::doctor::{Finding, Severity};
use crate::hub::gate::{Gate, Told};
use crate::hub::program::Repairs;
use crate::hub::story::{self, Incident};
use crate::hub::{Facts, Link, MemberStatus, PublishRequest, Record, Refusal, Sign, Standing};
use crate::store::NewChannel;

mod console;
mod gate;
mod operators;

pub(in crate::control) const NOW: Wall = Wall(1_790_000_000_000_000);

#[derive(Default)]
pub(in crate::control) struct World {
    on_air: Mutex<Option<OnAir>>,
    listings: Mutex<Vec<Listing>>,
    measured: Mutex<Measured>,
    health: Mutex<Vec<Health>>,
    switched: Mutex<Vec<(Uuid, u64)>>,
    found: Mutex<Conformance>,
    deaf: AtomicBool,
    pub(in crate::control) members: Mutex<HashMap<String, Vec<ChannelMember>>>,
    pub(in crate::control) forks: Mutex<Vec<Forking>>,
    pub(in crate::control) told: Mutex<Vec<String>>,
    /// Fork and its source.
    fork: Mutex<Option<(Uuid, Uuid)>>,
}

impl Live for World {
    fn on_air(&self, channel_id: &str) -> Option<OnAir> {
        if channel_id != "local#app#live" {
            return None;
        }
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

    fn thumbnail(&self, _: Uuid) -> Option<bytes::Bytes> {
        Some(bytes::Bytes::from_static(b"a picture"))
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

    fn members(&self, channel_id: &str) -> Vec<ChannelMember> {
        self.members
            .lock()
            .unwrap()
            .get(channel_id)
            .cloned()
            .unwrap_or_default()
    }

    fn count(&self, channel_id: &str, counted: &Counted) -> usize {
        if counted.with_streams.unwrap_or(1) > 1 {
            return 0;
        }
        let name = counted.with_screen_name.as_deref();
        let members = self.members(channel_id);
        let named = |member: &&ChannelMember| name.is_none_or(|name| *member.screen_name == *name);
        members.iter().filter(named).count()
    }

    fn kill<'a>(
        &'a self,
        channel_id: &'a str,
        reason: &'a str,
        keep_streams: bool,
    ) -> Pending<'a, Vec<ChannelMember>> {
        let told = format!("kill {channel_id} {reason:?} {keep_streams}");
        self.told.lock().unwrap().push(told);
        let members = self.members.lock().unwrap().remove(channel_id);
        Box::pin(async { members.unwrap_or_default() })
    }

    fn close(&self, channel_id: &str) {
        self.told
            .lock()
            .unwrap()
            .push(format!("close {channel_id}"));
        self.members.lock().unwrap().remove(channel_id);
    }

    /// A channel called `full` has no room, one called `slow` never answers.
    fn fork<'a>(
        &'a self,
        source_channel: &'a str,
        forking: &'a Forking,
    ) -> Pending<'a, Result<Forked, Refusal>> {
        self.forks.lock().unwrap().push(forking.clone());
        let members = self.members(source_channel);
        Box::pin(async move {
            match forking.alias.as_str() {
                "full" => Err(Refusal::Full("64 forks of a stream".to_owned())),
                "slow" => std::future::pending().await,
                _ => Ok(Forked {
                    members,
                    ..Forked::default()
                }),
            }
        })
    }

    fn origin(&self, stream: Uuid) -> Uuid {
        self.origin_of(stream)
    }

    fn has_session(&self, _stream: Uuid, session: &str) -> bool {
        session == "local#publisher"
    }
}

impl Sources for World {
    fn start(&self, channel_id: &str, source: Source) {
        let told = format!("pull {channel_id} {source}");
        self.told.lock().unwrap().push(told);
    }

    fn stop(&self, channel_id: &str) {
        self.told.lock().unwrap().push(format!("stop {channel_id}"));
    }
}

impl Keys for World {
    fn fixed(&self, channel_id: &str) -> Option<String> {
        channel_id
            .ends_with("#fixed")
            .then(|| "the key is a setting".to_owned())
    }

    fn keep(&self, channel_id: &str, key: &Secret) -> Result<(), String> {
        let told = format!("keep {channel_id} {}", key.fingerprint());
        self.told.lock().unwrap().push(told);
        Ok(())
    }
}

impl World {
    /// As [`Live::origin`].
    fn origin_of(&self, stream: Uuid) -> Uuid {
        let fork = *self.fork.lock().unwrap();
        fork.filter(|(fork, _)| *fork == stream)
            .map_or(stream, |(_, source)| source)
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

pub(in crate::control) struct Bench {
    data: PathBuf,
    pub(in crate::control) world: Arc<World>,
    pub(in crate::control) store: Store,
    pub(in crate::control) clock: Clock,
    tokens: token::Tokens,
    tasks: Tasks,
    pub(in crate::control) state: State,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

pub(in crate::control) async fn bench(change: impl FnOnce(&mut Setup)) -> Bench {
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
    let recordings = crate::record::Config {
        folder: data.join("recordings"),
        keep: None,
        least_free_bytes: 0,
        make_room: false,
    };
    let disk = Arc::new(crate::record::disk::Local);
    let library = Library::open(recordings, disk, clock.clone()).unwrap();
    let tokens = token::Tokens::new(store.clone(), clock.clone());
    let world = Arc::new(World::default());
    let watch = watch::Watch {
        region: "local".to_owned(),
        live: world.clone(),
        sources: world.clone(),
    };
    store.watch(Arc::new(watch)).await.unwrap();
    let tasks = Tasks::new();
    let mut setup = Setup {
        store: store.clone(),
        library,
        live: world.clone(),
        measurements: world.clone(),
        probes: world.clone(),
        keys: world.clone(),
        tokens: tokens.clone(),
        region: "local".to_owned(),
        first_application: "app".to_owned(),
        max_channels: 1000,
        requests_per_second: REQUESTS_PER_SECOND,
        public_url: None,
        admin_key: Secret::new("admin-key"),
        own_address: false,
        data: data.clone(),
        hls_base: None,
        dash_base: None,
        addresses: Addresses::default(),
        tasks: tasks.clone(),
        clock: clock.clone(),
    };
    change(&mut setup);
    Bench {
        data,
        world,
        store,
        clock,
        tokens,
        tasks,
        state: State::new(setup),
    }
}

impl Bench {
    /// The database as another process has it.
    pub(in crate::control) async fn elsewhere(&self) -> Store {
        Store::open(&self.data, self.clock.clone()).await.unwrap()
    }

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
        let address = ClientAddress(peer.ip());
        request.extensions_mut().insert(address);
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

    pub(in crate::control) fn put_on_air(&self, words: &[&str]) -> Uuid {
        let id = Uuid::new_v4();
        *self.world.on_air.lock().unwrap() = Some(OnAir {
            id,
            capabilities: words.iter().map(|word| (*word).to_owned()).collect(),
            tags: vec!["vip".to_owned()],
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
async fn manifests_tokens_and_counts_are_answered_without_the_database() {
    let bench = bench(|_| {}).await;
    let id = bench.put_on_air(&["streaming", "token-auth"]);
    let token = bench.token(|_| {});
    bench.store.close().await;
    let manifest = "/pcast/channel/live/live.m3u8";
    let path = format!("{manifest}?streamToken={}", escaped(&token));
    let (code, location, _) = bench.get(&path).await;
    let expected = format!("/hls/{id}/~{}/index.m3u8", token::path_form(&token));
    assert_eq!((code, location), (StatusCode::FOUND, Some(expected)));
    assert_eq!(bench.get(manifest).await.0, StatusCode::UNAUTHORIZED);
    let none = "/pcast/channel/none/live.m3u8";
    assert_eq!(bench.get(none).await.0, StatusCode::NOT_FOUND);
    let count = "/pcast/channel/live/publishers/count";
    assert_eq!(bench.get(count).await.0, StatusCode::OK);
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
}

#[tokio::test]
async fn a_token_of_a_forks_source_of_a_session_or_of_an_address_opens_the_manifest() {
    let bench = bench(|_| {}).await;
    let id = bench.put_on_air(&["streaming", "token-auth"]);
    let source = Uuid::new_v4();
    *bench.world.fork.lock().unwrap() = Some((id, source));
    let from = "198.51.100.7:1";
    type Set<'a> = &'a dyn Fn(&mut token::Claims);
    let cases: [(Set<'_>, bool); 8] = [
        (&|c| c.origin_stream_id = Some(source.to_string()), true),
        (&|c| c.origin_stream_id = Some(id.to_string()), true),
        (
            &|c| c.origin_stream_id = Some(Uuid::new_v4().to_string()),
            false,
        ),
        (&|c| c.session_id = Some("local#publisher".to_owned()), true),
        (&|c| c.session_id = Some("local#viewer".to_owned()), false),
        (
            &|c| c.remote_address = Some("198.51.100.7".to_owned()),
            true,
        ),
        (
            &|c| c.remote_address = Some("198.51.100.8".to_owned()),
            false,
        ),
        (&|c| c.required_tag = Some("vip".to_owned()), true),
    ];
    for (set, opens) in cases {
        let token = escaped(&bench.token(set));
        let path = format!("/pcast/channel/live/live.mpd?streamToken={token}");
        let (code, _, _) = bench.ask(&path, from, &[]).await;
        assert_eq!(code == StatusCode::FOUND, opens, "{code}");
    }
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
    let target = token::Target {
        stream_id: Some(id),
        origin_id: Some(id),
        channel_id: "local#app#live",
        alias: "live",
        capabilities: &[],
        tags: &[],
        has_session: &|_| false,
        peer: None,
    };
    let inner = location.strip_prefix(&format!("/hls/{id}/~"));
    let inner = inner.and_then(|rest| rest.strip_suffix("/index.m3u8"));
    assert!(bench.tokens.playback(inner.unwrap(), &target).is_ok());
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
            .replace("{recordingId}", "x")
            .replace("{sourceChannelId}", "x")
            .replace("{applicationId}", "x");
        let ask = |router: Router| {
            let request = Request::builder().method("PATCH").uri(&path);
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
    let document: serde_json::Value = serde_json::from_str(api_description()).unwrap();
    let described = document["paths"].as_object().unwrap();
    for (path, _, _) in routes() {
        assert!(described.contains_key(path), "{path} is not described");
    }
    for (path, operations) in described {
        let names: Vec<&str> = path
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split('}').next())
            .collect();
        for (method, operation) in operations.as_object().unwrap() {
            let playback = operation["tags"][0] == "playback";
            let ours = routes().iter().any(|(route, _, _)| route == path)
                // Served by the route of the recording itself.
                || path.strip_suffix("/{recordingId}.mp4").is_some_and(|of| of.ends_with("/recordings"));
            assert_eq!(playback, !ours, "{method} {path}");
            let parameters = operation["parameters"].as_array();
            let in_path: Vec<&str> = parameters
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path")
                .filter_map(|parameter| parameter["name"].as_str())
                .collect();
            assert_eq!(names, in_path, "{method} {path}");
            for key in ["summary", "operationId"] {
                assert!(operation[key].is_string(), "{method} {path} has no {key}");
            }
        }
    }
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

/// Every method that a route has is described, and no other.
#[tokio::test]
async fn the_description_has_every_method_of_a_route_and_no_other() {
    let bench = bench(|_| {}).await;
    let document: serde_json::Value = serde_json::from_str(api_description()).unwrap();
    for (path, _, _) in routes() {
        let uri = path
            .split('/')
            .map(|part| if part.starts_with('{') { "x" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        for method in ["get", "put", "post", "delete", "patch"] {
            let request = Request::builder().method(method.to_uppercase().as_str());
            let request = request.uri(&uri).body(Body::empty()).unwrap();
            let (code, _, _) = bench.send(request, "192.0.2.1:5000").await;
            let is_there = code != StatusCode::METHOD_NOT_ALLOWED;
            let described = document["paths"][path].get(method).is_some();
            assert_eq!(is_there, described, "{method} {path}: {code}");
        }
    }
}
