//! The LiveKit server that the settings name. In: its address and credentials. Out: tokens that open its
//! rooms, and whether it answers. Not here: what happens in rooms.
//!
//! Whether it answers is asked with its own API, so that wrong credentials are found as well. Each question
//! has a connection of its own: there is one in some seconds at most.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

use super::outbound::{self, Target};
use super::token::{LivekitGrant, livekit};
use crate::base::clock::{Clock, Wall};
use crate::base::secret::Secret;

/// How long a token opens its room (contract, broadcasts, B-48).
pub const TOKEN_VALID_FOR: Duration = Duration::from_secs(6 * 3600);
/// What clients of the contract expect tokens to begin with (B-8).
const TOKEN_PREFIX: &str = "livekit_";
/// From the question to the code of the answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// How long an answer is handed out again: anybody may ask, and the server has better things to do.
const FRESH: Duration = Duration::from_secs(5);
/// Time in which the token of a question is good: for a clock that goes wrong by some minutes.
const ASKING_S: i64 = 600;
/// Lists rooms of LiveKit's room service.
const LIST_ROOMS: &str = "/twirp/livekit.RoomService/ListRooms";
/// Asks for a room that nobody makes, so that the answer is short on a busy server.
const NO_ROOM: &[u8] = br#"{"names":["forebay-health"]}"#;

/// What the settings say of it.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// `LIVEKIT_URL`: `ws`, `wss`, `http` or `https`.
    pub url: &'a str,
    /// `LIVEKIT_API_KEY`.
    pub api_key: &'a str,
    /// `LIVEKIT_API_SECRET`.
    pub api_secret: &'a Secret,
    /// `FOREBAY_LIVEKIT_TOKEN_PREFIX`.
    pub token_prefix: bool,
}

/// Why there is no server to ask.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be called.
    #[error("it is no address such as wss://livekit.example.org")]
    Address,
    /// No certificate is trusted, so none could be checked.
    #[error("it is wss, and no trusted certificates were found on this machine")]
    NoRoots,
    /// The TLS settings cannot be used.
    #[error("it is wss, and TLS cannot be set up")]
    Tls,
}

/// Why the server is of no use now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwell {
    /// There was no answer.
    #[error("the LiveKit server cannot be reached: {0}")]
    Unreachable(String),
    /// It has other credentials.
    #[error("the LiveKit server refuses the API key or its secret")]
    Credentials,
    /// Something answers that has no room service, or cannot serve.
    #[error("what answers at LIVEKIT_URL says {0} to a request of LiveKit's API")]
    Code(u16),
}

/// A LiveKit server. Cloning shares it.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    /// As clients connect to it: `ws` or `wss`, without a slash at the end.
    url: String,
    api_key: String,
    api_secret: Secret,
    token_prefix: bool,
    list_rooms: Target,
    tls: Option<TlsConnector>,
    /// One question at a time; those who wait share its answer.
    turn: Semaphore,
    /// Monotonic time, and what was found then.
    found: Mutex<Option<(Duration, Result<(), Unwell>)>>,
}

/// An access token.
#[derive(Debug)]
pub struct Token {
    /// With its prefix, if it has one.
    pub token: Secret,
    /// When it ends, to the second.
    pub expires: Wall,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("url", &self.0.url).finish()
    }
}

impl Server {
    /// The server that the settings name. Reads the machine's certificates if it needs them: blocks for some
    /// milliseconds.
    pub fn new(settings: &Settings<'_>) -> Result<Server, Error> {
        let url = settings.url.trim_end_matches('/');
        let (scheme, rest) = url.split_once("://").ok_or(Error::Address)?;
        let is_secure = match scheme {
            "ws" | "http" => false,
            "wss" | "https" => true,
            _ => return Err(Error::Address),
        };
        // Everybody is told this address.
        if rest.contains(['@', '?', '#']) {
            return Err(Error::Address);
        }
        let http = if is_secure { "https" } else { "http" };
        let list_rooms = Target::of(&format!("{http}://{rest}{LIST_ROOMS}"));
        let list_rooms = list_rooms.map_err(|_| Error::Address)?;
        let tls = match is_secure {
            true => Some(trusting_the_machine()?),
            false => None,
        };
        Ok(Server(Arc::new(Inner {
            url: format!("{}://{rest}", if is_secure { "wss" } else { "ws" }),
            api_key: settings.api_key.to_owned(),
            api_secret: settings.api_secret.clone(),
            token_prefix: settings.token_prefix,
            list_rooms,
            tls,
            turn: Semaphore::new(1),
            found: Mutex::new(None),
        })))
    }

    /// Where clients connect to: everything that names the server names this.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Signs a token. `grant` says how long it is good for.
    pub fn token(
        &self,
        grant: &LivekitGrant<'_>,
        now: Wall,
    ) -> Result<Token, jsonwebtoken::errors::Error> {
        let inner = &self.0;
        let token = livekit(&inner.api_key, &inner.api_secret, now, grant)?;
        let prefix = if inner.token_prefix { TOKEN_PREFIX } else { "" };
        let valid_s = i64::try_from(grant.valid_for.as_secs()).unwrap_or(i64::MAX);
        let expires_s = now.unix_seconds().saturating_add(valid_s);
        Ok(Token {
            token: Secret::new(format!("{prefix}{token}")),
            expires: Wall(expires_s.saturating_mul(1_000_000)),
        })
    }

    /// Whether the server answers and takes our credentials, as was found a few seconds ago at most.
    pub async fn health(&self, clock: &Clock) -> Result<(), Unwell> {
        let inner = &self.0;
        let _turn = inner.turn.acquire().await;
        let found = || inner.found.lock().unwrap_or_else(PoisonError::into_inner);
        let before = found().clone();
        let now = clock.monotonic();
        if let Some((at, before)) = &before
            && now.saturating_sub(*at) < FRESH
        {
            return before.clone();
        }
        let outcome = self.ask(clock.wall()).await;
        let was_well = before.is_none_or(|(_, before)| before.is_ok());
        match &outcome {
            Err(err) if was_well => tracing::warn!(%err, url = inner.url, "LiveKit is unavailable"),
            Ok(()) if !was_well => tracing::info!(url = inner.url, "LiveKit is available again"),
            _ => {}
        }
        *found() = Some((clock.monotonic(), outcome.clone()));
        outcome
    }

    /// Asks the server now.
    pub async fn ask(&self, now: Wall) -> Result<(), Unwell> {
        let late = |_| {
            let seconds = DEADLINE.as_secs();
            Err(Unwell::Unreachable(format!("no answer within {seconds} s")))
        };
        let asked = tokio::time::timeout(DEADLINE, self.0.call(now)).await;
        match asked.unwrap_or_else(late)? {
            code if code.is_success() => Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Unwell::Credentials),
            code => Err(Unwell::Code(code.as_u16())),
        }
    }
}

impl Inner {
    /// The code of the answer says all there is to know.
    async fn call(&self, now: Wall) -> Result<StatusCode, Unwell> {
        let failed = |what: &str, err: &dyn std::fmt::Display| {
            Unwell::Unreachable(outbound::failed(what, err))
        };
        let token = asking(&self.api_key, &self.api_secret, now);
        let token = token.map_err(|err| failed("signature", &err))?;
        let target = &self.list_rooms;
        let mut request = target.post(Bytes::from_static(NO_ROOM));
        request.headers_mut().insert(AUTHORIZATION, token);
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await;
        let stream = stream.map_err(|err| failed("no connection", &err))?;
        let code = async |answer: http::Response<_>| answer.status();
        let answer = target
            .exchange(stream, self.tls.as_ref(), request, code)
            .await;
        answer.map_err(Unwell::Unreachable)
    }
}

/// The header of a question: a token that lists rooms and does nothing else.
fn asking(
    api_key: &str,
    api_secret: &Secret,
    now: Wall,
) -> Result<HeaderValue, jsonwebtoken::errors::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Video {
        room_list: bool,
    }
    #[derive(Serialize)]
    struct Claims<'a> {
        iss: &'a str,
        nbf: i64,
        exp: i64,
        video: Video,
    }
    let now = now.unix_seconds();
    let claims = Claims {
        iss: api_key,
        nbf: now.saturating_sub(ASKING_S),
        exp: now.saturating_add(ASKING_S),
        video: Video { room_list: true },
    };
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    let key = jsonwebtoken::EncodingKey::from_secret(api_secret.expose().as_bytes());
    let token = jsonwebtoken::encode(&header, &claims, &key)?;
    let value = HeaderValue::try_from(format!("Bearer {token}"));
    let mut value = value.expect("a JWT has printable characters only");
    value.set_sensitive(true);
    Ok(value)
}

fn trusting_the_machine() -> Result<TlsConnector, Error> {
    let roots = outbound::machine_roots();
    if roots.is_empty() {
        return Err(Error::NoRoots);
    }
    outbound::connector(roots).map_err(|_| Error::Tls)
}

#[cfg(test)]
pub(crate) mod tests {
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
                while !question.ends_with(NO_ROOM) {
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

    pub(crate) const WELL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"rooms\":[]}";

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
    fn clients_are_told_a_websocket_address_and_secrets_are_not_printed() {
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
}
