//! The routes: which side has them, and that the description has them all.

use super::*;

#[tokio::test]
async fn operator_routes_are_not_on_the_public_router() {
    let bench = bench(|_| {}).await;
    for (path, side, _) in routes() {
        let path = path
            .replace("{channelId}", "live")
            .replace("{streamId}", "x")
            .replace("{recordingId}", "x")
            .replace("{sourceChannelId}", "x")
            .replace("{applicationId}", "x");
        let ask = |router: Router| {
            let request = Request::builder().method("TRACE").uri(&path);
            router.oneshot(request.body(Body::empty()).unwrap())
        };
        // A known path refuses the method, an unknown one the path: no handler runs.
        let known = |code| code == StatusCode::METHOD_NOT_ALLOWED;
        let public = ask(public_router(bench.state.clone())).await.unwrap();
        let operator = ask(operator_router(bench.state.clone())).await.unwrap();
        assert_eq!(known(public.status()), side != Side::Operator, "{path}");
        assert_eq!(known(operator.status()), side != Side::Public, "{path}");
    }
}

#[tokio::test]
async fn the_operators_address_has_the_pictures_that_the_console_shows() {
    let bench = bench(|_| {}).await;
    let request = Request::builder().uri("/uploads/6d5c2b1e-0000-4000-8000-000000000000/a.jpg");
    let request = request.body(Body::empty()).unwrap();
    let answer = operator_router(bench.state.clone()).oneshot(request);
    let body = axum::body::to_bytes(answer.await.unwrap().into_body(), 1 << 16).await;
    let body: serde_json::Value = serde_json::from_slice(&body.unwrap()).unwrap();
    assert_eq!(body["message"], "there is no such file", "{body}");
}

#[test]
fn the_description_has_every_control_route_and_no_other() {
    let document: serde_json::Value = serde_json::from_str(api_description()).unwrap();
    let described = document["paths"].as_object().unwrap();
    // The page shows calls below their tags.
    let tags = document["tags"].as_array().unwrap().iter();
    let tags: Vec<&serde_json::Value> = tags.map(|tag| &tag["name"]).collect();
    for (path, _, _) in routes() {
        assert!(described.contains_key(path), "{path} is not described");
    }
    for (path, operations) in described {
        let names: Vec<&str> = path
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split('}').next())
            .collect();
        for (method, operation) in operations.as_object().unwrap() {
            let playback = operation["tags"][0] == "playback";
            let ours = routes().iter().any(|(route, _, _)| route == path)
                // Served by the route of the recording itself.
                || path.strip_suffix("/{recordingId}.mp4").is_some_and(|of| of.ends_with("/recordings"));
            assert_eq!(playback, !ours, "{method} {path}");
            let parameters = operation["parameters"].as_array();
            let in_path: Vec<&str> = parameters
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path")
                .filter_map(|parameter| parameter["name"].as_str())
                .collect();
            assert_eq!(names, in_path, "{method} {path}");
            let tag = &operation["tags"][0];
            assert!(tags.contains(&tag), "{method} {path}: {tag} is not listed");
            for key in ["summary", "operationId"] {
                assert!(operation[key].is_string(), "{method} {path} has no {key}");
            }
        }
    }
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

/// Every method that a route has is described, and no other.
#[tokio::test]
async fn the_description_has_every_method_of_a_route_and_no_other() {
    let bench = bench(|_| {}).await;
    let document: serde_json::Value = serde_json::from_str(api_description()).unwrap();
    for (path, _, _) in routes() {
        let uri = path
            .split('/')
            .map(|part| if part.starts_with('{') { "x" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        for method in ["get", "put", "post", "delete", "patch"] {
            let request = Request::builder().method(method.to_uppercase().as_str());
            let request = request.uri(&uri).body(Body::empty()).unwrap();
            let (code, _, _) = bench.send(request, "192.0.2.1:5000").await;
            let is_there = code != StatusCode::METHOD_NOT_ALLOWED;
            let described = document["paths"][path].get(method).is_some();
            assert_eq!(is_there, described, "{method} {path}: {code}");
        }
    }
}
