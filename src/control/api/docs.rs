//! Answers and parameters that many calls of `/api` have in common, for the API description.

use utoipa::{IntoParams, IntoResponses};

use super::error::Body;

/// The broadcast that a path names.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes parameters")]
pub(in crate::control) struct Named {
    /// Id of the broadcast, of its stream or of its channel, or its short id.
    #[param(example = "r5")]
    id: String,
}

/// What a path names by its only id.
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
    /// Something is missing or of the wrong kind; `reason` names it.
    #[response(status = 400)]
    BadRequest(Body),
    /// Credentials are missing or refused.
    #[response(status = 401)]
    Unauthorized(Body),
    /// Too many requests; `Retry-After` says when to try again.
    #[response(status = 429)]
    TooMany(Body),
    /// The header fields are above 8192 bytes.
    #[response(status = 431)]
    Head(Body),
    /// Our own fault.
    #[response(status = 500)]
    Internal(Body),
    /// A limit is reached, or the database does not answer; `Retry-After` says when to try again.
    #[response(status = 503)]
    Capacity(Body),
}

/// What a call may answer that names something by its id.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers")]
pub(in crate::control) enum Lookup {
    /// It is another user's.
    #[response(status = 403)]
    Forbidden(Body),
    /// It does not exist, or is another tenant's.
    #[response(status = 404)]
    NotFound(Body),
}

/// What a call with a body may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers")]
pub(in crate::control) enum Sized {
    /// The body is above its limit.
    #[response(status = 413)]
    TooLarge(Body),
}

/// What a call may answer that things can be in the way of.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers")]
pub(in crate::control) enum Conflicting {
    /// It is there already, or not in the state for it.
    #[response(status = 409)]
    Conflict(Body),
}
