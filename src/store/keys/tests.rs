use std::path::PathBuf;

use super::super::{Declaration, NewChannel};
use super::*;
use crate::base::clock::{Clock, Wall};
use crate::base::id::Uuid;
use crate::base::secret::Secret;

/// A data folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        Folder(std::env::temp_dir().join(format!("forebay-keys-{}", Uuid::new_v4())))
    }

    /// A process that works on it.
    async fn open(&self) -> Store {
        let clock = Clock::simulated(Wall(1_790_000_000_000_000));
        let store = Store::open(&self.0, clock).await.unwrap();
        let secret = Secret::new("application-secret");
        store.ensure_application("app", &secret).await.unwrap();
        store
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const LIVE: &str = "local#app#live";

async fn make(store: &Store, key: &str) {
    let channel = NewChannel {
        region: "local",
        application_id: "app",
        alias: "live",
        name: "Live",
        key: Some(&Secret::new(key)),
        capabilities: None,
    };
    store.ensure_default_channel(&channel).await.unwrap();
}

async fn declare(store: &Store, channels: &[(&str, &str)]) {
    let keys: Vec<Secret> = channels.iter().map(|(_, key)| Secret::new(*key)).collect();
    let declarations = channels.iter().zip(&keys).map(|((alias, _), key)| {
        let capabilities = None;
        Declaration {
            alias,
            name: alias,
            key: Some(key),
            capabilities,
        }
    });
    let declarations: Vec<Declaration<'_>> = declarations.collect();
    store
        .declare_channels("local", "app", &declarations, 100)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_key_opens_its_channel_at_once_and_no_more_once_it_was_changed() {
    let folder = Folder::new();
    let store = folder.open().await;
    assert_eq!(store.known_key("first"), None);
    make(&store, "first").await;
    assert_eq!(store.known_key("first").as_deref(), Some(LIVE));
    make(&store, "second").await;
    assert_eq!(store.known_key("first"), None);
    assert_eq!(store.known_key("second").as_deref(), Some(LIVE));
    let third = store.rotate_key(LIVE).await.unwrap();
    assert_eq!(store.known_key("second"), None);
    assert_eq!(store.known_key(third.expose()).as_deref(), Some(LIVE));
    for wrong in ["", "firs", "first ", LIVE, "live"] {
        assert_eq!(store.known_key(wrong), None);
    }
    assert!(store.rotate_key("local#app#none").await.is_err());
    assert_eq!(store.known_key(third.expose()).as_deref(), Some(LIVE));
}

#[tokio::test]
async fn declared_keys_come_go_and_move_with_the_file() {
    let folder = Folder::new();
    let store = folder.open().await;
    declare(&store, &[("a", "key-a"), ("b", "key-b")]).await;
    assert_eq!(store.known_key("key-a").as_deref(), Some("local#app#a"));
    assert_eq!(store.known_key("key-b").as_deref(), Some("local#app#b"));
    // The channel goes, another takes its key over.
    declare(&store, &[("b", "key-c"), ("c", "key-b")]).await;
    assert_eq!(store.known_key("key-a"), None);
    assert_eq!(store.known_key("key-b").as_deref(), Some("local#app#c"));
    assert_eq!(store.known_key("key-c").as_deref(), Some("local#app#b"));
    assert_eq!(store.known_channel("app", "a"), None);
    // What is refused changes nothing, what it would have deleted included.
    let declaration = |alias| Declaration {
        alias,
        name: alias,
        key: None,
        capabilities: None,
    };
    let many = [declaration("d"), declaration("e")];
    let refused = store.declare_channels("local", "app", &many, 1).await;
    assert!(matches!(refused, Err(Error::Full { .. })));
    assert_eq!(store.known_key("key-b").as_deref(), Some("local#app#c"));
    assert_eq!(store.known_channel("app", "d"), None);
}

#[tokio::test]
async fn channels_are_known_by_id_and_alias_of_their_application_only() {
    let folder = Folder::new();
    let store = folder.open().await;
    make(&store, "key").await;
    for name in ["live", LIVE] {
        assert_eq!(store.known_channel("app", name).as_deref(), Some(LIVE));
        assert_eq!(store.known_channel("other", name), None);
    }
    assert_eq!(store.known_channel("app", "none"), None);
    store.remove_application("app").await.unwrap();
    assert_eq!(store.known_key("key"), None);
    assert_eq!(store.known_channel("app", "live"), None);
    assert_eq!(store.known_channel("app", LIVE), None);
}

#[tokio::test]
async fn changes_of_another_process_are_seen_at_the_next_look() {
    let folder = Folder::new();
    let (server, other) = (folder.open().await, folder.open().await);
    make(&other, "first").await;
    assert_eq!(server.known_key("first"), None);
    server.refresh_keys().await.unwrap();
    assert_eq!(server.known_key("first").as_deref(), Some(LIVE));
    let rotated = other.rotate_key(LIVE).await.unwrap();
    server.refresh_keys().await.unwrap();
    assert_eq!(server.known_key("first"), None);
    assert_eq!(server.known_key(rotated.expose()).as_deref(), Some(LIVE));
    other.remove_application("app").await.unwrap();
    server.refresh_keys().await.unwrap();
    assert_eq!(server.known_key(rotated.expose()), None);
}

#[tokio::test]
async fn an_own_change_after_one_of_another_process_shows_both() {
    let folder = Folder::new();
    let (server, other) = (folder.open().await, folder.open().await);
    declare(&other, &[("a", "key-a")]).await;
    make(&server, "key").await;
    assert_eq!(server.known_key("key-a").as_deref(), Some("local#app#a"));
    assert_eq!(server.known_key("key").as_deref(), Some(LIVE));
}

#[tokio::test]
async fn what_was_read_before_a_change_does_not_undo_it() {
    let folder = Folder::new();
    let store = folder.open().await;
    make(&store, "first").await;
    let (revision, old) = {
        let known = store.keys.read();
        (known.revision, known.by_id[LIVE].clone())
    };
    make(&store, "second").await;
    let mut late = Known {
        revision,
        ..Known::default()
    };
    late.put(old);
    store.keys.take(late);
    assert_eq!(store.known_key("first"), None);
    assert_eq!(store.known_key("second").as_deref(), Some(LIVE));
}

#[tokio::test]
async fn writers_side_by_side_leave_the_memory_as_the_database_is() {
    let folder = Folder::new();
    let store = folder.open().await;
    make(&store, "first").await;
    let mut keys = Vec::new();
    for _ in 0..8 {
        let (a, b, refreshed) = tokio::join!(
            store.rotate_key(LIVE),
            store.rotate_key(LIVE),
            store.refresh_keys()
        );
        refreshed.unwrap();
        keys.extend([a.unwrap(), b.unwrap()]);
        for key in &keys {
            let stored = store.find_channel_by_key(key.expose()).await.unwrap();
            let stored = stored.map(|channel| channel.id);
            assert_eq!(store.known_key(key.expose()), stored);
        }
    }
}

#[tokio::test]
async fn without_the_database_the_last_known_keys_hold() {
    let folder = Folder::new();
    let store = folder.open().await;
    make(&store, "key").await;
    store.close().await;
    assert!(store.refresh_keys().await.is_err());
    assert_eq!(store.known_key("key").as_deref(), Some(LIVE));
}

#[tokio::test]
async fn ten_thousand_keys_are_found_and_only_read_when_they_changed() {
    let folder = Folder::new();
    let store = folder.open().await;
    let mut transaction = store.begin().await.unwrap();
    for number in 0..10_000 {
        sqlx::query(
            "INSERT INTO channels (id, application_id, alias, name, stream_key, key_hash,
                 created_us, updated_us) VALUES ($1, 'app', $2, '', $3, $4, 0, 0)",
        )
        .bind(format!("local#app#{number}"))
        .bind(number.to_string())
        .bind(format!("key-{number}"))
        .bind(hash(&format!("key-{number}")).as_slice())
        .execute(&mut *transaction)
        .await
        .unwrap();
    }
    transaction.commit().await.unwrap();
    assert_eq!(store.known_key("key-9999"), None);
    store.refresh_keys().await.unwrap();
    for number in 0..10_000 {
        let id = store.known_key(&format!("key-{number}"));
        assert_eq!(id, Some(format!("local#app#{number}")));
        assert_eq!(store.known_channel("app", &number.to_string()), id);
    }
    assert_eq!(store.known_key("key-10000"), None);
    // A sign of life, a name, a stream: nothing that a key is found by.
    let before = store.keys.read().revision;
    sqlx::query("UPDATE channels SET name = 'x', updated_us = 1")
        .execute(&store.pool)
        .await
        .unwrap();
    assert_eq!(revision(&store.pool).await.unwrap(), before);
    store.remove_application("app").await.unwrap();
    assert_eq!(store.known_key("key-0"), None);
    assert_eq!(store.keys.read().by_hash.len(), 0);
}

#[tokio::test]
async fn no_key_is_printed_nor_held() {
    let folder = Folder::new();
    let store = folder.open().await;
    make(&store, "a-very-secret-key").await;
    let text = format!("{store:?}");
    let digest = Secret::new("a-very-secret-key").fingerprint();
    assert!(!text.contains("very-secret") && !text.contains(&digest));
    assert!(text.contains("channels: 1"), "{text}");
}

#[tokio::test]
async fn changes_of_another_process_are_followed_until_the_server_stops() {
    let folder = Folder::new();
    let (server, other) = (folder.open().await, folder.open().await);
    make(&other, "first").await;
    let tasks = Tasks::new();
    let following = tasks.spawn(server.clone().follow_keys(tasks.clone()));
    let seen = async {
        while server.known_key("first").is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), seen)
        .await
        .expect("the first look is at once");
    tasks.stop();
    following.await.unwrap();
}
