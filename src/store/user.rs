//! Users of a tenant: sign-up, profile, bearer tokens. In: what the API checked and hashed. Out: plain values.
//! Not here: how passwords are hashed, how phone numbers are read, who follows whom (`follow.rs`).

use std::time::Duration;

use super::database::{Query, Row, Transaction, query};
use super::hash::hash;
use super::{Error, Store, exists, stored, timed};
use crate::base::clock::Wall;
use crate::base::id::{Uuid, random_key};
use crate::base::secret::Secret;

/// Characters of a bearer token: 255 bits.
const BEARER_CHARACTERS: usize = 43;
/// How long a bearer token is good: phones keep people signed in.
const BEARER_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Bearer tokens of one user. One more ends the oldest.
const MAX_BEARERS: i64 = 20;

/// Bearer tokens that one statement deletes: other writers wait for it.
const DELETED_AT_ONCE: i64 = 500;

/// Columns of a user, in every query that reads one.
macro_rules! columns {
    () => {
        "users.id, users.application_id, users.username, users.email, users.password, users.phone, \
         users.phone_e164, users.first_name, users.last_name, users.display_name, users.avatar_url, \
         users.created_us, users.updated_us"
    };
}

pub(super) use columns;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// UUID.
    pub id: Uuid,
    /// Its tenant.
    pub application_id: String,
    /// Unique within the tenant, whatever the case of its letters.
    pub username: String,
    /// The same.
    pub email: String,
    /// argon2id in PHC form.
    pub password: Secret,
    /// As it was given; empty: unknown.
    pub phone: String,
    /// E.164, by which contacts find it; empty: unknown.
    pub phone_e164: String,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// What others see.
    pub display_name: Option<String>,
    /// Where its picture is, as the client said.
    pub avatar_url: Option<String>,
    /// When it signed up.
    pub created: Wall,
    /// When it was last changed.
    pub updated: Wall,
}

impl TryFrom<&Row> for User {
    type Error = Error;

    fn try_from(row: &Row) -> Result<User, Error> {
        let id: String = row.get("id")?;
        let uuid = Uuid::parse_str(&id);
        Ok(User {
            id: uuid.map_err(|_| Error::Damaged { what: "id", id })?,
            application_id: row.get("application_id")?,
            username: row.get("username")?,
            email: row.get("email")?,
            password: Secret::new(row.get::<String>("password")?),
            phone: row.get("phone")?,
            phone_e164: row.get("phone_e164")?,
            first_name: row.get("first_name")?,
            last_name: row.get("last_name")?,
            display_name: row.get("display_name")?,
            avatar_url: row.get("avatar_url")?,
            created: Wall(row.get("created_us")?),
            updated: Wall(row.get("updated_us")?),
        })
    }
}

/// As names and addresses are compared: Unicode letters of either case are the same.
pub(super) fn folded(text: &str) -> String {
    text.to_lowercase()
}

impl Store {
    /// Makes a user; times are set here. [`Error::Exists`] when the tenant has its name or address,
    /// [`Error::Missing`] when there is no such tenant.
    pub async fn create_user(&self, new: &User) -> Result<User, Error> {
        let now = self.now_us();
        timed(async {
            let insert = query(
                "INSERT INTO users (id, application_id, username, email, username_key, email_key,
                     names_key, phone, phone_e164, first_name, last_name, display_name, avatar_url,
                     created_us, updated_us, password)
                 SELECT $1, id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14, $15
                 FROM applications WHERE id = $2",
            )
            .bind(new.id.to_string())
            .bind(new.application_id.as_str());
            let insert = values(insert, new).bind(now).bind(new.password.expose());
            let inserted = self.database.execute(insert).await;
            match inserted.map_err(taken)? {
                0 => Err(Error::missing("application", &new.application_id)),
                _ => Ok(User {
                    created: Wall(now),
                    updated: Wall(now),
                    ..new.clone()
                }),
            }
        })
        .await
    }

    /// Changes everything of a user but its id, its tenant and its password. [`Error::Exists`] when its new
    /// name or address is taken, [`Error::Missing`] when it is gone.
    pub async fn update_user(&self, user: &User) -> Result<User, Error> {
        let now = self.now_us();
        timed(async {
            let update = query(
                "UPDATE users SET username = $3, email = $4, username_key = $5, email_key = $6,
                     names_key = $7, phone = $8, phone_e164 = $9, first_name = $10, last_name = $11,
                     display_name = $12, avatar_url = $13, updated_us = $14
                 WHERE id = $1 AND application_id = $2",
            )
            .bind(user.id.to_string())
            .bind(user.application_id.as_str());
            let updated = self.database.execute(values(update, user).bind(now)).await;
            match updated.map_err(taken)? {
                0 => Err(missing(user.id)),
                _ => Ok(User {
                    updated: Wall(now),
                    ..user.clone()
                }),
            }
        })
        .await
    }

    /// Removes a user with its tokens, follows, contacts and files. [`Error::Missing`] when it is gone.
    pub async fn delete_user(&self, id: Uuid) -> Result<(), Error> {
        timed(async {
            let delete = query("DELETE FROM users WHERE id = $1").bind(id.to_string());
            match self.database.execute(delete).await? {
                0 => Err(missing(id)),
                _ => Ok(()),
            }
        })
        .await
    }

    /// A tenant's user.
    pub async fn user(&self, application_id: &str, id: Uuid) -> Result<Option<User>, Error> {
        let select = concat!(
            "SELECT ",
            columns!(),
            " FROM users WHERE id = $1 AND application_id = $2"
        );
        let select = query(select).bind(id.to_string()).bind(application_id);
        self.one_user(select).await
    }

    /// A tenant's user by its address.
    pub async fn user_by_email(
        &self,
        application_id: &str,
        email: &str,
    ) -> Result<Option<User>, Error> {
        let select = concat!(
            "SELECT ",
            columns!(),
            " FROM users WHERE application_id = $1 AND email_key = $2"
        );
        let select = query(select).bind(application_id).bind(folded(email));
        self.one_user(select).await
    }

    /// A tenant's users, oldest first.
    pub async fn users(
        &self,
        application_id: &str,
        limit: usize,
        offset: u64,
    ) -> Result<Vec<User>, Error> {
        let select = concat!(
            "SELECT ",
            columns!(),
            " FROM users WHERE application_id = $1 ORDER BY created_us, id LIMIT $2 OFFSET $3"
        );
        timed(async {
            let rows = query(select).bind(application_id);
            let rows = rows.bind(stored(limit as u64)).bind(stored(offset));
            let rows = self.database.fetch_all(rows).await?;
            rows.iter().map(User::try_from).collect()
        })
        .await
    }

    /// Gives a user another password and ends its bearer tokens but one. [`Error::Missing`] when it is gone,
    /// or its password was changed meanwhile.
    pub async fn change_password(
        &self,
        user: &User,
        password: &Secret,
        kept: &str,
    ) -> Result<(), Error> {
        let now = self.now_us();
        timed(async {
            let mut transaction = self.database.begin_rows().await?;
            let update = query(
                "UPDATE users SET password = $2, updated_us = $3 WHERE id = $1 AND password = $4",
            )
            .bind(user.id.to_string())
            .bind(password.expose())
            .bind(now)
            .bind(user.password.expose());
            if transaction.execute(update).await? == 0 {
                return Err(missing(user.id));
            }
            let others = query("DELETE FROM bearers WHERE user_id = $1 AND hash <> $2")
                .bind(user.id.to_string())
                .bind(hash(kept).as_slice());
            transaction.execute(others).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// A new bearer token of a user. It is known by its SHA-256 from now on. [`Error::Missing`] when the user
    /// is gone, or its password was changed meanwhile.
    pub async fn issue_bearer(&self, user: &User) -> Result<Secret, Error> {
        timed(async {
            let mut transaction = self.database.begin_rows().await?;
            let token = self.add_bearer(&mut transaction, user).await?;
            transaction.commit().await?;
            Ok(token)
        })
        .await
    }

    /// A new bearer token in place of another, which ends. [`Error::Missing`] when that is over already.
    pub async fn rotate_bearer(&self, user: &User, old: &str) -> Result<Secret, Error> {
        timed(async {
            let mut transaction = self.database.begin_rows().await?;
            let delete = query("DELETE FROM bearers WHERE hash = $1 AND user_id = $2")
                .bind(hash(old).as_slice())
                .bind(user.id.to_string());
            if transaction.execute(delete).await? == 0 {
                return Err(missing(user.id));
            }
            let token = self.add_bearer(&mut transaction, user).await?;
            transaction.commit().await?;
            Ok(token)
        })
        .await
    }

    async fn add_bearer(
        &self,
        transaction: &mut Transaction,
        user: &User,
    ) -> Result<Secret, Error> {
        let token = random_key(BEARER_CHARACTERS);
        let now = self.now_us();
        let lifetime = i64::try_from(BEARER_LIFETIME.as_micros()).unwrap_or(i64::MAX);
        let insert = query(
            "INSERT INTO bearers (hash, user_id, created_us, expires_us)
             SELECT $2, id, $3, $4 FROM users WHERE id = $1 AND password = $5",
        )
        .bind(user.id.to_string())
        .bind(hash(&token).as_slice())
        .bind(now)
        .bind(now.saturating_add(lifetime))
        .bind(user.password.expose());
        if transaction.execute(insert).await? == 0 {
            return Err(missing(user.id));
        }
        // Those that are over go with the surplus.
        let surplus = query(
            "DELETE FROM bearers WHERE user_id = $1 AND (expires_us <= $2 OR hash NOT IN (
                 SELECT hash FROM bearers WHERE user_id = $1
                 ORDER BY created_us DESC, CASE WHEN hash = $4 THEN 0 ELSE 1 END, hash LIMIT $3))",
        )
        .bind(user.id.to_string())
        .bind(now)
        .bind(MAX_BEARERS)
        .bind(hash(&token).as_slice());
        transaction.execute(surplus).await?;
        Ok(Secret::new(token))
    }

    /// The user of a bearer token that is still good.
    pub async fn user_of_bearer(&self, token: &str) -> Result<Option<User>, Error> {
        let select = concat!(
            "SELECT ",
            columns!(),
            " FROM bearers JOIN users ON users.id = bearers.user_id
             WHERE bearers.hash = $1 AND bearers.expires_us > $2"
        );
        let select = query(select)
            .bind(hash(token).as_slice())
            .bind(self.now_us());
        self.one_user(select).await
    }

    /// Ends one bearer token.
    pub async fn revoke_bearer(&self, token: &str) -> Result<(), Error> {
        timed(async {
            let delete = query("DELETE FROM bearers WHERE hash = $1").bind(hash(token).as_slice());
            self.database.execute(delete).await?;
            Ok(())
        })
        .await
    }

    /// Deletes bearer tokens that are over, a few at a time, and says how many.
    pub(super) async fn sweep_bearers(&self) -> Result<u64, Error> {
        let mut deleted = 0;
        loop {
            let over = query(
                "DELETE FROM bearers WHERE hash IN (
                     SELECT hash FROM bearers WHERE expires_us <= $1 ORDER BY expires_us LIMIT $2)",
            );
            let over = over.bind(self.now_us()).bind(DELETED_AT_ONCE);
            match self.delete_some(over).await? {
                0 => return Ok(deleted),
                rows => deleted += rows,
            }
        }
    }

    async fn one_user(&self, select: Query) -> Result<Option<User>, Error> {
        timed(async {
            let row = self.database.fetch_optional(select).await?;
            row.as_ref().map(User::try_from).transpose()
        })
        .await
    }
}

/// Parameters 3 to 13 of what writes a user.
fn values(query: Query, user: &User) -> Query {
    query
        .bind(user.username.as_str())
        .bind(user.email.as_str())
        .bind(folded(&user.username))
        .bind(folded(&user.email))
        .bind(names_key(user))
        .bind(user.phone.as_str())
        .bind(user.phone_e164.as_str())
        .bind(user.first_name.clone())
        .bind(user.last_name.clone())
        .bind(user.display_name.clone())
        .bind(user.avatar_url.clone())
}

/// What a search looks at: all names of a user, one in a line.
fn names_key(user: &User) -> String {
    let word = |word: &Option<String>| word.clone().unwrap_or_default();
    let (first, last) = (word(&user.first_name), word(&user.last_name));
    let shown = word(&user.display_name);
    folded(&format!("{}\n{first} {last}\n{shown}", user.username))
}

fn taken(error: Error) -> Error {
    exists(error, || "a user of this name or address".to_owned())
}

pub(super) fn missing(id: Uuid) -> Error {
    Error::missing("user", id)
}
