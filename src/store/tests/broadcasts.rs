//! Broadcasts, their channels and their keys.

use super::*;

fn named(title: &str) -> NewBroadcast<'_> {
    NewBroadcast::titled("app", title)
}

async fn made(store: &Store, title: &str) -> Broadcast {
    store.create_broadcast(&named(title), 100).await.unwrap()
}

async fn moved(store: &Store, broadcast: &Broadcast, status: Status) -> Result<Broadcast, Error> {
    let update = BroadcastUpdate {
        status: Some(status),
        ..BroadcastUpdate::default()
    };
    store.update_broadcast(broadcast.id, &update).await
}

pub(super) async fn a_broadcasts_key_is_good_from_its_creation_to_its_end(bench: Bench) {
    let store = bench.store().await;
    let broadcast = made(&store, "A <b>title</b>'; DROP TABLE broadcasts").await;
    let key = broadcast.key.expose();
    assert_eq!(key.len(), 32);
    assert!(key.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_ne!(broadcast.id, broadcast.stream_id);
    assert_eq!(broadcast.status, Status::Created);
    let channel = store.known_key(key).unwrap();
    assert_eq!(channel.id, broadcast.channel_id);
    assert_eq!(channel.stream_id, Some(broadcast.stream_id));
    let active = moved(&store, &broadcast, Status::Active).await.unwrap();
    assert_eq!(active.started, Some(bench.clock.wall()));
    let over = moved(&store, &broadcast, Status::Completed).await.unwrap();
    assert_eq!(over.ended, Some(bench.clock.wall()));
    assert!(store.known_key(key).is_none());
    assert!(store.find_channel_by_key(key).await.unwrap().is_none());
    let after = bench.store().await;
    let id = broadcast.id.to_string();
    assert_eq!(after.find_broadcast(&id).await.unwrap(), Some(over));
}

pub(super) async fn a_broadcast_is_found_by_every_id_it_has(bench: Bench) {
    let store = bench.store().await;
    made(&store, "one").await;
    let broadcast = made(&store, "two").await;
    assert_eq!(broadcast.number, 2);
    for id in [
        broadcast.id.to_string(),
        broadcast.id.to_string().to_uppercase(),
        broadcast.stream_id.to_string(),
        "r2".to_owned(),
        broadcast.channel_id.clone(),
    ] {
        let found = store.find_broadcast(&id).await.unwrap();
        assert_eq!(found.as_ref(), Some(&broadcast), "{id}");
    }
    for id in [
        "",
        "r",
        "r3",
        "r99999999999999999999",
        "2",
        "live",
        "a#b#c",
        "\u{1f3a5}",
    ] {
        assert_eq!(store.find_broadcast(id).await.unwrap(), None, "{id}");
    }
}

pub(super) async fn a_broadcast_that_is_over_does_not_live_again(bench: Bench) {
    let store = bench.store().await;
    let broadcast = made(&store, "one").await;
    moved(&store, &broadcast, Status::Active).await.unwrap();
    let back = moved(&store, &broadcast, Status::Created).await;
    assert!(matches!(back, Err(Error::State { .. })));
    let again = moved(&store, &broadcast, Status::Active).await.unwrap();
    assert_eq!(again.status, Status::Active);
    moved(&store, &broadcast, Status::Completed).await.unwrap();
    moved(&store, &broadcast, Status::Completed).await.unwrap();
    for status in [Status::Created, Status::Active, Status::Error] {
        let refused = moved(&store, &broadcast, status).await;
        assert!(matches!(refused, Err(Error::State { .. })), "{status:?}");
    }
    let failed = made(&store, "two").await;
    moved(&store, &failed, Status::Error).await.unwrap();
    assert!(moved(&store, &failed, Status::Active).await.is_err());
    let unknown = store
        .update_broadcast(Uuid::from_u128(1), &BroadcastUpdate::default())
        .await;
    assert!(matches!(unknown, Err(Error::Missing { .. })));
}

pub(super) async fn only_public_broadcasts_of_a_status_are_listed_newest_first(bench: Bench) {
    let store = bench.store().await;
    let mut ids = Vec::new();
    for title in ["one", "two", "three", "four"] {
        let broadcast = made(&store, title).await;
        moved(&store, &broadcast, Status::Active).await.unwrap();
        ids.push(broadcast.id);
    }
    made(&store, "not yet").await;
    let hidden = NewBroadcast {
        visibility: Visibility::Unlisted,
        ..named("hidden")
    };
    let hidden = store.create_broadcast(&hidden, 100).await.unwrap();
    moved(&store, &hidden, Status::Active).await.unwrap();
    let list = |limit, offset| {
        let store = store.clone();
        async move {
            let page = store.public_broadcasts(Status::Active, None, limit, offset);
            let page = page.await.unwrap().into_iter();
            page.map(|broadcast| broadcast.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(list(10, 0).await, [ids[3], ids[2], ids[1], ids[0]]);
    assert_eq!(list(2, 1).await, [ids[2], ids[1]]);
    assert_eq!(store.broadcasts_of("app", 10, 0).await.unwrap().len(), 6);
    assert_eq!(store.broadcasts_of("other", 10, 0).await.unwrap(), []);
}

pub(super) async fn silent_broadcasts_end_and_those_with_a_sign_of_life_do_not(bench: Bench) {
    let store = bench.store().await;
    let words = ["streaming".to_owned()];
    let anonymous = NewBroadcast {
        anonymous: Some(Anonymous {
            address: Some("192.0.2.1"),
            capabilities: &words,
            limit: 2,
        }),
        ..named("anonymous")
    };
    let idle = store.create_broadcast(&anonymous, 100).await.unwrap();
    let waiting = made(&store, "waiting").await;
    let (silent, beating, fed) = (
        made(&store, "silent").await,
        made(&store, "beating").await,
        made(&store, "fed").await,
    );
    for broadcast in [&silent, &beating, &fed] {
        moved(&store, broadcast, Status::Active).await.unwrap();
    }
    bench.clock.advance(Duration::from_secs(90));
    let silence = |anonymous| Silence {
        active: bench.clock.wall().plus_micros(-90_000_000),
        anonymous,
    };
    store.broadcast_heartbeat(beating.id).await.unwrap();
    store
        .broadcasts_fed(std::slice::from_ref(&fed.channel_id))
        .await
        .unwrap();
    let ended = store.end_silent_broadcasts("local", silence(Wall(0))).await;
    let ended = ended.unwrap();
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].id, ended[0].status), (silent.id, Status::Error));
    assert!(store.known_key(silent.key.expose()).is_none());
    let elsewhere = store.end_silent_broadcasts("other", silence(bench.clock.wall()));
    assert_eq!(elsewhere.await.unwrap(), []);
    let hour = silence(idle.created);
    let ended = store.end_silent_broadcasts("local", hour).await.unwrap();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].id, idle.id);
    for living in [&waiting, &beating, &fed] {
        assert!(store.known_key(living.key.expose()).is_some());
    }
}

pub(super) async fn anonymous_broadcasts_and_channels_are_limited(bench: Bench) {
    let store = bench.store().await;
    let words = ["streaming".to_owned(), "sd".to_owned()];
    let anonymous = NewBroadcast {
        anonymous: Some(Anonymous {
            address: None,
            capabilities: &words,
            limit: 1,
        }),
        ..named("anonymous")
    };
    let first = store.create_broadcast(&anonymous, 2).await.unwrap();
    let channel = store.known_key(first.key.expose()).unwrap();
    assert_eq!(channel.capabilities.as_deref(), Some(&words[..]));
    let full = store.create_broadcast(&anonymous, 2).await;
    assert!(matches!(full, Err(Error::Full { limit: 1, .. })));
    made(&store, "with credentials").await;
    let full = store.create_broadcast(&named("too many"), 2).await;
    assert!(matches!(full, Err(Error::Full { limit: 2, .. })));
    moved(&store, &first, Status::Completed).await.unwrap();
    store.create_broadcast(&anonymous, 2).await.unwrap();
    let stranger = NewBroadcast {
        application_id: "nobody",
        ..named("stranger")
    };
    let missing = store.create_broadcast(&stranger, 100).await;
    assert!(matches!(missing, Err(Error::Missing { .. })));
}

pub(super) async fn a_broadcasts_stream_begins_anew_after_its_end_was_recorded(bench: Bench) {
    let store = bench.store().await;
    let broadcast = made(&store, "one").await;
    let stream = |epoch| OpenStream {
        epoch: Wall(epoch),
        ..streams::stream(&broadcast.channel_id, broadcast.stream_id)
    };
    store.stream_opened(&stream(42)).await.unwrap();
    store.streams_ended(&[broadcast.stream_id]).await.unwrap();
    store.stream_opened(&stream(42)).await.unwrap();
    assert_eq!(store.claim_streams("local").await.unwrap(), []);
    store.stream_opened(&stream(43)).await.unwrap();
    assert_eq!(store.claim_streams("local").await.unwrap(), [stream(43)]);
}
