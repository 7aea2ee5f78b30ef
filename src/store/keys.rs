//! Which channel a stream key opens, in memory, for those who must not wait for the database. In: what
//! this process writes, and a look at the database every second for what others write. Out: channel ids.
//! Keys are known by their SHA-256 only.
//!
//! The database counts changes of keys (`revisions`). The memory is always of one revision: a change of
//! this process is applied to it when it follows directly, and everything is read again when it does
//! not, so that neither a slow reading nor two writers at once can bring an old key back.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::{Row, Sqlite, Transaction};

use super::{Error, Store, timed};
use crate::base::shutdown::Tasks;

/// How often the database is asked whether another process has changed keys: one row of two columns.
const REFRESH: Duration = Duration::from_secs(1);

/// SHA-256 of a stream key.
pub(super) type KeyHash = [u8; 32];

/// What a key is known by, in memory and in the database.
pub(super) fn hash(key: &str) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}

/// A channel as far as a publish finds it.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) id: Arc<str>,
    pub(super) application_id: Arc<str>,
    pub(super) alias: Arc<str>,
    pub(super) hash: KeyHash,
}

/// What one revision of the database says.
#[derive(Default)]
pub(super) struct Known {
    revision: i64,
    by_id: HashMap<Arc<str>, Entry>,
    by_hash: HashMap<KeyHash, Arc<str>>,
    /// Application id, then alias, to channel id.
    by_alias: HashMap<Arc<str>, HashMap<Arc<str>, Arc<str>>>,
}

impl Known {
    /// Makes a channel known, in place of what was known of it.
    pub(super) fn put(&mut self, entry: Entry) {
        self.remove(&entry.id);
        self.by_hash.insert(entry.hash, entry.id.clone());
        self.by_alias
            .entry(entry.application_id.clone())
            .or_default()
            .insert(entry.alias.clone(), entry.id.clone());
        self.by_id.insert(entry.id.clone(), entry);
    }

    /// Gives a channel another key.
    pub(super) fn set_hash(&mut self, id: &str, hash: KeyHash) {
        if let Some(entry) = self.by_id.get(id).cloned() {
            self.put(Entry { hash, ..entry });
        }
    }

    /// Forgets a channel.
    pub(super) fn remove(&mut self, id: &str) {
        let Some(old) = self.by_id.remove(id) else {
            return;
        };
        // A key may have gone over to another channel before.
        if self.by_hash.get(&old.hash).is_some_and(|at| **at == *id) {
            self.by_hash.remove(&old.hash);
        }
        if let Some(aliases) = self.by_alias.get_mut(&old.application_id) {
            aliases.remove(&old.alias);
        }
    }

    /// Forgets the channels of an application.
    pub(super) fn remove_application(&mut self, id: &str) {
        for channel in self.by_alias.remove(id).unwrap_or_default().into_values() {
            self.remove(&channel);
        }
    }
}

/// The keys of a store. Its lock is held for a few instructions, and never while anything waits.
#[derive(Default)]
pub(super) struct Keys(RwLock<Known>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.read();
        f.debug_struct("Keys")
            .field("revision", &known.revision)
            .field("channels", &known.by_id.len())
            .finish()
    }
}

impl Keys {
    /// Takes what was read, unless something newer is known.
    fn take(&self, fresh: Known) {
        let old = {
            let mut known = self.write();
            if fresh.revision <= known.revision {
                return;
            }
            std::mem::replace(&mut *known, fresh)
        };
        // Thousands of entries: freed when nobody waits for the lock.
        drop(old);
    }

    /// Applies a change that led from one revision to another; `false` when it does not follow what is
    /// known, so that everything has to be read.
    fn apply(&self, (from, to): (i64, i64), change: impl FnOnce(&mut Known)) -> bool {
        let mut known = self.write();
        if known.revision == from {
            change(&mut known);
            known.revision = to;
        }
        known.revision >= to
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transaction that may change keys: what is known in memory follows its commit.
pub(super) struct Change {
    pub(super) transaction: Transaction<'static, Sqlite>,
    from: i64,
}

impl Store {
    /// Channel id of a stream key, without waiting. As new as every change that this process has made;
    /// changes of other processes are seen about a second later.
    pub fn known_key(&self, key: &str) -> Option<String> {
        let hash = hash(key);
        let id = self.keys.read().by_hash.get(&hash).cloned();
        id.map(|id| id.to_string())
    }

    /// Id of an application's channel, by id or alias, without waiting. As new as [`Store::known_key`].
    pub fn known_channel(&self, application_id: &str, id_or_alias: &str) -> Option<String> {
        let known = self.keys.read();
        let by_id = known.by_id.get(id_or_alias);
        let by_id = by_id.filter(|entry| &*entry.application_id == application_id);
        let by_alias = || known.by_alias.get(application_id)?.get(id_or_alias);
        let id = by_id.map(|entry| &entry.id).or_else(by_alias)?;
        Some(id.to_string())
    }

    /// Reads keys again if another process has changed them.
    pub async fn refresh_keys(&self) -> Result<(), Error> {
        let newest = timed(revision(&self.pool)).await?;
        if newest != self.keys.read().revision {
            self.read_keys().await?;
        }
        Ok(())
    }

    /// Follows changes of keys by other processes until shutdown. While the database is down, what was
    /// known last holds.
    pub async fn follow_keys(self, tasks: Tasks) {
        let mut tick = tokio::time::interval(REFRESH);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut is_down = false;
        loop {
            tokio::select! {
                () = tasks.stopped() => return,
                _ = tick.tick() => {}
            }
            match self.refresh_keys().await {
                Ok(()) if is_down => tracing::info!("stream keys can be read again"),
                Err(err) if !is_down => {
                    tracing::error!(%err, "stream keys could not be read, the last known hold");
                    is_down = true;
                    continue;
                }
                Err(_) => continue,
                Ok(()) => {}
            }
            is_down = false;
        }
    }

    /// Begins a transaction that may change keys.
    pub(super) async fn begin_change(&self) -> Result<Change, Error> {
        let mut transaction = self.begin().await?;
        let from = revision(&mut *transaction).await?;
        Ok(Change { transaction, from })
    }

    /// Commits it. `change` does to the memory what was done to the database.
    pub(super) async fn commit_change(
        &self,
        change: Change,
        apply: impl FnOnce(&mut Known),
    ) -> Result<(), Error> {
        let Change {
            mut transaction,
            from,
        } = change;
        let to = revision(&mut *transaction).await?;
        transaction.commit().await?;
        if !self.keys.apply((from, to), apply)
            && let Err(err) = self.read_keys().await
        {
            // The change is made; the next refresh sees it.
            tracing::error!(%err, "stream keys could not be read after a change");
        }
        Ok(())
    }

    /// Reads every key. One statement, so that rows and revision are of one moment.
    pub(super) async fn read_keys(&self) -> Result<(), Error> {
        let known = timed(async {
            let rows = sqlx::query(
                "SELECT r.value, c.id, c.application_id, c.alias, c.key_hash
                 FROM revisions r LEFT JOIN channels c ON c.id IS NOT NULL WHERE r.name = 'keys'",
            )
            .fetch_all(&self.pool)
            .await?;
            let mut known = Known::default();
            for row in &rows {
                known.revision = row.try_get("value")?;
                let Some(id) = row.try_get::<Option<String>, _>("id")? else {
                    continue;
                };
                let stored: &[u8] = row.try_get("key_hash")?;
                let Ok(hash) = KeyHash::try_from(stored) else {
                    let what = "key hash";
                    return Err(Error::Damaged { what, id });
                };
                known.put(Entry {
                    id: id.into(),
                    application_id: row.try_get::<&str, _>("application_id")?.into(),
                    alias: row.try_get::<&str, _>("alias")?.into(),
                    hash,
                });
            }
            Ok(known)
        })
        .await?;
        self.keys.take(known);
        Ok(())
    }
}

async fn revision<'a>(executor: impl sqlx::Executor<'a, Database = Sqlite>) -> Result<i64, Error> {
    let query = sqlx::query_scalar("SELECT value FROM revisions WHERE name = 'keys'");
    Ok(query.fetch_one(executor).await?)
}

#[cfg(test)]
mod tests;
