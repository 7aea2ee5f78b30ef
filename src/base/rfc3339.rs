//! Points of time as text.

use std::fmt;

use super::clock::Wall;

const SECONDS_PER_DAY: i64 = 86_400;
/// Characters of a time up to its seconds: `2026-01-31T18:00:00`.
const TO_SECONDS: usize = 19;
/// The same up to its milliseconds.
const TO_MILLIS: usize = 23;

/// RFC 3339 in UTC with nine fractional digits: `2018-02-05T18:21:28.280000000Z`.
#[derive(Clone, Copy, Debug)]
pub struct Rfc3339(
    /// The point.
    pub Wall,
);

impl Rfc3339 {
    /// Without a fraction, which some clients cannot read (contract, broadcasts, section 1):
    /// `2018-02-05T18:21:28Z`.
    pub fn seconds(self) -> String {
        self.cut(TO_SECONDS)
    }

    /// With three fractional digits: `2018-02-05T18:21:28.280Z`.
    pub fn millis(self) -> String {
        self.cut(TO_MILLIS)
    }

    fn cut(self, characters: usize) -> String {
        let mut text = self.to_string();
        text.truncate(characters);
        text.push('Z');
        text
    }
}

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.0.rem_euclid(1_000_000);
        let seconds = self.0.unix_seconds();
        let (year, month, day) = civil(seconds.div_euclid(SECONDS_PER_DAY));
        let second = seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}000Z"
        )
    }
}

/// Year, month and day of a number of days since 1970-01-01 in the proleptic Gregorian calendar: counted
/// from 1 March of the year 0, so that leap days come last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_contract_shows_them() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (1_517_854_888_280_000, "2018-02-05T18:21:28.280000000Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001000Z"),
            (4_107_542_399_999_999, "2100-02-28T23:59:59.999999000Z"),
            (-1, "1969-12-31T23:59:59.999999000Z"),
        ] {
            assert_eq!(Rfc3339(Wall(micros)).to_string(), text);
        }
    }

    #[test]
    fn a_time_is_cut_not_rounded() {
        let time = Rfc3339(Wall(1_517_854_888_280_999));
        assert_eq!(time.seconds(), "2018-02-05T18:21:28Z");
        assert_eq!(time.millis(), "2018-02-05T18:21:28.280Z");
    }
}
