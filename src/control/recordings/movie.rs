//! A recording as one MP4 file, whole or in ranges, read no faster than it is taken.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use http_body::Frame;

use crate::control::pcast::answer::Answer;
use crate::control::pcast::{Call, Error};
use crate::media::timeline::Blob;
use crate::record::{Library, Summary};

/// The file, or the range of it that is asked for.
pub(super) async fn answer(library: &Library, found: &Summary, mut call: Call) -> Answer {
    let query = call.query().await?;
    let part = match query.count("part")? {
        None => 1,
        Some(0) => return Err(Error::Bad("part is 0, they are counted from 1".to_owned())),
        Some(part) => usize::try_from(part).unwrap_or(usize::MAX),
    };
    let rendition = query.text("rendition")?;
    if found.ended.is_none() {
        return Err(Error::Conflict("the recording is being made".to_owned()));
    }
    let about = &found.about;
    let movie = match library.movie(about.id, rendition, part).await {
        Ok(Some(movie)) => movie,
        Ok(None) => return Err(Error::NotFound("rendition or part")),
        Err(err) => {
            tracing::error!(%err, recording = %about.id, "recording cannot be read");
            return Err(Error::Internal);
        }
    };
    let headers = call.headers();
    let size = movie.size();
    let etag = format!("\"{}-{part}-{size:x}\"", about.id);
    let fresh = headers
        .get(header::IF_RANGE)
        .is_none_or(|tag| tag.as_bytes() == etag.as_bytes());
    let range = headers.get(header::RANGE).filter(|_| fresh);
    let range = range.and_then(|range| wanted(range.to_str().ok()?, size));
    let mut response = Response::new(Body::empty());
    let (from, length) = match range {
        None => (0, size),
        Some(Err(())) => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            set(
                &mut response,
                header::CONTENT_RANGE,
                format!("bytes */{size}"),
            );
            return Ok(response);
        }
        Some(Ok((first, last))) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let text = format!("bytes {first}-{last}/{size}");
            set(&mut response, header::CONTENT_RANGE, text);
            (first, last - first + 1)
        }
    };
    let alias: String = about
        .alias
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    let started = about.started.unix_seconds();
    let name = format!("attachment; filename=\"{alias}-{started}-{part}.mp4\"");
    set(&mut response, header::CONTENT_DISPOSITION, name);
    set(&mut response, header::CONTENT_TYPE, "video/mp4".to_owned());
    set(&mut response, header::CONTENT_LENGTH, length.to_string());
    set(&mut response, header::ACCEPT_RANGES, "bytes".to_owned());
    set(&mut response, header::CACHE_CONTROL, "no-store".to_owned());
    set(&mut response, header::ETAG, etag);
    if part < movie.parts {
        let next = format!("<{}.mp4?part={}>; rel=\"next\"", about.id, part + 1);
        set(&mut response, header::LINK, next);
    }
    *response.body_mut() = Body::new(Download {
        blob: Arc::new(movie),
        from,
        left: length,
        reading: None,
    });
    Ok(response)
}

fn set(response: &mut Response, name: header::HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

/// First and last byte of a range (RFC 9110 §14.1.2); `None` where it is to be ignored.
fn wanted(text: &str, size: u64) -> Option<Result<(u64, u64), ()>> {
    let (first, last) = text.strip_prefix("bytes=")?.trim().split_once('-')?;
    let (first, last) = match (first, last) {
        ("", last) => {
            let length: u64 = last.parse().ok()?;
            (size.saturating_sub(length.max(1)), size.saturating_sub(1))
        }
        (first, "") => (first.parse().ok()?, size.saturating_sub(1)),
        (first, last) => {
            let last: u64 = last.parse().ok()?;
            (first.parse().ok()?, last.min(size.saturating_sub(1)))
        }
    };
    Some(match first <= last && first < size {
        true => Ok((first, last)),
        false => Err(()),
    })
}

type Reading = Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send>>;

/// A body that reads no faster than it is taken, a segment at a time.
struct Download {
    blob: Arc<dyn Blob>,
    from: u64,
    left: u64,
    reading: Option<Reading>,
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let (blob, from) = (&this.blob, this.from);
        let reading = this.reading.get_or_insert_with(|| {
            let blob = blob.clone();
            Box::pin(async move { blob.read(from).await })
        });
        let read = ready!(reading.as_mut().poll(cx));
        this.reading = None;
        let read = read.and_then(|mut bytes| {
            bytes.truncate(usize::try_from(this.left).unwrap_or(usize::MAX));
            this.from += bytes.len() as u64;
            this.left -= bytes.len() as u64;
            match bytes.is_empty() {
                true => Err(io::ErrorKind::UnexpectedEof.into()),
                false => Ok(Frame::data(bytes)),
            }
        });
        if read.is_err() {
            this.left = 0;
        }
        Poll::Ready(Some(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_the_file_or_refused() {
        assert_eq!(wanted("bytes=0-9", 100), Some(Ok((0, 9))));
        assert_eq!(wanted("bytes=90-", 100), Some(Ok((90, 99))));
        assert_eq!(wanted("bytes=-10", 100), Some(Ok((90, 99))));
        assert_eq!(wanted("bytes=-1000", 100), Some(Ok((0, 99))));
        assert_eq!(wanted("bytes=50-1000", 100), Some(Ok((50, 99))));
        assert_eq!(wanted("bytes=100-", 100), Some(Err(())));
        assert_eq!(wanted("bytes=9-3", 100), Some(Err(())));
        assert_eq!(wanted("bytes=0-1,3-4", 100), None);
        assert_eq!(wanted("lines=0-1", 100), None);
    }
}
