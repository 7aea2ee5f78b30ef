//! Co-hosts: who joins, who decides, and what a removed one still gets.

use std::time::Duration;

use super::streaming::{claims, with_livekit};
use super::*;

const ALL: [&str; 6] = [
    "canInviteOthers",
    "canRemoveOthers",
    "canControlLayout",
    "canModerateChat",
    "canTriggerAds",
    "canAccessAnalytics",
];

/// Six flags, some of which are true.
fn permissions(granted: &[&str]) -> Value {
    ALL.iter()
        .map(|name| ((*name).to_owned(), json!(granted.contains(name))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A session of the client with [`KEY`] that is live.
struct Session<'a> {
    bench: &'a Bench,
    id: String,
}

impl<'a> Session<'a> {
    async fn begin(bench: &'a Bench) -> Session<'a> {
        let made = bench.broadcast("Talk").await;
        let session = Session::of(bench, &made);
        session.become_("active", &KEY).await;
        session
    }

    fn of(bench: &'a Bench, made: &Value) -> Session<'a> {
        Session {
            bench,
            id: made["id"].as_str().unwrap().to_owned(),
        }
    }

    async fn become_(&self, status: &str, headers: &[(&str, &str)]) {
        let path = format!("/api/broadcasts/{}/status", self.id);
        let body = json!({ "status": status });
        assert_eq!(self.bench.api("POST", &path, headers, body).await.0, 200);
    }

    async fn call(
        &self,
        method: &str,
        rest: &str,
        headers: &[(&str, &str)],
        body: impl ToString,
    ) -> Answer {
        let path = format!("/api/streaming/sessions/{}/{rest}", self.id);
        self.bench.api(method, &path, headers, body).await
    }

    async fn join(&self, headers: &[(&str, &str)], body: Value) -> Answer {
        self.call("POST", "join-cohost", headers, body).await
    }

    /// A co-host of this identity.
    async fn joined(&self, user_id: &str) -> Value {
        let body = json!({"userName": "Jo", "userId": user_id});
        let (code, answer) = self.join(&KEY, body).await;
        assert_eq!(code, 200, "{answer}");
        answer
    }

    async fn token(&self, body: Value) -> Answer {
        self.call("POST", "token", &KEY, body).await
    }
}

/// The path of a co-host.
fn of(answer: &Value) -> String {
    format!("cohosts/{}", answer["coHost"]["id"].as_str().unwrap())
}

/// The header of a signed-in user.
fn bearer(person: &Person) -> [(&'static str, &str); 1] {
    [("authorization", person.token.split_once(": ").unwrap().1)]
}

#[tokio::test]
async fn co_hosts_join_a_live_session_until_its_places_are_taken() {
    let bench = clients().await;
    let made = bench.broadcast("Talk").await;
    let session = Session::of(&bench, &made);
    let body = json!({"userName": "iOS User", "permissions": permissions(&[])});
    let (code, refusal) = session.join(&KEY, body.clone()).await;
    assert_eq!((code, &refusal["success"]), (409, &json!(false)));
    session.become_("active", &KEY).await;
    let (code, answer) = session.join(&KEY, body.clone()).await;
    assert_eq!((code, &answer["success"]), (200, &json!(true)));
    assert!(answer["message"].is_string() && answer["inviteToken"].is_string());
    let cohost = &answer["coHost"];
    let expected = json!({"id": cohost["id"], "userId": cohost["id"], "userName": "iOS User",
        "role": "co_host", "permissions": permissions(&[]), "joinedAt": "2026-09-21T14:13:20Z"});
    assert_eq!(*cohost, expected);
    let two = session.joined("u2").await;
    let three = session.joined("u3").await;
    let (code, refusal) = session.join(&KEY, body).await;
    assert_eq!((code, &refusal["success"]), (409, &json!(false)));
    // Who is there already is not refused, and is there once.
    assert_eq!(session.joined("u3").await["coHost"], three["coHost"]);
    let (code, listed) = session.call("GET", "cohosts", &NOBODY, "").await;
    assert_eq!((code, listed.as_array().unwrap().len()), (200, 3));
    assert!(listed.as_array().unwrap().contains(&two["coHost"]));
    assert!(!listed.to_string().contains("inviteToken"));
    for bad in [
        json!({}),
        json!({"userName": ""}),
        json!({"userName": 7}),
        json!({"userName": "Jo", "permissions": true}),
        json!({"userName": "Jo", "permissions": {"canModerateChat": 1}}),
    ] {
        let (code, refusal) = session.join(&KEY, bad).await;
        assert_eq!(code, 400, "{refusal}");
    }
    session.become_("completed", &KEY).await;
    let (code, _) = session.join(&KEY, json!({"userName": "Jo"})).await;
    assert_eq!(code, 409);
}

#[tokio::test]
async fn permissions_are_granted_by_who_made_the_session_only() {
    let bench = clients().await;
    let session = Session::begin(&bench).await;
    let wanted = permissions(&["canRemoveOthers", "canModerateChat"]);
    let body = json!({"userName": "Mo", "userId": "mo", "permissions": wanted});
    let (_, mo) = session.join(&KEY, body).await;
    assert_eq!(mo["coHost"]["permissions"], wanted);
    // A user of the tenant is let in as itself and with nothing beside.
    let key = [("x-api-key", "pk_one")];
    let guest = person_of(&bench, &["x-api-key: pk_one"], "guest", "").await;
    let as_guest = bearer(&guest);
    let as_other = json!({"userName": "Guest", "userId": "mo"});
    assert_eq!(session.join(&as_guest, as_other).await.0, 403);
    let body = json!({"userName": "Guest", "permissions": wanted});
    let (code, answer) = session.join(&as_guest, body).await;
    assert_eq!(code, 200, "{answer}");
    assert_eq!(answer["coHost"]["userId"], guest.id);
    assert_eq!(answer["coHost"]["permissions"], permissions(&[]));
    // It changes nobody, itself neither.
    for path in [of(&mo), of(&answer)] {
        let body = json!({"permissions": permissions(&ALL)});
        let (code, _) = session.call("PUT", &path, &as_guest, body).await;
        assert_eq!(code, 403);
    }
    assert_eq!(session.call("DELETE", &of(&mo), &as_guest, "").await.0, 403);
    let grid = json!({"gridLayout": {"maxHosts": 9}});
    let by_nobody = session.call("PATCH", "multihost", &NOBODY, &grid);
    assert_eq!(by_nobody.await.0, 401);
    let by_guest = session.call("PATCH", "multihost", &as_guest, &grid);
    assert_eq!(by_guest.await.0, 403);
    // Until who made the session grants it. What is not named stays.
    for (method, granted, expected) in [
        (
            "PATCH",
            json!({"canRemoveOthers": true}),
            permissions(&["canRemoveOthers"]),
        ),
        (
            "PUT",
            json!({"canControlLayout": true, "canRemoveOthers": null}),
            permissions(&["canRemoveOthers", "canControlLayout"]),
        ),
    ] {
        let body = json!({"permissions": granted, "userName": "Guest of honour"});
        let (code, changed) = session.call(method, &of(&answer), &key, body).await;
        assert_eq!((code, &changed["success"]), (200, &json!(true)));
        assert_eq!(changed["coHost"]["permissions"], expected);
        assert_eq!(changed["coHost"]["userName"], "Guest of honour");
    }
    let by_guest = session.call("PATCH", "multihost", &as_guest, &grid);
    assert_eq!(by_guest.await.0, 200);
    assert_eq!(session.call("DELETE", &of(&mo), &as_guest, "").await.0, 200);
    assert_eq!(session.call("DELETE", &of(&mo), &as_guest, "").await.0, 404);
    let bad = session.call("PUT", &of(&answer), &key, "{}").await;
    assert_eq!(bad.0, 400, "{}", bad.1);
}

#[tokio::test]
async fn a_removed_co_host_gets_no_token_to_publish_and_does_not_join_again() {
    let bench = with_livekit().await;
    let session = Session::begin(&bench).await;
    let one = session.joined("u1").await;
    let invite = one["inviteToken"].as_str().unwrap();
    let publish = |role: Value| json!({"userId": "u1", "role": role});
    for role in ["publisher", "co_host"] {
        assert_eq!(session.token(publish(json!(role))).await.0, 200);
    }
    let invited = json!({"userId": "u1", "inviteToken": invite});
    assert_eq!(session.token(invited.clone()).await.0, 200);
    let (code, done) = session.call("DELETE", &of(&one), &KEY, "").await;
    assert_eq!((code, &done["success"]), (200, &json!(true)));
    for role in ["publisher", "co_host"] {
        let (code, refusal) = session.token(publish(json!(role))).await;
        assert_eq!(code, 403, "{refusal}");
    }
    assert_eq!(session.token(invited).await.0, 403);
    let (code, watching) = session.token(publish(Value::Null)).await;
    assert_eq!(code, 200);
    assert_eq!(claims(&watching["token"])["video"]["canPublish"], false);
    let (code, refusal) = session
        .join(&KEY, json!({"userName": "Jo", "userId": "u1"}))
        .await;
    assert_eq!((code, &refusal["success"]), (409, &json!(false)));
    for method in ["PUT", "PATCH", "DELETE"] {
        let body = json!({"permissions": permissions(&ALL)});
        assert_eq!(session.call(method, &of(&one), &KEY, body).await.0, 404);
    }
    let (_, listed) = session.call("GET", "cohosts", &KEY, "").await;
    assert_eq!(listed, json!([]));
    // In another session it is as good as anybody.
    let other = Session::begin(&bench).await;
    other.joined("u1").await;
    assert_eq!(other.token(publish(json!("publisher"))).await.0, 200);
}

#[tokio::test]
async fn a_user_who_leaves_may_join_again() {
    let bench = with_livekit().await;
    let session = Session::begin(&bench).await;
    let guest = person_of(&bench, &["x-api-key: pk_one"], "guest", "").await;
    let as_guest = bearer(&guest);
    let join = || session.join(&as_guest, json!({"userName": "Guest"}));
    let (_, first) = join().await;
    assert_eq!(
        session.call("DELETE", &of(&first), &as_guest, "").await.0,
        200
    );
    let body = json!({"userId": guest.id, "inviteToken": first["inviteToken"]});
    assert_eq!(session.token(body).await.0, 403);
    let (code, second) = join().await;
    assert_eq!(code, 200);
    assert_ne!(first["coHost"]["id"], second["coHost"]["id"]);
}

#[tokio::test]
async fn an_invite_shows_which_co_host_asks_for_a_token() {
    let bench = with_livekit().await;
    let session = Session::begin(&bench).await;
    let (_, one) = session.join(&KEY, json!({"userName": "Zoë"})).await;
    let (user, invite) = (&one["coHost"]["userId"], &one["inviteToken"]);
    let (code, answer) = session
        .token(json!({"userId": user, "inviteToken": invite}))
        .await;
    assert_eq!(code, 200, "{answer}");
    let said = claims(&answer["token"]);
    assert_eq!((&said["sub"], &said["name"]), (user, &json!("Zoë")));
    assert_eq!(said["metadata"], "{\"role\":\"co_host\"}");
    assert_eq!(said["video"]["canPublish"], true);
    let forged = format!("{}A", invite.as_str().unwrap());
    let other = Session::begin(&bench).await;
    for (session, body) in [
        (
            &session,
            json!({"userId": "another", "inviteToken": invite}),
        ),
        (&session, json!({"userId": user, "inviteToken": forged})),
        (
            &session,
            json!({"userId": user, "inviteToken": answer["token"]}),
        ),
        (&other, json!({"userId": user, "inviteToken": invite})),
    ] {
        let (code, refusal) = session.token(body).await;
        assert_eq!(code, 403, "{refusal}");
    }
    bench.clock.advance(Duration::from_secs(6 * 3600));
    let late = json!({"userId": user, "inviteToken": invite});
    assert_eq!(session.token(late).await.0, 403);
}

#[tokio::test]
async fn the_grid_is_what_the_host_says_and_the_default_before() {
    let bench = clients().await;
    let session = Session::begin(&bench).await;
    let (code, hosts) = session.call("GET", "multihost", &NOBODY, "").await;
    assert_eq!(code, 200);
    let default = json!({"maxHosts": 4, "gridColumns": 2, "gridRows": 2, "aspectRatio": "16:9",
        "showNames": true, "showControls": true});
    assert_eq!(hosts["sessionId"], session.id);
    assert_eq!(hosts["isEnabled"], true);
    assert_eq!(hosts["host"], json!({"role": "publisher"}));
    assert_eq!(hosts["coHosts"], json!([]));
    assert_eq!(hosts["gridLayout"], default);
    let change = json!({"gridLayout": {"maxHosts": 2, "aspectRatio": "9:16", "showNames": false}});
    let (code, changed) = session.call("PUT", "multihost", &KEY, change).await;
    assert_eq!(code, 200, "{changed}");
    let mut expected = default;
    expected["maxHosts"] = json!(2);
    expected["aspectRatio"] = json!("9:16");
    expected["showNames"] = json!(false);
    assert_eq!(changed["gridLayout"], expected);
    session.joined("u1").await;
    let full = session.join(&KEY, json!({"userName": "Jo"})).await;
    assert_eq!(full.0, 409);
    let off = json!({"isEnabled": false, "gridLayout": {"maxHosts": 9}});
    assert_eq!(session.call("PATCH", "multihost", &KEY, off).await.0, 200);
    let off = session.join(&KEY, json!({"userName": "Jo"})).await;
    assert_eq!(off.0, 409);
    let (_, hosts) = session.call("GET", "multihost", &NOBODY, "").await;
    assert_eq!(hosts["coHosts"][0]["userId"], "u1");
    assert_eq!(
        (&hosts["isEnabled"], &hosts["gridLayout"]["showNames"]),
        (&json!(false), &json!(false))
    );
    for bad in [
        json!({"isEnabled": "no"}),
        json!({"gridLayout": []}),
        json!({"gridLayout": {"maxHosts": 0}}),
        json!({"gridLayout": {"maxHosts": 101}}),
        json!({"gridLayout": {"gridRows": 2.5}}),
        json!({"gridLayout": {"gridColumns": -1}}),
        json!({"gridLayout": {"aspectRatio": "wide"}}),
        json!({"gridLayout": {"aspectRatio": "16:0"}}),
        json!({"gridLayout": {"aspectRatio": "16:+9"}}),
        json!({"gridLayout": {"showControls": 1}}),
    ] {
        let (code, refusal) = session.call("PATCH", "multihost", &KEY, bad).await;
        assert_eq!(code, 400, "{refusal}");
    }
}

#[tokio::test]
async fn figures_count_hosts_and_viewers() {
    let bench = clients().await;
    let session = Session::begin(&bench).await;
    for viewers in [7, 3] {
        let path = format!("/api/broadcasts/{}/viewer-count", session.id);
        let body = json!({ "viewerCount": viewers });
        assert_eq!(bench.api("POST", &path, &KEY, body).await.0, 200);
    }
    session.joined("u1").await;
    bench.clock.advance(Duration::from_millis(61_500));
    let (code, metrics) = session.call("GET", "metrics", &NOBODY, "").await;
    let expected = json!({"sessionId": session.id, "hostCount": 2, "coHostCount": 1,
        "viewerCount": 3, "peakViewerCount": 7, "measuredViewers": 3, "durationSeconds": 61});
    assert_eq!((code, metrics), (200, expected));
    session.become_("completed", &KEY).await;
    bench.clock.advance(Duration::from_secs(60));
    let (_, metrics) = session.call("GET", "metrics", &NOBODY, "").await;
    assert_eq!(metrics["durationSeconds"], 61);
}

#[tokio::test]
async fn a_session_without_a_creator_is_in_the_hands_of_who_knows_its_id() {
    let bench = clients().await;
    let body = json!({"title": "Open"});
    let (_, made) = bench
        .api("POST", "/api/streaming/sessions", &NOBODY, body)
        .await;
    let session = Session::of(&bench, &made);
    session.become_("active", &NOBODY).await;
    let body = json!({"userName": "iOS User", "permissions": permissions(&ALL)});
    let (code, joined) = session.join(&NOBODY, body).await;
    assert_eq!(code, 200, "{joined}");
    assert_eq!(joined["coHost"]["permissions"], permissions(&[]));
    let body = json!({"permissions": permissions(&["canModerateChat"])});
    // Tenants take part, and decide nothing.
    for (headers, expected) in [(&OTHER_KEY[..], 403), (&NOBODY[..], 200)] {
        let (code, _) = session.call("PUT", &of(&joined), headers, &body).await;
        assert_eq!(code, expected);
        let (code, _) = session.call("DELETE", &of(&joined), headers, "").await;
        assert_eq!(code, expected);
    }
    let (code, _) = session.join(&OTHER_KEY, json!({"userName": "Jo"})).await;
    assert_eq!(code, 200);
}

#[tokio::test]
async fn co_hosts_of_another_tenant_are_not_there() {
    let bench = clients().await;
    let session = Session::begin(&bench).await;
    let one = session.joined("u1").await;
    let elsewhere = Session::begin(&bench).await;
    let permissions = json!({"permissions": permissions(&ALL)});
    for (method, path, body) in [
        ("POST", "join-cohost".to_owned(), json!({"userName": "Jo"})),
        ("GET", "cohosts".to_owned(), json!({})),
        ("GET", "multihost".to_owned(), json!({})),
        ("PATCH", "multihost".to_owned(), json!({})),
        ("GET", "metrics".to_owned(), json!({})),
        ("PUT", of(&one), permissions.clone()),
        ("DELETE", of(&one), json!({})),
    ] {
        let (code, _) = session.call(method, &path, &OTHER_KEY, &body).await;
        assert_eq!(code, 404, "{method} {path}");
    }
    // Nor are they in another session of the same tenant.
    for path in [&*of(&one), "cohosts/u1", "cohosts/%ff"] {
        let (code, _) = elsewhere.call("PUT", path, &KEY, &permissions).await;
        assert!(code == 404 || code == 400, "{path} {code}");
    }
    assert_eq!(session.call("DELETE", &of(&one), &NOBODY, "").await.0, 401);
    let private = json!({"title": "Mine", "visibility": "private"});
    let (_, made) = bench.api("POST", "/api/broadcasts", &KEY, private).await;
    let session = Session::of(&bench, &made);
    for path in ["cohosts", "multihost", "metrics"] {
        assert_eq!(session.call("GET", path, &NOBODY, "").await.0, 404);
        assert_eq!(session.call("GET", path, &KEY, "").await.0, 200);
    }
}
