//! SRT ingest. In: callers of one UDP port or several. Out: tracks and access units, pushed into the hub
//! by each caller's own task. Not here: what a transport stream is made of (`format::ts`), serving over
//! SRT.
//!
//! A caller is let in or refused by `door` before its connection exists, on libsrt's receive thread. One
//! thread of ours, `reactor`, takes what libsrt has put in order and in time for all callers, and hands
//! it to `caller`, the task that feeds the hub. `ffi` alone speaks with libsrt.

mod address;
mod call;
mod caller;
mod door;
mod ffi;
mod port;
mod reactor;
mod socket;
mod statistics;
pub mod streamid;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::port::Admit;
pub use super::stats::Stats;
use crate::base::lanes::Lanes;
use crate::base::secret::Secret;
use crate::base::shutdown::Tasks;
use crate::hub::Hub;
pub use call::{Call, Dialer, Ended};
use door::Door;
use ffi::{Handle, Library};
use reactor::Reactor;
use socket::Options;

/// What the hub and logs call it.
const PROTO: &str = "srt";
/// Longest latency, ours or a caller's: what the receive buffer holds at 20 Mb/s. libsrt takes the larger
/// value of the two sides and cannot be told otherwise, so a caller that asks for more is closed.
pub const MAX_LATENCY: Duration = Duration::from_secs(8);
/// Settings of the listeners.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long an accepted publish may go without a whole access unit
    /// (`FOREBAY_PUBLISH_TIMEOUT_SECONDS`).
    pub publish_timeout: Duration,
    /// What every caller must encrypt with (`FOREBAY_SRT_PASSPHRASE`).
    pub passphrase: Option<Secret>,
    /// Passphrases of single channels, by channel id, in its place.
    pub channel_passphrases: HashMap<String, Secret>,
    /// The threads that run callers' tasks.
    pub lanes: Lanes,
    /// Where the listeners count.
    pub stats: Arc<Stats>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            publish_timeout: Duration::from_secs(10),
            passphrase: None,
            channel_passphrases: HashMap::new(),
            lanes: Lanes::none(),
            stats: Arc::default(),
        }
    }
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The library does not start.
    #[error("libsrt does not start: {0}")]
    Library(io::Error),
    /// A port cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// Version of libsrt, as in `1.5.1`.
pub fn library_version() -> String {
    Library::version()
}

/// Ports that are taken, and not served yet.
#[derive(Debug, Default)]
pub struct Listeners {
    library: Option<Library>,
    ports: Vec<Handle>,
    addresses: Vec<SocketAddr>,
}

impl Listeners {
    /// Takes the ports. `latency`: ours (`FOREBAY_SRT_LATENCY_MS`).
    pub fn bind(addresses: &[SocketAddr], latency: Duration) -> Result<Listeners, Error> {
        if addresses.is_empty() {
            return Ok(Listeners::default());
        }
        let library = Library::start().map_err(|error| Error::Library(error.io()))?;
        let options = Options {
            latency,
            ..Options::default()
        };
        let mut listeners = Listeners::default();
        for address in addresses {
            // [::] takes IPv4 callers too, unless there is a listener of their own.
            let same_port = |other: &SocketAddr| other.port() == address.port();
            let ipv6_only = address.port() != 0
                && addresses
                    .iter()
                    .any(|other| other.is_ipv4() && same_port(other));
            let bound = socket::bind(&library, *address, ipv6_only, &options)
                .and_then(|handle| Ok((handle.address().map_err(|error| error.io())?, handle)));
            let (bound, handle) = bound.map_err(|source| Error::Bind {
                address: *address,
                source,
            })?;
            listeners.ports.push(handle);
            listeners.addresses.push(bound);
        }
        listeners.library = Some(library);
        Ok(listeners)
    }

    /// Starts libsrt although there may be no listener: for calls of our own.
    pub fn for_calls(mut self) -> Result<Listeners, Error> {
        if self.library.is_none() {
            let library = Library::start().map_err(|error| Error::Library(error.io()))?;
            self.library = Some(library);
        }
        Ok(self)
    }

    /// Where they listen: with port 0, the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// SRT in both directions: listeners, and calls of our own.
#[derive(Debug)]
pub struct Server {
    library: Library,
    ports: Vec<Handle>,
    door: Arc<Door<Hub>>,
    tasks: Tasks,
}

impl Server {
    /// What serves these listeners; `None` when there is nothing to do, see [`Listeners::for_calls`].
    pub fn new(listeners: Listeners, hub: Hub, config: Config, tasks: Tasks) -> Option<Server> {
        let library = listeners.library?;
        Some(Server {
            door: Arc::new(Door::new(hub, config, library.clone())),
            ports: listeners.ports,
            library,
            tasks,
        })
    }

    /// Makes calls while the server runs.
    pub fn dialer(&self) -> Dialer {
        Dialer::new(self.library.clone(), self.door.clone(), self.tasks.clone())
    }

    /// Runs until the tasks are stopped.
    pub async fn run(self) {
        receive(self.library, self.ports, self.door, self.tasks).await;
    }
}

/// A server for another hub.
#[cfg(test)]
async fn serve<A: Admit>(listeners: Listeners, admit: A, config: Config, tasks: Tasks) {
    let library = listeners.library.expect("a test has a listener");
    let door = Arc::new(Door::new(admit, config, library.clone()));
    receive(library, listeners.ports, door, tasks).await;
}

async fn receive<A: Admit>(library: Library, ports: Vec<Handle>, door: Arc<Door<A>>, tasks: Tasks) {
    let reactor = match Reactor::new(library, ports, door.clone(), tasks.clone()) {
        Ok(reactor) => reactor,
        Err(err) => {
            tracing::error!(%err, "cannot take callers");
            return;
        }
    };
    let (ended, mut end) = oneshot::channel();
    let run = move || {
        reactor.run();
        let _ = ended.send(());
    };
    let thread = match std::thread::Builder::new()
        .name("srt".to_owned())
        .spawn(run)
    {
        Ok(thread) => thread,
        Err(err) => {
            tracing::error!(%err, "cannot take callers");
            return;
        }
    };
    let running = Running {
        door,
        thread: Some(thread),
    };
    tokio::select! {
        () = tasks.stopped() => {
            running.door.close();
            let _ = end.await;
        }
        // Only a panic ends it before.
        _ = &mut end => {}
    }
}

/// The thread, which ends with this: a runtime may be dropped without a stop, and what libsrt does at the
/// end of the process must find nobody at work in it.
struct Running<A: Admit> {
    door: Arc<Door<A>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl<A: Admit> Drop for Running<A> {
    fn drop(&mut self) {
        self.door.close();
        if self.thread.take().is_some_and(|it| it.join().is_err()) {
            tracing::error!("the thread of SRT callers panicked");
        }
    }
}

#[cfg(test)]
mod tests;
