//! What does a published stream cost, beside nginx-rtmp?
//!
//! 1, 10, 50 and 100 publishers of 720p30 at 2.5 Mb/s with a 2 s GOP, sent as OBS sends them (chunks of
//! 4096 bytes). Forebay, ladder off, packages each for HLS, LL-HLS, DASH and LL-DASH; nginx-rtmp writes
//! TS files of 2 s into memory. The two take turns; the better of a server's rounds counts for it, since
//! noise of other processes only ever adds. Numbers on the command line replace 1, 10, 50 and 100.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, waits and reads clocks; it uses a part of what is shared"
)]

mod common;

use std::time::{Duration, Instant};

use common::load::{Load, Outcome};
use common::server::{Forebay, KEY_PREFIX, NginxRtmp};
use common::table::{Table, verdict};
use common::usage;

/// Time between the last publisher's start and the window.
const SETTLE: Duration = Duration::from_secs(4);
const WINDOW: Duration = Duration::from_secs(12);
/// A playlist that is older than this has fallen behind.
const FRESH: Duration = Duration::from_secs(5);
const ROUNDS: usize = 2;

const GOAL_RATIO: f64 = 1.0;
const GOAL_MB: f64 = 0.5;

struct Measured {
    /// Percent of one core.
    cpu: f64,
    idle_mb: f64,
    rss_mb: f64,
    /// Media held in memory.
    retained_mb: f64,
    fresh: usize,
    outcome: Outcome,
}

fn main() {
    if common::load::was_asked_for() || common::missing("nginx") || common::missing("ffmpeg") {
        return;
    }
    println!(
        "\n== ingest: RTMP to HLS + LL-HLS + DASH, passthrough, beside nginx-rtmp (HLS files only)"
    );
    println!("720p30, 2.5 Mb/s, 2 s GOP; windows of {WINDOW:?}, {ROUNDS} rounds in turns\n");
    let mut table = Table::new(&[
        "streams",
        "server",
        "CPU % of a core",
        "per stream",
        "ratio",
        "goal",
        "idle MB",
        "RSS MB",
        "media MB",
        "MB per stream beyond",
        "goal",
        "keep up",
        "stalls",
        "load sent late p99",
        "machine load",
    ]);
    for count in common::numbers(&[1, 10, 50, 100]) {
        let (mut peer, mut own) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            peer.push(nginx(count));
            own.push(forebay(count));
        }
        let best = |rounds: Vec<Measured>| {
            let best = rounds.into_iter().min_by(|a, b| a.cpu.total_cmp(&b.cpu));
            best.expect("there was a round")
        };
        let (peer, own) = (best(peer), best(own));
        let streams = count as f64;
        let ratio = own.cpu / peer.cpu;
        for (name, measured) in [("nginx-rtmp", &peer), ("forebay", &own)] {
            let ours = name == "forebay";
            let beyond = (measured.rss_mb - measured.idle_mb - measured.retained_mb) / streams;
            let Outcome {
                lost,
                stalls,
                late_p99_ms,
            } = measured.outcome;
            table.row(vec![
                count.to_string(),
                name.to_owned(),
                format!("{:.2}", measured.cpu),
                format!("{:.3}", measured.cpu / streams),
                if ours {
                    format!("{ratio:.2}")
                } else {
                    String::new()
                },
                if ours {
                    verdict(ratio <= GOAL_RATIO)
                } else {
                    String::new()
                },
                format!("{:.1}", measured.idle_mb),
                format!("{:.1}", measured.rss_mb),
                format!("{:.1}", measured.retained_mb),
                format!("{beyond:.2}"),
                if ours {
                    verdict(beyond <= GOAL_MB)
                } else {
                    String::new()
                },
                format!("{}/{count}, {lost} lost", measured.fresh),
                stalls.to_string(),
                format!("{late_p99_ms:.0} ms"),
                usage::load_average(),
            ]);
        }
    }
    table.print();
}

fn nginx(count: usize) -> Measured {
    let server = NginxRtmp::start();
    let idle_mb = usage::rss_mb(server.pid());
    let load = Load::start(server.rtmp, "live", "stream", count);
    let cpu = window(server.pid());
    Measured {
        cpu,
        idle_mb,
        rss_mb: usage::rss_mb(server.pid()),
        retained_mb: 0.0,
        fresh: server.fresh(FRESH),
        outcome: load.stop(),
    }
}

fn forebay(count: usize) -> Measured {
    let server = Forebay::start(count, &[("FOREBAY_LADDER", "off")]);
    let idle_mb = usage::rss_mb(server.pid());
    let load = Load::start(server.rtmp, "live", KEY_PREFIX, count);
    let cpu = window(server.pid());
    let rss_mb = usage::rss_mb(server.pid());
    let retained_mb = server.metric("forebay_retained_bytes") / 1e6;
    Measured {
        cpu,
        idle_mb,
        rss_mb,
        retained_mb,
        fresh: server.fresh(count, FRESH),
        outcome: load.stop(),
    }
}

/// Percent of a core over the window.
fn window(pid: u32) -> f64 {
    std::thread::sleep(SETTLE);
    let (begin, before) = (Instant::now(), usage::cpu_seconds(pid));
    std::thread::sleep(WINDOW);
    let used = usage::cpu_seconds(pid) - before;
    used / begin.elapsed().as_secs_f64() * 100.0
}
