//! The API description and its page.

use axum::response::{IntoResponse, Response};
use http::header;

/// OpenAPI 3.1, JSON.
pub const DOCUMENT: &str = include_str!("../../assets/openapi.json");
/// A page that shows it, without anything from elsewhere.
const PAGE: &str = include_str!("../../assets/docs.html");

pub(super) async fn document() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, DOCUMENT).into_response()
}

pub(super) async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE).into_response()
}
