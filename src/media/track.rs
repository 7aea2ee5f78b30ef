//! One elementary stream and its codec configuration.

use bytes::Bytes;

use super::codec::{self, aac, av1, avc, hevc, opus};
use super::time::Timescale;

/// Video or audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// The decoder configuration record of a track, with the facts that manifests need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodecConfig {
    /// H.264 (AVCDecoderConfigurationRecord).
    Avc(avc::Config),
    /// H.265 (HEVCDecoderConfigurationRecord).
    Hevc(hevc::Config),
    /// AV1 (AV1CodecConfigurationRecord).
    Av1(av1::Config),
    /// AAC (AudioSpecificConfig).
    Aac(aac::Config),
    /// Opus (identification header).
    Opus(opus::Config),
}

impl CodecConfig {
    /// The configuration record, as the encoder sent it.
    pub fn record(&self) -> &Bytes {
        match self {
            CodecConfig::Avc(config) => &config.record,
            CodecConfig::Hevc(config) => &config.record,
            CodecConfig::Av1(config) => &config.record,
            CodecConfig::Aac(config) => &config.record,
            CodecConfig::Opus(config) => &config.record,
        }
    }

    /// The number that stands for the codec where records are kept or sent. Files hold it: it never changes.
    pub fn number(&self) -> u8 {
        match self {
            CodecConfig::Avc(_) => 1,
            CodecConfig::Hevc(_) => 2,
            CodecConfig::Av1(_) => 3,
            CodecConfig::Aac(_) => 4,
            CodecConfig::Opus(_) => 5,
        }
    }

    /// Reads the record of the codec of a number; `None` when there is no such codec.
    pub fn of_number(number: u8, record: Bytes) -> Option<Result<CodecConfig, codec::Error>> {
        Some(match number {
            1 => avc::Config::parse(record).map(CodecConfig::Avc),
            2 => hevc::Config::parse(record).map(CodecConfig::Hevc),
            3 => av1::Config::parse(record).map(CodecConfig::Av1),
            4 => aac::Config::parse(record).map(CodecConfig::Aac),
            5 => opus::Config::parse(record).map(CodecConfig::Opus),
            _ => return None,
        })
    }

    /// Whether a unit of this codec is intra coded but no key unit: nobody can begin at it.
    pub fn is_open_intra(&self, data: &[u8]) -> bool {
        match self {
            CodecConfig::Avc(_) => avc::is_open_intra(data),
            CodecConfig::Hevc(_) => hevc::is_open_random_access(data),
            CodecConfig::Av1(_) | CodecConfig::Aac(_) | CodecConfig::Opus(_) => false,
        }
    }
}

/// A value that describes the units which follow. A new configuration record is a new `Track`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// What a decoder needs.
    pub config: CodecConfig,
    /// The unit of the access units' times.
    pub timescale: Timescale,
}

impl Track {
    /// Video or audio.
    pub fn kind(&self) -> MediaKind {
        match self.config {
            CodecConfig::Avc(_) | CodecConfig::Hevc(_) | CodecConfig::Av1(_) => MediaKind::Video,
            CodecConfig::Aac(_) | CodecConfig::Opus(_) => MediaKind::Audio,
        }
    }

    /// The RFC 6381 codec string, such as `avc1.64001f` or `mp4a.40.2`.
    pub fn codec_string(&self) -> String {
        match &self.config {
            CodecConfig::Avc(config) => config.codec_string(),
            CodecConfig::Hevc(config) => config.codec_string(),
            CodecConfig::Av1(config) => config.codec_string(),
            CodecConfig::Aac(config) => config.codec_string(),
            CodecConfig::Opus(_) => "opus".to_owned(),
        }
    }

    /// Width and height in pixels as displayed after cropping; `None` for audio.
    pub fn resolution(&self) -> Option<(u32, u32)> {
        match &self.config {
            CodecConfig::Avc(config) => Some((config.width, config.height)),
            CodecConfig::Hevc(config) => Some((config.width, config.height)),
            CodecConfig::Av1(config) => Some((config.width, config.height)),
            CodecConfig::Aac(_) | CodecConfig::Opus(_) => None,
        }
    }

    /// Frame rate x 1000 as the codec configuration states it, if it does.
    pub fn frame_rate_millis(&self) -> Option<u32> {
        match &self.config {
            CodecConfig::Avc(config) => config.frame_rate_millis,
            CodecConfig::Hevc(config) => config.frame_rate_millis,
            CodecConfig::Av1(config) => config.frame_rate_millis,
            CodecConfig::Aac(_) | CodecConfig::Opus(_) => None,
        }
    }

    /// Bits per sample of a video, and the name of its chroma format where that is not 4:2:0.
    pub fn samples(&self) -> (u8, Option<&'static str>) {
        let named = |format| match format {
            2 => Some("4:2:2"),
            3 => Some("4:4:4"),
            _ => None,
        };
        match &self.config {
            CodecConfig::Avc(config) => (config.bit_depth, named(config.chroma_format)),
            CodecConfig::Hevc(config) => (config.bit_depth, named(config.chroma_format)),
            CodecConfig::Av1(config) => {
                let format = match (config.monochrome, config.subsampling) {
                    (false, (false, false)) => 3,
                    (false, (true, false)) => 2,
                    _ => 1,
                };
                (config.bit_depth, named(format))
            }
            CodecConfig::Aac(_) | CodecConfig::Opus(_) => (8, None),
        }
    }

    /// Whether browsers decode samples like these: 4:2:0 of eight bits, and of ten in HEVC and AV1, whose
    /// main profiles have them.
    pub fn has_common_samples(&self) -> bool {
        let most = match self.config {
            CodecConfig::Avc(_) => 8,
            _ => 10,
        };
        let (bits, chroma) = self.samples();
        bits <= most && chroma.is_none()
    }

    /// Samples per second of the decoder's output; `None` for video.
    pub fn sample_rate(&self) -> Option<u32> {
        match &self.config {
            CodecConfig::Aac(config) => Some(config.sample_rate),
            CodecConfig::Opus(_) => Some(48_000),
            CodecConfig::Avc(_) | CodecConfig::Hevc(_) | CodecConfig::Av1(_) => None,
        }
    }

    /// Audio channels; `None` for video.
    pub fn channels(&self) -> Option<u8> {
        match &self.config {
            CodecConfig::Aac(config) => Some(config.channels),
            CodecConfig::Opus(config) => Some(config.channels),
            CodecConfig::Avc(_) | CodecConfig::Hevc(_) | CodecConfig::Av1(_) => None,
        }
    }
}
