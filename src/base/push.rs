//! Where a channel is pushed to. In: an address or a name, and a credential, as the settings, the API and the
//! database give them. Out: their parts, checked. Not here: looking the host up, whether its address may be
//! used, connections.
//!
//! In `base`, because who reads settings, who answers the API and who connects all need the same rules.

use std::fmt;

use super::secret::Secret;
use super::source::host_of;

/// Destinations of one channel: each has a connection and a bounded queue.
pub const MAX_PUSHES: usize = 16;

/// Longest address, bytes. WHIP addresses hold tokens of a kilobyte.
const MAX_URL_BYTES: usize = 2048;
/// Longest stream key or token, bytes. Keys of large services have signatures in them.
const MAX_SECRET_BYTES: usize = 2048;
/// Longest application name of an RTMP server, bytes.
const MAX_APPLICATION_BYTES: usize = 256;
/// Longest name of a room, bytes; LiveKit's own default limit.
const MAX_ROOM_BYTES: usize = 256;
/// RTMP 1.0 §3.
const RTMP_PORT: u16 = 1935;
/// RTMPS has no port of its own: services listen where HTTPS does.
const RTMPS_PORT: u16 = 443;

const ACCEPTED_RTMP: &str = "rtmp://host[:port]/application or rtmps://…, without user and query, and the key \
                             beside it or as the last part of the path";
const ACCEPTED_WHIP: &str = "https://host[:port]/path or http://…, without user and fragment";
const ACCEPTED_KEY: &str = "1 to 2048 printable ASCII characters without space";
const ACCEPTED_ROOM: &str = "1 to 256 bytes of text without control characters";

/// A destination of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// Another server that takes RTMP.
    Rtmp(Rtmp),
    /// An endpoint that takes WebRTC by WHIP (RFC 9725).
    Whip(Whip),
    /// A room that LiveKit's Ingress service fills with our HLS.
    Ingress(Ingress),
}

/// An RTMP server, its application and a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rtmp {
    /// A name or an address, without the brackets of IPv6.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether it is RTMPS.
    pub is_tls: bool,
    /// May have several parts, with `/` between them.
    pub application: String,
    /// Stream name, which is the key.
    pub key: Secret,
}

/// A WHIP endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whip {
    /// As it is called. Paths hold keys, so all of it is kept as one.
    pub url: Secret,
    /// A name or an address, without the brackets of IPv6.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether it is HTTPS.
    pub is_tls: bool,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Secret>,
}

/// A room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// Its name.
    pub room: String,
}

/// A destination that is not accepted, in words that hold no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value}, accepted is {accepted}")]
pub struct NotAPush {
    /// Which part: `kind`, `url`, `key`, `token` or `room`.
    pub field: &'static str,
    /// What was given; credentials are hidden.
    pub value: String,
    /// The accepted form.
    pub accepted: &'static str,
}

impl Push {
    /// Kinds, as settings, the API and the database call them.
    pub const KINDS: [&'static str; 3] = ["rtmp", "whip", "ingress"];

    /// Reads a destination: the place is the address or the room.
    pub fn parse(kind: &str, place: &str, secret: Option<&str>) -> Result<Push, NotAPush> {
        match (kind, secret) {
            ("rtmp", key) => Rtmp::parse(place, key).map(Push::Rtmp),
            ("whip", token) => Whip::parse(place, token).map(Push::Whip),
            ("ingress", None) => Ingress::parse(place).map(Push::Ingress),
            ("ingress", Some(_)) => Err(refused(
                "token",
                "(hidden)",
                "none: the LiveKit server is a setting",
            )),
            _ => Err(refused("kind", &plain(kind), "rtmp, whip or ingress")),
        }
    }

    /// Which kind it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Push::Rtmp(_) => "rtmp",
            Push::Whip(_) => "whip",
            Push::Ingress(_) => "ingress",
        }
    }

    /// The place in full, from which [`Push::parse`] makes the same. That of WHIP may hold a key.
    pub fn place(&self) -> String {
        match self {
            Push::Rtmp(rtmp) => rtmp.address(),
            Push::Whip(whip) => whip.url.expose().to_owned(),
            Push::Ingress(ingress) => ingress.room.clone(),
        }
    }

    /// Its key or token.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Push::Rtmp(rtmp) => Some(&rtmp.key),
            Push::Whip(whip) => whip.token.as_ref(),
            Push::Ingress(_) => None,
        }
    }
}

/// Without key, token, and the path of a WHIP endpoint.
impl fmt::Display for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Push::Rtmp(rtmp) => f.write_str(&rtmp.address()),
            Push::Whip(whip) => {
                let scheme = if whip.is_tls { "https" } else { "http" };
                write!(f, "{scheme}://{}/…", authority(&whip.host, whip.port))
            }
            Push::Ingress(ingress) => f.write_str(&ingress.room),
        }
    }
}

impl Rtmp {
    /// Reads an address; without a key beside it, the last part of the path is the key.
    fn parse(url: &str, key: Option<&str>) -> Result<Rtmp, NotAPush> {
        let refuse = || refused("url", &masked(url), ACCEPTED_RTMP);
        let (scheme, rest) = split(url).ok_or_else(refuse)?;
        let (is_tls, default) = match scheme.as_str() {
            "rtmp" => (false, RTMP_PORT),
            "rtmps" => (true, RTMPS_PORT),
            _ => return Err(refuse()),
        };
        let (authority, path) = rest.split_once('/').ok_or_else(refuse)?;
        let (host, port) = place_of(authority, default).ok_or_else(refuse)?;
        let path = path.trim_end_matches('/');
        let (application, key) = match key {
            Some(key) => (path, key),
            None => path.rsplit_once('/').ok_or_else(refuse)?,
        };
        let parts = application.split('/').all(|part| !part.is_empty());
        let fits = application.len() <= MAX_APPLICATION_BYTES;
        if !parts || !fits || application.contains(['?', '#']) {
            return Err(refuse());
        }
        Ok(Rtmp {
            host,
            port,
            is_tls,
            application: application.to_owned(),
            key: secret_of("key", key)?,
        })
    }

    /// The address without the key: what RTMP calls `tcUrl`.
    pub fn address(&self) -> String {
        let (scheme, default) = match self.is_tls {
            true => ("rtmps", RTMPS_PORT),
            false => ("rtmp", RTMP_PORT),
        };
        let place = match self.port == default {
            true => bracketed(&self.host),
            false => authority(&self.host, self.port),
        };
        format!("{scheme}://{place}/{}", self.application)
    }
}

impl Whip {
    fn parse(url: &str, token: Option<&str>) -> Result<Whip, NotAPush> {
        let refuse = || refused("url", &masked(url), ACCEPTED_WHIP);
        let (scheme, rest) = split(url).ok_or_else(refuse)?;
        let (is_tls, default) = match scheme.as_str() {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return Err(refuse()),
        };
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let (host, port) = place_of(authority, default).ok_or_else(refuse)?;
        if rest.contains('#') || url.parse::<http::Uri>().is_err() {
            return Err(refuse());
        }
        Ok(Whip {
            url: Secret::new(url),
            host,
            port,
            is_tls,
            token: token.map(|token| secret_of("token", token)).transpose()?,
        })
    }
}

impl Ingress {
    fn parse(room: &str) -> Result<Ingress, NotAPush> {
        let fits = (1..=MAX_ROOM_BYTES).contains(&room.len());
        if !fits || room.chars().any(char::is_control) {
            return Err(refused("room", &plain(room), ACCEPTED_ROOM));
        }
        Ok(Ingress {
            room: room.to_owned(),
        })
    }
}

fn refused(field: &'static str, value: &str, accepted: &'static str) -> NotAPush {
    NotAPush {
        field,
        value: value.to_owned(),
        accepted,
    }
}

/// Scheme in lower case and what follows it.
fn split(url: &str) -> Option<(String, &str)> {
    let printable = url.bytes().all(|byte| byte.is_ascii_graphic());
    if url.len() > MAX_URL_BYTES || !printable {
        return None;
    }
    let (scheme, rest) = url.split_once("://")?;
    Some((scheme.to_ascii_lowercase(), rest))
}

/// Host and port of an authority; a user in it is none.
fn place_of(authority: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let plain = port.bytes().all(|byte| byte.is_ascii_digit());
            let port = port.parse().ok().filter(|port| plain && *port > 0);
            (host, port?)
        }
        _ => (authority, default),
    };
    Some((host_of(host)?, port))
}

fn bracketed(host: &str) -> String {
    match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    }
}

fn authority(host: &str, port: u16) -> String {
    format!("{}:{port}", bracketed(host))
}

fn secret_of(field: &'static str, text: &str) -> Result<Secret, NotAPush> {
    let fits = (1..=MAX_SECRET_BYTES).contains(&text.len());
    match fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(Secret::new(text)),
        false => Err(refused(field, "(hidden)", ACCEPTED_KEY)),
    }
}

/// What may be shown of an address that was not understood: scheme and host.
fn masked(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let end = rest.find(['/', '?', '#', '&']).unwrap_or(rest.len());
    let host = &rest[..end];
    let graphic = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let shows = !scheme.is_empty() && graphic(scheme) && graphic(host);
    if !shows || url.len() > MAX_URL_BYTES || host.contains('@') {
        return "(hidden)".to_owned();
    }
    format!("{scheme}://{host}…")
}

/// A short word as it was given.
fn plain(word: &str) -> String {
    match word.len() <= 40 && word.chars().all(|char| !char.is_control()) {
        true => format!("\"{word}\""),
        false => "a text that is too long or not plain".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rtmp_address_has_its_key_beside_it_or_as_its_last_part() {
        for (url, key, shown, stored) in [
            (
                "rtmp://a.example.org/live2",
                Some("abc-1"),
                "rtmp://a.example.org/live2",
                "abc-1",
            ),
            (
                "rtmp://a.example.org/live2/abc-1",
                None,
                "rtmp://a.example.org/live2",
                "abc-1",
            ),
            (
                "RTMPS://h:443/rtmp/",
                Some("k?sig=1&x"),
                "rtmps://h/rtmp",
                "k?sig=1&x",
            ),
            (
                "rtmps://h:1936/app/inst",
                Some("k"),
                "rtmps://h:1936/app/inst",
                "k",
            ),
            (
                "rtmp://[2001:db8::7]/app/k?s=1",
                None,
                "rtmp://[2001:db8::7]/app",
                "k?s=1",
            ),
            ("rtmp://[::1]:1/app", Some("k"), "rtmp://[::1]:1/app", "k"),
        ] {
            let push = Push::parse("rtmp", url, key).unwrap();
            assert_eq!(push.to_string(), shown);
            assert_eq!(push.secret().unwrap().expose(), stored);
            let again = Push::parse("rtmp", &push.place(), Some(stored)).unwrap();
            assert_eq!(again, push, "what is stored reads back");
        }
    }

    #[test]
    fn whip_and_ingress_are_read_and_shown_without_what_is_secret() {
        let push = Push::parse("whip", "https://h.example/w/key?x=1", Some("token")).unwrap();
        assert_eq!(push.to_string(), "https://h.example:443/…");
        assert_eq!(push.place(), "https://h.example/w/key?x=1");
        let push = Push::parse("whip", "http://[::1]:8080", None).unwrap();
        assert_eq!(push.to_string(), "http://[::1]:8080/…");
        let push = Push::parse("ingress", "the room", None).unwrap();
        assert_eq!((push.kind(), &*push.to_string()), ("ingress", "the room"));
    }

    #[test]
    fn anything_else_is_refused_by_field_and_without_a_secret() {
        for (kind, place, secret, field) in [
            ("srt", "srt://h:1", None, "kind"),
            ("rtmp", "", Some("k"), "url"),
            ("rtmp", "rtmp://h", Some("k"), "url"),
            ("rtmp", "rtmp://h/", Some("k"), "url"),
            ("rtmp", "rtmp://h/tell-no-one", None, "url"),
            ("rtmp", "http://h/app/tell-no-one", None, "url"),
            ("rtmp", "rtmp://tell-no-one@h/app", Some("k"), "url"),
            ("rtmp", "rtmp://h:0/app", Some("k"), "url"),
            ("rtmp", "rtmp://h:99999/app", Some("k"), "url"),
            ("rtmp", "rtmp://h/app?tell-no-one", Some("k"), "url"),
            ("rtmp", "rtmp://h//app", Some("k"), "url"),
            ("rtmp", "rtmp://h/app", Some(""), "key"),
            ("rtmp", "rtmp://h/app", Some("tell-no-one x"), "key"),
            ("whip", "rtmp://h/app", None, "url"),
            ("whip", "https://u:tell-no-one@h/", None, "url"),
            ("whip", "https://h/#tell-no-one", None, "url"),
            ("whip", "https://h/w", Some("tell-no-one\n"), "token"),
            ("ingress", "", None, "room"),
            ("ingress", "a\nb", None, "room"),
            ("ingress", "room", Some("tell-no-one"), "token"),
        ] {
            let error = Push::parse(kind, place, secret).unwrap_err();
            assert_eq!(error.field, field, "{kind} {place}");
            assert!(!format!("{error} {error:?}").contains("tell"), "{error}");
        }
        let push = Push::parse("whip", "https://h/tell-no-one", Some("tell-no-one")).unwrap();
        assert!(!format!("{push} {push:?}").contains("tell"));
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_read_makes_no_panic_and_no_secret_text(
            rest in ".{0,80}",
            scheme in "(rtmp|rtmps|http|https)://",
        ) {
            for place in [rest.clone(), format!("{scheme}{rest}"), format!("{scheme}h/app/tell-no-one{rest}")] {
                for kind in Push::KINDS {
                    for secret in [None, Some("tell-no-one")] {
                        let text = match Push::parse(kind, &place, secret) {
                            Ok(Push::Rtmp(rtmp)) if rtmp.application.contains("tell") => String::new(),
                            Ok(Push::Ingress(_)) => String::new(),
                            Ok(push) => format!("{push} {push:?}"),
                            Err(error) if kind == "ingress" => error.accepted.to_owned(),
                            Err(error) => error.to_string(),
                        };
                        assert!(!text.contains("tell-no-one"), "{text}");
                    }
                }
            }
        }
    }
}
