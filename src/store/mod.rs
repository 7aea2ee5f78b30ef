//! What outlives the process: applications, channels, streams, messages, broadcasts and what tenants keep with
//! them. In: domain verbs. Out: plain values. Not here: anything on the frame path, anything that could be done
//! with only one of SQLite and PostgreSQL, recordings, whose folders say all there is to know, and the bytes of
//! files (`files`).
//!
//! Verbs that begin with `known` do not wait: they answer from memory (`known.rs`).
//!
//! Every call has a deadline, so that a stuck disk costs a refusal and not a hanging session.

mod application;
mod asset;
mod attempt;
mod broadcast;
mod channel;
mod chat;
mod cohost;
mod contact;
mod database;
mod declared;
mod delivery;
mod event;
mod file;
mod follow;
mod forward;
mod hash;
mod ingest;
mod kept;
mod known;
mod message;
mod node;
mod screen;
mod show;
mod stream;
#[cfg(test)]
mod tests;
mod user;
mod webhook;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::base::Kind;
use crate::base::clock::Clock;
use crate::base::id::Uuid;
use crate::base::secret::Secret;
pub use application::{Application, random_secret};
pub use asset::{Asset, AssetKind, AssetState, MAX_ASSETS_OF_EVENT, NewAsset, Received};
pub use attempt::{Attempt, Attempted, Next};
pub use broadcast::{
    Anonymous, Broadcast, BroadcastUpdate, Named, NewBroadcast, Silence, Status, Visibility,
};
pub use channel::{Channel, Creation, random_stream_key};
pub use chat::{Chat, NewChat, Standing};
pub use cohost::{CoHost, Grid, HostFigures, Joining, MultiHost, NewCoHost, Permissions};
pub use contact::{Contact, MAX_CONTACTS, NewContact};
use database::{Database, query};
pub use database::{OLDEST_POSTGRESQL, Server, probe};
pub use declared::{Declaration, Declared, NewChannel};
pub use delivery::{Delivery, Notice, Tally};
pub use event::{
    Clashes, DeletedEvent, Event, EventStatus, MAX_EVENTS_OF_TENANT, MAX_EVENTS_OF_USER, NewEvent,
    Repeat,
};
pub use file::{File, FileLinks, FilePaths, FilesOf, MAX_FILES_OF_USER};
pub use follow::{Follows, Hit};
pub use forward::Forward;
pub use ingest::{IngestOptions, SourceUri, Span};
use known::Memory;
pub use known::Watcher;
pub use message::{Message, MessagePage, MessageRange, NewMessage};
pub use show::{After, CutKind, CutRow, Run, ShowRow, Shows};
pub use stream::{OpenStream, Sign};
pub use user::User;
pub use webhook::{MAX_WEBHOOKS, NewWebhook, Webhook, WebhookUpdate};

/// A call to the database. A publish waits for one, an encoder gives up after a few seconds.
const DEADLINE: Duration = Duration::from_secs(2);
/// File name below the data folder.
const FILE: &str = "forebay.db";

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder cannot be used.
    #[error("cannot use {path}: {source}")]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database refused.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The tables could not be brought up to date.
    #[error("database migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// No answer within the deadline.
    #[error("database did not answer within {0:?}")]
    Timeout(Duration),
    /// Something of this name is there already.
    #[error("{0} exists already")]
    Exists(String),
    /// Nothing of this name is there.
    #[error("{what} {id} does not exist")]
    Missing {
        /// What kind of thing.
        what: &'static str,
        /// Which one.
        id: String,
    },
    /// Channels of several applications have this alias.
    #[error("channels of several applications have the alias {0}: say the id")]
    Ambiguous(String),
    /// A bound is reached.
    #[error("{what} limit of {limit} is reached")]
    Full {
        /// Of what.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// Two events want one channel at the same time.
    #[error("the channel is taken by event {title:?} ({id}) at that time")]
    Overlap {
        /// The other event's title.
        title: String,
        /// The other event.
        id: Uuid,
    },
    /// A cut of a stream that viewers may have seen already, or that is not in order.
    #[error("the cut at {at_90k} of stream {stream} cannot be changed")]
    Cut {
        /// Which stream's.
        stream: Uuid,
        /// Where, 90 kHz.
        at_90k: i64,
    },
    /// The configuration file names it, so it would come back.
    #[error("channel {0} is declared by the configuration file")]
    Declared(String),
    /// Something is not in the state for what is asked of it.
    #[error("the {what} is {is} and cannot become {wanted}")]
    State {
        /// What kind of thing.
        what: &'static str,
        /// Its state.
        is: &'static str,
        /// The other one.
        wanted: &'static str,
    },
    /// A message id that was never given out in this channel.
    #[error("no message of this channel has that id")]
    UnknownMessage,
    /// Text that not every database can hold.
    #[error("text holds a zero byte")]
    ZeroByte,
    /// The database's URL has a parameter that the driver does not know.
    #[error("database URL has an unknown parameter {0}")]
    Parameter(String),
    /// A stored value is not what this version writes.
    #[error("stored {what} of {id} is damaged")]
    Damaged {
        /// The field.
        what: &'static str,
        /// Of which row.
        id: String,
    },
}

impl Error {
    pub(crate) fn missing(what: &'static str, id: impl ToString) -> Error {
        let id = id.to_string();
        Error::Missing { what, id }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Timeout(_) => Kind::Timeout,
            Error::Exists(_)
            | Error::Declared(_)
            | Error::Ambiguous(_)
            | Error::State { .. }
            | Error::Overlap { .. }
            | Error::Cut { .. }
            | Error::UnknownMessage
            | Error::ZeroByte
            | Error::Parameter(_) => Kind::Invalid,
            Error::Missing { .. } => Kind::NotFound,
            Error::Full { .. } => Kind::Capacity,
            Error::Folder { .. }
            | Error::Database(_)
            | Error::Migration(_)
            | Error::Damaged { .. } => Kind::Internal,
        }
    }
}

/// The database. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Store {
    database: Database,
    clock: Clock,
    /// Which of the gateways on this database we are.
    node: Arc<str>,
    memory: Arc<Memory>,
    queue: Arc<delivery::Queue>,
}

impl Store {
    /// Opens `forebay.db` in the data folder, makes both if they are missing, and brings the tables
    /// up to date.
    pub async fn open(data: &Path, clock: Clock) -> Result<Store, Error> {
        let file = data.join(FILE);
        prepare(data, &file).map_err(|source| Error::Folder {
            path: file.clone(),
            source,
        })?;
        let database = Box::pin(Database::open_sqlite(&file)).await?;
        Store::with(database, data, clock).await
    }

    /// Connects to the PostgreSQL database of a URL, and brings its tables up to date. The data folder, which
    /// is made if it is missing, says which of the gateways there this one is.
    pub async fn connect(url: &Secret, data: &Path, clock: Clock) -> Result<Store, Error> {
        let database = Box::pin(Database::open_postgres(url)).await?;
        Store::with(database, data, clock).await
    }

    async fn with(database: Database, data: &Path, clock: Clock) -> Result<Store, Error> {
        let node = node::load_or_make(data).map_err(|source| Error::Folder {
            path: data.to_owned(),
            source,
        })?;
        let store = Store {
            database,
            clock,
            node: node.into(),
            memory: Arc::default(),
            queue: Arc::default(),
        };
        store.read_all().await?;
        Ok(store)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        timed(async {
            self.database.fetch_all(query("SELECT 1")).await?;
            Ok(())
        })
        .await
    }

    /// Closes every connection, after which a file is complete without its log.
    pub async fn close(&self) {
        // Nothing can be done about a close that hangs; the log file is replayed at the next start.
        let _ = tokio::time::timeout(DEADLINE, self.database.close()).await;
    }

    fn now_us(&self) -> i64 {
        self.clock.wall().0
    }
}

/// Makes the folder, and the file with owner's rights only: it holds keys. SQLite gives its log
/// files the rights of the database.
fn prepare(data: &Path, file: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(data)?;
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?;
    Ok(())
}

/// Puts the deadline on a call. Boxed, so that callers' futures stay small.
fn timed<'a, T>(
    call: impl Future<Output = Result<T, Error>> + Send + 'a,
) -> impl Future<Output = Result<T, Error>> + Send
where
    T: Send + 'a,
{
    let call: Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>> = Box::pin(call);
    async {
        match tokio::time::timeout(DEADLINE, call).await {
            Ok(Err(Error::Database(sqlx::Error::PoolTimedOut))) | Err(_) => {
                Err(Error::Timeout(DEADLINE))
            }
            Ok(result) => result,
        }
    }
}

/// Lists are stored as JSON arrays.
fn json(words: &[String]) -> String {
    serde_json::to_string(words).expect("a list of text is JSON")
}

/// Databases have no unsigned integers; no count comes near the bound.
fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Names what a unique constraint stands for.
fn exists(error: Error, what: impl FnOnce() -> String) -> Error {
    match &error {
        Error::Database(sqlx::Error::Database(refusal)) if refusal.is_unique_violation() => {
            Error::Exists(what())
        }
        _ => error,
    }
}
