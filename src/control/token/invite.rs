//! Invites: by one a co-host shows that it was let in. In: who it is, and of which broadcast. Out: a JWT
//! (RFC 7519, HS256). Its key is made of the secret of the broadcast's application, and of nothing else that
//! is signed, so that an invite is no other kind of token.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::Error;
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::base::secret::Secret;

/// How long an invite is good for: as long as the token that it is for.
const VALID_FOR: Duration = Duration::from_secs(6 * 3600);
/// Longest invite that is looked at, in bytes. Real ones have 240.
const LONGEST: usize = 1024;
/// What the application's secret signs for the key of its invites.
const PURPOSE: &[u8] = b"forebay co-host invite";

#[derive(Serialize, Deserialize)]
struct Claims {
    /// The co-host, a UUID.
    sub: String,
    /// UUID.
    broadcast: String,
    /// Seconds since the Unix epoch.
    exp: i64,
}

/// RFC 5869 needs no more than its first step here: the secret is random, and the key is one block.
fn key(secret: &Secret) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.expose().as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(PURPOSE);
    mac.finalize().into_bytes().into()
}

/// An invite of a co-host.
pub fn create(
    secret: &Secret,
    broadcast: Uuid,
    cohost: Uuid,
    now: Wall,
) -> Result<Secret, jsonwebtoken::errors::Error> {
    let valid_s = i64::try_from(VALID_FOR.as_secs()).unwrap_or(i64::MAX);
    let claims = Claims {
        sub: cohost.to_string(),
        broadcast: broadcast.to_string(),
        exp: now.unix_seconds().saturating_add(valid_s),
    };
    let key = EncodingKey::from_secret(&key(secret));
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).map(Secret::new)
}

/// The co-host that an invite to this broadcast names.
pub fn verify(invite: &str, secret: &Secret, broadcast: Uuid, now: Wall) -> Result<Uuid, Error> {
    if invite.len() > LONGEST {
        return Err(Error::Malformed);
    }
    // This one algorithm, whatever the header says. Compares in constant time.
    let mut validation = Validation::new(Algorithm::HS256);
    // The library reads a clock of its own.
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_secret(&key(secret));
    let decoded = jsonwebtoken::decode::<Claims>(invite, &key, &validation);
    let claims = decoded.map_err(|_| Error::Digest)?.claims;
    if claims.broadcast != broadcast.to_string() {
        return Err(Error::Scope);
    }
    if claims.exp <= now.unix_seconds() {
        return Err(Error::Expired);
    }
    Uuid::parse_str(&claims.sub).map_err(|_| Error::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall(1_790_000_000_000_000);

    #[test]
    fn an_invite_is_good_for_its_co_host_its_broadcast_and_its_time() {
        let secret = Secret::new("sk_one");
        let [broadcast, cohost] = [Uuid::new_v4(), Uuid::new_v4()];
        let invite = create(&secret, broadcast, cohost, NOW).unwrap();
        let invite = invite.expose();
        assert!(invite.len() < LONGEST / 2);
        let check = |invite: &str, broadcast, now| verify(invite, &secret, broadcast, now);
        assert_eq!(check(invite, broadcast, NOW), Ok(cohost));
        assert_eq!(check(invite, Uuid::new_v4(), NOW), Err(Error::Scope));
        let late = Wall(NOW.0 + 6 * 3_600_000_000);
        assert_eq!(
            check(invite, broadcast, Wall(late.0 - 1_000_000)),
            Ok(cohost)
        );
        assert_eq!(check(invite, broadcast, late), Err(Error::Expired));
        let other = Secret::new("sk_two");
        assert_eq!(verify(invite, &other, broadcast, NOW), Err(Error::Digest));
        let long = "x".repeat(LONGEST + 1);
        for broken in [
            "",
            "..",
            "a.b.c",
            &invite[1..],
            &format!("{invite}A"),
            &long,
        ] {
            assert!(check(broken, broadcast, NOW).is_err(), "{broken}");
        }
    }

    #[test]
    fn an_invite_is_no_playback_token_and_a_playback_token_no_invite() {
        let secret = Secret::new("sk_one");
        let [broadcast, cohost] = [Uuid::new_v4(), Uuid::new_v4()];
        let invite = create(&secret, broadcast, cohost, NOW).unwrap();
        let opened = super::super::verify(invite.expose(), |_| Some(secret.clone()), NOW);
        assert!(opened.is_err());
        let claims = super::super::Claims {
            expires: NOW.unix_millis() + 60_000,
            ..super::super::Claims::default()
        };
        let token = super::super::jwt::create("app", &secret, &claims).unwrap();
        assert!(verify(&token, &secret, broadcast, NOW).is_err());
        // Nor is what anybody signs with the secret itself.
        let claims = Claims {
            sub: cohost.to_string(),
            broadcast: broadcast.to_string(),
            exp: NOW.unix_seconds() + 60,
        };
        let key = EncodingKey::from_secret(secret.expose().as_bytes());
        let own = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
        assert_eq!(verify(&own, &secret, broadcast, NOW), Err(Error::Digest));
    }
}
