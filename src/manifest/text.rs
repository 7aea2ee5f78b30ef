//! Numbers and dates as text, appended to a string without an allocation of their own.

use std::time::Duration;

use crate::base::clock::Wall;
use crate::media::time::{Ticks, Timescale, rescale};

/// Ten-microsecond units: five decimals of a second, finer than one sample of any audio rate up to
/// 100 kHz, so that rounding never adds up to a frame (APL 8.1).
pub(crate) const TEN_MICROS: Timescale = Timescale::of(100_000);

/// Appends a decimal integer.
pub(crate) fn push_u64(out: &mut String, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&digits[at..]).expect("digits are ASCII"));
}

/// Appends a number with leading zeros to a width of at most 20.
pub(crate) fn push_padded(out: &mut String, mut value: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let from = digits.len() - width;
    for digit in digits[from..].iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.push_str(std::str::from_utf8(&digits[from..]).expect("digits are ASCII"));
}

/// A span in units of 10 µs, to the nearest; zero when negative.
pub(crate) fn ten_micros(ticks: Ticks, scale: Timescale) -> u64 {
    u64::try_from(rescale(ticks, scale, TEN_MICROS).0).unwrap_or(0)
}

/// A duration in units of 10 µs, rounded up: for limits that other values must stay below.
pub(crate) fn ten_micros_up(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(10)).unwrap_or(u64::MAX)
}

/// Appends seconds with exactly five decimals.
pub(crate) fn push_seconds(out: &mut String, ten_micros: u64) {
    push_u64(out, ten_micros / 100_000);
    out.push('.');
    push_padded(out, ten_micros % 100_000, 5);
}

/// Appends seconds with as many of five decimals as are not trailing zeros.
pub(crate) fn push_short_seconds(out: &mut String, ten_micros: u64) {
    push_u64(out, ten_micros / 100_000);
    push_fraction(out, ten_micros % 100_000, 5);
}

/// Appends `.` and the fraction without trailing zeros, or nothing when it is zero.
fn push_fraction(out: &mut String, fraction: u64, width: usize) {
    if fraction == 0 {
        return;
    }
    out.push('.');
    push_padded(out, fraction, width);
    while out.ends_with('0') {
        out.pop();
    }
}

/// Appends an `xs:duration` of a number of microseconds, such as `PT2.5S`; negative ones as zero.
pub(crate) fn push_xs_duration(out: &mut String, micros: i64) {
    let micros = u64::try_from(micros).unwrap_or(0);
    out.push_str("PT");
    push_u64(out, micros / 1_000_000);
    push_fraction(out, micros % 1_000_000, 6);
    out.push('S');
}

/// Year, month and day of a day number since 1970-01-01, in the Gregorian calendar.
fn civil_from_days(days: i64) -> (i64, u64, u64) {
    // Eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month.unsigned_abs(), day.unsigned_abs())
}

/// Appends a point of time as ISO 8601 UTC with milliseconds, rounded down:
/// `2026-11-22T04:02:07.123Z`. Years outside of 0 to 9999 are not representable and wrap.
pub fn push_date(out: &mut String, wall: Wall) {
    let millis = wall.unix_millis();
    let (year, month, day) = civil_from_days(millis.div_euclid(86_400_000));
    let of_day = millis.rem_euclid(86_400_000).unsigned_abs();
    push_padded(out, year.rem_euclid(10_000).unsigned_abs(), 4);
    out.push('-');
    push_padded(out, month, 2);
    out.push('-');
    push_padded(out, day, 2);
    out.push('T');
    push_padded(out, of_day / 3_600_000, 2);
    out.push(':');
    push_padded(out, of_day / 60_000 % 60, 2);
    out.push(':');
    push_padded(out, of_day / 1000 % 60, 2);
    out.push('.');
    push_padded(out, of_day % 1000, 3);
    out.push('Z');
}

/// A point of time as ISO 8601 UTC with milliseconds, rounded down.
pub fn date(wall: Wall) -> String {
    let mut out = String::with_capacity(24);
    push_date(&mut out, wall);
    out
}

/// Reads what [`push_date`] writes (`YYYY-MM-DDThh:mm:ss`, an optional fraction, `Z`), to the
/// microsecond. `None` for anything else, such as 30 February.
pub fn parse_date(text: &str) -> Option<Wall> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        std::str::from_utf8(digits).ok()?.parse().ok()
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, c)| bytes.get(*at) != Some(c)) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let rest = text.get(19..)?.strip_suffix('Z')?;
    let micros = match rest.strip_prefix('.') {
        None if rest.is_empty() => 0,
        None => return None,
        Some(fraction) => {
            if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            format!("{fraction:0<6}").get(..6)?.parse::<i64>().ok()?
        }
    };
    let days = days_from_civil(year, month, day);
    if civil_from_days(days) != (year, month.unsigned_abs(), day.unsigned_abs()) {
        return None;
    }
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    Some(Wall(seconds * 1_000_000 + micros))
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Appends text as XML character data or as the content of a double-quoted attribute.
pub(crate) fn push_xml(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 §2.2 allows no other control characters, not even escaped.
            c if c.is_control() && !matches!(c, '\t' | '\n' | '\r') => {}
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // From `date -u -d @SECONDS`.
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_399_999_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000Z"),
            (1_795_320_127_123_999, "2026-11-22T04:02:07.123Z"),
            (253_402_300_799_000_000, "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(date(Wall(micros)), text);
        }
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for text in [
            "",
            "2026-02-30T00:00:00.000Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.+5Z",
            "é026-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn spans_are_rounded_once_and_written_short() {
        let mut out = String::new();
        push_seconds(&mut out, ten_micros(Ticks(180_180), Timescale::CHANNEL));
        out.push(' ');
        push_short_seconds(&mut out, ten_micros_up(Duration::from_micros(213_401)));
        out.push(' ');
        push_xs_duration(&mut out, 2_500_000);
        out.push(' ');
        push_xs_duration(&mut out, -3);
        assert_eq!(out, "2.00200 0.21341 PT2.5S PT0S");
    }

    #[test]
    fn xml_text_is_escaped_and_loses_control_characters() {
        let mut out = String::new();
        push_xml(&mut out, "a<b>&\"\u{1}c\n");
        assert_eq!(out, "a&lt;b&gt;&amp;&quot;c\n");
    }

    proptest! {
        #[test]
        fn a_date_reads_back_to_the_millisecond(micros in -62_135_596_800_000_000_i64..253_402_300_800_000_000) {
            let wall = Wall(micros);
            let read = parse_date(&date(wall)).expect("own text");
            prop_assert_eq!(read.unix_millis(), wall.unix_millis());
        }

        #[test]
        fn numbers_equal_those_of_the_standard_library(value: u64, fraction in 0_u64..100_000) {
            let mut out = String::new();
            push_u64(&mut out, value);
            out.push('.');
            push_padded(&mut out, fraction, 5);
            prop_assert_eq!(out, format!("{value}.{fraction:05}"));
        }
    }
}
