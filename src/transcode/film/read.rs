//! Takes a file apart: its first video and its first audio, each through a chain of elements, into one
//! bounded queue.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::Error;
use crate::transcode::worker::elements;
use crate::transcode::worker::graph::lock;

/// Units or pictures on their way. Bounds memory: a picture of 8K has 50 MB. Full, the decoder waits.
const QUEUE: usize = 4;

/// How long anything is waited for at the beginning. In GStreamer 1.22 what a demuxer says against a file may get
/// lost while it is being plugged in.
const BEGIN: Duration = Duration::from_secs(30);

/// What comes out.
#[derive(Debug)]
pub(super) enum Came {
    /// Of the video.
    Video(gst::Sample),
    /// Of the audio.
    Audio(gst::Sample),
    /// Nothing more.
    End,
    /// Why nothing more.
    Failed(String),
}

/// Elements that each kind passes; the first is named `in`, the last one is an `appsink name=out`. A kind without is left out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chains {
    pub(super) video: Option<&'static str>,
    pub(super) audio: Option<&'static str>,
}

/// A file that is taken apart.
#[derive(Debug)]
pub(super) struct Reading {
    pipeline: Option<gst::Pipeline>,
    came: Receiver<Came>,
    begun: bool,
    ended: bool,
}

impl Reading {
    pub(super) fn open(file: &Path, chains: Chains) -> Result<Reading, Error> {
        let machine = |error: crate::transcode::Error| Error::Machine(error.to_string());
        let pipeline = elements::parse("filesrc name=file ! parsebin name=parse");
        let pipeline = pipeline.map_err(machine)?;
        elements::named(&pipeline, "file").set_property("location", file);
        let (tell, came) = sync_channel(QUEUE);
        watch(&pipeline, tell.clone());
        let (weak, left) = (pipeline.downgrade(), Mutex::new(chains));
        let telling = tell.clone();
        elements::named(&pipeline, "parse").connect_pad_added(move |_, pad| {
            if let Some(pipeline) = weak.upgrade()
                && let Err(error) = connect(&pipeline, pad, &mut lock(&left), &telling)
            {
                let _ = telling.send(Came::Failed(error));
            }
        });
        // What comes first waits in its chain for whoever takes it, while states of the chain still change; the
        // change of the whole waits for them. So it is waited for elsewhere.
        let (whole, failed) = (pipeline.clone(), tell);
        let starter = std::thread::Builder::new().name("start".to_owned());
        let started = starter.spawn(move || {
            if let Err(error) = elements::play(&whole) {
                let _ = failed.send(Came::Failed(error.to_string()));
            }
        });
        started.map_err(|error| Error::Machine(format!("thread: {error}")))?;
        Ok(Reading {
            pipeline: Some(pipeline),
            came,
            begun: false,
            ended: false,
        })
    }

    /// What comes next. Waits; who watches the pulse knows how long.
    pub(super) fn next(&mut self) -> Came {
        let came = match self.begun {
            // Without a sender the pipeline is gone.
            true => self.came.recv().unwrap_or(Came::End),
            false => self.came.recv_timeout(BEGIN).unwrap_or_else(|_| {
                Came::Failed(format!("nothing came of it within {} s", BEGIN.as_secs()))
            }),
        };
        self.begun = true;
        self.ended |= matches!(came, Came::End);
        came
    }

    /// How long it says to be, nanoseconds.
    pub(super) fn stated_ns(&self) -> Option<u64> {
        let pipeline = self.pipeline.as_ref()?;
        let length = pipeline.query_duration::<gst::ClockTime>();
        length.map(gst::ClockTime::nseconds)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let Some(pipeline) = self.pipeline.take() else {
            return;
        };
        if self.ended {
            for chain in pipeline.children() {
                if chain.is_locked_state() {
                    let _ = chain.set_state(gst::State::Null);
                }
            }
            let _ = pipeline.set_state(gst::State::Null);
        } else {
            // In GStreamer 1.22 clearing a demuxer away that failed may hang. The process is at its end.
            std::mem::forget(pipeline);
        }
    }
}

/// Leads a stream through its chain, or away.
fn connect(
    pipeline: &gst::Pipeline,
    pad: &gst::Pad,
    left: &mut Chains,
    tell: &SyncSender<Came>,
) -> Result<(), String> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let name = caps
        .structure(0)
        .map_or("", |fields| fields.name().as_str());
    let (chain, form): (_, fn(gst::Sample) -> Came) = match name.split('/').next() {
        Some("video" | "image") => (left.video.take(), Came::Video),
        Some("audio") => (left.audio.take(), Came::Audio),
        _ => (None, Came::Audio),
    };
    let text = chain.unwrap_or("fakesink name=in sync=false async=false");
    let bin = gst::parse::bin_from_description(text, false).map_err(|error| error.to_string())?;
    if let Some(sink) = bin.by_name("out").and_downcast::<gst_app::AppSink>() {
        let tell = tell.clone();
        let pull = move |sink: &gst_app::AppSink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let sent = tell.send(form(sample));
            sent.map(|()| gst::FlowSuccess::Ok)
                .map_err(|_| gst::FlowError::Eos)
        };
        sink.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(pull)
                .build(),
        );
    }
    let failed = |error: gst::glib::BoolError| error.to_string();
    // The pipeline is between two states: it could take this back to the first of them, and would wait for what
    // happens in here. So it neither sets its state nor hears of its changes.
    bin.set_locked_state(true);
    bin.set_property("async-handling", true);
    pipeline.add(&bin).map_err(failed)?;
    let playing = bin.set_state(gst::State::Playing);
    playing.map_err(|error| error.to_string())?;
    // Ghosts that the parser makes may be of an element that decodebin has not found its way to.
    let first = bin.by_name("in").and_then(|first| first.static_pad("sink"));
    let first = first.expect("a chain's text names its first element");
    let sink = gst::GhostPad::with_target(&first).map_err(failed)?;
    sink.set_active(true).map_err(failed)?;
    bin.add_pad(&sink).map_err(failed)?;
    pad.link(&sink).map_err(|error| error.to_string())?;
    Ok(())
}

/// Ends and errors go the way of what comes.
fn watch(pipeline: &gst::Pipeline, tell: SyncSender<Came>) {
    let bus = pipeline.bus().expect("a pipeline has a bus");
    // What is said to be missing before the error that says so in general.
    let missing: Arc<Mutex<Option<String>>> = Arc::default();
    bus.set_sync_handler(move |_, message| {
        match message.view() {
            gst::MessageView::Element(element) => {
                let fields = element.structure();
                let fields = fields.filter(|fields| fields.name() == "missing-plugin");
                if let Some(name) = fields.and_then(|fields| fields.get::<String>("name").ok()) {
                    *lock(&missing) = Some(name);
                }
            }
            gst::MessageView::Error(error) => {
                let said = match lock(&missing).take() {
                    Some(name) => format!("there is no {name} for it"),
                    None => error.error().message().trim_end_matches('.').to_owned(),
                };
                let _ = tell.send(Came::Failed(said));
            }
            gst::MessageView::Eos(_) => {
                let _ = tell.send(Came::End);
            }
            _ => {}
        }
        gst::BusSyncReply::Drop
    });
}
