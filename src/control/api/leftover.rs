//! Bytes of files and films that are nobody's any more: their users or events are gone, they were replaced, or a
//! crash came between. In: what is on the disk, and what the store knows. Out: folders that are removed.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Error;
use crate::base::id::Uuid;
use crate::base::shutdown::Tasks;
use crate::files::Files;
use crate::films::{self, Films};
use crate::store::{self, Store};

/// How often is looked: nobody can read them meanwhile, they only take room.
const LOOK: Duration = Duration::from_secs(60 * 60);

/// Removes bytes that are nobody's.
pub struct Leftovers {
    store: Store,
    files: Files,
    films: Films,
    /// Files that were nobody's at the last look.
    suspects: HashSet<Uuid>,
}

impl Leftovers {
    /// Begins now.
    pub fn new(store: Store, files: Files, films: Films) -> Leftovers {
        Leftovers {
            store,
            files,
            films,
            suspects: HashSet::new(),
        }
    }

    /// Looks for them until the tasks are stopped.
    pub async fn run(mut self, tasks: Tasks) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = tasks.stopped() => return,
                _ = look.tick() => {}
            }
            tokio::select! {
                // What is removed in part is nobody's at the next look, too.
                () = tasks.stopped() => return,
                looked = self.look() => if let Err(err) = looked {
                    tracing::error!(%err, "files of nobody could not be removed");
                },
            }
        }
    }

    /// Looks once.
    pub(super) async fn look(&mut self) -> Result<(), Error> {
        self.look_at_films().await?;
        self.look_at_files().await
    }

    /// A film that has just come is locked until the store knows it.
    async fn look_at_films(&self) -> Result<(), Error> {
        let begun = self.films.horizon();
        for asset in self.store.unfinished_uploads(begun).await? {
            match self.store.delete_asset(asset.id).await {
                // Another gateway was faster, or it came whole a moment ago.
                Err(store::Error::Missing { .. } | store::Error::State { .. }) => {}
                deleted => deleted?,
            }
        }
        for upload in self.films.unfinished() {
            if self.store.event(upload.event).await?.is_some() {
                continue;
            }
            // Nobody can go on with it, and it counts among its user's for a day.
            match self.films.cancel(upload.id).await {
                Err(films::Error::Missing | films::Error::Locked) => {}
                cancelled => cancelled?,
            }
        }
        let mut of_events: HashMap<Uuid, usize> = HashMap::new();
        for id in self.films.sweep().await? {
            match self.store.asset(id).await? {
                Some(asset) => *of_events.entry(asset.event_id).or_default() += 1,
                None => self.films.remove(id).await?,
            }
        }
        // Of several all but one were replaced while they were on.
        for (event, _) in of_events.into_iter().filter(|(_, films)| *films > 1) {
            for id in self.store.drop_unused_assets(event).await? {
                self.films.remove(id).await?;
            }
        }
        Ok(())
    }

    /// What is nobody's for the second time is removed: one that has just come is known to the
    /// store a moment later.
    async fn look_at_files(&mut self) -> Result<(), Error> {
        let mut suspects = HashSet::new();
        for id in self.files.ids().await? {
            if self.store.is_file_stored(id).await? {
                continue;
            }
            match self.suspects.contains(&id) {
                true => self.files.remove(id).await?,
                false => {
                    suspects.insert(id);
                }
            }
        }
        self.suspects = suspects;
        Ok(())
    }
}
