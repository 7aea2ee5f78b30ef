//! What bridge and worker say to each other over their socket pair. Sans-IO.
//!
//! Every message is a big-endian u32 length of what follows, one type byte, and its fields. Both
//! ends are the same binary, so there is no version; lengths are checked all the same, because a
//! worker that decodes foreign media is the process most likely to go mad.

mod setup;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

pub use self::setup::{Colour, Frames, Setup, Slate};

use super::ladder::AudioRung;
use crate::hub::Filler;
use crate::media::{CodecConfig, MediaKind, Ticks, Timescale, Track};

/// Longest message, in bytes: a key unit of 8K intra video has a few megabytes.
pub const MAX_MESSAGE: usize = 32 << 20;
/// Bytes before the body: its length.
pub const PREFIX: usize = 4;

/// One source unit, in channel time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Video in 90 kHz, audio in its sample rate.
    pub kind: MediaKind,
    /// Whether decoding can start here.
    pub key: bool,
    /// Decode time.
    pub dts: Ticks,
    /// Presentation time.
    pub pts: Ticks,
    /// Presentation time, 90 kHz, of the boundary that this unit opens.
    pub boundary: Option<Ticks>,
    /// The payload.
    pub data: Bytes,
}

/// What the worker counts. All since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Pictures that went to the encoders.
    pub frames: u64,
    /// Pictures left out: before the first boundary, or with a time that was passed already.
    pub skipped_frames: u64,
    /// Boundaries that a rung opened late, because its encoder had not given anything yet.
    pub late_boundaries: u64,
    /// Audio samples of silence put in.
    pub silence_samples: u64,
    /// Audio samples left out.
    pub skipped_samples: u64,
}

/// A message in either direction.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// To the worker, first: what to make.
    Setup(Box<Setup>),
    /// To the worker: units of this track follow.
    Track(Box<Track>),
    /// To the worker: one unit.
    Unit(Unit),
    /// To the worker: nothing came in time, pictures are to be repeated. See [`crate::hub::Event`].
    Hold {
        /// Channel time, 90 kHz, exclusive.
        until: Ticks,
        /// Presentation time, 90 kHz, of the boundary that opens in it.
        boundary: Option<Ticks>,
        /// What is shown.
        filler: Filler,
    },
    /// To the worker: what follows does not connect.
    Break,
    /// To the worker: audio encodings for sound that came after [`Message::Setup`], which had none.
    Sound(Vec<AudioRung>),
    /// To the worker: make nothing of this encoding any more.
    Shed {
        /// Number of the encoding.
        index: u8,
    },
    /// To the worker: make a key unit of this encoding soon, wherever segments begin.
    KeyUnit {
        /// Number of the encoding.
        index: u8,
    },
    /// To the worker: give out what is left, then [`Message::Finished`].
    End,
    /// To the bridge: the configuration of an encoding, before its first unit.
    RungTrack {
        /// Number of the encoding.
        index: u8,
        /// Its configuration.
        track: Box<Track>,
    },
    /// To the bridge: one unit of an encoding; decode time is presentation time.
    RungUnit {
        /// Number of the encoding.
        index: u8,
        /// Whether decoding can start here.
        key: bool,
        /// Presentation time: video 90 kHz, audio its sample rate.
        pts: Ticks,
        /// Duration, for audio.
        duration: Option<Ticks>,
        /// The payload.
        data: Bytes,
    },
    /// To the bridge: what the first picture pinned, for [`Setup::colour`].
    Colour(Colour),
    /// To the bridge: something is wrong that the worker can do without.
    Warning(String),
    /// To the bridge: a JPEG picture.
    Thumbnail(Bytes),
    /// To the bridge, about once a second of media.
    Statistics(Counters),
    /// To the bridge, last: the worker cannot go on.
    Failed {
        /// Element that failed or is missing.
        element: String,
        /// Package that holds it, when it is missing.
        package: Option<String>,
        /// What it said.
        text: String,
    },
    /// To the bridge, last: everything was given out.
    Finished,
}

/// Why a message cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A configuration record that cannot be read.
    #[error("codec configuration: {0}")]
    Config(#[from] crate::media::codec::Error),
    /// The length is beyond [`MAX_MESSAGE`] or zero.
    #[error("message length {0}")]
    Length(usize),
    /// The type byte or an enumerated field is unknown.
    #[error("{field} is {value}")]
    Unknown {
        /// Which field.
        field: &'static str,
        /// The value found.
        value: u32,
    },
    /// The message ends early.
    #[error("message type {kind} ends early")]
    Short {
        /// The type byte.
        kind: u8,
    },
    /// A structured part does not parse.
    #[error("{0}")]
    Json(String),
}

const SETUP: u8 = 1;
const TRACK: u8 = 2;
const UNIT: u8 = 3;
const BREAK: u8 = 4;
const END: u8 = 5;
const SOUND: u8 = 6;
const HOLD: u8 = 7;
const SHED: u8 = 8;
const KEY_UNIT: u8 = 9;
const RUNG_TRACK: u8 = 16;
const RUNG_UNIT: u8 = 17;
const THUMBNAIL: u8 = 18;
const STATISTICS: u8 = 19;
const FAILED: u8 = 20;
const FINISHED: u8 = 21;
const COLOUR: u8 = 22;
const WARNING: u8 = 23;

const FLAG_KEY: u8 = 1;
const FLAG_BOUNDARY: u8 = 2;
const FLAG_AUDIO: u8 = 4;
const FLAG_SLATE: u8 = 8;

/// A message as it goes onto the socket: a head, then a payload that is not copied.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Length, type and fields.
    pub head: Bytes,
    /// The rest of the body; may be empty.
    pub payload: Bytes,
}

/// The length of the body that follows a prefix.
pub fn body_length(prefix: [u8; PREFIX]) -> Result<usize, Malformed> {
    let length = u32::from_be_bytes(prefix) as usize;
    if length == 0 || length > MAX_MESSAGE {
        return Err(Malformed::Length(length));
    }
    Ok(length)
}

impl Message {
    /// Writes the message.
    pub fn encode(self) -> Result<Frame, Malformed> {
        let mut head = BytesMut::with_capacity(64);
        head.put_u32(0);
        let mut payload = Bytes::new();
        match self {
            Message::Setup(setup) => {
                head.put_u8(SETUP);
                payload = json(&setup)?;
            }
            Message::Track(track) => {
                head.put_u8(TRACK);
                payload = put_track(&mut head, &track);
            }
            Message::Unit(unit) => {
                head.put_u8(UNIT);
                let mut flags = if unit.key { FLAG_KEY } else { 0 };
                flags |= unit.boundary.map_or(0, |_| FLAG_BOUNDARY);
                if unit.kind == MediaKind::Audio {
                    flags |= FLAG_AUDIO;
                }
                head.put_u8(flags);
                head.put_i64(unit.dts.0);
                head.put_i64(unit.pts.0);
                head.put_i64(unit.boundary.map_or(0, |time| time.0));
                payload = unit.data;
            }
            Message::Hold {
                until,
                boundary,
                filler,
            } => {
                head.put_u8(HOLD);
                let mut flags = boundary.map_or(0, |_| FLAG_BOUNDARY);
                if filler == Filler::Slate {
                    flags |= FLAG_SLATE;
                }
                head.put_u8(flags);
                head.put_i64(until.0);
                head.put_i64(boundary.map_or(0, |time| time.0));
            }
            Message::Break => head.put_u8(BREAK),
            Message::Sound(rungs) => {
                head.put_u8(SOUND);
                payload = json(&rungs)?;
            }
            Message::Shed { index } => {
                head.put_u8(SHED);
                head.put_u8(index);
            }
            Message::KeyUnit { index } => {
                head.put_u8(KEY_UNIT);
                head.put_u8(index);
            }
            Message::End => head.put_u8(END),
            Message::RungTrack { index, track } => {
                head.put_u8(RUNG_TRACK);
                head.put_u8(index);
                payload = put_track(&mut head, &track);
            }
            Message::RungUnit {
                index,
                key,
                pts,
                duration,
                data,
            } => {
                head.put_u8(RUNG_UNIT);
                head.put_u8(index);
                head.put_u8(if key { FLAG_KEY } else { 0 });
                head.put_i64(pts.0);
                head.put_i64(duration.map_or(-1, |duration| duration.0));
                payload = data;
            }
            Message::Colour(colour) => {
                head.put_u8(COLOUR);
                payload = json(&colour)?;
            }
            Message::Warning(text) => {
                head.put_u8(WARNING);
                payload = json(&text)?;
            }
            Message::Thumbnail(jpeg) => {
                head.put_u8(THUMBNAIL);
                payload = jpeg;
            }
            Message::Statistics(counters) => {
                head.put_u8(STATISTICS);
                head.put_u64(counters.frames);
                head.put_u64(counters.skipped_frames);
                head.put_u64(counters.late_boundaries);
                head.put_u64(counters.silence_samples);
                head.put_u64(counters.skipped_samples);
            }
            Message::Failed {
                element,
                package,
                text,
            } => {
                head.put_u8(FAILED);
                payload = json(&(element, package, text))?;
            }
            Message::Finished => head.put_u8(FINISHED),
        }
        let length = head.len() - PREFIX + payload.len();
        if length > MAX_MESSAGE {
            return Err(Malformed::Length(length));
        }
        let prefix = u32::try_from(length).map_err(|_| Malformed::Length(length))?;
        head[..PREFIX].copy_from_slice(&prefix.to_be_bytes());
        Ok(Frame {
            head: head.freeze(),
            payload,
        })
    }

    /// Whether nothing comes after this frame.
    pub(super) fn is_last(frame: &Frame) -> bool {
        matches!(frame.head.get(PREFIX), Some(&(FAILED | FINISHED)))
    }

    /// Reads a body, its length prefix cut off. Payloads are slices of `body`.
    pub fn parse(mut body: Bytes) -> Result<Message, Malformed> {
        if body.is_empty() {
            return Err(Malformed::Length(0));
        }
        let kind = body.get_u8();
        let need = |body: &Bytes, bytes: usize| {
            if body.len() < bytes {
                Err(Malformed::Short { kind })
            } else {
                Ok(())
            }
        };
        Ok(match kind {
            SETUP => Message::Setup(from_json(&body)?),
            TRACK => Message::Track(Box::new(take_track(kind, body)?)),
            UNIT => {
                need(&body, 25)?;
                let flags = body.get_u8();
                let (dts, pts, boundary) = (body.get_i64(), body.get_i64(), body.get_i64());
                Message::Unit(Unit {
                    kind: if flags & FLAG_AUDIO == 0 {
                        MediaKind::Video
                    } else {
                        MediaKind::Audio
                    },
                    key: flags & FLAG_KEY != 0,
                    dts: Ticks(dts),
                    pts: Ticks(pts),
                    boundary: (flags & FLAG_BOUNDARY != 0).then_some(Ticks(boundary)),
                    data: body,
                })
            }
            HOLD => {
                need(&body, 17)?;
                let (flags, until, boundary) = (body.get_u8(), body.get_i64(), body.get_i64());
                Message::Hold {
                    until: Ticks(until),
                    boundary: (flags & FLAG_BOUNDARY != 0).then_some(Ticks(boundary)),
                    filler: if flags & FLAG_SLATE == 0 {
                        Filler::Picture
                    } else {
                        Filler::Slate
                    },
                }
            }
            BREAK => Message::Break,
            SOUND => Message::Sound(from_json(&body)?),
            SHED => {
                need(&body, 1)?;
                Message::Shed {
                    index: body.get_u8(),
                }
            }
            KEY_UNIT => {
                need(&body, 1)?;
                Message::KeyUnit {
                    index: body.get_u8(),
                }
            }
            END => Message::End,
            RUNG_TRACK => {
                need(&body, 1)?;
                let index = body.get_u8();
                Message::RungTrack {
                    index,
                    track: Box::new(take_track(kind, body)?),
                }
            }
            RUNG_UNIT => {
                need(&body, 18)?;
                let (index, flags) = (body.get_u8(), body.get_u8());
                let (pts, duration) = (body.get_i64(), body.get_i64());
                Message::RungUnit {
                    index,
                    key: flags & FLAG_KEY != 0,
                    pts: Ticks(pts),
                    duration: (duration >= 0).then_some(Ticks(duration)),
                    data: body,
                }
            }
            COLOUR => Message::Colour(from_json(&body)?),
            WARNING => Message::Warning(from_json(&body)?),
            THUMBNAIL => Message::Thumbnail(body),
            STATISTICS => {
                need(&body, 40)?;
                Message::Statistics(Counters {
                    frames: body.get_u64(),
                    skipped_frames: body.get_u64(),
                    late_boundaries: body.get_u64(),
                    silence_samples: body.get_u64(),
                    skipped_samples: body.get_u64(),
                })
            }
            FAILED => {
                let (element, package, text) = from_json(&body)?;
                Message::Failed {
                    element,
                    package,
                    text,
                }
            }
            FINISHED => Message::Finished,
            value => {
                return Err(Malformed::Unknown {
                    field: "message type",
                    value: value.into(),
                });
            }
        })
    }
}

fn json<T: Serialize>(value: &T) -> Result<Bytes, Malformed> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| Malformed::Json(error.to_string()))
}

fn from_json<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, Malformed> {
    serde_json::from_slice(body).map_err(|error| Malformed::Json(error.to_string()))
}

/// Codec and timescale; the configuration record is the payload.
fn put_track(head: &mut BytesMut, track: &Track) -> Bytes {
    head.put_u8(track.config.number());
    head.put_u32(track.timescale.get());
    track.config.record().clone()
}

fn take_track(kind: u8, mut body: Bytes) -> Result<Track, Malformed> {
    if body.len() < 5 {
        return Err(Malformed::Short { kind });
    }
    let codec = body.get_u8();
    let scale = body.get_u32();
    let unknown = |field, value| Malformed::Unknown { field, value };
    let timescale = Timescale::new(scale).ok_or(unknown("timescale", 0))?;
    let config = CodecConfig::of_number(codec, body);
    let config = config.ok_or_else(|| unknown("codec", codec.into()))?;
    Ok(Track {
        config: config?,
        timescale,
    })
}

/// Reads any bytes as a message; what can be read is written and read again alike.
pub fn fuzz_protocol(bytes: &[u8]) {
    let Ok(message) = Message::parse(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    let frame = message
        .clone()
        .encode()
        .expect("what was read can be written");
    let mut body = frame.head.slice(PREFIX..).to_vec(); // one piece, as a reader gets it
    body.extend_from_slice(&frame.payload);
    assert_eq!(Message::parse(body.into()), Ok(message));
}

#[cfg(test)]
mod tests;
