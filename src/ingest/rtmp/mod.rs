//! RTMP and RTMPS ingest. In: connections of encoders. Out: tracks and access units, pushed into the
//! hub by the connection's own task. Not here: playing over RTMP, which is refused.
//!
//! `format::rtmp::chunk` (bytes to messages) → `session` (the dialogue) → `publish` (message to access unit); this
//! file is the socket loop with every deadline, `lobby` bounds who waits.

mod command;
mod connection;
#[doc(hidden)]
pub mod fuzz;
mod lobby;
pub mod publish;
pub mod session;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tracing::Instrument;

use super::port::Admit;
pub use super::stats::Stats;
use super::told::Told;
use crate::base::clock::Clock;
use crate::base::lanes::{self, Lanes};
use crate::base::shutdown::Tasks;
use crate::hub::Hub;
use connection::Connection;
use lobby::{Lobby, Seat};

/// From the accept to the publish command, handshakes included. An encoder on a bad line needs two
/// seconds.
const WAITING_DEADLINE: Duration = Duration::from_secs(10);
/// Pause after a failed accept, which means that the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The TLS configuration in force, which a reload replaces; looked up for each connection.
pub type Tls = Arc<ArcSwap<rustls::ServerConfig>>;

/// Settings of a listener.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long an accepted publish may go without a whole access unit
    /// (`FOREBAY_PUBLISH_TIMEOUT_SECONDS`).
    pub publish_timeout: Duration,
    /// The threads that serve connections.
    pub lanes: Lanes,
    /// Where the listener counts.
    pub stats: Arc<Stats>,
    /// Lines of the log are counted by it.
    pub clock: Clock,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            publish_timeout: Duration::from_secs(10),
            lanes: Lanes::none(),
            stats: Arc::default(),
            clock: Clock::system(),
        }
    }
}

/// Serves a listener until the tasks are stopped, with TLS if a configuration is given.
pub async fn run(listener: TcpListener, tls: Option<Tls>, hub: Hub, config: Config, tasks: Tasks) {
    serve(listener, tls, hub, config, tasks).await;
}

/// What the connections of a listener share.
#[derive(Clone, Debug)]
struct Context<A> {
    admit: A,
    tls: Option<Tls>,
    config: Config,
    lobby: Lobby,
    told: Arc<Told>,
    tasks: Tasks,
}

async fn serve<A: Admit>(
    listener: TcpListener,
    tls: Option<Tls>,
    admit: A,
    config: Config,
    tasks: Tasks,
) {
    let context = Context {
        told: Arc::new(Told::new(proto(&tls))),
        admit,
        tls,
        config,
        lobby: Lobby::default(),
        tasks: tasks.clone(),
    };
    loop {
        let accepted = tokio::select! {
            () = tasks.stopped() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(err) => {
                tracing::error!(%err, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        context.config.stats.connections_total.add(1);
        let Some(seat) = context.lobby.enter(peer.ip()) else {
            context.config.stats.unpublished_total.add(1);
            continue;
        };
        let span = tracing::info_span!(
            "ingest",
            proto = proto(&context.tls),
            session = super::next_session(),
            %peer,
            channel = tracing::field::Empty,
            stream = tracing::field::Empty,
        );
        // A socket belongs to the event loop on which it was made, and is to be on its lane's.
        let Ok(stream) = stream.into_std() else {
            continue;
        };
        let on = context.config.lanes.clone();
        on.spawn(
            &tasks,
            lanes::COPIER,
            handle(stream, peer, seat, context.clone()).instrument(span),
        );
    }
}

fn proto(tls: &Option<Tls>) -> &'static str {
    if tls.is_some() { "rtmps" } else { "rtmp" }
}

/// One connection from accept to close.
async fn handle<A: Admit>(
    stream: std::net::TcpStream,
    peer: SocketAddr,
    seat: Seat,
    context: Context<A>,
) {
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(err) => {
            context.config.stats.unpublished_total.add(1);
            tracing::error!(%err, "cannot serve a connection");
            return;
        }
    };
    // Answers are small and the encoder waits for each of them.
    let _ = stream.set_nodelay(true);
    let proto = proto(&context.tls);
    let Some(tls) = &context.tls else {
        return Connection::new(stream, peer, proto, context)
            .run(seat, WAITING_DEADLINE)
            .await;
    };
    let acceptor = TlsAcceptor::from(tls.load_full());
    let accept = async {
        tokio::select! {
            () = seat.dismissed() => None,
            () = context.tasks.stopped() => None,
            accepted = acceptor.accept(stream) => accepted.ok(),
        }
    };
    // Half for TLS, half for the rest: together no more than without TLS.
    let half = WAITING_DEADLINE / 2;
    match tokio::time::timeout(half, accept).await.ok().flatten() {
        Some(stream) => {
            Connection::new(stream, peer, proto, context)
                .run(seat, half)
                .await
        }
        None => {
            context.config.stats.unpublished_total.add(1);
            tracing::debug!("no TLS session came about");
        }
    }
}

/// The publisher that the behaviour tests use as well.
#[cfg(test)]
#[path = "../../../tests/common/rtmp.rs"]
mod publisher;
#[cfg(test)]
mod tests;
