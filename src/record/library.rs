//! All recordings of this machine: what there is, who may go, what is deleted when.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tracing::{info, warn};

use super::about::{About, End};
use super::catalog::News;
use super::disk::Disk;
use super::recorder::{INDEX, read_index};
use super::vod::Vod;
use super::{Error, Movie};
use crate::base::clock::{Clock, Wall};
use crate::base::id::Uuid;
use crate::media::timeline::Timeline;

mod keep;

/// Recordings whose index is in memory. One of twelve hours and five renditions takes 8 MB.
const MAX_LOADED: usize = 16;
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

struct Entry {
    summary: Summary,
    /// Whether a recorder writes it.
    active: bool,
    vod: Vod,
    timeline: Arc<dyn Timeline>,
}

struct Inner {
    config: Config,
    disk: Arc<dyn Disk>,
    clock: Clock,
    entries: Mutex<HashMap<Uuid, Entry>>,
    news: News,
    /// What the catalog could not write. As many as there are, at most.
    untold: Mutex<Vec<Uuid>>,
    /// Whose index is in memory, longest first. Locked after `entries`, or alone.
    loaded: Mutex<VecDeque<Uuid>>,
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
            news: News::default(),
            untold: Mutex::default(),
            loaded: Mutex::default(),
            making: Semaphore::new(1),
        }));
        for item in found.flatten() {
            let name = item.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(DELETED) {
                let _ = fs::remove_dir_all(item.path());
            } else if let Ok(id) = Uuid::parse_str(name) {
                match library.find(&item.path()) {
                    Ok(summary) if summary.about.id == id => library.insert(summary, false),
                    Ok(_) => warn!(name, "not a recording's folder"),
                    // Killed before its first segment.
                    Err(_) if !item.path().join(INDEX).exists() => {
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
        if let Some(end) = End::read(folder) {
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

    fn insert(&self, summary: Summary, active: bool) {
        let about = summary.about.clone();
        let id = about.id;
        let library = Arc::downgrade(&self.0);
        let note = Box::new(move || {
            if let Some(library) = library.upgrade() {
                Library(library).was_loaded(id);
            }
        });
        let vod = Vod::new(self.folder_of(id), about, note);
        let entry = Entry {
            summary,
            active,
            timeline: Arc::new(vod.clone()),
            vod,
        };
        self.entries().insert(id, entry);
        self.0.news.add(id);
    }

    fn was_loaded(&self, id: Uuid) {
        let mut loaded = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.push_back(id);
        let oldest = (loaded.len() > MAX_LOADED).then(|| loaded.pop_front());
        drop(loaded);
        let Some(oldest) = oldest.flatten().filter(|oldest| *oldest != id) else {
            return;
        };
        let vod = self.entries().get(&oldest).map(|entry| entry.vod.clone());
        if let Some(vod) = vod {
            vod.forget();
        }
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

    /// Takes a recording that is open into a recorder's hands, or notes a new one. False when it has ended:
    /// then it stays as it is.
    pub(super) fn begin(&self, about: About) -> bool {
        if let Some(entry) = self.entries().get_mut(&about.id) {
            entry.active |= entry.summary.ended.is_none();
            return entry.active;
        }
        let summary = Summary {
            about: Arc::new(about),
            ended: None,
            duration: Duration::ZERO,
            bytes: 0,
            missed: 0,
            outcome: Outcome::Recording,
        };
        self.insert(summary, true);
        true
    }

    /// Whether a recording of this stream is open: one that goes on after a restart. It is in a recorder's
    /// hands from now on.
    pub(super) fn reserve(&self, id: Uuid) {
        if let Some(entry) = self.entries().get_mut(&id) {
            entry.active |= entry.summary.ended.is_none();
        }
    }

    /// Notes how far a recording has got.
    pub(super) fn update(&self, id: Uuid, change: impl FnOnce(&mut Summary)) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(&id) else {
            return;
        };
        let before = entry.summary.outcome.clone();
        change(&mut entry.summary);
        let is_news = entry.summary.outcome != before;
        drop(entries);
        if is_news {
            self.0.news.add(id);
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
            entry.active = false;
        }
        self.0.news.add(id);
    }

    /// Closes what an earlier run left open and nobody goes on with. Called once, after the streams of that
    /// run were taken up again. Blocks.
    pub fn settle(&self) {
        let open: Vec<Uuid> = {
            let entries = self.entries();
            let open = |entry: &&Entry| !entry.active && entry.summary.ended.is_none();
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
        let folder = self.folder_of(id);
        let gone = self.0.config.folder.join(format!("{DELETED}{id}"));
        {
            let mut entries = self.entries();
            let entry = entries.get(&id).ok_or(Refusal::Unknown)?;
            if entry.active {
                return Err(Refusal::Busy);
            }
            if let Err(err) = fs::rename(&folder, &gone)
                && err.kind() != std::io::ErrorKind::NotFound
            {
                warn!(%err, recording = %id, "recording not deleted");
                return Err(Refusal::Failed);
            }
            entries.remove(&id);
        }
        self.0.news.add(id);
        // What stays of it now goes at the next start.
        if let Err(err) = fs::remove_dir_all(&gone) {
            warn!(%err, recording = %id, "files of a deleted recording are left");
        }
        Ok(())
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Uuid, Entry>> {
        let entries = self.0.entries.lock();
        entries.unwrap_or_else(PoisonError::into_inner)
    }
}
