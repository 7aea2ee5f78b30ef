//! Where a channel's media are pulled from. In: a URI, as the settings and the API give it. Out: host,
//! port and options, checked. Not here: looking the host up, whether its address may be used, connections.
//!
//! In `base`, because who reads settings, who answers the API and who connects all need the same rules.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::secret::Secret;

/// Longest URI, bytes: a stream id of 512 bytes, all of them percent-encoded, and room for the rest.
const MAX_BYTES: usize = 2048;
/// Longest host name. RFC 1035 §2.3.4.
const MAX_HOST_BYTES: usize = 253;
/// SRTO_STREAMID of libsrt: at most 512 bytes.
const MAX_STREAM_ID_BYTES: usize = 512;
/// SRTO_PASSPHRASE of libsrt: 10 to 79 bytes.
const PASSPHRASE_BYTES: RangeInclusive<usize> = 10..=79;
/// As `FOREBAY_SRT_LATENCY_MS`.
const LATENCY_MS: RangeInclusive<u64> = 20..=8000;

const ACCEPTED_URI: &str = "srt://host:port?streamid=…&passphrase=…&latency=…&pbkeylen=…&mode=caller, \
                            each part percent-encoded";
const ACCEPTED_LATENCY: &str = "20 to 8000 milliseconds (ffmpeg's URLs count microseconds)";

/// What a channel pulls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// A name or an address, without the brackets of IPv6.
    pub host: String,
    /// UDP or TCP port, as the protocol has it.
    pub port: u16,
    /// How to get it.
    pub protocol: Protocol,
}

/// A kind of source, with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// SRT, of which we are the caller.
    Srt(Srt),
}

impl Protocol {
    /// Scheme of its URIs, and what logs call it.
    pub fn name(&self) -> &'static str {
        match self {
            Protocol::Srt(_) => "srt",
        }
    }
}

/// Options of an `srt://` URI, as srt-live-transmit understands them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Srt {
    /// `streamid`: which stream is wanted. Often a key, so it is kept as one.
    pub stream_id: Option<Secret>,
    /// `passphrase`; without one the media are not encrypted.
    pub passphrase: Option<Secret>,
    /// `latency`; the far side may ask for more. `None` is the latency of the SRT listener.
    pub latency: Option<Duration>,
    /// `pbkeylen`, length of the AES key: 16, 24 or 32 bytes. `None` leaves it to the far side.
    pub key_bytes: Option<u8>,
}

/// A URI that is not accepted, in words that hold no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value}, accepted is {accepted}")]
pub struct NotASource {
    /// What was given; credentials are hidden.
    pub value: String,
    /// The accepted form.
    pub accepted: &'static str,
}

impl Source {
    /// Reads a URI. A `#` in the query does not end it, as RFC 3986 would have it: stream ids begin with
    /// `#!::`, and every SRT tool takes them unencoded. An option that is not known is refused: who
    /// mistypes `passphrase` is to hear of it.
    pub fn parse(uri: &str) -> Result<Source, NotASource> {
        let refuse = || NotASource {
            value: masked(uri),
            accepted: ACCEPTED_URI,
        };
        let printable = |byte: u8| byte > b' ' && byte != 0x7f;
        if uri.len() > MAX_BYTES || !uri.bytes().all(printable) {
            return Err(refuse());
        }
        let (scheme, rest) = uri.split_once("://").ok_or_else(refuse)?;
        if !scheme.eq_ignore_ascii_case("srt") {
            return Err(refuse());
        }
        let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = authority.rsplit_once(':').ok_or_else(refuse)?;
        let host = host_of(host).ok_or_else(refuse)?;
        let plain = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| plain && *port > 0);
        let mut source = Source {
            host,
            port: port.ok_or_else(refuse)?,
            protocol: Protocol::Srt(Srt::default()),
        };
        source.protocol = Protocol::Srt(source.srt_options(query)?);
        Ok(source)
    }

    fn srt_options(&self, query: &str) -> Result<Srt, NotASource> {
        let mut srt = Srt::default();
        let mut seen = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, encoded) = option.split_once('=').unwrap_or((option, ""));
            let hidden = match name {
                "mode" | "latency" | "pbkeylen" | "transtype" => encoded,
                _ => "(hidden)",
            };
            let refuse = |accepted| NotASource {
                value: format!("{self}?{}={hidden}", known(name)),
                accepted,
            };
            let value = percent_decoded(encoded).ok_or_else(|| refuse("percent-encoded UTF-8"))?;
            if seen.contains(&name) {
                return Err(refuse("each option once"));
            }
            seen.push(name);
            match name {
                "mode" if value == "caller" => {}
                "mode" => return Err(refuse("mode=caller")),
                "transtype" if value == "live" => {}
                "transtype" => return Err(refuse("transtype=live")),
                "streamid" => {
                    let fits = (1..=MAX_STREAM_ID_BYTES).contains(&value.len());
                    if !fits || value.chars().any(char::is_control) {
                        return Err(refuse("1 to 512 bytes of text"));
                    }
                    srt.stream_id = Some(Secret::new(value));
                }
                "passphrase" => {
                    if !PASSPHRASE_BYTES.contains(&value.len()) || value.contains('\0') {
                        return Err(refuse("10 to 79 characters"));
                    }
                    srt.passphrase = Some(Secret::new(value));
                }
                "latency" => {
                    let latency_ms = value.parse().ok();
                    let latency_ms = latency_ms.filter(|ms| LATENCY_MS.contains(ms));
                    let latency_ms = latency_ms.ok_or_else(|| refuse(ACCEPTED_LATENCY))?;
                    srt.latency = Some(Duration::from_millis(latency_ms));
                }
                "pbkeylen" => {
                    let key_bytes = match &*value {
                        "16" => 16,
                        "24" => 24,
                        "32" => 32,
                        _ => return Err(refuse("16, 24 or 32 bytes")),
                    };
                    srt.key_bytes = Some(key_bytes);
                }
                _ => {
                    return Err(refuse(
                        "the options streamid, passphrase, latency, pbkeylen, mode and transtype",
                    ));
                }
            }
        }
        Ok(srt)
    }
}

/// Without options: they hold credentials.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.protocol.name();
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// What may be shown of a URI that was not understood: neither user nor path (RTMP has its key there) nor
/// options.
fn masked(uri: &str) -> String {
    let (scheme, rest) = uri.split_once("://").unwrap_or_default();
    let end = rest.find(['/', '?', '#', '&']).unwrap_or(rest.len());
    let host = &rest[..end];
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if scheme.is_empty()
        || uri.len() > MAX_BYTES
        || host.contains('@')
        || !plain(scheme)
        || !plain(host)
    {
        return "(hidden)".to_owned();
    }
    match end < rest.len() {
        true => format!("{scheme}://{host}…"),
        false => format!("{scheme}://{host}"),
    }
}

/// The name of an option, if it can be one and not a value that slipped.
fn known(name: &str) -> &str {
    let plain = name.len() <= 20 && name.bytes().all(|byte| byte.is_ascii_lowercase());
    if plain { name } else { "…" }
}

/// An IPv6 address in brackets, an IPv4 address, or a name.
pub(super) fn host_of(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('[') {
        let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(IpAddr::V6(address).to_string());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_name = (1..=MAX_HOST_BYTES).contains(&text.len()) && text.bytes().all(plain);
    let labels = text.strip_suffix('.').unwrap_or(text).split('.');
    let mut lengths = labels.map(str::len);
    (is_name && lengths.all(|length| (1..=63).contains(&length))).then(|| text.to_owned())
}

/// RFC 3986 §2.1; `+` is a plus. `None`: an escape that is none, or no UTF-8.
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, tail @ ..] = tail else {
            return None;
        };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let value = digit(*high)? * 16 + digit(*low)?;
        bytes.push(u8::try_from(value).ok()?);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srt(uri: &str) -> (String, u16, Srt) {
        let source = Source::parse(uri).unwrap();
        let Protocol::Srt(srt) = source.protocol;
        (source.host, source.port, srt)
    }

    #[test]
    fn host_and_port_are_names_or_addresses_of_either_kind() {
        for (uri, host, port, shown) in [
            (
                "srt://camera.example.org:9000",
                "camera.example.org",
                9000,
                "srt://camera.example.org:9000",
            ),
            ("SRT://my_cam:1/?", "my_cam", 1, "srt://my_cam:1"),
            (
                "srt://192.0.2.7:65535?mode=caller",
                "192.0.2.7",
                65535,
                "srt://192.0.2.7:65535",
            ),
            (
                "srt://[2001:db8:0:0::7]:9000",
                "2001:db8::7",
                9000,
                "srt://[2001:db8::7]:9000",
            ),
            ("srt://host.:9000/", "host.", 9000, "srt://host.:9000"),
        ] {
            let source = Source::parse(uri).unwrap();
            assert_eq!((&*source.host, source.port), (host, port), "{uri}");
            assert_eq!(source.to_string(), shown);
        }
    }

    #[test]
    fn options_are_those_of_srt_live_transmit() {
        let (_, _, all) = srt(
            "srt://h:9000?streamid=%23!::r%3Dgame%2Fone,m=request&passphrase=p%C3%A4ss+word%26x&\
             latency=250&pbkeylen=32&mode=caller&transtype=live",
        );
        assert_eq!(
            all,
            Srt {
                stream_id: Some(Secret::new("#!::r=game/one,m=request")),
                passphrase: Some(Secret::new("päss+word&x")),
                latency: Some(Duration::from_millis(250)),
                key_bytes: Some(32),
            }
        );
        assert_eq!(srt("srt://h:9000").2, Srt::default());
        let unencoded = srt("srt://h:9000?streamid=#!::r=x,m=request&latency=20").2;
        assert_eq!(unencoded.stream_id, Some(Secret::new("#!::r=x,m=request")));
        assert_eq!(unencoded.latency, Some(Duration::from_millis(20)));
    }

    #[test]
    fn anything_else_is_refused_with_what_is_accepted() {
        for uri in [
            "",
            "srt",
            "srt://",
            "srt://h",
            "srt://h:",
            "srt://:9000",
            "srt://h:0",
            "srt://h:65536",
            "srt://h:+9",
            "srt://h:9000/live",
            "srt://u@h:9000",
            "srt://2001:db8::7:9000",
            "srt://[::1:9000",
            "srt://[fe80::1%25eth0]:9000",
            "srt://[1.2.3.4]:9000",
            "srt://a..b:9000",
            "srt://h h:9000",
            "srt://h\n:9000",
            "srt://hö:9000",
            "srt://h%41:9000",
            "srt:h:9000",
            "udp://h:9000",
            "http://h:9000",
            "srt://.:9000",
        ] {
            let refused = Source::parse(uri).unwrap_err();
            assert_eq!(refused.accepted, ACCEPTED_URI, "{uri}");
        }
        let long = format!("srt://{}:9000", "a.".repeat(1100));
        assert_eq!(Source::parse(&long).unwrap_err().value, "(hidden)");
        for (query, accepted) in [
            ("mode=listener", "mode=caller"),
            ("mode=rendezvous", "mode=caller"),
            ("mode", "mode=caller"),
            ("transtype=file", "transtype=live"),
            ("latency=200000", ACCEPTED_LATENCY),
            ("latency=19", ACCEPTED_LATENCY),
            ("latency=-1", ACCEPTED_LATENCY),
            ("latency=200ms", ACCEPTED_LATENCY),
            ("pbkeylen=0", "16, 24 or 32 bytes"),
            ("streamid=", "1 to 512 bytes of text"),
            ("streamid=a%0Ab", "1 to 512 bytes of text"),
            ("streamid=%", "percent-encoded UTF-8"),
            ("streamid=%f", "percent-encoded UTF-8"),
            ("streamid=%+1", "percent-encoded UTF-8"),
            ("streamid=%ff", "percent-encoded UTF-8"),
            ("latency=100&latency=200", "each option once"),
        ] {
            let refused = Source::parse(&format!("srt://h:9000?{query}")).unwrap_err();
            assert_eq!(refused.accepted, accepted, "{query}");
            assert!(refused.value.starts_with("srt://h:9000?"), "{refused}");
        }
        let streamid = format!("srt://h:9000?streamid={}", "x".repeat(513));
        assert!(Source::parse(&streamid).is_err());
        let refused = Source::parse("srt://h:9000?mode=listener").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "srt://h:9000?mode=listener, accepted is mode=caller"
        );
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_read_makes_no_panic_and_no_secret_text(
            rest in ".{0,80}",
            options in "([a-z]{0,12}=?(%[0-9a-fA-F]{0,2}|[ -~]){0,8}&?){0,6}",
        ) {
            for uri in [
                rest.clone(),
                format!("srt://{rest}?{options}"),
                format!("srt://h:9000?passphrase=tell-no-one{rest}&{options}"),
                format!("srt://h:9000?{options}&passphrase=tell-no-one{rest}"),
                format!("rtmp://h/tell-no-one{rest}?{options}"),
            ] {
                let text = match Source::parse(&uri) {
                    Ok(source) => format!("{source} {source:?}"),
                    Err(refused) => refused.to_string(),
                };
                assert!(!uri.contains("tell-no-one") || !text.contains("tell-no-one"), "{text}");
            }
        }

        #[test]
        fn what_was_encoded_is_what_is_read(text in "\\PC{10,60}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let uri = format!("srt://h:9000?streamid={encoded}&passphrase={encoded}");
            match Source::parse(&uri).map(|source| source.protocol) {
                Ok(Protocol::Srt(srt)) => {
                    assert_eq!(srt.stream_id, Some(Secret::new(&*text)));
                    assert_eq!(srt.passphrase, Some(Secret::new(&*text)));
                }
                Err(_) => assert!(text.len() > 79, "{text}"),
            }
        }
    }

    #[test]
    fn no_text_about_a_source_holds_its_credentials() {
        let uri = "srt://h:9000?streamid=tell-no-one&passphrase=tell-no-one";
        let source = Source::parse(uri).unwrap();
        assert_eq!(source.to_string(), "srt://h:9000");
        assert!(!format!("{source:?}").contains("tell"));
        for uri in [
            "udp://h:9000?passphrase=tell-no-one",
            "srt://tell-no-one@h:9000",
            "srt://h?passphrase=tell-no-one",
            "srt://h#passphrase=tell-no-one",
            "rtmp://h/live/tell-no-one",
            "tell-no-one",
            "srt://h:9000?passphrase=tell",
            "srt://h:9000?passphrase=tell-no-one&passphrase=x",
            "srt://h:9000?tell-no-one",
            "srt://h:9000?passphras=tell-no-one",
            "srt://h:9000?passphrase=%zztell-no-one",
            "srt://h:9000?streamid=x\ttell-no-one",
        ] {
            let text = Source::parse(uri).unwrap_err().to_string();
            assert!(!text.contains("tell"), "{text}");
        }
    }
}
