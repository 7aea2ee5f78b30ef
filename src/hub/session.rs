//! What publisher sessions are called in the channel API.

use std::net::IpAddr;
use std::sync::Arc;

use crate::base::id::random_key;

/// Characters of a session id behind its region: 131 bits, so that no two are ever equal.
const CHARACTERS: usize = 22;

/// A new session id, `{region}#{22 base62}`. It stays with the session for its life, also in forks.
pub(super) fn new_id(region: &str) -> Arc<str> {
    format!("{region}#{}", random_key(CHARACTERS)).into()
}

/// The screen name of a session whose channel names none: where its encoder is, and a number that no
/// other session of the stream has. `first`: nobody else publishes on the stream.
pub(super) fn screen_name(first: bool, host: IpAddr, number: u64) -> Arc<str> {
    let role = if first { "Primary" } else { "Backup" };
    format!("{role}-{}-{number}", host.to_canonical()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_the_region_and_22_base62_and_never_the_same() {
        let id = new_id("us-southwest");
        let (region, rest) = id.split_once('#').unwrap();
        assert_eq!((region, rest.len()), ("us-southwest", 22));
        assert!(rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(id, new_id("us-southwest"));
    }

    #[test]
    fn automatic_screen_names_tell_who_came_first_and_from_where() {
        let host = "::ffff:192.0.2.7".parse().unwrap();
        assert_eq!(&*screen_name(true, host, 1), "Primary-192.0.2.7-1");
        assert_eq!(&*screen_name(false, host, 2), "Backup-192.0.2.7-2");
    }
}
