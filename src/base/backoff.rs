//! How long to wait before a far side is called again.

use std::time::Duration;

/// Pauses that double up to a cap, each cut by up to a half at random, so that the channels of a far side
/// that restarts do not call it all at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    random: u64,
}

impl Backoff {
    /// Pauses from `first` to `longest`. The seed decides what is cut off.
    pub fn new(first: Duration, longest: Duration, seed: u64) -> Backoff {
        Backoff {
            first,
            longest,
            failures: 0,
            random: seed,
        }
    }

    /// The pause after one more failure.
    pub fn pause(&mut self) -> Duration {
        let pause = self.first * 2_u32.saturating_pow(self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.cut(pause.min(self.longest))
    }

    /// The longest pause, whatever came before: nothing changes by itself there.
    pub fn longest(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.cut(self.longest)
    }

    /// The first pause, whatever came before: it will be there again in a moment.
    pub fn first(&mut self) -> Duration {
        self.cut(self.first)
    }

    fn cut(&mut self, pause: Duration) -> Duration {
        let share = f64::from(u32::try_from(self.draw() >> 32).unwrap_or(u32::MAX));
        pause.mul_f64(0.5 + share / 2_f64.powi(33))
    }

    /// Media came: the next failure is a first one.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(10);

    #[test]
    fn pauses_double_up_to_the_cap_and_begin_anew_after_media() {
        for seed in 0..200 {
            let mut backoff = Backoff::new(FIRST, LONGEST, seed);
            for _ in 0..2 {
                for longest_ms in [1000, 2000, 4000, 8000, 10_000, 10_000, 10_000] {
                    let longest = Duration::from_millis(longest_ms);
                    let pause = backoff.pause();
                    assert!(longest / 2 <= pause && pause <= longest, "{pause:?}");
                }
                assert!(backoff.longest() >= LONGEST / 2);
                assert!(backoff.first() <= FIRST);
                backoff.reset();
            }
            for _ in 0..100 {
                assert!(backoff.pause() <= LONGEST);
            }
        }
    }

    #[test]
    fn the_seed_alone_decides_and_seeds_differ() {
        let first = |seed| Backoff::new(FIRST, LONGEST, seed).pause();
        assert_eq!(first(7), first(7));
        let mut pauses: Vec<Duration> = (0..100).map(first).collect();
        pauses.sort();
        pauses.dedup();
        assert!(pauses.len() > 90);
    }
}
