//! Lines that lose packets: at 5 % every frame arrives if the latency gives it time, at 15 % the stream
//! lives and the figures say what was lost. That operators are advised takes longer: it is in the soak.
//! `FOREBAY_LOSSY_SEEDS` and `FOREBAY_LOSSY_SECONDS` make longer runs of the first two,
//! `FOREBAY_LOSSY_LATENCY_MS` others.

use std::time::Duration;

use forebay::hub::Link;

use tokio::task::JoinSet;

use super::show;
use crate::common::lossy::{Line, Lossy};
use crate::common::media::{Clip, pictures};
use crate::common::server::{KEY, Server};
use crate::common::srt::{Call, Sender};

/// Six round trips. A packet has three or four chances in them: libsrt sends one again only when a round
/// trip and four times its deviation have passed since it did so before.
const LATENCY_MS: u32 = 250;
/// Twelve round trips are enough for every packet on a machine that does nothing else; these leave room
/// for one that is busy with other tests.
const AMPLE_LATENCY_MS: u32 = 700;
/// Share of packets that [`LATENCY_MS`] may be too short for, on a machine that is busy with something else
/// too; on a quiet one it is a few in ten thousand, which the soak holds it to.
const MOST_LATE: f64 = 0.02;
const LOSS: f64 = 0.05;
const HEAVY_LOSS: f64 = 0.15;

/// A transport stream of about 2.5 Mb/s.
fn clip(seconds: usize) -> Clip {
    let options = "-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -b:v 2300k \
                   -minrate 2300k -maxrate 2300k -bufsize 1150k -nal-hrd cbr -g 60 -keyint_min 60 -sc_threshold 0";
    Clip {
        container: "ts",
        ..Clip::small("30", seconds * 30).video(options)
    }
}

/// A publish over a line of its own.
struct Run {
    server: Server,
    lossy: Lossy,
    sender: Sender,
}

impl Run {
    async fn start(clip: &Clip, line: Line, latency_ms: u32, window: Duration) -> Run {
        let server = Server::start(|config| {
            config.media.ladder = "off".to_owned();
            config.media.window = window;
        })
        .await;
        let lossy = Lossy::start(server.srt(), line).await;
        let call = Call::new(lossy.address, KEY).latency_ms(latency_ms);
        let sender = call.ffmpeg_5(&clip.file());
        Run {
            server,
            lossy,
            sender,
        }
    }
}

impl Run {
    /// Waits for the end of the publish; the last figures of its line.
    async fn ended(&mut self) -> Option<Link> {
        let stream = self.server.stream().await;
        let mut again = tokio::time::interval(Duration::from_millis(50));
        let mut last = None;
        while !self.sender.is_over() {
            again.tick().await;
            let members = stream.health().members;
            last = members
                .first()
                .and_then(|member| member.facts.link)
                .or(last);
        }
        self.server.published().await;
        last
    }
}

/// The numbers of pictures that did not come, and of those that came damaged.
async fn missing(server: &Server, frames: usize) -> Vec<u32> {
    let mut came = vec![false; frames];
    for file in server.download_runs("source").await {
        for number in pictures(&file).into_iter().filter_map(|seen| seen.number) {
            came[number as usize] = true;
        }
    }
    let missing = (0..frames).filter(|number| !came[*number]);
    missing.map(|number| number as u32).collect()
}

/// Publishes over lines of several seeds at once, and shows what became of it: for each its seed, the
/// pictures that are missing or damaged, and the last figures of the line.
async fn over_bad_lines(latency_ms: u32) -> Vec<(u64, Vec<u32>, Link)> {
    let setting = |name, default| {
        let text = std::env::var(name).ok();
        text.map_or(default, |text| text.parse::<u64>().expect("a number"))
    };
    let latency_ms = setting("FOREBAY_LOSSY_LATENCY_MS", u64::from(latency_ms)) as u32;
    let seconds = setting("FOREBAY_LOSSY_SECONDS", 6);
    let seeds = setting("FOREBAY_LOSSY_SEEDS", 2);
    let clip = clip(seconds as usize);
    clip.file();
    let window = Duration::from_secs(seconds.max(50) + 10);
    let mut runs = JoinSet::new();
    for seed in 1..=seeds {
        let line = Line {
            reordered: 0.01,
            ..Line::losing(seed, LOSS)
        };
        let mut run = Run::start(&clip, line, latency_ms, window).await;
        runs.spawn(async move {
            let link = run.ended().await.expect("the line was measured");
            (seed, run, link)
        });
    }
    let mut results = Vec::new();
    while let Some(run) = runs.join_next().await {
        let (seed, run, link) = run.expect("no panic");
        let missing = missing(&run.server, clip.frames).await;
        let (there, back) = (run.lossy.there.get(), run.lossy.back.get());
        show(&format!(
            "latency {latency_ms} ms, seed {seed}: {} of {} frames missing {missing:?}; {} of {} packets too late, \
             {} lost, {} sent again; on the line {there:?} there, {back:?} back, round trip {:?}",
            missing.len(),
            clip.frames,
            link.dropped_packets,
            link.packets,
            link.lost_packets,
            link.retransmitted_packets,
            link.rtt
        ));
        assert!(there.1 * 30 > there.0, "it loses: {there:?}");
        run.server.stop().await;
        results.push((seed, missing, link));
    }
    results
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_arrives_over_a_line_that_loses_five_percent() {
    for (seed, missing, _) in over_bad_lines(AMPLE_LATENCY_MS).await {
        assert!(missing.is_empty(), "seed {seed}: {missing:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn six_round_trips_are_enough_for_all_but_a_few_packets() {
    for (seed, _, link) in over_bad_lines(LATENCY_MS).await {
        let most = (link.packets as f64 * MOST_LATE) as u64;
        assert!(link.dropped_packets <= most, "seed {seed}: {link:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_loses_fifteen_percent_is_told_and_lived_with() {
    let clip = clip(8);
    let line = Line::losing(15, HEAVY_LOSS);
    let mut run = Run::start(&clip, line, LATENCY_MS, Duration::from_secs(60)).await;
    let server = &run.server;
    // While it lasts: sessions end with their figures.
    let stream = server.stream().await;
    let told = || {
        let link = stream.health().members.first()?.facts.link?;
        (link.lost_packets > 50 && link.retransmitted_packets > 30).then_some(link)
    };
    let link = server.until("figures of the line", told).await;
    show(&format!("{link:?}"));
    assert!(link.rtt >= Duration::from_millis(38), "{link:?}");
    assert!(link.latency >= Duration::from_millis(250), "{link:?}");
    assert!(link.packets > link.lost_packets, "{link:?}");
    run.ended().await;
    let missing = missing(&run.server, clip.frames).await;
    show(&format!(
        "{} of {} frames missing; {:?} there, {:?} back",
        missing.len(),
        clip.frames,
        run.lossy.there.get(),
        run.lossy.back.get()
    ));
    let last_seconds = clip.frames as u32 - 120..clip.frames as u32;
    let is_shown = |number: u32| !missing.contains(&number);
    assert!(
        last_seconds.into_iter().any(is_shown),
        "it goes on: {missing:?}"
    );
    run.server.stop().await;
}
