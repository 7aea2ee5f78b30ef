//! The same for whoever calls `/api`.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::soon;
use crate::common::http;
use crate::common::server::Server;

/// More than there are places for passwords that wait.
const CROWD: usize = 300;
const GOOD: &str = r#"{"username":"jane","email":"jane@example.test","password":"s3cretpass"}"#;

/// Sends bytes and leaves the connection open; code and text of the answer, once the other side has closed.
async fn until_closed(address: SocketAddr, bytes: &[u8]) -> (Option<u16>, String) {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    // A reset behind an answer is a close too.
    let _ = soon("a close", stream.read_to_end(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let code = text.split(' ').nth(1).and_then(|code| code.parse().ok());
    (code, text)
}

fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n");
    format!("{head}{headers}\r\n{body}").into_bytes()
}

async fn still_signs_up(server: &Server, name: &str) {
    let body = GOOD.replace("jane", name);
    let answer = http::send(server.http(), "POST", "/api/users/signup", &[], &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_end_are_refused_in_time_and_leave_nothing() {
    let server = Server::passthrough().await;
    let half = &GOOD[..20];
    let declared = format!("Content-Length: {}\r\n", GOOD.len());
    let mut crowd = tokio::task::JoinSet::new();
    for number in 0..CROWD {
        let request = match number % 3 {
            0 => post("/api/users/signup", &declared, half),
            1 => post(
                "/api/users/login",
                "Transfer-Encoding: chunked\r\n",
                "4\r\n{\"em\r\n",
            ),
            _ => post("/api/broadcasts", "Content-Length: 100\r\n", ""),
        };
        let address = server.http();
        crowd.spawn(async move { until_closed(address, &request).await });
    }
    // Meanwhile others are served.
    for number in 0..5 {
        still_signs_up(&server, &format!("other{number}")).await;
    }
    while let Some(closed) = crowd.join_next().await {
        let (code, text) = closed.expect("nothing panics");
        assert!(matches!(code, Some(400 | 408 | 503) | None), "{text}");
    }
    // The half of a sign-up made nobody.
    still_signs_up(&server, "jane").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_bodies_that_are_too_large_are_refused_before_they_are_read() {
    let server = Server::passthrough().await;
    let length = |bytes: u64| format!("Content-Length: {bytes}\r\n");
    let long = |name: &str, bytes: usize| format!("{name}: {}\r\n{}", "x".repeat(bytes), length(0));
    let many: String = (0..1000).map(|n| format!("X-{n}: {n}\r\n")).collect();
    for (request, codes) in [
        (
            post("/api/broadcasts", &long("X-API-Key", 10_000), ""),
            &[431][..],
        ),
        (post("/api/broadcasts", &long("Cookie", 10_000), ""), &[431]),
        (
            post("/api/broadcasts", &long("X-Other", 10_000), ""),
            &[431],
        ),
        (
            post("/api/broadcasts", &long("X-Other", 100_000), ""),
            &[431],
        ),
        (post("/api/broadcasts", &many, ""), &[431]),
        (post("/api/users/signup", &length(1 << 40), ""), &[413]),
        (
            post("/api/users/login", &length(1 << 20), "{\"a\":"),
            &[413],
        ),
        (
            post("/api/users/login", "Content-Length: -1\r\n", ""),
            &[400],
        ),
    ] {
        let (code, text) = until_closed(server.http(), &with_close(&request)).await;
        assert!(
            code.is_some_and(|code| codes.contains(&code)),
            "{codes:?}: {text:.300}"
        );
    }
    still_signs_up(&server, "jane").await;
    server.stop().await;
}

/// The same request, after which the connection is not kept.
fn with_close(request: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(request.to_vec()).expect("it is text");
    text.replacen("Host: h", "Host: h\r\nConnection: close", 1)
        .into_bytes()
}
