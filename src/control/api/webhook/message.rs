//! What is sent to a webhook: body and headers of the Standard Webhooks specification, version 1. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::SECRET_PREFIX;
use crate::base::clock::Wall;
use crate::base::secret::Secret;
use crate::control::api::time::seconds;
use crate::store::{Delivery, Webhook};

/// The body, the same in every attempt.
pub(super) fn body(delivery: &Delivery) -> String {
    // The data are JSON as they are.
    format!(
        "{{\"id\":{},\"type\":{},\"timestamp\":{},\"data\":{}}}",
        json!(delivery.id),
        json!(delivery.event),
        json!(seconds(delivery.created)),
        delivery.data
    )
}

/// The value of `webhook-signature`: one for each secret that is good now.
pub(super) fn signatures(webhook: &Webhook, id: &str, now: Wall, body: &str) -> String {
    let at = now.unix_seconds();
    let new = signature(&webhook.secret, id, at, body);
    let old = webhook
        .old_secret
        .as_ref()
        .filter(|(_, until)| now < *until);
    match old {
        Some((old, _)) => format!("{new} {}", signature(old, id, at, body)),
        None => new,
    }
}

/// `v1,` and the base64 of an HMAC-SHA256 over `id.timestamp.body` with the bytes that the secret stands for.
fn signature(secret: &Secret, id: &str, at: i64, body: &str) -> String {
    let text = secret.expose();
    let text = text.strip_prefix(SECRET_PREFIX).unwrap_or(text);
    // Our own are base64.
    let key = STANDARD.decode(text).unwrap_or_default();
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(&key).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the libraries of Standard Webhooks, such as `libraries/python/tests/test_webhooks.py`.
    #[test]
    fn a_signature_is_that_of_the_published_vector() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = r#"{"test": 2432232314}"#;
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
