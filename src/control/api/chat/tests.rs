//! Chats over a connection in memory: who may listen and speak, what is told, and how a socket ends.

mod lasting;

use std::time::Duration;

use axum::body::Body;
use futures_util::{SinkExt, StreamExt};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as ClientError, Message};
use tower::ServiceExt;

use crate::base::network::ClientAddress;
use crate::base::secret::Secret;
use crate::control::tests::{Bench, bench};
use crate::store::{Broadcast, BroadcastUpdate, NewBroadcast, Status, Visibility};

const KEY: &str = "pk_00000000000000000000000000000001";
const OTHER_KEY: &str = "pk_00000000000000000000000000000002";
/// What a socket's connection holds: more than a frame that is too large.
const CONNECTION_BYTES: usize = 64 << 10;

type Socket = WebSocketStream<DuplexStream>;

/// A bench with two clients, the first of which has a broadcast.
async fn talk(visibility: Visibility) -> (Bench, Broadcast) {
    let bench = bench(|_| {}).await;
    for (id, key) in [("first", KEY), ("second", OTHER_KEY)] {
        let (key, secret) = (Secret::new(key), Secret::new(format!("sk_{id}")));
        let made = bench.store.register_client(id, &key, &secret, "{}");
        made.await.unwrap();
    }
    let new = NewBroadcast {
        visibility,
        ..NewBroadcast::titled("first", "Talk")
    };
    let broadcast = bench.store.create_broadcast(&new, 100).await.unwrap();
    (bench, broadcast)
}

/// A handshake; the code of a refusal.
async fn join(bench: &Bench, id: impl ToString, query: &str) -> Result<Socket, u16> {
    join_through(
        crate::control::router(bench.state.clone()),
        bench,
        id,
        query,
    )
    .await
}

async fn join_through(
    router: axum::Router,
    bench: &Bench,
    id: impl ToString,
    query: &str,
) -> Result<Socket, u16> {
    let (client, server) = tokio::io::duplex(CONNECTION_BYTES);
    let service = TowerToHyperService::new(router);
    bench.state.setup().tasks.spawn(async move {
        let http = hyper::server::conn::http1::Builder::new();
        let served = http.serve_connection(TokioIo::new(server), service);
        let _ = served.with_upgrades().await;
    });
    let id = id.to_string().replace('#', "%23");
    let request = format!("ws://localhost/ws/streams/{id}/chat{query}");
    let request = request.into_client_request().unwrap();
    match tokio_tungstenite::client_async(request, client).await {
        Ok((socket, _)) => Ok(socket),
        Err(ClientError::Http(response)) => Err(response.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

async fn say(socket: &mut Socket, text: impl ToString) {
    socket.send(Message::text(text.to_string())).await.unwrap();
}

/// The next text frame.
async fn hear(socket: &mut Socket) -> Value {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The code by which the server closes, after whatever it said.
async fn farewell(socket: &mut Socket) -> u16 {
    loop {
        if let Message::Close(close) = socket.next().await.unwrap().unwrap() {
            return close.unwrap().code.into();
        }
    }
}

async fn react(bench: &Bench, id: impl ToString, key: &str, body: Value) -> (StatusCode, Value) {
    let request = Request::post(format!("/api/v1/sessions/{}/reactions", id.to_string()))
        .header("x-api-key", key)
        .body(Body::from(body.to_string()))
        .unwrap();
    let router = crate::control::router(bench.state.clone());
    let answer = router.oneshot(request).await.unwrap();
    let code = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn what_one_says_all_hear_and_newcomers_hear_it_later() {
    let (bench, broadcast) = talk(Visibility::Public).await;
    let mut sender = join(&bench, broadcast.id, &format!("?token={KEY}"))
        .await
        .unwrap();
    let mut listener = join(&bench, broadcast.stream_id, "").await.unwrap();
    entered(&mut listener).await;
    let hi = json!({"type": "message", "message": "<b>hi</b>", "userName": "Jo", "userId": "u-1"});
    say(&mut sender, hi).await;
    let heard = hear(&mut sender).await;
    assert_eq!(hear(&mut listener).await, heard);
    let wanted = json!({
        "type": "message", "id": heard["id"], "streamId": broadcast.stream_id.to_string(), "userId": "u-1",
        "userName": "Jo", "message": "<b>hi</b>", "timestamp": "2026-09-21T14:13:20Z",
    });
    assert_eq!(heard, wanted);
    say(&mut sender, "plain").await;
    let plain = hear(&mut listener).await;
    assert_eq!(plain["message"], "plain");
    assert_eq!(
        (&plain["userName"], &plain["userId"]),
        (&json!("Guest"), &json!(""))
    );
    // What was sent in between is told once.
    let short = format!("r{}", broadcast.number);
    let mut newcomer = join(&bench, short, "").await.unwrap();
    assert_eq!(hear(&mut newcomer).await, heard);
    assert_eq!(hear(&mut newcomer).await, plain);
    say(&mut sender, "new").await;
    assert_eq!(hear(&mut newcomer).await["message"], "new");
}

#[tokio::test]
async fn reactions_are_told_and_not_kept() {
    let (bench, broadcast) = talk(Visibility::Public).await;
    let mut socket = join(&bench, broadcast.id, &format!("?token={KEY}"))
        .await
        .unwrap();
    say(&mut socket, r#"{"type":"reaction","reaction":"heart"}"#).await;
    let heard = hear(&mut socket).await;
    assert_eq!(
        (&heard["type"], &heard["reaction"]),
        (&json!("reaction"), &json!("heart"))
    );
    let (code, body) = react(&bench, broadcast.id, KEY, json!({"type": "👏🏽"})).await;
    assert_eq!((code, body), (StatusCode::OK, json!({"success": true})));
    assert_eq!(hear(&mut socket).await["reaction"], "👏🏽");
    let kept = bench.store.newest_chats(broadcast.id, 9).await.unwrap();
    assert_eq!(kept, []);
    for (id, key, body, wanted) in [
        (
            broadcast.id.to_string(),
            OTHER_KEY,
            json!({"type": "heart"}),
            404,
        ),
        ("r99".to_owned(), KEY, json!({"type": "heart"}), 404),
        (
            broadcast.id.to_string(),
            "pk_wrong",
            json!({"type": "heart"}),
            401,
        ),
        (broadcast.id.to_string(), KEY, json!({}), 400),
        (broadcast.id.to_string(), KEY, json!([]), 400),
    ] {
        let (code, refusal) = react(&bench, id, key, body).await;
        assert_eq!(code.as_u16(), wanted, "{refusal}");
        assert_eq!(refusal["error"], true);
    }
}

#[tokio::test]
async fn who_may_not_see_a_chat_is_refused_before_the_upgrade() {
    let (bench, broadcast) = talk(Visibility::Private).await;
    let id = broadcast.id.to_string();
    for (id, query, wanted) in [
        (id.as_str(), "", 404),
        (&id, &format!("?token={OTHER_KEY}")[..], 404),
        (&id, "?token=pk_wrong", 401),
        (&id, "?token=wrong", 401),
        ("r99", &format!("?token={KEY}"), 404),
        ("%00", "", 404),
    ] {
        assert_eq!(
            join(&bench, id, query).await.err(),
            Some(wanted),
            "{id} {query}"
        );
    }
    assert!(join(&bench, id, &format!("?token={KEY}")).await.is_ok());
}

#[tokio::test]
async fn a_broadcast_that_is_over_is_read_and_takes_no_more() {
    let (bench, broadcast) = talk(Visibility::Public).await;
    let mut socket = join(&bench, broadcast.id, &format!("?token={KEY}"))
        .await
        .unwrap();
    say(&mut socket, "hi").await;
    assert_eq!(hear(&mut socket).await["message"], "hi");
    let update = BroadcastUpdate {
        status: Some(Status::Completed),
        ..BroadcastUpdate::default()
    };
    bench
        .store
        .update_broadcast(broadcast.id, &update)
        .await
        .unwrap();
    say(&mut socket, "late").await;
    assert_eq!(hear(&mut socket).await["code"], 409);
    let mut reader = join(&bench, broadcast.id, "").await.unwrap();
    assert_eq!(hear(&mut reader).await["message"], "hi");
}

#[tokio::test]
async fn a_flood_is_refused_and_then_ended() {
    let (bench, broadcast) = talk(Visibility::Public).await;
    let mut socket = join(&bench, broadcast.id, &format!("?token={KEY}"))
        .await
        .unwrap();
    for number in 0..10 {
        say(&mut socket, number).await;
        assert_eq!(hear(&mut socket).await["message"], number.to_string());
    }
    say(&mut socket, "too much").await;
    assert_eq!(hear(&mut socket).await["code"], 429);
    bench.clock.advance(Duration::from_millis(500));
    say(&mut socket, "later").await;
    assert_eq!(hear(&mut socket).await["message"], "later");
    for _ in 0..20 {
        say(&mut socket, "again").await;
        assert_eq!(hear(&mut socket).await["code"], 429);
    }
    assert_eq!(farewell(&mut socket).await, 1008);
}

#[tokio::test]
async fn frames_that_are_no_text_are_refused_and_large_ones_end_the_socket() {
    let (bench, broadcast) = talk(Visibility::Public).await;
    let mut socket = join(&bench, broadcast.id, &format!("?token={KEY}"))
        .await
        .unwrap();
    socket.send(Message::binary(vec![0; 3])).await.unwrap();
    assert_eq!(hear(&mut socket).await["code"], 400);
    let large = "x".repeat(super::frame::MAX_FRAME_BYTES + 1);
    say(&mut socket, large).await;
    assert_eq!(farewell(&mut socket).await, 1009);
}

/// Takes the answer that shows that a socket without a credential has entered its room.
async fn entered(socket: &mut Socket) {
    say(socket, "may I?").await;
    assert_eq!(hear(socket).await["code"], 401);
}

#[tokio::test]
async fn one_who_gives_no_sign_of_life_is_closed_and_one_who_does_stays() {
    let (bench, broadcast) = talk(Visibility::Public).await;
    let mut silent = join(&bench, broadcast.id, "").await.unwrap();
    let mut alive = join(&bench, broadcast.id, "").await.unwrap();
    entered(&mut silent).await;
    entered(&mut alive).await;
    let chats = bench.state.chats();
    assert_eq!(chats.sockets(broadcast.id), 2);
    // Nothing waits for the database any more.
    tokio::time::pause();
    for _ in 0..4 {
        // The library answers when it is asked for the next frame.
        assert!(alive.next().await.unwrap().unwrap().is_ping());
    }
    assert_eq!(chats.sockets(broadcast.id), 1, "the silent one has left");
}

#[tokio::test]
async fn one_who_reads_nothing_is_closed_and_holds_nobody_up() {
    let (bench, broadcast) = talk(Visibility::Public).await;
    let mut slow = join(&bench, broadcast.id, "").await.unwrap();
    let mut quick = join(&bench, broadcast.id, "").await.unwrap();
    entered(&mut slow).await;
    entered(&mut quick).await;
    tokio::time::pause();
    let chats = bench.state.chats();
    let text = "x".repeat(CONNECTION_BYTES / 8);
    for _ in 0..200 {
        let told = super::rooms::Told {
            sequence: None,
            is_last: false,
            text: json!(text).to_string().into(),
        };
        chats.tell(broadcast.id, told);
        assert_eq!(hear(&mut quick).await, text);
    }
    while chats.sockets(broadcast.id) > 1 {
        // Time goes on while nothing else does.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// What a watch page has in the place of a key.
async fn pass(bench: &Bench, broadcast: &Broadcast) -> String {
    let path = format!("/api/streams/{}/viewer", broadcast.id);
    let request = Request::get(path).body(Body::empty()).unwrap();
    let router = crate::control::router(bench.state.clone());
    let answer = router.oneshot(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let view: Value = serde_json::from_slice(&body).unwrap();
    view["chat"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn who_has_a_pass_speaks_as_a_guest_and_as_nobody_else() {
    let (bench, broadcast) = talk(Visibility::Public).await;
    let pass = pass(&bench, &broadcast).await;
    let join_as = async |token: &str| {
        let query = format!("?token={token}");
        join(&bench, broadcast.stream_id, &query).await
    };
    let mut guest = join_as(&pass).await.unwrap();
    let user = "00000000-0000-4000-8000-000000000001";
    let frame = json!({"message": "hi", "userName": "\u{202e}Jo", "userId": user});
    say(&mut guest, frame).await;
    let heard = hear(&mut guest).await;
    assert_eq!(
        (&heard["userName"], &heard["guest"]),
        (&json!("Jo"), &json!(true))
    );
    let id = heard["userId"].as_str().unwrap();
    assert!(id.starts_with("guest-"), "{id}");
    say(&mut guest, json!({"type": "reaction", "reaction": "heart"})).await;
    assert_eq!(hear(&mut guest).await["userId"], id);
    // Whom the tenant vouches for is no guest, whatever the name; the history tells them apart too.
    let mut client = join_as(KEY).await.unwrap();
    assert_eq!(hear(&mut client).await, heard);
    say(
        &mut client,
        json!({"message": "hi", "userName": "Jo", "userId": user}),
    )
    .await;
    let known = hear(&mut client).await;
    assert_eq!(
        (&known["userId"], &known["guest"]),
        (&json!(user), &Value::Null)
    );
    // It is good for nothing else, and not for ever.
    let new = NewBroadcast::titled("first", "Other");
    let other = bench.store.create_broadcast(&new, 100).await.unwrap();
    let query = format!("?token={pass}");
    assert_eq!(join(&bench, other.id, &query).await.err(), Some(401));
    bench.clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(join_as(&pass).await.err(), Some(401));
    // Who is in stays.
    say(&mut guest, "still here").await;
}

#[tokio::test]
async fn sockets_of_one_address_leave_room_for_others_and_a_client_speaks_for_many() {
    let (bench, broadcast) = talk(Visibility::Public).await;
    let pass = pass(&bench, &broadcast).await;
    let address = ClientAddress([192, 0, 2, 1].into());
    let (mut sockets, mut taken) = (Vec::new(), Vec::new());
    for token in [&pass, &pass, &pass, KEY] {
        let router = crate::control::router(bench.state.clone());
        let router = router.layer(axum::Extension(address));
        let query = format!("?token={token}");
        let socket = join_through(router, &bench, broadcast.id, &query).await;
        let mut socket = socket.unwrap();
        let mut count = 0;
        for _ in 0..10 {
            say(
                &mut socket,
                json!({"type": "reaction", "reaction": "heart"}),
            )
            .await;
            let heard = hear(&mut socket).await;
            count += u32::from(heard["type"] == "reaction");
        }
        taken.push(count);
        sockets.push(socket);
    }
    assert_eq!(taken, [10, 10, 0, 10]);
}

#[tokio::test]
async fn a_guest_reacts_by_a_request_too_but_not_without_end() {
    let (bench, broadcast) = talk(Visibility::Public).await;
    let pass = pass(&bench, &broadcast).await;
    let mut listener = join(&bench, broadcast.id, "").await.unwrap();
    entered(&mut listener).await;
    let react = async |query: &str| {
        let path = format!("/api/v1/sessions/{}/reactions{query}", broadcast.id);
        let body = Body::from(json!({"type": "heart", "userName": "Jo"}).to_string());
        let router = crate::control::router(bench.state.clone());
        let answer = router.oneshot(Request::post(path).body(body).unwrap());
        answer.await.unwrap().status().as_u16()
    };
    for (query, wanted) in [("", 401), ("?token=watch_x", 401), ("?token=x", 401)] {
        assert_eq!(react(query).await, wanted, "{query}");
    }
    let query = format!("?token={pass}");
    assert_eq!(react(&query).await, 200);
    let heard = hear(&mut listener).await;
    assert_eq!(
        (&heard["reaction"], &heard["userName"]),
        (&json!("heart"), &json!("Jo"))
    );
    for _ in 1..super::GUESTS_REACTIONS_PER_HOUR {
        react(&query).await;
    }
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(react(&query).await, 429);
}

#[tokio::test]
async fn a_room_hears_what_becomes_of_its_broadcast_and_is_closed_after_its_end() {
    let (bench, broadcast) = talk(Visibility::Public).await;
    let mut socket = join(&bench, broadcast.id, "").await.unwrap();
    entered(&mut socket).await;
    let stream = broadcast.stream_id.to_string();
    // By a call to this gateway it is told at once.
    let request = Request::post(format!("/api/broadcasts/{}/status", broadcast.id));
    let request = request.header("x-api-key", KEY);
    let body = Body::from(json!({"status": "active"}).to_string());
    let router = crate::control::router(bench.state.clone());
    let answer = router.oneshot(request.body(body).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let status = |word: &str| json!({"type": "status", "streamId": stream, "status": word});
    assert_eq!(hear(&mut socket).await, status("active"));
    // What happens elsewhere is found.
    let update = BroadcastUpdate {
        status: Some(Status::Completed),
        ..BroadcastUpdate::default()
    };
    let elsewhere = bench.elsewhere().await;
    elsewhere.report_viewers(broadcast.id, 7).await.unwrap();
    let changed = elsewhere.update_broadcast(broadcast.id, &update);
    changed.await.unwrap();
    super::news::look(&bench.state).await.unwrap();
    let viewers = json!({"type": "viewers", "streamId": stream, "viewers": 7});
    assert_eq!(hear(&mut socket).await, viewers);
    assert_eq!(hear(&mut socket).await, status("completed"));
    super::news::look(&bench.state).await.unwrap();
    // Who comes late reads, and has to go as well.
    let mut late = join(&bench, broadcast.id, "").await.unwrap();
    entered(&mut late).await;
    tokio::time::pause();
    assert_eq!(farewell(&mut socket).await, 1000);
    assert_eq!(farewell(&mut late).await, 1000);
}

#[tokio::test]
async fn sockets_are_closed_when_the_server_stops() {
    let (bench, broadcast) = talk(Visibility::Public).await;
    let mut socket = join(&bench, broadcast.id, "").await.unwrap();
    let tasks = bench.state.setup().tasks.clone();
    let (code, ()) = tokio::join!(farewell(&mut socket), tasks.finish());
    assert_eq!(code, 1001);
    assert_eq!(bench.state.chats().count(), 0);
}
