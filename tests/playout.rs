//! A looped film of real pictures and sound, as a player's decoder gets it.

#[path = "../benches/common/film.rs"]
mod film;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use forebay::base::clock::{Clock, Wall};
use forebay::base::id::Uuid;
use forebay::media::timeline::{Found, Resource, Rules, Timeline};
use forebay::playout::schedule::{Plan, cuts_for};
use forebay::playout::{After, Config, Kind, Show, Stage};

use film::Film;

const EPOCH: Wall = Wall(1_795_320_000_000_000);
const SEGMENT: Duration = Duration::from_secs(2);
const LOOPS: u64 = 200;

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn rules() -> Rules {
    Rules {
        epoch: EPOCH,
        target_duration_s: 3,
        part_target: Duration::from_micros(213_400),
        part_hold_back: Duration::from_micros(940_200),
        hold_back: Duration::from_secs(9),
        can_skip_until: Duration::from_secs(18),
        segment_target: SEGMENT,
        window: Duration::from_secs(30),
        independent_segments: true,
    }
}

/// 7.3 s at 29.97 frames a second and 44.1 kHz, as they are prepared: 219 frames, sound of sixteen loops.
#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_finds_no_gap_in_two_hundred_loops() {
    let folder = Folder(std::env::temp_dir().join(format!("forebay-loops-{}", Uuid::new_v4())));
    let film = Film {
        fps: 30,
        frames: 219,
        size: "160x90",
        kbps: 60,
        unrolled: 16,
    };
    let asset = Uuid::from_u128(1);
    film.lay_down(&folder.0.join(asset.to_string()));
    let clock = Clock::simulated(EPOCH);
    let config = Config {
        folder: folder.0.clone(),
        rules: rules(),
    };
    let stage = Stage::new(config, clock.clone());
    let plan = Plan {
        starts: EPOCH,
        ends: None,
        before: false,
    };
    let cuts = cuts_for(EPOCH, &plan, SEGMENT);
    assert_eq!(
        cuts.iter().map(|cut| cut.kind).collect::<Vec<_>>(),
        [Kind::Film]
    );
    let first = cuts[0].sequence;
    let stream = Uuid::from_u128(2);
    stage.put(Show {
        stream,
        asset,
        epoch: EPOCH,
        looping: true,
        after: After::End,
        cuts: cuts.into(),
    });
    let timeline = stage.timeline(stream).expect("it was put on");
    clock.advance(Duration::from_secs(30));
    timeline.changed("", 0).await;
    let grid = stage.facts(asset).await.expect("readable").expect("there");
    let grid = grid.grid().expect("a grid");
    let paths = ["hd", "audio"].map(|name| folder.0.join(format!("{name}.out.mp4")));
    for (name, path) in ["hd", "audio"].into_iter().zip(&paths) {
        let mut file = std::fs::File::create(path).expect("a file");
        let snapshot = timeline.snapshot(name).expect("it is on");
        let init = Resource::Init(&snapshot.segments[0].init.name);
        file.write_all(&read(&timeline, name, init).await)
            .expect("written");
    }
    for number in 0..grid.segments().expect("it loops") * LOOPS {
        let end = grid.cell(number).end;
        clock.step_wall(EPOCH.plus_micros(end.0 * 100 / 9 + 100_000));
        for (name, path) in ["hd", "audio"].into_iter().zip(&paths) {
            let segment = Resource::Segment(first + number);
            let bytes = read(&timeline, name, segment).await;
            let file = std::fs::OpenOptions::new().append(true).open(path);
            file.expect("a file").write_all(&bytes).expect("written");
        }
    }
    let [video, audio] = &paths;
    let pictures = packets(video);
    assert_eq!(pictures.len() as u64, 219 * LOOPS);
    for (at, time) in pictures.iter().enumerate() {
        assert_eq!(*time, at as i64 * 3000, "picture {at}");
    }
    let sounds = packets(audio);
    for (at, time) in sounds.iter().enumerate() {
        assert_eq!(*time, at as i64 * 1024, "frame {at} of sound");
    }
    // 1460 s each, within a frame.
    let apart = sounds.len() as f64 * 1024.0 / 48_000.0 - 7.3 * LOOPS as f64;
    assert!((0.0..0.0214).contains(&apart), "{apart}");
    // Decoded and muxed again: nothing to complain of.
    let output = Command::new("ffmpeg")
        .args(["-v", "warning", "-i"])
        .arg(video)
        .arg("-i")
        .arg(audio)
        .args(["-map", "0:v", "-map", "1:a", "-f", "null", "-"])
        .output()
        .expect("ffmpeg is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

async fn read(timeline: &Arc<dyn Timeline>, name: &str, resource: Resource<'_>) -> Vec<u8> {
    let Found::Stored(stored) = timeline.find(name, resource) else {
        panic!("{name} {resource:?} is not there");
    };
    let blob = stored.open().await.expect("readable").expect("there");
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < blob.size() {
        bytes.extend(blob.read(bytes.len() as u64).await.expect("readable"));
    }
    bytes
}

/// Decode times, in the file's own units.
fn packets(file: &Path) -> Vec<i64> {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-show_entries",
            "packet=dts",
            "-of",
            "csv=p=0",
        ])
        .arg(file)
        .output()
        .expect("ffprobe is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.is_empty(), "{errors}");
    let text = String::from_utf8(output.stdout).expect("text");
    let times = text.lines().map(|line| line.trim_end_matches(','));
    times.map(|time| time.parse().expect("a number")).collect()
}
