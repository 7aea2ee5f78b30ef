//! What is shown of broadcasts: public lists, what plays under a name, posters.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Broadcast, Status, Visibility};
use crate::base::id::Uuid;
use crate::store::channel::Channel;
use crate::store::database::{Query, query, query_of};
use crate::store::{Error, FilePaths, Store, timed};

/// What plays under a name that is no stream id, or not only one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// Whatever this channel has on air.
    Channel(Arc<Channel>),
    /// The one stream of a broadcast.
    Broadcast(Uuid),
}

impl Store {
    /// What a name means to somebody without credentials who wants to play it: a channel by its id or alias, or
    /// a broadcast by any of its ids, unless it is private. Channels are found without waiting, and first:
    /// nobody takes an alias that is known to players by making broadcasts.
    pub async fn find_stream(&self, name: &str) -> Result<Option<Named>, Error> {
        if let Some(channel) = self.known_public_channel(name) {
            return Ok(Some(Named::Channel(channel)));
        }
        let found = self.find_broadcast(name).await?;
        let found = found.filter(|broadcast| broadcast.visibility != Visibility::Private);
        Ok(found.map(|broadcast| Named::Broadcast(broadcast.stream_id)))
    }

    /// Broadcasts of this status that everybody may find, newest first; those of a tenant, or all.
    pub async fn public_broadcasts(
        &self,
        status: Status,
        application_id: Option<&str>,
        limit: usize,
        offset: u64,
    ) -> Result<Vec<Broadcast>, Error> {
        let select = query(select!(
            "WHERE status = $1 AND visibility = 'public'
                 AND ($2 = '' OR application_id = $2)
             ORDER BY number DESC LIMIT $3 OFFSET $4"
        ));
        // No application has an empty id.
        let select = select.bind(status.word());
        let select = select.bind(application_id.unwrap_or_default());
        self.page(select, limit, offset).await
    }

    /// Broadcasts of all tenants, newest first; those of one status, or all.
    pub async fn all_broadcasts(
        &self,
        status: Option<Status>,
        limit: usize,
        offset: u64,
    ) -> Result<Vec<Broadcast>, Error> {
        let select = query(select!(
            "WHERE $1 = '' OR status = $1 ORDER BY number DESC LIMIT $2 OFFSET $3"
        ));
        // No status is an empty word.
        let select = select.bind(status.map(Status::word).unwrap_or_default());
        self.page(select, limit, offset).await
    }

    /// Paths of posters, by broadcast: of each the newest picture that was made as its poster, of category
    /// `poster` or with that tag, whatever the case of its letters. What a user made has one of that user's, or
    /// none: others would choose it. Files whose bytes are elsewhere are none, for what they name is not known.
    pub async fn posters(
        &self,
        broadcasts: &[Broadcast],
    ) -> Result<HashMap<Uuid, FilePaths>, Error> {
        if broadcasts.is_empty() {
            return Ok(HashMap::new());
        }
        // Clients name a broadcast by any of its ids, in either case.
        let select = query_of(format!(
            "SELECT * FROM (
                 SELECT broadcasts.id AS broadcast_id, files.path_original, files.path_thumbnail,
                     files.path_small, files.path_medium, files.path_large,
                     ROW_NUMBER() OVER (PARTITION BY broadcasts.id
                         ORDER BY files.created_us DESC, files.id) AS place
                 FROM broadcasts
                 JOIN files ON files.for_broadcast_id IN (broadcasts.id, UPPER(broadcasts.id),
                     broadcasts.stream_id, UPPER(broadcasts.stream_id), 'r' || broadcasts.number)
                 JOIN users ON users.id = files.user_id
                     AND users.application_id = broadcasts.application_id
                     AND users.id = COALESCE(broadcasts.user_id, users.id)
                 WHERE broadcasts.id IN ({}) AND files.stored AND files.mime_type LIKE 'image/%'
                     AND (LOWER(files.category) = 'poster' OR LOWER(files.tags) LIKE '%\"poster\"%')
             ) AS posters WHERE place = 1",
            numbered(broadcasts.len())
        ));
        let bind = |query: Query, broadcast: &Broadcast| query.bind(broadcast.id.to_string());
        let select = broadcasts.iter().fold(select, bind);
        timed(async {
            let mut posters = HashMap::with_capacity(broadcasts.len());
            for row in self.database.fetch_all(select).await? {
                let id: &str = row.get("broadcast_id")?;
                let Ok(id) = Uuid::parse_str(id) else {
                    continue;
                };
                let paths = FilePaths {
                    original: row.get("path_original")?,
                    thumbnail: row.get("path_thumbnail")?,
                    small: row.get("path_small")?,
                    medium: row.get("path_medium")?,
                    large: row.get("path_large")?,
                };
                posters.insert(id, paths);
            }
            Ok(posters)
        })
        .await
    }
}

/// `$1, $2, …`
fn numbered(count: usize) -> String {
    let names: Vec<String> = (1..=count).map(|number| format!("${number}")).collect();
    names.join(", ")
}
