//! Cuts of a run that is on: when its film began, its end before its time. What a run is made with is in
//! `plan.rs`, what an encoder adds in `playout::takeover`.

use std::time::Duration;

use super::plan::playable;
use crate::base::clock::Wall;
use crate::media::time::channel_time;
use crate::media::{Ticks, Timescale};
use crate::playout::{Facts, LEAD, schedule};
use crate::store::{CutKind, CutRow, ShowRow};

/// When the film of a run begins or began.
pub(super) fn film_of(run: &ShowRow) -> Option<Wall> {
    let mut cuts = run.cuts.iter();
    let film = cuts.find(|cut| cut.kind == CutKind::Film)?;
    // 90 ticks are a millisecond; films begin at whole seconds.
    Some(
        run.epoch
            .plus_micros(film.anchor_90k.saturating_mul(100) / 9),
    )
}

/// The cuts that end a run as soon as may be, in the place of all that are still to come; `None`: it is over.
pub(super) fn end(
    run: &ShowRow,
    facts: Option<&Facts>,
    segment: Duration,
    now: Wall,
) -> Option<Vec<CutRow>> {
    let mut show = playable(run);
    let lead = Ticks::from_duration(LEAD, Timescale::CHANNEL);
    let free = channel_time(now, show.epoch) + lead;
    let kept = show.cuts.iter().take_while(|cut| cut.at < free).copied();
    show.cuts = kept.collect();
    let is_over = show
        .cuts
        .last()
        .is_none_or(|last| last.kind == crate::playout::Kind::End);
    if is_over {
        return None;
    }
    let end = schedule::end_now(&show, facts, segment, now);
    Some(end.iter().map(CutRow::from).collect())
}
