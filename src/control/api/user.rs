//! Users of a tenant (contract, broadcasts, section 8): sign-up, sign-in, tokens, profile, search.

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::answer::{Answer, Done, done, ok};
use super::docs::{Conflicting, Sized, Usual};
use super::time::seconds;
use super::{ByUser, Call, Error, password, phone};
use crate::base::id::Uuid;
use crate::base::secret::Secret;
use crate::control::State;
use crate::control::pcast::Fields;
use crate::store::{self, Hit, User};

/// Users that an address may make in an hour: a school or a carrier may share one.
const SIGN_UPS_PER_HOUR: u32 = 200;
/// Hits of a search, unless it is asked for fewer or more (section 8).
const DEFAULT_HITS: u64 = 20;
/// Hits of a search, at most.
const MAX_HITS: u64 = 100;

/// A user, as it sees itself.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiUser)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct View<'a> {
    #[schema(format = "uuid")]
    id: String,
    username: &'a str,
    email: &'a str,
    /// As it was given; empty when it is not known.
    phone_number: &'a str,
    #[schema(required = true)]
    first_name: Option<&'a str>,
    #[schema(required = true)]
    last_name: Option<&'a str>,
    #[schema(required = true)]
    display_name: Option<&'a str>,
    #[schema(required = true)]
    avatar_url: Option<&'a str>,
    /// Always true.
    is_active: bool,
    /// Always false: no mail is sent.
    email_verified: bool,
    /// Always false: nobody is called.
    phone_verified: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// A user with what belongs to it.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiFullProfile)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct Full<'a> {
    #[serde(flatten)]
    user: View<'a>,
    /// Id of its tenant.
    app_id_name: &'a str,
    follower_count: u64,
    following_count: u64,
    /// Who follow it and are followed by it.
    connection_count: u64,
}

/// A user who signed in.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiSignedIn)]
pub(in crate::control) struct SignedIn<'a> {
    /// For `Authorization: Bearer`, for 30 days.
    token: &'a str,
    user: View<'a>,
}

/// A user whom another one found.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiUserHit)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct HitView<'a> {
    #[schema(format = "uuid")]
    id: String,
    username: &'a str,
    email: &'a str,
    #[schema(required = true)]
    first_name: Option<&'a str>,
    #[schema(required = true)]
    last_name: Option<&'a str>,
    #[schema(required = true)]
    avatar_url: Option<&'a str>,
    is_following: bool,
}

/// Who signs up. Each text has at most 256 bytes.
#[derive(ToSchema)]
#[schema(as = ApiSignUp)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct SignUp {
    username: String,
    #[schema(format = "email")]
    email: String,
    /// At least 6 characters.
    password: String,
    phone_number: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    display_name: Option<String>,
}

/// Who signs in.
#[derive(ToSchema)]
#[schema(as = ApiSignIn)]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct SignIn {
    email: String,
    password: String,
}

/// What changes. What is left out or null stays; empty texts take away what may be missing.
#[derive(ToSchema)]
#[schema(as = ApiProfileChange)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct Change {
    username: Option<String>,
    email: Option<String>,
    phone_number: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    display_name: Option<String>,
    avatar_url: Option<String>,
}

/// Two passwords.
#[derive(ToSchema)]
#[schema(as = ApiPasswordChange)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct Passwords {
    current_password: String,
    /// At least 6 characters.
    new_password: String,
}

/// Who is searched for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes parameters")]
pub(in crate::control) struct Search {
    /// Part of a name, or an address of mail.
    q: String,
    /// 20 without it.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u64>,
}

impl View<'_> {
    pub(super) fn of(user: &User) -> View<'_> {
        View {
            id: user.id.to_string(),
            username: &user.username,
            email: &user.email,
            phone_number: &user.phone,
            first_name: user.first_name.as_deref(),
            last_name: user.last_name.as_deref(),
            display_name: user.display_name.as_deref(),
            avatar_url: user.avatar_url.as_deref(),
            is_active: true,
            email_verified: false,
            phone_verified: false,
            created_at: seconds(user.created),
            updated_at: seconds(user.updated),
        }
    }
}

impl HitView<'_> {
    fn of(hit: &Hit) -> HitView<'_> {
        HitView {
            id: hit.user.id.to_string(),
            username: &hit.user.username,
            email: &hit.user.email,
            first_name: hit.user.first_name.as_deref(),
            last_name: hit.user.last_name.as_deref(),
            avatar_url: hit.user.avatar_url.as_deref(),
            is_following: hit.is_following,
        }
    }
}

#[utoipa::path(
    post, path = "/api/users/signup", tag = "users", operation_id = "signup",
    summary = "Make a user of the tenant of the key", security((), ("apiKey" = [])),
    request_body = inline(SignUp),
    responses((status = 200, description = "It is signed in.", body = inline(SignedIn<'_>)), Usual,
        Sized, Conflicting),
)]
pub(in crate::control) async fn sign_up(mut call: Call) -> Answer {
    let body = call.body().await?;
    let mut fields = Fields::parse(&body)?.without_nulls();
    let username = fields.need_line("username")?.trim().to_owned();
    let email = fields.need_line("email")?.trim().to_owned();
    check_username(&username)?;
    check_email(&email)?;
    let word = Secret::new(fields.need_text("password")?);
    password::check("password", word.expose())?;
    let phone = fields.line("phoneNumber")?.unwrap_or_default();
    call.count_by_address("user", SIGN_UPS_PER_HOUR)?;
    let mut new = User {
        id: Uuid::new_v4(),
        application_id: call.caller.tenant.id.clone(),
        username,
        email,
        password: Secret::new(""),
        phone: phone.trim().to_owned(),
        phone_e164: String::new(),
        first_name: name(&mut fields, "firstName")?.flatten(),
        last_name: name(&mut fields, "lastName")?.flatten(),
        display_name: name(&mut fields, "displayName")?.flatten(),
        avatar_url: None,
        created: call.state.setup().clock.wall(),
        updated: call.state.setup().clock.wall(),
    };
    let made = call.state.work().run(move || {
        new.password = password::hashed(&word)?;
        new.phone_e164 = phone::e164(&new.phone).unwrap_or_default();
        Ok::<User, Error>(new)
    });
    let new = made.await??;
    let store = &call.state.setup().store;
    let user = store.create_user(&new).await?;
    let now = call.state.setup().clock.monotonic();
    let account = (user.application_id.as_str(), user.email.as_str());
    call.state.attempts().made(account, call.address(), now);
    let token = store.issue_bearer(&user).await?;
    Ok(signed_in(&token, &user))
}

#[utoipa::path(
    post, path = "/api/users/login", tag = "users", operation_id = "login",
    description = "Wrong passwords close an account for five minutes at most: ten of them to the address they \
        come from, thirty to all addresses where it was never signed in. Fifty close an address to all accounts.",
    summary = "A token for who knows the password", security((), ("apiKey" = [])),
    request_body = inline(SignIn),
    responses((status = 200, description = "It is signed in.", body = inline(SignedIn<'_>)), Usual, Sized),
)]
pub(in crate::control) async fn sign_in(mut call: Call) -> Answer {
    let body = call.body().await?;
    let mut fields = Fields::parse(&body)?;
    let email = fields.need_line("email")?.trim().to_owned();
    let word = Secret::new(fields.need_text("password")?);
    let tenant = call.caller.tenant.id.as_str();
    let state = &call.state;
    let now = state.setup().clock.monotonic();
    let counted = state
        .attempts()
        .take((tenant, &email), call.address(), now)?;
    let found = state.setup().store.user_by_email(tenant, &email).await?;
    let refused = Error::Unauthorized("the address or the password is wrong");
    let Some(user) = right(state, word, found).await? else {
        return Err(refused);
    };
    state.attempts().forgive(counted, now);
    match state.setup().store.issue_bearer(&user).await {
        Err(store::Error::Missing { .. }) => Err(refused),
        token => Ok(signed_in(&token?, &user)),
    }
}

#[utoipa::path(
    post, path = "/api/users/logout", tag = "users", operation_id = "signOut",
    summary = "End the token", security(("userToken" = [])),
    responses((status = 200, description = "It opens nothing any more.", body = Done), Usual),
)]
pub(in crate::control) async fn sign_out(ByUser(call, _): ByUser) -> Answer {
    let token = call.bearer().unwrap_or_default();
    call.state.setup().store.revoke_bearer(token).await?;
    Ok(done())
}

#[utoipa::path(
    post, path = "/api/users/token", tag = "users", operation_id = "rotateToken",
    summary = "A new token in place of this one", security(("userToken" = [])),
    responses((status = 200, description = "The old one ends.", body = inline(SignedIn<'_>)), Usual),
)]
pub(in crate::control) async fn rotate(ByUser(call, user): ByUser) -> Answer {
    let old = call.bearer().unwrap_or_default();
    match call.state.setup().store.rotate_bearer(&user, old).await {
        Err(store::Error::Missing { .. }) => {
            Err(Error::Unauthorized("the token is no longer good"))
        }
        token => Ok(signed_in(&token?, &user)),
    }
}

#[utoipa::path(
    get, path = "/api/users/profile/full", tag = "users", operation_id = "fullProfile",
    summary = "Who the user is", security(("userToken" = [])),
    responses((status = 200, description = "Itself.", body = inline(Full<'_>)), Usual),
)]
pub(in crate::control) async fn profile(ByUser(call, user): ByUser) -> Answer {
    let follows = call.state.setup().store.follows(user.id).await?;
    Ok(ok(&Full {
        user: View::of(&user),
        app_id_name: &user.application_id,
        follower_count: follows.followers,
        following_count: follows.following,
        connection_count: follows.mutual,
    }))
}

#[utoipa::path(
    put, path = "/api/users/profile", tag = "users", operation_id = "updateProfile",
    summary = "Change who the user is", security(("userToken" = [])),
    request_body = inline(Change),
    responses((status = 200, description = "As it is now.", body = View<'_>), Usual, Sized, Conflicting),
)]
pub(in crate::control) async fn change(ByUser(mut call, user): ByUser) -> Answer {
    let body = call.body().await?;
    let mut fields = Fields::parse_optional(&body)?.without_nulls();
    let mut user = User::clone(&user);
    if let Some(username) = fields.line("username")? {
        username.trim().clone_into(&mut user.username);
        check_username(&user.username)?;
    }
    if let Some(email) = fields.line("email")? {
        email.trim().clone_into(&mut user.email);
        check_email(&user.email)?;
    }
    for (key, value) in [
        ("firstName", &mut user.first_name),
        ("lastName", &mut user.last_name),
        ("displayName", &mut user.display_name),
        ("avatarUrl", &mut user.avatar_url),
    ] {
        if let Some(said) = name(&mut fields, key)? {
            *value = said;
        }
    }
    if let Some(said) = fields.line("phoneNumber")? {
        said.trim().clone_into(&mut user.phone);
        let found = call.state.work().run(move || phone::e164(&said)).await?;
        user.phone_e164 = found.unwrap_or_default();
    }
    let user = call.state.setup().store.update_user(&user).await?;
    Ok(ok(&View::of(&user)))
}

#[utoipa::path(
    delete, path = "/api/users/profile", tag = "users", operation_id = "deleteProfile",
    summary = "Remove the user with all that is its own", security(("userToken" = [])),
    responses((status = 200, description = "Its tokens open nothing any more.", body = Done), Usual),
)]
pub(in crate::control) async fn remove(ByUser(call, user): ByUser) -> Answer {
    call.state.setup().store.delete_user(user.id).await?;
    Ok(done())
}

#[utoipa::path(
    post, path = "/api/users/change-password", tag = "users", operation_id = "changePassword",
    summary = "Change the password; all other tokens end", security(("userToken" = [])),
    request_body = inline(Passwords),
    responses((status = 200, description = "It is changed.", body = Done), Usual, Sized),
)]
pub(in crate::control) async fn change_password(ByUser(mut call, user): ByUser) -> Answer {
    let body = call.body().await?;
    let mut fields = Fields::parse(&body)?;
    let current = Secret::new(fields.need_text("currentPassword")?);
    let new = Secret::new(fields.need_text("newPassword")?);
    password::check("newPassword", new.expose())?;
    let state = &call.state;
    let now = state.setup().clock.monotonic();
    let account = (user.application_id.as_str(), user.email.as_str());
    let counted = state.attempts().take(account, call.address(), now)?;
    let refused = || Error::Bad("currentPassword is wrong".to_owned());
    let Some(user) = right(state, current, Some(User::clone(&user))).await? else {
        return Err(refused());
    };
    state.attempts().forgive(counted, now);
    let new = state.work().run(move || password::hashed(&new)).await??;
    let kept = call.bearer().unwrap_or_default();
    match state.setup().store.change_password(&user, &new, kept).await {
        Err(store::Error::Missing { .. }) => Err(refused()),
        changed => {
            changed?;
            Ok(done())
        }
    }
}

#[utoipa::path(
    get, path = "/api/users/search", tag = "users", operation_id = "searchUsers",
    summary = "Users of the same tenant", security(("userToken" = [])),
    params(Search),
    responses((status = 200, description = "The best first.", body = inline(Vec<HitView<'_>>)), Usual,
        Sized),
)]
pub(in crate::control) async fn search(ByUser(mut call, user): ByUser) -> Answer {
    let query = call.query().await?;
    let text = query
        .line("q")?
        .ok_or_else(|| Error::Bad("q is missing".to_owned()))?;
    let limit = query.count("limit")?.unwrap_or(DEFAULT_HITS);
    if !(1..=MAX_HITS).contains(&limit) {
        return Err(Error::Bad(format!("limit is not 1 to {MAX_HITS}")));
    }
    let text = text.trim();
    if text.is_empty() {
        return Ok(ok(&[(); 0]));
    }
    let store = &call.state.setup().store;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let hits = store.search_users(&user, text, limit).await?;
    let hits: Vec<_> = hits.iter().map(HitView::of).collect();
    Ok(ok(&hits))
}

/// The user, if this is its password.
async fn right(state: &State, word: Secret, user: Option<User>) -> Result<Option<User>, Error> {
    let check = move || {
        let kept = user.as_ref().map(|user| &user.password);
        password::is_right(&word, kept).then_some(user).flatten()
    };
    state.work().run(check).await
}

fn signed_in(token: &Secret, user: &User) -> axum::response::Response {
    ok(&SignedIn {
        token: token.expose(),
        user: View::of(user),
    })
}

/// A text that may be left out, and that an empty one takes away.
pub(super) fn name(fields: &mut Fields, key: &str) -> Result<Option<Option<String>>, Error> {
    let said = fields.line(key)?;
    Ok(said.map(|said| {
        let said = said.trim();
        (!said.is_empty()).then(|| said.to_owned())
    }))
}

fn check_username(username: &str) -> Result<(), Error> {
    match username.is_empty() {
        true => Err(Error::Bad("username is empty".to_owned())),
        false => Ok(()),
    }
}

/// Whether mail could have such an address; only mail itself could tell more.
fn check_email(email: &str) -> Result<(), Error> {
    let parts = email.rsplit_once('@');
    let is_one = parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
        && !email.contains(char::is_whitespace);
    match is_one {
        true => Ok(()),
        false => Err(Error::Bad("email is not an address".to_owned())),
    }
}
