//! HTTP requests that the gateway itself makes: of the admission service, of webhooks, of a LiveKit server, and
//! of WHIP endpoints.
//! In: an address taken apart once, a connection, a body. Out: what the far side answers. Not here: where a
//! connection may go, deadlines, what an answer means.
//!
//! One request on a connection of its own: they are rare, and a connection that was kept would be one more
//! thing that can be stale. Redirects are not followed here: a body goes where it was said, and nowhere else.

use std::fmt::Display;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::source::percent_decoded;

/// Longest head of an answer, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// An address, `http://` or `https://`.
pub struct Target {
    /// Name or address of the host, without brackets.
    pub host: String,
    /// Port, that of the scheme where none was said.
    pub port: u16,
    /// Whether it wants TLS.
    pub is_tls: bool,
    /// As the `Host` header has it.
    authority: HeaderValue,
    path: Uri,
    authorization: Option<HeaderValue>,
}

impl Target {
    /// Takes an address apart; otherwise why it cannot be called. It is not repeated: it may hold a password.
    pub fn of(url: &str) -> Result<Target, &'static str> {
        let uri: Uri = url.parse().map_err(|_| "no address")?;
        let (is_tls, default_port) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            _ => return Err("neither http nor https"),
        };
        let authority = uri.authority().ok_or("it has no host")?;
        let text = authority.as_str();
        let (user, place) = match text.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, text),
        };
        let host = authority.host().trim_matches(['[', ']']);
        if host.is_empty() {
            return Err("it has no host");
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let unusable = |_| "its host, path or user cannot be sent";
        let mut authorization = None;
        if let Some(user) = user {
            let user = percent_decoded(user).ok_or("its user is no text")?;
            let text = format!("Basic {}", STANDARD.encode(user.as_bytes()));
            let mut value = HeaderValue::try_from(text).map_err(unusable)?;
            value.set_sensitive(true);
            authorization = Some(value);
        }
        Ok(Target {
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(default_port),
            is_tls,
            authority: HeaderValue::from_str(place).map_err(unusable)?,
            path: path.parse().map_err(|_| "its path cannot be sent")?,
            authorization,
        })
    }

    /// Whether it says who asks.
    pub fn has_user(&self) -> bool {
        self.authorization.is_some()
    }

    /// A POST of JSON.
    pub fn post(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = self.request(http::Method::POST, body);
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        request
    }

    /// A request that says neither what its body is nor what it wants.
    pub fn request(&self, method: http::Method, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.path.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.authority.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static("forebay"));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        request
    }

    /// The address that a `Location` of an answer of this one means (RFC 3986 §4.2), without the parts that
    /// nobody sends: `..` stays.
    pub fn located(&self, location: &str) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        let authority = self.authority.to_str().unwrap_or_default();
        let path = self.path.path();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        match location {
            _ if location.contains("://") => location.to_owned(),
            _ if location.starts_with("//") => format!("{scheme}:{location}"),
            _ if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
            _ => format!("{scheme}://{authority}{folder}/{location}"),
        }
    }

    /// Sends a request to this address over a connection to its host; what `read` makes of the answer, or
    /// why there is none.
    pub async fn exchange<T, R: Future<Output = T>>(
        &self,
        stream: TcpStream,
        tls: Option<&TlsConnector>,
        request: Request<Full<Bytes>>,
        read: impl FnOnce(Response<Incoming>) -> R,
    ) -> Result<T, NoAnswer> {
        if !self.is_tls {
            return Ok(exchange(stream, request, read).await?);
        }
        let tls =
            tls.ok_or_else(|| "no trusted certificates were found on this machine".to_owned())?;
        let name = ServerName::try_from(self.host.clone());
        let name = name.map_err(|err| failed("its name has no certificate", err))?;
        let stream = tls.connect(name, stream).await;
        let stream = stream.map_err(|err| match unaccepted(&err) {
            Some(refusal) => NoAnswer::Certificate(refusal),
            None => NoAnswer::Failed(failed("tls", err)),
        })?;
        Ok(exchange(stream, request, read).await?)
    }
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody vouches for the far side's certificate, or it is another host's.
    #[error("its certificate is not accepted: {0}")]
    Certificate(rustls::Error),
    /// Anything else, as a sentence.
    #[error("{0}")]
    Failed(String),
}

impl From<String> for NoAnswer {
    fn from(sentence: String) -> NoAnswer {
        NoAnswer::Failed(sentence)
    }
}

/// What is wrong with the certificate by which a connection came to nothing, if that is why.
pub fn unaccepted(error: &io::Error) -> Option<rustls::Error> {
    let by_tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    by_tls
        .filter(|error| matches!(error, rustls::Error::InvalidCertificate(_)))
        .cloned()
}

/// A sentence about what went wrong.
pub fn failed(what: &str, error: impl Display) -> String {
    format!("{what}: {error}")
}

/// Certificates that the machine trusts. Blocks for some milliseconds.
pub fn machine_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Speaks TLS to those who have a certificate that `roots` vouch for.
pub fn connector(roots: RootCertStore) -> Result<TlsConnector, rustls::Error> {
    speaking(roots, vec![b"http/1.1".to_vec()])
}

/// The same for protocols that do not say in TLS what they are.
pub fn plain_connector(roots: RootCertStore) -> Result<TlsConnector, rustls::Error> {
    speaking(roots, Vec::new())
}

fn speaking(roots: RootCertStore, protocols: Vec<Vec<u8>>) -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols;
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Sends the request and reads the answer, both on this task: when the caller gives up, so does the
/// connection.
async fn exchange<S, T, R>(
    stream: S,
    request: Request<Full<Bytes>>,
    read: impl FnOnce(Response<Incoming>) -> R,
) -> Result<T, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    R: Future<Output = T>,
{
    let broken = |err: hyper::Error| failed("it did not answer in HTTP", err);
    let handshake = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await;
    let (mut sender, connection) = handshake.map_err(broken)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        Ok(read(response).await)
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        answer = &mut answer => answer,
        // All of the answer has been read by then, or nothing more comes.
        _ = &mut connection => answer.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_once() {
        let target = Target::of("http://u@[::1]:8081").ok().unwrap();
        assert_eq!((&*target.host, target.port), ("::1", 8081));
        assert_eq!((target.path.path(), target.is_tls), ("/", false));
        assert!(target.has_user());
        assert_eq!(target.authority, "[::1]:8081");
        let target = Target::of("https://h.example/a?b=c").ok().unwrap();
        assert_eq!((&*target.host, target.port), ("h.example", 443));
        assert_eq!((&*target.path.to_string(), target.is_tls), ("/a?b=c", true));
        assert!(!target.has_user());
        for (location, expected) in [
            ("/r/1", "https://h.example/r/1"),
            ("1?x", "https://h.example/1?x"),
            ("//o.example/1", "https://o.example/1"),
            ("http://o.example:8/1", "http://o.example:8/1"),
        ] {
            assert_eq!(target.located(location), expected);
        }
    }
}
