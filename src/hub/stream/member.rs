//! One publisher session as the stream sees it, and what a backup sent lately.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::MemberId;
use crate::base::clock::Wall;
use crate::hub::announcement::Announcement;
use crate::hub::doctor::Doctor;
use crate::hub::observer::Observer;
use crate::media::{AccessUnit, MediaKind, Track};

/// Units that a backup's last two groups of pictures may have: 10 s of 60 fps and 48 kHz sound.
const WARM_UNITS: usize = 1100;
/// Their bytes: 10 s of 25 Mbit/s.
const WARM_BYTES: usize = 32 << 20;

/// A publisher session.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: MemberId,
    /// Which of the stream's places it has: below [`super::MAX_MEMBERS`], and free again after it.
    pub(super) place: usize,
    pub(super) proto: &'static str,
    pub(super) peer: SocketAddr,
    /// Its id in the channel API.
    pub(super) session: Arc<str>,
    /// Its name in the channel API.
    pub(super) screen_name: Arc<str>,
    /// When it appeared in the channel API, or one of its tracks changed.
    pub(super) changed: Wall,
    /// Whether any unit came.
    pub(super) has_sent: bool,
    /// Capabilities that it asked for, where the stream has others.
    pub(super) ignored: Vec<String>,
    /// Monotonic time at which it joined.
    pub(super) joined: Duration,
    /// Why it took the air; empty when it never did.
    pub(super) reason: String,
    pub(super) doctor: Doctor,
    pub(super) announcement: Announcement,
    pub(super) video: Option<Track>,
    pub(super) audio: Option<Track>,
    /// Monotonic time of the newest unit; of the joining before the first.
    pub(super) last_unit: Duration,
    pub(super) observer: Observer,
    /// What it sent lately, while it is not on air.
    pub(super) warm: Warm,
    pub(super) eviction: watch::Sender<Option<String>>,
}

impl Member {
    /// Whether nothing came for longer than `silence`.
    pub(super) fn is_silent(&self, now: Duration, silence: Duration) -> bool {
        now.saturating_sub(self.last_unit) > silence
    }

    /// A configuration for the units that follow.
    pub(super) fn handle_track(&mut self, track: &Track) {
        self.observer.handle_track(track);
        let slot = match track.kind() {
            MediaKind::Video => &mut self.video,
            MediaKind::Audio => &mut self.audio,
        };
        if slot.replace(track.clone()).is_some_and(|old| old != *track) {
            // What was kept is of the old one.
            self.warm.clear();
        }
    }

    /// Remembers a unit, in case that this session takes the air.
    pub(super) fn keep_warm(&mut self, now: Wall, unit: AccessUnit) {
        let leads = unit.kind == MediaKind::Video || self.video.is_none();
        self.warm.add(now, unit, leads);
    }
}

/// A backup's units since its last key unit but one, with their arrival (decision 10).
#[derive(Debug, Default)]
pub(super) struct Warm {
    units: VecDeque<(Wall, AccessUnit)>,
    bytes: usize,
}

impl Warm {
    /// Remembers a unit. `leads` says whether the session's segments would open with units of its kind.
    pub(super) fn add(&mut self, now: Wall, unit: AccessUnit, leads: bool) {
        let opens = leads && unit.key;
        if opens {
            self.forget_before_last_key(unit.kind);
        }
        let full = self.units.len() >= WARM_UNITS || self.bytes + unit.data.len() > WARM_BYTES;
        if full {
            self.clear();
        }
        if opens || !self.units.is_empty() {
            self.bytes += unit.data.len();
            self.units.push_back((now, unit));
        }
    }

    /// Whether a segment can be opened with what is here.
    pub(super) fn is_ready(&self) -> bool {
        !self.units.is_empty()
    }

    /// Gives everything out from the last key unit that came at or before `wanted`, or from the first one.
    pub(super) fn take(&mut self, wanted: Wall) -> VecDeque<(Wall, AccessUnit)> {
        let lead = self
            .units
            .front()
            .map_or(MediaKind::Video, |first| first.1.kind);
        let opens =
            |(at, unit): &(Wall, AccessUnit)| *at <= wanted && unit.key && unit.kind == lead;
        let from = self.units.iter().rposition(opens).unwrap_or(0);
        let units = self.units.split_off(from);
        self.clear();
        units
    }

    /// The clock by which units arrived was set by this much (µs): they came when they came.
    pub(super) fn shift(&mut self, by_micros: i64) {
        for (at, _) in &mut self.units {
            *at = at.plus_micros(by_micros);
        }
    }

    /// Bytes of media.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.units.clear();
        self.bytes = 0;
    }

    fn forget_before_last_key(&mut self, lead: MediaKind) {
        let opens = |(_, unit): &(Wall, AccessUnit)| unit.key && unit.kind == lead;
        let from = match lead {
            MediaKind::Video => self.units.iter().rposition(opens).unwrap_or(0),
            // Every frame of sound opens: a second of it is enough.
            MediaKind::Audio => self.units.len().saturating_sub(50),
        };
        for (_, unit) in self.units.drain(..from) {
            self.bytes -= unit.data.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::media::Ticks;

    fn unit(at: i64, key: bool) -> (Wall, AccessUnit) {
        let unit = AccessUnit {
            kind: MediaKind::Video,
            dts: Ticks(at),
            pts: Ticks(at),
            duration: None,
            key,
            data: Bytes::from_static(b"unit"),
        };
        (Wall(at), unit)
    }

    fn filled(keys: &[i64], to: i64) -> Warm {
        let mut warm = Warm::default();
        for at in 0..to {
            let (now, unit) = unit(at, keys.contains(&at));
            warm.add(now, unit, true);
        }
        warm
    }

    fn times(units: &VecDeque<(Wall, AccessUnit)>) -> (i64, i64) {
        (units[0].0.0, units[units.len() - 1].0.0)
    }

    #[test]
    fn units_since_the_last_key_unit_but_one_are_kept() {
        let mut warm = filled(&[10, 20, 30, 40], 45);
        assert_eq!(warm.units.len(), 15);
        assert_eq!(times(&warm.take(Wall(39))), (30, 44));
        assert!(!warm.is_ready());
    }

    #[test]
    fn the_key_unit_nearest_before_the_wanted_time_comes_first() {
        assert_eq!(times(&filled(&[10, 20, 30], 35).take(Wall(33))), (30, 34));
        assert_eq!(times(&filled(&[10, 20, 30], 35).take(Wall(5))), (20, 34));
    }

    #[test]
    fn a_group_too_large_is_forgotten_up_to_the_next_key_unit() {
        let add = |warm: &mut Warm, at: i64, key: bool, bytes: usize| {
            let (now, mut unit) = unit(at, key);
            unit.data = Bytes::from(vec![0; bytes]);
            warm.add(now, unit, true);
        };
        // One after another: too many units, too many bytes.
        for (units, bytes) in [(WARM_UNITS, 10), (4, WARM_BYTES / 4)] {
            let mut warm = Warm::default();
            for at in 0..units {
                add(&mut warm, 0, at == 0, bytes);
            }
            assert!(warm.is_ready());
            assert_eq!(warm.bytes, units * bytes);
            for _ in 0..3 {
                add(&mut warm, 1, false, bytes);
                assert!(!warm.is_ready(), "what follows cannot be decoded");
                assert_eq!(warm.bytes, 0);
            }
            add(&mut warm, 2, true, bytes);
            assert_eq!((warm.units.len(), warm.bytes), (1, bytes));
        }
    }
}
