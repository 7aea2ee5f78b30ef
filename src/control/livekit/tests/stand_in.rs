//! In the place of a LiveKit server: answers calls of its API with what a test put there, and keeps what it was
//! asked. Also the gateway's own routes on a socket, and a client of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use livekit_protocol as lk;
use prost::Message;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::super::Server;
use super::{API_SECRET, server};
use crate::control::tests::Bench;

/// A code and a body for each method.
type Answers = Arc<Mutex<HashMap<&'static str, (u16, Bytes)>>>;

/// The server.
#[derive(Clone)]
pub(in crate::control) struct StandIn {
    pub(in crate::control) url: String,
    answers: Answers,
    asked: Arc<Mutex<Vec<(String, Bytes)>>>,
    news: Arc<Notify>,
}

impl StandIn {
    pub(in crate::control) async fn start() -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stand_in = StandIn {
            url: format!("ws://{}", listener.local_addr().unwrap()),
            answers: Answers::default(),
            asked: Arc::default(),
            news: Arc::default(),
        };
        let serving = stand_in.clone();
        let router = Router::new().fallback(async move |request| serving.answer(request).await);
        serve(listener, router);
        stand_in
    }

    async fn answer(self, request: Request) -> Response {
        let method = request.uri().path().rsplit('/').next();
        let method = method.unwrap_or_default().to_owned();
        let token = &request.headers()["authorization"];
        let token = token.to_str().unwrap().strip_prefix("Bearer ").unwrap();
        assert_eq!(claims(token)["iss"], "devkey");
        let body = axum::body::to_bytes(request.into_body(), 1 << 20).await;
        let answer = self.answers.lock().unwrap().get(method.as_str()).cloned();
        self.asked.lock().unwrap().push((method, body.unwrap()));
        self.news.notify_waiters();
        let (code, body) = answer.unwrap_or((200, Bytes::new()));
        (StatusCode::from_u16(code).unwrap(), body).into_response()
    }

    pub(in crate::control) fn server(&self) -> Server {
        server(&self.url, true)
    }

    pub(in crate::control) fn answers(&self, method: &'static str, answer: &impl Message) {
        let body = Bytes::from(answer.encode_to_vec());
        self.answers.lock().unwrap().insert(method, (200, body));
    }

    pub(in crate::control) fn refuses(&self, method: &'static str, code: u16, word: &str) {
        let body = json!({"code": word, "msg": "no rtmp://h/live/key for you"}).to_string();
        let body = Bytes::from(body);
        self.answers.lock().unwrap().insert(method, (code, body));
    }

    /// What was asked of a method so far.
    pub(in crate::control) fn asked<M: Message + Default>(&self, method: &str) -> Vec<M> {
        let asked = self.asked.lock().unwrap();
        let of_method = asked.iter().filter(|(name, _)| name == method);
        of_method
            .map(|(_, body)| M::decode(body.clone()).unwrap())
            .collect()
    }

    /// The same, once it was asked so often.
    pub(in crate::control) async fn once_asked<M: Message + Default>(
        &self,
        method: &str,
        times: usize,
    ) -> Vec<M> {
        let wait = async {
            loop {
                let news = self.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                let asked = self.asked(method);
                if asked.len() >= times {
                    return asked;
                }
                news.await;
            }
        };
        let wait = tokio::time::timeout(std::time::Duration::from_secs(20), wait);
        wait.await.expect("it is asked")
    }

    /// A room of this name with these people.
    pub(in crate::control) fn has_room(&self, name: &str, people: Vec<lk::ParticipantInfo>) {
        let rooms = vec![room(name)];
        self.answers("ListRooms", &lk::ListRoomsResponse { rooms });
        let participants = people;
        self.answers(
            "ListParticipants",
            &lk::ListParticipantsResponse { participants },
        );
    }
}

pub(in crate::control) fn room(name: &str) -> lk::Room {
    lk::Room {
        sid: "RM_1".to_owned(),
        name: name.to_owned(),
        ..lk::Room::default()
    }
}

/// Somebody who may publish and has so many tracks.
pub(in crate::control) fn person(identity: &str, role: &str, tracks: usize) -> lk::ParticipantInfo {
    lk::ParticipantInfo {
        sid: format!("PA_{identity}"),
        identity: identity.to_owned(),
        metadata: json!({ "role": role }).to_string(),
        permission: Some(lk::ParticipantPermission {
            can_publish: role != "subscriber",
            can_subscribe: true,
            ..lk::ParticipantPermission::default()
        }),
        tracks: (0..tracks)
            .map(|number| lk::TrackInfo {
                sid: format!("TR_{identity}_{number}"),
                ..lk::TrackInfo::default()
            })
            .collect(),
        ..lk::ParticipantInfo::default()
    }
}

/// Signs claims with the secret of the tests.
pub(in crate::control) fn signed(claims: &Value) -> String {
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    let key = jsonwebtoken::EncodingKey::from_secret(API_SECRET.as_bytes());
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}

fn claims(token: &str) -> Value {
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.validate_exp = false;
    let key = jsonwebtoken::DecodingKey::from_secret(API_SECRET.as_bytes());
    jsonwebtoken::decode(token, &key, &validation)
        .unwrap()
        .claims
}

#[expect(clippy::disallowed_methods, reason = "ended with the test")]
fn serve(listener: TcpListener, router: Router) {
    tokio::spawn(async move { axum::serve(listener, router).await });
}

/// The gateway's routes on a socket; its address.
pub(in crate::control) async fn gateway(bench: &Bench) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    serve(listener, crate::control::router(bench.state.clone()));
    address
}

/// Sends a request head; the connection behind the head of the answer, and that head.
pub(in crate::control) async fn ask(address: &str, head: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    (stream, String::from_utf8(answer).unwrap())
}
