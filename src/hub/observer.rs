//! What one publisher's units tell of its encoder and its line. Pure: units with their arrival go in.
//!
//! Constant memory and a few comparisons per unit: sums are made when somebody asks.

mod arrival;
mod bit_rate;
mod frame_rate;
mod pictures;

use std::time::Duration;

use super::announcement::Announcement;
use super::link::Link;
use super::roster::TrackState;
use crate::media::{AccessUnit, MediaKind, Ticks, Timescale, Track, rescale};
use arrival::Arrivals;
pub use arrival::Stalls;
use bit_rate::BitRate;
use frame_rate::FrameRate;
use pictures::Pictures;

/// A track without a unit for this long is missing: longer than any pause between audio frames, and
/// than the key interval after which an encoder may be late with its first picture.
const MISSING_AFTER: Duration = Duration::from_secs(2);

/// How long ago a track became missing.
pub(super) type Lateness = Option<Duration>;

/// What is known of one encoder and its line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Time since the first unit, seconds.
    pub watched_seconds: f64,
    /// Time since the newest unit, seconds; zero before the first.
    pub quiet_seconds: f64,
    /// Payload bit rate over the last seconds, bits per second.
    pub bitrate_bps: f64,
    /// Pictures per second of their own time, over the last seconds.
    pub frame_rate: f64,
    /// How much later than the most punctual unit of the session the newest one came, seconds.
    pub lag_seconds: f64,
    /// The smallest lag of the last seconds: a queue somewhere on the way that never empties.
    pub standing_lag_seconds: f64,
    /// By how much the standing lag grows, seconds per second.
    pub lag_trend: f64,
    /// Pauses of more than half a second between two units.
    pub stalls: u64,
    /// Their sum, seconds, one that goes on now included.
    pub stall_seconds: f64,
    /// How much slower than ours the encoder's clock runs, parts per million; `None` until it was
    /// watched long enough, and on lines too unsteady to tell.
    pub drift_ppm: Option<f64>,
    /// Jumps of the encoder's times while time went on.
    pub time_jumps: u64,
    /// What is known of key units.
    pub keys: Keys,
    /// The longest run of pictures that are shown before one that was decoded earlier (B-frames), among
    /// the last ones; zero without any.
    pub b_frames: u32,
    /// Slowest and fastest momentary frame rate, when the rate is not constant.
    pub variable_rate: Option<(f64, f64)>,
    /// Pictures.
    pub video: Lane,
    /// Sound.
    pub audio: Lane,
    /// Name and version of the encoder, as it states them.
    pub encoder: Option<String>,
    /// Its line, where the transport measures it.
    pub link: Option<Link>,
}

/// Key units, in media time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Keys {
    /// The newest interval, seconds; `None` before the second key unit.
    pub last_seconds: Option<f64>,
    /// The shortest of the last intervals, seconds.
    pub shortest_seconds: f64,
    /// The longest of the last intervals, seconds, the running one included.
    pub longest_seconds: f64,
    /// Intra pictures since the newest key unit that are none themselves (open GOP).
    pub open_intra: u32,
}

/// One kind's track.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lane {
    /// Whether it comes.
    pub presence: Presence,
    /// Its configuration, once known.
    pub track: Option<Track>,
}

/// Whether units of a track come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Presence {
    /// It was neither announced nor configured, or it is too early to say.
    #[default]
    Absent,
    /// The encoder says that there is none.
    Denied,
    /// It was announced, configured or seen, but has not come for so many seconds.
    Missing(f64),
    /// It comes.
    Present,
}

/// Watches one publisher session.
#[derive(Debug, Default)]
pub struct Observer {
    announcement: Announcement,
    first: Option<Duration>,
    bit_rate: BitRate,
    frame_rate: FrameRate,
    arrivals: Arrivals,
    pictures: Pictures,
    video: Watched,
    audio: Watched,
    link: Option<Link>,
}

#[derive(Debug, Default)]
struct Watched {
    track: Option<Track>,
    last: Option<Duration>,
}

impl Observer {
    /// What the encoder says of itself.
    pub fn handle_announcement(&mut self, announcement: &Announcement) {
        self.announcement = announcement.clone();
    }

    /// What the transport measures of the line.
    pub fn handle_link(&mut self, link: Link) {
        self.link = Some(link);
    }

    /// The line, where the transport measures it.
    pub(super) fn link(&self) -> Option<Link> {
        self.link
    }

    /// A codec configuration.
    pub fn handle_track(&mut self, track: &Track) {
        self.lane(track.kind()).track = Some(track.clone());
    }

    /// A unit that came at `now`, times in its track's own timescale.
    pub fn handle_unit(&mut self, now: Duration, unit: &AccessUnit) {
        self.first.get_or_insert(now);
        let lane = self.lane(unit.kind);
        lane.last = Some(now);
        let scale = lane.track.as_ref().map(|track| track.timescale);
        let has_video = self.video.last.is_some();
        self.bit_rate.handle(now, unit.data.len());
        let Some(scale) = scale else { return };
        let micros = |ticks: Ticks| rescale(ticks, scale, Timescale::MICROS).0;
        self.arrivals.handle_any(now);
        // One track tells when the others come too: pictures, where there are any.
        if unit.kind == MediaKind::Video || !has_video {
            self.arrivals.handle(now, unit.kind, micros(unit.dts));
        }
        if unit.kind == MediaKind::Video {
            let config = self.video.track.as_ref().map(|track| &track.config);
            let open = !unit.key && config.is_some_and(|config| config.is_open_intra(&unit.data));
            self.frame_rate.handle(micros(unit.dts));
            self.pictures
                .handle(micros(unit.dts), micros(unit.pts), unit.key, open);
        }
    }

    /// What is known at `now`.
    pub fn facts(&self, now: Duration) -> Facts {
        let stalls = self.arrivals.stalls(now);
        let quiet = now.saturating_sub(self.video.last.unwrap_or(now));
        Facts {
            link: self.link,
            watched_seconds: since(self.first, now),
            quiet_seconds: since(self.arrivals.last(), now),
            bitrate_bps: self.bit_rate.read(now),
            frame_rate: self.frame_rate.read(quiet),
            lag_seconds: self.arrivals.lag_seconds(),
            standing_lag_seconds: self.arrivals.standing_lag_seconds(),
            lag_trend: self.arrivals.lag_trend(),
            stalls: stalls.count,
            stall_seconds: stalls.total.as_secs_f64(),
            drift_ppm: self.arrivals.drift_ppm(),
            time_jumps: self.arrivals.time_jumps(),
            keys: self.pictures.keys(),
            b_frames: self.pictures.b_frames(),
            variable_rate: self.pictures.variable_rate(),
            video: self.show(&self.video, self.announcement.video, now),
            audio: self.show(&self.audio, self.announcement.audio, now),
            encoder: self.announcement.encoder.clone(),
        }
    }

    /// Whether a track comes at `now`, in the channel API's sense, and for how long it has not come where
    /// it should.
    pub(super) fn track(&self, kind: MediaKind, now: Duration) -> (TrackState, Lateness) {
        let (watched, announced) = match kind {
            MediaKind::Video => (&self.video, self.announcement.video),
            MediaKind::Audio => (&self.audio, self.announcement.audio),
        };
        let configured = watched.track.is_some() || watched.last.is_some();
        if !configured && announced != Some(true) {
            return (TrackState::Ended, None);
        }
        let due = watched.last.or(self.first).unwrap_or(now) + MISSING_AFTER;
        match now.checked_sub(due) {
            None => (TrackState::Enabled, None),
            Some(late) if configured => (TrackState::Disabled, Some(late)),
            // It was announced only.
            Some(late) => (TrackState::Ended, Some(late)),
        }
    }

    /// Pauses so far, one that goes on at `now` included.
    pub fn stalls(&self, now: Duration) -> Stalls {
        self.arrivals.stalls(now)
    }

    fn lane(&mut self, kind: MediaKind) -> &mut Watched {
        match kind {
            MediaKind::Video => &mut self.video,
            MediaKind::Audio => &mut self.audio,
        }
    }

    fn show(&self, watched: &Watched, announced: Option<bool>, now: Duration) -> Lane {
        let expected = watched.track.is_some() || announced == Some(true);
        let waited = match watched.last.or(self.first) {
            Some(since) => now.saturating_sub(since),
            None => Duration::ZERO,
        };
        let is_late = waited >= MISSING_AFTER;
        let presence = match watched.last {
            Some(_) if !is_late => Presence::Present,
            Some(_) => Presence::Missing(waited.as_secs_f64()),
            None if expected && is_late => Presence::Missing(waited.as_secs_f64()),
            None if announced == Some(false) => Presence::Denied,
            None => Presence::Absent,
        };
        Lane {
            presence,
            track: watched.track.clone(),
        }
    }
}

fn since(point: Option<Duration>, now: Duration) -> f64 {
    point.map_or(0.0, |point| now.saturating_sub(point).as_secs_f64())
}

#[cfg(test)]
mod tests;
