//! The API, as LiveKit's own library calls it, and webhooks, as that library verifies them.

use serde_json::{Value, json};

use super::{ROOM, publisher, viewer};
use crate::common::livekit::clients::Client;
use crate::common::livekit::{KEY, LivekitServer, Options, SECRET};

async fn api(server: &LivekitServer) -> Client {
    let url = server.url().replace("ws:", "http:");
    Client::api("api", &url, KEY, SECRET).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_made_listed_and_ended_and_webhooks_tell_of_it() {
    let mut hooks = Client::api("hooks", "-", KEY, SECRET).await;
    let port = hooks.event("port").await["value"].clone();
    let server = LivekitServer::start_with(Options {
        webhooks: Some(format!("http://127.0.0.1:{port}/hooks")),
        ..Options::default()
    });
    let mut api = api(&server).await;
    let new = json!({"name": ROOM, "maxParticipants": 1, "metadata": "m"});
    let room = api.call("room.create_room", new).await;
    assert_eq!(
        (&room["name"], &room["maxParticipants"]),
        (&json!(ROOM), &json!(1))
    );
    let started = hooks.event("hook").await;
    assert_eq!(started["name"], "room_started");
    assert_eq!(started["kind"], "application/webhook+json");
    let viewer = viewer(&server, "bob", &Value::Null).await;
    let joined = hooks.event("hook").await;
    assert_eq!(joined["name"], "participant_joined");
    assert_eq!(joined["value"]["participant"]["identity"], "bob");

    let token = server.token("eve", ROOM, &json!({}));
    let mut late = Client::python("view", &server.url(), &token, "").await;
    let refused = late.next().await.expect("an answer");
    assert_eq!(refused["event"], "refused", "the room is full: {refused}");

    let rooms = api.call("room.list_rooms", json!({})).await;
    assert_eq!(rooms["rooms"][0]["numParticipants"], 1);
    let unknown = api
        .call(
            "room.get_participant",
            json!({"room": ROOM, "identity": "x"}),
        )
        .await;
    assert_eq!(unknown["code"], "not_found");
    api.call("room.delete_room", json!({"room": ROOM})).await;
    let mut names = Vec::new();
    while names.last() != Some(&json!("room_finished")) {
        names.push(hooks.event("hook").await["name"].clone());
    }
    assert_eq!(names, ["participant_left", "room_finished"]);
    let again = api.call("room.delete_room", json!({"room": ROOM})).await;
    assert_eq!(again["code"], "not_found");
    viewer.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_participant_goes_and_its_token_does_not_bring_it_back() {
    let server = LivekitServer::start();
    let mut api = api(&server).await;
    let token = server.token("bob", ROOM, &json!({}));
    let mut bob = Client::python("view", &server.url(), &token, "").await;
    bob.event("connected").await;
    let who = json!({"room": ROOM, "identity": "bob"});
    api.call("room.remove_participant", who).await;
    // PARTICIPANT_REMOVED
    assert_eq!(bob.event("disconnected").await["reason"], 4);
    let mut bob = Client::python("view", &server.url(), &token, "").await;
    let refused = bob.next().await.expect("an answer");
    assert_eq!(refused["event"], "refused", "{refused}");
    assert!(server.participants(ROOM).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn tracks_are_muted_rights_change_and_data_arrive() {
    let server = LivekitServer::start();
    let mut api = api(&server).await;
    let mut ann = publisher(&server, "--no-picture").await;
    let mut bob = viewer(&server, "bob", &json!({"canPublishData": true})).await;
    let track = bob.event("track").await;
    bob.event("sound").await;
    let mute = json!({"room": ROOM, "identity": "ann", "trackSid": track["sid"], "muted": true});
    let muted = api.call("room.mute_published_track", mute).await;
    assert_eq!(muted["track"]["muted"], true, "{muted}");
    bob.event("muted").await;

    let data = json!({"room": ROOM, "data": "aGk=", "kind": "RELIABLE", "topic": "chat"});
    api.call("room.send_data", data).await;
    let told = bob.event("data").await;
    assert_eq!(
        (&told["value"], &told["topic"]),
        (&json!("hi"), &json!("chat"))
    );
    bob.order("data", json!("hello")).await;
    let told = ann.until("data", |said| said["value"] == "hello").await;
    assert_eq!(
        (&told["value"], &told["identity"]),
        (&json!("hello"), &json!("bob"))
    );

    let metadata = json!({"room": ROOM, "metadata": "new"});
    api.call("room.update_room_metadata", metadata).await;
    assert_eq!(bob.event("room_metadata").await["value"], "new");

    let permission = json!({"canSubscribe": true, "canPublish": false, "canPublishData": true});
    let update = json!({"room": ROOM, "identity": "ann", "permission": permission});
    api.call("room.update_participant", update).await;
    assert_eq!(ann.event("permission").await["can_publish"], false);
    bob.event("track_gone").await;
    ann.leave().await;
    bob.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ingress_is_refused_and_made_as_by_a_server_without_workers() {
    let server = LivekitServer::start();
    let mut api = api(&server).await;
    let new = json!({"inputType": "WHIP_INPUT", "name": "n", "roomName": ROOM, "participantIdentity": "cam"});
    let made = api.call("ingress.create_ingress", new).await;
    assert!(
        made["streamKey"]
            .as_str()
            .is_some_and(|key| !key.is_empty()),
        "{made}"
    );
    let url = |url: &str| json!({"inputType": "URL_INPUT", "url": url, "roomName": ROOM, "participantIdentity": "cam"});
    let refused = api.call("ingress.create_ingress", url("rtmp://a/b")).await;
    assert_eq!(refused["code"], "invalid_argument");
    let refused = api
        .call("ingress.create_ingress", url("http://a/b.m3u8"))
        .await;
    assert_eq!(refused["code"], "unavailable");
    let listed = api.call("ingress.list_ingress", json!({})).await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
    let id = json!({"ingressId": made["ingressId"]});
    api.call("ingress.delete_ingress", id).await;
    let listed = api.call("ingress.list_ingress", json!({})).await;
    assert_eq!(listed["items"], Value::Null);
}
