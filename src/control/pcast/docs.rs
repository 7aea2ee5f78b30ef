//! Parameters and answers that many calls have in common, for the API description.

use utoipa::{IntoParams, IntoResponses};

use super::error::Body;

/// The channel that a path names.
#[derive(IntoParams)]
#[into_params(parameter_in = Path, rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes parameters")]
pub(in crate::control) struct Named {
    /// Channel id, percent-encoded, or alias.
    #[param(example = "live")]
    channel_id: String,
}

/// Which messages a call asks for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes parameters")]
pub(in crate::control) struct Range {
    /// Messages of the range, at most; 100 without it.
    #[param(minimum = 1, maximum = 128)]
    limit: Option<u64>,
    /// Only those before this one.
    before_message_id: Option<String>,
    /// Only those after this one.
    after_message_id: Option<String>,
    /// Only these types of the range, separated by commas.
    mime_types: Option<String>,
}

/// What any call with credentials may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers")]
pub(in crate::control) enum Usual {
    /// Something is missing or of the wrong kind; `reason` names it.
    #[response(status = 400)]
    BadRequest(Body),
    /// Credentials are missing or refused.
    #[response(status = 401)]
    Unauthorized(Body),
    /// Our own fault.
    #[response(status = 500)]
    Internal(Body),
    /// A limit is reached, or the database does not answer: `capacity`. `Retry-After` says when to try again.
    #[response(status = 503)]
    Capacity(Body),
}

/// What a call without credentials may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers")]
pub(in crate::control) enum Public {
    /// The query or the path cannot be read; `reason` says why.
    #[response(status = 400)]
    BadRequest(Body),
    /// No such channel.
    #[response(status = 404)]
    NotFound(Body),
    /// Our own fault.
    #[response(status = 500)]
    Internal(Body),
    /// A limit is reached, or the database does not answer: `capacity`.
    #[response(status = 503)]
    Capacity(Body),
    /// It took too long: `time-exceeded`.
    #[response(status = 504)]
    Timeout(Body),
}

/// What a call may answer of which an application can make too many.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers")]
pub(in crate::control) enum Limited {
    /// Too many requests of this application: `rate-limited`; or, of members, fork and kill, it took too long:
    /// `time-exceeded`. `Retry-After` says when to try again.
    #[response(status = 504)]
    RateLimited(Body),
}

/// What a call may answer that names something by its id.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers")]
pub(in crate::control) enum Lookup {
    /// It does not exist, or belongs to somebody else.
    #[response(status = 404)]
    NotFound(Body),
}

/// What a call with a body may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers")]
pub(in crate::control) enum Sized {
    /// The body, or a field of it, is above its limit.
    #[response(status = 413)]
    TooLarge(Body),
}

/// What a creation may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers")]
pub(in crate::control) enum Conflicting {
    /// The alias, the name or the id is taken: `already-exists`.
    #[response(status = 409)]
    Exists(Body),
    /// The body is above its limit.
    #[response(status = 413)]
    TooLarge(Body),
}
