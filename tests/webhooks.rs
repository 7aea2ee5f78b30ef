//! Webhooks of the real program, at a receiver that checks them with the library of the Standard Webhooks
//! specification.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::common::encoder::Encoder;
use crate::common::gateway::{Folder, Gateway};
use crate::common::http;
use crate::common::server::PATIENCE;

const ADMIN: &str = "WebhookAdmin-0123456789";
/// What docker/install-deps.sh --test installs.
const PYTHON: &str = "target/tools/standardwebhooks/bin/python";
/// Takes the secret in its first line; prints its port, then what it was sent and could verify.
const RECEIVER: &str = r#"
import http.server, json, sys
from standardwebhooks.webhooks import Webhook

class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            print(json.dumps(hook.verify(body, dict(self.headers))), flush=True)
            self.send_response(200)
        except Exception as error:
            print(json.dumps({"error": repr(error)}), flush=True)
            self.send_response(400)
        self.end_headers()
        self.wfile.write(b"thanks")

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
hook = Webhook(sys.stdin.readline().strip())
server.serve_forever()
"#;

/// The receiver; ended with the test.
struct Receiver {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Receiver {
    fn start() -> Receiver {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(PYTHON);
        let child = Command::new(&program)
            .args(["-c", RECEIVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = child.unwrap_or_else(|error| {
            panic!(
                "{}: {error}; docker/install-deps.sh --test installs it",
                program.display()
            )
        });
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Receiver { child, lines }
    }

    async fn next(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        line.expect("something comes").unwrap().expect("it runs")
    }

    async fn know(&mut self, secret: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        let line = format!("{secret}\n");
        input.write_all(line.as_bytes()).await.unwrap();
    }

    /// What is told next: its event and its data.
    async fn told(&mut self) -> (String, Value) {
        let told: Value = serde_json::from_str(&self.next().await).unwrap();
        let event = told["type"].as_str().unwrap_or_else(|| panic!("{told}"));
        (event.to_owned(), told["data"].clone())
    }
}

async fn call(
    gateway: &Gateway,
    method: &str,
    path: &str,
    key: (&str, &str),
    body: Value,
) -> Value {
    let body = body.to_string();
    let answer = http::send(gateway.http(), method, path, &[key], &body).await;
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value}"))
}

async fn serve(folder: &Folder) -> Gateway {
    let settings = [
        ("FOREBAY_ADMIN_KEY", ADMIN),
        ("FOREBAY_WEBHOOKS_PRIVATE", "127.0.0.1"),
        ("RUST_LOG", "trace"),
    ];
    folder.serve(&settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_follows_a_broadcast_and_its_encoder_and_a_restarted_gateway_tells_the_rest() {
    let folder = Folder::new();
    let gateway = serve(&folder).await;
    let client = json!({"name": "App", "contactEmail": "a@example.org", "agreeTerms": true});
    let admin = ("X-Admin-Key", ADMIN);
    let client = call(&gateway, "POST", "/api/admin/sdk-clients", admin, client).await;
    let key = ("X-API-Key", text(&client["apiKey"]));
    let mut receiver = Receiver::start();
    let port: u16 = receiver.next().await.parse().unwrap();
    let url = format!(
        "http://{}/hook?room=7",
        SocketAddr::from(([127, 0, 0, 1], port))
    );
    let webhook = call(
        &gateway,
        "POST",
        "/api/webhooks",
        key,
        json!({ "url": url }),
    )
    .await;
    let secret = text(&webhook["secret"]);
    receiver.know(secret).await;
    let body = json!({"title": "caf\u{e9} \u{1f3a5}"});
    let broadcast = call(&gateway, "POST", "/api/broadcasts", key, body).await;
    let (event, data) = receiver.told().await;
    assert_eq!(event, "broadcast.created");
    assert_eq!(
        (&data["broadcastId"], &data["title"]),
        (&broadcast["id"], &broadcast["title"])
    );
    let stream_key = text(&broadcast["streamKey"]);
    let mut encoder = Encoder::start(gateway.rtmp(), stream_key).await.unwrap();
    encoder.lap().await.unwrap();
    let (event, data) = receiver.told().await;
    assert_eq!(
        (&*event, &data["streamId"]),
        ("publisher.connected", &broadcast["streamId"])
    );
    assert_eq!(data["publisher"]["protocol"], "rtmp");
    assert_eq!(receiver.told().await.0, "stream.started");
    let status = format!("/api/broadcasts/{}/status", text(&broadcast["id"]));
    call(&gateway, "POST", &status, key, json!({"status": "active"})).await;
    assert_eq!(receiver.told().await.0, "broadcast.active");
    encoder.finish().await;
    assert_eq!(receiver.told().await.0, "publisher.disconnected");
    // What nobody could be told yet outlives the process.
    let path = format!("/api/webhooks/{}", text(&webhook["id"]));
    let nowhere = json!({"url": "http://127.0.0.1:1/"});
    call(&gateway, "PATCH", &path, key, nowhere).await;
    call(
        &gateway,
        "POST",
        &status,
        key,
        json!({"status": "completed"}),
    )
    .await;
    let log = gateway.stop().await;
    for secret in [secret, &secret[6..], "room=7", stream_key] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    let gateway = serve(&folder).await;
    call(&gateway, "PATCH", &path, key, json!({ "url": url })).await;
    let mut rest = [receiver.told().await.0, receiver.told().await.0];
    rest.sort();
    assert_eq!(rest, ["broadcast.completed", "stream.ended"]);
    gateway.stop().await;
}
