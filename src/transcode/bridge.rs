//! The server's end of the ladder: one task per stream that waits until the source is known, decides
//! the rungs, feeds a worker and gives its rungs to the hub.
//!
//! A worker that dies or hangs is replaced at once, later with growing pauses, and fed from before what
//! was published last: each rung goes on just behind it, with an IDR. A worker that is too slow loses
//! rungs, least valuable first. One that never gave anything, or misses an element, is given up: the
//! stream goes on without a ladder.

mod child;
mod feed;
mod health;
mod history;
mod rooms;
mod status;

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tracing::Instrument;

pub use self::rooms::attach_rooms;
pub use self::status::{RungStatus, Status};

use self::history::History;
use super::Error;
use super::ladder::{AudioFacts, AudioRung, Book, Choice, Plan, Request, Rung, VideoFacts};
use super::protocol::{Frames, Setup, Slate};
use crate::base::clock::Clock;
use crate::base::lanes::Lanes;
use crate::base::shutdown::Tasks;
use crate::hub::story::Happening;
use crate::hub::tap::{KeyUnits, Needs, Tapped as _};
use crate::hub::{Event, NewRendition, Placed, Stream, Subscriber};
use crate::media::{AccessUnit, CodecConfig, MediaKind, RenditionId, Track};

/// Units between the hub and the history: two seconds of video and audio at 60 fps. When it is full
/// the hub drops up to the next key unit.
const QUEUE_UNITS: usize = 256;
/// Media time between thumbnails, milliseconds.
const THUMBNAIL_MS: u32 = 4000;

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
    /// Whether long holes show a slate (`FOREBAY_ON_LOSS`); else the last picture stays.
    pub slate: bool,
    /// Slates of channels that have an image of their own, by channel id.
    pub slates: HashMap<String, PathBuf>,
    /// Whether pictures of streams without a ladder are remembered since their last key unit, so that a
    /// room that needs one has it at once, however long the encoder's groups of pictures are.
    pub rooms_at_once: bool,
    /// Where it is seen to what rooms need.
    pub lanes: Lanes,
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
            slate: true,
            slates: HashMap::new(),
            rooms_at_once: false,
            lanes: Lanes::none(),
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
    /// See [`Stream::note`].
    fn note(&self, what: &Happening);
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
    fn note(&self, what: &Happening) {
        Stream::note(self, what);
    }
    fn set_thumbnail(&self, jpeg: Bytes) {
        Stream::set_thumbnail(self, jpeg);
    }
}

/// Where source units come from: a subscription.
pub trait Inlet: Send + 'static {
    /// See [`Subscriber::recv`]. `None` without [`Event::End`] before: the stream goes on without us.
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
    let slate = config.slate.then(|| Slate {
        name: admission.name.clone(),
        image: config.slates.get(&admission.channel_id).cloned(),
    });
    let outlet: Arc<dyn Outlet> = stream.clone();
    let status = Arc::new(Status::default());
    let bridge = Bridge {
        inlet,
        outlet,
        capabilities: admission.capabilities.clone(),
        placed: admission.placed.clone(),
        rooms: None,
        key_units: stream.key_units(),
        slate,
        stand_in: None,
        config,
        tasks: tasks.clone(),
        status: status.clone(),
    };
    // A publisher's span ends before the stream does.
    let span = tracing::info_span!(parent: None, "ladder", channel = %admission.channel_id);
    tasks.spawn(bridge.run().instrument(span));
    status
}

/// One stream's bridge.
pub(super) struct Bridge<I> {
    pub(super) inlet: I,
    pub(super) outlet: Arc<dyn Outlet>,
    pub(super) capabilities: Vec<String>,
    /// Whose renditions are made, when the stream takes the place of something.
    pub(super) placed: Option<Placed>,
    /// What rooms need, when it is made for them and no ladder.
    pub(super) rooms: Option<Needs>,
    /// Renditions of which somebody wants a key unit, ours or others'.
    pub(super) key_units: KeyUnits,
    pub(super) slate: Option<Slate>,
    /// What takes the place of a source that is listed, once it can be listed no longer.
    pub(super) stand_in: Option<Rung>,
    pub(super) config: Arc<Config>,
    pub(super) tasks: Tasks,
    pub(super) status: Arc<Status>,
}

impl<I: Inlet> Bridge<I> {
    /// Runs until the stream ends, the server stops or the ladder is given up.
    pub(super) async fn run(mut self) {
        if self.config.choice == Choice::Off && self.placed.is_none() {
            self.outlet.plan(Vec::new(), true);
            return;
        }
        // Started now, so that it has loaded its libraries when the source is known.
        let likely =
            self.placed.is_some() || self.capabilities.iter().any(|word| word == "multi-bitrate");
        let mut early = likely.then(|| self.start().ok()).flatten();
        let mut history = History::default();
        let Some(passthrough) = self.settle(&mut history).await else {
            self.outlet.plan(Vec::new(), true);
            return;
        };
        let mut plan = self.decide(&history, passthrough);
        self.stand_in = plan.stand_in.take();
        let video = plan.video.iter().map(|rung| rung.name.as_str());
        let names: Vec<Arc<str>> = video
            .chain(plan.audio.iter().map(|rung| rung.name.as_str()))
            .map(Arc::from)
            .collect();
        // Beside a cut picture the whole one is another programme.
        self.outlet.plan(names, !plan.replaces_source);
        let names = |setup: &Setup| {
            let video = setup.video.iter().map(|rung| rung.name.clone());
            let audio = setup.audio.iter().map(|rung| rung.name.clone());
            video.chain(audio).collect::<Vec<_>>()
        };
        let mut setup = self.setup(&history, plan);
        if setup.video.is_empty() && setup.audio.is_empty() {
            drop(early.take());
            if !self.await_need(&mut history, &mut setup).await {
                return;
            }
        }
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

    /// With nothing to make: waits for sound that players cannot be given as it is, and for a source
    /// that can be listed no longer. False when the stream is over.
    async fn await_need(&mut self, history: &mut History, setup: &mut Setup) -> bool {
        while setup.video.is_empty() && setup.audio.is_empty() {
            let event = tokio::select! {
                event = self.inlet.recv() => event,
                () = self.tasks.stopped() => return false,
            };
            let event = match event {
                Some(Event::End) => return false,
                Some(event) => event,
                None => {
                    // Nothing was made, so that nothing is missing now.
                    tracing::error!(err = %Error::CutOff, "no ladder will be made");
                    return false;
                }
            };
            self.leave_passthrough(&event, setup);
            let track = matches!(event, Event::Track(_));
            history.add(event);
            // Nothing of it is published, and nobody waits for it.
            history.pass_over();
            history.release_all();
            if track && history.audio().is_some() {
                setup.audio = self.decide_audio(history);
            }
        }
        true
    }

    /// Adds what takes the source's place when this event says that it is listed no longer. Whether
    /// it did.
    fn leave_passthrough(&mut self, event: &Event, setup: &mut Setup) -> bool {
        let leaves = matches!(event, Event::Settled { passthrough: false });
        let Some(rung) = leaves.then(|| self.stand_in.take()).flatten() else {
            return false;
        };
        tracing::warn!(
            rung = rung.name,
            "the source can be listed no longer, a rung takes its place"
        );
        self.status.join(&rung.name, MediaKind::Video);
        setup.video.insert(0, rung);
        true
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
                event = self.inlet.recv() => event,
                () = self.tasks.stopped() => return None,
            };
            match event {
                Some(Event::Settled { passthrough }) => return Some(passthrough),
                Some(Event::End) => return None,
                Some(event) => history.add(event),
                None => {
                    tracing::error!(err = %Error::CutOff, "no ladder will be made");
                    return None;
                }
            }
        }
    }

    fn decide(&self, history: &History, passthrough: bool) -> Plan {
        if let Some(placed) = &self.placed {
            return self.config.book.plan_of(placed);
        }
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
        if let Some(needs) = self.rooms {
            return self.config.book.plan_of_rooms(needs, video, audio);
        }
        self.config.book.decide(&Request {
            choice: &self.config.choice,
            capabilities: &self.capabilities,
            video,
            audio,
            avc: history
                .video()
                .is_none_or(|track| matches!(track.config, CodecConfig::Avc(_))),
            passthrough,
            cores: self.config.cores,
        })
    }

    fn setup(&self, history: &History, plan: Plan) -> Setup {
        Setup {
            video: plan.video,
            audio: plan.audio,
            crop: plan.crop,
            frame_rate_millis: match &self.placed {
                Some(placed) => placed.frame_rate_millis,
                None => history.frame_rate_millis(),
            },
            frames: self.placed.as_ref().map(Frames::of),
            encoders: self.config.book.encoders.clone(),
            vbv_ms: self.config.book.vbv_ms,
            thumbnail_ms: if self.rooms.is_some() {
                0
            } else {
                THUMBNAIL_MS
            },
            resume: Vec::new(),
            colour: None,
            slate: self.slate.clone(),
        }
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
