//! Passes of watch pages: what a page that everybody reads has in the place of a key (contract, broadcasts,
//! section 4.6). A pass lets its holder watch one broadcast and speak in its chat as a guest, for a while, and
//! is good for nothing else. Pure.
//!
//! It is `watch_` and the base64url of the guest's name (8 bytes), the time of its end (Unix seconds, 8 bytes,
//! big endian) and an HMAC-SHA256 over both and the broadcast, with the secret of its tenant: any gateway of
//! the same database takes it, and a new secret ends it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::base::clock::Wall;
use crate::base::id::{Uuid, random_key};
use crate::base::secret::Secret;

/// How every pass begins.
const PREFIX: &str = "watch_";
/// How long one is good: until a page has joined. Its socket stays, and it asks for another one to come again.
const VALID: Duration = Duration::from_secs(15 * 60);
/// Keeps its signature apart from those of requests, which have the same secret: no method has a blank.
const LABEL: &[u8] = b"forebay watch pass 1";
/// Bytes of a guest's name, and those of a time.
const WORD: usize = 8;
/// How the ids of guests begin. Those of users are UUIDs.
const GUEST: &str = "guest-";

/// What a pass says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) struct Pass {
    /// Id under which its holder speaks.
    pub(in crate::control) guest: String,
    /// Until when it is good.
    pub(in crate::control) expires: Wall,
}

/// Whether a credential is meant as a pass.
pub(in crate::control) fn is_pass(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Whether who speaks under this id does so with a pass.
pub(in crate::control) fn is_guest(id: &str) -> bool {
    id.starts_with(GUEST)
}

/// A new pass.
pub(super) fn issue(secret: &Secret, broadcast: Uuid, now: Wall) -> (String, Pass) {
    let guest = random_key(WORD);
    let valid_s = i64::try_from(VALID.as_secs()).unwrap_or(i64::MAX);
    let expires_s = now.unix_seconds().saturating_add(valid_s);
    let mut body = guest.as_bytes().to_vec();
    body.extend(expires_s.to_be_bytes());
    let signature = mac(secret, broadcast, &body).finalize().into_bytes();
    body.extend(signature);
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(body));
    (text, pass(&guest, expires_s))
}

/// Reads a pass, if it is one of this broadcast and still good.
pub(super) fn read(text: &str, secret: &Secret, broadcast: Uuid, now: Wall) -> Option<Pass> {
    let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
    let (body, signature) = bytes.split_at_checked(2 * WORD)?;
    // Compares in constant time.
    let signed = mac(secret, broadcast, body).verify_slice(signature);
    signed.ok()?;
    let (guest, expires_s) = body.split_at(WORD);
    let guest = std::str::from_utf8(guest).ok()?;
    let expires_s = i64::from_be_bytes(expires_s.try_into().ok()?);
    (expires_s > now.unix_seconds()).then(|| pass(guest, expires_s))
}

/// What passes must survive: any text, and any body that was signed.
pub(in crate::control::api) fn fuzz(bytes: &[u8]) {
    let (secret, broadcast, now) = (Secret::new("secret"), Uuid::nil(), Wall(0));
    let text = String::from_utf8_lossy(bytes);
    read(&text, &secret, broadcast, now);
    let body = &bytes[..bytes.len().min(2 * WORD)];
    let signature = mac(&secret, broadcast, body).finalize().into_bytes();
    let signed = [body, &signature[..]].concat();
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(signed));
    read(&text, &secret, broadcast, now);
}

fn pass(guest: &str, expires_s: i64) -> Pass {
    Pass {
        guest: format!("{GUEST}{guest}"),
        expires: Wall(expires_s.saturating_mul(1_000_000)),
    }
}

fn mac(secret: &Secret, broadcast: Uuid, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.expose().as_bytes())
        .expect("HMAC takes keys of any length");
    for part in [LABEL, broadcast.as_bytes(), body] {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const NOW: Wall = Wall(1_790_000_000_000_000);

    #[test]
    fn a_pass_is_good_for_its_broadcast_until_its_end() {
        let secret = Secret::new("secret");
        let (text, pass) = issue(&secret, A, NOW);
        assert!(is_pass(&text) && is_guest(&pass.guest));
        let late = NOW.plus_micros(i64::try_from(VALID.as_micros()).unwrap());
        assert_eq!(pass.expires, late);
        assert_eq!(read(&text, &secret, A, NOW).as_ref(), Some(&pass));
        let just = late.plus_micros(-1_000_000);
        assert_eq!(read(&text, &secret, A, just).as_ref(), Some(&pass));
        assert_eq!(read(&text, &secret, A, late), None);
        assert_eq!(read(&text, &secret, Uuid::from_u128(2), NOW), None);
        assert_eq!(read(&text, &Secret::new("other"), A, NOW), None);
    }

    #[test]
    fn a_pass_that_was_touched_is_none() {
        let secret = Secret::new("secret");
        let (text, _) = issue(&secret, A, NOW);
        let bytes = URL_SAFE_NO_PAD.decode(&text[PREFIX.len()..]).unwrap();
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            let other = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&other));
            assert_eq!(read(&other, &secret, A, NOW), None, "byte {at}");
        }
        for cut in [0, 1, PREFIX.len(), PREFIX.len() + 4, text.len() - 4] {
            assert_eq!(read(&text[..cut], &secret, A, NOW), None, "{cut}");
        }
        assert_eq!(read("watch_ä", &secret, A, NOW), None);
    }
}
