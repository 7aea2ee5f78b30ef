//! The vocabulary of media: time, tracks, access units, codec records, timelines.
//! In: facts parsed by `format`. Out: types every layer speaks. Not here: I/O, tokio, protocols.
#![warn(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

pub mod codec;
pub mod grid;
pub mod nal;
pub mod rendition;
pub mod time;
pub mod timeline;
pub mod track;
pub mod unit;

pub use grid::{Grid, Numbered};
pub use rendition::{Rendition, RenditionId};
pub use time::{Ticks, Timescale, rescale};
pub use track::{CodecConfig, MediaKind, Track};
pub use unit::{AccessUnit, Boundary};
