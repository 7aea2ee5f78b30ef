//! Access tokens: HS256 JWTs as LiveKit's servers read them. In: a header or a query. Out: claims, or the
//! status and the text of the refusal. Texts and leeway are those of livekit-server 1.11.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;

/// How far clocks may be apart, in seconds: livekit-server's verifier takes that much.
const LEEWAY: f64 = 60.0;

/// The video grant of a token.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Grant {
    pub room_create: bool,
    pub room_list: bool,
    pub room_record: bool,
    pub room_admin: bool,
    pub room_join: bool,
    pub room: String,
    pub can_publish: Option<bool>,
    pub can_subscribe: Option<bool>,
    pub can_publish_data: Option<bool>,
    pub can_publish_sources: Vec<String>,
    pub can_update_own_metadata: Option<bool>,
    pub ingress_admin: bool,
    pub hidden: bool,
    pub recorder: bool,
    pub agent: bool,
}

/// What a token says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Claims {
    pub iss: String,
    #[serde(alias = "jti")]
    pub sub: String,
    pub exp: Option<f64>,
    pub nbf: Option<f64>,
    pub iat: Option<f64>,
    pub name: String,
    pub metadata: String,
    pub attributes: std::collections::HashMap<String, String>,
    pub video: Option<Grant>,
    pub sha256: String,
    pub room_config: Option<Value>,
}

/// An answer instead of what was asked for.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub status: u16,
    pub text: String,
}

impl Refusal {
    pub fn new(status: u16, text: impl Into<String>) -> Refusal {
        let text = text.into();
        Refusal { status, text }
    }

    /// The text that livekit-server has for all that a grant does not allow.
    pub fn denied() -> Refusal {
        Refusal::new(401, "permissions denied")
    }
}

fn signature(secret: &str, message: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length is a key");
    mac.update(message.as_bytes());
    mac
}

/// Signs claims.
pub fn sign(secret: &str, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let message = format!("{}.{}", part(&header), part(claims));
    let signature = signature(secret, &message).finalize().into_bytes();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Reads a token that `key` has to have signed, at a UNIX time.
pub fn verify(key: &str, secret: &str, token: &str, now: f64) -> Result<Claims, Refusal> {
    let refused = |why: &str| {
        let text = format!("invalid token: {token}, error: go-jose/go-jose: {why}");
        Refusal::new(401, text)
    };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let (message, signed) = token.rsplit_once('.').ok_or_else(|| refused("parts"))?;
    let (header, payload) = message.split_once('.').ok_or_else(|| refused("parts"))?;
    let header: Value = decode(header)
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| refused("invalid header"))?;
    if header["alg"] != "HS256" {
        return Err(refused("unexpected signature algorithm"));
    }
    let claims: Claims = decode(payload)
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| refused("invalid claims"))?;
    if claims.iss != key {
        return Err(Refusal::new(
            401,
            format!("invalid API key: {}", claims.iss),
        ));
    }
    let signed = decode(signed).unwrap_or_default();
    if signature(secret, message).verify_slice(&signed).is_err() {
        return Err(refused("error in cryptographic primitive"));
    }
    if claims.exp.is_some_and(|exp| now > exp + LEEWAY) {
        return Err(refused("validation failed, token is expired (exp)"));
    }
    if claims.nbf.is_some_and(|nbf| now + LEEWAY < nbf) {
        return Err(refused("validation failed, token not valid yet (nbf)"));
    }
    if claims.iat.is_some_and(|iat| now + LEEWAY < iat) {
        return Err(refused(
            "validation field, token issued in the future (iat)",
        ));
    }
    Ok(claims)
}

/// The claims of a token that may join a room; `more` is laid over its video grant.
pub fn joining(key: &str, identity: &str, room: &str, now: i64, more: &Value) -> Value {
    let mut video = json!({"roomJoin": true, "room": room});
    for (name, value) in more.as_object().into_iter().flatten() {
        video[name] = value.clone();
    }
    json!({"iss": key, "sub": identity, "nbf": now - 1, "exp": now + 3600, "name": identity,
        "video": video})
}
