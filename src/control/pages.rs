//! The pages that people see: watch page, list of streams, LiveKit's self-test, and the operators' console.
//! In: a request. Out: files of `assets/web/dist`, which `make web` builds and this file embeds. Not here: any data but what
//! stands in the head of a broadcast's page ([`head`]); the pages fetch playlists, `/streams.json`,
//! `/api/streams/{id}/viewer`, `/api/admin` and thumbnails like every other client.

mod head;

use std::sync::LazyLock;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use super::api::address::{Bases, asked};
use super::{Caller, State};

/// One embedded file. A compile error here says that the pages are not built: `make web` does it.
#[rustfmt::skip]
macro_rules! page {
    ($name:literal, $kind:expr) => {
        File {
            name: $name,
            kind: $kind,
            plain: include_bytes!(concat!("../../assets/web/dist/", $name)), // no such file? run `make web` first
            gzip: include_bytes!(concat!("../../assets/web/dist/", $name, ".gz")), // no such file? run `make web` first
        }
    };
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const WATCH: &str = "watch.html";
const LIVE: &str = "live.html";
const CONSOLE: &str = "console.html";
const LIVEKIT_TEST: &str = "livekit-test.html";
const SYNC: &str = "sync.js";

/// Everything that the pages consist of.
#[rustfmt::skip]
static FILES: &[File] = &[
    page!("watch.html", HTML),
    page!("live.html", HTML),
    page!("console.html", HTML),
    page!("livekit-test.html", HTML),
    page!("watch.js", SCRIPT),
    page!("live.js", SCRIPT),
    page!("sync.js", SCRIPT),
    page!("console.js", SCRIPT),
    page!("engine-dash.js", SCRIPT),
    page!("room.js", SCRIPT),
    page!("livekit-test.js", SCRIPT),
    page!("preview.js", SCRIPT),
    page!("style.css", "text/css; charset=utf-8"),
    page!("console-style.css", "text/css; charset=utf-8"),
    page!("livekit-test-style.css", "text/css; charset=utf-8"),
    page!("favicon.svg", "image/svg+xml"),
    page!("licences.txt", "text/plain; charset=utf-8"),
];

/// Everything from our own origin; players feed the video element by `blob:` addresses. No
/// `frame-ancestors`: the watch page may be embedded elsewhere, it has nothing to steal.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; \
    worker-src 'self' blob:; base-uri 'none'; form-action 'none'";

struct File {
    name: &'static str,
    kind: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

/// Hashes of [`FILES`] in their order, the stem of their entity tags.
static HASHES: LazyLock<Vec<String>> =
    LazyLock::new(|| FILES.iter().map(|file| hash(file.plain)).collect());

fn hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let digits = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// Routes of the viewers' pages, where operators have an address of their own: `/watch/{streamId}`,
/// `/streams/{streamId}/watch`, `/live`, `/livekit-test`, `/sync.js`, `/assets/{file}`, and `/`, which leads to
/// `/live`.
pub fn public_routes(state: State) -> Router {
    viewers(state).route("/", get(|| async { Redirect::temporary("/live") }))
}

/// Routes of the operators' own address: the console at `/`, and `/assets/{file}`.
pub fn operator_routes(state: State) -> Router {
    console(state).route("/assets/{file}", get(asset))
}

/// All pages, for a gateway with one HTTP address: the console at `/`, and the viewers' pages.
pub fn routes(state: State) -> Router {
    viewers(state.clone()).merge(console(state))
}

fn viewers(state: State) -> Router {
    Router::new()
        .route(
            "/live",
            get(|headers: HeaderMap| async move { serve(LIVE, &headers) }),
        )
        .route("/watch/{streamId}", get(watch))
        .route("/streams/{streamId}/watch", get(watch))
        .route("/livekit-test", get(livekit_test))
        .route("/sync.js", get(sync))
        .route("/assets/{file}", get(asset))
        .with_state(state)
}

fn console(state: State) -> Router {
    Router::new().route("/", get(operate)).with_state(state)
}

/// The console. Its player gets media, and positions of events, where viewers do, which may be another origin.
async fn operate(Extract(state): Extract<State>, parts: Parts) -> Response {
    let mut response = serve(CONSOLE, &parts.headers);
    let elsewhere = elsewhere(&state, &parts);
    if !elsewhere.is_empty() {
        let sources = format!("connect-src 'self' {};", elsewhere.join(" "));
        let policy = CONTENT_SECURITY_POLICY.replace("connect-src 'self';", &sources);
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
    }
    response
}

/// Origins (RFC 6454 §6.2) of viewers' addresses that are not the one by which the console was asked.
fn elsewhere(state: &State, parts: &Parts) -> Vec<String> {
    let caller = parts.extensions.get::<Caller>();
    let scheme = match caller.is_some_and(|caller| caller.secure) {
        true => "https",
        false => "http",
    };
    let is_forwarded = caller.is_some_and(|caller| caller.trusted_proxy);
    let asked = asked(&parts.headers, parts, is_forwarded);
    let own = format!("{scheme}://{asked}");
    let setup = state.setup();
    let port = setup.addresses.public_port;
    let public = setup.public_url.clone();
    let public = public.or_else(|| Some(format!("{scheme}://{}:{}", asked.host(), port?)));
    let all = [public, Some(Bases::of(state, parts).hls)];
    let origin = |address: String| {
        let (scheme, rest) = address.split_once("://")?;
        let authority = rest.split('/').next()?;
        Some(format!("{scheme}://{authority}"))
    };
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b".-:/[]".contains(&b);
    let mut origins: Vec<String> = all.into_iter().flatten().filter_map(origin).collect();
    origins.retain(|origin| *origin != own && origin.bytes().all(is_plain));
    origins.dedup();
    origins
}

/// The same page for every stream: it reads the id from its own address. That of a broadcast says in its head
/// what it is.
async fn watch(Extract(state): Extract<State>, Path(id): Path<String>, parts: Parts) -> Response {
    let page = || FILES.iter().find(|file| file.name == WATCH);
    let page = page().expect("the page is embedded");
    let Some(head) = head::of(&state, &id, &parts).await else {
        return joining(serve(WATCH, &parts.headers), &state, &parts);
    };
    let text = head::put(page.plain, &head);
    let tag = format!("\"{}\"", hash(text.as_bytes()));
    let entity = (Bytes::from(text), page.kind, tag, false);
    joining(answer(entity, &parts.headers), &state, &parts)
}

/// The page that tries LiveKit out: connects, publishes, subscribes.
async fn livekit_test(Extract(state): Extract<State>, parts: Parts) -> Response {
    joining(serve(LIVEKIT_TEST, &parts.headers), &state, &parts)
}

/// A page that joins a chat or a room: it may open sockets to where those are. The way into rooms is at the
/// public address, which LiveKit's client also asks by HTTP why a socket was refused.
fn joining(mut response: Response, state: &State, parts: &Parts) -> Response {
    let caller = parts.extensions.get::<Caller>();
    let is_forwarded = caller.is_some_and(|caller| caller.trusted_proxy);
    let own = asked(&parts.headers, parts, is_forwarded).to_string();
    // Safari before version 16 does not take the origin's own sockets for `'self'`.
    let mut sources = vec![format!("ws://{own}"), format!("wss://{own}")];
    let public = state.setup().public_url.as_deref();
    if let Some((scheme, rest)) = public.and_then(|url| url.split_once("://")) {
        let socket = if scheme == "https" { "wss" } else { "ws" };
        let authority = rest.split('/').next().unwrap_or_default();
        if authority != own {
            sources.push(format!("{socket}://{authority}"));
            sources.push(format!("{scheme}://{authority}"));
        }
    }
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b".-:/[]".contains(&b);
    sources.retain(|source| source.bytes().all(is_plain));
    if sources.is_empty() {
        return response;
    }
    let sources = format!("connect-src 'self' {};", sources.join(" "));
    let policy = CONTENT_SECURITY_POLICY.replace("connect-src 'self';", &sources);
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    serve(&name, &headers)
}

/// The module that other people's pages import (Fetch standard, section 3.3, "CORS protocol"), those that are
/// isolated from other origins as well (HTML standard, section 7.1.4, "Cross-origin embedder policies").
async fn sync(headers: HeaderMap) -> Response {
    let mut response = serve(SYNC, &headers);
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("cross-origin-resource-policy", "cross-origin"),
    ] {
        let headers = response.headers_mut();
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn serve(name: &str, request: &HeaderMap) -> Response {
    let Some(index) = FILES.iter().position(|file| file.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let file = &FILES[index];
    let packed = accepts_gzip(request);
    // RFC 9110 §8.8.3: another encoding is another entity.
    let tag = format!("\"{}{}\"", HASHES[index], if packed { "-gz" } else { "" });
    let bytes = Bytes::from_static(if packed { file.gzip } else { file.plain });
    let mut response = answer((bytes, file.kind, tag, packed), request);
    if name == CONSOLE || name == LIVEKIT_TEST {
        // Whoever types a key must see where they are.
        let headers = response.headers_mut();
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    response
}

/// Bytes, media type, entity tag, and whether the bytes are gzip.
type Entity = (Bytes, &'static str, String, bool);

fn answer((bytes, kind, tag, packed): Entity, request: &HeaderMap) -> Response {
    let is_known = header_list(request, &header::IF_NONE_MATCH)
        .any(|known| known == "*" || known.trim_start_matches("W/") == tag);
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        bytes.into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(
        header::ETAG,
        HeaderValue::from_str(&tag).expect("hex digits are a header"),
    );
    // Names are fixed, so that a browser asks each time and mostly hears 304.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if packed && !is_known {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    for (name, value) in [
        ("content-security-policy", CONTENT_SECURITY_POLICY),
        ("x-content-type-options", "nosniff"),
        // A private stream's token is in the page's address: it goes to nobody else.
        ("referrer-policy", "no-referrer"),
    ] {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

/// RFC 9110 §12.5.3: `gzip` listed, and not with a weight of zero.
fn accepts_gzip(request: &HeaderMap) -> bool {
    header_list(request, &header::ACCEPT_ENCODING).any(|item| {
        let (coding, weight) = item.split_once(';').unwrap_or((item, "q=1"));
        let weight = weight.trim().trim_start_matches("q=").parse::<f32>();
        coding.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|weight| weight > 0.0)
    })
}

/// The comma-separated items of a header, over all its lines.
fn header_list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::control::tests::bench;

    async fn ask(path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
        let bench = bench(|_| {}).await;
        ask_of(routes(bench.state.clone()), path, headers).await
    }

    async fn ask_of(
        router: Router,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = router
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        (
            parts.status,
            parts.headers,
            body.collect().await.unwrap().to_bytes().to_vec(),
        )
    }

    #[tokio::test]
    async fn every_address_in_the_pages_is_served() {
        for page in [
            "/watch/live",
            "/streams/live/watch",
            "/live",
            "/livekit-test",
            "/",
        ] {
            let (status, headers, body) = ask(page, &[]).await;
            assert_eq!(status, StatusCode::OK, "{page}");
            assert_eq!(headers[header::CONTENT_TYPE], HTML);
            let text = String::from_utf8(body).unwrap();
            // What stands between quotes and begins like `/a`; `/>` after an attribute does not.
            let is_address = |part: &&str| {
                let mut bytes = part.bytes();
                bytes.next() == Some(b'/') && bytes.next().is_some_and(|b| b.is_ascii_lowercase())
            };
            let links = text.split('"').filter(is_address);
            let mut files = 0;
            for link in links {
                let (status, ..) = ask(link, &[]).await;
                assert_eq!(status, StatusCode::OK, "{link} of {page}");
                files += 1;
            }
            assert!(
                files >= 4,
                "{page} has icon, style, script and a link home: {files}"
            );
        }
    }

    #[tokio::test]
    async fn nothing_is_loaded_from_elsewhere() {
        for path in [
            "/watch/live",
            "/live",
            "/livekit-test",
            "/",
            "/assets/style.css",
            "/assets/console-style.css",
        ] {
            let (_, headers, body) = ask(path, &[]).await;
            let text = String::from_utf8(body).unwrap();
            assert!(
                !text.contains("https://") && !text.contains("url(http"),
                "{path}"
            );
            let policy = headers["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("http"));
            assert!(!policy.contains("unsafe"), "{policy}");
        }
    }

    #[tokio::test]
    async fn the_console_plays_what_viewers_get_wherever_that_is() {
        let bench = bench(|setup| {
            setup.addresses.public_port = Some(8080);
            setup.hls_base = Some("https://cdn.example/live".to_owned());
        })
        .await;
        for (host, expected) in [
            (
                "a.example:9090",
                " http://a.example:8080 https://cdn.example;",
            ),
            ("a.example:8080", " https://cdn.example;"),
            ("[::1]:9090", " http://[::1]:8080 https://cdn.example;"),
        ] {
            let router = operator_routes(bench.state.clone());
            let (_, headers, _) = ask_of(router, "/", &[("host", host)]).await;
            let policy = headers["content-security-policy"].to_str().unwrap();
            let sources = format!("connect-src 'self'{expected}");
            assert!(policy.contains(&sources), "{policy}");
        }
    }

    #[tokio::test]
    async fn pages_that_join_a_room_may_open_sockets_to_where_it_is() {
        let bench = bench(|setup| {
            setup.public_url = Some("https://live.example/".to_owned());
        })
        .await;
        for page in ["/watch/live", "/livekit-test"] {
            for (host, expected) in [
                ("live.example", ""),
                ("10.0.0.1:8080", " wss://live.example https://live.example"),
            ] {
                let router = routes(bench.state.clone());
                let (_, headers, _) = ask_of(router, page, &[("host", host)]).await;
                let policy = headers["content-security-policy"].to_str().unwrap();
                let sources = format!("connect-src 'self' ws://{host} wss://{host}{expected};");
                assert!(policy.contains(&sources), "{policy}");
            }
        }
    }

    #[tokio::test]
    async fn pages_of_any_origin_may_import_the_module() {
        let (status, headers, body) = ask("/sync.js", &[("origin", "https://a.example")]).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers[header::CONTENT_TYPE], SCRIPT);
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert_eq!(headers["cross-origin-resource-policy"], "cross-origin");
        let source = include_str!("../../assets/web/sync.js");
        assert!(body == source.as_bytes(), "it is not the file as it is");
        let (_, headers, _) = ask("/assets/watch.js", &[]).await;
        assert!(!headers.contains_key("access-control-allow-origin"));
    }

    #[tokio::test]
    async fn only_pages_that_take_keys_are_not_for_frames() {
        for (path, refused) in [
            ("/watch/live", false),
            ("/live", false),
            ("/livekit-test", true),
            ("/", true),
        ] {
            let (_, headers, _) = ask(path, &[]).await;
            assert_eq!(headers.contains_key(header::X_FRAME_OPTIONS), refused);
        }
    }

    #[tokio::test]
    async fn gzip_is_the_same_file() {
        for file in FILES {
            let path = format!("/assets/{}", file.name);
            let (_, plain_headers, plain) =
                ask(&path, &[("accept-encoding", "gzip;q=0, br")]).await;
            assert!(!plain_headers.contains_key(header::CONTENT_ENCODING));
            let (_, headers, packed) = ask(&path, &[("accept-encoding", "br, GZIP;q=0.5")]).await;
            assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
            assert_ne!(headers[header::ETAG], plain_headers[header::ETAG]);
            let mut inflated = Vec::new();
            flate2::read::GzDecoder::new(&packed[..])
                .read_to_end(&mut inflated)
                .unwrap();
            assert!(
                inflated == plain,
                "{} differs from its gzip form",
                file.name
            );
        }
    }

    #[tokio::test]
    async fn a_known_entity_is_not_sent_again() {
        let (_, headers, _) = ask("/assets/watch.js", &[]).await;
        let tag = headers[header::ETAG].to_str().unwrap();
        let known = format!("\"other\", W/{tag}");
        let (status, headers, body) = ask("/assets/watch.js", &[("if-none-match", &known)]).await;
        assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(headers[header::ETAG], tag);
        let (status, ..) = ask("/assets/watch.js", &[("if-none-match", "\"other\"")]).await;
        assert_eq!(status, StatusCode::OK);
    }

    #[tokio::test]
    async fn what_is_not_ours_is_not_found() {
        for path in [
            "/assets/nothing.js",
            "/assets/..%2f..%2fCargo.toml",
            "/watch/a/b",
            "/console",
        ] {
            assert_eq!(ask(path, &[]).await.0, StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn with_an_address_of_their_own_operators_leave_the_public_one_to_viewers() {
        let bench = bench(|_| {}).await;
        let (status, headers, _) = ask_of(public_routes(bench.state.clone()), "/", &[]).await;
        assert_eq!(status, StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(headers[header::LOCATION], "/live");
        let operators = || operator_routes(bench.state.clone());
        assert_eq!(ask_of(operators(), "/", &[]).await.0, StatusCode::OK);
        for path in ["/live", "/watch/live"] {
            let (status, ..) = ask_of(operators(), path, &[]).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        }
    }
}
