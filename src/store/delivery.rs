//! What webhooks are to be told: one row for each event and webhook, written with the change that it tells
//! of. In: events. Out: what is to be told, or was. Not here: who tells it, and when (`attempt.rs`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;

use super::database::{Row, Transaction, query};
use super::{Broadcast, Error, Event, Status, Store, stored, timed};
use crate::base::clock::Wall;
use crate::base::id::{Uuid, random_key};
use crate::base::rfc3339::Rfc3339;

/// Deliveries that a webhook has not got yet. What would be one more is dropped and counted: who is away for
/// days wants to know what is so now, and not each event of a week.
pub(super) const MAX_PENDING: i64 = 1000;
/// How long deliveries are shown that are over.
pub(super) const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Deliveries deleted in one transaction: a few milliseconds in which no other change is made.
const DELETED_AT_ONCE: i64 = 500;
/// Characters of an id: 131 bits.
const ID_CHARACTERS: usize = 22;

/// Columns of a delivery, in every query that reads one.
macro_rules! delivery_columns {
    () => {
        "webhook_id, sequence, id, event, data, attempts, next_us, code, error, created_us, \
         attempted_us, delivered_us"
    };
}
pub(super) use delivery_columns;

/// Something that happened to what an application has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whose it is.
    pub application_id: String,
    /// What: `publisher.connected`.
    pub name: &'static str,
    /// Of what: a JSON object.
    pub data: String,
}

/// An event on its way to a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// `msg_…`, the same in all attempts.
    pub id: String,
    /// Its number among those of its webhook.
    pub sequence: i64,
    /// What happened.
    pub event: String,
    /// Of what: a JSON object.
    pub data: String,
    /// Attempts that were made.
    pub attempts: u32,
    /// When it is tried next; `None`: no more.
    pub next: Option<Wall>,
    /// Code of the last answer.
    pub code: Option<u16>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// When it happened.
    pub created: Wall,
    /// When it was last tried.
    pub attempted: Option<Wall>,
    /// When it arrived.
    pub delivered: Option<Wall>,
}

/// What a store tells of deliveries beside its rows.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Something may be due.
    due: Notify,
    /// Events that a webhook had no room for.
    dropped: AtomicU64,
    /// Attempts that succeeded.
    pub(super) arrived: AtomicU64,
    /// Attempts that failed.
    pub(super) failed: AtomicU64,
}

/// What came of events since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events that were dropped because too much was pending.
    pub dropped: u64,
    /// Attempts that succeeded.
    pub arrived: u64,
    /// Attempts that failed.
    pub failed: u64,
}

impl TryFrom<&Row> for Delivery {
    type Error = Error;

    fn try_from(row: &Row) -> Result<Delivery, Error> {
        let time =
            |name| -> Result<Option<Wall>, Error> { Ok(row.get::<Option<i64>>(name)?.map(Wall)) };
        let code: Option<i64> = row.get("code")?;
        Ok(Delivery {
            id: row.get("id")?,
            sequence: row.get("sequence")?,
            event: row.get("event")?,
            data: row.get("data")?,
            attempts: u32::try_from(row.get::<i64>("attempts")?).unwrap_or(u32::MAX),
            next: time("next_us")?,
            code: code.and_then(|code| u16::try_from(code).ok()),
            error: row.get("error")?,
            created: Wall(row.get("created_us")?),
            attempted: time("attempted_us")?,
            delivered: time("delivered_us")?,
        })
    }
}

impl Store {
    /// Has webhooks told of an event.
    pub async fn tell_webhooks(&self, event: &Notice) -> Result<(), Error> {
        timed(async {
            let mut transaction = self.database.begin_rows().await?;
            self.queue_event(&mut transaction, event).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await?;
        self.deliveries_added();
        Ok(())
    }

    /// Has a webhook told that it is there, whichever events it wants. [`Error::Missing`] when the application
    /// has no such, [`Error::State`] when it is switched off, [`Error::Full`] when too much is pending.
    pub async fn ping_webhook(&self, application_id: &str, id: Uuid) -> Result<Delivery, Error> {
        let webhook = self.webhook(application_id, id).await?;
        if !webhook.active {
            return Err(Error::State {
                what: "webhook",
                is: "switched off",
                wanted: "tested",
            });
        }
        let data = json!({ "webhookId": id.to_string() }).to_string();
        let id = id.to_string();
        let delivery = timed(async {
            let mut transaction = self.database.begin_rows().await?;
            let delivery = self.queue(&mut transaction, &id, "ping", &data).await?;
            transaction.commit().await?;
            Ok(delivery)
        });
        let delivery = delivery.await?.ok_or(Error::Full {
            what: "pending delivery",
            limit: MAX_PENDING.unsigned_abs(),
        })?;
        self.deliveries_added();
        Ok(delivery)
    }

    /// Writes down that a broadcast has become what it is now.
    pub(super) async fn queue_broadcast(
        &self,
        transaction: &mut Transaction,
        broadcast: &Broadcast,
    ) -> Result<(), Error> {
        let name = match broadcast.status {
            Status::Created => "broadcast.created",
            Status::Active => "broadcast.active",
            Status::Completed => "broadcast.completed",
            Status::Error => "broadcast.error",
        };
        let data = json!({
            "broadcastId": broadcast.id.to_string(),
            "shortId": broadcast.short_id(),
            "streamId": broadcast.stream_id.to_string(),
            "channelId": broadcast.channel_id,
            "alias": broadcast.id.to_string(),
            "title": broadcast.title,
            "status": broadcast.status.word(),
        });
        let event = Notice {
            application_id: broadcast.application_id.clone(),
            name,
            data: data.to_string(),
        };
        self.queue_event(transaction, &event).await
    }

    /// Writes down what has become of a scheduled event.
    pub(super) async fn queue_scheduled(
        &self,
        transaction: &mut Transaction,
        name: &'static str,
        event: &Event,
    ) -> Result<(), Error> {
        let time = |time: Option<Wall>| time.map(|time| Rfc3339(time).seconds());
        let id = |id: Option<Uuid>| id.map(|id| id.to_string());
        let data = json!({
            "eventId": event.id.to_string(),
            "streamId": event.stream_id.to_string(),
            "broadcastId": id(event.broadcast_id),
            "channelId": event.channel_id,
            "userId": event.user_id.to_string(),
            "title": event.title,
            "status": event.status.word(),
            "error": event.error,
            "takeover": event.takeover,
            "scheduledStartTime": Rfc3339(event.starts).seconds(),
            "scheduledEndTime": time(event.ends),
            "playbackStartedAt": time(event.playback_started),
        });
        let notice = Notice {
            application_id: event.application_id.clone(),
            name,
            data: data.to_string(),
        };
        self.queue_event(transaction, &notice).await
    }

    async fn queue_event(
        &self,
        transaction: &mut Transaction,
        event: &Notice,
    ) -> Result<(), Error> {
        // In one order, as their rows are locked: nobody waits in a circle.
        let select = query(
            "SELECT id, events FROM webhooks WHERE application_id = $1 AND active ORDER BY id",
        );
        let select = select.bind(event.application_id.as_str());
        for row in transaction.fetch_all(select).await? {
            let (id, events): (String, String) = (row.get("id")?, row.get("events")?);
            let wanted: Vec<String> = serde_json::from_str(&events).unwrap_or_default();
            if !wanted.is_empty() && !wanted.iter().any(|name| name == event.name) {
                continue;
            }
            let added = self
                .queue(transaction, &id, event.name, &event.data)
                .await?;
            if added.is_none() {
                self.queue.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Adds a delivery; `None` when too many are pending.
    async fn queue(
        &self,
        transaction: &mut Transaction,
        webhook: &str,
        event: &str,
        data: &str,
    ) -> Result<Option<Delivery>, Error> {
        let pending = query(
            "SELECT COUNT(*) AS pending FROM webhook_deliveries
             WHERE webhook_id = $1 AND next_us IS NOT NULL",
        );
        let pending = transaction.fetch_one(pending.bind(webhook)).await?;
        if pending.get::<i64>("pending")? >= MAX_PENDING {
            return Ok(None);
        }
        let number = query(
            "UPDATE webhooks SET last_sequence = last_sequence + 1 WHERE id = $1
             RETURNING last_sequence",
        );
        let Some(row) = transaction.fetch_optional(number.bind(webhook)).await? else {
            return Ok(None);
        };
        let insert = query(concat!(
            "INSERT INTO webhook_deliveries (webhook_id, sequence, id, event, data, next_us, created_us)
             VALUES ($1, $2, $3, $4, $5, $6, $6) RETURNING ",
            delivery_columns!()
        ))
        .bind(webhook)
        .bind(row.get::<i64>("last_sequence")?)
        .bind(format!("msg_{}", random_key(ID_CHARACTERS)))
        .bind(event)
        .bind(data)
        .bind(self.now_us());
        let row = transaction.fetch_one(insert).await?;
        Ok(Some(Delivery::try_from(&row)?))
    }

    /// Wakes up who waits in [`Store::deliveries_due`], where a change that was committed may have added some.
    pub(super) fn deliveries_added(&self) {
        self.queue.due.notify_one();
    }

    /// Resolves when this process has added deliveries since it resolved last. What others add is found by
    /// looking.
    pub async fn deliveries_due(&self) {
        self.queue.due.notified().await;
    }

    /// What came of events in this process.
    pub fn webhook_tally(&self) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            dropped: read(&self.queue.dropped),
            arrived: read(&self.queue.arrived),
            failed: read(&self.queue.failed),
        }
    }

    /// Deliveries of a webhook, newest first.
    pub async fn deliveries_of(&self, webhook: Uuid, limit: usize) -> Result<Vec<Delivery>, Error> {
        let select = query(concat!(
            "SELECT ",
            delivery_columns!(),
            " FROM webhook_deliveries WHERE webhook_id = $1 ORDER BY sequence DESC LIMIT $2"
        ));
        let select = select.bind(webhook.to_string()).bind(stored(limit as u64));
        timed(async {
            let rows = self.database.fetch_all(select).await?;
            rows.iter().map(Delivery::try_from).collect()
        })
        .await
    }

    /// Deletes deliveries that have been over for long, a few at a time, and says how many.
    pub(super) async fn sweep_deliveries(&self) -> Result<u64, Error> {
        let oldest = Wall(self.now_us()).plus_micros(-micros(KEPT));
        let mut deleted = 0;
        loop {
            let expired = query(
                "DELETE FROM webhook_deliveries WHERE (webhook_id, sequence) IN (
                     SELECT webhook_id, sequence FROM webhook_deliveries
                     WHERE created_us <= $1 AND next_us IS NULL ORDER BY created_us LIMIT $2)",
            )
            .bind(oldest.0)
            .bind(DELETED_AT_ONCE);
            match self.delete_some(expired).await? {
                0 => return Ok(deleted),
                rows => deleted += rows,
            }
        }
    }
}

pub(super) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
