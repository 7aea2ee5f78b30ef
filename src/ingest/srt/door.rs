//! Who is let in. In: a caller's stream id, before its connection exists. Out: yes, or a code of the SRT
//! Access Control Guidelines; and what the caller asked for, kept until its connection stands.
//!
//! [`Door::answer`] runs on libsrt's receive thread, for which all callers of the port wait: it looks
//! things up in memory and writes at most a few log lines a second.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use super::call::Handover;
use super::ffi::{Id, Library};
use super::{Config, socket, streamid};
use crate::base::network::site;
use crate::base::secret::Secret;
use crate::hub::{PublishRequest, Refusal};
use crate::ingest::port::Admit;
use crate::ingest::told::Told;

/// Callers let in and not admitted yet. Each holds a receive buffer: 256 x 256 KiB, and what it sends.
const MAX_WAITING: usize = 256;
/// The same of one address. A studio behind one address has fewer encoders that start in the same second.
const MAX_WAITING_PER_SITE: usize = 96;
/// A caller that was let in and is not connected within this is forgotten: the answer to its handshake is
/// made at once.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// access_control.h: the codes in use here.
mod code {
    pub(super) const OVERLOAD: i32 = 1402;
    pub(super) const FORBIDDEN: i32 = 1403;
    pub(super) const NOT_FOUND: i32 = 1404;
    pub(super) const BAD_MODE: i32 = 1405;
    pub(super) const INTERNAL: i32 = 1500;
    pub(super) const DOWN: i32 = 1503;
}

/// A caller that was let in.
#[derive(Debug)]
pub(super) struct Guest {
    /// What it asks for.
    pub(super) request: PublishRequest,
    /// Its place among those that wait.
    pub(super) seat: Seat,
    has_passphrase: bool,
    since: Duration,
}

/// Decides on callers, and knows those that were let in and have no connection yet.
#[derive(Debug)]
pub(super) struct Door<A> {
    pub(super) admit: A,
    pub(super) config: Config,
    library: Library,
    guests: Mutex<HashMap<Id, Guest>>,
    seats: Seats,
    told: Told,
    /// Connections that we made ourselves, on their way to the reactor.
    pub(super) handover: Handover,
    is_closed: AtomicBool,
    reactor: OnceLock<Thread>,
}

struct No {
    code: i32,
    reason: String,
}

impl No {
    fn new(code: i32, reason: impl ToString) -> No {
        No {
            code,
            reason: reason.to_string(),
        }
    }
}

impl From<streamid::Error> for No {
    fn from(error: streamid::Error) -> No {
        let code = match error {
            streamid::Error::NoKey => code::NOT_FOUND,
            streamid::Error::Mode(_) => code::BAD_MODE,
        };
        No::new(code, error)
    }
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> No {
        let code = match refusal {
            Refusal::UnknownKey => code::NOT_FOUND,
            Refusal::NotAllowed(_) => code::FORBIDDEN,
            Refusal::Full(_) => code::OVERLOAD,
            Refusal::Undecided(_) => code::DOWN,
        };
        No::new(code, refusal)
    }
}

impl<A: Admit> Door<A> {
    pub(super) fn new(admit: A, config: Config, library: Library) -> Door<A> {
        Door {
            admit,
            config,
            library,
            guests: Mutex::default(),
            seats: Seats::default(),
            told: Told::new(super::PROTO),
            handover: Handover::default(),
            is_closed: AtomicBool::new(false),
            reactor: OnceLock::new(),
        }
    }

    /// Whom to wake when there is something to do.
    pub(super) fn set_reactor(&self, thread: Thread) {
        let _ = self.reactor.set(thread);
    }

    /// Wakes the reactor.
    pub(super) fn wake(&self) {
        if let Some(thread) = self.reactor.get() {
            thread.unpark();
        }
    }

    /// Nobody is let in any more.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// The answer to a caller: let in, or the code of a refusal.
    pub(super) fn answer(&self, id: Id, peer: SocketAddr, stream_id: &[u8]) -> Result<(), i32> {
        let parsed = streamid::parse(stream_id);
        let key = parsed.as_ref().ok().map(|found| found.key.clone());
        let answer = parsed.map_err(No::from).and_then(|found| {
            let request = PublishRequest {
                proto: super::PROTO,
                peer,
                key: found.key,
                capabilities: found.capabilities,
                tags: found.tags,
            };
            self.let_in(id, request)
        });
        answer.map_err(|no| {
            self.config.stats.refused_total.add(1);
            self.tell(peer, key.as_ref(), Some(no.code), &no.reason);
            no.code
        })
    }

    fn let_in(&self, id: Id, request: PublishRequest) -> Result<(), No> {
        if self.is_closed() {
            return Err(No::new(code::OVERLOAD, "shutting down"));
        }
        let channel = self.admit.preview(&request)?;
        let Some(seat) = self.seats.take(request.peer.ip()) else {
            let reason = "no capacity: too many callers that are not admitted yet";
            return Err(No::new(code::OVERLOAD, reason));
        };
        let own = self.config.channel_passphrases.get(&channel);
        let passphrase = own.or(self.config.passphrase.as_ref());
        if let Some(passphrase) = passphrase {
            socket::require(id, passphrase).map_err(|error| No::new(code::INTERNAL, error))?;
        }
        let guest = Guest {
            request,
            seat,
            has_passphrase: passphrase.is_some(),
            since: self.library.now(),
        };
        self.guests().insert(id, guest);
        self.config.stats.connections_total.add(1);
        self.wake();
        Ok(())
    }

    /// Takes what the caller asked for whose connection stands.
    pub(super) fn take(&self, id: Id) -> Option<Guest> {
        self.guests().remove(&id)
    }

    /// Forgets those whose connection did not come about, and says so. Called at each tick of the reactor.
    pub(super) fn sweep(&self, now: Duration) {
        let mut gone = Vec::new();
        let late = |guest: &Guest| now.saturating_sub(guest.since) > CONNECT_DEADLINE;
        self.guests().retain(|id, guest| {
            let stays = id.is_alive() && !late(guest);
            if !stays {
                gone.push((
                    guest.request.peer,
                    guest.request.key.clone(),
                    guest.has_passphrase,
                ));
            }
            stays
        });
        for (peer, key, has_passphrase) in gone {
            self.config.stats.unpublished_total.add(1);
            let reason = match has_passphrase {
                true => {
                    "the handshake failed: the caller's passphrase is missing or wrong, or it sends no \
                     live messages"
                }
                false => {
                    "the handshake failed: the caller encrypts, and no passphrase is set here, or it \
                     sends no live messages"
                }
            };
            self.tell(peer, Some(&key), None, reason);
        }
        self.told.turn(now);
    }

    /// Whether nothing is left to sweep.
    pub(super) fn is_quiet(&self) -> bool {
        self.told.turn(self.library.now()) && self.guests().is_empty()
    }

    /// Says in the log who was refused, unless there are too many of them.
    pub(super) fn tell(
        &self,
        peer: SocketAddr,
        key: Option<&Secret>,
        code: Option<i32>,
        reason: &str,
    ) {
        if !self.told.admits(self.library.now()) {
            // It tells the number when the second is over.
            self.wake();
            return;
        }
        let channel = key.map(|key| format!("key:{}", key.fingerprint()));
        tracing::info!(proto = super::PROTO, %peer, channel, code, reason, "caller refused");
    }

    fn guests(&self) -> MutexGuard<'_, HashMap<Id, Guest>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Callers that wait, by address. Cloning shares it.
#[derive(Clone, Debug, Default)]
struct Seats(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A place among the callers that wait, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    site: IpAddr,
}

impl Seats {
    fn take(&self, address: IpAddr) -> Option<Seat> {
        let site = site(address);
        let mut waiting = self.lock();
        let of_site = waiting.get(&site).copied().unwrap_or(0);
        if of_site >= MAX_WAITING_PER_SITE || waiting.values().sum::<usize>() >= MAX_WAITING {
            return None;
        }
        waiting.insert(site, of_site + 1);
        drop(waiting);
        Some(Seat {
            seats: self.clone(),
            site,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut waiting = self.seats.lock();
        if let Some(count) = waiting.get_mut(&self.site) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.site);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_only_its_own_places_and_gives_them_back() {
        let seats = Seats::default();
        let address = |last: usize| IpAddr::from([10, 0, 0, u8::try_from(last).unwrap()]);
        let mut taken: Vec<Seat> = Vec::new();
        while let Some(seat) = seats.take(address(1)) {
            taken.push(seat);
        }
        assert_eq!(taken.len(), MAX_WAITING_PER_SITE);
        let mut others = Vec::new();
        while let Some(seat) = seats.take(address(2 + others.len())) {
            others.push(seat);
        }
        assert_eq!(taken.len() + others.len(), MAX_WAITING);
        taken.pop();
        assert!(seats.take(address(1)).is_some());
        drop((taken, others));
        assert!(seats.lock().is_empty());
    }
}
