//! The LiveKit test server, judged by clients that others wrote.

mod api;
mod browser;
mod joining;
mod media;
mod outputs;
mod whip;

use serde_json::{Value, json};

use crate::common::livekit::LivekitServer;
use crate::common::livekit::clients::Client;

/// The room of a test.
const ROOM: &str = "studio";

/// One that publishes picture and sound, once both are announced.
async fn publisher(server: &LivekitServer, options: &str) -> Client {
    let token = server.token("ann", ROOM, &json!({}));
    let mut client = Client::python("publish", &server.url(), &token, options).await;
    client.event("connected").await;
    client
}

/// One that watches, once it is in.
async fn viewer(server: &LivekitServer, identity: &str, more: &Value) -> Client {
    let mut grant = json!({"canPublish": false});
    for (name, value) in more.as_object().into_iter().flatten() {
        grant[name] = value.clone();
    }
    let token = server.token(identity, ROOM, &grant);
    let mut client = Client::python("view", &server.url(), &token, "").await;
    client.event("connected").await;
    client
}
