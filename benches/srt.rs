//! What does a stream cost that comes by SRT, beside what libsrt alone costs, and beside others?
//!
//! 1, 10 and 50 callers of 720p30 at 2.5 Mb/s with a 2 s GOP, latency 120 ms on both sides, all sent by one
//! ffmpeg. Forebay, ladder off, packages each for HLS, LL-HLS, DASH and LL-DASH. Beside it:
//! `srt-live-transmit` throwing the packets away (libsrt and nothing else), ffmpeg listening (both one
//! process for each stream, for neither takes two), and SRS where `SRS` names its binary; these two write
//! TS files of 2 s into memory. They take turns; the better of a server's rounds counts for it, since
//! noise of other processes only ever adds. Numbers on the command line replace 1, 10 and 50.
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

use common::server::{Forebay, KEY_PREFIX};
use common::srt::{Callers, Ffmpeg, LATENCY_MS, Peer, Srs, Transmit, until_bound};
use common::table::{Table, verdict};
use common::usage;

/// Time between the start of the callers and the window: all have connected, begun, and been listed.
const SETTLE: Duration = Duration::from_secs(7);
const WINDOW: Duration = Duration::from_secs(12);
/// A playlist that is older than this has fallen behind.
const FRESH: Duration = Duration::from_secs(5);
const ROUNDS: usize = 2;

/// Percent of a core for a stream among ten.
const GOAL_PERCENT: f64 = 0.95;
const GOAL_STREAMS: usize = 10;

const TRANSMIT: &str = "srt-live-transmit";
const FFMPEG: &str = "ffmpeg";
const SRS: &str = "SRS";
const FOREBAY: &str = "forebay";

struct Measured {
    /// Percent of one core.
    cpu: f64,
    sleeps: f64,
    threads: usize,
    idle_mb: f64,
    rss_mb: f64,
    /// Media held in memory.
    retained_mb: f64,
    fresh: usize,
    connected: bool,
}

fn main() {
    if ["srt-live-transmit", "ffmpeg"]
        .into_iter()
        .any(common::missing)
    {
        return;
    }
    println!(
        "\n== srt: SRT to HLS + LL-HLS + DASH, passthrough, beside libsrt alone and HLS files"
    );
    println!(
        "720p30, 2.5 Mb/s, 2 s GOP, latency {LATENCY_MS} ms; windows of {WINDOW:?}, {ROUNDS} rounds in turns"
    );
    let mut servers = vec![TRANSMIT, FFMPEG];
    match Srs::binary() {
        Some(_) => servers.push(SRS),
        None => println!("without SRS: no package has it, and SRS=path names no binary of it"),
    }
    servers.push(FOREBAY);
    println!();
    idle();
    let mut table = Table::new(&[
        "streams",
        "server",
        "CPU % of a core",
        "per stream",
        "goal",
        "forebay / it",
        "wake-ups per second and stream",
        "threads",
        "idle MB",
        "RSS MB",
        "media MB",
        "MB per stream beyond",
        "keep up",
        "machine load",
    ]);
    for count in common::numbers(&[1, GOAL_STREAMS, 50]) {
        let mut rounds: Vec<Vec<Measured>> = servers.iter().map(|_| Vec::new()).collect();
        for _ in 0..ROUNDS {
            for (name, rounds) in servers.iter().zip(&mut rounds) {
                rounds.push(measure(name, count));
            }
        }
        let best = |rounds: Vec<Measured>| {
            let best = rounds.into_iter().min_by(|a, b| a.cpu.total_cmp(&b.cpu));
            best.expect("there was a round")
        };
        let measured: Vec<Measured> = rounds.into_iter().map(best).collect();
        let own = measured.last().expect("forebay is the last").cpu;
        for (&name, one) in servers.iter().zip(&measured) {
            table.row(row(name, count, one, own));
        }
    }
    table.print();
}

fn row(name: &str, count: usize, one: &Measured, own: f64) -> Vec<String> {
    let streams = count as f64;
    let per_stream = one.cpu / streams;
    let beyond = (one.rss_mb - one.idle_mb - one.retained_mb) / streams;
    let goal = name == FOREBAY && count == GOAL_STREAMS;
    vec![
        count.to_string(),
        name.to_owned(),
        format!("{:.2}", one.cpu),
        format!("{per_stream:.3}"),
        if goal {
            format!("{GOAL_PERCENT} {}", verdict(per_stream <= GOAL_PERCENT))
        } else {
            String::new()
        },
        if name == FOREBAY {
            String::new()
        } else {
            format!("{:.2}", own / one.cpu)
        },
        format!("{:.0}", one.sleeps / streams),
        one.threads.to_string(),
        format!("{:.1}", one.idle_mb),
        format!("{:.1}", one.rss_mb),
        format!("{:.1}", one.retained_mb),
        format!("{beyond:.2}"),
        format!(
            "{}/{count}{}",
            one.fresh,
            if one.connected { "" } else { ", cut off" }
        ),
        usage::load_average(),
    ]
}

fn measure(name: &str, count: usize) -> Measured {
    match name {
        TRANSMIT => window(&Transmit::start(count), || 0.0),
        FFMPEG => window(&Ffmpeg::start(count), || 0.0),
        SRS => {
            let binary = Srs::binary().expect("a row is there for it");
            window(&Srs::start(&binary, count), || 0.0)
        }
        _ => {
            let server = Forebay::start(count, &[("FOREBAY_LADDER", "off")]);
            until_bound(server.srt);
            let own = Own { server, count };
            window(&own, || own.server.metric("forebay_retained_bytes") / 1e6)
        }
    }
}

struct Own {
    server: Forebay,
    count: usize,
}

impl Peer for Own {
    fn addresses(&self) -> Vec<String> {
        let srt = self.server.srt;
        let address = |index| format!("srt://{srt}?streamid={KEY_PREFIX}{index}");
        (0..self.count).map(address).collect()
    }

    fn pids(&self) -> Vec<u32> {
        vec![self.server.pid()]
    }

    fn fresh(&self, within: Duration) -> usize {
        self.server.fresh(self.count, within)
    }
}

fn window(server: &dyn Peer, retained_mb: impl Fn() -> f64) -> Measured {
    let sum = |of: fn(u32) -> f64| server.pids().into_iter().map(of).sum::<f64>();
    let idle_mb = sum(usage::rss_mb);
    let mut callers = Callers::start(&server.addresses());
    std::thread::sleep(SETTLE);
    let begin = Instant::now();
    let before = (sum(usage::cpu_seconds), sum(usage::sleeps));
    std::thread::sleep(WINDOW);
    let used = (
        sum(usage::cpu_seconds) - before.0,
        sum(usage::sleeps) - before.1,
    );
    let seconds = begin.elapsed().as_secs_f64();
    Measured {
        cpu: used.0 / seconds * 100.0,
        sleeps: used.1 / seconds,
        threads: server.pids().into_iter().map(usage::threads).sum(),
        idle_mb,
        rss_mb: sum(usage::rss_mb),
        retained_mb: retained_mb(),
        fresh: server.fresh(FRESH),
        connected: callers.all_connected(),
    }
}

/// What the listener costs while nobody calls.
fn idle() {
    let mut table = Table::new(&[
        "nobody calls",
        "CPU % of a core",
        "wake-ups per second",
        "threads",
        "RSS MB",
    ]);
    for (name, more) in [
        ("without SRT", &[("FOREBAY_SRT", "")][..]),
        ("with SRT", &[]),
    ] {
        let server = Forebay::start(1, more);
        if more.is_empty() {
            until_bound(server.srt);
        }
        let pid = server.pid();
        // What start-up leaves to be done.
        std::thread::sleep(Duration::from_secs(2));
        let begin = Instant::now();
        let before = (usage::cpu_seconds(pid), usage::sleeps(pid));
        std::thread::sleep(WINDOW);
        let seconds = begin.elapsed().as_secs_f64();
        let used = (
            usage::cpu_seconds(pid) - before.0,
            usage::sleeps(pid) - before.1,
        );
        table.row(vec![
            name.to_owned(),
            format!("{:.3}", used.0 / seconds * 100.0),
            format!("{:.1}", used.1 / seconds),
            usage::threads(pid).to_string(),
            format!("{:.1}", usage::rss_mb(pid)),
        ]);
    }
    table.print();
}
