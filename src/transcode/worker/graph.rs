//! Pictures in, H.264 rungs and thumbnails out: one pipeline that lives as long as the stream.
//!
//! ```text
//! appsrc ─ (deinterlace) ─ (crop) ─ scale ─┬─ queue ─ encoder ─ appsink        one thread per encoder
//!                          └─ scale ─┬─ queue ─ encoder ─ appsink
//!                                    └─ …                      scaling in the source's thread
//! ```
//! Size, rate, colour and pixel aspect behind each scaler are fixed when the first picture comes, so
//! a source that changes in mid-stream changes no rung's configuration.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::elements;
use super::keys;
use super::leave::Leave;
use super::marks::Marks;
use super::output::Output;
use super::times::Times;
use crate::media::{Ticks, Timescale};
use crate::transcode::Error;
use crate::transcode::encoder::{self, Template};
use crate::transcode::protocol::{Colour, Message, Setup};

/// Pictures between decoder and scalers. Bounds memory (a 1080p picture has 3 MB) and latency.
const SOURCE_QUEUE: u64 = 2;
/// Pictures before each encoder: evens out the cost of IDR pictures among the rungs.
const RUNG_QUEUE: u32 = 4;
/// How long encoders may take to give out what they hold, seconds.
const DRAIN_S: u64 = 10;
/// Width of a thumbnail, pixels.
const THUMBNAIL_WIDTH: u32 = 320;

/// The encoders of one stream's video.
#[derive(Debug)]
pub(in crate::transcode) struct Graph {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    ended: Receiver<()>,
    /// Per rung, whether nothing is made of it any more.
    shut: Vec<Arc<AtomicBool>>,
    /// Per rung, whether its next picture is to be a key unit.
    wanted: Vec<Arc<AtomicBool>>,
    /// What is cut off at each side, for each description on its way to the cutter.
    crops: Arc<Mutex<VecDeque<[i32; 4]>>>,
    /// Height of the first rung, pixels.
    top_lines: u32,
}

impl Graph {
    /// Builds and starts the encoders.
    pub(super) fn new(
        setup: &Setup,
        colour: &Colour,
        marks: &Arc<Mutex<Marks>>,
        times: &Arc<Times>,
        output: &Output,
    ) -> Result<Graph, Error> {
        let template = encoder::choose(&setup.encoders, elements::exists).ok_or_else(|| {
            Error::MissingElement {
                // Of all that would do, the one that needs no hardware.
                element: "x264enc".to_owned(),
                package: "gstreamer1.0-plugins-ugly".to_owned(),
            }
        })?;
        let pipeline = elements::parse(&description(setup, template, colour))?;
        output.watch(&pipeline);
        let source = elements::source(&pipeline, "in");
        let (tell, ended) = sync_channel(setup.video.len());
        let (mut shut, mut wanted) = (Vec::new(), Vec::new());
        for (index, rung) in setup.video.iter().enumerate() {
            let element = elements::named(&pipeline, &format!("enc{index}"));
            for (name, value) in template.properties_for(rung.kbps, setup.vbv_ms) {
                if element.find_property(&name).is_some() {
                    element.set_property_from_str(&name, &value);
                }
            }
            wanted.push(keys::force(&element, marks, output));
            let queue = elements::named(&pipeline, &format!("q{index}"));
            shut.push(gate(&queue, resume(setup, index, times), marks));
            let tell = tell.clone();
            let number = u8::try_from(index).expect("a ladder has fewer than 256 rungs");
            let mut leave = Leave::new(number, times, output);
            elements::sink(&pipeline, &format!("out{index}")).set_callbacks(
                gst_app::AppSinkCallbacks::builder()
                    .new_sample(move |sink| {
                        leave.handle_sample(sink.pull_sample().map_err(|_| gst::FlowError::Eos)?)
                    })
                    .eos(move |_| {
                        // Full cannot be: there is room for one word of each rung.
                        let _ = tell.try_send(());
                    })
                    .build(),
            );
        }
        if let Some(first) = setup.video.iter().position(|rung| rung.half_rate) {
            let scale = elements::named(&pipeline, &format!("scale{first}"));
            let pad = scale.static_pad("sink").expect("a scaler has a sink pad");
            let rate = fraction(setup.video[first].frame_rate_millis);
            halve_rate(&pad, rate, resume(setup, first, times), marks);
        }
        if pipeline.by_name("thumb").is_some() {
            thumbnails(&pipeline, setup.thumbnail_ms, marks, output);
        }
        let crops = Arc::default();
        if let Some(element) = pipeline.by_name("crop") {
            cut(&element, &crops);
        }
        elements::play(&pipeline)?;
        Ok(Graph {
            crops,
            pipeline,
            source,
            ended,
            shut,
            wanted,
            top_lines: setup.video.first().map_or(0, |rung| rung.height),
        })
    }

    /// What the pictures that follow look like. `pad` says whether borders keep their aspect.
    pub(super) fn set_caps(&self, caps: &gst::Caps, pad: bool, crop: Option<[i32; 4]>) {
        if let Some(element) = self.pipeline.by_name("fields") {
            let order = caps
                .structure(0)
                .and_then(|s| s.get::<&str>("field-order").ok());
            let bottom = order == Some("bottom-field-first");
            element.set_property_from_str("fields", if bottom { "bottom" } else { "top" });
        }
        let scale = elements::named(&self.pipeline, "scale0");
        scale.set_property("add-borders", pad);
        let lines = caps.structure(0).and_then(|s| s.get::<i32>("height").ok());
        let lines = lines.and_then(|lines| u32::try_from(lines).ok());
        let lines = lines.unwrap_or(self.top_lines).saturating_sub(
            crop.map_or(0, |[_, _, top, bottom]| {
                top.unsigned_abs() + bottom.unsigned_abs()
            }),
        );
        scale.set_property_from_str("method", method(lines, self.top_lines));
        // The source passes on only what differs.
        if self.source.caps().as_ref() != Some(caps) {
            lock(&self.crops).push_back(crop.unwrap_or_default());
        }
        self.source.set_caps(Some(caps));
    }

    /// Stops one rung.
    pub(super) fn shed(&self, index: usize) {
        if let Some(shut) = self.shut.get(index) {
            shut.store(true, Ordering::Relaxed);
        }
    }

    /// Makes the next picture of one rung a key unit.
    pub(super) fn want_key_unit(&self, index: usize) {
        if let Some(wanted) = self.wanted.get(index) {
            wanted.store(true, Ordering::Relaxed);
        }
    }

    /// Whether interlaced pictures may come.
    pub(super) fn deinterlaces(&self) -> bool {
        self.pipeline.by_name("fields").is_some()
    }

    /// Encodes one picture. Waits when the encoders are behind.
    pub(super) fn push(&self, picture: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.source.push_buffer(picture)
    }

    /// Gives out what is inside and ends.
    pub(in crate::transcode) fn drain(self) -> Result<(), Error> {
        let _ = self.source.end_of_stream();
        for _ in &self.shut {
            self.ended
                .recv_timeout(Duration::from_secs(DRAIN_S))
                .map_err(|_| Error::Stuck(DRAIN_S))?;
        }
        Ok(())
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// The pipeline's text.
fn description(setup: &Setup, template: &Template, colour: &Colour) -> String {
    let crop = if setup.crop.is_some() {
        "videocrop name=crop ! "
    } else {
        ""
    };
    // One picture per frame, made of the field that comes first, so that times stay what they are.
    // Progressive pictures pass it untouched.
    let deinterlace = if elements::exists("deinterlace") {
        "deinterlace name=fields mode=auto method=linear ! "
    } else {
        ""
    };
    let mut text = format!(
        "appsrc name=in format=time block=true max-bytes=0 max-buffers={SOURCE_QUEUE} ! \
         {deinterlace}{crop}"
    );
    // The smallest picture that need not be scaled up.
    let thumbnail = setup
        .video
        .iter()
        .rposition(|rung| rung.width >= THUMBNAIL_WIDTH)
        .unwrap_or(0);
    for (index, rung) in setup.video.iter().enumerate() {
        let (width, height) = (rung.width, rung.height);
        let site = match &colour.chroma_site {
            Some(site) => format!(",chroma-site={site}"),
            None => String::new(),
        };
        let profile = template.profile.as_ref().unwrap_or(&rung.profile);
        let parse = if template.parse { "h264parse ! " } else { "" };
        // The first scaler's is set when the source's size is known.
        let previous = match index.checked_sub(1) {
            Some(before) => {
                text += &format!("t{before}. ! ");
                setup.video[before].height
            }
            None => height,
        };
        text += &format!(
            "videoconvertscale name=scale{index} method={method} add-borders=false dither=none ! \
             video/x-raw,format=I420,width={width},height={height},pixel-aspect-ratio=1/1,\
             colorimetry=(string){colorimetry}{site},interlace-mode=progressive ! tee name=t{index} \
             t{index}. ! queue name=q{index} max-size-buffers={RUNG_QUEUE} max-size-bytes=0 \
             max-size-time=0 ! {element} name=enc{index} ! {parse}\
             video/x-h264,stream-format=avc,alignment=au,profile=(string){profile} ! \
             appsink name=out{index} sync=false async=false max-buffers=4 ",
            colorimetry = colour.colorimetry,
            element = template.element,
            method = method(previous, height),
        );
        if index == thumbnail && setup.thumbnail_ms > 0 && elements::exists("jpegenc") {
            let out_width = THUMBNAIL_WIDTH.min(width) & !1;
            let out_height = (height * out_width / width.max(1)).max(2) & !1;
            text += &format!(
                "t{index}. ! queue name=thumb max-size-buffers=1 leaky=downstream ! \
                 videoconvertscale method=bilinear ! \
                 video/x-raw,format=I420,width={out_width},height={out_height} ! \
                 jpegenc quality=75 ! appsink name=jpeg sync=false async=false "
            );
        }
    }
    text
}

/// The cheapest scaling filter that does not alias from one height to another, by `benches/worker.rs`:
/// two taps skip no pixel up to about 1.4 and are a box filter at 2; elsewhere (3:2 is 720 to 480) the
/// filter has to widen with the step.
fn method(from: u32, to: u32) -> &'static str {
    let permille = u64::from(from) * 1000 / u64::from(to.max(1));
    match permille {
        0..=1400 | 1950..=2050 => "bilinear",
        _ => "bilinear2",
    }
}

/// A frame rate as GStreamer writes it: the NTSC family by its fractions.
pub(super) fn fraction(millis: u32) -> gst::Fraction {
    let (numerator, denominator) = match millis {
        23_900..=23_989 => (24_000, 1001),
        29_900..=29_989 => (30_000, 1001),
        59_900..=59_989 => (60_000, 1001),
        14_950..=14_995 => (15_000, 1001),
        0 => (30, 1),
        // Counted rates are a little off; whole ones are meant.
        _ if (millis + 60) % 1000 <= 120 => ((millis + 60) / 1000, 1),
        _ => (millis, 1000),
    };
    let numerator = i32::try_from(numerator).unwrap_or(30);
    gst::Fraction::new(numerator.max(1), denominator)
}

/// Pipeline time from which a rung goes on where an earlier worker ended.
fn resume(setup: &Setup, index: usize, times: &Times) -> Option<u64> {
    let end = setup.resume.get(index).copied().flatten()?;
    // A time that is before all others is before every picture.
    let end = times.pipeline(Ticks(end), Timescale::CHANNEL).unwrap_or(0);
    // At half the rate the next picture but one follows.
    let frame = 1_000_000_000_000 / u64::from(setup.frame_rate_millis.max(1));
    let half_rate = setup.video.get(index).is_some_and(|rung| rung.half_rate);
    Some(if half_rate { end + frame } else { end })
}

/// Lets pictures to an encoder from a time on, or from a boundary on without one: its first picture is
/// an IDR. Gives the switch that stops them for good.
fn gate(queue: &gst::Element, from: Option<u64>, marks: &Arc<Mutex<Marks>>) -> Arc<AtomicBool> {
    let pad = queue.static_pad("sink").expect("a queue has a sink pad");
    let shut = Arc::new(AtomicBool::new(false));
    let (marks, closed) = (marks.clone(), shut.clone());
    let open = AtomicBool::new(false);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let pts = info.buffer().and_then(|buffer| buffer.pts());
        let pts = pts.map_or(0, gst::ClockTime::nseconds);
        let begins = || from.map_or_else(|| lock(&marks).opens(pts), |from| pts >= from);
        if !closed.load(Ordering::Relaxed) && (open.load(Ordering::Relaxed) || begins()) {
            open.store(true, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        } else {
            gst::PadProbeReturn::Handled
        }
    });
    shut
}

/// Sets what is cut off when the description that it belongs to comes by: pictures before it may have
/// less than that.
fn cut(element: &gst::Element, crops: &Arc<Mutex<VecDeque<[i32; 4]>>>) {
    let pad = element.static_pad("sink").expect("a cutter has a sink pad");
    let (element, crops) = (element.downgrade(), crops.clone());
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let caps = info.event().map(|event| event.type_()) == Some(gst::EventType::Caps);
        let next = caps.then(|| lock(&crops).pop_front()).flatten();
        if let (Some(crop), Some(element)) = (next, element.upgrade()) {
            for (side, pixels) in ["left", "right", "top", "bottom"].into_iter().zip(crop) {
                element.set_property(side, pixels);
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// Leaves out every second picture, never one that opens a segment, nor the first of those that go on
/// where an earlier worker ended.
fn halve_rate(pad: &gst::Pad, rate: gst::Fraction, resume: Option<u64>, marks: &Arc<Mutex<Marks>>) {
    // Rate control counts pictures: it has to know that half of them are missing.
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(gst::EventView::Caps(event)) = info.event().map(|event| event.view()) {
            let mut caps = event.caps_owned();
            caps.make_mut().set("framerate", rate);
            info.data = Some(gst::PadProbeData::Event(gst::event::Caps::new(&caps)));
        }
        gst::PadProbeReturn::Ok
    });
    let marks = marks.clone();
    let phase = AtomicU64::new(0);
    let resumed = AtomicBool::new(resume.is_none());
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let pts = info.buffer().and_then(|buffer| buffer.pts());
        let pts = pts.map_or(0, gst::ClockTime::nseconds);
        let resumes =
            resume.is_some_and(|from| pts >= from) && !resumed.swap(true, Ordering::Relaxed);
        if resumes || lock(&marks).opens(pts) {
            phase.store(0, Ordering::Relaxed);
        }
        if phase.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            gst::PadProbeReturn::Ok
        } else {
            // Taken and let go: the bindings answer `Drop` with a null that GStreamer 1.22 unrefs.
            gst::PadProbeReturn::Handled
        }
    });
}

/// Lets a picture through to the JPEG encoder at the first boundary after each period.
fn thumbnails(
    pipeline: &gst::Pipeline,
    period_ms: u32,
    marks: &Arc<Mutex<Marks>>,
    output: &Output,
) {
    let marks = marks.clone();
    let next = AtomicU64::new(0);
    let pad = elements::named(pipeline, "thumb").static_pad("sink");
    let pad = pad.expect("a queue has a sink pad");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let pts = info.buffer().and_then(|buffer| buffer.pts());
        let due = pts
            .map(gst::ClockTime::nseconds)
            .filter(|pts| *pts >= next.load(Ordering::Relaxed) && lock(&marks).opens(*pts));
        match due {
            Some(pts) => {
                next.store(pts + u64::from(period_ms) * 1_000_000, Ordering::Relaxed);
                gst::PadProbeReturn::Ok
            }
            None => gst::PadProbeReturn::Handled,
        }
    });
    let output = output.clone();
    elements::sink(pipeline, "jpeg").set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                if let Some(data) = sample.buffer_owned().and_then(bytes_of) {
                    output.send(Message::Thumbnail(data));
                }
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );
}

/// A buffer's bytes, without a copy.
pub(in crate::transcode) fn bytes_of(buffer: gst::Buffer) -> Option<Bytes> {
    buffer
        .into_mapped_buffer_readable()
        .ok()
        .map(Bytes::from_owner)
}

pub(in crate::transcode) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
