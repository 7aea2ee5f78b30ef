//! What is known of a stream's ladder, for metrics and for the reader of the worker's messages.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use super::child::{Known, Published};
use super::lock;
use crate::media::{MediaKind, RenditionId, Ticks, Track};
use crate::transcode::ladder::AudioRung;
use crate::transcode::lag::{Lag, Sent};
use crate::transcode::protocol::{Colour, Counters, Setup, Unit};

/// Units over which the speed of a rung is measured.
const PACE_UNITS: usize = 256;

/// Shared by the bridge and whoever reads metrics.
#[derive(Debug, Default)]
pub struct Status(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    rungs: Vec<Rung>,
    sent: Sent,
    counters: Counters,
    /// What the first worker pinned.
    colour: Option<Colour>,
    worker: Option<u32>,
    restarts: u64,
    dropped_units: u64,
    units: u64,
}

#[derive(Debug, Default)]
struct Rung {
    name: String,
    units: u64,
    lag: Lag,
    pace: VecDeque<(Duration, Ticks)>,
    published: Option<Published>,
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
        };
        inner.rungs.iter().map(show).collect()
    }

    /// What the worker counts, since its start.
    pub fn counters(&self) -> Counters {
        lock(&self.0).counters
    }

    /// Process id of the newest worker, for its processor time and memory.
    pub fn worker_pid(&self) -> Option<u32> {
        lock(&self.0).worker
    }

    /// Workers that died.
    pub fn restarts(&self) -> u64 {
        lock(&self.0).restarts
    }

    /// Source units that the worker did not get because it was too slow.
    pub fn dropped_units(&self) -> u64 {
        lock(&self.0).dropped_units
    }

    /// Units of all rungs.
    pub fn units(&self) -> u64 {
        lock(&self.0).units
    }

    pub(super) fn open(&self, setup: &Setup) {
        let video = setup.video.iter().map(|rung| &rung.name);
        let names = video.chain(setup.audio.iter().map(|rung| &rung.name));
        lock(&self.0).rungs = names
            .map(|name| Rung {
                name: name.clone(),
                ..Rung::default()
            })
            .collect();
    }

    /// Encodings that join those of [`Status::open`].
    pub(super) fn join(&self, rungs: &[AudioRung]) {
        let joining = rungs.iter().map(|rung| Rung {
            name: rung.name.clone(),
            ..Rung::default()
        });
        lock(&self.0).rungs.extend(joining);
    }

    pub(super) fn note_sent(&self, unit: &Unit, now: Duration) {
        if unit.kind == MediaKind::Video {
            lock(&self.0).sent.note(unit.pts, now);
        }
    }

    /// What is known of a rung whose encoder states this configuration.
    pub(super) fn rendition(&self, index: usize, track: &Track) -> Known {
        let inner = lock(&self.0);
        match inner.rungs.get(index).and_then(|r| r.published.as_ref()) {
            None => Known::New,
            Some(known) if known.track == *track => Known::Same(known.id),
            Some(_) => Known::Other,
        }
    }

    pub(super) fn set_rendition(&self, index: usize, id: RenditionId, track: Track) {
        if let Some(rung) = lock(&self.0).rungs.get_mut(index) {
            let end = None;
            rung.published = Some(Published { id, track, end });
        }
    }

    /// Whether the rung has published something that is shown at this time or later.
    pub(super) fn passed(&self, index: usize, pts: Ticks) -> bool {
        let inner = lock(&self.0);
        let published = inner.rungs.get(index).and_then(|r| r.published.as_ref());
        published.is_some_and(|known| known.end.is_some_and(|end| pts < end))
    }

    /// A unit of a rung is published; `end` is just after it, `video` its time if it is a picture.
    pub(super) fn note_unit(&self, index: usize, end: Ticks, video: Option<Ticks>, now: Duration) {
        let mut inner = lock(&self.0);
        inner.units += 1;
        let sent = video.and_then(|pts| inner.sent.when(pts));
        let Some(rung) = inner.rungs.get_mut(index) else {
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

    pub(super) fn set_counters(&self, counters: Counters) {
        lock(&self.0).counters = counters;
    }

    pub(super) fn set_dropped_units(&self, dropped: u64) {
        lock(&self.0).dropped_units = dropped;
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
