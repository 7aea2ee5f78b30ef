//! One participant's camera and microphone on their way into the channel. In: what the connection brings of
//! them. Out: a publisher session that is opened with the first unit, fed, and given back.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::keys::Keys;
use super::room::{Followed, Wanted};
use super::{FIRST_PAUSE, LONGEST_PAUSE};
use crate::base::backoff::Backoff;
use crate::hub::{Announcement, Refusal};
use crate::ingest::port::Sink;
use crate::ingest::stats::Stats;
use crate::media::{AccessUnit, MediaKind, Track};
use crate::rtc::IncomingId;

/// What ends a publisher session from the hub's side.
type Evicted = Pin<Box<dyn Future<Output = String> + Send>>;

/// A participant that is followed.
pub(super) struct Feed<S> {
    followed: Followed,
    video: Option<Lane>,
    audio: Option<Lane>,
    keys: Keys,
    session: Option<Session<S>>,
    stats: Arc<Stats>,
    /// When the last unit was taken; at first, when it was asked for.
    last_unit: Duration,
    /// Whether the channel has begun to get what leads: the picture, or where there is none, the sound.
    begun: bool,
    /// Not before this is another publisher session asked for.
    closed_until: Duration,
    backoff: Backoff,
}

/// A track that was asked for.
struct Lane {
    sid: String,
    muted: bool,
    incoming: Option<IncomingId>,
    track: Option<Arc<Track>>,
}

/// An open publisher session.
struct Session<S> {
    sink: S,
    evicted: Evicted,
    announced: Announcement,
}

/// What the room's server is to be asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Tracks that are wanted from now on.
    pub(super) wanted: Vec<String>,
    /// Those of them that are pictures.
    pub(super) pictures: Vec<String>,
    /// Tracks that are not wanted any more.
    pub(super) unwanted: Vec<String>,
}

impl<S: Sink> Feed<S> {
    /// Nothing was asked for yet: see [`Feed::update`]. A key unit is wanted in each `key_interval`.
    pub(super) fn new(
        followed: &Followed,
        key_interval: Duration,
        (stats, seed): (&Arc<Stats>, u64),
        now: Duration,
    ) -> Feed<S> {
        Feed {
            followed: Followed {
                video: None,
                audio: None,
                ..followed.clone()
            },
            video: None,
            audio: None,
            keys: Keys::new(key_interval),
            session: None,
            stats: stats.clone(),
            last_unit: now,
            begun: false,
            closed_until: Duration::ZERO,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE, seed),
        }
    }

    /// Whose it is, by visit.
    pub(super) fn participant(&self) -> &str {
        &self.followed.participant
    }

    /// Whose it is.
    pub(super) fn identity(&self) -> &str {
        &self.followed.identity
    }

    /// Whether the channel has begun to get what leads.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// What the participant offers now.
    pub(super) fn update(&mut self, followed: Followed, now: Duration, changes: &mut Changes) {
        let (before, was_muted) = (changes.wanted.len(), self.is_muted());
        let video = exchange(&mut self.video, followed.video.as_ref(), changes);
        if video {
            self.keys = self.keys.anew();
            changes
                .pictures
                .extend(changes.wanted[before..].iter().cloned());
        }
        let audio = exchange(&mut self.audio, followed.audio.as_ref(), changes);
        if video || audio || (was_muted && !self.is_muted()) {
            // What is asked for takes its time to come.
            self.last_unit = now;
        }
        self.followed = followed;
        self.announce();
    }

    /// The participant is followed no more. Its publisher session ends with a goodbye.
    pub(super) fn release(mut self, changes: &mut Changes) {
        let lanes = [self.video.take(), self.audio.take()];
        let lanes = lanes.into_iter().flatten();
        changes.unwanted.extend(lanes.map(|lane| lane.sid));
        if let Some(session) = self.session.take() {
            self.stats.finished_total.add(1);
            tracing::info!(
                identity = self.followed.identity,
                "publish from the room ended"
            );
            session.sink.finish();
        }
    }

    /// A track begins to come; whether it is one of these.
    pub(super) fn handle_incoming(&mut self, id: IncomingId, sid: &str) -> bool {
        let keys = self.keys.anew();
        let Some(lane) = self.lanes().find(|lane| lane.sid == sid) else {
            return false;
        };
        lane.incoming = Some(id);
        lane.track = None;
        if self.kind_of(id) == Some(MediaKind::Video) {
            self.keys = keys;
        }
        true
    }

    /// Which of the tracks it is; `None`: none of them.
    pub(super) fn kind_of(&self, id: IncomingId) -> Option<MediaKind> {
        let is = |lane: &Option<Lane>| lane.as_ref().is_some_and(|it| it.incoming == Some(id));
        match (is(&self.video), is(&self.audio)) {
            (true, _) => Some(MediaKind::Video),
            (_, true) => Some(MediaKind::Audio),
            _ => None,
        }
    }

    /// Another configuration of a track.
    pub(super) fn handle_track(&mut self, id: IncomingId, track: Arc<Track>) {
        let Some(lane) = self.lanes().find(|lane| lane.incoming == Some(id)) else {
            return;
        };
        lane.track = Some(track.clone());
        if let Some(session) = &mut self.session {
            session.sink.set_track((*track).clone());
        }
    }

    /// Packets of a track are missing for good.
    pub(super) fn handle_lost(&mut self, id: IncomingId) {
        if self.kind_of(id) == Some(MediaKind::Video) {
            self.keys.handle_lost();
        }
    }

    /// A track comes no more.
    pub(super) fn handle_ended(&mut self, id: IncomingId) {
        for lane in self.lanes().filter(|lane| lane.incoming == Some(id)) {
            lane.incoming = None;
            lane.track = None;
        }
    }

    /// A unit came. Whether it is of use: a picture that refers to what is missing is not.
    pub(super) fn handle_unit(&mut self, unit: &AccessUnit, now: Duration) -> bool {
        self.last_unit = now;
        if unit.kind == MediaKind::Video {
            if unit.key {
                self.keys.handle_key(now);
            }
            if self.keys.is_broken() {
                self.stats.dropped_units_total.add(1);
                return false;
            }
        }
        true
    }

    /// Whether a publisher session is to be opened before the next unit is pushed.
    pub(super) fn wants_session(&self, now: Duration) -> bool {
        self.session.is_none() && now >= self.closed_until
    }

    /// The answer to a request for one.
    pub(super) fn open(&mut self, asked: Result<S, Refusal>, now: Duration) {
        match asked {
            Ok(sink) => {
                let (identity, stream) = (&self.followed.identity, sink.stream());
                tracing::info!(identity, stream, "publish from the room accepted");
                self.stats.accepted_total.add(1);
                let evicted = Box::pin(sink.evicted());
                self.session = Some(Session {
                    sink,
                    evicted,
                    announced: Announcement::default(),
                });
                self.announce();
                let tracks = self.lanes().filter_map(|lane| lane.track.clone());
                let tracks: Vec<Arc<Track>> = tracks.collect();
                if let Some(session) = &mut self.session {
                    for track in tracks {
                        session.sink.set_track((*track).clone());
                    }
                }
            }
            Err(refusal) => {
                self.stats.refused_total.add(1);
                let pause = self.backoff.pause();
                let identity = &self.followed.identity;
                tracing::info!(identity, reason = %refusal, ?pause, "publish from the room refused");
                self.closed_until = now + pause;
            }
        }
    }

    /// Hands a unit to the channel, if there is a publisher session.
    pub(super) fn push(&mut self, unit: AccessUnit) {
        let Some(session) = &mut self.session else {
            return;
        };
        let bytes = u64::try_from(unit.data.len()).unwrap_or(0);
        self.stats.received_bytes_total.add(bytes);
        self.begun |= unit.kind == MediaKind::Video || self.video.is_none();
        session.sink.push(unit);
    }

    /// Ready when the hub has ended the publisher session, with its reason: see [`Feed::handle_evicted`].
    pub(super) fn poll_evicted(&mut self, context: &mut Context<'_>) -> Poll<String> {
        match &mut self.session {
            Some(session) => session.evicted.as_mut().poll(context),
            None => Poll::Pending,
        }
    }

    /// The hub has ended the publisher session. The participant goes on, and so it is asked for another one.
    pub(super) fn handle_evicted(&mut self, reason: &str, now: Duration) {
        if self.session.take().is_some() {
            self.stats.evicted_total.add(1);
            let identity = &self.followed.identity;
            tracing::info!(identity, reason, "publish from the room ended");
            self.closed_until = now + self.backoff.pause();
        }
    }

    /// Gives the publisher session back of which nothing came for `limit`. What comes then opens another one.
    pub(super) fn handle_silence(&mut self, now: Duration, limit: Duration) {
        if now.saturating_sub(self.last_unit) >= limit && self.session.take().is_some() {
            self.stats.silent_total.add(1);
            let identity = &self.followed.identity;
            tracing::info!(identity, "publish from the room ended: nothing is sent");
        }
    }

    /// Whether what should come does not, for `limit`.
    pub(super) fn is_starved(&self, now: Duration, limit: Duration) -> bool {
        !self.is_muted() && now.saturating_sub(self.last_unit) >= limit
    }

    /// The picture of which a key unit is to be asked for now, if any is.
    pub(super) fn poll_key_unit(&mut self, now: Duration) -> Option<IncomingId> {
        let lane = self.video.as_ref().filter(|lane| !lane.muted)?;
        lane.incoming.filter(|_| self.keys.poll(now))
    }

    /// Whether nothing is to be expected now.
    fn is_muted(&self) -> bool {
        let lanes = [&self.video, &self.audio].into_iter().flatten();
        lanes.into_iter().all(|lane| lane.muted)
    }

    /// Says what will come, where that is news. What is muted may come later, and nobody waits for it. A
    /// picture that is not published is waited for as if it were (the hub does so for 3 s): apps publish one
    /// track after the other, often the sound first.
    fn announce(&mut self) {
        let comes = |lane: &Option<Lane>| lane.as_ref().map(|lane| !lane.muted);
        let announced = Announcement {
            video: Some(comes(&self.video).unwrap_or(true)),
            audio: comes(&self.audio),
            encoder: Some("LiveKit".to_owned()),
            ..Announcement::default()
        };
        if let Some(session) = &mut self.session
            && session.announced != announced
        {
            session.sink.announce(announced.clone());
            session.announced = announced;
        }
    }

    fn lanes(&mut self) -> impl Iterator<Item = &mut Lane> {
        [&mut self.video, &mut self.audio].into_iter().flatten()
    }
}

/// Without a goodbye: the connection is lost.
impl<S> Drop for Feed<S> {
    fn drop(&mut self) {
        if self.session.is_some() {
            self.stats.lost_total.add(1);
            let identity = &self.followed.identity;
            tracing::info!(identity, "publish from the room ended: it is lost");
        }
    }
}

/// Puts what is wanted in the place of what was; whether that is another track.
fn exchange(lane: &mut Option<Lane>, wanted: Option<&Wanted>, changes: &mut Changes) -> bool {
    let is_same = match (&mut *lane, wanted) {
        (Some(lane), Some(wanted)) if lane.sid == wanted.sid => {
            lane.muted = wanted.muted;
            true
        }
        (None, None) => true,
        _ => false,
    };
    if is_same {
        return false;
    }
    changes
        .unwanted
        .extend(lane.take().map(|before| before.sid));
    *lane = wanted.map(|wanted| {
        changes.wanted.push(wanted.sid.clone());
        Lane {
            sid: wanted.sid.clone(),
            muted: wanted.muted,
            incoming: None,
            track: None,
        }
    });
    true
}
