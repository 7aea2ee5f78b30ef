//! What a taken-over stream shows: segments of its own timeline, under the numbers and discontinuities of the
//! show.

use std::sync::Arc;

use bytes::Bytes;

use super::part_number;
use super::runs::Place;
use crate::media::Ticks;
use crate::media::timeline::{Found, Part, Resource, Segment, Timeline};

/// How long behind its end a segment is waited for: the way from the encoder through the ladder takes 300 ms.
pub(super) const GRACE: Ticks = Ticks(135_000);

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
        let late = !own.complete && now >= place.end + GRACE;
        if own.parts.is_empty() && (!own.complete || !own.gap) {
            return None;
        }
        let parts = own.parts.iter().enumerate().map(|(index, part)| {
            Arc::new(Part {
                number: part_number(sequence, index as u64),
                ..(**part).clone()
            })
        });
        Some(Segment {
            discontinuity: sequence == place.run.sequence,
            discontinuity_sequence: place.run.discontinuity,
            complete: own.complete || late,
            parts: parts.collect(),
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
