//! The LiveKit server is killed for a while: players of the playlists see nothing of it, and its room is filled
//! again soon after it is back.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::camera::{Camera, Film};
use super::figures::{Promises, published, say, table};
use super::playlist::{self, NEXT_SEGMENT};
use super::watched::unix_now;
use super::{World, python};

/// How long the server is away.
const AWAY: Duration = Duration::from_secs(20);
/// Before it goes, and after it is back.
const AROUND: Duration = Duration::from_secs(12);
/// Players have found their place by then; what they go through later is counted.
const PLAYING_MS: u64 = 8000;
/// From the server's return to pictures in the room.
const REFILLED: Duration = Duration::from_secs(3);

/// As it is, without B-frames, goes into the room; with B-frames a picture is made for it.
const FILMS: [(&str, Film); 2] = [
    (
        "without B-frames, a key frame in 2 s",
        Film {
            width: 640,
            height: 360,
            video: "-preset ultrafast -tune zerolatency -g 60 -keyint_min 60 -b:v 800k",
        },
    ),
    (
        "with B-frames, a key frame in 2 s",
        Film {
            width: 640,
            height: 360,
            video: "-preset veryfast -x264-params keyint=60:bframes=3:rc-lookahead=0:sync-lookahead=0 -b:v 800k",
        },
    ),
];

/// A real player of the playlists, in Chromium.
fn player(url: &str, seconds: u64, config: &str) -> Child {
    Command::new("node")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/players/play.mjs"
        ))
        .args(["--player", "hls", "--url", url, "--viewport", "640x360"])
        .args(["--config", config, "--seconds", &seconds.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("node starts")
}

/// What a player says at its end.
async fn figures(player: Child) -> Value {
    let output = player.wait_with_output().await.expect("it was started");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.starts_with('{'));
    line.and_then(|line| serde_json::from_str(line).ok())
        .unwrap_or(Value::Null)
}

/// What of a player's list was after its beginning.
fn later(list: &Value) -> Vec<Value> {
    let all = list.as_array().into_iter().flatten();
    let is_later = |one: &&Value| one["atMs"].as_u64() > Some(PLAYING_MS);
    all.filter(is_later).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: make soak"]
async fn nobody_who_plays_sees_that_livekit_was_killed_and_its_room_is_refilled() {
    let mut promises = Promises::of("LiveKit killed for 20 s and back");
    let mut rows = Vec::new();
    for (name, film) in &FILMS {
        let mut world = World::new().await;
        let camera = Camera::start(&world, film);
        world
            .livekit
            .until("a picture", |_| (published(&world) > 30).then_some(()))
            .await;
        let url = format!(
            "http://{}/hls/{}/index.m3u8",
            world.gateway.http(),
            world.room
        );
        playlist::has_segments(&world).await;
        let whole = 2 * AROUND + AWAY;
        let seconds = whole.as_secs();
        let smooth = player(&url, seconds, r#"{"lowLatencyMode":false}"#);
        let low_latency = player(&url, seconds, r#"{"lowLatencyMode":true}"#);
        let until = Instant::now() + whole + Duration::from_secs(5);
        let mut back = Back::default();
        let reading = playlist::read(world.gateway.http(), world.room.clone(), until);
        let absence = async {
            tokio::time::sleep(AROUND).await;
            world.livekit.stop();
            tokio::time::sleep(AWAY).await;
            back.see(&mut world).await;
        };
        let (playlist, ()) = tokio::join!(reading, absence);
        let (smooth, low_latency) = tokio::join!(figures(smooth), figures(low_latency));
        let (first, last) = playlist.ends();
        let stalls = |seen: &Value| {
            let count = |list: &Value| later(list).len();
            let (stalls, errors) = (&seen["stalls"]["list"], &seen["errors"]);
            format!("{} stalls, {} errors", count(stalls), count(errors))
        };
        rows.push(vec![
            ("source", (*name).to_owned()),
            ("HLS", stalls(&smooth)),
            ("LL-HLS", stalls(&low_latency)),
            ("segments", format!("{first}..={last}")),
            (
                "longest wait for the next ms",
                playlist.longest_wait.as_millis().to_string(),
            ),
            (
                "in the room after ms",
                back.refilled.as_millis().to_string(),
            ),
            ("seen after ms", format!("{:.0}", back.seen_ms)),
        ]);
        for (how, seen) in [("HLS", &smooth), ("LL-HLS", &low_latency)] {
            let troubles = [later(&seen["stalls"]["list"]), later(&seen["errors"])].concat();
            if !troubles.is_empty() {
                say(&format!("{how}: {troubles:?}"));
            }
            promises.add(
                &format!("{name}: {how} plays on without a stall, an error or a jump back"),
                seen["advanced"] == true
                    && seen["wentBack"] == false
                    && seen["restarts"] == 0
                    && troubles.is_empty(),
            );
        }
        if !playlist.faults.is_empty() {
            say(&format!("{:#?}", playlist.faults));
        }
        promises.add(
            &format!("{name}: the playlist runs on, every number once, no gap, no discontinuity"),
            playlist.faults.is_empty() && last > first + 10,
        );
        promises.add(
            &format!("{name}: no segment is late"),
            playlist.longest_wait < NEXT_SEGMENT,
        );
        promises.add(
            &format!("{name}: the room is refilled within 3 s"),
            back.refilled < REFILLED,
        );
        drop(camera);
        world.gateway.stop().await;
    }
    table(&rows);
    promises.judge();
}

/// The server's return.
#[derive(Debug, Default)]
struct Back {
    /// Until the room had a picture.
    refilled: Duration,
    /// Until somebody who came at once had decoded one.
    seen_ms: f64,
}

impl Back {
    async fn see(&mut self, world: &mut World) {
        world.livekit.start_again();
        let (began, at) = (Instant::now(), unix_now());
        let world = &*world;
        let refilled = async {
            let looking = |_: &_| (published(world) > 0).then_some(());
            world.livekit.until("a picture", looking).await;
            began.elapsed()
        };
        let seen = async {
            let mut viewer = python(world, "python", "").await;
            let first = viewer.event("picture").await;
            viewer.leave().await;
            1000.0 * (first["at"].as_f64().expect("a time") - at)
        };
        (self.refilled, self.seen_ms) = tokio::join!(refilled, seen);
    }
}
