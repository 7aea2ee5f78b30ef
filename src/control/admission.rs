//! The admission service: an HTTP service of the operator's that is asked before a publish is accepted.
//! In: a publish whose key is known and whose channel was found. Out: what it may be, or a refusal.
//! One POST per publish.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use rustls::RootCertStore;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

use super::outbound::{self, Target, failed};
use crate::hub::{Admission, PublishRequest, Refusal};

/// From the question to the whole answer, the wait for a free place included: an encoder waits for it.
const DEADLINE: Duration = Duration::from_secs(2);
/// Longest body that is read of an answer, in bytes.
const MAX_BODY: usize = 16 * 1024;
/// Calls at a time. Past it a publish waits for its place, within the same deadline. Bounds sockets and
/// memory: 64 x 16 KiB of body and a TLS session each.
const MAX_CALLS: usize = 64;
/// Most capabilities and most tags of an answer, as many as a stream key may name.
const MAX_WORDS: usize = 32;
/// Longest word of an answer, in bytes.
const MAX_WORD: usize = 256;
/// Longest reason of an answer that reaches a log, in characters.
const MAX_REASON: usize = 200;

/// What happens while the service does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// The publish is refused.
    #[default]
    Refuse,
    /// The publish is accepted as it is.
    Allow,
}

/// Why there is no service to ask.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be called. It is not repeated: it may hold a password.
    #[error("the admission address is not usable: {0}")]
    Address(&'static str),
    /// No certificate is trusted, so none could be checked.
    #[error(
        "the admission address is https, and no trusted certificates were found on this machine"
    )]
    NoRoots,
    /// The TLS settings cannot be used.
    #[error("tls of the admission service: {0}")]
    Tls(#[from] rustls::Error),
}

/// Asks the service. Cloning shares it.
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
}

struct Shared {
    address: Target,
    tls: Option<TlsConnector>,
    on_failure: OnFailure,
    places: Semaphore,
}

/// What it is told. Never the key.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    channel_id: &'a str,
    alias: &'a str,
    application_id: &'a str,
    protocol: &'a str,
    address: String,
    capabilities: &'a [String],
    tags: &'a [String],
    /// The first 8 hex digits of the SHA-256, as logs name it.
    stream_key_fingerprint: String,
}

/// What it may say beside yes.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    capabilities: Option<Vec<String>>,
    tags: Option<Vec<String>>,
}

/// What it may say beside no.
#[derive(Deserialize)]
struct No {
    reason: String,
}

/// How a call ends that is no yes.
enum Outcome {
    /// It was asked, and it said no, or something that is no yes.
    Refused(String),
    /// It could not be asked, or could not answer.
    Failed(String),
}

impl Service {
    /// A service at `url`, `http://` or `https://`, whose certificate the machine trusts. Reads the machine's
    /// certificates: blocks for some milliseconds.
    pub fn new(url: &str, on_failure: OnFailure) -> Result<Service, Error> {
        let mut roots = RootCertStore::empty();
        if url.starts_with("https://") {
            roots = outbound::machine_roots();
            if roots.is_empty() {
                return Err(Error::NoRoots);
            }
        }
        Service::trusting(url, on_failure, roots)
    }

    /// The same with certificates to trust.
    pub fn trusting(
        url: &str,
        on_failure: OnFailure,
        roots: RootCertStore,
    ) -> Result<Service, Error> {
        let address = Target::of(url).map_err(Error::Address)?;
        let tls = match address.is_tls {
            true => Some(outbound::connector(roots)?),
            false => None,
        };
        Ok(Service {
            shared: Arc::new(Shared {
                address,
                tls,
                on_failure,
                places: Semaphore::new(MAX_CALLS),
            }),
        })
    }

    /// Asks whether an admitted publish may go ahead, and as what. `application_id` owns the channel.
    pub async fn ask(
        &self,
        request: &PublishRequest,
        application_id: &str,
        mut admission: Admission,
    ) -> Result<Admission, Refusal> {
        let question = Question {
            channel_id: &admission.channel_id,
            alias: &admission.alias,
            application_id,
            protocol: request.proto,
            address: request.peer.ip().to_canonical().to_string(),
            capabilities: &admission.capabilities,
            tags: &admission.tags,
            stream_key_fingerprint: request.key.fingerprint(),
        };
        let question = serde_json::to_vec(&question).expect("texts are JSON");
        let asked = tokio::time::timeout(DEADLINE, self.shared.call(question.into())).await;
        let late = |_| Err(Outcome::Failed("it did not answer within 2 s".to_owned()));
        match asked.unwrap_or_else(late) {
            Ok(answer) => {
                if let Some(capabilities) = answer.capabilities {
                    admission.capabilities = capabilities;
                }
                if let Some(tags) = answer.tags {
                    admission.tags = tags;
                }
                Ok(admission)
            }
            Err(Outcome::Refused(reason)) => {
                Err(Refusal::NotAllowed(format!("admission service: {reason}")))
            }
            Err(Outcome::Failed(reason)) => {
                self.shared.failed(request.peer, &admission, &reason)?;
                Ok(admission)
            }
        }
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = &self.shared.address.host;
        f.debug_struct("Service").field("host", host).finish()
    }
}

impl Shared {
    fn failed(&self, peer: SocketAddr, of: &Admission, reason: &str) -> Result<(), Refusal> {
        let (channel, host) = (of.channel_id.as_str(), self.address.host.as_str());
        match self.on_failure {
            OnFailure::Allow => {
                tracing::warn!(%peer, channel, host, reason, "published without admission");
                Ok(())
            }
            OnFailure::Refuse => {
                tracing::warn!(%peer, channel, host, reason, "admission service failed");
                Err(Refusal::NotAllowed(format!("admission service: {reason}")))
            }
        }
    }

    async fn call(&self, question: Bytes) -> Result<Answer, Outcome> {
        // Closed by nobody: it lives as long as the service.
        let _place = self.places.acquire().await;
        let address = (self.address.host.as_str(), self.address.port);
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(|err| Outcome::Failed(failed("it cannot be reached", err)))?;
        let (request, tls) = (self.address.post(question), self.tls.as_ref());
        let answer = self.address.exchange(stream, tls, request, judge).await;
        answer.map_err(|err| Outcome::Failed(err.to_string()))?
    }
}

/// What an answer says. Only 2xx is a yes; whether the service is at fault (5xx) or has decided makes a
/// difference where failures are allowed.
async fn judge(response: Response<Incoming>) -> Result<Answer, Outcome> {
    let (head, body) = response.into_parts();
    let is_json = head.headers.get(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.to_str().unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json")
    });
    let status = head.status;
    let body = match is_json && status != StatusCode::NO_CONTENT {
        true => read(body).await,
        // A page or a greeting: the code alone counts.
        false => Ok(Bytes::new()),
    };
    if status.is_success() {
        // It meant to say more than yes. What cannot be understood is no yes.
        return parse(&body.map_err(Outcome::Refused)?).map_err(Outcome::Refused);
    }
    let mut text = format!("it answered {}", status.as_u16());
    if status.is_redirection() {
        text.push_str(", and redirects are not followed");
    }
    let no = body
        .ok()
        .and_then(|body| serde_json::from_slice::<No>(&body).ok());
    if let Some(no) = no {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let reason: String = no.reason.chars().take(MAX_REASON).map(plain).collect();
        let _ = write!(text, ": {reason}");
    }
    Err(match status.is_server_error() {
        true => Outcome::Failed(text),
        false => Outcome::Refused(text),
    })
}

async fn read(body: Incoming) -> Result<Bytes, String> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(err) if err.is::<LengthLimitError>() => {
            Err(format!("its answer is longer than {MAX_BODY} bytes"))
        }
        Err(_) => Err("its answer broke off".to_owned()),
    }
}

fn parse(body: &[u8]) -> Result<Answer, String> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Answer::default());
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|err| {
        let (line, column) = (err.line(), err.column());
        format!("its answer is not what was expected (line {line}, column {column})")
    })?;
    let lists = [&answer.capabilities, &answer.tags];
    for words in lists.into_iter().flatten() {
        let bad = |word: &String| {
            let foreign = |c: char| c == ',' || c.is_control();
            word.is_empty() || word.len() > MAX_WORD || word.contains(foreign)
        };
        if words.len() > MAX_WORDS || words.iter().any(bad) {
            return Err(format!(
                "its answer names more than {MAX_WORDS} words, or one that is none"
            ));
        }
    }
    Ok(answer)
}

/// Entry for fuzzing: what an answer's body must survive.
pub fn fuzz_answer(bytes: &[u8]) {
    let _ = parse(bytes);
}

#[cfg(test)]
mod tests;
