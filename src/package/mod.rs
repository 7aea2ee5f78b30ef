//! CMAF packaging of live streams. In: units in channel time with boundaries stamped. Out: parts and
//! segments behind the [`Timeline`](crate::media::timeline::Timeline) port. Not here: manifests, HTTP,
//! deciding where a segment begins.

mod packaged;
pub mod segmenter;
pub mod timeline;
pub mod window;

pub use timeline::Live;

#[cfg(test)]
mod sample;
