//! Applications: who owns channels and signs tokens.

use std::sync::Arc;

use super::database::{Query, Row, query};
use super::hash::{KeyHash, hash};
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

/// Columns of an application, in every query that reads one.
macro_rules! columns {
    () => {
        "id, secret, api_key_hash, requests_per_hour, created_us"
    };
}

/// All applications, oldest first.
pub(super) const ALL: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM applications ORDER BY created_us, id"
);

/// An owner of channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// User name of the channel API.
    pub id: String,
    /// Password of the channel API, and key of its tokens and signatures.
    pub secret: Secret,
    /// SHA-256 of the API key; `None`: it was not registered as an SDK client.
    pub(super) api_key: Option<KeyHash>,
    /// Requests with the API key in an hour; `None`: the default.
    pub requests_per_hour: Option<u32>,
    /// When it was made.
    pub created: Wall,
}

impl Application {
    /// Whether the API key of another state of it is the same.
    pub fn has_key_of(&self, other: &Application) -> bool {
        self.api_key == other.api_key
    }
}

impl TryFrom<&Row> for Application {
    type Error = Error;

    fn try_from(row: &Row) -> Result<Application, Error> {
        let id: String = row.get("id")?;
        let damaged = |what| {
            let id = id.clone();
            Error::Damaged { what, id }
        };
        let api_key: Option<Vec<u8>> = row.get("api_key_hash")?;
        let api_key = api_key.map(|hash| hash.try_into().map_err(|_| damaged("API key")));
        let limit: Option<i64> = row.get("requests_per_hour")?;
        let limit = limit.map(|limit| u32::try_from(limit).map_err(|_| damaged("limit")));
        Ok(Application {
            api_key: api_key.transpose()?,
            requests_per_hour: limit.transpose()?,
            id,
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
            let select = query(concat!(
                "SELECT ",
                columns!(),
                " FROM applications WHERE id = $1"
            ));
            let row = change.transaction.fetch_optional(select.bind(id)).await?;
            let old = row.as_ref().map(Application::try_from).transpose()?;
            if old.as_ref().is_some_and(|old| old.secret == *secret) {
                return Ok(());
            }
            let mut application = old.unwrap_or_else(|| self.new_application(id, secret));
            application.secret = secret.clone();
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
        let application = self.new_application(id, secret);
        let insert = query("INSERT INTO applications (id, secret, created_us) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(secret.expose())
            .bind(application.created.0);
        self.insert_application(insert, application).await
    }

    async fn insert_application(
        &self,
        insert: Query,
        application: Application,
    ) -> Result<(), Error> {
        self.changing(async {
            let mut change = self.begin_change().await?;
            let inserted = change.transaction.execute(insert).await;
            inserted
                .map_err(|error| exists(error, || format!("application {}", application.id)))?;
            let application = Arc::new(application);
            self.commit_change(change, |known| known.put_application(application))
                .await
        })
        .await
    }

    fn new_application(&self, id: &str, secret: &Secret) -> Application {
        Application {
            id: id.to_owned(),
            secret: secret.clone(),
            api_key: None,
            requests_per_hour: None,
            created: self.clock.wall(),
        }
    }

    /// Makes an application of an SDK client, with an API key and a secret. `registration` is what was said
    /// of it, a JSON object. [`Error::Exists`] when the id or the key is taken.
    pub async fn register_client(
        &self,
        id: &str,
        api_key: &Secret,
        secret: &Secret,
        registration: &str,
    ) -> Result<(), Error> {
        let api_key = hash(api_key.expose());
        let application = Application {
            api_key: Some(api_key),
            ..self.new_application(id, secret)
        };
        let insert = query(
            "INSERT INTO applications (id, secret, api_key_hash, registration, created_us)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(id)
        .bind(secret.expose())
        .bind(api_key.as_slice())
        .bind(registration)
        .bind(application.created.0);
        self.insert_application(insert, application).await
    }

    /// Gives an application a new random secret. [`Error::Missing`] when there is none.
    pub async fn rotate_secret(&self, id: &str) -> Result<Secret, Error> {
        let secret = random_secret();
        self.changing(async {
            let mut change = self.begin_change().await?;
            let update = query(concat!(
                "UPDATE applications SET secret = $1 WHERE id = $2 RETURNING ",
                columns!()
            ));
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
