//! What x264 says of itself: its options, in a user data SEI message of its first access unit.

use crate::media::codec::bits::rbsp;
use crate::media::nal;

/// `nal_unit_type` of supplemental enhancement information (ITU-T H.264 table 7-1).
const NAL_SEI: u8 = 6;

/// Identifies x264's settings among user data SEI messages.
const X264_UUID: [u8; 16] = [
    0xdc, 0x45, 0xe9, 0xbd, 0xe6, 0xd9, 0x48, 0xb7, 0x96, 0x2c, 0xd8, 0x20, 0xd9, 0x23, 0xee, 0xef,
];

/// What x264 says of itself in its first access unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X264Options {
    /// Longest distance between key units in frames; `u32::MAX` for "infinite".
    pub keyint: u32,
    /// Shortest distance between IDR pictures in frames.
    pub keyint_min: Option<u32>,
    /// Scene-cut threshold; zero when IDR pictures come at `keyint` only.
    pub scenecut: u32,
    /// Consecutive B-frames at most.
    pub bframes: u32,
    /// Whether key pictures may be other than IDR.
    pub open_gop: bool,
    /// Whether intra blocks are spread over pictures, with no IDR after the first.
    pub intra_refresh: bool,
    /// Frames of look-ahead, which delay the output.
    pub rc_lookahead: u32,
}

/// The options of x264, from its user data SEI (ITU-T H.264 §D.1.7); `None` when there is none or it
/// does not state a key interval.
pub fn x264_options(data: &[u8]) -> Option<X264Options> {
    nal::units(data)
        .map_while(Result::ok)
        .filter(|unit| unit[0] & 0x1F == NAL_SEI)
        .find_map(|unit| {
            let sei = rbsp(&unit[1..]);
            let text = user_data(&sei, &X264_UUID)?;
            parse_x264_text(&String::from_utf8_lossy(text))
        })
}

/// The payload of the first unregistered user data message (type 5) with this UUID.
fn user_data<'a>(mut sei: &'a [u8], uuid: &[u8; 16]) -> Option<&'a [u8]> {
    while sei.len() > 2 {
        let (kind, rest) = sei_number(sei)?;
        let (size, rest) = sei_number(rest)?;
        // x264 settings longer than what `rbsp` looks at are read as far as they go.
        let (payload, rest) = rest.split_at(size.min(rest.len()));
        if kind == 5
            && let Some(text) = payload.strip_prefix(uuid)
        {
            return Some(text);
        }
        sei = rest;
    }
    None
}

/// A number of 255s and a last byte (ITU-T H.264 §7.3.2.3.1).
fn sei_number(data: &[u8]) -> Option<(usize, &[u8])> {
    let length = data.iter().position(|&byte| byte != 0xFF)?;
    Some((
        255 * length + usize::from(data[length]),
        &data[length + 1..],
    ))
}

fn parse_x264_text(text: &str) -> Option<X264Options> {
    let (_, options) = text.split_once("options:")?;
    let value = |name: &str| {
        options
            .split(|c: char| c.is_whitespace() || c == '\0')
            .filter_map(|option| option.split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    };
    let number = |name: &str| value(name).and_then(|value| value.parse::<u32>().ok());
    let keyint = match value("keyint")? {
        "infinite" => u32::MAX,
        frames => frames.parse().ok()?,
    };
    Some(X264Options {
        keyint,
        keyint_min: number("keyint_min"),
        scenecut: number("scenecut").unwrap_or(0),
        bframes: number("bframes").unwrap_or(0),
        open_gop: number("open_gop").is_some_and(|mode| mode != 0),
        intra_refresh: number("intra_refresh").is_some_and(|mode| mode != 0),
        rc_lookahead: number("rc_lookahead").unwrap_or(0),
    })
}
