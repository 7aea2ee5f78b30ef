//! Contacts of users, by phone number. In: what the API read and normalised. Out: contacts, each with the
//! user of the same tenant whose number it is. Not here: how phone numbers are read.

use std::fmt::Write;

use super::database::{Query, Row, query, query_of};
use super::user::missing;
use super::{Error, Store, User, exists, timed};
use crate::base::clock::Wall;
use crate::base::id::Uuid;

/// Contacts of one user: several times what phones hold.
pub const MAX_CONTACTS: i64 = 10_000;
/// Contacts written by one statement: some thousand parameters, of which SQLite takes 32,766.
const WRITTEN_AT_ONCE: usize = 500;
/// Parameters of a contact that is written.
const PARAMETERS: usize = 10;

/// What a user says of a contact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewContact {
    /// As it was given.
    pub phone: String,
    /// E.164, or whatever the number is found again by; unique among the contacts of a user, never empty.
    pub phone_e164: String,
    /// What the user calls it.
    pub display_name: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Its address.
    pub email: Option<String>,
}

/// A contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// UUID.
    pub id: Uuid,
    /// What its owner says of it.
    pub content: NewContact,
    /// The user of the owner's tenant with this number; of several the oldest.
    pub user: Option<Uuid>,
    /// Whether the owner follows that user.
    pub is_following: bool,
    /// Whether that user follows the owner.
    pub is_followed_by: bool,
    /// When it came.
    pub created: Wall,
    /// When it was last changed.
    pub updated: Wall,
}

fn uuid(id: String) -> Result<Uuid, Error> {
    let uuid = Uuid::parse_str(&id);
    uuid.map_err(|_| Error::Damaged { what: "id", id })
}

impl TryFrom<&Row> for Contact {
    type Error = Error;

    fn try_from(row: &Row) -> Result<Contact, Error> {
        let user: Option<String> = row.get("found_id")?;
        Ok(Contact {
            id: uuid(row.get("id")?)?,
            content: NewContact {
                phone: row.get("phone")?,
                phone_e164: row.get("phone_e164")?,
                display_name: row.get("display_name")?,
                first_name: row.get("first_name")?,
                last_name: row.get("last_name")?,
                email: row.get("email")?,
            },
            user: user.map(uuid).transpose()?,
            is_following: row.get("is_following")?,
            is_followed_by: row.get("is_followed_by")?,
            created: Wall(row.get("created_us")?),
            updated: Wall(row.get("updated_us")?),
        })
    }
}

/// Contacts of the user $1 of the tenant $2.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT found.*,
                 EXISTS (SELECT 1 FROM follows
                         WHERE follower_id = $1 AND followed_id = found.found_id) AS is_following,
                 EXISTS (SELECT 1 FROM follows
                         WHERE followed_id = $1 AND follower_id = found.found_id) AS is_followed_by
             FROM (SELECT contacts.*,
                       (SELECT users.id FROM users
                        WHERE users.application_id = $2 AND users.phone_e164 = contacts.phone_e164
                        ORDER BY users.created_us, users.id LIMIT 1) AS found_id
                   FROM contacts WHERE user_id = $1",
            $condition,
            ") AS found
             ORDER BY found.created_us, found.id"
        )
    };
}

fn of_owner(select: &'static str, owner: &User) -> Query {
    let select = query(select).bind(owner.id.to_string());
    select.bind(owner.application_id.as_str())
}

impl Store {
    /// Makes contacts, and changes those whose number a user has already: what is not said of them stays. No
    /// two of `contacts` may have the same number. [`Error::Full`] when the user has too many, and then
    /// nothing has changed.
    pub async fn sync_contacts(&self, owner: &User, contacts: &[NewContact]) -> Result<(), Error> {
        let now = self.now_us();
        timed(async {
            let mut transaction = self.database.begin_rows().await?;
            for some in contacts.chunks(WRITTEN_AT_ONCE) {
                let upsert = some.iter().fold(upsert(some.len()), |query, contact| {
                    let query = query.bind(Uuid::new_v4().to_string());
                    values(query.bind(owner.id.to_string()), contact)
                        .bind(now)
                        .bind(now)
                });
                transaction.execute(upsert).await?;
            }
            let count = query("SELECT COUNT(*) AS count FROM contacts WHERE user_id = $1");
            let count = transaction
                .fetch_one(count.bind(owner.id.to_string()))
                .await?;
            if count.get::<i64>("count")? > MAX_CONTACTS {
                return Err(Error::Full {
                    what: "contact",
                    limit: MAX_CONTACTS.unsigned_abs(),
                });
            }
            transaction.commit().await?;
            Ok(())
        })
        .await
        .map_err(|error| gone(error, owner))
    }

    /// All contacts of a user, oldest first.
    pub async fn contacts(&self, owner: &User) -> Result<Vec<Contact>, Error> {
        timed(async {
            let rows = self
                .database
                .fetch_all(of_owner(select!(""), owner))
                .await?;
            rows.iter().map(Contact::try_from).collect()
        })
        .await
    }

    /// A contact of a user.
    pub async fn contact(&self, owner: &User, id: Uuid) -> Result<Option<Contact>, Error> {
        let select = of_owner(select!(" AND id = $3"), owner).bind(id.to_string());
        timed(async {
            let row = self.database.fetch_optional(select).await?;
            row.as_ref().map(Contact::try_from).transpose()
        })
        .await
    }

    /// Says everything of a contact anew. [`Error::Exists`] when another one of its owner has the number,
    /// [`Error::Missing`] when it is gone.
    pub async fn update_contact(
        &self,
        owner: &User,
        id: Uuid,
        content: &NewContact,
    ) -> Result<(), Error> {
        let update = query(
            "UPDATE contacts SET phone = $3, phone_e164 = $4, display_name = $5, first_name = $6,
                 last_name = $7, email = $8, updated_us = $9
             WHERE id = $1 AND user_id = $2",
        )
        .bind(id.to_string())
        .bind(owner.id.to_string());
        let update = values(update, content).bind(self.now_us());
        timed(async {
            let updated = self.database.execute(update).await;
            let taken = |error| exists(error, || "a contact of this number".to_owned());
            match updated.map_err(taken)? {
                0 => Err(Error::missing("contact", id)),
                _ => Ok(()),
            }
        })
        .await
    }
}

/// What is said of a contact, as parameters.
fn values(query: Query, contact: &NewContact) -> Query {
    query
        .bind(contact.phone.as_str())
        .bind(contact.phone_e164.as_str())
        .bind(contact.display_name.clone())
        .bind(contact.first_name.clone())
        .bind(contact.last_name.clone())
        .bind(contact.email.clone())
}

/// The statement that writes `rows` contacts.
fn upsert(rows: usize) -> Query {
    let mut sql = "INSERT INTO contacts (id, user_id, phone, phone_e164, display_name, first_name,
         last_name, email, created_us, updated_us) VALUES "
        .to_owned();
    for row in 0..rows {
        let separator = if row == 0 { "(" } else { "), (" };
        sql.push_str(separator);
        for parameter in 1..=PARAMETERS {
            let separator = if parameter == 1 { "" } else { ", " };
            // Writing to memory does not fail.
            let _ = write!(sql, "{separator}${}", row * PARAMETERS + parameter);
        }
    }
    sql.push_str(
        ") ON CONFLICT (user_id, phone_e164) DO UPDATE SET phone = excluded.phone,
         display_name = COALESCE(excluded.display_name, contacts.display_name),
         first_name = COALESCE(excluded.first_name, contacts.first_name),
         last_name = COALESCE(excluded.last_name, contacts.last_name),
         email = COALESCE(excluded.email, contacts.email),
         updated_us = excluded.updated_us",
    );
    query_of(sql)
}

/// A contact whose owner is gone has none.
fn gone(error: Error, owner: &User) -> Error {
    match &error {
        Error::Database(sqlx::Error::Database(refusal)) if refusal.is_foreign_key_violation() => {
            missing(owner.id)
        }
        _ => error,
    }
}
