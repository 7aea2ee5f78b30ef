//! Rooms of broadcasts, watched: by whom how well.

use std::time::Duration;

use forebay::base::clock::Clock;

use super::camera::{Camera, Obs, SIMPLE};
use super::figures::{Had, Promises, Watched, say, share_of, table, watch};
use super::{World, chromium, python, seconds};
use crate::common::livekit::clients::{Client, median};

/// Whose room it is.
const TESTS: &str = "the server of the tests";
const IN_STEP: &str = "the server of the tests with sync_streams";
const REAL: &str = "a real livekit-server";
/// Time in which buffers of viewers find their size; not counted.
const SETTLING: Duration = Duration::from_secs(8);
/// Share of pictures that are decoded.
const ALL_BUT: f64 = 0.99;
/// From the camera to the viewer's decoded picture, ms.
const GLASS_TO_GLASS_MS: f64 = 500.0;
/// Between sound and picture of one moment, where the viewer plays and shows them, ms.
const APART_MS: f64 = 40.0;
/// "Near zero" in a minute.
const FEW_PLIS: u64 = 1;

fn promise(promises: &mut Promises, who: &str, seen: &Watched) {
    let time = seconds().as_secs();
    promises.add(
        &format!("{who}: more than 99 % of the pictures are decoded in {time} s"),
        seen.published > 25 * time && seen.share() > ALL_BUT,
    );
    promises.add(&format!("{who}: no freeze"), seen.freezes == 0);
    promises.add(
        &format!("{who}: next to no request for a key frame"),
        seen.plis <= FEW_PLIS,
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: make soak"]
async fn a_source_without_b_frames_is_seen_by_two_viewers_at_once() {
    two_viewers(World::new().await, TESTS).await;
    two_viewers(World::in_step().await, IN_STEP).await;
    if let Some(world) = World::real("rooms, two viewers", "off").await {
        two_viewers(world, REAL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: make soak"]
async fn obs_as_it_comes_out_of_the_box_is_watched() {
    default_obs(World::new().await, TESTS).await;
    if let Some(world) = World::real("rooms, OBS", "off").await {
        default_obs(world, REAL).await;
    }
}

async fn two_viewers<S: Had>(world: World<S>, server: &str) {
    let mut promises = Promises::of(&format!(
        "720p30 without B-frames, Python and Chromium at once, {server}"
    ));
    let camera = Camera::start(&world, &SIMPLE);
    let mut python = python(&world, "python", "--clock 1280").await;
    let mut chromium = chromium(&world, "chromium", "--clock 1280").await;
    tokio::join!(python.event("picture"), chromium.event("picture"));
    tokio::join!(python.listen(SETTLING), chromium.listen(SETTLING));
    let (by_python, by_chromium) = tokio::join!(
        watch(&world, &mut python, seconds()),
        watch(&world, &mut chromium, seconds())
    );
    table(&[by_python.row("Python"), by_chromium.row("Chromium")]);
    if let Some((median, most)) = world.livekit.lag_of_sound(&world.room) {
        say(&format!(
            "sound leaves {median:.0} ms after its picture, 95 % of it within {most:.0} ms"
        ));
    }
    for (who, seen) in [("Python", &by_python), ("Chromium", &by_chromium)] {
        promise(&mut promises, who, seen);
        promises.add(
            &format!("{who}: glass to glass is below 500 ms for 95 % of the pictures"),
            seen.ages.len() as u64 > seen.published / 2
                && share_of(&seen.ages, 0.95) < GLASS_TO_GLASS_MS,
        );
        promises.add(
            &format!("{who}: picture and sound are within 40 ms"),
            median(&seen.lips).abs() <= APART_MS,
        );
    }
    python.leave().await;
    chromium.leave().await;
    drop(camera);
    world.gateway.stop().await;
    promises.judge();
}

async fn default_obs<S: Had>(world: World<S>, server: &str) {
    let mut promises = Promises::of(&format!(
        "OBS by default: B-frames, a key frame in 8.33 s, {server}"
    ));
    let obs = Obs::start(&world);
    let begun = tokio::time::Instant::now();
    // Here before OBS is.
    let mut first = python(&world, "first", "").await;
    first.event("picture").await;
    let in_room = begun.elapsed();
    first.leave().await;
    let mut waits = Vec::new();
    // Each comes at another point of OBS's group of pictures.
    for number in 0..3 {
        let viewer = python(&world, &format!("guest-{number}"), "").await;
        let (wait, mut viewer) = first_picture(viewer).await;
        waits.push(wait);
        viewer.listen(Duration::from_secs(3)).await;
        viewer.leave().await;
    }
    let mut viewer = python(&world, "python", "").await;
    viewer.event("picture").await;
    viewer.listen(SETTLING).await;
    let seen = watch(&world, &mut viewer, seconds()).await;
    table(&[seen.row("Python")]);
    say(&format!(
        "in the room {:.1} s after OBS was started; first picture {waits:.0?} ms after joining",
        in_room.as_secs_f64()
    ));
    if let Some((median, most)) = world.livekit.lag_of_sound(&world.room) {
        say(&format!(
            "sound leaves {median:.0} ms after its picture, 95 % of it within {most:.0} ms"
        ));
    }
    promise(&mut promises, "Python", &seen);
    promises.add(
        "who joins has a picture within 2 s, whatever OBS's key interval",
        median(&waits) < 2000.0,
    );
    viewer.leave().await;
    drop(obs);
    world.gateway.stop().await;
    promises.judge();
}

/// From its joining to its first picture, ms.
async fn first_picture(mut viewer: Client) -> (f64, Client) {
    let since = |said: &serde_json::Value| said["at"].as_f64().expect("a time");
    let joined = viewer.said.last().map(since).expect("it has joined");
    let first = since(&viewer.event("picture").await);
    (1000.0 * (first - joined), viewer)
}

/// Now, in seconds of the UNIX era, as clients say it.
pub fn unix_now() -> f64 {
    Clock::system().wall().0 as f64 / 1e6
}
