//! SDK clients: each is a tenant (contract, broadcasts, sections 2 and 3). Their registration, and the list of
//! their users; what users do is not here.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::answer::{Answer, ok};
use super::docs::{Conflicting, Sized, Usual};
use super::error::Body;
use super::{ByClient, Call, Error, to_the_end, user};
use crate::base::id::Uuid;
use crate::base::secret::Secret;
use crate::control::auth;
use crate::control::pcast::Fields;

/// Where clients are registered, among the calls of operators.
pub(in crate::control) const PATH: &str = "/api/admin/sdk-clients";

/// Registrations that an address may make in an hour without the admin key, where that is allowed.
const REGISTRATIONS_PER_HOUR: u32 = 10;
/// Users in an answer, unless another number is asked for.
const DEFAULT_USERS: usize = 100;
/// Users in an answer, at most: some hundred kilobytes.
const MAX_USERS: usize = 500;

/// Texts of a registration that are kept, as long as they are one line.
const TEXTS: [&str; 9] = [
    "name",
    "website",
    "contactName",
    "contactTitle",
    "contactEmail",
    "contactPhone",
    "expectedApps",
    "expectedUsers",
    "description",
];
/// Of them, those that may be longer.
const LONG: [&str; 2] = ["description", "useCase"];
const CONSENTS: [&str; 3] = ["agreeTerms", "agreeMarketing", "agreeDataProcessing"];

/// What is said at registration.
#[derive(ToSchema)]
#[schema(as = SdkClientRegistration)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct Registration {
    /// Of the app or its maker.
    name: String,
    website: Option<String>,
    description: Option<String>,
    contact_name: Option<String>,
    contact_title: Option<String>,
    contact_email: String,
    contact_phone: Option<String>,
    #[schema(example = "1-5")]
    expected_apps: Option<String>,
    use_case: Option<String>,
    #[schema(example = "100-1000")]
    expected_users: Option<String>,
    /// Must be true.
    agree_terms: bool,
    agree_marketing: Option<bool>,
    agree_data_processing: Option<bool>,
}

/// The credentials of a new SDK client.
#[derive(Serialize, ToSchema)]
#[schema(as = SdkClient)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct Registered<'a> {
    /// Always true.
    success: bool,
    /// For the header `X-API-Key`.
    api_key: &'a str,
    /// Key of signatures; it is not shown again.
    secret_key: &'a str,
    client_id: String,
    message: &'static str,
}

#[utoipa::path(
    post, path = "/api/admin/sdk-clients", tag = "auth", operation_id = "registerSdkClient",
    summary = "Register an SDK client", request_body = inline(Registration),
    security(("adminKey" = []), ("adminBearer" = []), ()),
    responses((status = 200, description = "It is registered.", body = inline(Registered<'_>)), Usual,
        Sized, Conflicting,
        (status = 403, description = "Another page asks.", body = inline(Body))),
)]
pub(in crate::control) async fn register(mut call: Call) -> Answer {
    let setup = call.state.setup();
    let is_operator = auth::is_operator(&call.state, call.headers());
    if !is_operator && !setup.open_registration {
        return Err(Error::Unauthorized("the admin key is missing or wrong"));
    }
    let body = call.body().await?;
    let registration = read(Fields::parse(&body)?.without_nulls())?;
    if !is_operator {
        call.count_by_address("registration", REGISTRATIONS_PER_HOUR)?;
    }
    let id = Uuid::new_v4().to_string();
    let (key, secret) = (random("pk_"), random("sk_"));
    let store = call.state.setup().store.clone();
    let (client, client_key, client_secret) = (id.clone(), key.clone(), secret.clone());
    let work = async move {
        let made = store.register_client(&client, &client_key, &client_secret, &registration);
        Ok(made.await?)
    };
    to_the_end(&call.state, work).await?;
    tracing::info!(client = id, "SDK client registered");
    Ok(ok(&Registered {
        success: true,
        api_key: key.expose(),
        secret_key: secret.expose(),
        client_id: id,
        message: "Keep the secret key: it is not shown again",
    }))
}

#[utoipa::path(
    get, path = "/api/v1/users", tag = "v1", operation_id = "listUsers",
    summary = "List the users of the client, oldest first", security(("apiKey" = [])),
    params(("limit" = Option<u64>, Query, minimum = 1, maximum = 500, description = "At most; 100 without it."),
        ("offset" = Option<u64>, Query, description = "How many are left out.")),
    responses((status = 200, description = "Some of them.", body = inline(Vec<user::View<'_>>)), Usual, Sized),
)]
pub(in crate::control) async fn users(ByClient(mut call): ByClient) -> Answer {
    let query = call.query().await?;
    let limit = query.limit(DEFAULT_USERS, MAX_USERS)?;
    let offset = query.count("offset")?.unwrap_or(0);
    let store = &call.state.setup().store;
    let found = store.users(&call.caller.tenant.id, limit, offset).await?;
    let views: Vec<_> = found.iter().map(user::View::of).collect();
    Ok(ok(&views))
}

/// Checks what was said and gives what is kept of it.
fn read(mut fields: Fields) -> Result<String, Error> {
    let mut kept = Map::new();
    for name in TEXTS.iter().chain(&LONG[1..]) {
        let text = match LONG.contains(name) {
            true => fields.text(name)?,
            false => fields.line(name)?,
        };
        if let Some(text) = text {
            kept.insert((*name).to_owned(), Value::String(text));
        }
    }
    for name in ["name", "contactEmail"] {
        let text = kept.get(name).and_then(Value::as_str).unwrap_or_default();
        if text.trim().is_empty() {
            return Err(Error::Bad(format!("{name} is missing")));
        }
    }
    for name in CONSENTS {
        if let Some(flag) = fields.flag(name)? {
            kept.insert(name.to_owned(), Value::Bool(flag));
        }
    }
    if kept.get("agreeTerms") != Some(&Value::Bool(true)) {
        return Err(Error::Bad("agreeTerms is not true".to_owned()));
    }
    Ok(Value::Object(kept).to_string())
}

/// 122 random bits as 32 hexadecimal digits behind a prefix.
fn random(prefix: &str) -> Secret {
    let random = Uuid::new_v4().simple().to_string().to_uppercase();
    Secret::new(format!("{prefix}{random}"))
}
