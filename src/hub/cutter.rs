//! Where segments begin: the key units of the leading track, or the grid where those do not fit. On the
//! grid of what a stream takes the place of, and nowhere else, where there is such a thing.

use super::boundary::{Ledger, Resumed, Settings};
use crate::base::clock::Wall;
use crate::media::{Boundary, Numbered, Ticks};

/// How long the source may keep us from knowing its key interval before the ladder decides without
/// (decision 5).
const SETTLE: Ticks = Ticks(3 * 90_000);
/// A segment may be longer than TARGETDURATION by less than this and still round to it.
const ROUNDING: Ticks = Ticks(45_000);

/// Time between two runs of the server that is stated in gaps, 90 kHz: ten minutes, more than players wait
/// for. It bounds the number of gaps, whatever was recorded.
const LONGEST_MISSING: Ticks = Ticks(600 * 90_000);

/// Whether the source's key units fit the segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Unknown,
    Passthrough,
    Grid,
}

/// Decides boundaries and numbers them.
#[derive(Debug)]
pub(super) struct Cutter {
    settings: Settings,
    fit: Fit,
    /// Whose place the stream takes: its segments and their numbers are those.
    placed: Option<Numbered>,
    /// The first picture of a stream that takes a place and has not begun.
    joined: Option<Ticks>,
    ledger: Ledger,
    segment_start: Ticks,
    next_sequence: u64,
    discontinuity_sequence: u64,
    /// The next boundary does not connect: new configuration, new publisher, a jump.
    disconnected: bool,
    /// Players know this stream from an earlier run of the server. Until the first boundary.
    resumed: Option<Resumed>,
    last_key: Option<Ticks>,
    longest_gap: Ticks,
    gaps: u32,
    long_gops: u64,
}

impl Cutter {
    /// Media sequence numbers count from the clock, so that not even two runs of the server that know
    /// nothing of each other give out the same ones (decision 16).
    pub(super) fn new(settings: Settings, now: Wall, resumed: Option<Resumed>) -> Cutter {
        Cutter {
            settings,
            fit: if settings.ladder {
                Fit::Unknown
            } else {
                Fit::Passthrough
            },
            placed: None,
            joined: None,
            ledger: Ledger::default(),
            segment_start: Ticks::ZERO,
            next_sequence: settings.sequence_at(now),
            // Small on purpose: hls.js 1.7 freezes the browser on numbers as large as the clock's.
            discontinuity_sequence: resumed.map_or(0, |resumed| resumed.discontinuities),
            disconnected: resumed.is_some(),
            resumed,
            last_key: None,
            longest_gap: Ticks::ZERO,
            gaps: 0,
            long_gops: 0,
        }
    }

    /// Segments begin where those of the film do whose place the stream takes. All of them are made, so
    /// that they connect, whatever becomes of the source.
    pub(super) fn place(&mut self, grid: Numbered) {
        self.placed = Some(grid);
        self.fit = Fit::Grid;
        self.disconnected = false;
    }

    /// Whether the stream takes the place of something.
    pub(super) fn is_placed(&self) -> bool {
        self.placed.is_some()
    }

    /// What follows does not connect to what was before.
    pub(super) fn disconnect(&mut self) {
        self.disconnected = !self.is_placed();
        self.forget_keys();
    }

    /// The key units to come are another encoder's.
    pub(super) fn forget_keys(&mut self) {
        self.last_key = None;
    }

    /// Whether the next boundary at a key unit is a discontinuity.
    pub(super) fn is_disconnected(&self) -> bool {
        self.disconnected
    }

    /// What the boundaries obey.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the stream has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.ledger.last().is_some()
    }

    /// The boundaries so far.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Channel time at which the running segment began.
    pub(super) fn segment_start(&self) -> Ticks {
        self.segment_start
    }

    /// No boundary that is still to come lies before this time.
    pub(super) fn earliest(&self) -> Ticks {
        let target = self.settings.segment_target;
        match (self.disconnected, self.fit) {
            (true, _) => self.segment_start,
            (false, Fit::Grid) => self.due(),
            (false, _) => self.segment_start + Ticks(target.0 / 2),
        }
    }

    /// Where the next segment begins on the grid.
    pub(super) fn due(&self) -> Ticks {
        match &self.placed {
            Some(placed) => placed.grid.after(self.segment_start),
            None => self.segment_start + self.settings.segment_target,
        }
    }

    /// Media sequence number of the next segment.
    pub(super) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Discontinuities so far.
    pub(super) fn discontinuities(&self) -> u64 {
        self.discontinuity_sequence
    }

    /// Segments cut at a unit that is no key unit.
    pub(super) fn long_gops(&self) -> u64 {
        self.long_gops
    }

    /// Whether the source may be listed; `None` until that is settled.
    pub(super) fn passthrough(&self) -> Option<bool> {
        match self.fit {
            Fit::Unknown => None,
            Fit::Passthrough => Some(true),
            Fit::Grid => Some(false),
        }
    }

    /// A key unit of the video. `stated_gap` is the longest distance to the next one, if the encoder
    /// says so; it settles the question at once.
    pub(super) fn observe_key(&mut self, pts: Ticks, stated_gap: Option<Ticks>, margin: Ticks) {
        if let Some(last) = self.last_key.replace(pts) {
            self.longest_gap = self.longest_gap.max(pts - last);
            self.gaps += 1;
        }
        if let Some(gap) = stated_gap.filter(|_| self.fit == Fit::Unknown) {
            self.longest_gap = self.longest_gap.max(gap);
            self.settle_as(gap <= self.settings.longest_segment + margin);
        }
    }

    /// Settles by what was observed, `waited` after the first unit.
    pub(super) fn settle(&mut self, waited: Ticks, has_video: bool) {
        if self.fit != Fit::Unknown {
            return;
        }
        let observed = self.gaps >= 2 && self.longest_gap <= self.settings.longest_segment;
        if !has_video || observed {
            self.settle_as(true);
        } else if waited >= SETTLE {
            self.settle_as(false);
        }
    }

    /// The source is listed, whatever its key interval.
    pub(super) fn settle_as(&mut self, passthrough: bool) {
        self.fit = if passthrough {
            Fit::Passthrough
        } else {
            Fit::Grid
        };
    }

    /// Whether a segment begins with a unit of the leading track presented at `pts`. `first` is the first
    /// unit of a publisher or a configuration.
    pub(super) fn cut(
        &mut self,
        pts: Ticks,
        key: bool,
        first: bool,
        margin: Ticks,
    ) -> Option<Boundary> {
        if let Some(placed) = self.placed.filter(|_| !self.has_begun()) {
            return self.begin_on(&placed, pts, margin);
        }
        if self.fit == Fit::Grid && !self.disconnected && self.ledger.last().is_some() {
            return self.cut_on_grid(pts, margin);
        }
        let elapsed = pts - self.segment_start + margin;
        let due = elapsed >= self.settings.segment_target || self.next_key_would_be_late(elapsed);
        // On the grid the source is not listed, and every rung can open anywhere.
        let opens = key || self.fit == Fit::Grid;
        let by_key = opens && (first || self.disconnected || due);
        if !(self.ledger.last().is_none() || by_key || self.is_overlong(pts, margin)) {
            return None;
        }
        self.long_gops += u64::from(!opens);
        let known = self.ledger.last().is_some() || self.resumed.is_some();
        let discontinuity = std::mem::take(&mut self.disconnected) && known;
        Some(self.push(pts, discontinuity, opens))
    }

    /// The boundary that is due on the grid by `upto`.
    pub(super) fn cut_on_grid(&mut self, upto: Ticks, margin: Ticks) -> Option<Boundary> {
        let due = self.due();
        // Where nobody could cut in time, because the grid was not decided on yet, it begins anew.
        let late = upto - due > ROUNDING && !self.is_placed();
        let time = if late { upto } else { due };
        (upto + margin >= due).then(|| self.push(time, false, true))
    }

    /// The first boundary of a stream that takes a place: the newest since its first picture.
    fn begin_on(&mut self, placed: &Numbered, upto: Ticks, margin: Ticks) -> Option<Boundary> {
        let joined = *self.joined.get_or_insert(upto);
        let time = placed.start(placed.sequence_at(upto + margin));
        (time >= joined).then(|| self.push(time, false, true))
    }

    /// A boundary at `time`, wherever the source's key units lie: what opens there is made, or is
    /// missing.
    pub(super) fn force(&mut self, time: Ticks, discontinuity: bool) -> Boundary {
        if self.is_placed() {
            return self.push(self.due(), false, true);
        }
        self.push(time, discontinuity, true)
    }

    /// Whether the running segment may not reach beyond `pts`.
    pub(super) fn is_overlong(&self, pts: Ticks, margin: Ticks) -> bool {
        pts - self.segment_start + margin >= self.settings.longest_segment
    }

    /// States what came to nobody between two runs of the server: players find their place in time by
    /// it. That begins before the end of what was told of, because sound and rungs end earlier than the
    /// picture, and nobody has what was not fetched in time: shaka 5 asks for ever for a part that it
    /// knows, unless a playlist begins where that part does or before.
    fn state_missing(&mut self, resumed: Resumed, upto: Ticks) {
        let first = self.next_sequence;
        let missing = resumed.end - self.settings.segment_target;
        let mut at = missing.max(upto - LONGEST_MISSING);
        while at < upto {
            self.push(at, false, true);
            at += self.settings.longest_segment;
        }
        self.ledger.set_missing(first..self.next_sequence);
    }

    fn push(&mut self, time: Ticks, discontinuity: bool, independent: bool) -> Boundary {
        if let Some(resumed) = self.resumed.take() {
            self.state_missing(resumed, time);
        }
        self.discontinuity_sequence += u64::from(discontinuity);
        if let Some(placed) = &self.placed {
            self.next_sequence = placed.sequence_at(time);
        }
        let boundary = Boundary {
            sequence: self.next_sequence,
            time,
            discontinuity,
            discontinuity_sequence: self.discontinuity_sequence,
            independent,
        };
        self.next_sequence += 1;
        self.segment_start = time;
        self.ledger.push(boundary);
        boundary
    }

    /// Whether waiting for the next key unit could make the segment longer than allowed.
    fn next_key_would_be_late(&self, elapsed: Ticks) -> bool {
        let longest = self.settings.longest_segment;
        self.longest_gap > Ticks::ZERO
            && self.longest_gap <= longest
            && elapsed + elapsed >= self.settings.segment_target
            && elapsed + self.longest_gap > longest + ROUNDING
    }
}
