//! FLV tags, which are also the payloads of RTMP's audio and video messages. In: the bytes of one tag
//! body. Out: a configuration record or one coded frame, as slices of these bytes. Legacy H.264 and
//! AAC, and Enhanced RTMP v1 and v2. Not here: chunks, timestamps, what the records mean.
//!
//! Sources: Adobe "Video File Format Specification 10.1" annex E.4 (legacy), Veovera "Enhanced RTMP
//! v2" ("ExVideoTagHeader", "ExAudioTagHeader").

pub mod amf0;
pub mod tags;
pub mod write;

use bytes::Bytes;

/// The codecs that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264: legacy codec id 7, or FourCC `avc1`.
    Avc,
    /// H.265: FourCC `hvc1`.
    Hevc,
    /// AV1: FourCC `av01`.
    Av1,
    /// AAC: legacy sound format 10, or FourCC `mp4a`.
    Aac,
    /// Opus: FourCC `Opus`.
    Opus,
}

/// What a tag body holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag {
    /// The decoder configuration record, without any framing.
    Config {
        /// Whose record it is.
        codec: Codec,
        /// AVCDecoderConfigurationRecord, HEVCDecoderConfigurationRecord, AV1CodecConfigurationRecord,
        /// AudioSpecificConfig, or the Opus identification header.
        record: Bytes,
    },
    /// One coded picture or audio frame. Never empty.
    Frame {
        /// How it is coded.
        codec: Codec,
        /// What the tag claims; encoders flag open-GOP pictures too, so it decides nothing.
        key_hint: bool,
        /// Presentation time minus decode time, milliseconds. Zero for audio.
        composition_time_ms: i32,
        /// The payload.
        data: Bytes,
    },
    /// The coded sequence is over; another one may follow.
    End(Codec),
    /// HDR metadata and the like (Enhanced RTMP "VideoPacketType.Metadata"), a seek command, a
    /// channel map, or an empty tag: nothing that changes what is coded.
    Other,
}

/// Why a tag is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The tag ends inside its header.
    #[error("{kind} tag of {size} bytes ends inside its header")]
    Truncated {
        /// `video` or `audio`.
        kind: &'static str,
        /// Size of the tag body.
        size: usize,
    },
    /// A codec that this gateway does not take, by its name.
    #[error("{kind} codec {name} is not supported")]
    Codec {
        /// `video` or `audio`.
        kind: &'static str,
        /// Name or FourCC.
        name: String,
    },
    /// Several tracks in one message.
    #[error("{kind} multitrack is not supported: send one {kind} track")]
    Multitrack {
        /// `video` or `audio`.
        kind: &'static str,
    },
    /// A packet type that has no meaning for the codec.
    #[error("{kind} packet type {packet_type} is not supported")]
    PacketType {
        /// `video` or `audio`.
        kind: &'static str,
        /// The value found.
        packet_type: u8,
    },
}

impl Error {
    /// Whether the publisher uses something that it cannot use here, so that going on is useless.
    /// A broken tag is no such thing: it is dropped.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Error::Codec { .. } | Error::Multitrack { .. })
    }
}

/// Reads the body of a video tag.
pub fn parse_video(body: &Bytes) -> Result<Tag, Error> {
    let mut reader = Reader {
        body,
        at: 0,
        kind: "video",
    };
    if body.is_empty() {
        return Ok(Tag::Other);
    }
    let first = reader.byte()?;
    let frame_type = (first >> 4) & 0x07;
    let key_hint = frame_type == 1;
    if first & 0x80 != 0 {
        return reader.enhanced_video(first & 0x0f, frame_type);
    }
    // E.4.3.1: frame type 5 is a command to the player, no picture.
    if frame_type == 5 {
        return Ok(Tag::Other);
    }
    if first & 0x0f != 7 {
        return Err(Error::Codec {
            kind: "video",
            name: legacy_video_name(first & 0x0f),
        });
    }
    let packet_type = reader.byte()?;
    let composition_time_ms = reader.signed_24()?;
    Ok(match packet_type {
        0 => reader.config(Codec::Avc),
        1 => reader.frame(Codec::Avc, key_hint, composition_time_ms),
        2 => Tag::End(Codec::Avc),
        _ => {
            return Err(Error::PacketType {
                kind: "video",
                packet_type,
            });
        }
    })
}

/// Reads the body of an audio tag.
pub fn parse_audio(body: &Bytes) -> Result<Tag, Error> {
    let mut reader = Reader {
        body,
        at: 0,
        kind: "audio",
    };
    if body.is_empty() {
        return Ok(Tag::Other);
    }
    let first = reader.byte()?;
    match first >> 4 {
        // "SoundFormat.ExHeader"
        9 => reader.enhanced_audio(first & 0x0f),
        10 => {
            // E.4.2.1, AACPacketType
            let packet_type = reader.byte()?;
            match packet_type {
                0 => Ok(reader.config(Codec::Aac)),
                1 => Ok(reader.frame(Codec::Aac, true, 0)),
                _ => Err(Error::PacketType {
                    kind: "audio",
                    packet_type,
                }),
            }
        }
        format => Err(Error::Codec {
            kind: "audio",
            name: legacy_audio_name(format),
        }),
    }
}

struct Reader<'a> {
    body: &'a Bytes,
    at: usize,
    kind: &'static str,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let found = self.body.get(self.at..self.at + N);
        let found = found.and_then(|bytes| bytes.try_into().ok());
        let found = found.ok_or(Error::Truncated {
            kind: self.kind,
            size: self.body.len(),
        })?;
        self.at += N;
        Ok(found)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn signed_24(&mut self) -> Result<i32, Error> {
        let [a, b, c] = self.take()?;
        Ok(i32::from_be_bytes([a, b, c, 0]) >> 8)
    }

    fn rest(&self) -> Bytes {
        self.body.slice(self.at..)
    }

    fn config(&self, codec: Codec) -> Tag {
        match self.rest() {
            record if record.is_empty() => Tag::Other,
            record => Tag::Config { codec, record },
        }
    }

    fn frame(&self, codec: Codec, key_hint: bool, composition_time_ms: i32) -> Tag {
        match self.rest() {
            data if data.is_empty() => Tag::Other,
            data => Tag::Frame {
                codec,
                key_hint,
                composition_time_ms,
                data,
            },
        }
    }

    /// "ModEx": modifiers before the real packet type, such as nanoseconds of the timestamp, which a
    /// gateway that counts in milliseconds may pass over. Each one takes bytes, so the loop ends.
    fn after_modifiers(&mut self, mut packet_type: u8) -> Result<u8, Error> {
        while packet_type == PACKET_MOD_EX {
            let mut size = usize::from(self.byte()?) + 1;
            if size == 256 {
                size = usize::from(u16::from_be_bytes(self.take()?)) + 1;
            }
            if self.body.len() - self.at < size {
                return Err(Error::Truncated {
                    kind: self.kind,
                    size: self.body.len(),
                });
            }
            self.at += size;
            // The upper four bits name the modifier.
            packet_type = self.byte()? & 0x0f;
        }
        Ok(packet_type)
    }

    fn enhanced_video(&mut self, packet_type: u8, frame_type: u8) -> Result<Tag, Error> {
        let packet_type = self.after_modifiers(packet_type)?;
        // "VideoFrameType.Command" carries a UI8 and no picture.
        if packet_type == PACKET_METADATA || frame_type == 5 {
            return Ok(Tag::Other);
        }
        if packet_type == PACKET_MULTITRACK_VIDEO {
            return Err(Error::Multitrack { kind: "video" });
        }
        let codec = match &self.take::<4>()? {
            b"avc1" => Codec::Avc,
            b"hvc1" => Codec::Hevc,
            b"av01" => Codec::Av1,
            fourcc => return Err(self.unknown(fourcc)),
        };
        let key_hint = frame_type == 1;
        Ok(match packet_type {
            0 => self.config(codec),
            // "CodedFrames": only avc1, hvc1 and vvc1 have a composition time.
            1 if codec != Codec::Av1 => {
                let composition_time_ms = self.signed_24()?;
                self.frame(codec, key_hint, composition_time_ms)
            }
            // "CodedFramesX": the composition time is zero and not there.
            1 | 3 => self.frame(codec, key_hint, 0),
            2 => Tag::End(codec),
            packet_type => {
                return Err(Error::PacketType {
                    kind: "video",
                    packet_type,
                });
            }
        })
    }

    fn enhanced_audio(&mut self, packet_type: u8) -> Result<Tag, Error> {
        let packet_type = self.after_modifiers(packet_type)?;
        match packet_type {
            PACKET_MULTICHANNEL_CONFIG => return Ok(Tag::Other),
            PACKET_MULTITRACK_AUDIO => return Err(Error::Multitrack { kind: "audio" }),
            _ => {}
        }
        let codec = match &self.take::<4>()? {
            b"mp4a" => Codec::Aac,
            b"Opus" => Codec::Opus,
            fourcc => return Err(self.unknown(fourcc)),
        };
        Ok(match packet_type {
            0 => self.config(codec),
            1 => self.frame(codec, true, 0),
            2 => Tag::End(codec),
            packet_type => {
                return Err(Error::PacketType {
                    kind: "audio",
                    packet_type,
                });
            }
        })
    }

    fn unknown(&self, fourcc: &[u8]) -> Error {
        Error::Codec {
            kind: self.kind,
            name: fourcc.escape_ascii().to_string(),
        }
    }
}

/// "VideoPacketType.Metadata"
const PACKET_METADATA: u8 = 4;
/// "AudioPacketType.MultichannelConfig"
const PACKET_MULTICHANNEL_CONFIG: u8 = 4;
/// "AudioPacketType.Multitrack"
const PACKET_MULTITRACK_AUDIO: u8 = 5;
/// "VideoPacketType.Multitrack"
const PACKET_MULTITRACK_VIDEO: u8 = 6;
/// "VideoPacketType.ModEx", "AudioPacketType.ModEx"
const PACKET_MOD_EX: u8 = 7;

/// E.4.3.1, CodecID
fn legacy_video_name(id: u8) -> String {
    match id {
        2 => "Sorenson H.263".to_owned(),
        3 => "Screen video".to_owned(),
        4 | 5 => "On2 VP6".to_owned(),
        6 => "Screen video 2".to_owned(),
        // Not in any specification; some encoders send H.265 so.
        12 => "H.265 as codec id 12 (use Enhanced RTMP, hvc1)".to_owned(),
        id => format!("id {id}"),
    }
}

/// E.4.2.1, SoundFormat
fn legacy_audio_name(format: u8) -> String {
    match format {
        0 | 3 => "linear PCM".to_owned(),
        1 => "ADPCM".to_owned(),
        2 | 14 => "MP3".to_owned(),
        4..=6 => "Nellymoser".to_owned(),
        7 | 8 => "G.711".to_owned(),
        11 => "Speex".to_owned(),
        format => format!("id {format}"),
    }
}

#[cfg(test)]
mod tests;
