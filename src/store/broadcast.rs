//! Broadcasts: what is on for a while, with a channel and a key of its own for as long. In: what the API
//! checked. Out: plain values. A session and a streaming session are the same thing (contract, broadcasts,
//! decision B-15).

use super::database::{Query, Row, Transaction, query};
use super::known::Known;
use super::{Error, Store, json, stored, timed};
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::base::secret::Secret;

/// Columns of a broadcast, in every query that reads one.
macro_rules! columns {
    () => {
        "id, number, application_id, channel_id, stream_id, stream_key, user_id, anonymous, title, \
         description, visibility, tags, metadata, max_participants, status, reported_viewers, \
         created_us, started_us, ended_us, updated_us"
    };
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", columns!(), " FROM broadcasts ", $rest)
    };
}

// Below the macros, which it uses.
mod life;
mod make;
mod shown;

pub use shown::Named;

/// A word that is stored, and shown by the API.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// As it is written.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// What a word means.
            pub fn of(word: &str) -> Option<$name> {
                match word { $($word => Some($name::$variant),)* _ => None }
            }
        }
    };
}
pub(super) use words;

words! {
    /// Who finds a broadcast without its id.
    Visibility {
        /// Everybody.
        Public = "public",
        /// Its tenant.
        Private = "private",
        /// Who was given the id.
        Unlisted = "unlisted",
    }
}

words! {
    /// How far a broadcast has come.
    Status {
        /// Its key is good; it is not shown.
        Created = "created",
        /// It is shown.
        Active = "active",
        /// It is over.
        Completed = "completed",
        /// It is over, and not as it was meant.
        Error = "error",
    }
}

impl Status {
    /// Whether its channel and its key are gone.
    pub fn is_over(self) -> bool {
        matches!(self, Status::Completed | Status::Error)
    }

    /// Whether a broadcast may go from here to there. What failed may still be called completed, but never
    /// lives again: its key is gone.
    fn may_become(self, next: Status) -> bool {
        match self {
            Status::Created => true,
            Status::Active => next != Status::Created,
            Status::Completed => next == Status::Completed,
            Status::Error => next.is_over(),
        }
    }
}

/// A broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// UUID.
    pub id: Uuid,
    /// Of the short id: r5.
    pub number: u64,
    /// Its tenant.
    pub application_id: String,
    /// Its channel, which is gone when it is over.
    pub channel_id: String,
    /// Its stream, and the name of its room.
    pub stream_id: Uuid,
    /// Stream key, 32 hexadecimal digits.
    pub key: Secret,
    /// The user whose token made it.
    pub user_id: Option<Uuid>,
    /// Whether it was made without credentials.
    pub anonymous: bool,
    /// For people.
    pub title: String,
    /// For people.
    pub description: Option<String>,
    /// Who finds it.
    pub visibility: Visibility,
    /// Words of its creator.
    pub tags: Vec<String>,
    /// A JSON object of its creator.
    pub metadata: String,
    /// People in its room, if it was said.
    pub max_participants: Option<u32>,
    /// How far it has come.
    pub status: Status,
    /// What the app says of its room.
    pub reported_viewers: u32,
    /// When it was made.
    pub created: Wall,
    /// When it became active.
    pub started: Option<Wall>,
    /// When it ended.
    pub ended: Option<Wall>,
    /// When it was last changed.
    pub updated: Wall,
}

/// What a broadcast is made of.
#[derive(Clone, Debug)]
pub struct NewBroadcast<'a> {
    /// First part of its channel's id.
    pub region: &'a str,
    /// Its tenant, which exists.
    pub application_id: &'a str,
    /// Its stream, where that is known already; `None`: a new one.
    pub stream_id: Option<Uuid>,
    /// The user whose token makes it.
    pub user_id: Option<Uuid>,
    /// Where it is made without credentials; `None`: there are some.
    pub anonymous: Option<Anonymous<'a>>,
    /// For people.
    pub title: &'a str,
    /// For people.
    pub description: Option<&'a str>,
    /// Who finds it.
    pub visibility: Visibility,
    /// Words of its creator.
    pub tags: &'a [String],
    /// A JSON object of its creator.
    pub metadata: &'a str,
    /// People in its room.
    pub max_participants: Option<u32>,
}

/// What holds for broadcasts without a known creator.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous<'a> {
    /// Whence it is made.
    pub address: Option<&'a str>,
    /// What its streams can do, whatever the encoder asks for.
    pub capabilities: &'a [String],
    /// How many of them there may be that are not over.
    pub limit: u64,
}

/// What is changed of a broadcast; `None`: it stays.
#[derive(Clone, Debug, Default)]
pub struct BroadcastUpdate {
    /// For people.
    pub title: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Who finds it.
    pub visibility: Option<Visibility>,
    /// Words.
    pub tags: Option<Vec<String>>,
    /// A JSON object.
    pub metadata: Option<String>,
    /// How far it has come.
    pub status: Option<Status>,
}

/// Which broadcasts have been silent for too long. Points of time: a sign before them is too old.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// Of active ones: the last heartbeat or media.
    pub active: Wall,
    /// Of anonymous ones: the last media.
    pub anonymous: Wall,
}

impl Broadcast {
    /// Its id for people: `r5`.
    pub fn short_id(&self) -> String {
        format!("r{}", self.number)
    }
}

impl TryFrom<&Row> for Broadcast {
    type Error = Error;

    fn try_from(row: &Row) -> Result<Broadcast, Error> {
        let text: String = row.get("id")?;
        let damaged = |what| Error::Damaged {
            what,
            id: text.clone(),
        };
        let uuid = |what, text: &str| Uuid::parse_str(text).map_err(|_| damaged(what));
        let user: Option<&str> = row.get("user_id")?;
        let number: i64 = row.get("number")?;
        let viewers: i64 = row.get("reported_viewers")?;
        let participants: Option<i64> = row.get("max_participants")?;
        let participants = participants.map(u32::try_from).transpose();
        let tags: &str = row.get("tags")?;
        let time =
            |name| -> Result<Option<Wall>, Error> { Ok(row.get::<Option<i64>>(name)?.map(Wall)) };
        Ok(Broadcast {
            id: uuid("id", &text)?,
            number: u64::try_from(number).map_err(|_| damaged("number"))?,
            application_id: row.get("application_id")?,
            channel_id: row.get("channel_id")?,
            stream_id: uuid("stream", row.get("stream_id")?)?,
            key: Secret::new(row.get::<String>("stream_key")?),
            user_id: user.map(|text| uuid("user", text)).transpose()?,
            anonymous: row.get("anonymous")?,
            title: row.get("title")?,
            description: row.get("description")?,
            visibility: Visibility::of(row.get("visibility")?)
                .ok_or_else(|| damaged("visibility"))?,
            tags: serde_json::from_str(tags).map_err(|_| damaged("tags"))?,
            metadata: row.get("metadata")?,
            max_participants: participants.map_err(|_| damaged("participants"))?,
            status: Status::of(row.get("status")?).ok_or_else(|| damaged("status"))?,
            reported_viewers: u32::try_from(viewers).map_err(|_| damaged("viewers"))?,
            created: Wall(row.get("created_us")?),
            started: time("started_us")?,
            ended: time("ended_us")?,
            updated: Wall(row.get("updated_us")?),
        })
    }
}

impl Store {
    /// The broadcast that an id means: its own, that of its stream, its short id such as `r5`, or the alias
    /// or id of its channel.
    pub async fn find_broadcast(&self, id: &str) -> Result<Option<Broadcast>, Error> {
        let select = if let Some(number) = number_of(id) {
            query(select!("WHERE number = $1")).bind(number)
        } else if let Ok(uuid) = Uuid::parse_str(id) {
            query(select!("WHERE id = $1 OR stream_id = $1")).bind(uuid.to_string())
        } else {
            let Some((_, alias)) = id.rsplit_once('#') else {
                return Ok(None);
            };
            query(select!("WHERE id = $1 AND channel_id = $2"))
                .bind(alias)
                .bind(id)
        };
        timed(async {
            let row = self.database.fetch_optional(select).await?;
            row.as_ref().map(Broadcast::try_from).transpose()
        })
        .await
    }

    /// Broadcasts of a tenant, newest first.
    pub async fn broadcasts_of(
        &self,
        application_id: &str,
        limit: usize,
        offset: u64,
    ) -> Result<Vec<Broadcast>, Error> {
        let select = query(select!(
            "WHERE application_id = $1 ORDER BY number DESC LIMIT $2 OFFSET $3"
        ));
        let select = select.bind(application_id);
        self.page(select, limit, offset).await
    }

    async fn page(
        &self,
        select: Query,
        limit: usize,
        offset: u64,
    ) -> Result<Vec<Broadcast>, Error> {
        let select = select.bind(stored(limit as u64)).bind(stored(offset));
        timed(async {
            let rows = self.database.fetch_all(select).await?;
            rows.iter().map(Broadcast::try_from).collect()
        })
        .await
    }

    /// Changes a broadcast. When it is over then, its channel goes with its key, and it stays.
    /// [`Error::Missing`] when there is none, [`Error::State`] when it cannot become what is asked for.
    pub async fn update_broadcast(
        &self,
        id: Uuid,
        update: &BroadcastUpdate,
    ) -> Result<Broadcast, Error> {
        self.changing(async {
            let mut change = self.begin_change().await?;
            let changed = self.change_broadcast(&mut change.transaction, id, update);
            let (broadcast, ends) = changed.await?;
            if !ends {
                change.transaction.commit().await?;
                self.deliveries_added();
                return Ok(broadcast);
            }
            let apply = |known: &mut Known| known.remove(&broadcast.channel_id);
            self.commit_change(change, apply).await?;
            Ok(broadcast)
        })
        .await
    }

    /// The same as a part of a larger change. Whether it is over with it: then its channel is to be forgotten
    /// when that is committed.
    pub(super) async fn change_broadcast(
        &self,
        transaction: &mut Transaction,
        id: Uuid,
        update: &BroadcastUpdate,
    ) -> Result<(Broadcast, bool), Error> {
        let now = self.now_us();
        let old = query(select!("WHERE id = $1")).bind(id.to_string());
        let old = transaction.fetch_optional(old).await?;
        let old = old.ok_or_else(|| Error::missing("broadcast", id))?;
        let old = Broadcast::try_from(&old)?;
        let next = update.status.unwrap_or(old.status);
        if !old.status.may_become(next) {
            return Err(Error::State {
                what: "broadcast",
                is: old.status.word(),
                wanted: next.word(),
            });
        }
        let tags = update.tags.as_deref().unwrap_or(&old.tags);
        let starts = next == Status::Active && old.started.is_none();
        let ends = next.is_over() && !old.status.is_over();
        let query = query(concat!(
            "UPDATE broadcasts SET title = $2, description = $3, tags = $4, metadata = $5,
                 status = $6, started_us = COALESCE(started_us, $7),
                 ended_us = COALESCE(ended_us, $8), updated_us = $9,
                 heartbeat_us = CASE WHEN $10 THEN $9 ELSE heartbeat_us END, visibility = $11
             WHERE id = $1 RETURNING ",
            columns!()
        ))
        .bind(id.to_string())
        .bind(update.title.as_ref().unwrap_or(&old.title).as_str())
        .bind(update.description.clone().or(old.description))
        .bind(json(tags))
        .bind(update.metadata.as_ref().unwrap_or(&old.metadata).as_str())
        .bind(next.word())
        .bind(starts.then_some(now))
        .bind(ends.then_some(now))
        .bind(now)
        .bind(starts)
        .bind(update.visibility.unwrap_or(old.visibility).word());
        let row = transaction.fetch_one(query).await?;
        let broadcast = Broadcast::try_from(&row)?;
        if next != old.status {
            self.queue_broadcast(transaction, &broadcast).await?;
        }
        if ends {
            delete_channel(transaction, &broadcast.channel_id).await?;
        }
        Ok((broadcast, ends))
    }
}

/// The number of a short id.
fn number_of(id: &str) -> Option<i64> {
    let digits = id.strip_prefix(['r', 'R'])?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

async fn delete_channel(transaction: &mut Transaction, id: &str) -> Result<(), Error> {
    let delete = query("DELETE FROM channels WHERE id = $1").bind(id);
    transaction.execute(delete).await?;
    Ok(())
}
