//! By what the store finds keys and tokens, which it does not keep in clear where it need not.

use sha2::{Digest, Sha256};

/// SHA-256 of a key.
pub(super) type KeyHash = [u8; 32];

/// What a key is found by, in memory and in the database.
pub(super) fn hash(key: &str) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}
