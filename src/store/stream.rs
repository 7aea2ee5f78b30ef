//! Streams: which play ids were handed out, which of them still live, and what the next run of the
//! server needs to take those up again.
//!
//! A stream belongs to the gateway that opened it, for as long as that says now and then that it is there:
//! of several gateways on one database, none touches another one's.

use std::fmt::Write as _;
use std::time::Duration;

use super::database::{Query, Row, query, query_of};
use super::{Error, Store, json, stored, timed};
use crate::base::clock::Wall;
use crate::base::id::Uuid;

/// Signs of life in one statement: six parameters each, of which SQLite compares every name with all before.
const SIGNS_PER_STATEMENT: usize = 256;
/// Ends in one statement, for the same reason.
const ENDS_PER_STATEMENT: usize = 1024;
/// How long a gateway that is not heard of keeps its streams: four signs of life, and hosts' clocks may
/// differ a little. Its own next run takes them up at once.
const LEASE: Duration = Duration::from_secs(20);

/// A stream that has not ended, possibly of an earlier run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenStream {
    /// Stream id.
    pub id: Uuid,
    /// Its channel.
    pub channel_id: String,
    /// Wall-clock point of media time zero.
    pub epoch: Wall,
    /// What the stream can do.
    pub capabilities: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Segment target, 90 kHz.
    pub segment_target_90k: i64,
    /// The longest segment that its playlists allow, 90 kHz.
    pub longest_segment_90k: i64,
    /// The last one.
    pub sign: Sign,
}

/// A stream's sign of life, and what its players had been told by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign {
    /// Which stream's.
    pub id: Uuid,
    /// When somebody last published.
    pub alive: Wall,
    /// Media sequence number of the next segment.
    pub next_sequence: u64,
    /// Discontinuities.
    pub discontinuities: u64,
    /// Where media end, 90 kHz.
    pub end_90k: i64,
    /// Whether the run ended with it, so that nothing was told since.
    pub is_final: bool,
}

impl Store {
    /// Records a new stream, or that one begins anew, at another epoch: the one stream of a broadcast, after
    /// a kill. Repeating it changes nothing.
    pub async fn stream_opened(&self, stream: &OpenStream) -> Result<(), Error> {
        timed(async {
            let insert = query(
                "INSERT INTO streams (id, channel_id, epoch_us, opened_us, capabilities, tags,
                     segment_target_90k, longest_segment_90k, alive_us, next_sequence,
                     discontinuities, end_90k, final, node, leased_us)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $4)
                 ON CONFLICT (id) DO UPDATE SET epoch_us = excluded.epoch_us,
                     opened_us = excluded.opened_us, ended_us = NULL,
                     capabilities = excluded.capabilities, tags = excluded.tags,
                     segment_target_90k = excluded.segment_target_90k,
                     longest_segment_90k = excluded.longest_segment_90k,
                     alive_us = excluded.alive_us, next_sequence = excluded.next_sequence,
                     discontinuities = excluded.discontinuities, end_90k = excluded.end_90k,
                     final = excluded.final, node = excluded.node, leased_us = excluded.leased_us
                 WHERE streams.epoch_us <> excluded.epoch_us",
            )
            .bind(stream.id.to_string())
            .bind(stream.channel_id.as_str())
            .bind(stream.epoch.0)
            .bind(self.now_us())
            .bind(json(&stream.capabilities))
            .bind(json(&stream.tags))
            .bind(stream.segment_target_90k)
            .bind(stream.longest_segment_90k)
            .bind(stream.sign.alive.0)
            .bind(stored(stream.sign.next_sequence))
            .bind(stored(stream.sign.discontinuities))
            .bind(stream.sign.end_90k)
            .bind(stream.sign.is_final)
            .bind(&*self.node);
            self.database.execute(insert).await?;
            Ok(())
        })
        .await
    }

    /// Records signs of life, and that this gateway is there: its streams stay its own. A final sign gives
    /// its stream away. Signs of streams that are over, or another gateway's by now, change nothing.
    pub async fn streams_alive(&self, signs: &[Sign]) -> Result<(), Error> {
        timed(async {
            // Many rows at once: beside the one writer, PostgreSQL might find their locks crossed.
            let mut transaction = self.database.begin().await?;
            let renew =
                query("UPDATE streams SET leased_us = $1 WHERE node = $2 AND ended_us IS NULL");
            let renew = renew.bind(self.now_us()).bind(&*self.node);
            transaction.execute(renew).await?;
            for signs in signs.chunks(SIGNS_PER_STATEMENT) {
                transaction.execute(update_of(signs, &self.node)).await?;
            }
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Records that streams are over. Repeating it keeps the first time.
    pub async fn streams_ended(&self, ids: &[Uuid]) -> Result<(), Error> {
        timed(async {
            let mut transaction = self.database.begin().await?;
            for ids in ids.chunks(ENDS_PER_STATEMENT) {
                transaction.execute(end_of(ids, self.now_us())).await?;
            }
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Streams that have not ended and are this gateway's, oldest first. Those of the region's channels that
    /// no gateway holds any more are its own from now on. A row that cannot be read is logged and left out.
    pub async fn claim_streams(&self, region: &str) -> Result<Vec<OpenStream>, Error> {
        timed(async {
            let now = self.now_us();
            let lease = i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX);
            let claim = query(
                "UPDATE streams SET node = $1, leased_us = $2
                 WHERE ended_us IS NULL AND (node = $1 OR
                     (leased_us <= $3 AND substr(channel_id, 1, length($4)) = $4))
                 RETURNING id, channel_id, epoch_us, opened_us, capabilities, tags,
                     segment_target_90k, longest_segment_90k, alive_us, next_sequence,
                     discontinuities, end_90k, final",
            );
            let claim = claim
                .bind(&*self.node)
                .bind(now)
                .bind(now.saturating_sub(lease))
                .bind(format!("{region}#"));
            let mut transaction = self.database.begin().await?;
            let rows = transaction.fetch_all(claim).await?;
            transaction.commit().await?;
            let mut streams = Vec::with_capacity(rows.len());
            for row in &rows {
                let opened: i64 = row.get("opened_us")?;
                match open_stream(row) {
                    Ok(stream) => streams.push((opened, stream)),
                    // One that is damaged takes no other with it.
                    Err(err) => tracing::error!(%err, "a stream cannot be taken up again"),
                }
            }
            streams.sort_by_key(|(opened, stream)| (*opened, stream.id));
            Ok(streams.into_iter().map(|(_, stream)| stream).collect())
        })
        .await
    }
}

fn end_of(ids: &[Uuid], now_us: i64) -> Query {
    let names: Vec<String> = (2..ids.len() + 2)
        .map(|number| format!("${number}"))
        .collect();
    let sql = format!(
        "UPDATE streams SET ended_us = $1 WHERE ended_us IS NULL AND id IN ({})",
        names.join(", ")
    );
    let end = query_of(sql).bind(now_us);
    ids.iter().fold(end, |end, id| end.bind(id.to_string()))
}

fn update_of(signs: &[Sign], node: &str) -> Query {
    let mut sql = String::from(
        "WITH signs (id, alive_us, next_sequence, discontinuities, end_90k, final) AS (VALUES ",
    );
    for number in 0..signs.len() {
        let comma = if number == 0 { "" } else { ", " };
        let [a, b, c, d, e, f] = [1, 2, 3, 4, 5, 6].map(|value| number * 6 + value);
        let _ = write!(sql, "{comma}(${a}, ${b}, ${c}, ${d}, ${e}, ${f})");
    }
    let _ = write!(
        sql,
        ") UPDATE streams SET alive_us = signs.alive_us, next_sequence = signs.next_sequence,
             discontinuities = signs.discontinuities, end_90k = signs.end_90k, final = signs.final,
             leased_us = CASE WHEN signs.final THEN 0 ELSE streams.leased_us END
         FROM signs WHERE streams.id = signs.id AND streams.ended_us IS NULL
             AND streams.node = ${}",
        signs.len() * 6 + 1
    );
    let update = signs.iter().fold(query_of(sql), |query, sign| {
        query
            .bind(sign.id.to_string())
            .bind(sign.alive.0)
            .bind(stored(sign.next_sequence))
            .bind(stored(sign.discontinuities))
            .bind(sign.end_90k)
            .bind(sign.is_final)
    });
    update.bind(node)
}

fn open_stream(row: &Row) -> Result<OpenStream, Error> {
    let text: String = row.get("id")?;
    let damaged = |what| Error::Damaged {
        what,
        id: text.clone(),
    };
    let id = Uuid::parse_str(&text).map_err(|_| damaged("id"))?;
    let list = |what: &'static str| {
        let list: String = row.get(what)?;
        serde_json::from_str(&list).map_err(|_| damaged(what))
    };
    let count = |what: &'static str| {
        let count: i64 = row.get(what)?;
        u64::try_from(count).map_err(|_| damaged(what))
    };
    Ok(OpenStream {
        id,
        channel_id: row.get("channel_id")?,
        epoch: Wall(row.get("epoch_us")?),
        capabilities: list("capabilities")?,
        tags: list("tags")?,
        segment_target_90k: row.get("segment_target_90k")?,
        longest_segment_90k: row.get("longest_segment_90k")?,
        sign: Sign {
            id,
            alive: Wall(row.get("alive_us")?),
            next_sequence: count("next_sequence")?,
            discontinuities: count("discontinuities")?,
            end_90k: row.get("end_90k")?,
            is_final: row.get("final")?,
        },
    })
}
