//! Media that lie in a storage: read piece by piece, no faster than the player takes them.

use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Response, StatusCode};

use super::answer::{self, Answering, Terms};
use super::body::{Body, Growing, Growth, Step};
use super::media::{head, missing};
use super::registry::{Served, Turn};
use crate::media::timeline::{Blob, Resource, Stored};

/// Answers with an initialisation segment, a segment or a part.
pub(super) fn answer(
    stream: Served,
    rendition: &str,
    resource: Resource<'_>,
    stored: Arc<dyn Stored>,
    terms: Terms,
) -> Answering {
    let rendition = rendition.to_owned();
    let (number, name) = match resource {
        Resource::Segment(number) | Resource::Part(number) => (number, None),
        Resource::Init(name) => (0, Some(name.to_owned())),
    };
    let is_part = matches!(resource, Resource::Part(_));
    Answering::later(async move {
        let Some(_turn) = Turn::take(&stream.state) else {
            return answer::overloaded();
        };
        let resource = match &name {
            Some(name) => Resource::Init(name),
            None if is_part => Resource::Part(number),
            None => Resource::Segment(number),
        };
        read(stream, &rendition, resource, stored, terms).await
    })
}

/// The same, where the request has its turn already.
pub(super) async fn read(
    stream: Served,
    rendition: &str,
    resource: Resource<'_>,
    stored: Arc<dyn Stored>,
    terms: Terms,
) -> Response<Body> {
    let blob = match stored.open().await {
        Ok(Some(blob)) => blob,
        Ok(None) => return missing(),
        Err(err) => {
            tracing::error!(%err, rendition, ?resource, "stored media cannot be read");
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return answer::retry(status, "this media cannot be read now\n");
        }
    };
    let (mut response, wanted) = head(&stream, rendition, resource, blob.size(), &terms);
    if let Some((from, length)) = wanted {
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        let state = stream.state.clone();
        let sent = Box::new(move |bytes| state.sent(bytes));
        let next = reading(blob, from, length);
        *response.body_mut() = Body::Growing(Growing::new(Vec::new(), next, sent));
    }
    response
}

/// A future of the next `left` bytes.
fn reading(blob: Arc<dyn Blob>, from: u64, left: u64) -> Growth {
    Box::pin(async move {
        if left == 0 {
            return Ok(Step::Last(Vec::new()));
        }
        let mut piece = blob.read(from).await?;
        if piece.is_empty() {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let read = piece.len() as u64;
        if read == left {
            return Ok(Step::Last(vec![piece]));
        }
        let next = reading(blob, from + read, left - read);
        Ok(Step::More(vec![piece], next))
    })
}
