//! How long recordings stay, and who makes room for whom.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use super::{Library, Summary};
use crate::base::id::Uuid;
use crate::base::shutdown::Tasks;
use crate::record::Error;

/// How often old recordings are looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// Until more is deleted when room was made and is not there: file systems that write in transactions (btrfs, every 30 s;
/// ZFS, every 5 s) say late that room is free.
const SETTLES: Duration = Duration::from_secs(30);

impl Library {
    /// Deletes what is too old, until the tasks stop.
    pub async fn run(self, tasks: Tasks) {
        let mut tick = tokio::time::interval(SWEEP);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = tasks.stopped() => return,
                _ = tick.tick() => {}
            }
            let (library, tasks) = (self.clone(), tasks.clone());
            let sweep = tokio::task::spawn_blocking(move || library.sweep(&tasks));
            if let Err(err) = sweep.await {
                error!(%err, "looking for old recordings failed");
            }
        }
    }

    /// Deletes recordings that ended too long ago; leaves the rest of them when the tasks stop. Blocks.
    pub(in crate::record) fn sweep(&self, tasks: &Tasks) {
        let Some(keep) = self.0.config.keep else {
            return;
        };
        let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
        let oldest = self.now().plus_micros(-keep);
        for (id, _) in self.oldest(|summary| summary.ended.is_some_and(|ended| ended < oldest)) {
            if tasks.is_stopped() {
                return;
            }
            match self.delete(id) {
                Ok(()) => info!(recording = %id, "recording deleted, it was too old"),
                Err(err) => warn!(%err, recording = %id, "old recording not deleted"),
            }
        }
    }

    /// Whether more may be written; makes room first, if the settings say so. `paused` wants some more, so
    /// that recordings do not stop and go. Blocks.
    pub(in crate::record) fn check_room(&self, paused: bool) -> Result<(), Error> {
        let config = &self.0.config;
        let plenty_bytes = config.least_free_bytes + config.least_free_bytes / 4;
        let wanted_bytes = match paused {
            true => plenty_bytes,
            false => config.least_free_bytes,
        };
        let mut free_bytes = self.free_bytes()?;
        if free_bytes < wanted_bytes && config.make_room {
            free_bytes = self.make_room(wanted_bytes, plenty_bytes)?;
        }
        match free_bytes < wanted_bytes {
            true => Err(Error::Full {
                free_bytes,
                least_bytes: config.least_free_bytes,
            }),
            false => Ok(()),
        }
    }

    /// Deletes the oldest complete recordings that together have what is missing. If the disk does not say
    /// that it is free, no more are deleted for a while. Gives what is free.
    fn make_room(&self, wanted_bytes: u64, plenty_bytes: u64) -> Result<u64, Error> {
        // Whoever waited for another one finds room.
        let made_room = self.0.made_room.lock();
        let mut made_room = made_room.unwrap_or_else(PoisonError::into_inner);
        let free_bytes = self.free_bytes()?;
        let now = self.0.clock.monotonic();
        let settles = made_room.is_some_and(|at| now < at + SETTLES);
        if free_bytes >= wanted_bytes || settles {
            return Ok(free_bytes);
        }
        let mut missing_bytes = plenty_bytes.saturating_sub(free_bytes);
        for (id, bytes) in self.oldest(|summary| summary.ended.is_some()) {
            if missing_bytes == 0 {
                break;
            }
            if self.delete(id).is_ok() {
                info!(recording = %id, bytes, "recording deleted to make room");
                missing_bytes = missing_bytes.saturating_sub(bytes);
                *made_room = Some(now);
            }
        }
        let free_bytes = self.free_bytes()?;
        if free_bytes >= plenty_bytes {
            *made_room = None;
        }
        Ok(free_bytes)
    }

    fn free_bytes(&self) -> Result<u64, Error> {
        let free = self.0.disk.free_bytes(&self.0.config.folder);
        free.map_err(Error::io("cannot tell the free space"))
    }

    /// Ids and sizes of some recordings, by their end.
    fn oldest(&self, which: impl Fn(&Summary) -> bool) -> Vec<(Uuid, u64)> {
        let entries = self.entries();
        let chosen = entries.values().filter(|entry| which(&entry.summary));
        let mut chosen: Vec<_> = chosen
            .map(|entry| {
                let summary = &entry.summary;
                (summary.ended, summary.about.id, summary.bytes)
            })
            .collect();
        drop(entries);
        chosen.sort_unstable();
        chosen
            .into_iter()
            .map(|(_, id, bytes)| (id, bytes))
            .collect()
    }
}
