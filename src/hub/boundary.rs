//! The stream's boundaries in order, and where each rendition stands among them.

use std::collections::VecDeque;

use smallvec::SmallVec;

use crate::media::{AccessUnit, Boundary, MediaKind, Ticks, Timescale, rescale};

/// Boundaries kept for renditions that lag: two minutes of 2 s segments. A rendition further behind
/// has its missing segments stated as gaps.
const KEPT: usize = 64;

/// What a stream's boundaries obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Segment target, 90 kHz.
    pub segment_target: Ticks,
    /// The longest segment that the playlists' TARGETDURATION allows, 90 kHz.
    pub longest_segment: Ticks,
    /// Whether a ladder is made: segments then lie on the grid when the source's key units do not fit.
    pub ladder: bool,
    /// What rungs show in a hole.
    pub on_loss: OnLoss,
}

/// What is done about a hole that rungs could fill (`FOREBAY_ON_LOSS`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLoss {
    /// The last picture, then the slate.
    #[default]
    Slate,
    /// The last picture.
    Freeze,
    /// Nothing: the hole is stated as in a stream without a ladder.
    Gap,
}

/// The boundaries that open with one unit.
pub type Opened = SmallVec<[Boundary; 1]>;

/// The newest boundaries of a stream, oldest first.
#[derive(Debug, Default)]
pub struct Ledger {
    boundaries: VecDeque<Boundary>,
}

impl Ledger {
    /// Adds the newest boundary.
    pub fn push(&mut self, boundary: Boundary) {
        if self.boundaries.len() == KEPT {
            self.boundaries.pop_front();
        }
        self.boundaries.push_back(boundary);
    }

    /// The newest boundary.
    pub fn last(&self) -> Option<&Boundary> {
        self.boundaries.back()
    }
}

/// Where one rendition stands: which boundary it opened last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    opened: Option<u64>,
}

impl Cursor {
    /// Whether any segment was opened.
    pub fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// The rendition has no media of what `boundary` opens.
    pub fn pass(&mut self, boundary: &Boundary) {
        self.opened = Some(boundary.sequence);
    }

    /// The boundaries that `unit` opens in its rendition, whose times are in `scale`. Audio opens at its
    /// first frame at or after a boundary; video at the first key unit not more than `margin` (90 kHz)
    /// before it, or at the boundary's own unit when that is no key unit.
    pub fn open(
        &mut self,
        ledger: &Ledger,
        unit: &AccessUnit,
        scale: Timescale,
        margin: Ticks,
    ) -> Opened {
        let time = rescale(unit.pts, scale, Timescale::CHANNEL);
        let mut opened = Opened::new();
        // Sequences run without holes, so what was opened is skipped at once and not searched through.
        let first = ledger.boundaries.front().map_or(0, |first| first.sequence);
        let skipped = self
            .opened
            .map_or(0, |last| (last + 1).saturating_sub(first));
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        for boundary in ledger.boundaries.iter().skip(skipped) {
            let reached = match unit.kind {
                MediaKind::Audio => time >= boundary.time,
                MediaKind::Video => {
                    (unit.key || !boundary.independent) && time + margin >= boundary.time
                }
            };
            if !reached {
                break;
            }
            opened.push(*boundary);
        }
        if self.opened.is_none() && opened.len() > 1 {
            // A rendition begins with the newest boundary it can: nothing before it was promised.
            let newest = opened.pop().expect("more than one boundary is there");
            opened.clear();
            opened.push(newest);
        }
        if let Some(last) = opened.last() {
            self.opened = Some(last.sequence);
        }
        opened
    }
}
