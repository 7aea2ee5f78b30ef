//! What does a stream cost that is in a LiveKit room beside the same stream that is in none?
//!
//! 720p30 of 2.5 Mb/s without B-frames goes into the room as it is, with its sound as Opus from a worker; with
//! a ladder, three rungs do. The LiveKit server is that of the tests, in this process: only the gateway and its
//! workers are counted. Goal: less than 5 % of a core a channel; LiveKit's own Ingress plans with 2 cores for
//! each RTMP stream (its documentation; it cannot be installed from a package).
#![allow(
    dead_code,
    deprecated,
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench prints, waits and reads clocks; it uses a part of what is shared"
)]

mod common;
#[path = "../tests/common/livekit/mod.rs"]
mod livekit;

use std::path::Path;
use std::time::{Duration, Instant};

use livekit::LivekitServer;

use common::clip::{self, LIVE_SECONDS};
use common::load::{self, Load};
use common::server::{Forebay, KEY_PREFIX, until};
use common::table::{Table, verdict};
use common::{median, usage};

/// Time in which a stream begins, and its ladder and its room with it.
const SKIPPED: Duration = Duration::from_secs(6);
/// Time that is counted.
const WINDOW: Duration = Duration::from_secs(16);
/// Turns of each; the middle one counts.
const ROUNDS: usize = 3;
/// Share of a core.
const GOAL: f64 = 0.05;
/// What LiveKit's Ingress plans with for an RTMP stream.
const INGRESS_CORES: f64 = 2.0;

fn main() {
    if load::was_asked_for() || common::missing("ffmpeg") {
        return;
    }
    println!("\n== rooms: a stream in a LiveKit room beside one that is in none");
    println!("720p30 of 2.5 Mb/s, windows of {WINDOW:?}, {ROUNDS} rounds in turns\n");
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let _inside = runtime.enter();
    let livekit = LivekitServer::start();
    let source = clip::made(
        "rooms-720p30-2500k.flv",
        &format!(
            "-f lavfi -i testsrc2=size=1280x720:rate=30:duration={LIVE_SECONDS} \
             -f lavfi -i sine=frequency=440:sample_rate=48000:duration={LIVE_SECONDS} \
             -vf noise=alls=14:allf=t -pix_fmt yuv420p -c:v libx264 -preset veryfast -bf 0 \
             -b:v 2370k -minrate 2370k -maxrate 2370k -bufsize 2370k -x264-params nal-hrd=cbr \
             -g 60 -keyint_min 60 -sc_threshold 0 -c:a aac -b:a 128k -ac 2 -flvflags no_duration_filesize"
        ),
    );
    let mut table = Table::new(&[
        "ladder",
        "alone, % of a core",
        "in a room, %",
        "the room, %",
        "goal, %",
        "",
        "share of Ingress's plan",
        "machine load",
    ]);
    for ladder in ["off", "auto"] {
        let (mut alone, mut roomed, mut more) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let without = measured(&source, ladder, "off", &livekit);
            let with = measured(&source, ladder, "all", &livekit);
            alone.push(without);
            roomed.push(with);
            more.push(with - without);
        }
        let cost = median(&mut more);
        table.row(vec![
            ladder.to_owned(),
            format!("{:.2}", median(&mut alone) * 100.0),
            format!("{:.2}", median(&mut roomed) * 100.0),
            format!("{:.2}", cost * 100.0),
            format!("{:.0}", GOAL * 100.0),
            verdict(cost < GOAL),
            format!("{:.4}", cost / INGRESS_CORES),
            usage::load_average(),
        ]);
    }
    table.print();
}

/// Share of a core that a gateway takes for the stream, its workers with it.
fn measured(source: &Path, ladder: &str, forward: &str, livekit: &LivekitServer) -> f64 {
    let url = livekit.url();
    let settings = [
        ("FOREBAY_LADDER", ladder),
        ("FOREBAY_LIVEKIT_FORWARD", forward),
        ("LIVEKIT_URL", url.as_str()),
        ("LIVEKIT_API_KEY", livekit::KEY),
        ("LIVEKIT_API_SECRET", livekit::SECRET),
    ];
    let server = Forebay::start(1, &settings);
    let begin = Instant::now();
    let clip = (source.to_owned(), LIVE_SECONDS);
    let _load = Load::of_clip(server.rtmp, "live", KEY_PREFIX, 1, clip);
    let stream = server.stream(0);
    let room = stream.rsplit('/').next().expect("a path has a last part");
    let is_there = || {
        let tracks = livekit.tracks(room, "forebay");
        (tracks.len() == 2 && tracks.iter().all(|track| !track.layers.is_empty())).then_some(())
    };
    if forward != "off" {
        until("media in the room", is_there);
    }
    std::thread::sleep((begin + SKIPPED).saturating_duration_since(Instant::now()));
    let (from, before) = (Instant::now(), usage::tree_cpu_seconds(server.pid()));
    std::thread::sleep(WINDOW);
    (usage::tree_cpu_seconds(server.pid()) - before) / from.elapsed().as_secs_f64()
}
