//! What does the ladder cost, beside ffmpeg's best command at the same live point?
//!
//! 720p30 is made into 720p, 480p and 360p and one AAC, live (ffmpeg with `-re`). ffmpeg's best of eight
//! commands: pictures scaled in a cascade, bilinear, one thread per encoder, audio encoded once; with
//! our x264 options, bit rates and buffers. Forebay's figure is gateway and worker together, from RTMP to
//! playlists. Both are read over the same stretch of the clip, and each rung's likeness to the source
//! (SSIM) is printed, so that nobody wins by making worse pictures.
//!
//! The source has OBS' default key interval (8.33 s), so that its own picture cannot be passed through
//! on the grid of 2 s and the top rung is encoded as well; and sound of 32 kHz for the same reason.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, waits and reads clocks; it uses a part of what is shared"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::load::Load;
use common::server::{Forebay, KEY_PREFIX};
use common::table::{Table, verdict};
use common::{Scratch, clip, http, usage};

const CLIP_SECONDS: u32 = 32;
/// The beginning, in which a worker starts, is left out.
const SKIPPED: Duration = Duration::from_secs(6);
const WINDOW: Duration = Duration::from_secs(20);
const ROUNDS: usize = 2;
/// Seconds of which pictures are compared.
const COMPARED: &str = "20";
/// Of ffmpeg's CPU; stretch 0.95.
const GOAL: f64 = 1.0;
/// SSIM differences below this are none.
const SSIM_SLACK: f64 = 0.002;

/// Names, bit rates and heights of `three` in `pipelines/ladders.toml`.
const RUNGS: [(&str, u32, u32); 3] = [("hd", 1600, 720), ("sd", 830, 480), ("ld", 520, 360)];
/// `vbv_ms` there.
const BUFFER_MS: u32 = 600;
const LIVE_POINT: &str = "bframes=0:rc-lookahead=0:sync-lookahead=0:mbtree=0:sliced-threads=0:\
                          scenecut=0:open-gop=0";

struct Measured {
    /// CPU seconds per media second.
    cpu: f64,
    rss_mb: f64,
    /// With their kilobits per second.
    files: Vec<(PathBuf, f64)>,
    _folder: Scratch,
}

fn main() {
    if common::load::was_asked_for() || common::missing("ffmpeg") {
        return;
    }
    println!(
        "\n== ladder: 720p30 to 720p + 480p + 360p + AAC, beside ffmpeg (veryfast live point)"
    );
    println!("live, windows of {WINDOW:?}, {ROUNDS} rounds in turns\n");
    let source = clip::made(
        "ladder-720p30.flv",
        &format!(
            "-f lavfi -i testsrc2=size=1280x720:rate=30:duration={CLIP_SECONDS} \
             -f lavfi -i sine=frequency=440:sample_rate=32000:duration={CLIP_SECONDS} \
             -vf noise=alls=8:allf=t -pix_fmt yuv420p -c:v libx264 -preset veryfast -b:v 5000k \
             -maxrate 5000k -bufsize 5000k -g 250 -keyint_min 25 -sc_threshold 0 \
             -c:a aac -b:a 96k -ac 2 -flvflags no_duration_filesize"
        ),
    );
    let (mut peers, mut owns) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        peers.push(ffmpeg(&source));
        owns.push(forebay(&source));
    }
    let best = |rounds: Vec<Measured>| {
        let best = rounds.into_iter().min_by(|a, b| a.cpu.total_cmp(&b.cpu));
        best.expect("there was a round")
    };
    let (peer, own) = (best(peers), best(owns));
    let ratio = own.cpu / peer.cpu;
    let mut table = Table::new(&[
        "server",
        "CPU s per media s",
        "ratio",
        "goal",
        "RSS MB",
        "machine load",
    ]);
    for (name, measured) in [("ffmpeg", &peer), ("forebay", &own)] {
        let ours = name == "forebay";
        table.row(vec![
            name.to_owned(),
            format!("{:.3}", measured.cpu),
            if ours {
                format!("{ratio:.2}")
            } else {
                String::new()
            },
            if ours {
                verdict(ratio <= GOAL)
            } else {
                String::new()
            },
            format!("{:.0}", measured.rss_mb),
            usage::load_average(),
        ]);
    }
    table.print();
    let mut table = Table::new(&[
        "rung",
        "ffmpeg kb/s",
        "forebay kb/s",
        "ffmpeg SSIM",
        "forebay SSIM",
        "not worse",
    ]);
    for (index, (name, _, height)) in RUNGS.iter().enumerate() {
        let of = |measured: &Measured| {
            let (file, kbps) = &measured.files[index];
            (ssim(file, &source, *height), *kbps)
        };
        let (theirs, their_kbps) = of(&peer);
        let (ours, our_kbps) = of(&own);
        table.row(vec![
            (*name).to_owned(),
            format!("{their_kbps:.0}"),
            format!("{our_kbps:.0}"),
            format!("{theirs:.4}"),
            format!("{ours:.4}"),
            verdict(ours >= theirs - SSIM_SLACK),
        ]);
    }
    table.print();
}

/// CPU seconds per second of a process tree over the window.
fn window(pid: u32, begin: Instant) -> f64 {
    std::thread::sleep((begin + SKIPPED).saturating_duration_since(Instant::now()));
    let (from, before) = (Instant::now(), usage::tree_cpu_seconds(pid));
    std::thread::sleep(WINDOW);
    (usage::tree_cpu_seconds(pid) - before) / from.elapsed().as_secs_f64()
}

fn ffmpeg(source: &Path) -> Measured {
    let folder = Scratch::new("ffmpeg-ladder");
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-nostdin", "-re", "-threads", "1", "-i"])
        .arg(source)
        .args([
            "-filter_complex",
            "[0:v]split=2[a][b];[b]scale=854:480:flags=bilinear,split=2[b1][b2];\
             [b2]scale=640:360:flags=bilinear[c1]",
        ])
        .args("-map [a] -map [b1] -map [c1] -map 0:a -c:v libx264 -preset veryfast".split(' '))
        .args(
            "-vsync passthrough -profile:v high -threads:v 1 -g 100000 -force_key_frames expr:gte(t,n_forced*2)"
                .split(' '),
        )
        .args(["-x264-params", LIVE_POINT]);
    for (index, (_, kbps, _)) in RUNGS.iter().enumerate() {
        command.args([
            format!("-b:v:{index}"),
            format!("{kbps}k"),
            format!("-maxrate:v:{index}"),
            format!("{kbps}k"),
            format!("-bufsize:v:{index}"),
            format!("{}k", kbps * BUFFER_MS / 1000),
        ]);
    }
    command
        .args("-c:a aac -b:a 128k -ar 48000 -f hls -hls_time 2 -hls_list_size 0".split(' '))
        .args("-hls_segment_type fmp4 -hls_flags independent_segments+single_file".split(' '))
        .args([
            "-var_stream_map",
            "v:0,agroup:a v:1,agroup:a v:2,agroup:a a:0,agroup:a",
        ])
        .args(["-master_pl_name", "master.m3u8", "out%v.m3u8"])
        .current_dir(folder.path())
        .stdin(Stdio::null());
    let begin = Instant::now();
    let mut child = Running(command.spawn().expect("ffmpeg is installed"));
    let pid = child.0.id();
    let cpu = window(pid, begin);
    let rss_mb = usage::rss_mb(pid);
    let _ = child.0.wait();
    let file = |index: usize| {
        let file = folder.path().join(format!("out{index}.m4s"));
        let size = file.metadata().map_or(0, |data| data.len());
        (file, kbps(size, f64::from(CLIP_SECONDS)))
    };
    Measured {
        cpu,
        rss_mb,
        files: (0..RUNGS.len()).map(file).collect(),
        _folder: folder,
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn forebay(source: &Path) -> Measured {
    let server = Forebay::start(1, &[("FOREBAY_LADDER", "three")]);
    let begin = Instant::now();
    let clip = (source.to_owned(), CLIP_SECONDS);
    let _load = Load::of_clip(server.rtmp, "live", KEY_PREFIX, 1, clip);
    let cpu = window(server.pid(), begin);
    let workers = usage::children(server.pid());
    assert!(!workers.is_empty(), "a worker makes the ladder");
    let rss = workers.iter().map(|&pid| usage::rss_mb(pid)).sum::<f64>();
    let rss_mb = rss + usage::rss_mb(server.pid());
    let stream = server.stream(0);
    let master = http::get(server.http, &format!("{stream}/index.m3u8"))
        .expect("served")
        .text();
    assert!(
        !master.contains("source/"),
        "nothing is passed through: {master}"
    );
    let folder = Scratch::new("forebay-ladder");
    let files = RUNGS.iter().map(|(name, ..)| {
        let (bytes, seconds) = download(&server, &format!("{stream}/{name}"));
        let file = folder.path().join(format!("{name}.mp4"));
        std::fs::write(&file, &bytes).expect("the scratch folder can be written");
        (file, kbps(bytes.len() as u64, seconds))
    });
    let files = files.collect();
    Measured {
        cpu,
        rss_mb,
        files,
        _folder: folder,
    }
}

fn kbps(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 * 8.0 / 1000.0 / seconds
}

/// The complete segments of a rendition in one file, and their length in seconds.
fn download(server: &Forebay, base: &str) -> (Vec<u8>, f64) {
    let mut client = http::Client::connect(server.http).expect("the server listens");
    let playlist = client
        .get(&format!("{base}/index.m3u8"))
        .expect("served")
        .text();
    let (mut bytes, mut seconds) = (Vec::new(), 0.0);
    for line in playlist.lines() {
        if let Some(length) = line.strip_prefix("#EXTINF:") {
            seconds += length.trim_end_matches(',').parse().unwrap_or(f64::NAN);
        }
        let init = line
            .strip_prefix("#EXT-X-MAP:URI=\"")
            .and_then(|rest| rest.split('"').next());
        let segment = (!line.starts_with('#') && !line.is_empty()).then_some(line);
        if let Some(name) = init.or(segment) {
            bytes.extend(client.get(&format!("{base}/{name}")).expect("served").body);
        }
    }
    (bytes, seconds)
}

/// Likeness of a rung to the source scaled to its size, picture by picture, over
/// a stretch that both servers made.
fn ssim(file: &Path, source: &Path, height: u32) -> f64 {
    let width = (height * 16 / 9).next_multiple_of(2);
    let filter = format!(
        "[0:v]scale={width}:{height}:flags=bicubic,setpts=N/30/TB[rung];\
         [1:v]scale={width}:{height}:flags=bicubic,setpts=N/30/TB[source];[rung][source]ssim=shortest=1"
    );
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-t", COMPARED, "-i"])
        .arg(file)
        .args(["-t", COMPARED, "-i"])
        .arg(source)
        .args(["-lavfi", &filter, "-f", "null", "-"])
        .output()
        .expect("ffmpeg is installed");
    let text = String::from_utf8_lossy(&output.stderr);
    let all = text
        .rsplit_once(" All:")
        .and_then(|(_, rest)| rest.split(' ').next());
    all.and_then(|value| value.parse().ok()).unwrap_or(f64::NAN)
}
