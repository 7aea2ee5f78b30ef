//! Requests through the whole router, in front of a world that the test arranges.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::base::clock::Wall;
use crate::base::conformance::{Conformance, Violation};
use crate::base::id::Uuid;
use crate::base::network::ClientAddress;
use crate::base::source::Source;
use crate::hub::doctor::{Finding, Severity};
use crate::hub::gate::{Gate, Pending, Told};
use crate::hub::program::Repairs;
use crate::hub::story::{self, Incident};
use crate::hub::{
    Attendee, ChannelMember, Counted, Facts, Forked, Forking, Health, Link, Listing, MemberStatus,
    PublishRequest, Record, Refusal, Sign, Standing, SwitchError,
};
use crate::store::NewChannel;

mod console;
pub(in crate::control) mod description;
mod gate;
mod manifest;
mod operators;
mod public;
mod routes;

pub(in crate::control) const NOW: Wall = Wall(1_790_000_000_000_000);

/// In the place of what looks into films: those that begin with `film` can be shown.
const PROBE: &str = r#"case "$(head -c 4 "$0")" in
film) printf '{"accepted":true,"found":"MP4","container":"mp4","video":{},"duration":2.5}' ;;
*) printf '{"accepted":false,"found":"a text"}' ;;
esac"#;

#[derive(Default)]
pub(in crate::control) struct World {
    on_air: Mutex<Option<OnAir>>,
    pub(in crate::control) listings: Mutex<Vec<Listing>>,
    measured: Mutex<Measured>,
    health: Mutex<Vec<Health>>,
    switched: Mutex<Vec<(Uuid, u64)>>,
    found: Mutex<Conformance>,
    deaf: AtomicBool,
    pub(in crate::control) members: Mutex<HashMap<String, Vec<ChannelMember>>>,
    pub(in crate::control) attendees: Mutex<HashMap<Uuid, Vec<Attendee>>>,
    pub(in crate::control) forks: Mutex<Vec<Forking>>,
    pub(in crate::control) told: Mutex<Vec<String>>,
    /// Rooms as they were told.
    pub(in crate::control) rooms: Mutex<Vec<Room>>,
    pub(in crate::control) forwards: Mutex<Vec<Forwarded>>,
    pub(in crate::control) pushes: Mutex<Vec<(String, crate::base::push::Push)>>,
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

    fn attendance(&self, stream: Uuid) -> Vec<Attendee> {
        let attendees = self.attendees.lock().unwrap();
        attendees.get(&stream).cloned().unwrap_or_default()
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

    fn finish(&self, channel_id: &str, _: &str) {
        let told = format!("finish {channel_id}");
        self.told.lock().unwrap().push(told);
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

impl Rooms for World {
    fn handle_room(&self, room: &Room) {
        self.rooms.lock().unwrap().push(room.clone());
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

impl Forwards for World {
    fn of_channel(&self, _: &str) -> Vec<Forwarded> {
        self.forwards.lock().unwrap().clone()
    }

    fn declared(&self, _: &str) -> Vec<(String, crate::base::push::Push)> {
        self.pushes.lock().unwrap().clone()
    }

    fn changed(&self) {
        self.told
            .lock()
            .unwrap()
            .push("forwards changed".to_owned());
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
    pub(in crate::control) fn put_on_list(&self, listing: Listing) {
        self.listings.lock().unwrap().push(listing);
    }

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
    _watch: Arc<watch::Watch>,
    pub(in crate::control) state: State,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// Of shows.
pub(in crate::control) fn rules() -> crate::media::timeline::Rules {
    crate::media::timeline::Rules {
        epoch: NOW,
        target_duration_s: 3,
        part_target: Duration::from_millis(200),
        part_hold_back: Duration::from_millis(600),
        hold_back: Duration::from_secs(9),
        can_skip_until: Duration::from_secs(18),
        segment_target: Duration::from_secs(2),
        window: Duration::from_secs(60),
        independent_segments: true,
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
    let watch = Arc::new(watch::Watch {
        region: "local".to_owned(),
        live: world.clone(),
        sources: world.clone(),
    });
    store.watch(&watch).await.unwrap();
    let tasks = Tasks::new();
    let stage = crate::playout::Config {
        folder: data.join("films"),
        rules: rules(),
    };
    let stage = crate::playout::Stage::new(stage, clock.clone());
    let films = crate::films::Config {
        folder: data.join("films"),
        max_bytes: 10 << 20,
        probe: crate::films::Probe::new("/bin/sh".into(), ["-c", PROBE]),
        clock: clock.clone(),
    };
    let mut setup = Setup {
        store: store.clone(),
        library,
        files: Files::open(&data.join("uploads")).unwrap(),
        films: Films::open(films).unwrap(),
        live: world.clone(),
        playbill: Playbill::new(store.clone(), stage),
        measurements: world.clone(),
        forwards: world.clone(),
        probes: world.clone(),
        keys: world.clone(),
        tokens: tokens.clone(),
        region: "local".to_owned(),
        first_application: "app".to_owned(),
        max_channels: 1000,
        open_registration: false,
        anonymous_broadcasts: true,
        planning: Planning {
            segment: Duration::from_secs(2),
            slate_before: true,
            after: crate::store::After::Slate,
        },
        requests_per_second: REQUESTS_PER_SECOND,
        webhooks_private: Private {
            networks: Vec::new(),
            setting: "FOREBAY_WEBHOOKS_PRIVATE",
        },
        public_url: None,
        admin_key: Secret::new("admin-key"),
        own_address: false,
        data: data.clone(),
        hls_base: None,
        dash_base: None,
        addresses: Addresses::default(),
        tasks: tasks.clone(),
        livekit: None,
        rooms: world.clone(),
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
        _watch: watch,
        state: State::new(setup),
    }
}

impl Bench {
    /// Media come in for a channel.
    pub(in crate::control) fn list_on_air(&self, channel_id: &str) {
        self.world.put_on_list(Listing {
            id: Uuid::new_v4(),
            channel_id: channel_id.to_owned(),
            alias: String::new(),
            name: String::new(),
            on_air: true,
            protected: false,
            playable: true,
        });
    }

    /// The database as another process has it.
    pub(in crate::control) async fn elsewhere(&self) -> Store {
        Store::open(&self.data, self.clock.clone()).await.unwrap()
    }

    /// The same as another gateway.
    pub(in crate::control) async fn another(&self) -> Store {
        std::fs::remove_file(self.data.join("node")).unwrap();
        self.elsewhere().await
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
