//! An asset's index in memory.

use std::path::Path;

use super::{Error, Facts, index};
use crate::media::MediaKind;

/// What is there of an asset, as it was when it was read.
#[derive(Clone, Debug)]
pub struct Reader {
    facts: Facts,
}

impl Reader {
    /// Reads the index in a folder; `None` when nothing is there yet. Blocks.
    pub fn open(folder: &Path) -> Result<Option<Reader>, Error> {
        let (index, _) = index::read(folder)?;
        let Some(layout) = index.layout.filter(|_| !index.kept.is_empty()) else {
            return Ok(None);
        };
        let (frames, unrolled) = match index.complete {
            Some((frames, unrolled)) => (Some(frames), unrolled),
            None => (None, 1),
        };
        let renditions = |kind| {
            let all = index.kept.iter().map(|kept| kept.rendition.clone());
            all.filter(move |rendition| rendition.kind() == kind)
        };
        let facts = Facts {
            fps: layout.fps,
            segment_frames: layout.segment_frames,
            part_frames: layout.part_frames,
            frames,
            unrolled,
            segments: index.whole(),
            renditions: renditions(MediaKind::Video)
                .chain(renditions(MediaKind::Audio))
                .collect(),
        };
        Ok(Some(Reader { facts }))
    }

    /// What is known of the film.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}
