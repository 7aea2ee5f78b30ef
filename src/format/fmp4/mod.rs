//! CMAF writing (ISO/IEC 23000-19 over ISO/IEC 14496-12). In: a track's codec configuration, and
//! samples in decode order. Out: an initialisation segment, and fragments of one `moof` and one
//! `mdat`; the samples of such a fragment; from the heads of fragments the header of a movie that lists
//! all their samples. Not here: where fragments begin (`package`), and reading what others wrote.
//!
//! The structural brand is `cmf2`: no edit list, signed composition offsets, defaults in every
//! fragment instead of in `trex`.

mod boxes;
mod fragment;
mod init;
mod movie;
mod read;

pub use fragment::{Fragment, Sample, renumber, write};
pub use init::{Error, init, init_name};
pub use movie::{MovieTrack, Samples, movie_header};
pub use read::samples;

/// `track_ID` in every file: each holds one track.
pub const TRACK_ID: u32 = 1;
