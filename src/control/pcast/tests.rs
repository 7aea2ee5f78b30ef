//! The channel API as its callers see it: bodies, codes, and whose channels are whose. Media are scripted.

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::base::id::Uuid;
use crate::base::secret::Secret;
use crate::control::tests::{Bench, NOW, bench};
use crate::hub::{ChannelMember, TrackState};

mod channels;
mod contract;
mod forwards;
mod limits;
mod live;
mod messages;
mod operators;
mod recordings;

/// An answer.
struct Answer {
    code: StatusCode,
    headers: http::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// Code and status word of an answer that has the headers of the contract.
    fn word(&self) -> (u16, String) {
        let kind = self.headers["content-type"].to_str().unwrap();
        assert_eq!(kind, "application/json; charset=utf-8");
        let word = self.json()["status"].as_str().unwrap().to_owned();
        (self.code.as_u16(), word)
    }

    /// The sentence of a refusal.
    fn reason(&self) -> String {
        self.json()["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

impl Bench {
    /// A request of the application that the bench has.
    async fn call(&self, method: &str, path: &str, body: impl ToString) -> Answer {
        let credentials = basic("app", "application-secret");
        self.call_with(method, path, &[("authorization", &credentials)], body)
            .await
    }

    async fn call_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl ToString,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .header("host", "media.example:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_string())).unwrap();
        let router = crate::control::router(self.state.clone());
        let answer = router.oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            code: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// A request of an operator.
    async fn operate(&self, method: &str, path: &str, body: impl ToString) -> Answer {
        self.call_with(method, path, &[("x-admin-key", "admin-key")], body)
            .await
    }

    /// Makes a channel; as it is shown.
    async fn make(&self, alias: &str) -> Value {
        let answer = self.call("PUT", "/pcast/channel", new_channel(alias)).await;
        assert_eq!(answer.code, StatusCode::OK, "{}", answer.text);
        answer.json()["channel"].clone()
    }

    fn add_member(&self, channel_id: &str, screen_name: &str) -> ChannelMember {
        let member = ChannelMember {
            session: format!("local#{screen_name}-session").into(),
            screen_name: screen_name.into(),
            stream: Uuid::from_u128(7),
            capabilities: vec!["multi-bitrate".to_owned(), "fhd".to_owned()],
            tags: Vec::new(),
            audio: TrackState::Enabled,
            video: TrackState::Ended,
            changed: NOW,
        };
        let mut members = self.world.members.lock().unwrap();
        let members = members.entry(channel_id.to_owned()).or_default();
        members.push(member.clone());
        member
    }
}

fn new_channel(alias: &str) -> Value {
    json!({"channel": {
        "alias": alias, "name": format!("Name of {alias}"), "description": "", "options": [],
    }})
}
