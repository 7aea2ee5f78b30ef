//! Sound in, AAC or Opus out: one pipeline for all audio encodings, times counted in samples. It has no thread:
//! whoever brings sound encodes it.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::elements;
use super::graph::{bytes_of, lock};
use super::grid::{Form, Grid};
use super::output::Output;
use super::times::Times;
use crate::media::codec::{aac, opus};
use crate::media::{CodecConfig, Ticks, Timescale, Track};
use crate::transcode::Error;
use crate::transcode::ladder::{AudioCodec, AudioRung};
use crate::transcode::protocol::Message;

/// Bytes per sample and channel: 32-bit float.
const SAMPLE_BYTES: i64 = 4;
/// How long the encoders may take to give out what they hold, seconds.
const DRAIN_S: u64 = 5;

/// The audio encoders of one stream.
#[derive(Debug)]
pub(in crate::transcode) struct AudioGraph {
    pipeline: gst::Pipeline,
    source: gst::Pad,
    ended: Receiver<()>,
    encodings: usize,
    grid: Arc<Mutex<Grid>>,
    times: Arc<Times>,
    output: Output,
    scale: Timescale,
    frame_bytes: i64,
    fed: i64,
}

impl AudioGraph {
    /// Builds and starts the encoders; their messages are numbered from `first_index`. Frames lie so
    /// that one begins at `resume`, in samples, where an earlier worker ended.
    pub(in crate::transcode) fn new(
        rungs: &[AudioRung],
        first_index: usize,
        resume: Option<i64>,
        times: &Arc<Times>,
        output: &Output,
    ) -> Result<AudioGraph, Error> {
        let first = rungs
            .first()
            .expect("the caller has checked that there is one");
        let (rate, channels) = (first.sample_rate, first.channels);
        let form = Form::of(first.codec, rate);
        let scale = Timescale::new(rate).unwrap_or(Timescale::of(48_000));
        let mut text = "tee name=t ".to_owned();
        for (index, rung) in rungs.iter().enumerate() {
            text += &format!(
                "t. ! {encoder} ! appsink name=out{index} sync=false async=false max-buffers=4 ",
                encoder = encoder(rung),
            );
        }
        let pipeline = elements::parse(&text)?;
        output.watch(&pipeline);
        let source = gst::Pad::builder(gst::PadDirection::Src).build();
        let caps = gst::Caps::builder("audio/x-raw")
            .field("format", "F32LE")
            .field("layout", "interleaved")
            .field("rate", i32::try_from(rate).unwrap_or(48_000))
            .field("channels", i32::from(channels))
            .build();
        let grid = Arc::new(Mutex::new(Grid::new(form, resume)));
        let (tell, ended) = sync_channel(rungs.len());
        for (index, rung) in rungs.iter().enumerate() {
            let tell = tell.clone();
            let mut leave = Leave {
                index: u8::try_from(first_index + index).expect("fewer than 256 encodings"),
                grid: grid.clone(),
                output: output.clone(),
                record: None,
                frames: 0,
                frame: form.frame,
                config: config_of(rung),
                scale,
            };
            elements::sink(&pipeline, &format!("out{index}")).set_callbacks(
                gst_app::AppSinkCallbacks::builder()
                    .new_sample(move |sink| {
                        leave.handle_sample(sink.pull_sample().map_err(|_| gst::FlowError::Eos)?)
                    })
                    .eos(move |_| {
                        // Full cannot be: there is room for one word of each encoding.
                        let _ = tell.try_send(());
                    })
                    .build(),
            );
        }
        elements::play(&pipeline)?;
        open(&source, &elements::named(&pipeline, "t"), &caps)?;
        Ok(AudioGraph {
            pipeline,
            source,
            ended,
            encodings: rungs.len(),
            grid,
            times: times.clone(),
            output: output.clone(),
            scale,
            frame_bytes: SAMPLE_BYTES * i64::from(channels),
            fed: 0,
        })
    }

    /// Encodes decoded sound, on the sample grid, in this thread.
    pub(in crate::transcode) fn handle_sample(
        &mut self,
        sample: &gst::Sample,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let buffer = sample.buffer_owned().ok_or(gst::FlowError::Error)?;
        let Some(pts) = buffer.pts() else {
            return Ok(gst::FlowSuccess::Ok);
        };
        let length = i64::try_from(buffer.size()).unwrap_or(0) / self.frame_bytes;
        let time = self.times.channel(pts.nseconds(), self.scale).0;
        let step = lock(&self.grid).place(time, length);
        let tally = &self.output.tally;
        let count = |samples: i64| samples.unsigned_abs();
        tally
            .silence_samples
            .fetch_add(count(step.silence), Ordering::Relaxed);
        tally
            .skipped_samples
            .fetch_add(count(step.skip), Ordering::Relaxed);
        let mut silence = step.silence;
        while silence > 0 {
            let piece = silence.min(self.scale.get().into());
            let bytes = usize::try_from(piece * self.frame_bytes).unwrap_or(0);
            self.feed(gst::Buffer::from_slice(vec![0_u8; bytes]), piece)?;
            silence -= piece;
        }
        let kept = length - step.skip;
        if kept == length {
            self.feed(buffer, length)
        } else if kept > 0 {
            let data = bytes_of(buffer).ok_or(gst::FlowError::Error)?;
            let from = usize::try_from(step.skip * self.frame_bytes).unwrap_or(0);
            self.feed(gst::Buffer::from_slice(data.slice(from..)), kept)
        } else {
            Ok(gst::FlowSuccess::Ok)
        }
    }

    /// Samples follow one another without holes: times are counted, the grid knows what they mean.
    fn feed(
        &mut self,
        mut buffer: gst::Buffer,
        samples: i64,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let nanos = |samples: i64| {
            let time = crate::media::rescale(Ticks(samples), self.scale, Timescale::NANOS);
            gst::ClockTime::from_nseconds(time.0.unsigned_abs())
        };
        let fields = buffer.make_mut();
        fields.set_pts(nanos(self.fed));
        fields.set_duration(nanos(self.fed + samples) - nanos(self.fed));
        fields.unset_flags(gst::BufferFlags::DISCONT | gst::BufferFlags::RESYNC);
        self.fed += samples;
        self.source.push(buffer)
    }

    /// Gives out what is inside and ends.
    pub(in crate::transcode) fn drain(self) -> Result<(), Error> {
        self.source.push_event(gst::event::Eos::new());
        for _ in 0..self.encodings {
            self.ended
                .recv_timeout(Duration::from_secs(DRAIN_S))
                .map_err(|_| Error::Stuck(DRAIN_S))?;
        }
        Ok(())
    }
}

impl Drop for AudioGraph {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Connects the way in, and says what will come.
fn open(source: &gst::Pad, first: &gst::Element, caps: &gst::Caps) -> Result<(), Error> {
    let sink = first.static_pad("sink").expect("a tee has a sink pad");
    let error = |text: String| Error::Element {
        element: "tee".to_owned(),
        text,
    };
    source.link(&sink).map_err(|err| error(err.to_string()))?;
    source
        .set_active(true)
        .map_err(|err| error(err.to_string()))?;
    source.push_event(gst::event::StreamStart::new("sound"));
    source.push_event(gst::event::Caps::new(caps));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    source.push_event(gst::event::Segment::new(&segment));
    Ok(())
}

/// The way out of one encoding.
struct Leave {
    index: u8,
    grid: Arc<Mutex<Grid>>,
    output: Output,
    record: Option<Bytes>,
    frames: i64,
    /// Samples of one.
    frame: i64,
    /// What is known of the configuration before there is anything.
    config: Option<CodecConfig>,
    scale: Timescale,
}

impl Leave {
    fn handle_sample(&mut self, sample: gst::Sample) -> Result<gst::FlowSuccess, gst::FlowError> {
        let record = sample
            .caps()
            .and_then(|caps| caps.structure(0))
            .and_then(|fields| fields.get::<gst::Buffer>("codec_data").ok())
            .and_then(bytes_of);
        if let Some(record) = record.filter(|_| self.record.is_none()) {
            self.record = Some(record.clone());
            let config = aac::Config::parse(record).map_err(|_| gst::FlowError::NotNegotiated)?;
            self.config = Some(CodecConfig::Aac(config));
        }
        if let Some(config) = self.config.take() {
            let timescale = self.scale;
            let track = Box::new(Track { config, timescale });
            let index = self.index;
            self.output.send(Message::RungTrack { index, track });
        }
        let pts = lock(&self.grid).frame_time(self.frames);
        self.frames += 1;
        let data = sample.buffer_owned().and_then(bytes_of);
        let sent = self.output.send(Message::RungUnit {
            index: self.index,
            key: true,
            pts: Ticks(pts),
            duration: Some(Ticks(self.frame)),
            data: data.ok_or(gst::FlowError::Error)?,
        });
        if sent {
            Ok(gst::FlowSuccess::Ok)
        } else {
            Err(gst::FlowError::Eos)
        }
    }
}

/// The encoder of one encoding, as text.
fn encoder(rung: &AudioRung) -> String {
    let bitrate = u64::from(rung.kbps) * 1000;
    match rung.codec {
        AudioCodec::Aac => format!("avenc_aac bitrate={bitrate}"),
        // Half of the effort: at this rate it is not heard. The loss that is announced makes frames depend
        // less on one another; much more of it would turn music into speech with redundancy.
        AudioCodec::Opus => format!(
            "audioconvert ! opusenc bitrate={bitrate} bitrate-type=constrained-vbr frame-size=20 complexity=5 \
             inband-fec=true packet-loss-percentage=5"
        ),
    }
}

/// The configuration of an encoding that is known without its encoder.
fn config_of(rung: &AudioRung) -> Option<CodecConfig> {
    match rung.codec {
        AudioCodec::Aac => None,
        AudioCodec::Opus => opus::Config::new(rung.channels).ok().map(CodecConfig::Opus),
    }
}
