//! Channels: named, durable, found by their stream key.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::keys::{Entry, Known, hash};
use super::{Error, Store, exists, json, timed};
use crate::base::clock::Wall;
use crate::base::id::random_key;
use crate::base::secret::Secret;

/// Characters of a generated stream key.
const KEY_CHARACTERS: usize = 96;

/// Columns of a channel, in every query that reads one.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, application_id, alias, name, description, stream_key, capabilities, tags, \
             options, declared, created_us, updated_us FROM channels ",
            $rest
        )
    };
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// `{region}#{application}#{alias}`.
    pub id: String,
    /// Its owner.
    pub application_id: String,
    /// Unique within the application.
    pub alias: String,
    /// Name for people.
    pub name: String,
    /// Text for people.
    pub description: String,
    /// Stream key.
    pub key: Secret,
    /// What streams of it can do; `None` when the default applies.
    pub capabilities: Option<Vec<String>>,
    /// Tags of its streams.
    pub tags: Vec<String>,
    /// Opaque words of the channel API.
    pub options: Vec<String>,
    /// Whether the configuration file declares it.
    pub declared: bool,
    /// When it was made.
    pub created: Wall,
    /// When it was last changed.
    pub updated: Wall,
}

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

impl NewChannel<'_> {
    fn id(&self) -> String {
        format!("{}#{}#{}", self.region, self.application_id, self.alias)
    }
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
    /// Makes the default channel, or gives it this key.
    pub async fn ensure_default_channel(&self, new: &NewChannel<'_>) -> Result<Channel, Error> {
        timed(async {
            let mut change = self.begin_change().await?;
            let now = self.now_us();
            let (channel, _) = upsert(&mut change.transaction, new, false, now).await?;
            self.commit_change(change, |known| known.put(entry(&channel)))
                .await?;
            Ok(channel)
        })
        .await
    }

    /// Makes the channels of the configuration file true: adds, changes, and deletes those that it
    /// no longer names. All of it or nothing. `limit` bounds the number of channels.
    pub async fn declare_channels(
        &self,
        region: &str,
        application_id: &str,
        declarations: &[Declaration<'_>],
        limit: u64,
    ) -> Result<Declared, Error> {
        timed(async {
            let mut change = self.begin_change().await?;
            let transaction = &mut change.transaction;
            let mut entries = Vec::with_capacity(declarations.len());
            let mut declared = Declared::default();
            let rows = sqlx::query("SELECT id, alias, application_id FROM channels WHERE declared")
                .fetch_all(&mut **transaction)
                .await?;
            let wanted = |id: &str| {
                let mut wanted = declarations.iter();
                wanted.any(|new| id == format!("{region}#{application_id}#{}", new.alias))
            };
            // Deletions first: a new channel may take a key over from one that is gone.
            for row in rows {
                let id: String = row.try_get("id")?;
                if !wanted(&id) {
                    sqlx::query("DELETE FROM channels WHERE id = $1")
                        .bind(&id)
                        .execute(&mut **transaction)
                        .await?;
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
                entries.push(entry(&channel));
                if is_new {
                    declared.added.push(declaration.alias.to_owned());
                }
            }
            let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM channels")
                .fetch_one(&mut **transaction)
                .await?;
            if !declared.added.is_empty() && u64::try_from(count).unwrap_or(0) > limit {
                let what = "channel";
                return Err(Error::Full { what, limit });
            }
            let removed = &declared.removed;
            self.commit_change(change, |known| {
                removed.iter().for_each(|id| known.remove(id));
                entries.into_iter().for_each(|entry| known.put(entry));
            })
            .await?;
            Ok(declared)
        })
        .await
    }

    /// The channel with this stream key. Found by the key's SHA-256, so the time it takes tells
    /// nothing about how much of a guess is right.
    pub async fn find_channel_by_key(&self, key: &str) -> Result<Option<Channel>, Error> {
        let found = timed(async {
            let row = sqlx::query(select!("WHERE key_hash = $1"))
                .bind(hash(key).as_slice())
                .fetch_optional(&self.pool)
                .await?;
            row.as_ref().map(channel).transpose()
        })
        .await?;
        Ok(found.filter(|channel| channel.key.matches(key)))
    }

    /// A channel by id.
    pub async fn channel(&self, id: &str) -> Result<Option<Channel>, Error> {
        timed(async {
            let row = sqlx::query(select!("WHERE id = $1"))
                .bind(id)
                .fetch_optional(&self.pool)
                .await?;
            row.as_ref().map(channel).transpose()
        })
        .await
    }

    /// A channel by alias; of several applications' channels, the oldest.
    pub async fn channel_by_alias(&self, alias: &str) -> Result<Option<Channel>, Error> {
        timed(async {
            let row = sqlx::query(select!("WHERE alias = $1 ORDER BY created_us, id LIMIT 1"))
                .bind(alias)
                .fetch_optional(&self.pool)
                .await?;
            row.as_ref().map(channel).transpose()
        })
        .await
    }

    /// A channel by id or, as an id always has a `#`, by alias.
    pub async fn find_channel(&self, id_or_alias: &str) -> Result<Option<Channel>, Error> {
        if id_or_alias.contains('#') {
            self.channel(id_or_alias).await
        } else {
            self.channel_by_alias(id_or_alias).await
        }
    }

    /// A channel of one application, by id or alias.
    pub async fn channel_of(
        &self,
        application_id: &str,
        id_or_alias: &str,
    ) -> Result<Option<Channel>, Error> {
        timed(async {
            let row = sqlx::query(select!(
                "WHERE application_id = $1 AND (id = $2 OR alias = $2)"
            ))
            .bind(application_id)
            .bind(id_or_alias)
            .fetch_optional(&self.pool)
            .await?;
            row.as_ref().map(channel).transpose()
        })
        .await
    }

    /// All channels, oldest first.
    pub async fn channels(&self) -> Result<Vec<Channel>, Error> {
        timed(async {
            let rows = sqlx::query(select!("ORDER BY created_us, id"))
                .fetch_all(&self.pool)
                .await?;
            rows.iter().map(channel).collect()
        })
        .await
    }

    /// Gives a channel a new random stream key. [`Error::Missing`] when there is no such channel.
    pub async fn rotate_key(&self, channel_id: &str) -> Result<Secret, Error> {
        let key = random_stream_key();
        let hash = hash(key.expose());
        timed(async {
            let mut change = self.begin_change().await?;
            let done = sqlx::query(
                "UPDATE channels SET stream_key = $1, key_hash = $2, updated_us = $3 WHERE id = $4",
            )
            .bind(key.expose())
            .bind(hash.as_slice())
            .bind(self.now_us())
            .bind(channel_id)
            .execute(&mut *change.transaction)
            .await?;
            match done.rows_affected() {
                0 => Err(Error::Missing(format!("channel {channel_id}"))),
                _ => {
                    let apply = |known: &mut Known| known.set_hash(channel_id, hash);
                    self.commit_change(change, apply).await
                }
            }
        })
        .await?;
        Ok(key)
    }
}

/// A new stream key.
pub fn random_stream_key() -> Secret {
    Secret::new(random_key(KEY_CHARACTERS))
}

/// Makes a channel or changes it; says whether it is new.
async fn upsert(
    connection: &mut SqliteConnection,
    new: &NewChannel<'_>,
    declared: bool,
    now_us: i64,
) -> Result<(Channel, bool), Error> {
    let id = new.id();
    let row = sqlx::query(select!("WHERE id = $1"))
        .bind(&id)
        .fetch_optional(&mut *connection)
        .await?;
    let old = row.as_ref().map(channel).transpose()?;
    let is_new = old.is_none();
    let stored = old.as_ref().map(|channel| channel.key.clone());
    let key = new
        .key
        .cloned()
        .or(stored)
        .unwrap_or_else(random_stream_key);
    let same = old.is_some_and(|channel| {
        channel.key == key
            && channel.name == new.name
            && channel.capabilities.as_deref() == new.capabilities
            && channel.declared == declared
    });
    if !same {
        let capabilities = new.capabilities.map(json);
        sqlx::query(
            "INSERT INTO channels (id, application_id, alias, name, stream_key, key_hash,
                 capabilities, declared, created_us, updated_us)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name,
                 stream_key = excluded.stream_key, key_hash = excluded.key_hash,
                 capabilities = excluded.capabilities, declared = excluded.declared,
                 updated_us = excluded.updated_us",
        )
        .bind(&id)
        .bind(new.application_id)
        .bind(new.alias)
        .bind(new.name)
        .bind(key.expose())
        .bind(hash(key.expose()).as_slice())
        .bind(capabilities)
        .bind(declared)
        .bind(now_us)
        .execute(&mut *connection)
        .await
        .map_err(|error| exists(error, || format!("stream key of channel {id}")))?;
    }
    let row = sqlx::query(select!("WHERE id = $1"))
        .bind(&id)
        .fetch_one(connection)
        .await?;
    Ok((channel(&row)?, is_new))
}

fn channel(row: &SqliteRow) -> Result<Channel, Error> {
    let id: String = row.try_get("id")?;
    let list = |what: &'static str, text: &str| {
        serde_json::from_str::<Vec<String>>(text).map_err(|_| Error::Damaged {
            what,
            id: id.clone(),
        })
    };
    let capabilities: Option<String> = row.try_get("capabilities")?;
    let capabilities = capabilities.map(|text| list("capabilities", &text));
    Ok(Channel {
        application_id: row.try_get("application_id")?,
        alias: row.try_get("alias")?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        key: Secret::new(row.try_get::<String, _>("stream_key")?),
        capabilities: capabilities.transpose()?,
        tags: list("tags", row.try_get("tags")?)?,
        options: list("options", row.try_get("options")?)?,
        declared: row.try_get("declared")?,
        created: Wall(row.try_get("created_us")?),
        updated: Wall(row.try_get("updated_us")?),
        id,
    })
}

fn entry(channel: &Channel) -> Entry {
    Entry {
        id: channel.id.as_str().into(),
        application_id: channel.application_id.as_str().into(),
        alias: channel.alias.as_str().into(),
        hash: hash(channel.key.expose()),
    }
}
