//! Clients on their way to a LiveKit server that the test plays, through the whole router.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::base::id::Uuid;
use crate::control::livekit::tests::server;
use crate::control::livekit::tests::stand_in::{ask, gateway, signed};
use crate::control::tests::{Bench, NOW, bench};

/// A server below a path, and a gateway in front of it.
struct World {
    bench: Bench,
    far: TcpListener,
    address: String,
}

impl World {
    async fn new() -> World {
        let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let livekit = server(&format!("ws://{}/below/", far.local_addr().unwrap()), true);
        let bench = bench(|setup| setup.livekit = Some(livekit)).await;
        let address = gateway(&bench).await;
        World {
            bench,
            far,
            address,
        }
    }

    /// Asks, while the server answers with this; what the client gets, and what the server got.
    async fn exchange(&self, head: &str, answer: &str) -> ((TcpStream, String), TcpStream, String) {
        let far = async {
            let (mut stream, _) = self.far.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            (stream, String::from_utf8(asked).unwrap())
        };
        let (near, (far, asked)) = tokio::join!(ask(&self.address, head), far);
        (near, far, asked)
    }

    /// The code and text that a client gets, of whom the server hears nothing.
    async fn refused(&self, head: &str) -> (u16, String) {
        let (stream, head) = ask(&self.address, head).await;
        said(stream, &head).await
    }

    async fn broadcast(&self) -> (Uuid, Uuid) {
        let body = json!({"title": "t"});
        let (code, made) = self.post("/api/broadcasts", &body).await;
        assert_eq!(code, 200, "{made}");
        let id = |name: &str| Uuid::parse_str(made[name].as_str().unwrap()).unwrap();
        (id("id"), id("streamId"))
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\
             x-admin-key: admin-key\r\ncontent-type: application/json\r\n\r\n{body}"
        );
        let (stream, head) = ask(&self.address, &head).await;
        let (code, text) = said(stream, &head).await;
        (code, serde_json::from_str(&text).unwrap())
    }
}

async fn said(mut stream: TcpStream, head: &str) -> (u16, String) {
    let lower = head.to_ascii_lowercase();
    let length = lower.split("content-length: ").nth(1).unwrap();
    let length = length.lines().next().unwrap().parse().unwrap();
    let mut text = vec![0; length];
    stream.read_exact(&mut text).await.unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, String::from_utf8(text).unwrap())
}

fn token(room: &str, identity: &str, can_publish: bool) -> String {
    let now = NOW.unix_seconds();
    signed(
        &json!({"iss": "devkey", "sub": identity, "nbf": now, "exp": now + 60,
        "video": {"roomJoin": true, "room": room, "canPublish": can_publish}}),
    )
}

fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-protocol: any\r\ncookie: a=b\r\n\r\n"
    )
}

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
     sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: any\r\n\r\njoin";

#[tokio::test]
async fn a_client_speaks_with_the_server_which_gets_its_token_without_the_prefix() {
    let world = World::new().await;
    let token = token("room", "u", true);
    for path in ["/rtc", "/rtc/v1", "/rtc/v9/anything"] {
        let asked = handshake(&format!("{path}?sdk=js&access_token=livekit_{token}&x=%20"));
        let ((mut near, head), mut far, asked) = world.exchange(&asked, SWITCHED).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        for line in [
            "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            "sec-websocket-protocol: any",
        ] {
            assert!(head.contains(line), "{head}");
        }
        let first = format!("GET /below{path}?sdk=js&access_token={token}&x=%20 HTTP/1.1\r\n");
        assert!(asked.starts_with(&first), "{asked}");
        let lower = asked.to_ascii_lowercase();
        assert!(
            lower.contains("sec-websocket-key: dghlihnhbxbszsbub25jzq=="),
            "{asked}"
        );
        assert!(!lower.contains("cookie"), "{asked}");
        // What came right behind the head is not lost, and any bytes go through.
        let mut text = [0; 4];
        near.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"join");
        let frame = [0x82, 0x02, 0xff, 0x00];
        near.write_all(&frame).await.unwrap();
        far.read_exact(&mut text).await.unwrap();
        assert_eq!(text, frame);
        drop(far);
        assert_eq!(near.read(&mut text).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn the_servers_refusals_are_handed_on_without_what_they_repeat() {
    let world = World::new().await;
    let token = token("room", "u", true);
    let asked = format!(
        "GET /rtc/validate HTTP/1.1\r\nhost: h\r\nauthorization: Bearer livekit_{token}\r\n\r\n"
    );
    for (code, text, expected) in [
        (200, "success".to_owned(), "success".to_owned()),
        (404, "no such room".to_owned(), "no such room".to_owned()),
        (
            400,
            format!("bad {token} at http://h/rtc"),
            "bad […] at […]".to_owned(),
        ),
        (
            401,
            format!("invalid token: {token}"),
            "the LiveKit server refuses the access token".to_owned(),
        ),
    ] {
        let length = text.len();
        let answer = format!("HTTP/1.1 {code} Word\r\ncontent-length: {length}\r\n\r\n{text}");
        let ((near, head), _far, asked) = world.exchange(&asked, &answer).await;
        assert!(head.contains("access-control-allow-origin: *"), "{head}");
        assert_eq!(said(near, &head).await, (code, expected));
        let header = format!("authorization: Bearer {token}\r\n");
        assert!(
            asked
                .to_ascii_lowercase()
                .contains(&header.to_ascii_lowercase()),
            "{asked}"
        );
    }
    let preflight = "OPTIONS /rtc/validate HTTP/1.1\r\nhost: h\r\norigin: http://o\r\n\
        access-control-request-method: GET\r\n\r\n";
    let (_, head) = ask(&world.address, preflight).await;
    assert!(head.starts_with("HTTP/1.1 204"), "{head}");
    assert!(
        head.contains("access-control-allow-headers: Authorization"),
        "{head}"
    );
}

#[tokio::test]
async fn strangers_do_not_reach_the_server() {
    let world = World::new().await;
    let foreign = token("room", "u", true) + "A";
    for (path, expected) in [
        ("/rtc".to_owned(), 401),
        ("/rtc?access_token=livekit_x".to_owned(), 401),
        (format!("/rtc?access_token={foreign}"), 401),
        (
            format!("/rtc?access_token={foreign}&access_token={foreign}"),
            400,
        ),
        (format!("/rtc?access_token={}", "a".repeat(30_000)), 431),
    ] {
        let (code, text) = world.refused(&handshake(&path)).await;
        assert_eq!(code, expected, "{text}");
        assert!(!text.contains("eyJ"), "{text}");
    }
    let places = &world.bench.state.livekit().places;
    let good = handshake(&format!("/rtc?access_token={}", token("room", "u", true)));
    let held = places.opening.try_acquire_many(128).unwrap();
    assert_eq!(world.refused(&good).await.0, 503);
    drop(held);
    let held = places.clients.try_acquire_many(4096).unwrap();
    assert_eq!(world.refused(&good).await.0, 503);
    drop(held);
    drop(world.far);
    let gone = server("ws://127.0.0.1:9", true);
    let bench = bench(|setup| setup.livekit = Some(gone)).await;
    let (stream, head) = ask(&gateway(&bench).await, &good).await;
    assert_eq!(said(stream, &head).await.0, 502);
}

/// Contract, broadcasts, N-13 and N-7.
#[tokio::test]
async fn a_removed_co_host_comes_back_as_a_viewer_only_and_nobody_to_a_closed_room() {
    let world = World::new().await;
    let (id, stream) = world.broadcast().await;
    let path = format!("/api/broadcasts/{id}/status");
    let (code, _) = world.post(&path, &json!({"status": "active"})).await;
    assert_eq!(code, 200);
    let store = &world.bench.store;
    let new = crate::store::NewCoHost {
        user_id: Some("guest"),
        user_name: "Guest",
        permissions: crate::store::Permissions::default(),
    };
    let crate::store::Joining::Joined(guest) = store.join_cohost(id, &new).await.unwrap() else {
        panic!("there is a place");
    };
    let asked = |identity: &str, can_publish: bool| {
        let token = token(&stream.to_string(), identity, can_publish);
        handshake(&format!("/rtc?access_token=livekit_{token}"))
    };
    let ((_, head), ..) = world.exchange(&asked("guest", true), SWITCHED).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    store.remove_cohost(id, guest.id).await.unwrap();
    let (code, text) = world.refused(&asked("guest", true)).await;
    assert_eq!(code, 403);
    assert!(text.contains("removed"), "{text}");
    for (identity, can_publish) in [("guest", false), ("another", true)] {
        let ((_, head), ..) = world
            .exchange(&asked(identity, can_publish), SWITCHED)
            .await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }
    let update = crate::store::BroadcastUpdate {
        status: Some(crate::store::Status::Completed),
        ..crate::store::BroadcastUpdate::default()
    };
    store.update_broadcast(id, &update).await.unwrap();
    let (code, text) = world.refused(&asked("another", false)).await;
    assert_eq!(code, 403);
    assert!(text.contains("over"), "{text}");
}
