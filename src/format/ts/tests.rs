//! Clips of several makers against what ffprobe says of them, and small streams made here.

use super::*;
use crate::media::MediaKind;

mod golden;

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
