//! From the decoder to the encoders: finds the pictures that open segments, gives every picture the
//! same description, starts the encoders at the first boundary, and repeats a picture in holes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use gstreamer as gst;

use super::graph::{Graph, fraction, lock};
use super::marks::Marks;
use super::output::Output;
use super::slate::Drawing;
use super::times::Times;
use crate::hub::Filler;
use crate::media::{Ticks, Timescale};
use crate::transcode::ladder::Aspect;
use crate::transcode::protocol::{Colour, Frames, Message, Setup};

/// The way of decoded pictures.
pub(in crate::transcode) struct Pictures {
    setup: Arc<Setup>,
    marks: Arc<Mutex<Marks>>,
    times: Arc<Times>,
    output: Output,
    graph: Option<Graph>,
    slate: Option<Drawing>,
    /// The description that the encoders were told last.
    caps: Option<gst::Caps>,
    /// The newest decoded picture, shown or not.
    newest: Option<gst::Sample>,
    /// Where the frame grid of a hole begins: the pipeline time of the newest decoded picture,
    /// nanoseconds.
    grid: Option<u64>,
    /// Frames of the grid that are behind.
    repeats: u64,
    /// Channel time of the next picture, where pictures have times of their own.
    next_frame: Option<Ticks>,
    /// Pipeline time of the last picture, nanoseconds.
    last: Option<u64>,
}

impl Pictures {
    pub(in crate::transcode) fn new(
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
            slate: None,
            caps: None,
            newest: None,
            grid: None,
            repeats: 0,
            next_frame: None,
            last: None,
        }
    }

    /// The next picture comes from another decoder.
    pub(super) fn source_changed(&mut self) {
        self.caps = None;
    }

    /// The encoders, to be drained.
    pub(in crate::transcode) fn take_graph(&mut self) -> Option<Graph> {
        self.graph.take()
    }

    /// Makes nothing of a rung any more.
    pub(super) fn shed(&self, index: usize) {
        if let Some(graph) = &self.graph {
            graph.shed(index);
        }
    }

    /// Asks for a key unit of one rung. One that has not begun begins with one.
    pub(super) fn want_key_unit(&self, index: usize) {
        if let Some(graph) = &self.graph {
            graph.want_key_unit(index);
        }
    }

    /// Takes one decoded picture. Waits when the encoders are behind.
    pub(in crate::transcode) fn handle_sample(
        &mut self,
        sample: &gst::Sample,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let picture = sample.buffer_owned().ok_or(gst::FlowError::Error)?;
        let Some(pts) = picture.pts().map(gst::ClockTime::nseconds) else {
            return Ok(gst::FlowSuccess::Ok);
        };
        if self.setup.frames.is_none() && self.last.is_some_and(|last| pts <= last) {
            return Ok(self.skip());
        }
        if let Some(frames) = self.setup.frames {
            return self.handle_on_frames(sample, pts, frames);
        }
        (self.newest, self.grid, self.repeats) = (Some(sample.clone()), Some(pts), 0);
        if !self.begins(pts) {
            return Ok(self.skip());
        }
        let caps = sample.caps_owned().ok_or(gst::FlowError::NotNegotiated)?;
        self.show(picture, caps, pts)
    }

    /// Takes one decoded picture where pictures have times of their own: at each of those the newest one
    /// so far is shown, repeated or left out as need be.
    fn handle_on_frames(
        &mut self,
        sample: &gst::Sample,
        pts: u64,
        frames: Frames,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let shown_from = self.times.channel(pts, Timescale::CHANNEL) - frames.slack();
        if self.graph.is_none() {
            // Of what is not shown nothing is repeated, however long it was.
            let earliest = lock(&self.marks).earliest();
            let earliest = earliest.map(|time| self.times.channel(time, Timescale::CHANNEL));
            let begin = earliest.map_or(shown_from, |time| time.min(shown_from));
            self.next_frame = self.next_frame.max(Some(frames.at_or_after(begin)));
        }
        let from = self.times.pipeline(shown_from, Timescale::CHANNEL);
        self.repeat(from.unwrap_or(0), Filler::Picture)?;
        self.newest = Some(sample.clone());
        // The one that is due at this very picture is not late.
        let until = self
            .times
            .pipeline(shown_from + Ticks(1), Timescale::CHANNEL);
        self.repeat(until.unwrap_or(0), Filler::Picture)
    }

    /// Fills a hole: repeats the newest picture, or shows the slate, on the frame grid up to `until`.
    pub(super) fn handle_hold(
        &mut self,
        until: u64,
        filler: Filler,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        if self.slate.is_none()
            && let Some(slate) = self.setup.slate.clone()
        {
            let caps = self.newest.as_ref().and_then(|newest| newest.caps());
            let colour = self.colour(caps.and_then(|caps| caps.structure(0)));
            self.slate = Some(Drawing::start(slate, &self.setup, &colour, &self.output));
        }
        self.repeat(until, filler)
    }

    /// Shows the filler at every time of the frame grid before `until`.
    fn repeat(&mut self, until: u64, filler: Filler) -> Result<gst::FlowSuccess, gst::FlowError> {
        while let Some(pts) = self.next_on_grid().filter(|pts| *pts < until) {
            self.pass_frame();
            let begins = self.begins(pts);
            let Some(sample) = begins.then(|| self.filler(filler)).flatten() else {
                self.skip();
                continue;
            };
            let mut picture = sample.buffer_owned().ok_or(gst::FlowError::Error)?;
            let time = gst::ClockTime::from_nseconds(pts);
            picture.make_mut().set_pts(time);
            let caps = sample.caps_owned().ok_or(gst::FlowError::NotNegotiated)?;
            self.show(picture, caps, pts)?;
        }
        Ok(gst::FlowSuccess::Ok)
    }

    /// The time of the next picture of a hole. Counted from the newest picture, so that nothing adds
    /// up, and a whole tick, so that it is the same in every rung.
    fn next_on_grid(&mut self) -> Option<u64> {
        if let Some(frames) = self.setup.frames {
            return self.next_of(frames);
        }
        let rate = fraction(self.setup.frame_rate_millis);
        let (frames, per) = (
            u128::from(rate.numer().unsigned_abs().max(1)),
            u128::from(rate.denom().unsigned_abs()) * 1_000_000_000,
        );
        let span = |count: u64| u64::try_from(u128::from(count) * per / frames).unwrap_or(u64::MAX);
        let resumed = self.resumed();
        let grid = match self.grid {
            Some(grid) => grid,
            None => {
                // There was no picture: the grid is laid so that one lies where the rungs begin.
                let earliest = lock(&self.marks).earliest();
                let first = resumed.or(earliest)?;
                *self.grid.insert(first.saturating_sub(span(1)))
            }
        };
        if let Some(from) = resumed.filter(|_| self.graph.is_none()) {
            // What was published is not made again, however long the hole.
            let before = u128::from(from.saturating_sub(grid).saturating_sub(1)) * frames / per;
            self.repeats = self.repeats.max(u64::try_from(before).unwrap_or(0));
        }
        let scale = Timescale::CHANNEL;
        let time = grid.saturating_add(span(self.repeats + 1));
        self.times.pipeline(self.times.channel(time, scale), scale)
    }

    /// The same where pictures have times of their own.
    fn next_of(&mut self, frames: Frames) -> Option<u64> {
        let scale = Timescale::CHANNEL;
        let resumed = self.resumed();
        let begin = self.next_frame.or_else(|| {
            let begin = resumed.or(lock(&self.marks).earliest())?;
            Some(frames.at_or_after(self.times.channel(begin, scale)))
        })?;
        let next = match resumed.filter(|_| self.graph.is_none()) {
            // What was published is not made again, however long the hole.
            Some(from) => begin.max(frames.at_or_after(self.times.channel(from, scale))),
            None => begin,
        };
        self.next_frame = Some(next);
        self.times.pipeline(next, scale)
    }

    fn pass_frame(&mut self) {
        self.repeats += 1;
        if let (Some(next), Some(frames)) = (&mut self.next_frame, self.setup.frames) {
            *next += Ticks(frames.every);
        }
    }

    /// Where the rungs of an earlier worker go on, the first of them.
    fn resumed(&self) -> Option<u64> {
        let video = self.setup.resume.iter().take(self.setup.video.len());
        let first = video.flatten().min()?;
        let time = self.times.pipeline(Ticks(*first), Timescale::CHANNEL);
        Some(time.unwrap_or(0))
    }

    /// Whether pictures are shown from this one on, or were before. Asked once per picture.
    fn begins(&self, pts: u64) -> bool {
        let opens = lock(&self.marks).open(pts);
        self.graph.is_some() || self.resumed().map_or(opens, |from| pts >= from)
    }

    fn skip(&self) -> gst::FlowSuccess {
        let tally = &self.output.tally;
        tally.skipped_frames.fetch_add(1, Ordering::Relaxed);
        gst::FlowSuccess::Ok
    }

    /// What is shown in a hole.
    fn filler(&mut self, filler: Filler) -> Option<gst::Sample> {
        if let (Filler::Picture, Some(newest)) = (filler, &self.newest) {
            return Some(newest.clone());
        }
        let drawn = self.slate.as_mut().and_then(Drawing::picture);
        drawn.or_else(|| self.newest.clone())
    }

    /// What all rungs pin: what an earlier worker did, else what these caps say.
    fn colour(&self, fields: Option<&gst::StructureRef>) -> Colour {
        let text = |name| fields.and_then(|fields| fields.get::<String>(name).ok());
        self.setup.colour.clone().unwrap_or_else(|| Colour {
            colorimetry: text("colorimetry").unwrap_or_else(|| "bt709".to_owned()),
            chroma_site: text("chroma-site"),
        })
    }

    /// Gives a picture to the encoders.
    fn show(
        &mut self,
        mut picture: gst::Buffer,
        caps: gst::Caps,
        pts: u64,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.last = Some(pts);
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
            let colour = self.colour(Some(fields));
            let graph = Graph::new(&self.setup, &colour, &self.marks, &self.times, &self.output);
            self.graph = Some(graph.map_err(|error| {
                self.output.send(super::failure(&error));
                gst::FlowError::Error
            })?);
            self.output.send(Message::Colour(colour));
        }
        let graph = self.graph.as_ref().expect("made above when it was missing");
        let top = self.setup.video.first();
        let pixel = fields
            .get::<gst::Fraction>("pixel-aspect-ratio")
            .map_or((1, 1), |pixel| (pixel.numer(), pixel.denom()));
        let (kept, crop) = match self.setup.crop {
            Some(aspect) => {
                let kept = crop(aspect, (width, height), pixel);
                (kept, Some(margins((width, height), kept)))
            }
            None => ((width, height), None),
        };
        let pad = top.is_some_and(|rung| {
            let display = Aspect {
                width: kept.0.saturating_mul(pixel.0.unsigned_abs()),
                height: kept.1.saturating_mul(pixel.1.unsigned_abs()),
            };
            !display.fits(rung.width, rung.height)
        });
        let mode = fields.get::<&str>("interlace-mode").unwrap_or_default();
        let deinterlaced = matches!(mode, "interleaved" | "mixed") && graph.deinterlaces();
        let mut pinned = caps.clone();
        let fields = pinned.make_mut().structure_mut(0);
        let fields = fields.ok_or(gst::FlowError::NotNegotiated)?;
        fields.set("framerate", fraction(self.setup.frame_rate_millis));
        if !deinterlaced {
            fields.set("interlace-mode", "progressive");
            fields.remove_field("field-order");
        }
        fields.remove_fields(["multiview-mode", "multiview-flags"]);
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

/// The part to keep of a picture whose pixels may not be square.
fn crop(aspect: Aspect, (width, height): (u32, u32), pixel: (i32, i32)) -> (u32, u32) {
    let (across, down) = (pixel.0.unsigned_abs().max(1), pixel.1.unsigned_abs().max(1));
    let times = |value: u32, by: u32, over: u32| {
        u32::try_from(u64::from(value) * u64::from(by) / u64::from(over)).unwrap_or(u32::MAX)
    };
    let kept = aspect.crop(times(width, across, down), height);
    (times(kept.0, down, across).min(width) & !1, kept.1)
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
