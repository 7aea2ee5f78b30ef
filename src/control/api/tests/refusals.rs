//! What is not there, on which address.

use axum::Router;
use http::{HeaderMap, Method};

use super::*;
use crate::control::{operator_router, public_router, router};

async fn ask(router: Router, method: Method, path: &str) -> (u16, HeaderMap, Value) {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("content-type", "application/json");
    let answer = router.oneshot(request.body(Body::empty()).unwrap()).await;
    let (parts, body) = answer.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{path}: {bytes:?}"));
    (parts.status.as_u16(), parts.headers, body)
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_refused_in_the_form_of_the_api_on_every_address() {
    let bench = bench(|setup| setup.own_address = true).await;
    let routers = || {
        let state = || bench.state.clone();
        [
            router(state()),
            public_router(state()),
            operator_router(state()),
        ]
    };
    for path in [
        "/api",
        "/api/",
        "/api/nothing",
        "/api/v1/nothing",
        "/api/broadcasts/r1/nothing",
        "/api/admin/nothing",
        "/api/users/follow/a/b",
    ] {
        for router in routers() {
            for method in [Method::GET, Method::POST, Method::DELETE] {
                let (code, _, body) = ask(router.clone(), method, path).await;
                assert_eq!(code, 404, "{path}");
                check_refusal(&body);
            }
        }
    }
    for (path, allowed) in [
        ("/api/broadcasts", "GET,HEAD,POST"),
        ("/api/broadcasts/r1/status", "POST"),
        ("/api/v1/sessions/r1", "PATCH,PUT"),
        ("/api/files/1", "PUT,DELETE"),
    ] {
        let [all, public, operators] = routers();
        for router in [all, public] {
            let (code, headers, body) = ask(router, Method::TRACE, path).await;
            assert_eq!(code, 405, "{path}");
            assert_eq!(headers["allow"], allowed, "{path}");
            check_refusal(&body);
        }
        let (code, _, body) = ask(operators, Method::TRACE, path).await;
        assert_eq!(code, 404, "{path} is on the other address");
        check_refusal(&body);
    }
}

#[tokio::test]
async fn clients_are_registered_at_the_operators_own_address_where_there_is_one() {
    let bench = bench(|setup| {
        setup.own_address = true;
        setup.open_registration = true;
    })
    .await;
    let path = "/api/admin/sdk-clients";
    let body = json!({"name": "App", "contactEmail": "a@example.org", "agreeTerms": true});
    for (router, expected) in [
        (public_router(bench.state.clone()), 404),
        (operator_router(bench.state.clone()), 200),
    ] {
        let request = Request::post(path).body(Body::from(body.to_string()));
        let answer = router.oneshot(request.unwrap()).await.unwrap();
        assert_eq!(answer.status().as_u16(), expected);
    }
}
