//! Framing inside an access unit: length-prefixed NAL units, Annex B byte streams, AV1 OBUs.
//! Payload bytes are never altered; only the prefixes in front of them are.

use bytes::{BufMut, Bytes, BytesMut};

use super::codec::Error;

/// Length prefix in front of each NAL unit of an [`AccessUnit`](super::AccessUnit), in bytes.
pub const LENGTH_SIZE: u8 = 4;

/// Bytes of a leb128 number at most (AV1 specification §4.10.5).
const LEB128_LIMIT: usize = 8;

/// The NAL units of an access unit with 4-byte lengths (ISO/IEC 14496-15 §5.3.4.2.1). Empty units are
/// passed over; after an error there is nothing more.
pub fn units(data: &[u8]) -> Units<'_> {
    Units {
        data,
        at: 0,
        length_size: usize::from(LENGTH_SIZE),
    }
}

/// Iterator over length-prefixed NAL units.
#[derive(Clone, Debug)]
pub struct Units<'a> {
    data: &'a [u8],
    at: usize,
    length_size: usize,
}

impl<'a> Iterator for Units<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = &self.data[self.at..];
            if rest.is_empty() {
                return None;
            }
            let at = self.at;
            let overrun = |length| Error::Overrun {
                unit: "NAL unit",
                length,
                at,
                size: self.data.len(),
            };
            let Some((prefix, rest)) = rest.split_at_checked(self.length_size) else {
                let error = overrun(0);
                self.at = self.data.len();
                return Some(Err(error));
            };
            let length = prefix
                .iter()
                .fold(0u64, |value, &byte| (value << 8) | u64::from(byte));
            let unit = usize::try_from(length).ok().and_then(|n| rest.get(..n));
            let Some(unit) = unit else {
                let error = overrun(length);
                self.at = self.data.len();
                return Some(Err(error));
            };
            self.at += self.length_size + unit.len();
            if !unit.is_empty() {
                return Some(Ok(unit));
            }
        }
    }
}

/// Whether all lengths of an access unit with 4-byte prefixes add up, and it holds at least one unit.
pub fn validate(data: &[u8]) -> Result<(), Error> {
    let mut count = 0usize;
    for unit in units(data) {
        unit?;
        count += 1;
    }
    if count == 0 {
        return Err(Error::Truncated {
            record: "access unit",
            field: "NAL unit",
            at: data.len(),
        });
    }
    Ok(())
}

/// An access unit with prefixes of `length_size` bytes (1, 2, 3 or 4), given prefixes of 4 bytes.
/// With 4 it is the same bytes, shared and unchecked; otherwise they are copied once.
pub fn with_four_byte_lengths(data: &Bytes, length_size: u8) -> Result<Bytes, Error> {
    if length_size == LENGTH_SIZE {
        return Ok(data.clone());
    }
    if !(1..LENGTH_SIZE).contains(&length_size) {
        return Err(Error::Unsupported {
            record: "access unit",
            field: "length size",
            value: u64::from(length_size),
        });
    }
    let prefixed = Units {
        data,
        at: 0,
        length_size: usize::from(length_size),
    };
    let mut size = 0;
    for unit in prefixed.clone() {
        size += usize::from(LENGTH_SIZE) + unit?.len();
    }
    let mut out = BytesMut::with_capacity(size);
    for unit in prefixed {
        put_unit(&mut out, unit?)?;
    }
    Ok(out.freeze())
}

/// NAL units put together with 4-byte lengths.
pub fn from_units<'a>(nals: impl Iterator<Item = &'a [u8]> + Clone) -> Result<Bytes, Error> {
    let size = nals
        .clone()
        .map(|nal| usize::from(LENGTH_SIZE) + nal.len())
        .sum();
    let mut out = BytesMut::with_capacity(size);
    for nal in nals {
        put_unit(&mut out, nal)?;
    }
    Ok(out.freeze())
}

/// An Annex B byte stream (start codes) as NAL units with 4-byte lengths. Empty when it holds no
/// start code.
pub fn from_annexb(data: &[u8]) -> Result<Bytes, Error> {
    from_units(annexb_units(data))
}

fn put_unit(out: &mut BytesMut, unit: &[u8]) -> Result<(), Error> {
    let length = u32::try_from(unit.len()).map_err(|_| Error::Unsupported {
        record: "access unit",
        field: "NAL unit length",
        value: u64::try_from(unit.len()).unwrap_or(u64::MAX),
    })?;
    out.put_u32(length);
    out.put_slice(unit);
    Ok(())
}

/// The NAL units of an Annex B byte stream (ITU-T H.264 §B.1, H.265 §B.1), without start codes and
/// trailing zero bytes. Bytes before the first start code are passed over.
pub fn annexb_units(data: &[u8]) -> AnnexB<'_> {
    let (_, rest) = split_at_start_code(data);
    AnnexB { rest }
}

/// Iterator over the NAL units of an Annex B byte stream.
#[derive(Clone, Debug)]
pub struct AnnexB<'a> {
    /// What follows the last start code read; `None` when there is none left.
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for AnnexB<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let (unit, rest) = split_at_start_code(self.rest?);
            self.rest = rest;
            // trailing_zero_8bits, and the zero_byte of a 4-byte start code that follows.
            let end = unit.iter().rposition(|&byte| byte != 0);
            if let Some(end) = end {
                return Some(&unit[..=end]);
            }
        }
    }
}

/// What stands before the first `00 00 01`, and what follows it.
fn split_at_start_code(data: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut at = 0;
    // The third byte decides how far the window may move, so most bytes are looked at once in three.
    while let Some(&third) = data.get(at + 2) {
        match third {
            0 => at += 1,
            1 if data[at] == 0 && data[at + 1] == 0 => {
                return (&data[..at], Some(&data[at + 3..]));
            }
            _ => at += 3,
        }
    }
    (data, None)
}

/// One open bitstream unit (AV1 specification §5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obu<'a> {
    /// `obu_type`: 1 sequence header, 2 temporal delimiter, 3 frame header, 6 frame, …
    pub kind: u8,
    /// `spatial_id`; zero without an extension.
    pub spatial_id: u8,
    /// Header, size field and payload.
    pub bytes: &'a [u8],
    /// The payload alone.
    pub payload: &'a [u8],
}

/// The OBUs of a temporal unit in the low-overhead format (AV1 specification §5.2). Only the last one
/// may be without a size field. After an error there is nothing more.
pub fn obus(data: &[u8]) -> Obus<'_> {
    Obus { data, at: 0 }
}

/// Iterator over OBUs.
#[derive(Clone, Debug)]
pub struct Obus<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Obus<'a> {
    type Item = Result<Obu<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.data.len() {
            return None;
        }
        let obu = read_obu(self.data, self.at);
        self.at = match &obu {
            Ok(obu) => self.at + obu.bytes.len(),
            Err(_) => self.data.len(),
        };
        Some(obu)
    }
}

fn read_obu(data: &[u8], at: usize) -> Result<Obu<'_>, Error> {
    let rest = &data[at..];
    let overrun = |length| Error::Overrun {
        unit: "OBU",
        length,
        at,
        size: data.len(),
    };
    let header = *rest.first().ok_or_else(|| overrun(1))?;
    let mut start = 1;
    let mut spatial_id = 0;
    // obu_extension_flag
    if header & 0x04 != 0 {
        let extension = *rest.get(start).ok_or_else(|| overrun(2))?;
        spatial_id = (extension >> 3) & 3;
        start += 1;
    }
    // obu_has_size_field
    let end = if header & 0x02 != 0 {
        let (length, size) = leb128(&rest[start..]).ok_or_else(|| overrun(0))?;
        start += size;
        usize::try_from(length)
            .ok()
            .and_then(|length| start.checked_add(length))
            .filter(|&end| end <= rest.len())
            .ok_or_else(|| overrun(length))?
    } else {
        rest.len()
    };
    Ok(Obu {
        kind: (header >> 3) & 0x0F,
        spatial_id,
        bytes: &rest[..end],
        payload: &rest[start..end],
    })
}

/// A leb128 number and its size in bytes (AV1 specification §4.10.5); `None` when cut off or too long.
fn leb128(data: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (index, &byte) in data.iter().take(LEB128_LIMIT).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_length_beyond_the_end_is_an_error_and_ends_the_iteration() {
        let mut nals = units(&[0, 0, 0, 1, 0x65, 0, 0, 0, 9, 1, 2]);
        assert_eq!(nals.next(), Some(Ok(&[0x65][..])));
        assert_eq!(
            nals.next(),
            Some(Err(Error::Overrun {
                unit: "NAL unit",
                length: 9,
                at: 5,
                size: 11
            }))
        );
        assert_eq!(nals.next(), None);
        assert!(validate(&[0, 0, 0]).is_err());
        assert!(validate(&[]).is_err());
        assert!(validate(&[0xFF, 0xFF, 0xFF, 0xFF, 1]).is_err());
    }

    #[test]
    fn annex_b_with_all_start_codes_and_padding_becomes_length_prefixed() {
        let stream = [
            0xAA, 0, 0, 0, 1, 0x67, 1, 0, 0, 0, 0, 1, 0x68, 2, 0, 0, 1, 0x65, 0, 0, 3, 1, 0, 0,
        ];
        assert_eq!(
            from_annexb(&stream).unwrap(),
            [
                0, 0, 0, 2, 0x67, 1, 0, 0, 0, 2, 0x68, 2, 0, 0, 0, 5, 0x65, 0, 0, 3, 1
            ][..]
        );
        assert!(from_annexb(&[1, 2, 3]).unwrap().is_empty());
    }

    #[test]
    fn shorter_length_prefixes_are_widened() {
        let two = Bytes::from_static(&[0, 2, 0x67, 1, 0, 1, 0x65]);
        let expected = [0, 0, 0, 2, 0x67, 1, 0, 0, 0, 1, 0x65];
        assert_eq!(with_four_byte_lengths(&two, 2).unwrap(), expected[..]);
        assert!(with_four_byte_lengths(&two, 3).is_err());
        assert!(with_four_byte_lengths(&two, 0).is_err());
        let four = Bytes::copy_from_slice(&expected);
        let same = with_four_byte_lengths(&four, 4).unwrap();
        assert_eq!(same.as_ptr(), four.as_ptr(), "passthrough shares the bytes");
    }

    #[test]
    fn obus_with_and_without_size_and_extension() {
        // Temporal delimiter; frame with extension (spatial 1) and two bytes; tile list without size.
        let data = [0x12, 0x00, 0x36, 0x28, 0x02, 7, 8, 0x40, 9];
        let all: Vec<_> = obus(&data).map(Result::unwrap).collect();
        assert_eq!(all.len(), 3);
        assert_eq!((all[0].kind, all[0].payload), (2, &[][..]));
        assert_eq!(
            (all[1].kind, all[1].spatial_id, all[1].payload),
            (6, 1, &[7, 8][..])
        );
        assert_eq!((all[2].kind, all[2].payload), (8, &[9][..]));
        assert!(obus(&[0x12, 0x05, 1]).next().unwrap().is_err());
        assert!(obus(&[0x12, 0x80, 0x80]).next().unwrap().is_err());
    }

    /// A NAL unit that an encoder could write: no start code within, no zero at the end.
    fn nal() -> impl Strategy<Value = Vec<u8>> {
        (
            proptest::collection::vec(prop_oneof![Just(0u8), 1u8..], 0..40),
            1u8..,
        )
            .prop_map(|(mut body, last)| {
                for at in 2..body.len() {
                    if body[at - 2] == 0 && body[at - 1] == 0 && body[at] <= 3 {
                        body[at] = 4;
                    }
                }
                body.push(last.max(4));
                body
            })
    }

    proptest! {
        #[test]
        fn units_survive_annex_b_and_every_length_size(nals in proptest::collection::vec(nal(), 1..8), size in 1u8..=4, long in any::<bool>()) {
            let mut stream = Vec::new();
            let mut prefixed = Vec::new();
            for nal in &nals {
                stream.extend_from_slice(if long { &[0, 0, 0, 1] } else { &[0, 0, 1] });
                stream.extend_from_slice(nal);
                let length = u32::try_from(nal.len()).unwrap().to_be_bytes();
                prefixed.extend_from_slice(&length[usize::from(4 - size)..]);
                prefixed.extend_from_slice(nal);
            }
            let expected = from_units(nals.iter().map(Vec::as_slice)).unwrap();
            prop_assert_eq!(&from_annexb(&stream).unwrap(), &expected);
            prop_assert_eq!(&with_four_byte_lengths(&Bytes::from(prefixed), size).unwrap(), &expected);
            let back: Vec<Vec<u8>> = units(&expected).map(|nal| nal.unwrap().to_vec()).collect();
            prop_assert_eq!(back, nals);
        }
    }
}
