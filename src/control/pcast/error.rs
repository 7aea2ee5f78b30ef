//! Answers that are not what was asked for: `{"status": "<word>", "reason": "<sentence>"}`.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::base::Kind;
use crate::hub::Refusal;
use crate::store;

/// When a request that met a limit may come again, at the earliest: streams and channels do not end by
/// the millisecond.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A refusal of the channel API or of the operators' counterpart (contract, channels, section 1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::control) enum Error {
    /// 400; the sentence names the field.
    #[error("{0}")]
    Bad(String),
    /// 401 to an application.
    #[error("application id or secret is refused")]
    Unauthorized,
    /// 401 to an operator. Without the header that makes browsers ask.
    #[error("the admin key is missing or wrong")]
    NoOperator,
    /// 401 to a player.
    #[error("the stream needs a token, and there is none that opens it now")]
    NoToken,
    /// 404.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// 405.
    #[error("there is no such method here")]
    Method,
    /// 409 of a creation.
    #[error("{0} exists already")]
    Exists(String),
    /// 409 of anything else: things are not in the state for it.
    #[error("{0}")]
    Conflict(String),
    /// 413.
    #[error("{0}")]
    TooLarge(String),
    /// 413 of a list.
    #[error("limit is above {0}")]
    LimitTooLarge(usize),
    /// 415: the stream is not offered in this form.
    #[error("the stream has no streaming capability")]
    Unsupported,
    /// 500: our own fault.
    #[error("the request failed here, the log says why")]
    Internal,
    /// 503: the same request may succeed later.
    #[error("{0}")]
    Capacity(String),
    /// 504: the application asks too much; when it may ask again.
    #[error("requests of this application come too fast")]
    RateLimited(Duration),
    /// 504: what was asked for takes too long.
    #[error("the request took too long")]
    TimeExceeded,
}

impl Error {
    fn parts(&self) -> (StatusCode, &'static str) {
        match self {
            Error::Bad(_) => (StatusCode::BAD_REQUEST, "bad-request"),
            Error::Unauthorized | Error::NoOperator | Error::NoToken => {
                (StatusCode::UNAUTHORIZED, "unauthorized")
            }
            Error::NotFound(_) => (StatusCode::NOT_FOUND, "not-found"),
            Error::Method => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
            Error::Exists(_) => (StatusCode::CONFLICT, "already-exists"),
            Error::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            Error::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            Error::LimitTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "limit-too-large"),
            Error::Unsupported => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported"),
            Error::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal-error"),
            Error::Capacity(_) => (StatusCode::SERVICE_UNAVAILABLE, "capacity"),
            // Not 429: the contract's word for it.
            Error::RateLimited(_) => (StatusCode::GATEWAY_TIMEOUT, "rate-limited"),
            Error::TimeExceeded => (StatusCode::GATEWAY_TIMEOUT, "time-exceeded"),
        }
    }

    /// When the same request may come again.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::RateLimited(wait) => Some(*wait),
            Error::Capacity(_) | Error::TimeExceeded => Some(RETRY_AFTER),
            _ => None,
        }
    }
}

/// The body of a refusal.
#[derive(Serialize, ToSchema)]
#[schema(as = Refusal)]
pub(in crate::control) struct Body {
    /// A word for programs: `bad-request`, `unauthorized`, `not-found`, `already-exists`, `conflict`,
    /// `too-large`, `limit-too-large`, `unsupported`, `internal-error`, `capacity`, `rate-limited`, `time-exceeded`.
    status: &'static str,
    /// A sentence for people.
    reason: String,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (code, status) = self.parts();
        let reason = self.to_string();
        let mut response = (code, Json(Body { status, reason })).into_response();
        let headers = response.headers_mut();
        super::answer::complete(headers);
        if self == Error::Unauthorized {
            let challenge = HeaderValue::from_static("Basic realm=\"forebay\", charset=\"UTF-8\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(wait) = self.retry_after() {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        response
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Error {
        match &error {
            store::Error::Exists(what) => Error::Exists(what.clone()),
            store::Error::Missing { what, .. } => Error::NotFound(what),
            store::Error::Declared(_) => Error::Conflict(format!("{error}: remove it there")),
            store::Error::Ambiguous(_) => Error::Conflict(error.to_string()),
            store::Error::UnknownMessage | store::Error::ZeroByte => Error::Bad(error.to_string()),
            store::Error::Full { .. } => Error::Capacity(error.to_string()),
            _ => {
                tracing::error!(err = %error, "database call failed");
                match error.kind() {
                    Kind::Internal if matches!(error, store::Error::Damaged { .. }) => {
                        Error::Internal
                    }
                    // Running streams go on; the database may be back the next time.
                    _ => Error::Capacity("the database does not answer".to_owned()),
                }
            }
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        match refusal {
            Refusal::Full(_) | Refusal::Undecided(_) => Error::Capacity(refusal.to_string()),
            Refusal::NotAllowed(_) | Refusal::UnknownKey => Error::Conflict(refusal.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_called_by_its_name() {
        for what in ["application", "channel", "recording"] {
            let missing = store::Error::missing(what, "x");
            assert_eq!(Error::from(missing), Error::NotFound(what));
        }
    }
}
