//! Users who follow users, and who finds whom. In: users of one tenant. Out: counts and hits.

use super::database::{Row, query};
use super::user::{columns, folded};
use super::{Error, Store, User, timed};
use crate::base::id::Uuid;

/// How many follow a user, and whom it follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Follows {
    /// Who follow it.
    pub followers: u64,
    /// Whom it follows.
    pub following: u64,
    /// Those who do both.
    pub mutual: u64,
}

/// A user that a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Who it is.
    pub user: User,
    /// Whether the user who searches follows it.
    pub is_following: bool,
}

impl TryFrom<&Row> for Hit {
    type Error = Error;

    fn try_from(row: &Row) -> Result<Hit, Error> {
        Ok(Hit {
            user: User::try_from(row)?,
            is_following: row.get("is_following")?,
        })
    }
}

impl Store {
    /// Makes a user follow another one of its tenant; whether it did not before.
    pub async fn add_follow(&self, follower: &User, followed: Uuid) -> Result<bool, Error> {
        timed(async {
            let insert = query(
                "INSERT INTO follows (follower_id, followed_id, created_us)
                 SELECT $1, id, $4 FROM users WHERE id = $2 AND application_id = $3
                 ON CONFLICT (follower_id, followed_id) DO NOTHING",
            )
            .bind(follower.id.to_string())
            .bind(followed.to_string())
            .bind(follower.application_id.as_str())
            .bind(self.now_us());
            Ok(self.database.execute(insert).await? > 0)
        })
        .await
    }

    /// Ends that a user follows another one; whether it did.
    pub async fn remove_follow(&self, follower: Uuid, followed: Uuid) -> Result<bool, Error> {
        timed(async {
            let delete = query("DELETE FROM follows WHERE follower_id = $1 AND followed_id = $2")
                .bind(follower.to_string())
                .bind(followed.to_string());
            Ok(self.database.execute(delete).await? > 0)
        })
        .await
    }

    /// How many follow a user, and whom it follows.
    pub async fn follows(&self, user: Uuid) -> Result<Follows, Error> {
        timed(async {
            let select = query(
                "SELECT
                     (SELECT COUNT(*) FROM follows WHERE followed_id = $1) AS followers,
                     (SELECT COUNT(*) FROM follows WHERE follower_id = $1) AS following,
                     (SELECT COUNT(*) FROM follows AS mine
                      JOIN follows AS theirs ON theirs.follower_id = mine.followed_id
                          AND theirs.followed_id = mine.follower_id
                      WHERE mine.follower_id = $1) AS mutual",
            );
            let row = self
                .database
                .fetch_optional(select.bind(user.to_string()))
                .await?;
            let row = row.ok_or(Error::Database(sqlx::Error::RowNotFound))?;
            let count = |column| Ok::<_, Error>(row.get::<i64>(column)?.unsigned_abs());
            Ok(Follows {
                followers: count("followers")?,
                following: count("following")?,
                mutual: count("mutual")?,
            })
        })
        .await
    }

    /// Users of the tenant of a user with `text` in one of their names, or with it as their address: those of
    /// that very name first, then those whose name begins so.
    pub async fn search_users(
        &self,
        searcher: &User,
        text: &str,
        limit: usize,
    ) -> Result<Vec<Hit>, Error> {
        let text = folded(text);
        let literal = text
            .replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_");
        let select = query(concat!(
            "SELECT ",
            columns!(),
            ", EXISTS (SELECT 1 FROM follows
                       WHERE follower_id = $2 AND followed_id = users.id) AS is_following
             FROM users
             WHERE application_id = $1 AND (email_key = $3 OR names_key LIKE $4 ESCAPE '\\')
             ORDER BY CASE WHEN username_key = $3 THEN 0
                           WHEN username_key LIKE $5 ESCAPE '\\' THEN 1 ELSE 2 END,
                 username_key, id
             LIMIT $6",
        ))
        .bind(searcher.application_id.as_str())
        .bind(searcher.id.to_string())
        .bind(text)
        .bind(format!("%{literal}%"))
        .bind(format!("{literal}%"))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        timed(async {
            let rows = self.database.fetch_all(select).await?;
            rows.iter().map(Hit::try_from).collect()
        })
        .await
    }
}
