//! Many writers at once, and writers that are killed.

use super::*;

/// Writers side by side, and channels that they share.
const WRITERS: usize = 16;
const CHANNELS: usize = 200;

/// Two processes; every writer wants every channel.
pub(super) async fn sixteen_writers_make_and_delete_each_channel_once(bench: Bench) {
    let stores = [bench.store().await, bench.store().await];
    let tasks = Tasks::new();
    let work: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = stores[writer % 2].clone();
            tasks.spawn(async move { create(&store, writer).await })
        })
        .collect();
    let mut made = Vec::new();
    for writer in work {
        made.extend(writer.await.unwrap());
    }
    assert_eq!(made.len(), CHANNELS);
    let stored = bench::stored(&stores[0]).await;
    for store in &stores {
        store.refresh().await.unwrap();
        let known = store.known_channels("app", None, usize::MAX);
        let known: Vec<Channel> = known
            .iter()
            .map(|channel| Channel::clone(channel))
            .collect();
        assert_eq!(known, stored);
    }
    let mut keys: Vec<_> = stored.iter().map(|channel| channel.key.expose()).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), CHANNELS);

    let work: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = stores[writer % 2].clone();
            tasks.spawn(async move { delete(&store, writer).await })
        })
        .collect();
    let mut deleted = 0;
    for writer in work {
        deleted += writer.await.unwrap();
    }
    assert_eq!(deleted, CHANNELS);
    for store in &stores {
        store.refresh().await.unwrap();
        assert_eq!(store.known_channel_count_of("app"), 0);
    }
}

/// The channels that this writer was the first to make. Half of them are wanted by everybody.
async fn create(store: &Store, writer: usize) -> Vec<Arc<Channel>> {
    let mut made = Vec::new();
    for number in 0..CHANNELS {
        if number % 2 == 1 && number / 2 % WRITERS != writer {
            continue;
        }
        let alias = format!("channel-{number}");
        match store.create_channel(&creation(&alias), 1000).await {
            Ok(channel) => {
                // Its own writes are seen at once.
                assert_eq!(store.known_channel("app", &alias), Some(channel.clone()));
                made.push(channel);
            }
            Err(Error::Exists(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    made
}

async fn delete(store: &Store, writer: usize) -> usize {
    let mut deleted = 0;
    for number in 0..CHANNELS {
        if number % 2 == 1 && number / 2 % WRITERS != writer {
            continue;
        }
        match store
            .delete_channel(&format!("local#app#channel-{number}"))
            .await
        {
            Ok(()) => deleted += 1,
            Err(Error::Missing { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    deleted
}

/// Callers are tasks that move between threads. To compile is to pass.
#[allow(dead_code, reason = "only its types are of interest")]
fn every_call_may_move_between_threads(store: &Store, channel: &Channel, range: &MessageRange<'_>) {
    fn moves<T: Send>(_: T) {}
    moves(store.create_channel(&creation("a"), 1));
    moves(store.delete_channel("a"));
    moves(store.rotate_key("a"));
    moves(store.rotate_secret("a"));
    moves(store.declare_channels("local", "app", &[], 1));
    moves(store.streams_alive(&[]));
    moves(store.messages(channel, range));
    moves(store.purge_messages(channel));
    moves(store.sweep_messages());
    moves(store.refresh());
}
