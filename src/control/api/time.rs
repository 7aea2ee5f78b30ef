//! Points of time as `/api` writes them.

use crate::base::clock::Wall;
use crate::control::pcast::time::Rfc3339;

/// Characters of a time up to its seconds: `2026-01-31T18:00:00`.
const TO_SECONDS: usize = 19;

/// ISO 8601 in UTC without a fraction, which some clients cannot read (contract, broadcasts, section 1).
pub(in crate::control) fn seconds(wall: Wall) -> String {
    let mut text = Rfc3339(wall).to_string();
    text.truncate(TO_SECONDS);
    text.push('Z');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_no_fraction() {
        assert_eq!(seconds(Wall(1_517_854_888_280_000)), "2018-02-05T18:21:28Z");
    }
}
