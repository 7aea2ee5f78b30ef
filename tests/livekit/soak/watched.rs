//! Rooms of broadcasts, watched: by whom how well.

use std::time::Duration;

use forebay::base::clock::Clock;

use super::camera::{Camera, Obs, SIMPLE};
use super::figures::{Promises, Watched, lag_of_sound, published, say, share_of, table, watch};
use super::{World, chromium, python, seconds};
use crate::common::livekit::clients::{Client, median};

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
    let mut promises = Promises::of("720p30 without B-frames, Python and Chromium at once");
    let world = World::new().await;
    let camera = Camera::start(&world, &SIMPLE);
    world
        .livekit
        .until("a picture", |_| (published(&world) > 0).then_some(()))
        .await;
    let mut python = python(&world, "python", "--clock 1280").await;
    let mut chromium = chromium(&world, "chromium", "--clock 1280").await;
    tokio::join!(python.event("picture"), chromium.event("picture"));
    tokio::join!(python.listen(SETTLING), chromium.listen(SETTLING));
    let (by_python, by_chromium) = tokio::join!(
        watch(&world, &mut python, seconds()),
        watch(&world, &mut chromium, seconds())
    );
    table(&[by_python.row("Python"), by_chromium.row("Chromium")]);
    if let Some((median, most)) = lag_of_sound(&world) {
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

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: make soak"]
async fn obs_as_it_comes_out_of_the_box_is_watched() {
    let mut promises = Promises::of("OBS by default: B-frames, a key frame in 8.33 s");
    let world = World::new().await;
    let obs = Obs::start(&world);
    let begun = tokio::time::Instant::now();
    world
        .livekit
        .until("a picture", |_| (published(&world) > 0).then_some(()))
        .await;
    let in_room = begun.elapsed();
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
    if let Some((median, most)) = lag_of_sound(&world) {
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
