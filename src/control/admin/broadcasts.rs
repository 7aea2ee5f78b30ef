//! Broadcasts for operators: those of all tenants, with what is live of them. Keys are not shown.

use serde::Serialize;
use utoipa::ToSchema;

use crate::control::api::answer::{Answer, ok};
use crate::control::api::broadcast::{self, MAX_LIMIT, view};
use crate::control::api::docs::{Sized, Usual};
use crate::control::api::{Call, Error};
use crate::control::auth;
use crate::hub::Counted;

/// Broadcasts in an answer, unless another number is asked for.
const DEFAULT_LIMIT: usize = 100;

/// A broadcast as operators see it.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminBroadcast)]
#[serde(rename_all = "camelCase")]
pub(super) struct View<'a> {
    #[serde(flatten)]
    broadcast: view::View<'a>,
    /// Its tenant.
    application_id: &'a str,
    /// Its channel, which is there until it is over.
    channel_id: &'a str,
    /// Whether it was made without credentials.
    anonymous: bool,
    /// Publishers that send now.
    publishers: usize,
}

/// An answer with broadcasts.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminBroadcastList)]
pub(super) struct Many<'a> {
    /// `ok`.
    status: &'static str,
    /// Newest first.
    broadcasts: Vec<View<'a>>,
}

#[utoipa::path(
    get, path = "/api/admin/broadcasts", tag = "operations", operation_id = "adminBroadcasts",
    summary = "Broadcasts of all tenants, newest first, with what is live of them",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(("status" = Option<String>, Query, description = "Those of one status only."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 500, description = "At most; 100 without it."),
        ("offset" = Option<u64>, Query, description = "How many are left out.")),
    responses((status = 200, description = "Some of them, without secrets.", body = inline(Many<'_>)), Usual,
        Sized),
)]
pub(super) async fn list(mut call: Call) -> Answer {
    if !auth::is_operator(&call.state, call.headers()) {
        return Err(Error::Unauthorized("the admin key is missing or wrong"));
    }
    let query = call.query().await?;
    let status = query
        .text("status")?
        .map(broadcast::status_of)
        .transpose()?;
    let limit = query.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let offset = query.count("offset")?.unwrap_or(0);
    let setup = call.state.setup();
    let found = setup.store.all_broadcasts(status, limit, offset).await?;
    let views = view::many(&call, &found).await?;
    let views = found.iter().zip(views).map(|(one, broadcast)| View {
        broadcast,
        application_id: &one.application_id,
        channel_id: &one.channel_id,
        anonymous: one.anonymous,
        publishers: setup.live.count(&one.channel_id, &Counted::default()),
    });
    Ok(ok(&Many {
        status: "ok",
        broadcasts: views.collect(),
    }))
}
