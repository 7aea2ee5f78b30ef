//! A live stream's timeline: takes the hub's units on one side, answers players on the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tracing::error;

use super::segmenter::{Cut, Segmenter};
use super::window::Window;
use crate::base::clock::Wall;
use crate::hub::Outlet;
use crate::media::time::rescale;
use crate::media::timeline::{
    Description, Found, Progress, Report, Resource, Rules, Segment, Snapshot, Timeline, Wait,
};
use crate::media::{
    AccessUnit, Boundary, MediaKind, Rendition, RenditionId, Ticks, Timescale, Track,
};

/// Parts are numbered from the clock at this pace, faster than any part comes, so that numbers do not
/// meet those from before a restart: 20 a second.
const PART_NUMBER_MILLIS: i64 = 50;
/// Declared peak over the one measured so far, in percent: a source's next segment may be larger.
const PEAK_HEADROOM_PERCENT: u64 = 110;

/// A live stream's timeline. Cloning the `Arc` shares it.
#[derive(Debug)]
pub struct Live {
    rules: Rules,
    first_part: u64,
    state: Mutex<State>,
    /// Version of the description; 0 before there is one.
    described: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    renditions: Vec<Packaged>,
    listed: Vec<RenditionId>,
    description: Option<Arc<Description>>,
    ended: bool,
}

#[derive(Debug)]
struct Packaged {
    rendition: Arc<Rendition>,
    segmenter: Option<Segmenter>,
    window: Window,
    rate: Rate,
    changed: watch::Sender<u64>,
}

/// Bit rates of a rendition, measured over complete segments.
#[derive(Debug, Default)]
struct Rate {
    peak_bps: u64,
    bits: u64,
    micros: u64,
    declared_bps: u64,
}

/// What metrics show of a rendition.
#[derive(Clone, Debug)]
pub struct Held {
    /// Folder name.
    pub name: Arc<str>,
    /// Seconds of media listed.
    pub window_seconds: f64,
    /// Bytes of media listed.
    pub window_bytes: usize,
    /// Bytes of media in memory, retired segments included.
    pub bytes: usize,
}

impl Live {
    /// A timeline whose playlists obey `rules`. Parts are numbered from `now`.
    pub fn new(rules: Rules, now: Wall) -> Arc<Live> {
        let first_part = now.unix_millis().max(0) / PART_NUMBER_MILLIS;
        Arc::new(Live {
            rules,
            first_part: u64::try_from(first_part).unwrap_or(0),
            state: Mutex::default(),
            described: watch::channel(0).0,
        })
    }

    /// The end that the hub feeds.
    pub fn outlet(self: &Arc<Live>) -> Box<dyn Outlet> {
        Box::new(Intake(self.clone()))
    }

    /// What is held in memory, per rendition.
    pub fn held(&self) -> Vec<Held> {
        let state = self.lock();
        let held = |packaged: &Packaged| Held {
            name: packaged.rendition.name.clone(),
            window_seconds: packaged.window.listed_seconds(),
            window_bytes: packaged.window.listed_bytes(),
            bytes: packaged.window.bytes(),
        };
        state.renditions.iter().map(held).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self, state: &mut State) {
        if state.listed.is_empty() {
            return;
        }
        let version = state
            .description
            .as_ref()
            .map_or(0, |description| description.version)
            + 1;
        let mut video = Vec::new();
        let mut audio = Vec::new();
        for id in &state.listed {
            let Some(packaged) = state.renditions.get_mut(usize::from(id.0)) else {
                continue;
            };
            let rendition = packaged.declare();
            match rendition.kind() {
                MediaKind::Video => video.push(rendition),
                MediaKind::Audio => audio.push(rendition),
            }
        }
        // Best first; the source keeps its place in front of rungs of the same size.
        video.sort_by_key(|rendition| {
            let pixels = rendition
                .track
                .resolution()
                .map_or(0, |(width, height)| u64::from(width) * u64::from(height));
            (
                std::cmp::Reverse(pixels),
                !rendition.source,
                std::cmp::Reverse(rendition.peak_bps),
            )
        });
        let rules = self.rules.clone();
        let description = Description {
            version,
            rules,
            video,
            audio,
            ended: state.ended,
        };
        state.description = Some(Arc::new(description));
        self.described.send_replace(version);
    }

    /// Moves what the segmenter cut into the window and tells those who wait.
    fn take_cuts(&self, state: &mut State, index: usize) {
        let packaged = &mut state.renditions[index];
        let Some(segmenter) = &mut packaged.segmenter else {
            return;
        };
        let mut cut_any = false;
        let mut redescribe = false;
        while let Some(cut) = segmenter.poll_cut() {
            cut_any |= !matches!(cut, Cut::Open(_));
            if let Some(segment) = packaged.window.handle_cut(cut) {
                redescribe |= packaged
                    .rate
                    .measure(&segment, packaged.rendition.track.timescale);
            }
        }
        if cut_any {
            packaged.changed.send_replace(packaged.window.version());
        }
        let listed = state
            .listed
            .contains(&RenditionId(u8::try_from(index).unwrap_or(u8::MAX)));
        if redescribe && listed {
            self.describe(state);
        }
    }
}

impl Packaged {
    /// The rendition with the bit rates that hold so far.
    fn declare(&mut self) -> Arc<Rendition> {
        let promised = u64::from(self.rendition.peak_bps);
        let measured = self.rate.peak_bps * PEAK_HEADROOM_PERCENT / 100;
        let guess = if promised == 0 && measured == 0 {
            self.guess_bps()
        } else {
            0
        };
        let peak = promised
            .max(measured)
            .max(guess)
            .max(self.rate.declared_bps.min(measured));
        self.rate.declared_bps = peak;
        let average = match (self.rendition.average_bps, self.rate.average_bps()) {
            (0, 0) => peak * 9 / 10,
            (promised, 0) => u64::from(promised),
            (_, measured) => measured.min(peak),
        };
        let clamp = |bps: u64| u32::try_from(bps).unwrap_or(u32::MAX);
        Arc::new(Rendition {
            peak_bps: clamp(peak),
            average_bps: clamp(average),
            ..(*self.rendition).clone()
        })
    }

    /// Before a segment is complete: from the parts so far, else from what such a picture usually takes.
    fn guess_bps(&self) -> u64 {
        let segments = self.window.segments();
        let scale = self.rendition.track.timescale;
        let duration: Ticks = segments
            .iter()
            .fold(Ticks::ZERO, |sum, segment| sum + segment.duration);
        let bits = segments
            .iter()
            .map(|segment| segment.size() as u64 * 8)
            .sum::<u64>();
        let half_second = rescale(Ticks(45_000), Timescale::CHANNEL, scale);
        if duration >= half_second {
            return bits * u64::from(scale.get()) / duration.0.unsigned_abs() * 5 / 4;
        }
        match self.rendition.track.resolution() {
            // A tenth of a bit per pixel at 30 fps: 2.8 Mbit/s for 720p.
            Some((width, height)) => u64::from(width) * u64::from(height) * 3,
            None => 192_000,
        }
    }
}

impl Rate {
    /// Takes a complete segment. True when what was declared no longer holds, or was a guess.
    fn measure(&mut self, segment: &Segment, scale: Timescale) -> bool {
        let micros = rescale(segment.duration, scale, Timescale::MICROS)
            .0
            .unsigned_abs();
        if segment.gap || micros == 0 {
            return false;
        }
        let first = self.micros == 0;
        let bits = segment.size() as u64 * 8;
        self.bits += bits;
        self.micros += micros;
        // A segment that was cut short says nothing about the rate of whole ones: half a second is
        // the least that counts.
        if micros >= 500_000 {
            self.peak_bps = self.peak_bps.max(per_second(bits, micros) + 1);
        }
        first || self.peak_bps > self.declared_bps
    }

    fn average_bps(&self) -> u64 {
        if self.micros == 0 {
            0
        } else {
            per_second(self.bits, self.micros)
        }
    }
}

fn per_second(bits: u64, micros: u64) -> u64 {
    let rate = u128::from(bits) * 1_000_000 / u128::from(micros.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

impl Timeline for Live {
    fn description(&self) -> Option<Arc<Description>> {
        self.lock().description.clone()
    }

    fn snapshot(&self, rendition: &str) -> Option<Arc<Snapshot>> {
        let state = self.lock();
        let packaged = state
            .renditions
            .iter()
            .find(|packaged| &*packaged.rendition.name == rendition)?;
        let segments = packaged.window.segments();
        if segments.is_empty() {
            return None;
        }
        let reports = state
            .listed
            .iter()
            .filter_map(|id| state.renditions.get(usize::from(id.0)))
            .filter(|other| &*other.rendition.name != rendition)
            .filter_map(|other| {
                let progress = other.window.progress()?;
                Some(Report {
                    name: other.rendition.name.clone(),
                    last_sequence: progress.last_sequence,
                    last_part: progress.last_parts.checked_sub(1),
                })
            })
            .collect();
        let independent_segments = segments.iter().all(|segment| segment.independent);
        Some(Arc::new(Snapshot {
            version: packaged.window.version(),
            rendition: packaged.rendition.clone(),
            rules: Rules {
                independent_segments,
                ..self.rules.clone()
            },
            segments,
            next_part: packaged.window.next_part(),
            reports,
            ended: state.ended,
        }))
    }

    fn progress(&self, rendition: &str) -> Option<Progress> {
        let state = self.lock();
        let packaged = state
            .renditions
            .iter()
            .find(|packaged| &*packaged.rendition.name == rendition)?;
        packaged.window.progress()
    }

    fn find(&self, rendition: &str, resource: Resource<'_>) -> Found {
        let state = self.lock();
        match state
            .renditions
            .iter()
            .find(|packaged| &*packaged.rendition.name == rendition)
        {
            Some(packaged) => packaged.window.find(resource),
            None => Found::Missing,
        }
    }

    fn changed<'a>(&'a self, rendition: &'a str, seen: u64) -> Wait<'a> {
        let receiver = {
            let state = self.lock();
            let known = state
                .renditions
                .iter()
                .find(|packaged| &*packaged.rendition.name == rendition);
            known.map_or_else(
                || self.described.subscribe(),
                |packaged| packaged.changed.subscribe(),
            )
        };
        Box::pin(async move {
            let mut receiver = receiver;
            // An error means that the sender is gone, and with it the stream: that is a change, too.
            let _ = receiver.wait_for(|version| *version != seen).await;
        })
    }
}

/// The hub's side of a timeline.
struct Intake(Arc<Live>);

impl Outlet for Intake {
    fn handle_rendition(&mut self, rendition: &Arc<Rendition>) {
        let live = &*self.0;
        let track = &rendition.track;
        let first_part = live.first_part;
        let part_target = Ticks::from_duration(live.rules.part_target, Timescale::CHANNEL);
        let segmenter = match Segmenter::new(track, live.rules.epoch, part_target, first_part) {
            Ok(segmenter) => Some(segmenter),
            Err(err) => {
                error!(rendition = &*rendition.name, %err, "rendition cannot be packaged");
                None
            }
        };
        let length = Ticks::from_duration(live.rules.window, track.timescale);
        let window = Window::new(track.timescale, length, first_part);
        live.lock().renditions.push(Packaged {
            rendition: rendition.clone(),
            segmenter,
            window,
            rate: Rate::default(),
            changed: watch::channel(0).0,
        });
    }

    fn handle_track(&mut self, id: RenditionId, track: &Arc<Track>) {
        let live = &*self.0;
        let mut state = live.lock();
        let Some(packaged) = state.renditions.get_mut(usize::from(id.0)) else {
            return;
        };
        // The timescale stays, since what is listed already is counted in it.
        packaged.rendition = Arc::new(Rendition {
            track: Arc::new(Track {
                timescale: packaged.rendition.track.timescale,
                ..(**track).clone()
            }),
            ..(*packaged.rendition).clone()
        });
        let Some(segmenter) = &mut packaged.segmenter else {
            return;
        };
        if let Err(err) = segmenter.handle_track(track) {
            error!(rendition = &*packaged.rendition.name, %err, "rendition cannot be packaged any more");
            packaged.segmenter = None;
        }
        live.take_cuts(&mut state, usize::from(id.0));
        live.describe(&mut state);
    }

    fn handle_unit(&mut self, id: RenditionId, unit: AccessUnit, boundaries: &[Boundary]) {
        let live = &*self.0;
        let mut state = live.lock();
        let index = usize::from(id.0);
        let Some(packaged) = state.renditions.get_mut(index) else {
            return;
        };
        if let Some(segmenter) = &mut packaged.segmenter {
            segmenter.handle_unit(unit, boundaries);
        }
        live.take_cuts(&mut state, index);
    }

    fn handle_gap(&mut self, _id: RenditionId, _boundary: &Boundary) {}

    fn handle_removed(&mut self, _id: RenditionId) {}

    fn handle_listed(&mut self, ids: &[RenditionId]) {
        let live = &*self.0;
        let mut state = live.lock();
        state.listed = ids.to_vec();
        live.describe(&mut state);
    }

    fn handle_break(&mut self) {
        let live = &*self.0;
        let mut state = live.lock();
        for index in 0..state.renditions.len() {
            if let Some(segmenter) = &mut state.renditions[index].segmenter {
                segmenter.flush();
            }
            live.take_cuts(&mut state, index);
        }
    }

    fn handle_stop(&mut self) {
        let live = &*self.0;
        let mut state = live.lock();
        for index in 0..state.renditions.len() {
            if let Some(segmenter) = &mut state.renditions[index].segmenter {
                segmenter.close();
            }
            live.take_cuts(&mut state, index);
        }
    }

    fn handle_end(&mut self) {
        let live = &*self.0;
        let mut state = live.lock();
        state.ended = true;
        for index in 0..state.renditions.len() {
            if let Some(segmenter) = &mut state.renditions[index].segmenter {
                segmenter.close();
            }
            live.take_cuts(&mut state, index);
            let packaged = &mut state.renditions[index];
            packaged.window.end();
            packaged.changed.send_replace(packaged.window.version());
        }
        live.describe(&mut state);
    }
}

#[cfg(test)]
mod tests;
