//! Our own playback and publish tokens: the claims of `DIGEST` tokens by the same names, as a JWT (RFC 7519)
//! that any library makes. Signed with HS256 and the application's secret; `exp` is required, and
//! `applicationId` says whose secret it is. Half as long as a `DIGEST` token, so that it fits in an SRT
//! stream id.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Claims, Error};
use crate::base::clock::Wall;
use crate::base::secret::Secret;

/// `{"typ":"JWT","alg":"HS256"}`, as a token begins.
pub(super) const HEADER: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9";

/// RFC 7519 §4.1 beside our own names.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    application_id: String,
    /// Seconds since the Unix epoch.
    exp: serde_json::Number,
    /// Not before this; seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<serde_json::Number>,
    #[serde(flatten)]
    claims: Claims,
}

/// Of a header, the extensions that must be understood.
#[derive(Deserialize)]
struct Critical {
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Issuer {
    application_id: String,
}

/// Whether a text has the form of a JWT: three parts, the first of which is the beginning of a JSON object.
pub(super) fn is_jwt(text: &str) -> bool {
    text.starts_with("eyJ") && text.split('.').count() == 3
}

/// Signs claims.
pub fn create(
    application_id: &str,
    secret: &Secret,
    claims: &Claims,
) -> Result<String, jsonwebtoken::errors::Error> {
    let payload = Payload {
        application_id: application_id.to_owned(),
        // To the second, and never longer than was said.
        exp: (claims.expires / 1000).into(),
        nbf: None,
        claims: claims.clone(),
    };
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &payload, &key)
}

/// Checks signature and time, not the scope. Returns application id and claims.
pub(super) fn verify(
    token: &str,
    secret_of: impl FnOnce(&str) -> Option<Secret>,
    now: Wall,
) -> Result<(String, Claims), Error> {
    if !is_jwt(token) {
        return Err(Error::Malformed);
    }
    let header: Critical = part(token, 0)?;
    if header.crit.is_some() {
        // What it says must be understood to be accepted, and no extension is (RFC 7515 §4.1.11).
        return Err(Error::Malformed);
    }
    let issuer: Issuer = part(token, 1)?;
    let secret = secret_of(&issuer.application_id);
    // Whether there is such an application is not to be told by the time that the answer takes.
    let key = secret.clone().unwrap_or_else(|| Secret::new(""));
    let key = DecodingKey::from_secret(key.expose().as_bytes());
    // This one algorithm, whatever the header says. Compares in constant time.
    let mut validation = Validation::new(Algorithm::HS256);
    // The library reads a clock of its own.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let decoded = jsonwebtoken::decode::<Payload>(token, &key, &validation);
    let payload = decoded.map_err(|error| reason(&error))?.claims;
    secret.ok_or(Error::Digest)?;
    let now_ms = now.unix_millis();
    let millis = |seconds: &serde_json::Number| seconds.as_f64().map(|seconds| seconds * 1000.0);
    let exp_ms = millis(&payload.exp).ok_or(Error::Malformed)?;
    let begins_ms = payload.nbf.as_ref().and_then(millis);
    // Exact for times within 285,000 years.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this era")]
    let now = now_ms as f64;
    // Where it has both forms of its end, the earlier one counts.
    let other_is_over = payload.claims.expires != 0 && payload.claims.expires <= now_ms;
    if exp_ms <= now || other_is_over || begins_ms.is_some_and(|begins_ms| begins_ms > now) {
        return Err(Error::Expired);
    }
    Ok((payload.application_id, payload.claims))
}

/// Header or payload of a token that was not verified yet.
fn part<T: DeserializeOwned>(token: &str, index: usize) -> Result<T, Error> {
    let part = token.split('.').nth(index).unwrap_or_default();
    let part = URL_SAFE_NO_PAD.decode(part).map_err(|_| Error::Malformed)?;
    serde_json::from_slice(&part).map_err(|_| Error::Malformed)
}

fn reason(error: &jsonwebtoken::errors::Error) -> Error {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => Error::Digest,
        _ => Error::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Error, path_form, verify};
    use super::*;

    const NOW: Wall = Wall(1_790_000_000_000_000);
    const SECRET: &str = "application-secret";

    fn secret(_: &str) -> Option<Secret> {
        Some(Secret::new(SECRET))
    }

    fn claims() -> Claims {
        Claims {
            expires: NOW.unix_millis() + 60_999,
            required_tag: Some("channelId:local#forebay#live".to_owned()),
            capabilities: vec!["streaming".to_owned()],
            ..Claims::default()
        }
    }

    fn made() -> String {
        create("forebay", &Secret::new(SECRET), &claims()).unwrap()
    }

    /// A token with any header and payload, well signed.
    fn signed(header: &str, payload: &str) -> String {
        use hmac::{Hmac, KeyInit, Mac};
        let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
        let text = format!("{header}.{payload}");
        let mut mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        format!("{text}.{signature}")
    }

    const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

    #[test]
    fn a_jwt_has_the_claims_of_a_digest_token_by_name_and_needs_no_escaping() {
        let made = made();
        assert!(made.starts_with(HEADER));
        assert_eq!(path_form(&made), made);
        let payload = URL_SAFE_NO_PAD
            .decode(made.split('.').nth(1).unwrap())
            .unwrap();
        let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(
            payload,
            serde_json::json!({
                "applicationId": "forebay", "exp": 1_790_000_060, "expires": 1_790_000_060_999_i64,
                "requiredTag": "channelId:local#forebay#live", "capabilities": ["streaming"],
            })
        );
        let (application, read) = verify(&made, secret, NOW).unwrap();
        assert_eq!((&*application, read), ("forebay", claims()));
    }

    #[test]
    fn it_ends_to_the_second_and_does_not_begin_early() {
        let at = |seconds: i64| Wall(NOW.0 + seconds * 1_000_000);
        let made = made();
        assert!(verify(&made, secret, at(59)).is_ok());
        assert_eq!(verify(&made, secret, at(60)), Err(Error::Expired));
        let check = |times: &str, now: i64| {
            let payload = format!(r#"{{"applicationId":"forebay",{times}}}"#);
            verify(&signed(HS256, &payload), secret, at(now)).map(drop)
        };
        assert_eq!(check(r#""exp":1790000001.5"#, 1), Ok(()));
        assert_eq!(check(r#""exp":1790000001.5"#, 2), Err(Error::Expired));
        assert_eq!(
            check(r#""exp":1790000009,"expires":1790000001000"#, 1),
            Err(Error::Expired)
        );
        assert_eq!(
            check(r#""exp":1790000009,"nbf":1790000005"#, 4),
            Err(Error::Expired)
        );
        assert_eq!(check(r#""exp":1790000009,"nbf":1790000005"#, 5), Ok(()));
        for missing in [
            r#""expires":1790000009000"#,
            r#""exp":null"#,
            r#""exp":"1790000009""#,
        ] {
            assert_eq!(check(missing, 0), Err(Error::Malformed), "{missing}");
        }
    }

    #[test]
    fn forged_foreign_and_broken_ones_are_refused() {
        let check = |token: &str| verify(token, secret, NOW).map(drop);
        let made = made();
        let other = create("forebay", &Secret::new("a-guess"), &claims()).unwrap();
        assert_eq!(check(&other), Err(Error::Digest));
        assert_eq!(verify(&made, |_| None, NOW), Err(Error::Digest));
        // With no secret at all it is nobody's, even when it is signed with none.
        let empty = create("nobody", &Secret::new(""), &claims()).unwrap();
        assert_eq!(verify(&empty, |_| None, NOW), Err(Error::Digest));
        let payload = r#"{"applicationId":"forebay","exp":1790000009}"#;
        assert_eq!(check(&signed(HS256, payload)), Ok(()));
        for header in [
            r#"{"alg":"none","typ":"JWT"}"#,
            r#"{"alg":"HS512"}"#,
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"HS256","crit":["b64"],"b64":true}"#,
        ] {
            assert!(check(&signed(header, payload)).is_err(), "{header}");
        }
        let (unsigned, _) = made.rsplit_once('.').unwrap();
        for broken in [
            "",
            "eyJ..",
            "eyJ.a.b",
            unsigned,
            &format!("{unsigned}."),
            &format!("{made}.x"),
        ] {
            assert!(check(broken).is_err(), "{broken}");
        }
    }
}
