//! Webhooks: where an application wants to hear of its broadcasts and publishers. In: what the API checked.
//! Out: plain values. Not here: what is to be told and when (`delivery.rs`).

use super::database::{Row, Transaction, query};
use super::{Error, Store, json, timed};
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::base::secret::Secret;

/// Webhooks of one application: each takes a row and a request for every event.
pub const MAX_WEBHOOKS: u64 = 10;

/// Columns of a webhook, in every query that reads one.
macro_rules! columns {
    () => {
        "id, application_id, url, description, events, secret, old_secret, old_until_us, active, \
         off_reason, failing_since_us, failures, created_us, updated_us"
    };
}
pub(super) use columns;

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", columns!(), " FROM webhooks ", $rest)
    };
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// UUID.
    pub id: Uuid,
    /// Whose events it hears of.
    pub application_id: String,
    /// Where it goes.
    pub url: String,
    /// For people.
    pub description: String,
    /// Which events; empty: all.
    pub events: Vec<String>,
    /// What bodies are signed with.
    pub secret: Secret,
    /// The secret before, and until when it signs as well.
    pub old_secret: Option<(Secret, Wall)>,
    /// Whether it is told anything.
    pub active: bool,
    /// Why the gateway switched it off.
    pub off_reason: Option<String>,
    /// Since when no attempt has succeeded.
    pub failing_since: Option<Wall>,
    /// Attempts that failed since then.
    pub failures: u32,
    /// When it was made.
    pub created: Wall,
    /// When its owner last changed it.
    pub updated: Wall,
}

/// What a webhook is made of.
#[derive(Clone, Debug)]
pub struct NewWebhook<'a> {
    /// Whose it is, which exists.
    pub application_id: &'a str,
    /// Where it goes.
    pub url: &'a str,
    /// For people.
    pub description: &'a str,
    /// Which events; empty: all.
    pub events: &'a [String],
    /// What bodies are signed with.
    pub secret: &'a Secret,
    /// Whether it is told anything.
    pub active: bool,
}

/// What is changed of a webhook; `None`: it stays.
#[derive(Clone, Debug, Default)]
pub struct WebhookUpdate {
    /// Where it goes.
    pub url: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Which events; empty: all.
    pub events: Option<Vec<String>>,
    /// Whether it is told anything.
    pub active: Option<bool>,
}

impl TryFrom<&Row> for Webhook {
    type Error = Error;

    fn try_from(row: &Row) -> Result<Webhook, Error> {
        let id: String = row.get("id")?;
        let damaged = |what| Error::Damaged {
            what,
            id: id.clone(),
        };
        let old: Option<String> = row.get("old_secret")?;
        let until: Option<i64> = row.get("old_until_us")?;
        let failing_since: Option<i64> = row.get("failing_since_us")?;
        let failures: i64 = row.get("failures")?;
        let events: &str = row.get("events")?;
        Ok(Webhook {
            id: Uuid::parse_str(&id).map_err(|_| damaged("id"))?,
            application_id: row.get("application_id")?,
            url: row.get("url")?,
            description: row.get("description")?,
            events: serde_json::from_str(events).map_err(|_| damaged("events"))?,
            secret: Secret::new(row.get::<String>("secret")?),
            old_secret: old.zip(until).map(|(old, us)| (Secret::new(old), Wall(us))),
            active: row.get("active")?,
            off_reason: row.get("off_reason")?,
            failing_since: failing_since.map(Wall),
            failures: u32::try_from(failures).unwrap_or(u32::MAX),
            created: Wall(row.get("created_us")?),
            updated: Wall(row.get("updated_us")?),
        })
    }
}

impl Store {
    /// Makes a webhook. [`Error::Full`] when its application has [`MAX_WEBHOOKS`], [`Error::Missing`] when there
    /// is no such application.
    pub async fn create_webhook(&self, new: &NewWebhook<'_>) -> Result<Webhook, Error> {
        let id = Uuid::new_v4();
        let now = self.now_us();
        timed(async {
            // By the one writer, so that what is counted holds.
            let mut transaction = self.database.begin().await?;
            let select = query(
                "SELECT (SELECT COUNT(*) FROM webhooks WHERE application_id = $1) AS webhooks,
                     EXISTS (SELECT 1 FROM applications WHERE id = $1) AS owner",
            );
            let row = transaction
                .fetch_one(select.bind(new.application_id))
                .await?;
            if !row.get::<bool>("owner")? {
                return Err(Error::missing("application", new.application_id));
            }
            if row.get::<i64>("webhooks")?.unsigned_abs() >= MAX_WEBHOOKS {
                return Err(Error::Full {
                    what: "webhook",
                    limit: MAX_WEBHOOKS,
                });
            }
            let insert = query(concat!(
                "INSERT INTO webhooks (id, application_id, url, description, events, secret, active,
                     created_us, updated_us)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) RETURNING ",
                columns!()
            ))
            .bind(id.to_string())
            .bind(new.application_id)
            .bind(new.url)
            .bind(new.description)
            .bind(json(new.events))
            .bind(new.secret.expose())
            .bind(new.active)
            .bind(now);
            let row = transaction.fetch_one(insert).await?;
            transaction.commit().await?;
            Webhook::try_from(&row)
        })
        .await
    }

    /// Webhooks of an application, oldest first.
    pub async fn webhooks_of(&self, application_id: &str) -> Result<Vec<Webhook>, Error> {
        let select = query(select!("WHERE application_id = $1 ORDER BY created_us, id"));
        timed(async {
            let rows = self.database.fetch_all(select.bind(application_id)).await?;
            rows.iter().map(Webhook::try_from).collect()
        })
        .await
    }

    /// A webhook of an application. [`Error::Missing`] when it has no such.
    pub async fn webhook(&self, application_id: &str, id: Uuid) -> Result<Webhook, Error> {
        let select = query(select!("WHERE application_id = $1 AND id = $2"));
        let select = select.bind(application_id).bind(id.to_string());
        timed(async {
            let row = self.database.fetch_optional(select).await?;
            Webhook::try_from(&row.ok_or_else(|| missing(id))?)
        })
        .await
    }

    /// Changes a webhook. One that is switched on begins anew, whatever failed before; of one that is switched
    /// off, what is pending is not sent any more. [`Error::Missing`] when the application has no such.
    pub async fn update_webhook(
        &self,
        application_id: &str,
        id: Uuid,
        update: &WebhookUpdate,
    ) -> Result<Webhook, Error> {
        let now = self.now_us();
        timed(async {
            let mut transaction = self.database.begin_rows().await?;
            // Locks its row.
            let old = query(concat!(
                "UPDATE webhooks SET updated_us = $3 WHERE application_id = $1 AND id = $2 RETURNING ",
                columns!()
            ))
            .bind(application_id)
            .bind(id.to_string())
            .bind(now);
            let old = transaction.fetch_optional(old).await?;
            let old = Webhook::try_from(&old.ok_or_else(|| missing(id))?)?;
            let active = update.active.unwrap_or(old.active);
            let begins = update.active == Some(true);
            let query = query(concat!(
                "UPDATE webhooks SET url = $2, description = $3, events = $4, active = $5,
                     off_reason = CASE WHEN $6 THEN NULL ELSE off_reason END,
                     failing_since_us = CASE WHEN $6 THEN NULL ELSE failing_since_us END,
                     failures = CASE WHEN $6 THEN 0 ELSE failures END
                 WHERE id = $1 RETURNING ",
                columns!()
            ))
            .bind(id.to_string())
            .bind(update.url.clone().unwrap_or(old.url))
            .bind(update.description.clone().unwrap_or(old.description))
            .bind(json(update.events.as_deref().unwrap_or(&old.events)))
            .bind(active)
            .bind(begins);
            let row = transaction.fetch_one(query).await?;
            if !active {
                drop_pending(&mut transaction, id).await?;
            }
            transaction.commit().await?;
            Webhook::try_from(&row)
        })
        .await
    }

    /// Gives a webhook another secret; the one before signs as well until `until`. [`Error::Missing`] when the
    /// application has no such webhook.
    pub async fn rotate_webhook_secret(
        &self,
        application_id: &str,
        id: Uuid,
        secret: &Secret,
        until: Wall,
    ) -> Result<Webhook, Error> {
        let update = query(concat!(
            "UPDATE webhooks SET old_secret = secret, old_until_us = $3, secret = $4, updated_us = $5
             WHERE application_id = $1 AND id = $2 RETURNING ",
            columns!()
        ))
        .bind(application_id)
        .bind(id.to_string())
        .bind(until.0)
        .bind(secret.expose())
        .bind(self.now_us());
        timed(async {
            let mut transaction = self.database.begin_rows().await?;
            let row = transaction.fetch_optional(update).await?;
            let row = row.ok_or_else(|| missing(id))?;
            transaction.commit().await?;
            Webhook::try_from(&row)
        })
        .await
    }

    /// Removes a webhook with its deliveries. [`Error::Missing`] when the application has no such.
    pub async fn remove_webhook(&self, application_id: &str, id: Uuid) -> Result<(), Error> {
        let delete = query("DELETE FROM webhooks WHERE application_id = $1 AND id = $2");
        let delete = delete.bind(application_id).bind(id.to_string());
        timed(async {
            match self.database.execute(delete).await? {
                0 => Err(missing(id)),
                _ => Ok(()),
            }
        })
        .await
    }
}

/// What is pending of a webhook that is switched off is not tried any more.
pub(super) async fn drop_pending(transaction: &mut Transaction, id: Uuid) -> Result<(), Error> {
    let update = query(
        "UPDATE webhook_deliveries SET next_us = NULL,
             error = COALESCE(error, 'the webhook was switched off')
         WHERE webhook_id = $1 AND next_us IS NOT NULL",
    );
    transaction.execute(update.bind(id.to_string())).await?;
    Ok(())
}

pub(super) fn missing(id: Uuid) -> Error {
    Error::missing("webhook", id)
}
