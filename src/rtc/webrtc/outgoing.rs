//! What is sent: units to packets, packets to the line at a bounded pace, what the far side says of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::media::{AccessUnit, CodecConfig, MediaKind, Track};
use crate::rtc::packet::sender::{Block, Report, Sender};
use crate::rtc::packet::{Format, Packet, avc};
use crate::rtc::{self, Error};

/// Packets that wait for the line at most; a unit that does not fit is dropped, and its layer up to the next key
/// unit. Bounds memory (1.2 KB each, 5 MB) and delay (0.4 s at the pace below).
const QUEUE_PACKETS: usize = 4096;
/// The pace: 1.2 KB in this time are 96 Mb/s, which no layer set reaches, yet a key unit does not leave as one burst.
const PACKET_TIME: Duration = Duration::from_micros(100);
/// Packets may be early by this much: 40 leave at once.
const BURST: Duration = Duration::from_millis(4);
/// How long packets are waited with that may not leave yet.
const PAUSE: Duration = Duration::from_millis(2);
/// Requests for key units of one layer that are passed on are this far apart.
const KEY_UNIT_INTERVAL: Duration = Duration::from_millis(200);

/// Header extensions (RFC 8285) by negotiated number.
pub(super) type Extensions = Arc<[(u8, Bytes)]>;

/// A packet for the line.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub(super) ssrc: u32,
    pub(super) payload_type: u8,
    pub(super) extensions: Extensions,
    pub(super) packet: Packet,
}

/// What goes out.
#[derive(Clone, Debug)]
pub(super) enum Out {
    /// A packet.
    Packet(Wire),
    /// A sender report, with the name of the sender that all its streams share.
    Report(u32, Report, Arc<str>),
}

/// What the far side says of a stream of ours.
#[derive(Clone, Debug)]
pub(super) enum Feedback {
    /// It cannot decode.
    KeyUnit,
    /// These packets did not arrive.
    Missing(Vec<u16>),
    /// How it receives.
    Block(Block),
}

/// Tracks that are sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    tracks: Vec<OutTrack>,
    sound: VecDeque<Wire>,
    pictures: VecDeque<Wire>,
    /// When the line is free for a packet.
    free_at: Duration,
    paused_at: Option<Duration>,
    /// The stream of the packet that went out last.
    last: Option<u32>,
    /// Media time zero, microseconds since 1970.
    epoch_micros: Option<i64>,
    connected: bool,
    payloads: Vec<Bytes>,
    pub(super) statistics: rtc::Statistics,
}

#[derive(Debug)]
struct OutTrack {
    format: Format,
    mid: Bytes,
    name: Arc<str>,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    ssrc: u32,
    rid: Option<Bytes>,
    sender: Sender,
    /// Payload type and header extensions; `None` until the far side agreed.
    line: Option<(u8, Extensions)>,
    waits_for_key_unit: bool,
    asked: Option<Duration>,
}

/// What a layer begins with.
pub(super) struct Start {
    pub(super) ssrc: u32,
    pub(super) rid: Option<Arc<str>>,
    pub(super) sequence: u16,
}

impl Outgoing {
    pub(super) fn new() -> Outgoing {
        Outgoing {
            tracks: Vec::new(),
            sound: VecDeque::new(),
            pictures: VecDeque::new(),
            free_at: Duration::ZERO,
            paused_at: None,
            last: None,
            epoch_micros: None,
            connected: false,
            payloads: Vec::new(),
            statistics: rtc::Statistics::default(),
        }
    }

    /// Adds a track whose RTP time begins at `base`, in all layers.
    pub(super) fn add(&mut self, kind: MediaKind, name: Arc<str>, base: u32, layers: Vec<Start>) {
        let format = match kind {
            MediaKind::Video => Format::Avc,
            MediaKind::Audio => Format::Opus,
        };
        let layers = layers.into_iter().map(|start| Layer {
            ssrc: start.ssrc,
            rid: start.rid.map(|rid| Bytes::copy_from_slice(rid.as_bytes())),
            sender: Sender::new(format, base, start.sequence),
            line: None,
            waits_for_key_unit: format == Format::Avc,
            asked: None,
        });
        self.tracks.push(OutTrack {
            format,
            mid: Bytes::new(),
            name,
            layers: layers.collect(),
        });
    }

    /// Says by which name the section of a track goes.
    pub(super) fn set_mid(&mut self, outgoing: usize, mid: &str) {
        if let Some(track) = self.tracks.get_mut(outgoing) {
            track.mid = Bytes::copy_from_slice(mid.as_bytes());
        }
    }

    /// The far side takes a stream, as this payload type, with the numbers of these extensions: the name of the
    /// section, that of the layer.
    pub(super) fn bind(&mut self, ssrc: u32, payload_type: u8, mid: Option<u8>, rid: Option<u8>) {
        let Some((outgoing, layer)) = self.find(ssrc) else {
            return;
        };
        let track = &mut self.tracks[outgoing];
        let layer = &mut track.layers[layer];
        let mut extensions = Vec::new();
        // RFC 8852: who declares no SSRC says in packets which section and layer they are of.
        if let Some(name) = &layer.rid {
            extensions.extend(mid.map(|id| (id, track.mid.clone())));
            extensions.extend(rid.map(|id| (id, name.clone())));
        }
        layer.line = Some((payload_type, extensions.into()));
    }

    /// The far side does not take a stream any more.
    pub(super) fn unbind(&mut self, ssrc: u32) {
        if let Some((outgoing, layer)) = self.find(ssrc) {
            self.tracks[outgoing].layers[layer].line = None;
        }
    }

    /// Media can flow.
    pub(super) fn connect(&mut self) {
        self.connected = true;
    }

    pub(super) fn set_epoch(&mut self, unix_micros: i64) {
        self.epoch_micros = Some(unix_micros);
    }

    /// Queues a unit, or drops it. `wall_micros` is now, for an epoch that nobody said.
    pub(super) fn send(
        &mut self,
        outgoing: usize,
        layer: usize,
        track: &Track,
        unit: &AccessUnit,
        wall_micros: i64,
    ) -> Result<(), Error> {
        let codec = || Error::Codec(track.codec_string());
        let Some(out) = self.tracks.get_mut(outgoing) else {
            return Err(codec());
        };
        self.payloads.clear();
        let queue = match (out.format, &track.config) {
            (Format::Avc, CodecConfig::Avc(_)) => &mut self.pictures,
            (Format::Opus, CodecConfig::Opus(_)) => &mut self.sound,
            _ => return Err(codec()),
        };
        let layer = out.layers.get_mut(layer).ok_or_else(codec)?;
        let Some((payload_type, extensions)) = layer.line.clone().filter(|_| self.connected) else {
            layer.waits_for_key_unit = out.format == Format::Avc;
            return Ok(());
        };
        if layer.waits_for_key_unit && !unit.key {
            self.statistics.units_dropped += 1;
            return Ok(());
        }
        if let CodecConfig::Avc(config) = &track.config {
            avc::payloads(config, &unit.data, &mut self.payloads);
        } else if !unit.data.is_empty() {
            self.payloads.push(unit.data.clone());
        }
        if queue.len() + self.payloads.len() > QUEUE_PACKETS {
            layer.waits_for_key_unit = out.format == Format::Avc;
            self.statistics.units_dropped += 1;
            return Ok(());
        }
        layer.waits_for_key_unit = false;
        let media_micros =
            crate::media::rescale(unit.pts, track.timescale, crate::media::Timescale::MICROS).0;
        self.epoch_micros
            .get_or_insert(wall_micros.saturating_sub(media_micros));
        let last = self.payloads.len().saturating_sub(1);
        for (index, payload) in self.payloads.drain(..).enumerate() {
            // With sound the marker would say that silence ended (RFC 3551 §4.1).
            let marker = index == last && out.format == Format::Avc;
            queue.push_back(Wire {
                ssrc: layer.ssrc,
                payload_type,
                extensions: Arc::clone(&extensions),
                packet: layer
                    .sender
                    .packet(unit.pts, track.timescale, payload, marker),
            });
        }
        Ok(())
    }

    /// What goes out now. Sound goes before pictures: it is small.
    pub(super) fn poll(&mut self, now: Duration) -> Option<Out> {
        if let Some(report) = self.last.take().and_then(|ssrc| self.report(now, ssrc)) {
            return Some(report);
        }
        let next = self.sound.front().or_else(|| self.pictures.front())?;
        if self.free_at > now + BURST {
            self.paused_at = Some(now);
            return None;
        }
        self.paused_at = None;
        // The far side tells a layer by the names in its packets: a report before them would be of nobody.
        let ssrc = next.ssrc;
        if next.extensions.is_empty()
            && let Some(report) = self.report(now, ssrc)
        {
            return Some(report);
        }
        let wire = self
            .sound
            .pop_front()
            .or_else(|| self.pictures.pop_front())?;
        self.last = Some(wire.ssrc);
        self.free_at = self.free_at.max(now) + PACKET_TIME;
        self.statistics.packets_sent += 1;
        self.statistics.bytes_sent += wire.packet.payload.len() as u64;
        Some(Out::Packet(wire))
    }

    /// A sender report of a stream, when it is time for one.
    fn report(&mut self, now: Duration, ssrc: u32) -> Option<Out> {
        let epoch = self.epoch_micros.unwrap_or_default();
        let (outgoing, layer) = self.find(ssrc)?;
        let track = &mut self.tracks[outgoing];
        let report = track.layers[layer].sender.poll_report(now, epoch)?;
        Some(Out::Report(ssrc, report, Arc::clone(&track.name)))
    }

    /// When the line is free again for what waits.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.paused_at.map(|at| at + PAUSE)
    }

    /// Takes what the far side says of a stream: packets to repeat, and whether a key unit is wanted, of which
    /// track and layer.
    pub(super) fn handle(
        &mut self,
        now: Duration,
        ssrc: u32,
        feedback: &Feedback,
    ) -> (Vec<Wire>, Option<(usize, usize)>) {
        let Some((outgoing, index)) = self.find(ssrc) else {
            return (Vec::new(), None);
        };
        let layer = &mut self.tracks[outgoing].layers[index];
        let mut repeated = Vec::new();
        let mut wanted = None;
        match feedback {
            Feedback::KeyUnit => {
                self.statistics.key_units_wanted += 1;
                let due = |asked: Duration| now.saturating_sub(asked) >= KEY_UNIT_INTERVAL;
                if layer.asked.is_none_or(due) {
                    layer.asked = Some(now);
                    wanted = Some((outgoing, index));
                }
            }
            Feedback::Missing(sequences) => {
                if let Some((payload_type, extensions)) = &layer.line {
                    let packets = sequences
                        .iter()
                        .filter_map(|&sequence| layer.sender.repeat(now, sequence));
                    repeated.extend(packets.map(|packet| Wire {
                        ssrc,
                        payload_type: *payload_type,
                        extensions: Arc::clone(extensions),
                        packet,
                    }));
                    self.statistics.packets_repeated += repeated.len() as u64;
                }
            }
            Feedback::Block(block) => {
                self.statistics.far_loss_256 = block.fraction_lost;
                if let Some(round_trip) = layer.sender.round_trip(now, block) {
                    let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
                    self.statistics.round_trip_micros = micros.max(1);
                }
            }
        }
        (repeated, wanted)
    }

    fn find(&self, ssrc: u32) -> Option<(usize, usize)> {
        self.tracks
            .iter()
            .enumerate()
            .find_map(|(outgoing, track)| {
                let layer = track.layers.iter().position(|layer| layer.ssrc == ssrc)?;
                Some((outgoing, layer))
            })
    }
}
