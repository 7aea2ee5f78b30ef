//! Files that users send: their bytes below the data folder, and smaller pictures of pictures. In: bytes as
//! they come. Out: a folder for each file, of the file's id, with names that are chosen here. Not here: what
//! else is known about a file, whose it is, and any name that a user gives.

mod kind;
mod picture;
#[cfg(test)]
mod tests;

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::base::Kind;
use crate::base::id::Uuid;
use kind::Content;
pub use picture::Size;

/// Bytes of a file, inclusive: what an upload may have elsewhere in the contract (broadcasts, B-30).
pub const MAX_FILE_BYTES: u64 = 1 << 30;
/// Pictures that are made smaller at a time: what one needs of memory is all that is needed.
const PICTURES_AT_A_TIME: usize = 1;
/// Files that come at a time: each holds a descriptor and some buffers.
const INCOMING_AT_A_TIME: usize = 64;
/// Bytes of the disk that files leave to others: recordings and the database.
const LEAST_FREE_BYTES: u64 = 1 << 30;
/// Bytes of a file after which it is looked again how many are left: those that all files add in between are
/// half of them.
const LOOK_EVERY_BYTES: u64 = LEAST_FREE_BYTES / 2 / INCOMING_AT_A_TIME as u64;
/// First part of the name of a folder whose file is still coming.
const COMING: &str = "coming-";

/// Why a file is not kept or not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused.
    #[error("cannot keep files: {0}")]
    Disk(#[from] io::Error),
    /// The disk has no room for it.
    #[error("there is no room for more files")]
    Full,
    /// Too many come already.
    #[error("{INCOMING_AT_A_TIME} files are coming already")]
    Busy,
    /// It has more bytes than a file of its kind may have.
    #[error("the file is above {0} bytes")]
    TooLarge(u64),
    /// It has more pixels than a picture may have.
    #[error("the picture has more than {0} pixels, or needs too much memory")]
    TooManyPixels(u64),
    /// Its content is nothing that is kept here.
    #[error(
        "the file is none of JPEG, PNG, GIF, WebP, MP4, QuickTime, WebM, MP3, AAC, WAV, Ogg, PDF"
    )]
    Unknown,
    /// It begins as a picture but is none.
    #[error("the picture cannot be read")]
    Damaged,
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Disk(_) => Kind::Internal,
            Error::Full | Error::Busy => Kind::Capacity,
            Error::TooLarge(_) | Error::TooManyPixels(_) | Error::Unknown | Error::Damaged => {
                Kind::Invalid
            }
        }
    }
}

/// Where files are. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Files {
    folder: Arc<Path>,
    pictures: Arc<Semaphore>,
    incoming: Arc<Semaphore>,
    /// [`LEAST_FREE_BYTES`].
    least_free: u64,
}

/// A file that is still coming. Dropping it removes what is there.
#[derive(Debug)]
pub struct Incoming {
    files: Files,
    id: Uuid,
    file: tokio::fs::File,
    bytes: u64,
    /// Until it is kept.
    folder: Option<PathBuf>,
    _turn: OwnedSemaphorePermit,
}

/// A file that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Of its content.
    pub mime_type: &'static str,
    /// Bytes of it.
    pub bytes: u64,
    /// Its name in the folder of its id.
    pub original: String,
    /// Names of smaller pictures of it, by size; none of what is no picture.
    pub pictures: Vec<(Size, String)>,
}

/// A kept file, open.
#[derive(Debug)]
pub struct Opened {
    /// Its bytes.
    pub file: tokio::fs::File,
    /// How many there are.
    pub bytes: u64,
    /// What they are.
    pub mime_type: &'static str,
}

impl Files {
    /// Uses a folder, which is made if it is missing, and removes what another run left half done.
    pub fn open(folder: &Path) -> io::Result<Files> {
        let mut owners = std::fs::DirBuilder::new();
        owners.recursive(true).mode(0o700).create(folder)?;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(COMING) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(Files {
            folder: folder.into(),
            pictures: Arc::new(Semaphore::new(PICTURES_AT_A_TIME)),
            incoming: Arc::new(Semaphore::new(INCOMING_AT_A_TIME)),
            least_free: LEAST_FREE_BYTES,
        })
    }

    /// Whether the disk has room for more.
    fn check_room(&self) -> Result<(), Error> {
        let free = rustix::fs::statvfs(&*self.folder).map_err(io::Error::from)?;
        match free.f_bavail.saturating_mul(free.f_frsize) < self.least_free {
            true => Err(Error::Full),
            false => Ok(()),
        }
    }

    /// Begins a file.
    pub async fn begin(&self, id: Uuid) -> Result<Incoming, Error> {
        let turn = self.incoming.clone().try_acquire_owned();
        let turn = turn.map_err(|_| Error::Busy)?;
        self.check_room()?;
        let folder = self.folder.join(format!("{COMING}{id}"));
        tokio::fs::create_dir(&folder).await.map_err(refused)?;
        let file = tokio::fs::File::create_new(folder.join(kind::ORIGINAL)).await;
        Ok(Incoming {
            files: self.clone(),
            id,
            file: file.map_err(refused)?,
            bytes: 0,
            folder: Some(folder),
            _turn: turn,
        })
    }

    /// Opens a kept file by its id and one of the names that were given out; `None` for every other name.
    pub async fn read(&self, id: Uuid, name: &str) -> Result<Option<Opened>, Error> {
        let Some(mime_type) = kind::mime_type_of(name) else {
            return Ok(None);
        };
        let path = self.folder.join(id.to_string()).join(name);
        let file = match tokio::fs::File::open(path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        Ok(Some(Opened {
            bytes: file.metadata().await?.len(),
            file,
            mime_type,
        }))
    }

    /// Ids of all files that are kept.
    pub async fn ids(&self) -> Result<Vec<Uuid>, Error> {
        let folder = self.folder.clone();
        let read = move || -> io::Result<Vec<Uuid>> {
            let mut ids = Vec::new();
            for entry in std::fs::read_dir(&*folder)? {
                let name = entry?.file_name();
                ids.extend(name.to_str().and_then(|name| Uuid::parse_str(name).ok()));
            }
            Ok(ids)
        };
        // A panic in there was logged as one.
        let ids = tokio::task::spawn_blocking(read).await;
        Ok(ids.map_err(io::Error::other)??)
    }

    /// Removes a file, if it is there.
    pub async fn remove(&self, id: Uuid) -> Result<(), Error> {
        match tokio::fs::remove_dir_all(self.folder.join(id.to_string())).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => Ok(removed?),
        }
    }
}

impl Incoming {
    /// Adds bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let looks = self.bytes / LOOK_EVERY_BYTES;
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if self.bytes / LOOK_EVERY_BYTES > looks {
            // Files that began together may not be there together.
            self.files.check_room()?;
        }
        if self.bytes > MAX_FILE_BYTES {
            return Err(Error::TooLarge(MAX_FILE_BYTES));
        }
        self.file.write_all(bytes).await.map_err(refused)
    }

    /// Finds out what it is, makes smaller pictures of a picture, and keeps all of it or nothing.
    pub async fn keep(mut self) -> Result<Kept, Error> {
        self.file.flush().await.map_err(refused)?;
        self.file.sync_data().await.map_err(refused)?;
        let turn = self.files.pictures.clone().acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        let work = move || {
            let kept = self.settle();
            drop(turn);
            kept
        };
        // A panic of a decoder was logged as one.
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or(Err(Error::Damaged))
    }

    fn settle(mut self) -> Result<Kept, Error> {
        let folder = self.folder.clone().expect("it is kept once");
        let coming = folder.join(kind::ORIGINAL);
        let content = Content::probe(&coming)?.ok_or(Error::Unknown)?;
        let original = content.name(kind::ORIGINAL);
        let pictures = match content.picture {
            Some(format) => picture::make_smaller(&coming, format, &folder, &original)?,
            None => Vec::new(),
        };
        std::fs::rename(&coming, folder.join(&original))?;
        std::fs::rename(&folder, self.files.folder.join(self.id.to_string()))?;
        self.folder = None;
        Ok(Kept {
            mime_type: content.mime_type,
            bytes: self.bytes,
            original,
            pictures,
        })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take() {
            // A few files of our own; the next start removes what stays.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// A full disk is not our fault.
fn refused(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full,
        _ => Error::Disk(error),
    }
}
