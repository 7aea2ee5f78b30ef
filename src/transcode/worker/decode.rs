//! Source units in, pictures or sound out. One short-lived pipeline per track and connected piece of
//! it: a new codec configuration or a break means a new one, and the encoders never notice.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use super::elements;
use super::graph::lock;
use super::output::Output;
use crate::media::{CodecConfig, Track};
use crate::transcode::Error;

/// Units before the decoder. Bounds latency; when it is full the reader waits.
const QUEUE_UNITS: u64 = 8;
/// How long a decoder may take to give out its last pictures, seconds.
const DRAIN_S: u64 = 5;

/// A decoder of one track.
#[derive(Debug)]
pub(super) struct Decoder {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    ended: Receiver<()>,
    /// Units put in.
    pushed: u64,
    progress: Arc<Progress>,
    /// Units of configuration to put before the first one. An AV1 file may hold its sequence header
    /// outside of its samples (AV1 in ISOBMFF §2.3.1), and `av1dec` looks nowhere else.
    headers: Bytes,
}

/// How far the decoder's thread is.
#[derive(Debug, Default)]
struct Progress {
    /// Units taken, and those of them that were done when the thread asked for more.
    units: Mutex<(u64, u64)>,
    asked: Condvar,
}

impl Decoder {
    /// Starts a decoder that hands pictures to `sink`, from its own thread.
    pub(super) fn video(
        track: &Track,
        output: &Output,
        sink: impl FnMut(gst::Sample) -> Result<gst::FlowSuccess, gst::FlowError> + Send + 'static,
    ) -> Result<Decoder, Error> {
        let (caps, decoder) = match &track.config {
            CodecConfig::Avc(config) => {
                let caps = gst::Caps::builder("video/x-h264")
                    .field("stream-format", "avc")
                    .field("codec_data", buffer(config.record.clone()));
                let caps = caps.field("alignment", "au");
                (sized(caps, config.width, config.height), "avdec_h264")
            }
            CodecConfig::Hevc(config) => {
                let caps = gst::Caps::builder("video/x-h265")
                    .field("stream-format", "hvc1")
                    .field("codec_data", buffer(config.record.clone()));
                let caps = caps.field("alignment", "au");
                (
                    sized(caps, config.width, config.height),
                    first_of(&["avdec_h265", "libde265dec"]),
                )
            }
            CodecConfig::Av1(config) => {
                let caps = gst::Caps::builder("video/x-av1")
                    .field("stream-format", "obu-stream")
                    .field("codec_data", buffer(config.record.clone()));
                let caps = caps.field("alignment", "tu");
                (
                    sized(caps, config.width, config.height),
                    first_of(&["dav1ddec", "av1dec"]),
                )
            }
            CodecConfig::Aac(_) | CodecConfig::Opus(_) => {
                unreachable!("the session keeps audio and video apart")
            }
        };
        // One thread: frame threads would hold a picture per thread back.
        let threads = if decoder.starts_with("avdec") {
            " max-threads=1"
        } else {
            ""
        };
        let mut started = Decoder::start(&caps, &format!("{decoder}{threads}"), output, sink)?;
        if let CodecConfig::Av1(config) = &track.config {
            // Four bytes of fields come before configOBUs (AV1 in ISOBMFF §2.3.3).
            started.headers = config.record.slice(4.min(config.record.len())..);
        }
        Ok(started)
    }

    /// Starts a decoder that hands interleaved 32-bit float sound of the given form to `sink`.
    pub(super) fn audio(
        track: &Track,
        rate: u32,
        channels: u8,
        output: &Output,
        sink: impl FnMut(gst::Sample) -> Result<gst::FlowSuccess, gst::FlowError> + Send + 'static,
    ) -> Result<Decoder, Error> {
        let (caps, decoder) = match &track.config {
            CodecConfig::Aac(config) => {
                let caps = gst::Caps::builder("audio/mpeg")
                    .field("mpegversion", 4)
                    .field("stream-format", "raw")
                    .field("rate", i32::try_from(config.sample_rate).unwrap_or(48_000))
                    .field("channels", i32::from(config.channels.max(1)))
                    .field("codec_data", buffer(config.record.clone()))
                    .field("framed", true);
                (caps.build(), "avdec_aac")
            }
            CodecConfig::Opus(config) => {
                let caps = gst::Caps::builder("audio/x-opus")
                    .field("rate", 48_000)
                    .field("channels", i32::from(config.channels.clamp(1, 2)))
                    .field("channel-mapping-family", 0);
                (caps.build(), "opusdec")
            }
            _ => unreachable!("the session keeps audio and video apart"),
        };
        let chain = format!(
            "{decoder} ! audioconvert ! audioresample ! \
             audio/x-raw,format=F32LE,layout=interleaved,rate={rate},channels={channels}"
        );
        Decoder::start(&caps, &chain, output, sink)
    }

    fn start(
        caps: &gst::Caps,
        chain: &str,
        output: &Output,
        sink: impl FnMut(gst::Sample) -> Result<gst::FlowSuccess, gst::FlowError> + Send + 'static,
    ) -> Result<Decoder, Error> {
        let pipeline = elements::parse(&format!(
            "appsrc name=in format=time block=true max-bytes=0 max-buffers={QUEUE_UNITS} ! \
             {chain} ! appsink name=out sync=false async=false max-buffers=2"
        ))?;
        output.watch(&pipeline);
        let source = elements::source(&pipeline, "in");
        source.set_caps(Some(caps));
        let progress = Arc::new(Progress::default());
        let (taking, asking) = (progress.clone(), progress.clone());
        let pad = source.static_pad("src");
        let pad = pad.expect("an appsrc has a source pad");
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            lock(&taking.units).0 += 1;
            gst::PadProbeReturn::Ok
        });
        // Asked for in the thread that decodes, when everything before went all the way.
        source.set_callbacks(
            gst_app::AppSrcCallbacks::builder()
                .need_data(move |_, _| {
                    let mut units = lock(&asking.units);
                    units.1 = units.0;
                    asking.asked.notify_all();
                })
                .build(),
        );
        let out = elements::sink(&pipeline, "out");
        // Decoders may then hand out pictures with their own strides, without a copy.
        let pad = out.static_pad("sink").expect("an appsink has a sink pad");
        pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
            if let Some(gst::QueryViewMut::Allocation(query)) =
                info.query_mut().map(gst::QueryRef::view_mut)
            {
                query.add_allocation_meta::<gst_video::VideoMeta>(None);
                return gst::PadProbeReturn::Handled;
            }
            gst::PadProbeReturn::Ok
        });
        let (tell, ended) = sync_channel(1);
        let mut sink = sink;
        out.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |out| sink(out.pull_sample().map_err(|_| gst::FlowError::Eos)?))
                .eos(move |_| {
                    // Full means that it was said already.
                    let _ = tell.try_send(());
                })
                .build(),
        );
        elements::play(&pipeline)?;
        Ok(Decoder {
            pipeline,
            source,
            ended,
            pushed: 0,
            progress,
            headers: Bytes::new(),
        })
    }

    /// Decodes one unit. Waits when the decoder is behind. Times are pipeline nanoseconds.
    pub(super) fn push(&mut self, pts: u64, dts: u64, key: bool, data: Bytes) {
        let mut buffer = if self.headers.is_empty() {
            buffer(data)
        } else {
            let headers = std::mem::take(&mut self.headers);
            gst::Buffer::from_slice([headers, data].concat())
        };
        let fields = buffer.get_mut().expect("a new buffer has one owner");
        fields.set_pts(gst::ClockTime::from_nseconds(pts));
        fields.set_dts(gst::ClockTime::from_nseconds(dts));
        if !key {
            fields.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        // A failure is on the bus as well, with its element and text.
        if self.source.push_buffer(buffer).is_ok() {
            self.pushed += 1;
        }
    }

    /// Waits until every unit went through. Pictures that the codec reorders may stay inside.
    pub(super) fn settle(&self) -> Result<(), Error> {
        let wait = Duration::from_secs(DRAIN_S);
        let busy = |units: &mut (u64, u64)| units.1 < self.pushed;
        let waited = self
            .progress
            .asked
            .wait_timeout_while(lock(&self.progress.units), wait, busy);
        match waited {
            Ok((_, waited)) if waited.timed_out() => Err(Error::Stuck(DRAIN_S)),
            _ => Ok(()),
        }
    }

    /// Gives out what is inside and ends.
    pub(super) fn drain(self) -> Result<(), Error> {
        let _ = self.source.end_of_stream();
        self.ended
            .recv_timeout(Duration::from_secs(DRAIN_S))
            .map_err(|_| Error::Stuck(DRAIN_S))
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// A buffer around bytes, without a copy.
fn buffer(data: Bytes) -> gst::Buffer {
    gst::Buffer::from_slice(data)
}

/// The first of these elements that is there; the last one, to be missed by its name, without any.
fn first_of(elements: &[&'static str]) -> &'static str {
    let found = elements.iter().find(|element| elements::exists(element));
    found
        .or(elements.last())
        .expect("the list of decoders is not empty")
}

fn sized(caps: gst::caps::Builder<gst::caps::NoFeature>, width: u32, height: u32) -> gst::Caps {
    match (i32::try_from(width), i32::try_from(height)) {
        (Ok(width), Ok(height)) if width > 0 && height > 0 => {
            caps.field("width", width).field("height", height).build()
        }
        _ => caps.build(),
    }
}
