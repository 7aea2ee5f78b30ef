//! Channels: named, durable, found by their stream key.

use std::sync::Arc;

use super::database::{Query, Row, Transaction, query};
use super::hash::hash;
use super::{Error, IngestOptions, SourceUri, Store, exists, json, timed};
use crate::base::clock::Wall;
use crate::base::id::{Uuid, random_key};
use crate::base::secret::Secret;

/// Characters of a generated stream key.
const KEY_CHARACTERS: usize = 96;

/// Characters of a generated alias: 71 bits.
const ALIAS_CHARACTERS: usize = 12;

/// Columns of a channel, in every query that reads one.
macro_rules! columns {
    () => {
        "id, application_id, alias, name, description, stream_key, capabilities, tags, options, ingest, \
         source_uri, stream_id, declared, created_us, updated_us"
    };
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", columns!(), " FROM channels ", $rest)
    };
}

/// All channels.
pub(super) const ALL: &str = select!("");
/// A channel by id.
pub(super) const BY_ID: &str = select!("WHERE id = $1");

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
    /// Options of the ingest as the channel API gave them; `None` when it gave none. Capabilities and tags
    /// of them are those above.
    pub ingest: Option<IngestOptions>,
    /// The one stream that it has, as the channel of a broadcast; `None`: a stream ends with its
    /// publishers, and the next publish opens another.
    pub stream_id: Option<Uuid>,
    /// Whether the configuration file declares it.
    pub declared: bool,
    /// When it was made.
    pub created: Wall,
    /// When it was last changed.
    pub updated: Wall,
}

/// What the channel API makes a channel of.
#[derive(Clone, Debug)]
pub struct Creation<'a> {
    /// First part of the id.
    pub region: &'a str,
    /// Its owner, which exists.
    pub application_id: &'a str,
    /// Unique within the application; empty makes a random one.
    pub alias: &'a str,
    /// Name for people, unique within the application.
    pub name: &'a str,
    /// Text for people.
    pub description: &'a str,
    /// Opaque words.
    pub options: &'a [String],
    /// Options of the ingest, if any were given.
    pub ingest: Option<&'a IngestOptions>,
}

impl Channel {
    /// Whether it is there for a broadcast, and none of the channel API.
    pub fn is_of_broadcast(&self) -> bool {
        self.stream_id.is_some()
    }
}

impl Store {
    /// Makes a channel with a random stream key. [`Error::Exists`] when the application has a channel of
    /// this alias or name, [`Error::Full`] when there are `limit` channels, [`Error::Missing`] when there
    /// is no such application.
    pub async fn create_channel(
        &self,
        new: &Creation<'_>,
        limit: u64,
    ) -> Result<Arc<Channel>, Error> {
        let alias = match new.alias {
            "" => random_key(ALIAS_CHARACTERS),
            alias => alias.to_owned(),
        };
        let id = channel_id(new.region, new.application_id, &alias);
        let key = random_stream_key();
        let now = self.now_us();
        let ingest = new.ingest;
        let capabilities = ingest.and_then(|options| options.capabilities.as_deref());
        let tags = ingest.and_then(|options| options.tags.as_deref());
        let source = ingest.and_then(|options| options.source_uri.as_ref());
        self.changing(async {
            let mut change = self.begin_change().await?;
            refuse(&mut change.transaction, new, &alias, limit).await?;
            let insert = query(concat!(
                "INSERT INTO channels (id, application_id, alias, name, description, stream_key,
                     key_hash, capabilities, tags, options, ingest, source_uri, created_us, updated_us)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13) RETURNING ",
                columns!()
            ))
            .bind(id.as_str())
            .bind(new.application_id)
            .bind(alias.as_str())
            .bind(new.name)
            .bind(new.description)
            .bind(key.expose())
            .bind(hash(key.expose()).as_slice())
            .bind(capabilities.map(json))
            .bind(json(tags.unwrap_or_default()))
            .bind(json(new.options))
            .bind(ingest.map(stored_ingest))
            .bind(source.map(|uri| uri.expose().to_owned()))
            .bind(now);
            let row = change.transaction.fetch_optional(insert).await;
            let row = row.map_err(|error| exists(error, || format!("channel {id}")))?;
            let row = row.ok_or(Error::Database(sqlx::Error::RowNotFound))?;
            let channel = Arc::new(Channel::try_from(&row)?);
            let known = channel.clone();
            self.commit_change(change, |memory| memory.put(known))
                .await?;
            Ok(channel)
        })
        .await
    }

    /// Deletes a channel with all that belongs to it; its recordings stay. [`Error::Missing`] when there
    /// is none, [`Error::Declared`] when the configuration file would bring it back.
    pub async fn delete_channel(&self, id: &str) -> Result<(), Error> {
        self.changing(async {
            let mut change = self.begin_change().await?;
            let select = query("SELECT declared FROM channels WHERE id = $1").bind(id);
            let row = change.transaction.fetch_optional(select).await?;
            match row.map(|row| row.get("declared")).transpose()? {
                None => return Err(Error::missing("channel", id)),
                Some(true) => return Err(Error::Declared(id.to_owned())),
                Some(false) => {}
            }
            let delete = query("DELETE FROM channels WHERE id = $1").bind(id);
            change.transaction.execute(delete).await?;
            self.commit_change(change, |known| known.remove(id)).await
        })
        .await
    }

    /// The channel with this stream key, as the database has it. See [`Store::known_key`].
    pub async fn find_channel_by_key(&self, key: &str) -> Result<Option<Channel>, Error> {
        let select = query(select!("WHERE key_hash = $1")).bind(hash(key).as_slice());
        let found = self.one_channel(select).await?;
        Ok(found.filter(|channel| channel.key.matches(key)))
    }

    /// A channel by id.
    pub async fn channel(&self, id: &str) -> Result<Option<Channel>, Error> {
        let select = query(BY_ID).bind(id);
        self.one_channel(select).await
    }

    /// A channel by alias; of several applications' channels, the oldest.
    async fn channel_by_alias(&self, alias: &str) -> Result<Option<Channel>, Error> {
        let select = select!("WHERE alias = $1 ORDER BY created_us, id LIMIT 1");
        self.one_channel(query(select).bind(alias)).await
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
        let select = select!(
            "WHERE application_id = $1 AND (id = $2 OR alias = $2)
             ORDER BY CASE WHEN id = $2 THEN 0 ELSE 1 END LIMIT 1"
        );
        let select = query(select).bind(application_id).bind(id_or_alias);
        self.one_channel(select).await
    }

    async fn one_channel(&self, select: Query) -> Result<Option<Channel>, Error> {
        timed(async {
            let row = self.database.fetch_optional(select).await?;
            row.as_ref().map(Channel::try_from).transpose()
        })
        .await
    }

    /// Gives a channel a new random stream key. [`Error::Missing`] when there is no such channel.
    pub async fn rotate_key(&self, channel_id: &str) -> Result<Secret, Error> {
        let key = random_stream_key();
        self.changing(async {
            let mut change = self.begin_change().await?;
            let update = query(
                "UPDATE channels SET stream_key = $1, key_hash = $2, updated_us = $3 WHERE id = $4",
            )
            .bind(key.expose())
            .bind(hash(key.expose()).as_slice())
            .bind(self.now_us())
            .bind(channel_id);
            change.transaction.execute(update).await?;
            let select = query(BY_ID).bind(channel_id);
            let row = change.transaction.fetch_optional(select).await?;
            let row = row.ok_or_else(|| Error::missing("channel", channel_id))?;
            let channel = Arc::new(Channel::try_from(&row)?);
            self.commit_change(change, |known| known.put(channel)).await
        })
        .await?;
        Ok(key)
    }
}

/// A new stream key.
pub fn random_stream_key() -> Secret {
    Secret::new(random_key(KEY_CHARACTERS))
}

pub(super) fn channel_id(region: &str, application_id: &str, alias: &str) -> String {
    format!("{region}#{application_id}#{alias}")
}

/// Says why a channel cannot be made. What it finds holds until the commit: there is one writer.
async fn refuse(
    transaction: &mut Transaction,
    new: &Creation<'_>,
    alias: &str,
    limit: u64,
) -> Result<(), Error> {
    let application_id = new.application_id;
    let select = query(
        "SELECT (SELECT COUNT(*) FROM channels) AS channels,
             EXISTS (SELECT 1 FROM applications WHERE id = $1) AS owner,
             EXISTS (SELECT 1 FROM channels WHERE application_id = $1 AND alias = $2) AS alias,
             EXISTS (SELECT 1 FROM channels WHERE application_id = $1 AND name = $3
                 AND stream_id IS NULL) AS name",
    )
    .bind(application_id)
    .bind(alias)
    .bind(new.name);
    let row = transaction.fetch_one(select).await?;
    if !row.get("owner")? {
        return Err(Error::missing("application", application_id));
    }
    if row.get("alias")? {
        return Err(Error::Exists(format!("channel alias {alias}")));
    }
    if row.get("name")? {
        return Err(Error::Exists(format!("channel name {}", new.name)));
    }
    let channels: i64 = row.get("channels")?;
    if u64::try_from(channels).unwrap_or(0) >= limit {
        let what = "channel";
        return Err(Error::Full { what, limit });
    }
    Ok(())
}

/// The options as JSON, credentials hidden: they are in a column of their own.
fn stored_ingest(options: &IngestOptions) -> String {
    serde_json::to_string(options).expect("lists, texts and numbers are JSON")
}

impl TryFrom<&Row> for Channel {
    type Error = Error;

    fn try_from(row: &Row) -> Result<Channel, Error> {
        let id: String = row.get("id")?;
        let damaged = |what| {
            let id = id.clone();
            Error::Damaged { what, id }
        };
        let list = |what: &'static str, text: &str| {
            serde_json::from_str::<Vec<String>>(text).map_err(|_| damaged(what))
        };
        let stream_id: Option<&str> = row.get("stream_id")?;
        let stream_id = stream_id.map(|text| Uuid::parse_str(text).map_err(|_| damaged("stream")));
        let capabilities: Option<&str> = row.get("capabilities")?;
        let capabilities = capabilities.map(|text| list("capabilities", text));
        let ingest: Option<&str> = row.get("ingest")?;
        let ingest = ingest.map(serde_json::from_str::<IngestOptions>);
        let mut ingest = ingest.transpose().map_err(|_| damaged("ingest"))?;
        if let Some(ingest) = &mut ingest {
            let source: Option<String> = row.get("source_uri")?;
            ingest.source_uri = source.map(SourceUri::new);
        }
        Ok(Channel {
            application_id: row.get("application_id")?,
            alias: row.get("alias")?,
            name: row.get("name")?,
            description: row.get("description")?,
            key: Secret::new(row.get::<String>("stream_key")?),
            capabilities: capabilities.transpose()?,
            tags: list("tags", row.get("tags")?)?,
            options: list("options", row.get("options")?)?,
            ingest,
            stream_id: stream_id.transpose()?,
            declared: row.get("declared")?,
            created: Wall(row.get("created_us")?),
            updated: Wall(row.get("updated_us")?),
            id,
        })
    }
}
