//! What a show's playlists list at a moment: a function of its runs, what is there of its media, and the time.

use std::sync::Arc;

use super::asset::Reader;
use super::leg::Leg;
use super::runs::{Place, Runs};
use super::shelf::Loaded;
use super::{Kind, PARTS_PER_SEGMENT, part_number};
use crate::media::time::{rescale, wall_time};
use crate::media::timeline::{
    Description, Init, Part, Progress, Report, Rules, STORED, Scheduled, Segment, Snapshot,
};
use crate::media::{MediaKind, Rendition, Ticks, Timescale};

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
            true => self.end(place, located, scale).max(at),
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

    /// Where a stored segment ends when all its parts are there: its media, or the next cut where that comes
    /// before they would, and something follows.
    fn end(&self, place: &Place, located: &Located<'_>, scale: Timescale) -> Ticks {
        let parts = located.placed.parts[..located.parts].iter();
        let media = located.start + Ticks(parts.map(|part| i64::from(part.duration)).sum());
        match located.parts < located.placed.parts.len() && !place.run.last {
            true => media.max(rescale(place.end, Timescale::CHANNEL, scale)),
            false => media,
        }
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
        let scale = reader.rendition(slot).track.timescale;
        let own = |time| rescale(time, Timescale::CHANNEL, scale);
        Some(Segment {
            start: own(place.start),
            duration: own(place.end) - own(place.start),
            program_date_time: wall_time(place.start, Timescale::CHANNEL, self.rules.epoch),
            ..self.blank(sequence, place, reader.init(slot))
        })
    }

    fn live(&self, name: &str, sequence: u64, place: &Place) -> State {
        let found = self
            .leg
            .as_ref()
            .and_then(|leg| leg.segment(name, sequence, place, self.time));
        if let Some(segment) = found {
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

    /// What the playlist lists. Segments that an earlier one listed as whole stay what they were.
    pub(super) fn snapshot(
        &self,
        name: &str,
        newest: &Newest,
        known: Option<&Snapshot>,
        others: &[Arc<Rendition>],
    ) -> Option<Snapshot> {
        let rendition = self.rendition(name)?.clone();
        let scale = rendition.track.timescale;
        let known = known.map_or(&[][..], |known| &known.segments);
        let window = Ticks::from_duration(self.rules.window, Timescale::CHANNEL);
        let mut segments = vec![Arc::new(newest.segment.clone())];
        let mut length = match newest.segment.complete {
            true => self.length(newest.segment.sequence),
            false => Ticks::ZERO,
        };
        let mut sequence = newest.segment.sequence;
        while length < window {
            let Some(before) = sequence
                .checked_sub(1)
                .filter(|before| self.runs.place(*before).is_some())
            else {
                break;
            };
            sequence = before;
            let at = known.binary_search_by_key(&sequence, |segment| segment.sequence);
            let same = at
                .ok()
                .map(|at| &known[at])
                .filter(|segment| segment.complete);
            let segment = match same {
                Some(segment) => segment.clone(),
                None => match self.state(name, sequence) {
                    Some(State::Listed { segment, .. }) => Arc::new(segment),
                    _ => break,
                },
            };
            segments.push(segment);
            length += self.length(sequence);
        }
        segments.reverse();
        let independent_segments = segments.iter().all(|segment| segment.independent);
        let reports = others
            .iter()
            .filter(|other| *other.name != *name)
            .filter_map(|other| {
                let newest = self.newest(&other.name)?;
                Some(Report {
                    name: other.name.clone(),
                    last_sequence: newest.segment.sequence,
                    last_part: count(&newest.segment).checked_sub(1),
                })
            });
        let opened = self.opened(name, segments.first()?.sequence, scale)?;
        Some(Snapshot {
            version: newest.version(),
            rendition,
            rules: Rules {
                independent_segments,
                ..self.rules.clone()
            },
            reports: reports.collect(),
            next_part: newest.next_part(),
            ended: newest.ended,
            stopped: false,
            scheduled: Some(Scheduled {
                running: (!newest.segment.complete)
                    .then(|| self.running(name, newest))
                    .flatten(),
                opened,
            }),
            segments,
        })
    }

    fn length(&self, sequence: u64) -> Ticks {
        self.runs
            .place(sequence)
            .map_or(Ticks::ZERO, |place| place.end - place.start)
    }

    /// Length that the growing segment will have.
    fn running(&self, name: &str, newest: &Newest) -> Option<Ticks> {
        let place = self.runs.place(newest.segment.sequence)?;
        let scale = self.rendition(name)?.track.timescale;
        match self.located(name, &place) {
            Some(located) => Some(self.end(&place, &located, scale) - located.start),
            None => {
                let end = rescale(place.end, Timescale::CHANNEL, scale);
                Some(end - newest.segment.start)
            }
        }
    }

    /// Where the run of a segment began.
    fn opened(&self, name: &str, sequence: u64, scale: Timescale) -> Option<(u64, Ticks)> {
        let run = self.runs.place(sequence)?.run;
        let first = self.runs.place(run.sequence)?;
        let located = self
            .located(name, &first)
            .filter(|located| located.parts > 0);
        let start = located.map(|located| located.start);
        let start = start.unwrap_or_else(|| rescale(first.start, Timescale::CHANNEL, scale));
        Some((run.sequence, start))
    }
}

/// How far the rendition of a snapshot has got.
pub(super) fn progress(snapshot: &Snapshot) -> Option<Progress> {
    let last = snapshot.segments.last()?;
    Some(Progress {
        version: snapshot.version,
        last_sequence: last.sequence,
        last_complete: last.complete,
        last_parts: count(last),
        next_part: snapshot.next_part,
        begun: snapshot
            .segments
            .iter()
            .any(|segment| segment.complete && !segment.gap),
        ended: snapshot.ended,
    })
}

fn count(segment: &Segment) -> u32 {
    u32::try_from(segment.parts.len()).unwrap_or(u32::MAX)
}

/// What the multivariant playlist and the manifests list.
pub(super) fn description(
    loaded: &Loaded,
    rules: &Rules,
    version: u64,
    ended: bool,
) -> Option<Description> {
    let reader = loaded.film.as_ref().or(loaded.slate.as_ref())?;
    let of_kind = |kind| {
        let renditions = reader.facts().renditions.iter();
        let renditions = renditions.filter(|rendition| rendition.kind() == kind);
        renditions
            .map(|rendition| raised(loaded, rendition))
            .collect::<Vec<_>>()
    };
    Some(Description {
        version,
        rules: rules.clone(),
        video: of_kind(MediaKind::Video),
        audio: of_kind(MediaKind::Audio),
        leaving: Vec::new(),
        ended,
    })
}

/// A rendition of the film, whose rates the slate does not exceed either.
fn raised(loaded: &Loaded, rendition: &Arc<Rendition>) -> Arc<Rendition> {
    let slate = loaded.slate.as_ref();
    let slate = slate.and_then(|slate| Some(slate.rendition(slate.slot(&rendition.name)?)));
    match slate.filter(|slate| slate.peak_bps > rendition.peak_bps) {
        Some(slate) => Arc::new(Rendition {
            peak_bps: slate.peak_bps,
            ..(**rendition).clone()
        }),
        None => rendition.clone(),
    }
}

/// Which segment a part's number names, and which part of it.
pub(super) fn of_part(number: u64) -> (u64, u64) {
    (number / PARTS_PER_SEGMENT, number % PARTS_PER_SEGMENT)
}
