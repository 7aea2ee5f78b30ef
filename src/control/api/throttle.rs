//! How often a password may be wrong: of an account, and from an address. Counted in memory, from the first
//! attempt on, and anew when the window is over.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Error;

/// What is counted together.
const WINDOW: Duration = Duration::from_secs(300);
/// Wrong passwords of an account in that time: nobody guesses by 2,880 a day.
const MAX_OF_ACCOUNT: u32 = 10;
/// Wrong passwords from an address in that time: an office or a carrier may share one.
const MAX_OF_ADDRESS: u32 = 50;
/// Accounts, and addresses, that are counted.
const MAX_COUNTED: usize = 10_000;

/// Who is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Tenant and address of mail, whether there is such a user or not.
    Account(String, String),
    /// A host, or a network where one host has all of it.
    Address(IpAddr),
}

/// Attempts at passwords.
#[derive(Debug, Default)]
pub(in crate::control) struct Attempts {
    accounts: Mutex<HashMap<Key, Attempt>>,
    addresses: Mutex<HashMap<Key, Attempt>>,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    /// Monotonic time.
    began: Duration,
    count: u32,
}

/// An attempt, counted as a wrong one until it is known to be right.
#[derive(Debug)]
pub(super) struct Counted {
    account: Key,
    address: Option<Key>,
}

impl Attempts {
    /// Counts an attempt, at a moment of the monotonic clock, before it is known whether the password is
    /// right: otherwise many at once would all be the first.
    pub(super) fn take(
        &self,
        (tenant, email): (&str, &str),
        address: Option<IpAddr>,
        now: Duration,
    ) -> Result<Counted, Error> {
        let account = Key::Account(tenant.to_owned(), email.to_lowercase());
        let address = address.map(|address| Key::Address(network(address)));
        if let Some(address) = &address {
            take(&self.addresses, address, MAX_OF_ADDRESS, now)?;
        }
        take(&self.accounts, &account, MAX_OF_ACCOUNT, now)?;
        Ok(Counted { account, address })
    }

    /// The password was right.
    pub(super) fn forgive(&self, counted: &Counted) {
        lock(&self.accounts).remove(&counted.account);
        if let Some(address) = &counted.address
            && let Some(attempt) = lock(&self.addresses).get_mut(address)
        {
            attempt.count = attempt.count.saturating_sub(1);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(
    attempts: &Mutex<HashMap<Key, Attempt>>,
    key: &Key,
    most: u32,
    now: Duration,
) -> Result<(), Error> {
    let mut attempts = lock(attempts);
    let is_over = |attempt: &Attempt| now.saturating_sub(attempt.began) >= WINDOW;
    if attempts.len() >= MAX_COUNTED && !attempts.contains_key(key) {
        attempts.retain(|_, attempt| !is_over(attempt));
        let oldest = attempts.iter().min_by_key(|(_, attempt)| attempt.began);
        if attempts.len() >= MAX_COUNTED
            && let Some((oldest, _)) = oldest
        {
            let oldest = oldest.clone();
            attempts.remove(&oldest);
        }
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
fn network(address: IpAddr) -> IpAddr {
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
    fn an_address_is_closed_to_guesses_whatever_accounts_they_are_for() {
        let attempts = Attempts::default();
        let from = |host: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host]));
        for number in 0..MAX_OF_ADDRESS {
            let email = format!("{number}@b");
            let counted = attempts.take(("app", &email), from(number as u16), at(0));
            // One that was right does not count.
            attempts.forgive(&counted.unwrap());
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
        }
        let accounts = lock(&attempts.accounts);
        assert_eq!(accounts.len(), MAX_COUNTED);
        assert!(!accounts.contains_key(&Key::Account("app".to_owned(), "0@b".to_owned())));
    }
}
