//! A film from its beginning to its end, for who looks at it before it is on: where each segment of the first
//! loop lies in its rendition's file.

use std::path::PathBuf;

use super::Reader;
use crate::media::time::rescale;
use crate::media::{Ticks, Timescale};

/// Where a segment lies, and how long it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lying {
    /// Byte of the file at which it begins.
    pub offset: u64,
    /// Its bytes.
    pub size: u64,
    /// In 90 kHz ticks.
    pub duration: Ticks,
}

/// A rendition's file.
#[derive(Clone, Debug)]
pub struct Plain {
    /// Where it is.
    pub file: PathBuf,
    /// Bytes of its initialisation, with which it begins.
    pub init: u64,
    /// The segments that all renditions have, one after another.
    pub segments: Vec<Lying>,
}

impl Reader {
    /// A rendition as far as it is there; `None`: there is none of that name.
    pub fn plain(&self, rendition: &str) -> Option<Plain> {
        let slot = self.slot(rendition)?;
        let scale = self.rendition(slot).track.timescale;
        let whole = self.facts().grid().and_then(|grid| grid.segments());
        let whole = whole.unwrap_or(self.facts().segments);
        let placed = self.placed(slot).iter();
        let placed = placed.take(usize::try_from(whole).unwrap_or(usize::MAX));
        let segments = placed.map(|placed| {
            let ticks = placed.parts.iter().map(|part| i64::from(part.duration));
            Lying {
                offset: placed.offset,
                size: placed.size(),
                duration: rescale(Ticks(ticks.sum()), scale, Timescale::CHANNEL),
            }
        });
        Some(Plain {
            file: self.media_file(slot),
            init: self.init_length(slot),
            segments: segments.collect(),
        })
    }
}
