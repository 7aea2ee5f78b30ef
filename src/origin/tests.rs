//! What players see, over a timeline that the tests move on.

mod names;
mod network;
mod playlists;
pub(super) mod scripted;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt;

use super::*;
use crate::base::clock::Wall;
use scripted::{BROADCAST, FIRST, OneStream, Scripted};

/// Lets in whoever has the token `good`.
struct Guarded;

impl Access for Guarded {
    fn allows(&self, _stream: Uuid, token: Option<&str>, _client: IpAddr) -> bool {
        token == Some("good")
    }
}

/// A WebSocket that says what it hears.
async fn echo(upgrade: axum::extract::WebSocketUpgrade) -> axum::response::Response {
    upgrade.on_upgrade(|mut socket| async move {
        while let Some(Ok(message)) = socket.recv().await {
            if socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

struct Rig {
    origin: Arc<Origin>,
    streams: Arc<OneStream>,
    timeline: Arc<Scripted>,
    clock: Clock,
}

impl Rig {
    fn new() -> Rig {
        Rig::with(Arc::new(Open))
    }

    fn with(access: Arc<dyn Access>) -> Rig {
        let timeline = Scripted::new();
        let streams = Arc::new(OneStream {
            id: Uuid::new_v4(),
            timeline: Mutex::new(Some(timeline.clone())),
        });
        let clock = Clock::simulated(Wall(1_790_000_000_123_456));
        let fallback = axum::Router::new().route(
            "/hello",
            axum::routing::post(|client: axum::Extension<Client>, body: String| async move {
                format!("{} from {} secure {}", body, client.address, client.secure)
            }),
        );
        let fallback = fallback.route("/echo", axum::routing::get(echo));
        let origin = Origin::new(
            Config::default(),
            streams.clone(),
            clock.clone(),
            access,
            fallback,
        );
        Rig {
            origin,
            streams,
            timeline,
            clock,
        }
    }

    /// A described stream with three whole segments and two parts of the fourth, in both renditions.
    fn playing() -> Rig {
        let rig = Rig::new();
        rig.play();
        rig
    }

    fn play(&self) {
        for name in ["source", "audio"] {
            for _ in 0..3 {
                self.timeline.segment(name);
            }
            self.timeline.part(name, format!("[{name} 30]"));
            self.timeline.part(name, format!("[{name} 31]"));
        }
        self.timeline.describe();
    }

    fn url(&self, tree: &str, below: &str) -> String {
        format!("/{tree}/{}/{below}", self.streams.id)
    }

    fn hls(&self, below: &str) -> String {
        self.url("hls", below)
    }

    fn ask(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> Answering {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        let client = IpAddr::from([192, 0, 2, 1]);
        let url = url.parse().unwrap();
        let answering = self.origin.playback(&method, &url, &map, client);
        answering.expect("a playback path")
    }

    /// An answer that must be there at once.
    fn get(&self, url: &str) -> Response<Body> {
        self.get_with(url, &[])
    }

    fn get_with(&self, url: &str, headers: &[(&str, &str)]) -> Response<Body> {
        at_once(self.ask(Method::GET, url, headers))
    }

    /// An answer for which a name may have to be looked up.
    async fn looked_up(&self, url: &str) -> Response<Body> {
        match self.ask(Method::GET, url, &[]) {
            Answering::Ready(response) => response,
            Answering::Later(later) => later.await,
        }
    }

    /// An answer that must be waited for.
    fn blocked(&self, url: &str) -> Later {
        match self.ask(Method::GET, url, &[]) {
            Answering::Later(later) => pending(later),
            Answering::Ready(response) => panic!("{url} answered at once: {response:?}"),
        }
    }
}

type Later = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

fn at_once(answering: Answering) -> Response<Body> {
    match answering {
        Answering::Ready(response) => response,
        Answering::Later(_) => panic!("the answer is not there at once"),
    }
}

/// An answer that must come within this range of seconds, and not before.
async fn answered_within(mut later: Later, seconds: std::ops::Range<u64>) -> Response<Body> {
    let early = tokio::time::timeout(Duration::from_secs(seconds.start), &mut later).await;
    assert!(early.is_err(), "answered too early");
    let rest = Duration::from_secs(seconds.end - seconds.start);
    let answer = tokio::time::timeout(rest, later).await;
    answer.expect("answered in time")
}

fn is_pending(later: &mut Later) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    matches!(later.as_mut().poll(&mut cx), Poll::Pending)
}

fn pending(mut later: Later) -> Later {
    assert!(is_pending(&mut later), "the answer is there at once");
    later
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(bytes(response).await).unwrap()
}

async fn bytes(response: Response<Body>) -> Vec<u8> {
    let collected = response.into_body().collect().await.unwrap();
    collected.to_bytes().to_vec()
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(start_paused = true)]
async fn media_is_equal_under_both_trees_and_immutable() {
    let rig = Rig::playing();
    for tree in ["hls", "dash"] {
        let segment = rig.get(&rig.url(tree, "source/100.m4s"));
        assert_eq!(header(&segment, "content-type"), "video/mp4");
        assert_eq!(
            header(&segment, "cache-control"),
            "public, max-age=3600, immutable"
        );
        assert_eq!(header(&segment, "accept-ranges"), "bytes");
        assert_eq!(header(&segment, "content-encoding"), "");
        let parts: String = (0..10).map(|number| format!("[source {number}]")).collect();
        assert_eq!(
            http_body::Body::size_hint(segment.body()).exact(),
            Some(parts.len() as u64)
        );
        assert_eq!(text(segment).await, parts);
        assert_eq!(
            text(rig.get(&rig.url(tree, "source/p31.m4s"))).await,
            "[source 31]"
        );
        let init = rig.get(&rig.url(tree, "audio/init-audio.mp4"));
        assert_eq!(header(&init, "content-type"), "audio/mp4");
        assert_eq!(text(init).await, "init of audio");
    }
}

#[tokio::test(start_paused = true)]
async fn single_ranges_are_served_and_others_are_not() {
    let rig = Rig::playing();
    let url = rig.hls("source/100.m4s");
    let whole = bytes(rig.get(&url)).await;
    let response = rig.get_with(&url, &[("range", "bytes=5-16")]);
    assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
    let range = format!("bytes 5-16/{}", whole.len());
    assert_eq!(header(&response, "content-range"), range);
    let tag = header(&response, "etag").to_owned();
    assert_eq!(bytes(response).await, whole[5..17]);
    let response = rig.get_with(&url, &[("range", "bytes=9999-")]);
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(
        header(&response, "content-range"),
        format!("bytes */{}", whole.len())
    );
    let response = rig.get_with(&url, &[("range", "bytes=0-1,4-5")]);
    assert_eq!(response.status(), StatusCode::OK);
    let response = rig.get_with(&url, &[("range", "bytes=0-1"), ("if-range", &tag)]);
    assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
    let response = rig.get_with(&url, &[("range", "bytes=0-1"), ("if-range", "\"x\"")]);
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn head_has_the_length_and_no_body() {
    let rig = Rig::playing();
    for below in ["source/index.m3u8", "source/100.m4s", "source/p1.m4s"] {
        let url = rig.hls(below);
        let length = bytes(rig.get(&url)).await.len().to_string();
        let head = at_once(rig.ask(Method::HEAD, &url, &[]));
        assert_eq!(header(&head, "content-length"), length, "{below}");
        assert!(bytes(head).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_hinted_part_is_awaited_and_sent_whole() {
    let rig = Rig::playing();
    let later = rig.blocked(&rig.hls("source/p32.m4s"));
    assert_eq!(
        rig.get(&rig.hls("source/p33.m4s")).status(),
        StatusCode::NOT_FOUND
    );
    rig.timeline.part("source", "hinted");
    let response = later.await;
    assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(6));
    assert_eq!(text(response).await, "hinted");
}

#[tokio::test(start_paused = true)]
async fn a_hint_stays_true_until_the_end() {
    let rig = Rig::playing();
    let later = rig.blocked(&rig.hls("source/p32.m4s"));
    assert_eq!(later.await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let later = rig.blocked(&rig.hls("source/p32.m4s"));
    rig.timeline.end();
    assert_eq!(later.await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_growing_segment_is_sent_chunk_by_chunk() {
    let rig = Rig::playing();
    let response = rig.get(&rig.url("dash", "source/103.m4s"));
    assert_eq!(http_body::Body::size_hint(response.body()).exact(), None);
    let mut body = response.into_body();
    let mut chunk = async || {
        let frame = body.frame().await.map(|frame| frame.unwrap());
        frame.map(|frame| frame.into_data().unwrap())
    };
    assert_eq!(chunk().await.unwrap(), "[source 30]");
    assert_eq!(chunk().await.unwrap(), "[source 31]");
    {
        let mut next = Box::pin(chunk());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(next.as_mut().poll(&mut cx).is_pending());
        rig.timeline.part("source", "[source 32]");
        assert_eq!(next.await.unwrap(), "[source 32]");
    }
    rig.timeline.part("source", "[source 33]");
    rig.timeline.cut("source");
    assert_eq!(chunk().await.unwrap(), "[source 33]");
    assert_eq!(chunk().await, None);
    let whole = rig.get(&rig.hls("source/103.m4s"));
    let parts: String = (30..34)
        .map(|number| format!("[source {number}]"))
        .collect();
    assert_eq!(text(whole).await, parts);
}

#[tokio::test(start_paused = true)]
async fn a_growing_segment_that_stops_growing_ends_in_an_error() {
    let rig = Rig::playing();
    let mut body = rig.get(&rig.hls("source/103.m4s")).into_body();
    for _ in 0..2 {
        body.frame().await.unwrap().unwrap();
    }
    assert!(body.frame().await.unwrap().is_err());
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_next_segment_is_awaited_for_one_segment() {
    let rig = Rig::playing();
    rig.timeline.cut("source");
    let later = rig.blocked(&rig.url("dash", "source/104.m4s"));
    rig.timeline.part("source", "first");
    let mut body = later.await.into_body();
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "first"
    );

    rig.timeline.cut("source");
    let later = rig.blocked(&rig.url("dash", "source/105.m4s"));
    let response = answered_within(later, 2..5).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(header(&response, "cache-control"), "no-store");
    let gone = rig.get(&rig.hls("source/200.m4s"));
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    assert_eq!(header(&gone, "cache-control"), "public, max-age=1");
}

#[tokio::test(start_paused = true)]
async fn a_removed_segment_is_not_found_once_the_timeline_forgets_it() {
    let rig = Rig::playing();
    assert_eq!(rig.get(&rig.hls("source/100.m4s")).status(), StatusCode::OK);
    rig.timeline.slide("source");
    let url = rig.hls(&format!("source/{FIRST}.m4s"));
    assert_eq!(rig.get(&url).status(), StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_player_that_comes_before_the_first_part_gets_its_playlists() {
    let rig = Rig::new();
    let multivariant = rig.blocked(&rig.hls("index.m3u8"));
    let media = rig.blocked(&rig.hls("source/index.m3u8"));
    let mpd = rig.blocked(&rig.url("dash", "manifest.mpd"));
    rig.play();
    let (multivariant, media, mpd) = tokio::join!(multivariant, media, mpd);
    assert!(text(multivariant).await.contains("#EXT-X-STREAM-INF"));
    assert!(text(media).await.contains("#EXTINF"));
    assert_eq!(header(&mpd, "content-type"), "application/dash+xml");
    assert!(text(mpd).await.contains("<SegmentTimeline"));
}

#[tokio::test(start_paused = true)]
async fn an_unlisted_rendition_is_not_found_at_once() {
    let rig = Rig::playing();
    let response = rig.get(&rig.hls("nonsense/index.m3u8"));
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn both_mpds_follow_the_renditions() {
    let rig = Rig::playing();
    for name in ["manifest.mpd", "ll.mpd"] {
        let url = rig.url("dash", name);
        let before = rig.get(&url);
        assert_eq!(header(&before, "cache-control"), "public, max-age=1");
        let tag = header(&before, "etag").to_owned();
        assert_eq!(header(&rig.get(&url), "etag"), tag);
        for rendition in ["source", "audio"] {
            rig.timeline.cut(rendition);
            rig.timeline.segment(rendition);
        }
        assert_ne!(header(&rig.get(&url), "etag"), tag, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_is_utc_with_milliseconds() {
    let rig = Rig::new();
    let response = rig.get("/time");
    assert_eq!(header(&response, "cache-control"), "no-store");
    assert_eq!(header(&response, "access-control-allow-origin"), "*");
    assert_eq!(text(response).await, "2026-09-21T14:13:20.123Z");
}

#[tokio::test(start_paused = true)]
async fn preflights_are_answered_and_other_methods_refused() {
    let rig = Rig::playing();
    let url = rig.hls("source/index.m3u8");
    let preflight = at_once(rig.ask(Method::OPTIONS, &url, &[]));
    assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
    assert!(header(&preflight, "access-control-allow-headers").contains("CMCD-Session"));
    assert!(header(&preflight, "access-control-allow-methods").contains("GET"));
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let response = at_once(rig.ask(method, &url, &[]));
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}

proptest::proptest! {
    #[test]
    fn no_request_makes_the_parsers_panic(bytes in proptest::collection::vec(0_u8.., 0..400)) {
        fuzz_request(&bytes);
    }

    #[test]
    fn nothing_that_resembles_a_request_makes_the_parsers_panic(
        text in "(/hls/|/dash/)[a-z0-9~/.%-]{0,60}\n([_HLSmsnpartk=0-9&CD%]{0,60})\n[a-z0-9=,;\"*.bytes -]{0,60}",
    ) {
        fuzz_request(text.as_bytes());
    }
}
