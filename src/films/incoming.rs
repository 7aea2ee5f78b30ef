//! A file that is coming: written, counted, checked, and put where films are.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;

use super::upload::OFFSET;
use super::{
    Error, Films, Found, INCOMING_AT_A_TIME, LOOK_EVERY_BYTES, ORIGINAL, Upload, refused,
    sync_folder,
};
use crate::base::id::Uuid;

/// Bytes that are read at a time when a whole file is summed up.
const READ_BYTES: usize = 256 << 10;

/// A file that is coming. Dropping it removes what is there, unless it can be gone on with.
#[derive(Debug)]
pub struct Incoming {
    films: Films,
    upload: Arc<Upload>,
    /// Locked as long as it is open.
    file: tokio::fs::File,
    /// Where [`OFFSET`] is kept; `None`: it comes in one go.
    record: Option<tokio::fs::File>,
    written: u64,
    /// Bytes that outlive a crash, of what can be gone on with.
    kept: u64,
    /// Of everything so far, unless part of it came earlier.
    sum: Option<Sha256>,
    place: Option<Place>,
    _turn: OwnedSemaphorePermit,
}

/// The place of a file that is coming: given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    films: Films,
    id: Uuid,
    /// Bytes that came, for who asks meanwhile.
    received: Arc<AtomicU64>,
    /// Whether the upload and its folder are gone with it.
    removes: bool,
}

impl Place {
    pub(super) fn new(films: &Films, id: Uuid, received: Arc<AtomicU64>, removes: bool) -> Place {
        Place {
            films: films.clone(),
            id,
            received,
            removes,
        }
    }
}

/// All of a file, as it is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// How many bytes.
    pub bytes: u64,
    /// Their sum.
    pub sha256: [u8; 32],
}

/// A film where it belongs. Dropping it removes it, until it is said that it is known.
#[derive(Debug)]
pub struct Placed {
    films: Films,
    id: Uuid,
    /// Locked: no sweep takes it.
    _file: File,
    _place: Place,
    is_known: bool,
}

impl Incoming {
    pub(super) async fn create(upload: Arc<Upload>, place: Place) -> Result<Incoming, Error> {
        let films = &place.films;
        let turn = films.0.incoming.clone().try_acquire_owned();
        let turn = turn.map_err(|_| Error::Busy(INCOMING_AT_A_TIME))?;
        let folder = films.coming_folder(upload.id);
        tokio::fs::create_dir(&folder).await.map_err(refused)?;
        let file = tokio::fs::File::options()
            .create_new(true)
            .write(true)
            .open(folder.join(ORIGINAL))
            .await;
        let file = locked(file.map_err(refused)?).await?;
        Ok(Incoming {
            films: films.clone(),
            upload,
            file,
            record: None,
            written: 0,
            kept: 0,
            sum: Some(Sha256::new()),
            place: Some(place),
            _turn: turn,
        })
    }

    pub(super) async fn resume(
        upload: Arc<Upload>,
        place: Place,
        offset: u64,
    ) -> Result<Incoming, Error> {
        let films = &place.films;
        let turn = films.0.incoming.clone().try_acquire_owned();
        let turn = turn.map_err(|_| Error::Busy(INCOMING_AT_A_TIME))?;
        films.check_room()?;
        let folder = films.coming_folder(upload.id);
        let mut writing = tokio::fs::File::options();
        writing.write(true);
        let file = writing.open(folder.join(ORIGINAL)).await?;
        let mut file = locked(file).await?;
        // What came behind was not acknowledged, and may be wrong.
        file.set_len(offset).await?;
        file.seek(io::SeekFrom::Start(offset)).await?;
        Ok(Incoming {
            films: films.clone(),
            upload,
            file,
            record: Some(writing.open(folder.join(OFFSET)).await?),
            written: offset,
            kept: offset,
            sum: (offset == 0).then(Sha256::new),
            place: Some(place),
            _turn: turn,
        })
    }

    /// What is known of it.
    pub fn upload(&self) -> &Arc<Upload> {
        &self.upload
    }

    /// Bytes that came.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Adds bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let before = self.written;
        let after = before.saturating_add(bytes.len() as u64);
        if after > self.upload.length {
            return Err(Error::TooLarge(self.upload.length));
        }
        if before / LOOK_EVERY_BYTES < after / LOOK_EVERY_BYTES {
            // Files that began together may not be there together.
            self.films.check_room()?;
        }
        self.file.write_all(bytes).await.map_err(refused)?;
        if let Some(sum) = &mut self.sum {
            sum.update(bytes);
        }
        self.written = after;
        if let Some(place) = &self.place {
            place.received.store(after, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether so much came since the last [`Incoming::keep`] that it should not be lost.
    pub fn is_worth_keeping(&self) -> bool {
        self.written - self.kept >= LOOK_EVERY_BYTES
    }

    /// Makes what came outlive a crash.
    pub async fn keep(&mut self) -> Result<(), Error> {
        self.file.flush().await.map_err(refused)?;
        self.file.sync_data().await.map_err(refused)?;
        let Some(record) = &mut self.record else {
            return Ok(());
        };
        record.rewind().await?;
        let offset = self.written.to_be_bytes();
        record.write_all(&offset).await.map_err(refused)?;
        record.flush().await.map_err(refused)?;
        record.sync_data().await.map_err(refused)?;
        self.kept = self.written;
        if let Some(slot) = self.films.coming().get_mut(&self.upload.id) {
            slot.offset = self.written;
        }
        Ok(())
    }

    /// All of it came: makes it last, and sums it up.
    pub async fn seal(&mut self) -> Result<Sealed, Error> {
        self.keep().await?;
        let path = self.films.coming_folder(self.upload.id).join(ORIGINAL);
        let sha256 = match self.sum.take() {
            Some(sum) => sum.finalize().into(),
            None => {
                // A panic in there was logged as one.
                let summed = tokio::task::spawn_blocking(move || sum_of(&path)).await;
                summed.map_err(io::Error::other)??
            }
        };
        Ok(Sealed {
            bytes: self.written,
            sha256,
        })
    }

    /// Finds out what it is; an error where it cannot be shown.
    pub async fn probe(&self) -> Result<Found, Error> {
        let path = self.films.coming_folder(self.upload.id).join(ORIGINAL);
        self.films.0.config.probe.look(&path).await
    }

    /// It is not wanted, although it could be gone on with.
    pub fn refuse(mut self) {
        if let Some(place) = &mut self.place {
            place.removes = true;
        }
    }

    /// Later bytes come by other requests.
    pub(super) fn leave(mut self) {
        if let Some(place) = &mut self.place {
            place.removes = false;
        }
    }

    /// Puts it where films are.
    pub async fn place(mut self) -> Result<Placed, Error> {
        let id = self.upload.id;
        let (from, to) = (self.films.coming_folder(id), self.films.folder(id));
        let mut place = self.place.take().expect("it is placed once");
        place.removes = true;
        let work = move || -> io::Result<()> {
            // Its name in there as well: what came in one go has not made that last.
            sync_folder(&from)?;
            std::fs::rename(&from, &to)?;
            sync_folder(to.parent().expect("it lies in the folder of all"))
        };
        let placed = Placed {
            films: self.films.clone(),
            id,
            _file: self.file.into_std().await,
            _place: place,
            is_known: false,
        };
        let moved = tokio::task::spawn_blocking(work).await;
        moved.map_err(io::Error::other)?.map_err(refused)?;
        Ok(placed)
    }
}

impl Placed {
    /// The store knows it: it stays.
    pub fn keep(mut self) {
        self.is_known = true;
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if !self.is_known {
            remove(&self.films.folder(self.id));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.removes {
            remove(&self.films.coming_folder(self.id));
            self.films.coming().remove(&self.id);
        } else if let Some(slot) = self.films.coming().get_mut(&self.id) {
            slot.is_written = false;
        }
    }
}

/// A few files of our own; the next sweep removes what stays.
fn remove(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
}

async fn locked(file: tokio::fs::File) -> Result<tokio::fs::File, Error> {
    let file = file.into_std().await;
    match file.try_lock() {
        Ok(()) => Ok(tokio::fs::File::from_std(file)),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::Locked),
        Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

fn sum_of(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut sum = Sha256::new();
    let mut piece = vec![0; READ_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(sum.finalize().into()),
            count => sum.update(&piece[..count]),
        }
    }
}
