//! Attempts to tell webhooks what is due for them. In: what came of attempts. Out: what is due, to one gateway at
//! a time. Not here: how it is sent, and when it is tried again.
//!
//! A webhook is leased, not a delivery: so one is sent after the other, oldest first, whichever gateways share
//! the database. A lease that is not given back, as that of a process that was killed, ends by itself.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::database::query;
use super::delivery::{delivery_columns, micros};
use super::webhook::{columns, drop_pending};
use super::{Delivery, Error, Store, Webhook, stored, timed};
use crate::base::clock::Wall;
use crate::base::id::{Uuid, random_key};

/// A webhook is one gateway's for so long, unless it is given back: three times an attempt's deadline.
const LEASE: Duration = Duration::from_secs(30);
/// Characters of a lease: enough not to be guessed twice in a lease's time.
const LEASE_CHARACTERS: usize = 12;

/// A delivery that this gateway is to send now. Nobody else sends to the webhook meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// To whom.
    pub webhook: Webhook,
    /// What.
    pub delivery: Delivery,
    lease: String,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// Code of the answer.
    pub code: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// What follows.
    pub next: Next,
}

/// What follows on an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It arrived.
    Delivered,
    /// It is tried again.
    Again(Wall),
    /// It is not tried again.
    GivenUp,
    /// Nothing is tried again: the webhook is switched off, and why.
    Off(String),
}

impl Store {
    /// Webhooks that something is due for and nobody sends to now, those first that wait longest; either
    /// those whose last attempt failed, or the others.
    pub async fn due_webhooks(&self, failing: bool, limit: usize) -> Result<Vec<Uuid>, Error> {
        let select = query(
            "SELECT webhooks.id AS id FROM webhooks
             JOIN webhook_deliveries ON webhook_deliveries.webhook_id = webhooks.id
             WHERE next_us <= $1 AND active AND lease_until_us <= $1 AND (failures > 0) = $2
             GROUP BY webhooks.id ORDER BY MIN(next_us), webhooks.id LIMIT $3",
        );
        let select = select.bind(self.now_us()).bind(failing);
        let select = select.bind(stored(limit as u64));
        timed(async {
            let rows = self.database.fetch_all(select).await?;
            let ids = rows.iter().map(|row| {
                let id: String = row.get("id")?;
                Uuid::parse_str(&id).map_err(|_| Error::Damaged { what: "id", id })
            });
            ids.collect()
        })
        .await
    }

    /// Takes the oldest delivery that is due for a webhook; `None` when there is none any more, or somebody
    /// else sends to it.
    pub async fn lease_delivery(&self, webhook: Uuid) -> Result<Option<Attempt>, Error> {
        let now = self.now_us();
        let until = Wall(now).plus_micros(micros(LEASE));
        let lease = random_key(LEASE_CHARACTERS);
        timed(async {
            let mut transaction = self.database.begin_rows().await?;
            let update = query(concat!(
                "UPDATE webhooks SET lease_until_us = $1, lease_node = $2, lease = $3
                 WHERE id = $4 AND active AND lease_until_us <= $5 RETURNING ",
                columns!()
            ))
            .bind(until.0)
            .bind(&*self.node)
            .bind(lease.as_str())
            .bind(webhook.to_string())
            .bind(now);
            let Some(row) = transaction.fetch_optional(update).await? else {
                return Ok(None);
            };
            let webhook = Webhook::try_from(&row)?;
            let oldest = query(concat!(
                "SELECT ",
                delivery_columns!(),
                " FROM webhook_deliveries WHERE webhook_id = $1 AND next_us <= $2
                 ORDER BY sequence LIMIT 1"
            ));
            let oldest = oldest.bind(webhook.id.to_string()).bind(now);
            // Without one, the lease is not taken either.
            let Some(row) = transaction.fetch_optional(oldest).await? else {
                return Ok(None);
            };
            let delivery = Delivery::try_from(&row)?;
            transaction.commit().await?;
            Ok(Some(Attempt {
                webhook,
                delivery,
                lease,
            }))
        })
        .await
    }

    /// Records what came of an attempt, and gives the webhook back. Nothing is recorded when it took longer than
    /// the lease: somebody else has it now.
    pub async fn finish_attempt(
        &self,
        attempt: &Attempt,
        attempted: &Attempted,
    ) -> Result<(), Error> {
        let now = self.now_us();
        let id = attempt.webhook.id;
        let has_arrived = attempted.next == Next::Delivered;
        let counter = match has_arrived {
            true => &self.queue.arrived,
            false => &self.queue.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let off_reason = match &attempted.next {
            Next::Off(reason) => Some(reason.clone()),
            _ => None,
        };
        let next = match attempted.next {
            Next::Again(at) => Some(at.0),
            _ => None,
        };
        timed(async {
            let mut transaction = self.database.begin_rows().await?;
            let update = query(
                "UPDATE webhooks SET lease_until_us = 0, lease = NULL,
                     active = active AND NOT $3, off_reason = COALESCE($4, off_reason),
                     failing_since_us = CASE WHEN $5 THEN NULL
                         ELSE COALESCE(failing_since_us, $6) END,
                     failures = CASE WHEN $5 THEN 0 ELSE failures + 1 END
                 WHERE id = $1 AND lease = $2",
            )
            .bind(id.to_string())
            .bind(attempt.lease.as_str())
            .bind(off_reason.is_some())
            .bind(off_reason.clone())
            .bind(has_arrived)
            .bind(now);
            if transaction.execute(update).await? == 0 {
                return Ok(());
            }
            let update = query(
                "UPDATE webhook_deliveries SET attempts = attempts + 1, attempted_us = $3, code = $4,
                     error = $5, delivered_us = CASE WHEN $6 THEN $3 ELSE delivered_us END,
                     next_us = CASE WHEN next_us IS NULL THEN NULL ELSE $7 END
                 WHERE webhook_id = $1 AND sequence = $2",
            )
            .bind(id.to_string())
            .bind(attempt.delivery.sequence)
            .bind(now)
            .bind(attempted.code.map(i64::from))
            .bind(attempted.error.clone())
            .bind(has_arrived)
            .bind(next);
            transaction.execute(update).await?;
            if off_reason.is_some() {
                drop_pending(&mut transaction, id).await?;
            }
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Gives a webhook back whose attempt was not made to its end: it is made again.
    pub async fn release_attempt(&self, attempt: &Attempt) -> Result<(), Error> {
        let update = query(
            "UPDATE webhooks SET lease_until_us = 0, lease = NULL WHERE id = $1 AND lease = $2",
        );
        let update = update.bind(attempt.webhook.id.to_string());
        let update = update.bind(attempt.lease.as_str());
        timed(async {
            self.database.execute(update).await?;
            Ok(())
        })
        .await
    }

    /// Ends leases that an earlier run of this gateway did not give back.
    pub async fn release_own_leases(&self) -> Result<(), Error> {
        let update = query(
            "UPDATE webhooks SET lease_until_us = 0, lease = NULL
             WHERE lease_node = $1 AND lease_until_us > 0",
        );
        let update = update.bind(&*self.node);
        timed(async {
            self.database.execute(update).await?;
            Ok(())
        })
        .await
    }
}
