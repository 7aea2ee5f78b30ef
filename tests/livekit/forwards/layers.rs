//! The whole gateway with a ladder: its rungs are layers, and viewers choose among them.

use livekit_protocol::TrackType;
use serde_json::json;

use super::app::into_rooms;
use crate::common::livekit::LivekitServer;
use crate::common::livekit::clients::Client;
use crate::common::media::Clip;
use crate::common::server::Server;

/// What is made of 480 lines at 15 a second, also on a small machine: rungs by their lines, the lowest first. The
/// source itself stays out of the room.
const LINES: [u64; 3] = [144, 240, 360];
/// Pictures of each size that are decoded before another one is asked for.
const PICTURES: u64 = 15;

/// 480 lines at 15 a second.
pub fn clip() -> Clip {
    Clip::small("15", 600).size(848, 480)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rung_is_a_layer_that_a_viewer_gets_when_it_asks_for_it() {
    let livekit = LivekitServer::start();
    let server = Server::start(|config| {
        into_rooms(&livekit)(config);
        "auto".clone_into(&mut config.media.ladder);
    })
    .await;
    let publishing = server.publish(&clip().file(), "-re");
    let room = server.stream_id().await.to_string();
    let all_there = |livekit: &LivekitServer| {
        let picture = livekit.track(&room, "forebay", TrackType::Video)?;
        let named = |rid: &&str| picture.layers.iter().any(|layer| layer.rid == *rid);
        let there = ["q", "h", "f"].iter().filter(|rid| named(rid)).count();
        (there == LINES.len()).then_some(())
    };
    livekit.until("three layers", all_there).await;
    let token = livekit.token("viewer", &room, &json!({"canPublish": false}));
    let mut viewer = Client::python("view", &livekit.url(), &token, "").await;
    viewer.event("picture").await;
    each_is_got(&mut viewer).await;
    let picture = livekit.track(&room, "forebay", TrackType::Video);
    for layer in &picture.expect("a picture").layers {
        assert_eq!(layer.broken_frames, 0, "{}", layer.rid);
    }
    viewer.leave().await;
    drop(publishing);
    server.stop().await;
}

/// The viewer asks for each quality, and gets pictures of its size.
pub async fn each_is_got(viewer: &mut Client) {
    for quality in [2, 0, 1, 2, 0] {
        viewer.order("quality", json!(quality)).await;
        let of_size = |said: &serde_json::Value| said["height"] == LINES[quality];
        let first = viewer.until("stats", of_size).await;
        let enough = first["frames"].as_u64().map(|frames| frames + PICTURES);
        viewer
            .until("stats", |said| {
                of_size(said) && said["frames"].as_u64() >= enough
            })
            .await;
    }
}
