//! What does it cost to hand out a live playlist and a segment, beside nginx serving files?
//!
//! One publisher of 2.5 Mb/s is on the air. `wrk` (one thread, 64 kept connections) asks for the live
//! media playlist, then for a whole segment of 600 KB; nginx serves files of the same bytes with the same
//! headers by sendfile. One worker each. The figure is answers per second of the server's CPU time, since
//! on a small machine wrk itself is the limit of answers per second. Servers take turns; the better round
//! of each counts.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, waits and reads clocks; it uses a part of what is shared"
)]

mod common;

use std::net::SocketAddr;
use std::process::Command;

use common::load::Load;
use common::server::{Forebay, KEY_PREFIX, NginxFiles, until};
use common::table::{Table, verdict};
use common::{http, usage};

const SECONDS: u32 = 6;
const ROUNDS: usize = 3;

/// Of nginx's answers per CPU second.
const GOAL_PLAYLIST: f64 = 0.8;
/// Of nginx's; and multimux, measured once beside an nginx of 34 Gbit per CPU second, has 44.
const GOAL_SEGMENT: f64 = 44.0 / 34.0;

struct Measured {
    per_second: f64,
    cpu_cores: f64,
    per_cpu_second: f64,
    failed: u64,
}

fn main() {
    let missing = ["wrk", "nginx", "ffmpeg"].into_iter().any(common::missing);
    if common::load::was_asked_for() || missing {
        return;
    }
    println!(
        "\n== delivery: live playlist and segment over kept connections, beside nginx serving files"
    );
    println!("wrk -t1 -c64 -d{SECONDS}s, one worker each, {ROUNDS} rounds in turns\n");
    let server = Forebay::start(
        1,
        &[("FOREBAY_LADDER", "off"), ("TOKIO_WORKER_THREADS", "1")],
    );
    let _load = Load::start(server.rtmp, "live", KEY_PREFIX, 1);
    let stream = server.stream(0);
    let playlist = format!("{stream}/source/index.m3u8");
    // A window of some length, so that the playlist is one of a stream that has been running.
    let segment = until("six segments", || {
        let text = http::get(server.http, &playlist).ok()?.text();
        let segments: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .collect();
        let newest = segments.get(5..)?.last()?;
        Some(format!("{stream}/source/{newest}"))
    });
    let playlist_answer = http::get(server.http, &playlist).expect("the playlist is served");
    let segment_answer = http::get(server.http, &segment).expect("the segment is served");
    let headers = |answer: &http::Answer| answer.headers.clone();
    let peer = NginxFiles::start(&[
        ("playlist", &playlist_answer.body, headers(&playlist_answer)),
        ("segment", &segment_answer.body, headers(&segment_answer)),
    ]);
    let mut table = Table::new(&[
        "what",
        "server",
        "bytes",
        "per second",
        "server CPU",
        "per CPU second",
        "Gbit per CPU second",
        "ratio",
        "goal",
        "not 2xx",
        "machine load",
    ]);
    let pairs = [
        (
            "playlist",
            playlist.as_str(),
            "/playlist",
            playlist_answer.body.len(),
            GOAL_PLAYLIST,
        ),
        (
            "segment",
            segment.as_str(),
            "/segment",
            segment_answer.body.len(),
            GOAL_SEGMENT,
        ),
    ];
    for (what, own_path, peer_path, bytes, goal) in pairs {
        let (mut peers, mut owns) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            peers.push(measure(peer.pid(), peer.http, peer_path));
            owns.push(measure(server.pid(), server.http, own_path));
        }
        let best = |rounds: Vec<Measured>| {
            let best = rounds
                .into_iter()
                .max_by(|a, b| a.per_cpu_second.total_cmp(&b.per_cpu_second));
            best.expect("there was a round")
        };
        let (peers, owns) = (best(peers), best(owns));
        let ratio = owns.per_cpu_second / peers.per_cpu_second;
        for (name, measured) in [("nginx", &peers), ("forebay", &owns)] {
            let ours = name == "forebay";
            table.row(vec![
                what.to_owned(),
                name.to_owned(),
                bytes.to_string(),
                format!("{:.0}", measured.per_second),
                format!("{:.2}", measured.cpu_cores),
                format!("{:.0}", measured.per_cpu_second),
                format!("{:.1}", measured.per_cpu_second * bytes as f64 * 8.0 / 1e9),
                if ours {
                    format!("{ratio:.2}")
                } else {
                    String::new()
                },
                if ours {
                    format!("{goal:.2} {}", verdict(ratio >= goal))
                } else {
                    String::new()
                },
                measured.failed.to_string(),
                usage::load_average(),
            ]);
        }
    }
    table.print();
}

fn measure(pid: u32, address: SocketAddr, path: &str) -> Measured {
    let before = usage::cpu_seconds(pid);
    let output = Command::new("wrk")
        .args([
            "-t1",
            "-c64",
            &format!("-d{SECONDS}s"),
            &format!("http://{address}{path}"),
        ])
        .output()
        .expect("wrk runs");
    let cpu = usage::cpu_seconds(pid) - before;
    let text = String::from_utf8_lossy(&output.stdout);
    // "  401234 requests in 6.10s, 1.20GB read"
    let line = text.lines().find(|line| line.contains(" requests in "));
    let mut words = line.unwrap_or_default().split_whitespace();
    let requests: f64 = words
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(f64::NAN);
    let seconds = words
        .nth(2)
        .and_then(|word| word.trim_end_matches("s,").parse::<f64>().ok());
    let failed = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Non-2xx or 3xx responses:"));
    let seconds = seconds.unwrap_or(f64::from(SECONDS));
    Measured {
        per_second: requests / seconds,
        cpu_cores: cpu / seconds,
        per_cpu_second: requests / cpu,
        failed: failed
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or(0),
    }
}
