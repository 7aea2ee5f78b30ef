//! AV1: AV1CodecConfigurationRecord, sequence header, key units.

use bytes::Bytes;

/// AV1CodecConfigurationRecord and what its sequence header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The record as received.
    pub record: Bytes,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

impl Config {
    /// `av01.P.LLT.DD`.
    pub fn codec_string(&self) -> String {
        String::new()
    }
}
