//! A prepared film of a real encoder's pictures and sound, laid down by the gateway's own writer.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use forebay::format::fmp4::Sample;
use forebay::media::codec::{aac, avc};
use forebay::media::{CodecConfig, Rendition, RenditionId, Ticks, Timescale, Track, nal};
use forebay::playout::Grid;
use forebay::playout::asset::{Layout, Writer};

const SOUND: Timescale = Timescale::of(48_000);
/// Samples of an AAC frame.
const FRAME: i64 = 1024;

/// What is filmed: ffmpeg's moving test picture and a tone.
#[derive(Clone, Copy, Debug)]
pub struct Film {
    pub fps: u32,
    pub frames: u64,
    pub size: &'static str,
    pub kbps: u32,
    /// Loops after which the sound's frames begin where loops do.
    pub unrolled: u32,
}

impl Film {
    /// Lays it down in a folder.
    pub fn lay_down(&self, folder: &Path) {
        let layout = Layout::of(self.fps, 2).expect("a rate of films");
        let mut writer = Writer::open(folder, layout).expect("a folder");
        let grid = Grid::new(self.fps, layout.segment_frames, Some(self.frames)).expect("a grid");
        let count = grid.segments().expect("all is known");
        let frame = i64::from(Timescale::CHANNEL.get() / self.fps);
        let (config, pictures) = self.pictures();
        assert_eq!(pictures.len() as u64, self.frames);
        let video = rendition(
            "hd",
            CodecConfig::Avc(config),
            Timescale::CHANNEL,
            self.kbps,
        );
        let video = writer.declare(&video).expect("an initialisation");
        let sound = aac::Config::new_lc(48_000, 2).expect("a configuration");
        let audio = rendition("audio", CodecConfig::Aac(sound), SOUND, 130);
        let audio = writer.declare(&audio).expect("an initialisation");
        for number in 0..count {
            let cell = grid.cell(number);
            let at = |time: Ticks| usize::try_from(time.0 / frame).expect("small");
            let samples = pictures[at(cell.start)..at(cell.end)]
                .iter()
                .map(|(key, data)| Sample {
                    duration: u32::try_from(frame).expect("small"),
                    composition_offset: 0,
                    key: *key,
                    data: data.clone(),
                });
            let samples: Vec<Sample> = samples.collect();
            assert!(samples[0].key, "a segment begins with a key unit");
            writer
                .append(video, number, cell.start, &samples)
                .expect("written");
        }
        let frames = self.sound();
        for number in 0..count * u64::from(self.unrolled) {
            let cell = grid.cell(number);
            // The first frame that begins there or later.
            let at = |time: Ticks| (time.0 * 48_000 + 90_000 * FRAME - 1) / (90_000 * FRAME);
            let (first, end) = (at(cell.start), at(cell.end));
            let index = |frame: i64| usize::try_from(frame).expect("small");
            let samples = frames[index(first)..index(end)].iter().map(|data| Sample {
                duration: 1024,
                composition_offset: 0,
                key: true,
                data: data.clone(),
            });
            let samples: Vec<Sample> = samples.collect();
            let start = Ticks(first * FRAME);
            writer
                .append(audio, number, start, &samples)
                .expect("written");
        }
        writer.finish(self.frames, self.unrolled).expect("written");
    }

    fn pictures(&self) -> (avc::Config, Vec<(bool, Bytes)>) {
        let mut arguments = self.video_arguments();
        arguments.extend(words("-bsf:v h264_metadata=aud=insert -f h264 -"));
        let stream = ffmpeg(&arguments);
        let mut pictures: Vec<Vec<&[u8]>> = Vec::new();
        let (mut sps, mut pps) = (Vec::new(), Vec::new());
        for unit in nal::annexb_units(&stream) {
            match unit[0] & 31 {
                9 => pictures.push(Vec::new()),
                7 => sps = unit.to_vec(),
                8 => pps = unit.to_vec(),
                _ => pictures
                    .last_mut()
                    .expect("a delimiter is first")
                    .push(unit),
            }
        }
        let config = avc::Config::from_parameter_sets(&[&sps], &[&pps]).expect("parameter sets");
        let pictures = pictures.iter().map(|units| {
            let key = units.iter().any(|unit| unit[0] & 31 == 5);
            (
                key,
                nal::from_units(units.iter().copied()).expect("small units"),
            )
        });
        (config, pictures.collect())
    }

    /// Frames of AAC for all unrolled loops.
    fn sound(&self) -> Vec<Bytes> {
        let tone = self.tone(self.unrolled);
        let line = format!("-v error -f lavfi -i {tone} -c:a aac -b:a 128k -ac 2 -f adts -");
        let stream = Bytes::from(ffmpeg(&words(&line)));
        let mut frames = Vec::new();
        let mut at = 0;
        while at + 7 <= stream.len() {
            let head = &stream[at..at + 7];
            let length = usize::from(head[3] & 3) << 11
                | usize::from(head[4]) << 3
                | usize::from(head[5]) >> 5;
            frames.push(stream.slice(at + 7..at + length));
            at += length;
        }
        // The encoder's delay is one frame.
        frames.remove(0);
        frames
    }

    /// ffmpeg's words for the sound, as long as so many loops, and a frame.
    pub fn tone(&self, loops: u32) -> String {
        let seconds = self.frames as f64 / f64::from(self.fps);
        let length = seconds * f64::from(loops) + 0.05;
        format!("aevalsrc=0.3*sin(2*PI*440*mod(t\\,{seconds})):s=48000:d={length}")
    }

    /// ffmpeg's words for the pictures.
    pub fn video_arguments(&self) -> Vec<String> {
        let (fps, size, kbps) = (self.fps, self.size, self.kbps);
        let gop = fps * 2;
        words(&format!(
            "-v error -f lavfi -i testsrc2=size={size}:rate={fps} -frames:v {} -c:v libx264 -preset veryfast \
             -pix_fmt yuv420p -bf 0 -g {gop} -keyint_min {gop} -sc_threshold 0 -b:v {kbps}k",
            self.frames
        ))
    }
}

fn rendition(name: &str, config: CodecConfig, timescale: Timescale, kbps: u32) -> Rendition {
    Rendition {
        id: RenditionId(0),
        name: name.into(),
        track: Arc::new(Track { config, timescale }),
        peak_bps: kbps * 1200,
        average_bps: kbps * 1000,
        frame_rate_millis: 0,
        source: false,
    }
}

/// What stands between blanks.
pub fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// What ffmpeg writes to its output.
pub fn ffmpeg(arguments: &[String]) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(arguments)
        .output()
        .expect("ffmpeg is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    output.stdout
}
