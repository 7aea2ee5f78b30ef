use std::collections::BTreeMap;
use std::io::Write;
use std::thread;

use gstreamer::prelude::*;
use gstreamer_video::VideoFrameExt;

use super::*;
use crate::media::codec::{aac, av1, avc, hevc, opus};
use crate::media::{CodecConfig, rescale};
use crate::transcode::ladder::{Aspect, AudioRung, Book, Rung};
use crate::transcode::protocol::{Colour, Counters, Slate};

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
        encoders,
        vbv_ms: 600,
        thumbnail_ms: 1000,
        resume: Vec::new(),
        colour: None,
        slate: Slate {
            name: "Main <stage> & more".to_owned(),
            image: None,
        },
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
fn a_source_that_changes_its_size_changes_no_rung() {
    let mut first = video(0..30, 320, 180, 30);
    stamp(&mut first.units, &[0]);
    // Another aspect ratio: padded at the sides.
    let mut second = video(30..60, 240, 180, 30);
    stamp(&mut second.units, &[30]);
    let mut third = video(60..90, 160, 90, 30);
    stamp(&mut third.units, &[60]);
    let rungs = vec![rung("sd", 320, 180, false), rung("vld", 160, 90, false)];
    let mut all = messages(&first.track, first.units);
    all.extend(messages(&second.track, second.units));
    all.push(Message::Break);
    all.extend(messages(&third.track, third.units));
    let made = run(setup(rungs, Vec::new()), all);
    assert_eq!(made.last, Some(Message::Finished));
    for index in [0, 1] {
        assert_eq!(made.tracks[&index].len(), 1);
        assert_eq!(made.times(index), (0..90).map(time_of).collect::<Vec<_>>());
        assert_eq!(made.key_times(index), [0, 30, 60].map(time_of));
    }
    let (read, size) = numbers(&made, 0);
    assert_eq!(size, (320, 180));
    assert_eq!(read[..30], (0..30).collect::<Vec<_>>());
    assert_eq!(read[60..], (60..90).collect::<Vec<_>>());
    let CodecConfig::Avc(config) = &made.tracks[&0][0].config else {
        panic!("not H.264");
    };
    let (luma, width, height) = &decoded(config, &made.units[&0])[45];
    let column = |x: usize| {
        (0..*height)
            .map(|y| usize::from(luma[y * width + x]))
            .sum::<usize>()
    };
    assert!(
        column(10) < 25 * height && column(310) < 25 * height,
        "no black borders"
    );
    assert!(column(160) > 40 * height, "no picture between the borders");
}

#[test]
fn hevc_and_av1_sources_get_their_rungs() {
    let pictures = || (0..30).map(|number| picture(number, 320, 180)).collect();
    let size = "width=320,height=180";
    let hevc = coded(
        0,
        pictures(),
        size,
        "x265enc speed-preset=ultrafast key-int-max=15 option-string=log-level=none ! h265parse ! \
         video/x-h265,stream-format=hvc1,alignment=au",
        |record| CodecConfig::Hevc(hevc::Config::parse(record).unwrap()),
    );
    let mut av1 = coded(
        0,
        pictures(),
        size,
        "av1enc cpu-used=8 usage-profile=realtime lag-in-frames=0 keyframe-max-dist=15 ! av1parse ! \
         video/x-av1,stream-format=obu-stream,alignment=tu",
        |first| match av1::Config::parse(first.clone()) {
            Ok(config) => CodecConfig::Av1(config),
            Err(_) => CodecConfig::Av1(av1::Config::from_temporal_unit(&first).unwrap()),
        },
    );
    // A sequence header outside of the units has to do.
    let CodecConfig::Av1(config) = &av1.track.config else {
        panic!("not AV1");
    };
    let header = config.record.slice(4..);
    let first = &mut av1.units[0].data;
    let at = first.windows(header.len()).position(|part| part == header);
    let at = at.expect("the first unit has the sequence header too");
    *first = [&first[..at], &first[at + header.len()..]].concat().into();
    for mut source in [hevc, av1] {
        stamp(&mut source.units, &[0, 15]);
        let name = source.track.codec_string();
        let rungs = vec![rung("vld", 160, 90, false)];
        let made = run(
            setup(rungs, Vec::new()),
            messages(&source.track, source.units),
        );
        assert_eq!(made.last, Some(Message::Finished), "{name}");
        let expected: Vec<i64> = (0..30).map(time_of).collect();
        assert_eq!(made.times(0), expected, "{name}");
        assert_eq!(made.key_times(0), [0, 15].map(time_of), "{name}");
        assert_eq!(numbers(&made, 0).0, (0..30).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn interlaced_pictures_lose_their_combs_and_keep_their_times() {
    gst::init().unwrap();
    for (order, kept) in [("top-field-first", 200), ("bottom-field-first", 50)] {
        // Rows of the one field are light, those of the other dark.
        let comb = |_| {
            let mut pixels = vec![128_u8; 320 * 192 * 3 / 2];
            for (y, row) in pixels[..320 * 192].chunks_exact_mut(320).enumerate() {
                row.fill(if y % 2 == 0 { 200 } else { 50 });
            }
            gst::Buffer::from_slice(pixels)
        };
        let tff = order == "top-field-first";
        let pictures = (0..30).map(comb).map(|mut buffer: gst::Buffer| {
            let mut flags = gstreamer_video::VideoBufferFlags::INTERLACED;
            flags.set(gstreamer_video::VideoBufferFlags::TFF, tff);
            use gstreamer_video::prelude::*;
            buffer.get_mut().unwrap().set_video_flags(flags);
            buffer
        });
        let mut source = coded(
            0,
            pictures.collect(),
            &format!("width=320,height=192,interlace-mode=interleaved,field-order={order}"),
            "x264enc speed-preset=ultrafast interlaced=true bframes=2 b-adapt=false key-int-max=15 \
             bitrate=8000 option-string=scenecut=0 ! video/x-h264,stream-format=avc",
            |record| CodecConfig::Avc(avc::Config::parse(record).unwrap()),
        );
        stamp(&mut source.units, &[0, 15]);
        let rungs = vec![rung("vld", 320, 192, false)];
        let made = run(
            setup(rungs, Vec::new()),
            messages(&source.track, source.units),
        );
        assert_eq!(made.times(0), (0..30).map(time_of).collect::<Vec<_>>());
        assert_eq!(made.key_times(0), [0, 15].map(time_of));
        let CodecConfig::Avc(config) = &made.tracks[&0][0].config else {
            panic!("not H.264");
        };
        let (luma, width, height) = &decoded(config, &made.units[&0])[20];
        for y in 4..height - 4 {
            let value = i32::from(luma[y * width + 160]);
            assert!((value - kept).abs() < 30, "{order}: {value} in row {y}");
        }
    }
}

#[test]
fn a_crop_cuts_the_middle_out() {
    let mut source = video(0..10, 320, 180, 10);
    stamp(&mut source.units, &[0]);
    let mut setup = setup(vec![rung("vld", 100, 180, false)], Vec::new());
    setup.crop = Some(Aspect {
        width: 9,
        height: 16,
    });
    let made = run(setup, messages(&source.track, source.units));
    let CodecConfig::Avc(config) = &made.tracks[&0][0].config else {
        panic!("not H.264");
    };
    let frames = decoded(config, &made.units[&0]);
    assert_eq!((frames[5].1, frames[5].2), (100, 180));
    // Number 5 has its bits 0 and 2 set. The 40 pixel wide columns 2 to 5 show, around x = 160.
    let (luma, width, height) = &frames[5];
    let at = |x: usize| luma[height / 4 * width + x];
    assert!(
        at(3) > 150 && at(25) < 100 && at(60) < 100,
        "{} {}",
        at(3),
        at(25)
    );
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

fn hold(until: usize, boundary: Option<usize>, filler: Filler) -> Message {
    Message::Hold {
        until: Ticks(time_of(until)),
        boundary: boundary.map(|number| Ticks(time_of(number))),
        filler,
    }
}

#[test]
fn a_hole_shows_the_last_picture_on_the_grid_with_an_idr_at_boundaries() {
    let mut before = video(0..30, 320, 180, 30);
    stamp(&mut before.units, &[0]);
    let mut after = video(70..90, 320, 180, 30);
    stamp(&mut after.units, &[70]);
    let mut all = messages(&before.track, before.units);
    all.push(Message::Break);
    // A boundary that is named again does not open again.
    all.push(hold(35, None, Filler::Picture));
    all.push(hold(44, Some(42), Filler::Picture));
    all.push(hold(60, Some(42), Filler::Picture));
    all.push(hold(60, None, Filler::Picture));
    all.push(hold(70, None, Filler::Picture));
    all.extend(messages(&after.track, after.units));
    let rungs = vec![rung("sd", 320, 180, false), rung("vld", 160, 90, true)];
    let made = run(setup(rungs, Vec::new()), all);
    assert_eq!(made.last, Some(Message::Finished));
    assert_eq!(made.times(0), (0..90).map(time_of).collect::<Vec<_>>());
    let opened = [0, 42, 70].map(time_of);
    assert_eq!(
        (made.key_times(0), made.key_times(1)),
        (opened.to_vec(), opened.to_vec())
    );
    assert_eq!(made.times(1).len(), 45);
    let held = std::iter::repeat_n(29, 40);
    let shown: Vec<usize> = (0..30).chain(held).chain(70..90).collect();
    assert_eq!(numbers(&made, 0).0, shown);
}

#[test]
fn pictures_that_come_after_others_took_their_place_are_not_shown() {
    let mut source = video(0..60, 320, 180, 60);
    stamp(&mut source.units, &[0, 50]);
    let late = source.units.split_off(20);
    let mut all = messages(&source.track, source.units);
    all.push(hold(40, None, Filler::Picture));
    all.extend(late.into_iter().map(Message::Unit));
    let made = run(setup(vec![rung("sd", 320, 180, false)], Vec::new()), all);
    assert_eq!(made.times(0), (0..60).map(time_of).collect::<Vec<_>>());
    assert_eq!(made.key_times(0), [0, 50].map(time_of));
    let (shown, _) = numbers(&made, 0);
    // All that were sent before come first, but for those that the decoder reorders.
    let held = shown[39];
    assert!((16..20).contains(&held), "{held}");
    let whole = (0..=held).chain(std::iter::repeat_n(held, 39 - held));
    assert_eq!(shown, whole.chain(40..60).collect::<Vec<_>>());
    assert_eq!(made.counters.skipped_frames as usize, 39 - held);
}

#[test]
fn frames_of_the_ntsc_family_stay_on_their_grid() {
    let mut source = video(0..2, 160, 90, 30);
    stamp(&mut source.units, &[0]);
    let mut all = messages(&source.track, source.units);
    all.push(Message::Break);
    let until = time_of(1) + 59_940 * 3 / 2;
    all.push(Message::Hold {
        until: Ticks(until),
        boundary: None,
        filler: Filler::Picture,
    });
    let mut setup = setup(vec![rung("vld", 160, 90, false)], Vec::new());
    setup.frame_rate_millis = 59_940;
    let made = run(setup, all);
    let times = made.times(0);
    for (n, time) in times[1..].iter().enumerate() {
        // 1501.5 ticks each.
        assert_eq!(*time, time_of(1) + n as i64 * 3003 / 2);
    }
    assert!(until - times.last().unwrap() <= 1502);
}

/// A grey value per row of the upper left corner, and the brightest value of all.
fn tones(made: &Made, at: usize) -> (u8, u8) {
    let CodecConfig::Avc(config) = &made.tracks[&0][0].config else {
        panic!("not H.264");
    };
    let (luma, width, _) = &decoded(config, &made.units[&0])[at];
    (luma[8 * width + 8], *luma.iter().max().unwrap())
}

/// One second of pictures, a hole with a slate, and the configurations of the worker around it.
fn run_slate(image: Option<std::path::PathBuf>, crop: Option<Aspect>) -> Made {
    let mut before = video(0..30, 320, 180, 30);
    stamp(&mut before.units, &[0]);
    let mut after = video(90..100, 320, 180, 30);
    stamp(&mut after.units, &[90]);
    let mut all = messages(&before.track, before.units);
    all.push(Message::Break);
    all.push(hold(40, None, Filler::Picture));
    all.push(hold(90, Some(60), Filler::Slate));
    all.extend(messages(&after.track, after.units));
    let mut setup = setup(vec![rung("sd", 320, 180, false)], Vec::new());
    setup.slate.image = image;
    if let Some(aspect) = crop {
        setup.crop = Some(aspect);
        // Less than what is cut off the source.
        (setup.video[0].width, setup.video[0].height) = (96, 96);
    }
    let made = run(setup, all);
    assert_eq!(made.last, Some(Message::Finished));
    assert_eq!(made.times(0), (0..100).map(time_of).collect::<Vec<_>>());
    assert_eq!(made.key_times(0), [0, 60, 90].map(time_of));
    // Nothing of the encoder's configuration changes.
    assert_eq!(made.tracks[&0].len(), 1);
    made
}

#[test]
fn a_long_hole_shows_a_dark_slate_with_bright_words() {
    for crop in [
        None,
        Some(Aspect {
            width: 1,
            height: 1,
        }),
    ] {
        let made = run_slate(None, crop);
        assert_eq!(made.warnings, [""; 0]);
        let (corner, brightest) = tones(&made, 80);
        assert!((20..50).contains(&corner), "the ground is {corner}");
        assert!(brightest > 150, "no words on it: {brightest}");
        if crop.is_none() {
            // What comes after it is the source again.
            assert_eq!(numbers(&made, 0).0[90..], (90..100).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_channels_own_image_is_its_slate() {
    gst::init().unwrap();
    let folder = std::env::temp_dir();
    let id = crate::base::id::Uuid::new_v4();
    // Square, so that it gets borders at the sides.
    let white = gst::Buffer::from_slice(vec![0xff_u8; 64 * 64 * 4]);
    let caps = "video/x-raw,format=RGBA,width=64,height=64,framerate=30/1";
    for (chain, name) in [("pngenc", "png"), ("videoconvert ! jpegenc", "jpg")] {
        let (_, samples) = through(caps, chain, vec![white.copy()]);
        let path = folder.join(format!("forebay-slate-{id}.{name}"));
        std::fs::write(&path, payload(&samples[0])).unwrap();
        let made = run_slate(Some(path.clone()), None);
        std::fs::remove_file(path).unwrap();
        assert_eq!(made.warnings, [""; 0], "{name}");
        let (corner, brightest) = tones(&made, 80);
        assert!(
            corner < 30 && brightest > 220,
            "{name}: {corner} {brightest}"
        );
    }
    for content in [&b"GIF89a"[..], b"\x89PNG no more", b""] {
        let path = folder.join(format!("forebay-slate-{id}"));
        std::fs::write(&path, content).unwrap();
        let made = run_slate(Some(path.clone()), None);
        std::fs::remove_file(path).unwrap();
        assert_eq!(made.warnings.len(), 1, "{:?}", made.warnings);
        assert!(made.warnings[0].contains("slate image"));
        assert!((20..50).contains(&tones(&made, 80).0));
    }
}

// ---- going on where another worker ended --------------------------------------------------------

#[test]
fn each_rung_goes_on_with_an_idr_just_behind_what_was_published() {
    let mut source = video(30..80, 320, 180, 25);
    stamp(&mut source.units, &[30, 60]);
    let rungs = vec![
        rung("sd", 320, 180, false),
        rung("ld", 256, 144, false),
        rung("vld", 160, 90, false),
        rung("uld", 128, 72, true),
    ];
    let mut setup = setup(rungs, Vec::new());
    let end = |number| Some(time_of(number) + 1);
    setup.resume = vec![end(36), end(43), None, end(38)];
    let made = run(setup, messages(&source.track, source.units));
    let keys = |first| vec![time_of(first), time_of(60)];
    assert_eq!(made.times(0), (37..80).map(time_of).collect::<Vec<_>>());
    assert_eq!(made.key_times(0), keys(37));
    assert_eq!(made.times(1), (44..80).map(time_of).collect::<Vec<_>>());
    assert_eq!(made.key_times(1), keys(44));
    assert!([39, 40].map(time_of).contains(&made.times(3)[0]));
    assert_eq!(made.key_times(3)[1..], [time_of(60)]);
    // One that never gave anything begins at a boundary.
    assert_eq!(made.times(2), (60..80).map(time_of).collect::<Vec<_>>());
}

#[test]
fn a_worker_that_starts_in_a_hole_holds_on_where_another_ended() {
    let mut source = video(0..30, 320, 180, 30);
    stamp(&mut source.units, &[0]);
    let mut all = messages(&source.track, source.units);
    all.push(Message::Break);
    // A minute and a half later.
    let (boundary, until) = (2700, 2760);
    all.push(hold(until, Some(boundary), Filler::Slate));
    let mut setup = setup(vec![rung("sd", 320, 180, false)], Vec::new());
    setup.resume = vec![Some(time_of(2709) + 1)];
    setup.colour = Some(Colour {
        colorimetry: "bt709".to_owned(),
        chroma_site: None,
    });
    let made = run(setup, all);
    assert_eq!(
        made.times(0),
        (2710..until).map(time_of).collect::<Vec<_>>()
    );
    assert_eq!(made.key_times(0), [time_of(2710)]);
    // What was pinned stays pinned, and the slate is there from the first picture on.
    assert_eq!(made.colour.as_ref().unwrap().colorimetry, "bt709");
    assert!((20..50).contains(&tones(&made, 0).0));
    assert!(made.counters.frames < 60);
}

#[test]
fn a_hole_before_any_picture_shows_the_slate() {
    let rungs = vec![rung("sd", 320, 180, false)];
    let made = run(
        setup(rungs, Vec::new()),
        vec![hold(20, Some(10), Filler::Picture)],
    );
    assert_eq!(made.times(0), (10..20).map(time_of).collect::<Vec<_>>());
    assert!((20..50).contains(&tones(&made, 5).0));
}

#[test]
fn a_rung_that_is_shed_ends_and_the_others_go_on() {
    let mut source = video(0..60, 320, 180, 30);
    stamp(&mut source.units, &[0, 30]);
    let rest = source.units.split_off(30);
    let mut all = messages(&source.track, source.units);
    // Only what was decoded is sure to be encoded.
    all.push(hold(0, None, Filler::Picture));
    all.push(Message::Shed { index: 0 });
    all.extend(rest.into_iter().map(Message::Unit));
    let rungs = vec![rung("sd", 320, 180, false), rung("vld", 160, 90, false)];
    let made = run(setup(rungs, Vec::new()), all);
    // A few are on their way.
    assert!((20..=30).contains(&made.times(0).len()));
    assert_eq!(made.times(1), (0..60).map(time_of).collect::<Vec<_>>());
}

// ---- audio -------------------------------------------------------------------------------------

/// Two seconds of stereo with a tone from `beep` on, for a tenth of a second; samples at `rate`.
fn tone(rate: usize, beep: f64) -> Vec<gst::Buffer> {
    gst::init().unwrap();
    let samples = (0..2 * rate).flat_map(|n| {
        let time = n as f64 / rate as f64 - beep;
        let level = if (0.0..0.1).contains(&time) {
            (time * 1000.0 * std::f64::consts::TAU).sin() as f32 * 0.8
        } else {
            0.0
        };
        [level, level].map(f32::to_le_bytes).concat()
    });
    let bytes: Vec<u8> = samples.collect();
    let mut buffer = gst::Buffer::from_slice(bytes);
    buffer.get_mut().unwrap().set_pts(gst::ClockTime::ZERO);
    vec![buffer]
}

pub(in crate::transcode) fn encoded_tone(
    codec: &str,
    rate: usize,
    beep: f64,
) -> (Track, Vec<Unit>) {
    let raw = format!("audio/x-raw,format=F32LE,layout=interleaved,rate={rate},channels=2");
    let chain = match codec {
        "aac" => "audioconvert ! avenc_aac bitrate=128000",
        _ => "audioconvert ! opusenc bitrate=128000",
    };
    let (caps, samples) = through(&raw, chain, tone(rate, beep));
    // What each encoder puts before the sound: see `Grid` and RFC 7845 §4.2.
    let (frame, delay) = if codec == "aac" {
        (1024, 1024)
    } else {
        (960, 312)
    };
    let config = if codec == "aac" {
        CodecConfig::Aac(aac::Config::parse(record(&caps)).unwrap())
    } else {
        CodecConfig::Opus(opus::Config::new(2).unwrap())
    };
    let scale = Timescale::of(rate as u32);
    let start = rescale(Ticks(START), Timescale::CHANNEL, scale).0;
    let units = samples.iter().enumerate().map(|(n, sample)| Unit {
        kind: MediaKind::Audio,
        key: true,
        dts: Ticks(start + n as i64 * frame - delay),
        pts: Ticks(start + n as i64 * frame - delay),
        boundary: None,
        data: payload(sample),
    });
    let units = units.collect();
    let track = Track {
        config,
        timescale: scale,
    };
    (track, units)
}

/// Seconds after `START` at which the decoded AAC gets loud, and the sample rate it has.
fn onset(made: &Made, index: u8) -> f64 {
    let track = &made.tracks[&index][0];
    let CodecConfig::Aac(config) = &track.config else {
        panic!("not AAC");
    };
    let hex: String = config.record.iter().map(|b| format!("{b:02x}")).collect();
    let caps = format!(
        "audio/mpeg,mpegversion=4,stream-format=raw,framed=true,rate={},channels=2,\
         codec_data=(buffer){hex}",
        config.sample_rate
    );
    let units = &made.units[&index];
    let input = units
        .iter()
        .map(|(_, _, data)| gst::Buffer::from_slice(data.clone()));
    let chain = "avdec_aac ! audioconvert ! audio/x-raw,format=F32LE,layout=interleaved";
    let (_, samples) = through(&caps, chain, input.collect());
    let sound: Vec<u8> = samples.iter().flat_map(|s| payload(s).to_vec()).collect();
    let loud = sound
        .chunks_exact(8)
        .position(|frame| f32::from_le_bytes(frame[..4].try_into().unwrap()).abs() > 0.2);
    let first = units[0].1.0 as f64 / f64::from(config.sample_rate);
    first + loud.unwrap() as f64 / f64::from(config.sample_rate) - START as f64 / 90_000.0
}

fn audio_rung(name: &str, kbps: u32, sample_rate: u32) -> AudioRung {
    AudioRung {
        name: name.to_owned(),
        kbps,
        sample_rate,
        channels: 2,
    }
}

#[test]
fn opus_becomes_aac_in_sync() {
    let (track, units) = encoded_tone("opus", 48_000, 1.0);
    let rungs = vec![
        audio_rung("ahi", 128, 48_000),
        audio_rung("alo", 64, 48_000),
    ];
    let made = run(setup(Vec::new(), rungs), messages(&track, units));
    assert_eq!(made.last, Some(Message::Finished));
    for index in [0, 1] {
        assert_eq!(made.tracks[&index][0].codec_string(), "mp4a.40.2");
        let at = onset(&made, index);
        assert!((at - 1.0).abs() < 0.005, "encoding {index}: beep at {at} s");
        let times = made.times(index);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 1024));
    }
}

#[test]
fn odd_sample_rates_become_48_khz_in_sync() {
    let (track, units) = encoded_tone("aac", 32_000, 0.7);
    let made = run(
        setup(Vec::new(), vec![audio_rung("ahi", 128, 48_000)]),
        messages(&track, units),
    );
    let at = onset(&made, 0);
    assert!((at - 0.7).abs() < 0.005, "beep at {at} s");
}

#[test]
fn a_hole_in_the_sound_does_not_move_what_follows() {
    let (track, mut units) = encoded_tone("aac", 48_000, 1.5);
    units.drain(20..45);
    let made = run(
        setup(Vec::new(), vec![audio_rung("ahi", 128, 48_000)]),
        messages(&track, units),
    );
    let at = onset(&made, 0);
    assert!((at - 1.5).abs() < 0.005, "beep at {at} s");
    assert_eq!(made.counters.silence_samples, 25 * 1024);
}

#[test]
fn sound_and_picture_keep_their_places() {
    let mut source = video(0..60, 160, 90, 30);
    stamp(&mut source.units, &[0, 30]);
    let (audio_track, audio_units) = encoded_tone("opus", 48_000, 1.0);
    let rungs = vec![rung("vld", 160, 90, false)];
    let setup = setup(rungs, vec![audio_rung("ahi", 128, 48_000)]);
    let mut all = messages(&source.track, Vec::new());
    all.push(Message::Track(Box::new(audio_track)));
    let mut units = source.units;
    units.extend(audio_units);
    units.sort_by_key(|unit| match unit.kind {
        MediaKind::Video => rescale(unit.dts, Timescale::CHANNEL, Timescale::NANOS),
        MediaKind::Audio => rescale(unit.dts, Timescale::of(48_000), Timescale::NANOS),
    });
    all.extend(units.into_iter().map(Message::Unit));
    let made = run(setup, all);
    assert_eq!(numbers(&made, 0).0, (0..60).collect::<Vec<_>>());
    assert_eq!(made.times(0)[30] - START, 90_000);
    let at = onset(&made, 1);
    assert!((at - 1.0).abs() < 0.005, "beep at {at} s");
}

// ---- the process -------------------------------------------------------------------------------

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
