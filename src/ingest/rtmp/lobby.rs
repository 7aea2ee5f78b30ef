//! Connections that do not publish yet. They are bounded in number, in all and per address; when a
//! bound is reached the oldest gives way, so that whoever opens connections and lets them lie cannot
//! keep a publisher out: a real one is through in a few round trips.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::base::network::site;

/// Handshakes in progress, TLS included. Bounds memory against idle connects: 128 x 16 KiB.
const MAX_HANDSHAKES: usize = 128;
/// Connections before publish, handshakes included. Each holds at most some 100 KiB of commands.
const MAX_WAITING: usize = 256;
/// Connections before publish of one address. A studio behind one address has fewer encoders that
/// start in the same second.
const MAX_WAITING_PER_ADDRESS: usize = 96;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Handshake,
    Commands,
    /// The hub decides: it has its own deadline, and what waits here named a key.
    Admission,
}

#[derive(Debug)]
struct Guest {
    address: IpAddr,
    stage: Stage,
    leave: CancellationToken,
}

#[derive(Debug, Default)]
struct Guests {
    next: u64,
    /// By age.
    waiting: BTreeMap<u64, Guest>,
}

/// All connections before publish. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(super) struct Lobby(Arc<Mutex<Guests>>);

/// A place in the lobby, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    lobby: Lobby,
    id: u64,
    leave: CancellationToken,
}

impl Lobby {
    /// Takes a place. Where a bound is reached the oldest connection is told to leave; `None` when
    /// all of them are being admitted.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Seat> {
        let address = site(address);
        self.with(|guests| {
            let mut handshakes = 0;
            let mut same_address = 0;
            for guest in guests.waiting.values() {
                handshakes += usize::from(guest.stage == Stage::Handshake);
                same_address += usize::from(guest.address == address);
            }
            if same_address >= MAX_WAITING_PER_ADDRESS {
                guests.dismiss(|guest| guest.address == address)?;
            } else if handshakes >= MAX_HANDSHAKES {
                guests.dismiss(|guest| guest.stage == Stage::Handshake)?;
            } else if guests.waiting.len() >= MAX_WAITING {
                guests.dismiss(|_| true)?;
            }
            let id = guests.next;
            guests.next += 1;
            let leave = CancellationToken::new();
            let guest = Guest {
                address,
                stage: Stage::Handshake,
                leave: leave.clone(),
            };
            guests.waiting.insert(id, guest);
            Some(Seat {
                lobby: self.clone(),
                id,
                leave,
            })
        })
    }

    fn with<R>(&self, action: impl FnOnce(&mut Guests) -> R) -> R {
        // A panic while the lock is held leaves a list that is whole, so it is used on.
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Guests {
    fn dismiss(&mut self, which: impl Fn(&Guest) -> bool) -> Option<()> {
        let mut oldest = self.waiting.iter();
        let (id, _) = oldest.find(|(_, g)| g.stage != Stage::Admission && which(g))?;
        let id = *id;
        self.waiting.remove(&id)?.leave.cancel();
        Some(())
    }
}

impl Seat {
    /// Resolves when a newer connection needs the place.
    pub(super) async fn dismissed(&self) {
        self.leave.cancelled().await;
    }

    /// The handshake is done.
    pub(super) fn past_handshake(&self) {
        self.set(Stage::Commands);
    }

    /// The hub decides.
    pub(super) fn being_admitted(&self) {
        self.set(Stage::Admission);
    }

    fn set(&self, stage: Stage) {
        self.lobby.with(|guests| {
            if let Some(guest) = guests.waiting.get_mut(&self.id) {
                guest.stage = stage;
            }
        });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.lobby.with(|guests| guests.waiting.remove(&self.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: usize) -> IpAddr {
        IpAddr::from([
            10,
            0,
            u8::try_from(last / 200).unwrap(),
            u8::try_from(last % 200).unwrap(),
        ])
    }

    #[test]
    fn the_oldest_handshake_gives_way() {
        let lobby = Lobby::default();
        let first = lobby.enter(address(0)).unwrap();
        first.past_handshake();
        let seats: Vec<_> = (1..=MAX_HANDSHAKES)
            .map(|n| lobby.enter(address(n)).unwrap())
            .collect();
        assert!(!seats[0].leave.is_cancelled());
        let late = lobby.enter(address(200)).unwrap();
        assert!(seats[0].leave.is_cancelled() && !seats[1].leave.is_cancelled());
        assert!(!first.leave.is_cancelled() && !late.leave.is_cancelled());
    }

    #[test]
    fn one_address_takes_only_its_own_places() {
        let lobby = Lobby::default();
        let other = lobby.enter(address(0)).unwrap();
        let seats: Vec<_> = (0..MAX_WAITING_PER_ADDRESS)
            .map(|_| lobby.enter(address(1)).unwrap())
            .collect();
        let _late = lobby.enter(address(1)).unwrap();
        assert!(seats[0].leave.is_cancelled() && !other.leave.is_cancelled());
    }

    #[test]
    fn who_is_being_admitted_stays_and_a_full_lobby_takes_nobody() {
        let lobby = Lobby::default();
        let mut seats = Vec::new();
        for n in 0..MAX_WAITING {
            let seat = lobby.enter(address(n)).unwrap();
            seat.being_admitted();
            seats.push(seat);
        }
        assert!(lobby.enter(address(300)).is_none());
        assert!(seats.iter().all(|seat| !seat.leave.is_cancelled()));
        seats.pop();
        assert!(lobby.enter(address(300)).is_some());
    }
}
