//! One peer connection of a participant: str0m in RTP mode behind the offers and answers of LiveKit's
//! signalling. In: descriptions and candidates as text, datagrams. Out: events of the engine, datagrams.
//! H.264 and Opus only, so that every publisher sends what the gateway sends and takes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelId, Reliability};
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid};
use str0m::rtp::Ssrc;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use tokio::net::UdpSocket;

/// Profiles of H.264 that are negotiated, each with packetisation mode 1: payload type, that of its
/// retransmissions, profile-level-id. Constrained baseline comes first: every client has it.
const H264: [(u8, u8, u32); 4] = [
    (125, 107, 0x42e01f),
    (108, 109, 0x42001f),
    (123, 119, 0x4d001f),
    (114, 115, 0x64001f),
];
/// Sender reports are how viewers align sound and picture: real servers pass on each that comes.
const REPORTS: Duration = Duration::from_secs(1);
/// Candidates that wait for a description.
const MAX_EARLY: usize = 64;

/// A media section of an offer.
#[derive(Debug, Default)]
pub struct Section {
    pub mid: String,
    /// The track that the client says it sends there.
    pub track: String,
    pub is_video: bool,
    pub sends: bool,
    /// Layers of simulcast, in the order of the offer.
    pub rids: Vec<String>,
}

/// The media sections of a description.
pub fn sections(sdp: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in sdp.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            sections.push(Section {
                is_video: media.starts_with("video"),
                sends: !media.starts_with("application") && media.split(' ').nth(1) != Some("0"),
                ..Section::default()
            });
        }
        let Some(section) = sections.last_mut() else {
            continue;
        };
        if let Some(mid) = line.strip_prefix("a=mid:") {
            section.mid = mid.to_owned();
        } else if let Some(msid) = line.strip_prefix("a=msid:") {
            section.track = msid.split(' ').nth(1).unwrap_or("").to_owned();
        } else if line == "a=recvonly" || line == "a=inactive" {
            section.sends = false;
        } else if let Some((rid, way)) = line
            .strip_prefix("a=rid:")
            .and_then(|rid| rid.split_once(' '))
            && way.split(' ').next() == Some("send")
        {
            section.rids.push(rid.to_owned());
        }
    }
    sections
}

/// A peer connection.
pub struct Peer {
    pub rtc: Rtc,
    pub is_connected: bool,
    /// Open channels by their label.
    pub channels: HashMap<String, ChannelId>,
    pending: Option<(SdpPendingOffer, u32)>,
    next_offer: u32,
    early: Vec<Candidate>,
    is_described: bool,
    /// Whether something has to be offered once the answer to the last offer is there.
    pub is_dirty: bool,
    /// What happened and was not dealt with yet.
    happened: Vec<Event>,
}

impl Peer {
    pub fn new(now: Instant, local: SocketAddr) -> Peer {
        let mut config = RtcConfig::new()
            .set_crypto_provider(std::sync::Arc::new(str0m::crypto::from_feature_flags()))
            .clear_codecs()
            .enable_opus(true, false)
            .set_rtp_mode(true)
            .set_rtcp_report_interval_audio(REPORTS)
            .set_rtcp_report_interval_video(REPORTS);
        for (pt, resend, profile) in H264 {
            let codecs = config.codec_config();
            codecs.add_h264(pt.into(), Some(resend.into()), true, profile);
        }
        let mut rtc = config.build(now);
        let candidate = Candidate::host(local, "udp").expect("a loopback address");
        rtc.add_local_candidate(candidate);
        Peer {
            rtc,
            is_connected: false,
            channels: HashMap::new(),
            pending: None,
            next_offer: 1,
            early: Vec::new(),
            is_described: false,
            is_dirty: false,
            happened: Vec::new(),
        }
    }

    /// Takes an offer; the answer.
    pub fn offer(&mut self, sdp: &str) -> Result<String, String> {
        let offer = SdpOffer::from_sdp_string(sdp).map_err(|error| error.to_string())?;
        let answer = self.rtc.sdp_api().accept_offer(offer);
        let answer = answer.map_err(|error| error.to_string())?;
        self.described();
        Ok(answer.to_sdp_string())
    }

    /// Takes the answer to the offer with that number (0 is the last).
    pub fn answer(&mut self, sdp: &str, id: u32) -> Result<(), String> {
        let Some((pending, number)) = self.pending.take() else {
            return Err("nothing was offered".to_owned());
        };
        if id != 0 && id != number {
            self.pending = Some((pending, number));
            return Err(format!("an answer to offer {id}, the last is {number}"));
        }
        let answer = SdpAnswer::from_sdp_string(sdp).map_err(|error| error.to_string())?;
        let accepted = self.rtc.sdp_api().accept_answer(pending, answer);
        accepted.map_err(|error| error.to_string())?;
        self.described();
        Ok(())
    }

    fn described(&mut self) {
        self.is_described = true;
        for candidate in self.early.drain(..) {
            self.rtc.add_remote_candidate(candidate);
        }
    }

    pub fn may_offer(&self) -> bool {
        self.pending.is_none()
    }

    /// Offers sections that are new (kind, stream, track) and takes some out of use; gives the text, its
    /// number and the mids of the new ones. The first offer brings the data channels along.
    pub fn make_offer(
        &mut self,
        new: &[(MediaKind, String, String)],
        gone: &[Mid],
    ) -> Option<(String, u32, Vec<Mid>)> {
        let is_first = self.next_offer == 1;
        let mut changes = self.rtc.sdp_api();
        if is_first {
            for (label, ordered, reliability) in [
                ("_reliable", true, Reliability::Reliable),
                (
                    "_lossy",
                    false,
                    Reliability::MaxRetransmits { retransmits: 0 },
                ),
            ] {
                changes.add_channel_with_config(str0m::channel::ChannelConfig {
                    label: label.to_owned(),
                    ordered,
                    reliability,
                    ..Default::default()
                });
            }
        }
        let add = |(kind, stream, track): &(MediaKind, String, String)| {
            let (stream, track) = (Some(stream.clone()), Some(track.clone()));
            changes.add_media(*kind, Direction::SendOnly, stream, track, None)
        };
        let mids = new.iter().map(add).collect();
        for mid in gone {
            changes.set_direction(*mid, Direction::Inactive);
        }
        let (offer, pending) = changes.apply()?;
        let number = self.next_offer;
        self.next_offer += 1;
        self.pending = Some((pending, number));
        Some((offer.to_sdp_string(), number, mids))
    }

    /// A candidate as `RTCIceCandidateInit`. Names of mDNS and the like are left alone: the client's checks
    /// tell its addresses.
    pub fn candidate(&mut self, init: &str) {
        let init: Value = serde_json::from_str(init).unwrap_or_default();
        let text = init["candidate"].as_str().unwrap_or("");
        let Ok(candidate) = Candidate::from_sdp_string(text) else {
            return;
        };
        if self.is_described {
            self.rtc.add_remote_candidate(candidate);
        } else if self.early.len() < MAX_EARLY {
            self.early.push(candidate);
        }
    }

    /// Our candidates as clients want them.
    pub fn trickle(local: SocketAddr) -> String {
        let candidate = Candidate::host(local, "udp").expect("a loopback address");
        let candidate = candidate.to_sdp_string();
        json!({"candidate": candidate, "sdpMid": "0", "sdpMLineIndex": 0}).to_string()
    }

    /// Takes a datagram or the passing of time, sends what there is to send unless the server is silent, and
    /// keeps what happened; when this wants to be asked again. The engine holds one packet at a time, so
    /// each datagram is followed to its end.
    pub fn handle(&mut self, input: Input<'_>, socket: Option<&UdpSocket>) -> Option<Instant> {
        if self.rtc.is_alive() && self.rtc.handle_input(input).is_err() {
            self.rtc.disconnect();
        }
        while self.rtc.is_alive() {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(datagram)) => {
                    if let Some(socket) = socket {
                        // Addresses of the peer that are not on loopback cannot be reached from it.
                        let _ = socket.try_send_to(&datagram.contents, datagram.destination);
                    }
                }
                Ok(Output::Timeout(at)) => return Some(at),
                Ok(Output::Event(event)) => {
                    match &event {
                        Event::Connected => self.is_connected = true,
                        Event::ChannelOpen(id, label) => {
                            self.channels.insert(label.clone(), *id);
                        }
                        _ => {}
                    }
                    self.happened.push(event);
                }
                Err(_) => self.rtc.disconnect(),
            }
        }
        None
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.happened)
    }

    /// Asks the publisher for a key frame of the layer that comes with that source.
    pub fn ask_for_key_frame(&mut self, ssrc: u32) {
        let mut api = self.rtc.direct_api();
        if let Some(stream) = api.stream_rx(&Ssrc::from(ssrc)) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }

    /// Sends on the channel of that label, if it is open.
    pub fn send_data(&mut self, label: &str, bytes: &[u8]) {
        if let Some(mut channel) = self
            .channels
            .get(label)
            .and_then(|id| self.rtc.channel(*id))
        {
            let _ = channel.write(true, bytes);
        }
    }

    /// Which label a channel has.
    pub fn label(&self, id: ChannelId) -> Option<&str> {
        let mut channels = self.channels.iter();
        channels
            .find(|(_, known)| **known == id)
            .map(|(label, _)| label.as_str())
    }
}
