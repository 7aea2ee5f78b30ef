//! Logs of records with a checksum, which are only ever appended to: after a crash everything up to the first
//! record that is not whole counts.
//!
//! ```text
//! u32 length of the body, u32 CRC-32 of the body, body
//! ```
//!
//! Numbers are big-endian. What a body says is for its owner; texts, bytes and tracks are written alike in all.

use bytes::{Buf, BufMut, Bytes, TryGetError};

use crate::media::{CodecConfig, Timescale, Track};

/// Largest body: names are short and codec configuration records below 64 KiB.
const MAX_BODY: usize = 128 << 10;
/// Bytes before a body.
const HEAD: usize = 8;

/// A record as it is appended. Its body has at most 128 KiB.
pub fn record(body: &[u8]) -> Vec<u8> {
    debug_assert!(body.len() <= MAX_BODY);
    let mut out = Vec::with_capacity(HEAD + body.len());
    out.put_u32(u32::try_from(body.len()).expect("a body is below 128 KiB"));
    out.put_u32(checksum(body));
    out.put_slice(body);
    out
}

/// Body of the first record of these bytes, and the record's size; `None` when it is not whole.
pub fn next(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let mut head = bytes.get(..HEAD)?;
    let length = usize::try_from(head.get_u32()).ok()?;
    let sum = head.get_u32();
    if length > MAX_BODY {
        return None;
    }
    let body = bytes.get(HEAD..HEAD + length)?;
    (checksum(body) == sum).then_some((body, HEAD + length))
}

fn checksum(body: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(body);
    crc.sum()
}

/// A text of less than 64 KiB; what is beyond is left out.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len().min(usize::from(u16::MAX));
    out.put_u16(u16::try_from(length).unwrap_or(u16::MAX));
    out.put_slice(&bytes[..length]);
}

/// A text; `None` when it is none.
pub fn get_text(body: &mut &[u8]) -> Result<Option<String>, TryGetError> {
    let bytes = get_bytes(body)?;
    Ok(bytes.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok()))
}

fn get_bytes<'a>(body: &mut &'a [u8]) -> Result<Option<&'a [u8]>, TryGetError> {
    let length = usize::from(body.try_get_u16()?);
    let Some((bytes, rest)) = body.split_at_checked(length) else {
        return Ok(None);
    };
    *body = rest;
    Ok(Some(bytes))
}

/// Codec, timescale and configuration record.
pub fn put_track(out: &mut Vec<u8>, track: &Track) {
    out.put_u8(track.config.number());
    out.put_u32(track.timescale.get());
    put_bytes(out, track.config.record());
}

/// A track; `None` when its record is none of its codec.
pub fn get_track(body: &mut &[u8]) -> Result<Option<Track>, TryGetError> {
    let codec = body.try_get_u8()?;
    let timescale = Timescale::new(body.try_get_u32()?);
    let record = get_bytes(body)?.map(Bytes::copy_from_slice);
    let (Some(timescale), Some(record)) = (timescale, record) else {
        return Ok(None);
    };
    let config = CodecConfig::of_number(codec, record).and_then(Result::ok);
    Ok(config.map(|config| Track { config, timescale }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_is_read_up_to_the_first_record_that_is_not_whole() {
        let mut log = [record(b"one"), record(b""), record(b"three")].concat();
        log.pop();
        let mut rest = &log[..];
        let mut bodies = Vec::new();
        while let Some((body, size)) = next(rest) {
            bodies.push(body);
            rest = &rest[size..];
        }
        assert_eq!(bodies, [&b"one"[..], b""]);
        assert_eq!(rest.len(), 8 + 4);
    }

    #[test]
    fn a_record_with_another_checksum_or_a_length_beyond_all_bounds_is_none() {
        let mut damaged = record(b"body");
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(next(&damaged), None);
        assert_eq!(next(&[0xff; 64]), None);
    }

    #[test]
    fn a_text_comes_back_and_one_that_breaks_off_is_none() {
        let mut out = Vec::new();
        put_text(&mut out, "Größe");
        assert_eq!(get_text(&mut &out[..]).unwrap().as_deref(), Some("Größe"));
        assert_eq!(get_text(&mut &out[..4]).unwrap(), None);
    }
}
