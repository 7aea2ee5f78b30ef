//! The whole gateway: ffmpeg publishes over RTMP, and the room of the stream is watched.

use std::path::Path;

use forebay::base::secret::Secret;
use forebay::config::Config;
use forebay::hub::tap::Tapped as _;
use livekit_protocol as proto;
use proto::TrackType;

use crate::common::gateway::Folder;
use crate::common::livekit::clients::median;
use crate::common::livekit::record::{Layer, matroska};
use crate::common::livekit::{KEY, LivekitServer, SECRET, TrackView};
use crate::common::media::{Clip, beeps, flashes, lip_offsets, pictures};
use crate::common::server::Server;

/// Default settings without a ladder, and every stream into its room.
pub fn into_rooms(livekit: &LivekitServer) -> impl FnOnce(&mut Config) {
    let url = livekit.url();
    move |config| {
        "off".clone_into(&mut config.media.ladder);
        config.livekit.url = Some(url);
        config.livekit.api_key = Some(KEY.to_owned());
        config.livekit.api_secret = Some(Secret::new(SECRET));
        "all".clone_into(&mut config.livekit.forward);
    }
}

/// The room's tracks, when there are so many frames of the picture.
async fn watched(livekit: &LivekitServer, room: &str, frames: u64) -> (TrackView, TrackView) {
    livekit
        .until("a picture and a sound", |livekit| {
            let picture = livekit.track(room, "forebay", TrackType::Video)?;
            let sound = livekit.track(room, "forebay", TrackType::Audio)?;
            (picture.layer("").frames >= frames).then_some((picture, sound))
        })
        .await
}

/// A flash and the beep of its moment are as far apart in the room as they are in the clip.
#[track_caller]
fn in_step(clip: &Clip, picture: &Layer, sound: &Layer) {
    let size = (clip.width as u32, clip.height as u32);
    let recording = matroska(picture, sound, size).expect("a key frame and a report");
    let folder = Folder::new();
    let file = folder.file("room.mkv");
    std::fs::write(&file, recording).expect("it is written");
    let offsets = |file: &Path| lip_offsets(&flashes(&pictures(file)), &beeps(file));
    let (meant, came) = (offsets(&clip.file()), offsets(&file));
    assert!(came.len() >= 2, "{came:?}");
    let apart = median(&came) - median(&meant);
    // Times in Matroska are whole milliseconds; beeps begin within one.
    assert!(apart.abs() < 0.004, "{apart} s: {came:?}, {meant:?}");
}

#[tokio::test]
async fn what_an_encoder_publishes_over_rtmp_is_in_the_room_with_its_sound_as_opus() {
    let livekit = LivekitServer::start();
    let server = Server::start(into_rooms(&livekit)).await;
    let clip = Clip::long("flv");
    let publishing = server.publish(&clip.file(), "-re");
    let room = server.stream_id().await.to_string();
    let (picture, sound) = watched(&livekit, &room, 90).await;
    let (picture, sound) = (picture.layer(""), sound.layer(""));
    assert_eq!((picture.broken_frames, picture.lost_packets), (0, 0));
    assert!(sound.frames > 100, "{} packets of sound", sound.frames);
    assert!(picture.reports.len() + sound.reports.len() > 1);
    in_step(&clip, picture, sound);
    drop(publishing);
    server.stop().await;
    let gone = |livekit: &LivekitServer| livekit.participants(&room).is_empty().then_some(());
    livekit.until("an empty room", gone).await;
}

#[tokio::test]
async fn an_encoder_with_b_frames_and_a_long_gop_is_watched_in_the_room() {
    let livekit = LivekitServer::start();
    let server = Server::start(into_rooms(&livekit)).await;
    let clip = Clip::small("30", 900).video(
        "-c:v libx264 -preset veryfast -pix_fmt yuv420p -crf 24 -bf 2 -g 240 -keyint_min 240 \
         -sc_threshold 0",
    );
    let publishing = server.publish(&clip.file(), "-re");
    let room = server.stream_id().await.to_string();
    let (picture, sound) = watched(&livekit, &room, 90).await;
    let layer = picture.layer("");
    assert_eq!(layer.broken_frames, 0);
    // In the order in which they are shown: no B-frames.
    let times: Vec<u64> = layer.units.iter().map(|unit| unit.rtp_time).collect();
    assert!(times.is_sorted(), "{times:?}");
    let needs = server.stream().await.needs();
    assert!(needs.borrow().picture && needs.borrow().opus);
    in_step(&clip, layer, sound.layer(""));
    drop(publishing);
    server.stop().await;
}
