//! Sockets that stay open: what ends them meanwhile, and what never was one.

use crate::store::User;

use super::*;

/// By then each socket was looked at: timers are up to a millisecond late.
const LOOK: Duration = Duration::from_secs(31);

/// Holds simulated time still while a database works, which has threads of its own; time moves when it is told.
struct Still(Option<std::sync::mpsc::Sender<()>>);

impl Still {
    fn time() -> Still {
        tokio::time::pause();
        let (sender, receiver) = std::sync::mpsc::channel();
        // The runtime does not skip ahead as long as one of these runs.
        tokio::task::spawn_blocking(move || receiver.recv());
        Still(Some(sender))
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        self.0.take();
    }
}

async fn user(bench: &Bench, name: &str) -> (User, Secret) {
    let user = User::named("first", name);
    let user = bench.store.create_user(&user).await.unwrap();
    let token = bench.store.issue_bearer(&user).await.unwrap();
    (user, token)
}

/// Joins with a credential and hears itself, so that it is in the room.
async fn speaker(bench: &Bench, broadcast: &Broadcast, token: &str) -> Socket {
    let query = format!("?token={token}");
    let mut socket = join(bench, broadcast.id, &query).await.unwrap();
    say(&mut socket, r#"{"type":"reaction","reaction":"here"}"#).await;
    while hear(&mut socket).await["reaction"] != "here" {}
    socket
}

#[tokio::test]
async fn who_loses_the_credential_loses_the_socket_and_others_stay() {
    let (bench, broadcast) = talk(Visibility::Public).await;
    let (_, revoked) = user(&bench, "ann").await;
    let (gone, removed) = user(&bench, "ben").await;
    let (_, good) = user(&bench, "cat").await;
    let mut leaving = Vec::new();
    for token in [&revoked, &removed] {
        leaving.push(speaker(&bench, &broadcast, token.expose()).await);
    }
    let mut staying = Vec::new();
    for token in [good.expose(), KEY] {
        staying.push(speaker(&bench, &broadcast, token).await);
    }
    bench.store.revoke_bearer(revoked.expose()).await.unwrap();
    bench.store.delete_user(gone.id).await.unwrap();
    let still = Still::time();
    tokio::time::advance(LOOK).await;
    for socket in &mut leaving {
        assert_eq!(farewell(socket).await, 1008);
    }
    assert_eq!(bench.state.chats().sockets(broadcast.id), 2);
    for socket in &mut staying {
        while !socket.next().await.unwrap().unwrap().is_ping() {}
        socket.flush().await.unwrap();
    }

    bench.store.remove_application("first").await.unwrap();
    tokio::time::advance(LOOK).await;
    for socket in &mut staying {
        assert_eq!(farewell(socket).await, 1008);
    }
    drop(still);
}

#[tokio::test]
async fn a_socket_over_http2_is_refused_with_a_reason() {
    let (bench, broadcast) = talk(Visibility::Public).await;
    let request = Request::get(format!("/ws/streams/{}/chat", broadcast.id))
        .version(http::Version::HTTP_2)
        .body(Body::empty());
    let router = crate::control::router(bench.state.clone());
    let answer = router.oneshot(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert!(
        body["reason"].as_str().unwrap().contains("HTTP/1.1"),
        "{body}"
    );
}

#[tokio::test]
async fn a_long_history_is_read_whole_before_what_is_new() {
    let (bench, broadcast) = talk(Visibility::Public).await;
    let mut speaking = speaker(&bench, &broadcast, KEY).await;
    let text = "x".repeat(900);
    for number in 0..60 {
        bench.clock.advance(Duration::from_secs(1));
        say(&mut speaking, format!("{number} {text}")).await;
        hear(&mut speaking).await;
    }
    let mut newcomer = join(&bench, broadcast.id, "").await.unwrap();
    for number in 10..60 {
        let heard = hear(&mut newcomer).await;
        assert_eq!(heard["message"], format!("{number} {text}"));
    }
}
