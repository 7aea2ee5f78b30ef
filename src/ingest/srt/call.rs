//! Calls of our own. In: an address and what to ask for. Out: a connection that the reactor receives for,
//! and whose media the hub is given like those of a caller. Not here: whom to call and how often
//! (`ingest::pull`).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::caller::{Caller, End};
use super::door::Door;
use super::ffi::{self, Library};
use super::reactor::{Message, QUEUE_BATCHES};
use super::socket::{Options, Socket};
use super::{MAX_LATENCY, PROTO};
use crate::base::secret::Secret;
use crate::base::shutdown::Tasks;
use crate::hub::Hub;

/// How long a far side is called before it counts as one that does not answer: twelve handshakes, which is
/// libsrt's default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The same by our clock, should libsrt forget.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How often a connection that is being made is looked at.
const CONNECT_TICK: Duration = Duration::from_millis(20);

/// What a far side is asked for.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Which stream, at most 512 bytes.
    pub stream_id: Option<Secret>,
    /// What to encrypt with; `None`: in the clear.
    pub passphrase: Option<Secret>,
    /// Time to get lost packets again; the far side may ask for more.
    pub latency: Duration,
    /// Length of the AES key, bytes; `None` leaves it to the far side.
    pub key_bytes: Option<u8>,
}

/// Why a call brought no publish.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// libsrt does not even try.
    #[error("cannot call: {0}")]
    Call(String),
    /// The far side, or libsrt in its name, refused.
    #[error("refused by the far side: {text} ({code})")]
    Refused {
        /// A code of libsrt below 1000, one of `access_control.h` from there on.
        code: i32,
        /// What it means.
        text: String,
    },
    /// Nothing came back.
    #[error("the far side does not answer")]
    NoAnswer,
    /// It wants more than the receiver can hold.
    #[error("the far side asks for a latency of {0:?}, at most {MAX_LATENCY:?} is given")]
    Latency(Duration),
    /// The hub does not take what would come.
    #[error("not admitted: {0}")]
    NotAdmitted(String),
}

/// How a connection that was published ended.
#[derive(Debug)]
pub struct Ended {
    /// Whether the hub was given media that it can use.
    pub delivered: bool,
    /// Why it ended, in words.
    pub reason: String,
}

/// Connections that the reactor has not taken over yet: one per pulled channel at most, since each channel
/// waits for its own.
#[derive(Debug, Default)]
pub(super) struct Handover(Mutex<VecDeque<Connection>>);

/// A connection that stands, and where its media go.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Socket,
    pub(super) sender: mpsc::Sender<Message>,
    pub(super) latency: Duration,
}

impl Handover {
    fn put(&self, connection: Connection) {
        let mut waiting = self.lock();
        // Who waited for them has given up.
        waiting.retain(|other| !other.sender.is_closed());
        waiting.push_back(connection);
    }

    pub(super) fn take(&self) -> Option<Connection> {
        self.lock().pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes calls. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Dialer {
    library: Library,
    door: Arc<Door<Hub>>,
    tasks: Tasks,
}

impl Dialer {
    pub(super) fn new(library: Library, door: Arc<Door<Hub>>, tasks: Tasks) -> Dialer {
        Dialer {
            library,
            door,
            tasks,
        }
    }

    /// Calls, and publishes what comes on a channel until it ends. Dropping it hangs up.
    pub async fn call(
        &self,
        address: SocketAddr,
        call: &Call,
        channel_id: &str,
    ) -> Result<Ended, Error> {
        let socket = self.connect(address, call).await?;
        let latency = socket.latency();
        if latency > MAX_LATENCY {
            return Err(Error::Latency(latency));
        }
        let (sender, receiver) = mpsc::channel(QUEUE_BATCHES);
        let mut caller = Caller::new(self.door.clone(), receiver, self.tasks.clone());
        self.door.handover.put(Connection {
            socket,
            sender,
            latency,
        });
        self.door.wake();
        let asked = self.door.admit.publish_pulled(channel_id, PROTO, address);
        let sink = caller.admit(asked).await;
        let sink = sink.map_err(|end| Error::NotAdmitted(end.to_string()))?;
        let end = caller.publish(sink).await;
        Ok(Ended {
            delivered: caller.has_delivered() && !matches!(end, End::Unsupported(_)),
            reason: end.to_string(),
        })
    }

    async fn connect(&self, address: SocketAddr, call: &Call) -> Result<Socket, Error> {
        let options = Options {
            latency: call.latency,
            connect_timeout: CONNECT_TIMEOUT,
            passphrase: call.passphrase.clone(),
            key_bytes: call.key_bytes.map_or(0, i32::from),
            stream_id: call.stream_id.as_ref().map(|id| id.expose().to_owned()),
        };
        let failed = |error: ffi::Error| Error::Call(error.io().to_string());
        let socket = Socket::connect(&self.library, address, &options).map_err(failed)?;
        let mut tick = interval(CONNECT_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let connecting = async {
            while !socket.is_connected() && socket.is_alive() {
                tick.tick().await;
            }
        };
        if timeout(CONNECT_DEADLINE, connecting).await.is_err() {
            return Err(Error::NoAnswer);
        }
        if socket.is_connected() {
            return Ok(socket);
        }
        Err(refusal(socket.reject_reason()))
    }
}

/// The far side's refusal in words. Its own codes are those of the SRT Access Control Guidelines, which
/// libsrt has no text for.
fn refusal((code, text): (i32, String)) -> Error {
    // srt.h: SRT_REJ_UNKNOWN, when nobody refused, and SRT_REJ_TIMEOUT.
    const UNKNOWN: i32 = 0;
    const TIMEOUT: i32 = 16;
    let text = match code {
        UNKNOWN | TIMEOUT => return Error::NoAnswer,
        1400 => "bad request".to_owned(),
        1401 => "unauthorized".to_owned(),
        1402 => "overloaded".to_owned(),
        1403 => "forbidden".to_owned(),
        1404 => "not found".to_owned(),
        1405 => "bad mode".to_owned(),
        1409 => "locked by somebody else".to_owned(),
        1500 => "internal error".to_owned(),
        1503 => "unavailable".to_owned(),
        _ => text,
    };
    Error::Refused { code, text }
}
