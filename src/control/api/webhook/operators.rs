//! The same for operators, who do with the webhooks of any application what it can do itself.

use axum::extract::{FromRequest, Request};
use axum::routing::{MethodRouter, get, post};

use super::{Change, Create, DeliveryView, View, WithSecret};
use crate::control::api::answer::{Answer, Done};
use crate::control::api::docs::{Conflicting, Lookup, Sized, Usual};
use crate::control::api::{ByClient, Call, Error};
use crate::control::{Side, State, auth};

/// A call of an operator's in the place of the application that the path names.
pub(in crate::control) struct InPlaceOf(ByClient);

impl FromRequest<State> for InPlaceOf {
    type Rejection = Error;

    async fn from_request(request: Request, state: &State) -> Result<InPlaceOf, Error> {
        let mut call = Call::from_request(request, state).await?;
        if !auth::is_operator(state, call.headers()) {
            return Err(Error::Unauthorized("the admin key is missing or wrong"));
        }
        let id = call.parameter("applicationId").await?;
        let application = state.setup().store.known_application(&id);
        call.caller.tenant = application.ok_or(Error::NotFound("application"))?;
        Ok(InPlaceOf(ByClient(call)))
    }
}

/// Routes of operators.
pub(super) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    use Side::Operator;
    vec![
        (
            "/api/admin/applications/{applicationId}/webhooks",
            Operator,
            get(list).post(create),
        ),
        (
            "/api/admin/applications/{applicationId}/webhooks/{id}",
            Operator,
            get(fetch).patch(change).delete(remove),
        ),
        (
            "/api/admin/applications/{applicationId}/webhooks/{id}/deliveries",
            Operator,
            get(deliveries),
        ),
        (
            "/api/admin/applications/{applicationId}/webhooks/{id}/test",
            Operator,
            post(test),
        ),
        (
            "/api/admin/applications/{applicationId}/webhooks/{id}/secret",
            Operator,
            post(rotate),
        ),
    ]
}

#[utoipa::path(
    get, path = "/api/admin/applications/{applicationId}/webhooks", tag = "operations",
    operation_id = "adminListWebhooks", summary = "Webhooks of an application, oldest first",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(("applicationId" = String, Path, description = "Application id.")),
    responses((status = 200, description = "All of them, without their secrets.",
        body = inline(Vec<View<'_>>)), Usual, Lookup),
)]
pub(in crate::control) async fn list(InPlaceOf(call): InPlaceOf) -> Answer {
    super::list(call).await
}

#[utoipa::path(
    post, path = "/api/admin/applications/{applicationId}/webhooks", tag = "operations",
    operation_id = "adminCreateWebhook", summary = "Make a webhook of an application",
    security(("adminKey" = []), ("adminBearer" = [])),
    request_body = inline(Create),
    params(("applicationId" = String, Path, description = "Application id.")),
    responses((status = 200, description = "It is there; its secret is shown this once.",
        body = inline(WithSecret<'_>)), Usual, Lookup, Sized, Conflicting),
)]
pub(in crate::control) async fn create(InPlaceOf(call): InPlaceOf) -> Answer {
    super::create(call).await
}

#[utoipa::path(
    get, path = "/api/admin/applications/{applicationId}/webhooks/{id}", tag = "operations",
    operation_id = "adminGetWebhook", summary = "Show a webhook",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(("applicationId" = String, Path, description = "Application id."),
        ("id" = String, Path, description = "UUID.")),
    responses((status = 200, description = "Without its secret.", body = inline(View<'_>)), Usual, Lookup),
)]
pub(in crate::control) async fn fetch(InPlaceOf(call): InPlaceOf) -> Answer {
    super::fetch(call).await
}

#[utoipa::path(
    patch, path = "/api/admin/applications/{applicationId}/webhooks/{id}", tag = "operations",
    operation_id = "adminUpdateWebhook", summary = "Change a webhook",
    security(("adminKey" = []), ("adminBearer" = [])),
    request_body = inline(Change),
    params(("applicationId" = String, Path, description = "Application id."),
        ("id" = String, Path, description = "UUID.")),
    responses((status = 200, description = "As it is now.", body = inline(View<'_>)), Usual, Lookup, Sized),
)]
pub(in crate::control) async fn change(InPlaceOf(call): InPlaceOf) -> Answer {
    super::change(call).await
}

#[utoipa::path(
    delete, path = "/api/admin/applications/{applicationId}/webhooks/{id}", tag = "operations",
    operation_id = "adminDeleteWebhook", summary = "Delete a webhook with its deliveries",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(("applicationId" = String, Path, description = "Application id."),
        ("id" = String, Path, description = "UUID.")),
    responses((status = 200, description = "It is gone.", body = inline(Done)), Usual, Lookup),
)]
pub(in crate::control) async fn remove(InPlaceOf(call): InPlaceOf) -> Answer {
    super::remove(call).await
}

#[utoipa::path(
    get, path = "/api/admin/applications/{applicationId}/webhooks/{id}/deliveries", tag = "operations",
    operation_id = "adminListWebhookDeliveries", summary = "What a webhook was told in the last seven days, newest first",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(("applicationId" = String, Path, description = "Application id."),
        ("id" = String, Path, description = "UUID."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 200, description = "At most; 50 without it.")),
    responses((status = 200, description = "Some of it.", body = inline(Vec<DeliveryView<'_>>)), Usual, Lookup, Sized),
)]
pub(in crate::control) async fn deliveries(InPlaceOf(call): InPlaceOf) -> Answer {
    super::deliveries(call).await
}

#[utoipa::path(
    post, path = "/api/admin/applications/{applicationId}/webhooks/{id}/test", tag = "operations",
    operation_id = "adminTestWebhook", summary = "Send a `ping` to a webhook",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(("applicationId" = String, Path, description = "Application id."),
        ("id" = String, Path, description = "UUID.")),
    responses((status = 200, description = "It is on its way; see its deliveries.",
        body = inline(DeliveryView<'_>)), Usual, Lookup, Conflicting),
)]
pub(in crate::control) async fn test(InPlaceOf(call): InPlaceOf) -> Answer {
    super::test(call).await
}

#[utoipa::path(
    post, path = "/api/admin/applications/{applicationId}/webhooks/{id}/secret", tag = "operations",
    operation_id = "adminRotateWebhookSecret", summary = "Replace a webhook's secret; for 24 hours the old one signs as well",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(("applicationId" = String, Path, description = "Application id."),
        ("id" = String, Path, description = "UUID.")),
    responses((status = 200, description = "The new secret is shown this once.",
        body = inline(WithSecret<'_>)), Usual, Lookup),
)]
pub(in crate::control) async fn rotate(InPlaceOf(call): InPlaceOf) -> Answer {
    super::rotate(call).await
}
