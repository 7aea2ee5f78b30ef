//! How long is a part in the gateway before a player is told of it?
//!
//! This process publishes 720p30 at the pace of its clock and stamps each picture as it is sent; beside
//! it, it follows the live playlist by blocking reloads as LL-HLS players do. A part can be listed as soon
//! as its last unit is there (its end is known when the frame rate is), and must be once the first unit
//! after it is. Goal: 2 ms median, 20 ms 95th percentile after that unit; peers: MediaMTX and multimux
//! 1 ms after the last frame, nginx-rtmp 5 ms with whole segments of 2 s instead of parts (measured once).
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, waits and reads clocks; it uses a part of what is shared"
)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::clip::{self, LIVE_SECONDS};
use common::http::Client;
use common::rtmp::{Clip, Publisher};
use common::server::{Forebay, KEY_PREFIX};
use common::table::{Table, verdict};
use common::{quantile, usage};

/// Parts measured.
const PARTS: usize = 140;
const FRAMES_PER_SECOND: f64 = 30.0;
const GOAL_MEDIAN_MS: f64 = 2.0;
const GOAL_P95_MS: f64 = 20.0;

/// When the pictures were handed to the socket, in decode order.
type Sent = Arc<Mutex<Vec<Instant>>>;

fn main() {
    if common::missing("ffmpeg") {
        return;
    }
    println!("\n== latency: from a picture sent to its part listed (blocking reload)");
    println!("720p30 of 2.5 Mb/s, parts of 200 ms, ladder off, {PARTS} parts\n");
    let server = Forebay::start(1, &[("FOREBAY_LADDER", "off")]);
    let sent = Sent::default();
    let (address, stamps) = (server.rtmp, sent.clone());
    std::thread::spawn(move || publish(address, &stamps));
    let stream = server.stream(0);
    let path = format!("{stream}/source/index.m3u8");
    let mut client = Client::connect(server.http).expect("the server listens");
    let mut listed = Listed::default();
    let first = client.get(&path).expect("the playlist is served");
    listed.read(&first.text());
    let (mut after_last, mut after_next) = (Vec::new(), Vec::new());
    while after_next.len() < PARTS {
        let before = listed.parts;
        let (msn, part) = listed.next;
        let query = format!("{path}?_HLS_msn={msn}&_HLS_part={part}");
        let answer = client.get(&query).expect("the playlist is served");
        let now = Instant::now();
        assert_eq!(answer.status, 200, "{}", answer.text());
        listed.read(&answer.text());
        // Several at once: only the newest is certain to have been new.
        if listed.parts == before {
            continue;
        }
        let frames = (listed.end * FRAMES_PER_SECOND).round() as usize;
        let sent = sent.lock().expect("no panic");
        let Some(last) = frames.checked_sub(1).and_then(|index| sent.get(index)) else {
            continue;
        };
        after_last.push((now - *last).as_secs_f64() * 1000.0);
        // The next picture is not sent yet when the part was listed before it was needed.
        let lead = Duration::from_secs_f64(1.0 / FRAMES_PER_SECOND);
        let next = sent.get(frames).copied().unwrap_or(*last + lead);
        let wait = match now.checked_duration_since(next) {
            Some(late) => late.as_secs_f64(),
            None => -(next - now).as_secs_f64(),
        };
        after_next.push(wait * 1000.0);
    }
    let mut table = Table::new(&[
        "from",
        "median ms",
        "p95 ms",
        "worst ms",
        "goal median / p95",
        "",
        "machine load",
    ]);
    for (name, mut values) in [
        ("the last unit of the part sent", after_last),
        ("the first unit after it sent", after_next),
    ] {
        let figures = [0.5, 0.95, 1.0].map(|share| quantile(&mut values, share));
        let [median, p95, worst] = figures;
        table.row(vec![
            name.to_owned(),
            format!("{median:.2}"),
            format!("{p95:.2}"),
            format!("{worst:.2}"),
            format!("{GOAL_MEDIAN_MS} / {GOAL_P95_MS}"),
            verdict(median <= GOAL_MEDIAN_MS && p95 <= GOAL_P95_MS),
            usage::load_average(),
        ]);
    }
    table.print();
    println!("negative: listed before that unit was sent, since the part's end was known\n");
}

/// What the playlist said last.
#[derive(Default)]
struct Listed {
    /// Seconds from the first picture of the stream to the end of what is listed.
    end: f64,
    /// Parts of the growing segment and segments before it, counted so that any change shows.
    parts: (u64, u64),
    /// The part that comes next.
    next: (u64, u64),
    /// Media sequence of the first segment seen.
    first: Option<u64>,
    durations: Vec<f64>,
}

impl Listed {
    fn read(&mut self, text: &str) {
        let mut msn: u64 = 0;
        let mut parts = 0;
        let mut growing = 0.0;
        let mut durations = Vec::new();
        for line in text.lines() {
            if let Some(value) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                msn = value.parse().unwrap_or(0);
            } else if let Some(value) = line.strip_prefix("#EXT-X-PART:") {
                parts += 1;
                growing += attribute(value, "DURATION=");
            } else if let Some(value) = line.strip_prefix("#EXTINF:") {
                durations.push(value.trim_end_matches(',').parse().unwrap_or(f64::NAN));
                (parts, growing) = (0, 0.0);
            }
        }
        let first = *self.first.get_or_insert(msn);
        // Segments are kept by number, so that those which left the playlist still count.
        let index = usize::try_from(msn - first).unwrap_or(0);
        self.durations.truncate(index);
        self.durations.extend(durations);
        let complete = u64::try_from(self.durations.len()).unwrap_or(0);
        self.end = self.durations.iter().sum::<f64>() + growing;
        self.next = (first + complete, parts);
        self.parts = self.next;
    }
}

fn attribute(list: &str, name: &str) -> f64 {
    let value = list.split(',').find_map(|item| item.strip_prefix(name));
    value.and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

fn publish(address: std::net::SocketAddr, sent: &Sent) {
    let clip = Clip::read(&clip::live(), LIVE_SECONDS * 1000);
    let key = format!("{KEY_PREFIX}0");
    let mut publisher = Publisher::connect(address, "live", &key).expect("a publish is accepted");
    for tag in &clip.setup {
        publisher.send(tag, 0).expect("taken");
    }
    let begin = Instant::now();
    for round in 0.. {
        for tag in &clip.media {
            let time = tag.time_ms + round * clip.length_ms;
            let due = begin + Duration::from_millis(u64::from(time));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if tag.kind == 9 {
                sent.lock().expect("no panic").push(Instant::now());
            }
            if publisher.send(tag, time).is_err() {
                return;
            }
        }
    }
}
