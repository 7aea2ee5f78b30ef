//! DASH manifests: which segments of which renditions form which Periods. The text is in [`write`].
//!
//! ISO/IEC 23009-1 with the DASH-IF restricted timing model (explicit SegmentTimeline, Periods with a
//! fixed start). The low-latency form adds what that model forbids, so it is a manifest of its own.

mod plan;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::plan::Plan;
use self::write::Head;
use crate::media::MediaKind;
use crate::media::timeline::{Description, Snapshot};

/// Which of the two manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Finished segments only.
    Standard,
    /// With the running segment, to be fetched while it grows.
    LowLatency,
}

/// What one manifest has told that a snapshot does not tell any more: where Periods opened, which must
/// never change, also after their first segments have left the window; and when it was last published.
///
/// Keep one per stream and [`Mode`], and hand it to every [`mpd`] call of that manifest. A new one
/// is right for a manifest that nobody has been given yet.
#[derive(Clone, Debug, Default)]
pub struct Periods {
    /// Oldest first; those before the first listed Period are forgotten.
    openings: Vec<Opening>,
    /// Sequence of the oldest segment that was listed last.
    first: u64,
    /// Renditions that missed the segment grid, and the last segment that the low-latency manifest
    /// lists of each. As many as a stream has renditions.
    left: BTreeMap<Arc<str>, u64>,
    /// The last publishTime, microseconds since the epoch.
    published_micros: i64,
    /// The last manifest.
    told: Option<Told>,
}

/// A manifest as it was told.
#[derive(Clone, Debug)]
struct Told {
    text: String,
    head: Head,
    /// Where the root element's start tag ends, in bytes of the text.
    body: usize,
    /// Whether it says that nothing follows.
    ended: bool,
}

impl Told {
    fn new(description: &Description, plan: &Plan<'_>, mode: Mode, utc_timing_url: &str) -> Told {
        let head = Head::of(description, plan);
        let (text, body) = write::manifest(description, plan, &head, mode, utc_timing_url);
        Told {
            text,
            head,
            body,
            ended: description.ended,
        }
    }
}

/// A Period's unchanging facts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Opening {
    /// Media sequence of its first segment; also its id.
    sequence: u64,
    /// Microseconds since the stream's epoch.
    start_micros: i64,
    discontinuity_sequence: u64,
    shape: Shape,
    links: Vec<Link>,
}

/// Name and init of each Representation, in order.
type Shape = Vec<(Arc<str>, String)>;

/// One kind of media goes on from an earlier Period with the same Representations.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    kind: MediaKind,
    /// Opening of the earlier Period.
    period: u64,
    /// Whether its samples meet these.
    continuous: bool,
}

impl Periods {
    /// Whether a rendition is in the oldest Period still known, or none is known.
    fn had(&self, name: &str) -> bool {
        let oldest = self.openings.first();
        oldest.is_none_or(|oldest| oldest.shape.iter().any(|(known, _)| **known == *name))
    }
}

/// The manifest, or `None` while a described rendition has no snapshot or no segment is listed by
/// all of them. The same snapshots give the same text: nothing in it depends on the time of the call.
/// A hole longer than the window leaves nothing to list; then what was told last stays, until the stream ends:
/// then the same is told with an end.
///
/// `utc_timing_url` answers with the server's time as an `xs:dateTime`.
pub fn mpd(
    description: &Description,
    snapshots: &[Arc<Snapshot>],
    mode: Mode,
    periods: &mut Periods,
    utc_timing_url: &str,
) -> Option<String> {
    let Some(mut plan) = plan::plan(description, snapshots, mode, periods) else {
        let told = periods.told.as_mut()?;
        if description.ended && !told.ended {
            periods.published_micros += 1000;
            told.head.newest_micros = periods.published_micros;
            let mut text = write::head(description, &told.head, mode);
            let body = std::mem::replace(&mut told.body, text.len());
            text.push_str(&told.text[body..]);
            told.text = text;
            told.ended = true;
        }
        return Some(told.text.clone());
    };
    plan.newest_micros = plan.newest_micros.max(periods.published_micros);
    let mut told = Told::new(description, &plan, mode, utc_timing_url);
    if periods.told.as_ref().map(|told| &told.text) != Some(&told.text) {
        // Not every change comes with something new: old segments leave, a foretold length turns out
        // otherwise, the stream ends.
        if plan.newest_micros == periods.published_micros {
            plan.newest_micros += 1000;
            told = Told::new(description, &plan, mode, utc_timing_url);
        }
        periods.published_micros = plan.newest_micros;
        periods.told = Some(told.clone());
    }
    Some(told.text)
}

#[cfg(test)]
mod tests;
