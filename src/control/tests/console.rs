//! The console's sign-in and its events, over the routers.

use super::*;
use http::HeaderMap;

const PEER: &str = "192.0.2.9:5000";
const JSON: (&str, &str) = ("content-type", "application/json");
const HOST: (&str, &str) = ("host", "gate.example");
const ORIGIN: (&str, &str) = ("origin", "http://gate.example");

impl Bench {
    async fn browse(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> (StatusCode, HeaderMap, Body) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        let peer: SocketAddr = PEER.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = router(self.state.clone()).oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        (parts.status, parts.headers, body)
    }

    async fn sign_in(&self, key: &str, headers: &[(&'static str, &str)]) -> (StatusCode, String) {
        let body = serde_json::json!({ "key": key }).to_string();
        let path = "/api/admin/session";
        let (code, headers, _) = self.browse("POST", path, headers, &body).await;
        let cookie = headers.get("set-cookie").map(|it| it.to_str().unwrap());
        (code, cookie.unwrap_or_default().to_owned())
    }

    /// What the browser sends after it has signed in.
    async fn cookie(&self) -> String {
        let (code, cookie) = self.sign_in("admin-key", &[JSON, HOST, ORIGIN]).await;
        assert_eq!(code, StatusCode::OK);
        cookie.split(';').next().unwrap().to_owned()
    }
}

#[tokio::test]
async fn signing_in_gives_a_cookie_that_opens_operator_routes_until_signing_out() {
    let bench = bench(|_| {}).await;
    let (code, cookie) = bench.sign_in("admin-key", &[JSON, HOST, ORIGIN]).await;
    assert_eq!(code, StatusCode::OK);
    for word in [
        "Path=/api/admin;",
        "HttpOnly",
        "SameSite=Strict",
        "Max-Age=43200",
    ] {
        assert!(cookie.contains(word), "{cookie}");
    }
    assert!(
        !cookie.contains("Secure") && !cookie.contains("admin-key"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let mine = [("cookie", cookie.as_str()), JSON, HOST, ORIGIN];
    let (code, ..) = bench.browse("GET", "/api/admin/streams", &mine, "").await;
    assert_eq!(code, StatusCode::OK);
    let (_, _, body) = bench.ask("/api/admin/session", PEER, &mine).await;
    assert!(body.contains(r#""signedIn":true"#), "{body}");
    let (code, headers, _) = bench
        .browse("DELETE", "/api/admin/session", &mine, "")
        .await;
    assert_eq!(code, StatusCode::OK);
    assert!(
        headers["set-cookie"]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    let (code, ..) = bench.browse("GET", "/api/admin/streams", &mine, "").await;
    assert_eq!(code, StatusCode::UNAUTHORIZED);
    let (_, _, body) = bench.ask("/api/admin/session", PEER, &mine).await;
    assert_eq!(body, r#"{"signedIn":false}"#);
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_soon_made_to_wait() {
    let bench = bench(|_| {}).await;
    let ours = [JSON, HOST, ORIGIN];
    for _ in 0..5 {
        let (code, cookie) = bench.sign_in("admin-keys", &ours).await;
        assert_eq!((code, cookie.as_str()), (StatusCode::UNAUTHORIZED, ""));
    }
    let (code, headers, _) = bench
        .browse(
            "POST",
            "/api/admin/session",
            &ours,
            r#"{"key":"admin-key"}"#,
        )
        .await;
    assert_eq!(code, StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    bench.clock.advance(Duration::from_secs(wait));
    assert_eq!(bench.sign_in("admin-key", &ours).await.0, StatusCode::OK);
}

#[tokio::test]
async fn changes_by_cookie_come_from_our_own_page_only() {
    let bench = bench(|_| {}).await;
    let id = Uuid::new_v4();
    let cookie = bench.cookie().await;
    let mine = ("cookie", cookie.as_str());
    let path = format!("/api/admin/streams/{id}/switch");
    let evil = ("origin", "http://evil.example");
    for headers in [
        &[mine, JSON, HOST, evil][..],
        &[mine, HOST, ORIGIN, ("content-type", "text/plain")],
        &[mine, JSON, HOST],
    ] {
        let (code, ..) = bench.browse("POST", &path, headers, "{}").await;
        assert_eq!(code, StatusCode::FORBIDDEN, "{headers:?}");
    }
    // From here on it is the handler's turn, which knows no such stream.
    let (code, ..) = bench
        .browse("POST", &path, &[mine, JSON, HOST, ORIGIN], "{}")
        .await;
    assert_eq!(code, StatusCode::NOT_FOUND);
    let key = ("x-admin-key", "admin-key");
    let (code, ..) = bench.browse("POST", &path, &[key], "{}").await;
    assert_eq!(code, StatusCode::NOT_FOUND);
    let (code, _) = bench.sign_in("admin-key", &[JSON, HOST, evil]).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    let (code, ..) = bench
        .browse("GET", "/api/admin/streams", &[mine, HOST, evil], "")
        .await;
    assert_eq!(code, StatusCode::OK, "a page elsewhere cannot read it");
}

#[tokio::test]
async fn with_tls_the_cookie_stays_on_tls() {
    let bench = bench(|_| {}).await;
    let mut request = Request::post("/api/admin/session");
    for (name, value) in [JSON, HOST, ORIGIN] {
        request = request.header(name, value);
    }
    let mut request = request.body(Body::from(r#"{"key":"admin-key"}"#)).unwrap();
    request.extensions_mut().insert(Caller {
        address: [192, 0, 2, 9].into(),
        secure: true,
        trusted_proxy: false,
    });
    let answer = router(bench.state.clone()).oneshot(request).await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.ends_with("; Secure"), "{cookie}");
}

/// The events of the next piece: names and data.
async fn events(body: &mut Body) -> Option<Vec<(String, String)>> {
    let piece = body.frame().await?.unwrap().into_data().unwrap();
    let text = String::from_utf8(piece.to_vec()).unwrap();
    let events = text.split("\n\n").filter_map(|event| {
        let (name, data) = event.split_once("\ndata: ")?;
        Some((name.strip_prefix("event: ")?.to_owned(), data.to_owned()))
    });
    Some(events.collect())
}

fn names(events: &[(String, String)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn listeners_hear_everything_once_and_then_what_changes() {
    let bench = bench(|_| {}).await;
    // The database is there: from here on nobody waits for real.
    tokio::time::pause();
    let id = Uuid::new_v4();
    *bench.world.health.lock().unwrap() = vec![operators::health(id, "live")];
    let key = [("x-admin-key", "admin-key")];
    let (code, headers, mut body) = bench
        .browse("GET", "/api/admin/streams/events", &key, "")
        .await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(headers["content-type"], "text/event-stream");
    let first = events(&mut body).await.unwrap();
    assert_eq!(names(&first), ["stream", "history", "ready"]);
    let now: serde_json::Value = serde_json::from_str(&first[0].1).unwrap();
    assert_eq!(now["alias"], "live");
    assert_eq!(now["history"], serde_json::Value::Null);
    let history: serde_json::Value = serde_json::from_str(&first[1].1).unwrap();
    assert_eq!(history["streamId"], id.to_string());

    bench.world.health.lock().unwrap()[0].state = story::State::OnAir;
    let second = events(&mut body).await.unwrap();
    assert_eq!(names(&second), ["stream"]);
    assert!(second[0].1.contains(r#""state":"on-air""#));
    bench.world.health.lock().unwrap().clear();
    let third = events(&mut body).await.unwrap();
    assert_eq!(
        third,
        [("gone".to_owned(), format!(r#"{{"streamId":"{id}"}}"#))]
    );
    // With nothing to tell there is a sign of life.
    let alive = events(&mut body).await.unwrap();
    assert_eq!(alive, [("alive".to_owned(), "{}".to_owned())]);
}

#[tokio::test]
async fn events_end_with_the_session_and_with_the_process() {
    let bench = bench(|_| {}).await;
    // The database is there: from here on nobody waits for real.
    tokio::time::pause();
    let cookie = bench.cookie().await;
    let mine = [("cookie", cookie.as_str()), JSON, HOST, ORIGIN];
    let (code, _, mut body) = bench
        .browse("GET", "/api/admin/streams/events", &mine, "")
        .await;
    assert_eq!(code, StatusCode::OK);
    assert!(events(&mut body).await.is_some());
    let (code, ..) = bench
        .browse("DELETE", "/api/admin/session", &mine, "")
        .await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(events(&mut body).await, None);
    let (code, ..) = bench
        .browse("GET", "/api/admin/streams/events", &mine, "")
        .await;
    assert_eq!(code, StatusCode::UNAUTHORIZED);

    let key = [("x-admin-key", "admin-key")];
    let (_, _, mut body) = bench
        .browse("GET", "/api/admin/streams/events", &key, "")
        .await;
    assert!(events(&mut body).await.is_some());
    bench.tasks.stop();
    assert_eq!(events(&mut body).await, None);
    // The producer is joined.
    bench.tasks.finish().await;
}

#[tokio::test]
async fn listeners_are_bounded_and_without_any_nobody_works() {
    let bench = bench(|_| {}).await;
    // The database is there: from here on nobody waits for real.
    tokio::time::pause();
    let key = [("x-admin-key", "admin-key")];
    let mut all = Vec::new();
    let refused = loop {
        let (code, headers, body) = bench
            .browse("GET", "/api/admin/streams/events", &key, "")
            .await;
        if code != StatusCode::OK {
            break (code, headers.contains_key("retry-after"));
        }
        all.push(body);
        assert!(all.len() < 1000);
    };
    assert_eq!(refused, (StatusCode::SERVICE_UNAVAILABLE, true));
    drop(all);
    while bench.state.events().running().is_some() {
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let (code, _, mut body) = bench
        .browse("GET", "/api/admin/streams/events", &key, "")
        .await;
    assert_eq!(code, StatusCode::OK);
    assert!(events(&mut body).await.is_some());
}

#[tokio::test]
async fn a_producer_that_panics_ends_all_listening_and_the_next_listener_starts_another() {
    let bench = bench(|_| {}).await;
    // The database is there: from here on nobody waits for real.
    tokio::time::pause();
    let key = [("x-admin-key", "admin-key")];
    let (_, _, mut body) = bench
        .browse("GET", "/api/admin/streams/events", &key, "")
        .await;
    assert!(events(&mut body).await.is_some());
    let world = bench.world.clone();
    let poisoning = std::thread::spawn(move || {
        let _held = world.health.lock().unwrap();
        panic!("whoever looks at it next panics, too");
    });
    assert!(poisoning.join().is_err());
    assert_eq!(events(&mut body).await, None);
    bench.world.health.clear_poison();
    let (code, _, mut body) = bench
        .browse("GET", "/api/admin/streams/events", &key, "")
        .await;
    assert_eq!(code, StatusCode::OK);
    assert!(events(&mut body).await.is_some());
}

/// A body of which nothing comes.
struct Never;

impl http_body::Body for Never {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let bench = bench(|_| {}).await;
    // From here on, time passes when everybody waits.
    tokio::time::pause();
    let stream = Uuid::new_v4();
    let switch = format!("/api/admin/streams/{stream}/switch");
    for (path, refused) in [
        ("/api/admin/session", StatusCode::BAD_REQUEST),
        // Nobody's body is waited for before it is known whose it is.
        (switch.as_str(), StatusCode::UNAUTHORIZED),
    ] {
        let request = Request::builder().method("POST").uri(path);
        let headers = [JSON, HOST, ORIGIN].into_iter();
        let request = headers.fold(request, |request, (name, value)| {
            request.header(name, value)
        });
        let mut request = request.body(Body::new(Never)).unwrap();
        let peer: SocketAddr = PEER.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = router(bench.state.clone()).oneshot(request);
        let answer = tokio::time::timeout(Duration::from_secs(60), answer).await;
        let answer = answer.expect("it is answered").unwrap();
        assert_eq!(answer.status(), refused, "{path}");
    }
}

#[tokio::test]
async fn an_operator_schedules_and_uploads_with_the_cookie_and_no_other_page_does() {
    let bench = bench(|_| {}).await;
    let cookie = bench.cookie().await;
    let cookie = ("cookie", cookie.as_str());
    let mine = [cookie, JSON, HOST, ORIGIN];
    let wanted = r#"{"title": "t", "scheduledStartTime": "2100-01-01T10:00:00Z"}"#;
    let create = "/api/admin/events";
    for (headers, expected) in [
        (&[JSON, HOST, ORIGIN][..], 401),
        (&[cookie, JSON, HOST][..], 403),
    ] {
        let (code, ..) = bench.browse("POST", create, headers, wanted).await;
        assert_eq!(code.as_u16(), expected, "{headers:?}");
    }
    let foreign = format!("{create}?applicationId=nobody");
    let (code, ..) = bench.browse("POST", &foreign, &mine, wanted).await;
    assert_eq!(code, StatusCode::BAD_REQUEST);
    let mut owners = Vec::new();
    let mut id = String::new();
    // The second one has the same owner.
    for _ in 0..2 {
        let (code, _, body) = bench.browse("POST", create, &mine, wanted).await;
        assert_eq!(code, StatusCode::OK);
        let body = axum::body::to_bytes(body, 1 << 16).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        owners.push(body["userId"].clone());
        body["id"].as_str().unwrap().clone_into(&mut id);
    }
    assert_eq!(owners[0], owners[1]);

    let film = format!("/api/admin/events/{id}/film/index.m3u8");
    let (code, ..) = bench.browse("GET", &film, &[cookie, HOST], "").await;
    assert_eq!(code, StatusCode::NOT_FOUND);
    let (code, ..) = bench.browse("GET", &film, &[HOST], "").await;
    assert_eq!(code, StatusCode::UNAUTHORIZED);

    let uploads = format!("/api/admin/events/{id}/uploads");
    let tus = ("tus-resumable", "1.0.0");
    let begin = [cookie, JSON, HOST, ORIGIN, tus, ("upload-length", "9")];
    let (code, headers, _) = bench.browse("POST", &uploads, &begin, "").await;
    assert_eq!(code, StatusCode::CREATED);
    let upload = headers["location"].to_str().unwrap().to_owned();
    assert!(upload.starts_with("/api/admin/uploads/"), "{upload}");
    let piece = ("content-type", "application/offset+octet-stream");
    let offset = ("upload-offset", "0");
    for (headers, expected) in [
        (&[piece, HOST, ORIGIN, tus, offset][..], 401),
        (&[cookie, piece, HOST, tus, offset][..], 403),
        (&[cookie, piece, HOST, ORIGIN, tus, offset][..], 204),
    ] {
        let (code, ..) = bench.browse("PATCH", &upload, headers, "part").await;
        assert_eq!(code.as_u16(), expected, "{headers:?}");
    }
    let (code, headers, _) = bench
        .browse("HEAD", &upload, &[cookie, HOST, tus], "")
        .await;
    assert_eq!(
        (code, &headers["upload-offset"]),
        (StatusCode::OK, &"4".parse().unwrap())
    );
    let (code, ..) = bench
        .browse("DELETE", &upload, &[cookie, JSON, HOST, ORIGIN, tus], "")
        .await;
    assert_eq!(code, StatusCode::NO_CONTENT);
}
