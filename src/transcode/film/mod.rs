//! Films. In: a file that somebody uploaded. Out: what it is ([`probe`]), and its renditions on a grid of
//! whole segments that loops without a seam ([`prepare`]), with a slate of the same form. Both run in a
//! child process of their own, which reads what strangers sent. Not here: who asked for it, how it is kept
//! ([`Shelf`]), playing it.
//!
//! ```text
//! survey  once through the file: times of all pictures, the sound as samples  ─> the grid
//! make    again, from where an earlier run ended: pictures laid on the grid ─> the ladder's encoders ─┐
//!         sound, loop after loop until AAC frames come out even             ─> AAC ──────────────────┴> reel
//! ```

mod collect;
mod frames;
mod grid;
mod guard;
mod make;
mod mix;
mod plan;
pub mod probe;
mod rate;
mod read;
mod resample;
mod sound;
mod survey;

use std::path::PathBuf;

use crate::base::Kind;
use crate::format::fmp4::Sample;
use crate::media::{Rendition, Ticks};

use self::guard::Pulse;
use super::ladder::Choice;

/// Memory that a preparation may write to: pictures of 8K in a decoder, and those of the ladder.
const MAX_DATA: u64 = 4 << 30;
/// Addresses that it may take; threads reserve many that they never write to.
const MAX_ADDRESSES: u64 = 16 << 30;

/// What shall be prepared, and how.
#[derive(Clone, Debug)]
pub struct Order {
    /// The file.
    pub original: PathBuf,
    /// A folder for the sound while it is worked on. What is there has no name: a crash leaves nothing.
    pub scratch: PathBuf,
    /// What stands on the slate.
    pub title: String,
    /// Length of a segment, whole seconds.
    pub segment_seconds: u32,
    /// Which ladder; without one it is what the machine can pay for.
    pub ladder: Choice,
}

/// Of two reels, which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The film itself.
    Film,
    /// The still picture with the event's title.
    Slate,
}

/// Where reels are kept. A text says why not.
pub trait Shelf {
    /// The reel on which this is laid down, with what an earlier run left there.
    fn reel(
        &mut self,
        which: Which,
        fps: u32,
        segment_seconds: u32,
    ) -> Result<Box<dyn Reel>, String>;
}

/// A film or slate, as it is laid down segment by segment. A text says why not.
pub trait Reel {
    /// Whether nothing is missing.
    fn is_complete(&self) -> bool;
    /// Segments that all renditions have.
    fn whole(&self) -> u64;
    /// The slot of a rendition.
    fn declare(&mut self, rendition: &Rendition) -> Result<usize, String>;
    /// Appends a segment to a slot: all its samples in decode order, of which the first has the decode time
    /// `start` since the film's zero, in the rendition's timescale. One that is there already stays.
    fn append(
        &mut self,
        slot: usize,
        number: u64,
        start: Ticks,
        samples: &[Sample],
    ) -> Result<(), String>;
    /// All is there: a loop has so many frames, the sound is laid down for so many loops.
    fn finish(&mut self, frames: u64, unrolled: u32) -> Result<(), String>;
}

/// How far a preparation is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// 0 to 100.
    pub percent: u32,
    /// What can be played, seconds of the film.
    pub seconds: f64,
}

/// Prepares as a child process that reads what strangers sent: within bounds, behind everybody else, and
/// not for ever. `alive` is called every few seconds, with a number that rises, also where there is no
/// progress to tell: where much is read before the next segment. `stalled` is called once when nothing goes
/// on any more; it should end the process.
pub fn run(
    order: &Order,
    shelf: &mut dyn Shelf,
    progress: &mut dyn FnMut(Progress),
    alive: impl FnMut(u64) + Send + 'static,
    stalled: impl FnOnce(Error) + Send + 'static,
) -> Result<(), Error> {
    guard::limit_memory(MAX_DATA, MAX_ADDRESSES)?;
    guard::step_back();
    let pulse = Pulse::default();
    pulse.watch(alive, move |seconds| stalled(Error::Stalled(seconds)))?;
    prepare(order, shelf, progress, &pulse)
}

/// Prepares slate and film.
fn prepare(
    order: &Order,
    shelf: &mut dyn Shelf,
    progress: &mut dyn FnMut(Progress),
    pulse: &Pulse,
) -> Result<(), Error> {
    guard::begin()?;
    progress(Progress {
        percent: 0,
        seconds: 0.0,
    });
    let survey = survey::survey(order, pulse)?;
    let plan = plan::plan(order, &survey)?;
    let fps = plan.grid.rate.fps;
    let mut reel = |which| {
        let reel = shelf.reel(which, fps, order.segment_seconds);
        reel.map_err(Error::Keep)
    };
    let (mut slate, mut film) = (reel(Which::Slate)?, reel(Which::Film)?);
    // It is needed first: before the event begins.
    if !slate.is_complete() {
        make::slate(order, &plan, slate.as_mut(), pulse)?;
    }
    if !film.is_complete() {
        make::film(order, &plan, survey, film.as_mut(), progress, pulse)?;
    }
    progress(Progress {
        percent: 100,
        seconds: plan.grid.frames as f64 / f64::from(fps),
    });
    Ok(())
}

/// What can go wrong with a film. Each text is for who uploaded it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This machine lacks something.
    #[error("cannot work here: {0}")]
    Machine(String),
    /// It is something else.
    #[error("cannot decode the file: it is {0}")]
    Kind(String),
    /// It has nothing to show.
    #[error("cannot decode the file: there is neither video nor audio in it")]
    Empty,
    /// Its content is damaged, or in a codec that is not taken.
    #[error("cannot decode the file: {0}")]
    Decode(String),
    /// It ends before it should.
    #[error("cannot decode the file: it breaks off after {found_s:.1} s of {stated_s:.1} s")]
    BrokenOff {
        /// What can be decoded, seconds.
        found_s: f64,
        /// What it says to have, seconds.
        stated_s: f64,
    },
    /// Too short to be a film.
    #[error("the film lasts {0:.2} s, and at least 1 s is needed")]
    Short(f64),
    /// Longer than any film, or without end.
    #[error("the film lasts more than {0} hours")]
    Long(u64),
    /// No encoder takes such a picture.
    #[error("a picture of {0}x{1} is too small")]
    Small(u32, u32),
    /// Nothing goes on any more.
    #[error("cannot decode the file: nothing went on for {0} s")]
    Stalled(u64),
    /// An encoder failed.
    #[error("cannot encode: {0}")]
    Encode(String),
    /// What was made could not be kept.
    #[error("cannot keep what was prepared: {0}")]
    Keep(String),
}

impl Error {
    /// The kind of failure, for the edge.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Machine(_) | Error::Encode(_) | Error::Keep(_) => Kind::Internal,
            Error::Stalled(_) => Kind::Timeout,
            Error::Kind(_)
            | Error::Empty
            | Error::Decode(_)
            | Error::BrokenOff { .. }
            | Error::Short(_)
            | Error::Long(_)
            | Error::Small(..) => Kind::Invalid,
        }
    }
}

#[cfg(test)]
mod tests;
