//! The LiveKit server's side of a client's connection. In: a rewritten request. Out: the server's answer, and its
//! connection where it changed to a WebSocket.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{Rewritten, Server, scrubbed};
use crate::control::outbound::{Target, failed};

/// What is read of the server ahead of the client. hyper takes no less.
const BUFFER: usize = 8 << 10;
/// Longest text that is handed on, in bytes: the server's own are a line.
const MAX_TEXT: usize = 4096;

/// A connection to the server.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What the server says.
pub(super) enum Answer {
    /// No WebSocket: a code and a text.
    Refused(StatusCode, String),
    /// A WebSocket: the headers of its handshake, and what comes behind them.
    Open(HeaderMap, Upgraded),
}

/// Asks the server what a client asked. Gives up when the caller does.
pub(super) async fn ask(
    server: &Server,
    rewritten: &Rewritten,
    client: Option<IpAddr>,
) -> Result<Answer, String> {
    let target = Target::of(&server.0.base)?;
    let base: Uri = server.0.base.parse().map_err(|_| "no address")?;
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await;
    let stream = stream.map_err(|err| failed("no connection", err))?;
    // Signalling is a few small frames, each of which somebody waits for.
    let _ = stream.set_nodelay(true);
    let stream: Box<dyn Stream> = match &server.0.tls {
        None => Box::new(stream),
        Some(tls) => {
            let name = ServerName::try_from(target.host.clone());
            let name = name.map_err(|err| failed("its name has no certificate", err))?;
            let stream = tls.connect(name, stream).await;
            Box::new(stream.map_err(|err| failed("tls", err))?)
        }
    };
    let request = request(&base, rewritten, client)?;
    let handshake = hyper::client::conn::http1::Builder::new()
        .max_buf_size(BUFFER)
        .handshake(TokioIo::new(stream))
        .await;
    let broken = |err: hyper::Error| failed("it did not answer in HTTP", err);
    let (mut sender, connection) = handshake.map_err(broken)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        read(response, rewritten.upgrades).await
    };
    let connection = connection.with_upgrades();
    tokio::pin!(answer, connection);
    tokio::select! {
        answer = &mut answer => answer,
        // It has handed its socket on, or nothing more comes.
        _ = &mut connection => answer.await,
    }
}

fn request(
    base: &Uri,
    rewritten: &Rewritten,
    client: Option<IpAddr>,
) -> Result<Request<Empty<Bytes>>, String> {
    let below = base.path().trim_end_matches('/');
    let path: Uri = format!("{below}{}", rewritten.target)
        .parse()
        .map_err(|_| "the path cannot be sent")?;
    let authority = base.authority().ok_or("it has no host")?;
    let host = HeaderValue::from_str(authority.as_str());
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = path;
    *request.headers_mut() = rewritten.headers.clone();
    let headers = request.headers_mut();
    headers.insert(HOST, host.map_err(|_| "its host cannot be sent")?);
    if let Some(client) = client {
        // The server chooses regions and writes statistics by it.
        let client = HeaderValue::from_str(&client.to_string());
        headers.insert("x-forwarded-for", client.map_err(|_| "no address")?);
    }
    Ok(request)
}

async fn read(response: Response<Incoming>, upgrades: bool) -> Result<Answer, String> {
    let code = response.status();
    if code == StatusCode::SWITCHING_PROTOCOLS {
        if !upgrades {
            return Err("it changes the protocol, and nobody asked for that".to_owned());
        }
        let headers = response.headers().clone();
        let upgraded = hyper::upgrade::on(response).await;
        let upgraded = upgraded.map_err(|err| failed("no WebSocket", err))?;
        return Ok(Answer::Open(headers, upgraded));
    }
    let is_empty = response
        .headers()
        .get(CONTENT_LENGTH)
        .is_some_and(|length| length == "0");
    let text = match is_empty {
        true => Bytes::new(),
        false => {
            let body = Limited::new(response.into_body(), MAX_TEXT).collect().await;
            body.map(http_body_util::Collected::to_bytes)
                .unwrap_or_default()
        }
    };
    let text = scrubbed(code, &String::from_utf8_lossy(&text));
    Ok(Answer::Refused(code, text))
}
