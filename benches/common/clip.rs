//! Clips, made by ffmpeg on first use and kept in the build folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Seconds of [`live`]: whole frames of 30 fps video, of 48 kHz AAC and whole GOPs of 2 s, so that it
/// can be repeated without a seam.
pub const LIVE_SECONDS: u32 = 16;

/// What OBS sends at 2.5 Mb/s: 720p30, H.264 with B-frames, a 2 s GOP, AAC.
pub fn live() -> PathBuf {
    made(
        "live-720p30-2500k.flv",
        &format!(
            "-f lavfi -i testsrc2=size=1280x720:rate=30:duration={LIVE_SECONDS} \
             -f lavfi -i sine=frequency=440:sample_rate=48000:duration={LIVE_SECONDS} \
             -vf noise=alls=14:allf=t -pix_fmt yuv420p -c:v libx264 -preset veryfast -profile:v main \
             -b:v 2370k -minrate 2370k -maxrate 2370k -bufsize 2370k -x264-params nal-hrd=cbr \
             -g 60 -keyint_min 60 -sc_threshold 0 -c:a aac -b:a 128k -ac 2 -flvflags no_duration_filesize"
        ),
    )
}

/// A file of this name, made with these options of ffmpeg.
pub fn made(name: &str, options: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-clips");
    std::fs::create_dir_all(&folder).expect("the build folder can be written");
    let file = folder.join(name);
    if !file.exists() {
        let beside = folder.join(format!("{}-{name}", std::process::id()));
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y"])
            .args(options.split_whitespace())
            .arg(&beside)
            .stdin(Stdio::null())
            .status()
            .expect("ffmpeg is installed");
        assert!(status.success(), "ffmpeg made no {name}");
        std::fs::rename(&beside, &file).expect("a finished clip moves to its name");
    }
    file
}
