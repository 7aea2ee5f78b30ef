//! Points of time as `/api` writes them.

use crate::base::clock::Wall;
use crate::base::rfc3339::Rfc3339;

/// ISO 8601 in UTC without a fraction, which some clients cannot read (contract, broadcasts, section 1).
pub(in crate::control) fn seconds(wall: Wall) -> String {
    Rfc3339(wall).seconds()
}

/// The same with milliseconds, rounded down, for clients that correct their clock by it.
pub(in crate::control) fn milliseconds(wall: Wall) -> String {
    Rfc3339(wall).millis()
}
