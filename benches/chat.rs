//! How soon does a message of a chat reach all who listen, and what do those cost who only listen?
//!
//! The gateway with SQLite on a folder in memory, its ladder off, nothing on air: one broadcast with 5,000
//! sockets in its chat. One of them sends a message of 200 characters, which is kept and told to all; the time
//! ends when the last of them has read it. Beside it a server of Node.js with the package `ws` that only hands on
//! what it gets. All sockets are read by one thread of this process, on the same machine, so that the figure
//! holds its work as well; CPU is that of all threads of the server alone. Then 10,000 sockets listen to nothing:
//! how far the server's resident memory grows for each, and what share of a core they take (pings).
//!
//! On the command line: sockets that are told, sockets that are idle. `FOREBAY_BENCH_SECONDS` (30) sets how long
//! the idle ones are looked at.
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
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::server::{Forebay, Process};
use common::socket::Socket;
use common::table::{Table, verdict};
use common::{free_port, median, tenant, usage};
use tokio::sync::Notify;
use tokio::task::JoinSet;

const ADMIN_KEY: &str = "BenchAdmin0123456789";
/// Messages that are timed. A client may send two in a second.
const ROUNDS: usize = 10;
const PAUSE: Duration = Duration::from_millis(600);
/// Characters of a message.
const MESSAGE: usize = 200;
/// The goal for 5,000 sockets.
const GOAL_MS: f64 = 250.0;
/// Handshakes at a time: no more than the backlog of a listener.
const AT_ONCE: usize = 64;
/// No message takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server of chats; ended with the value.
struct Server {
    name: &'static str,
    pid: u32,
    address: SocketAddr,
    /// Of the handshake.
    path: String,
    /// What the sender's handshake has behind it.
    credential: String,
    _running: Running,
}

enum Running {
    Ours { _gateway: Forebay },
    Peer { _process: Process },
}

/// How many have heard the message of this round, and when the first and the last did.
#[derive(Default)]
struct Heard {
    count: AtomicUsize,
    times: Mutex<Option<(Instant, Instant)>>,
    all: Notify,
}

fn main() {
    let numbers = common::numbers(&[5000, 10_000]);
    let told = numbers[0];
    let idle = numbers.get(1).copied().unwrap_or(2 * told);
    let seconds = std::env::var("FOREBAY_BENCH_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(30);
    println!("\n== chat: one message to {told} sockets, and {idle} that listen to nothing");
    println!("load {}\n", usage::load_average());
    rlimit::increase_nofile_limit(u64::MAX).expect("the limit of open files can be raised");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");

    let mut table = Table::new(&[
        "server",
        "sockets",
        "connects in s",
        "first ms",
        "last ms, median",
        "last ms, worst",
        "server CPU ms",
        "goal",
    ]);
    let mut medians = Vec::new();
    for server in start() {
        let (row, median) = runtime.block_on(fan_out(&server, told));
        table.row(row);
        medians.push(median);
    }
    table.print();
    if let [ours, theirs] = medians[..] {
        println!("ratio of the medians: {:.2}\n", theirs / ours);
    }

    let mut table = Table::new(&[
        "server",
        "idle sockets",
        "memory before, MB",
        "after, MB",
        "KiB for each",
        "CPU, % of a core",
    ]);
    for server in start() {
        let lasts = Duration::from_secs(seconds);
        table.row(runtime.block_on(lie_idle(&server, idle, lasts)));
    }
    table.print();
}

/// Sockets in the room, each of which has shown that it is there.
async fn connect(server: &Server, count: usize) -> Vec<Socket> {
    let mut sockets = Vec::with_capacity(count);
    let mut opening = JoinSet::new();
    for _ in 0..count {
        if opening.len() >= AT_ONCE {
            let opened = opening.join_next().await.expect("there are some");
            sockets.push(opened.expect("no panic"));
        }
        opening.spawn(Socket::open(server.address, server.path.clone()));
    }
    sockets.extend(opening.join_all().await);
    sockets
}

async fn fan_out(server: &Server, count: usize) -> (Vec<String>, f64) {
    let begin = Instant::now();
    let listeners = connect(server, count).await;
    let connected = begin.elapsed();
    let path = format!("{}{}", server.path, server.credential);
    let mut sender = Socket::open(server.address, path).await;
    // The last ones may not have their seat yet.
    tokio::time::sleep(PAUSE).await;

    let heard = Arc::new(Heard::default());
    let mut reading = JoinSet::new();
    for mut socket in listeners {
        let heard = heard.clone();
        reading.spawn(async move {
            while let Some(()) = socket.hear().await {
                let now = Instant::now();
                let mut times = heard.times.lock().expect("nobody panics");
                *times = Some(times.map_or((now, now), |(first, _)| (first, now)));
                drop(times);
                if heard.count.fetch_add(1, Ordering::Relaxed) + 1 == count {
                    heard.all.notify_one();
                }
            }
        });
    }
    let (mut firsts, mut lasts, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        heard.count.store(0, Ordering::Relaxed);
        *heard.times.lock().expect("nobody panics") = None;
        let before = usage::cpu_seconds(server.pid);
        let sent = Instant::now();
        sender.say(&format!("{round:0MESSAGE$}")).await;
        let all = tokio::time::timeout(PATIENCE, heard.all.notified()).await;
        assert!(
            all.is_ok(),
            "{}: {} of {count} have heard it",
            server.name,
            heard.count.load(Ordering::Relaxed)
        );
        let times = *heard.times.lock().expect("nobody panics");
        let (first, last) = times.expect("all have heard it");
        let ms = |at: Instant| (at - sent).as_secs_f64() * 1000.0;
        firsts.push(ms(first));
        lasts.push(ms(last));
        // Its own copy, and what the server still has to do.
        let _ = sender.hear().await;
        tokio::time::sleep(PAUSE).await;
        cpu.push((usage::cpu_seconds(server.pid) - before) * 1000.0);
    }
    let last = median(&mut lasts);
    let row = vec![
        server.name.to_owned(),
        count.to_string(),
        format!("{:.2}", connected.as_secs_f64()),
        format!("{:.1}", median(&mut firsts)),
        format!("{last:.1}"),
        format!("{:.1}", lasts.last().copied().unwrap_or(f64::NAN)),
        format!("{:.1}", median(&mut cpu)),
        match server.name {
            "forebay" => verdict(last < GOAL_MS),
            _ => String::new(),
        },
    ];
    (row, last)
}

async fn lie_idle(server: &Server, count: usize, lasts: Duration) -> Vec<String> {
    // What was there before has left, and memory that it took is taken again.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = usage::rss_mb(server.pid);
    let sockets = connect(server, count).await;
    let mut reading = JoinSet::new();
    for mut socket in sockets {
        reading.spawn(async move { while let Some(()) = socket.hear().await {} });
    }
    tokio::time::sleep(PAUSE).await;
    let cpu = usage::cpu_seconds(server.pid);
    tokio::time::sleep(lasts).await;
    let cpu = usage::cpu_seconds(server.pid) - cpu;
    let after = usage::rss_mb(server.pid);
    assert!(reading.try_join_next().is_none(), "none was closed");
    vec![
        server.name.to_owned(),
        count.to_string(),
        format!("{before:.1}"),
        format!("{after:.1}"),
        format!("{:.1}", (after - before) * 1e6 / 1024.0 / count as f64),
        format!("{:.2}", 100.0 * cpu / lasts.as_secs_f64()),
    ]
}

/// All of them, fresh: memory that was taken before would not show again.
fn start() -> impl Iterator<Item = Server> {
    [ours, peer]
        .into_iter()
        .filter_map(|start: fn() -> _| start())
}

fn ours() -> Option<Server> {
    let settings = [
        ("FOREBAY_LADDER", "off"),
        ("FOREBAY_ADMIN_KEY", ADMIN_KEY),
        ("RUST_LOG", "warn"),
    ];
    let gateway = Forebay::start(0, &settings);
    let tenant = tenant::Tenant::register(gateway.http, ADMIN_KEY, 1);
    Some(Server {
        name: "forebay",
        pid: gateway.pid(),
        address: gateway.http,
        path: format!("/ws/streams/{}/chat", tenant.sessions[0]),
        credential: format!("?token={}", tenant.key),
        _running: Running::Ours { _gateway: gateway },
    })
}

/// `tests/players/fan_out.mjs`.
fn peer() -> Option<Server> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/players");
    if common::missing("node") {
        return None;
    }
    if !folder.join("node_modules/ws").is_dir() {
        println!("no peer: its package is not installed (make players)");
        return None;
    }
    let address = free_port();
    let mut command = Command::new("node");
    command
        .arg(folder.join("fan_out.mjs"))
        .arg(address.port().to_string());
    let process = Process::start(&mut command, &[address]);
    Some(Server {
        name: "ws (Node.js)",
        pid: process.pid(),
        address,
        path: "/".to_owned(),
        credential: String::new(),
        _running: Running::Peer { _process: process },
    })
}
