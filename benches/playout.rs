//! What do scheduled loops cost?
//!
//! A stage with a thousand looping shows behind the gateway's HTTP server, in a process of its own (this
//! program, started again): its memory for each show and its CPU while nobody watches, and how soon a first
//! viewer of any of them has his playlist. Then one of them is watched, as plain HLS and as low-latency HLS,
//! beside `ffmpeg -stream_loop -1 -re -c copy -f hls` of the same film: CPU of the server alone.
//!
//! Last a film of 720p is prepared, as the gateway has it done: how many of its seconds in one second.
//!
//! On the command line: shows. `FOREBAY_BENCH_SECONDS` (30) sets how long each is looked at.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, waits and reads clocks; it uses a part of what is shared"
)]

mod common;
#[path = "common/film.rs"]
mod film;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::server::Process;
use common::table::{Table, verdict};
use common::{Scratch, free_port, http, median, usage};
use film::{Film, ffmpeg, words};
use forebay::base::clock::{Clock, Wall};
use forebay::base::id::Uuid;
use forebay::base::shutdown::Tasks;
use forebay::hub::gate::Pending;
use forebay::media::timeline::{Rules, Timeline};
use forebay::origin::{self, Open, Origin, Streams};
use forebay::playout::schedule::{Plan, cuts_for};
use forebay::playout::{After, Config, Show, Stage};

/// Set for the process that serves: folder, address, shows.
const SERVE: &str = "FOREBAY_BENCH_SERVE";
const SEGMENT: Duration = Duration::from_secs(2);
const ASSET: Uuid = Uuid::from_u128(1);
/// The goals.
const GOAL_KB: f64 = 20.0;
const GOAL_IDLE_CORE: f64 = 1.0;
const GOAL_FIRST_MS: f64 = 50.0;
/// Faster than real time, on two cores.
const GOAL_SPEED: f64 = 1.0;
/// Length of the film that is prepared.
const PREPARED_SECONDS: u32 = 60;
/// First viewers that are timed.
const FIRST: usize = 50;

fn main() {
    if let Ok(what) = std::env::var(SERVE) {
        return serve(&what);
    }
    if common::missing("ffmpeg") {
        return;
    }
    let shows = common::numbers(&[1000])[0];
    let seconds = std::env::var("FOREBAY_BENCH_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(30);
    let lasts = Duration::from_secs(seconds);
    println!("\n== playout: {shows} looping shows, and one that is watched");
    println!("load {}\n", usage::load_average());
    let scratch = Scratch::new("playout");
    let film = Film {
        fps: 30,
        frames: 219,
        size: "1280x720",
        kbps: 3000,
        unrolled: 16,
    };
    film.lay_down(&scratch.path().join(ASSET.to_string()));
    let file = scratch.path().join("film.mp4");
    as_file(&film, &file);

    let none = Server::start(scratch.path(), 0);
    std::thread::sleep(Duration::from_secs(3));
    let empty_mb = usage::rss_mb(none.process.pid());
    drop(none);
    let server = Server::start(scratch.path(), shows);
    std::thread::sleep(Duration::from_secs(3));
    let idle = cpu_of(server.process.pid(), lasts, || std::thread::sleep(lasts));
    let each = (usage::rss_mb(server.process.pid()) - empty_mb) * 1000.0 / shows.max(1) as f64;
    let mut firsts: Vec<f64> = (0..FIRST.min(shows))
        .map(|show| server.first_viewer(show))
        .collect();
    let worst = firsts.iter().copied().fold(0.0, f64::max);
    let mut table = Table::new(&["measure", "figure", "goal", ""]);
    let mut row = |measure: &str, figure: f64, unit: &str, goal: f64| {
        table.row(vec![
            measure.to_owned(),
            format!("{figure:.2} {unit}"),
            format!("{goal} {unit}"),
            verdict(figure < goal),
        ]);
    };
    row("memory for each idle show", each, "KB", GOAL_KB);
    row("CPU of all idle shows", idle, "% of a core", GOAL_IDLE_CORE);
    row(
        "first playlist, median",
        median(&mut firsts),
        "ms",
        GOAL_FIRST_MS,
    );
    row("first playlist, worst", worst, "ms", GOAL_FIRST_MS);
    table.print();
    drop(server);

    let mut table = Table::new(&["server", "viewer", "CPU, % of a core"]);
    let peer = peer(&file, &scratch.path().join("peer"), lasts);
    let mut figures = Vec::new();
    for (viewer, watch) in [
        ("HLS", plain as fn(&Server, Duration)),
        ("low-latency HLS", low_latency),
    ] {
        let server = Server::start(scratch.path(), 1);
        server.first_viewer(0);
        let cpu = cpu_of(server.process.pid(), lasts, || watch(&server, lasts));
        table.row(vec![
            "forebay".to_owned(),
            viewer.to_owned(),
            format!("{cpu:.2}"),
        ]);
        figures.push(cpu);
    }
    table.row(vec![
        "ffmpeg -c copy -f hls".to_owned(),
        "nobody".to_owned(),
        format!("{peer:.2}"),
    ]);
    table.print();
    println!("ratio of ffmpeg to forebay: {:.2}\n", peer / figures[0]);

    let (speed, cpu) = preparation(&scratch.path().join("prepared"));
    let mut table = Table::new(&["measure", "figure", "goal", ""]);
    table.row(vec![
        "720p prepared, of real time".to_owned(),
        format!("{speed:.2}"),
        format!("{GOAL_SPEED}"),
        verdict(speed > GOAL_SPEED),
    ]);
    table.row(vec![
        "CPU for a second of it".to_owned(),
        format!("{cpu:.2} s"),
        String::new(),
        String::new(),
    ]);
    table.print();
}

/// Percent of a core that a process takes meanwhile.
fn cpu_of(pid: u32, lasts: Duration, act: impl FnOnce()) -> f64 {
    let before = usage::cpu_seconds(pid);
    act();
    100.0 * (usage::cpu_seconds(pid) - before) / lasts.as_secs_f64()
}

/// The same in one file.
fn as_file(film: &Film, to: &Path) {
    let mut arguments = film.video_arguments();
    // Behind the input that the pictures come of.
    arguments.splice(6..6, words(&format!("-f lavfi -i {}", film.tone(1))));
    arguments.extend(words(
        "-c:a aac -b:a 128k -shortest -movflags +faststart -y",
    ));
    arguments.push(to.display().to_string());
    ffmpeg(&arguments);
}

/// Seconds of a film that are prepared in a second, and CPU seconds for each of them.
fn preparation(folder: &Path) -> (f64, f64) {
    std::fs::create_dir_all(folder).expect("a folder");
    let line = format!(
        "-v error -f lavfi -i testsrc2=size=1280x720:rate=30,noise=alls=6:allf=t -f lavfi -i sine=r=44100 \
         -t {PREPARED_SECONDS} -c:v libx264 -preset veryfast -pix_fmt yuv420p -b:v 5000k -c:a aac -f mp4 \
         -y {}",
        folder.join("original").display()
    );
    ffmpeg(&words(&line));
    let (begin, before) = (Instant::now(), usage::waited_cpu_seconds());
    let status = Command::new(env!("CARGO_BIN_EXE_forebay"))
        .args(["prepare-film", "--title=Premiere"])
        .arg(folder)
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.expect("it starts").success());
    let took = begin.elapsed().as_secs_f64();
    let cpu = usage::waited_cpu_seconds() - before;
    let seconds = f64::from(PREPARED_SECONDS);
    (seconds / took, cpu / seconds)
}

fn peer(file: &Path, folder: &Path, lasts: Duration) -> f64 {
    std::fs::create_dir_all(folder).expect("a folder");
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-stream_loop", "-1", "-re", "-i"])
        .arg(file);
    command.args([
        "-c",
        "copy",
        "-f",
        "hls",
        "-hls_time",
        "2",
        "-hls_list_size",
        "30",
    ]);
    command.args(["-hls_flags", "delete_segments", "-hls_segment_type", "fmp4"]);
    command.arg(folder.join("index.m3u8")).current_dir(folder);
    let process = Process::start(&mut command, &[]);
    std::thread::sleep(Duration::from_secs(3));
    cpu_of(process.pid(), lasts, || std::thread::sleep(lasts))
}

struct Server {
    process: Process,
    address: SocketAddr,
}

impl Server {
    fn start(folder: &Path, shows: usize) -> Server {
        let address = free_port();
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.env(SERVE, format!("{}\n{address}\n{shows}", folder.display()));
        let process = Process::start(&mut command, &[address]);
        Server { process, address }
    }

    /// Milliseconds until a player that comes has both playlists.
    fn first_viewer(&self, show: usize) -> f64 {
        let mut client = http::Client::connect(self.address).expect("it listens");
        let stream = stream(show);
        let begin = Instant::now();
        for file in ["index.m3u8", "hd/index.m3u8"] {
            let answer = client
                .get(&format!("/hls/{stream}/{file}"))
                .expect("an answer");
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        begin.elapsed().as_secs_f64() * 1000.0
    }
}

/// A playlist every two seconds, and the newest segments.
fn plain(server: &Server, lasts: Duration) {
    let mut client = http::Client::connect(server.address).expect("it listens");
    let begin = Instant::now();
    let mut get = |path: &str| {
        let answer = client
            .get(&format!("/hls/{}/{path}", stream(0)))
            .expect("an answer");
        assert_eq!(answer.status, 200, "{path}");
        answer.text()
    };
    while begin.elapsed() < lasts {
        for name in ["hd", "audio"] {
            let text = get(&format!("{name}/index.m3u8"));
            let newest = text
                .lines()
                .rfind(|line| line.ends_with(".m4s") && !line.starts_with('#'));
            get(&format!("{name}/{}", newest.expect("a segment")));
        }
        std::thread::sleep(SEGMENT);
    }
}

/// Each part of both renditions, as soon as it is there.
fn low_latency(server: &Server, lasts: Duration) {
    let watch = |name: &'static str| {
        let mut client = http::Client::connect(server.address).expect("it listens");
        let begin = Instant::now();
        let base = format!("/hls/{}/{name}", stream(0));
        let mut hint = String::new();
        while begin.elapsed() < lasts {
            if !hint.is_empty() {
                let answer = client.get(&format!("{base}/{hint}")).expect("an answer");
                assert_eq!(answer.status, 200, "{hint}");
            }
            let text = client
                .get(&format!("{base}/index.m3u8"))
                .expect("an answer")
                .text();
            let line = text
                .lines()
                .find(|line| line.starts_with("#EXT-X-PRELOAD-HINT"));
            let uri = line.and_then(|line| line.split('"').nth(1));
            uri.expect("a hint").clone_into(&mut hint);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| watch("hd"));
        scope.spawn(|| watch("audio"));
    });
}

fn stream(show: usize) -> Uuid {
    Uuid::from_u128(1000 + show as u128)
}

struct Shows(Stage);

impl Streams for Shows {
    fn timeline(&self, id: Uuid) -> Option<Arc<dyn Timeline>> {
        self.0.timeline(id)
    }

    fn find<'a>(&'a self, _name: &'a str) -> Pending<'a, Option<Uuid>> {
        Box::pin(std::future::ready(None))
    }

    fn ids(&self) -> Vec<Uuid> {
        self.0.ids()
    }

    fn thumbnail(&self, _id: Uuid) -> Option<Bytes> {
        None
    }
}

/// The process that is measured.
fn serve(what: &str) {
    let mut words = what.split('\n');
    let mut word = || words.next().expect("three lines");
    let (folder, address, shows) = (word().into(), word().to_owned(), word().to_owned());
    let shows: usize = shows.parse().expect("a number");
    let clock = Clock::system();
    let now = clock.wall();
    // Each began at another second, hours ago.
    let rules = Rules {
        epoch: now,
        target_duration_s: 3,
        part_target: Duration::from_micros(213_400),
        part_hold_back: Duration::from_micros(940_200),
        hold_back: Duration::from_secs(9),
        can_skip_until: Duration::from_secs(18),
        segment_target: SEGMENT,
        window: Duration::from_secs(60),
        independent_segments: true,
    };
    let stage = Stage::new(Config { folder, rules }, clock.clone());
    for show in 0..shows {
        let ago = 3600 + i64::try_from(show).expect("small");
        let epoch = Wall((now.unix_seconds() - ago) * 1_000_000);
        let plan = Plan {
            starts: epoch,
            ends: None,
            before: false,
        };
        stage.put(Show {
            stream: stream(show),
            asset: ASSET,
            epoch,
            looping: true,
            after: After::End,
            cuts: cuts_for(epoch, &plan, SEGMENT).into(),
        });
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // CPU is summed over living threads.
        .thread_keep_alive(Duration::from_secs(3600))
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .expect("the port is free");
        let config = origin::Config::default();
        let streams = Arc::new(Shows(stage));
        let origin = Origin::new(config, streams, clock, Arc::new(Open), axum::Router::new());
        let tasks = Tasks::new();
        tasks.spawn(origin::conformance::run(origin.clone(), tasks.clone()));
        origin::server::run(listener, None, origin, tasks).await;
    });
}
