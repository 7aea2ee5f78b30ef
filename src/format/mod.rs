//! Byte layouts, without I/O.
#![warn(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

pub mod flv;
pub mod fmp4;
pub mod log;
pub mod rtmp;
pub mod ts;
