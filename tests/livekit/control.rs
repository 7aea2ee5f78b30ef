//! Clients of LiveKit's own library on their way through the gateway: tokens as the API hands them out, co-hosts
//! who are removed, rooms that close (contract, broadcasts, N-6, N-7 and N-13).

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::common::gateway::{Folder, Gateway};
use crate::common::http;
use crate::common::livekit::clients::Client;
use crate::common::livekit::{KEY, LivekitServer, Options, SECRET};

const ADMIN_KEY: &str = "ApiAdmin0123456789";

/// A gateway, a LiveKit server whose webhooks reach it, and a session that is live.
struct World {
    gateway: Gateway,
    livekit: LivekitServer,
    key: String,
    id: String,
    room: String,
    _folder: Folder,
}

/// Hands what comes on to an address that is known later: of two servers that call each other one starts first.
#[expect(clippy::disallowed_methods, reason = "ended with the test")]
fn hand_on(listener: TcpListener, to: SocketAddr) {
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(mut far) = TcpStream::connect(to).await {
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    });
}

impl World {
    async fn new() -> World {
        let hooks = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let hooks_at = hooks.local_addr().expect("it has an address");
        let livekit = LivekitServer::start_with(Options {
            webhooks: Some(format!("http://{hooks_at}/api/livekit/webhook")),
            ..Options::default()
        });
        let folder = Folder::new();
        let url = livekit.url();
        let settings = [
            ("FOREBAY_ADMIN_KEY", ADMIN_KEY),
            ("LIVEKIT_URL", url.as_str()),
            ("LIVEKIT_API_KEY", KEY),
            ("LIVEKIT_API_SECRET", SECRET),
        ];
        let gateway = folder.serve(&settings).await;
        hand_on(hooks, gateway.http());
        let mut world = World {
            gateway,
            livekit,
            key: String::new(),
            id: String::new(),
            room: String::new(),
            _folder: folder,
        };
        let client = json!({"name": "App", "contactEmail": "a@example.org", "agreeTerms": true});
        let client = world.post("/api/admin/sdk-clients", client).await;
        world.key = client["apiKey"].as_str().expect("text").to_owned();
        let made = world
            .post("/api/broadcasts", json!({"title": "Talk"}))
            .await;
        world.id = made["id"].as_str().expect("text").to_owned();
        world.room = made["streamId"].as_str().expect("text").to_owned();
        world.become_("active").await;
        world
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> Value {
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

    async fn post(&self, path: &str, body: Value) -> Value {
        self.send("POST", path, body).await
    }

    async fn become_(&self, status: &str) {
        let path = format!("/api/broadcasts/{}/status", self.id);
        self.post(&path, json!({ "status": status })).await;
    }

    /// A token and where it leads to.
    async fn token(&self, identity: &str, role: &str) -> (String, String) {
        let path = format!("/api/streaming/sessions/{}/token", self.id);
        let answer = self
            .post(&path, json!({"userId": identity, "role": role}))
            .await;
        let text = |name: &str| answer[name].as_str().expect("text").to_owned();
        assert_eq!(text("serverUrl"), format!("ws://{}", self.gateway.http()));
        assert!(text("token").starts_with("livekit_"));
        (text("serverUrl"), text("token"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_connect_with_their_tokens_unchanged_and_leave_when_the_broadcast_is_over() {
    let world = World::new().await;
    let (url, token) = world.token("host", "publisher").await;
    let mut host = Client::python("publish", &url, &token, "--no-picture").await;
    host.event("connected").await;
    let (_, watching) = world.token("viewer", "subscriber").await;
    let mut viewer = Client::python("view", &url, &watching, "").await;
    viewer.event("connected").await;
    viewer.event("sound").await;
    world.become_("completed").await;
    host.event("disconnected").await;
    viewer.event("disconnected").await;
    let closed =
        |livekit: &LivekitServer| livekit.with(|state| state.rooms.is_empty().then_some(()));
    world.livekit.until("closed room", closed).await;
    // Its token is good for hours, and opens nothing.
    let mut late = Client::python("view", &url, &token, "").await;
    late.event("refused").await;
    let log = world.gateway.log();
    let bare = token.strip_prefix("livekit_").expect("its prefix");
    assert!(!log.contains(bare), "{log}");
    world.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_co_host_leaves_at_once_and_its_token_lets_it_publish_no_more_whichever_way_it_goes()
 {
    let world = World::new().await;
    let session = format!("/api/streaming/sessions/{}", world.id);
    let join = format!("{session}/join-cohost");
    let joined = world
        .post(&join, json!({"userName": "Guest", "userId": "guest"}))
        .await;
    let (url, token) = world.token("guest", "co_host").await;
    let mut guest = Client::python("publish", &url, &token, "--no-picture").await;
    guest.event("connected").await;
    let cohost = joined["coHost"]["id"].as_str().expect("text");
    let cohost = format!("{session}/cohosts/{cohost}");
    world.send("DELETE", &cohost, json!({})).await;
    guest.event("disconnected").await;
    let mut again = Client::python("view", &url, &token, "").await;
    again.event("refused").await;
    // Past the proxy, to a server that revokes no tokens.
    world.livekit.faults(|faults| faults.no_revocation = true);
    world.livekit.with(|state| state.revoked.clear());
    let bare = token.strip_prefix("livekit_").expect("its prefix");
    let mut past = Client::python("view", &world.livekit.url(), bare, "").await;
    past.event("connected").await;
    past.event("disconnected").await;
    assert!(world.livekit.participants(&world.room).is_empty());
    // As a viewer it is welcome.
    let (_, watching) = world.token("guest", "subscriber").await;
    let mut viewer = Client::python("view", &url, &watching, "").await;
    viewer.event("connected").await;
    world.gateway.stop().await;
}
