//! Films of events: a folder for each asset. In: bytes as they come, in one go or in pieces over a day. Out:
//! `{assetId}/original`, counted and checked. Not here: whose an asset is (`store`), what is made of it
//! (`transcode`) and shown of it (`playout`), and any name that a user gives.
//!
//! A folder whose bytes still come is called `coming-{id}`; who writes into one holds a lock on its file, which
//! the system takes back from a process that dies. So whatever is neither locked, nor an upload that can be
//! gone on with, nor known to the store, is debris: [`Films::open`] and [`Films::sweep`] remove it.

mod incoming;
mod probe;
#[cfg(test)]
mod tests;
mod upload;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::base::Kind;
use crate::base::clock::{Clock, Wall};
use crate::base::id::Uuid;
pub use incoming::{Incoming, Placed, Sealed};
pub use probe::{Found, Medium, Probe};
use upload::Slot;
pub use upload::{Arriving, Coming, NewUpload, Upload};

/// How long an upload may be gone on with.
pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Uploads of a user that are not finished: each is a file on the disk.
pub const MAX_UPLOADS_OF_USER: usize = 8;
/// Bytes that unfinished uploads of a tenant may come to, as they were declared: sixteen of the largest by
/// default.
pub const MAX_BYTES_OF_TENANT: u64 = 16 << 30;
/// Unfinished uploads in all: each takes some hundred bytes of memory, and a user can be made for free.
const MAX_UPLOADS: usize = 10_000;
/// Files that come at a time: each holds a descriptor and some buffers.
const INCOMING_AT_A_TIME: usize = 64;
/// Bytes of the disk that films leave to others: recordings and the database.
const LEAST_FREE_BYTES: u64 = 1 << 30;
/// Bytes of a file after which it is looked again how many are left, and what has come of an upload is made to
/// last: those that all files add in between are half of them.
const LOOK_EVERY_BYTES: u64 = LEAST_FREE_BYTES / 2 / INCOMING_AT_A_TIME as u64;
/// First part of the name of a folder whose file is still coming.
const COMING: &str = "coming-";
/// What was sent, in its folder.
const ORIGINAL: &str = "original";

/// Why a film is not kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused.
    #[error("cannot keep films: {0}")]
    Disk(#[from] io::Error),
    /// The disk has no room for it.
    #[error("there is no room for more films")]
    Full,
    /// The tenant has no room for it.
    #[error("unfinished uploads may come to {MAX_BYTES_OF_TENANT} bytes")]
    Quota,
    /// Too many come already.
    #[error("{0} uploads are unfinished already")]
    Busy(usize),
    /// One user's are too many.
    #[error("{MAX_UPLOADS_OF_USER} uploads of this user are unfinished already")]
    TooMany,
    /// Another file of the event is coming right now.
    #[error("another file of this event is being uploaded")]
    Taken,
    /// Bytes of this upload are coming right now.
    #[error("this upload is being written by another request")]
    Locked,
    /// There is none of that id.
    #[error("there is no such upload")]
    Missing,
    /// Its time is over.
    #[error("the upload was not finished within {LIFETIME:?}")]
    Expired,
    /// More than this came.
    #[error("the upload has {0} bytes")]
    Offset(u64),
    /// It has more bytes than it may have.
    #[error("the file is above {0} bytes")]
    TooLarge(u64),
    /// It is nothing that can be shown.
    #[error("{0}")]
    Unsupported(String),
    /// What looks into files did not come to an end.
    #[error("looking into the file: {0}")]
    Probe(String),
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Disk(_) | Error::Probe(_) => Kind::Internal,
            Error::Full | Error::Quota | Error::Busy(_) | Error::TooMany => Kind::Capacity,
            Error::Missing | Error::Expired => Kind::NotFound,
            Error::Taken
            | Error::Locked
            | Error::Offset(_)
            | Error::TooLarge(_)
            | Error::Unsupported(_) => Kind::Invalid,
        }
    }
}

/// Where and how films are kept.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of all of them.
    pub folder: PathBuf,
    /// Bytes of a file, inclusive.
    pub max_bytes: u64,
    /// What looks into files.
    pub probe: Probe,
    /// For what expires.
    pub clock: Clock,
}

/// All films of this gateway. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Films(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    /// What is coming, by the id of the asset that it will be.
    coming: Mutex<HashMap<Uuid, Slot>>,
    incoming: Arc<Semaphore>,
    /// [`LEAST_FREE_BYTES`].
    least_free: u64,
}

impl Films {
    /// Uses a folder, which is made if it is missing; finds uploads that can be gone on with, and removes what
    /// else another run left half done.
    pub fn open(config: Config) -> io::Result<Films> {
        Films::leaving(config, LEAST_FREE_BYTES)
    }

    /// The same, which leaves so many bytes of the disk to others.
    pub(crate) fn leaving(config: Config, least_free: u64) -> io::Result<Films> {
        let mut owners = std::fs::DirBuilder::new();
        owners.recursive(true).mode(0o700).create(&config.folder)?;
        let films = Films(Arc::new(Inner {
            config,
            coming: Mutex::default(),
            incoming: Arc::new(Semaphore::new(INCOMING_AT_A_TIME)),
            least_free,
        }));
        let found = films.clear_coming()?;
        films.coming().extend(found);
        Ok(films)
    }

    /// Bytes of a file, inclusive.
    pub fn max_bytes(&self) -> u64 {
        self.0.config.max_bytes
    }

    /// The folder of an asset.
    pub fn folder(&self, asset: Uuid) -> PathBuf {
        self.0.config.folder.join(asset.to_string())
    }

    /// What was sent of an asset, in its folder.
    pub fn original(&self, asset: Uuid) -> PathBuf {
        self.folder(asset).join(ORIGINAL)
    }

    /// Whether an asset's file is here.
    pub async fn has(&self, asset: Uuid) -> bool {
        let there = tokio::fs::try_exists(self.original(asset)).await;
        there.unwrap_or(false)
    }

    /// Removes an asset with all that was made of it, if it is there.
    pub async fn remove(&self, asset: Uuid) -> Result<(), Error> {
        remove_if_there(&self.folder(asset)).await
    }

    /// Removes what was made of an asset: all but what was sent.
    pub async fn remove_made(&self, asset: Uuid) -> Result<(), Error> {
        let folder = self.folder(asset);
        let work = move || -> io::Result<()> {
            let entries: Result<Vec<_>, _> = std::fs::read_dir(folder)?.collect();
            let mut made = entries?;
            made.retain(|entry| entry.file_name() != ORIGINAL);
            made.iter()
                .try_for_each(|entry| match entry.file_type()?.is_dir() {
                    true => std::fs::remove_dir_all(entry.path()),
                    false => std::fs::remove_file(entry.path()),
                })
        };
        // A panic in there was logged as one.
        let removed = tokio::task::spawn_blocking(work).await;
        Ok(removed.map_err(io::Error::other)??)
    }

    /// Removes uploads whose time is over and what nobody writes any more; ids of all assets that are here and
    /// not being accepted just now.
    pub async fn sweep(&self) -> Result<Vec<Uuid>, Error> {
        let films = self.clone();
        let work = move || -> io::Result<Vec<Uuid>> {
            films.clear_coming()?;
            let mut ids = Vec::new();
            for entry in std::fs::read_dir(&films.0.config.folder)? {
                let entry = entry?;
                let name = entry.file_name();
                let id = name.to_str().and_then(|name| Uuid::parse_str(name).ok());
                ids.extend(id.filter(|_| is_free(&entry.path())));
            }
            Ok(ids)
        };
        // A panic in there was logged as one.
        let ids = tokio::task::spawn_blocking(work).await;
        Ok(ids.map_err(io::Error::other)??)
    }

    /// Removes what came in part and is nobody's; uploads that can be gone on with and were not known.
    fn clear_coming(&self) -> io::Result<HashMap<Uuid, Slot>> {
        let now = self.now();
        let mut found = HashMap::new();
        for entry in std::fs::read_dir(&self.0.config.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.strip_prefix(COMING)) else {
                continue;
            };
            let path = entry.path();
            let id = Uuid::parse_str(id).unwrap_or_default();
            let known = {
                let mut coming = self.coming();
                let is_over = |slot: &Slot| !slot.is_written && slot.upload.expires <= now;
                if coming.get(&id).is_some_and(is_over) {
                    coming.remove(&id);
                }
                coming.contains_key(&id)
            };
            if known {
                continue;
            }
            match Slot::read(&path).filter(|slot| slot.upload.id == id) {
                Some(slot) if slot.upload.expires > now => {
                    found.insert(id, slot);
                }
                _ if is_free(&path) => match std::fs::remove_dir_all(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                },
                _ => {}
            }
        }
        Ok(found)
    }

    /// What began before is over, whatever it is.
    pub fn horizon(&self) -> Wall {
        self.now().plus_micros(-lifetime_us())
    }

    fn coming_folder(&self, id: Uuid) -> PathBuf {
        self.0.config.folder.join(format!("{COMING}{id}"))
    }

    fn coming(&self) -> MutexGuard<'_, HashMap<Uuid, Slot>> {
        let coming = self.0.coming.lock();
        coming.unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Wall {
        self.0.config.clock.wall()
    }

    /// Whether the disk has room for more: [`Error::Full`] where it has not.
    pub fn check_room(&self) -> Result<(), Error> {
        let free = rustix::fs::statvfs(&self.0.config.folder).map_err(io::Error::from)?;
        match free.f_bavail.saturating_mul(free.f_frsize) < self.0.least_free {
            true => Err(Error::Full),
            false => Ok(()),
        }
    }
}

/// Whether nobody, of this process or another one, writes the file of a folder.
fn is_free(folder: &Path) -> bool {
    match File::open(folder.join(ORIGINAL)) {
        Ok(file) => file.try_lock_shared().is_ok(),
        Err(_) => true,
    }
}

fn lifetime_us() -> i64 {
    i64::try_from(LIFETIME.as_micros()).expect("a day")
}

async fn remove_if_there(folder: &Path) -> Result<(), Error> {
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => Ok(removed?),
    }
}

/// Makes names in a folder last.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A full disk is not our fault.
fn refused(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full,
        _ => Error::Disk(error),
    }
}
