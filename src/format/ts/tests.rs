//! Clips of several makers against what ffprobe says of them, and small streams made here.

use super::*;
use crate::media::MediaKind;

mod audio;
mod golden;
mod loss;
mod tables;
mod times;
mod video;
#[path = "../../../tests/common/ts.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "shared with the behaviour tests"
)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "bytes of fields are cut out of numbers"
)]
mod writer;

/// Every event of a stream that comes in pieces of `size` bytes.
fn events(stream: &[u8], size: usize) -> (Vec<Event>, Counts) {
    let mut demuxer = Demuxer::new();
    let mut events = Vec::new();
    for piece in stream.chunks(size) {
        demuxer.push(piece);
        events.extend(std::iter::from_fn(|| demuxer.poll_event()));
    }
    demuxer.finish();
    events.extend(std::iter::from_fn(|| demuxer.poll_event()));
    (events, demuxer.counts())
}

fn units(events: &[Event], kind: MediaKind) -> Vec<&AccessUnit> {
    let units = events.iter().filter_map(|event| match event {
        Event::Unit(unit) => Some(unit),
        _ => None,
    });
    units.filter(|unit| unit.kind == kind).collect()
}

fn tracks(events: &[Event]) -> Vec<&Track> {
    let tracks = events.iter().filter_map(|event| match event {
        Event::Track(track) => Some(track),
        _ => None,
    });
    tracks.collect()
}

fn video(events: &[Event]) -> Vec<&AccessUnit> {
    units(events, MediaKind::Video)
}

fn audio(events: &[Event]) -> Vec<&AccessUnit> {
    units(events, MediaKind::Audio)
}

fn pts(units: &[&AccessUnit]) -> Vec<i64> {
    units.iter().map(|unit| unit.pts.0).collect()
}

fn sizes(units: &[&AccessUnit]) -> Vec<usize> {
    units.iter().map(|unit| unit.data.len()).collect()
}

fn complaints(events: &[Event]) -> Vec<&str> {
    let texts = events.iter().filter_map(|event| match event {
        Event::Unsupported(text) => Some(&text[..]),
        _ => None,
    });
    texts.collect()
}
