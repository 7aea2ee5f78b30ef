//! The stream key as encoders carry it: the key, then options. In: the stream name of a publish.
//! Out: the key, capabilities and tags. The same for every protocol.

use crate::base::secret::Secret;

/// Longest stream name taken, bytes. Our own keys have 32 characters; this leaves room for options.
pub const MAX_NAME_BYTES: usize = 2048;
/// Most capabilities and most tags taken from one name.
pub(super) const MAX_OPTIONS: usize = 32;

/// What a stream name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamKey {
    /// The key, options cut off.
    pub key: Secret,
    /// `capabilities=`; `None` when the name has none.
    pub capabilities: Option<Vec<String>>,
    /// `tags=`; empty when the name has none.
    pub tags: Vec<String>,
}

impl StreamKey {
    /// Reads `KEY`, `KEY;capabilities=a,b;tags=x`, the same with `|`, and `KEY?capabilities=a&tags=x`.
    /// Options that are not known (a query may carry anything) are passed over. `None`: there is no
    /// key, or the name is too long.
    pub fn parse(name: &str) -> Option<StreamKey> {
        if name.len() > MAX_NAME_BYTES {
            return None;
        }
        let (path, query) = name.split_once('?').unwrap_or((name, ""));
        let mut pieces = path.split([';', '|']);
        let key = pieces.next().unwrap_or_default().trim();
        if key.is_empty() {
            return None;
        }
        let mut found = StreamKey {
            key: Secret::new(key),
            capabilities: None,
            tags: Vec::new(),
        };
        let options = pieces.map(str::to_owned);
        let query = query.split(['&', ';', '|']).map(percent_decoded);
        for option in options.chain(query) {
            let Some((option, values)) = option.split_once('=') else {
                continue;
            };
            let values = values.split(',').map(str::trim).filter(|v| !v.is_empty());
            let values = values.take(MAX_OPTIONS).map(str::to_owned);
            match option.trim() {
                "capabilities" => found.capabilities = Some(values.collect()),
                "tags" => found.tags = values.collect(),
                _ => {}
            }
        }
        Some(found)
    }
}

/// RFC 3986 §2.1, leniently: what is no escape stays as it is.
pub(super) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let escaped = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match escaped {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str) -> (String, Option<Vec<String>>, Vec<String>) {
        let key = StreamKey::parse(name).unwrap();
        (key.key.expose().to_owned(), key.capabilities, key.tags)
    }

    fn list(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_bare_key_has_no_options() {
        assert_eq!(parse("abc"), ("abc".to_owned(), None, vec![]));
    }

    #[test]
    fn options_stand_behind_semicolons_bars_or_in_the_query() {
        let expected = (
            "abc".to_owned(),
            Some(list(&["hd", "multi-bitrate", "aspect-ratio=9x16"])),
            list(&["a", "b"]),
        );
        for name in [
            "abc;capabilities=hd,multi-bitrate,aspect-ratio=9x16;tags=a,b",
            "abc|capabilities=hd,multi-bitrate,aspect-ratio=9x16|tags=a,b",
            "abc; capabilities=hd, multi-bitrate,aspect-ratio=9x16 ;tags=a,,b;other=1;x",
            "abc?token=x&capabilities=hd%2Cmulti-bitrate,aspect-ratio%3D9x16&tags=a%2cb",
            "abc;tags=a,b?capabilities=hd,multi-bitrate,aspect-ratio=9x16",
        ] {
            assert_eq!(parse(name), expected, "{name}");
        }
    }

    #[test]
    fn an_empty_option_is_not_a_missing_one() {
        assert_eq!(parse("k;capabilities=").1, Some(vec![]));
    }

    #[test]
    fn a_name_without_a_key_or_of_absurd_length_is_refused() {
        for name in ["", " ", ";capabilities=hd", "?token=x", &"k".repeat(2049)] {
            assert_eq!(StreamKey::parse(name), None);
        }
    }

    #[test]
    fn escapes_that_are_none_stay() {
        assert_eq!(
            parse("k?tags=%,%2,%zz,%c3%a4").2,
            list(&["%", "%2", "%zz", "ä"])
        );
    }
}
