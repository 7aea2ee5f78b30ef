//! What a process may do that reads files of strangers: so much memory, these elements, so much time
//! without a sign of progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use rlimit::Resource;

use super::Error;

/// How much less than others a preparation gets of the processor: what is live comes first.
const NICE: i32 = 10;
/// Time without progress after which a preparation is given up, seconds. A slow disk has moments, a picture
/// takes milliseconds.
const STALL_S: u64 = 60;
/// How often it is looked whether something goes on, seconds.
const SIGN_S: u64 = 5;

/// What an accepted file is taken apart and decoded with. What is not here is not used on files of
/// strangers, whatever is installed: no demuxer that follows addresses, no decoder nobody asked for.
const KNOWN: &[&str] = &[
    // containers
    "qtdemux",
    "matroskademux",
    "wavparse",
    "id3demux",
    "apedemux",
    // cut into units
    "aacparse",
    "mpegaudioparse",
    "ac3parse",
    "flacparse",
    "opusparse",
    "h264parse",
    "h265parse",
    "vp9parse",
    "av1parse",
    "mpeg4videoparse",
    "mpegvideoparse",
    // pictures
    "avdec_h264",
    "avdec_h265",
    "avdec_mpeg4",
    "avdec_mpeg2video",
    "avdec_mjpeg",
    "avdec_prores",
    "avdec_dnxhd",
    "vp8dec",
    "vp9dec",
    "dav1ddec",
    "av1dec",
    // sound
    "avdec_aac",
    "avdec_mp3",
    "avdec_mp3float",
    "mpg123audiodec",
    "avdec_ac3",
    "avdec_eac3",
    "avdec_alac",
    "avdec_flac",
    "flacdec",
    "opusdec",
    "vorbisdec",
    "alawdec",
    "mulawdec",
];

/// Starts GStreamer and leaves it [`KNOWN`] elements only to choose from.
pub(super) fn begin() -> Result<(), Error> {
    gst::init().map_err(|error| Error::Machine(format!("gstreamer: {error}")))?;
    let kinds = gst::ElementFactoryType::DECODABLE | gst::ElementFactoryType::SRC;
    for factory in gst::ElementFactory::factories_with_type(kinds, gst::Rank::NONE).iter() {
        let name = factory.name();
        if name != "filesrc" && !KNOWN.contains(&name.as_str()) {
            factory.set_rank(gst::Rank::NONE);
        }
    }
    Ok(())
}

/// Bounds this process's memory, in bytes: what is written to, and what is addressed. A limit that is lower
/// already stays.
pub(super) fn limit_memory(data: u64, address_space: u64) -> Result<(), Error> {
    for (resource, bytes) in [(Resource::DATA, data), (Resource::AS, address_space)] {
        let lower = |(_, hard): (u64, u64)| {
            let bytes = bytes.min(hard);
            resource.set(bytes, bytes)
        };
        let limited = resource.get().and_then(lower);
        limited.map_err(|error| Error::Machine(format!("limit of memory: {error}")))?;
    }
    Ok(())
}

/// Lets everybody else go first. A machine that does not know it goes on as it is.
pub(super) fn step_back() {
    let _ = rustix::process::nice(NICE);
}

/// Signs of progress. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// Something went on.
    pub(super) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls `alive` every few seconds while something goes on, with the number of signs, and `stalled` once
    /// when nothing does for [`STALL_S`]. The thread ends with the process: what hangs cannot be asked to
    /// stop.
    pub(super) fn watch(
        &self,
        mut alive: impl FnMut(u64) + Send + 'static,
        stalled: impl FnOnce(u64) + Send + 'static,
    ) -> Result<(), Error> {
        let pulse = self.0.clone();
        let watch = move || {
            let (mut seen, mut idle) = (pulse.load(Ordering::Relaxed), 0);
            while idle < STALL_S {
                std::thread::sleep(Duration::from_secs(SIGN_S));
                let now = pulse.load(Ordering::Relaxed);
                if now == seen {
                    idle += SIGN_S;
                } else {
                    idle = 0;
                    alive(now);
                }
                seen = now;
            }
            stalled(STALL_S);
        };
        let thread = std::thread::Builder::new().name("pulse".to_owned());
        let started = thread.spawn(watch);
        started.map_err(|error| Error::Machine(format!("thread: {error}")))?;
        Ok(())
    }
}
