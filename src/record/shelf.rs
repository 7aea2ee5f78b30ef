//! Indexes of recordings that are played, in memory: a few, of those that were played last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::vod::Loaded;
use crate::base::id::Uuid;

/// Indexes in memory. That of twelve hours and five renditions takes 8 MB.
const MAX_LOADED: usize = 16;

/// See the module.
#[derive(Default)]
pub(super) struct Shelf {
    /// The one used last is the last.
    loaded: Mutex<VecDeque<(Uuid, Arc<Loaded>)>>,
}

impl Shelf {
    /// A recording's index, to be used.
    pub(super) fn take(&self, id: Uuid) -> Option<Arc<Loaded>> {
        let mut loaded = self.lock();
        let at = loaded.iter().position(|(known, _)| *known == id)?;
        let used = loaded.remove(at)?;
        let index = used.1.clone();
        loaded.push_back(used);
        Some(index)
    }

    /// The same, to be looked at only.
    pub(super) fn peek(&self, id: Uuid) -> Option<Arc<Loaded>> {
        let loaded = self.lock();
        let found = loaded.iter().find(|(known, _)| *known == id);
        found.map(|(_, index)| index.clone())
    }

    /// Keeps an index, and forgets the one that was not used for the longest time.
    pub(super) fn put(&self, id: Uuid, index: Arc<Loaded>) {
        self.forget(id);
        let mut loaded = self.lock();
        loaded.push_back((id, index));
        let oldest = match loaded.len() > MAX_LOADED {
            true => loaded.pop_front(),
            false => None,
        };
        drop(loaded);
        // Large: freed without the lock.
        drop(oldest);
    }

    pub(super) fn forget(&self, id: Uuid) {
        self.lock().retain(|(known, _)| *known != id);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Uuid, Arc<Loaded>)>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
