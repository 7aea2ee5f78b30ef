//! What a stream has on air: maps a publisher's times to channel time and decides every boundary.
//!
//! Pure: in go tracks and units with their arrival time, out come units in channel time and the
//! boundaries that open with them. Not here: sockets, packaging, clocks.

use std::collections::VecDeque;
use std::sync::Arc;

use super::announcement::Announcement;
use super::boundary::{Cursor, Opened, Resumed, Settings};
use super::cutter::Cutter;
use super::gate::Told;
use super::mapping::Mapping;
use super::sound::SoundClock;
use super::subscriber::Filler;
use super::timing::FrameGrid;
use crate::base::clock::Wall;
use crate::media::time::wall_time;
use crate::media::{AccessUnit, Boundary, MediaKind, Numbered, Ticks, Timescale, Track, rescale};

/// How long the other track may keep the first one waiting when nobody announced what will come.
const UNANNOUNCED_WAIT: Ticks = Ticks(90_000);
/// How long an announced track is waited for.
const ANNOUNCED_WAIT: Ticks = Ticks(3 * 90_000);
/// Audio units held until it is known whose segment they are: 4 s at 48 kHz and 1024 samples. Past it
/// the oldest are released into the running segment.
const HELD_AUDIO_UNITS: usize = 192;
/// A hole in a track's times that is not closed by a longer sample but stated as a break (decision 9).
const LONGEST_STRETCH: Ticks = Ticks(90_000);

/// Times of an encoder beyond this, 200 000 years of 90 kHz ticks, are broken: differences of those within
/// can be counted in 64 bits.
const FURTHEST_CARRIED: Ticks = Ticks(1 << 59);

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
        /// Whether it belongs into the source's rendition. What comes before its next key unit is for
        /// those who decode only.
        listed: bool,
    },
    /// Rungs go on without the source.
    Hold {
        /// Channel time up to which they do.
        until: Ticks,
        /// The boundary that this brings about for every rendition.
        boundary: Option<Boundary>,
        /// What they show.
        filler: Filler,
    },
    /// A segment begins of which these renditions have no media.
    Gap {
        /// Its boundary.
        boundary: Boundary,
        /// Which renditions.
        missing: Missing,
    },
    /// What follows does not connect to what was before.
    Break,
}

/// Which renditions have no media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The source's picture; rungs go on.
    SourceVideo,
    /// The source's sound.
    SourceAudio,
    /// Every picture, the rungs' too; the sound goes on.
    Video,
    /// All of them.
    Everything,
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
    /// The configuration with which the picture began.
    declared: Option<Arc<Track>>,
    video_scale: Timescale,
    grid: FrameGrid,
    /// Distance from decode to presentation time of the first key unit; added to every decode time so
    /// that a key unit's two times are equal (CMAF cmf2, no edit list).
    delay: Ticks,
    /// Where the last listed video unit ends in decode time, when that was promised with the unit.
    promised_end: Option<Ticks>,
    video_end: Option<Ticks>,
    /// End of the pictures that rungs were given or told to make up.
    shown: Ticks,
    /// Up to where rungs were told to make pictures up, in the hole that lasts or did last.
    held: Option<Ticks>,
    /// When the hole began that rungs bridge now.
    hole_since: Option<Ticks>,
    /// The source's rendition, or everything where there are no rungs, states that it has no media.
    in_gap: bool,
    /// Boundary at which the source's gap began, while rungs go on.
    gap_since: Option<Ticks>,
    /// How far the clock was set ahead of the stream's time, or, below zero, back.
    clock_ahead: Ticks,
    /// Before this, the picture of the session on air does not belong into the source's rendition.
    join_floor: Ticks,
    /// Whether the publisher on air was connected while another one was: what it sent before may be
    /// decoded.
    warm: bool,
    video_cursor: Cursor,
    audio: Option<Arc<Track>>,
    audio_scale: Timescale,
    sound: Option<SoundClock>,
    held_audio: VecDeque<AccessUnit>,
    /// End of the sound that was passed on, channel time.
    audio_end: Ticks,
    audio_cursor: Cursor,
    /// A configuration of the sound that comes into force with the next discontinuity.
    next_audio: Option<Arc<Track>>,
    /// Sound of before this has no place.
    audio_floor: Ticks,
    cutter: Cutter,
    /// Whether everybody was told that the source is listed or not.
    settled: bool,
    /// Whether rungs are made.
    rungs: bool,
    /// Only a key unit may follow.
    wait_key: bool,
    /// Pictures since a picture opened a segment.
    segment_units: u32,
    repairs: Repairs,
    outputs: VecDeque<Output>,
}

impl Program {
    /// A stream whose media time zero is `epoch`; sequence numbers count from `now`. One that is taken
    /// up again goes on from where it was left.
    pub fn new(settings: Settings, epoch: Wall, now: Wall, resumed: Option<Resumed>) -> Program {
        Program {
            epoch,
            announcement: Announcement::default(),
            lead: Lead::Undecided,
            first_unit: None,
            mapping: None,
            video: None,
            declared: None,
            video_scale: Timescale::MILLIS,
            grid: FrameGrid::new(None),
            delay: Ticks::ZERO,
            promised_end: None,
            video_end: None,
            shown: resumed.map_or(Ticks::ZERO, |resumed| resumed.end),
            held: None,
            hole_since: None,
            in_gap: false,
            gap_since: None,
            clock_ahead: Ticks::ZERO,
            join_floor: Ticks(i64::MIN),
            warm: false,
            video_cursor: Cursor::default(),
            audio: None,
            audio_scale: Timescale::MILLIS,
            sound: None,
            held_audio: VecDeque::new(),
            audio_end: Ticks::ZERO,
            audio_cursor: Cursor::default(),
            next_audio: None,
            rungs: settings.ladder,
            audio_floor: Ticks(i64::MIN),
            cutter: Cutter::new(settings, now, resumed),
            settled: !settings.ladder,
            wait_key: true,
            segment_units: 0,
            repairs: Repairs::default(),
            outputs: VecDeque::new(),
        }
    }

    /// The stream takes the place of something with this grid.
    pub fn take_place(&mut self, grid: Numbered) {
        self.cutter.place(grid);
        self.settled = true;
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
                &self.video
            }
            MediaKind::Audio => {
                self.audio_scale = carried_scale;
                &self.audio
            }
        };
        if slot.as_ref().is_some_and(|old| **old == *track) {
            self.next_audio.take_if(|_| kind == MediaKind::Audio);
            return;
        }
        let changed = slot.is_some();
        // All that is made of it stays as it is where the stream takes a place.
        let waits = changed
            && kind == MediaKind::Audio
            && self.lead == Lead::Video
            && !self.cutter.is_placed();
        if changed && !waits {
            self.cutter.disconnect();
        }
        match kind {
            MediaKind::Video => {
                if self.rungs && self.settled && !self.stays_listed(&track) {
                    self.leave_passthrough();
                }
                self.grid = FrameGrid::new(
                    self.announcement
                        .frame_rate_millis
                        .or(track.frame_rate_millis()),
                );
                self.wait_key = true;
                self.promised_end = None;
                self.video = Some(track.clone());
                self.outputs.push_back(Output::Track(track));
            }
            MediaKind::Audio if waits => {
                self.next_audio = Some(track);
            }
            MediaKind::Audio => self.change_audio(track),
        }
    }

    /// The publisher on air went away. What comes next is of another session.
    pub fn handle_break(&mut self) {
        if !self.bridges() {
            self.flush_audio();
        }
        if self.mapping.take().is_some() {
            self.outputs.push_back(Output::Break);
        }
        self.cutter.forget_keys();
        self.announcement = Announcement::default();
        self.wait_key = true;
        self.warm = false;
        self.grid = FrameGrid::new(self.stated_rate());
        if let Some(sound) = &mut self.sound {
            sound.join();
        }
    }

    /// The session that follows was connected before the last one went: its first units came earlier
    /// than now, and lie at the time at which they came.
    pub fn handle_warm_start(&mut self) {
        self.warm = true;
    }

    /// One unit of the publisher on air, times in its track's own timescale.
    pub fn handle_unit(&mut self, now: Wall, unit: AccessUnit) {
        let scale = match unit.kind {
            MediaKind::Video => self.video_scale,
            MediaKind::Audio => self.audio_scale,
        };
        let carried = |time| rescale(time, scale, Timescale::CHANNEL).abs();
        if carried(unit.dts).max(carried(unit.pts)) > FURTHEST_CARRIED {
            self.wait_key |= unit.kind == MediaKind::Video;
            self.repairs.dropped_units += 1;
            return;
        }
        let leads = unit.kind == MediaKind::Video || self.lead == Lead::Audio;
        let follows = unit.key && leads && !self.cutter.is_placed();
        if self.clock_ahead > Ticks::ZERO && follows {
            self.follow_clock();
        }
        let arrival = self.time(now);
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

    /// The moment up to which anything was published.
    pub fn end_wall(&self) -> Wall {
        wall_time(
            self.end() + self.clock_ahead,
            Timescale::CHANNEL,
            self.epoch,
        )
    }

    fn end(&self) -> Ticks {
        self.published_end().max(self.shown)
    }

    /// The next thing to pass on.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What a unit of a rung opens in its rendition.
    pub fn open_rung(&self, cursor: &mut Cursor, unit: &AccessUnit, scale: Timescale) -> Opened {
        cursor.open(self.cutter.ledger(), unit, scale, self.margin())
    }

    /// A rendition changes: the next boundary is a discontinuity.
    pub fn disconnect(&mut self) {
        self.cutter.disconnect();
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
        Told {
            next_sequence: self.cutter.next_sequence(),
            discontinuities: self.cutter.discontinuities(),
            end_90k: self.end().max(self.cutter.segment_start()).0,
        }
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

    /// No ladder will be made: the source is listed, whatever its key interval.
    pub fn abandon_ladder(&mut self) {
        if self.cutter.is_placed() {
            return;
        }
        self.rungs = false;
        if self.cutter.passthrough() != Some(true) {
            self.cutter.settle_as(true);
            self.settled = false;
            self.tell_settled();
        }
    }
}

mod audio;
mod clock;
mod hole;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod video;
