//! The main job against a real livekit-server, where `FOREBAY_TEST_LIVEKIT` names its binary.

use forebay::base::secret::Secret;
use serde_json::{Value, json};

use crate::common::livekit::clients::Client;
use crate::common::livekit::real::{RealServer, VARIABLE};
use crate::common::livekit::{KEY, SECRET};
use crate::common::media::Clip;
use crate::common::server::Server;

/// Pictures by which a viewer is judged: 20 seconds.
const PICTURES: u64 = 600;
/// A second.
const RATE: f64 = 30.0;

/// Said aloud: what is skipped looks like what has passed.
fn skipped(test: &str) {
    use std::io::Write;
    let _ = writeln!(
        std::io::stderr(),
        "\n*** SKIPPED {test}: {VARIABLE} names no livekit-server binary ***\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_encoder_publishes_is_watched_through_a_real_livekit_server() {
    let Some(livekit) = RealServer::start().await else {
        return skipped("livekit::real");
    };
    let url = livekit.url();
    let server = Server::start(|config| {
        "off".clone_into(&mut config.media.ladder);
        config.livekit.url = Some(url.clone());
        config.livekit.api_key = Some(KEY.to_owned());
        config.livekit.api_secret = Some(Secret::new(SECRET));
        "all".clone_into(&mut config.livekit.forward);
    })
    .await;
    let publishing = server.publish(&Clip::long("flv").file(), "-re");
    let room = server.stream_id().await.to_string();
    let token = livekit.token("viewer", &room, &json!({"canPublish": false}));
    let mut viewer = Client::python("view", &url, &token, "").await;
    viewer.event("connected").await;
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
    server.stop().await;
    livekit.stop().await;
}
