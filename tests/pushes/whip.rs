//! By WHIP: LiveKit's own endpoint as the test server has it, and one in front of it that answers in the ways
//! that endpoints do.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{delete, post};
use livekit_protocol::TrackType;

use super::rtmp::secured;
use super::*;
use crate::common::livekit::LivekitServer;
use crate::common::livekit::clients::Client;
use crate::common::livekit::real::RealServer;
use crate::common::livekit::record::Layer;

const ROOM: &str = "pushed-by-whip";
const IDENTITY: &str = "from-forebay";

/// What came of a track's only layer.
fn layer(livekit: &LivekitServer, identity: &str, kind: TrackType) -> Option<Layer> {
    Some(livekit.track(ROOM, identity, kind)?.layer("").clone())
}

/// Waits until so many pictures and some sound have come, and everybody is whole.
async fn whole(livekit: &LivekitServer, identity: &str, frames: u64) -> (Layer, Layer) {
    let enough = |livekit: &LivekitServer| {
        let picture = layer(livekit, identity, TrackType::Video)?;
        let sound = layer(livekit, identity, TrackType::Audio)?;
        let is_timed = !picture.reports.is_empty() && !sound.reports.is_empty();
        (picture.frames >= frames && is_timed).then_some((picture, sound))
    };
    let (picture, sound) = livekit.until("picture and sound", enough).await;
    assert_eq!((picture.broken_frames, picture.lost_packets), (0, 0));
    assert_eq!(sound.lost_packets, 0);
    (picture, sound)
}

fn nobody(livekit: &LivekitServer) -> Option<()> {
    livekit.participants(ROOM).is_empty().then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whip_endpoint_gets_whole_pictures_and_sound_on_one_clock_until_the_push_is_removed() {
    let livekit = LivekitServer::start();
    let pushing = Pushing::start(&[]).await;
    let token = livekit.token(IDENTITY, ROOM, &json!({}));
    let url = format!("http://{}/whip/v1", livekit.address());
    let id = pushing
        .add(json!({"kind": "whip", "url": url, "token": token}))
        .await;
    let _encoder = pushing.publish(&Clip::long("flv").file());
    pushing.until_state("live").await;
    let (picture, sound) = whole(&livekit, IDENTITY, 90).await;
    // The newest units of both are of one time, to what is on its way.
    let newest = |layer: &Layer| {
        let unit = layer.units.back().expect("units");
        layer.clock_at(unit.rtp_time).expect("a report")
    };
    let apart = (newest(&picture) - newest(&sound)).abs();
    assert!(apart < 0.5, "{apart} s apart");
    assert!(!pushing.told().await.to_string().contains(&token));
    pushing.remove(&id).await;
    livekit.until("an empty room", nobody).await;
    assert!(!pushing.gateway.stop().await.contains(&token));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_livekit_server_has_the_picture_and_the_sound_until_the_push_is_removed() {
    let Some(livekit) = RealServer::start("pushes::whip", None).await else {
        return;
    };
    let pushing = Pushing::start(&[]).await;
    let token = livekit.token(IDENTITY, ROOM, &json!({}));
    let url = format!("http://{}/whip/v1", livekit.address());
    let watching = livekit.token("viewer", ROOM, &json!({"canPublish": false}));
    let mut viewer = Client::python("view", &livekit.url(), &watching, "").await;
    viewer.event("connected").await;
    let id = pushing
        .add(json!({"kind": "whip", "url": url, "token": token}))
        .await;
    let _encoder = pushing.publish(&Clip::long("flv").file());
    pushing.until_state("live").await;
    viewer.event("sound").await;
    viewer.pictures(IDENTITY, 90).await;
    pushing.remove(&id).await;
    viewer
        .until("went", |said| said["identity"] == IDENTITY)
        .await;
    assert!(!pushing.gateway.stop().await.contains(&token));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_for_whose_certificate_nobody_vouches_is_refused() {
    let folder = Folder::new();
    let (far, _) = secured(&folder).await;
    let pushing = Pushing::start(&[]).await;
    let url = format!("https://localhost:{}/whip/v1", far.http().port());
    let token = "NotToBeShown-1a2b3c";
    let push = json!({"kind": "whip", "url": url, "token": token});
    pushing.add(push).await;
    let _encoder = pushing.publish(&Clip::long("flv").file());
    let told = pushing.until_state("refused").await;
    let reason = told["reason"].as_str().expect("why");
    assert!(
        reason.starts_with("its certificate is not accepted: ") && reason.contains("UnknownIssuer"),
        "{reason}"
    );
    assert!(!told.to_string().contains(token));
    assert!(!pushing.gateway.stop().await.contains(token));
    // It was not even said to who could not prove its name.
    assert!(!far.stop().await.contains(token));
}

/// Who called: method and path, and whether with the token.
type Calls = Arc<Mutex<Vec<(String, bool)>>>;

/// An endpoint before LiveKit's, which answers as its paths say.
#[derive(Clone)]
struct Front {
    livekit: SocketAddr,
    own: SocketAddr,
    /// The token of each way.
    tokens: Arc<HashMap<String, String>>,
    calls: Calls,
}

const WAYS: [&str; 3] = ["relative", "absolute", "moved"];

impl Front {
    #[expect(clippy::disallowed_methods, reason = "ended with the test")]
    async fn start(livekit: &LivekitServer) -> Front {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let token = |way: &&str| ((*way).to_owned(), livekit.token(way, ROOM, &json!({})));
        let front = Front {
            livekit: livekit.address(),
            own: listener.local_addr().unwrap(),
            tokens: Arc::new(WAYS.iter().map(token).collect()),
            calls: Calls::default(),
        };
        let routes = Router::new()
            .route("/entry/{way}", post(enter))
            .route("/entry/sessions/{way}/{sid}", delete(leave))
            .with_state(front.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        front
    }

    fn note(&self, call: String, headers: &HeaderMap, way: &str) {
        let bearer = self.tokens.get(way).map(|token| format!("Bearer {token}"));
        let given = headers.get(header::AUTHORIZATION);
        let has_token =
            given.is_some_and(|given| Some(given.to_str().unwrap()) == bearer.as_deref());
        self.calls.lock().unwrap().push((call, has_token));
    }

    fn url(&self, way: &str) -> String {
        format!("http://{}/entry/{way}", self.own)
    }
}

fn answer(status: u16, location: Option<String>, body: impl Into<Body>) -> Response {
    let mut answer = Response::builder().status(status);
    if let Some(location) = location {
        answer = answer.header(header::LOCATION, location);
    }
    answer.body(body.into()).unwrap()
}

async fn enter(
    State(front): State<Front>,
    Path(way): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    front.note(format!("POST {way}"), &headers, &way);
    match way.as_str() {
        "refused" => return answer(404, None, "no such endpoint"),
        "busy" => return answer(503, None, "later"),
        "huge" => return answer(201, Some("s/1".to_owned()), "v=0\r\n".repeat(100_000)),
        "nowhere" => return answer(201, None, "v=0\r\n"),
        "nonsense" => return answer(201, Some("s/1".to_owned()), "no description"),
        "round" => return answer(308, Some("round".to_owned()), ""),
        "astray" => return answer(307, Some("http://192.0.2.1/w".to_owned()), ""),
        "silent" => return std::future::pending().await,
        _ => {}
    }
    if way == "moved" && !front.has_moved() {
        return answer(307, Some(front.url(&way)), "");
    }
    let token = format!("Bearer {}", front.tokens[&way]);
    let sent = [
        ("Content-Type", "application/sdp"),
        ("Authorization", token.as_str()),
    ];
    let taken = crate::common::http::send(front.livekit, "POST", "/whip/v1", &sent, &body).await;
    let sid = taken
        .header("location")
        .and_then(|at| at.rsplit('/').next());
    let location = sid.map(|sid| match way.as_str() {
        "absolute" => format!("http://{}/entry/sessions/{way}/{sid}", front.own),
        _ => format!("sessions/{way}/{sid}"),
    });
    answer(taken.status, location, taken.body)
}

impl Front {
    /// Whether the endpoint that moves has been asked before.
    fn has_moved(&self) -> bool {
        let calls = self.calls.lock().unwrap();
        calls
            .iter()
            .filter(|(call, _)| call == "POST moved")
            .count()
            > 1
    }
}

async fn leave(
    State(front): State<Front>,
    Path((way, sid)): Path<(String, String)>,
    headers: HeaderMap,
) -> StatusCode {
    let token = format!("Bearer {}", front.tokens[&way]);
    let sent = [("Authorization", token.as_str())];
    let path = format!("/whip/v1/{sid}");
    let gone = crate::common::http::send(front.livekit, "DELETE", &path, &sent, "").await;
    front.note(format!("DELETE {way}"), &headers, &way);
    StatusCode::from_u16(gone.status).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_deleted_where_the_endpoint_said_that_it_is() {
    let livekit = LivekitServer::start();
    let front = Front::start(&livekit).await;
    let pushing = Pushing::start(&[]).await;
    for way in WAYS {
        let body = json!({"kind": "whip", "url": front.url(way), "token": front.tokens[way]});
        pushing.add(body).await;
    }
    let _encoder = pushing.publish(&Clip::long("flv").file());
    for way in WAYS {
        whole(&livekit, way, 30).await;
    }
    pushing.end_stream().await;
    livekit.until("an empty room", nobody).await;
    let deleted = async || {
        let calls = front.calls.lock().unwrap().clone();
        let is_gone = |way: &&str| calls.contains(&(format!("DELETE {way}"), true));
        WAYS.iter().all(is_gone).then_some(())
    };
    pushing.gateway.until("deleted sessions", deleted).await;
    let calls = front.calls.lock().unwrap().clone();
    let entries = calls.iter().filter(|(call, _)| call == "POST moved");
    assert_eq!(entries.count(), 2);
    assert!(calls.iter().all(|(_, has_token)| *has_token), "{calls:?}");
    pushing.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_answer_badly_are_told_of_and_hold_nobody_up() {
    let livekit = LivekitServer::start();
    let front = Front::start(&livekit).await;
    let pushing = Pushing::start(&[]).await;
    let expected = [
        ("refused", "refused", "it answered 404 Not Found"),
        ("busy", "retrying", "it answered 503 Service Unavailable"),
        ("huge", "retrying", "its answer: length limit exceeded"),
        ("nowhere", "retrying", "its answer names no session"),
        ("nonsense", "retrying", ""),
        ("round", "refused", "it redirects more than three times"),
        (
            "astray",
            "refused",
            "192.0.2.1 is a reserved address, which FOREBAY_FORWARD_PRIVATE does not name",
        ),
        ("silent", "retrying", "it did not answer within 10s"),
    ];
    let mut ids = Vec::new();
    for (way, ..) in expected {
        let body = json!({"kind": "whip", "url": front.url(way), "token": "TokenOfNobody"});
        ids.push(pushing.add(body).await);
    }
    let _encoder = pushing.publish(&Clip::long("flv").file());
    for ((way, state, reason), id) in expected.into_iter().zip(&ids) {
        let told = pushing.until_of(id, |told| told["state"] == state).await;
        let said = told["reason"].as_str().expect("why");
        assert!(
            said.starts_with(reason) && !said.is_empty(),
            "{way}: {said}"
        );
    }
    // Viewers notice nothing.
    let stream = pushing.gateway.stream_id().await;
    let listed = async || {
        let list = format!("/hls/{stream}/source/index.m3u8");
        let list = pushing.gateway.get(&list).await;
        (list.text().matches(".m4s").count() > 8).then(|| list.text().contains("#EXT-X-GAP"))
    };
    assert!(!pushing.gateway.until("segments", listed).await);
    let log = pushing.gateway.stop().await;
    assert!(!log.contains("TokenOfNobody"));
}
