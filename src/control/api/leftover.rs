//! Bytes of files that are nobody's any more: their users are gone, or a crash came between. In: what is on the
//! disk, and what the store knows. Out: folders that are removed.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Error;
use crate::base::id::Uuid;
use crate::base::shutdown::Tasks;
use crate::files::Files;
use crate::store::Store;

/// How often is looked: nobody can read them meanwhile, they only take room.
const LOOK: Duration = Duration::from_secs(60 * 60);

/// Removes bytes that are nobody's.
pub struct Leftovers {
    store: Store,
    files: Files,
    /// Files that were nobody's at the last look.
    suspects: HashSet<Uuid>,
}

impl Leftovers {
    /// Begins now.
    pub fn new(store: Store, files: Files) -> Leftovers {
        Leftovers {
            store,
            files,
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

    /// Looks once. What is nobody's for the second time is removed: one that has just come is known to the
    /// store a moment later.
    pub(super) async fn look(&mut self) -> Result<(), Error> {
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
