//! The parameter sets of one video stream, and the configuration that they make.

use bytes::Bytes;
use smallvec::SmallVec;

use super::video::Coding;
use crate::media::CodecConfig;
use crate::media::codec::bits::Bits;
use crate::media::codec::{self, avc, hevc};

/// Parameter sets of one kind that are kept. Encoders send one to four; bounds memory with the limit
/// below to 3 x 16 x 4 KiB.
const SETS_LIMIT: usize = 16;
/// Longest parameter set, bytes. With every scaling list and HRD they stay below it.
const SET_BYTES_LIMIT: usize = 4096;

/// What the last parameter sets were.
#[derive(Debug, Default)]
pub(super) struct Sets {
    /// HEVC only.
    vps: Vec<Bytes>,
    sps: Vec<Bytes>,
    pps: Vec<Bytes>,
    config: Option<CodecConfig>,
}

/// The kinds of parameter sets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Vps,
    Sps,
    Pps,
}

/// ITU-T H.264 table 7-1, H.265 table 7-1. Extensions for other layers are not looked at.
fn kind(coding: Coding, set: &[u8]) -> Option<Kind> {
    let first = *set.first().filter(|_| set.len() <= SET_BYTES_LIMIT)?;
    match (coding, first & 0x1F, first >> 1 & 0x3F) {
        (Coding::Hevc, _, 32) => Some(Kind::Vps),
        (Coding::Avc, 7, _) | (Coding::Hevc, _, 33) => Some(Kind::Sps),
        (Coding::Avc, 8, _) | (Coding::Hevc, _, 34) => Some(Kind::Pps),
        _ => None,
    }
}

/// `pic_parameter_set_id`, the first field of a PPS in both codings.
fn pps_id(coding: Coding, set: &[u8]) -> Option<u32> {
    let header = match coding {
        Coding::Avc => 1,
        Coding::Hevc => 2,
    };
    Bits::new("PPS", set.get(header..)?).ue("pps_id").ok()
}

impl Sets {
    /// Whether units can be decoded with what was sent.
    pub(super) fn are_complete(&self) -> bool {
        self.config.is_some()
    }

    /// Takes the parameter sets of one access unit. The configuration, when it is another one than
    /// before; the one before stays in force when they make none.
    pub(super) fn update(
        &mut self,
        coding: Coding,
        sets: &[&[u8]],
    ) -> Option<Result<CodecConfig, codec::Error>> {
        let of = |wanted| -> SmallVec<[&[u8]; 2]> {
            let sets = sets.iter().copied();
            sets.filter(|set| kind(coding, set) == Some(wanted))
                .take(SETS_LIMIT)
                .collect()
        };
        let mut changed = false;
        for (wanted, known) in [(Kind::Vps, &mut self.vps), (Kind::Sps, &mut self.sps)] {
            let sent = of(wanted);
            if !sent
                .iter()
                .all(|set| known.iter().any(|known| known == set))
            {
                *known = sent.into_iter().map(Bytes::copy_from_slice).collect();
                changed = true;
            }
        }
        if changed {
            // They belong to the sequence before.
            self.pps.clear();
        }
        for set in of(Kind::Pps) {
            if self.pps.iter().any(|known| known == set) {
                continue;
            }
            let id = pps_id(coding, set);
            self.pps.retain(|known| pps_id(coding, known) != id);
            if self.pps.len() < SETS_LIMIT {
                self.pps.push(Bytes::copy_from_slice(set));
                changed = true;
            }
        }
        if !changed || self.sps.is_empty() || self.pps.is_empty() {
            return None;
        }
        let config = match self.make(coding)? {
            Ok(config) => config,
            Err(error) => return Some(Err(error)),
        };
        if self.config.as_ref() == Some(&config) {
            return None;
        }
        self.config = Some(config.clone());
        Some(Ok(config))
    }

    fn make(&self, coding: Coding) -> Option<Result<CodecConfig, codec::Error>> {
        let (vps, sps, pps) = (slices(&self.vps), slices(&self.sps), slices(&self.pps));
        match coding {
            Coding::Avc => Some(avc::Config::from_parameter_sets(&sps, &pps).map(CodecConfig::Avc)),
            Coding::Hevc if vps.is_empty() => None,
            Coding::Hevc => {
                Some(hevc::Config::from_parameter_sets(&vps, &sps, &pps).map(CodecConfig::Hevc))
            }
        }
    }
}

fn slices(sets: &[Bytes]) -> SmallVec<[&[u8]; 4]> {
    sets.iter().map(|set| &set[..]).collect()
}
