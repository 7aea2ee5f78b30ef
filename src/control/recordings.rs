//! `/api/admin/recordings`: what is kept, its deletion, and its download as one MP4.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State as Extract};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Frame;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Error, State, auth, session};
use crate::base::id::Uuid;
use crate::media::timeline::Blob;
use crate::record::{Library, Refusal, Summary};

/// Paths of these routes, as the API description has them.
pub const PATHS: [&str; 3] = [LIST, ONE, MOVIE];
const LIST: &str = "/api/admin/recordings";
const ONE: &str = "/api/admin/recordings/{recordingId}";
/// Served by the route of one recording: a route cannot end in the middle of a segment.
const MOVIE: &str = "/api/admin/recordings/{recordingId}.mp4";

/// Recordings in one answer when nothing is said, and at most: half a megabyte of JSON.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

struct Api {
    library: Library,
    state: State,
}

/// The routes, for whoever serves operators.
pub fn routes(library: Library, state: State) -> Router {
    let guard = middleware::from_fn_with_state(state.clone(), session::guard);
    Router::new()
        .route(LIST, get(list))
        .route(ONE, get(one).delete(delete))
        .layer(guard)
        .with_state(Arc::new(Api { library, state }))
}

#[derive(Deserialize)]
struct Page {
    channel: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct Choice {
    rendition: Option<String>,
    part: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    recording_id: String,
    stream_id: String,
    channel_id: String,
    alias: String,
    name: String,
    capabilities: Vec<String>,
    tags: Vec<String>,
    started_unix_ms: i64,
    ended_unix_ms: Option<i64>,
    duration_ms: u64,
    bytes: u64,
    missed_segments: u64,
    state: &'static str,
    reason: Option<String>,
    hls: String,
    dash: String,
    download: String,
}

async fn list(
    Extract(api): Extract<Arc<Api>>,
    headers: HeaderMap,
    page: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> Response {
    if let Err(refused) = api.operator(&headers) {
        return refused.into_response();
    }
    let Ok(Query(page)) = page else {
        return Error::BadRequest.into_response();
    };
    let limit = page.limit.unwrap_or(PAGE);
    let after = page.after.as_deref().map(Uuid::parse_str).transpose();
    let (1..=MAX_PAGE, Ok(after)) = (limit, after) else {
        return Error::BadRequest.into_response();
    };
    let mut found = api.library.list(page.channel.as_deref(), after, limit + 1);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more);
    let next = next.map(|last| last.about.id.to_string());
    let recordings: Vec<View> = found.into_iter().map(view).collect();
    answer(json!({ "recordings": recordings, "next": next }))
}

async fn one(
    Extract(api): Extract<Arc<Api>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    choice: Result<Query<Choice>, axum::extract::rejection::QueryRejection>,
) -> Response {
    if let Err(refused) = api.operator(&headers) {
        return refused.into_response();
    }
    let (id, is_movie) = match name.strip_suffix(".mp4") {
        Some(id) => (id, true),
        None => (name.as_str(), false),
    };
    let found = Uuid::parse_str(id).ok().and_then(|id| api.library.get(id));
    let Some(found) = found else {
        return Error::NotFound.into_response();
    };
    if !is_movie {
        return answer(view(found));
    }
    match choice {
        Ok(Query(choice)) => movie(&api, found, choice, &headers).await,
        Err(_) => Error::BadRequest.into_response(),
    }
}

async fn delete(
    Extract(api): Extract<Arc<Api>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(refused) = api.operator(&headers) {
        return refused.into_response();
    }
    let Ok(id) = Uuid::parse_str(&id) else {
        return Error::NotFound.into_response();
    };
    let library = api.library.clone();
    let deleted = tokio::task::spawn_blocking(move || library.delete(id)).await;
    let error = match deleted {
        Ok(Ok(())) => return answer(json!({ "status": "ok" })),
        Ok(Err(Refusal::Unknown)) => Error::NotFound,
        Ok(Err(Refusal::Busy)) => Error::Conflict,
        Ok(Err(Refusal::Failed)) | Err(_) => Error::Internal,
    };
    error.into_response()
}

/// The file, or the range of it that is asked for.
async fn movie(api: &Api, found: Summary, choice: Choice, headers: &HeaderMap) -> Response {
    if found.ended.is_none() {
        return Error::Conflict.into_response();
    }
    let about = &found.about;
    let part = choice.part.unwrap_or(1);
    let opened = api
        .library
        .movie(about.id, choice.rendition.as_deref(), part);
    let movie = match opened.await {
        Ok(Some(movie)) => movie,
        Ok(None) => return Error::NotFound.into_response(),
        Err(err) => {
            tracing::error!(%err, recording = %about.id, "recording cannot be read");
            return Error::Internal.into_response();
        }
    };
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
            return response;
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
    response
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

impl Api {
    fn operator(&self, headers: &HeaderMap) -> Result<(), Error> {
        match auth::is_operator(&self.state, headers) {
            true => Ok(()),
            false => Err(Error::Unauthorized),
        }
    }
}

fn answer(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn view(summary: Summary) -> View {
    let about = &summary.about;
    let id = about.id;
    View {
        recording_id: id.to_string(),
        stream_id: id.to_string(),
        channel_id: about.channel_id.clone(),
        alias: about.alias.clone(),
        name: about.name.clone(),
        capabilities: about.capabilities.clone(),
        tags: about.tags.clone(),
        started_unix_ms: about.started.unix_millis(),
        ended_unix_ms: summary.ended.map(|ended| ended.unix_millis()),
        duration_ms: u64::try_from(summary.duration.as_millis()).unwrap_or(u64::MAX),
        bytes: summary.bytes,
        missed_segments: summary.missed,
        state: summary.outcome.word(),
        reason: summary.outcome.reason().map(str::to_owned),
        hls: format!("/hls/{id}/index.m3u8"),
        dash: format!("/dash/{id}/manifest.mpd"),
        download: format!("/api/admin/recordings/{id}.mp4"),
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
