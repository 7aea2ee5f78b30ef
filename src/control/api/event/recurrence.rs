//! When events come again, and which of them want the same time (contract, broadcasts, section 7, decisions B-28
//! and B-29). In: plain values. Out: times. Pure: no clock, no database.
//!
//! Repeats are counted in the event's time zone, from its first run: every day, every seventh day, or every month
//! at the same time of the same day by the clock on the wall there.
//!
//! - A time that the clock on the wall leaves out (in spring) is as much later as is left out: 02:30 is 03:30.
//! - Of a time that it shows twice (in autumn) the first one counts.
//! - A day that a month does not have is its last one; the month after has the right one again.
//! - A run is as long as the first one was declared, and over when the next one begins.
//!
//! Zones are those of the binary (`jiff`), so that all gateways count alike.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::base::clock::Wall;
use crate::store::{Event, EventStatus, Repeat};

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;
/// How far ahead events on one channel are compared: a year with all that happens to clocks in it, and a month
/// more. What meets only after that is found when its run comes, and fails then.
const HORIZON_US: i64 = 396 * DAY_US;
/// How many runs of two events are compared with each other: one of each day before the horizon.
const MAX_RUNS: usize = 800;

/// The zone of an IANA name. Names are compared without regard to case.
pub(super) fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// The longest run that an event may have, in microseconds: up to the next one, on the shortest day or month of
/// common years.
pub(super) fn period_us(repeat: Repeat) -> Option<i64> {
    match repeat {
        Repeat::None | Repeat::UntilEnd => None,
        Repeat::Daily => Some(DAY_US),
        Repeat::Weekly => Some(7 * DAY_US),
        Repeat::Monthly => Some(28 * DAY_US),
    }
}

/// A run: from its start to its end, `None`: with its film.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) struct Slot {
    /// When it begins.
    pub(in crate::control) starts: Wall,
    /// When it is over at the latest.
    pub(in crate::control) ends: Option<Wall>,
}

/// When an event comes again.
#[derive(Clone, Debug)]
pub(in crate::control) struct Rule {
    zone: TimeZone,
    first: Wall,
    repeat: Repeat,
    length_us: Option<i64>,
}

impl Rule {
    /// That of an event. A zone that is not known any more is UTC.
    pub(in crate::control) fn of(event: &Event) -> Rule {
        Rule {
            zone: zone(&event.time_zone).unwrap_or(TimeZone::UTC),
            first: event.first,
            repeat: event.repeat,
            length_us: event.length_us,
        }
    }

    /// The first run that begins after a time; `None`: there is none before the year 10000.
    pub(in crate::control) fn after(&self, time: Wall) -> Option<Slot> {
        let starts = self.start_after(time)?;
        Some(Slot {
            starts,
            ends: self.end_of(starts),
        })
    }

    /// The first run that is not over at a time, as after a pause of the gateway.
    pub(in crate::control) fn not_over_at(&self, time: Wall) -> Option<Slot> {
        // One that holds the time begins at most its length before.
        let length = self.length_us.unwrap_or(0);
        let before = time.plus_micros(length.saturating_add(DAY_US).saturating_neg());
        let mut slot = self.after(before)?;
        while slot.ends.unwrap_or(slot.starts) <= time {
            slot = self.after(slot.starts)?;
        }
        Some(slot)
    }

    fn end_of(&self, starts: Wall) -> Option<Wall> {
        let declared = self.length_us.map(|length| starts.plus_micros(length));
        let next = self.start_after(starts);
        declared.into_iter().chain(next).min()
    }

    fn start_after(&self, time: Wall) -> Option<Wall> {
        if self.first > time {
            return Some(self.first);
        }
        let first = self.zone.to_datetime(timestamp(self.first)?);
        let there = self.zone.to_datetime(timestamp(time)?);
        let days = i64::from(first.date().until(there.date()).ok()?.get_days());
        let (step, passed): (Step, i64) = match self.repeat {
            Repeat::None | Repeat::UntilEnd => return None,
            Repeat::Daily => (|n| Span::new().try_days(n), days),
            Repeat::Weekly => (|n| Span::new().try_weeks(n), days / 7),
            Repeat::Monthly => (|n| Span::new().try_months(n), months(first, there)),
        };
        // From a little before, as the clock on the wall may have been set since.
        let mut number = (passed - 1).max(1);
        loop {
            let there = first.checked_add(step(number).ok()?).ok()?;
            let at = self.zone.to_ambiguous_timestamp(there).compatible().ok()?;
            let at = Wall(at.as_microsecond());
            if at > time {
                return Some(at);
            }
            number += 1;
        }
    }
}

/// So many repeats, as a span.
type Step = fn(i64) -> Result<Span, jiff::Error>;

fn months(from: DateTime, to: DateTime) -> i64 {
    let count = |date: DateTime| i64::from(date.year()) * 12 + i64::from(date.month());
    count(to) - count(from)
}

fn timestamp(wall: Wall) -> Option<Timestamp> {
    Timestamp::from_microsecond(wall.0).ok()
}

/// Runs of an event that is not over: the one that is on or comes next, then those that follow.
struct Runs<'a> {
    rule: Rule,
    event: &'a Event,
    at: Slot,
}

impl Runs<'_> {
    fn of(event: &Event) -> Runs<'_> {
        let rule = Rule::of(event);
        let next = rule.start_after(event.starts.max(event.first));
        // One that was begun by hand is on since then.
        let since = event
            .playback_started
            .filter(|_| event.status == EventStatus::Active);
        let at = Slot {
            starts: since.map_or(event.starts, |since| since.min(event.starts)),
            ends: event.ends.into_iter().chain(next).min(),
        };
        Runs { rule, event, at }
    }

    /// Goes on to the next run that is not over at a time; false: there is none.
    fn advance(&mut self, until: Wall) -> bool {
        let next = match self.rule.not_over_at(until) {
            Some(next) if next.starts > self.at.starts => Some(next),
            _ => self.rule.after(self.at.starts.max(self.event.first)),
        };
        next.map(|next| self.at = next).is_some()
    }

    /// When the run is over. One without an end takes its channel for no time: on a channel, events have ends.
    fn end(&self) -> Wall {
        self.at.ends.unwrap_or(self.at.starts)
    }
}

/// Whether runs of two events, neither of which is over, overlap within the horizon behind the later one's start.
pub(in crate::control) fn clash(one: &Event, other: &Event) -> bool {
    let (mut one, mut other) = (Runs::of(one), Runs::of(other));
    let horizon = one.at.starts.max(other.at.starts).plus_micros(HORIZON_US);
    for _ in 0..MAX_RUNS {
        if one.at.starts < other.end() && other.at.starts < one.end() {
            return true;
        }
        let (earlier, later) = match one.end() <= other.end() {
            true => (&mut one, &mut other),
            false => (&mut other, &mut one),
        };
        if later.at.starts > horizon || !earlier.advance(later.at.starts) {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests;
