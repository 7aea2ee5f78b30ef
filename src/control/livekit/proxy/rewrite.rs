//! A client's request as the LiveKit server is to have it: tokens without their prefix, and nothing that is not
//! about the handshake. Pure.
//!
//! The server takes a token from `Authorization`, or else from `access_token` of the query
//! (livekit/livekit:pkg/service/auth.go). Whatever it could take for the token is found here, or the request is
//! refused: what is checked must be what it reads.

use http::header::{
    AUTHORIZATION, CONNECTION, HeaderName, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Uri};

use crate::base::source::percent_decoded;

/// What the API puts before tokens (contract, broadcasts, B-8).
pub(in crate::control::livekit) const PREFIX: &str = "livekit_";
/// Bytes of a request's first line and its headers. `/rtc/v1` has the client's first message in its query, with an
/// offer of 10 KB where the browser cannot compress it.
pub(super) const MAX_HEAD: usize = 24 << 10;
/// The parameter with the token.
const ACCESS_TOKEN: &str = "access_token";
/// What is handed on of a handshake (RFC 6455 §4.1).
const HANDED_ON: [HeaderName; 7] = [
    CONNECTION,
    UPGRADE,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION,
    SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_EXTENSIONS,
    USER_AGENT,
];

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is too long.
    TooLong,
    /// It names no token.
    NoToken,
    /// It could be read in two ways.
    Ambiguous,
}

/// A request for the LiveKit server.
#[derive(Debug)]
pub(super) struct Rewritten {
    /// Path and query, below the path of `LIVEKIT_URL`. Secret: it may hold the token.
    pub(super) target: String,
    /// Headers of the handshake, and the token if it came in one.
    pub(super) headers: HeaderMap,
    /// The token, without its prefix.
    pub(super) token: String,
    /// Whether it asks for a WebSocket.
    pub(super) upgrades: bool,
}

/// Takes a request apart and puts it together again.
pub(super) fn rewritten(uri: &Uri, headers: &HeaderMap) -> Result<Rewritten, Refused> {
    let path = uri.path();
    let fields = headers.iter();
    let head: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    let query = uri.query().unwrap_or_default();
    if head + path.len() + query.len() > MAX_HEAD {
        return Err(Refused::TooLong);
    }
    // The server cleans such paths, and would not look where we think.
    if path.contains("//") || path.contains("/.") || path.contains('%') {
        return Err(Refused::Ambiguous);
    }
    let (query, in_query) = query_without_prefix(query)?;
    let in_header = token_of_header(headers)?;
    let mut handed_on = HeaderMap::with_capacity(HANDED_ON.len() + 1);
    for name in HANDED_ON {
        for value in headers.get_all(&name) {
            handed_on.append(&name, value.clone());
        }
    }
    if let Some(token) = &in_header {
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        let mut value = value.map_err(|_| Refused::NoToken)?;
        value.set_sensitive(true);
        handed_on.insert(AUTHORIZATION, value);
    }
    let token = match (in_header, in_query) {
        (Some(one), Some(other)) if one != other => return Err(Refused::Ambiguous),
        (one, other) => one.or(other).ok_or(Refused::NoToken)?,
    };
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    Ok(Rewritten {
        target: match query.is_empty() {
            true => path.to_owned(),
            false => format!("{path}?{query}"),
        },
        headers: handed_on,
        token,
        upgrades: upgrade.is_some_and(|word| word.eq_ignore_ascii_case("websocket")),
    })
}

/// The query with the token as the server wants it, and the token.
fn query_without_prefix(query: &str) -> Result<(String, Option<String>), Refused> {
    // Go's parser refuses pairs with one, and other parsers split at it.
    if query.contains(';') {
        return Err(Refused::Ambiguous);
    }
    let mut found = None;
    let mut pairs = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = percent_decoded(name).ok_or(Refused::Ambiguous)?;
        if name != ACCESS_TOKEN {
            pairs.push(pair.to_owned());
            continue;
        }
        let value = percent_decoded(value).ok_or(Refused::Ambiguous)?;
        let token = bare(&value)?;
        pairs.push(format!("{ACCESS_TOKEN}={token}"));
        if found.replace(token.to_owned()).is_some() {
            return Err(Refused::Ambiguous);
        }
    }
    Ok((pairs.join("&"), found))
}

/// The token of `Authorization`, as the server takes it: behind `Bearer ` in exactly these letters; what begins
/// otherwise is refused there.
fn token_of_header(headers: &HeaderMap) -> Result<Option<String>, Refused> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Refused::Ambiguous);
    }
    let text = value.to_str().map_err(|_| Refused::NoToken)?;
    let (scheme, token) = text.split_once(' ').ok_or(Refused::NoToken)?;
    match scheme.eq_ignore_ascii_case("bearer") {
        true => bare(token).map(|token| Some(token.to_owned())),
        false => Err(Refused::NoToken),
    }
}

/// A token without its prefix; of letters that a JWT has (RFC 7515 §3.1), which mean themselves everywhere.
fn bare(token: &str) -> Result<&str, Refused> {
    let token = token.trim();
    let token = token.strip_prefix(PREFIX).unwrap_or(token);
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match !token.is_empty() && token.bytes().all(is_letter) {
        true => Ok(token),
        false => Err(Refused::NoToken),
    }
}

/// What the rewriting must survive: any request line, any header. What comes out names no prefixed token.
pub(super) fn fuzz(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (line, header) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(uri) = line.parse::<Uri>() else {
        return;
    };
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(header.as_bytes()) {
        headers.insert(AUTHORIZATION, value);
    }
    if let Ok(request) = rewritten(&uri, &headers) {
        // A path may read like a parameter, and is none.
        let (_, query) = request.target.split_once('?').unwrap_or_default();
        let is_prefixed = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let has = |text: &str, what: fn(&str) -> bool| {
                percent_decoded(text).is_some_and(|text| what(&text))
            };
            has(name, |name| name == ACCESS_TOKEN) && has(value, |value| value.starts_with(PREFIX))
        };
        // A prefix behind a prefix is no token of anybody's.
        let twice = request.token.starts_with(PREFIX);
        assert!(twice || !query.split('&').any(is_prefixed));
        assert!(!request.token.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Result<Rewritten, Refused> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        rewritten(&uri.parse().unwrap(), &map)
    }

    #[test]
    fn the_prefix_is_taken_off_wherever_a_token_is() {
        for (uri, header, target, authorization) in [
            (
                "/rtc?access_token=livekit_a.b.c&sdk=js",
                "",
                "/rtc?access_token=a.b.c&sdk=js",
                None,
            ),
            (
                "/rtc?sdk=js&access_token=a.b.c",
                "",
                "/rtc?sdk=js&access_token=a.b.c",
                None,
            ),
            (
                "/rtc?access%5Ftoken=livekit%5Fa.b.c",
                "",
                "/rtc?access_token=a.b.c",
                None,
            ),
            (
                "/rtc/v1?a=b+c%20d&e",
                "Bearer livekit_a.b.c",
                "/rtc/v1?a=b+c%20d&e",
                Some("Bearer a.b.c"),
            ),
            (
                "/rtc/validate",
                "bearer a.b.c",
                "/rtc/validate",
                Some("Bearer a.b.c"),
            ),
            (
                "/rtc?access_token=livekit_a.b.c",
                "Bearer a.b.c",
                "/rtc?access_token=a.b.c",
                Some("Bearer a.b.c"),
            ),
        ] {
            let headers = [("authorization", header)];
            let headers = if header.is_empty() { &[][..] } else { &headers };
            let request = request(uri, headers).unwrap();
            assert_eq!(request.target, target);
            assert_eq!(request.token, "a.b.c");
            let sent = request.headers.get("authorization");
            assert_eq!(sent.map(|value| value.to_str().unwrap()), authorization);
            assert!(!request.upgrades);
        }
    }

    #[test]
    fn the_handshake_is_handed_on_untouched_and_nothing_else() {
        let asked = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "one"),
            ("sec-websocket-protocol", "two"),
            (
                "sec-websocket-extensions",
                "permessage-deflate; client_max_window_bits",
            ),
            ("user-agent", "test"),
            ("cookie", "forebay-session=1"),
            ("x-forwarded-for", "192.0.2.1"),
            ("host", "h"),
            ("origin", "https://example.org"),
        ];
        let request = request("/rtc?access_token=a", &asked).unwrap();
        assert!(request.upgrades);
        assert_eq!(request.headers.len(), 8);
        for (name, value) in &asked[..8] {
            let mut sent = request.headers.get_all(*name).iter();
            assert!(sent.any(|sent| sent == value), "{name}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_or_has_no_token_is_refused() {
        let bearer = |value| request("/rtc?access_token=a.b.c", &[("authorization", value)]);
        assert_eq!(bearer("Bearer a.b.d").unwrap_err(), Refused::Ambiguous);
        assert_eq!(bearer("Basic YTpi").unwrap_err(), Refused::NoToken);
        assert_eq!(bearer("Bearer").unwrap_err(), Refused::NoToken);
        let two = [("authorization", "Bearer a"), ("authorization", "Bearer a")];
        assert_eq!(request("/rtc", &two).unwrap_err(), Refused::Ambiguous);
        for (uri, expected) in [
            ("/rtc", Refused::NoToken),
            ("/rtc?access_token=", Refused::NoToken),
            ("/rtc?access_token=livekit_", Refused::NoToken),
            ("/rtc?access_token=a%26room%3Db", Refused::NoToken),
            ("/rtc?access_token=a%0d%0ab", Refused::NoToken),
            ("/rtc?access_token=a&access_token=a", Refused::Ambiguous),
            ("/rtc?access_token=a&access%5ftoken=b", Refused::Ambiguous),
            ("/rtc?x=1;access_token=a", Refused::Ambiguous),
            ("/rtc?%ff=1&access_token=a", Refused::Ambiguous),
            ("/rtc/../twirp?access_token=a", Refused::Ambiguous),
            ("/rtc/%2e%2e/twirp?access_token=a", Refused::Ambiguous),
            ("/rtc//twirp?access_token=a", Refused::Ambiguous),
        ] {
            assert_eq!(request(uri, &[]).unwrap_err(), expected, "{uri}");
        }
        let long = format!("/rtc?access_token=a&x={}", "x".repeat(MAX_HEAD));
        assert_eq!(request(&long, &[]).unwrap_err(), Refused::TooLong);
    }
}
