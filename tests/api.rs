//! The channel API of the real program: many clients at once, crashes, encoders, and a tool that asks what
//! nobody would. What each call takes and answers is tested beside its code.

mod commands;
mod crash;
mod crowd;
mod encoders;
mod livekit;
mod strangers;

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::server::PATIENCE;

/// Secret of the first application.
const SECRET: &str = "ApiSecret0123456789";
/// Key of operators.
const ADMIN_KEY: &str = "ApiAdmin0123456789";
/// Settings with which these are known.
const SETTINGS: [(&str, &str); 2] = [
    ("FOREBAY_APPLICATION_SECRET", SECRET),
    ("FOREBAY_ADMIN_KEY", ADMIN_KEY),
];

/// A client of the API. Cloning it makes another one.
#[derive(Clone, Debug)]
struct Client {
    address: SocketAddr,
    authorization: String,
}

impl Client {
    /// The first application.
    fn new(address: SocketAddr) -> Client {
        Client::of(address, "forebay", SECRET)
    }

    /// An application.
    fn of(address: SocketAddr, id: &str, secret: &str) -> Client {
        Client {
            address,
            authorization: format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))),
        }
    }

    /// Somebody without credentials.
    fn anonymous(address: SocketAddr) -> Client {
        Client {
            address,
            authorization: String::new(),
        }
    }

    /// An operator.
    fn operator(address: SocketAddr) -> Client {
        Client {
            address,
            authorization: format!("Bearer {ADMIN_KEY}"),
        }
    }

    /// What the gateway answers.
    async fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let answer = tokio::time::timeout(PATIENCE, self.try_call(method, path, body)).await;
        let answer = answer.unwrap_or_else(|_| panic!("{method} {path} has no answer"));
        answer.unwrap_or_else(|| panic!("{method} {path} was cut off"))
    }

    /// The same, or `None` when the gateway is gone.
    async fn try_call(&self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            self.credentials(),
            body.len(),
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let text = String::from_utf8(answer).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let code = head.split(' ').nth(1)?.parse().ok()?;
        let body = match head.to_ascii_lowercase().contains("chunked") {
            true => unchunked(body)?,
            false => body.to_owned(),
        };
        Some((code, serde_json::from_str(&body).ok()?))
    }

    fn credentials(&self) -> String {
        match self.authorization.as_str() {
            "" => String::new(),
            authorization => format!("Authorization: {authorization}\r\n"),
        }
    }

    /// Makes a channel.
    async fn make(&self, alias: &str) -> Value {
        let (code, answer) = self
            .call("PUT", "/pcast/channel", &new_channel(alias))
            .await;
        assert_eq!(code, 200, "{answer}");
        answer["channel"].clone()
    }

    /// Makes a channel, for the sake of its stream key.
    async fn make_key(&self, alias: &str) -> String {
        let channel = self.make(alias).await;
        channel["streamKey"].as_str().expect("text").to_owned()
    }

    /// Aliases of all channels, as they are listed.
    async fn aliases(&self) -> Vec<String> {
        let (code, list) = self.call("GET", "/pcast/channels", &Value::Null).await;
        assert_eq!(code, 200);
        let channels = list["channels"].as_array().expect("a list").iter();
        let aliases = channels.map(|channel| channel["alias"].as_str().expect("text").to_owned());
        aliases.collect()
    }
}

/// A body of pieces, put together.
fn unchunked(mut body: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n")?;
        match usize::from_str_radix(size.trim(), 16).ok()? {
            0 => return Some(whole),
            size => {
                whole.push_str(rest.get(..size)?);
                body = rest.get(size + 2..)?;
            }
        }
    }
}

fn new_channel(alias: &str) -> Value {
    json!({"channel": {
        "alias": alias, "name": format!("Name of {alias}"), "description": "", "options": [],
    }})
}
