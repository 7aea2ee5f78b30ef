//! FLV tag bodies written: what stands before a configuration record or a coded frame, and the metadata of a
//! publish. Legacy H.264 and AAC, which every server takes; HEVC, AV1 and Opus by Enhanced RTMP.
//!
//! Sources: Adobe "Video File Format Specification 10.1" §E.4.2, §E.4.3, §E.5; Veovera "Enhanced RTMP v2"
//! ("ExVideoTagHeader", "ExAudioTagHeader", "Metadata Frame").

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::amf0::{self, Value};
use crate::media::{AccessUnit, CodecConfig, MediaKind, Track};

/// What stands before the payload in a tag body: at most a byte, a FourCC and a composition time.
pub type Head = SmallVec<[u8; 8]>;

/// §E.4.3.1, FrameType: a key frame, then any other.
const KEY_FRAME: u8 = 1;
const INTER_FRAME: u8 = 2;
/// §E.4.3.1, CodecID of AVC.
const AVC: u8 = 7;
/// §E.4.2.1: AAC, 44 kHz, 16 bit, stereo, as it says for every AAC.
const AAC: u8 = 0xaf;
/// "IsExVideoHeader".
const EX_VIDEO: u8 = 0x80;
/// "SoundFormat.ExHeader".
const EX_AUDIO: u8 = 0x90;
/// "PacketType.SequenceStart", of video and audio.
const SEQUENCE_START: u8 = 0;
/// "PacketType.CodedFrames", of video and audio.
const CODED_FRAMES: u8 = 1;
/// "VideoPacketType.CodedFramesX": the composition time is zero and not there.
const CODED_FRAMES_X: u8 = 3;
/// Longest composition time that a tag holds, milliseconds: 24 bits with a sign.
const MAX_COMPOSITION_MS: i64 = 0x7f_ffff;

/// Whether only servers that speak Enhanced RTMP take this codec.
pub fn is_enhanced(config: &CodecConfig) -> bool {
    four_cc(config).is_some()
}

/// The FourCC of a codec that has no number of its own.
pub fn four_cc(config: &CodecConfig) -> Option<&'static str> {
    match config {
        CodecConfig::Avc(_) | CodecConfig::Aac(_) => None,
        CodecConfig::Hevc(_) => Some("hvc1"),
        CodecConfig::Av1(_) => Some("av01"),
        CodecConfig::Opus(_) => Some("Opus"),
    }
}

/// The configuration record for units with NAL lengths of four bytes, whatever its encoder's had.
pub fn record(config: &CodecConfig) -> Bytes {
    // ISO/IEC 14496-15 §5.3.3.1.2 and §8.3.3.1.2: the lower two bits are lengthSizeMinusOne.
    let at = match config {
        CodecConfig::Avc(_) => 4,
        CodecConfig::Hevc(_) => 21,
        CodecConfig::Av1(_) | CodecConfig::Aac(_) | CodecConfig::Opus(_) => {
            return config.record().clone();
        }
    };
    match config.record().get(at) {
        Some(byte) if byte & 3 != 3 => {
            let mut record = BytesMut::from(&config.record()[..]);
            record[at] |= 3;
            record.freeze()
        }
        _ => config.record().clone(),
    }
}

/// What stands before the configuration record.
pub fn config_head(config: &CodecConfig) -> Head {
    match config {
        CodecConfig::Avc(_) => Head::from_slice(&[KEY_FRAME << 4 | AVC, 0, 0, 0, 0]),
        CodecConfig::Hevc(_) => ex(EX_VIDEO | KEY_FRAME << 4 | SEQUENCE_START, b"hvc1"),
        CodecConfig::Av1(_) => ex(EX_VIDEO | KEY_FRAME << 4 | SEQUENCE_START, b"av01"),
        CodecConfig::Aac(_) => Head::from_slice(&[AAC, 0]),
        CodecConfig::Opus(_) => ex(EX_AUDIO | SEQUENCE_START, b"Opus"),
    }
}

/// What stands before a coded frame. `composition_time_ms`: presentation minus decode time.
pub fn frame_head(config: &CodecConfig, unit: &AccessUnit, composition_time_ms: i64) -> Head {
    let frame_type = if unit.key { KEY_FRAME } else { INTER_FRAME } << 4;
    let time = composition_time_ms.clamp(-MAX_COMPOSITION_MS, MAX_COMPOSITION_MS);
    let time = &time.to_be_bytes()[5..];
    match config {
        CodecConfig::Avc(_) => {
            let mut head = Head::from_slice(&[frame_type | AVC, 1]);
            head.extend_from_slice(time);
            head
        }
        CodecConfig::Hevc(_) if composition_time_ms == 0 => {
            ex(EX_VIDEO | frame_type | CODED_FRAMES_X, b"hvc1")
        }
        CodecConfig::Hevc(_) => {
            let mut head = ex(EX_VIDEO | frame_type | CODED_FRAMES, b"hvc1");
            head.extend_from_slice(time);
            head
        }
        CodecConfig::Av1(_) => ex(EX_VIDEO | frame_type | CODED_FRAMES, b"av01"),
        CodecConfig::Aac(_) => Head::from_slice(&[AAC, 1]),
        CodecConfig::Opus(_) => ex(EX_AUDIO | CODED_FRAMES, b"Opus"),
    }
}

/// The body of the data message that opens a publish: what its tracks are.
pub fn metadata(tracks: &[&Track], frame_rate_millis: u32) -> Vec<u8> {
    let mut properties = Vec::new();
    let mut add = |name: &str, value: f64| properties.push((name.to_owned(), value.into()));
    for track in tracks {
        // "Metadata Frame": a codec without a number is told by its FourCC as a number.
        let number = four_cc(&track.config).map(|name| {
            let name: [u8; 4] = name.as_bytes().try_into().expect("a FourCC has four bytes");
            f64::from(u32::from_be_bytes(name))
        });
        match track.kind() {
            MediaKind::Video => {
                if let Some((width, height)) = track.resolution() {
                    add("width", f64::from(width));
                    add("height", f64::from(height));
                }
                if frame_rate_millis > 0 {
                    add("framerate", f64::from(frame_rate_millis) / 1000.0);
                }
                add("videocodecid", number.unwrap_or(f64::from(AVC)));
            }
            MediaKind::Audio => {
                add("audiocodecid", number.unwrap_or(f64::from(AAC >> 4)));
                add(
                    "audiosamplerate",
                    f64::from(track.sample_rate().unwrap_or_default()),
                );
                add("audiosamplesize", 16.0);
                let channels = track.channels().unwrap_or_default();
                add("audiochannels", f64::from(channels));
            }
        }
    }
    if let Some(audio) = tracks.iter().find(|track| track.kind() == MediaKind::Audio) {
        let stereo = audio.channels() == Some(2);
        properties.push(("stereo".to_owned(), Value::Boolean(stereo)));
    }
    properties.push(("encoder".to_owned(), "Forebay".into()));
    amf0::encode(&[
        "@setDataFrame".into(),
        "onMetaData".into(),
        Value::EcmaArray(properties),
    ])
}

fn ex(first: u8, four_cc: &[u8; 4]) -> Head {
    let mut head = Head::from_slice(&[first]);
    head.extend_from_slice(four_cc);
    head
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::{Codec, Tag, parse_audio, parse_video};
    use super::*;
    use crate::format::rtmp::chunk::{Dechunker, MAX_MESSAGE_BYTES};
    use crate::media::codec::{aac, av1, avc, hevc, opus};
    use crate::media::{Ticks, Timescale};

    fn config_of(codec: Codec, record: Bytes) -> CodecConfig {
        match codec {
            Codec::Avc => CodecConfig::Avc(avc::Config::parse(record).unwrap()),
            Codec::Hevc => CodecConfig::Hevc(hevc::Config::parse(record).unwrap()),
            Codec::Av1 => CodecConfig::Av1(av1::Config::parse(record).unwrap()),
            Codec::Aac => CodecConfig::Aac(aac::Config::parse(record).unwrap()),
            Codec::Opus => CodecConfig::Opus(opus::Config::parse(record).unwrap()),
        }
    }

    /// The media messages of a recorded publish.
    fn media(recording: &[u8]) -> Vec<(u8, Bytes)> {
        // C0, C1 and C2.
        let mut buffer = BytesMut::from(&recording[3073..]);
        let mut chunks = Dechunker::new(MAX_MESSAGE_BYTES);
        let messages = std::iter::from_fn(|| chunks.next(&mut buffer).ok().flatten());
        let media = messages.filter(|message| matches!(message.type_id, 8 | 9));
        media
            .map(|message| (message.type_id, message.payload))
            .collect()
    }

    #[test]
    fn tags_of_real_encoders_are_written_as_they_were() {
        for (name, recording, least) in [
            (
                "librtmp",
                &include_bytes!("../../../tests/data/rtmp/librtmp-h264-aac.bin")[..],
                20,
            ),
            (
                "ffmpeg 5",
                include_bytes!("../../../tests/data/rtmp/ffmpeg5-h264-aac.bin"),
                20,
            ),
            (
                "hevc",
                include_bytes!("../../../tests/data/rtmp/ffmpeg9-hevc-aac.bin"),
                20,
            ),
            (
                "av1",
                include_bytes!("../../../tests/data/rtmp/ffmpeg9-av1-opus.bin"),
                20,
            ),
        ] {
            let mut configs: [Option<CodecConfig>; 2] = [None, None];
            let mut written = 0;
            for (type_id, body) in media(recording) {
                let (at, tag) = match type_id {
                    9 => (0, parse_video(&body).unwrap()),
                    _ => (1, parse_audio(&body).unwrap()),
                };
                match tag {
                    Tag::Config {
                        codec,
                        record: data,
                    } => {
                        let config = config_of(codec, data);
                        let again = [&config_head(&config)[..], &record(&config)].concat();
                        assert_eq!(again, body, "{name}");
                        configs[at] = Some(config);
                    }
                    Tag::Frame {
                        key_hint,
                        composition_time_ms,
                        data,
                        ..
                    } => {
                        let config = configs[at].as_ref().unwrap();
                        let unit = AccessUnit {
                            kind: [MediaKind::Video, MediaKind::Audio][at],
                            dts: Ticks::ZERO,
                            pts: Ticks::ZERO,
                            duration: None,
                            key: key_hint,
                            data,
                        };
                        let head = frame_head(config, &unit, composition_time_ms.into());
                        let again = Bytes::from([&head[..], &unit.data].concat());
                        let [a, b] = [&again, &body].map(|body| match type_id {
                            9 => parse_video(body).unwrap(),
                            _ => parse_audio(body).unwrap(),
                        });
                        assert_eq!(a, b, "{name}");
                        written += 1;
                    }
                    Tag::End(_) | Tag::Other => {}
                }
            }
            assert!(written >= least, "{name}: {written}");
        }
    }

    #[test]
    fn composition_times_of_either_sign_read_back_and_huge_ones_are_cut() {
        let record = include_bytes!("../../../tests/data/codec/avc_crop.avcc").as_slice();
        let config = CodecConfig::Avc(avc::Config::parse(Bytes::from_static(record)).unwrap());
        let unit = AccessUnit {
            kind: MediaKind::Video,
            dts: Ticks::ZERO,
            pts: Ticks::ZERO,
            duration: None,
            key: false,
            data: Bytes::from_static(b"picture"),
        };
        for (given, expected) in [
            (0, 0),
            (80, 80),
            (-80, -80),
            (i64::MAX, 0x7f_ffff),
            (i64::MIN, -0x7f_ffff),
        ] {
            let body = [&frame_head(&config, &unit, given)[..], &unit.data].concat();
            let Tag::Frame {
                composition_time_ms,
                ..
            } = parse_video(&body.into()).unwrap()
            else {
                panic!("no frame");
            };
            assert_eq!(composition_time_ms, expected);
        }
        assert_eq!(config.record().len(), super::record(&config).len());
    }

    #[test]
    fn metadata_say_what_the_tracks_are() {
        let audio = Track {
            config: CodecConfig::Aac(aac::Config::new_lc(48_000, 2).unwrap()),
            timescale: Timescale::of(48_000),
        };
        let values = amf0::decode(&metadata(&[&audio], 30_000)).unwrap();
        assert_eq!(values[..2], ["@setDataFrame".into(), "onMetaData".into()]);
        let number = |name| values[2].get(name).and_then(Value::as_number);
        assert_eq!(number("audiocodecid"), Some(10.0));
        assert_eq!(number("audiosamplerate"), Some(48_000.0));
        assert_eq!(number("framerate"), None, "there is no picture");
        assert_eq!(values[2].get("stereo"), Some(&Value::Boolean(true)));
    }
}
