//! What a file is, by its content: one answer in bounded time and memory, whoever sent the file.

use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_pbutils as pbutils;
use gstreamer_pbutils::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Error, guard};
use crate::transcode::worker::elements;

/// How long looking at a file may take, seconds. It takes a fraction of one.
const LIMIT_S: u64 = 10;
/// Memory that may be written to: the pictures that a decoder of 8K holds.
const MAX_DATA: u64 = 2 << 30;
/// Addresses that may be taken; threads reserve many that they never write to.
const MAX_ADDRESSES: u64 = 8 << 30;
/// What no kind of data is known for.
const UNKNOWN: &str = "data of no known kind";
/// Answers that may be given: the first one counts.
const ANSWERS: usize = 1;

/// What was found. It goes to the server as a line of JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Probed {
    /// Whether it can become a film: a container and codecs that we take.
    pub accepted: bool,
    /// What it is, for people: `QuickTime with H.264 video and MPEG-4 AAC audio`.
    pub found: String,
    /// `mp4`, `mov`, `webm`, `mp3`, `wav`, `m4a` or `aac`; none for anything else.
    pub container: Option<String>,
    /// The first video, when there is one.
    pub video: Option<ProbedVideo>,
    /// The first audio, when there is one.
    pub audio: Option<ProbedAudio>,
    /// Seconds, as far as it is stated.
    pub duration: Option<f64>,
}

/// A video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbedVideo {
    /// Its name, for people.
    pub codec: String,
    /// Pixels, as they are stored.
    pub width: u32,
    /// Pixels, as they are stored.
    pub height: u32,
    /// Frames per second, as stated; none when the rate varies.
    pub fps: Option<f64>,
}

/// A sound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbedAudio {
    /// Its name, for people.
    pub codec: String,
    /// Samples per second.
    pub rate: u32,
    /// How many.
    pub channels: u32,
}

/// Looks at a file, as the hidden command `probe-media` does it: bounds this process first.
pub fn run(file: &Path) -> Result<Probed, Error> {
    guard::limit_memory(MAX_DATA, MAX_ADDRESSES)?;
    probe(file)
}

/// Looks at a file, in a thread of its own: what hangs in there ends with the process.
pub(super) fn probe(file: &Path) -> Result<Probed, Error> {
    let (tell, answer) = sync_channel(ANSWERS);
    let path = file.to_owned();
    let thread = std::thread::Builder::new().name("probe".to_owned());
    let started = thread.spawn(move || {
        let probed = look(&path, &tell);
        // Full means that there is an answer.
        let _ = tell.try_send(probed);
    });
    started.map_err(|error| Error::Machine(format!("thread: {error}")))?;
    match answer.recv_timeout(Duration::from_secs(LIMIT_S)) {
        Ok(probed) => probed,
        Err(_) => Ok(Probed {
            found: format!("something that was not understood within {LIMIT_S} s"),
            ..Probed::default()
        }),
    }
}

/// Looks at a file. An answer that is known before everything is cleared away goes to `tell`.
fn look(file: &Path, tell: &SyncSender<Result<Probed, Error>>) -> Result<Probed, Error> {
    std::fs::File::open(file).map_err(|error| Error::Machine(format!("open the file: {error}")))?;
    guard::begin()?;
    let Some(kind) = kind(file)? else {
        return Ok(Probed {
            found: UNKNOWN.to_owned(),
            ..Probed::default()
        });
    };
    let unwanted = Probed {
        found: describe(&kind),
        ..Probed::default()
    };
    // Nothing is taken apart that could not be accepted anyway.
    if container(&kind, None).is_none() {
        return Ok(unwanted);
    }
    let seconds = gst::ClockTime::from_seconds(LIMIT_S);
    let discoverer = pbutils::Discoverer::new(seconds);
    let discoverer = discoverer.map_err(|error| Error::Machine(error.to_string()))?;
    tell_errors(&discoverer, &unwanted, tell.clone());
    let path = file.canonicalize();
    let path = path.map_err(|error| Error::Machine(format!("open the file: {error}")))?;
    let uri = gst::glib::filename_to_uri(path, None);
    let uri = uri.map_err(|error| Error::Machine(error.to_string()))?;
    let info = match discoverer.discover_uri(&uri) {
        Ok(info) if info.result() == pbutils::DiscovererResult::Ok => info,
        Ok(info) => {
            let missing = info.result() == pbutils::DiscovererResult::MissingPlugins;
            let why = if missing {
                "in a codec that is not taken"
            } else {
                "that is damaged"
            };
            let found = format!("{} {why}", unwanted.found);
            return Ok(Probed { found, ..unwanted });
        }
        Err(error) => {
            return Ok(damaged(&unwanted, error.message()));
        }
    };
    Ok(summary(&kind, &info))
}

/// The container's name, or why the file is not taken apart at all. What stands behind a tag shows then.
pub(super) fn acceptable(file: &Path) -> Result<&'static str, Error> {
    let kind = kind(file)?;
    let known = kind.as_ref().and_then(|kind| container(kind, None));
    known
        .ok_or_else(|| Error::Kind(kind.map_or_else(|| UNKNOWN.to_owned(), |kind| describe(&kind))))
}

/// Answers at the first error: in GStreamer 1.22 clearing a demuxer away that failed may hang.
fn tell_errors(
    discoverer: &pbutils::Discoverer,
    unwanted: &Probed,
    tell: SyncSender<Result<Probed, Error>>,
) {
    let unwanted = unwanted.clone();
    discoverer.connect_source_setup(move |_, source| {
        let mut top: gst::Object = source.clone().upcast();
        while let Some(parent) = top.parent() {
            top = parent;
        }
        let bus = top
            .downcast_ref::<gst::Pipeline>()
            .and_then(gst::Pipeline::bus);
        let Some(bus) = bus else { return };
        let (unwanted, tell) = (unwanted.clone(), tell.clone());
        bus.enable_sync_message_emission();
        bus.connect_sync_message(Some("error"), move |_, message| {
            if let gst::MessageView::Error(error) = message.view() {
                let text = error.error().message().to_owned();
                let _ = tell.try_send(Ok(damaged(&unwanted, &text)));
            }
        });
    });
}

fn damaged(unwanted: &Probed, why: &str) -> Probed {
    Probed {
        found: format!(
            "{} that cannot be read ({})",
            unwanted.found,
            why.trim_end_matches('.')
        ),
        ..unwanted.clone()
    }
}

/// The kind of data that a file begins with.
fn kind(file: &Path) -> Result<Option<gst::Caps>, Error> {
    let pipeline = elements::parse("filesrc name=file ! typefind name=type ! fakesink")
        .map_err(|error| Error::Machine(error.to_string()))?;
    elements::named(&pipeline, "file").set_property("location", file);
    let bus = pipeline.bus().expect("a pipeline has a bus");
    let _ = pipeline.set_state(gst::State::Paused);
    let ends = [gst::MessageType::AsyncDone, gst::MessageType::Error];
    let _ = bus.timed_pop_filtered(gst::ClockTime::from_seconds(LIMIT_S), &ends);
    let found = elements::named(&pipeline, "type").property::<Option<gst::Caps>>("caps");
    let _ = pipeline.set_state(gst::State::Null);
    Ok(found)
}

/// The container's name where it is one that we take. Behind a tag, `audio` says what follows.
fn container(kind: &gst::CapsRef, audio: Option<&gst::CapsRef>) -> Option<&'static str> {
    let fields = kind.structure(0)?;
    let number = |name| fields.get::<i32>(name).ok();
    match fields.name().as_str() {
        "video/quicktime" if fields.get::<&str>("variant") == Ok("iso") => Some("mp4"),
        "video/quicktime" => Some("mov"),
        "audio/x-m4a" => Some("m4a"),
        "video/webm" | "audio/webm" => Some("webm"),
        "audio/x-wav" => Some("wav"),
        "application/x-id3" => match audio {
            Some(audio) => container(audio, None).filter(|name| matches!(*name, "mp3" | "aac")),
            // Not known before it is taken apart.
            None => Some("mp3"),
        },
        "audio/mpeg" => match (number("mpegversion"), number("layer")) {
            (Some(1), Some(3)) => Some("mp3"),
            (Some(2 | 4), _) => Some("aac"),
            _ => None,
        },
        _ => None,
    }
}

fn summary(kind: &gst::CapsRef, info: &pbutils::DiscovererInfo) -> Probed {
    let videos = info.video_streams();
    // A cover is no video.
    let video = videos.iter().find(|video| !video.is_image());
    let audios = info.audio_streams();
    let audio = audios.first();
    let audio_caps = audio.and_then(|audio| audio.caps());
    let container = container(kind, Some(audio_caps.as_deref().unwrap_or(kind)));
    let codec = |caps: Option<gst::Caps>| caps.map_or_else(String::new, |caps| describe(&caps));
    let video = video.map(|video| {
        let rate = video.framerate();
        let fps = f64::from(rate.numer()) / f64::from(rate.denom().max(1));
        ProbedVideo {
            codec: codec(video.caps()),
            width: video.width(),
            height: video.height(),
            fps: (fps > 0.0).then_some(fps),
        }
    });
    let audio = audio.map(|audio| ProbedAudio {
        codec: codec(audio.caps()),
        rate: audio.sample_rate(),
        channels: audio.channels(),
    });
    let names = [
        video.as_ref().map(|video| format!("{} video", video.codec)),
        audio.as_ref().map(|audio| format!("{} audio", audio.codec)),
    ];
    let names: Vec<String> = names.into_iter().flatten().collect();
    let inside = if names.is_empty() {
        "neither video nor audio".to_owned()
    } else {
        names.join(" and ")
    };
    Probed {
        accepted: container.is_some() && !names.is_empty(),
        found: format!("{} with {inside}", describe(kind)),
        container: container.map(str::to_owned),
        video,
        audio,
        duration: info.duration().map(|span| span.nseconds() as f64 / 1e9),
    }
}

/// What people call it.
fn describe(caps: &gst::CapsRef) -> String {
    let fixed = caps.is_fixed() && !caps.is_empty();
    let name = caps
        .structure(0)
        .map_or("", |fields| fields.name().as_str());
    let described = fixed.then(|| pbutils::functions::pb_utils_get_codec_description(caps));
    match described {
        Some(text) if !text.is_empty() && !text.starts_with("Unknown") => text.to_string(),
        _ => name.to_owned(),
    }
}
