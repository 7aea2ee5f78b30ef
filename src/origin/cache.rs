//! Rendered playlists: each version once per coding, at its first request, shared by all.
//! Bounded by the renditions that the timeline knows; only the newest version is kept.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::answer::{self, Coding, Terms};
use super::body::Body;
use crate::manifest::dash;

/// Orders the states of what is rendered: the description's version, then the media's.
pub(super) type Version = (u64, u64);

/// Brotli quality: 4 makes a 10 KB playlist about as small as 11 does, in a tenth of a millisecond.
const BROTLI_QUALITY: u32 = 4;
/// Brotli window as a power of two: no playlist repeats itself further back.
const BROTLI_WINDOW: u32 = 17;

/// All playlists of one stream.
#[derive(Default)]
pub(super) struct Playlists {
    pub(super) multivariant: Slot,
    /// Standard and low-latency MPD.
    pub(super) mpds: [Manifest; 2],
    media: RwLock<HashMap<Box<str>, Arc<[Slot; 2]>>>,
}

impl Playlists {
    /// The slots of a rendition: whole playlist and delta update. To be called only for renditions
    /// that exist, so that made-up names take no memory.
    pub(super) fn media(&self, rendition: &str) -> Arc<[Slot; 2]> {
        let known = self.media.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(slots) = known.get(rendition) {
            return slots.clone();
        }
        drop(known);
        let mut known = self.media.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(rendition.into()).or_default().clone()
    }
}

/// One of the two MPDs, and what must be remembered from one version to the next.
#[derive(Default)]
pub(super) struct Manifest {
    pub(super) slot: Slot,
    pub(super) periods: Mutex<dash::Periods>,
}

/// One playlist in its newest version.
#[derive(Default)]
pub(super) struct Slot {
    current: ArcSwapOption<Rendered>,
    /// Held while rendering, so that a thousand woken requests render once.
    making: Mutex<()>,
}

impl Slot {
    /// The playlist at `version` or later, rendered now if nobody asked for it before.
    pub(super) fn get(
        &self,
        version: Version,
        render: impl FnOnce() -> Option<Rendered>,
    ) -> Option<Arc<Rendered>> {
        let fresh = |rendered: &Arc<Rendered>| rendered.version >= version;
        let current = self.current.load();
        if let Some(rendered) = current.as_ref().filter(|rendered| fresh(rendered)) {
            return Some(rendered.clone());
        }
        drop(current);
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rendered) = self.current.load_full().filter(fresh) {
            return Some(rendered);
        }
        let rendered = Arc::new(render()?);
        self.current.store(Some(rendered.clone()));
        Some(rendered)
    }
}

/// What distinguishes the kinds of playlists on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) content_type: &'static str,
    pub(super) caching: &'static str,
    /// How long the answer to a blocking reload may be cached: its URL names a moment, so the answer
    /// stays right (RFC 8216bis §6.2.5.2 recommends six target durations).
    pub(super) blocking_s: u32,
}

/// A playlist's text with its codings.
pub(super) struct Rendered {
    version: Version,
    text: Bytes,
    form: Form,
    blocking: HeaderValue,
    identity: OnceLock<Coded>,
    gzip: OnceLock<Coded>,
    brotli: OnceLock<Coded>,
}

/// Ready to be sent: only the caching header of a blocking answer is exchanged.
struct Coded {
    body: Bytes,
    etag: HeaderValue,
    headers: HeaderMap,
}

impl Rendered {
    pub(super) fn new(version: Version, text: String, form: Form) -> Rendered {
        let blocking = format!("public, max-age={}", form.blocking_s);
        Rendered {
            version,
            text: Bytes::from(text),
            form,
            blocking: HeaderValue::try_from(blocking).expect("digits are a header value"),
            identity: OnceLock::new(),
            gzip: OnceLock::new(),
            brotli: OnceLock::new(),
        }
    }

    /// What it says.
    pub(super) fn text(&self) -> &Bytes {
        &self.text
    }

    fn coded(&self, coding: Coding) -> &Coded {
        match coding {
            Coding::Identity => self
                .identity
                .get_or_init(|| Coded::new(self.text.clone(), "", None, self.form)),
            Coding::Gzip => self
                .gzip
                .get_or_init(|| Coded::new(gzip(&self.text), "-gz", Some("gzip"), self.form)),
            Coding::Brotli => self
                .brotli
                .get_or_init(|| Coded::new(brotli(&self.text), "-br", Some("br"), self.form)),
        }
    }

    /// The answer, and how many body bytes it has.
    pub(super) fn answer(
        &self,
        coding: Coding,
        terms: &Terms,
        blocking: bool,
    ) -> (Response<Body>, u64) {
        let coded = self.coded(coding);
        let mut headers = coded.headers.clone();
        if blocking {
            headers.insert(CACHE_CONTROL, self.blocking.clone());
        }
        let mut response = Response::new(Body::Empty);
        let mut sent = 0;
        if terms.not_modified(&coded.etag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            headers.remove(CONTENT_TYPE);
            headers.remove(CONTENT_ENCODING);
        } else if terms.head {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(coded.body.len()));
        } else {
            sent = coded.body.len() as u64;
            *response.body_mut() = Body::Full(coded.body.clone());
        }
        *response.headers_mut() = headers;
        (response, sent)
    }
}

impl Coded {
    fn new(body: Bytes, suffix: &str, coding: Option<&'static str>, form: Form) -> Coded {
        let etag = etag(&body, suffix);
        let mut headers = HeaderMap::with_capacity(10);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(form.caching));
        headers.insert(ETAG, etag.clone());
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        answer::open_to_pages(&mut headers);
        Coded {
            body,
            etag,
            headers,
        }
    }
}

/// A strong entity tag of the bytes: equal over restarts, since only they decide it.
pub(super) fn etag(bytes: &[u8], suffix: &str) -> HeaderValue {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    let text = format!("\"{:016x}{suffix}\"", hasher.finish());
    HeaderValue::try_from(text).expect("hex digits are a header value")
}

fn gzip(text: &[u8]) -> Bytes {
    let level = flate2::Compression::default();
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(text.len() / 4), level);
    let written = encoder.write_all(text).and_then(|()| encoder.finish());
    Bytes::from(written.expect("writing to memory does not fail"))
}

fn brotli(text: &[u8]) -> Bytes {
    let mut coded = Vec::with_capacity(text.len() / 4);
    let mut encoder =
        brotli::CompressorWriter::new(&mut coded, 4096, BROTLI_QUALITY, BROTLI_WINDOW);
    let written = encoder.write_all(text).and_then(|()| encoder.flush());
    written.expect("writing to memory does not fail");
    drop(encoder);
    Bytes::from(coded)
}
