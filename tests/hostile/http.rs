//! The same for whoever speaks HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::soon;
use crate::common::encoder::Encoder;
use crate::common::http;
use crate::common::noise::noise;
use crate::common::server::{KEY, Server};

/// A server with a stream that is on air.
struct OnAir {
    server: Server,
    encoder: Encoder,
    /// `/hls/{streamId}`.
    base: String,
    newest: u64,
}

impl OnAir {
    async fn start() -> OnAir {
        let server = Server::passthrough().await;
        let mut encoder = Encoder::start(server.rtmp(), KEY).await.unwrap();
        let newest = encoder.until("segment", || server.newest_segment()).await;
        let base = format!("/hls/{}", server.stream_id().await);
        OnAir {
            server,
            encoder,
            base,
            newest,
        }
    }

    async fn end(self) {
        let playlist = self.server.get(&format!("{}/index.m3u8", self.base)).await;
        assert_eq!(playlist.status, 200, "good requests are answered");
        self.encoder.finish().await;
        self.server.still_works().await;
        self.server.stop().await;
    }
}

/// Sends bytes as they are; the status of the answer, `None` when the connection was closed without one.
async fn raw(address: SocketAddr, bytes: &[u8]) -> Option<u16> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        // A reset behind an answer is a close too.
        let _ = stream.read_to_end(&mut answer).await;
        let line = answer.split(|byte| *byte == b'\r').next()?;
        let line = String::from_utf8_lossy(line);
        line.split(' ').nth(1)?.parse().ok()
    };
    soon("an answer or a close", exchange).await
}

fn is_refusal(status: u16) -> bool {
    (300..500).contains(&status)
}

#[tokio::test(flavor = "multi_thread")]
async fn absurd_requests_are_refused_and_never_an_error_of_ours() {
    let on_air = OnAir::start().await;
    let (base, newest) = (&on_air.base, on_air.newest);
    let long = format!("{base}/{}/index.m3u8", "a".repeat(30_000));
    let wide = format!("/hls/{}", "../".repeat(5000));
    for path in [
        "//",
        "/..",
        "/hls",
        "/hls/",
        "/hls//index.m3u8",
        "/hls/../../../etc/passwd",
        "/hls/..%2f..%2f..%2fetc%2fpasswd/index.m3u8",
        "/hls/%2e%2e/%2e%2e/etc/passwd",
        "/hls/%00/index.m3u8",
        "/hls/%ff%fe/index.m3u8",
        "/hls/%/index.m3u8",
        "/hls/%zz/index.m3u8",
        "/hls/live%0d%0aSet-Cookie:a/index.m3u8",
        "/hls/00000000-0000-0000-0000-000000000000/index.m3u8",
        "/hls/00000000-0000-0000-0000-000000000000/source/1.m4s",
        "/hls/00000000-0000-0000-0000-000000000000/beacon",
        "/dash/x/manifest.mpd",
        "/dash/%F0%9F%8E%A5/ll.mpd",
        "/thumb/..%2f..%2fforebay.db.jpg",
        "/thumb/.jpg",
        "/assets/..%2f..%2fCargo.toml",
        "/assets/../Cargo.toml",
        "/pcast/channel/%23%23%23/live.m3u8",
        "/pcast/channel/x/../../etc/passwd",
        "/forebay.db",
        "/data/credentials.toml",
        &long,
        &wide,
    ] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let status = raw(on_air.server.http(), head.as_bytes()).await;
        assert!(status.is_none_or(is_refusal), "{path:.80}: {status:?}");
    }
    for file in [
        format!("{newest}.m4s/.."),
        format!("0{newest}.m4s"),
        format!("-{newest}.m4s"),
        format!("{newest}.m4s%00"),
        format!("../source/{newest}.m4s"),
        format!("{}.m4s", u64::MAX),
        format!("{}9.m4s", u64::MAX),
        format!("p{}.m4s", u64::MAX),
        "init-.mp4".to_owned(),
        "init-../../x.mp4".to_owned(),
        "index.m3u8/".to_owned(),
        "~/index.m3u8".to_owned(),
    ] {
        let answer = on_air.server.get(&format!("{base}/source/{file}")).await;
        assert!(is_refusal(answer.status), "{file}: {}", answer.status);
    }
    for (method, path) in [
        ("DELETE", format!("{base}/index.m3u8")),
        ("PUT", format!("{base}/source/{newest}.m4s")),
        ("BREW", "/time".to_owned()),
        ("CONNECT", "example.org:443".to_owned()),
        ("TRACE", "/".to_owned()),
        ("GET", "http://example.org:1/%".to_owned()),
        ("PRI", "*".to_owned()),
    ] {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let status = raw(on_air.server.http(), head.as_bytes()).await;
        assert!(status.is_none_or(is_refusal), "{method} {path}: {status:?}");
    }
    on_air.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_none_or_too_big_are_refused() {
    let on_air = OnAir::start().await;
    let get =
        |headers: &str| format!("GET /time HTTP/1.1\r\nHost: h\r\n{headers}\r\n").into_bytes();
    let many: String = (0..5000).map(|n| format!("X-{n}: {n}\r\n")).collect();
    let cookie = format!("Cookie: {}\r\n", "a=b; ".repeat(60_000));
    let mut wrong = vec![
        get(&many),
        get(&cookie),
        get("Content-Length: -1\r\n"),
        get("Content-Length: 99999999999999999999999\r\n"),
        get("Content-Length: 4\r\nContent-Length: 5\r\n"),
        get("Transfer-Encoding: gzip\r\n"),
        get("Bad Header: a\r\n"),
        get("A: \0\r\n"),
        b"GET /time HTTP/9.9\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(100),
        // HTTP/2 by its first words, and nothing of it behind them.
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), noise(3, 4000)].concat(),
    ];
    wrong.extend((0..16).map(|seed| [noise(seed, 3000), b"\r\n\r\n".to_vec()].concat()));
    for (number, bytes) in wrong.iter().enumerate() {
        let status = raw(on_air.server.http(), bytes).await;
        assert!(status.is_none_or(is_refusal), "head {number}: {status:?}");
    }
    on_air.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_hold_nobody_up() {
    let on_air = OnAir::start().await;
    let mut crowd = Vec::new();
    for _ in 0..400 {
        let mut stream = TcpStream::connect(on_air.server.http()).await.unwrap();
        stream.write_all(b"GET /hls/").await.unwrap();
        crowd.push(stream);
    }
    for _ in 0..3 {
        for stream in &mut crowd {
            stream.write_all(b"a").await.unwrap();
        }
        let path = format!("{}/source/{}.m4s", on_air.base, on_air.newest);
        assert_eq!(on_air.server.get(&path).await.status, 200);
    }
    on_air.end().await;
    drop(crowd);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_that_make_no_sense_are_refused_or_passed_over() {
    let on_air = OnAir::start().await;
    let path = format!("{}/source/{}.m4s", on_air.base, on_air.newest);
    let whole = on_air.server.get(&path).await.body;
    let many = format!("bytes={}0-1", "0-1,".repeat(1000));
    for (range, accepted) in [
        ("bytes=", &[200, 416][..]),
        ("bytes=-", &[200, 416]),
        ("bytes=5-2", &[200, 416]),
        ("bytes=-0", &[200, 416]),
        ("bytes=99999999999-", &[416]),
        ("bytes=0-18446744073709551616", &[200, 206, 416]),
        ("bytes=18446744073709551615-", &[416]),
        ("bytes=18446744073709551616-", &[200, 416]),
        ("bytes=0x10-0x20", &[200, 416]),
        ("bytes=+1-+2", &[200, 416]),
        ("items=0-1", &[200]),
        (&many, &[200, 416]),
        ("bytes=0-0", &[206]),
    ] {
        let headers = [("Range", range)];
        let answer = http::request(on_air.server.http(), "GET", &path, &headers).await;
        assert!(
            accepted.contains(&answer.status),
            "{range:.40}: {}",
            answer.status
        );
        match answer.status {
            200 => assert!(answer.body == whole, "{range:.40}"),
            206 => assert!(whole.starts_with(&answer.body), "{range:.40}"),
            _ => assert!(answer.body.len() < 200),
        }
    }
    on_air.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_directives_that_make_no_sense_do_not_wait() {
    let on_air = OnAir::start().await;
    let huge = format!("a={}&_HLS_msn={}", "x".repeat(20_000), on_air.newest);
    let pairs = format!("{}_HLS_msn={}", "a=b&".repeat(4000), on_air.newest);
    for (query, accepted) in [
        ("_HLS_msn=-1", &[400][..]),
        ("_HLS_msn=18446744073709551615", &[400]),
        ("_HLS_msn=18446744073709551616", &[400]),
        ("_HLS_msn=1e9", &[400]),
        ("_HLS_msn=", &[400]),
        ("_HLS_part=3", &[400]),
        ("_HLS_part=18446744073709551615", &[400]),
        ("_HLS_msn=0&_HLS_part=4294967295", &[200, 400]),
        ("_HLS_skip=NO", &[200, 400]),
        ("_HLS_msn=1&_HLS_msn=2", &[200, 400]),
        ("%00%ff%", &[200, 400]),
        (&huge, &[200, 414, 431]),
        (&pairs, &[200, 414, 431]),
    ] {
        let path = format!("{}/source/index.m3u8?{query}", on_air.base);
        let answer = on_air.server.get(&path).await;
        assert!(
            accepted.contains(&answer.status),
            "{query:.40}: {}",
            answer.status
        );
    }
    on_air.end().await;
}

/// Connections that this process may open and accept, with room for everything else.
fn affordable() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    soft.map_or(200, |soft: usize| (soft / 4).clamp(200, 2000))
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_blocked_reloads_are_all_answered_by_one_segment() {
    let mut on_air = OnAir::start().await;
    let newest = on_air.server.newest_segment().unwrap();
    // The one that grows, and the one behind it.
    let wanted = newest + 2;
    let path = format!("{}/source/index.m3u8?_HLS_msn={wanted}", on_air.base);
    let head = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let mut waiting = Vec::new();
    for _ in 0..affordable() {
        let mut stream = TcpStream::connect(on_air.server.http()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    let count = waiting.len() as u64;
    let all = || (on_air.server.app.origin.stats().waiting == count).then_some(());
    on_air.server.until("crowd of waiting requests", all).await;
    let arrived = || on_air.server.newest_segment().filter(|n| *n >= wanted);
    on_air.encoder.until("segment", arrived).await;
    for stream in &mut waiting {
        let mut answer = Vec::new();
        soon("an answer", stream.read_to_end(&mut answer))
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 200 "), "{text:.200}");
        assert!(text.contains(&format!("{wanted}.m4s")));
    }
    let none = || (on_air.server.app.origin.stats().waiting == 0).then_some(());
    on_air.server.until("empty waiting room", none).await;
    // Whoever leaves while waiting leaves nothing behind.
    let newest = on_air.server.newest_segment().unwrap();
    let path = format!("{}/source/index.m3u8?_HLS_msn={}", on_air.base, newest + 2);
    let head = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    for _ in 0..100 {
        let mut stream = TcpStream::connect(on_air.server.http()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    let some = || (on_air.server.app.origin.stats().waiting == 100).then_some(());
    on_air.server.until("second crowd", some).await;
    drop(waiting);
    on_air.server.until("empty waiting room", none).await;
    on_air.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_reading_in_the_middle_of_a_segment_holds_nobody_up() {
    let on_air = OnAir::start().await;
    let path = format!("{}/source/{}.m4s", on_air.base, on_air.newest);
    // Many requests on one connection, none of whose answers is read.
    let head = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").repeat(200);
    let mut crowd = Vec::new();
    for _ in 0..50 {
        let stream = TcpStream::connect(on_air.server.http()).await.unwrap();
        let written = stream.try_write(head.as_bytes());
        assert!(written.is_ok_and(|count| count > 0));
        crowd.push(stream);
    }
    let many = (0..20).map(|_| on_air.server.get(&path));
    for request in many {
        let answer = tokio::time::timeout(Duration::from_secs(30), request).await;
        assert_eq!(answer.expect("an answer").status, 200);
    }
    on_air.end().await;
    drop(crowd);
}
