//! Lays down a film, segment by segment. Everything here blocks.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::index::{self, Index, Init, Placed, Record};
use super::{Error, INDEX, media_file};
use crate::format::fmp4::{self, Fragment, Sample};
use crate::media::time::rescale;
use crate::media::{MediaKind, Rendition, Ticks, Timescale};
use crate::playout::Grid;

/// How a film is cut, fixed before its first segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Frames per second: 24, 25, 30, 50 or 60; of sound alone, 25.
    pub fps: u32,
    /// Frames of a segment.
    pub segment_frames: u32,
    /// Frames of a part: 200 ms of whole frames.
    pub part_frames: u32,
}

impl Layout {
    /// The layout of a frame rate: segments of whole seconds, parts of [`PART`](super::PART); `None` for a rate that no film
    /// is prepared at.
    pub fn of(fps: u32, segment_seconds: u32) -> Option<Layout> {
        let part_frames = match fps {
            24 | 25 => 5,
            30 => 6,
            50 => 10,
            60 => 12,
            _ => return None,
        };
        (segment_seconds > 0).then_some(Layout {
            fps,
            segment_frames: fps * segment_seconds,
            part_frames,
        })
    }
}

/// See the module.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    layout: Layout,
    index: File,
    index_end: u64,
    state: Index,
    files: Vec<(File, u64)>,
}

impl Writer {
    /// Goes on where the index in `folder` ends; what lies behind that is cut off. The folder is made when it
    /// is missing. [`Error::Other`] when what is there has another layout: remove it first.
    pub fn open(folder: &Path, layout: Layout) -> Result<Writer, Error> {
        std::fs::create_dir_all(folder)
            .map_err(Error::io(format!("cannot make {}", folder.display())))?;
        let (state, index_end) = index::read(folder)?;
        if let Some(known) = state.layout.filter(|known| *known != layout) {
            return Err(Error::Other(format!("{known:?} instead of {layout:?}")));
        }
        let index = writable(&folder.join(INDEX), index_end)?;
        let mut writer = Writer {
            folder: folder.to_owned(),
            layout,
            index,
            index_end,
            files: Vec::new(),
            state,
        };
        for kept in &writer.state.kept {
            let end = kept.file_end();
            let file = writable(&media_file(folder, &kept.rendition.name), end)?;
            writer.files.push((file, end));
        }
        if writer.state.layout.is_none() {
            writer.record(Record::Layout(layout))?;
        }
        Ok(writer)
    }

    /// A rendition's slot, in which its segments are appended. One that is there already must have the same
    /// codec configuration: segments made before and after a break are played with one initialisation.
    pub fn declare(&mut self, rendition: &Rendition) -> Result<usize, Error> {
        let kept = &self.state.kept;
        if let Some(slot) = kept
            .iter()
            .position(|kept| kept.rendition.name == rendition.name)
        {
            return match kept[slot].rendition.track == rendition.track {
                true => Ok(slot),
                false => Err(Error::Other(format!(
                    "{} has another codec configuration",
                    rendition.name
                ))),
            };
        }
        let bytes = fmp4::init(&rendition.track)?;
        let path = media_file(&self.folder, &rendition.name);
        let file = writable(&path, 0)?;
        put(&file, 0, &bytes, &rendition.name)?;
        let init = Init {
            name: fmp4::init_name(&bytes),
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        };
        self.files.push((file, bytes.len() as u64));
        self.record(Record::Rendition {
            rendition: rendition.clone().into(),
            init,
        })?;
        Ok(self.files.len() - 1)
    }

    /// Segments that a slot has.
    pub fn segments(&self, slot: usize) -> u64 {
        self.state
            .kept
            .get(slot)
            .map_or(0, |kept| kept.segments.len() as u64)
    }

    /// Segments that all slots have, from which a preparation goes on; 0 before any was declared.
    pub fn whole(&self) -> u64 {
        self.state.whole()
    }

    /// Whether all of the film is there.
    pub fn is_complete(&self) -> bool {
        self.state.complete.is_some()
    }

    /// Appends the next segment of a slot: all its frames, in decode order. Of video, the frames between two
    /// boundaries; of audio, those that begin between them. `start` is the decode time of the first, in the
    /// rendition's timescale since the film's time zero. A segment that the slot has already is left as it is.
    pub fn append(
        &mut self,
        slot: usize,
        number: u64,
        start: Ticks,
        samples: &[Sample],
    ) -> Result<(), Error> {
        let known = self.segments(slot);
        if number < known {
            return Ok(());
        }
        if number > known || slot >= self.files.len() || samples.is_empty() {
            return Err(Error::Order(format!(
                "segment {number} of slot {slot} with {} frames, behind {known}",
                samples.len()
            )));
        }
        let rendition = self.state.kept[slot].rendition.clone();
        let part = match rendition.kind() {
            MediaKind::Video => None,
            MediaKind::Audio => Some(rendition.track.timescale),
        };
        let mut placed = Placed {
            offset: self.files[slot].1,
            start,
            parts: Vec::new(),
        };
        let mut at = start;
        let mut end = placed.offset;
        for samples in self.parts(start, samples, part) {
            let bytes = fmp4::write(&Fragment {
                sequence: 0,
                base_decode_time: u64::try_from(at.0).unwrap_or(0),
                samples,
                captured: None,
            });
            let duration = samples
                .iter()
                .map(|sample| u64::from(sample.duration))
                .sum::<u64>();
            placed.parts.push(index::PlacedPart {
                size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
                duration: u32::try_from(duration).unwrap_or(u32::MAX),
                independent: samples.first().is_some_and(|sample| sample.key),
            });
            put(&self.files[slot].0, end, &bytes, &rendition.name)?;
            at += Ticks(i64::try_from(duration).unwrap_or(i64::MAX));
            end += bytes.len() as u64;
        }
        self.record(Record::Segment {
            slot: u8::try_from(slot).unwrap_or(u8::MAX),
            placed,
        })?;
        self.files[slot].1 = end;
        Ok(())
    }

    /// All is there: the loop has so many frames, and the sound was laid down for so many loops. What is
    /// written reaches the disk itself first.
    pub fn finish(&mut self, frames: u64, unrolled: u32) -> Result<(), Error> {
        self.sync()?;
        self.record(Record::Complete { frames, unrolled })?;
        self.sync()
    }

    /// Has everything reach the disk itself.
    pub fn sync(&self) -> Result<(), Error> {
        let files = self.files.iter().map(|(file, _)| file);
        for file in files.chain([&self.index]) {
            file.sync_data()
                .map_err(Error::io(format!("cannot sync {}", self.folder.display())))?;
        }
        Ok(())
    }

    /// The grid, as far as it is known while the film is made.
    pub fn grid(&self) -> Option<Grid> {
        Grid::new(self.layout.fps, self.layout.segment_frames, None)
    }

    /// Frames of video as many as fit; of audio, those that begin within the same parts of the grid.
    fn parts<'a>(
        &self,
        start: Ticks,
        samples: &'a [Sample],
        audio: Option<Timescale>,
    ) -> Vec<&'a [Sample]> {
        let part = i64::from(self.layout.part_frames) * i64::from(Timescale::CHANNEL.get())
            / i64::from(self.layout.fps);
        let Some(scale) = audio else {
            // Small pictures may come at half the rate.
            let frame = samples
                .first()
                .map_or(1, |sample| i64::from(sample.duration.max(1)));
            let frames = usize::try_from(part / frame).unwrap_or(1).max(1);
            return samples.chunks(frames).collect();
        };
        let mut parts = Vec::new();
        let mut from = 0;
        let mut time = start;
        // The part begins with the video's, of which the first frame here may lie a little behind.
        let mut edge = rescale(start, scale, Timescale::CHANNEL) + Ticks(part);
        for (at, sample) in samples.iter().enumerate() {
            if rescale(time, scale, Timescale::CHANNEL) >= edge && at > from {
                parts.push(&samples[from..at]);
                from = at;
                edge += Ticks(part);
            }
            time += Ticks(sample.duration.into());
        }
        parts.push(&samples[from..]);
        parts
    }

    fn record(&mut self, record: Record) -> Result<(), Error> {
        let bytes = record.encode();
        put(&self.index, self.index_end, &bytes, INDEX)?;
        self.index_end += bytes.len() as u64;
        self.state.take(record, &mut |_, _| true);
        Ok(())
    }
}

fn writable(path: &Path, length: u64) -> Result<File, Error> {
    let open = || {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.set_len(length)?;
        Ok(file)
    };
    open().map_err(Error::io(format!("cannot open {}", path.display())))
}

fn put(file: &File, at: u64, bytes: &[u8], name: &str) -> Result<(), Error> {
    file.write_all_at(bytes, at)
        .map_err(Error::io(format!("cannot write {name}")))
}
