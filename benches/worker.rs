//! Question: what do decoding, scaling and encoding of three rungs cost, and how good are the pictures,
//! beside the peer ffmpeg doing the same work with its cheapest command? (`ladder` asks the same of the
//! whole gateway, live.)
//!
//! Both read the same noisy 720p30 clip (12 s, H.264 and AAC) from memory, make 720p, 480p and 360p
//! at the same x264 live point (veryfast, no B-frames, no lookahead, no macroblock tree, one thread
//! per encoder, an IDR every 60 pictures), rates and rate buffers, and one AAC track; neither writes
//! a container: H.264 goes out as bare units. Ours is the worker process, fed over its socket as fast
//! as it takes. ffmpeg cascades its scalers and decodes and filters in one thread.
//!
//! CPU is user + system time of the whole child process, as the kernel gives it when the child is
//! waited for. Rounds alternate between the two; the table has the medians. SSIM is against the
//! source as the peer's bicubic scaler makes it, measured over all pictures by ffmpeg.
//!
//! `FOREBAY_BENCH_ROUNDS` (5) sets the number of rounds.
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use forebay::base::clock::Clock;
use forebay::format::flv;
use forebay::media::codec::{aac, avc};
use forebay::media::{CodecConfig, MediaKind, Ticks, Timescale, Track};
use forebay::transcode::ladder::{AudioCodec, AudioRung, Book, Rung};
use forebay::transcode::protocol::{self, Message, PREFIX, Setup, Slate, Unit};

/// Length of the clip, seconds.
const SECONDS: f64 = 12.0;
/// Pictures from IDR to IDR.
const GOP: i64 = 60;
/// Rate buffer, milliseconds: the book's.
const VBV_MS: u32 = 600;
/// Width, height and kbit/s.
const RUNGS: [(u32, u32, u32); 3] = [(1280, 720, 2500), (854, 480, 1200), (640, 360, 700)];
/// Clock ticks per second of `/proc/*/stat`: USER_HZ, the same on every Linux that we run on.
const USER_HZ: f64 = 100.0;

/// What one run gave.
struct Run {
    cpu_s: f64,
    wall_s: f64,
    rungs: Vec<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let rounds = std::env::var("FOREBAY_BENCH_ROUNDS").ok();
    let rounds: usize = rounds.map_or(Ok(5), |text| text.parse())?;
    // Memory where there is such a folder: disks are not the question.
    let base = Some(PathBuf::from("/dev/shm")).filter(|folder| folder.is_dir());
    let folder = base.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    let folder = folder.join(format!("forebay-worker-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = measure(&folder, rounds);
    let _ = std::fs::remove_dir_all(&folder);
    measured
}

fn measure(folder: &Path, rounds: usize) -> anyhow::Result<()> {
    let clip = make_clip(folder)?;
    let messages = messages(&clip)?;
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        println!("round {} of {rounds}", round + 1);
        ours.push(run_worker(folder, &messages)?);
        peers.push(run_ffmpeg(folder, &clip)?);
    }
    println!(
        "\n| | worker | ffmpeg | ratio (lowest to highest of {rounds} pairs) |\n|---|---|---|---|"
    );
    let pair = |what: &str, of: fn(&Run) -> f64, unit: f64| {
        let ratios: Vec<f64> = ours
            .iter()
            .zip(&peers)
            .map(|(a, b)| of(a) / of(b))
            .collect();
        let median_of = |runs: &[Run]| median(runs.iter().map(of).collect()) / unit;
        println!(
            "| {what} | {:.3} | {:.3} | {:.3} ({:.3} to {:.3}) |",
            median_of(&ours),
            median_of(&peers),
            median(ratios.clone()),
            ratios.iter().copied().fold(f64::INFINITY, f64::min),
            ratios.iter().copied().fold(0.0, f64::max),
        );
    };
    pair("CPU-s per media-s", |run| run.cpu_s, SECONDS);
    pair("wall s per media-s", |run| run.wall_s, SECONDS);
    let (ours, peers) = (ours.last(), peers.last());
    let (ours, peers) = ours.zip(peers).context("no round was run")?;
    for (index, (width, height, kbps)) in RUNGS.into_iter().enumerate() {
        let row = |what: &str, a: f64, b: f64| {
            println!("| {height}p {what} | {a:.4} | {b:.4} | {:.4} |", a / b);
        };
        let rate = |run: &Run| -> anyhow::Result<f64> {
            Ok(std::fs::metadata(&run.rungs[index])?.len() as f64 * 8.0 / SECONDS / 1000.0)
        };
        row(&format!("kbit/s, {kbps} wanted"), rate(ours)?, rate(peers)?);
        let ssim = |run: &Run| ssim(&run.rungs[index], &clip, width, height);
        row("SSIM", ssim(ours)?, ssim(peers)?);
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-y"]);
    command
}

fn words(text: &str) -> std::str::SplitWhitespace<'_> {
    text.split_whitespace()
}

/// A moving picture with noise, which no encoder gets for nothing.
fn make_clip(folder: &Path) -> anyhow::Result<PathBuf> {
    let clip = folder.join("clip.flv");
    let status = ffmpeg()
        .args(words(
            "-v error -f lavfi -i testsrc2=size=1280x720:rate=30,noise=alls=8:allf=t -f lavfi -i \
             sine=frequency=440:sample_rate=48000 -c:v libx264 -profile:v main -preset veryfast \
             -b:v 2400k -maxrate 2600k -bufsize 2400k -g 60 -keyint_min 60 -sc_threshold 0 \
             -pix_fmt yuv420p -c:a aac -b:a 128k -ac 2",
        ))
        .args(["-t", &SECONDS.to_string()])
        .arg(&clip)
        .status()
        .context("ffmpeg is not installed")?;
    ensure!(status.success(), "ffmpeg made no clip");
    Ok(clip)
}

/// Everything that the worker is told, in order, ready for its socket.
fn messages(clip: &Path) -> anyhow::Result<Vec<u8>> {
    let rung = |(width, height, kbps): (u32, u32, u32)| Rung {
        name: format!("{height}p"),
        width,
        height,
        kbps,
        peak_bps: kbps * 1400,
        profile: "high".to_owned(),
        frame_rate_millis: 30_000,
        half_rate: false,
    };
    let audio = AudioRung {
        name: "ahi".to_owned(),
        kbps: 128,
        sample_rate: 48_000,
        channels: 2,
        codec: AudioCodec::Aac,
    };
    // Hardware, where there is some, is not the question.
    let mut encoders = Book::built_in().encoders;
    encoders.retain(|template| template.element == "x264enc");
    let mut all = vec![Message::Setup(Box::new(Setup {
        video: RUNGS.into_iter().map(rung).collect(),
        audio: vec![audio],
        crop: None,
        frame_rate_millis: 30_000,
        frames: None,
        encoders,
        vbv_ms: VBV_MS,
        thumbnail_ms: 0,
        resume: Vec::new(),
        colour: None,
        slate: Some(Slate::default()),
    }))];
    // The tags begin behind the file header and the first back pointer: 9 and 4 bytes.
    let file = Bytes::from(std::fs::read(clip)?).slice(13..);
    let mut pictures: i64 = 0;
    for tag in flv::tags::Tags::new(file) {
        let (kind, parsed) = match tag.kind {
            9 => (MediaKind::Video, flv::parse_video(&tag.body)?),
            8 => (MediaKind::Audio, flv::parse_audio(&tag.body)?),
            _ => continue,
        };
        match parsed {
            flv::Tag::Config { record, .. } => {
                let (config, timescale) = match kind {
                    MediaKind::Video => (
                        CodecConfig::Avc(avc::Config::parse(record)?),
                        Timescale::CHANNEL,
                    ),
                    MediaKind::Audio => (
                        CodecConfig::Aac(aac::Config::parse(record)?),
                        Timescale::of(48_000),
                    ),
                };
                all.push(Message::Track(Box::new(Track { config, timescale })));
            }
            flv::Tag::Frame {
                composition_time_ms,
                data,
                ..
            } => {
                let ticks_per_ms = if kind == MediaKind::Video { 90 } else { 48 };
                let dts = i64::from(tag.timestamp_ms) * ticks_per_ms;
                let pts = Ticks(dts + i64::from(composition_time_ms) * ticks_per_ms);
                let video = kind == MediaKind::Video;
                let opens = video && pictures % GOP == 0;
                pictures += i64::from(video);
                all.push(Message::Unit(Unit {
                    kind,
                    key: !video || avc::is_key_unit(&data),
                    dts: Ticks(dts),
                    pts,
                    boundary: opens.then_some(pts),
                    data,
                }));
            }
            _ => {}
        }
    }
    all.push(Message::End);
    let mut bytes = Vec::new();
    for message in all {
        let frame = message.encode()?;
        bytes.extend_from_slice(&frame.head);
        bytes.extend_from_slice(&frame.payload);
    }
    Ok(bytes)
}

/// User and system time of all children waited for so far, seconds.
fn children_s() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name in parentheses may hold spaces; cutime and cstime are fields 16 and 17 (proc(5)).
    let (_, rest) = stat.rsplit_once(')').context("no name in stat")?;
    let mut fields = rest.split_whitespace().skip(13);
    let mut next = || -> anyhow::Result<f64> {
        let field = fields.next().context("stat is short")?;
        Ok(field.parse::<f64>()? / USER_HZ)
    };
    Ok(next()? + next()?)
}

fn run_worker(folder: &Path, messages: &[u8]) -> anyhow::Result<Run> {
    let clock = Clock::system();
    let (before, start) = (children_s()?, clock.monotonic());
    let (ours, theirs) = UnixStream::pair()?;
    let mut child = Command::new(env!("CARGO_BIN_EXE_forebay"))
        .arg("worker")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()?;
    let mut sending = ours.try_clone()?;
    let made = std::thread::scope(|scope| {
        // A worker that fails closes its end; what it said is read below.
        scope.spawn(move || drop(sending.write_all(messages)));
        read_all(ours)
    })?;
    ensure!(child.wait()?.success(), "the worker failed");
    let (cpu_s, wall) = (children_s()? - before, clock.monotonic() - start);
    let mut rungs = Vec::new();
    for (index, stream) in made.into_iter().enumerate() {
        let path = folder.join(format!("worker{index}.h264"));
        std::fs::write(&path, stream)?;
        rungs.push(path);
    }
    Ok(Run {
        cpu_s,
        wall_s: wall.as_secs_f64(),
        rungs,
    })
}

/// The rungs as H.264 byte streams (ISO/IEC 14496-10 annex B).
fn read_all(mut socket: UnixStream) -> anyhow::Result<Vec<Vec<u8>>> {
    const START_CODE: [u8; 4] = [0, 0, 0, 1];
    let mut rungs = vec![Vec::new(); RUNGS.len()];
    loop {
        let mut prefix = [0_u8; PREFIX];
        socket.read_exact(&mut prefix)?;
        let mut body = vec![0; protocol::body_length(prefix)?];
        socket.read_exact(&mut body)?;
        match Message::parse(Bytes::from(body))? {
            Message::RungTrack { index, track } => {
                let rung = rungs.get_mut(usize::from(index));
                if let (Some(rung), CodecConfig::Avc(config)) = (rung, &track.config) {
                    for set in config.sps().into_iter().chain(config.pps()) {
                        rung.extend_from_slice(&START_CODE);
                        rung.extend_from_slice(&set);
                    }
                }
            }
            Message::RungUnit { index, data, .. } => {
                let Some(rung) = rungs.get_mut(usize::from(index)) else {
                    continue;
                };
                let mut rest = &data[..];
                while let Some((length, behind)) = rest.split_first_chunk::<4>() {
                    let length = u32::from_be_bytes(*length) as usize;
                    rung.extend_from_slice(&START_CODE);
                    rung.extend_from_slice(behind.get(..length).context("unit is cut")?);
                    rest = &behind[length..];
                }
            }
            Message::Failed { element, text, .. } => bail!("worker: {element}: {text}"),
            Message::Finished => return Ok(rungs),
            _ => {}
        }
    }
}

fn run_ffmpeg(folder: &Path, clip: &Path) -> anyhow::Result<Run> {
    let clock = Clock::system();
    let (before, start) = (children_s()?, clock.monotonic());
    let mut command = ffmpeg();
    command.args(words("-v error -filter_complex_threads 1 -threads 1 -i"));
    command.arg(clip).args(words(
        "-filter_complex [0:v]split=2[v0][b];[b]scale=854:480:flags=bilinear,split=2[v1][c];\
         [c]scale=640:360:flags=bilinear[v2]",
    ));
    let mut rungs = Vec::new();
    for (index, (_, _, kbps)) in RUNGS.into_iter().enumerate() {
        let path = folder.join(format!("ffmpeg{index}.h264"));
        let buffer = kbps * VBV_MS / 1000;
        command.args(words(&format!(
            "-map [v{index}] -c:v libx264 -preset veryfast -profile:v high -b:v {kbps}k -maxrate {kbps}k \
             -bufsize {buffer}k -x264-params keyint={GOP}:min-keyint={GOP}:scenecut=0:open-gop=0:\
             bframes=0:rc-lookahead=0:sync-lookahead=0:mbtree=0:sliced-threads=0:threads=1 -fps_mode passthrough -f h264"
        )));
        command.arg(&path);
        rungs.push(path);
    }
    command.args(words("-map 0:a -c:a aac -b:a 128k -f adts"));
    let status = command.arg(folder.join("ffmpeg.aac")).status()?;
    ensure!(status.success(), "ffmpeg failed");
    Ok(Run {
        cpu_s: children_s()? - before,
        wall_s: (clock.monotonic() - start).as_secs_f64(),
        rungs,
    })
}

/// Similarity of a rung to the scaled source, over all planes and pictures.
fn ssim(rung: &Path, clip: &Path, width: u32, height: u32) -> anyhow::Result<f64> {
    let graph = format!(
        "[1:v]scale={width}:{height}:flags=bicubic,settb=1/30,setpts=N[r];\
         [0:v]settb=1/30,setpts=N[d];[d][r]ssim"
    );
    let mut command = ffmpeg();
    command.args(["-f", "h264", "-r", "30", "-i"]).arg(rung);
    command.arg("-i").arg(clip).args(["-lavfi", &graph]);
    let output = command.args(["-f", "null", "-"]).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let (_, all) = text.rsplit_once("All:").context("ffmpeg says no SSIM")?;
    Ok(words(all).next().context("no figure")?.parse()?)
}
