//! A channel pushed to an endpoint that takes WebRTC by WHIP (RFC 9725): LiveKit's own, LiveKit Ingress, other
//! servers. In: a tap of its stream, an address, perhaps a token. Out: its picture and sound over one
//! connection. Not here: which rendition is sent (`forward::feed`), when to try again.
//!
//! Candidates are gathered first and stand in the offer, since few endpoints take them later. Servers that an
//! endpoint names for ICE come with its answer, when the connection is being made: the next attempt has them.

mod description;
mod http;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Method, StatusCode};
use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsConnector;

use super::feed::{Feed, Place, Step};
use super::status::Counted;
use super::{Again, Carrier, Carrying, Ended, Told};
use crate::base::destination::{self, Private};
use crate::base::push;
use crate::base::secret::Secret;
use crate::hub::tap::{Tap, Tapped};
use crate::media::MediaKind;
use crate::rtc::{self, Candidate, IceServer, Outgoing, Peer};
pub use description::fuzz_whip_link;
use http::{Answer, Call, Client};

/// What gives a connection: [`rtc`]'s engine.
pub type Open = Arc<dyn Fn(rtc::Settings) -> rtc::Pending<'static, Box<dyn Peer>> + Send + Sync>;

/// How long nothing may come or go in the stream before it is offered.
const SETTLES: Duration = Duration::from_millis(500);
/// How long candidates are gathered. Those of the machine are there at once; servers of the last answer are
/// asked meanwhile.
const GATHER: Duration = Duration::from_millis(500);
/// From the answer to the first packet: ICE, DTLS.
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);
/// How often counters are read.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// What the goodbye to an endpoint may take.
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);
/// Media stream (msid) of both tracks.
const STREAM_ID: &str = "forebay";

/// Why an endpoint is not sent to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No address that may be used.
    #[error(transparent)]
    Destination(#[from] destination::Error),
    /// The address cannot be called.
    #[error("its address cannot be called: {0}")]
    Address(&'static str),
    /// Nobody listens.
    #[error("it cannot be reached: {0}")]
    Unreachable(io::Error),
    /// Nobody vouches for its certificate, or it is another host's.
    #[error("its certificate is not accepted: {0}")]
    Certificate(rustls::Error),
    /// No HTTP, or no TLS.
    #[error("{0}")]
    Http(String),
    /// It leads astray.
    #[error("it redirects {0}")]
    Redirect(&'static str),
    /// Nothing came in time.
    #[error("it did not answer within {0:?}")]
    Timeout(Duration),
    /// Another code than the one for success.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// An answer that cannot be used.
    #[error("its answer {0}")]
    Answer(&'static str),
    /// WebRTC.
    #[error(transparent)]
    Rtc(#[from] rtc::Error),
    /// The connection is over.
    #[error("the media connection ended: {0}")]
    Closed(String),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Ended {
        let again = match &error {
            Error::Destination(destination::Error::NotAllowed { .. })
            | Error::Address(_)
            | Error::Certificate(_)
            | Error::Redirect(_) => Again::Refused,
            // What is said to be busy or in need of time is no refusal.
            Error::Status(code)
                if code.is_client_error()
                    && ![StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT]
                        .contains(code) =>
            {
                Again::Refused
            }
            _ => Again::Later,
        };
        Ended::new(error, again)
    }
}

/// What all endpoints have in common.
#[derive(Clone)]
pub struct Config {
    /// Where they may be besides the internet (`FOREBAY_FORWARD_PRIVATE`).
    pub private: Private,
    /// For https; `None`: no certificate is trusted.
    pub tls: Option<TlsConnector>,
    /// Whether candidates of the loopback interface are offered: endpoints on this machine are allowed.
    pub loopback: bool,
    /// Makes connections.
    pub open: Open,
}

/// One endpoint of one channel.
pub struct Endpoint {
    target: push::Whip,
    client: Client,
    loopback: bool,
    open: Open,
    /// What the last answer named.
    ice_servers: Vec<IceServer>,
}

/// A session at an endpoint.
struct Visit<'a> {
    peer: Box<dyn Peer>,
    feed: Feed<'a>,
    told: &'a Told,
    picture: Option<usize>,
    sound: Option<usize>,
    /// Where the session is deleted.
    session: Option<Secret>,
}

impl Endpoint {
    /// To this endpoint.
    pub fn new(target: push::Whip, config: Config) -> Endpoint {
        Endpoint {
            target,
            client: Client {
                private: config.private,
                tls: config.tls,
            },
            loopback: config.loopback,
            open: config.open,
            ice_servers: Vec::new(),
        }
    }

    async fn attempt(&mut self, stream: &dyn Tapped, tap: &mut Tap, told: &Told) -> Ended {
        told.waiting();
        let clock = told.clock().clone();
        let mut feed = Feed::new(stream, tap, 1, &clock);
        if feed.ready(SETTLES).await.is_none() {
            return Ended::unread(stream);
        }
        told.note(feed.note());
        told.connecting();
        let settings = rtc::Settings {
            ice_servers: self.ice_servers.clone(),
            loopback: self.loopback,
            clock,
        };
        let peer = match (self.open)(settings).await {
            Ok(peer) => peer,
            Err(err) => return Ended::new(err, Again::Later),
        };
        let mut visit = Visit {
            peer,
            feed,
            told,
            picture: None,
            sound: None,
            session: None,
        };
        let ended = match self.connect(&mut visit).await {
            Ok(()) => visit.send(stream).await,
            Err(error) => error.into(),
        };
        let _ = timeout(GOODBYE_WITHIN, self.leave(visit)).await;
        ended
    }

    /// From the offer to a connection.
    async fn connect(&mut self, visit: &mut Visit<'_>) -> Result<(), Error> {
        let outgoing = visit.outgoing();
        let offer = visit.peer.offer(&outgoing).await?;
        let candidates = visit.gather().await?;
        let offer = description::with_candidates(&offer, &candidates);
        let answer = self.post(offer).await?;
        visit.session = answer.location;
        let links = answer.links.iter().map(String::as_str);
        self.ice_servers = description::ice_servers(links);
        let answer = std::str::from_utf8(&answer.body).map_err(|_| Error::Answer("is no text"))?;
        visit.peer.accept(answer).await?;
        let connected = timeout(CONNECTED_WITHIN, visit.connected()).await;
        connected
            .map_err(|_| Error::Closed(format!("none within {} s", CONNECTED_WITHIN.as_secs())))?
    }

    /// RFC 9725 §4.2: a POST of the offer, a 201 with the answer and the place of the session.
    async fn post(&self, offer: String) -> Result<Answer, Error> {
        let call = Call {
            method: Method::POST,
            url: self.target.url.expose(),
            token: self.target.token.as_ref(),
            body: Bytes::from(offer),
        };
        let answer = self.client.send(&call).await?;
        if answer.status != StatusCode::CREATED {
            return Err(Error::Status(answer.status));
        }
        if answer.location.is_none() {
            return Err(Error::Answer("names no session"));
        }
        Ok(answer)
    }

    async fn leave(&self, mut visit: Visit<'_>) {
        if let Some(session) = visit.session.take() {
            let call = Call {
                method: Method::DELETE,
                url: session.expose(),
                // The session may be at another host: a token goes where the endpoint's address does.
                token: self
                    .target
                    .token
                    .as_ref()
                    .filter(|_| self.is_ours(&session)),
                body: Bytes::new(),
            };
            if let Err(err) = self.client.send(&call).await {
                tracing::debug!(%err, "session was not deleted");
            }
        }
        let _ = visit.peer.close().await;
    }

    /// Whether an address is at the endpoint's host.
    fn is_ours(&self, session: &Secret) -> bool {
        let target = crate::base::outbound::Target::of(session.expose());
        target.is_ok_and(|target| {
            (&target.host, target.is_tls) == (&self.target.host, self.target.is_tls)
                || target.is_tls && self.target.is_tls
        })
    }
}

impl Carrier for Endpoint {
    fn carry<'a>(
        &'a mut self,
        stream: &'a dyn Tapped,
        tap: &'a mut Tap,
        told: &'a Told,
    ) -> Carrying<'a> {
        Box::pin(self.attempt(stream, tap, told))
    }
}

impl Visit<'_> {
    fn outgoing(&mut self) -> Vec<Outgoing> {
        let offered = self.feed.open();
        let track = |kind, id: &str| Outgoing {
            stream_id: STREAM_ID.to_owned(),
            track_id: id.to_owned(),
            kind,
            layers: Vec::new(),
        };
        let mut outgoing = Vec::new();
        if !offered.pictures.is_empty() {
            self.picture = Some(outgoing.len());
            outgoing.push(track(MediaKind::Video, "forebay-picture"));
        }
        if offered.sound.is_some() {
            self.sound = Some(outgoing.len());
            outgoing.push(track(MediaKind::Audio, "forebay-sound"));
        }
        outgoing
    }

    /// Our candidates, as far as they come in time.
    async fn gather(&mut self) -> Result<Vec<Candidate>, Error> {
        let mut candidates = Vec::new();
        let all = async {
            loop {
                match self.peer.next().await {
                    Some(rtc::Event::Candidate(last)) if last.candidate.is_empty() => return Ok(()),
                    Some(rtc::Event::Candidate(candidate)) => candidates.push(candidate),
                    Some(rtc::Event::Closed(reason)) => return Err(Error::Closed(reason)),
                    None => return Err(Error::Rtc(rtc::Error::Closed)),
                    Some(_) => {}
                }
            }
        };
        match timeout(GATHER, all).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Ok(candidates),
        }
    }

    async fn connected(&mut self) -> Result<(), Error> {
        loop {
            match self.peer.next().await {
                Some(rtc::Event::Connected) => return Ok(()),
                Some(rtc::Event::Closed(reason)) => return Err(Error::Closed(reason)),
                None => return Err(Error::Rtc(rtc::Error::Closed)),
                Some(_) => {}
            }
        }
    }

    /// Sends until one side has enough.
    async fn send(&mut self, stream: &dyn Tapped) -> Ended {
        self.peer.set_epoch(stream.epoch().0);
        self.feed.start();
        self.told.live();
        self.tell();
        let mut count = interval(COUNT_EVERY);
        count.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let ended = tokio::select! {
                step = self.feed.next() => self.handle_step(step, stream),
                event = self.peer.next() => self.handle_peer(event),
                _ = count.tick() => {
                    self.tell();
                    None
                }
            };
            if let Some(ended) = ended {
                self.tell();
                return ended;
            }
        }
    }

    fn handle_step(&mut self, step: Step, stream: &dyn Tapped) -> Option<Ended> {
        let (place, track, unit) = match step.unit(stream) {
            Ok(unit) => unit,
            Err(ended) => return Some(ended),
        };
        let outgoing = match place {
            Place::Picture(_) => self.picture?,
            Place::Sound => self.sound?,
        };
        let sent = self.peer.send(outgoing, 0, &track, &unit);
        sent.err().map(|err| Ended::new(err, Again::Later))
    }

    fn handle_peer(&self, event: Option<rtc::Event>) -> Option<Ended> {
        match event {
            Some(rtc::Event::KeyUnitWanted { outgoing, .. }) => {
                if self.picture == Some(outgoing) {
                    self.feed.want_key_unit(0);
                }
                None
            }
            Some(rtc::Event::Closed(reason)) => Some(Error::Closed(reason).into()),
            None => Some(Error::Rtc(rtc::Error::Closed).into()),
            // Nothing is received here, and candidates were sent with the offer.
            Some(_) => None,
        }
    }

    fn tell(&self) {
        let statistics = self.peer.statistics();
        self.told.counted(Counted {
            packets: statistics.packets_sent,
            bytes: statistics.bytes_sent,
            packets_repeated: statistics.packets_repeated,
            key_units_wanted: statistics.key_units_wanted,
            dropped_units: self.feed.dropped_units(),
            round_trip: Duration::from_micros(statistics.round_trip_micros),
        });
        self.told.note(self.feed.note());
        self.told.layers(self.feed.layers());
    }
}
