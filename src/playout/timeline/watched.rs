//! What is kept of a show while somebody plays it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Wall;
use crate::media::time::{channel_time, wall_time};
use crate::media::timeline::{Description, Found, Progress, Resource, Rules, Snapshot, Timeline};
use crate::media::{Rendition, Ticks, Timescale};
use crate::playout::asset::Reader;
use crate::playout::leg::{GRACE, Leg};
use crate::playout::listing::{self, State, View};
use crate::playout::piece::{Initialisation, Piece};
use crate::playout::runs::{Place, Runs};
use crate::playout::shelf::Loaded;
use crate::playout::stage::Inner;
use crate::playout::{Kind, Show, part_number};

/// Samples of an AAC frame, and of a second.
const AAC: (u64, u64) = (1024, 48_000);

/// Encoders of one show whose segments are held. Each took over for a segment at least, and windows are short.
const MAX_LEGS: usize = 8;

/// What is kept of a show that is played.
pub(super) struct Watched {
    pub(super) show: Arc<Show>,
    pub(super) loaded: Arc<Loaded>,
    pub(super) runs: Runs,
    pub(super) rules: Rules,
    /// The latest time at which anything was listed: where the clock is set back, nothing is taken back.
    pub(super) latest: Wall,
    pub(super) rungs: HashMap<Arc<str>, Rung>,
    pub(super) description: Option<Arc<Description>>,
    /// Encoders' own timelines, newest first: what they had on is in the window longer than they are.
    legs: Vec<Arc<dyn Timeline>>,
}

/// A rendition as it was listed last.
pub(super) struct Rung {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) progress: Progress,
    /// When there is more by the clock.
    pub(super) next: Option<Wall>,
    /// Version of the encoder's rendition, where one is on.
    pub(super) leg: Option<u64>,
}

impl Watched {
    pub(super) fn new(
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
        let facts = |reader: &Option<Reader>| reader.as_ref().map(|reader| reader.facts().clone());
        let runs = Runs::new(
            &show,
            facts(&loaded.film).as_ref(),
            facts(&loaded.slate).as_ref(),
            rules.segment_target,
        );
        // What was listed stays listed, unless all of it is another thing.
        let before = before
            .filter(|before| before.show.asset == show.asset && before.show.epoch == show.epoch);
        let (latest, mut rungs, description, legs) = match before {
            Some(before) => (before.latest, before.rungs, before.description, before.legs),
            None => (Wall(i64::MIN), HashMap::new(), None, Vec::new()),
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
            legs,
        })
    }

    /// All encoders of which something can be asked for, with the one that there is now.
    pub(super) fn legs(
        &mut self,
        leg: Option<Arc<dyn Timeline>>,
        now: Wall,
    ) -> Vec<Arc<dyn Timeline>> {
        let mut legs = std::mem::take(&mut self.legs);
        if let Some(leg) = &leg {
            legs.retain(|known| !Arc::ptr_eq(known, leg));
            legs.insert(0, leg.clone());
        }
        let newest = usize::from(leg.is_some());
        if legs.len() > newest {
            let earlier = legs.split_off(newest);
            let wanted = |one: &Arc<dyn Timeline>| self.is_in_reach(&**one, now);
            legs.extend(earlier.into_iter().filter(wanted));
            legs.truncate(MAX_LEGS);
        }
        self.legs.clone_from(&legs);
        legs
    }

    /// Whether something of an encoder's is listed, or can be fetched still.
    fn is_in_reach(&self, leg: &dyn Timeline, now: Wall) -> bool {
        let reader = self.loaded.film.as_ref().or(self.loaded.slate.as_ref());
        let names = reader.map_or(&[][..], |reader| &reader.facts().renditions);
        let time = channel_time(now, self.show.epoch);
        names.iter().any(|rendition| {
            let snapshot = leg.snapshot(&rendition.name);
            let newest = snapshot.and_then(|snapshot| Some(snapshot.segments.last()?.sequence));
            let place = newest.and_then(|newest| self.runs.place(newest));
            place.is_some_and(|place| !is_past(&self.rules, &place, time))
        })
    }

    pub(super) fn view<'a>(&'a self, now: Wall, leg: Option<Leg<'a>>) -> View<'a> {
        View {
            runs: &self.runs,
            loaded: &self.loaded,
            rules: &self.rules,
            leg,
            time: channel_time(now, self.show.epoch),
        }
    }

    pub(super) fn describe(&mut self, now: Wall, leg: Option<Leg<'_>>) -> Option<Arc<Description>> {
        let time = channel_time(now, self.show.epoch);
        let on = self.runs.at(time).and_then(|at| self.runs.get(at));
        let over = on.is_some_and(|run| run.kind == Kind::End);
        let ended = over && {
            let view = self.view(now, leg);
            let declared = self.loaded.film.as_ref().or(self.loaded.slate.as_ref())?;
            let renditions = &declared.facts().renditions;
            let mut newest = renditions
                .iter()
                .map(|rendition| view.newest(&rendition.name));
            newest.all(|newest| newest.is_none_or(|newest| newest.ended))
        };
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
    pub(super) fn rung(&mut self, name: &str, now: Wall, leg: Option<Leg<'_>>) -> Option<&Rung> {
        let time = channel_time(now, self.show.epoch);
        let live = leg.filter(|_| self.is_live(time));
        let version = live.and_then(|leg| leg.version(name));
        let fresh = |rung: &Rung| {
            rung.next.is_none_or(|next| now < next)
                && rung.leg == version
                && live.is_none() == rung.leg.is_none()
        };
        if !self.rungs.get(name).is_some_and(fresh) {
            // What it had on is in the window for long.
            let view = self.view(now, leg);
            let newest = view.newest(name)?;
            let next = newest.next.map(|next| {
                // Rounded up, so that it is not too early.
                let wall = wall_time(next, Timescale::CHANNEL, self.show.epoch);
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
    pub(super) fn is_live(&self, time: Ticks) -> bool {
        let is = |at: Option<usize>| {
            at.and_then(|at| self.runs.get(at))
                .is_some_and(|run| run.kind == Kind::Live)
        };
        is(self.runs.at(time)) || is(self.runs.at(time - Ticks(2 * GRACE.0)))
    }

    pub(super) fn find(
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

    pub(super) fn init(&self, name: &str, wanted: &str, leg: Option<Leg<'_>>) -> Found {
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
fn is_past(rules: &Rules, place: &Place, now: Ticks) -> bool {
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
    let same = |a: &[Arc<Rendition>], b: &[Arc<Rendition>]| {
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
