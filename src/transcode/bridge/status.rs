//! What is known of a stream's ladder, for metrics and for the reader of the worker's messages.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use super::child::{Known, Published};
use super::lock;
use crate::media::{MediaKind, RenditionId, Ticks, Timescale, Track, rescale};
use crate::transcode::lag::{Lag, Sent};
use crate::transcode::protocol::{Colour, Setup};

/// Units over which the speed of a rung is measured.
const PACE_UNITS: usize = 256;

/// Shared by the bridge and whoever reads metrics.
#[derive(Debug, Default)]
pub struct Status(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    rungs: Vec<Rung>,
    sent: Sent,
    /// How far the source's media goes, 90 kHz.
    newest: Option<Ticks>,
    /// What the first worker pinned.
    colour: Option<Colour>,
    worker: Option<u32>,
    restarts: u64,
    held_bytes: usize,
    units: u64,
}

#[derive(Debug, Default)]
struct Rung {
    name: String,
    kind: Option<MediaKind>,
    units: u64,
    lag: Lag,
    pace: VecDeque<(Duration, Ticks)>,
    published: Option<Published>,
    /// How far the source was when the rung joined the ladder, 90 kHz.
    from: Option<Ticks>,
    shed: bool,
}

impl Rung {
    fn new(name: &str, kind: MediaKind) -> Rung {
        Rung {
            name: name.to_owned(),
            kind: Some(kind),
            ..Rung::default()
        }
    }

    /// How far it is published, 90 kHz.
    fn end(&self) -> Option<Ticks> {
        let published = self.published.as_ref()?;
        let scale = published.track.timescale;
        Some(rescale(published.end?, scale, Timescale::CHANNEL))
    }
}

impl Inner {
    /// The rungs by which the worker is measured: those of video where there are any.
    fn leading(&self) -> impl Iterator<Item = &Rung> {
        let made = self.rungs.iter().filter(|rung| !rung.shed);
        let video = made.clone().any(|rung| rung.kind == Some(MediaKind::Video));
        made.filter(move |rung| !video || rung.kind == Some(MediaKind::Video))
    }
}

/// One rung, as metrics show it.
#[derive(Clone, Debug, PartialEq)]
pub struct RungStatus {
    /// Folder name.
    pub name: String,
    /// Units that came out.
    pub units: u64,
    /// Time from a source unit into the worker to the rung's unit out, median of the last ones.
    pub lag_median: Option<Duration>,
    /// The same, 95th percentile.
    pub lag_p95: Option<Duration>,
    /// Media seconds per second, over the last units. `None` for audio and at the start.
    pub speed: Option<f64>,
    /// Whether it was given up: the worker was too slow for it, or a later one made it differently.
    pub shed: bool,
}

impl Status {
    /// All rungs, in the ladder's order.
    pub fn rungs(&self) -> Vec<RungStatus> {
        let inner = lock(&self.0);
        let show = |rung: &Rung| RungStatus {
            name: rung.name.clone(),
            units: rung.units,
            lag_median: rung.lag.percentile(50),
            lag_p95: rung.lag.percentile(95),
            speed: speed(&rung.pace),
            shed: rung.shed,
        };
        inner.rungs.iter().map(show).collect()
    }

    /// Process id of the newest worker, for its processor time and memory.
    pub fn worker_pid(&self) -> Option<u32> {
        lock(&self.0).worker
    }

    /// Workers that died.
    pub fn restarts(&self) -> u64 {
        lock(&self.0).restarts
    }

    /// Bytes of the source that are remembered for workers.
    pub fn held_bytes(&self) -> usize {
        lock(&self.0).held_bytes
    }

    /// Units of all rungs.
    pub fn units(&self) -> u64 {
        lock(&self.0).units
    }

    pub(super) fn open(&self, setup: &Setup) {
        let video = setup.video.iter();
        let video = video.map(|rung| Rung::new(&rung.name, MediaKind::Video));
        let audio = setup.audio.iter();
        let audio = audio.map(|rung| Rung::new(&rung.name, MediaKind::Audio));
        lock(&self.0).rungs = video.chain(audio).collect();
    }

    /// An encoding that joins those of [`Status::open`].
    pub(super) fn join(&self, name: &str, kind: MediaKind) {
        let mut inner = lock(&self.0);
        let mut rung = Rung::new(name, kind);
        rung.from = inner.newest;
        inner.rungs.push(rung);
    }

    /// Source media goes this far, 90 kHz; a picture is looked for again when it comes out.
    pub(super) fn note_media(&self, until: Ticks, picture: bool, now: Duration) {
        let mut inner = lock(&self.0);
        if picture {
            inner.sent.note(until, now);
        }
        inner.newest = inner.newest.max(Some(until));
        for rung in &mut inner.rungs {
            rung.from.get_or_insert(until);
        }
    }

    /// How far the source's media goes, and how far the rung that is ahead of the others: 90 kHz.
    pub(super) fn progress(&self) -> (Option<Ticks>, Option<Ticks>) {
        let inner = lock(&self.0);
        let ahead = inner.leading().filter_map(Rung::end).max();
        (inner.newest, ahead)
    }

    /// How far the slowest rung is behind the source, 90 kHz.
    pub(super) fn behind(&self) -> Ticks {
        let inner = lock(&self.0);
        let last = inner.leading().filter_map(|rung| rung.end().max(rung.from));
        match (inner.newest, last.min()) {
            (Some(newest), Some(last)) => newest - last,
            _ => Ticks::ZERO,
        }
    }

    /// How far all rungs are published, 90 kHz; `None` while one has nothing.
    pub(super) fn published(&self) -> Option<Ticks> {
        let inner = lock(&self.0);
        let ends: Option<Vec<Ticks>> = inner.leading().map(Rung::end).collect();
        ends?.into_iter().min()
    }

    /// Names of the video rungs that are made.
    pub(super) fn video_rungs(&self) -> Vec<String> {
        let inner = lock(&self.0);
        let made = inner.rungs.iter().filter(|rung| !rung.shed);
        let video = made.filter(|rung| rung.kind == Some(MediaKind::Video));
        video.map(|rung| rung.name.clone()).collect()
    }

    /// The rung is not made any more.
    pub(super) fn shed(&self, name: &str) {
        let mut inner = lock(&self.0);
        if let Some(rung) = inner.rungs.iter_mut().find(|rung| rung.name == name) {
            rung.shed = true;
        }
    }

    /// Fits a setup to what earlier workers did: no rung that was shed, each goes on where it ended.
    pub(super) fn prepare(&self, setup: &mut Setup) {
        let inner = lock(&self.0);
        let find = |name: &str| inner.rungs.iter().find(|rung| rung.name == name);
        setup
            .video
            .retain(|rung| find(&rung.name).is_none_or(|rung| !rung.shed));
        let video = setup.video.iter().map(|rung| &rung.name);
        let names = video.chain(setup.audio.iter().map(|rung| &rung.name));
        let end = |name: &String| Some(find(name)?.published.as_ref()?.end?.0);
        setup.resume = names.map(end).collect();
        setup.colour.clone_from(&inner.colour);
    }

    /// Where a rung stands here, whatever its number in a setup.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        lock(&self.0)
            .rungs
            .iter()
            .position(|rung| rung.name == name)
    }

    /// An encoding that is not made any more, as if it had never been. No worker runs.
    pub(super) fn leave(&self, name: &str) {
        lock(&self.0).rungs.retain(|rung| rung.name != name);
    }

    /// The rung that is a rendition, as long as it is made.
    pub(super) fn name_of(&self, id: RenditionId) -> Option<String> {
        let inner = lock(&self.0);
        let is = |rung: &&Rung| rung.published.as_ref().is_some_and(|it| it.id == id);
        let rung = inner.rungs.iter().find(is)?;
        (!rung.shed).then(|| rung.name.clone())
    }

    /// What is known of a rung whose encoder states this configuration.
    pub(super) fn rendition(&self, place: usize, track: &Track) -> Known {
        let inner = lock(&self.0);
        match inner.rungs.get(place).and_then(|r| r.published.as_ref()) {
            None => Known::New,
            Some(known) if known.track == *track => Known::Same(known.id),
            Some(_) => Known::Other,
        }
    }

    pub(super) fn set_rendition(&self, place: usize, id: RenditionId, track: Track) {
        if let Some(rung) = lock(&self.0).rungs.get_mut(place) {
            let end = None;
            rung.published = Some(Published { id, track, end });
        }
    }

    /// Whether the rung has published something that is shown at this time or later, or publishes
    /// nothing any more.
    pub(super) fn passed(&self, place: usize, pts: Ticks) -> bool {
        let inner = lock(&self.0);
        let rung = inner.rungs.get(place);
        let end = rung.and_then(|rung| rung.published.as_ref()?.end);
        rung.is_none_or(|rung| rung.shed) || end.is_some_and(|end| pts < end)
    }

    /// A unit of a rung is published; `end` is just after it, `video` its time if it is a picture.
    pub(super) fn note_unit(&self, place: usize, end: Ticks, video: Option<Ticks>, now: Duration) {
        let mut inner = lock(&self.0);
        inner.units += 1;
        let sent = video.and_then(|pts| inner.sent.when(pts));
        let Some(rung) = inner.rungs.get_mut(place) else {
            return;
        };
        rung.units += 1;
        if let Some(published) = &mut rung.published {
            published.end = Some(end);
        }
        if let Some(sent) = sent {
            rung.lag.add(now.saturating_sub(sent));
        }
        if let Some(pts) = video {
            if rung.pace.len() == PACE_UNITS {
                rung.pace.pop_front();
            }
            rung.pace.push_back((now, pts));
        }
    }

    pub(super) fn set_worker(&self, pid: Option<u32>) {
        lock(&self.0).worker = pid;
    }

    pub(super) fn set_colour(&self, colour: Colour) {
        lock(&self.0).colour = Some(colour);
    }

    pub(super) fn set_held_bytes(&self, bytes: usize) {
        lock(&self.0).held_bytes = bytes;
    }

    pub(super) fn restarted(&self) {
        let mut inner = lock(&self.0);
        inner.restarts += 1;
        for rung in &mut inner.rungs {
            rung.pace.clear();
        }
    }
}

fn speed(pace: &VecDeque<(Duration, Ticks)>) -> Option<f64> {
    let ((from, first), (to, last)) = (pace.front()?, pace.back()?);
    let wall = to.saturating_sub(*from).as_secs_f64();
    let media = (*last - *first).seconds(crate::media::Timescale::CHANNEL);
    (wall > 0.0).then(|| media / wall)
}
