//! `/api` as its callers see it: bodies, codes, and whose data are whose.

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::base::network::ClientAddress;
use crate::base::secret::Secret;
use crate::control::tests::{Bench, bench};

mod contacts;
mod users;

/// Code and body of an answer.
type Answer = (u16, Value);

/// A request. Headers are lines.
async fn call(bench: &Bench, what: &str, headers: &[&str], body: impl ToString) -> Answer {
    let (method, path) = what.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for line in headers {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let mut request = request.body(Body::from(body.to_string())).unwrap();
    let address = ClientAddress([192, 0, 2, 1].into());
    request.extensions_mut().insert(address);
    let router = crate::control::router(bench.state.clone());
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&bytes);
    let value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{what}: no JSON: {text}"));
    if parts.status.as_u16() >= 400 {
        check_refusal(&value);
    }
    (parts.status.as_u16(), value)
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
