//! Signs of life of broadcasts, and the end of those that give none (contract, broadcasts, section 4.3).

use super::{Broadcast, Silence, delete_channel};
use crate::base::id::Uuid;
use crate::store::database::{Query, query};
use crate::store::known::Known;
use crate::store::{Error, Store, timed};

/// Broadcasts that end together: each is a few statements in one transaction, which has a deadline.
const ENDS_AT_ONCE: i64 = 50;

impl Store {
    /// Records that somebody says a broadcast goes on. [`Error::Missing`] when there is none.
    pub async fn broadcast_heartbeat(&self, id: Uuid) -> Result<(), Error> {
        let update = query("UPDATE broadcasts SET heartbeat_us = $1 WHERE id = $2");
        self.touch(update.bind(self.now_us()), id).await
    }

    /// Records what the app says of its room. [`Error::Missing`] when there is none.
    pub async fn report_viewers(&self, id: Uuid, viewers: u32) -> Result<(), Error> {
        let update = query(
            "UPDATE broadcasts SET reported_viewers = $1,
                 peak_viewers = CASE WHEN peak_viewers < $1 THEN $1 ELSE peak_viewers END
             WHERE id = $2",
        );
        self.touch(update.bind(i64::from(viewers)), id).await
    }

    async fn touch(&self, update: Query, id: Uuid) -> Result<(), Error> {
        timed(async {
            match self.database.execute(update.bind(id.to_string())).await? {
                0 => Err(Error::missing("broadcast", id)),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Records that media of these channels come in.
    pub async fn broadcasts_fed(&self, channel_ids: &[String]) -> Result<(), Error> {
        let now = self.now_us();
        timed(async {
            let mut transaction = self.database.begin_rows().await?;
            for id in channel_ids {
                let update = query(
                    "UPDATE broadcasts SET heartbeat_us = $1, media_us = $1 WHERE channel_id = $2",
                );
                transaction
                    .execute(update.bind(now).bind(id.as_str()))
                    .await?;
            }
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Ends broadcasts of a region that have been silent for too long, some of them at a time, and gives
    /// those that it ended. What an active event shows is never silent: it ends with the event.
    pub async fn end_silent_broadcasts(
        &self,
        region: &str,
        silence: Silence,
    ) -> Result<Vec<Broadcast>, Error> {
        let select = || {
            query(select!(
                "WHERE substr(channel_id, 1, length($1)) = $1 AND (
                     (status = 'active' AND heartbeat_us <= $2 AND NOT EXISTS (
                         SELECT 1 FROM events
                         WHERE events.broadcast_id = broadcasts.id AND events.status = 'active')) OR
                     (status IN ('created', 'active') AND anonymous AND media_us <= $3))
                 ORDER BY number LIMIT $4"
            ))
            .bind(format!("{region}#"))
            .bind(silence.active.0)
            .bind(silence.anonymous.0)
            .bind(ENDS_AT_ONCE)
        };
        // Nearly always there is none, and no writer waits for this look.
        if timed(self.database.fetch_optional(select()))
            .await?
            .is_none()
        {
            return Ok(Vec::new());
        }
        let now = self.now_us();
        self.changing(async {
            let mut change = self.begin_change().await?;
            let rows = change.transaction.fetch_all(select()).await?;
            let mut ended = Vec::with_capacity(rows.len());
            for row in &rows {
                let id: String = row.get("id")?;
                let update = query(concat!(
                    "UPDATE broadcasts SET status = 'error', ended_us = $1, updated_us = $1
                     WHERE id = $2 RETURNING ",
                    columns!()
                ));
                let update = update.bind(now).bind(id.as_str());
                let row = change.transaction.fetch_one(update).await?;
                let broadcast = Broadcast::try_from(&row)?;
                self.queue_broadcast(&mut change.transaction, &broadcast)
                    .await?;
                delete_channel(&mut change.transaction, &broadcast.channel_id).await?;
                ended.push(broadcast);
            }
            let apply = |known: &mut Known| {
                ended
                    .iter()
                    .for_each(|broadcast| known.remove(&broadcast.channel_id));
            };
            self.commit_change(change, apply).await?;
            Ok(ended)
        })
        .await
    }
}
