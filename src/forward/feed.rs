//! A stream as those get it who take H.264 without B-frames and Opus: some pictures and a sound, in places that
//! stay while renditions come and go behind them. In: a tap. Out: units for places, and when the places no
//! longer fit the stream.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::layers::{Chooser, Plan};
use super::status::LayerStatus;
use super::step::InStep;
use super::{Again, Ended};
use crate::base::clock::Clock;
use crate::hub::tap::{Event, Tap, Tapped};
use crate::media::{AccessUnit, MediaKind, RenditionId, Timescale, Track, rescale};

/// How long the rest of a stream is waited for when some of it is there.
const REST_WITHIN: Duration = Duration::from_secs(3);
/// How long a stream that outgrew the places does so before they are made anew.
const GROWN_FOR: Duration = Duration::from_secs(3);
/// How often it is looked where nothing comes.
const LOOK: Duration = Duration::from_millis(200);

/// Where a unit goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A picture: its layer, the lowest first.
    Picture(usize),
    /// The sound.
    Sound,
}

/// What comes next.
#[derive(Clone, Debug)]
pub enum Step {
    /// A unit, with its configuration. The first one of a picture is a key unit, and so is one of another
    /// rendition or after a loss.
    Unit(Place, Arc<Track>, AccessUnit),
    /// The stream has more than the places hold: they should be made anew.
    Grown,
    /// The stream is over.
    Over,
    /// The tap was cut off, because it was not read.
    CutOff,
}

impl Step {
    /// The unit, or how the attempt ends without one.
    pub fn unit(self, stream: &dyn Tapped) -> Result<(Place, Arc<Track>, AccessUnit), Ended> {
        Err(match self {
            Step::Unit(place, track, unit) => return Ok((place, track, unit)),
            Step::Grown => Ended::new("the stream has more than was published", Again::AtOnce),
            Step::Over => Ended::over(),
            Step::CutOff => Ended::unread(stream),
        })
    }
}

/// A picture that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels.
    pub size: (u32, u32),
    /// Bits per second at most.
    pub peak_bps: u32,
}

/// What the places were made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// The lowest first; empty without a picture.
    pub pictures: Vec<Picture>,
    /// Channels, if there is a sound.
    pub sound: Option<u8>,
}

/// One picture's place.
#[derive(Clone, Debug)]
struct Slot {
    rendition: Option<RenditionId>,
    /// Nothing is sent before a key unit.
    waits_for_key: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Feed<'a> {
    tap: &'a mut Tap,
    chooser: Chooser,
    clock: Clock,
    plan: Plan,
    /// What was told to the tap.
    chosen: Vec<RenditionId>,
    slots: Vec<Slot>,
    sound: Option<RenditionId>,
    has_sound: bool,
    is_open: bool,
    grown_since: Option<Duration>,
    /// Units on their way through.
    step: InStep<(RenditionId, Arc<Track>, AccessUnit)>,
}

impl<'a> Feed<'a> {
    /// Takes a stream's tap, for up to `most` layers.
    pub fn new(stream: &dyn Tapped, tap: &'a mut Tap, most: usize, clock: &Clock) -> Feed<'a> {
        Feed {
            tap,
            chooser: Chooser::new(stream.has_ladder(), most),
            clock: clock.clone(),
            plan: Plan::default(),
            chosen: Vec::new(),
            slots: Vec::new(),
            sound: None,
            has_sound: false,
            is_open: false,
            grown_since: None,
            step: InStep::new(),
        }
    }

    /// Waits until there is something to send, for the rest of it for a moment, and until nothing comes or
    /// goes for `quiet`. `None`: the stream is over, or the tap cut off.
    pub async fn ready(&mut self, quiet: Duration) -> Option<()> {
        let mut settled = pin!(sleep(quiet));
        let mut waited = pin!(sleep(REST_WITHIN));
        let mut has_some = false;
        loop {
            let before = self.plan.clone();
            self.look();
            if self.plan != before {
                settled.set(sleep(quiet));
            }
            let had_some = has_some;
            has_some = !self.plan.pictures.is_empty() || self.plan.sound.is_some();
            if has_some && !had_some {
                waited.set(sleep(REST_WITHIN));
            }
            let is_whole = has_some && !self.plan.waits;
            tokio::select! {
                event = self.tap.recv() => match event? {
                    Event::End => return None,
                    event => {
                        self.chooser.handle(&event);
                    }
                },
                () = &mut settled, if is_whole => return Some(()),
                () = &mut waited, if has_some => return Some(()),
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Makes places for what there is now. Units come when [`Feed::start`] says so.
    pub fn open(&mut self) -> Offered {
        self.look();
        let picture = |id: &RenditionId| {
            let (rendition, track) = self.chooser.rendition(*id)?;
            Some(Picture {
                size: track.resolution()?,
                peak_bps: rendition.peak_bps,
            })
        };
        let pictures: Vec<Picture> = self.plan.pictures.iter().filter_map(picture).collect();
        let channels = |id| self.chooser.rendition(id)?.1.channels();
        let sound = self.plan.sound.and_then(channels);
        self.slots = vec![
            Slot {
                rendition: None,
                waits_for_key: true,
            };
            pictures.len()
        ];
        self.has_sound = sound.is_some();
        Offered { pictures, sound }
    }

    /// From now on units are wanted.
    pub fn start(&mut self) {
        self.is_open = true;
        self.look();
        for slot in &self.slots {
            if let Some(id) = slot.rendition {
                self.tap.want_key_unit(id);
            }
        }
    }

    /// What is sent, for people.
    pub fn layers(&self) -> Vec<LayerStatus> {
        let pictures = self.slots.iter().filter_map(|slot| slot.rendition);
        let all = pictures.chain(self.sound);
        let told = all.filter_map(|id| {
            let (rendition, track) = self.chooser.rendition(id)?;
            let (width, height) = track.resolution().unwrap_or_default();
            Some(LayerStatus {
                rendition: rendition.name.to_string(),
                width,
                height,
            })
        });
        told.collect()
    }

    /// What an operator should know.
    pub fn note(&self) -> Option<String> {
        self.plan.note.map(str::to_owned)
    }

    /// A far side cannot decode a picture.
    pub fn want_key_unit(&self, layer: usize) {
        if let Some(id) = self.slots.get(layer).and_then(|slot| slot.rendition) {
            self.tap.want_key_unit(id);
        }
    }

    /// Units of a picture were lost on the way: nothing of it is sent before its next key unit.
    pub fn skip(&mut self, layer: usize) {
        if let Some(slot) = self.slots.get_mut(layer) {
            slot.waits_for_key = true;
        }
    }

    /// Units dropped since they were not taken in time.
    pub fn dropped_units(&self) -> u64 {
        self.tap.dropped_units()
    }

    /// What comes next. Cancel-safe.
    pub async fn next(&mut self) -> Step {
        loop {
            let now = self.clock.monotonic();
            while let Some((id, track, unit)) = self.step.poll(now) {
                if let Some(step) = self.unit(id, track, unit) {
                    return step;
                }
            }
            if self.grown_since.is_some() && self.is_outgrown() {
                return Step::Grown;
            }
            let due = self.step.poll_timeout();
            let event = tokio::select! {
                event = self.tap.recv() => event,
                () = sleep(due.unwrap_or(now).saturating_sub(now)), if due.is_some() => continue,
                () = sleep(LOOK) => {
                    self.look();
                    continue;
                }
            };
            let Some(event) = event else {
                return Step::CutOff;
            };
            if matches!(event, Event::End) {
                return Step::Over;
            }
            if self.chooser.handle(&event) || self.plan.waits {
                self.look();
            }
            if let Event::Unit(id, unit) = event {
                self.take(id, unit);
            }
        }
    }

    /// A unit has come, of what is sent or of something that is only looked at.
    fn take(&mut self, id: RenditionId, unit: AccessUnit) {
        let Some((_, track)) = self.chooser.rendition(id).filter(|_| self.is_open) else {
            return;
        };
        let is_sent = |slot: &Slot| slot.rendition == Some(id);
        if self.sound != Some(id) && !self.slots.iter().any(is_sent) {
            return;
        }
        let track = track.clone();
        let is_picture = track.kind() == MediaKind::Video;
        let media = rescale(unit.pts, track.timescale, Timescale::MICROS).0;
        let now = self.clock.monotonic();
        self.step.handle(now, is_picture, media, (id, track, unit));
    }

    fn unit(&mut self, id: RenditionId, track: Arc<Track>, unit: AccessUnit) -> Option<Step> {
        if self.sound == Some(id) {
            return Some(Step::Unit(Place::Sound, track, unit));
        }
        let at = self
            .slots
            .iter()
            .position(|slot| slot.rendition == Some(id))?;
        let slot = &mut self.slots[at];
        if slot.waits_for_key && !unit.key {
            return None;
        }
        slot.waits_for_key = false;
        Some(Step::Unit(Place::Picture(at), track, unit))
    }

    /// Follows the plan.
    fn look(&mut self) {
        let now = self.clock.monotonic();
        self.plan = self.chooser.plan(now);
        self.tap.need(self.plan.needs);
        if self.is_open {
            self.fill();
        }
        let slots = self.slots.iter().filter_map(|slot| slot.rendition);
        let mut chosen: Vec<RenditionId> = slots.chain(self.sound).chain(self.plan.prove).collect();
        chosen.sort();
        chosen.dedup();
        if chosen != self.chosen {
            self.tap.choose(&chosen);
            self.chosen = chosen;
        }
        let is_more = self.plan.pictures.len() > self.slots.len()
            || self.plan.sound.is_some() && !self.has_sound;
        match is_more && self.is_open {
            true => {
                self.grown_since.get_or_insert(now);
            }
            false => self.grown_since = None,
        }
    }

    fn is_outgrown(&self) -> bool {
        let now = self.clock.monotonic();
        let since = self.grown_since;
        since.is_some_and(|since| now.saturating_sub(since) >= GROWN_FOR)
    }

    /// Puts the plan's renditions into the places: the highest picture in the highest one. A rendition that
    /// has a place keeps it as long as the plan has as many pictures as there are places.
    fn fill(&mut self) {
        self.sound = self.plan.sound.filter(|_| self.has_sound);
        let pictures = &self.plan.pictures;
        let missing = self.slots.len().saturating_sub(pictures.len());
        let surplus = pictures.len().saturating_sub(self.slots.len());
        let wanted: Vec<Option<RenditionId>> = match missing {
            // With fewer pictures than places those that are left stay where they are, and a picture always
            // has the lowest place: it is what those get who have little.
            1.. => self.spread(pictures),
            0 => pictures[surplus..].iter().copied().map(Some).collect(),
        };
        for (slot, rendition) in self.slots.iter_mut().zip(wanted) {
            if slot.rendition != rendition {
                slot.rendition = rendition;
                slot.waits_for_key = true;
                if let Some(id) = rendition {
                    self.tap.want_key_unit(id);
                }
            }
        }
    }

    /// Fewer pictures than places.
    fn spread(&self, pictures: &[RenditionId]) -> Vec<Option<RenditionId>> {
        let held: Vec<Option<RenditionId>> = self
            .slots
            .iter()
            .map(|slot| slot.rendition.filter(|id| pictures.contains(id)))
            .collect();
        let are_placed = pictures.iter().all(|id| held.contains(&Some(*id)));
        if are_placed && held.first().is_some_and(Option::is_some) {
            return held;
        }
        let empty = std::iter::repeat(None);
        let from_lowest = pictures.iter().copied().map(Some);
        from_lowest.chain(empty).take(self.slots.len()).collect()
    }
}
