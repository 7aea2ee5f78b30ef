//! How much each SDK client may ask in an hour (contract, broadcasts, section 1.1). Counted from its first
//! request on, and anew an hour later.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Error;

/// Requests of a client in an hour, unless its row says otherwise.
pub(in crate::control) const REQUESTS_PER_HOUR: u32 = 1000;
/// What is counted together.
const WINDOW: Duration = Duration::from_secs(3600);
/// Clients that are counted. Those whose hour is over are forgotten first; only who has a key is counted.
const MAX_CLIENTS: usize = 10_000;

/// Counts by application id.
#[derive(Debug, Default)]
pub(in crate::control) struct Hours(Mutex<HashMap<String, Hour>>);

#[derive(Clone, Copy, Debug)]
struct Hour {
    /// Monotonic time.
    began: Duration,
    requests: u32,
}

impl Hours {
    /// Counts a request at a moment of the monotonic clock.
    pub(super) fn take(&self, client: &str, limit: u32, now: Duration) -> Result<(), Error> {
        let mut hours = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |hour: &Hour| now.saturating_sub(hour.began) >= WINDOW;
        if hours.len() >= MAX_CLIENTS && !hours.contains_key(client) {
            hours.retain(|_, hour| !is_over(hour));
            if hours.len() >= MAX_CLIENTS {
                // To begin anew is kinder than to refuse a new one.
                hours.clear();
            }
        }
        let fresh = Hour {
            began: now,
            requests: 0,
        };
        let hour = hours.entry(client.to_owned()).or_insert(fresh);
        if is_over(hour) {
            *hour = fresh;
        }
        if hour.requests >= limit {
            return Err(Error::TooMany(hour.began + WINDOW - now));
        }
        hour.requests += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_has_its_requests_and_the_next_one_as_many() {
        let hours = Hours::default();
        let at = Duration::from_secs;
        for second in 0..3 {
            hours.take("a", 3, at(second)).unwrap();
        }
        assert_eq!(hours.take("a", 3, at(10)), Err(Error::TooMany(at(3590))));
        hours.take("b", 3, at(10)).unwrap();
        hours.take("a", 4, at(11)).unwrap();
        assert!(hours.take("a", 4, at(3599)).is_err());
        hours.take("a", 3, at(3600)).unwrap();
    }

    #[test]
    fn what_is_remembered_of_clients_is_bounded() {
        let hours = Hours::default();
        for number in 0..3 * MAX_CLIENTS {
            let client = format!("client-{number}");
            hours.take(&client, 1, Duration::ZERO).unwrap();
        }
        assert!(hours.0.lock().unwrap().len() <= MAX_CLIENTS);
    }
}
