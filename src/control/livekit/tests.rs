//! The server as it is asked for its health, and the tokens that it gives.

pub(in crate::control) mod stand_in;

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

pub(crate) const API_SECRET: &str = "a-livekit-secret";

pub(crate) fn server(url: &str, token_prefix: bool) -> Server {
    let settings = Settings {
        url,
        api_key: "devkey",
        api_secret: &Secret::new(API_SECRET),
        token_prefix,
    };
    Server::new(&settings).unwrap()
}

/// Something that gives this answer to everybody, counts, and keeps the last question.
pub(crate) struct Answering {
    pub(crate) url: String,
    asked: Arc<AtomicUsize>,
    last: Arc<Mutex<String>>,
}

pub(crate) async fn answering(answer: &'static str) -> Answering {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/livekit/", listener.local_addr().unwrap());
    let (asked, last) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(Mutex::new(String::new())),
    );
    let (count, kept) = (asked.clone(), last.clone());
    #[expect(clippy::disallowed_methods, reason = "ended with the test")]
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut question = Vec::new();
            while !question.ends_with(NO_ROOM.as_bytes()) {
                if stream.read_buf(&mut question).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            count.fetch_add(1, Ordering::Relaxed);
            *kept.lock().unwrap() = String::from_utf8(question).unwrap();
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    Answering { url, asked, last }
}

pub(crate) const WELL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_server_is_asked_with_a_token_of_its_own_and_once_in_a_while() {
    let clock = Clock::simulated(Wall(1_790_000_000_000_000));
    let answering = answering(WELL).await;
    let server = server(&answering.url, true);
    let (one, two) = tokio::join!(server.health(&clock), server.health(&clock));
    assert_eq!((one, two), (Ok(()), Ok(())));
    clock.advance(FRESH - Duration::from_millis(1));
    server.health(&clock).await.unwrap();
    assert_eq!(answering.asked.load(Ordering::Relaxed), 1);
    clock.advance(Duration::from_millis(1));
    server.health(&clock).await.unwrap();
    assert_eq!(answering.asked.load(Ordering::Relaxed), 2);
    let question = answering.last.lock().unwrap().clone();
    let path = "POST /livekit/twirp/livekit.RoomService/ListRooms HTTP/1.1\r\n";
    assert!(question.starts_with(path), "{question}");
    let token = question
        .split("Bearer ")
        .nth(1)
        .or_else(|| question.split("bearer ").nth(1));
    let token = token.and_then(|rest| rest.lines().next()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.validate_exp = false;
    let key = jsonwebtoken::DecodingKey::from_secret(API_SECRET.as_bytes());
    let claims = jsonwebtoken::decode::<serde_json::Value>(token, &key, &validation);
    let claims = claims.unwrap().claims;
    let expected = serde_json::json!({ "iss": "devkey", "video": { "roomList": true },
        "nbf": 1_789_999_405, "exp": 1_790_000_605 });
    assert_eq!(claims, expected);
}

#[tokio::test]
async fn what_is_wrong_with_a_server_is_told_apart() {
    let now = Wall(1_790_000_000_000_000);
    let code = |head| async move {
        let answering = answering(head).await;
        server(&answering.url, true).ask(now).await
    };
    let refused = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(code(refused).await, Err(Unwell::Credentials));
    let other = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(code(other).await, Err(Unwell::Code(404)));
    let foreign = "SSH-2.0-OpenSSH_9.2\r\n";
    assert!(matches!(code(foreign).await, Err(Unwell::Unreachable(_))));
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("ws://{}", gone.local_addr().unwrap());
    let gone = server(&gone, true).ask(now).await;
    assert!(matches!(gone, Err(Unwell::Unreachable(_))));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = server(&format!("ws://{}", listener.local_addr().unwrap()), true);
    let late = silent.ask(Wall(1_790_000_000_000_000)).await;
    let expected = Unwell::Unreachable("no answer within 2 s".to_owned());
    assert_eq!(late, Err(expected));
}

#[test]
fn the_address_is_a_websockets_and_secrets_are_not_printed() {
    for (given, told) in [
        ("ws://127.0.0.1:7880", "ws://127.0.0.1:7880"),
        ("http://[::1]:7880/", "ws://[::1]:7880"),
        (
            "ws://live.example.org/rooms/",
            "ws://live.example.org/rooms",
        ),
    ] {
        let server = server(given, true);
        assert_eq!(server.url(), told);
        assert!(!format!("{server:?}").contains(API_SECRET));
    }
    let secret = Secret::new(API_SECRET);
    for url in [
        "",
        "live",
        "ws://",
        "rtmp://h",
        "ws://user:pass@h",
        "ws://h/?a=b",
        "ws://h h",
    ] {
        let settings = Settings {
            url,
            api_key: "devkey",
            api_secret: &secret,
            token_prefix: true,
        };
        assert!(Server::new(&settings).is_err(), "{url}");
    }
}

#[test]
fn a_token_has_the_prefix_that_the_settings_say_and_ends_when_it_says() {
    let grant = LivekitGrant {
        room: "r",
        identity: "i",
        name: Some("Zoë"),
        metadata: Some("{}"),
        can_publish: true,
        can_subscribe: true,
        can_publish_data: Some(true),
        max_participants: Some(9),
        valid_for: TOKEN_VALID_FOR,
    };
    let now = Wall(1_790_000_000_999_999);
    let with = server("ws://h", true).token(&grant, now).unwrap();
    let without = server("ws://h", false).token(&grant, now).unwrap();
    let jwt = with.token.expose().strip_prefix("livekit_").unwrap();
    assert_eq!(jwt, without.token.expose());
    assert_eq!(with.expires, Wall(1_790_021_600_000_000));
    assert!(!format!("{with:?}").contains(jwt));
}
