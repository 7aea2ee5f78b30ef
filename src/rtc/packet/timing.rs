//! Times of received tracks on one clock.
//!
//! RTP times of a track begin anywhere; its sender reports say which NTP time one of them is (RFC 3550 §6.4.1).
//! Tracks of one sender share its NTP clock, so that they meet there. Until a track's first report its times
//! are taken from the arrival of its first packet.

use std::time::Duration;

use crate::media::{Ticks, Timescale, rescale};

/// Reports that move a track's times by less are taken for rounding and jitter of the report.
const DEADBAND: Duration = Duration::from_millis(5);

/// RTP times, 32 bits that wrap, as times that do not.
#[derive(Debug, Default)]
pub struct Unwrap {
    last: Option<i64>,
}

impl Unwrap {
    /// The time nearest to the one before, in either direction.
    pub fn extend(&mut self, timestamp: u32) -> i64 {
        let time = self.last.map_or(i64::from(timestamp), |last| {
            let step = timestamp.wrapping_sub(low_bits(last)).cast_signed();
            last.saturating_add(i64::from(step))
        });
        self.last = Some(time);
        time
    }
}

fn low_bits(time: i64) -> u32 {
    u32::try_from(time & 0xFFFF_FFFF).expect("32 bits")
}

/// The clock of one sender: what its NTP times are on the clock that units carry.
#[derive(Debug, Default)]
pub struct Origin {
    /// Microseconds to add to an NTP time.
    offset: Option<i64>,
}

/// One track's times.
#[derive(Debug)]
pub struct TrackClock {
    scale: Timescale,
    /// Ticks to add to an (unwrapped) RTP time.
    offset: Option<i64>,
    reported: bool,
    /// The last time handed out: times of a track only grow.
    last: Option<i64>,
}

impl TrackClock {
    /// A track whose times nobody knows yet.
    pub fn new(scale: Timescale) -> TrackClock {
        TrackClock {
            scale,
            offset: None,
            reported: false,
            last: None,
        }
    }

    /// Takes a sender report: `rtp` (unwrapped) is `ntp` (RFC 3550 §4, seconds since 1900 in 32.32 bits).
    pub fn report(&mut self, origin: &mut Origin, now: Duration, ntp: u64, rtp: i64) {
        // A sender without a clock says zero (RFC 3550 §6.4.1).
        if ntp == 0 {
            return;
        }
        let at = self.ticks(ntp_micros(ntp));
        let offset = match origin.offset {
            Some(offset) => at.saturating_add(self.ticks(offset)).saturating_sub(rtp),
            None => {
                // The first report of a sender moves nothing: its clock is laid under the times that are.
                let mine = self.offset.unwrap_or_else(|| {
                    self.ticks(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
                        .saturating_sub(rtp)
                });
                let here = rtp.saturating_add(mine);
                let micros = rescale(Ticks(here), self.scale, Timescale::MICROS).0;
                origin.offset = Some(micros.saturating_sub(ntp_micros(ntp)));
                mine
            }
        };
        let limit = Ticks::from_duration(DEADBAND, self.scale).0;
        let moved = self
            .offset
            .is_none_or(|before| before.abs_diff(offset) > limit.unsigned_abs());
        if !self.reported || moved {
            self.offset = Some(offset);
        }
        self.reported = true;
    }

    /// The time of a unit whose first packet arrived now.
    pub fn time(&mut self, now: Duration, rtp: i64) -> Ticks {
        let offset = match self.offset {
            Some(offset) => offset,
            None => {
                let micros = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
                *self.offset.insert(self.ticks(micros).saturating_sub(rtp))
            }
        };
        let time = rtp.saturating_add(offset);
        let time = self
            .last
            .map_or(time, |last| time.max(last.saturating_add(1)));
        self.last = Some(time);
        Ticks(time)
    }

    fn ticks(&self, micros: i64) -> i64 {
        rescale(Ticks(micros), Timescale::MICROS, self.scale).0
    }
}

/// Seconds from 1900, where NTP begins, to 1970 (RFC 5905 figure 4).
const NTP_UNIX_SECONDS: i64 = 2_208_988_800;

/// Microseconds since 1970 of an NTP time.
pub fn ntp_micros(ntp: u64) -> i64 {
    let seconds = i64::try_from(ntp >> 32).expect("32 bits") - NTP_UNIX_SECONDS;
    let fraction = i128::from(ntp & 0xFFFF_FFFF);
    let micros = (fraction * 1_000_000 + (1 << 31)) >> 32;
    seconds * 1_000_000 + i64::try_from(micros).expect("at most a million")
}

/// The NTP time of microseconds since 1970; wraps with NTP's eras.
pub fn ntp_time(unix_micros: i64) -> u64 {
    let seconds = unix_micros.div_euclid(1_000_000) + NTP_UNIX_SECONDS;
    let micros = i128::from(unix_micros.rem_euclid(1_000_000));
    let fraction = (micros << 32) / 1_000_000;
    let whole = u64::try_from(seconds & 0xFFFF_FFFF).expect("32 bits");
    (whole << 32) | u64::try_from(fraction).expect("below 32 bits")
}
