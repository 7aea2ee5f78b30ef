//! A recording as players read it: the whole of it, from the index in memory; media from the files.
//!
//! The index is read when somebody plays, and forgotten when enough others are played; a segment asked for
//! then brings it back.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::about::About;
use super::index::{Entry, Index, Kept, in_micros};
use super::recorder::{media_file, read_index};
use super::shelf::Shelf;
use crate::base::clock::Wall;
use crate::media::time::{Ticks, Timescale, rescale, wall_time};
use crate::media::timeline::{
    Asked, Blob, Description, Found, Init, Part, Progress, Resource, Rules, Segment, Snapshot,
    Stored, Timeline, Wait,
};
use crate::media::{MediaKind, Rendition, RenditionId};

/// Bytes read at once for an answer. Bounds memory: one piece for each answer that is sent.
const PIECE_BYTES: usize = 256 << 10;
/// There is one state only.
const VERSION: u64 = 1;

/// What players read of a recording that has ended. Cloning shares it.
#[derive(Clone)]
pub(super) struct Vod(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    about: Arc<About>,
    shelf: Arc<Shelf>,
    /// Held while the index is read, so that all who come at once read it once.
    reading: Arc<tokio::sync::Mutex<()>>,
}

/// What is in memory while somebody plays.
pub(super) struct Loaded {
    description: Arc<Description>,
    pub(super) kept: Vec<Kept>,
    /// By sequence: where a segment lies in time in some rendition that has it.
    grid: BTreeMap<u64, Place>,
    rules: Rules,
}

/// A segment's place in time, whoever has it.
#[derive(Clone, Copy, Debug)]
struct Place {
    start_micros: i64,
    end_micros: i64,
    discontinuity: bool,
    discontinuity_sequence: u64,
}

impl Vod {
    pub(super) fn new(folder: PathBuf, about: Arc<About>, shelf: Arc<Shelf>) -> Vod {
        Vod(Arc::new(Inner {
            folder,
            about,
            shelf,
            reading: Arc::default(),
        }))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// The index, read now unless it is in memory.
    pub(super) async fn load(&self) -> io::Result<Arc<Loaded>> {
        let inner = self.0.clone();
        if let Some(loaded) = inner.shelf.take(inner.about.id) {
            return Ok(loaded);
        }
        let turn = inner.reading.clone().lock_owned().await;
        // Whoever waited for another one's reading finds it done.
        if let Some(loaded) = inner.shelf.take(inner.about.id) {
            return Ok(loaded);
        }
        let read = tokio::task::spawn_blocking(move || {
            // Held to the end, even if nobody waits for it any more.
            let _turn = turn;
            let (index, _) = read_index(&inner.folder).map_err(io::Error::other)?;
            let loaded = Arc::new(Loaded::new(index, inner.about.rules()));
            inner.shelf.put(inner.about.id, loaded.clone());
            Ok(loaded)
        });
        read.await.map_err(io::Error::other)?
    }

    fn loaded(&self) -> Option<Arc<Loaded>> {
        self.0.shelf.peek(self.0.about.id)
    }
}

impl Loaded {
    fn new(index: Index, rules: Rules) -> Loaded {
        let mut kept = index.kept;
        // A rendition of which nothing was written, or only gaps, is none.
        kept.retain(|kept| kept.entries.iter().any(|entry| !entry.is_gap()));
        let independent_segments = kept
            .iter()
            .flat_map(|kept| &kept.entries)
            .all(|entry| entry.independent || entry.is_gap());
        let rules = Rules {
            independent_segments,
            ..rules
        };
        for (at, kept) in kept.iter_mut().enumerate() {
            kept.rendition = Arc::new(Rendition {
                id: RenditionId(u8::try_from(at).unwrap_or(u8::MAX)),
                ..(*kept.rendition).clone()
            });
        }
        let of_kind = |kind| {
            let renditions = kept.iter().map(|kept| kept.rendition.clone());
            let renditions = renditions.filter(move |rendition| rendition.kind() == kind);
            renditions.collect::<Vec<Arc<Rendition>>>()
        };
        let mut video = of_kind(MediaKind::Video);
        video.sort_by_key(|rendition| {
            let pixels = rendition.track.resolution();
            let pixels = pixels.map_or(0, |(width, height)| u64::from(width) * u64::from(height));
            let best = std::cmp::Reverse((pixels, rendition.source, rendition.peak_bps));
            (best, rendition.id)
        });
        let description = Arc::new(Description {
            version: VERSION,
            rules: rules.clone(),
            video,
            audio: of_kind(MediaKind::Audio),
            leaving: Vec::new(),
            ended: true,
        });
        Loaded {
            grid: grid(&kept),
            description,
            kept,
            rules,
        }
    }

    pub(super) fn named(&self, name: &str) -> Option<&Kept> {
        self.kept.iter().find(|kept| *kept.rendition.name == *name)
    }

    /// Best first.
    pub(super) fn renditions(&self, kind: MediaKind) -> &[Arc<Rendition>] {
        match kind {
            MediaKind::Video => &self.description.video,
            MediaKind::Audio => &self.description.audio,
        }
    }

    fn snapshot(&self, kept: &Kept) -> Snapshot {
        let inits = initialisations(kept);
        let mut segments = Vec::with_capacity(self.grid.len());
        let mut own = kept.entries.iter().peekable();
        let mut discontinuities = u64::MAX;
        let mut init = kept.entries.iter().find(|entry| !entry.is_gap());
        let scale = kept.rendition.track.timescale;
        let mut end = None;
        let mut places = self.grid.iter().peekable();
        while let Some((sequence, place)) = places.next() {
            let entry = own.next_if(|entry| entry.sequence == *sequence);
            if let Some(entry) = entry.filter(|entry| !entry.is_gap()) {
                init = Some(entry);
            }
            let Some(map) = init.and_then(|entry| inits.get(usize::from(entry.init))) else {
                continue;
            };
            let mut segment = match entry {
                Some(entry) => recorded(entry, map),
                None => {
                    // Renditions begin and end with frames of their own: what is missing here lies between
                    // what is there.
                    let in_own = |micros| rescale(Ticks(micros), Timescale::MICROS, scale);
                    let start: Ticks = end.unwrap_or(in_own(place.start_micros));
                    let next = places.peek().map(|(next, place)| {
                        let entry = own.peek().filter(|entry| entry.sequence == **next);
                        entry.map_or(in_own(place.start_micros), |entry| entry.start)
                    });
                    let to = next.unwrap_or(in_own(place.end_micros));
                    missing(*sequence, place, map, (start, to.max(start + Ticks(1))))
                }
            };
            if entry.is_none() {
                let date = wall_time(segment.start, scale, self.rules.epoch);
                segment.program_date_time = date;
            }
            end = Some(segment.start + segment.duration);
            // The segment that said so may be among those that nobody has.
            segment.discontinuity |= segment.discontinuity_sequence > discontinuities;
            discontinuities = segment.discontinuity_sequence;
            segments.push(Arc::new(segment));
        }
        Snapshot {
            version: VERSION,
            rendition: kept.rendition.clone(),
            rules: self.rules.clone(),
            segments,
            next_part: 0,
            reports: Vec::new(),
            ended: true,
            stopped: false,
            scheduled: None,
        }
    }
}

/// What players are told of initialisations, whose bytes are in the files.
fn initialisations(kept: &Kept) -> Vec<Arc<Init>> {
    let inits = kept.inits.iter().map(|init| {
        Arc::new(Init {
            name: init.name.clone(),
            bytes: Bytes::new(),
            track: init.track.clone(),
        })
    });
    inits.collect()
}

/// All sequences between the first and the last one that anybody has. What nobody has lies between its
/// neighbours in equal pieces.
fn grid(kept: &[Kept]) -> BTreeMap<u64, Place> {
    let mut grid = BTreeMap::new();
    for kept in kept {
        let scale = kept.rendition.track.timescale;
        let micros = |time| in_micros(time, scale);
        for entry in &kept.entries {
            let place = Place {
                start_micros: micros(entry.start),
                end_micros: micros(entry.end()),
                discontinuity: entry.discontinuity,
                discontinuity_sequence: entry.discontinuity_sequence,
            };
            grid.entry(entry.sequence).or_insert(place);
        }
    }
    let mut lost = Vec::new();
    let known = grid.iter().zip(grid.iter().skip(1));
    for ((before, from), (after, to)) in known {
        let count = (after - before - 1).min(MAX_LOST);
        let count = i64::try_from(count).unwrap_or(0);
        let span = to.start_micros.saturating_sub(from.end_micros).max(0);
        for number in 0..count {
            let part = |number: i64| from.end_micros + span / count * number;
            let end_micros = match number + 1 == count {
                true => to.start_micros,
                false => part(number + 1),
            };
            let place = Place {
                start_micros: part(number),
                end_micros,
                discontinuity: false,
                discontinuity_sequence: from.discontinuity_sequence,
            };
            lost.push((before + 1 + number.unsigned_abs(), place));
        }
    }
    grid.extend(lost);
    grid
}

/// Segments in a row that nobody has and that are stated nevertheless: two days of them.
const MAX_LOST: u64 = 100_000;

fn recorded(entry: &Entry, init: &Arc<Init>) -> Segment {
    // Nothing is served in parts; this one tells where the media end.
    let part = Part {
        number: 0,
        start: entry.start,
        duration: entry.media_end - entry.start,
        independent: entry.independent,
        bytes: Bytes::new(),
    };
    Segment {
        sequence: entry.sequence,
        start: entry.start,
        duration: entry.duration,
        discontinuity: entry.discontinuity,
        discontinuity_sequence: entry.discontinuity_sequence,
        gap: entry.is_gap(),
        independent: entry.independent,
        complete: true,
        init: init.clone(),
        parts: if entry.is_gap() {
            Vec::new()
        } else {
            vec![Arc::new(part)]
        },
        program_date_time: entry.date,
    }
}

fn missing(
    sequence: u64,
    place: &Place,
    init: &Arc<Init>,
    (start, end): (Ticks, Ticks),
) -> Segment {
    Segment {
        sequence,
        start,
        duration: end - start,
        discontinuity: place.discontinuity,
        discontinuity_sequence: place.discontinuity_sequence,
        gap: true,
        independent: true,
        complete: true,
        init: init.clone(),
        parts: Vec::new(),
        program_date_time: Wall::default(),
    }
}

impl Timeline for Vod {
    fn description(&self) -> Option<Arc<Description>> {
        Some(self.loaded()?.description.clone())
    }

    fn snapshot(&self, rendition: &str) -> Option<Arc<Snapshot>> {
        let loaded = self.loaded()?;
        let kept = loaded.named(rendition)?;
        Some(Arc::new(loaded.snapshot(kept)))
    }

    fn progress(&self, rendition: &str) -> Option<Progress> {
        let loaded = self.loaded()?;
        loaded.named(rendition)?;
        let (last_sequence, _) = loaded.grid.last_key_value()?;
        Some(Progress {
            version: VERSION,
            last_sequence: *last_sequence,
            last_complete: true,
            last_parts: 0,
            next_part: 0,
            begun: true,
            ended: true,
        })
    }

    fn find(&self, rendition: &str, resource: Resource<'_>) -> Found {
        let wanted = match resource {
            Resource::Init(name) => Wanted::Init(name.to_owned()),
            Resource::Segment(sequence) => Wanted::Segment(sequence),
            Resource::Part(_) => return Found::Missing,
        };
        Found::Stored(Arc::new(Piece {
            vod: self.clone(),
            rendition: rendition.to_owned(),
            wanted,
        }))
    }

    fn changed<'a>(&'a self, _rendition: &'a str, seen: u64) -> Wait<'a> {
        Box::pin(async move {
            let loaded = self.load().await;
            // All that ever changes is that the index comes. One that cannot be read never does.
            if seen == VERSION || loaded.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

enum Wanted {
    Init(String),
    Segment(u64),
}

/// What a media URL names.
struct Piece {
    vod: Vod,
    rendition: String,
    wanted: Wanted,
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Piece")
            .field("rendition", &self.rendition)
            .finish_non_exhaustive()
    }
}

impl Stored for Piece {
    fn open(&self) -> Asked<'_, Option<Arc<dyn Blob>>> {
        Box::pin(async move {
            let loaded = self.vod.load().await?;
            let Some(kept) = loaded.named(&self.rendition) else {
                return Ok(None);
            };
            let place = match &self.wanted {
                Wanted::Init(name) => {
                    let init = kept.inits.iter().find(|init| init.name == *name);
                    init.map(|init| (init.offset, init.length))
                }
                Wanted::Segment(sequence) => {
                    let entry = kept.entry(*sequence).filter(|entry| !entry.is_gap());
                    entry.map(|entry| (entry.offset, entry.length))
                }
            };
            let Some((offset, length)) = place else {
                return Ok(None);
            };
            let path = media_file(&self.vod.0.folder, &kept.rendition.name);
            let Some(file) = open(path).await? else {
                return Ok(None);
            };
            let size = u64::from(length);
            let blob: Arc<dyn Blob> = Arc::new(Extent { file, offset, size });
            Ok(Some(blob))
        })
    }
}

/// Opens a file; `None` when it was deleted.
pub(super) async fn open(path: PathBuf) -> io::Result<Option<Arc<File>>> {
    let opened = tokio::task::spawn_blocking(move || File::open(path)).await;
    match opened.map_err(io::Error::other)? {
        Ok(file) => Ok(Some(Arc::new(file))),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

/// Bytes of a file.
pub(super) async fn read(file: Arc<File>, at: u64, length: usize) -> io::Result<Bytes> {
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, at)?;
        Ok(Bytes::from(bytes))
    });
    read.await.map_err(io::Error::other)?
}

/// A run of bytes in a file.
pub(super) struct Extent {
    pub(super) file: Arc<File>,
    pub(super) offset: u64,
    pub(super) size: u64,
}

impl Blob for Extent {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, from: u64) -> Asked<'_, Bytes> {
        let left = self.size.saturating_sub(from);
        let length = usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
        Box::pin(read(self.file.clone(), self.offset + from, length))
    }
}
