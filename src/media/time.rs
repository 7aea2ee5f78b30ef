//! Media time as integers. The only conversion between timescales is [`rescale`].

use std::num::NonZeroU32;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::time::Duration;

use crate::base::clock::Wall;

/// Ticks per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timescale(NonZeroU32);

impl Timescale {
    /// One tick per millisecond: the time base of RTMP and FLV.
    pub const MILLIS: Timescale = Timescale::of(1000);
    /// 90 kHz: channel time, and the timescale of every video rendition.
    pub const CHANNEL: Timescale = Timescale::of(90_000);
    /// One tick per microsecond.
    pub const MICROS: Timescale = Timescale::of(1_000_000);
    /// One tick per nanosecond, GStreamer's clock time.
    pub const NANOS: Timescale = Timescale::of(1_000_000_000);

    /// The timescale of `ticks_per_second`, for constants. Panics on zero.
    pub const fn of(ticks_per_second: u32) -> Timescale {
        match NonZeroU32::new(ticks_per_second) {
            Some(value) => Timescale(value),
            None => panic!("a timescale is not zero"),
        }
    }

    /// The timescale of `ticks_per_second`; `None` for zero.
    pub fn new(ticks_per_second: u32) -> Option<Timescale> {
        NonZeroU32::new(ticks_per_second).map(Timescale)
    }

    /// Ticks per second.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

/// A time or a span, in the ticks of a timescale that the context states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(
    /// Number of ticks; negative before the origin.
    pub i64,
);

impl Ticks {
    /// No ticks.
    pub const ZERO: Ticks = Ticks(0);

    /// The nearest tick to a duration.
    pub fn from_duration(duration: Duration, scale: Timescale) -> Ticks {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        rescale(Ticks(micros), Timescale::MICROS, scale)
    }

    /// Seconds, for text and floating-point attributes. Not for arithmetic.
    #[expect(
        clippy::cast_precision_loss,
        reason = "for display: a double holds 285 years of microseconds"
    )]
    pub fn seconds(self, scale: Timescale) -> f64 {
        self.0 as f64 / f64::from(scale.get())
    }

    /// The distance from zero.
    pub fn abs(self) -> Ticks {
        Ticks(self.0.saturating_abs())
    }
}

impl Add for Ticks {
    type Output = Ticks;
    fn add(self, other: Ticks) -> Ticks {
        Ticks(self.0.saturating_add(other.0))
    }
}

impl Sub for Ticks {
    type Output = Ticks;
    fn sub(self, other: Ticks) -> Ticks {
        Ticks(self.0.saturating_sub(other.0))
    }
}

impl Neg for Ticks {
    type Output = Ticks;
    fn neg(self) -> Ticks {
        Ticks(self.0.saturating_neg())
    }
}

impl AddAssign for Ticks {
    fn add_assign(&mut self, other: Ticks) {
        *self = *self + other;
    }
}

impl SubAssign for Ticks {
    fn sub_assign(&mut self, other: Ticks) {
        *self = *self - other;
    }
}

/// Converts ticks between timescales, to the nearest tick, halves away from zero.
/// Saturates at the ends of 64 bits.
pub fn rescale(ticks: Ticks, from: Timescale, to: Timescale) -> Ticks {
    if from == to {
        return ticks;
    }
    let numerator = i128::from(ticks.0) * i128::from(to.get());
    let denominator = i128::from(from.get());
    let half = denominator / 2;
    let rounded = if numerator >= 0 {
        (numerator + half) / denominator
    } else {
        (numerator - half) / denominator
    };
    Ticks(i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX }))
}

/// Channel time (90 kHz since the stream's epoch) of a wall-clock point.
pub fn channel_time(wall: Wall, epoch: Wall) -> Ticks {
    rescale(
        Ticks(wall.micros_since(epoch)),
        Timescale::MICROS,
        Timescale::CHANNEL,
    )
}

/// The wall-clock point of a time in `scale` since the stream's epoch.
pub fn wall_time(time: Ticks, scale: Timescale, epoch: Wall) -> Wall {
    epoch.plus_micros(rescale(time, scale, Timescale::MICROS).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescale_rounds_to_the_nearest_tick_on_both_sides_of_zero() {
        let third = |t| rescale(Ticks(t), Timescale::of(3), Timescale::of(1)).0;
        assert_eq!(
            [third(1), third(2), third(-1), third(-2), third(4)],
            [0, 1, 0, -1, 1]
        );
    }

    #[test]
    fn rescale_there_and_back_from_a_coarser_scale_is_exact() {
        for ms in [
            -5_000_000_007_i64,
            -1,
            0,
            1,
            33,
            4_294_967_295,
            1_790_000_000_000,
        ] {
            let ninety = rescale(Ticks(ms), Timescale::MILLIS, Timescale::CHANNEL);
            assert_eq!(
                rescale(ninety, Timescale::CHANNEL, Timescale::MILLIS),
                Ticks(ms)
            );
        }
    }

    #[test]
    fn rescale_saturates_instead_of_wrapping() {
        assert_eq!(
            rescale(Ticks(i64::MAX), Timescale::of(1), Timescale::NANOS),
            Ticks(i64::MAX)
        );
        assert_eq!(
            rescale(Ticks(i64::MIN), Timescale::of(1), Timescale::NANOS),
            Ticks(i64::MIN)
        );
    }
}
