//! Assets: uploaded files of events and how far they are prepared. In: what the upload and the preparation say.
//! Out: plain values. Not here: their bytes.
//!
//! One gateway at a time prepares an asset, for as long as it says now and then that it does.

use std::time::Duration;

use super::broadcast::words;
use super::database::{Query, Row, Transaction, query, query_of};
use super::event::ids;
use super::{Error, Store, show, stored, timed};
use crate::base::clock::Wall;
use crate::base::id::Uuid;

/// Assets of one event at a time: the one that plays, the one that comes next, and a few that are on their way.
pub const MAX_ASSETS_OF_EVENT: u64 = 8;

/// Columns of an asset, in every query that reads one.
macro_rules! columns {
    () => {
        "id, application_id, user_id, event_id, name, kind, bytes, sha256, state, progress, error, \
         duration_us, created_us, holder, held_until_us"
    };
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", columns!(), " FROM assets ", $rest)
    };
}

words! {
    /// What a file is.
    AssetKind {
        /// Pictures, with sound or without.
        Video = "video",
        /// Sound only.
        Audio = "audio",
    }
}

words! {
    /// How far an asset has come.
    AssetState {
        /// Its bytes are coming.
        Uploading = "uploading",
        /// It is whole, and waits.
        Uploaded = "uploaded",
        /// A gateway prepares it.
        Preparing = "preparing",
        /// All of it can play.
        Prepared = "prepared",
        /// It cannot be prepared.
        Failed = "failed",
    }
}

/// An uploaded file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// UUID, the name of its folder.
    pub id: Uuid,
    /// Its tenant.
    pub application_id: String,
    /// Its owner.
    pub user_id: Uuid,
    /// Its event.
    pub event_id: Uuid,
    /// As the user calls it. Nothing is opened by this name.
    pub name: String,
    /// What it is; `None`: not known yet.
    pub kind: Option<AssetKind>,
    /// Bytes that were said to come, then those that came.
    pub bytes: u64,
    /// Of the original, hexadecimal; `None`: it is not whole.
    pub sha256: Option<String>,
    /// How far it has come.
    pub state: AssetState,
    /// Percent that are prepared.
    pub progress: u32,
    /// Why it cannot be prepared.
    pub error: Option<String>,
    /// How long it plays, in microseconds.
    pub duration_us: Option<i64>,
    /// When its upload began.
    pub created: Wall,
    /// The gateway that prepares it.
    pub holder: Option<String>,
    /// Until when no other one does.
    pub held_until: Wall,
}

/// What is known of a file before it comes.
#[derive(Clone, Debug)]
pub struct NewAsset<'a> {
    /// The name of its folder.
    pub id: Uuid,
    /// Its event, whose owner it has.
    pub event_id: Uuid,
    /// As the user calls it.
    pub name: &'a str,
    /// Bytes that are said to come; 0: it was not said.
    pub bytes: u64,
}

/// What is known of a file when it is whole.
#[derive(Clone, Debug)]
pub struct Received<'a> {
    /// What it is.
    pub kind: AssetKind,
    /// Bytes that came.
    pub bytes: u64,
    /// Of them, hexadecimal.
    pub sha256: &'a str,
    /// How long it plays, in microseconds, if the probe could tell.
    pub duration_us: Option<i64>,
}

impl TryFrom<&Row> for Asset {
    type Error = Error;

    fn try_from(row: &Row) -> Result<Asset, Error> {
        let id: String = row.get("id")?;
        let damaged = |what| Error::Damaged {
            what,
            id: id.clone(),
        };
        let uuid = |text: &str| Uuid::parse_str(text).map_err(|_| damaged("id"));
        let kind: Option<String> = row.get("kind")?;
        let kind = kind.map(|word| AssetKind::of(&word).ok_or_else(|| damaged("kind")));
        let progress: i64 = row.get("progress")?;
        Ok(Asset {
            id: uuid(&id)?,
            application_id: row.get("application_id")?,
            user_id: uuid(row.get("user_id")?)?,
            event_id: uuid(row.get("event_id")?)?,
            name: row.get("name")?,
            kind: kind.transpose()?,
            bytes: u64::try_from(row.get::<i64>("bytes")?).map_err(|_| damaged("bytes"))?,
            sha256: row.get("sha256")?,
            state: AssetState::of(row.get("state")?).ok_or_else(|| damaged("state"))?,
            progress: u32::try_from(progress).map_err(|_| damaged("progress"))?,
            error: row.get("error")?,
            duration_us: row.get("duration_us")?,
            created: Wall(row.get("created_us")?),
            holder: row.get("holder")?,
            held_until: Wall(row.get("held_until_us")?),
        })
    }
}

impl Store {
    /// Begins an upload. [`Error::Full`] when the event has too many, [`Error::Missing`] when it is gone.
    pub async fn create_asset(&self, new: &NewAsset<'_>) -> Result<Asset, Error> {
        let now = self.now_us();
        timed(async {
            let mut transaction = self.database.begin().await?;
            let count = query("SELECT COUNT(*) AS assets FROM assets WHERE event_id = $1");
            let count = transaction.fetch_one(count.bind(new.event_id.to_string()));
            if count.await?.get::<i64>("assets")? >= stored(MAX_ASSETS_OF_EVENT) {
                return Err(Error::Full {
                    what: "files of an event",
                    limit: MAX_ASSETS_OF_EVENT,
                });
            }
            let insert = query(concat!(
                "INSERT INTO assets (id, application_id, user_id, event_id, name, bytes, state,
                     created_us)
                 SELECT $1, application_id, user_id, id, $3, $4, 'uploading', $5
                 FROM events WHERE id = $2 RETURNING ",
                columns!()
            ))
            .bind(new.id.to_string())
            .bind(new.event_id.to_string())
            .bind(new.name)
            .bind(stored(new.bytes))
            .bind(now);
            let row = transaction.fetch_optional(insert).await?;
            let row = row.ok_or_else(|| Error::missing("event", new.event_id))?;
            let asset = Asset::try_from(&row)?;
            transaction.commit().await?;
            Ok(asset)
        })
        .await
    }

    /// An asset, whoever owns it.
    pub async fn asset(&self, id: Uuid) -> Result<Option<Asset>, Error> {
        Ok(self.assets(&[id]).await?.pop())
    }

    /// Those of some assets that are there, oldest first.
    pub async fn assets(&self, ids: &[Uuid]) -> Result<Vec<Asset>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<String> = (1..=ids.len()).map(|place| format!("${place}")).collect();
        let select = format!(
            select!("WHERE id IN ({}) ORDER BY created_us, id"),
            places.join(", ")
        );
        let select = ids
            .iter()
            .fold(query_of(select), |select, id| select.bind(id.to_string()));
        self.assets_by(select).await
    }

    /// Assets of an event, oldest first.
    pub async fn assets_of_event(&self, event: Uuid) -> Result<Vec<Asset>, Error> {
        let select = query(select!("WHERE event_id = $1 ORDER BY created_us, id"));
        self.assets_by(select.bind(event.to_string())).await
    }

    /// Uploads that began before a time and are not whole.
    pub async fn unfinished_uploads(&self, began_before: Wall) -> Result<Vec<Asset>, Error> {
        let select = query(select!(
            "WHERE state = 'uploading' AND created_us < $1 ORDER BY created_us, id LIMIT 100"
        ));
        self.assets_by(select.bind(began_before.0)).await
    }

    async fn assets_by(&self, select: Query) -> Result<Vec<Asset>, Error> {
        timed(async {
            let rows = self.database.fetch_all(select).await?;
            rows.iter().map(Asset::try_from).collect()
        })
        .await
    }

    /// A file is whole: it waits to be prepared, and plays in the runs of its event that have not begun. A run
    /// that is on keeps what it has, if it has something. Gives the asset, and ids of those that are
    /// nobody's any more with it. [`Error::Missing`] when there is no such upload.
    pub async fn asset_received(
        &self,
        id: Uuid,
        received: &Received<'_>,
    ) -> Result<(Asset, Vec<Uuid>), Error> {
        let now = self.now_us();
        timed(async {
            let mut transaction = self.database.begin().await?;
            let update = query(concat!(
                "UPDATE assets SET state = 'uploaded', kind = $2, bytes = $3, sha256 = $4,
                     duration_us = $5
                 WHERE id = $1 AND state = 'uploading' RETURNING ",
                columns!()
            ))
            .bind(id.to_string())
            .bind(received.kind.word())
            .bind(stored(received.bytes))
            .bind(received.sha256)
            .bind(received.duration_us);
            let row = transaction.fetch_optional(update).await?;
            let asset = Asset::try_from(&row.ok_or_else(|| Error::missing("upload", id))?)?;
            let revision = show::count(&mut transaction).await?;
            let event = asset.event_id.to_string();
            let update = query(
                "UPDATE events SET asset_id = $1, updated_us = $2, revision = $3 WHERE id = $4",
            );
            let update = update.bind(id.to_string()).bind(now).bind(revision);
            transaction.execute(update.bind(event.as_str())).await?;
            let update = query(
                "UPDATE shows SET asset_id = $1
                 WHERE event_id = $2 AND ended_us IS NULL AND (asset_id IS NULL OR starts_us > $3)",
            );
            let update = update.bind(id.to_string()).bind(event.as_str()).bind(now);
            transaction.execute(update).await?;
            let unused = drop_unused(&mut transaction, asset.event_id).await?;
            transaction.commit().await?;
            Ok((asset, unused))
        })
        .await
    }

    /// Takes an asset that waits to be prepared, or whose gateway is not heard of any more, for a time: that of
    /// the event that begins soonest, and none of `elsewhere`.
    pub async fn claim_asset(
        &self,
        lease: Duration,
        elsewhere: &[Uuid],
    ) -> Result<Option<Asset>, Error> {
        const WAITING: &str = "SELECT assets.id AS id FROM assets
                 JOIN events ON events.id = assets.event_id
             WHERE assets.state = 'uploaded'
                 OR (assets.state = 'preparing' AND assets.held_until_us <= $1)
             ORDER BY CASE WHEN events.status IN ('scheduled', 'active') THEN 0 ELSE 1 END,
                 events.starts_us, assets.created_us, assets.id LIMIT 1000";
        let now = self.now_us();
        let mine = |rows: Vec<Row>| -> Result<Option<String>, Error> {
            for row in rows {
                let id: String = row.get("id")?;
                if !elsewhere.iter().any(|other| other.to_string() == id) {
                    return Ok(Some(id));
                }
            }
            Ok(None)
        };
        // Nearly always there is none, and no writer waits for this look.
        let look = timed(self.database.fetch_all(query(WAITING).bind(now)));
        if mine(look.await?)?.is_none() {
            return Ok(None);
        }
        timed(async {
            let mut transaction = self.database.begin().await?;
            let waiting = transaction.fetch_all(query(WAITING).bind(now)).await?;
            let Some(id) = mine(waiting)? else {
                return Ok(None);
            };
            let update = query(concat!(
                "UPDATE assets SET state = 'preparing', holder = $2, held_until_us = $3
                 WHERE id = $1 RETURNING ",
                columns!()
            ))
            .bind(id)
            .bind(&*self.node)
            .bind(until(now, lease));
            let asset = Asset::try_from(&transaction.fetch_one(update).await?)?;
            transaction.commit().await?;
            Ok(Some(asset))
        })
        .await
    }

    /// Says how much of an asset this gateway has prepared, and that it goes on. [`Error::Missing`] when it is
    /// deleted, or somebody else's by now: whoever prepares it must stop.
    pub async fn asset_progress(
        &self,
        id: Uuid,
        percent: u32,
        lease: Duration,
    ) -> Result<(), Error> {
        let update = query(
            "UPDATE assets SET progress = $3, held_until_us = $4
             WHERE id = $1 AND holder = $2 AND state = 'preparing'",
        );
        let update = self.held(update, id).bind(i64::from(percent.min(100)));
        let update = update.bind(until(self.now_us(), lease));
        self.touch_asset(update, id).await
    }

    /// All of an asset is prepared; how long it plays is known by now. [`Error::Missing`] as for progress.
    pub async fn asset_prepared(&self, id: Uuid, duration_us: i64) -> Result<(), Error> {
        let update = query(
            "UPDATE assets SET state = 'prepared', progress = 100, duration_us = $3, error = NULL,
                 holder = NULL, held_until_us = 0
             WHERE id = $1 AND holder = $2 AND state = 'preparing'",
        );
        let update = self.held(update, id).bind(duration_us);
        self.touch_asset(update, id).await
    }

    /// An asset cannot be prepared, and nobody tries again. [`Error::Missing`] as for progress.
    pub async fn asset_failed(&self, id: Uuid, error: &str) -> Result<(), Error> {
        let update = query(
            "UPDATE assets SET state = 'failed', error = $3, holder = NULL, held_until_us = 0
             WHERE id = $1 AND holder = $2 AND state = 'preparing'",
        );
        let update = self.held(update, id).bind(error);
        self.touch_asset(update, id).await
    }

    /// Gives an asset back, as when the server stops: anyone may go on with it at once. [`Error::Missing`] as
    /// for progress.
    pub async fn release_asset(&self, id: Uuid) -> Result<(), Error> {
        let update = query(
            "UPDATE assets SET state = 'uploaded', holder = NULL, held_until_us = 0
             WHERE id = $1 AND holder = $2 AND state = 'preparing'",
        );
        let update = self.held(update, id);
        self.touch_asset(update, id).await
    }

    /// Gives back what this gateway had when it was killed: nothing is prepared by it now.
    pub async fn release_assets(&self) -> Result<(), Error> {
        let update = query(
            "UPDATE assets SET state = 'uploaded', holder = NULL, held_until_us = 0
             WHERE holder = $1 AND state = 'preparing'",
        );
        let update = update.bind(&*self.node);
        timed(async {
            self.database.execute(update).await?;
            Ok(())
        })
        .await
    }

    fn held(&self, update: Query, id: Uuid) -> Query {
        update.bind(id.to_string()).bind(&*self.node)
    }

    async fn touch_asset(&self, update: Query, id: Uuid) -> Result<(), Error> {
        timed(async {
            match self.database.execute(update).await? {
                0 => Err(Error::missing("asset", id)),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Forgets an asset that nothing plays: an upload that was given up, or a file that was replaced. Its
    /// folder is nobody's then. [`Error::State`] when it is in use, [`Error::Missing`] when it is gone.
    pub async fn delete_asset(&self, id: Uuid) -> Result<(), Error> {
        let delete = query(
            "DELETE FROM assets WHERE id = $1
                 AND NOT EXISTS (SELECT 1 FROM events
                     WHERE events.id = assets.event_id AND events.asset_id = assets.id)
                 AND NOT EXISTS (SELECT 1 FROM shows WHERE shows.asset_id = $1)",
        );
        timed(async {
            if self.database.execute(delete.bind(id.to_string())).await? > 0 {
                return Ok(());
            }
            let select = query("SELECT state FROM assets WHERE id = $1").bind(id.to_string());
            Err(match self.database.fetch_optional(select).await? {
                None => Error::missing("asset", id),
                Some(_) => Error::State {
                    what: "asset",
                    is: "in use",
                    wanted: "deleted",
                },
            })
        })
        .await
    }

    /// Forgets the files of an event that were replaced and that no run shows any more, and gives their ids:
    /// their folders are nobody's.
    pub async fn drop_unused_assets(&self, event: Uuid) -> Result<Vec<Uuid>, Error> {
        timed(async {
            let mut transaction = self.database.begin().await?;
            let unused = drop_unused(&mut transaction, event).await?;
            transaction.commit().await?;
            Ok(unused)
        })
        .await
    }
}

fn until(now_us: i64, lease: Duration) -> i64 {
    let lease = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
    now_us.saturating_add(lease)
}

/// Deletes assets of an event that came whole and that neither it nor one of its shows has.
async fn drop_unused(transaction: &mut Transaction, event: Uuid) -> Result<Vec<Uuid>, Error> {
    let delete = query(
        "DELETE FROM assets WHERE event_id = $1 AND state <> 'uploading'
             AND NOT EXISTS (SELECT 1 FROM events
                 WHERE events.id = assets.event_id AND events.asset_id = assets.id)
             AND NOT EXISTS (SELECT 1 FROM shows WHERE shows.asset_id = assets.id)
         RETURNING id",
    );
    ids(transaction, delete.bind(event.to_string())).await
}
