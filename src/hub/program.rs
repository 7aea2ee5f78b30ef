//! What a stream has on air: maps a publisher's times to channel time and decides every boundary.
//!
//! Pure: in go tracks and units with their arrival time, out come units in channel time and the
//! boundaries that open with them. Not here: sockets, packaging, clocks.

use std::collections::VecDeque;
use std::sync::Arc;

use super::boundary::{Cursor, Ledger, Opened};
use super::mapping::{Mapping, Step};
use super::publisher::Announcement;
use super::sound::SoundClock;
use super::timing::FrameGrid;
use crate::base::clock::Wall;
use crate::media::codec::avc;
use crate::media::time::channel_time;
use crate::media::{
    AccessUnit, Boundary, CodecConfig, MediaKind, Ticks, Timescale, Track, rescale,
};

/// One second of channel time.
const SECOND: Ticks = Ticks(90_000);
/// How long the source may keep us from knowing its key interval before the ladder decides without
/// (decision 5).
const SETTLE: Ticks = Ticks(3 * 90_000);
/// How long the other track may keep the first one waiting when nobody announced what will come.
const UNANNOUNCED_WAIT: Ticks = Ticks(90_000);
/// How long an announced track is waited for.
const ANNOUNCED_WAIT: Ticks = Ticks(3 * 90_000);
/// Audio units held until it is known whose segment they are: 4 s at 48 kHz and 1024 samples. Past it
/// the oldest are released into the running segment.
const HELD_AUDIO_UNITS: usize = 192;
/// A hole in a track's times that is not closed by a longer sample but stated as a break (decision 9).
const LONGEST_STRETCH: Ticks = Ticks(90_000);

/// What a stream's boundaries obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Segment target, 90 kHz.
    pub segment_target: Ticks,
    /// The longest segment that the playlists' TARGETDURATION allows, 90 kHz.
    pub longest_segment: Ticks,
    /// Whether a ladder is made: segments then lie on the grid when the source's key units do not fit.
    pub ladder: bool,
}

/// What comes out, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// The source's configuration of one kind, in channel timescale, for the units that follow.
    Track(Arc<Track>),
    /// Whether the source is listed as it is.
    Settled {
        /// False: a transcoded rung takes its place.
        passthrough: bool,
    },
    /// A source unit in channel time and what opens with it in the source's rendition.
    Unit {
        /// The unit.
        unit: AccessUnit,
        /// What opens.
        opened: Opened,
        /// The boundary that this unit brings about for every rendition.
        boundary: Option<Boundary>,
    },
    /// What follows does not connect to what was before.
    Break,
}

/// What was mended or lost, per stream. Counts since the stream began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Units thrown away: before the first key unit, or inside of published time.
    pub dropped_units: u64,
    /// Jumps of the source's clock that were taken out.
    pub time_jumps: u64,
    /// Silent audio frames put in.
    pub silent_frames: u64,
    /// Audio frames left out because they overlap.
    pub overlapping_frames: u64,
    /// Segments cut at a unit that is no key unit, because the GOP is longer than allowed.
    pub long_gops: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lead {
    /// Not known yet whether there is video.
    Undecided,
    Video,
    Audio,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Unknown,
    Passthrough,
    Grid,
}

/// The state of one stream's timeline.
#[derive(Debug)]
pub struct Program {
    settings: Settings,
    epoch: Wall,
    announcement: Announcement,
    lead: Lead,
    first_unit: Option<Ticks>,
    mapping: Option<Mapping>,
    video: Option<Arc<Track>>,
    video_scale: Timescale,
    grid: FrameGrid,
    /// Distance from decode to presentation time of the first key unit; added to every decode time so
    /// that a key unit's two times are equal (CMAF cmf2, no edit list).
    delay: Ticks,
    /// Where the last video unit ends in decode time, when that was promised with the unit.
    promised_end: Option<Ticks>,
    video_end: Option<Ticks>,
    key_gap: KeyGaps,
    fit: Fit,
    video_cursor: Cursor,
    audio: Option<Arc<Track>>,
    audio_scale: Timescale,
    sound: Option<SoundClock>,
    held_audio: VecDeque<AccessUnit>,
    audio_cursor: Cursor,
    ledger: Ledger,
    segment_start: Ticks,
    next_sequence: u64,
    discontinuity_sequence: u64,
    /// The next boundary does not connect: new configuration, new publisher, a jump.
    disconnected: bool,
    /// Only a key unit may follow.
    wait_key: bool,
    repairs: Repairs,
    outputs: VecDeque<Output>,
}

#[derive(Debug, Default)]
struct KeyGaps {
    last: Option<Ticks>,
    longest: Ticks,
    count: u32,
}

impl Program {
    /// A stream whose media time zero is `epoch`. Media sequence numbers count from the clock, so that
    /// they never fall, not even over a restart (decision 16).
    pub fn new(settings: Settings, epoch: Wall, now: Wall) -> Program {
        let target_ms = (settings.segment_target.0 / 90).max(2);
        let sequence = now.unix_millis().max(0) / (target_ms / 2);
        Program {
            settings,
            epoch,
            announcement: Announcement::default(),
            lead: Lead::Undecided,
            first_unit: None,
            mapping: None,
            video: None,
            video_scale: Timescale::MILLIS,
            grid: FrameGrid::new(None),
            delay: Ticks::ZERO,
            promised_end: None,
            video_end: None,
            key_gap: KeyGaps::default(),
            fit: if settings.ladder {
                Fit::Unknown
            } else {
                Fit::Passthrough
            },
            video_cursor: Cursor::default(),
            audio: None,
            audio_scale: Timescale::MILLIS,
            sound: None,
            held_audio: VecDeque::new(),
            audio_cursor: Cursor::default(),
            ledger: Ledger::default(),
            segment_start: Ticks::ZERO,
            next_sequence: u64::try_from(sequence).unwrap_or(0),
            // Small on purpose: hls.js 1.7 freezes the browser on numbers as large as the clock's.
            discontinuity_sequence: 0,
            disconnected: false,
            wait_key: true,
            repairs: Repairs::default(),
            outputs: VecDeque::new(),
        }
    }

    /// What the publisher says will come.
    pub fn handle_announcement(&mut self, announcement: Announcement) {
        if announcement.frame_rate_millis != self.announcement.frame_rate_millis {
            self.grid = FrameGrid::new(announcement.frame_rate_millis.or(self.stated_rate()));
        }
        self.announcement = announcement;
    }

    /// A configuration record. One that is equal to the one in force changes nothing.
    pub fn handle_track(&mut self, track: Track) {
        let kind = track.kind();
        let carried_scale = track.timescale;
        let scale = match kind {
            MediaKind::Video => Timescale::CHANNEL,
            MediaKind::Audio => track
                .sample_rate()
                .and_then(Timescale::new)
                .unwrap_or(Timescale::CHANNEL),
        };
        let track = Arc::new(Track {
            timescale: scale,
            ..track
        });
        let slot = match kind {
            MediaKind::Video => {
                self.video_scale = carried_scale;
                &mut self.video
            }
            MediaKind::Audio => {
                self.audio_scale = carried_scale;
                &mut self.audio
            }
        };
        if slot.as_ref().is_some_and(|old| **old == *track) {
            return;
        }
        let changed = slot.replace(track.clone()).is_some();
        if changed {
            self.disconnected = true;
            self.wait_key |= kind == MediaKind::Video;
        }
        match kind {
            MediaKind::Video => {
                self.grid = FrameGrid::new(
                    self.announcement
                        .frame_rate_millis
                        .or(track.frame_rate_millis()),
                );
                self.promised_end = None;
            }
            MediaKind::Audio => {
                self.flush_audio();
                self.sound = SoundClock::new(&track);
            }
        }
        self.outputs.push_back(Output::Track(track));
    }

    /// Another publisher session feeds the stream from now on, or the old one after a break.
    pub fn handle_break(&mut self) {
        self.flush_audio();
        if self.mapping.take().is_some() {
            self.disconnected = true;
            self.outputs.push_back(Output::Break);
        }
        self.announcement = Announcement::default();
        self.wait_key = true;
        self.promised_end = None;
        self.key_gap.last = None;
        self.grid = FrameGrid::new(self.stated_rate());
        if let Some(sound) = &mut self.sound {
            sound.unanchor();
        }
    }

    /// One unit of the publisher on air, times in its track's own timescale.
    pub fn handle_unit(&mut self, now: Wall, unit: AccessUnit) {
        let arrival = channel_time(now, self.epoch);
        let first = *self.first_unit.get_or_insert(arrival);
        match unit.kind {
            MediaKind::Video => self.video(arrival, unit),
            MediaKind::Audio => self.audio(arrival, unit),
        }
        if self.fit == Fit::Unknown && self.lead != Lead::Undecided {
            self.settle(arrival - first);
        }
    }

    /// The next thing to pass on.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What a unit of a rung opens in its rendition.
    pub fn open_rung(&self, cursor: &mut Cursor, unit: &AccessUnit, scale: Timescale) -> Opened {
        cursor.open(&self.ledger, unit, scale, self.margin())
    }

    /// The configuration in force.
    pub fn track(&self, kind: MediaKind) -> Option<&Arc<Track>> {
        match kind {
            MediaKind::Video => self.video.as_ref(),
            MediaKind::Audio => self.audio.as_ref(),
        }
    }

    /// Whether every source track that can be expected is there, `waited` after the first unit.
    pub fn tracks_complete(&self, waited: Ticks) -> bool {
        let missing = |has: bool, announced: Option<bool>| match (has, announced) {
            (true, _) | (false, Some(false)) => false,
            (false, None) => waited < UNANNOUNCED_WAIT,
            (false, Some(true)) => waited < ANNOUNCED_WAIT,
        };
        self.lead != Lead::Undecided
            && !missing(self.video_cursor.is_open(), self.announcement.video)
            && !missing(self.audio_cursor.is_open(), self.announcement.audio)
    }

    /// Whether the source video may be listed; `None` until that is settled.
    pub fn passthrough(&self) -> Option<bool> {
        match self.fit {
            Fit::Unknown => None,
            Fit::Passthrough => Some(true),
            Fit::Grid => Some(false),
        }
    }

    /// Frames per second x 1000: measured, announced or stated.
    pub fn frame_rate_millis(&self) -> Option<u32> {
        self.grid
            .rate_millis()
            .or(self.announcement.frame_rate_millis)
            .or(self.stated_rate())
    }

    /// Channel time of the first unit's arrival.
    pub fn first_arrival(&self) -> Option<Ticks> {
        self.first_unit
    }

    /// What was mended or lost so far.
    pub fn repairs(&self) -> Repairs {
        let sound = self
            .sound
            .as_ref()
            .map(SoundClock::repairs)
            .unwrap_or_default();
        Repairs {
            silent_frames: sound.0,
            overlapping_frames: sound.1,
            ..self.repairs
        }
    }

    /// How far the source's clock has drifted from ours since it was anchored, in 90 kHz ticks: positive
    /// when its media come too slowly. The lower envelope over the last minute.
    pub fn drift(&self) -> Ticks {
        self.mapping
            .as_ref()
            .map(Mapping::drift)
            .unwrap_or_default()
    }

    fn stated_rate(&self) -> Option<u32> {
        self.video
            .as_ref()
            .and_then(|track| track.frame_rate_millis())
    }

    fn margin(&self) -> Ticks {
        // A 2 s GOP lands at 1.9995 s (checklist K4): half a frame, at most 20 ms.
        Ticks(
            self.grid
                .frame()
                .map_or(1350, |frame| (frame.0 / 2).min(1800)),
        )
    }

    fn published_end(&self) -> Ticks {
        let audio = self
            .sound
            .as_ref()
            .and_then(SoundClock::end_channel_time)
            .unwrap_or(Ticks::ZERO);
        self.video_end.unwrap_or(Ticks::ZERO).max(audio)
    }

    fn video(&mut self, arrival: Ticks, unit: AccessUnit) {
        if self.video.is_none() || (self.wait_key && !unit.key) {
            self.repairs.dropped_units += 1;
            return;
        }
        let dts = rescale(unit.dts, self.video_scale, Timescale::CHANNEL);
        let pts = rescale(unit.pts, self.video_scale, Timescale::CHANNEL);
        let carried_dts = self.grid.observe(dts);
        let carried_pts = self.grid.snap(pts);
        if self.mapping.is_none() {
            let at = arrival.max(self.published_end());
            self.mapping = Some(Mapping::new(at - carried_pts));
        } else if self.lead == Lead::Audio {
            // Video joins a stream that had none: tracks change.
            self.disconnected = true;
        }
        let mapping = self.mapping.as_mut().expect("anchored above");
        match mapping.handle_video(arrival, carried_dts) {
            Step::On => {}
            Step::Jump => {
                self.repairs.time_jumps += 1;
                self.promised_end = None;
            }
            Step::Hole(length) if length > LONGEST_STRETCH => {
                self.disconnected = true;
                self.promised_end = None;
                self.outputs.push_back(Output::Break);
                if !unit.key {
                    self.wait_key = true;
                    self.repairs.dropped_units += 1;
                    return;
                }
            }
            Step::Hole(_) => {}
        }
        let offset = mapping.video_offset();
        let first = self.wait_key;
        if first {
            self.delay = (carried_pts - carried_dts).max(Ticks::ZERO);
            self.wait_key = false;
        }
        self.lead = Lead::Video;
        let pts = carried_pts + offset;
        let mapped = carried_dts + offset + self.delay;
        let dts = match self.promised_end {
            Some(end) => end,
            None => self.video_end.map_or(mapped, |end| mapped.max(end)),
        };
        let next = self
            .grid
            .after(carried_dts)
            .map(|next| next + offset + self.delay);
        let duration = next
            .map(|next| next - dts)
            .filter(|duration| *duration > Ticks::ZERO);
        self.promised_end = duration.map(|duration| dts + duration);
        self.video_end = Some(self.promised_end.unwrap_or(dts + Ticks(1)));
        if unit.key {
            self.observe_key(pts, &unit);
        }
        let boundary = self.boundary(pts, unit.key, first);
        let unit = AccessUnit {
            dts,
            pts,
            duration,
            ..unit
        };
        let opened = self
            .video_cursor
            .open(&self.ledger, &unit, Timescale::CHANNEL, self.margin());
        self.outputs.push_back(Output::Unit {
            unit,
            opened,
            boundary,
        });
        self.release_audio();
    }

    /// Decides whether a segment begins with a unit of the leading track presented at `pts`.
    fn boundary(&mut self, pts: Ticks, key: bool, first: bool) -> Option<Boundary> {
        let elapsed = pts - self.segment_start + self.margin();
        let fresh = self.ledger.last().is_none();
        let by_key = key
            && (first
                || self.disconnected
                || elapsed >= self.settings.segment_target
                || self.key_gap_would_overrun(elapsed));
        let overlong = elapsed >= self.settings.longest_segment;
        let on_grid = self.fit == Fit::Grid && elapsed >= self.settings.segment_target;
        if !(fresh || by_key || on_grid || overlong) {
            return None;
        }
        let independent = key || self.fit == Fit::Grid;
        if !independent {
            self.repairs.long_gops += 1;
        }
        let connected = !self.disconnected || fresh;
        let time = if self.fit == Fit::Grid && connected && !fresh && !(first && key) {
            self.segment_start + self.settings.segment_target
        } else {
            pts
        };
        if !connected {
            self.discontinuity_sequence += 1;
        }
        let boundary = Boundary {
            sequence: self.next_sequence,
            time,
            discontinuity: !connected,
            discontinuity_sequence: self.discontinuity_sequence,
            independent,
        };
        self.disconnected = false;
        self.next_sequence += 1;
        self.segment_start = time;
        self.ledger.push(boundary);
        Some(boundary)
    }

    /// Whether waiting for the next key unit could make the segment longer than allowed.
    fn key_gap_would_overrun(&self, elapsed: Ticks) -> bool {
        let gap = self.key_gap.longest;
        gap > Ticks::ZERO
            && elapsed + elapsed >= self.settings.segment_target
            && elapsed + gap > self.settings.longest_segment + Ticks(SECOND.0 / 2)
            && gap <= self.settings.longest_segment
    }

    fn observe_key(&mut self, pts: Ticks, unit: &AccessUnit) {
        if let Some(last) = self.key_gap.last {
            self.key_gap.longest = self.key_gap.longest.max(pts - last);
            self.key_gap.count += 1;
        }
        self.key_gap.last = Some(pts);
        let is_avc = self
            .video
            .as_ref()
            .is_some_and(|track| matches!(track.config, CodecConfig::Avc(_)));
        if self.fit != Fit::Unknown || !is_avc {
            return;
        }
        let Some(options) = avc::x264_options(&unit.data) else {
            return;
        };
        let Some(rate) = self.frame_rate_millis().filter(|rate| *rate > 0) else {
            return;
        };
        let gap = Ticks(i64::from(options.keyint).saturating_mul(90_000_000) / i64::from(rate));
        self.key_gap.longest = self.key_gap.longest.max(gap);
        self.set_fit(gap <= self.settings.longest_segment + self.margin());
    }

    fn settle(&mut self, waited: Ticks) {
        if self.lead == Lead::Audio {
            self.set_fit(true);
        } else if self.key_gap.count >= 2 && self.key_gap.longest <= self.settings.longest_segment {
            self.set_fit(true);
        } else if waited >= SETTLE {
            self.set_fit(false);
        }
    }

    /// No ladder will be made: the source is listed, whatever its key interval.
    pub fn abandon_ladder(&mut self) {
        if self.fit != Fit::Passthrough {
            self.set_fit(true);
        }
    }

    fn set_fit(&mut self, passthrough: bool) {
        self.fit = if passthrough {
            Fit::Passthrough
        } else {
            Fit::Grid
        };
        self.outputs.push_back(Output::Settled { passthrough });
    }

    fn audio(&mut self, arrival: Ticks, unit: AccessUnit) {
        if self.sound.is_none() {
            self.repairs.dropped_units += 1;
            return;
        }
        if self.lead == Lead::Undecided {
            let waited = arrival - self.first_unit.unwrap_or(arrival);
            let patience = match self.announcement.video {
                Some(false) => Ticks(-1),
                Some(true) => ANNOUNCED_WAIT,
                None => UNANNOUNCED_WAIT,
            };
            if waited <= patience {
                self.repairs.dropped_units += 1;
                return;
            }
            self.lead = Lead::Audio;
        }
        let carried = rescale(unit.pts, self.audio_scale, Timescale::CHANNEL);
        if self.mapping.is_none() {
            if self.lead == Lead::Video {
                // The picture anchors; sound before it has no place.
                self.repairs.dropped_units += 1;
                return;
            }
            self.mapping = Some(Mapping::new(arrival.max(self.published_end()) - carried));
        }
        let mapping = self.mapping.as_mut().expect("anchored above");
        if mapping.handle_audio(arrival, carried) == Step::Jump {
            self.repairs.time_jumps += 1;
        }
        let time = carried + mapping.audio_offset();
        let floor = if self.lead == Lead::Video && !self.audio_cursor.is_open() {
            self.segment_start
        } else {
            self.published_floor()
        };
        let sound = self.sound.as_mut().expect("checked above");
        if !sound.is_anchored() && time < floor {
            self.repairs.dropped_units += 1;
            return;
        }
        let wait_key = self.wait_key && self.lead == Lead::Video;
        if wait_key {
            self.repairs.dropped_units += 1;
            return;
        }
        sound.handle(time, unit, &mut self.held_audio);
        self.release_audio();
    }

    /// Sound of a returning publisher must not begin inside of what is published.
    fn published_floor(&self) -> Ticks {
        self.sound
            .as_ref()
            .and_then(SoundClock::end_channel_time)
            .unwrap_or(Ticks(i64::MIN))
    }

    /// Passes on the audio units whose segment is certain: no boundary that is still to come can lie
    /// before them.
    fn release_audio(&mut self) {
        let Some(scale) = self.audio.as_ref().map(|track| track.timescale) else {
            return;
        };
        while let Some(unit) = self.held_audio.front() {
            let time = rescale(unit.pts, scale, Timescale::CHANNEL);
            if self.lead == Lead::Audio {
                let unit = self.held_audio.pop_front().expect("front was there");
                self.lead_audio(time, unit);
                continue;
            }
            let certain = self.video_end.is_some_and(|end| time < end)
                || (!self.disconnected
                    && time + self.margin() + self.margin()
                        < self.segment_start + self.earliest_cut());
            if !certain && self.held_audio.len() <= HELD_AUDIO_UNITS {
                break;
            }
            let unit = self.held_audio.pop_front().expect("front was there");
            self.emit_audio(unit, None, scale);
        }
    }

    /// The shortest a segment of the leading video can become.
    fn earliest_cut(&self) -> Ticks {
        if self.fit == Fit::Grid {
            self.settings.segment_target
        } else {
            Ticks(self.settings.segment_target.0 / 2)
        }
    }

    fn lead_audio(&mut self, time: Ticks, unit: AccessUnit) {
        let first = self.wait_key;
        self.wait_key = false;
        let frame = Ticks(
            self.sound
                .as_ref()
                .map_or(0, |sound| sound.frame_channel_time().0),
        );
        let elapsed = time - self.segment_start + Ticks(frame.0 / 2);
        let due = first || self.disconnected || elapsed >= self.settings.segment_target;
        let boundary = if due {
            self.boundary(time, true, true)
        } else {
            None
        };
        let scale = self
            .audio
            .as_ref()
            .map_or(Timescale::CHANNEL, |track| track.timescale);
        self.emit_audio(unit, boundary, scale);
    }

    fn emit_audio(&mut self, unit: AccessUnit, boundary: Option<Boundary>, scale: Timescale) {
        let opened = self
            .audio_cursor
            .open(&self.ledger, &unit, scale, Ticks::ZERO);
        if !self.audio_cursor.is_open() {
            self.repairs.dropped_units += 1;
            return;
        }
        self.outputs.push_back(Output::Unit {
            unit,
            opened,
            boundary,
        });
    }

    fn flush_audio(&mut self) {
        let Some(scale) = self.audio.as_ref().map(|track| track.timescale) else {
            return;
        };
        while let Some(unit) = self.held_audio.pop_front() {
            self.emit_audio(unit, None, scale);
        }
    }
}

#[cfg(test)]
mod tests;
