//! livekit-client in Chromium as a viewer.

use serde_json::json;

use super::media::show;
use super::{ROOM, publisher};
use crate::common::livekit::clients::{Client, median};
use crate::common::livekit::{LivekitServer, Options};

#[tokio::test(flavor = "multi_thread")]
async fn livekit_client_in_chromium_plays_picture_and_sound() {
    // In step: Chromium says nothing of what it plays of tracks that do not belong together.
    let server = LivekitServer::start_with(Options {
        sync_streams: true,
        ..Options::default()
    });
    let publisher = publisher(&server, "").await;
    let token = server.token("page", ROOM, &json!({"canPublish": false}));
    let mut browser = Client::browser(&server.url(), &token, "").await;
    browser.event("connected").await;
    let figures = browser.pictures("ann", 200).await;
    assert_eq!(figures["codec"], "video/H264", "{figures}");
    // What is played at one time was captured at one time.
    let playout = |kind: &str| -> Vec<f64> {
        let mine = browser.said.iter().filter(|said| said["kind"] == kind);
        mine.filter_map(|said| said["playout"].as_f64()).collect()
    };
    let (picture, sound) = (playout("video"), playout("audio"));
    let apart: Vec<f64> = sound
        .iter()
        .zip(&picture)
        .map(|(sound, picture)| sound - picture)
        .collect();
    assert!(!apart.is_empty(), "{figures}");
    show(&format!(
        "{figures}\nsound {:.0} ms after the picture",
        median(&apart)
    ));
    let sounds = browser.until("stats", |said| said["kind"] == "audio").await;
    assert!(sounds["samples"].as_u64() > Some(48_000), "{sounds}");
    browser.leave().await;
    publisher.leave().await;
}
