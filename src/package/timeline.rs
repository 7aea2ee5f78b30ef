//! A live stream's timeline: takes the hub's units on one side, answers players on the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::packaged::Packaged;
use super::segmenter::Segmenter;
use crate::base::clock::Wall;
use crate::hub::Outlet;
use crate::media::timeline::{
    Description, Found, Progress, Report, Resource, Rules, Snapshot, Timeline, Wait,
};
use crate::media::{AccessUnit, Boundary, MediaKind, Rendition, RenditionId, Track};

/// Parts are numbered from the clock at this pace, faster than any part comes, so that numbers do not
/// meet those from before a restart: 20 a second.
const PART_NUMBER_MILLIS: i64 = 50;

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
    /// By id; `None` once it was removed.
    renditions: Vec<Option<Packaged>>,
    listed: Vec<RenditionId>,
    /// Listed once, and not removed yet.
    leaving: Vec<RenditionId>,
    description: Option<Arc<Description>>,
    ended: bool,
    stopped: bool,
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
        state.renditions.iter().flatten().map(held).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self, state: &mut State) {
        if state.listed.is_empty() && state.description.is_none() {
            return;
        }
        let version = state
            .description
            .as_ref()
            .map_or(0, |description| description.version)
            + 1;
        let mut video = Vec::new();
        let mut audio = Vec::new();
        for id in state.listed.iter().chain(&state.leaving) {
            let Some(Some(packaged)) = state.renditions.get_mut(usize::from(id.0)) else {
                continue;
            };
            let rendition = packaged.declare();
            match rendition.kind() {
                MediaKind::Video => video.push((packaged.rank, rendition)),
                MediaKind::Audio => audio.push(rendition),
            }
        }
        video.sort_by_key(|(rank, _)| *rank);
        let video = video.into_iter().map(|(_, rendition)| rendition).collect();
        let rules = self.rules.clone();
        let description = Description {
            version,
            rules,
            video,
            audio,
            leaving: state.leaving.clone(),
            ended: state.ended,
        };
        state.description = Some(Arc::new(description));
        self.described.send_replace(version);
    }

    /// Lets a rendition's segmenter act.
    fn cut(&self, id: RenditionId, act: impl FnOnce(&mut Segmenter)) {
        let mut state = self.lock();
        let rates_broken = state
            .rendition(id)
            .is_some_and(|packaged| packaged.cut(act));
        if rates_broken && state.listed.contains(&id) {
            self.describe(&mut state);
        }
    }

    /// Lets all segmenters act.
    fn cut_all(&self, act: impl Fn(&Rendition, &mut Segmenter)) {
        let mut state = self.lock();
        let mut rates_broken = false;
        for packaged in state.renditions.iter_mut().flatten() {
            let rendition = packaged.rendition.clone();
            rates_broken |= packaged.cut(|segmenter| act(&rendition, segmenter));
        }
        if rates_broken {
            self.describe(&mut state);
        }
    }
}

impl State {
    fn rendition(&mut self, id: RenditionId) -> Option<&mut Packaged> {
        self.renditions.get_mut(usize::from(id.0))?.as_mut()
    }

    fn named(&self, name: &str) -> Option<&Packaged> {
        let mut renditions = self.renditions.iter().flatten();
        renditions.find(|packaged| &*packaged.rendition.name == name)
    }

    fn has_rungs(&self) -> bool {
        let mut renditions = self.renditions.iter().flatten();
        renditions.any(|packaged| !packaged.rendition.source)
    }

    fn listed(&self) -> impl Iterator<Item = &Packaged> {
        let at = |id: &RenditionId| self.renditions.get(usize::from(id.0))?.as_ref();
        self.listed.iter().filter_map(at)
    }
}

impl Timeline for Live {
    fn description(&self) -> Option<Arc<Description>> {
        self.lock().description.clone()
    }

    fn snapshot(&self, rendition: &str) -> Option<Arc<Snapshot>> {
        let state = self.lock();
        let packaged = state.named(rendition)?;
        packaged.window.progress()?;
        let segments = packaged.window.segments();
        let reports = state
            .listed()
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
            stopped: state.stopped,
            scheduled: None,
        }))
    }

    fn progress(&self, rendition: &str) -> Option<Progress> {
        self.lock().named(rendition)?.window.progress()
    }

    fn find(&self, rendition: &str, resource: Resource<'_>) -> Found {
        let state = self.lock();
        let Some(packaged) = state.named(rendition) else {
            return Found::Missing;
        };
        match packaged.window.find(resource) {
            // Nobody is to wait for what comes behind a gap when other renditions have media now.
            Found::Announced if packaged.window.in_gap() && state.has_rungs() => Found::Missing,
            found => found,
        }
    }

    fn changed<'a>(&'a self, rendition: &'a str, seen: u64) -> Wait<'a> {
        let receiver = {
            let state = self.lock();
            state.named(rendition).map_or_else(
                || self.described.subscribe(),
                |packaged| packaged.changed.subscribe(),
            )
        };
        Box::pin(async move {
            let mut receiver = receiver;
            // An error means that the sender is gone, and with it the rendition or the stream: that is a
            // change, too.
            let _ = receiver.wait_for(|version| *version != seen).await;
        })
    }
}

/// The hub's side of a timeline.
struct Intake(Arc<Live>);

impl Outlet for Intake {
    fn handle_rendition(&mut self, rendition: &Arc<Rendition>) {
        let packaged = Packaged::new(rendition, &self.0.rules, self.0.first_part);
        self.0.lock().renditions.push(Some(packaged));
    }

    fn handle_track(&mut self, id: RenditionId, track: &Arc<Track>) {
        let mut state = self.0.lock();
        if let Some(packaged) = state.rendition(id) {
            packaged.handle_track(track);
            self.0.describe(&mut state);
        }
    }

    fn handle_unit(&mut self, id: RenditionId, unit: AccessUnit, boundaries: &[Boundary]) {
        self.0
            .cut(id, |segmenter| segmenter.handle_unit(unit, boundaries));
    }

    fn handle_gap(&mut self, id: RenditionId, boundary: &Boundary) {
        self.0.cut(id, |segmenter| segmenter.handle_gap(boundary));
    }

    fn handle_removed(&mut self, id: RenditionId) {
        let mut state = self.0.lock();
        if let Some(slot) = state.renditions.get_mut(usize::from(id.0)) {
            *slot = None;
        }
        if state.listed.contains(&id) || state.leaving.contains(&id) {
            state.listed.retain(|listed| *listed != id);
            state.leaving.retain(|leaving| *leaving != id);
            self.0.describe(&mut state);
        }
    }

    fn handle_listed(&mut self, ids: &[RenditionId]) {
        let mut state = self.0.lock();
        let mut before = std::mem::replace(&mut state.listed, ids.to_vec());
        state.leaving.append(&mut before);
        state.leaving.retain(|leaving| !ids.contains(leaving));
        self.0.describe(&mut state);
    }

    /// What goes on with another segment may have a short last part. Beside rungs that is the source's
    /// picture only: they and the sound may go on where they are, with the last picture and silence.
    fn handle_break(&mut self) {
        let rungs = self.0.lock().has_rungs();
        self.0.cut_all(|rendition, segmenter| {
            if !rungs || rendition.source && rendition.kind() == MediaKind::Video {
                segmenter.flush();
            } else {
                segmenter.settle();
            }
        });
    }

    fn handle_stop(&mut self) {
        // First, because closing wakes those who wait.
        self.0.lock().stopped = true;
        self.0.cut_all(|_, segmenter| segmenter.close());
    }

    fn handle_end(&mut self) {
        self.0.cut_all(|_, segmenter| segmenter.close());
        let mut state = self.0.lock();
        state.ended = true;
        state
            .renditions
            .iter_mut()
            .flatten()
            .for_each(Packaged::end);
        self.0.describe(&mut state);
    }
}

#[cfg(test)]
mod tests;
