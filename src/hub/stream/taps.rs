//! Taps of a stream, and the renditions that are made for them only.

use std::sync::Arc;

use tokio::sync::watch;

use super::Stream;
use super::renditions::Flow;
use super::state::State;
use crate::hub::NewRendition;
use crate::hub::tap::{Event, Feed, KeyUnits, Needs, Tap};
use crate::media::{AccessUnit, MediaKind, Rendition, RenditionId};

/// The id of the first rendition that is made for taps only: above those of the stream's own.
const FIRST_PRIVATE: u8 = 128;
/// Names of such renditions. One that comes again has the id that it had.
const MAX_PRIVATE: usize = 8;

/// Who taps a stream, and what is made for them.
#[derive(Debug, Default)]
pub(super) struct Taps {
    feeds: Vec<Feed>,
    private: Vec<Private>,
}

/// A rendition that stands in no manifest.
#[derive(Debug)]
struct Private {
    rendition: Arc<Rendition>,
    /// Whether somebody makes it now.
    is_made: bool,
}

impl Stream {
    /// A queue of the units of chosen renditions, of every encoding that exists; what exists is told first.
    pub fn tap(&self, queue_units: usize) -> Tap {
        let mut state = self.lock();
        let known = if state.ended {
            vec![Event::End]
        } else {
            state.known()
        };
        let (feed, tap) = Feed::new(queue_units, known, &self.wishes);
        if !state.ended {
            state.taps.feeds.push(feed);
        }
        tap
    }

    /// What all taps together need, now and from now on.
    pub fn needs(&self) -> watch::Receiver<Needs> {
        self.wishes.needs()
    }

    /// Key units that taps ask for from now on, of whatever rendition.
    pub fn key_units(&self) -> KeyUnits {
        self.wishes.key_units(self.clock.clone())
    }

    /// Adds a rendition that taps see and nobody else; one of a name that is there is made anew. `None` when
    /// the stream is over or there are too many.
    pub fn add_private(&self, new: NewRendition) -> Option<RenditionId> {
        let mut state = self.lock();
        if state.ended {
            return None;
        }
        state.add_private(new)
    }

    /// A unit of such a rendition, in channel time.
    pub fn push_private(&self, id: RenditionId, unit: AccessUnit) {
        let mut state = self.lock();
        if state.taps.made(id).is_some() {
            state.tap_unit(id, &unit);
        }
    }

    /// Nothing of such a rendition follows, until it is added again.
    pub fn drop_private(&self, id: RenditionId) {
        let mut state = self.lock();
        if let Some(private) = state.taps.made(id) {
            private.is_made = false;
            state.tell_taps(&Event::Removed(id));
        }
    }
}

impl Taps {
    /// A private rendition that is made now.
    fn made(&mut self, id: RenditionId) -> Option<&mut Private> {
        let mut all = self.private.iter_mut();
        all.find(|private| private.rendition.id == id && private.is_made)
    }
}

impl State {
    /// What there is to tap.
    fn known(&self) -> Vec<Event> {
        let mut known = Vec::new();
        for listed in &self.renditions {
            let rendition = &listed.rendition;
            let flows = matches!(listed.flow, Flow::Live | Flow::Joining);
            if !flows && !rendition.source {
                continue;
            }
            known.push(Event::Rendition(rendition.clone()));
            let track = rendition
                .source
                .then(|| self.program.track(rendition.kind()));
            if let Some(track) = track.flatten()
                && **track != *rendition.track
            {
                known.push(Event::Track(rendition.id, track.clone()));
            }
        }
        let private = self.taps.private.iter();
        let private = private.filter(|private| private.is_made);
        known.extend(private.map(|private| Event::Rendition(private.rendition.clone())));
        known
    }

    fn add_private(&mut self, new: NewRendition) -> Option<RenditionId> {
        let mut known = self.taps.private.iter();
        let known = known.position(|private| private.rendition.name == new.name);
        if known.is_none() && self.taps.private.len() >= MAX_PRIVATE {
            return None;
        }
        let index = known.unwrap_or(self.taps.private.len());
        let id = RenditionId(FIRST_PRIVATE + u8::try_from(index).ok()?);
        let rendition = Arc::new(Rendition {
            id,
            name: new.name,
            track: Arc::new(new.track),
            peak_bps: new.peak_bps,
            average_bps: new.average_bps,
            frame_rate_millis: new.frame_rate_millis,
            source: false,
        });
        let private = Private {
            rendition: rendition.clone(),
            is_made: true,
        };
        match known {
            Some(index) => self.taps.private[index] = private,
            None => self.taps.private.push(private),
        }
        self.tell_taps(&Event::Rendition(rendition));
        Some(id)
    }

    /// Tells every tap something that is no unit.
    pub(super) fn tell_taps(&mut self, event: &Event) {
        self.taps.feeds.retain_mut(|feed| feed.tell(event.clone()));
    }

    /// Passes a unit on to the taps that have chosen its rendition.
    pub(super) fn tap_unit(&mut self, id: RenditionId, unit: &AccessUnit) {
        self.taps.feeds.retain_mut(|feed| feed.unit(id, unit));
    }

    /// Passes a unit of the source on, whether it is listed or not.
    pub(super) fn tap_source(&mut self, unit: &AccessUnit) {
        if self.taps.feeds.is_empty() {
            return;
        }
        if let Some(id) = self.source_id(unit.kind) {
            self.tap_unit(id, unit);
        }
    }

    /// The stream is over.
    pub(super) fn end_taps(&mut self) {
        self.tell_taps(&Event::End);
        self.taps = Taps::default();
    }

    /// The rendition of the source's own units of a kind.
    pub(super) fn source_id(&self, kind: MediaKind) -> Option<RenditionId> {
        match kind {
            MediaKind::Video => self.source_video,
            MediaKind::Audio => self.source_audio,
        }
    }
}
