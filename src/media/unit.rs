//! The smallest timed piece of a track, and the mark that opens a segment.

use bytes::Bytes;

use super::time::Ticks;
use super::track::MediaKind;

/// One coded picture or one audio frame, in decode order.
///
/// Video payloads are length-prefixed NAL units (4 bytes) for H.264 and HEVC, low-overhead OBUs for
/// AV1; audio payloads are raw AAC frames or Opus packets, as ISO/IEC 14496-15 and 14496-12 store them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// Which of the publisher's tracks this belongs to.
    pub kind: MediaKind,
    /// Decode time, in the track's timescale.
    pub dts: Ticks,
    /// Presentation time, in the track's timescale.
    pub pts: Ticks,
    /// How long it is shown, when that is known without the next unit (audio frames, CFR video).
    pub duration: Option<Ticks>,
    /// Whether decoding can start here: an IDR or IRAP without leading pictures, an AV1 key frame;
    /// always true for audio.
    pub key: bool,
    /// The payload.
    pub data: Bytes,
}

/// Where a segment begins: decided by the program, equal in every rendition of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boundary {
    /// Media sequence number of the segment that this opens.
    pub sequence: u64,
    /// Channel time (presentation, 90 kHz since the stream's epoch) of the segment's first picture.
    pub time: Ticks,
    /// Whether time, tracks or codec configuration are discontinuous with what came before.
    pub discontinuity: bool,
    /// Discontinuities before the end of this mark, itself included (HLS discontinuity sequence).
    pub discontinuity_sequence: u64,
    /// Whether the segment begins with a key unit of the source. False only where a GOP is longer
    /// than the longest segment allowed.
    pub independent: bool,
}
