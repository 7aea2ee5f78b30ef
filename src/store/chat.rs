//! Chats of broadcasts: their messages, numbered in each, the newest kept for 90 days. In: what the API
//! checked. Out: the newest of them. Not here: who listens, limits on lengths,
//! reactions, which are told and forgotten.

use std::time::Duration;

use super::database::{Query, Row, query, query_of};
use super::{Error, Status, Store, stored, timed};
use crate::base::clock::Wall;
use crate::base::id::Uuid;

/// Messages of chats live as long as those of channels.
const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// Messages that a broadcast keeps: with the longest texts some 25 MB.
pub(super) const MOST: i64 = 10_000;
/// Messages deleted in one transaction: a few milliseconds in which no other change is made.
const DELETED_AT_ONCE: i64 = 500;

/// Broadcasts in one statement: parameters of one are bounded.
const ASKED_AT_ONCE: usize = 500;

/// What is said in a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewChat {
    /// Who says it, as far as that is known.
    pub user_id: Option<String>,
    /// What others see of who says it.
    pub user_name: String,
    /// The text.
    pub message: String,
}

/// What was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// UUID.
    pub id: Uuid,
    /// Its number in the broadcast's chat: later ones have higher ones.
    pub sequence: i64,
    /// When it was said.
    pub sent: Wall,
    /// What.
    pub content: NewChat,
}

/// What those in a chat are told of its broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// UUID.
    pub broadcast: Uuid,
    /// Its stream.
    pub stream: Uuid,
    /// How far it has come.
    pub status: Status,
    /// What the app says of its room.
    pub reported_viewers: u32,
}

impl Store {
    /// How these broadcasts stand. What is no broadcast is left out.
    pub async fn standings(&self, broadcasts: &[Uuid]) -> Result<Vec<Standing>, Error> {
        let mut found = Vec::with_capacity(broadcasts.len());
        for ids in broadcasts.chunks(ASKED_AT_ONCE) {
            let numbers: Vec<String> = (1..=ids.len()).map(|at| format!("${at}")).collect();
            let select = query_of(format!(
                "SELECT id, stream_id, status, reported_viewers FROM broadcasts WHERE id IN ({})",
                numbers.join(", ")
            ));
            let ids = ids.iter().map(Uuid::to_string);
            let select = ids.fold(select, Query::bind);
            let rows = timed(self.database.fetch_all(select)).await?;
            for row in &rows {
                found.push(Standing::try_from(row)?);
            }
        }
        Ok(found)
    }

    /// Keeps a message of a broadcast that is not over; its oldest one goes when there are too many.
    /// [`Error::Missing`] when the broadcast is over or gone.
    pub async fn send_chat(&self, broadcast: Uuid, content: NewChat) -> Result<Chat, Error> {
        let id = Uuid::new_v4();
        timed(async {
            let sent = self.now_us();
            let mut transaction = self.database.begin_rows().await?;
            // Its row is locked, so that senders side by side get a number each.
            let lock = query(
                "UPDATE broadcasts SET updated_us = updated_us
                 WHERE id = $1 AND status IN ('created', 'active')",
            );
            if transaction.execute(lock.bind(broadcast.to_string())).await? == 0 {
                return Err(Error::missing("broadcast on air", broadcast));
            }
            let insert = query(
                "INSERT INTO chats (broadcast_id, sequence, id, sent_us, user_id, user_name, message)
                 SELECT $1, COALESCE(MAX(sequence), 0) + 1, $2, $3, $4, $5, $6
                 FROM chats WHERE broadcast_id = $1 RETURNING sequence",
            )
            .bind(broadcast.to_string())
            .bind(id.to_string())
            .bind(sent)
            .bind(content.user_id.clone())
            .bind(content.user_name.as_str())
            .bind(content.message.as_str());
            let sequence: i64 = transaction.fetch_one(insert).await?.get("sequence")?;
            // Numbers have no holes, so that one goes for each that comes.
            let delete = query("DELETE FROM chats WHERE broadcast_id = $1 AND sequence = $2")
                .bind(broadcast.to_string())
                .bind(sequence - MOST);
            transaction.execute(delete).await?;
            transaction.commit().await?;
            Ok(Chat {
                id,
                sequence,
                sent: Wall(sent),
                content,
            })
        })
        .await
    }

    /// The newest messages of a broadcast, oldest first.
    pub async fn newest_chats(&self, broadcast: Uuid, most: usize) -> Result<Vec<Chat>, Error> {
        let select = query(
            "SELECT id, sequence, sent_us, user_id, user_name, message FROM chats
             WHERE broadcast_id = $1 AND sent_us > $2 ORDER BY sequence DESC LIMIT $3",
        )
        .bind(broadcast.to_string())
        .bind(self.expired_chats_us())
        .bind(stored(most as u64));
        timed(async {
            let rows = self.database.fetch_all(select).await?;
            rows.iter().rev().map(Chat::try_from).collect()
        })
        .await
    }

    /// Deletes messages of chats that have expired, a few at a time, and says how many.
    pub(super) async fn sweep_chats(&self) -> Result<u64, Error> {
        let mut deleted = 0;
        loop {
            let expired = query(
                "DELETE FROM chats WHERE (broadcast_id, sequence) IN (
                     SELECT broadcast_id, sequence FROM chats WHERE sent_us <= $1
                     ORDER BY sent_us LIMIT $2)",
            )
            .bind(self.expired_chats_us())
            .bind(DELETED_AT_ONCE);
            match self.delete_some(expired).await? {
                0 => return Ok(deleted),
                rows => deleted += rows,
            }
        }
    }

    /// Messages of this time and before are over.
    fn expired_chats_us(&self) -> i64 {
        let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
        self.now_us().saturating_sub(kept)
    }
}

impl TryFrom<&Row> for Standing {
    type Error = Error;

    fn try_from(row: &Row) -> Result<Standing, Error> {
        let id: String = row.get("id")?;
        let damaged = |what| Error::Damaged {
            what,
            id: id.clone(),
        };
        let uuid = |what, text: &str| Uuid::parse_str(text).map_err(|_| damaged(what));
        let viewers: i64 = row.get("reported_viewers")?;
        Ok(Standing {
            broadcast: uuid("id", &id)?,
            stream: uuid("stream", row.get("stream_id")?)?,
            status: Status::of(row.get("status")?).ok_or_else(|| damaged("status"))?,
            reported_viewers: u32::try_from(viewers).map_err(|_| damaged("viewers"))?,
        })
    }
}

impl TryFrom<&Row> for Chat {
    type Error = Error;

    fn try_from(row: &Row) -> Result<Chat, Error> {
        let id: String = row.get("id")?;
        let uuid = Uuid::parse_str(&id);
        Ok(Chat {
            id: uuid.map_err(|_| Error::Damaged { what: "id", id })?,
            sequence: row.get("sequence")?,
            sent: Wall(row.get("sent_us")?),
            content: NewChat {
                user_id: row.get("user_id")?,
                user_name: row.get("user_name")?,
                message: row.get("message")?,
            },
        })
    }
}
