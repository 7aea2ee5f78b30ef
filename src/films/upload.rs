//! Uploads that are not finished: what is remembered of each, in memory and, where it can be gone on with after
//! a crash, beside its bytes.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::incoming::Place;
use super::{
    Error, Films, Incoming, MAX_BYTES_OF_TENANT, MAX_UPLOADS, MAX_UPLOADS_OF_USER, ORIGINAL,
    lifetime_us, remove_if_there, sync_folder,
};
use crate::base::clock::Wall;
use crate::base::id::Uuid;

/// What is known of an upload, in its folder.
const ABOUT: &str = "upload.json";
/// How many bytes are there for sure: eight, big endian. They are changed in one go.
pub(super) const OFFSET: &str = "offset";
/// Bytes of that.
const MAX_ABOUT_BYTES: u64 = 64 << 10;

/// An upload that is about to begin.
#[derive(Clone, Debug)]
pub struct NewUpload {
    /// For which event.
    pub event: Uuid,
    /// Whose event it is.
    pub user: Uuid,
    /// Of which tenant.
    pub tenant: String,
    /// What the file is called.
    pub name: String,
    /// Bytes of it, at most; of an upload that can be gone on with, all of them.
    pub length: u64,
    /// What its client said about it, to be told again.
    pub metadata: String,
}

/// An upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Its id, and that of the asset that it will be.
    pub id: Uuid,
    /// See [`NewUpload`].
    pub event: Uuid,
    /// See [`NewUpload`].
    pub user: Uuid,
    /// See [`NewUpload`].
    pub tenant: String,
    /// See [`NewUpload`].
    pub name: String,
    /// See [`NewUpload`].
    pub length: u64,
    /// See [`NewUpload`].
    pub metadata: String,
    /// Until when it may be gone on with.
    #[serde(with = "micros")]
    pub expires: Wall,
}

mod micros {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::base::clock::Wall;

    pub(super) fn serialize<S: Serializer>(wall: &Wall, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(wall.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Wall, D::Error> {
        i64::deserialize(from).map(Wall)
    }
}

/// An upload, and how much of it is there for sure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coming {
    /// What is known of it.
    pub upload: Arc<Upload>,
    /// Bytes that outlive a crash.
    pub offset: u64,
}

/// How far an upload has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arriving {
    /// What is known of it.
    pub upload: Arc<Upload>,
    /// Bytes that came, also those that a crash would take.
    pub received: u64,
    /// Whether a request writes it right now.
    pub is_written: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) upload: Arc<Upload>,
    pub(super) offset: u64,
    /// See [`Arriving`]; whoever writes counts.
    pub(super) received: Arc<AtomicU64>,
    /// Whether a request writes it right now.
    pub(super) is_written: bool,
}

impl Slot {
    /// What another run left in a folder, if it can be gone on with.
    pub(super) fn read(folder: &Path) -> Option<Slot> {
        let mut about = Vec::new();
        let file = File::open(folder.join(ABOUT)).ok()?;
        file.take(MAX_ABOUT_BYTES).read_to_end(&mut about).ok()?;
        let upload: Upload = serde_json::from_slice(&about).ok()?;
        let offset = std::fs::read(folder.join(OFFSET)).ok()?;
        let offset = u64::from_be_bytes(offset.try_into().ok()?);
        let there = std::fs::metadata(folder.join(ORIGINAL)).ok()?.len();
        (offset <= there && offset <= upload.length).then(|| Slot {
            upload: Arc::new(upload),
            offset,
            received: Arc::new(AtomicU64::new(offset)),
            is_written: false,
        })
    }
}

impl Films {
    /// Begins a file that comes in one go: what has come of it goes when it breaks off.
    pub async fn begin(&self, new: NewUpload) -> Result<Incoming, Error> {
        let (upload, place) = self.reserve(new).await?;
        Incoming::create(upload, place).await
    }

    /// Makes an upload that can be gone on with.
    pub async fn create(&self, new: NewUpload) -> Result<Coming, Error> {
        let (upload, place) = self.reserve(new).await?;
        // Gone with the folder, unless it comes to the end of this.
        let incoming = Incoming::create(upload.clone(), place).await?;
        let (folder, about) = (self.coming_folder(upload.id), upload.clone());
        let write = move || -> io::Result<()> {
            let text = serde_json::to_vec(&*about).expect("it is plain text and numbers");
            for (name, bytes) in [(OFFSET, &0_u64.to_be_bytes()[..]), (ABOUT, &text)] {
                let mut file = File::create_new(folder.join(name))?;
                file.write_all(bytes)?;
                file.sync_all()?;
            }
            sync_folder(&folder)?;
            sync_folder(folder.parent().expect("it lies in the folder of all"))
        };
        let written = tokio::task::spawn_blocking(write).await;
        written.map_err(io::Error::other)?.map_err(super::refused)?;
        incoming.leave();
        let offset = 0;
        Ok(Coming { upload, offset })
    }

    /// An upload that is not finished, also when its time is over.
    pub fn find(&self, id: Uuid) -> Option<Coming> {
        let coming = self.coming();
        let slot = coming.get(&id)?;
        Some(Coming {
            upload: slot.upload.clone(),
            offset: slot.offset,
        })
    }

    /// An upload that can be gone on with.
    pub fn upload(&self, id: Uuid) -> Result<Coming, Error> {
        let coming = self.find(id).ok_or(Error::Missing)?;
        match coming.upload.expires <= self.now() {
            true => Err(Error::Expired),
            false => Ok(coming),
        }
    }

    /// What comes of some events now, or may be gone on with, by their ids: at most one of each.
    pub fn coming_of(&self, events: &HashSet<Uuid>) -> HashMap<Uuid, Arriving> {
        let (coming, now) = (self.coming(), self.now());
        let slots = coming.values().filter(|slot| {
            let upload = &slot.upload;
            events.contains(&upload.event) && (slot.is_written || upload.expires > now)
        });
        let arriving = |slot: &Slot| Arriving {
            upload: slot.upload.clone(),
            received: slot.received.load(Ordering::Relaxed),
            is_written: slot.is_written,
        };
        slots
            .map(|slot| (slot.upload.event, arriving(slot)))
            .collect()
    }

    /// Goes on with an upload, behind the bytes that are there.
    pub async fn resume(&self, id: Uuid, offset: u64) -> Result<Incoming, Error> {
        let upload = self.upload(id)?.upload;
        let place = {
            let mut coming = self.coming();
            let slot = coming.get_mut(&id).ok_or(Error::Missing)?;
            if slot.is_written {
                return Err(Error::Locked);
            }
            if slot.offset != offset {
                return Err(Error::Offset(slot.offset));
            }
            slot.is_written = true;
            slot.received.store(offset, Ordering::Relaxed);
            Place::new(self, id, slot.received.clone(), false)
        };
        Incoming::resume(upload, place, offset).await
    }

    /// Ends an upload that is not finished.
    pub async fn cancel(&self, id: Uuid) -> Result<(), Error> {
        {
            let mut coming = self.coming();
            let slot = coming.get(&id).ok_or(Error::Missing)?;
            if slot.is_written {
                return Err(Error::Locked);
            }
            coming.remove(&id);
        }
        remove_if_there(&self.coming_folder(id)).await
    }

    /// Uploads that are not finished.
    pub fn unfinished(&self) -> Vec<Arc<Upload>> {
        let coming = self.coming();
        coming.values().map(|slot| slot.upload.clone()).collect()
    }

    /// Takes a place for an upload. What came of its event before and waits to be gone on with gives way: who
    /// lost its address could not begin anew otherwise.
    async fn reserve(&self, new: NewUpload) -> Result<(Arc<Upload>, Place), Error> {
        if new.length > self.max_bytes() {
            return Err(Error::TooLarge(self.max_bytes()));
        }
        self.check_room()?;
        let upload = Arc::new(Upload {
            id: Uuid::new_v4(),
            event: new.event,
            user: new.user,
            tenant: new.tenant,
            name: new.name,
            length: new.length,
            metadata: new.metadata,
            expires: self.now().plus_micros(lifetime_us()),
        });
        let (place, former) = {
            let mut coming = self.coming();
            let of_event = |slot: &&Slot| slot.upload.event == upload.event;
            if coming.values().filter(of_event).any(|slot| slot.is_written) {
                return Err(Error::Taken);
            }
            let others = || {
                let others = coming.values().filter(|slot| !of_event(slot));
                others.map(|slot| &slot.upload)
            };
            if others().count() >= MAX_UPLOADS {
                return Err(Error::Busy(MAX_UPLOADS));
            }
            let of_user = others().filter(|other| other.user == upload.user);
            if of_user.count() >= MAX_UPLOADS_OF_USER {
                return Err(Error::TooMany);
            }
            let of_tenant = others().filter(|other| other.tenant == upload.tenant);
            let bytes: u64 = of_tenant.map(|other| other.length).sum();
            if bytes.saturating_add(upload.length) > MAX_BYTES_OF_TENANT.max(self.max_bytes()) {
                return Err(Error::Quota);
            }
            let former = coming.iter().filter(|(_, slot)| of_event(slot));
            let former: Vec<Uuid> = former.map(|(id, _)| *id).collect();
            former.iter().for_each(|id| {
                coming.remove(id);
            });
            let received = Arc::new(AtomicU64::new(0));
            let slot = Slot {
                upload: upload.clone(),
                offset: 0,
                received: received.clone(),
                is_written: true,
            };
            coming.insert(upload.id, slot);
            (Place::new(self, upload.id, received, true), former)
        };
        for id in former {
            // What cannot be removed now is nobody's at the next sweep.
            let _ = remove_if_there(&self.coming_folder(id)).await;
        }
        Ok((upload, place))
    }
}
