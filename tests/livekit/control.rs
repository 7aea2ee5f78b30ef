//! Clients of LiveKit's own library on their way through the gateway: tokens as the API hands them out, co-hosts
//! who are removed, rooms that close (contract, broadcasts, N-6, N-7 and N-13).

use serde_json::json;

use super::world::World;
use crate::common::livekit::LivekitServer;
use crate::common::livekit::clients::Client;

#[tokio::test(flavor = "multi_thread")]
async fn clients_connect_with_their_tokens_unchanged_and_leave_when_the_broadcast_is_over() {
    let world = World::new().await;
    a_broadcast_that_is_over_has_no_room(&world).await;
    let closed =
        |livekit: &LivekitServer| livekit.with(|state| state.rooms.is_empty().then_some(()));
    world.livekit.until("closed room", closed).await;
    world.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_co_host_leaves_at_once_and_its_token_lets_it_publish_no_more_whichever_way_it_goes()
 {
    let world = World::new().await;
    let token = a_removed_co_host_is_out(&world).await;
    // To a server that revokes no tokens.
    world.livekit.faults(|faults| faults.no_revocation = true);
    world.livekit.with(|state| state.revoked.clear());
    past_the_proxy_it_is_sent_away(&world.livekit.url(), &token).await;
    assert!(world.livekit.participants(&world.room).is_empty());
    as_a_viewer_it_is_welcome(&world).await;
    world.gateway.stop().await;
}

/// Everybody is sent out when the broadcast is over, and nobody comes in again.
pub async fn a_broadcast_that_is_over_has_no_room<S>(world: &World<S>) {
    let (url, token) = world.token("host", "publisher").await;
    let mut host = Client::python("publish", &url, &token, "--no-picture").await;
    host.event("connected").await;
    let (_, watching) = world.token("viewer", "subscriber").await;
    let mut viewer = Client::python("view", &url, &watching, "").await;
    viewer.event("connected").await;
    viewer.event("sound").await;
    world.become_("completed").await;
    host.event("disconnected").await;
    viewer.event("disconnected").await;
    // Its token is good for hours, and opens nothing.
    let mut late = Client::python("view", &url, &token, "").await;
    late.event("refused").await;
    let log = world.gateway.log();
    let bare = token.strip_prefix("livekit_").expect("its prefix");
    assert!(!log.contains(bare), "{log}");
}

/// A co-host joins and is removed. Its token, of which the gateway wants no more.
pub async fn a_removed_co_host_is_out<S>(world: &World<S>) -> String {
    let session = format!("/api/streaming/sessions/{}", world.id);
    let join = format!("{session}/join-cohost");
    let joined = world
        .post(&join, json!({"userName": "Guest", "userId": "guest"}))
        .await;
    let (url, token) = world.token("guest", "co_host").await;
    let mut guest = Client::python("publish", &url, &token, "--no-picture").await;
    guest.event("connected").await;
    let cohost = joined["coHost"]["id"].as_str().expect("text");
    let cohost = format!("{session}/cohosts/{cohost}");
    world.send("DELETE", &cohost, json!({})).await;
    guest.event("disconnected").await;
    let mut again = Client::python("view", &url, &token, "").await;
    again.event("refused").await;
    token
}

/// The server lets it in, and the gateway sends it away.
pub async fn past_the_proxy_it_is_sent_away(livekit: &str, token: &str) {
    let bare = token.strip_prefix("livekit_").expect("its prefix");
    let mut past = Client::python("view", livekit, bare, "").await;
    past.event("connected").await;
    past.event("disconnected").await;
}

pub async fn as_a_viewer_it_is_welcome<S>(world: &World<S>) {
    let (url, watching) = world.token("guest", "subscriber").await;
    let mut viewer = Client::python("view", &url, &watching, "").await;
    viewer.event("connected").await;
}
