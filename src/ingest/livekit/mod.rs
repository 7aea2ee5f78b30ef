//! A LiveKit room into a channel. In: the room of a broadcast, in which people publish. Out: its host's picture
//! and sound, pushed into the hub as a publisher of the channel, untouched: H.264 and Opus. Not here: which
//! rooms there are, and whether anybody is in them (`control`), how LiveKit is spoken to (`livekit`), what the
//! gateway sends into rooms (`forward`).
//!
//! [`Listeners`] keeps one listener for each room in which somebody publishes: a hidden participant that
//! subscribes to one camera and one microphone. `room` says whose, `cast` hands over from one to another,
//! `feed` is one of them on its way into the hub, `keys` says when to ask for a key unit, `visit` is the time
//! from joining a room to leaving it. A room is one publisher of its stream among others: an encoder with the
//! broadcast's key takes over when the host leaves, and the other way around.

mod cast;
mod feed;
mod keys;
mod listeners;
mod room;
mod visit;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::Instrument;

use super::port::Sink;
use super::stats::Stats;
use crate::base::backoff::Backoff;
use crate::base::clock::Clock;
use crate::base::lanes::Lanes;
use crate::base::shutdown::Tasks;
use crate::hub::{Hub, Publisher, Refusal};
use crate::livekit::{Entry, Server, Session};
use crate::rtc;
pub use listeners::Listeners;
use room::Room;
use visit::{End, Visit};

/// What the hub and logs call it.
const PROTO: &str = "livekit";
/// Our identity in rooms, which begins as all of our identities do.
const IDENTITY: &str = "forebay-listener";
/// Pause after the first failure or refusal, at most: a server that restarts is there again within seconds.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause. A host who waits is on air within a third of the default reconnect window.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A room whose media came for less than this is away: it would be joined each second.
const STEADY: Duration = Duration::from_secs(5);

/// What all listeners have in common.
#[derive(Clone, Debug)]
pub struct Config {
    /// The LiveKit server.
    pub server: Server,
    /// How long a host may send nothing until its publisher session is given back
    /// (`FOREBAY_PUBLISH_TIMEOUT_SECONDS`).
    pub publish_timeout: Duration,
    /// How often a key unit is asked for: the segment target, since segments of the source begin with them.
    pub key_interval: Duration,
    /// The threads that run listeners.
    pub lanes: Lanes,
    /// Where listeners count.
    pub stats: Arc<Stats>,
    /// Silence and patience are measured by it.
    pub clock: Clock,
}

/// How a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is on its way into the room.
    Joining,
    /// It is in the room, and nobody can be followed.
    Waiting {
        /// Somebody whose picture is of no use, and of which type it is.
        unusable: Option<(String, String)>,
    },
    /// It passes on what this identity sends.
    Live(String),
    /// It is not in the room, and will try again. Why.
    Away(String),
}

/// Where media go.
trait Channel: Send + Sync {
    /// An open publisher session.
    type Sink: Sink;
    /// Opens a publisher session.
    fn publish(&self) -> impl Future<Output = Result<Self::Sink, Refusal>> + Send;
}

/// A channel of the hub.
struct OfHub {
    hub: Hub,
    channel_id: String,
    server: SocketAddr,
}

impl Channel for OfHub {
    type Sink = Publisher;

    async fn publish(&self) -> Result<Publisher, Refusal> {
        let (hub, channel_id) = (&self.hub, &self.channel_id);
        hub.publish_pulled(channel_id, PROTO, self.server).await
    }
}

/// Where the server is, as far as its address says: members of a stream have one.
fn address_of(server: &Server) -> SocketAddr {
    let unknown = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let place = server.url().split('/').nth(2);
    place
        .and_then(|place| place.parse().ok())
        .unwrap_or(unknown)
}

/// Listens to a room until the tasks are stopped, or until nobody is there and it is not wanted any more.
async fn listen(
    (room, channel): (String, impl Channel),
    config: Config,
    mut wanted: watch::Receiver<bool>,
    state: watch::Sender<State>,
    seed: u64,
    tasks: Tasks,
) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE, seed);
    let mut known = Room::default();
    let mut told = None;
    for number in 0_u64.. {
        let span = tracing::info_span!(
            "ingest",
            proto = PROTO,
            session = crate::ingest::next_session(),
            room,
        );
        let since = config.clock.monotonic();
        let seed = seed ^ number.rotate_left(32);
        let visit = visit(
            (&room, &channel),
            &config,
            &mut known,
            (&wanted, &state),
            seed,
            &tasks,
        );
        let (reason, delivered) = match visit.instrument(span.clone()).await {
            // Who comes back at once to a room that it was put out of is in a quarrel; and of a room that was
            // closed it is told when somebody is there again.
            Ok((End::Left(reason), _)) if !reason.may_return() => {
                span.in_scope(|| tracing::info!(%reason, "listening ended"));
                return;
            }
            Ok((End::Stopped | End::Deserted, _)) => return,
            Ok((end, delivered)) => (end.to_string(), delivered),
            Err(err) => (err, false),
        };
        if delivered && config.clock.monotonic().saturating_sub(since) >= STEADY {
            backoff.reset();
            told = None;
        }
        let pause = backoff.pause();
        if told.as_ref() != Some(&reason) {
            span.in_scope(|| tracing::info!(reason, ?pause, "room is away, trying on"));
            told = Some(reason.clone());
        }
        state.send_replace(State::Away(reason));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = tasks.stopped() => return,
            _ = wanted.wait_for(|wanted| !wanted) => return,
        }
    }
}

/// Joins the room once, and stays.
async fn visit<C: Channel>(
    (room, channel): (&str, &C),
    config: &Config,
    known: &mut Room,
    (wanted, state): (&watch::Receiver<bool>, &watch::Sender<State>),
    seed: u64,
    tasks: &Tasks,
) -> Result<(End, bool), String> {
    let entry = Entry {
        room,
        identity: IDENTITY,
        name: None,
        metadata: None,
        publishes: false,
        listens: true,
        hidden: true,
    };
    let joining = async {
        let session = Session::connect(&config.server, &entry, config.clock.wall());
        let session = session.await.map_err(|err| err.to_string())?;
        let peer = rtc::open(rtc::Settings {
            ice_servers: session.joined().ice_servers.clone(),
            loopback: config.server.is_local(),
            clock: config.clock.clone(),
        });
        let peer = peer.await.map_err(|err| err.to_string())?;
        Ok((session, peer))
    };
    let joined: Result<_, String> = tokio::select! {
        joined = joining => joined,
        () = tasks.stopped() => return Ok((End::Stopped, false)),
    };
    let joined = joined?;
    config.stats.connections_total.add(1);
    tracing::info!(server = joined.0.joined().version, "listening");
    let visit = Visit::new(joined, known, channel, config, state, seed);
    Ok(visit.run(wanted, tasks).await)
}

#[cfg(test)]
mod tests;
