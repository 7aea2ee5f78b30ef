//! How many sockets there are, in all and of one address. In: a handshake. Out: a ticket, as long as there is
//! room. Sockets stay for hours, so that without bounds of their own they would keep players out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::network::site;
use crate::control::api::Error;

/// Sockets in all: of the 20,000 connections of a gateway, the others are for players and requests. Bounds
/// memory: some 14 KiB each while nobody speaks.
const MAX_SOCKETS: usize = 14_000;
/// Sockets of one address. A carrier or a hall full of phones may share one; it leaves some to the others.
const MAX_OF_ADDRESS: usize = 11_000;

/// The sockets that are open. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(in crate::control) struct Crowd(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    open: usize,
    /// How many were let in so far.
    let_in: u64,
    of_sites: HashMap<IpAddr, usize>,
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
            let of_site = counts.of_sites.entry(site).or_default();
            if *of_site >= MAX_OF_ADDRESS {
                return Err(Error::Capacity(
                    "too many of this address listen to chats".to_owned(),
                ));
            }
            *of_site += 1;
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

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts();
        counts.open -= 1;
        if let Some(site) = self.site
            && let Entry::Occupied(mut of_site) = counts.of_sites.entry(site)
        {
            *of_site.get_mut() -= 1;
            if *of_site.get() == 0 {
                of_site.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
