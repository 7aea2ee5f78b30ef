//! What is received: which stream is of which track, and what comes out of it.

use std::collections::HashMap;
use std::time::Duration;

use super::events::Events;
use crate::rtc::description::Section;
use crate::rtc::packet::receiver::{Out, Receiver};
use crate::rtc::packet::timing::Origin;
use crate::rtc::packet::{Format, Packet};
use crate::rtc::{Event, IncomingId, Statistics};

/// Tracks that are received at one time at most. Bounds memory with the buffers of each.
const TRACKS: usize = 64;

/// What the far side is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// These packets of a stream.
    Missing(u32, Vec<u16>),
    /// A key unit of a stream.
    KeyUnit(u32),
}

/// Tracks that are received.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    tracks: Vec<InTrack>,
    /// Clocks of senders.
    origins: HashMap<String, Origin>,
    count: u32,
    packets: u64,
    bytes: u64,
    /// Packets lost by tracks that are over.
    lost: u64,
}

#[derive(Debug)]
struct InTrack {
    id: IncomingId,
    mid: String,
    stream_id: String,
    track_id: String,
    format: Format,
    payload_types: Vec<u8>,
    /// `None` until a packet says it, where the description does not.
    ssrc: Option<u32>,
    receiver: Receiver,
}

impl Incoming {
    /// Takes what the far side offered and we answered: tracks begin, go on, or end.
    pub(super) fn describe(&mut self, offer: &[Section], answer: &[Section], events: &mut Events) {
        let mut kept = Vec::new();
        for (offer, answer) in offer.iter().zip(answer) {
            let first = answer.formats.first();
            let Some(&(payload_type, format)) = first.filter(|_| offer.sends && !answer.refused)
            else {
                continue;
            };
            let nameless = || ("-".to_owned(), offer.mid.clone());
            let (stream_id, track_id) = offer.msid.clone().unwrap_or_else(nameless);
            let ssrc = offer.ssrcs.first().copied();
            let same = self.tracks.iter().position(|track| {
                let names = (&track.mid, &track.stream_id, &track.track_id, track.format);
                names == (&offer.mid, &stream_id, &track_id, format)
                    && (ssrc.is_none() || track.ssrc == ssrc)
            });
            if let Some(same) = same {
                kept.push(self.tracks.swap_remove(same));
                continue;
            }
            if kept.len() == TRACKS {
                continue;
            }
            let id = IncomingId(self.count);
            self.count += 1;
            events.push(Event::Incoming {
                id,
                kind: format.kind(),
                stream_id: stream_id.clone(),
                track_id: track_id.clone(),
            });
            let same_format = answer.formats.iter().filter(|(_, other)| *other == format);
            kept.push(InTrack {
                id,
                mid: offer.mid.clone(),
                stream_id,
                track_id,
                format,
                payload_types: same_format.map(|&(payload_type, _)| payload_type).collect(),
                ssrc,
                receiver: Receiver::new(format, answer.repeated.contains(&payload_type)),
            });
        }
        for ended in std::mem::replace(&mut self.tracks, kept) {
            self.lost += ended.receiver.lost();
            events.push(Event::Ended(ended.id));
        }
        let tracks = &self.tracks;
        self.origins
            .retain(|name, _| tracks.iter().any(|track| sender(&track.stream_id) == name));
    }

    /// Takes a packet as it arrives.
    pub(super) fn handle(
        &mut self,
        now: Duration,
        ssrc: u32,
        payload_type: u8,
        packet: Packet,
        events: &mut Events,
    ) {
        self.packets += 1;
        self.bytes += packet.payload.len() as u64;
        let Some(track) = self.track(ssrc, payload_type) else {
            return;
        };
        if let Some((ntp, rtp)) = track.receiver.begin(&packet) {
            self.report(now, ssrc, ntp, rtp);
        }
        let Some(track) = self.track(ssrc, payload_type) else {
            return;
        };
        track.receiver.handle(now, packet);
        track.hand_out(events);
    }

    /// Takes a sender report.
    pub(super) fn report(&mut self, now: Duration, ssrc: u32, ntp: u64, rtp: u32) {
        let track = self
            .tracks
            .iter_mut()
            .find(|track| track.ssrc == Some(ssrc));
        if let Some(track) = track {
            let name = sender(&track.stream_id);
            if !self.origins.contains_key(name) {
                self.origins.insert(name.to_owned(), Origin::default());
            }
            if let Some(origin) = self.origins.get_mut(name) {
                track.receiver.report(origin, now, ntp, rtp);
            }
        }
    }

    /// The far side says goodbye for a stream (RFC 3550 §6.6).
    pub(super) fn end(&mut self, ssrc: u32, events: &mut Events) {
        let ended = self
            .tracks
            .iter()
            .position(|track| track.ssrc == Some(ssrc));
        if let Some(index) = ended {
            let track = self.tracks.swap_remove(index);
            self.lost += track.receiver.lost();
            events.push(Event::Ended(track.id));
        }
    }

    /// Lets time pass.
    pub(super) fn handle_timeout(&mut self, now: Duration, events: &mut Events) {
        for track in &mut self.tracks {
            track.receiver.handle_timeout(now);
            track.hand_out(events);
        }
    }

    /// What to ask the far side for now.
    pub(super) fn poll_asks(&mut self, now: Duration) -> Vec<Ask> {
        let mut asks = Vec::new();
        for track in &mut self.tracks {
            let Some(ssrc) = track.ssrc else {
                continue;
            };
            let missing = track.receiver.poll_asks(now);
            if !missing.is_empty() {
                asks.push(Ask::Missing(ssrc, missing));
            }
            if track.receiver.poll_key_unit(now) {
                asks.push(Ask::KeyUnit(ssrc));
            }
        }
        asks
    }

    /// When there is something to do if no packet comes before.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let receivers = self.tracks.iter().filter(|track| track.ssrc.is_some());
        receivers
            .filter_map(|track| track.receiver.poll_timeout())
            .min()
    }

    /// Asks for a key unit of a track.
    pub(super) fn want_key_unit(&mut self, id: IncomingId) {
        if let Some(track) = self.tracks.iter_mut().find(|track| track.id == id) {
            track.receiver.want_key_unit();
        }
    }

    /// Adds what was received.
    pub(super) fn count(&self, statistics: &mut Statistics) {
        statistics.packets_received = self.packets;
        statistics.bytes_received = self.bytes;
        let lost = self.tracks.iter().map(|track| track.receiver.lost());
        statistics.packets_lost = self.lost + lost.sum::<u64>();
    }

    /// The track of a stream. One that no description names is that of the only track which has none yet and takes
    /// this payload type; further layers of it are passed over.
    fn track(&mut self, ssrc: u32, payload_type: u8) -> Option<&mut InTrack> {
        let known = self
            .tracks
            .iter()
            .position(|track| track.ssrc == Some(ssrc));
        let index = known.or_else(|| {
            let index = self.tracks.iter().position(|track| {
                track.ssrc.is_none() && track.payload_types.contains(&payload_type)
            })?;
            self.tracks[index].ssrc = Some(ssrc);
            Some(index)
        })?;
        let track = &mut self.tracks[index];
        track.payload_types.contains(&payload_type).then_some(track)
    }
}

impl InTrack {
    fn hand_out(&mut self, events: &mut Events) {
        while let Some(out) = self.receiver.poll() {
            events.push(match out {
                Out::Track(track) => Event::Track(self.id, track),
                Out::Unit(unit) => Event::Unit(self.id, unit),
                Out::Lost => Event::Lost(self.id),
            });
        }
    }
}

/// Who sends a media stream. LiveKit writes `participant|track`; elsewhere a stream is a sender's.
fn sender(stream_id: &str) -> &str {
    stream_id.split('|').next().unwrap_or(stream_id)
}
