//! A run of FLV tags with their headers: the body of an RTMP aggregate message, or of an FLV file.
//!
//! Source: Adobe "Video File Format Specification 10.1" §E.4.1; RTMP 1.0 §7.1.6 (aggregate message).

use bytes::Bytes;

/// Size of a tag header.
const HEADER_BYTES: usize = 11;
/// Size of the back pointer after each tag.
const BACK_POINTER_BYTES: usize = 4;

/// One tag of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawTag {
    /// 8 audio, 9 video, 18 script data.
    pub kind: u8,
    /// Milliseconds, modulo 2^32.
    pub timestamp_ms: u32,
    /// The body, for [`super::parse_video`] or [`super::parse_audio`].
    pub body: Bytes,
}

/// Iterates over the tags of a run; ends at the first one that is not whole.
#[derive(Clone, Debug)]
pub struct Tags(Bytes);

impl Tags {
    /// The tags of `run`, which begins with a tag header.
    pub fn new(run: Bytes) -> Tags {
        Tags(run)
    }
}

impl Iterator for Tags {
    type Item = RawTag;

    fn next(&mut self) -> Option<RawTag> {
        let header: [u8; HEADER_BYTES] = self.0.get(..HEADER_BYTES)?.try_into().ok()?;
        let [kind, s2, s1, s0, t2, t1, t0, t3, ..] = header;
        let size = usize::try_from(u32::from_be_bytes([0, s2, s1, s0])).ok()?;
        if self.0.len() < HEADER_BYTES + size {
            return None;
        }
        let mut body = self.0.split_to(HEADER_BYTES + size);
        let body = body.split_off(HEADER_BYTES);
        let _ = self.0.split_to(BACK_POINTER_BYTES.min(self.0.len()));
        Some(RawTag {
            // The upper bits are reserved and the encryption flag.
            kind: kind & 0x1f,
            timestamp_ms: u32::from_be_bytes([t3, t2, t1, t0]),
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_by_their_sizes_and_a_cut_one_ends_the_run() {
        let mut run = vec![9, 0, 0, 2, 0x02, 0x03, 0x04, 0x01, 0, 0, 0, 0xaa, 0xbb];
        run.extend([0, 0, 0, 13]);
        run.extend([8, 0, 0, 1, 0, 0, 5, 0, 0, 0, 0, 0xcc]);
        let all: Vec<_> = Tags::new(Bytes::from(run.clone())).collect();
        let video = RawTag {
            kind: 9,
            timestamp_ms: 0x0102_0304,
            body: Bytes::from_static(&[0xaa, 0xbb]),
        };
        let audio = RawTag {
            kind: 8,
            timestamp_ms: 5,
            body: Bytes::from_static(&[0xcc]),
        };
        assert_eq!(all, [video.clone(), audio]);
        run.pop();
        assert_eq!(Tags::new(Bytes::from(run)).collect::<Vec<_>>(), [video]);
    }
}
