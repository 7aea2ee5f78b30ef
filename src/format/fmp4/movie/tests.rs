use super::*;
use crate::format::fmp4::{Fragment, Sample, init, write};
use crate::media::codec::testing::data;
use crate::media::codec::{aac, avc};
use crate::media::{CodecConfig, Track};
use mp4_atom::{Moov, ReadFrom, Trak};

fn picture() -> Track {
    Track {
        config: CodecConfig::Avc(avc::Config::parse(data("avc_crop.avcc")).unwrap()),
        timescale: Timescale::CHANNEL,
    }
}

fn sound() -> Track {
    Track {
        config: CodecConfig::Aac(aac::Config::new_lc(48_000, 2).unwrap()),
        timescale: Timescale::of(48_000),
    }
}

/// Fragments as they were cut, one after another: decode time, and duration, offset and length of samples.
type Cut<'a> = &'a [(u64, &'a [(u32, i32, usize)])];

/// A track of these fragments and their bytes, which begin `at` bytes behind the beginning of the media.
fn track(track: &Track, cut: Cut<'_>, at: usize) -> (MovieTrack, Vec<u8>) {
    let (mut samples, mut media) = (Samples::default(), Vec::new());
    for (base_decode_time, row) in cut {
        let row: Vec<Sample> = row
            .iter()
            .zip(0_u8..)
            .map(|((duration, composition_offset, size), number)| Sample {
                duration: *duration,
                composition_offset: *composition_offset,
                key: number == 0 || track.kind() == crate::media::MediaKind::Audio,
                data: Bytes::from(vec![number + 1; *size]),
            })
            .collect();
        let fragment = write(&Fragment {
            sequence: 1,
            base_decode_time: *base_decode_time,
            samples: &row,
            captured: None,
        });
        let moof = whole(&fragment, b"moof").unwrap();
        let place = u64::try_from(at + media.len()).unwrap();
        samples.take(moof, place).unwrap();
        media.extend_from_slice(&fragment);
    }
    let track = MovieTrack {
        init: init(track).unwrap(),
        timescale: track.timescale,
        samples,
    };
    (track, media)
}

fn read(header: &[u8]) -> Moov {
    let boxes = &header[..header.len() - 16];
    Moov::read_from(&mut whole(boxes, b"moov").unwrap()).unwrap()
}

/// First byte and presentation time of every sample as a player finds them, less the edit's media time.
fn shown(trak: &Trak) -> Vec<(u64, i64)> {
    let table = &trak.mdia.minf.stbl;
    let places = &table.co64.as_ref().unwrap().entries;
    let sizes = match &table.stsz.samples {
        mp4_atom::StszSamples::Different { sizes } => sizes.clone(),
        other => panic!("{other:?}"),
    };
    let each = |runs: Vec<(u32, i64)>| -> Vec<i64> {
        let runs = runs.into_iter();
        runs.flat_map(|(count, value)| (0..count).map(move |_| value))
            .collect()
    };
    let durations = table.stts.entries.iter();
    let durations = durations.map(|e| (e.sample_count, i64::from(e.sample_delta)));
    let durations = each(durations.collect());
    let offsets = table.ctts.as_ref().map_or(Vec::new(), |ctts| {
        let offsets = ctts.entries.iter();
        let offsets = offsets.map(|e| (e.sample_count, e.sample_offset));
        each(offsets.collect())
    });
    let edits = &trak.edts.as_ref().unwrap().elst.as_ref().unwrap().entries;
    let media_time = i64::try_from(edits.last().unwrap().media_time.unwrap()).unwrap();
    let mut found = Vec::new();
    let rows = table.stsc.entries.iter().rev();
    let held = |chunk: usize| {
        let mut rows = rows.clone();
        let chunk = u32::try_from(chunk).unwrap();
        rows.find(|row| row.first_chunk <= chunk)
            .unwrap()
            .samples_per_chunk
    };
    let (mut number, mut time) = (0, 0);
    for (chunk, place) in places.iter().enumerate() {
        let mut at = *place;
        for _ in 0..held(chunk + 1) {
            let offset = offsets.get(number).copied().unwrap_or(0);
            assert!(offset >= 0);
            found.push((at, time + offset - media_time));
            at += u64::from(sizes[number]);
            time += durations[number];
            number += 1;
        }
    }
    assert_eq!((number, durations.len()), (sizes.len(), sizes.len()));
    found
}

#[test]
fn every_sample_is_found_at_its_place_and_time() {
    // Pictures in another order than they are decoded, earlier than that too.
    let cut: Cut<'_> = &[
        (9_000, &[(3_000, 3_000, 50), (3_000, -3_000, 20)]),
        (15_000, &[(3_000, 0, 30)]),
    ];
    let (track, media) = track(&picture(), cut, 0);
    let size = u64::try_from(media.len()).unwrap();
    let header = movie_header(&[track], size).unwrap();
    let moov = read(&header);
    let file = [&header[..], &media].concat();
    let trak = &moov.trak[0];
    let seen = shown(trak);
    let times: Vec<i64> = seen.iter().map(|(_, time)| *time).collect();
    assert_eq!(times, [0, -3_000, 3_000], "the first is shown at zero");
    let bytes = seen
        .iter()
        .map(|(at, _)| file[usize::try_from(*at).unwrap()]);
    assert_eq!(bytes.collect::<Vec<_>>(), [1, 2, 1]);
    let keys = trak.mdia.minf.stbl.stss.as_ref().unwrap();
    assert_eq!(keys.entries, [1, 3]);
    assert_eq!(moov.mvhd.duration, 9_000);
    let mdat = &header[header.len() - 16..];
    assert_eq!(mdat[..8], *b"\0\0\0\x01mdat");
    assert_eq!(mdat[8..], (size + 16).to_be_bytes());
}

#[test]
fn what_begins_later_is_shown_later_and_a_hole_lasts_as_long_as_it_was() {
    let pictures: Cut<'_> = &[(90_000, &[(3_000, 0, 50), (3_000, 0, 20)])];
    // Half a second later; a second is missing between its fragments.
    let sounds: Cut<'_> = &[
        (72_000, &[(1_024, 0, 9), (1_024, 0, 9)]),
        (122_048, &[(1_024, 0, 9)]),
    ];
    let (first, media) = track(&picture(), pictures, 0);
    let (second, more) = track(&sound(), sounds, media.len());
    let size = u64::try_from(media.len() + more.len()).unwrap();
    let header = movie_header(&[first, second], size).unwrap();
    let moov = read(&header);
    let edits = |at: usize| {
        let edits = moov.trak[at].edts.as_ref().unwrap().elst.as_ref().unwrap();
        edits.entries.len()
    };
    assert_eq!((edits(0), edits(1)), (1, 2));
    let edits = &moov.trak[1].edts.as_ref().unwrap().elst.as_ref().unwrap();
    assert_eq!(edits.entries[0].segment_duration, 45_000);
    let file = [&header[..], &media, &more].concat();
    let seen = shown(&moov.trak[1]);
    let times: Vec<i64> = seen.iter().map(|(_, time)| *time).collect();
    assert_eq!(times, [0, 1_024, 50_048]);
    let bytes = seen
        .iter()
        .map(|(at, _)| file[usize::try_from(*at).unwrap()]);
    assert_eq!(bytes.collect::<Vec<_>>(), [1, 2, 1]);
    let table = &moov.trak[1].mdia.minf.stbl;
    assert!(table.stss.is_none() && table.ctts.is_none());
    assert_eq!(moov.trak[1].tkhd.track_id, 2);
    assert_eq!(moov.mvhd.next_track_id, 3);
}

#[test]
fn time_that_runs_back_moves_no_picture() {
    let cut: Cut<'_> = &[
        (0, &[(3_000, 0, 5), (3_000, 0, 5)]),
        (2_000, &[(3_000, 1_000, 5)]),
        (9_000, &[(3_000, 0, 5)]),
    ];
    let (track, media) = track(&picture(), cut, 0);
    let size = u64::try_from(media.len()).unwrap();
    let header = movie_header(&[track], size).unwrap();
    let seen = shown(&read(&header).trak[0]);
    let times: Vec<i64> = seen.iter().map(|(_, time)| *time).collect();
    assert_eq!(times, [0, 3_000, 3_000, 9_000]);
}

#[test]
fn what_is_no_fragment_and_a_track_without_samples_are_refused() {
    let mut samples = Samples::default();
    assert_eq!(samples.take(b"", 0), None);
    assert_eq!(samples.take(b"\0\0\0\x08moof", 0), None);
    let track = MovieTrack {
        init: init(&picture()).unwrap(),
        timescale: Timescale::CHANNEL,
        samples: Samples::default(),
    };
    assert!(movie_header(&[track], 0).is_none());
    assert!(movie_header(&[], 0).is_none());
}
