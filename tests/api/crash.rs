//! `kill -9` while everybody writes: what was answered with 200 is there after the restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Client, SETTINGS, new_channel};
use crate::common::gateway::Folder;
use crate::common::postgres::Postgres;

/// Answers after which the gateway is taken away.
const ANSWERS: usize = 120;

/// What a client was told: channels with their keys that are there, aliases of those that are gone, and
/// texts of messages.
#[derive(Default)]
struct Told {
    made: Vec<(String, String)>,
    gone: Vec<String>,
    sent: Vec<String>,
}

/// Makes channels, deletes every third, sends messages, until the gateway is gone.
async fn write(client: Client, number: usize, answers: Arc<AtomicUsize>) -> Told {
    let mut told = Told::default();
    for round in 0.. {
        let alias = format!("w{number}-{round}");
        let made = client
            .try_call("PUT", "/pcast/channel", &new_channel(&alias))
            .await;
        let Some((200, made)) = made else { break };
        answers.fetch_add(1, Ordering::Relaxed);
        let key = made["channel"]["streamKey"].as_str().unwrap().to_owned();
        if round % 3 == 2 {
            // Until it is known to be gone, it may be either.
            let path = format!("/pcast/channel/{alias}");
            let Some((200, _)) = client.try_call("DELETE", &path, &Value::Null).await else {
                break;
            };
            told.gone.push(alias);
        } else {
            told.made.push((alias, key));
        }
        let text = format!("m{number}-{round}");
        let body = json!({"message": {
            "from": {"screenName": "x", "role": "Audience", "lastUpdate": 0},
            "mimeType": "text/plain", "message": text, "tags": []}});
        let sent = client
            .try_call("PUT", "/pcast/channel/live/message", &body)
            .await;
        let Some((200, _)) = sent else { break };
        answers.fetch_add(1, Ordering::Relaxed);
        told.sent.push(text);
    }
    told
}

async fn what_was_answered_outlives_a_crash(settings: &[(&str, &str)]) {
    let folder = Folder::new();
    let settings = [&SETTINGS, settings].concat();
    let gateway = folder.serve(&settings).await;
    let client = Client::new(gateway.http());
    let answers = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for number in 0..8 {
        writers.spawn(write(client.clone(), number, answers.clone()));
    }
    let enough = || answers.load(Ordering::Relaxed) >= ANSWERS;
    gateway
        .until("answers", async || enough().then_some(()))
        .await;
    gateway.kill().await;
    let told = writers.join_all().await;

    let gateway = folder.serve(&settings).await;
    let client = Client::new(gateway.http());
    let mut texts = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/pcast/channel/live/messages?limit=128{after}");
        let (code, page) = client.call("GET", &path, &Value::Null).await;
        assert_eq!(code, 200, "{page}");
        let messages = page["messages"].as_array().unwrap();
        texts.extend(
            messages
                .iter()
                .map(|m| m["message"].as_str().unwrap().to_owned()),
        );
        let (true, Some(first)) = (page["hasMoreBefore"] == true, messages.first()) else {
            break;
        };
        let id = first["messageId"].as_str().unwrap();
        let id: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        after = format!("&beforeMessageId={id}");
    }
    let mut checked = 0;
    for told in told {
        for (alias, key) in told.made {
            let path = format!("/pcast/channel/{alias}");
            let (code, shown) = client.call("GET", &path, &Value::Null).await;
            assert_eq!(
                (code, &shown["channel"]["streamKey"]),
                (200, &Value::from(key)),
                "{alias}"
            );
            checked += 1;
        }
        for alias in told.gone {
            let path = format!("/pcast/channel/{alias}");
            assert_eq!(
                client.call("GET", &path, &Value::Null).await.0,
                404,
                "{alias}"
            );
        }
        for text in told.sent {
            assert!(texts.contains(&text), "{text} is lost");
            checked += 1;
        }
    }
    assert!(checked >= ANSWERS / 2, "{checked}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_outlives_a_crash_on_sqlite() {
    what_was_answered_outlives_a_crash(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_outlives_a_crash_on_postgresql() {
    let database = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let url = database.url();
    what_was_answered_outlives_a_crash(&[("FOREBAY_DATABASE_URL", &url)]).await;
}
