//! How often a password may be wrong: from an address, for an account from one address, and for an account
//! from everywhere. Counted in memory, from the first attempt on, and anew when the window is over.
//!
//! Who guesses must not lock out whose account it is. So one address reaches its own limit before that of
//! the account, and the limit of the account does not hold where its password was right before.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Error;

/// What is counted together.
const WINDOW: Duration = Duration::from_secs(300);
/// Wrong passwords of an account from one address in that time: nobody mistypes more.
const MAX_OF_PLACE: u32 = 10;
/// Wrong passwords of an account in that time, from addresses where it was never right: nobody guesses by
/// 8,640 a day, and it takes three addresses to get there.
const MAX_OF_ACCOUNT: u32 = 30;
/// Wrong passwords from an address in that time: an office or a carrier may share one.
const MAX_OF_ADDRESS: u32 = 50;
/// Accounts, addresses, and places of each, that are counted or remembered.
const MAX_COUNTED: usize = 10_000;

/// Who is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Tenant and address of mail, whether there is such a user or not.
    Account(String, String),
    /// A host, or a network where one host has all of it.
    Address(IpAddr),
    /// An account at a host.
    Place(String, String, IpAddr),
}

/// Attempts at passwords.
#[derive(Debug, Default)]
pub(in crate::control) struct Attempts {
    accounts: Counts,
    addresses: Counts,
    places: Counts,
    /// Places where the password was right, and when last.
    known: Counts,
}

type Counts = Mutex<HashMap<Key, Attempt>>;

#[derive(Clone, Copy, Debug)]
struct Attempt {
    /// Monotonic time.
    began: Duration,
    count: u32,
}

/// An attempt, counted as a wrong one until it is known to be right.
#[derive(Debug)]
pub(super) struct Counted {
    /// Unless it does not count against the account.
    account: Option<Key>,
    /// Unless it is not known whence it came.
    whence: Option<(Key, Key)>,
}

impl Attempts {
    /// Counts an attempt, at a moment of the monotonic clock, before it is known whether the password is
    /// right: otherwise many at once would all be the first.
    pub(super) fn take(
        &self,
        account: (&str, &str),
        address: Option<IpAddr>,
        now: Duration,
    ) -> Result<Counted, Error> {
        let whence =
            address.map(|address| (Key::Address(network(address)), place(account, address)));
        if let Some((address, place)) = &whence {
            take(&self.addresses, address, MAX_OF_ADDRESS, now)?;
            take(&self.places, place, MAX_OF_PLACE, now)?;
        }
        let is_known = |(_, place): &(Key, Key)| lock(&self.known).contains_key(place);
        let account = match whence.as_ref().is_some_and(is_known) {
            true => None,
            false => Some(Key::Account(account.0.to_owned(), account.1.to_lowercase())),
        };
        if let Some(account) = &account {
            take(&self.accounts, account, MAX_OF_ACCOUNT, now)?;
        }
        Ok(Counted { account, whence })
    }

    /// The password was right.
    pub(super) fn forgive(&self, counted: Counted, now: Duration) {
        if let Some(account) = &counted.account {
            give_back(&self.accounts, account);
        }
        if let Some((address, place)) = counted.whence {
            give_back(&self.addresses, &address);
            lock(&self.places).remove(&place);
            self.know(place, now);
        }
    }

    /// The account was made here.
    pub(super) fn made(&self, account: (&str, &str), address: Option<IpAddr>, now: Duration) {
        if let Some(address) = address {
            self.know(place(account, address), now);
        }
    }

    fn know(&self, place: Key, now: Duration) {
        let mut known = lock(&self.known);
        if !known.contains_key(&place) {
            make_room(&mut known);
        }
        let began = now;
        known.insert(place, Attempt { began, count: 0 });
    }
}

fn place((tenant, email): (&str, &str), address: IpAddr) -> Key {
    Key::Place(tenant.to_owned(), email.to_lowercase(), network(address))
}

fn give_back(attempts: &Counts, key: &Key) {
    if let Some(attempt) = lock(attempts).get_mut(key) {
        attempt.count = attempt.count.saturating_sub(1);
    }
}

/// The oldest goes where there are too many.
fn make_room(attempts: &mut HashMap<Key, Attempt>) {
    let oldest = attempts.iter().min_by_key(|(_, attempt)| attempt.began);
    if attempts.len() >= MAX_COUNTED
        && let Some((oldest, _)) = oldest
    {
        let oldest = oldest.clone();
        attempts.remove(&oldest);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(attempts: &Counts, key: &Key, most: u32, now: Duration) -> Result<(), Error> {
    let mut attempts = lock(attempts);
    let is_over = |attempt: &Attempt| now.saturating_sub(attempt.began) >= WINDOW;
    if attempts.len() >= MAX_COUNTED && !attempts.contains_key(key) {
        attempts.retain(|_, attempt| !is_over(attempt));
        make_room(&mut attempts);
    }
    let fresh = Attempt {
        began: now,
        count: 0,
    };
    let attempt = attempts.entry(key.clone()).or_insert(fresh);
    if is_over(attempt) {
        *attempt = fresh;
    }
    if attempt.count >= most {
        return Err(Error::TooMany(attempt.began + WINDOW - now));
    }
    attempt.count += 1;
    Ok(())
}

/// What one host can choose its address from: all of a /64 in IPv6.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let host = u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !host))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_account_is_closed_to_guesses_for_a_while_from_wherever_they_come() {
        let attempts = Attempts::default();
        for number in 0..MAX_OF_ACCOUNT {
            let from = IpAddr::from([192, 0, 2, number as u8]);
            attempts.take(("app", "a@b"), Some(from), at(0)).unwrap();
        }
        let refused = attempts.take(("app", "A@b"), None, at(100)).unwrap_err();
        assert_eq!(refused, Error::TooMany(at(200)));
        attempts.take(("other", "a@b"), None, at(100)).unwrap();
        attempts.take(("app", "a@b"), None, at(300)).unwrap();
    }

    #[test]
    fn who_guesses_locks_nobody_out_where_the_password_was_right_or_from_one_address() {
        let attempts = Attempts::default();
        let host = |host: u8| Some(IpAddr::from([192, 0, 2, host]));
        let (home, account) = (host(1), ("app", "a@b"));
        let right = attempts.take(account, home, at(0)).unwrap();
        attempts.forgive(right, at(0));
        let guess = |from| attempts.take(account, from, at(1)).is_ok();
        // One that guesses is held up long before the account is.
        assert_eq!((0..100).filter(|_| guess(host(2))).count(), 10);
        assert!(guess(host(3)));
        // Many close the account, but not where it was at home, or was made.
        let hosts = (4..=250).filter(|number| guess(host(*number)));
        assert_eq!(hosts.count(), MAX_OF_ACCOUNT as usize - 11);
        attempts.made(account, host(251), at(1));
        assert!(guess(home) && guess(host(251)));
        // There it can be guessed as seldom as anywhere.
        assert_eq!((0..100).filter(|_| guess(home)).count(), 9);
    }

    #[test]
    fn an_address_is_closed_to_guesses_whatever_accounts_they_are_for() {
        let attempts = Attempts::default();
        let from = |host: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host]));
        for number in 0..MAX_OF_ADDRESS {
            let email = format!("{number}@b");
            let counted = attempts.take(("app", &email), from(number as u16), at(0));
            // One that was right does not count.
            attempts.forgive(counted.unwrap(), at(0));
            attempts
                .take(("app", &email), from(number as u16), at(0))
                .unwrap();
        }
        assert!(attempts.take(("app", "new@b"), from(999), at(1)).is_err());
        let other = Some(IpAddr::from([192, 0, 2, 1]));
        attempts.take(("app", "new@b"), other, at(1)).unwrap();
    }

    #[test]
    fn what_is_counted_is_bounded_and_the_oldest_goes() {
        let attempts = Attempts::default();
        for number in 0..MAX_COUNTED as u64 + 10 {
            let email = format!("{number}@b");
            let now = Duration::from_micros(number);
            attempts.take(("app", &email), None, now).unwrap();
            let place = Some(IpAddr::from([192, 0, 2, 1]));
            attempts.made(("app", &email), place, now);
        }
        assert_eq!(lock(&attempts.known).len(), MAX_COUNTED);
        let accounts = lock(&attempts.accounts);
        assert_eq!(accounts.len(), MAX_COUNTED);
        assert!(!accounts.contains_key(&Key::Account("app".to_owned(), "0@b".to_owned())));
    }
}
