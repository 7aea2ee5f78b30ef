//! The run of an event as a cut log: from what is stored to what `playout` computes with, and back. Not here: when
//! a run comes (`recurrence.rs`).

use std::time::Duration;

use super::recurrence::Slot;
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::media::time::channel_time;
use crate::media::{Ticks, Timescale};
use crate::playout::schedule::{self, Plan};
use crate::playout::{self, Cut, Facts, Kind};
use crate::store::{After, CutKind, CutRow, ShowRow};

/// What all events have in common.
#[derive(Clone, Copy, Debug)]
pub struct Planning {
    /// Target of segments.
    pub segment: Duration,
    /// Whether a picture with its title is on before an event.
    pub slate_before: bool,
    /// What is on when a film is over before its event.
    pub after: After,
}

impl Planning {
    fn plan(&self, slot: Slot) -> Plan {
        Plan {
            starts: slot.starts,
            ends: slot.ends,
            before: self.slate_before,
        }
    }

    /// A run that nobody has seen anything of, on a stream of its own.
    pub(in crate::control) fn show(
        &self,
        event: Uuid,
        asset: Option<Uuid>,
        slot: Slot,
        looping: bool,
        now: Wall,
    ) -> ShowRow {
        let plan = self.plan(slot);
        let epoch = schedule::epoch(now, &plan, self.segment);
        let cuts = schedule::cuts_for(epoch, &plan, self.segment);
        ShowRow {
            stream_id: Uuid::new_v4(),
            event_id: event,
            asset_id: asset,
            epoch,
            starts: slot.starts,
            ends: slot.ends,
            looping,
            after: self.after,
            ended: None,
            cuts: cuts.iter().map(CutRow::from).collect(),
        }
    }

    /// Gives a run other times. What viewers may have seen stays, and an end that has passed is as near as may
    /// be.
    pub(in crate::control) fn replan(
        &self,
        show: &mut ShowRow,
        slot: Slot,
        facts: Option<&Facts>,
        now: Wall,
    ) {
        let plan = self.plan(slot);
        let shown = playable(show);
        let future = schedule::replace(&shown, &plan, facts, self.segment, now);
        let lead = Ticks::from_duration(playout::LEAD, Timescale::CHANNEL);
        let from = channel_time(now, show.epoch) + lead;
        show.cuts.retain(|cut| cut.at_90k < from.0);
        show.cuts.extend(future.iter().map(CutRow::from));
        show.starts = slot.starts;
        show.ends = slot.ends;
    }
}

/// A run as it is played. Without an asset it has none that could be found.
pub(in crate::control) fn playable(show: &ShowRow) -> playout::Show {
    playout::Show {
        stream: show.stream_id,
        asset: show.asset_id.unwrap_or_default(),
        epoch: show.epoch,
        looping: show.looping,
        after: match show.after {
            After::Slate => playout::After::Slate,
            After::End => playout::After::End,
        },
        cuts: show.cuts.iter().map(cut).collect(),
    }
}

/// As it is stored.
impl From<&Cut> for CutRow {
    fn from(cut: &Cut) -> CutRow {
        CutRow {
            at_90k: cut.at.0,
            sequence: cut.sequence,
            discontinuity: cut.discontinuity,
            kind: match cut.kind {
                Kind::Slate => CutKind::Slate,
                Kind::Film => CutKind::Film,
                Kind::Live => CutKind::Live,
                Kind::End => CutKind::End,
            },
            anchor_90k: cut.anchor.0,
        }
    }
}

fn cut(row: &CutRow) -> Cut {
    Cut {
        at: Ticks(row.at_90k),
        sequence: row.sequence,
        discontinuity: row.discontinuity,
        kind: match row.kind {
            CutKind::Slate => Kind::Slate,
            CutKind::Film => Kind::Film,
            CutKind::Live => Kind::Live,
            CutKind::End => Kind::End,
        },
        anchor: Ticks(row.anchor_90k),
    }
}
