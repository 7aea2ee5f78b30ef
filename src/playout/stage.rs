//! All shows that this process can play.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use super::asset::{Error, Reader};
use super::shelf::Shelf;
use super::timeline::Playing;
use super::{Facts, Legs, Show};
use crate::base::clock::Clock;
use crate::base::id::Uuid;
use crate::media::timeline::{Rules, Timeline};

/// What all shows have in common.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of the assets' folders.
    pub folder: PathBuf,
    /// What the playlists of live streams with a ladder have in common. Each show has its own epoch, and the
    /// part target that its film was prepared for.
    pub rules: Rules,
}

/// All shows that this process can play. Cloning shares it.
#[derive(Clone)]
pub struct Stage(Arc<Inner>);

pub(super) struct Inner {
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) shelf: Arc<Shelf>,
    legs: RwLock<Option<Arc<dyn Legs>>>,
    shows: RwLock<HashMap<Uuid, Arc<Playing>>>,
}

impl Inner {
    /// The timeline of a taken-over stream.
    pub(super) fn leg(&self, stream: Uuid) -> Option<Arc<dyn Timeline>> {
        let legs = self
            .legs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()?;
        legs.timeline(stream)
    }

    /// Reads an asset's index into memory.
    pub(super) async fn load(&self, asset: Uuid) -> io::Result<()> {
        let read = tokio::task::spawn_blocking(self.reading(asset));
        read.await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)
    }

    /// The same, for whoever cannot wait.
    pub(super) fn read_aside(&self, asset: Uuid) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(self.reading(asset));
        }
    }

    fn reading(&self, asset: Uuid) -> impl FnOnce() -> Result<(), Error> + Send + 'static {
        let shelf = self.shelf.clone();
        let folder = self.config.folder.join(asset.to_string());
        let clock = self.clock.clone();
        move || shelf.load(asset, &folder, clock.monotonic()).map(|_| ())
    }
}

impl Stage {
    /// A stage without shows.
    pub fn new(config: Config, clock: Clock) -> Stage {
        Stage(Arc::new(Inner {
            config,
            clock,
            shelf: Arc::default(),
            legs: RwLock::default(),
            shows: RwLock::default(),
        }))
    }

    /// Where taken-over streams are found.
    pub fn live(&self, legs: Arc<dyn Legs>) {
        *self.0.legs.write().unwrap_or_else(PoisonError::into_inner) = Some(legs);
    }

    /// Puts a show on, or gives it another cut log: its timeline stays the same.
    pub fn put(&self, show: Show) {
        let mut shows = self.0.shows.write().unwrap_or_else(PoisonError::into_inner);
        match shows.get(&show.stream) {
            Some(playing) => playing.put(show),
            None => {
                let playing = Playing::new(Arc::downgrade(&self.0), show);
                shows.insert(playing.id(), Arc::new(playing));
            }
        }
    }

    /// Takes a show off. Those who wait for it are let go.
    pub fn remove(&self, stream: Uuid) {
        let mut shows = self.0.shows.write().unwrap_or_else(PoisonError::into_inner);
        let removed = shows.remove(&stream);
        drop(shows);
        if let Some(removed) = removed {
            removed.wake();
        }
    }

    /// Forgets what is in memory of an asset, which was prepared anew or deleted.
    pub fn forget(&self, asset: Uuid) {
        self.0.shelf.forget(asset);
    }

    /// What a show's players read.
    pub fn timeline(&self, stream: Uuid) -> Option<Arc<dyn Timeline>> {
        let shows = self.0.shows.read().unwrap_or_else(PoisonError::into_inner);
        let playing = shows.get(&stream)?.clone();
        Some(playing)
    }

    /// The show of a stream as it is now.
    pub fn show(&self, stream: Uuid) -> Option<Arc<Show>> {
        let shows = self.0.shows.read().unwrap_or_else(PoisonError::into_inner);
        shows.get(&stream).map(|playing| playing.show())
    }

    /// All shows' streams.
    pub fn ids(&self) -> Vec<Uuid> {
        let shows = self.0.shows.read().unwrap_or_else(PoisonError::into_inner);
        shows.keys().copied().collect()
    }

    /// What is known of an asset's film; `None` when nothing of it is there.
    pub async fn facts(&self, asset: Uuid) -> Result<Option<Facts>, Error> {
        let folder = self.0.config.folder.join(asset.to_string());
        let read = tokio::task::spawn_blocking(move || Reader::open(&folder));
        let read = read.await.map_err(io::Error::other);
        let reader = read.map_err(|source| Error::Io {
            what: format!("cannot read asset {asset}"),
            source,
        })??;
        Ok(reader.map(|reader| reader.facts().clone()))
    }
}
