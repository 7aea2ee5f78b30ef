//! Messages of channels: numbered per channel, the newest of them kept for 90 days. In: what the channel API checked. Out:
//! pages of messages. Not here: limits on lengths, which are the API's.
//!
//! A channel's messages are in its room, which is made with the first of them. A channel that is deleted
//! leaves its room: it cannot be reached any more, and [`Store::sweep_messages`] empties it.

use std::time::Duration;

use super::channel::Channel;
use super::database::{Query, Row, Transaction, query};
use super::{Error, Store, json, timed};
use crate::base::clock::Wall;
use crate::base::id::random_key;
use crate::base::shutdown::Tasks;

/// Messages live this long (contract, channels, section 13).
const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// Messages that a channel keeps: with the longest texts 200 MB, which a client reaches in two minutes.
pub(super) const MOST: i64 = 100_000;
/// How often expired ones are deleted. Those that are due are not shown even before.
const SWEEP: Duration = Duration::from_secs(60 * 60);
/// Messages deleted in one transaction: a few milliseconds in which no other change is made.
const DELETED_AT_ONCE: i64 = 500;
/// Rooms looked at in one sweep. The rest waits for the next.
const ROOMS_AT_ONCE: i64 = 1000;
/// Characters of a room's id: 71 bits.
const ROOM_CHARACTERS: usize = 12;
/// Digits of the number in a message's id.
const DIGITS: usize = 10;

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Session of the sender.
    pub session_id: String,
    /// Name of the sender.
    pub screen_name: String,
    /// Role of the sender.
    pub role: String,
    /// When the sender was last changed, Unix milliseconds as the sender gave them.
    pub from_updated_ms: i64,
    /// What `message` is.
    pub mime_type: String,
    /// The text; binary content is in base64.
    pub message: String,
    /// Words for filters.
    pub tags: Vec<String>,
}

/// A message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `{region}#room|{application}#{alias}.{room}|{number}`, opaque for others.
    pub id: String,
    /// When it was sent.
    pub sent: Wall,
    /// What was sent.
    pub content: NewMessage,
}

/// Which messages are wanted. Bounds are exclusive.
#[derive(Clone, Copy, Debug)]
pub struct MessageRange<'a> {
    /// Messages in the range, at most; the filter runs after it is chosen.
    pub limit: usize,
    /// Only those before this id. Without `after`, the newest of them.
    pub before: Option<&'a str>,
    /// Only those after this id: the oldest of them.
    pub after: Option<&'a str>,
    /// Only these types of the range; empty is all.
    pub mime_types: &'a [&'a str],
}

/// Messages, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessagePage {
    /// Those of the range that have one of the types.
    pub messages: Vec<Message>,
    /// Whether there are older ones outside of the range.
    pub has_more_before: bool,
    /// Whether there are newer ones outside of the range.
    pub has_more_after: bool,
}

/// Where a channel's messages are.
struct Room {
    id: String,
    /// Number of the newest message, deleted ones included.
    sequence: i64,
}

impl Store {
    /// Sends a message to a channel, whose oldest one goes when there are too many. [`Error::Missing`] when
    /// the channel is gone.
    pub async fn send_message(
        &self,
        channel: &Channel,
        content: NewMessage,
    ) -> Result<Message, Error> {
        timed(async {
            let sent = self.now_us();
            let mut transaction = self.database.begin_rows().await?;
            let next = query(
                "INSERT INTO rooms (id, channel_id, sequence) VALUES ($1, $2, 1)
                 ON CONFLICT (channel_id) DO UPDATE SET sequence = rooms.sequence + 1
                 RETURNING id, sequence",
            )
            .bind(random_key(ROOM_CHARACTERS))
            .bind(channel.id.as_str());
            let row = transaction.fetch_one(next).await;
            let room = Room::try_from(&row.map_err(|error| gone(error, channel))?)?;
            let insert = query(
                "INSERT INTO messages (room_id, sequence, sent_us, session_id, screen_name, role,
                     from_updated_ms, mime_type, message, tags)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            )
            .bind(room.id.as_str())
            .bind(room.sequence)
            .bind(sent)
            .bind(content.session_id.as_str())
            .bind(content.screen_name.as_str())
            .bind(content.role.as_str())
            .bind(content.from_updated_ms)
            .bind(content.mime_type.as_str())
            .bind(content.message.as_str())
            .bind(json(&content.tags));
            transaction.execute(insert).await?;
            // Numbers have no holes, so that one goes for each that comes.
            let delete = query("DELETE FROM messages WHERE room_id = $1 AND sequence = $2")
                .bind(room.id.as_str())
                .bind(room.sequence - MOST);
            transaction.execute(delete).await?;
            transaction.commit().await?;
            Ok(Message {
                id: message_id(channel, &room.id, room.sequence),
                sent: Wall(sent),
                content,
            })
        })
        .await
    }

    /// Messages of a channel. [`Error::UnknownMessage`] when a bound was never the id of one.
    pub async fn messages(
        &self,
        channel: &Channel,
        range: &MessageRange<'_>,
    ) -> Result<MessagePage, Error> {
        timed(async {
            // One moment, so that what is said of the rest is true of these.
            let mut snapshot = self.database.snapshot().await?;
            let Some(room) = room_of(&mut snapshot, channel).await? else {
                return match range.before.or(range.after) {
                    Some(_) => Err(Error::UnknownMessage),
                    None => Ok(MessagePage::of(Vec::new(), false, false)),
                };
            };
            let number = |bound: Option<&str>| bound.map(|id| room.number(channel, id)).transpose();
            let (after, before) = (number(range.after)?, number(range.before)?);
            let low = after.unwrap_or(0);
            let high = before.unwrap_or(i64::MAX);
            let select = query(match after {
                Some(_) => OLDEST_OF_RANGE,
                None => NEWEST_OF_RANGE,
            })
            .bind(room.id.as_str())
            .bind(self.expired_us())
            .bind(low)
            .bind(high)
            .bind(i64::try_from(range.limit).unwrap_or(i64::MAX));
            let rows = snapshot.fetch_all(select).await?;
            let mut first = high;
            let mut last = low;
            let mut messages = Vec::with_capacity(rows.len());
            for row in &rows {
                let number: i64 = row.get("sequence")?;
                first = first.min(number);
                last = last.max(number);
                let message = message(channel, &room.id, number, row)?;
                let types = range.mime_types;
                if types.is_empty() || types.contains(&message.content.mime_type.as_str()) {
                    messages.push(message);
                }
            }
            if after.is_none() {
                messages.reverse();
            }
            if rows.is_empty() {
                // Nothing lies between the bounds; beyond each is what the bound itself begins with.
                (first, last) = (low.saturating_add(1), high.saturating_sub(1));
            }
            let beyond = query(BEYOND)
                .bind(room.id.as_str())
                .bind(self.expired_us())
                .bind(first)
                .bind(last);
            let row = snapshot.fetch_one(beyond).await?;
            Ok(MessagePage::of(
                messages,
                row.get("before")?,
                row.get("after")?,
            ))
        })
        .await
    }

    /// Deletes a channel's messages and says how many there were. Numbers go on.
    pub async fn purge_messages(&self, channel: &Channel) -> Result<u64, Error> {
        let room = timed(async {
            let mut snapshot = self.database.snapshot().await?;
            room_of(&mut snapshot, channel).await
        });
        let Some(room) = room.await? else {
            return Ok(0);
        };
        // Those that are sent from now on stay, so that this has an end.
        let mut deleted = 0;
        loop {
            let delete = query(
                "DELETE FROM messages WHERE room_id = $1 AND sequence IN (
                     SELECT sequence FROM messages WHERE room_id = $1 AND sequence <= $2
                     ORDER BY sequence LIMIT $3)",
            )
            .bind(room.id.as_str())
            .bind(room.sequence)
            .bind(DELETED_AT_ONCE);
            match self.delete_some(delete).await? {
                0 => return Ok(deleted),
                rows => deleted += rows,
            }
        }
    }

    /// Deletes messages that have expired or lost their channel, a few at a time, and says how many.
    pub async fn sweep_messages(&self) -> Result<u64, Error> {
        let mut deleted = 0;
        loop {
            let expired = query(
                "DELETE FROM messages WHERE (room_id, sequence) IN (
                     SELECT room_id, sequence FROM messages WHERE sent_us <= $1
                     ORDER BY sent_us LIMIT $2)",
            )
            .bind(self.expired_us())
            .bind(DELETED_AT_ONCE);
            match self.delete_some(expired).await? {
                0 => break,
                rows => deleted += rows,
            }
        }
        let left = query("SELECT id, sequence FROM rooms WHERE channel_id IS NULL LIMIT $1");
        let left = timed(self.database.fetch_all(left.bind(ROOMS_AT_ONCE))).await?;
        for row in &left {
            let room = Room::try_from(row)?;
            deleted += self.empty(&room).await?;
        }
        Ok(deleted)
    }

    async fn empty(&self, room: &Room) -> Result<u64, Error> {
        let mut deleted = 0;
        loop {
            let delete = query(
                "DELETE FROM messages WHERE room_id = $1 AND sequence IN (
                     SELECT sequence FROM messages WHERE room_id = $1 ORDER BY sequence LIMIT $2)",
            );
            let delete = delete.bind(room.id.as_str()).bind(DELETED_AT_ONCE);
            match self.delete_some(delete).await? {
                0 => break,
                rows => deleted += rows,
            }
        }
        let delete = query("DELETE FROM rooms WHERE id = $1 AND channel_id IS NULL");
        timed(self.database.execute(delete.bind(room.id.as_str()))).await?;
        Ok(deleted)
    }

    /// By the one writer: two that delete the same rows would wait for each other in PostgreSQL.
    pub(super) async fn delete_some(&self, delete: Query) -> Result<u64, Error> {
        timed(async {
            let mut transaction = self.database.begin().await?;
            let rows = transaction.execute(delete).await?;
            transaction.commit().await?;
            Ok(rows)
        })
        .await
    }

    async fn sweep(&self) -> Result<u64, Error> {
        let messages = self.sweep_messages().await? + self.sweep_chats().await?;
        let others = self.sweep_deliveries().await? + self.sweep_bearers().await?;
        Ok(messages + others + self.sweep_shows().await?)
    }

    /// Sweeps messages, those of chats and to webhooks as well, and tokens of users from time to time until
    /// shutdown.
    pub async fn keep_swept(self, tasks: Tasks) {
        let mut tick = tokio::time::interval(SWEEP);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = tasks.stopped() => return,
                _ = tick.tick() => {}
            }
            tokio::select! {
                // Each of its steps is whole; the next run does the rest.
                () = tasks.stopped() => return,
                swept = self.sweep() => match swept {
                    Ok(0) => {}
                    Ok(rows) => tracing::info!(rows, "expired messages and tokens deleted"),
                    Err(err) => tracing::error!(%err, "what expired could not be deleted"),
                },
            }
        }
    }

    /// Messages of this time and before are over.
    fn expired_us(&self) -> i64 {
        let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
        self.now_us().saturating_sub(kept)
    }
}

/// Columns and bounds of a range; its end decides which are taken when there are more than the limit.
macro_rules! range {
    ($order:literal) => {
        concat!(
            "SELECT sequence, sent_us, session_id, screen_name, role, from_updated_ms, mime_type, \
             message, tags FROM messages WHERE room_id = $1 AND sent_us > $2 AND sequence > $3 \
             AND sequence < $4 ORDER BY sequence ",
            $order,
            " LIMIT $5"
        )
    };
}

const OLDEST_OF_RANGE: &str = range!("ASC");
const NEWEST_OF_RANGE: &str = range!("DESC");
const BEYOND: &str = "SELECT
     EXISTS (SELECT 1 FROM messages WHERE room_id = $1 AND sent_us > $2 AND sequence < $3) AS before,
     EXISTS (SELECT 1 FROM messages WHERE room_id = $1 AND sent_us > $2 AND sequence > $4) AS after";

impl MessagePage {
    fn of(messages: Vec<Message>, has_more_before: bool, has_more_after: bool) -> MessagePage {
        MessagePage {
            messages,
            has_more_before,
            has_more_after,
        }
    }
}

impl Room {
    /// The number in the id of a message that was sent here.
    fn number(&self, channel: &Channel, id: &str) -> Result<i64, Error> {
        let digits = id.strip_prefix(&message_prefix(channel, &self.id));
        let digits = digits.filter(|digits| {
            digits.len() >= DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        let number = digits.and_then(|digits| digits.parse().ok());
        let known = number.filter(|number| (1..=self.sequence).contains(number));
        known.ok_or(Error::UnknownMessage)
    }
}

impl TryFrom<&Row> for Room {
    type Error = Error;

    fn try_from(row: &Row) -> Result<Room, Error> {
        Ok(Room {
            id: row.get("id")?,
            sequence: row.get("sequence")?,
        })
    }
}

async fn room_of(snapshot: &mut Transaction, channel: &Channel) -> Result<Option<Room>, Error> {
    let select = query("SELECT id, sequence FROM rooms WHERE channel_id = $1");
    let row = snapshot
        .fetch_optional(select.bind(channel.id.as_str()))
        .await?;
    row.as_ref().map(Room::try_from).transpose()
}

fn message_prefix(channel: &Channel, room: &str) -> String {
    let region = channel.id.split('#').next().unwrap_or_default();
    let (application, alias) = (&channel.application_id, &channel.alias);
    format!("{region}#room|{application}#{alias}.{room}|")
}

fn message_id(channel: &Channel, room: &str, number: i64) -> String {
    format!("{}{number:0DIGITS$}", message_prefix(channel, room))
}

fn message(channel: &Channel, room: &str, number: i64, row: &Row) -> Result<Message, Error> {
    let id = message_id(channel, room, number);
    let tags: &str = row.get("tags")?;
    let tags = serde_json::from_str(tags).map_err(|_| Error::Damaged {
        what: "tags",
        id: id.clone(),
    })?;
    Ok(Message {
        id,
        sent: Wall(row.get("sent_us")?),
        content: NewMessage {
            session_id: row.get("session_id")?,
            screen_name: row.get("screen_name")?,
            role: row.get("role")?,
            from_updated_ms: row.get("from_updated_ms")?,
            mime_type: row.get("mime_type")?,
            message: row.get("message")?,
            tags,
        },
    })
}

/// What a broken reference to a channel means.
fn gone(error: Error, channel: &Channel) -> Error {
    match &error {
        Error::Database(sqlx::Error::Database(refusal)) if refusal.is_foreign_key_violation() => {
            Error::missing("channel", &channel.id)
        }
        _ => error,
    }
}
