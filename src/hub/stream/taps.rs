//! A live stream as those see it who tap it.

use tokio::sync::watch;

use super::Stream;
use super::renditions::Flow;
use super::state::State;
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::hub::tap::{Event, KeyUnits, Needs, Tap, Tapped};
use crate::hub::{NewRendition, Subscriber};
use crate::media::{AccessUnit, MediaKind, RenditionId};

impl Tapped for Stream {
    fn id(&self) -> Uuid {
        Stream::id(self)
    }

    fn channel_id(&self) -> &str {
        &self.admission().channel_id
    }

    fn epoch(&self) -> Wall {
        Stream::epoch(self)
    }

    fn has_ladder(&self) -> bool {
        Stream::has_ladder(self)
    }

    fn is_ended(&self) -> bool {
        Stream::is_ended(self)
    }

    fn tap(&self, queue_units: usize) -> Tap {
        let mut state = self.lock();
        let known = state.known();
        state.taps.join(queue_units, known, &self.wishes)
    }

    fn subscribe(&self, queue_units: usize) -> Subscriber {
        Stream::subscribe(self, queue_units)
    }

    fn needs(&self) -> watch::Receiver<Needs> {
        self.wishes.needs()
    }

    fn key_units(&self) -> KeyUnits {
        self.wishes.key_units(self.clock.clone())
    }

    fn add_private(&self, new: NewRendition) -> Option<RenditionId> {
        self.lock().taps.add_private(new)
    }

    fn push_private(&self, id: RenditionId, unit: AccessUnit) {
        self.lock().taps.push_private(id, &unit);
    }

    fn drop_private(&self, id: RenditionId) {
        self.lock().taps.drop_private(id);
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
        known
    }

    /// Passes a unit of the source on, whether it is listed or not.
    pub(super) fn tap_source(&mut self, unit: &AccessUnit) {
        if self.taps.is_empty() {
            return;
        }
        if let Some(id) = self.source_id(unit.kind) {
            self.taps.unit(id, unit);
        }
    }

    /// The rendition of the source's own units of a kind.
    pub(super) fn source_id(&self, kind: MediaKind) -> Option<RenditionId> {
        match kind {
            MediaKind::Video => self.source_video,
            MediaKind::Audio => self.source_audio,
        }
    }
}
