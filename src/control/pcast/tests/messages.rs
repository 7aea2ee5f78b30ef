//! Messages: limits, bounds, filters, purges.

use super::*;

const PATH: &str = "/pcast/channel/live/message";
const LIST: &str = "/pcast/channel/live/messages";

fn body(text: &str) -> Value {
    json!({"message": {
        "from": {"screenName": "Me", "role": "Moderator", "lastUpdate": 1_500_000_000_123_i64},
        "mimeType": "text/plain", "message": text, "tags": ["a", "b"],
    }})
}

fn with(pointer: &str, value: Value) -> Value {
    let mut body = body("x");
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(&format!("/message{parent}")).unwrap();
    match value {
        Value::Null => parent.as_object_mut().unwrap().remove(name),
        value => parent
            .as_object_mut()
            .unwrap()
            .insert(name.to_owned(), value),
    };
    body
}

/// A query value.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn a_message_is_answered_as_it_was_sent_with_an_id_and_a_time() {
    let bench = bench(|_| {}).await;
    let sent = bench.call("PUT", PATH, body("hello")).await;
    assert_eq!(sent.word(), (200, "ok".to_owned()));
    let message = sent.json()["message"].clone();
    let id = message["messageId"].as_str().unwrap();
    assert!(
        id.starts_with("local#room|app#live.") && id.ends_with("|0000000001"),
        "{id}"
    );
    assert_eq!(
        message,
        json!({
            "messageId": id, "timestamp": NOW.unix_millis(), "deletedTimestamp": 0,
            "from": {"sessionId": "api", "screenName": "Me", "role": "Moderator",
                "lastUpdate": 1_500_000_000_123_i64},
            "mimeType": "text/plain", "message": "hello", "tags": ["a", "b"],
        })
    );
    let list = bench.call("GET", LIST, "").await;
    let expected = json!({"status": "ok", "messages": [message], "hasMoreBefore": false,
        "hasMoreAfter": false});
    assert_eq!(list.json(), expected);
    for (sent, shown) in [
        (json!(7.0), 7),
        (json!(-1e3), -1000),
        (json!(i64::MAX), i64::MAX),
    ] {
        let sent = bench
            .call("PUT", PATH, with("/from/lastUpdate", sent))
            .await;
        assert_eq!(sent.json()["message"]["from"]["lastUpdate"], shown);
    }
    let named = with("/from/sessionId", json!("local#x"));
    let named = bench.call("PUT", PATH, named).await;
    assert_eq!(named.json()["message"]["from"]["sessionId"], "local#x");
}

#[tokio::test]
async fn limits_of_a_message_are_inclusive_and_in_bytes() {
    let bench = bench(|_| {}).await;
    for (pointer, good, too_much) in [
        ("/message", json!("m".repeat(1024)), json!("m".repeat(1025))),
        ("/message", json!("ä".repeat(512)), json!("ä".repeat(513))),
        (
            "/tags",
            json!(["t".repeat(256), "t".repeat(256)]),
            json!(["t".repeat(256), "t".repeat(257)]),
        ),
        ("/tags", json!(vec!["t"; 512]), json!(vec!["t"; 513])),
        (
            "/from/screenName",
            json!("s".repeat(128)),
            json!("s".repeat(129)),
        ),
        ("/mimeType", json!("t".repeat(128)), json!("t".repeat(129))),
    ] {
        let answer = bench.call("PUT", PATH, with(pointer, good)).await;
        assert_eq!(answer.word().0, 200, "{pointer}: {}", answer.text);
        let answer = bench.call("PUT", PATH, with(pointer, too_much)).await;
        assert_eq!(answer.word(), (413, "too-large".to_owned()), "{pointer}");
    }
    let huge = bench.call("PUT", PATH, body(&"m".repeat(20_000))).await;
    assert_eq!(huge.word(), (413, "too-large".to_owned()));
    // The largest that is allowed, with every character escaped.
    let text = "\\u0001".repeat(1024);
    let escaped = body("x")
        .to_string()
        .replace("\"x\"", &format!("\"{text}\""));
    assert_eq!(bench.call("PUT", PATH, escaped).await.word().0, 200);
}

#[tokio::test]
async fn what_is_wrong_with_a_message_is_said_by_the_fields_name() {
    let bench = bench(|_| {}).await;
    for (body, says) in [
        (json!({}), "message is missing"),
        (json!({"message": []}), "message is not an object"),
        (with("/from", Value::Null), "message.from is missing"),
        (with("/from", json!("x")), "message.from is not an object"),
        (
            with("/mimeType", Value::Null),
            "message.mimeType is missing",
        ),
        (with("/message", Value::Null), "message.message is missing"),
        (with("/message", json!(1)), "message.message is not a text"),
        (
            with("/message", json!("a\0")),
            "message.message holds a zero byte",
        ),
        (with("/tags", Value::Null), "message.tags is missing"),
        (with("/tags", json!("x")), "message.tags is not an array"),
        (
            with("/from/screenName", Value::Null),
            "message.from.screenName is missing",
        ),
        (
            with("/from/role", Value::Null),
            "message.from.role is missing",
        ),
        (
            with("/from/role", json!("King")),
            "message.from.role is none of",
        ),
        (
            with("/from/lastUpdate", Value::Null),
            "message.from.lastUpdate is missing",
        ),
        (
            with("/from/lastUpdate", json!("1")),
            "message.from.lastUpdate is not",
        ),
        (
            with("/from/lastUpdate", json!(1.5)),
            "message.from.lastUpdate is not",
        ),
        (
            with("/from/lastUpdate", json!(u64::MAX)),
            "message.from.lastUpdate is not",
        ),
        (
            with("/from/lastUpdate", json!(1e17)),
            "message.from.lastUpdate is not",
        ),
        (
            with("/from/sessionId", json!(1)),
            "message.from.sessionId is not",
        ),
    ] {
        let answer = bench.call("PUT", PATH, &body).await;
        assert_eq!(answer.word(), (400, "bad-request".to_owned()), "{body}");
        assert!(
            answer.reason().contains(says),
            "{} for {body}",
            answer.reason()
        );
    }
    let answer = bench.call("PUT", "/pcast/channel/none/message", "{").await;
    assert_eq!(answer.word(), (404, "not-found".to_owned()));
}

#[tokio::test]
async fn lists_have_bounds_a_limit_and_a_filter_that_runs_last() {
    let bench = bench(|_| {}).await;
    let mut ids = Vec::new();
    for number in 0..130 {
        let mut body = body(&number.to_string());
        if number % 2 == 0 {
            body["message"]["mimeType"] = json!("a/even");
        }
        let sent = bench.call("PUT", PATH, body).await;
        ids.push(
            sent.json()["message"]["messageId"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    let ask = async |query: String| {
        let list = bench.call("GET", &format!("{LIST}?{query}"), "").await;
        assert_eq!(list.word().0, 200, "{}", list.text);
        let list = list.json();
        let texts: Vec<String> = list["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| message["message"].as_str().unwrap().to_owned())
            .collect();
        (
            texts,
            list["hasMoreBefore"] == true,
            list["hasMoreAfter"] == true,
        )
    };
    let range = |from: usize, to: usize| (from..to).map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!(ask(String::new()).await, (range(30, 130), true, false));
    assert_eq!(
        ask("limit=128".to_owned()).await,
        (range(2, 130), true, false)
    );
    assert_eq!(
        ask("limit=1".to_owned()).await,
        (range(129, 130), true, false)
    );
    let before = format!("limit=3&beforeMessageId={}", escaped(&ids[10]));
    assert_eq!(ask(before).await, (range(7, 10), true, true));
    let after = format!("limit=3&afterMessageId={}", escaped(&ids[10]));
    assert_eq!(ask(after).await, (range(11, 14), true, true));
    let both = format!(
        "afterMessageId={}&beforeMessageId={}",
        escaped(&ids[10]),
        escaped(&ids[12])
    );
    assert_eq!(ask(both).await, (range(11, 12), true, true));
    let (texts, _, _) = ask("limit=4&mimeTypes=a/even,%20a/other".to_owned()).await;
    assert_eq!(texts, ["126", "128"], "of the range of four");
    for (query, code, word) in [
        ("limit=129", 413, "limit-too-large"),
        ("limit=99999999999999999999", 413, "limit-too-large"),
        ("limit=0", 400, "bad-request"),
        ("limit=-1", 400, "bad-request"),
        ("limit=x", 400, "bad-request"),
        ("limit=", 400, "bad-request"),
        ("limit=1&limit=2", 400, "bad-request"),
        ("beforeMessageId=x", 400, "bad-request"),
        ("afterMessageId=local%23room", 400, "bad-request"),
    ] {
        let answer = bench.call("GET", &format!("{LIST}?{query}"), "").await;
        assert_eq!(answer.word(), (code, word.to_owned()), "{query}");
    }
}

#[tokio::test]
async fn a_purge_says_how_many_there_were_and_numbers_go_on() {
    let bench = bench(|_| {}).await;
    for text in ["a", "b"] {
        bench.call("PUT", PATH, body(text)).await;
    }
    let purged = bench.call("DELETE", LIST, "").await;
    assert_eq!(purged.json(), json!({"status": "ok", "deletedCount": 2}));
    let purged = bench.call("DELETE", LIST, "").await;
    assert_eq!(purged.json(), json!({"status": "ok", "deletedCount": 0}));
    let sent = bench.call("PUT", PATH, body("c")).await;
    let id = sent.json()["message"]["messageId"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(id.ends_with("|0000000003"), "{id}");
    assert_eq!(bench.call("GET", "/pcast/channel/live", "").await.code, 200);
    let none = "/pcast/channel/none/messages";
    assert_eq!(
        bench.call("DELETE", none, "").await.word(),
        (404, "not-found".to_owned())
    );
}
