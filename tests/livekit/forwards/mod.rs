//! Streams in rooms of a LiveKit server: a stream of the hub, the forward, and LiveKit's protocol and WebRTC
//! as the test server speaks them. What is encoded is real; who encodes for rooms is the test.

mod app;
pub mod layers;
mod stage;

use std::time::Duration;

use forebay::forward::State;
use forebay::hub::tap::Tapped as _;
use livekit_protocol as proto;
use proto::TrackType;

use crate::common::livekit::record::Layer;
use crate::common::livekit::{LivekitServer, TrackView};
use stage::{Picture, Stage};

const ROOM: &str = "6b1d9ab8-4f1c-4d7a-b2a6-1f6a3c1a7e11";
const US: &str = "forebay";

fn picture(server: &LivekitServer) -> Option<TrackView> {
    server.track(ROOM, US, TrackType::Video)
}

fn sound(server: &LivekitServer) -> Option<TrackView> {
    server.track(ROOM, US, TrackType::Audio)
}

/// Pictures of the only layer, or of one by its name, so far.
fn frames(server: &LivekitServer, rid: &str) -> u64 {
    let view = picture(server);
    let layers = view.iter().flat_map(|view| &view.layers);
    layers
        .filter(|layer| layer.rid == rid)
        .map(|layer| layer.frames)
        .sum()
}

#[tokio::test]
async fn a_source_without_b_frames_arrives_as_it_is_and_every_frame_whole() {
    let server = LivekitServer::start();
    let mut stage = Stage::new(&server, ROOM).await;
    let clip = Picture::encode(640, 360, 30, 30);
    stage.source(&clip);
    let opus = stage.make_opus();
    stage.until(State::Live).await;
    // The next key unit of the source begins it.
    while frames(&server, "") < 60 {
        stage.play(&clip, &[opus]).await;
    }
    let seen = picture(&server).expect("a picture");
    let layer = seen.layer("");
    assert_eq!((layer.broken_frames, layer.lost_packets), (0, 0));
    let sent = clip.annex_b();
    for unit in &layer.units {
        assert!(sent.contains(&unit.bytes.to_vec()), "a frame was changed");
    }
    let heard = sound(&server).expect("a sound");
    assert!(heard.layer("").frames > 60);
    assert_eq!(seen.info.source, i32::from(proto::TrackSource::Camera));
    assert_eq!(heard.info.source, i32::from(proto::TrackSource::Microphone));
    assert_eq!((seen.info.width, seen.info.height), (640, 360));
    let participant = &server.participants(ROOM)[0];
    assert_eq!(participant.metadata, r#"{"role":"publisher"}"#);
    let status = stage.told.status();
    assert!(status.packets > 60 && status.note.is_none());
    assert_eq!(status.layers[0].rendition, "source");
    stage.end().await;
    server
        .until("an empty room", |server| {
            server.participants(ROOM).is_empty().then_some(())
        })
        .await;
}

#[tokio::test]
async fn picture_and_sound_are_on_one_clock() {
    let server = LivekitServer::start();
    let mut stage = Stage::new(&server, ROOM).await;
    let clip = Picture::encode(320, 180, 30, 30);
    let (room, opus) = (stage.make_picture("room", &clip), stage.make_opus());
    stage.until(State::Live).await;
    loop {
        stage.play(&clip, &[room, opus]).await;
        let (Some(picture), Some(sound)) = (picture(&server), sound(&server)) else {
            continue;
        };
        let (picture, sound) = (picture.layer(""), sound.layer(""));
        if picture.reports.is_empty() || sound.reports.is_empty() || picture.frames < 30 {
            continue;
        }
        // What is sent together is of one media time, to a frame of each.
        let newest = |layer: &Layer| {
            let unit = layer.units.back().expect("units");
            layer.clock_at(unit.rtp_time).expect("a report")
        };
        let apart = (newest(picture) - newest(sound)).abs();
        assert!(apart < 0.08, "the newest units are {apart} s apart");
        break;
    }
    stage.end().await;
}

#[tokio::test]
async fn three_rungs_are_three_layers_and_a_shed_one_leaves_the_others() {
    let server = LivekitServer::start();
    let mut stage = Stage::new(&server, ROOM).await;
    let sizes = [(320, 180), (640, 360), (1280, 720)];
    let clips = sizes.map(|(width, height)| Picture::encode(width, height, 15, 30));
    let rungs: Vec<_> = clips
        .iter()
        .map(|clip| stage.make_picture(&clip.name(), clip))
        .collect();
    let opus = stage.make_opus();
    stage.until(State::Live).await;
    let all = |server: &LivekitServer, least: u64| {
        ["q", "h", "f"]
            .iter()
            .all(|rid| frames(server, rid) >= least)
            .then_some(())
    };
    while all(&server, 30).is_none() {
        stage.play_all(&clips, &rungs, opus).await;
    }
    let view = picture(&server).expect("a picture");
    let layers = view.info.codecs.iter().flat_map(|codec| &codec.layers);
    let widths: Vec<u32> = layers.map(|layer| layer.width).collect();
    assert_eq!(widths, [320, 640, 1280]);
    for rid in ["q", "h", "f"] {
        assert_eq!(view.layer(rid).broken_frames, 0, "{rid}");
    }
    assert_eq!(stage.told.status().layers.len(), 4);
    stage.stream.drop_private(rungs[2]);
    let before = ["q", "h"].map(|rid| frames(&server, rid));
    while ["q", "h"]
        .iter()
        .zip(before)
        .any(|(rid, before)| frames(&server, rid) < before + 15)
    {
        stage.play_all(&clips[..2], &rungs[..2], opus).await;
    }
    assert_eq!(
        (stage.told.status().connected, stage.told.status().state),
        (1, State::Live)
    );
    stage.end().await;
}

#[tokio::test]
async fn a_source_with_b_frames_gets_a_picture_made_for_rooms() {
    let server = LivekitServer::start();
    let mut stage = Stage::new(&server, ROOM).await;
    let clip = Picture::encode(320, 180, 30, 30);
    stage.source_with_b_frames(&clip);
    let needs = stage.stream.needs();
    stage.needed(|needs| needs.picture && needs.opus).await;
    let (room, opus) = (stage.make_picture("room", &clip), stage.make_opus());
    stage.until(State::Live).await;
    while frames(&server, "") < 30 {
        stage.play(&clip, &[room, opus]).await;
    }
    let status = stage.told.status();
    assert_eq!(status.layers[0].rendition, "room");
    assert!(status.note.is_some_and(|note| note.contains("B-frames")));
    assert!(needs.borrow().picture);
    stage.end().await;
}

#[tokio::test]
async fn who_cannot_decode_has_a_key_unit_made() {
    let server = LivekitServer::start();
    let mut stage = Stage::new(&server, ROOM).await;
    let clip = Picture::encode(320, 180, 30, 30);
    let (room, opus) = (stage.make_picture("room", &clip), stage.make_opus());
    let mut wanted = stage.stream.key_units();
    stage.until(State::Live).await;
    stage.play(&clip, &[room, opus]).await;
    server
        .until("frames", |server| (frames(server, "") >= 10).then_some(()))
        .await;
    while tokio::time::timeout(Duration::from_millis(10), wanted.recv())
        .await
        .is_ok()
    {}
    server.faults(|faults| faults.pli_flood = true);
    stage.play(&clip, &[room, opus]).await;
    let asked = tokio::time::timeout(Duration::from_secs(30), wanted.recv()).await;
    assert_eq!(asked.expect("in time"), Some(room));
    server.faults(|faults| faults.pli_flood = false);
    stage.end().await;
}

#[tokio::test]
async fn a_server_that_is_gone_for_a_while_is_served_again() {
    let mut server = LivekitServer::start();
    let mut stage = Stage::new(&server, ROOM).await;
    let clip = Picture::encode(320, 180, 30, 15);
    let (room, opus) = (stage.make_picture("room", &clip), stage.make_opus());
    stage.until(State::Live).await;
    while frames(&server, "") < 10 {
        stage.play(&clip, &[room, opus]).await;
    }
    server.stop();
    stage.until(State::Retrying).await;
    assert!(stage.told.status().reason.is_some());
    // Some attempts on nobody.
    let attempts = stage.told.status().attempts;
    while stage.told.status().attempts < attempts + 3 {
        stage.play(&clip, &[room, opus]).await;
    }
    server.start_again();
    let back = tokio::time::Instant::now();
    while frames(&server, "") < 5 {
        stage.play(&clip, &[room, opus]).await;
    }
    let refilled = back.elapsed();
    assert!(refilled < Duration::from_secs(10), "{refilled:?}");
    assert_eq!(stage.told.status().connected, 2);
    stage.end().await;
}

#[tokio::test]
async fn who_is_sent_away_says_so_and_comes_back_seldom() {
    use proto::DisconnectReason as Why;
    for (why, state) in [
        (Why::ParticipantRemoved, State::Refused),
        (Why::DuplicateIdentity, State::Refused),
        (Why::ServerShutdown, State::Retrying),
    ] {
        let server = LivekitServer::start();
        let mut stage = Stage::new(&server, ROOM).await;
        let clip = Picture::encode(320, 180, 30, 15);
        let (room, opus) = (stage.make_picture("room", &clip), stage.make_opus());
        stage.until(State::Live).await;
        stage.play(&clip, &[room, opus]).await;
        let action = proto::leave_request::Action::Disconnect;
        assert!(server.send_away(ROOM, US, why, action));
        stage.until(state).await;
        let status = stage.told.status();
        assert!(status.reason.is_some() && status.next_attempt.is_some());
        if state == State::Retrying {
            stage.until(State::Live).await;
        }
        stage.end().await;
    }
}

#[tokio::test]
async fn a_refused_token_is_shown_and_no_token_is_in_it() {
    let server = LivekitServer::start();
    let stage = Stage::with_secret(&server, ROOM, "a-secret-of-another-server-entirely").await;
    let clip = Picture::encode(320, 180, 30, 15);
    stage.make_picture("room", &clip);
    stage.until(State::Refused).await;
    let reason = stage.told.status().reason.unwrap();
    assert!(
        reason.contains("token") && !reason.contains("eyJ"),
        "{reason}"
    );
    stage.end().await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_an_offer_is_tried_again() {
    let server = LivekitServer::start();
    server.faults(|faults| faults.no_answer = true);
    let stage = Stage::new(&server, ROOM).await;
    let clip = Picture::encode(320, 180, 30, 15);
    stage.make_picture("room", &clip);
    stage.until(State::Retrying).await;
    assert!(stage.told.status().reason.unwrap().contains("within"));
    server.faults(|faults| faults.no_answer = false);
    stage.until(State::Live).await;
    stage.end().await;
}

#[tokio::test]
async fn a_publisher_that_goes_away_changes_nothing_in_the_room() {
    let server = LivekitServer::start();
    let mut stage = Stage::new(&server, ROOM).await;
    let clip = Picture::encode(320, 180, 30, 15);
    let room = stage.make_picture("room", &clip);
    stage.until(State::Live).await;
    stage.play(&clip, &[room]).await;
    server
        .until("frames", |server| (frames(server, "") >= 10).then_some(()))
        .await;
    let before = frames(&server, "");
    stage.skip(Duration::from_secs(40));
    stage.play(&clip, &[room]).await;
    server
        .until("frames", |server| {
            (frames(server, "") >= before + 10).then_some(())
        })
        .await;
    assert_eq!(stage.told.status().connected, 1);
    assert_eq!(server.tracks(ROOM, US).len(), 1);
    stage.end().await;
}
