//! Answers of `/api` that many calls have in common.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Error;
use crate::control::pcast::answer::json;

/// What handlers give.
pub(in crate::control) type Answer = Result<Response, Error>;

/// An answer without content of its own.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiDone)]
pub(in crate::control) struct Done {
    /// Always true.
    success: bool,
}

/// It is done.
pub(in crate::control) fn done() -> Response {
    ok(&Done { success: true })
}

/// What was asked for.
pub(in crate::control) fn ok(body: &impl Serialize) -> Response {
    json(StatusCode::OK, body)
}
