use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::base::secret::Secret;

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        Folder(std::env::temp_dir().join(format!("forebay-store-{}", Uuid::new_v4())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn clock() -> Clock {
    Clock::simulated(Wall(1_790_000_000_000_000))
}

async fn store(folder: &Folder, clock: &Clock) -> Store {
    let store = Store::open(&folder.0, clock.clone()).await.unwrap();
    let secret = Secret::new("application-secret");
    store.ensure_application("app", &secret).await.unwrap();
    store
}

fn default_channel<'a>(key: &'a Secret) -> NewChannel<'a> {
    NewChannel {
        region: "local",
        application_id: "app",
        alias: "live",
        name: "Live",
        key: Some(key),
        capabilities: None,
    }
}

fn declaration<'a>(alias: &'a str, key: Option<&'a Secret>) -> Declaration<'a> {
    Declaration {
        alias,
        name: alias,
        key,
        capabilities: None,
    }
}

#[tokio::test]
async fn the_default_channel_outlives_a_restart_and_follows_its_key() {
    let (folder, clock) = (Folder::new(), clock());
    let (first, second) = (Secret::new("first-key"), Secret::new("second-key"));
    let before = store(&folder, &clock).await;
    let made = before
        .ensure_default_channel(&default_channel(&first))
        .await
        .unwrap();
    assert_eq!(made.id, "local#app#live");
    before.close().await;
    clock.advance(Duration::from_secs(1));

    let after = store(&folder, &clock).await;
    let same = after
        .ensure_default_channel(&default_channel(&first))
        .await
        .unwrap();
    assert_eq!(same, made);
    let changed = after
        .ensure_default_channel(&default_channel(&second))
        .await
        .unwrap();
    assert_eq!(changed.created, made.created);
    assert_eq!(changed.updated, made.updated.plus_micros(1_000_000));
    assert_eq!(after.find_channel_by_key("first-key").await.unwrap(), None);
    let found = after.find_channel_by_key("second-key").await.unwrap();
    assert_eq!(found, Some(changed));
}

#[tokio::test]
async fn channels_are_found_by_id_and_alias() {
    let (folder, clock) = (Folder::new(), clock());
    let store = store(&folder, &clock).await;
    let key = Secret::new("some-key");
    let made = store
        .ensure_default_channel(&default_channel(&key))
        .await
        .unwrap();
    for name in ["live", "local#app#live"] {
        let of = store.channel_of("app", name).await.unwrap();
        assert_eq!(of.as_ref(), Some(&made));
        assert_eq!(store.channel_of("other", name).await.unwrap(), None);
        assert_eq!(
            store.find_channel(name).await.unwrap().as_ref(),
            Some(&made)
        );
    }
    for name in ["Live", "local#app#other", "", "live' OR '1'='1"] {
        assert_eq!(store.find_channel(name).await.unwrap(), None);
        assert_eq!(store.channel_of("app", name).await.unwrap(), None);
    }
}

#[tokio::test]
async fn declared_channels_follow_the_file() {
    let (folder, clock) = (Folder::new(), clock());
    let store = store(&folder, &clock).await;
    let key = Secret::new("default-key");
    store
        .ensure_default_channel(&default_channel(&key))
        .await
        .unwrap();
    let moved = Secret::new("a-key-that-moves");
    let both = [declaration("a", Some(&moved)), declaration("b", None)];
    let declared = store.declare_channels("local", "app", &both, 3).await;
    assert_eq!(declared.unwrap().added, ["a", "b"]);
    let random = store.find_channel("b").await.unwrap().unwrap();
    assert_eq!(random.key.expose().len(), 96);

    // A second start with the same file changes nothing, the random key included.
    let again = store.declare_channels("local", "app", &both, 3).await;
    assert_eq!(again.unwrap(), Declared::default());
    assert_eq!(store.find_channel("b").await.unwrap().unwrap(), random);

    // A channel goes, and its key goes to another.
    let words = ["fhd".to_owned(), "token-auth".to_owned()];
    let mut c = declaration("c", Some(&moved));
    c.capabilities = Some(&words);
    let after = store
        .declare_channels("local", "app", &[declaration("b", None), c], 3)
        .await
        .unwrap();
    assert_eq!(after.added, ["c"]);
    assert_eq!(after.removed, ["local#app#a"]);
    let found = store.find_channel_by_key(moved.expose()).await.unwrap();
    let found = found.unwrap();
    assert_eq!(found.alias, "c");
    assert_eq!(found.capabilities.as_deref(), Some(&words[..]));
    let aliases = store.channels().await.unwrap().into_iter().map(|c| c.alias);
    assert_eq!(aliases.collect::<Vec<_>>(), ["b", "c", "live"]);
}

#[tokio::test]
async fn a_refused_declaration_leaves_nothing_behind() {
    let (folder, clock) = (Folder::new(), clock());
    let store = store(&folder, &clock).await;
    let key = Secret::new("default-key");
    store
        .ensure_default_channel(&default_channel(&key))
        .await
        .unwrap();
    let stolen = [declaration("a", None), declaration("b", Some(&key))];
    let error = store.declare_channels("local", "app", &stolen, 9).await;
    let error = error.unwrap_err();
    assert_eq!(
        error.to_string(),
        "stream key of channel local#app#b exists already"
    );
    let many = [declaration("a", None), declaration("b", None)];
    let error = store.declare_channels("local", "app", &many, 2).await;
    assert_eq!(error.unwrap_err().kind(), Kind::Capacity);
    assert_eq!(store.channels().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_rotated_key_replaces_the_old_one() {
    let (folder, clock) = (Folder::new(), clock());
    let store = store(&folder, &clock).await;
    let old = Secret::new("old-key-of-it");
    store
        .ensure_default_channel(&default_channel(&old))
        .await
        .unwrap();
    let new = store.rotate_key("local#app#live").await.unwrap();
    assert_eq!(store.find_channel_by_key(old.expose()).await.unwrap(), None);
    let found = store.find_channel_by_key(new.expose()).await.unwrap();
    assert_eq!(found.unwrap().alias, "live");
    let error = store.rotate_key("local#app#none").await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[tokio::test]
async fn applications_are_unique_and_take_their_channels_along() {
    let (folder, clock) = (Folder::new(), clock());
    let store = store(&folder, &clock).await;
    let key = Secret::new("default-key");
    let channel = store
        .ensure_default_channel(&default_channel(&key))
        .await
        .unwrap();
    store
        .stream_opened(&stream(&channel.id, Uuid::new_v4()))
        .await
        .unwrap();
    let error = store.add_application("app", &key).await.unwrap_err();
    assert_eq!(error.to_string(), "application app exists already");
    clock.advance(Duration::from_secs(1));
    store.add_application("other", &key).await.unwrap();
    let ids = store
        .applications()
        .await
        .unwrap()
        .into_iter()
        .map(|a| a.id);
    assert_eq!(ids.collect::<Vec<_>>(), ["app", "other"]);
    store.remove_application("app").await.unwrap();
    assert_eq!(store.channels().await.unwrap(), []);
    assert_eq!(store.open_streams().await.unwrap(), []);
    let error = store.remove_application("app").await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

fn sign(id: Uuid, alive: Wall) -> Sign {
    Sign {
        id,
        alive,
        next_sequence: 17,
        discontinuities: 2,
        end_90k: 90_000,
        is_final: false,
    }
}

fn stream(channel_id: &str, id: Uuid) -> OpenStream {
    OpenStream {
        id,
        channel_id: channel_id.to_owned(),
        epoch: Wall(42),
        capabilities: vec!["streaming".to_owned(), "aspect-ratio=9x16".to_owned()],
        tags: vec!["a \"tag\"".to_owned()],
        segment_target_90k: 180_000,
        longest_segment_90k: 900_000,
        sign: sign(id, Wall(43)),
    }
}

#[tokio::test]
async fn open_streams_are_known_after_a_restart() {
    let (folder, clock) = (Folder::new(), clock());
    let before = store(&folder, &clock).await;
    let key = Secret::new("default-key");
    let channel = before
        .ensure_default_channel(&default_channel(&key))
        .await
        .unwrap();
    let (over, first, second) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    for id in [over, first, first, second] {
        let opened = before.stream_opened(&stream(&channel.id, id)).await;
        opened.unwrap();
        clock.advance(Duration::from_secs(1));
    }
    before.stream_ended(over).await.unwrap();
    before.close().await;
    let after = store(&folder, &clock).await;
    assert_eq!(
        after.open_streams().await.unwrap(),
        [stream(&channel.id, first), stream(&channel.id, second)]
    );
}

#[tokio::test]
async fn a_damaged_stream_takes_no_other_with_it() {
    let (folder, clock) = (Folder::new(), clock());
    let store = store(&folder, &clock).await;
    let key = Secret::new("default-key");
    let channel = store
        .ensure_default_channel(&default_channel(&key))
        .await
        .unwrap();
    let whole = Uuid::new_v4();
    for damage in [
        "",
        "next_sequence = -1",
        "discontinuities = -9223372036854775808",
        "tags = 'no list'",
        "id = 'no id'",
    ] {
        let id = if damage.is_empty() {
            whole
        } else {
            Uuid::new_v4()
        };
        store.stream_opened(&stream(&channel.id, id)).await.unwrap();
        if !damage.is_empty() {
            let text = format!("UPDATE streams SET {damage} WHERE id = '{id}'");
            let text = sqlx::AssertSqlSafe(text);
            sqlx::query(text).execute(&store.pool).await.unwrap();
        }
    }
    let open = store.open_streams().await.unwrap();
    assert_eq!(open, [stream(&channel.id, whole)]);
}

#[tokio::test]
async fn signs_of_life_replace_each_other_until_the_stream_is_over() {
    let (folder, clock) = (Folder::new(), clock());
    let store = store(&folder, &clock).await;
    let key = Secret::new("default-key");
    let channel = store
        .ensure_default_channel(&default_channel(&key))
        .await
        .unwrap();
    let ids: Vec<Uuid> = (0..3).map(|_| Uuid::new_v4()).collect();
    for id in &ids {
        let opened = store.stream_opened(&stream(&channel.id, *id)).await;
        opened.unwrap();
        clock.advance(Duration::from_secs(1));
    }
    let later = Sign {
        next_sequence: 31,
        discontinuities: 5,
        end_90k: 180_000,
        is_final: true,
        ..sign(ids[0], Wall(99))
    };
    let unknown = sign(Uuid::new_v4(), Wall(99));
    store.streams_alive(&[later, unknown]).await.unwrap();
    store.streams_alive(&[]).await.unwrap();
    store.stream_ended(ids[1]).await.unwrap();
    let over = sign(ids[1], Wall(99));
    store.streams_alive(&[over]).await.unwrap();
    let open = store.open_streams().await.unwrap();
    let signs: Vec<Sign> = open.iter().map(|stream| stream.sign).collect();
    assert_eq!(signs, [later, sign(ids[2], Wall(43))]);

    // More than fit into one statement.
    let many: Vec<Sign> = (0..9000)
        .map(|_| sign(Uuid::new_v4(), Wall(1)))
        .chain([sign(ids[2], Wall(7))])
        .collect();
    store.streams_alive(&many).await.unwrap();
    let open = store.open_streams().await.unwrap();
    assert_eq!(open[1].sign.alive, Wall(7));
}

#[cfg(unix)]
#[tokio::test]
async fn the_database_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, clock) = (Folder::new(), clock());
    let store = store(&folder, &clock).await;
    store.ping().await.unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(&folder.0).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        files += 1;
    }
    assert!(files >= 2, "the database and its log");
}

#[tokio::test]
async fn a_closed_database_is_an_error_and_no_hang() {
    let (folder, clock) = (Folder::new(), clock());
    let store = store(&folder, &clock).await;
    store.close().await;
    let error = store.find_channel_by_key("x").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert!(store.ping().await.is_err());
}

#[tokio::test]
async fn writers_wait_for_each_other() {
    let (folder, clock) = (Folder::new(), clock());
    let first = store(&folder, &clock).await;
    // As another process does, such as `forebay key rotate` beside a running gateway.
    let second = Store::open(&folder.0, clock.clone()).await.unwrap();
    let keys: Vec<Secret> = (0..4)
        .map(|n| Secret::new(format!("key-number-{n}")))
        .collect();
    let write = async |store: &Store, n: usize| {
        let channel = default_channel(&keys[n]);
        store.ensure_default_channel(&channel).await
    };
    let (a, b, c, d) = tokio::join!(
        write(&first, 0),
        write(&second, 1),
        write(&first, 2),
        write(&second, 3)
    );
    for written in [a, b, c, d] {
        assert_eq!(written.unwrap().id, "local#app#live");
    }
    assert_eq!(first.channels().await.unwrap().len(), 1);
}
