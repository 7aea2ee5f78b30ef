//! What callers ask for. In: the stream id of a connection, bytes of the caller's choice. Out: a stream
//! key with its options, or why there is none.
//!
//! Forms: `KEY`, `publish:KEY`, `publish/KEY`, `live/KEY` (any application name, as with RTMP), each with
//! options behind `;` or `|`; and `#!::r=KEY,m=publish,…` (SRT Access Control Guidelines, "General
//! Syntax"), whose options stand behind `,`, `;` or `|`.

use std::borrow::Cow;

use crate::base::secret::Secret;
use crate::ingest::key::{MAX_OPTIONS, StreamKey, percent_decoded};

/// Begins a stream id of names and values.
const NAMED_FORM: &str = "#!::";
/// The same from a program that does not undo the escapes of its URL.
const ESCAPED_NAMED_FORM: &str = "%23!::";

/// Why a stream id names no publish.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no key in it.
    #[error("no stream key in the stream id")]
    NoKey,
    /// It asks to receive, or for something other than a stream.
    #[error("only publishing is possible here: mode {0}")]
    Mode(&'static str),
}

/// Reads a stream id.
pub fn parse(stream_id: &[u8]) -> Result<StreamKey, Error> {
    let text = String::from_utf8_lossy(stream_id);
    let text = unescaped(text.trim());
    match text.strip_prefix(NAMED_FORM) {
        Some(items) => named(items),
        None => plain(&text),
    }
}

/// Undoes escapes that a caller should have undone: in a stream id that has none of the characters that
/// forms are told by, but has them escaped. Keys that hold a `%` stay as they are.
fn unescaped(text: &str) -> Cow<'_, str> {
    let has = |escapes: &[&str]| {
        let lower = text.to_ascii_lowercase();
        escapes.iter().any(|escape| lower.contains(escape))
    };
    let is_named = text.starts_with(ESCAPED_NAMED_FORM)
        || text.to_ascii_lowercase().starts_with("%23%21%3a%3a");
    if is_named || (!text.contains([';', '|', '#']) && has(&["%3b", "%7c"])) {
        return Cow::Owned(percent_decoded(text));
    }
    Cow::Borrowed(text)
}

/// `KEY;capabilities=a,b`, with a mode or an application name in front.
fn plain(text: &str) -> Result<StreamKey, Error> {
    let end = text.find([';', '|', '?']).unwrap_or(text.len());
    let (name, options) = text.split_at(end);
    let (mode, name) = match name.split_once(':') {
        Some((word, rest)) if is_mode(word) => (Some(word), rest),
        _ => match name.split_once('/') {
            Some((word, rest)) if is_mode(word) => (Some(word), rest),
            _ => (None, name),
        },
    };
    if let Some(mode) = mode {
        check_mode(mode)?;
    }
    let key = last_part(name);
    let found = StreamKey::parse(&format!("{key}{options}"));
    found.ok_or(Error::NoKey)
}

/// Words in front of a key that say what the caller wants to do with it.
fn is_mode(word: &str) -> bool {
    ["publish", "request", "read", "play"].contains(&word)
}

fn check_mode(mode: &str) -> Result<(), Error> {
    match mode {
        "publish" => Ok(()),
        "request" => Err(Error::Mode("request")),
        "read" => Err(Error::Mode("read")),
        "play" => Err(Error::Mode("play")),
        "bidirectional" => Err(Error::Mode("bidirectional")),
        _ => Err(Error::Mode("unknown")),
    }
}

/// Keys have no slash, so what stands before one is an application name, which may be any.
fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name).trim()
}

/// `r=KEY,m=publish,capabilities=a,b,c=d`. A value that is a list has commas of its own: behind
/// `capabilities=` and `tags=`, an item without `=`, or with a hyphen before it (`aspect-ratio=9x16`; no
/// name of the guidelines has one), is a word of the list, up to the next `;` or `|`.
///
/// Without `m` the guidelines mean a request; here nothing can be requested, so it is a publish.
fn named(items: &str) -> Result<StreamKey, Error> {
    enum List {
        Capabilities,
        Tags,
    }
    let mut key = None;
    let mut capabilities: Option<Vec<String>> = None;
    let mut tags = Vec::new();
    for group in items.split([';', '|']) {
        let mut list = None;
        for item in group.split(',') {
            let pair = item
                .split_once('=')
                .map(|(name, value)| (name.trim(), value.trim()));
            let word = match pair {
                Some((name, value)) if !name.contains('-') => {
                    list = None;
                    match name {
                        "r" => key = Some(last_part(value).to_owned()),
                        "m" => check_mode(value)?,
                        // File transfers and authentication only.
                        "t" if value != "stream" => return Err(Error::Mode("not a stream")),
                        "capabilities" => {
                            list = Some(List::Capabilities);
                            capabilities = Some(Vec::new());
                        }
                        "tags" => {
                            list = Some(List::Tags);
                            tags = Vec::new();
                        }
                        // u, h, s and names of vendors.
                        _ => {}
                    }
                    value
                }
                _ => item.trim(),
            };
            let words = match list {
                Some(List::Capabilities) => capabilities.get_or_insert_default(),
                Some(List::Tags) => &mut tags,
                None => continue,
            };
            let word = percent_decoded(word);
            let more = word
                .split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty());
            let room = MAX_OPTIONS.saturating_sub(words.len());
            words.extend(more.take(room).map(str::to_owned));
        }
    }
    let key = key.filter(|key| !key.is_empty()).ok_or(Error::NoKey)?;
    Ok(StreamKey {
        key: Secret::new(key),
        capabilities,
        tags,
    })
}

/// Any bytes: it returns, and what it found is no larger than what it was given.
pub fn fuzz_streamid(bytes: &[u8]) {
    if let Ok(found) = parse(bytes) {
        let key = found.key.expose();
        assert!(!key.is_empty());
        assert!(
            found
                .capabilities
                .iter()
                .flatten()
                .chain(&found.tags)
                .count()
                <= 2 * MAX_OPTIONS
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn found(text: &str) -> (String, Option<Vec<String>>, Vec<String>) {
        let found = parse(text.as_bytes()).unwrap();
        (
            found.key.expose().to_owned(),
            found.capabilities,
            found.tags,
        )
    }

    #[test]
    fn every_form_names_the_key() {
        for text in [
            "abc",
            " abc ",
            "publish:abc",
            "publish/abc",
            "live/abc",
            "publish:live/abc",
            "#!::r=abc",
            "#!::r=abc,m=publish",
            "#!::m=publish,r=live/abc,u=me,h=host,s=1,t=stream,bmd_name=Cam 1",
            "#!:: r = abc , m = publish",
            "%23!::r=abc,m=publish",
            "%23%21%3A%3Ar%3Dabc%2Cm%3Dpublish",
        ] {
            assert_eq!(found(text), ("abc".to_owned(), None, vec![]), "{text}");
        }
    }

    #[test]
    fn options_stand_behind_semicolons_and_bars_in_every_form() {
        let expected = (
            "abc".to_owned(),
            Some(list(&["hd", "multi-bitrate", "aspect-ratio=9x16"])),
            list(&["a", "b"]),
        );
        for text in [
            "abc;capabilities=hd,multi-bitrate,aspect-ratio=9x16;tags=a,b",
            "abc|capabilities=hd,multi-bitrate,aspect-ratio=9x16|tags=a,b",
            "abc%3Bcapabilities%3Dhd%2Cmulti-bitrate%2Caspect-ratio%3D9x16%3Btags%3Da%2Cb",
            "publish:abc;capabilities=hd,multi-bitrate,aspect-ratio=9x16|tags=a,b",
            "live/abc?capabilities=hd,multi-bitrate,aspect-ratio=9x16&tags=a,b",
            "#!::r=abc,m=publish;capabilities=hd,multi-bitrate,aspect-ratio=9x16;tags=a,b",
            "#!::capabilities=hd,multi-bitrate,aspect-ratio=9x16,r=abc,tags=a,b,m=publish",
            "#!::r=abc|m=publish|capabilities=hd%2Cmulti-bitrate,aspect-ratio%3D9x16|tags=a, b",
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn a_group_ends_a_list() {
        let text = "#!::capabilities=hd;x,y,r=abc";
        assert_eq!(found(text).1, Some(list(&["hd"])));
        assert_eq!(found("#!::r=abc,capabilities=").1, Some(vec![]));
    }

    #[test]
    fn who_wants_anything_but_publish_is_told_so() {
        for (text, mode) in [
            ("#!::r=abc,m=request", "request"),
            ("#!::r=abc,m=bidirectional", "bidirectional"),
            ("#!::r=abc,m=dance", "unknown"),
            ("#!::r=abc,t=file", "not a stream"),
            ("read:abc", "read"),
            ("request:abc", "request"),
            ("play/abc", "play"),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(Error::Mode(mode)), "{text}");
        }
    }

    #[test]
    fn a_stream_id_without_a_key_is_told_so() {
        for text in [
            "",
            " ",
            ";capabilities=hd",
            "publish:",
            "live/",
            "#!::",
            "#!::m=publish",
            "#!::r=,m=publish",
            "#!::r=live/",
        ] {
            assert_eq!(parse(text.as_bytes()), Err(Error::NoKey), "{text}");
        }
        assert!(parse(&[0xff, 0xfe]).is_ok(), "it is a key that nobody has");
    }

    #[test]
    fn a_key_that_looks_escaped_stays() {
        assert_eq!(found("a%41b").0, "a%41b");
        assert_eq!(found("other:abc").0, "other:abc");
    }

    #[test]
    fn options_are_bounded() {
        let text = format!("#!::r=abc,capabilities={}", "a,".repeat(400));
        assert_eq!(found(&text).1.unwrap().len(), MAX_OPTIONS);
    }
}
