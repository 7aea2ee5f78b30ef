//! Identifiers and random keys.

pub use uuid::Uuid;

/// Alphabet of generated keys: unambiguous in URLs, shells and encoder dialogs.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A new stream id.
pub fn stream_id() -> Uuid {
    Uuid::new_v4()
}

/// The region of a channel id, `{region}#{application}#{alias}`. Gateways that share a database are told apart
/// by it: one keeps to the channels of its own.
pub fn region_of(channel_id: &str) -> &str {
    channel_id.split('#').next().unwrap_or_default()
}

/// A key of `length` random alphanumerics from the system's generator.
pub fn random_key(length: usize) -> String {
    let mut key = String::with_capacity(length);
    let mut bytes = [0_u8; 64];
    while key.len() < length {
        getrandom::fill(&mut bytes).expect("the system has a random number generator");
        // 248 is the largest multiple of 62 in a byte: above it the choice would be biased.
        for byte in bytes
            .iter()
            .filter(|byte| **byte < 248)
            .take(length - key.len())
        {
            key.push(char::from(ALPHABET[usize::from(*byte % 62)]));
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_key_has_the_length_asked_for_and_only_alphanumerics() {
        for length in [0, 1, 63, 64, 96, 200] {
            let key = random_key(length);
            assert_eq!(key.len(), length);
            assert!(key.bytes().all(|b| b.is_ascii_alphanumeric()));
        }
        assert_ne!(random_key(32), random_key(32));
    }
}
