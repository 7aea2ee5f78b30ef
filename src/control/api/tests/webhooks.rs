//! Webhooks as their owners and receivers see them: real requests over loopback.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::base::destination::Private;
use crate::base::id::Uuid;
use crate::base::shutdown::Tasks;
use crate::control::Webhooks;
use crate::hub::{Attendee, Listing};
use crate::store::{Delivery, Store};

mod deliveries;

const YES: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const NO: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 3\r\n\r\nno!";
/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request that came.
#[derive(Debug)]
struct Came {
    head: String,
    body: String,
}

impl Came {
    fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found
            .unwrap_or_else(|| panic!("no {name} in {}", self.head))
            .1
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn event(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    /// Standard Webhooks, "Verifying webhooks".
    fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD
            .decode(secret.strip_prefix("whsec_").unwrap())
            .unwrap();
        let (id, at) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let signed = format!("{id}.{at}.{}", self.body);
        self.header("webhook-signature")
            .split(' ')
            .any(|signature| {
                let signature = STANDARD
                    .decode(signature.strip_prefix("v1,").unwrap())
                    .unwrap();
                let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&key).unwrap();
                mac.update(signed.as_bytes());
                mac.verify_slice(&signature).is_ok()
            })
    }
}

/// Answers each request with the next text, and from then on with the last; none: never.
struct Receiver {
    url: String,
    came: mpsc::Receiver<Came>,
    server: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    async fn start(answers: &[&str]) -> Receiver {
        let answers: Vec<String> = answers.iter().map(|text| (*text).to_owned()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?a=b", listener.local_addr().unwrap());
        // Room for all that a test sends.
        let (told, came) = mpsc::channel(1000);
        #[expect(clippy::disallowed_methods, reason = "ended with the receiver")]
        let server = tokio::spawn(async move {
            let (mut open, mut count) = (Vec::new(), 0);
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let Some(request) = read_request(&mut stream).await else {
                    continue;
                };
                told.send(request).await.unwrap();
                match answers.get(count.min(answers.len().saturating_sub(1))) {
                    // One who has read enough hangs up.
                    Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
                    None => open.push(stream),
                }
                count += 1;
            }
        });
        Receiver { url, came, server }
    }

    async fn next(&mut self) -> Came {
        let came = tokio::time::timeout(PATIENCE, self.came.recv()).await;
        came.expect("something comes").expect("the receiver runs")
    }

    async fn events(&mut self, count: usize) -> Vec<String> {
        let mut events = Vec::new();
        for _ in 0..count {
            events.push(self.next().await.event());
        }
        events
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Came> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.to_ascii_lowercase();
        let length = length.split("content-length: ").nth(1).unwrap();
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        if body.len() == length {
            let (head, body) = (head.to_owned(), body.to_owned());
            return Some(Came { head, body });
        }
    }
}

fn here() -> Private {
    Private {
        networks: ["127.0.0.0/8", "::1"]
            .map(|it| it.parse().unwrap())
            .to_vec(),
        setting: "FOREBAY_WEBHOOKS_PRIVATE",
    }
}

/// Sends until it is stopped.
struct Sender(Tasks);

impl Sender {
    fn start(bench: &Bench, store: &Store, private: Private) -> Sender {
        let tasks = Tasks::new();
        let webhooks = Webhooks::new(
            store.clone(),
            bench.world.clone(),
            private,
            bench.clock.clone(),
        );
        tasks.spawn(webhooks.run(tasks.clone()));
        Sender(tasks)
    }

    async fn stop(self) {
        let stopped = tokio::time::timeout(PATIENCE, self.0.finish()).await;
        stopped.expect("it stops");
    }
}

/// A webhook of the client with [`KEY`], by a name: what is private of it is seen when it is called.
async fn made(bench: &Bench, url: &str) -> Value {
    let named = url.replace("127.0.0.1", "localhost");
    let body = json!({ "url": named });
    let (code, made) = bench.api("POST", "/api/webhooks", &KEY, body).await;
    assert_eq!(code, 200, "{made}");
    made
}

fn path(webhook: &Value, rest: &str) -> String {
    format!("/api/webhooks/{}{rest}", webhook["id"].as_str().unwrap())
}

async fn ping(bench: &Bench, webhook: &Value) -> Value {
    let (code, sent) = bench.api("POST", &path(webhook, "/test"), &KEY, "").await;
    assert_eq!(code, 200, "{sent}");
    sent
}

fn id(webhook: &Value) -> Uuid {
    webhook["id"].as_str().unwrap().parse().unwrap()
}

/// Waits until a webhook's newest delivery is as wanted.
async fn newest(bench: &Bench, webhook: &Value, wanted: impl Fn(&Delivery) -> bool) -> Delivery {
    let look = async {
        loop {
            let found = bench.store.deliveries_of(id(webhook), 1).await.unwrap();
            if let Some(newest) = found.into_iter().next().filter(&wanted) {
                return newest;
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, look).await;
    found.expect("the delivery becomes what is wanted")
}

async fn become_(bench: &Bench, broadcast: &Value, status: &str) {
    let path = format!(
        "/api/broadcasts/{}/status",
        broadcast["id"].as_str().unwrap()
    );
    let answer = bench
        .api("POST", &path, &KEY, json!({ "status": status }))
        .await;
    assert_eq!(answer.0, 200, "{}", answer.1);
}

#[tokio::test]
async fn a_webhook_is_made_shown_changed_and_deleted_by_its_tenant_alone() {
    let bench = clients().await;
    let all = "/api/webhooks";
    assert_eq!(bench.api("GET", all, &NOBODY, "").await.0, 401);
    assert_eq!(bench.api("POST", all, &OPERATOR, "{}").await.0, 401);
    let body = json!({"url": "https://receiver.example/hook", "description": "<b>",
        "events": ["broadcast.active"], "isActive": true, "other": 1});
    let (code, made) = bench.api("POST", all, &KEY, body).await;
    assert_eq!(code, 200, "{made}");
    let secret = made["secret"].as_str().unwrap();
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap());
    assert_eq!(key.unwrap().len(), 32);
    assert_eq!(made["createdAt"], "2026-09-21T14:13:20Z");
    let one = path(&made, "");
    let (code, shown) = bench.api("GET", &one, &KEY, "").await;
    let mut expected = made.clone();
    expected.as_object_mut().unwrap().remove("secret");
    assert_eq!((code, &shown), (200, &expected));
    let listed = bench.api("GET", all, &KEY, "").await;
    assert_eq!(listed, (200, json!([expected])));
    let change = json!({"isActive": false, "events": [], "description": null});
    let (code, changed) = bench.api("PATCH", &one, &KEY, change).await;
    assert_eq!(code, 200);
    assert_eq!(changed["isActive"], false);
    assert_eq!(
        (&changed["events"], &changed["description"]),
        (&json!([]), &json!("<b>"))
    );
    let (code, refused) = bench.api("POST", &path(&made, "/test"), &KEY, "").await;
    assert_eq!(code, 409, "{refused}");
    for (method, rest) in [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/deliveries"),
        ("POST", "/test"),
        ("POST", "/secret"),
    ] {
        let (foreign, unknown) = (path(&made, rest), format!("/api/webhooks/x{rest}"));
        assert_eq!(
            bench.api(method, &foreign, &OTHER_KEY, "").await.0,
            404,
            "{method} {rest}"
        );
        assert_eq!(
            bench.api(method, &unknown, &KEY, "").await.0,
            404,
            "{method} {rest}"
        );
        assert_eq!(
            bench.api(method, &foreign, &NOBODY, "").await.0,
            401,
            "{method} {rest}"
        );
    }
    assert_eq!(
        bench.api("GET", all, &OTHER_KEY, "").await,
        (200, json!([]))
    );
    let gone = bench.api("DELETE", &one, &KEY, "").await;
    assert_eq!(gone, (200, json!({"success": true})));
    assert_eq!(bench.api("DELETE", &one, &KEY, "").await.0, 404);
}

#[tokio::test]
async fn operators_do_the_same_for_any_application() {
    let bench = clients().await;
    let all = "/api/admin/applications/one/webhooks";
    let body = json!({"url": "https://receiver.example/hook"});
    assert_eq!(bench.api("POST", all, &KEY, &body).await.0, 401);
    let (code, made) = bench.api("POST", all, &OPERATOR, &body).await;
    assert_eq!(code, 200, "{made}");
    assert_eq!(bench.api("GET", &path(&made, ""), &KEY, "").await.0, 200);
    let one = format!("{all}/{}", made["id"].as_str().unwrap());
    let foreign = one.replace("/one/", "/two/");
    for (method, rest) in [
        ("GET", "/deliveries"),
        ("POST", "/test"),
        ("POST", "/secret"),
        ("PATCH", ""),
        ("GET", ""),
        ("DELETE", ""),
    ] {
        let ask = async |of: &str| {
            bench
                .api(method, &format!("{of}{rest}"), &OPERATOR, "")
                .await
                .0
        };
        assert_eq!(
            (ask(&foreign).await, ask(&one).await),
            (404, 200),
            "{method} {rest}"
        );
    }
    let nobody = "/api/admin/applications/nobody/webhooks";
    assert_eq!(bench.api("GET", nobody, &OPERATOR, "").await.0, 404);
    assert_eq!(bench.api("GET", all, &OPERATOR, "").await, (200, json!([])));
}

#[tokio::test]
async fn what_is_no_webhook_is_refused_and_more_than_ten_are() {
    let bench = clients().await;
    let long = format!("https://receiver.example/{}", "a".repeat(2048));
    for url in [
        "",
        "receiver.example",
        "/hook",
        "ftp://receiver.example/",
        "https://",
        "https://user:password@receiver.example/",
        "http://127.0.0.1/",
        "http://[::1]:80/",
        "http://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
        "https://10.1.2.3/",
        "http://0.0.0.0/",
        long.as_str(),
    ] {
        let (code, refused) = bench
            .api("POST", "/api/webhooks", &KEY, json!({ "url": url }))
            .await;
        assert_eq!(code, 400, "{url}: {refused}");
        assert!(!refused.to_string().contains("password@"));
    }
    let url = "https://receiver.example/";
    for body in [
        json!({}),
        json!({"url": 7}),
        json!({"url": url, "events": ["broadcast.Active"]}),
        json!({"url": url, "events": "broadcast.active"}),
        json!({"url": url, "isActive": "yes"}),
        json!({"url": url, "description": "a".repeat(1001)}),
        json!({"url": url, "description": "\0"}),
    ] {
        let (code, refused) = bench.api("POST", "/api/webhooks", &KEY, &body).await;
        assert_eq!(code, 400, "{body}: {refused}");
    }
    for _ in 0..10 {
        made(&bench, url).await;
    }
    let body = json!({ "url": url });
    assert_eq!(bench.api("POST", "/api/webhooks", &KEY, &body).await.0, 409);
    assert_eq!(
        bench
            .api("POST", "/api/webhooks", &OTHER_KEY, &body)
            .await
            .0,
        200
    );
}
