//! What pages of other origins may do.

use http::{HeaderMap, header};

use super::*;

/// Code and headers of an answer.
async fn asked(bench: &Bench, method: &str, path: &str, wants: Option<&str>) -> (u16, HeaderMap) {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("origin", "https://page.example");
    if let Some(method) = wants {
        request = request.header("access-control-request-method", method);
    }
    let router = crate::control::router(bench.state.clone());
    let answer = router.oneshot(request.body(Body::empty()).unwrap()).await;
    let answer = answer.unwrap();
    (answer.status().as_u16(), answer.headers().clone())
}

#[tokio::test]
async fn pages_of_any_origin_may_use_the_api_and_nothing_of_the_operators() {
    let bench = clients().await;
    for (path, method) in [
        ("/api/v1/sessions", "POST"),
        ("/api/v1/sessions/x", "PATCH"),
        ("/api/files/x", "DELETE"),
        ("/api/nothing", "GET"),
    ] {
        let (code, headers) = asked(&bench, "OPTIONS", path, Some(method)).await;
        assert_eq!(code, 204, "{path}");
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        let list = |name: header::HeaderName| {
            let text = headers[name].to_str().unwrap().to_lowercase();
            let words = text.split(", ").map(str::to_owned);
            words.collect::<Vec<_>>()
        };
        let methods = list(header::ACCESS_CONTROL_ALLOW_METHODS);
        assert!(methods.contains(&method.to_lowercase()), "{methods:?}");
        let wanted = [
            "authorization",
            "content-type",
            "x-api-key",
            "x-signature",
            "x-timestamp",
        ];
        assert_eq!(list(header::ACCESS_CONTROL_ALLOW_HEADERS), wanted);
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
    }
    for (path, code) in [("/api/broadcasts", 200), ("/api/v1/sessions", 401)] {
        let (got, headers) = asked(&bench, "GET", path, None).await;
        assert_eq!(got, code, "refusals can be read as well");
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }
    let (code, headers) = asked(&bench, "OPTIONS", "/api/broadcasts", None).await;
    assert_eq!(code, 405, "it is no preflight");
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    for path in [
        "/api/admin/sdk-clients",
        "/api/admin/channels",
        "/pcast/channels",
    ] {
        let (code, headers) = asked(&bench, "OPTIONS", path, Some("GET")).await;
        assert_ne!(code, 204, "{path}");
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    }
}
