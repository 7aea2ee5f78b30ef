//! A recording as one MP4 file, whole or in ranges, read no faster than it is taken.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Frame;

use crate::base::id::Uuid;
use crate::base::range::Range;
use crate::control::pcast::answer::{Answer, escaped};
use crate::control::pcast::{Call, Error};
use crate::media::timeline::Blob;
use crate::record::{About, Library, Summary};

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
    let size = movie.size();
    let etag = format!("\"{}-{part}-{size:x}\"", about.id);
    let mut response = Response::new(Body::empty());
    let (from, length) = match wanted(call.headers(), &etag, size) {
        Range::All => (0, size),
        Range::Unsatisfiable => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            let text = format!("bytes */{size}");
            set(&mut response, header::CONTENT_RANGE, text);
            return Ok(response);
        }
        Range::Some(first, last) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let text = format!("bytes {first}-{last}/{size}");
            set(&mut response, header::CONTENT_RANGE, text);
            (first, last - first + 1)
        }
    };
    let name = format!("attachment; filename=\"{}\"", file_name(about, part));
    set(&mut response, header::CONTENT_DISPOSITION, name);
    set(&mut response, header::CONTENT_TYPE, "video/mp4".to_owned());
    set(&mut response, header::CONTENT_LENGTH, length.to_string());
    set(&mut response, header::ACCEPT_RANGES, "bytes".to_owned());
    set(&mut response, header::CACHE_CONTROL, "no-store".to_owned());
    set(&mut response, header::ETAG, etag);
    if part < movie.parts {
        let next = link(about.id, rendition, part + 1);
        set(
            &mut response,
            header::LINK,
            format!("<{next}>; rel=\"next\""),
        );
    }
    *response.body_mut() = Body::new(Download {
        blob: Arc::new(movie),
        from,
        left: length,
        reading: None,
    });
    Ok(response)
}

/// The range that is asked for, unless it is one of another file (RFC 9110 §13.1.5).
fn wanted(headers: &HeaderMap, etag: &str, size: u64) -> Range {
    let of = headers.get(header::IF_RANGE);
    let range = headers
        .get(header::RANGE)
        .filter(|_| of.is_none_or(|tag| tag.as_bytes() == etag.as_bytes()));
    let range = range.and_then(|range| range.to_str().ok());
    range.map_or(Range::All, |text| Range::parse(text, size))
}

/// Where a part is, from another one.
fn link(id: Uuid, rendition: Option<&str>, part: usize) -> String {
    let of = rendition.map(|name| format!("rendition={}&", escaped(name)));
    format!("{id}.mp4?{}part={part}", of.unwrap_or_default())
}

fn file_name(about: &About, part: usize) -> String {
    let alias = about.alias.chars();
    let alias = alias.filter(|c| c.is_ascii_alphanumeric() || *c == '-');
    let alias: String = alias.collect();
    format!("{alias}-{}-{part}.mp4", about.started.unix_seconds())
}

fn set(response: &mut Response, name: header::HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
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
    fn the_next_part_is_one_of_the_same_rendition() {
        let id = Uuid::nil();
        assert_eq!(link(id, None, 2), format!("{id}.mp4?part=2"));
        let named = link(id, Some("sd 9x16"), 3);
        assert_eq!(named, format!("{id}.mp4?rendition=sd%209x16&part=3"));
    }

    #[test]
    fn a_range_of_another_file_is_not_this_ones() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=50-1000"));
        assert_eq!(wanted(&headers, "\"a\"", 100), Range::Some(50, 99));
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"a\""));
        assert_eq!(wanted(&headers, "\"a\"", 100), Range::Some(50, 99));
        assert_eq!(wanted(&headers, "\"b\"", 100), Range::All);
    }
}
