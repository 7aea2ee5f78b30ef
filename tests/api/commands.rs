//! Commands beside the running program, on both databases: what its clients and encoders see of them.

use std::net::SocketAddr;

use serde_json::Value;

use super::encoders::{closed, on_air};
use super::{Client, SETTINGS, new_channel};
use crate::common::encoder::Encoder;
use crate::common::gateway::{Folder, Settings};
use crate::common::postgres::Postgres;

/// Runs a command with these settings alone; what it printed.
async fn command(folder: &Folder, settings: &Settings<'_>, arguments: &[&str]) -> String {
    let output = folder.run(arguments, settings).await;
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// A client of a new application.
async fn application(
    folder: &Folder,
    database: &Settings<'_>,
    address: SocketAddr,
    id: &str,
) -> Client {
    let said = command(folder, database, &["application", "add", id]).await;
    let secret = said.lines().find_map(|line| line.strip_prefix("Secret"));
    Client::of(address, id, secret.expect("it is printed").trim())
}

async fn commands_are_followed(database: &Settings<'_>) {
    let folder = Folder::new();
    let declared = "[[channel]]\nalias = \"declared\"\ncapabilities = [\"hd\", \"streaming\"]\n";
    let file = folder.write("elsewhere.toml", declared);
    let own = [("FOREBAY_CONFIG", &*file)];
    let gateway = folder
        .serve(&[&SETTINGS[..], &own, database].concat())
        .await;
    let first = Client::new(gateway.http());
    let declared = "/pcast/channel/declared";
    let (code, before) = first.call("GET", declared, &Value::Null).await;
    assert_eq!(code, 200, "{before}");

    // Commands know neither the gateway's secrets nor its file.
    let studio = application(&folder, database, gateway.http(), "studio").await;
    let made = gateway
        .until("the application", async || {
            let body = new_channel("a");
            let (code, answer) = studio.call("PUT", "/pcast/channel", &body).await;
            (code == 200).then(|| answer["channel"].clone())
        })
        .await;
    let (code, after) = first.call("GET", declared, &Value::Null).await;
    assert_eq!((code, after), (200, before), "it is as it was");

    let old = made["streamKey"].as_str().expect("text").to_owned();
    let id = made["channelId"].as_str().expect("text");
    let (mut encoder, session) = on_air(&gateway, &studio, "a", &old).await;
    let new = command(&folder, database, &["key", "rotate", id]).await;
    let refused = Encoder::start(gateway.rtmp(), &old).await;
    assert!(refused.is_err(), "the old key is refused at once");
    let second = Encoder::start(gateway.rtmp(), new.trim()).await;
    second.expect("the new key is good at once").finish().await;
    encoder.lap().await.expect("who is on air stays");
    let path = "/pcast/channel/a/members";
    let (_, members) = studio.call("GET", path, &Value::Null).await;
    assert_eq!(members["members"][0]["sessionId"], session.as_str());

    command(&folder, database, &["application", "remove", "studio"]).await;
    closed(&mut encoder).await;
    let (code, _) = studio.call("GET", "/pcast/channels", &Value::Null).await;
    assert_eq!(code, 401);
    assert_eq!(first.aliases().await, ["live", "declared"]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_beside_a_running_gateway_are_followed_and_change_nothing_else_on_sqlite() {
    commands_are_followed(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_beside_a_running_gateway_are_followed_and_change_nothing_else_on_postgresql() {
    let database = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let url = database.url();
    commands_are_followed(&[("FOREBAY_DATABASE_URL", &url)]).await;
}
