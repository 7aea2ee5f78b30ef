//! How long recordings stay, who makes room for whom, and what the catalog is told.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tracing::{error, info, warn};

use super::{Library, Summary};
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::base::shutdown::Tasks;
use crate::record::Error;
use crate::record::catalog::Catalog;

/// How often old recordings are looked for.
const SWEEP: Duration = Duration::from_secs(60);

impl Library {
    /// Deletes what is too old and keeps the catalog up to date, until the tasks stop.
    pub async fn run(self, catalog: Arc<dyn Catalog>, tasks: Tasks) {
        let mut tick = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                () = tasks.stopped() => break,
                () = self.0.news.come() => {}
                _ = tick.tick() => {
                    let library = self.clone();
                    if let Err(err) = tokio::task::spawn_blocking(move || library.sweep()).await {
                        error!(%err, "looking for old recordings failed");
                    }
                    self.tell_lengths();
                }
            }
            self.tell(&*catalog).await;
        }
        self.tell_lengths();
        self.tell(&*catalog).await;
    }

    /// How far those have got that are being made is news once a minute.
    fn tell_lengths(&self) {
        let entries = self.entries();
        let open = entries.iter().filter(|(_, entry)| entry.active);
        let mut again: Vec<Uuid> = open.map(|(id, _)| *id).collect();
        drop(entries);
        let mut untold = self.0.untold.lock().unwrap_or_else(PoisonError::into_inner);
        again.append(&mut untold);
        drop(untold);
        again.into_iter().for_each(|id| self.0.news.add(id));
    }

    /// Tells the catalog what is new. What it could not write is news again a minute later.
    pub(in crate::record) async fn tell(&self, catalog: &dyn Catalog) {
        let mut failed = Vec::new();
        for id in self.0.news.take() {
            let told = match self.get(id) {
                Some(summary) => catalog.changed(&summary).await,
                None => catalog.deleted(id).await,
            };
            if !told {
                failed.push(id);
            }
        }
        let mut untold = self.0.untold.lock().unwrap_or_else(PoisonError::into_inner);
        untold.extend(failed);
    }

    /// Deletes recordings that ended too long ago. Blocks.
    pub fn sweep(&self) {
        let Some(keep) = self.0.config.keep else {
            return;
        };
        let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
        let oldest = self.now().plus_micros(-keep);
        for (id, _) in self.oldest(|summary| summary.ended.is_some_and(|ended| ended < oldest)) {
            match self.delete(id) {
                Ok(()) => info!(recording = %id, "recording deleted, it was too old"),
                Err(err) => warn!(%err, recording = %id, "old recording not deleted"),
            }
        }
    }

    /// Whether more may be written; deletes the oldest complete recordings first, if the settings say so.
    /// `paused` wants some more room, so that recordings do not stop and go. Blocks.
    pub(in crate::record) fn check_room(&self, paused: bool) -> Result<(), Error> {
        let config = &self.0.config;
        let least_bytes = match paused {
            true => config.least_free_bytes + config.least_free_bytes / 4,
            false => config.least_free_bytes,
        };
        let free = || {
            let free = self.0.disk.free_bytes(&config.folder);
            free.map_err(Error::io("cannot tell the free space"))
        };
        let mut free_bytes = free()?;
        if free_bytes < least_bytes && config.make_room {
            for (id, _) in self.oldest(|summary| summary.ended.is_some()) {
                if self.delete(id).is_ok() {
                    info!(recording = %id, "recording deleted to make room");
                }
                free_bytes = free()?;
                if free_bytes >= least_bytes {
                    break;
                }
            }
        }
        match free_bytes < least_bytes {
            true => Err(Error::Full {
                free_bytes,
                least_bytes: config.least_free_bytes,
            }),
            false => Ok(()),
        }
    }

    /// Ids of some recordings by their end.
    fn oldest(&self, which: impl Fn(&Summary) -> bool) -> Vec<(Uuid, Option<Wall>)> {
        let entries = self.entries();
        let chosen = entries.values().filter(|entry| which(&entry.summary));
        let mut ids: Vec<_> = chosen
            .map(|entry| (entry.summary.about.id, entry.summary.ended))
            .collect();
        drop(entries);
        ids.sort_by_key(|(id, ended)| (*ended, *id));
        ids
    }
}
