//! Applications: who owns channels and signs tokens.

use sqlx::Row;

use super::keys::Known;
use super::{Error, Store, exists, timed};
use crate::base::clock::Wall;
use crate::base::secret::Secret;

/// An owner of channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// User name of the channel API.
    pub id: String,
    /// Password of the channel API, and key of its tokens.
    pub secret: Secret,
    /// When it was made.
    pub created: Wall,
}

impl Store {
    /// Makes the application, or gives it this secret.
    pub async fn ensure_application(&self, id: &str, secret: &Secret) -> Result<(), Error> {
        timed(async {
            sqlx::query(
                "INSERT INTO applications (id, secret, created_us) VALUES ($1, $2, $3)
                 ON CONFLICT (id) DO UPDATE SET secret = excluded.secret",
            )
            .bind(id)
            .bind(secret.expose())
            .bind(self.now_us())
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// Makes a new application. [`Error::Exists`] when the id is taken.
    pub async fn add_application(&self, id: &str, secret: &Secret) -> Result<(), Error> {
        timed(async {
            sqlx::query("INSERT INTO applications (id, secret, created_us) VALUES ($1, $2, $3)")
                .bind(id)
                .bind(secret.expose())
                .bind(self.now_us())
                .execute(&self.pool)
                .await
                .map_err(|error| exists(error, || format!("application {id}")))?;
            Ok(())
        })
        .await
    }

    /// Removes an application with its channels. [`Error::Missing`] when there is none.
    pub async fn remove_application(&self, id: &str) -> Result<(), Error> {
        timed(async {
            let mut change = self.begin_change().await?;
            let done = sqlx::query("DELETE FROM applications WHERE id = $1")
                .bind(id)
                .execute(&mut *change.transaction)
                .await?;
            match done.rows_affected() {
                0 => Err(Error::Missing(format!("application {id}"))),
                _ => {
                    let apply = |known: &mut Known| known.remove_application(id);
                    self.commit_change(change, apply).await
                }
            }
        })
        .await
    }

    /// All applications, oldest first.
    pub async fn applications(&self) -> Result<Vec<Application>, Error> {
        timed(async {
            let rows = sqlx::query(
                "SELECT id, secret, created_us FROM applications ORDER BY created_us, id",
            )
            .fetch_all(&self.pool)
            .await?;
            let application = |row: &sqlx::sqlite::SqliteRow| {
                Ok(Application {
                    id: row.try_get("id")?,
                    secret: Secret::new(row.try_get::<String, _>("secret")?),
                    created: Wall(row.try_get("created_us")?),
                })
            };
            rows.iter().map(application).collect()
        })
        .await
    }
}
