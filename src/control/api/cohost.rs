//! Co-hosts of a session (contract, broadcasts, section 5.1): who joins, what it may do, how hosts are laid
//! out. Who is removed is sent out of the LiveKit room, and comes back as a viewer only: it gets no token to
//! publish, `control/livekit/proxy` takes none that it has, and `control/livekit/webhook.rs` hears of it where
//! it goes past that.

mod view;

use std::sync::Arc;

use axum::routing::{MethodRouter, get, post, put};

use super::answer::{Answer, Done, done, ok};
use super::broadcast::count;
use super::call::Caller;
use super::docs::{Lookup, Named, Sized, Usual};
use super::streaming::check_identity;
use super::{Call, Error};
use crate::base::id::Uuid;
use crate::base::secret::Secret;
use crate::control::pcast::Fields;
use crate::control::token::invite;
use crate::control::{Side, State};
use crate::store::{
    Application, Broadcast, CoHost, Grid, Joining, MultiHost, NewCoHost, Permissions,
};

use view::{
    Host, Hosts, HostsFields, JoinFields, Metrics, NamedCoHost, Refused, Response, UpdateFields,
    View,
};

/// Hosts at once, at most: as many as a grid has places.
const MAX_HOSTS: u32 = MAX_SIDE * MAX_SIDE;
/// Columns and rows of a grid.
const MAX_SIDE: u32 = 10;
/// Each number of an aspect ratio.
const MAX_RATIO: u32 = 100;
/// Why a co-host neither joins nor gets a token to publish.
pub(in crate::control) const REMOVED: &str = "the co-host was removed from this session";

pub(super) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    use Side::Public;
    vec![
        (
            "/api/streaming/sessions/{id}/join-cohost",
            Public,
            post(join),
        ),
        ("/api/streaming/sessions/{id}/cohosts", Public, get(list)),
        (
            "/api/streaming/sessions/{id}/cohosts/{coHostId}",
            Public,
            put(replace).patch(patch).delete(remove),
        ),
        (
            "/api/streaming/sessions/{id}/multihost",
            Public,
            get(show).put(replace_configuration).patch(configure),
        ),
        ("/api/streaming/sessions/{id}/metrics", Public, get(metrics)),
    ]
}

/// The tenant of a broadcast, whose secret its invites are signed with.
pub(super) fn owner(state: &State, broadcast: &Broadcast) -> Result<Arc<Application>, Error> {
    let owner = state
        .setup()
        .store
        .known_application(&broadcast.application_id);
    owner.ok_or(Error::NotFound("broadcast"))
}

impl Call {
    /// The session that the path names, for who takes part in it: what was made with credentials needs some
    /// of its tenant.
    async fn session(&mut self) -> Result<Broadcast, Error> {
        let found = self.broadcast().await?;
        match self.caller.is_anonymous() && !found.anonymous {
            true => Err(Error::Key),
            false => Ok(found),
        }
    }

    /// Whether the caller decides about the co-hosts of a session. One without a known creator is in the
    /// hands of who knows its id, but for those of other tenants.
    fn is_host(&self, of: &Broadcast) -> bool {
        let caller = &self.caller;
        let is_tenants = caller.is_anonymous() || caller.tenant.id == of.application_id;
        self.has_made(of) || (of.anonymous && is_tenants)
    }

    /// The co-host that the path names.
    async fn cohost(&mut self, of: &Broadcast) -> Result<CoHost, Error> {
        let missing = Error::NotFound("co-host");
        let Ok(id) = Uuid::parse_str(&self.parameter("coHostId").await?) else {
            return Err(missing);
        };
        let found = self.state.setup().store.cohost(of.id, id).await?;
        let found = found.filter(|cohost| cohost.removed.is_none());
        found.ok_or(missing)
    }
}

/// Whether the caller is a signed-in user who is a co-host with a permission.
async fn is_permitted(
    state: &State,
    caller: &Caller,
    of: &Broadcast,
    permission: fn(&Permissions) -> bool,
) -> Result<bool, Error> {
    let Some(user) = &caller.user else {
        return Ok(false);
    };
    let store = &state.setup().store;
    let found = store.cohost_of_user(of.id, &user.id.to_string()).await?;
    let found = found.filter(|cohost| cohost.removed.is_none());
    Ok(found.is_some_and(|cohost| permission(&cohost.permissions)))
}

#[utoipa::path(
    post, path = "/api/streaming/sessions/{id}/join-cohost", tag = "streaming",
    operation_id = "joinCohost", summary = "Join a session as a co-host",
    request_body = inline(JoinFields), security(("apiKey" = []), ("userToken" = []), ()),
    params(Named),
    responses((status = 200, description = "It is a co-host.", body = inline(Response<'_>)), Usual,
        Lookup, Sized,
        (status = 409, description = "The session is not live, has no place, or has removed it.",
            body = inline(Refused<'_>))),
)]
pub(in crate::control) async fn join(mut call: Call) -> Answer {
    let found = call.session().await?;
    let body = call.body().await?;
    let mut fields = Fields::parse(&body)?.without_nulls();
    let user_name = user_name(&mut fields)?;
    let user_name = user_name.ok_or_else(|| Error::Bad("userName is missing".to_owned()))?;
    let user_id = fields.line("userId")?.filter(|id| !id.trim().is_empty());
    user_id.as_deref().map_or(Ok(()), check_identity)?;
    let mut permissions = Permissions::default();
    let asked = fields.object("permissions")?;
    if let Some(asked) = asked {
        read_permissions(&mut asked.without_nulls(), &mut permissions)?;
    }
    let is_host = call.has_made(&found);
    if !is_host {
        permissions = Permissions::default();
    }
    let user = call.caller.user.as_ref().map(|user| user.id.to_string());
    let user_id = match (user_id, user) {
        // A user's token speaks for this user only.
        (Some(asked), Some(user)) if asked != user && !is_host => return Err(Error::Forbidden),
        (asked, user) => asked.or(user),
    };
    let new = NewCoHost {
        user_id: user_id.as_deref(),
        user_name: &user_name,
        permissions,
    };
    let setup = call.state.setup();
    let conflict = |reason: &str| Err(Error::Conflict(reason.to_owned()));
    let cohost = match setup.store.join_cohost(found.id, &new).await? {
        Joining::Joined(cohost) => cohost,
        Joining::NotLive => return conflict("the session is not live"),
        Joining::Disabled => return conflict("the session takes no co-hosts"),
        Joining::Removed => return conflict(REMOVED),
        Joining::Full(hosts) => {
            return conflict(&format!(
                "the session has no place for another host: it has {hosts}"
            ));
        }
    };
    let now = setup.clock.wall();
    let owner = owner(&call.state, &found)?;
    let invite = invite::create(&owner.secret, found.id, cohost.id, now).map_err(|err| {
        tracing::error!(%err, "invite could not be signed");
        Error::Internal
    })?;
    tracing::info!(broadcast = %found.id, cohost = %cohost.id, "co-host joined");
    Ok(granted("Co-host access granted", &cohost, Some(&invite)))
}

fn granted(
    message: &'static str,
    cohost: &CoHost,
    invite: Option<&Secret>,
) -> axum::response::Response {
    ok(&Response {
        success: true,
        message,
        co_host: View::from(cohost),
        invite_token: invite.map(|invite| invite.expose().to_owned()),
    })
}

fn user_name(fields: &mut Fields) -> Result<Option<String>, Error> {
    match fields.line("userName")? {
        Some(name) if name.trim().is_empty() => Err(Error::Bad("userName is empty".to_owned())),
        name => Ok(name),
    }
}

/// Flags that are not named stay as they are.
fn read_permissions(fields: &mut Fields, into: &mut Permissions) -> Result<(), Error> {
    for (name, flag) in [
        ("canInviteOthers", &mut into.can_invite_others),
        ("canRemoveOthers", &mut into.can_remove_others),
        ("canControlLayout", &mut into.can_control_layout),
        ("canModerateChat", &mut into.can_moderate_chat),
        ("canTriggerAds", &mut into.can_trigger_ads),
        ("canAccessAnalytics", &mut into.can_access_analytics),
    ] {
        *flag = fields.flag(name)?.unwrap_or(*flag);
    }
    Ok(())
}

#[utoipa::path(
    get, path = "/api/streaming/sessions/{id}/cohosts", tag = "streaming",
    operation_id = "listCohosts", summary = "Co-hosts of a session, in the order in which they came",
    security(("apiKey" = []), ("userToken" = []), ()), params(Named),
    responses((status = 200, description = "All of them.", body = inline(Vec<View<'_>>)), Usual, Lookup),
)]
pub(in crate::control) async fn list(mut call: Call) -> Answer {
    let found = call.broadcast_to_read().await?;
    let cohosts = call.state.setup().store.cohosts(found.id).await?;
    Ok(ok(&cohosts.iter().map(View::from).collect::<Vec<_>>()))
}

#[utoipa::path(
    get, path = "/api/streaming/sessions/{id}/multihost", tag = "streaming",
    operation_id = "multihost", summary = "Hosts of a session and their grid",
    security(("apiKey" = []), ("userToken" = []), ()), params(Named),
    responses((status = 200, description = "As it is now.", body = inline(Hosts<'_>)), Usual, Lookup),
)]
pub(in crate::control) async fn show(mut call: Call) -> Answer {
    let found = call.broadcast_to_read().await?;
    let multi_host = call.state.setup().store.multi_host(found.id).await?;
    hosts(&call.state, &found, &multi_host).await
}

async fn hosts(state: &State, of: &Broadcast, multi_host: &MultiHost) -> Answer {
    let store = &state.setup().store;
    let cohosts = store.cohosts(of.id).await?;
    let user = match of.user_id {
        Some(id) => store.user(&of.application_id, id).await?,
        None => None,
    };
    Ok(ok(&Hosts {
        session_id: of.id.to_string(),
        stream_id: of.stream_id.to_string(),
        is_enabled: multi_host.is_enabled,
        host: Host {
            role: "publisher",
            user_id: of.user_id.map(|id| id.to_string()),
            user_name: user.map(|user| user.display_name.unwrap_or(user.username)),
        },
        co_hosts: cohosts.iter().map(View::from).collect(),
        grid_layout: &multi_host.grid_layout,
    }))
}

#[utoipa::path(
    patch, path = "/api/streaming/sessions/{id}/multihost", tag = "streaming",
    operation_id = "configureMultihost",
    summary = "Say whether a session takes co-hosts, and how hosts are laid out",
    request_body = inline(HostsFields), security(("apiKey" = []), ("userToken" = []), ()),
    params(Named),
    responses((status = 200, description = "As it is now.", body = inline(Hosts<'_>)), Usual, Lookup,
        Sized),
)]
pub(in crate::control) async fn configure(call: Call) -> Answer {
    change_hosts(call).await
}

#[utoipa::path(
    put, path = "/api/streaming/sessions/{id}/multihost", tag = "streaming",
    operation_id = "replaceMultihost",
    summary = "The same; what is not named stays", request_body = inline(HostsFields),
    security(("apiKey" = []), ("userToken" = []), ()), params(Named),
    responses((status = 200, description = "As it is now.", body = inline(Hosts<'_>)), Usual, Lookup,
        Sized),
)]
pub(in crate::control) async fn replace_configuration(call: Call) -> Answer {
    change_hosts(call).await
}

async fn change_hosts(mut call: Call) -> Answer {
    let found = call.session().await?;
    let may = |permissions: &Permissions| permissions.can_control_layout;
    if !call.is_host(&found) && !is_permitted(&call.state, &call.caller, &found, may).await? {
        return Err(Error::Forbidden);
    }
    let body = call.body().await?;
    let mut fields = Fields::parse(&body)?.without_nulls();
    let store = &call.state.setup().store;
    let mut multi_host = store.multi_host(found.id).await?;
    if let Some(is_enabled) = fields.flag("isEnabled")? {
        multi_host.is_enabled = is_enabled;
    }
    if let Some(grid) = fields.object("gridLayout")? {
        read_grid(grid.without_nulls(), &mut multi_host.grid_layout)?;
    }
    store.set_multi_host(found.id, &multi_host).await?;
    hosts(&call.state, &found, &multi_host).await
}

fn read_grid(mut fields: Fields, into: &mut Grid) -> Result<(), Error> {
    for (name, most, number) in [
        ("maxHosts", MAX_HOSTS, &mut into.max_hosts),
        ("gridColumns", MAX_SIDE, &mut into.grid_columns),
        ("gridRows", MAX_SIDE, &mut into.grid_rows),
    ] {
        if !fields.has(name) {
            continue;
        }
        *number = count(&mut fields, name)?;
        if !(1..=most).contains(number) {
            let name = fields.name(name);
            return Err(Error::Bad(format!("{name} is not 1 to {most}")));
        }
    }
    if let Some(ratio) = fields.line("aspectRatio")? {
        if !is_ratio(&ratio) {
            let name = fields.name("aspectRatio");
            return Err(Error::Bad(format!("{name} is not a ratio such as 16:9")));
        }
        into.aspect_ratio = ratio;
    }
    for (name, flag) in [
        ("showNames", &mut into.show_names),
        ("showControls", &mut into.show_controls),
    ] {
        *flag = fields.flag(name)?.unwrap_or(*flag);
    }
    Ok(())
}

fn is_ratio(text: &str) -> bool {
    let is_side = |side: &str| {
        let digits = side.bytes().all(|byte| byte.is_ascii_digit());
        digits
            && side
                .parse::<u32>()
                .is_ok_and(|side| (1..=MAX_RATIO).contains(&side))
    };
    text.split_once(':')
        .is_some_and(|(width, height)| is_side(width) && is_side(height))
}

#[utoipa::path(
    patch, path = "/api/streaming/sessions/{id}/cohosts/{coHostId}", tag = "streaming",
    operation_id = "updateCohostPatch", summary = "Say what a co-host may do",
    request_body = inline(UpdateFields), security(("apiKey" = []), ("userToken" = []), ()),
    params(NamedCoHost),
    responses((status = 200, description = "As it is now.", body = inline(Response<'_>)), Usual,
        Lookup, Sized),
)]
pub(in crate::control) async fn patch(call: Call) -> Answer {
    update(call).await
}

#[utoipa::path(
    put, path = "/api/streaming/sessions/{id}/cohosts/{coHostId}", tag = "streaming",
    operation_id = "updateCohost", summary = "The same; what is not named stays",
    request_body = inline(UpdateFields), security(("apiKey" = []), ("userToken" = []), ()),
    params(NamedCoHost),
    responses((status = 200, description = "As it is now.", body = inline(Response<'_>)), Usual,
        Lookup, Sized),
)]
pub(in crate::control) async fn replace(call: Call) -> Answer {
    update(call).await
}

async fn update(mut call: Call) -> Answer {
    let found = call.session().await?;
    let mut cohost = call.cohost(&found).await?;
    // Not even a co-host with every permission: it would give itself more.
    if !call.is_host(&found) {
        return Err(Error::Forbidden);
    }
    let body = call.body().await?;
    let mut fields = Fields::parse(&body)?.without_nulls();
    let mut permissions = fields.need_object("permissions")?.without_nulls();
    read_permissions(&mut permissions, &mut cohost.permissions)?;
    if let Some(name) = user_name(&mut fields)? {
        cohost.user_name = name;
    }
    let store = &call.state.setup().store;
    let updated = store.update_cohost(found.id, cohost.id, &cohost.user_name, cohost.permissions);
    updated.await?;
    let (identity, name) = (cohost.user_id.clone(), cohost.user_name.clone());
    let state = &call.state;
    state.update_in_room(
        found.stream_id,
        identity,
        name,
        metadata(&cohost.permissions),
    );
    Ok(granted("Co-host updated", &cohost, None))
}

#[utoipa::path(
    delete, path = "/api/streaming/sessions/{id}/cohosts/{coHostId}", tag = "streaming",
    operation_id = "removeCohost",
    summary = "Remove a co-host: it is sent out of the room, and gets no token to publish any more. A user who removes itself leaves, and \
               may join again",
    security(("apiKey" = []), ("userToken" = []), ()), params(NamedCoHost),
    responses((status = 200, description = "It is no co-host any more.", body = inline(Done)), Usual,
        Lookup),
)]
pub(in crate::control) async fn remove(mut call: Call) -> Answer {
    let found = call.session().await?;
    let cohost = call.cohost(&found).await?;
    let store = &call.state.setup().store;
    let user = call.caller.user.as_ref().map(|user| user.id.to_string());
    if user.is_some_and(|user| user == cohost.user_id) {
        store.leave_cohost(found.id, cohost.id).await?;
        tracing::info!(broadcast = %found.id, cohost = %cohost.id, "co-host left");
        let state = &call.state;
        state.send_out_of_room(found.stream_id, cohost.user_id, false);
        return Ok(done());
    }
    let may = |permissions: &Permissions| permissions.can_remove_others;
    if !call.is_host(&found) && !is_permitted(&call.state, &call.caller, &found, may).await? {
        return Err(Error::Forbidden);
    }
    store.remove_cohost(found.id, cohost.id).await?;
    tracing::info!(broadcast = %found.id, cohost = %cohost.id, "co-host removed");
    let state = &call.state;
    state.send_out_of_room(found.stream_id, cohost.user_id, true);
    Ok(done())
}

/// What those in a room read of a co-host: its role, as clients know it (decision B-49), and what it may do.
fn metadata(permissions: &Permissions) -> String {
    serde_json::json!({ "role": "co_host", "permissions": permissions }).to_string()
}

#[utoipa::path(
    get, path = "/api/streaming/sessions/{id}/metrics", tag = "streaming",
    operation_id = "multihostMetrics", summary = "Figures of a session and its hosts",
    security(("apiKey" = []), ("userToken" = []), ()), params(Named),
    responses((status = 200, description = "As they are now.", body = inline(Metrics)), Usual, Lookup),
)]
pub(in crate::control) async fn metrics(mut call: Call) -> Answer {
    let found = call.broadcast_to_read().await?;
    let setup = call.state.setup();
    let figures = setup.store.host_figures(found.id).await?;
    let until = found.ended.unwrap_or_else(|| setup.clock.wall());
    let lasted_us = found
        .started
        .map_or(0, |started| until.micros_since(started));
    let room = call.state.livekit().rooms.figures(found.stream_id);
    Ok(ok(&Metrics {
        session_id: found.id.to_string(),
        host_count: figures.cohosts + 1,
        co_host_count: figures.cohosts,
        viewer_count: found.reported_viewers,
        peak_viewer_count: figures.peak_viewers,
        room_participants: room.map(|room| room.participants),
        room_publishers: room.map(|room| room.publishers),
        measured_viewers: setup.measurements.viewers(found.stream_id),
        duration_seconds: (lasted_us / 1_000_000).max(0),
    }))
}
