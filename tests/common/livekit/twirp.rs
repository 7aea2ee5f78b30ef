//! The server's API: `POST /twirp/livekit.{Service}/{Method}` with protobuf or JSON, authorised by the grants
//! of a token as livekit-server does it.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared_};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode, header};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::token::{Claims, Grant, Refusal};
use super::{Shared, rooms, signal};

/// An error of Twirp: its code and what it says.
#[derive(Debug)]
pub struct Error {
    pub code: &'static str,
    pub message: String,
}

impl Error {
    pub fn new(code: &'static str, message: impl Into<String>) -> Error {
        let message = message.into();
        Error { code, message }
    }

    /// What every call says whose token does not allow it.
    pub fn denied() -> Error {
        Error::new("unauthenticated", "permissions denied")
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        // Twirp wire protocol v7, "Error Codes".
        let status = match self.code {
            "invalid_argument" | "malformed" | "out_of_range" => StatusCode::BAD_REQUEST,
            "unauthenticated" => StatusCode::UNAUTHORIZED,
            "permission_denied" => StatusCode::FORBIDDEN,
            "not_found" | "bad_route" => StatusCode::NOT_FOUND,
            "already_exists" | "aborted" => StatusCode::CONFLICT,
            "failed_precondition" => StatusCode::PRECONDITION_FAILED,
            "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let body = json!({"code": self.code, "msg": self.message}).to_string();
        (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

/// A call: who asks, what is asked, and in which of the two forms.
pub struct Call {
    pub shared: Arc<Shared>,
    claims: Option<Claims>,
    is_json: bool,
    body: Bytes,
}

impl Call {
    /// The request.
    pub fn request<T: Message + Default + DeserializeOwned>(&self) -> Result<T, Error> {
        let malformed = |error: String| Error::new("malformed", error);
        match self.is_json {
            true => {
                serde_json::from_slice(&self.body).map_err(|error| malformed(error.to_string()))
            }
            false => T::decode(&self.body[..]).map_err(|error| malformed(error.to_string())),
        }
    }

    /// The answer, in the form of the request.
    pub fn answer<T: Message + Serialize>(&self, answer: &T) -> Result<Response, Error> {
        let (kind, body) = match self.is_json {
            true => (
                "application/json",
                serde_json::to_vec(answer).expect("messages are JSON"),
            ),
            false => ("application/protobuf", answer.encode_to_vec()),
        };
        Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
    }

    /// Refuses unless the grant has it.
    pub fn needs(&self, has: impl Fn(&Grant) -> bool) -> Result<(), Error> {
        let grant = self
            .claims
            .as_ref()
            .and_then(|claims| claims.video.as_ref());
        match grant.is_some_and(has) {
            true => Ok(()),
            false => Err(Error::denied()),
        }
    }

    /// Refuses unless the grant administers that room.
    pub fn administers(&self, room: &str) -> Result<(), Error> {
        self.needs(|grant| grant.room_admin && grant.room == room)
    }
}

/// The routes of this module.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/twirp/{service}/{method}", post(call))
}

async fn call(
    Shared_(shared): Shared_<Arc<Shared>>,
    Path((service, method)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let refused = shared.state().context.faults.refuse_api;
    if let Some(status) = refused {
        return signal::refuse(Refusal::new(status, "refused by order of a test"));
    }
    let token = signal::token(&Default::default(), &headers);
    // A token that is no good is refused in plain text before Twirp sees the call; none at all is not.
    let claims = match (token, headers.contains_key(header::AUTHORIZATION)) {
        (Ok(token), _) => match shared.state().verify(&token) {
            Ok(claims) => Some(claims),
            Err(refusal) => return signal::refuse(refusal),
        },
        (Err(refusal), true) => return signal::refuse(refusal),
        (Err(_), false) => None,
    };
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let is_json = match kind.unwrap_or("").split(';').next() {
        Some("application/json") => true,
        Some("application/protobuf") => false,
        other => {
            let text = format!("unexpected Content-Type: {other:?}");
            return Error::new("bad_route", text).into_response();
        }
    };
    let call = Call {
        shared: shared.clone(),
        claims,
        is_json,
        body,
    };
    let answer = rooms::call(&call, &service, &method);
    shared.wake();
    answer.unwrap_or_else(IntoResponse::into_response)
}
