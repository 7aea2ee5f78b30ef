//! How a broadcast is made: with a channel and a key of its own, in one transaction.

use std::sync::Arc;

use super::{Anonymous, Broadcast, NewBroadcast};
use crate::base::id::Uuid;
use crate::base::secret::Secret;
use crate::store::channel::{self, Channel, channel_id};
use crate::store::database::{Transaction, query};
use crate::store::hash::hash;
use crate::store::{Error, Store, exists, json};

impl Store {
    /// Makes a broadcast with its channel, whose key is good when this returns. [`Error::Full`] when there
    /// are `limit` channels or too many anonymous broadcasts, [`Error::Missing`] when there is no such
    /// application.
    pub async fn create_broadcast(
        &self,
        new: &NewBroadcast<'_>,
        limit: u64,
    ) -> Result<Broadcast, Error> {
        self.changing(async {
            let mut change = self.begin_change().await?;
            let made = self.insert_broadcast(&mut change.transaction, new, limit);
            let (broadcast, channel) = made.await?;
            self.commit_change(change, |known| known.put(channel))
                .await?;
            Ok(broadcast)
        })
        .await
    }

    /// The same as a part of a larger change, with the channel that is to be known when that is committed.
    pub(in crate::store) async fn insert_broadcast(
        &self,
        transaction: &mut Transaction,
        new: &NewBroadcast<'_>,
        limit: u64,
    ) -> Result<(Broadcast, Arc<Channel>), Error> {
        let id = Uuid::new_v4();
        let stream = new.stream_id.unwrap_or_else(Uuid::new_v4);
        let key = Secret::new(Uuid::new_v4().simple().to_string());
        let alias = id.to_string();
        let channel_id = channel_id(new.region, new.application_id, &alias);
        let now = self.now_us();
        refuse(transaction, new, limit).await?;
        let capabilities = new.anonymous.map(|anonymous| json(anonymous.capabilities));
        let insert = query(
            "INSERT INTO channels (id, application_id, alias, name, description, stream_key,
                 key_hash, capabilities, tags, options, stream_id, created_us, updated_us)
             VALUES ($1, $2, $3, $4, '', $5, $6, $7, $8, '[]', $9, $10, $10)",
        )
        .bind(channel_id.as_str())
        .bind(new.application_id)
        .bind(alias.as_str())
        .bind(new.title)
        .bind(key.expose())
        .bind(hash(key.expose()).as_slice())
        .bind(capabilities)
        .bind(json(new.tags))
        .bind(stream.to_string())
        .bind(now);
        transaction.execute(insert).await?;
        let address = new.anonymous.and_then(|anonymous| anonymous.address);
        let insert = query(concat!(
            "INSERT INTO broadcasts (id, number, application_id, channel_id, stream_id,
                 stream_key, user_id, anonymous, address, title, description, visibility, tags,
                 metadata, max_participants, status, heartbeat_us, media_us, created_us, updated_us)
             VALUES ($1, (SELECT COALESCE(MAX(number), 0) + 1 FROM broadcasts), $2, $3, $4, $5,
                 $6, $7, $8, $9, $10, $11, $12, $13, $14, 'created', $15, $15, $15, $15)
             RETURNING ",
            columns!()
        ))
        .bind(alias.as_str())
        .bind(new.application_id)
        .bind(channel_id.as_str())
        .bind(stream.to_string())
        .bind(key.expose())
        .bind(new.user_id.map(|user| user.to_string()))
        .bind(new.anonymous.is_some())
        .bind(address.map(str::to_owned))
        .bind(new.title)
        .bind(new.description.map(str::to_owned))
        .bind(new.visibility.word())
        .bind(json(new.tags))
        .bind(new.metadata)
        .bind(new.max_participants.map(i64::from))
        .bind(now);
        let row = transaction.fetch_one(insert).await;
        let row = row.map_err(|error| exists(error, || format!("broadcast {id}")))?;
        let broadcast = Broadcast::try_from(&row)?;
        self.queue_broadcast(transaction, &broadcast).await?;
        let row = query(channel::BY_ID).bind(channel_id.as_str());
        let channel = Channel::try_from(&transaction.fetch_one(row).await?)?;
        Ok((broadcast, Arc::new(channel)))
    }
}

/// Says why a broadcast cannot be made. What it finds holds until the commit: there is one writer.
async fn refuse(
    transaction: &mut Transaction,
    new: &NewBroadcast<'_>,
    limit: u64,
) -> Result<(), Error> {
    let select = query(
        "SELECT (SELECT COUNT(*) FROM channels) AS channels,
             EXISTS (SELECT 1 FROM applications WHERE id = $1) AS owner,
             (SELECT COUNT(*) FROM broadcasts
                 WHERE status IN ('created', 'active') AND anonymous) AS anonymous",
    );
    let row = transaction
        .fetch_one(select.bind(new.application_id))
        .await?;
    if !row.get::<bool>("owner")? {
        return Err(Error::missing("application", new.application_id));
    }
    let count =
        |name| -> Result<u64, Error> { Ok(u64::try_from(row.get::<i64>(name)?).unwrap_or(0)) };
    if count("channels")? >= limit {
        let what = "channel";
        return Err(Error::Full { what, limit });
    }
    match new.anonymous {
        Some(Anonymous { limit, .. }) if count("anonymous")? >= limit => Err(Error::Full {
            what: "anonymous broadcast",
            limit,
        }),
        _ => Ok(()),
    }
}
