//! One worker process: its socket, and the task that gives what it makes to the hub.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::{Config, Outlet, Status, lock};
use crate::base::child;
use crate::base::clock::Clock;
use crate::base::shutdown::Tasks;
use crate::hub::NewRendition;
use crate::media::{AccessUnit, MediaKind, RenditionId, Ticks, Track};
use crate::transcode::Error;
use crate::transcode::ladder::AudioRung;
use crate::transcode::protocol::{self, Message, PREFIX, Setup};

/// Messages before the socket. When it is full, media waits in the history.
const QUEUE_MESSAGES: usize = 8;

/// How a worker ended without being asked to.
pub(super) enum Ending {
    /// Another one may do better.
    Died(Error),
    /// Another one would end alike.
    Fatal(Error),
}

/// A running worker. Dropping it ends the process.
pub(super) struct Worker {
    // Killed when dropped.
    _child: Child,
    queue: mpsc::Sender<Message>,
    reader: JoinHandle<Ending>,
    writer: JoinHandle<()>,
    setup: Arc<Mutex<Option<Setup>>>,
}

impl Worker {
    /// Starts the process and the task that listens to it.
    pub(super) fn start(
        config: &Config,
        outlet: &Arc<dyn Outlet>,
        status: &Arc<Status>,
        tasks: &Tasks,
    ) -> Result<Worker, Error> {
        let io_error = |doing| move |source| Error::Io { doing, source };
        let (ours, theirs) = UnixStream::pair().map_err(io_error("open socket pair"))?;
        let theirs = theirs.into_std().map_err(io_error("open socket pair"))?;
        theirs
            .set_nonblocking(false)
            .map_err(io_error("open socket pair"))?;
        let child = child::command(&config.executable)
            .args(&config.arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .map_err(io_error("start"))?;
        status.set_worker(child.id());
        let (receiving, socket) = ours.into_split();
        let setup = Arc::new(Mutex::new(None));
        let listener = Listener {
            outlet: outlet.clone(),
            status: status.clone(),
            clock: config.clock.clone(),
            setup: setup.clone(),
            rungs: Vec::new(),
        };
        let reader = tasks.spawn(listener.run(receiving).in_current_span());
        let (queue, messages) = mpsc::channel(QUEUE_MESSAGES);
        let writer = tasks.spawn(write_messages(messages, socket).in_current_span());
        Ok(Worker {
            _child: child,
            queue,
            reader,
            writer,
            setup,
        })
    }

    /// Where messages to it go.
    pub(super) fn queue(&self) -> mpsc::Sender<Message> {
        self.queue.clone()
    }

    /// Says by what setup its messages are to be read: the one that it is told first.
    pub(super) fn begin(&self, setup: Setup) {
        *lock(&self.setup) = Some(setup);
    }

    /// Audio encodings that it is told of later.
    pub(super) fn join(&self, rungs: &[AudioRung]) {
        if let Some(setup) = lock(&self.setup).as_mut() {
            setup.audio = rungs.to_vec();
        }
    }

    /// Ends it. Afterwards nothing of it is published any more.
    pub(super) async fn stop(mut self) {
        self.reader.abort();
        if !self.reader.is_finished() {
            // It was aborted: there is nothing to learn from it.
            let _ = (&mut self.reader).await;
        }
    }

    /// Resolves when the worker has ended. Cancel-safe.
    pub(super) async fn ended(&mut self) -> Ending {
        match (&mut self.reader).await {
            Ok(ending) => ending,
            Err(error) => Ending::Died(Error::Io {
                doing: "listen",
                source: io::Error::other(error),
            }),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.reader.abort();
        self.writer.abort();
    }
}

/// What the hub knows of one rung.
struct Heard {
    /// Where it stands in the status.
    place: usize,
    id: RenditionId,
    track: Track,
    /// Nothing up to the next key unit is passed on: what is before it belongs to another encoder.
    waits_for_key: bool,
}

/// Listens to one worker.
struct Listener {
    outlet: Arc<dyn Outlet>,
    status: Arc<Status>,
    clock: Clock,
    setup: Arc<Mutex<Option<Setup>>>,
    rungs: Vec<Option<Heard>>,
}

impl Listener {
    async fn run(mut self, socket: OwnedReadHalf) -> Ending {
        let mut socket = BufReader::new(socket);
        loop {
            match read_message(&mut socket).await {
                Ok(Some(message)) => {
                    if let Some(ending) = self.handle(message) {
                        return ending;
                    }
                }
                Ok(None) => {
                    return Ending::Died(Error::Io {
                        doing: "read",
                        source: io::ErrorKind::UnexpectedEof.into(),
                    });
                }
                Err(error) => return Ending::Died(error),
            }
        }
    }

    fn handle(&mut self, message: Message) -> Option<Ending> {
        match message {
            Message::RungTrack { index, track } => self.handle_track(index.into(), *track),
            Message::RungUnit {
                index,
                key,
                pts,
                duration,
                data,
            } => {
                let unit = AccessUnit {
                    kind: MediaKind::Video,
                    dts: pts,
                    pts,
                    duration,
                    key,
                    data,
                };
                self.handle_unit(index.into(), unit);
                None
            }
            Message::Thumbnail(jpeg) => {
                self.outlet.set_thumbnail(jpeg);
                None
            }
            Message::Colour(colour) => {
                self.status.set_colour(colour);
                None
            }
            Message::Warning(text) => {
                tracing::warn!(text, "worker");
                None
            }
            Message::Statistics(counters) => {
                tracing::debug!(?counters, "worker");
                None
            }
            Message::Failed {
                element,
                package: Some(package),
                ..
            } => Some(Ending::Fatal(Error::MissingElement { element, package })),
            Message::Failed { element, text, .. } => {
                Some(Ending::Died(Error::Element { element, text }))
            }
            Message::Finished => Some(Ending::Died(Error::Io {
                doing: "go on",
                source: io::ErrorKind::UnexpectedEof.into(),
            })),
            Message::Setup(_)
            | Message::Track(_)
            | Message::Unit(_)
            | Message::Hold { .. }
            | Message::Break
            | Message::Shed { .. }
            | Message::KeyUnit { .. }
            | Message::Sound(_)
            | Message::End => Some(Ending::Died(
                protocol::Malformed::Unknown {
                    field: "direction",
                    value: 0,
                }
                .into(),
            )),
        }
    }

    fn handle_track(&mut self, index: usize, track: Track) -> Option<Ending> {
        if self.rungs.len() <= index {
            self.rungs.resize_with(index + 1, || None);
        }
        if self.rungs[index].is_some() {
            // A worker pins what its encoders see, so this cannot be mended by going on.
            return Some(Ending::Died(Error::Element {
                element: "encoder".to_owned(),
                text: "changed its configuration".to_owned(),
            }));
        }
        let rendition = {
            let setup = lock(&self.setup);
            new_rendition(setup.as_ref()?, index, track.clone())?
        };
        let place = self.status.place(&rendition.name)?;
        let id = match self.status.rendition(place, &track) {
            Known::New => {
                // None: the stream is over, and the end is on its way.
                let id = self.outlet.add_rendition(rendition)?;
                self.status.set_rendition(place, id, track.clone());
                id
            }
            Known::Same(id) => id,
            Known::Other => {
                // Its init segment is out: units of another configuration would not decode.
                tracing::error!(rung = %rendition.name, "restarted encoder differs");
                self.status.shed(&rendition.name);
                self.outlet.drop_rendition(&rendition.name);
                return None;
            }
        };
        self.rungs[index] = Some(Heard {
            place,
            id,
            track,
            waits_for_key: true,
        });
        None
    }

    fn handle_unit(&mut self, index: usize, mut unit: AccessUnit) {
        let Some(Some(rung)) = self.rungs.get_mut(index) else {
            return;
        };
        unit.kind = rung.track.kind();
        if self.status.passed(rung.place, unit.pts) || (rung.waits_for_key && !unit.key) {
            rung.waits_for_key = true;
            return;
        }
        rung.waits_for_key = false;
        let video = (unit.kind == MediaKind::Video).then_some(unit.pts);
        let end = unit.pts + unit.duration.unwrap_or(Ticks(1));
        self.status
            .note_unit(rung.place, end, video, self.clock.monotonic());
        self.outlet.push_rendition(rung.id, unit);
    }
}

/// What the status remembers of a rung, over restarts.
pub(super) enum Known {
    /// Nothing.
    New,
    /// This configuration.
    Same(RenditionId),
    /// Another configuration.
    Other,
}

fn new_rendition(setup: &Setup, index: usize, track: Track) -> Option<NewRendition> {
    let kbps = |kbps: u32| kbps.saturating_mul(1000);
    if let Some(rung) = setup.video.get(index) {
        return Some(NewRendition {
            name: Arc::from(rung.name.as_str()),
            track,
            peak_bps: rung.peak_bps,
            average_bps: kbps(rung.kbps),
            frame_rate_millis: rung.frame_rate_millis,
        });
    }
    let rung = setup.audio.get(index - setup.video.len())?;
    Some(NewRendition {
        name: Arc::from(rung.name.as_str()),
        track,
        // Sound encoders wander around its rate; the container adds a few bytes to each frame.
        peak_bps: kbps(rung.kbps) / 4 * 5,
        average_bps: kbps(rung.kbps),
        frame_rate_millis: 0,
    })
}

/// Writes until nobody sends any more or the socket fails; what is wrong with it the reader learns. How
/// long a write may take is the watchdog's to say.
async fn write_messages(mut messages: mpsc::Receiver<Message>, mut socket: OwnedWriteHalf) {
    while let Some(message) = messages.recv().await {
        let frame = match message.encode() {
            Ok(frame) => frame,
            Err(error) => {
                tracing::warn!(err = %error, "left out");
                continue;
            }
        };
        let mut bytes = frame.head.chain(frame.payload);
        if socket.write_all_buf(&mut bytes).await.is_err() {
            return;
        }
    }
}

/// One message; `None` at the end of the socket.
async fn read_message(socket: &mut (impl AsyncRead + Unpin)) -> Result<Option<Message>, Error> {
    let read_error = |source: io::Error| Error::Io {
        doing: "read",
        source,
    };
    let mut prefix = [0_u8; PREFIX];
    match socket.read_exact(&mut prefix).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(read_error(error)),
    }
    let mut body = vec![0; protocol::body_length(prefix)?];
    socket.read_exact(&mut body).await.map_err(read_error)?;
    Ok(Some(Message::parse(Bytes::from(body))?))
}

/// The rendition and configuration of a rung, and the time before which it is published, over
/// restarts.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) id: RenditionId,
    pub(super) track: Track,
    pub(super) end: Option<Ticks>,
}
