//! Keeps a worker running and fed: restarts, the watch over it, and what is taken from it when it is
//! too slow.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::child::{Ending, Worker};
use super::health::{Restarts, Shedder, Watchdog};
use super::history::History;
use super::{Bridge, Inlet};
use crate::hub::Event;
use crate::hub::story::Happening;
use crate::media::{MediaKind, RenditionId, Timescale, rescale};
use crate::transcode::Error;
use crate::transcode::ladder::AudioRung;
use crate::transcode::protocol::{Message, Setup};

/// How often a worker is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Time between two reports of the same trouble.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How long a worker may take to give out what it holds when the stream ends.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why feeding a worker came to an end.
enum Stop {
    /// The stream is over or the server stops.
    Stream,
    /// The stream gives nothing any more, and is not over.
    CutOff,
    /// The worker is gone.
    Worker(Ending),
    /// Another worker is to make more.
    More,
}

/// What watches over a worker.
pub(super) struct Watch {
    dog: Watchdog,
    shedder: Shedder,
    lost: Report,
}

impl<I: Inlet> Bridge<I> {
    pub(super) fn start(&self) -> Result<Worker, Error> {
        Worker::start(&self.config, &self.outlet, &self.status, &self.tasks)
    }

    /// Keeps a worker running. An error means that there is no use in another one.
    pub(super) async fn supervise(
        &mut self,
        history: &mut History,
        setup: &mut Setup,
        mut ready: Option<Worker>,
    ) -> Result<(), Error> {
        let mut restarts = Restarts::default();
        loop {
            let (before, began) = (self.status.units(), self.config.clock.monotonic());
            let ending = match ready.take().map_or_else(|| self.start(), Ok) {
                Ok(worker) => match self.feed(worker, history, setup).await {
                    Stop::Stream => return Ok(()),
                    Stop::CutOff => return self.cut_off(),
                    Stop::Worker(ending) => ending,
                    Stop::More => continue,
                },
                Err(error) => Ending::Died(error),
            };
            self.status.restarted();
            let lived = self.config.clock.monotonic().saturating_sub(began);
            restarts.note(lived, self.status.units() > before);
            match ending {
                Ending::Fatal(error) => return Err(error),
                Ending::Died(error) if restarts.are_useless(self.status.units() > 0) => {
                    return Err(error);
                }
                Ending::Died(error) => {
                    tracing::error!(err = %error, ?lived, "worker died");
                    let why = error.to_string();
                    self.outlet.note(&Happening::WorkerRestarted { why });
                }
            }
            if restarts.suspect_media() {
                history.release_all();
            }
            let mut random = [0_u8; 1];
            // Without random numbers all workers come back at once: a pity, not an error.
            let _ = getrandom::fill(&mut random);
            match self.pause(history, setup, restarts.pause(random[0])).await {
                None => {}
                Some(Stop::CutOff) => return self.cut_off(),
                Some(_) => return Ok(()),
            }
        }
    }

    /// What it means that nothing comes any more: an error, unless the server stops.
    fn cut_off(&self) -> Result<(), Error> {
        if self.tasks.is_stopped() {
            return Ok(());
        }
        Err(Error::CutOff)
    }

    /// Waits before a restart, remembering what comes. Gives why there will be none.
    async fn pause(
        &mut self,
        history: &mut History,
        setup: &mut Setup,
        pause: Duration,
    ) -> Option<Stop> {
        if pause.is_zero() {
            return None;
        }
        let wait = tokio::time::sleep(pause);
        tokio::pin!(wait);
        loop {
            tokio::select! {
                event = self.inlet.recv() => match event {
                    None => return Some(Stop::CutOff),
                    Some(Event::End) => return Some(Stop::Stream),
                    Some(event) => {
                        self.leave_passthrough(&event, setup);
                        self.remember(event, history);
                    }
                },
                () = &mut wait => return None,
                () = self.tasks.stopped() => return Some(Stop::Stream),
            }
        }
    }

    /// Feeds one worker: what is remembered first, then what comes.
    async fn feed(&mut self, mut worker: Worker, history: &mut History, setup: &mut Setup) -> Stop {
        // It may have come while there was no worker.
        self.join_sound(history, setup);
        self.status.prepare(setup);
        worker.begin(setup.clone());
        let queue = worker.queue();
        let mut orders = VecDeque::from([Message::Setup(Box::new(setup.clone()))]);
        orders.extend(history.rewind(setup.video.is_empty()));
        let mut watch = self.watch(history);
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let pending = !orders.is_empty() || history.has_next();
            tokio::select! {
                event = self.inlet.recv() => match event {
                    None => {
                        worker.stop().await;
                        return Stop::CutOff;
                    }
                    Some(Event::End) => {
                        while let Some(message) = history.next() {
                            orders.push_back(message);
                        }
                        orders.push_back(Message::End);
                        // Out of time or not: the stream is over.
                        let _ = tokio::time::timeout(LAST_WORDS, finish(worker, orders)).await;
                        return Stop::Stream;
                    }
                    Some(event) => {
                        if self.leave_passthrough(&event, setup) {
                            worker.stop().await;
                            return Stop::More;
                        }
                        let track = matches!(event, Event::Track(_));
                        self.remember(event, history);
                        if track && let Some(rungs) = self.join_sound(history, setup) {
                            worker.join(&rungs);
                            orders.push_back(Message::Sound(rungs));
                        }
                    }
                },
                room = queue.reserve(), if pending => match room {
                    Ok(room) => {
                        if let Some(message) = orders.pop_front().or_else(|| history.next()) {
                            room.send(message);
                        }
                    }
                    // What it said last is worth more than the broken pipe.
                    Err(_) => return last_words(worker).await,
                },
                Some(id) = self.key_units.recv() => orders.extend(self.key_unit(id, setup)),
                ending = worker.ended() => return Stop::Worker(ending),
                _ = look.tick() => match self.look(&mut watch, history, setup) {
                    Ok(order) => orders.extend(order),
                    Err(error) => {
                        worker.stop().await;
                        return Stop::Worker(Ending::Died(error));
                    }
                },
                () = self.tasks.stopped() => return Stop::Stream,
            }
        }
    }

    /// A watch over a worker that starts now.
    pub(super) fn watch(&self, history: &History) -> Watch {
        let now = self.config.clock.monotonic();
        Watch {
            dog: Watchdog::new(self.status.progress().1, now),
            shedder: Shedder::new(now),
            lost: Report::new(self.lost_units(history)),
        }
    }

    /// Looks after a running worker: an error when it is hung, an order when it is to do less.
    pub(super) fn look(
        &self,
        watch: &mut Watch,
        history: &mut History,
        setup: &Setup,
    ) -> Result<Option<Message>, Error> {
        let now = self.config.clock.monotonic();
        if let Some(published) = self.status.published() {
            history.release(published);
            self.status.set_held_bytes(history.bytes());
        }
        if watch.shedder.skips(history.backlog(), now) {
            history.skip();
        }
        let lost_units = self.lost_units(history);
        let grown = watch.lost.due(lost_units, now);
        if let Some(dropped_units) = grown {
            tracing::warn!(dropped_units, "worker too slow");
        }
        let (sent, given) = self.status.progress();
        if watch.dog.is_hung(sent, given, now) {
            return Err(Error::Hung);
        }
        let behind = self.status.behind();
        if !watch.shedder.is_due(behind, grown.is_some(), now) {
            return Ok(None);
        }
        let Some(name) = self.config.book.least_valuable(&self.status.video_rungs()) else {
            return Ok(None);
        };
        let behind_ms = behind.0 / 90;
        tracing::warn!(rung = %name, behind_ms, "worker too slow, rung given up");
        self.status.shed(&name);
        self.outlet.drop_rendition(&name);
        let index = setup.video.iter().position(|rung| rung.name == name);
        let index = index.and_then(|index| u8::try_from(index).ok());
        self.outlet.note(&Happening::RungShed { rung: name });
        Ok(index.map(|index| Message::Shed { index }))
    }

    /// What a worker is told when somebody wants a key unit of a rendition, if it makes that.
    fn key_unit(&self, id: RenditionId, setup: &Setup) -> Option<Message> {
        let name = self.status.name_of(id)?;
        let index = setup.video.iter().position(|rung| rung.name == name)?;
        let index = u8::try_from(index).ok()?;
        Some(Message::KeyUnit { index })
    }

    /// Units that no worker got, here and in front of here.
    fn lost_units(&self, history: &History) -> u64 {
        self.inlet.dropped_units() + history.lost_units()
    }

    /// Adds an event to the history, and notes how far it goes.
    pub(super) fn remember(&self, event: Event, history: &mut History) {
        let until = match &event {
            Event::Unit { unit, .. } if unit.kind == MediaKind::Video => Some((unit.pts, true)),
            Event::Unit { unit, .. } if history.video().is_none() => {
                let track = history.audio();
                let scale = track.map_or(Timescale::CHANNEL, |track| track.timescale);
                let pts = rescale(unit.pts, scale, Timescale::CHANNEL);
                Some((pts, false))
            }
            Event::Hold { until, .. } => Some((*until, false)),
            _ => None,
        };
        if let Some((until, picture)) = until {
            let now = self.config.clock.monotonic();
            self.status.note_media(until, picture, now);
        }
        history.add(event);
        self.status.set_held_bytes(history.bytes());
    }

    /// Adds encodings for sound that came, or stopped passing through, after the decision. Gives
    /// them when there are any.
    fn join_sound(&self, history: &History, setup: &mut Setup) -> Option<Vec<AudioRung>> {
        if !setup.audio.is_empty() || history.audio().is_none() {
            return None;
        }
        let rungs = self.decide_audio(history);
        if rungs.is_empty() {
            return None;
        }
        tracing::info!(
            rungs = ?rungs.iter().map(|rung| &rung.name).collect::<Vec<_>>(),
            "late sound joins the ladder"
        );
        setup.audio.clone_from(&rungs);
        for rung in &rungs {
            self.status.join(&rung.name, MediaKind::Audio);
        }
        Some(rungs)
    }
}

/// Tells a worker the rest, and waits until it has given everything out.
async fn finish(mut worker: Worker, rest: VecDeque<Message>) {
    let queue = worker.queue();
    for message in rest {
        if queue.send(message).await.is_err() {
            break;
        }
    }
    worker.ended().await;
}

/// What a worker says that takes nothing any more.
async fn last_words(mut worker: Worker) -> Stop {
    match tokio::time::timeout(LAST_WORDS, worker.ended()).await {
        Ok(ending) => Stop::Worker(ending),
        Err(_) => {
            worker.stop().await;
            Stop::Worker(Ending::Died(Error::Hung))
        }
    }
}

/// A count whose growth is told once a second.
struct Report {
    told: u64,
    at: Option<Duration>,
}

impl Report {
    fn new(told: u64) -> Report {
        Report { told, at: None }
    }

    fn due(&mut self, count: u64, now: Duration) -> Option<u64> {
        let early = self.at.is_some_and(|at| now < at + REPORT_EVERY);
        if count == self.told || early {
            return None;
        }
        let grown = count - self.told;
        (self.told, self.at) = (count, Some(now));
        Some(grown)
    }
}
