//! Scheduled events on air. In: the cut log of a show, the prepared media of its asset, and the time. Out: a
//! [`Timeline`](crate::media::timeline::Timeline) like a live one's. Nothing runs for a show that nobody
//! watches: what is on at a moment is computed, never counted. Not here: when shows begin and what they are
//! called (`control`), and how films are made (`transcode`).

pub mod asset;
pub mod grid;
mod leg;
mod listing;
mod piece;
mod projector;
mod runs;
pub mod schedule;
mod shelf;
mod stage;
pub mod takeover;
mod timeline;

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Wall;
use crate::base::id::Uuid;
pub use crate::base::lead::LEAD;
use crate::media::timeline::Timeline;
use crate::media::{Ticks, Timescale};

pub use asset::Facts;
pub use grid::Grid;
pub use projector::project;
pub use stage::{Config, Stage};

/// What a cut puts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The still picture with the event's title.
    Slate,
    /// The film.
    Film,
    /// The owner's encoder.
    Live,
    /// Nothing more.
    End,
}

/// One durable row of a show's cut log: from `at` on, this is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Channel time.
    pub at: Ticks,
    /// Number of the first segment that begins at `at`.
    pub sequence: u64,
    /// Discontinuity number of that segment. Every row but the first has one more than the row before.
    pub discontinuity: u64,
    /// What is on.
    pub kind: Kind,
    /// Channel time of the film's time zero, which may be before `at`; of a slate, zero of its grid.
    pub anchor: Ticks,
}

/// What follows when a film that is not looped is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum After {
    /// The slate, up to the show's end.
    Slate,
    /// The end.
    End,
}

/// One run of an event, as far as playing it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Show {
    /// Whose timeline it is.
    pub stream: Uuid,
    /// What it plays.
    pub asset: Uuid,
    /// Wall-clock point of channel time zero: a whole second.
    pub epoch: Wall,
    /// Whether the film begins again at its end.
    pub looping: bool,
    /// What follows when it does not.
    pub after: After,
    /// By time; not empty.
    pub cuts: Arc<[Cut]>,
}

/// The port through which a taken-over stream's own timeline is found. It lies on the show's epoch and grid
/// and numbers its segments as the show does.
pub trait Legs: Send + Sync {
    /// The live timeline of a stream; `None` when there is none, or no longer.
    fn timeline(&self, stream: Uuid) -> Option<Arc<dyn Timeline>>;
}

/// Parts of a segment are numbered from its sequence number times this, so that the first part behind a cut
/// has a known name. Bounds a segment: 12.8 s of 200 ms.
pub const PARTS_PER_SEGMENT: u64 = 64;

/// Number of a part, and so its URL.
pub fn part_number(sequence: u64, index: u64) -> u64 {
    sequence
        .saturating_mul(PARTS_PER_SEGMENT)
        .saturating_add(index.min(PARTS_PER_SEGMENT - 1))
}

/// A span in ticks of channel time.
fn ticks(duration: Duration) -> Ticks {
    Ticks::from_duration(duration, Timescale::CHANNEL)
}

#[cfg(test)]
mod tests;
