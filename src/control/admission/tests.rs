use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::base::secret::Secret;

const KEY: &str = "StreamKey-0123456789";
const YES: &str = "HTTP/1.1 204 No Content\r\n\r\n";

fn request() -> PublishRequest {
    PublishRequest {
        proto: "rtmp",
        peer: "[::ffff:192.0.2.7]:5000".parse().unwrap(),
        key: Secret::new(KEY),
        capabilities: None,
        tags: Vec::new(),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn admission() -> Admission {
    Admission {
        channel_id: "local#app#live".to_owned(),
        alias: "live".to_owned(),
        name: "Live".to_owned(),
        capabilities: words(&["fhd", "multi-bitrate", "streaming"]),
        tags: words(&["t"]),
        screen_name: None,
        lasting: None,
        placed: None,
    }
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/publish?site=1", listener.local_addr().unwrap());
    (listener, url)
}

/// Reads one request: its head and its body.
async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> (String, String) {
    let mut bytes = Vec::new();
    loop {
        stream.read_buf(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        if body.len() == length {
            return (head, body.to_owned());
        }
    }
}

/// Answers one request; what it was.
fn answering(listener: TcpListener, answer: String) -> JoinHandle<(String, String)> {
    #[expect(
        clippy::disallowed_methods,
        reason = "joined by the test that needs it"
    )]
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        // A client that has read enough closes first.
        let _ = stream.write_all(answer.as_bytes()).await;
        request
    })
}

fn json(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn asked(answer: String, on_failure: OnFailure) -> Result<Admission, Refusal> {
    let (listener, url) = listener().await;
    let server = answering(listener, answer);
    let service = Service::new(&url, on_failure).unwrap();
    let said = service.ask(&request(), "app", admission()).await;
    server.await.unwrap();
    said
}

fn reason(said: Result<Admission, Refusal>) -> String {
    match said {
        Err(Refusal::NotAllowed(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn it_is_told_everything_but_the_key() {
    let (listener, url) = listener().await;
    let url = url.replace("http://", "http://gate:s%3Acret@");
    let server = answering(listener, YES.to_owned());
    let service = Service::new(&url, OnFailure::Refuse).unwrap();
    let said = service.ask(&request(), "app", admission()).await;
    assert_eq!(said, Ok(admission()));
    let (head, body) = server.await.unwrap();
    assert!(
        head.starts_with("post /publish?site=1 http/1.1\r\n"),
        "{head}"
    );
    let credentials = STANDARD.encode("gate:s:cret").to_ascii_lowercase();
    assert!(
        head.contains(&format!("authorization: basic {credentials}")),
        "{head}"
    );
    assert!(!head.contains('@'), "{head}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "channelId": "local#app#live", "alias": "live", "applicationId": "app",
            "protocol": "rtmp", "address": "192.0.2.7",
            "capabilities": ["fhd", "multi-bitrate", "streaming"], "tags": ["t"],
            "streamKeyFingerprint": crate::base::secret::fingerprint(KEY),
        })
    );
    assert!(!format!("{service:?}").contains("cret"));
}

#[tokio::test]
async fn a_yes_may_say_as_what() {
    let capabilities = r#"{"capabilities":["sd","streaming"],"other":1}"#;
    let said = asked(json("200 OK", capabilities), OnFailure::Refuse)
        .await
        .unwrap();
    assert_eq!(said.capabilities, words(&["sd", "streaming"]));
    assert_eq!(said.tags, words(&["t"]));
    let tags = r#"{"tags":[]}"#;
    let said = asked(json("201 Created", tags), OnFailure::Refuse)
        .await
        .unwrap();
    assert_eq!(
        (said.capabilities, said.tags),
        (admission().capabilities, Vec::new())
    );
    let plain = [
        json("200 OK", ""),
        json("200 OK", "{}"),
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        // Nobody reads a page.
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{}",
            "x".repeat(100_000)
        ),
    ];
    for answer in plain {
        assert_eq!(asked(answer, OnFailure::Refuse).await, Ok(admission()));
    }
}

#[tokio::test]
async fn a_no_is_a_no_also_where_failures_are_allowed() {
    let long = "x".repeat(MAX_REASON + 100);
    let cases = [
        (json("401 Unauthorized", ""), "it answered 401"),
        (
            json("403 Forbidden", r#"{"reason":"not\nbooked"}"#),
            "it answered 403: not booked",
        ),
        (json("404 Not Found", "<html>"), "it answered 404"),
        (
            json(
                "429 Too Many Requests",
                &format!(r#"{{"reason":"{long}"}}"#),
            ),
            "it answered 429: x",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
                .to_owned(),
            "it answered 302, and redirects are not followed",
        ),
        // A yes that means more than is understood.
        (json("200 OK", "[1"), "its answer is not what was expected"),
        (
            json("200 OK", r#"{"capabilities":"hd"}"#),
            "its answer is not what was expected",
        ),
        (
            json("200 OK", r#"{"capabilities":["hd,sd"]}"#),
            "its answer names more than 32 words",
        ),
        (
            json(
                "200 OK",
                &format!(r#"{{"tags":["{}"]}}"#, "x".repeat(MAX_BODY)),
            ),
            "its answer is longer than",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
                .to_owned(),
            "its answer broke off",
        ),
    ];
    for (answer, expected) in cases {
        for on_failure in [OnFailure::Refuse, OnFailure::Allow] {
            let said = reason(asked(answer.clone(), on_failure).await);
            assert!(
                said.starts_with(&format!("admission service: {expected}")),
                "{said}"
            );
            assert!(said.len() < MAX_REASON + 100, "{said}");
        }
    }
}

#[tokio::test]
async fn a_failure_refuses_unless_the_setting_allows() {
    for answer in [
        json("500 Internal Server Error", ""),
        json("503 Service Unavailable", "{}"),
        "SSH-2.0-OpenSSH\r\n".to_owned(),
        String::new(),
        // A head without an end.
        format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(200_000)),
    ] {
        let said = reason(asked(answer.clone(), OnFailure::Refuse).await);
        assert!(
            said.contains("it answered 50") || said.contains("in HTTP"),
            "{said}"
        );
        assert_eq!(asked(answer, OnFailure::Allow).await, Ok(admission()));
    }
    let (listener, url) = listener().await;
    drop(listener);
    let refusing = Service::new(&url, OnFailure::Refuse).unwrap();
    let said = reason(refusing.ask(&request(), "app", admission()).await);
    assert!(said.contains("cannot be reached"), "{said}");
    let allowing = Service::new(&url, OnFailure::Allow).unwrap();
    let said = allowing.ask(&request(), "app", admission()).await;
    assert_eq!(said, Ok(admission()));
}

#[tokio::test(start_paused = true)]
async fn it_has_two_seconds_whoever_else_is_waiting() {
    // Takes calls and never answers.
    let (listener, url) = listener().await;
    let service = Service::new(&url, OnFailure::Refuse).unwrap();
    let began = tokio::time::Instant::now();
    let calls: Vec<_> = (0..MAX_CALLS + 10)
        .map(|_| {
            let service = service.clone();
            #[expect(clippy::disallowed_methods, reason = "joined below")]
            tokio::spawn(async move { service.ask(&request(), "app", admission()).await })
        })
        .collect();
    for call in calls {
        let said = reason(call.await.unwrap());
        assert!(said.contains("within 2 s"), "{said}");
    }
    let took = began.elapsed();
    assert!(took >= DEADLINE && took < DEADLINE * 2, "{took:?}");
    let free = service.shared.places.available_permits();
    assert_eq!(free, MAX_CALLS, "every place is free again");
    drop(listener);
}

#[tokio::test]
async fn over_tls_the_certificate_is_checked() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (listener, url) = listener().await;
    let url = url.replace("http://127.0.0.1", "https://localhost");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let trusting = Service::trusting(&url, OnFailure::Refuse, roots).unwrap();
    let strange = Service::new(&url, OnFailure::Refuse).unwrap();
    let request = request();
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await?;
        read_request(&mut stream).await;
        stream.write_all(YES.as_bytes()).await?;
        stream.shutdown().await
    };
    let (said, served) = tokio::join!(trusting.ask(&request, "app", admission()), serve);
    served.unwrap();
    assert_eq!(said, Ok(admission()));
    let refuse = async {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.map(drop)
    };
    let (said, served) = tokio::join!(strange.ask(&request, "app", admission()), refuse);
    assert!(served.is_err());
    assert!(reason(said).contains("its certificate is not accepted: "));
}

#[test]
fn addresses_that_cannot_be_called_are_refused_without_being_repeated() {
    for url in [
        "",
        "nonsense",
        "ftp://h/s3cret",
        "http:///s3cret",
        "http://u:%ff@h/",
    ] {
        let error = Service::new(url, OnFailure::Refuse)
            .unwrap_err()
            .to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn any_answer_is_survived() {
    for text in [
        "",
        "{",
        "null",
        "[]",
        "{\"tags\":[[[[",
        "\u{0}",
        "{\"tags\":null}",
    ] {
        fuzz_answer(text.as_bytes());
    }
    let deep = "[".repeat(MAX_BODY);
    fuzz_answer(deep.as_bytes());
}
