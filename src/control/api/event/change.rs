//! What a body says of an event, what of it can be, and what an event and its run become by it (the table is at
//! `event`). Pure, but for the channel that is named.

use jiff::Timestamp;

use super::plan::Planning;
use super::recurrence::{self, Rule, Slot};
use crate::base::clock::Wall;
use crate::base::lead::LEAD_US;
use crate::control::api::call::Caller;
use crate::control::api::{Call, Error, broadcast};
use crate::control::pcast::Fields;
use crate::playout::Facts;
use crate::store::{Event, EventStatus, Repeat, ShowRow};

/// What holds for times and repeats together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declared {
    pub(super) starts: Wall,
    pub(super) ends: Option<Wall>,
    pub(super) repeat: Repeat,
    pub(super) has_channel: bool,
}

impl Declared {
    fn of(event: &Event) -> Declared {
        Declared {
            starts: event.starts,
            ends: event.ends,
            repeat: event.repeat,
            has_channel: event.channel_id.is_some(),
        }
    }

    /// Refuses what cannot be, of an event that has not begun.
    pub(super) fn check(&self, now: Wall) -> Result<(), Error> {
        self.check_shape()?;
        match self.ends {
            Some(ends) if ends <= now => bad("scheduledEndTime has passed"),
            _ => Ok(()),
        }
    }

    fn check_shape(&self) -> Result<(), Error> {
        let Some(ends) = self.ends else {
            return match (self.repeat, self.has_channel) {
                (Repeat::UntilEnd, _) => {
                    bad("scheduledEndTime is missing: repeatMode is until_end")
                }
                (_, true) => bad("scheduledEndTime is missing: the channel is taken until then"),
                _ => Ok(()),
            };
        };
        if ends <= self.starts {
            return bad("scheduledEndTime is not after scheduledStartTime");
        }
        let length = ends.micros_since(self.starts);
        match recurrence::period_us(self.repeat) {
            Some(period) if length > period => Err(Error::Bad(format!(
                "scheduledEndTime is after the next run: an event that is {} is no longer than that",
                self.repeat.word()
            ))),
            _ => Ok(()),
        }
    }
}

fn bad<T>(sentence: &str) -> Result<T, Error> {
    Err(Error::Bad(sentence.to_owned()))
}

/// What a body says of an event.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) starts: Option<Wall>,
    pub(super) ends: Option<Wall>,
    pub(super) repeat: Option<Repeat>,
    pub(super) repeat_until_end: Option<bool>,
    pub(super) time_zone: Option<String>,
    /// `Some(None)`: no channel any more.
    pub(super) channel: Option<Option<String>>,
}

impl Change {
    pub(super) fn read(fields: &mut Fields, call: &Call) -> Result<Change, Error> {
        let repeat = fields.line("repeatMode")?.map(|word| {
            let bad = "repeatMode is not none, daily, weekly, monthly or until_end";
            Repeat::of(&word).ok_or_else(|| Error::Bad(bad.to_owned()))
        });
        let time_zone = fields.line("timeZone")?.map(|name| {
            let zone = recurrence::zone(&name);
            let name = zone.and_then(|zone| zone.iana_name().map(str::to_owned));
            name.ok_or_else(|| Error::Bad("timeZone is no IANA time zone".to_owned()))
        });
        Ok(Change {
            title: broadcast::title(fields)?,
            description: broadcast::description(fields)?,
            starts: time(fields, "scheduledStartTime")?,
            ends: time(fields, "scheduledEndTime")?,
            repeat: repeat.transpose()?,
            repeat_until_end: fields.flag("repeatUntilEnd")?,
            time_zone: time_zone.transpose()?,
            channel: channel(fields, call)?,
        })
    }

    /// Changes an event and its run as the table of the module says.
    pub(super) fn apply(
        self,
        event: &mut Event,
        show: &mut ShowRow,
        planning: &Planning,
        facts: Option<&Facts>,
        now: Wall,
    ) -> Result<(), Error> {
        let old = event.clone();
        if let Some(title) = self.title {
            event.title = title;
        }
        event.description = self.description.or(event.description.take());
        // What is named and the same changes nothing.
        let starts = self.starts.filter(|starts| *starts != old.starts);
        let ends = self.ends.filter(|ends| Some(*ends) != old.ends);
        if let Some(repeat) = self.repeat {
            event.repeat = repeat;
        }
        if let Some(until_end) = self.repeat_until_end {
            event.repeat_until_end = until_end;
        }
        if let Some(zone) = self.time_zone {
            event.time_zone = zone;
        }
        if let Some(channel) = self.channel {
            event.channel_id = channel;
        }
        let counts_anew = event.repeat != old.repeat || event.time_zone != old.time_zone;
        let is_same = !counts_anew
            && starts.is_none()
            && ends.is_none()
            && event.channel_id == old.channel_id
            && event.repeat_until_end == old.repeat_until_end;
        if is_same {
            return Ok(());
        }
        if old.status.is_over() {
            return Err(Error::Conflict("the event is over".to_owned()));
        }
        event.starts = starts.unwrap_or(old.starts);
        event.ends = ends.or(old.ends);
        // One that was begun by hand may be over before the time for which it was declared.
        let is_shorter = old.status == EventStatus::Active
            && event.ends.is_some_and(|ends| ends <= event.starts);
        if (starts.is_some() || ends.is_some()) && !is_shorter {
            event.length_us = event.ends.map(|ends| ends.micros_since(event.starts));
        }
        let slot = |event: &Event| Slot {
            starts: event.starts,
            ends: event.ends,
        };
        if old.status == EventStatus::Active {
            if starts.is_some() {
                let refusal = "the event is on: its start cannot be changed";
                return Err(Error::Conflict(refusal.to_owned()));
            }
            Declared {
                starts: match is_shorter {
                    true => event.playback_started.unwrap_or(event.starts),
                    false => event.starts,
                },
                ..Declared::of(event)
            }
            .check_shape()?;
            if counts_anew {
                // One that was begun by hand came before its time.
                let declared = Rule::of(&old).not_over_at(old.starts);
                event.first = declared.map_or(old.starts, |slot| slot.starts);
            }
            if ends.is_some() {
                let soonest = now.plus_micros(LEAD_US);
                if event.ends.is_some_and(|ends| ends < soonest) {
                    event.ends = Some(soonest);
                    event.length_us = old.length_us;
                }
                planning.replan(show, slot(event), facts, now);
            }
            return Ok(());
        }
        Declared::of(event).check(now)?;
        if counts_anew || starts.is_some() {
            event.first = event.starts;
        }
        show.looping = event.is_looping();
        planning.replan(show, slot(event), facts, now);
        Ok(())
    }
}

/// A point of time, to the second, in the years that databases and players know.
fn time(fields: &mut Fields, name: &str) -> Result<Option<Wall>, Error> {
    let Some(text) = fields.line(name)? else {
        return Ok(None);
    };
    let read = text.parse::<Timestamp>();
    let second = read.map(Timestamp::as_second);
    match second {
        Ok(second) if second >= 0 => Ok(Some(Wall(second * 1_000_000))),
        Ok(_) => bad(&format!("{name} is before 1970")),
        Err(_) => bad(&format!(
            "{name} is no date and time with an offset (RFC 3339), up to the year 9999"
        )),
    }
}

/// The channel that a body names. Its name is the tenant's, and everybody may sign up there: the key is needed.
fn channel(fields: &mut Fields, call: &Call) -> Result<Option<Option<String>>, Error> {
    let Some(name) = fields.line("channelId")? else {
        return Ok(None);
    };
    let Caller {
        tenant,
        has_key,
        is_operator,
        ..
    } = &call.caller;
    if !has_key && !is_operator {
        return Err(Error::NotAllowed("channelId needs the key of the tenant"));
    }
    if name.is_empty() {
        return Ok(Some(None));
    }
    let found = call.state.setup().store.known_channel(&tenant.id, &name);
    match found {
        Some(channel) => Ok(Some(Some(channel.id.clone()))),
        None => bad("channelId is no channel of the tenant"),
    }
}
