//! The media of a recorded channel, read box by box.

use std::collections::BTreeMap;

use forebay::format::fmp4::init_name;
use forebay::manifest::parse::Media;
use mp4_atom::{Decode, Moof, Moov};

use super::for_each_channel;
use super::recording::Recording;

/// A box: its name and its content.
fn boxes(mut bytes: &[u8]) -> Vec<([u8; 4], &[u8])> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let size = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
        assert!((8..=bytes.len()).contains(&size), "a box of {size} bytes");
        found.push((bytes[4..8].try_into().unwrap(), &bytes[8..size]));
        bytes = &bytes[size..];
    }
    found
}

fn only<'a>(found: &[([u8; 4], &'a [u8])], name: &[u8; 4], context: &str) -> &'a [u8] {
    let mut named = found.iter().filter(|(kind, _)| kind == name);
    let first = named.next();
    let name = String::from_utf8_lossy(name);
    assert!(named.next().is_none(), "C1: two {name} in {context}");
    first
        .unwrap_or_else(|| panic!("C1: no {name} in {context}"))
        .1
}

/// One part, checked by itself.
struct Read {
    start: u64,
    duration: u64,
    /// First payload, and whether it is flagged as one to start at.
    first: (Vec<u8>, bool),
    /// Earliest presentation time.
    earliest: i64,
}

fn read(bytes: &[u8], context: &str) -> Read {
    let outer = boxes(bytes);
    let moof = only(&outer, b"moof", context);
    let mdat = only(&outer, b"mdat", context);
    assert_eq!(&outer[outer.len() - 1].0, b"mdat", "C1: {context}");
    let inner = boxes(moof);
    let traf = boxes(only(&inner, b"traf", context));
    let tfhd = only(&traf, b"tfhd", context);
    let tfdt = only(&traf, b"tfdt", context);
    let trun = only(&traf, b"trun", context);
    assert_eq!(tfdt[0], 1, "C1: 64-bit tfdt in {context}");
    assert_eq!(trun[0], 1, "C2: trun v1 in {context}");
    assert_eq!(
        tfhd[1] & 0x02,
        0x02,
        "C1: default-base-is-moof in {context}"
    );
    for (name, _) in &traf {
        let clear = ![b"senc", b"saiz", b"saio", b"sbgp"].contains(&name);
        assert!(clear, "C5: {context}");
    }
    let at = bytes.windows(4).position(|w| w == b"moof").unwrap() - 4;
    let moof = Moof::decode(&mut &bytes[at..]).expect("a moof");
    let traf = &moof.traf[0];
    let run = &traf.trun[0];
    let start = traf.tfdt.as_ref().unwrap().base_media_decode_time;
    let (mut duration, mut size, mut earliest) = (0, 0_usize, i64::MAX);
    let mut first = None;
    for entry in run.samples.iter() {
        let bytes = entry.size.or(traf.tfhd.default_sample_size).unwrap() as usize;
        let flags = entry.flags.or(traf.tfhd.default_sample_flags).unwrap();
        // sample_is_non_sync_sample (ISO/IEC 14496-12 §8.8.3.1).
        let sync = flags & 0x0001_0000 == 0;
        first.get_or_insert((mdat[size..size + bytes].to_vec(), sync));
        earliest = earliest.min((start + duration) as i64 + entry.cts.unwrap_or(0));
        let length = entry.duration.or(traf.tfhd.default_sample_duration);
        duration += u64::from(length.expect("C2: a duration in the fragment"));
        size += bytes;
    }
    assert_eq!(size, mdat.len(), "C1: one mdat holds it all: {context}");
    let offset = run.data_offset.expect("an offset") as usize;
    assert_eq!(
        bytes.len() - at - offset,
        size,
        "C1: data after moof: {context}"
    );
    Read {
        start,
        duration,
        first: first.expect("a sample"),
        earliest,
    }
}

/// Boxes, times and payloads of all that was served.
pub(super) fn c1_to_c5_fragments() {
    for_each_channel(|recording| {
        // Start of each video segment, seconds.
        let mut grid = BTreeMap::new();
        let mut names: Vec<&str> = recording.reloads.keys().map(|name| &**name).collect();
        // Video first: sound is compared with it.
        names.sort_by_key(|name| is_audio(recording, name));
        for name in names {
            follow(recording, name, &mut grid);
        }
    });
}

fn is_audio(recording: &Recording, name: &str) -> bool {
    moov(recording, name).1.trak[0].mdia.minf.smhd.is_some()
}

fn moov<'a>(recording: &'a Recording, name: &str) -> (&'a [u8], Moov) {
    let playlist = Media::parse(recording.last_playlist(name)).unwrap();
    let uri = playlist.segments[0].map.as_ref().expect("P9: a map");
    let init = recording.file(&format!("{name}/{uri}"));
    assert_eq!(*uri, init_name(init), "C4: the name is a hash of the bytes");
    let at = init.windows(4).position(|w| w == b"moov").unwrap() - 4;
    (init, Moov::decode(&mut &init[at..]).expect("a moov"))
}

/// One rendition from its init to the last listed part.
fn follow(recording: &Recording, name: &str, grid: &mut BTreeMap<u64, f64>) {
    let (init, moov) = moov(recording, name);
    assert_eq!(moov.trak.len(), 1, "C1: one track in {name}");
    assert!(moov.trak[0].edts.is_none(), "C2: no edit list in {name}");
    assert!(moov.mvex.is_some(), "{name} is fragmented");
    let scale = f64::from(moov.trak[0].mdia.mdhd.timescale);
    let audio = is_audio(recording, name);
    for atom in [b"colr", b"pasp"] {
        let there = init.windows(4).any(|window| window == atom);
        assert!(there || audio, "C2: {name} has no {atom:?}");
    }
    let playlist = Media::parse(recording.last_playlist(name)).unwrap();
    let mut end = None;
    for (number, segment) in playlist.numbered() {
        let parts: Vec<String> = segment
            .parts
            .iter()
            .map(|part| format!("{name}/{}", part.uri))
            .collect();
        let whole = format!("{name}/{}", segment.uri);
        if !segment.uri.is_empty() && !parts.is_empty() {
            let joined: Vec<u8> = parts
                .iter()
                .flat_map(|p| recording.file(p).to_vec())
                .collect();
            assert_eq!(joined, recording.file(&whole), "C4: {whole} is its parts");
        }
        // A segment whose parts are no longer listed is cut at its moofs.
        let pieces: Vec<(String, Vec<u8>)> = match parts.is_empty() {
            true => fragments(recording.file(&whole))
                .into_iter()
                .map(|bytes| (whole.clone(), bytes))
                .collect(),
            false => parts
                .iter()
                .map(|path| (path.clone(), recording.file(path).to_vec()))
                .collect(),
        };
        let (mut span, mut earliest) = (0, i64::MAX);
        for (index, (path, bytes)) in pieces.iter().enumerate() {
            let part = read(bytes, path);
            assert!(
                end.is_none_or(|end| end == part.start),
                "P8: {path} begins at {}, the one before ends at {end:?}",
                part.start
            );
            end = Some(part.start + part.duration);
            span += part.duration;
            earliest = earliest.min(part.earliest);
            if let Some(listed) = segment.parts.get(index) {
                let listed_span = listed.duration * scale;
                assert!(
                    (listed_span - part.duration as f64).abs() <= 1.0,
                    "P8: {path} is listed with {listed_span} ticks, has {}",
                    part.duration
                );
            }
            if index > 0 {
                continue;
            }
            let start = part.start as f64 / scale;
            if audio {
                if let Some(video) = grid.get(&number) {
                    let late = start - video;
                    // The first frame at or after the boundary.
                    let frame = 1024.0 / 44_100.0;
                    assert!(
                        (-0.0001..frame).contains(&late),
                        "K3: {whole} {late} s late"
                    );
                }
            } else {
                let theirs = *grid.entry(number).or_insert(start);
                let apart = (theirs - start).abs();
                assert!(
                    apart < 0.000_1,
                    "C3: {whole} begins {apart} s beside another"
                );
                let (payload, sync) = &part.first;
                assert!(sync, "C3: {whole} begins with a sync sample");
                assert!(begins_with_idr(payload), "M3: {whole} begins with an IDR");
            }
        }
        if !audio {
            let start = (grid[&number] * scale).round() as i64;
            assert_eq!(
                earliest, start,
                "C2: tfdt of {whole} is its first picture's"
            );
        }
        if !segment.uri.is_empty() {
            let listed = segment.duration * scale;
            assert!((listed - span as f64).abs() <= 1.0, "P8: {whole}");
            if !audio {
                assert!((segment.duration - 2.0).abs() < 0.001, "K4: {whole}");
            }
        }
    }
    for (path, bytes) in &recording.files {
        assert_eq!(Some(bytes), recording.dash_files.get(path), "C4: {path}");
    }
}

/// A segment cut before each `moof`.
fn fragments(segment: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    for (name, content) in boxes(segment) {
        if &name == b"moof" {
            pieces.push(Vec::new());
        }
        let piece = pieces.last_mut().expect("a moof comes first");
        piece.extend((content.len() as u32 + 8).to_be_bytes());
        piece.extend(name);
        piece.extend(content);
    }
    pieces
}

/// Whether an H.264 unit with 4-byte lengths holds a slice of an IDR picture before any other.
fn begins_with_idr(mut unit: &[u8]) -> bool {
    while unit.len() > 4 {
        let size = u32::from_be_bytes(unit[..4].try_into().unwrap()) as usize;
        match unit[4] & 0x1f {
            5 => return true,
            1..=4 => return false,
            _ => unit = &unit[4 + size..],
        }
    }
    false
}
