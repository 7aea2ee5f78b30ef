//! Webhooks as livekit-server sends them: one after another, signed with a token over the body's SHA-256, and
//! again after a failure.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use livekit_protocol as proto;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{Options, token};

/// An answer has to begin within that time.
const DEADLINE: Duration = Duration::from_secs(5);
/// How often an event is sent at most, and how long after a failure again.
const TRIES: u32 = 4;
const BETWEEN: Duration = Duration::from_millis(200);

/// Body and `Authorization` of an event.
pub fn signed(options: &Options, event: &proto::WebhookEvent) -> (String, String) {
    let body = serde_json::to_string(event).expect("messages are JSON");
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({"iss": options.key, "nbf": now, "exp": now + 300,
        "sha256": STANDARD.encode(Sha256::digest(body.as_bytes()))});
    (body, token::sign(&options.secret, &claims))
}

/// Sends events as they come.
pub async fn send_all(options: Options, mut events: mpsc::Receiver<proto::WebhookEvent>) {
    while let Some(event) = events.recv().await {
        let Some(url) = &options.webhooks else {
            continue;
        };
        let (body, token) = signed(&options, &event);
        for _ in 0..TRIES {
            let sent = tokio::time::timeout(DEADLINE, post(url, &body, &token)).await;
            if matches!(sent, Ok(Some(200..300))) {
                break;
            }
            tokio::time::sleep(BETWEEN).await;
        }
    }
}

/// One request; the status of its answer.
async fn post(url: &str, body: &str, token: &str) -> Option<u16> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host).await.ok()?;
    let head = format!(
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: {token}\r\n\
         Content-Type: application/webhook+json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body.as_bytes()).await.ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.ok()?;
    std::str::from_utf8(&answer[9..]).ok()?.parse().ok()
}
