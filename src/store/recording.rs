//! What is known of recordings. Their files are somebody else's, and outlive their channels; so do these.

use std::time::Duration;

use super::database::{Query, Row, query};
use super::{Error, Store, exists, stored, timed};
use crate::base::clock::Wall;
use crate::base::id::Uuid;

/// A stream that is or was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Its id.
    pub id: Uuid,
    /// Owner of the channel.
    pub application_id: String,
    /// Channel of the stream; it may be gone.
    pub channel_id: String,
    /// What is kept.
    pub stream_id: Uuid,
    /// When it began.
    pub started: Wall,
    /// When it ended; `None` while it is written.
    pub ended: Option<Wall>,
    /// Length of what is kept so far.
    pub duration: Duration,
    /// Bytes of what is kept so far.
    pub bytes: u64,
    /// How it stands.
    pub outcome: Outcome,
    /// Where its files are below the storage.
    pub path: String,
}

/// How a recording stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is being written, or its writer was killed.
    Recording,
    /// All of it is there.
    Complete,
    /// It ended early; what is there can be played.
    Failed(
        /// Why, for people.
        String,
    ),
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, application_id, channel_id, stream_id, started_us, ended_us, duration_us, \
             bytes, state, reason, path FROM recordings ",
            $rest
        )
    };
}

impl Store {
    /// Records that a recording was begun. [`Error::Exists`] when there is one of this id.
    pub async fn recording_started(&self, recording: &Recording) -> Result<(), Error> {
        let (state, reason) = recording.outcome.stored();
        let insert = query(
            "INSERT INTO recordings (id, application_id, channel_id, stream_id, started_us, ended_us,
                 duration_us, bytes, state, reason, path)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(recording.id.to_string())
        .bind(recording.application_id.as_str())
        .bind(recording.channel_id.as_str())
        .bind(recording.stream_id.to_string())
        .bind(recording.started.0)
        .bind(recording.ended.map(|ended| ended.0))
        .bind(stored_micros(recording.duration))
        .bind(stored(recording.bytes))
        .bind(state)
        .bind(reason)
        .bind(recording.path.as_str());
        let inserted = timed(self.database.execute(insert)).await;
        inserted.map_err(|error| exists(error, || named(recording.id)))?;
        Ok(())
    }

    /// Records how a recording stands now: end, length, bytes and outcome. [`Error::Missing`] when it was
    /// deleted meanwhile.
    pub async fn recording_changed(&self, recording: &Recording) -> Result<(), Error> {
        let (state, reason) = recording.outcome.stored();
        let update = query(
            "UPDATE recordings SET ended_us = $1, duration_us = $2, bytes = $3, state = $4, reason = $5
             WHERE id = $6",
        )
        .bind(recording.ended.map(|ended| ended.0))
        .bind(stored_micros(recording.duration))
        .bind(stored(recording.bytes))
        .bind(state)
        .bind(reason)
        .bind(recording.id.to_string());
        match timed(self.database.execute(update)).await? {
            0 => Err(Error::missing("recording", recording.id)),
            _ => Ok(()),
        }
    }

    /// A recording by id.
    pub async fn recording(&self, id: Uuid) -> Result<Option<Recording>, Error> {
        let select = query(select!("WHERE id = $1")).bind(id.to_string());
        Ok(self.some_recordings(select).await?.pop())
    }

    /// Recordings of a channel, newest first, after one of them; `limit` at most.
    pub async fn recordings_of(
        &self,
        channel_id: &str,
        after: Option<&Recording>,
        limit: usize,
    ) -> Result<Vec<Recording>, Error> {
        let (started, id) = match after {
            Some(last) => (last.started.0, last.id.to_string()),
            None => (i64::MAX, String::new()),
        };
        let select = query(select!(
            "WHERE channel_id = $1 AND (started_us, id) < ($2, $3)
             ORDER BY started_us DESC, id DESC LIMIT $4"
        ))
        .bind(channel_id)
        .bind(started)
        .bind(id)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        self.some_recordings(select).await
    }

    /// Recordings that have ended, oldest first; `limit` at most. For retention.
    pub async fn oldest_recordings(&self, limit: usize) -> Result<Vec<Recording>, Error> {
        let select = query(select!(
            "WHERE ended_us IS NOT NULL ORDER BY started_us, id LIMIT $1"
        ));
        let select = select.bind(i64::try_from(limit).unwrap_or(i64::MAX));
        self.some_recordings(select).await
    }

    /// Recordings that are being written, or were when an earlier run was killed; oldest first.
    pub async fn open_recordings(&self) -> Result<Vec<Recording>, Error> {
        let select = query(select!("WHERE ended_us IS NULL ORDER BY started_us, id"));
        self.some_recordings(select).await
    }

    /// Forgets a recording, whose files are gone. [`Error::Missing`] when there is none.
    pub async fn delete_recording(&self, id: Uuid) -> Result<(), Error> {
        let delete = query("DELETE FROM recordings WHERE id = $1").bind(id.to_string());
        match timed(self.database.execute(delete)).await? {
            0 => Err(Error::missing("recording", id)),
            _ => Ok(()),
        }
    }

    /// Bytes of all recordings.
    pub async fn recorded_bytes(&self) -> Result<u64, Error> {
        // A sum of integers is no integer in PostgreSQL.
        let sum = query("SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes FROM recordings");
        let row = timed(self.database.fetch_optional(sum)).await?;
        let bytes: i64 = row.map_or(Ok(0), |row| row.get("bytes"))?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    async fn some_recordings(&self, select: Query) -> Result<Vec<Recording>, Error> {
        let rows = timed(self.database.fetch_all(select)).await?;
        rows.iter().map(Recording::try_from).collect()
    }
}

fn named(id: Uuid) -> String {
    format!("recording {id}")
}

fn stored_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Outcome {
    fn stored(&self) -> (&'static str, Option<String>) {
        match self {
            Outcome::Recording => ("recording", None),
            Outcome::Complete => ("complete", None),
            Outcome::Failed(reason) => ("failed", Some(reason.clone())),
        }
    }
}

impl TryFrom<&Row> for Recording {
    type Error = Error;

    fn try_from(row: &Row) -> Result<Recording, Error> {
        let text: &str = row.get("id")?;
        let damaged = |what| Error::Damaged {
            what,
            id: text.to_owned(),
        };
        let count = |column: &'static str| {
            let count: i64 = row.get(column)?;
            u64::try_from(count).map_err(|_| damaged(column))
        };
        let ended: Option<i64> = row.get("ended_us")?;
        let outcome = match row.get("state")? {
            "recording" => Outcome::Recording,
            "complete" => Outcome::Complete,
            "failed" => {
                let reason: Option<String> = row.get("reason")?;
                Outcome::Failed(reason.unwrap_or_default())
            }
            _ => return Err(damaged("state")),
        };
        Ok(Recording {
            id: Uuid::parse_str(text).map_err(|_| damaged("id"))?,
            application_id: row.get("application_id")?,
            channel_id: row.get("channel_id")?,
            stream_id: Uuid::parse_str(row.get("stream_id")?).map_err(|_| damaged("stream_id"))?,
            started: Wall(row.get("started_us")?),
            ended: ended.map(Wall),
            duration: Duration::from_micros(count("duration_us")?),
            bytes: count("bytes")?,
            outcome,
            path: row.get("path")?,
        })
    }
}
