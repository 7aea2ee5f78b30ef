//! Requests to `/api`, and who asks. In: a request. Out: its tenant, its user, its parameters and its body;
//! or 401, before anything else is looked at (contract, broadcasts, section 1.1).
//!
//! A credential that is sent must be right, also where none is needed. A signature is checked over the
//! bytes of the body as they came.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Path, Request};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, header};

use super::signature::Signed;
use super::{Error, throttle};
use crate::base::network::ClientAddress;
use crate::control::State;
use crate::control::pcast::call::{MAX_BODY_BYTES, Parameters, whole_within};
use crate::store::{Application, User};

/// Calls that a client makes by the clock as long as it is on air, and sockets: the limit does not count them
/// (decision B-16). So with pieces of one upload, which has bounds of its own.
const UNCOUNTED: [&str; 4] = [
    "/api/sessions/{id}/heartbeat",
    "/api/broadcasts/{id}/viewer-count",
    "/ws/streams/{id}/chat",
    "/api/uploads/{uploadId}",
];

/// Bytes of header fields: credentials and what proxies add, twice over.
const MAX_HEAD_BYTES: usize = 8 << 10;
/// The one path with large bodies: address books.
pub(super) const CONTACTS_SYNC: &str = "/api/contacts/sync";
/// Bytes of an address book: two hundred for each contact.
const MAX_CONTACTS_BYTES: usize = 1 << 20;

/// Who asks.
#[derive(Clone, Debug)]
pub(in crate::control) struct Caller {
    /// Whose data it may see: that of its key, of its user, or else the first application.
    pub(in crate::control) tenant: Arc<Application>,
    /// Whether it showed an API key.
    pub(in crate::control) has_key: bool,
    /// Whose bearer token it showed.
    pub(in crate::control) user: Option<Arc<User>>,
    /// Whether it showed the admin key.
    pub(in crate::control) is_operator: bool,
}

impl Caller {
    /// Whether it showed no credential at all.
    pub(in crate::control) fn is_anonymous(&self) -> bool {
        !self.has_key && self.user.is_none() && !self.is_operator
    }
}

/// A request whose credentials, if there were any, are right.
pub(in crate::control) struct Call {
    pub(in crate::control) state: State,
    pub(in crate::control) caller: Caller,
    parts: Parts,
    body: Content,
}

/// The body, which is read before its time where it is signed.
enum Content {
    Coming(Body),
    Read(Bytes),
}

/// A call with an API key.
pub(in crate::control) struct ByClient(pub(in crate::control) Call);

/// A call with a user's token.
pub(in crate::control) struct ByUser(
    pub(in crate::control) Call,
    pub(in crate::control) Arc<User>,
);

impl FromRequest<State> for Call {
    type Rejection = Error;

    async fn from_request(request: Request, state: &State) -> Result<Call, Error> {
        let (parts, body) = request.into_parts();
        let fields = parts.headers.iter();
        let bytes: usize = fields
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        if bytes > MAX_HEAD_BYTES {
            return Err(Error::Head(MAX_HEAD_BYTES));
        }
        let mut content = Content::Coming(body);
        let client = client(&parts.headers, state)?;
        if let Some(signature) = only(&parts.headers, "x-signature", &Error::Signature)? {
            let client = client.as_ref().ok_or(Error::Signature)?;
            let timestamp = only(&parts.headers, "x-timestamp", &Error::Signature)?;
            let timestamp = timestamp.ok_or(Error::Signature)?;
            let Content::Coming(body) = content else {
                unreachable!("nobody has read it");
            };
            let most = most_bytes(parts.uri.path());
            let body = whole_within(&parts.headers, body, most).await?;
            let target = parts.uri.path_and_query();
            let signed = Signed {
                method: parts.method.as_str(),
                target: target.map_or("/", |target| target.as_str()),
                body: &body,
                timestamp,
            };
            if !signed.is_by(&client.secret, signature, state.setup().clock.wall()) {
                return Err(Error::Signature);
            }
            content = Content::Read(body);
        }
        let admin_key = &state.setup().admin_key;
        let wrong = Error::Unauthorized("the admin key is wrong");
        let has_admin_key = match only(&parts.headers, "x-admin-key", &wrong)? {
            Some(key) if !admin_key.matches(key) => return Err(wrong),
            key => key.is_some(),
        };
        let token = bearer(&parts.headers)?;
        let is_operator = has_admin_key || token.is_some_and(|token| admin_key.matches(token));
        let user = match token.filter(|token| !admin_key.matches(token)) {
            Some(token) => Some(user(token, client.as_deref(), state).await?),
            None => None,
        };
        let tenant = match (&client, &user) {
            (Some(client), _) => client.clone(),
            (None, Some(user)) => tenant(&user.application_id, state)?,
            (None, None) => tenant(&state.setup().first_application, state)?,
        };
        if let Some(client) = &client {
            count(client, &parts, state)?;
        }
        Ok(Call {
            state: state.clone(),
            caller: Caller {
                tenant,
                has_key: client.is_some(),
                user,
                is_operator,
            },
            parts,
            body: content,
        })
    }
}

impl FromRequest<State> for ByClient {
    type Rejection = Error;

    async fn from_request(request: Request, state: &State) -> Result<ByClient, Error> {
        let call = Call::from_request(request, state).await?;
        match call.caller.has_key {
            true => Ok(ByClient(call)),
            false => Err(Error::Key),
        }
    }
}

impl FromRequest<State> for ByUser {
    type Rejection = Error;

    async fn from_request(request: Request, state: &State) -> Result<ByUser, Error> {
        let call = Call::from_request(request, state).await?;
        let user = call.caller.user.clone();
        let user = user.ok_or(Error::Unauthorized("a user's token is needed"))?;
        Ok(ByUser(call, user))
    }
}

/// The client of the API key, if there is one.
fn client(headers: &HeaderMap, state: &State) -> Result<Option<Arc<Application>>, Error> {
    let Some(key) = only(headers, "x-api-key", &Error::Key)? else {
        return Ok(None);
    };
    let client = state.setup().store.known_client(key);
    client.map(Some).ok_or(Error::Key)
}

async fn user(
    token: &str,
    client: Option<&Application>,
    state: &State,
) -> Result<Arc<User>, Error> {
    let found = state.setup().store.user_of_bearer(token).await?;
    let of_client = |user: &User| client.is_none_or(|client| client.id == user.application_id);
    let user = found.filter(of_client);
    user.map(Arc::new)
        .ok_or(Error::Unauthorized("the token is not, or no longer, good"))
}

fn tenant(id: &str, state: &State) -> Result<Arc<Application>, Error> {
    let known = state.setup().store.known_application(id);
    known.ok_or(Error::NotFound("application"))
}

fn count(client: &Application, parts: &Parts, state: &State) -> Result<(), Error> {
    let route = parts.extensions.get::<MatchedPath>();
    if route.is_some_and(|route| UNCOUNTED.contains(&route.as_str())) {
        return Ok(());
    }
    let limit = client.requests_per_hour;
    let limit = limit.unwrap_or(super::limit::REQUESTS_PER_HOUR);
    let now = state.setup().clock.monotonic();
    state.hours().take(&client.id, limit, now)
}

/// Bytes of a body, at most.
fn most_bytes(path: &str) -> usize {
    match path {
        CONTACTS_SYNC => MAX_CONTACTS_BYTES,
        _ => MAX_BODY_BYTES,
    }
}

/// The token of `Authorization`, in which nothing else is known.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let refused = Error::Unauthorized("Authorization is not a bearer token");
    let Some(value) = only(headers, header::AUTHORIZATION.as_str(), &refused)? else {
        return Ok(None);
    };
    let (scheme, token) = value.split_once(' ').ok_or_else(|| refused.clone())?;
    match scheme.eq_ignore_ascii_case("bearer") {
        true => Ok(Some(token.trim())),
        false => Err(refused),
    }
}

/// The value of a header that may be there once, as text: of two credentials nobody could say which counts.
fn only<'a>(headers: &'a HeaderMap, name: &str, refused: &Error) -> Result<Option<&'a str>, Error> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(http::HeaderValue::to_str).transpose();
    match values.next() {
        Some(_) => Err(refused.clone()),
        None => value.map_err(|_| refused.clone()),
    }
}

impl Call {
    /// A parameter of the path, decoded.
    pub(in crate::control) async fn parameter(&mut self, name: &str) -> Result<String, Error> {
        let path = Path::<Vec<(String, String)>>::from_request_parts(&mut self.parts, &self.state);
        let bad = |_| Error::Bad("the path is not percent-encoded UTF-8".to_owned());
        let Path(parameters) = path.await.map_err(bad)?;
        let found = parameters.into_iter().find(|(key, _)| key == name);
        Ok(found.expect("the route has the parameter").1)
    }

    /// The parameters behind the path.
    pub(in crate::control) async fn query(&mut self) -> Result<Parameters, Error> {
        Ok(Parameters::of(&mut self.parts, &self.state).await?)
    }

    /// Takes an API key or a user's token that did not come in a header: browsers send none with the handshake
    /// of a WebSocket.
    pub(in crate::control) async fn show(&mut self, credential: &str) -> Result<(), Error> {
        let caller = &mut self.caller;
        if credential.starts_with("pk_") {
            let client = self.state.setup().store.known_client(credential);
            let client = client.ok_or(Error::Key)?;
            // What else it showed is of one tenant, and stays so.
            if (caller.has_key || caller.user.is_some()) && caller.tenant.id != client.id {
                return Err(Error::Key);
            }
            caller.tenant = client;
            caller.has_key = true;
            return Ok(());
        }
        let client = caller.has_key.then_some(&*caller.tenant);
        let user = user(credential, client, &self.state).await?;
        caller.tenant = tenant(&user.application_id, &self.state)?;
        caller.user = Some(user);
        Ok(())
    }

    /// What came before the body.
    pub(in crate::control) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The bearer token that came with it.
    pub(in crate::control) fn bearer(&self) -> Option<&str> {
        bearer(&self.parts.headers).ok().flatten()
    }

    /// Where the request comes from, as far as proxies are believed.
    pub(in crate::control) fn address(&self) -> Option<std::net::IpAddr> {
        let address = self.parts.extensions.get::<ClientAddress>();
        address.map(|ClientAddress(address)| *address)
    }

    /// Addresses as this caller can use them.
    pub(in crate::control) fn bases(&self) -> super::address::Bases {
        super::address::Bases::of(&self.state, &self.parts)
    }

    /// Counts what may be made so often from an address, or from a network that one host has for itself.
    pub(in crate::control) fn count_by_address(&self, what: &str, limit: u32) -> Result<(), Error> {
        let network = self.address().map(throttle::network);
        let network = network.map_or(String::new(), |network| network.to_string());
        let now = self.state.setup().clock.monotonic();
        let key = format!("{what} {network}");
        self.state.strangers().take(&key, limit, now)
    }

    /// The whole body, within the limit of its path.
    pub(in crate::control) async fn body(&mut self) -> Result<Bytes, Error> {
        match std::mem::replace(&mut self.body, Content::Read(Bytes::new())) {
            Content::Read(bytes) => Ok(bytes),
            Content::Coming(body) => {
                let most = most_bytes(self.parts.uri.path());
                Ok(whole_within(&self.parts.headers, body, most).await?)
            }
        }
    }

    /// The body for who reads it piece by piece; without a limit, unless it was signed.
    pub(in crate::control) fn unread_body(&mut self) -> Body {
        match std::mem::replace(&mut self.body, Content::Read(Bytes::new())) {
            Content::Read(bytes) => Body::from(bytes),
            Content::Coming(body) => body,
        }
    }
}
