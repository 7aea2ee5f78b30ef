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
use crate::control::tests::{Bench, bench};

mod broadcasts;

const KEY: [(&str, &str); 1] = [("x-api-key", "pk_one")];
const OTHER_KEY: [(&str, &str); 1] = [("x-api-key", "pk_two")];
const NOBODY: [(&str, &str); 0] = [];
const OPERATOR: [(&str, &str); 1] = [("x-admin-key", "admin-key")];

impl Bench {
    /// A request of whom the headers name; code and JSON of the answer.
    async fn api(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl ToString,
    ) -> (u16, Value) {
        let peer: SocketAddr = "192.0.2.1:5000".parse().unwrap();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .header("host", "media.example:8080")
            .extension(ConnectInfo(peer))
            .extension(ClientAddress(peer.ip()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_string())).unwrap();
        let router = crate::control::router(self.state.clone());
        let answer = router.oneshot(request).await.unwrap();
        let code = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"));
        (code, json)
    }

    /// A broadcast of the client with [`KEY`].
    async fn broadcast(&self, title: &str) -> Value {
        let body = json!({ "title": title });
        let (code, made) = self.api("POST", "/api/broadcasts", &KEY, body).await;
        assert_eq!(code, 200, "{made}");
        made
    }
}

/// A bench with two SDK clients.
async fn clients() -> Bench {
    let bench = bench(|setup| {
        setup.addresses.rtmp_port = Some(1935);
        setup.addresses.srt_port = Some(9000);
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
