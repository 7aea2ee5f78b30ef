//! Rooms into a channel: LiveKit's own library publishes in a room of the test server, and a hub gets it.

mod bench;

use forebay::ingest::livekit::State;
use forebay::media::{CodecConfig, MediaKind};
use livekit_protocol::leave_request::Action;
use livekit_protocol::{DisconnectReason, TrackType};

use bench::{Bench, CHANNEL, ROOM, Watched};

/// Ticks of the stream's clocks in a millisecond.
const VIDEO: i64 = 90;
const AUDIO: i64 = 48;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_comes_out_whole_with_key_units_as_segments_want_them() {
    let bench = Bench::start();
    let host = bench.publisher("host", "publisher", "--fps 25").await;
    bench.told();
    let mut seen = bench.watch().await;
    seen.pictures(250).await;
    bench.until_live("host").await;
    let kinds: Vec<MediaKind> = seen.tracks.iter().map(|track| track.kind()).collect();
    assert!(kinds.contains(&MediaKind::Video) && kinds.contains(&MediaKind::Audio));
    let is_right = |config: &CodecConfig| {
        matches!(config, CodecConfig::Avc(_)) || matches!(config, CodecConfig::Opus(_))
    };
    assert!(seen.tracks.iter().all(|track| is_right(&track.config)));
    let keys = Watched::gaps_ms(&seen.video, VIDEO, |unit| unit.key);
    let pictures = Watched::gaps_ms(&seen.video, VIDEO, |_| true);
    let sounds = Watched::gaps_ms(&seen.audio, AUDIO, |_| true);
    let downs = bench.livekit.downs(ROOM, "forebay-listener");
    let asked: u64 = downs.iter().map(|down| down.key_frame_requests).sum();
    show(&format!(
        "key units {keys:?} ms apart, asked for {asked} times, pictures at most {:?}, sound {:?} to {:?}",
        pictures.iter().max(),
        sounds.iter().min(),
        sounds.iter().max()
    ));
    assert!(
        keys.len() >= 3 && keys.iter().all(|gap| *gap <= 3000),
        "{keys:?}"
    );
    let stream = bench.stream().await;
    let snapshot = bench.hub.health(stream.id()).expect("it lives");
    assert_eq!(snapshot.members.len(), 1);
    assert_eq!(snapshot.members[0].proto, "livekit");
    // Sound that is moved about in time is left out here and filled up there.
    let repairs = snapshot.repairs;
    assert!(
        repairs.overlapping_frames + repairs.silent_frames < 25,
        "{repairs:?}"
    );
    host.leave().await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_co_host_stands_in_and_the_host_has_its_place_again_on_the_same_stream() {
    let bench = Bench::start();
    let host = bench.publisher("host", "publisher", "").await;
    bench.told();
    bench.until_live("host").await;
    let mut seen = bench.watch().await;
    let stream = bench.stream().await.id();
    let co_host = bench.publisher("co", "co_host", "").await;
    seen.pictures(50).await;
    bench.until_live("host").await;
    host.leave().await;
    bench.until_live("co").await;
    seen.pictures(50).await;
    let host = bench.publisher("host", "publisher", "").await;
    bench.until_live("host").await;
    seen.pictures(50).await;
    let times: Vec<i64> = seen.video.iter().map(|unit| unit.pts.0).collect();
    assert!(times.is_sorted(), "time never goes back");
    assert_eq!(bench.stream().await.id(), stream);
    let members = || bench.hub.health(stream).map(|health| health.members.len());
    bench
        .until("one member", || (members() == Some(1)).then_some(()))
        .await;
    host.leave().await;
    co_host.leave().await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_alone_becomes_a_channel_too() {
    let bench = Bench::start();
    let host = bench.publisher("host", "publisher", "--no-picture").await;
    bench.told();
    bench.until_live("host").await;
    let seen = bench.stream().await;
    bench
        .until("sound", || seen.is_on_air().then_some(()))
        .await;
    host.leave().await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_and_the_gateway_itself_are_not_followed() {
    let bench = Bench::start();
    let own = bench.publisher("forebay", "publisher", "").await;
    let other = bench.publisher("eve", "subscriber", "").await;
    bench.told();
    let waits = State::Waiting { unusable: None };
    bench
        .until_state("waiting", |state| state == Some(&waits))
        .await;
    bench
        .livekit
        .until("both publish", |server| {
            let picture = |identity| server.track(ROOM, identity, TrackType::Video);
            let frames = |identity| Some(picture(identity)?.layer("").frames > 20);
            (frames("forebay")? && frames("eve")?).then_some(())
        })
        .await;
    assert_eq!(bench.listeners.state(CHANNEL), Some(waits));
    assert!(bench.livekit.downs(ROOM, "forebay-listener").is_empty());
    assert_eq!(bench.hub.newest(CHANNEL), None);
    own.leave().await;
    other.leave().await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_sent_away_goes_and_comes_when_it_is_told_of_publishers_again() {
    let bench = Bench::start();
    let host = bench.publisher("host", "publisher", "").await;
    bench.told();
    bench.until_live("host").await;
    let (reason, action) = (DisconnectReason::ParticipantRemoved, Action::Disconnect);
    let sent = bench
        .livekit
        .send_away(ROOM, "forebay-listener", reason, action);
    assert!(sent, "it is there");
    bench.until_state("nobody", |state| state.is_none()).await;
    bench.told();
    bench.until_live("host").await;
    host.leave().await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_joined_again_when_it_is_back() {
    let mut bench = Bench::start();
    let host = bench.publisher("host", "publisher", "").await;
    bench.told();
    bench.until_live("host").await;
    let stream = bench.stream().await.id();
    bench.livekit.stop();
    let is_away = |state: Option<&State>| matches!(state, Some(State::Away(_)));
    bench.until_state("away", is_away).await;
    bench.livekit.start_again();
    drop(host);
    let host = bench.publisher("host", "publisher", "").await;
    bench.until_live("host").await;
    let mut seen = bench.watch().await;
    seen.pictures(50).await;
    assert_eq!(bench.stream().await.id(), stream);
    host.leave().await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_empty_is_left() {
    let bench = Bench::start();
    let host = bench.publisher("host", "publisher", "").await;
    bench.told();
    bench.until_live("host").await;
    host.leave().await;
    bench.listeners.handle_room(CHANNEL, ROOM, false);
    bench.until_state("nobody", |state| state.is_none()).await;
    let here = || bench.livekit.participants(ROOM);
    bench
        .until("an empty room", || here().is_empty().then_some(()))
        .await;
    let stream = bench.stream().await;
    assert_eq!(stream.member_count(), 0);
    bench.end().await;
}

#[expect(clippy::print_stdout, reason = "figures of a run")]
fn show(text: &str) {
    println!("{text}");
}
