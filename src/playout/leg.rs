//! What a taken-over stream shows: segments of its own timeline, under the numbers and discontinuities of the
//! show.

use std::sync::Arc;

use bytes::Bytes;

use super::part_number;
use super::runs::Place;
use crate::media::timeline::{Found, Part, Resource, Segment, Timeline};
use crate::media::{Ticks, Timescale, rescale};

/// How long behind its end a segment is waited for. The way from the encoder through the ladder takes 300 ms; an
/// encoder that has gone is missed for 500 ms before anything is put in its place.
pub(super) const GRACE: Ticks = Ticks(225_000);

/// The timeline of a taken-over stream, which lies on the show's epoch and grid.
#[derive(Clone, Copy)]
pub(super) struct Leg<'a>(pub(super) &'a dyn Timeline);

impl Leg<'_> {
    /// Sequence of the oldest segment that it has.
    pub(super) fn first(&self, rendition: &str) -> Option<u64> {
        let snapshot = self.0.snapshot(rendition)?;
        snapshot.segments.first().map(|segment| segment.sequence)
    }

    /// A segment as the show lists it; `None` when it has none of it. What does not end in time ends with what
    /// is there.
    pub(super) fn segment(
        &self,
        rendition: &str,
        sequence: u64,
        place: &Place,
        now: Ticks,
    ) -> Option<Segment> {
        let snapshot = self.0.snapshot(rendition)?;
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

    /// The bytes of a part.
    pub(super) fn part(&self, rendition: &str, sequence: u64, index: u64) -> Option<Bytes> {
        let snapshot = self.0.snapshot(rendition)?;
        let segments = &snapshot.segments;
        let at = segments
            .binary_search_by_key(&sequence, |segment| segment.sequence)
            .ok()?;
        let part = segments[at].parts.get(usize::try_from(index).ok()?)?;
        Some(part.bytes.clone()).filter(|bytes| !bytes.is_empty())
    }

    /// What it has of a segment, or an initialisation.
    pub(super) fn find(&self, rendition: &str, resource: Resource<'_>) -> Found {
        self.0.find(rendition, resource)
    }
}
