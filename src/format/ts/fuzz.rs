//! Entries for fuzzing: every parser here over arbitrary bytes. They must return, and quickly.

use super::adts::Adts;
use super::audio::{Audio, Framing, Read};
use super::latm::Latm;
use super::opus::Opus;
use super::packet::PACKET_BYTES;
use super::pes::Reader;
use super::program::Out;
use super::psi::{self, Sections};
use super::streams;
use super::{Demuxer, Event};
use crate::media::codec::opus::Config;
use crate::media::{CodecConfig, nal};

/// A transport stream, whole and in pieces: what comes out does not depend on the pieces, and units of
/// video are well formed.
pub fn fuzz_ts(data: &[u8]) {
    let (whole, pieces) = (demux(data, data.len().max(1)), demux(data, 77));
    assert_eq!(whole, pieces);
}

fn demux(data: &[u8], size: usize) -> Vec<Event> {
    let mut demuxer = Demuxer::new();
    let mut events = Vec::new();
    for piece in data.chunks(size) {
        demuxer.push(piece);
        events.extend(std::iter::from_fn(|| demuxer.poll_event()));
    }
    demuxer.finish();
    events.extend(std::iter::from_fn(|| demuxer.poll_event()));
    let mut length_prefixed = false;
    for event in &events {
        match event {
            Event::Track(track) => {
                track.codec_string();
                length_prefixed |=
                    matches!(track.config, CodecConfig::Avc(_) | CodecConfig::Hevc(_));
            }
            Event::Unit(unit) => {
                let video = unit.kind == crate::media::MediaKind::Video;
                if video {
                    assert!(length_prefixed, "a track comes before its units");
                    nal::validate(&unit.data).expect("units are well formed");
                }
                assert!(!unit.data.is_empty());
            }
            Event::Unsupported(text) => assert!(!text.is_empty()),
        }
    }
    let counts = demuxer.counts();
    let packets = u64::try_from(data.len() / PACKET_BYTES).unwrap_or(u64::MAX);
    assert!(counts.packets <= packets);
    events
}

/// Sections in payloads of 184 bytes, and the tables in them even when their CRC is wrong.
pub fn fuzz_psi(data: &[u8]) {
    let mut sections = Sections::default();
    for payload in data.chunks(184) {
        sections.push(payload, payload[0] & 1 == 0, look);
    }
    look(data);
    // As if the CRC were right.
    let section = psi::Section {
        id: 1,
        number: 0,
        body: data,
    };
    assert!(psi::programs(section).count() <= data.len() / 4);
    for stream in psi::streams(section) {
        assert!(stream.descriptors().count() <= data.len() / 2);
        streams::content(stream);
    }
}

fn look(section: &[u8]) {
    for table in [psi::PAT_TABLE, psi::PMT_TABLE] {
        if let Ok(Some(section)) = psi::check(section, table) {
            psi::programs(section).count();
            psi::streams(section);
        }
    }
}

/// PES packets in payloads of 1 to 184 bytes.
pub fn fuzz_pes(data: &[u8]) {
    let mut reader = Reader::default();
    let mut handed = 0;
    let mut rest = data;
    while let Some((&first, after)) = rest.split_first() {
        let (payload, after) = after.split_at(after.len().min(usize::from(first)));
        reader.push(payload, first % 3 == 0, |piece| {
            if let super::pes::Piece::Data(data) = piece {
                handed += data.len();
            }
        });
        if first == 7 {
            reader.lose(data.len().is_multiple_of(2));
        }
        rest = after;
    }
    assert!(handed <= data.len());
}

/// AAC frames with ADTS headers.
pub fn fuzz_adts(data: &[u8]) {
    let mut adts = Adts::default();
    read_all(data, |rest, last| adts.read(rest, last));
    audio(Framing::Adts(Adts::default()), data);
}

/// AAC frames in LATM.
pub fn fuzz_latm(data: &[u8]) {
    let mut latm = Latm::default();
    read_all(data, |rest, last| latm.read(rest, last));
    audio(Framing::Latm(Latm::default()), data);
}

/// Opus packets, and the first byte as the descriptor's.
pub fn fuzz_opus(data: &[u8]) {
    let Some((&code, data)) = data.split_first() else {
        return;
    };
    let stream = psi::Stream {
        pid: 0,
        kind: 6,
        descriptors: data,
    };
    streams::content(stream);
    if let Ok(config) = Config::from_channel_config_code(code % 12) {
        config
            .dops()
            .expect("a header that was made can be converted");
        let mut opus = Opus::new(config.clone());
        read_all(data, |rest, _| opus.read(rest));
        audio(Framing::Opus(Opus::new(config)), data);
    }
}

/// A reader that says how far it came ends.
fn read_all(data: &[u8], mut read: impl FnMut(&[u8], bool) -> Read) {
    for last in [false, true] {
        let mut at = 0;
        while at < data.len() {
            let size = match read(&data[at..], last) {
                Read::More => break,
                Read::Garbage(size) | Read::Malformed(size) | Read::Unready(size) => size,
                Read::Frames(frames) => frames.size,
            };
            assert!(size > 0 && at + size <= data.len());
            at += size;
        }
    }
}

fn audio(framing: Framing, data: &[u8]) {
    let mut audio = Audio::new(framing);
    let mut out = Out::default();
    for (number, piece) in data.chunks(61).enumerate() {
        if number % 5 == 3 {
            audio.lose(&mut out);
        }
        audio.begin((number % 2 == 0).then(Default::default));
        audio.push(piece, &mut out);
    }
    audio.finish(&mut out);
    for event in out.events {
        if let Event::Track(track) = event {
            track.codec_string();
            assert!(track.sample_rate().is_some());
        }
    }
}
