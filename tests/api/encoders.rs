//! What calls do to an encoder that publishes.

use serde_json::{Value, json};

use super::{Client, SETTINGS, new_channel};
use crate::common::encoder::Encoder;
use crate::common::gateway::{Folder, Gateway};

/// Publishes to a channel until it is listed as a member; its session id.
pub(super) async fn on_air(
    gateway: &Gateway,
    client: &Client,
    alias: &str,
    key: &str,
) -> (Encoder, String) {
    let mut encoder = Encoder::start(gateway.rtmp(), key)
        .await
        .expect("the key is good");
    encoder.lap().await.expect("it listens");
    let session = gateway
        .until("a member", async || {
            let members = members(client, alias).await;
            Some(members.first()?["sessionId"].as_str()?.to_owned())
        })
        .await;
    (encoder, session)
}

async fn members(client: &Client, alias: &str) -> Vec<Value> {
    let path = format!("/pcast/channel/{alias}/members");
    let (code, answer) = client.call("GET", &path, &Value::Null).await;
    assert_eq!(code, 200, "{answer}");
    answer["members"].as_array().expect("a list").clone()
}

/// Sends until the connection is closed.
pub(super) async fn closed(encoder: &mut Encoder) {
    for _ in 0..10_000 {
        if encoder.lap().await.is_err() {
            return;
        }
    }
    panic!("the connection is not closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_key_is_refused_at_once_and_the_stream_on_air_goes_on() {
    let folder = Folder::new();
    let gateway = folder.serve(&SETTINGS).await;
    let client = Client::new(gateway.http());
    let old = client.make_key("a").await;
    let (mut encoder, session) = on_air(&gateway, &client, "a", &old).await;
    let operator = Client::operator(gateway.http());
    let path = "/api/admin/channels/a/key";
    let (code, answer) = operator.call("POST", path, &Value::Null).await;
    assert_eq!(code, 200, "{answer}");
    let new = answer["streamKey"].as_str().unwrap().to_owned();
    assert!(
        Encoder::start(gateway.rtmp(), &old).await.is_err(),
        "at once"
    );
    let second = Encoder::start(gateway.rtmp(), &new)
        .await
        .expect("the new key is good");
    encoder.lap().await.expect("it is on air");
    let still = gateway
        .until("the member", async || {
            let members = members(&client, "a").await;
            members
                .into_iter()
                .find(|member| member["sessionId"] == *session)
        })
        .await;
    assert_eq!(still["role"], "Presenter");
    second.finish().await;
    encoder.finish().await;
    // It holds after a restart, also where the credentials file has the key.
    let path = "/api/admin/channels/live/key";
    let (_, answer) = operator.call("POST", path, &Value::Null).await;
    let new_default = answer["streamKey"].as_str().unwrap().to_owned();
    gateway.stop().await;
    let gateway = folder.serve(&SETTINGS).await;
    for key in [&new, &new_default] {
        let encoder = Encoder::start(gateway.rtmp(), key).await;
        encoder.expect("the new key is kept").finish().await;
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_live_channel_closes_its_encoder_and_voids_its_key() {
    let folder = Folder::new();
    let gateway = folder.serve(&SETTINGS).await;
    let client = Client::new(gateway.http());
    let key = client.make_key("a").await;
    let (mut encoder, _) = on_air(&gateway, &client, "a", &key).await;
    let (code, _) = client
        .call("DELETE", "/pcast/channel/a", &Value::Null)
        .await;
    assert_eq!(code, 200);
    closed(&mut encoder).await;
    assert!(Encoder::start(gateway.rtmp(), &key).await.is_err());
    let manifest = gateway.get("/pcast/channel/a/live.m3u8").await;
    assert_eq!(manifest.status, 404);
    // Of the same name, but another one.
    let again = client.make_key("a").await;
    assert_ne!(key, again);
    assert!(members(&client, "a").await.is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_alias_of_another_application_takes_over_what_a_channels_viewers_open() {
    let folder = Folder::new();
    let gateway = folder.serve(&SETTINGS).await;
    let operator = Client::operator(gateway.http());
    let application = json!({"applicationId": "another"});
    let path = "/api/admin/applications";
    assert_eq!(operator.call("POST", path, &application).await.0, 200);
    let mut encoders = Vec::new();
    // An alias like the id of a channel, and one that sorts before it.
    for (alias, id) in [
        (
            "local#forebay#live",
            "local%23another%23local%23forebay%23live",
        ),
        ("live", "local%23another%23live"),
    ] {
        let mut body = new_channel(alias);
        body["applicationId"] = json!("another");
        let (code, made) = operator.call("PUT", "/api/admin/channels", &body).await;
        assert_eq!(code, 200, "{made}");
        let key = format!("/api/admin/channels/{id}/key");
        let (_, key) = operator.call("GET", &key, &Value::Null).await;
        let key = key["streamKey"].as_str().expect("a key");
        let encoder = Encoder::start(gateway.rtmp(), key).await;
        let mut encoder = encoder.expect("the key is good");
        encoder.lap().await.expect("it listens");
        let own = format!("/pcast/channel/{id}/live.m3u8");
        let leads = async || found(&gateway, &own).await;
        gateway.until("its own manifest", leads).await;
        encoders.push(encoder);
    }
    for path in [
        "/pcast/channel/local%23forebay%23live/live.m3u8",
        "/pcast/channel/live/live.mpd",
        "/hls/local%23forebay%23live/index.m3u8",
        "/hls/live/index.m3u8",
    ] {
        assert_eq!(gateway.get(path).await.status, 404, "{path}");
    }
    // Operators have to say which one they mean.
    let path = "/api/admin/channels/live";
    let (code, refused) = operator.call("DELETE", path, &Value::Null).await;
    assert_eq!((code, refused["status"].as_str()), (409, Some("conflict")));
    for encoder in encoders {
        encoder.finish().await;
    }
    gateway.stop().await;
}

/// Where a universal manifest leads to.
async fn found(gateway: &Gateway, manifest: &str) -> Option<String> {
    let answer = gateway.get(manifest).await;
    answer.header("location").map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn members_count_and_manifest_follow_an_encoder_and_a_kill() {
    let folder = Folder::new();
    let gateway = folder.serve(&SETTINGS).await;
    let client = Client::new(gateway.http());
    let key = client.make_key("a").await;
    let count = "/pcast/channel/local%23forebay%23a/publishers/count?failIfLess=1";
    assert_eq!(gateway.get(count).await.status, 412);
    assert_eq!(gateway.get("/pcast/channel/a/live.m3u8").await.status, 404);
    let (mut encoder, session) = on_air(&gateway, &client, "a", &key).await;
    let counted = gateway.get(count).await;
    assert_eq!((counted.status, counted.text()), (200, "1"));
    let (_, shown) = client.call("GET", "/pcast/channel/a", &Value::Null).await;
    assert_eq!(shown["channel"]["estimatedSize"], 1);
    assert_eq!(gateway.get("/pcast/channel/a/live.m3u8").await.status, 302);
    let path = "/pcast/channel/a/kill";
    let (code, killed) = client.call("PUT", path, &Value::Null).await;
    assert_eq!(code, 200);
    assert_eq!(killed["killedMembers"][0]["sessionId"], *session);
    closed(&mut encoder).await;
    assert_eq!(gateway.get(count).await.status, 412);
    // The key survives.
    let (encoder, other) = on_air(&gateway, &client, "a", &key).await;
    assert_ne!(other, session);
    encoder.finish().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_shows_the_source_under_its_own_address() {
    let folder = Folder::new();
    let gateway = folder.serve(&SETTINGS).await;
    let client = Client::new(gateway.http());
    let key = client.make_key("from").await;
    client.make("to").await;
    let (encoder, session) = on_air(&gateway, &client, "from", &key).await;
    let path = "/pcast/channel/to/fork/from";
    let (code, forked) = client.call("PUT", path, &Value::Null).await;
    assert_eq!(code, 200, "{forked}");
    assert_eq!(forked["members"][0]["sessionId"], *session);
    let source = members(&client, "from").await;
    let uri = |member: &Value| member["streams"][0]["uri"].as_str().unwrap().to_owned();
    assert_ne!(
        uri(&forked["members"][0]),
        uri(&source[0]),
        "a stream id of its own"
    );
    assert_eq!(members(&client, "to").await.len(), 1);
    assert_eq!(gateway.get("/pcast/channel/to/live.m3u8").await.status, 302);
    let (_, again) = client.call("PUT", path, &Value::Null).await;
    assert_eq!(again["status"], "ok");
    encoder.finish().await;
    gateway.stop().await;
}
