//! Destinations of channels.

use super::*;
use crate::base::push::{MAX_PUSHES, Push};

fn rtmp(key: &str) -> Push {
    Push::parse("rtmp", "rtmp://h/app", Some(key)).unwrap()
}

async fn channel(store: &Store, alias: &str) -> String {
    let channel = store.create_channel(&creation(alias), 10).await.unwrap();
    channel.id.clone()
}

pub(super) async fn destinations_are_their_channels_and_read_back_as_they_were_added(bench: Bench) {
    let store = bench.store().await;
    let (one, other) = (channel(&store, "one").await, channel(&store, "other").await);
    let pushes = [
        rtmp("key?a=1"),
        Push::parse("whip", "https://h/w/secret", Some("token")).unwrap(),
        Push::parse("whip", "https://h/w/secret", None).unwrap(),
        Push::parse("ingress", "the \"room\"", None).unwrap(),
    ];
    let mut added = Vec::new();
    for push in &pushes {
        added.push(store.add_forward(&one, push).await.unwrap());
        bench.clock.advance(std::time::Duration::from_secs(1));
    }
    let again = store.add_forward(&one, &pushes[1]).await;
    assert!(matches!(again, Err(Error::Exists(text)) if !text.contains("secret")));
    let elsewhere = store.add_forward(&other, &pushes[0]).await.unwrap();
    let read = bench.store().await;
    assert_eq!(read.forwards_of(&one).await.unwrap(), added);
    let pushed: Vec<Push> = added.iter().map(|forward| forward.push.clone()).collect();
    assert_eq!(pushed, pushes);
    assert_eq!(read.forwards().await.unwrap().len(), 5);
    for (channel, id) in [
        (&other, added[0].id),
        (&one, elsewhere.id),
        (&one, Uuid::new_v4()),
    ] {
        let missing = read.remove_forward(channel, id).await;
        assert!(matches!(missing, Err(Error::Missing { .. })));
    }
    read.remove_forward(&one, added[0].id).await.unwrap();
    assert_eq!(store.forwards_of(&one).await.unwrap(), added[1..]);
    store.delete_channel(&one).await.unwrap();
    assert_eq!(store.forwards().await.unwrap(), [elsewhere]);
}

pub(super) async fn a_channel_has_no_more_than_sixteen_destinations(bench: Bench) {
    let store = bench.store().await;
    let one = channel(&store, "one").await;
    for number in 0..MAX_PUSHES {
        let push = rtmp(&format!("key-{number}"));
        store.add_forward(&one, &push).await.unwrap();
    }
    let full = store.add_forward(&one, &rtmp("one-more")).await;
    assert!(matches!(full, Err(Error::Full { limit: 16, .. })));
    let nowhere = store.add_forward("local#app#none", &rtmp("key")).await;
    assert!(matches!(nowhere, Err(Error::Missing { .. })));
}
