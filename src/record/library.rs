//! All recordings of this machine: what there is, who may go, what is deleted when.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tracing::{info, warn};

use super::about::{About, End};
use super::disk::Disk;
use super::recorder::{INDEX, read_index};
use super::shelf::Shelf;
use super::vod::Vod;
use super::{Error, Movie};
use crate::base::clock::{Clock, Wall};
use crate::base::id::Uuid;
use crate::media::timeline::Timeline;

mod keep;

/// Folders with this in front are deleted, now or at the next start.
const DELETED: &str = ".deleted-";
/// Why a recording ended that nobody closed.
const KILLED: &str = "the server was stopped while it was made";

/// Where recordings are kept, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Their folder.
    pub folder: PathBuf,
    /// Those that ended longer ago are deleted; `None` keeps them.
    pub keep: Option<Duration>,
    /// Bytes that stay free on the disk.
    pub least_free_bytes: u64,
    /// Whether the oldest complete recordings make room for new ones; otherwise recording stops.
    pub make_room: bool,
}

/// How a recording stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is being made.
    Recording,
    /// Its stream goes on, but nothing can be written now.
    Paused(
        /// Why, for people.
        String,
    ),
    /// It ended with its stream.
    Complete,
    /// It ended before its stream; what is there plays.
    Cut(
        /// Why, for people.
        String,
    ),
}

impl Outcome {
    /// Its word in answers.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Recording => "recording",
            Outcome::Paused(_) => "paused",
            Outcome::Complete => "complete",
            Outcome::Cut(_) => "cut",
        }
    }

    /// Why it is not whole.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Outcome::Paused(reason) | Outcome::Cut(reason) => Some(reason),
            Outcome::Recording | Outcome::Complete => None,
        }
    }
}

/// What a list shows of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Whose it is.
    pub about: Arc<About>,
    /// When it ended; `None` while it is made.
    pub ended: Option<Wall>,
    /// Length of what is kept.
    pub duration: Duration,
    /// Bytes on the disk.
    pub bytes: u64,
    /// Segments that could not be written in time, which it states as gaps.
    pub missed: u64,
    /// How it stands.
    pub outcome: Outcome,
}

/// Why a recording is not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none.
    #[error("there is no such recording")]
    Unknown,
    /// It is being made.
    #[error("the recording is being made")]
    Busy,
    /// The disk refuses.
    #[error("the recording cannot be deleted")]
    Failed,
}

/// Who has a recording in hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hands {
    Nobody,
    Recorder,
    /// Its folder is on its way out.
    Deletion,
}

struct Entry {
    summary: Summary,
    hands: Hands,
    vod: Vod,
    timeline: Arc<dyn Timeline>,
}

struct Inner {
    config: Config,
    disk: Arc<dyn Disk>,
    clock: Clock,
    entries: Mutex<HashMap<Uuid, Entry>>,
    shelf: Arc<Shelf>,
    /// When recordings were deleted to make room, in monotonic time. Locked while that is done, before
    /// `entries`.
    made_room: Mutex<Option<Duration>>,
    /// One header of a movie is made at a time. Bounds memory: see there.
    making: Semaphore,
}

/// All recordings. Cloning shares them.
#[derive(Clone)]
pub struct Library(Arc<Inner>);

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library").finish_non_exhaustive()
    }
}

impl Library {
    /// Looks through the folder, which is made if it is missing. Blocks.
    pub fn open(config: Config, disk: Arc<dyn Disk>, clock: Clock) -> Result<Library, Error> {
        let folder = config.folder.clone();
        let what = format!("cannot use {}", folder.display());
        // What is in it may be for token holders only.
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder);
        made.map_err(Error::io(&*what))?;
        let found = fs::read_dir(&folder).map_err(Error::io(&*what))?;
        let library = Library(Arc::new(Inner {
            config,
            disk,
            clock,
            entries: Mutex::default(),
            shelf: Arc::default(),
            made_room: Mutex::default(),
            making: Semaphore::new(1),
        }));
        for item in found.flatten() {
            let name = item.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(DELETED) {
                let _ = fs::remove_dir_all(item.path());
            } else if let Ok(id) = Uuid::parse_str(name) {
                match library.find(&item.path()) {
                    Ok(summary) if summary.about.id == id => library.insert(summary),
                    Ok(_) => warn!(name, "not a recording's folder"),
                    // Killed before its first segment.
                    Err(err) if err.is_missing() && is_missing(&item.path().join(INDEX)) => {
                        let _ = fs::remove_dir_all(item.path());
                    }
                    Err(err) => warn!(%err, name, "recording cannot be read"),
                }
            }
        }
        Ok(library)
    }

    /// What a folder holds.
    fn find(&self, folder: &Path) -> Result<Summary, Error> {
        let about = Arc::new(About::read(folder)?);
        if let Some(end) = End::read(folder)? {
            return Ok(Summary {
                about,
                ended: Some(Wall(end.ended_us)),
                duration: Duration::from_micros(end.duration_us),
                bytes: end.bytes,
                missed: end.missed,
                outcome: end.reason.map_or(Outcome::Complete, Outcome::Cut),
            });
        }
        let (index, read) = read_index(folder)?;
        let span = index.span_micros().map_or(0, |(first, last)| last - first);
        let media = index.kept.iter().map(|kept| kept.file_end());
        Ok(Summary {
            about,
            ended: None,
            duration: Duration::from_micros(u64::try_from(span).unwrap_or(0)),
            bytes: read + media.sum::<u64>(),
            missed: 0,
            outcome: Outcome::Recording,
        })
    }

    fn insert(&self, summary: Summary) {
        let about = summary.about.clone();
        let id = about.id;
        let vod = Vod::new(self.folder_of(id), about, self.0.shelf.clone());
        let entry = Entry {
            summary,
            hands: Hands::Nobody,
            timeline: Arc::new(vod.clone()),
            vod,
        };
        self.entries().insert(id, entry);
    }

    pub(super) fn folder_of(&self, id: Uuid) -> PathBuf {
        self.0.config.folder.join(id.to_string())
    }

    pub(super) fn disk(&self) -> Arc<dyn Disk> {
        self.0.disk.clone()
    }

    pub(super) fn now(&self) -> Wall {
        self.0.clock.wall()
    }

    /// Puts a recording into a recorder's hands, a new one where there is none. False when it has ended:
    /// then it stays as it is. Blocks.
    pub(super) fn begin(&self, about: About) -> Result<bool, Error> {
        let id = about.id;
        if self.get(id).is_none() {
            let folder = self.folder_of(id);
            let summary = match self.find(&folder) {
                // This run could not read it when it looked through the folders.
                Ok(summary) => summary,
                Err(err) if err.is_missing() => {
                    let what = format!("cannot make {}", folder.display());
                    fs::create_dir_all(&folder).map_err(Error::io(what))?;
                    about.write(&folder)?;
                    Summary {
                        about: Arc::new(about),
                        ended: None,
                        duration: Duration::ZERO,
                        bytes: 0,
                        missed: 0,
                        outcome: Outcome::Recording,
                    }
                }
                Err(err) => return Err(err),
            };
            self.insert(summary);
        }
        Ok(self.reserve(id))
    }

    /// Puts a recording that is open into a recorder's hands: its stream goes on after a restart. Whether
    /// it is there.
    pub(super) fn reserve(&self, id: Uuid) -> bool {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(&id) else {
            return false;
        };
        if entry.hands == Hands::Nobody && entry.summary.ended.is_none() {
            entry.hands = Hands::Recorder;
        }
        entry.hands == Hands::Recorder
    }

    /// Notes how far a recording has got.
    pub(super) fn update(&self, id: Uuid, change: impl FnOnce(&mut Summary)) {
        if let Some(entry) = self.entries().get_mut(&id) {
            change(&mut entry.summary);
        }
    }

    /// Closes a recording. Blocks.
    pub(super) fn close(&self, id: Uuid, reason: Option<String>) {
        let Some(mut summary) = self.get(id).filter(|summary| summary.ended.is_none()) else {
            return;
        };
        let now = self.now();
        summary.ended = Some(now);
        summary.outcome = reason.clone().map_or(Outcome::Complete, Outcome::Cut);
        let end = End {
            ended_us: now.0,
            duration_us: u64::try_from(summary.duration.as_micros()).unwrap_or(u64::MAX),
            bytes: summary.bytes,
            missed: summary.missed,
            reason,
        };
        // Without the file the next start finds the recording open, and closes it.
        if let Err(err) = end.write(&self.folder_of(id)) {
            warn!(%err, recording = %id, "end of a recording not written");
        }
        let outcome = summary.outcome.word();
        info!(recording = %id, bytes = summary.bytes, outcome, "recording ended");
        if let Some(entry) = self.entries().get_mut(&id) {
            entry.summary = summary;
            entry.hands = Hands::Nobody;
        }
    }

    /// Closes what an earlier run left open and nobody goes on with. Called once, after the streams of that
    /// run were taken up again. Blocks.
    pub fn settle(&self) {
        let open: Vec<Uuid> = {
            let entries = self.entries();
            let open =
                |entry: &&Entry| entry.hands == Hands::Nobody && entry.summary.ended.is_none();
            let open = entries.values().filter(open);
            open.map(|entry| entry.summary.about.id).collect()
        };
        for id in open {
            self.close(id, Some(KILLED.to_owned()));
        }
    }

    /// One recording.
    pub fn get(&self, id: Uuid) -> Option<Summary> {
        Some(self.entries().get(&id)?.summary.clone())
    }

    /// Recordings, newest first: of one channel or of all, behind one of them, `limit` at most.
    pub fn list(&self, channel: Option<&str>, after: Option<Uuid>, limit: usize) -> Vec<Summary> {
        let entries = self.entries();
        let key = |about: &About| (about.started, about.id);
        let after = after.and_then(|id| entries.get(&id).map(|entry| key(&entry.summary.about)));
        let chosen = entries
            .values()
            .map(|entry| &entry.summary)
            .filter(|summary| {
                channel.is_none_or(|channel| summary.about.channel_id == channel)
                    && after.is_none_or(|after| key(&summary.about) < after)
            });
        let mut chosen: Vec<Summary> = chosen.cloned().collect();
        drop(entries);
        chosen.sort_by_key(|summary| std::cmp::Reverse(key(&summary.about)));
        chosen.truncate(limit);
        chosen
    }

    /// What players read of a recording that has ended. The same `Arc` each time.
    pub fn timeline(&self, id: Uuid) -> Option<Arc<dyn Timeline>> {
        let entries = self.entries();
        let entry = entries.get(&id)?;
        entry.summary.ended?;
        Some(entry.timeline.clone())
    }

    /// A recording that has ended as one file: the run of segments that is counted from 1, which ends at
    /// a change of codec configurations. Without a rendition's name the best picture is taken.
    pub async fn movie(
        &self,
        id: Uuid,
        rendition: Option<&str>,
        part: usize,
    ) -> std::io::Result<Option<Movie>> {
        match self.ended(id) {
            Some(vod) => Movie::open(&vod, rendition, part, &self.0.making).await,
            None => Ok(None),
        }
    }

    /// How many such runs there are in a recording that has ended.
    pub async fn parts(&self, id: Uuid) -> std::io::Result<Option<usize>> {
        match self.ended(id) {
            Some(vod) => Ok(Some(super::mp4::parts(&vod).await?)),
            None => Ok(None),
        }
    }

    fn ended(&self, id: Uuid) -> Option<Vod> {
        let entries = self.entries();
        let entry = entries.get(&id)?;
        entry.summary.ended.map(|_| entry.vod.clone())
    }

    /// Deletes a recording. Whoever reads a piece of it gets that piece to its end. Blocks.
    pub fn delete(&self, id: Uuid) -> Result<(), Refusal> {
        let gone = self.0.config.folder.join(format!("{DELETED}{id}"));
        self.set_out(id)?;
        // Not under the lock of those who play: a disk may take its time.
        let renamed = self.0.disk.rename(&self.folder_of(id), &gone);
        let mut entries = self.entries();
        if let Err(err) = renamed
            && err.kind() != std::io::ErrorKind::NotFound
        {
            if let Some(entry) = entries.get_mut(&id) {
                entry.hands = Hands::Nobody;
            }
            drop(entries);
            warn!(%err, recording = %id, "recording not deleted");
            return Err(Refusal::Failed);
        }
        entries.remove(&id);
        drop(entries);
        self.0.shelf.forget(id);
        // What stays of it now goes at the next start.
        if let Err(err) = fs::remove_dir_all(&gone) {
            warn!(%err, recording = %id, "files of a deleted recording are left");
        }
        Ok(())
    }

    /// Puts a recording into a deletion's hands.
    fn set_out(&self, id: Uuid) -> Result<(), Refusal> {
        let mut entries = self.entries();
        let entry = entries.get_mut(&id).ok_or(Refusal::Unknown)?;
        match entry.hands {
            Hands::Nobody => entry.hands = Hands::Deletion,
            Hands::Recorder => return Err(Refusal::Busy),
            // Whoever asked first deletes it.
            Hands::Deletion => return Err(Refusal::Unknown),
        }
        Ok(())
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Uuid, Entry>> {
        let entries = self.0.entries.lock();
        entries.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a file is known not to be there.
fn is_missing(path: &Path) -> bool {
    matches!(path.try_exists(), Ok(false))
}
