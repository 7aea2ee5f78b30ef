//! The one place that reads clocks. Everything else is handed a [`Clock`].

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use discipline::Discipline;

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
        self.0.saturating_sub(earlier.0)
    }

    /// This point moved by a number of microseconds.
    pub fn plus_micros(self, micros: i64) -> Wall {
        Wall(self.0.saturating_add(micros))
    }
}

/// What a clock showed at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Wall-clock time, see [`Clock::wall`].
    pub wall: Wall,
    /// Microseconds by which wall time has stepped since the clock was made: time that did not pass.
    pub stepped_micros: i64,
}

/// A clock that can be real or set by a test. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Clock {
    machine: Machine,
    /// Stands between the machine's wall clock and everybody; without it, wall time steps as it does.
    discipline: Option<Arc<Mutex<Discipline>>>,
}

#[derive(Clone, Debug)]
enum Machine {
    Real {
        start: Instant,
    },
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
        Clock::disciplined(Machine::Real {
            start: Instant::now(),
        })
    }

    /// A clock that stands at `wall` until it is advanced or set.
    pub fn simulated(wall: Wall) -> Clock {
        Clock {
            machine: Machine::simulated(wall),
            discipline: None,
        }
    }

    /// A simulated machine whose clock is read as the real one's is: what [`Clock::step_wall`] sets is
    /// followed as [`Clock::wall`] says.
    pub fn simulated_machine(wall: Wall) -> Clock {
        Clock::disciplined(Machine::simulated(wall))
    }

    fn disciplined(machine: Machine) -> Clock {
        let discipline = Discipline::new(machine.monotonic(), machine.wall());
        Clock {
            machine,
            discipline: Some(Arc::new(Mutex::new(discipline))),
        }
    }

    /// Wall-clock time: the machine's at the start, carried on by its monotonic clock. Where the
    /// machine's wall clock is set by up to 10 s, this follows it at 100 ppm and never goes back;
    /// where it is set by more, this steps with it, in either direction, within a second.
    ///
    /// One clock for all: program date times, availabilityStartTime, arrival of units and what
    /// `/time` answers agree at any moment.
    pub fn wall(&self) -> Wall {
        self.read().wall
    }

    /// Wall-clock time with how much of it did not pass, for what must not take a step for a hole.
    pub fn read(&self) -> Reading {
        let Some(discipline) = &self.discipline else {
            return Reading {
                wall: self.machine.wall(),
                stepped_micros: 0,
            };
        };
        // Read under the lock, so that who comes later reads no earlier time.
        let mut discipline = discipline.lock().unwrap_or_else(PoisonError::into_inner);
        let wall = discipline.wall(self.machine.monotonic(), || self.machine.wall());
        Reading {
            wall,
            stepped_micros: discipline.stepped(),
        }
    }

    /// Time since the clock was made; never steps.
    pub fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }

    /// Moves a simulated clock on. Does nothing to the machine's clock.
    pub fn advance(&self, by: Duration) {
        if let Machine::Simulated { wall, mono } = &self.machine {
            let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            wall.fetch_add(micros, Ordering::Relaxed);
            mono.fetch_add(micros, Ordering::Relaxed);
        }
    }

    /// Sets the wall clock of a simulated machine, as NTP would; monotonic time is untouched.
    pub fn step_wall(&self, to: Wall) {
        if let Machine::Simulated { wall, .. } = &self.machine {
            wall.store(to.0, Ordering::Relaxed);
        }
    }
}

impl Machine {
    fn simulated(wall: Wall) -> Machine {
        Machine::Simulated {
            wall: Arc::new(AtomicI64::new(wall.0)),
            mono: Arc::new(AtomicI64::new(0)),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this file is where clocks are read"
    )]
    fn wall(&self) -> Wall {
        match self {
            Machine::Real { .. } => {
                let since = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                Wall(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
            Machine::Simulated { wall, .. } => Wall(wall.load(Ordering::Relaxed)),
        }
    }

    fn monotonic(&self) -> Duration {
        match self {
            Machine::Real { start } => start.elapsed(),
            Machine::Simulated { mono, .. } => {
                Duration::from_micros(mono.load(Ordering::Relaxed).unsigned_abs())
            }
        }
    }
}

mod discipline;
