//! Pages of any origin may use `/api` (Fetch standard, section 3.3, "CORS protocol"), except what operators use:
//! they show credentials in headers that they set themselves, and cookies open nothing here.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};

/// What clients send.
const HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization, Content-Type, X-API-Key, X-Signature, X-Timestamp");
/// What they send with uploads in pieces (tus 1.0) besides.
const UPLOAD_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, X-API-Key, Tus-Resumable, Upload-Length, Upload-Metadata, Upload-Offset, \
     Upload-Checksum, X-HTTP-Method-Override, X-Request-ID",
);
/// What pages may read of the answers to those.
const UPLOAD_ANSWERS: &str = "Retry-After, Location, Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, \
     Tus-Checksum-Algorithm, Upload-Offset, Upload-Length, Upload-Metadata, Upload-Expires";
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// Seconds for which a browser need not ask again: a day, of which browsers take what they want.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// Answers what browsers ask beforehand, and says with all other answers that pages may read them.
pub(in crate::control) async fn open(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !path.starts_with("/api/") || path.starts_with("/api/admin/") {
        return next.run(request).await;
    }
    let is_upload = path.starts_with("/api/uploads/") || path.ends_with("/uploads");
    let asks = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match asks {
        true => preflight(is_upload),
        false => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            if is_upload {
                UPLOAD_ANSWERS
            } else {
                "Retry-After"
            },
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn preflight(is_upload: bool) -> Response {
    let allowed = if is_upload { UPLOAD_HEADERS } else { HEADERS };
    let answer = [
        (header::ACCESS_CONTROL_ALLOW_HEADERS, allowed),
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ];
    (StatusCode::NO_CONTENT, answer).into_response()
}
