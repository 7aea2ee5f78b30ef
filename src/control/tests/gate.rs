//! Who may publish, and what is remembered of streams.

use super::super::admission::{OnFailure, Service};
use super::*;

fn publish(proto: &'static str, key: &str, capabilities: Option<&[&str]>) -> PublishRequest {
    PublishRequest {
        proto,
        peer: SocketAddr::from(([192, 0, 2, 1], 5000)),
        key: Secret::new(key),
        capabilities: capabilities
            .map(|words| words.iter().map(|word| (*word).to_owned()).collect()),
        tags: vec!["t".to_owned()],
    }
}

#[tokio::test]
async fn the_gate_admits_by_key_and_takes_capabilities_from_key_channel_or_default() {
    let bench = bench(|_| {}).await;
    let words = ["fhd".to_owned()];
    let declared = crate::store::Declaration {
        alias: "stage",
        name: "Stage",
        key: Some(&Secret::new("stage-key")),
        capabilities: Some(&words),
    };
    bench
        .store
        .declare_channels("local", "app", &[declared], 10)
        .await
        .unwrap();
    let defaults = vec!["hd".to_owned()];
    let gate = StoreGate::new(bench.store.clone(), bench.tokens.clone(), defaults);
    let admitted = gate.admit(&publish("rtmp", "stream-key", None)).await;
    let admitted = admitted.unwrap();
    assert_eq!(admitted.channel_id, "local#app#live");
    assert_eq!(admitted.capabilities, ["hd"]);
    assert_eq!(admitted.tags, ["t"]);
    let capabilities = async |request: PublishRequest| {
        let admitted = gate.admit(&request).await;
        admitted.unwrap().capabilities
    };
    let own = publish("rtmp", "stream-key", Some(&["sd", "x"]));
    assert_eq!(capabilities(own).await, ["sd", "x"]);
    let channel = publish("rtmps", "stage-key", None);
    assert_eq!(capabilities(channel).await, ["fhd"]);
    // An empty list names none (contract, channels, C-34).
    for (key, words) in [("stream-key", "hd"), ("stage-key", "fhd")] {
        let nothing = publish("rtmp", key, Some(&[]));
        assert_eq!(capabilities(nothing).await, [words]);
    }
    let ingest = crate::store::IngestOptions {
        capabilities: Some(Vec::new()),
        screen_name: Some(String::new()),
        ..Default::default()
    };
    let empty = crate::store::Creation {
        region: "local",
        application_id: "app",
        alias: "empty",
        name: "Empty",
        description: "",
        options: &[],
        ingest: Some(&ingest),
    };
    let empty = bench.store.create_channel(&empty, 10).await.unwrap();
    let admitted = gate.admit(&publish("rtmp", empty.key.expose(), None)).await;
    let admitted = admitted.unwrap();
    assert_eq!(
        (&*admitted.capabilities, admitted.screen_name),
        (&["hd".to_owned()][..], None)
    );
    let pulled = gate.admit_pulled(&empty.id).await.unwrap();
    assert_eq!(pulled.capabilities, ["hd"]);
    // The channel's capabilities are for RTMP only.
    let srt = publish("srt", "stage-key", None);
    assert_eq!(capabilities(srt).await, ["hd"]);
    // What the gateway pulls itself needs no key, and is what its channel says.
    let pulled = gate.admit_pulled("local#app#stage").await.unwrap();
    assert_eq!((&*pulled.alias, &*pulled.name), ("stage", "Stage"));
    assert_eq!(pulled.capabilities, ["fhd"]);
    let pulled = gate.admit_pulled("local#app#live").await.unwrap();
    assert_eq!(pulled.capabilities, ["hd"]);
    let refused = gate.admit_pulled("local#app#gone").await;
    assert!(matches!(refused, Err(Refusal::NotAllowed(_))));
    gate.set_default_capabilities(vec!["uhd".to_owned()]);
    let later = publish("rtmp", "stream-key", None);
    assert_eq!(capabilities(later).await, ["uhd"]);

    for wrong in ["", "stream-kez", "stream-key2", "DIGEST:nonsense"] {
        let refused = gate.admit(&publish("rtmp", wrong, None)).await;
        assert_eq!(refused, Err(Refusal::UnknownKey));
    }
    bench.store.close().await;
    let refused = gate.admit(&publish("rtmp", "stream-key", None)).await;
    assert!(matches!(refused, Err(Refusal::Undecided(_))));
}

#[tokio::test]
async fn the_gate_admits_a_publish_token_for_its_channel_only_in_time() {
    let bench = bench(|_| {}).await;
    let gate = StoreGate::new(bench.store.clone(), bench.tokens.clone(), Vec::new());
    let token = |tag: &str| {
        bench.token(|c| {
            c.kind = Some("publish".to_owned());
            c.required_tag = Some(tag.to_owned());
            c.capabilities = vec!["fhd".to_owned()];
            c.apply_tags = vec!["signed".to_owned()];
        })
    };
    let good = publish("rtmp", &token("channelAlias:live"), Some(&["uhd"]));
    let admitted = gate.admit(&good).await.unwrap();
    assert_eq!(admitted.alias, "live");
    assert_eq!(admitted.capabilities, ["fhd"], "the token's word holds");
    assert_eq!(admitted.tags, ["signed"], "the bearer adds none");
    let none = publish("rtmp", &token("channelAlias:none"), None);
    assert_eq!(gate.admit(&none).await, Err(Refusal::UnknownKey));
    let viewing = publish("rtmp", &bench.token(|_| {}), None);
    let refused = gate.admit(&viewing).await;
    assert!(matches!(refused, Err(Refusal::NotAllowed(_))));
    bench.clock.advance(Duration::from_secs(1));
    let refused = gate.admit(&good).await;
    assert!(matches!(refused, Err(Refusal::NotAllowed(_))));
}

/// M-14: neither the answer nor the way to it tells how a wrong key is wrong.
#[tokio::test]
async fn wrong_keys_of_every_shape_take_the_way_of_the_right_one() {
    let bench = bench(|_| {}).await;
    let gate = StoreGate::new(bench.store.clone(), bench.tokens.clone(), Vec::new());
    let right = "stream-key";
    let long = "k".repeat(96);
    let wrong = [
        "",
        "s",
        "stream-ke",
        "stream-kez",
        "xtream-key",
        "stream-key2",
        "STREAM-KEY",
        "live",
        "local#app#live",
        "schlüssel",
        &long,
    ];
    for key in wrong {
        for proto in ["rtmp", "srt"] {
            let request = publish(proto, key, Some(&["hd"]));
            assert_eq!(gate.preview(&request), Err(Refusal::UnknownKey), "{key}");
            let refused = gate.admit(&request).await;
            assert_eq!(refused, Err(Refusal::UnknownKey), "{key}");
        }
    }
    assert!(gate.preview(&publish("srt", right, None)).is_ok());
    // Each is looked up where the right one is: none is told without that.
    bench.store.close().await;
    let down = gate.admit(&publish("rtmp", right, None)).await;
    assert!(matches!(down, Err(Refusal::Undecided(_))), "{down:?}");
    for key in wrong {
        let refused = gate.admit(&publish("rtmp", key, None)).await;
        assert_eq!(refused, down, "{key}");
    }
}

/// A service that says yes, after `before` was done.
async fn yes(listener: tokio::net::TcpListener, before: impl Future<Output = ()>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut question = Vec::new();
    while !question.ends_with(b"}") {
        stream.read_buf(&mut question).await.unwrap();
    }
    before.await;
    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
    stream.write_all(answer).await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_replaced_while_the_admission_service_thinks_opens_nothing() {
    let bench = bench(|_| {}).await;
    let listener = || tokio::net::TcpListener::bind("127.0.0.1:0");
    let asking = |listener: &tokio::net::TcpListener| {
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let service = Service::new(&url, OnFailure::Refuse).unwrap();
        StoreGate::new(bench.store.clone(), bench.tokens.clone(), Vec::new()).asking(Some(service))
    };
    // Other processes share the database, and not the memory.
    let other = bench.elsewhere().await;
    let live = "local#app#live";
    let request = publish("rtmp", "stream-key", None);
    let door = listener().await.unwrap();
    let gate = asking(&door);
    let (admitted, ()) = tokio::join!(gate.admit(&request), yes(door, async {}));
    assert_eq!(admitted.unwrap().channel_id, live);
    let door = listener().await.unwrap();
    let gate = asking(&door);
    let rotate = async { drop(other.rotate_key(live).await.unwrap()) };
    let (admitted, ()) = tokio::join!(gate.admit(&request), yes(door, rotate));
    assert_eq!(admitted, Err(Refusal::UnknownKey));
    // So does a token whose channel is deleted, and made anew, meanwhile.
    let token = bench.token(|c| {
        c.kind = Some("publish".to_owned());
        c.required_tag = Some("channelAlias:live".to_owned());
    });
    let request = publish("rtmp", &token, None);
    let door = listener().await.unwrap();
    let gate = asking(&door);
    let anew = async {
        other.delete_channel(live).await.unwrap();
        bench.clock.advance(Duration::from_millis(1));
        let new = NewChannel {
            region: "local",
            application_id: "app",
            alias: "live",
            name: "Live",
            key: None,
            capabilities: None,
        };
        other.ensure_default_channel(&new).await.unwrap();
    };
    let (admitted, ()) = tokio::join!(gate.admit(&request), yes(door, anew));
    assert_eq!(admitted, Err(Refusal::UnknownKey));
}

#[tokio::test]
async fn the_gate_records_streams() {
    let bench = bench(|_| {}).await;
    let gate = StoreGate::new(bench.store.clone(), bench.tokens.clone(), Vec::new());
    let id = Uuid::new_v4();
    let admitted = gate
        .admit(&publish("rtmp", "stream-key", Some(&["hd"])))
        .await;
    let sign = Sign {
        id,
        alive: Wall(7),
        told: Told {
            next_sequence: 8,
            discontinuities: 9,
            end_90k: 10,
        },
        is_final: false,
    };
    let opened = Record {
        id,
        epoch: Wall(6),
        admission: admitted.unwrap(),
        segment_target_90k: 180_000,
        longest_segment_90k: 900_000,
        sign,
    };
    gate.stream_opened(&opened).await;
    assert_eq!(
        gate.open_streams("local").await,
        std::slice::from_ref(&opened)
    );
    let later = Sign {
        alive: Wall(70),
        is_final: true,
        ..sign
    };
    gate.streams_alive(&[later]).await;
    assert_eq!(gate.open_streams("local").await[0].sign, later);
    gate.streams_ended(&[id]).await;
    assert_eq!(gate.open_streams("local").await, []);
}

#[tokio::test]
async fn a_preview_says_what_the_gate_will_say_and_needs_no_database() {
    let bench = bench(|_| {}).await;
    let gate = StoreGate::new(bench.store.clone(), bench.tokens.clone(), Vec::new());
    let token = |kind: &str, tag: &str| {
        bench.token(|c| {
            c.kind = Some(kind.to_owned());
            c.required_tag = Some(tag.to_owned());
        })
    };
    let keys = [
        "stream-key".to_owned(),
        "stream-kez".to_owned(),
        String::new(),
        "DIGEST:nonsense".to_owned(),
        token("publish", "channelAlias:live"),
        token("publish", "channelId:local#app#live"),
        token("publish", "channelAlias:none"),
        token("stream", "channelAlias:live"),
        bench.token(|_| {}),
    ];
    let requests = keys.each_ref().map(|key| publish("srt", key, None));
    let mut said = Vec::new();
    for request in &requests {
        let admitted = gate
            .admit(request)
            .await
            .map(|admitted| admitted.channel_id);
        assert_eq!(gate.preview(request), admitted);
        said.push(admitted);
    }
    assert_eq!(said.iter().filter(|said| said.is_ok()).count(), 3);
    let rotated = bench.store.rotate_key("local#app#live").await.unwrap();
    assert_eq!(gate.preview(&requests[0]), Err(Refusal::UnknownKey));
    let rotated = publish("srt", rotated.expose(), None);
    assert_eq!(gate.preview(&rotated), said[4]);
    bench.store.close().await;
    assert_eq!(gate.preview(&rotated), said[4]);
    assert_eq!(gate.preview(&requests[1]), Err(Refusal::UnknownKey));
    assert_eq!(gate.preview(&requests[4]), said[4]);
    bench.clock.advance(Duration::from_secs(1));
    let expired = gate.preview(&requests[4]);
    assert!(matches!(expired, Err(Refusal::NotAllowed(_))));
}

#[tokio::test]
async fn a_damaged_channel_costs_no_other_ones_stream() {
    let bench = bench(|_| {}).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(bench.data.join("forebay.db"));
    let mut database = sqlx::ConnectOptions::connect(&options).await.unwrap();
    bench
        .store
        .add_application("b", &Secret::new("a-secret"))
        .await
        .unwrap();
    let gate = StoreGate::new(bench.store.clone(), bench.tokens.clone(), Vec::new());
    let mut opened = Vec::new();
    for (application_id, key) in [("app", "stream-key"), ("b", "another-key")] {
        let channel = NewChannel {
            region: "local",
            application_id,
            alias: "live",
            name: "Live",
            key: Some(&Secret::new(key)),
            capabilities: None,
        };
        bench.store.ensure_default_channel(&channel).await.unwrap();
        let admitted = gate.admit(&publish("rtmp", key, None)).await;
        let id = Uuid::new_v4();
        let record = Record {
            id,
            epoch: Wall(6),
            admission: admitted.unwrap(),
            segment_target_90k: 180_000,
            longest_segment_90k: 900_000,
            sign: Sign {
                id,
                alive: Wall(7),
                told: Told::default(),
                is_final: false,
            },
        };
        gate.stream_opened(&record).await;
        opened.push(record);
    }
    let damage = "UPDATE channels SET tags = 'no list' WHERE application_id = 'b'";
    sqlx::query(damage).execute(&mut database).await.unwrap();
    bench.store.refresh().await.unwrap();
    assert_eq!(gate.open_streams("local").await, opened[..1]);
}
