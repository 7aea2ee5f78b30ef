//! A file with all its samples listed up front (ISO/IEC 14496-12 §8.5 to §8.7), as every player and
//! editor reads it. The media behind its header are fragments as they were cut, in one `mdat`: tables
//! point past their heads, so that nothing of them is written anew.

use bytes::{BufMut, Bytes};

use super::boxes::{boxed, boxes, full};
use super::read::runs;
use crate::media::time::rescale;
use crate::media::{Ticks, Timescale};

/// Ticks per second of the movie header and of edit lists.
const MOVIE_SCALE: Timescale = Timescale::CHANNEL;
/// Head of an `mdat` with a size of 64 bits (§4.2).
const MDAT_HEAD: u64 = 16;

/// The samples of one track.
#[derive(Debug, Default)]
pub struct Samples {
    /// Decode and presentation time of the first.
    first: Option<(i64, i64)>,
    /// Decode time of the newest, and how long it lasts by itself.
    newest: (i64, u32),
    /// Of all but the newest, in runs: how many, how long.
    durations: Vec<(u32, u32)>,
    /// In runs: how many, presentation minus decode time.
    compositions: Vec<(u32, i32)>,
    sizes: Vec<u32>,
    /// Numbers of those where decoding can start, from 1.
    keys: Vec<u32>,
    /// Place of the first byte, and how many samples lie there in a row.
    chunks: Vec<(u64, u32)>,
}

/// A track of the movie.
#[derive(Debug)]
pub struct MovieTrack {
    /// Its initialisation segment, from this module.
    pub init: Bytes,
    /// Its timescale.
    pub timescale: Timescale,
    /// Its samples.
    pub samples: Samples,
}

impl Samples {
    /// Adds what a fragment holds; its `moof` stands `at` bytes behind the beginning of the media. `None`
    /// when that is no head of a fragment of one track.
    pub fn take(&mut self, moof: &[u8], at: u64) -> Option<()> {
        for run in runs(moof)? {
            let place = at.checked_add_signed(run.data_offset)?;
            self.chunks
                .push((place, u32::try_from(run.samples.len()).ok()?));
            for sample in run.samples {
                let presented = sample.decoded.checked_add(sample.composition)?;
                self.push(sample.decoded, presented, sample.duration)?;
                self.sizes.push(sample.size);
                if sample.key {
                    self.keys.push(u32::try_from(self.sizes.len()).ok()?);
                }
            }
        }
        Some(())
    }

    /// The sample before lasts until this one, over a gap too. Where time runs back it stands still;
    /// pictures are shown when they should be all the same.
    fn push(&mut self, time: i64, presented: i64, duration: u32) -> Option<()> {
        let decoded = match self.first {
            None => {
                self.first = Some((time, presented));
                time
            }
            Some(_) => {
                let lasting = u32::try_from((time - self.newest.0).max(0)).ok()?;
                count(&mut self.durations, lasting);
                self.newest.0 + i64::from(lasting)
            }
        };
        let composition = i32::try_from(presented - decoded).ok()?;
        count(&mut self.compositions, composition);
        self.newest = (decoded, duration);
        Some(())
    }

    /// What makes all composition offsets positive: older readers know no others.
    fn shift(&self) -> i32 {
        let offsets = self.compositions.iter().map(|(_, offset)| *offset);
        offsets.min().unwrap_or(0).min(0).saturating_neg()
    }
}

fn count<T: PartialEq>(runs: &mut Vec<(u32, T)>, value: T) {
    match runs.last_mut() {
        Some((count, last)) if *last == value => *count += 1,
        _ => runs.push((1, value)),
    }
}

/// Where a track lies in the movie.
struct Edit {
    /// Time before its first sample is shown, in the movie's timescale.
    empty: u32,
    /// Time in which it is shown, in the movie's timescale.
    shown: u32,
    /// When its first sample is shown, in its own timescale.
    media_time: u32,
    /// Its length, in its own timescale.
    length: u32,
}

/// `ftyp`, `moov` and the head of an `mdat` of so many bytes. The first sample of all is shown at zero.
/// `None` when a track has no samples, is no initialisation of ours, or is longer than 32 bits can say.
pub fn movie_header(tracks: &[MovieTrack], media_bytes: u64) -> Option<Bytes> {
    let begins = |track: &MovieTrack| {
        let (_, presented) = track.samples.first?;
        Some(rescale(Ticks(presented), track.timescale, MOVIE_SCALE))
    };
    let begun: Vec<Ticks> = tracks.iter().map(begins).collect::<Option<_>>()?;
    let beginning = begun.iter().copied().min()?;
    let mut edits = Vec::new();
    for (track, begun) in tracks.iter().zip(begun) {
        let samples = &track.samples;
        let (decoded, presented) = samples.first?;
        let media_time = presented - decoded + i64::from(samples.shift());
        let length = samples.newest.0 - decoded + i64::from(samples.newest.1);
        let shown = rescale(Ticks(length), track.timescale, MOVIE_SCALE);
        edits.push(Edit {
            empty: u32::try_from((begun - beginning).0).ok()?,
            shown: u32::try_from(shown.0).ok()?,
            media_time: u32::try_from(media_time).ok()?,
            length: u32::try_from(length + media_time).ok()?,
        });
    }
    let mut out = Vec::new();
    boxed(&mut out, b"ftyp", |out| {
        out.put_slice(b"isom");
        out.put_u32(0x200);
        for brand in [b"isom", b"iso6", b"mp42"] {
            out.put_slice(brand);
        }
    });
    let mut places = Vec::new();
    within(&mut out, b"moov", |out| {
        put_movie(out, tracks, &edits, &mut places)
    })?;
    out.put_u32(1);
    out.put_slice(b"mdat");
    out.put_u64(media_bytes + MDAT_HEAD);
    // Where the media begin is known now.
    let media_at = u64::try_from(out.len()).ok()?;
    for (at, count) in places {
        for place in out.get_mut(at..)?.chunks_exact_mut(8).take(count) {
            let behind = u64::from_be_bytes((&*place).try_into().ok()?);
            place.copy_from_slice(&behind.checked_add(media_at)?.to_be_bytes());
        }
    }
    Some(Bytes::from(out))
}

/// Adds to `places` where lists of places stand and how long they are.
fn put_movie(
    out: &mut Vec<u8>,
    tracks: &[MovieTrack],
    edits: &[Edit],
    places: &mut Vec<(usize, usize)>,
) -> Option<()> {
    let length = edits.iter().map(|edit| edit.empty.checked_add(edit.shown));
    let first = find(&tracks.first()?.init, b"moov")?;
    let mut mvhd = Vec::from(whole(first, b"mvhd")?);
    // §8.2.2, version 0: timescale at 20, duration at 24, next track at the end.
    set_u32(&mut mvhd, 20, MOVIE_SCALE.get())?;
    set_u32(&mut mvhd, 24, length.max()??)?;
    let last = mvhd.len().checked_sub(4)?;
    set_u32(&mut mvhd, last, u32::try_from(tracks.len()).ok()? + 1)?;
    out.put_slice(&mvhd);
    for (number, (track, edit)) in (1..).zip(tracks.iter().zip(edits)) {
        let trak = find(find(&track.init, b"moov")?, b"trak")?;
        within(out, b"trak", |out| {
            put_track(out, trak, number, edit)?;
            let mdia = find(trak, b"mdia")?;
            within(out, b"mdia", |out| {
                put_media(out, mdia, &track.samples, edit, places)
            })
        })?;
    }
    Some(())
}

/// What a `trak` says before its media.
fn put_track(out: &mut Vec<u8>, trak: &[u8], number: u32, edit: &Edit) -> Option<()> {
    // §8.3.2, version 0: the number at 20, the duration at 28.
    let mut tkhd = Vec::from(whole(trak, b"tkhd")?);
    set_u32(&mut tkhd, 20, number)?;
    set_u32(&mut tkhd, 28, edit.empty.checked_add(edit.shown)?)?;
    out.put_slice(&tkhd);
    // §8.6.6
    boxed(out, b"edts", |out| {
        full(out, b"elst", 0, 0, |out| {
            out.put_u32(if edit.empty > 0 { 2 } else { 1 });
            let empty = (edit.empty > 0).then_some((edit.empty, u32::MAX));
            for (length, time) in empty.into_iter().chain([(edit.shown, edit.media_time)]) {
                out.put_u32(length);
                out.put_u32(time);
                out.put_u32(0x0001_0000);
            }
        });
    });
    Some(())
}

fn put_media(
    out: &mut Vec<u8>,
    mdia: &[u8],
    samples: &Samples,
    edit: &Edit,
    places: &mut Vec<(usize, usize)>,
) -> Option<()> {
    // §8.4.2, version 0: the duration at 24.
    let mut mdhd = Vec::from(whole(mdia, b"mdhd")?);
    set_u32(&mut mdhd, 24, edit.length)?;
    out.put_slice(&mdhd);
    out.put_slice(whole(mdia, b"hdlr")?);
    let minf = find(mdia, b"minf")?;
    within(out, b"minf", |out| {
        for (kind, at, size) in boxes(minf)? {
            if kind != *b"stbl" {
                out.put_slice(&minf[at..at + size]);
            }
        }
        within(out, b"stbl", |out| {
            out.put_slice(whole(find(minf, b"stbl")?, b"stsd")?);
            put_tables(out, samples, places)
        })
    })
}

fn put_tables(
    out: &mut Vec<u8>,
    samples: &Samples,
    places: &mut Vec<(usize, usize)>,
) -> Option<()> {
    let length = |entries: usize| u32::try_from(entries).ok();
    let mut durations = samples.durations.clone();
    count(&mut durations, samples.newest.1);
    let counts = (
        length(durations.len())?,
        length(samples.compositions.len())?,
        length(samples.keys.len())?,
        length(samples.sizes.len())?,
        length(samples.chunks.len())?,
    );
    // §8.6.1.2
    full(out, b"stts", 0, 0, |out| {
        out.put_u32(counts.0);
        for (count, ticks) in &durations {
            out.put_u32(*count);
            out.put_u32(*ticks);
        }
    });
    // §8.6.1.3
    let shift = samples.shift();
    if samples.compositions.iter().any(|(_, offset)| *offset != 0) {
        full(out, b"ctts", 0, 0, |out| {
            out.put_u32(counts.1);
            for (count, offset) in &samples.compositions {
                out.put_u32(*count);
                out.put_i32(offset.saturating_add(shift));
            }
        });
    }
    // §8.6.2; without it all are.
    if samples.keys.len() < samples.sizes.len() {
        full(out, b"stss", 0, 0, |out| {
            out.put_u32(counts.2);
            samples.keys.iter().for_each(|key| out.put_u32(*key));
        });
    }
    // §8.7.4: at which chunk another number of samples begins.
    let mut rows: Vec<(u32, u32)> = Vec::new();
    for (number, (_, held)) in (1..).zip(&samples.chunks) {
        if rows.last().is_none_or(|(_, last)| last != held) {
            rows.push((number, *held));
        }
    }
    let row_count = length(rows.len())?;
    full(out, b"stsc", 0, 0, |out| {
        out.put_u32(row_count);
        for (chunk, held) in rows {
            out.put_u32(chunk);
            out.put_u32(held);
            out.put_u32(1);
        }
    });
    // §8.7.3.2
    full(out, b"stsz", 0, 0, |out| {
        out.put_u32(0);
        out.put_u32(counts.3);
        samples.sizes.iter().for_each(|size| out.put_u32(*size));
    });
    // §8.7.5
    full(out, b"co64", 0, 0, |out| {
        out.put_u32(counts.4);
        places.push((out.len(), samples.chunks.len()));
        for (place, _) in &samples.chunks {
            out.put_u64(*place);
        }
    });
    Some(())
}

/// A box whose body may turn out not to be possible.
fn within(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    body: impl FnOnce(&mut Vec<u8>) -> Option<()>,
) -> Option<()> {
    let mut done = None;
    boxed(out, kind, |out| done = body(out));
    done
}

/// The first box of a type, with its head.
fn whole<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    let found = boxes(bytes)?.into_iter().find(|(known, ..)| known == kind);
    found.map(|(_, at, size)| &bytes[at..at + size])
}

/// What is in the first box of a type.
fn find<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    whole(bytes, kind)?.get(8..)
}

fn set_u32(bytes: &mut [u8], at: usize, value: u32) -> Option<()> {
    bytes
        .get_mut(at..at + 4)?
        .copy_from_slice(&value.to_be_bytes());
    Some(())
}

#[cfg(test)]
mod tests;
