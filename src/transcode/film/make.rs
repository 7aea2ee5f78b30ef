//! Makes a reel: pictures and sound go into the encoders of the ladder in step, and what they give is
//! collected segment by segment.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

use gstreamer as gst;

use super::collect::Collect;
use super::frames::Frames;
use super::grid::{AAC_FRAME, Grid, SAMPLE_RATE};
use super::guard::Pulse;
use super::plan::Plan;
use super::survey::Survey;
use super::{Error, Order, Progress, Reel};
use crate::media::{Ticks, Timescale};
use crate::transcode::protocol::{Message, Setup, Slate};
use crate::transcode::worker::audio::AudioGraph;
use crate::transcode::worker::marks::Marks;
use crate::transcode::worker::output::Output;
use crate::transcode::worker::picture::Pictures;
use crate::transcode::worker::slate;
use crate::transcode::worker::times::Times;

/// AAC frames that an encoder hears before the first that is kept: what it decides there is then what it
/// decides at the end of the loop, which ends in the same samples.
const RUN_UP: i64 = 48;
/// AAC frames that it hears behind the last: its delay, and what the last one overlaps with.
const RUN_OUT: u64 = 3;
/// AAC frames that are encoded at once.
const PIECE: u64 = 4;
/// Of what is shown as progress, the part that the survey and the slate take, and all but the very end.
const PERCENT: (f64, f64) = (2.0, 97.0);

/// The picture of a frame.
type PictureOf = Box<dyn FnMut(u64) -> Result<gst::Sample, Error> + Send>;
/// Appends samples of a loop, interleaved: from one on, so many.
type SoundOf = Box<dyn FnMut(u64, &mut Vec<f32>, u64) -> Result<(), Error> + Send>;

/// What goes into the encoders.
struct Feed {
    setup: Arc<Setup>,
    grid: Grid,
    /// First segment that is made.
    from: u64,
    pictures: Option<PictureOf>,
    sound: Option<SoundOf>,
}

/// Makes the film, from where an earlier run ended.
pub(super) fn film(
    order: &Order,
    plan: &Plan,
    survey: Survey,
    reel: &mut dyn Reel,
    progress: &mut dyn FnMut(Progress),
    pulse: &Pulse,
) -> Result<(), Error> {
    let (grid, origin) = (plan.grid, plan.origin);
    let (rate, from) = (grid.rate, reel.whole());
    let mut pictures: Option<PictureOf> = None;
    if let Some(video) = survey.video.as_ref().filter(|_| from < grid.segments()) {
        let last = video.times.last().copied().unwrap_or(0);
        let mut frames = Frames::open(&order.original, last, pulse)?;
        // Up to the middle between two frames: what comes a little late is still the frame's.
        let until = move |frame: u64| origin + rate.source_ns(2 * frame + 1, 2 * rate.fps);
        pictures = Some(Box::new(move |frame| frames.before(until(frame))));
    }
    let mut voice: Option<SoundOf> = None;
    if let Some(mut heard) = survey.sound {
        heard.begin_at(origin);
        let heard = heard.fitted(&order.scratch, rate, grid.loop_samples(), pulse)?;
        voice = Some(Box::new(move |from, out, samples| {
            heard.read(from, out, samples)
        }));
    }
    let feed = Feed {
        setup: Arc::new(plan.setup.clone()),
        grid,
        from,
        pictures,
        sound: voice,
    };
    let seconds = |frames: u64| frames as f64 / f64::from(rate.fps);
    let mut told = |segments: u64| {
        let done = seconds(grid.start(segments).min(grid.frames));
        let share = segments as f64 / (grid.segments() * u64::from(grid.unrolled)) as f64;
        // Pictures take nearly all of the time; sound alone goes on behind them.
        let share = if plan.setup.video.is_empty() {
            share
        } else {
            0.95 * done / seconds(grid.frames) + 0.05 * share
        };
        progress(Progress {
            percent: (PERCENT.0 + PERCENT.1 * share) as u32,
            seconds: done,
        });
    };
    run(feed, reel, &mut told, pulse)
}

/// Makes the slate: one segment of a picture that stands still, and silence.
pub(super) fn slate(
    order: &Order,
    plan: &Plan,
    reel: &mut dyn Reel,
    pulse: &Pulse,
) -> Result<(), Error> {
    let grid = plan.grid.of_slate(!plan.setup.audio.is_empty());
    let from = reel.whole();
    let mut pictures: Option<PictureOf> = None;
    if let (Some(colour), false) = (&plan.setup.colour, plan.setup.video.is_empty()) {
        let wanted = Slate {
            name: order.title.clone(),
            image: None,
        };
        let form = slate::form(&plan.setup, colour);
        let (output, _warnings) = Output::new();
        let drawn = slate::draw(&wanted, "", &form, &output);
        let drawn = drawn.map_err(|error| Error::Encode(error.to_string()))?;
        pictures = Some(Box::new(move |_| Ok(drawn.clone())));
    }
    let channels = plan
        .setup
        .audio
        .first()
        .map(|rung| u64::from(rung.channels));
    let sound = channels.map(|channels| -> SoundOf {
        Box::new(move |_, out, samples| {
            let more = usize::try_from(samples * channels).unwrap_or(0);
            out.resize(out.len() + more, 0.0);
            Ok(())
        })
    });
    let feed = Feed {
        setup: Arc::new(plan.setup.clone()),
        grid,
        from,
        pictures: pictures.filter(|_| from < grid.segments()),
        sound,
    };
    run(feed, reel, &mut |_| {}, pulse)
}

/// Feeds the encoders in a thread and collects what they give in this one.
fn run(
    feed: Feed,
    reel: &mut dyn Reel,
    told: &mut dyn FnMut(u64),
    pulse: &Pulse,
) -> Result<(), Error> {
    let (grid, setup) = (feed.grid, feed.setup.clone());
    let (output, queue) = Output::new();
    let (tell, fed) = sync_channel(1);
    let from = feed.from;
    let thread = std::thread::Builder::new().name("feed".to_owned());
    let started = thread.spawn(move || {
        let outcome = feed.run(&output);
        // Room for the one answer that there will be.
        let _ = tell.try_send(outcome);
        output.send(Message::Finished);
    });
    started.map_err(|error| Error::Machine(format!("thread: {error}")))?;
    let mut collect = Collect::new(grid, &setup, from);
    while let Ok(message) = queue.recv() {
        pulse.beat();
        match message {
            Message::RungTrack { index, track } => collect.handle_track(index.into(), *track)?,
            Message::RungUnit {
                index,
                key,
                pts,
                data,
                ..
            } => collect.handle_unit(index.into(), pts, key, data)?,
            Message::Failed { element, text, .. } => {
                return Err(Error::Encode(format!("{element}: {text}")));
            }
            Message::Finished => {
                fed.recv().unwrap_or(Ok(()))?;
                collect.finish()?;
            }
            _ => {}
        }
        while collect.hand_on(reel)? {
            told(collect.next());
        }
    }
    let loops = if setup.audio.is_empty() {
        1
    } else {
        grid.unrolled
    };
    let all = grid.segments() * u64::from(loops);
    if collect.next() < all {
        let text = format!("{} of {all} segments came", collect.next());
        return Err(Error::Encode(text));
    }
    reel.finish(grid.frames, grid.unrolled).map_err(Error::Keep)
}

impl Feed {
    /// Gives the encoders everything, and waits until they have given it back.
    fn run(mut self, output: &Output) -> Result<(), Error> {
        let (grid, setup) = (self.grid, self.setup.clone());
        let encode = |error: crate::transcode::Error| Error::Encode(error.to_string());
        let times = Arc::new(Times::default());
        let zero = ticks(grid.start(self.from) * grid.frame_ticks());
        let _ = times.pipeline(zero, Timescale::CHANNEL);
        let marks = Arc::new(Mutex::new(Marks::default()));
        let mut encoders =
            Pictures::new(setup.clone(), marks.clone(), times.clone(), output.clone());
        let mut sound = match self.sound.take() {
            Some(of) => Some(Voice::new(of, &setup, grid, self.from, &times, output)?),
            None => None,
        };
        let loops = if sound.is_some() { grid.unrolled } else { 1 };
        for number in self.from..grid.segments() * u64::from(loops) {
            let (start, end) = (grid.start(number), grid.start(number + 1));
            if let Some(picture_of) = self.pictures.as_mut().filter(|_| number < grid.segments()) {
                for frame in start..end {
                    let sample = picture_of(frame)?;
                    let time = ticks(frame * grid.frame_ticks());
                    let time = times.pipeline(time, Timescale::CHANNEL);
                    let time = time.expect("the film begins before its frames");
                    if frame == start {
                        crate::transcode::worker::graph::lock(&marks).stamp(time);
                    }
                    // A failure was told to the output, with its element and text.
                    if encoders.handle_sample(&at(&sample, time)).is_err() {
                        return Ok(());
                    }
                }
            } else if let Some(graph) = encoders.take_graph() {
                // The last segment is whole when the encoders are empty.
                graph.drain().map_err(encode)?;
            }
            if let Some(sound) = &mut sound
                && !sound.go_to(end * grid.frame_samples(), &times)?
            {
                return Ok(());
            }
        }
        if let Some(graph) = encoders.take_graph() {
            graph.drain().map_err(encode)?;
        }
        match sound {
            Some(mut sound) => {
                let end = grid.aac_frames() + RUN_OUT;
                if sound.go_to(end * AAC_FRAME, &times)? {
                    sound.encoders.drain().map_err(encode)?;
                }
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// A picture with another time.
fn at(sample: &gst::Sample, nanos: u64) -> gst::Sample {
    let mut picture = sample.buffer_owned().unwrap_or_default();
    let fields = picture.make_mut();
    fields.set_pts(gst::ClockTime::from_nseconds(nanos));
    fields.set_duration(gst::ClockTime::NONE);
    let built = gst::Sample::builder().buffer(&picture);
    match sample.caps_owned() {
        Some(caps) => built.caps(&caps).build(),
        None => built.build(),
    }
}

/// The sound on its way into the encoders.
struct Voice {
    of: SoundOf,
    encoders: AudioGraph,
    /// Samples of a loop, and channels of each.
    loop_samples: u64,
    channels: u64,
    /// Next sample, counted over all loops; those of the run-up are before the first.
    next: i64,
}

impl Voice {
    fn new(
        of: SoundOf,
        setup: &Setup,
        grid: Grid,
        from: u64,
        times: &Arc<Times>,
        output: &Output,
    ) -> Result<Voice, Error> {
        let first = grid.start(from) * grid.frame_samples();
        let frame = ticks(first.div_ceil(AAC_FRAME)).0 - RUN_UP;
        let next = frame * AAC_FRAME as i64;
        let rungs = &setup.audio;
        let encoders = AudioGraph::new(rungs, setup.video.len(), Some(next), times, output);
        Ok(Voice {
            of,
            encoders: encoders.map_err(|error| Error::Encode(error.to_string()))?,
            loop_samples: grid.loop_samples(),
            channels: rungs.first().map_or(2, |rung| u64::from(rung.channels)),
            next,
        })
    }

    /// Encodes up to a sample, round the loop. False when the encoders failed, which the output knows.
    fn go_to(&mut self, end: u64, times: &Times) -> Result<bool, Error> {
        let end = ticks(end).0;
        let scale = Timescale::of(SAMPLE_RATE);
        while self.next < end {
            let wanted = PIECE * AAC_FRAME;
            let mut values = Vec::new();
            let mut have = 0;
            while have < wanted {
                let place = self.next + ticks(have).0;
                let place = place.rem_euclid(ticks(self.loop_samples).0).unsigned_abs();
                let piece = (wanted - have).min(self.loop_samples - place);
                (self.of)(place, &mut values, piece)?;
                have += piece;
            }
            debug_assert_eq!(values.len() as u64, wanted * self.channels);
            let bytes: Vec<u8> = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            let mut buffer = gst::Buffer::from_mut_slice(bytes);
            let time = times.pipeline(Ticks(self.next), scale);
            let time = time.map(gst::ClockTime::from_nseconds);
            buffer
                .get_mut()
                .expect("a new buffer has one owner")
                .set_pts(time);
            let sample = gst::Sample::builder().buffer(&buffer).build();
            if self.encoders.handle_sample(&sample).is_err() {
                return Ok(false);
            }
            self.next += ticks(wanted).0;
        }
        Ok(true)
    }
}

fn ticks(number: u64) -> Ticks {
    Ticks(i64::try_from(number).unwrap_or(i64::MAX))
}
