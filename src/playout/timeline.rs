//! The timeline of one show.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::asset::Placed;
use super::leg::Leg;
use super::listing::{self, State, View};
use super::piece::{Head, Parts, Shared};
use super::runs::Runs;
use super::shelf::Loaded;
use super::stage::Inner;
use super::{Kind, Show, part_number};
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::media::time::channel_time;
use crate::media::timeline::{
    Asked, Blob, Description, Found, Progress, Resource, Rules, Snapshot, Stored, Timeline, Wait,
};
use crate::media::{Ticks, Timescale};

/// Who waits looks again after this, whatever is announced: clocks are set, and films are prepared.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Timers are late rather than early by this, so that who wakes finds what was waited for.
const LATE: Duration = Duration::from_millis(1);
/// Media that are asked for before the index is in memory, and are not out yet, are waited for so long.
const FIRST_WAIT: Duration = Duration::from_secs(4);
/// Samples of an AAC frame, and of a second.
const AAC: (u64, u64) = (1024, 48_000);

/// What players read of a show. Cloning shares it.
#[derive(Clone)]
pub(super) struct Playing(Arc<Kept>);

struct Kept {
    stage: Weak<Inner>,
    stream: Uuid,
    show: Mutex<Arc<Show>>,
    put: tokio::sync::watch::Sender<()>,
    /// While somebody plays.
    watched: Mutex<Option<Box<Watched>>>,
}

/// What is kept of a show that is played.
struct Watched {
    show: Arc<Show>,
    loaded: Arc<Loaded>,
    runs: Runs,
    rules: Rules,
    /// The latest time at which anything was listed: where the clock is set back, nothing is taken back.
    latest: Wall,
    rungs: HashMap<Arc<str>, Rung>,
    description: Option<Arc<Description>>,
}

/// A rendition as it was listed last.
struct Rung {
    snapshot: Arc<Snapshot>,
    progress: Progress,
    /// When there is more by the clock.
    next: Option<Wall>,
    /// Version of the encoder's rendition, where one is on.
    leg: Option<u64>,
}

impl Playing {
    pub(super) fn new(stage: Weak<Inner>, show: Show) -> Playing {
        Playing(Arc::new(Kept {
            stage,
            stream: show.stream,
            show: Mutex::new(Arc::new(show)),
            put: tokio::sync::watch::channel(()).0,
            watched: Mutex::default(),
        }))
    }

    pub(super) fn id(&self) -> Uuid {
        self.0.stream
    }

    pub(super) fn show(&self) -> Arc<Show> {
        self.0.show()
    }

    /// Another cut log. Those who wait look at once.
    pub(super) fn put(&self, show: Show) {
        let mut known = self.0.show.lock().unwrap_or_else(PoisonError::into_inner);
        if **known == show {
            return;
        }
        *known = Arc::new(show);
        drop(known);
        self.0.put.send_replace(());
    }

    /// A resource; `None` when the index is not in memory.
    fn look_up(&self, rendition: &str, resource: Resource<'_>) -> Option<Found> {
        self.0.look(true, |watched, now, leg| {
            let found = watched.find(rendition, resource, now, leg);
            Some(found.unwrap_or(Found::Missing))
        })
    }

    /// Those who wait look at once.
    pub(super) fn wake(&self) {
        self.0.put.send_replace(());
    }
}

impl Kept {
    fn show(&self) -> Arc<Show> {
        self.show
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Watched>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the show as it is now; `None` when its index is not in memory. `used` says that somebody plays.
    fn look<T>(
        &self,
        used: bool,
        act: impl FnOnce(&mut Watched, Wall, Option<Leg<'_>>) -> Option<T>,
    ) -> Option<T> {
        let stage = self.stage.upgrade()?;
        let show = self.show();
        let uptime = stage.clock.monotonic();
        let loaded = match used {
            true => stage.shelf.take(show.asset, uptime),
            false => stage.shelf.peek(show.asset, uptime),
        };
        let Some(loaded) = loaded else {
            *self.lock() = None;
            return None;
        };
        if stage.shelf.is_due(&loaded, uptime) {
            stage.read_aside(show.asset);
        }
        let now = stage.clock.wall();
        let leg = stage.leg(show.stream);
        let mut watched = self.lock();
        let same = watched.as_ref().is_some_and(|known| {
            Arc::ptr_eq(&known.show, &show) && Arc::ptr_eq(&known.loaded, &loaded)
        });
        if !same {
            let before = watched.take();
            *watched = Some(Box::new(Watched::new(&stage, show, loaded, before)?));
        }
        let watched = watched.as_mut()?;
        watched.latest = watched.latest.max(now);
        let now = watched.latest;
        act(watched, now, leg.as_deref().map(Leg))
    }

    /// Has the index in memory.
    async fn load(&self) -> io::Result<()> {
        let stage = self.stage.upgrade().ok_or(io::ErrorKind::NotFound)?;
        let show = self.show();
        match stage.shelf.take(show.asset, stage.clock.monotonic()) {
            Some(loaded) if loaded.is_complete() => Ok(()),
            Some(_) | None => stage.load(show.asset).await,
        }
    }
}

impl Watched {
    fn new(
        stage: &Inner,
        show: Arc<Show>,
        loaded: Arc<Loaded>,
        before: Option<Box<Watched>>,
    ) -> Option<Watched> {
        let declared = loaded.film.as_ref().or(loaded.slate.as_ref())?;
        let rules = rules(
            &stage.config.rules,
            &show,
            declared.facts().fps,
            declared.facts().part_frames,
        );
        let facts = |reader: &Option<super::asset::Reader>| {
            reader.as_ref().map(|reader| reader.facts().clone())
        };
        let runs = Runs::new(
            &show,
            facts(&loaded.film).as_ref(),
            facts(&loaded.slate).as_ref(),
            rules.segment_target,
        );
        // What was listed stays listed, unless all of it is another thing.
        let before = before
            .filter(|before| before.show.asset == show.asset && before.show.epoch == show.epoch);
        let (latest, mut rungs, description) = match before {
            Some(before) => (before.latest, before.rungs, before.description),
            None => (Wall(i64::MIN), HashMap::new(), None),
        };
        for rung in rungs.values_mut() {
            rung.next = Some(Wall(i64::MIN));
        }
        Some(Watched {
            show,
            loaded,
            runs,
            rules,
            latest,
            rungs,
            description,
        })
    }

    fn view<'a>(&'a self, now: Wall, leg: Option<Leg<'a>>) -> View<'a> {
        View {
            runs: &self.runs,
            loaded: &self.loaded,
            rules: &self.rules,
            leg,
            time: channel_time(now, self.show.epoch),
        }
    }

    fn describe(&mut self, now: Wall) -> Option<Arc<Description>> {
        let time = channel_time(now, self.show.epoch);
        let on = self.runs.at(time).and_then(|at| self.runs.get(at));
        let ended = on.is_some_and(|run| run.kind == Kind::End);
        let known = self.description.as_ref();
        let version = known.map_or(1, |known| known.version);
        let description = listing::description(&self.loaded, &self.rules, version, ended)?;
        if let Some(known) = known {
            if is_same(known, &description) {
                return Some(known.clone());
            }
            self.description = Some(Arc::new(Description {
                version: version + 1,
                ..description
            }));
        } else {
            self.description = Some(Arc::new(description));
        }
        self.description.clone()
    }

    /// A rendition, listed anew when there is more.
    fn rung(&mut self, name: &str, now: Wall, leg: Option<Leg<'_>>) -> Option<&Rung> {
        let time = channel_time(now, self.show.epoch);
        let live = leg.filter(|_| self.is_live(time));
        let version = live.and_then(|leg| Some(leg.0.progress(name)?.version));
        let fresh = |rung: &Rung| {
            rung.next.is_none_or(|next| now < next)
                && rung.leg == version
                && live.is_none() == rung.leg.is_none()
        };
        if !self.rungs.get(name).is_some_and(fresh) {
            let view = self.view(now, live);
            let newest = view.newest(name)?;
            let next = newest.next.map(|next| {
                // Rounded up, so that it is not too early.
                let wall = crate::media::time::wall_time(next, Timescale::CHANNEL, self.show.epoch);
                wall.plus_micros(1)
            });
            let others = &self
                .loaded
                .film
                .as_ref()
                .or(self.loaded.slate.as_ref())?
                .facts()
                .renditions;
            let known = self.rungs.get(name);
            let snapshot =
                view.snapshot(name, &newest, known.map(|rung| &*rung.snapshot), others)?;
            // Nothing is taken back, whatever the cut log says now.
            let snapshot = match known.filter(|known| known.snapshot.version > snapshot.version) {
                Some(known) => known.snapshot.clone(),
                None => Arc::new(snapshot),
            };
            let rung = Rung {
                progress: listing::progress(&snapshot)?,
                snapshot,
                next,
                leg: version,
            };
            self.rungs.insert(name.into(), rung);
        }
        self.rungs.get(name)
    }

    /// Whether an encoder is on, or was a moment ago.
    fn is_live(&self, time: Ticks) -> bool {
        let is = |at: Option<usize>| {
            at.and_then(|at| self.runs.get(at))
                .is_some_and(|run| run.kind == Kind::Live)
        };
        is(self.runs.at(time)) || is(self.runs.at(time - Ticks(2 * super::leg::GRACE.0)))
    }

    fn find(
        &mut self,
        name: &str,
        resource: Resource<'_>,
        now: Wall,
        leg: Option<Leg<'_>>,
    ) -> Option<Found> {
        let (sequence, index) = match resource {
            Resource::Init(wanted) => return Some(self.init(name, wanted, leg)),
            Resource::Segment(sequence) => (sequence, None),
            Resource::Part(number) => {
                let (sequence, index) = listing::of_part(number);
                (sequence, Some(index))
            }
        };
        let progress = self.rung(name, now, leg)?.progress;
        let announced = match (index, progress.last_complete) {
            _ if progress.ended => false,
            (Some(index), _) => part_number(sequence, index) == progress.next_part,
            (None, complete) => {
                sequence == progress.last_sequence + 1
                    || sequence == progress.last_sequence && !complete && progress.last_parts == 0
            }
        };
        let view = self.view(now, leg);
        let place = view.runs.place(sequence)?;
        if sequence > progress.last_sequence || index.is_some_and(|_| announced) {
            return announced.then_some(Found::Announced);
        }
        if is_past(&self.rules, &place, view.time) {
            return None;
        }
        if place.run.kind == Kind::Live {
            let leg = leg?;
            return match index {
                Some(index) => Some(Found::Whole(vec![leg.part(name, sequence, index)?])),
                None => Some(leg.find(name, resource)),
            };
        }
        let located = view.located(name, &place)?;
        let listed = match view.state(name, sequence)? {
            State::Listed { segment, .. } => segment,
            State::Ahead(_) | State::Waits => return None,
        };
        if listed.gap {
            return None;
        }
        let parts = match index {
            Some(index) => {
                let index = usize::try_from(index)
                    .ok()
                    .filter(|index| *index < listed.parts.len())?;
                index..index + 1
            }
            None => 0..listed.parts.len(),
        };
        let piece = Arc::new(Piece {
            path: located.reader.media_file(located.slot),
            placed: located.placed.clone(),
            parts,
            sequence,
            start: located.start,
        });
        Some(match index.is_some() || listed.complete {
            true => Found::Stored(piece),
            false => Found::GrowingStored(piece),
        })
    }

    fn init(&self, name: &str, wanted: &str, leg: Option<Leg<'_>>) -> Found {
        for reader in [&self.loaded.film, &self.loaded.slate]
            .into_iter()
            .flatten()
        {
            let slot = reader.slot(name);
            if let Some(slot) = slot.filter(|slot| reader.init(*slot).name == wanted) {
                return Found::Stored(Arc::new(Initialisation {
                    path: reader.media_file(slot),
                    size: reader.init_length(slot),
                }));
            }
        }
        leg.map_or(Found::Missing, |leg| leg.find(name, Resource::Init(wanted)))
    }
}

/// Segments that left the window can be fetched for as long again, and two segments more (RFC 8216bis §6.2.2).
fn is_past(rules: &Rules, place: &super::runs::Place, now: Ticks) -> bool {
    let window = Ticks::from_duration(
        rules.window * 2 + rules.segment_target * 2,
        Timescale::CHANNEL,
    );
    place.end < now - window
}

/// What a show's playlists have in common: as those of live streams, with the parts that its film has.
fn rules(rules: &Rules, show: &Show, fps: u32, part_frames: u32) -> Rules {
    let (samples, rate) = AAC;
    let (fps, frames) = (u64::from(fps.max(1)), u64::from(part_frames));
    // The frames of sound that begin within a part of the picture.
    let sound = (frames * rate).div_ceil(fps * samples);
    let sound = Duration::from_micros((sound * samples * 1_000_000).div_ceil(rate));
    let picture = Duration::from_micros((frames * 1_000_000).div_ceil(fps));
    let own = sound.max(picture);
    // Live parts of the same length may be a little longer.
    let part_target = match own <= rules.part_target && rules.part_target * 9 <= own * 10 {
        true => rules.part_target,
        false => own,
    };
    let lag = rules.part_hold_back.saturating_sub(rules.part_target * 3);
    Rules {
        epoch: show.epoch,
        part_target,
        part_hold_back: part_target * 3 + lag,
        independent_segments: true,
        ..rules.clone()
    }
}

fn is_same(a: &Description, b: &Description) -> bool {
    let same = |a: &[Arc<crate::media::Rendition>], b: &[Arc<crate::media::Rendition>]| {
        a.len() == b.len()
            && a.iter().zip(b).all(|(a, b)| {
                Arc::ptr_eq(a, b)
                    || (&a.name, a.peak_bps, a.average_bps, a.id)
                        == (&b.name, b.peak_bps, b.average_bps, b.id)
                        && a.track == b.track
            })
    };
    a.ended == b.ended && same(&a.video, &b.video) && same(&a.audio, &b.audio)
}

impl Timeline for Playing {
    fn description(&self) -> Option<Arc<Description>> {
        self.0.look(false, |watched, now, _| watched.describe(now))
    }

    fn snapshot(&self, rendition: &str) -> Option<Arc<Snapshot>> {
        self.0.look(false, |watched, now, leg| {
            let rung = watched.rung(rendition, now, leg)?;
            Some(rung.snapshot.clone())
        })
    }

    fn progress(&self, rendition: &str) -> Option<Progress> {
        self.0.look(false, |watched, now, leg| {
            let rung = watched.rung(rendition, now, leg)?;
            Some(rung.progress)
        })
    }

    fn find(&self, rendition: &str, resource: Resource<'_>) -> Found {
        match self.look_up(rendition, resource) {
            Some(found) => found,
            None => Found::Stored(Arc::new(Unread {
                playing: self.clone(),
                rendition: rendition.to_owned(),
                wanted: Wanted::of(resource),
            })),
        }
    }

    fn changed<'a>(&'a self, rendition: &'a str, seen: u64) -> Wait<'a> {
        Box::pin(async move {
            let mut put = self.0.put.subscribe();
            loop {
                put.mark_unchanged();
                if let Err(err) = self.0.load().await {
                    tracing::debug!(%err, stream = %self.0.stream, "a show's media cannot be read");
                }
                let stage = self.0.stage.upgrade();
                let Some(stage) = stage else { return };
                let leg = stage.leg(self.0.stream);
                let looked = self.0.look(true, |watched, now, leg| {
                    let next = watched.rung(rendition, now, leg).map(|rung| {
                        let next = rung.next.map(|next| next.micros_since(now));
                        (rung.progress.version, next, rung.leg)
                    });
                    Some(next.unwrap_or_else(|| {
                        let version = watched
                            .describe(now)
                            .map_or(0, |description| description.version);
                        (version, None, None)
                    }))
                });
                drop(stage);
                let (version, next, leg_seen) = looked.unwrap_or((0, None, None));
                if version != seen {
                    return;
                }
                let next = next
                    .map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0)) + LATE);
                let sleep = tokio::time::sleep(next.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN));
                let leg_changed = async {
                    match (leg, leg_seen) {
                        (Some(leg), Some(seen)) => leg.changed(rendition, seen).await,
                        _ => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = sleep => {}
                    () = leg_changed => {}
                    changed = put.changed() => if changed.is_err() { return },
                }
            }
        })
    }
}

/// Parts of a segment in a file.
struct Piece {
    path: PathBuf,
    placed: Arc<Placed>,
    parts: std::ops::Range<usize>,
    sequence: u64,
    start: Ticks,
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Piece")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl Stored for Piece {
    fn open(&self) -> Asked<'_, Option<Arc<dyn Blob>>> {
        Box::pin(async move {
            let file = open(self.path.clone()).await?;
            Ok(file.map(|file| {
                let parts = Parts {
                    file,
                    placed: self.placed.clone(),
                    parts: self.parts.clone(),
                    sequence: self.sequence,
                    start: self.start,
                };
                Arc::new(Shared(Arc::new(parts))) as Arc<dyn Blob>
            }))
        })
    }
}

/// An initialisation in a file.
#[derive(Debug)]
struct Initialisation {
    path: PathBuf,
    size: u64,
}

impl Stored for Initialisation {
    fn open(&self) -> Asked<'_, Option<Arc<dyn Blob>>> {
        Box::pin(async move {
            let file = open(self.path.clone()).await?;
            let size = self.size;
            Ok(file.map(|file| Arc::new(Head { file, size }) as Arc<dyn Blob>))
        })
    }
}

/// Opens a file; `None` when it was deleted.
async fn open(path: PathBuf) -> io::Result<Option<Arc<File>>> {
    let opened = tokio::task::spawn_blocking(move || File::open(path)).await;
    match opened.map_err(io::Error::other)? {
        Ok(file) => Ok(Some(Arc::new(file))),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

/// What a media URL names, when the index is not in memory.
struct Unread {
    playing: Playing,
    rendition: String,
    wanted: Wanted,
}

#[derive(Clone, Debug)]
enum Wanted {
    Init(String),
    Segment(u64),
    Part(u64),
}

impl Wanted {
    fn of(resource: Resource<'_>) -> Wanted {
        match resource {
            Resource::Init(name) => Wanted::Init(name.to_owned()),
            Resource::Segment(sequence) => Wanted::Segment(sequence),
            Resource::Part(number) => Wanted::Part(number),
        }
    }

    fn resource(&self) -> Resource<'_> {
        match self {
            Wanted::Init(name) => Resource::Init(name),
            Wanted::Segment(sequence) => Resource::Segment(*sequence),
            Wanted::Part(number) => Resource::Part(*number),
        }
    }
}

impl std::fmt::Debug for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unread")
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

impl Stored for Unread {
    fn open(&self) -> Asked<'_, Option<Arc<dyn Blob>>> {
        Box::pin(async move {
            self.playing.0.load().await?;
            let ready = async {
                loop {
                    let seen = self
                        .playing
                        .progress(&self.rendition)
                        .map_or(0, |progress| progress.version);
                    // It may be forgotten again at once, in a process that plays very much.
                    let found = self
                        .playing
                        .look_up(&self.rendition, self.wanted.resource());
                    match found.unwrap_or(Found::Missing) {
                        Found::Stored(stored) => return stored.open().await,
                        Found::Whole(pieces) => {
                            let blob: Arc<dyn Blob> = Arc::new(Memory(pieces.concat().into()));
                            return Ok(Some(blob));
                        }
                        Found::Announced | Found::GrowingStored(_) | Found::Growing(_) => {}
                        Found::Missing => return Ok(None),
                    }
                    self.playing.changed(&self.rendition, seen).await;
                }
            };
            tokio::time::timeout(FIRST_WAIT, ready)
                .await
                .unwrap_or(Ok(None))
        })
    }
}

/// Media that are in memory after all.
struct Memory(bytes::Bytes);

impl Blob for Memory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, from: u64) -> Asked<'_, bytes::Bytes> {
        let from = usize::try_from(from).map_or(self.0.len(), |from| from.min(self.0.len()));
        Box::pin(std::future::ready(Ok(self.0.slice(from..))))
    }
}
