//! A show's cut log, with the grids on which its segments lie: from a sequence number to a place in time, and
//! back.

use std::time::Duration;

use super::grid::Cell;
use super::{Facts, Grid, Kind, Show, schedule};
use crate::media::Ticks;

/// What is on between two cuts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) kind: Kind,
    pub(super) at: Ticks,
    /// The next cut; the end of time without one.
    pub(super) until: Ticks,
    /// Whether nothing follows at `until`.
    pub(super) last: bool,
    /// Of the first segment.
    pub(super) sequence: u64,
    pub(super) discontinuity: u64,
    pub(super) anchor: Ticks,
    pub(super) grid: Grid,
    /// The first segment's number on the grid.
    first: u64,
}

/// A segment's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) run: Run,
    /// Which run that is.
    pub(super) number: usize,
    pub(super) cell: Cell,
    /// Channel time.
    pub(super) start: Ticks,
    /// Channel time, at the latest where the run ends.
    pub(super) end: Ticks,
}

impl Place {
    /// Whether the next cut comes before the segment would have ended.
    pub(super) fn is_cut_short(&self) -> bool {
        self.end < self.run.anchor + self.cell.end
    }
}

/// All runs of a show, by time.
#[derive(Clone, Debug)]
pub(super) struct Runs(Vec<Run>);

impl Runs {
    pub(super) fn new(
        show: &Show,
        film: Option<&Facts>,
        slate: Option<&Facts>,
        segment: Duration,
    ) -> Runs {
        let cuts = schedule::effective(show, film);
        let even = schedule::grid_of(Kind::End, None, segment);
        let mut grid = even;
        let runs = cuts.iter().enumerate().map(|(at, cut)| {
            let next = cuts.get(at + 1);
            grid = match cut.kind {
                Kind::Slate => slate.and_then(Facts::grid).unwrap_or(even),
                Kind::Film => film.and_then(Facts::grid).unwrap_or(even),
                // An encoder lies on the grid of what it takes over.
                Kind::Live => grid,
                Kind::End => even,
            };
            Run {
                kind: cut.kind,
                at: cut.at,
                until: next.map_or(Ticks(i64::MAX), |next| next.at),
                last: next.is_some_and(|next| next.kind == Kind::End),
                sequence: cut.sequence,
                discontinuity: cut.discontinuity,
                anchor: cut.anchor,
                grid,
                first: grid.number_from(cut.at - cut.anchor),
            }
        });
        Runs(runs.collect())
    }

    /// The run that is on at a time, by its number.
    pub(super) fn at(&self, time: Ticks) -> Option<usize> {
        self.0.iter().rposition(|run| run.at <= time)
    }

    pub(super) fn get(&self, number: usize) -> Option<&Run> {
        self.0.get(number)
    }

    /// The place of a segment; `None` for numbers that no run has.
    pub(super) fn place(&self, sequence: u64) -> Option<Place> {
        let number = self
            .0
            .iter()
            .rposition(|run| run.kind != Kind::End && run.sequence <= sequence)?;
        let run = self.0[number];
        let cell = run.grid.cell(run.first + (sequence - run.sequence));
        let start = run.anchor + cell.start;
        (start < run.until).then(|| Place {
            run,
            number,
            cell,
            start,
            end: (run.anchor + cell.end).min(run.until),
        })
    }

    /// The sequence number of what is on at a time within a run; at its end or later, that of its last segment.
    pub(super) fn sequence_at(&self, number: usize, time: Ticks) -> Option<u64> {
        let run = self.0.get(number)?;
        let time = time.min(run.until - Ticks(1));
        let cell = run.grid.number_at(time - run.anchor);
        Some(run.sequence + cell.checked_sub(run.first)?)
    }
}
