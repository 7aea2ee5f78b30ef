//! What is known in memory.

use super::super::database::query;
use super::super::hash::hash;
use super::*;

const LIVE: &str = "local#app#live";

/// Id of the channel that a key opens.
fn opened(store: &Store, key: &str) -> Option<String> {
    Some(store.known_key(key)?.id.clone())
}

/// Id of an application's channel.
fn found(store: &Store, application_id: &str, id_or_alias: &str) -> Option<String> {
    let channel = store.known_channel(application_id, id_or_alias);
    Some(channel?.id.clone())
}

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

pub(super) async fn a_key_opens_its_channel_at_once_and_no_more_once_it_was_changed(bench: Bench) {
    let store = bench.store().await;
    assert_eq!(store.known_key("first"), None);
    make(&store, "first").await;
    assert_eq!(opened(&store, "first").as_deref(), Some(LIVE));
    make(&store, "second").await;
    assert_eq!(store.known_key("first"), None);
    assert_eq!(opened(&store, "second").as_deref(), Some(LIVE));
    let third = store.rotate_key(LIVE).await.unwrap();
    assert_eq!(store.known_key("second"), None);
    assert_eq!(opened(&store, third.expose()).as_deref(), Some(LIVE));
    for wrong in ["", "firs", "first ", LIVE, "live"] {
        assert_eq!(store.known_key(wrong), None);
    }
    assert!(store.rotate_key("local#app#none").await.is_err());
    assert_eq!(opened(&store, third.expose()).as_deref(), Some(LIVE));
}

pub(super) async fn of_channels_of_one_alias_the_oldest_is_public_and_none_is_the_one(
    bench: Bench,
) {
    let store = bench.store().await;
    let secret = Secret::new("other-secret");
    store.add_application("another", &secret).await.unwrap();
    let public = || Some(store.known_public_channel("a")?.id.clone());
    let one = |name: &str| store.known_one_channel(name);
    let oldest = store.create_channel(&creation("a"), 9).await.unwrap();
    assert_eq!(one("a").unwrap().as_ref(), Some(&oldest));
    bench.clock.advance(Duration::from_secs(1));
    let theirs = Creation {
        application_id: "another",
        ..creation("a")
    };
    let theirs = store.create_channel(&theirs, 9).await.unwrap();
    assert_eq!(public().as_ref(), Some(&oldest.id));
    let refused = one("a").unwrap_err().to_string();
    assert_eq!(
        refused,
        "channels of several applications have the alias a: say the id"
    );
    assert_eq!(one(&theirs.id).unwrap().as_ref(), Some(&theirs));
    assert_eq!(one("none").unwrap(), None);
    // An alias like an id means nothing to the public, whether there is a channel of that id or not.
    let posing = Creation {
        application_id: "another",
        ..creation(&oldest.id)
    };
    let posing = store.create_channel(&posing, 9).await.unwrap();
    let public_of_id = |id: &str| store.known_public_channel(id);
    assert_eq!(public_of_id(&oldest.id).as_ref(), Some(&oldest));
    store.delete_channel(&oldest.id).await.unwrap();
    assert_eq!(public().as_ref(), Some(&theirs.id));
    assert_eq!(one("a").unwrap().as_ref(), Some(&theirs));
    assert_eq!(public_of_id(&oldest.id), None);
    let owned = store.known_channel("another", &oldest.id);
    assert_eq!(owned.as_ref(), Some(&posing));
}

/// How much of a guess is right shows nowhere: no look-up compares it with a key.
pub(super) async fn a_key_is_looked_up_by_its_digest_alone(bench: Bench) {
    let store = bench.store().await;
    make(&store, "first").await;
    let found = async |key| store.find_channel_by_key(key).await.unwrap();
    assert!(found("first").await.is_some());
    let update = query("UPDATE channels SET key_hash = $1");
    let update = update.bind(hash("elsewhere").as_slice());
    store.database.execute(update).await.unwrap();
    // Its text is still there.
    assert_eq!(found("first").await, None);
    // What a digest leads to is compared, in constant time.
    assert_eq!(found("elsewhere").await, None);
}

pub(super) async fn declared_keys_come_go_and_move_with_the_file(bench: Bench) {
    let store = bench.store().await;
    declare(&store, &[("a", "key-a"), ("b", "key-b")]).await;
    assert_eq!(opened(&store, "key-a").as_deref(), Some("local#app#a"));
    assert_eq!(opened(&store, "key-b").as_deref(), Some("local#app#b"));
    // The channel goes, another takes its key over.
    declare(&store, &[("b", "key-c"), ("c", "key-b")]).await;
    assert_eq!(store.known_key("key-a"), None);
    assert_eq!(opened(&store, "key-b").as_deref(), Some("local#app#c"));
    assert_eq!(opened(&store, "key-c").as_deref(), Some("local#app#b"));
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
    assert_eq!(opened(&store, "key-b").as_deref(), Some("local#app#c"));
    assert_eq!(store.known_channel("app", "d"), None);
}

pub(super) async fn channels_are_known_by_id_and_alias_of_their_application_only(bench: Bench) {
    let store = bench.store().await;
    make(&store, "key").await;
    for name in ["live", LIVE] {
        assert_eq!(found(&store, "app", name).as_deref(), Some(LIVE));
        assert_eq!(store.known_channel("other", name), None);
    }
    assert_eq!(store.known_channel("app", "none"), None);
    store.remove_application("app").await.unwrap();
    assert_eq!(store.known_key("key"), None);
    assert_eq!(store.known_channel("app", "live"), None);
    assert_eq!(store.known_channel("app", LIVE), None);
}

pub(super) async fn changes_of_another_process_are_seen_at_the_next_look(bench: Bench) {
    let (server, other) = (bench.store().await, bench.store().await);
    make(&other, "first").await;
    assert_eq!(server.known_key("first"), None);
    server.refresh().await.unwrap();
    assert_eq!(opened(&server, "first").as_deref(), Some(LIVE));
    let rotated = other.rotate_key(LIVE).await.unwrap();
    server.refresh().await.unwrap();
    assert_eq!(server.known_key("first"), None);
    assert_eq!(opened(&server, rotated.expose()).as_deref(), Some(LIVE));
    other.remove_application("app").await.unwrap();
    server.refresh().await.unwrap();
    assert_eq!(server.known_key(rotated.expose()), None);
}

pub(super) async fn an_own_change_after_one_of_another_process_shows_both(bench: Bench) {
    let (server, other) = (bench.store().await, bench.store().await);
    declare(&other, &[("a", "key-a")]).await;
    make(&server, "key").await;
    assert_eq!(opened(&server, "key-a").as_deref(), Some("local#app#a"));
    assert_eq!(opened(&server, "key").as_deref(), Some(LIVE));
}

pub(super) async fn a_database_that_was_set_back_is_followed(bench: Bench) {
    let store = bench.store().await;
    make(&store, "first").await;
    // As a backup of an earlier time has it.
    let mut backup = store.database.begin().await.unwrap();
    let delete = query("DELETE FROM channels");
    backup.execute(delete).await.unwrap();
    let back = query("UPDATE revisions SET value = 1");
    backup.execute(back).await.unwrap();
    backup.commit().await.unwrap();
    store.refresh().await.unwrap();
    assert_eq!(store.known_key("first"), None);
    make(&store, "second").await;
    assert_eq!(opened(&store, "second").as_deref(), Some(LIVE));
}

pub(super) async fn writers_side_by_side_leave_the_memory_as_the_database_is(bench: Bench) {
    let store = bench.store().await;
    make(&store, "first").await;
    let mut keys = Vec::new();
    for _ in 0..8 {
        let (a, b, refreshed) = tokio::join!(
            store.rotate_key(LIVE),
            store.rotate_key(LIVE),
            store.refresh()
        );
        refreshed.unwrap();
        keys.extend([a.unwrap(), b.unwrap()]);
        for key in &keys {
            let stored = store.find_channel_by_key(key.expose()).await.unwrap();
            let stored = stored.map(|channel| channel.id);
            assert_eq!(opened(&store, key.expose()), stored);
        }
    }
}

pub(super) async fn without_the_database_the_last_known_keys_hold(bench: Bench) {
    let store = bench.store().await;
    make(&store, "key").await;
    store.close().await;
    assert!(store.refresh().await.is_err());
    assert_eq!(opened(&store, "key").as_deref(), Some(LIVE));
}

pub(super) async fn ten_thousand_channels_are_found_and_only_read_when_they_changed(bench: Bench) {
    let store = bench.store().await;
    let mut transaction = store.database.begin().await.unwrap();
    for number in 0..10_000 {
        let insert = query(
            "INSERT INTO channels (id, application_id, alias, name, stream_key, key_hash,
                 created_us, updated_us) VALUES ($1, 'app', $2, '', $3, $4, 0, 0)",
        )
        .bind(format!("local#app#{number}"))
        .bind(number.to_string())
        .bind(format!("key-{number}"))
        .bind(hash(&format!("key-{number}")).as_slice());
        transaction.execute(insert).await.unwrap();
    }
    transaction.commit().await.unwrap();
    assert_eq!(opened(&store, "key-9999"), None);
    store.refresh().await.unwrap();
    for number in 0..10_000 {
        let id = opened(&store, &format!("key-{number}"));
        assert_eq!(id, Some(format!("local#app#{number}")));
        assert_eq!(found(&store, "app", &number.to_string()), id);
    }
    assert_eq!(opened(&store, "key-10000"), None);
    // A stream, a sign of life, a message: nothing that a channel is known by.
    let revision = |store: &Store| store.memory.read().revision;
    let before = revision(&store);
    let id = "local#app#7";
    let stream = streams::stream(id, Uuid::new_v4());
    store.stream_opened(&stream).await.unwrap();
    store.streams_alive(&[stream.sign]).await.unwrap();
    let channel = store.known_channel("app", id).unwrap();
    let message = messages::text("");
    store.send_message(&channel, message).await.unwrap();
    let other = bench.store().await;
    assert_eq!(revision(&other), before);
    store.remove_application("app").await.unwrap();
    assert_eq!(opened(&store, "key-0"), None);
    assert_eq!(store.known_channel_count_of("app"), 0);
    assert_eq!(store.known_channels("app", None, 9), []);
}

pub(super) async fn no_key_is_printed_nor_held(bench: Bench) {
    let store = bench.store().await;
    make(&store, "a-very-secret-key").await;
    let text = format!("{store:?}");
    let digest = Secret::new("a-very-secret-key").fingerprint();
    assert!(!text.contains("very-secret") && !text.contains(&digest));
    assert!(text.contains("channels: 1"), "{text}");
}

pub(super) async fn changes_of_another_process_are_followed_until_the_server_stops(bench: Bench) {
    let (server, other) = (bench.store().await, bench.store().await);
    make(&other, "first").await;
    let tasks = Tasks::new();
    let following = tasks.spawn(server.clone().follow(tasks.clone()));
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

pub(super) async fn a_damaged_channel_takes_no_other_with_it(bench: Bench) {
    let store = bench.store().await;
    declare(&store, &[("a", "key-a"), ("b", "key-b")]).await;
    let damage = query("UPDATE channels SET tags = 'no list' WHERE alias = 'a'");
    store.database.execute(damage).await.unwrap();
    let next = bench.store().await;
    assert_eq!(opened(&next, "key-a"), None);
    assert_eq!(opened(&next, "key-b").as_deref(), Some("local#app#b"));
}

/// What a watcher was told.
#[derive(Default)]
struct Seen(std::sync::Mutex<Vec<String>>);

impl Watcher for Seen {
    fn handle_new(&self, channel: &Channel) {
        self.0
            .lock()
            .unwrap()
            .push(format!("new {}", channel.alias));
    }

    fn handle_gone(&self, channel: &Channel) {
        self.0
            .lock()
            .unwrap()
            .push(format!("gone {}", channel.alias));
    }
}

impl Seen {
    async fn of(store: &Store) -> Arc<Seen> {
        let seen = Arc::new(Seen::default());
        store.watch(&seen).await.unwrap();
        seen
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

pub(super) async fn a_watcher_is_told_of_what_comes_and_goes_whoever_does_it(bench: Bench) {
    let (server, other) = (bench.store().await, bench.store().await);
    make(&server, "key").await;
    let seen = Seen::of(&server).await;
    assert_eq!(seen.told(), ["new live"], "what is there");
    // Its own changes, at once.
    server.create_channel(&creation("a"), 9).await.unwrap();
    assert_eq!(seen.told(), ["new a"]);
    server.rotate_key(LIVE).await.unwrap();
    let secret = Secret::new("another-secret");
    server.add_application("b", &secret).await.unwrap();
    assert_eq!(seen.told(), [""; 0], "it is the same channel");
    server.delete_channel("local#app#a").await.unwrap();
    assert_eq!(seen.told(), ["gone a"]);
    server.refresh().await.unwrap();
    assert_eq!(seen.told(), [""; 0], "and once");
    // Another process's, at the next look, or with an own change before it.
    other.create_channel(&creation("c"), 9).await.unwrap();
    server.refresh().await.unwrap();
    assert_eq!(seen.told(), ["new c"]);
    other.delete_channel("local#app#c").await.unwrap();
    bench.clock.advance(Duration::from_secs(1));
    other.create_channel(&creation("c"), 9).await.unwrap();
    server.create_channel(&creation("d"), 9).await.unwrap();
    assert_eq!(seen.told(), ["new d", "gone c", "new c"]);
    other.remove_application("app").await.unwrap();
    server.refresh().await.unwrap();
    let mut told = seen.told();
    told.sort();
    assert_eq!(told, ["gone c", "gone d", "gone live"]);
}

pub(super) async fn a_deletion_whose_answer_was_lost_is_told_at_the_next_look(bench: Bench) {
    let store = bench.store().await;
    make(&store, "key").await;
    let seen = Seen::of(&store).await;
    seen.told();
    // The deadline hits when the database has committed and before that is known.
    let mut change = store.begin_change().await.unwrap();
    let delete = query("DELETE FROM channels");
    change.transaction.execute(delete).await.unwrap();
    change.transaction.commit().await.unwrap();
    assert_eq!(opened(&store, "key").as_deref(), Some(LIVE));
    store.refresh().await.unwrap();
    assert_eq!(seen.told(), ["gone live"]);
    assert_eq!(opened(&store, "key"), None);
}
