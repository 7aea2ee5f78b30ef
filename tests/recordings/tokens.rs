//! Recordings of protected streams.

use super::*;

/// A digest token and a JWT with the same claims, as they stand in a path; for a minute unless these say
/// otherwise.
fn tokens(application: &str, secret: &str, set: impl FnOnce(&mut Claims)) -> [String; 2] {
    let mut claims = Claims {
        expires: Clock::system().wall().unix_millis() + 60_000,
        ..Claims::default()
    };
    set(&mut claims);
    let secret = Secret::new(secret);
    let jwt = jwt::create(application, &secret, &claims).expect("claims are signed");
    [path_form(&create(application, &secret, &claims)), jwt]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_of_a_protected_stream_wants_the_same_token() {
    let server = Server::start(|config| {
        kept(config);
        let words = &mut config.media.default_capabilities;
        words.push("token-auth".to_owned());
    })
    .await;
    let publishing = server.publish(&Clip::small("30", 150).file(), "");
    let id = server.stream_id().await;
    publishing.finish().await.unwrap();
    forgotten(&server, id).await;
    let open = server.get(&format!("/hls/{id}/index.m3u8")).await;
    assert_eq!(open.status, 403, "{}", open.text());
    let wrong = server.get(&format!("/hls/{id}/~wrong/index.m3u8")).await;
    assert_eq!(wrong.status, 403);

    // Everything below a token that is right; nothing of it without, or below another one.
    let tag =
        |tag: &'static str| move |claims: &mut Claims| claims.required_tag = Some(tag.to_owned());
    let right = tokens(APPLICATION, SECRET, tag("channelAlias:live"));
    let playlist = text(
        &server,
        &format!("/hls/{id}/~{}/source/index.m3u8", right[0]),
    )
    .await;
    let playlist = Media::parse(&playlist).unwrap();
    let segment = &playlist.segments[0].uri;
    let mut below = vec![
        ("hls", "index.m3u8".to_owned()),
        ("hls", "source/index.m3u8".to_owned()),
        ("dash", "manifest.mpd".to_owned()),
        ("dash", format!("source/{segment}")),
        ("hls", format!("source/{segment}")),
    ];
    let multivariant = text(&server, &format!("/hls/{id}/~{}/index.m3u8", right[0])).await;
    assert!(!multivariant.contains('~'), "relative: {multivariant}");
    below.push(("hls", "audio/index.m3u8".to_owned()));
    let closed = tokens(APPLICATION, SECRET, tag("channelAlias:other"));
    for (tree, below) in &below {
        for token in &right {
            let answer = server.get(&format!("/{tree}/{id}/~{token}/{below}")).await;
            assert_eq!(answer.status, 200, "{tree} {below}");
        }
        let mut without = vec![format!("/{tree}/{id}/{below}")];
        without.extend(
            closed
                .iter()
                .map(|token| format!("/{tree}/{id}/~{token}/{below}")),
        );
        for path in without {
            assert_eq!(server.get(&path).await.status, 403, "{path}");
        }
    }
    let now = Clock::system().wall().unix_millis();
    let opens = async |[digest, jwt]: [String; 2]| {
        let digest = server.get(&format!("/hls/{id}/~{digest}/index.m3u8")).await;
        let jwt = server.get(&format!("/hls/{id}/~{jwt}/index.m3u8")).await;
        assert_eq!(digest.status, jwt.status);
        assert!([200, 403].contains(&jwt.status), "{}", jwt.status);
        jwt.status == 200
    };
    let own = |set: &dyn Fn(&mut Claims)| tokens(APPLICATION, SECRET, set);
    assert!(opens(own(&|_| ())).await);
    assert!(opens(own(&tag("channelId:local#forebay#live"))).await);
    assert!(opens(own(&|claims| claims.origin_stream_id = Some(id.to_string()))).await);
    assert!(
        opens(own(
            &|claims| claims.capabilities = vec!["on-demand".to_owned()]
        ))
        .await
    );
    assert!(
        opens(own(
            &|claims| claims.remote_address = Some("127.0.0.1".to_owned())
        ))
        .await
    );
    let other = Uuid::new_v4().to_string();
    assert!(!opens(own(&|claims| claims.origin_stream_id = Some(other.clone()))).await);
    assert!(!opens(own(&tag("channelId:local#forebay#other"))).await);
    assert!(!opens(own(&|claims| claims.expires = now - 1000)).await);
    assert!(!opens(own(&|claims| claims.kind = Some("publish".to_owned()))).await);
    assert!(!opens(own(&|claims| claims.capabilities = vec!["uhd".to_owned()])).await);
    assert!(!opens(own(&|claims| claims.session_id = Some("local#x".to_owned()))).await);
    assert!(
        !opens(own(
            &|claims| claims.remote_address = Some("192.0.2.1".to_owned())
        ))
        .await
    );
    assert!(!opens(tokens(APPLICATION, "another-secret-0123", |_| ())).await);
    assert!(!opens(tokens("nobody", SECRET, |_| ())).await);
    server.stop().await;
}
