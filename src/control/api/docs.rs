//! Parameters and answers that many calls of `/api` have in common, for the API description.

use utoipa::{IntoParams, IntoResponses};

use super::error::Body;

/// What a path names by its id.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes parameters")]
pub(in crate::control) struct ById {
    /// UUID.
    id: String,
}

/// What any call may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers")]
pub(in crate::control) enum Usual {
    /// A credential is missing or refused.
    #[response(status = 401)]
    Unauthorized(Body),
    /// Too many requests; `Retry-After` says when to try again.
    #[response(status = 429)]
    TooMany(Body),
    /// Our own fault.
    #[response(status = 500)]
    Internal(Body),
    /// A limit is reached, or the database does not answer. `Retry-After` says when to try again.
    #[response(status = 503)]
    Capacity(Body),
}

/// What a call with parameters or a body may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers")]
pub(in crate::control) enum Read {
    /// Something is missing or of the wrong kind; `reason` names it.
    #[response(status = 400)]
    BadRequest(Body),
    /// The body is above its limit.
    #[response(status = 413)]
    TooLarge(Body),
}

/// What a call may answer that names something by its id.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers")]
pub(in crate::control) enum Lookup {
    /// The path cannot be read.
    #[response(status = 400)]
    BadPath(Body),
    /// It does not exist, or belongs to somebody else.
    #[response(status = 404)]
    NotFound(Body),
}

/// What a call may answer that things can be in the way of.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers")]
pub(in crate::control) enum Conflicting {
    /// It is there already.
    #[response(status = 409)]
    Conflict(Body),
}
