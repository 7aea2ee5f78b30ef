//! Keys, signatures and tokens: what is sent must be right, wherever it is sent.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::*;
use crate::control::tests::NOW;

/// The signature of a request, made as a client makes it.
fn signed(secret: &str, method: &str, target: &str, body: &[u8], timestamp: &str) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(
        &[
            method.as_bytes(),
            target.as_bytes(),
            body,
            timestamp.as_bytes(),
        ]
        .concat(),
    );
    let digest = mac.finalize().into_bytes();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn timestamp(bench: &Bench) -> String {
    bench.clock.wall().unix_seconds().to_string()
}

#[tokio::test]
async fn a_signature_is_over_the_bytes_and_the_target_as_they_were_sent() {
    let bench = clients().await;
    let time = timestamp(&bench);
    // Not as any library would write it again.
    let body = "{ \"title\" :\"My \\u0053tream\",\n\"tags\":[ ] }";
    for (method, target, body) in [
        ("POST", "/api/v1/sessions", body),
        ("GET", "/api/v1/sessions?offset=0&limit=5", ""),
        ("GET", "/api/v1/sessions?limit=%35", ""),
    ] {
        let signature = signed("sk_one", method, target, body.as_bytes(), &time);
        let ask = |target: &str, body: &str, signature: &str, time: &str| {
            let headers = [
                ("x-api-key", "pk_one".to_owned()),
                ("x-signature", signature.to_owned()),
                ("x-timestamp", time.to_owned()),
            ];
            let (bench, target, body) = (&bench, target.to_owned(), body.to_owned());
            async move {
                let headers = headers.iter().map(|(name, value)| (*name, value.as_str()));
                let headers: Vec<_> = headers.collect();
                bench.api(method, &target, &headers, body).await
            }
        };
        assert_eq!(
            ask(target, body, &signature, &time).await.0,
            200,
            "{target}"
        );
        let upper = signature.to_uppercase();
        assert_eq!(ask(target, body, &upper, &time).await.0, 200, "{target}");
        let other = signed("sk_two", method, target, body.as_bytes(), &time);
        let late = (NOW.unix_seconds() + 1).to_string();
        for (target, body, signature, time) in [
            (target, " ", &signature, &time),
            ("/api/v1/sessions?limit=6", body, &signature, &time),
            (target, body, &other, &time),
            (target, body, &signature, &late),
            (target, body, &signature[1..].to_owned(), &time),
            (target, body, &String::new(), &time),
            (target, body, &signature, &String::new()),
        ] {
            let (code, refusal) = ask(target, body, signature, time).await;
            let reason = &refusal["reason"];
            assert_eq!(
                (code, reason),
                (401, &json!("Invalid signature")),
                "{target} {body}"
            );
        }
    }
}

#[tokio::test]
async fn a_signed_request_is_good_for_five_minutes_either_way_and_as_often_as_it_comes() {
    let bench = clients().await;
    let at = |seconds: i64| (NOW.unix_seconds() + seconds).to_string();
    let ask = |time: String| {
        let signature = signed("sk_one", "GET", "/api/v1/sessions", b"", &time);
        let bench = &bench;
        async move {
            let headers = [
                ("x-api-key", "pk_one"),
                ("x-signature", &*signature),
                ("x-timestamp", &*time),
            ];
            bench.api("GET", "/api/v1/sessions", &headers, "").await.0
        }
    };
    for (seconds, code) in [
        (0, 200),
        (0, 200),
        (-300, 200),
        (300, 200),
        (-301, 401),
        (301, 401),
    ] {
        assert_eq!(ask(at(seconds)).await, code, "{seconds}");
    }
    for time in [
        "1e9",
        "-1",
        " ",
        "99999999999999999999",
        "1790000000.0",
        "+1790000000",
    ] {
        assert_eq!(ask(time.to_owned()).await, 401, "{time}");
    }
}

#[tokio::test]
async fn a_credential_that_is_sent_must_be_right_where_none_is_needed() {
    let bench = clients().await;
    let jane = person_of(&bench, &["x-api-key: pk_one"], "jane", "").await;
    let token = jane.token.strip_prefix("authorization: ").unwrap();
    let time = timestamp(&bench);
    let good = signed("sk_one", "GET", "/api/broadcasts", b"", &time);
    let signature = ("x-signature", good.as_str());
    let (time, key) = (("x-timestamp", time.as_str()), ("x-api-key", "pk_one"));
    let lower = token.to_lowercase();
    for (headers, expected) in [
        (vec![], 200),
        (vec![key], 200),
        (vec![("authorization", token)], 200),
        (vec![key, ("authorization", token)], 200),
        (vec![key, time], 200),
        (vec![key, time, signature], 200),
        (vec![("x-admin-key", "admin-key")], 200),
        (vec![("authorization", "bearer admin-key")], 200),
        // Unknown, in other letters, twice, of two tenants.
        (vec![("x-api-key", "")], 401),
        (vec![("x-api-key", "pk_unknown")], 401),
        (vec![("x-api-key", "PK_ONE")], 401),
        (vec![("x-api-key", "pk_One")], 401),
        (vec![("x-api-key", "sk_one")], 401),
        (vec![("x-api-key", "pk_one,pk_one")], 401),
        (vec![key, key], 401),
        (vec![key, ("x-api-key", "pk_two")], 401),
        (vec![("x-api-key", "pk_two"), ("authorization", token)], 401),
        (
            vec![("authorization", token), ("authorization", token)],
            401,
        ),
        (vec![("authorization", &lower)], 401),
        (vec![("authorization", "Bearer")], 401),
        (vec![("authorization", "Bearer ")], 401),
        (vec![("authorization", "Bearer null")], 401),
        (vec![("authorization", "Basic YTpi")], 401),
        (vec![("authorization", &token[7..])], 401),
        (vec![key, ("authorization", "Bearer wrong")], 401),
        (vec![("x-admin-key", "wrong")], 401),
        (
            vec![("x-admin-key", "admin-key"), ("x-admin-key", "admin-key")],
            401,
        ),
        (
            vec![
                ("x-admin-key", "admin-key"),
                ("authorization", "Bearer wrong"),
            ],
            401,
        ),
        // A signature is somebody's, and has a time.
        (vec![time, signature], 401),
        (vec![key, signature], 401),
        (vec![key, time, ("x-signature", "00")], 401),
        (vec![key, time, signature, signature], 401),
        (vec![key, time, time, signature], 401),
    ] {
        let (code, answer) = bench.api("GET", "/api/broadcasts", &headers, "").await;
        assert_eq!(code, expected, "{headers:?}: {answer}");
    }
    for name in ["x-api-key", "x-signature", "authorization", "x-admin-key"] {
        let request = Request::get("/api/broadcasts").header(name, &b"Bearer \xff"[..]);
        let request = request
            .header("x-timestamp", "1")
            .body(Body::empty())
            .unwrap();
        let answer = crate::control::router(bench.state.clone())
            .oneshot(request)
            .await
            .unwrap();
        assert_eq!(answer.status(), 401, "{name}");
    }
}

#[tokio::test]
async fn an_hour_has_a_thousand_requests_and_those_by_the_clock_do_not_count() {
    let bench = clients().await;
    let id = bench.broadcast("one").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let list = |path: &'static str| bench.api("GET", path, &KEY, "");
    // Refused ones are nobody's.
    for _ in 0..1100 {
        let headers = [
            ("x-api-key", "pk_one"),
            ("x-signature", "00"),
            ("x-timestamp", "1"),
        ];
        assert_eq!(
            bench.api("GET", "/api/v1/sessions", &headers, "").await.0,
            401
        );
    }
    for _ in 1..1000 {
        assert_eq!(list("/api/v1/sessions").await.0, 200);
    }
    // A path that only ends as an uncounted one is counted.
    let ends_alike = "/api/files/formessage/heartbeat";
    assert_eq!(list(ends_alike).await.0, 429);
    let headers = [("x-api-key", "pk_one")];
    let request = Request::get("/api/v1/sessions").header(headers[0].0, headers[0].1);
    let request = request.body(Body::empty()).unwrap();
    let answer = crate::control::router(bench.state.clone())
        .oneshot(request)
        .await
        .unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (429, &"3600".parse().unwrap())
    );
    let beat = format!("/api/sessions/{id}/heartbeat");
    let count = format!("/api/broadcasts/{id}/viewer-count");
    for _ in 0..10 {
        assert_eq!(bench.api("POST", &beat, &KEY, "").await.0, 200);
        let viewers = json!({"viewerCount": 3});
        assert_eq!(bench.api("POST", &count, &KEY, viewers).await.0, 200);
        let chat = format!("/ws/streams/{id}/chat");
        assert_eq!(
            bench.api("GET", &chat, &KEY, "").await.0,
            400,
            "it is no handshake"
        );
    }
    assert_eq!(
        bench.api("GET", "/api/v1/sessions", &OTHER_KEY, "").await.0,
        200
    );
    bench.clock.advance(std::time::Duration::from_secs(3600));
    assert_eq!(list("/api/v1/sessions").await.0, 200);
}

#[tokio::test]
async fn a_token_in_the_address_of_a_socket_is_of_the_tenant_of_the_rest() {
    let bench = clients().await;
    let id = bench.broadcast("one").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let jane = person_of(&bench, &["x-api-key: pk_one"], "jane", "").await;
    let token = jane.token.strip_prefix("authorization: Bearer ").unwrap();
    let bearer = format!("Bearer {token}");
    let bearer = [("authorization", bearer.as_str())];
    for (token, headers, expected) in [
        ("pk_one", &NOBODY[..], 400),
        (token, &NOBODY, 400),
        (token, &KEY, 400),
        ("pk_one", &bearer, 400),
        ("pk_two", &NOBODY, 404),
        ("pk_two", &KEY, 401),
        ("pk_two", &bearer, 401),
        (token, &OTHER_KEY, 401),
        ("pk_wrong", &NOBODY, 401),
        ("wrong", &NOBODY, 401),
        ("", &NOBODY, 401),
    ] {
        let path = format!("/ws/streams/{id}/chat?token={token}");
        // Without a connection no socket comes of it: 400.
        let (code, answer) = bench.api("GET", &path, headers, "").await;
        assert_eq!(code, expected, "{token} {headers:?}: {answer}");
    }
}

#[tokio::test]
async fn an_address_makes_so_many_users_in_an_hour() {
    let bench = clients().await;
    let sign_up = |number: usize| {
        let body =
            json!({"username": "same", "email": format!("{number}@b"), "password": "s3cretpass"});
        bench.api("POST", "/api/users/signup", &NOBODY, body)
    };
    assert_eq!(sign_up(0).await.0, 200);
    // What is no sign-up does not count.
    let (code, _) = bench.api("POST", "/api/users/signup", &NOBODY, "{}").await;
    assert_eq!(code, 400);
    for number in 1..200 {
        assert_eq!(sign_up(number).await.0, 409);
    }
    assert_eq!(sign_up(200).await.0, 429);
    bench.clock.advance(std::time::Duration::from_secs(3600));
    assert_eq!(sign_up(201).await.0, 409);
}

#[tokio::test]
async fn a_signed_form_is_read_whole_so_that_it_must_be_small() {
    let bench = clients().await;
    let jane = person_of(&bench, &["x-api-key: pk_one"], "jane", "").await;
    let token = jane.token.strip_prefix("authorization: ").unwrap();
    let time = timestamp(&bench);
    for (bytes, right, expected) in [(100, true, 200), (100, false, 401), (20_000, true, 413)] {
        let body = format!(
            "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\n\r\n\
             %PDF-1.4\n{}\r\n--edge--\r\n",
            "x".repeat(bytes)
        );
        let secret = if right { "sk_one" } else { "sk_two" };
        let signature = signed(secret, "POST", "/api/files", body.as_bytes(), &time);
        let headers = [
            ("x-api-key", "pk_one"),
            ("x-signature", &*signature),
            ("x-timestamp", &*time),
            ("authorization", token),
            ("content-type", "multipart/form-data; boundary=edge"),
        ];
        let (code, answer) = bench.raw("POST", "/api/files", &headers, body).await;
        assert_eq!(code, expected, "{}", String::from_utf8_lossy(&answer));
    }
}
