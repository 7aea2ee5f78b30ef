//! What a stream has on air: maps a publisher's times to channel time and decides every boundary.
//!
//! Pure: in go tracks and units with their arrival time, out come units in channel time and the
//! boundaries that open with them. Not here: sockets, packaging, clocks.

use std::collections::VecDeque;
use std::sync::Arc;

use super::announcement::Announcement;
use super::boundary::{Cursor, Opened, Settings};
use super::cutter::Cutter;
use super::gate::Told;
use super::mapping::{Mapping, Step};
use super::sound::SoundClock;
use super::timing::FrameGrid;
use crate::base::clock::Wall;
use crate::media::codec::avc;
use crate::media::time::channel_time;
use crate::media::{
    AccessUnit, Boundary, CodecConfig, MediaKind, Ticks, Timescale, Track, rescale,
};

/// How long the other track may keep the first one waiting when nobody announced what will come.
const UNANNOUNCED_WAIT: Ticks = Ticks(90_000);
/// How long an announced track is waited for.
const ANNOUNCED_WAIT: Ticks = Ticks(3 * 90_000);
/// Audio units held until it is known whose segment they are: 4 s at 48 kHz and 1024 samples. Past it
/// the oldest are released into the running segment.
const HELD_AUDIO_UNITS: usize = 192;
/// A hole in a track's times that is not closed by a longer sample but stated as a break (decision 9).
const LONGEST_STRETCH: Ticks = Ticks(90_000);

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

/// The state of one stream's timeline.
#[derive(Debug)]
pub struct Program {
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
    video_cursor: Cursor,
    audio: Option<Arc<Track>>,
    audio_scale: Timescale,
    sound: Option<SoundClock>,
    held_audio: VecDeque<AccessUnit>,
    audio_cursor: Cursor,
    cutter: Cutter,
    /// Whether everybody was told that the source is listed or not.
    settled: bool,
    /// Only a key unit may follow.
    wait_key: bool,
    repairs: Repairs,
    outputs: VecDeque<Output>,
}

impl Program {
    /// A stream whose media time zero is `epoch`; sequence numbers count from `now`. One that is taken
    /// up again brings the number of its discontinuities so far.
    pub fn new(settings: Settings, epoch: Wall, now: Wall, resumed: Option<u64>) -> Program {
        Program {
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
            video_cursor: Cursor::default(),
            audio: None,
            audio_scale: Timescale::MILLIS,
            sound: None,
            held_audio: VecDeque::new(),
            audio_cursor: Cursor::default(),
            cutter: Cutter::new(settings, now, resumed),
            settled: !settings.ladder,
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
            self.cutter.disconnect();
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
            self.cutter.disconnect();
            self.outputs.push_back(Output::Break);
        }
        self.announcement = Announcement::default();
        self.wait_key = true;
        self.promised_end = None;
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
        if self.lead != Lead::Undecided {
            self.cutter
                .settle(arrival - first, self.lead == Lead::Video);
            self.tell_settled();
        }
    }

    /// The next thing to pass on.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What a unit of a rung opens in its rendition.
    pub fn open_rung(&self, cursor: &mut Cursor, unit: &AccessUnit, scale: Timescale) -> Opened {
        cursor.open(self.cutter.ledger(), unit, scale, self.margin())
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
        self.cutter.passthrough()
    }

    /// Frames per second x 1000: measured, announced or stated.
    pub fn frame_rate_millis(&self) -> Option<u32> {
        self.grid
            .rate_millis()
            .or(self.announcement.frame_rate_millis)
            .or(self.stated_rate())
    }

    /// What players were told so far.
    pub fn told(&self) -> Told {
        self.cutter.told()
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
            long_gops: self.cutter.long_gops(),
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
            self.cutter.disconnect();
        }
        let mapping = self.mapping.as_mut().expect("anchored above");
        match mapping.handle_video(arrival, carried_dts) {
            Step::On => {}
            Step::Jump => {
                self.repairs.time_jumps += 1;
                self.promised_end = None;
            }
            Step::Hole(length) if length > LONGEST_STRETCH => {
                self.cutter.disconnect();
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
            let gap = self.stated_key_gap(&unit);
            self.cutter.observe_key(pts, gap, self.margin());
        }
        // A unit that is no key unit opens at its decode time, which is the earliest presentation time
        // from here on: what follows in decode order may be shown before it.
        let opens_at = if unit.key || self.cutter.passthrough() == Some(false) {
            Some(pts)
        } else {
            Some(dts).filter(|dts| pts >= *dts)
        };
        let margin = self.margin();
        let segment_start = self.cutter.segment_start();
        let boundary = opens_at.and_then(|at| self.cutter.cut(at, unit.key, first, margin));
        if let (Some(boundary), Some(mapping)) = (&boundary, &mut self.mapping) {
            mapping.slew(boundary.time - segment_start);
        }
        let unit = AccessUnit {
            dts,
            pts,
            duration,
            ..unit
        };
        let opened = self.video_cursor.open(
            self.cutter.ledger(),
            &unit,
            Timescale::CHANNEL,
            self.margin(),
        );
        self.outputs.push_back(Output::Unit {
            unit,
            opened,
            boundary,
        });
        self.release_audio();
    }

    /// The longest key interval that the encoder says it makes: x264 writes its options into the stream.
    fn stated_key_gap(&self, unit: &AccessUnit) -> Option<Ticks> {
        let track = self.video.as_ref()?;
        if self.settled || !matches!(track.config, CodecConfig::Avc(_)) {
            return None;
        }
        let keyint = avc::x264_options(&unit.data)?.keyint;
        let rate = self.frame_rate_millis().filter(|rate| *rate > 0)?;
        Some(Ticks(
            i64::from(keyint).saturating_mul(90_000_000) / i64::from(rate),
        ))
    }

    /// No ladder will be made: the source is listed, whatever its key interval.
    pub fn abandon_ladder(&mut self) {
        if self.cutter.passthrough() != Some(true) {
            self.cutter.settle_as(true);
            self.settled = false;
            self.tell_settled();
        }
    }

    fn tell_settled(&mut self) {
        if let Some(passthrough) = self.cutter.passthrough().filter(|_| !self.settled) {
            self.settled = true;
            self.outputs.push_back(Output::Settled { passthrough });
        }
    }
}

mod audio;
#[cfg(test)]
mod tests;
