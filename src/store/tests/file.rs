//! What only a database in a file has.

use super::bench::Folder;
use super::*;

async fn open(folder: &Folder) -> Store {
    let clock = Clock::simulated(Wall(1));
    Store::open(&folder.0, clock).await.unwrap()
}

#[cfg(unix)]
#[tokio::test]
async fn the_database_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let store = open(&folder).await;
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
    let folder = Folder::new();
    let store = open(&folder).await;
    store.close().await;
    let error = store.find_channel_by_key("x").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert!(store.ping().await.is_err());
}

#[tokio::test]
async fn writers_wait_for_each_other() {
    let folder = Folder::new();
    let first = open(&folder).await;
    let secret = Secret::new("application-secret");
    first.ensure_application("app", &secret).await.unwrap();
    // As another process does, such as `forebay key rotate` beside a running gateway.
    let second = open(&folder).await;
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
