//! Requests to `/api`, and who asks. In: a request. Out: its tenant, its user, its parameters and its body;
//! or 401, before anything else is looked at (contract, broadcasts, section 1.1).
//!
//! A credential that is sent must be right, also where none is needed. A signature is checked over the
//! bytes of the body as they came.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, header};

use super::Error;
use super::signature::Signed;
use crate::base::network::ClientAddress;
use crate::control::pcast::call::{MAX_BODY_BYTES, Parameters, whole_within};
use crate::control::{State, auth};
use crate::store::{Application, User};

/// Calls that a client makes by the clock as long as it is on air: the limit does not count them (decision
/// B-16).
const UNCOUNTED: [&str; 2] = ["/heartbeat", "/viewer-count"];

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
        let mut content = Content::Coming(body);
        let client = client(&parts.headers, state)?;
        if let Some(signature) = text(&parts.headers, "x-signature")? {
            let client = client.as_ref().ok_or(Error::Signature)?;
            let timestamp = text(&parts.headers, "x-timestamp")?.ok_or(Error::Signature)?;
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
        let is_operator = auth::has_admin_key(&parts.headers, &state.setup().admin_key);
        if parts.headers.contains_key("x-admin-key") && !is_operator {
            return Err(Error::Unauthorized("the admin key is wrong"));
        }
        let user = match bearer(&parts.headers).filter(|_| !is_operator) {
            Some(token) => Some(user(token, client.as_deref(), state).await?),
            None => None,
        };
        let tenant = match (&client, &user) {
            (Some(client), _) => client.clone(),
            (None, Some(user)) => tenant(&user.application_id, state)?,
            (None, None) => tenant(&state.setup().first_application, state)?,
        };
        if let Some(client) = &client {
            count(client, parts.uri.path(), state)?;
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
    if !headers.contains_key("x-api-key") {
        return Ok(None);
    }
    let key = text(headers, "x-api-key")
        .ok()
        .flatten()
        .ok_or(Error::Key)?;
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

fn count(client: &Application, path: &str, state: &State) -> Result<(), Error> {
    if UNCOUNTED.iter().any(|end| path.ends_with(end)) {
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

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Error> {
    let value = headers.get(name).map(http::HeaderValue::to_str);
    value
        .transpose()
        .map_err(|_| Error::Bad(format!("the header {name} is no text")))
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
            caller.tenant = client.ok_or(Error::Key)?;
            caller.has_key = true;
            return count(&caller.tenant, self.parts.uri.path(), &self.state);
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
        bearer(&self.parts.headers)
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

    /// Counts what somebody without credentials makes, by network: of IPv6, a host has a whole /64.
    pub(in crate::control) fn count_by_address(&self, what: &str, limit: u32) -> Result<(), Error> {
        let network = match self.address() {
            Some(IpAddr::V6(address)) => {
                IpAddr::V6((u128::from(address) >> 64 << 64).into()).to_string()
            }
            Some(address) => address.to_string(),
            None => String::new(),
        };
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
