//! Streaming (contract, broadcasts, section 5): who serves it, and tokens for LiveKit rooms. The room of a
//! broadcast is its stream id. Not here: what happens in rooms (`control/livekit`).

use axum::extract::State as Extract;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use http::StatusCode;
use http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;

use super::address::Bases;
use super::answer::{Answer, ok};
use super::broadcast::{self, BroadcastFields};
use super::cohost::{self, REMOVED};
use super::docs::{Conflicting, Lookup, Named, Sized, Usual};
use super::time::seconds;
use super::{Call, Error};
use crate::base::clock::Wall;
use crate::control::livekit::rooms::is_own;
use crate::control::livekit::webhook;
use crate::control::livekit::{OWN_IDENTITY, OWN_PARTICIPANTS, TOKEN_VALID_FOR};
use crate::control::pcast::Fields;
use crate::control::pcast::answer::json;
use crate::control::token::{LivekitGrant, invite};
use crate::control::{Side, State};
use crate::store::{Broadcast, CoHost};

/// Why there are no tokens, for who has to mend it.
pub(in crate::control) const NOT_CONFIGURED: &str = "LiveKit is not configured here: LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET are needed";

/// A way to watch.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamingProvider)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct Provider {
    /// `livekit` or `hls`.
    id: &'static str,
    /// For people.
    name: &'static str,
    /// The id in another shape.
    provider: RawValue,
    /// Whether it can be used. Clients use the first one that can.
    is_configured: bool,
    configuration: Configuration,
}

/// The id of a provider.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamingProviderId)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct RawValue {
    raw_value: &'static str,
}

/// How a provider is reached.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamingProviderConfiguration)]
pub(in crate::control) struct Configuration {
    /// Of LiveKit the same as `serverUrl` of a token; of HLS the base in front of
    /// `/{streamId}/index.m3u8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl Provider {
    fn new(id: &'static str, name: &'static str, url: Option<String>) -> Provider {
        Provider {
            id,
            name,
            provider: RawValue { raw_value: id },
            is_configured: url.is_some(),
            configuration: Configuration { url },
        }
    }
}

/// ICE servers.
#[derive(Serialize, ToSchema)]
#[schema(as = IceConfiguration)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct IceConfig {
    /// None of our own: a LiveKit server names its ones when somebody joins.
    #[schema(value_type = Vec<IceServer>)]
    ice_servers: [IceServer; 0],
}

/// An ICE server, as WebRTC has it.
#[derive(Serialize, ToSchema)]
#[schema(as = IceServer)]
pub(in crate::control) struct IceServer {
    urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
}

/// How the LiveKit server is.
#[derive(Serialize, ToSchema)]
#[schema(as = LivekitHealth)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct Health {
    /// `ok` or `unavailable`.
    status: &'static str,
    /// Always `livekit`.
    provider: &'static str,
    /// Where clients connect to.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(flatten)]
    trouble: Option<Trouble>,
}

/// What is wrong, as every refusal says it.
#[derive(Serialize, ToSchema)]
#[schema(as = LivekitTrouble)]
pub(in crate::control) struct Trouble {
    /// Always true.
    error: bool,
    /// A sentence.
    reason: String,
    /// Always false.
    success: bool,
    /// The same sentence.
    message: String,
}

/// Who wants to enter a room.
#[derive(ToSchema)]
#[schema(as = StreamingTokenRequest)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct TokenFields {
    /// Identity in the room; of a co-host its `userId`.
    #[schema(min_length = 1, max_length = 256)]
    user_id: String,
    /// `publisher`, `co_host` or `subscriber`; `subscriber` without it, `co_host` with an invite.
    role: Option<String>,
    /// Name for people.
    #[schema(max_length = 256)]
    user_name: Option<String>,
    /// What a co-host got when it joined.
    invite_token: Option<String>,
}

/// A token for a room.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamingToken)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct TokenView<'a> {
    /// Handed to the LiveKit SDK as it is.
    token: &'a str,
    /// The stream id.
    room: String,
    /// Where to connect to.
    server_url: String,
    /// When the token ends.
    #[schema(value_type = String, format = DateTime)]
    expires_at: String,
}

/// What somebody is in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Publisher,
    CoHost,
    Subscriber,
}

impl Role {
    fn of(word: &str) -> Result<Role, Error> {
        match word {
            "publisher" => Ok(Role::Publisher),
            "co_host" => Ok(Role::CoHost),
            "subscriber" => Ok(Role::Subscriber),
            _ => Err(Error::Bad(
                "role is not publisher, co_host or subscriber".to_owned(),
            )),
        }
    }

    /// What clients find out co-hosts by (decision B-49).
    fn metadata(self) -> &'static str {
        match self {
            Role::Publisher => r#"{"role":"publisher"}"#,
            Role::CoHost => r#"{"role":"co_host"}"#,
            Role::Subscriber => r#"{"role":"subscriber"}"#,
        }
    }
}

pub(super) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    use Side::Public;
    vec![
        ("/api/streaming/providers", Public, get(providers)),
        ("/api/streaming/ice-config", Public, get(ice_config)),
        ("/api/livekit/health", Public, get(health)),
        ("/api/livekit/webhook", Public, post(webhook::receive)),
        ("/api/streaming/sessions", Public, post(create)),
        ("/api/streaming/sessions/{id}/token", Public, post(token)),
    ]
}

#[utoipa::path(
    get, path = "/api/streaming/providers", tag = "streaming", operation_id = "listProviders",
    summary = "Ways to watch; the first one that is configured is to be used", security(()),
    responses((status = 200, description = "All of them.", body = inline(Vec<Provider>)), Usual),
)]
pub(in crate::control) async fn providers(call: Call) -> Answer {
    let livekit = call.state.setup().livekit.as_ref();
    let bases = call.bases();
    let livekit = livekit.map(|_| bases.signal_url());
    Ok(ok(&[
        Provider::new("livekit", "LiveKit", livekit),
        Provider::new("hls", "HLS", Some(bases.hls)),
    ]))
}

#[utoipa::path(
    get, path = "/api/streaming/ice-config", tag = "streaming", operation_id = "iceConfig",
    summary = "ICE servers beside those that a LiveKit server names", security(()),
    responses((status = 200, description = "All of them.", body = inline(IceConfig)), Usual),
)]
pub(in crate::control) async fn ice_config(_: Call) -> Answer {
    Ok(ok(&IceConfig { ice_servers: [] }))
}

#[utoipa::path(
    get, path = "/api/livekit/health", tag = "streaming", operation_id = "livekitHealth",
    summary = "Whether the LiveKit server answers and takes our credentials", security(()),
    responses((status = 200, description = "It does.", body = inline(Health)),
        (status = 503, description = "It does not, or there is none.", body = inline(Health))),
)]
pub(in crate::control) async fn health(Extract(state): Extract<State>, parts: Parts) -> Response {
    let setup = state.setup();
    let server = setup.livekit.as_ref();
    let found = match server {
        Some(server) => server.health(&setup.clock).await,
        None => return unavailable(None, NOT_CONFIGURED.to_owned()),
    };
    let url = Some(Bases::of(&state, &parts).signal_url());
    match found {
        Ok(()) => ok(&Health {
            status: "ok",
            provider: "livekit",
            url,
            trouble: None,
        }),
        Err(err) => unavailable(url, err.to_string()),
    }
}

fn unavailable(url: Option<String>, reason: String) -> Response {
    let health = Health {
        status: "unavailable",
        provider: "livekit",
        url,
        trouble: Some(Trouble {
            error: true,
            message: reason.clone(),
            reason,
            success: false,
        }),
    };
    json(StatusCode::SERVICE_UNAVAILABLE, &health)
}

#[utoipa::path(
    post, path = "/api/streaming/sessions", tag = "streaming", operation_id = "createStreamingSession",
    summary = "Create a streaming session, which is a broadcast", request_body = inline(BroadcastFields),
    security(("apiKey" = []), ("userToken" = []), ()),
    responses((status = 200, description = "It is there, and its stream key may be used.",
        body = inline(broadcast::view::Own<'_>)), Usual, Sized),
)]
pub(in crate::control) async fn create(call: Call) -> Answer {
    broadcast::answer_create(call).await
}

#[utoipa::path(
    post, path = "/api/streaming/sessions/{id}/token", tag = "streaming",
    operation_id = "sessionToken", summary = "A LiveKit access token for the room of a broadcast",
    request_body = inline(TokenFields), security(("apiKey" = []), ("adminKey" = [])), params(Named),
    responses((status = 200, description = "It opens the room for six hours.",
        body = inline(TokenView<'_>)), Usual, Lookup, Sized, Conflicting),
)]
pub(in crate::control) async fn token(mut call: Call) -> Answer {
    // Operators try it out with their own key (`/livekit-test`).
    if !(call.caller.has_key || call.caller.is_operator) {
        return Err(Error::Key);
    }
    let found = call.broadcast().await?;
    let body = call.body().await?;
    let mut fields = Fields::parse(&body)?.without_nulls();
    let user_id = fields.need_line("userId")?;
    if user_id.trim().is_empty() {
        return Err(Error::Bad("userId is empty".to_owned()));
    }
    check_identity(&user_id)?;
    let role = fields.line("role")?;
    let role = role.as_deref().map(Role::of).transpose()?;
    let user_name = fields.line("userName")?;
    let invite = fields.text("inviteToken")?;
    if found.status.is_over() {
        return Err(Error::Conflict(format!(
            "the session is {}: its room is closed",
            found.status.word()
        )));
    }
    let server = call.state.setup().livekit.as_ref();
    let server = server.ok_or(Error::Unavailable(NOT_CONFIGURED))?;
    let now = call.state.setup().clock.wall();
    let cohost = match &invite {
        Some(invite) => Some(invited(&call.state, &found, invite, &user_id, now).await?),
        None => {
            let store = &call.state.setup().store;
            store.cohost_of_user(found.id, &user_id).await?
        }
    };
    let role = role.unwrap_or(match invite {
        Some(_) => Role::CoHost,
        None => Role::Subscriber,
    });
    let is_removed = cohost.as_ref().is_some_and(|one| one.removed.is_some());
    if is_removed && role != Role::Subscriber {
        return Err(Error::NotAllowed(REMOVED));
    }
    let known_name = cohost.map(|cohost| cohost.user_name);
    let name = user_name.or(known_name);
    let room = found.stream_id.to_string();
    let grant = LivekitGrant {
        room: &room,
        identity: &user_id,
        name: name.as_deref(),
        metadata: Some(role.metadata()),
        can_publish: role != Role::Subscriber,
        can_subscribe: true,
        // Viewers react over it, too.
        can_publish_data: Some(true),
        max_participants: found
            .max_participants
            .map(|people| people.saturating_add(OWN_PARTICIPANTS)),
        valid_for: TOKEN_VALID_FOR,
    };
    let signed = server.token(&grant, now).map_err(|err| {
        tracing::error!(%err, "LiveKit token could not be signed");
        Error::Internal
    })?;
    call.state.make_room(&found);
    Ok(ok(&TokenView {
        token: signed.token.expose(),
        room,
        server_url: call.bases().signal_url(),
        expires_at: seconds(signed.expires),
    }))
}

/// Refuses an identity that would be taken for one of the gateway's own.
pub(super) fn check_identity(user_id: &str) -> Result<(), Error> {
    match is_own(user_id) {
        true => Err(Error::Bad(format!(
            "userId begins with {OWN_IDENTITY}, which is the gateway itself"
        ))),
        false => Ok(()),
    }
}

/// The co-host whose invite it is. It enters as itself only: others know it by its identity, and so does who
/// removes it.
async fn invited(
    state: &State,
    of: &Broadcast,
    invite: &str,
    user_id: &str,
    now: Wall,
) -> Result<CoHost, Error> {
    let bad = |_| Error::NotAllowed("inviteToken is not, or no longer, good for this session");
    let owner = cohost::owner(state, of)?;
    let id = invite::verify(invite, &owner.secret, of.id, now).map_err(bad)?;
    let found = state.setup().store.cohost(of.id, id).await?;
    let cohost = found.ok_or(Error::NotAllowed("the co-host has left this session"))?;
    match cohost.user_id == user_id {
        true => Ok(cohost),
        false => Err(Error::NotAllowed(
            "inviteToken belongs to a co-host with another userId",
        )),
    }
}
