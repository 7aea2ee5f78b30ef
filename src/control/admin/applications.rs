//! Applications for operators: who may use the channel API.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::base::rfc3339::Rfc3339;
use crate::base::secret::Secret;
use crate::control::pcast::answer::{Answer, Done, OK, done, json};
use crate::control::pcast::docs::{Conflicting, Lookup, Usual};
use crate::control::pcast::{ByOperator, Error, Fields};
use crate::store::random_secret;

/// Characters of an id, which is part of every id of a channel.
const MAX_ID_CHARACTERS: usize = 64;

/// An application. Its secret is shown once, when it is made.
#[derive(Serialize, ToSchema)]
#[schema(as = Application)]
#[serde(rename_all = "camelCase")]
struct View {
    /// User name of the channel API.
    application_id: String,
    /// When it was made.
    #[schema(format = DateTime)]
    created: String,
    /// How many channels it has.
    channels: usize,
    /// Whether the settings name it, so that it cannot be removed.
    is_first: bool,
}

/// An answer with applications.
#[derive(Serialize, ToSchema)]
#[schema(as = ApplicationList)]
pub(super) struct Many {
    /// `ok`.
    status: &'static str,
    /// Oldest first.
    applications: Vec<View>,
}

/// An answer with new credentials of an application.
#[derive(Serialize, ToSchema)]
#[schema(as = NewApplication)]
#[serde(rename_all = "camelCase")]
pub(super) struct Made {
    /// `ok`.
    status: &'static str,
    /// User name of the channel API.
    application_id: String,
    /// Password of the channel API. Shown this once.
    secret: String,
}

/// Which application is made.
#[derive(ToSchema)]
#[schema(as = ApplicationCreate)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(super) struct Add {
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")]
    application_id: String,
}

#[utoipa::path(
    get, path = "/api/admin/applications", tag = "operations", operation_id = "adminApplications",
    summary = "All applications", security(("adminKey" = []), ("adminBearer" = [])),
    responses((status = 200, description = "Without their secrets.", body = inline(Many)), Usual),
)]
pub(super) async fn list(ByOperator(call): ByOperator) -> Answer {
    let setup = call.state.setup();
    let applications = setup.store.applications().await?.into_iter();
    let applications = applications.map(|application| View {
        created: Rfc3339(application.created).to_string(),
        channels: setup.store.known_channel_count_of(&application.id),
        is_first: application.id == setup.first_application,
        application_id: application.id,
    });
    let answer = Many {
        status: OK,
        applications: applications.collect(),
    };
    Ok(json(StatusCode::OK, &answer))
}

#[utoipa::path(
    post, path = "/api/admin/applications", tag = "operations",
    operation_id = "adminAddApplication", summary = "Make an application",
    security(("adminKey" = []), ("adminBearer" = [])), request_body = inline(Add),
    responses((status = 200, description = "Its credentials; the secret is shown this once.",
        body = inline(Made)), Usual, Conflicting),
)]
pub(super) async fn add(ByOperator(mut call): ByOperator) -> Answer {
    let body = call.body().await?;
    let mut fields = Fields::parse(&body)?;
    let id = fields.need_text("applicationId")?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if id.is_empty() || id.len() > MAX_ID_CHARACTERS || !id.bytes().all(good) {
        return Err(Error::Bad(format!(
            "applicationId is not 1 to {MAX_ID_CHARACTERS} letters, digits, dots, _ and -"
        )));
    }
    let secret = random_secret();
    let answer = made(&id, &secret);
    let state = call.state.clone();
    call.state
        .to_the_end(async move {
            let setup = state.setup();
            setup.store.add_application(&id, &secret).await?;
            tracing::info!(application = id, "application added");
            Ok(())
        })
        .await?;
    Ok(answer)
}

fn made(application_id: &str, secret: &Secret) -> Response {
    let answer = Made {
        status: OK,
        application_id: application_id.to_owned(),
        secret: secret.expose().to_owned(),
    };
    json(StatusCode::OK, &answer)
}

#[utoipa::path(
    post, path = "/api/admin/applications/{applicationId}/secret", tag = "operations",
    operation_id = "adminRotateSecret",
    summary = "Replace an application's secret; the old one, and tokens signed with it, are refused at once",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(("applicationId" = String, Path, description = "Application id.")),
    responses((status = 200, description = "The new credentials; the secret is shown this once.",
        body = inline(Made)), Usual, Lookup,
        (status = 409, description = "The secret is a setting: `conflict`.",
            body = inline(crate::control::pcast::error::Body))),
)]
pub(super) async fn rotate(ByOperator(mut call): ByOperator) -> Answer {
    let id = call.parameter("applicationId").await?;
    if id == call.state.setup().first_application {
        let why =
            "the secret of this application is a setting, it would come back at the next start";
        return Err(Error::Conflict(why.to_owned()));
    }
    let state = call.state.clone();
    call.state
        .to_the_end(async move {
            let setup = state.setup();
            let secret = setup.store.rotate_secret(&id).await?;
            tracing::info!(application = id, "application's secret replaced");
            Ok(made(&id, &secret))
        })
        .await
}

#[utoipa::path(
    delete, path = "/api/admin/applications/{applicationId}", tag = "operations",
    operation_id = "adminRemoveApplication",
    summary = "Remove an application with its channels; their publishers are disconnected",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(("applicationId" = String, Path, description = "Application id.")),
    responses((status = 200, description = "It is gone.", body = inline(Done)), Usual, Lookup,
        (status = 409, description = "The settings name it: `conflict`.",
            body = inline(crate::control::pcast::error::Body))),
)]
pub(super) async fn remove(ByOperator(mut call): ByOperator) -> Answer {
    let id = call.parameter("applicationId").await?;
    if id == call.state.setup().first_application {
        let why = "the settings name this application, it would come back at the next start";
        return Err(Error::Conflict(why.to_owned()));
    }
    let state = call.state.clone();
    call.state
        .to_the_end(async move {
            let setup = state.setup();
            // What its channels have on air ends with that.
            setup.store.remove_application(&id).await?;
            tracing::info!(application = id, "application removed");
            Ok(())
        })
        .await?;
    Ok(done())
}
