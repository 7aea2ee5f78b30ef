//! Requests of WHIP: an address that was looked up and checked for each of them, redirects within a bound,
//! answers of a bounded size.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Error;
use crate::base::destination::{self, Private, System};
use crate::base::outbound::{NoAnswer, Target};
use crate::base::secret::Secret;

/// From the look-up of the name to the end of the answer, redirects included.
const DEADLINE: Duration = Duration::from_secs(10);
/// A connection to one of a name's addresses; past it the next one is tried.
const CONNECT_DEADLINE: Duration = Duration::from_secs(4);
/// Redirects that are followed. RFC 9725 §4.6: endpoints spread load by them.
const MAX_REDIRECTS: usize = 3;
/// Longest session description that is taken, bytes. One with many codecs has ten thousand.
const MAX_BODY: usize = 64 * 1024;
/// `Link` headers that are read.
const MAX_LINKS: usize = 8;

/// A request.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Whole; it may hold a key.
    pub(super) url: &'a str,
    pub(super) token: Option<&'a Secret>,
    /// A session description, or nothing.
    pub(super) body: Bytes,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Whole address of the session, if one was named.
    pub(super) location: Option<Secret>,
    pub(super) links: Vec<String>,
    pub(super) body: Bytes,
}

/// How requests go out.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) private: Private,
    pub(super) tls: Option<TlsConnector>,
}

impl Client {
    /// Sends a request, to where redirects lead.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Answer, Error> {
        let sent = tokio::time::timeout(DEADLINE, self.follow(call)).await;
        sent.map_err(|_| Error::Timeout(DEADLINE))?
    }

    async fn follow(&self, call: &Call<'_>) -> Result<Answer, Error> {
        let mut url = call.url.to_owned();
        let mut token = call.token;
        for _ in 0..=MAX_REDIRECTS {
            let target = Target::of(&url).map_err(Error::Address)?;
            let answer = self.exchange(call, &target, token).await?;
            // RFC 9110 §15.4: the two that keep method and body.
            let redirects = [
                StatusCode::TEMPORARY_REDIRECT,
                StatusCode::PERMANENT_REDIRECT,
            ];
            if !redirects.contains(&answer.status) {
                return Ok(answer);
            }
            let location = answer
                .location
                .ok_or(Error::Redirect("without an address"))?;
            let next = Target::of(location.expose()).map_err(Error::Address)?;
            if target.is_tls && !next.is_tls {
                return Err(Error::Redirect("from https to http"));
            }
            // A token is for whom it was given to, or whom that one names under TLS.
            let same = (&next.host, next.port) == (&target.host, target.port);
            token = token.filter(|_| same || next.is_tls && target.is_tls);
            url = location.expose().to_owned();
        }
        Err(Error::Redirect("more than three times"))
    }

    async fn exchange(
        &self,
        call: &Call<'_>,
        target: &Target,
        token: Option<&Secret>,
    ) -> Result<Answer, Error> {
        let place = (target.host.as_str(), target.port);
        let mut resolver = System::default();
        let addresses = destination::addresses(place, &self.private, &mut resolver);
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        let mut connection = None;
        for address in addresses.await? {
            let connect = tokio::time::timeout(CONNECT_DEADLINE, TcpStream::connect(address)).await;
            match connect.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    connection = Some(stream);
                    break;
                }
                Err(error) => failure = error,
            }
        }
        let connection = connection.ok_or(Error::Unreachable(failure))?;
        let mut request = target.request(call.method.clone(), call.body.clone());
        let headers = request.headers_mut();
        if !call.body.is_empty() {
            let sdp = HeaderValue::from_static("application/sdp");
            headers.insert(header::CONTENT_TYPE, sdp.clone());
            headers.insert(header::ACCEPT, sdp);
        }
        if let Some(token) = token {
            let value = HeaderValue::try_from(format!("Bearer {}", token.expose()));
            let mut value = value.map_err(|_| Error::Address("its token cannot be sent"))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let read = |response| read(response, target);
        let answer = target.exchange(connection, self.tls.as_ref(), request, read);
        answer.await.map_err(|err| match err {
            NoAnswer::Certificate(refusal) => Error::Certificate(refusal),
            NoAnswer::Failed(sentence) => Error::Http(sentence),
        })?
    }
}

async fn read(response: Response<Incoming>, target: &Target) -> Result<Answer, Error> {
    let (head, body) = response.into_parts();
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let location = head.headers.get(header::LOCATION).and_then(text);
    let links = head.headers.get_all(header::LINK).iter();
    let links = links.take(MAX_LINKS).filter_map(text).collect();
    let body = Limited::new(body, MAX_BODY).collect().await;
    let body = body.map_err(|err| Error::Http(format!("its answer: {err}")))?;
    Ok(Answer {
        status: head.status,
        location: location.map(|location| Secret::new(target.located(&location))),
        links,
        body: body.to_bytes(),
    })
}
