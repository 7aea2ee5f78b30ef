//! AAC: AudioSpecificConfig.

use bytes::Bytes;

/// AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1) and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The record as received.
    pub record: Bytes,
    /// Samples per second of the decoder's output (the extension rate for explicit SBR).
    pub sample_rate: u32,
    /// Channels.
    pub channels: u8,
    /// Samples per frame at `sample_rate`: 1024, 960, or twice that with SBR.
    pub frame_samples: u32,
    /// Audio object type: 2 is AAC-LC, 5 HE-AAC.
    pub object_type: u8,
}

impl Config {
    /// `mp4a.40.N`.
    pub fn codec_string(&self) -> String {
        format!("mp4a.40.{}", self.object_type)
    }
}
