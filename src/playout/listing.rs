//! What a show's playlists list at a moment: a function of its runs, what is there of its media, and the time.

mod snapshot;

use std::sync::Arc;

use super::asset::Reader;
use super::leg::Leg;
use super::runs::{Place, Runs};
use super::shelf::Loaded;
use super::{Kind, PARTS_PER_SEGMENT, part_number};
use crate::media::time::{rescale, wall_time};
use crate::media::timeline::{Init, Part, Rules, STORED, Segment};
use crate::media::{MediaKind, Rendition, Ticks, Timescale};
pub(super) use snapshot::{description, progress};

/// Beyond the end of a part, how much of a sound's last frame may lie behind a cut: one AAC frame.
const FRAME: Ticks = Ticks(1920);
/// How many segments before the one that the clock says are looked at for the newest that is there: an encoder's
/// way takes no longer.
const LOOK_BACK: u64 = 8;

/// All that a listing is made of.
pub(super) struct View<'a> {
    pub(super) runs: &'a Runs,
    pub(super) loaded: &'a Loaded,
    pub(super) rules: &'a Rules,
    pub(super) leg: Option<Leg<'a>>,
    /// Channel time.
    pub(super) time: Ticks,
}

/// Stored media of a segment.
#[derive(Clone, Copy)]
pub(super) struct Located<'a> {
    pub(super) reader: &'a Reader,
    pub(super) slot: usize,
    pub(super) placed: &'a Arc<super::asset::Placed>,
    /// Of the first sample, in the rendition's timescale.
    pub(super) start: Ticks,
    /// Parts that lie before the next cut.
    pub(super) parts: usize,
}

/// A segment as it is now.
pub(super) enum State {
    /// Listed, whole or growing: `next` is when it has more.
    Listed {
        segment: Segment,
        next: Option<Ticks>,
    },
    /// Listed from then on.
    Ahead(Ticks),
    /// Nobody knows when.
    Waits,
}

/// How far a rendition has got.
pub(super) struct Newest {
    pub(super) segment: Segment,
    /// When there is more; `None` when nobody knows.
    pub(super) next: Option<Ticks>,
    pub(super) ended: bool,
}

impl Newest {
    pub(super) fn next_part(&self) -> u64 {
        match self.segment.complete {
            true => part_number(self.segment.sequence + 1, 0),
            false => part_number(self.segment.sequence, self.segment.parts.len() as u64),
        }
    }

    fn version(&self) -> u64 {
        self.next_part() * 2 + u64::from(self.ended)
    }
}

impl View<'_> {
    /// A rendition as it is declared.
    pub(super) fn rendition(&self, name: &str) -> Option<&Arc<Rendition>> {
        let reader = self.declaring()?;
        Some(reader.rendition(reader.slot(name)?))
    }

    fn declaring(&self) -> Option<&Reader> {
        self.loaded.film.as_ref().or(self.loaded.slate.as_ref())
    }

    fn reader(&self, kind: Kind) -> Option<&Reader> {
        match kind {
            Kind::Slate => self.loaded.slate.as_ref(),
            Kind::Film => self.loaded.film.as_ref(),
            Kind::Live | Kind::End => None,
        }
    }

    /// Where a segment's media are; `None` when they are not there, or not in a file.
    pub(super) fn located(&self, name: &str, place: &Place) -> Option<Located<'_>> {
        let reader = self.reader(place.run.kind)?;
        let slot = reader.slot(name)?;
        let found = reader.find(slot, &place.cell)?;
        let scale = reader.rendition(slot).track.timescale;
        let zero = rescale(place.run.anchor, Timescale::CHANNEL, scale) + found.shift;
        let start = zero + found.placed.start;
        let mut parts = found.placed.parts.len();
        if place.is_cut_short() {
            let slack = match reader.rendition(slot).kind() {
                MediaKind::Video => Ticks::ZERO,
                MediaKind::Audio => FRAME,
            };
            let mut at = start;
            parts = found
                .placed
                .parts
                .iter()
                .take_while(|part| {
                    at += Ticks(part.duration.into());
                    rescale(at, scale, Timescale::CHANNEL) <= place.end + slack
                })
                .count();
        }
        Some(Located {
            reader,
            slot,
            placed: found.placed,
            start,
            parts,
        })
    }

    /// A segment as it is now; `None` for a number that no run has.
    pub(super) fn state(&self, name: &str, sequence: u64) -> Option<State> {
        let place = self.runs.place(sequence)?;
        if place.run.kind == Kind::Live {
            return Some(self.live(name, sequence, &place));
        }
        let located = self.located(name, &place);
        if let Some(located) = located.filter(|located| located.parts > 0) {
            return Some(self.stored(sequence, &place, &located));
        }
        // What is missing is given up when something else is on.
        let lost = located.is_some()
            || self
                .reader(place.run.kind)
                .is_some_and(|reader| reader.has(&place.cell));
        let given_up = match lost {
            true => place.end,
            false => place.run.until,
        };
        Some(match self.time >= given_up {
            true => State::Listed {
                segment: self.gap(name, sequence, &place)?,
                next: None,
            },
            false if lost => State::Ahead(given_up),
            false => State::Waits,
        })
    }

    fn stored(&self, sequence: u64, place: &Place, located: &Located<'_>) -> State {
        let rendition = located.reader.rendition(located.slot);
        let scale = rendition.track.timescale;
        let mut parts = Vec::with_capacity(located.parts);
        let mut at = located.start;
        let mut next = None;
        for (index, part) in located.placed.parts[..located.parts].iter().enumerate() {
            let duration = Ticks(part.duration.into());
            let released = rescale(at + duration, scale, Timescale::CHANNEL);
            if released > self.time {
                next = Some(released);
                break;
            }
            parts.push(Arc::new(Part {
                number: part_number(sequence, index as u64),
                start: at,
                duration,
                independent: part.independent,
                bytes: STORED,
            }));
            at += duration;
        }
        if let Some(release) = next.filter(|_| parts.is_empty()) {
            return State::Ahead(release);
        }
        let complete = next.is_none();
        let end = match complete {
            true => self.end(place, located, scale),
            false => at,
        };
        let segment = Segment {
            start: located.start,
            duration: end - located.start,
            gap: false,
            independent: located
                .placed
                .parts
                .first()
                .is_some_and(|part| part.independent),
            complete,
            init: located.reader.init(located.slot).clone(),
            parts,
            program_date_time: wall_time(located.start, scale, self.rules.epoch),
            ..self.blank(sequence, place, located.reader.init(located.slot))
        };
        State::Listed { segment, next }
    }

    /// Where a stored segment ends when all its parts are there: with its media, or, where something else
    /// follows it, with the cut, before which the last frame of a sound need not end.
    fn end(&self, place: &Place, located: &Located<'_>, scale: Timescale) -> Ticks {
        if place.end == place.run.until && !place.run.last {
            let name = &located.reader.rendition(located.slot).name;
            return self.meets(name, place, scale);
        }
        let parts = located.placed.parts[..located.parts].iter();
        located.start + Ticks(parts.map(|part| i64::from(part.duration)).sum())
    }

    /// Where a rendition goes on behind a segment: the frames of a sound that follows another begin a little
    /// later than the picture.
    fn meets(&self, name: &str, place: &Place, scale: Timescale) -> Ticks {
        let next = self
            .runs
            .get(place.number + 1)
            .filter(|run| run.at == place.end);
        let next = next.and_then(|run| self.runs.place(run.sequence));
        let located = next.and_then(|next| self.located(name, &next));
        let start = located
            .filter(|located| located.parts > 0)
            .map(|located| located.start);
        start.unwrap_or_else(|| rescale(place.end, Timescale::CHANNEL, scale))
    }

    /// A segment of which nothing is told yet but its number.
    fn blank(&self, sequence: u64, place: &Place, init: &Arc<Init>) -> Segment {
        Segment {
            sequence,
            start: Ticks::ZERO,
            duration: Ticks::ZERO,
            discontinuity: sequence == place.run.sequence && place.number > 0,
            discontinuity_sequence: place.run.discontinuity,
            gap: true,
            independent: true,
            complete: true,
            init: init.clone(),
            parts: Vec::new(),
            program_date_time: self.rules.epoch,
        }
    }

    fn gap(&self, name: &str, sequence: u64, place: &Place) -> Option<Segment> {
        let reader = self.reader(place.run.kind);
        let known = reader.and_then(|reader| Some((reader, reader.slot(name)?)));
        let (reader, slot) = match known {
            Some(known) => known,
            None => {
                let reader = self.declaring()?;
                (reader, reader.slot(name)?)
            }
        };
        // Nothing is loaded for it, but what was loaded before it need not change.
        let leg = self.leg.filter(|_| place.run.kind == Kind::Live);
        let own_init = leg.and_then(|leg| leg.init(name));
        let scale = reader.rendition(slot).track.timescale;
        let own = |time| rescale(time, Timescale::CHANNEL, scale);
        Some(Segment {
            start: own(place.start),
            duration: self.meets(name, place, scale) - own(place.start),
            program_date_time: wall_time(place.start, Timescale::CHANNEL, self.rules.epoch),
            ..self.blank(
                sequence,
                place,
                own_init.as_ref().unwrap_or(reader.init(slot)),
            )
        })
    }

    fn live(&self, name: &str, sequence: u64, place: &Place) -> State {
        let found = self
            .leg
            .as_ref()
            .and_then(|leg| leg.segment(name, sequence, place, self.time));
        if let Some(mut segment) = found {
            if segment.complete && place.end == place.run.until && !place.run.last {
                let scale = self
                    .rendition(name)
                    .map_or(Timescale::CHANNEL, |it| it.track.timescale);
                segment.duration = self.meets(name, place, scale) - segment.start;
            }
            let next = (!segment.complete).then_some(place.end + super::leg::GRACE);
            return State::Listed { segment, next };
        }
        let later = self
            .leg
            .as_ref()
            .and_then(|leg| leg.first(name))
            .is_some_and(|first| first > sequence);
        let given_up = place.end + super::leg::GRACE;
        if self.time < place.start {
            return State::Ahead(place.start);
        }
        if self.time < given_up && !(later && self.time >= place.end) {
            return State::Ahead(given_up);
        }
        match self.gap(name, sequence, place) {
            Some(segment) => State::Listed {
                segment,
                next: None,
            },
            None => State::Waits,
        }
    }

    /// How far a rendition has got; `None` before its first part.
    pub(super) fn newest(&self, name: &str) -> Option<Newest> {
        self.rendition(name)?;
        let mut number = self.runs.at(self.time)?;
        let mut ended = false;
        if self.runs.get(number)?.kind == Kind::End {
            number = number.checked_sub(1)?;
            ended = true;
        }
        // What follows a takeover waits for what its encoder sent last.
        if let Some(before) = number.checked_sub(usize::from(!ended))
            && self.runs.get(before)?.kind == Kind::Live
            && !self.is_settled(name, before)
        {
            number = before;
            ended = false;
        }
        let newest = loop {
            if let Some(newest) = self.newest_of(name, number) {
                break newest;
            }
            number = number.checked_sub(1)?;
        };
        let (segment, next) = newest;
        // The last frame of a sound may end a little later.
        ended &= segment.complete
            && self.runs.sequence_at(number, Ticks(i64::MAX)) == Some(segment.sequence);
        let next = match next {
            Some(next) => Some(next),
            None if ended => None,
            None => match self.state(name, segment.sequence + 1) {
                Some(State::Ahead(release)) => Some(release),
                Some(State::Listed { .. }) => None,
                Some(State::Waits) => self.until(segment.sequence + 1),
                None => self.until(segment.sequence),
            },
        };
        Some(Newest {
            segment,
            next: next.filter(|next| *next > self.time && *next < Ticks(i64::MAX)),
            ended,
        })
    }

    fn until(&self, sequence: u64) -> Option<Ticks> {
        Some(self.runs.place(sequence)?.run.until)
    }

    fn newest_of(&self, name: &str, number: usize) -> Option<(Segment, Option<Ticks>)> {
        let run = self.runs.get(number)?;
        let mut top = self.runs.sequence_at(number, self.time)?;
        if let Some(reader) = self.reader(run.kind)
            && !reader.is_complete()
            && self.time < run.until
        {
            // What is prepared so far.
            let first = self.runs.place(run.sequence)?.cell.index;
            let there = reader.facts().segments.checked_sub(2 + first)?;
            top = top.min(run.sequence + there);
        }
        let bottom = run.sequence.max(top.saturating_sub(LOOK_BACK));
        (bottom..=top)
            .rev()
            .find_map(|sequence| match self.state(name, sequence)? {
                State::Listed { segment, next } => Some((segment, next)),
                State::Ahead(_) | State::Waits => None,
            })
    }

    /// Whether a takeover's last segment is whole, or given up.
    fn is_settled(&self, name: &str, number: usize) -> bool {
        let last = self.runs.sequence_at(number, Ticks(i64::MAX));
        let state = last.and_then(|last| self.state(name, last));
        matches!(state, Some(State::Listed { segment, .. }) if segment.complete)
    }
}

/// Which segment a part's number names, and which part of it.
pub(super) fn of_part(number: u64) -> (u64, u64) {
    (number / PARTS_PER_SEGMENT, number % PARTS_PER_SEGMENT)
}

fn count(segment: &Segment) -> u32 {
    u32::try_from(segment.parts.len()).unwrap_or(u32::MAX)
}
