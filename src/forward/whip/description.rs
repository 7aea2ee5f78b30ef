//! What WHIP has around a session description: candidates put into an offer, and the servers that a `Link`
//! header names. Pure.
//!
//! Sources: RFC 8839 §5.1 (`a=candidate`), RFC 8866 §9; RFC 9725 §4.4 (`ice-server` links), RFC 8288 §3.

use crate::base::secret::Secret;
use crate::rtc::{Candidate, IceServer};

/// Candidates that are put into an offer: those of a machine with many addresses are a dozen.
const MAX_CANDIDATES: usize = 32;
/// Servers that are taken from an answer.
const MAX_SERVERS: usize = 8;
/// Longest `Link` header that is read, bytes.
const MAX_LINK_BYTES: usize = 4096;

/// The offer with these candidates in its first media section, which bundles all, and the word that there are
/// no more. An endpoint that takes no candidates later has them so.
pub(super) fn with_candidates(offer: &str, candidates: &[Candidate]) -> String {
    let mut lines: Vec<String> = Vec::new();
    let wanted = candidates.iter().take(MAX_CANDIDATES);
    for candidate in wanted.filter(|candidate| !candidate.candidate.is_empty()) {
        let value = candidate.candidate.trim_start_matches("a=");
        // One line is one line.
        if value.starts_with("candidate:") && !value.contains(['\r', '\n']) {
            let line = format!("a={value}");
            if !offer.contains(&line) && !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    if !offer.contains("a=end-of-candidates") {
        lines.push("a=end-of-candidates".to_owned());
    }
    let mut out = String::with_capacity(offer.len() + 80 * lines.len());
    let mut sections = 0;
    let add = |out: &mut String| {
        for line in &lines {
            out.push_str(line);
            out.push_str("\r\n");
        }
    };
    for line in offer.lines() {
        if line.starts_with("m=") {
            if sections == 1 {
                add(&mut out);
            }
            sections += 1;
        }
        out.push_str(line);
        out.push_str("\r\n");
    }
    if sections == 1 {
        add(&mut out);
    }
    out
}

/// Servers of `Link: <stun:…>; rel="ice-server"` headers.
pub(super) fn ice_servers<'a>(links: impl Iterator<Item = &'a str>) -> Vec<IceServer> {
    let links = links.filter(|link| link.len() <= MAX_LINK_BYTES);
    let servers = links.flat_map(split).filter_map(server);
    servers.take(MAX_SERVERS).collect()
}

/// Links of a header, at commas outside of quotes and angle brackets.
fn split(header: &str) -> Vec<&str> {
    outside(header, ',')
}

fn outside(text: &str, at: char) -> Vec<&str> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    for (index, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => bracketed = true,
            '>' if !quoted => bracketed = false,
            _ if char == at && !quoted && !bracketed => {
                parts.push(&text[begin..index]);
                begin = index + char.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

fn server(link: &str) -> Option<IceServer> {
    let mut parts = outside(link.trim(), ';').into_iter();
    let url = parts.next()?.trim().strip_prefix('<')?.strip_suffix('>')?;
    let scheme = url.split(':').next()?;
    if !["stun", "stuns", "turn", "turns"].contains(&scheme) {
        return None;
    }
    let mut is_server = false;
    let (mut username, mut credential) = (String::new(), String::new());
    for part in parts {
        let (name, value) = part.trim().split_once('=')?;
        let value = unquoted(value.trim());
        match name.trim().to_ascii_lowercase().as_str() {
            "rel" => is_server = value.split_whitespace().any(|word| word == "ice-server"),
            "username" => username = value,
            "credential" => credential = value,
            _ => {}
        }
    }
    is_server.then(|| IceServer {
        urls: vec![url.to_owned()],
        username,
        credential: Secret::new(credential),
    })
}

fn unquoted(value: &str) -> String {
    let inner = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    let Some(inner) = inner else {
        return value.to_owned();
    };
    let mut escaped = false;
    let plain = inner.chars().filter(|char| {
        escaped = *char == '\\' && !escaped;
        !escaped
    });
    plain.collect()
}

/// Entry for fuzzing: headers and candidates of an endpoint.
#[doc(hidden)]
pub fn fuzz_whip_link(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let servers = ice_servers(text.lines());
    assert!(servers.len() <= MAX_SERVERS);
    let candidate = Candidate {
        candidate: text.lines().next().unwrap_or_default().to_owned(),
        ..Candidate::default()
    };
    let out = with_candidates(&text, &[candidate]);
    assert!(out.len() <= 3 * bytes.len() * 3 + 200);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_stand_in_the_first_section_and_each_once() {
        let offer = "v=0\r\nm=video 9\r\na=mid:0\r\nm=audio 9\r\na=mid:1\r\n";
        let of = |text: &str| Candidate {
            candidate: text.to_owned(),
            ..Candidate::default()
        };
        let candidates = [
            of("candidate:1 1 udp 1 192.0.2.1 5 typ host"),
            of("candidate:1 1 udp 1 192.0.2.1 5 typ host"),
            of(""),
            of("candidate:2\r\na=evil"),
            of("a=candidate:3 1 udp 1 192.0.2.2 5 typ host"),
        ];
        assert_eq!(
            with_candidates(offer, &candidates),
            "v=0\r\nm=video 9\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\n\
             a=candidate:3 1 udp 1 192.0.2.2 5 typ host\r\na=end-of-candidates\r\nm=audio 9\r\na=mid:1\r\n"
        );
        let one = with_candidates("v=0\nm=audio 9\n", &[]);
        assert_eq!(one, "v=0\r\nm=audio 9\r\na=end-of-candidates\r\n");
    }

    #[test]
    fn servers_are_read_from_links_as_rfc_9725_writes_them() {
        let links = [
            "<stun:stun.example.net>; rel=\"ice-server\"",
            "<turn:turn.example.net?transport=udp>; rel=\"ice-server\"; username=\"us,er\"; \
             credential=\"my\\\"Pass;word\"; credential-type=\"password\", <stun:b>; rel=ice-server",
            "<https://h/e>; rel=\"ice-server\"",
            "<stun:none>; rel=\"other\"",
            "garbage",
        ];
        let servers = ice_servers(links.into_iter());
        let urls: Vec<&str> = servers.iter().map(|server| &*server.urls[0]).collect();
        assert_eq!(
            urls,
            [
                "stun:stun.example.net",
                "turn:turn.example.net?transport=udp",
                "stun:b"
            ]
        );
        assert_eq!(servers[1].username, "us,er");
        assert_eq!(servers[1].credential.expose(), "my\"Pass;word");
    }
}
