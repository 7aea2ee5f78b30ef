//! What is in a fragment: its samples as its head lists them (ISO/IEC 14496-12 §8.8).

use bytes::Bytes;
use mp4_atom::{Decode, Moof};

use super::Sample;
use super::boxes::boxes;
use crate::media::Ticks;

/// Samples of a fragment. Parts are of a fifth of a second; bounds what a damaged head may claim.
const MAX_FRAGMENT_SAMPLES: usize = 1 << 16;
/// `sample_is_non_sync_sample` (§8.8.3.1).
const FLAG_NON_SYNC: u32 = 0x0001_0000;

/// Samples that lie in a row.
#[derive(Debug)]
pub(super) struct Run {
    /// Place of the first byte, from the beginning of the `moof`.
    pub(super) data_offset: i64,
    pub(super) samples: Vec<Listed>,
}

/// A sample as the head of its fragment lists it, in the track's timescale.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) decoded: i64,
    pub(super) composition: i64,
    pub(super) duration: u32,
    /// Bytes.
    pub(super) size: u32,
    pub(super) key: bool,
}

/// What a `moof` lists; `None` when that is no head of a fragment of one track.
pub(super) fn runs(mut moof: &[u8]) -> Option<Vec<Run>> {
    let moof = Moof::decode(&mut moof).ok()?;
    let [fragment] = &moof.traf[..] else {
        return None;
    };
    let head = &fragment.tfhd;
    let time = fragment.tfdt.as_ref()?.base_media_decode_time;
    let mut time = i64::try_from(time).ok()?;
    let mut runs = Vec::with_capacity(fragment.trun.len());
    for run in &fragment.trun {
        if run.samples.len() > MAX_FRAGMENT_SAMPLES {
            return None;
        }
        let mut samples = Vec::with_capacity(run.samples.len());
        for sample in run.samples.iter() {
            let duration = sample.duration.or(head.default_sample_duration)?;
            let flags = sample.flags.or(head.default_sample_flags)?;
            samples.push(Listed {
                decoded: time,
                composition: sample.cts.unwrap_or(0),
                duration,
                size: sample.size.or(head.default_sample_size)?,
                key: flags & FLAG_NON_SYNC == 0,
            });
            time = time.checked_add(i64::from(duration))?;
        }
        runs.push(Run {
            data_offset: i64::from(run.data_offset?),
            samples,
        });
    }
    Some(runs)
}

/// The samples of a fragment with their decode times, in the track's timescale; boxes before its `moof` are
/// passed over. Payloads share the fragment's memory. `None` when it is no whole fragment of one track.
pub fn samples(fragment: &Bytes) -> Option<Vec<(Ticks, Sample)>> {
    let all = boxes(fragment)?;
    let (_, at, size) = all.into_iter().find(|(kind, ..)| kind == b"moof")?;
    let mut samples = Vec::new();
    for run in runs(&fragment[at..at + size])? {
        let mut begin = at.checked_add_signed(isize::try_from(run.data_offset).ok()?)?;
        for listed in run.samples {
            let end = begin.checked_add(usize::try_from(listed.size).ok()?)?;
            fragment.get(begin..end)?;
            let sample = Sample {
                duration: listed.duration,
                composition_offset: i32::try_from(listed.composition).ok()?,
                key: listed.key,
                data: fragment.slice(begin..end),
            };
            samples.push((Ticks(listed.decoded), sample));
            begin = end;
        }
    }
    Some(samples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Wall;
    use crate::format::fmp4::{Fragment, write};

    fn sample(name: &'static [u8], composition_offset: i32, key: bool) -> Sample {
        Sample {
            duration: 3600,
            composition_offset,
            key,
            data: Bytes::from_static(name),
        }
    }

    fn fragment(samples: &[Sample]) -> Bytes {
        write(&Fragment {
            sequence: 7,
            base_decode_time: 9000,
            samples,
            captured: Some(Wall(1_790_000_000_000_000)),
        })
    }

    #[test]
    fn samples_come_back_as_they_were_written() {
        let written = [
            sample(b"key", 7200, true),
            sample(b"", -3600, false),
            sample(b"another", 0, false),
        ];
        let read = samples(&fragment(&written)).unwrap();
        let times: Vec<i64> = read.iter().map(|(time, _)| time.0).collect();
        assert_eq!(times, [9000, 12_600, 16_200]);
        let read: Vec<Sample> = read.into_iter().map(|(_, sample)| sample).collect();
        assert_eq!(read, written);
    }

    #[test]
    fn half_a_fragment_is_none_and_no_panic() {
        let whole = fragment(&[sample(b"key", 0, true), sample(b"more", 0, false)]);
        for length in 0..whole.len() {
            assert_eq!(samples(&whole.slice(..length)), None, "{length} bytes");
        }
    }
}
