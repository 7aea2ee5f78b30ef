//! What one publisher's units tell of its encoder and its line. Pure: units with their arrival go in.

use std::time::Duration;

use super::announcement::Announcement;
use crate::media::{AccessUnit, Track};

/// What is known of one encoder and its line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Payload bit rate over the last seconds, bits per second.
    pub bitrate_bps: f64,
    /// Pictures per second over the last seconds.
    pub frame_rate: f64,
    /// How much later than the most punctual unit of the session the newest one came, seconds.
    pub lag_seconds: f64,
}

/// Watches one publisher session.
#[derive(Debug, Default)]
pub struct Observer {}

impl Observer {
    /// What the encoder says of itself.
    pub fn handle_announcement(&mut self, _announcement: &Announcement) {}

    /// A codec configuration.
    pub fn handle_track(&mut self, _track: &Track) {}

    /// A unit that came at `now`, times in its track's own timescale.
    pub fn handle_unit(&mut self, _now: Duration, _unit: &AccessUnit) {}

    /// What is known at `now`.
    pub fn facts(&self, _now: Duration) -> Facts {
        Facts::default()
    }
}
