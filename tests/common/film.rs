//! A short film of real pictures and sound, laid down as preparations do.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use forebay::format::fmp4::Sample;
use forebay::media::codec::{aac, avc};
use forebay::media::{CodecConfig, Rendition, RenditionId, Ticks, Timescale, Track};
use forebay::playout::asset::{Layout, Writer};

use super::media::Clip;
use super::rtmp::flv_tags;

/// Frames of it: 8 s at 30 a second, in which whole frames of sound fit.
pub const FRAMES: usize = 240;
/// Frames of a segment.
const SEGMENT: usize = 60;
/// Frames of sound.
const SOUNDS: usize = 375;

/// Lays it down: `sd` at 320x180, and `audio`.
pub fn lay_down(folder: &Path) {
    let clip = Clip::h264(FRAMES, SEGMENT).size(320, 180);
    let tags = flv_tags(&std::fs::read(clip.file()).expect("the clip is there"));
    let mut records: [Option<Bytes>; 2] = [None, None];
    let mut samples: [Vec<Sample>; 2] = [Vec::new(), Vec::new()];
    for (kind, _, body) in tags {
        let (slot, head, duration) = match kind {
            9 => (0, 5, 3000),
            8 => (1, 2, 1024),
            _ => continue,
        };
        let data = Bytes::from(body.clone()).slice(head..);
        match body[1] {
            0 => records[slot] = Some(data),
            1 => samples[slot].push(Sample {
                duration,
                composition_offset: 0,
                key: slot == 1 || body[0] >> 4 == 1,
                data,
            }),
            _ => {}
        }
    }
    let [Some(picture), Some(sound)] = records else {
        panic!("the clip has picture and sound");
    };
    let declare = |name: &str, config, timescale, bps, rate| Rendition {
        id: RenditionId(0),
        name: name.into(),
        track: Arc::new(Track { config, timescale }),
        peak_bps: bps,
        average_bps: bps / 2,
        frame_rate_millis: rate,
        source: false,
    };
    let picture = CodecConfig::Avc(avc::Config::parse(picture).expect("a record"));
    let sound = CodecConfig::Aac(aac::Config::parse(sound).expect("a record"));
    let mut writer =
        Writer::open(folder, Layout::of(30, 2).expect("a rate of films")).expect("a folder");
    let picture = declare("sd", picture, Timescale::CHANNEL, 2_000_000, 30_000);
    let sound = declare("audio", sound, Timescale::of(48_000), 256_000, 0);
    let video = writer.declare(&picture).expect("a slot");
    let audio = writer.declare(&sound).expect("a slot");
    for (number, frames) in samples[0][..FRAMES].chunks(SEGMENT).enumerate() {
        let start = Ticks((number * SEGMENT * 3000) as i64);
        writer
            .append(video, number as u64, start, frames)
            .expect("room");
    }
    let begins = |segment: usize| (segment * 96_000).div_ceil(1024);
    for number in 0..FRAMES / SEGMENT {
        let (from, to) = (begins(number), begins(number + 1).min(SOUNDS));
        let start = Ticks((from * 1024) as i64);
        writer
            .append(audio, number as u64, start, &samples[1][from..to])
            .expect("room");
    }
    writer.finish(FRAMES as u64, 1).expect("room");
}
