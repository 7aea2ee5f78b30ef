//! A recording as one file: `ftyp` and `moov` of a picture and a sound track, then the fragments of both in
//! turns, as they were recorded. Only track numbers, fragment numbers and decode times are written anew,
//! which changes no length: where each byte of the file lies is known without reading any media.
//!
//! It is a fragmented MP4: browsers, VLC, mpv, ffmpeg and QuickTime play it; editors that want a table of
//! all samples up front want `ffmpeg -i in.mp4 -c copy out.mp4` first. One file has one codec configuration
//! for each track: where that changes another part of the recording begins.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::{BufMut, Bytes};

use super::index::{Entry, Kept};
use super::recorder::media_file;
use super::vod::{self, Loaded, Vod};
use crate::media::time::rescale;
use crate::media::timeline::{Asked, Blob};
use crate::media::{MediaKind, Ticks, Timescale};

/// Ticks per second of the movie header.
const MOVIE_SCALE: Timescale = Timescale::MILLIS;
/// Fragments of one segment, at most: a number is kept for each. Parts are of a fifth of a second.
const FRAGMENTS_PER_SEGMENT: u32 = 256;

/// A part of a recording, to be downloaded.
pub struct Movie {
    header: Bytes,
    /// In the order of the file.
    chunks: Vec<Chunk>,
    tracks: Vec<TrackFile>,
    size: u64,
    /// How many parts the recording has.
    pub parts: usize,
}

struct TrackFile {
    file: Arc<File>,
    /// What is subtracted from decode times.
    base: Ticks,
}

/// A segment in the file.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    /// Its first byte's place in the movie.
    at: u64,
    /// Its place in the rendition's file.
    offset: u64,
    length: u32,
    track: u8,
}

/// Sequences with one configuration of each track.
#[derive(Default)]
struct Run<'a> {
    inits: [Option<u16>; 2],
    segments: Vec<(usize, &'a Entry)>,
}

impl Movie {
    /// The `part`th part, counted from 1; `None` when there is no such part or rendition.
    pub(super) async fn open(
        vod: &Vod,
        rendition: Option<&str>,
        part: usize,
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
        let mut inits = Vec::new();
        let mut numbers = [None; 2];
        let beginning = run.segments.iter().map(|(track, entry)| {
            let scale = kept[*track].rendition.track.timescale;
            rescale(entry.start, scale, Timescale::MICROS)
        });
        let beginning = beginning.min().unwrap_or_default();
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
            inits.push(vod::read(file.clone(), init.offset, length).await?);
            numbers[at] = u8::try_from(tracks.len()).ok();
            let scale = kept.rendition.track.timescale;
            let base = rescale(beginning, Timescale::MICROS, scale);
            tracks.push(TrackFile { file, base });
        }
        let end = run.segments.iter().map(|(track, entry)| {
            let scale = kept[*track].rendition.track.timescale;
            rescale(entry.end(), scale, Timescale::MICROS)
        });
        let length = end.max().unwrap_or_default() - beginning;
        let length = rescale(length, Timescale::MICROS, MOVIE_SCALE);
        let Some(header) = header(&inits, length) else {
            let what = "initialisation of a recording cannot be read";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        };
        let mut at = header.len() as u64;
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
        Ok(Some(Movie {
            chunks: chunks.collect(),
            header,
            tracks,
            size: at,
            parts,
        }))
    }

    async fn piece(&self, from: u64) -> io::Result<Bytes> {
        let header = self.header.len() as u64;
        if from < header {
            let from = usize::try_from(from).unwrap_or(usize::MAX);
            return Ok(self.header.slice(from..));
        }
        let number = self.chunks.partition_point(|chunk| chunk.at <= from);
        let Some((number, chunk)) = number.checked_sub(1).map(|at| (at, self.chunks[at])) else {
            return Ok(Bytes::new());
        };
        let within = usize::try_from(from - chunk.at).unwrap_or(usize::MAX);
        let length = usize::try_from(chunk.length).unwrap_or(usize::MAX);
        if within >= length {
            return Ok(Bytes::new());
        }
        let track = &self.tracks[usize::from(chunk.track)];
        let bytes = vod::read(track.file.clone(), chunk.offset, length).await?;
        let mut bytes = Vec::from(bytes);
        let first = u32::try_from(number).unwrap_or(u32::MAX);
        let first = first
            .saturating_mul(FRAGMENTS_PER_SEGMENT)
            .saturating_add(1);
        let id = u32::from(chunk.track) + 1;
        if renumber(&mut bytes, id, track.base, first).is_none() {
            let what = "a recorded segment is not made of whole boxes";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(Bytes::from(bytes).slice(within..))
    }
}

impl Blob for Movie {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, from: u64) -> Asked<'_, Bytes> {
        Box::pin(self.piece(from))
    }
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

/// Cuts at every change of a configuration, for all tracks at the same sequence.
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
        let goes_on = |run: &Run<'_>| {
            let mut tracks = run.inits.iter().zip(&pair);
            tracks.all(|(init, entry)| match (init, entry) {
                (Some(init), Some(entry)) => *init == entry.init,
                _ => true,
            })
        };
        if !runs.last().is_some_and(goes_on) {
            runs.push(Run::default());
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

/// The boxes of some bytes (ISO/IEC 14496-12 §4.2): type, place and size of each; `None` when they are
/// not whole.
fn boxes(bytes: &[u8]) -> Option<Vec<([u8; 4], usize, usize)>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let head = bytes.get(at..at + 8)?;
        let size = u32::from_be_bytes(head[..4].try_into().ok()?);
        let size = usize::try_from(size).ok().filter(|size| *size >= 8)?;
        let kind = head[4..8].try_into().ok()?;
        bytes.get(at..at.checked_add(size)?)?;
        found.push((kind, at, size));
        at += size;
    }
    Some(found)
}

/// The first box of a type.
fn find<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    let found = boxes(bytes)?.into_iter().find(|(known, ..)| known == kind);
    found.map(|(_, at, size)| &bytes[at..at + size])
}

fn set_u32(bytes: &mut [u8], at: usize, value: u32) -> Option<()> {
    bytes
        .get_mut(at..at + 4)?
        .copy_from_slice(&value.to_be_bytes());
    Some(())
}

/// `ftyp` and `moov` of all tracks, numbered from 1.
fn header(inits: &[Bytes], length: Ticks) -> Option<Bytes> {
    let first = inits.first()?;
    let mut out = Vec::from(find(first, b"ftyp")?);
    let body = |init: &Bytes| find(init, b"moov").map(|moov| Bytes::copy_from_slice(&moov[8..]));
    let moovs: Vec<Bytes> = inits.iter().map(body).collect::<Option<_>>()?;
    let mut movie = Vec::new();
    // §8.2.2, version 0: times at 12, timescale at 20, next track at the end.
    let mut mvhd = Vec::from(find(&moovs[0], b"mvhd")?);
    set_u32(&mut mvhd, 20, MOVIE_SCALE.get())?;
    let last = mvhd.len().checked_sub(4)?;
    set_u32(&mut mvhd, last, u32::try_from(inits.len()).ok()? + 1)?;
    movie.put_slice(&mvhd);
    for (number, moov) in (1..).zip(&moovs) {
        let mut trak = Vec::from(find(moov, b"trak")?);
        let tkhd = boxes(&trak[8..])?
            .into_iter()
            .find(|(kind, ..)| kind == b"tkhd");
        // §8.3.2, version 0: the track's number follows two times of 32 bits.
        set_u32(&mut trak, 8 + tkhd?.1 + 20, number)?;
        movie.put_slice(&trak);
    }
    let mut extends = Vec::new();
    // §8.8.2, version 1: the length of the whole.
    extends.put_u32(20);
    extends.put_slice(b"mehd");
    extends.put_u32(1 << 24);
    extends.put_i64(length.0.max(0));
    for (number, moov) in (1..).zip(&moovs) {
        let mvex = find(moov, b"mvex")?;
        let mut trex = Vec::from(find(&mvex[8..], b"trex")?);
        // §8.8.3
        set_u32(&mut trex, 12, number)?;
        extends.put_slice(&trex);
    }
    movie.put_u32(u32::try_from(extends.len() + 8).ok()?);
    movie.put_slice(b"mvex");
    movie.put_slice(&extends);
    out.put_u32(u32::try_from(movie.len() + 8).ok()?);
    out.put_slice(b"moov");
    out.put_slice(&movie);
    Some(Bytes::from(out))
}

/// Writes track numbers, fragment numbers from `number` on and decode times less `base` into a segment.
fn renumber(bytes: &mut [u8], track: u32, base: Ticks, mut number: u32) -> Option<()> {
    for (kind, at, size) in boxes(bytes)? {
        let inner = &mut bytes[at..at + size];
        match &kind {
            // §8.16.5
            b"prft" => set_u32(inner, 12, track)?,
            b"moof" => {
                fragment(&mut inner[8..], track, base, number)?;
                number = number.saturating_add(1);
            }
            _ => {}
        }
    }
    Some(())
}

/// The contents of a `moof`.
fn fragment(bytes: &mut [u8], track: u32, base: Ticks, number: u32) -> Option<()> {
    for (kind, at, size) in boxes(bytes)? {
        let inner = &mut bytes[at..at + size];
        match &kind {
            // §8.8.5
            b"mfhd" => set_u32(inner, 12, number)?,
            b"traf" => {
                let traf = &mut inner[8..];
                for (kind, at, size) in boxes(traf)? {
                    let inner = &mut traf[at..at + size];
                    match &kind {
                        // §8.8.7
                        b"tfhd" => set_u32(inner, 12, track)?,
                        // §8.8.12; fragments are written with version 1, of 64 bits.
                        b"tfdt" => {
                            let time = inner.get_mut(12..20)?;
                            let old = u64::from_be_bytes((&*time).try_into().ok()?);
                            let base = u64::try_from(base.0).unwrap_or(0);
                            time.copy_from_slice(&old.saturating_sub(base).to_be_bytes());
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some(())
}
