//! A stream's publishers as the channel API shows them.

use std::time::Duration;

use super::Stream;
use super::member::Member;
use crate::base::clock::Wall;
use crate::hub::observer::Lateness;
use crate::hub::roster::{Attendee, Session, TrackState};
use crate::media::{AccessUnit, MediaKind};

impl Member {
    /// Whether it is a member of its channel: it has sent, and lately.
    fn sends(&self, now: Duration, silence: Duration) -> bool {
        self.has_sent && !self.is_silent(now, silence)
    }

    /// A unit comes: notes when that makes it appear, or a track of it.
    pub(super) fn note_unit(
        &mut self,
        unit: &AccessUnit,
        (now, monotonic): (Wall, Duration),
        silence: Duration,
    ) {
        let appears = !self.sends(monotonic, silence);
        let (state, _) = self.observer.track(unit.kind, monotonic);
        if appears || state != TrackState::Enabled {
            self.changed = now;
        }
        self.has_sent = true;
    }

    fn session(&self, now: Wall, monotonic: Duration) -> Session {
        let (audio, audio_late) = self.observer.track(MediaKind::Audio, monotonic);
        let (video, video_late) = self.observer.track(MediaKind::Video, monotonic);
        let since = |late: Lateness| late.map(|late| now.plus_micros(-micros(late)));
        let stopped = since(audio_late).max(since(video_late));
        Session {
            session: self.session.clone(),
            screen_name: self.screen_name.clone(),
            audio,
            video,
            changed: stopped.map_or(self.changed, |stopped| self.changed.max(stopped)),
        }
    }
}

impl Stream {
    /// The sessions that send.
    pub(in crate::hub) fn sessions(&self) -> Vec<Session> {
        let (now, monotonic) = (self.clock.wall(), self.clock.monotonic());
        let state = self.lock();
        let members = state.members.iter();
        members
            .filter(|member| member.sends(monotonic, self.silence))
            .map(|member| member.session(now, monotonic))
            .collect()
    }

    /// The sessions that are connected.
    pub(in crate::hub) fn attendees(&self) -> Vec<Attendee> {
        let monotonic = self.clock.monotonic();
        let state = self.lock();
        let members = state.members.iter();
        let attendees = members.map(|member| Attendee {
            session: member.session.clone(),
            screen_name: member.screen_name.clone(),
            proto: member.proto,
            lost: member.has_sent && member.is_silent(monotonic, self.silence),
        });
        attendees.collect()
    }

    /// How many sessions send, of those with this screen name when one is given.
    pub(in crate::hub) fn sending(&self, screen_name: Option<&str>) -> usize {
        let monotonic = self.clock.monotonic();
        let state = self.lock();
        let members = state.members.iter();
        members
            .filter(|member| screen_name.is_none_or(|name| *member.screen_name == *name))
            .filter(|member| member.sends(monotonic, self.silence))
            .count()
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
