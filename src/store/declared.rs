//! Channels that settings make: the default channel, and those of the configuration file.

use std::sync::Arc;

use super::channel::{BY_ID, Channel, channel_id, random_stream_key};
use super::database::{Transaction, query};
use super::hash::hash;
use super::{Error, Store, exists, json};
use crate::base::secret::Secret;

/// What a new channel is made of.
#[derive(Clone, Debug)]
pub struct NewChannel<'a> {
    /// First part of the id.
    pub region: &'a str,
    /// Its owner, which exists.
    pub application_id: &'a str,
    /// Unique within the application.
    pub alias: &'a str,
    /// Name for people.
    pub name: &'a str,
    /// Stream key; `None` makes a random one.
    pub key: Option<&'a Secret>,
    /// What streams of it can do; `None` when the default applies.
    pub capabilities: Option<&'a [String]>,
}

/// A channel that the configuration file declares. An alias of its own, so that the caller need not
/// know of regions and owners.
#[derive(Clone, Debug)]
pub struct Declaration<'a> {
    /// Unique within the application.
    pub alias: &'a str,
    /// Name for people.
    pub name: &'a str,
    /// Stream key; `None` keeps the stored one, or makes a random one.
    pub key: Option<&'a Secret>,
    /// What streams of it can do; `None` when the default applies.
    pub capabilities: Option<&'a [String]>,
}

/// What declaring changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Aliases that are new.
    pub added: Vec<String>,
    /// Ids of channels that the file no longer declares; they are deleted.
    pub removed: Vec<String>,
}

impl Store {
    /// Makes the default channel, or gives it this key. What the channel API made in its place keeps its
    /// name and options.
    pub async fn ensure_default_channel(&self, new: &NewChannel<'_>) -> Result<Channel, Error> {
        self.changing(async {
            let mut change = self.begin_change().await?;
            let now = self.now_us();
            let (channel, _) = upsert(&mut change.transaction, new, false, now).await?;
            let known = Arc::new(channel.clone());
            self.commit_change(change, |memory| memory.put(known))
                .await?;
            Ok(channel)
        })
        .await
    }

    /// Makes the channels of the configuration file true: adds, changes, and deletes those that it
    /// no longer names. All of it or nothing. `limit` bounds the number of channels. What is declared for
    /// another region or application is the business of the gateways there.
    pub async fn declare_channels(
        &self,
        region: &str,
        application_id: &str,
        declarations: &[Declaration<'_>],
        limit: u64,
    ) -> Result<Declared, Error> {
        self.changing(async {
            let mut change = self.begin_change().await?;
            let transaction = &mut change.transaction;
            let mut channels = Vec::with_capacity(declarations.len());
            let mut declared = Declared::default();
            let select =
                query("SELECT id, alias FROM channels WHERE declared AND application_id = $1");
            let rows = transaction.fetch_all(select.bind(application_id)).await?;
            // Deletions first: a new channel may take a key over from one that is gone.
            for row in rows {
                let (id, alias): (String, String) = (row.get("id")?, row.get("alias")?);
                let is_ours = id == channel_id(region, application_id, &alias);
                if is_ours && declarations.iter().all(|new| new.alias != alias) {
                    let delete = query("DELETE FROM channels WHERE id = $1");
                    transaction.execute(delete.bind(id.as_str())).await?;
                    declared.removed.push(id);
                }
            }
            let now = self.now_us();
            for declaration in declarations {
                let new = NewChannel {
                    region,
                    application_id,
                    alias: declaration.alias,
                    name: declaration.name,
                    key: declaration.key,
                    capabilities: declaration.capabilities,
                };
                let (channel, is_new) = upsert(transaction, &new, true, now).await?;
                channels.push(Arc::new(channel));
                if is_new {
                    declared.added.push(declaration.alias.to_owned());
                }
            }
            let count = query("SELECT COUNT(*) AS channels FROM channels");
            let count: i64 = transaction.fetch_one(count).await?.get("channels")?;
            if !declared.added.is_empty() && u64::try_from(count).unwrap_or(0) > limit {
                let what = "channel";
                return Err(Error::Full { what, limit });
            }
            let removed = &declared.removed;
            self.commit_change(change, |known| {
                removed.iter().for_each(|id| known.remove(id));
                channels.into_iter().for_each(|channel| known.put(channel));
            })
            .await?;
            Ok(declared)
        })
        .await
    }
}

impl Channel {
    /// Whether it has nothing that only the channel API gives.
    fn is_plain(&self) -> bool {
        let words = [&self.tags, &self.options];
        words.iter().all(|words| words.is_empty())
            && self.description.is_empty()
            && self.ingest.is_none()
    }
}

/// Makes a channel or changes it; says whether it is new.
async fn upsert(
    transaction: &mut Transaction,
    new: &NewChannel<'_>,
    declared: bool,
    now_us: i64,
) -> Result<(Channel, bool), Error> {
    let id = channel_id(new.region, new.application_id, new.alias);
    let select = || query(BY_ID).bind(id.as_str());
    let row = transaction.fetch_optional(select()).await?;
    let old = row.as_ref().map(Channel::try_from).transpose()?;
    let is_new = old.is_none();
    let stored = old.as_ref().map(|channel| channel.key.clone());
    let key = new
        .key
        .cloned()
        .or(stored)
        .unwrap_or_else(random_stream_key);
    // What the channel API made in place of the default channel stays as it was made, but for the key.
    let keeps = !declared && old.as_ref().is_some_and(|channel| !channel.declared);
    let same = old.is_some_and(|channel| {
        channel.key == key
            && (keeps || channel.name == new.name)
            && (keeps || channel.capabilities.as_deref() == new.capabilities)
            && channel.declared == declared
            && (keeps || channel.is_plain())
    });
    if keeps && !same {
        let update = query(
            "UPDATE channels SET stream_key = $1, key_hash = $2, updated_us = $3 WHERE id = $4",
        )
        .bind(key.expose())
        .bind(hash(key.expose()).as_slice())
        .bind(now_us)
        .bind(id.as_str());
        let updated = transaction.execute(update).await;
        updated.map_err(|error| exists(error, || format!("stream key of channel {id}")))?;
    } else if !same {
        let insert = query(
            "INSERT INTO channels (id, application_id, alias, name, stream_key, key_hash,
                 capabilities, declared, created_us, updated_us)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name,
                 stream_key = excluded.stream_key, key_hash = excluded.key_hash,
                 capabilities = excluded.capabilities, declared = excluded.declared,
                 description = '', tags = '[]', options = '[]', ingest = NULL, source_uri = NULL,
                 updated_us = excluded.updated_us",
        )
        .bind(id.as_str())
        .bind(new.application_id)
        .bind(new.alias)
        .bind(new.name)
        .bind(key.expose())
        .bind(hash(key.expose()).as_slice())
        .bind(new.capabilities.map(json))
        .bind(declared)
        .bind(now_us);
        let inserted = transaction.execute(insert).await;
        inserted.map_err(|error| exists(error, || format!("stream key of channel {id}")))?;
    }
    let row = transaction.fetch_one(select()).await?;
    Ok((Channel::try_from(&row)?, is_new))
}
