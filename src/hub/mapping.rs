//! From a publisher's clock to channel time: the offset, jumps of the source's clock, its drift.

use std::collections::VecDeque;

use crate::media::{MediaKind, Ticks};

/// A step of carried time beyond this is a hole or a jump (90 kHz ticks): 1 s.
const STEP: i64 = 90_000;
/// How far arrival and carried time may differ over a hole that is real: 1 s of network and encoder
/// queues.
const ARRIVAL_SLACK: i64 = 90_000;
/// One drift sample a second over a minute: the lower envelope of arrival minus carried time.
const DRIFT_SAMPLES: usize = 60;

/// Seconds whose most punctual unit says how late a track usually is.
const RECENT_SECONDS: usize = 10;
/// Seconds after which a track that is never punctual any more is known to be late for good.
const LATE_SECONDS: usize = 3;

/// Drift is taken out no faster than this, in parts per million: 0.4 ms in a 2 s segment (decision 11).
const SLEW_PPM: i64 = 200;

/// A track that begins further from the other one than this (90 kHz) has another idea of time: 10 s, more
/// than encoders hold back of one of them.
const LONGEST_APART: i64 = 900_000;

/// How a unit follows the one before it in its track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// As usual.
    On,
    /// The source's clock jumped while time went on: taken out of the mapping.
    Jump,
    /// Media are missing for this long (90 kHz ticks), and the clock agrees.
    Hole(Ticks),
}

#[derive(Clone, Debug)]
struct TrackClock {
    offset: Ticks,
    last: Option<(Ticks, Ticks)>,
    /// Last step in carried time: what the next one is expected to be.
    pace: Ticks,
    lag: Lag,
}

/// The smallest arrival minus channel time of each of the last seconds, oldest first.
#[derive(Clone, Debug, Default)]
struct Lag {
    lowest: VecDeque<i64>,
    second: Ticks,
}

impl Lag {
    fn observe(&mut self, arrival: Ticks, time: Ticks) {
        let lag = (arrival - time).0;
        if self.lowest.is_empty() || arrival - self.second >= Ticks(90_000) {
            self.second = arrival;
            if self.lowest.len() == RECENT_SECONDS {
                self.lowest.pop_front();
            }
            self.lowest.push_back(lag);
        } else if let Some(newest) = self.lowest.back_mut() {
            *newest = (*newest).min(lag);
        }
    }

    /// The lowest of the last `seconds`; `None` while there are fewer.
    fn lowest(&self, seconds: usize) -> Option<Ticks> {
        let skipped = self.lowest.len().checked_sub(seconds)?;
        self.lowest
            .iter()
            .skip(skipped)
            .min()
            .map(|lag| Ticks(*lag))
    }
}

impl TrackClock {
    fn handle(&mut self, arrival: Ticks, carried: Ticks, other: &TrackClock) -> Step {
        let Some((last_arrival, last_carried)) = self.last.replace((arrival, carried)) else {
            // The first unit of this track: the other one may have jumped before this came.
            self.offset = other.offset;
            return match other.last {
                Some((_, beside)) if (carried - beside).abs().0 > LONGEST_APART => {
                    self.offset += beside - carried;
                    Step::Jump
                }
                _ => Step::On,
            };
        };
        let step = carried - last_carried;
        let waited = arrival - last_arrival;
        if (0..=STEP).contains(&step.0) {
            self.pace = step;
            return Step::On;
        }
        // What comes late, after a stall, is no jump while the other track's clock shows the same.
        let beside = |(_, at): (Ticks, Ticks)| (carried - at).abs().0 <= STEP;
        let same_clock = self.offset == other.offset && other.last.is_some_and(beside);
        if step.0 > STEP && (same_clock || (step - waited).abs().0 <= ARRIVAL_SLACK) {
            return Step::Hole(step - self.pace);
        }
        if (-STEP / 3..0).contains(&step.0) {
            // A hiccup backwards by less than a third of a second: the timeline just does not go back.
            return Step::On;
        }
        // The source's clock jumped. If the other track went first, its new offset fits here too.
        let expected = last_carried + self.offset + self.pace;
        if (carried + other.offset - expected).abs().0 <= STEP {
            self.offset = other.offset;
        } else {
            let missing = Ticks((waited - self.pace).0.max(0));
            let missing = if missing.0 > STEP {
                missing
            } else {
                Ticks::ZERO
            };
            self.offset = expected + missing - carried;
        }
        Step::Jump
    }
}

/// The mapping of one publisher session.
#[derive(Debug)]
pub struct Mapping {
    video: TrackClock,
    audio: TrackClock,
    /// Per second: the smallest arrival minus channel time.
    envelope: VecDeque<i64>,
    second: Ticks,
    anchored_lag: Option<i64>,
}

impl Mapping {
    /// A session whose carried times become channel times by adding `offset`.
    pub fn new(offset: Ticks) -> Mapping {
        let clock = TrackClock {
            offset,
            last: None,
            pace: Ticks::ZERO,
            lag: Lag::default(),
        };
        Mapping {
            video: clock.clone(),
            audio: clock,
            envelope: VecDeque::new(),
            second: Ticks(i64::MIN),
            anchored_lag: None,
        }
    }

    /// A video unit with this decode time (90 kHz, source clock) came.
    pub fn handle_video(&mut self, arrival: Ticks, carried: Ticks) -> Step {
        let step = self.video.handle(arrival, carried, &self.audio);
        self.video.lag.observe(arrival, carried + self.video.offset);
        self.observe_drift(arrival, carried + self.video.offset);
        step
    }

    /// An audio unit with this time (90 kHz, source clock) came.
    pub fn handle_audio(&mut self, arrival: Ticks, carried: Ticks) -> Step {
        let step = self.audio.handle(arrival, carried, &self.video);
        self.audio.lag.observe(arrival, carried + self.audio.offset);
        if self.video.last.is_none() {
            self.observe_drift(arrival, carried + self.audio.offset);
        }
        step
    }

    /// What turns the video's carried time into channel time.
    pub fn video_offset(&self) -> Ticks {
        self.video.offset
    }

    /// What turns the audio's carried time into channel time.
    pub fn audio_offset(&self) -> Ticks {
        self.audio.offset
    }

    /// How late the track's most punctual unit of the last ten seconds came; never negative.
    pub fn usual_lag(&self, kind: MediaKind) -> Ticks {
        let lag = &self.clock(kind).lag;
        let lowest = lag.lowest(lag.lowest.len().max(1));
        lowest.unwrap_or_default().max(Ticks::ZERO)
    }

    /// How late the track has been without exception for the last seconds.
    pub fn lasting_lag(&self, kind: MediaKind) -> Ticks {
        let lowest = self.clock(kind).lag.lowest(LATE_SECONDS + 1);
        lowest.unwrap_or_default().max(Ticks::ZERO)
    }

    fn clock(&self, kind: MediaKind) -> &TrackClock {
        match kind {
            MediaKind::Video => &self.video,
            MediaKind::Audio => &self.audio,
        }
    }

    /// How much later than at first the most punctual unit of the last minute came.
    pub fn drift(&self) -> Ticks {
        let lowest = self.envelope.iter().copied().min();
        Ticks(
            lowest
                .zip(self.anchored_lag)
                .map_or(0, |(lowest, anchored)| lowest.saturating_sub(anchored)),
        )
    }

    /// Takes out some of the drift of the source's clock, in all tracks alike: what may be taken out over
    /// `elapsed` channel time.
    pub fn slew(&mut self, elapsed: Ticks) {
        let limit = elapsed.0.clamp(0, 900_000) * SLEW_PPM / 1_000_000;
        let step = Ticks(self.drift().0.clamp(-limit, limit));
        if step == Ticks::ZERO {
            return;
        }
        self.video.offset += step;
        self.audio.offset += step;
        let video = self.video.lag.lowest.iter_mut();
        for lag in video
            .chain(&mut self.audio.lag.lowest)
            .chain(&mut self.envelope)
        {
            *lag = lag.saturating_sub(step.0);
        }
    }

    /// Moves all tracks by `by`: the clock was set.
    pub fn shift(&mut self, by: Ticks) {
        self.video.offset += by;
        self.audio.offset += by;
        self.second += by;
        self.video.lag.second += by;
        self.audio.lag.second += by;
        for clock in [&mut self.video, &mut self.audio] {
            clock.last = clock.last.map(|(arrival, carried)| (arrival + by, carried));
        }
    }

    fn observe_drift(&mut self, arrival: Ticks, time: Ticks) {
        let lag = (arrival - time).0;
        if arrival - self.second >= Ticks(90_000) || self.envelope.is_empty() {
            self.second = arrival;
            if self.envelope.len() == DRIFT_SAMPLES {
                self.envelope.pop_front();
                if self.anchored_lag.is_none() {
                    self.anchored_lag = self.envelope.iter().copied().min();
                }
            }
            self.envelope.push_back(lag);
        } else if let Some(newest) = self.envelope.back_mut() {
            *newest = (*newest).min(lag);
        }
    }
}
