//! The port through which others are told of recordings. The database stands behind it.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::library::Summary;
use crate::base::id::Uuid;

/// A boxed future of a catalog: whether it was written down.
pub type Pending<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

/// Rows of recordings. The folders are the truth, rows follow: told of anything twice, a catalog is as it
/// was, and what it could not write it is told again.
pub trait Catalog: Send + Sync {
    /// A recording began, or stands differently.
    fn changed<'a>(&'a self, summary: &'a Summary) -> Pending<'a>;

    /// A recording is gone.
    fn deleted(&self, id: Uuid) -> Pending<'_>;
}

/// Recordings of which the catalog is to be told. As many as there are, at most.
#[derive(Debug, Default)]
pub(super) struct News {
    ids: Mutex<BTreeSet<Uuid>>,
    come: Notify,
}

impl News {
    pub(super) fn add(&self, id: Uuid) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.insert(id);
        drop(ids);
        self.come.notify_one();
    }

    pub(super) fn take(&self) -> BTreeSet<Uuid> {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *ids)
    }

    /// Resolves when something was added since the last call.
    pub(super) async fn come(&self) {
        self.come.notified().await;
    }
}
