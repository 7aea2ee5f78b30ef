//! The last member of the engine's chain of interceptors: packets and feedback of the far side go to our own
//! state instead of the engine's tracks, and what that has to send goes down the chain to the line.
//!
//! So there is no task and no queue per track, repeats and reports follow media time, and a picture that is
//! sent wakes the engine once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::interceptor::{Interceptor, Packet as Parcel, StreamInfo, TaggedPacket};
use rtc::rtcp::goodbye::Goodbye;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::source_description::{
    SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem,
};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::{rtcp, rtp};

use super::incoming::Ask;
use super::outgoing::{Feedback, Out, Wire};
use super::shared::{Media, Shared};
use crate::rtc::Event;
use crate::rtc::packet::Packet;
use crate::rtc::packet::sender::Block;

/// Numbers of packets in one request that are looked at. Bounds what one packet of the far side makes us send.
const MISSING_AT_ONCE: usize = 512;

/// Header extensions (RFC 8852) that say which section and layer a packet is of.
pub(super) const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
pub(super) const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";

/// The member of the chain.
pub(super) struct Link {
    shared: Arc<Shared>,
    /// Goes to the line: what passes through, repeats, requests.
    queue: VecDeque<TaggedPacket>,
    /// The engine's time and ours at the same moment.
    seen: Option<(Instant, Duration)>,
    /// SSRC by which we ask and report as a receiver.
    ssrc: u32,
}

impl Link {
    pub(super) fn new(shared: Arc<Shared>, ssrc: u32) -> Link {
        Link {
            shared,
            queue: VecDeque::new(),
            seen: None,
            ssrc,
        }
    }

    fn see(&mut self, now: Instant) -> Duration {
        let ours = self.shared.now();
        self.seen = Some((now, ours));
        ours
    }

    fn put(&mut self, packet: Parcel) {
        let Some((now, _)) = self.seen else {
            return;
        };
        self.queue.push_back(TaggedPacket {
            now,
            transport: TransportContext::default(),
            message: packet.into(),
        });
    }

    fn handle_control(&mut self, now: Duration, packet: &dyn rtcp::Packet) {
        let packet = packet.as_any();
        let shared = Arc::clone(&self.shared);
        let mut media = shared.media();
        if let Some(pli) = packet.downcast_ref::<PictureLossIndication>() {
            self.handle_feedback(&mut media, now, pli.media_ssrc, &Feedback::KeyUnit);
        } else if let Some(fir) = packet.downcast_ref::<FullIntraRequest>() {
            for entry in &fir.fir {
                self.handle_feedback(&mut media, now, entry.ssrc, &Feedback::KeyUnit);
            }
        } else if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
            let numbers = nack.nacks.iter().flat_map(|pair| pair.packet_list());
            let missing = Feedback::Missing(numbers.take(MISSING_AT_ONCE).collect());
            self.handle_feedback(&mut media, now, nack.media_ssrc, &missing);
        } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
            self.handle_blocks(&mut media, now, &report.reports);
        } else if let Some(report) = packet.downcast_ref::<SenderReport>() {
            self.handle_blocks(&mut media, now, &report.reports);
            media
                .incoming
                .report(now, report.ssrc, report.ntp_time, report.rtp_time);
        } else if let Some(goodbye) = packet.downcast_ref::<Goodbye>() {
            let Media {
                incoming, events, ..
            } = &mut *media;
            for &ssrc in &goodbye.sources {
                incoming.end(ssrc, events);
            }
        }
        shared.announce(&media);
    }

    fn handle_blocks(&mut self, media: &mut Media, now: Duration, blocks: &[ReceptionReport]) {
        for block in blocks {
            let feedback = Feedback::Block(Block {
                fraction_lost: block.fraction_lost,
                last_report: block.last_sender_report,
                delay: block.delay,
            });
            self.handle_feedback(media, now, block.ssrc, &feedback);
        }
    }

    fn handle_feedback(
        &mut self,
        media: &mut Media,
        now: Duration,
        ssrc: u32,
        feedback: &Feedback,
    ) {
        let (repeated, wanted) = media.outgoing.handle(now, ssrc, feedback);
        for wire in repeated {
            self.put(Parcel::Rtp(parcel(wire)));
        }
        if let Some((outgoing, layer)) = wanted {
            media.events.push(Event::KeyUnitWanted { outgoing, layer });
        }
    }

    /// Asks the far side for what is missing.
    fn ask(&mut self, now: Duration) {
        let asks = self.shared.media().incoming.poll_asks(now);
        for ask in asks {
            let packet: Box<dyn rtcp::Packet> = match ask {
                Ask::Missing(ssrc, sequences) => Box::new(TransportLayerNack {
                    sender_ssrc: self.ssrc,
                    media_ssrc: ssrc,
                    nacks: nack_pairs_from_sequence_numbers(&sequences),
                }),
                Ask::KeyUnit(ssrc) => Box::new(PictureLossIndication {
                    sender_ssrc: self.ssrc,
                    media_ssrc: ssrc,
                }),
            };
            self.put(Parcel::Rtcp(vec![packet]));
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Link {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = rtc::shared::error::Error;
    type Time = Instant;

    /// Nothing goes on to the application.
    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Self::Error> {
        let now = self.see(message.now);
        match message.message.packet {
            Parcel::Rtp(packet) => {
                let mut media = self.shared.media();
                let Media {
                    incoming, events, ..
                } = &mut *media;
                let (ssrc, payload_type) = (packet.header.ssrc, packet.header.payload_type);
                let packet = Packet {
                    sequence: packet.header.sequence_number,
                    timestamp: packet.header.timestamp,
                    marker: packet.header.marker,
                    payload: packet.payload,
                };
                incoming.handle(now, ssrc, payload_type, packet, events);
                self.shared.announce(&media);
            }
            Parcel::Rtcp(packets) => {
                for packet in &packets {
                    self.handle_control(now, packet.as_ref());
                }
            }
            _ => {}
        }
        self.ask(now);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        None
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Self::Error> {
        self.see(message.now);
        self.queue.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        if let Some(packet) = self.queue.pop_front() {
            return Some(packet);
        }
        self.seen?;
        let now = self.shared.now();
        let out = self.shared.media().outgoing.poll(now)?;
        self.put(match out {
            Out::Packet(wire) => Parcel::Rtp(parcel(wire)),
            Out::Report(ssrc, report, name) => Parcel::Rtcp(vec![
                Box::new(SenderReport {
                    ssrc,
                    ntp_time: report.ntp,
                    rtp_time: report.rtp,
                    packet_count: report.packets,
                    octet_count: report.bytes,
                    ..SenderReport::default()
                }),
                Box::new(source(ssrc, &name)),
            ]),
        });
        self.queue.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Self::Error> {
        let now = self.see(now);
        let mut media = self.shared.media();
        let Media {
            incoming, events, ..
        } = &mut *media;
        incoming.handle_timeout(now, events);
        self.shared.announce(&media);
        drop(media);
        self.ask(now);
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let (instant, ours) = self.seen?;
        let media = self.shared.media();
        let deadlines = [media.outgoing.poll_timeout(), media.incoming.poll_timeout()];
        let at = deadlines.into_iter().flatten().min()?;
        Some(instant + at.saturating_sub(ours))
    }
}

impl Interceptor for Link {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        let number = |uri: &str| {
            let extension = info
                .rtp_header_extensions
                .iter()
                .find(|extension| extension.uri == uri)?;
            u8::try_from(extension.id).ok()
        };
        let (mid, rid) = (number(MID), number(RID));
        let mut media = self.shared.media();
        media.outgoing.bind(info.ssrc, info.payload_type, mid, rid);
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.shared.media().outgoing.unbind(info.ssrc);
    }

    fn bind_remote_stream(&mut self, _: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

/// The engine's form of a packet.
fn parcel(wire: Wire) -> rtp::Packet {
    let mut header = rtp::header::Header {
        version: 2,
        marker: wire.packet.marker,
        payload_type: wire.payload_type,
        sequence_number: wire.packet.sequence,
        timestamp: wire.packet.timestamp,
        ssrc: wire.ssrc,
        ..rtp::header::Header::default()
    };
    for (number, value) in wire.extensions.iter() {
        // What does not fit is left out: names are a few characters.
        let _ = header.set_extension(*number, value.clone());
    }
    rtp::Packet {
        header,
        payload: wire.packet.payload,
    }
}

/// The name that all streams of a sender share (RFC 3550 §6.5.1).
fn source(ssrc: u32, name: &str) -> SourceDescription {
    SourceDescription {
        chunks: vec![SourceDescriptionChunk {
            source: ssrc,
            items: vec![SourceDescriptionItem {
                sdes_type: SdesType::SdesCname,
                text: Bytes::copy_from_slice(name.as_bytes()),
            }],
        }],
    }
}
