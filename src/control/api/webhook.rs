//! Webhooks: where a tenant wants to hear of its broadcasts and publishers. In: requests of SDK clients. Out:
//! what the store keeps of them. What is sent, and how, is in the files below: [`Webhooks`] sends it
//! (`sender.rs`) in the form of the Standard Webhooks specification (`message.rs`), and looks who publishes
//! (`presence.rs`); what becomes of broadcasts the store writes down itself.

mod message;
pub(in crate::control) mod operators;
mod presence;
mod sender;

use std::time::Duration;

use axum::routing::{MethodRouter, get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Answer, Done, done, ok};
use super::docs::{ById, Conflicting, Lookup, Sized, Usual};
use super::time::seconds;
use super::{ByClient, Call, Error};
use crate::base::destination::{self, Private};
use crate::base::id::Uuid;
use crate::base::secret::Secret;
use crate::control::outbound::Target;
use crate::control::pcast::Fields;
use crate::control::{Side, State};
use crate::store::{self, Delivery, NewWebhook, Webhook, WebhookUpdate};
pub use sender::Webhooks;

/// What webhooks may be told, beside the `ping` of a test.
const EVENTS: [&str; 16] = [
    "broadcast.created",
    "broadcast.active",
    "broadcast.completed",
    "broadcast.error",
    "event.scheduled",
    "event.updated",
    "event.started",
    "event.ended",
    "event.failed",
    "event.takeover",
    "event.deleted",
    "publisher.connected",
    "publisher.lost",
    "publisher.disconnected",
    "stream.started",
    "stream.ended",
];
/// Longest address, in bytes.
const MAX_URL: usize = 2048;
/// Longest description, in bytes.
const MAX_DESCRIPTION: usize = 1000;
/// Random bytes of a secret (Standard Webhooks: 24 to 64).
const SECRET_BYTES: usize = 32;
/// What stands before a secret's base64 (Standard Webhooks, "Signature scheme").
const SECRET_PREFIX: &str = "whsec_";
/// How long a replaced secret signs beside the new one: a working day to roll it out.
const OLD_SECRET_SIGNS: Duration = Duration::from_secs(24 * 3600);
/// Deliveries in an answer, unless another number is asked for.
const DEFAULT_LIMIT: usize = 50;
/// Deliveries in an answer.
const MAX_LIMIT: usize = 200;

/// A webhook.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiWebhook)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct View<'a> {
    #[schema(format = "uuid")]
    id: String,
    url: &'a str,
    description: &'a str,
    /// Which events; empty: all, also those that later versions have.
    events: &'a [String],
    /// Whether it is told anything.
    is_active: bool,
    /// Why the gateway switched it off.
    #[schema(required = true)]
    disabled_reason: Option<&'a str>,
    /// Since when nothing has arrived there; null: the last attempt succeeded, or there was none.
    #[schema(required = true, format = DateTime)]
    failing_since: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// A webhook with its new secret.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiWebhookSecret)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct WithSecret<'a> {
    #[serde(flatten)]
    webhook: View<'a>,
    /// What bodies are signed with. Shown this once.
    #[schema(pattern = "^whsec_")]
    secret: &'a str,
    /// Until when the secret before signs as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    old_secret_until: Option<String>,
}

/// An event on its way to a webhook.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiWebhookDelivery)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct DeliveryView<'a> {
    /// As in the header `webhook-id` and the body.
    id: &'a str,
    /// What happened.
    event: &'a str,
    /// `pending`, `delivered` or `failed`.
    status: &'static str,
    /// How often it was tried.
    attempts: u32,
    /// Code of the last answer.
    #[schema(required = true)]
    response_code: Option<u16>,
    /// Why the last attempt failed.
    #[schema(required = true)]
    error: Option<&'a str>,
    /// When it is tried next.
    #[schema(required = true, format = DateTime)]
    next_attempt_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    last_attempt_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    delivered_at: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
}

/// A new webhook.
#[derive(ToSchema)]
#[schema(as = ApiWebhookCreate)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct Create {
    /// https or http, without user and password.
    #[schema(max_length = 2048)]
    url: String,
    #[schema(max_length = 1000)]
    description: Option<String>,
    /// Which events; empty or left out: all.
    events: Option<Vec<String>>,
    /// True when left out.
    is_active: Option<bool>,
}

/// What changes of a webhook. What is left out or null stays.
#[derive(ToSchema)]
#[schema(as = ApiWebhookChange)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct Change {
    #[schema(max_length = 2048)]
    url: Option<String>,
    #[schema(max_length = 1000)]
    description: Option<String>,
    events: Option<Vec<String>>,
    /// False: what is pending is not sent any more. True: it begins anew, also when the gateway had switched it
    /// off.
    is_active: Option<bool>,
}

impl View<'_> {
    fn of(webhook: &Webhook) -> View<'_> {
        View {
            id: webhook.id.to_string(),
            url: &webhook.url,
            description: &webhook.description,
            events: &webhook.events,
            is_active: webhook.active,
            disabled_reason: webhook.off_reason.as_deref(),
            failing_since: webhook.failing_since.map(seconds),
            created_at: seconds(webhook.created),
            updated_at: seconds(webhook.updated),
        }
    }
}

impl<'a> WithSecret<'a> {
    fn of(webhook: &'a Webhook) -> WithSecret<'a> {
        WithSecret {
            webhook: View::of(webhook),
            secret: webhook.secret.expose(),
            old_secret_until: webhook
                .old_secret
                .as_ref()
                .map(|(_, until)| seconds(*until)),
        }
    }
}

impl DeliveryView<'_> {
    fn of(delivery: &Delivery) -> DeliveryView<'_> {
        DeliveryView {
            id: &delivery.id,
            event: &delivery.event,
            status: match (delivery.delivered, delivery.next) {
                (Some(_), _) => "delivered",
                (None, Some(_)) => "pending",
                (None, None) => "failed",
            },
            attempts: delivery.attempts,
            response_code: delivery.code,
            error: delivery.error.as_deref(),
            next_attempt_at: delivery.next.map(seconds),
            last_attempt_at: delivery.attempted.map(seconds),
            delivered_at: delivery.delivered.map(seconds),
            created_at: seconds(delivery.created),
        }
    }
}

/// Routes of webhooks.
pub(super) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    use Side::Public;
    let mut routes = vec![
        ("/api/webhooks", Public, get(list).post(create)),
        (
            "/api/webhooks/{id}",
            Public,
            get(fetch).patch(change).delete(remove),
        ),
        ("/api/webhooks/{id}/deliveries", Public, get(deliveries)),
        ("/api/webhooks/{id}/test", Public, post(test)),
        ("/api/webhooks/{id}/secret", Public, post(rotate)),
    ];
    routes.extend(operators::routes());
    routes
}

#[utoipa::path(
    get, path = "/api/webhooks", tag = "webhooks", operation_id = "listWebhooks",
    summary = "Webhooks of the client, oldest first", security(("apiKey" = [])),
    responses((status = 200, description = "All of them, without their secrets.",
        body = inline(Vec<View<'_>>)), Usual),
)]
pub(in crate::control) async fn list(ByClient(call): ByClient) -> Answer {
    let store = &call.state.setup().store;
    let found = store.webhooks_of(&call.caller.tenant.id).await?;
    Ok(ok(&found.iter().map(View::of).collect::<Vec<_>>()))
}

#[utoipa::path(
    post, path = "/api/webhooks", tag = "webhooks", operation_id = "createWebhook",
    summary = "Make a webhook", security(("apiKey" = [])), request_body = inline(Create),
    responses((status = 200, description = "It is there; its secret is shown this once.",
        body = inline(WithSecret<'_>)), Usual, Sized, Conflicting),
)]
pub(in crate::control) async fn create(ByClient(mut call): ByClient) -> Answer {
    let body = call.body().await?;
    let fields = Fields::parse(&body)?.without_nulls();
    let setup = call.state.setup();
    let update = read(fields, &setup.webhooks_private)?;
    let url = update.url.ok_or(Error::Bad("url is missing".to_owned()))?;
    let secret = random_secret();
    let new = NewWebhook {
        application_id: &call.caller.tenant.id,
        url: &url,
        description: update.description.as_deref().unwrap_or_default(),
        events: update.events.as_deref().unwrap_or_default(),
        secret: &secret,
        active: update.active.unwrap_or(true),
    };
    let made = setup.store.create_webhook(&new).await.map_err(full)?;
    tracing::info!(application = made.application_id, webhook = %made.id, "webhook made");
    Ok(ok(&WithSecret::of(&made)))
}

#[utoipa::path(
    get, path = "/api/webhooks/{id}", tag = "webhooks", operation_id = "getWebhook",
    summary = "Show a webhook", security(("apiKey" = [])), params(ById),
    responses((status = 200, description = "Without its secret.", body = inline(View<'_>)), Usual,
        Lookup),
)]
pub(in crate::control) async fn fetch(ByClient(mut call): ByClient) -> Answer {
    let found = webhook(&mut call).await?;
    Ok(ok(&View::of(&found)))
}

#[utoipa::path(
    patch, path = "/api/webhooks/{id}", tag = "webhooks", operation_id = "updateWebhook",
    summary = "Change a webhook", security(("apiKey" = [])), params(ById),
    request_body = inline(Change),
    responses((status = 200, description = "As it is now.", body = inline(View<'_>)), Usual, Lookup,
        Sized),
)]
pub(in crate::control) async fn change(ByClient(mut call): ByClient) -> Answer {
    let found = webhook(&mut call).await?;
    let body = call.body().await?;
    let fields = Fields::parse_optional(&body)?.without_nulls();
    let setup = call.state.setup();
    let update = read(fields, &setup.webhooks_private)?;
    let owner = &found.application_id;
    let changed = setup.store.update_webhook(owner, found.id, &update).await?;
    Ok(ok(&View::of(&changed)))
}

#[utoipa::path(
    delete, path = "/api/webhooks/{id}", tag = "webhooks", operation_id = "deleteWebhook",
    summary = "Delete a webhook with its deliveries", security(("apiKey" = [])), params(ById),
    responses((status = 200, description = "It is gone.", body = inline(Done)), Usual, Lookup),
)]
pub(in crate::control) async fn remove(ByClient(mut call): ByClient) -> Answer {
    let found = webhook(&mut call).await?;
    let store = &call.state.setup().store;
    store
        .remove_webhook(&found.application_id, found.id)
        .await?;
    Ok(done())
}

#[utoipa::path(
    get, path = "/api/webhooks/{id}/deliveries", tag = "webhooks",
    operation_id = "listWebhookDeliveries",
    summary = "What the webhook was told in the last seven days, newest first",
    security(("apiKey" = [])),
    params(ById, ("limit" = Option<u64>, Query, minimum = 1, maximum = 200,
        description = "At most; 50 without it.")),
    responses((status = 200, description = "Some of it.", body = inline(Vec<DeliveryView<'_>>)),
        Usual, Lookup, Sized),
)]
pub(in crate::control) async fn deliveries(ByClient(mut call): ByClient) -> Answer {
    let found = webhook(&mut call).await?;
    let limit = call.query().await?.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let store = &call.state.setup().store;
    let deliveries = store.deliveries_of(found.id, limit).await?;
    Ok(ok(&deliveries
        .iter()
        .map(DeliveryView::of)
        .collect::<Vec<_>>()))
}

#[utoipa::path(
    post, path = "/api/webhooks/{id}/test", tag = "webhooks", operation_id = "testWebhook",
    summary = "Send a `ping` to the webhook", security(("apiKey" = [])), params(ById),
    responses((status = 200, description = "It is on its way; see its deliveries.",
        body = inline(DeliveryView<'_>)), Usual, Lookup, Conflicting),
)]
pub(in crate::control) async fn test(ByClient(mut call): ByClient) -> Answer {
    let found = webhook(&mut call).await?;
    let store = &call.state.setup().store;
    let delivery = store.ping_webhook(&found.application_id, found.id).await;
    Ok(ok(&DeliveryView::of(&delivery.map_err(full)?)))
}

#[utoipa::path(
    post, path = "/api/webhooks/{id}/secret", tag = "webhooks", operation_id = "rotateWebhookSecret",
    summary = "Replace the secret; for 24 hours bodies are signed with the old one as well",
    security(("apiKey" = [])), params(ById),
    responses((status = 200, description = "The new secret is shown this once.",
        body = inline(WithSecret<'_>)), Usual, Lookup),
)]
pub(in crate::control) async fn rotate(ByClient(mut call): ByClient) -> Answer {
    let found = webhook(&mut call).await?;
    let setup = call.state.setup();
    let overlap = i64::try_from(OLD_SECRET_SIGNS.as_micros()).unwrap_or(i64::MAX);
    let until = setup.clock.wall().plus_micros(overlap);
    let (owner, secret) = (&found.application_id, random_secret());
    let rotated = setup
        .store
        .rotate_webhook_secret(owner, found.id, &secret, until);
    let rotated = rotated.await?;
    tracing::info!(application = owner, webhook = %found.id, "webhook's secret replaced");
    Ok(ok(&WithSecret::of(&rotated)))
}

/// The webhook that the path names; another tenant's is not there.
async fn webhook(call: &mut Call) -> Result<Webhook, Error> {
    let id = call.parameter("id").await?;
    let id = Uuid::parse_str(&id).map_err(|_| Error::NotFound("webhook"))?;
    let store = &call.state.setup().store;
    Ok(store.webhook(&call.caller.tenant.id, id).await?)
}

/// What is asked for, checked.
fn read(mut fields: Fields, private: &Private) -> Result<WebhookUpdate, Error> {
    let url = fields.text("url")?;
    if let Some(url) = &url {
        check_url(url, private).map_err(|why| Error::Bad(format!("url: {why}")))?;
    }
    let description = fields.text("description")?;
    if description
        .as_ref()
        .is_some_and(|text| text.len() > MAX_DESCRIPTION)
    {
        return Err(Error::Bad(format!(
            "description is longer than {MAX_DESCRIPTION} bytes"
        )));
    }
    let events = fields.words("events")?;
    for event in events.iter().flatten() {
        if !EVENTS.contains(&event.as_str()) {
            let known = EVENTS.join(", ");
            return Err(Error::Bad(format!(
                "events holds a word other than {known}"
            )));
        }
    }
    Ok(WebhookUpdate {
        url,
        description,
        events,
        active: fields.flag("isActive")?,
    })
}

/// Why an address cannot be that of a webhook. What its name stands for is looked at when it is called.
fn check_url(url: &str, private: &Private) -> Result<(), String> {
    if url.len() > MAX_URL {
        return Err(format!("it is longer than {MAX_URL} bytes"));
    }
    let target = Target::of(url)?;
    if target.has_user() {
        return Err("it has a user or a password: the signature says who sends".to_owned());
    }
    match destination::refused(&target.host, private) {
        Some(refused) => Err(refused.to_string()),
        None => Ok(()),
    }
}

fn random_secret() -> Secret {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).expect("the system has a random number generator");
    Secret::new(format!("{SECRET_PREFIX}{}", STANDARD.encode(bytes)))
}

/// A tenant's own limit is nobody else's matter: it does not go away by waiting.
fn full(error: store::Error) -> Error {
    match error {
        store::Error::Full { .. } => Error::Conflict(error.to_string()),
        other => other.into(),
    }
}
