//! A fragment: `moof` and `mdat` of one track. This is the hot path of every stream: one allocation
//! of the exact size, and one copy of each payload.

use bytes::{BufMut, Bytes};

use super::TRACK_ID;
use crate::base::clock::Wall;

/// `sample_flags` (ISO/IEC 14496-12 §8.8.3.1): sample_depends_on 2 (no other).
const FLAGS_SYNC: u32 = 0x0200_0000;
/// sample_depends_on 1 (others), sample_is_non_sync_sample.
const FLAGS_NON_SYNC: u32 = 0x0101_0000;

/// `tf_flags` of `tfhd` (§8.8.7).
const TFHD_DURATION: u32 = 0x00_0008;
const TFHD_SIZE: u32 = 0x00_0010;
const TFHD_FLAGS: u32 = 0x00_0020;
const TFHD_BASE_IS_MOOF: u32 = 0x02_0000;

/// `tr_flags` of `trun` (§8.8.8).
const TRUN_DATA_OFFSET: u32 = 0x0001;
const TRUN_FIRST_FLAGS: u32 = 0x0004;
const TRUN_DURATION: u32 = 0x0100;
const TRUN_SIZE: u32 = 0x0200;
const TRUN_FLAGS: u32 = 0x0400;
const TRUN_COMPOSITION: u32 = 0x0800;

/// Fixed parts, in bytes.
const PRFT_SIZE: u32 = 32;
const MFHD_SIZE: u32 = 16;
const TFDT_SIZE: u32 = 20;
const BOX_HEADER: u32 = 8;

/// Seconds from 1900 to 1970, between the epochs of NTP and Unix (RFC 868).
const NTP_UNIX_SECONDS: i64 = 2_208_988_800;

/// One sample of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// In the track's timescale.
    pub duration: u32,
    /// Presentation time minus decode time, in the track's timescale; may be negative.
    pub composition_offset: i32,
    /// Whether decoding can start here.
    pub key: bool,
    /// The payload.
    pub data: Bytes,
}

/// What a fragment is made of.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// `sequence_number` of `mfhd`: rises from fragment to fragment.
    pub sequence: u32,
    /// Decode time of the first sample, in the track's timescale.
    pub base_decode_time: u64,
    /// In decode order; not empty, together less than 2 GiB.
    pub samples: &'a [Sample],
    /// Wall-clock time at which `base_decode_time` was captured: writes a `prft` box up front.
    pub captured: Option<Wall>,
}

/// A fragment as one piece of memory: `prft` if asked for, `moof`, `mdat`.
///
/// # Panics
/// When the samples have 2 GiB or more together, which no part of a live stream can reach: a
/// single unit is bounded at a few megabytes by every ingest.
pub fn write(fragment: &Fragment<'_>) -> Bytes {
    let samples = fragment.samples;
    let layout = Layout::of(samples);
    let payload = samples
        .iter()
        .map(|sample| sample.data.len())
        .sum::<usize>();
    let payload = u32::try_from(payload)
        .ok()
        .filter(|&size| size < 1 << 31)
        .expect("a part is below 2 GiB");
    let traf = BOX_HEADER + layout.tfhd_size() + TFDT_SIZE + layout.trun_size();
    let moof = BOX_HEADER + MFHD_SIZE + traf;
    let mdat = BOX_HEADER + payload;
    let prft = if fragment.captured.is_some() {
        PRFT_SIZE
    } else {
        0
    };
    let size = usize::try_from(prft + moof + mdat).expect("pointers have at least 32 bits");

    let mut out = Vec::with_capacity(size);
    if let Some(captured) = fragment.captured {
        put_prft(&mut out, captured, fragment.base_decode_time);
    }
    put_header(&mut out, moof, b"moof");
    put_header(&mut out, MFHD_SIZE, b"mfhd");
    out.put_u32(0);
    out.put_u32(fragment.sequence);
    put_header(&mut out, traf, b"traf");
    layout.put_tfhd(&mut out);
    // Version 1: 64 bits (§8.8.12).
    put_header(&mut out, TFDT_SIZE, b"tfdt");
    out.put_u32(1 << 24);
    out.put_u64(fragment.base_decode_time);
    layout.put_trun(&mut out, samples, moof + BOX_HEADER);
    put_header(&mut out, mdat, b"mdat");
    for sample in samples {
        out.put_slice(&sample.data);
    }
    debug_assert_eq!(out.len(), size, "the layout states the exact size");
    Bytes::from(out)
}

/// Gives a fragment that [`write`] made without a time of capture another number and another decode time, in
/// place. False, and nothing changed, when the bytes are not such a fragment's.
pub fn renumber(fragment: &mut [u8], sequence: u32, base_decode_time: u64) -> bool {
    // moof(mfhd, traf(tfhd, tfdt, ...)): all but tfhd have a fixed size.
    const SEQUENCE: usize = 8 + 12;
    const TFHD: usize = 8 + 16 + 8;
    let number = |fragment: &[u8], at: usize| {
        let bytes = fragment.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    let is = |at: usize, kind: &[u8; 4]| fragment.get(at + 4..at + 8) == Some(&kind[..]);
    let tfhd = number(fragment, TFHD).and_then(|size| usize::try_from(size).ok());
    let Some(tfdt) = tfhd.and_then(|size| TFHD.checked_add(size)) else {
        return false;
    };
    let known = is(0, b"moof") && is(8, b"mfhd") && is(24, b"traf") && is(TFHD, b"tfhd");
    let Some(time) = tfdt
        .checked_add(12)
        .filter(|at| known && at + 8 <= fragment.len())
    else {
        return false;
    };
    if !is(tfdt, b"tfdt") || fragment[tfdt + 8] != 1 {
        return false;
    }
    fragment[SEQUENCE..SEQUENCE + 4].copy_from_slice(&sequence.to_be_bytes());
    fragment[time..time + 8].copy_from_slice(&base_decode_time.to_be_bytes());
    true
}

/// Where durations, sizes and flags are stated: once for all samples, or for each.
struct Layout {
    count: u32,
    /// Stated in `tfhd`; `None` when samples differ.
    duration: Option<u32>,
    size: Option<u32>,
    flags: Option<u32>,
    /// Flags of the first sample, when only it differs from `flags`.
    first_flags: Option<u32>,
    composition: bool,
}

impl Layout {
    fn of(samples: &[Sample]) -> Layout {
        let size = |sample: &Sample| sample_size(sample);
        let (first_flags, flags) = match samples {
            [first, rest @ ..] => {
                let rest = common(rest, flags_of);
                match rest {
                    Some(rest) if rest == flags_of(first) => (None, Some(rest)),
                    Some(rest) => (Some(flags_of(first)), Some(rest)),
                    None if samples.len() == 1 => (None, Some(flags_of(first))),
                    None => (None, None),
                }
            }
            [] => (None, Some(FLAGS_SYNC)),
        };
        Layout {
            count: u32::try_from(samples.len()).expect("a part has less than 4 billion samples"),
            duration: common(samples, |sample| sample.duration),
            size: common(samples, size),
            flags,
            first_flags,
            composition: samples.iter().any(|sample| sample.composition_offset != 0),
        }
    }

    fn tfhd_size(&self) -> u32 {
        let defaults = [self.duration, self.size, self.flags];
        BOX_HEADER + 8 + 4 * count_true(defaults.map(|default| default.is_some()))
    }

    fn trun_size(&self) -> u32 {
        let each = count_true([
            self.duration.is_none(),
            self.size.is_none(),
            self.flags.is_none(),
            self.composition,
        ]);
        let first = count_true([self.first_flags.is_some()]);
        BOX_HEADER + 12 + 4 * first + 4 * each * self.count
    }

    fn put_tfhd(&self, out: &mut Vec<u8>) {
        put_header(out, self.tfhd_size(), b"tfhd");
        let flag = |default: Option<u32>, flag| if default.is_some() { flag } else { 0 };
        out.put_u32(
            TFHD_BASE_IS_MOOF
                | flag(self.duration, TFHD_DURATION)
                | flag(self.size, TFHD_SIZE)
                | flag(self.flags, TFHD_FLAGS),
        );
        out.put_u32(TRACK_ID);
        for default in [self.duration, self.size, self.flags].into_iter().flatten() {
            out.put_u32(default);
        }
    }

    /// `data_offset` counts from the first byte of `moof`.
    fn put_trun(&self, out: &mut Vec<u8>, samples: &[Sample], data_offset: u32) {
        put_header(out, self.trun_size(), b"trun");
        let flag = |set, flag| if set { flag } else { 0 };
        // Version 1: signed composition offsets.
        out.put_u32(
            (1 << 24)
                | TRUN_DATA_OFFSET
                | flag(self.first_flags.is_some(), TRUN_FIRST_FLAGS)
                | flag(self.duration.is_none(), TRUN_DURATION)
                | flag(self.size.is_none(), TRUN_SIZE)
                | flag(self.flags.is_none(), TRUN_FLAGS)
                | flag(self.composition, TRUN_COMPOSITION),
        );
        out.put_u32(self.count);
        out.put_u32(data_offset);
        if let Some(flags) = self.first_flags {
            out.put_u32(flags);
        }
        for sample in samples {
            if self.duration.is_none() {
                out.put_u32(sample.duration);
            }
            if self.size.is_none() {
                out.put_u32(sample_size(sample));
            }
            if self.flags.is_none() {
                out.put_u32(flags_of(sample));
            }
            if self.composition {
                out.put_i32(sample.composition_offset);
            }
        }
    }
}

fn flags_of(sample: &Sample) -> u32 {
    if sample.key {
        FLAGS_SYNC
    } else {
        FLAGS_NON_SYNC
    }
}

fn sample_size(sample: &Sample) -> u32 {
    u32::try_from(sample.data.len()).expect("a part is below 2 GiB")
}

/// The value that all samples share; `None` when they differ or there are none.
fn common<T: PartialEq>(samples: &[Sample], value: impl Fn(&Sample) -> T) -> Option<T> {
    let (first, rest) = samples.split_first()?;
    let first = value(first);
    rest.iter()
        .all(|sample| value(sample) == first)
        .then_some(first)
}

fn count_true<const N: usize>(flags: [bool; N]) -> u32 {
    flags.into_iter().map(u32::from).sum()
}

fn put_header(out: &mut Vec<u8>, size: u32, kind: &[u8; 4]) {
    out.put_u32(size);
    out.put_slice(kind);
}

/// ProducerReferenceTimeBox, ISO/IEC 14496-12 §8.16.5, with the time of capture (flags 24).
fn put_prft(out: &mut Vec<u8>, captured: Wall, media_time: u64) {
    put_header(out, PRFT_SIZE, b"prft");
    out.put_u32((1 << 24) | 24);
    out.put_u32(TRACK_ID);
    let seconds = captured
        .0
        .div_euclid(1_000_000)
        .saturating_add(NTP_UNIX_SECONDS);
    let micros = captured.0.rem_euclid(1_000_000);
    let fraction = (micros << 32) / 1_000_000;
    // NTP seconds wrap in 2036 (RFC 5905 §6); the era is the reader's to tell.
    let seconds = seconds.rem_euclid(1 << 32);
    out.put_u64(u64::try_from((i128::from(seconds) << 32) | i128::from(fraction)).unwrap_or(0));
    out.put_u64(media_time);
}

#[cfg(test)]
mod tests;
