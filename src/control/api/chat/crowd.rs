//! How many sockets there are, in all and of one address, and how much those of one address may say. In: a
//! handshake. Out: a ticket, as long as there is room. Sockets stay for hours, so that without bounds of their own
//! they would keep players out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::rooms::Pace;
use crate::base::network::site;
use crate::control::api::Error;

/// Sockets in all: of the 20,000 connections of a gateway, the others are for players and requests. Bounds
/// memory: some 14 KiB each while nobody speaks.
const MAX_SOCKETS: usize = 14_000;
/// Sockets of one address. A carrier or a hall full of phones may share one; it leaves some to the others.
const MAX_OF_ADDRESS: usize = 11_000;
/// Frames of all sockets of an address in a second: half of what a room takes, so that whoever opens many
/// sockets leaves the other half to others.
const OF_ADDRESS: Pace = Pace::new(20.0, 20.0);

/// The sockets that are open. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(in crate::control) struct Crowd(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    open: usize,
    /// How many were let in so far.
    let_in: u64,
    of_sites: HashMap<IpAddr, OfSite>,
}

#[derive(Debug)]
struct OfSite {
    open: usize,
    pace: Pace,
}

/// Leave to have a socket; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Ticket {
    crowd: Crowd,
    site: Option<IpAddr>,
    /// Counts up from socket to socket.
    pub(super) number: u64,
}

impl Crowd {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a socket of an address in, or says that there are too many.
    pub(super) fn let_in(&self, address: Option<IpAddr>) -> Result<Ticket, Error> {
        let site = address.map(site);
        let mut counts = self.counts();
        if counts.open >= MAX_SOCKETS {
            return Err(Error::Capacity("too many listen to chats here".to_owned()));
        }
        if let Some(site) = site {
            let of_site = counts.of_sites.entry(site).or_insert(OfSite {
                open: 0,
                pace: OF_ADDRESS,
            });
            if of_site.open >= MAX_OF_ADDRESS {
                return Err(Error::Capacity(
                    "too many of this address listen to chats".to_owned(),
                ));
            }
            of_site.open += 1;
        }
        counts.open += 1;
        counts.let_in += 1;
        Ok(Ticket {
            crowd: self.clone(),
            site,
            number: counts.let_in,
        })
    }
}

impl Ticket {
    /// Lets the socket say something at a moment of the monotonic clock, or says that those of its address say
    /// too much.
    pub(super) fn admit(&self, now: Duration) -> Result<(), Error> {
        let mut counts = self.crowd.counts();
        let of_site = self.site.and_then(|site| counts.of_sites.get_mut(&site));
        of_site.map_or(Ok(()), |of_site| of_site.pace.take(now))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts();
        counts.open -= 1;
        if let Some(site) = self.site
            && let Entry::Occupied(mut of_site) = counts.of_sites.entry(site)
        {
            of_site.get_mut().open -= 1;
            if of_site.get().open == 0 {
                of_site.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_words_to_others_however_many_sockets_it_has() {
        let crowd = Crowd::default();
        let let_in = |host| crowd.let_in(Some(IpAddr::from([192, 0, 2, host])));
        let tickets: Vec<Ticket> = (0..40).map(|_| let_in(1).unwrap()).collect();
        let at = Duration::from_secs(9);
        let said = tickets.iter().filter(|ticket| ticket.admit(at).is_ok());
        assert_eq!(said.count(), 20);
        let_in(2).unwrap().admit(at).unwrap();
        crowd.let_in(None).unwrap().admit(at).unwrap();
        tickets[0].admit(at + Duration::from_secs(1)).unwrap();
    }

    #[test]
    fn one_address_leaves_room_for_others_and_all_together_have_a_bound() {
        let crowd = Crowd::default();
        let let_in = |host: u16, count: usize| -> Vec<Ticket> {
            let address = IpAddr::from([0x2001, 0xdb8, 0, host, 0, 0, 0, 1]);
            let tickets = (0..count).map(|_| crowd.let_in(Some(address)));
            tickets.map_while(Result::ok).collect()
        };
        let first = let_in(1, MAX_SOCKETS);
        assert_eq!(first.len(), MAX_OF_ADDRESS);
        let second = let_in(2, MAX_SOCKETS);
        assert_eq!(first.len() + second.len(), MAX_SOCKETS);
        assert!(crowd.let_in(None).is_err());
        drop(second);
        assert_eq!(let_in(1, 1).len(), 0);
        drop(first);
        assert_eq!(let_in(1, 1).len(), 1);
        let counts = crowd.counts();
        assert_eq!((counts.open, counts.of_sites.len()), (0, 0));
    }
}
