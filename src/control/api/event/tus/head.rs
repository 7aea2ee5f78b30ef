//! Header fields of tus 1.0: what clients may send in them, and nothing else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Bytes of `Upload-Metadata`: a name and a few words about a file, in base64.
pub(super) const MAX_METADATA_BYTES: usize = 4096;
/// Pairs in it.
const MAX_PAIRS: usize = 32;

/// Pairs of `Upload-Metadata` (tus 1.0, "Upload-Metadata"): keys, each once, and values in base64, which may be
/// missing. `None`: it is not that.
pub(super) fn metadata(text: &str) -> Option<Vec<(&str, Vec<u8>)>> {
    if text.len() > MAX_METADATA_BYTES {
        return None;
    }
    let mut pairs: Vec<(&str, Vec<u8>)> = Vec::new();
    if text.trim().is_empty() {
        return Some(pairs);
    }
    for pair in text.split(',') {
        let pair = pair.trim();
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let is_taken = pairs.iter().any(|(other, _)| *other == key);
        let is_printable = key.bytes().all(|byte| byte.is_ascii_graphic());
        if key.is_empty() || !is_printable || is_taken || pairs.len() >= MAX_PAIRS {
            return None;
        }
        pairs.push((key, STANDARD.decode(value.trim()).ok()?));
    }
    Some(pairs)
}

/// What a file is called, by its metadata: clients have two words for it.
pub(super) fn file_name(pairs: &[(&str, Vec<u8>)]) -> Option<String> {
    let named = |key| pairs.iter().find(|(other, _)| *other == key);
    let (_, name) = named("filename").or_else(|| named("name"))?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// A number of bytes: digits only.
pub(super) fn count(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// What a piece of a file has to come to (tus 1.0, "Checksum").
pub(super) enum Checksum {
    /// SHA-1.
    Sha1(Sha1, Vec<u8>),
    /// SHA-256.
    Sha256(Sha256, Vec<u8>),
}

impl Checksum {
    /// Of `Upload-Checksum`: the name of an algorithm that is known here, and a sum in base64.
    pub(super) fn parse(text: &str) -> Option<Checksum> {
        let (algorithm, sum) = text.trim().split_once(' ')?;
        let sum = STANDARD.decode(sum.trim()).ok()?;
        match (algorithm, sum.len()) {
            ("sha1", 20) => Some(Checksum::Sha1(Sha1::new(), sum)),
            ("sha256", 32) => Some(Checksum::Sha256(Sha256::new(), sum)),
            _ => None,
        }
    }

    /// Adds bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Checksum::Sha1(sum, _) => sum.update(bytes),
            Checksum::Sha256(sum, _) => sum.update(bytes),
        }
    }

    /// Whether it comes to what was said.
    pub(super) fn fits(self) -> bool {
        match self {
            Checksum::Sha1(sum, expected) => sum.finalize()[..] == expected,
            Checksum::Sha256(sum, expected) => sum.finalize()[..] == expected,
        }
    }
}

/// Reads every field.
pub(in crate::control::api) fn fuzz(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(pairs) = metadata(&text) {
        assert!(pairs.len() <= MAX_PAIRS);
        super::super::upload::named(file_name(&pairs).as_deref());
    }
    count(&text);
    if let Some(mut sum) = Checksum::parse(&text) {
        sum.update(bytes);
        sum.fits();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_are_pairs_of_a_key_and_base64() {
        let read =
            metadata("filename d29ybGQubXA0,is_confidential, filetype dmlkZW8vbXA0").unwrap();
        assert_eq!(
            read,
            [
                ("filename", b"world.mp4".to_vec()),
                ("is_confidential", Vec::new()),
                ("filetype", b"video/mp4".to_vec()),
            ]
        );
        assert_eq!(file_name(&read).as_deref(), Some("world.mp4"));
        assert_eq!(metadata(""), Some(Vec::new()));
        assert_eq!(file_name(&[]), None);
        for text in [
            "a !",
            "a YQ==,a YQ==",
            ",",
            "a YQ==,",
            "ä YQ==",
            "a YQ",
            "a b c",
        ] {
            assert_eq!(metadata(text), None, "{text:?}");
        }
        assert!(metadata(&"a".repeat(MAX_METADATA_BYTES + 1)).is_none());
        let many: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
        assert!(metadata(&many.join(",")).is_none());
    }

    #[test]
    fn counts_are_digits() {
        assert_eq!(count("0"), Some(0));
        assert_eq!(count("18446744073709551615"), Some(u64::MAX));
        for text in ["", "-1", "+1", " 1", "1.0", "18446744073709551616", "x"] {
            assert_eq!(count(text), None, "{text:?}");
        }
    }

    #[test]
    fn checksums_are_of_two_kinds() {
        // FIPS 180-4, of "abc".
        for (text, is_right) in [
            ("sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", true),
            ("sha256 ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", true),
            ("sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=", false),
        ] {
            let mut sum = Checksum::parse(text).unwrap();
            sum.update(b"a");
            sum.update(b"bc");
            assert_eq!(sum.fits(), is_right, "{text}");
        }
        for text in [
            "md5 kAFQmDzST7DWlj99KOF/cg==",
            "sha1",
            "sha1 !",
            "sha256 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=",
        ] {
            assert!(Checksum::parse(text).is_none(), "{text}");
        }
    }
}
