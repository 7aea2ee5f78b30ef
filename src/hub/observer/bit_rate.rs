//! Bit rate over a sliding window of arrivals.

use std::time::Duration;

/// Length of one bucket.
const BUCKET: Duration = Duration::from_millis(250);
/// Buckets of the window: four seconds, two usual key intervals.
const BUCKETS: usize = 16;

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// Which quarter of a second since the clock's start.
    index: u128,
    bytes: usize,
}

/// Sums of the last seconds.
#[derive(Debug, Default)]
pub(super) struct BitRate {
    buckets: [Bucket; BUCKETS],
    first: Option<Duration>,
}

impl BitRate {
    pub(super) fn handle(&mut self, now: Duration, bytes: usize) {
        self.first.get_or_insert(now);
        let index = now.as_nanos() / BUCKET.as_nanos();
        let bucket = &mut self.buckets[place(index)];
        if bucket.index != index {
            *bucket = Bucket { index, bytes: 0 };
        }
        bucket.bytes += bytes;
    }

    /// Bits per second over the buckets that are full; zero before there is one.
    pub(super) fn read(&self, now: Duration) -> f64 {
        let Some(first) = self.first else {
            return 0.0;
        };
        let running = now.as_nanos() / BUCKET.as_nanos();
        let started = first.as_nanos() / BUCKET.as_nanos();
        let oldest = started.max(running.saturating_sub(BUCKETS as u128 - 1));
        let counted = oldest..running;
        let full = self.buckets.iter();
        let full = full.filter(|bucket| counted.contains(&bucket.index));
        let bytes: usize = full.map(|bucket| bucket.bytes).sum();
        // The first bucket began before the first unit came.
        let end = BUCKET.as_secs_f64() * running as f64;
        let begin = (BUCKET.as_secs_f64() * oldest as f64).max(first.as_secs_f64());
        let seconds = end - begin;
        if seconds <= 0.0 {
            return 0.0;
        }
        bytes as f64 * 8.0 / seconds
    }
}

fn place(index: u128) -> usize {
    usize::try_from(index % BUCKETS as u128).expect("less than the number of buckets")
}
