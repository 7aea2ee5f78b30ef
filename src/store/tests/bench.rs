//! A database of its own for each test.

use super::super::*;
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::base::secret::Secret;

/// A folder that goes away with the test.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Folder {
        Folder(std::env::temp_dir().join(format!("forebay-store-{}", Uuid::new_v4())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

enum Place {
    Sqlite(Folder),
    /// Its address, and the gateway's data folder.
    Postgres(Secret, Folder),
}

/// A database and the clock of those who use it.
pub(super) struct Bench {
    place: Place,
    pub(super) clock: Clock,
}

impl Bench {
    pub(super) fn sqlite() -> Bench {
        Bench::of(Place::Sqlite(Folder::new()))
    }

    pub(super) fn postgres(url: Secret) -> Bench {
        Bench::of(Place::Postgres(url, Folder::new()))
    }

    fn of(place: Place) -> Bench {
        let clock = Clock::simulated(Wall(1_790_000_000_000_000));
        Bench { place, clock }
    }

    /// What another process has when it opens the database; there is an application "app".
    pub(super) async fn store(&self) -> Store {
        let clock = self.clock.clone();
        let store = match &self.place {
            Place::Sqlite(folder) => Store::open(&folder.0, clock).await,
            Place::Postgres(url, folder) => Store::connect(url, &folder.0, clock).await,
        };
        let store = store.unwrap();
        let secret = Secret::new("application-secret");
        store.ensure_application("app", &secret).await.unwrap();
        store
    }

    /// The same on another machine.
    pub(super) async fn store_of(&self, node: &str) -> Store {
        Store {
            node: node.into(),
            ..self.store().await
        }
    }
}

/// Channels that the database has, oldest first.
pub(super) async fn stored(store: &Store) -> Vec<Channel> {
    let rows = store.database.fetch_all(query(channel::ALL)).await.unwrap();
    let channels = rows.iter().map(|row| Channel::try_from(row).unwrap());
    let mut channels: Vec<Channel> = channels.collect();
    channels.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    channels
}

pub(super) fn default_channel<'a>(key: &'a Secret) -> NewChannel<'a> {
    NewChannel {
        region: "local",
        application_id: "app",
        alias: "live",
        name: "Live",
        key: Some(key),
        capabilities: None,
    }
}

/// The default channel, made or made again with this key.
pub(super) async fn ensured(store: &Store, key: &Secret) -> Channel {
    let channel = default_channel(key);
    store.ensure_default_channel(&channel).await.unwrap()
}

pub(super) fn declaration<'a>(alias: &'a str, key: Option<&'a Secret>) -> Declaration<'a> {
    Declaration {
        alias,
        name: alias,
        key,
        capabilities: None,
    }
}

/// A channel of application "app" whose name is its alias.
pub(super) fn creation(alias: &str) -> Creation<'_> {
    Creation {
        region: "local",
        application_id: "app",
        alias,
        name: alias,
        description: "",
        options: &[],
        ingest: None,
    }
}
