//! Codec configuration records and the facts in them that a gateway needs.

pub mod aac;
pub mod av1;
pub mod avc;
pub mod bits;
pub mod hevc;
pub mod opus;

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
