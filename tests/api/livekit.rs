//! Tokens for LiveKit rooms, as LiveKit's own library reads them.

use std::path::Path;

use serde_json::{Value, json};
use tokio::process::Command;

use super::{ADMIN_KEY, SETTINGS};
use crate::common::gateway::{Folder, Gateway};
use crate::common::http;
use crate::common::server::PATIENCE;

/// What docker/install-deps.sh --test installs.
const PYTHON: &str = "target/tools/livekit-api/bin/python";
/// As long as LiveKit's library wants it.
const API_SECRET: &str = "LivekitSecret0123456789abcdefghij";
/// Verifies a token as a server would: signature, issuer and time. Prints what it says.
const READ: &str = r#"
import dataclasses, json, os, sys
from google.protobuf.json_format import MessageToDict
from livekit import api
claims = api.TokenVerifier("devkey", os.environ["API_SECRET"]).verify(sys.argv[1])
granted = {name: value for name, value in dataclasses.asdict(claims.video).items() if value}
print(json.dumps({"identity": claims.identity, "name": claims.name, "metadata": claims.metadata,
    "video": granted, "room": MessageToDict(claims.room_config)}))
"#;

async fn read(token: &str) -> Value {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(PYTHON);
    let output = Command::new(&program)
        .args(["-c", READ, token])
        .env("API_SECRET", API_SECRET)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output).await;
    let output = output.expect("it ends").unwrap_or_else(|error| {
        panic!(
            "{}: {error}; docker/install-deps.sh --test installs it",
            program.display()
        )
    });
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complained}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

async fn post(gateway: &Gateway, path: &str, header: (&str, &str), body: Value) -> Value {
    let headers = [header, ("Content-Type", "application/json")];
    let body = body.to_string();
    let answer = http::send(gateway.http(), "POST", path, &headers, &body).await;
    let text = answer.text();
    assert_eq!(answer.status, 200, "{path}: {text}");
    serde_json::from_str(text).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_read_by_livekits_own_library_once_its_prefix_is_off() {
    let folder = Folder::new();
    let livekit = [
        ("LIVEKIT_URL", "ws://127.0.0.1:9"),
        ("LIVEKIT_API_KEY", "devkey"),
        ("LIVEKIT_API_SECRET", API_SECRET),
    ];
    let gateway = folder.serve(&[&SETTINGS[..], &livekit].concat()).await;
    let registration = json!({"name": "App", "contactEmail": "a@example.org", "agreeTerms": true});
    let admin = ("X-Admin-Key", ADMIN_KEY);
    let client = post(&gateway, "/api/admin/sdk-clients", admin, registration).await;
    let key = ("X-API-Key", client["apiKey"].as_str().expect("text"));
    let new = json!({"title": "Mine", "maxParticipants": 1000});
    let session = post(&gateway, "/api/streaming/sessions", key, new).await;
    let path = format!(
        "/api/streaming/sessions/{}/token",
        session["id"].as_str().expect("text")
    );
    for (role, can_publish) in [
        ("publisher", true),
        ("co_host", true),
        ("subscriber", false),
    ] {
        let body = json!({"userId": "user-123", "role": role, "userName": "Zoë"});
        let answer = post(&gateway, &path, key, body).await;
        let token = answer["token"].as_str().expect("text");
        let token = token.strip_prefix("livekit_").expect("its prefix");
        let mut video = json!({"room_join": true, "room": session["streamId"],
            "can_subscribe": true, "can_publish_data": true});
        if can_publish {
            video["can_publish"] = json!(true);
        }
        let expected = json!({"identity": "user-123", "name": "Zoë",
            "metadata": json!({ "role": role }).to_string(), "video": video,
            "room": {"maxParticipants": 1002}});
        assert_eq!(read(token).await, expected);
    }
    gateway.stop().await;
}
