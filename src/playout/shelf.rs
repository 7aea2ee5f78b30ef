//! Indexes of assets that are played, in memory: shared by all shows of an asset, and forgotten when nobody
//! plays any.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::asset::{Error, Reader, SLATE};
use crate::base::id::Uuid;

/// Bytes of indexes in memory, of those used last. A film of two hours takes 3 MB.
const MAX_BYTES: usize = 256 << 20;
/// What nobody asked for in this time is forgotten.
const IDLE: Duration = Duration::from_secs(60);
/// How often an asset that is being prepared is read again.
const AGAIN: Duration = Duration::from_secs(1);

/// A film and its slate, as far as they are there.
pub(super) struct Loaded {
    pub(super) film: Option<Reader>,
    pub(super) slate: Option<Reader>,
    read_at: Duration,
    used_ms: AtomicU64,
    /// Whether somebody reads it again.
    reading: AtomicBool,
}

impl Loaded {
    /// Reads what is there. Blocks.
    fn read(folder: &Path, before: Option<&Loaded>, now: Duration) -> Result<Loaded, Error> {
        let read = |known: Option<&Reader>, folder: &Path| match known {
            Some(reader) => reader.again().map(Some),
            None => Reader::open(folder),
        };
        Ok(Loaded {
            film: read(before.and_then(|before| before.film.as_ref()), folder)?,
            slate: read(
                before.and_then(|before| before.slate.as_ref()),
                &folder.join(SLATE),
            )?,
            read_at: now,
            used_ms: AtomicU64::new(millis(now)),
            reading: AtomicBool::new(false),
        })
    }

    /// Whether all is there.
    pub(super) fn is_complete(&self) -> bool {
        [&self.film, &self.slate]
            .iter()
            .all(|reader| reader.as_ref().is_some_and(Reader::is_complete))
    }

    /// Whether it is to be read again.
    pub(super) fn is_stale(&self, now: Duration) -> bool {
        !self.is_complete() && now.saturating_sub(self.read_at) >= AGAIN
    }

    fn weight(&self) -> usize {
        let readers = [&self.film, &self.slate];
        readers.into_iter().flatten().map(Reader::weight).sum()
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Shelf {
    loaded: Mutex<HashMap<Uuid, Arc<Loaded>>>,
    /// Held while an index is read, so that all who come at once read it once.
    turn: Mutex<()>,
}

impl Shelf {
    /// What is in memory of an asset, to be looked at only.
    pub(super) fn peek(&self, asset: Uuid, now: Duration) -> Option<Arc<Loaded>> {
        let mut shelf = self.lock();
        let loaded = shelf.get(&asset)?;
        if is_idle(loaded, now) {
            shelf.remove(&asset);
            return None;
        }
        Some(loaded.clone())
    }

    /// The same, to be used.
    pub(super) fn take(&self, asset: Uuid, now: Duration) -> Option<Arc<Loaded>> {
        let loaded = self.peek(asset, now)?;
        loaded.used_ms.store(millis(now), Ordering::Relaxed);
        Some(loaded)
    }

    /// Whether the caller is to read an asset again, now.
    pub(super) fn is_due(&self, loaded: &Loaded, now: Duration) -> bool {
        loaded.is_stale(now) && !loaded.reading.swap(true, Ordering::Relaxed)
    }

    /// Reads an asset, unless it was read a moment ago. Blocks.
    pub(super) fn load(
        &self,
        asset: Uuid,
        folder: &Path,
        now: Duration,
    ) -> Result<Arc<Loaded>, Error> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.take(asset, now);
        if let Some(before) = before.as_ref().filter(|before| !before.is_stale(now)) {
            return Ok(before.clone());
        }
        let read = Loaded::read(folder, before.as_deref(), now);
        if let Some(before) = &before {
            before.reading.store(false, Ordering::Relaxed);
        }
        let loaded = Arc::new(read?);
        self.put(asset, loaded.clone(), now);
        Ok(loaded)
    }

    /// Forgets an asset.
    pub(super) fn forget(&self, asset: Uuid) {
        self.lock().remove(&asset);
    }

    fn put(&self, asset: Uuid, loaded: Arc<Loaded>, now: Duration) {
        let mut shelf = self.lock();
        shelf.retain(|_, loaded| !is_idle(loaded, now));
        shelf.insert(asset, loaded);
        let mut bytes: usize = shelf.values().map(|loaded| loaded.weight()).sum();
        while bytes > MAX_BYTES && shelf.len() > 1 {
            let used = |loaded: &Arc<Loaded>| loaded.used_ms.load(Ordering::Relaxed);
            let others = shelf.iter().filter(|(known, _)| **known != asset);
            let Some(oldest) = others
                .min_by_key(|(_, loaded)| used(loaded))
                .map(|(id, _)| *id)
            else {
                break;
            };
            bytes -= shelf.remove(&oldest).map_or(0, |loaded| loaded.weight());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Loaded>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_idle(loaded: &Loaded, now: Duration) -> bool {
    let used = Duration::from_millis(loaded.used_ms.load(Ordering::Relaxed));
    now.saturating_sub(used) > IDLE
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
