//! Destinations that channels are pushed to, as operators add them. In: what the API checked. Out: plain
//! values. Not here: destinations of the configuration file, which are nowhere else; what becomes of a push.

use super::database::{Row, query};
use super::{Error, Store, timed};
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::base::push::{MAX_PUSHES, Push};

/// Columns of a destination, in every query that reads one.
macro_rules! columns {
    () => {
        "id, channel_id, kind, place, secret, created_us"
    };
}

/// A destination of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// UUID.
    pub id: Uuid,
    /// Which channel's.
    pub channel_id: String,
    /// Where it goes.
    pub push: Push,
    /// When it was added.
    pub created: Wall,
}

impl TryFrom<&Row> for Forward {
    type Error = Error;

    fn try_from(row: &Row) -> Result<Forward, Error> {
        let id: String = row.get("id")?;
        let damaged = |what| Error::Damaged {
            what,
            id: id.clone(),
        };
        let secret: Option<String> = row.get("secret")?;
        let push = Push::parse(row.get("kind")?, row.get("place")?, secret.as_deref());
        Ok(Forward {
            id: Uuid::parse_str(&id).map_err(|_| damaged("id"))?,
            channel_id: row.get("channel_id")?,
            push: push.map_err(|_| damaged("destination"))?,
            created: Wall(row.get("created_us")?),
        })
    }
}

impl Store {
    /// Adds a destination. [`Error::Full`] when the channel has [`MAX_PUSHES`], [`Error::Exists`] when it is
    /// one of them, [`Error::Missing`] when there is no such channel.
    pub async fn add_forward(&self, channel_id: &str, push: &Push) -> Result<Forward, Error> {
        let id = Uuid::new_v4();
        let now = self.now_us();
        timed(async {
            // By the one writer, so that what is counted holds.
            let mut transaction = self.database.begin().await?;
            let select = query(
                "SELECT (SELECT COUNT(*) FROM forwards WHERE channel_id = $1) AS forwards,
                     EXISTS (SELECT 1 FROM forwards WHERE channel_id = $1 AND kind = $2 AND place = $3
                         AND COALESCE(secret, '') = $4) AS same,
                     EXISTS (SELECT 1 FROM channels WHERE id = $1) AS owner",
            )
            .bind(channel_id)
            .bind(push.kind())
            .bind(push.place())
            .bind(push.secret().map_or("", |secret| secret.expose()));
            let row = transaction.fetch_one(select).await?;
            if !row.get::<bool>("owner")? {
                return Err(Error::missing("channel", channel_id));
            }
            if row.get("same")? {
                return Err(Error::Exists(format!("destination {push}")));
            }
            let limit = u64::try_from(MAX_PUSHES).unwrap_or(u64::MAX);
            if row.get::<i64>("forwards")?.unsigned_abs() >= limit {
                return Err(Error::Full {
                    what: "destination",
                    limit,
                });
            }
            let insert = query(concat!(
                "INSERT INTO forwards (id, channel_id, kind, place, secret, created_us)
                 VALUES ($1, $2, $3, $4, $5, $6) RETURNING ",
                columns!()
            ))
            .bind(id.to_string())
            .bind(channel_id)
            .bind(push.kind())
            .bind(push.place())
            .bind(push.secret().map(|secret| secret.expose().to_owned()))
            .bind(now);
            let row = transaction.fetch_one(insert).await?;
            transaction.commit().await?;
            Forward::try_from(&row)
        })
        .await
    }

    /// Destinations of a channel, oldest first.
    pub async fn forwards_of(&self, channel_id: &str) -> Result<Vec<Forward>, Error> {
        let select = query(concat!(
            "SELECT ",
            columns!(),
            " FROM forwards WHERE channel_id = $1 ORDER BY created_us, id"
        ));
        timed(async {
            let rows = self.database.fetch_all(select.bind(channel_id)).await?;
            rows.iter().map(Forward::try_from).collect()
        })
        .await
    }

    /// Destinations of all channels. One that is damaged takes no other with it.
    pub async fn forwards(&self) -> Result<Vec<Forward>, Error> {
        let select = query(concat!(
            "SELECT ",
            columns!(),
            " FROM forwards ORDER BY channel_id, id"
        ));
        timed(async {
            let rows = self.database.fetch_all(select).await?;
            let forwards = rows.iter().filter_map(|row| match Forward::try_from(row) {
                Ok(forward) => Some(forward),
                Err(err) => {
                    tracing::error!(%err, "a destination cannot be used");
                    None
                }
            });
            Ok(forwards.collect())
        })
        .await
    }

    /// Takes a destination of a channel away. [`Error::Missing`] when it has no such.
    pub async fn remove_forward(&self, channel_id: &str, id: Uuid) -> Result<(), Error> {
        let delete = query("DELETE FROM forwards WHERE channel_id = $1 AND id = $2 RETURNING id");
        let delete = delete.bind(channel_id).bind(id.to_string());
        timed(async {
            let mut transaction = self.database.begin().await?;
            let row = transaction.fetch_optional(delete).await?;
            row.ok_or_else(|| Error::missing("destination", id))?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }
}
