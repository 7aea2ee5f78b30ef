//! Rooms sent to their broadcasts by LiveKit's own egress, where a tenant prefers that to the gateway's listener:
//! it lays several hosts out in one picture. In: requests of who made the broadcast. Out: egresses. Where one
//! sends to is said to nobody: the address holds the key.

use axum::routing::{MethodRouter, delete, get};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::answer::{Answer, ok};
use super::docs::{Conflicting, Lookup, Named, Sized, Usual};
use super::streaming::NOT_CONFIGURED;
use super::time::seconds;
use super::{Call, Error, to_the_end};
use crate::base::secret::Secret;
use crate::control::livekit::egress::{Egress, Source};
use crate::control::livekit::rooms::is_own;
use crate::control::livekit::{Server, Unwell};
use crate::control::pcast::Fields;
use crate::control::{Side, State};
use crate::store::Broadcast;

/// LiveKit's own layouts (livekit/egress, "templates"), each with its dark and light form.
const LAYOUTS: [&str; 6] = [
    "grid",
    "grid-light",
    "speaker",
    "speaker-light",
    "single-speaker",
    "single-speaker-light",
];
/// Longest id of an egress: the server's own have 15 characters.
const MAX_ID: usize = 64;

/// What is to be sent of a room.
#[derive(ToSchema)]
#[schema(as = EgressRequest)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct EgressFields {
    /// `participant` (without it): one of those who publish, untouched; `room`: all of them in one picture.
    source: Option<String>,
    /// Of a participant; the host without it.
    #[schema(max_length = 256)]
    identity: Option<String>,
    /// Of a room: `grid` (without it), `speaker`, `single-speaker`, each also with `-light`.
    layout: Option<String>,
}

/// A room on its way to its broadcast.
#[derive(Serialize, ToSchema)]
#[schema(as = Egress)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct View {
    id: String,
    /// `starting`, `active`, `ending`, `complete`, `failed`, `aborted` or `limit_reached`.
    status: &'static str,
    /// `participant` or `room`; left out of what was started elsewhere and sends something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<String>,
    /// Connections to the gateway that it had to make again.
    retries: u32,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<Egress> for View {
    fn from(egress: Egress) -> View {
        let (source, identity, layout) = match egress.source {
            Some(Source::Participant(identity)) => (Some("participant"), Some(identity), None),
            Some(Source::Room(layout)) => (Some("room"), None, Some(layout)),
            None => (None, None, None),
        };
        View {
            id: egress.id,
            status: egress.status.word(),
            source,
            identity,
            layout,
            started_at: egress.started.map(seconds),
            ended_at: egress.ended.map(seconds),
            retries: egress.retries,
            error: egress.error,
        }
    }
}

/// The egress that a path names.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes parameters")]
pub(in crate::control) struct NamedEgress {
    /// Id of the broadcast or of its stream, or its short id.
    #[param(example = "r5")]
    id: String,
    /// As LiveKit names it.
    #[param(rename = "egressId", example = "EG_1")]
    egress_id: String,
}

pub(super) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    use Side::Public;
    vec![
        ("/api/broadcasts/{id}/egress", Public, get(list).post(start)),
        (
            "/api/broadcasts/{id}/egress/{egressId}",
            Public,
            delete(stop),
        ),
    ]
}

/// What the server does not do is told as it is.
impl From<Unwell> for Error {
    fn from(unwell: Unwell) -> Error {
        match &unwell {
            Unwell::Refused { code, .. } if code == "not_found" => {
                Error::Conflict(unwell.to_string())
            }
            Unwell::Refused { code, .. } if code == "failed_precondition" => {
                Error::Conflict(unwell.to_string())
            }
            _ => {
                tracing::warn!(err = %unwell, "a call of LiveKit's API failed");
                Error::Capacity(unwell.to_string())
            }
        }
    }
}

impl Call {
    /// The broadcast that the path names, for who made it: an egress costs cores, so nobody without credentials
    /// starts one. And the server.
    async fn sendable(&mut self) -> Result<(Broadcast, Server), Error> {
        let found = self.broadcast_made().await?;
        let server = self.state.setup().livekit.clone();
        Ok((found, server.ok_or(Error::Unavailable(NOT_CONFIGURED))?))
    }
}

#[utoipa::path(
    post, path = "/api/broadcasts/{id}/egress", tag = "streaming", operation_id = "startEgress",
    summary = "Have LiveKit send a broadcast's room to the broadcast",
    description = "With the server's egress service, over RTMP and with the broadcast's key, as an encoder \
        would. One at a time.",
    request_body = inline(EgressFields), security(("apiKey" = []), ("userToken" = [])), params(Named),
    responses((status = 200, description = "It is starting.", body = inline(View)), Usual, Lookup, Sized,
        Conflicting),
)]
pub(in crate::control) async fn start(mut call: Call) -> Answer {
    let (found, server) = call.sendable().await?;
    let body = call.body().await?;
    let mut fields = Fields::parse_optional(&body)?.without_nulls();
    let wanted = read(&mut fields)?;
    if found.status.is_over() {
        return Err(Error::Conflict("the broadcast is over".to_owned()));
    }
    let to = address(&call, &found)?;
    let started = begin(&call.state, server, found, wanted, to).await?;
    Ok(ok(&View::from(started)))
}

/// What is to be sent; `None`: the host, whoever that is.
fn read(fields: &mut Fields) -> Result<Option<Source>, Error> {
    let source = fields.line("source")?;
    let identity = fields.line("identity")?;
    let layout = fields.line("layout")?;
    match source.as_deref() {
        None | Some("participant") => match identity {
            Some(own) if is_own(&own) => Err(Error::Bad(
                "identity is the gateway itself, which would hear itself".to_owned(),
            )),
            identity => Ok(identity.map(Source::Participant)),
        },
        Some("room") => {
            let layout = layout.unwrap_or_else(|| LAYOUTS[0].to_owned());
            match LAYOUTS.contains(&layout.as_str()) {
                true => Ok(Some(Source::Room(layout))),
                false => Err(Error::Bad(format!(
                    "layout is none of {}",
                    LAYOUTS.join(", ")
                ))),
            }
        }
        Some(_) => Err(Error::Bad("source is not participant or room".to_owned())),
    }
}

/// What a body names by one word, as `takeover` takes it.
pub(super) fn source_of(word: &str) -> Result<Option<Source>, Error> {
    match word {
        "participant" => Ok(None),
        "room" => Ok(Some(Source::Room(LAYOUTS[0].to_owned()))),
        _ => Err(Error::Bad("egress is not participant or room".to_owned())),
    }
}

/// Where an egress sends a broadcast to. Secret: it holds the key.
pub(super) fn address(call: &Call, broadcast: &Broadcast) -> Result<Secret, Error> {
    let off = || Error::Conflict("RTMP is off here, and egresses send nothing else".to_owned());
    let rtmp = call.bases().rtmp.ok_or_else(off)?;
    let rtmp = rtmp.trim_end_matches('/');
    Ok(Secret::new(format!("{rtmp}/{}", broadcast.key.expose())))
}

/// Starts an egress, to the end: the server takes its time. One at a time, since a second one would be a backup of
/// the same.
pub(super) async fn begin(
    state: &State,
    server: Server,
    broadcast: Broadcast,
    wanted: Option<Source>,
    to: Secret,
) -> Result<Egress, Error> {
    let then = state.clone();
    to_the_end(state, async move {
        let place = then.livekit().egresses.starting(broadcast.stream_id);
        let under_way = || Error::Conflict("an egress of the room is being started".to_owned());
        let _place = place.ok_or_else(under_way)?;
        let setup = then.setup();
        let room = broadcast.stream_id.to_string();
        let source = match wanted {
            Some(source) => source,
            None => Source::Participant(host(&then, &server, &broadcast).await?),
        };
        let others = server.egresses(&room, setup.clock.wall()).await?;
        let is_sent = |egress: &&Egress| egress.status.is_on() && egress.source.is_some();
        if let Some(other) = others.iter().find(is_sent) {
            return Err(Error::Conflict(format!(
                "the room is sent already, by {}",
                other.id
            )));
        }
        let now = setup.clock.wall();
        let started = server.start_egress(&room, &source, &to, now).await?;
        tracing::info!(egress = started.id, room, "egress of a room started");
        Ok(started)
    })
    .await
}

/// The participant who is the host: who publishes, and says that it is, before others who publish.
async fn host(state: &State, server: &Server, of: &Broadcast) -> Result<String, Error> {
    let known = state.livekit().rooms.publishers(of.stream_id);
    let known = match known.is_empty() {
        // It may have come a moment ago.
        true => {
            let now = state.setup().clock.wall();
            server.publishers(&of.stream_id.to_string(), now).await?
        }
        false => known,
    };
    let is_host = |role: Option<&str>| role == Some("publisher");
    let host = known.iter().find(|one| is_host(one.role.as_deref()));
    let host = host.or(known.first()).map(|one| one.identity.clone());
    host.ok_or_else(|| Error::Conflict("nobody publishes in the room".to_owned()))
}

#[utoipa::path(
    get, path = "/api/broadcasts/{id}/egress", tag = "streaming", operation_id = "listEgress",
    summary = "Egresses of a broadcast's room, newest first",
    security(("apiKey" = []), ("userToken" = [])), params(Named),
    responses((status = 200, description = "All of them.", body = inline(Vec<View>)), Usual, Lookup),
)]
pub(in crate::control) async fn list(mut call: Call) -> Answer {
    let (found, server) = call.sendable().await?;
    let room = found.stream_id.to_string();
    let now = call.state.setup().clock.wall();
    let egresses = match server.egresses(&room, now).await {
        Ok(egresses) => egresses,
        // What webhooks said is better than nothing.
        Err(err) => {
            let known = call.state.livekit().egresses.of(&room);
            if known.is_empty() {
                return Err(err.into());
            }
            known
        }
    };
    Ok(ok(&egresses
        .into_iter()
        .map(View::from)
        .collect::<Vec<_>>()))
}

#[utoipa::path(
    delete, path = "/api/broadcasts/{id}/egress/{egressId}", tag = "streaming",
    operation_id = "stopEgress", summary = "End an egress of a broadcast's room",
    security(("apiKey" = []), ("userToken" = [])), params(NamedEgress),
    responses((status = 200, description = "It is ending.", body = inline(View)), Usual, Lookup, Conflicting),
)]
pub(in crate::control) async fn stop(mut call: Call) -> Answer {
    let (found, server) = call.sendable().await?;
    let id = call.parameter("egressId").await?;
    let missing = Error::NotFound("egress");
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if id.len() > MAX_ID || !id.bytes().all(is_id) {
        return Err(missing);
    }
    let now = call.state.setup().clock.wall();
    // One of another room is another's.
    let listed = server.egresses(&found.stream_id.to_string(), now).await?;
    let egress = listed.into_iter().find(|egress| egress.id == id);
    let egress = egress.ok_or(missing)?;
    let stopped = match egress.status.is_on() {
        true => server.stop_egress(&id, now).await?,
        false => egress,
    };
    tracing::info!(egress = id, room = %found.stream_id, "egress of a room stopped");
    Ok(ok(&View::from(stopped)))
}
