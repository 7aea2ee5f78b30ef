//! Shows: runs of events, each on a stream of its own, and their cuts. In: what the schedule computed. Out: plain
//! values, and now and then what has changed. Not here: when a run comes, and which cuts it has.
//!
//! Every change of an event, its show or its cuts counts (`revisions`), and the event keeps the count: a process
//! that asks what came after its last look reads those few.

use std::collections::HashMap;
use std::time::Duration;

use super::broadcast::words;
use super::database::{Query, Row, Transaction, query};
use super::event::{self, Event};
use super::{Error, Store, stored, timed};
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::base::lead::{LEAD, WRITTEN};

/// How long a show can be read after its end: viewers who are behind, and those who come late, are told so.
const KEPT: Duration = Duration::from_secs(3600);
/// Cuts of a show, after which no encoder goes on air any more: all of them are looked at for every answer about
/// it, and an encoder that comes and goes adds two each time. An hour of one that does so every ten seconds.
pub(super) const MAX_CUTS: usize = 720;
/// Shows that are deleted in one statement.
const DELETED_AT_ONCE: i64 = 100;

/// Shows of events that changed after a revision.
pub(super) const SHOWS_SINCE: &str = "SELECT shows.* FROM events CROSS JOIN shows
    WHERE events.revision > $1 AND shows.event_id = events.id";
/// Their cuts. SQLite leaves a `CROSS JOIN` in its order; it would read the cuts of all shows otherwise.
pub(super) const CUTS_SINCE: &str = "SELECT cuts.* FROM events CROSS JOIN shows CROSS JOIN cuts
    WHERE events.revision > $1 AND shows.event_id = events.id AND cuts.stream_id = shows.stream_id
    ORDER BY cuts.stream_id, cuts.at_90k";

words! {
    /// What is on from a cut on.
    CutKind {
        /// The picture with the title.
        Slate = "slate",
        /// The film.
        Film = "film",
        /// The owner's encoder.
        Live = "live",
        /// Nothing: the playlist is over.
        End = "end",
    }
}

words! {
    /// What comes when a film is over before its show.
    After {
        /// The picture with the title.
        Slate = "slate",
        /// Nothing: the playlist is over.
        End = "end",
    }
}

/// One row of a show's cut log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutRow {
    /// From when on: channel time, 90 kHz.
    pub at_90k: i64,
    /// Media sequence number of its first segment.
    pub sequence: u64,
    /// Discontinuity sequence number of its first segment.
    pub discontinuity: u64,
    /// What is on.
    pub kind: CutKind,
    /// Channel time of its time zero, 90 kHz.
    pub anchor_90k: i64,
}

/// One run of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShowRow {
    /// Its stream, and its broadcast's.
    pub stream_id: Uuid,
    /// Its event.
    pub event_id: Uuid,
    /// What plays; `None`: nothing was uploaded yet.
    pub asset_id: Option<Uuid>,
    /// Wall-clock point of channel time zero, a whole second.
    pub epoch: Wall,
    /// When the film begins.
    pub starts: Wall,
    /// When it is over at the latest.
    pub ends: Option<Wall>,
    /// Whether the film begins anew when it is over.
    pub looping: bool,
    /// What comes when the film is over.
    pub after: After,
    /// When it was said to be over.
    pub ended: Option<Wall>,
    /// In order of their time, none twice.
    pub cuts: Vec<CutRow>,
}

impl ShowRow {
    /// Channel time before which no cut may be changed any more, 90 kHz: what is nearer to now may be in a playlist
    /// by the time the change is known everywhere.
    fn settled_90k(&self, now_us: i64) -> i64 {
        let lead = i64::try_from((LEAD - WRITTEN).as_micros()).unwrap_or(i64::MAX);
        let since = now_us.saturating_add(lead).saturating_sub(self.epoch.0);
        // 90 ticks are a millisecond. Rounded down: a cut exactly that far away is free.
        since.saturating_mul(9).div_euclid(100)
    }
}

/// A show with its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What was declared.
    pub event: Event,
    /// The run.
    pub show: ShowRow,
}

/// What has changed since a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shows {
    /// What to ask with next time.
    pub revision: i64,
    /// Shows of events that have changed since, those that are over for less than an hour included.
    pub changed: Vec<Run>,
    /// All streams that there are: shows of others are gone.
    pub streams: Vec<Uuid>,
}

fn damaged(id: &str, what: &'static str) -> Error {
    let id = id.to_owned();
    Error::Damaged { what, id }
}

/// A show without its cuts.
fn show(row: &Row) -> Result<ShowRow, Error> {
    let id: String = row.get("stream_id")?;
    let uuid = |text: &str| Uuid::parse_str(text).map_err(|_| damaged(&id, "id"));
    let asset: Option<String> = row.get("asset_id")?;
    Ok(ShowRow {
        stream_id: uuid(&id)?,
        event_id: uuid(row.get("event_id")?)?,
        asset_id: asset.as_deref().map(uuid).transpose()?,
        epoch: Wall(row.get("epoch_us")?),
        starts: Wall(row.get("starts_us")?),
        ends: row.get::<Option<i64>>("ends_us")?.map(Wall),
        looping: row.get("looping")?,
        after: After::of(row.get("after")?).ok_or_else(|| damaged(&id, "after"))?,
        ended: row.get::<Option<i64>>("ended_us")?.map(Wall),
        cuts: Vec::new(),
    })
}

fn cut(row: &Row) -> Result<CutRow, Error> {
    let id: &str = row.get("stream_id")?;
    let count = |name| {
        let count = u64::try_from(row.get::<i64>(name)?);
        count.map_err(|_| damaged(id, "sequence"))
    };
    Ok(CutRow {
        at_90k: row.get("at_90k")?,
        sequence: count("sequence")?,
        discontinuity: count("discontinuity")?,
        kind: CutKind::of(row.get("kind")?).ok_or_else(|| damaged(id, "cut"))?,
        anchor_90k: row.get("anchor_90k")?,
    })
}

impl Store {
    /// Shows of events that changed after a revision, 0 for all; `None`: nothing did. One row is read then.
    /// Where the database was set back, as by a backup, everything is read.
    pub async fn shows_since(&self, revision: i64) -> Result<Option<Shows>, Error> {
        let counted = query("SELECT value FROM revisions WHERE name = 'events'");
        let row = timed(self.database.fetch_optional(counted)).await?;
        let row = row.ok_or(Error::Database(sqlx::Error::RowNotFound))?;
        if row.get::<i64>("value")? == revision {
            return Ok(None);
        }
        timed(async {
            let mut snapshot = self.database.snapshot().await?;
            let counted = query("SELECT value FROM revisions WHERE name = 'events'");
            let newest: i64 = snapshot.fetch_one(counted).await?.get("value")?;
            let after = if newest < revision { 0 } else { revision };
            let select = query(event::select!("WHERE revision > $1"));
            let mut events = HashMap::new();
            for row in snapshot.fetch_all(select.bind(after)).await? {
                // One that is damaged takes no other with it.
                match Event::try_from(&row) {
                    Ok(event) => drop(events.insert(event.id, event)),
                    Err(err) => tracing::error!(%err, "an event cannot be used"),
                }
            }
            let mut shows = HashMap::new();
            for row in snapshot.fetch_all(query(SHOWS_SINCE).bind(after)).await? {
                match show(&row) {
                    Ok(show) => drop(shows.insert(show.stream_id, show)),
                    Err(err) => tracing::error!(%err, "a show cannot be used"),
                }
            }
            for row in snapshot.fetch_all(query(CUTS_SINCE).bind(after)).await? {
                let id: &str = row.get("stream_id")?;
                let id = Uuid::parse_str(id).unwrap_or_default();
                match cut(&row) {
                    Ok(cut) => {
                        let show = shows.get_mut(&id);
                        show.into_iter().for_each(|show| show.cuts.push(cut));
                    }
                    Err(err) => {
                        tracing::error!(%err, "a show cannot be used");
                        shows.remove(&id);
                    }
                }
            }
            let select = query("SELECT stream_id FROM shows");
            let mut streams = Vec::new();
            for row in snapshot.fetch_all(select).await? {
                streams.extend(Uuid::parse_str(row.get("stream_id")?));
            }
            let changed = shows.into_values().filter_map(|show| {
                let event = events.get(&show.event_id)?.clone();
                Some(Run { event, show })
            });
            Ok(Some(Shows {
                revision: newest,
                changed: changed.collect(),
                streams,
            }))
        })
        .await
    }

    /// A show.
    pub async fn show(&self, stream: Uuid) -> Result<Option<ShowRow>, Error> {
        timed(async {
            let mut snapshot = self.database.snapshot().await?;
            read(&mut snapshot, stream).await
        })
        .await
    }

    /// Adds a cut to a show. [`Error::Cut`] when its place is taken or too near, [`Error::Full`] when it has too
    /// many for another encoder, [`Error::Missing`] when there is no such show.
    pub async fn add_cut(&self, stream: Uuid, cut: CutRow) -> Result<(), Error> {
        self.change_cuts(stream, |show| {
            // Whoever is on can always be sent off again.
            if cut.kind == CutKind::Live && show.cuts.len() >= MAX_CUTS {
                return Err(Error::Full {
                    what: "cuts of a show",
                    limit: MAX_CUTS as u64,
                });
            }
            let at = show.cuts.partition_point(|other| other.at_90k < cut.at_90k);
            if show
                .cuts
                .get(at)
                .is_some_and(|next| next.at_90k == cut.at_90k)
            {
                return Err(refused(stream, cut.at_90k));
            }
            show.cuts.insert(at, cut);
            Ok(())
        })
        .await
    }

    /// Puts cuts in the place of all those of a show that may still be changed. [`Error::Cut`] when one of them
    /// is too near, [`Error::Missing`] when there is no such show.
    pub async fn replace_future_cuts(&self, stream: Uuid, cuts: &[CutRow]) -> Result<(), Error> {
        let now = self.now_us();
        self.change_cuts(stream, |show| {
            let settled = show.settled_90k(now);
            show.cuts.retain(|cut| cut.at_90k < settled);
            show.cuts.extend_from_slice(cuts);
            Ok(())
        })
        .await
    }

    async fn change_cuts(
        &self,
        stream: Uuid,
        change: impl FnOnce(&mut ShowRow) -> Result<(), Error> + Send,
    ) -> Result<(), Error> {
        let now = self.now_us();
        timed(async {
            let mut transaction = self.database.begin().await?;
            let old = read(&mut transaction, stream).await?;
            let old = old.ok_or_else(|| Error::missing("show", stream))?;
            let mut new = old.clone();
            change(&mut new)?;
            write_cuts(&mut transaction, &old, &new, now).await?;
            let revision = count(&mut transaction).await?;
            let update = query("UPDATE events SET revision = $1 WHERE id = $2");
            let update = update.bind(revision).bind(old.event_id.to_string());
            transaction.execute(update).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Deletes shows that are over for an hour, a few at a time, and says how many.
    pub(super) async fn sweep_shows(&self) -> Result<u64, Error> {
        let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
        let mut deleted = 0;
        loop {
            let over = query(
                "DELETE FROM shows WHERE stream_id IN (
                     SELECT stream_id FROM shows WHERE ended_us <= $1 ORDER BY ended_us LIMIT $2)",
            );
            let over = over.bind(self.now_us().saturating_sub(kept));
            match self.delete_some(over.bind(DELETED_AT_ONCE)).await? {
                0 => return Ok(deleted),
                rows => deleted += rows,
            }
        }
    }
}

fn refused(stream: Uuid, at_90k: i64) -> Error {
    Error::Cut { stream, at_90k }
}

/// Counts a change of events, and says how many there were. Whoever counts later waits for the commit.
pub(super) async fn count(transaction: &mut Transaction) -> Result<i64, Error> {
    let count = "UPDATE revisions SET value = value + 1 WHERE name = 'events' RETURNING value";
    transaction.fetch_one(query(count)).await?.get("value")
}

/// A show with its cuts.
pub(super) async fn read(
    transaction: &mut Transaction,
    stream: Uuid,
) -> Result<Option<ShowRow>, Error> {
    let select = query("SELECT * FROM shows WHERE stream_id = $1").bind(stream.to_string());
    let Some(row) = transaction.fetch_optional(select).await? else {
        return Ok(None);
    };
    let mut show = show(&row)?;
    let select = query("SELECT * FROM cuts WHERE stream_id = $1 ORDER BY at_90k");
    let rows = transaction.fetch_all(select.bind(stream.to_string()));
    show.cuts = rows.await?.iter().map(cut).collect::<Result<_, _>>()?;
    Ok(Some(show))
}

/// Adds a show with its cuts.
pub(super) async fn insert(transaction: &mut Transaction, new: &ShowRow) -> Result<(), Error> {
    let insert = query(
        "INSERT INTO shows (stream_id, event_id, asset_id, epoch_us, starts_us, ends_us, looping,
             after, ended_us)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    );
    transaction.execute(values(insert, new)).await?;
    check_order(new)?;
    for cut in &new.cuts {
        insert_cut(transaction, new.stream_id, cut).await?;
    }
    Ok(())
}

/// Writes what has become of a show.
pub(super) async fn update(
    transaction: &mut Transaction,
    old: &ShowRow,
    new: &ShowRow,
    now_us: i64,
) -> Result<(), Error> {
    let update = query(
        "UPDATE shows SET event_id = $2, asset_id = $3, epoch_us = $4, starts_us = $5, ends_us = $6,
             looping = $7, after = $8, ended_us = $9
         WHERE stream_id = $1",
    );
    transaction.execute(values(update, new)).await?;
    write_cuts(transaction, old, new, now_us).await
}

/// The parameters of what writes a show.
fn values(query: Query, show: &ShowRow) -> Query {
    query
        .bind(show.stream_id.to_string())
        .bind(show.event_id.to_string())
        .bind(show.asset_id.map(|asset| asset.to_string()))
        .bind(show.epoch.0)
        .bind(show.starts.0)
        .bind(show.ends.map(|ends| ends.0))
        .bind(show.looping)
        .bind(show.after.word())
        .bind(show.ended.map(|ended| ended.0))
}

fn check_order(show: &ShowRow) -> Result<(), Error> {
    match show
        .cuts
        .windows(2)
        .find(|pair| pair[0].at_90k >= pair[1].at_90k)
    {
        Some(pair) => Err(refused(show.stream_id, pair[1].at_90k)),
        None => Ok(()),
    }
}

/// Replaces the cuts of a show that may still be changed. [`Error::Cut`] when others would be.
async fn write_cuts(
    transaction: &mut Transaction,
    old: &ShowRow,
    new: &ShowRow,
    now_us: i64,
) -> Result<(), Error> {
    if old.cuts == new.cuts {
        return Ok(());
    }
    check_order(new)?;
    let settled = old.settled_90k(now_us);
    let split = |show: &ShowRow| show.cuts.partition_point(|cut| cut.at_90k < settled);
    let (past, future) = new.cuts.split_at(split(new));
    let passed = &old.cuts[..split(old)];
    // Nobody has seen anything of a show that had no cuts.
    if passed != past && !old.cuts.is_empty() {
        let longer = if passed.len() > past.len() {
            passed
        } else {
            past
        };
        let other = (passed.iter().zip(past)).position(|(old, new)| old != new);
        let other = other.unwrap_or_else(|| passed.len().min(past.len()));
        return Err(refused(new.stream_id, longer[other].at_90k));
    }
    let delete = query("DELETE FROM cuts WHERE stream_id = $1 AND at_90k >= $2");
    let delete = delete.bind(new.stream_id.to_string()).bind(settled);
    transaction.execute(delete).await?;
    for cut in future {
        insert_cut(transaction, new.stream_id, cut).await?;
    }
    Ok(())
}

async fn insert_cut(
    transaction: &mut Transaction,
    stream: Uuid,
    cut: &CutRow,
) -> Result<(), Error> {
    let insert = query(
        "INSERT INTO cuts (stream_id, at_90k, sequence, discontinuity, kind, anchor_90k)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(stream.to_string())
    .bind(cut.at_90k)
    .bind(stored(cut.sequence))
    .bind(stored(cut.discontinuity))
    .bind(cut.kind.word())
    .bind(cut.anchor_90k);
    transaction.execute(insert).await?;
    Ok(())
}
