//! What a player can be served: segments, parts, and the port through which `origin` reads them.
//!
//! `package` implements [`Timeline`] for live streams, `playout` for scheduled ones.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::rendition::{Rendition, RenditionId};
use super::time::{Ticks, Timescale};
use super::track::Track;
use crate::base::clock::Wall;

/// An initialisation segment (ftyp + moov). Its name carries a hash of its bytes, so that a URL
/// never changes its meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Init {
    /// File name below the rendition's folder, such as `init-5f1c02aa.mp4`.
    pub name: String,
    /// The bytes.
    pub bytes: Bytes,
    /// What they describe.
    pub track: Arc<Track>,
}

/// One CMAF fragment: an LL-HLS part and a DASH chunk at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Running number within the rendition, never reset: the part's URL is `p{number}.m4s`, so the
    /// next part's URL is known even when it is not known whose segment's it will be.
    pub number: u64,
    /// Where its media are shown from, in the rendition's timescale, since the stream's epoch: the decode
    /// time of the first sample, except right after a hole.
    pub start: Ticks,
    /// In the rendition's timescale.
    pub duration: Ticks,
    /// Whether decoding can start at the first sample.
    pub independent: bool,
    /// moof and mdat in one piece; empty when the part is a gap, [`STORED`] when they are to be read from a
    /// storage.
    pub bytes: Bytes,
}

/// Stands for bytes that are not in memory.
pub const STORED: Bytes = Bytes::from_static(b"stored");

/// One media segment, finished or growing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Media sequence number, equal for the same content in every rendition. URL: `{sequence}.m4s`.
    pub sequence: u64,
    /// Its earliest presentation time, in the rendition's timescale: the decode time of the first sample,
    /// except right after a hole.
    pub start: Ticks,
    /// In the rendition's timescale, up to the next segment also where media are missing at the end; of a
    /// growing segment, what its parts add up to.
    pub duration: Ticks,
    /// Whether EXT-X-DISCONTINUITY stands before it.
    pub discontinuity: bool,
    /// Its own discontinuity number (the playlist's EXT-X-DISCONTINUITY-SEQUENCE plus the tags up to
    /// and including its own).
    pub discontinuity_sequence: u64,
    /// Whether there is no media: EXT-X-GAP.
    pub gap: bool,
    /// Whether decoding can start at its first sample.
    pub independent: bool,
    /// Whether no part will be added.
    pub complete: bool,
    /// What must be loaded before it.
    pub init: Arc<Init>,
    /// In order. The segment's bytes are these, one after another.
    pub parts: Vec<Arc<Part>>,
    /// Wall-clock point of `start`.
    pub program_date_time: Wall,
}

impl Segment {
    /// Size in bytes.
    pub fn size(&self) -> usize {
        self.parts.iter().map(|part| part.bytes.len()).sum()
    }
}

/// What all playlists of a stream have in common, fixed before the first one is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Wall-clock point of media time zero: PROGRAM-DATE-TIME and availabilityStartTime count from it.
    pub epoch: Wall,
    /// EXT-X-TARGETDURATION, whole seconds.
    pub target_duration_s: u32,
    /// PART-TARGET; zero where there are no parts, which is in a recording.
    pub part_target: Duration,
    /// PART-HOLD-BACK: at least three times the part target.
    pub part_hold_back: Duration,
    /// HOLD-BACK: at least three times the target duration.
    pub hold_back: Duration,
    /// CAN-SKIP-UNTIL: at least six times the target duration.
    pub can_skip_until: Duration,
    /// The segment target, on whose grid segments lie when the ladder is on.
    pub segment_target: Duration,
    /// Length of the live window.
    pub window: Duration,
    /// Whether every segment starts with a key unit (EXT-X-INDEPENDENT-SEGMENTS).
    pub independent_segments: bool,
}

impl Rules {
    /// Whether the timeline is a recording: all of it is listed, nothing comes and nothing goes.
    pub fn is_recording(&self) -> bool {
        self.part_target.is_zero()
    }
}

/// What a multivariant playlist or an MPD lists.
#[derive(Clone, Debug)]
pub struct Description {
    /// Rises whenever the description changes.
    pub version: u64,
    /// What the playlists have in common.
    pub rules: Rules,
    /// Video renditions, best first.
    pub video: Vec<Arc<Rendition>>,
    /// Audio renditions, default first. A playlist without video is made of these.
    pub audio: Vec<Arc<Rendition>>,
    /// Those of them that get no media any more and are in the window still: players that come are not
    /// told of them, and what an MPD has told of them stays.
    pub leaving: Vec<RenditionId>,
    /// Whether the stream has ended.
    pub ended: bool,
}

/// The state of one rendition at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Rises by at least one whenever a part, a segment or the end is published.
    pub version: u64,
    /// The rendition.
    pub rendition: Arc<Rendition>,
    /// What the playlists have in common.
    pub rules: Rules,
    /// Oldest first; only the last may be growing (`complete == false`), or a gap whose end is not known
    /// yet, which playlists do not list.
    pub segments: Vec<Arc<Segment>>,
    /// Number that the next part will have, and so its URL.
    pub next_part: u64,
    /// The same for the other renditions: name, last media sequence, index of its last part.
    pub reports: Vec<Report>,
    /// Whether nothing will be added: EXT-X-ENDLIST.
    pub ended: bool,
    /// Whether the process stops: what follows is of another one, which numbers its parts anew.
    pub stopped: bool,
    /// Where segments lie by a schedule, what it says of these.
    pub scheduled: Option<Scheduled>,
}

/// What a schedule says of a snapshot beyond its segments, so that whoever comes later, or to another
/// process, tells the same of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// Length that the growing segment will have, in the rendition's timescale.
    pub running: Option<Ticks>,
    /// Sequence and start of the segment at which the oldest listed one's discontinuity number began.
    pub opened: (u64, Ticks),
}

impl Snapshot {
    /// The rendition's timescale.
    pub fn timescale(&self) -> Timescale {
        self.rendition.track.timescale
    }
}

/// How far a rendition has got, for EXT-X-RENDITION-REPORT and blocking reloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Folder name of the rendition.
    pub name: Arc<str>,
    /// Media sequence of the last listed segment, growing ones included.
    pub last_sequence: u64,
    /// Index within that segment of its last listed part; `None` when it has none yet.
    pub last_part: Option<u32>,
}

/// How far one rendition has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Rises whenever something is published.
    pub version: u64,
    /// Media sequence of the last listed segment.
    pub last_sequence: u64,
    /// Whether that segment is complete.
    pub last_complete: bool,
    /// Number of parts listed in that segment.
    pub last_parts: u32,
    /// Number of the next part.
    pub next_part: u64,
    /// Whether any complete segment with media is listed.
    pub begun: bool,
    /// Whether nothing will be added.
    pub ended: bool,
}

impl Progress {
    /// Whether a playlist made now contains part `part` of segment `sequence`, or, without a part,
    /// the whole segment. A part index past the segment's last is part 0 of the next
    /// (RFC 8216bis §6.2.5.2); the first part of a segment that turned out to be a gap is answered with
    /// the gap.
    pub fn contains(&self, sequence: u64, part: Option<u32>) -> bool {
        match part {
            _ if self.last_sequence > sequence => true,
            _ if self.last_sequence < sequence => false,
            None => self.last_complete,
            Some(0) if self.last_complete && self.last_parts == 0 => true,
            Some(part) => self.last_parts > part,
        }
    }
}

/// What a media URL names below a rendition's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// `init-{hash}.mp4`
    Init(&'a str),
    /// `{sequence}.m4s`
    Segment(u64),
    /// `p{number}.m4s`
    Part(u64),
}

/// What is known of a resource.
#[derive(Clone, Debug)]
pub enum Found {
    /// All its bytes, in pieces to be sent one after another.
    Whole(Vec<Bytes>),
    /// All of it, in a storage: to be read while it is sent.
    Stored(Arc<dyn Stored>),
    /// A segment that grows: its parts so far. More come until a later look-up answers `Whole`.
    Growing(Vec<Bytes>),
    /// A segment that grows in a storage: what of it can be read so far. More comes until a later look-up
    /// answers `Stored`, of which that is the beginning.
    GrowingStored(Arc<dyn Stored>),
    /// It is announced (the hinted part, the next segment) but has no byte yet.
    Announced,
    /// It is not known, or no longer.
    Missing,
}

/// What a storage is asked, without a runtime.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = std::io::Result<T>> + Send + 'a>>;

/// Media that lie in a storage.
pub trait Stored: Send + Sync + fmt::Debug {
    /// Opens them; `None` when they do not exist, or no longer. What is open can be read to its end,
    /// whatever is deleted meanwhile.
    fn open(&self) -> Asked<'_, Option<Arc<dyn Blob>>>;
}

/// Open media.
pub trait Blob: Send + Sync {
    /// Bytes in all.
    fn size(&self) -> u64;

    /// Some bytes from `from` on, at least one where there are any and as many as are at hand without
    /// holding much in memory.
    fn read(&self, from: u64) -> Asked<'_, Bytes>;
}

/// A future without a runtime, so that this layer needs none.
pub type Wait<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// The port through which streams are served.
pub trait Timeline: Send + Sync {
    /// The renditions; `None` until the first multivariant playlist is decided.
    fn description(&self) -> Option<Arc<Description>>;

    /// One rendition's state now; `None` when it is unknown or has nothing to list yet.
    fn snapshot(&self, rendition: &str) -> Option<Arc<Snapshot>>;

    /// How far a rendition has got. Cheaper than a snapshot.
    fn progress(&self, rendition: &str) -> Option<Progress>;

    /// The bytes of a resource.
    fn find(&self, rendition: &str, resource: Resource<'_>) -> Found;

    /// Resolves when the rendition's version is no longer `seen`, or the stream is gone. An unknown
    /// rendition name waits for the description to change (`seen` is then its version, 0 for none).
    fn changed<'a>(&'a self, rendition: &'a str, seen: u64) -> Wait<'a>;
}
