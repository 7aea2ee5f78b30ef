//! Sixteen clients at once, on both databases.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::task::JoinSet;

use super::{Client, SETTINGS, new_channel};
use crate::common::gateway::Folder;
use crate::common::postgres::Postgres;

const CLIENTS: usize = 16;
const CHANNELS: usize = 200;
/// Aliases that every client wants.
const WANTED_BY_ALL: usize = 5;

/// Runs what each client does, all at once; what they come back with.
async fn together<T, F>(client: &Client, work: impl Fn(Client, usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(work(client.clone(), number));
    }
    clients.join_all().await
}

async fn two_hundred_channels_come_and_go(settings: &[(&str, &str)]) {
    let folder = Folder::new();
    let gateway = folder.serve(&[&SETTINGS, settings].concat()).await;
    let client = Client::new(gateway.http());

    let made: Vec<Vec<String>> = together(&client, |client, number| async move {
        let mut ids = Vec::new();
        for channel in (number..CHANNELS).step_by(CLIENTS) {
            let channel = client.make(&format!("c{channel}")).await;
            ids.push(channel["channelId"].as_str().unwrap().to_owned());
            // Others are made meanwhile; one's own are there.
            let listed: BTreeSet<String> = client.aliases().await.into_iter().collect();
            assert!(listed.contains(channel["alias"].as_str().unwrap()));
        }
        ids
    })
    .await;
    let ids: BTreeSet<String> = made.into_iter().flatten().collect();
    assert_eq!(ids.len(), CHANNELS, "each has an id of its own");
    let aliases = client.aliases().await;
    assert_eq!(aliases.len(), CHANNELS + 1, "none is lost or listed twice");

    let won = together(&client, |client, _| async move {
        let mut won = 0;
        for number in 0..WANTED_BY_ALL {
            let body = new_channel(&format!("wanted{number}"));
            match client.call("PUT", "/pcast/channel", &body).await {
                (200, _) => won += 1,
                (code, answer) => {
                    assert_eq!((code, &answer["status"]), (409, &"already-exists".into()))
                }
            }
        }
        won
    })
    .await;
    assert_eq!(won.iter().sum::<usize>(), WANTED_BY_ALL);

    // Each is deleted by two clients: one of them is first.
    let deleted = together(&client, |client, number| async move {
        let mut deleted = 0;
        for offset in [0, 1] {
            for channel in ((number + offset) % CLIENTS..CHANNELS).step_by(CLIENTS) {
                let path = format!("/pcast/channel/local%23forebay%23c{channel}");
                match client.call("DELETE", &path, &Value::Null).await {
                    (200, _) => deleted += 1,
                    (code, _) => assert_eq!(code, 404),
                }
            }
        }
        deleted
    })
    .await;
    assert_eq!(deleted.iter().sum::<usize>(), CHANNELS);
    let mut rest = client.aliases().await;
    rest.sort();
    assert_eq!(
        rest,
        [
            "live", "wanted0", "wanted1", "wanted2", "wanted3", "wanted4"
        ]
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_channels_come_and_go_at_once_on_sqlite() {
    two_hundred_channels_come_and_go(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_channels_come_and_go_at_once_on_postgresql() {
    let database = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let url = database.url();
    two_hundred_channels_come_and_go(&[("FOREBAY_DATABASE_URL", &url)]).await;
}
