//! The admission service, asked by the real binary: encoders over RTMP and SRT that it lets in, refuses,
//! or does not answer.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::common::encoder::Encoder;
use crate::common::gateway::{Folder, Gateway};
use crate::common::http;
use crate::common::media::Clip;
use crate::common::rtmp::RtmpPublisher;
use crate::common::server::PATIENCE;
use crate::common::srt::Call;

const KEY: &str = "AdmissionKey-0123456789";
const PASSWORD: &str = "AdmissionSecret-9f8e7d6c";
const ADMIN: &str = "AdmissionAdmin-0123456789";
const LOCATION: &str = "/admission?site=7";

/// The operator's service: answers as it is told for the address path, and keeps what it was asked.
struct Service {
    address: SocketAddr,
    asked: mpsc::Receiver<Value>,
    server: JoinHandle<()>,
}

impl Service {
    /// `answer` is what every call is answered with; `None`: none ever is.
    async fn start(answer: Option<String>) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // Room for all calls of a test; the service waits when it is full.
        let (told, asked) = mpsc::channel(64);
        #[expect(clippy::disallowed_methods, reason = "ended with the service")]
        let server = tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let Some(question) = question(&mut stream).await else {
                    continue;
                };
                let _ = told.send(question).await;
                if let Some(answer) = &answer {
                    let _ = stream.write_all(answer.as_bytes()).await;
                } else {
                    open.push(stream);
                }
            }
        });
        Service {
            address,
            asked,
            server,
        }
    }

    fn url(&self) -> String {
        format!("http://gate:{PASSWORD}@{}{LOCATION}", self.address)
    }

    async fn question(&mut self) -> Value {
        let asked = tokio::time::timeout(PATIENCE, self.asked.recv()).await;
        asked.expect("it is asked").expect("it runs")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn question(stream: &mut TcpStream) -> Option<Value> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = std::str::from_utf8(&bytes).expect("text");
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            assert!(head.starts_with(&format!("POST {LOCATION} ")), "{head}");
            assert!(!text.contains(KEY), "{text}");
            if let Ok(question) = serde_json::from_str(body) {
                return Some(question);
            }
        }
    }
}

fn json(status: &str, body: &str) -> Option<String> {
    Some(format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

async fn gateway(folder: &Folder, url: &str, on_failure: &str) -> Gateway {
    let settings = [
        ("FOREBAY_STREAM_KEY", KEY),
        ("FOREBAY_ADMIN_KEY", ADMIN),
        ("FOREBAY_ADMISSION_URL", url),
        ("FOREBAY_ADMISSION_ON_FAILURE", on_failure),
        ("RUST_LOG", "trace"),
    ];
    folder.serve(&settings).await
}

fn over_srt(gateway: &Gateway, options: &str) -> crate::common::srt::Sender {
    let clip = Clip {
        container: "ts",
        ..Clip::h264(900, 30)
    };
    Call::new(gateway.srt(), &format!("{KEY}{options}")).ffmpeg_5(&clip.file())
}

async fn streams(gateway: &Gateway) -> Vec<Value> {
    let key = [("X-Admin-Key", ADMIN)];
    let answer = http::request(gateway.http(), "GET", "/api/admin/streams", &key).await;
    serde_json::from_slice(&answer.body).expect("a list")
}

async fn refusal_over_rtmp(gateway: &Gateway, key: &str) -> String {
    let mut publisher = RtmpPublisher::connect(gateway.rtmp()).await.unwrap();
    let status = publisher.publish("live", key).await.unwrap_err();
    publisher.closed().await;
    format!("{status:?}")
}

/// Ends the gateway; its log, which holds no secret.
async fn log(gateway: Gateway) -> String {
    let log = gateway.stop().await;
    for secret in [PASSWORD, KEY, "Z2F0ZT"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_service_lets_in_publishes_as_what_it_says() {
    let mut service = Service::start(json(
        "200 OK",
        r#"{"capabilities":["streaming","booked"],"tags":["ok"]}"#,
    ))
    .await;
    let folder = Folder::new();
    let gateway = gateway(&folder, &service.url(), "refuse").await;
    let key = format!("{KEY};capabilities=fhd,streaming;tags=mine");
    let mut encoder = Encoder::start(gateway.rtmp(), &key).await.unwrap();
    encoder.lap().await.unwrap();
    let question = service.question().await;
    assert_eq!(question["protocol"], "rtmp");
    assert_eq!(question["address"], "127.0.0.1");
    assert_eq!(question["channelId"], "local#forebay#live");
    assert_eq!(
        question["capabilities"],
        serde_json::json!(["fhd", "streaming"])
    );
    assert_eq!(question["tags"], serde_json::json!(["mine"]));
    let listed = streams(&gateway).await;
    let expected = serde_json::json!(["streaming", "booked"]);
    assert_eq!(listed[0]["capabilities"], expected, "{listed:#?}");
    encoder.finish().await;
    // A key that nobody has is nothing to ask about.
    refusal_over_rtmp(&gateway, "NoSuchKey-0123456789").await;
    let sender = over_srt(&gateway, "");
    let question = service.question().await;
    assert_eq!(question["protocol"], "srt");
    sender.kill();
    log(gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_service_refuses_is_told_so_over_rtmp_and_hung_up_on_over_srt() {
    let mut service = Service::start(json("403 Forbidden", r#"{"reason":"not booked"}"#)).await;
    let folder = Folder::new();
    let gateway = gateway(&folder, &service.url(), "allow").await;
    let told = refusal_over_rtmp(&gateway, KEY).await;
    assert!(told.contains("NetStream.Publish"), "{told}");
    service.question().await;
    let (well, said) = over_srt(&gateway, "").ended().await;
    assert!(!well, "the caller is cut off: {said}");
    assert_eq!(service.question().await["protocol"], "srt");
    assert!(streams(&gateway).await.is_empty());
    let log = log(gateway).await;
    let reasons = log.matches("it answered 403: not booked").count();
    assert!(reasons >= 2, "{reasons}: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_answer_refuses_or_allows_as_the_setting_says() {
    let service = Service::start(None).await;
    let folder = Folder::new();
    let refusing = gateway(&folder, &service.url(), "refuse").await;
    refusal_over_rtmp(&refusing, KEY).await;
    let log_of_refusing = log(refusing).await;
    assert!(log_of_refusing.contains("did not answer within 2 s"));
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let url = format!("http://gate:{PASSWORD}@{nobody}/");
    for url in [service.url(), url] {
        let allowing = gateway(&folder, &url, "allow").await;
        let mut encoder = Encoder::start(allowing.rtmp(), KEY).await.unwrap();
        encoder.lap().await.unwrap();
        assert_eq!(streams(&allowing).await.len(), 1);
        encoder.finish().await;
        assert!(log(allowing).await.contains("published without admission"));
    }
}
