use super::*;
use crate::base::clock::Wall;

fn sessions() -> (Clock, Sessions) {
    let clock = Clock::simulated(Wall(1_790_000_000_000_000));
    (clock.clone(), Sessions::new(clock))
}

fn cookie(value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::COOKIE, HeaderValue::from_str(value).unwrap());
    headers
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

#[test]
fn a_session_opens_with_the_key_and_ends_after_its_lifetime_or_by_hand() {
    let (clock, sessions) = sessions();
    let key = Secret::new("right");
    let first = sessions.open(address(1), &key, "right").unwrap();
    let second = sessions.open(address(1), &key, "right").unwrap();
    assert_ne!(first, second);
    assert_eq!(first.len(), TOKEN_LENGTH);
    let first = cookie(&format!("other=1; {COOKIE}={first}"));
    let second = cookie(&format!("{COOKIE}=stale; {COOKIE}={second}"));
    assert!(sessions.is_open(&first) && sessions.is_open(&second));
    sessions.close(&first);
    assert!(!sessions.is_open(&first) && sessions.is_open(&second));
    clock.advance(LIFETIME);
    assert!(!sessions.is_open(&second));
    assert!(!sessions.is_open(&HeaderMap::new()));
    assert!(!sessions.is_open(&cookie(COOKIE)));
}

#[test]
fn wrong_keys_are_slowed_down_for_their_address_alone() {
    let (clock, sessions) = sessions();
    let key = Secret::new("right");
    for _ in 0..FREE_ATTEMPTS {
        let refused = sessions.open(address(1), &key, "wrong");
        assert_eq!(refused, Err(Refused::Wrong));
    }
    // Now the right one does not help either: nobody can tell by it which it is.
    let refused = sessions.open(address(1), &key, "right");
    assert_eq!(refused, Err(Refused::Wait(ATTEMPT_EVERY)));
    assert!(sessions.open(address(2), &key, "right").is_ok());
    clock.advance(ATTEMPT_EVERY);
    let refused = sessions.open(address(1), &key, "wrong");
    assert_eq!(refused, Err(Refused::Wrong));
    assert!(matches!(
        sessions.open(address(1), &key, "right"),
        Err(Refused::Wait(_))
    ));
    clock.advance(ATTEMPT_EVERY);
    assert!(sessions.open(address(1), &key, "right").is_ok());
}

#[test]
fn what_is_kept_is_bounded() {
    let (clock, sessions) = sessions();
    let key = Secret::new("right");
    let mut tokens = Vec::new();
    for _ in 0..=MAX_SESSIONS {
        clock.advance(Duration::from_secs(1));
        tokens.push(sessions.open(address(1), &key, "right").unwrap());
    }
    let is_open = |token: &String| sessions.is_open(&cookie(&format!("{COOKIE}={token}")));
    assert!(!is_open(&tokens[0]) && tokens[1..].iter().all(is_open));
    for number in 0..10_000_u32 {
        let from = IpAddr::from(number.to_be_bytes());
        let refused = sessions.open(from, &key, "wrong");
        assert_eq!(refused, Err(Refused::Wrong));
    }
    let kept = sessions.lock();
    assert_eq!(kept.open.len(), MAX_SESSIONS);
    assert_eq!(kept.attempts.len(), MAX_ADDRESSES);
}

#[test]
fn addresses_of_one_network_are_one_customer() {
    let counted = |text: &str| {
        let caller = Caller {
            address: text.parse().unwrap(),
            secure: false,
            trusted_proxy: false,
        };
        caller.counted().to_string()
    };
    assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    assert_eq!(counted("::ffff:192.0.2.7"), "192.0.2.7");
}

#[test]
fn only_json_and_pieces_of_files_from_the_same_host_and_port_are_our_page() {
    let uri = Uri::from_static("/api/admin/session");
    let check = |pairs: &[(&'static str, &'static str)], trusted| {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let mut extensions = Extensions::new();
        extensions.insert(Caller {
            address: address(1),
            secure: false,
            trusted_proxy: trusted,
        });
        comes_from_our_page(&headers, &uri, &extensions)
    };
    let json = ("content-type", "application/json; charset=utf-8");
    let host = ("host", "gate.example:8080");
    let origin = ("origin", "http://gate.example:8080");
    assert!(check(&[json, host, origin], false));
    assert!(check(
        &[json, host, ("sec-fetch-site", "same-origin")],
        false
    ));
    let piece = ("content-type", "application/offset+octet-stream");
    assert!(check(&[piece, host, origin], false));
    for bad in [
        &[host, origin][..],
        &[piece, host],
        &[("content-type", "text/plain"), host, origin],
        &[json, host],
        &[json, host, ("origin", "http://gate.example:8081")],
        &[json, host, ("origin", "null")],
        &[json, host, origin, ("sec-fetch-site", "same-site")],
        &[json, host, ("sec-fetch-site", "cross-site")],
    ] {
        assert!(!check(bad, false), "{bad:?}");
    }
    let proxied = &[
        json,
        ("host", "10.0.0.1:8080"),
        ("x-forwarded-host", "gate.example"),
        ("origin", "https://gate.example"),
    ];
    assert!(check(proxied, true));
    assert!(!check(proxied, false));
}
