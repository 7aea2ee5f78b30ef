//! `/api` as its callers see it. Media are scripted.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::base::network::ClientAddress;
use crate::base::secret::Secret;
use crate::control::Setup;
use crate::control::tests::{Bench, bench};

mod bad_input;
mod belongings;
mod broadcasts;
mod cohosts;
mod conducting;
mod contacts;
mod contract;
mod credentials;
mod events;
mod forwards;
mod pages;
mod realtime;
mod refusals;
mod shown;
mod strangers;
mod streaming;
mod tenancy;
mod uploads;
mod users;
mod webhooks;

pub(in crate::control) const KEY: [(&str, &str); 1] = [("x-api-key", "pk_one")];
pub(in crate::control) const OTHER_KEY: [(&str, &str); 1] = [("x-api-key", "pk_two")];
pub(in crate::control) const NOBODY: [(&str, &str); 0] = [];
const OPERATOR: [(&str, &str); 1] = [("x-admin-key", "admin-key")];

/// Code and body of an answer.
pub(in crate::control) type Answer = (u16, Value);

impl Bench {
    /// A request of whom the headers name; code and JSON of the answer.
    pub(in crate::control) async fn api(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl ToString,
    ) -> Answer {
        let (code, json) = self.api_or_none(method, path, headers, body).await;
        assert!(!json.is_null(), "{method} {path}: {code} without JSON");
        (code, json)
    }

    /// The same, where there may be no body.
    async fn api_or_none(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl ToString,
    ) -> Answer {
        let (code, bytes) = self.raw(method, path, headers, body.to_string()).await;
        let text = String::from_utf8(bytes).unwrap();
        if text.is_empty() {
            return (code, Value::Null);
        }
        let json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"));
        let of_operators = path.starts_with("/api/admin/") && path != "/api/admin/sdk-clients";
        if code >= 400 && !of_operators {
            check_refusal(&json);
        }
        (code, json)
    }

    /// The same of any bytes.
    pub(in crate::control) async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> (u16, Vec<u8>) {
        let peer: SocketAddr = "192.0.2.1:5000".parse().unwrap();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "media.example:8080")
            .extension(ConnectInfo(peer))
            .extension(ClientAddress(peer.ip()));
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let router = crate::control::router(self.state.clone());
        let answer = router.oneshot(request).await.unwrap();
        let code = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (code, bytes.to_vec())
    }

    /// A broadcast of the client with [`KEY`].
    pub(in crate::control) async fn broadcast(&self, title: &str) -> Value {
        let body = json!({ "title": title });
        let (code, made) = self.api("POST", "/api/broadcasts", &KEY, body).await;
        assert_eq!(code, 200, "{made}");
        made
    }
}

/// A bench with two SDK clients.
async fn clients() -> Bench {
    clients_with(|_| {}).await
}

/// The same with other settings.
pub(in crate::control) async fn clients_with(change: impl FnOnce(&mut Setup)) -> Bench {
    let bench = bench(|setup| {
        setup.addresses.rtmp_port = Some(1935);
        setup.addresses.srt_port = Some(9000);
        change(setup);
    })
    .await;
    for (id, key) in [("one", "pk_one"), ("two", "pk_two")] {
        let secret = Secret::new(format!("sk_{id}"));
        let key = Secret::new(key);
        let made = bench.store.register_client(id, &key, &secret, "{}");
        made.await.unwrap();
    }
    bench
}

/// A request. Headers are lines.
async fn call(bench: &Bench, what: &str, headers: &[&str], body: impl ToString) -> Answer {
    let (method, path) = what.split_once(' ').unwrap();
    let lines = headers.iter().map(|line| line.split_once(": ").unwrap());
    let headers: Vec<(&str, &str)> = lines.collect();
    bench.api(method, path, &headers, body).await
}

/// Contract, broadcasts, section 1.
fn check_refusal(body: &Value) {
    assert_eq!(
        (&body["error"], &body["success"]),
        (&json!(true), &json!(false))
    );
    assert!(
        body["reason"]
            .as_str()
            .is_some_and(|reason| !reason.is_empty())
    );
    assert_eq!(body["reason"], body["message"]);
}

/// A signed-in user.
struct Person {
    id: String,
    /// The header line.
    token: String,
}

impl Person {
    fn of(answer: &Value) -> Person {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Person {
            id: text(&answer["user"]["id"]),
            token: format!("authorization: Bearer {}", text(&answer["token"])),
        }
    }

    async fn call(&self, bench: &Bench, what: &str, body: impl ToString) -> Answer {
        call(bench, what, &[&self.token], body).await
    }
}

/// Makes a user of this name and phone number with the password `s3cretpass`.
async fn person(bench: &Bench, name: &str, phone: &str) -> Person {
    person_of(bench, &[], name, phone).await
}

async fn person_of(bench: &Bench, headers: &[&str], name: &str, phone: &str) -> Person {
    let body = json!({"username": name, "email": format!("{name}@example.test"),
        "password": "s3cretpass", "phoneNumber": phone});
    let (code, answer) = call(bench, "POST /api/users/signup", headers, body).await;
    assert_eq!(code, 200, "{answer}");
    Person::of(&answer)
}

/// Makes another tenant; the header line with its key.
async fn tenant(bench: &Bench, id: &str) -> String {
    let key = format!("pk_{id}");
    let (api_key, secret) = (Secret::new(key.as_str()), Secret::new("sk"));
    let made = bench
        .store
        .register_client(id, &api_key, &secret, "{}")
        .await;
    made.unwrap();
    format!("x-api-key: {key}")
}
