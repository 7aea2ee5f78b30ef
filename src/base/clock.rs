//! The one place that reads clocks. Everything else is handed a [`Clock`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point of wall-clock time: microseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(
    /// Microseconds since the Unix epoch.
    pub i64,
);

impl Wall {
    /// Whole milliseconds since the Unix epoch, rounded down.
    pub fn unix_millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Microseconds from `earlier` to `self`; negative when `self` is the earlier one.
    pub fn micros_since(self, earlier: Wall) -> i64 {
        self.0 - earlier.0
    }

    /// This point moved by a number of microseconds.
    pub fn plus_micros(self, micros: i64) -> Wall {
        Wall(self.0 + micros)
    }
}

/// A clock that can be real or set by a test. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    /// Wall time read once at start and carried on by the monotonic clock.
    System { start: Instant },
    Simulated {
        wall: Arc<AtomicI64>,
        mono: Arc<AtomicI64>,
    },
}

impl Clock {
    /// The machine's clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "this file is where clocks are read"
    )]
    pub fn system() -> Clock {
        Clock(Source::System {
            start: Instant::now(),
        })
    }

    /// A clock that stands at `wall` until it is advanced.
    pub fn simulated(wall: Wall) -> Clock {
        Clock(Source::Simulated {
            wall: Arc::new(AtomicI64::new(wall.0)),
            mono: Arc::new(AtomicI64::new(0)),
        })
    }

    /// Wall-clock time; may step when the machine's clock is set.
    #[expect(
        clippy::disallowed_methods,
        reason = "this file is where clocks are read"
    )]
    pub fn wall(&self) -> Wall {
        match &self.0 {
            Source::System { .. } => {
                let since = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                Wall(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
            Source::Simulated { wall, .. } => Wall(wall.load(Ordering::Relaxed)),
        }
    }

    /// Time since the clock was made; never steps.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System { start } => start.elapsed(),
            Source::Simulated { mono, .. } => {
                Duration::from_micros(mono.load(Ordering::Relaxed).unsigned_abs())
            }
        }
    }

    /// Moves a simulated clock on. Does nothing to the machine's clock.
    pub fn advance(&self, by: Duration) {
        if let Source::Simulated { wall, mono } = &self.0 {
            let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            wall.fetch_add(micros, Ordering::Relaxed);
            mono.fetch_add(micros, Ordering::Relaxed);
        }
    }

    /// Sets the wall time of a simulated clock, as NTP would; monotonic time is untouched.
    pub fn step_wall(&self, to: Wall) {
        if let Source::Simulated { wall, .. } = &self.0 {
            wall.store(to.0, Ordering::Relaxed);
        }
    }
}
