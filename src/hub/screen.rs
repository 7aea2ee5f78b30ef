//! A show as those see it who tap it: like a live stream, without publishers and playlists. In: renditions and
//! units, already in channel time, from whoever reads the show's timeline. Out: the same for taps.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::NewRendition;
use super::subscriber::{self, Event as SourceEvent, Subscriber};
use super::tap::{Event, KeyUnits, Needs, Tap, Tapped, Taps, Wishes};
use crate::base::clock::{Clock, Wall};
use crate::base::id::Uuid;
use crate::media::{AccessUnit, MediaKind, Rendition, RenditionId, Track};

/// Renditions of a show for taps. See the module.
pub struct Screen {
    id: Uuid,
    channel_id: String,
    epoch: Wall,
    clock: Clock,
    wishes: Arc<Wishes>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What exists, with the configuration that is in force.
    known: BTreeMap<RenditionId, (Arc<Rendition>, Arc<Track>)>,
    /// The sound that is encoded for those who take no AAC.
    sound: Option<RenditionId>,
    taps: Taps,
    feeds: Vec<subscriber::Feed>,
    ended: bool,
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Screen {
    /// An empty one: of a show's stream, on the channel of its broadcast. `epoch`: wall-clock point of channel
    /// time zero.
    pub fn new(id: Uuid, channel_id: &str, epoch: Wall, clock: &Clock) -> Screen {
        Screen {
            id,
            channel_id: channel_id.to_owned(),
            epoch,
            clock: clock.clone(),
            wishes: Arc::default(),
            state: Mutex::default(),
        }
    }

    /// A rendition exists. The first sound is the one that is encoded for rooms.
    pub fn show(&self, rendition: Arc<Rendition>) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        let track = rendition.track.clone();
        state
            .known
            .insert(rendition.id, (rendition.clone(), track.clone()));
        state.taps.tell(&Event::Rendition(rendition.clone()));
        if track.kind() == MediaKind::Audio && state.sound.is_none() {
            state.sound = Some(rendition.id);
            state.tell_source(&SourceEvent::Track(track));
        }
    }

    /// Another configuration of a rendition's units. The next one is a key unit.
    pub fn set_track(&self, id: RenditionId, track: &Arc<Track>) {
        let mut state = self.lock();
        let Some((_, known)) = state.known.get_mut(&id) else {
            return;
        };
        if *known == *track {
            return;
        }
        *known = track.clone();
        state.taps.tell(&Event::Track(id, track.clone()));
        if state.sound == Some(id) {
            state.tell_source(&SourceEvent::Track(track.clone()));
        }
    }

    /// A unit in channel time: video in 90 kHz, audio in its sample rate.
    pub fn push(&self, id: RenditionId, unit: AccessUnit) {
        let mut state = self.lock();
        if !state.known.contains_key(&id) {
            return;
        }
        state.taps.unit(id, &unit);
        if state.sound == Some(id) {
            state.tell_source(&SourceEvent::Unit {
                unit,
                boundary: None,
            });
        }
    }

    /// What follows does not connect to what came.
    pub fn cut(&self) {
        let mut state = self.lock();
        state.taps.tell(&Event::Break);
        state.tell_source(&SourceEvent::Break);
    }

    /// The show is over, or is seen through another screen.
    pub fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.taps.end();
        state.tell_source(&SourceEvent::End);
        state.feeds.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell_source(&mut self, event: &SourceEvent) {
        self.feeds
            .retain_mut(|feed| feed.send(event.clone(), MediaKind::Audio));
    }
}

impl Tapped for Screen {
    fn id(&self) -> Uuid {
        self.id
    }

    fn channel_id(&self) -> &str {
        &self.channel_id
    }

    fn epoch(&self) -> Wall {
        self.epoch
    }

    fn has_ladder(&self) -> bool {
        true
    }

    fn is_ended(&self) -> bool {
        self.lock().ended
    }

    fn tap(&self, queue_units: usize) -> Tap {
        let mut state = self.lock();
        let mut known = Vec::new();
        for (id, (rendition, track)) in &state.known {
            known.push(Event::Rendition(rendition.clone()));
            if *track != rendition.track {
                known.push(Event::Track(*id, track.clone()));
            }
        }
        state.taps.join(queue_units, known, &self.wishes)
    }

    fn subscribe(&self, queue_units: usize) -> Subscriber {
        let (mut feed, subscriber) = subscriber::Feed::new(queue_units);
        let mut state = self.lock();
        let sound = state.sound.and_then(|id| state.known.get(&id));
        if let Some((_, track)) = sound {
            feed.send(SourceEvent::Track(track.clone()), MediaKind::Audio);
        }
        match state.ended {
            true => drop(feed.send(SourceEvent::End, MediaKind::Audio)),
            false => state.feeds.push(feed),
        }
        subscriber
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

#[cfg(test)]
mod tests;
