//! Entries for fuzzing: any bytes, no panic, bounded time and memory. Seeds: `tests/data/fuzz/chunks`,
//! `amf0`, `flv` and `session`.

use bytes::{Bytes, BytesMut};

use super::publish::{Publication, announcement};
use super::session::{Event, Session};
use crate::format::flv::{self, amf0, tags::Tags};
use crate::format::rtmp::chunk::{Dechunker, MAX_MESSAGE_BYTES};
use crate::media::MediaKind;

/// Chunks, given in pieces whose sizes the first byte chooses.
pub fn fuzz_rtmp_chunks(bytes: &[u8]) {
    let Some((piece, rest)) = bytes.split_first() else {
        return;
    };
    let mut chunks = Dechunker::new(MAX_MESSAGE_BYTES);
    let mut buffer = BytesMut::new();
    for piece in rest.chunks(usize::from(*piece) + 1) {
        buffer.extend_from_slice(piece);
        loop {
            match chunks.next(&mut buffer) {
                Ok(Some(message)) => assert!(message.payload.len() <= rest.len()),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// AMF0; what is read must survive being written.
pub fn fuzz_amf0(bytes: &[u8]) {
    if let Ok(values) = amf0::decode(bytes) {
        // Strings beyond 64 KiB have no short form, and NaN is not equal to itself.
        if let Ok(again) = amf0::decode(&amf0::encode(&values)) {
            assert_eq!(amf0::encode(&again), amf0::encode(&values));
        }
    }
    let _ = announcement(bytes);
}

/// Tag bodies, as video, as audio, and as a run of tags.
pub fn fuzz_flv_tags(bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    let _ = flv::parse_video(&body);
    let _ = flv::parse_audio(&body);
    let mut publication = Publication::new();
    for kind in [MediaKind::Video, MediaKind::Audio] {
        let _ = publication.handle_media(kind, 0, &body);
    }
    for tag in Tags::new(body) {
        let kind = match tag.kind {
            8 => MediaKind::Audio,
            _ => MediaKind::Video,
        };
        let _ = publication.handle_media(kind, tag.timestamp_ms, &tag.body);
    }
}

/// A whole connection after its handshake, every publish accepted.
pub fn fuzz_rtmp_session(bytes: &[u8]) {
    let mut session = Session::new();
    let mut handshake = BytesMut::from(&[3][..]);
    handshake.extend_from_slice(&[0; 3072]);
    let shaken = session.poll_event(&mut handshake);
    assert!(matches!(shaken, Ok(None)) && session.is_past_handshake());
    let mut publication = Publication::new();
    let mut buffer = BytesMut::from(bytes);
    session.handle_received(bytes.len());
    while let Ok(Some(event)) = session.poll_event(&mut buffer) {
        match event {
            Event::Publish { .. } => session.accept(),
            Event::Media {
                kind,
                timestamp_ms,
                body,
            } => {
                let _ = publication.handle_media(kind, timestamp_ms, &body);
            }
            Event::Aggregate { body, .. } => fuzz_flv_tags(&body),
            Event::Data(body) => {
                let _ = announcement(&body);
            }
            Event::Finished | Event::Refused(_) => {}
        }
        let _ = session.take_output();
    }
}
