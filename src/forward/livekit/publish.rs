//! One visit in a room: tracks are announced and offered, then units go out until one side has enough.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{Again, Ended, GOODBYE_WITHIN, Told, left};
use crate::forward::feed::{Feed, Offered, Place, Step};
use crate::forward::status::Counted;
use crate::hub::tap::Tapped;
use crate::livekit::{Event, Layer, Publication, Quality, Session, Target};
use crate::media::MediaKind;
use crate::rtc::{self, Outgoing, Peer};

/// From the offer to the first packet: the answer, ICE, DTLS.
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);
/// How often counters are read.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// Media stream (msid) of both tracks.
const STREAM_ID: &str = "forebay";
/// Track ids (msid), by which the room's answers name them.
const PICTURE_ID: &str = "forebay-picture";
const SOUND_ID: &str = "forebay-sound";
/// Of the one offer.
const OFFER_ID: u32 = 1;
/// The session is over on our side.
const NOT_TAKEN: &str = "the LiveKit server takes no messages any more";

/// See the module.
pub(super) struct Publisher<'a> {
    session: Session,
    peer: Box<dyn Peer>,
    feed: Feed<'a>,
    told: &'a Told,
    /// Places of the tracks among what is sent.
    picture: Option<usize>,
    sound: Option<usize>,
    /// By which the room names our tracks.
    sids: Vec<String>,
}

impl<'a> Publisher<'a> {
    pub(super) fn new(
        session: Session,
        peer: Box<dyn Peer>,
        feed: Feed<'a>,
        told: &'a Told,
    ) -> Publisher<'a> {
        Publisher {
            session,
            peer,
            feed,
            told,
            picture: None,
            sound: None,
            sids: Vec::new(),
        }
    }

    /// Publishes, and sends until that is over.
    pub(super) async fn run(&mut self, stream: &dyn Tapped) -> Ended {
        let connecting = timeout(CONNECTED_WITHIN, self.connect());
        match connecting.await {
            Ok(Ok(())) => {}
            Ok(Err(ended)) => return ended,
            Err(_) => {
                let seconds = CONNECTED_WITHIN.as_secs();
                let reason =
                    format!("no media connection to the LiveKit server within {seconds} s");
                return Ended::new(reason, Again::Later);
            }
        }
        self.peer.set_epoch(stream.epoch().0);
        self.feed.start();
        self.told.live();
        self.tell();
        self.send(stream).await
    }

    /// Says goodbye, which takes some seconds at most.
    pub(super) async fn leave(mut self) {
        let _ = timeout(GOODBYE_WITHIN, self.peer.close()).await;
        self.session.leave().await;
    }

    async fn connect(&mut self) -> Result<(), Ended> {
        let offered = self.feed.open();
        let outgoing = self.outgoing(&offered);
        for publication in publications(&offered) {
            let added = self.session.add_track(publication);
            added.map_err(|_| Ended::new(NOT_TAKEN, Again::Soon))?;
        }
        let failed = |err: rtc::Error| Ended::new(err, Again::Later);
        let offer = self.peer.offer(&outgoing).await.map_err(failed)?;
        let said = self.session.offer(OFFER_ID, offer);
        said.map_err(|_| Ended::new(NOT_TAKEN, Again::Soon))?;
        loop {
            tokio::select! {
                event = self.session.next() => {
                    if let Some(ended) = self.handle_room(event).await {
                        return Err(ended);
                    }
                }
                event = self.peer.next() => match event {
                    Some(rtc::Event::Connected) => return Ok(()),
                    event => if let Some(ended) = self.handle_peer(event) {
                        return Err(ended);
                    }
                },
            }
        }
    }

    fn outgoing(&mut self, offered: &Offered) -> Vec<Outgoing> {
        let mut outgoing = Vec::new();
        let layers: Vec<Arc<str>> = match offered.pictures.len() {
            0 | 1 => Vec::new(),
            many => qualities(many).map(Arc::from).collect(),
        };
        if !offered.pictures.is_empty() {
            self.picture = Some(outgoing.len());
            outgoing.push(Outgoing {
                stream_id: STREAM_ID.to_owned(),
                track_id: PICTURE_ID.to_owned(),
                kind: MediaKind::Video,
                layers,
            });
        }
        if offered.sound.is_some() {
            self.sound = Some(outgoing.len());
            outgoing.push(Outgoing {
                stream_id: STREAM_ID.to_owned(),
                track_id: SOUND_ID.to_owned(),
                kind: MediaKind::Audio,
                layers: Vec::new(),
            });
        }
        outgoing
    }

    async fn send(&mut self, stream: &dyn Tapped) -> Ended {
        let mut count = interval(COUNT_EVERY);
        count.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let ended = tokio::select! {
                step = self.feed.next() => self.handle_step(step, stream),
                event = self.peer.next() => self.handle_peer(event),
                event = self.session.next() => self.handle_room(event).await,
                _ = count.tick() => {
                    self.tell();
                    None
                }
            };
            if let Some(ended) = ended {
                self.tell();
                return ended;
            }
        }
    }

    fn handle_step(&mut self, step: Step, stream: &dyn Tapped) -> Option<Ended> {
        let (place, track, unit) = match step.unit(stream) {
            Ok(unit) => unit,
            Err(ended) => return Some(ended),
        };
        let (outgoing, layer) = match place {
            Place::Picture(layer) => (self.picture?, layer),
            Place::Sound => (self.sound?, 0),
        };
        match self.peer.send(outgoing, layer, &track, &unit) {
            Ok(()) => None,
            Err(err @ rtc::Error::Closed) => Some(Ended::new(err, Again::Soon)),
            Err(err) => Some(Ended::new(err, Again::Later)),
        }
    }

    fn handle_peer(&self, event: Option<rtc::Event>) -> Option<Ended> {
        match event {
            Some(rtc::Event::Candidate(candidate)) => {
                let said = self.session.candidate(Target::Publisher, candidate);
                said.err().map(|_| Ended::new(NOT_TAKEN, Again::Soon))
            }
            Some(rtc::Event::KeyUnitWanted { outgoing, layer }) => {
                if self.picture == Some(outgoing) {
                    self.feed.want_key_unit(layer);
                }
                None
            }
            Some(rtc::Event::Closed(reason)) => {
                let reason = format!("the media connection to the LiveKit server ended: {reason}");
                Some(Ended::new(reason, Again::Soon))
            }
            None => Some(Ended::new(rtc::Error::Closed, Again::Soon)),
            // Nothing is received here.
            Some(_) => None,
        }
    }

    async fn handle_room(&mut self, event: Option<Event>) -> Option<Ended> {
        match event {
            Some(Event::Answer { id, sdp }) if id == OFFER_ID || id == 0 => {
                let taken = self.peer.accept(&sdp).await;
                taken.err().map(|err| Ended::new(err, Again::Later))
            }
            Some(Event::Candidate(Target::Publisher, candidate)) => {
                // One that cannot be used is one way less, and no reason to end.
                if let Err(err) = self.peer.add_candidate(&candidate).await {
                    tracing::debug!(%err, "a candidate of the LiveKit server is of no use");
                }
                None
            }
            Some(Event::Published { cid, sid }) => {
                tracing::debug!(cid, sid, "published");
                self.sids.push(sid);
                None
            }
            Some(Event::Unpublished { sid }) if self.sids.contains(&sid) => {
                let reason = "a track was taken out of the room";
                Some(Ended::new(reason, Again::Refused))
            }
            Some(Event::Left(reason)) => Some(left(&reason)),
            None => Some(Ended::new(NOT_TAKEN, Again::Soon)),
            Some(_) => None,
        }
    }

    /// Tells what was counted, and what is sent.
    fn tell(&self) {
        let statistics = self.peer.statistics();
        self.told.counted(Counted {
            packets: statistics.packets_sent,
            bytes: statistics.bytes_sent,
            packets_repeated: statistics.packets_repeated,
            key_units_wanted: statistics.key_units_wanted,
            dropped_units: self.feed.dropped_units(),
            round_trip: Duration::from_micros(statistics.round_trip_micros),
        });
        self.told.note(self.feed.note());
        self.told.layers(self.feed.layers());
    }
}

/// Names of layers as LiveKit's clients give them: two are the lower ones.
fn qualities(count: usize) -> impl Iterator<Item = &'static str> {
    let all = [Quality::Low, Quality::Medium, Quality::High];
    all.into_iter().take(count).map(Quality::rid)
}

/// What is said of the tracks before they are offered.
fn publications(offered: &Offered) -> Vec<Publication> {
    let mut publications = Vec::new();
    if let Some(highest) = offered.pictures.last() {
        let qualities = match offered.pictures.len() {
            1 => [Quality::High; 3],
            _ => [Quality::Low, Quality::Medium, Quality::High],
        };
        let layers = qualities.into_iter().zip(&offered.pictures);
        publications.push(Publication::Camera {
            cid: PICTURE_ID.to_owned(),
            size: highest.size,
            layers: layers
                .map(|(quality, picture)| Layer {
                    quality,
                    size: picture.size,
                    bitrate_bps: picture.peak_bps,
                })
                .collect(),
        });
    }
    if let Some(channels) = offered.sound {
        publications.push(Publication::Microphone {
            cid: SOUND_ID.to_owned(),
            stereo: channels == 2,
        });
    }
    publications
}
