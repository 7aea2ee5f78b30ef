//! Manifests by the name of a channel: where they lead, and for whom.

use super::*;

fn escaped(token: &str) -> String {
    token
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D")
}

#[tokio::test]
async fn a_universal_manifest_leads_to_the_stream_on_air() {
    let bench = bench(|_| {}).await;
    let id = bench.put_on_air(&["streaming", "hd"]);
    for channel in ["local%23app%23live", "live"] {
        let (code, location, _) = bench
            .get(&format!("/pcast/channel/{channel}/live.m3u8"))
            .await;
        assert_eq!(code, StatusCode::FOUND);
        assert_eq!(location.unwrap(), format!("/hls/{id}/index.m3u8"));
        // A token that is not needed stays out of the address: it would spoil caches.
        let path = format!("/pcast/channel/{channel}/live.mpd?streamToken=x");
        let (_, location, _) = bench.get(&path).await;
        assert_eq!(location.unwrap(), format!("/dash/{id}/manifest.mpd"));
    }
}

#[tokio::test]
async fn manifests_tokens_and_counts_are_answered_without_the_database() {
    let bench = bench(|_| {}).await;
    let id = bench.put_on_air(&["streaming", "token-auth"]);
    let token = bench.token(|_| {});
    bench.store.close().await;
    let manifest = "/pcast/channel/live/live.m3u8";
    let path = format!("{manifest}?streamToken={}", escaped(&token));
    let (code, location, _) = bench.get(&path).await;
    let expected = format!("/hls/{id}/~{}/index.m3u8", token::path_form(&token));
    assert_eq!((code, location), (StatusCode::FOUND, Some(expected)));
    assert_eq!(bench.get(manifest).await.0, StatusCode::UNAUTHORIZED);
    let none = "/pcast/channel/none/live.m3u8";
    assert_eq!(bench.get(none).await.0, StatusCode::NOT_FOUND);
    let count = "/pcast/channel/live/publishers/count";
    assert_eq!(bench.get(count).await.0, StatusCode::OK);
}

#[tokio::test]
async fn published_bases_make_the_location_absolute() {
    let bench = bench(|setup| {
        setup.hls_base = Some("https://cdn.example.org/h".to_owned());
    })
    .await;
    let id = bench.put_on_air(&["streaming"]);
    let (_, location, _) = bench.get("/pcast/channel/live/live.m3u8").await;
    let expected = format!("https://cdn.example.org/h/{id}/index.m3u8");
    assert_eq!(location.unwrap(), expected);
}

#[tokio::test]
async fn a_universal_manifest_is_refused_in_the_order_of_the_contract() {
    let bench = bench(|_| {}).await;
    let code = |path: &'static str| {
        let bench = &bench;
        async move {
            let (code, _, body) = bench.get(path).await;
            assert!(body.starts_with(r#"{"status":""#), "{body}");
            code
        }
    };
    assert_eq!(
        code("/pcast/channel/none/live.m3u8").await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        code("/pcast/channel/live/live.m3u8").await,
        StatusCode::NOT_FOUND
    );
    let twice = "/pcast/channel/none/live.m3u8?streamToken=a&streamToken=b";
    assert_eq!(code(twice).await, StatusCode::NOT_FOUND);
    let twice = "/pcast/channel/live/live.m3u8?streamToken=a&streamToken=b";
    assert_eq!(code(twice).await, StatusCode::BAD_REQUEST);
    bench.put_on_air(&["hd"]);
    assert_eq!(
        code("/pcast/channel/live/live.m3u8").await,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    assert_eq!(
        code("/pcast/channel/live/live.ts").await,
        StatusCode::NOT_FOUND
    );
    bench.put_on_air(&["token-auth"]);
    assert_eq!(
        code("/pcast/channel/live/live.ts").await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        code("/pcast/channel/live/live.m3u8").await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        code("/pcast/channel/%FF/live.m3u8").await,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn a_token_of_a_forks_source_of_a_session_or_of_an_address_opens_the_manifest() {
    let bench = bench(|_| {}).await;
    let id = bench.put_on_air(&["streaming", "token-auth"]);
    let source = Uuid::new_v4();
    *bench.world.fork.lock().unwrap() = Some((id, source));
    let from = "198.51.100.7:1";
    type Set<'a> = &'a dyn Fn(&mut token::Claims);
    let cases: [(Set<'_>, bool); 8] = [
        (&|c| c.origin_stream_id = Some(source.to_string()), true),
        (&|c| c.origin_stream_id = Some(id.to_string()), true),
        (
            &|c| c.origin_stream_id = Some(Uuid::new_v4().to_string()),
            false,
        ),
        (&|c| c.session_id = Some("local#publisher".to_owned()), true),
        (&|c| c.session_id = Some("local#viewer".to_owned()), false),
        (
            &|c| c.remote_address = Some("198.51.100.7".to_owned()),
            true,
        ),
        (
            &|c| c.remote_address = Some("198.51.100.8".to_owned()),
            false,
        ),
        (&|c| c.required_tag = Some("vip".to_owned()), true),
    ];
    for (set, opens) in cases {
        let token = escaped(&bench.token(set));
        let path = format!("/pcast/channel/live/live.mpd?streamToken={token}");
        let (code, _, _) = bench.ask(&path, from, &[]).await;
        assert_eq!(code == StatusCode::FOUND, opens, "{code}");
    }
}

#[tokio::test]
async fn a_protected_stream_opens_for_its_token_which_goes_into_the_path() {
    let bench = bench(|_| {}).await;
    let id = bench.put_on_air(&["streaming", "token-auth"]);
    let good = bench.token(|c| c.required_tag = Some("channelAlias:live".to_owned()));
    let bad = bench.token(|c| c.required_tag = Some("channelAlias:other".to_owned()));
    let path = |token: &str| {
        format!(
            "/pcast/channel/live/live.m3u8?streamToken={}",
            escaped(token)
        )
    };
    let (code, location, _) = bench.get(&path(&good)).await;
    assert_eq!(code, StatusCode::FOUND);
    let location = location.unwrap();
    let target = token::Target {
        stream_id: Some(id),
        origin_id: Some(id),
        channel_id: "local#app#live",
        alias: "live",
        capabilities: &[],
        tags: &[],
        has_session: &|_| false,
        peer: None,
    };
    let inner = location.strip_prefix(&format!("/hls/{id}/~"));
    let inner = inner.and_then(|rest| rest.strip_suffix("/index.m3u8"));
    assert!(bench.tokens.playback(inner.unwrap(), &target).is_ok());
    assert_eq!(bench.get(&path(&bad)).await.0, StatusCode::UNAUTHORIZED);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.get(&path(&good)).await.0, StatusCode::UNAUTHORIZED);
}
