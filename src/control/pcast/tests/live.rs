//! Members, counts, forks and kills.

use super::*;
use crate::hub::ForkOptions;

#[tokio::test]
async fn members_are_shown_as_the_contract_has_them() {
    let bench = bench(|_| {}).await;
    let path = "/pcast/channel/live/members";
    let none = bench.call("GET", path, "").await;
    assert_eq!(none.json(), json!({"status": "ok", "members": []}));
    bench.add_member("local#app#live", "Primary-1");
    let one = bench.call("GET", path, "").await;
    assert_eq!(one.word().0, 200);
    let stream = Uuid::from_u128(7);
    assert_eq!(
        one.json()["members"],
        json!([{
            "sessionId": "local#Primary-1-session",
            "screenName": "Primary-1",
            "role": "Presenter",
            "streams": [{
                "type": "Presentation",
                "uri": format!("pcast://media.example/local#{stream}?capabilities=multi-bitrate%2Cfhd"),
                "audioState": "TrackEnabled",
                "videoState": "TrackEnded",
            }],
            "state": "Passive",
            "lastUpdate": NOW.unix_millis(),
        }])
    );
    assert_eq!(
        bench
            .call("GET", "/pcast/channel/none/members", "")
            .await
            .word(),
        (404, "not-found".to_owned())
    );
}

#[tokio::test]
async fn the_count_is_a_bare_number_for_everybody() {
    let bench = bench(|_| {}).await;
    bench.add_member("local#app#live", "Primary-1");
    let ask = async |query: &str| {
        let path = format!("/pcast/channel/local%23app%23live/publishers/count{query}");
        // Wrong credentials are ignored.
        let answer = bench
            .call_with("GET", &path, &[("authorization", "Basic x")], "")
            .await;
        let kind = answer.headers["content-type"].to_str().unwrap();
        assert_eq!(kind, "application/json; charset=utf-8");
        (answer.code.as_u16(), answer.text)
    };
    let is = |code: u16, text: &str| (code, text.to_owned());
    assert_eq!(ask("").await, is(200, "1"));
    assert_eq!(ask("?failIfLess=0").await, is(200, "1"));
    assert_eq!(ask("?failIfLess=1").await, is(200, "1"));
    assert_eq!(ask("?failIfLess=2").await, is(412, "1"));
    assert_eq!(
        ask("?failIfLess=99999999999999999999999").await,
        is(412, "1")
    );
    assert_eq!(
        ask("?withScreenName=Primary-1&failIfLess=1").await,
        is(200, "1")
    );
    assert_eq!(ask("?withScreenName=nobody").await, is(200, "0"));
    assert_eq!(
        ask("?withScreenName=nobody&failIfLess=1").await,
        is(412, "0")
    );
    assert_eq!(ask("?withStreams=0").await, is(200, "1"));
    assert_eq!(ask("?withStreams=2").await, is(200, "0"));
    for bad in [
        "failIfLess=-1",
        "failIfLess=x",
        "failIfLess=",
        "failIfLess=1.5",
        "withStreams=-1",
        "failIfLess=1&failIfLess=2",
    ] {
        let (code, text) = ask(&format!("?{bad}")).await;
        let name = bad.split('=').next().unwrap();
        assert!(code == 400 && text.contains(name), "{bad}: {code} {text}");
    }
    for path in [
        "none",
        "none/publishers/count?failIfLess=1",
        "none/publishers/count?failIfLess=x",
    ] {
        let path = format!("/pcast/channel/{}", path.trim_end_matches("none"));
        let path = if path.ends_with('/') {
            format!("{path}none/publishers/count")
        } else {
            path
        };
        let answer = bench.call_with("GET", &path, &[], "").await;
        assert_eq!(answer.word(), (404, "not-found".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_fork_says_what_it_forked_and_takes_every_option() {
    let bench = bench(|_| {}).await;
    bench.make("to").await;
    bench.add_member("local#app#live", "Primary-1");
    let path = "/pcast/channel/to/fork/live";
    for body in ["", "{}", " ", "null"] {
        let answer = bench.call("PUT", path, body).await;
        assert_eq!(answer.word().0, 200, "{}", answer.text);
        assert_eq!(
            answer.json()["members"][0]["sessionId"],
            "local#Primary-1-session"
        );
    }
    let body = json!({"streamTags": ["t"], "streamCapabilities": ["c"],
        "options": ["force", "additive", "keep-streams"], "unknown": 1});
    assert_eq!(bench.call("PUT", path, body).await.word().0, 200);
    let forking = bench.world.forks.lock().unwrap().pop().unwrap();
    assert_eq!(forking.channel_id, "local#app#to");
    assert_eq!(
        (forking.tags, forking.capabilities),
        (vec!["t".to_owned()], vec!["c".to_owned()])
    );
    let all = ForkOptions {
        force: true,
        additive: true,
        keep_streams: true,
    };
    assert_eq!(forking.options, all);
    for (body, says) in [
        (json!({"options": "force"}), "options is not"),
        (json!({"options": [1]}), "options is not"),
        (json!({"options": ["other"]}), "options holds a word"),
        (json!({"streamTags": 1}), "streamTags is not"),
        (
            json!({"streamCapabilities": {}}),
            "streamCapabilities is not",
        ),
        (json!([]), "not an object"),
    ] {
        let answer = bench.call("PUT", path, &body).await;
        assert_eq!(answer.word(), (400, "bad-request".to_owned()), "{body}");
        assert!(answer.reason().contains(says), "{}", answer.text);
    }
    for path in [
        "/pcast/channel/none/fork/live",
        "/pcast/channel/to/fork/none",
    ] {
        // Before the body is looked at.
        let answer = bench.call("PUT", path, "{").await;
        assert_eq!(answer.word(), (404, "not-found".to_owned()), "{path}");
    }
    let huge = json!({"streamTags": ["x".repeat(17 << 10)]});
    assert_eq!(bench.call("PUT", path, huge).await.word().0, 413);
}

#[tokio::test]
async fn a_fork_that_finds_no_room_or_takes_too_long_is_told_so() {
    let bench = bench(|_| {}).await;
    let channels = [("full", 503, "capacity"), ("slow", 504, "time-exceeded")];
    for (alias, code, word) in channels {
        let creation = crate::store::Creation {
            region: "local",
            application_id: "app",
            alias,
            name: alias,
            description: "",
            options: &[],
            ingest: None,
        };
        bench.store.create_channel(&creation, 9).await.unwrap();
        tokio::time::pause();
        let answer = bench
            .call("PUT", &format!("/pcast/channel/{alias}/fork/live"), "")
            .await;
        assert_eq!(answer.word(), (code, word.to_owned()));
        assert_eq!(answer.headers["retry-after"], "1");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_kill_says_whom_it_ended() {
    let bench = bench(|_| {}).await;
    let path = "/pcast/channel/live/kill";
    let nobody = bench.call("PUT", path, "").await;
    assert_eq!(nobody.json(), json!({"status": "ok", "killedMembers": []}));
    bench.add_member("local#app#live", "Primary-1");
    let body = json!({"reason": "over", "options": ["keep-streams"]});
    let killed = bench.call("PUT", path, body).await;
    assert_eq!(killed.json()["killedMembers"][0]["screenName"], "Primary-1");
    let told = bench.world.told.lock().unwrap().join("\n");
    assert!(
        told.ends_with("kill local#app#live \"over\" true"),
        "{told}"
    );
    for (body, says) in [
        (json!({"reason": 1}), "reason is not a text"),
        (json!({"options": "keep-streams"}), "options is not"),
        (json!({"options": ["force"]}), "options holds a word"),
    ] {
        let answer = bench.call("PUT", path, &body).await;
        assert_eq!(answer.word(), (400, "bad-request".to_owned()), "{body}");
        assert!(answer.reason().contains(says), "{}", answer.text);
    }
    let answer = bench.call("PUT", "/pcast/channel/none/kill", "").await;
    assert_eq!(answer.word(), (404, "not-found".to_owned()));
}
