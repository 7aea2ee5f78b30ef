//! How much each application may ask: a bucket of tokens each, which fills with time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Error;

/// Requests of one application in a second, on average: about what one core answers. A second's worth
/// may come at once.
pub const REQUESTS_PER_SECOND: u32 = 20_000;
/// What a request that changes something costs: a durable write is some 20 times a read.
const WRITE_COST: u32 = 20;
/// Applications that are remembered. Full buckets are forgotten first; only those who have credentials
/// get one.
const MAX_BUCKETS: usize = 1024;

/// Buckets by application id.
#[derive(Debug)]
pub(in crate::control) struct Limits {
    per_second: f64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Limits {
    pub(in crate::control) fn new(requests_per_second: u32) -> Limits {
        Limits {
            per_second: f64::from(requests_per_second.max(WRITE_COST)),
            buckets: Mutex::default(),
        }
    }

    /// Takes a request's tokens at a moment of the monotonic clock.
    pub(super) fn take(&self, application: &str, writes: bool, now: Duration) -> Result<(), Error> {
        let cost = if writes { f64::from(WRITE_COST) } else { 1.0 };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if !buckets.contains_key(application) {
            self.make_room(&mut buckets, now);
            let full = Bucket {
                tokens: self.per_second,
                at: now,
            };
            buckets.insert(application.to_owned(), full);
        }
        let bucket = buckets.get_mut(application).expect("it was just put there");
        bucket.tokens = self.filled(bucket, now);
        bucket.at = now;
        if bucket.tokens < cost {
            let wait = (cost - bucket.tokens) / self.per_second;
            return Err(Error::RateLimited(Duration::from_secs_f64(wait)));
        }
        bucket.tokens -= cost;
        Ok(())
    }

    fn filled(&self, bucket: &Bucket, now: Duration) -> f64 {
        let passed = now.saturating_sub(bucket.at).as_secs_f64();
        (bucket.tokens + passed * self.per_second).min(self.per_second)
    }

    fn make_room(&self, buckets: &mut HashMap<String, Bucket>, now: Duration) {
        if buckets.len() < MAX_BUCKETS {
            return;
        }
        buckets.retain(|_, bucket| self.filled(bucket, now) < self.per_second);
        if buckets.len() >= MAX_BUCKETS {
            // All of them ask right now: to begin anew is kinder than to refuse a new one.
            buckets.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_requests_may_come_at_once_and_then_time_must_pass() {
        let limits = Limits::new(100);
        let now = Duration::from_secs(5);
        for _ in 0..100 {
            limits.take("a", false, now).unwrap();
        }
        let refused = limits.take("a", false, now).unwrap_err();
        assert_eq!(refused, Error::RateLimited(Duration::from_millis(10)));
        limits.take("b", false, now).unwrap();
        limits
            .take("a", false, now + Duration::from_millis(10))
            .unwrap();
        // Changes cost more.
        let later = now + Duration::from_secs(9);
        for _ in 0..5 {
            limits.take("a", true, later).unwrap();
        }
        assert!(limits.take("a", true, later).is_err());
    }

    #[test]
    fn what_is_remembered_of_applications_is_bounded() {
        let limits = Limits::new(100);
        for number in 0..5000 {
            let id = format!("application-{number}");
            limits.take(&id, false, Duration::ZERO).unwrap();
        }
        assert!(limits.buckets.lock().unwrap().len() <= MAX_BUCKETS);
    }
}
