//! LiveKit's signalling. In: the server's address and credentials, a room, what is published or wanted. Out:
//! access tokens, and a [`Session`] in a room: its facts and events, and session descriptions and candidates
//! of both its connections. Not here: media (`rtc`), what is sent (`forward::livekit`), what becomes of what
//! is received (`ingest::livekit`).

mod error;
mod event;
mod signal;
mod thread;
pub mod token;

use crate::base::clock::Wall;
use crate::base::secret::Secret;
use crate::base::shutdown::Tasks;
pub use error::{Error, Reason};
pub use event::{Event, Layer, Participant, Publication, Quality, RoomTrack, Source, Target};
pub use signal::{Entry, Joined, Session};

/// How the identities of the gateway itself begin: tokens that the APIs hand out name no other ones so.
pub const OWN_IDENTITY: &str = "forebay";

/// Whether a participant is the gateway itself.
pub fn is_own(identity: &str) -> bool {
    identity.starts_with(OWN_IDENTITY)
}

/// A LiveKit server, and what it knows us by.
#[derive(Clone)]
pub struct Server {
    /// `ws` or `wss`, without a slash at the end; where the server is behind a path, with it.
    url: String,
    api_key: String,
    api_secret: Secret,
    /// With which the threads of sessions end.
    tasks: Option<Tasks>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("url", &self.url).finish()
    }
}

impl Server {
    /// The server at an address as `LIVEKIT_URL` has it: `ws`, `wss`, `http` or `https`.
    pub fn new(url: &str, api_key: &str, api_secret: &Secret) -> Result<Server, Error> {
        let (scheme, rest) = url.split_once("://").ok_or(Error::Address)?;
        let scheme = match scheme {
            "ws" | "http" => "ws",
            "wss" | "https" => "wss",
            _ => return Err(Error::Address),
        };
        let rest = rest.trim_end_matches('/');
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '?' | '#');
        if rest.is_empty() || rest.starts_with(['/', ':']) || rest.contains(is_odd) {
            return Err(Error::Address);
        }
        Ok(Server {
            url: format!("{scheme}://{rest}"),
            api_key: api_key.to_owned(),
            api_secret: api_secret.clone(),
            tasks: None,
        })
    }

    /// The same, whose sessions leave no thread behind when these tasks are finished.
    pub fn ending_with(self, tasks: &Tasks) -> Server {
        Server {
            tasks: Some(tasks.clone()),
            ..self
        }
    }

    /// Where clients connect to: `ws` or `wss`, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where its API is: `http` or `https`, without a slash at the end.
    pub fn http_url(&self) -> String {
        // `ws` becomes `http`, `wss` becomes `https`.
        format!("http{}", &self.url["ws".len()..])
    }

    /// Whether the server is on this machine, as its address says.
    pub fn is_local(&self) -> bool {
        let rest = self.url.split_once("://").map_or("", |(_, rest)| rest);
        let host = rest.split('/').next().unwrap_or_default();
        let is_loopback = |host: &str| {
            let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        };
        let without_port = host.rsplit_once(':').map_or(host, |(host, _)| host);
        is_loopback(host) || is_loopback(without_port)
    }

    /// API key.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// API secret.
    pub fn api_secret(&self) -> &Secret {
        &self.api_secret
    }

    /// A participant's token, without a prefix.
    pub fn token(&self, grant: &token::Grant<'_>, now: Wall) -> Result<Secret, Error> {
        let token = token::sign(&self.api_key, &self.api_secret, now, grant);
        token.map(Secret::new).map_err(|_| Error::Signature)
    }

    /// The token of one request of LiveKit's own API.
    pub fn request_token(&self, service: &token::Service<'_>, now: Wall) -> Result<Secret, Error> {
        let token = token::sign_request(&self.api_key, &self.api_secret, now, service);
        token.map(Secret::new).map_err(|_| Error::Signature)
    }
}

#[cfg(test)]
mod tests;
