//! How far behind the camera is a viewer, and how soon does he see something?
//!
//! Headless Chromium with hls.js and dash.js, driven by `tests/players/play.mjs`, on a live picture that
//! carries its own wall-clock time. Ladder off. Once with a key interval of 2 s, once with OBS' default
//! of 8.33 s. The peers are figures of one earlier measurement (MediaMTX, multimux), since they play from
//! other hold-backs: 0.88 s at 2.5 parts, 0.97 s; 1.25 s with OBS' default; first frame after 290 ms
//! (hls.js) and 206 ms (dash.js). Wall-clock figures: on a busy machine they are too large.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, waits and reads clocks; it uses a part of what is shared"
)]

mod common;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use common::server::{Forebay, KEY_PREFIX, until};
use common::table::{Table, verdict};
use common::{http, median, usage};

const SIZE: &str = "640x360";
/// Length of one look, seconds.
const LOOK: u32 = 12;
/// Short looks, for the time to the first frame.
const STARTS: usize = 3;

const GOAL_GLASS_S: f64 = 0.95;
const GOAL_OBS_S: f64 = 1.3;
const GOAL_FIRST_HLS_MS: f64 = 290.0;
const GOAL_FIRST_DASH_MS: f64 = 206.0;

fn main() {
    let missing = ["node", "ffmpeg", "chromium"]
        .into_iter()
        .any(common::missing);
    if missing {
        return;
    }
    if !harness().join("dist").is_dir() {
        println!("skipped: the players are not built (make players)");
        return;
    }
    println!(
        "\n== players: glass to glass and time to first frame, ladder off, {SIZE} at 30 fps\n"
    );
    let mut table = Table::new(&[
        "measure",
        "player",
        "key interval",
        "figure",
        "p95",
        "goal",
        "",
        "stalls",
        "machine load",
    ]);
    let mut row = |measure: &str,
                   player: &str,
                   gop: &str,
                   figures: [f64; 2],
                   goal: f64,
                   unit: &str,
                   stalls: f64| {
        table.row(vec![
            measure.to_owned(),
            player.to_owned(),
            gop.to_owned(),
            format!("{:.2} {unit}", figures[0]),
            format!("{:.2}", figures[1]),
            format!("{goal} {unit}"),
            verdict(figures[0] <= goal),
            format!("{stalls}"),
            usage::load_average(),
        ]);
    };
    {
        let show = Show::start(60);
        let look = show.play("hls", "index.m3u8", LOOK);
        let glass = look.spread("glassToGlassMs").map(|ms| ms / 1000.0);
        row(
            "glass to glass",
            "hls.js",
            "2 s",
            glass,
            GOAL_GLASS_S,
            "s",
            look.stalls(),
        );
        let look = show.play("dash", "ll.mpd", LOOK);
        let glass = look.spread("glassToGlassMs").map(|ms| ms / 1000.0);
        row(
            "glass to glass",
            "dash.js",
            "2 s",
            glass,
            GOAL_GLASS_S,
            "s",
            look.stalls(),
        );
        for (player, manifest, goal) in [
            ("hls", "index.m3u8", GOAL_FIRST_HLS_MS),
            ("dash", "ll.mpd", GOAL_FIRST_DASH_MS),
        ] {
            let looks = (0..STARTS).map(|_| show.play(player, manifest, 2));
            let mut first: Vec<f64> = looks.map(|look| look.number("firstFrameMs")).collect();
            let middle = median(&mut first);
            let worst = first.last().copied().unwrap_or(f64::NAN);
            let name = format!("{player}.js");
            row(
                "time to first frame",
                &name,
                "2 s",
                [middle, worst],
                goal,
                "ms",
                0.0,
            );
        }
    }
    let show = Show::start(250);
    let look = show.play("hls", "index.m3u8", LOOK);
    let latency = look.spread("latencyMs").map(|ms| ms / 1000.0);
    row(
        "latency, as hls.js says",
        "hls.js",
        "8.33 s",
        latency,
        GOAL_OBS_S,
        "s",
        look.stalls(),
    );
    let glass = look.spread("glassToGlassMs").map(|ms| ms / 1000.0);
    row(
        "glass to glass",
        "hls.js",
        "8.33 s",
        glass,
        GOAL_OBS_S,
        "s",
        look.stalls(),
    );
    table.print();
}

fn harness() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/players")
}

/// A picture with a clock, on the air.
struct Show {
    server: Forebay,
    stream: String,
    children: Vec<Child>,
}

impl Show {
    fn start(gop: u32) -> Show {
        let server = Forebay::start(1, &[("FOREBAY_LADDER", "off")]);
        let mut picture = Command::new("node")
            .arg(harness().join("source.mjs"))
            .args(["--size", SIZE, "--fps", "30", "--clock"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node is installed");
        let frames = picture.stdout.take().expect("piped");
        let encoder = Command::new("ffmpeg")
            .args("-v error -fflags nobuffer -f rawvideo -pix_fmt yuv420p -r 30 -s".split(' '))
            .args([
                SIZE,
                "-i",
                "-",
                "-f",
                "lavfi",
                "-re",
                "-i",
                "sine=frequency=440:sample_rate=48000",
            ])
            .args(
                "-c:v libx264 -preset ultrafast -tune zerolatency -b:v 1500k -sc_threshold 0"
                    .split(' '),
            )
            .args(["-g", &gop.to_string(), "-keyint_min", &gop.to_string()])
            .args("-c:a aac -b:a 128k -ac 2 -flush_packets 1 -f flv".split(' '))
            .arg(format!("rtmp://{}/live/{KEY_PREFIX}0", server.rtmp))
            .stdin(Stdio::from(frames))
            .stderr(Stdio::null())
            .spawn()
            .expect("ffmpeg is installed");
        let children = vec![picture, encoder];
        let stream = server.stream(0);
        // Some seconds of window, as a viewer of a running stream meets it.
        let path = format!("{stream}/source/index.m3u8");
        until("ten seconds of media", || {
            let text = http::get(server.http, &path).ok()?.text();
            let lengths = text
                .lines()
                .filter_map(|line| line.strip_prefix("#EXTINF:"));
            let seconds = lengths.filter_map(|line| line.trim_end_matches(',').parse::<f64>().ok());
            (seconds.sum::<f64>() >= 8.0).then_some(())
        });
        Show {
            server,
            stream,
            children,
        }
    }

    fn play(&self, player: &str, manifest: &str, seconds: u32) -> Look {
        let folder = match player {
            "dash" => self.stream.replacen("/hls/", "/dash/", 1),
            _ => self.stream.clone(),
        };
        let width = SIZE.split('x').next().unwrap_or_default();
        let output = Command::new("node")
            .arg(harness().join("play.mjs"))
            .args(["--player", player, "--seconds", &seconds.to_string()])
            .args(["--source-width", width, "--viewport", SIZE])
            .args([
                "--url",
                &format!("http://{}{folder}/{manifest}", self.server.http),
            ])
            .stdin(Stdio::null())
            .output()
            .expect("node is installed");
        Look(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a player saw: one JSON object.
struct Look(String);

impl Look {
    /// The number behind a name, at its first place.
    fn number(&self, name: &str) -> f64 {
        number(&self.0, name)
    }

    /// Median and 95th percentile of a list.
    fn spread(&self, name: &str) -> [f64; 2] {
        let at = self.0.split_once(&format!("\"{name}\":{{"));
        let text = at.map_or("", |(_, rest)| rest);
        [number(text, "median"), number(text, "p95")]
    }

    fn stalls(&self) -> f64 {
        let at = self.0.split_once("\"stalls\":{");
        at.map_or(f64::NAN, |(_, rest)| number(rest, "count"))
    }
}

fn number(text: &str, name: &str) -> f64 {
    let rest = text
        .split_once(&format!("\"{name}\":"))
        .map_or("", |(_, rest)| rest);
    let end = rest.find([',', '}']).unwrap_or(rest.len());
    rest[..end].parse().unwrap_or(f64::NAN)
}
