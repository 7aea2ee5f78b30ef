//! Requests whose caller is known. In: a request. Out: whose channels it may see, its parameters and its
//! body; or 401, before anything else is looked at (contract, channels, section 1, order of checks).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, header};

use super::Error;
use super::body::check_line;
use crate::base::secret::Secret;
use crate::control::{State, auth};
use crate::store::{Application, Channel};

/// Bytes of a request's body. The largest that is useful is a message with its tags, all escaped.
pub(in crate::control) const MAX_BODY_BYTES: usize = 16 << 10;
/// Until a body is there. It comes with its request, in one or a few packets.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// For what is done in the media plane: it is decided at once, and written down.
const LIVE_DEADLINE: Duration = Duration::from_secs(5);

/// Whose channels a caller may see. Others are not there for it.
#[derive(Clone, Debug)]
enum Scope {
    /// Those of one application.
    Application(Arc<Application>),
    /// All.
    Operator,
}

/// A request whose caller is known.
pub(in crate::control) struct Call {
    pub(in crate::control) state: State,
    scope: Scope,
    parts: Parts,
    body: Body,
}

/// A call by an application, with its credentials.
pub(in crate::control) struct ByApplication(pub(in crate::control) Call);

/// A call by an operator.
pub(in crate::control) struct ByOperator(pub(in crate::control) Call);

impl FromRequest<State> for ByApplication {
    type Rejection = Error;

    async fn from_request(request: Request, state: &State) -> Result<ByApplication, Error> {
        let (parts, body) = request.into_parts();
        let application = credentials(&parts.headers)
            .and_then(|(id, secret)| state.setup().store.authenticate(&id, secret.expose()))
            .ok_or(Error::Unauthorized)?;
        // Deletions have no such answer (contract, channels, section 1).
        if parts.method != Method::DELETE {
            let now = state.setup().clock.monotonic();
            let writes = parts.method == Method::PUT;
            state.limits().take(&application.id, writes, now)?;
        }
        Ok(ByApplication(Call {
            state: state.clone(),
            scope: Scope::Application(application),
            parts,
            body,
        }))
    }
}

impl FromRequest<State> for ByOperator {
    type Rejection = Error;

    async fn from_request(request: Request, state: &State) -> Result<ByOperator, Error> {
        let (parts, body) = request.into_parts();
        if !auth::is_operator(state, &parts.headers) {
            return Err(Error::NoOperator);
        }
        Ok(ByOperator(Call {
            state: state.clone(),
            scope: Scope::Operator,
            parts,
            body,
        }))
    }
}

/// User and password of Basic authentication (RFC 7617).
fn credentials(headers: &HeaderMap) -> Option<(String, Secret)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), Secret::new(password)))
}

impl Call {
    /// The application that calls; `None` for an operator.
    pub(in crate::control) fn application(&self) -> Option<&Arc<Application>> {
        match &self.scope {
            Scope::Application(application) => Some(application),
            Scope::Operator => None,
        }
    }

    /// A parameter of the path, decoded: `%23` is a `#` of an id, and `%2F` separates nothing.
    pub(in crate::control) async fn parameter(&mut self, name: &str) -> Result<String, Error> {
        let path = Path::<Vec<(String, String)>>::from_request_parts(&mut self.parts, &self.state);
        let bad = |_| Error::Bad("the path is not percent-encoded UTF-8".to_owned());
        let Path(parameters) = path.await.map_err(bad)?;
        let found = parameters.into_iter().find(|(key, _)| key == name);
        Ok(found.expect("the route has the parameter").1)
    }

    /// The channel that a parameter of the path names, by id or alias.
    pub(in crate::control) async fn channel(&mut self, name: &str) -> Result<Arc<Channel>, Error> {
        let id = self.parameter(name).await?;
        let store = &self.state.setup().store;
        let found = match &self.scope {
            Scope::Application(application) => store.known_channel(&application.id, &id),
            Scope::Operator => store.known_one_channel(&id)?,
        };
        found.ok_or(Error::NotFound("channel"))
    }

    /// What came before the body.
    pub(in crate::control) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The parameters behind the path.
    pub(in crate::control) async fn query(&mut self) -> Result<Parameters, Error> {
        Parameters::of(&mut self.parts, &self.state).await
    }

    /// The body, which is read by those who expect one only: clients send a content type with DELETE, too.
    pub(in crate::control) async fn body(&mut self) -> Result<Bytes, Error> {
        whole(&self.parts.headers, std::mem::take(&mut self.body)).await
    }

    /// Host by which the caller knows this gateway: of the published address, else of the request.
    pub(super) fn host(&self) -> String {
        let published = self.state.setup().public_url.as_deref();
        let published = published.and_then(|url| url.parse::<http::Uri>().ok());
        let published = published.and_then(|uri| Some(uri.host()?.to_owned()));
        let asked = || {
            let header = self.parts.headers.get(header::HOST);
            let header = header.and_then(|value| value.to_str().ok());
            let host = header.and_then(|text| text.parse::<http::uri::Authority>().ok());
            let host = host.or_else(|| self.parts.uri.authority().cloned());
            host.map(|host| host.host().to_owned())
        };
        published
            .or_else(asked)
            .unwrap_or_else(|| "localhost".to_owned())
    }
}

/// All of a body, bounded in size and time. Every body is read by this: a connection on which one is waited
/// for is not closed for its silence.
pub(in crate::control) async fn whole(headers: &HeaderMap, body: Body) -> Result<Bytes, Error> {
    whole_within(headers, body, MAX_BODY_BYTES).await
}

/// The same with a limit of its own.
pub(in crate::control) async fn whole_within(
    headers: &HeaderMap,
    body: Body,
    most: usize,
) -> Result<Bytes, Error> {
    let too_large = || Error::TooLarge(format!("the body is above {most} bytes"));
    let declared = headers.get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|bytes| bytes > most as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_DEADLINE, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            let error = error.into_inner();
            match error.is::<http_body_util::LengthLimitError>() {
                true => Err(too_large()),
                false => Err(Error::Bad("the body was cut off".to_owned())),
            }
        }
        Err(_) => Err(Error::Bad(format!(
            "the body did not come within {BODY_DEADLINE:?}"
        ))),
    }
}

impl State {
    /// Does something to its end, also when the caller does not wait for it: what is half done would
    /// stay so.
    pub(in crate::control) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let work = self.setup().tasks.spawn(work);
        // A panic in there was logged as one.
        work.await.unwrap_or(Err(Error::Internal))
    }

    /// The same for what is done in the media plane, for which nobody waits long.
    pub(in crate::control) async fn within_deadline<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let work = self.to_the_end(work);
        let done = tokio::time::timeout(LIVE_DEADLINE, work).await;
        done.unwrap_or(Err(Error::TimeExceeded))
    }
}

/// Parameters of a query.
#[derive(Debug)]
pub(in crate::control) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads them from a request.
    pub(in crate::control) async fn of(
        parts: &mut Parts,
        state: &State,
    ) -> Result<Parameters, Error> {
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let bad = |_| Error::Bad("the query cannot be read".to_owned());
        let Query(pairs) = query.map_err(bad)?;
        Ok(Parameters(pairs))
    }

    /// The value of a parameter, which may be there once.
    pub(in crate::control) fn text(&self, name: &str) -> Result<Option<&str>, Error> {
        let mut values = self.0.iter().filter(|(key, _)| key == name);
        let value = values.next().map(|(_, value)| value.as_str());
        match values.next() {
            Some(_) => Err(Error::Bad(format!("{name} is there twice"))),
            None => Ok(value),
        }
    }

    /// The same, of one line of bounded length.
    pub(in crate::control) fn line(&self, name: &str) -> Result<Option<&str>, Error> {
        let text = self.text(name)?;
        text.map_or(Ok(()), |text| check_line(name, text))?;
        // What stands for bytes that are no character.
        match text.is_some_and(|text| text.contains('\u{fffd}')) {
            true => Err(Error::Bad(format!("{name} is not UTF-8"))),
            false => Ok(text),
        }
    }

    /// A number of 0 or more; what is above every bound is taken as the largest one.
    pub(in crate::control) fn count(&self, name: &str) -> Result<Option<u64>, Error> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match digits {
            true => Ok(Some(text.parse().unwrap_or(u64::MAX))),
            false => Err(Error::Bad(format!(
                "{name} is not a whole number of 0 or more"
            ))),
        }
    }

    /// How many of a list are asked for: `default` without a word, `most` at most.
    pub(in crate::control) fn limit(&self, default: usize, most: usize) -> Result<usize, Error> {
        match self.count("limit")? {
            None => Ok(default),
            Some(0) => Err(Error::Bad("limit is 0".to_owned())),
            Some(limit) => {
                let limit = usize::try_from(limit).ok().filter(|limit| *limit <= most);
                limit.ok_or(Error::LimitTooLarge(most))
            }
        }
    }
}
