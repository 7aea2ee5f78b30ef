//! In: descriptions and snapshots of a stream. Out: HLS playlists and DASH manifests as text, and a
//! checker that reads such texts strictly. Not here: HTTP, caching, compression, waiting.
//!
//! Everything is a pure function; the one thing that outlives a call, the openings of DASH Periods,
//! is a value that the caller keeps ([`dash::Periods`]).

pub mod check;
pub mod dash;
pub mod hls;
pub mod parse;
pub mod text;

#[cfg(test)]
pub(crate) mod sample;
