use super::*;
use mp4_atom::{Mdat, Moof, Prft, ReadFrom, ReferenceTime, Trun};
use proptest::prelude::*;

fn sample(duration: u32, composition_offset: i32, key: bool, data: &[u8]) -> Sample {
    Sample {
        duration,
        composition_offset,
        key,
        data: Bytes::copy_from_slice(data),
    }
}

fn fragment(samples: &[Sample]) -> Bytes {
    write(&Fragment {
        sequence: 7,
        base_decode_time: 1 << 40,
        samples,
        captured: None,
    })
}

/// Reads a fragment with an independent parser, as a player resolves it.
fn read(bytes: &[u8]) -> (Moof, Vec<Sample>) {
    let mut rest = bytes;
    let moof = Moof::read_from(&mut rest).unwrap();
    let mdat = Mdat::read_from(&mut rest).unwrap();
    assert!(rest.is_empty());
    assert_eq!(moof.traf.len(), 1);
    let traf = &moof.traf[0];
    assert!(traf.tfhd.default_base_is_moof);
    assert_eq!(traf.trun.len(), 1);
    let trun: &Trun = &traf.trun[0];
    let mut at = usize::try_from(trun.data_offset.unwrap()).unwrap();
    assert_eq!(at, bytes.len() - mdat.data.len(), "samples begin with mdat");
    let mut samples = Vec::new();
    for entry in trun.samples.iter() {
        let size = entry.size.or(traf.tfhd.default_sample_size).unwrap();
        let size = usize::try_from(size).unwrap();
        let flags = entry.flags.or(traf.tfhd.default_sample_flags).unwrap();
        assert!([FLAGS_SYNC, FLAGS_NON_SYNC].contains(&flags));
        samples.push(sample(
            entry
                .duration
                .or(traf.tfhd.default_sample_duration)
                .unwrap(),
            i32::try_from(entry.cts.unwrap_or(0)).unwrap(),
            flags == FLAGS_SYNC,
            &bytes[at..at + size],
        ));
        at += size;
    }
    assert_eq!(at, bytes.len(), "samples fill mdat");
    (moof, samples)
}

#[test]
fn uniform_audio_states_everything_once() {
    let frames: Vec<Sample> = (0..10)
        .map(|_| sample(1024, 0, true, &[0x21, 0, 0, 0, 0, 0x1C]))
        .collect();
    let bytes = fragment(&frames);
    let (moof, read) = read(&bytes);
    assert_eq!(read, frames);
    assert_eq!(moof.mfhd.sequence_number, 7);
    let tfdt = moof.traf[0].tfdt.as_ref().unwrap();
    assert_eq!(tfdt.base_media_decode_time, 1 << 40);
    // moof, mfhd, traf, tfhd with three defaults, tfdt, trun without fields, mdat.
    assert_eq!(bytes.len(), 8 + 16 + 8 + 28 + 20 + 20 + 8 + 60);
}

#[test]
fn the_first_sample_alone_may_be_a_key() {
    let samples = [
        sample(3000, 6000, true, b"first"),
        sample(3000, -3000, false, b"second"),
        sample(3000, 0, false, b"3"),
    ];
    let bytes = fragment(&samples);
    assert_eq!(read(&bytes).1, samples);
    // Duration and flags once, first_sample_flags, then size and offset for each.
    assert_eq!(
        bytes.len(),
        8 + 16 + 8 + 24 + 20 + (20 + 4 + 3 * 8) + 8 + 12
    );
}

#[test]
fn flags_in_no_pattern_are_stated_for_each() {
    let samples = [
        sample(3000, 0, false, b"a"),
        sample(3001, 0, true, b"b"),
        sample(3000, 0, false, b"c"),
    ];
    assert_eq!(read(&fragment(&samples)).1, samples);
}

#[test]
fn the_bytes_of_a_small_fragment() {
    let bytes = write(&Fragment {
        sequence: 2,
        base_decode_time: 90_000,
        samples: &[
            sample(3000, 3000, true, &[1, 2]),
            sample(2000, -1, false, &[3]),
        ],
        captured: None,
    });
    #[rustfmt::skip]
    let expected: &[u8] = &[
        0, 0, 0, 120, b'm', b'o', b'o', b'f',
        0, 0, 0, 16, b'm', b'f', b'h', b'd', 0, 0, 0, 0, 0, 0, 0, 2,
        0, 0, 0, 96, b't', b'r', b'a', b'f',
        0, 0, 0, 20, b't', b'f', b'h', b'd', 0, 2, 0, 0x20, 0, 0, 0, 1, 1, 1, 0, 0,
        0, 0, 0, 20, b't', b'f', b'd', b't', 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x5F, 0x90,
        0, 0, 0, 48, b't', b'r', b'u', b'n', 1, 0, 0x0B, 0x05, 0, 0, 0, 2, 0, 0, 0, 128, 2, 0, 0, 0,
        0, 0, 0x0B, 0xB8, 0, 0, 0, 2, 0, 0, 0x0B, 0xB8,
        0, 0, 0x07, 0xD0, 0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF,
        0, 0, 0, 11, b'm', b'd', b'a', b't', 1, 2, 3,
    ];
    assert_eq!(bytes, expected);
}

#[test]
fn a_reference_time_goes_in_front_when_asked_for() {
    let samples = [sample(3000, 0, true, b"x")];
    // 2001-09-09 01:46:40.5 UTC
    let bytes = write(&Fragment {
        sequence: 1,
        base_decode_time: 4500,
        samples: &samples,
        captured: Some(Wall(1_000_000_000_500_000)),
    });
    let mut rest = &bytes[..];
    let prft = Prft::read_from(&mut rest).unwrap();
    assert_eq!(prft.reference_track_id, TRACK_ID);
    assert_eq!(prft.ntp_timestamp, (3_208_988_800 << 32) | (1 << 31));
    assert_eq!(prft.media_time, 4500);
    assert_eq!(prft.utc_time_semantics, ReferenceTime::RealTime);
    assert_eq!(read(rest).1, samples);
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        parts in proptest::collection::vec(
            (prop_oneof![Just(3000u32), any::<u32>()], prop_oneof![Just(0i32), any::<i32>()], any::<bool>(), proptest::collection::vec(any::<u8>(), 0..20)),
            1..12,
        ),
        base in any::<u64>(),
        sequence in any::<u32>(),
    ) {
        let samples: Vec<Sample> = parts
            .iter()
            .map(|(duration, offset, key, data)| sample(*duration, *offset, *key, data))
            .collect();
        let bytes = write(&Fragment { sequence, base_decode_time: base, samples: &samples, captured: None });
        let (moof, back) = read(&bytes);
        prop_assert_eq!(back, samples);
        prop_assert_eq!(moof.mfhd.sequence_number, sequence);
        prop_assert_eq!(moof.traf[0].tfdt.as_ref().unwrap().base_media_decode_time, base);
    }
}
