//! How many watch (ARCHITECTURE decision 19): by CMCD session, else by address and user agent; one
//! viewer however many renditions and requests. Exact up to a bound, then by sampling.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use http::HeaderMap;
use http::header::USER_AGENT;

use super::route::percent_decoded;

/// How long a viewer counts after the last request, in seconds: two beacons of 15 s.
const WINDOW_S: u64 = 30;
/// Locks among which viewers are spread, so that cores do not meet. A power of two.
const STRIPES: usize = 16;
/// Viewers kept per stripe: 65,536 in a stream are counted exactly, in at most 2 MiB.
const MAX_PER_STRIPE: usize = 4096;
/// Longest session id that is looked at, in bytes. CTA-5004 has the same limit.
const MAX_SESSION_ID: usize = 64;
/// Longest CMCD text that is looked at, in bytes.
const MAX_CMCD: usize = 2048;

/// The viewers of one stream. The keys are hashes under a random key of the process: addresses
/// cannot be read back from them.
pub(super) struct Viewers {
    hasher: RandomState,
    stripes: [Mutex<Stripe>; STRIPES],
}

/// A sample of the viewers whose hashes fall here: those with `level` zero bits at the top (adaptive
/// sampling after Wegman), so that each stands for 2^level. Level 0 is everybody.
#[derive(Default)]
struct Stripe {
    seen_at_s: HashMap<u64, u64>,
    level: u32,
    swept_at_s: u64,
}

impl Default for Viewers {
    fn default() -> Viewers {
        Viewers {
            hasher: RandomState::new(),
            stripes: Default::default(),
        }
    }
}

impl Viewers {
    /// Counts the viewer behind a request.
    pub(super) fn seen(&self, query: &str, headers: &HeaderMap, client: IpAddr, second: u64) {
        let key = match cmcd_session(query, headers) {
            Some(session) => self.session(&session),
            None => self.address(headers, client),
        };
        self.note(key, second);
    }

    /// Counts the viewer behind a page's beacon: `?sid=` with the id that its player sends as CMCD.
    pub(super) fn beacon(&self, query: &str, headers: &HeaderMap, client: IpAddr, second: u64) {
        let sid = parameter(query, "sid").and_then(percent_decoded);
        let sid = sid.filter(|sid| !sid.is_empty() && sid.len() <= MAX_SESSION_ID);
        match sid {
            Some(session) => self.note(self.session(&session), second),
            None => self.seen(query, headers, client, second),
        }
    }

    /// Viewers seen in the 30 s before `second`.
    pub(super) fn count(&self, second: u64) -> u32 {
        let counts = self.stripes.iter().map(|stripe| {
            let mut stripe = stripe.lock().unwrap_or_else(PoisonError::into_inner);
            stripe.sweep(second);
            (stripe.seen_at_s.len() as u64) << stripe.level
        });
        u32::try_from(counts.sum::<u64>()).unwrap_or(u32::MAX)
    }

    fn session(&self, session: &str) -> u64 {
        self.hasher.hash_one(session)
    }

    fn address(&self, headers: &HeaderMap, client: IpAddr) -> u64 {
        let agent = headers.get(USER_AGENT).map(|agent| agent.as_bytes());
        self.hasher.hash_one((client, agent))
    }

    fn note(&self, key: u64, second: u64) {
        let stripe = &self.stripes[usize::try_from(key).unwrap_or_default() % STRIPES];
        // Somebody else is counting here: the viewer's next request comes soon enough.
        if let Ok(mut stripe) = stripe.try_lock() {
            stripe.note(key, second);
        }
    }
}

impl Stripe {
    fn note(&mut self, key: u64, second: u64) {
        if key.leading_zeros() < self.level {
            return;
        }
        if let Some(seen) = self.seen_at_s.get_mut(&key) {
            *seen = second;
            return;
        }
        if self.seen_at_s.len() >= MAX_PER_STRIPE {
            self.sweep(second);
        }
        while self.seen_at_s.len() >= MAX_PER_STRIPE && self.level < u64::BITS {
            self.level += 1;
            let level = self.level;
            self.seen_at_s.retain(|key, _| key.leading_zeros() >= level);
        }
        if key.leading_zeros() >= self.level {
            self.seen_at_s.insert(key, second);
        }
    }

    /// Drops who left. When the crowd is gone, samples more densely: those left out so far come back
    /// with their next requests, so the count is low by half for at most one window.
    fn sweep(&mut self, second: u64) {
        self.seen_at_s
            .retain(|_, seen| second.saturating_sub(*seen) <= WINDOW_S);
        let rested = second.saturating_sub(self.swept_at_s) > WINDOW_S;
        if self.level > 0 && rested && self.seen_at_s.len() < MAX_PER_STRIPE / 8 {
            self.level -= 1;
            self.swept_at_s = second;
        }
        if self.seen_at_s.is_empty() {
            self.level = 0;
        }
    }
}

/// The value of a query parameter, as sent.
pub(super) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then_some(value)
    })
}

/// CTA-5004 `sid`, from the query or the header.
pub(super) fn cmcd_session(query: &str, headers: &HeaderMap) -> Option<String> {
    if let Some(sent) = parameter(query, "CMCD").filter(|sent| sent.len() <= MAX_CMCD) {
        let decoded = percent_decoded(sent)?;
        return session_id(&decoded).map(str::to_owned);
    }
    let header = headers.get("cmcd-session")?.to_str().ok()?;
    session_id(header).map(str::to_owned)
}

/// The `sid` of a list `key=value,flag,key="text"`; commas inside quotes do not separate.
fn session_id(cmcd: &str) -> Option<&str> {
    let mut quoted = false;
    let pairs = cmcd.split(|letter| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    });
    let mut values = pairs.filter_map(|pair| pair.trim().strip_prefix("sid="));
    let value = values.next()?.trim_matches('"');
    (!value.is_empty() && value.len() <= MAX_SESSION_ID).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn agent(name: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_str(name).unwrap());
        headers
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn one_session_is_one_viewer_from_any_address_and_by_any_way() {
        let viewers = Viewers::default();
        let query = "_HLS_msn=4&CMCD=bl%3D2100%2Ccid%3D%22a%2Csid%3Dx%22%2Csid%3D%22S-1%22";
        viewers.seen(query, &agent("a"), address(1), 0);
        viewers.seen(query, &agent("b"), address(2), 1);
        let mut headers = agent("c");
        headers.insert("cmcd-session", HeaderValue::from_static("v=1,sid=\"S-1\""));
        viewers.seen("", &headers, address(3), 2);
        viewers.beacon("sid=S-1", &agent("d"), address(4), 3);
        assert_eq!(viewers.count(3), 1);
        viewers.seen("CMCD=sid%3D%22S-2%22", &agent("a"), address(1), 3);
        assert_eq!(viewers.count(3), 2);
    }

    #[test]
    fn without_a_session_address_and_agent_make_the_viewer() {
        let viewers = Viewers::default();
        for second in 0..3 {
            viewers.seen("", &agent("a"), address(1), second);
            viewers.seen("_HLS_msn=1", &agent("a"), address(1), second);
        }
        assert_eq!(viewers.count(2), 1);
        viewers.seen("", &agent("b"), address(1), 2);
        viewers.seen("", &agent("a"), address(2), 2);
        assert_eq!(viewers.count(2), 3);
    }

    #[test]
    fn a_viewer_counts_for_thirty_seconds() {
        let viewers = Viewers::default();
        viewers.seen("", &agent("a"), address(1), 100);
        assert_eq!(viewers.count(130), 1);
        assert_eq!(viewers.count(131), 0);
    }

    #[test]
    fn a_crowd_is_counted_within_a_few_percent_in_bounded_memory() {
        let viewers = Viewers::default();
        let crowd = 400_000_u64;
        // Keys as a hash makes them: an odd multiplier spreads the numbers over all bits.
        let key = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32);
        for number in 0..crowd {
            viewers.note(key(number), 5);
        }
        let kept: usize = viewers
            .stripes
            .iter()
            .map(|s| s.lock().unwrap().seen_at_s.len())
            .sum();
        assert!(kept <= STRIPES * MAX_PER_STRIPE, "{kept}");
        let counted = f64::from(viewers.count(5));
        assert!((counted / 400_000.0 - 1.0).abs() < 0.05, "{counted}");
        viewers.note(key(1), 60);
        assert!(viewers.count(60) <= 1 << 3, "the crowd is gone");
        assert_eq!(viewers.count(100), 0);
        viewers.note(key(2), 101);
        assert_eq!(viewers.count(101), 1);
    }

    #[test]
    fn hostile_cmcd_is_ignored() {
        for text in ["", "sid", "sid=", "sid=\"\"", "\"sid=x", ",,,", "xsid=1"] {
            assert_eq!(session_id(text), None, "{text}");
        }
        assert_eq!(session_id(&format!("sid=\"{}\"", "x".repeat(65))), None);
    }
}
