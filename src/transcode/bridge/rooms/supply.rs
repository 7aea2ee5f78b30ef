//! What a worker for rooms is fed: of a stream's source units those that are needed, cut into groups of
//! pictures of its own. It ends when something else is needed.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Sleep;

use super::super::history::History;
use super::super::{Inlet, Outlet};
use super::QUEUE_UNITS;
use crate::hub::tap::{Needs, Tapped};
use crate::hub::{Event, NewRendition, Subscriber};
use crate::media::{
    AccessUnit, Boundary, CodecConfig, MediaKind, RenditionId, Ticks, Timescale, Track, rescale,
};
use crate::transcode::ladder::ROOM_SOUND;

/// From one key unit to the next, 90 kHz: whoever comes has a picture soon, also without asking for it.
const GROUP: Ticks = Ticks(180_000);
/// How long something goes on to be made that nobody needs any more: a forward that reconnects finds it.
const GRACE: Duration = Duration::from_secs(2);
/// Channels of Opus that a room takes as they are (RFC 7587 §4.1, mono and stereo).
const ROOM_CHANNELS: u8 = 2;

/// A stream's source units, as far as rooms need them.
pub(super) struct Supply {
    stream: Arc<dyn Tapped>,
    units: Subscriber,
    needs: watch::Receiver<Needs>,
    /// Pictures are supplied while nobody needs any, to be remembered.
    keeps: bool,
    outlet: Arc<dyn Outlet>,
    /// What is made now.
    made: Needs,
    /// Runs while less is needed than is made.
    lapse: Option<Pin<Box<Sleep>>>,
    /// The source's tracks, as of now.
    video: Option<Arc<Track>>,
    audio: Option<Arc<Track>>,
    /// The source's own Opus is passed on as this rendition.
    passed: Option<RenditionId>,
    /// A worker runs, with the tracks that there were then.
    is_started: bool,
    /// The source is another one, so that something else is to be made of it.
    is_other: bool,
    is_ended: bool,
    /// Pictures since the first key unit.
    pictures: u32,
    /// Channel time of the next group of pictures.
    next_group: Option<Ticks>,
    /// Units that earlier subscriptions left out.
    dropped_units: u64,
}

impl Supply {
    pub(super) fn new(
        stream: Arc<dyn Tapped>,
        needs: watch::Receiver<Needs>,
        keeps: bool,
        outlet: Arc<dyn Outlet>,
    ) -> Supply {
        Supply {
            units: stream.subscribe(QUEUE_UNITS),
            stream,
            needs,
            keeps,
            outlet,
            made: Needs::default(),
            lapse: None,
            video: None,
            audio: None,
            passed: None,
            is_started: false,
            is_other: false,
            is_ended: false,
            pictures: 0,
            next_group: None,
            dropped_units: 0,
        }
    }

    /// Whether the stream is over.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Pictures so far, from the first key unit on.
    pub(super) fn pictures(&self) -> u32 {
        self.pictures
    }

    /// A worker runs from now on.
    pub(super) fn set_started(&mut self) {
        self.is_started = true;
    }

    /// What came so far is forgotten: a worker begins with the next key unit.
    pub(super) fn start_over(&mut self) {
        self.pictures = 0;
        self.next_group = None;
    }

    /// Supplies what is needed now, and says what that is. What is in `history` stays where a worker can
    /// go on with it.
    pub(super) fn begin(&mut self, history: &mut History) -> Needs {
        let before = std::mem::replace(&mut self.made, *self.needs.borrow_and_update());
        self.lapse = None;
        (self.is_started, self.is_other) = (false, false);
        if before.picture && !self.made.picture {
            // Without pictures a worker starts at any sound.
            *history = History::default();
            self.start_over();
        }
        if !before.picture && self.made.picture {
            // Of what is remembered nothing is shown: a room sees what comes now.
            self.next_group = None;
        }
        self.pass_on();
        let encoded = self.encoded();
        let tracks = [
            (encoded.picture, &self.video, history.video().cloned()),
            (encoded.opus, &self.audio, history.audio().cloned()),
        ];
        for (wanted, track, known) in tracks {
            if let Some(track) = track
                && wanted
                && known.as_ref() != Some(&**track)
            {
                history.add(Event::Track(track.clone()));
            }
        }
        self.made
    }

    /// What of it has to be encoded.
    pub(super) fn encoded(&self) -> Needs {
        Needs {
            opus: self.made.opus && !self.passes(),
            ..self.made
        }
    }

    /// Whether the source's sound is what rooms take.
    fn passes(&self) -> bool {
        self.audio
            .as_ref()
            .is_some_and(|track| match &track.config {
                CodecConfig::Opus(config) => config.channels <= ROOM_CHANNELS,
                _ => false,
            })
    }

    /// Passes the source's sound on as it is from now on, if it is needed and can be.
    fn pass_on(&mut self) {
        let track = self.audio.as_ref();
        let track = track.filter(|_| self.made.opus && self.passes());
        self.passed = track.and_then(|track| {
            self.outlet.add_rendition(NewRendition {
                name: ROOM_SOUND.into(),
                track: (**track).clone(),
                peak_bps: 0,
                average_bps: 0,
                frame_rate_millis: 0,
            })
        });
    }

    /// Whether something else is to be made.
    fn is_outdated(&mut self) -> bool {
        let needed = *self.needs.borrow_and_update();
        let more = (needed.opus && !self.made.opus) || (needed.picture && !self.made.picture);
        if more || self.is_other {
            return true;
        }
        if needed == self.made {
            self.lapse = None;
            return false;
        }
        let lapse = self
            .lapse
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(GRACE)));
        lapse.is_elapsed()
    }

    /// What the worker gets of an event.
    fn handle(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Track(track) => self.handle_track(track),
            Event::Unit { unit, .. } if unit.kind == MediaKind::Video => self.handle_picture(unit),
            Event::Unit { unit, .. } => self.handle_sound(unit),
            Event::Hold { until, filler, .. } => {
                let begun = self.made.picture && self.pictures > 0;
                begun.then(|| Event::Hold {
                    until,
                    boundary: self.mark(until - Ticks(1)),
                    filler,
                })
            }
            Event::Break => Some(Event::Break),
            Event::Settled { .. } | Event::End => None,
        }
    }

    fn handle_track(&mut self, track: Arc<Track>) -> Option<Event> {
        if track.kind() == MediaKind::Video {
            let first = self.video.replace(track.clone()).is_none();
            self.is_other |= first && self.is_started && self.made.picture;
            let supplied = self.made.picture || self.keeps;
            return supplied.then_some(Event::Track(track));
        }
        let passed = self.passes();
        let first = self.audio.replace(track.clone()).is_none();
        if self.passes() {
            self.pass_on();
        }
        // What was planned for, when nothing was known, was an encoder.
        self.is_other |= self.made.opus && passed != self.passes() && (!first || self.passes());
        (self.made.opus && !self.passes()).then_some(Event::Track(track))
    }

    fn handle_picture(&mut self, unit: AccessUnit) -> Option<Event> {
        let supplied = self.made.picture || self.keeps;
        if !supplied || (self.pictures == 0 && !unit.key) {
            return None;
        }
        if self.pictures == 0 {
            self.next_group = None;
        }
        self.pictures = self.pictures.saturating_add(1);
        let made = self.made.picture;
        let boundary = made.then(|| self.mark(unit.pts)).flatten();
        Some(Event::Unit { unit, boundary })
    }

    fn handle_sound(&mut self, unit: AccessUnit) -> Option<Event> {
        if !self.made.opus {
            return None;
        }
        if let Some(id) = self.passed {
            self.outlet.push_rendition(id, unit);
            return None;
        }
        let track = self.audio.as_ref();
        let scale = track.map_or(Timescale::CHANNEL, |track| track.timescale);
        let leads = !self.made.picture || self.video.is_none();
        let time = rescale(unit.pts, scale, Timescale::CHANNEL);
        let boundary = leads.then(|| self.mark(time)).flatten();
        Some(Event::Unit { unit, boundary })
    }

    /// A boundary, when media of this time is due to open one: a worker can start there.
    fn mark(&mut self, time: Ticks) -> Option<Boundary> {
        let due = self.next_group.unwrap_or(time);
        if time < due {
            return None;
        }
        let counted = due + GROUP;
        self.next_group = Some(if counted > time {
            counted
        } else {
            time + GROUP
        });
        Some(Boundary {
            sequence: 0,
            time: due,
            discontinuity: false,
            discontinuity_sequence: 0,
            independent: true,
        })
    }

    /// Those who read too slowly are cut off from a stream that goes on.
    fn subscribe_again(&mut self) {
        tracing::warn!("rooms were too slow, they are fed anew");
        self.dropped_units += self.units.dropped_units();
        self.units = self.stream.subscribe(QUEUE_UNITS);
        self.start_over();
    }
}

impl Inlet for Supply {
    /// [`Event::End`] when something else is to be made, too.
    async fn recv(&mut self) -> Option<Event> {
        loop {
            if self.is_ended || self.is_outdated() {
                return Some(Event::End);
            }
            let lapse = async {
                match &mut self.lapse {
                    Some(lapse) => lapse.as_mut().await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                event = self.units.recv() => event,
                changed = self.needs.changed() => {
                    self.is_ended |= changed.is_err();
                    continue;
                }
                () = lapse => continue,
            };
            match event {
                Some(Event::End) => self.is_ended = true,
                None if self.stream.is_ended() => self.is_ended = true,
                None => self.subscribe_again(),
                Some(event) => {
                    if let Some(event) = self.handle(event) {
                        return Some(event);
                    }
                }
            }
        }
    }

    fn dropped_units(&self) -> u64 {
        self.dropped_units + self.units.dropped_units()
    }
}
