//! How long before it takes effect a change of what is on must be written down, so that every gateway of a database
//! has learnt of it by then and none lists, announces or serves what will not be there.
//!
//! Gateways do not call each other: each asks the database every [`LOOK`] what has changed. So a row that is
//! decided about now is written at most [`WRITTEN`] later, read by everybody at most [`LOOK`] after that, and the
//! look itself may take [`LEARNT`], in which the clocks of gateways may differ, too. [`LEAD`] is the sum. Playlists
//! list nothing of the future but the name of the part that comes next, which does not depend on the change.
//!
//! A gateway whose database does not answer for longer than that goes on with what it knows: the database is never
//! on the way of a frame.

use std::time::Duration;

/// How often each gateway asks the database what has changed of events. Nearly always the answer is one number.
pub const LOOK: Duration = Duration::from_millis(500);

/// From the decision about a change until the database has it. What comes later is refused there.
pub const WRITTEN: Duration = Duration::from_millis(250);

/// How long a look may take, with what the clocks of gateways are apart.
pub const LEARNT: Duration = Duration::from_millis(750);

/// How far ahead of now a change of what is on takes effect, at least: takeovers, their ends, starts and ends by hand,
/// other times.
pub const LEAD: Duration = WRITTEN.saturating_add(LOOK).saturating_add(LEARNT);

/// [`LEAD`] in microseconds of the wall clock.
pub const LEAD_US: i64 = LEAD.as_micros() as i64;
