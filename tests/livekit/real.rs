//! What has to be so with a real livekit-server, where `FOREBAY_TEST_LIVEKIT` names its binary: everything that
//! needs no look inside it.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::World;
use super::{broadcasts, control, forwards::layers};
use crate::common::livekit::clients::Client;
use crate::common::livekit::real::RealServer;
use crate::common::livekit::{KEY, PATIENCE, SECRET};
use crate::common::media::Clip;
use crate::common::server::Publishing;

/// Pictures by which a viewer is judged: 20 seconds.
const PICTURES: u64 = 600;
/// A second.
const RATE: f64 = 30.0;

/// An encoder of the broadcast.
fn publish(world: &World<RealServer>, clip: &Clip) -> Publishing {
    let url = format!("rtmp://{}/live/{}", world.gateway.rtmp(), world.stream_key);
    Publishing::start("ffmpeg", &clip.file(), "-re", &url)
}

/// A viewer who has come by the gateway.
async fn viewer(world: &World<RealServer>, name: &str) -> Client {
    let (url, token) = world.token(name, "subscriber").await;
    let mut viewer = Client::python("view", &url, &token, "").await;
    viewer.event("connected").await;
    viewer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_encoder_publishes_is_watched_in_its_room() {
    let Some(world) = World::real("livekit::real::watched", "off").await else {
        return;
    };
    let publishing = publish(&world, &Clip::long("flv"));
    let mut viewer = viewer(&world, "viewer").await;
    viewer.event("sound").await;
    // Two seconds to find its way in.
    let begin = viewer.pictures("forebay", 60).await;
    let count = |said: &Value, name: &str| said[name].as_u64().expect("a number");
    let enough = count(&begin, "frames") + PICTURES;
    let end = viewer.pictures("forebay", enough).await;
    let time = end["at"].as_f64().expect("a time") - begin["at"].as_f64().expect("a time");
    let decoded = count(&end, "decoded") - count(&begin, "decoded");
    assert!(decoded as f64 > 0.99 * RATE * time, "{time} s: {end}");
    assert_eq!(count(&end, "freezes"), count(&begin, "freezes"), "{end}");
    viewer.leave().await;
    drop(publishing);
    world.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rung_is_a_layer_that_a_viewer_gets_when_it_asks_for_it() {
    let Some(world) = World::real("livekit::real::layers", "auto").await else {
        return;
    };
    let publishing = publish(&world, &layers::clip());
    let mut viewer = viewer(&world, "viewer").await;
    viewer.event("picture").await;
    layers::each_is_got(&mut viewer).await;
    viewer.leave().await;
    drop(publishing);
    world.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_with_b_frames_is_in_the_room_by_itself() {
    if let Some(world) = World::real("livekit::real::encoder", "off").await {
        broadcasts::an_encoder_is_in_the_room(world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_publishes_in_the_room_takes_turns_with_an_encoder() {
    if let Some(world) = World::real("livekit::real::turns", "auto").await {
        broadcasts::a_host_takes_turns_with_an_encoder(world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_that_is_over_has_no_room() {
    let Some(world) = World::real("livekit::real::over", "off").await else {
        return;
    };
    control::a_broadcast_that_is_over_has_no_room(&world).await;
    world.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_co_host_is_out_whichever_way_it_goes() {
    let Some(world) = World::real("livekit::real::co-host", "off").await else {
        return;
    };
    let token = control::a_removed_co_host_is_out(&world).await;
    control::past_the_proxy_it_is_sent_away(&world.livekit.url(), &token).await;
    control::as_a_viewer_it_is_welcome(&world).await;
    world.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_has_its_room_back() {
    let Some(mut world) = World::real("livekit::real::killed", "off").await else {
        return;
    };
    let publishing = publish(&world, &Clip::long("flv"));
    let mut before = viewer(&world, "before").await;
    before.event("picture").await;
    world.livekit.kill().await;
    before.kill().await;
    world.livekit.start_again().await;
    let mut after = viewer(&world, "after").await;
    after.event("picture").await;
    after.leave().await;
    drop(publishing);
    world.gateway.stop().await;
}

/// What owners of the broadcast are told of its room, once it is so.
async fn until_room(
    world: &World<RealServer>,
    what: &str,
    is_so: impl Fn(&Value) -> bool,
) -> Value {
    let path = format!("/api/broadcasts/{}/forwards", world.id);
    // The API takes so many requests a minute of a caller.
    let mut every = tokio::time::interval(Duration::from_secs(1));
    let looking = async {
        loop {
            every.tick().await;
            let list = world.send("GET", &path, json!({})).await;
            if let Some(room) = list.get(0).filter(|room| is_so(room)) {
                return room.clone();
            }
        }
    };
    let told = tokio::time::timeout(PATIENCE, looking).await;
    told.unwrap_or_else(|_| panic!("no {what}: {}", world.gateway.log()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_room_and_a_kick_are_told_to_its_owner() {
    let Some(world) = World::real("livekit::real::told", "off").await else {
        return;
    };
    let address = format!("http://{}", world.livekit.address());
    let mut api = Client::api("api", &address, KEY, SECRET).await;
    let room = world.room.clone();
    api.call("room.delete_room", json!({"room": room})).await;
    let small = json!({"name": room, "maxParticipants": 1});
    assert_eq!(
        api.call("room.create_room", small).await["name"],
        room.as_str()
    );
    let first = viewer(&world, "first").await;
    let publishing = publish(&world, &Clip::long("flv"));
    let is_full = |told: &Value| {
        told["reason"]
            .as_str()
            .is_some_and(|why| why.contains("full"))
    };
    until_room(&world, "full", is_full).await;
    first.leave().await;
    until_room(&world, "live", |told| told["state"] == "live").await;
    let own = json!({"room": room, "identity": "forebay"});
    api.call("room.remove_participant", own).await;
    let is_out = |told: &Value| told["state"] == "refused" && told["nextAttempt"].is_string();
    let told = until_room(&world, "kicked", is_out).await;
    assert_eq!(told["reason"], "removed from the room");
    drop(publishing);
    world.gateway.stop().await;
}
