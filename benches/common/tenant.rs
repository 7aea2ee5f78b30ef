//! SDK clients of `/api`, and their signatures.

use std::net::SocketAddr;
use std::time::SystemTime;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::http::Client;

/// A client with sessions.
pub struct Tenant {
    pub key: String,
    secret: String,
    /// Their ids.
    pub sessions: Vec<String>,
}

impl Tenant {
    /// Registers a client that makes some sessions.
    pub fn register(address: SocketAddr, admin_key: &str, sessions: usize) -> Tenant {
        let mut client = Client::connect(address).expect("it listens");
        let mut ask = |path: &str, headers: &str, body: &str| -> serde_json::Value {
            let answer = client.send("POST", path, headers, body);
            let answer = answer.expect("the gateway answers");
            assert_eq!(answer.status, 200, "{}", answer.text());
            serde_json::from_str(&answer.text()).expect("JSON")
        };
        let admin = format!("X-Admin-Key: {admin_key}\r\n");
        let about = r#"{"name":"Bench","contactEmail":"bench@example.com","agreeTerms":true}"#;
        let made = ask("/api/admin/sdk-clients", &admin, about);
        let text = |made: &serde_json::Value, name: &str| {
            let text = made[name].as_str().expect("text");
            text.to_owned()
        };
        let (key, secret) = (text(&made, "apiKey"), text(&made, "secretKey"));
        let header = format!("X-API-Key: {key}\r\n");
        let make = |_| {
            let session = ask("/api/v1/sessions", &header, r#"{"title":"My Stream"}"#);
            text(&session, "id")
        };
        let sessions = (0..sessions).map(make).collect();
        Tenant {
            key,
            secret,
            sessions,
        }
    }

    /// Headers of a signed request.
    pub fn sign(&self, method: &str, path: &str, body: &str) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let timestamp = now.expect("after 1970").as_secs().to_string();
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.secret.as_bytes())
            .expect("HMAC takes keys of any length");
        [method, path, body, &timestamp]
            .iter()
            .for_each(|part| mac.update(part.as_bytes()));
        let digits = mac.finalize().into_bytes();
        let digits = digits.iter().map(|byte| format!("{byte:02x}"));
        let signature: String = digits.collect();
        format!(
            "X-API-Key: {}\r\nX-Signature: {signature}\r\nX-Timestamp: {timestamp}\r\n\
             Content-Type: application/json\r\n",
            self.key
        )
    }
}
