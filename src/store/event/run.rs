//! What becomes of an event: it changes, its run begins and ends, it goes. Each is one transaction with the
//! run, its broadcast and what webhooks are to be told, so that of many gateways one does it and the others
//! find it done.

use super::{Clashes, DeletedEvent, Event, EventStatus, ids, refuse_overlap, values};
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::store::database::{Transaction, query};
use crate::store::known::Known;
use crate::store::show::{self, ShowRow};
use crate::store::{BroadcastUpdate, Error, NewBroadcast, Status, Store, Visibility};

/// An event after a change.
struct Changed {
    event: Event,
    show: ShowRow,
    /// The channel that went with its broadcast.
    gone: Option<String>,
}

impl Store {
    /// Changes an event and the run that is on or comes next, as one. `change` is handed both as they are, and
    /// may refuse; id, owner, tenant and streams stay as they are. When it puts a show of another stream there,
    /// that is the next run, and the one before is over. When the event is not active any more, or with another
    /// run, the broadcast of the run before is completed.
    ///
    /// [`Error::Overlap`] when the channel is taken for what has become of the event, [`Error::Cut`] when a cut
    /// would be changed that viewers may have seen, [`Error::Missing`] when there is no such event.
    pub async fn change_event<R: Send>(
        &self,
        id: Uuid,
        clashes: Clashes<'_>,
        change: impl FnOnce(&mut Event, &mut ShowRow) -> Result<(), R> + Send,
    ) -> Result<Result<(Event, ShowRow), R>, Error> {
        self.changing(async {
            let mut work = self.begin_change().await?;
            let changed = self.change_in(&mut work.transaction, id, clashes, change);
            let Changed { event, show, gone } = match changed.await? {
                Ok(changed) => changed,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let apply = |known: &mut Known| gone.iter().for_each(|channel| known.remove(channel));
            self.commit_change(work, apply).await?;
            Ok(Ok((event, show)))
        })
        .await
    }

    /// Begins a run: `change` makes the event active, or refuses. Its broadcast is made on the stream of the run
    /// and is active too. [`Error::Full`] when there are `limit` channels, [`Error::Overlap`] when its channel is
    /// taken.
    pub async fn start_event<R: Send>(
        &self,
        id: Uuid,
        (region, limit): (&str, u64),
        clashes: Clashes<'_>,
        change: impl FnOnce(&mut Event, &mut ShowRow) -> Result<(), R> + Send,
    ) -> Result<Result<(Event, ShowRow), R>, Error> {
        self.changing(async {
            let mut work = self.begin_change().await?;
            let transaction = &mut work.transaction;
            let changed = self.change_in(transaction, id, clashes, change);
            let Changed {
                mut event, show, ..
            } = match changed.await? {
                Ok(changed) => changed,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let new = NewBroadcast {
                region,
                application_id: &event.application_id,
                stream_id: Some(show.stream_id),
                user_id: Some(event.user_id),
                anonymous: None,
                title: &event.title,
                description: event.description.as_deref(),
                visibility: Visibility::Public,
                tags: &[],
                metadata: "{}",
                max_participants: None,
            };
            let (broadcast, channel) = self.insert_broadcast(transaction, &new, limit).await?;
            let active = BroadcastUpdate {
                status: Some(Status::Active),
                ..BroadcastUpdate::default()
            };
            self.change_broadcast(transaction, broadcast.id, &active)
                .await?;
            event.broadcast_id = Some(broadcast.id);
            let update = query("UPDATE events SET broadcast_id = $1 WHERE id = $2");
            let update = update.bind(broadcast.id.to_string()).bind(id.to_string());
            transaction.execute(update).await?;
            self.queue_scheduled(transaction, "event.started", &event)
                .await?;
            self.commit_change(work, |known| known.put(channel)).await?;
            Ok(Ok((event, show)))
        })
        .await
    }

    async fn change_in<R: Send>(
        &self,
        transaction: &mut Transaction,
        id: Uuid,
        clashes: Clashes<'_>,
        change: impl FnOnce(&mut Event, &mut ShowRow) -> Result<(), R> + Send,
    ) -> Result<Result<Changed, R>, Error> {
        let now = self.now_us();
        let old = query(super::select!("WHERE id = $1")).bind(id.to_string());
        let old = transaction.fetch_optional(old).await?;
        let old = Event::try_from(&old.ok_or_else(|| Error::missing("event", id))?)?;
        let shown = show::read(transaction, old.stream_id).await?;
        // Of an event that is over for long: there is nothing to write then, but for a next run.
        let is_kept = shown.is_some();
        let shown = shown.unwrap_or_else(|| ShowRow {
            stream_id: old.stream_id,
            event_id: id,
            asset_id: old.asset_id,
            epoch: old.starts,
            starts: old.starts,
            ends: old.ends,
            looping: old.is_looping(),
            after: show::After::End,
            ended: Some(old.updated),
            cuts: Vec::new(),
        });
        let (mut event, mut show) = (old.clone(), shown.clone());
        if let Err(refusal) = change(&mut event, &mut show) {
            return Ok(Err(refusal));
        }
        event.stream_id = show.stream_id;
        event.updated = Wall(now);
        if !event.status.is_over() {
            refuse_overlap(transaction, &event, clashes).await?;
        }
        event.revision = show::count(transaction).await?;
        let update = query(
            "UPDATE events SET channel_id = $2, title = $3, description = $4, starts_us = $5,
                 ends_us = $6, first_us = $7, time_zone = $8, repeat = $9, repeat_until_end = $10,
                 status = $11, error = $12, asset_id = $13, stream_id = $14, broadcast_id = $15,
                 playback_started_us = $16, takeover = $17, updated_us = $18, revision = $19,
                 length_us = $20
             WHERE id = $1",
        );
        transaction.execute(values(update, &event)).await?;
        if show.stream_id != shown.stream_id {
            let over =
                query("UPDATE shows SET ended_us = COALESCE(ended_us, $1) WHERE stream_id = $2");
            let over = over.bind(now).bind(shown.stream_id.to_string());
            transaction.execute(over).await?;
            show::insert(transaction, &show).await?;
        } else if is_kept {
            show::update(transaction, &shown, &show, now).await?;
        }
        let gone = self
            .follow_with_broadcast(transaction, &old, &event)
            .await?;
        if let Some(name) = notice(&old, &event) {
            self.queue_scheduled(transaction, name, &event).await?;
        }
        Ok(Ok(Changed { event, show, gone }))
    }

    /// Has the broadcast of a run follow its event. Gives the channel that goes with it.
    async fn follow_with_broadcast(
        &self,
        transaction: &mut Transaction,
        old: &Event,
        new: &Event,
    ) -> Result<Option<String>, Error> {
        let Some(broadcast) = old.broadcast_id else {
            return Ok(None);
        };
        let goes_on = new.status == EventStatus::Active && new.stream_id == old.stream_id;
        let update = match goes_on {
            true => BroadcastUpdate {
                title: (old.title != new.title).then(|| new.title.clone()),
                description: new.description.clone(),
                ..BroadcastUpdate::default()
            },
            false => BroadcastUpdate {
                status: Some(Status::Completed),
                ..BroadcastUpdate::default()
            },
        };
        let is_same = (&old.title, &old.description) == (&new.title, &new.description);
        // Somebody may have ended it, as an error too; that stays.
        let living =
            query("SELECT id FROM broadcasts WHERE id = $1 AND status IN ('created', 'active')");
        let living = transaction.fetch_optional(living.bind(broadcast.to_string()));
        if (goes_on && is_same) || living.await?.is_none() {
            return Ok(None);
        }
        let (broadcast, is_over) = self
            .change_broadcast(transaction, broadcast, &update)
            .await?;
        Ok(is_over.then_some(broadcast.channel_id))
    }

    /// Removes an event with its shows and assets; a broadcast that is on is completed. [`Error::Missing`] when
    /// it is gone.
    pub async fn delete_event(&self, id: Uuid) -> Result<DeletedEvent, Error> {
        self.changing(async {
            let mut work = self.begin_change().await?;
            let transaction = &mut work.transaction;
            let old = query(super::select!("WHERE id = $1")).bind(id.to_string());
            let old = transaction.fetch_optional(old).await?;
            let event = Event::try_from(&old.ok_or_else(|| Error::missing("event", id))?)?;
            let of = "SELECT stream_id AS id FROM shows WHERE event_id = $1 ORDER BY starts_us";
            let streams = ids(transaction, query(of).bind(id.to_string())).await?;
            let of = "SELECT id FROM assets WHERE event_id = $1 ORDER BY created_us";
            let assets = ids(transaction, query(of).bind(id.to_string())).await?;
            let delete = query("DELETE FROM events WHERE id = $1").bind(id.to_string());
            transaction.execute(delete).await?;
            let over = Event {
                status: EventStatus::Completed,
                ..event.clone()
            };
            let gone = self
                .follow_with_broadcast(transaction, &event, &over)
                .await?;
            self.queue_scheduled(transaction, "event.deleted", &event)
                .await?;
            let apply = |known: &mut Known| gone.iter().for_each(|channel| known.remove(channel));
            self.commit_change(work, apply).await?;
            Ok(DeletedEvent {
                event,
                streams,
                assets,
            })
        })
        .await
    }
}

/// What a change is called. A start is told of with its broadcast.
fn notice(old: &Event, new: &Event) -> Option<&'static str> {
    let starts = new.status == EventStatus::Active && old.status != new.status;
    let is_over = new.stream_id != old.stream_id || new.status.is_over() && !old.status.is_over();
    match () {
        () if starts => None,
        () if is_over && new.error.is_some() => Some("event.failed"),
        () if is_over => Some("event.ended"),
        () if new.takeover != old.takeover => Some("event.takeover"),
        () => Some("event.updated"),
    }
}
