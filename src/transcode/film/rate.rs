//! Which frame rate a film gets, from the times of its pictures. Pure.

/// Rates that films have, frames per second: channel time and 48 kHz are whole multiples of their frames.
const RATES: [u32; 5] = [24, 25, 30, 50, 60];
/// Rates closer than this count as equal, parts of a million: times in files are rounded.
const SAME_PPM: f64 = 3000.0;
/// How much of a frame a picture may lie beside its place where a rate is constant.
const JITTER: f64 = 0.5;
/// Of pictures at irregular times, how far above a rate their own may be.
const ABOVE: f64 = 0.97;
/// Most pictures shown for one of the source's, or left out for one that is shown, at regular intervals.
const MOST: u32 = 5;

/// How pictures are laid on a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// Frames per second of the film.
    pub(super) fps: u32,
    /// Whether the source has 1000/1001 of a whole rate: the film then runs 0.1 % faster.
    pub(super) retimed: bool,
}

impl Rate {
    /// The rate for pictures at these times, nanoseconds, rising.
    pub(super) fn of(times: &[u64]) -> Rate {
        let Some(interval) = interval(times) else {
            return Rate::of_sound();
        };
        regular(times, interval).unwrap_or_else(|| irregular(times))
    }

    /// The grid of a film without pictures.
    pub(super) fn of_sound() -> Rate {
        Rate {
            fps: 25,
            retimed: false,
        }
    }

    /// Time in the source, nanoseconds, of a number of the film's units, of which there are `per_second`.
    pub(super) fn source_ns(self, units: u64, per_second: u32) -> u64 {
        let (stretch, whole) = self.stretch();
        let nanos = u128::from(units) * 1_000_000_000 * stretch / (u128::from(per_second) * whole);
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// How many of the film's units a time in the source is, to the nearest.
    pub(super) fn units(self, source_ns: u64, per_second: u32) -> u64 {
        let (stretch, whole) = self.stretch();
        let one = 1_000_000_000 * stretch;
        let units = (u128::from(source_ns) * u128::from(per_second) * whole + one / 2) / one;
        u64::try_from(units).unwrap_or(u64::MAX)
    }

    fn stretch(self) -> (u128, u128) {
        if self.retimed { (1001, 1000) } else { (1, 1) }
    }
}

/// How long the last of some pictures stands, nanoseconds: as long as the others where they come regularly, else
/// as long as most.
pub(super) fn last_interval(times: &[u64]) -> Option<f64> {
    let mean = interval(times)?;
    match regular(times, mean) {
        Some(_) => Some(mean),
        None => median(times).map(|median| median as f64),
    }
}

/// Mean time from one picture to the next, nanoseconds.
fn interval(times: &[u64]) -> Option<f64> {
    let (first, last) = (times.first()?, times.last()?);
    let span = last.checked_sub(*first).filter(|span| *span > 0)?;
    Some(span as f64 / (times.len() - 1) as f64)
}

fn regular(times: &[u64], interval: f64) -> Option<Rate> {
    let first = *times.first()?;
    let mut places = times.iter().enumerate();
    let lies = |(at, time): (usize, &u64)| {
        ((time - first) as f64 - at as f64 * interval).abs() <= JITTER * interval
    };
    if !places.all(lies) {
        return None;
    }
    let source = 1e9 / interval;
    // Each picture once, if that can be; else several times, rather than left out.
    let same = RATES.iter().map(|fps| (*fps, f64::from(*fps)));
    let repeated = (2..=MOST).flat_map(|times| {
        let rates = RATES.iter();
        rates.map(move |fps| (*fps, f64::from(*fps) / f64::from(times)))
    });
    let thinned = (2..=MOST).flat_map(|times| {
        let rates = RATES.iter().rev();
        rates.map(move |fps| (*fps, f64::from(*fps) * f64::from(times)))
    });
    let nearest = |candidates: &mut dyn Iterator<Item = (u32, f64)>| {
        let both = candidates.flat_map(|(fps, rate)| {
            let whole = Rate {
                fps,
                retimed: false,
            };
            let retimed = Rate { fps, retimed: true };
            [(whole, rate), (retimed, rate * 1000.0 / 1001.0)]
        });
        let off = |rate: f64| (source / rate - 1.0).abs() * 1e6;
        let close = both.filter(|(_, rate)| off(*rate) <= SAME_PPM);
        let best = close.min_by(|(_, one), (_, other)| off(*one).total_cmp(&off(*other)));
        best.map(|(rate, _)| rate)
    };
    nearest(&mut { same })
        .or_else(|| nearest(&mut { repeated }))
        .or_else(|| nearest(&mut { thinned }))
}

/// A rate in which most pictures of irregular ones have a place.
fn irregular(times: &[u64]) -> Rate {
    let source = 1e9 / median(times).unwrap_or(1).max(1) as f64;
    let fits = |fps: &&u32| f64::from(**fps) >= source * ABOVE;
    Rate {
        fps: *RATES.iter().find(fits).unwrap_or(&60),
        retimed: false,
    }
}

/// Time from one picture to the next in the middle of all, nanoseconds; `None` for a single picture.
fn median(times: &[u64]) -> Option<u64> {
    let mut steps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let middle = steps.len() / 2;
    (!steps.is_empty()).then(|| *steps.select_nth_unstable(middle).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pictures at a rate, times rounded to `unit` nanoseconds.
    fn times(numerator: u64, denominator: u64, count: u64, unit: u64) -> Vec<u64> {
        let time = |at: u64| at * 1_000_000_000 * denominator / numerator;
        let rounded = |time: u64| (time + unit / 2) / unit * unit;
        (0..count).map(|at| rounded(time(at))).collect()
    }

    fn rate(fps: u32, retimed: bool) -> Rate {
        Rate { fps, retimed }
    }

    #[test]
    fn whole_rates_stay_and_those_of_ntsc_run_a_thousandth_faster() {
        for (numerator, denominator, expected) in [
            (24, 1, rate(24, false)),
            (25, 1, rate(25, false)),
            (30, 1, rate(30, false)),
            (50, 1, rate(50, false)),
            (60, 1, rate(60, false)),
            (24_000, 1001, rate(24, true)),
            (30_000, 1001, rate(30, true)),
            (60_000, 1001, rate(60, true)),
        ] {
            for unit in [1, 1_000_000] {
                let made = Rate::of(&times(numerator, denominator, 219, unit));
                assert_eq!(made, expected, "{numerator}/{denominator}, unit {unit}");
            }
        }
    }

    #[test]
    fn odd_rates_get_one_in_which_their_pictures_lie_evenly() {
        for (numerator, denominator, expected) in [
            (15, 1, rate(30, false)),
            (15_000, 1001, rate(30, true)),
            (12, 1, rate(24, false)),
            (25, 2, rate(25, false)),
            (20, 1, rate(60, false)),
            (48, 1, rate(24, false)),
            (100, 1, rate(50, false)),
            (120, 1, rate(60, false)),
            (144, 1, rate(60, false)),
            (27, 1, rate(30, false)),
            (1, 1, rate(24, false)),
        ] {
            let made = Rate::of(&times(numerator, denominator, 100, 1000));
            assert_eq!(made, expected, "{numerator}/{denominator}");
        }
    }

    #[test]
    fn irregular_pictures_get_the_rate_of_most() {
        let mut times = times(30, 1, 200, 1);
        times.retain(|time| time % 7 != 3);
        times.drain(90..110);
        assert_eq!(Rate::of(&times), rate(30, false));
        assert_eq!(last_interval(&times).map(f64::round), Some(33_333_333.0));
        assert_eq!(last_interval(&[5]), None);
        assert_eq!(Rate::of(&[5]), rate(25, false));
        assert_eq!(Rate::of(&[]), rate(25, false));
        assert_eq!(Rate::of(&[7, 7, 7]), rate(25, false));
    }

    #[test]
    fn times_of_the_film_are_those_of_the_source_and_back() {
        for (fps, retimed) in [(30, true), (24, true), (25, false), (60, false)] {
            let rate = rate(fps, retimed);
            for units in [0, 1, 218, 219, 1_000_003] {
                assert_eq!(rate.units(rate.source_ns(units, fps), fps), units);
            }
        }
        // 1001 frames of 30000/1001 are 33.4 s, and 33.366 s of the film.
        assert_eq!(rate(30, true).source_ns(30_000, 30), 1_001_000_000_000);
    }
}
