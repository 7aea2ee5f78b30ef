//! The same over sockets: HTTP/1.1, HTTP/2, TLS, limits, shutdown.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::base::shutdown::Tasks;

struct Served {
    rig: Rig,
    address: SocketAddr,
    tasks: Tasks,
    running: tokio::task::JoinHandle<()>,
}

async fn serve(rig: Rig, tls: Option<server::Tls>) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = Tasks::new();
    let run = server::run(listener, tls, rig.origin.clone(), tasks.clone());
    let running = tasks.spawn(run);
    Served {
        rig,
        address,
        tasks,
        running,
    }
}

impl Served {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

async fn send(socket: &mut (impl AsyncWrite + Unpin), request: &str) {
    socket.write_all(request.as_bytes()).await.unwrap();
}

async fn get(socket: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str) -> (String, Vec<u8>) {
    send(socket, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    receive(socket).await
}

/// Head and body of an answer with a Content-Length.
async fn receive(socket: &mut (impl AsyncRead + Unpin)) -> (String, Vec<u8>) {
    let head = receive_head(socket).await;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.unwrap();
    (head, body)
}

async fn receive_head(socket: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// One chunk of a chunked body; empty at the end.
async fn receive_chunk(socket: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(socket.read_u8().await.unwrap());
    }
    let size = std::str::from_utf8(&line).unwrap().trim();
    let mut chunk = vec![0; usize::from_str_radix(size, 16).unwrap() + 2];
    socket.read_exact(&mut chunk).await.unwrap();
    chunk.truncate(chunk.len() - 2);
    chunk
}

#[tokio::test]
async fn one_connection_serves_playlists_media_head_and_the_fallback() {
    let served = serve(Rig::playing(), None).await;
    let mut socket = served.connect().await;
    let (head, body) = get(&mut socket, &served.rig.hls("source/index.m3u8")).await;
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("\r\ndate: "),
        "{head}"
    );
    assert!(body.starts_with(b"#EXTM3U"));
    let (head, body) = get(&mut socket, &served.rig.hls("source/100.m4s")).await;
    assert!(head.contains("content-length: 100\r\n"), "{head}");
    assert!(body.starts_with(b"[source 0][source 1]"));
    let url = served.rig.hls("source/100.m4s");
    send(
        &mut socket,
        &format!("HEAD {url} HTTP/1.1\r\nhost: x\r\n\r\n"),
    )
    .await;
    let head = receive_head(&mut socket).await;
    assert!(head.contains("content-length: 100\r\n"), "{head}");
    let hello = "POST /hello HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi";
    send(&mut socket, hello).await;
    let (_, body) = receive(&mut socket).await;
    assert_eq!(body, b"hi from 127.0.0.1 secure false");
    assert_eq!(served.rig.origin.stats().connections, 1);
}

#[tokio::test]
async fn a_hinted_part_sends_no_byte_before_it_is_whole() {
    let served = serve(Rig::playing(), None).await;
    let mut socket = served.connect().await;
    let url = served.rig.hls("source/p32.m4s");
    send(
        &mut socket,
        &format!("GET {url} HTTP/1.1\r\nhost: x\r\n\r\n"),
    )
    .await;
    while served.rig.origin.stats().waiting == 0 {
        tokio::task::yield_now().await;
    }
    let mut byte = [0];
    assert!(
        socket.try_read(&mut byte).is_err(),
        "nothing may be sent yet"
    );
    served.rig.timeline.part("source", "whole part");
    let (head, body) = receive(&mut socket).await;
    assert!(head.contains("content-length: 10\r\n"), "{head}");
    assert_eq!(body, b"whole part");
}

#[tokio::test]
async fn a_growing_segment_travels_chunk_by_chunk() {
    let served = serve(Rig::playing(), None).await;
    let mut socket = served.connect().await;
    let url = served.rig.url("dash", "source/103.m4s");
    send(
        &mut socket,
        &format!("GET {url} HTTP/1.1\r\nhost: x\r\n\r\n"),
    )
    .await;
    let head = receive_head(&mut socket).await;
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    assert_eq!(receive_chunk(&mut socket).await, b"[source 30]");
    assert_eq!(receive_chunk(&mut socket).await, b"[source 31]");
    served.rig.timeline.part("source", "[source 32]");
    assert_eq!(receive_chunk(&mut socket).await, b"[source 32]");
    served.rig.timeline.cut("source");
    assert_eq!(receive_chunk(&mut socket).await, b"");
    let (_, body) = get(&mut socket, &url).await;
    assert_eq!(body, b"[source 30][source 31][source 32]");
}

/// A frame of RFC 9113 §4.1.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(payload);
    frame
}

/// A request's header block, each field as a literal without indexing (RFC 7541 §6.2.2).
fn header_block(path: &str) -> Vec<u8> {
    // Indexed: `:method: GET`, `:scheme: http`.
    let mut block = vec![0x82, 0x86];
    for (name, value) in [(":path", path), (":authority", "x")] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// Asks over HTTP/2 with prior knowledge: whether the status is 200, and the body.
async fn get_h2(socket: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str) -> (bool, Vec<u8>) {
    let mut opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    opening.extend(frame(4, 0, 0, &[]));
    // HEADERS with END_STREAM and END_HEADERS.
    opening.extend(frame(1, 5, 1, &header_block(path)));
    socket.write_all(&opening).await.unwrap();
    let (mut ok, mut body) = (false, Vec::new());
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        socket.read_exact(&mut payload).await.unwrap();
        match head[3] {
            // DATA
            0 => body.extend(payload),
            // HEADERS: `:status: 200` is entry 8 of the static table.
            1 => ok = payload[0] == 0x88,
            _ => continue,
        }
        if head[4] & 1 != 0 {
            return (ok, body);
        }
    }
}

#[tokio::test]
async fn http2_is_spoken_with_prior_knowledge() {
    let served = serve(Rig::playing(), None).await;
    let mut socket = served.connect().await;
    let (ok, body) = get_h2(&mut socket, &served.rig.hls("source/101.m4s")).await;
    assert!(ok);
    assert!(body.starts_with(b"[source 10][source 11]"));
}

#[tokio::test]
async fn a_blocked_reload_comes_over_http2() {
    let served = serve(Rig::playing(), None).await;
    let mut socket = served.connect().await;
    let url = served.rig.hls("source/index.m3u8?_HLS_msn=103&_HLS_part=2");
    let publish = async {
        while served.rig.origin.stats().waiting == 0 {
            tokio::task::yield_now().await;
        }
        served.rig.timeline.part("source", "[source 32]");
    };
    let ((ok, body), ()) = tokio::join!(get_h2(&mut socket, &url), publish);
    assert!(ok);
    assert!(String::from_utf8(body).unwrap().contains("p32.m4s"));
}

fn certificate(name: &str) -> (Vec<u8>, Vec<u8>, rcgen::Certificate) {
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    let pem = certificate.pem().into_bytes();
    (pem, key.serialize_pem().into_bytes(), certificate)
}

async fn handshake(
    served: &Served,
    name: &'static str,
    trusted: &rcgen::Certificate,
    alpn: &[u8],
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(name).unwrap();
    connector.connect(name, served.connect().await).await
}

#[tokio::test]
async fn tls_speaks_both_versions_and_reloads_its_certificate() {
    let (pem, key, first) = certificate("one.example");
    let tls = Arc::new(ArcSwap::new(tls::config(&pem, &key).unwrap()));
    let served = serve(Rig::playing(), Some(tls.clone())).await;
    let playlist = served.rig.hls("source/index.m3u8");

    let mut old = handshake(&served, "one.example", &first, b"http/1.1")
        .await
        .unwrap();
    let (head, _) = get(&mut old, &playlist).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut socket = handshake(&served, "one.example", &first, b"h2")
        .await
        .unwrap();
    assert!(get_h2(&mut socket, &playlist).await.0);

    let (pem, key, second) = certificate("two.example");
    tls.store(tls::config(&pem, &key).unwrap());
    assert!(
        handshake(&served, "one.example", &first, b"h2")
            .await
            .is_err()
    );
    let mut new = handshake(&served, "two.example", &second, b"http/1.1")
        .await
        .unwrap();
    assert!(get(&mut new, &playlist).await.0.starts_with("HTTP/1.1 200"));
    let hello = "POST /hello HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi";
    send(&mut old, hello).await;
    assert_eq!(receive(&mut old).await.1, b"hi from 127.0.0.1 secure true");
}

#[tokio::test]
async fn bad_certificates_are_refused_without_showing_them() {
    let (pem, key, _) = certificate("one.example");
    let (_, other_key, _) = certificate("two.example");
    assert!(tls::config(&pem, &other_key).is_err());
    let error = tls::config(&pem, b"secret nonsense")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("key") && !error.contains("nonsense"),
        "{error}"
    );
    assert!(tls::config(b"nonsense", &key).is_err());
}

#[tokio::test]
async fn a_request_head_that_is_too_long_is_refused() {
    let served = serve(Rig::playing(), None).await;
    let mut socket = served.connect().await;
    let long = "x".repeat(256 * 1024);
    let request = format!("GET /time HTTP/1.1\r\nhost: x\r\nlong: {long}\r\n\r\n");
    // The server closes while we still send: the end may come before, or instead of, its answer.
    let _ = socket.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
}

#[tokio::test(start_paused = true)]
async fn connections_without_progress_are_closed_and_waiting_ones_are_not() {
    let served = serve(Rig::playing(), None).await;
    let mut silent = served.connect().await;
    let mut slow = served.connect().await;
    send(&mut slow, "GET /time HTTP/1.1\r\nho").await;
    let mut idle = served.connect().await;
    get(&mut idle, "/time").await;
    for mut socket in [silent, slow, idle] {
        assert_eq!(socket.read(&mut [0; 16]).await.unwrap_or(0), 0);
    }
    silent = served.connect().await;
    let url = served.rig.hls("source/index.m3u8?_HLS_msn=105");
    send(
        &mut silent,
        &format!("GET {url} HTTP/1.1\r\nhost: x\r\n\r\n"),
    )
    .await;
    let (head, _) = receive(&mut silent).await;
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_http2_connection_is_not_kept_by_pings() {
    let served = serve(Rig::playing(), None).await;
    let mut socket = served.connect().await;
    get_h2(&mut socket, &served.rig.hls("source/101.m4s")).await;
    let mut pings = 0;
    loop {
        let mut head = [0; 9];
        if socket.read_exact(&mut head).await.is_err() {
            break;
        }
        let mut payload = vec![0; usize::from(head[2])];
        socket.read_exact(&mut payload).await.unwrap();
        // PING without ACK.
        if head[3] == 6 && head[4] == 0 {
            pings += 1;
            let _ = socket.write_all(&frame(6, 1, 0, &payload)).await;
        }
    }
    assert!(pings > 0);
}

#[tokio::test]
async fn a_player_that_leaves_while_it_waits_is_forgotten() {
    let served = serve(Rig::playing(), None).await;
    let mut socket = served.connect().await;
    let url = served.rig.hls("source/p32.m4s");
    send(
        &mut socket,
        &format!("GET {url} HTTP/1.1\r\nhost: x\r\n\r\n"),
    )
    .await;
    while served.rig.origin.stats().waiting == 0 {
        tokio::task::yield_now().await;
    }
    drop(socket);
    while served.rig.origin.stats().waiting > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn shutdown_ends_idle_connections_and_answers_what_is_asked() {
    let served = serve(Rig::playing(), None).await;
    let mut idle = served.connect().await;
    get(&mut idle, "/time").await;
    let mut waiting = served.connect().await;
    let url = served.rig.hls("source/p32.m4s");
    send(
        &mut waiting,
        &format!("GET {url} HTTP/1.1\r\nhost: x\r\n\r\n"),
    )
    .await;
    while served.rig.origin.stats().waiting == 0 {
        tokio::task::yield_now().await;
    }
    served.tasks.stop();
    assert_eq!(idle.read(&mut [0; 16]).await.unwrap(), 0);
    let refused = receive(&mut waiting).await.0;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("retry-after: 1"), "{refused}");
    served.running.await.unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
    served.tasks.finish().await;
    assert_eq!(served.rig.origin.stats().connections, 0);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let mut rig = Rig::playing();
    let config = Config {
        max_connections: 1,
        ..Config::default()
    };
    let (streams, clock) = (rig.streams.clone(), rig.clock.clone());
    rig.origin = Origin::new(config, streams, clock, Arc::new(Open), axum::Router::new());
    let served = serve(rig, None).await;
    let mut first = served.connect().await;
    get(&mut first, "/time").await;
    let mut second = served.connect().await;
    send(&mut second, "GET /time HTTP/1.1\r\nhost: x\r\n\r\n").await;
    get(&mut first, "/time").await;
    assert!(second.try_read(&mut [0]).is_err());
    drop(first);
    assert!(receive(&mut second).await.0.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_upgraded_connection_keeps_its_place_and_is_not_closed_for_its_silence() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;

    let served = serve(Rig::playing(), None).await;
    let crowd = &served.rig.origin.crowd;
    let socket = served.connect().await;
    let (mut socket, _) = tokio_tungstenite::client_async("ws://localhost/echo", socket)
        .await
        .unwrap();
    tokio::time::pause();
    // Three sweeps: an idle connection of HTTP is closed by the second.
    tokio::time::sleep(std::time::Duration::from_secs(70)).await;
    tokio::time::resume();
    socket.send(Message::text("hi")).await.unwrap();
    let heard = socket.next().await.unwrap().unwrap();
    assert_eq!(heard, Message::text("hi"));
    assert_eq!(crowd.count(), 1);
}
