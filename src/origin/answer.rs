//! Answers and what a request demands of them: conditions, ranges, codings, CORS.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW,
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, IF_RANGE, RANGE,
    RETRY_AFTER,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::body::Body;
pub(crate) use crate::base::range::Range;

/// Playlists without blocking parameters, MPDs: as good as a part or two.
pub(super) const LIVE: &str = "public, max-age=1";
/// Multivariant playlists: rungs may join in the first seconds.
pub(super) const MULTIVARIANT: &str = "public, max-age=2";
/// Playlists of ended streams.
pub(super) const ENDED: &str = "public, max-age=60";
/// Media: a URL never changes its meaning. An hour outlives every window but not a cache's disk.
pub(super) const MEDIA: &str = "public, max-age=3600, immutable";
/// Thumbnails are made every few seconds.
pub(super) const THUMBNAIL: &str = "public, max-age=2";

/// Where clients read the time, for UTCTiming.
pub(super) const TIME_URL: &str = "/time";

const EXPOSED: &str = "Date, ETag, Age, Content-Length, Content-Range, Content-Encoding, \
                       CMSD-Static, CMSD-Dynamic, Retry-After";
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

/// An answer now, or later.
pub(crate) enum Answering {
    /// Nothing to wait for.
    Ready(Response<Body>),
    /// When media has come, or a deadline has passed.
    Later(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
}

impl Answering {
    pub(crate) fn later(
        answer: impl Future<Output = Response<Body>> + Send + 'static,
    ) -> Answering {
        Answering::Later(Box::pin(answer))
    }
}

impl From<Response<Body>> for Answering {
    fn from(response: Response<Body>) -> Answering {
        Answering::Ready(response)
    }
}

/// What a request says of the answer it wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    pub(crate) head: bool,
    if_none_match: Option<HeaderValue>,
    range: Option<HeaderValue>,
    if_range: Option<HeaderValue>,
}

impl Terms {
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Terms {
        Terms {
            head: *method == Method::HEAD,
            if_none_match: headers.get(IF_NONE_MATCH).cloned(),
            range: headers.get(RANGE).cloned(),
            if_range: headers.get(IF_RANGE).cloned(),
        }
    }

    /// Whether the client has what `etag` names. Weak comparison (RFC 9110 §13.1.2).
    pub(crate) fn not_modified(&self, etag: &HeaderValue) -> bool {
        let Some(value) = &self.if_none_match else {
            return false;
        };
        let ours = etag.as_bytes();
        value.as_bytes().split(|byte| *byte == b',').any(|tag| {
            let tag = tag.trim_ascii();
            let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
            tag == ours || tag == b"*"
        })
    }

    /// The range of `size` bytes that is asked for.
    pub(crate) fn range(&self, size: u64, etag: &HeaderValue) -> Range {
        let Some(range) = &self.range else {
            return Range::All;
        };
        // Strong comparison (RFC 9110 §13.1.5); a date never matches, since media carries none.
        if self.if_range.as_ref().is_some_and(|tag| tag != etag) {
            return Range::All;
        }
        range
            .to_str()
            .map_or(Range::All, |text| Range::parse(text, size))
    }
}

/// Content coding of a playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Brotli,
}

impl Coding {
    /// The best coding that the request accepts (RFC 9110 §12.5.3); brotli before gzip on a tie.
    pub(crate) fn of(headers: &HeaderMap) -> Coding {
        let Some(accepted) = headers.get(ACCEPT_ENCODING) else {
            return Coding::Identity;
        };
        let accepted = accepted.to_str().unwrap_or_default();
        let (mut gzip, mut brotli, mut any) = (None, None, None);
        for item in accepted.split(',') {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let weight = match parameters.trim().strip_prefix("q=") {
                Some(weight) => weight.trim().parse::<f32>().unwrap_or(0.0),
                None => 1.0,
            };
            match name.trim() {
                "br" => brotli = Some(weight),
                "gzip" | "x-gzip" => gzip = Some(weight),
                "*" => any = Some(weight),
                _ => {}
            }
        }
        let weight = |named: Option<f32>| named.or(any).unwrap_or(0.0);
        let (gzip, brotli) = (weight(gzip), weight(brotli));
        if brotli > 0.0 && brotli >= gzip {
            Coding::Brotli
        } else if gzip > 0.0 {
            Coding::Gzip
        } else {
            Coding::Identity
        }
    }
}

/// Lets pages of other origins read the answer and its timing.
pub(super) fn open_to_pages(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
    headers.insert(TIMING_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

/// A body in one piece; for HEAD only its length.
pub(super) fn sized(bytes: Bytes, head: bool) -> Response<Body> {
    if !head {
        return Response::new(Body::Full(bytes));
    }
    let mut response = Response::new(Body::Empty);
    let length = HeaderValue::from(bytes.len());
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

/// A status with an explanation, not to be stored.
pub(super) fn text(status: StatusCode, explanation: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::Full(Bytes::from_static(explanation.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    open_to_pages(headers);
    response
}

pub(super) fn unknown_stream() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "no stream with this id is on now\n")
}

/// What does not exist, and will not within the second.
pub(super) fn not_found(explanation: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::NOT_FOUND, explanation);
    let short = HeaderValue::from_static("public, max-age=1");
    response.headers_mut().insert(CACHE_CONTROL, short);
    response
}

/// What should have come by now, or is expected to.
pub(super) fn retry(status: StatusCode, explanation: &'static str) -> Response<Body> {
    let mut response = text(status, explanation);
    let second = HeaderValue::from_static("1");
    response.headers_mut().insert(RETRY_AFTER, second);
    response
}

pub(super) fn overloaded() -> Response<Body> {
    retry(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many requests wait for this stream\n",
    )
}

pub(super) fn restarting() -> Response<Body> {
    retry(
        StatusCode::SERVICE_UNAVAILABLE,
        "the server stops; the stream may go on after a restart\n",
    )
}

pub(super) fn bad_request(explanation: &'static str) -> Response<Body> {
    text(StatusCode::BAD_REQUEST, explanation)
}

pub(super) fn denied() -> Response<Body> {
    text(StatusCode::FORBIDDEN, "this stream needs a valid token\n")
}

pub(super) fn no_content() -> Response<Body> {
    let mut response = text(StatusCode::NO_CONTENT, "");
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

pub(super) fn not_modified(etag: &HeaderValue, caching: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    headers.insert(ETAG, etag.clone());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    open_to_pages(headers);
    response
}

pub(super) fn method_not_allowed() -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD or OPTIONS\n");
    let allowed = HeaderValue::from_static("GET, HEAD, OPTIONS");
    response.headers_mut().insert(ALLOW, allowed);
    response
}

/// The answer to a CORS preflight: CMCD headers and ranges make a request one that asks first.
pub(super) fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    open_to_pages(headers);
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD, POST, OPTIONS"),
    );
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "Range, If-None-Match, If-Range, Content-Type, Cache-Control, \
             CMCD-Request, CMCD-Object, CMCD-Status, CMCD-Session",
        ),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_accepted_coding_is_chosen() {
        let coding = |accepted: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            Coding::of(&headers)
        };
        assert_eq!(coding("gzip, deflate, br, zstd"), Coding::Brotli);
        assert_eq!(coding("gzip"), Coding::Gzip);
        assert_eq!(coding("br;q=0.5, gzip;q=0.8"), Coding::Gzip);
        assert_eq!(coding("br;q=0, gzip;q=0.0"), Coding::Identity);
        assert_eq!(coding("*"), Coding::Brotli);
        assert_eq!(coding("*, br;q=0"), Coding::Gzip);
        assert_eq!(coding("identity"), Coding::Identity);
        assert_eq!(coding("br;q=x"), Coding::Identity);
    }
}
