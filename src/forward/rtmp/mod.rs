//! A channel restreamed to another server by RTMP or RTMPS. In: a tap of its stream, an address with a key.
//! Out: the publisher's own picture and sound as they came, with the times of the channel. Not here: when to
//! try again (the owner of all forwards).
//!
//! `media` (units to messages) → `session` (the dialogue) → this file, the socket loop with every deadline.
//! Nothing is sent before there is something to send, and a server that takes nothing costs a bounded queue:
//! the tap drops up to the next key unit.

mod dial;
mod media;
pub mod session;

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::status::Counted;
use super::{Again, Carrier, Carrying, Ended, Told};
use crate::base::Kind;
use crate::base::clock::Clock;
use crate::base::destination::{self, Private, System};
use crate::base::push;
use crate::hub::tap::{self, Tapped};
use crate::media::{AccessUnit, MediaKind, RenditionId};
use dial::Connection;
use media::{Offer, Publication};
use session::{Said, Session};

/// Units that are kept while it is waited for the other kind of media; then it is begun without.
const MAX_EARLY: usize = 512;
/// From the look-up of the name to the word that media may come.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// A server that takes no byte for so long is given up: it would be told of a past that nobody wants.
const STUCK: Duration = Duration::from_secs(10);
/// Without a unit for so long the publish ends, before the server ends it, and begins anew with the media.
const IDLE: Duration = Duration::from_secs(10);
/// How long the other kind of media is waited for, so that both are announced at the front. A fresh stream has
/// both well within it.
const GATHER: Duration = Duration::from_millis(500);
/// What a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// Bytes of answers that wait for a server that asks and does not read; an answer has some ten.
const MAX_ANSWERS: usize = 64 * 1024;
/// Bytes of a server's that are read at once.
const READ_BYTES: usize = 4096;

/// Where the media come from.
pub trait Units: Send {
    /// The next event; `None`: there is nothing any more. Cancel-safe.
    fn recv(&mut self) -> impl Future<Output = Option<tap::Event>> + Send;
    /// Takes units of these renditions, and of no others.
    fn choose(&mut self, ids: &[RenditionId]);
    /// Units dropped so far, because they were not taken in time.
    fn dropped_units(&self) -> u64;
}

impl Units for tap::Tap {
    fn recv(&mut self) -> impl Future<Output = Option<tap::Event>> + Send {
        tap::Tap::recv(self)
    }

    fn choose(&mut self, ids: &[RenditionId]) {
        tap::Tap::choose(self, ids);
    }

    fn dropped_units(&self) -> u64 {
        tap::Tap::dropped_units(self)
    }
}

/// Why a publish ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address that may be used.
    #[error(transparent)]
    Destination(#[from] destination::Error),
    /// Nobody listens.
    #[error("it cannot be reached: {0}")]
    Unreachable(io::Error),
    /// RTMPS with a certificate that nobody vouches for, or another host's.
    #[error("its certificate is not accepted: {0}")]
    Certificate(rustls::Error),
    /// RTMPS without certificates to trust.
    #[error("no trusted certificates were found on this machine")]
    NoRoots,
    /// It is not done within the deadline.
    #[error("it did not take the publish within {CONNECT_DEADLINE:?}")]
    Timeout,
    /// It says no.
    #[error("it refused the publish ({0})")]
    Refused(String),
    /// It does not speak RTMP as we do.
    #[error("{0}")]
    Protocol(String),
    /// It ended the publish.
    #[error("it ended the publish ({0})")]
    Over(String),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    /// It stopped reading.
    #[error("it took no data for {STUCK:?}")]
    Stuck,
    /// The tap was cut off: this side was too slow.
    #[error("the stream was not followed")]
    CutOff,
}

impl Error {
    /// What kind of failure it is. Denied: the same attempt will be refused again.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Destination(destination::Error::NotAllowed { .. })
            | Error::Certificate(_)
            | Error::Refused(_) => Kind::Denied,
            Error::Destination(destination::Error::NotFound(_)) => Kind::NotFound,
            Error::Destination(destination::Error::Timeout) | Error::Timeout | Error::Stuck => {
                Kind::Timeout
            }
            Error::Unreachable(_) | Error::Over(_) | Error::Broken(_) => Kind::NotFound,
            Error::Protocol(_) => Kind::Invalid,
            Error::NoRoots | Error::CutOff => Kind::Internal,
        }
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Ended {
        let again = match (&error, error.kind()) {
            (Error::CutOff, _) => Again::AtOnce,
            (_, Kind::Denied | Kind::Internal) => Again::Refused,
            _ => Again::Later,
        };
        Ended::new(error, again)
    }
}

/// What all restreams have in common.
#[derive(Clone)]
pub struct Config {
    /// Where they may go besides the internet (`FOREBAY_FORWARD_PRIVATE`).
    pub private: Private,
    /// For RTMPS; `None`: no certificate is trusted.
    pub tls: Option<TlsConnector>,
    /// Progress of connections is timed by it.
    pub clock: Clock,
}

/// One destination of one channel.
pub struct Restream {
    target: push::Rtmp,
    config: Config,
    resolver: System,
}

/// Renditions and units of a stream on their way to a server.
struct Way<'a, F> {
    feed: &'a mut F,
    offer: Offer,
    publication: Publication,
    /// Units that came before there was a connection, the first one a key unit.
    early: VecDeque<(RenditionId, AccessUnit)>,
    counted: Counted,
    ended: bool,
}

impl Restream {
    /// To this server.
    pub fn new(target: push::Rtmp, config: Config) -> Restream {
        Restream {
            target,
            config,
            resolver: System::default(),
        }
    }

    /// Sends a stream until it ends, or until the server does not take it. A pause in the media ends a publish,
    /// and its end begins another one.
    pub async fn run<F: Units>(&mut self, feed: &mut F, told: &Told) -> Result<(), Error> {
        let mut way = Way {
            feed,
            offer: Offer::default(),
            publication: Publication::default(),
            early: VecDeque::new(),
            counted: Counted::default(),
            ended: false,
        };
        loop {
            told.waiting();
            way.wait().await?;
            if way.ended {
                return Ok(());
            }
            told.connecting();
            let connect = self.connect(&way.publication);
            let connected = tokio::time::timeout(CONNECT_DEADLINE, connect).await;
            let (connection, session) = connected.map_err(|_| Error::Timeout)??;
            told.live();
            way.publish(connection, session, &self.config.clock, told)
                .await?;
            if way.ended {
                return Ok(());
            }
        }
    }

    /// A connection on which media may be sent.
    async fn connect(&mut self, media: &Publication) -> Result<(Connection, Session), Error> {
        let place = (self.target.host.as_str(), self.target.port);
        let private = &self.config.private;
        let addresses = destination::addresses(place, private, &mut self.resolver).await?;
        let tls = match (self.target.is_tls, &self.config.tls) {
            (true, None) => return Err(Error::NoRoots),
            (is_tls, tls) => tls.as_ref().filter(|_| is_tls),
        };
        let mut connection = dial::dial(addresses, &self.target.host, tls).await?;
        let mut random = [0; 1536];
        // What is in there means nothing: zeros do as well.
        let _ = getrandom::fill(&mut random);
        let mut session = Session::new(&self.target, media.four_ccs(), &random);
        while !session.is_publishing() {
            let output = std::mem::take(session.output());
            connection
                .stream
                .write_all(&output)
                .await
                .map_err(Error::Broken)?;
            connection.stream.flush().await.map_err(Error::Broken)?;
            connection.read(&mut session).await?;
            match said(&mut session, &mut connection.input)? {
                Some(Said::Over(text) | Said::Refused(text)) => return Err(Error::Refused(text)),
                Some(Said::Ready) | None => {}
            }
        }
        Ok((connection, session))
    }
}

impl Carrier for Restream {
    fn carry<'a>(
        &'a mut self,
        _stream: &'a dyn Tapped,
        tap: &'a mut tap::Tap,
        told: &'a Told,
    ) -> Carrying<'a> {
        Box::pin(async move {
            match self.run(tap, told).await {
                Ok(()) => Ended::over(),
                Err(error) => error.into(),
            }
        })
    }
}

impl<F: Units> Way<'_, F> {
    /// Waits until there is something to send: a key unit, and both kinds of media or the word that there is
    /// one only.
    async fn wait(&mut self) -> Result<(), Error> {
        self.publication = Publication::default();
        self.early.clear();
        self.choose();
        let mut gathered = None;
        while !self.ended {
            let Some((id, unit)) = self.next(gathered.as_mut()).await? else {
                if gathered.as_ref().is_some_and(|sleep| sleep.is_elapsed()) {
                    return Ok(());
                }
                continue;
            };
            let choice = self.offer.choice();
            let opens = unit.key && choice.video.is_none_or(|video| video == id);
            if self.early.is_empty() && !opens {
                // Sound alone begins nothing where there is a picture.
                continue;
            }
            self.early.push_back((id, unit));
            if choice.video.is_some() && choice.audio.is_some() {
                return Ok(());
            }
            if gathered.is_none() {
                gathered = Some(Box::pin(tokio::time::sleep(GATHER)));
            }
            if self.early.len() > MAX_EARLY {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The next unit; `None` when something else happened, or the time is over.
    async fn next(
        &mut self,
        until: Option<&mut std::pin::Pin<Box<tokio::time::Sleep>>>,
    ) -> Result<Option<(RenditionId, AccessUnit)>, Error> {
        let event = match until {
            None => self.feed.recv().await,
            Some(until) => tokio::select! {
                event = self.feed.recv() => event,
                () = until => return Ok(None),
            },
        };
        self.handle(event)
    }

    /// Takes an event; a unit of what was chosen is given back.
    fn handle(
        &mut self,
        event: Option<tap::Event>,
    ) -> Result<Option<(RenditionId, AccessUnit)>, Error> {
        match event {
            Some(tap::Event::Unit(id, unit)) => {
                // What was chosen before may be queued yet.
                let is_chosen = self.offer.choice().ids().contains(&id);
                return Ok(Some((id, unit)).filter(|_| is_chosen));
            }
            Some(tap::Event::Rendition(rendition)) => {
                self.offer.add(rendition);
                self.choose();
            }
            Some(tap::Event::Removed(id)) => {
                self.offer.remove(id);
                self.choose();
            }
            Some(tap::Event::Track(id, track)) => {
                let choice = self.offer.choice();
                if choice.ids().contains(&id) {
                    self.publication.handle_track(track.kind(), track.clone());
                }
                self.offer.set_track(id, track);
            }
            Some(tap::Event::Break) => {}
            Some(tap::Event::End) => self.ended = true,
            None => return Err(Error::CutOff),
        }
        Ok(None)
    }

    /// Has the tap send what is the best of what there is.
    fn choose(&mut self) {
        let choice = self.offer.choice();
        self.feed.choose(&choice.ids());
        for (kind, id) in [
            (MediaKind::Video, choice.video),
            (MediaKind::Audio, choice.audio),
        ] {
            let rendition = id.and_then(|id| self.offer.rendition(id)).cloned();
            self.publication
                .set(kind, rendition.as_ref().map(Arc::as_ref));
        }
    }

    /// Sends until the stream ends or pauses.
    async fn publish(
        &mut self,
        connection: Connection,
        mut session: Session,
        clock: &Clock,
        told: &Told,
    ) -> Result<(), Error> {
        let Connection { stream, mut input } = connection;
        let (mut reader, mut writer) = tokio::io::split(stream);
        self.catch_up()?;
        let mut out = Bytes::new();
        let mut unflushed = false;
        let mut since = clock.monotonic();
        loop {
            if out.is_empty() && session.output().is_empty() && !unflushed {
                let before = self.publication.units;
                if let Some((_, unit)) = self.early.pop_front() {
                    self.publication.handle_unit(&unit, &mut session);
                }
                self.counted.packets += self.publication.units - before;
            }
            if out.is_empty() && !session.output().is_empty() {
                out = Bytes::from(std::mem::take(session.output()));
                since = clock.monotonic();
            }
            let is_writing = !out.is_empty();
            let is_idle = !is_writing && !unflushed;
            if is_idle && self.ended && self.early.is_empty() {
                break;
            }
            if is_idle {
                self.counted.dropped_units = self.feed.dropped_units();
                told.counted(self.counted);
            }
            if is_idle && !self.early.is_empty() {
                continue;
            }
            let patience = if is_idle { IDLE } else { STUCK };
            let left = patience.saturating_sub(clock.monotonic().saturating_sub(since));
            input.reserve(READ_BYTES);
            tokio::select! {
                read = reader.read_buf(&mut input) => {
                    let read = read.map_err(Error::Broken)?;
                    if read == 0 {
                        return Err(Error::Broken(io::ErrorKind::UnexpectedEof.into()));
                    }
                    session.handle_received(read);
                    match said(&mut session, &mut input)? {
                        Some(Said::Over(text) | Said::Refused(text)) => return Err(Error::Over(text)),
                        Some(Said::Ready) | None => {}
                    }
                    if session.output().len() > MAX_ANSWERS {
                        return Err(Error::Protocol("it asks and does not read".to_owned()));
                    }
                }
                wrote = step(&mut writer, &mut out), if !is_idle => {
                    let wrote = wrote.map_err(Error::Broken)?;
                    self.counted.bytes += u64::try_from(wrote).unwrap_or(0);
                    unflushed = is_writing;
                    since = clock.monotonic();
                }
                event = self.feed.recv(), if is_idle => {
                    if let Some(unit) = self.handle(event)? {
                        self.early.push_back(unit);
                    }
                }
                () = tokio::time::sleep(left) => {
                    if !is_idle {
                        return Err(Error::Stuck);
                    }
                    break;
                }
            }
        }
        session.finish();
        let goodbye = async {
            writer.write_all(session.output()).await?;
            writer.shutdown().await
        };
        // Whoever does not hear it finds the connection closed.
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
        Ok(())
    }

    /// Leaves out what came while the connection was made, up to the newest key unit: a server is to be told of
    /// now.
    fn catch_up(&mut self) -> Result<(), Error> {
        while let Some(event) = self.feed.recv().now_or_never() {
            if let Some(unit) = self.handle(event)? {
                self.early.push_back(unit);
            }
            if self.ended {
                break;
            }
        }
        let choice = self.offer.choice();
        let opens = |(id, unit): &(RenditionId, AccessUnit)| {
            unit.key && choice.video.or(choice.audio) == Some(*id)
        };
        if let Some(at) = self.early.iter().rposition(opens) {
            self.early.drain(..at);
        }
        Ok(())
    }
}

/// Writes some of `out`, and says how much, or else flushes. Cancel-safe.
async fn step(writer: &mut (impl AsyncWrite + Unpin), out: &mut Bytes) -> io::Result<usize> {
    if out.is_empty() {
        writer.flush().await?;
        return Ok(0);
    }
    match writer.write_buf(out).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        wrote => Ok(wrote),
    }
}

/// What a server says, if it has said something.
fn said(session: &mut Session, input: &mut BytesMut) -> Result<Option<Said>, Error> {
    let said = session.poll_said(input);
    said.map_err(|error| Error::Protocol(error.to_string()))
}

#[cfg(test)]
mod tests;
