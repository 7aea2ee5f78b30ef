//! Tokens that were signed with the secret that we share with the LiveKit server: those of clients on their way
//! to a room, and those that vouch for a webhook. Pure.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Server;
use crate::base::clock::Wall;

/// By how much clocks may differ, in seconds: as much as the LiveKit server grants.
const LEEWAY_S: f64 = 60.0;
/// Longest token that is looked at, in bytes: one with long metadata has two thousand.
const LONGEST: usize = 8 << 10;

/// What a token for a room says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    /// The room that it opens.
    pub(super) room: String,
    /// Whom it lets in.
    pub(super) identity: String,
    /// Whether its bearer may send media.
    pub(super) can_publish: bool,
}

/// RFC 7519 §4.1, and claims of LiveKit's. It reads times as numbers of any kind, and takes tokens without any.
#[derive(Deserialize)]
struct Claims<T> {
    iss: String,
    #[serde(default)]
    exp: Option<f64>,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    iat: Option<f64>,
    #[serde(flatten)]
    rest: T,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    jti: Option<String>,
    #[serde(default)]
    video: Video,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Video {
    room: String,
    room_join: bool,
    /// Without it everything may be published.
    can_publish: Option<bool>,
}

#[derive(Deserialize)]
struct Digest {
    sha256: String,
}

impl Server {
    /// Reads a token for a room, without its prefix. `None`: it is not one, not ours, or not good now.
    pub(super) fn pass(&self, token: &str, now: Wall) -> Option<Pass> {
        let entry: Entry = self.verified(token, now)?;
        let is_entry = entry.video.room_join && !entry.video.room.is_empty();
        let identity = entry.sub.filter(|sub| !sub.is_empty()).or(entry.jti);
        let identity = identity.filter(|identity| is_entry && !identity.is_empty())?;
        Some(Pass {
            room: entry.video.room,
            identity,
            can_publish: entry.video.can_publish.unwrap_or(true),
        })
    }

    /// The SHA-256 of a body as the token says it, in base64.
    pub(super) fn vouched(&self, token: &str, now: Wall) -> Option<String> {
        let digest: Digest = self.verified(token, now)?;
        Some(digest.sha256)
    }

    fn verified<T: DeserializeOwned>(&self, token: &str, now: Wall) -> Option<T> {
        if token.len() > LONGEST {
            return None;
        }
        let key = DecodingKey::from_secret(self.0.api_secret.expose().as_bytes());
        // This one algorithm, whatever the header says. Compares in constant time.
        let mut validation = Validation::new(Algorithm::HS256);
        // The library reads a clock of its own.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let decoded = jsonwebtoken::decode::<Claims<T>>(token, &key, &validation);
        let claims = decoded.ok()?.claims;
        #[expect(clippy::cast_precision_loss, reason = "seconds of this era")]
        let now = now.unix_seconds() as f64;
        let is_over = claims.exp.is_some_and(|exp| exp + LEEWAY_S <= now);
        let begins = claims.nbf.into_iter().chain(claims.iat);
        let is_early = begins.into_iter().any(|begin| begin - LEEWAY_S > now);
        let is_ours = claims.iss == self.0.api_key;
        (is_ours && !is_over && !is_early).then_some(claims.rest)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{API_SECRET, server};
    use super::*;

    const NOW: Wall = Wall(1_790_000_000_000_000);

    fn signed(claims: &Value, secret: &str, algorithm: Algorithm) -> String {
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::new(algorithm), claims, &key).unwrap()
    }

    fn claims() -> Value {
        json!({"iss": "devkey", "sub": "u", "nbf": 1_790_000_000, "exp": 1_790_000_100,
            "video": {"roomJoin": true, "room": "r", "canPublish": false}})
    }

    #[test]
    fn a_token_says_who_enters_which_room_as_what() {
        let server = server("ws://h", true);
        let read = |claims: &Value| server.pass(&signed(claims, API_SECRET, Algorithm::HS256), NOW);
        let pass = Pass {
            room: "r".to_owned(),
            identity: "u".to_owned(),
            can_publish: false,
        };
        assert_eq!(read(&claims()), Some(pass.clone()));
        // What LiveKit's own libraries make of it: fractions, no times at all, the identity as an id, a grant that
        // is not said.
        let mut other = claims();
        other["exp"] = json!(1_789_999_940.5);
        other["nbf"] = Value::Null;
        other["sub"] = Value::Null;
        other["jti"] = json!("u");
        other["video"]["canPublish"] = Value::Null;
        let all = Pass {
            can_publish: true,
            ..pass
        };
        assert_eq!(read(&other), Some(all));
        for (claim, value) in [
            ("iss", json!("another")),
            ("iss", Value::Null),
            ("sub", json!("")),
            ("exp", json!("never")),
            ("exp", json!(1_789_999_940)),
            ("nbf", json!(1_790_000_061)),
            ("iat", json!(1_790_000_061)),
            ("video", json!({"room": "r"})),
            ("video", json!({"roomJoin": true})),
            (
                "video",
                json!({"roomJoin": true, "room": "r", "canPublish": "true"}),
            ),
        ] {
            let mut bad = claims();
            bad[claim] = value;
            assert_eq!(read(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_that_others_signed_is_none() {
        let server = server("ws://h", true);
        let foreign = signed(&claims(), "another", Algorithm::HS256);
        let other = signed(&claims(), API_SECRET, Algorithm::HS384);
        let ours = signed(&claims(), API_SECRET, Algorithm::HS256);
        let none = "eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0";
        let unsigned = format!("{none}.{}.", ours.split('.').nth(1).unwrap());
        let long = format!("{ours}{}", "A".repeat(LONGEST));
        let made = [&foreign, &other, &unsigned, &long].map(String::as_str);
        for bad in made.into_iter().chain(["", "a.b.c", "livekit_"]) {
            assert_eq!(server.pass(bad, NOW), None, "{bad}");
        }
    }
}
