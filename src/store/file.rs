//! Files of users: what is known about them (contract, broadcasts, section 10). In: what the API checked.
//! Out: plain values. Not here: their bytes.

use super::database::{Query, Row, query, query_of};
use super::{Error, Store, json, stored, timed};
use crate::base::clock::Wall;
use crate::base::id::Uuid;

/// Files of one user. Bounds the table and the disk against one who uploads without end.
pub const MAX_FILES_OF_USER: u64 = 10_000;
/// Files in a list, the newest first: lists have no pages.
const MAX_LISTED: u64 = 1000;

/// Columns of a file, in every query that reads one.
const COLUMNS: &str = "files.id, files.user_id, files.for_contact_id, files.for_message_id, \
     files.for_call_id, files.for_broadcast_id, files.name, files.description, files.mime_type, \
     files.path_original, files.path_thumbnail, files.path_small, files.path_medium, files.path_large, \
     files.size_bytes, files.category, files.tags, files.location, files.stored, files.created_us, \
     files.updated_us";

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// UUID.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// What it belongs to.
    pub links: FileLinks,
    /// As the user calls it. Nothing is opened by this name.
    pub name: String,
    /// What the user says about it.
    pub description: Option<String>,
    /// Of the stored bytes, or as the client said.
    pub mime_type: String,
    /// Where its bytes are.
    pub paths: FilePaths,
    /// Bytes of the original.
    pub size_bytes: u64,
    /// One word, such as `profile`.
    pub category: Option<String>,
    /// Words.
    pub tags: Option<Vec<String>>,
    /// Where it was made, as the user says.
    pub location: Option<String>,
    /// Whether its bytes are here. Otherwise paths are the client's, and nothing is known of what they name.
    pub stored: bool,
    /// When it was made.
    pub created: Wall,
    /// When it was last changed.
    pub updated: Wall,
}

/// What a file belongs to: ids as the client gave them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileLinks {
    /// A contact of its user.
    pub contact: Option<String>,
    /// A message.
    pub message: Option<String>,
    /// A call.
    pub call: Option<String>,
    /// A broadcast.
    pub broadcast: Option<String>,
}

/// Paths of a file and of its smaller pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilePaths {
    /// As it was sent.
    pub original: String,
    /// The smallest picture of it.
    pub thumbnail: Option<String>,
    /// A small one.
    pub small: Option<String>,
    /// A medium one.
    pub medium: Option<String>,
    /// A large one.
    pub large: Option<String>,
}

/// Which files.
#[derive(Clone, Copy, Debug)]
pub enum FilesOf<'a> {
    /// Those of a user, or only those of one category and with one tag.
    User {
        /// Whose.
        id: Uuid,
        /// Of this category.
        category: Option<&'a str>,
        /// With this tag.
        tag: Option<&'a str>,
    },
    /// A user's files for one of its contacts.
    Contact(Uuid, &'a str),
    /// Files for a message.
    Message(&'a str),
    /// Files for a call.
    Call(&'a str),
    /// Files for a broadcast.
    Broadcast(&'a str),
}

impl TryFrom<&Row> for File {
    type Error = Error;

    fn try_from(row: &Row) -> Result<File, Error> {
        let id: String = row.get("id")?;
        let damaged = |what| Error::Damaged {
            what,
            id: id.clone(),
        };
        let tags: Option<String> = row.get("tags")?;
        let tags = tags.map(|text| serde_json::from_str(&text)).transpose();
        let user_id: String = row.get("user_id")?;
        Ok(File {
            user_id: Uuid::parse_str(&user_id).map_err(|_| damaged("user"))?,
            links: FileLinks {
                contact: row.get("for_contact_id")?,
                message: row.get("for_message_id")?,
                call: row.get("for_call_id")?,
                broadcast: row.get("for_broadcast_id")?,
            },
            name: row.get("name")?,
            description: row.get("description")?,
            mime_type: row.get("mime_type")?,
            paths: FilePaths {
                original: row.get("path_original")?,
                thumbnail: row.get("path_thumbnail")?,
                small: row.get("path_small")?,
                medium: row.get("path_medium")?,
                large: row.get("path_large")?,
            },
            size_bytes: u64::try_from(row.get::<i64>("size_bytes")?)
                .map_err(|_| damaged("size"))?,
            category: row.get("category")?,
            tags: tags.map_err(|_| damaged("tags"))?,
            location: row.get("location")?,
            stored: row.get("stored")?,
            created: Wall(row.get("created_us")?),
            updated: Wall(row.get("updated_us")?),
            id: Uuid::parse_str(&id).map_err(|_| damaged("id"))?,
        })
    }
}

impl Store {
    /// Keeps a file; times are set here. [`Error::Full`] when its user has too many, [`Error::Missing`] when
    /// the user is gone.
    pub async fn create_file(&self, new: &File) -> Result<File, Error> {
        let now = self.now_us();
        timed(async {
            let mut transaction = self.database.begin_rows().await?;
            let count = query("SELECT COUNT(*) AS files FROM files WHERE user_id = $1");
            let count = transaction.fetch_one(count.bind(new.user_id.to_string()));
            if count.await?.get::<i64>("files")? >= stored(MAX_FILES_OF_USER) {
                return Err(Error::Full {
                    what: "files of a user",
                    limit: MAX_FILES_OF_USER,
                });
            }
            let insert = query(
                "INSERT INTO files (id, user_id, for_contact_id, for_message_id, for_call_id,
                     for_broadcast_id, name, description, mime_type, path_original, path_thumbnail,
                     path_small, path_medium, path_large, size_bytes, category, tags, location, stored,
                     created_us, updated_us)
                 SELECT $1, id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                     $19, $20, $20
                 FROM users WHERE id = $2",
            )
            .bind(new.id.to_string())
            .bind(new.user_id.to_string())
            .bind(new.links.contact.clone())
            .bind(new.links.message.clone())
            .bind(new.links.call.clone())
            .bind(new.links.broadcast.clone())
            .bind(new.name.as_str())
            .bind(new.description.clone())
            .bind(new.mime_type.as_str())
            .bind(new.paths.original.as_str())
            .bind(new.paths.thumbnail.clone())
            .bind(new.paths.small.clone())
            .bind(new.paths.medium.clone())
            .bind(new.paths.large.clone())
            .bind(stored(new.size_bytes))
            .bind(new.category.clone())
            .bind(new.tags.as_deref().map(json))
            .bind(new.location.clone())
            .bind(new.stored)
            .bind(now);
            if transaction.execute(insert).await? == 0 {
                return Err(Error::missing("user", new.user_id));
            }
            transaction.commit().await?;
            Ok(File {
                created: Wall(now),
                updated: Wall(now),
                ..new.clone()
            })
        })
        .await
    }

    /// Changes what a user may change of its file: name, description, tags, place, category.
    /// [`Error::Missing`] when it is gone.
    pub async fn update_file(&self, file: &File) -> Result<File, Error> {
        let now = self.now_us();
        timed(async {
            let update = query(
                "UPDATE files SET name = $2, description = $3, tags = $4, location = $5, category = $6,
                     updated_us = $7
                 WHERE id = $1",
            )
            .bind(file.id.to_string())
            .bind(file.name.as_str())
            .bind(file.description.clone())
            .bind(file.tags.as_deref().map(json))
            .bind(file.location.clone())
            .bind(file.category.clone())
            .bind(now);
            match self.database.execute(update).await? {
                0 => Err(Error::missing("file", file.id)),
                _ => Ok(File {
                    updated: Wall(now),
                    ..file.clone()
                }),
            }
        })
        .await
    }

    /// Forgets a file. [`Error::Missing`] when it is gone.
    pub async fn delete_file(&self, id: Uuid) -> Result<(), Error> {
        timed(async {
            let delete = query("DELETE FROM files WHERE id = $1").bind(id.to_string());
            match self.database.execute(delete).await? {
                0 => Err(Error::missing("file", id)),
                _ => Ok(()),
            }
        })
        .await
    }

    /// A file of a tenant's user.
    pub async fn file(&self, application_id: &str, id: Uuid) -> Result<Option<File>, Error> {
        let condition = "files.id = $2 AND users.application_id = $1";
        let select = select(condition, 1).bind(application_id);
        let mut files = self.files_by(select.bind(id.to_string())).await?;
        Ok(files.pop())
    }

    /// Whether the bytes of a file belong to somebody still.
    pub async fn is_file_stored(&self, id: Uuid) -> Result<bool, Error> {
        let select = query("SELECT id FROM files WHERE id = $1 AND stored").bind(id.to_string());
        timed(async { Ok(self.database.fetch_optional(select).await?.is_some()) }).await
    }

    /// Files of a tenant, the newest first.
    pub async fn files(&self, application_id: &str, of: FilesOf<'_>) -> Result<Vec<File>, Error> {
        let mut tagged = None;
        let (condition, id, second) = match of {
            FilesOf::User { id, category, tag } => {
                tagged = tag;
                let condition = match category {
                    Some(_) => "files.user_id = $2 AND files.category = $3",
                    None => "files.user_id = $2",
                };
                (condition, id.to_string(), category.map(str::to_owned))
            }
            FilesOf::Contact(user, id) => (
                "files.for_contact_id = $2 AND files.user_id = $3",
                id.to_owned(),
                Some(user.to_string()),
            ),
            FilesOf::Message(id) => ("files.for_message_id = $2", id.to_owned(), None),
            FilesOf::Call(id) => ("files.for_call_id = $2", id.to_owned(), None),
            FilesOf::Broadcast(id) => ("files.for_broadcast_id = $2", id.to_owned(), None),
        };
        // Tags are compared here: the databases search text in different ways.
        let limit = match tagged {
            Some(_) => MAX_FILES_OF_USER,
            None => MAX_LISTED,
        };
        let condition = format!("users.application_id = $1 AND {condition}");
        let query = select(&condition, limit).bind(application_id).bind(id);
        let query = second.into_iter().fold(query, Query::bind);
        let mut files = self.files_by(query).await?;
        if let Some(tag) = tagged {
            let has = |file: &File| file.tags.iter().flatten().any(|word| word == tag);
            files.retain(has);
            files.truncate(usize::try_from(MAX_LISTED).unwrap_or(usize::MAX));
        }
        Ok(files)
    }

    /// The newest file of a user that shows the user itself: of category `profile`, or with a tag
    /// `profilepic` or `avatar`, whatever the case of its letters.
    pub async fn profile_image(
        &self,
        application_id: &str,
        user: Uuid,
    ) -> Result<Option<File>, Error> {
        let condition = "(files.category = 'profile' OR LOWER(files.tags) LIKE '%\"profilepic\"%' \
             OR LOWER(files.tags) LIKE '%\"avatar\"%')";
        self.newest(application_id, user, condition).await
    }

    /// The newest file of a user that shows a contact: of category `contact`, or made for one.
    pub async fn contact_image(
        &self,
        application_id: &str,
        user: Uuid,
    ) -> Result<Option<File>, Error> {
        let condition = "(files.category = 'contact' OR files.for_contact_id IS NOT NULL)";
        self.newest(application_id, user, condition).await
    }

    async fn newest(
        &self,
        application_id: &str,
        user: Uuid,
        condition: &'static str,
    ) -> Result<Option<File>, Error> {
        let condition = format!("users.application_id = $1 AND files.user_id = $2 AND {condition}");
        let select = select(&condition, 1).bind(application_id);
        let mut files = self.files_by(select.bind(user.to_string())).await?;
        Ok(files.pop())
    }

    async fn files_by(&self, select: Query) -> Result<Vec<File>, Error> {
        timed(async {
            let rows = self.database.fetch_all(select).await?;
            rows.iter().map(File::try_from).collect()
        })
        .await
    }
}

/// The newest files that meet a condition of constants and parameters.
fn select(condition: &str, limit: u64) -> Query {
    query_of(format!(
        "SELECT {COLUMNS} FROM files JOIN users ON users.id = files.user_id
         WHERE {condition} ORDER BY files.created_us DESC, files.id LIMIT {limit}"
    ))
}
