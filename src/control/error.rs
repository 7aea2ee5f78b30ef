//! Answers that are not what was asked for, in the words of the channel API.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::base::Kind;

/// A refusal. Its body is `{"status": "<word>"}` (contract, channels, section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// 400.
    #[error("bad-request")]
    BadRequest,
    /// 401.
    #[error("unauthorized")]
    Unauthorized,
    /// 404.
    #[error("not-found")]
    NotFound,
    /// 409: not in the state that things are in.
    #[error("conflict")]
    Conflict,
    /// 415: the stream is not offered in this form.
    #[error("unsupported")]
    Unsupported,
    /// 500: our own fault.
    #[error("internal")]
    Internal,
    /// 503: the same request may succeed later.
    #[error("capacity")]
    Capacity,
}

impl Error {
    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Error::BadRequest => StatusCode::BAD_REQUEST,
            Error::Unauthorized => StatusCode::UNAUTHORIZED,
            Error::NotFound => StatusCode::NOT_FOUND,
            Error::Conflict => StatusCode::CONFLICT,
            Error::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Error::Capacity => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What kind of failure it is.
    pub fn kind(self) -> Kind {
        match self {
            Error::BadRequest | Error::Conflict | Error::Unsupported => Kind::Invalid,
            Error::Unauthorized => Kind::Denied,
            Error::NotFound => Kind::NotFound,
            Error::Internal => Kind::Internal,
            Error::Capacity => Kind::Capacity,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = Json(json!({ "status": self.to_string() }));
        (self.status(), body).into_response()
    }
}

/// With the database down, running streams go on and control answers 503.
impl From<crate::store::Error> for Error {
    fn from(error: crate::store::Error) -> Error {
        match error.kind() {
            Kind::NotFound => Error::NotFound,
            Kind::Invalid => Error::BadRequest,
            Kind::Denied => Error::Unauthorized,
            Kind::Capacity | Kind::Timeout | Kind::Internal => {
                tracing::error!(err = %error, "database call failed");
                Error::Capacity
            }
        }
    }
}
