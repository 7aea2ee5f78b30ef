//! Media through the server: datagrams to the peer connection that they belong to, packets of publishers into
//! their records and on to subscribers, requests for key frames back, data between participants.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant, UNIX_EPOCH};

use livekit_protocol as proto;
use prost::Message as _;
use str0m::media::{KeyframeRequest, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpPacket;
use str0m::{Event, IceConnectionState, Input};
use tokio::net::UdpSocket;

use super::forward::ClockPlace;
use super::participant::{Participant, Side};
use super::record::{Packet, Recorder, Report};
use super::room::Room;
use super::state::{Context, State};

/// Requests for key frames of one layer are at least that far apart: as in livekit-server's throttle.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(500);
/// A flood asks that often.
const FLOOD: Duration = Duration::from_millis(20);
/// Sources of a track: each layer is one, and each again when the publisher begins anew.
const MAX_LAYERS: usize = 16;

impl State {
    /// Takes a datagram.
    pub fn receive(&mut self, source: SocketAddr, bytes: &[u8], socket: &UdpSocket) {
        self.context.datagrams += 1;
        if self.context.faults.is_silent || self.is_lost(bytes) {
            self.context.dropped_datagrams += 1;
            return;
        }
        let Ok(contents) = bytes.try_into() else {
            return;
        };
        let receive = Receive {
            proto: Protocol::Udp,
            source,
            destination: self.context.udp,
            contents,
        };
        let input = Input::Receive(self.context.now, receive);
        let participants = self
            .rooms
            .values_mut()
            .flat_map(|room| &mut room.participants);
        for participant in participants {
            for side in [Side::Publisher, Side::Subscriber] {
                if let Some(peer) = participant.peer(side)
                    && peer.rtc.accepts(&input)
                {
                    peer.handle(input, Some(socket));
                    return;
                }
            }
        }
    }

    /// Whether the line loses that datagram: media and their reports only (RFC 7983 §7).
    fn is_lost(&mut self, bytes: &[u8]) -> bool {
        let percent = u64::from(self.context.faults.loss_percent);
        if percent == 0 || !bytes.first().is_some_and(|byte| (128..192).contains(byte)) {
            return false;
        }
        // Knuth's MMIX generator: any sequence will do.
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % 100 < percent
    }

    /// Lets all connections do what is due and deals with what happened; when to come again.
    pub fn poll(&mut self, socket: &UdpSocket) -> Instant {
        self.context.tick();
        let mut deadline = self.expire();
        if self.context.faults.pli_flood {
            deadline = deadline.min(self.context.now + FLOOD);
        }
        let socket = (!self.context.faults.is_silent).then_some(socket);
        for room in self.rooms.values_mut() {
            room.ask_for_key_frames(&self.context);
            let mut is_busy = true;
            while is_busy {
                is_busy = room.poll(socket, &mut deadline, &mut self.context);
            }
        }
        self.egress.follow(&mut self.rooms, &mut self.context);
        deadline
    }
}

impl Room {
    /// One round over all connections; whether anything happened.
    fn poll(
        &mut self,
        socket: Option<&UdpSocket>,
        deadline: &mut Instant,
        context: &mut Context,
    ) -> bool {
        let mut happened = VecDeque::new();
        for participant in &mut self.participants {
            for side in [Side::Publisher, Side::Subscriber] {
                let sid = participant.info.sid.clone();
                let Some(peer) = participant.peer(side) else {
                    continue;
                };
                let next = peer.handle(Input::Timeout(context.now), socket);
                *deadline = next.map_or(*deadline, |next| next.min(*deadline));
                let events = peer.take_events();
                happened.extend(events.into_iter().map(|event| (sid.clone(), side, event)));
            }
        }
        let is_busy = !happened.is_empty();
        for (sid, side, event) in happened {
            if let Some(index) = self.index(&sid) {
                self.happened(index, side, event, context);
            }
        }
        is_busy
    }

    fn happened(&mut self, index: usize, side: Side, event: Event, context: &mut Context) {
        let participant = &mut self.participants[index];
        match event {
            Event::Connected => {
                let active = proto::participant_info::State::Active as i32;
                if participant.is_connected() && participant.info.state != active {
                    participant.info.state = active;
                    self.changed(index);
                    context.webhook("participant_joined", |event| {
                        event.room = Some(self.public());
                        event.participant = Some(self.participants[index].public());
                    });
                }
            }
            // One without signalling has nothing else to say goodbye with.
            Event::IceConnectionStateChange(IceConnectionState::Disconnected)
                if participant.signal.is_none() =>
            {
                participant.lost.get_or_insert(context.now);
            }
            Event::RtpPacket(packet) => self.packet(index, packet, context),
            Event::SenderFeedback(feedback) => {
                let info = feedback.sender_info;
                let since = info.ntp_time.duration_since(UNIX_EPOCH).unwrap_or_default();
                let report = Report {
                    at: since.as_secs_f64(),
                    rtp_time: info.rtp_time.numer() as u32,
                };
                participant.clock.get_or_insert(ClockPlace {
                    instant: feedback.received_at,
                    at: report.at,
                });
                let ssrc = *info.ssrc;
                let layers = participant
                    .tracks
                    .iter_mut()
                    .flat_map(|track| &mut track.layers);
                for recorder in layers.filter(|recorder| recorder.layer.ssrc == ssrc) {
                    recorder.report(report);
                }
            }
            Event::KeyframeRequest(request) => self.key_frame_wanted(index, &request, context),
            Event::ChannelData(data) if side == Side::Publisher => {
                let Some(label) = participant.publisher.label(data.id) else {
                    return;
                };
                let label = label.to_owned();
                if let Ok(packet) = proto::DataPacket::decode(&data.data[..])
                    && participant.permission().can_publish_data
                {
                    self.send_data(Some(index), &label, packet);
                }
            }
            _ => {}
        }
    }

    /// Passes data on to those for whom they are; to all without a list.
    pub fn send_data(&mut self, from: Option<usize>, label: &str, mut packet: proto::DataPacket) {
        if let Some(sender) = from.map(|index| &self.participants[index].info) {
            packet.participant_identity.clone_from(&sender.identity);
            packet.participant_sid.clone_from(&sender.sid);
            if let Some(proto::data_packet::Value::User(user)) = &mut packet.value {
                user.participant_identity.clone_from(&sender.identity);
                user.participant_sid.clone_from(&sender.sid);
            }
        }
        let mut identities = packet.destination_identities.clone();
        let mut sids = Vec::new();
        if let Some(proto::data_packet::Value::User(user)) = &packet.value {
            identities.extend(user.destination_identities.iter().cloned());
            sids.clone_from(&user.destination_sids);
        }
        let bytes = packet.encode_to_vec();
        for (index, participant) in self.participants.iter_mut().enumerate() {
            let is_meant = identities.is_empty() && sids.is_empty()
                || identities.contains(&participant.info.identity)
                || sids.contains(&participant.info.sid);
            if Some(index) != from
                && is_meant
                && let Some(subscriber) = &mut participant.subscriber
            {
                subscriber.send_data(label, &bytes);
            }
        }
    }

    fn packet(&mut self, index: usize, packet: RtpPacket, context: &mut Context) {
        let participant = &mut self.participants[index];
        let ssrc = packet.header.ssrc;
        let mut api = participant.publisher.rtc.direct_api();
        let Some((mid, rid)) = api
            .stream_rx(&ssrc)
            .map(|stream| (stream.mid(), stream.rid()))
        else {
            return;
        };
        let layer_rid = rid;
        let rid = rid.map(|rid| rid.to_string()).unwrap_or_default();
        let arrived = packet.timestamp;
        let pt: u8 = *packet.header.payload_type;
        let packet = Packet {
            sequence: *packet.seq_no,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            payload: packet.payload.clone(),
            arrived,
        };
        let Some((sid, layer, is_first)) = participant.record(mid, &rid, *ssrc, pt, &packet) else {
            return;
        };
        let track = participant.track(&sid).expect("it was found above");
        if track.is_video() && track.layers[layer].layer.packets == 1 {
            // libwebrtc sends again without a stream of retransmissions too, which its H.264 offers lack. To
            // expect the source once more has the engine look again at who wants repairs.
            let mut api = participant.publisher.rtc.direct_api();
            let stream = api.expect_stream_rx(ssrc, None, mid, layer_rid);
            stream.suppress_nack(false);
        }
        if is_first {
            self.publish(index, &sid, context);
        }
        let participant = &self.participants[index];
        let place = participant.clock;
        let track = participant.track(&sid).expect("it was found above");
        let offered = track.offered();
        let recorded = &track.layers[layer].layer;
        let (clock_rate, report) = (recorded.clock_rate, recorded.reports.back().copied());
        let mut is_taken = false;
        for other in &mut self.participants {
            let Some(subscriber) = &mut other.subscriber else {
                continue;
            };
            for down in other.downs.iter_mut().filter(|down| down.track == sid) {
                let target = down.target(&offered, context.now);
                let clock = (clock_rate, report.as_ref(), place.as_ref());
                down.forward(&mut subscriber.rtc, layer, target, &packet, clock);
                is_taken |= down.packets > 0;
            }
        }
        let participant = &mut self.participants[index];
        let track = participant.track_mut(&sid).expect("it was found above");
        if is_taken && !std::mem::replace(&mut track.was_taken, true) {
            let taken = proto::TrackSubscribed { track_sid: sid };
            participant.send(proto::signal_response::Message::TrackSubscribed(taken));
        }
    }

    /// A subscriber's decoder asks for a key frame.
    fn key_frame_wanted(&mut self, index: usize, request: &KeyframeRequest, context: &Context) {
        let mut downs = self.participants[index].downs.iter_mut();
        let Some(down) = downs.find(|down| down.mid == Some(request.mid)) else {
            return;
        };
        down.key_frame_requests += 1;
        let (sid, layer) = (down.track.clone(), down.layer);
        if let Some(layer) = layer {
            self.ask_for_key_frame(&sid, layer, BETWEEN_REQUESTS, context);
        }
    }

    /// Asks for the key frames that subscribers wait for to begin or to change their layer.
    fn ask_for_key_frames(&mut self, context: &Context) {
        let tracks = self.participants.iter().flat_map(|one| &one.tracks);
        let video = tracks.filter(|track| track.is_video() && track.is_published && !track.is_gone);
        let mut wanted: Vec<(String, usize, Duration)> = Vec::new();
        for track in video {
            let offered = track.offered();
            let downs = self.participants.iter().flat_map(|one| &one.downs);
            for down in downs.filter(|down| down.track == track.info.sid && down.mid.is_some()) {
                let target = down.target(&offered, context.now);
                if let Some(layer) = target.filter(|_| down.needs_key_frame(target)) {
                    wanted.push((track.info.sid.clone(), layer, BETWEEN_REQUESTS * 2));
                }
            }
            if context.faults.pli_flood {
                let layers = 0..track.layers.len();
                wanted.extend(layers.map(|layer| (track.info.sid.clone(), layer, FLOOD)));
            }
        }
        for (sid, layer, between) in wanted {
            self.ask_for_key_frame(&sid, layer, between, context);
        }
    }

    /// Asks the publisher of a layer for a key frame, unless it was asked a moment ago.
    pub fn ask_for_key_frame(
        &mut self,
        sid: &str,
        layer: usize,
        between: Duration,
        context: &Context,
    ) {
        for participant in &mut self.participants {
            let Some(track) = participant.track_mut(sid) else {
                continue;
            };
            if track.asked[layer].is_some_and(|at| context.now - at < between) {
                return;
            }
            track.asked[layer] = Some(context.now);
            track.layers[layer].layer.key_frame_requests += 1;
            let ssrc = track.layers[layer].layer.ssrc;
            return participant.publisher.ask_for_key_frame(ssrc);
        }
    }
}

impl Participant {
    /// Writes a packet down: track, index of its layer, and whether it is the first of the track.
    fn record(
        &mut self,
        mid: Mid,
        rid: &str,
        ssrc: u32,
        pt: u8,
        packet: &Packet,
    ) -> Option<(String, usize, bool)> {
        let may = |track: &&mut super::track::Track| track.mid == Some(mid) && !track.is_gone;
        let track = self.tracks.iter_mut().find(may)?;
        let is_video = track.is_video();
        let known = track.layers.iter().position(|one| one.layer.ssrc == ssrc);
        let layer = match known {
            Some(layer) => layer,
            None if track.layers.len() < MAX_LAYERS => {
                track.layers.push(Recorder::new(rid, ssrc, pt, is_video));
                track.asked.push(None);
                track.layers.len() - 1
            }
            None => return None,
        };
        track.layers[layer].push(packet.clone());
        Some((track.info.sid.clone(), layer, !track.is_published))
    }
}
