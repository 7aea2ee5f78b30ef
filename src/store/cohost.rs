//! Co-hosts of broadcasts: who joined, who was removed, how many there may be. In: what the API checked.
//! Out: plain values. Not here: rooms and their participants, tokens.

use serde::{Deserialize, Serialize};

use super::broadcast::Status;
use super::database::{Query, Row, Transaction, query};
use super::{Error, Store, timed};
use crate::base::clock::Wall;
use crate::base::id::Uuid;

/// Co-hosts that are remembered of a broadcast, removed ones included: many times what a grid shows.
pub(super) const MOST: i64 = 1000;

/// Columns of a co-host, in every query that reads one.
macro_rules! columns {
    () => {
        "id, user_id, user_name, permissions, joined_us, removed_us"
    };
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", columns!(), " FROM cohosts ", $rest)
    };
}

/// What a co-host may do beside publishing. Names as the API has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permissions {
    /// Bring others in.
    pub can_invite_others: bool,
    /// Remove other co-hosts.
    pub can_remove_others: bool,
    /// Change the grid.
    pub can_control_layout: bool,
    /// Moderate the chat.
    pub can_moderate_chat: bool,
    /// Start advertisements.
    pub can_trigger_ads: bool,
    /// See figures.
    pub can_access_analytics: bool,
}

/// How hosts are laid out. Names as the API has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grid {
    /// Hosts at once, the main one included.
    pub max_hosts: u32,
    /// Columns.
    pub grid_columns: u32,
    /// Rows.
    pub grid_rows: u32,
    /// Of one picture, such as `16:9`.
    pub aspect_ratio: String,
    /// Whether names are shown.
    pub show_names: bool,
    /// Whether controls are shown.
    pub show_controls: bool,
}

impl Default for Grid {
    fn default() -> Grid {
        Grid {
            max_hosts: 4,
            grid_columns: 2,
            grid_rows: 2,
            aspect_ratio: "16:9".to_owned(),
            show_names: true,
            show_controls: true,
        }
    }
}

/// What holds for the hosts of a broadcast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MultiHost {
    /// Whether co-hosts may join.
    pub is_enabled: bool,
    /// How they are laid out.
    pub grid_layout: Grid,
}

impl Default for MultiHost {
    fn default() -> MultiHost {
        MultiHost {
            is_enabled: true,
            grid_layout: Grid::default(),
        }
    }
}

/// A co-host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoHost {
    /// UUID.
    pub id: Uuid,
    /// Its identity in the room.
    pub user_id: String,
    /// For people.
    pub user_name: String,
    /// What it may do.
    pub permissions: Permissions,
    /// When it joined.
    pub joined: Wall,
    /// When it was removed; `None`: it is there.
    pub removed: Option<Wall>,
}

/// Who wants to join.
#[derive(Clone, Debug)]
pub struct NewCoHost<'a> {
    /// Its identity in the room; `None`: the id that it gets here.
    pub user_id: Option<&'a str>,
    /// For people.
    pub user_name: &'a str,
    /// What it may do.
    pub permissions: Permissions,
}

/// How a wish to join ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joining {
    /// It is a co-host now, or was one already, with the permissions that it had.
    Joined(CoHost),
    /// The broadcast is not active.
    NotLive,
    /// The broadcast takes no co-hosts.
    Disabled,
    /// So many hosts are there already.
    Full(u32),
    /// It was a co-host and was removed.
    Removed,
}

/// Figures of a broadcast and its hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostFigures {
    /// Co-hosts that are there.
    pub cohosts: u64,
    /// The most viewers that were reported.
    pub peak_viewers: u32,
}

impl TryFrom<&Row> for CoHost {
    type Error = Error;

    fn try_from(row: &Row) -> Result<CoHost, Error> {
        let id: String = row.get("id")?;
        let damaged = |what| Error::Damaged {
            what,
            id: id.clone(),
        };
        let permissions: &str = row.get("permissions")?;
        Ok(CoHost {
            id: Uuid::parse_str(&id).map_err(|_| damaged("id"))?,
            user_id: row.get("user_id")?,
            user_name: row.get("user_name")?,
            permissions: serde_json::from_str(permissions).map_err(|_| damaged("permissions"))?,
            joined: Wall(row.get("joined_us")?),
            removed: row.get::<Option<i64>>("removed_us")?.map(Wall),
        })
    }
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("flags, numbers and texts are JSON")
}

/// What a row of a broadcast says of its hosts.
fn multi_host(row: &Row, broadcast: Uuid) -> Result<MultiHost, Error> {
    let stored: Option<&str> = row.get("multi_host")?;
    let read = stored.map(serde_json::from_str).transpose();
    let damaged = |_| Error::Damaged {
        what: "grid",
        id: broadcast.to_string(),
    };
    Ok(read.map_err(damaged)?.unwrap_or_default())
}

impl Store {
    /// What holds for the hosts of a broadcast. [`Error::Missing`] when there is none.
    pub async fn multi_host(&self, broadcast: Uuid) -> Result<MultiHost, Error> {
        let select = query("SELECT multi_host FROM broadcasts WHERE id = $1");
        timed(async {
            let select = select.bind(broadcast.to_string());
            let row = self.database.fetch_optional(select).await?;
            let row = row.ok_or_else(|| Error::missing("broadcast", broadcast))?;
            multi_host(&row, broadcast)
        })
        .await
    }

    /// Says what holds for the hosts of a broadcast from now on: those that are there stay.
    /// [`Error::Missing`] when there is none.
    pub async fn set_multi_host(
        &self,
        broadcast: Uuid,
        multi_host: &MultiHost,
    ) -> Result<(), Error> {
        let update = query("UPDATE broadcasts SET multi_host = $1 WHERE id = $2");
        let update = update.bind(text(multi_host)).bind(broadcast.to_string());
        timed(async {
            match self.database.execute(update).await? {
                0 => Err(Error::missing("broadcast", broadcast)),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Makes somebody a co-host, if there is a place.
    pub async fn join_cohost(
        &self,
        broadcast: Uuid,
        new: &NewCoHost<'_>,
    ) -> Result<Joining, Error> {
        let id = Uuid::new_v4();
        let own = id.to_string();
        let user_id = new.user_id.unwrap_or(&own);
        timed(async {
            let mut transaction = self.database.begin_rows().await?;
            // Its row is locked, so that of two who want the last place one gets it.
            let lock = query(
                "UPDATE broadcasts SET updated_us = updated_us WHERE id = $1
                 RETURNING status, multi_host",
            );
            let lock = lock.bind(broadcast.to_string());
            let row = transaction.fetch_optional(lock).await?;
            let row = row.ok_or_else(|| Error::missing("broadcast", broadcast))?;
            if row.get::<&str>("status")? != Status::Active.word() {
                return Ok(Joining::NotLive);
            }
            let rules = multi_host(&row, broadcast)?;
            let select = query(select!("WHERE broadcast_id = $1 AND user_id = $2"));
            let select = select.bind(broadcast.to_string()).bind(user_id);
            let known = transaction.fetch_optional(select).await?;
            if let Some(row) = known {
                return again(transaction, CoHost::try_from(&row)?, new).await;
            }
            if !rules.is_enabled {
                return Ok(Joining::Disabled);
            }
            let count = query(
                "SELECT COUNT(*) AS remembered,
                     COUNT(CASE WHEN removed_us IS NULL THEN 1 END) AS present
                 FROM cohosts WHERE broadcast_id = $1",
            );
            let count = count.bind(broadcast.to_string());
            let count = transaction.fetch_one(count).await?;
            let max_hosts = rules.grid_layout.max_hosts;
            // The main host is one of them.
            let is_full = count.get::<i64>("present")? + 1 >= i64::from(max_hosts);
            if is_full || count.get::<i64>("remembered")? >= MOST {
                return Ok(Joining::Full(max_hosts));
            }
            let insert = query(concat!(
                "INSERT INTO cohosts (id, broadcast_id, user_id, user_name, permissions, joined_us)
                 VALUES ($1, $2, $3, $4, $5, $6) RETURNING ",
                columns!()
            ))
            .bind(own.as_str())
            .bind(broadcast.to_string())
            .bind(user_id)
            .bind(new.user_name)
            .bind(text(&new.permissions))
            .bind(self.now_us());
            let row = transaction.fetch_one(insert).await?;
            let joined = CoHost::try_from(&row)?;
            transaction.commit().await?;
            Ok(Joining::Joined(joined))
        })
        .await
    }

    /// Co-hosts of a broadcast that are there, in the order in which they came.
    pub async fn cohosts(&self, broadcast: Uuid) -> Result<Vec<CoHost>, Error> {
        let select = query(select!(
            "WHERE broadcast_id = $1 AND removed_us IS NULL ORDER BY joined_us, id"
        ));
        timed(async {
            let select = select.bind(broadcast.to_string());
            let rows = self.database.fetch_all(select).await?;
            rows.iter().map(CoHost::try_from).collect()
        })
        .await
    }

    /// Identities of co-hosts of a broadcast that were removed.
    pub async fn removed_cohosts(&self, broadcast: Uuid) -> Result<Vec<String>, Error> {
        let select =
            query("SELECT user_id FROM cohosts WHERE broadcast_id = $1 AND removed_us IS NOT NULL");
        timed(async {
            let select = select.bind(broadcast.to_string());
            let rows = self.database.fetch_all(select).await?;
            rows.iter().map(|row| row.get("user_id")).collect()
        })
        .await
    }

    /// The co-host of this id, also when it was removed.
    pub async fn cohost(&self, broadcast: Uuid, id: Uuid) -> Result<Option<CoHost>, Error> {
        let select = query(select!("WHERE broadcast_id = $1 AND id = $2"));
        let select = select.bind(broadcast.to_string()).bind(id.to_string());
        self.one_cohost(select).await
    }

    /// The co-host of this identity, also when it was removed.
    pub async fn cohost_of_user(
        &self,
        broadcast: Uuid,
        user_id: &str,
    ) -> Result<Option<CoHost>, Error> {
        let select = query(select!("WHERE broadcast_id = $1 AND user_id = $2"));
        let select = select.bind(broadcast.to_string()).bind(user_id);
        self.one_cohost(select).await
    }

    async fn one_cohost(&self, select: Query) -> Result<Option<CoHost>, Error> {
        timed(async {
            let row = self.database.fetch_optional(select).await?;
            row.as_ref().map(CoHost::try_from).transpose()
        })
        .await
    }

    /// Changes what a co-host is called and may do. [`Error::Missing`] when it is not there.
    pub async fn update_cohost(
        &self,
        broadcast: Uuid,
        id: Uuid,
        user_name: &str,
        permissions: Permissions,
    ) -> Result<(), Error> {
        let update = query(
            "UPDATE cohosts SET user_name = $1, permissions = $2
             WHERE broadcast_id = $3 AND id = $4 AND removed_us IS NULL",
        );
        let update = update.bind(user_name).bind(text(&permissions));
        self.touch_cohost(update, broadcast, id).await
    }

    /// Removes a co-host for good. [`Error::Missing`] when it is not there.
    pub async fn remove_cohost(&self, broadcast: Uuid, id: Uuid) -> Result<(), Error> {
        let update = query(
            "UPDATE cohosts SET removed_us = $1
             WHERE broadcast_id = $2 AND id = $3 AND removed_us IS NULL",
        );
        let update = update.bind(self.now_us());
        self.touch_cohost(update, broadcast, id).await
    }

    /// Forgets a co-host that leaves by itself: it may come again. [`Error::Missing`] when it is not there.
    pub async fn leave_cohost(&self, broadcast: Uuid, id: Uuid) -> Result<(), Error> {
        let delete =
            query("DELETE FROM cohosts WHERE broadcast_id = $1 AND id = $2 AND removed_us IS NULL");
        self.touch_cohost(delete, broadcast, id).await
    }

    async fn touch_cohost(&self, change: Query, broadcast: Uuid, id: Uuid) -> Result<(), Error> {
        let change = change.bind(broadcast.to_string()).bind(id.to_string());
        timed(async {
            match self.database.execute(change).await? {
                0 => Err(Error::missing("co-host", id)),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Figures of a broadcast and its hosts. [`Error::Missing`] when there is none.
    pub async fn host_figures(&self, broadcast: Uuid) -> Result<HostFigures, Error> {
        let select = query(
            "SELECT peak_viewers, (SELECT COUNT(*) FROM cohosts
                 WHERE broadcast_id = broadcasts.id AND removed_us IS NULL) AS cohosts
             FROM broadcasts WHERE id = $1",
        );
        timed(async {
            let select = select.bind(broadcast.to_string());
            let row = self.database.fetch_optional(select).await?;
            let row = row.ok_or_else(|| Error::missing("broadcast", broadcast))?;
            let damaged = |_| Error::Damaged {
                what: "peak",
                id: broadcast.to_string(),
            };
            Ok(HostFigures {
                cohosts: row.get::<i64>("cohosts")?.unsigned_abs(),
                peak_viewers: u32::try_from(row.get::<i64>("peak_viewers")?).map_err(damaged)?,
            })
        })
        .await
    }
}

/// Who is there already stays as it is, but for its name, and who was removed stays so.
async fn again(
    mut transaction: Transaction,
    mut known: CoHost,
    new: &NewCoHost<'_>,
) -> Result<Joining, Error> {
    if known.removed.is_some() {
        return Ok(Joining::Removed);
    }
    let update = query("UPDATE cohosts SET user_name = $1 WHERE id = $2");
    let update = update.bind(new.user_name).bind(known.id.to_string());
    transaction.execute(update).await?;
    transaction.commit().await?;
    new.user_name.clone_into(&mut known.user_name);
    Ok(Joining::Joined(known))
}
