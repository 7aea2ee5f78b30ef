//! Wall time that does not step when NTP sets the machine's clock. Pure: readings go in.

use std::time::Duration;

use super::Wall;

/// Time between two readings of the machine's wall clock: what it costs is spread over all the
/// reads in between, and a difference is seen soon enough to be slewed.
const READING: Duration = Duration::from_secs(1);
/// Microseconds of wall time that one second may be longer or shorter: 100 ppm. An encoder that is
/// off by as much in the other direction is still followed by the 200 ppm of the program.
const SLEW_MICROS_PER_SECOND: i64 = 100;
/// A larger difference is not slewed, which would take a day, but taken over at once: the machine
/// began without a clock. Microseconds: 10 s.
const TAKE_OVER: i64 = 10_000_000;

/// Wall time carried on by the monotonic clock and drawn towards the machine's wall clock.
#[derive(Debug)]
pub(super) struct Discipline {
    /// Wall time at the last reading.
    anchor: Wall,
    /// Monotonic time of the last reading.
    read_at: Duration,
    /// How far the machine's wall clock was ahead of ours at the last reading, microseconds.
    ahead: i64,
    /// By how much was taken over so far, microseconds.
    stepped: i64,
}

impl Discipline {
    /// Begins with what the machine's wall clock says at monotonic time `now`.
    pub(super) fn new(now: Duration, machine: Wall) -> Discipline {
        Discipline {
            anchor: machine,
            read_at: now,
            ahead: 0,
            stepped: 0,
        }
    }

    /// Wall time at monotonic time `now`. Asks for the machine's wall clock when a reading is due.
    pub(super) fn wall(&mut self, now: Duration, machine: impl FnOnce() -> Wall) -> Wall {
        let wall = self.carried(now);
        if now.saturating_sub(self.read_at) < READING {
            return wall;
        }
        self.read_at = now;
        self.ahead = machine().micros_since(wall);
        self.anchor = wall;
        if self.ahead.abs() > TAKE_OVER {
            self.anchor = wall.plus_micros(self.ahead);
            self.stepped += self.ahead;
            self.ahead = 0;
        }
        self.anchor
    }

    /// By how many microseconds wall time has stepped so far.
    pub(super) fn stepped(&self) -> i64 {
        self.stepped
    }

    fn carried(&self, now: Duration) -> Wall {
        let elapsed = now.saturating_sub(self.read_at).as_micros();
        let elapsed = i64::try_from(elapsed).unwrap_or(i64::MAX);
        let limit = elapsed / 1_000_000 * SLEW_MICROS_PER_SECOND
            + elapsed % 1_000_000 * SLEW_MICROS_PER_SECOND / 1_000_000;
        self.anchor
            .plus_micros(elapsed + self.ahead.clamp(-limit, limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Wall = Wall(1_800_000_000_000_000);

    /// A machine whose wall clock is `ahead` microseconds ahead of what it was at the beginning.
    struct Machine {
        discipline: Discipline,
        now: Duration,
        ahead: i64,
    }

    impl Machine {
        fn new() -> Machine {
            Machine {
                discipline: Discipline::new(Duration::ZERO, START),
                now: Duration::ZERO,
                ahead: 0,
            }
        }

        fn true_micros(&self) -> i64 {
            i64::try_from(self.now.as_micros()).unwrap()
        }

        /// How far the disciplined clock is ahead of the monotonic one.
        fn read(&mut self) -> i64 {
            let machine = START.plus_micros(self.true_micros() + self.ahead);
            let wall = self.discipline.wall(self.now, || machine);
            wall.micros_since(START) - self.true_micros()
        }

        /// Reads every 40 ms, as a stream does. Returns all readings.
        fn run(&mut self, duration: Duration) -> Vec<i64> {
            let end = self.now + duration;
            let mut readings = Vec::new();
            while self.now < end {
                self.now += Duration::from_millis(40);
                readings.push(self.read());
            }
            readings
        }
    }

    #[test]
    fn a_clock_that_nobody_sets_is_passed_on_as_it_is() {
        let mut machine = Machine::new();
        assert!(
            machine
                .run(Duration::from_secs(60))
                .iter()
                .all(|off| *off == 0)
        );
    }

    #[test]
    fn a_small_step_is_slewed_at_a_bounded_rate_and_reached() {
        for step in [-500_000, 500_000, 5_000_000, -5_000_000, 9_999_999] {
            let mut machine = Machine::new();
            machine.run(Duration::from_secs(3));
            machine.ahead = step;
            let readings = machine.run(Duration::from_secs(60));
            for pair in readings.windows(2) {
                let moved = pair[1] - pair[0];
                assert!(moved.abs() <= 5, "{moved} microseconds within 40 ms");
            }
            let gone = readings.last().unwrap() * step.signum();
            assert!((5_800..=6_000).contains(&gone), "{gone} after a minute");
            machine.run(Duration::from_secs(step.unsigned_abs() / 95));
            assert_eq!(machine.read(), step);
            assert_eq!(machine.discipline.stepped(), 0);
        }
    }

    #[test]
    fn wall_time_never_goes_back_while_it_is_slewed() {
        let mut machine = Machine::new();
        machine.ahead = -5_000_000;
        let mut last = START;
        for _ in 0..200_000 {
            machine.now += Duration::from_micros(37);
            let offset = machine.read();
            let wall = START.plus_micros(machine.true_micros() + offset);
            assert!(wall >= last, "{last:?} then {wall:?}");
            last = wall;
        }
    }

    #[test]
    fn a_large_step_is_taken_over_with_the_next_reading() {
        for step in [3_600_000_000, -3_600_000_000, 1_700_000_000_000_000] {
            let mut machine = Machine::new();
            machine.run(Duration::from_secs(3));
            machine.ahead = step;
            let readings = machine.run(Duration::from_secs(2));
            assert_eq!(readings.last(), Some(&step));
            assert_eq!(machine.discipline.stepped(), step);
            assert!(readings.iter().all(|off| *off == 0 || *off == step));
        }
    }

    #[test]
    fn after_a_long_time_without_a_read_time_is_right_at_once() {
        let mut machine = Machine::new();
        machine.ahead = 200;
        machine.run(Duration::from_secs(2));
        machine.now += Duration::from_secs(86_400 * 365);
        assert_eq!(machine.read(), 200);
    }
}
