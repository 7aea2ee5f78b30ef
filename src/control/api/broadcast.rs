//! Broadcasts: made, changed, kept alive, shown (contract, broadcasts, section 4).

mod docs;
pub(in crate::control) mod view;

use super::answer::{Answer, Done, done, ok};
use super::call::Caller;
use super::chat::news;
use super::docs::{Conflicting, Lookup, Named, Sized, Usual};
use super::{Call, Error, to_the_end};
use crate::base::id::Uuid;
use crate::control::State;
use crate::control::pcast::Fields;
use crate::store::{Anonymous, Broadcast, BroadcastUpdate, NewBroadcast, Status, Visibility};
use view::{Own, View};

pub(in crate::control) use docs::{BroadcastChange, BroadcastFields};
use docs::{StatusFields, ViewerFields};

/// Bytes of a title: one line, in any script.
const MAX_TITLE_BYTES: usize = 512;
/// Bytes of a description: some paragraphs.
const MAX_DESCRIPTION_BYTES: usize = 4096;
/// Broadcasts in an answer, unless another number is asked for.
const DEFAULT_LIMIT: usize = 50;
/// Broadcasts in an answer, at most: some hundred kilobytes.
pub(in crate::control) const MAX_LIMIT: usize = 500;
/// Broadcasts that an address may make in an hour without credentials.
const ANONYMOUS_PER_HOUR: u32 = 10;
/// Broadcasts that users may make in an hour from an address without the key of their client: everybody may sign
/// up, a school or a carrier may share an address, and each broadcast takes one of the gateway's channels.
const BY_USERS_PER_HOUR: u32 = 100;
/// Broadcasts without a known creator that are not over.
const MAX_ANONYMOUS: u64 = 20;
/// What they can do: no rung above `sd`.
const ANONYMOUS_CAPABILITIES: [&str; 3] = ["sd", "multi-bitrate", "streaming"];
/// Another word for `created` (decision B-1).
const PENDING: &str = "pending";

impl Caller {
    /// Whether a broadcast of its tenant is no other user's. Who has the key of the tenant, or is an operator,
    /// speaks for its users.
    pub(super) fn may_change(&self, broadcast: &Broadcast) -> bool {
        let user = self.user.as_ref().map(|user| user.id);
        let by_client = self.has_key || self.is_operator;
        by_client || broadcast.user_id.is_none() || broadcast.user_id == user
    }
}

impl Call {
    /// The broadcast that the path names; those of other tenants are not there for who has credentials. What was
    /// made without any is there for all who know its id: clients make it first and show their key later.
    pub(in crate::control) async fn broadcast(&mut self) -> Result<Broadcast, Error> {
        let id = self.parameter("id").await?;
        let found = self.state.setup().store.find_broadcast(&id).await?;
        let caller = &self.caller;
        // Short ids can be counted through: who knows no more was not given what is private.
        let is_short = !id.contains('#') && Uuid::parse_str(&id).is_err();
        let is_given = |found: &Broadcast| {
            !(is_short && found.anonymous && found.visibility == Visibility::Private)
        };
        let is_there = |found: &Broadcast| {
            let is_tenants = found.application_id == caller.tenant.id;
            caller.is_operator
                || (is_tenants && !caller.is_anonymous())
                || ((caller.is_anonymous() || found.anonymous) && is_given(found))
        };
        found.filter(is_there).ok_or(Error::NotFound("broadcast"))
    }

    /// The same, to be changed: what was made with credentials needs some of its tenant, and what a user made
    /// is no other user's.
    pub(in crate::control) async fn broadcast_to_change(&mut self) -> Result<Broadcast, Error> {
        let found = self.broadcast().await?;
        if self.caller.is_anonymous() {
            return match found.anonymous {
                true => Ok(found),
                false => Err(Error::Key),
            };
        }
        if !self.caller.is_operator && found.application_id != self.caller.tenant.id {
            return Err(Error::NotFound("broadcast"));
        }
        match self.caller.may_change(&found) {
            true => Ok(found),
            false => Err(Error::Forbidden),
        }
    }

    /// The same, to be looked at: what is private is not there for strangers.
    pub(super) async fn broadcast_to_read(&mut self) -> Result<Broadcast, Error> {
        let found = self.broadcast().await?;
        let is_private = found.visibility == Visibility::Private && !found.anonymous;
        match is_private && self.caller.is_anonymous() {
            true => Err(Error::NotFound("broadcast")),
            false => Ok(found),
        }
    }

    /// The same, for who made it and nobody else.
    pub(super) async fn broadcast_made(&mut self) -> Result<Broadcast, Error> {
        let found = self.broadcast_to_change().await?;
        match self.has_made(&found) {
            true => Ok(found),
            false if self.caller.is_anonymous() => Err(Error::Key),
            false => Err(Error::Forbidden),
        }
    }

    /// Whether the caller may see how a broadcast is fed.
    pub(super) fn has_made(&self, broadcast: &Broadcast) -> bool {
        let caller = &self.caller;
        let user = caller.user.as_ref().map(|user| user.id);
        caller.is_operator
            || (caller.has_key && caller.tenant.id == broadcast.application_id)
            || (user.is_some() && user == broadcast.user_id)
    }
}

#[utoipa::path(
    post, path = "/api/broadcasts", tag = "broadcast", operation_id = "createBroadcast",
    summary = "Create a broadcast", request_body = inline(BroadcastFields),
    security(("apiKey" = []), ("userToken" = []), ()),
    responses((status = 200, description = "It is there, and its stream key may be used.",
        body = inline(Own<'_>)), Usual, Sized),
)]
pub(in crate::control) async fn create(call: Call) -> Answer {
    answer_create(call).await
}

/// Makes the broadcast of a body and shows it to its creator.
pub(super) async fn answer_create(mut call: Call) -> Answer {
    let setup = call.state.setup();
    if call.caller.is_anonymous() && !setup.anonymous_broadcasts {
        return Err(Error::Key);
    }
    let body = call.body().await?;
    let mut fields = Fields::parse(&body)?.without_nulls();
    let broadcast = make(&mut call, &mut fields).await?;
    Ok(ok(&view::own(&call, &broadcast, true).await?))
}

/// Makes a broadcast of what a body says of it.
#[expect(
    clippy::needless_pass_by_ref_mut,
    reason = "a call that is shared cannot be held while something is waited for: its body is not Sync"
)]
async fn make(call: &mut Call, fields: &mut Fields) -> Result<Broadcast, Error> {
    let title = title(fields)?.ok_or_else(|| Error::Bad("title is missing".to_owned()))?;
    let description = description(fields)?;
    let visibility = visibility(fields)?.unwrap_or(Visibility::Public);
    let tags = fields.words("tags")?.unwrap_or_default();
    let metadata = fields.opaque("metadata")?;
    let max_participants = match fields.has("maxParticipants") {
        true => Some(count(fields, "maxParticipants")?),
        false => None,
    };
    if max_participants == Some(0) {
        return Err(Error::Bad("maxParticipants is not 1 or more".to_owned()));
    }
    let is_anonymous = call.caller.is_anonymous();
    if is_anonymous {
        call.count_by_address("broadcast", ANONYMOUS_PER_HOUR)?;
    } else if !call.caller.has_key && !call.caller.is_operator {
        call.count_by_address("broadcast of a user", BY_USERS_PER_HOUR)?;
    }
    let address = call.address().map(|address| address.to_string());
    let application_id = call.caller.tenant.id.clone();
    let user_id = call.caller.user.as_ref().map(|user| user.id);
    let state = call.state.clone();
    let work = async move {
        let setup = state.setup();
        let capabilities = ANONYMOUS_CAPABILITIES.map(str::to_owned);
        let anonymous = is_anonymous.then_some(Anonymous {
            address: address.as_deref(),
            capabilities: &capabilities,
            limit: MAX_ANONYMOUS,
        });
        let new = NewBroadcast {
            region: &setup.region,
            application_id: &application_id,
            stream_id: None,
            user_id,
            anonymous,
            title: &title,
            description: description.as_deref(),
            visibility,
            tags: &tags,
            metadata: metadata.as_deref().unwrap_or("{}"),
            max_participants,
        };
        let made = setup.store.create_broadcast(&new, setup.max_channels);
        let made = made.await?;
        tracing::info!(broadcast = %made.id, channel = made.channel_id, "broadcast created");
        Ok(made)
    };
    to_the_end(&call.state, work).await
}

/// What a body changes.
pub(super) fn read_update(fields: &mut Fields) -> Result<BroadcastUpdate, Error> {
    let status = fields.line("status")?;
    Ok(BroadcastUpdate {
        status: status.as_deref().map(status_of).transpose()?,
        title: title(fields)?,
        description: description(fields)?,
        visibility: visibility(fields)?,
        tags: fields.words("tags")?,
        metadata: fields.opaque("metadata")?,
    })
}

/// Changes a broadcast, to the end: what is over has its publishers cut and its key revoked.
pub(super) async fn change(
    state: &State,
    id: Uuid,
    update: BroadcastUpdate,
) -> Result<Broadcast, Error> {
    let then = state.clone();
    let work = async move {
        let changed = then.setup().store.update_broadcast(id, &update).await?;
        news::tell(then.chats(), &changed);
        if changed.status.is_over() {
            then.close_room(&changed);
        }
        Ok(changed)
    };
    to_the_end(state, work).await
}

pub(in crate::control) fn status_of(word: &str) -> Result<Status, Error> {
    let status = match word {
        PENDING => Some(Status::Created),
        word => Status::of(word),
    };
    let bad = || Error::Bad("status is not created, active, completed or error".to_owned());
    status.ok_or_else(bad)
}

pub(super) fn title(fields: &mut Fields) -> Result<Option<String>, Error> {
    let Some(title) = fields.text("title")? else {
        return Ok(None);
    };
    let bad = |what: &str| Err(Error::Bad(format!("title {what}")));
    if title.trim().is_empty() {
        return bad("is empty");
    }
    if title.len() > MAX_TITLE_BYTES {
        return bad(&format!("is longer than {MAX_TITLE_BYTES} bytes"));
    }
    match title.chars().any(char::is_control) {
        true => bad("holds a control character"),
        false => Ok(Some(title)),
    }
}

pub(super) fn description(fields: &mut Fields) -> Result<Option<String>, Error> {
    let description = fields.text("description")?;
    match &description {
        Some(text) if text.len() > MAX_DESCRIPTION_BYTES => Err(Error::Bad(format!(
            "description is longer than {MAX_DESCRIPTION_BYTES} bytes"
        ))),
        _ => Ok(description),
    }
}

fn visibility(fields: &mut Fields) -> Result<Option<Visibility>, Error> {
    let Some(word) = fields.line("visibility")? else {
        return Ok(None);
    };
    let bad = || Error::Bad("visibility is not public, private or unlisted".to_owned());
    Visibility::of(&word).map(Some).ok_or_else(bad)
}

pub(super) fn count(fields: &mut Fields, name: &str) -> Result<u32, Error> {
    let number = fields.need_integer(name)?;
    let bad = |_| {
        Error::Bad(format!(
            "{name} is not a whole number from 0 to {}",
            u32::MAX
        ))
    };
    u32::try_from(number).map_err(bad)
}

#[utoipa::path(
    post, path = "/api/broadcasts/{id}/status", tag = "broadcast", operation_id = "setBroadcastStatus",
    summary = "Say how far a broadcast has come", request_body = inline(StatusFields),
    security(("apiKey" = []), ("userToken" = []), ()), params(Named),
    responses((status = 200, description = "As it is now.", body = inline(Own<'_>)), Usual, Lookup,
        Sized, Conflicting),
)]
pub(in crate::control) async fn set_status(mut call: Call) -> Answer {
    let found = call.broadcast_to_change().await?;
    let body = call.body().await?;
    let status = status_of(&Fields::parse(&body)?.need_line("status")?)?;
    let update = BroadcastUpdate {
        status: Some(status),
        ..BroadcastUpdate::default()
    };
    let changed = change(&call.state, found.id, update).await?;
    let has_made = call.has_made(&changed);
    Ok(ok(&view::own(&call, &changed, has_made).await?))
}

#[utoipa::path(
    post, path = "/api/sessions/{id}/heartbeat", tag = "broadcast", operation_id = "heartbeat",
    summary = "Say that a broadcast goes on; without media and heartbeats it ends after 90 s",
    security(("apiKey" = []), ("userToken" = []), ()), params(Named),
    responses((status = 200, description = "Noted.", body = inline(Done)), Usual, Lookup, Conflicting),
)]
pub(in crate::control) async fn heartbeat(mut call: Call) -> Answer {
    let found = call.broadcast_to_change().await?;
    if found.status.is_over() {
        return Err(Error::Conflict("the broadcast is over".to_owned()));
    }
    call.state
        .setup()
        .store
        .broadcast_heartbeat(found.id)
        .await?;
    Ok(done())
}

#[utoipa::path(
    post, path = "/api/broadcasts/{id}/viewer-count", tag = "broadcast",
    operation_id = "setViewerCount", summary = "Say how many are in a broadcast's room",
    request_body = inline(ViewerFields),
    security(("apiKey" = []), ("userToken" = []), ()), params(Named),
    responses((status = 200, description = "Noted.", body = inline(Done)), Usual, Lookup, Sized),
)]
pub(in crate::control) async fn report_viewers(mut call: Call) -> Answer {
    let found = call.broadcast_to_change().await?;
    let body = call.body().await?;
    let viewers = count(&mut Fields::parse(&body)?, "viewerCount")?;
    let store = &call.state.setup().store;
    store.report_viewers(found.id, viewers).await?;
    Ok(done())
}

#[utoipa::path(
    get, path = "/api/broadcasts", tag = "broadcast", operation_id = "listBroadcasts",
    summary = "Public broadcasts, newest first", security((), ("apiKey" = []), ("userToken" = [])),
    params(("status" = Option<String>, Query, description = "`active` without it."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 500, description = "At most; 50 without it."),
        ("offset" = Option<u64>, Query, description = "How many are left out.")),
    responses((status = 200, description = "Some of them, without secrets.",
        body = inline(Vec<View<'_>>)), Usual, Sized),
)]
pub(in crate::control) async fn list(mut call: Call) -> Answer {
    let query = call.query().await?;
    let status = query.line("status")?.map(status_of).transpose()?;
    let status = status.unwrap_or(Status::Active);
    let limit = query.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let offset = query.count("offset")?.unwrap_or(0);
    let caller = &call.caller;
    let tenant = (!caller.is_anonymous() && !caller.is_operator).then_some(&*caller.tenant.id);
    let store = &call.state.setup().store;
    let found = store
        .public_broadcasts(status, tenant, limit, offset)
        .await?;
    Ok(ok(&view::many(&call, &found).await?))
}

#[utoipa::path(
    get, path = "/api/broadcasts/{id}", tag = "broadcast", operation_id = "getBroadcast",
    summary = "Show a broadcast; its key to its creator only",
    security((), ("apiKey" = []), ("userToken" = [])), params(Named),
    responses((status = 200, description = "The broadcast.", body = inline(View<'_>)), Usual, Lookup),
)]
pub(in crate::control) async fn fetch(mut call: Call) -> Answer {
    let found = call.broadcast_to_read().await?;
    let has_made = call.has_made(&found);
    Ok(ok(&view::one(&call, &found, has_made).await?))
}
