//! One visit in a room, from joining it to its end: asks the server for the host's tracks, and hands what comes
//! to the channel.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::cast::Cast;
use super::feed::Changes;
use super::room::Room;
use super::{Channel, Config, State};
use crate::base::shutdown::Tasks;
use crate::ingest::port::answer;
use crate::livekit::{self, Event, Quality, Session, Target};
use crate::media::AccessUnit;
use crate::rtc::{self, IncomingId, Peer};

/// How often it is looked for what does not come.
const TICK: Duration = Duration::from_millis(500);
/// An answer to the server's offer is made within this, or never.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Nothing came for so long of what is published and not muted: the connection is made anew. Longer than ICE
/// takes to find that a way does not work, and the next one does.
const STARVED: Duration = Duration::from_secs(20);
/// Nobody is in the room who could be followed: it is left. Who comes then is told of.
const DESERTED: Duration = Duration::from_secs(60);
/// What a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why a visit ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("stopped")]
    Stopped,
    #[error("nobody publishes in the room")]
    Deserted,
    #[error("{0}")]
    Left(livekit::Reason),
    #[error("no connection for media: {0}")]
    Media(String),
    #[error("nothing comes of what is published in the room")]
    Starved,
}

/// We are in a room.
pub(super) struct Visit<'a, C: Channel> {
    session: Session,
    peer: Box<dyn Peer>,
    room: &'a mut Room,
    cast: Cast<C::Sink>,
    channel: &'a C,
    config: &'a Config,
    state: &'a watch::Sender<State>,
    /// Whose picture was said to be of no use.
    told: Option<String>,
    /// Monotonic time since which nobody is there who could be followed.
    deserted: Option<Duration>,
    delivered: bool,
}

impl<'a, C: Channel> Visit<'a, C> {
    /// With a session that stands, and a connection for what it brings.
    pub(super) fn new(
        (session, peer): (Session, Box<dyn Peer>),
        room: &'a mut Room,
        channel: &'a C,
        config: &'a Config,
        state: &'a watch::Sender<State>,
        seed: u64,
    ) -> Visit<'a, C> {
        room.handle_rejoin();
        for participant in &session.joined().participants {
            room.handle_participant(participant);
        }
        Visit {
            cast: Cast::new(config.key_interval, Arc::clone(&config.stats), seed),
            session,
            peer,
            room,
            channel,
            config,
            state,
            told: None,
            deserted: None,
            delivered: false,
        }
    }

    /// Stays until the end. Also says whether anything came.
    pub(super) async fn run(
        mut self,
        wanted: &watch::Receiver<bool>,
        tasks: &Tasks,
    ) -> (End, bool) {
        let end = match self.arrange() {
            Ok(()) => self.stay(wanted, tasks).await,
            Err(end) => end,
        };
        if matches!(end, End::Stopped | End::Deserted) {
            self.cast.finish();
        }
        drop(self.cast);
        let (session, mut peer) = (self.session, self.peer);
        let _ = timeout(GOODBYE, async {
            tokio::join!(session.leave(), peer.close())
        })
        .await;
        (end, self.delivered)
    }

    async fn stay(&mut self, wanted: &watch::Receiver<bool>, tasks: &Tasks) -> End {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let outcome = tokio::select! {
                biased;
                () = tasks.stopped() => Err(End::Stopped),
                () = self.cast.evicted(&self.config.clock) => Ok(()),
                event = self.session.next() => match event {
                    Some(event) => self.handle_signal(event).await,
                    None => Err(End::Left(livekit::Reason::Left)),
                },
                event = self.peer.next() => match event {
                    Some(event) => self.handle_media(event).await,
                    None => Err(End::Media("it was closed".to_owned())),
                },
                _ = tick.tick() => self.handle_tick(*wanted.borrow()),
            };
            if let Err(end) = outcome {
                return end;
            }
        }
    }

    async fn handle_signal(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Participants(participants) => {
                for participant in &participants {
                    self.room.handle_participant(participant);
                }
                self.arrange()
            }
            Event::Offer { id, sdp } => {
                let answer = timeout(ANSWER_WITHIN, self.peer.answer(&sdp)).await;
                let answer = answer.map_err(|_| End::Media("no answer can be made".to_owned()))?;
                let answer = answer.map_err(media)?;
                self.session.answer(id, answer).map_err(lost)
            }
            Event::Candidate(Target::Subscriber, candidate) => {
                if let Err(err) = self.peer.add_candidate(&candidate).await {
                    tracing::debug!(%err, "a candidate of the server is of no use");
                }
                Ok(())
            }
            Event::NotSubscribed { sid } => {
                tracing::info!(track = sid, "the server does not send what is published");
                Ok(())
            }
            Event::Left(reason) => Err(End::Left(reason)),
            // About what is sent, and nothing is.
            Event::Candidate(Target::Publisher, _)
            | Event::Published { .. }
            | Event::Unpublished { .. }
            | Event::Muted { .. }
            | Event::Answer { .. } => Ok(()),
        }
    }

    async fn handle_media(&mut self, event: rtc::Event) -> Result<(), End> {
        match event {
            rtc::Event::Candidate(candidate) => {
                let told = self.session.candidate(Target::Subscriber, candidate);
                return told.map_err(lost);
            }
            rtc::Event::Incoming {
                id,
                stream_id,
                track_id,
                ..
            } => self.handle_incoming(id, &stream_id, &track_id),
            rtc::Event::Track(id, track) => {
                if let Some(feed) = self.cast.of(id) {
                    feed.handle_track(id, track);
                }
            }
            rtc::Event::Unit(id, unit) => return self.handle_unit(id, unit).await,
            rtc::Event::Lost(id) => {
                tracing::debug!(?id, "units from the room are missing");
                if let Some(feed) = self.cast.of(id) {
                    feed.handle_lost(id);
                }
                self.ask_for_key_units();
            }
            rtc::Event::Ended(id) => {
                if let Some(feed) = self.cast.of(id) {
                    feed.handle_ended(id);
                }
            }
            rtc::Event::Closed(reason) => return Err(End::Media(reason)),
            rtc::Event::Connected | rtc::Event::KeyUnitWanted { .. } => {}
        }
        Ok(())
    }

    /// LiveKit names a track by its id, and packs the participant before it into that of the stream:
    /// `PA_…|TR_…`.
    fn handle_incoming(&mut self, id: IncomingId, stream_id: &str, track_id: &str) {
        let packed = stream_id.rsplit('|').next().unwrap_or_default();
        let sids = [track_id, packed];
        let mut taken = false;
        for feed in self.cast.feeds() {
            taken |= sids.iter().any(|sid| feed.handle_incoming(id, sid));
        }
        tracing::debug!(track = track_id, taken, "a track comes from the room");
        self.ask_for_key_units();
    }

    async fn handle_unit(&mut self, id: IncomingId, unit: AccessUnit) -> Result<(), End> {
        let now = self.config.clock.monotonic();
        let Some(feed) = self.cast.of(id) else {
            return Ok(());
        };
        if !feed.handle_unit(&unit, now) {
            self.ask_for_key_units();
            return Ok(());
        }
        if feed.wants_session(now) {
            let asked = answer(self.channel.publish()).await;
            feed.open(asked, self.config.clock.monotonic());
        }
        feed.push(unit);
        if let Some(changes) = self.cast.advance() {
            self.ask(&changes)?;
        }
        let on = self.cast.on().filter(|feed| feed.has_begun());
        if let Some(identity) = on.map(|feed| feed.identity()) {
            self.delivered = true;
            let is_new = |state: &State| !matches!(state, State::Live(live) if live == identity);
            if is_new(&self.state.borrow()) {
                self.state.send_replace(State::Live(identity.to_owned()));
            }
        }
        self.ask_for_key_units();
        Ok(())
    }

    fn handle_tick(&mut self, wanted: bool) -> Result<(), End> {
        let now = self.config.clock.monotonic();
        for feed in self.cast.feeds() {
            feed.handle_silence(now, self.config.publish_timeout);
        }
        if self.cast.on().is_some_and(|on| on.is_starved(now, STARVED)) {
            return Err(End::Starved);
        }
        self.ask_for_key_units();
        if self.room.has_candidates() {
            self.deserted = None;
            return Ok(());
        }
        let since = *self.deserted.get_or_insert(now);
        match !wanted || now.saturating_sub(since) >= DESERTED {
            true => Err(End::Deserted),
            false => Ok(()),
        }
    }

    /// The room has changed.
    fn arrange(&mut self) -> Result<(), End> {
        let now = self.config.clock.monotonic();
        let changes = self.cast.arrange(self.room, now);
        self.ask(&changes)?;
        let obstacle = self.room.obstacle();
        if let Some((identity, found)) = obstacle.filter(|it| self.told.as_deref() != Some(it.0)) {
            tracing::warn!(
                identity,
                found,
                "a picture in the room is not passed on: publish H.264"
            );
            self.told = Some(identity.to_owned());
        }
        if self.cast.on().is_none() {
            let found = obstacle.map(|(identity, found)| (identity.to_owned(), found.to_owned()));
            self.state.send_if_modified(|state| {
                let now = State::Waiting { unusable: found };
                let is_new = *state != now;
                *state = now;
                is_new
            });
        }
        Ok(())
    }

    fn ask(&self, changes: &Changes) -> Result<(), End> {
        if !changes.unwanted.is_empty() {
            let asked = self.session.subscribe(&changes.unwanted, false);
            asked.map_err(lost)?;
        }
        if !changes.wanted.is_empty() {
            let asked = self.session.subscribe(&changes.wanted, true);
            asked.map_err(lost)?;
        }
        for sid in &changes.pictures {
            let asked = self.session.choose_layer(sid, Some(Quality::High));
            asked.map_err(lost)?;
        }
        Ok(())
    }

    fn ask_for_key_units(&mut self) {
        let now = self.config.clock.monotonic();
        for feed in self.cast.feeds() {
            if let Some(id) = feed.poll_key_unit(now) {
                self.peer.want_key_unit(id);
            }
        }
    }
}

fn media(err: rtc::Error) -> End {
    End::Media(err.to_string())
}

/// Nobody takes what is asked.
fn lost(err: livekit::Error) -> End {
    End::Left(livekit::Reason::Lost(err.to_string()))
}
