//! Chats of the real program: thousands of sockets at once, over plain connections and over TLS. What is said
//! there, and who may say it, is tested beside the code.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::common::gateway::Folder;
use crate::common::http;
use crate::common::server::PATIENCE;

const ADMIN_KEY: &str = "ChatsAdmin0123456789";
/// Listeners, where that many files may be open: few enough for a test.
const MOST_LISTENERS: u64 = 3000;
/// Handshakes at a time: no more than a listener's backlog.
const AT_ONCE: usize = 64;
/// What a socket may cost the gateway, bytes: its buffers, its task, and what the allocator keeps.
const SOCKET_BYTES: u64 = 32 << 10;

/// A client of `/api` with one session; its key, and the path of the session's chat.
async fn session(address: SocketAddr) -> (String, String) {
    let ask = async |path: &str, header: (&str, &str), body: Value| -> Value {
        let answer = http::send(address, "POST", path, &[header], &body.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_str(answer.text()).unwrap()
    };
    let about = json!({"name": "Chats", "contactEmail": "chats@example.com", "agreeTerms": true});
    let made = ask("/api/admin/sdk-clients", ("X-Admin-Key", ADMIN_KEY), about).await;
    let key = made["apiKey"].as_str().unwrap().to_owned();
    let title = json!({"title": "Many listen"});
    let session = ask("/api/v1/sessions", ("X-API-Key", &key), title).await;
    let id = session["id"].as_str().unwrap();
    let path = format!("/ws/streams/{id}/chat");
    (key, path)
}

async fn join<S>(stream: S, path: &str) -> WebSocketStream<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // The client's own buffers, of which there are thousands here.
    let small = WebSocketConfig::default().read_buffer_size(1 << 10);
    let url = format!("ws://localhost{path}");
    let joined = tokio_tungstenite::client_async_with_config(url, stream, Some(small));
    joined.await.unwrap().0
}

/// The next text frame that says more than how many listen; otherwise the code of the end.
async fn hear<S>(socket: &mut WebSocketStream<S>) -> Result<Value, u16>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let hearing = async {
        loop {
            match socket.next().await.expect("a frame").expect("a frame") {
                Message::Text(text) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    // That comes at times of its own, also while all leave.
                    if frame["type"] != "viewers" {
                        return Ok(frame);
                    }
                }
                Message::Close(close) => return Err(close.expect("a reason").code.into()),
                _ => {}
            }
        }
    };
    let heard = tokio::time::timeout(PATIENCE, hearing).await;
    heard.expect("a frame comes")
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_hear_the_same_cost_little_and_are_told_the_end() {
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let count = MOST_LISTENERS.min(files / 4);
    let folder = Folder::new();
    let gateway = folder.serve(&[("FOREBAY_ADMIN_KEY", ADMIN_KEY)]).await;
    let address = gateway.http();
    let (key, path) = session(address).await;
    let before = gateway.memory_bytes();
    let mut listeners = Vec::new();
    let mut joining = JoinSet::new();
    for _ in 0..count {
        if joining.len() >= AT_ONCE {
            listeners.push(joining.join_next().await.unwrap().unwrap());
        }
        let path = path.clone();
        joining.spawn(async move { join(TcpStream::connect(address).await.unwrap(), &path).await });
    }
    listeners.extend(joining.join_all().await);

    // The refusal shows that each of them is in the room.
    let mut entering = JoinSet::new();
    for mut socket in listeners {
        entering.spawn(async move {
            socket.send(Message::text("may I?")).await.unwrap();
            assert_eq!(hear(&mut socket).await.unwrap()["code"], 401);
            socket
        });
    }
    let listeners = entering.join_all().await;
    let each = gateway.memory_bytes().saturating_sub(before) / count;
    assert!(each < SOCKET_BYTES, "{each} bytes for each socket");

    let stream = TcpStream::connect(address).await.unwrap();
    let mut sender = join(stream, &format!("{path}?token={key}")).await;
    let mut hearing = JoinSet::new();
    for mut socket in listeners {
        hearing.spawn(async move {
            let message = hear(&mut socket).await.unwrap();
            let reaction = hear(&mut socket).await.unwrap();
            let end = hear(&mut socket).await.unwrap_err();
            (message, reaction, end)
        });
    }
    for text in ["hi", r#"{"type":"reaction","reaction":"heart"}"#] {
        sender.send(Message::text(text)).await.unwrap();
    }
    let message = hear(&mut sender).await.unwrap();
    assert_eq!(message["message"], "hi");
    let reaction = hear(&mut sender).await.unwrap();
    assert_eq!(reaction["reaction"], "heart");
    gateway.stop().await;
    for heard in hearing.join_all().await {
        assert_eq!(heard, (message.clone(), reaction.clone(), 1001));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_is_joined_over_tls_too() {
    let folder = Folder::new();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    folder.write("cert.pem", &made.cert.pem());
    folder.write("key.pem", &made.signing_key.serialize_pem());
    let plain = folder.serve(&[("FOREBAY_ADMIN_KEY", ADMIN_KEY)]).await;
    let (_, path) = session(plain.http()).await;
    plain.stop().await;
    let settings = [
        ("FOREBAY_TLS_CERT", "cert.pem"),
        ("FOREBAY_TLS_KEY", "key.pem"),
    ];
    let gateway = folder.serve(&settings).await;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    // As browsers do for `wss:`.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(gateway.http()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.unwrap();
    let mut socket = join(stream, &path).await;
    socket.send(Message::text("hi")).await.unwrap();
    assert_eq!(hear(&mut socket).await.unwrap()["code"], 401);
    gateway.stop().await;
}
