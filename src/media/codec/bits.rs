//! Bit reader over raw byte sequence payloads (RBSP) and other big-endian bit fields.

use super::Error;

/// Bytes of a parameter set or SEI that are looked at. Bounds the work on hostile input; the largest
/// real parameter sets (HEVC with all scaling lists and reference picture sets) stay below 5 KiB.
const RBSP_LIMIT: usize = 8 * 1024;

/// Longest run of zero bits in front of an Exp-Golomb code of 32 bits (ITU-T H.264 §9.1).
const LEADING_ZEROS_LIMIT: u32 = 32;

/// Removes emulation prevention bytes (ITU-T H.264 §7.4.1, H.265 §7.4.2): `00 00 03` becomes `00 00`.
/// Looks at the first 8 KiB only.
pub fn rbsp(nal: &[u8]) -> Vec<u8> {
    let nal = &nal[..nal.len().min(RBSP_LIMIT)];
    let mut out = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// Reads fields of bits, most significant first. Every read states the field, for the error.
#[derive(Clone, Debug)]
pub struct Bits<'a> {
    record: &'static str,
    data: &'a [u8],
    /// In bits.
    position: usize,
}

impl<'a> Bits<'a> {
    /// A reader at the first bit of `data`, which belongs to a structure called `record`.
    pub fn new(record: &'static str, data: &'a [u8]) -> Bits<'a> {
        Bits {
            record,
            data,
            position: 0,
        }
    }

    /// Bits read so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bits left.
    pub fn remaining(&self) -> usize {
        self.data.len() * 8 - self.position
    }

    /// One bit.
    pub fn flag(&mut self, field: &'static str) -> Result<bool, Error> {
        Ok(self.bits(1, field)? == 1)
    }

    /// An unsigned field of at most 32 bits.
    pub fn bits(&mut self, count: u32, field: &'static str) -> Result<u32, Error> {
        debug_assert!(count <= 32, "a field has at most 32 bits");
        if (count as usize) > self.remaining() {
            return Err(self.truncated(field));
        }
        let mut value = 0u32;
        let mut left = count as usize;
        while left > 0 {
            let offset = self.position % 8;
            let take = left.min(8 - offset);
            let byte = u32::from(self.data[self.position / 8]);
            let piece = (byte >> (8 - offset - take)) & ((1 << take) - 1);
            value = value
                .checked_shl(u32::try_from(take).unwrap_or(0))
                .unwrap_or(0)
                | piece;
            self.position += take;
            left -= take;
        }
        Ok(value)
    }

    /// An unsigned field of at most 8 bits.
    pub fn byte(&mut self, count: u32, field: &'static str) -> Result<u8, Error> {
        debug_assert!(count <= 8, "a byte has eight bits");
        let value = self.bits(count, field)?;
        Ok(u8::try_from(value).expect("at most eight bits were read"))
    }

    /// Skips bits.
    pub fn skip(&mut self, count: usize, field: &'static str) -> Result<(), Error> {
        if count > self.remaining() {
            return Err(self.truncated(field));
        }
        self.position += count;
        Ok(())
    }

    /// Skips to the next byte boundary.
    pub fn align(&mut self) {
        self.position = self.position.div_ceil(8) * 8;
    }

    /// An unsigned Exp-Golomb code, ue(v) (ITU-T H.264 §9.1).
    pub fn ue(&mut self, field: &'static str) -> Result<u32, Error> {
        let mut zeros = 0;
        while !self.flag(field)? {
            zeros += 1;
            if zeros >= LEADING_ZEROS_LIMIT {
                return Err(self.unsupported(field, u64::from(zeros)));
            }
        }
        let base = (1u64 << zeros) - 1;
        let value = base + u64::from(self.bits(zeros, field)?);
        u32::try_from(value).map_err(|_| self.unsupported(field, value))
    }

    /// An unsigned Exp-Golomb code of at most `limit`.
    pub fn ue_max(&mut self, limit: u32, field: &'static str) -> Result<u32, Error> {
        let value = self.ue(field)?;
        if value > limit {
            return Err(self.unsupported(field, u64::from(value)));
        }
        Ok(value)
    }

    /// A signed Exp-Golomb code, se(v) (ITU-T H.264 §9.1.1).
    pub fn se(&mut self, field: &'static str) -> Result<i32, Error> {
        let code = i64::from(self.ue(field)?);
        let value = if code % 2 == 0 {
            -(code / 2)
        } else {
            (code + 1) / 2
        };
        Ok(i32::try_from(value).expect("half of 32 bits fits in 32 bits"))
    }

    /// The error that a field has a value which is not supported.
    pub fn unsupported(&self, field: &'static str, value: u64) -> Error {
        Error::Unsupported {
            record: self.record,
            field,
            value,
        }
    }

    fn truncated(&self, field: &'static str) -> Error {
        Error::Truncated {
            record: self.record,
            field,
            at: self.position / 8,
        }
    }
}

/// Reads whole bytes of a configuration record, borrowing from it.
#[derive(Clone, Debug)]
pub struct Bytewise<'a> {
    record: &'static str,
    data: &'a [u8],
    at: usize,
}

impl<'a> Bytewise<'a> {
    /// A reader at the first byte of a record.
    pub fn new(record: &'static str, data: &'a [u8]) -> Bytewise<'a> {
        Bytewise {
            record,
            data,
            at: 0,
        }
    }

    /// Offset of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], Error> {
        let rest = &self.data[self.at..];
        let Some(taken) = rest.get(..count) else {
            return Err(Error::Truncated {
                record: self.record,
                field,
                at: self.at,
            });
        };
        self.at += count;
        Ok(taken)
    }

    /// One byte.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, Error> {
        Ok(self.take(1, field)?[0])
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, Error> {
        let bytes = self.take(2, field)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn emulation_prevention_bytes_are_removed_and_only_those() {
        assert_eq!(rbsp(&[0, 0, 3, 1, 0, 0, 3, 0, 0, 3]), [0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(rbsp(&[0, 3, 0, 0, 4, 3]), [0, 3, 0, 0, 4, 3]);
    }

    #[test]
    fn fields_cross_byte_boundaries() {
        let mut bits = Bits::new("test", &[0b1010_0101, 0xFF, 0x00, 0x12, 0x34, 0x80]);
        assert_eq!(bits.bits(3, "a").unwrap(), 0b101);
        assert_eq!(bits.bits(32, "b").unwrap(), 0x2FF8_0091);
        assert_eq!(bits.byte(5, "c").unwrap(), 0b10100);
        assert_eq!(bits.remaining(), 8);
        bits.skip(1, "d").unwrap();
        bits.align();
        assert_eq!(
            bits.flag("e"),
            Err(Error::Truncated {
                record: "test",
                field: "e",
                at: 6
            })
        );
    }

    #[test]
    fn exp_golomb_codes_of_the_specification_table() {
        // ITU-T H.264 tables 9-2 and 9-3: 1, 010, 011, 00100, 00101.
        let data = [0b1010_0110, 0b0100_0010, 0b1000_0000];
        let mut bits = Bits::new("test", &data);
        let codes: Vec<u32> = (0..5).map(|_| bits.ue("x").unwrap()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4]);
        let mut bits = Bits::new("test", &data);
        let codes: Vec<i32> = (0..5).map(|_| bits.se("x").unwrap()).collect();
        assert_eq!(codes, [0, 1, -1, 2, -2]);
    }

    #[test]
    fn a_run_of_zeros_is_refused_instead_of_read_forever() {
        assert_eq!(
            Bits::new("test", &[0; 9]).ue("x"),
            Err(Error::Unsupported {
                record: "test",
                field: "x",
                value: 32
            })
        );
    }

    proptest! {
        #[test]
        fn a_field_equals_its_bits_one_by_one(data in proptest::collection::vec(any::<u8>(), 0..16), skip in 0usize..64, count in 0u32..=32) {
            let mut whole = Bits::new("test", &data);
            let mut single = whole.clone();
            if whole.skip(skip, "s").is_ok() && single.skip(skip, "s").is_ok() {
                let expected = (0..count).try_fold(0u32, |value, _| {
                    single.bits(1, "b").map(|bit| (value << 1) | bit)
                });
                prop_assert_eq!(whole.bits(count, "f").ok(), expected.ok());
            }
        }
    }
}
