use std::time::Duration;

use super::*;

const NOW: Wall = Wall(1_790_000_000_000_000);
/// Made by a token service in another language (Python's json, hmac and base64) for application
/// `forebay`, secret `application-secret`, channel `local#forebay#live`, one minute after [`NOW`].
const GOLDEN: &str = "DIGEST:eyJhcHBsaWNhdGlvbklkIjoiZm9yZWJheSIsImRpZ2VzdCI6IldEMVBQL00waDdOUzNIRkVIMFluOFdGYlZZZitPODJVbkcxd0R1S2FSeVBuYmljOGhGZHJ2SFVyNUFCOEdRWEM0ejV3VFlSaVBKekNzL3N3MmZIbnF3PT0iLCJ0b2tlbiI6IntcImV4cGlyZXNcIjoxNzkwMDAwMDYwMDAwLFwicmVxdWlyZWRUYWdcIjpcImNoYW5uZWxJZDpsb2NhbCNmb3JlYmF5I2xpdmVcIn0ifQ==";

fn secret() -> Secret {
    Secret::new("application-secret")
}

fn tokens(clock: &Clock) -> Tokens {
    let secret_of = |id: &str| match id {
        "forebay" => Some(secret()),
        "other" => Some(Secret::new("other-secret")),
        _ => None,
    };
    Tokens::with(secret_of, clock.clone())
}

fn claims(set: impl FnOnce(&mut Claims)) -> Claims {
    let mut claims = Claims {
        expires: NOW.unix_millis() + 60_000,
        ..Claims::default()
    };
    set(&mut claims);
    claims
}

fn target(stream_id: Option<Uuid>) -> Target<'static> {
    Target {
        stream_id,
        channel_id: "local#forebay#live",
        alias: "live",
        origin_id: stream_id,
        capabilities: &[],
        tags: &[],
        has_session: &|session| session == "local#publisher",
        peer: None,
    }
}

/// In both forms.
fn signed(claims: &Claims) -> [String; 2] {
    let digest = create("forebay", &secret(), claims);
    let jwt = jwt::create("forebay", &secret(), claims);
    [digest, jwt.unwrap()]
}

#[test]
fn a_token_of_an_existing_service_is_made_and_read_the_same() {
    let made = create(
        "forebay",
        &secret(),
        &claims(|c| c.required_tag = Some("channelId:local#forebay#live".to_owned())),
    );
    assert_eq!(made, GOLDEN);
    let tokens = tokens(&Clock::simulated(NOW));
    assert_eq!(tokens.playback(GOLDEN, &target(None)), Ok(()));
    let other = Target {
        channel_id: "local#forebay#other",
        alias: "other",
        ..target(None)
    };
    assert_eq!(tokens.playback(GOLDEN, &other), Err(Error::Scope));
}

#[test]
fn the_path_form_and_an_unescaped_query_are_the_same_token() {
    let tokens = tokens(&Clock::simulated(NOW));
    // Claims chosen so that the base64 text holds all special letters of the alphabet.
    let text = (0..200).find_map(|n| {
        let token = claims(|c| c.apply_tags = vec![format!("?>~{n}ÿ?>?")]);
        let token = create("forebay", &secret(), &token);
        ['+', '/', '=']
            .iter()
            .all(|letter| token.contains(*letter))
            .then_some(token)
    });
    let text = text.expect("one of the texts has a plus, a slash and padding");
    let path = path_form(&text);
    assert!(!path.contains(['+', '/', '=', ' ']));
    for form in [text.replace('+', " "), path, text] {
        assert_eq!(tokens.playback(&form, &target(None)), Ok(()));
    }
}

#[test]
fn a_token_opens_what_it_was_issued_for_and_nothing_else() {
    let tokens = tokens(&Clock::simulated(NOW));
    let (stream, source) = (Uuid::new_v4(), Uuid::new_v4());
    let capabilities = ["streaming", "token-auth"].map(str::to_owned);
    let tags = ["vip", "a:b", "channelAlias:other"].map(str::to_owned);
    let target = Target {
        origin_id: Some(source),
        capabilities: &capabilities,
        tags: &tags,
        ..target(Some(stream))
    };
    let tag = |text: &str| Some(text.to_owned());
    let cases = [
        (claims(|_| {}), Ok(())),
        (claims(|c| c.kind = tag("stream")), Ok(())),
        (claims(|c| c.kind = tag("publish")), Err(Error::Scope)),
        (claims(|c| c.kind = tag("auth")), Err(Error::Scope)),
        (
            claims(|c| c.required_tag = tag("channelAlias:live")),
            Ok(()),
        ),
        (
            claims(|c| c.required_tag = tag("channelAlias:live2")),
            Err(Error::Scope),
        ),
        (
            claims(|c| c.required_tag = tag("channelId:live")),
            Err(Error::Scope),
        ),
        // A room is a channel.
        (claims(|c| c.required_tag = tag("roomAlias:live")), Ok(())),
        (
            claims(|c| c.required_tag = tag("roomId:local#forebay#live")),
            Ok(()),
        ),
        (
            claims(|c| c.required_tag = tag("roomId:live")),
            Err(Error::Scope),
        ),
        // Any other tag is one of the stream's; one that looks like a channel never is.
        (claims(|c| c.required_tag = tag("vip")), Ok(())),
        (claims(|c| c.required_tag = tag("a:b")), Ok(())),
        (claims(|c| c.required_tag = tag("vi")), Err(Error::Scope)),
        (claims(|c| c.required_tag = tag("")), Err(Error::Scope)),
        (
            claims(|c| c.required_tag = tag("channelAlias:other")),
            Err(Error::Scope),
        ),
        (
            claims(|c| c.capabilities = vec!["streaming".to_owned()]),
            Ok(()),
        ),
        (
            claims(|c| c.capabilities = vec!["streaming".to_owned(), "hd".to_owned()]),
            Err(Error::Scope),
        ),
        (claims(|c| c.session_id = tag("local#publisher")), Ok(())),
        // Of a fork its source, as well as itself.
        (
            claims(|c| c.origin_stream_id = Some(source.to_string())),
            Ok(()),
        ),
        (
            claims(|c| c.origin_stream_id = Some(stream.to_string())),
            Ok(()),
        ),
        (
            claims(|c| c.origin_stream_id = Some(Uuid::new_v4().to_string())),
            Err(Error::Scope),
        ),
        (
            claims(|c| c.origin_stream_id = tag("nonsense")),
            Err(Error::Scope),
        ),
        (claims(|c| c.session_id = tag("s")), Err(Error::Scope)),
        (claims(|c| c.uri = tag("https://x")), Err(Error::Scope)),
        (
            claims(|c| c.remote_address = tag("10.0.0.1")),
            Err(Error::Scope),
        ),
        (
            claims(|c| c.expires = NOW.unix_millis()),
            Err(Error::Expired),
        ),
        (claims(|c| c.expires = 0), Err(Error::Expired)),
    ];
    for (claims, expected) in cases {
        for token in signed(&claims) {
            let got = tokens.playback(&token, &target);
            assert_eq!(got, expected, "{claims:?}: {token}");
        }
    }
}

#[test]
fn an_address_bound_token_opens_for_that_address_only() {
    let tokens = tokens(&Clock::simulated(NOW));
    let bound = claims(|c| c.remote_address = Some("10.0.0.1".to_owned()));
    let token = create("forebay", &secret(), &bound);
    let from = |peer: &str| Target {
        peer: Some(peer.parse().unwrap()),
        ..target(None)
    };
    assert_eq!(tokens.playback(&token, &from("10.0.0.1")), Ok(()));
    assert_eq!(tokens.playback(&token, &from("::ffff:10.0.0.1")), Ok(()));
    let got = tokens.playback(&token, &from("10.0.0.2"));
    assert_eq!(got, Err(Error::Scope));
}

#[test]
fn forged_foreign_and_broken_tokens_are_refused() {
    let tokens = tokens(&Clock::simulated(NOW));
    let check = |token: &str| tokens.playback(token, &target(None));
    let forged = create("forebay", &Secret::new("a-guess"), &claims(|_| {}));
    assert_eq!(check(&forged), Err(Error::Digest));
    let unknown = create("nobody", &secret(), &claims(|_| {}));
    assert_eq!(check(&unknown), Err(Error::Digest));
    // Another application's good token is not good for this application's channel.
    let foreign = create("other", &Secret::new("other-secret"), &claims(|_| {}));
    assert_eq!(check(&foreign), Err(Error::Scope));
    let long = format!("DIGEST:{}", "A".repeat(LONGEST));
    for broken in [
        "",
        "DIGEST:",
        "DIGEST:!!",
        "DIGEST:e30=",
        &GOLDEN[7..],
        &long,
    ] {
        assert_eq!(check(broken), Err(Error::Malformed), "{broken}");
    }
    // A changed letter of the signed text.
    let json = STANDARD.decode(&GOLDEN[7..]).unwrap();
    let changed = String::from_utf8(json).unwrap().replace("#live", "#lave");
    let changed = format!("DIGEST:{}", STANDARD.encode(changed));
    assert_eq!(check(&changed), Err(Error::Digest));
}

#[test]
fn a_publish_token_names_its_channel() {
    let clock = Clock::simulated(NOW);
    let tokens = tokens(&clock);
    let peer = IpAddr::from([10, 0, 0, 1]);
    let good = claims(|c| {
        c.kind = Some("publish".to_owned());
        c.required_tag = Some("channelAlias:live".to_owned());
        c.capabilities = vec!["hd".to_owned()];
        c.apply_tags = vec!["a".to_owned()];
    });
    let both = signed(&good);
    for token in &both {
        assert!(is_token(token));
        assert_eq!(
            tokens.publish(token, peer),
            Ok(PublishGrant {
                application_id: "forebay".to_owned(),
                channel: "live".to_owned(),
                capabilities: Some(vec!["hd".to_owned()]),
                tags: vec!["a".to_owned()],
            })
        );
    }
    assert!(!is_token("a-stream-key.with.dots"));
    let anywhere = Claims {
        required_tag: None,
        ..good.clone()
    };
    let viewing = Claims { kind: None, ..good };
    for claims in [anywhere, viewing] {
        for token in signed(&claims) {
            assert_eq!(tokens.publish(&token, peer), Err(Error::Scope));
        }
    }
    clock.advance(Duration::from_secs(60));
    for token in both {
        assert_eq!(tokens.publish(&token, peer), Err(Error::Expired));
    }
}

#[test]
fn a_livekit_token_has_the_claims_a_livekit_server_reads() {
    let grant = LivekitGrant {
        room: "stage",
        identity: "watcher",
        name: None,
        metadata: None,
        can_publish: false,
        can_subscribe: true,
        can_publish_data: None,
        max_participants: None,
        valid_for: Duration::from_secs(3600),
    };
    let api_secret = Secret::new("secret");
    let token = livekit("devkey", &api_secret, NOW, &grant).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let json = |part: &str| -> serde_json::Value {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part);
        serde_json::from_slice(&bytes.unwrap()).unwrap()
    };
    assert_eq!(json(parts[0])["alg"], "HS256");
    assert_eq!(
        json(parts[1]),
        serde_json::json!({
            "exp": 1_790_003_600, "iat": 1_790_000_000, "iss": "devkey", "nbf": 1_790_000_000,
            "sub": "watcher",
            "video": {
                "roomJoin": true, "room": "stage", "canPublish": false, "canSubscribe": true
            },
        })
    );
    // The signature, by an implementation of its own.
    let mut mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(b"secret").unwrap();
    mac.update(format!("{}.{}", parts[0], parts[1]).as_bytes());
    let signature = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(parts[2]);
    mac.verify_slice(&signature.unwrap()).unwrap();
}

#[test]
fn any_text_is_survived() {
    for seed in 0_u32..2000 {
        let bytes = seed.to_le_bytes().map(|byte| byte.wrapping_mul(37));
        fuzz_token(&bytes);
        let mut golden = GOLDEN.as_bytes().to_vec();
        let at = usize::try_from(seed).unwrap() % golden.len();
        golden[at] = bytes[0];
        golden.truncate(golden.len() - at / 7);
        fuzz_token(&golden);
        let json = STANDARD.decode(&GOLDEN[7..]).unwrap();
        fuzz_token(&json[..at % json.len()]);
    }
}
