//! Streams that outlive the process. In: what was recorded of a stream, and when. Out: where its
//! timeline goes on (decision 16), and which signs of life are to be recorded for the next run.
//!
//! Nothing is read or written for a frame: numbers that must not fall are recorded a little late and
//! taken up with a margin.

use std::collections::HashMap;
use std::time::Duration;

use super::boundary::{Resumed, Settings};
use super::gate::{Record, Sign};
use super::stream::Beginning;
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::media::Ticks;
use crate::media::time::channel_time;

/// How old a last sign of life may be beyond the reconnect window: a stop takes ten seconds at most, a
/// sign comes every five, and a start needs a moment.
const RESTART: Duration = Duration::from_secs(20);
/// Signs of life of all streams that somebody publishes.
const SIGN_PERIOD: Duration = Duration::from_secs(5);
/// A stream that changed is recorded after so long at the latest.
const CHANGE_PERIOD: Duration = Duration::from_secs(1);
/// Discontinuities that may have been told of without being recorded: a kill hits within a
/// [`CHANGE_PERIOD`]. Small, because hls.js 1.7 counts up to the number.
const DISCONTINUITY_MARGIN: u64 = 8;
/// Segments that may have been told of without being recorded, beyond those that the clock's pace
/// allows for: publishers that come and go within a [`SIGN_PERIOD`], or one that sends a burst.
const SEQUENCE_MARGIN: u64 = 4;

/// How far a stream's end may be from the clock, 90 kHz: a clock that is set back is not followed, and files
/// may be sent faster than they play. A record further off than a day is taken for a broken one.
const FURTHEST: Ticks = Ticks(86_400 * 90_000);

/// Where a stream of an earlier run goes on; `None` when its players cannot be served any more: nobody
/// has published for too long (unless it lasts), its playlists promised what the settings no longer keep, or the wall
/// clock has been set since, by more than a day or back behind what was published.
///
/// Media sequence numbers go on from what was told, not from the clock, which is far ahead of it after
/// hours: hls.js takes a leap in the numbers for so many segments that it has missed.
pub(super) fn beginning(
    record: &Record,
    settings: &Settings,
    now: Wall,
    reconnect: Duration,
) -> Option<Beginning> {
    let Sign { alive, told, .. } = record.sign;
    let silent_us = u64::try_from(now.micros_since(alive)).ok()?;
    let silent = Duration::from_micros(silent_us);
    let lasts = record.admission.lasting.is_some();
    if (silent >= reconnect + RESTART && !lasts) || !record.fits(settings) {
        return None;
    }
    let end = Ticks(told.end_90k);
    if (end - channel_time(alive, record.epoch)).abs() > FURTHEST {
        return None;
    }
    let (segments, discontinuities) = if record.sign.is_final {
        (0, 0)
    } else {
        let at_most = settings.sequences_in(silent) + SEQUENCE_MARGIN;
        (at_most, DISCONTINUITY_MARGIN)
    };
    Some(Beginning {
        id: record.id,
        epoch: record.epoch,
        now: settings.wall_of_sequence(told.next_sequence.saturating_add(segments)),
        resumed: Some(Resumed {
            discontinuities: told.discontinuities.saturating_add(discontinuities),
            end,
        }),
    })
}

/// Decides which signs of life are due. Only of streams that somebody published in this run: one of an
/// earlier run to which nobody has come back does not outlive one restart after another.
#[derive(Debug, Default)]
pub(super) struct Signs {
    recorded: HashMap<Uuid, Recorded>,
    /// Monotonic times.
    next: Duration,
    next_of_all: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Recorded {
    published: bool,
    discontinuities: u64,
}

impl Signs {
    /// Somebody begins to publish a stream. True for the first time in this run.
    pub(super) fn handle_publish(&mut self, sign: &Sign) -> bool {
        let recorded = Recorded {
            published: true,
            discontinuities: sign.told.discontinuities,
        };
        self.recorded.insert(sign.id, recorded).is_none()
    }

    /// The signs to record now; `None` when there is nothing to say, not even that the server is there.
    /// `living` gives all streams that have not ended, and whether somebody publishes them.
    pub(super) fn due(
        &mut self,
        now: Duration,
        living: impl FnOnce() -> Vec<(Sign, bool)>,
    ) -> Option<Vec<Sign>> {
        if now < self.next {
            return None;
        }
        self.next = now + CHANGE_PERIOD;
        let all = now >= self.next_of_all;
        if all {
            self.next_of_all = now + SIGN_PERIOD;
        }
        let before = std::mem::take(&mut self.recorded);
        let mut due = Vec::new();
        let living = living();
        let any = !living.is_empty();
        for (sign, published) in living {
            let Some(recorded) = before.get(&sign.id) else {
                continue;
            };
            let now = Recorded {
                published,
                discontinuities: sign.told.discontinuities,
            };
            if now != *recorded || (all && published) {
                due.push(sign);
            }
            self.recorded.insert(sign.id, now);
        }
        (!due.is_empty() || (all && any)).then_some(due)
    }

    /// The last signs of this run.
    pub(super) fn last(&self, living: Vec<(Sign, bool)>) -> Vec<Sign> {
        let published = living
            .into_iter()
            .filter(|(sign, _)| self.recorded.contains_key(&sign.id));
        let last = |(sign, _)| Sign {
            is_final: true,
            ..sign
        };
        published.map(last).collect()
    }
}

#[cfg(test)]
mod tests;
