//! Tokens with which watch pages enter rooms.

use super::streaming::{claims, with_livekit};
use super::*;
use crate::control::tests::NOW;

async fn page_token(bench: &Bench, id: &str, query: &str) -> Answer {
    let path = format!("/api/streams/{id}/viewer/token{query}");
    bench.api("POST", &path, &NOBODY, "").await
}

#[tokio::test]
async fn a_page_gets_a_token_that_receives_and_sends_nothing_for_minutes() {
    let bench = with_livekit().await;
    let made = bench.broadcast("one").await;
    let stream = made["streamId"].as_str().unwrap();
    let mut identities = Vec::new();
    for id in [&made["id"], &made["streamId"], &made["shortId"]] {
        let (code, answer) = page_token(&bench, id.as_str().unwrap(), "").await;
        assert_eq!(code, 200, "{answer}");
        assert_eq!(answer["room"], stream);
        assert_eq!(answer["serverUrl"], "ws://media.example:8080");
        let claims = claims(&answer["token"]);
        assert_eq!(claims["exp"], NOW.unix_seconds() + 15 * 60);
        let video = json!({"roomJoin": true, "room": stream, "canSubscribe": true,
            "canPublish": false, "canPublishData": false});
        assert_eq!(claims["video"], video);
        assert_eq!(claims["metadata"], r#"{"role":"subscriber"}"#);
        let identity = claims["sub"].as_str().unwrap().to_owned();
        assert!(identity.starts_with("viewer-"), "{identity}");
        identities.push(identity);
    }
    identities.sort();
    identities.dedup();
    assert_eq!(identities.len(), 3, "two pages would throw each other out");
}

#[tokio::test]
async fn the_room_of_a_private_broadcast_opens_with_a_pass_and_that_of_one_that_is_over_not_at_all()
{
    let bench = with_livekit().await;
    let body = json!({"title": "Family only", "visibility": "private"});
    let (_, made) = bench.api("POST", "/api/broadcasts", &KEY, body).await;
    let id = made["id"].as_str().unwrap();
    assert_eq!(page_token(&bench, id, "").await.0, 404);
    let path = format!("/api/streams/{id}/viewer");
    let (_, shown) = bench.api("GET", &path, &KEY, "").await;
    let pass = shown["chat"]["token"].as_str().unwrap();
    let query = format!("?token={pass}");
    assert_eq!(page_token(&bench, id, &query).await.0, 200);
    let over = json!({"status": "completed"});
    let status = format!("/api/broadcasts/{id}/status");
    assert_eq!(bench.api("POST", &status, &KEY, over).await.0, 200);
    assert_eq!(page_token(&bench, id, &query).await.0, 409);
}

#[tokio::test]
async fn pages_of_one_address_get_so_many_tokens_in_an_hour_and_none_without_livekit() {
    let bench = with_livekit().await;
    let made = bench.broadcast("one").await;
    let id = made["id"].as_str().unwrap();
    let mut given = 0;
    let refusal = loop {
        match page_token(&bench, id, "").await {
            (200, _) => given += 1,
            (code, refusal) => break (code, refusal),
        }
    };
    assert_eq!((given, refusal.0), (1800, 429), "{}", refusal.1);
    let without = clients().await;
    let made = without.broadcast("one").await;
    let (code, refusal) = page_token(&without, made["id"].as_str().unwrap(), "").await;
    assert_eq!(code, 503);
    assert!(refusal["reason"].as_str().unwrap().contains("LIVEKIT_URL"));
}
