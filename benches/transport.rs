//! Question: what does it cost to take a transport stream apart, and is any frame lost, beside GStreamer's
//! `tsdemux` with its parsers doing the same?
//!
//! Two clips of 720p30 at 2.5 Mb/s with B-frames, 20 s, made by ffmpeg: H.264 and AAC, HEVC and Opus. Both
//! read them from memory in pieces of 1316 bytes, as SRT brings them, and give access units with 4-byte
//! lengths and raw frames of sound; neither keeps them. GStreamer runs in one streaming thread, without
//! queues. Each run is a process of its own. CPU is that of all its threads from the first byte to the
//! last unit; memory is how far the resident set grew at most, libraries and plugins included.
//!
//! Frames are those that ffprobe counts in the clip. `FOREBAY_BENCH_ROUNDS` (5) sets the number of rounds;
//! they take turns, and the table has the medians.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints and waits; it uses a part of what is shared"
)]

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::table::{Table, verdict};
use common::{Scratch, median, usage};
use forebay::format::ts::{Demuxer, Event};
use forebay::media::MediaKind;
use gstreamer as gst;
use gstreamer::prelude::*;

/// Length of a clip, seconds.
const SECONDS: f64 = 20.0;
/// Bytes of an SRT message of seven packets.
const PIECE_BYTES: usize = 1316;
/// Times that a clip is taken apart for one figure.
const OWN_PASSES: u64 = 50;
const GST_PASSES: u64 = 5;
/// Of a core per stream, percent: what is left of 0.95 for everything after libsrt's 0.8.
const GOAL_CPU: f64 = 0.15;
/// Word on the command line that makes this process a measured one.
const CHILD: &str = "--take-apart";

struct Clip {
    name: &'static str,
    codecs: &'static [&'static str],
    /// Parsers behind `tsdemux`.
    parsers: [&'static str; 2],
}

const CLIPS: [Clip; 2] = [
    Clip {
        name: "H.264 + AAC",
        codecs: &[
            "-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "60", "-c:a", "aac",
            "-b:a", "128k",
        ],
        parsers: [
            "h264parse ! video/x-h264,stream-format=avc,alignment=au",
            "aacparse ! audio/mpeg,stream-format=raw",
        ],
    },
    Clip {
        name: "HEVC + Opus",
        codecs: &[
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-x265-params",
            "bframes=2:keyint=60:log-level=none",
            "-c:a",
            "libopus",
            "-b:a",
            "128k",
        ],
        parsers: [
            "h265parse ! video/x-h265,stream-format=hvc1,alignment=au",
            "opusparse",
        ],
    },
];

/// What a measured process says: percent of a core, MB, video and audio units.
#[derive(Clone, Copy)]
struct Run {
    cpu_percent: f64,
    rss_mb: f64,
    units: [u64; 2],
}

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().collect();
    if let Some(at) = words.iter().position(|word| word == CHILD) {
        return child(&words[at + 1..]);
    }
    if common::missing("ffmpeg") || common::missing("ffprobe") {
        return Ok(());
    }
    let rounds = std::env::var("FOREBAY_BENCH_ROUNDS").ok();
    let rounds: usize = rounds.map_or(Ok(5), |text| text.parse())?;
    println!("\n== transport: TS to access units, own parser beside GStreamer tsdemux and parsers");
    println!("720p30, 2.5 Mb/s, {SECONDS} s from memory; medians of {rounds} rounds in turns\n");
    let mut table = Table::new(&[
        "clip",
        "who",
        "CPU % of a core",
        "ratio",
        "goal",
        "RSS MB",
        "pictures",
        "sound frames",
        "of ffprobe",
        "complete",
    ]);
    let scratch = Scratch::new("transport");
    for clip in &CLIPS {
        let path = scratch.path().join("clip.ts");
        make(clip, &path)?;
        let expected = [count(&path, "v:0")?, count(&path, "a:0")?];
        let (mut own, mut gst) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            own.push(run(&["own"], &path)?);
            gst.push(run(&["gst", clip.parsers[0], clip.parsers[1]], &path)?);
        }
        let middle = |runs: &[Run], of: fn(&Run) -> f64| {
            median(&mut runs.iter().map(of).collect::<Vec<f64>>())
        };
        let peer = middle(&gst, |run| run.cpu_percent);
        for (who, runs) in [("own", own), ("tsdemux", gst)] {
            let cpu = middle(&runs, |run| run.cpu_percent);
            let goal = if who == "own" {
                verdict(cpu <= GOAL_CPU)
            } else {
                String::new()
            };
            // The worst round counts.
            let units =
                [0, 1].map(|kind| runs.iter().map(|run| run.units[kind]).min().unwrap_or(0));
            table.row(vec![
                clip.name.to_owned(),
                who.to_owned(),
                format!("{cpu:.4}"),
                format!("{:.3}", cpu / peer),
                goal,
                format!("{:.1}", middle(&runs, |run| run.rss_mb)),
                units[0].to_string(),
                units[1].to_string(),
                format!("{} + {}", expected[0], expected[1]),
                verdict(units == expected),
            ]);
        }
    }
    table.print();
    println!(
        "goal: at most {GOAL_CPU} % of a core; machine load {}",
        usage::load_average()
    );
    Ok(())
}

fn make(clip: &Clip, path: &Path) -> anyhow::Result<()> {
    let made = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=1280x720:r=30,noise=alls=12:allf=t",
        ])
        .args([
            "-f",
            "lavfi",
            "-i",
            "sine=440:r=48000",
            "-ac",
            "2",
            "-t",
            &SECONDS.to_string(),
        ])
        .args([
            "-pix_fmt", "yuv420p", "-b:v", "2500k", "-maxrate", "2500k", "-bufsize", "2500k",
        ])
        .args(clip.codecs)
        .args(["-f", "mpegts"])
        .arg(path)
        .status()?;
    anyhow::ensure!(made.success(), "ffmpeg cannot make the clip {}", clip.name);
    Ok(())
}

fn count(path: &Path, stream: &str) -> anyhow::Result<u64> {
    let probe = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", stream, "-count_packets"])
        .args(["-show_entries", "stream=nb_read_packets", "-of", "csv=p=0"])
        .arg(path)
        .output()?;
    let text = String::from_utf8_lossy(&probe.stdout);
    let number = text.split([',', '\n']).find(|word| !word.trim().is_empty());
    Ok(number.unwrap_or_default().trim().parse()?)
}

fn run(words: &[&str], clip: &Path) -> anyhow::Result<Run> {
    let output = Command::new(std::env::current_exe()?)
        .arg(CHILD)
        .arg(clip)
        .args(words)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let &[cpu_percent, rss_mb, video, audio] = &numbers[..] else {
        anyhow::bail!(
            "{words:?} said {text:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    Ok(Run {
        cpu_percent,
        rss_mb,
        units: [video as u64, audio as u64],
    })
}

fn child(words: &[String]) -> anyhow::Result<()> {
    let clip = std::fs::read(&words[0])?;
    let before_mb = usage::rss_mb(std::process::id());
    let watch = Arc::new(Watch::default());
    let (passes, cpu_seconds) = match &words[1..] {
        [who] if who == "own" => (OWN_PASSES, own(&clip, &watch)),
        [_, video, audio] => (GST_PASSES, gstreamer(&clip, video, audio, &watch)?),
        _ => anyhow::bail!("own, or gst and two parsers"),
    };
    let peak_mb = usage::peak_rss_mb(std::process::id());
    let percent = cpu_seconds / (SECONDS * passes as f64) * 100.0;
    let [video, audio] = [&watch.video, &watch.audio].map(|count| count.load(Ordering::Relaxed));
    // A pass that lost something shows in the sum.
    let [video, audio] = [video, audio].map(|count| count as f64 / passes as f64);
    let grown_mb = peak_mb - before_mb;
    println!("{percent} {grown_mb} {} {}", video.floor(), audio.floor());
    Ok(())
}

/// Counts units.
#[derive(Default)]
struct Watch {
    video: AtomicU64,
    audio: AtomicU64,
}

impl Watch {
    fn see(&self, kind: MediaKind) {
        let count = match kind {
            MediaKind::Video => &self.video,
            MediaKind::Audio => &self.audio,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn own(clip: &[u8], watch: &Watch) -> f64 {
    let pid = std::process::id();
    let before = usage::cpu_seconds(pid);
    for _ in 0..OWN_PASSES {
        let mut demuxer = Demuxer::new();
        for piece in clip.chunks(PIECE_BYTES) {
            demuxer.push(piece);
            drain(&mut demuxer, watch);
        }
        demuxer.finish();
        drain(&mut demuxer, watch);
    }
    usage::cpu_seconds(pid) - before
}

fn drain(demuxer: &mut Demuxer, watch: &Watch) {
    while let Some(event) = demuxer.poll_event() {
        if let Event::Unit(unit) = event {
            watch.see(unit.kind);
        }
    }
}

fn gstreamer(clip: &[u8], video: &str, audio: &str, watch: &Arc<Watch>) -> anyhow::Result<f64> {
    gst::init()?;
    let pid = std::process::id();
    let mut cpu_seconds = 0.0;
    for _ in 0..GST_PASSES {
        let text = format!(
            "appsrc name=in caps=video/mpegts,systemstream=true,packetsize=188 block=true max-bytes=200000 \
             ! tsdemux name=demux \
             demux. ! {video} ! appsink name=video sync=false async=false \
             demux. ! {audio} ! appsink name=audio sync=false async=false"
        );
        let pipeline = gst::parse::launch(&text)?
            .downcast::<gst::Pipeline>()
            .expect("a pipeline");
        for (name, kind) in [("video", MediaKind::Video), ("audio", MediaKind::Audio)] {
            let sink = pipeline
                .by_name(name)
                .and_then(|sink| sink.downcast::<gstreamer_app::AppSink>().ok());
            let watch = watch.clone();
            let callbacks = gstreamer_app::AppSinkCallbacks::builder().new_sample(move |sink| {
                let _ = sink.pull_sample();
                watch.see(kind);
                Ok(gst::FlowSuccess::Ok)
            });
            sink.expect("named above").set_callbacks(callbacks.build());
        }
        let source = pipeline
            .by_name("in")
            .and_then(|source| source.downcast::<gstreamer_app::AppSrc>().ok());
        let source = source.expect("named above");
        let before = usage::cpu_seconds(pid);
        pipeline.set_state(gst::State::Playing)?;
        for piece in clip.chunks(PIECE_BYTES) {
            source.push_buffer(gst::Buffer::from_slice(piece.to_vec()))?;
        }
        source.end_of_stream()?;
        let bus = pipeline.bus().expect("pipelines have one");
        let end = bus.timed_pop_filtered(
            gst::ClockTime::from_seconds(60),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        );
        anyhow::ensure!(
            end.as_ref()
                .is_some_and(|end| end.type_() == gst::MessageType::Eos),
            "the pipeline ended with {end:?}"
        );
        // Before its threads are gone.
        cpu_seconds += usage::cpu_seconds(pid) - before;
        pipeline.set_state(gst::State::Null)?;
    }
    Ok(cpu_seconds)
}
