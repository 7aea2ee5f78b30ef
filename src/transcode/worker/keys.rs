//! Where an encoder makes key units: at every picture that opens a segment, and where somebody asks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;

use super::graph::lock;
use super::marks::Marks;
use super::output::Output;

/// Asks the encoder for an IDR at every picture that opens a segment, in the thread that brings the
/// picture and just before it; and at the next picture when the switch that it gives is turned on.
///
/// GStreamer 1.22 stamps a request that comes before an encoder's first output with the offset that
/// x264enc adds to its times, and from then on throttles all later ones. Hence nothing is asked of
/// an encoder that has not given anything: its first picture is an IDR without being asked, and a
/// boundary or a wish that comes while it is still silent is served at the first picture afterwards.
pub(super) fn force(
    element: &gst::Element,
    marks: &Arc<Mutex<Marks>>,
    output: &Output,
) -> Arc<AtomicBool> {
    let given = Arc::new(AtomicBool::new(false));
    let source = element
        .static_pad("src")
        .expect("an encoder has a source pad");
    let gave = given.clone();
    source.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        gave.store(true, Ordering::Release);
        gst::PadProbeReturn::Remove
    });
    let sink = element
        .static_pad("sink")
        .expect("an encoder has a sink pad");
    let (marks, tally) = (marks.clone(), output.tally.clone());
    let (first, waiting) = (AtomicBool::new(true), AtomicBool::new(false));
    let wanted = Arc::new(AtomicBool::new(false));
    let wish = wanted.clone();
    sink.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let Some(pts) = info.buffer().and_then(|buffer| buffer.pts()) else {
            return gst::PadProbeReturn::Ok;
        };
        let opens = lock(&marks).opens(pts.nseconds());
        if first.swap(false, Ordering::Relaxed) {
            wish.store(false, Ordering::Relaxed);
            return gst::PadProbeReturn::Ok;
        }
        let given = given.load(Ordering::Acquire);
        if opens && !given {
            waiting.store(true, Ordering::Relaxed);
            tally.late_boundaries.fetch_add(1, Ordering::Relaxed);
        }
        let owed = || waiting.swap(false, Ordering::Relaxed) | wish.swap(false, Ordering::Relaxed);
        if given && (owed() | opens) {
            let event = gst_video::DownstreamForceKeyUnitEvent::builder()
                .running_time(pts)
                .all_headers(true)
                .build();
            pad.send_event(event);
        }
        gst::PadProbeReturn::Ok
    });
    wanted
}
