//! Who taps something, and the renditions that are made for them only.

use std::sync::Arc;

use super::{Event, Feed, Tap, Wishes};
use crate::hub::NewRendition;
use crate::media::{AccessUnit, Rendition, RenditionId};

/// The id of the first rendition that is made for taps only: above those that all can see.
const FIRST_PRIVATE: u8 = 128;
/// Names of such renditions. One that comes again has the id that it had.
const MAX_PRIVATE: usize = 8;

/// The taps of one source, and what is made for them.
#[derive(Debug, Default)]
pub(in crate::hub) struct Taps {
    feeds: Vec<Feed>,
    private: Vec<Private>,
    is_over: bool,
}

/// A rendition that stands in no manifest.
#[derive(Debug)]
struct Private {
    rendition: Arc<Rendition>,
    /// Whether somebody makes it now.
    is_made: bool,
}

impl Taps {
    /// A tap more, which is told what all can see, and what is made for taps; or that it is over.
    pub(in crate::hub) fn join(
        &mut self,
        queue_units: usize,
        mut known: Vec<Event>,
        wishes: &Arc<Wishes>,
    ) -> Tap {
        if self.is_over {
            return Feed::new(queue_units, vec![Event::End], wishes).1;
        }
        let private = self.private.iter().filter(|private| private.is_made);
        known.extend(private.map(|private| Event::Rendition(private.rendition.clone())));
        let (feed, tap) = Feed::new(queue_units, known, wishes);
        self.feeds.push(feed);
        tap
    }

    /// Whether nobody taps.
    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.feeds.is_empty()
    }

    /// Tells every tap something that is no unit.
    pub(in crate::hub) fn tell(&mut self, event: &Event) {
        self.feeds.retain_mut(|feed| feed.tell(event.clone()));
    }

    /// Passes a unit on to the taps that have chosen its rendition.
    pub(in crate::hub) fn unit(&mut self, id: RenditionId, unit: &AccessUnit) {
        self.feeds.retain_mut(|feed| feed.unit(id, unit));
    }

    /// Adds a rendition for taps only; `None`: it is over, or there are too many.
    pub(in crate::hub) fn add_private(&mut self, new: NewRendition) -> Option<RenditionId> {
        let mut known = self.private.iter();
        let known = known.position(|private| private.rendition.name == new.name);
        if self.is_over || known.is_none() && self.private.len() >= MAX_PRIVATE {
            return None;
        }
        let index = known.unwrap_or(self.private.len());
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
            Some(index) => self.private[index] = private,
            None => self.private.push(private),
        }
        self.tell(&Event::Rendition(rendition));
        Some(id)
    }

    /// Passes a unit of such a rendition on.
    pub(in crate::hub) fn push_private(&mut self, id: RenditionId, unit: &AccessUnit) {
        if self.made(id).is_some() {
            self.unit(id, unit);
        }
    }

    /// Nothing of such a rendition follows, until it is added again.
    pub(in crate::hub) fn drop_private(&mut self, id: RenditionId) {
        if let Some(private) = self.made(id) {
            private.is_made = false;
            self.tell(&Event::Removed(id));
        }
    }

    /// What is tapped is over.
    pub(in crate::hub) fn end(&mut self) {
        self.tell(&Event::End);
        *self = Taps {
            is_over: true,
            ..Taps::default()
        };
    }

    /// A private rendition that is made now.
    fn made(&mut self, id: RenditionId) -> Option<&mut Private> {
        let mut all = self.private.iter_mut();
        all.find(|private| private.rendition.id == id && private.is_made)
    }
}
