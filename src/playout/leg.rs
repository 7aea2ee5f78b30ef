//! What a taken-over stream shows: segments of its own timeline, under the numbers and discontinuities of the
//! show.

use std::sync::Arc;

use bytes::Bytes;

use super::part_number;
use super::runs::Place;
use crate::media::timeline::{Found, Init, Part, Resource, Segment, Timeline};
use crate::media::{Ticks, Timescale, rescale};

/// How long behind its end a segment is waited for. The way from the encoder through the ladder takes 300 ms; an
/// encoder that has gone is missed for 500 ms before anything is put in its place.
pub(super) const GRACE: Ticks = Ticks(225_000);

/// The timelines of a taken-over stream's encoders, newest first: all lie on the show's epoch and grid, and those
/// before the newest had on what is in the window still.
#[derive(Clone, Copy)]
pub(super) struct Leg<'a> {
    newest: &'a Arc<dyn Timeline>,
    all: &'a [Arc<dyn Timeline>],
}

impl Leg<'_> {
    /// `None` without any.
    pub(super) fn of(all: &[Arc<dyn Timeline>]) -> Option<Leg<'_>> {
        let newest = all.first()?;
        Some(Leg { newest, all })
    }

    /// Version of what the newest one lists.
    pub(super) fn version(&self, rendition: &str) -> Option<u64> {
        Some(self.newest.progress(rendition)?.version)
    }

    /// What its newest segment has to be loaded after.
    pub(super) fn init(&self, rendition: &str) -> Option<Arc<Init>> {
        let snapshot = self.newest.snapshot(rendition)?;
        Some(snapshot.segments.last()?.init.clone())
    }

    /// Sequence of the oldest segment that the newest one has.
    pub(super) fn first(&self, rendition: &str) -> Option<u64> {
        let snapshot = self.newest.snapshot(rendition)?;
        snapshot.segments.first().map(|segment| segment.sequence)
    }

    /// A segment as the show lists it; `None` when none has any of it. What does not end in time ends with what
    /// is there.
    pub(super) fn segment(
        &self,
        rendition: &str,
        sequence: u64,
        place: &Place,
        now: Ticks,
    ) -> Option<Segment> {
        let mut all = self.all.iter();
        all.find_map(|one| segment(&**one, rendition, sequence, place, now))
    }

    /// The bytes of a part.
    pub(super) fn part(&self, rendition: &str, sequence: u64, index: u64) -> Option<Bytes> {
        let mut all = self.all.iter();
        all.find_map(|one| part(&**one, rendition, sequence, index))
    }

    /// What there is of a segment, or an initialisation.
    pub(super) fn find(&self, rendition: &str, resource: Resource<'_>) -> Found {
        let mut all = self.all.iter();
        let found = all.find_map(|one| match one.find(rendition, resource) {
            Found::Missing => None,
            found => Some(found),
        });
        found.unwrap_or(Found::Missing)
    }
}

fn segment(
    of: &dyn Timeline,
    rendition: &str,
    sequence: u64,
    place: &Place,
    now: Ticks,
) -> Option<Segment> {
    let snapshot = of.snapshot(rendition)?;
    let segments = &snapshot.segments;
    let at = segments
        .binary_search_by_key(&sequence, |segment| segment.sequence)
        .ok()?;
    let own = &segments[at];
    let late = now >= place.end + GRACE;
    // What comes next is of the next segment, even before anything of that has come.
    let scale = snapshot.timescale();
    let end = rescale(own.start + own.duration, scale, Timescale::CHANNEL);
    let full = !own.parts.is_empty() && end >= place.end;
    if own.parts.is_empty() && (!own.complete || !own.gap) {
        return None;
    }
    let before = |part: &&Arc<Part>| rescale(part.start, scale, Timescale::CHANNEL) < place.end;
    let parts = own.parts.iter().take_while(before).enumerate();
    let parts: Vec<Arc<Part>> = parts
        .map(|(index, part)| {
            Arc::new(Part {
                number: part_number(sequence, index as u64),
                ..(**part).clone()
            })
        })
        .collect();
    let duration = match parts.len() < own.parts.len() {
        true => Ticks(parts.iter().map(|part| part.duration.0).sum()),
        false if late && !own.complete && !full => {
            rescale(place.end, Timescale::CHANNEL, scale) - own.start
        }
        false => own.duration,
    };
    Some(Segment {
        discontinuity: sequence == place.run.sequence,
        discontinuity_sequence: place.run.discontinuity,
        complete: own.complete || full || late,
        duration,
        parts,
        ..(**own).clone()
    })
}

fn part(of: &dyn Timeline, rendition: &str, sequence: u64, index: u64) -> Option<Bytes> {
    let snapshot = of.snapshot(rendition)?;
    let segments = &snapshot.segments;
    let at = segments
        .binary_search_by_key(&sequence, |segment| segment.sequence)
        .ok()?;
    let part = segments[at].parts.get(usize::try_from(index).ok()?)?;
    Some(part.bytes.clone()).filter(|bytes| !bytes.is_empty())
}
