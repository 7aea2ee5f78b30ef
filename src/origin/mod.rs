//! Public HTTP. In: requests of players, timelines by stream id. Out: playlists, MPDs, media,
//! thumbnails, viewer counts. Not here: how media is made, who may publish, the control APIs (they
//! are the fallback router that is handed in). Playback is answered before any middleware
//! (ARCHITECTURE decision 20).

pub mod access;
mod answer;
pub mod body;
mod cache;
pub mod client;
pub mod conformance;
mod connection;
mod dash;
mod hls;
mod media;
mod registry;
mod route;
pub mod server;
mod stored;
pub mod tls;
mod viewers;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};

pub use crate::base::network::Network;
pub use access::{Access, Open};
pub use body::Body;
pub use client::Client;
pub use registry::{StreamStats, Streams};

use crate::base::clock::Clock;
use crate::base::conformance::Conformance;
use crate::base::id::Uuid;
use crate::hub::gate::Pending;
use crate::media::timeline::Timeline;
use answer::{Answering, Coding, Terms};
use client::is_trusted;
use connection::Crowd;
use registry::{Registry, Served};
use route::{File, Route, Tree};

/// What the deployment decides.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose `X-Forwarded-*` headers count.
    pub trusted_proxies: Vec<Network>,
    /// Base of HLS URLs in redirects, without a slash at the end; `/hls` unless published elsewhere.
    pub hls_base: String,
    /// Base of DASH URLs in redirects, without a slash at the end; `/dash` unless published elsewhere.
    pub dash_base: String,
    /// Connections at once over all listeners, three quarters of them of one address. Bounds memory: about 20 KiB
    /// each while idle.
    pub max_connections: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            trusted_proxies: Vec::new(),
            hls_base: "/hls".to_owned(),
            dash_base: "/dash".to_owned(),
            max_connections: 20_000,
        }
    }
}

/// Counters of the whole origin since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections open now.
    pub connections: u64,
    /// Playback requests answered.
    pub requests: u64,
    /// Body bytes of playback answers.
    pub bytes: u64,
    /// Requests that wait for media now.
    pub waiting: u64,
    /// Viewers of all streams, over the last 30 s.
    pub viewers: u64,
}

/// The public side of the server.
pub struct Origin {
    config: Config,
    clock: Clock,
    registry: Registry,
    access: Arc<dyn Access>,
    fallback: axum::Router,
    connections: Arc<tokio::sync::Semaphore>,
    crowd: Crowd,
    found: Mutex<Conformance>,
    misses: AtomicU64,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Origin {
    /// An origin over `streams`. What is not playback goes to `fallback`.
    pub fn new(
        config: Config,
        streams: Arc<dyn Streams>,
        clock: Clock,
        access: Arc<dyn Access>,
        fallback: axum::Router,
    ) -> Arc<Origin> {
        Arc::new(Origin {
            connections: Arc::new(tokio::sync::Semaphore::new(config.max_connections)),
            registry: Registry::new(streams, clock.clone()),
            config,
            clock,
            access,
            fallback,
            crowd: Crowd::default(),
            found: Mutex::default(),
            misses: AtomicU64::new(0),
        })
    }

    /// Connections that an address may have open: three quarters of all, so that one alone keeps nobody out, and a
    /// carrier's translator has room. Proxies that are trusted speak for others.
    fn most_of(&self, peer: IpAddr) -> usize {
        match is_trusted(peer.to_canonical(), &self.config.trusted_proxies) {
            true => self.config.max_connections,
            false => (self.config.max_connections * 3).div_ceil(4),
        }
    }

    /// Viewers of a stream over the last 30 s.
    pub fn viewers(&self, stream: Uuid) -> u32 {
        self.registry.viewers(stream)
    }

    /// Counters of one stream; `None` when nobody asked for it yet, or it is gone.
    pub fn stream_stats(&self, stream: Uuid) -> Option<StreamStats> {
        self.registry.stats(stream)
    }

    /// Counters of all streams.
    pub fn stats(&self) -> Stats {
        let mut stats = self.registry.totals();
        stats.requests += self.misses.load(Ordering::Relaxed);
        stats.connections = self.crowd.count();
        stats
    }

    /// What [`conformance::run`] found so far.
    pub fn conformance(&self) -> Conformance {
        let found = self.found.lock();
        found.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers a playback request; `None` when the path is not playback's.
    pub(crate) fn playback(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        client: IpAddr,
    ) -> Option<Answering> {
        let route = Route::parse(uri.path())?;
        let query = uri.query().unwrap_or_default();
        match *method {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return Some(answer::preflight().into()),
            Method::POST if route.is_beacon() => {}
            _ => return Some(answer::method_not_allowed().into()),
        }
        let answering = match route {
            Route::Time => self.time(method).into(),
            Route::Thumbnail { id } => self.thumbnail(id, query, (method, headers, client)),
            Route::Stream {
                tree,
                id,
                token,
                file,
            } => match self.serve(id, token, &file, (method, query, headers, client)) {
                Ok(answering) => return Some(answering),
                Err(Refused::NotAnId | Refused::Unknown) if file.is_manifest() => {
                    self.redirect(tree, id, token, &file, query)
                }
                Err(Refused::NotAnId | Refused::Unknown) => answer::unknown_stream().into(),
                Err(Refused::Denied) => answer::denied().into(),
            },
        };
        self.misses.fetch_add(1, Ordering::Relaxed);
        Some(answering)
    }

    fn serve(
        &self,
        id: &str,
        token: Option<&str>,
        file: &File<'_>,
        (method, query, headers, client): (&Method, &str, &HeaderMap, IpAddr),
    ) -> Result<Answering, Refused> {
        let stream = self.stream(id, token, client)?;
        stream.state.requested();
        let second = self.clock.monotonic().as_secs();
        if let File::Beacon = file {
            // A page plays from a CDN: this is the only sign of it (decision 19).
            stream.state.viewers.beacon(query, headers, client, second);
            return Ok(answer::no_content().into());
        }
        stream.state.viewers.seen(query, headers, client, second);
        let terms = Terms::of(method, headers);
        Ok(match *file {
            File::Multivariant => hls::multivariant(stream, terms, Coding::of(headers)),
            File::Playlist(rendition) => {
                hls::media_playlist(stream, rendition, query, terms, Coding::of(headers))
            }
            File::Mpd(mode) => dash::mpd(stream, mode, terms, Coding::of(headers)),
            File::Media(rendition, resource) => media::resource(stream, rendition, resource, terms),
            File::Beacon | File::Unknown => answer::not_found("no such file").into(),
        })
    }

    fn stream(&self, id: &str, token: Option<&str>, client: IpAddr) -> Result<Served, Refused> {
        let id = route::stream_id(id).ok_or(Refused::NotAnId)?;
        let stream = self.registry.stream(id).ok_or(Refused::Unknown)?;
        if !self.access.allows(id, token, client) {
            return Err(Refused::Denied);
        }
        Ok(stream)
    }

    /// Short ids, aliases and ids of broadcasts: 302 to the stream's id, on the manifest only (INTERFACE
    /// "Playing").
    fn redirect(
        &self,
        tree: Tree,
        name: &str,
        token: Option<&str>,
        file: &File<'_>,
        query: &str,
    ) -> Answering {
        let Some(name) = route::percent_decoded(name).map(Cow::into_owned) else {
            return answer::unknown_stream().into();
        };
        let base = match tree {
            Tree::Hls => &self.config.hls_base,
            Tree::Dash => &self.config.dash_base,
        };
        let base = base.clone();
        let mut below = token.map_or_else(String::new, |token| format!("~{token}/"));
        below.push_str(file.manifest_name());
        if !query.is_empty() {
            below.push('?');
            below.push_str(query);
        }
        let streams = self.registry.streams();
        Answering::later(async move {
            let found = streams.find(&name).await;
            // Where it leads to itself there is nothing to play yet.
            let Some(id) = found.filter(|id| route::stream_id(&name) != Some(*id)) else {
                return answer::unknown_stream();
            };
            let location = format!("{base}/{}/{below}", id.hyphenated());
            let Ok(location) = HeaderValue::from_str(&location) else {
                return answer::unknown_stream();
            };
            let mut response = answer::text(StatusCode::FOUND, "see Location\n");
            response.headers_mut().insert(LOCATION, location);
            response
        })
    }

    fn thumbnail(
        &self,
        id: &str,
        query: &str,
        (method, headers, client): (&Method, &HeaderMap, IpAddr),
    ) -> Answering {
        let token = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("token="));
        match self.picture(id, token, client) {
            Ok(Some(jpeg)) => {
                let etag = cache::etag(&jpeg, "");
                let terms = Terms::of(method, headers);
                if terms.not_modified(&etag) {
                    return answer::not_modified(&etag, answer::THUMBNAIL).into();
                }
                let mut response = answer::sized(jpeg, terms.head);
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
                headers.insert(CACHE_CONTROL, HeaderValue::from_static(answer::THUMBNAIL));
                headers.insert(ETAG, etag);
                answer::open_to_pages(headers);
                response.into()
            }
            Ok(None) => answer::not_found("no thumbnail yet").into(),
            Err(Refused::Denied) => answer::denied().into(),
            Err(_) => answer::unknown_stream().into(),
        }
    }

    fn picture(
        &self,
        id: &str,
        token: Option<&str>,
        client: IpAddr,
    ) -> Result<Option<Bytes>, Refused> {
        let id = route::stream_id(id).ok_or(Refused::NotAnId)?;
        if !self.registry.exists(id) {
            return Err(Refused::Unknown);
        }
        if !self.access.allows(id, token, client) {
            return Err(Refused::Denied);
        }
        Ok(self.registry.thumbnail(id))
    }

    /// UTCTiming, urn:mpeg:dash:utc:http-iso:2014 (CONFORMANCE S2).
    fn time(&self, method: &Method) -> Response<Body> {
        let text = crate::manifest::text::date(self.clock.wall());
        let mut response = answer::sized(Bytes::from(text), *method == Method::HEAD);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer::open_to_pages(headers);
        response
    }

    /// Forgets streams that the hub no longer knows.
    pub(crate) fn sweep(&self) {
        self.registry.sweep();
    }
}

enum Refused {
    NotAnId,
    Unknown,
    Denied,
}

impl Streams for crate::hub::Hub {
    fn timeline(&self, id: Uuid) -> Option<Arc<dyn Timeline>> {
        crate::hub::Hub::timeline(self, id)
    }

    fn find<'a>(&'a self, channel_id: &'a str) -> Pending<'a, Option<Uuid>> {
        Box::pin(async { self.newest(channel_id) })
    }

    fn ids(&self) -> Vec<Uuid> {
        self.all().iter().map(|stream| stream.id()).collect()
    }

    fn thumbnail(&self, id: Uuid) -> Option<Bytes> {
        crate::hub::Hub::thumbnail(self, id)
    }
}

/// Entry for fuzzing: everything of a request that is parsed here, without a panic. The first line is
/// the path, the second the query, the third a header's value.
pub fn fuzz_request(bytes: &[u8]) {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut text = || std::str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
    let (path, query, value) = (text(), text(), text());
    let _ = Route::parse(path);
    let _ = route::percent_decoded(path);
    let _ = hls::Wanted::parse(query);
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(value) {
        for name in [
            "accept-encoding",
            "if-none-match",
            "range",
            "x-forwarded-for",
            "cmcd-session",
        ] {
            headers.insert(name, value.clone());
        }
    }
    let _ = viewers::cmcd_session(query, &headers);
    let _ = Coding::of(&headers);
    let terms = Terms::of(&Method::GET, &headers);
    let etag = HeaderValue::from_static("\"a\"");
    let _ = terms.not_modified(&etag);
    let _ = terms.range(1000, &etag);
    let all = "0.0.0.0/0".parse().into_iter().collect::<Vec<Network>>();
    let peer = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let _ = Client::of(&headers, peer, false, &all);
}

#[cfg(test)]
mod tests;
