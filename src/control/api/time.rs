//! Points of time as `/api` writes them.

use crate::base::clock::Wall;
use crate::control::pcast::time::Rfc3339;

/// Characters of a time up to its seconds: `2026-01-31T18:00:00`.
const TO_SECONDS: usize = 19;
/// The same up to its milliseconds.
const TO_MILLISECONDS: usize = 23;

/// ISO 8601 in UTC without a fraction, which some clients cannot read (contract, broadcasts, section 1).
pub(in crate::control) fn seconds(wall: Wall) -> String {
    up_to(wall, TO_SECONDS)
}

/// The same with milliseconds, rounded down, for clients that correct their clock by it.
pub(in crate::control) fn milliseconds(wall: Wall) -> String {
    up_to(wall, TO_MILLISECONDS)
}

fn up_to(wall: Wall, characters: usize) -> String {
    let mut text = Rfc3339(wall).to_string();
    text.truncate(characters);
    text.push('Z');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_no_fraction_but_those_that_clocks_are_set_by() {
        let time = Wall(1_517_854_888_280_999);
        assert_eq!(seconds(time), "2018-02-05T18:21:28Z");
        assert_eq!(milliseconds(time), "2018-02-05T18:21:28.280Z");
    }
}
