//! Entries for fuzzing: every parser here over arbitrary bytes. They must return, and quickly.

use bytes::Bytes;

use super::{aac, av1, avc, hevc, opus};
use crate::media::nal;

/// Configuration records. What parses must say the same of its own record.
pub fn fuzz_config_records(data: &[u8]) {
    let record = Bytes::copy_from_slice(data);
    if let Ok(config) = avc::Config::parse(record.clone()) {
        config.codec_string();
        let again = avc::Config::parse(config.record.clone()).expect("a rewritten record parses");
        assert_eq!(again.record, config.record);
        let (sps, pps) = (config.sps(), config.pps());
        let _ = avc::Config::from_parameter_sets(&slices(&sps), &slices(&pps));
    }
    if let Ok(config) = hevc::Config::parse(record.clone()) {
        config.codec_string();
        let again = hevc::Config::parse(config.record.clone()).expect("a rewritten record parses");
        assert_eq!(again.record, config.record);
        let (vps, sps, pps) = (config.vps(), config.sps(), config.pps());
        let _ = hevc::Config::from_parameter_sets(&slices(&vps), &slices(&sps), &slices(&pps));
    }
    if let Ok(config) = av1::Config::parse(record.clone()) {
        config.codec_string();
    }
    if let Ok(config) = aac::Config::parse(record.clone()) {
        config.codec_string();
        aac::silent_frame(&config);
    }
    if let Ok(config) = opus::Config::parse(record) {
        config
            .dops()
            .expect("a header that was read can be converted");
    }
    let _ = avc::Config::from_parameter_sets(&[data], &[data]);
    let _ = hevc::Config::from_parameter_sets(&[data], &[data], &[data]);
}

/// Access units: NAL units, OBUs, Opus packets.
pub fn fuzz_nal(data: &[u8]) {
    let _ = nal::validate(data);
    avc::is_key_unit(data);
    avc::x264_options(data);
    if let Some(Ok(config)) = avc::parameter_sets(data).config() {
        config.codec_string();
    }
    hevc::is_key_unit(data);
    if let Some(Ok(config)) = hevc::parameter_sets(data).config() {
        config.codec_string();
    }
    av1::is_key_unit(data);
    if let Ok(config) = av1::Config::from_temporal_unit(data) {
        av1::Config::parse(config.record).expect("a record that was built parses");
    }
    let _ = opus::packet_samples(data);
    let prefixed = Bytes::copy_from_slice(data);
    for size in 0..=5 {
        if let Ok(widened) = nal::with_four_byte_lengths(&prefixed, size)
            && size != nal::LENGTH_SIZE
        {
            assert!(nal::units(&widened).all(|unit| unit.is_ok()));
        }
    }
    let annexb = nal::from_annexb(data).expect("units of less than 4 GiB");
    assert!(nal::units(&annexb).all(|unit| unit.is_ok()));
    assert!(nal::obus(data).count() <= data.len());
}

fn slices(sets: &[Bytes]) -> Vec<&[u8]> {
    sets.iter().map(|set| &set[..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The files that fuzzing starts from.
    fn seeds() -> Vec<Vec<u8>> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/fuzz");
        let mut paths: Vec<_> = ["config", "nal"]
            .into_iter()
            .flat_map(|folder| std::fs::read_dir(format!("{root}/{folder}")).unwrap())
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        assert!(paths.len() > 10, "seeds are there");
        paths
            .iter()
            .map(|path| std::fs::read(path).unwrap())
            .collect()
    }

    #[test]
    fn seeds_cut_at_every_byte_end_well() {
        for seed in seeds() {
            for end in 0..=seed.len().min(300) {
                fuzz_config_records(&seed[..end]);
                fuzz_nal(&seed[..end]);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_well(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz_config_records(&data);
            fuzz_nal(&data);
        }

        #[test]
        fn damaged_seeds_end_well(
            seed in any::<prop::sample::Index>(),
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let seeds = seeds();
            let mut data = seed.get(&seeds).clone();
            for (at, value) in damage {
                // Most of what parsers decide on stands at the front.
                let at = at.index(data.len().min(100));
                data[at] = value;
            }
            fuzz_config_records(&data);
            fuzz_nal(&data);
        }
    }
}
