//! What arrives, written down. In: RTP packets and sender reports of one layer of a track. Out: counts, whole
//! access units with their RTP times, and the line between the publisher's clock and its RTP time. Kept
//! bounded: the newest units, from a key frame on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::h264::Assembly;
use super::mkv;

/// Bytes of access units that are kept for each layer; the oldest go first.
const MAX_KEPT_BYTES: usize = 24 << 20;
/// Packets that wait for one that is missing. One that was asked for again and did not come by then is lost.
const MAX_WAITING: usize = 400;
/// Sender reports that are kept: an hour and more of them.
const MAX_REPORTS: usize = 4096;

/// A packet as the engine hands it over.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Extended by its roll-overs.
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: Arc<[u8]>,
    pub arrived: Instant,
}

/// A picture as Annex B, or one packet of Opus.
#[derive(Clone, Debug)]
pub struct Unit {
    /// RTP time, extended by its roll-overs.
    pub rtp_time: u64,
    pub key: bool,
    pub bytes: Arc<[u8]>,
    pub arrived: Instant,
}

/// The publisher's clock (seconds of the UNIX era) at an RTP time.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    pub at: f64,
    pub rtp_time: u32,
}

/// Everything about a layer.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// Of the simulcast layer; empty without simulcast.
    pub rid: String,
    pub ssrc: u32,
    pub payload_type: u8,
    pub clock_rate: u32,
    pub packets: u64,
    pub bytes: u64,
    /// Whole pictures (or packets of sound).
    pub frames: u64,
    pub key_frames: u64,
    /// Pictures that were not whole.
    pub broken_frames: u64,
    /// Packets that never came.
    pub lost_packets: u64,
    /// Key frames that the server asked the publisher for.
    pub key_frame_requests: u64,
    pub first_arrival: Option<Instant>,
    pub last_arrival: Option<Instant>,
    pub reports: VecDeque<Report>,
    /// The newest, in order; they begin with a key frame.
    pub units: VecDeque<Unit>,
}

impl Layer {
    /// The publisher's clock at an RTP time, by the report next before it or the first.
    pub fn clock_at(&self, rtp_time: u64) -> Option<f64> {
        let rtp_time = rtp_time as u32;
        let ahead = |report: &Report| rtp_time.wrapping_sub(report.rtp_time) as i32;
        let before = self.reports.iter().rev().find(|report| ahead(report) >= 0);
        let report = before.or(self.reports.front())?;
        Some(report.at + f64::from(ahead(report)) / f64::from(self.clock_rate))
    }

    /// All units that are kept, one after another: what ffmpeg reads as `-f h264`.
    pub fn annex_b(&self) -> Vec<u8> {
        let units = self.units.iter().flat_map(|unit| unit.bytes.iter());
        units.copied().collect()
    }
}

/// What is kept of a picture of that size and of the sound beside it, each unit at its time on the publisher's clock:
/// a Matroska file. Nothing before there is a key frame.
pub fn matroska(picture: &Layer, sound: &Layer, size: (u32, u32)) -> Option<Vec<u8>> {
    let configuration = mkv::avc_configuration(&picture.units.front()?.bytes)?;
    let at = |layer: &Layer, unit: &Unit| layer.clock_at(unit.rtp_time);
    let begin = at(picture, picture.units.front()?)?;
    let times = |layer: &Layer| {
        let timed = layer
            .units
            .iter()
            .filter_map(|unit| Some((at(layer, unit)? - begin, unit.clone())));
        timed
            .filter(|(at, _)| *at >= 0.0)
            .map(|(at, unit)| ((at * 1000.0).round() as u64, unit))
            .collect::<Vec<_>>()
    };
    let pictures = times(picture)
        .into_iter()
        .map(|(at_ms, unit)| (at_ms, mkv::picture(at_ms, unit.key, &unit.bytes)));
    let sounds = times(sound)
        .into_iter()
        .map(|(at_ms, unit)| (at_ms, mkv::sound(at_ms, &unit.bytes)));
    let mut blocks: Vec<(u64, Vec<u8>)> = pictures.chain(sounds).collect();
    blocks.sort_by_key(|(at_ms, _)| *at_ms);
    let mut file = mkv::header(&configuration, size, true);
    file.extend(blocks.into_iter().flat_map(|(_, block)| block));
    Some(file)
}

/// Writes a layer down.
#[derive(Debug, Default)]
pub struct Recorder {
    pub layer: Layer,
    is_video: bool,
    waiting: BTreeMap<u64, Packet>,
    next: Option<u64>,
    assembly: Assembly,
    timestamp: u32,
    arrived: Option<Instant>,
    extended: Option<u64>,
    kept_bytes: usize,
    /// Units since the last look of whoever takes them as they come.
    fresh: VecDeque<Unit>,
    pub is_followed: bool,
}

impl Recorder {
    pub fn new(rid: &str, ssrc: u32, payload_type: u8, is_video: bool) -> Recorder {
        let layer = Layer {
            rid: rid.to_owned(),
            ssrc,
            payload_type,
            clock_rate: if is_video { 90_000 } else { 48_000 },
            ..Layer::default()
        };
        Recorder {
            layer,
            is_video,
            ..Recorder::default()
        }
    }

    /// Units that became whole since the last call, for one who follows.
    pub fn take_fresh(&mut self) -> VecDeque<Unit> {
        std::mem::take(&mut self.fresh)
    }

    pub fn report(&mut self, report: Report) {
        if self.layer.reports.len() == MAX_REPORTS {
            self.layer.reports.pop_front();
        }
        self.layer.reports.push_back(report);
    }

    pub fn push(&mut self, packet: Packet) {
        self.layer.packets += 1;
        self.layer.bytes += packet.payload.len() as u64;
        self.layer.first_arrival.get_or_insert(packet.arrived);
        self.layer.last_arrival = Some(packet.arrived);
        // Padding that probes for bandwidth.
        let next = *self.next.get_or_insert(packet.sequence);
        if packet.sequence < next {
            return;
        }
        self.waiting.insert(packet.sequence, packet);
        self.drain();
        if self.waiting.len() > MAX_WAITING {
            let first = *self.waiting.keys().next().expect("some are waiting");
            self.layer.lost_packets += first - self.next.expect("it was set above");
            self.assembly.broke();
            self.next = Some(first);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(packet) = self.next.and_then(|next| self.waiting.remove(&next)) {
            self.next = Some(packet.sequence + 1);
            self.take(packet);
        }
    }

    fn take(&mut self, packet: Packet) {
        if packet.payload.is_empty() {
            return;
        }
        if !self.is_video {
            let rtp_time = self.extend(packet.timestamp);
            self.keep(rtp_time, true, packet.payload, packet.arrived);
            return;
        }
        if packet.timestamp != self.timestamp && !self.assembly.is_empty() {
            self.finish();
        }
        self.timestamp = packet.timestamp;
        self.arrived = Some(packet.arrived);
        self.assembly.push(&packet.payload);
        if packet.marker {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let rtp_time = self.extend(self.timestamp);
        match self.assembly.finish() {
            Some(whole) => {
                let arrived = self.arrived.expect("a unit has packets");
                self.keep(rtp_time, whole.key, whole.bytes.into(), arrived);
            }
            None => self.layer.broken_frames += 1,
        }
    }

    fn extend(&mut self, timestamp: u32) -> u64 {
        let last = self.extended.unwrap_or(u64::from(timestamp) + (1 << 32));
        let ahead = i64::from(timestamp.wrapping_sub(last as u32) as i32);
        let extended = last.wrapping_add_signed(ahead);
        self.extended = Some(extended);
        extended
    }

    fn keep(&mut self, rtp_time: u64, key: bool, bytes: Arc<[u8]>, arrived: Instant) {
        self.layer.frames += 1;
        self.layer.key_frames += u64::from(key && self.is_video);
        let unit = Unit {
            rtp_time,
            key,
            bytes,
            arrived,
        };
        if self.is_followed {
            self.fresh.push_back(unit.clone());
        }
        if self.layer.units.is_empty() && !key {
            return;
        }
        self.kept_bytes += unit.bytes.len();
        self.layer.units.push_back(unit);
        let is_early = |units: &VecDeque<Unit>| units.front().is_some_and(|unit| !unit.key);
        while self.kept_bytes > MAX_KEPT_BYTES || is_early(&self.layer.units) {
            let Some(gone) = self.layer.units.pop_front() else {
                break;
            };
            self.kept_bytes -= gone.bytes.len();
        }
    }
}
