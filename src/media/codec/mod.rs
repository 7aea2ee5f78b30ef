//! Codec configuration records and the facts in them that a gateway needs.

pub mod aac;
pub mod av1;
pub mod avc;
pub mod bits;
#[doc(hidden)]
pub mod fuzz;
pub mod hevc;
pub mod opus;
mod vui;

/// Largest picture width or height accepted, in pixels. The largest level of H.264 and HEVC (6.2)
/// allows 16384 by its macroblock bound; it also keeps all sums of cropping within 32 bits.
pub const DIMENSION_LIMIT: u32 = 16_384;

/// How sample values map to colours, as code points of ITU-T H.273; 2 is "unspecified".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Colour {
    /// ColourPrimaries.
    pub primaries: u8,
    /// TransferCharacteristics.
    pub transfer: u8,
    /// MatrixCoefficients.
    pub matrix: u8,
    /// Whether luma spans 0 to 255 instead of 16 to 235.
    pub full_range: bool,
}

impl Colour {
    /// Code point for "unspecified" in all three tables.
    pub const UNSPECIFIED: u8 = 2;
    /// BT.709 in video range: what players assume when nothing is stated.
    pub const BT709: Colour = Colour {
        primaries: 1,
        transfer: 1,
        matrix: 1,
        full_range: false,
    };

    /// The same, with BT.709 in place of each unspecified code point.
    pub fn or_bt709(self) -> Colour {
        let or = |value, default| {
            if value == Colour::UNSPECIFIED {
                default
            } else {
                value
            }
        };
        Colour {
            primaries: or(self.primaries, Colour::BT709.primaries),
            transfer: or(self.transfer, Colour::BT709.transfer),
            matrix: or(self.matrix, Colour::BT709.matrix),
            full_range: self.full_range,
        }
    }
}

/// Width to height of one pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PixelAspect {
    /// Horizontal part; never zero.
    pub horizontal: u16,
    /// Vertical part; never zero.
    pub vertical: u16,
}

impl PixelAspect {
    /// Pixels as wide as high.
    pub const SQUARE: PixelAspect = PixelAspect {
        horizontal: 1,
        vertical: 1,
    };
}

/// What is wrong with a configuration record or an access unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The record ends before a field.
    #[error("{record} ends at byte {at} inside {field}")]
    Truncated {
        /// Which record.
        record: &'static str,
        /// Which field.
        field: &'static str,
        /// Offset in bytes.
        at: usize,
    },
    /// A field has a value that the specification or this gateway does not allow.
    #[error("{record}: {field} is {value}")]
    Unsupported {
        /// Which record.
        record: &'static str,
        /// Which field.
        field: &'static str,
        /// The value found.
        value: u64,
    },
    /// A NAL or OBU length points outside of its unit.
    #[error(
        "{unit} of {length} bytes at byte {at} passes the end of the access unit ({size} bytes)"
    )]
    Overrun {
        /// NAL unit or OBU.
        unit: &'static str,
        /// Its stated length.
        length: u64,
        /// Where it starts.
        at: usize,
        /// Size of the access unit.
        size: usize,
    },
}

#[cfg(test)]
pub(crate) mod testing {
    use bytes::Bytes;

    /// A file of `tests/data/codec`, whose README tells where it comes from.
    pub(crate) fn data(name: &str) -> Bytes {
        let path = format!("{}/tests/data/codec/{name}", env!("CARGO_MANIFEST_DIR"));
        Bytes::from(std::fs::read(&path).expect(name))
    }
}
