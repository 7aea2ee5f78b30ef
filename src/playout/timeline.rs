//! The timeline of one show.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Show;
use super::stage::Inner;
use crate::base::id::Uuid;
use crate::media::timeline::{Description, Found, Progress, Resource, Snapshot, Timeline, Wait};

/// What players read of a show.
pub(super) struct Playing {
    stage: Weak<Inner>,
    show: Mutex<Arc<Show>>,
    put: tokio::sync::watch::Sender<()>,
}

impl Playing {
    pub(super) fn new(stage: Weak<Inner>, show: Show) -> Playing {
        Playing {
            stage,
            show: Mutex::new(Arc::new(show)),
            put: tokio::sync::watch::channel(()).0,
        }
    }

    pub(super) fn id(&self) -> Uuid {
        self.show().stream
    }

    pub(super) fn show(&self) -> Arc<Show> {
        self.show
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn put(&self, show: Show) {
        *self.show.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(show);
        self.put.send_replace(());
    }
}

impl Timeline for Playing {
    fn description(&self) -> Option<Arc<Description>> {
        let _ = self.stage.upgrade()?;
        None
    }

    fn snapshot(&self, _rendition: &str) -> Option<Arc<Snapshot>> {
        None
    }

    fn progress(&self, _rendition: &str) -> Option<Progress> {
        None
    }

    fn find(&self, _rendition: &str, _resource: Resource<'_>) -> Found {
        Found::Missing
    }

    fn changed<'a>(&'a self, _rendition: &'a str, _seen: u64) -> Wait<'a> {
        Box::pin(async move {
            let _ = self.put.subscribe().changed().await;
        })
    }
}
