//! Streams: which play ids were handed out, and which of them still live.

use sqlx::Row;

use super::{Error, Store, timed};
use crate::base::clock::Wall;
use crate::base::id::Uuid;

/// A stream that has not ended, possibly of an earlier run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenStream {
    /// Stream id.
    pub id: Uuid,
    /// Its channel.
    pub channel_id: String,
    /// Wall-clock point of media time zero.
    pub epoch: Wall,
    /// When it was opened.
    pub opened: Wall,
}

impl Store {
    /// Records a new stream. Repeating it changes nothing.
    pub async fn stream_opened(
        &self,
        channel_id: &str,
        id: Uuid,
        epoch: Wall,
    ) -> Result<(), Error> {
        timed(async {
            sqlx::query(
                "INSERT INTO streams (id, channel_id, epoch_us, opened_us) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(id.to_string())
            .bind(channel_id)
            .bind(epoch.0)
            .bind(self.now_us())
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// Records that a stream is over. Repeating it keeps the first time.
    pub async fn stream_ended(&self, id: Uuid) -> Result<(), Error> {
        timed(async {
            sqlx::query("UPDATE streams SET ended_us = $1 WHERE id = $2 AND ended_us IS NULL")
                .bind(self.now_us())
                .bind(id.to_string())
                .execute(&self.pool)
                .await?;
            Ok(())
        })
        .await
    }

    /// Streams that have not ended, oldest first.
    pub async fn open_streams(&self) -> Result<Vec<OpenStream>, Error> {
        timed(async {
            let rows = sqlx::query(
                "SELECT id, channel_id, epoch_us, opened_us FROM streams
                 WHERE ended_us IS NULL ORDER BY opened_us, id",
            )
            .fetch_all(&self.pool)
            .await?;
            let stream = |row: &sqlx::sqlite::SqliteRow| {
                let id: String = row.try_get("id")?;
                Ok(OpenStream {
                    id: Uuid::parse_str(&id).map_err(|_| Error::Damaged { what: "id", id })?,
                    channel_id: row.try_get("channel_id")?,
                    epoch: Wall(row.try_get("epoch_us")?),
                    opened: Wall(row.try_get("opened_us")?),
                })
            };
            rows.iter().map(stream).collect()
        })
        .await
    }
}
