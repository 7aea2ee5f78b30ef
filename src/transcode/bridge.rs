//! The server's end of the ladder: one task per stream that waits until the source is known, decides
//! the rungs, feeds a worker and gives its rungs to the hub.
//!
//! A worker that dies is started again, with growing pauses, and fed from the last boundary that has
//! a key unit; a rung goes on at its next IDR. A worker that never gave anything, or misses an
//! element, is given up: the stream goes on without a ladder.

mod child;
mod history;
mod status;

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

pub use self::status::{RungStatus, Status};

use self::child::{Ending, Worker};
use self::history::History;
use super::Error;
use super::ladder::{AudioFacts, AudioRung, Book, Choice, Plan, Request, VideoFacts};
use super::protocol::{Message, Setup, Slate};
use crate::base::clock::Clock;
use crate::base::shutdown::Tasks;
use crate::hub::{Event, NewRendition, Stream, Subscriber};
use crate::media::{AccessUnit, CodecConfig, RenditionId, Track};

/// Units between the hub and the worker's socket: two seconds of video and audio at 60 fps. When it
/// is full the hub drops up to the next key unit.
const QUEUE_UNITS: usize = 256;
/// Media time between thumbnails, milliseconds.
const THUMBNAIL_MS: u32 = 4000;
/// Pause before the first restart; it doubles with each one that follows at once.
const BACKOFF: Duration = Duration::from_millis(500);
/// Longest pause before a restart.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// Workers in a row that may die without having given a unit.
const MAX_FRUITLESS: u32 = 4;
/// Time between two reports of the same trouble.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How long a worker may take to give out what it holds when the stream ends.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How ladders are made on this machine.
#[derive(Clone, Debug)]
pub struct Config {
    /// The setting `FOREBAY_LADDER`.
    pub choice: Choice,
    /// Rungs and encoders.
    pub book: Arc<Book>,
    /// Processor cores that streams may count on.
    pub cores: usize,
    /// The program that is the worker.
    pub executable: PathBuf,
    /// What makes it one.
    pub arguments: Vec<String>,
    /// Slates of channels that have an image of their own, by channel id.
    pub slates: HashMap<String, PathBuf>,
    /// For lags and pauses between log lines.
    pub clock: Clock,
}

impl Config {
    /// The built-in book, all cores, and this very program as the worker. An error when the choice
    /// names a ladder that is not in the book.
    pub fn new(choice: Choice, clock: Clock) -> Result<Config, Error> {
        let book = Book::built_in();
        book.check(&choice)?;
        let executable = std::env::current_exe().map_err(|source| Error::Io {
            doing: "look for own executable",
            source,
        })?;
        Ok(Config {
            choice,
            book: Arc::new(book),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            executable,
            arguments: vec!["worker".to_owned()],
            slates: HashMap::new(),
            clock,
        })
    }
}

/// Where rungs go: the hub's stream.
pub trait Outlet: Send + Sync + 'static {
    /// See [`Stream::plan`].
    fn plan(&self, names: Vec<Arc<str>>, keeps_source: bool);
    /// See [`Stream::add_rendition`].
    fn add_rendition(&self, rendition: NewRendition) -> Option<RenditionId>;
    /// See [`Stream::push_rendition`].
    fn push_rendition(&self, id: RenditionId, unit: AccessUnit);
    /// See [`Stream::drop_rendition`].
    fn drop_rendition(&self, name: &str);
    /// See [`Stream::set_thumbnail`].
    fn set_thumbnail(&self, jpeg: Bytes);
}

impl Outlet for Stream {
    fn plan(&self, names: Vec<Arc<str>>, keeps_source: bool) {
        Stream::plan(self, names, keeps_source);
    }
    fn add_rendition(&self, rendition: NewRendition) -> Option<RenditionId> {
        Stream::add_rendition(self, rendition)
    }
    fn push_rendition(&self, id: RenditionId, unit: AccessUnit) {
        Stream::push_rendition(self, id, unit);
    }
    fn drop_rendition(&self, name: &str) {
        Stream::drop_rendition(self, name);
    }
    fn set_thumbnail(&self, jpeg: Bytes) {
        Stream::set_thumbnail(self, jpeg);
    }
}

/// Where source units come from: a subscription.
pub trait Inlet: Send + 'static {
    /// See [`Subscriber::recv`].
    fn recv(&mut self) -> impl Future<Output = Option<Event>> + Send;
    /// See [`Subscriber::dropped_units`].
    fn dropped_units(&self) -> u64;
}

impl Inlet for Subscriber {
    fn recv(&mut self) -> impl Future<Output = Option<Event>> + Send {
        Subscriber::recv(self)
    }
    fn dropped_units(&self) -> u64 {
        Subscriber::dropped_units(self)
    }
}

/// Gives a stream its ladder, in a task of `tasks`, until the stream ends.
pub fn attach(stream: &Arc<Stream>, config: Arc<Config>, tasks: &Tasks) -> Arc<Status> {
    let inlet = stream.subscribe(QUEUE_UNITS);
    let admission = stream.admission();
    let slate = Slate {
        name: admission.name.clone(),
        image: config.slates.get(&admission.channel_id).cloned(),
    };
    let outlet: Arc<dyn Outlet> = stream.clone();
    let status = Arc::new(Status::default());
    let bridge = Bridge {
        inlet,
        outlet,
        capabilities: admission.capabilities.clone(),
        slate,
        config,
        tasks: tasks.clone(),
        status: status.clone(),
    };
    tasks.spawn(bridge.run());
    status
}

/// One stream's bridge.
pub(super) struct Bridge<I> {
    pub(super) inlet: I,
    pub(super) outlet: Arc<dyn Outlet>,
    pub(super) capabilities: Vec<String>,
    pub(super) slate: Slate,
    pub(super) config: Arc<Config>,
    pub(super) tasks: Tasks,
    pub(super) status: Arc<Status>,
}

/// Why feeding a worker came to an end.
enum Stop {
    /// The stream is over or the server stops.
    Stream,
    /// The worker is gone.
    Worker(Ending),
}

impl<I: Inlet> Bridge<I> {
    /// Runs until the stream ends, the server stops or the ladder is given up.
    pub(super) async fn run(mut self) {
        if self.config.choice == Choice::Off {
            self.outlet.plan(Vec::new(), true);
            return;
        }
        // Started now, so that it has loaded its libraries when the source is known.
        let likely = self.capabilities.iter().any(|word| word == "multi-bitrate");
        let mut early = likely.then(|| self.start().ok()).flatten();
        let mut history = History::default();
        let Some(passthrough) = self.settle(&mut history).await else {
            self.outlet.plan(Vec::new(), true);
            return;
        };
        let mut plan = self.decide(&history, passthrough);
        let video = plan.video.iter().map(|rung| rung.name.as_str());
        let names: Vec<Arc<str>> = video
            .chain(plan.audio.iter().map(|rung| rung.name.as_str()))
            .map(Arc::from)
            .collect();
        // Beside a cut picture the whole one is another programme.
        self.outlet.plan(names, plan.crop.is_none());
        if plan.is_empty() {
            drop(early.take());
            match self.await_sound(&mut history).await {
                Some(audio) => plan.audio = audio,
                None => return,
            }
        }
        let names = |setup: &Setup| {
            let video = setup.video.iter().map(|rung| rung.name.clone());
            let audio = setup.audio.iter().map(|rung| rung.name.clone());
            video.chain(audio).collect::<Vec<_>>()
        };
        let mut setup = self.setup(&history, plan);
        tracing::info!(rungs = ?names(&setup), passthrough, "ladder");
        self.status.open(&setup);
        if let Err(error) = self.supervise(&mut history, &mut setup, early).await {
            tracing::error!(err = %error, "no ladder any more");
            for name in names(&setup) {
                self.outlet.drop_rendition(&name);
            }
            // What is left is the source, whatever its key interval and its shape.
            self.outlet.plan(Vec::new(), true);
        }
    }

    /// With nothing to make: waits for sound that players cannot be given as it is. `None` when what
    /// comes passes through, or the stream is over.
    async fn await_sound(&mut self, history: &mut History) -> Option<Vec<AudioRung>> {
        while history.audio().is_none() {
            let event = tokio::select! {
                event = self.inlet.recv() => event?,
                () = self.tasks.stopped() => return None,
            };
            if matches!(event, Event::End) {
                return None;
            }
            history.add(event, true);
        }
        let audio = self.decide_audio(history);
        (!audio.is_empty()).then_some(audio)
    }

    /// The encodings of the source's sound, as it is now.
    fn decide_audio(&self, history: &History) -> Vec<AudioRung> {
        // Whether the picture passes through is nothing to the sound.
        self.decide(history, true).audio
    }

    /// Waits until it is decided whether the source is listed.
    async fn settle(&mut self, history: &mut History) -> Option<bool> {
        loop {
            let event = tokio::select! {
                event = self.inlet.recv() => event?,
                () = self.tasks.stopped() => return None,
            };
            match event {
                Event::Settled { passthrough } => return Some(passthrough),
                Event::End => return None,
                event => {
                    history.add(event, false);
                }
            }
        }
    }

    fn decide(&self, history: &History, passthrough: bool) -> Plan {
        let video = history.video().and_then(|track| {
            let (width, height) = square(track)?;
            Some(VideoFacts {
                width,
                height,
                frame_rate_millis: history.frame_rate_millis(),
            })
        });
        let audio = history.audio().and_then(|track| {
            Some(AudioFacts {
                aac: matches!(track.config, CodecConfig::Aac(_)),
                sample_rate: track.sample_rate()?,
                channels: track.channels()?,
            })
        });
        self.config.book.decide(&Request {
            choice: &self.config.choice,
            capabilities: &self.capabilities,
            video,
            audio,
            passthrough,
            cores: self.config.cores,
        })
    }

    fn setup(&self, history: &History, plan: Plan) -> Setup {
        Setup {
            video: plan.video,
            audio: plan.audio,
            crop: plan.crop,
            frame_rate_millis: history.frame_rate_millis(),
            encoders: self.config.book.encoders.clone(),
            vbv_ms: self.config.book.vbv_ms,
            thumbnail_ms: THUMBNAIL_MS,
            resume: Vec::new(),
            colour: None,
            slate: self.slate.clone(),
        }
    }

    fn start(&self) -> Result<Worker, Error> {
        Worker::start(&self.config, &self.outlet, &self.status, &self.tasks)
    }

    /// Keeps a worker running. An error means that there is no use in another one.
    async fn supervise(
        &mut self,
        history: &mut History,
        setup: &mut Setup,
        mut ready: Option<Worker>,
    ) -> Result<(), Error> {
        let mut fruitless = 0;
        loop {
            let worker = match ready.take() {
                Some(worker) => worker,
                None => self.start()?,
            };
            let before = self.status.units();
            let ending = match self.feed(worker, history, setup).await {
                Stop::Stream => return Ok(()),
                Stop::Worker(ending) => ending,
            };
            self.status.restarted();
            fruitless = if self.status.units() > before {
                0
            } else {
                fruitless + 1
            };
            match ending {
                Ending::Fatal(error) => return Err(error),
                Ending::Died(error) if fruitless >= MAX_FRUITLESS => return Err(error),
                Ending::Died(error) => {
                    tracing::error!(err = %error, fruitless, "worker died");
                }
            }
            if !self.pause(history, fruitless).await {
                return Ok(());
            }
        }
    }

    /// Waits before a restart, remembering what comes. False when the stream is over.
    async fn pause(&mut self, history: &mut History, fruitless: u32) -> bool {
        let longest = MAX_BACKOFF.min(BACKOFF * 2_u32.saturating_pow(fruitless));
        let mut random = [0_u8; 1];
        // Without random numbers all workers come back at once: a pity, not an error.
        let _ = getrandom::fill(&mut random);
        let pause = longest.mul_f64(0.5 + f64::from(random[0]) / 512.0);
        let wait = tokio::time::sleep(pause);
        tokio::pin!(wait);
        loop {
            tokio::select! {
                event = self.inlet.recv() => match event {
                    None | Some(Event::End) => return false,
                    Some(event) => {
                        history.add(event, true);
                    }
                },
                () = &mut wait => return true,
                () = self.tasks.stopped() => return false,
            }
        }
    }

    /// Feeds one worker: what is remembered first, then what comes.
    async fn feed(&mut self, mut worker: Worker, history: &mut History, setup: &mut Setup) -> Stop {
        // It may have come while there was no worker.
        self.join_sound(history, setup);
        let start = [Message::Setup(Box::new(setup.clone()))];
        for message in start.into_iter().chain(history.replay()) {
            if let Err(ending) = self.send(&mut worker, message).await {
                return Stop::Worker(ending);
            }
        }
        let mut lost = Report::new(self.inlet.dropped_units());
        loop {
            let event = tokio::select! {
                event = self.inlet.recv() => event,
                ending = worker.ended() => return Stop::Worker(ending),
                () = self.tasks.stopped() => return Stop::Stream,
            };
            let message = match event {
                None | Some(Event::End) => {
                    if self.send(&mut worker, Message::End).await.is_ok() {
                        // Out of time or not: the stream is over.
                        let _ = tokio::time::timeout(LAST_WORDS, worker.ended()).await;
                    }
                    return Stop::Stream;
                }
                Some(event) => history.add(event, true),
            };
            if let (Some(Message::Track(_)), Some(rungs)) =
                (&message, self.join_sound(history, setup))
                && let Err(ending) = self.send(&mut worker, Message::Sound(rungs)).await
            {
                return Stop::Worker(ending);
            }
            let dropped = self.inlet.dropped_units();
            if let Some(dropped_units) = lost.due(dropped, self.config.clock.monotonic()) {
                tracing::warn!(dropped_units, "worker too slow");
            }
            self.status.set_dropped_units(dropped);
            if let Some(message) = message
                && let Err(ending) = self.send(&mut worker, message).await
            {
                return Stop::Worker(ending);
            }
        }
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
        self.status.join(&rungs);
        Some(rungs)
    }

    async fn send(&self, worker: &mut Worker, message: Message) -> Result<(), Ending> {
        if let Message::Unit(unit) = &message {
            self.status.note_sent(unit, self.config.clock.monotonic());
        }
        worker.send(message).await
    }
}

/// Size of a video's pictures in square pixels, which all rungs have.
fn square(track: &Track) -> Option<(u32, u32)> {
    let (width, height) = track.resolution()?;
    let shape = match &track.config {
        CodecConfig::Avc(config) => config.pixel_aspect,
        CodecConfig::Hevc(config) => config.pixel_aspect,
        CodecConfig::Av1(_) | CodecConfig::Aac(_) | CodecConfig::Opus(_) => None,
    };
    let width = shape.map_or(Some(width), |shape| {
        let wide = u64::from(width) * u64::from(shape.horizontal);
        let down = u64::from(shape.vertical).max(1);
        // Stranger shapes than 1:4 are mistakes.
        let sane = wide <= 4 * u64::from(width) * down && 4 * wide >= u64::from(width) * down;
        if sane {
            u32::try_from((wide + down / 2) / down).ok()
        } else {
            Some(width)
        }
    })?;
    Some((width, height))
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
