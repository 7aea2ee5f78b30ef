//! H.265: HEVCDecoderConfigurationRecord, SPS, key units.

use bytes::Bytes;

/// HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 §8.3.3) and what its SPS says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The record as received.
    pub record: Bytes,
    /// Pixels after cropping.
    pub width: u32,
    /// Pixels after cropping.
    pub height: u32,
    /// Frames per second x 1000 from VUI timing.
    pub frame_rate_millis: Option<u32>,
}

impl Config {
    /// `hvc1.…`.
    pub fn codec_string(&self) -> String {
        String::new()
    }
}
