//! A recording as one file: a header that lists every sample, then the segments of a picture and a sound
//! track in turns, as they were recorded. Where each byte of the file lies is known without reading any
//! media; what the header says of samples is read once from the heads of fragments, and kept beside the
//! media for whoever asks again.
//!
//! One file has one codec configuration for each track: where that changes another part of the recording
//! begins. So it does after [`PART`], which bounds the header.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::about::save;
use super::index::{Entry, Kept};
use super::recorder::media_file;
use super::vod::{self, Extent, Loaded, Vod};
use crate::format::fmp4::{self, MovieTrack, Samples};
use crate::media::time::rescale;
use crate::media::timeline::{Asked, Blob};
use crate::media::{MediaKind, Timescale};

/// Length of a part, at most. Times in its header are of 32 bits, and the making of the header takes twice
/// its size of memory: 2 MB an hour, 4 MB where 60 pictures a second are shown in another order.
const PART: Duration = Duration::from_secs(12 * 3600);
/// Bytes of a media file that are looked at for the heads of fragments at once: one has 12 bytes a sample.
const LOOK_BYTES: usize = 4096;

/// A part of a recording, to be downloaded.
pub struct Movie {
    header: Header,
    /// In the order of the file.
    chunks: Vec<Chunk>,
    /// The media, by track.
    files: Vec<Arc<File>>,
    /// How many parts the recording has.
    pub parts: usize,
}

enum Header {
    /// Made by an earlier request.
    Kept(Extent),
    /// Made now.
    Made(Bytes),
}

/// A segment in the file.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    /// Its first byte's place behind the header.
    at: u64,
    /// Its place in the rendition's file.
    offset: u64,
    length: u32,
    track: u8,
}

/// Sequences with one configuration of each track.
#[derive(Default)]
struct Run<'a> {
    began_micros: i64,
    inits: [Option<u16>; 2],
    segments: Vec<(usize, &'a Entry)>,
}

impl Movie {
    /// The `part`th part, counted from 1; `None` when there is no such part or rendition. `making` lets
    /// one header be made at a time.
    pub(super) async fn open(
        vod: &Vod,
        rendition: Option<&str>,
        part: usize,
        making: &Semaphore,
    ) -> io::Result<Option<Movie>> {
        let loaded = vod.load().await?;
        let Some(kept) = choose(&loaded, rendition) else {
            return Ok(None);
        };
        let runs = runs(&kept);
        let parts = runs.len();
        let Some(run) = part.checked_sub(1).and_then(|at| runs.into_iter().nth(at)) else {
            return Ok(None);
        };
        let mut tracks = Vec::new();
        let mut files = Vec::new();
        let mut numbers = [None; 2];
        for (at, kept) in kept.iter().enumerate() {
            let Some(init) = run.inits[at].and_then(|init| kept.inits.get(usize::from(init)))
            else {
                continue;
            };
            let path = media_file(vod.folder(), &kept.rendition.name);
            let Some(file) = vod::open(path).await? else {
                return Ok(None);
            };
            let length = usize::try_from(init.length).unwrap_or(usize::MAX);
            numbers[at] = u8::try_from(tracks.len()).ok();
            tracks.push(MovieTrack {
                init: vod::read(file.clone(), init.offset, length).await?,
                timescale: kept.rendition.track.timescale,
                samples: Samples::default(),
            });
            files.push(file);
        }
        let mut at = 0;
        let chunks = run.segments.iter().filter_map(|(track, entry)| {
            let chunk = Chunk {
                at,
                offset: entry.offset,
                length: entry.length,
                track: numbers[*track]?,
            };
            at += u64::from(entry.length);
            Some(chunk)
        });
        let mut movie = Movie {
            header: Header::Made(Bytes::new()),
            chunks: chunks.collect(),
            files,
            parts,
        };
        let name = format!("{}-{part}.moov", kept[0].rendition.name);
        let path = vod.folder().join(&name);
        if let Some(kept) = kept_header(&path).await? {
            movie.header = kept;
            return Ok(Some(movie));
        }
        let _turn = making.acquire().await.map_err(io::Error::other)?;
        // Whoever waited for another one's making finds it done.
        if let Some(kept) = kept_header(&path).await? {
            movie.header = kept;
            return Ok(Some(movie));
        }
        let (chunks, files) = (movie.chunks.clone(), movie.files.clone());
        let folder = vod.folder().to_owned();
        let make = move || {
            let header = header(tracks, &chunks, &files)?;
            let kept = save(&folder, &name, &header);
            Ok::<_, io::Error>((header, kept))
        };
        let made = tokio::task::spawn_blocking(make).await;
        let (header, saved) = made.map_err(io::Error::other)??;
        movie.header = Header::Made(header);
        match saved {
            // From now on it is read in pieces.
            Ok(()) => {
                if let Some(kept) = kept_header(&path).await? {
                    movie.header = kept;
                }
            }
            // On a full disk it is made each time.
            Err(err) => tracing::warn!(%err, "header of a movie not kept"),
        }
        Ok(Some(movie))
    }

    fn header_bytes(&self) -> u64 {
        match &self.header {
            Header::Kept(kept) => kept.size(),
            Header::Made(made) => made.len() as u64,
        }
    }

    async fn piece(&self, from: u64) -> io::Result<Bytes> {
        let Some(behind) = from.checked_sub(self.header_bytes()) else {
            return match &self.header {
                Header::Kept(kept) => kept.read(from).await,
                Header::Made(made) => Ok(made.slice(usize::try_from(from).unwrap_or(0)..)),
            };
        };
        let number = self.chunks.partition_point(|chunk| chunk.at <= behind);
        let Some(chunk) = number.checked_sub(1).map(|number| self.chunks[number]) else {
            return Ok(Bytes::new());
        };
        let segment = Extent {
            file: self.files[usize::from(chunk.track)].clone(),
            offset: chunk.offset,
            size: u64::from(chunk.length),
        };
        segment.read(behind - chunk.at).await
    }
}

impl Blob for Movie {
    fn size(&self) -> u64 {
        let last = self.chunks.last();
        let media = last.map_or(0, |last| last.at + u64::from(last.length));
        self.header_bytes() + media
    }

    fn read(&self, from: u64) -> Asked<'_, Bytes> {
        Box::pin(self.piece(from))
    }
}

/// How many parts a recording has: those of its best picture and its sound.
pub(super) async fn parts(vod: &Vod) -> io::Result<usize> {
    let loaded = vod.load().await?;
    Ok(choose(&loaded, None).map_or(0, |kept| runs(&kept).len()))
}

async fn kept_header(path: &Path) -> io::Result<Option<Header>> {
    let Some(file) = vod::open(path.to_owned()).await? else {
        return Ok(None);
    };
    let size = file.metadata()?.len();
    let offset = 0;
    Ok(Some(Header::Kept(Extent { file, offset, size })))
}

/// Reads what the heads of fragments say of samples, and lists them. Blocks.
fn header(mut tracks: Vec<MovieTrack>, chunks: &[Chunk], files: &[Arc<File>]) -> io::Result<Bytes> {
    for chunk in chunks {
        let track = usize::from(chunk.track);
        let segment = Heads {
            file: &files[track],
            chunk,
            look: Vec::new(),
            look_at: 0,
        };
        segment.list(&mut tracks[track].samples)?;
    }
    let last = chunks.last();
    let media = last.map_or(0, |last| last.at + u64::from(last.length));
    fmp4::movie_header(&tracks, media).ok_or_else(damaged)
}

/// The boxes of a segment, without their media.
struct Heads<'a> {
    file: &'a File,
    chunk: &'a Chunk,
    /// What was read last, and where in the segment that begins.
    look: Vec<u8>,
    look_at: u32,
}

impl Heads<'_> {
    fn list(mut self, samples: &mut Samples) -> io::Result<()> {
        let mut at = 0;
        while at < self.chunk.length {
            // ISO/IEC 14496-12 §4.2
            let head = self.bytes(at, 8)?;
            let size = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let is_moof = head[4..8] == *b"moof";
            if size < 8 || size > self.chunk.length - at {
                return Err(damaged());
            }
            if is_moof {
                let place = self.chunk.at + u64::from(at);
                let moof = self.bytes(at, size)?;
                samples.take(moof, place).ok_or_else(damaged)?;
            }
            at += size;
        }
        Ok(())
    }

    /// Some bytes of the segment, which has them.
    fn bytes(&mut self, at: u32, count: u32) -> io::Result<&[u8]> {
        let size = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
        let held = at
            .checked_sub(self.look_at)
            .is_some_and(|from| size(from) + size(count) <= self.look.len());
        if !held {
            let left = size(self.chunk.length - at);
            self.look.resize(LOOK_BYTES.max(size(count)).min(left), 0);
            let from = self.chunk.offset + u64::from(at);
            self.file.read_exact_at(&mut self.look, from)?;
            self.look_at = at;
        }
        let from = size(at - self.look_at);
        let bytes = self.look.get(from..from + size(count));
        bytes.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

fn damaged() -> io::Error {
    let what = "a recorded segment is not made of whole boxes";
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The picture asked for or the best one, and the first sound; or sound alone.
fn choose<'a>(loaded: &'a Loaded, rendition: Option<&str>) -> Option<Vec<&'a Kept>> {
    let named = match rendition {
        Some(name) => Some(loaded.named(name)?),
        None => None,
    };
    let first = |kind| {
        let first = loaded.renditions(kind).first()?;
        loaded.named(&first.name)
    };
    let kept = match named {
        Some(sound) if sound.rendition.kind() == MediaKind::Audio => vec![sound],
        Some(picture) => [Some(picture), first(MediaKind::Audio)]
            .into_iter()
            .flatten()
            .collect(),
        None => [first(MediaKind::Video), first(MediaKind::Audio)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>(),
    };
    (!kept.is_empty()).then_some(kept)
}

/// Cuts at every change of a configuration and after [`PART`], for all tracks at the same sequence.
fn runs<'a>(kept: &[&'a Kept]) -> Vec<Run<'a>> {
    let media = |track: usize| {
        let entries = kept.get(track).map_or(&[][..], |kept| &kept.entries);
        entries.iter().filter(|entry| !entry.is_gap()).peekable()
    };
    let (mut first, mut second) = (media(0), media(1));
    let mut runs: Vec<Run<'a>> = Vec::new();
    loop {
        let next = [first.peek(), second.peek()];
        let Some(sequence) = next.iter().flatten().map(|entry| entry.sequence).min() else {
            return runs;
        };
        let pair = [
            first.next_if(|entry| entry.sequence == sequence),
            second.next_if(|entry| entry.sequence == sequence),
        ];
        let micros = |track: usize, entry: &Entry| {
            let scale = kept[track].rendition.track.timescale;
            let own = [entry.start, entry.end()];
            own.map(|time| rescale(time, scale, Timescale::MICROS).0)
        };
        let spans = pair.iter().enumerate();
        let spans = spans.filter_map(|(track, entry)| Some(micros(track, (*entry)?)));
        let span = spans.reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])]);
        let [began_micros, ended_micros] = span.expect("one of them has this sequence");
        let goes_on = |run: &Run<'_>| {
            let mut tracks = run.inits.iter().zip(&pair);
            let length = u64::try_from(ended_micros - run.began_micros).unwrap_or(0);
            Duration::from_micros(length) <= PART
                && tracks.all(|(init, entry)| match (init, entry) {
                    (Some(init), Some(entry)) => *init == entry.init,
                    _ => true,
                })
        };
        if !runs.last().is_some_and(goes_on) {
            runs.push(Run {
                began_micros,
                ..Run::default()
            });
        }
        let run = runs.last_mut().expect("one was pushed");
        for (track, entry) in pair.into_iter().enumerate() {
            if let Some(entry) = entry {
                run.inits[track].get_or_insert(entry.init);
                run.segments.push((track, entry));
            }
        }
    }
}
