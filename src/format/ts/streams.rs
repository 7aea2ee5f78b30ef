//! Which of a program's streams are taken, and what the others are called.

use super::psi::Stream;
use super::video::Coding;
use crate::media::MediaKind;
use crate::media::codec::opus;

/// What an elementary stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Video(Coding),
    /// AAC with an ADTS header in front of each frame.
    Adts,
    /// AAC in LATM, with its configuration in band.
    Latm,
    /// Opus, with what its descriptor says.
    Opus(opus::Config),
    /// Video or audio that is not taken, by name.
    Other(MediaKind, &'static str),
    /// Neither video nor audio: metadata, subtitles, splice marks.
    Data,
}

impl Content {
    /// Video or audio, when it is taken.
    pub(super) fn taken(&self) -> Option<MediaKind> {
        match self {
            Content::Video(_) => Some(MediaKind::Video),
            Content::Adts | Content::Latm | Content::Opus(_) => Some(MediaKind::Audio),
            Content::Other(..) | Content::Data => None,
        }
    }
}

/// What a stream is, by its type (ISO/IEC 13818-1 table 2-34, ATSC A/53 part 3) and descriptors.
pub(super) fn content(stream: Stream<'_>) -> Content {
    use MediaKind::{Audio, Video};
    match stream.kind {
        0x1B => Content::Video(Coding::Avc),
        0x24 => Content::Video(Coding::Hevc),
        0x0F => Content::Adts,
        0x11 => Content::Latm,
        0x01 => Content::Other(Video, "MPEG-1"),
        0x02 => Content::Other(Video, "MPEG-2"),
        0x10 => Content::Other(Video, "MPEG-4 part 2"),
        0x21 => Content::Other(Video, "JPEG 2000"),
        0x33 => Content::Other(Video, "VVC"),
        0x35 => Content::Other(Video, "EVC"),
        0xD1 => Content::Other(Video, "Dirac"),
        0xEA => Content::Other(Video, "VC-1"),
        0x03 | 0x04 => Content::Other(Audio, "MPEG-1 or MPEG-2 (MP2, MP3)"),
        0x1C => Content::Other(Audio, "AAC without transport syntax"),
        0x2D | 0x2E => Content::Other(Audio, "MPEG-H 3D"),
        0x81 => Content::Other(Audio, "AC-3"),
        0x87 => Content::Other(Audio, "E-AC-3"),
        0x82 | 0x8A => Content::Other(Audio, "DTS"),
        0x06 => private(stream),
        _ => Content::Data,
    }
}

/// PES private data: the descriptors say what it is.
fn private(stream: Stream<'_>) -> Content {
    use MediaKind::{Audio, Video};
    for (tag, body) in stream.descriptors() {
        let content = match (tag, body) {
            // registration_descriptor, ISO/IEC 13818-1 §2.6.8.
            (0x05, [a, b, c, d, ..]) => match &[*a, *b, *c, *d] {
                b"Opus" => opus_content(stream),
                b"HEVC" => Content::Video(Coding::Hevc),
                b"AV01" => Content::Other(Video, "AV1"),
                b"VVC " => Content::Other(Video, "VVC"),
                b"VC-1" => Content::Other(Video, "VC-1"),
                b"AC-3" => Content::Other(Audio, "AC-3"),
                b"EAC3" => Content::Other(Audio, "E-AC-3"),
                b"DTS1" | b"DTS2" | b"DTS3" => Content::Other(Audio, "DTS"),
                b"BSSD" => Content::Other(Audio, "SMPTE 302M"),
                _ => continue,
            },
            // ETSI EN 300 468 annex D: AC-3, enhanced AC-3; annex G: DTS.
            (0x6A, _) => Content::Other(Audio, "AC-3"),
            (0x7A, _) => Content::Other(Audio, "E-AC-3"),
            (0x7B, _) => Content::Other(Audio, "DTS"),
            // Extension descriptors of ETSI EN 300 468: DTS-HD, DTS-UHD, AC-4.
            (0x7F, [0x0E | 0x21, ..]) => Content::Other(Audio, "DTS"),
            (0x7F, [0x15, ..]) => Content::Other(Audio, "AC-4"),
            _ => continue,
        };
        return content;
    }
    Content::Data
}

/// Opus, by the extension descriptor that holds its `channel_config_code` ("Opus in MPEG-TS"); stereo
/// when there is none.
fn opus_content(stream: Stream<'_>) -> Content {
    let code = stream.descriptors().find_map(|found| match found {
        (0x7F, [0x80, code, ..]) => Some(*code),
        _ => None,
    });
    match opus::Config::from_channel_config_code(code.unwrap_or(2)) {
        Ok(config) => Content::Opus(config),
        Err(_) => Content::Other(MediaKind::Audio, "Opus with channels of its own order"),
    }
}

/// What the publisher reads when nothing of a kind can be taken.
pub(super) fn unsupported(kind: MediaKind, name: &str) -> String {
    match kind {
        MediaKind::Video => format!("video codec {name} is not supported: send H.264 or HEVC"),
        MediaKind::Audio => format!("audio codec {name} is not supported: send AAC or Opus"),
    }
}
