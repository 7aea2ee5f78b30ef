//! What becomes of time in which the source's media stay out (ARCHITECTURE.md, decision 9).
//!
//! Where rungs are made, they go on at once with the last picture, then the slate, and with silence, while
//! the source's own rendition states a gap. Elsewhere nothing is said before players must be told
//! something; then the hole is a row of gaps on the channel's clock.

use super::video::SHORTEST_GAP;
use super::{LONGEST_STRETCH, Lead, Missing, Output, Program};
use crate::base::clock::Wall;
use crate::hub::boundary::OnLoss;
use crate::hub::mapping::Mapping;
use crate::hub::sound::SoundClock;
use crate::hub::subscriber::Filler;
use crate::media::{Boundary, MediaKind, Ticks};

/// How late media may come before rungs go on without them. Players at the live edge have about twice
/// that in their buffers.
const PATIENCE: Ticks = Ticks(45_000);
/// The length of a hole's first gap: players learn of a gap by its end, and are to look for another
/// rendition while they have something in their buffers.
const FIRST_GAP: Ticks = SHORTEST_GAP;
/// A distance between pictures that one part cannot hold.
const LONGEST_PICTURE: Ticks = Ticks(18_000);
/// How long the last picture stands before the slate is shown.
const SLATE_AFTER: Ticks = Ticks(2 * 90_000);
/// How much rungs make up before the source's rendition states a gap, though what is late may yet come:
/// with the patience above, a second without a picture, after which a publisher counts as silent. Players
/// of the source are to change to a rung while they have something to play.
const GIVEN_UP: Ticks = Ticks(45_000);
/// More time than this at once did not pass: the clock was set. What lies between is left out.
const LEAP: Ticks = Ticks(60 * 90_000);

impl Program {
    /// Lets time pass without media.
    pub fn handle_tick(&mut self, now: Wall) {
        if !self.cutter.has_begun() || self.lead == Lead::Undecided {
            return;
        }
        let now = self.time(now);
        let late = self.lateness(MediaKind::Video);
        if self.lead == Lead::Video && self.bridges() {
            self.bridge(now - PATIENCE - late, Ticks::ZERO);
        } else if !self.bridges() {
            self.state_hole(now);
        }
        self.fill_sound(now - PATIENCE - self.lateness(MediaKind::Audio));
    }

    /// Whether rungs go on in a hole.
    pub(super) fn bridges(&self) -> bool {
        self.rungs && self.cutter.settings().on_loss != OnLoss::Gap
    }

    /// Whether the source's pictures are a rendition, or may become one.
    pub(super) fn packages_source(&self) -> bool {
        self.cutter.passthrough() != Some(false)
    }

    /// Makes rungs go on up to `upto`, and cuts where segments become due, the last one at least `room`
    /// before that.
    fn bridge(&mut self, upto: Ticks, room: Ticks) {
        if upto <= self.shown {
            return;
        }
        if self.hole_since.is_none() {
            self.hole_since = Some(self.shown);
        }
        if upto - self.shown > LEAP && !self.cutter.is_placed() {
            self.outputs.push_back(Output::Break);
            let boundary = self.cutter.force(upto, true);
            self.hold(upto, Some(boundary));
            self.begin_gap(boundary);
        }
        // Without a session nothing can come late: the source's rendition ends where it is.
        let gone = self.mapping.is_none();
        if gone && self.packages_source() && !self.in_gap {
            self.open_gap();
        }
        loop {
            let due = self.due_in_hole();
            let on_grid = self.in_gap || !self.packages_source();
            let room = if on_grid { room } else { Ticks::ZERO };
            if due + room >= upto {
                break;
            }
            self.hold(due, None);
            if on_grid {
                let boundary = self.cut_for_rungs(due.max(self.shown), false);
                self.hold(due, Some(boundary));
                self.begin_gap(boundary);
            } else {
                self.open_gap();
            }
        }
        self.hold(upto, None);
        self.release_audio();
    }

    /// When the next segment begins if no media come.
    fn due_in_hole(&self) -> Ticks {
        let settings = self.cutter.settings();
        let start = self.cutter.segment_start();
        if self.in_gap && self.is_first_gap() {
            start + FIRST_GAP
        } else if self.in_gap || !self.packages_source() {
            self.cutter.due()
        } else {
            let given_up = self.video_end.unwrap_or(start) + GIVEN_UP;
            given_up.min(start + settings.longest_segment)
        }
    }

    fn is_first_gap(&self) -> bool {
        self.gap_since == Some(self.cutter.segment_start())
    }

    /// Makes rungs go on in front of a picture at `pts`, where the distance is too long for one sample.
    pub(super) fn bridge_to_picture(&mut self, pts: Ticks) {
        if self.bridges() && self.cutter.has_begun() && pts - self.shown > LONGEST_PICTURE {
            self.bridge(pts, SHORTEST_GAP);
        }
    }

    fn hold(&mut self, until: Ticks, boundary: Option<Boundary>) {
        if boundary.is_none() && until <= self.shown {
            return;
        }
        let since = self.hole_since.unwrap_or(until);
        let slate = self.cutter.settings().on_loss == OnLoss::Slate;
        let filler = if slate && until - since >= SLATE_AFTER {
            Filler::Slate
        } else {
            Filler::Picture
        };
        self.shown = self.shown.max(until);
        self.held = Some(self.shown);
        self.outputs.push_back(Output::Hold {
            until,
            boundary,
            filler,
        });
        if boundary.is_some_and(|boundary| boundary.discontinuity) {
            self.apply_next_audio();
        }
    }

    /// Ends the source's rendition with a boundary behind everything that rungs have shown. Where that
    /// lies beyond the source's last unit, the time between is missing without a word, so that the
    /// boundary is a discontinuity.
    pub(super) fn open_gap(&mut self) {
        let end = self.video_end.unwrap_or_default();
        let at = self.shown.max(end);
        let boundary = self.cut_for_rungs(at, at > end + self.margin());
        self.gap_since = Some(at);
        self.hold(at, Some(boundary));
        self.begin_gap(boundary);
    }

    /// A boundary where rungs open. Sound that waits for a discontinuity waits no longer.
    fn cut_for_rungs(&mut self, at: Ticks, lost: bool) -> Boundary {
        self.cutter.force(at, lost || self.next_audio.is_some())
    }

    /// Cuts at a picture that only rungs show, when a segment is due.
    pub(super) fn cut_in_gap(&mut self, pts: Ticks) -> Option<Boundary> {
        let margin = self.margin();
        let due = self.due_in_hole();
        let sound_waits =
            self.next_audio.is_some() && pts >= self.cutter.segment_start() + SHORTEST_GAP;
        if self.in_gap && (sound_waits || self.is_first_gap() && pts >= due) {
            Some(self.cut_for_rungs(pts, false))
        } else if self.in_gap {
            self.cutter.cut_on_grid(pts, margin)
        } else {
            None
        }
    }

    /// States who has no media from `boundary` on.
    pub(super) fn begin_gap(&mut self, boundary: Boundary) {
        let sounds_on = self.audio_end > boundary.time;
        if self.bridges() {
            if self.packages_source() {
                self.in_gap = true;
                self.video_cursor.pass(&boundary);
                self.push_gap(boundary, Missing::SourceVideo);
            }
            let silent = self.sound.as_ref().is_some_and(SoundClock::has_silence);
            if self.audio_cursor.is_open() && !silent && !sounds_on {
                self.pass_sound(&boundary);
                self.push_gap(boundary, Missing::SourceAudio);
            }
            return;
        }
        self.in_gap = true;
        if self.lead == Lead::Video {
            self.video_cursor.pass(&boundary);
        }
        if self.lead == Lead::Video && self.sound_reach() > boundary.time {
            self.push_gap(boundary, Missing::Video);
        } else {
            self.pass_sound(&boundary);
            self.push_gap(boundary, Missing::Everything);
        }
    }

    fn pass_sound(&mut self, boundary: &Boundary) {
        if self.audio_cursor.is_open() {
            // A segment that had begun when the sound stopped.
            for missed in self.audio_cursor.missed(self.cutter.ledger(), boundary) {
                self.push_gap(missed, Missing::SourceAudio);
            }
            self.audio_cursor.pass(boundary);
            self.audio_floor = boundary.time;
        }
    }

    fn push_gap(&mut self, boundary: Boundary, missing: Missing) {
        self.outputs.push_back(Output::Gap { boundary, missing });
    }

    /// Without rungs: states the hole when players must be told of something, a gap at a time.
    fn state_hole(&mut self, now: Ticks) {
        let longest = self.cutter.settings().longest_segment;
        let patience = Ticks(longest.0 * 2 / 5);
        let from = if self.in_gap {
            self.cutter.segment_start()
        } else {
            self.hole_start()
        };
        // Sound that goes on alone is not held for ever, and its segment may not be longer either.
        let sounds_on = !self.in_gap && self.lead == Lead::Video && self.audio_end > from;
        let pressed = sounds_on
            && self.audio_end + PATIENCE >= self.cutter.segment_start() + longest
            && now - from > LONGEST_STRETCH;
        if now - from < longest + patience && !pressed {
            return;
        }
        // What players have of the sound cannot be opened in hindsight.
        let from = match sounds_on {
            true => from.max(self.audio_end.min(self.cutter.segment_start() + longest)),
            false => from,
        };
        if now - from > LEAP {
            let boundary = self.cutter.force(now - patience, true);
            self.begin_gap(boundary);
        } else {
            self.state_gaps(from, now - patience);
        }
    }

    /// Gaps from `from` on, each as long as is allowed, while they end by `upto`. The last one is open.
    fn state_gaps(&mut self, from: Ticks, upto: Ticks) {
        let longest = self.cutter.settings().longest_segment;
        let mut at = from;
        let leaps = upto - from > LEAP;
        if leaps {
            self.cutter.disconnect();
        }
        if !self.in_gap {
            self.flush_audio_before(at);
            let boundary = self.cutter.force(at, false);
            self.begin_gap(boundary);
        }
        while !leaps && upto - at >= longest {
            at += longest;
            let boundary = self.cutter.force(at, false);
            self.begin_gap(boundary);
        }
    }

    /// The leading track goes on at `time`: what is missing before it is stated.
    pub(super) fn close_hole(&mut self, time: Ticks) {
        if !self.cutter.has_begun() {
            return;
        }
        let start = self.hole_start();
        let long = time - start > LONGEST_STRETCH;
        if self.bridges() && self.lead == Lead::Video {
            let missed = long && !self.in_gap && self.packages_source();
            if missed && self.shown + self.margin() < time {
                self.open_gap();
            } else if missed {
                // Rungs went on up to this very picture: a gap would have no length.
                self.cutter.disconnect();
            }
        } else if self.in_gap {
            self.state_gaps(self.cutter.segment_start(), time - Ticks(1));
        } else if long {
            self.state_gaps(start, time - Ticks(1));
        }
        if self.in_gap {
            self.promised_end = None;
            if !self.bridges() {
                self.audio_floor = self.audio_floor.max(time);
            }
        }
        self.in_gap = false;
    }

    /// Silence where sound stays out: as far as rungs go on, or, without rungs, as far as the picture
    /// does.
    fn fill_sound(&mut self, upto: Ticks) {
        let upto = match (self.bridges(), self.lead, self.video_end) {
            (true, ..) => upto,
            (false, Lead::Video, Some(end)) if !self.in_gap => upto.min(end - PATIENCE),
            _ => return,
        };
        let Some(sound) = self.sound.as_mut().filter(|_| self.audio_cursor.is_open()) else {
            return;
        };
        // A clock that was followed has moved on what is expected already.
        if upto - sound.next_channel_time().unwrap_or(upto) > LEAP {
            sound.join_at(upto);
        }
        sound.hold(upto, &mut self.held_audio);
        self.release_audio();
    }

    /// How far the sound goes without a hole, what is held of it included.
    fn sound_reach(&self) -> Ticks {
        let mut reach = self.audio_end;
        for (start, end) in self.audio_times() {
            if start - reach > PATIENCE {
                break;
            }
            reach = reach.max(end);
        }
        reach
    }

    fn lateness(&self, kind: MediaKind) -> Ticks {
        let usual = |mapping: &Mapping| mapping.usual_lag(kind);
        self.mapping.as_ref().map(usual).unwrap_or_default()
    }

    /// Where the hole begins: the end of the leading track, or of the sound that goes a little further.
    fn hole_start(&self) -> Ticks {
        let Some(end) = self.video_end.filter(|_| self.lead == Lead::Video) else {
            return self.audio_end;
        };
        let reach = end + PATIENCE;
        let held = self.audio_times().take_while(|(_, end)| *end < reach);
        let sound = held.last().map_or(self.audio_end, |(_, end)| end);
        if sound < reach { end.max(sound) } else { end }
    }
}
