//! Test pictures and sound: made by a few lines here, encoded by real ffmpeg, read back by real ffmpeg.
//!
//! A frame carries its number as 32 blocks in the top row, each `width / 32` pixels wide: white, black, 28
//! bits of the counter with the highest first, two bits that count its ones. The first two frames of each second show a white square at
//! the bottom right while a beep of 50 ms sounds.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use mp4_atom::{Decode, Moof, Moov};

/// What a clip is made of.
#[derive(Clone, Debug)]
pub struct Clip {
    pub width: usize,
    pub height: usize,
    /// Frame rate as ffmpeg takes it, such as `30000/1001`.
    pub rate: &'static str,
    pub frames: usize,
    /// Encoder options of the picture; `None` leaves it out.
    pub video: Option<Vec<String>>,
    /// Encoder options of the sound; `None` leaves it out.
    pub audio: Option<Vec<String>>,
    /// Seconds by which the sound begins later than the picture.
    pub audio_from: u32,
    /// File name ending: `flv` or `mkv`.
    pub container: &'static str,
    /// The ffmpeg that encodes it.
    pub encoder: String,
}

impl Clip {
    /// 640x360, 30 fps, H.264 with a GOP of `gop` frames and AAC at 48 kHz.
    pub fn h264(frames: usize, gop: usize) -> Clip {
        Clip {
            width: 640,
            height: 360,
            rate: "30",
            frames,
            video: Some(words(&format!(
                "-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -b:v 600k -maxrate 700k \
                 -bufsize 700k -g {gop} -keyint_min {gop} -sc_threshold 0"
            ))),
            audio: Some(words("-c:a aac -b:a 128k -ar 48000 -ac 2")),
            audio_from: 0,
            container: "flv",
            encoder: "ffmpeg".to_owned(),
        }
    }

    /// 320x180 at `rate`, H.264 with a GOP of 2 s, AAC at 48 kHz: quickly made and quickly read.
    pub fn small(rate: &'static str, frames: usize) -> Clip {
        let mut clip = Clip::h264(frames, 0).key_every((rate_value(rate) * 2.0).round());
        (clip.width, clip.height, clip.rate) = (320, 180, rate);
        clip
    }

    /// The same at 30 a second, longer than any test waits, with a key unit every half second.
    pub fn long(container: &'static str) -> Clip {
        Clip {
            container,
            ..Clip::small("30", 1200).key_every(15.0)
        }
    }

    fn key_every(self, gop: f64) -> Clip {
        self.video(&format!(
            "-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -crf 24 \
             -g {gop} -keyint_min {gop} -sc_threshold 0"
        ))
    }

    /// Another size of the picture.
    pub fn size(mut self, width: usize, height: usize) -> Clip {
        (self.width, self.height) = (width, height);
        self
    }

    /// The picture alone.
    pub fn mute(mut self) -> Clip {
        self.audio = None;
        self
    }

    /// The sound alone.
    pub fn blind(mut self) -> Clip {
        self.video = None;
        self
    }

    /// Sound that begins so many seconds after the picture.
    pub fn audio_from(mut self, seconds: u32) -> Clip {
        self.audio_from = seconds;
        self
    }

    /// Encoded by the ffmpeg that knows Enhanced RTMP, into Matroska.
    pub fn enhanced(mut self) -> Clip {
        self.container = "mkv";
        self.encoder = enhanced_ffmpeg();
        self
    }

    /// Other encoder options for the picture.
    pub fn video(mut self, options: &str) -> Clip {
        self.video = Some(words(options));
        self
    }

    /// Other encoder options for the sound.
    pub fn audio(mut self, options: &str) -> Clip {
        self.audio = Some(words(options));
        self
    }

    /// The file, made on first use and kept in the build folder.
    pub fn file(&self) -> PathBuf {
        static MAKING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = MAKING
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clips");
        std::fs::create_dir_all(&folder).expect("the build folder can be written");
        let name = fingerprint(&format!("{self:?}"));
        let file = folder.join(format!("{name}.{}", self.container));
        if !file.exists() {
            let beside = folder.join(format!("{name}-{}.{}", std::process::id(), self.container));
            self.encode(&beside);
            std::fs::rename(&beside, &file).expect("a finished clip moves to its name");
        }
        file
    }

    fn encode(&self, out: &Path) {
        let seconds = self.frames as f64 / rate_value(self.rate) - f64::from(self.audio_from);
        let mut command = Command::new(&self.encoder);
        command.args(["-v", "error", "-y"]);
        if self.video.is_some() {
            let size = format!("{}x{}", self.width, self.height);
            command.args([
                "-f", "rawvideo", "-pix_fmt", "gray", "-s", &size, "-r", self.rate, "-i", "-",
            ]);
        }
        if self.audio.is_some() {
            let beep = "aevalsrc=if(lt(mod(t\\,1)\\,0.05)\\,0.6*sin(2*PI*1000*t)\\,0):s=48000";
            let from = self.audio_from.to_string();
            command.args(["-itsoffset", &from]);
            command.args(["-f", "lavfi", "-t", &seconds.to_string(), "-i", beep]);
        }
        command
            .args(self.video.iter().flatten())
            .args(self.audio.iter().flatten());
        command.arg(out).stdin(Stdio::piped());
        let mut child = command.spawn().expect("ffmpeg is installed");
        let mut input = child.stdin.take().expect("piped");
        if self.video.is_some() {
            let fps = rate_value(self.rate);
            let mut frame = vec![0_u8; self.width * self.height];
            for number in 0..self.frames {
                self.draw(&mut frame, number, fps);
                input.write_all(&frame).expect("ffmpeg takes frames");
            }
        }
        drop(input);
        assert!(
            child.wait().expect("ffmpeg ends").success(),
            "ffmpeg made no {}",
            out.display()
        );
    }

    fn draw(&self, frame: &mut [u8], number: usize, fps: f64) {
        let (width, height) = (self.width, self.height);
        for (line, row) in frame.chunks_exact_mut(width).enumerate() {
            for (column, pixel) in row.iter_mut().enumerate() {
                *pixel = (96 + (column / 4 + line / 2 + number * 3) % 64) as u8;
            }
        }
        let bits = counter_bits(number as u32);
        for line in 0..height * 16 / 180 {
            for (block, bit) in bits.iter().enumerate() {
                let from = line * width + block * width / 32;
                let to = line * width + (block + 1) * width / 32;
                frame[from..to].fill(if *bit { 235 } else { 16 });
            }
        }
        let second = number as f64 / fps;
        let lit = (second + 1e-6).fract() < 1.5 / fps;
        for line in height * 3 / 4..height {
            let from = line * width + width * 3 / 4;
            frame[from..(line + 1) * width].fill(if lit { 235 } else { 16 });
        }
    }
}

/// Shell-like words.
pub fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The static ffmpeg of `docker/install-deps.sh --test`: Debian's cannot send Enhanced RTMP.
pub fn enhanced_ffmpeg() -> String {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/ffmpeg");
    assert!(
        program.exists(),
        "no {}: run docker/install-deps.sh --test",
        program.display()
    );
    path(&program).to_owned()
}

/// Frames per second of a rate such as `30000/1001`.
pub fn rate_value(text: &str) -> f64 {
    match text.split_once('/') {
        Some((numerator, denominator)) => {
            numerator.parse::<f64>().expect("a number")
                / denominator.parse::<f64>().expect("a number")
        }
        None => text.parse().expect("a number"),
    }
}

fn fingerprint(text: &str) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    // Changed when the drawing changes.
    (text, 1_u8).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn counter_bits(number: u32) -> [bool; 32] {
    let mut bits = [false; 32];
    bits[0] = true;
    for bit in 0..28 {
        bits[2 + bit] = number >> (27 - bit) & 1 == 1;
    }
    let ones = number.count_ones();
    bits[30] = ones & 1 == 1;
    bits[31] = ones & 2 == 2;
    bits
}

/// One decoded picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The counter in the picture; `None` when it cannot be read.
    pub number: Option<u32>,
    /// Whether the flash is lit.
    pub lit: bool,
    /// Presentation time, seconds.
    pub time: f64,
}

/// Decodes the pictures of a file with ffmpeg.
pub fn pictures(file: &Path) -> Vec<Seen> {
    let probe = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            "v:0",
            "-show_entries",
            "stream=width,height:frame=pts_time",
            "-of",
            "csv=p=1",
            path(file),
        ],
    );
    let probe = String::from_utf8(probe).expect("text");
    let mut times = Vec::new();
    let mut size = None;
    for line in probe.lines() {
        let mut fields = line.split(',');
        match fields.next() {
            Some("frame") => times.push(
                fields
                    .next()
                    .and_then(|time| time.parse::<f64>().ok())
                    .expect("a time"),
            ),
            Some("stream") => {
                let mut number = || {
                    fields
                        .next()
                        .and_then(|field| field.parse::<usize>().ok())
                        .expect("a size")
                };
                size = Some((number(), number()));
            }
            _ => {}
        }
    }
    let (width, height) = size.expect("a video stream");
    let raw = run(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-i",
            path(file),
            "-map",
            "0:v:0",
            "-vsync",
            "passthrough",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray",
            "-",
        ],
    );
    let late = ffmpeg_delay(file);
    let frames: Vec<&[u8]> = raw.chunks_exact(width * height).collect();
    assert_eq!(
        frames.len(),
        times.len(),
        "ffprobe and ffmpeg see the same frames"
    );
    frames
        .iter()
        .zip(times)
        .map(|(frame, time)| see(frame, width, height, time - late))
        .collect()
}

/// Seconds by which ffmpeg presents a fragmented file too late: where composition offsets are negative
/// (CMAF `cmf2`), its demuxer adds the largest of them to every picture's time and to no sound's, so that
/// no picture is presented before it is decoded. Players with Media Source Extensions take the times as
/// they are.
fn ffmpeg_delay(file: &Path) -> f64 {
    let bytes = std::fs::read(file).expect("a file");
    let (mut earliest, mut scale) = (0, 1);
    let mut rest = &bytes[..];
    while file.extension().is_some_and(|ending| ending == "mp4") && rest.len() >= 8 {
        let size = u32::from_be_bytes(rest[..4].try_into().expect("4 bytes")) as usize;
        let mut atom = &rest[..size.clamp(8, rest.len())];
        match &rest[4..8] {
            b"moov" => {
                let moov = Moov::decode(&mut atom).expect("a moov");
                scale = moov.trak[0].mdia.mdhd.timescale;
            }
            b"moof" => {
                let moof = Moof::decode(&mut atom).expect("a moof");
                let runs = moof.traf.iter().flat_map(|traf| &traf.trun);
                let offsets = runs.flat_map(|run| run.samples.iter().filter_map(|entry| entry.cts));
                earliest = offsets.min().unwrap_or(0).min(earliest);
            }
            _ => {}
        }
        rest = &rest[size.clamp(8, rest.len())..];
    }
    -earliest as f64 / f64::from(scale)
}

fn see(frame: &[u8], width: usize, height: usize, time: f64) -> Seen {
    let line = height * 8 / 180;
    let at = |block: usize| frame[line * width + block * width / 32 + width / 64] > 128;
    let number = (0..28).fold(0_u32, |number, bit| number << 1 | u32::from(at(2 + bit)));
    let sound = at(0) && !at(1) && (0..32).all(|block| counter_bits(number)[block] == at(block));
    let lit = frame[(height - height / 8) * width + width - width / 8] > 128;
    Seen {
        number: sound.then_some(number),
        lit,
        time,
    }
}

/// Times at which the square lights up: the second edge on, because the first picture may be lit.
pub fn flashes(seen: &[Seen]) -> Vec<f64> {
    let edges = seen.windows(2).filter(|pair| !pair[0].lit && pair[1].lit);
    edges.map(|pair| pair[1].time).collect()
}

/// Per flash: how much later than the beep nearest to it the square lights up, seconds. Flashes with
/// no beep within half a second are left out.
pub fn lip_offsets(flashes: &[f64], beeps: &[f64]) -> Vec<f64> {
    let nearest = |flash: &f64| {
        let offsets = beeps.iter().map(|beep| flash - beep);
        offsets.min_by(|a, b| a.abs().total_cmp(&b.abs()))
    };
    let offsets = flashes.iter().filter_map(nearest);
    offsets.filter(|offset| offset.abs() < 0.5).collect()
}

/// Length of the decoded sound, seconds.
pub fn sound_seconds(file: &Path) -> f64 {
    let options = "-map 0:a:0 -ac 1 -ar 48000 -f s16le -";
    let mut arguments = vec!["-v", "error", "-i", path(file)];
    arguments.extend(options.split(' '));
    run("ffmpeg", &arguments).len() as f64 / 96_000.0
}

/// Times at which beeps begin, seconds, on the file's own clock.
pub fn beeps(file: &Path) -> Vec<f64> {
    let start = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            "a:0",
            "-show_entries",
            "stream=start_time",
            "-of",
            "csv=p=0",
            path(file),
        ],
    );
    // Transport streams name it twice, once within their program.
    let start = String::from_utf8(start).expect("text");
    let mut times = start.lines().filter_map(|line| line.trim().parse().ok());
    let start: f64 = times.next().expect("a time");
    let raw = run(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-i",
            path(file),
            "-map",
            "0:a:0",
            "-ac",
            "1",
            "-ar",
            "48000",
            "-f",
            "s16le",
            "-",
        ],
    );
    let samples: Vec<i16> = raw
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    let mut beeps = Vec::new();
    let mut quiet_since = 0;
    for (index, sample) in samples.iter().enumerate() {
        if sample.unsigned_abs() > 3000 {
            // A beep begins after at least 0.3 s of quiet.
            if index - quiet_since > 14_400 || (index < 4_800 && beeps.is_empty()) {
                beeps.push(start + index as f64 / 48_000.0);
            }
            quiet_since = index;
        }
    }
    beeps
}

fn path(file: &Path) -> &str {
    file.to_str().expect("the build folder has a UTF-8 name")
}

fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = output.unwrap_or_else(|err| panic!("{program}: {err}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
