//! The stream's boundaries in order, and where each rendition stands among them.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use smallvec::SmallVec;

use crate::base::clock::Wall;
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

impl Settings {
    /// The media sequence number that a run of the server begins with at `now`: no segment is shorter
    /// than half the target for long, so the clock is ahead of every number given out (decision 16).
    pub fn sequence_at(&self, now: Wall) -> u64 {
        u64::try_from(now.unix_millis().max(0) / self.millis_per_sequence()).unwrap_or(0)
    }

    /// The first point of time whose sequence number is `sequence`.
    pub fn wall_of_sequence(&self, sequence: u64) -> Wall {
        let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
        let millis = sequence.saturating_mul(self.millis_per_sequence());
        Wall(millis.saturating_mul(1000))
    }

    /// How many sequence numbers the clock passes in `time`, rounded up.
    pub fn sequences_in(&self, time: Duration) -> u64 {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        millis.div_ceil(self.millis_per_sequence().unsigned_abs())
    }

    /// Whatever was asked for: in the place of something all renditions are made, and nothing is missing.
    pub(super) fn take_place(&mut self) {
        self.ladder = true;
        if self.on_loss == OnLoss::Gap {
            self.on_loss = OnLoss::Freeze;
        }
    }

    fn millis_per_sequence(&self) -> i64 {
        (self.segment_target.0 / 90).max(2) / 2
    }
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

/// Where an earlier run of the server left a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// Discontinuities that players may have been told of.
    pub discontinuities: u64,
    /// Channel time up to which they have media. What follows up to the first new unit is missing.
    pub end: Ticks,
}

/// The boundaries that open with one unit.
pub type Opened = SmallVec<[Boundary; 1]>;

/// The newest boundaries of a stream, oldest first.
#[derive(Debug, Default)]
pub struct Ledger {
    boundaries: VecDeque<Boundary>,
    /// Sequences of what nobody has media of, because it lies between an earlier run of the server, whose
    /// players know the renditions already, and this one.
    missing: Range<u64>,
}

impl Ledger {
    /// Adds the newest boundary.
    pub fn push(&mut self, boundary: Boundary) {
        if self.boundaries.len() == KEPT {
            self.boundaries.pop_front();
        }
        self.boundaries.push_back(boundary);
    }

    /// The boundaries of these sequences go on from an earlier run of the server, and open nothing but
    /// gaps.
    pub fn set_missing(&mut self, sequences: Range<u64>) {
        self.missing = sequences;
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

    /// Boundaries before `boundary` that the rendition, once begun, has not opened.
    pub fn missed(&self, ledger: &Ledger, boundary: &Boundary) -> Opened {
        let opened = self.opened.unwrap_or(boundary.sequence);
        let missed =
            |earlier: &&Boundary| (opened + 1..boundary.sequence).contains(&earlier.sequence);
        ledger.boundaries.iter().filter(missed).copied().collect()
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
        let begins = self.opened.is_none();
        let resumes = opened.first().is_some_and(|oldest| {
            !ledger.missing.is_empty() && oldest.sequence == ledger.missing.start
        });
        if begins
            && resumes
            && opened
                .last()
                .is_some_and(|last| ledger.missing.contains(&last.sequence))
        {
            // Rounding may put sound before the first boundary that is none of a gap.
            return Opened::new();
        }
        if begins && opened.len() > 1 && !resumes {
            // A rendition begins with the newest boundary it can: nothing before it was promised. One
            // that players know from an earlier run states what it has missed.
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
