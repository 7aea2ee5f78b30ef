//! DASH manifests: which segments of which renditions form which Periods. The text is in [`write`].
//!
//! ISO/IEC 23009-1 with the DASH-IF restricted timing model (explicit SegmentTimeline, Periods with a
//! fixed start). The low-latency form adds what that model forbids, so it is a manifest of its own.

mod plan;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

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

/// Where the Periods opened that one manifest has told of. Their starts must never change, also
/// after their first segments have left the window, and a snapshot does not tell them any more.
///
/// Keep one per stream and [`Mode`], and hand it to every [`mpd`] call of that manifest. A new one
/// is right for a manifest that nobody has been given yet.
#[derive(Clone, Debug, Default)]
pub struct Periods {
    /// Oldest first; those before the first listed Period are forgotten.
    openings: Vec<Opening>,
    /// Renditions that missed the segment grid, and the last segment that the low-latency manifest
    /// lists of each. As many as a stream has renditions.
    left: BTreeMap<Arc<str>, u64>,
    last: Option<Published>,
}

/// The last manifest that was made.
#[derive(Clone, Debug)]
struct Published {
    /// Its publishTime, microseconds since the stream's epoch.
    micros: i64,
    text: String,
}

/// publishTime rises by this much with a change that comes without new media: a segment leaves, a bit
/// rate is declared anew. Microseconds: what its text resolves.
const CHANGE_MICROS: i64 = 1000;

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
///
/// `utc_timing_url` answers with the server's time as an `xs:dateTime`.
pub fn mpd(
    description: &Description,
    snapshots: &[Arc<Snapshot>],
    mode: Mode,
    periods: &mut Periods,
    utc_timing_url: &str,
) -> Option<String> {
    let mut plan = plan::plan(description, snapshots, mode, periods)?;
    let write = |plan: &plan::Plan<'_>| write::manifest(description, plan, mode, utc_timing_url);
    let mut text = write(&plan);
    let last = periods.last.take();
    if let Some(last) =
        last.filter(|last| last.micros >= plan.published_micros && last.text != text)
    {
        plan.published_micros = last.micros;
        text = write(&plan);
        if text != last.text {
            plan.published_micros += CHANGE_MICROS;
            text = write(&plan);
        }
    }
    periods.last = Some(Published {
        micros: plan.published_micros,
        text: text.clone(),
    });
    Some(text)
}

#[cfg(test)]
mod tests;
