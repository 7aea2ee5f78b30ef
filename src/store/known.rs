//! Channels and applications in memory, for those who must not wait for the database: publishes, players,
//! and thousands of API calls a second. In: what this process writes, and a look at the database every
//! second for what others write. Out: what is known now.
//!
//! The database counts changes (`revisions`). A change of this process is applied to the memory as soon as
//! it is committed; when others came before it, everything is read again, too. Who reads has the writers'
//! turn, so that a slow reading cannot bring an old key back; and a database that was set back, as by a
//! backup, is followed as any other.
//!
//! Whichever way a channel comes or goes, a [`Watcher`] is told by the change of the memory, and by nothing
//! else: a deletion whose answer was lost is seen at the next look like one of another process.

mod ask;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::application::{self, Application};
use super::channel::{self, Channel};
use super::database::{Query, Transaction, query};
use super::hash::{KeyHash, hash};
use super::{Error, Store, timed};
use crate::base::clock::Wall;
use crate::base::shutdown::Tasks;

/// How often the database is asked whether another process has changed something: one row.
const REFRESH: Duration = Duration::from_secs(1);

/// Where a channel stands among those of its application: oldest first.
type Place = (Wall, Arc<str>);

/// An application as far as channels know it.
#[derive(Default)]
struct Owner {
    /// `None`: only channels of it were read so far.
    application: Option<Arc<Application>>,
    by_alias: HashMap<Arc<str>, Arc<Channel>>,
    in_order: BTreeMap<Place, Arc<Channel>>,
    /// Channels of its broadcasts, by the broadcasts' ids: none of the channel API.
    broadcasts: HashMap<Arc<str>, Arc<Channel>>,
}

/// Who follows channels that come and go, whoever makes and deletes them. Told in the order of the changes,
/// and before this process makes the next one; it must not wait.
pub trait Watcher: Send + Sync {
    /// A channel is there.
    fn handle_new(&self, channel: &Channel);

    /// A channel is gone, and nobody is admitted to it any more.
    fn handle_gone(&self, channel: &Channel);
}

/// Channels that came and went. One that was made anew under its old id did both.
#[derive(Default)]
struct Difference {
    gone: Vec<Arc<Channel>>,
    new: Vec<Arc<Channel>>,
}

impl Difference {
    fn between(old: &Known, new: &Known) -> Difference {
        let only_in = |one: &Known, other: &Known| {
            let missing = one.by_id.values().filter(|channel| !other.has(channel));
            missing.cloned().collect()
        };
        Difference {
            gone: only_in(old, new),
            new: only_in(new, old),
        }
    }
}

/// What one revision of the database says.
#[derive(Default)]
pub(super) struct Known {
    pub(super) revision: i64,
    by_id: HashMap<Arc<str>, Arc<Channel>>,
    by_hash: HashMap<KeyHash, Arc<Channel>>,
    /// Of all applications, oldest first.
    by_alias: HashMap<Arc<str>, BTreeMap<Place, Arc<Channel>>>,
    owners: HashMap<Arc<str>, Owner>,
    /// Applications of SDK clients by the SHA-256 of their API keys.
    clients: HashMap<KeyHash, Arc<Application>>,
    /// What the change that is being applied has done so far.
    difference: Difference,
}

impl Known {
    /// Makes a channel known, in place of what was known of it.
    pub(super) fn put(&mut self, channel: Arc<Channel>) {
        if !self.has(&channel) {
            self.remove(&channel.id);
            self.difference.new.push(channel.clone());
        }
        self.insert(channel);
    }

    /// Forgets a channel.
    pub(super) fn remove(&mut self, id: &str) {
        let old = self.take_out(id);
        self.difference.gone.extend(old);
    }

    /// Whether this channel is known, and not another one of its id.
    fn has(&self, channel: &Channel) -> bool {
        let known = self.by_id.get(channel.id.as_str());
        known.is_some_and(|known| known.created == channel.created)
    }

    fn insert(&mut self, channel: Arc<Channel>) {
        self.take_out(&channel.id);
        let id: Arc<str> = channel.id.as_str().into();
        let owner = self.owner(&channel.application_id);
        let place = (channel.created, id.clone());
        let alias: Arc<str> = channel.alias.as_str().into();
        if channel.is_of_broadcast() {
            owner.broadcasts.insert(alias, channel.clone());
        } else {
            owner.by_alias.insert(alias.clone(), channel.clone());
            owner.in_order.insert(place.clone(), channel.clone());
            let named = self.by_alias.entry(alias).or_default();
            named.insert(place, channel.clone());
        }
        let hash = hash(channel.key.expose());
        self.by_hash.insert(hash, channel.clone());
        self.by_id.insert(id, channel);
    }

    fn take_out(&mut self, id: &str) -> Option<Arc<Channel>> {
        let (id, old) = self.by_id.remove_entry(id)?;
        let hash = hash(old.key.expose());
        // A key may have gone over to another channel before.
        if self.by_hash.get(&hash).is_some_and(|at| at.id == old.id) {
            self.by_hash.remove(&hash);
        }
        let owner = self.owners.get_mut(old.application_id.as_str());
        if old.is_of_broadcast() {
            owner.map(|owner| owner.broadcasts.remove(old.alias.as_str()));
            return Some(old);
        }
        if let Some(owner) = owner {
            owner.by_alias.remove(old.alias.as_str());
            owner.in_order.remove(&(old.created, id.clone()));
        }
        if let Some(named) = self.by_alias.get_mut(old.alias.as_str()) {
            named.remove(&(old.created, id));
            if named.is_empty() {
                self.by_alias.remove(old.alias.as_str());
            }
        }
        Some(old)
    }

    /// Makes an application known, in place of what was known of it.
    pub(super) fn put_application(&mut self, application: Arc<Application>) {
        if let Some(key) = application.api_key {
            self.clients.insert(key, application.clone());
        }
        self.owner(&application.id).application = Some(application.clone());
    }

    /// Forgets an application with its channels.
    pub(super) fn remove_application(&mut self, id: &str) {
        let Some(owner) = self.owners.remove(id) else {
            return;
        };
        if let Some(key) = owner.application.and_then(|gone| gone.api_key) {
            self.clients.remove(&key);
        }
        let broadcasts = owner.broadcasts.into_values();
        for channel in owner.in_order.into_values().chain(broadcasts) {
            self.remove(&channel.id);
        }
    }

    fn owner(&mut self, id: &str) -> &mut Owner {
        if !self.owners.contains_key(id) {
            self.owners.insert(id.into(), Owner::default());
        }
        self.owners.get_mut(id).expect("it was just put there")
    }

    fn application(&self, id: &str) -> Option<&Arc<Application>> {
        self.owners.get(id)?.application.as_ref()
    }

    fn channel_of(&self, application_id: &str, id_or_alias: &str) -> Option<&Arc<Channel>> {
        let by_id = self.by_id.get(id_or_alias);
        let by_id = by_id.filter(|channel| {
            channel.application_id == application_id && !channel.is_of_broadcast()
        });
        by_id.or_else(|| {
            let owner = self.owners.get(application_id)?;
            owner.by_alias.get(id_or_alias)
        })
    }

    /// The channel of an id, or else all that have an alias, oldest first. What has a `#` is an id, as an
    /// alias may be written like the id of somebody else's channel.
    fn named(&self, id_or_alias: &str) -> impl Iterator<Item = &Arc<Channel>> {
        let by_id = self.by_id.get(id_or_alias);
        let by_id = by_id.filter(|channel| !channel.is_of_broadcast());
        let by_alias = self.by_alias.get(id_or_alias);
        let by_alias = by_alias.filter(|_| !id_or_alias.contains('#')).into_iter();
        by_id.into_iter().chain(by_alias.flat_map(BTreeMap::values))
    }
}

/// What a store knows. Its lock is held for a few instructions, and never while anything waits.
#[derive(Default)]
pub(super) struct Memory {
    known: RwLock<Known>,
    /// Whether an own change was applied to it that others had come before.
    is_behind: AtomicBool,
    /// Not kept alive: what it acts on asks this store.
    watcher: OnceLock<Weak<dyn Watcher>>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.read();
        f.debug_struct("Memory")
            .field("revision", &known.revision)
            .field("channels", &known.by_id.len())
            .finish()
    }
}

impl Memory {
    /// Takes what was read.
    fn take(&self, fresh: Known) {
        // Whoever changes the memory has the writers' turn.
        let difference = Difference::between(&self.read(), &fresh);
        let old = std::mem::replace(&mut *self.write(), fresh);
        // Thousands of entries: freed when nobody waits for the lock.
        drop(old);
        self.is_behind.store(false, Ordering::Relaxed);
        self.tell(&difference);
    }

    /// Applies a change that led from one revision to another. When it does not follow what is known, the
    /// revision stays, so that everything is read again.
    fn apply(&self, (from, to): (i64, i64), change: impl FnOnce(&mut Known)) {
        let difference = {
            let mut known = self.write();
            change(&mut known);
            match known.revision == from {
                true => known.revision = to,
                false => self.is_behind.store(true, Ordering::Relaxed),
            }
            std::mem::take(&mut known.difference)
        };
        self.tell(&difference);
    }

    fn tell(&self, difference: &Difference) {
        let Some(watcher) = self.watcher.get().and_then(Weak::upgrade) else {
            return;
        };
        for channel in &difference.gone {
            watcher.handle_gone(channel);
        }
        for channel in &difference.new {
            watcher.handle_new(channel);
        }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transaction that may change channels and applications: what is known in memory follows its commit.
pub(super) struct Change {
    /// What was begun.
    pub(super) transaction: Transaction,
    from: i64,
}

impl Store {
    /// Tells `watcher` of every channel that is known now, and from then on of those that come and go, for
    /// as long as somebody keeps it. Only the first one is told.
    pub async fn watch<W: Watcher + 'static>(&self, watcher: &Arc<W>) -> Result<(), Error> {
        let _turn = timed(async { Ok(self.database.turn().await) }).await?;
        let known: Vec<Arc<Channel>> = self.memory.read().by_id.values().cloned().collect();
        for channel in known {
            watcher.handle_new(&channel);
        }
        // A second one is a mistake of ours, and does no harm.
        let watcher = Arc::downgrade(watcher);
        let _ = self.memory.watcher.set(watcher);
        Ok(())
    }

    /// Reads everything again if another process has changed something.
    pub async fn refresh(&self) -> Result<(), Error> {
        let row = timed(self.database.fetch_optional(revision())).await?;
        let newest: i64 = row.ok_or_else(no_revision)?.get("value")?;
        if newest == self.memory.read().revision {
            return Ok(());
        }
        let _turn = timed(async { Ok(self.database.turn().await) }).await?;
        self.read_all().await
    }

    /// Follows changes by other processes until shutdown. While the database is down, what was known last
    /// holds.
    pub async fn follow(self, tasks: Tasks) {
        let mut tick = tokio::time::interval(REFRESH);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut is_down = false;
        loop {
            tokio::select! {
                () = tasks.stopped() => return,
                _ = tick.tick() => {}
            }
            match self.refresh().await {
                Ok(()) if is_down => tracing::info!("channels can be read again"),
                Err(err) if !is_down => {
                    tracing::error!(%err, "channels could not be read, the last known hold");
                    is_down = true;
                    continue;
                }
                Err(_) => continue,
                Ok(()) => {}
            }
            is_down = false;
        }
    }

    /// Puts the deadline on a change of channels or applications. What others had changed before it is read
    /// beyond the deadline: the change is made by then.
    pub(super) async fn changing<T: Send>(
        &self,
        change: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let changed = timed(change).await?;
        if self.memory.is_behind.load(Ordering::Relaxed)
            && let Err(err) = self.refresh().await
        {
            // The next look sees it.
            tracing::error!(%err, "channels could not be read after a change");
        }
        Ok(changed)
    }

    /// Begins a transaction that may change channels or applications.
    pub(super) async fn begin_change(&self) -> Result<Change, Error> {
        let mut transaction = self.database.begin().await?;
        let from = transaction.fetch_one(revision()).await?.get("value")?;
        Ok(Change { transaction, from })
    }

    /// Commits it. `apply` does to the memory what was done to the database.
    pub(super) async fn commit_change(
        &self,
        change: Change,
        apply: impl FnOnce(&mut Known),
    ) -> Result<(), Error> {
        let Change {
            mut transaction,
            from,
        } = change;
        let to = transaction.fetch_one(revision()).await?.get("value")?;
        // The next writer's change is applied after this one, so that it follows.
        let _turn: Option<OwnedSemaphorePermit> = transaction.commit().await?;
        // At once: a change that was made is never left without its consequences.
        self.memory.apply((from, to), apply);
        self.deliveries_added();
        Ok(())
    }

    /// Reads everything, as of one moment. Nobody else of this process writes meanwhile.
    pub(super) async fn read_all(&self) -> Result<(), Error> {
        let known = timed(async {
            let mut snapshot = self.database.snapshot().await?;
            let mut known = Known {
                revision: snapshot.fetch_one(revision()).await?.get("value")?,
                ..Known::default()
            };
            for row in snapshot.fetch_all(query(application::ALL)).await? {
                known.put_application(Arc::new(Application::try_from(&row)?));
            }
            for row in snapshot.fetch_all(query(channel::ALL)).await? {
                // One that is damaged takes no other with it.
                match Channel::try_from(&row) {
                    Ok(channel) => known.insert(Arc::new(channel)),
                    Err(err) => tracing::error!(%err, "a channel cannot be used"),
                }
            }
            Ok(known)
        })
        .await?;
        self.memory.take(known);
        Ok(())
    }
}

fn revision() -> Query {
    query("SELECT value FROM revisions WHERE name = 'known'")
}

fn no_revision() -> Error {
    Error::Database(sqlx::Error::RowNotFound)
}
