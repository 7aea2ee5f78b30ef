//! From FLV tag bodies to tracks and access units. In: the media messages of one publish. Out: what
//! the hub takes, times in milliseconds without wraps. Not here: which time is on air (the hub), the
//! dialogue (`session`).

use bytes::Bytes;

use crate::format::flv::amf0::{self, Value};
use crate::format::flv::{self, Codec, Tag};
use crate::hub::Announcement;
use crate::media::codec::{self, aac, av1, avc, hevc, opus};
use crate::media::{AccessUnit, CodecConfig, MediaKind, Ticks, Timescale, Track, nal};

/// Longest encoder name kept, characters.
const MAX_ENCODER_CHARS: usize = 128;
/// A step back this close to a power of two is a wrap of the encoder's counter, milliseconds.
const WRAP_MARGIN_MS: u32 = 10_000;

/// What a message was, beyond nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A configuration that differs from the last one of its kind.
    Track(Track),
    /// A unit of the last track of its kind.
    Unit(AccessUnit),
}

/// Why a publish cannot go on: it uses something that is not taken here. The text is for the
/// publisher.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// A codec or several tracks.
    #[error(transparent)]
    Tag(flv::Error),
    /// A configuration record that cannot be used.
    #[error("{0}")]
    Record(codec::Error),
}

/// What was dropped, for the log at the end of the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Tags or units that are malformed.
    pub malformed_units: u64,
    /// Units before their configuration record, or of another codec than it.
    pub unready_units: u64,
}

/// One kind's current configuration.
#[derive(Debug)]
struct Lane {
    codec: Codec,
    record: Bytes,
    nal_length_size: u8,
}

/// The media of one publish.
#[derive(Debug, Default)]
pub struct Publication {
    times: Times,
    video: Option<Lane>,
    audio: Option<Lane>,
    dropped: Dropped,
}

impl Publication {
    /// A publish of which nothing was seen yet.
    pub fn new() -> Publication {
        Publication::default()
    }

    /// What was dropped so far.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Reads one tag body that came with a time in milliseconds modulo 2^32. `None`: it holds nothing
    /// for the hub. Malformed tags are dropped and counted.
    pub fn handle_media(
        &mut self,
        kind: MediaKind,
        timestamp_ms: u32,
        body: &Bytes,
    ) -> Result<Option<Output>, Unsupported> {
        let tag = match kind {
            MediaKind::Video => flv::parse_video(body),
            MediaKind::Audio => flv::parse_audio(body),
        };
        match tag {
            Ok(Tag::Config { codec, record }) => self.handle_config(kind, codec, &record),
            Ok(Tag::Frame {
                codec,
                composition_time_ms,
                data,
                ..
            }) => {
                let dts = self.times.unwrap(timestamp_ms);
                let pts = dts + i64::from(composition_time_ms);
                Ok(self.handle_frame(kind, codec, dts, pts, data))
            }
            Ok(Tag::End(_) | Tag::Other) => Ok(None),
            Err(error) if error.is_unsupported() => Err(Unsupported::Tag(error)),
            Err(_) => {
                self.dropped.malformed_units += 1;
                Ok(None)
            }
        }
    }

    fn lane(&mut self, kind: MediaKind) -> &mut Option<Lane> {
        match kind {
            MediaKind::Video => &mut self.video,
            MediaKind::Audio => &mut self.audio,
        }
    }

    fn handle_config(
        &mut self,
        kind: MediaKind,
        codec: Codec,
        record: &Bytes,
    ) -> Result<Option<Output>, Unsupported> {
        // Some encoders repeat the record before each key frame: that is no new track.
        let known = self.lane(kind).as_ref();
        if known.is_some_and(|lane| lane.codec == codec && lane.record == *record) {
            return Ok(None);
        }
        // A copy, since the record outlives the read buffer that it is a slice of.
        let record = Bytes::copy_from_slice(record);
        let (config, nal_length_size) =
            parse_record(codec, record.clone()).map_err(Unsupported::Record)?;
        *self.lane(kind) = Some(Lane {
            codec,
            record,
            nal_length_size,
        });
        Ok(Some(Output::Track(Track {
            config,
            timescale: Timescale::MILLIS,
        })))
    }

    fn handle_frame(
        &mut self,
        kind: MediaKind,
        codec: Codec,
        dts: i64,
        pts: i64,
        data: Bytes,
    ) -> Option<Output> {
        let lane = self.lane(kind).as_ref();
        let Some(lane) = lane.filter(|lane| lane.codec == codec) else {
            self.dropped.unready_units += 1;
            return None;
        };
        let unit = match codec {
            Codec::Avc | Codec::Hevc => {
                let data = nal::with_four_byte_lengths(&data, lane.nal_length_size);
                data.and_then(|data| nal::validate(&data).map(|()| data))
            }
            Codec::Av1 | Codec::Aac | Codec::Opus => Ok(data),
        };
        let Ok(data) = unit else {
            self.dropped.malformed_units += 1;
            return None;
        };
        // The tag's own key flag is set on open-GOP pictures too, so the payload decides.
        let key = match codec {
            Codec::Avc => avc::is_key_unit(&data),
            Codec::Hevc => hevc::is_key_unit(&data),
            Codec::Av1 => av1::is_key_unit(&data),
            Codec::Aac | Codec::Opus => true,
        };
        Some(Output::Unit(AccessUnit {
            kind,
            dts: Ticks(dts),
            pts: Ticks(pts),
            duration: None,
            key,
            data,
        }))
    }
}

fn parse_record(codec: Codec, record: Bytes) -> Result<(CodecConfig, u8), codec::Error> {
    Ok(match codec {
        Codec::Avc => {
            let config = avc::Config::parse(record)?;
            let size = config.nal_length_size;
            (CodecConfig::Avc(config), size)
        }
        Codec::Hevc => {
            let config = hevc::Config::parse(record)?;
            let size = config.nal_length_size;
            (CodecConfig::Hevc(config), size)
        }
        Codec::Av1 => (CodecConfig::Av1(av1::Config::parse(record)?), 0),
        Codec::Aac => (CodecConfig::Aac(aac::Config::parse(record)?), 0),
        Codec::Opus => (CodecConfig::Opus(opus::Config::parse(record)?), 0),
    })
}

/// Makes 32-bit times of one publisher into times that never wrap. One for all its tracks, so that a
/// track which begins after a wrap is beside the others.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    last: Option<(u32, i64)>,
}

impl Times {
    fn unwrap(&mut self, raw: u32) -> i64 {
        let time = match self.last {
            None => i64::from(raw),
            Some((last_raw, last)) => last + step(last_raw, raw),
        };
        self.last = Some((raw, time));
        time
    }
}

/// Milliseconds from `last` to `now`, the shorter way around 2^32. Encoders that count in 24 bits
/// (no extended timestamps) or in 31 bits (ffmpeg) wrap there instead: a step between the two ends
/// of such a range is a wrap, in either direction, since audio and video pass it at different times.
fn step(last: u32, now: u32) -> i64 {
    for bits in [24, 31] {
        let end = 1_u32 << bits;
        let near_end = |raw: u32| (end - WRAP_MARGIN_MS..end).contains(&raw);
        let near_zero = |raw: u32| raw < WRAP_MARGIN_MS;
        let straight = i64::from(now) - i64::from(last);
        if near_end(last) && near_zero(now) {
            return straight + i64::from(end);
        }
        if near_zero(last) && near_end(now) {
            return straight - i64::from(end);
        }
    }
    i64::from(now.wrapping_sub(last).cast_signed())
}

/// What the metadata of a data message say of the encoder; `None` when the message is something else
/// or cannot be read, which costs the publisher nothing.
pub fn announcement(data: &[u8]) -> Option<Announcement> {
    let name = amf0::first_string(data)?;
    if name != "@setDataFrame" && name != "onMetaData" {
        return None;
    }
    let values = amf0::decode(data).ok()?;
    let mut values = values
        .iter()
        .skip_while(|value| value.as_str() == Some("@setDataFrame"));
    if values.next()?.as_str() != Some("onMetaData") {
        return None;
    }
    let metadata = values.next()?;
    let video = metadata.get("videocodecid").map(is_codec);
    // Zero is linear PCM there, so presence is what counts.
    let audio = metadata.get("audiocodecid").map(|_| true);
    // An encoder that names one codec names both.
    let named = video.is_some() || audio.is_some();
    let rate = ["framerate", "videoframerate"];
    let rate = rate.iter().find_map(|name| metadata.get(name)?.as_number());
    let encoder = metadata.get("encoder").and_then(Value::as_str);
    Some(Announcement {
        video: video.or(named.then_some(false)),
        audio: audio.or(named.then_some(false)),
        frame_rate_millis: rate.and_then(frame_rate_millis),
        encoder: encoder.map(printable).filter(|text| !text.is_empty()),
    })
}

/// A codec id, a FourCC as a number, or a name.
fn is_codec(value: &Value) -> bool {
    match value {
        Value::Number(number) => *number > 0.0,
        Value::String(name) => !name.is_empty(),
        _ => false,
    }
}

fn frame_rate_millis(rate: f64) -> Option<u32> {
    // Beyond 1000 no encoder means what it says; the comparison refuses NaN as well.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and 1,000,000"
    )]
    (0.001..=1000.0)
        .contains(&rate)
        .then(|| (rate * 1000.0).round() as u32)
}

fn printable(text: &str) -> String {
    let text = text.chars().filter(|c| !c.is_control());
    text.take(MAX_ENCODER_CHARS).collect()
}

#[cfg(test)]
mod tests;
