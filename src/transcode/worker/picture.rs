//! From the decoder to the encoders: finds the pictures that open segments, gives every picture the
//! same description, and starts the encoders at the first boundary.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use gstreamer as gst;

use super::graph::{Colour, Graph, fraction, lock};
use super::marks::Marks;
use super::output::Output;
use super::times::Times;
use crate::transcode::ladder::Aspect;
use crate::transcode::protocol::{Message, Setup};

/// The way of decoded pictures.
pub(super) struct Pictures {
    setup: Arc<Setup>,
    marks: Arc<Mutex<Marks>>,
    times: Arc<Times>,
    output: Output,
    graph: Option<Graph>,
    /// The decoder's description that the encoders were told last.
    caps: Option<gst::Caps>,
    /// Pipeline time of the last picture, nanoseconds.
    last: Option<u64>,
}

impl Pictures {
    pub(super) fn new(
        setup: Arc<Setup>,
        marks: Arc<Mutex<Marks>>,
        times: Arc<Times>,
        output: Output,
    ) -> Pictures {
        Pictures {
            setup,
            marks,
            times,
            output,
            graph: None,
            caps: None,
            last: None,
        }
    }

    /// The next picture comes from another decoder.
    pub(super) fn source_changed(&mut self) {
        self.caps = None;
    }

    /// The encoders, to be drained.
    pub(super) fn take_graph(&mut self) -> Option<Graph> {
        self.graph.take()
    }

    /// Takes one decoded picture. Waits when the encoders are behind.
    pub(super) fn handle_sample(
        &mut self,
        sample: &gst::Sample,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut picture = sample.buffer_owned().ok_or(gst::FlowError::Error)?;
        let Some(pts) = picture.pts().map(gst::ClockTime::nseconds) else {
            return Ok(gst::FlowSuccess::Ok);
        };
        let passed = self.last.is_some_and(|last| pts <= last);
        let opens = !passed && lock(&self.marks).open(pts);
        if passed || (self.graph.is_none() && !opens) {
            let tally = &self.output.tally;
            tally.skipped_frames.fetch_add(1, Ordering::Relaxed);
            return Ok(gst::FlowSuccess::Ok);
        }
        self.last = Some(pts);
        let caps = sample.caps_owned().ok_or(gst::FlowError::NotNegotiated)?;
        if self.caps.as_ref() != Some(&caps) {
            self.handle_caps(&caps)?;
            self.caps = Some(caps);
        }
        let graph = self.graph.as_ref().ok_or(gst::FlowError::Error)?;
        self.output.tally.frames.fetch_add(1, Ordering::Relaxed);
        // A connection that was lost on the way in is none for the encoders.
        if picture.flags().contains(gst::BufferFlags::DISCONT) {
            let flags = gst::BufferFlags::DISCONT | gst::BufferFlags::RESYNC;
            picture.make_mut().unset_flags(flags);
        }
        graph.push(picture)
    }

    fn handle_caps(&mut self, caps: &gst::Caps) -> Result<(), gst::FlowError> {
        let fields = caps.structure(0).ok_or(gst::FlowError::NotNegotiated)?;
        let (width, height) = (side(fields, "width"), side(fields, "height"));
        if self.graph.is_none() {
            let colour = Colour {
                colorimetry: fields
                    .get::<String>("colorimetry")
                    .unwrap_or_else(|_| "bt709".to_owned()),
                chroma_site: fields.get::<String>("chroma-site").ok(),
            };
            let graph = Graph::new(&self.setup, &colour, &self.marks, &self.times, &self.output);
            self.graph = Some(graph.map_err(|error| {
                self.output.send(super::failure(&error));
                gst::FlowError::Error
            })?);
        }
        let graph = self.graph.as_ref().expect("made above when it was missing");
        let top = self.setup.video.first();
        let (kept, crop) = match self.setup.crop {
            Some(aspect) => {
                let kept = aspect.crop(width, height);
                (kept, Some(margins((width, height), kept)))
            }
            None => ((width, height), None),
        };
        let pixel = fields
            .get::<gst::Fraction>("pixel-aspect-ratio")
            .map_or((1, 1), |pixel| (pixel.numer(), pixel.denom()));
        let pad = top.is_some_and(|rung| {
            let display = Aspect {
                width: kept.0.saturating_mul(pixel.0.unsigned_abs()),
                height: kept.1.saturating_mul(pixel.1.unsigned_abs()),
            };
            !display.fits(rung.width, rung.height)
        });
        let mut pinned = caps.clone();
        let fields = pinned.make_mut().structure_mut(0);
        let fields = fields.ok_or(gst::FlowError::NotNegotiated)?;
        fields.set("framerate", fraction(self.setup.frame_rate_millis));
        fields.set("interlace-mode", "progressive");
        fields.remove_fields(["field-order", "multiview-mode", "multiview-flags"]);
        if !pad {
            // Borders of a rounded line are worse than a pixel that is a thousandth too wide.
            fields.set("pixel-aspect-ratio", gst::Fraction::new(1, 1));
        }
        graph.set_caps(&pinned, pad, crop);
        self.output
            .send(Message::Statistics(self.output.tally.counters()));
        Ok(())
    }
}

fn side(fields: &gst::StructureRef, name: &str) -> u32 {
    let value = fields.get::<i32>(name).unwrap_or(0);
    u32::try_from(value).unwrap_or(0)
}

/// Pixels to cut at the left, right, top and bottom; even, so that chroma stays where it is.
fn margins(from: (u32, u32), to: (u32, u32)) -> [i32; 4] {
    let split = |from: u32, to: u32| {
        let cut = from.saturating_sub(to);
        let before = (cut / 2) & !1;
        let pixels = |value| i32::try_from(value).unwrap_or(0);
        (pixels(before), pixels(cut - before))
    };
    let (left, right) = split(from.0, to.0);
    let (top, bottom) = split(from.1, to.1);
    [left, right, top, bottom]
}
