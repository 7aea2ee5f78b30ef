//! Applications: who owns channels and signs tokens.

use std::sync::Arc;

use super::database::{Row, query};
use super::known::Known;
use super::{Error, Store, exists, timed};
use crate::base::clock::Wall;
use crate::base::id::random_key;
use crate::base::secret::Secret;

/// Characters of a generated secret: 190 bits.
const SECRET_CHARACTERS: usize = 32;

/// A new secret of an application.
pub fn random_secret() -> Secret {
    Secret::new(random_key(SECRET_CHARACTERS))
}

/// All applications, oldest first.
pub(super) const ALL: &str =
    "SELECT id, secret, created_us FROM applications ORDER BY created_us, id";

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

impl TryFrom<&Row> for Application {
    type Error = Error;

    fn try_from(row: &Row) -> Result<Application, Error> {
        Ok(Application {
            id: row.get("id")?,
            secret: Secret::new(row.get::<String>("secret")?),
            created: Wall(row.get("created_us")?),
        })
    }
}

impl Store {
    /// Makes the application, or gives it this secret.
    pub async fn ensure_application(&self, id: &str, secret: &Secret) -> Result<(), Error> {
        self.changing(async {
            let mut change = self.begin_change().await?;
            let select = query("SELECT id, secret, created_us FROM applications WHERE id = $1");
            let row = change.transaction.fetch_optional(select.bind(id)).await?;
            let old = row.as_ref().map(Application::try_from).transpose()?;
            if old.as_ref().is_some_and(|old| old.secret == *secret) {
                return Ok(());
            }
            let application = Application {
                id: id.to_owned(),
                secret: secret.clone(),
                created: old.map_or_else(|| self.clock.wall(), |old| old.created),
            };
            let upsert = query(
                "INSERT INTO applications (id, secret, created_us) VALUES ($1, $2, $3)
                 ON CONFLICT (id) DO UPDATE SET secret = excluded.secret",
            )
            .bind(id)
            .bind(secret.expose())
            .bind(application.created.0);
            change.transaction.execute(upsert).await?;
            let application = Arc::new(application);
            self.commit_change(change, |known| known.put_application(application))
                .await
        })
        .await
    }

    /// Makes a new application. [`Error::Exists`] when the id is taken.
    pub async fn add_application(&self, id: &str, secret: &Secret) -> Result<(), Error> {
        let application = Application {
            id: id.to_owned(),
            secret: secret.clone(),
            created: self.clock.wall(),
        };
        let insert = query("INSERT INTO applications (id, secret, created_us) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(secret.expose())
            .bind(application.created.0);
        self.changing(async {
            let mut change = self.begin_change().await?;
            let inserted = change.transaction.execute(insert).await;
            inserted.map_err(|error| exists(error, || format!("application {id}")))?;
            let application = Arc::new(application);
            self.commit_change(change, |known| known.put_application(application))
                .await
        })
        .await
    }

    /// Gives an application a new random secret. [`Error::Missing`] when there is none.
    pub async fn rotate_secret(&self, id: &str) -> Result<Secret, Error> {
        let secret = random_secret();
        self.changing(async {
            let mut change = self.begin_change().await?;
            let update = query(
                "UPDATE applications SET secret = $1 WHERE id = $2
                 RETURNING id, secret, created_us",
            );
            let update = update.bind(secret.expose()).bind(id);
            let row = change.transaction.fetch_optional(update).await?;
            let row = row.ok_or_else(|| missing(id))?;
            let application = Arc::new(Application::try_from(&row)?);
            self.commit_change(change, |known| known.put_application(application))
                .await
        })
        .await?;
        Ok(secret)
    }

    /// Removes an application with its channels. [`Error::Missing`] when there is none.
    pub async fn remove_application(&self, id: &str) -> Result<(), Error> {
        self.changing(async {
            let mut change = self.begin_change().await?;
            let delete = query("DELETE FROM applications WHERE id = $1").bind(id);
            match change.transaction.execute(delete).await? {
                0 => Err(missing(id)),
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
            let rows = self.database.fetch_all(query(ALL)).await?;
            rows.iter().map(Application::try_from).collect()
        })
        .await
    }
}

fn missing(id: &str) -> Error {
    Error::missing("application", id)
}
