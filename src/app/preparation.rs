//! The queue of films: one after the other a child process makes of an uploaded file what is played. In: assets
//! that wait, as the store has them. Out: their folders, and what the store is told of them. Not here: how a
//! film is made (`transcode`), and where uploads come from (`control`).
//!
//! A child holds a lock on the file that it reads, until the system has ended it with a gateway that was killed:
//! nobody begins beside it. What it leaves half done is gone on with.

use std::collections::HashSet;
use std::fs::File;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use super::rules::film_segment;
use crate::base::child;
use crate::base::clock::Clock;
use crate::base::id::Uuid;
use crate::base::shutdown::Tasks;
use crate::config::Config;
use crate::films::{self, Films};
use crate::playout::asset::Reader;
use crate::store::{self, Asset, Store};

/// Folder of films in the data folder.
const FOLDER: &str = "films";
/// How often is looked whether something waits. One cheap query each.
const LOOK: Duration = Duration::from_secs(1);
/// How long an asset is this gateway's without a sign that it goes on: longer than a database is away.
const LEASE: Duration = Duration::from_secs(60);
/// How often such a sign is given, also where nothing new is to be told.
const SIGN: Duration = Duration::from_secs(15);
/// How often progress is told, at most.
const TELL: Duration = Duration::from_secs(1);
/// How long a child may say nothing new. The slowest picture takes less.
const STILL: Duration = Duration::from_secs(120);
/// How often is tried to make a film: what was wrong with the machine may be over.
const ATTEMPTS: u32 = 2;
/// What is said of an asset for which the disk has no room.
const NO_ROOM: &str = "there is no room to prepare the film";
/// Bytes of a line of a child that are looked at.
const MAX_LINE_BYTES: usize = 1024;

/// Opens the folder of films, and begins to make what waits there.
pub(super) async fn start(
    config: &Config,
    store: &Store,
    program: &std::path::Path,
    clock: &Clock,
    tasks: &Tasks,
) -> anyhow::Result<Films> {
    let films = Films::open(films::Config {
        folder: config.storage.data.join(FOLDER),
        max_bytes: config.event.max_bytes,
        probe: films::Probe::new(program.to_owned(), ["probe-media"]),
        clock: clock.clone(),
    });
    let films = films.context("cannot use the folder of films")?;
    let released = store.release_assets().await;
    released.context("cannot go on with films")?;
    for _ in 0..config.event.preparations {
        let queue = Queue {
            store: store.clone(),
            films: films.clone(),
            program: program.to_owned(),
            arguments: vec![
                "prepare-film".to_owned(),
                format!("--segment-seconds={}", film_segment(config).as_secs()),
                format!("--ladder={}", config.media.ladder),
            ],
            clock: clock.clone(),
            elsewhere: HashSet::new(),
        };
        tasks.spawn(queue.run(tasks.clone()));
    }
    Ok(films)
}

/// Makes one film at a time.
struct Queue {
    store: Store,
    films: Films,
    program: PathBuf,
    arguments: Vec<String>,
    clock: Clock,
    /// Assets whose files are not here: another gateway has them.
    elsewhere: HashSet<Uuid>,
}

/// What became of a child.
#[derive(Debug)]
enum Ending {
    /// All of the film is there.
    Done,
    /// It is not, for this reason.
    Failed(String),
    /// We stop; the next run goes on.
    Stopped,
    /// The asset is deleted, or somebody else's by now.
    Lost,
    /// A child of a gateway that was killed is at it still.
    Taken,
    /// The disk has no room for it: renditions of a long film are many times what was sent.
    Full,
}

impl Queue {
    async fn run(mut self, tasks: Tasks) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = tasks.stopped() => return,
                _ = look.tick() => {}
            }
            let elsewhere: Vec<Uuid> = self.elsewhere.iter().copied().collect();
            match self.store.claim_asset(LEASE, &elsewhere).await {
                Ok(None) => {}
                Ok(Some(asset)) => {
                    if let Err(err) = self.take(&asset, &tasks).await {
                        warn!(%err, asset = %asset.id, "nobody could be told of a film");
                    }
                }
                Err(err) => warn!(%err, "cannot ask for films that wait"),
            }
        }
    }

    /// Makes a film of an asset that is ours, and tells what became of it. Of one that was deleted meanwhile goes
    /// what its child has written since then.
    async fn take(&mut self, asset: &Asset, tasks: &Tasks) -> Result<(), store::Error> {
        let made = self.make(asset, tasks).await;
        if self.store.asset(asset.id).await?.is_some() {
            return made;
        }
        if let Err(err) = self.films.remove(asset.id).await {
            error!(%err, asset = %asset.id, "a film of nobody could not be removed");
        }
        Ok(())
    }

    async fn make(&mut self, asset: &Asset, tasks: &Tasks) -> Result<(), store::Error> {
        let id = asset.id;
        if !self.films.has(id).await {
            self.elsewhere.insert(id);
            return self.store.release_asset(id).await;
        }
        let mut failure = String::new();
        for attempt in 1..=ATTEMPTS {
            match self.attempt(asset, tasks).await {
                Ending::Done => match self.duration(id).await {
                    Ok(duration_us) => {
                        info!(asset = %id, "a film is prepared");
                        return self.store.asset_prepared(id, duration_us).await;
                    }
                    Err(why) => failure = why,
                },
                Ending::Failed(why) => failure = why,
                Ending::Stopped | Ending::Taken => return self.store.release_asset(id).await,
                Ending::Lost => return Ok(()),
                Ending::Full => {
                    warn!(asset = %id, "there is no room to prepare a film");
                    if let Err(err) = self.films.remove_made(id).await {
                        error!(%err, asset = %id, "a film in part could not be removed");
                    }
                    return self.store.asset_failed(id, NO_ROOM).await;
                }
            }
            warn!(asset = %id, attempt, why = failure, "a film could not be prepared");
        }
        self.store.asset_failed(id, &failure).await
    }

    /// How long a film plays, as it was made.
    async fn duration(&self, id: Uuid) -> Result<i64, String> {
        let folder = self.films.folder(id);
        let read = move || {
            let film = Reader::open(&folder).map_err(|error| error.to_string())?;
            let length = film.and_then(|film| {
                let frames = i64::try_from(film.facts().frames?).ok()?;
                Some(frames * 1_000_000 / i64::from(film.facts().fps.max(1)))
            });
            length.ok_or_else(|| "it ended before the film was whole".to_owned())
        };
        // A panic in there was logged as one.
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or_else(|error| Err(error.to_string()))
    }

    async fn attempt(&self, asset: &Asset, tasks: &Tasks) -> Ending {
        let folder = self.films.folder(asset.id);
        let Some(locked) = locked(&self.films.original(asset.id)) else {
            return Ending::Taken;
        };
        // Without its event a film has a slate without a title.
        let event = self.store.event(asset.event_id).await.ok().flatten();
        let title = event.map_or_else(String::new, |event| event.title.replace('\0', ""));
        let child = child::command(&self.program)
            .args(&self.arguments)
            .arg(&folder)
            .arg(format!("--title={title}"))
            .stdin(Stdio::from(locked))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => return Ending::Failed(format!("cannot start: {error}")),
        };
        let mut said = Lines::new(child.stdout.take().expect("it was asked for"));
        let mut complained = Lines::new(child.stderr.take().expect("it was asked for"));
        let mut told = Told::new(asset.progress, self.clock.clone());
        let mut tell = tokio::time::interval(TELL);
        tell.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ending = loop {
            tokio::select! {
                () = tasks.stopped() => break Some(Ending::Stopped),
                line = said.next() => match line {
                    Some(line) => told.hear(&line),
                    None => break None,
                },
                line = complained.next(), if complained.is_open => {
                    if let Some(line) = line {
                        complained.last = line;
                    }
                }
                _ = tell.tick() => {
                    if told.is_still() {
                        let why = format!("nothing went on for {} s", STILL.as_secs());
                        break Some(Ending::Failed(why));
                    }
                    // Nothing to look at is nothing to fear: the child finds out itself.
                    if matches!(self.films.check_room(), Err(films::Error::Full)) {
                        break Some(Ending::Full);
                    }
                    let Some(percent) = told.news() else { continue };
                    match self.store.asset_progress(asset.id, percent, LEASE).await {
                        Err(store::Error::Missing { .. }) => break Some(Ending::Lost),
                        Err(err) => warn!(%err, "progress of a film could not be told"),
                        Ok(()) => {}
                    }
                }
            }
        };
        if let Some(ending) = ending {
            // What is on the disk is whole up to its last record.
            if let Err(err) = child.kill().await {
                error!(%err, "a child that makes a film could not be ended");
            }
            return ending;
        }
        // It says nothing any more: it ends.
        let ended = async {
            while let Some(line) = complained.next().await {
                complained.last = line;
            }
            child.wait().await
        };
        match tokio::time::timeout(STILL, ended).await {
            Ok(Ok(status)) if status.success() => Ending::Done,
            Ok(Ok(status)) => Ending::Failed(reason(&complained.last, status)),
            Ok(Err(error)) => Ending::Failed(error.to_string()),
            Err(_) => Ending::Failed("it did not come to an end".to_owned()),
        }
    }
}

/// The file of an asset, locked; `None`: somebody has it.
fn locked(original: &std::path::Path) -> Option<File> {
    let file = File::open(original).ok()?;
    file.try_lock().ok().map(|()| file)
}

/// Why a child ended badly: its own last words are a sentence.
fn reason(said: &str, status: ExitStatus) -> String {
    match said.trim() {
        "" => format!("what prepares it ended with {status}"),
        said => said.to_owned(),
    }
}

/// What a child says, line by line.
struct Lines<R> {
    from: R,
    line: Vec<u8>,
    piece: [u8; 256],
    /// Of the piece, what was not looked at.
    rest: std::ops::Range<usize>,
    is_open: bool,
    last: String,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(from: R) -> Lines<R> {
        Lines {
            from,
            line: Vec::new(),
            piece: [0; 256],
            rest: 0..0,
            is_open: true,
            last: String::new(),
        }
    }

    /// The next line, of which what is too long is left out; `None`: there is no more. Cancel-safe.
    async fn next(&mut self) -> Option<String> {
        loop {
            while let Some(at) = self.rest.next() {
                match self.piece[at] {
                    b'\n' => return Some(self.take()),
                    byte if self.line.len() < MAX_LINE_BYTES => self.line.push(byte),
                    _ => {}
                }
            }
            match self.from.read(&mut self.piece).await {
                Ok(count @ 1..) => self.rest = 0..count,
                _ => {
                    self.is_open = false;
                    return (!self.line.is_empty()).then(|| self.take());
                }
            }
        }
    }

    fn take(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned()
    }
}

/// What a child said of its progress, and what of it was told.
struct Told {
    clock: Clock,
    percent: u32,
    line: String,
    /// When the line was another one, monotonic.
    changed: Duration,
    /// What was told, and when.
    told: Option<(u32, Duration)>,
}

impl Told {
    fn new(percent: u32, clock: Clock) -> Told {
        Told {
            percent,
            line: String::new(),
            changed: clock.monotonic(),
            told: None,
            clock,
        }
    }

    /// A line begins with a percentage.
    fn hear(&mut self, line: &str) {
        if self.line != line {
            line.clone_into(&mut self.line);
            self.changed = self.clock.monotonic();
        }
        let word = line.split_whitespace().next().unwrap_or_default();
        let digits = word.split(['.', '%']).next().unwrap_or_default();
        if let Ok(percent) = digits.parse::<u32>() {
            // The last percent are there when the child has ended well.
            self.percent = percent.min(99);
        }
    }

    fn is_still(&self) -> bool {
        self.clock.monotonic().saturating_sub(self.changed) >= STILL
    }

    /// What is to be told now.
    fn news(&mut self) -> Option<u32> {
        let now = self.clock.monotonic();
        let is_known = |(percent, when): (u32, Duration)| {
            percent == self.percent && now.saturating_sub(when) < SIGN
        };
        if self.told.is_some_and(is_known) {
            return None;
        }
        self.told = Some((self.percent, now));
        Some(self.percent)
    }
}

#[cfg(test)]
mod tests;
