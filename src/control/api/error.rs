//! Answers of `/api` that are not what was asked for, with the one body that its clients know (contract,
//! broadcasts, section 1): `{"error": true, "reason": "…", "success": false, "message": "…"}`.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::base::Kind;
use crate::control::pcast;
use crate::films;
use crate::store;

/// When a request that met a limit of ours may come again, at the earliest.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A refusal of `/api`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::control) enum Error {
    /// 400; the sentence names the field.
    #[error("{0}")]
    Bad(String),
    /// 401: the API key is missing or wrong.
    #[error("Invalid API key")]
    Key,
    /// 401: the signature is wrong, late, or of nobody.
    #[error("Invalid signature")]
    Signature,
    /// 401: no user, or no operator.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// 403: it is another user's, or another page asks.
    #[error("it is not for this caller")]
    Forbidden,
    /// 403; the sentence says what is not allowed.
    #[error("{0}")]
    NotAllowed(&'static str),
    /// 404; of another tenant as well.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// 405.
    #[error("there is no such method here")]
    Method,
    /// 409.
    #[error("{0}")]
    Conflict(String),
    /// 410: it was there, and its time is over.
    #[error("{0}")]
    Gone(String),
    /// 412: the sentence names the header.
    #[error("{0}")]
    Precondition(&'static str),
    /// 413.
    #[error("{0}")]
    TooLarge(String),
    /// 415.
    #[error("{0}")]
    Unsupported(String),
    /// 423: another request changes it right now.
    #[error("{0}")]
    Locked(String),
    /// 429, and when it may be asked again.
    #[error("Too Many Requests")]
    TooMany(Duration),
    /// 431: what comes before the body is too long.
    #[error("the header fields are above {0} bytes")]
    Head(usize),
    /// 460 (tus 1.0, "Checksum"): what came is not what was sent.
    #[error("the piece is not what its checksum says")]
    Checksum,
    /// 500: our own fault.
    #[error("the request failed here, the log says why")]
    Internal,
    /// 503: the same request may succeed later.
    #[error("{0}")]
    Capacity(String),
    /// 503: what it needs is not there, and waiting does not help.
    #[error("{0}")]
    Unavailable(&'static str),
    /// 507: there is no room for it.
    #[error("{0}")]
    Storage(String),
}

/// The body of a refusal.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiRefusal)]
pub(in crate::control) struct Body {
    /// Always true.
    error: bool,
    /// A sentence.
    reason: String,
    /// Always false.
    success: bool,
    /// The same sentence.
    message: String,
}

impl Error {
    /// The status code of its answer.
    pub(super) fn code(&self) -> StatusCode {
        match self {
            Error::Bad(_) => StatusCode::BAD_REQUEST,
            Error::Key | Error::Signature | Error::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Error::Forbidden | Error::NotAllowed(_) => StatusCode::FORBIDDEN,
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::Method => StatusCode::METHOD_NOT_ALLOWED,
            Error::Conflict(_) => StatusCode::CONFLICT,
            Error::Gone(_) => StatusCode::GONE,
            Error::Precondition(_) => StatusCode::PRECONDITION_FAILED,
            Error::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Error::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::Locked(_) => StatusCode::LOCKED,
            Error::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Error::Head(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Error::Checksum => StatusCode::from_u16(460).expect("it has three digits"),
            Error::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Error::Capacity(_) | Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Error::Storage(_) => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::TooMany(wait) => Some(*wait),
            Error::Capacity(_) => Some(RETRY_AFTER),
            _ => None,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let reason = self.to_string();
        let body = Body {
            error: true,
            message: reason.clone(),
            reason,
            success: false,
        };
        let mut response = (self.code(), Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after() {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        response
    }
}

/// What reading a body or a path refuses is refused by both APIs alike.
impl From<pcast::Error> for Error {
    fn from(error: pcast::Error) -> Error {
        match error {
            pcast::Error::TooLarge(_) | pcast::Error::LimitTooLarge(_) => {
                Error::TooLarge(error.to_string())
            }
            pcast::Error::Internal => Error::Internal,
            pcast::Error::NotFound(what) => Error::NotFound(what),
            _ => Error::Bad(error.to_string()),
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Error {
        match &error {
            store::Error::Exists(_)
            | store::Error::State { .. }
            | store::Error::Overlap { .. }
            | store::Error::Cut { .. } => Error::Conflict(error.to_string()),
            store::Error::Missing { what, .. } => Error::NotFound(what),
            store::Error::ZeroByte => Error::Bad(error.to_string()),
            store::Error::Full { .. } => Error::Capacity(error.to_string()),
            _ => {
                tracing::error!(err = %error, "database call failed");
                match error.kind() {
                    Kind::Internal if matches!(error, store::Error::Damaged { .. }) => {
                        Error::Internal
                    }
                    _ => Error::Capacity("the database does not answer".to_owned()),
                }
            }
        }
    }
}

impl From<films::Error> for Error {
    fn from(error: films::Error) -> Error {
        let text = error.to_string();
        match &error {
            films::Error::TooLarge(_) => Error::TooLarge(text),
            films::Error::Unsupported(_) => Error::Unsupported(text),
            films::Error::Full | films::Error::Quota => Error::Storage(text),
            films::Error::Busy(_) => Error::Capacity(text),
            films::Error::TooMany | films::Error::Taken | films::Error::Offset(_) => {
                Error::Conflict(text)
            }
            films::Error::Locked => Error::Locked(text),
            films::Error::Missing => Error::NotFound("upload"),
            films::Error::Expired => Error::Gone(text),
            films::Error::Probe(_) => Error::Internal,
            films::Error::Disk(err) => {
                tracing::error!(%err, "a film cannot be kept");
                Error::Internal
            }
        }
    }
}
