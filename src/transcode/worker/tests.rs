use std::collections::BTreeMap;
use std::io::Write;
use std::thread;

use gstreamer::prelude::*;
use gstreamer_video::VideoFrameExt;

use super::*;
use crate::media::codec::{aac, av1, avc, hevc, opus};
use crate::media::{CodecConfig, rescale};
use crate::transcode::ladder::{Aspect, AudioCodec, AudioRung, Book, Rung};
use crate::transcode::protocol::{Colour, Counters, Slate};

mod holes;
mod keys;
pub(in crate::transcode) mod sound;
mod sources;

/// Channel time of the first test picture: neither zero nor a whole second.
const START: i64 = 90_000 * 1000 + 4321;
/// Digits of a picture's number, drawn as columns.
const BITS: usize = 8;

// ---- sources -----------------------------------------------------------------------------------

/// Pushes raw buffers through a pipeline and gives back its caps and what comes out.
fn through(caps: &str, chain: &str, input: Vec<gst::Buffer>) -> (gst::Caps, Vec<gst::Sample>) {
    gst::init().unwrap();
    let text = format!(
        "appsrc name=in format=time caps={caps} max-bytes=0 ! {chain} ! appsink name=out sync=false"
    );
    let pipeline = elements::parse(&text).unwrap();
    let (source, sink) = (
        elements::source(&pipeline, "in"),
        elements::sink(&pipeline, "out"),
    );
    pipeline.set_state(gst::State::Playing).unwrap();
    let feed = thread::spawn(move || {
        for buffer in input {
            source.push_buffer(buffer).unwrap();
        }
        source.end_of_stream().unwrap();
    });
    let mut output = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        output.push(sample);
    }
    feed.join().unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    let caps = output.first().unwrap().caps_owned().unwrap();
    (caps, output)
}

fn record(caps: &gst::Caps) -> Bytes {
    let buffer = caps.structure(0).unwrap().get::<gst::Buffer>("codec_data");
    graph::bytes_of(buffer.unwrap()).unwrap()
}

fn payload(sample: &gst::Sample) -> Bytes {
    graph::bytes_of(sample.buffer_owned().unwrap()).unwrap()
}

/// A picture with its number drawn as black and white columns, on moving grey.
fn picture(number: usize, width: usize, height: usize) -> gst::Buffer {
    gst::init().unwrap();
    let mut pixels = vec![128_u8; width * height * 3 / 2];
    for y in 0..height {
        for x in 0..width {
            let bit = number >> (x * BITS / width) & 1;
            pixels[y * width + x] = if y < height / 2 {
                [30, 220][bit]
            } else {
                (60 + (x + y + number * 5) % 100) as u8
            };
        }
    }
    gst::Buffer::from_slice(pixels)
}

pub(in crate::transcode) struct Video {
    pub(in crate::transcode) track: Track,
    pub(in crate::transcode) units: Vec<Unit>,
}

/// H.264 with B-frames, numbered pictures `numbers`, 30 fps, key units every `gop`, no boundaries.
pub(in crate::transcode) fn video(
    numbers: std::ops::Range<usize>,
    width: usize,
    height: usize,
    gop: usize,
) -> Video {
    let chain = format!(
        "x264enc speed-preset=ultrafast bframes=2 b-adapt=false key-int-max={gop} bitrate=1500 \
         option-string=scenecut=0:open-gop=0 ! video/x-h264,stream-format=avc,profile=main"
    );
    let pictures = numbers.clone().map(|number| picture(number, width, height));
    let size = format!("width={width},height={height}");
    coded(numbers.start, pictures.collect(), &size, &chain, |record| {
        CodecConfig::Avc(avc::Config::parse(record).unwrap())
    })
}

/// Pictures of which the first has the number `first`, coded by `chain`, at 30 fps. `form` is what
/// their caps have beside the format and the rate.
fn coded(
    first: usize,
    pictures: Vec<gst::Buffer>,
    form: &str,
    chain: &str,
    config: impl Fn(Bytes) -> CodecConfig,
) -> Video {
    let count = pictures.len();
    let input = pictures.into_iter().enumerate().map(|(at, mut buffer)| {
        let at = at as u64;
        let fields = buffer.get_mut().unwrap();
        fields.set_pts(gst::ClockTime::from_nseconds(at * 1_000_000_000 / 30));
        fields.set_duration(gst::ClockTime::from_nseconds(1_000_000_000 / 30));
        buffer
    });
    let caps = format!("video/x-raw,format=I420,framerate=30/1,{form}");
    let (caps, samples) = through(&caps, chain, input.collect());
    assert_eq!(samples.len(), count);
    let units = samples.iter().enumerate().map(|(at, sample)| {
        let segment = sample.segment().unwrap();
        let segment = segment.downcast_ref::<gst::ClockTime>().unwrap().clone();
        let buffer = sample.buffer().unwrap();
        let nanos = segment.to_running_time(buffer.pts()).unwrap().nseconds() as i64;
        let pts = rescale(Ticks(nanos), Timescale::NANOS, Timescale::CHANNEL);
        let offset = START + first as i64 * 3000;
        Unit {
            kind: MediaKind::Video,
            key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            // Two pictures of reorder delay.
            dts: Ticks(offset + (at as i64 - 2) * 3000),
            pts: Ticks(pts.0 + offset),
            boundary: None,
            data: payload(sample),
        }
    });
    let units = units.collect();
    let config = config(match caps.structure(0).unwrap().has_field("codec_data") {
        true => record(&caps),
        false => payload(&samples[0]),
    });
    Video {
        track: Track {
            config,
            timescale: Timescale::CHANNEL,
        },
        units,
    }
}

/// Channel time of a numbered picture.
pub(in crate::transcode) fn time_of(number: usize) -> i64 {
    START + number as i64 * 3000
}

/// Stamps a boundary on the units of these picture numbers.
pub(in crate::transcode) fn stamp(units: &mut [Unit], numbers: &[usize]) {
    for unit in units {
        if numbers.iter().any(|number| time_of(*number) == unit.pts.0) {
            unit.boundary = Some(unit.pts);
        }
    }
}

// ---- the worker --------------------------------------------------------------------------------

fn rung(name: &str, width: u32, height: u32, half_rate: bool) -> Rung {
    Rung {
        name: name.to_owned(),
        width,
        height,
        kbps: 400,
        peak_bps: 500_000,
        profile: "high".to_owned(),
        frame_rate_millis: if half_rate { 15_000 } else { 30_000 },
        half_rate,
    }
}

fn setup(video: Vec<Rung>, audio: Vec<AudioRung>) -> Setup {
    let mut encoders = Book::built_in().encoders;
    encoders.retain(|template| template.element == "x264enc");
    Setup {
        video,
        audio,
        crop: None,
        frame_rate_millis: 30_000,
        frames: None,
        encoders,
        vbv_ms: 600,
        thumbnail_ms: 1000,
        resume: Vec::new(),
        colour: None,
        slate: Some(Slate {
            name: "Main <stage> & more".to_owned(),
            image: None,
        }),
    }
}

#[derive(Default)]
struct Made {
    tracks: BTreeMap<u8, Vec<Track>>,
    units: BTreeMap<u8, Vec<(bool, Ticks, Bytes)>>,
    thumbnails: Vec<Bytes>,
    counters: Counters,
    colour: Option<Colour>,
    warnings: Vec<String>,
    last: Option<Message>,
}

impl Made {
    fn times(&self, index: u8) -> Vec<i64> {
        self.units[&index].iter().map(|(_, pts, _)| pts.0).collect()
    }

    fn key_times(&self, index: u8) -> Vec<i64> {
        let keys = self.units[&index].iter().filter(|(key, _, _)| *key);
        keys.map(|(_, pts, _)| pts.0).collect()
    }
}

/// Runs the worker's loop in this process over a socket pair.
fn run(setup: Setup, messages: Vec<Message>) -> Made {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let writing = theirs.try_clone().unwrap();
    let (output, queue) = Output::new();
    let writer = thread::spawn(move || output::write_all(&queue, writing).unwrap());
    let worker = thread::spawn(move || {
        output.send(match serve(theirs, &output) {
            Ok(true) => Message::Finished,
            Ok(false) => return,
            Err(error) => failure(&error),
        });
    });
    let mut sending = ours.try_clone().unwrap();
    let feeder = thread::spawn(move || {
        let start = [Message::Setup(Box::new(setup))];
        for message in start.into_iter().chain(messages).chain([Message::End]) {
            let frame = message.encode().unwrap();
            let whole = [&frame.head[..], &frame.payload[..]].concat();
            if sending.write_all(&whole).is_err() {
                return;
            }
        }
    });
    let mut made = Made::default();
    let mut reading = ours;
    while let Some(message) = read_message(&mut reading).unwrap() {
        match message {
            Message::RungTrack { index, track } => {
                made.tracks.entry(index).or_default().push(*track);
            }
            Message::RungUnit {
                index,
                key,
                pts,
                data,
                ..
            } => made.units.entry(index).or_default().push((key, pts, data)),
            Message::Thumbnail(jpeg) => made.thumbnails.push(jpeg),
            Message::Statistics(counters) => made.counters = counters,
            Message::Colour(colour) => made.colour = Some(colour),
            Message::Warning(text) => made.warnings.push(text),
            message @ (Message::Finished | Message::Failed { .. }) => {
                made.last = Some(message);
                break;
            }
            other => panic!("the worker says {other:?}"),
        }
    }
    drop(reading);
    if made.last != Some(Message::Finished) {
        // The process would have ended: its threads may wait for elements that failed.
        return made;
    }
    worker.join().unwrap();
    writer.join().unwrap();
    feeder.join().unwrap();
    made
}

fn messages(track: &Track, units: Vec<Unit>) -> Vec<Message> {
    let start = [Message::Track(Box::new(track.clone()))];
    start
        .into_iter()
        .chain(units.into_iter().map(Message::Unit))
        .collect()
}

/// The numbers drawn in a rung's pictures, and the pictures' size.
fn numbers(made: &Made, index: u8) -> (Vec<usize>, (usize, usize)) {
    let CodecConfig::Avc(config) = &made.tracks[&index][0].config else {
        panic!("not H.264");
    };
    let pixels: Vec<(Vec<u8>, usize, usize)> = decoded(config, &made.units[&index]);
    let (_, width, height) = pixels[0];
    let read = |(luma, width, height): &(Vec<u8>, usize, usize)| {
        (0..BITS)
            .map(|bit| {
                let x = (2 * bit + 1) * width / (2 * BITS);
                usize::from(luma[height / 4 * width + x] > 125) << bit
            })
            .sum()
    };
    (pixels.iter().map(read).collect(), (width, height))
}

/// Luma of every picture, without stride.
fn decoded(config: &avc::Config, units: &[(bool, Ticks, Bytes)]) -> Vec<(Vec<u8>, usize, usize)> {
    let hex: String = config.record.iter().map(|b| format!("{b:02x}")).collect();
    let caps = format!("video/x-h264,stream-format=avc,alignment=au,codec_data=(buffer){hex}");
    let input = units.iter().map(|(key, pts, data)| {
        let mut buffer = gst::Buffer::from_slice(data.clone());
        let nanos = rescale(*pts, Timescale::CHANNEL, Timescale::NANOS);
        let fields = buffer.get_mut().unwrap();
        fields.set_pts(gst::ClockTime::from_nseconds(nanos.0 as u64));
        if !key {
            fields.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        buffer
    });
    let (_, samples) = through(&caps, "avdec_h264 ! videoconvertscale", input.collect());
    let luma = |sample: &gst::Sample| {
        let info = gstreamer_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let buffer = sample.buffer_owned().unwrap();
        let frame = gstreamer_video::VideoFrame::from_buffer_readable(buffer, &info).unwrap();
        let (width, height) = (info.width() as usize, info.height() as usize);
        let stride = frame.plane_stride()[0] as usize;
        let plane = frame.plane_data(0).unwrap();
        let rows = (0..height).flat_map(|y| plane[y * stride..y * stride + width].to_vec());
        (rows.collect(), width, height)
    };
    samples.iter().map(luma).collect()
}

// ---- video -------------------------------------------------------------------------------------

#[test]
fn every_picture_comes_out_in_order_with_an_idr_at_boundaries_only() {
    // Key units of the source at 0, 25, 50, 75: not the boundaries, except the first.
    let mut source = video(0..90, 320, 180, 25);
    let boundaries = [0, 33, 60];
    stamp(&mut source.units, &boundaries);
    let rungs = vec![
        rung("sd", 320, 180, false),
        rung("ld", 256, 144, false),
        rung("vld", 160, 90, true),
    ];
    let made = run(
        setup(rungs, Vec::new()),
        messages(&source.track, source.units),
    );
    assert_eq!(made.last, Some(Message::Finished));
    let all: Vec<i64> = (0..90).map(time_of).collect();
    let opened: Vec<i64> = boundaries.into_iter().map(time_of).collect();
    for (index, size) in [(0, (320, 180)), (1, (256, 144))] {
        assert_eq!(made.times(index), all, "rung {index}");
        assert_eq!(made.key_times(index), opened, "rung {index}");
        assert_eq!(numbers(&made, index), ((0..90).collect(), size));
    }
    // Half the rate: every boundary's picture is there, and every second one after it.
    let kept: Vec<usize> = (0..33)
        .step_by(2)
        .chain((33..60).step_by(2))
        .chain((60..90).step_by(2))
        .collect();
    assert_eq!(numbers(&made, 2), (kept.clone(), (160, 90)));
    let times: Vec<i64> = kept.into_iter().map(time_of).collect();
    assert_eq!(made.times(2), times);
    assert_eq!(made.key_times(2), opened);
    assert_eq!(made.counters.frames, 90);
    assert_eq!(made.counters.late_boundaries, 0);
    assert!(made.thumbnails.len() >= 2);
    assert!(
        made.thumbnails
            .iter()
            .all(|jpeg| jpeg.starts_with(&[0xff, 0xd8]))
    );
}

#[test]
fn units_are_length_prefixed_and_carry_no_parameter_sets() {
    let mut source = video(0..10, 160, 90, 5);
    stamp(&mut source.units, &[0, 5]);
    let rungs = vec![rung("vld", 160, 90, false)];
    let made = run(
        setup(rungs, Vec::new()),
        messages(&source.track, source.units),
    );
    for (key, _, data) in &made.units[&0] {
        let mut at = 0;
        while at < data.len() {
            let length = u32::from_be_bytes(data[at..at + 4].try_into().unwrap()) as usize;
            let kind = data[at + 4] & 0x1f;
            assert!([1, 5].contains(&kind), "NAL type {kind}");
            assert_eq!(kind == 5, *key);
            at += 4 + length;
        }
        assert_eq!(at, data.len());
    }
}

#[test]
fn a_boundary_before_an_encoders_first_output_does_not_deafen_it() {
    // A lookahead of 20 pictures: the second boundary comes while the encoder is still silent.
    let mut source = video(0..90, 160, 90, 30);
    stamp(&mut source.units, &[0, 5, 40, 60, 75]);
    let mut setup = setup(vec![rung("vld", 160, 90, false)], Vec::new());
    let properties = &mut setup.encoders[0].properties;
    properties.insert("rc-lookahead".to_owned(), "20".to_owned());
    properties.insert("mb-tree".to_owned(), "true".to_owned());
    let made = run(setup, messages(&source.track, source.units));
    assert_eq!(made.counters.late_boundaries, 1);
    let keys = made.key_times(0);
    assert_eq!(keys[0], time_of(0));
    // Opened late, but before the next one, and that one and all later ones in time.
    assert!(time_of(5) < keys[1] && keys[1] < time_of(40), "{keys:?}");
    assert_eq!(keys[2..], [40, 60, 75].map(time_of));
    assert_eq!(made.times(0).len(), 90);
}

#[test]
fn pictures_before_the_first_boundary_are_left_out() {
    let mut source = video(0..40, 160, 90, 10);
    stamp(&mut source.units, &[20]);
    let rungs = vec![rung("vld", 160, 90, false)];
    let made = run(
        setup(rungs, Vec::new()),
        messages(&source.track, source.units),
    );
    assert_eq!(made.times(0), (20..40).map(time_of).collect::<Vec<_>>());
    assert_eq!(made.counters.skipped_frames, 20);
}

#[test]
fn a_missing_element_is_named_with_its_package() {
    let source = video(0..1, 160, 90, 1);
    let mut units = source.units;
    stamp(&mut units, &[0]);
    let mut setup = setup(vec![rung("vld", 160, 90, false)], Vec::new());
    setup.encoders.clear();
    let made = run(setup, messages(&source.track, units));
    let Some(Message::Failed {
        element, package, ..
    }) = made.last
    else {
        panic!("{:?}", made.last);
    };
    assert_eq!(element, "x264enc");
    assert_eq!(package.as_deref(), Some("gstreamer1.0-plugins-ugly"));
}

// ---- holes -------------------------------------------------------------------------------------

#[test]
fn the_loop_ends_when_the_bridge_is_gone() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (output, _queue) = Output::new();
    drop(ours);
    assert!(matches!(serve(theirs, &output), Ok(false)));
}

#[test]
fn a_message_out_of_order_is_refused() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let (output, _queue) = Output::new();
    ours.write_all(&Message::Break.encode().unwrap().head)
        .unwrap();
    assert!(serve(theirs, &output).is_err());
}
