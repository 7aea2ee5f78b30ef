//! A gateway with a LiveKit server, each calling the other, and a broadcast that is live.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::common::gateway::{Folder, Gateway};
use crate::common::http;
use crate::common::livekit::real::RealServer;
use crate::common::livekit::{KEY, LivekitServer, Options, SECRET};

/// Opens everything.
pub const ADMIN_KEY: &str = "ApiAdmin0123456789";

/// A gateway, a LiveKit server (that of the tests, or a real one) whose webhooks reach it, and a session that is live.
pub struct World<S = LivekitServer> {
    pub gateway: Gateway,
    pub livekit: S,
    key: String,
    /// Id of the broadcast.
    pub id: String,
    /// Its stream, and so its room.
    pub room: String,
    /// Its stream key.
    pub stream_key: String,
    folder: Folder,
}

/// Where a server calls that is started before the gateway: it hands on what comes.
struct Hooks(TcpListener);

impl Hooks {
    /// With the address to call.
    async fn open() -> (Hooks, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("it has an address");
        (Hooks(listener), format!("http://{at}/api/livekit/webhook"))
    }

    #[expect(clippy::disallowed_methods, reason = "ended with the test")]
    fn lead_to(self, to: SocketAddr) {
        tokio::spawn(async move {
            while let Ok((mut near, _)) = self.0.accept().await {
                tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(to).await {
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
    }
}

impl World {
    /// Without a ladder.
    pub async fn new() -> World {
        World::with_ladder("off").await
    }

    pub async fn with_ladder(ladder: &str) -> World {
        World::with(ladder, Options::default()).await
    }

    /// Without a ladder; viewers play what belongs together in step.
    pub async fn in_step() -> World {
        let options = Options {
            sync_streams: true,
            ..Options::default()
        };
        World::with("off", options).await
    }

    async fn with(ladder: &str, options: Options) -> World {
        let (hooks, webhooks) = Hooks::open().await;
        let livekit = LivekitServer::start_with(Options {
            webhooks: Some(webhooks),
            ..options
        });
        let url = livekit.url();
        World::beside(livekit, &url, hooks, ladder).await
    }
}

impl World<RealServer> {
    /// With the server that the environment names; otherwise `test` is skipped aloud.
    pub async fn real(test: &str, ladder: &str) -> Option<World<RealServer>> {
        let (hooks, webhooks) = Hooks::open().await;
        let livekit = RealServer::start(test, Some(&webhooks)).await?;
        let url = livekit.url();
        Some(World::beside(livekit, &url, hooks, ladder).await)
    }
}

impl<S> World<S> {
    async fn beside(livekit: S, url: &str, hooks: Hooks, ladder: &str) -> World<S> {
        let folder = Folder::new();
        let settings = [
            ("FOREBAY_ADMIN_KEY", ADMIN_KEY),
            ("FOREBAY_LADDER", ladder),
            ("LIVEKIT_URL", url),
            ("LIVEKIT_API_KEY", KEY),
            ("LIVEKIT_API_SECRET", SECRET),
        ];
        let gateway = folder.serve(&settings).await;
        hooks.lead_to(gateway.http());
        let mut world = World {
            gateway,
            livekit,
            key: String::new(),
            id: String::new(),
            room: String::new(),
            stream_key: String::new(),
            folder,
        };
        let client = json!({"name": "App", "contactEmail": "a@example.org", "agreeTerms": true});
        let client = world.post("/api/admin/sdk-clients", client).await;
        world.key = client["apiKey"].as_str().expect("text").to_owned();
        let made = world
            .post("/api/broadcasts", json!({"title": "Talk"}))
            .await;
        world.id = made["id"].as_str().expect("text").to_owned();
        world.room = made["streamId"].as_str().expect("text").to_owned();
        world.stream_key = made["streamKey"].as_str().expect("text").to_owned();
        world.become_("active").await;
        world
    }

    /// The gateway's folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    pub async fn send(&self, method: &str, path: &str, body: Value) -> Value {
        let who = match self.key.is_empty() {
            true => ("X-Admin-Key", ADMIN_KEY),
            false => ("X-API-Key", self.key.as_str()),
        };
        let headers = [who, ("Content-Type", "application/json")];
        let address = self.gateway.http();
        let answer = http::send(address, method, path, &headers, &body.to_string()).await;
        let text = answer.text();
        assert_eq!(answer.status, 200, "{method} {path}: {text}");
        serde_json::from_str(text).expect("JSON")
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.send("POST", path, body).await
    }

    pub async fn become_(&self, status: &str) {
        let path = format!("/api/broadcasts/{}/status", self.id);
        self.post(&path, json!({ "status": status })).await;
    }

    /// A token and where it leads to.
    pub async fn token(&self, identity: &str, role: &str) -> (String, String) {
        let path = format!("/api/streaming/sessions/{}/token", self.id);
        let answer = self
            .post(&path, json!({"userId": identity, "role": role}))
            .await;
        let text = |name: &str| answer[name].as_str().expect("text").to_owned();
        assert_eq!(text("serverUrl"), format!("ws://{}", self.gateway.http()));
        assert!(text("token").starts_with("livekit_"));
        (text("serverUrl"), text("token"))
    }

    /// How the publishers of the broadcast's stream reach it: the one on air, and all.
    pub async fn publishers(&self) -> (Option<String>, Vec<String>) {
        let key = [("X-Admin-Key", ADMIN_KEY)];
        let path = format!("/api/admin/streams/{}", self.room);
        let answer = http::request(self.gateway.http(), "GET", &path, &key).await;
        let known: Value = serde_json::from_str(answer.text()).unwrap_or_default();
        let publishers = known["publishers"].as_array().cloned().unwrap_or_default();
        let proto = |publisher: &Value| Some(publisher["proto"].as_str()?.to_owned());
        let on_air = publishers.iter().find(|one| one["onAir"] == true);
        (
            on_air.and_then(proto),
            publishers.iter().filter_map(proto).collect(),
        )
    }
}
