//! Scheduled events: what plays when, and how often. In: what the API checked. Out: plain values. Not here: times
//! of repeats, and what events on one channel have to do with each other: callers hand that in, and it is asked
//! inside the transaction, while there is no other writer.

use super::broadcast::words;
use super::database::{Query, Row, Transaction, query};
use super::show::{self, ShowRow};
use super::{Error, Store, stored, timed};
use crate::base::clock::Wall;
use crate::base::id::Uuid;

/// Events of one user, those that are over included. Bounds the table.
pub const MAX_EVENTS_OF_USER: u64 = 1000;
/// Events of one tenant, those that are over included: ten users who schedule as many as they may.
pub const MAX_EVENTS_OF_TENANT: u64 = 10_000;

/// Events on one channel that are not over: a new one is compared with all of them, while no other writer is
/// heard.
pub(super) const MAX_EVENTS_OF_CHANNEL: usize = 200;

/// Columns of an event, in every query that reads one.
macro_rules! columns {
    () => {
        "events.id, events.application_id, events.user_id, events.channel_id, events.title, \
         events.description, events.starts_us, events.ends_us, events.first_us, events.length_us, \
         events.time_zone, \
         events.repeat, events.repeat_until_end, events.status, events.error, events.asset_id, \
         events.stream_id, events.broadcast_id, events.playback_started_us, events.takeover, \
         events.created_us, events.updated_us, events.revision"
    };
}
pub(super) use columns;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            $crate::store::event::columns!(),
            " FROM events ",
            $rest
        )
    };
}
pub(super) use select;

// Below the macros, which it uses.
mod run;

words! {
    /// When an event comes again.
    Repeat {
        /// Not at all.
        None = "none",
        /// Every day.
        Daily = "daily",
        /// Every week.
        Weekly = "weekly",
        /// Every month.
        Monthly = "monthly",
        /// Not at all, but its film may begin anew until its end.
        UntilEnd = "until_end",
    }
}

words! {
    /// How far an event has come. One that repeats is scheduled again after each run.
    EventStatus {
        /// Its time is to come.
        Scheduled = "scheduled",
        /// It is on.
        Active = "active",
        /// It is over.
        Completed = "completed",
        /// It is over, and not as it was meant.
        Error = "error",
    }
}

impl EventStatus {
    /// Whether it will not be on any more.
    pub fn is_over(self) -> bool {
        matches!(self, EventStatus::Completed | EventStatus::Error)
    }
}

/// A scheduled event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// UUID.
    pub id: Uuid,
    /// Its tenant.
    pub application_id: String,
    /// Its owner.
    pub user_id: Uuid,
    /// The channel whose name leads to it while it is active. `None`: it plays on its own.
    pub channel_id: Option<String>,
    /// For people.
    pub title: String,
    /// For people.
    pub description: Option<String>,
    /// When the run that is on or comes next begins.
    pub starts: Wall,
    /// When that run is over at the latest.
    pub ends: Option<Wall>,
    /// When the first run begins or began: repeats are counted from it.
    pub first: Wall,
    /// Microseconds of a run as it was declared, from its start to its end; `None`: as long as its film. A run
    /// that was started or ended by hand is longer or shorter, the next one is not.
    pub length_us: Option<i64>,
    /// IANA name of the zone in which repeats are counted.
    pub time_zone: String,
    /// When it comes again.
    pub repeat: Repeat,
    /// Whether its film begins anew until its end: of [`Repeat::UntilEnd`] only.
    pub repeat_until_end: bool,
    /// How far it has come.
    pub status: EventStatus,
    /// Why it failed.
    pub error: Option<String>,
    /// Its newest file that came whole.
    pub asset_id: Option<Uuid>,
    /// The stream of the run that is on or comes next, or was last.
    pub stream_id: Uuid,
    /// The broadcast of the run that is on, or was last.
    pub broadcast_id: Option<Uuid>,
    /// When the film of that run began: a whole second.
    pub playback_started: Option<Wall>,
    /// Whether the owner's encoder is asked for.
    pub takeover: bool,
    /// When it was made.
    pub created: Wall,
    /// When it was last changed.
    pub updated: Wall,
    /// The number of its last change, that of its shows included.
    pub revision: i64,
}

impl Event {
    /// Whether its film begins anew when it is over (decision B-29).
    pub fn is_looping(&self) -> bool {
        self.repeat == Repeat::UntilEnd && self.repeat_until_end
    }
}

/// What an event is made of. Its show's `event_id` and times are the event's.
#[derive(Clone, Debug)]
pub struct NewEvent<'a> {
    /// Its tenant.
    pub application_id: &'a str,
    /// Its owner, of that tenant.
    pub user_id: Uuid,
    /// The channel whose name leads to it.
    pub channel_id: Option<&'a str>,
    /// For people.
    pub title: &'a str,
    /// For people.
    pub description: Option<&'a str>,
    /// When it begins.
    pub starts: Wall,
    /// When it is over at the latest.
    pub ends: Option<Wall>,
    /// IANA name.
    pub time_zone: &'a str,
    /// When it comes again.
    pub repeat: Repeat,
    /// Whether its film begins anew until its end.
    pub repeat_until_end: bool,
    /// Its first run.
    pub show: ShowRow,
}

/// Whether two events, neither of which is over, want their channel at the same time.
pub type Clashes<'a> = &'a (dyn Fn(&Event, &Event) -> bool + Sync);

/// What went with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedEvent {
    /// As it was.
    pub event: Event,
    /// Its streams.
    pub streams: Vec<Uuid>,
    /// Its assets: their folders are nobody's any more.
    pub assets: Vec<Uuid>,
}

impl TryFrom<&Row> for Event {
    type Error = Error;

    fn try_from(row: &Row) -> Result<Event, Error> {
        let id: String = row.get("id")?;
        let damaged = |what| Error::Damaged {
            what,
            id: id.clone(),
        };
        let uuid = |text: &str| Uuid::parse_str(text).map_err(|_| damaged("id"));
        let optional = |name| -> Result<Option<Uuid>, Error> {
            let text: Option<String> = row.get(name)?;
            text.as_deref().map(uuid).transpose()
        };
        let time = |name| Ok::<_, Error>(row.get::<Option<i64>>(name)?.map(Wall));
        Ok(Event {
            id: uuid(&id)?,
            application_id: row.get("application_id")?,
            user_id: uuid(row.get("user_id")?)?,
            channel_id: row.get("channel_id")?,
            title: row.get("title")?,
            description: row.get("description")?,
            starts: Wall(row.get("starts_us")?),
            ends: time("ends_us")?,
            first: Wall(row.get("first_us")?),
            length_us: row.get("length_us")?,
            time_zone: row.get("time_zone")?,
            repeat: Repeat::of(row.get("repeat")?).ok_or_else(|| damaged("repeat"))?,
            repeat_until_end: row.get("repeat_until_end")?,
            status: EventStatus::of(row.get("status")?).ok_or_else(|| damaged("status"))?,
            error: row.get("error")?,
            asset_id: optional("asset_id")?,
            stream_id: uuid(row.get("stream_id")?)?,
            broadcast_id: optional("broadcast_id")?,
            playback_started: time("playback_started_us")?,
            takeover: row.get("takeover")?,
            created: Wall(row.get("created_us")?),
            updated: Wall(row.get("updated_us")?),
            revision: row.get("revision")?,
        })
    }
}

impl Store {
    /// Makes an event with its first run. [`Error::Overlap`] when its channel is taken, [`Error::Full`] when
    /// its owner or its tenant has too many, [`Error::Missing`] when the owner is gone.
    pub async fn create_event(
        &self,
        new: &NewEvent<'_>,
        clashes: Clashes<'_>,
    ) -> Result<Event, Error> {
        let now = self.now_us();
        let event = Event {
            id: new.show.event_id,
            application_id: new.application_id.to_owned(),
            user_id: new.user_id,
            channel_id: new.channel_id.map(str::to_owned),
            title: new.title.to_owned(),
            description: new.description.map(str::to_owned),
            starts: new.starts,
            ends: new.ends,
            first: new.starts,
            length_us: new.ends.map(|ends| ends.micros_since(new.starts)),
            time_zone: new.time_zone.to_owned(),
            repeat: new.repeat,
            repeat_until_end: new.repeat_until_end,
            status: EventStatus::Scheduled,
            error: None,
            asset_id: None,
            stream_id: new.show.stream_id,
            broadcast_id: None,
            playback_started: None,
            takeover: false,
            created: Wall(now),
            updated: Wall(now),
            revision: 0,
        };
        timed(async {
            let mut transaction = self.database.begin().await?;
            refuse(&mut transaction, &event).await?;
            refuse_overlap(&mut transaction, &event, clashes).await?;
            let revision = show::count(&mut transaction).await?;
            let event = Event { revision, ..event };
            let insert = query(
                "INSERT INTO events (id, channel_id, title, description, starts_us, ends_us, first_us,
                     time_zone, repeat, repeat_until_end, status, error, asset_id, stream_id,
                     broadcast_id, playback_started_us, takeover, updated_us, revision, length_us,
                     application_id, user_id, created_us)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                     $18, $19, $20, $21, $22, $23)",
            );
            let insert = values(insert, &event)
                .bind(event.application_id.as_str())
                .bind(event.user_id.to_string())
                .bind(now);
            transaction.execute(insert).await?;
            show::insert(&mut transaction, &new.show).await?;
            self.queue_scheduled(&mut transaction, "event.scheduled", &event)
                .await?;
            transaction.commit().await?;
            self.deliveries_added();
            Ok(event)
        })
        .await
    }

    /// An event, whoever owns it.
    pub async fn event(&self, id: Uuid) -> Result<Option<Event>, Error> {
        self.one_event(query(select!("WHERE id = $1")).bind(id.to_string()))
            .await
    }

    /// The event whose run has this stream.
    pub async fn event_of_stream(&self, stream: Uuid) -> Result<Option<Event>, Error> {
        let select = query(select!(
            "WHERE stream_id = $1
                 OR id = (SELECT event_id FROM shows WHERE shows.stream_id = $1)"
        ));
        self.one_event(select.bind(stream.to_string())).await
    }

    /// The event whose broadcast, which is not over, has this stream key.
    pub async fn event_of_key(&self, key: &str) -> Result<Option<Event>, Error> {
        let select = query(select!(
            "WHERE stream_id = (SELECT channels.stream_id FROM channels WHERE key_hash = $1)"
        ));
        let key = super::hash::hash(key);
        self.one_event(select.bind(key.as_slice())).await
    }

    async fn one_event(&self, select: Query) -> Result<Option<Event>, Error> {
        timed(async {
            let row = self.database.fetch_optional(select).await?;
            row.as_ref().map(Event::try_from).transpose()
        })
        .await
    }

    /// Events of a tenant, or of all, by their start (decision B-31): all, or those of a status.
    pub async fn events(
        &self,
        application_id: Option<&str>,
        status: Option<EventStatus>,
        limit: usize,
        offset: u64,
    ) -> Result<Vec<Event>, Error> {
        let of_tenant = select!(
            "WHERE application_id = $1 AND (status = $2 OR $2 = '')
             ORDER BY starts_us, id LIMIT $3 OFFSET $4"
        );
        let of_all = select!(
            "WHERE $1 = '' AND (status = $2 OR $2 = '')
             ORDER BY starts_us, id LIMIT $3 OFFSET $4"
        );
        let select = query(if application_id.is_some() {
            of_tenant
        } else {
            of_all
        })
        .bind(application_id.unwrap_or_default())
        .bind(status.map_or("", EventStatus::word))
        .bind(stored(limit as u64))
        .bind(stored(offset));
        timed(async {
            let rows = self.database.fetch_all(select).await?;
            rows.iter().map(Event::try_from).collect()
        })
        .await
    }
}

/// Parameters of what writes an event: its id, what may change, and its revision.
fn values(query: Query, event: &Event) -> Query {
    query
        .bind(event.id.to_string())
        .bind(event.channel_id.clone())
        .bind(event.title.as_str())
        .bind(event.description.clone())
        .bind(event.starts.0)
        .bind(event.ends.map(|ends| ends.0))
        .bind(event.first.0)
        .bind(event.time_zone.as_str())
        .bind(event.repeat.word())
        .bind(event.repeat_until_end)
        .bind(event.status.word())
        .bind(event.error.clone())
        .bind(event.asset_id.map(|asset| asset.to_string()))
        .bind(event.stream_id.to_string())
        .bind(event.broadcast_id.map(|broadcast| broadcast.to_string()))
        .bind(event.playback_started.map(|started| started.0))
        .bind(event.takeover)
        .bind(event.updated.0)
        .bind(event.revision)
        .bind(event.length_us)
}

/// The ids that a statement finds.
pub(super) async fn ids(transaction: &mut Transaction, select: Query) -> Result<Vec<Uuid>, Error> {
    let rows = transaction.fetch_all(select).await?;
    let id = |row: &Row| {
        let id: &str = row.get("id")?;
        Uuid::parse_str(id).map_err(|_| Error::Damaged {
            what: "id",
            id: id.to_owned(),
        })
    };
    rows.iter().map(id).collect()
}

/// Says why there cannot be one more event. What it finds holds until the commit: there is one writer.
async fn refuse(transaction: &mut Transaction, new: &Event) -> Result<(), Error> {
    let select = query(
        "SELECT EXISTS (SELECT 1 FROM users WHERE id = $2 AND application_id = $1) AS owner,
             (SELECT COUNT(*) FROM events WHERE user_id = $2) AS of_user,
             (SELECT COUNT(*) FROM events WHERE application_id = $1) AS of_tenant",
    )
    .bind(new.application_id.as_str())
    .bind(new.user_id.to_string());
    let row = transaction.fetch_one(select).await?;
    if !row.get::<bool>("owner")? {
        return Err(Error::missing("user", new.user_id));
    }
    let bounds = [
        ("of_user", "events of a user", MAX_EVENTS_OF_USER),
        ("of_tenant", "events of a tenant", MAX_EVENTS_OF_TENANT),
    ];
    for (count, what, limit) in bounds {
        if row.get::<i64>(count)? >= stored(limit) {
            return Err(Error::Full { what, limit });
        }
    }
    Ok(())
}

/// Looks whether another event has the channel, the first of them by its start. What it finds holds until the
/// commit.
async fn refuse_overlap(
    transaction: &mut Transaction,
    event: &Event,
    clashes: Clashes<'_>,
) -> Result<(), Error> {
    let Some(channel) = &event.channel_id else {
        return Ok(());
    };
    let select = query(select!(
        "WHERE channel_id = $1 AND status IN ('scheduled', 'active') AND id <> $2
         ORDER BY starts_us, id"
    ));
    let select = select.bind(channel.as_str()).bind(event.id.to_string());
    let rows = transaction.fetch_all(select).await?;
    if rows.len() >= MAX_EVENTS_OF_CHANNEL {
        return Err(Error::Full {
            what: "events of a channel",
            limit: MAX_EVENTS_OF_CHANNEL as u64,
        });
    }
    for row in &rows {
        let other = Event::try_from(row)?;
        if clashes(event, &other) {
            return Err(Error::Overlap {
                title: other.title,
                id: other.id,
            });
        }
    }
    Ok(())
}
