//! Init segments, segments and parts: `Bytes` of the timeline, handed on as they are.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::answer::{self, Answering, Range, Terms};
use super::body::{self, Body, Growing, Growth, Step};
use super::hls::next_progress;
use super::registry::{Served, Turn};
use super::stored;
use crate::media::MediaKind;
use crate::media::timeline::{Found, Resource, Stored};

/// A hinted part, or the next chunk of a growing segment, is waited for so many target durations.
const WAIT_TARGET_DURATIONS: u32 = 3;
/// Beyond one segment target, how long the next segment's first part is waited for: the time that
/// part itself takes, and the publisher's jitter.
const NEXT_SEGMENT_SLACK: Duration = Duration::from_millis(1500);

/// A media URL, under either tree.
pub(super) fn resource(
    stream: Served,
    rendition: &str,
    resource: Resource<'_>,
    terms: Terms,
) -> Answering {
    // Read before the look-up: what comes in between then counts as a change.
    let seen = version(&stream, rendition);
    match stream.timeline.find(rendition, resource) {
        Found::Whole(pieces) => whole(&stream, rendition, resource, pieces, &terms).into(),
        Found::Growing(pieces) => match resource {
            Resource::Segment(sequence) => {
                growing(stream, rendition, sequence, pieces, seen, &terms).into()
            }
            // Nothing but a segment grows; a part is sent whole (CONFORMANCE L5).
            Resource::Part(number) => later(stream, rendition, Awaited::Part(number), terms),
            Resource::Init(_) => missing().into(),
        },
        Found::Announced => match resource {
            Resource::Segment(sequence) => {
                later(stream, rendition, Awaited::Segment(sequence), terms)
            }
            Resource::Part(number) => later(stream, rendition, Awaited::Part(number), terms),
            Resource::Init(_) => missing().into(),
        },
        Found::Stored(stored) => stored::answer(stream, rendition, resource, stored, terms),
        Found::GrowingStored(stored) => match resource {
            Resource::Segment(sequence) => {
                growing_stored(stream, rendition, sequence, stored, seen, &terms).into()
            }
            Resource::Part(_) | Resource::Init(_) => missing().into(),
        },
        Found::Missing => missing().into(),
    }
}

pub(super) fn missing() -> Response<Body> {
    answer::not_found("this media does not exist, or no longer\n")
}

fn version(stream: &Served, rendition: &str) -> u64 {
    let progress = stream.timeline.progress(rendition);
    progress.map_or(0, |progress| progress.version)
}

/// What has no byte yet.
#[derive(Clone, Copy)]
enum Awaited {
    Segment(u64),
    Part(u64),
}

impl Awaited {
    fn resource(self) -> Resource<'static> {
        match self {
            Awaited::Segment(sequence) => Resource::Segment(sequence),
            Awaited::Part(number) => Resource::Part(number),
        }
    }
}

fn later(stream: Served, rendition: &str, awaited: Awaited, terms: Terms) -> Answering {
    let rendition = rendition.to_owned();
    Answering::later(async move {
        let Some(_turn) = Turn::take(&stream.state) else {
            return answer::overloaded();
        };
        let Some(rules) = stream.rules(&rendition) else {
            return missing();
        };
        let limit = match awaited {
            Awaited::Segment(_) => rules.segment_target + NEXT_SEGMENT_SLACK,
            Awaited::Part(_) => {
                Duration::from_secs(u64::from(rules.target_duration_s * WAIT_TARGET_DURATIONS))
            }
        };
        let come = tokio::time::timeout(limit, come(&stream, &rendition, awaited)).await;
        match come {
            Ok((Found::Whole(pieces), _)) => {
                whole(&stream, &rendition, awaited.resource(), pieces, &terms)
            }
            Ok((Found::Growing(pieces), seen)) => match awaited {
                Awaited::Segment(sequence) => {
                    growing(stream, &rendition, sequence, pieces, seen, &terms)
                }
                Awaited::Part(_) => missing(),
            },
            Ok((Found::GrowingStored(stored), seen)) => match awaited {
                Awaited::Segment(sequence) => {
                    growing_stored(stream, &rendition, sequence, stored, seen, &terms)
                }
                Awaited::Part(_) => missing(),
            },
            Ok((Found::Stored(stored), _)) => {
                stored::read(stream, &rendition, awaited.resource(), stored, terms).await
            }
            Ok(_) => missing(),
            Err(_) => {
                // A hint stays true in a hole, so its part is not unknown: shaka gives a part up for good
                // that is (checklist K1).
                let status = match awaited {
                    Awaited::Segment(_) => StatusCode::NOT_FOUND,
                    Awaited::Part(_) => StatusCode::SERVICE_UNAVAILABLE,
                };
                answer::retry(status, "this media did not come in time\n")
            }
        }
    })
}

/// Waits until `awaited` has bytes (a part: all of them) or will never have.
async fn come(stream: &Served, rendition: &str, awaited: Awaited) -> (Found, u64) {
    loop {
        let progress = stream.timeline.progress(rendition);
        let seen = progress.map_or(0, |progress| progress.version);
        let found = stream.timeline.find(rendition, awaited.resource());
        let pending = match (&found, awaited) {
            (Found::Announced, _) => true,
            (Found::Growing(_) | Found::GrowingStored(_), Awaited::Part(_)) => true,
            (Found::Growing(_) | Found::GrowingStored(_), Awaited::Segment(_)) => false,
            (Found::Whole(_) | Found::Stored(_) | Found::Missing, _) => false,
        };
        let over = progress.is_none_or(|progress| progress.ended);
        if !pending {
            return (found, seen);
        }
        if over || next_progress(stream, rendition, seen).await.is_none() {
            return (Found::Missing, seen);
        }
    }
}

fn headers(stream: &Served, rendition: &str) -> HeaderMap {
    let content_type = match stream.kind(rendition) {
        MediaKind::Video => "video/mp4",
        MediaKind::Audio => "audio/mp4",
    };
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(answer::MEDIA));
    answer::open_to_pages(&mut headers);
    headers
}

fn whole(
    stream: &Served,
    rendition: &str,
    resource: Resource<'_>,
    pieces: Vec<Bytes>,
    terms: &Terms,
) -> Response<Body> {
    let size = pieces.iter().map(|piece| piece.len() as u64).sum();
    let (mut response, wanted) = head(stream, rendition, resource, size, terms);
    if let Some((from, length)) = wanted {
        stream.state.sent(length);
        let pieces = match length == size {
            true => pieces,
            false => cut(pieces, from, from + length - 1),
        };
        *response.body_mut() = Body::pieces(pieces);
    }
    response
}

/// The answer without its body, and which bytes are to follow: the first one's place and their number.
pub(super) fn head(
    stream: &Served,
    rendition: &str,
    resource: Resource<'_>,
    size: u64,
    terms: &Terms,
) -> (Response<Body>, Option<(u64, u64)>) {
    // Within a URL, number and size say it all: media under one never changes.
    let etag = match resource {
        Resource::Init(name) => format!("\"{name}\""),
        Resource::Segment(sequence) => format!("\"s{sequence:x}-{size:x}\""),
        Resource::Part(number) => format!("\"p{number:x}-{size:x}\""),
    };
    let Ok(etag) = HeaderValue::try_from(etag) else {
        return (missing(), None);
    };
    let mut headers = headers(stream, rendition);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let mut response = Response::new(Body::Empty);
    if terms.not_modified(&etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        headers.remove(CONTENT_TYPE);
        headers.insert(ETAG, etag);
        *response.headers_mut() = headers;
        return (response, None);
    }
    let (from, length) = match terms.range(size, &etag) {
        Range::All => (0, size),
        Range::Some(first, last) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            headers.insert(CONTENT_RANGE, content_range(Some((first, last)), size));
            (first, last - first + 1)
        }
        Range::Unsatisfiable => {
            let mut response =
                answer::text(StatusCode::RANGE_NOT_SATISFIABLE, "range beyond the end\n");
            let range = content_range(None, size);
            response.headers_mut().insert(CONTENT_RANGE, range);
            return (response, None);
        }
    };
    headers.insert(ETAG, etag);
    if terms.head {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.headers_mut() = headers;
    (response, (!terms.head).then_some((from, length)))
}

fn content_range(range: Option<(u64, u64)>, size: u64) -> HeaderValue {
    let text = match range {
        Some((first, last)) => format!("bytes {first}-{last}/{size}"),
        None => format!("bytes */{size}"),
    };
    HeaderValue::try_from(text).expect("digits are a header value")
}

/// The pieces between two bytes, both included.
fn cut(pieces: Vec<Bytes>, first: u64, last: u64) -> Vec<Bytes> {
    let mut at = 0_u64;
    let mut kept = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let size = piece.len() as u64;
        let from = first.saturating_sub(at).min(size);
        let to = (last + 1).saturating_sub(at).min(size);
        if let (Ok(from), Ok(to)) = (usize::try_from(from), usize::try_from(to))
            && from < to
        {
            kept.push(piece.slice(from..to));
        }
        at += size;
    }
    kept
}

/// A segment that is still made: its parts so far, then each part as it comes (CONFORMANCE S9).
/// Ranges are not answered: the size is not known.
fn growing(
    stream: Served,
    rendition: &str,
    sequence: u64,
    pieces: Vec<Bytes>,
    seen: u64,
    terms: &Terms,
) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.headers_mut() = headers(&stream, rendition);
    if !terms.head {
        let state = stream.state.clone();
        let sent = Box::new(move |bytes| state.sent(bytes));
        let next = growth(stream, rendition.into(), sequence, pieces.len(), seen);
        *response.body_mut() = Body::Growing(Growing::new(pieces, next, sent));
    }
    response
}

/// A future of what follows the first `sent` parts of a segment.
fn growth(stream: Served, rendition: Arc<str>, sequence: u64, sent: usize, seen: u64) -> Growth {
    Box::pin(async move {
        let rules = stream.rules(&rendition).ok_or(Cut::Gone)?;
        let limit = Duration::from_secs(u64::from(rules.target_duration_s * WAIT_TARGET_DURATIONS));
        let grown = async {
            let mut seen = seen;
            loop {
                let resource = Resource::Segment(sequence);
                match stream.timeline.find(&rendition, resource) {
                    Found::Whole(pieces) => return Some((tail(pieces, sent), seen, true)),
                    Found::Growing(pieces) if pieces.len() > sent => {
                        return Some((tail(pieces, sent), seen, false));
                    }
                    Found::Growing(_) => {}
                    Found::Announced
                    | Found::Stored(_)
                    | Found::GrowingStored(_)
                    | Found::Missing => return None,
                }
                seen = next_progress(&stream, &rendition, seen).await?.version;
            }
        };
        let (pieces, seen, last) = tokio::time::timeout(limit, grown)
            .await
            .map_err(|_| Cut::Late)?
            .ok_or(Cut::Gone)?;
        if last {
            return Ok(Step::Last(pieces));
        }
        let sent = sent + pieces.len();
        let next = growth(stream, rendition, sequence, sent, seen);
        Ok::<Step, body::Error>(Step::More(pieces, next))
    })
}

/// The same of a segment that grows in a storage.
fn growing_stored(
    stream: Served,
    rendition: &str,
    sequence: u64,
    stored: Arc<dyn Stored>,
    seen: u64,
    terms: &Terms,
) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.headers_mut() = headers(&stream, rendition);
    if !terms.head {
        let state = stream.state.clone();
        let sent = Box::new(move |bytes| state.sent(bytes));
        let next = stored_growth(stream, rendition.into(), sequence, Some(stored), 0, seen);
        *response.body_mut() = Body::Growing(Growing::new(Vec::new(), next, sent));
    }
    response
}

/// A future of what follows the first `sent` bytes of a segment in a storage. `known` is what a look-up has
/// found already.
fn stored_growth(
    stream: Served,
    rendition: Arc<str>,
    sequence: u64,
    known: Option<Arc<dyn Stored>>,
    sent: u64,
    seen: u64,
) -> Growth {
    Box::pin(async move {
        let rules = stream.rules(&rendition).ok_or(Cut::Gone)?;
        let limit = Duration::from_secs(u64::from(rules.target_duration_s * WAIT_TARGET_DURATIONS));
        let mut seen = seen;
        let mut known = known;
        let grown = async {
            loop {
                let (stored, last) = match known.take() {
                    Some(stored) => (stored, false),
                    None => match stream
                        .timeline
                        .find(&rendition, Resource::Segment(sequence))
                    {
                        Found::Stored(stored) => (stored, true),
                        Found::GrowingStored(stored) => (stored, false),
                        _ => return Err(Cut::Gone.into()),
                    },
                };
                let blob = stored.open().await?.ok_or(Cut::Gone)?;
                let left = blob.size().saturating_sub(sent);
                if left > 0 || last {
                    return Ok::<_, body::Error>((blob, last));
                }
                let next = next_progress(&stream, &rendition, seen).await;
                seen = next.ok_or(Cut::Gone)?.version;
            }
        };
        let (blob, last) = tokio::time::timeout(limit, grown)
            .await
            .map_err(|_| Cut::Late)??;
        let mut pieces = Vec::new();
        let mut sent = sent;
        // What is new is a part, or a few.
        while sent < blob.size() {
            let piece = blob.read(sent).await?;
            if piece.is_empty() {
                return Err(Cut::Gone.into());
            }
            sent += piece.len() as u64;
            pieces.push(piece);
        }
        if last {
            return Ok(Step::Last(pieces));
        }
        let next = stored_growth(stream, rendition, sequence, None, sent, seen);
        Ok(Step::More(pieces, next))
    })
}

fn tail(mut pieces: Vec<Bytes>, sent: usize) -> Vec<Bytes> {
    pieces.split_off(sent.min(pieces.len()))
}

/// Why a growing segment's answer ends without its end; the client sees the connection cut.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("no part came within three target durations")]
    Late,
    #[error("the segment is gone")]
    Gone,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_across_pieces_without_copying() {
        let pieces = || ["abc", "", "defg", "h"].map(Bytes::from).to_vec();
        let joined = |first, last| cut(pieces(), first, last).concat();
        assert_eq!(joined(0, 7), b"abcdefgh");
        assert_eq!(joined(2, 3), b"cd");
        assert_eq!(joined(3, 3), b"d");
        assert_eq!(joined(7, 7), b"h");
        let piece = pieces();
        let kept = cut(piece.clone(), 4, 5);
        assert_eq!(kept[0].as_ptr(), piece[2][1..].as_ptr());
    }
}
