//! The three calls of LiveKit's Ingress service that are needed (Twirp,
//! https://twitchtv.github.io/twirp/docs/spec_v7.html: protobuf by POST). Nothing is tried twice here.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use livekit_protocol as lk;
use prost::Message;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::base::clock::Clock;
use crate::base::outbound::Target;
use crate::livekit::Server;
use crate::livekit::token::Service;

/// From a call to the end of its answer. A server without an Ingress worker waits for one for some twenty
/// seconds before it says so.
const DEADLINE: Duration = Duration::from_secs(30);
/// Longest answer, bytes: a room has a handful of ingresses.
const MAX_ANSWER: usize = 1 << 20;
/// Longest sentence of the server that is repeated, characters.
const MAX_SENTENCE: usize = 200;
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/protobuf");

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// There was no answer.
    #[error("the LiveKit server cannot be reached: {0}")]
    Unreachable(String),
    /// There was none in time.
    #[error("the LiveKit server did not answer within {DEADLINE:?}")]
    Timeout,
    /// It has other credentials.
    #[error("the LiveKit server refuses the API key or its secret")]
    Credentials,
    /// It says no.
    #[error("the LiveKit server says {code}: {message}")]
    Refused {
        /// A word of Twirp's.
        code: String,
        /// A sentence of the server's.
        message: String,
    },
    /// It cannot be read.
    #[error("the LiveKit server answers what cannot be read ({0})")]
    Unreadable(u16),
}

/// A refusal of Twirp's.
#[derive(Deserialize)]
struct Refusal {
    code: String,
    #[serde(default)]
    msg: String,
}

/// The service of a server.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) server: Server,
    pub(super) tls: Option<TlsConnector>,
    pub(super) clock: Clock,
}

impl Client {
    pub(super) async fn create(
        &self,
        new: &lk::CreateIngressRequest,
    ) -> Result<lk::IngressInfo, Error> {
        self.call("CreateIngress", new).await
    }

    pub(super) async fn of_room(&self, room: &str) -> Result<Vec<lk::IngressInfo>, Error> {
        let request = lk::ListIngressRequest {
            room_name: room.to_owned(),
            ..lk::ListIngressRequest::default()
        };
        let list: lk::ListIngressResponse = self.call("ListIngress", &request).await?;
        Ok(list.items)
    }

    pub(super) async fn delete(&self, id: &str) -> Result<(), Error> {
        let request = lk::DeleteIngressRequest {
            ingress_id: id.to_owned(),
        };
        let gone: Result<lk::IngressInfo, Error> = self.call("DeleteIngress", &request).await;
        gone.map(drop)
    }

    async fn call<T: Message + Default>(
        &self,
        method: &str,
        message: &impl Message,
    ) -> Result<T, Error> {
        let called = tokio::time::timeout(DEADLINE, self.exchange(method, message));
        let (status, body) = called.await.map_err(|_| Error::Timeout)??;
        if status.is_success() {
            return T::decode(body).map_err(|_| Error::Unreadable(status.as_u16()));
        }
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            return Err(Error::Credentials);
        }
        let refusal = serde_json::from_slice::<Refusal>(&body);
        let refusal = refusal.map_err(|_| Error::Unreadable(status.as_u16()))?;
        let plain = |text: &str| -> String {
            let plain = text.chars().filter(|char| !char.is_control());
            plain.take(MAX_SENTENCE).collect()
        };
        Err(Error::Refused {
            code: plain(&refusal.code),
            message: plain(&refusal.msg),
        })
    }

    async fn exchange(
        &self,
        method: &str,
        message: &impl Message,
    ) -> Result<(StatusCode, Bytes), Error> {
        let unreachable = |err: &dyn std::fmt::Display| Error::Unreachable(err.to_string());
        let url = format!("{}/twirp/livekit.Ingress/{method}", self.server.http_url());
        let target = Target::of(&url).map_err(|err| unreachable(&err))?;
        let service = Service {
            ingress_admin: true,
            ..Service::default()
        };
        let token = self.server.request_token(&service, self.clock.wall());
        let token = token.map_err(|err| unreachable(&err))?;
        let place = (target.host.as_str(), target.port);
        // The server is a setting: wherever it is, it is meant.
        let stream = TcpStream::connect(place).await;
        let stream = stream.map_err(|err| unreachable(&err))?;
        let body = Bytes::from(message.encode_to_vec());
        let mut request = target.request(Method::POST, body);
        let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        let mut bearer = bearer.map_err(|err| unreachable(&err))?;
        bearer.set_sensitive(true);
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, PROTOBUF);
        headers.insert(ACCEPT, PROTOBUF);
        headers.insert(AUTHORIZATION, bearer);
        let read = |response: Response<Incoming>| async {
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            body.map(|body| (head.status, body.to_bytes()))
        };
        let answer = target.exchange(stream, self.tls.as_ref(), request, read);
        let answer = answer.await.map_err(|err| unreachable(&err))?;
        answer.map_err(|err| unreachable(&err))
    }
}
