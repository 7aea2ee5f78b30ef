//! What is on at a moment: pure functions of the cut log, the facts of the film and the time.

use std::time::Duration;

use super::{After, Cut, Facts, Grid, Kind, LEAD, Show, ticks};
use crate::base::clock::Wall;
use crate::media::time::channel_time;
use crate::media::{Ticks, Timescale};

/// When an event is to be on. Plain values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// When the film begins, rounded up to a whole second.
    pub starts: Wall,
    /// When all is over, if ever.
    pub ends: Option<Wall>,
    /// Whether the slate is on before the film.
    pub before: bool,
}

/// Where a show is at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Position {
    /// Seconds into the film: up to its length, or modulo its length in a loop.
    pub seconds: f64,
    /// Whether film or encoder are on.
    pub playing: bool,
    /// Whether the encoder is.
    pub live: bool,
    /// Whether all is over.
    pub ended: bool,
    /// How often the film began again.
    pub loop_index: u64,
}

/// A second of channel time.
const SECOND: i64 = 90_000;
/// First discontinuity number of every show.
const FIRST_DISCONTINUITY: u64 = 0;

/// The epoch of a show made now: a whole second, a whole number of segments before its start, not after now.
pub fn epoch(now: Wall, plan: &Plan, segment: Duration) -> Wall {
    let starts = whole_second_up(plan.starts);
    let segment = i64::try_from(segment.as_micros())
        .unwrap_or(i64::MAX)
        .max(1);
    let before = starts.micros_since(now).max(0);
    let segments = before / segment + i64::from(before % segment != 0);
    let epoch = starts.plus_micros(segments.saturating_mul(segment).saturating_neg());
    Wall(epoch.unix_seconds().saturating_mul(1_000_000))
}

/// The cut log of a show that is made now.
pub fn cuts_for(epoch: Wall, plan: &Plan, segment: Duration) -> Vec<Cut> {
    let half_ms = i64::try_from(segment.as_millis() / 2)
        .unwrap_or(i64::MAX)
        .max(1);
    let sequence = u64::try_from(epoch.unix_millis() / half_ms).unwrap_or(0);
    let starts = channel_time(whole_second_up(plan.starts), epoch).max(Ticks::ZERO);
    let mut cuts = Vec::with_capacity(3);
    if plan.before && starts > Ticks::ZERO {
        cuts.push(Cut {
            at: Ticks::ZERO,
            sequence,
            discontinuity: FIRST_DISCONTINUITY,
            kind: Kind::Slate,
            anchor: Ticks::ZERO,
        });
    }
    push_film(&mut cuts, starts, sequence, segment);
    push_end(&mut cuts, plan, epoch, None, segment);
    cuts
}

/// The rows that take the place of all that lie [`LEAD`] or more after `now`, when the plan has changed.
/// What is on stays on: a film that has begun is not begun again.
pub fn replace(
    show: &Show,
    plan: &Plan,
    facts: Option<&Facts>,
    segment: Duration,
    now: Wall,
) -> Vec<Cut> {
    let from = earliest(show, now);
    let mut cuts: Vec<Cut> = show
        .cuts
        .iter()
        .copied()
        .filter(|cut| cut.at < from)
        .collect();
    let kept = cuts.len();
    let begun = cuts
        .iter()
        .any(|cut| matches!(cut.kind, Kind::Film | Kind::Live));
    let over = cuts.iter().any(|cut| cut.kind == Kind::End);
    if !begun && !over {
        let starts = channel_time(whole_second_up(plan.starts), show.epoch);
        let sequence = show.cuts.first().map_or(0, |cut| cut.sequence);
        push_film(&mut cuts, starts.max(second_up(from)), sequence, segment);
    }
    if !over {
        let plan = Plan {
            ends: plan
                .ends
                .map(|ends| ends.max(now.plus_micros(micros(LEAD)))),
            ..*plan
        };
        push_end(&mut cuts, &plan, show.epoch, facts, segment);
    }
    cuts.split_off(kept)
}

/// The row that ends a show as soon as may be.
pub fn end_now(show: &Show, facts: Option<&Facts>, segment: Duration, now: Wall) -> Option<Cut> {
    let at = earliest(show, now);
    let on = on(show, facts, at)?;
    (on.kind != Kind::End).then(|| next(&on, at, Kind::End, at, &grid_of(on.kind, facts, segment)))
}

/// Where a show is. Without facts the film's length is not known, and it is taken not to have ended.
pub fn position(show: &Show, facts: Option<&Facts>, now: Wall) -> Position {
    let time = channel_time(now, show.epoch);
    let Some(on) = on(show, facts, time) else {
        return Position::default();
    };
    let period = facts.and_then(Facts::grid).and_then(|grid| grid.period());
    let film = show
        .cuts
        .iter()
        .rev()
        .find(|cut| cut.kind == Kind::Film && cut.at <= time);
    let into = film.map_or(Ticks::ZERO, |film| (time - film.anchor).max(Ticks::ZERO));
    let (into, loop_index) = match period {
        Some(period) if show.looping => (Ticks(into.0 % period.0), into.0 / period.0),
        Some(period) => (into.min(period), 0),
        None => (into, 0),
    };
    Position {
        seconds: into.seconds(Timescale::CHANNEL),
        playing: matches!(on.kind, Kind::Film | Kind::Live),
        live: on.kind == Kind::Live,
        ended: on.kind == Kind::End,
        loop_index: loop_index.unsigned_abs(),
    }
}

/// The row with which the owner's encoder goes on air, at the next boundary that may still be chosen;
/// `None` when it is on already or nothing is on.
pub fn take_over(show: &Show, facts: &Facts, segment: Duration, now: Wall) -> Option<Cut> {
    let from = earliest(show, now);
    let on = on(show, Some(facts), from)?;
    if matches!(on.kind, Kind::Live | Kind::End) {
        return None;
    }
    let grid = grid_of(on.kind, Some(facts), segment);
    let number = grid.number_from((from - on.anchor).max(on.at - on.anchor));
    let at = on.anchor + grid.cell(number).start;
    Some(next(&on, at, Kind::Live, on.anchor, &grid))
}

/// The row with which the film returns at the position that the clock says, or, where it is over, what
/// follows it; `None` when no encoder is on.
pub fn give_back(show: &Show, facts: &Facts, segment: Duration, now: Wall) -> Option<Cut> {
    let from = earliest(show, now);
    let live = on(show, Some(facts), from).filter(|cut| cut.kind == Kind::Live)?;
    let before = show
        .cuts
        .iter()
        .rev()
        .find(|cut| cut.at < live.at && cut.kind != Kind::Live)?;
    let grid = grid_of(before.kind, Some(facts), segment);
    let number = grid.number_from((from - live.anchor).max(live.at - live.anchor));
    let at = live.anchor + grid.cell(number).start;
    let over = before.kind == Kind::Film
        && !show.looping
        && facts
            .grid()
            .and_then(|grid| grid.period())
            .is_some_and(|period| at >= before.anchor + period);
    let (kind, anchor) = match (over, show.after) {
        (false, _) => (before.kind, before.anchor),
        (true, After::Slate) => (Kind::Slate, at),
        (true, After::End) => (Kind::End, at),
    };
    Some(next(&live, at, kind, anchor, &grid))
}

/// The row that is on at a time, with what follows a film that is over; `None` before the first.
pub fn on(show: &Show, facts: Option<&Facts>, time: Ticks) -> Option<Cut> {
    let cuts = effective(show, facts);
    cuts.iter().rev().find(|cut| cut.at <= time).copied()
}

/// The cut log with what follows films that are over.
pub fn effective(show: &Show, facts: Option<&Facts>) -> Vec<Cut> {
    let mut cuts = Vec::with_capacity(show.cuts.len() + 1);
    let grid = facts.and_then(Facts::grid);
    let length = grid.as_ref().and_then(|grid| Some((grid, grid.period()?)));
    let mut added = 0;
    for (at, cut) in show.cuts.iter().enumerate() {
        cuts.push(Cut {
            discontinuity: cut.discontinuity + added,
            ..*cut
        });
        let Some((grid, period)) = length.filter(|_| cut.kind == Kind::Film && !show.looping)
        else {
            continue;
        };
        let over = (cut.anchor + period).max(cut.at);
        if show.cuts.get(at + 1).is_some_and(|next| next.at <= over) {
            continue;
        }
        let kind = match show.after {
            After::Slate => Kind::Slate,
            After::End => Kind::End,
        };
        let cut = cuts[cuts.len() - 1];
        cuts.push(next(&cut, over, kind, over, grid));
        added += 1;
    }
    cuts
}

/// The grid on which segments lie while something is on.
pub fn grid_of(kind: Kind, facts: Option<&Facts>, segment: Duration) -> Grid {
    let film = facts
        .and_then(Facts::grid)
        .filter(|_| matches!(kind, Kind::Film | Kind::Live));
    film.unwrap_or_else(|| Grid::even(ticks(segment)))
}

fn next(before: &Cut, at: Ticks, kind: Kind, anchor: Ticks, grid: &Grid) -> Cut {
    let first = grid.number_from(before.at - before.anchor);
    let number = grid.number_from(at - before.anchor);
    Cut {
        at,
        sequence: before.sequence + number.saturating_sub(first),
        discontinuity: before.discontinuity + 1,
        kind,
        anchor,
    }
}

fn push_film(cuts: &mut Vec<Cut>, at: Ticks, sequence: u64, segment: Duration) {
    let cut = match cuts.last() {
        Some(before) => next(before, at, Kind::Film, at, &Grid::even(ticks(segment))),
        None => Cut {
            at,
            sequence,
            discontinuity: FIRST_DISCONTINUITY,
            kind: Kind::Film,
            anchor: at,
        },
    };
    cuts.push(cut);
}

fn push_end(
    cuts: &mut Vec<Cut>,
    plan: &Plan,
    epoch: Wall,
    facts: Option<&Facts>,
    segment: Duration,
) {
    let Some((ends, before)) = plan.ends.zip(cuts.last()) else {
        return;
    };
    let at = channel_time(ends, epoch).max(before.at);
    let grid = grid_of(before.kind, facts, segment);
    cuts.push(next(before, at, Kind::End, at, &grid));
}

fn earliest(show: &Show, now: Wall) -> Ticks {
    channel_time(now, show.epoch) + ticks(LEAD)
}

fn second_up(time: Ticks) -> Ticks {
    let seconds = time.0.div_euclid(SECOND) + i64::from(time.0.rem_euclid(SECOND) != 0);
    Ticks(seconds.saturating_mul(SECOND))
}

fn whole_second_up(wall: Wall) -> Wall {
    let seconds = wall.unix_seconds() + i64::from(wall.0.rem_euclid(1_000_000) != 0);
    Wall(seconds.saturating_mul(1_000_000))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
