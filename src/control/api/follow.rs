//! Who follows whom (contract, broadcasts, section 8).

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Answer, Done, done, ok};
use super::docs::{ById, Conflicting, Lookup, Usual};
use super::{ByUser, Call, Error};
use crate::base::id::Uuid;
use crate::control::State;
use crate::store::User;

/// A number of users.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiCount)]
pub(in crate::control) struct Count {
    count: u64,
}

#[utoipa::path(
    get, path = "/api/users/followers/count", tag = "users", operation_id = "followersCount",
    summary = "How many follow the user", security(("userToken" = [])),
    responses((status = 200, description = "A number.", body = Count), Usual),
)]
pub(in crate::control) async fn followers(ByUser(call, user): ByUser) -> Answer {
    let follows = call.state.setup().store.follows(user.id).await?;
    let count = follows.followers;
    Ok(ok(&Count { count }))
}

#[utoipa::path(
    get, path = "/api/users/following/count", tag = "users", operation_id = "followingCount",
    summary = "How many the user follows", security(("userToken" = [])),
    responses((status = 200, description = "A number.", body = Count), Usual),
)]
pub(in crate::control) async fn following(ByUser(call, user): ByUser) -> Answer {
    let follows = call.state.setup().store.follows(user.id).await?;
    let count = follows.following;
    Ok(ok(&Count { count }))
}

#[utoipa::path(
    post, path = "/api/users/follow/{id}", tag = "users", operation_id = "followUser",
    summary = "Follow a user", security(("userToken" = [])),
    params(ById),
    responses((status = 200, description = "It is followed.", body = Done), Usual, Lookup, Conflicting),
)]
pub(in crate::control) async fn follow(ByUser(mut call, user): ByUser) -> Answer {
    let followed = other(&mut call, &user).await?;
    add_follow(&call.state, &user, followed).await
}

#[utoipa::path(
    delete, path = "/api/users/follow/{id}", tag = "users", operation_id = "unfollowUser",
    summary = "Follow a user no more", security(("userToken" = [])),
    params(ById),
    responses((status = 200, description = "It is not followed.", body = Done), Usual, Lookup),
)]
pub(in crate::control) async fn unfollow(ByUser(mut call, user): ByUser) -> Answer {
    let followed = other(&mut call, &user).await?;
    remove_follow(&call.state, &user, followed).await
}

/// Makes a user follow one who is there.
pub(super) async fn add_follow(state: &State, user: &User, followed: Uuid) -> Answer {
    if user.id == followed {
        return Err(Error::Bad("that is the user itself".to_owned()));
    }
    match state.setup().store.add_follow(user, followed).await? {
        true => Ok(done()),
        false => Err(Error::Conflict("it is followed already".to_owned())),
    }
}

/// Makes a user follow another one no more; it need not have followed it.
pub(super) async fn remove_follow(state: &State, user: &User, followed: Uuid) -> Answer {
    let store = &state.setup().store;
    store.remove_follow(user.id, followed).await?;
    Ok(done())
}

/// The user of the same tenant whom the path names.
async fn other(call: &mut Call, user: &Arc<User>) -> Result<Uuid, Error> {
    let id = call.parameter("id").await?;
    let missing = || Error::NotFound("user");
    let id = Uuid::try_parse(&id).map_err(|_| missing())?;
    let store = &call.state.setup().store;
    let found = store.user(&user.application_id, id).await?;
    found.map(|user| user.id).ok_or_else(missing)
}
