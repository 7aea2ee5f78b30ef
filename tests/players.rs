//! Real players on a real stream, each alone: three libraries and our own pages in headless Chromium
//! (`tests/players`), ffmpeg and GStreamer. The desktop players and the long runs are in `tests/soak`.

mod broadcast;
mod console;
mod events;
mod pushes;
mod realtime;
mod shows;
mod sync;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use forebay::manifest::check::check_media_playlist;
use serde_json::Value;
use tokio::process::Command;

use crate::common::media::Clip;
use crate::common::server::{KEY, PATIENCE, Publishing, Server};
use crate::common::srt::Call;

/// Two cores play one stream in one browser at a time. Under nextest, where each test is a process of its
/// own, `.config/nextest.toml` sees to it.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// One picture for all of them: 640x360, 30 fps, 2 s between key frames, longer than any test.
fn clip() -> PathBuf {
    Clip::h264(3600, 60).file()
}

/// Publishes at the pace of the clock, and waits until players may begin.
async fn on_air(server: &Server) -> Publishing {
    let publishing = server.publish(&clip(), "-re");
    server.segments("audio", 3).await;
    publishing
}

async fn run(program: &str, arguments: &[&str]) -> Output {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|err| panic!("{program}: {err}"));
    // Walks through pages take a minute, and more where much else goes on.
    let output = tokio::time::timeout(PATIENCE * 5 / 2, child.wait_with_output()).await;
    output
        .unwrap_or_else(|_| panic!("{program} {arguments:?} does not end"))
        .expect("its output is read")
}

/// Lets a script use the pages of a server. It publishes the clip to that RTMP application.
async fn walk(server: &Server, script: &str, application: &str, options: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/players")
        .join(script);
    let script = script.to_str().expect("a text path");
    let clip = clip();
    let clip = clip.to_str().expect("a text path");
    let url = format!("http://{}/", server.http());
    let rtmp = format!("rtmp://{}/{application}", server.rtmp());
    let mut arguments = vec![script, "--url", &url, "--rtmp", &rtmp, "--clip", clip];
    arguments.extend(options);
    let output = run("node", &arguments).await;
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{said}");
    show(&[text.trim().to_owned()]);
}

/// Plays `path` in Chromium and returns what `play.mjs` saw. A player that did not play fails here.
async fn play(server: &Server, player: &str, path: &str, options: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/players/play.mjs");
    let url = format!("http://{}{path}", server.http());
    let mut arguments = vec![
        script.to_str().expect("a text path"),
        "--player",
        player,
        "--url",
        &url,
        "--viewport",
        "640x360",
    ];
    arguments.extend(options);
    let output = run("node", &arguments).await;
    let text = String::from_utf8_lossy(&output.stdout);
    let seen: Value = serde_json::from_str(text.trim()).unwrap_or_else(|err| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("{player} at {path}: {err}: {text}{said}")
    });
    assert!(output.status.success(), "{player} at {path}: {seen:#}");
    seen
}

/// Has played on without a fatal error or a hole in its buffer, and showed frames: at least `least_fps` of
/// them a second. Whether it had to wait depends on how busy the machine is, so that is printed here and
/// asserted by the soak.
fn assert_smooth(seen: &Value, least_fps: f64) {
    let player = &seen["player"];
    let stalls = &seen["stalls"];
    show(&[format!(
        "{player}: {} stalls, {} ms",
        stalls["count"], stalls["totalMs"]
    )]);
    let errors = seen["errors"].as_array().expect("a list").iter();
    let fatal: Vec<&Value> = errors.filter(|error| error["fatal"] != false).collect();
    assert!(fatal.is_empty(), "{player}: {seen:#}");
    assert_eq!(seen["gaps"], serde_json::json!([]), "{player}: {seen:#}");
    assert_eq!(seen["wentBack"], false, "{player}: {seen:#}");
    let frames = seen["decodedFrames"].as_u64().expect("a count");
    let seconds = seen["playedSeconds"].as_f64().expect("a time");
    assert!(
        seconds >= 5.0 && frames as f64 >= seconds * least_fps * 0.8,
        "{player} decoded {frames} frames in {seconds} s: {seen:#}"
    );
}

/// Every level came on screen and went on.
fn assert_all_levels(seen: &Value) -> usize {
    let visits = seen["visits"].as_array().expect("visits");
    for visit in visits {
        assert_eq!(visit["ok"], true, "{seen:#}");
    }
    let levels = seen["levels"].as_array().expect("levels").len();
    assert_eq!(visits.len(), 2 * levels - 1, "{seen:#}");
    levels
}

#[tokio::test(flavor = "multi_thread")]
async fn hls_js_dash_js_and_shaka_play_without_a_stall() {
    let _alone = ALONE.lock().await;
    let server = Server::passthrough().await;
    let _publishing = on_air(&server).await;
    let id = server.stream_id().await;
    let hls = format!("/hls/{id}/index.m3u8");
    let mut figures = Vec::new();
    // Two viewers at a time.
    for pair in [
        [
            ("hls", hls.clone()),
            ("dash", format!("/dash/{id}/manifest.mpd")),
        ],
        [("shaka", hls), ("dash", format!("/dash/{id}/ll.mpd"))],
    ] {
        let plays = pair
            .each_ref()
            .map(|(player, path)| play(&server, player, path, &["--seconds", "6"]));
        let [first, second] = plays;
        let seen = tokio::join!(first, second);
        for ((player, path), seen) in pair.iter().zip([seen.0, seen.1]) {
            assert_smooth(&seen, 25.0);
            figures.push(format!(
                "{player} {path}: first frame after {} ms",
                seen["firstFrameMs"]
            ));
        }
    }
    show(&figures);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hls_js_plays_what_comes_over_srt() {
    let _alone = ALONE.lock().await;
    let server = Server::passthrough().await;
    let clip = Clip {
        container: "ts",
        ..Clip::h264(1800, 60)
    };
    let _sender = Call::new(server.srt(), KEY).ffmpeg_5(&clip.file());
    server.segments("audio", 3).await;
    let path = format!("/hls/{}/index.m3u8", server.stream_id().await);
    let seen = play(&server, "hls", &path, &["--seconds", "6"]).await;
    assert_smooth(&seen, 25.0);
    server.stop().await;
}

/// Half a second of the picture is missing twice in four seconds, once inside of a segment and once before
/// the key unit that opens one.
#[tokio::test(flavor = "multi_thread")]
async fn short_holes_in_the_picture_are_played_over() {
    let _alone = ALONE.lock().await;
    let clip = Clip::small("30", 1800).video(
        "-vf select=not(between(mod(n\\,120)\\,30\\,44)+between(mod(n\\,120)\\,105\\,119)) \
         -vsync passthrough -c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -crf 24 \
         -g 600 -sc_threshold 0 -force_key_frames expr:gte(t,n_forced*2)",
    );
    let server = Server::passthrough().await;
    let _publishing = server.publish(&clip.file(), "-re");
    server.segments("audio", 3).await;
    let id = server.stream_id().await;
    for (player, path) in [
        ("hls", format!("/hls/{id}/index.m3u8")),
        ("dash", format!("/dash/{id}/ll.mpd")),
    ] {
        let seen = play(&server, player, &path, &["--seconds", "6"]).await;
        assert_smooth(&seen, 20.0);
    }
    let playlist = server.get(&format!("/hls/{id}/source/index.m3u8")).await;
    let broken = check_media_playlist(playlist.text(), None);
    assert!(broken.is_empty(), "{broken:#?}\n{}", playlist.text());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rung_comes_on_screen_without_a_gap() {
    let _alone = ALONE.lock().await;
    let server = Server::start(|_| {}).await;
    let _publishing = on_air(&server).await;
    let id = server.stream_id().await;
    // By whole segments: with parts hls.js 1.7 may leave one part out when it changes its level, because the
    // new level's last part of a segment is nothing to begin with, and then skips the hole itself.
    let segments = r#"{"lowLatencyMode":false}"#;
    let options = |config| ["--switch", "--seconds", "1", "--config", config];
    let (hls, dash) = (
        format!("/hls/{id}/index.m3u8"),
        format!("/dash/{id}/manifest.mpd"),
    );
    // Two viewers at once: each waits most of the time for the level that it asked for.
    let (by_segments, by_default) = (options(segments), options("{}"));
    let seen = tokio::join!(
        play(&server, "hls", &hls, &by_segments),
        play(&server, "dash", &dash, &by_default),
    );
    for seen in [seen.0, seen.1] {
        // The lowest rungs have half the source's 30 fps.
        assert_smooth(&seen, 12.0);
        let levels = assert_all_levels(&seen);
        assert!(levels >= 2, "{levels} levels: {seen:#}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_pages_play_and_obey_the_keyboard() {
    let _alone = ALONE.lock().await;
    let server = Server::passthrough().await;
    let _publishing = on_air(&server).await;
    let id = server.stream_id().await;
    let watch = format!("/watch/{id}");
    let dash = format!("/watch/{id}?player=dash");
    let keyboard: &[&str] = &["--seconds", "6", "--keyboard"];
    for (path, mode, options) in [
        (watch.as_str(), "hls", keyboard),
        (dash.as_str(), "dash", &["--seconds", "6"]),
        ("/live", "hls", &["--seconds", "2"]),
    ] {
        let seen = play(&server, "page", path, options).await;
        assert_eq!(seen["mode"], mode, "{seen:#}");
        assert_eq!(seen["streamId"], id.to_string(), "{seen:#}");
        assert_eq!(seen["stalls"]["count"], 0, "{seen:#}");
        assert_eq!(seen["lastTrouble"], Value::Null, "{seen:#}");
        assert!(seen["decodedFrames"].as_u64() > Some(50), "{seen:#}");
        let shown = seen["viewersShown"].as_str().expect("a count");
        assert!(
            shown.parse::<u32>().expect("a number") > 0,
            "it counts itself: {seen:#}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_plays_hls_and_dash_and_gstreamer_plays_hls() {
    let _alone = ALONE.lock().await;
    let server = Server::passthrough().await;
    let _publishing = on_air(&server).await;
    let id = server.stream_id().await;
    let http = format!("http://{}", server.http());
    let hls = format!("{http}/hls/{id}/index.m3u8");
    let dash = format!("{http}/dash/{id}/manifest.mpd");
    for url in [&hls, &dash] {
        // One line a decoded frame: `stream, dts, pts, duration, size, checksum`.
        let output = run(
            "ffmpeg",
            &[
                "-v", "error", "-nostdin", "-i", url, "-t", "4", "-f", "framecrc", "-",
            ],
        )
        .await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{url}: {said}");
        let text = String::from_utf8_lossy(&output.stdout);
        let count = |stream: &str| text.lines().filter(|line| line.starts_with(stream)).count();
        let (pictures, sounds) = (count("0,"), count("1,"));
        assert!(
            pictures >= 118 && sounds >= 180,
            "{url}: {pictures} pictures and {sounds} sounds of 4 s: {said}"
        );
    }
    // Debian's GStreamer 1.22 finds no segment of an MPD whose Period has a presentation time offset.
    let output = run(
        "gst-launch-1.0",
        &[
            "-q",
            "playbin3",
            &format!("uri={hls}"),
            "video-sink=fakesink sync=true num-buffers=90",
            "audio-sink=fakesink sync=true num-buffers=120",
        ],
    )
    .await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "playbin3 {hls}: {said}");
    assert!(!said.contains("ERROR"), "playbin3 {hls}: {said}");
    server.stop().await;
}

/// Figures for whoever reads the output of the test; nothing is asserted about them.
fn show(lines: &[String]) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
}
