//! Media from a publisher, through the server, to viewers.

use livekit_protocol::TrackType;
use serde_json::json;

use super::{ROOM, publisher, viewer};
use crate::common::livekit::LivekitServer;
use crate::common::livekit::clients::median;

#[tokio::test(flavor = "multi_thread")]
async fn picture_and_sound_of_livekits_own_library_are_written_down() {
    let server = LivekitServer::start();
    let client = publisher(&server, "").await;
    let picture = server
        .until("60 pictures", |server| {
            let track = server.track(ROOM, "ann", TrackType::Video)?;
            (track.layer("").frames >= 60).then_some(track)
        })
        .await;
    let layer = picture.layer("");
    assert_eq!(picture.info.mime_type, "video/H264");
    assert!(
        layer.key_frames >= 1 && layer.broken_frames == 0,
        "{layer:?}"
    );
    assert!(layer.units[0].key, "what is kept begins with a key frame");
    assert!(!layer.reports.is_empty());
    let sound = server
        .track(ROOM, "ann", TrackType::Audio)
        .expect("there is sound");
    assert!(sound.layer("").frames > 60, "{:?}", sound.layer("").frames);
    client.leave().await;
    server
        .until("end of the tracks", |server| {
            let tracks = server.tracks(ROOM, "ann");
            tracks.iter().all(|track| track.is_gone).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_of_livekits_own_library_sees_and_hears_in_step() {
    let server = LivekitServer::start();
    let publisher = publisher(&server, "").await;
    let mut viewer = viewer(&server, "bob", &serde_json::Value::Null).await;
    let figures = viewer.pictures("ann", 250).await;
    let offsets = viewer.lip_offsets("ann");
    let offset = median(&offsets);
    let shown = format!(
        "{figures}\nsound {:.0} ms after the picture of {} flashes",
        offset * 1000.0,
        offsets.len()
    );
    assert!(offsets.len() >= 3, "{shown}\n{:#?}", viewer.said);
    // It is some 40 ms on a quiet machine; buffers grow on a busy one.
    assert!(offset.abs() < 0.35, "{shown}");
    let (lost, packets) = (figures["lost"].as_u64(), figures["packets"].as_u64());
    assert!(lost.unwrap() * 50 <= packets.unwrap(), "{shown}");
    show(&shown);
    viewer.leave().await;
    publisher.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_gets_the_layer_of_the_quality_that_it_asks_for() {
    let server = LivekitServer::start();
    let publisher = publisher(&server, "--simulcast --no-sound --fps 15").await;
    let mut viewer = viewer(&server, "bob", &serde_json::Value::Null).await;
    viewer.event("picture").await;
    let has = |server: &LivekitServer, rid: &str| {
        let downs = server.downs(ROOM, "bob");
        downs
            .into_iter()
            .find(|down| down.rid.as_deref() == Some(rid))
    };
    server
        .until("the best layer", |server| has(server, "h"))
        .await;
    let mut frames = viewer.pictures("ann", 30).await["frames"].as_u64().unwrap();
    for (quality, rid) in [(0, "q"), (2, "h"), (0, "q")] {
        viewer.order("quality", json!(quality)).await;
        server.until(rid, |server| has(server, rid)).await;
        let before = frames;
        frames = viewer.pictures("ann", before + 45).await["frames"]
            .as_u64()
            .unwrap();
    }
    let down = has(&server, "q").expect("it gets that layer");
    assert!(down.switches >= 3, "{down:?}");
    let track = server
        .track(ROOM, "ann", TrackType::Video)
        .expect("a picture");
    assert!(track.layer("q").frames > 60 && track.layer("h").frames > 60);
    let figures = viewer.pictures("ann", frames + 15).await;
    show(&format!("{} changes of layer: {figures}", down.switches));
    viewer.leave().await;
    publisher.leave().await;
}

#[expect(clippy::print_stdout, reason = "figures of a run")]
pub fn show(text: &str) {
    println!("{text}");
}
