//! Events that operators make for a tenant. They belong to a user of that tenant as all events do: to one as whom
//! nobody signs in, unless another one is named.

use sha2::{Digest, Sha256};

use crate::base::id::{Uuid, random_key};
use crate::base::secret::Secret;
use crate::control::api::answer::Answer;
use crate::control::api::docs::{Conflicting, Lookup, Sized, Usual};
use crate::control::api::{ByUser, Call, Error, event, password};
use crate::control::{State, auth};
use crate::store::User;

/// Characters of a password that nobody is told: 43 of 62 are 256 bits.
const PASSWORD_LENGTH: usize = 43;

#[utoipa::path(
    post, path = "/api/admin/events", tag = "operations", operation_id = "adminScheduleEvent",
    summary = "Schedule an event for a tenant",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(("applicationId" = Option<String>, Query, description = "The tenant; the first one without it."),
        ("userId" = Option<String>, Query, description = "Its user who owns the event; one of the operators' \
            without it.")),
    request_body = inline(event::docs::EventFields),
    responses((status = 200, description = "It is scheduled; its file may be uploaded.",
        body = inline(event::View)), Usual, Lookup, Sized, Conflicting),
)]
pub(super) async fn create(mut call: Call) -> Answer {
    if !auth::is_operator(&call.state, call.headers()) {
        return Err(Error::Unauthorized("the admin key is missing or wrong"));
    }
    call.caller.is_operator = true;
    let query = call.query().await?;
    let store = &call.state.setup().store;
    let first = &call.state.setup().first_application;
    let application = query.line("applicationId")?.unwrap_or(first);
    let tenant = store.known_application(application);
    let tenant = tenant.ok_or_else(|| Error::Bad("applicationId is no application".to_owned()))?;
    let owner = match query.line("userId")? {
        Some(id) => {
            let missing = || Error::Bad("userId is no user of the application".to_owned());
            let id = Uuid::try_parse(id).map_err(|_| missing())?;
            let found = store.user(&tenant.id, id).await?;
            found.ok_or_else(missing)?
        }
        None => stand_in(&call.state, &tenant.id).await?,
    };
    call.caller.tenant = tenant;
    event::schedule(ByUser(call, owner.into())).await
}

/// The user who owns what operators make for a tenant. Made when it is needed first.
async fn stand_in(state: &State, application: &str) -> Result<User, Error> {
    let store = &state.setup().store;
    // Nobody chooses an id: whoever signs up under the same name is somebody else.
    let digest = Sha256::digest(format!("operators of {application}"));
    let bytes = digest[..16].try_into().expect("a digest is longer");
    let id = uuid::Builder::from_custom_bytes(bytes).into_uuid();
    if let Some(user) = store.user(application, id).await? {
        return Ok(user);
    }
    let now = state.setup().clock.wall();
    let secret = Secret::new(random_key(PASSWORD_LENGTH));
    let hash = move || password::hashed(&secret);
    let name = format!("operators-{}", random_key(8));
    let user = User {
        id,
        application_id: application.to_owned(),
        email: format!("{name}@forebay.invalid"),
        username: name,
        password: state.work().run(hash).await??,
        phone: String::new(),
        phone_e164: String::new(),
        first_name: None,
        last_name: None,
        display_name: Some("Operators".to_owned()),
        avatar_url: None,
        created: now,
        updated: now,
    };
    match store.create_user(&user).await {
        Ok(user) => Ok(user),
        // Another operator was faster.
        Err(error) => store
            .user(application, id)
            .await?
            .ok_or_else(|| error.into()),
    }
}
