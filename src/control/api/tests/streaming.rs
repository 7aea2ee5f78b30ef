//! Streaming: providers, health of LiveKit, tokens for its rooms.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};

use super::*;
use crate::control::livekit::tests::{API_SECRET, WELL, answering, server};
use crate::control::tests::NOW;

/// Two SDK clients and a LiveKit server that nobody has to reach.
pub(super) async fn with_livekit() -> Bench {
    let livekit = server("ws://127.0.0.1:9", true);
    clients_with(|setup| setup.livekit = Some(livekit)).await
}

/// The claims of a token, whose signature is checked by hand.
pub(super) fn claims(token: &Value) -> Value {
    let jwt = token.as_str().unwrap().strip_prefix("livekit_").unwrap();
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let mut mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(API_SECRET.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    mac.verify_slice(&signature).unwrap();
    let json = |part: &str| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let (header, payload) = signed.split_once('.').unwrap();
    assert_eq!(json(header), json!({"alg": "HS256", "typ": "JWT"}));
    json(payload)
}

impl Bench {
    /// Asks for a token with [`KEY`].
    pub(super) async fn livekit_token(&self, id: &str, body: Value) -> Answer {
        let path = format!("/api/streaming/sessions/{id}/token");
        self.api("POST", &path, &KEY, body).await
    }
}

#[tokio::test]
async fn the_first_provider_that_is_configured_can_be_used() {
    let providers = |bench: Bench| async move {
        let path = "/api/streaming/providers";
        let (code, providers) = bench.api("GET", path, &NOBODY, "").await;
        assert_eq!(code, 200);
        providers
    };
    let hls = json!({"id": "hls", "name": "HLS", "provider": {"rawValue": "hls"},
        "isConfigured": true, "configuration": {"url": "http://media.example:8080/hls"}});
    let without = providers(clients().await).await;
    let livekit = json!({"id": "livekit", "name": "LiveKit", "provider": {"rawValue": "livekit"},
        "isConfigured": false, "configuration": {}});
    assert_eq!(without, json!([livekit, hls]));
    let with = providers(with_livekit().await).await;
    let livekit = json!({"id": "livekit", "name": "LiveKit", "provider": {"rawValue": "livekit"},
        "isConfigured": true, "configuration": {"url": "ws://media.example:8080"}});
    assert_eq!(with, json!([livekit, hls]));
}

#[tokio::test]
async fn ice_servers_are_a_list() {
    let bench = clients().await;
    let (code, config) = bench
        .api("GET", "/api/streaming/ice-config", &NOBODY, "")
        .await;
    assert_eq!((code, config), (200, json!({"iceServers": []})));
}

#[tokio::test]
async fn health_is_what_the_server_answers() {
    let health = |livekit| async move {
        let bench = clients_with(|setup| setup.livekit = livekit).await;
        bench.api("GET", "/api/livekit/health", &NOBODY, "").await
    };
    let (code, none) = health(None).await;
    assert_eq!((code, &none["status"]), (503, &json!("unavailable")));
    assert!(none["reason"].as_str().unwrap().contains("LIVEKIT_URL"));
    let well = answering(WELL).await;
    let (code, well_said) = health(Some(server(&well.url, true))).await;
    // Clients go through the gateway, which takes the prefix off.
    let expected = json!({"status": "ok", "provider": "livekit", "url": "ws://media.example:8080"});
    assert_eq!((code, well_said), (200, expected));
    let refusing = answering("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
    let (code, refused) = health(Some(server(&refusing.url, true))).await;
    assert_eq!((code, &refused["status"]), (503, &json!("unavailable")));
    assert!(!refused.to_string().contains(API_SECRET));
}

#[tokio::test]
async fn a_streaming_session_is_a_broadcast_and_its_limit_goes_to_the_room() {
    let bench = with_livekit().await;
    let body = json!({"title": "Mine", "visibility": "public", "maxParticipants": 1000});
    let path = "/api/streaming/sessions";
    let (code, made) = bench.api("POST", path, &KEY, &body).await;
    assert_eq!((code, &made["maxParticipants"]), (200, &json!(1000)));
    let id = made["id"].as_str().unwrap();
    let (code, read) = bench
        .api("GET", &format!("/api/broadcasts/{id}"), &KEY, "")
        .await;
    assert_eq!((code, &read["streamKey"]), (200, &made["streamKey"]));
    let (_, token) = bench.livekit_token(id, json!({"userId": "u"})).await;
    let claims = claims(&token["token"]);
    // The gateway's own participants take nobody's place.
    assert_eq!(claims["roomConfig"], json!({"maxParticipants": 1002}));
    let none = json!({"title": "Mine", "maxParticipants": 0});
    assert_eq!(bench.api("POST", path, &KEY, none).await.0, 400);
}

#[tokio::test]
async fn a_token_has_the_claims_of_the_contract_whichever_id_is_used() {
    let bench = with_livekit().await;
    let made = bench.broadcast("one").await;
    let stream = made["streamId"].as_str().unwrap();
    for id in [&made["id"], &made["streamId"], &made["shortId"]] {
        let body = json!({"userId": "user-123", "role": "publisher", "userName": "Jo"});
        let (code, answer) = bench.livekit_token(id.as_str().unwrap(), body).await;
        assert_eq!(code, 200, "{answer}");
        assert_eq!(answer["room"], stream);
        assert_eq!(answer["serverUrl"], "ws://media.example:8080");
        assert_eq!(answer["expiresAt"], "2026-09-21T20:13:20Z");
        let now = NOW.unix_seconds();
        let expected = json!({
            "iss": "devkey", "sub": "user-123", "nbf": now, "iat": now, "exp": now + 6 * 3600,
            "name": "Jo", "metadata": "{\"role\":\"publisher\"}",
            "video": {"roomJoin": true, "room": stream, "canSubscribe": true, "canPublish": true,
                "canPublishData": true},
        });
        assert_eq!(claims(&answer["token"]), expected);
    }
    for (role, can_publish) in [
        (json!("co_host"), true),
        (json!("subscriber"), false),
        (Value::Null, false),
    ] {
        let body = json!({"userId": "u", "role": role});
        let (code, answer) = bench.livekit_token(stream, body).await;
        assert_eq!(code, 200, "{answer}");
        let claims = claims(&answer["token"]);
        assert_eq!(claims["video"]["canPublish"], can_publish);
        let word = role.as_str().unwrap_or("subscriber");
        let metadata: Value = serde_json::from_str(claims["metadata"].as_str().unwrap()).unwrap();
        assert_eq!(metadata, json!({ "role": word }));
        assert!(claims.get("name").is_none());
    }
}

#[tokio::test]
async fn a_token_needs_a_key_of_the_sessions_tenant_or_an_operators_an_identity_and_an_open_session()
 {
    let bench = with_livekit().await;
    let made = bench.broadcast("one").await;
    let id = made["id"].as_str().unwrap();
    let path = format!("/api/streaming/sessions/{id}/token");
    let good = json!({"userId": "u"});
    assert_eq!(bench.api("POST", &path, &NOBODY, &good).await.0, 401);
    assert_eq!(bench.api("POST", &path, &OPERATOR, &good).await.0, 200);
    assert_eq!(bench.api("POST", &path, &OTHER_KEY, &good).await.0, 404);
    assert_eq!(bench.livekit_token("r99", good.clone()).await.0, 404);
    for bad in [
        json!({}),
        json!({"userId": ""}),
        json!({"userId": " "}),
        json!({"userId": 7}),
        json!({"userId": "a\nb"}),
        json!({"userId": "x".repeat(257)}),
        json!({"userId": "u", "role": "admin"}),
        json!({"userId": "u", "role": 1}),
        json!({"userId": "u", "userName": ["Jo"]}),
    ] {
        let (code, refusal) = bench.livekit_token(id, bad).await;
        assert_eq!(code, 400, "{refusal}");
    }
    let over = json!({"status": "completed"});
    let status = format!("/api/broadcasts/{id}/status");
    assert_eq!(bench.api("POST", &status, &KEY, over).await.0, 200);
    assert_eq!(bench.livekit_token(id, good).await.0, 409);
}

#[tokio::test]
async fn without_livekit_a_token_is_refused_with_what_is_missing() {
    let bench = clients().await;
    let made = bench.broadcast("one").await;
    let id = made["id"].as_str().unwrap();
    let (code, refusal) = bench.livekit_token(id, json!({"userId": "u"})).await;
    assert_eq!(code, 503);
    for name in ["LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"] {
        assert!(refusal["reason"].as_str().unwrap().contains(name));
    }
}

#[tokio::test]
async fn tokens_made_later_end_later() {
    let bench = with_livekit().await;
    let made = bench.broadcast("one").await;
    let id = made["id"].as_str().unwrap();
    bench.clock.advance(Duration::from_millis(3_600_999));
    let (_, answer) = bench.livekit_token(id, json!({"userId": "u"})).await;
    let exp = NOW.unix_seconds() + 7 * 3600;
    assert_eq!(claims(&answer["token"])["exp"], exp);
    assert_eq!(answer["expiresAt"], "2026-09-21T21:13:20Z");
}
