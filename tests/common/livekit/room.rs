//! A room: who is in it, who knows of whom, which tracks go to whom. In: signal messages and what the server's
//! interfaces ask for. Out: signal messages to all whom they concern, and events for webhooks.

use std::net::SocketAddr;
use std::time::Instant;

use livekit_protocol as proto;
use proto::signal_request::Message as Request;
use proto::signal_response::Message;
use str0m::media::MediaKind;

use super::forward::Down;
use super::participant::{Participant, Side};
use super::peer::{Peer, sections};
use super::state::Context;

/// A room.
pub struct Room {
    pub info: proto::Room,
    pub participants: Vec<Participant>,
    /// Who has left, newest last: what they published can still be looked at.
    pub departed: Vec<Participant>,
    /// Since when nobody is in it.
    pub empty_since: Option<Instant>,
}

/// Departed participants that are kept.
const MAX_DEPARTED: usize = 16;
/// Names of messages that are kept.
const MAX_SAID: usize = 2000;

impl Room {
    pub fn new(info: proto::Room, now: Instant) -> Room {
        Room {
            info,
            participants: Vec::new(),
            departed: Vec::new(),
            empty_since: Some(now),
        }
    }

    pub fn index(&self, sid: &str) -> Option<usize> {
        let mut participants = self.participants.iter();
        participants.position(|participant| participant.info.sid == sid)
    }

    pub fn by_identity(&self, identity: &str) -> Option<usize> {
        let mut participants = self.participants.iter();
        participants.position(|participant| participant.info.identity == identity)
    }

    /// As API and webhooks show it.
    pub fn public(&self) -> proto::Room {
        let counted = self.participants.iter().filter(|one| !one.is_hidden());
        let publishers = counted.clone().filter(|one| one.public().is_publisher);
        proto::Room {
            num_participants: counted.clone().count() as u32,
            num_publishers: publishers.count() as u32,
            ..self.info.clone()
        }
    }

    /// Tells all others how a participant is, and itself too when `with_itself`.
    pub fn announce(&mut self, index: usize, with_itself: bool) {
        let info = self.participants[index].public();
        let is_hidden = self.participants[index].is_hidden();
        for (other, participant) in self.participants.iter_mut().enumerate() {
            let concerns = if other == index {
                with_itself
            } else {
                !is_hidden
            };
            if concerns {
                participant.send(Message::Update(proto::ParticipantUpdate {
                    participants: vec![info.clone()],
                }));
            }
        }
    }

    /// Takes a participant in; it has its join answer already.
    pub fn enter(&mut self, participant: Participant, context: &Context) -> usize {
        self.participants.push(participant);
        self.empty_since = None;
        let index = self.participants.len() - 1;
        self.announce(index, false);
        self.subscribe_to_all(index);
        self.negotiate(index, context);
        index
    }

    /// Takes a participant out.
    pub fn remove(&mut self, index: usize, reason: proto::DisconnectReason, context: &mut Context) {
        let sids: Vec<String> = self.participants[index]
            .tracks
            .iter()
            .map(|track| track.info.sid.clone())
            .collect();
        for sid in sids {
            self.unpublish(index, &sid, context);
        }
        let mut participant = self.participants.remove(index);
        participant.info.state = proto::participant_info::State::Disconnected as i32;
        participant.info.disconnect_reason = reason as i32;
        participant.info.version += 1;
        participant.publisher.rtc.disconnect();
        if let Some(subscriber) = &mut participant.subscriber {
            subscriber.rtc.disconnect();
        }
        participant.signal = None;
        if !participant.is_hidden() {
            let update = proto::ParticipantUpdate {
                participants: vec![participant.public()],
            };
            for other in &mut self.participants {
                other.send(Message::Update(update.clone()));
            }
        }
        context.webhook("participant_left", |event| {
            event.room = Some(self.public());
            event.participant = Some(participant.public());
        });
        if self.departed.len() == MAX_DEPARTED {
            self.departed.remove(0);
        }
        self.departed.push(participant);
        if self.participants.is_empty() {
            self.empty_since = Some(context.now);
        }
    }

    /// Makes somebody get every track that there is, if it wants that and may.
    pub fn subscribe_to_all(&mut self, index: usize) {
        if !self.participants[index].auto_subscribe {
            return;
        }
        let others = self
            .participants
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index);
        let tracks = others.flat_map(|(_, other)| &other.tracks);
        let published = tracks.filter(|track| track.is_published && !track.is_gone);
        let sids: Vec<String> = published.map(|track| track.info.sid.clone()).collect();
        for sid in sids {
            self.subscribe(index, &sid);
        }
    }

    /// Makes somebody get a track.
    pub fn subscribe(&mut self, index: usize, sid: &str) {
        let mut owners = self
            .participants
            .iter_mut()
            .enumerate()
            .filter(|(owner, _)| *owner != index);
        let Some(track) = owners.find_map(|(_, owner)| {
            let track = owner
                .track(sid)
                .filter(|track| track.is_published && !track.is_gone)?;
            let kind = if track.is_video() {
                MediaKind::Video
            } else {
                MediaKind::Audio
            };
            Some(kind)
        }) else {
            return;
        };
        let participant = &mut self.participants[index];
        let has = participant
            .downs
            .iter()
            .any(|down| down.track == sid && !down.is_gone);
        if !has && participant.subscriber.is_some() && participant.permission().can_subscribe {
            participant.downs.push(Down::new(sid, track));
        }
    }

    /// Offers what is new and takes out what is gone, once the answer to the offer before is there.
    pub fn negotiate(&mut self, index: usize, context: &Context) {
        let stream_of = |sid: &str| {
            let track = |one: &Participant| {
                let track = one.track(sid)?;
                // Tracks of one stream are played in step; it is packed behind the participant.
                let stream = match context.sync_streams {
                    true => &track.info.stream,
                    false => &track.info.sid,
                };
                Some(format!("{}|{stream}", one.info.sid))
            };
            self.participants.iter().find_map(track)
        };
        let downs = self.participants[index].downs.iter();
        let fresh: Vec<(MediaKind, String, String)> = downs
            .filter(|down| down.mid.is_none() && !down.is_gone)
            .filter_map(|down| Some((down.kind, stream_of(&down.track)?, down.track.clone())))
            .collect();
        let participant = &mut self.participants[index];
        let Some(subscriber) = &mut participant.subscriber else {
            return;
        };
        if !subscriber.may_offer() {
            subscriber.is_dirty = true;
            return;
        }
        subscriber.is_dirty = false;
        let gone: Vec<_> = participant
            .downs
            .iter()
            .filter(|down| down.is_gone)
            .filter_map(|down| down.mid)
            .collect();
        participant.downs.retain(|down| !down.is_gone);
        let Some((sdp, id, mids)) = subscriber.make_offer(&fresh, &gone) else {
            return;
        };
        let mut mid_to_track_id = std::collections::HashMap::new();
        for ((_, _, sid), mid) in fresh.iter().zip(mids) {
            mid_to_track_id.insert(mid.to_string(), sid.clone());
            for down in participant
                .downs
                .iter_mut()
                .filter(|down| down.track == *sid)
            {
                down.mid = Some(mid);
            }
        }
        participant.send(Message::Offer(proto::SessionDescription {
            r#type: "offer".to_owned(),
            sdp,
            id,
            mid_to_track_id,
        }));
        if id == 1 {
            participant.send(trickle(context.udp, Side::Subscriber));
        }
    }

    /// Handles what a client says. `false`: it has left.
    pub fn handle(&mut self, index: usize, request: Request, context: &mut Context) -> bool {
        let said = format!("{request:?}");
        let name = said.split(['(', ' ']).next().unwrap_or("").to_owned();
        let participant = &mut self.participants[index];
        if participant.said.len() < MAX_SAID {
            participant.said.push(name);
        }
        match request {
            Request::Offer(offer) => self.handle_offer(index, &offer, context),
            Request::Answer(answer) => {
                let subscriber = participant.subscriber.as_mut();
                let done = subscriber.map(|subscriber| {
                    let accepted = subscriber.answer(&answer.sdp, answer.id);
                    (accepted, subscriber.is_dirty)
                });
                if let Some((accepted, is_dirty)) = done {
                    participant.errors.extend(accepted.err());
                    if is_dirty {
                        self.negotiate(index, context);
                    }
                }
            }
            Request::Trickle(trickle) => {
                let side = match trickle.target == proto::SignalTarget::Publisher as i32 {
                    true => Side::Publisher,
                    false => Side::Subscriber,
                };
                if let Some(peer) = participant.peer(side) {
                    peer.candidate(&trickle.candidate_init);
                }
            }
            Request::AddTrack(add) => self.add_track(index, add, context),
            Request::Mute(mute) => self.mute(index, &mute.sid, mute.muted),
            Request::Subscription(update) => self.update_subscription(index, &update, context),
            Request::TrackSetting(setting) => {
                let concerned = |down: &&mut Down| setting.track_sids.contains(&down.track);
                for down in participant.downs.iter_mut().filter(concerned) {
                    down.wish.is_disabled = setting.disabled;
                    down.wish.quality = setting.quality;
                    down.wish.width = setting.width;
                    down.wish.height = setting.height;
                }
            }
            Request::Leave(_) => {
                self.remove(index, proto::DisconnectReason::ClientInitiated, context);
                return false;
            }
            Request::Ping(_) => participant.send(Message::Pong(context.unix_ms)),
            Request::PingReq(ping) => {
                participant.send(Message::Pong(context.unix_ms));
                participant.send(Message::PongResp(proto::Pong {
                    last_ping_timestamp: ping.timestamp,
                    timestamp: context.unix_ms,
                }));
            }
            Request::UpdateMetadata(update) if participant.permission().can_update_metadata => {
                participant.info.metadata = update.metadata;
                if !update.name.is_empty() {
                    participant.info.name = update.name;
                }
                participant.info.attributes.extend(update.attributes);
                self.changed(index);
            }
            _ => {}
        }
        true
    }

    /// A new version of a participant's facts, for all and itself.
    pub fn changed(&mut self, index: usize) {
        self.participants[index].info.version += 1;
        self.announce(index, true);
    }

    fn handle_offer(
        &mut self,
        index: usize,
        offer: &proto::SessionDescription,
        context: &mut Context,
    ) {
        let participant = &mut self.participants[index];
        let answer = match participant.publisher.offer(&offer.sdp) {
            Ok(answer) => answer,
            Err(error) => return participant.errors.push(error),
        };
        let sections = sections(&offer.sdp);
        let gone = participant.bind(&sections);
        if !context.faults.no_answer {
            participant.send(Message::Answer(proto::SessionDescription {
                r#type: "answer".to_owned(),
                sdp: answer,
                id: offer.id,
                mid_to_track_id: Default::default(),
            }));
            participant.send(trickle(context.udp, Side::Publisher));
        }
        for sid in gone {
            self.unpublish(index, &sid, context);
        }
    }

    fn add_track(&mut self, index: usize, add: proto::AddTrackRequest, context: &Context) {
        let participant = &mut self.participants[index];
        if !participant.may_publish(add.source) {
            let request = proto::request_response::Request::AddTrack(add);
            return participant.send(Message::RequestResponse(proto::RequestResponse {
                reason: proto::request_response::Reason::NotAllowed as i32,
                message: "does not have permission to publish".to_owned(),
                request: Some(request),
                ..Default::default()
            }));
        }
        let info = participant.expect_track(context.id("TR_"), &add);
        participant.send(Message::TrackPublished(proto::TrackPublishedResponse {
            cid: add.cid,
            track: Some(info),
        }));
    }

    /// Media of a track have come: others learn of it, and get it.
    pub fn publish(&mut self, index: usize, sid: &str, context: &mut Context) {
        let Some(track) = self.participants[index].track_mut(sid) else {
            return;
        };
        track.is_published = true;
        let info = track.info.clone();
        self.changed(index);
        context.webhook("track_published", |event| {
            self.name_in(event, index);
            event.track = Some(info);
        });
        for other in (0..self.participants.len()).filter(|other| *other != index) {
            if self.participants[other].auto_subscribe {
                self.subscribe(other, sid);
                self.negotiate(other, context);
            }
        }
    }

    /// Ends a track.
    pub fn unpublish(&mut self, index: usize, sid: &str, context: &mut Context) {
        let Some(track) = self.participants[index].track_mut(sid) else {
            return;
        };
        if std::mem::replace(&mut track.is_gone, true) {
            return;
        }
        let (info, was_published) = (track.info.clone(), track.is_published);
        self.participants[index].send(Message::TrackUnpublished(proto::TrackUnpublishedResponse {
            track_sid: sid.to_owned(),
        }));
        if !was_published {
            return;
        }
        self.changed(index);
        context.webhook("track_unpublished", |event| {
            self.name_in(event, index);
            event.track = Some(info);
        });
        for other in 0..self.participants.len() {
            self.unsubscribe(other, sid);
            self.negotiate(other, context);
        }
    }

    /// Somebody does not get a track any more, from the next offer on.
    pub fn unsubscribe(&mut self, index: usize, sid: &str) {
        for down in &mut self.participants[index].downs {
            down.is_gone |= down.track == sid;
        }
    }

    /// Webhooks about tracks name rooms and participants only by id and name.
    fn name_in(&self, event: &mut proto::WebhookEvent, index: usize) {
        let participant = &self.participants[index].info;
        event.room = Some(proto::Room {
            sid: self.info.sid.clone(),
            name: self.info.name.clone(),
            ..Default::default()
        });
        event.participant = Some(proto::ParticipantInfo {
            sid: participant.sid.clone(),
            identity: participant.identity.clone(),
            ..Default::default()
        });
    }

    /// A track is silenced, or not any more.
    pub fn mute(&mut self, index: usize, sid: &str, muted: bool) {
        if let Some(track) = self.participants[index].track_mut(sid) {
            track.info.muted = muted;
            self.changed(index);
        }
    }

    fn update_subscription(
        &mut self,
        index: usize,
        update: &proto::UpdateSubscription,
        context: &Context,
    ) {
        let listed = update
            .participant_tracks
            .iter()
            .flat_map(|one| &one.track_sids);
        let mut has_changed = false;
        for sid in update.track_sids.iter().chain(listed) {
            match update.subscribe {
                true => self.subscribe(index, sid),
                false => self.unsubscribe(index, sid),
            }
            has_changed = true;
        }
        if has_changed {
            self.negotiate(index, context);
        }
    }
}

fn trickle(udp: SocketAddr, side: Side) -> Message {
    let target = match side {
        Side::Publisher => proto::SignalTarget::Publisher,
        Side::Subscriber => proto::SignalTarget::Subscriber,
    };
    Message::Trickle(proto::TrickleRequest {
        candidate_init: Peer::trickle(udp),
        target: target as i32,
        r#final: false,
    })
}
